#include "query/complete_stored.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "grammar/print.h"
#include "query/limits.h"
#include "storage/model/ip.h"

namespace sluice::query {
namespace {

std::string literal_of(std::string_view value, char quote) {
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) { return c != '\'' && c != '\\' && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
  if (quote == '\'' && plain) return '\'' + std::string(value) + '\'';
  return grammar::quote_string(value);
}

// The numbers up to `most` whose text in `base` begins with `typed`, as ranges.
std::vector<std::pair<uint32_t, uint32_t>> numbers_that_begin_with(std::string_view typed, int base, uint32_t most) {
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  if (typed.empty()) return {{0, most}};
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(typed.data(), typed.data() + typed.size(), number, base);
  if (error != std::errc() || end != typed.data() + typed.size()) return {};
  const auto radix = static_cast<uint32_t>(base);
  for (uint32_t first = number, width = 1; first <= most && (first != 0 || width == 1); first *= radix, width *= radix)
    ranges.emplace_back(first, std::min(most, first + width - 1));
  return ranges;
}

// The addresses whose usual text begins with `typed`: whole parts, and the beginning of one more. Empty: it begins none, or is written with "::".
std::vector<std::pair<IpAddress, IpAddress>> addresses_that_begin_with(std::string_view typed) {
  const bool v6 = typed.find(':') != std::string_view::npos;
  if (typed.empty() || typed.find("::") != std::string_view::npos) return {};
  const size_t parts = v6 ? 8 : 4, part_bytes = v6 ? 2 : 1;
  const uint32_t most = v6 ? 0xffff : 0xff;
  const char between = v6 ? ':' : '.';
  std::array<uint8_t, 16> first{}, last{};
  size_t part = 0;
  for (size_t at = 0;; ++part) {
    if (part == parts) return {};
    const size_t end = typed.find(between, at);
    const std::string_view text = typed.substr(at, end == std::string_view::npos ? end : end - at);
    const bool whole = end != std::string_view::npos;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;
    if (whole) {
      uint32_t number = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number, v6 ? 16 : 10);
      if (text.empty() || error != std::errc() || stop != text.data() + text.size() || number > most) return {};
      ranges = {{number, number}};
    } else {
      ranges = numbers_that_begin_with(text, v6 ? 16 : 10, most);
    }
    const auto put = [&](std::array<uint8_t, 16>& address, uint32_t number) {
      if (v6) address[part * 2] = static_cast<uint8_t>(number >> 8);
      address[part * part_bytes + part_bytes - 1] = static_cast<uint8_t>(number);
    };
    if (whole) {
      put(first, ranges[0].first);
      put(last, ranges[0].first);
      at = end + 1;
      continue;
    }
    std::vector<std::pair<IpAddress, IpAddress>> out;
    for (const auto& [from, to] : ranges) {
      put(first, from);
      put(last, to);
      for (size_t i = (part + 1) * part_bytes; i < parts * part_bytes; ++i) first[i] = 0, last[i] = 0xff;
      out.emplace_back(v6 ? IpAddress::v6_bytes(first.data()) : IpAddress::v4_bytes(first.data()),
                       v6 ? IpAddress::v6_bytes(last.data()) : IpAddress::v4_bytes(last.data()));
    }
    return out;
  }
}

// The newest rows that are not sealed yet: fn(column, row), until it says false.
template <typename F>
void each_open_value(const store::Snapshot& snapshot, ColumnId id, F fn) {
  size_t left = limits::kCompletionOpenRowsMax;
  for (size_t i = snapshot.open.size(); i-- > 0 && left > 0;) {
    const auto at = snapshot.open[i]->find(id);
    if (!at) continue;
    const Column& column = snapshot.open[i]->columns[*at];
    for (size_t row = column.size(); row-- > 0 && left > 0; --left)
      if (!column.is_null(row) && !fn(column, row)) return;
  }
}

template <typename F>
void each_dictionary(const store::Snapshot& snapshot, ColumnId id, F fn) {
  size_t left = limits::kCompletionSegmentsMax;
  for (size_t i = snapshot.segments.size(); i-- > 0 && left > 0;) {
    const segment::Segment& segment = *snapshot.segments[i];
    if (!segment.has(id)) continue;
    const auto dictionary = segment.dictionary(id);
    if (!dictionary.ok() || !*dictionary || !(*dictionary)->sorted()) continue;
    --left;
    if (!fn(segment, **dictionary)) return;
  }
}

// What rows had lately, so that many rows of few values cost little.
template <typename T, typename Hash>
class Met {
 public:
  // Whether it is there; it is now.
  bool is(const T& value) {
    std::optional<T>& place = places_[Hash()(value) % places_.size()];
    if (place == value) return true;
    place = value;
    return false;
  }

 private:
  std::array<std::optional<T>, 1'024> places_{};
};

void each_text(const store::Snapshot& snapshot, ColumnId id, std::string_view typed, const std::function<void(std::string_view)>& add) {
  const char quote = !typed.empty() && typed[0] == '\'' ? '\'' : '"';
  const std::string_view begins = !typed.empty() && (typed[0] == '\'' || typed[0] == '"') ? typed.substr(1) : typed;
  size_t left = limits::kCompletionValuesMax;
  const auto take = [&](std::string_view value) {
    if (value.empty() || value.size() > limits::kCompletionValueBytesMax) return true;
    add(literal_of(value, quote));
    return --left > 0;
  };
  Met<std::string_view, std::hash<std::string_view>> met;
  std::set<std::string_view> taken;
  each_open_value(snapshot, id, [&](const Column& column, size_t row) {
    const std::string_view value = column.string_at(row);
    if (!value.starts_with(begins) || met.is(value) || !taken.insert(value).second) return true;
    return take(value);
  });
  if (left == 0) left = limits::kCompletionValuesMax / 2;  // many rows of few values
  each_dictionary(snapshot, id, [&](const segment::Segment&, const Dictionary& dictionary) {
    uint32_t from = 0, to = dictionary.size();
    while (from < to) {
      const uint32_t middle = from + (to - from) / 2;
      if (dictionary.string_at(middle) < begins)
        from = middle + 1;
      else
        to = middle;
    }
    for (size_t n = 0; n < limits::kCompletionValuesPerSegmentMax && from < dictionary.size() && dictionary.string_at(from).starts_with(begins); ++n, ++from)
      if (!take(dictionary.string_at(from))) return false;
    return true;
  });
}

void each_address(const store::Snapshot& snapshot, ColumnId id, std::string_view typed, const std::function<void(std::string_view)>& add) {
  const auto ranges = addresses_that_begin_with(typed);
  if (ranges.empty()) return;
  size_t left = limits::kCompletionValuesMax;
  Met<IpAddress, IpHash> met;
  std::set<IpAddress> taken;
  each_open_value(snapshot, id, [&](const Column& column, size_t row) {
    const IpAddress ip = column.ip_at(row);
    if (std::none_of(ranges.begin(), ranges.end(), [&](const auto& r) { return ip >= r.first && ip <= r.second; })) return true;
    if (met.is(ip) || !taken.insert(ip).second) return true;
    add(to_string(ip));
    return --left > 0;
  });
  if (left == 0) left = limits::kCompletionValuesMax / 2;
  each_dictionary(snapshot, id, [&](const segment::Segment& segment, const Dictionary& dictionary) {
    size_t n = 0;
    for (const auto& [first, last] : ranges) {
      const auto codes = segment.codes_between(id, first, last);
      if (!codes.ok()) return true;
      for (uint32_t code = codes->first; code < codes->second && n < limits::kCompletionValuesPerSegmentMax; ++code, ++n) {
        add(to_string(dictionary.ip_at(code)));
        if (--left == 0) return false;
      }
    }
    return true;
  });
}

}  // namespace

void each_stored_value(const store::Snapshot& snapshot, ColumnId column, std::string_view typed, const std::function<void(std::string_view)>& add) {
  const LogicalType type = column_spec(column).type;
  if (type == LogicalType::string) each_text(snapshot, column, typed, add);
  if (type == LogicalType::ip) each_address(snapshot, column, typed, add);
}

}  // namespace sluice::query
