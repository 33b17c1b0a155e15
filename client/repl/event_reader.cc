#include "client/repl/event_reader.h"

#include <algorithm>

namespace sluice::client {

EventReader::EventReader(size_t event_bytes_max) : event_bytes_max_(event_bytes_max) {}

bool EventReader::line(const std::function<bool(const StreamEvent&)>& use) {
  std::string_view text = line_;
  if (at_start_ && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  at_start_ = false;
  bool go_on = true;
  if (text.empty()) {
    if (has_data_) go_on = use({name_.empty() ? "message" : name_, data_, id_});
    name_.clear();
    data_.clear();
    has_data_ = false;
  } else if (text[0] != ':') {
    const size_t colon = std::min(text.size(), text.find(':'));
    const std::string_view field = text.substr(0, colon);
    std::string_view value = colon < text.size() ? text.substr(colon + 1) : std::string_view{};
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "event") {
      name_ = value;
    } else if (field == "data") {
      if (has_data_) data_ += '\n';
      data_ += value;
      has_data_ = true;
    } else if (field == "id" && value.find('\0') == std::string_view::npos) {
      id_ = value;
    }
  }
  line_.clear();
  return go_on;
}

bool EventReader::read(std::string_view piece, const std::function<bool(const StreamEvent&)>& use) {
  while (!piece.empty() && !failed_) {
    // A CR ends a line at once; an LF behind it belongs to it.
    if (after_cr_ && piece.front() == '\n') piece.remove_prefix(1);
    after_cr_ = false;
    const size_t end = piece.find_first_of("\r\n");
    line_.append(piece.substr(0, end));
    if (line_.size() + data_.size() > event_bytes_max_) {
      failed_ = true;
      break;
    }
    if (end == std::string_view::npos) break;
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    if (!line(use)) return false;
  }
  return !failed_;
}

}  // namespace sluice::client
