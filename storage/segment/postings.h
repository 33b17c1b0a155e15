// Postings: for each value (or dictionary code) of a column or of a pair of columns, the granules where it occurs and on
// which side. Internal to this room.
//
// Chunk: PostingsHead; u32 before[], the items that come before each 1,024th value, and the total; StreamEntry[] of the
// counts, the items and the sides; then the streams (codec/integer_codec.h). Counts: items per value. Items: granules,
// ascending within a value. Sides: per item, 1: in the first column, 2: in the second, 3: in both. A lookup reads the head
// (checked once) and the streams that it needs (checked every time, so that little is read).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/codec/byte_io.h"
#include "storage/segment/segment.h"

namespace sluice::segment {

struct PostingsHead {
  uint32_t values;    // lists: values 0..values-1
  uint32_t items;     // of all lists
  uint32_t limit;     // values from here on have no list, and may be anywhere
  uint32_t granules;
};
static_assert(sizeof(PostingsHead) == 16);

//   (add* write)
class PostingsBuilder {
 public:
  // `values`: one more than the largest value that will be added.
  PostingsBuilder(uint32_t values, uint32_t granules);
  // Granules must ascend. `side` is 1 or 2.
  void add(uint32_t value, uint32_t granule, uint32_t side) {
    uint64_t& last = last_[value];
    if ((last >> 32) == granule + 1) {
      items_[static_cast<uint32_t>(last)].sides |= static_cast<uint8_t>(side);
      return;
    }
    last = uint64_t{granule + 1} << 32 | items_.size();
    items_.push_back({value, static_cast<uint16_t>(granule), static_cast<uint8_t>(side)});
  }
  // The largest limit of those offered whose items are at most `items_max`; 0: none is.
  uint32_t limit_within(std::span<const uint32_t> limits, size_t items_max) const;
  size_t items() const { return items_.size(); }
  // Appends the chunk with the lists of values below `limit`, and returns the length of its head.
  uint32_t write(uint32_t limit, std::string& out) const;

 private:
  struct Item {
    uint32_t value;
    uint16_t granule;
    uint8_t sides;
  };
  uint32_t granules_;
  std::vector<uint64_t> last_;  // per value: granule + 1 of its last item, and the item's place
  std::vector<Item> items_;
};

// Sets bits of `found` for granules that may hold a value of `ranges` on a side of `sides`.
// REQUIRES: found.size() is the segment's granule count; the head's checksum was checked. Errors: corrupt.
Status find_granules(codec::Bytes chunk, uint32_t head_bytes, std::span<const ValueRange> ranges, uint32_t sides, bool verify, Bitmap& found,
                     ReadStats* stats);

// Reads every list. Errors: corrupt.
Status verify_postings(codec::Bytes chunk, uint32_t head_bytes, uint32_t granules, bool verify);

}  // namespace sluice::segment
