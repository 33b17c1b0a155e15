#include "server/freed_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "server/limits.h"

namespace sluice::server {

void keep_freed_blocks() {
  // Columns of a batch are blocks of up to a megabyte that live for seconds. glibc would give each back to the kernel and fetch
  // it anew, page by page, which costs more than decoding into it.
  // A segment in the making has a few that are larger still, of eight bytes for each of a million rows.
  mallopt(M_MMAP_THRESHOLD, 20 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
  // An arena's heaps, of 64 MiB, are unmapped one by one as they become empty, whatever the threshold above says, unless the one
  // below would be left with less room than this: sealed rows free whole heaps, and the next rows had each page fetched anew.
  mallopt(M_TOP_PAD, 64 << 20);
  // Two for each core, as no more threads than cores run at once. glibc's eight keep many times as much: the end of an arena, up to
  // 64 MiB of it, is what malloc_trim does not give back.
  mallopt(M_ARENA_MAX, static_cast<int>(std::clamp(2 * std::thread::hardware_concurrency(), 4u, 512u)));
}

size_t FreedMemory::kept_bytes() {
  unsigned long size = 0, resident = 0, of_files = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const int read = std::fscanf(file, "%lu %lu %lu", &size, &resident, &of_files);
  std::fclose(file);
  if (read != 3 || resident < of_files) return 0;
  const size_t own = (resident - of_files) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const struct mallinfo2 allocator = ::mallinfo2();
  const size_t used = allocator.uordblks + allocator.hblkhd;
  return own > used ? own - used : 0;
}

bool FreedMemory::look() {
  const size_t kept = kept_bytes();
  floor_ = std::min(floor_, kept);
  if (kept - floor_ <= limits::kFreedBytesKept) return false;
  ::malloc_trim(0);
  floor_ = kept_bytes();
  return true;
}

}  // namespace sluice::server
