// What writer and judge of the crash test agree on: an append's number decides its rows, its object key and its side write.
#pragma once

#include <cstdint>
#include <string>

#include "storage/store/store.h"

namespace sluice::crash {

inline constexpr TimestampNs kNow = 1'763'740'800'000'000'000;  // 2025-11-21T16:00:00Z
inline constexpr uint64_t kWriters = 3;
inline constexpr uint64_t kRowsPerNumber = 1'000;

// Numbers: writer in the high part, so that each writer's own are in order. `round` counts the processes.
inline uint64_t append_number(uint64_t round, uint64_t writer, uint64_t index) { return (round * kWriters + writer) * 1'000'000 + index; }
inline uint64_t row_count(uint64_t number) { return number % 7 == 3 ? 1 : 1 + number * 2654435761u % 60; }
// Rows of these are beyond retention from the start: they may go at any moment, but only as a whole.
inline bool expired(uint64_t number) { return number % 8 == 5; }
inline std::string object_key(uint64_t number) { return "object-" + std::to_string(number); }
inline std::string side_key(uint64_t number) { return "last-" + std::to_string(number / 1'000'000); }

inline Batch append_rows(uint64_t number) {
  FlowBatchBuilder b;
  for (uint64_t k = 0; k < row_count(number); ++k) {
    b.begin_row();
    // One append spreads over three partitions, unless it is to expire as a whole.
    const TimestampNs time = expired(number) ? kNow - 20 * kHour : kNow - static_cast<int64_t>(k % 3) * kHour - static_cast<int64_t>(number % 1'000) * kSecond;
    b.set_time(ColumnId::flow_end, time);
    b.set_uint(ColumnId::raw_packets, number * kRowsPerNumber + k);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + static_cast<uint32_t>(number % 500)));
    b.set_uint(ColumnId::raw_bytes, number * k % 65'537);
    if (k % 2) b.set_string(ColumnId::app, "app" + std::to_string(number % 9));
  }
  return b.finish();
}

inline store::StoreOptions store_options(const std::string& directory, bool sync) {
  store::StoreOptions o;
  o.directory = directory;
  o.seal_rows = 400;
  o.retain_age = 10 * kHour;
  o.sync = sync;
  return o;
}

}  // namespace sluice::crash
