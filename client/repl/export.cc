#include "client/repl/export.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

namespace sluice::client {
namespace {

using nlohmann::json;

// The end of an answer that may be the server's error in NDJSON is kept to tell what it says; an error is shorter.
constexpr size_t kTailBytes = 64u << 10;

bool ends_with(std::string_view text, std::string_view end) { return text.size() > end.size() && text.ends_with(end); }

// What rows are written into.
class Target {
 public:
  // An empty text, or why not.
  std::string open(const std::string& path) {
    path_ = path;
    if (path == "-") {
      fd_ = STDOUT_FILENO;
      return {};
    }
    struct stat there {};
    if (::stat(path.c_str(), &there) == 0) {
      if (S_ISDIR(there.st_mode)) return path + " is a folder";
      if (!S_ISREG(there.st_mode)) {  // a device or a pipe has no name to take over
        fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
        return fd_ < 0 ? path + ": " + std::strerror(errno) : std::string();
      }
    }
    part_ = path + ".part";
    while (true) {
      fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (fd_ < 0) return failed(part_ + ": " + std::strerror(errno));
      if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) return failed(part_ + " is being written by another export");
      // Another export may have finished, and so renamed it, between the two.
      struct stat mine {}, named {};
      if (::fstat(fd_, &mine) == 0 && ::lstat(part_.c_str(), &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) break;
      ::close(fd_);
    }
    if (::ftruncate(fd_, 0) != 0) return failed(part_ + ": " + std::strerror(errno));
    return {};
  }
  ~Target() { discard(); }

  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR && !Http::interrupted()) continue;
      if (n < 0) {
        error_ = (part_.empty() ? path_ : part_) + ": " + std::strerror(errno);
        return false;
      }
      bytes_ += static_cast<uint64_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  bool keep() {
    if (part_.empty()) return true;
    if (::fsync(fd_) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) {
      error_ = path_ + ": " + std::strerror(errno);
      return false;
    }
    part_.clear();
    return true;
  }
  const std::string& error() const { return error_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::string failed(std::string why) {
    part_.clear();  // not ours to remove
    return why;
  }
  void discard() {
    if (!part_.empty()) ::unlink(part_.c_str());
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }

  std::string path_, part_, error_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

// What ends the program ends the export first, so that no part is left.
class EndedBySignals {
 public:
  EndedBySignals() {
    struct sigaction action {};
    action.sa_handler = [](int) { Http::interrupt(); };
    sigaction(SIGTERM, &action, &term_);
    sigaction(SIGHUP, &action, &hangup_);
  }
  ~EndedBySignals() {
    sigaction(SIGTERM, &term_, nullptr);
    sigaction(SIGHUP, &hangup_, nullptr);
  }

 private:
  struct sigaction term_ {}, hangup_ {};
};

}  // namespace

std::string format_of_path(const std::string& path) {
  if (ends_with(path, ".csv")) return "csv";
  if (ends_with(path, ".ndjson") || ends_with(path, ".jsonl")) return "ndjson";
  if (ends_with(path, ".parquet")) return "parquet";
  if (ends_with(path, ".arrows")) return "arrow";
  return {};
}

int export_query(Http& http, const std::string& text, const QueryOptions& options, const ExportOptions& to, const TypedPlace* typed) {
  const std::string format = to.format.empty() ? format_of_path(to.path) : to.format;
  if (format.empty()) {
    say(stderr, printable(to.path) + ": what format? A name that ends in .csv, .ndjson, .parquet or .arrows says it, or --format does");
    return 2;
  }
  const bool is_binary = format == "arrow" || format == "parquet", is_lines = !is_binary && format != "csv";
  const bool to_terminal = to.path == "-" && isatty(STDOUT_FILENO);
  if (is_binary && to_terminal) {
    std::fprintf(stderr, "%s is nothing to read on a terminal: -o FILE\n", format.c_str());
    return 2;
  }
  Target target;
  if (const std::string why = target.open(to.path); !why.empty()) {
    say(stderr, printable(why));
    return 2;
  }
  const EndedBySignals signals;
  const bool progress = !to.quiet && isatty(STDERR_FILENO) && to.path != "-";
  const auto erase_progress = [&] {
    if (progress) std::fputs("\r                                        \r", stderr);
  };
  const auto started = std::chrono::steady_clock::now();
  auto told = started;
  std::string tail;
  TerminalText clean;
  const std::string body = query_body(text, options);
  // These two are forms of NDJSON, and have no media type of their own.
  const std::string path = format == "ecs" || format == "ocsf" ? "/v1/query?format=" + format : "/v1/query";
  const Response response = http.send({"POST", path, {"Content-Type: application/json", "Accept: " + std::string(accept_of(format))}, body}, [&](std::string_view piece) {
    if (!(to_terminal ? target.write(clean.take(piece)) : target.write(piece))) return false;
    tail.append(piece);
    if (tail.size() > 2 * kTailBytes) tail.erase(0, tail.size() - kTailBytes);
    if (const auto now = std::chrono::steady_clock::now(); progress && now - told > std::chrono::milliseconds(200)) {
      told = now;
      const double seconds = std::chrono::duration<double>(now - started).count();
      std::fprintf(stderr, "\r%s, %s/s   ", human_bytes(target.bytes()).c_str(), human_bytes(static_cast<uint64_t>(static_cast<double>(target.bytes()) / seconds)).c_str());
    }
    return true;
  });
  erase_progress();
  if (!target.error().empty() && !Http::interrupted()) {
    say(stderr, printable(target.error()) + "; nothing was kept");
    return 1;
  }
  if (response.failure == Response::Failure::cancelled || !target.error().empty()) {
    Http::clear_interrupt();
    write_over_echo(stderr);
    std::fprintf(stderr, "cancelled; nothing was kept\n");
    return 1;
  }
  if (response.failure != Response::Failure::none && target.bytes() == 0) {
    say_unreachable(http, response);
    return 3;
  }
  if (response.failure == Response::Failure::none && !response.ok()) {
    say_error(read_error(response.body, response.status), text, typed);
    return 1;
  }
  // The summary comes behind the last row, and only then (docs/http.md).
  const auto summary_text = response.headers.find("x-sluice-summary");
  const json summary = summary_text == response.headers.end() ? json() : json::parse(summary_text->second, nullptr, false);
  if (response.failure != Response::Failure::none || !summary.is_object()) {
    std::string why = response.failure != Response::Failure::none ? response.failure_text : "the server did not say that it is complete";
    // An error after rows is the last line of NDJSON.
    while (tail.ends_with('\n')) tail.pop_back();
    const std::string last = tail.substr(tail.rfind('\n') == std::string::npos ? 0 : tail.rfind('\n') + 1);
    if (is_lines && last.starts_with("{\"error\":{")) why = read_error(last, response.status).message;
    say(stderr, "the answer broke off after " + human_bytes(target.bytes()) + ": " + printable(why) + "; nothing was kept" + (is_lines ? "" : "; where it is the server's error, --format ndjson tells which"));
    return response.failure != Response::Failure::none ? 3 : 1;
  }
  if (to_terminal) target.write(clean.finish());
  if (!target.keep()) {
    say(stderr, printable(target.error()) + "; nothing was kept");
    return 1;
  }
  say_warnings(response);
  if (to.path == "-") return 0;
  uint64_t rows = 0;
  if (summary.contains("stats") && summary["stats"].is_object()) rows = summary["stats"].value("rows", uint64_t{0});
  std::printf("%s %s, %s in %s\n", with_thousands(rows).c_str(), rows == 1 ? "row" : "rows", human_bytes(target.bytes()).c_str(), printable(to.path).c_str());
  return 0;
}

}  // namespace sluice::client
