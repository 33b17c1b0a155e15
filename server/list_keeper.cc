#include "server/list_keeper.h"

#include <charconv>

#include "query/limits.h"
#include "query/words.h"
#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;

std::string encode(const query::WatchList& list) {
  std::string out;
  append_list_item(out, "1\t" + std::to_string(list.version) + "\t" + std::to_string(list.updated_at) + "\t" + list.name);
  for (const std::string& item : list.items) append_list_item(out, item);
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

Result<query::WatchList> decode(std::string_view key, std::string_view value) {
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
  if (!next_number(rest, format) || format != 1 || !next_number(rest, version) || !next_number(rest, updated)) return bad("its first line is not ours");
  auto list = query::make_watch_list(std::string(rest), std::move(items));
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
    auto list = decode(key, value);
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
  return {};
}

std::shared_ptr<const query::ListBook> ListKeeper::lists() const {
  std::lock_guard lock(mutex_);
  return book_;
}

Result<uint64_t> ListKeeper::put_list(query::WatchList list, bool replace) {
  const std::string key = query::lower_case(list.name);
  std::unique_lock lock(mutex_);
  const query::WatchList* before = book_->find(list.name);
  if (before && !replace) return Error{ErrorCode::conflict, "there is a list '" + before->name + "' already"};
  if (!before && book_->lists().size() >= limits::kListsMax)
    return Error{ErrorCode::too_large, "there are as many lists as there may be: " + std::to_string(limits::kListsMax)};
  const size_t others = book_->byte_size() - (before ? before->byte_size() : 0);
  if (others + list.byte_size() > limits::kListsBytesMax)
    return Error{ErrorCode::too_large, "all lists together would have more bytes than the limit: " + std::to_string(limits::kListsBytesMax)};
  list.version = before ? before->version + 1 : 1;
  list.updated_at = clock_.now();
  SLUICE_TRY(catalog_.put(Keyspace::lists, key, encode(list), catalog::Sync::yes));
  const uint64_t version = list.version;
  book_ = book_->with(std::make_shared<query::WatchList>(std::move(list)));
  lock.unlock();
  if (changed_) changed_(key);
  return version;
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
