#include "server/delivery/flow_shape.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "server/delivery/ipfix_sender.h"
#include "storage/model/ip.h"
#include "storage/model/tcp_flags.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {
namespace {

using json = nlohmann::ordered_json;

// How a value is written where the schema wants it otherwise than we say it.
enum class As : uint8_t { same, text, milliseconds, number, dashed_mac, list };

struct Place {
  std::string_view column, path;  // path parted by '.'
  As as = As::same;
};

// ECS's field reference; a column may have several places.
constexpr Place kEcs[] = {
    {"flow_end", "@timestamp"},
    {"flow_start", "event.start"},
    {"flow_end", "event.end"},
    {"received_at", "event.ingested"},
    {"duration", "event.duration", As::number},
    {"action", "event.action"},
    {"reject_reason", "event.reason"},
    {"flow_id", "event.id"},
    {"src_ip", "source.ip"},
    {"src_ip", "source.address"},
    {"src_port", "source.port"},
    {"src_mac", "source.mac", As::dashed_mac},
    {"bytes", "source.bytes"},
    {"packets", "source.packets"},
    {"src_host", "source.domain"},
    {"src_as", "source.as.number"},
    {"src_as_name", "source.as.organization.name"},
    {"src_country", "source.geo.country_iso_code"},
    {"src_city", "source.geo.city_name"},
    {"nat_src_ip", "source.nat.ip"},
    {"nat_src_port", "source.nat.port"},
    {"dst_ip", "destination.ip"},
    {"dst_ip", "destination.address"},
    {"dst_port", "destination.port"},
    {"dst_mac", "destination.mac", As::dashed_mac},
    {"reverse_bytes", "destination.bytes"},
    {"reverse_packets", "destination.packets"},
    {"dst_host", "destination.domain"},
    {"dst_as", "destination.as.number"},
    {"dst_as_name", "destination.as.organization.name"},
    {"dst_country", "destination.geo.country_iso_code"},
    {"dst_city", "destination.geo.city_name"},
    {"nat_dst_ip", "destination.nat.ip"},
    {"nat_dst_port", "destination.nat.port"},
    {"protocol", "network.iana_number", As::text},
    {"direction", "network.direction"},
    {"app", "network.application"},
    {"vlan", "network.vlan.id", As::text},
    {"inner_vlan", "network.inner.vlan.id", As::text},
    {"exporter_ip", "observer.ip", As::list},
    {"input_if", "observer.ingress.interface.id", As::text},
    {"output_if", "observer.egress.interface.id", As::text},
    {"rule_name", "rule.name"},
    {"user_name", "user.name"},
    {"cloud", "cloud.provider"},
};

// OCSF 1.3, network_activity with the profiles cloud and security_control.
constexpr Place kOcsf[] = {
    {"flow_end", "time", As::milliseconds},
    {"flow_start", "start_time", As::milliseconds},
    {"flow_end", "end_time", As::milliseconds},
    {"duration", "duration", As::milliseconds},
    {"received_at", "metadata.logged_time", As::milliseconds},
    {"exported_at", "metadata.original_time"},
    {"flow_id", "connection_info.uid"},
    {"protocol", "connection_info.protocol_num"},
    {"tcp_flags", "connection_info.tcp_flags", As::number},
    {"src_ip", "src_endpoint.ip"},
    {"src_port", "src_endpoint.port"},
    {"src_mac", "src_endpoint.mac"},
    {"src_host", "src_endpoint.hostname"},
    {"src_instance_id", "src_endpoint.instance_uid"},
    {"src_interface_id", "src_endpoint.interface_uid"},
    {"src_vpc_id", "src_endpoint.vpc_uid"},
    {"src_subnet_id", "src_endpoint.subnet_uid"},
    {"src_zone", "src_endpoint.zone"},
    {"src_service", "src_endpoint.svc_name"},
    {"src_country", "src_endpoint.location.country"},
    {"src_city", "src_endpoint.location.city"},
    {"src_as", "src_endpoint.autonomous_system.number"},
    {"src_as_name", "src_endpoint.autonomous_system.name"},
    {"dst_ip", "dst_endpoint.ip"},
    {"dst_port", "dst_endpoint.port"},
    {"dst_mac", "dst_endpoint.mac"},
    {"dst_host", "dst_endpoint.hostname"},
    {"dst_instance_id", "dst_endpoint.instance_uid"},
    {"dst_interface_id", "dst_endpoint.interface_uid"},
    {"dst_vpc_id", "dst_endpoint.vpc_uid"},
    {"dst_subnet_id", "dst_endpoint.subnet_uid"},
    {"dst_zone", "dst_endpoint.zone"},
    {"dst_service", "dst_endpoint.svc_name"},
    {"dst_country", "dst_endpoint.location.country"},
    {"dst_city", "dst_endpoint.location.city"},
    {"dst_as", "dst_endpoint.autonomous_system.number"},
    {"dst_as_name", "dst_endpoint.autonomous_system.name"},
    {"bytes", "traffic.bytes_out"},
    {"packets", "traffic.packets_out"},
    {"reverse_bytes", "traffic.bytes_in"},
    {"reverse_packets", "traffic.packets_in"},
    {"app", "app_name"},
    {"rule_name", "firewall_rule.name"},
    {"cloud", "cloud.provider"},
    {"reject_reason", "status_detail"},
};

// Written by hand below, and so not left over.
constexpr std::string_view kEcsSelf[] = {"ip_version"}, kOcsfSelf[] = {"action", "direction", "ip_version", "extra"};

std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json value_of(const Field& field, const Column& column, size_t row) {
  switch (field.type) {
    case LogicalType::uint:
    case LogicalType::port:
    case LogicalType::protocol: return column.uint_at(row);
    case LogicalType::int64: return column.int_at(row);
    case LogicalType::float64: return column.float_at(row);
    case LogicalType::boolean: return column.uint_at(row) != 0;
    case LogicalType::string: return std::string(column.string_at(row));
    case LogicalType::ip: return to_string(column.ip_at(row));
    case LogicalType::mac: return format_mac(column.uint_at(row));
    case LogicalType::timestamp: return format_timestamp(column.int_at(row));
    case LogicalType::duration: return static_cast<double>(column.int_at(row)) / 1e6;
    case LogicalType::flags: return flags_text(column.uint_at(row));
    case LogicalType::enumeration: return field.enumeration ? std::string(field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row)))) : "?";
    case LogicalType::list: return list_items(column.string_at(row));
    case LogicalType::extra: {
      json map = json::object();
      for (const auto& [key, value] : extra_items(column.string_at(row))) map.emplace(key, value);
      return map;
    }
  }
  return nullptr;
}

json value_as(As as, const Field& field, const Column& column, size_t row) {
  switch (as) {
    case As::same: break;
    case As::text: return std::to_string(column.uint_at(row));
    case As::milliseconds: return column.int_at(row) / kMillisecond;
    case As::number: return column.uint_at(row);
    case As::list: return json::array({value_of(field, column, row)});
    case As::dashed_mac: {
      std::string mac = format_mac(column.uint_at(row));
      for (char& c : mac) c = c == ':' ? '-' : c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
      return mac;
    }
  }
  return value_of(field, column, row);
}

json& at_path(json& object, std::string_view path) {
  json* at = &object;
  for (;;) {
    const size_t dot = path.find('.');
    at = &(*at)[std::string(path.substr(0, dot))];
    if (dot == std::string_view::npos) return *at;
    path.remove_prefix(dot + 1);
  }
}

std::string_view transport_of(uint64_t protocol) {
  switch (protocol) {
    case 1: return "icmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 47: return "gre";
    case 50: return "esp";
    case 58: return "ipv6-icmp";
    case 132: return "sctp";
    default: return {};
  }
}

// A batch, with its columns by name.
class Rows {
 public:
  explicit Rows(const Batch& batch) : batch_(batch) {
    for (size_t c = 0; c < batch.columns.size(); ++c) by_name_.emplace((*batch.schema)[c].name, c);
  }
  std::optional<size_t> find(std::string_view name, size_t row) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() || batch_.columns[at->second].is_null(row) ? std::nullopt : std::optional(at->second);
  }
  std::optional<uint64_t> number(std::string_view name, size_t row) const {
    const auto c = find(name, row);
    return c ? std::optional(batch_.columns[*c].uint_at(row)) : std::nullopt;
  }
  TimestampNs time(size_t row) const { return static_cast<TimestampNs>(number("flow_end", row).value_or(0)); }
  void put(json& out, std::span<const Place> places, size_t row) const {
    for (const Place& p : places)
      if (const auto c = find(p.column, row)) at_path(out, p.path) = value_as(p.as, (*batch_.schema)[*c], batch_.columns[*c], row);
  }
  // Columns that have no place.
  json rest(std::span<const Place> places, std::span<const std::string_view> self, size_t row) const {
    json out = json::object();
    for (size_t c = 0; c < batch_.columns.size(); ++c) {
      const std::string& name = (*batch_.schema)[c].name;
      const auto is_placed = [&](const Place& p) { return p.column == name; };
      if (batch_.columns[c].is_null(row) || std::any_of(places.begin(), places.end(), is_placed) || std::find(self.begin(), self.end(), name) != self.end()) continue;
      out[name] = value_of((*batch_.schema)[c], batch_.columns[c], row);
    }
    return out;
  }
  json all(size_t row) const { return rest({}, {}, row); }

 private:
  const Batch& batch_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

json ecs_of(const Rows& rows, size_t row) {
  json out{{"@timestamp", nullptr}, {"ecs", {{"version", "8.11.0"}}}, {"event", {{"kind", "event"}, {"category", {"network"}}, {"module", "sluice"}, {"dataset", "sluice.flow"}}}};
  json type = json::array({"connection"});
  const auto action = rows.number("action", row);
  if (action == static_cast<uint64_t>(Action::accept)) type.push_back("allowed");
  if (action == static_cast<uint64_t>(Action::reject) || action == static_cast<uint64_t>(Action::drop)) type.push_back("denied");
  out["event"]["type"] = std::move(type);
  rows.put(out, kEcs, row);
  if (const auto protocol = rows.number("protocol", row))
    if (const auto name = transport_of(*protocol); !name.empty()) out["network"]["transport"] = name;
  if (const auto version = rows.number("ip_version", row)) out["network"]["type"] = *version == 6 ? "ipv6" : "ipv4";
  const auto sum = [&](const char* there, const char* back, const char* field) {
    const auto a = rows.number(there, row), b = rows.number(back, row);
    if (a || b) out["network"][field] = a.value_or(0) + b.value_or(0);
  };
  sum("bytes", "reverse_bytes", "bytes");
  sum("packets", "reverse_packets", "packets");
  if (json rest = rows.rest(kEcs, kEcsSelf, row); !rest.empty()) out["sluice"] = {{"flow", std::move(rest)}};
  return out;
}

json ocsf_of(const Rows& rows, size_t row) {
  json out{{"activity_id", 6},     {"activity_name", "Traffic"}, {"category_name", "Network Activity"}, {"category_uid", 4}, {"class_name", "Network Activity"},
           {"class_uid", 4001},    {"type_uid", 400'106},        {"severity", "Informational"},         {"severity_id", 1},  {"time", 0},
           {"metadata", {{"version", "1.3.0"}, {"product", {{"name", "Sluice"}, {"vendor_name", "Sluice"}}}}}};
  rows.put(out, kOcsf, row);
  json& connection = out["connection_info"];
  // As AWS maps flow-direction: in and out of the interface.
  const auto direction = rows.number("direction", row);
  connection["direction_id"] = !direction ? 0 : *direction == static_cast<uint64_t>(Direction::ingress) ? 1 : 2;
  if (const auto protocol = rows.number("protocol", row))
    if (const auto name = transport_of(*protocol); !name.empty()) connection["protocol_name"] = name;
  if (const auto version = rows.number("ip_version", row)) connection["protocol_ver_id"] = *version;
  if (const auto action = rows.number("action", row)) {
    const bool allowed = *action == static_cast<uint64_t>(Action::accept), dropped = *action == static_cast<uint64_t>(Action::drop);
    const bool is_known = *action != static_cast<uint64_t>(Action::unknown);
    out["action_id"] = !is_known ? 0 : allowed ? 1 : 2;
    out["disposition_id"] = !is_known ? 0 : allowed ? 1 : dropped ? 6 : 2;
  }
  // Attributes of profiles say which: security_control wants an action.
  json profiles = json::array();
  if (out.contains("cloud")) profiles.push_back("cloud");
  if (out.contains("action_id") || out.contains("firewall_rule")) {
    profiles.push_back("security_control");
    if (!out.contains("action_id")) out["action_id"] = 0;
  }
  if (!profiles.empty()) out["metadata"]["profiles"] = std::move(profiles);
  // The destination is required, and an endpoint has one of these.
  for (const char* side : {"src_endpoint", "dst_endpoint"}) {
    if (!out.contains(side) && side != std::string_view("dst_endpoint")) continue;
    json& endpoint = out[side];
    constexpr const char* kIdentities[] = {"ip", "hostname", "instance_uid", "interface_uid", "svc_name"};
    if (std::none_of(std::begin(kIdentities), std::end(kIdentities), [&](const char* name) { return endpoint.contains(name); })) endpoint["name"] = "unknown";
  }
  const auto sum = [&](const char* there, const char* back, const char* field) {
    const auto a = rows.number(there, row), b = rows.number(back, row);
    if (a || b) out["traffic"][field] = a.value_or(0) + b.value_or(0);
  };
  sum("bytes", "reverse_bytes", "bytes");
  sum("packets", "reverse_packets", "packets");
  json rest = rows.rest(kOcsf, kOcsfSelf, row);
  // The source's own leftovers stay where OCSF wants them, next to ours.
  json extra = json::object();
  rows.put(extra, std::array<Place, 1>{{{"extra", "extra"}}}, row);
  if (extra.contains("extra")) rest["extra"] = std::move(extra["extra"]);
  if (!rest.empty()) out["unmapped"] = std::move(rest);
  return out;
}

}  // namespace

void append_documents(const Batch& flows, FlowShape shape, std::vector<FlowDocument>& out) {
  const Rows rows(flows);
  for (size_t row = 0; row < flows.rows; ++row) {
    if (shape == FlowShape::ipfix) {
      out.push_back({ipfix_record(flows, row), rows.time(row)});
      continue;
    }
    const json document = shape == FlowShape::native ? rows.all(row) : shape == FlowShape::ecs ? ecs_of(rows, row) : ocsf_of(rows, row);
    out.push_back({dump(document), rows.time(row)});
  }
}

}  // namespace sluice::delivery
