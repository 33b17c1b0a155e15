#include "ingest/source/parquet.h"

#include <dlfcn.h>

#include <filesystem>

#include "ingest/source/parquet_module.h"

namespace sluice::ingest {
namespace {

struct Module {
  ParquetDecode* decode = nullptr;
  std::string why;  // it is not there
};

#ifdef SLUICE_PARQUET_MODULE

// AddressSanitizer refuses RTLD_DEEPBIND; there the module's libraries see the program's symbols first, which they hardly ever ask for.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kApart = RTLD_LOCAL;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr int kApart = RTLD_LOCAL;
#else
constexpr int kApart = RTLD_LOCAL | RTLD_DEEPBIND;
#endif
#else
constexpr int kApart = RTLD_LOCAL | RTLD_DEEPBIND;
#endif

Module load() {
  // Beside the program, where a copied folder has it; else where it was built.
  std::error_code error;
  std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / SLUICE_PARQUET_MODULE_NAME;
  if (error || !std::filesystem::exists(path, error)) path = SLUICE_PARQUET_MODULE;
  void* const module = dlopen(path.c_str(), RTLD_NOW | kApart);
  void* const symbol = module ? dlsym(module, kParquetSymbol) : nullptr;
  if (symbol) return {reinterpret_cast<ParquetDecode*>(symbol), {}};
  const char* const said = dlerror();
  return {nullptr, std::string("the module that reads it cannot be loaded: ") + (said ? said : "it has not what is asked for")};
}

#else

Module load() { return {nullptr, "this build does not read it: it was made without Apache Arrow (scripts/arrow, then build again)"}; }

#endif

const Module& module() {
  static const Module loaded = load();
  return loaded;
}

}  // namespace

bool has_parquet() { return module().decode != nullptr; }

Result<DecodeReport> decode_parquet(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines) {
  if (!has_parquet()) return Error{ErrorCode::not_built, "a Parquet object: " + module().why};
  std::optional<Result<DecodeReport>> result;
  module().decode(body, context, sink, lines, result);
  return std::move(*result);
}

}  // namespace sluice::ingest
