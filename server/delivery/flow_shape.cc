#include "server/delivery/flow_shape.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/delivery/ipfix_sender.h"
#include "server/delivery/json_text.h"
#include "storage/model/ip.h"
#include "storage/model/tcp_flags.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {
namespace {

using nlohmann::ordered_json;

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

ordered_json value_of(const Field& field, const Column& column, size_t row) {
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
      ordered_json map = ordered_json::object();
      for (const auto& [key, value] : extra_items(column.string_at(row))) map.emplace(key, value);
      return map;
    }
  }
  return nullptr;
}

void append_text(std::string& out, std::string_view text) {
  const auto is_plain = [](char c) { return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\'; };
  if (!std::all_of(text.begin(), text.end(), is_plain)) {
    out += json_text(ordered_json(std::string(text)));
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

template <typename Number>
void append_number(std::string& out, Number number) {
  char digits[24];
  out.append(digits, std::to_chars(digits, std::end(digits), number).ptr);
}

// The value as JSON. The types that most columns have do without values of the library's, which cost most of a document's time.
void append_value(std::string& out, As as, const Field& field, const Column& column, size_t row) {
  switch (as) {
    case As::text:
      out += '"';
      append_number(out, column.uint_at(row));
      out += '"';
      return;
    case As::milliseconds: return append_number(out, column.int_at(row) / kMillisecond);
    case As::number: return append_number(out, column.uint_at(row));
    case As::list:
      out += '[';
      append_value(out, As::same, field, column, row);
      out += ']';
      return;
    case As::same: break;
    case As::dashed_mac: {
      std::string mac = format_mac(column.uint_at(row));
      for (char& c : mac) c = c == ':' ? '-' : c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
      return append_text(out, mac);
    }
  }
  switch (field.type) {
    case LogicalType::uint:
    case LogicalType::port:
    case LogicalType::protocol: return append_number(out, column.uint_at(row));
    case LogicalType::int64: return append_number(out, column.int_at(row));
    case LogicalType::boolean: out += column.uint_at(row) != 0 ? "true" : "false"; return;
    case LogicalType::string: return append_text(out, column.string_at(row));
    case LogicalType::ip: {
      char text[46];
      const IpAddress ip = column.ip_at(row);
      return append_text(out, std::string_view(text, format_ip(ip, text)));
    }
    case LogicalType::timestamp: return append_text(out, format_timestamp(column.int_at(row)));
    case LogicalType::flags: return append_text(out, flags_text(column.uint_at(row)));
    case LogicalType::enumeration:
      return append_text(out, field.enumeration ? std::string_view(field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row)))) : "?");
    case LogicalType::float64:
    case LogicalType::mac:
    case LogicalType::duration:
    case LogicalType::list:
    case LogicalType::extra: out += json_text(value_of(field, column, row)); return;
  }
}

// One document after the other, of objects whose members have a name prepared once. A member stands where it was first put in
// the document, as in an ordered_json; putting it again replaces its value.
//
//   node* (begin put* append_to)*
class Document {
 public:
  using Node = uint32_t;
  static constexpr Node kRoot = 0;

  Node node(Node parent, std::string_view name) {
    for (Node n = 0; n < nodes_.size(); ++n)
      if (n != kRoot && nodes_[n].parent == parent && nodes_[n].name == name) return n;
    std::string head = json_text(ordered_json(std::string(name)));
    head += ':';
    nodes_.push_back({parent, std::string(name), std::move(head)});
    return static_cast<Node>(nodes_.size() - 1);
  }
  Node path(std::string_view path, Node at = kRoot) {
    for (;;) {
      const size_t dot = path.find('.');
      at = node(at, path.substr(0, dot));
      if (dot == std::string_view::npos) return at;
      path.remove_prefix(dot + 1);
    }
  }
  void begin() {
    ++document_;
    values_.clear();
    nodes_[kRoot].document = document_;
    nodes_[kRoot].members.clear();
  }
  bool has(Node n) const { return nodes_[n].document == document_; }
  // JSON text
  void put(Node n, std::string_view value) {
    const size_t from = values_.size();
    values_ += value;
    place(n, from);
  }
  template <typename Append>
    requires std::invocable<Append, std::string&>
  void put(Node n, Append&& append) {
    const size_t from = values_.size();
    append(values_);
    place(n, from);
  }
  void append_to(std::string& out) const { append_node(out, kRoot); }

 private:
  struct Entry {
    Node parent = kRoot;
    std::string name, head;      // head: the name as JSON, and the colon
    std::vector<Node> members = {};
    size_t from = 0, to = 0;     // of values_; the same for objects
    uint64_t document = 0;       // the one that has it
  };

  void touch(Node n) {
    Entry& entry = nodes_[n];
    if (entry.document == document_) return;
    entry.document = document_;
    entry.members.clear();
    entry.from = entry.to = 0;
    touch(entry.parent);
    nodes_[entry.parent].members.push_back(n);
  }
  void place(Node n, size_t from) {
    touch(n);
    nodes_[n].from = from;
    nodes_[n].to = values_.size();
  }
  void append_node(std::string& out, Node n) const {
    const Entry& entry = nodes_[n];
    if (entry.from != entry.to) {
      out.append(values_, entry.from, entry.to - entry.from);
      return;
    }
    out += '{';
    for (size_t i = 0; i < entry.members.size(); ++i) {
      if (i > 0) out += ',';
      out += nodes_[entry.members[i]].head;
      append_node(out, entry.members[i]);
    }
    out += '}';
  }

  std::vector<Entry> nodes_ = {Entry{}};
  std::string values_;
  uint64_t document_ = 0;
};

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
  std::optional<size_t> column(std::string_view name) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? std::nullopt : std::optional(at->second);
  }
  std::optional<uint64_t> number(std::optional<size_t> column, size_t row) const {
    return !column || batch_.columns[*column].is_null(row) ? std::nullopt : std::optional(batch_.columns[*column].uint_at(row));
  }
  const Batch& batch() const { return batch_; }

 private:
  const Batch& batch_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Columns and where each goes.
class Steps {
 public:
  Steps(const Rows& rows, Document& document) : rows_(rows), document_(document) {}
  void place(std::span<const Place> places) {
    for (const Place& p : places)
      if (const auto c = rows_.column(p.column)) steps_.push_back({*c, document_.path(p.path), p.as});
  }
  // Columns that have no place.
  void rest(Document::Node parent, std::span<const Place> places, std::span<const std::string_view> self) {
    const Batch& batch = rows_.batch();
    for (size_t c = 0; c < batch.columns.size(); ++c) {
      const std::string& name = (*batch.schema)[c].name;
      const auto is_placed = [&](const Place& p) { return p.column == name; };
      if (std::any_of(places.begin(), places.end(), is_placed) || std::find(self.begin(), self.end(), name) != self.end()) continue;
      steps_.push_back({c, document_.node(parent, name), As::same});
    }
  }
  void put(size_t row) {
    for (const Step& s : steps_) {
      const Column& column = rows_.batch().columns[s.column];
      if (column.is_null(row)) continue;
      document_.put(s.node, [&](std::string& out) { append_value(out, s.as, (*rows_.batch().schema)[s.column], column, row); });
    }
  }

 private:
  struct Step {
    size_t column;
    Document::Node node;
    As as;
  };
  const Rows& rows_;
  Document& document_;
  std::vector<Step> steps_;
};

// Fills documents of one shape with the rows of a batch.
class Shape {
 public:
  explicit Shape(const Rows& rows) : rows_(rows) {}
  Shape(const Shape&) = delete;
  Shape& operator=(const Shape&) = delete;
  virtual ~Shape() = default;
  std::string document(size_t row) {
    document_.begin();
    fill(row);
    std::string out;
    out.reserve(longest_);
    document_.append_to(out);
    longest_ = std::max(longest_, out.size());
    return out;
  }

 protected:
  virtual void fill(size_t row) = 0;
  void put_number(Document::Node node, uint64_t number) {
    document_.put(node, [&](std::string& out) { append_number(out, number); });
  }

  const Rows& rows_;
  Document document_;

 private:
  size_t longest_ = 0;
};

class NativeShape final : public Shape {
 public:
  explicit NativeShape(const Rows& rows) : Shape(rows) { all_.rest(Document::kRoot, {}, {}); }

 private:
  void fill(size_t row) override { all_.put(row); }
  Steps all_{rows_, document_};
};

// What ECS and OCSF both say of a flow: the two directions as one.
struct Sum {
  std::optional<size_t> there, back;
  Document::Node node;
};

class EcsShape final : public Shape {
 public:
  explicit EcsShape(const Rows& rows) : Shape(rows) {
    placed_.place(kEcs);
    rest_.rest(document_.path("sluice.flow"), kEcs, kEcsSelf);
  }

 private:
  void fill(size_t row) override {
    for (const auto& [node, value] : always_) document_.put(node, value);
    const auto action = rows_.number(action_, row);
    const bool is_allowed = action == static_cast<uint64_t>(Action::accept);
    const bool is_denied = action == static_cast<uint64_t>(Action::reject) || action == static_cast<uint64_t>(Action::drop);
    document_.put(type_, is_allowed ? R"(["connection","allowed"])" : is_denied ? R"(["connection","denied"])" : R"(["connection"])");
    placed_.put(row);
    if (const auto protocol = rows_.number(protocol_, row))
      if (const auto name = transport_of(*protocol); !name.empty()) document_.put(transport_, [&](std::string& out) { append_text(out, name); });
    if (const auto version = rows_.number(version_, row)) document_.put(network_type_, *version == 6 ? R"("ipv6")" : R"("ipv4")");
    for (const Sum& sum : sums_) {
      const auto a = rows_.number(sum.there, row), b = rows_.number(sum.back, row);
      if (a || b) put_number(sum.node, a.value_or(0) + b.value_or(0));
    }
    rest_.put(row);
  }

  const std::pair<Document::Node, std::string_view> always_[6] = {
      {document_.path("@timestamp"), "null"},
      {document_.path("ecs.version"), R"("8.11.0")"},
      {document_.path("event.kind"), R"("event")"},
      {document_.path("event.category"), R"(["network"])"},
      {document_.path("event.module"), R"("sluice")"},
      {document_.path("event.dataset"), R"("sluice.flow")"},
  };
  const Document::Node type_ = document_.path("event.type"), transport_ = document_.path("network.transport"), network_type_ = document_.path("network.type");
  const std::optional<size_t> action_ = rows_.column("action"), protocol_ = rows_.column("protocol"), version_ = rows_.column("ip_version");
  const Sum sums_[2] = {{rows_.column("bytes"), rows_.column("reverse_bytes"), document_.path("network.bytes")},
                        {rows_.column("packets"), rows_.column("reverse_packets"), document_.path("network.packets")}};
  Steps placed_{rows_, document_}, rest_{rows_, document_};
};

class OcsfShape final : public Shape {
 public:
  explicit OcsfShape(const Rows& rows) : Shape(rows) {
    placed_.place(kOcsf);
    rest_.rest(document_.path("unmapped"), kOcsf, kOcsfSelf);
    // The source's own leftovers stay where OCSF wants them, next to ours.
    rest_.place(std::array<Place, 1>{{{"extra", "unmapped.extra"}}});
  }

 private:
  void fill(size_t row) override {
    for (const auto& [node, value] : always_) document_.put(node, value);
    placed_.put(row);
    // As AWS maps flow-direction: in and out of the interface.
    const auto direction = rows_.number(direction_, row);
    put_number(direction_id_, !direction ? 0 : *direction == static_cast<uint64_t>(Direction::ingress) ? 1 : 2);
    if (const auto protocol = rows_.number(protocol_, row))
      if (const auto name = transport_of(*protocol); !name.empty()) document_.put(protocol_name_, [&](std::string& out) { append_text(out, name); });
    if (const auto version = rows_.number(version_, row)) put_number(protocol_version_, *version);
    if (const auto action = rows_.number(action_, row)) {
      const bool allowed = *action == static_cast<uint64_t>(Action::accept), dropped = *action == static_cast<uint64_t>(Action::drop);
      const bool is_known = *action != static_cast<uint64_t>(Action::unknown);
      put_number(action_id_, !is_known ? 0 : allowed ? 1 : 2);
      put_number(disposition_id_, !is_known ? 0 : allowed ? 1 : dropped ? 6 : 2);
    }
    // Attributes of profiles say which: security_control wants an action.
    const bool has_cloud = document_.has(cloud_), has_control = document_.has(action_id_) || document_.has(firewall_rule_);
    if (has_control && !document_.has(action_id_)) put_number(action_id_, 0);
    if (has_cloud || has_control)
      document_.put(profiles_, !has_control ? R"(["cloud"])" : !has_cloud ? R"(["security_control"])" : R"(["cloud","security_control"])");
    // The destination is required, and an endpoint has one of these.
    for (const Endpoint& side : endpoints_) {
      if (!side.is_required && !document_.has(side.node)) continue;
      if (std::none_of(std::begin(side.identities), std::end(side.identities), [&](Document::Node n) { return document_.has(n); })) document_.put(side.name, R"("unknown")");
    }
    for (const Sum& sum : sums_) {
      const auto a = rows_.number(sum.there, row), b = rows_.number(sum.back, row);
      if (a || b) put_number(sum.node, a.value_or(0) + b.value_or(0));
    }
    rest_.put(row);
  }

  struct Endpoint {
    bool is_required;
    Document::Node node, name, identities[5];
  };
  Endpoint endpoint(std::string_view side, bool is_required) {
    const Document::Node node = document_.path(side);
    const auto member = [&](std::string_view name) { return document_.node(node, name); };
    return {is_required, node, member("name"), {member("ip"), member("hostname"), member("instance_uid"), member("interface_uid"), member("svc_name")}};
  }

  const std::pair<Document::Node, std::string_view> always_[13] = {
      {document_.path("activity_id"), "6"},
      {document_.path("activity_name"), R"("Traffic")"},
      {document_.path("category_name"), R"("Network Activity")"},
      {document_.path("category_uid"), "4"},
      {document_.path("class_name"), R"("Network Activity")"},
      {document_.path("class_uid"), "4001"},
      {document_.path("type_uid"), "400106"},
      {document_.path("severity"), R"("Informational")"},
      {document_.path("severity_id"), "1"},
      {document_.path("time"), "0"},
      {document_.path("metadata.version"), R"("1.3.0")"},
      {document_.path("metadata.product.name"), R"("Sluice")"},
      {document_.path("metadata.product.vendor_name"), R"("Sluice")"},
  };
  const Document::Node direction_id_ = document_.path("connection_info.direction_id"), protocol_name_ = document_.path("connection_info.protocol_name"),
                       protocol_version_ = document_.path("connection_info.protocol_ver_id"), action_id_ = document_.path("action_id"),
                       disposition_id_ = document_.path("disposition_id"), cloud_ = document_.path("cloud"), firewall_rule_ = document_.path("firewall_rule"),
                       profiles_ = document_.path("metadata.profiles");
  const Endpoint endpoints_[2] = {endpoint("src_endpoint", false), endpoint("dst_endpoint", true)};
  const std::optional<size_t> action_ = rows_.column("action"), protocol_ = rows_.column("protocol"), version_ = rows_.column("ip_version"),
                              direction_ = rows_.column("direction");
  const Sum sums_[2] = {{rows_.column("bytes"), rows_.column("reverse_bytes"), document_.path("traffic.bytes")},
                        {rows_.column("packets"), rows_.column("reverse_packets"), document_.path("traffic.packets")}};
  Steps placed_{rows_, document_}, rest_{rows_, document_};
};

std::unique_ptr<Shape> shape_of(FlowShape shape, const Rows& rows) {
  switch (shape) {
    case FlowShape::native: return std::make_unique<NativeShape>(rows);
    case FlowShape::ecs: return std::make_unique<EcsShape>(rows);
    case FlowShape::ocsf: return std::make_unique<OcsfShape>(rows);
    case FlowShape::ipfix: break;
  }
  return nullptr;
}

}  // namespace

void append_documents(const Batch& flows, FlowShape shape, std::vector<FlowDocument>& out) {
  const Rows rows(flows);
  const auto flow_end = rows.column("flow_end");
  const std::unique_ptr<Shape> documents = shape_of(shape, rows);
  for (size_t row = 0; row < flows.rows; ++row)
    out.push_back({documents ? documents->document(row) : ipfix_record(flows, row), static_cast<TimestampNs>(rows.number(flow_end, row).value_or(0))});
}

}  // namespace sluice::delivery
