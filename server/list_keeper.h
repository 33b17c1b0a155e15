// ListKeeper: watch-lists, kept in the catalogue and held ready for queries.
//
// Key: the list's name in lower case. Value: "1\t<version>\t<updated, ns>\t<name>\n" and the items, joined as storage/model/text_list.h joins
// them; where items end, "2\t…", and each item behind its end in ns (none: it does not end) and a tab. What is read back goes through the
// same reading as what a statement says.
//
// An item whose end has come is taken out by expire(), which makes a new version of its list.
//
// Thread rule: any thread. The books it gives out do not change; one change at a time makes a new one.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "query/watch_list.h"
#include "storage/catalog/catalog.h"
#include "storage/model/time.h"

namespace sluice::server {

class ListKeeper final : public query::ListWriter {
 public:
  ListKeeper(catalog::Catalog& catalog, const Clock& clock) : catalog_(catalog), clock_(clock), book_(std::make_shared<query::ListBook>()) {}

  // Reads all lists. Errors: corrupt, naming the list; those of the catalogue.
  Status load();
  std::shared_ptr<const query::ListBook> lists() const;

  // Errors also: invalid_argument, a new list whose name is no plain one.
  Result<uint64_t> put_list(query::WatchList list, bool replace, bool may_be_empty = false) override;
  // Whether the list may have no item, as put_list() asks it. A list of nothing is what a failed download and a mistaken format look like:
  // rules that read it would say nothing from then on, and nobody would know why. Errors: those of `may_empty`.
  Status may_empty(const std::string& name) const;
  Status drop_list(std::string_view name) override;  // errors also: those of `may_drop`

  // Adds to a list, or makes it: items that it has get the new end. The list's version, and how many items it has now.
  struct Merged {
    uint64_t version = 0, items = 0;
  };
  Result<Merged> merge(const std::string& name, std::vector<std::string> items, std::vector<TimestampNs> ends);
  // Takes out what has ended; cheap where nothing has. Errors: of the catalogue; the next call tries again.
  Status expire();

  // Who must know of changes: `changed` comes behind each with the list's name in lower case, on the thread that made it; `may_drop` is
  // asked before a list is dropped, `may_empty` before it is put without an item. REQUIRES: called once, before there are other threads
  void watch(std::function<void(const std::string&)> changed, std::function<Status(const std::string&)> may_drop, std::function<Status(const std::string&)> may_empty = {}) {
    changed_ = std::move(changed);
    may_drop_ = std::move(may_drop);
    may_empty_ = std::move(may_empty);
  }

 private:
  catalog::Catalog& catalog_;
  const Clock& clock_;
  // REQUIRES: mutex_ is held
  Result<uint64_t> put(query::WatchList list);
  void find_next_end();

  mutable std::mutex mutex_;
  TimestampNs next_end_ = kTimestampMax;  // of all items
  std::shared_ptr<const query::ListBook> book_;
  std::function<void(const std::string&)> changed_;
  std::function<Status(const std::string&)> may_drop_, may_empty_;
};

}  // namespace sluice::server
