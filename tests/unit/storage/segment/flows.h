// Batches of made-up flows for tests of segments: from one seed, the same rows.
#pragma once

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "storage/model/batch.h"

namespace sluice::segment::testing {

using Random = std::mt19937_64;

inline uint64_t below(Random& random, uint64_t bound) { return random() % bound; }

// A file path that is gone when the test is.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-segment-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) std::abort();
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Two-sided traffic: clients ask servers, most answers follow as a row of their own. `nulls`: leave values out at random.
inline Batch flows(Random& random, size_t rows, bool nulls) {
  FlowBatchBuilder b;
  int64_t now = 1'790'000'000'000'000'000;
  constexpr uint16_t kServices[] = {53, 80, 443, 22, 123, 8080};
  while (b.rows() < rows) {
    now += static_cast<int64_t>(below(random, 3)) * kMillisecond;
    const bool v6 = below(random, 16) == 0;
    const IpAddress client = v6 ? IpAddress::from_halves(0x20010db800000000, below(random, 200)) : IpAddress::v4(0x0a000000 + static_cast<uint32_t>(below(random, 5'000)));
    const IpAddress server = v6 ? IpAddress::from_halves(0, below(random, 20)) : IpAddress::v4(0xc0a80000 + static_cast<uint32_t>(below(random, 50) * below(random, 50)));
    const auto client_port = static_cast<uint16_t>(32'768 + below(random, 28'000));
    const uint16_t service = kServices[below(random, 6)];
    const bool udp = service == 53 || service == 123;
    auto row = [&](bool reverse) {
      b.begin_row();
      auto keep = [&] { return !nulls || below(random, 10) != 0; };
      const int64_t duration = static_cast<int64_t>(below(random, 60'000)) * kMillisecond;
      b.set_time(ColumnId::flow_end, now);
      if (keep()) b.set_time(ColumnId::flow_start, now - duration);
      if (keep()) b.set_time(ColumnId::exported_at, now + static_cast<int64_t>(below(random, 15)) * kSecond);
      if (keep()) b.set_time(ColumnId::received_at, now + 15 * kSecond + static_cast<int64_t>(below(random, 1'000'000)));
      if (keep()) b.set_ip(ColumnId::src_ip, reverse ? server : client);
      if (keep()) b.set_ip(ColumnId::dst_ip, reverse ? client : server);
      if (keep()) b.set_uint(ColumnId::src_port, reverse ? service : client_port);
      if (keep()) b.set_uint(ColumnId::dst_port, reverse ? client_port : service);
      if (keep()) b.set_uint(ColumnId::protocol, udp ? 17 : 6);
      if (keep()) b.set_uint(ColumnId::raw_bytes, 40 + below(random, 1 + below(random, 100'000)));
      if (keep()) b.set_uint(ColumnId::raw_packets, 1 + below(random, 20));
      if (!udp) b.set_uint(ColumnId::tcp_flags, 0x1b);
      if (keep()) b.set_uint(ColumnId::input_if, reverse ? 2 : 1);
      if (keep()) b.set_uint(ColumnId::output_if, reverse ? 1 : 2);
      if (below(random, 4) == 0) b.set_string(ColumnId::rule_name, "rule-" + std::to_string(below(random, 30)));
      if (below(random, 3) == 0) b.set_string(ColumnId::flow_id, std::to_string(random()));
      if (keep()) b.set_string(ColumnId::src_instance_id, "i-" + std::to_string(below(random, 300)));
      if (keep()) b.set_string(ColumnId::dst_instance_id, "i-" + std::to_string(below(random, 300)));
      b.set_ip(ColumnId::exporter_ip, IpAddress::v4(0x7f000001));
      b.set_uint(ColumnId::src_mac, below(random, uint64_t{1} << 48));
      b.set_enum(ColumnId::action, below(random, 50) == 0 ? Action::reject : Action::accept);
    };
    row(false);
    if (b.rows() < rows && below(random, 4) != 0) row(true);
  }
  return b.finish();
}

// One row as text, all columns by name: rows of any order compare as sorted texts.
inline std::string row_text(const Batch& batch, size_t row) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < batch.columns.size(); ++i) {
    const Column& c = batch.columns[i];
    if (c.is_null(row)) continue;
    std::string text = (*batch.schema)[i].name + "=";
    switch (c.type()) {
      case PhysicalType::Ip: text += to_string(c.ip_at(row)); break;
      case PhysicalType::Str: text += c.string_at(row); break;
      case PhysicalType::F64: text += std::to_string(c.float_at(row)); break;
      default: text += std::to_string(c.uint_at(row));
    }
    parts.push_back(std::move(text));
  }
  std::sort(parts.begin(), parts.end());
  std::string all;
  for (const std::string& p : parts) all += p + " ";
  return all;
}

}  // namespace sluice::segment::testing
