// ContextKeeper: context tables, kept in the catalogue and held ready for queries. What ListKeeper is for lists.
//
// Key: the table's name in lower case. Value: "1\t<version>\t<updated, ns>\t<key column>\t<name>\n" and the CSV as it came.
// Thread rule: any thread. The books it gives out do not change; one change at a time makes a new one.
#pragma once

#include <memory>
#include <mutex>

#include "query/context_table.h"
#include "storage/catalog/catalog.h"
#include "storage/model/time.h"

namespace sluice::server {

class ContextKeeper final : public query::TableWriter {
 public:
  ContextKeeper(catalog::Catalog& catalog, const Clock& clock) : catalog_(catalog), clock_(clock), book_(std::make_shared<query::TableBook>()) {}

  // Reads all tables. Errors: corrupt, naming the table; those of the catalogue.
  Status load();
  std::shared_ptr<const query::TableBook> tables() const;

  Result<uint64_t> put_table(query::ContextTable table, bool replace) override;
  Status drop_table(std::string_view name) override;

 private:
  catalog::Catalog& catalog_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::shared_ptr<const query::TableBook> book_;
};

}  // namespace sluice::server
