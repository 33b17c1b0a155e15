#include "query/watch_list.h"

#include <algorithm>
#include <charconv>

#include "query/limits.h"
#include "query/table_batch.h"
#include "query/words.h"
#include "storage/model/ip.h"

namespace sluice::query {
namespace {

bool read_number(std::string_view text, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

size_t WatchList::byte_size() const {
  size_t n = name.size();
  for (const auto& i : items) n += i.size() + 1;
  return n;
}

Result<WatchList> make_watch_list(std::string name, std::vector<std::string> items, std::vector<TimestampNs> ends) {
  SLUICE_CHECK(ends.empty() || ends.size() == items.size());
  if (name.empty() || name.size() > limits::kListNameBytesMax)
    return Error{ErrorCode::invalid_argument, "a list's name has from 1 to " + std::to_string(limits::kListNameBytesMax) + " bytes"};
  if (items.size() > limits::kListItemsMax)
    return Error{ErrorCode::too_large, "a list has at most " + std::to_string(limits::kListItemsMax) + " items, and '" + name + "' has " + std::to_string(items.size())};
  WatchList list;
  list.name = std::move(name);
  for (const std::string& item : items) {
    if (item.empty()) return Error{ErrorCode::invalid_argument, "the list '" + list.name + "' has an empty item"};
    if (const auto prefix = parse_prefix(item)) {  // an address alone is a block of one
      list.addresses.ranges.emplace_back(prefix->first(), prefix->last());
      continue;
    }
    const size_t dash = item.find('-');
    if (dash != std::string::npos) {
      const auto first = parse_ip(std::string_view(item).substr(0, dash)), last = parse_ip(std::string_view(item).substr(dash + 1));
      if (first && last) {
        if (*last < *first || first->is_v4() != last->is_v4())
          return Error{ErrorCode::invalid_argument, "the list '" + list.name + "' has a range that ends before its start: " + item};
        list.addresses.ranges.emplace_back(*first, *last);
        continue;
      }
      uint64_t low = 0, high = 0;
      if (read_number(std::string_view(item).substr(0, dash), low) && read_number(std::string_view(item).substr(dash + 1), high)) {
        if (high < low) return Error{ErrorCode::invalid_argument, "the list '" + list.name + "' has a range that ends before its start: " + item};
        list.numbers.ranges.push_back({low, high});
        continue;
      }
    }
    if (uint64_t number = 0; read_number(item, number)) list.numbers.ranges.push_back({number, number});
    list.words.insert(item);
  }
  list.addresses.normalize();
  list.numbers.normalize();
  list.items = std::move(items);
  if (std::any_of(ends.begin(), ends.end(), [](TimestampNs end) { return end != kTimestampMax; })) list.ends = std::move(ends);
  return list;
}

const WatchList* ListBook::find(std::string_view name) const {
  const auto it = lists_.find(lower_case(name));
  return it == lists_.end() ? nullptr : it->second.get();
}

size_t ListBook::byte_size() const {
  size_t n = 0;
  for (const auto& [name, list] : lists_) n += list->byte_size();
  return n;
}

std::shared_ptr<const ListBook> ListBook::with(std::shared_ptr<const WatchList> list) const {
  auto book = std::make_shared<ListBook>(*this);
  const std::string key = lower_case(list->name);
  book->lists_[key] = std::move(list);
  return book;
}

std::shared_ptr<const ListBook> ListBook::without(std::string_view name) const {
  auto book = std::make_shared<ListBook>(*this);
  book->lists_.erase(lower_case(name));
  return book;
}

Batch lists_table(const ListBook& book) {
  Column name(PhysicalType::Str), items(PhysicalType::U64), addresses(PhysicalType::U64), numbers(PhysicalType::U64), words(PhysicalType::U64),
      version(PhysicalType::U64), updated(PhysicalType::I64);
  for (const auto& [key, list] : book.lists()) {
    name.append_string(list->name);
    items.append(uint64_t{list->items.size()});
    addresses.append(uint64_t{list->addresses.ranges.size()});
    numbers.append(uint64_t{list->numbers.ranges.size()});
    words.append(uint64_t{list->words.size()});
    version.append(list->version);
    updated.append(list->updated_at);
  }
  TableBatch shown;
  shown.add("name", LogicalType::string, std::move(name));
  shown.add("items", LogicalType::uint, std::move(items));
  shown.add("address_ranges", LogicalType::uint, std::move(addresses));
  shown.add("number_ranges", LogicalType::uint, std::move(numbers));
  shown.add("words", LogicalType::uint, std::move(words));
  shown.add("version", LogicalType::uint, std::move(version));
  shown.add("updated_at", LogicalType::timestamp, std::move(updated));
  return shown.finish();
}

}  // namespace sluice::query
