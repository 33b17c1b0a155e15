#include "server/list_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "query/words.h"
#include "server/limits.h"
#include "storage/model/ip.h"
#include "storage/model/text.h"
#include "storage/model/utf8.h"

namespace sluice::server {
namespace {

using nlohmann::json;
using query::equal_ignoring_case;
using query::lower_case;

// Windows programs put a byte order mark before UTF-8.
std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text;
}

bool is_all_of(std::string_view text, std::string_view set) { return text.find_first_not_of(set) == std::string_view::npos; }
constexpr std::string_view kDigits = "0123456789", kHex = "0123456789abcdefABCDEF";

// Four numbers with dots, whatever numbers they are.
bool looks_like_v4(std::string_view text) {
  return std::count(text.begin(), text.end(), '.') == 3 && text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos && is_all_of(text, "0123456789.");
}

// Whether whoever wrote it must have meant an address, a block or a range of addresses. What else has dots and colons is a word: the address of a card
// (00:00:5e:00:53:01), an address with a port, what rules join of two columns.
bool looks_like_address(std::string_view item) {
  if (const size_t dash = item.find('-'); dash != std::string_view::npos && dash > 0 && dash + 1 < item.size())
    return looks_like_v4(item.substr(0, dash)) && looks_like_v4(item.substr(dash + 1));
  const size_t slash = item.find('/');
  const std::string_view base = item.substr(0, slash);
  if (base.empty()) return false;
  if (looks_like_v4(base)) return true;
  const bool is_block = slash != std::string_view::npos && slash + 1 < item.size() && is_all_of(item.substr(slash + 1), kDigits);
  if (is_block && base.find('.') != std::string_view::npos && is_all_of(base, "0123456789.")) return true;  // 10.0/16
  const auto colons = std::count(base.begin(), base.end(), ':');
  if (is_block) return colons >= 2;
  const std::string_view first = base.substr(0, base.find(':'));
  if (base.find("::") != std::string_view::npos) return base.starts_with("::") || (first.size() <= 4 && is_all_of(first, kHex) && first.find_first_of(kDigits) != std::string_view::npos);
  return colons == 7 && first.size() <= 4 && is_all_of(first, kHex);
}

bool is_range(std::string_view item) {
  const size_t dash = item.find('-');
  return dash != std::string_view::npos && parse_ip(item.substr(0, dash)) && parse_ip(item.substr(dash + 1));
}

// Whether several addresses or blocks stand in it, parted by what a line of this format is not parted by.
bool is_several(std::string_view item) {
  constexpr std::string_view kBetween = " \t;,|";
  size_t count = 0;
  for (size_t at = 0; (at = item.find_first_not_of(kBetween, at)) != std::string_view::npos;) {
    const size_t end = std::min(item.find_first_of(kBetween, at), item.size());
    if (!parse_prefix(item.substr(at, end - at))) return false;
    ++count;
    at = end;
  }
  return count > 1;
}

class Reader {
 public:
  void add(std::string_view item, TimestampNs end = kTimestampMax) {
    item = trimmed(item);
    if (item.empty()) return;
    // Items are told as text, and text in another encoding would match nothing of what flows say.
    if (!is_utf8(item)) return leave_out("text that is not UTF-8");
    // As a word it would match nothing, and whoever wrote it would not know.
    if (looks_like_address(item) && !parse_prefix(item) && !is_range(item)) return leave_out("no address or block, though it looks like one");
    if (is_several(item)) return leave_out("several addresses in one place: one a line");
    out.items.emplace_back(item);
    out.ends.push_back(end);
  }
  void leave_out(const std::string& why) { ++out.left_out[why]; }
  ReadList out;
};

// --- plain

void read_plain(std::string_view text, Reader& reader) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    for (const std::string_view mark : {"#", ";", "//"}) {
      // A comment begins the line or stands behind a blank, so that words may have such characters.
      for (size_t at = line.find(mark); at != std::string_view::npos; at = line.find(mark, at + 1))
        if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') {
          line = line.substr(0, at);
          break;
        }
    }
    line = trimmed(line);
    if (line.empty()) continue;
    TimestampNs until = kTimestampMax;
    if (const size_t at = line.rfind(" until "); at != std::string_view::npos) {
      const auto time = parse_timestamp(trimmed(line.substr(at + 7)));
      if (!time) {
        reader.leave_out("'until' without a time");
        continue;
      }
      until = *time;
      line = line.substr(0, at);
    }
    reader.add(line, until);
  }
}

// --- CSV (RFC 4180)

// The fields of the record at the front of `text`, which is taken off.
std::vector<std::string> next_record(std::string_view& text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"')
        fields.back() += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        fields.back() += text[++i];
      else
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      ++i;
      break;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  text.remove_prefix(i);
  return fields;
}

constexpr std::array<std::string_view, 15> kItemNames = {"item", "indicator", "indicator_value", "value", "ip", "ip_address", "dst_ip", "address", "cidr", "network", "prefix", "port", "asn", "ioc_value", "domain"};
constexpr std::array<std::string_view, 5> kEndNames = {"expires", "expires_at", "valid_until", "until", "expiration"};

// Where a header has one of `names`; the first of them that it has at all.
template <size_t N>
std::optional<size_t> named(const std::vector<std::string>& fields, const std::array<std::string_view, N>& names) {
  for (const std::string_view name : names)
    for (size_t i = 0; i < fields.size(); ++i)
      if (equal_ignoring_case(trimmed(fields[i]), name)) return i;
  return std::nullopt;
}

// Feeds begin with comments.
void skip_line(std::string_view& text) { text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1); }

// Whether the text begins with a header of several names, one of which we know to hold items: as plain text each of its rows would be a word that matches nothing.
bool begins_as_csv(std::string_view text) {
  while (!text.empty() && (text.front() == '#' || trimmed(text.substr(0, text.find('\n'))).empty())) skip_line(text);
  text = text.substr(0, std::min(text.find('\n'), limits::kListHeaderBytesMax));
  const auto fields = next_record(text);
  const auto is_name = [](std::string_view field) {
    field = trimmed(field);
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return field.empty() || (is_letter(field.front()) && std::all_of(field.begin(), field.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || std::string_view(" -.()").find(c) != std::string_view::npos; }));
  };
  return fields.size() > 1 && named(fields, kItemNames) && std::all_of(fields.begin(), fields.end(), is_name);
}

void read_csv(std::string_view text, Reader& reader) {
  size_t item = 0;
  std::optional<size_t> end;
  bool is_first = true;
  while (!text.empty()) {
    if (text.front() == '#') {
      skip_line(text);
      continue;
    }
    const auto fields = next_record(text);
    if (fields.size() == 1 && trimmed(fields[0]).empty()) continue;
    if (is_first) {
      is_first = false;
      if (const auto at = named(fields, kItemNames)) {
        item = *at;
        end = named(fields, kEndNames);
        continue;
      }
    }
    if (item >= fields.size()) {
      reader.leave_out("a row without the column");
      continue;
    }
    TimestampNs until = kTimestampMax;
    if (end && *end < fields.size() && !trimmed(fields[*end]).empty()) {
      const auto time = parse_timestamp(trimmed(fields[*end]));
      if (!time) {
        reader.leave_out("an end that is no time");
        continue;
      }
      until = *time;
    }
    reader.add(fields[item], until);
  }
}

// --- STIX

std::string text_at(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

struct Token {
  enum class Kind { end, word, text, symbol } kind = Kind::end;
  std::string text;
};

class Pattern {
 public:
  explicit Pattern(std::string_view text) : text_(text) { next(); }

  // The values that the pattern is about; nullopt: it says more, or something else, than a list can hold.
  std::optional<std::vector<std::string>> values() {
    if (!observations() || token_.kind != Token::Kind::end || values_.empty()) return std::nullopt;
    return std::move(values_);
  }

 private:
  static constexpr size_t kDepthMax = 32;

  void next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
    token_ = {};
    if (at_ >= text_.size()) return;
    const char c = text_[at_];
    if (c == '\'') {
      token_.kind = Token::Kind::text;
      for (++at_; at_ < text_.size() && text_[at_] != '\''; ++at_) {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        token_.text += text_[at_];
      }
      ++at_;
      return;
    }
    const auto is_word = [](char w) { return (w >= 'a' && w <= 'z') || (w >= 'A' && w <= 'Z') || (w >= '0' && w <= '9') || w == '_' || w == '-' || w == ':' || w == '.'; };
    if (is_word(c)) {
      token_.kind = Token::Kind::word;
      while (at_ < text_.size() && is_word(text_[at_])) token_.text += text_[at_++];
      return;
    }
    token_.kind = Token::Kind::symbol;
    token_.text = c;
    ++at_;
    if (at_ < text_.size() && text_[at_] == '=' && (c == '!' || c == '<' || c == '>')) token_.text += text_[at_++];
  }
  bool is(std::string_view symbol) const { return token_.kind == Token::Kind::symbol && token_.text == symbol; }
  bool is_word(std::string_view word) const { return token_.kind == Token::Kind::word && equal_ignoring_case(token_.text, word); }

  // [ … ] OR [ … ]: any of them. AND, FOLLOWEDBY and qualifiers (WITHIN, REPEATS, START) ask for more than one sight of an address.
  bool observations() {
    if (++depth_ > kDepthMax) return false;
    for (;;) {
      if (is("(")) {
        next();
        if (!observations() || !is(")")) return false;
        next();
      } else {
        if (!is("[")) return false;
        next();
        if (!any() || !is("]")) return false;
        next();
      }
      if (!is_word("OR")) break;
      next();
    }
    --depth_;
    return true;
  }
  bool any() {
    if (++depth_ > kDepthMax) return false;
    for (;;) {
      if (!all()) return false;
      if (!is_word("OR")) break;
      next();
    }
    --depth_;
    return true;
  }
  // Comparisons that must hold together: one of them about a value, the others about its type alone.
  bool all() {
    size_t telling = 0;
    for (;;) {
      const size_t before = values_.size();
      if (is("(")) {
        next();
        if (!any() || !is(")")) return false;
        next();
      } else if (!comparison()) {
        return false;
      }
      if (values_.size() > before) ++telling;
      if (!is_word("AND")) break;
      next();
    }
    return telling == 1;
  }
  bool comparison() {
    if (token_.kind != Token::Kind::word) return false;
    const std::string path = lower_case(token_.text);
    next();
    const bool is_in = is_word("IN"), is_subset = is_word("ISSUBSET");
    if (!is("=") && !is_in && !is_subset) return false;
    next();
    std::vector<std::string> found;
    if (is_in) {
      if (!is("(")) return false;
      do {
        next();
        if (token_.kind != Token::Kind::text && token_.kind != Token::Kind::word) return false;
        found.push_back(token_.text);
        next();
      } while (is(","));
      if (!is(")")) return false;
    } else {
      if (token_.kind != Token::Kind::text && token_.kind != Token::Kind::word) return false;
      found.push_back(token_.text);
    }
    next();
    if (path.ends_with(".type")) return true;
    const bool address = path == "ipv4-addr:value" || path == "ipv6-addr:value" || path == "network-traffic:src_ref.value" || path == "network-traffic:dst_ref.value";
    const bool number = path == "network-traffic:src_port" || path == "network-traffic:dst_port" || path == "autonomous-system:number";
    if (!address && !number) return false;
    for (const std::string& value : found) {
      uint64_t n = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
      if (address ? !parse_prefix(value).has_value() : (error != std::errc() || end != value.data() + value.size())) return false;
    }
    values_.insert(values_.end(), found.begin(), found.end());
    return true;
  }

  const std::string_view text_;
  size_t at_ = 0, depth_ = 0;
  Token token_;
  std::vector<std::string> values_;
};

Status read_stix(const json& document, Reader& reader) {
  const auto objects = document.is_object() ? document.find("objects") : document.end();
  if (!document.is_object() || objects == document.end() || !objects->is_array()) return Error{ErrorCode::parse, "a STIX bundle has a list of 'objects'"};
  for (const json& object : *objects) {
    if (!object.is_object() || text_at(object, "type") != "indicator") continue;
    if (const auto revoked = object.find("revoked"); revoked != object.end() && revoked->is_boolean() && revoked->get<bool>()) {
      reader.leave_out("revoked");
      continue;
    }
    if (const std::string type = text_at(object, "pattern_type"); type != "stix" && !type.empty()) {
      reader.leave_out("a pattern that is not STIX");
      continue;
    }
    TimestampNs end = kTimestampMax;
    if (const std::string until = text_at(object, "valid_until"); !until.empty()) {
      const auto time = parse_timestamp(until);
      if (!time) {
        reader.leave_out("an end that is no time");
        continue;
      }
      end = *time;
    }
    const std::string pattern = text_at(object, "pattern");
    const auto values = Pattern(pattern).values();
    if (!values) {
      reader.leave_out("a pattern that says more, or something else, than a list can hold");
      continue;
    }
    for (const std::string& value : *values) reader.add(value, end);
  }
  return {};
}

// --- MISP

// Objects stand in events, and nothing stands in them.
void read_attributes(const json& owner, Reader& reader, bool is_object = false) {
  const auto attributes = owner.find("Attribute");
  if (attributes != owner.end() && attributes->is_array())
    for (const json& a : *attributes) {
      if (!a.is_object()) continue;
      const auto flag = [&](const char* key, bool otherwise) {
        const auto at = a.find(key);
        if (at == a.end()) return otherwise;
        if (at->is_boolean()) return at->get<bool>();
        return at->is_string() ? at->get<std::string>() == "1" || at->get<std::string>() == "true" : otherwise;
      };
      const std::string type = text_at(a, "type"), value = text_at(a, "value");
      if (flag("deleted", false)) {
        reader.leave_out("deleted");
        continue;
      }
      if (!flag("to_ids", true)) {
        reader.leave_out("not meant for detection (to_ids)");
        continue;
      }
      const auto part = [&](bool first) {
        const size_t bar = value.find('|');
        if (bar == std::string::npos) return value;
        return first ? value.substr(0, bar) : value.substr(bar + 1);
      };
      std::string item;
      if (type == "ip-src" || type == "ip-dst" || type == "ip-src|port" || type == "ip-dst|port")
        item = part(true);
      else if (type == "domain|ip")
        item = part(false);
      else if (type == "AS")
        item = value.starts_with("AS") || value.starts_with("as") ? value.substr(2) : value;
      if (item.empty()) {
        reader.leave_out("of a kind that a list cannot hold");
        continue;
      }
      if (type != "AS" && !parse_prefix(item)) {
        reader.leave_out("no address");
        continue;
      }
      reader.add(item);
    }
  if (is_object) return;
  const auto objects = owner.find("Object");
  if (objects != owner.end() && objects->is_array())
    for (const json& o : *objects)
      if (o.is_object()) read_attributes(o, reader, true);
}

Status read_misp(const json& document, Reader& reader) {
  // An event of a feed, what the interface exports, or attributes alone.
  std::vector<const json*> owners;
  const auto add = [&](const json& at) {
    if (!at.is_object()) return;
    const auto event = at.find("Event");
    owners.push_back(event != at.end() && event->is_object() ? &*event : &at);
  };
  if (document.is_array()) {
    for (const json& one : document) add(one);
  } else if (document.is_object()) {
    const auto response = document.find("response");
    if (response != document.end() && response->is_array())
      for (const json& one : *response) add(one);
    else
      add(response != document.end() ? *response : document);
  }
  if (owners.empty() || std::none_of(owners.begin(), owners.end(), [](const json* o) { return o->contains("Attribute") || o->contains("Object"); }))
    return Error{ErrorCode::parse, "a MISP event has a list 'Attribute'"};
  for (const json* owner : owners) read_attributes(*owner, reader);
  return {};
}

// --- JSON as a whole

// A document becomes a tree in memory, a hundred bytes and more a value, which may be two bytes of text. So it is counted before.
class BoundsReader final : public nlohmann::json_sax<json> {
 public:
  const char* beyond = nullptr;

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(int64_t) override { return value(); }
  bool number_unsigned(uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool string(std::string&) override { return value(); }
  bool binary(json::binary_t&) override { return value(); }
  bool key(std::string&) override { return true; }
  bool start_object(size_t) override { return value() && down(); }
  bool start_array(size_t) override { return value() && down(); }
  bool end_object() override { return up(); }
  bool end_array() override { return up(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  bool value() {
    if (++values_ > limits::kListJsonValuesMax) beyond = "the document has more values than the limit; send it in parts";
    return !beyond;
  }
  bool down() {
    if (++depth_ > limits::kListJsonDepthMax) beyond = "the document is nested too deep";
    return !beyond;
  }
  bool up() {
    --depth_;
    return true;
  }
  size_t values_ = 0, depth_ = 0;
};

Status check_bounds(std::string_view text) {
  BoundsReader bounds;
  if (json::sax_parse(text, &bounds)) return {};
  if (bounds.beyond) return Error{ErrorCode::too_large, bounds.beyond};
  return Error{ErrorCode::parse, "the body is not JSON"};
}

}  // namespace

std::optional<ListFormat> list_format_of(std::string_view word) {
  if (equal_ignoring_case(word, "plain")) return ListFormat::plain;
  if (equal_ignoring_case(word, "csv")) return ListFormat::csv;
  if (equal_ignoring_case(word, "stix")) return ListFormat::stix;
  if (equal_ignoring_case(word, "misp")) return ListFormat::misp;
  return std::nullopt;
}

ListFormat guess_list_format(std::string_view content_type, std::string_view text) {
  text = without_mark(text);
  const std::string type = lower_case(trimmed(content_type.substr(0, content_type.find(';'))));
  if (type == "text/csv") return ListFormat::csv;
  if (type.find("stix") != std::string::npos || type.find("taxii") != std::string::npos) return ListFormat::stix;
  const std::string_view start = trimmed(text.substr(0, 4'096));
  if (start.starts_with('{') || start.starts_with('[')) {
    // A bundle says so among its first keys; a MISP document never does.
    return text.find("\"Attribute\"") == std::string_view::npos && text.find("\"objects\"") != std::string_view::npos ? ListFormat::stix : ListFormat::misp;
  }
  return begins_as_csv(text) ? ListFormat::csv : ListFormat::plain;
}

Result<ReadList> read_list(ListFormat format, std::string_view text) {
  text = without_mark(text);
  Reader reader;
  if (format == ListFormat::plain) {
    read_plain(text, reader);
  } else if (format == ListFormat::csv) {
    read_csv(text, reader);
  } else {
    SLUICE_TRY(check_bounds(text));
    const json document = json::parse(text, nullptr, false);
    if (document.is_discarded()) return Error{ErrorCode::parse, "the body is not JSON"};
    SLUICE_TRY(format == ListFormat::stix ? read_stix(document, reader) : read_misp(document, reader));
  }
  return std::move(reader.out);
}

}  // namespace sluice::server
