// Every document that alerts and forwarded flows become, held against what OCSF and ECS say (schemas.json): names, types, enumerations and what
// is required, whatever the alert or the flow lacks. tests/live/schemas_test.py asks the whole published schema, where packages can be had.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "server/delivery/alert_shape.h"
#include "server/delivery/flow_shape.h"
#include "storage/model/batch.h"
#include "storage/model/ip.h"
#include "tests/unit/server/delivery/example.h"

namespace sluice::delivery {
namespace {

using nlohmann::json;

const json& schemas() {
  static const json all = [] {
    std::ifstream in(SLUICE_SOURCE_DIR "/tests/unit/server/delivery/schemas.json");
    return json::parse(in);
  }();
  return all;
}

// What is wrong with a value, or empty.
std::string wrong_value(const json& type, const json& value);

std::string wrong_object(const std::string& name, const json& value) {
  const json& schema = schemas()["ocsf"][name];
  if (!value.is_object()) return " is no object";
  for (const auto& required : schema["required"])
    if (!value.contains(required.get<std::string>())) return " lacks " + required.get<std::string>();
  if (schema.contains("at_least_one")) {
    bool any = false;
    for (const auto& one : schema["at_least_one"]) any = any || value.contains(one.get<std::string>());
    if (!any) return " has none of " + schema["at_least_one"].dump();
  }
  for (const auto& member : value.items()) {
    if (!schema["attributes"].contains(member.key())) return "." + member.key() + " is not an attribute of " + name;
    if (name != "object")
      if (const std::string why = wrong_value(schema["attributes"][member.key()], member.value()); !why.empty()) return "." + member.key() + why;
  }
  return {};
}

std::string wrong_value(const json& type, const json& value) {
  if (type.is_object()) {
    if (!value.is_array() || value.empty()) return " is no list of something: " + value.dump();
    for (const json& item : value)
      if (const std::string why = wrong_value(type["list"], item); !why.empty()) return why;
    return {};
  }
  if (type.is_array()) return std::find(type.begin(), type.end(), value) == type.end() ? " is none of its values: " + value.dump() : "";
  const std::string word = type.get<std::string>();
  if (word == "{object}") return value.is_object() ? "" : " is no object";
  if (word.starts_with('{')) return wrong_object(word.substr(1, word.size() - 2), value);
  bool good = true;
  if (word == "integer") good = value.is_number_integer();
  // Within a century of now: seconds or nanoseconds would not be.
  if (word == "milliseconds") good = value.is_number_integer() && value > 946'684'800'000 && value < 4'102'444'800'000;
  if (word == "boolean") good = value.is_boolean();
  if (word == "number") good = value.is_number();
  if (word == "text") good = value.is_string();
  if (word == "address") good = value.is_string() && parse_ip(value.get<std::string>()).has_value();
  if (word == "mac") good = value.is_string() && value.get<std::string>().size() == 17;
  if (word == "dashed mac") good = value.is_string() && value.get<std::string>().size() == 17 && value.get<std::string>().find_first_not_of("0123456789ABCDEF-") == std::string::npos;
  if (word == "time") good = value.is_string() && parse_timestamp(value.get<std::string>()).has_value() && value.get<std::string>().ends_with('Z');
  return good ? "" : " is not " + word + ": " + value.dump();
}

void check_ocsf(const std::string& text, const std::string& name, int class_uid) {
  const json j = json::parse(text);
  EXPECT_EQ(wrong_object(name, j), "") << text;
  EXPECT_EQ(j["class_uid"], class_uid);
  EXPECT_EQ(j["category_uid"], class_uid / 1'000);
  EXPECT_EQ(j["type_uid"], class_uid * 100 + j["activity_id"].get<int>());
  EXPECT_EQ(j["metadata"]["version"], "1.3.0");
}

// ECS: leaves by their dotted names; what is under "sluice" is ours.
void check_leaves(const json& object, const std::string& path, std::string& wrong) {
  for (const auto& member : object.items()) {
    const std::string name = path.empty() ? member.key() : path + "." + member.key();
    if (name == "sluice") continue;
    if (member.value().is_object()) {
      check_leaves(member.value(), name, wrong);
    } else if (!schemas()["ecs"].contains(name)) {
      wrong += name + " is no field; ";
    } else if (const std::string why = wrong_value(schemas()["ecs"][name], member.value()); !why.empty()) {
      wrong += name + why + "; ";
    }
  }
}

void check_ecs(const std::string& text) {
  const json j = json::parse(text);
  std::string wrong;
  check_leaves(j, "", wrong);
  EXPECT_EQ(wrong, "") << text;
  for (const auto& required : schemas()["ecs_required"]) {
    std::string pointer = required.get<std::string>();
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    EXPECT_TRUE(j.contains(json::json_pointer("/" + pointer))) << required;
  }
}

// The checks can fail.
TEST(Schemas, WhatIsWrongIsFound) {
  const json good = json::parse(alert_text(example_notice(), AlertShape::ocsf));
  ASSERT_EQ(wrong_object("detection_finding", good), "");
  for (const auto& [pointer, value] : {std::pair<const char*, json>{"/time", "2026-11-20T08:05:01Z"}, {"/time", 1'795'161'901}, {"/severity_id", 7}, {"/status_id", "1"}, {"/finding_info/title", 5},
                                       {"/metadata/product/colour", "red"}, {"/evidences", json::object()}, {"/evidences/0/src_endpoint/ip", "10.1.0"}}) {
    json bad = good;
    bad[json::json_pointer(pointer)] = value;
    EXPECT_NE(wrong_object("detection_finding", bad), "") << pointer;
  }
  for (const char* required : {"/time", "/metadata/product", "/finding_info/uid", "/type_uid"}) {
    json bad = good;
    const json::json_pointer at(required);
    bad.at(at.parent_pointer()).erase(at.back());
    EXPECT_NE(wrong_object("detection_finding", bad), "") << required;
  }
}

TEST(Schemas, AlertsOfEveryKind) {
  for (const Notice& base : {example_notice(), hostile_notice()})
    for (const Event event : {Event::started, Event::raised, Event::resumed, Event::ended})
      for (const auto severity : {query::continuous::Severity::info, query::continuous::Severity::low, query::continuous::Severity::medium, query::continuous::Severity::high, query::continuous::Severity::critical})
        for (const bool is_bare : {false, true}) {
          Notice n = base;
          n.event = event;
          n.alert.severity = severity;
          if (is_bare) {
            n.alert.values.clear(), n.alert.tags.clear(), n.alert.techniques.clear(), n.alert.key.clear();
          } else {
            append_extra(n.alert.values, "dst_ip", "2001:db8::1");
            append_extra(n.alert.values, "protocol", "tcp");
            append_list_item(n.alert.techniques, "T1046");
          }
          check_ocsf(alert_text(n, AlertShape::ocsf), "detection_finding", 2004);
          check_ecs(alert_text(n, AlertShape::ecs));
        }
}

// Flows with every column that has a place, and with hardly any.
TEST(Schemas, FlowsWithMuchAndWithLittle) {
  for (const auto& [how, action] : {std::pair(0, Action::unknown), {1, Action::unknown}, {2, Action::accept}, {2, Action::reject}, {2, Action::drop}, {2, Action::unknown}}) {
    FlowBatchBuilder b;
    b.begin_row();
    b.set_time(ColumnId::flow_end, *parse_timestamp("2026-11-20T08:00:01.5Z"));
    if (how > 0) {
      b.set_ip(ColumnId::src_ip, *parse_ip("10.1.0.1"));
      b.set_ip(ColumnId::dst_ip, *parse_ip(how == 1 ? "2001:db8::1" : "10.1.0.2"));
    }
    if (how > 1) {
      b.set_time(ColumnId::flow_start, *parse_timestamp("2026-11-20T08:00:00Z"));
      b.set_time(ColumnId::received_at, *parse_timestamp("2026-11-20T08:00:02Z"));
      b.set_time(ColumnId::exported_at, *parse_timestamp("2026-11-20T08:00:02Z"));
      for (const ColumnId c : {ColumnId::src_port, ColumnId::dst_port, ColumnId::src_as, ColumnId::dst_as, ColumnId::vlan, ColumnId::inner_vlan, ColumnId::input_if, ColumnId::output_if, ColumnId::raw_bytes,
                               ColumnId::raw_packets, ColumnId::raw_reverse_bytes, ColumnId::raw_reverse_packets, ColumnId::tcp_flags, ColumnId::nat_src_port, ColumnId::nat_dst_port})
        b.set_uint(c, 77);
      b.set_uint(ColumnId::protocol, 6);
      b.set_uint(ColumnId::ip_version, 4);
      b.set_uint(ColumnId::src_mac, 0x00005e0053af);
      b.set_uint(ColumnId::dst_mac, 0x00005e0053ae);
      for (const ColumnId c : {ColumnId::src_host, ColumnId::dst_host, ColumnId::src_as_name, ColumnId::dst_as_name, ColumnId::src_country, ColumnId::dst_country, ColumnId::src_city, ColumnId::dst_city, ColumnId::app,
                               ColumnId::rule_name, ColumnId::user_name, ColumnId::flow_id, ColumnId::reject_reason, ColumnId::src_instance_id, ColumnId::dst_instance_id, ColumnId::src_vpc_id, ColumnId::dst_subnet_id,
                               ColumnId::src_interface_id, ColumnId::dst_zone, ColumnId::src_service})
        b.set_string(c, "XX");
      b.set_ip(ColumnId::nat_src_ip, *parse_ip("192.0.2.9"));
      b.set_ip(ColumnId::nat_dst_ip, *parse_ip("192.0.2.10"));
      b.set_ip(ColumnId::exporter_ip, *parse_ip("192.0.2.1"));
    }
    if (how > 1) b.set_enum(ColumnId::action, action);
    if (how > 1) b.set_enum(ColumnId::direction, action == Action::accept ? Direction::ingress : Direction::egress);
    const Batch batch = b.finish();
    for (const FlowShape shape : {FlowShape::ocsf, FlowShape::ecs}) {
      std::vector<FlowDocument> out;
      append_documents(batch, shape, out);
      ASSERT_EQ(out.size(), 1u);
      if (shape == FlowShape::ocsf)
        check_ocsf(out[0].body, "network_activity", 4001);
      else
        check_ecs(out[0].body);
    }
  }
}

}  // namespace
}  // namespace sluice::delivery
