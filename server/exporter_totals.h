// ExporterTotals: what exporters sent and lost (`show exporters`) over restarts, in the catalogue. So a router that fell silent stays in
// sight, and counters of loss go on where they were.
//
// Of exporters of datagrams; a stream's end with their connection. Written every limits::kSourceTotalsEvery, where something changed, and
// at a proper stop: what a dying process counted since is not counted. Forgotten once silent for limits::kExporterTotalsAge, and beyond
// limits::kExporterTotalsMax those that have been silent longest.
//
// Exporters whose packets lay in uploaded captures, or in what feeds fetched, are listed with that origin, apart from what they send here
// themselves. They stay as long after that upload; limits::kToldExportersMax of them, so that captures push nobody out who sends.
//
// Thread rule: any thread.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "ingest/source/exporter.h"
#include "storage/catalog/catalog.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

class ExporterTotals {
 public:
  ExporterTotals(catalog::Catalog& catalog, const Clock& clock) : catalog_(catalog), clock_(clock) {}

  // Entries that can't be read are left out; their number is returned. Errors: io. REQUIRES: called once, before all else
  Result<size_t> load();
  // Where to ask what was heard since the start; empty: no more, after a last look.
  void watch(std::function<std::vector<ingest::ExporterStats>()> heard);

  // Of a capture that was taken: what its exporters sent in it. REQUIRES: !origin.empty()
  void add(std::vector<ingest::ExporterStats> told, const std::string& origin);

  // Exporters heard since the start, with what they had before, and those that were heard before only.
  std::vector<ingest::ExporterStats> all();
  // Errors: full, io; then it is all written the next time.
  Status save();

 private:
  struct Entry {
    ingest::ExporterStats before;  // of earlier lives; all zero for a new exporter
    ingest::ExporterStats heard;   // since the start; packets == 0: not yet
    std::string record;            // in the catalogue
    ingest::ExporterStats sum() const;
    TimestampNs last() const;  // seen, or told of
  };
  // REQUIRES: locked
  std::vector<ingest::ExporterStats> look();
  void forget(TimestampNs now);

  catalog::Catalog& catalog_;
  const Clock& clock_;
  std::mutex mutex_;
  std::function<std::vector<ingest::ExporterStats>()> heard_;
  std::map<std::string, Entry> entries_;  // by who they are
  std::vector<std::string> gone_;         // to be taken out of the catalogue
};

}  // namespace sluice::server
