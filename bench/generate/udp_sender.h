// Sends export packets to a collector on this machine, at a steady rate.
//
// Loopback only: a generator must never be a way to flood someone else. Packets go out in batches, those of one size as one
// train that the kernel cuts up; the pace is kept against the monotonic clock, so a late batch is caught up by the next.
// Blocks while sending. Not thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/generate/packet.h"
#include "storage/model/result.h"

namespace sluice::generate {

struct SendTotals {
  uint64_t flows = 0, packets = 0, bytes = 0;
  double seconds = 0;
};

// (send* finish)
class UdpSender {
 public:
  // `target` is ADDRESS:PORT with an IPv4 or [IPv6] loopback address; anything else is forbidden. `flows_per_second` 0 is
  // as fast as it goes.
  static Result<UdpSender> open(const std::string& target, uint64_t flows_per_second);
  UdpSender(UdpSender&& other) noexcept;
  UdpSender& operator=(UdpSender&&) = delete;
  ~UdpSender();

  Status send(const Datagram& datagram);
  Status finish();
  SendTotals totals() const { return totals_; }

 private:
  UdpSender() = default;
  Status send_batch();

  static constexpr size_t kBatch = 32;
  int socket_ = -1;
  bool segments_ = false;                 // the kernel cuts trains of packets
  uint64_t rate_ = 0;
  std::vector<uint8_t> buffer_;           // kBatch slots of 2,048 bytes
  std::vector<uint32_t> sizes_;
  uint64_t flows_in_batch_ = 0;
  SendTotals totals_;
  std::chrono::steady_clock::time_point started_{}, paced_from_{};
};

}  // namespace sluice::generate
