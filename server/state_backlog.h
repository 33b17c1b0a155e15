// StateBacklog: what exporters said of their data (templates, sampling, names), on its way to the catalogue.
//
// A decoder gives each change away once. While the catalogue takes none (a full disk), changes wait here, the newest of each key, so
// that a restart after the trouble still knows them: an exporter may send its templates again only after half an hour.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ingest/source/limits.h"
#include "server/limits.h"
#include "storage/catalog/catalog.h"

namespace sluice::server {

class StateBacklog {
 public:
  explicit StateBacklog(size_t entries_max = limits::kStateChangesMax, size_t bytes_max = limits::kStateBacklogBytesMax)
      : entries_max_(entries_max), bytes_max_(bytes_max) {}

  // Key and value; an empty value erases. Beyond a bound a change is dropped and counted, never one that waits already.
  void add(std::vector<std::pair<std::string, std::string>> changes);
  // Writes what waits, in one commit. On error all of it keeps waiting; the same again does no harm.
  Status write_to(catalog::Catalog& catalog);

  bool empty() const { return waiting_.empty(); }
  size_t entries() const { return waiting_.size(); }
  size_t bytes() const { return bytes_; }
  uint64_t dropped() const { return dropped_; }

 private:
  const size_t entries_max_, bytes_max_;
  std::map<std::string, std::string> waiting_;
  size_t bytes_ = 0;  // of keys and values
  uint64_t dropped_ = 0;
};

}  // namespace sluice::server
