// Packets of some 25 kinds of devices, with what the logstash netflow codec's own tests expect of them. Every expected field
// of every record must stand in a column or in `extra`, except where kDeviations says why it does not.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "ingest/source/element.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using testing::Collector;
using testing::Row;
using Json = nlohmann::json;
namespace fs = std::filesystem;

const fs::path kLogstash = test::conformance("netflow/logstash");

std::vector<uint8_t> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Deviation {
  std::string_view name, field, reason;
};
constexpr Deviation kDeviations[] = {
    {"Netflow 5 valid 01", "first_switched", "origin did not wrap a 32-bit difference: 49.7 days in the future"},
    {"Netflow 9 nprobe DPI L7", "first_switched", "1970 is a clock that was never set: the raw value is in extra"},
    {"Netflow 9 nprobe DPI L7", "last_switched", "1970 is a clock that was never set: flow_end is estimated"},
    {"Netflow 9 nprobe DPI L7", "application_name", "binary bytes in a text field: control characters are replaced"},
    {"Netflow 9 nprobe DPI L7", "nprobe_proto_name", "binary bytes in a text field: control characters are replaced"},
};

// The origin's names of NetFlow v9 types.
const std::map<std::string, uint16_t> kTypes = {
    {"in_bytes", 1},           {"in_pkts", 2},         {"protocol", 4},           {"src_tos", 5},          {"tcp_flags", 6},
    {"l4_src_port", 7},        {"ipv4_src_addr", 8},   {"src_mask", 9},           {"input_snmp", 10},      {"l4_dst_port", 11},
    {"ipv4_dst_addr", 12},     {"dst_mask", 13},       {"output_snmp", 14},       {"ipv4_next_hop", 15},   {"src_as", 16},
    {"dst_as", 17},            {"last_switched", 21},  {"first_switched", 22},    {"out_bytes", 23},       {"out_pkts", 24},
    {"icmp_type_code", 32},    {"engine_type", 38},    {"engine_id", 39},         {"flow_sampler_id", 48}, {"in_src_mac", 56},
    {"in_dst_mac", 80},        {"src_vlan", 58},       {"ip_protocol_version", 60}, {"direction", 61},     {"if_desc", 83},
    {"src_traffic_index", 92}, {"dst_traffic_index", 93}, {"ip_dscp", 195},       {"icmp_type", 176},      {"icmp_code", 177},
    {"xlate_src_addr_ipv4", 225}, {"xlate_dst_addr_ipv4", 226}, {"xlate_src_port", 227}, {"xlate_dst_port", 228}, {"in_permanent_bytes", 231},
    {"fw_event", 233},         {"fw_ext_event", 33002}, {"event_time_msec", 323}, {"flow_start_msec", 152}, {"conn_id", 148},
    {"ingress_acl_id", 33000}, {"egress_acl_id", 33001}, {"username", 40000},     {"flow_end_reason", 136}, {"application_id", 95},
    {"forwarding_status", 89}, {"application_name", 96}, {"app_id", 56701},       {"user_id", 56702},      {"sampling_interval", 34},
};
// Names of vendors' elements that differ from ours.
const std::map<std::string, std::string> kExtraNames = {
    {"AuditCounter", "auditCounter"}, {"BindIPv4Address", "bindIPv4Address"}, {"BindTransportPort", "bindTransportPort"},
    {"ConnIPv4Address", "connectionIPv4Address"}, {"ConnTransportPort", "connectionTransportPort"}, {"LogOp", "logOperation"},
    {"Reason", "reason"}, {"ReasonText", "reasonText"}, {"ServiceName", "serviceName"}, {"Timestamp", "timestamp"},
    {"TrafficType", "trafficType"}, {"natInsideSvcid", "natInsideServiceId"}, {"natOutsideSvcid", "natOutsideServiceId"},
    {"natSubString", "natSubscriberString"}, {"nprobe_proto", "l7Protocol"}, {"nprobe_proto_name", "l7ProtocolName"},
    {"vmwareIngressInterfaceAttr", "ingressInterfaceAttribute"}, {"vmwareEgressInterfaceAttr", "egressInterfaceAttribute"},
    {"vmwareVxlanExportRole", "vxlanExportRole"}, {"reverseUnionTCPFlags", "reverseUnionTCPFlags"},
};
// Of a packet, not of a flow; or of the table of samplers.
const std::set<std::string> kNotOfFlows = {"version", "flow_seq_num", "flowset_id", "flow_records", "engine_type", "engine_id", "sampling_algorithm"};

const Element* element_named(const std::string& name) {
  if (const auto it = kTypes.find(name); it != kTypes.end()) return find_element(0, it->second);
  for (uint32_t pen : {0u, 6871u, 10704u, 5951u, 29305u})
    for (uint32_t id = 1; id < 60'000; ++id)
      if (const Element* e = find_element(pen, static_cast<uint16_t>(id)); e && e->name == name) return e;
  return nullptr;
}

std::string text_of(const Json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); }

// In most of its NetFlow v9 cases the origin is late by exactly one second: subtracting milliseconds, it adds what is left of a
// second without taking that second away. (RFC 3954: unix_secs − (sysUpTime − switched).)
bool one_second_late(const std::string& ours, const Json& theirs) {
  const auto a = parse_timestamp(ours);
  const auto b = theirs.is_string() ? parse_timestamp(theirs.get<std::string>()) : std::nullopt;
  return a && b && *b / kMillisecond - *a / kMillisecond == 1'000;
}

// The time that a row holds for an element, with the origin's precision.
bool same_time(const std::string& ours, const std::string& theirs) {
  const auto a = parse_timestamp(ours), b = parse_timestamp(theirs);
  if (a && b) return *a / kMillisecond == *b / kMillisecond;
  return a && std::to_string(*a / kMillisecond) == theirs;
}

bool holds(const Row& row, const std::string& name, const Json& value) {
  const std::string theirs = text_of(value);
  if (const auto it = kExtraNames.find(name); it != kExtraNames.end()) return row.x(it->second) == theirs || row["rule_name"] == theirs;
  if (name == "FW_Rule") return row["rule_name"] == theirs;
  if (name == "out_bytes" && row.has("raw_reverse_bytes")) return row["raw_reverse_bytes"] == theirs;
  if (name == "out_pkts" && row.has("raw_reverse_packets")) return row["raw_reverse_packets"] == theirs;
  if (name == "sampling_interval") return row["sampling_rate"] == std::to_string(std::max(1, value.get<int>()));
  if (name == "forwarding_status") {
    const int status = value["status"];
    return row["action"] == (status == 0 ? "unknown" : status == 2 ? "drop" : "accept");
  }
  if (name == "application_id") {
    // "engine..selector" or "20..enterprise..selector"
    std::vector<uint64_t> parts;
    for (size_t at = 0; at != std::string::npos;) {
      parts.push_back(std::stoull(theirs.substr(at)));
      at = theirs.find("..", at);
      if (at != std::string::npos) at += 2;
    }
    const uint64_t id = parts.size() == 3 ? parts[0] << 56 | parts[1] << 32 | parts[2] : parts[0] << 56 | parts[1];
    return row["app_id"] == std::to_string(id);
  }
  const Element* e = element_named(name);
  if (!e) {
    // "netscalerUnknown330", "vmwareUnknown888": elements the origin knows by number only.
    if (const size_t at = name.find("Unknown"); at != std::string::npos) {
      const auto id = static_cast<uint16_t>(std::stoul(name.substr(at + 7)));
      const uint32_t pen = name.starts_with("netscaler") ? 5951 : 6876;
      const Element* known = find_element(pen, id);
      return row.x(known ? std::string(known->name) : std::to_string(pen) + "." + std::to_string(id)) == theirs;
    }
    // "netscalerHttpReqUrl" and the like: any element of theirs with this value.
    for (const auto& [key, v] : row.extra)
      if (v == theirs) return true;
    if (theirs.empty()) return true;
    return false;
  }
  const std::string in_extra = row.x(std::string(e->name));
  auto flat = theirs;
  std::erase(flat, '-');
  if (!in_extra.empty() && (in_extra == theirs || in_extra == flat || same_time(in_extra, theirs))) return true;
  const std::string column = row[std::string(column_spec(e->column).name)];
  switch (e->convert) {
    case Convert::direction: return column == (theirs == "0" ? "ingress" : "egress");
    case Convert::end_reason: return column == kEndReason.name_of(static_cast<uint8_t>(value.get<int>()));
    case Convert::firewall_event: return column == (theirs == "3" ? "reject" : "accept");
    case Convert::icmp_type_code:
      return row["icmp_type"] == std::to_string(value.get<int>() / 256) && row["icmp_code"] == std::to_string(value.get<int>() % 256);
    case Convert::dscp: return column == std::to_string(value.get<int>() << 2);
    case Convert::nat_address: return column.empty() ? theirs == "0.0.0.0" || theirs == "::" : column == theirs;
    case Convert::nat_port: return column.empty() ? theirs == "0" : column == theirs;
    case Convert::start_time:
    case Convert::end_time:
    case Convert::event_time: return same_time(column, theirs);
    case Convert::start_uptime:
    case Convert::end_uptime:
      // IPFIX: a number of milliseconds since boot; the test of the case itself looks at what became of it.
      return value.is_number() ? !column.empty() : same_time(column, theirs);
    default: break;
  }
  if (e->column == ColumnId::extra) return in_extra.empty() && theirs.empty();
  // Empty texts and absent ones are one in a flow table.
  return column == theirs;
}

bool is_options(const Json& fields) {
  for (const char* key : {"scope_system", "meteringProcessId", "exportingProcessId", "flowTableFlushEventCount"})
    if (fields.contains(key) && !fields.contains("sourceIPv4Address") && !fields.contains("observationPointId")) return true;
  return false;
}

std::string reason_of(const std::string& name, const std::string& field) {
  for (const Deviation& d : kDeviations)
    if (d.name == name && d.field == field) return std::string(d.reason);
  return {};
}

TEST(Logstash, EveryCase) {
  SLUICE_NEED_DATA(kLogstash / "cases.json");
  std::ifstream in(kLogstash / "cases.json");
  const Json cases = Json::parse(in);
  size_t fields_checked = 0;
  for (const Json& c : cases) {
    const std::string name = c["name"];
    SCOPED_TRACE(name);
    Collector collector;
    for (const Json& file : c["files"]) {
      const auto packet = read_file(kLogstash / file.get<std::string>());
      ASSERT_FALSE(packet.empty()) << file;
      collector.send(packet);
    }
    std::string note;
    const uint64_t decoded = collector.total.flows + collector.total.options_records;
    if (c["decoded_records"].is_number() && decoded != c["decoded_records"].get<uint64_t>()) {
      const std::string reason = reason_of(name, "decoded_records");
      EXPECT_FALSE(reason.empty()) << "decoded " << collector.total.flows << " flows and " << collector.total.options_records
                                   << " options records, expected " << c["decoded_records"];
      note += reason;
    }
    for (const Json& e : c["expected"]) {
      if (!e["record"].is_number() && !e["fields"].contains("version")) continue;  // the origin's template cache, not a record
      const Json& fields = e["fields"];
      if (is_options(fields)) {
        EXPECT_GT(collector.total.options_records, 0u);
        const auto stats = collector.decoder.exporter_stats();
        const auto names = collector.decoder.names();
        if (fields.contains("if_desc")) {
          EXPECT_TRUE(std::ranges::any_of(names, [&](const ExporterName& n) {
            return n.kind == NameKind::interface && n.number == fields["input_snmp"].get<uint64_t>() && n.description == fields["if_desc"];
          }));
        }
        if (fields.contains("application_name")) {
          EXPECT_TRUE(std::ranges::any_of(names, [&](const ExporterName& n) {
            return n.kind == NameKind::application && n.name == fields["application_name"] && n.description == fields["application_description"];
          }));
        }
        if (fields.contains("samplingInterval") || fields.contains("samplingPacketInterval")) {
          ASSERT_FALSE(stats.at(0).sampling.empty());
          const uint32_t rate = fields.contains("samplingInterval") ? fields["samplingInterval"].get<uint32_t>() : 1;
          EXPECT_EQ(stats.at(0).sampling.at(0).rate, rate);
        }
        if (fields.contains("total_flows_exp")) {
          EXPECT_EQ(stats.at(0).reported_flows, fields["total_flows_exp"].get<uint64_t>());
        }
        continue;
      }
      // The row that agrees best: records of options are counted by the origin, and are no rows.
      const Row* best = nullptr;
      std::vector<std::string> best_wrong;
      for (const Row& row : collector.rows) {
        std::vector<std::string> wrong;
        for (const auto& [field, value] : fields.items())
          if (!kNotOfFlows.contains(field) && !holds(row, field, value)) wrong.push_back(field);
        if (!best || wrong.size() < best_wrong.size()) {
          best = &row;
          best_wrong = std::move(wrong);
        }
      }
      ASSERT_NE(best, nullptr) << "no rows";
      fields_checked += fields.size();
      for (const std::string& field : best_wrong) {
        std::string reason = reason_of(name, field);
        const std::string column = field == "first_switched" ? "flow_start" : field == "last_switched" ? "flow_end" : "";
        if (reason.empty() && !column.empty() && one_second_late((*best)[column], fields[field]))
          reason = "origin is one second late: it does not borrow when it subtracts milliseconds";
        if (!reason.empty()) {
          note += (note.empty() ? "" : "; ") + field + ": " + reason;
          continue;
        }
        std::string row_text;
        for (const auto& [k, v] : best->columns) row_text += k + "=" + v + " ";
        for (const auto& [k, v] : best->extra) row_text += "extra." + k + "=" + v + " ";
        ADD_FAILURE() << field << " should be " << fields[field] << " in record " << e["record"] << "\n  row: " << row_text;
      }
    }
    std::printf("%-70s %3zu rows %3llu options  %s\n", name.c_str(), collector.rows.size(),
                static_cast<unsigned long long>(collector.total.options_records), note.empty() ? "pass" : ("deviates: " + note).c_str());
  }
  EXPECT_GT(fields_checked, 400u);
}

}  // namespace
}  // namespace sluice::ingest
