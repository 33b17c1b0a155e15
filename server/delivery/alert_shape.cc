#include "server/delivery/alert_shape.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "server/delivery/json_text.h"
#include "storage/model/ip.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {

using nlohmann::ordered_json;
using query::continuous::Severity;

namespace {

constexpr std::array<std::string_view, 5> kShapes = {"native", "plain", "cef", "ecs", "ocsf"};
// A CEF extension's value: the format's bound for most is 1,023 characters; receivers cut what is longer, within an escape at worst.
constexpr size_t kCefValueBytesMax = 1'000;

// JSON lets DEL stand as it is; a terminal that shows a log does not.
std::string delete_escaped(std::string text) {
  for (size_t at = text.find('\x7f'); at != std::string::npos; at = text.find('\x7f', at)) text.replace(at, 1, "\\u007f");
  return text;
}

// Valid UTF-8 of any text, by the way the JSON writer mends it.
std::string mended(std::string_view text) {
  const std::string quoted = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(quoted).get<std::string>();
}

// What receivers know by name: the ends of the traffic, where the alert's row tells them.
struct Ends {
  std::optional<IpAddress> src, dst;
  std::optional<uint64_t> src_port, dst_port, protocol;
};

Ends ends_of(const Episode& alert) {
  Ends ends;
  const auto number = [](const std::string& text) -> std::optional<uint64_t> {
    uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    return error == std::errc() && end == text.data() + text.size() && n <= 65'535 ? std::optional(n) : std::nullopt;
  };
  for (const auto& [name, value] : extra_items(alert.values)) {
    if (name == "src_ip") ends.src = parse_ip(value);
    if (name == "dst_ip") ends.dst = parse_ip(value);
    if (name == "src_port") ends.src_port = number(value);
    if (name == "dst_port") ends.dst_port = number(value);
    if (name == "protocol") ends.protocol = number(value);
  }
  return ends;
}

std::string joined(std::string_view list) {
  std::string out;
  for (const auto& item : list_items(list)) out += (out.empty() ? "" : ",") + item;
  return out;
}

int64_t ms(TimestampNs time) { return time / kMillisecond; }

std::string plain_text(const Notice& n) {
  const Episode& a = n.alert;
  const auto quoted = [](std::string_view text) {
    std::string out = "\"";
    for (const char c : one_line(text)) {
      if (c == '"') out += '\\';
      out += c;
    }
    return out + "\"";
  };
  std::string out = one_line(a.message);
  out += " [rule=" + quoted(a.rule) + " severity=" + std::string(to_string(a.severity)) + " event=" + std::string(to_string(n.event));
  if (!a.key.empty()) out += " key=" + quoted(a.key);
  out += " start=" + format_timestamp(a.start) + " id=" + a.id + "]";
  return out;
}

std::string cef_text(const Notice& n) {
  static constexpr int kSeverities[] = {1, 3, 5, 8, 10};
  const Episode& a = n.alert;
  const Ends ends = ends_of(a);
  std::vector<std::pair<std::string_view, std::string>> pairs;
  const auto add = [&](std::string_view key, std::string value) {
    if (!value.empty()) pairs.emplace_back(key, shortened(value, kCefValueBytesMax));
  };
  add("rt", std::to_string(ms(n.at)));
  add("start", std::to_string(ms(a.start)));
  add("end", std::to_string(ms(a.end)));
  add("externalId", a.id);
  add("act", std::string(to_string(n.event)));
  add("cnt", std::to_string(a.matches));
  // src and dst are IPv4 by definition; the others have places of their own.
  const auto address = [&](const std::optional<IpAddress>& ip, std::string_view v4, std::string_view v6, std::string_view label, const char* name) {
    if (!ip) return;
    if (ip->is_v4()) return add(v4, to_string(*ip));
    add(v6, to_string(*ip));
    add(label, name);
  };
  address(ends.src, "src", "c6a2", "c6a2Label", "Source IPv6 Address");
  address(ends.dst, "dst", "c6a3", "c6a3Label", "Destination IPv6 Address");
  if (ends.src_port) add("spt", std::to_string(*ends.src_port));
  if (ends.dst_port) add("dpt", std::to_string(*ends.dst_port));
  const auto custom = [&](std::string_view key, std::string_view label, const char* name, std::string value) {
    if (value.empty()) return;
    add(key, std::move(value));
    add(label, name);
  };
  custom("cs1", "cs1Label", "key", a.key);
  custom("cs2", "cs2Label", "techniques", joined(a.techniques));
  custom("cs3", "cs3Label", "tags", joined(a.tags));
  custom("cs4", "cs4Label", "query", a.query);
  add("msg", a.message);
  return cef_line({"Sluice", "Sluice", SLUICE_VERSION, a.rule, a.rule, kSeverities[static_cast<size_t>(a.severity)]}, pairs);
}

ordered_json values_json(const Episode& a) {
  ordered_json values = ordered_json::object();
  for (const auto& [name, value] : extra_items(a.values)) values.emplace(name, value);
  return values;
}

std::string ecs_text(const Notice& n) {
  const Episode& a = n.alert;
  const Ends ends = ends_of(a);
  // By ECS's scale, as Elastic's own rules count: low 21, medium 47, high 73, critical 99.
  static constexpr int kSeverities[] = {1, 21, 47, 73, 99};
  ordered_json event{{"kind", "alert"},
                     {"category", {"network", "intrusion_detection"}},
                     {"type", {"info"}},
                     {"module", "sluice"},
                     {"dataset", "sluice.alert"},
                     {"id", n.id},
                     {"action", "alert-" + std::string(to_string(n.event))},
                     {"severity", kSeverities[static_cast<size_t>(a.severity)]},
                     {"start", format_timestamp(a.start)},
                     {"end", format_timestamp(a.end)}};
  ordered_json out{{"@timestamp", format_timestamp(n.at)}, {"ecs", {{"version", "8.11.0"}}}, {"message", a.message}, {"event", std::move(event)}};
  out["rule"] = {{"name", a.rule}};
  const auto side = [&](const char* name, const std::optional<IpAddress>& ip, const std::optional<uint64_t>& port) {
    if (!ip && !port) return;
    ordered_json end;
    if (ip) end["ip"] = to_string(*ip), end["address"] = to_string(*ip);
    if (port) end["port"] = *port;
    out[name] = std::move(end);
  };
  side("source", ends.src, ends.src_port);
  side("destination", ends.dst, ends.dst_port);
  if (ends.protocol) out["network"] = {{"iana_number", std::to_string(*ends.protocol)}};
  if (!a.techniques.empty()) {
    ordered_json techniques = ordered_json::array(), sub = ordered_json::array();
    for (const auto& t : list_items(a.techniques)) {
      const std::string parent = t.substr(0, t.find('.'));
      if (std::find(techniques.begin(), techniques.end(), parent) == techniques.end()) techniques.push_back(parent);
      if (parent != t) sub.push_back(t);
    }
    ordered_json technique{{"id", std::move(techniques)}};
    if (!sub.empty()) technique["subtechnique"] = {{"id", std::move(sub)}};
    out["threat"] = {{"framework", "MITRE ATT&CK"}, {"technique", std::move(technique)}};
  }
  if (!a.tags.empty()) out["tags"] = list_items(a.tags);
  out["observer"] = {{"vendor", "Sluice"}, {"product", "Sluice"}, {"type", "ids"}, {"version", SLUICE_VERSION}};
  // What ECS has no field for stands under our own name, as it asks.
  out["sluice"] = {{"alert",
                    {{"id", a.id}, {"state", to_string(a.state)}, {"severity", to_string(a.severity)}, {"key", a.key}, {"matches", a.matches}, {"query", a.query}, {"values", values_json(a)}}}};
  return json_text(out);
}

std::string ocsf_text(const Notice& n) {
  const Episode& a = n.alert;
  const Ends ends = ends_of(a);
  const bool is_closed = n.event == Event::ended;
  const int activity = is_closed ? 3 : n.event == Event::resumed || n.event == Event::raised ? 2 : 1;
  static constexpr std::string_view kActivities[] = {"", "Create", "Update", "Close"};
  static constexpr std::string_view kSeverities[] = {"Informational", "Low", "Medium", "High", "Critical"};
  ordered_json finding{{"uid", a.id},
                       {"title", a.rule},
                       {"desc", a.message},
                       {"created_time", ms(a.fired_at)},
                       {"first_seen_time", ms(a.start)},
                       {"last_seen_time", ms(a.end)},
                       {"analytic", {{"name", a.rule}, {"type", "Rule"}, {"type_id", 1}}}};
  if (!a.techniques.empty()) {
    ordered_json attacks = ordered_json::array();
    for (const auto& t : list_items(a.techniques)) {
      ordered_json attack{{"technique", {{"uid", t.substr(0, t.find('.'))}}}};
      if (t.find('.') != std::string::npos) attack["sub_technique"] = {{"uid", t}};
      attacks.push_back(std::move(attack));
    }
    finding["attacks"] = std::move(attacks);
  }
  if (!a.tags.empty()) finding["types"] = list_items(a.tags);
  ordered_json out{{"activity_id", activity},
                   {"activity_name", kActivities[activity]},
                   {"category_name", "Findings"},
                   {"category_uid", 2},
                   {"class_name", "Detection Finding"},
                   {"class_uid", 2004},
                   {"type_uid", 200'400 + activity},
                   {"time", ms(n.at)},
                   {"severity", kSeverities[static_cast<size_t>(a.severity)]},
                   {"severity_id", 1 + static_cast<int>(a.severity)},
                   {"status", is_closed ? "Resolved" : "New"},
                   {"status_id", is_closed ? 4 : 1},
                   {"message", a.message},
                   {"count", a.matches},
                   {"start_time", ms(a.start)},
                   {"end_time", ms(a.end)},
                   {"finding_info", std::move(finding)}};
  ordered_json evidence = ordered_json::object();
  const auto side = [&](const char* name, const std::optional<IpAddress>& ip, const std::optional<uint64_t>& port) {
    if (!ip) return;  // an endpoint is known by more than its port, which stands among the values
    ordered_json end;
    end["ip"] = to_string(*ip);
    if (port) end["port"] = *port;
    evidence[name] = std::move(end);
  };
  side("src_endpoint", ends.src, ends.src_port);
  side("dst_endpoint", ends.dst, ends.dst_port);
  if (!evidence.empty()) out["evidences"] = ordered_json::array({std::move(evidence)});
  out["metadata"] = {{"version", "1.3.0"}, {"uid", n.id}, {"product", {{"name", "Sluice"}, {"vendor_name", "Sluice"}, {"version", SLUICE_VERSION}}}};
  out["unmapped"] = {{"key", a.key}, {"query", a.query}, {"values", values_json(a)}};
  return json_text(out);
}

std::string lined(std::string_view text, bool with_escapes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  const std::string good = mended(text);
  for (size_t i = 0; i < good.size(); ++i) {
    const auto c = static_cast<unsigned char>(good[i]);
    // Also the control characters of Latin-1, U+0080 to U+009F, which are c2 80 to c2 9f, and the line ends U+2028 and U+2029.
    const bool is_c1 = c == 0xc2 && static_cast<unsigned char>(good[i + 1]) < 0xa0;
    const bool is_separator = c == 0xe2 && static_cast<unsigned char>(good[i + 1]) == 0x80 && (static_cast<unsigned char>(good[i + 2]) | 1) == 0xa9;
    if (c >= 0x20 && c != 0x7f && !is_c1 && !is_separator) {
      out += good[i];
      continue;
    }
    const unsigned char shown = is_c1 ? static_cast<unsigned char>(good[i + 1]) : c;
    i += is_separator ? 2 : is_c1 ? 1 : 0;
    if (!with_escapes || is_separator) out += ' ';
    else if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\t') out += "\\t";
    else (out += "\\x") += {kDigits[shown >> 4], kDigits[shown & 15]};
  }
  return out;
}

}  // namespace

Result<AlertShape> read_shape(ingest::DeclaredSettings& settings, AlertShape otherwise) {
  SLUICE_ASSIGN(const size_t shape, settings.choice("shape", kShapes, static_cast<size_t>(otherwise)));
  return static_cast<AlertShape>(shape);
}

std::string_view content_type(AlertShape shape) {
  return shape == AlertShape::plain || shape == AlertShape::cef ? "text/plain; charset=utf-8" : "application/x-ndjson";
}

std::string alert_text(const Notice& notice, AlertShape shape) {
  switch (shape) {
    case AlertShape::native: return delete_escaped(notice_json(notice));
    case AlertShape::plain: return plain_text(notice);
    case AlertShape::cef: return cef_text(notice);
    case AlertShape::ecs: return delete_escaped(ecs_text(notice));
    case AlertShape::ocsf: return delete_escaped(ocsf_text(notice));
  }
  return {};
}

std::string cef_line(const CefHeader& header, std::span<const std::pair<std::string_view, std::string>> extension) {
  std::string out = "CEF:0";
  for (const std::string_view field : {header.vendor, header.product, header.version, header.signature_id, header.name}) {
    out += '|';
    for (const char c : without_controls(field)) {
      if (c == '|' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += '|' + std::to_string(header.severity) + '|';
  bool first = true;
  for (const auto& [key, value] : extension) {
    if (!std::exchange(first, false)) out += ' ';
    out.append(key) += '=';
    // Line ends have escapes here, other control characters have none.
    for (size_t i = 0; i < value.size(); ++i) {
      const char c = value[i];
      if (c == '\n') out += "\\n";
      else if (c == '\r') out += "\\r";
      else if (c == '=' || c == '\\') (out += '\\') += c;
      else out += c;
    }
  }
  return without_controls(out);
}

std::string one_line(std::string_view text) { return lined(text, true); }
std::string without_controls(std::string_view text) { return lined(text, false); }

}  // namespace sluice::delivery
