#include "server/delivery/datagram_socket.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "server/delivery/alert_shape.h"

namespace sluice::delivery {
namespace {

// Connected, so that "nobody listens there" comes back as an error of a later datagram.
class UdpSocket final : public DatagramSocket {
 public:
  explicit UdpSocket(const HostPort& to) : place_(to.bracketed() + ":" + std::to_string(to.port)) {}
  ~UdpSocket() override {
    if (socket_ >= 0) ::close(socket_);
  }
  Status open(const HostPort& to) {
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_socktype = SOCK_DGRAM;
    if (const int error = ::getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &wanted, &found); error != 0)
      return Error{ErrorCode::io, "cannot find " + to.host + ": " + ::gai_strerror(error)};
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(found, ::freeaddrinfo);
    int error = 0;
    for (const addrinfo* at = found; at; at = at->ai_next) {
      socket_ = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
      if (socket_ >= 0 && ::connect(socket_, at->ai_addr, at->ai_addrlen) == 0) return {};
      error = errno;
      if (socket_ >= 0) ::close(socket_);
      socket_ = -1;
    }
    return Error::from_errno("cannot send to " + place_, error);
  }
  Status send(std::string_view datagram) override {
    // An error may be of a datagram before this one, of which we do not know whether it arrived: once more, and then it is this one's.
    for (int i = 0; i < 2; ++i)
      if (::send(socket_, datagram.data(), datagram.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(datagram.size())) return {};
    return Error::from_errno("cannot send to " + place_, errno);
  }

 private:
  const std::string place_;
  int socket_ = -1;
};

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  HostPort out;
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon), port = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  constexpr std::string_view kOfNames = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", kOfAddresses = "0123456789abcdefABCDEF:.";
  if (out.port == 0 || error != std::errc() || end != port.data() + port.size() || host.empty() || host.size() > 253 ||
      host.find_first_not_of(is_bracketed ? kOfAddresses : kOfNames) != std::string_view::npos)
    return Error{ErrorCode::invalid_argument, "is a host and a port such as siem.example.net:514 or [2001:db8::1]:6514, not '" + without_controls(text.substr(0, 100)) + "'"};
  out.host = host;
  return out;
}

Result<std::unique_ptr<DatagramSocket>> open_datagram_socket(const HostPort& to) {
  auto socket = std::make_unique<UdpSocket>(to);
  SLUICE_TRY(socket->open(to));
  return std::unique_ptr<DatagramSocket>(std::move(socket));
}

}  // namespace sluice::delivery
