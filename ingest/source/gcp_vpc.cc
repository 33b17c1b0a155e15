#include "ingest/source/gcp_vpc.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "ingest/source/base64.h"
#include "ingest/source/batch_columns.h"
#include "ingest/source/bounded_table.h"
#include "ingest/source/coded_text.h"
#include "ingest/source/country_code.h"
#include "ingest/source/flow_time.h"
#include "ingest/source/json_body.h"
#include "ingest/source/json_records.h"
#include "ingest/source/json_token.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"
#include "ingest/source/text_value.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace gcp_vpc {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kBatchRows = 16'384;
static_assert(kBatchRows <= limits::kBatchRows);
// Two reporters see the packets of one connection in windows of their own; the shortest that can be configured is this long.
constexpr DurationNs kWindowSlack = 5 * kSecond;

// Objects inside one another that are walked; real ones have below ten. What lies deeper is left out, and counted as cut.
constexpr int kDepthMax = 32;
static_assert(kDepthMax < static_cast<int>(limits::kJsonDepthMax));
// An entry's `extra` before escapes, which at most double it.
constexpr size_t kExtraBytesMax = limits::kStringBytesMax / 2 - 16;

// What an entry, a bare payload or a Pub/Sub message begins with, in any order of its keys. "labels" and "type" are not among
// them: they are in an entry's `resource`, too.
constexpr std::string_view kFirstKeys[] = {"insertId", "jsonPayload", "json_payload", "logName", "receiveTimestamp", "timestamp", "severity", "resource",
                                           "message",  "subscription", "connection",  "bytes_sent", "reporter",      "start_time", "end_time"};
constexpr std::string_view kListKeys[] = {"entries", "receivedMessages"};

// --- what is read of an entry ---

// One side's values: kSideFields of them for the source, then as many for the destination, then those of the whole.
enum SideField : uint8_t {
  kInstanceProject, kInstanceRegion, kInstanceName, kInstanceZone, kVpcProject, kVpcName, kSubnetName, kSubnetRegion, kAsn, kCity,
  kCountry, kPodName, kPodNamespace, kWorkload, kService, kSideFields,
};
constexpr uint8_t kSrc = 0, kDst = kSideFields;
enum Field : uint8_t {
  kSrcIp = 2 * kSideFields, kDstIp, kSrcPort, kDstPort, kProtocol, kReporter, kStartTime, kEndTime, kBytes,
  kPackets, kDisposition, kDropReason, kDroppedBytes, kDroppedPackets, kDscp, kFieldCount,
};

// Keys from jsonPayload on, joined by '_'.
constexpr json::KeyTable<uint8_t> kPaths = {
    {"connection_src_ip", kSrcIp}, {"connection_dest_ip", kDstIp}, {"connection_src_port", kSrcPort}, {"connection_dest_port", kDstPort},
    {"connection_protocol", kProtocol}, {"reporter", kReporter}, {"start_time", kStartTime}, {"end_time", kEndTime}, {"bytes_sent", kBytes},
    {"packets_sent", kPackets}, {"disposition", kDisposition}, {"drop_reason", kDropReason}, {"bytes_dropped", kDroppedBytes},
    {"packets_dropped", kDroppedPackets}, {"network_service_dscp", kDscp},
    {"src_instance_project_id", kSrc + kInstanceProject}, {"dest_instance_project_id", kDst + kInstanceProject},
    {"src_instance_region", kSrc + kInstanceRegion}, {"dest_instance_region", kDst + kInstanceRegion},
    {"src_instance_vm_name", kSrc + kInstanceName}, {"dest_instance_vm_name", kDst + kInstanceName},
    {"src_instance_zone", kSrc + kInstanceZone}, {"dest_instance_zone", kDst + kInstanceZone},
    {"src_vpc_project_id", kSrc + kVpcProject}, {"dest_vpc_project_id", kDst + kVpcProject},
    {"src_vpc_vpc_name", kSrc + kVpcName}, {"dest_vpc_vpc_name", kDst + kVpcName},
    {"src_vpc_subnetwork_name", kSrc + kSubnetName}, {"dest_vpc_subnetwork_name", kDst + kSubnetName},
    {"src_vpc_subnetwork_region", kSrc + kSubnetRegion}, {"dest_vpc_subnetwork_region", kDst + kSubnetRegion},
    {"src_location_asn", kSrc + kAsn}, {"dest_location_asn", kDst + kAsn},
    {"src_location_city", kSrc + kCity}, {"dest_location_city", kDst + kCity},
    {"src_location_country", kSrc + kCountry}, {"dest_location_country", kDst + kCountry},
    {"src_gke_details_pod_pod_name", kSrc + kPodName}, {"dest_gke_details_pod_pod_name", kDst + kPodName},
    {"src_gke_details_pod_pod_namespace", kSrc + kPodNamespace}, {"dest_gke_details_pod_pod_namespace", kDst + kPodNamespace},
    {"src_gke_details_pod_workload_workload_name", kSrc + kWorkload}, {"dest_gke_details_pod_workload_workload_name", kDst + kWorkload},
    {"src_gke_details_pod_pod_workload_workload_name", kSrc + kWorkload}, {"dest_gke_details_pod_pod_workload_workload_name", kDst + kWorkload},
    {"src_google_service_service_name", kSrc + kService}, {"dest_google_service_service_name", kDst + kService},
};

// Columns of either side that hold text.
enum Lane : size_t { kLaneInstance, kLaneVpc, kLaneSubnet, kLaneAccount, kLaneRegion, kLaneZone, kLaneService, kLaneNamespace, kLanePod, kLaneWorkload, kLaneCountry, kLaneCity, kLaneCount };
constexpr struct {
  ColumnId src, dst;
} kLanes[] = {
    {ColumnId::src_instance_id, ColumnId::dst_instance_id}, {ColumnId::src_vpc_id, ColumnId::dst_vpc_id},
    {ColumnId::src_subnet_id, ColumnId::dst_subnet_id},     {ColumnId::src_account_id, ColumnId::dst_account_id},
    {ColumnId::src_region, ColumnId::dst_region},           {ColumnId::src_zone, ColumnId::dst_zone},
    {ColumnId::src_service, ColumnId::dst_service},         {ColumnId::src_k8s_namespace, ColumnId::dst_k8s_namespace},
    {ColumnId::src_k8s_pod, ColumnId::dst_k8s_pod},         {ColumnId::src_k8s_workload, ColumnId::dst_k8s_workload},
    {ColumnId::src_country, ColumnId::dst_country},         {ColumnId::src_city, ColumnId::dst_city},
};
static_assert(std::size(kLanes) == kLaneCount);

struct Window {
  TimestampNs from = kTimestampMax, to = kTimestampMin;
  bool near(const Window& o) const { return from - kWindowSlack <= o.to && o.from - kWindowSlack <= to; }
  bool operator==(const Window&) const = default;
  bool empty() const { return from > to; }
};
// Who reported what of a connection of this body, to mark the second report of the same traffic.
struct Connection {
  uint64_t key = 0;
  Window src, dst;       // the last ones that each side reported
  uint64_t dst_row = 0;  // of the body, from 1: where the destination's report is
};

// A count or a port: digits, in quotes or not, or a JSON float that is a whole number ("49444.0").
bool whole_number(std::string_view text, uint64_t max, uint64_t& out) {
  if (parse_number(text, max, out)) return true;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // 2^64 as a double: everything below it fits.
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < 18446744073709551616.0) || std::floor(value) != value) return false;
  out = static_cast<uint64_t>(value);
  return out <= max;
}

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink) : context_(context), sink_(sink) {}

  Result<DecodeReport> run(std::string_view body) {
    SLUICE_TRY(all(body, 0));
    SLUICE_TRY(flush());
    return std::move(report_);
  }

 private:
  Status all(std::string_view body, int depth) {
    JsonRecords records(body, {kFirstKeys, kListKeys});
    json::Document document;
    std::string_view object;
    std::string reason;
    while (true) {
      const auto found = records.next(object, reason);
      if (found == JsonRecords::Found::end) return {};
      if (depth == 0) ++number_;
      if (found == JsonRecords::Found::damage) {
        report_.reject(number_, std::move(reason));
        continue;
      }
      packed_.clear();
      if (const auto error = entry(document, object, body.data() + body.size())) {
        report_.reject(number_, std::string("entry cannot be read: ") + simdjson::error_message(error));
        records.look_inside();
        continue;
      }
      if (!packed_.empty()) SLUICE_TRY(unpack(depth));
      if (builder_.rows() >= kBatchRows) SLUICE_TRY(flush());
    }
  }

  Status unpack(int depth) {
    if (depth > 0) {
      report_.reject(number_, "Pub/Sub message inside a Pub/Sub message");
      return {};
    }
    std::string data;
    unescape_json(packed_, data);
    const auto text = base64_decoded(data);
    if (!text) {
      report_.reject(number_, "Pub/Sub message's data is not base64");
      return {};
    }
    return all(*text, depth + 1);
  }

  // What one entry says; views are good until the entry is done.
  struct Entry {
    std::array<std::string_view, kFieldCount> fields;
    std::string_view insert_id, timestamp, log_name, label_project, label_subnet, label_location;
    bool has_payload = false, has_message = false;
  };

  simdjson::error_code entry(json::Document& document, std::string_view object, const char* body_end);
  simdjson::error_code envelope(ondemand::object& object);
  simdjson::error_code labels(ondemand::object& object, std::string_view prefix);
  simdjson::error_code payload(ondemand::object& object, int depth, bool in_list);
  simdjson::error_code payload_list(ondemand::array& list, int depth);
  void payload_leaf(std::string_view token, bool in_list);
  void write();
  Status flush();

  std::string_view text(std::string_view inner) {
    bool cut = false;
    const auto clean = column_text(inner, arena_, cut);
    cut_in_row_ |= cut;
    return clean;
  }
  void add_extra(std::string_view key, std::string_view value) {
    if (++extra_items_ > limits::kJsonExtraItemsMax || extra_.size() + key.size() + value.size() > kExtraBytesMax) {
      cut_in_row_ = true;
      return;
    }
    append_extra(extra_, key, value);
  }
  bool bad(std::string_view what, std::string_view word) {
    report_.reject(number_, std::string(what) + ": " + quoted(word));
    return false;
  }
  bool number(Field field, std::string_view name, uint64_t max, std::optional<uint64_t>& out) {
    const std::string_view word = entry_.fields[field];
    if (word.empty()) return true;
    uint64_t value = 0;
    if (!whole_number(word, max, value)) return bad(std::string(name) + " is not a number from 0 to " + std::to_string(max), word);
    out = value;
    return true;
  }
  bool time(Field field, std::string_view name, std::optional<TimestampNs>& out) {
    const std::string_view word = entry_.fields[field];
    if (word.empty()) return true;
    out = parse_timestamp(word);
    return out || bad(std::string(name) + " is not a time", word);
  }

  const DecodeContext& context_;
  const FlowSink& sink_;
  DecodeReport report_;

  // The entry at hand.
  uint64_t number_ = 0;
  Entry entry_;
  TextArena arena_;
  std::string path_, extra_, packed_;
  std::vector<std::pair<std::string, std::string>> lists_;  // values of one path in a list, joined by commas
  size_t extra_items_ = 0;
  bool cut_in_row_ = false;

  // The batch in the making.
  FlowBatchBuilder builder_;
  std::array<CodedText, kLaneCount> src_, dst_;
  CodedText reason_;
  std::vector<uint8_t> duplicate_;
  uint64_t rows_before_ = 0;  // of this body, in batches that are gone
  BoundedTable<Connection> connections_{limits::kGcpConnectionsMax};
};

simdjson::error_code Decoder::entry(json::Document& document, std::string_view object, const char* body_end) {
  entry_ = {};
  arena_.clear();
  extra_.clear();
  lists_.clear();
  extra_items_ = 0;
  cut_in_row_ = false;
  path_.clear();
  ondemand::object root;
  if (const auto error = document.open(object, body_end, root)) return error;
  bool bare = false;
  for (auto field : root) {
    if (field.error()) return field.error();
    const std::string_view key = raw_key(field.value_unsafe().key().raw());
    ondemand::value& value = field.value_unsafe().value();
    const std::string_view token = json::raw_token(value);
    if (token.empty()) return simdjson::TAPE_ERROR;
    const bool is_object = token[0] == '{';
    if (key == "connection" && is_object) {
      bare = true;
      break;
    }
    if (is_object) {
      ondemand::object inner;
      if (const auto error = value.get_object().get(inner)) return error;
      if (key == "jsonPayload" || key == "json_payload") {
        entry_.has_payload = true;
        if (const auto error = payload(inner, 0, false)) return error;
      } else if (key == "resource") {
        if (const auto error = labels(inner, "resource")) return error;
      } else if (key == "labels") {
        if (const auto error = labels(inner, "labels")) return error;
      } else if (key == "message") {
        entry_.has_message = true;
        if (const auto error = envelope(inner)) return error;
      }
      continue;
    }
    const std::string_view inner = inner_text(token);
    if (key == "insertId" || key == "insert_id")
      entry_.insert_id = inner;
    else if (key == "timestamp")
      entry_.timestamp = inner;
    else if (key == "logName" || key == "log_name")
      entry_.log_name = inner;
  }
  if (bare) {
    // Not an entry but what is in one.
    if (const auto error = document.again(root)) return error;
    entry_ = {};
    entry_.has_payload = true;
    extra_.clear();
    lists_.clear();
    extra_items_ = 0;
    path_.clear();
    if (const auto error = payload(root, 0, false)) return error;
  }
  if (!packed_.empty()) return simdjson::SUCCESS;
  if (entry_.has_message) {
    report_.reject(number_, "Pub/Sub message without data");
    return simdjson::SUCCESS;
  }
  // Audit logs, firewall logs and others come through the same sink.
  if (!entry_.log_name.empty() && !entry_.log_name.ends_with("vpc_flows")) {
    ++report_.ignored;
    return simdjson::SUCCESS;
  }
  if (!entry_.has_payload) {
    report_.reject(number_, "entry has neither jsonPayload nor connection");
    return simdjson::SUCCESS;
  }
  write();
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::envelope(ondemand::object& object) {
  for (auto field : object) {
    if (field.error()) return field.error();
    ondemand::value& value = field.value_unsafe().value();
    if (raw_key(field.value_unsafe().key().raw()) == "data") packed_ = inner_text(json::raw_token(value));
  }
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::labels(ondemand::object& object, std::string_view prefix) {
  for (auto field : object) {
    if (field.error()) return field.error();
    const std::string_view key = raw_key(field.value_unsafe().key().raw());
    ondemand::value& value = field.value_unsafe().value();
    const std::string_view token = json::raw_token(value);
    if (token.empty()) return simdjson::TAPE_ERROR;
    if (token[0] == '{') {
      if (prefix != "resource" || key != "labels") continue;
      ondemand::object inner;
      if (const auto error = value.get_object().get(inner)) return error;
      if (const auto error = labels(inner, "resource_labels")) return error;
      continue;
    }
    if (token[0] == '[' || prefix == "resource") continue;  // its type says which API made the log
    const std::string_view inner = inner_text(token);
    if (inner.empty()) continue;
    if (prefix == "resource_labels" && key == "project_id") {
      entry_.label_project = inner;
    } else if (prefix == "resource_labels" && key == "subnetwork_name") {
      entry_.label_subnet = inner;
    } else if (prefix == "resource_labels" && key == "location") {
      entry_.label_location = inner;
    } else {
      path_.assign(prefix).append("_").append(key);
      add_extra(text(path_), text(inner));
    }
  }
  path_.clear();
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::payload(ondemand::object& object, int depth, bool in_list) {
  const size_t length = path_.size();
  for (auto field : object) {
    if (field.error()) return field.error();
    const std::string_view key = raw_key(field.value_unsafe().key().raw());
    ondemand::value& value = field.value_unsafe().value();
    path_.resize(length);
    if (length > 0) path_ += '_';
    path_ += key.substr(0, 256);
    const std::string_view token = json::raw_token(value);
    if (token.empty()) return simdjson::TAPE_ERROR;
    if (token[0] != '{' && token[0] != '[') {
      payload_leaf(token, in_list);
    } else if (depth >= kDepthMax) {
      cut_in_row_ = true;
    } else if (token[0] == '{') {
      ondemand::object inner;
      if (const auto error = value.get_object().get(inner)) return error;
      if (const auto error = payload(inner, depth + 1, in_list)) return error;
    } else {
      ondemand::array inner;
      if (const auto error = value.get_array().get(inner)) return error;
      if (const auto error = payload_list(inner, depth + 1)) return error;
    }
  }
  path_.resize(length);
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::payload_list(ondemand::array& list, int depth) {
  const size_t length = path_.size();
  for (auto element : list) {
    if (element.error()) return element.error();
    ondemand::value& value = element.value_unsafe();
    path_.resize(length);
    const std::string_view token = json::raw_token(value);
    if (token.empty()) return simdjson::TAPE_ERROR;
    if (token[0] != '{' && token[0] != '[') {
      payload_leaf(token, true);
    } else if (depth >= kDepthMax) {
      cut_in_row_ = true;
    } else if (token[0] == '{') {
      ondemand::object inner;
      if (const auto error = value.get_object().get(inner)) return error;
      if (const auto error = payload(inner, depth + 1, true)) return error;
    } else {
      ondemand::array inner;
      if (const auto error = value.get_array().get(inner)) return error;
      if (const auto error = payload_list(inner, depth + 1)) return error;
    }
  }
  return simdjson::SUCCESS;
}

void Decoder::payload_leaf(std::string_view token, bool in_list) {
  const std::string_view inner = inner_text(token);
  if (inner.empty()) return;
  if (const uint8_t* field = kPaths.find(path_)) {
    if (entry_.fields[*field].empty()) entry_.fields[*field] = inner;
    return;
  }
  if (!in_list) {
    add_extra(text(path_), text(inner));
    return;
  }
  for (auto& [path, joined] : lists_) {
    if (path != path_) continue;
    if (joined.size() + inner.size() > limits::kStringBytesMax / 4) {
      cut_in_row_ = true;
      return;
    }
    joined.append(",").append(text(inner));
    return;
  }
  if (lists_.size() < limits::kJsonExtraItemsMax)
    lists_.emplace_back(path_, text(inner));
  else
    cut_in_row_ = true;
}

void Decoder::write() {
  const auto& f = entry_.fields;
  IpAddress src, dst;
  const bool has_src = !f[kSrcIp].empty(), has_dst = !f[kDstIp].empty();
  if (has_src && !parse_address(f[kSrcIp], src)) return void(bad("connection.src_ip is not an address", f[kSrcIp]));
  if (has_dst && !parse_address(f[kDstIp], dst)) return void(bad("connection.dest_ip is not an address", f[kDstIp]));
  if (!has_src && !has_dst) return void(bad("entry has no connection", ""));
  std::optional<uint64_t> src_port, dst_port, protocol, bytes, packets, dropped_bytes, dropped_packets, dscp, src_as, dst_as;
  if (!number(kSrcPort, "connection.src_port", 65'535, src_port) || !number(kDstPort, "connection.dest_port", 65'535, dst_port) ||
      !number(kProtocol, "connection.protocol", 255, protocol) || !number(kBytes, "bytes_sent", UINT64_MAX, bytes) ||
      !number(kPackets, "packets_sent", UINT64_MAX, packets) || !number(kDroppedBytes, "bytes_dropped", UINT64_MAX, dropped_bytes) ||
      !number(kDroppedPackets, "packets_dropped", UINT64_MAX, dropped_packets) || !number(kDscp, "network_service.dscp", 63, dscp) ||
      !number(static_cast<Field>(kSrc + kAsn), "src_location.asn", UINT32_MAX, src_as) ||
      !number(static_cast<Field>(kDst + kAsn), "dest_location.asn", UINT32_MAX, dst_as))
    return;
  std::optional<TimestampNs> start, end_time;
  if (!time(kStartTime, "start_time", start) || !time(kEndTime, "end_time", end_time)) return;
  const std::optional<TimestampNs> stamp = parse_timestamp(entry_.timestamp);

  const size_t row = builder_.rows();
  builder_.begin_row();
  for (const auto& [path, joined] : lists_) add_extra(path, joined);

  // --- time ---
  FlowTimes times;
  times.start = start;
  times.end = end_time;
  times.settle(stamp ? *stamp : 0, context_.received_at);
  if (times.said_start) add_extra("start_time", format_timestamp(*times.said_start));
  if (times.said_end) add_extra("end_time", format_timestamp(*times.said_end));
  report_.clamped_times += times.clamped();
  if (times.start) builder_.set_time(ColumnId::flow_start, *times.start);
  builder_.set_time(ColumnId::flow_end, *times.end);
  builder_.set_enum(ColumnId::time_quality, times.quality);
  if (stamp) builder_.set_time(ColumnId::exported_at, *stamp);

  // --- who and how much ---
  if (has_src) builder_.set_ip(ColumnId::src_ip, src);
  if (has_dst) builder_.set_ip(ColumnId::dst_ip, dst);
  builder_.set_uint(ColumnId::ip_version, (has_src ? src : dst).is_v4() ? 4 : 6);
  const auto set = [&](ColumnId id, const std::optional<uint64_t>& value) {
    if (value) builder_.set_uint(id, *value);
  };
  set(ColumnId::src_port, src_port);
  set(ColumnId::dst_port, dst_port);
  set(ColumnId::protocol, protocol);
  set(ColumnId::raw_bytes, bytes);
  set(ColumnId::raw_packets, packets);
  set(ColumnId::dropped_bytes, dropped_bytes);
  set(ColumnId::dropped_packets, dropped_packets);
  set(ColumnId::src_as, src_as);
  set(ColumnId::dst_as, dst_as);
  if (dscp) builder_.set_uint(ColumnId::tos, *dscp << 2);
  if (const auto disposition = f[kDisposition]; disposition.empty() || disposition == "DROPPED") {
    builder_.set_enum(ColumnId::action, disposition.empty() ? Action::accept : Action::drop);
  } else {
    builder_.set_enum(ColumnId::action, Action::unknown);
    add_extra("disposition", text(disposition));
  }
  reason_.put(row, text(f[kDropReason]));

  // --- who reports ---
  bool from_src = false, from_dst = false;
  if (const auto reporter = f[kReporter]; reporter == "SRC" || reporter == "DEST") {
    from_src = reporter == "SRC";
    from_dst = !from_src;
    builder_.set_enum(ColumnId::reporter, from_src ? Reporter::src : Reporter::dst);
    builder_.set_enum(ColumnId::direction, from_src ? Direction::egress : Direction::ingress);
  } else if (!reporter.empty()) {
    // Gateways report what passes them; which one is in the word.
    if (reporter == "SRC_GATEWAY" || reporter == "DEST_GATEWAY") builder_.set_enum(ColumnId::reporter, Reporter::middle);
    add_extra("reporter", text(reporter));
  }
  if (!entry_.insert_id.empty()) builder_.set_string(ColumnId::flow_id, text(entry_.insert_id));

  // --- the sides ---
  for (const bool is_src : {true, false}) {
    const auto at = [&](SideField field) { return f[static_cast<size_t>(is_src ? kSrc : kDst) + field]; };
    auto& lanes = is_src ? src_ : dst_;
    const std::string_view side = is_src ? "src_" : "dest_";
    const auto differing = [&](std::string_view first, std::string_view second, std::string_view key) {
      if (first.empty()) return second;
      if (!second.empty() && second != first) add_extra(std::string(side).append(key), text(second));
      return first;
    };
    std::string_view account = differing(at(kInstanceProject), at(kVpcProject), "vpc_project_id");
    std::string_view region = differing(at(kInstanceRegion), at(kSubnetRegion), "vpc_subnetwork_region");
    std::string_view zone = at(kInstanceZone), subnet = at(kSubnetName);
    if (is_src ? from_src : from_dst) {
      // Without metadata, the resource that the log is of still says where the reporter stands.
      const auto label = [&](std::string_view said, std::string_view& column, std::string_view key) {
        if (column.empty())
          column = said;
        else if (!said.empty() && said != column)
          add_extra(key, text(said));
      };
      label(entry_.label_project, account, "resource_labels_project_id");
      label(entry_.label_subnet, subnet, "resource_labels_subnetwork_name");
      const std::string_view location = entry_.label_location;
      const bool is_zone = location.size() > 2 && location[location.size() - 2] == '-';  // "us-central1-f"
      if (location != region && location != zone) {
        if (!location.empty() && location != "global" && region.empty() && zone.empty()) {
          if (is_zone) zone = location;
          region = is_zone ? location.substr(0, location.size() - 2) : location;
        } else if (!location.empty()) {
          add_extra("resource_labels_location", text(location));
        }
      }
    }
    const std::string_view country = country_alpha2(at(kCountry));
    if (country.empty() && !at(kCountry).empty()) add_extra(std::string(side).append("location_country"), text(at(kCountry)));
    const auto put = [&](Lane lane, std::string_view inner) {
      if (!inner.empty()) lanes[lane].put(row, text(inner));
    };
    put(kLaneInstance, at(kInstanceName));
    put(kLaneVpc, at(kVpcName));
    put(kLaneSubnet, subnet);
    put(kLaneAccount, account);
    put(kLaneRegion, region);
    put(kLaneZone, zone);
    put(kLaneService, at(kService));
    put(kLaneNamespace, at(kPodNamespace));
    put(kLanePod, at(kPodName));
    put(kLaneWorkload, at(kWorkload));
    put(kLaneCountry, country);
    put(kLaneCity, at(kCity));
  }
  if (!from_src && !from_dst) {
    if (!entry_.label_project.empty()) add_extra("resource_labels_project_id", text(entry_.label_project));
    if (!entry_.label_subnet.empty()) add_extra("resource_labels_subnetwork_name", text(entry_.label_subnet));
    if (!entry_.label_location.empty()) add_extra("resource_labels_location", text(entry_.label_location));
  }

  // --- the same traffic, said twice ---
  if ((from_src || from_dst) && has_src && has_dst && f[kDisposition].empty()) {
    const uint64_t ports = src_port.value_or(0) << 24 | dst_port.value_or(0) << 8 | protocol.value_or(0);
    uint64_t key = hash_of(src) * 3 + hash_of(dst) + ports * 0x9e3779b97f4a7c15ull;
    key ^= key >> 29;
    if (Connection* c = connections_.find(key)) {
      const Window window{times.start.value_or(*times.end), *times.end};
      const uint64_t body_row = rows_before_ + row + 1;
      const auto mark = [&](size_t which) {
        if (duplicate_.size() <= which) duplicate_.resize(which + 1, 0);
        duplicate_[which] = 1;
      };
      if (from_src) {
        // The very same window: another configuration, or a second delivery. The source's report is the one that counts.
        if (c->src == window) mark(row);
        if (!c->dst.empty() && c->dst.near(window) && c->dst_row > rows_before_) mark(static_cast<size_t>(c->dst_row - rows_before_ - 1));
        c->src = window;
      } else {
        if (c->dst == window || (!c->src.empty() && c->src.near(window))) mark(row);
        c->dst = window;
        c->dst_row = body_row;
      }
    }
  }

  if (!extra_.empty()) builder_.set_string(ColumnId::extra, extra_);
  report_.cut_strings += cut_in_row_;
  ++report_.accepted;
}

Status Decoder::flush() {
  const size_t rows = builder_.rows();
  if (rows == 0) return {};
  Batch batch = builder_.finish();
  std::vector<std::pair<ColumnId, Column>> more;
  const auto text_column = [&](ColumnId id, CodedText& lane) {
    if (auto column = lane.column(rows)) more.emplace_back(id, std::move(*column));
  };
  for (size_t k = 0; k < kLaneCount; ++k) {
    text_column(kLanes[k].src, src_[k]);
    text_column(kLanes[k].dst, dst_[k]);
  }
  text_column(ColumnId::reject_reason, reason_);
  if (!duplicate_.empty()) {
    std::vector<uint8_t> marks = std::exchange(duplicate_, {});
    marks.resize(rows, 0);
    Bitmap validity(rows);
    for (size_t i = 0; i < rows; ++i)
      if (marks[i]) validity.set(i, true);
    more.emplace_back(ColumnId::duplicate, Column::of<uint8_t>(PhysicalType::U8, std::move(marks), validity.count() == rows ? Bitmap() : validity));
  }
  const auto same_u8 = [&](ColumnId id, auto value) { more.emplace_back(id, repeated<uint8_t>(id, rows, static_cast<uint8_t>(value))); };
  same_u8(ColumnId::source, Source::gcp_vpc);
  same_u8(ColumnId::byte_basis, ByteBasis::payload);
  same_u8(ColumnId::flags_quality, FlagsQuality::none);
  same_u8(ColumnId::is_biflow, 0);
  // Google makes up for its sampling itself: never to be done again.
  more.emplace_back(ColumnId::sampling_rate, repeated<uint32_t>(ColumnId::sampling_rate, rows, 1));
  more.emplace_back(ColumnId::cloud, repeated_text("gcp", rows));
  if (context_.received_at != 0) more.emplace_back(ColumnId::received_at, repeated<int64_t>(ColumnId::received_at, rows, context_.received_at));
  add_columns(batch, std::move(more));
  rows_before_ += rows;
  return sink_(std::move(batch));
}

}  // namespace
}  // namespace gcp_vpc

Result<DecodeReport> decode_gcp_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  return gcp_vpc::Decoder(context, sink).run(body);
}

}  // namespace sluice::ingest
