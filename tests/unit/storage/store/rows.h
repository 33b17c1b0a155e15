// Numbered flows for tests of the store: each row carries its number in raw_packets, so that a test can ask which rows are there.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "storage/store/store.h"

namespace sluice::store::testing {

struct Folder {
  std::string path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-store-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
  }
};

inline constexpr TimestampNs kStart = 1'763'740'800'000'000'000;  // 2025-11-21T16:00:00Z

// Rows number..number+count-1, one per `step` from `time`.
inline Batch rows(uint64_t number, uint64_t count, TimestampNs time = kStart, DurationNs step = kMillisecond) {
  FlowBatchBuilder b;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t n = number + i;
    b.begin_row();
    b.set_time(ColumnId::flow_end, time + static_cast<int64_t>(i) * step);
    b.set_time(ColumnId::flow_start, time + static_cast<int64_t>(i) * step - kSecond);
    b.set_uint(ColumnId::raw_packets, n);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + static_cast<uint32_t>(n * 2654435761u % 1000)));
    if (n % 5) b.set_ip(ColumnId::dst_ip, IpAddress::v4(0xc0a80000 + static_cast<uint32_t>(n % 50)));
    b.set_uint(ColumnId::dst_port, 1 + n % 1024);
    b.set_uint(ColumnId::raw_bytes, n * n % 100'000);
    if (n % 3 == 0) b.set_string(ColumnId::app, "app" + std::to_string(n % 7));
  }
  return b.finish();
}

// All row numbers of a snapshot, sorted. Each row's other columns are checked against its number.
inline std::vector<uint64_t> numbers(const Snapshot& s) {
  std::vector<uint64_t> out;
  auto take = [&](const Column& ids, const Column* bytes, const Column* app, const Column* dst) {
    for (size_t r = 0; r < ids.size(); ++r) {
      const uint64_t n = ids.uint_at(r);
      out.push_back(n);
      if (bytes) {
        EXPECT_EQ(bytes->uint_at(r), n * n % 100'000);
      }
      if (app) {
        EXPECT_EQ(app->is_null(r) ? "" : std::string(app->string_at(r)), n % 3 ? "" : "app" + std::to_string(n % 7));
      }
      if (dst && n % 5) {
        EXPECT_EQ(dst->ip_at(r), IpAddress::v4(0xc0a80000 + static_cast<uint32_t>(n % 50)));
      }
    }
  };
  for (const auto& b : s.open) {
    const auto column = [&](ColumnId id) { return b->find(id) ? &b->columns[*b->find(id)] : nullptr; };
    take(*column(ColumnId::raw_packets), column(ColumnId::raw_bytes), column(ColumnId::app), column(ColumnId::dst_ip));
  }
  for (const auto& segment : s.segments)
    for (uint32_t block = 0; block < segment->block_count(); ++block) {
      std::vector<Column> kept;
      kept.reserve(4);
      const auto column = [&](ColumnId id) -> const Column* {
        if (!segment->has(id)) return nullptr;
        auto c = segment->read(id, block, 0, segment->block_rows(block), nullptr);
        EXPECT_TRUE(c.ok()) << (c.ok() ? "" : c.error().message);
        if (!c.ok()) return nullptr;
        kept.push_back(std::move(c).value());
        return &kept.back();
      };
      const Column* ids = column(ColumnId::raw_packets);
      if (ids == nullptr) continue;
      const Column* bytes = column(ColumnId::raw_bytes);
      const Column* app = column(ColumnId::app);
      take(*ids, bytes, app, column(ColumnId::dst_ip));
    }
  std::sort(out.begin(), out.end());
  return out;
}

inline std::vector<uint64_t> range(uint64_t from, uint64_t to) {
  std::vector<uint64_t> out;
  for (uint64_t n = from; n < to; ++n) out.push_back(n);
  return out;
}

inline StoreOptions options_for(const Folder& folder) {
  StoreOptions o;
  o.directory = folder.path;
  o.sync = false;
  return o;
}

inline std::unique_ptr<Store> must_open(const StoreOptions& options, const Clock& clock) {
  auto r = Store::open(options, clock);
  EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().message);
  return r.ok() ? std::move(r).value() : nullptr;
}

inline AppendResult must_append(Store& store, const Batch& batch, const AppendOptions& options = {}) {
  auto r = store.append({&batch, 1}, options);
  EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().message);
  return r.ok() ? *r : AppendResult{};
}

inline size_t segment_files(const std::string& directory) {
  size_t n = 0;
  for (const auto& e : std::filesystem::recursive_directory_iterator(directory + "/segments")) n += e.is_regular_file();
  return n;
}

}  // namespace sluice::store::testing
