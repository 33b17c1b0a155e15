#include "ingest/source/ibm_vpc.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ingest/source/flow_row.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"
#include "storage/model/counted.h"

namespace sluice::ingest {
namespace ibm_vpc {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

enum class Key : uint8_t {
  // of the header
  version, collector_crn, attached_endpoint_type, network_interface_id, instance_crn, vpc_crn, capture_start_time,
  capture_end_time, state, number_of_flow_logs, flow_logs,
  // of a record
  start_time, end_time, connection_start_time, direction, action, initiator_ip, initiator_port, target_ip, target_port,
  transport_protocol, ether_type, was_initiated, was_terminated, bytes_from_initiator, packets_from_initiator, bytes_from_target,
  packets_from_target, cumulative_bytes_from_initiator, cumulative_packets_from_initiator, cumulative_bytes_from_target,
  cumulative_packets_from_target,
};
constexpr json::KeyTable<Key> kKeys{
    {"version", Key::version}, {"collector_crn", Key::collector_crn}, {"attached_endpoint_type", Key::attached_endpoint_type},
    {"network_interface_id", Key::network_interface_id}, {"instance_crn", Key::instance_crn}, {"vpc_crn", Key::vpc_crn},
    {"capture_start_time", Key::capture_start_time}, {"capture_end_time", Key::capture_end_time}, {"state", Key::state},
    {"number_of_flow_logs", Key::number_of_flow_logs}, {"flow_logs", Key::flow_logs}, {"start_time", Key::start_time},
    {"end_time", Key::end_time}, {"connection_start_time", Key::connection_start_time}, {"direction", Key::direction},
    {"action", Key::action}, {"initiator_ip", Key::initiator_ip}, {"initiator_port", Key::initiator_port},
    {"target_ip", Key::target_ip}, {"target_port", Key::target_port}, {"transport_protocol", Key::transport_protocol},
    {"ether_type", Key::ether_type}, {"was_initiated", Key::was_initiated}, {"was_terminated", Key::was_terminated},
    {"bytes_from_initiator", Key::bytes_from_initiator}, {"packets_from_initiator", Key::packets_from_initiator},
    {"bytes_from_target", Key::bytes_from_target}, {"packets_from_target", Key::packets_from_target},
    {"cumulative_bytes_from_initiator", Key::cumulative_bytes_from_initiator},
    {"cumulative_packets_from_initiator", Key::cumulative_packets_from_initiator},
    {"cumulative_bytes_from_target", Key::cumulative_bytes_from_target},
    {"cumulative_packets_from_target", Key::cumulative_packets_from_target},
};

// What one object's header says of all its records.
struct Header {
  std::string version, collector, endpoint_type, interface, instance, vpc, account, region, zone, state;
  TimestampNs capture_start = 0, capture_end = 0;
  std::optional<uint64_t> count;
  bool has_records = false, is_null = false, is_record = false;
};

// A cloud resource name: crn:version:cname:ctype:service:location:scope:service-instance:resource-type:resource.
// `a/…` in the scope is the account; "us-south" in the location is a region, "us-south-3" a zone of it.
std::string_view crn_part(std::string_view crn, int part) {
  if (crn.substr(0, 4) != "crn:") return {};
  for (int i = 0; i < part; ++i) {
    const size_t colon = crn.find(':');
    if (colon == std::string_view::npos) return {};
    crn.remove_prefix(colon + 1);
  }
  // The resource itself may hold colons.
  return part == 9 ? crn : crn.substr(0, crn.find(':'));
}
constexpr int kLocation = 5, kScope = 6, kResource = 9;

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report)
      : report_(report), writer_(context, sink, report) {}

  Status all(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) SLUICE_TRY(delivery(text, reader.readable_end()));
    return writer_.finish();
  }

 private:
  // One object. Its header is read first, wherever the records stand in it.
  Status delivery(std::string_view text, const char* readable_end) {
    header_ = {};
    fault_.clear();
    object o;
    error_code error = document_.open(text, readable_end, o);
    if (!error) error = read_header(o);
    if (error) {
      ++number_;
      report_.reject(number_, fault_.empty() ? json::error_text(error) : fault_);
      return {};
    }
    if (!header_.has_records && !header_.is_record) {
      ++number_;
      report_.reject(number_, "JSON object has no flow_logs");
      return {};
    }
    if (header_.state == "skip data" || header_.state == "SKIP DATA" || header_.state == "skip_data") {
      ++report_.skipped_data;
      if (header_.capture_end != 0) {
        report_.skipped_range.from = std::min(report_.skipped_range.from, header_.capture_start);
        report_.skipped_range.to = std::max(report_.skipped_range.to, header_.capture_end);
      }
    }
    if (error = document_.again(o); error) {
      report_.reject(++number_, json::error_text(error));
      return {};
    }
    if (header_.is_record) {
      FlowRow& row = begin();
      error = read_record(o, row);
      return end_record(error, row);
    }
    uint64_t seen = 0;
    Status sunk;
    error = json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      if (key != "flow_logs" || header_.is_null) return simdjson::SUCCESS;
      return json::each_element(v, [&](value& element) -> error_code {
        ++seen;
        FlowRow& row = begin();
        object record;
        error_code broken = element.get_object().get(record);
        if (!broken) broken = read_record(record, row);
        // What only makes no sense costs the record; behind broken JSON simdjson does not find the next one.
        if (broken && broken != simdjson::INCORRECT_TYPE) return broken;
        sunk = end_record(broken, row);
        return sunk.ok() ? simdjson::SUCCESS : simdjson::MEMALLOC;
      });
    });
    SLUICE_TRY(std::move(sunk));
    if (error) {
      // JSON that is broken inside one record: its neighbours are found by their brackets, each read by itself.
      SLUICE_TRY(one_by_one(text, readable_end, seen));
    } else if (header_.count && seen < *header_.count) {
      report_.reject(++number_, "flow_logs has " + counted(seen, "record") + ", number_of_flow_logs says " + std::to_string(*header_.count));
    } else if (seen == 0) {
      ++report_.no_data;
    }
    return {};
  }

  // The records of an object from the `first`th on (from 1).
  Status one_by_one(std::string_view text, const char* readable_end, uint64_t first) {
    constexpr std::string_view kName = "\"flow_logs\"";
    const size_t name = text.find(kName), begin_at = name == text.npos ? name : text.find('[', name), end_at = text.rfind(']');
    if (begin_at == text.npos || end_at == text.npos || end_at < begin_at) {
      report_.reject(++number_, "flow_logs cannot be read");
      return {};
    }
    JsonRecords reader(text.substr(begin_at, end_at + 1 - begin_at));
    std::string_view record_text;
    while (reader.next(record_text, report_)) {
      if (reader.number() < first) continue;
      FlowRow& row = begin();
      object record;
      error_code error = document_.open(record_text, readable_end, record);
      if (!error) error = read_record(record, row);
      SLUICE_TRY(end_record(error, row));
    }
    return {};
  }

  FlowRow& begin() {
    record_ = {};
    return writer_.begin();
  }

  Status end_record(error_code error, FlowRow& row) {
    ++number_;
    if (error) {
      report_.reject(number_, row.fault().empty() ? json::error_text(error) : row.fault());
      return {};
    }
    if (!complete(row)) {
      report_.reject(number_, row.fault());
      return {};
    }
    return writer_.write();
  }

  // A text that every row repeats.
  void take(std::string& out, std::string_view text) {
    if (text.size() > limits::kEnvelopeTextBytesMax) ++report_.cut_strings;
    out = text.substr(0, limits::kEnvelopeTextBytesMax);
  }

  void take_crn(std::string& id, std::string_view crn) {
    const std::string_view resource = crn_part(crn, kResource);
    take(id, resource.empty() ? crn : resource);
    const std::string_view scope = crn_part(crn, kScope), location = crn_part(crn, kLocation);
    if (scope.substr(0, 2) == "a/") take(header_.account, scope.substr(2));
    if (location.empty()) return;
    const size_t dash = location.rfind('-');
    const bool is_zone = dash != std::string_view::npos && dash + 1 < location.size() && location.size() - dash <= 3 &&
                         std::all_of(location.begin() + static_cast<ptrdiff_t>(dash) + 1, location.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_zone) take(header_.zone, location);
    take(header_.region, is_zone ? location.substr(0, dash) : location);
  }

  error_code read_header(object& o) {
    FlowRow& row = writer_.begin();  // for its readers of values
    const auto must = [&](bool ok) {
      if (!ok) fault_ = row.fault();
      return ok ? simdjson::SUCCESS : simdjson::INCORRECT_TYPE;
    };
    return json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      const Key* known = kKeys.find(key);
      if (known == nullptr) return simdjson::SUCCESS;
      if (*known == Key::flow_logs) {
        json::ondemand::json_type type;
        if (const auto error = v.type().get(type)) return error;
        // null is how some writers put an empty array.
        header_.has_records = true;
        header_.is_null = type == json::ondemand::json_type::null;
        if (type == json::ondemand::json_type::array || header_.is_null) return simdjson::SUCCESS;
        fault_ = "flow_logs is no array";
        return simdjson::INCORRECT_TYPE;
      }
      if (*known == Key::initiator_ip) header_.is_record = true;
      if (*known > Key::flow_logs) return simdjson::SUCCESS;
      Scalar s;
      if (const auto error = json::read_scalar(v, s)) return error;
      if (s.is_nothing() || s.is_nested()) return simdjson::SUCCESS;
      switch (*known) {
        case Key::collector_crn: take(header_.collector, s.text); break;
        case Key::attached_endpoint_type: take(header_.endpoint_type, s.text); break;
        case Key::network_interface_id: take(header_.interface, s.text); break;
        case Key::instance_crn: take_crn(header_.instance, s.text); break;
        case Key::vpc_crn: {
          // The VPC lies in a region; the instance, where there is one, in a zone of it.
          const std::string zone = header_.zone;
          take_crn(header_.vpc, s.text);
          if (!zone.empty()) header_.zone = zone;
          break;
        }
        case Key::capture_start_time: return must(row.read_time(header_.capture_start, key, s.text));
        case Key::capture_end_time: return must(row.read_time(header_.capture_end, key, s.text));
        case Key::state: take(header_.state, s.text); break;
        case Key::number_of_flow_logs: {
          uint64_t count = 0;
          if (const auto error = must(row.read_whole(count, UINT32_MAX, key, s.text))) return error;
          header_.count = count;
          break;
        }
        default: break;
      }
      return simdjson::SUCCESS;
    });
  }

  // What is known of the record beside its row.
  struct Record {
    std::optional<bool> initiated, terminated;
    std::array<std::string_view, 4> cumulative{};
    TimestampNs connection_start = 0;
    std::optional<Direction> direction;
  };

  error_code read_record(object& o, FlowRow& row) {
    const auto must = [](bool ok) { return ok ? simdjson::SUCCESS : simdjson::INCORRECT_TYPE; };
    return json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      const Key* known = kKeys.find(key);
      if (known == nullptr) return json::keep_in_extra(row, key, v);
      if (*known <= Key::flow_logs) return simdjson::SUCCESS;  // the header's own
      Scalar s;
      if (const auto error = json::read_scalar(v, s)) return error;
      if (s.is_nested()) return json::keep_in_extra(row, key, v);
      if (s.is_nothing()) return simdjson::SUCCESS;
      switch (*known) {
        case Key::start_time: return must(row.read_time(ColumnId::flow_start, key, s.text));
        case Key::end_time: return must(row.read_time(ColumnId::flow_end, key, s.text));
        case Key::connection_start_time: return must(row.read_time(record_.connection_start, key, s.text));
        case Key::direction:
          if (s.text == "I" || s.text == "i") record_.direction = Direction::ingress;
          else if (s.text == "O" || s.text == "o") record_.direction = Direction::egress;
          else row.add_extra(key, s.text);
          break;
        case Key::action:
          if (s.text == "accepted") {
            row.set_enum(ColumnId::action, Action::accept);
          } else if (s.text == "rejected") {
            row.set_enum(ColumnId::action, Action::reject);
          } else {
            row.set_enum(ColumnId::action, Action::unknown);
            row.add_extra(key, s.text);
          }
          break;
        case Key::initiator_ip: return must(row.read_ip(ColumnId::src_ip, key, s.text));
        case Key::target_ip: return must(row.read_ip(ColumnId::dst_ip, key, s.text));
        case Key::initiator_port: return must(row.read_whole(ColumnId::src_port, key, s.text));
        case Key::target_port: return must(row.read_whole(ColumnId::dst_port, key, s.text));
        case Key::transport_protocol: return must(row.read_protocol(key, s.text));
        case Key::ether_type:
          if (s.text != "IPv4") row.add_extra(key, s.text);
          break;
        case Key::was_initiated: record_.initiated = s.is_true; break;
        case Key::was_terminated: record_.terminated = s.is_true; break;
        case Key::bytes_from_initiator: return must(row.read_whole(ColumnId::raw_bytes, key, s.text));
        case Key::packets_from_initiator: return must(row.read_whole(ColumnId::raw_packets, key, s.text));
        case Key::bytes_from_target: return must(row.read_whole(ColumnId::raw_reverse_bytes, key, s.text));
        case Key::packets_from_target: return must(row.read_whole(ColumnId::raw_reverse_packets, key, s.text));
        default:
          record_.cumulative[static_cast<size_t>(*known) - static_cast<size_t>(Key::cumulative_bytes_from_initiator)] = s.text;
      }
      return simdjson::SUCCESS;
    });
  }

  bool complete(FlowRow& row) {
    if (!row.has(ColumnId::src_ip) || !row.has(ColumnId::dst_ip))
      return row.fault("initiator_ip and target_ip", " are not both there", "");

    // A record without times has no packets in this window, only the totals of its connection: the window is its time.
    if (!row.has(ColumnId::flow_end) && !row.has(ColumnId::flow_start)) {
      if (header_.capture_start != 0) row.set_time(ColumnId::flow_start, header_.capture_start);
      if (header_.capture_end != 0) row.set_time(ColumnId::flow_end, header_.capture_end);
      row.set_enum(ColumnId::time_quality, TimeQuality::estimated);
    }
    if (record_.connection_start != 0 && !(row.has(ColumnId::flow_start) && row.time(ColumnId::flow_start) == record_.connection_start))
      row.add_extra("connection_start_time", format_timestamp(record_.connection_start));

    if (record_.terminated.value_or(false)) {
      row.set_enum(ColumnId::flow_state, FlowState::end);
      // Begun and ended in one window; the column has room for the end.
      if (record_.initiated.value_or(false)) row.add_extra("was_initiated", "true");
    } else if (record_.initiated) {
      row.set_enum(ColumnId::flow_state, *record_.initiated ? FlowState::begin : FlowState::cont);
    }

    // The totals since the connection began; in its first window they are the counters once more.
    static constexpr struct {
      std::string_view name;
      ColumnId delta;
    } kTotals[] = {{"cumulative_bytes_from_initiator", ColumnId::raw_bytes},
                   {"cumulative_packets_from_initiator", ColumnId::raw_packets},
                   {"cumulative_bytes_from_target", ColumnId::raw_reverse_bytes},
                   {"cumulative_packets_from_target", ColumnId::raw_reverse_packets}};
    for (size_t i = 0; i < std::size(kTotals); ++i) {
      uint64_t total = 0;
      if (record_.cumulative[i].empty()) continue;
      if (!row.read_whole(total, UINT64_MAX, kTotals[i].name, record_.cumulative[i])) return false;
      if (!row.has(kTotals[i].delta) || row.number(kTotals[i].delta) != total) row.add_extra(kTotals[i].name, record_.cumulative[i]);
    }

    if (record_.direction) {
      row.set_enum(ColumnId::direction, *record_.direction);
      // "O": the first packet was sent by this interface, so that it is the initiator's.
      const bool at_source = *record_.direction == Direction::egress;
      row.set_enum(ColumnId::reporter, at_source ? Reporter::src : Reporter::dst);
      row.set_text(at_source ? ColumnId::src_interface_id : ColumnId::dst_interface_id, header_.interface);
      row.set_text(at_source ? ColumnId::src_instance_id : ColumnId::dst_instance_id, header_.instance);
      row.set_text(at_source ? ColumnId::src_vpc_id : ColumnId::dst_vpc_id, header_.vpc);
      row.set_text(at_source ? ColumnId::src_account_id : ColumnId::dst_account_id, header_.account);
      row.set_text(at_source ? ColumnId::src_region : ColumnId::dst_region, header_.region);
      row.set_text(at_source ? ColumnId::src_zone : ColumnId::dst_zone, header_.zone);
    } else {
      row.add_extra("network_interface_id", header_.interface);
      row.add_extra("instance_id", header_.instance);
      row.add_extra("vpc_id", header_.vpc);
      row.add_extra("account_id", header_.account);
    }
    if (!header_.endpoint_type.empty() && header_.endpoint_type != "vnic") row.add_extra("attached_endpoint_type", header_.endpoint_type);
    row.add_extra("collector_crn", header_.collector);
    row.set_text(ColumnId::log_status, header_.state);
    row.set_text(ColumnId::cloud, "ibm");
    row.set_enum(ColumnId::initiator, Initiator::src);
    row.set_enum(ColumnId::flags_quality, FlagsQuality::none);
    row.set_uint(ColumnId::is_biflow, 1);
    row.set_uint(ColumnId::sampling_rate, 1);
    row.set_enum(ColumnId::source, Source::ibm_vpc);
    return true;
  }

  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  Header header_;
  Record record_;
  std::string fault_;
  uint64_t number_ = 0;
};

}  // namespace
}  // namespace ibm_vpc

Result<DecodeReport> decode_ibm_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  SLUICE_TRY(ibm_vpc::Decoder(context, sink, report).all(body));
  return report;
}

}  // namespace sluice::ingest
