#include "server/list_keeper.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "query/limits.h"
#include "query/words.h"
#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;

std::string encode_list(const query::WatchList& list) {
  std::string out;
  const bool ends = !list.ends.empty();
  append_list_item(out, (ends ? "2\t" : "1\t") + std::to_string(list.version) + "\t" + std::to_string(list.updated_at) + "\t" + list.name);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (ends)
      append_list_item(out, (list.ends[i] == kTimestampMax ? "" : std::to_string(list.ends[i])) + "\t" + list.items[i]);
    else
      append_list_item(out, list.items[i]);
  }
  return out;
}

template <typename T>
bool next_number(std::string_view& text, T& out) {
  const size_t tab = text.find('\t');
  if (tab == std::string_view::npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + tab, out);
  if (error != std::errc() || end != text.data() + tab) return false;
  text.remove_prefix(tab + 1);
  return true;
}

Result<query::WatchList> decode_list(std::string_view key, std::string_view value) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::corrupt, "the catalogue's list '" + std::string(key) + "' cannot be read: " + std::string(why)};
  };
  std::vector<std::string> items = list_items(value);
  if (items.empty()) return bad("it is empty");
  const std::string head = std::move(items.front());
  items.erase(items.begin());
  std::string_view rest = head;
  int format = 0;
  uint64_t version = 0;
  TimestampNs updated = 0;
  if (!next_number(rest, format) || format < 1 || format > 2 || !next_number(rest, version) || !next_number(rest, updated)) return bad("its first line is not ours");
  std::vector<TimestampNs> ends;
  if (format == 2)
    for (std::string& item : items) {
      std::string_view text = item;
      TimestampNs end = kTimestampMax;
      if (text.starts_with('\t'))
        text.remove_prefix(1);
      else if (!next_number(text, end))
        return bad("an item's end is not ours");
      ends.push_back(end);
      item = std::string(text);
    }
  auto list = query::make_watch_list(std::string(rest), std::move(items), std::move(ends));
  if (!list.ok()) return bad(list.error().message);
  list->version = version;
  list->updated_at = updated;
  return list;
}

}  // namespace

Status ListKeeper::load() {
  std::shared_ptr<const query::ListBook> book = std::make_shared<query::ListBook>();
  Status failed;
  SLUICE_TRY(catalog_.scan(Keyspace::lists, "", [&](std::string_view key, std::string_view value) {
    auto list = decode_list(key, value);
    if (!list.ok()) {
      failed = std::move(list).error();
      return false;
    }
    book = book->with(std::make_shared<query::WatchList>(std::move(list).value()));
    return true;
  }));
  SLUICE_TRY(failed);
  std::lock_guard lock(mutex_);
  book_ = std::move(book);
  find_next_end();
  return {};
}

void ListKeeper::find_next_end() {
  next_end_ = kTimestampMax;
  for (const auto& [name, list] : book_->lists())
    for (const TimestampNs end : list->ends) next_end_ = std::min(next_end_, end);
}

std::shared_ptr<const query::ListBook> ListKeeper::lists() const {
  std::lock_guard lock(mutex_);
  return book_;
}

Result<uint64_t> ListKeeper::put(query::WatchList list) {
  const query::WatchList* before = book_->find(list.name);
  if (!before && book_->lists().size() >= limits::kListsMax)
    return Error{ErrorCode::too_large, "there are as many lists as there may be: " + std::to_string(limits::kListsMax)};
  // Lists that are there from before names were held to this go on as they are.
  if (!before && !query::is_plain_name(list.name)) return Error{ErrorCode::invalid_argument, "a list's name is made of letters, digits, '_', '-' and '.'"};
  const size_t others = book_->byte_size() - (before ? before->byte_size() : 0);
  if (others + list.byte_size() > limits::kListsBytesMax)
    return Error{ErrorCode::too_large, "all lists together would have more bytes than the limit: " + std::to_string(limits::kListsBytesMax)};
  list.version = before ? before->version + 1 : 1;
  list.updated_at = clock_.now();
  SLUICE_TRY(catalog_.put(Keyspace::lists, query::lower_case(list.name), encode_list(list), catalog::Sync::yes));
  const uint64_t version = list.version;
  book_ = book_->with(std::make_shared<query::WatchList>(std::move(list)));
  find_next_end();
  return version;
}

Status ListKeeper::may_empty(const std::string& name) const { return may_empty_ ? may_empty_(query::lower_case(name)) : Status(); }

Result<uint64_t> ListKeeper::put_list(query::WatchList list, bool replace, bool may_be_empty) {
  const std::string key = query::lower_case(list.name);
  if (list.items.empty() && !may_be_empty && (replace || !lists()->find(key))) SLUICE_TRY(may_empty(key));
  std::unique_lock lock(mutex_);
  if (const query::WatchList* before = book_->find(list.name); before && !replace) return Error{ErrorCode::conflict, "there is a list '" + before->name + "' already"};
  SLUICE_ASSIGN(const uint64_t version, put(std::move(list)));
  lock.unlock();
  if (changed_) changed_(key);
  return version;
}

Result<ListKeeper::Merged> ListKeeper::merge(const std::string& name, std::vector<std::string> items, std::vector<TimestampNs> ends) {
  std::unique_lock lock(mutex_);
  const query::WatchList* before = book_->find(name);
  std::vector<std::string> all;
  std::vector<TimestampNs> all_ends;
  std::unordered_map<std::string, size_t> places;
  const auto add = [&](const std::string& item, TimestampNs end) {
    const auto [at, is_new] = places.emplace(item, all.size());
    if (!is_new) {
      all_ends[at->second] = end;
      return;
    }
    all.push_back(item);
    all_ends.push_back(end);
  };
  if (before)
    for (size_t i = 0; i < before->items.size(); ++i) add(before->items[i], before->ends.empty() ? kTimestampMax : before->ends[i]);
  for (size_t i = 0; i < items.size(); ++i) add(items[i], ends.empty() ? kTimestampMax : ends[i]);
  SLUICE_ASSIGN(query::WatchList list, query::make_watch_list(before ? before->name : name, std::move(all), std::move(all_ends)));
  Merged merged;
  merged.items = list.items.size();
  SLUICE_ASSIGN(merged.version, put(std::move(list)));
  lock.unlock();
  if (changed_) changed_(query::lower_case(name));
  return merged;
}

Status ListKeeper::expire() {
  const TimestampNs now = clock_.now();
  std::vector<std::string> changed;
  {
    std::unique_lock lock(mutex_);
    if (now < next_end_) return {};
    const auto book = book_;
    for (const auto& [key, list] : book->lists()) {
      if (std::none_of(list->ends.begin(), list->ends.end(), [&](TimestampNs end) { return end <= now; })) continue;
      std::vector<std::string> items;
      std::vector<TimestampNs> ends;
      for (size_t i = 0; i < list->items.size(); ++i) {
        if (list->ends[i] <= now) continue;
        items.push_back(list->items[i]);
        ends.push_back(list->ends[i]);
      }
      SLUICE_ASSIGN(query::WatchList fewer, query::make_watch_list(list->name, std::move(items), std::move(ends)));
      SLUICE_TRY(put(std::move(fewer)));
      changed.push_back(key);
    }
  }
  if (changed_)
    for (const std::string& key : changed) changed_(key);
  return {};
}

Status ListKeeper::drop_list(std::string_view name) {
  const std::string key = query::lower_case(name);
  if (may_drop_) SLUICE_TRY(may_drop_(key));
  std::unique_lock lock(mutex_);
  if (!book_->find(name)) return Error{ErrorCode::not_found, "there is no list '" + std::string(name) + "'"};
  SLUICE_TRY(catalog_.erase(Keyspace::lists, key, catalog::Sync::yes));
  book_ = book_->without(name);
  lock.unlock();
  if (changed_) changed_(key);
  return {};
}

}  // namespace sluice::server
