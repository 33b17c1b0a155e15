// AWS VPC flow logs as S3 objects: gzip text with one header line, laid out as AWS lays them out.
//
//   AWSLogs/{account}/vpcflowlogs/{region}/{yyyy}/{mm}/{dd}/{account}_vpcflowlogs_{region}_{fl-id}_{YYYYMMDDTHHmmZ}_{hash}.log.gz
//
// One object per account and window of `object_minutes`; an interface without traffic in a window writes NODATA. Every
// account has its own field list (versions 2 to 5, any order). Times are whole seconds, TCP flags are reduced to what AWS
// records (FIN 1, SYN 2, RST 4, SYN-ACK 18). Source: AWS VPC user guide, flow-log-records and flow-logs-s3.
// Not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/generate/flow.h"
#include "storage/model/result.h"

namespace sluice::generate {

// What AWS makes of a flow's flags and times.
uint8_t aws_tcp_flags(const Flow& flow);
inline TimestampNs aws_seconds(TimestampNs t) { return t / kSecond; }

struct AwsTotals {
  uint64_t objects = 0, flows = 0, no_data = 0, skip_data = 0, text_bytes = 0, bytes = 0;
};

// (add* finish), flows in order of their end.
class AwsObjects {
 public:
  // `fields` of each account as in the header line, space separated; an unknown account gets the default v2 format.
  AwsObjects(std::string folder, const Reporters& reporters, std::map<std::string, std::string> fields, int object_minutes);

  // REQUIRES: flow.cloud_interface is one of reporters.interfaces
  Status add(const Flow& flow);
  // A record that says records were lost in the window of `at`.
  Status add_skip_data(uint32_t cloud_interface, TimestampNs at);
  Status finish();
  const AwsTotals& totals() const { return totals_; }

 private:
  enum class Field : uint8_t;
  struct Account {
    std::string id, region, header;
    std::vector<Field> fields;
    std::string text;           // the open object
    TimestampNs window = 0;     // its start; 0 while none is open
    std::vector<bool> seen;     // by interface: wrote a record in this window
  };

  Status open_window(Account& account, TimestampNs at);
  Status close_window(Account& account);
  void put(Account& account, const CloudInterface& interface, const Flow* flow, std::string_view log_status, TimestampNs from,
           TimestampNs to);

  std::string folder_;
  const Reporters& reporters_;
  DurationNs window_;
  std::vector<Account> accounts_;
  std::vector<uint32_t> account_of_;  // by interface
  AwsTotals totals_;
};

}  // namespace sluice::generate
