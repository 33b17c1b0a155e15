#include "bench/generate/udp_sender.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include "storage/model/ip.h"

namespace sluice::generate {
namespace {

constexpr size_t kSlot = 2'048;
constexpr size_t kTrainBytesMax = 65'000;  // a datagram's most, less headers

// Room for the size of a train's packets.
struct alignas(cmsghdr) Control {
  std::array<char, CMSG_SPACE(sizeof(uint16_t))> bytes;
};
constexpr std::chrono::milliseconds kCatchUpMax{5};

bool is_loopback(const IpAddress& ip) {
  if (ip.is_v4()) return ip.v4_value() >> 24 == 127;
  return ip.high() == 0 && ip.low() == 1;
}

}  // namespace

Result<UdpSender> UdpSender::open(const std::string& target, uint64_t flows_per_second) {
  const size_t colon = target.rfind(':');
  std::string_view host = std::string_view(target).substr(0, colon == std::string::npos ? 0 : colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  uint16_t port = 0;
  const char* end = target.data() + target.size();
  const auto parsed = std::from_chars(target.data() + (colon == std::string::npos ? 0 : colon + 1), end, port);
  const auto ip = parse_ip(host);
  if (!ip || parsed.ec != std::errc() || parsed.ptr != end || port == 0)
    return Error{ErrorCode::invalid_argument, "not an ADDRESS:PORT to send to: " + target};
  if (!is_loopback(*ip)) return Error{ErrorCode::forbidden, "flows are sent to this machine only (127.0.0.0/8, ::1): " + target};

  UdpSender sender;
  sockaddr_storage address{};
  socklen_t length;
  if (ip->is_v4()) {
    auto* in = reinterpret_cast<sockaddr_in*>(&address);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl(ip->v4_value());
    length = sizeof *in;
  } else {
    auto* in = reinterpret_cast<sockaddr_in6*>(&address);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    std::memcpy(&in->sin6_addr, ip->bytes.data(), 16);
    length = sizeof *in;
  }
  sender.socket_ = ::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sender.socket_ < 0) return Error::from_errno("cannot open a UDP socket", errno);
  const int buffer = 8 << 20;
  ::setsockopt(sender.socket_, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);  // best effort
  if (::connect(sender.socket_, reinterpret_cast<sockaddr*>(&address), length) != 0)
    return Error::from_errno("cannot send to " + target, errno);
  // Since Linux 4.18; asked for as a socket option, as a message's would fail the message.
  const int whole = 0;
  sender.segments_ = ::setsockopt(sender.socket_, SOL_UDP, UDP_SEGMENT, &whole, sizeof whole) == 0;
  sender.rate_ = flows_per_second;
  sender.buffer_.resize(kBatch * kSlot);
  sender.sizes_.reserve(kBatch);
  return sender;
}

UdpSender::UdpSender(UdpSender&& other) noexcept
    : socket_(other.socket_), segments_(other.segments_), rate_(other.rate_), buffer_(std::move(other.buffer_)), sizes_(std::move(other.sizes_)),
      flows_in_batch_(other.flows_in_batch_), totals_(other.totals_), started_(other.started_),
      paced_from_(other.paced_from_) {
  other.socket_ = -1;
}

UdpSender::~UdpSender() {
  if (socket_ >= 0) ::close(socket_);
}

Status UdpSender::send(const Datagram& datagram) {
  if (datagram.payload.size() > kSlot)
    return Error{ErrorCode::too_large, "a packet is longer than " + std::to_string(kSlot) + " bytes: " + std::to_string(datagram.payload.size())};
  std::memcpy(buffer_.data() + sizes_.size() * kSlot, datagram.payload.data(), datagram.payload.size());
  sizes_.push_back(static_cast<uint32_t>(datagram.payload.size()));
  flows_in_batch_ += datagram.flows;
  return sizes_.size() == kBatch ? send_batch() : Status{};
}

Status UdpSender::send_batch() {
  if (sizes_.empty()) return {};
  if (totals_.packets == 0) started_ = paced_from_ = std::chrono::steady_clock::now();
  if (rate_ > 0) {
    const auto due = paced_from_ + std::chrono::nanoseconds(static_cast<int64_t>(static_cast<double>(totals_.flows) / static_cast<double>(rate_) * 1e9));
    const auto early = due - std::chrono::steady_clock::now();
    // Sleeping is late by some 50 µs; the batches after it catch up. What is lost beyond that stays lost: a long burst
    // would measure the collector's buffer, not its speed.
    if (early > std::chrono::microseconds(20)) std::this_thread::sleep_until(due);
    if (-early > kCatchUpMax) paced_from_ += -early - kCatchUpMax;
  }
  // Packets of one size go down as one buffer that the kernel cuts up (UDP_SEGMENT), which costs a fraction: the collector shares the
  // machine with us. The last of a train may be shorter.
  std::array<iovec, kBatch> vectors;
  std::array<mmsghdr, kBatch> messages{};
  std::array<Control, kBatch> controls{};
  size_t trains = 0;
  for (size_t i = 0; i < sizes_.size();) {
    const size_t first = i;
    size_t bytes = 0;
    do {
      vectors[i] = {buffer_.data() + i * kSlot, sizes_[i]};
      bytes += sizes_[i++];
    } while (segments_ && i < sizes_.size() && sizes_[i - 1] == sizes_[first] && sizes_[i] <= sizes_[first] && sizes_[i] > 0 &&
             bytes + sizes_[i] <= kTrainBytesMax);
    totals_.bytes += bytes;
    msghdr& header = messages[trains].msg_hdr;
    header.msg_iov = &vectors[first];
    header.msg_iovlen = i - first;
    if (i - first > 1) {
      header.msg_control = controls[trains].bytes.data();
      header.msg_controllen = sizeof(Control);
      cmsghdr* const control = CMSG_FIRSTHDR(&header);
      control->cmsg_level = SOL_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      const auto size = static_cast<uint16_t>(sizes_[first]);
      std::memcpy(CMSG_DATA(control), &size, sizeof size);
    }
    ++trains;
  }
  for (size_t sent = 0; sent < trains;) {
    const int n = ::sendmmsg(socket_, messages.data() + sent, static_cast<unsigned>(trains - sent), 0);
    if (n < 0 && (errno == EINTR || errno == ENOBUFS)) continue;
    // ECONNREFUSED tells of an earlier packet: nobody listens.
    if (n < 0) return Error::from_errno("cannot send (does the collector listen?)", errno);
    sent += static_cast<size_t>(n);
  }
  totals_.packets += sizes_.size();
  totals_.flows += flows_in_batch_;
  flows_in_batch_ = 0;
  sizes_.clear();
  return {};
}

Status UdpSender::finish() {
  SLUICE_TRY(send_batch());
  if (totals_.packets > 0) totals_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  return {};
}

}  // namespace sluice::generate
