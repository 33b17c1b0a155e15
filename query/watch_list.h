// Watch-lists: named sets of addresses, blocks, ranges, numbers and words, for `in @NAME`.
//
// A list does not change; a ListBook is all lists at one moment, and a query sees one book from its beginning to its end. Who
// keeps the lists gives the book to QueryContext and changes them through ListWriter.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "query/predicate.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::query {

struct WatchList {
  std::string name;
  uint64_t version = 1;            // counts up each time the list is replaced
  TimestampNs updated_at = 0;
  std::vector<std::string> items;  // as written
  std::vector<TimestampNs> ends;   // of each item: from then on it is none, and whoever keeps the list takes it out. Empty: none ends
  // What they mean: sorted, disjoint ranges for each kind.
  IpRanges addresses;
  IntRanges numbers;
  std::unordered_set<std::string> words;  // numbers too: account == in @accounts

  size_t byte_size() const;  // of the items
};

// Reads items: an address, a block 10.0.0.0/8, a range 10.0.0.5-10.0.0.9, a number, a range 8000-8999, else a word.
// Errors: invalid_argument and too_large, naming the item or the limit.
// REQUIRES: as many ends as items, or none
Result<WatchList> make_watch_list(std::string name, std::vector<std::string> items, std::vector<TimestampNs> ends = {});

class ListBook {
 public:
  // Names mind no case. nullptr: there is none.
  const WatchList* find(std::string_view name) const;
  const std::map<std::string, std::shared_ptr<const WatchList>>& lists() const { return lists_; }  // by lower-case name
  size_t byte_size() const;

  // Books with one change.
  std::shared_ptr<const ListBook> with(std::shared_ptr<const WatchList> list) const;
  std::shared_ptr<const ListBook> without(std::string_view name) const;

 private:
  std::map<std::string, std::shared_ptr<const WatchList>> lists_;
};

// Keeps what `create list` and `drop list` say. Thread-safe; durable when it returns.
class ListWriter {
 public:
  virtual ~ListWriter() = default;
  // The list's version. Errors: conflict (there is one and `replace` is not set), invalid_argument (it would have no item and is read, unless
  // it `may_be_empty`), too_large (the bounds of all lists), those of the disk.
  virtual Result<uint64_t> put_list(WatchList list, bool replace, bool may_be_empty = false) = 0;
  virtual Status drop_list(std::string_view name) = 0;  // not_found
};

// `show lists`: name, items, addresses, numbers, words, version, updated_at.
Batch lists_table(const ListBook& book);

}  // namespace sluice::query
