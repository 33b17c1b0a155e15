#include "storage/segment/row_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

namespace sluice::segment {
namespace {

using Random = std::mt19937_64;

TEST(OrderByTime, IsThatOfAStableSort) {
  struct Times {
    const char* name;
    std::function<int64_t(Random&, size_t)> time;
  };
  constexpr int64_t kNow = 1'790'000'000'000'000'000;
  const std::vector<Times> all = {
      {"as they come", [](Random&, size_t i) { return kNow + static_cast<int64_t>(i); }},
      {"all the same", [](Random&, size_t) { return kNow; }},
      {"milliseconds", [](Random& r, size_t) { return kNow + static_cast<int64_t>(r() % 3'600'000) * 1'000'000; }},
      {"milliseconds of a router whose clock is off by a fraction", [](Random& r, size_t) { return kNow + 7 + static_cast<int64_t>(r() % 1'000) * 1'000'000; }},
      {"milliseconds but for one", [](Random& r, size_t i) { return kNow + static_cast<int64_t>(r() % 1'000) * 1'000'000 + (i == 100); }},
      {"nanoseconds of an hour", [](Random& r, size_t) { return kNow + static_cast<int64_t>(r() % 3'600'000'000'000); }},
      {"before and after 1970", [](Random& r, size_t) { return static_cast<int64_t>(r() % 2'000'000) - 1'000'000; }},
      {"any", [](Random& r, size_t) { return static_cast<int64_t>(r()); }},
      {"both ends", [](Random& r, size_t) { return r() % 2 ? INT64_MIN : INT64_MAX; }},
  };
  Random random(1);
  for (const Times& times : all)
    for (const size_t rows : {1, 2, 1'000, 70'000}) {
      std::vector<uint64_t> flow_end(rows);
      for (size_t i = 0; i < rows; ++i) flow_end[i] = static_cast<uint64_t>(times.time(random, i));
      std::vector<uint32_t> wanted(rows);
      std::iota(wanted.begin(), wanted.end(), 0);
      std::ranges::stable_sort(wanted, {}, [&](uint32_t row) { return static_cast<int64_t>(flow_end[row]); });
      EXPECT_EQ(order_by_time(flow_end), wanted) << times.name << ", rows " << rows;
    }
}

}  // namespace
}  // namespace sluice::segment
