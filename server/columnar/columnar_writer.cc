#include "server/columnar/columnar_writer.h"

#include "ingest/source/arrow_module.h"

namespace sluice::columnar {
namespace {

Result<void*> open_symbol() {
  auto symbol = ingest::arrow_symbol(kOpenSymbol);
  if (!symbol.ok()) return std::move(symbol).error().with("an answer as Arrow or Parquet");
  return symbol;
}

}  // namespace

Status is_built() {
  SLUICE_TRY(open_symbol());
  return {};
}

Result<std::unique_ptr<Writer>> open_writer(Format format, const Schema& schema, Take take) {
  SLUICE_ASSIGN(void* const symbol, open_symbol());
  std::optional<Result<std::unique_ptr<Writer>>> result;
  reinterpret_cast<OpenFunction*>(symbol)(format, schema, std::move(take), result);
  return std::move(*result);
}

}  // namespace sluice::columnar
