#include "ingest/receive/limits.h"
#include "ingest/receive/line_cut.h"

#include <algorithm>
#include <cstring>

namespace sluice::ingest {

size_t whole_lines(std::string_view text) {
  const size_t end = text.rfind('\n');
  return end == std::string_view::npos ? 0 : end + 1;
}

bool is_parquet(std::string_view head) { return head.starts_with("PAR1") || head.starts_with("PARE"); }

bool is_binary(std::string_view head) {
  if (is_parquet(head)) return true;
  head = head.substr(0, 4);
  return std::any_of(head.begin(), head.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r'; });
}

void HeaderLines::reset(std::string header, bool at_start) {
  text_ = std::move(header);
  first_ = at_start;
  growing_ = false;
  at_ = begin_ = end_ = 0;
}

void HeaderLines::see(std::string_view text) {
  if (!format_.is_header) return;
  while (!text.empty()) {
    const void* end = std::memchr(text.data(), '\n', text.size());
    const size_t length = end ? static_cast<size_t>(static_cast<const char*>(end) - text.data()) : text.size();
    std::string_view line = text.substr(0, length);
    text.remove_prefix(end ? length + 1 : length);
    const uint64_t line_at = at_;
    at_ += end ? length + 1 : length;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (first_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    if (line.empty()) continue;
    const bool header = line.size() <= limits::kTextLineBytesMax && format_.is_header(line, first_);
    first_ = false;
    if (header) {
      if (!growing_) {
        text_.clear();
        begin_ = line_at;
      }
      if (text_.size() + line.size() < limits::kFeedHeaderBytesMax && at_ - begin_ <= limits::kFeedHeaderBytesMax) {
        text_.append(line).push_back('\n');
        end_ = at_;
      }
    }
    growing_ = header;
  }
}

}  // namespace sluice::ingest
