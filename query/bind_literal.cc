// Constants, read as the type that they are compared with.
#include <charconv>
#include <cmath>

#include "grammar/literals.h"
#include "grammar/nearest.h"
#include "query/bind.h"
#include "query/watch_list.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

IpAddress ip_of(const g::AddressBytes& bytes) { return IpAddress::v6_bytes(bytes.data()); }

std::optional<uint64_t> read_uint(std::string_view text) {
  uint64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(v) : std::nullopt;
}

std::optional<double> read_double(std::string_view text) {
  double v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && std::isfinite(v) ? std::optional(v) : std::nullopt;
}

bool is_signed(const Type& type) { return type.physical == PhysicalType::I64; }

}  // namespace

std::string_view example_of(TypeClass type_class) {
  switch (type_class) {
    case TypeClass::duration: return "durations look like 5s or 1m30s";
    case TypeClass::time: return "times look like 2026-11-20T08:00Z or now() - 1h";
    case TypeClass::mac: return "MAC addresses look like 00:1b:21:3c:9d:f8";
    default: return {};
  }
}

const ParameterValue* Binder::parameter(const g::Parameter& p, const g::Span& span) {
  if (options_.parameters) {
    const auto it = options_.parameters->find(p.name);
    if (it != options_.parameters->end()) return &it->second;
  }
  return fail(span, "no value was given for the parameter '$" + p.name + "'");
}

std::optional<uint64_t> Binder::word_value(std::string_view word, const Type& type) const {
  switch (type.logical) {
    case LogicalType::protocol: return protocol_number(word);
    case LogicalType::port: return service_port(word);
    case LogicalType::flags: return tcp_flags_of(word);
    case LogicalType::enumeration: return type.enumeration ? type.enumeration->code_of(word) : std::nullopt;
    case LogicalType::boolean:
      if (equal_ignoring_case(word, "true") || equal_ignoring_case(word, "yes")) return 1;
      if (equal_ignoring_case(word, "false") || equal_ignoring_case(word, "no")) return 0;
      return std::nullopt;
    default: return std::nullopt;
  }
}

std::string Binder::word_hint(std::string_view word, const Type& type) const {
  std::vector<std::string_view> known;
  auto use = [&](std::string_view name) { known.push_back(name); };
  if (type.logical == LogicalType::protocol) each_protocol(use);
  if (type.logical == LogicalType::port) each_service(use);
  if (type.logical == LogicalType::flags) each_flag(use);
  if (type.logical == LogicalType::enumeration && type.enumeration) known.assign(type.enumeration->names.begin(), type.enumeration->names.end());
  std::string hint = g::did_you_mean(word, known);
  if (hint.empty() && (type.logical == LogicalType::enumeration || type.logical == LogicalType::flags)) {
    hint = "it is one of";
    for (size_t i = 0; i < known.size(); ++i) hint += (i == 0 ? " " : ", ") + std::string(known[i]);
  }
  return hint;
}

std::optional<Value> Binder::text_value(std::string_view text, const Type& type) const {
  if (const auto word = word_value(text, type)) return Value{type.logical, *word};
  switch (class_of(type.logical)) {
    case TypeClass::number:
      if (const auto u = read_uint(text)) return Value::uint(*u);
      if (const auto d = read_double(text)) {
        if (*d == std::floor(*d) && std::fabs(*d) < 9e18) return Value::int64(static_cast<int64_t>(*d));
        return Value::float64(*d);
      }
      if (const auto bytes = g::read_size(text)) return Value::uint(*bytes);
      if (const auto rate = g::read_bit_rate(text)) return Value::uint(*rate);
      return std::nullopt;
    case TypeClass::text: return Value::text(std::string(text));
    case TypeClass::address:
      if (const auto ip = parse_ip(text)) return Value::ip(*ip);
      return std::nullopt;
    case TypeClass::mac:
      if (const auto mac = parse_mac(text)) return Value{LogicalType::mac, uint64_t{*mac}};
      return std::nullopt;
    case TypeClass::time:
      if (const auto t = parse_timestamp(text)) return Value::time(*t);
      return std::nullopt;
    case TypeClass::duration:
      if (const auto d = parse_duration(text)) return Value::duration(*d);
      return std::nullopt;
    case TypeClass::flags:
      if (const auto u = read_uint(text)) return Value{LogicalType::flags, *u};
      return std::nullopt;
    case TypeClass::boolean:
    case TypeClass::enumeration: return std::nullopt;
  }
  return std::nullopt;
}

bool Binder::add_constant(const Value& value, const Type& type, const g::Span& span, ValueSet& set) {
  if (value.is_null()) return true;  // equal to nothing
  const TypeClass wanted = class_of(type.logical);
  const TypeClass given = class_of(value.type);
  if (const auto* text = std::get_if<std::string>(&value.data); text && wanted != TypeClass::text)
    return add_text(*text, type, span, false, set);
  switch (wanted) {
    case TypeClass::number:
    case TypeClass::flags:
    case TypeClass::boolean:
    case TypeClass::enumeration: {
      // Flags and codes are also known by number; true and false only by name.
      const bool fits = given == wanted || (given == TypeClass::number && (wanted == TypeClass::number || wanted == TypeClass::flags));
      if (!fits) break;
      if (const auto* u = std::get_if<uint64_t>(&value.data)) {
        if (type.physical == PhysicalType::F64)
          set.floats.push_back(static_cast<double>(*u));
        else if (!is_signed(type) || *u <= static_cast<uint64_t>(INT64_MAX))
          set.ints.ranges.push_back({*u, *u});
      } else if (const auto* i = std::get_if<int64_t>(&value.data)) {
        if (type.physical == PhysicalType::F64)
          set.floats.push_back(static_cast<double>(*i));
        else if (is_signed(type) || *i >= 0)
          set.ints.ranges.push_back({static_cast<uint64_t>(*i), static_cast<uint64_t>(*i)});
      } else {
        const double d = std::get<double>(value.data);
        if (type.physical == PhysicalType::F64)
          set.floats.push_back(d);
        else if (d == std::floor(d) && (d >= 0 || is_signed(type)) && std::fabs(d) < 9.2e18)
          set.ints.ranges.push_back({static_cast<uint64_t>(static_cast<int64_t>(d)), static_cast<uint64_t>(static_cast<int64_t>(d))});
      }
      return true;
    }
    case TypeClass::text:
      if (given != TypeClass::text) {
        set.words.insert(format_value(value));  // account == 123456789012
        return true;
      }
      set.words.insert(std::get<std::string>(value.data));
      return true;
    case TypeClass::address:
      if (const auto* ip = std::get_if<IpAddress>(&value.data)) {
        set.ips.ranges.emplace_back(*ip, *ip);
        return true;
      }
      break;
    case TypeClass::mac:
      if (given == TypeClass::mac) {
        const uint64_t v = std::get<uint64_t>(value.data);
        set.ints.ranges.push_back({v, v});
        return true;
      }
      break;
    case TypeClass::time:
    case TypeClass::duration:
      if (given == wanted) {
        const auto v = static_cast<uint64_t>(std::get<int64_t>(value.data));
        set.ints.ranges.push_back({v, v});
        return true;
      }
      break;
  }
  fail(span, "this place wants " + std::string(to_string(wanted)) + ", and this is " + std::string(to_string(given)), std::string(example_of(wanted)));
  return false;
}

bool Binder::add_text(std::string_view text, const Type& type, const g::Span& span, bool word, ValueSet& set) {
  if (class_of(type.logical) == TypeClass::address) {
    if (const auto prefix = parse_prefix(text)) {
      set.ips.ranges.emplace_back(prefix->first(), prefix->last());
      return true;
    }
    if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
      const auto first = parse_ip(text.substr(0, dash)), last = parse_ip(text.substr(dash + 1));
      if (first && last && *first <= *last) {
        set.ips.ranges.emplace_back(*first, *last);
        return true;
      }
    }
  } else if (const auto value = text_value(text, type)) {
    return add_constant(*value, type, span, set);
  } else if (class_of(type.logical) == TypeClass::number && type.physical != PhysicalType::F64) {
    if (const size_t dash = text.find('-'); dash != std::string_view::npos && dash > 0) {
      const auto first = read_uint(text.substr(0, dash)), last = read_uint(text.substr(dash + 1));
      if (first && last && *first <= *last) {
        set.ints.ranges.push_back({*first, *last});
        return true;
      }
    }
  }
  std::string what;
  switch (type.logical) {
    case LogicalType::protocol: what = "a protocol"; break;
    case LogicalType::port: what = "a port or service"; break;
    case LogicalType::enumeration: what = type.enumeration ? "a value of " + std::string(type.enumeration->name) : "a value"; break;
    default: what = to_string(class_of(type.logical));
  }
  std::string hint = word || type.logical == LogicalType::enumeration || type.logical == LogicalType::flags ? word_hint(text, type) : "";
  if (text.empty()) hint = "for what the source did not say, ask 'is null'";
  fail(span, g::shown(text) + " is not " + what, std::move(hint));
  return false;
}

bool Binder::add_list(const g::ListReference& reference, const Type& type, const g::Span& span, ValueSet& set) {
  if (options_.lists_read) options_.lists_read->insert(lower_case(reference.name));
  const WatchList* list = options_.lists ? options_.lists->find(reference.name) : nullptr;
  if (!list) {
    if (options_.any_list) return true;
    std::vector<std::string_view> known;
    if (options_.lists)
      for (const auto& [name, l] : options_.lists->lists()) known.push_back(l->name);
    fail(span, "there is no list '@" + reference.name + "'", known.empty() ? "create list " + reference.name + " (…) makes one" : g::did_you_mean(reference.name, known),
         ErrorCode::not_found);
    return false;
  }
  bool any = list->items.empty();  // an empty list fits everywhere
  switch (class_of(type.logical)) {
    case TypeClass::address:
      set.ips.ranges.insert(set.ips.ranges.end(), list->addresses.ranges.begin(), list->addresses.ranges.end());
      any = any || !list->addresses.ranges.empty();
      break;
    case TypeClass::text:
      set.words.insert(list->words.begin(), list->words.end());
      any = any || !list->words.empty();
      break;
    case TypeClass::number:
      for (const ValueRange& r : list->numbers.ranges) {
        any = true;
        if (type.physical == PhysicalType::F64)
          set.float_ranges.ranges.emplace_back(static_cast<double>(r.first), static_cast<double>(r.last));
        else if (!is_signed(type) || r.first <= static_cast<uint64_t>(INT64_MAX))
          set.ints.ranges.push_back({r.first, is_signed(type) ? std::min<uint64_t>(r.last, static_cast<uint64_t>(INT64_MAX)) : r.last});
      }
      [[fallthrough]];
    case TypeClass::enumeration:
      for (const std::string& word : list->words)
        if (const auto value = word_value(word, type)) {
          any = true;
          set.ints.ranges.push_back({*value, *value});
        }
      break;
    default: break;
  }
  if (any) return true;
  fail(span, "the list '@" + list->name + "' holds nothing that is " + std::string(to_string(class_of(type.logical))));
  return false;
}

bool Binder::add_value(const g::Expr& expr, const Type& type, ValueSet& set) {
  const TypeClass wanted = class_of(type.logical);
  if (const auto* cidr = expr.as<g::CidrLiteral>()) {
    if (wanted != TypeClass::address) {
      fail(expr.span, "an address block can only be compared with an address");
      return false;
    }
    const Prefix prefix = Prefix::of(ip_of(cidr->address), cidr->prefix_length);
    set.ips.ranges.emplace_back(prefix.first(), prefix.last());
    return true;
  }
  if (const auto* range = expr.as<g::AddressRangeLiteral>()) {
    if (wanted != TypeClass::address) {
      fail(expr.span, "a range of addresses can only be compared with an address");
      return false;
    }
    set.ips.ranges.emplace_back(ip_of(range->first), ip_of(range->last));
    return true;
  }
  if (const auto* range = expr.as<g::IntegerRangeLiteral>()) {
    if (wanted != TypeClass::number && wanted != TypeClass::flags) {
      fail(expr.span, "a range of numbers can only be compared with a number");
      return false;
    }
    if (type.physical == PhysicalType::F64)
      set.float_ranges.ranges.emplace_back(static_cast<double>(range->first), static_cast<double>(range->last));
    else
      set.ints.ranges.push_back({range->first, is_signed(type) ? std::min<uint64_t>(range->last, static_cast<uint64_t>(INT64_MAX)) : range->last});
    return true;
  }
  if (expr.as<g::RegexLiteral>()) {
    if (wanted != TypeClass::text) {
      fail(expr.span, "a regular expression can only be matched with text");
      return false;
    }
    auto regex = regex_of(expr);
    if (!regex) return false;
    set.regexes.push_back(std::move(regex));
    return true;
  }
  if (const auto* list = expr.as<g::ListReference>()) return add_list(*list, type, expr.span, set);
  if (const auto* p = expr.as<g::Parameter>()) {
    const ParameterValue* value = parameter(*p, expr.span);
    if (!value) return false;
    for (const std::string& v : value->values)
      if (!add_text(v, type, expr.span, true, set)) return false;
    return true;
  }
  if (const auto* name = expr.as<g::Name>()) {
    // A word that means something here, then a column.
    if (!name->quoted && name->parts.size() == 1) {
      if (const auto word = word_value(name->parts[0], type)) return add_constant(Value{type.logical, *word}, type, expr.span, set);
    }
    if (is_either(*name) || find_name(*name)) {
      set.computed.push_back(expr);
      return true;
    }
    if (error_) return false;
    const std::string text = name->text();
    std::string hint = word_hint(text, type);
    if (wanted == TypeClass::text) {
      fail(expr.span, "unknown column '" + text + "'", "text stands in quotes: '" + text + "'");
      return false;
    }
    if (type.logical == LogicalType::protocol || type.logical == LogicalType::port || type.logical == LogicalType::flags ||
        type.logical == LogicalType::enumeration)
      return add_text(text, type, expr.span, true, set);
    unknown_name(*name);
    return false;
  }
  if (const auto* literal = expr.as<g::IntegerLiteral>(); literal && wanted == TypeClass::text) {
    // account == 012345678901: as written
    set.words.insert(literal->spelling.text.empty() ? std::to_string(literal->value) : literal->spelling.text);
    return true;
  }
  const NodePtr node = bind_value(expr);
  if (!node) return false;
  if (const Value* value = node->constant()) return add_constant(*value, type, expr.span, set);
  set.computed.push_back(expr);
  return true;
}

std::optional<Value> Binder::constant_of(const g::Expr& expr, const Type& type) {
  auto of_text = [&](std::string_view text) -> std::optional<Value> {
    auto value = text_value(text, type);
    if (!value) {
      fail(expr.span, g::shown(text) + " is not " + std::string(to_string(class_of(type.logical))), word_hint(text, type));
    }
    return value;
  };
  if (const auto* p = expr.as<g::Parameter>()) {
    const ParameterValue* value = parameter(*p, expr.span);
    if (!value) return std::nullopt;
    if (value->values.size() != 1) {
      fail(expr.span, "'$" + p->name + "' must be one value here");
      return std::nullopt;
    }
    return of_text(value->values[0]);
  }
  if (const auto* name = expr.as<g::Name>(); name && !name->quoted && name->parts.size() == 1)
    if (const auto word = word_value(name->parts[0], type)) return Value{type.logical, *word};
  if (const auto* text = expr.as<g::StringLiteral>()) return of_text(text->value);
  if (expr.as<g::CidrLiteral>() || expr.as<g::AddressRangeLiteral>() || expr.as<g::IntegerRangeLiteral>() || expr.as<g::RegexLiteral>() ||
      expr.as<g::ListReference>()) {
    fail(expr.span, "this place wants a single value");
    return std::nullopt;
  }
  const NodePtr node = bind_value(expr);
  if (!node || !node->constant()) return std::nullopt;
  return *node->constant();
}

std::shared_ptr<const Regex> Binder::regex_of(const g::Expr& expr) {
  std::string pattern;
  bool ignore_case = false;
  if (const auto* r = expr.as<g::RegexLiteral>()) {
    pattern = r->pattern;
    ignore_case = r->ignore_case;
  } else if (const auto* s = expr.as<g::StringLiteral>()) {
    pattern = s->value;
  } else if (const auto* p = expr.as<g::Parameter>()) {
    const ParameterValue* value = parameter(*p, expr.span);
    if (!value) return nullptr;
    if (value->values.size() != 1) return fail(expr.span, "'$" + p->name + "' must be one regular expression");
    pattern = value->values[0];
  } else {
    return fail(expr.span, "expected a regular expression such as /^web-\\d+$/i");
  }
  auto regex = Regex::compile(pattern, ignore_case);
  if (!regex.ok()) return fail(expr.span, regex.error().message);
  return std::make_shared<const Regex>(std::move(regex).value());
}

}  // namespace sluice::query
