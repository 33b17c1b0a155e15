// The benchmark workload: the flows of PERFORMANCE's table, as a stream of constant memory.
//
// N one-way IPv4 flows whose ends cover 67 minutes evenly, in order of their end to a few milliseconds. About 48 % of the
// rows are the reverse of the row before them (an answer right after its question); the others are questions, a share of
// which are scans that nobody answers (SYN only). About 78,000 distinct addresses come up per million rows, their use is
// heavy-tailed; about 7 M ordered pairs and 10 M (src, dst, dst_port, protocol) in 20 M rows, because part of the
// conversations are long and are reported again and again (active timeout).
//
// The networks: clients 10.16.0.0/14 (16,384 hosts), servers 172.20.0.0/16, resolvers 172.20.0.53-56, the rest is the
// internet. All random choices come from one seed; see prng.h.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bench/generate/flow.h"
#include "bench/generate/prng.h"
#include "storage/model/time.h"

namespace sluice::generate {

struct WorkloadOptions {
  uint64_t seed = 1;
  uint64_t flows = 20'000'000;
  TimestampNs start = 0;  // ends of flows lie in [start, start + kWorkloadSpan)
};

inline constexpr DurationNs kWorkloadSpan = 67 * kMinute;
// Clients of this block ask the DNS question of the comparison.
inline constexpr const char* kWorkloadDnsBlock = "10.17.0.0/16";

class Workload {
 public:
  explicit Workload(const WorkloadOptions& options);

  // The next flow, or false at the end. `flow` is overwritten as a whole.
  bool next(Flow& flow);
  // The one router that reports all of it.
  static Reporters reporters();

 private:
  // What both directions of a conversation share, and how it goes on.
  struct Conversation {
    uint32_t client, server;  // host order
    uint32_t client_as, server_as;
    uint16_t client_port, server_port;
    uint8_t protocol;
    uint8_t client_if, server_if;
    uint8_t kind;
  };

  void begin(Conversation& c);
  void fill(const Conversation& c, Flow& flow);
  uint32_t internet(unsigned per_mille_new, unsigned power);
  uint32_t client();

  WorkloadOptions options_;
  Prng random_;
  uint64_t emitted_ = 0;
  uint32_t known_ = 2048;  // internet addresses that have come up so far
  std::vector<Conversation> recent_;
  size_t recent_next_ = 0;
  bool reverse_pending_ = false;
  Flow reverse_;
  // The scan that is under way: one source walks over targets.
  uint32_t scan_source_ = 0, scan_target_ = 0, scan_left_ = 0;
  uint16_t scan_port_ = 0;
};

// An internet address for each index, one to one, outside the reserved blocks; and its AS number (16 bits).
uint32_t internet_address(uint32_t index);
uint32_t as_number_of(uint32_t address);

}  // namespace sluice::generate
