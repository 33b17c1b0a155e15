#include "ingest/source/goflow2.h"

#include <algorithm>

#include "ingest/receive/protobuf.h"
#include "ingest/source/base64.h"
#include "ingest/source/flow_row.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"

namespace sluice::ingest {
namespace goflow2 {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

// Fields of FlowMessage that mean something here; all others are kept in `extra` where they say something.
enum class Key : uint8_t {
  type, time_received, time_flow_start, time_flow_end, sampling_rate, sampler_address, bytes, packets, src_addr, dst_addr, etype, proto, src_port,
  dst_port, in_if, out_if, src_mac, dst_mac, vlan, dst_vlan, inner_vlan, vni, ip_tos, forwarding_status, tcp_flags, icmp_type, icmp_code,
  src_as, dst_as, next_hop, src_net, dst_net, mpls_label, observation_domain, direction, vrf_in, vrf_out, none,
};

constexpr json::KeyTable<Key, 128> kJsonKeys{
    {"type", Key::type}, {"time_received_ns", Key::time_received}, {"time_received", Key::time_received},
    {"time_flow_start_ns", Key::time_flow_start}, {"time_flow_start", Key::time_flow_start},
    {"time_flow_end_ns", Key::time_flow_end}, {"time_flow_end", Key::time_flow_end},
    {"sampling_rate", Key::sampling_rate}, {"sampler_address", Key::sampler_address}, {"bytes", Key::bytes}, {"packets", Key::packets},
    {"src_addr", Key::src_addr}, {"dst_addr", Key::dst_addr}, {"etype", Key::etype}, {"proto", Key::proto},
    {"src_port", Key::src_port}, {"dst_port", Key::dst_port}, {"in_if", Key::in_if}, {"out_if", Key::out_if},
    {"src_mac", Key::src_mac}, {"dst_mac", Key::dst_mac}, {"src_vlan", Key::vlan}, {"vlan_id", Key::vlan}, {"dst_vlan", Key::dst_vlan},
    {"dot1q_vlan_id", Key::vlan}, {"dot1q_customer_vlan_id", Key::inner_vlan}, {"layer2_segment_id", Key::vni}, {"ip_tos", Key::ip_tos},
    {"forwarding_status", Key::forwarding_status}, {"tcp_flags", Key::tcp_flags}, {"icmp_type", Key::icmp_type}, {"icmp_code", Key::icmp_code},
    {"src_as", Key::src_as}, {"dst_as", Key::dst_as}, {"next_hop", Key::next_hop}, {"src_net", Key::src_net}, {"dst_net", Key::dst_net},
    {"mpls_label", Key::mpls_label}, {"observation_domain_id", Key::observation_domain}, {"flow_direction", Key::direction},
    {"ingress_vrf_id", Key::vrf_in}, {"egress_vrf_id", Key::vrf_out}, {"sequence_num", Key::none},
    // v1 and goflow
    {"Type", Key::type}, {"TimeReceived", Key::time_received}, {"TimeFlowStart", Key::time_flow_start}, {"TimeFlowEnd", Key::time_flow_end},
    {"TimeFlowStartMs", Key::time_flow_start}, {"TimeFlowEndMs", Key::time_flow_end}, {"SamplingRate", Key::sampling_rate},
    {"SamplerAddress", Key::sampler_address}, {"Bytes", Key::bytes}, {"Packets", Key::packets}, {"SrcAddr", Key::src_addr},
    {"DstAddr", Key::dst_addr}, {"Etype", Key::etype}, {"EtypeName", Key::none}, {"Proto", Key::proto}, {"ProtoName", Key::none},
    {"SrcPort", Key::src_port}, {"DstPort", Key::dst_port}, {"InIf", Key::in_if}, {"OutIf", Key::out_if}, {"SrcMac", Key::src_mac},
    {"DstMac", Key::dst_mac}, {"SrcVlan", Key::vlan}, {"VlanId", Key::vlan}, {"DstVlan", Key::dst_vlan}, {"IPTos", Key::ip_tos},
    {"ForwardingStatus", Key::forwarding_status}, {"TCPFlags", Key::tcp_flags}, {"IcmpType", Key::icmp_type}, {"IcmpCode", Key::icmp_code},
    {"IcmpName", Key::none}, {"SrcAS", Key::src_as}, {"DstAS", Key::dst_as}, {"NextHop", Key::next_hop}, {"SrcNet", Key::src_net},
    {"DstNet", Key::dst_net}, {"MPLS1Label", Key::mpls_label}, {"FlowDirection", Key::direction}, {"IngressVrfID", Key::vrf_in},
    {"EgressVrfID", Key::vrf_out}, {"SequenceNum", Key::none},
};

// Field numbers of FlowMessage. v1 and goflow use 2, 5, 38, 63 and 64 for times, v2 110 to 112 (and 38 for IP flags).
struct Number {
  uint32_t number;
  Key key;
  std::string_view extra;  // name where no column holds it
};
constexpr Number kNumbers[] = {
    {1, Key::type, {}}, {2, Key::time_received, {}}, {3, Key::sampling_rate, {}}, {4, Key::none, {}}, {5, Key::time_flow_end, {}}, {6, Key::src_addr, {}},
    {7, Key::dst_addr, {}}, {9, Key::bytes, {}}, {10, Key::packets, {}}, {11, Key::sampler_address, {}}, {12, Key::next_hop, {}},
    {13, Key::none, "next_hop_as"}, {14, Key::src_as, {}}, {15, Key::dst_as, {}}, {16, Key::src_net, {}}, {17, Key::dst_net, {}}, {18, Key::in_if, {}},
    {19, Key::out_if, {}}, {20, Key::proto, {}}, {21, Key::src_port, {}}, {22, Key::dst_port, {}}, {23, Key::ip_tos, {}}, {24, Key::forwarding_status, {}},
    {25, Key::none, "ip_ttl"}, {26, Key::tcp_flags, {}}, {27, Key::src_mac, {}}, {28, Key::dst_mac, {}}, {29, Key::vlan, {}}, {30, Key::etype, {}},
    {31, Key::icmp_type, {}}, {32, Key::icmp_code, {}}, {33, Key::vlan, {}}, {34, Key::dst_vlan, {}}, {35, Key::none, "fragment_id"},
    {36, Key::none, "fragment_offset"}, {37, Key::none, "ipv6_flow_label"}, {39, Key::vrf_in, {}}, {40, Key::vrf_out, {}}, {42, Key::direction, {}},
    {63, Key::time_flow_start, {}}, {64, Key::time_flow_end, {}}, {70, Key::observation_domain, {}}, {71, Key::none, "observation_point_id"},
    {81, Key::mpls_label, {}}, {110, Key::time_received, {}}, {111, Key::time_flow_start, {}}, {112, Key::time_flow_end, {}},
};

constexpr std::string_view kTypes[] = {"FLOWUNKNOWN", "SFLOW_5", "NETFLOW_V5", "NETFLOW_V9", "IPFIX"};
constexpr Source kSources[] = {Source::unknown, Source::sflow5, Source::netflow5, Source::netflow9, Source::ipfix};

bool is_address_key(Key key) { return key == Key::src_addr || key == Key::dst_addr || key == Key::sampler_address || key == Key::next_hop; }

// Whether a value says nothing: what a FlowMessage has where its exporter was silent.
bool is_empty_value(std::string_view text) { return text.empty() || text == "0" || text == "0.0.0.0" || text == "::" || text == "[]" || text == "0.0.0.0/0" || text == "::/0"; }

// A FlowMessage begins with its type, field 1, which no flow lacks. (A length of 8 bytes would be too short for one.)
bool is_message(std::string_view body) { return body.size() > 1 && body[0] == 0x08 && body[1] >= 1 && body[1] <= 15; }
bool is_length_and_message(std::string_view body) {
  const auto length = take_varint(body);
  return length && *length <= body.size() && is_message(body);
}

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report) : report_(report), writer_(context, sink, report) {}

  Status json_body(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) {
      FlowRow& row = begin();
      object o;
      error_code error = document_.open(text, reader.readable_end(), o);
      if (!error)
        error = json::each_field(o, [&](std::string_view key, value& v) -> error_code {
          const Key* known = kJsonKeys.find(key);
          if (known && *known == Key::none) return simdjson::SUCCESS;
          Scalar s;
          if (!known) return other(row, key, v);
          if (*known == Key::mpls_label) return label(row, v);
          if (const auto failed = json::read_scalar(v, s)) return failed;
          if (s.is_nested()) return json::keep_in_extra(row, key, v);
          return must(take(row, *known, key, s.text));
        });
      if (error)
        report_.reject(reader.number(), is_bad_ ? row.fault() : json::error_text(error));
      else
        SLUICE_TRY(write(row, reader.number()));
    }
    return writer_.finish();
  }

  // One message, or messages behind their lengths.
  Status protobuf_body(std::string_view body) {
    if (is_message(body)) {
      SLUICE_TRY(message(body, 1));
      return writer_.finish();
    }
    uint64_t number = 0;
    while (!body.empty()) {
      ++number;
      const auto length = take_varint(body);
      if (!length || *length > body.size()) {
        report_.reject(number, "neither JSON nor a FlowMessage nor one behind its length");
        break;
      }
      SLUICE_TRY(message(body.substr(0, static_cast<size_t>(*length)), number));
      body.remove_prefix(static_cast<size_t>(*length));
    }
    return writer_.finish();
  }

 private:
  FlowRow& begin() {
    is_bad_ = false;
    type_ = 0;
    has_type_ = false;
    forwarding_.reset();
    return writer_.begin();
  }

  error_code must(bool ok) {
    if (ok) return simdjson::SUCCESS;
    is_bad_ = true;
    return simdjson::INCORRECT_TYPE;
  }

  error_code other(FlowRow& row, std::string_view key, value& v) {
    std::string_view raw;
    Scalar s;
    if (const auto error = json::read_scalar(v, s)) return error;
    if (!s.is_nested()) {
      if (!is_empty_value(s.text)) row.add_extra(key, s.text);
      return simdjson::SUCCESS;
    }
    if (const auto error = json::raw_json_of(v, raw)) return error;
    if (is_empty_value(raw)) return simdjson::SUCCESS;
    // Lists of numbers and names, as others here have them: joined by commas.
    if (raw.front() == '[' && raw.find_first_of("{[", 1) == std::string_view::npos) {
      std::string joined;
      for (const char c : raw.substr(1, raw.size() - 2))
        if (c != ' ' && c != '"' && c != '\n') joined += c;
      row.add_extra(key, joined);
    } else {
      row.add_extra(key, raw);
    }
    return simdjson::SUCCESS;
  }

  error_code label(FlowRow& row, value& v) {
    Scalar s;
    if (const auto error = json::read_scalar(v, s)) return error;
    if (!s.is_nested()) return must(is_empty_value(s.text) || row.read_whole(ColumnId::mpls_label, "mpls_label", s.text));
    std::string all;
    bool ok = true;
    const auto error = json::each_element(v, [&](value& element) -> error_code {
      Scalar each;
      if (const auto failed = json::read_scalar(element, each)) return failed;
      if (all.empty()) ok = row.read_whole(ColumnId::mpls_label, "mpls_label", each.text);
      if (all.size() < limits::kExtraValueBytesMax) all.append(all.empty() ? "" : ",").append(each.text);
      return simdjson::SUCCESS;
    });
    if (error) return error;
    if (all.find(',') != std::string::npos) row.add_extra("mpls_label", all);
    return must(ok);
  }

  // A value as text; of protocol buffers, addresses are bytes and come by take_bytes.
  bool take(FlowRow& row, Key key, std::string_view name, std::string_view text) {
    const auto whole = [&](ColumnId id) { return is_empty_value(text) || row.has(id) || row.read_whole(id, name, text); };
    switch (key) {
      case Key::type: {
        uint64_t number = 0;
        const auto known = std::find(std::begin(kTypes), std::end(kTypes), text);
        if (known != std::end(kTypes))
          type_ = static_cast<size_t>(known - std::begin(kTypes));
        else if (parse_whole(text, 255, number) && number < std::size(kTypes))
          type_ = static_cast<size_t>(number);
        else
          row.add_extra("type", text);
        has_type_ = true;
        return true;
      }
      case Key::time_received:
        return is_empty_value(text) || row.read_time(row.event_time, name, text);
      // Of seconds and milliseconds beside them, the later is finer.
      case Key::time_flow_start: return is_empty_value(text) || row.read_time(ColumnId::flow_start, name, text);
      case Key::time_flow_end: return is_empty_value(text) || row.read_time(ColumnId::flow_end, name, text);
      case Key::sampling_rate: return whole(ColumnId::sampling_rate);
      case Key::bytes: return text.empty() || row.read_whole(ColumnId::raw_bytes, name, text);
      case Key::packets: return text.empty() || row.read_whole(ColumnId::raw_packets, name, text);
      case Key::sampler_address: return address(row, ColumnId::exporter_ip, name, text);
      case Key::src_addr: return address(row, ColumnId::src_ip, name, text);
      case Key::dst_addr: return address(row, ColumnId::dst_ip, name, text);
      case Key::next_hop: return is_empty_value(text) || address(row, ColumnId::next_hop, name, text);
      case Key::etype: {
        uint64_t number = 0;
        if (text == "IPv4" || text == "2048" || text == "0x800") row.set_uint(ColumnId::ip_version, 4);
        else if (text == "IPv6" || text == "34525" || text == "0x86dd") row.set_uint(ColumnId::ip_version, 6);
        else if (!is_empty_value(text)) row.add_extra("etype", parse_whole(text, 0xffff, number) ? std::to_string(number) : std::string(text));
        return true;
      }
      case Key::proto:
        if (text.empty() || parse_protocol(text)) return row.read_protocol(name, text);
        row.add_extra("proto", text);  // a name of goflow2's own
        return true;
      case Key::src_port: return text.empty() || row.read_whole(ColumnId::src_port, name, text);
      case Key::dst_port: return text.empty() || row.read_whole(ColumnId::dst_port, name, text);
      case Key::in_if: return whole(ColumnId::input_if);
      case Key::out_if: return whole(ColumnId::output_if);
      case Key::src_mac: return mac(row, ColumnId::src_mac, name, text);
      case Key::dst_mac: return mac(row, ColumnId::dst_mac, name, text);
      case Key::vlan: return whole(ColumnId::vlan);
      case Key::dst_vlan:
        if (!is_empty_value(text)) row.add_extra("dst_vlan", text);
        return true;
      case Key::inner_vlan: return whole(ColumnId::inner_vlan);
      case Key::vni: return whole(ColumnId::vni);
      case Key::ip_tos: return text.empty() || row.read_whole(ColumnId::tos, name, text);
      case Key::forwarding_status: {
        uint64_t number = 0;
        if (!row.read_whole(number, 255, name, text)) return text.empty();
        if (number != 0) forwarding_ = static_cast<uint8_t>(number);
        return true;
      }
      case Key::tcp_flags: return text.empty() || row.read_whole(ColumnId::tcp_flags, name, text);
      case Key::icmp_type: return text.empty() || row.read_whole(ColumnId::icmp_type, name, text);
      case Key::icmp_code: return text.empty() || row.read_whole(ColumnId::icmp_code, name, text);
      case Key::src_as: return whole(ColumnId::src_as);
      case Key::dst_as: return whole(ColumnId::dst_as);
      case Key::src_net: return prefix_length(row, ColumnId::src_prefix_len, name, text);
      case Key::dst_net: return prefix_length(row, ColumnId::dst_prefix_len, name, text);
      case Key::mpls_label: return row.has(ColumnId::mpls_label) || row.read_whole(ColumnId::mpls_label, name, text);
      case Key::observation_domain: return whole(ColumnId::observation_domain);
      case Key::direction: {
        uint64_t number = 0;
        if (!row.read_whole(number, 255, name, text)) return text.empty();
        if (number <= 1) row.set_enum(ColumnId::direction, number == 0 ? Direction::ingress : Direction::egress);
        return true;
      }
      case Key::vrf_in: return whole(ColumnId::vrf_in);
      case Key::vrf_out: return whole(ColumnId::vrf_out);
      case Key::none: return true;
    }
    return true;
  }

  bool set_address(FlowRow& row, ColumnId id, std::string_view bytes) {
    if (bytes.size() != 4 && bytes.size() != 16) return false;
    const auto* b = reinterpret_cast<const uint8_t*>(bytes.data());
    row.set_ip(id, bytes.size() == 4 ? IpAddress::v4_bytes(b) : IpAddress::v6_bytes(b));
    return true;
  }
  bool address(FlowRow& row, ColumnId id, std::string_view name, std::string_view text) {
    if (text.empty() || text == "<nil>") return true;
    if (!parse_ip(text)) {
      // As protocol buffers' own JSON writes bytes.
      if (const auto bytes = base64_decoded(text); bytes && set_address(row, id, *bytes)) return true;
    }
    return row.read_ip(id, name, text);
  }
  bool mac(FlowRow& row, ColumnId id, std::string_view name, std::string_view text) {
    if (text.empty() || text == "00:00:00:00:00:00") return true;
    uint64_t number = 0;
    if (text.find(':') == std::string_view::npos && parse_whole(text, (uint64_t{1} << 48) - 1, number)) {
      if (number != 0) row.set_uint(id, number);
      return true;
    }
    return row.read_mac(id, name, text);
  }
  // "10.0.0.0/24", or the length alone.
  bool prefix_length(FlowRow& row, ColumnId id, std::string_view name, std::string_view text) {
    if (const size_t slash = text.find('/'); slash != std::string_view::npos) text.remove_prefix(slash + 1);
    uint64_t number = 0;
    if (!row.read_whole(number, 128, name, text)) return text.empty();
    if (number != 0) row.set_uint(id, number);
    return true;
  }

  Status message(std::string_view bytes, uint64_t number) {
    FlowRow& row = begin();
    ProtobufReader reader(bytes);
    ProtobufField field;
    bool ok = true, is_v2 = false;
    std::string text, path, communities, labels;
    std::optional<uint64_t> start_or_flags;
    while (ok && reader.next(field)) {
      if (field.number == 38) {  // v1: start of the flow; v2: IP flags
        if (!field.is_bytes) start_or_flags = field.value;
        continue;
      }
      is_v2 |= field.number >= 110 && field.number <= 112;
      if (field.number == 101 || field.number == 102 || field.number == 81) {
        std::string& list = field.number == 101 ? communities : field.number == 102 ? path : labels;
        const auto add = [&](uint64_t item) {
          if (list.size() < limits::kExtraValueBytesMax) list.append(list.empty() ? "" : ",").append(std::to_string(item));
        };
        if (!field.is_bytes) add(field.value);
        for (std::string_view packed = field.bytes; !packed.empty();) {
          const auto item = take_varint(packed);
          if (!item) break;
          add(*item);
        }
        continue;
      }
      const auto known = std::find_if(std::begin(kNumbers), std::end(kNumbers), [&](const Number& n) { return n.number == field.number; });
      if (known == std::end(kNumbers)) {
        if (!field.is_bytes && field.value != 0) row.add_extra("field_" + std::to_string(field.number), std::to_string(field.value));
        continue;
      }
      if (field.is_bytes) {
        if (!is_address_key(known->key) || field.bytes.empty()) continue;
        const ColumnId id = known->key == Key::src_addr ? ColumnId::src_ip : known->key == Key::dst_addr ? ColumnId::dst_ip : known->key == Key::next_hop ? ColumnId::next_hop : ColumnId::exporter_ip;
        if (!set_address(row, id, field.bytes)) ok = row.fault("an address", " has neither 4 nor 16 bytes", std::to_string(field.bytes.size()));
        continue;
      }
      text = std::to_string(field.value);
      if (!known->extra.empty()) {
        if (field.value != 0) row.add_extra(known->extra, text);
        continue;
      }
      ok = take(row, known->key, "field " + std::to_string(field.number), text);
    }
    if (ok && start_or_flags && *start_or_flags != 0) {
      if (is_v2) row.add_extra("ip_flags", std::to_string(*start_or_flags));
      else if (!row.has(ColumnId::flow_start)) ok = row.read_time(ColumnId::flow_start, "field 38", std::to_string(*start_or_flags));
    }
    if (ok && !reader.fault().empty()) ok = row.fault("not a FlowMessage: ", reader.fault(), "");
    if (!ok) {
      report_.reject(number, row.fault());
      return {};
    }
    if (!labels.empty()) {
      const size_t comma = labels.find(',');
      if (!row.read_whole(ColumnId::mpls_label, "mpls_label", std::string_view(labels).substr(0, comma))) row.unset(ColumnId::mpls_label);
      if (comma != std::string::npos) row.add_extra("mpls_label", labels);
    }
    row.add_extra("as_path", path);
    row.add_extra("bgp_communities", communities);
    return write(row, number);
  }

  // What follows from the whole record.
  Status write(FlowRow& row, uint64_t number) {
    if (!has_type_ && !row.has(ColumnId::exporter_ip) && !row.has(ColumnId::src_ip)) {
      report_.reject(number, "no FlowMessage: it has neither a type nor a sampler nor a source address");
      return {};
    }
    const uint64_t protocol = row.has(ColumnId::protocol) ? row.number(ColumnId::protocol) : 0;
    // Zero is what is there where there was nothing.
    const auto zero_is_null = [&](ColumnId id) {
      if (row.has(id) && row.number(id) == 0) row.unset(id);
    };
    const bool has_ports = protocol == 6 || protocol == 17 || protocol == 132 || protocol == 33 || protocol == 136;
    if (!has_ports) {
      zero_is_null(ColumnId::src_port);
      zero_is_null(ColumnId::dst_port);
    }
    if (protocol != 6) zero_is_null(ColumnId::tcp_flags);
    if (protocol != 1 && protocol != 58) {
      zero_is_null(ColumnId::icmp_type);
      zero_is_null(ColumnId::icmp_code);
    }
    const bool is_sflow = kSources[type_] == Source::sflow5;
    row.set_enum(ColumnId::source, kSources[type_]);
    row.set_uint(ColumnId::is_biflow, 0);
    row.set_enum(ColumnId::flags_quality, protocol == 6 && row.has(ColumnId::tcp_flags) ? FlagsQuality::all : FlagsQuality::none);
    if (type_ != 0) row.set_enum(ColumnId::byte_basis, is_sflow ? ByteBasis::layer2 : ByteBasis::layer3);
    if (forwarding_) {
      const uint8_t status = *forwarding_ >> 6;
      if (status == 1 || status == 3) row.set_enum(ColumnId::action, Action::accept);
      if (status == 2) row.set_enum(ColumnId::action, Action::drop);
      row.add_extra("forwarding_status", std::to_string(*forwarding_));
    }
    return writer_.write();
  }

  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  size_t type_ = 0;
  bool has_type_ = false, is_bad_ = false;
  std::optional<uint8_t> forwarding_;
};

}  // namespace
}  // namespace goflow2

Result<DecodeReport> decode_goflow2(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  goflow2::Decoder decoder(context, sink, report);
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);
  SLUICE_TRY(goflow2::is_message(body) || goflow2::is_length_and_message(body) ? decoder.protobuf_body(body) : decoder.json_body(body));
  return report;
}

}  // namespace sluice::ingest
