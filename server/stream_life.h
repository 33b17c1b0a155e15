// The ids of a stream's events: "LIFE-NUMBER-…". They tell a client that comes back where it was, but only within one life of the server:
// what was before is not here any more, and numbers begin anew.
//
// Thread rule: constant once made, any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

class StreamLife {
 public:
  StreamLife();
  std::string id(std::initializer_list<uint64_t> numbers) const;
  // The numbers of an id; nullopt: not one of this life with so many. They come from outside: any number may be there.
  std::optional<std::vector<uint64_t>> read(std::string_view id, size_t count) const;

 private:
  std::string name_;
};

}  // namespace sluice::server
