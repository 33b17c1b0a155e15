// A small company's day, as its clouds and routers report it, with stories in it that questions should find.
//
// The world. Two AWS accounts: 111122223333 runs a shop (VPC 10.20.0.0/16: load balancer, web, app, databases, NAT gateway,
// bastion), 444455556666 runs analytics (VPC 10.30.0.0/16), peered. An office, 192.168.0.0/16: workstations .10.x,
// phones .20.x, printers .30.x, servers .40.x, and IPv6 2001:db8:10::/64, behind two routers: `edge` (192.168.0.1)
// sees what goes to the internet and exports NetFlow v5; `core` (192.168.0.2) sees everything inside, samples one packet in
// 100 and exports NetFlow v9 or IPFIX. Traffic follows the hour; the day's midnight is the start of the generated range.
//
// The stories (hours after the start, when 24 hours are generated; other lengths stretch them). STORY.md has the questions.
//   scan        203.0.113.66 tries 1,024 ports of the bastion, the load balancer and the NAT gateway, and the office's
//               public block 198.51.100.16/29: SYN only, rejected. 03:10 to 03:40.
//   brute force 203.0.113.99 logs in to the bastion 10.20.0.10:22 again and again, about 2,400 times. 04:00 to 06:00.
//   exfiltration  database host 10.20.21.15 sends 18 GB to 192.0.2.77:443 through the NAT gateway. 02:10 to 03:50.
//   outage      the inventory service 10.20.12.40:8443 stops answering at 14:00; its callers' SYNs go on, unanswered.
//   beacon      workstation 192.168.10.57 calls 203.0.113.200:443 every 60 s ± 3 s, all day.
//   new talker  10.30.2.9 speaks to the shop's database 10.20.21.10:5432 from 18:00; it never did before.
//   log loss    AWS says SKIPDATA for the load balancer at 11:30.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/generate/flow.h"
#include "storage/model/result.h"

namespace sluice::generate {

struct CompanyOptions {
  uint64_t seed = 1;
  TimestampNs start = 0;  // the day's midnight
  int hours = 24;         // 1 .. 24 · 31
  double scale = 1.0;     // of everyday traffic, 0.01 .. 50; stories keep their size
};

namespace story {
inline constexpr const char* kScanner = "203.0.113.66";
inline constexpr const char* kBruteForcer = "203.0.113.99";
inline constexpr const char* kBastion = "10.20.0.10";
inline constexpr const char* kLeakingHost = "10.20.21.15";
inline constexpr const char* kLeakTarget = "192.0.2.77";
inline constexpr const char* kDyingService = "10.20.12.40";
inline constexpr uint16_t kDyingPort = 8443;
inline constexpr const char* kBeaconHost = "192.168.10.57";
inline constexpr const char* kBeaconTarget = "203.0.113.200";
inline constexpr const char* kNewTalker = "10.30.2.9";
inline constexpr const char* kShopDatabase = "10.20.21.10";
inline constexpr double kScanHour = 3.17, kBruteForceHour = 4, kLeakHour = 2.17, kDeathHour = 14, kNewTalkerHour = 18, kLossHour = 11.5;
}  // namespace story

struct Company {
  Reporters reporters;
  std::vector<Flow> flows;                        // in order of their end
  std::map<std::string, std::string> aws_fields;  // by account, for AwsObjects
  uint32_t loss_interface = 0;                    // SKIPDATA
  TimestampNs loss_at = 0;
};

// invalid_argument for options out of their ranges. About 400,000 flows at scale 1, 200 bytes of memory each.
Result<Company> make_company(const CompanyOptions& options);

}  // namespace sluice::generate
