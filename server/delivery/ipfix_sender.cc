#include "server/delivery/ipfix_sender.h"

#include <algorithm>
#include <array>
#include <optional>

#include "server/delivery/datagram_socket.h"
#include "server/delivery/stream_connection.h"

namespace sluice::delivery {
namespace {

// RFC 7011 section 3: version 10, set 2 for templates, own templates from 256.
constexpr uint16_t kVersion = 10, kTemplateSet = 2, kV4Template = 256, kV6Template = 257;
constexpr size_t kHeaderBytes = 16, kSetHeaderBytes = 4;
// A datagram that no path cuts (RFC 7011 section 10.3.3 wants none that does), and a message over a stream.
constexpr size_t kDatagramBytes = 1'400, kStreamMessageBytes = 60'000;
constexpr DurationNs kTemplatesEvery = kMinute;

struct Element {
  uint16_t id;
  uint16_t bytes;
  std::string_view column;  // as queries name it
  // A timestamp goes in milliseconds.
  bool is_time = false;
};
// IANA's registry of IPFIX entities; addresses stand between these two halves.
constexpr Element kBefore[] = {{152, 8, "flow_start", true}, {153, 8, "flow_end", true}};
constexpr Element kBehind[] = {
    {7, 2, "src_port"},   {11, 2, "dst_port"},  {4, 1, "protocol"}, {5, 1, "tos"},  {6, 2, "tcp_flags"}, {1, 8, "bytes"},      {2, 8, "packets"},
    {10, 4, "input_if"},  {14, 4, "output_if"}, {16, 4, "src_as"},  {17, 4, "dst_as"}, {58, 2, "vlan"},     {61, 1, "direction"}, {136, 1, "end_reason"},
};
struct AddressElement {
  uint16_t v4, v6;
  std::string_view column;
};
constexpr AddressElement kAddresses[] = {{8, 27, "src_ip"}, {12, 28, "dst_ip"}, {15, 62, "next_hop"}, {130, 131, "exporter_ip"}};

void put(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> 8 * i);
}
void set_length(std::string& out, size_t at, size_t length) {
  out[at] = static_cast<char>(length >> 8);
  out[at + 1] = static_cast<char>(length);
}

void put_template(std::string& out, uint16_t id, bool is_v6) {
  put(out, id, 2);
  put(out, std::size(kBefore) + std::size(kAddresses) + std::size(kBehind), 2);
  const auto element = [&](uint16_t number, size_t bytes) {
    put(out, number, 2);
    put(out, bytes, 2);
  };
  for (const Element& e : kBefore) element(e.id, e.bytes);
  for (const AddressElement& a : kAddresses) element(is_v6 ? a.v6 : a.v4, is_v6 ? 16 : 4);
  for (const Element& e : kBehind) element(e.id, e.bytes);
}

size_t templates_bytes() {
  static const size_t bytes = [] {
    std::string out;
    put_template(out, kV4Template, false);
    put_template(out, kV6Template, true);
    return kSetHeaderBytes + out.size();
  }();
  return bytes;
}

struct IpfixOptions {
  HostPort to;
  bool is_datagram = true;
  uint32_t domain = 0;
  StreamOptions stream;
};

class IpfixSender final : public Sender {
 public:
  explicit IpfixSender(IpfixOptions options) : options_(std::move(options)) {}

  // There is no such thing as an alert here; the templates show whether the collector can be reached.
  Attempt send(std::span<const Notice>, TimestampNs now) override {
    templates_at_.reset();
    const Status sent = send_some({}, now);
    return sent.ok() ? Attempt{} : Attempt::failed(sent.error());
  }

  Attempt forward(std::span<const FlowDocument> flows, TimestampNs now) override {
    const size_t most = options_.is_datagram ? kDatagramBytes : kStreamMessageBytes;
    for (size_t at = 0; at < flows.size();) {
      size_t bytes = kHeaderBytes + templates_bytes(), end = at;
      // A set header each at worst, where versions alternate.
      while (end < flows.size() && (end == at || bytes + flows[end].body.size() + kSetHeaderBytes <= most)) bytes += flows[end++].body.size() + kSetHeaderBytes;
      if (const Status sent = send_some(flows.subspan(at, end - at), now); !sent.ok()) return Attempt::failed(sent.error(), at);
      at = end;
    }
    return {};
  }

 private:
  Status send_some(std::span<const FlowDocument> flows, TimestampNs now) {
    if (options_.is_datagram && !socket_) {
      SLUICE_ASSIGN(socket_, open_datagram_socket(options_.to));
      templates_at_.reset();
    }
    if (!options_.is_datagram && (!stream_ || stream_->is_closed())) {
      stream_.reset();
      SLUICE_ASSIGN(stream_, connect_stream(options_.stream));
      templates_at_.reset();
      sequence_ = 0;  // of this session: RFC 7011 section 3.1
    }
    const bool with_templates = !templates_at_ || (options_.is_datagram && (now - *templates_at_ >= kTemplatesEvery || now < *templates_at_));
    const std::string message = ipfix_message(flows, with_templates, now, sequence_, options_.domain);
    const Status sent = options_.is_datagram ? socket_->send(message) : stream_->send(message, limits::kDeliveryTimeout);
    if (!sent.ok()) {
      stream_.reset();
      return sent;
    }
    if (with_templates) templates_at_ = now;
    sequence_ += static_cast<uint32_t>(flows.size());
    return {};
  }

  const IpfixOptions options_;
  std::unique_ptr<DatagramSocket> socket_;
  std::unique_ptr<StreamConnection> stream_;
  std::optional<TimestampNs> templates_at_;  // over this connection; unset: not yet
  uint32_t sequence_ = 0;
};

}  // namespace

std::string ipfix_record(const Batch& flows, size_t row) {
  const auto column = [&](std::string_view name) -> const Column* {
    for (size_t c = 0; c < flows.columns.size(); ++c)
      if ((*flows.schema)[c].name == name) return flows.columns[c].is_null(row) ? nullptr : &flows.columns[c];
    return nullptr;
  };
  const auto number = [&](const Element& e) -> uint64_t {
    const Column* c = column(e.column);
    if (!c) return 0;
    if (e.is_time) return static_cast<uint64_t>(std::max<int64_t>(0, c->int_at(row) / kMillisecond));
    const uint64_t value = c->uint_at(row);
    // What does not fit is the most that does.
    const uint64_t most = e.bytes == 8 ? UINT64_MAX : (uint64_t{1} << 8 * e.bytes) - 1;
    return std::min(value, most);
  };
  const Column *src = column("src_ip"), *dst = column("dst_ip");
  const bool is_v6 = (src && !src->ip_at(row).is_v4()) || (dst && !dst->ip_at(row).is_v4());
  std::string out(1, is_v6 ? '\6' : '\4');
  for (const Element& e : kBefore) put(out, number(e), e.bytes);
  for (const AddressElement& a : kAddresses) {
    const Column* c = column(a.column);
    if (is_v6) {
      // An IPv4 address among IPv6 ones is mapped (RFC 4291 section 2.5.5.2), as addresses lie in memory here.
      const IpAddress ip = c ? c->ip_at(row) : IpAddress{};
      for (const uint8_t byte : ip.bytes) out += static_cast<char>(byte);
    } else {
      put(out, c && c->ip_at(row).is_v4() ? c->ip_at(row).v4_value() : 0, 4);
    }
  }
  for (const Element& e : kBehind) put(out, number(e), e.bytes);
  return out;
}

std::string ipfix_message(std::span<const FlowDocument> records, bool with_templates, TimestampNs now, uint32_t sequence, uint32_t domain) {
  std::string out;
  put(out, kVersion, 2);
  put(out, 0, 2);  // the length, below
  put(out, static_cast<uint64_t>(now / kSecond), 4);
  put(out, sequence, 4);
  put(out, domain, 4);
  if (with_templates) {
    put(out, kTemplateSet, 2);
    put(out, templates_bytes(), 2);
    put_template(out, kV4Template, false);
    put_template(out, kV6Template, true);
  }
  for (size_t i = 0; i < records.size();) {
    const char kind = records[i].body[0];
    const size_t set = out.size();
    put(out, kind == '\6' ? kV6Template : kV4Template, 2);
    put(out, 0, 2);
    for (; i < records.size() && records[i].body[0] == kind; ++i) out.append(records[i].body, 1);
    set_length(out, set + 2, out.size() - set);
  }
  SLUICE_CHECK(out.size() < 65'536);
  set_length(out, 2, out.size());
  return out;
}

Result<MadeTarget> make_ipfix(ingest::DeclaredSettings& settings) {
  IpfixOptions options;
  SLUICE_ASSIGN(const std::string address, settings.required("address"));
  const auto to = parse_host_port(address);
  if (!to.ok()) return settings.error_at("address", to.error().message);
  options.to = *to;
  options.stream.host = to->bracketed();
  options.stream.port = to->port;
  constexpr std::string_view kTransports[] = {"udp", "tcp", "tls"};
  SLUICE_ASSIGN(const size_t transport, settings.choice("transport", kTransports, 0));
  options.is_datagram = transport == 0;
  options.stream.tls = transport == 2;
  SLUICE_ASSIGN(const uint64_t domain, settings.count("domain", 0, 0, UINT32_MAX));
  options.domain = static_cast<uint32_t>(domain);
  if (options.stream.tls) {
    SLUICE_ASSIGN(options.stream.ca_file, settings.text("ca_file"));
    SLUICE_ASSIGN(options.stream.certificate_file, settings.text("certificate_file"));
    SLUICE_ASSIGN(options.stream.key_file, settings.text("key_file"));
  }
  return MadeTarget{std::string(kTransports[transport]) + " " + address, [options](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      IpfixOptions with = options;
                      with.stream.stopping = stopping;
                      return std::unique_ptr<Sender>(std::make_unique<IpfixSender>(std::move(with)));
                    }};
}

}  // namespace sluice::delivery
