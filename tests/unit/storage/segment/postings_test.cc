// Postings never miss a granule, and name no granule too many where a value has a list.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "storage/model/limits.h"
#include "storage/segment/postings.h"
#include "storage/segment/segment.h"
#include "tests/unit/storage/segment/flows.h"

namespace sluice::segment {
namespace {

using testing::below;
using testing::Random;

struct Written {
  testing::TemporaryFolder folder;
  std::shared_ptr<const Segment> segment;
};

void write(Written& w, std::span<const Batch> batches, bool postings = true) {
  const std::string path = w.folder.file("a.seg");
  auto info = write_segment(path, 1, 0, batches, {.postings = postings, .sync = false});
  ASSERT_TRUE(info.ok()) << info.error().message;
  auto opened = Segment::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  w.segment = std::move(opened).value();
}

// Granules of each value or code, from the column itself.
std::map<uint64_t, std::set<uint32_t>> granules_of(const Segment& segment, ColumnId id) {
  std::map<uint64_t, std::set<uint32_t>> found;
  for (uint32_t b = 0; b < segment.block_count(); ++b) {
    auto column = segment.read(id, b, 0, segment.block_rows(b), nullptr);
    EXPECT_TRUE(column.ok());
    for (uint32_t i = 0; i < column->size(); ++i)
      if (!column->is_null(i))
        found[column->is_coded() ? column->codes()[i] : column->uint_at(i)].insert((b * limits::kBlockRows + i) / kGranuleRows);
  }
  return found;
}

TEST(Postings, NameExactlyTheGranules) {
  for (const bool nulls : {false, true}) {
    Random random(nulls);
    const Batch batch = testing::flows(random, 150'000, nulls);
    Written w;
    write(w, {&batch, 1});
    const Segment& segment = *w.segment;
    size_t indexed = 0;
    for (const ColumnSpec& spec : flow_columns()) {
      if (!segment.has(spec.id)) continue;
      const bool expected = spec.index == IndexKind::address || spec.index == IndexKind::postings;
      const ValueRange none{1, 0};
      auto any = segment.candidates(spec.id, {&none, 1}, nullptr);
      ASSERT_TRUE(any.ok());
      ASSERT_EQ(any->has_value(), expected) << spec.name;
      if (!expected) continue;
      EXPECT_EQ((*any)->count(), 0u);
      ++indexed;
      const auto truth = granules_of(segment, spec.id);
      for (const auto& [value, granules] : truth) {
        const ValueRange range{value, value};
        ReadStats stats;
        auto found = segment.candidates(spec.id, {&range, 1}, &stats);
        ASSERT_TRUE(found.ok()) << found.error().message;
        ASSERT_EQ((*found)->size(), segment.granule_count());
        for (uint32_t g : granules) ASSERT_TRUE((*found)->get(g)) << spec.name << " misses " << value;
        // Ports beyond the limit may be anywhere; all else has a list.
        const bool listed = spec.type != LogicalType::port || value < 1'024;
        ASSERT_TRUE(!listed || (*found)->count() == granules.size()) << spec.name << " " << value;
        ASSERT_GT(stats.bytes_read, 0u);
      }
      // Values that do not occur.
      const uint64_t beyond = truth.rbegin()->first + 1;
      const ValueRange range{beyond, beyond};
      EXPECT_TRUE(spec.type == LogicalType::port || (*segment.candidates(spec.id, {&range, 1}, nullptr))->count() == 0);
      // Ranges.
      for (int k = 0; k < 50; ++k) {
        ValueRange ranges[2];
        std::set<uint32_t> wanted;
        for (ValueRange& r : ranges) {
          r.first = below(random, beyond + 10);
          r.last = r.first + below(random, k % 2 ? 5 : beyond);
          for (auto it = truth.lower_bound(r.first); it != truth.end() && it->first <= r.last; ++it) wanted.insert(it->second.begin(), it->second.end());
        }
        auto found = segment.candidates(spec.id, ranges, nullptr);
        ASSERT_TRUE(found.ok());
        for (uint32_t g : wanted) ASSERT_TRUE((*found)->get(g)) << spec.name;
      }
    }
    EXPECT_EQ(indexed, 7u);
  }
}

TEST(Postings, AreLeftOutWhenNotWanted) {
  Random random(3);
  const Batch batch = testing::flows(random, 5'000, false);
  Written w;
  write(w, {&batch, 1}, false);
  const ValueRange range{1, 1};
  auto found = w.segment->candidates(ColumnId::src_ip, {&range, 1}, nullptr);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
}

TEST(Postings, OfAnAbsentColumnNameNothing) {
  Random random(4);
  const Batch batch = testing::flows(random, 5'000, false);
  Written w;
  write(w, {&batch, 1});
  const ValueRange range{0, UINT64_MAX};
  auto found = w.segment->candidates(ColumnId::src_interface_id, {&range, 1}, nullptr);
  ASSERT_TRUE(found.ok());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->count(), 0u);
}

// The structure by itself: random lists against a map, limits, and values at every edge.
TEST(Postings, ListsOfRandomValues) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const uint32_t values = 1 + static_cast<uint32_t>(below(random, seed % 4 == 0 ? 3 : 40'000));
    const uint32_t granules = 1 + static_cast<uint32_t>(below(random, seed % 3 == 0 ? 2 : 3'000));
    const auto limit = seed % 2 ? UINT32_MAX : 1 + static_cast<uint32_t>(below(random, values));
    PostingsBuilder builder(values, granules);
    std::map<uint32_t, std::map<uint32_t, uint32_t>> truth;
    for (uint32_t g = 0; g < granules; ++g)
      for (uint64_t k = below(random, 60); k-- > 0;) {
        const auto value = static_cast<uint32_t>(below(random, 1 + below(random, values)));
        const uint32_t side = 1 + static_cast<uint32_t>(below(random, 2));
        builder.add(value, g, side);
        truth[value][g] |= side;
      }
    std::string chunk = "x";
    const uint32_t head = builder.write(limit, chunk);
    const codec::Bytes bytes(reinterpret_cast<const uint8_t*>(chunk.data()) + 1, chunk.size() - 1);
    ASSERT_TRUE(verify_postings(bytes, head, granules, true).ok());
    for (int k = 0; k < 300; ++k) {
      const uint64_t value = k == 0 ? 0 : k == 1 ? values - 1 : k == 2 ? values : k == 3 ? limit : below(random, values + 2);
      const uint32_t side = 1 + static_cast<uint32_t>(below(random, 3));
      Bitmap found(granules, false);
      const ValueRange range{value, value};
      const Status status = find_granules(bytes, head, {&range, 1}, side, true, found, nullptr);
      ASSERT_TRUE(status.ok()) << status.error().message;
      Bitmap wanted(granules, value >= limit);
      if (value < limit)
        for (const auto& [g, sides] : truth[static_cast<uint32_t>(value)])
          if (sides & side) wanted.set(g, true);
      ASSERT_EQ(found, wanted) << "seed " << seed << " value " << value;
    }
  }
}

}  // namespace
}  // namespace sluice::segment
