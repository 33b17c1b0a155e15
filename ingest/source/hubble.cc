#include "ingest/source/hubble.h"

#include <algorithm>
#include <optional>

#include "ingest/source/flow_row.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"
#include "ingest/source/text_value.h"

namespace sluice::ingest {
namespace hubble {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

enum class Key : uint8_t {
  // around a flow
  flow, lost_events, other_event,
  // of a flow
  time, uuid, verdict, drop_reason, drop_reason_desc, ethernet, ip, l4, source, destination, type, node_name, source_names,
  destination_names, l7, is_reply, reply, traffic_direction, event_type, summary, interface, allowed_by, denied_by,
  trace_observation_point,
};
constexpr json::KeyTable<Key> kKeys{
    {"flow", Key::flow}, {"lost_events", Key::lost_events}, {"node_status", Key::other_event}, {"agent_event", Key::other_event},
    {"debug_event", Key::other_event}, {"time", Key::time}, {"uuid", Key::uuid}, {"verdict", Key::verdict},
    {"drop_reason", Key::drop_reason}, {"drop_reason_desc", Key::drop_reason_desc}, {"ethernet", Key::ethernet}, {"IP", Key::ip},
    {"l4", Key::l4}, {"source", Key::source}, {"destination", Key::destination}, {"Type", Key::type},
    {"node_name", Key::node_name}, {"source_names", Key::source_names}, {"destination_names", Key::destination_names},
    {"l7", Key::l7}, {"is_reply", Key::is_reply}, {"reply", Key::reply}, {"traffic_direction", Key::traffic_direction},
    {"event_type", Key::event_type}, {"Summary", Key::summary}, {"interface", Key::interface},
    {"egress_allowed_by", Key::allowed_by}, {"ingress_allowed_by", Key::allowed_by}, {"egress_denied_by", Key::denied_by},
    {"ingress_denied_by", Key::denied_by}, {"trace_observation_point", Key::trace_observation_point},
};

// Columns and extra keys of one side.
struct Side {
  ColumnId space, pod, workload, labels, host;
  std::string_view prefix;
};
constexpr Side kSrc{ColumnId::src_k8s_namespace, ColumnId::src_k8s_pod, ColumnId::src_k8s_workload, ColumnId::src_labels,
                    ColumnId::src_host, "src_"};
constexpr Side kDst{ColumnId::dst_k8s_namespace, ColumnId::dst_k8s_pod, ColumnId::dst_k8s_workload, ColumnId::dst_labels,
                    ColumnId::dst_host, "dst_"};

// The enumerations of flow.proto by number, for writers that do not print their names.
constexpr std::string_view kVerdicts[] = {"VERDICT_UNKNOWN", "FORWARDED", "DROPPED", "ERROR", "AUDIT", "REDIRECTED", "TRACED", "TRANSLATED"};
constexpr std::string_view kTypes[] = {"UNKNOWN_TYPE", "L3_L4", "L7", "SOCK"};
constexpr std::string_view kDirections[] = {"TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS"};

template <size_t N>
std::string_view enum_name(const Scalar& s, const std::string_view (&names)[N]) {
  uint64_t number = 0;
  if (s.kind == Scalar::Kind::number && parse_number(s.text, N - 1, number)) return names[number];
  return s.text;
}

uint16_t flag_bit(std::string_view name) {
  constexpr struct {
    std::string_view name;
    uint16_t bit;
  } kFlags[] = {{"FIN", 0x01}, {"SYN", 0x02}, {"RST", 0x04}, {"PSH", 0x08}, {"ACK", 0x10},
                {"URG", 0x20}, {"ECE", 0x40}, {"CWR", 0x80}, {"NS", 0x100}};
  for (const auto& f : kFlags)
    if (f.name == name) return f.bit;
  return 0;
}

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report)
      : context_(context), report_(report), writer_(context, sink, report) {}

  Status all(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) {
      FlowRow& row = writer_.begin();
      event_ = {};
      object o;
      error_code error = document_.open(text, reader.readable_end(), o);
      if (!error) error = message(o, row);
      if (!error) follow_time();
      if (error) {
        report_.reject(reader.number(), event_.is_bad ? row.fault() : json::error_text(error));
      } else if (event_.is_loss) {
        lose();
      } else if (event_.is_other) {
        ++report_.ignored;
      } else if (!complete(row)) {
        report_.reject(reader.number(), row.fault());
      } else {
        SLUICE_TRY(writer_.write());
      }
    }
    return writer_.finish();
  }

 private:
  // What is known of the event beside its row. Views are good while the object is.
  struct Event {
    bool is_bad = false, is_loss = false, is_other = false;
    uint64_t lost = 0;             // events, as a message of loss says
    TimestampNs time = 0;          // of a flow inside a message
    TimestampNs message_time = 0;  // of the message, or of a bare flow
    std::string_view verdict, type, direction, node;
    std::optional<bool> is_reply;
    std::string_view interface_index;
    bool has_l7 = false;
  };

  // What was lost lies between the events around the message that tells it, as far as those are near.
  void follow_time() {
    const TimestampNs at = event_.message_time != 0 ? event_.message_time : event_.time;
    if (at == 0) return;
    if (lost_at_ != 0 && at > lost_at_) {
      report_.skipped_range.to = std::max(report_.skipped_range.to, std::min(at, lost_at_ + limits::kHubbleLossReach));
      lost_at_ = 0;
    }
    if (!event_.is_loss) last_at_ = std::max(last_at_, at);
  }
  void lose() {
    report_.skipped_data += std::clamp<uint64_t>(event_.lost, 1, limits::kHubbleLostMax);
    const TimestampNs at = event_.message_time != 0 ? event_.message_time : context_.received_at;
    const TimestampNs from = last_at_ == 0 ? at - kSecond : std::clamp(last_at_, at - limits::kHubbleLossReach, at - kSecond);
    report_.skipped_range.from = std::min(report_.skipped_range.from, from);
    report_.skipped_range.to = std::max(report_.skipped_range.to, at + kSecond);
    lost_at_ = std::max(lost_at_, at);
  }

  error_code must(bool ok) {
    if (ok) return simdjson::SUCCESS;
    event_.is_bad = true;
    return simdjson::INCORRECT_TYPE;
  }

  // The message: a flow inside it, or the flow itself.
  error_code message(object& o, FlowRow& row) {
    return json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      const Key* known = kKeys.find(key);
      if (known == nullptr) return json::keep_in_extra(row, key, v);
      switch (*known) {
        case Key::flow:
          return json::each_field(v, [&](std::string_view k, value& field) -> error_code {
            const Key* known_field = kKeys.find(k);
            return known_field == nullptr ? json::keep_in_extra(row, k, field) : flow_field(*known_field, k, field, row, true);
          });
        case Key::lost_events:
          event_.is_loss = true;
          return scalars(v, row, "", [&](std::string_view k, const Scalar& s) -> error_code {
            if (k == "num_events_lost") (void)parse_number(s.text, UINT64_MAX, event_.lost);
            return simdjson::SUCCESS;
          });
        case Key::other_event: event_.is_other = true; return simdjson::SUCCESS;
        default: return flow_field(*known, key, v, row, false);
      }
    });
  }

  error_code flow_field(Key known, std::string_view key, value& v, FlowRow& row, bool inside) {
    switch (known) {
      case Key::ethernet: return ethernet(v, row);
      case Key::ip: return ip(v, row);
      case Key::l4: return l4(v, row);
      case Key::l7: return l7(v, row);
      case Key::source: return endpoint(v, row, kSrc);
      case Key::destination: return endpoint(v, row, kDst);
      case Key::source_names: return names(v, row, kSrc);
      case Key::destination_names: return names(v, row, kDst);
      case Key::allowed_by:
      case Key::denied_by: return policies(key, v, row);
      case Key::event_type: return event_type(v, row);
      case Key::interface: return interface(v, row);
      case Key::is_reply: return is_reply(v);
      default: break;
    }
    Scalar s;
    if (const auto error = json::read_scalar(v, s)) return error;
    if (s.is_nested()) return json::keep_in_extra(row, key, v);
    switch (known) {
      case Key::time: {
        TimestampNs time = 0;
        if (!row.read_time(time, key, s.text)) return must(false);
        (inside ? event_.time : event_.message_time) = time;
        break;
      }
      case Key::uuid: row.set_text(ColumnId::flow_id, s.text); break;
      case Key::verdict: event_.verdict = enum_name(s, kVerdicts); break;
      case Key::type: event_.type = enum_name(s, kTypes); break;
      case Key::traffic_direction: event_.direction = enum_name(s, kDirections); break;
      case Key::drop_reason_desc:
        if (s.text != "DROP_REASON_UNKNOWN" && s.text != "0") row.set_text(ColumnId::reject_reason, s.text);
        break;
      case Key::drop_reason:
        // The number behind drop_reason_desc, and alone in old versions.
        if (!row.has(ColumnId::reject_reason) && s.text != "0") row.set_text(ColumnId::reject_reason, s.text);
        break;
      case Key::node_name:
        if (event_.node.empty()) event_.node = s.text;
        break;
      case Key::trace_observation_point:
        if (s.text != "UNKNOWN_POINT") row.add_extra(key, s.text);
        break;
      case Key::reply:    // replaced by is_reply: false here may mean "not known"
      case Key::summary:  // says the flags or the request once more, for people
      default: break;
    }
    return simdjson::SUCCESS;
  }

  // true, false, or in an object where it is not known: {} and {"value":true} are how some writers print a BoolValue.
  error_code is_reply(value& v) {
    Scalar s;
    if (const auto error = json::read_scalar(v, s)) return error;
    if (s.kind == Scalar::Kind::boolean) event_.is_reply = s.is_true;
    if (!s.is_nested()) return simdjson::SUCCESS;
    return json::each_field(v, [&](std::string_view, value& inner) -> error_code {
      Scalar b;
      if (const auto error = json::read_scalar(inner, b)) return error;
      if (b.kind == Scalar::Kind::boolean) event_.is_reply = b.is_true;
      return simdjson::SUCCESS;
    });
  }

  error_code ethernet(value& v, FlowRow& row) {
    return scalars(v, row, "ethernet_", [&](std::string_view key, const Scalar& s) -> error_code {
      if (key == "source") return must(row.read_mac(ColumnId::src_mac, key, s.text));
      if (key == "destination") return must(row.read_mac(ColumnId::dst_mac, key, s.text));
      row.add_extra(std::string("ethernet_").append(key), s.text);
      return simdjson::SUCCESS;
    });
  }

  error_code ip(value& v, FlowRow& row) {
    return scalars(v, row, "ip_", [&](std::string_view key, const Scalar& s) -> error_code {
      if (key == "source") return must(row.read_ip(ColumnId::src_ip, key, s.text));
      if (key == "destination") return must(row.read_ip(ColumnId::dst_ip, key, s.text));
      // The source after translation, where the packet had been translated.
      if (key == "source_xlated") return must(row.read_ip(ColumnId::nat_src_ip, key, s.text));
      if (key == "ipVersion") return simdjson::SUCCESS;  // as the addresses say
      if (key == "encrypted") {
        if (s.is_true) row.set_text(ColumnId::encryption, "encrypted");
        return simdjson::SUCCESS;
      }
      row.add_extra(std::string("ip_").append(key), s.text);
      return simdjson::SUCCESS;
    });
  }

  error_code l4(value& v, FlowRow& row) {
    return json::each_field(v, [&](std::string_view protocol, value& body) -> error_code {
      const auto number = parse_protocol(protocol);
      if (!number) return json::keep_in_extra(row, std::string("l4_").append(protocol), body);
      row.set_uint(ColumnId::protocol, *number);
      const bool is_icmp = *number == 1 || *number == 58;
      return json::each_field(body, [&](std::string_view key, value& field) -> error_code {
        if (key == "flags") return flags(field, row);
        Scalar s;
        if (const auto error = json::read_scalar(field, s)) return error;
        if (!s.is_nested()) {
          if (key == "source_port") return must(row.read_whole(ColumnId::src_port, key, s.text));
          if (key == "destination_port") return must(row.read_whole(ColumnId::dst_port, key, s.text));
          if (is_icmp && key == "type") return must(row.read_whole(ColumnId::icmp_type, key, s.text));
          if (is_icmp && key == "code") return must(row.read_whole(ColumnId::icmp_code, key, s.text));
        }
        return json::keep_in_extra(row, std::string("l4_").append(key), field);
      });
    });
  }

  error_code flags(value& v, FlowRow& row) {
    Scalar whole;
    if (const auto error = json::read_scalar(v, whole)) return error;
    if (!whole.is_nested()) return simdjson::SUCCESS;
    uint16_t bits = 0;
    const auto error = scalars(v, row, "flag_", [&](std::string_view key, const Scalar& s) -> error_code {
      if (s.is_true) bits |= flag_bit(key);
      return simdjson::SUCCESS;
    });
    if (error) return error;
    row.set_uint(ColumnId::tcp_flags, bits);
    return simdjson::SUCCESS;
  }

  error_code endpoint(value& v, FlowRow& row, const Side& side) {
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      if (key == "labels") {
        Scalar s;
        if (const auto error = json::read_scalar(field, s)) return error;
        if (!s.is_nested()) return simdjson::SUCCESS;
        std::string list;
        const auto error = texts(field, [&](std::string_view label) { row.add_item(list, label); });
        if (error) return error;
        row.set_text_copy(side.labels, std::move(list));
        return simdjson::SUCCESS;
      }
      if (key == "workloads") return workloads(field, row, side);
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (s.is_nested()) return json::keep_in_extra(row, std::string(side.prefix).append(key), field);
      if (key == "namespace") {
        row.set_text(side.space, s.text);
      } else if (key == "pod_name") {
        row.set_text(side.pod, s.text);
      } else if (key == "ID") {
        // Numbered by each node for itself; 0 is none.
        if (s.text != "0") row.add_extra(std::string(side.prefix) + "endpoint_id", s.text);
      } else {
        // identity, cluster_name and what is yet to come
        row.add_extra(std::string(side.prefix).append(key), s.text);
      }
      return simdjson::SUCCESS;
    });
  }

  error_code workloads(value& v, FlowRow& row, const Side& side) {
    Scalar whole;
    if (const auto error = json::read_scalar(v, whole)) return error;
    if (!whole.is_nested()) return simdjson::SUCCESS;
    bool first = true;
    return json::each_element(v, [&](value& element) -> error_code {
      std::string_view name, kind;
      const auto error = scalars(element, row, "", [&](std::string_view key, const Scalar& s) -> error_code {
        if (key == "name") name = s.text;
        if (key == "kind") kind = s.text;
        return simdjson::SUCCESS;
      });
      if (error) return error;
      if (first) {
        row.set_text(side.workload, name);
        row.add_extra(std::string(side.prefix) + "workload_kind", kind);
      }
      first = false;
      return simdjson::SUCCESS;
    });
  }

  error_code names(value& v, FlowRow& row, const Side& side) {
    Scalar whole;
    if (const auto error = json::read_scalar(v, whole)) return error;
    if (!whole.is_nested()) return simdjson::SUCCESS;
    size_t count = 0;
    std::string all;
    const auto error = texts(v, [&](std::string_view name) {
      if (count++ == 0) row.set_text(side.host, name);
      all.append(count > 1 ? "," : "").append(name);
    });
    if (error) return error;
    if (count > 1) row.add_extra(std::string(side.prefix) + "names", all);
    return simdjson::SUCCESS;
  }

  // The policies that let the packet through or kept it out: the first is the row's rule.
  error_code policies(std::string_view key, value& v, FlowRow& row) {
    Scalar whole;
    if (const auto error = json::read_scalar(v, whole)) return error;
    if (!whole.is_nested()) return simdjson::SUCCESS;
    std::string all;
    const auto error = json::each_element(v, [&](value& element) -> error_code {
      std::string_view name, space;
      const auto inner = scalars(element, row, "", [&](std::string_view k, const Scalar& s) -> error_code {
        if (k == "name") name = s.text;
        if (k == "namespace") space = s.text;
        return simdjson::SUCCESS;
      });
      if (inner) return inner;
      std::string rule(space);
      rule.append(space.empty() ? "" : "/").append(name);
      if (!row.has(ColumnId::rule_name)) row.set_text_copy(ColumnId::rule_name, rule);
      all.append(all.empty() ? "" : ",").append(rule);
      return simdjson::SUCCESS;
    });
    if (!error) row.add_extra(key, all);
    return error;
  }

  error_code event_type(value& v, FlowRow& row) {
    return scalars(v, row, "event_", [&](std::string_view key, const Scalar& s) -> error_code {
      if (key == "type" || (key == "sub_type" && s.text != "0")) row.add_extra(std::string("event_").append(key), s.text);
      return simdjson::SUCCESS;
    });
  }

  error_code interface(value& v, FlowRow& row) {
    return scalars(v, row, "interface_", [&](std::string_view key, const Scalar& s) -> error_code {
      if (key == "index") event_.interface_index = s.text;
      if (key == "name") row.add_extra("interface_name", s.text);
      return simdjson::SUCCESS;
    });
  }

  error_code l7(value& v, FlowRow& row) {
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      event_.has_l7 = true;
      if (key == "dns" || key == "http" || key == "kafka") {
        row.set_text(ColumnId::app, key == "dns" ? "dns" : key == "http" ? "http" : "kafka");
        const std::string prefix = std::string(key) + "_";
        return json::each_field(field, [&](std::string_view k, value& inner) -> error_code {
          // Headers carry cookies and tokens: not kept.
          if (k == "headers") return simdjson::SUCCESS;
          Scalar s;
          if (const auto error = json::read_scalar(inner, s)) return error;
          if (!s.is_nested()) {
            // 0 is written for what was not there.
            if (s.text != "0" || k == "rcode") row.add_extra(prefix + std::string(k), s.text);
            return simdjson::SUCCESS;
          }
          json::ondemand::json_type type;
          if (const auto error = inner.type().get(type)) return error;
          if (type != json::ondemand::json_type::array) return json::keep_in_extra(row, prefix + std::string(k), inner);
          std::string list;
          const auto error = texts(inner, [&](std::string_view text) { list.append(list.empty() ? "" : ",").append(text); });
          if (!error) row.add_extra(prefix + std::string(k), list);
          return error;
        });
      }
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (s.is_nested()) return json::keep_in_extra(row, std::string("l7_").append(key), field);
      if (s.text != "0") row.add_extra(std::string("l7_").append(key), s.text);
      return simdjson::SUCCESS;
    });
  }

  // The scalars of an object; what is nested further goes to extra, unless there is no prefix to its name.
  template <typename F>
  error_code scalars(value& v, FlowRow& row, std::string_view prefix, F&& f) {
    Scalar whole;
    if (const auto error = json::read_scalar(v, whole)) return error;
    if (!whole.is_nested()) return whole.is_nothing() ? simdjson::SUCCESS : simdjson::INCORRECT_TYPE;
    return json::each_field(v, [&](std::string_view key, value& field) -> error_code {
      Scalar s;
      if (const auto error = json::read_scalar(field, s)) return error;
      if (s.is_nested()) return prefix.empty() ? simdjson::SUCCESS : json::keep_in_extra(row, std::string(prefix).append(key), field);
      return s.is_nothing() ? simdjson::SUCCESS : f(key, s);
    });
  }

  template <typename F>
  error_code texts(value& v, F&& f) {
    return json::each_element(v, [&](value& element) -> error_code {
      Scalar s;
      if (const auto error = json::read_scalar(element, s)) return error;
      if (!s.is_nested() && !s.is_nothing()) f(s.text);
      return simdjson::SUCCESS;
    });
  }

  // What follows from the whole event.
  bool complete(FlowRow& row) {
    if (event_.verdict.empty() && event_.type.empty() && !row.has(ColumnId::src_ip))
      return row.fault("the object", " is no Hubble flow: it has neither verdict nor Type nor IP", "");
    const TimestampNs time = event_.time != 0 ? event_.time : event_.message_time;
    if (time != 0) {
      row.set_time(ColumnId::flow_start, time);
      row.set_time(ColumnId::flow_end, time);
    }

    const std::string_view verdict = event_.verdict;
    if (verdict == "FORWARDED" || verdict == "REDIRECTED" || verdict == "AUDIT") {
      row.set_enum(ColumnId::action, Action::accept);
    } else if (verdict == "DROPPED") {
      row.set_enum(ColumnId::action, Action::drop);
    } else if (!verdict.empty() && verdict != "TRACED" && verdict != "TRANSLATED") {
      row.set_enum(ColumnId::action, Action::unknown);
    }
    if (!verdict.empty() && verdict != "FORWARDED" && verdict != "DROPPED") row.add_extra("verdict", verdict);

    const bool is_packet = event_.type == "L3_L4" || (event_.type.empty() && !event_.has_l7);
    if (is_packet) row.set_uint(ColumnId::raw_packets, 1);
    row.set_uint(ColumnId::sampling_rate, 1);
    if (!event_.type.empty()) row.add_extra("type", event_.type);

    // traffic_direction is that of the connection, seen from the endpoint that reports; a reply goes the other way.
    const bool is_reply = event_.is_reply.value_or(false);
    if (event_.direction == "INGRESS" || event_.direction == "EGRESS") {
      const bool is_egress = (event_.direction == "EGRESS") != is_reply;
      row.set_enum(ColumnId::direction, is_egress ? Direction::egress : Direction::ingress);
      row.set_enum(ColumnId::reporter, is_egress ? Reporter::src : Reporter::dst);
      if (is_reply) row.add_extra("traffic_direction", event_.direction);
      if (!event_.interface_index.empty() &&
          !row.read_whole(is_egress ? ColumnId::output_if : ColumnId::input_if, "interface.index", event_.interface_index))
        return false;
    } else if (!event_.interface_index.empty()) {
      row.add_extra("interface_index", event_.interface_index);
    }
    if (event_.is_reply) row.set_enum(ColumnId::initiator, is_reply ? Initiator::dst : Initiator::src);

    row.add_extra("node_name", event_.node);
    row.set_enum(ColumnId::flags_quality, row.has(ColumnId::tcp_flags) ? FlagsQuality::all : FlagsQuality::none);
    row.set_uint(ColumnId::is_biflow, 0);
    row.set_enum(ColumnId::source, Source::hubble);
    return true;
  }

  const DecodeContext& context_;
  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  Event event_;
  TimestampNs last_at_ = 0;  // of the newest event before
  TimestampNs lost_at_ = 0;  // of a loss behind which no event has come yet
};

}  // namespace
}  // namespace hubble

Result<DecodeReport> decode_hubble(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  SLUICE_TRY(hubble::Decoder(context, sink, report).all(body));
  return report;
}

}  // namespace sluice::ingest
