#include "client/repl/upload.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "client/repl/answer.h"
#include "client/repl/header_lines.h"
#include "client/repl/question.h"

namespace sluice::client {
namespace {

namespace fs = std::filesystem;

// The server takes 64 MiB a body; smaller ones keep its memory and a retry's cost low. What cannot be cut goes as a whole, compressed where it
// is larger: the server takes 512 MiB out of one body, if its memory allows.
constexpr size_t kBodyBytes = 16u << 20;
constexpr size_t kSentBytesMax = 64u << 20;
constexpr size_t kWholeBodyBytesMax = 512u << 20;
constexpr size_t kRefusedShown = 5;  // files of which the reason is told one by one
constexpr size_t kWarningsShown = 20;  // of all files
constexpr size_t kLineBytesMax = 1u << 20;
constexpr int kRetriesMax = 30;

// Bytes of a file, gzip or zstd taken off. Not found out by name: names lie.
class Reader {
 public:
  static std::unique_ptr<Reader> open(const std::string& path, std::string& error) {
    const int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      error = std::strerror(errno);
      return nullptr;
    }
    auto r = std::unique_ptr<Reader>(new Reader(fd));
    if (!r->fill(error)) return nullptr;
    const auto* b = reinterpret_cast<const unsigned char*>(r->in_.data());
    if (r->in_.size() >= 2 && b[0] == 0x1f && b[1] == 0x8b) {
      r->kind_ = Kind::gzip;
      std::memset(&r->z_, 0, sizeof r->z_);
      inflateInit2(&r->z_, 15 + 16);
    } else if (r->in_.size() >= 4 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd) {
      r->kind_ = Kind::zstd;
      r->d_ = ZSTD_createDCtx();
    }
    return r;
  }
  ~Reader() {
    if (kind_ == Kind::gzip) inflateEnd(&z_);
    if (d_ != nullptr) ZSTD_freeDCtx(d_);
    ::close(fd_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Appends up to about `want` bytes. False with an empty error: the end.
  bool read(std::string& out, size_t want, std::string& error) {
    const size_t start = out.size();
    while (out.size() - start < want) {
      if (at_ == in_.size()) {
        if (ended_) break;
        if (!fill(error)) return false;
        continue;
      }
      if (kind_ == Kind::plain) {
        const size_t n = std::min(want - (out.size() - start), in_.size() - at_);
        out.append(in_, at_, n);
        at_ += n;
      } else {
        const size_t before = out.size();
        out.resize(before + (64u << 10));
        size_t made = 0;
        if (kind_ == Kind::gzip) {
          if (member_done_) {  // gzip files may be several members end to end
            inflateReset(&z_);
            member_done_ = false;
          }
          z_.next_in = reinterpret_cast<Bytef*>(in_.data() + at_);
          z_.avail_in = static_cast<uInt>(in_.size() - at_);
          z_.next_out = reinterpret_cast<Bytef*>(out.data() + before);
          z_.avail_out = 64u << 10;
          const int rc = inflate(&z_, Z_NO_FLUSH);
          made = (64u << 10) - z_.avail_out;
          at_ = in_.size() - z_.avail_in;
          out.resize(before + made);
          if (rc == Z_STREAM_END)
            member_done_ = true;
          else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            error = std::string("broken gzip data: ") + (z_.msg != nullptr ? z_.msg : "unknown");
            return false;
          }
        } else {
          ZSTD_inBuffer zin{in_.data(), in_.size(), at_};
          ZSTD_outBuffer zout{out.data() + before, 64u << 10, 0};
          const size_t rc = ZSTD_decompressStream(d_, &zout, &zin);
          at_ = zin.pos;
          out.resize(before + zout.pos);
          if (ZSTD_isError(rc)) {
            error = std::string("broken zstd data: ") + ZSTD_getErrorName(rc);
            return false;
          }
          member_done_ = rc == 0;
        }
      }
    }
    if (out.size() == start && kind_ != Kind::plain && !member_done_) {
      error = "the compressed data ends early";
      return false;
    }
    return out.size() > start;
  }

 private:
  enum class Kind { plain, gzip, zstd };
  explicit Reader(int fd) : fd_(fd) {}
  bool fill(std::string& error) {
    in_.resize(256u << 10);
    at_ = 0;
    ssize_t n;
    do n = ::read(fd_, in_.data(), in_.size());
    while (n < 0 && errno == EINTR && !Http::interrupted());
    if (n < 0) {
      error = std::strerror(errno);
      in_.clear();
      return false;
    }
    in_.resize(static_cast<size_t>(n));
    ended_ = n == 0;
    return true;
  }

  int fd_;
  Kind kind_ = Kind::plain;
  std::string in_;
  size_t at_ = 0;
  bool ended_ = false, member_done_ = true;
  z_stream z_{};
  ZSTD_DCtx* d_ = nullptr;
};

// The same piece of the same file has the same id; equal pieces at two places of one file do not.
std::string content_id(const std::string& source, const std::string& format, uint64_t piece, std::string_view body) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(ctx.get(), EVP_sha256(), nullptr);
  EVP_DigestUpdate(ctx.get(), source.data(), source.size() + 1);
  EVP_DigestUpdate(ctx.get(), format.data(), format.size() + 1);
  const std::string number = std::to_string(piece);
  EVP_DigestUpdate(ctx.get(), number.data(), number.size() + 1);
  EVP_DigestUpdate(ctx.get(), body.data(), body.size());
  EVP_DigestFinal_ex(ctx.get(), digest, &length);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string id = "sha256:";
  for (unsigned i = 0; i < length; ++i) {
    id += kHex[digest[i] >> 4];
    id += kHex[digest[i] & 15];
  }
  return id;
}

// As the server tells: Parquet, or a control character that no line has among the first bytes.
bool is_binary(std::string_view head) {
  if (head.starts_with("PAR1")) return true;
  head = head.substr(0, 4);
  return std::any_of(head.begin(), head.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r'; });
}

class Uploader {
 public:
  Uploader(Http& http, const UploadOptions& options, UploadTotals& totals)
      : http_(http), options_(options), totals_(totals), started_(std::chrono::steady_clock::now()), tty_(isatty(STDERR_FILENO) && !options.quiet) {}

  int run(bool splittable) {
    std::vector<std::string> files;
    for (const auto& path : options_.paths) {
      std::error_code ec;
      if (path != "-" && fs::is_directory(path, ec)) {
        std::vector<std::string> found;
        for (fs::recursive_directory_iterator it(path, fs::directory_options::skip_permission_denied, ec), end; !ec && it != end; it.increment(ec))
          if (it->is_regular_file(ec)) found.push_back(it->path().string());
        std::sort(found.begin(), found.end());
        files.insert(files.end(), found.begin(), found.end());
        if (found.empty()) complain(path + ": no files in this folder");
      } else if (path != "-" && !fs::exists(path, ec)) {
        complain(path + ": no such file or folder");
        exit_code_ = 2;
      } else {
        files.push_back(path);
      }
    }
    file_count_ = files.size();
    for (const auto& file : files) {
      if (Http::interrupted()) break;
      if (!send_file(file, splittable)) ++totals_.failed_files;
      ++totals_.files;
      if (exit_code_ == 3) break;
    }
    clear_progress();
    if (refused_ > kRefusedShown)
      complain("and " + with_thousands(refused_ - kRefusedShown) + (refused_ == kRefusedShown + 1 ? " more file" : " more files") + " could not be ingested; the last: " + last_refused_);
    if (Http::interrupted()) {
      std::fprintf(stderr, "interrupted; what was accepted so far is stored\n");
      return 1;
    }
    return exit_code_;
  }

 private:
  bool send_file(const std::string& path, bool splittable) {
    name_ = path == "-" ? "standard input" : path;
    piece_ = 0;
    std::string error;
    auto reader = Reader::open(path, error);
    if (!reader) return fail(name_ + ": " + error);
    std::string buffer;
    HeaderLines header;
    bool first = true;
    uint64_t records_before = 0;
    while (true) {
      // One byte more than the limit tells a full body from a too large one.
      const size_t want = splittable ? kBodyBytes : kWholeBodyBytesMax + 1;
      error.clear();
      bool more = true;
      // To the end, or to what a body holds: a last line without an end goes with those before it.
      do {
        more = buffer.size() >= want || reader->read(buffer, want - buffer.size(), error);
      } while (more && error.empty() && buffer.size() < want);
      if (!error.empty()) {
        // Of lines those that are whole count, as those of the pieces before do.
        const size_t whole = splittable && !(first && is_binary(buffer)) ? buffer.rfind('\n') : std::string::npos;
        if (whole != std::string::npos && !Http::interrupted()) send_piece(std::string_view(buffer).substr(0, whole + 1), header, first, records_before);
        return fail(name_ + ": " + error);
      }
      // Parquet and protocol buffers hold no lines, whatever their source is.
      if (first && splittable && is_binary(buffer)) {
        splittable = false;
        continue;
      }
      if (!splittable) {
        if (buffer.size() > kWholeBodyBytesMax)
          return fail(name_ + ": larger than " + human_bytes(kWholeBodyBytesMax) + "; split it first (captures: editcap -c)");
        if (more) continue;
        return buffer.empty() || post(buffer, 0);
      }
      if (buffer.empty()) return true;
      size_t cut = buffer.size();
      if (more) {
        const size_t newline = buffer.rfind('\n');
        if (newline == std::string::npos) {
          if (buffer.size() <= kLineBytesMax) continue;
          // The rest of a line without end is read away, so that what follows it still counts.
          complain(name_ + ": a line longer than " + human_bytes(kLineBytesMax) + " was skipped");
          exit_code_ = std::max(exit_code_, 1);
          ++totals_.rejected;
          if (!skip_line(*reader, buffer, error)) return error.empty() ? true : fail(name_ + ": " + error);
          continue;
        }
        cut = newline + 1;
      }
      const std::string_view piece = std::string_view(buffer).substr(0, cut);
      if (!send_piece(piece, header, first, records_before)) return false;
      first = false;
      header.see(piece);
      records_before += static_cast<uint64_t>(std::count(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(cut), '\n'));
      buffer.erase(0, cut);
      if (!more && buffer.empty()) return true;
    }
  }

  bool send_piece(std::string_view piece, const HeaderLines& header, bool is_first, uint64_t records_before) {
    if (is_first) return post(piece, records_before);
    // Record numbers of the answer count the lines of the body, the repeated ones included.
    return post(header.text() + std::string(piece), records_before - header.lines());
  }

  bool skip_line(Reader& reader, std::string& buffer, std::string& error) {
    while (true) {
      buffer.clear();
      if (!reader.read(buffer, 256u << 10, error)) return false;
      const size_t newline = buffer.find('\n');
      if (newline == std::string::npos) continue;
      buffer.erase(0, newline + 1);
      return true;
    }
  }

  // True: stored (or known already).
  bool post(std::string_view body, uint64_t records_before) {
    Request request{"POST", "/v1/ingest/" + url_encode(options_.source), {"Content-Type: application/octet-stream"}, body};
    std::string packed;
    if (body.size() > kSentBytesMax) {
      packed.resize(ZSTD_compressBound(body.size()));
      const size_t size = ZSTD_compress(packed.data(), packed.size(), body.data(), body.size(), 3);
      if (ZSTD_isError(size) || size > kSentBytesMax)
        return fail(name_ + ": larger than " + human_bytes(kSentBytesMax) + ", also when it is compressed (" + human_bytes(body.size()) +
                    "); split it first (captures: editcap -c), or let a feed of kind folder read it");
      packed.resize(size);
      request.body = packed;
      request.headers.push_back("Content-Encoding: zstd");
    }
    if (!options_.format.empty()) request.headers.push_back("X-Sluice-Format: " + options_.format);
    if (!options_.send_again) request.headers.push_back("X-Sluice-Object: " + content_id(options_.source, options_.format, piece_++, body));
    for (int attempt = 0;; ++attempt) {
      const Response response = http_.send(request);
      if (response.failure == Response::Failure::cancelled) return false;
      if (response.failure != Response::Failure::none) {
        // The object id makes trying again safe.
        if (attempt < 3 && !options_.send_again && totals_.accepted > 0 && wait(1)) continue;
        complain(describe_unreachable(http_.server().url, response));
        exit_code_ = 3;
        return false;
      }
      if ((response.status == 503 || response.status == 429) && attempt < kRetriesMax) {
        const auto it = response.headers.find("retry-after");
        const int seconds = it != response.headers.end() ? std::clamp(std::atoi(it->second.c_str()), 1, 30) : 1;
        // Said once for each wait that goes on: a client that hangs in silence looks broken.
        if (attempt == 0 || attempt % 10 == 9)
          complain("the server takes nothing now (" + read_error(response.body, response.status).message + "); trying again every " +
                   std::to_string(seconds) + " s");
        if (wait(seconds)) continue;
        return false;
      }
      if (!response.ok()) {
        const ServerError error = read_error(response.body, response.status);
        // A piece in the middle of which nothing can be read costs only itself, as its lines would among others.
        if (response.status == 422 && records_before > 0) {
          complain(name_ + ": behind record " + std::to_string(records_before) + ": " + error.message);
          exit_code_ = std::max(exit_code_, 1);
          ++totals_.rejected;
          return true;
        }
        return fail(name_ + ": " + error.message + (error.hint.empty() ? "" : " (" + error.hint + ")"));
      }
      totals_.bytes += body.size();
      count(response.body, records_before);
      show_progress();
      return true;
    }
  }

  void count(const std::string& text, uint64_t records_before) {
    const auto j = nlohmann::json::parse(text, nullptr, false);
    if (!j.is_object()) return complain(name_ + ": the server's answer is not JSON: " + printable(text.substr(0, 100)));
    auto number = [&](const char* key) { return j.contains(key) && j[key].is_number() ? j[key].get<uint64_t>() : uint64_t{0}; };
    if (j.value("duplicate", false)) ++totals_.duplicates;
    totals_.accepted += number("accepted");
    totals_.rejected += number("rejected");
    totals_.no_data += number("no_data");
    totals_.skipped_data += number("skipped_data");
    if (number("rejected") > 0) exit_code_ = std::max(exit_code_, 1);
    // Each once: pieces of a file repeat its header.
    if (j.contains("warnings") && j["warnings"].is_array())
      for (const auto& warning : j["warnings"])
        if (warning.is_string() && warned_.size() < kWarningsShown && warned_.insert(warning.get<std::string>()).second)
          complain(name_ + ": warning: " + printable(warning.get<std::string>()));
    if (!j.contains("errors") || !j["errors"].is_array()) return;
    for (const auto& e : j["errors"]) {
      if (shown_errors_ == 20) complain("(more errors follow; all are counted)");
      if (++shown_errors_ > 20) return;
      const uint64_t record = e.contains("record") && e["record"].is_number() ? e["record"].get<uint64_t>() + records_before : 0;
      complain(name_ + ": record " + std::to_string(record) + ": " + printable(e.value("reason", "")));
    }
  }

  bool wait(int seconds) {
    for (int i = 0; i < seconds * 10; ++i) {
      if (Http::interrupted()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return true;
  }

  // A folder of the wrong files must not fill the screen with one reason.
  bool fail(const std::string& message) {
    if (++refused_ <= kRefusedShown) complain(message);
    last_refused_ = message;
    exit_code_ = std::max(exit_code_, 1);
    return false;
  }
  void complain(const std::string& message) {
    clear_progress();
    say(stderr, message);
  }
  void clear_progress() {
    if (progress_shown_) std::fprintf(stderr, "\r\x1b[K");
    progress_shown_ = false;
  }
  void show_progress() {
    if (!tty_) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    constexpr size_t kBar = 20;
    const size_t done = file_count_ > 0 ? std::min(kBar, kBar * (totals_.files + 1) / file_count_) : 0;
    std::string bar(done, '#');
    bar.resize(kBar, '.');
    std::fprintf(stderr, "\r\x1b[K[%s] file %llu of %llu · %s · %s flows · %s flows/s", bar.c_str(),
                 static_cast<unsigned long long>(totals_.files + 1), static_cast<unsigned long long>(file_count_), human_bytes(totals_.bytes).c_str(),
                 with_thousands(totals_.accepted).c_str(),
                 with_thousands(seconds > 0 ? static_cast<uint64_t>(static_cast<double>(totals_.accepted) / seconds) : 0).c_str());
    std::fflush(stderr);
    progress_shown_ = true;
  }

  Http& http_;
  const UploadOptions& options_;
  UploadTotals& totals_;
  std::chrono::steady_clock::time_point started_;
  bool tty_, progress_shown_ = false;
  int exit_code_ = 0;
  size_t file_count_ = 0, shown_errors_ = 0, refused_ = 0;
  std::string last_refused_;
  std::set<std::string> warned_;
  uint64_t piece_ = 0;  // bodies of the current file posted so far
  std::string name_;
};

}  // namespace

int upload(Http& http, const UploadOptions& options, UploadTotals& totals) {
  // The server knows its sources: whether this one is there, and whether it is lines.
  const Response response = http.send({"GET", "/v1/sources", {}, {}});
  if (response.failure != Response::Failure::none) {
    say_unreachable(http, response);
    return 3;
  }
  std::optional<bool> splittable;
  std::string known;
  if (response.ok()) {
    const auto j = nlohmann::json::parse(response.body, nullptr, false);
    if (j.is_object() && j.contains("sources") && j["sources"].is_array())
      for (const auto& s : j["sources"]) {
        const std::string name = s.value("name", "");
        known += (known.empty() ? "" : ", ") + name;
        if (name == options.source) splittable = s.value("lines", false);
      }
    if (!splittable && !known.empty()) {
      say(stderr, "unknown source '" + printable(options.source) + "'; this server knows: " + printable(known));
      return 2;
    }
  } else if (response.status == 401) {
    say_error(read_error(response.body, response.status), {}, nullptr);
    return 1;
  }
  // A token that may only ingest may not list sources; such a sender says what it has by the source's name.
  if (!splittable) splittable = options.source.find("flow") == std::string::npos && options.source != "ipfix" && options.source != "ibm_vpc";
  return Uploader(http, options, totals).run(*splittable);
}

}  // namespace sluice::client
