// What the Parquet module (ingest/parquet/, a shared object) gives to the server that loads it.
//
// Arrow's libraries bring their own copies of simdjson and of a whole libcrypto, and show them to the dynamic linker. Linked into the
// server they would stand in for ours: JSON read by another version's code, TLS by another library. So they are never linked, but loaded
// by ingest/source/parquet.cc, apart from the rest, when the first Parquet object comes.
#pragma once

#include <optional>

#include "ingest/source/source.h"

namespace sluice::ingest {

// The module's one symbol. Built of the same tree by the same compiler, so C++ types go over. Sets `result`; throws nothing.
constexpr char kParquetSymbol[] = "sluice_decode_parquet";
using ParquetDecode = void(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines,
                           std::optional<Result<DecodeReport>>& result);

}  // namespace sluice::ingest

extern "C" sluice::ingest::ParquetDecode sluice_decode_parquet;
