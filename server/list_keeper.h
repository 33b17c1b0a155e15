// ListKeeper: watch-lists, kept in the catalogue and held ready for queries.
//
// Key: the list's name in lower case. Value: "1\t<version>\t<updated, ns>\t<name>\n" and the items, joined as storage/model/text_list.h joins
// them. What is read back goes through the same reading as what a statement says.
//
// Thread rule: any thread. The books it gives out do not change; one change at a time makes a new one.
#pragma once

#include <memory>
#include <mutex>

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

  Result<uint64_t> put_list(query::WatchList list, bool replace) override;
  Status drop_list(std::string_view name) override;

 private:
  catalog::Catalog& catalog_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::shared_ptr<const query::ListBook> book_;
};

}  // namespace sluice::server
