// The house rules, as a program: what ARCHITECTURE.md says of rooms and libraries, held against every #include, and a few
// rules about files. Reads the two fenced blocks ```layering and ```libraries, so there is one place that says who may
// know whom.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::tidy {

namespace fs = std::filesystem;

struct House {
  std::map<std::string, std::set<std::string>> rooms;      // room → rooms it may include; "everything"
  std::map<std::string, std::set<std::string>> libraries;  // header or prefix → folders and files that may include it
};

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "a b -> c d" lines of the fenced block with this name. A room that stands alone on its right side knows only "std".
inline std::map<std::string, std::set<std::string>> read_block(const std::string& page, const std::string& name) {
  std::map<std::string, std::set<std::string>> table;
  std::istringstream lines(page);
  std::string line;
  bool inside = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("```")) {
      inside = line == "```" + name;
      continue;
    }
    const size_t arrow = line.find("->");
    if (!inside || arrow == std::string::npos) continue;
    std::istringstream left(line.substr(0, arrow)), right(line.substr(arrow + 2));
    const std::set<std::string> allowed{std::istream_iterator<std::string>(right), {}};
    for (std::string room; left >> room;) table[room] = allowed;
  }
  return table;
}

inline House read_house(const fs::path& root) {
  const std::string page = read_file(root / "ARCHITECTURE.md");
  return {read_block(page, "layering"), read_block(page, "libraries")};
}

inline bool is_within(std::string_view path, std::string_view place) {
  return path == place || (path.starts_with(place) && path.size() > place.size() && path[place.size()] == '/');
}

// The longest room that the path lies in; "" for none.
inline std::string room_of(const House& house, std::string_view path) {
  std::string best;
  for (const auto& [room, allowed] : house.rooms)
    if (is_within(path, room) && room.size() > best.size()) best = room;
  return best;
}

// Of the C library, the system and the compiler: allowed everywhere.
inline bool is_system_header(std::string_view name) {
  if (name.find('.') == name.npos && name.find('/') == name.npos) return true;  // <vector>
  for (const std::string_view folder : {"sys/", "netinet/", "arpa/", "net/", "linux/", "asm/"})
    if (name.starts_with(folder)) return true;
  static const std::set<std::string_view> kNames = {
      "dirent.h",    "dlfcn.h",     "emmintrin.h", "endian.h",    "errno.h",   "fcntl.h",    "getopt.h",  "glob.h",    "immintrin.h",
      "ifaddrs.h",   "langinfo.h",  "locale.h",    "malloc.h",    "math.h",    "netdb.h",    "nmmintrin.h", "poll.h",  "pthread.h",
      "pwd.h",       "sched.h",     "semaphore.h", "signal.h",    "spawn.h",   "stddef.h",   "stdint.h",  "stdio.h",   "stdlib.h",
      "string.h",    "strings.h",   "termios.h",   "time.h",      "tmmintrin.h", "ucontext.h", "unistd.h", "wchar.h",  "cxxabi.h",
      "execinfo.h",  "smmintrin.h", "fnmatch.h",   "utime.h",     "wctype.h",  "limits.h",
  };
  return kNames.contains(name);
}

// Code without // comments and without the inside of /* */; good enough for looking for words.
inline std::string without_comments(const std::string& code) {
  std::string out;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i] == '"') {
      const size_t begin = i++;
      while (i < code.size() && code[i] != '"' && code[i] != '\n') i += code[i] == '\\' ? 2 : 1;
      out.append(code, begin, i - begin + 1);
    } else if (code.compare(i, 2, "//") == 0) {
      while (i < code.size() && code[i] != '\n') ++i;
      out += '\n';
    } else if (code.compare(i, 2, "/*") == 0) {
      i = std::min(code.find("*/", i + 2), code.size() - 1) + 1;
    } else {
      out += code[i];
    }
  }
  return out;
}

class Inspector {
 public:
  Inspector(fs::path root, House house) : root_(std::move(root)), house_(std::move(house)) {}

  // One line per breach: "path:line: what".
  std::vector<std::string> inspect() {
    if (house_.rooms.empty()) breach("ARCHITECTURE.md", 0, "has no ```layering block");
    if (house_.libraries.empty()) breach("ARCHITECTURE.md", 0, "has no ```libraries block");
    for (auto it = fs::recursive_directory_iterator(root_); it != fs::recursive_directory_iterator(); ++it) {
      const std::string path = fs::relative(it->path(), root_).generic_string(), name = it->path().filename().string();
      if (it->is_directory()) {
        // What builds, tools and running servers leave behind is not ours to judge; .gitignore names the same.
        static const std::set<std::string> kForeign = {"build", ".git", ".cache", "sluice-data", "node_modules", "__pycache__"};
        if (kForeign.contains(name)) {
          it.disable_recursion_pending();
          continue;
        }
        static const std::set<std::string> kNoRoom = {"common", "util", "utils", "utility", "utilities", "helper", "helpers", "misc", "shared"};
        if (kNoRoom.contains(name)) breach(path, 0, "a folder of this name says nothing of what belongs in it");
        continue;
      }
      if (!it->is_regular_file() || it->is_symlink() || name == ".git") continue;
      ++files_;
      inspect_file(path, it->path());
    }
    std::sort(breaches_.begin(), breaches_.end());
    return breaches_;
  }
  size_t files() const { return files_; }
  size_t includes() const { return includes_; }

 private:
  void breach(const std::string& path, size_t line, const std::string& what) {
    breaches_.push_back(path + ":" + std::to_string(line) + ": " + what);
  }

  void inspect_file(const std::string& path, const fs::path& file) {
    constexpr uintmax_t kBytesMax = 2u << 20;
    if (fs::file_size(file) > kBytesMax) {
      breach(path, 0, "is larger than 2 MiB");
      return;
    }
    const std::string text = read_file(file);
    const bool header = path.ends_with(".h"), code = header || path.ends_with(".cc");
    if (code) inspect_code(path, text, header);
    // Test inputs may hold any bytes and words.
    if (text.find('\0') == std::string::npos && !path.starts_with("tests/fuzz/corpus/")) inspect_words(path, text);
  }

  void inspect_code(const std::string& path, const std::string& text, bool header) {
    if (header && text.find("#pragma once\n") == std::string::npos) breach(path, 0, "has no #pragma once");
    if (text.empty() || text.back() != '\n') breach(path, 0, "does not end with a line end");
    if (text.find('\r') != std::string::npos) breach(path, 0, "has carriage returns");
    const std::string room = room_of(house_, path);
    if (room.empty()) breach(path, 0, "lies in no room of ARCHITECTURE.md");

    static const std::regex include(R"rx(^\s*#\s*include\s*([<"])([^>"]+)[>"])rx");
    std::istringstream lines(text);
    std::string line;
    std::smatch match;
    for (size_t number = 1; std::getline(lines, line); ++number) {
      if (line.find("include") == std::string::npos || !std::regex_search(line, match, include)) continue;
      ++includes_;
      inspect_include(path, room, number, match[1] == "<", match[2]);
    }

    // Sentence five: what only the server (and programs of their own) may do.
    static const std::set<std::string> kBelow = {"storage", "grammar", "ingest", "query"};
    if (!kBelow.contains(path.substr(0, path.find('/')))) return;
    const std::string plain = without_comments(text);
    for (const char* word : {"std::thread", "std::jthread", "std::async", "system_clock::now", "std::cout", "std::cerr", "std::clog"})
      if (const size_t at = find_word(plain, word); at != std::string::npos)
        breach(path, 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<long>(std::min(text.find(word), text.size())), '\n')),
               std::string(word) + " belongs to server/: below it there are no threads, no wall clock and no output of one's own");
  }

  // std::thread, but not std::thread::id or std::thread_local_thing.
  static size_t find_word(const std::string& text, std::string_view word) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      const char next = at + word.size() < text.size() ? text[at + word.size()] : ' ';
      if (!(std::isalnum(static_cast<unsigned char>(next)) || next == '_' || next == ':')) return at;
    }
    return std::string::npos;
  }

  void inspect_include(const std::string& path, const std::string& room, size_t line, bool angled, const std::string& name) {
    const bool anything = room == "tests" || room == "bench";
    // A library that has a row lives where the row says.
    bool has_row = false, in_place = false;
    for (const auto& [prefix, places] : house_.libraries) {
      if (!name.starts_with(prefix)) continue;
      has_row = true;
      for (const std::string& place : places) in_place |= is_within(path, place);
    }
    if (has_row) {
      if (!in_place && !anything) breach(path, line, "may not include the library header " + name);
      return;
    }
    if (angled) {
      if (!is_system_header(name)) breach(path, line, "includes <" + name + ">, which has no row among the libraries of ARCHITECTURE.md");
      return;
    }
    const std::string target = room_of(house_, name);
    // The grammar's generated parser exists in the build folder only.
    const bool generated = room == "grammar" && !fs::exists(root_ / name);
    if (generated) return;
    if (target.empty() || !fs::exists(root_ / name)) {
      breach(path, line, "includes \"" + name + "\", which is no file of ours written from the root");
      return;
    }
    if (target == room) return;
    if ((target == "tests" || target == "bench") && !anything) {
      breach(path, line, "nothing may include " + name);
      return;
    }
    const auto row = house_.rooms.find(room);
    if (row == house_.rooms.end()) return;  // reported for the file
    if (row->second.contains("everything") || row->second.contains(target)) return;
    breach(path, line, room + " may not know " + target + " (" + name + ")");
  }

  void inspect_words(const std::string& path, const std::string& text) {
    // In pieces, so that this file keeps its own rules.
    static const std::regex marker("\\b(TO" "DO|FIX" "ME|XX" "X|HA" "CK)\\b");
    // Folders of one machine: a build on another does not have them.
    static const std::regex place("(^|[\\s\"'`(=<:])/(wo" "rk|ho" "me|ro" "ot|Us" "ers|tmp/w" "t)/[A-Za-z0-9_.]");
    std::istringstream lines(text);
    std::string line;
    for (size_t number = 1; std::getline(lines, line); ++number) {
      // std::regex recurses per character: a very long line is data, not text.
      if (line.size() > 4096) continue;
      std::smatch match;
      if (std::regex_search(line, match, marker)) breach(path, number, "unfinished: " + match[1].str());
      if (std::regex_search(line, match, place)) breach(path, number, "names a folder of one machine");
    }
  }

  const fs::path root_;
  const House house_;
  std::vector<std::string> breaches_;
  size_t files_ = 0, includes_ = 0;
};

}  // namespace sluice::tidy
