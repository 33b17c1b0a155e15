#include "storage/model/text_list.h"

#include "storage/model/byte_scan.h"

namespace sluice {
namespace {

void append_escaped(std::string& out, std::string_view text, bool key) {
  // Hardly any item needs it, and looking is much cheaper than adding byte by byte.
  if (key ? !has_byte<'\n', '\\', '='>(text) : !has_byte<'\n', '\\'>(text)) {
    out += text;
    return;
  }
  for (char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\')
      out += "\\\\";
    else if (key && c == '=')
      out += "\\e";
    else
      out += c;
  }
}

std::string unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      out += text[i] == 'n' ? '\n' : text[i] == 'e' ? '=' : text[i];
    } else {
      out += text[i];
    }
  }
  return out;
}

template <typename F>
void each_item(std::string_view list, F&& f) {
  if (list.empty()) return;
  while (true) {
    const size_t end = list.find('\n');
    if (!f(list.substr(0, end)) || end == std::string_view::npos) return;
    list.remove_prefix(end + 1);
  }
}

}  // namespace

void append_list_item(std::string& list, std::string_view item) {
  if (!list.empty()) list += '\n';
  append_escaped(list, item, false);
}

std::vector<std::string> list_items(std::string_view list) {
  std::vector<std::string> items;
  each_item(list, [&](std::string_view item) {
    items.push_back(unescaped(item));
    return true;
  });
  return items;
}

std::optional<std::string> take_list_item(std::optional<std::string_view>& rest) {
  if (!rest || rest->empty()) return std::nullopt;
  const size_t end = rest->find('\n');
  std::string item = unescaped(rest->substr(0, end));
  if (end == std::string_view::npos)
    rest.reset();
  else
    rest->remove_prefix(end + 1);
  return item;
}

bool list_contains(std::string_view list, std::string_view wanted) {
  std::string escaped;
  append_escaped(escaped, wanted, false);
  bool found = false;
  each_item(list, [&](std::string_view item) { return !(found = item == escaped); });
  return found;
}

void append_extra(std::string& map, std::string_view key, std::string_view value) {
  if (!map.empty()) map += '\n';
  append_escaped(map, key, true);
  map += '=';
  append_escaped(map, value, false);
}

std::optional<std::string> find_extra(std::string_view map, std::string_view key) {
  std::string escaped;
  append_escaped(escaped, key, true);
  std::optional<std::string> value;
  each_item(map, [&](std::string_view item) {
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos || item.substr(0, equals) != escaped) return true;
    value = unescaped(item.substr(equals + 1));
    return false;
  });
  return value;
}

std::vector<std::pair<std::string, std::string>> extra_items(std::string_view map) {
  std::vector<std::pair<std::string, std::string>> items;
  each_item(map, [&](std::string_view item) {
    const size_t equals = item.find('=');
    if (equals != std::string_view::npos)
      items.emplace_back(unescaped(item.substr(0, equals)), unescaped(item.substr(equals + 1)));
    return true;
  });
  return items;
}

}  // namespace sluice
