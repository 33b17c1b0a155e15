// AzureRecord: when Azure's flows were last reported (ingest/source/azure_memory.h) over restarts, in the catalogue. So the counters of a flow that
// goes on over a restart begin where they began, and not at an estimate.
//
// Written every limits::kAzureRecordEvery, where something changed, and at a proper stop: what a dying process heard since is estimated again,
// which costs no flow and no counter. About 25 bytes a flow, 6.5 MB at most.
//
// Thread rule: load before anybody decodes; save from one thread at a time.
#pragma once

#include "ingest/source/azure_memory.h"
#include "storage/catalog/catalog.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

class AzureRecord {
 public:
  AzureRecord(catalog::Catalog& catalog, ingest::AzureMemory& memory, const Clock& clock) : catalog_(catalog), memory_(memory), clock_(clock) {}

  // Pieces that can't be read are left out; their number is returned. Errors: io.
  Result<size_t> load();
  // `at_once`: at a stop, however little time has passed. Errors: full, io; then it is all written the next time.
  Status save(bool at_once);

 private:
  catalog::Catalog& catalog_;
  ingest::AzureMemory& memory_;
  const Clock& clock_;
  TimestampNs saved_at_ = 0;
};

}  // namespace sluice::server
