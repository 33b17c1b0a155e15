// The lines of a text file that say what its other lines mean. A file that is sent in pieces has them repeated at the head of
// every piece after the first.
//
//   AWS:  the first line of the file, when it names fields (a record begins with its version number)
//   Zeek: the lines that begin with '#' and name separators, marks, the log and its fields; later ones replace earlier ones
//
// Thread rule: as std::string.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::client {

class HeaderLines {
 public:
  // Pieces of a file, in order, each ending at a line end (the last one perhaps not).
  void see(std::string_view piece);
  // The lines to repeat, each with its end; empty when there are none.
  std::string text() const;
  size_t lines() const { return kept_.size(); }

 private:
  enum class Kind { unknown, none, first_line, directives };
  Kind kind_ = Kind::unknown;
  std::vector<std::pair<std::string, std::string>> kept_;  // the directive's name, and its line; at most one of each
};

}  // namespace sluice::client
