// Server-sent events out of text as it comes (WHATWG HTML, 9.2.6).
//
// Thread rule: as std::string. An event that is larger than limits::kEventBytes ends the reading: read() returns false from then on.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace sluice::client {

struct StreamEvent {
  std::string name;  // "message" where the server gives none
  std::string data;
  std::string id;    // the last one given, by this event or one before
};

class EventReader {
 public:
  explicit EventReader(size_t event_bytes_max);
  // Pieces in order, cut anywhere. `use` gets each event that a piece completes; false from it ends the reading of the piece.
  // False: an event is too large, or `use` said so.
  bool read(std::string_view piece, const std::function<bool(const StreamEvent&)>& use);

 private:
  bool line(const std::function<bool(const StreamEvent&)>& use);

  const size_t event_bytes_max_;
  std::string line_, name_, data_, id_;
  bool has_data_ = false, after_cr_ = false, at_start_ = true, failed_ = false;
};

}  // namespace sluice::client
