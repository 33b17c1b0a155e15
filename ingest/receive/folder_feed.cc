#include "ingest/receive/folder_feed.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "ingest/receive/limits.h"
#include "ingest/receive/line_cut.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace {

// How much of the start and of what stands before the place reached tells contents apart. The start covers the longest header
// (some 900 bytes) and some records, whose times and addresses no other file shares.
constexpr size_t kHeadBytes = 2'048;
constexpr size_t kTailBytes = 256;
constexpr int kDepthMax = 32;                 // of directories
constexpr size_t kPartsPerTurn = 8;           // of one file, before others have their turn
constexpr DurationNs kDrainedAfter = 30 * kSecond;  // a file that was removed and has not grown for so long is at its end
constexpr DurationNs kFinishAfter = 10 * kMinute;

// FNV-1a. It tells contents apart that differ by accident; nobody gains anything by making two agree but their own loss.
uint64_t hash_of(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

std::string hex(uint64_t number) {
  char text[17];
  const auto end = std::to_chars(text, text + 16, number, 16).ptr;
  return std::string(text, end);
}

struct Id {
  uint64_t device = 0, inode = 0;
  auto operator<=>(const Id&) const = default;
};
std::string to_string(const Id& id) { return hex(id.device) + "-" + hex(id.inode); }

bool read_number(std::string_view map, std::string_view key, uint64_t& out, int base = 10) {
  const auto text = find_extra(map, key);
  if (!text) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out, base);
  return error == std::errc() && end == text->data() + text->size();
}

// What of a content is durable; what a checkpoint holds.
struct Known {
  std::string path;         // where it was seen last
  uint64_t offset = 0;      // up to here
  uint64_t head_bytes = 0, head = 0;  // its first bytes: how many, and their hash
  uint64_t tail = 0;                  // hash of the min(kTailBytes, offset) bytes before offset
  uint64_t header_at = 0, header_bytes = 0;  // the header lines that hold behind offset
  bool skipping = false;    // offset lies within a line beyond every bound
  bool whole = false;       // taken whole: it has no more to give
  bool aside = false;       // it could not be read; another length is another try
  bool finished = false;    // at its end; what follows an unterminated last line would not be a line
  bool recognized = false;  // a record of it was read, be it one that says that there is none
  bool refused = false;     // a record of it, or a part, could not be read
  bool part_aside = false;  // a part of it was set aside
  bool told = false;        // that none of its records can be read
  bool unsure = false;      // the above was written before it was known what became of a piece
  TimestampNs seen = 0;     // when this was written

  bool is_unreadable() const { return refused && !recognized; }
  // Whether whoever put the file there may want to look at it: nothing of it, or not all, came in.
  bool must_stay() const { return aside || part_aside || is_unreadable() || (unsure && !recognized); }
  // What became of a piece of it. Whether that is news.
  bool note(const PieceResult& result) {
    const bool was[] = {recognized, refused, part_aside, unsure};
    unsure = false;
    recognized |= result.duplicate || result.rows > 0 || result.recognized > 0;
    refused |= result.rejected > 0 || result.set_aside;
    part_aside |= result.set_aside;
    return was[0] != recognized || was[1] != refused || was[2] != part_aside || was[3];
  }

  std::string encode() const {
    std::string map;
    append_extra(map, "v", "1");
    append_extra(map, "path", path);
    append_extra(map, "offset", std::to_string(offset));
    append_extra(map, "head_bytes", std::to_string(head_bytes));
    append_extra(map, "head", hex(head));
    append_extra(map, "tail", hex(tail));
    append_extra(map, "header_at", std::to_string(header_at));
    append_extra(map, "header_bytes", std::to_string(header_bytes));
    append_extra(map, "flags", std::to_string((skipping ? 1 : 0) | (whole ? 2 : 0) | (aside ? 4 : 0) | (finished ? 8 : 0) |
                                               (recognized ? 16 : 0) | (refused ? 32 : 0) | (part_aside ? 64 : 0) | (told ? 128 : 0) | (unsure ? 256 : 0)));
    append_extra(map, "seen", std::to_string(seen));
    return map;
  }
  bool decode(std::string_view map) {
    uint64_t flags = 0, at = 0;
    path = find_extra(map, "path").value_or("");
    if (find_extra(map, "v") != "1" || !read_number(map, "offset", offset) || !read_number(map, "head_bytes", head_bytes) ||
        !read_number(map, "head", head, 16) || !read_number(map, "tail", tail, 16) || !read_number(map, "header_at", header_at) ||
        !read_number(map, "header_bytes", header_bytes) || !read_number(map, "flags", flags) || !read_number(map, "seen", at) ||
        head_bytes > kHeadBytes || header_bytes > limits::kFeedHeaderBytesMax)
      return false;
    skipping = flags & 1;
    whole = flags & 2;
    aside = flags & 4;
    finished = flags & 8;
    recognized = flags & 16;
    refused = flags & 32;
    part_aside = flags & 64;
    told = flags & 128;
    unsure = flags & 256;
    seen = static_cast<TimestampNs>(at);
    return true;
  }
};

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// At most `bytes` from `at` on; shorter at the file's end.
Result<std::string> read_at(int fd, uint64_t at, size_t bytes) {
  std::string out(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::pread(fd, out.data() + have, bytes - have, static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("cannot read", errno);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  out.resize(have);
  return out;
}

TimestampNs mtime_of(const struct stat& s) { return static_cast<TimestampNs>(s.st_mtim.tv_sec) * kSecond + s.st_mtim.tv_nsec; }

// Fingerprints of what [0, offset) holds. False: the file is shorter than that.
Result<bool> take_prints(int fd, Known& known) {
  const size_t head_bytes = static_cast<size_t>(std::min<uint64_t>(kHeadBytes, known.offset));
  const size_t tail_bytes = static_cast<size_t>(std::min<uint64_t>(kTailBytes, known.offset));
  SLUICE_ASSIGN(const std::string head, read_at(fd, 0, head_bytes));
  SLUICE_ASSIGN(const std::string tail, read_at(fd, known.offset - tail_bytes, tail_bytes));
  if (head.size() != head_bytes || tail.size() != tail_bytes) return false;
  known.head_bytes = head_bytes;
  known.head = hash_of(head);
  known.tail = hash_of(tail);
  return true;
}

// Whether the file begins with the content that is known.
Result<bool> holds(int fd, const Known& known) {
  Known now;
  now.offset = known.offset;
  SLUICE_ASSIGN(const bool long_enough, take_prints(fd, now));
  if (!long_enough || now.tail != known.tail) return false;
  if (now.head_bytes == known.head_bytes) return now.head == known.head;
  SLUICE_ASSIGN(const std::string head, read_at(fd, 0, static_cast<size_t>(known.head_bytes)));
  return hash_of(head) == known.head;
}

enum class After { keep, remove, move };

struct Options {
  std::string path;
  std::vector<std::string> globs, excludes;
  bool recursive = false, follow = true, from_end = false, follow_links = false;
  DurationNs period = kSecond, settle = 10 * kSecond, finish_after = 0;
  After after = After::keep;
  std::string move_to;
  FeedFormat shape;
};

// A file of the last look.
struct Found {
  Id id;
  std::string path, relative;
  uint64_t size = 0;
  TimestampNs mtime = 0;
};

class FolderFeed final : public Feed {
 public:
  explicit FolderFeed(Options options) : options_(std::move(options)) {}

  Status restore(const Checkpoint& checkpoint) override {
    std::map<Id, File> before = std::move(files_);
    files_.clear();
    former_.clear();
    began_ = false;
    for (const auto& [key, value] : checkpoint) {
      if (key == "began") {
        began_ = true;
        continue;
      }
      Known known;
      if (!known.decode(value)) return Error{ErrorCode::corrupt, "checkpoint entry '" + key + "' is not readable here; was it written by a newer version?"};
      if (key.starts_with("was/")) {
        former_[key] = std::move(known);
        continue;
      }
      Id id;
      const size_t dash = key.find('-');
      if (!key.starts_with("file/") || dash == std::string::npos ||
          std::from_chars(key.data() + 5, key.data() + dash, id.device, 16).ec != std::errc() ||
          std::from_chars(key.data() + dash + 1, key.data() + key.size(), id.inode, 16).ec != std::errc())
        return Error{ErrorCode::corrupt, "checkpoint entry '" + key + "' is not readable here; was it written by a newer version?"};
      File& file = files_[id];
      file.known = std::move(known);
      // Open ones stay open: the file may have no name any more.
      if (const auto at = before.find(id); at != before.end()) file.open = std::move(at->second.open);
    }
    return {};
  }

  Result<DurationNs> poll(const FeedPoll& poll, const PieceSink& sink) override {
    const TimestampNs begin = poll.clock.now();
    notes_.clear();
    more_ = false;
    SLUICE_ASSIGN(std::vector<Found> found, look());
    const TimestampNs looked = poll.clock.now();
    for (auto& [id, file] : files_) file.is_here = false;
    for (const Found& f : found) files_[f.id].is_here = true;
    if (!began_) SLUICE_TRY(begin_anew(found, poll, sink));

    // What has gone is read out first: it is older than what came in its place.
    std::vector<Id> gone;
    for (auto& [id, file] : files_)
      if (!file.is_here && file.open) gone.push_back(id);
    for (const Id& id : gone) {
      if (poll.stopping()) return DurationNs{0};
      SLUICE_TRY(drain(id, poll, sink));
    }
    note_backlog(found);
    TimestampNs noted = looked;
    for (const Found& f : found) {
      if (poll.stopping()) return DurationNs{0};
      SLUICE_TRY(visit(f, poll, sink));
      if (const TimestampNs now = poll.clock.now(); now - noted > kSecond) {
        note_backlog(found);
        noted = now;
      }
    }
    note_backlog(found);
    SLUICE_TRY(forget(poll.clock.now(), sink));
    if (more_) return DurationNs{0};
    // A look that takes long is not worth taking all the time.
    return std::max(options_.period, 20 * (looked - begin));
  }

  FeedBacklog backlog() const override {
    std::lock_guard lock(mutex_);
    return backlog_;
  }

 private:
  struct File {
    Known known;
    bool is_known = false;        // false: nothing is durable yet, and there is no checkpoint
    bool is_here = false;         // in the last look
    bool is_done = false;         // dealt with: nothing to do until it changes
    bool is_at_end = false;       // no line is left to read; it may be finished later
    bool is_waiting = false;      // has bytes that can be read, as far as is known
    bool was_aside = false;       // and is tried again
    std::string reason;           // the first that is known of what of it could not be read; not kept over restarts
    Descriptor open;
    uint64_t size = 0;            // as at the last visit …
    TimestampNs mtime = 0;
    TimestampNs unchanged_since = 0;  // … and since when it is so
    TimestampNs grown_at = 0;
    std::string header;           // lines at header_at
    bool has_header = false;      // `header` is what known says
  };

  // --- the look ---
  Result<std::vector<Found>> look() {
    std::vector<Found> found;
    std::set<Id> seen;
    SLUICE_TRY(look_into(options_.path, "", 0, found, seen));
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return std::tie(a.mtime, a.relative) < std::tie(b.mtime, b.relative); });
    return found;
  }

  Status look_into(const std::string& directory, const std::string& prefix, int depth, std::vector<Found>& found, std::set<Id>& seen) {
    DIR* handle = ::opendir(directory.c_str());
    if (!handle) {
      const Error error = Error::from_errno("cannot read the directory " + directory, errno);
      if (depth == 0) return error;
      note(error.message);  // one below costs only itself
      return {};
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(handle, ::closedir);
    while (const dirent* entry = ::readdir(handle)) {
      const std::string name = entry->d_name;
      if (name.starts_with('.')) continue;  // ".", "..", and what others write under a hidden name until it is whole
      const std::string path = directory + "/" + name, relative = prefix + name;
      struct stat s {};
      if (::lstat(path.c_str(), &s) != 0) continue;  // gone meanwhile
      if (S_ISDIR(s.st_mode)) {
        if (options_.recursive && depth < kDepthMax && path != options_.move_to) SLUICE_TRY(look_into(path, relative + "/", depth + 1, found, seen));
        continue;
      }
      if (!matches(name, relative)) continue;
      if (S_ISLNK(s.st_mode)) {
        if (!may_follow(path)) {
          note(path + " is a link that leads out of the directory; follow_links = true reads what it leads to");
          continue;
        }
        if (::stat(path.c_str(), &s) != 0) continue;
      }
      if (!S_ISREG(s.st_mode)) continue;
      if (found.size() >= limits::kFeedFilesMax) {
        note("more than " + std::to_string(limits::kFeedFilesMax) + " files; those beyond wait until others are gone");
        return {};
      }
      const Id id{static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino)};
      if (!seen.insert(id).second) continue;  // a second name of the same file
      found.push_back({id, path, relative, static_cast<uint64_t>(s.st_size), mtime_of(s)});
    }
    return {};
  }

  // Whoever may put files into the directory is not thereby allowed to have any other of the server's read.
  bool may_follow(const std::string& link) const {
    if (options_.follow_links) return true;
    std::error_code code;
    const std::string root = std::filesystem::canonical(options_.path, code).string() + "/";
    if (code) return false;
    const std::string target = std::filesystem::canonical(link, code).string();
    return !code && target.starts_with(root);
  }

  bool matches(const std::string& name, const std::string& relative) const {
    const auto fits = [&](const std::string& pattern) {
      const bool with_path = pattern.find('/') != std::string::npos;
      return ::fnmatch(pattern.c_str(), with_path ? relative.c_str() : name.c_str(), with_path ? FNM_PATHNAME : 0) == 0;
    };
    if (std::any_of(options_.excludes.begin(), options_.excludes.end(), fits)) return false;
    return options_.globs.empty() || std::any_of(options_.globs.begin(), options_.globs.end(), fits);
  }

  // --- one file ---
  Status visit(const Found& f, const FeedPoll& poll, const PieceSink& sink) {
    File& file = files_[f.id];
    const TimestampNs now = poll.clock.now();
    const bool changed = f.size != file.size || f.mtime != file.mtime || file.unchanged_since == 0;
    if (changed) {
      file.size = f.size;
      file.mtime = f.mtime;
      file.unchanged_since = now;
      file.is_done = file.is_at_end = false;
      file.is_waiting = f.size > file.known.offset;
    }
    if (file.is_done || (file.is_at_end && !is_finish_due(file, now) && !is_telling_due(file, now))) return {};
    file.is_known = file.is_known || file.known.offset > 0 || file.known.head_bytes > 0;
    if (f.size == 0 && file.known.offset == 0) {
      file.is_waiting = false;
      return {};
    }
    if (!file.open || changed) {
      auto opened = open(f);
      if (!opened.ok()) {
        note(opened.error().message);  // no permission, or gone: the others go on
        return {};
      }
      if (!*opened) return {};  // another file has this name by now: at the next look
      file.open = std::move(*opened);
      // Is it still the content that is known by this inode?
      if (file.is_known) {
        SLUICE_ASSIGN(const bool same, holds(file.open.get(), file.known));
        const bool another_try = file.known.aside && f.size != file.known.offset;
        if (!same || another_try) SLUICE_TRY(begin_again(f.id, file, !same, now, sink));
      }
    }
    // What was followed before goes on so, whatever the configuration says by now.
    const bool grows = options_.shape.lines && (file.is_known ? !file.known.whole : options_.follow && !is_never_grown(file));
    return grows ? follow(f, file, poll, sink) : take_whole(f, file, poll, sink);
  }

  bool is_finish_due(const File& file, TimestampNs now) const {
    return options_.finish_after > 0 && now - std::max(file.unchanged_since, file.mtime) >= options_.finish_after;
  }
  // Its next line may be one that can be read, so a growing file gets some time.
  bool is_telling_due(const File& file, TimestampNs now) const {
    return file.known.is_unreadable() && !file.known.part_aside && !file.known.told && now - file.unchanged_since >= options_.settle;
  }

  // Names a file of which nothing could be read, as one that is no document at all is named.
  Status tell(const Found& f, File& file, const PieceSink& sink) {
    Known next = file.known;
    next.told = true;
    FeedPiece piece;
    piece.object = f.path;
    piece.time = file.mtime;
    piece.fault = file.known.is_unreadable() ? "none of its records can be read" + (file.reason.empty() ? std::string() : "; the first: " + file.reason)
                                             : "the server ended before it was known what became of its records; it may be removed by hand";
    piece.was_aside = file.was_aside;
    piece.checkpoint.emplace_back(file_key(f.id), next.encode());
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    file.known = std::move(next);
    return {};
  }

  // What was read of a file decides whether it may be removed, so that is durable too where it matters.
  Status note_result(const Id& id, const std::string& path, File& file, const PieceResult& result, const PieceSink& sink) {
    if (file.reason.empty()) file.reason = result.reason;
    if (!file.known.note(result) || (options_.after == After::keep && !file.known.must_stay())) return {};
    FeedPiece mark;
    mark.object = path;
    mark.checkpoint.emplace_back(file_key(id), file.known.encode());
    const auto marked = sink(std::move(mark));
    return marked.ok() ? Status() : Status(marked.error());
  }

  // The file, open, if `f` still is what has its name; an empty descriptor if not.
  static Result<Descriptor> open(const Found& f) {
    Descriptor fd(::open(f.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!fd) {
      if (errno == ENOENT) return Descriptor();
      return Error::from_errno("cannot open " + f.path, errno);
    }
    struct stat s {};
    if (::fstat(fd.get(), &s) != 0 || !S_ISREG(s.st_mode) || Id{static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino)} != f.id) return Descriptor();
    return fd;
  }

  // Compressed, or no text: nothing is appended to such a file, or no lines can be cut from it.
  static bool is_never_grown(const File& file) {
    const auto head = read_at(file.open.get(), 0, 4);
    return head.ok() && (detect_compression(*head, false) != Compression::none || is_binary(*head));
  }

  static std::string file_key(const Id& id) { return "file/" + to_string(id); }

  // The inode has other content than what is known by it. That stays known, because a copy of it may turn up.
  Status begin_again(const Id& id, File& file, bool keep, TimestampNs now, const PieceSink& sink) {
    FeedPiece piece;
    piece.object = file.known.path;
    piece.checkpoint.emplace_back(file_key(id), "");
    const std::string former = "was/" + to_string(id) + "-" + hex(file.known.head);
    Known was = file.known;
    was.seen = now;
    if (keep) piece.checkpoint.emplace_back(former, was.encode());
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    if (keep) former_[former] = std::move(was);
    file.was_aside = !keep && file.known.aside;
    file.reason.clear();
    file.known = Known{};
    file.is_known = false;
    file.header.clear();
    file.has_header = false;
    return {};
  }

  // --- content that is known elsewhere ---
  // Of all that is known, the content of which the file holds most. `size`: of the file (inflated). `prefix(n)`: its first n bytes.
  // Sets `is_part` when the file begins like a known content but is shorter: a copy that is still being made, or a part of it.
  struct Match {
    const Known* known = nullptr;
    bool is_part = false;
  };
  template <typename Prefix, typename Holds>
  Result<Match> known_elsewhere(const Id& id, uint64_t size, const Prefix& prefix, const Holds& holds_it) {
    std::map<uint64_t, uint64_t> heads;  // length -> hash, as asked for
    Match best;
    const auto look_at = [&](const Known& known) -> Status {
      if (known.offset == 0 || known.head_bytes == 0 || known.aside || known.head_bytes > size) return {};
      auto at = heads.find(known.head_bytes);
      if (at == heads.end()) {
        SLUICE_ASSIGN(const std::string bytes, prefix(static_cast<size_t>(known.head_bytes)));
        at = heads.emplace(known.head_bytes, bytes.size() == known.head_bytes ? hash_of(bytes) : 0).first;
      }
      if (at->second != known.head) return {};
      if (known.offset > size) {
        best.is_part |= known.head_bytes == kHeadBytes;
        return {};
      }
      if (best.known && best.known->offset >= known.offset) return {};
      SLUICE_ASSIGN(const bool same, holds_it(known));
      if (same) best.known = &known;
      return {};
    };
    for (const auto& [other, file] : files_)
      if (other != id && (file.known.offset > 0)) SLUICE_TRY(look_at(file.known));
    for (const auto& [key, known] : former_) SLUICE_TRY(look_at(known));
    return best;
  }

  // --- growing files ---
  Status load_header(File& file) {
    if (file.has_header) return {};
    file.header.clear();
    if (file.known.header_bytes > 0) {
      SLUICE_ASSIGN(const std::string lines, read_at(file.open.get(), file.known.header_at, static_cast<size_t>(file.known.header_bytes)));
      file.header = header_of(lines, file.known.header_at == 0);
    }
    file.has_header = true;
    return {};
  }

  std::string header_of(std::string_view lines, bool at_start) const {
    HeaderLines header(options_.shape);
    header.reset({}, at_start);
    header.see(lines);
    return header.text();
  }

  Status adopt(const Found& f, File& file, const Known& from, TimestampNs now, const PieceSink& sink) {
    Known next = from;
    next.path = f.path;
    next.seen = now;
    next.finished = false;
    FeedPiece piece;
    piece.object = f.path;
    piece.checkpoint.emplace_back(file_key(f.id), next.encode());
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    file.known = std::move(next);
    file.is_known = true;
    file.has_header = false;
    return {};
  }

  Status follow(const Found& f, File& file, const FeedPoll& poll, const PieceSink& sink) {
    const TimestampNs now = poll.clock.now();
    if (!file.is_known) {
      const int fd = file.open.get();
      SLUICE_ASSIGN(const Match match, known_elsewhere(
                                           f.id, f.size, [&](size_t n) { return read_at(fd, 0, n); }, [&](const Known& known) { return holds(fd, known); }));
      if (match.known && !match.known->whole) {
        const Known known = *match.known;
        SLUICE_TRY(adopt(f, file, known, now, sink));
      } else if (match.is_part || match.known) {
        if (now - file.unchanged_since < options_.settle) return {};  // a copy that is being made
        // It stays shorter than what is known: a part of that, with nothing new.
        file.is_done = true;
        file.is_waiting = false;
        file.open.reset();
        return {};
      }
    }
    SLUICE_TRY(read_on(f.path, f.id, file, poll, sink, file.is_at_end));
    if (!file.is_at_end) return {};
    if (is_finish_due(file, now)) {
      SLUICE_TRY(finish(f.path, f.id, file, poll, sink));
      return carry_out(f, file, sink);
    }
    return is_telling_due(file, now) ? tell(f, file, sink) : Status();
  }

  // Whole lines from the place reached; `is_at_end` once there are none.
  Status read_on(const std::string& path, const Id& id, File& file, const FeedPoll& poll, const PieceSink& sink, bool& is_at_end) {
    is_at_end = false;
    if (file.known.finished) {
      is_at_end = true;
      return {};
    }
    SLUICE_TRY(load_header(file));
    for (size_t part = 0; part < kPartsPerTurn; ++part) {
      if (poll.stopping()) return {};
      SLUICE_ASSIGN(std::string text, read_at(file.open.get(), file.known.offset, limits::kFeedPartBytes));
      size_t length = whole_lines(text);
      Known next = file.known;
      next.skipping = false;
      if (length == 0) {
        if (text.size() < limits::kFeedPartBytes) {
          is_at_end = true;
          file.is_waiting = false;
          return {};
        }
        length = text.size();  // a line beyond every bound: its decoder rejects it by its first part, the rest is passed by
        next.skipping = true;
      }
      text.resize(length);
      FeedPiece piece;
      if (file.known.skipping) {
        const size_t end = text.find('\n');
        text.erase(0, end == std::string::npos ? text.size() : end + 1);
      }
      SLUICE_TRY(bring(path, id, file, std::move(next), length, std::move(text), poll, sink));
    }
    more_ = true;
    return {};
  }

  // One piece, and with it the place behind it. `length`: of what it takes from the file.
  Status bring(const std::string& path, const Id& id, File& file, Known next, size_t length, std::string text, const FeedPoll& poll, const PieceSink& sink) {
    HeaderLines header(options_.shape);
    header.reset(file.header, file.known.offset == 0);
    const uint64_t text_at = file.known.offset + length - text.size();
    FeedPiece piece;
    piece.object = path;
    piece.offset = text_at;
    piece.compression = Compression::none;
    piece.header = file.header;
    piece.time = file.mtime;
    header.see(text);
    if (header.end() > 0) {  // where it stands in the file, so that it can be read again
      next.header_at = text_at + header.begin();
      next.header_bytes = header.end() - header.begin();
    }
    next.path = path;
    next.offset = file.known.offset + length;
    next.seen = poll.clock.now();
    SLUICE_ASSIGN(const bool is_there, take_prints(file.open.get(), next));
    if (!is_there) return {};  // cut off while it was read: the next look sees what it is now
    const bool is_empty = text.empty();
    next.unsure |= !is_empty && options_.after != After::keep && !next.recognized;
    piece.bytes = std::move(text);
    piece.was_aside = file.known.part_aside || file.known.told;
    piece.checkpoint.emplace_back(file_key(id), next.encode());
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    file.known = std::move(next);
    file.is_known = true;
    file.grown_at = poll.clock.now();
    file.header = header.text();
    file.has_header = true;
    return is_empty ? Status() : note_result(id, path, file, *taken, sink);
  }

  // The file is at its end: a last line without its end is a line.
  Status finish(const std::string& path, const Id& id, File& file, const FeedPoll& poll, const PieceSink& sink) {
    if (file.known.finished) return {};
    SLUICE_TRY(load_header(file));
    SLUICE_ASSIGN(std::string text, read_at(file.open.get(), file.known.offset, limits::kFeedPartBytes));
    if (whole_lines(text) > 0) return {};  // it has grown after all
    Known next = file.known;
    next.finished = true;
    next.skipping = false;
    const size_t length = text.size();
    if (file.known.skipping) text.clear();
    return bring(path, id, file, std::move(next), length, std::move(text), poll, sink);
  }

  // A file that is gone and still open.
  Status drain(const Id& id, const FeedPoll& poll, const PieceSink& sink) {
    File& file = files_[id];
    if (options_.follow && options_.shape.lines && !file.known.whole && file.is_known && !file.known.finished) {
      const std::string path = file.known.path;
      bool is_at_end = false;
      SLUICE_TRY(read_on(path, id, file, poll, sink, is_at_end));
      if (!is_at_end || poll.clock.now() - std::max(file.grown_at, file.unchanged_since) < kDrainedAfter) return {};
      SLUICE_TRY(finish(path, id, file, poll, sink));
    }
    file.open.reset();
    return {};
  }

  // --- files taken whole ---
  Status take_whole(const Found& f, File& file, const FeedPoll& poll, const PieceSink& sink) {
    const TimestampNs now = poll.clock.now();
    // One whose rows are durable is a duplicate by its key, so one that a kill left in doubt is simply taken again.
    if (file.is_known && file.known.whole && !(file.known.unsure && f.size == file.known.offset)) {
      if (f.size == file.known.offset || file.known.finished) {
        SLUICE_TRY(carry_out(f, file, sink));
      } else {
        // It has more now than when it was taken, and the format cannot be read from its middle.
        FeedPiece piece;
        piece.object = f.path;
        piece.fault = "has grown from " + std::to_string(file.known.offset) + " to " + std::to_string(f.size) +
                      " bytes after it was taken whole; what is new in it is not read (a longer 'settle' waits for such files)";
        Known next = file.known;
        next.finished = true;
        piece.checkpoint.emplace_back(file_key(f.id), next.encode());
        const auto taken = sink(std::move(piece));
        if (!taken.ok()) return taken.error();
        file.known = std::move(next);
      }
      file.is_done = true;
      file.is_waiting = false;
      file.open.reset();
      return {};
    }
    file.is_waiting = true;
    if (now - std::max(file.unchanged_since, std::min(file.mtime, now)) < options_.settle || now - file.unchanged_since < options_.settle) {
      file.open.reset();
      return {};
    }
    Known next;
    next.path = f.path;
    next.offset = f.size;
    next.whole = true;
    next.seen = now;
    FeedPiece piece;
    piece.object = f.path;
    piece.time = f.mtime;
    if (f.size > limits::kFeedObjectBytesMax) {
      piece.fault = "is larger than a file that is taken whole may be: " + std::to_string(f.size) + " of " + std::to_string(limits::kFeedObjectBytesMax) + " bytes; split it";
      SLUICE_ASSIGN(const bool is_there, take_prints(file.open.get(), next));
      if (!is_there) return {};
    } else {
      SLUICE_ASSIGN(piece.bytes, read_at(file.open.get(), 0, static_cast<size_t>(f.size)));
      SLUICE_ASSIGN(const bool is_there, take_prints(file.open.get(), next));
      struct stat s {};
      if (!is_there || ::fstat(file.open.get(), &s) != 0 || piece.bytes.size() != f.size || static_cast<uint64_t>(s.st_size) != f.size || mtime_of(s) != f.mtime) return {};
      SLUICE_TRY(pass_by_what_is_known(f, piece, next));
      // By content, so that parts of a large one that are durable already are not brought again under another name.
      piece.object_key = "content/" + hex(next.head) + "-" + hex(next.tail) + "-" + std::to_string(f.size);
    }
    if (piece.fault.empty() && piece.bytes.empty()) piece.object_key.clear();  // nothing new in it
    piece.was_aside = file.was_aside;
    const bool is_empty = piece.fault.empty() && piece.bytes.empty();
    next.unsure = options_.after != After::keep && !is_empty;
    piece.checkpoint.emplace_back(file_key(f.id), next.encode());
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    file.known = std::move(next);
    file.known.aside = taken->set_aside;  // known as such, so that another length is another try
    file.is_known = true;
    file.is_waiting = false;
    if (!is_empty) SLUICE_TRY(note_result(f.id, f.path, file, *taken, sink));
    SLUICE_TRY(carry_out(f, file, sink));
    file.is_done = true;
    file.open.reset();
    return {};
  }

  // A file whose content is known under another inode: the compressed or copied twin of a file that was read before.
  Status pass_by_what_is_known(const Found& f, FeedPiece& piece, Known& next) {
    const Compression compression = detect_compression(piece.bytes, false);
    const std::string_view bytes = piece.bytes;
    // One walk over the inflated bytes; what is damaged shows when it is decoded.
    const auto inflated = [&](uint64_t from, size_t count, uint64_t& total) -> std::string {
      std::string part;
      total = 0;
      bool enough = false;
      const InflateSink sink = [&](std::string_view text) -> Status {
        if (total + text.size() > from && part.size() < count) {
          const size_t skip = static_cast<size_t>(from > total ? from - total : 0);
          part.append(text.substr(skip, count - part.size()));
        }
        total += text.size();
        enough = part.size() >= count && count > 0 && total > limits::kFeedPartBytes && from == 0;
        return enough ? Status(Error{ErrorCode::cancelled, "enough"}) : Status();
      };
      (void)inflate(bytes, compression, sink, limits::kFeedInflatedBytesMax);
      return part;
    };
    uint64_t total = 0;
    const std::string head = inflated(0, kHeadBytes, total);
    const uint64_t at_least = total;
    SLUICE_ASSIGN(const Match match, known_elsewhere(
                                         f.id, head.size() < kHeadBytes ? at_least : UINT64_MAX,
                                         [&](size_t n) -> Result<std::string> { return head.substr(0, n); },
                                         [&](const Known& known) -> Result<bool> {
                                           const size_t tail = static_cast<size_t>(std::min<uint64_t>(kTailBytes, known.offset));
                                           uint64_t all = 0;
                                           const std::string part = inflated(known.offset - tail, tail, all);
                                           if (all < known.offset || hash_of(part) != known.tail) return false;
                                           return !known.whole || all == known.offset;
                                         }));
    if (!match.known) return {};
    // What is told of that one holds for this one.
    next.recognized = match.known->recognized;
    next.refused = match.known->refused;
    next.part_aside = match.known->part_aside;
    piece.skip = match.known->offset;
    if (match.known->header_bytes > 0)
      piece.header = header_of(inflated(match.known->header_at, static_cast<size_t>(match.known->header_bytes), total), match.known->header_at == 0);
    if (match.known->whole || !options_.shape.lines) {
      piece.bytes.clear();  // all of it
      piece.skip = 0;
      return {};
    }
    uint64_t all = 0;
    (void)inflated(1, 0, all);
    if (all == piece.skip) {
      piece.bytes.clear();
      piece.skip = 0;
    }
    return {};
  }

  // --- the end of a file ---
  Status carry_out(const Found& f, File& file, const PieceSink& sink) {
    file.is_done = true;
    if (file.known.must_stay()) {  // it is named with its reason, and there for whoever looks into that
      if (!file.known.aside && !file.known.part_aside && !file.known.told) SLUICE_TRY(tell(f, file, sink));
      return {};
    }
    if (options_.after == After::keep || !file.is_here) return {};
    struct stat s {};
    if (::lstat(f.path.c_str(), &s) != 0 || Id{static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino)} != f.id) return {};
    if (static_cast<uint64_t>(s.st_size) != file.known.offset) {  // it has grown: not at its end after all
      file.is_done = false;
      return {};
    }
    if (options_.after == After::remove) {
      if (::unlink(f.path.c_str()) != 0) note(Error::from_errno("cannot remove " + f.path, errno).message);
    } else {
      std::string target = options_.move_to + "/" + f.relative;
      std::error_code code;
      std::filesystem::create_directories(std::filesystem::path(target).parent_path(), code);
      for (int i = 1; ::access(target.c_str(), F_OK) == 0 && i < 1'000; ++i) target = options_.move_to + "/" + f.relative + "." + std::to_string(i);
      if (::rename(f.path.c_str(), target.c_str()) != 0) note(Error::from_errno("cannot move " + f.path + " to " + target, errno).message);
    }
    file.open.reset();
    return {};
  }

  // The very first look: everything there counts as read, if so configured.
  Status begin_anew(const std::vector<Found>& found, const FeedPoll& poll, const PieceSink& sink) {
    FeedPiece piece;
    piece.object = options_.path;
    std::vector<std::pair<Id, Known>> passed;
    if (options_.from_end) {
      for (const Found& f : found) {
        auto opened = open(f);
        if (!opened.ok() || !*opened || f.size == 0) continue;
        File probe;
        probe.open = std::move(*opened);
        Known known;
        known.path = f.path;
        known.offset = f.size;
        known.whole = !(options_.follow && options_.shape.lines) || is_never_grown(probe);
        known.seen = poll.clock.now();
        if (!known.whole) {
          // From the start of the line that is being written; its header is what stands in front, as far as that is near.
          const uint64_t back = std::min<uint64_t>(f.size, limits::kTextLineBytesMax);
          SLUICE_ASSIGN(const std::string end, read_at(probe.open.get(), f.size - back, static_cast<size_t>(back)));
          known.offset = f.size - back + whole_lines(end);
          SLUICE_ASSIGN(const std::string front, read_at(probe.open.get(), 0, static_cast<size_t>(std::min<uint64_t>(known.offset, limits::kFeedHeaderBytesMax))));
          HeaderLines header(options_.shape);
          const std::string_view lines = std::string_view(front).substr(0, whole_lines(front));
          header.see(lines);  // of those near the start; one that follows much later is not looked for
          known.header_at = header.begin();
          known.header_bytes = header.end() - header.begin();
        }
        SLUICE_ASSIGN(const bool is_there, take_prints(probe.open.get(), known));
        if (!is_there) continue;
        piece.checkpoint.emplace_back(file_key(f.id), known.encode());
        passed.emplace_back(f.id, std::move(known));
      }
    }
    piece.checkpoint.emplace_back("began", "1");
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    began_ = true;
    for (auto& [id, known] : passed) files_[id].known = std::move(known);
    return {};
  }

  // --- housekeeping ---
  Status forget(TimestampNs now, const PieceSink& sink) {
    FeedPiece piece;
    piece.object = options_.path;
    // Open files: the quiet ones are opened again when they grow.
    std::vector<std::pair<TimestampNs, Id>> open;
    for (const auto& [id, file] : files_)
      if (file.open && file.is_here) open.emplace_back(file.grown_at, id);
    if (open.size() > limits::kFeedOpenFilesMax) {
      std::sort(open.begin(), open.end());
      for (size_t i = 0; i + limits::kFeedOpenFilesMax < open.size(); ++i) files_[open[i].second].open.reset();
    }
    // What has gone is forgotten after the time in which a copy of it may turn up, or when there is too much of it.
    std::vector<std::pair<TimestampNs, std::string>> gone;
    std::map<std::string, Id> ids;
    for (const auto& [id, file] : files_)
      if (!file.is_here && !file.open) {
        gone.emplace_back(file.known.seen, file_key(id));
        ids[file_key(id)] = id;
      }
    for (const auto& [key, known] : former_) gone.emplace_back(known.seen, key);
    std::sort(gone.begin(), gone.end());
    size_t total = files_.size() + former_.size();
    for (const auto& [seen, key] : gone) {
      if (total <= limits::kFeedFilesMax && now - seen < limits::kObjectKeyAge) break;
      --total;
      piece.checkpoint.emplace_back(key, "");
    }
    if (piece.checkpoint.empty()) return {};
    const Checkpoint changes = piece.checkpoint;
    const auto taken = sink(std::move(piece));
    if (!taken.ok()) return taken.error();
    for (const auto& [key, value] : changes) {
      if (const auto id = ids.find(key); id != ids.end()) files_.erase(id->second);
      former_.erase(key);
    }
    return {};
  }

  void note(std::string text) {
    if (notes_.size() < 10) notes_.push_back(std::move(text));
  }

  void note_backlog(const std::vector<Found>& found) {
    FeedBacklog backlog;
    backlog.watched = found.size();
    for (const Found& f : found) {
      const auto at = files_.find(f.id);
      const File* file = at == files_.end() ? nullptr : &at->second;
      if (file && (file->is_done || file->known.offset >= f.size)) continue;
      backlog.bytes += f.size - (file && !file->known.whole ? file->known.offset : 0);
      if (file && file->is_known && !file->is_waiting && !file->known.whole) continue;  // a line that is being written
      if (f.size == 0) continue;
      ++backlog.objects;
      if (backlog.oldest == 0 || f.mtime < backlog.oldest) backlog.oldest = f.mtime;
    }
    for (const std::string& text : notes_) backlog.note += (backlog.note.empty() ? "" : "; ") + text;
    std::lock_guard lock(mutex_);
    backlog_ = std::move(backlog);
  }

  const Options options_;
  std::map<Id, File> files_;
  std::map<std::string, Known> former_;  // by checkpoint key
  bool began_ = false;
  bool more_ = false;
  std::vector<std::string> notes_;
  mutable std::mutex mutex_;
  FeedBacklog backlog_;
};

}  // namespace

Result<std::unique_ptr<Feed>> make_folder_feed(FeedSettings& settings) {
  Options o;
  o.shape = settings.shape;
  SLUICE_ASSIGN(o.path, settings.required("path"));
  while (o.path.size() > 1 && o.path.back() == '/') o.path.pop_back();
  SLUICE_ASSIGN(o.globs, settings.list("glob"));
  SLUICE_ASSIGN(o.excludes, settings.list("exclude"));
  SLUICE_ASSIGN(o.recursive, settings.flag("recursive", false));
  SLUICE_ASSIGN(o.follow, settings.flag("follow", true));
  SLUICE_ASSIGN(o.follow_links, settings.flag("follow_links", false));
  SLUICE_ASSIGN(o.period, settings.duration("period", kSecond, 10 * kMillisecond, kHour));
  SLUICE_ASSIGN(o.settle, settings.duration("settle", 10 * kSecond, 0, kDay));
  constexpr std::string_view kStarts[] = {"beginning", "end"};
  SLUICE_ASSIGN(const size_t start, settings.choice("start", kStarts, 0));
  o.from_end = start == 1;
  constexpr std::string_view kAfters[] = {"keep", "delete", "move"};
  SLUICE_ASSIGN(const size_t after, settings.choice("after", kAfters, 0));
  o.after = static_cast<After>(after);
  SLUICE_ASSIGN(o.move_to, settings.text("move_to"));
  while (o.move_to.size() > 1 && o.move_to.back() == '/') o.move_to.pop_back();
  if ((o.after == After::move) != !o.move_to.empty()) return settings.error_at("move_to", "goes together with after = \"move\"");
  if (o.move_to == o.path) return settings.error_at("move_to", "is the directory that is watched");
  SLUICE_ASSIGN(o.finish_after, settings.duration("finish_after", o.after == After::keep ? 0 : kFinishAfter, 0, 30 * kDay));
  if (o.finish_after == 0 && o.after != After::keep) return settings.error_at("finish_after", "says when a file is at its end, which after = \"delete\" and \"move\" need");
  return std::unique_ptr<Feed>(std::make_unique<FolderFeed>(std::move(o)));
}

}  // namespace sluice::ingest
