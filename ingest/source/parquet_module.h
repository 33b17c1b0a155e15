// What the Arrow module (ingest/source/arrow_module.h) gives to who reads Parquet.
#pragma once

#include <optional>

#include "ingest/source/source.h"

namespace sluice::ingest {

// Sets `result`; throws nothing.
constexpr char kParquetSymbol[] = "sluice_decode_parquet";
using ParquetDecode = void(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines,
                           std::optional<Result<DecodeReport>>& result);

}  // namespace sluice::ingest

extern "C" sluice::ingest::ParquetDecode sluice_decode_parquet;
