// FreedMemory: gives memory that was freed back to the system once there is much of it.
//
// glibc keeps what is freed in the arena (a heap for a few threads) it came from, and gives back what lies at an arena's end only. Large
// questions build and free hundreds of megabytes of small blocks on every thread, sealed rows as many; in between the process would stay
// as large as it ever was. How much is kept is measured and not guessed at from what the server did: resident pages that belong to
// no file, less what the allocator knows to be in use.
//
// Thread rule: one thread looks; the allocator's own locks keep the others apart.
#pragma once

#include <cstddef>

namespace sluice::server {

// Sets the process's allocator up for a server. To be called before there are threads.
void keep_freed_blocks();

class FreedMemory {
 public:
  // Gives back if more than limits::kFreedBytesKept came together since the last time; whether it did. Takes milliseconds.
  bool look();
  // Bytes that are resident, but neither in use nor of a file; stacks are among them.
  static size_t kept_bytes();

 private:
  size_t floor_ = 0;  // what cannot be given back: pages that something in use shares
};

}  // namespace sluice::server
