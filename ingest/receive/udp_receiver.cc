#include "ingest/receive/limits.h"
#include "ingest/receive/udp_receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace sluice::ingest {
namespace {

// Packets of one recvmmsg call. Large enough that a call costs nothing per packet, small enough for the cache.
constexpr size_t kPacketsPerCall = 256;
// Calls of one receive_once, so that stop and the caller's own work are never far.
constexpr int kCallsPerRound = 16;
// A round of this many packets tells of more to come: the next one waits for them, as waking up for each few of them costs more
// than taking them. The decoder behind then also gets them in fewer hand-overs.
constexpr size_t kBusyPackets = 16;
constexpr timespec kGather = {0, 2'000'000};
// Unless what came in the round before took more than one part in this of the socket's buffer.
constexpr uint64_t kGatherShare = 8;
// What the kernel counts for a packet beside its payload, at most about.
constexpr uint64_t kPacketOverhead = 3'072;
// Room for the arrival time and the drop counter, and to spare.
constexpr size_t kControlBytes = 128;

std::string where(const UdpOptions& options) {
  const bool v6 = options.address.find(':') != std::string::npos;
  return (v6 ? "[" + options.address + "]" : options.address) + ":" + std::to_string(options.port);
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool read_sender(const sockaddr_storage& address, IpAddress& ip, uint16_t& port) {
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    ip = IpAddress::v4(ntohl(in.sin_addr.s_addr));
    port = ntohs(in.sin_port);
    return true;
  }
  if (address.ss_family == AF_INET6) {
    // A dual-stack socket shows IPv4 senders mapped, which is how the model keeps them anyway.
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
    ip = IpAddress::v6_bytes(in.sin6_addr.s6_addr);
    port = ntohs(in.sin6_port);
    return true;
  }
  return false;
}

}  // namespace

bool PacketQueue::put(PacketBatch& batch) {
  const size_t packets = batch.size(), bytes = batch.byte_size();
  {
    const std::lock_guard lock(mutex_);
    // An empty queue takes any one batch, so that no batch is too large for ever.
    if (closed_ || (packets_ > 0 && (packets_ + packets > packets_max_ || bytes_ + bytes > bytes_max_))) return false;
    packets_ += packets;
    bytes_ += bytes;
    batches_.push_back(std::move(batch));
    batch = PacketBatch();
    if (!spare_.empty()) {
      batch = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  ready_.notify_one();
  return true;
}

bool PacketQueue::take(PacketBatch& batch, DurationNs timeout) {
  std::unique_lock lock(mutex_);
  ready_.wait_for(lock, std::chrono::nanoseconds(timeout), [&] { return closed_ || !batches_.empty(); });
  if (batches_.empty()) return false;
  batch.clear();
  // A few spare buffers are enough for a steady flow; after a burst the rest goes back to the allocator.
  constexpr size_t kSpareBatches = 8;
  if (spare_.size() < kSpareBatches) spare_.push_back(std::move(batch));
  batch = std::move(batches_.front());
  batches_.pop_front();
  packets_ -= batch.size();
  bytes_ -= batch.byte_size();
  return true;
}

void PacketQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  ready_.notify_all();
}

size_t PacketQueue::packets() const {
  const std::lock_guard lock(mutex_);
  return packets_;
}

bool PacketQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

// What recvmmsg writes into. Every slot holds a whole datagram of any size: 16 MiB of address space, of which the kernel
// only backs the pages that packets have touched.
struct UdpReceiver::Buffers {
  std::vector<uint8_t> payload;
  std::vector<std::array<char, kControlBytes>> control{kPacketsPerCall};
  std::vector<sockaddr_storage> senders{kPacketsPerCall};
  std::vector<iovec> vectors{kPacketsPerCall};
  std::vector<mmsghdr> messages{kPacketsPerCall};
  std::vector<PacketBatch> outgoing;  // per queue
  bool gather = false;                // the next round waits for packets to gather
  uint32_t kernel_drops_seen = 0;     // SO_RXQ_OVFL counts since the socket's birth, in 32 bits

  explicit Buffers(size_t queues) : payload(kPacketsPerCall * limits::kDatagramBytesMax), outgoing(queues) {
    for (size_t i = 0; i < kPacketsPerCall; ++i) {
      vectors[i] = {payload.data() + i * limits::kDatagramBytesMax, limits::kDatagramBytesMax};
      msghdr& header = messages[i].msg_hdr;
      header = {};
      header.msg_name = &senders[i];
      header.msg_iov = &vectors[i];
      header.msg_iovlen = 1;
      header.msg_control = control[i].data();
    }
  }
  // The kernel overwrites these lengths with what it used.
  void rearm(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage);
      messages[i].msg_hdr.msg_controllen = kControlBytes;
      messages[i].msg_hdr.msg_flags = 0;
    }
  }
};

Result<std::unique_ptr<UdpReceiver>> UdpReceiver::open(const UdpOptions& options, std::vector<std::shared_ptr<PacketQueue>> queues) {
  SLUICE_CHECK(!queues.empty());
  for (const auto& queue : queues) SLUICE_CHECK(queue != nullptr);

  sockaddr_storage address{};
  socklen_t length = 0;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET, options.address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(options.port);
    length = sizeof v4;
  } else if (inet_pton(AF_INET6, options.address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(options.port);
    length = sizeof v6;
  } else {
    return Error{ErrorCode::invalid_argument, "address to receive UDP on is not an IPv4 or IPv6 address: " + options.address};
  }

  Socket fd(::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return Error::from_errno("cannot open a UDP socket for " + where(options), errno);
  const int on = 1, off = 0;
  if (address.ss_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  // FORCE needs CAP_NET_ADMIN and goes beyond net.core.rmem_max; the plain option is cut to it silently. Neither failing is
  // an error: stats() shows what was granted, and drops are counted.
  const int wanted = options.receive_buffer_bytes;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
    return Error::from_errno("cannot have arrival times for " + where(options), errno);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    const int failed = errno;
    if (failed == EADDRINUSE)
      return Error{ErrorCode::conflict, "UDP address is in use by another program: " + where(options)};
    return Error::from_errno("cannot receive UDP on " + where(options), failed);
  }
  sockaddr_storage bound{};
  socklen_t bound_length = sizeof bound;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bound_length) != 0)
    return Error::from_errno("cannot ask for the bound address of " + where(options), errno);
  IpAddress ignored;
  uint16_t port = 0;
  read_sender(bound, ignored, port);
  int granted = 0;
  socklen_t granted_length = sizeof granted;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &granted, &granted_length);

  Socket wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake.get() < 0) return Error::from_errno("cannot open an eventfd", errno);
  UdpOptions named = options;
  named.port = port;
  return std::unique_ptr<UdpReceiver>(new UdpReceiver(fd.release(), wake.release(), port, where(named), std::move(queues),
                                                      static_cast<uint64_t>(std::max(granted, 0))));
}

UdpReceiver::UdpReceiver(int socket, int wake, uint16_t port, std::string address,
                         std::vector<std::shared_ptr<PacketQueue>> queues, uint64_t granted)
    : socket_(socket),
      wake_(wake),
      port_(port),
      address_(std::move(address)),
      queues_(std::move(queues)),
      buffers_(std::make_unique<Buffers>(queues_.size())),
      granted_(granted) {}

UdpReceiver::~UdpReceiver() {
  ::close(socket_);
  ::close(wake_);
}

std::string UdpReceiver::bound_address() const { return address_; }

void UdpReceiver::stop() {
  stopped_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  // Can only fail when the counter is full, and then the waiter is awake already.
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

Result<size_t> UdpReceiver::receive_once(DurationNs timeout) {
  if (stopped()) return size_t{0};
  Buffers& b = *buffers_;
  if (std::exchange(b.gather, false)) {
    // Not to be woken by packets.
    pollfd wake = {wake_, POLLIN, 0};
    timespec limit = kGather;
    if (::ppoll(&wake, 1, &limit, nullptr) < 0 && errno != EINTR) return Error::from_errno("cannot wait for packets on " + address_, errno);
    if (stopped()) return size_t{0};
  } else {
    pollfd waiting[2] = {{socket_, POLLIN, 0}, {wake_, POLLIN, 0}};
    timespec limit{static_cast<time_t>(timeout / kSecond), static_cast<long>(timeout % kSecond)};
    const int ready = ::ppoll(waiting, 2, &limit, nullptr);
    if (ready < 0 && errno != EINTR) return Error::from_errno("cannot wait for packets on " + address_, errno);
    if (ready <= 0 || stopped() || waiting[0].revents == 0) return size_t{0};
  }

  size_t total = 0;
  uint64_t total_bytes = 0;
  for (int call = 0; call < kCallsPerRound; ++call) {
    b.rearm(kPacketsPerCall);
    const int count = ::recvmmsg(socket_, b.messages.data(), kPacketsPerCall, MSG_DONTWAIT, nullptr);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) break;
      errors_.fetch_add(1, std::memory_order_relaxed);
      // Pending ICMP errors of sockets that also send; taken off by the call itself.
      if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH || errno == ENOMEM || errno == ENOBUFS) break;
      return Error::from_errno("cannot receive on " + address_, errno);
    }
    uint64_t bytes = 0, truncated = 0;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      msghdr& header = b.messages[i].msg_hdr;
      IpAddress ip;
      uint16_t port = 0;
      if (!read_sender(b.senders[i], ip, port)) continue;
      TimestampNs received_at = 0;
      for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET) continue;
        if (c->cmsg_type == SCM_TIMESTAMPNS) {
          timespec time;
          std::memcpy(&time, CMSG_DATA(c), sizeof time);
          received_at = static_cast<TimestampNs>(time.tv_sec) * kSecond + time.tv_nsec;
        } else if (c->cmsg_type == SO_RXQ_OVFL) {
          uint32_t drops;
          std::memcpy(&drops, CMSG_DATA(c), sizeof drops);
          // A difference of 32-bit counters: right across the wrap.
          const uint32_t more = drops - b.kernel_drops_seen;
          if (more != 0) dropped_kernel_.fetch_add(more, std::memory_order_relaxed);
          b.kernel_drops_seen = drops;
        }
      }
      if (header.msg_flags & MSG_TRUNC) ++truncated;
      const size_t length = std::min<size_t>(b.messages[i].msg_len, limits::kDatagramBytesMax);
      bytes += length;
      const size_t queue = queues_.size() == 1 ? 0 : hash_of(ip) % queues_.size();
      b.outgoing[queue].add(ip, port, received_at, {static_cast<const uint8_t*>(b.vectors[i].iov_base), length});
    }
    total += static_cast<size_t>(count);
    total_bytes += bytes;
    packets_.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    if (truncated != 0) truncated_.fetch_add(truncated, std::memory_order_relaxed);
    for (size_t q = 0; q < queues_.size(); ++q) {
      PacketBatch& batch = b.outgoing[q];
      if (batch.empty()) continue;
      const size_t packets = batch.size();
      if (!queues_[q]->put(batch)) {
        dropped_queue_.fetch_add(packets, std::memory_order_relaxed);
        batch.clear();
      }
    }
    if (static_cast<size_t>(count) < kPacketsPerCall || stopped()) break;
  }
  b.gather = total >= kBusyPackets && (total_bytes + total * kPacketOverhead) * kGatherShare <= granted_;
  return total;
}

UdpStats UdpReceiver::stats() const {
  const auto read = [](const std::atomic<uint64_t>& n) { return n.load(std::memory_order_relaxed); };
  return {read(packets_), read(bytes_),     read(dropped_queue_), read(dropped_kernel_),
          read(truncated_), read(errors_), granted_};
}

}  // namespace sluice::ingest
