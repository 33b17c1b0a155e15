// Lines and blank-separated words of text sources, and what to do with bytes that are not text.
//
// Thread rule: functions share nothing. Nothing here allocates on the common path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <string>
#include <string_view>

namespace sluice::ingest {

// Walks the lines of a body: "\n" or "\r\n", the last line with or without an end. Views point into the body.
class LineReader {
 public:
  explicit LineReader(std::string_view body) : rest_(body) {}
  // False at the end of the body.
  bool next(std::string_view& line) {
    if (rest_.empty()) return false;
    const void* end = std::memchr(rest_.data(), '\n', rest_.size());
    const size_t length = end ? static_cast<size_t>(static_cast<const char*>(end) - rest_.data()) : rest_.size();
    line = rest_.substr(0, length);
    rest_.remove_prefix(end ? length + 1 : length);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number_;
    return true;
  }
  uint64_t number() const { return number_; }  // of the line returned last, from 1
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  uint64_t number_ = 0;
};

// Splits at runs of blanks (space or tab). Returns the number of words on the line, which may exceed words.size(); only
// the first words.size() are stored. `plain` tells whether every byte is printable ASCII, space or tab.
// `readable_end` is the end of the memory that may be read (the body's), at or behind the line's end: it lets the splitter
// read 16 bytes at a time.
size_t split_words(std::string_view line, const char* readable_end, std::span<std::string_view> words, bool& plain);

// For error messages: in quotes, at most 64 bytes, everything but printable ASCII as \xNN.
std::string quoted(std::string_view text);

// Strings that a batch needs until it is finished and that no body holds.
using TextArena = std::deque<std::string>;

// The text as a column may hold it: valid UTF-8 without control characters (each bad byte or sequence becomes U+FFFD), at
// most limits::kStringBytesMax bytes (`cut` is set where it was longer). Points at the text itself or into the arena.
std::string_view clean_text(std::string_view text, TextArena& arena, bool& cut);

// "%41%2f" → "A/". An escape that is not two hex digits stays as it is.
std::string percent_decoded(std::string_view text);

}  // namespace sluice::ingest
