#include "ingest/source/arrow_module.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>

namespace sluice::ingest {
namespace {

struct Module {
  void* handle = nullptr;
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
  if (void* const handle = dlopen(path.c_str(), RTLD_NOW | kApart)) return {handle, {}};
  const char* const said = dlerror();
  return {nullptr, std::string("the module for it cannot be loaded: ") + (said ? said : "it is not there")};
}

#else

Module load() { return {nullptr, "this build is without it: it was made without Apache Arrow (scripts/arrow, then build again)"}; }

#endif

}  // namespace

Result<void*> arrow_symbol(const char* name) {
  static const Module module = load();
  if (!module.handle) return Error{ErrorCode::not_built, module.why};
  if (void* const symbol = dlsym(module.handle, name)) return symbol;
  return Error{ErrorCode::not_built, std::string("the module for it is of another build: it has no ") + name};
}

}  // namespace sluice::ingest
