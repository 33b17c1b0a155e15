#include "storage/model/result.h"

#include <cerrno>
#include <cstring>

namespace sluice {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::parse: return "parse";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::conflict: return "conflict";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::full: return "full";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::deadline: return "deadline";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::io: return "io";
    case ErrorCode::unauthenticated: return "unauthenticated";
    case ErrorCode::forbidden: return "forbidden";
    case ErrorCode::not_built: return "not_built";
  }
  return "unknown";
}

Error Error::from_errno(std::string_view what, int errno_value) {
  // A full disk is a condition that passes when somebody frees space; callers answer it with "try again".
  ErrorCode code = errno_value == ENOSPC || errno_value == EDQUOT ? ErrorCode::full : ErrorCode::io;
  return Error{code, std::string(what) + ": " + std::strerror(errno_value)};
}

void check_failed(const char* file, int line, const char* expression, std::string_view detail) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%.*s\n", file, line, expression, detail.empty() ? "" : ": ",
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

}  // namespace sluice
