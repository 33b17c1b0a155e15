#include "ingest/source/suricata.h"

#include "ingest/source/flow_row.h"
#include "ingest/source/json_body.h"

namespace sluice::ingest {
namespace suricata {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

enum class Key : uint8_t {
  timestamp, event_type, flow_id, in_iface, vlan, src_ip, src_port, dest_ip, dest_port, proto, icmp_type, icmp_code, app_proto,
  community_id, flow, netflow, tcp, ether, host,
  // the envelope of AWS Network Firewall
  event, event_timestamp, firewall_name, availability_zone,
};
constexpr json::KeyTable<Key> kEventKeys{
    {"timestamp", Key::timestamp}, {"event_type", Key::event_type}, {"flow_id", Key::flow_id}, {"in_iface", Key::in_iface},
    {"vlan", Key::vlan}, {"src_ip", Key::src_ip}, {"src_port", Key::src_port}, {"dest_ip", Key::dest_ip},
    {"dest_port", Key::dest_port}, {"proto", Key::proto}, {"icmp_type", Key::icmp_type}, {"icmp_code", Key::icmp_code},
    {"app_proto", Key::app_proto}, {"community_id", Key::community_id}, {"flow", Key::flow}, {"netflow", Key::netflow},
    {"tcp", Key::tcp}, {"ether", Key::ether}, {"host", Key::host}, {"event", Key::event},
    {"event_timestamp", Key::event_timestamp}, {"firewall_name", Key::firewall_name},
    {"availability_zone", Key::availability_zone},
};

// Of the objects `flow` and `netflow`.
enum class FlowKey : uint8_t {
  pkts_toserver, pkts_toclient, bytes_toserver, bytes_toclient, pkts, bytes, start, end, age, state, reason, alerted, action,
};
constexpr json::KeyTable<FlowKey> kFlowKeys{
    {"pkts_toserver", FlowKey::pkts_toserver}, {"pkts_toclient", FlowKey::pkts_toclient},
    {"bytes_toserver", FlowKey::bytes_toserver}, {"bytes_toclient", FlowKey::bytes_toclient}, {"pkts", FlowKey::pkts},
    {"bytes", FlowKey::bytes}, {"start", FlowKey::start}, {"end", FlowKey::end}, {"age", FlowKey::age},
    {"state", FlowKey::state}, {"reason", FlowKey::reason}, {"alerted", FlowKey::alerted}, {"action", FlowKey::action},
};

enum class TcpKey : uint8_t { flags, flags_ts, flags_tc, state, one_flag };
constexpr json::KeyTable<TcpKey> kTcpKeys{
    {"tcp_flags", TcpKey::flags}, {"tcp_flags_ts", TcpKey::flags_ts}, {"tcp_flags_tc", TcpKey::flags_tc}, {"state", TcpKey::state},
    // What the flags say already.
    {"fin", TcpKey::one_flag}, {"syn", TcpKey::one_flag}, {"rst", TcpKey::one_flag}, {"psh", TcpKey::one_flag},
    {"ack", TcpKey::one_flag}, {"urg", TcpKey::one_flag}, {"ecn", TcpKey::one_flag}, {"cwr", TcpKey::one_flag},
};

bool parse_hex(std::string_view text, uint16_t& out) {
  if (text.empty() || text.size() > 4) return false;
  uint16_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return false;
    value = static_cast<uint16_t>(value << 4 | digit);
  }
  out = value;
  return true;
}

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report) : report_(report), writer_(context, sink, report) {}

  Status all(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) {
      FlowRow& row = writer_.begin();
      type_ = Type::none;
      state_ = {};
      flags_ = {};
      is_bad_ = false;
      object o;
      error_code error = document_.open(text, reader.readable_end(), o);
      if (!error) error = event(o, row, 0);
      if (type_ == Type::other) {
        ++report_.ignored;
      } else if (error) {
        report_.reject(reader.number(), is_bad_ ? row.fault() : json::error_text(error));
      } else if (type_ == Type::none) {
        report_.reject(reader.number(), "no event_type");
      } else if (!complete(row)) {
        report_.reject(reader.number(), row.fault());
      } else {
        SLUICE_TRY(writer_.write());
      }
    }
    return writer_.finish();
  }

 private:
  enum class Type : uint8_t { none, flow, netflow, other };

  // A value that makes no sense ends the record; the reason is in the row.
  error_code must(bool ok) {
    if (ok) return simdjson::SUCCESS;
    is_bad_ = true;
    return simdjson::INCORRECT_TYPE;
  }

  error_code event(object& o, FlowRow& row, int depth) {
    return json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      const Key* known = kEventKeys.find(key);
      if (known == nullptr) return json::keep_in_extra(row, key, v);
      switch (*known) {
        case Key::event:
          if (depth > 0) return json::keep_in_extra(row, key, v);
          row.set_text(ColumnId::cloud, "aws");
          {
            object inner;
            if (const auto error = v.get_object().get(inner)) return error;
            return event(inner, row, depth + 1);
          }
        case Key::flow: return flow(v, row);
        case Key::netflow: return flow(v, row);
        case Key::tcp: return tcp(v, row);
        case Key::vlan: return vlan(v, row);
        case Key::ether: return ether(v, row);
        default: break;
      }
      Scalar s;
      if (const auto error = json::read_scalar(v, s)) return error;
      if (s.is_nested()) return json::keep_in_extra(row, key, v);
      switch (*known) {
        case Key::event_type:
          type_ = s.text == "flow" ? Type::flow : s.text == "netflow" ? Type::netflow : Type::other;
          // The rest of an event that is no flow is of no interest.
          return type_ == Type::other ? simdjson::NO_SUCH_FIELD : simdjson::SUCCESS;
        case Key::timestamp: return must(row.read_time(ColumnId::exported_at, key, s.text));
        case Key::flow_id: row.set_text(ColumnId::flow_id, s.text); break;
        case Key::in_iface: row.add_extra(key, s.text); break;
        case Key::src_ip: return must(row.read_ip(ColumnId::src_ip, key, s.text));
        case Key::dest_ip: return must(row.read_ip(ColumnId::dst_ip, key, s.text));
        case Key::src_port: return must(row.read_whole(ColumnId::src_port, key, s.text));
        case Key::dest_port: return must(row.read_whole(ColumnId::dst_port, key, s.text));
        case Key::proto:
          // A name that is not known is no reason to lose the flow.
          if (!row.read_protocol(key, s.text)) row.add_extra(key, s.text);
          break;
        case Key::icmp_type: return must(row.read_whole(ColumnId::icmp_type, key, s.text));
        case Key::icmp_code: return must(row.read_whole(ColumnId::icmp_code, key, s.text));
        case Key::app_proto:
          // "failed" says that no protocol was recognised, "unknown" that none was yet.
          if (s.text == "failed" || s.text == "unknown")
            row.add_extra(key, s.text);
          else
            row.set_text(ColumnId::app, s.text);
          break;
        case Key::community_id: row.add_extra(key, s.text); break;
        case Key::host: row.add_extra("sensor", s.text); break;
        case Key::firewall_name: row.add_extra(key, s.text); break;
        case Key::availability_zone: row.add_extra(key, s.text); break;
        case Key::event_timestamp: {
          // Seconds, and less exact than the event's own time.
          return must(row.read_time(row.event_time, key, s.text));
        }
        default: break;
      }
      return simdjson::SUCCESS;
    });
  }

  error_code flow(value& v, FlowRow& row) {
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      const FlowKey* known = kFlowKeys.find(key);
      if (known == nullptr) return json::keep_in_extra(row, key, field);
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (s.is_nested()) return json::keep_in_extra(row, key, field);
      switch (*known) {
        case FlowKey::pkts_toserver:
        case FlowKey::pkts: return must(row.read_whole(ColumnId::raw_packets, key, s.text));
        case FlowKey::bytes_toserver:
        case FlowKey::bytes: return must(row.read_whole(ColumnId::raw_bytes, key, s.text));
        case FlowKey::pkts_toclient: return must(row.read_whole(ColumnId::raw_reverse_packets, key, s.text));
        case FlowKey::bytes_toclient: return must(row.read_whole(ColumnId::raw_reverse_bytes, key, s.text));
        case FlowKey::start: return must(row.read_time(ColumnId::flow_start, key, s.text));
        case FlowKey::end: return must(row.read_time(ColumnId::flow_end, key, s.text));
        case FlowKey::age: break;  // end minus start, in whole seconds
        case FlowKey::state:
          state_ = s.text;
          row.add_extra("flow_state", s.text);
          break;
        case FlowKey::reason:
          row.add_extra("flow_reason", s.text);
          if (s.text == "timeout")
            row.set_enum(ColumnId::end_reason, EndReason::idle_timeout);
          else if (s.text == "forced" || s.text == "shutdown")
            row.set_enum(ColumnId::end_reason, EndReason::forced_end);
          break;
        case FlowKey::alerted:
          if (s.is_true) row.add_extra(key, s.text);
          break;
        case FlowKey::action:
          if (s.text == "drop") {
            row.set_enum(ColumnId::action, Action::drop);
          } else if (s.text == "accept" || s.text == "pass") {
            row.set_enum(ColumnId::action, Action::accept);
          } else if (!s.is_nothing()) {
            row.set_enum(ColumnId::action, Action::unknown);
            row.add_extra("action", s.text);
          }
          break;
      }
      return simdjson::SUCCESS;
    });
  }

  error_code tcp(value& v, FlowRow& row) {
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      const TcpKey* known = kTcpKeys.find(key);
      if (known == nullptr) return json::keep_in_extra(row, std::string("tcp_").append(key), field);
      if (*known == TcpKey::one_flag) return simdjson::SUCCESS;
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (s.is_nothing()) return simdjson::SUCCESS;
      if (*known == TcpKey::state) {
        row.add_extra("tcp_state", s.text);
        return simdjson::SUCCESS;
      }
      uint16_t flags = 0;
      if (!parse_hex(s.text, flags)) return must(row.fault(key, " is no hexadecimal number of flags", s.text));
      switch (*known) {
        // Of a flow's two directions together, or of a netflow record's one.
        case TcpKey::flags: flags_ = s.text; break;
        case TcpKey::flags_ts: row.set_uint(ColumnId::tcp_flags, flags); break;
        case TcpKey::flags_tc: row.set_uint(ColumnId::reverse_tcp_flags, flags); break;
        default: break;
      }
      return simdjson::SUCCESS;
    });
  }

  error_code vlan(value& v, FlowRow& row) {
    Scalar s;
    if (const auto error = json::read_scalar(v, s)) return error;
    if (!s.is_nested()) return must(row.read_whole(ColumnId::vlan, "vlan", s.text));
    size_t at = 0;
    return json::each_element(v, [&](value& element) -> error_code {
      Scalar tag;
      if (const auto error = json::read_scalar(element, tag)) return error;
      ++at;
      if (at == 1) return must(row.read_whole(ColumnId::vlan, "vlan", tag.text));
      if (at == 2) return must(row.read_whole(ColumnId::inner_vlan, "vlan", tag.text));
      row.add_extra("vlan_" + std::to_string(at), tag.text);
      return at < 8 ? simdjson::SUCCESS : must(row.fault("vlan", " has more tags than a frame", ""));
    });
  }

  error_code ether(value& v, FlowRow& row) {
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (key == "src_mac") return must(row.read_mac(ColumnId::src_mac, key, s.text));
      if (key == "dest_mac") return must(row.read_mac(ColumnId::dst_mac, key, s.text));
      return json::keep_in_extra(row, std::string("ether_").append(key), field);
    });
  }

  // What follows from the whole record.
  bool complete(FlowRow& row) {
    if (!row.has(ColumnId::src_ip) || !row.has(ColumnId::dst_ip)) return row.fault("src_ip and dest_ip", " are not both there", "");
    const bool both = type_ == Type::flow;
    constexpr uint16_t kSyn = 2, kAck = 16;
    const bool is_tcp = row.has(ColumnId::protocol) && row.number(ColumnId::protocol) == 6;
    bool has_flags = row.has(ColumnId::tcp_flags) || row.has(ColumnId::reverse_tcp_flags);
    if (uint16_t value = 0; !has_flags && parse_hex(flags_, value)) {
      if (both) {
        row.add_extra("tcp_flags", flags_);
      } else {
        row.set_uint(ColumnId::tcp_flags, value);
        has_flags = true;
      }
    }
    row.set_enum(ColumnId::flags_quality, has_flags ? FlagsQuality::all : FlagsQuality::none);
    const uint64_t flags = row.has(ColumnId::tcp_flags) ? row.number(ColumnId::tcp_flags) : 0;
    if (both) {
      // The side called client sent the first packet that Suricata saw, which is the first there was unless a TCP flow was
      // picked up in its middle.
      row.set_enum(ColumnId::initiator, !is_tcp || (flags & kSyn) != 0 ? Initiator::src : Initiator::unknown);
      // A TCP flow that came to its end also leaves the table by a timeout, a short one.
      if (is_tcp && state_ == "closed" && row.has(ColumnId::end_reason) &&
          row.number(ColumnId::end_reason) == static_cast<uint64_t>(EndReason::idle_timeout))
        row.set_enum(ColumnId::end_reason, EndReason::end_of_flow);
    } else if (is_tcp && (flags & (kSyn | kAck)) == kSyn) {
      row.set_enum(ColumnId::initiator, Initiator::src);
    }
    row.set_uint(ColumnId::is_biflow, both);
    row.set_enum(ColumnId::source, Source::suricata);
    row.set_enum(ColumnId::reporter, Reporter::middle);
    row.set_uint(ColumnId::sampling_rate, 1);
    // Suricata counts whole frames, link layer header included.
    if (row.has(ColumnId::raw_bytes)) row.set_enum(ColumnId::byte_basis, ByteBasis::layer2);
    if (!row.has(ColumnId::flow_end) && row.has(ColumnId::exported_at)) row.event_time = row.time(ColumnId::exported_at);
    return true;
  }

  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  Type type_ = Type::none;
  bool is_bad_ = false;
  std::string_view state_, flags_;
};

}  // namespace
}  // namespace suricata

Result<DecodeReport> decode_suricata(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  SLUICE_TRY(suricata::Decoder(context, sink, report).all(body));
  return report;
}

}  // namespace sluice::ingest
