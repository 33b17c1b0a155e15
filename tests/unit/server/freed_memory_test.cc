#include "server/freed_memory.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <thread>
#include <vector>

#include "server/limits.h"

namespace sluice::server {
namespace {

using Blocks = std::vector<std::unique_ptr<char[]>>;

constexpr size_t kBlockBytes = 256;

// Blocks of a thread's own, of which it leaves one of a hundred, so that nothing it frees lies at the end of its arena.
void make_and_free(size_t bytes, Blocks& left) {
  std::thread([&] {
    Blocks blocks(bytes / kBlockBytes);
    for (size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = std::make_unique<char[]>(kBlockBytes);
      blocks[i][0] = 1;
    }
    for (size_t i = 0; i < blocks.size(); i += 100) left.push_back(std::move(blocks[i]));
  }).join();
}

TEST(FreedMemory, GoesBackOnceItIsMuchAndIsThenNotLookedForAgain) {
  const size_t before = mallinfo2().uordblks;
  {
    Blocks left;
    make_and_free(16u << 20, left);
    if (mallinfo2().uordblks <= before) GTEST_SKIP() << "another allocator than glibc's";
  }
  // What tests before this one left: some of it goes back, and what does not is the floor.
  ::malloc_trim(0);
  FreedMemory freed;
  freed.look();
  Blocks little, much;
  make_and_free(limits::kFreedBytesKept / 4, little);
  EXPECT_FALSE(freed.look()) << "not worth it";
  make_and_free(4 * limits::kFreedBytesKept, much);
  const size_t kept = FreedMemory::kept_bytes();
  EXPECT_GT(kept, 3 * limits::kFreedBytesKept);
  EXPECT_TRUE(freed.look());
  EXPECT_LT(FreedMemory::kept_bytes(), kept - 3 * limits::kFreedBytesKept);
  EXPECT_FALSE(freed.look());
}

}  // namespace
}  // namespace sluice::server
