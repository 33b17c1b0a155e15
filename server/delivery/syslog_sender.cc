#include "server/delivery/syslog_sender.h"

#include <unistd.h>

#include <algorithm>

#include "server/delivery/alert_shape.h"
#include "server/delivery/datagram_socket.h"
#include "server/delivery/stream_connection.h"

namespace sluice::delivery {

using ingest::DeclaredSettings;

namespace {

enum class Transport : uint8_t { udp, tcp, tls };

struct SyslogOptions {
  HostPort to;
  Transport transport = Transport::udp;
  bool ends_lines = false;  // framing by line ends
  AlertShape shape = AlertShape::plain;
  int facility = 16;
  std::string hostname, app_name;
  StreamOptions stream;
};

class SyslogSender final : public Sender {
 public:
  explicit SyslogSender(SyslogOptions options) : options_(std::move(options)) {}

  Attempt send(std::span<const Notice> notices, TimestampNs) override {
    // Emergency and alert are for systems that cannot go on.
    static constexpr int kSeverities[] = {6, 5, 4, 3, 2};
    return each(notices.size(), [&](size_t i) {
      const Notice& n = notices[i];
      return message(kSeverities[static_cast<size_t>(n.alert.severity)], n.at, "alert", alert_text(n, options_.shape), options_.shape == AlertShape::plain);
    });
  }
  Attempt forward(std::span<const FlowDocument> flows, TimestampNs now) override {
    return each(flows.size(), [&](size_t i) { return message(6, now, "flow", flows[i].body, false); });
  }

 private:
  std::string message(int severity, TimestampNs time, std::string_view id, std::string_view text, bool marks_utf8) const {
    return syslog_message({options_.facility, severity, time, options_.hostname, options_.app_name, {}, id}, text, marks_utf8);
  }
  template <typename F>
  Attempt each(size_t count, F&& make) {
    if (const Status ready = connect(); !ready.ok()) return Attempt::failed(ready.error());
    for (size_t i = 0; i < count; ++i) {
      const std::string text = make(i);
      Status sent;
      if (options_.transport == Transport::udp) {
        if (text.size() > limits::kSyslogDatagramBytesMax)
          return Attempt::refused_for_good({ErrorCode::too_large, "a message is larger than a datagram may be: " + std::to_string(text.size()) + " bytes"}, i);
        sent = udp_->send(text);
      } else {
        sent = stream_->send(options_.ends_lines ? text + "\n" : octet_counted(text), limits::kDeliveryTimeout);
      }
      if (!sent.ok()) {
        stream_.reset();
        udp_.reset();
        return Attempt::failed(sent.error(), i);
      }
    }
    return {};
  }
  Status connect() {
    if (options_.transport == Transport::udp) {
      if (udp_) return {};
      SLUICE_ASSIGN(udp_, open_datagram_socket(options_.to));
      return {};
    }
    if (stream_ && !stream_->is_closed()) return {};
    stream_.reset();
    SLUICE_ASSIGN(stream_, connect_stream(options_.stream));
    return {};
  }

  const SyslogOptions options_;
  std::unique_ptr<DatagramSocket> udp_;
  std::unique_ptr<StreamConnection> stream_;
};

// PRINTUSASCII of at most `most` characters; anything else is a name of ours with '_' in its place.
void append_field(std::string& out, std::string_view text, size_t most) {
  out += ' ';
  if (text.empty()) out += '-';
  for (const char c : text.substr(0, most)) out += c > 0x20 && c < 0x7f ? c : '_';
}

}  // namespace

std::string syslog_message(const SyslogHeader& header, std::string_view message, bool marks_utf8) {
  std::string out = "<" + std::to_string(header.facility * 8 + header.severity) + ">1 ";
  // Six digits of a second at most.
  out += format_timestamp(header.time - (header.time % kMicrosecond + kMicrosecond) % kMicrosecond);
  append_field(out, header.hostname, 255);
  append_field(out, header.app_name, 48);
  append_field(out, header.process_id, 128);
  append_field(out, header.message_id, 32);
  out += " - ";
  if (marks_utf8 && std::any_of(message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) out += "\xef\xbb\xbf";
  return out.append(message);
}

std::string octet_counted(std::string_view message) { return std::to_string(message.size()) + " " + std::string(message); }

Result<MadeTarget> make_syslog(DeclaredSettings& settings) {
  SyslogOptions options;
  SLUICE_ASSIGN(const std::string address, settings.required("address"));
  const auto place = parse_host_port(address);
  if (!place.ok()) return settings.error_at("address", place.error().message);
  options.to = *place;
  options.stream.host = place->bracketed();
  options.stream.port = place->port;

  constexpr std::string_view kTransports[] = {"udp", "tcp", "tls"}, kFramings[] = {"octets", "lines"};
  SLUICE_ASSIGN(const size_t transport, settings.choice("transport", kTransports, 0));
  options.transport = static_cast<Transport>(transport);
  options.stream.tls = options.transport == Transport::tls;
  if (settings.options.contains("framing") && options.transport != Transport::tcp) return settings.error_at("framing", "is to be chosen for tcp alone");
  SLUICE_ASSIGN(const size_t framing, settings.choice("framing", kFramings, 0));
  options.ends_lines = framing == 1;
  SLUICE_ASSIGN(options.shape, read_shape(settings, AlertShape::plain));
  SLUICE_ASSIGN(const uint64_t facility, settings.count("facility", 16, 0, 23));
  options.facility = static_cast<int>(facility);
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  SLUICE_ASSIGN(options.hostname, settings.text("hostname", name));
  SLUICE_ASSIGN(options.app_name, settings.text("app_name", "sluice"));
  if (options.transport == Transport::tls) {
    SLUICE_ASSIGN(options.stream.ca_file, settings.text("ca_file"));
    SLUICE_ASSIGN(options.stream.certificate_file, settings.text("certificate_file"));
    SLUICE_ASSIGN(options.stream.key_file, settings.text("key_file"));
  }
  const std::string to = std::string(kTransports[transport]) + " " + address;
  return MadeTarget{to, [options](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      SyslogOptions with = options;
                      with.stream.stopping = stopping;
                      return std::unique_ptr<Sender>(std::make_unique<SyslogSender>(std::move(with)));
                    }};
}

}  // namespace sluice::delivery
