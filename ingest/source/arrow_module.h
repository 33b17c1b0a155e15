// The optional Arrow module: a shared object with what Apache Arrow's libraries do for us, reading Parquet (ingest/parquet/) and writing Arrow
// and Parquet (server/columnar/).
//
// Arrow's libraries bring their own copies of simdjson and of a whole libcrypto, and show them to the dynamic linker. Linked into the
// server they would stand in for ours: JSON read by another version's code, TLS by another library. So they are never linked, but loaded
// apart from the rest, when something of the module is first asked for.
//
// Thread rule: any thread.
#pragma once

#include "storage/model/result.h"

namespace sluice::ingest {

// A function of the module. It is built of the same tree by the same compiler, so C++ types go over. Error: not_built, with why: the build is
// without Arrow, or the module cannot be loaded.
Result<void*> arrow_symbol(const char* name);

}  // namespace sluice::ingest
