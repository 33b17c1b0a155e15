// Vectors for tables that are read at random: large ones ask for huge pages, because at tens of megabytes most of a
// look-up's time is the walk to its page, and most of a growth's time is faulting pages in.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <vector>

namespace sluice::query {

template <typename T>
struct HugeAllocator {
  using value_type = T;
  HugeAllocator() = default;
  template <typename U>
  HugeAllocator(const HugeAllocator<U>&) {}  // NOLINT: implicit as allocators are

  static constexpr size_t kHugePage = size_t{2} << 20;

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    // Below some pages rounding up would waste more than it saves.
    if (bytes < 4 * kHugePage) return static_cast<T*>(::operator new(bytes));
    const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* const p = std::aligned_alloc(kHugePage, rounded);
    if (!p) throw std::bad_alloc();
    (void)::madvise(p, rounded, MADV_HUGEPAGE);  // only a hint: without it the table is slower
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t count) {
    if (count * sizeof(T) < 4 * kHugePage)
      ::operator delete(p);
    else
      std::free(p);
  }
  bool operator==(const HugeAllocator&) const { return true; }
};

template <typename T>
using HugeVector = std::vector<T, HugeAllocator<T>>;

}  // namespace sluice::query
