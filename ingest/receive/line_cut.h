// Cuts text that comes in parts at line ends, and remembers the header lines that later parts need to be read by themselves.
//
// Thread rule: values; one thread at a time.
#pragma once

#include <string>
#include <string_view>

#include "ingest/receive/feed.h"

namespace sluice::ingest {

// The length of the whole lines that `text` begins with: up to and with its last '\n'. 0: no line ends in it.
size_t whole_lines(std::string_view text);

// Whether an object begins as Parquet: one of a format of lines may, and is then taken whole. Source: the Parquet format's documentation
// ("PAR1"; "PARE" with an encrypted footer).
bool is_parquet(std::string_view head);
// Whether it is no text, so that no lines can be cut from it: Parquet, or a control character that lines do not have among its first four
// bytes, as in protocol buffers.
bool is_binary(std::string_view head);

// The header that holds behind what has been seen. Header lines that follow one another are one header; one that comes after
// records replaces it, as where files were put one behind the other. A header beyond limits::kFeedHeaderBytesMax holds nothing.
class HeaderLines {
 public:
  explicit HeaderLines(const FeedFormat& format) : format_(format) {}

  // REQUIRES: text is whole lines (the last one's end may be missing).
  void see(std::string_view text);
  // As it stands at the moment, with line ends.
  const std::string& text() const { return text_; }
  // Where those lines lie, [begin, end), in all that was seen since reset(); 0, 0 where none was seen.
  uint64_t begin() const { return begin_; }
  uint64_t end() const { return end_; }
  // Begins anew behind a header that was kept, or at the start of an object.
  void reset(std::string header = {}, bool at_start = true);

 private:
  const FeedFormat format_;
  std::string text_;
  bool first_ = true;     // no line has been seen yet
  bool growing_ = false;  // the line before was a header line
  uint64_t at_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace sluice::ingest
