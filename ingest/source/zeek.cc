#include "ingest/source/zeek.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "ingest/receive/limits.h"
#include "ingest/source/flow_row.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest {
namespace zeek {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

enum class Key : uint8_t {
  ts, uid, id, orig_h, orig_p, resp_h, resp_p, proto, ip_proto, service, duration, orig_bytes, resp_bytes, conn_state, local_orig,
  local_resp, missed_bytes, history, orig_pkts, orig_ip_bytes, resp_pkts, resp_ip_bytes, tunnel_parents, vlan, inner_vlan,
  orig_l2_addr, resp_l2_addr, path, write_ts, other,
};
constexpr json::KeyTable<Key> kKeys{
    {"ts", Key::ts}, {"uid", Key::uid}, {"id", Key::id}, {"id.orig_h", Key::orig_h}, {"id.orig_p", Key::orig_p},
    {"id.resp_h", Key::resp_h}, {"id.resp_p", Key::resp_p}, {"proto", Key::proto}, {"ip_proto", Key::ip_proto},
    {"service", Key::service}, {"duration", Key::duration}, {"orig_bytes", Key::orig_bytes}, {"resp_bytes", Key::resp_bytes},
    {"conn_state", Key::conn_state}, {"local_orig", Key::local_orig}, {"local_resp", Key::local_resp},
    {"missed_bytes", Key::missed_bytes}, {"history", Key::history}, {"orig_pkts", Key::orig_pkts},
    {"orig_ip_bytes", Key::orig_ip_bytes}, {"resp_pkts", Key::resp_pkts}, {"resp_ip_bytes", Key::resp_ip_bytes},
    {"tunnel_parents", Key::tunnel_parents}, {"vlan", Key::vlan}, {"inner_vlan", Key::inner_vlan},
    {"orig_l2_addr", Key::orig_l2_addr}, {"resp_l2_addr", Key::resp_l2_addr},
    // What streaming writers add to JSON.
    {"_path", Key::path}, {"_write_ts", Key::write_ts},
};
Key key_of_name(std::string_view name) {
  const Key* known = kKeys.find(name);
  return known == nullptr ? Key::other : *known;
}

// What a #fields line of a conn.log may name, for whoever misspells one.
constexpr std::string_view kConnFields[] = {
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "ip_proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig",
    "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents", "vlan", "inner_vlan", "orig_l2_addr", "resp_l2_addr",
};

// The letters of a history, as TCP flags of each side: capital letters are the originator's.
struct HistoryFlags {
  uint16_t orig = 0, resp = 0;
  bool handshake = false;  // whether the first packets were seen, so that the originator is known to be the one who began
};
HistoryFlags flags_of(std::string_view history) {
  constexpr uint16_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
  HistoryFlags f;
  for (const char c : history) {
    const bool is_orig = c >= 'A' && c <= 'Z';
    uint16_t& flags = is_orig ? f.orig : f.resp;
    switch (is_orig ? c + 32 : c) {
      case 's': flags |= kSyn; break;
      case 'h': flags |= kSyn | kAck; break;
      case 'a': flags |= kAck; break;
      case 'd': flags |= kAck; break;  // a segment with payload; all but the first have ACK
      case 'f': flags |= kFin; break;
      case 'r': flags |= kRst; break;
      default: break;  // checksum, gap, retransmission, window, direction: no flags
    }
    f.handshake |= c == 'S' || c == 'h';
  }
  return f;
}

// Zeek writes the type of an ICMP message as the originator's port, and as the responder's port the type of the answer where
// there is one, else the code.
bool has_icmp_answer(bool v6, uint64_t type) {
  if (v6) return (type >= 128 && type <= 136) || type == 139 || type == 140 || type == 144 || type == 145;
  return type == 0 || type == 8 || type == 9 || type == 10 || (type >= 13 && type <= 18);
}

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report)
      : context_(context), report_(report), writer_(context, sink, report) {}

  Status text(std::string_view body) {
    if (body.substr(0, 3) == "\xef\xbb\xbf") body.remove_prefix(3);
    if (!context_.format.empty()) SLUICE_TRY(configure());
    LineReader reader(body);
    std::string_view line;
    while (reader.next(line)) {
      if (line.empty()) continue;
      if (line.size() > limits::kTextLineBytesMax) {
        report_.reject(reader.number(), "line is longer than " + std::to_string(limits::kTextLineBytesMax) + " bytes: " + std::to_string(line.size()));
        continue;
      }
      if (line[0] == '#') {
        SLUICE_TRY(directive(line, reader.number()));
        continue;
      }
      if (is_other_log_) {
        ++report_.ignored;
        continue;
      }
      if (fields_.empty()) {
        if (!any_header_)
          return Error{ErrorCode::invalid_argument, "line " + std::to_string(reader.number()) +
                                                        ": no #fields line says which fields these are, and no format is configured"};
        report_.reject(reader.number(), "follows a #fields line that could not be read");
        continue;
      }
      SLUICE_TRY(record(line, reader.number()));
    }
    return writer_.finish();
  }

  Status json_objects(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) {
      FlowRow& row = begin();
      object o;
      error_code error = document_.open(text, reader.readable_end(), o);
      if (!error) error = json_record(o, row, "");
      if (record_.is_other_log) {
        ++report_.ignored;
      } else if (error) {
        report_.reject(reader.number(), row.fault().empty() ? json::error_text(error) : row.fault());
      } else if (!complete(row)) {
        report_.reject(reader.number(), row.fault());
      } else {
        SLUICE_TRY(writer_.write());
      }
    }
    return writer_.finish();
  }

 private:
  struct Field {
    Key key;
    std::string name;
  };
  // What is known of the record beside its row.
  struct Record {
    std::optional<DurationNs> duration;
    std::string_view orig_p, resp_p, orig_bytes, resp_bytes, proto, history, conn_state;
    bool is_other_log = false;
  };

  FlowRow& begin() {
    record_ = {};
    return writer_.begin();
  }

  // --- text ---

  Status configure() {
    std::string_view rest = context_.format;
    while (true) {
      const size_t begin = rest.find_first_not_of(" \t,");
      if (begin == std::string_view::npos) break;
      rest.remove_prefix(begin);
      const std::string_view name = rest.substr(0, rest.find_first_of(" \t,"));
      rest.remove_prefix(name.size());
      fields_.push_back({key_of_name(name), std::string(name)});
    }
    any_header_ = true;
    if (const std::string reason = fields_fault(); !reason.empty())
      return Error{ErrorCode::invalid_argument, "configured format: " + reason};
    note_unknown_columns(0);
    return {};
  }

  std::string fields_fault() const {
    if (fields_.size() > limits::kHeaderColumnsMax)
      return "more fields than " + std::to_string(limits::kHeaderColumnsMax) + ": " + std::to_string(fields_.size());
    for (const Key needed : {Key::ts, Key::orig_h, Key::resp_h})
      if (std::none_of(fields_.begin(), fields_.end(), [&](const Field& f) { return f.key == needed; }))
        return "no field ts, id.orig_h or id.resp_h: this is no conn.log";
    for (size_t i = 0; i < fields_.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        if (fields_[i].name == fields_[j].name) return "a field is named twice: " + quoted(std::string_view(fields_[i].name));
    return {};
  }

  void note_unknown_columns(uint64_t number) {
    UnknownColumn column;
    column.record = number;
    column.is_open = true;
    for (const std::string_view known : kConnFields)
      if (std::none_of(fields_.begin(), fields_.end(), [&](const Field& f) { return f.name == known; })) column.absent.push_back(known);
    for (const Field& f : fields_) {
      if (f.key != Key::other) continue;
      column.name = f.name;
      report_.note_unknown_column(column);
    }
  }

  // "#name<separator>value"; only "#separator" itself is always parted by a blank.
  Status directive(std::string_view line, uint64_t number) {
    const auto value_of = [&](std::string_view name) -> std::optional<std::string_view> {
      if (line.substr(0, name.size()) != name) return std::nullopt;
      std::string_view rest = line.substr(name.size());
      if (rest.empty()) return rest;
      if (rest[0] != separator_ && rest[0] != ' ') return std::nullopt;
      return rest.substr(1);
    };
    if (const auto separator = value_of("#separator")) {
      const std::string text = unescaped(*separator);
      if (text.size() == 1) separator_ = text[0];
      else if (!text.empty()) report_.reject(number, "#separator is longer than a byte: " + quoted(*separator));
    } else if (const auto unset = value_of("#unset_field")) {
      unset_ = unescaped(*unset);
    } else if (const auto empty = value_of("#empty_field")) {
      empty_ = unescaped(*empty);
    } else if (const auto path = value_of("#path")) {
      // "conn", or a name that a filter gave it; what it is, its fields tell.
      path_ = *path;
    } else if (const auto names = value_of("#fields")) {
      fields_.clear();
      any_header_ = true;
      std::string_view rest = *names;
      while (true) {
        const size_t end = rest.find(separator_);
        const std::string_view name = rest.substr(0, end);
        fields_.push_back({key_of_name(name), std::string(name)});
        if (end == std::string_view::npos || fields_.size() > limits::kHeaderColumnsMax) break;
        rest.remove_prefix(end + 1);
      }
      const std::string reason = fields_fault();
      is_other_log_ = false;
      if (!reason.empty()) {
        fields_.clear();
        // Another of Zeek's logs in the same stream is of no interest; the first of a body should be the right one.
        is_other_log_ = any_record_ && !path_.empty() && path_.substr(0, 4) != "conn";
        if (!any_record_) return Error{ErrorCode::invalid_argument, "line " + std::to_string(number) + ": " + reason};
        if (!is_other_log_) report_.reject(number, reason);
      } else {
        note_unknown_columns(number);
      }
    }
    return {};  // #set_separator, #types, #open, #close: nothing to learn
  }

  Status record(std::string_view line, uint64_t number) {
    any_record_ = true;
    FlowRow& row = begin();
    size_t at = 0;
    std::string_view rest = line;
    bool ended = false;
    while (!ended) {
      const void* stop = std::memchr(rest.data(), separator_, rest.size());
      const size_t size = stop == nullptr ? rest.size() : static_cast<size_t>(static_cast<const char*>(stop) - rest.data());
      if (at < fields_.size()) {
        std::string_view word = rest.substr(0, size);
        if (word != unset_ && word != empty_) {
          if (word.find('\\') != std::string_view::npos) word = unescaped_.emplace_back(unescaped(word));
          if (!field(fields_[at].key, fields_[at].name, word, row)) break;
        }
      }
      ++at;
      ended = stop == nullptr;
      rest.remove_prefix(ended ? size : size + 1);
    }
    // Where columns are missing, values stand in the wrong ones: that is the better reason.
    if (!ended) at = static_cast<size_t>(std::count(line.begin(), line.end(), separator_)) + 1;
    if (at != fields_.size())
      report_.reject(number, std::string(at < fields_.size() ? "too few fields: " : "too many fields: ") + std::to_string(at) + ", #fields names " +
                                 std::to_string(fields_.size()));
    else if (!ended || !complete(row))
      report_.reject(number, row.fault());
    else
      SLUICE_TRY(writer_.write());
    if (!unescaped_.empty()) unescaped_.clear();
    return {};
  }

  // "\x09" as the ASCII writer escapes separators and what is not printable.
  static std::string unescaped(std::string_view text) {
    const auto hex = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' && hex(text[i + 2]) >= 0 && hex(text[i + 3]) >= 0) {
        out += static_cast<char>(hex(text[i + 2]) << 4 | hex(text[i + 3]));
        i += 3;
      } else if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\\') {
        out += '\\';
        ++i;
      } else {
        out += text[i];
      }
    }
    return out;
  }

  // --- JSON ---

  error_code json_record(object& o, FlowRow& row, std::string_view prefix) {
    return json::each_field(o, [&](std::string_view name, value& v) -> error_code {
      std::string whole;
      if (!prefix.empty()) name = whole.assign(prefix).append(name);
      const Key key = key_of_name(name);
      Scalar s;
      if (const auto error = json::read_scalar(v, s)) return error;
      if (s.is_nothing()) return simdjson::SUCCESS;
      if (s.is_nested()) {
        // {"id":{"orig_h":…}} says the same as {"id.orig_h":…}.
        if (key == Key::id && prefix.empty()) {
          object id;
          if (const auto error = v.get_object().get(id)) return error;
          return json_record(id, row, "id.");
        }
        json::ondemand::json_type type;
        if (const auto error = v.type().get(type)) return error;
        if (type != json::ondemand::json_type::array || key != Key::tunnel_parents) return json::keep_in_extra(row, name, v);
        std::string list;
        const auto error = json::each_element(v, [&](value& element) -> error_code {
          Scalar item;
          if (const auto e = json::read_scalar(element, item)) return e;
          if (!item.is_nested() && !item.is_nothing()) list.append(list.empty() ? "" : ",").append(item.text);
          return simdjson::SUCCESS;
        });
        if (!error) row.add_extra(name, list);
        return error;
      }
      if (s.text == "(empty)") return simdjson::SUCCESS;
      if (!field(key, name, s.text, row)) return simdjson::INCORRECT_TYPE;
      return record_.is_other_log ? simdjson::NO_SUCH_FIELD : simdjson::SUCCESS;
    });
  }

  // --- both ---

  bool field(Key key, std::string_view name, std::string_view text, FlowRow& row) {
    switch (key) {
      case Key::ts: return row.read_time(ColumnId::flow_start, name, text);
      case Key::uid: row.set_text(ColumnId::flow_id, text); break;
      case Key::orig_h: return row.read_ip(ColumnId::src_ip, name, text);
      case Key::resp_h: return row.read_ip(ColumnId::dst_ip, name, text);
      case Key::orig_p: record_.orig_p = text; break;
      case Key::resp_p: record_.resp_p = text; break;
      case Key::proto: record_.proto = text; break;
      case Key::ip_proto: return row.read_whole(ColumnId::protocol, name, text);
      case Key::service: row.set_text(ColumnId::app, text); break;
      case Key::duration: {
        const auto duration = parse_scaled(text, 9);
        if (!duration || *duration < 0) return row.fault(name, " is no span of time", text);
        record_.duration = *duration;
        break;
      }
      case Key::orig_bytes: record_.orig_bytes = text; break;
      case Key::resp_bytes: record_.resp_bytes = text; break;
      case Key::orig_ip_bytes: return row.read_whole(ColumnId::raw_bytes, name, text);
      case Key::resp_ip_bytes: return row.read_whole(ColumnId::raw_reverse_bytes, name, text);
      case Key::orig_pkts: return row.read_whole(ColumnId::raw_packets, name, text);
      case Key::resp_pkts: return row.read_whole(ColumnId::raw_reverse_packets, name, text);
      case Key::conn_state: record_.conn_state = text; row.add_extra(name, text); break;
      case Key::history: record_.history = text; row.add_extra(name, text); break;
      case Key::local_orig: return truth(ColumnId::src_is_internal, name, text, row);
      case Key::local_resp: return truth(ColumnId::dst_is_internal, name, text, row);
      case Key::missed_bytes:
        if (text != "0") row.add_extra(name, text);
        break;
      case Key::vlan: return row.read_whole(ColumnId::vlan, name, text);
      case Key::inner_vlan: return row.read_whole(ColumnId::inner_vlan, name, text);
      case Key::orig_l2_addr: return row.read_mac(ColumnId::src_mac, name, text);
      case Key::resp_l2_addr: return row.read_mac(ColumnId::dst_mac, name, text);
      case Key::write_ts: return row.read_time(ColumnId::exported_at, name, text);
      case Key::path: record_.is_other_log = text.substr(0, 4) != "conn"; break;
      case Key::id:
      case Key::tunnel_parents:
      case Key::other: row.add_extra(name, text); break;
    }
    return true;
  }

  static bool truth(ColumnId id, std::string_view name, std::string_view text, FlowRow& row) {
    const bool yes = text == "T" || text == "true";
    if (!yes && text != "F" && text != "false") return row.fault(name, " is neither T nor F", text);
    row.set_uint(id, yes);
    return true;
  }

  bool complete(FlowRow& row) {
    if (!row.has(ColumnId::src_ip) || !row.has(ColumnId::dst_ip)) return row.fault("id.orig_h and id.resp_h", " are not both there", "");
    if (!row.has(ColumnId::flow_start)) return row.fault("ts", " is not there", "");

    // proto is the transport; for ICMP it does not tell which of the two.
    const bool v6 = !row.ip(ColumnId::src_ip).is_v4();
    const bool is_icmp = record_.proto == "icmp";
    if (!row.has(ColumnId::protocol)) {
      if (is_icmp)
        row.set_uint(ColumnId::protocol, v6 ? 58 : 1);
      else if (const auto protocol = parse_protocol(record_.proto))
        row.set_uint(ColumnId::protocol, *protocol);
      else
        row.add_extra("proto", record_.proto);
    }
    if (is_icmp) {
      if (!row.read_whole(ColumnId::icmp_type, "id.orig_p", record_.orig_p)) return false;
      if (!row.has(ColumnId::icmp_type) || !has_icmp_answer(v6, row.number(ColumnId::icmp_type)))
        if (!row.read_whole(ColumnId::icmp_code, "id.resp_p", record_.resp_p)) return false;
    } else if (!row.read_whole(ColumnId::src_port, "id.orig_p", record_.orig_p) || !row.read_whole(ColumnId::dst_port, "id.resp_p", record_.resp_p)) {
      return false;
    }

    // The time of the last packet. Without a duration there was one packet only, or Zeek does not know.
    const TimestampNs start = row.time(ColumnId::flow_start);
    TimestampNs end = start;
    if (record_.duration && __builtin_add_overflow(start, *record_.duration, &end)) return row.fault("duration", " leads beyond the year 2262", "");
    row.set_time(ColumnId::flow_end, end);
    const auto count = [&](ColumnId id) { return row.has(id) ? row.number(id) : 0; };
    const uint64_t orig_packets = count(ColumnId::raw_packets), resp_packets = count(ColumnId::raw_reverse_packets);
    const bool one_packet = (row.has(ColumnId::raw_packets) || row.has(ColumnId::raw_reverse_packets)) && orig_packets <= 1 && resp_packets <= 1 &&
                            orig_packets + resp_packets <= 1;
    if (!record_.duration && !one_packet) row.set_enum(ColumnId::time_quality, TimeQuality::estimated);

    // IP bytes are counted; payload bytes come from sequence numbers and can be far off.
    const bool has_ip_bytes = row.has(ColumnId::raw_bytes) || row.has(ColumnId::raw_reverse_bytes);
    if (has_ip_bytes) {
      row.set_enum(ColumnId::byte_basis, ByteBasis::layer3);
      row.add_extra("orig_bytes", record_.orig_bytes);
      row.add_extra("resp_bytes", record_.resp_bytes);
    } else {
      if (!row.read_whole(ColumnId::raw_bytes, "orig_bytes", record_.orig_bytes) ||
          !row.read_whole(ColumnId::raw_reverse_bytes, "resp_bytes", record_.resp_bytes))
        return false;
      if (row.has(ColumnId::raw_bytes) || row.has(ColumnId::raw_reverse_bytes)) row.set_enum(ColumnId::byte_basis, ByteBasis::payload);
    }

    Initiator initiator = Initiator::src;
    FlagsQuality quality = FlagsQuality::none;
    if (row.has(ColumnId::protocol) && row.number(ColumnId::protocol) == 6) {
      const HistoryFlags flags = flags_of(record_.history);
      if (!record_.history.empty()) {
        row.set_uint(ColumnId::tcp_flags, flags.orig);
        row.set_uint(ColumnId::reverse_tcp_flags, flags.resp);
        quality = FlagsQuality::syn_fin_rst_only;
      }
      // Picked up in its middle, a connection's originator is only the sender of the first packet seen.
      const bool began = record_.history.empty() ? record_.conn_state != "OTH" && !record_.conn_state.empty() : flags.handshake;
      if (!began) initiator = Initiator::unknown;
      const std::string_view s = record_.conn_state;
      if (s == "SF" || s == "REJ" || s.substr(0, 3) == "RST") row.set_enum(ColumnId::end_reason, EndReason::end_of_flow);
    }
    row.set_enum(ColumnId::initiator, initiator);
    row.set_enum(ColumnId::flags_quality, quality);
    row.set_uint(ColumnId::is_biflow, 1);
    row.set_uint(ColumnId::sampling_rate, 1);
    row.set_enum(ColumnId::source, Source::zeek);
    row.set_enum(ColumnId::reporter, Reporter::middle);
    return true;
  }

  const DecodeContext& context_;
  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  Record record_;

  char separator_ = '\t';
  std::string unset_ = "-", empty_ = "(empty)", path_;
  std::vector<Field> fields_;
  TextArena unescaped_;
  bool any_header_ = false, any_record_ = false, is_other_log_ = false;
};

}  // namespace
}  // namespace zeek

Result<DecodeReport> decode_zeek(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  zeek::Decoder decoder(context, sink, report);
  SLUICE_TRY(json::is_json(body) ? decoder.json_objects(body) : decoder.text(body));
  return report;
}

}  // namespace sluice::ingest
