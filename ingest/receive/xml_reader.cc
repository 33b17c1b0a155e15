#include "ingest/receive/xml_reader.h"

#include <algorithm>

#include "ingest/receive/limits.h"
#include "storage/model/text.h"

namespace sluice::ingest {
namespace {


bool is_name_char(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == ':' || byte >= 0x80;
}

std::string_view local(std::string_view name) {
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 63));
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

}  // namespace

XmlReader::XmlReader(std::string_view document) : rest_(document), size_(document.size()) {
  if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
}

Error XmlReader::error() const { return {ErrorCode::parse, "XML cannot be read: " + error_}; }

XmlReader::Kind XmlReader::fail(std::string_view what) {
  if (error_.empty()) error_ = std::string(what) + ", at offset " + std::to_string(size_ - rest_.size());
  return Kind::error;
}

bool XmlReader::skip_past(std::string_view end, std::string_view what) {
  const size_t at = rest_.find(end);
  if (at == std::string_view::npos) {
    fail(what);
    return false;
  }
  rest_.remove_prefix(at + end.size());
  return true;
}

XmlReader::Kind XmlReader::next() {
  if (!error_.empty()) return Kind::error;
  if (close_pending_) {
    close_pending_ = false;
    name_ = local(open_.back());
    open_.pop_back();
    root_done_ = open_.empty();
    return Kind::close;
  }
  text_.clear();
  while (true) {
    if (open_.empty())
      while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
    if (rest_.empty()) {
      if (root_done_) return Kind::end;
      return fail(open_.empty() ? "it holds no element" : "it ends within an element");
    }
    if (rest_.starts_with("<!--")) {
      if (!skip_past("-->", "a comment has no end")) return Kind::error;
    } else if (rest_.starts_with("<?")) {
      if (!skip_past("?>", "a processing instruction has no end")) return Kind::error;
    } else if (rest_.starts_with("<![CDATA[")) {
      if (open_.empty()) return fail("text stands outside the root element");
      rest_.remove_prefix(9);
      const size_t end = rest_.find("]]>");
      if (end == std::string_view::npos) return fail("a CDATA section has no end");
      if (text_.size() + end > limits::kXmlTextBytesMax) return fail("a text is too long");
      text_.append(rest_.substr(0, end));
      rest_.remove_prefix(end + 3);
    } else if (rest_.starts_with("<!")) {
      return fail("it has a document type, which is not read");
    } else if (rest_.front() == '<') {
      if (!text_.empty()) return Kind::text;
      return read_tag();
    } else {
      if (open_.empty()) return fail("text stands outside the root element");
      if (!read_text()) return Kind::error;
    }
  }
}

bool XmlReader::read_text() {
  while (!rest_.empty() && rest_.front() != '<') {
    if (rest_.front() == '&') {
      if (!decode_reference()) return false;
    } else {
      const size_t stop = std::min(rest_.find_first_of("<&"), rest_.size());
      if (text_.size() + stop > limits::kXmlTextBytesMax) {
        fail("a text is too long");
        return false;
      }
      text_.append(rest_.substr(0, stop));
      rest_.remove_prefix(stop);
    }
    if (text_.size() > limits::kXmlTextBytesMax) {
      fail("a text is too long");
      return false;
    }
  }
  return true;
}

// REQUIRES: rest_ begins with '&'
bool XmlReader::decode_reference() {
  constexpr size_t kLongest = 12;  // "&#x0010ffff;" and every name
  const size_t end = rest_.substr(0, kLongest).find(';');
  const std::string_view body = end == std::string_view::npos ? std::string_view() : rest_.substr(1, end - 1);
  if (body.starts_with('#')) {
    const bool is_hex = body.starts_with("#x") || body.starts_with("#X");
    const std::string_view digits = body.substr(is_hex ? 2 : 1);
    uint32_t code = 0;
    bool good = !digits.empty();
    for (const char c : digits) {
      uint32_t value = 16;
      if (c >= '0' && c <= '9') value = static_cast<uint32_t>(c - '0');
      else if (is_hex && (c | 32) >= 'a' && (c | 32) <= 'f') value = static_cast<uint32_t>((c | 32) - 'a' + 10);
      good = good && value < (is_hex ? 16u : 10u) && code < 0x110000;
      code = code * (is_hex ? 16 : 10) + value;
    }
    if (good && code > 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff)) {
      append_utf8(text_, code);
      rest_.remove_prefix(end + 1);
      return true;
    }
    fail("a character reference names no character");
    return false;
  }
  static constexpr std::pair<std::string_view, char> kNamed[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [named, c] : kNamed) {
    if (body != named) continue;
    text_ += c;
    rest_.remove_prefix(end + 1);
    return true;
  }
  fail("an entity is not one of the five that XML has of its own");
  return false;
}

// REQUIRES: rest_ begins with '<' and none of "<!", "<?"
XmlReader::Kind XmlReader::read_tag() {
  rest_.remove_prefix(1);
  const bool closing = rest_.starts_with('/');
  if (closing) rest_.remove_prefix(1);
  size_t length = 0;
  while (length < rest_.size() && is_name_char(rest_[length])) ++length;
  const std::string_view written = rest_.substr(0, length);
  if (local(written).empty()) return fail("a tag has no name");
  if (length > limits::kXmlNameBytesMax) return fail("a name is too long");
  rest_.remove_prefix(length);

  if (closing) {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
    if (!rest_.starts_with('>')) return fail("an end tag is not closed");
    if (open_.empty() || open_.back() != written) return fail("an end tag does not match its start tag");
    rest_.remove_prefix(1);
    open_.pop_back();
    root_done_ = open_.empty();
    name_ = local(written);
    return Kind::close;
  }

  if (root_done_) return fail("it has a second root element");
  if (open_.size() >= limits::kXmlDepthMax) return fail("elements stand too deep in one another");
  // Attributes are passed over, with care for quotes: a '>' may stand inside them.
  while (true) {
    const size_t stop = rest_.find_first_of("\"'></");
    if (stop == std::string_view::npos) return fail("a start tag is not closed");
    const char c = rest_[stop];
    rest_.remove_prefix(stop);
    if (c == '<') return fail("a start tag is not closed");
    if (c == '>') {
      rest_.remove_prefix(1);
      break;
    }
    if (c == '/') {
      if (!rest_.starts_with("/>")) return fail("a slash stands within a tag");
      rest_.remove_prefix(2);
      close_pending_ = true;
      break;
    }
    const size_t quote = rest_.find(c, 1);
    if (quote == std::string_view::npos) return fail("an attribute is not closed");
    rest_.remove_prefix(quote + 1);
  }
  open_.push_back(written);
  name_ = local(written);
  return Kind::open;
}

std::string xml_text_of(std::string_view document, std::string_view element) {
  XmlReader reader(document);
  bool inside = false;
  while (true) {
    switch (reader.next()) {
      case XmlReader::Kind::open: inside = reader.name() == element; break;
      case XmlReader::Kind::text:
        if (inside) return reader.text();
        break;
      case XmlReader::Kind::close: inside = false; break;
      case XmlReader::Kind::end:
      case XmlReader::Kind::error: return {};
    }
  }
}

}  // namespace sluice::ingest
