#include "ingest/source/parquet.h"

#include "ingest/source/arrow_module.h"
#include "ingest/source/parquet_module.h"

namespace sluice::ingest {

bool has_parquet() { return arrow_symbol(kParquetSymbol).ok(); }

Result<DecodeReport> decode_parquet(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines) {
  auto symbol = arrow_symbol(kParquetSymbol);
  if (!symbol.ok()) return std::move(symbol).error().with("a Parquet object");
  std::optional<Result<DecodeReport>> result;
  reinterpret_cast<ParquetDecode*>(*symbol)(body, context, sink, lines, result);
  return std::move(*result);
}

}  // namespace sluice::ingest
