// Result and Status: how everything below server/ reports what the outside world did wrong.
//
// Errors are values: a code for programs, a message for people (fixed part first, values last). What we ourselves do
// wrong aborts in SLUICE_CHECK, which is on in every build. No exceptions cross a public header; a third-party
// library's exceptions stop at the file that includes it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sluice {

enum class ErrorCode {
  invalid_argument,  // the caller's value makes no sense (HTTP 400/422)
  parse,             // text that does not parse (400)
  not_found,         // (404)
  conflict,          // exists, or is in another state (409)
  too_large,         // beyond a limit in limits.h (413)
  unsupported,       // understood, but not done here (415/501)
  full,              // a bounded queue, disk or memory is full; try again later (503)
  cancelled,         // the caller asked to stop
  deadline,          // the time given has passed (408)
  corrupt,           // bytes on disk or on the wire that break their format
  io,                // the operating system refused; message carries errno's text
  unauthenticated,   // (401)
  forbidden,         // (403)
  not_built,         // done here by a module that this build is without (501)
};

std::string_view to_string(ErrorCode code);

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::invalid_argument;
  std::string message;

  // "Error{code, "cannot open segment: " + path}" reads best at call sites; errno goes through this.
  static Error from_errno(std::string_view what, int errno_value);
  // The same error with "context: " before its message.
  Error with(std::string_view context) && { return Error{code, std::string(context) + ": " + std::move(message)}; }
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose
  static Status ok_status() { return {}; }

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}       // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT
  template <typename U>
    requires std::is_convertible_v<U&&, T> && (!std::is_same_v<std::remove_cvref_t<U>, T>) &&
             (!std::is_same_v<std::remove_cvref_t<U>, Error>) && (!std::is_same_v<std::remove_cvref_t<U>, Result<T>>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok()
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

[[noreturn]] void check_failed(const char* file, int line, const char* expression, std::string_view detail);

}  // namespace sluice

// Always on: a broken invariant of our own stops the process before it writes wrong data.
#define SLUICE_CHECK(expression)                                                            \
  do {                                                                                      \
    if (!(expression)) [[unlikely]] ::sluice::check_failed(__FILE__, __LINE__, #expression, {}); \
  } while (false)
#define SLUICE_CHECK_MSG(expression, detail)                                                     \
  do {                                                                                           \
    if (!(expression)) [[unlikely]] ::sluice::check_failed(__FILE__, __LINE__, #expression, detail); \
  } while (false)

// SLUICE_TRY(status_or_result_expression): returns its error from the enclosing function, or goes on.
#define SLUICE_TRY(expression)                                            \
  do {                                                                    \
    auto sluice_try_result = (expression);                                \
    if (!sluice_try_result.ok()) return std::move(sluice_try_result).error(); \
  } while (false)
// SLUICE_ASSIGN(declaration, result_expression): as SLUICE_TRY, and binds the value.
#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)
#define SLUICE_ASSIGN(declaration, expression)                                             \
  auto SLUICE_CONCAT(sluice_result_, __LINE__) = (expression);                             \
  if (!SLUICE_CONCAT(sluice_result_, __LINE__).ok())                                       \
    return std::move(SLUICE_CONCAT(sluice_result_, __LINE__)).error();                     \
  declaration = std::move(SLUICE_CONCAT(sluice_result_, __LINE__)).value()
