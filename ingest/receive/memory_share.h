// What one body may take of the memory that all bodies on their way share: everything that is made of it, be it text out of
// compression, copies or rows, is taken before it is there and given back when it has gone. A few packed kilobytes can ask for
// gigabytes; this is where they are refused.
//
// Thread rule: a share belongs to one thread. Errors of take: too_large (the body would not fit if it were alone), full (others hold
// the memory; try again later).
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "storage/model/result.h"

namespace sluice::ingest {

class MemoryShare {
 public:
  virtual ~MemoryShare() = default;
  virtual Status take(size_t bytes) = 0;
  // REQUIRES: as much was taken
  virtual void release(size_t bytes) = 0;
};

// What one value has taken of a share; given back at its end. Without a share, everything is granted.
class HeldMemory {
 public:
  explicit HeldMemory(MemoryShare* share) : share_(share) {}
  ~HeldMemory() { release(); }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;

  Status take(size_t bytes) {
    if (share_ == nullptr) return {};
    Status status = share_->take(bytes);
    if (status.ok()) bytes_ += bytes;
    return status;
  }
  void release(size_t bytes) {
    if (share_ == nullptr) return;
    share_->release(bytes);
    bytes_ -= bytes;
  }
  void release() { release(bytes_); }
  // Makes room in `text` for `more` bytes: half as much again as there is, or `least`. REQUIRES: nothing is held but for this text
  Status grow(std::string& text, size_t more, size_t least) {
    const size_t had = text.capacity();
    if (more <= had - text.size()) return {};
    const size_t wanted = std::max(had + had / 2, text.size() + std::max(more, least)), before = bytes_;
    SLUICE_TRY(take(wanted));  // both exist while the text is moved over
    text.reserve(wanted);
    release(before);
    return {};
  }
  MemoryShare* share() const { return share_; }

 private:
  MemoryShare* const share_;
  size_t bytes_ = 0;
};

}  // namespace sluice::ingest
