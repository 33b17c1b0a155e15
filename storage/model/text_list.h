// Lists of strings and key = value maps inside one string value: the layout of the `list` and `extra` columns.
//
// A list is its items joined by '\n'. A map is items "key=value" joined by '\n'; the first '=' parts key from value.
// In items, '\n' is written "\\n" and '\\' is written "\\\\"; in keys, '=' is written "\\e".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

void append_list_item(std::string& list, std::string_view item);
std::vector<std::string> list_items(std::string_view list);
// For lists too long to be there twice: takes the first item off what is left of a list. Absent: there is none. Begins with the
// list, which must not be changed in between.
std::optional<std::string> take_list_item(std::optional<std::string_view>& rest);
bool list_contains(std::string_view list, std::string_view item);

void append_extra(std::string& map, std::string_view key, std::string_view value);
// The value of the first item with this key (exact match).
std::optional<std::string> find_extra(std::string_view map, std::string_view key);
std::vector<std::pair<std::string, std::string>> extra_items(std::string_view map);

}  // namespace sluice
