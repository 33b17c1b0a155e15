#include "server/flow_tail.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/alert_changes.h"
#include "storage/model/flow_schema.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;

std::shared_ptr<const Batch> flows(size_t count) {
  FlowBatchBuilder b;
  for (size_t i = 0; i < count; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, static_cast<int64_t>(i));
  }
  return std::make_shared<const Batch>(b.finish());
}

void append(FlowTail& tail, uint64_t number, const std::shared_ptr<const Batch>& batch) { tail.arrived(number, std::span(&batch, 1)); }

uint64_t rows_of(const FlowTail::Taken& taken) {
  uint64_t rows = 0;
  for (const auto& b : taken.batches) rows += b->rows;
  return rows;
}

TEST(FlowTail, EachTakesWhatLiesBehindItsPlace) {
  FlowTail tail;
  append(tail, 1, flows(5));
  const auto late = tail.newest();
  EXPECT_EQ(late, (FlowTail::Place{1, 5}));
  EXPECT_TRUE(tail.take(late, milliseconds(0))->batches.empty());
  append(tail, 2, flows(3));
  append(tail, 3, flows(4));
  for (const auto& [place, rows] : {std::pair{FlowTail::Place{}, 12u}, {late, 7u}, {FlowTail::Place{2, 8}, 4u}}) {
    const auto taken = tail.take(place, milliseconds(0));
    EXPECT_EQ(rows_of(*taken), rows);
    EXPECT_EQ(taken->missed, 0u);
    EXPECT_EQ(taken->next, (FlowTail::Place{3, 12}));
  }
}

TEST(FlowTail, AtTheBoundTheOldestGoAndAreCounted) {
  const auto batch = flows(100);
  const size_t bytes = batch->byte_size();
  FlowTail tail(3 * bytes);
  for (uint64_t n = 1; n <= 3; ++n) append(tail, n, batch);
  auto all = tail.take({}, milliseconds(0));
  EXPECT_EQ(rows_of(*all), 300u);  // at the bound
  EXPECT_EQ(all->missed, 0u);
  append(tail, 4, batch);  // one past it
  all = tail.take({}, milliseconds(0));
  EXPECT_EQ(rows_of(*all), 300u);
  EXPECT_EQ(all->missed, 100u);
  EXPECT_EQ(tail.take({1, 100}, milliseconds(0))->missed, 0u);
}

TEST(FlowTail, WhatIsLargerThanTheBoundIsMissed) {
  const auto small = flows(10), large = flows(10'000);
  FlowTail tail(large->byte_size() - 1);
  append(tail, 1, small);
  append(tail, 2, large);
  auto taken = tail.take({1, 10}, milliseconds(0));
  EXPECT_TRUE(taken->batches.empty());
  EXPECT_EQ(taken->missed, 10'000u);
  EXPECT_EQ(taken->next, (FlowTail::Place{2, 10'010}));
  append(tail, 3, small);
  taken = tail.take({1, 10}, milliseconds(0));
  EXPECT_EQ(rows_of(*taken), 10u);
  EXPECT_EQ(taken->missed, 10'000u);
}

TEST(FlowTail, PlacesAreTextOfThisLife) {
  FlowTail tail, other;
  append(tail, 1, flows(7));
  append(other, 1, flows(7));
  const std::string text = tail.text_of(tail.newest());
  EXPECT_EQ(*tail.read_place(text), tail.newest());
  EXPECT_FALSE(other.read_place(text));
  const std::string life = text.substr(0, text.find('-'));
  for (const std::string bad : {"", "-", "x", "1-7"}) EXPECT_FALSE(tail.read_place(bad)) << bad;
  for (const std::string bad : {"", "-", "--", "-1", "-1-", "-1-7-", "-1-7-0", "-2-7", "-1-8", "-a-7", "-+1-7", "-1-99999999999999999999", "-1-7 ", "x-1-7"})
    EXPECT_FALSE(tail.read_place(life + bad)) << bad;
  EXPECT_TRUE(tail.read_place(life + "-0-0"));
}

TEST(FlowTail, WakesThoseWhoWait) {
  FlowTail tail;
  std::atomic<uint64_t> seen{0};
  std::atomic<bool> over{false};
  std::thread reader([&] {
    FlowTail::Place place;
    while (auto taken = tail.take(place, milliseconds(10'000))) {
      seen += rows_of(*taken);
      EXPECT_EQ(taken->missed, 0u);
      place = taken->next;
    }
    EXPECT_FALSE(tail.pause(milliseconds(10'000)));
    over = true;
  });
  for (uint64_t n = 1; n <= 200; ++n) append(tail, n, flows(3));
  while (seen.load() < 600) std::this_thread::yield();
  tail.stop();
  reader.join();
  EXPECT_TRUE(over.load());
  EXPECT_EQ(seen.load(), 600u);
  EXPECT_TRUE(tail.is_stopping());
}

TEST(AlertChanges, TellsInOrderAndCountsWhatIsGone) {
  using query::continuous::EpisodeChange;
  AlertChanges changes;
  query::continuous::Episode alert;
  for (uint64_t n = 1; n <= limits::kAlertChangesMax; ++n) {
    alert.id = std::to_string(n);
    changes.tell(EpisodeChange::started, alert);
  }
  auto taken = changes.take(0, milliseconds(0));
  EXPECT_EQ(taken->changes.size(), limits::kAlertChangesMax);
  EXPECT_EQ(taken->missed, 0u);
  changes.tell(EpisodeChange::ended, alert);
  taken = changes.take(0, milliseconds(0));
  EXPECT_EQ(taken->changes.size(), limits::kAlertChangesMax);
  EXPECT_EQ(taken->missed, 1u);
  EXPECT_EQ(taken->changes.front().alert.id, "2");
  EXPECT_EQ(taken->changes.back().kind, EpisodeChange::ended);
  EXPECT_EQ(taken->next, changes.newest());
  taken = changes.take(limits::kAlertChangesMax, milliseconds(0));
  EXPECT_EQ(taken->changes.size(), 1u);
  EXPECT_TRUE(changes.take(changes.newest(), milliseconds(0))->changes.empty());
  EXPECT_EQ(*changes.read_place(changes.text_of(5)), 5u);
  EXPECT_FALSE(changes.read_place(changes.text_of(changes.newest() + 1)));
  EXPECT_FALSE(AlertChanges().read_place(changes.text_of(0)));
  changes.stop();
  EXPECT_FALSE(changes.take(0, milliseconds(0)));
}

}  // namespace
}  // namespace sluice::server
