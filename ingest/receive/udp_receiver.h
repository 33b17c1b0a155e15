// UDP sockets that take packets in and do nothing else: receiving is urgent, decoding is not. A receiver reads whole
// batches (recvmmsg), stamps each packet with its sender and the kernel's arrival time, and hands the packets of a batch to
// one of several bounded queues, chosen by the sender's address, so that all packets of an exporter meet the same decoder
// in order. What does not fit is dropped and counted; so is what the kernel dropped before we came.
//
//   UdpReceiver::open → (receive_once)* by one thread; PacketQueue::take by one thread per queue; stop by any.
//
// No threads of its own; the caller's loop is `while (!stopping) receiver->receive_once(100ms)`.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ingest/receive/limits.h"
#include "storage/model/ip.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// A packet inside a PacketBatch.
struct PacketView {
  IpAddress exporter_ip;
  uint16_t exporter_port = 0;
  TimestampNs received_at = 0;  // the kernel's time of arrival
  std::span<const uint8_t> payload;
};

// Packets end to end in one buffer, so that a batch costs two allocations that are used again and again, not one a packet.
class PacketBatch {
 public:
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  size_t byte_size() const { return bytes_.size(); }
  // REQUIRES: i < size(). Valid while the batch lives and nothing is added.
  PacketView operator[](size_t i) const {
    const Entry& e = entries_[i];
    return {e.exporter_ip, e.port, e.received_at, {bytes_.data() + e.offset, e.length}};
  }
  void add(const IpAddress& ip, uint16_t port, TimestampNs received_at, std::span<const uint8_t> payload) {
    entries_.push_back({ip, bytes_.size(), received_at, static_cast<uint32_t>(payload.size()), port});
    bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  }
  void clear() {
    entries_.clear();
    bytes_.clear();
  }

 private:
  struct Entry {
    IpAddress exporter_ip;
    size_t offset;
    TimestampNs received_at;
    uint32_t length;
    uint16_t port;
  };
  std::vector<Entry> entries_;
  std::vector<uint8_t> bytes_;
};

// A bounded queue of batches between one receiver thread (or several) and one decoder. Bounds: packets, and the bytes
// they hold. Any thread may call any function.
class PacketQueue {
 public:
  explicit PacketQueue(size_t packets_max = limits::kUdpQueuePackets, size_t bytes_max = limits::kUdpQueueBytesMax)
      : packets_max_(packets_max), bytes_max_(bytes_max) {}

  // Takes the batch whole or not at all; `batch` is empty afterwards when taken, and may hold a used buffer for reuse.
  // False (the caller counts the drop) when it does not fit or the queue is closed.
  bool put(PacketBatch& batch);
  // Waits for a batch up to `timeout`; swaps it into `batch`, whose old buffer is kept for reuse. False on timeout and when
  // closed and empty.
  bool take(PacketBatch& batch, DurationNs timeout);
  // put refuses from now on; take still yields what is queued, then false at once.
  void close();

  size_t packets() const;
  bool closed() const;

 private:
  const size_t packets_max_, bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<PacketBatch> batches_;
  std::vector<PacketBatch> spare_;
  size_t packets_ = 0, bytes_ = 0;
  bool closed_ = false;
};

struct UdpStats {
  uint64_t packets = 0;          // received
  uint64_t bytes = 0;            // their payloads
  uint64_t dropped_queue = 0;    // received, but the decoder's queue was full
  uint64_t dropped_kernel = 0;   // the socket's buffer was full (SO_RXQ_OVFL)
  uint64_t truncated = 0;        // longer than our buffer; impossible below 64 KiB, counted all the same
  uint64_t errors = 0;           // recvmmsg failed other than by timeout
  uint64_t receive_buffer_bytes = 0;  // what the kernel granted (it counts its own overhead in)
};

struct UdpOptions {
  std::string address = "127.0.0.1";  // literal IPv4 or IPv6 address; "::" takes IPv4 too
  uint16_t port = 0;                  // 0: any free one, see bound_port()
  int receive_buffer_bytes = 64 << 20;  // asked for; the kernel may grant less (net.core.rmem_max)
};

class UdpReceiver {
 public:
  // Binds. conflict when the address is in use, io for anything else the system refuses; the message names address:port.
  // REQUIRES: !queues.empty(), none null. The queues are shared with the decoders.
  static Result<std::unique_ptr<UdpReceiver>> open(const UdpOptions& options, std::vector<std::shared_ptr<PacketQueue>> queues);
  ~UdpReceiver();
  UdpReceiver(const UdpReceiver&) = delete;
  UdpReceiver& operator=(const UdpReceiver&) = delete;

  uint16_t bound_port() const { return port_; }
  std::string bound_address() const;  // "127.0.0.1:2055", "[::1]:2055"

  // Waits up to `timeout` for packets, then takes all that have come (bounded rounds) and hands them on. After a round that brought
  // many it waits 2 ms instead, and for no packet in particular: more have come then. Returns how many packets were received; 0 when
  // none came, or after stop(). io when the socket is broken. One thread.
  Result<size_t> receive_once(DurationNs timeout);
  // Wakes a waiting receive_once, and makes later ones return 0 at once. Any thread.
  void stop();
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  // Any thread.
  UdpStats stats() const;

 private:
  struct Buffers;
  UdpReceiver(int socket, int wake, uint16_t port, std::string address, std::vector<std::shared_ptr<PacketQueue>> queues,
              uint64_t granted);

  const int socket_;
  const int wake_;  // eventfd
  const uint16_t port_;
  const std::string address_;
  const std::vector<std::shared_ptr<PacketQueue>> queues_;
  const std::unique_ptr<Buffers> buffers_;
  const uint64_t granted_;
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> packets_{0}, bytes_{0}, dropped_queue_{0}, dropped_kernel_{0}, truncated_{0}, errors_{0};
};

}  // namespace sluice::ingest
