// Plain twins of the column-at-a-time decoder: the fixed formats read by hand, field by field; and packets that share a
// builder against packets that each have their own.

#include <gtest/gtest.h>

#include <random>

#include "storage/model/limits.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using namespace testing;

using Random = std::mt19937_64;
uint64_t below(Random& random, uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); }

// --- fixed formats ---

struct FixedRecord {
  uint32_t src, dst, hop, packets, octets, first, last;
  uint16_t input, output, src_port, dst_port, src_as, dst_as;
  uint8_t flags, protocol, tos, src_mask, dst_mask;
};

FixedRecord any_record(Random& r, uint32_t uptime) {
  FixedRecord f{};
  f.src = static_cast<uint32_t>(r());
  f.dst = static_cast<uint32_t>(r());
  f.hop = below(r, 3) == 0 ? 0 : static_cast<uint32_t>(r());
  f.packets = static_cast<uint32_t>(r());
  f.octets = static_cast<uint32_t>(r());
  // Mostly sane; sometimes nonsense: ends before starts, times ahead, wraps.
  f.last = uptime - static_cast<uint32_t>(below(r, 60'000));
  f.first = f.last - static_cast<uint32_t>(below(r, 60'000));
  if (below(r, 40) == 0) std::swap(f.first, f.last);
  if (below(r, 40) == 0) f.last = static_cast<uint32_t>(r());
  f.input = static_cast<uint16_t>(r());
  f.output = static_cast<uint16_t>(r());
  f.src_port = static_cast<uint16_t>(r());
  f.dst_port = static_cast<uint16_t>(r());
  f.src_as = static_cast<uint16_t>(r());
  f.dst_as = static_cast<uint16_t>(r());
  f.flags = static_cast<uint8_t>(r());
  f.protocol = below(r, 8) == 0 ? 1 : static_cast<uint8_t>(r());
  f.tos = static_cast<uint8_t>(r());
  f.src_mask = static_cast<uint8_t>(r());
  f.dst_mask = static_cast<uint8_t>(r());
  return f;
}

struct FixedPacket {
  uint16_t version;
  uint32_t uptime, seconds, nanoseconds;
  uint16_t engine, sampling;
  std::vector<FixedRecord> records;

  std::vector<uint8_t> bytes() const {
    Wire w;
    w.u16(version).u16(records.size()).u32(uptime).u32(seconds).u32(nanoseconds);
    if (version == 5) w.u32(0).u16(engine).u16(sampling);
    if (version == 7) w.u32(0).u32(0);
    for (const FixedRecord& f : records) {
      w.u32(f.src).u32(f.dst).u32(f.hop).u16(f.input).u16(f.output).u32(f.packets).u32(f.octets).u32(f.first).u32(f.last).u16(f.src_port).u16(f.dst_port);
      if (version == 1)
        w.u16(0).u8(f.protocol).u8(f.tos).u8(f.flags).zeros(7);
      else
        w.u8(0).u8(f.flags).u8(f.protocol).u8(f.tos).u16(f.src_as).u16(f.dst_as).u8(f.src_mask).u8(f.dst_mask).u16(0);
      if (version == 7) w.u32(0x0a0b0c0d);
    }
    return w.bytes;
  }
};

// What SCHEMA and docs/sources/netflow.md say of such a record, one value after the other.
std::map<std::string, std::string> row_by_hand(const FixedPacket& p, const FixedRecord& f, const PacketSender& from, TimestampNs received_at) {
  std::map<std::string, std::string> row;
  auto n = [&](const char* column, uint64_t v) { row[column] = std::to_string(v); };
  row["source"] = "netflow" + std::to_string(p.version);
  row["src_ip"] = to_string(IpAddress::v4(f.src));
  row["dst_ip"] = to_string(IpAddress::v4(f.dst));
  row["next_hop"] = to_string(IpAddress::v4(f.hop));
  n("input_if", f.input);
  n("output_if", f.output);
  n("raw_packets", f.packets);
  n("raw_bytes", f.octets);
  n("src_port", f.src_port);
  n("dst_port", f.dst_port);
  n("protocol", f.protocol);
  n("tos", f.tos);
  n("tcp_flags", f.flags);
  row["flags_quality"] = "all";
  row["byte_basis"] = "layer3";
  n("ip_version", 4);
  if (p.version != 1) {
    n("src_as", f.src_as);
    n("dst_as", f.dst_as);
    n("src_prefix_len", f.src_mask);
    n("dst_prefix_len", f.dst_mask);
  }
  if (f.protocol == 1 || f.protocol == 58) {
    n("icmp_type", f.dst_port >> 8);
    n("icmp_code", f.dst_port & 255);
  }
  if (p.version == 5) n("sampling_rate", std::max(1, p.sampling & 0x3fff));
  row["exporter_ip"] = to_string(from.ip);
  n("exporter_port", from.port);
  n("observation_domain", p.version == 5 ? p.engine : 0);
  const TimestampNs exported = int64_t{p.seconds} * kSecond + p.nanoseconds;
  row["exported_at"] = format_timestamp(exported);
  row["received_at"] = format_timestamp(received_at);
  auto time_of = [&](uint32_t uptime) { return exported - int64_t{static_cast<int32_t>(p.uptime - uptime)} * kMillisecond; };
  TimestampNs start = time_of(f.first), end = time_of(f.last);
  const TimestampNs latest = received_at + limits::kClockSkewMax;
  std::string quality = "exact";
  if (end > latest) {
    start = start > end ? received_at : received_at - (end - start);
    end = received_at;
    quality = "clamped";
  }
  if (start > end) {
    start = end;
    if (quality == "exact") quality = "estimated";
  }
  row["flow_start"] = format_timestamp(start);
  row["flow_end"] = format_timestamp(end);
  row["time_quality"] = quality;
  return row;
}

TEST(Twin, FixedFormatsReadByHand) {
  Random random(20'261'126);
  PacketDecoder decoder;
  FlowBatchBuilder out;
  std::vector<Row> rows;
  const FlowSink sink = [&](Batch&& b) -> Status {
    add_rows(b, rows);
    return {};
  };
  std::vector<std::map<std::string, std::string>> expected;
  const TimestampNs now = *parse_timestamp("2026-11-20T12:00:00Z");
  for (int i = 0; i < 600; ++i) {
    FixedPacket p{};
    static constexpr uint16_t versions[] = {5, 5, 5, 1, 7};
    p.version = versions[below(random, 5)];
    p.uptime = below(random, 10) == 0 ? static_cast<uint32_t>(random()) : 1'000'000;
    p.seconds = kExportSeconds - static_cast<uint32_t>(below(random, 3));
    p.nanoseconds = static_cast<uint32_t>(below(random, 1'000'000'000));
    p.engine = static_cast<uint16_t>(below(random, 3));
    p.sampling = below(random, 3) == 0 ? static_cast<uint16_t>(random()) : uint16_t{0};
    p.records.resize(below(random, 31));
    for (FixedRecord& f : p.records) f = any_record(random, p.uptime);
    const PacketSender from{IpAddress::v4(0xc0000200u + static_cast<uint32_t>(below(random, 3))), static_cast<uint16_t>(50'000 + below(random, 2)), 2055, 0};
    const TimestampNs received_at = now + static_cast<int64_t>(below(random, 5)) * kSecond;
    for (const FixedRecord& f : p.records) expected.push_back(row_by_hand(p, f, from, received_at));
    ASSERT_TRUE(decoder.decode(p.bytes(), from, received_at, out, sink).ok());
    // Batches end at odd places.
    if (below(random, 50) == 0) add_rows(out.finish(), rows);
  }
  add_rows(out.finish(), rows);
  ASSERT_EQ(rows.size(), expected.size());
  EXPECT_GT(rows.size(), 5'000u);
  for (size_t i = 0; i < rows.size(); ++i) {
    Row& row = rows[i];
    // Kept beside the columns: the router of v7, and times that were mended.
    EXPECT_EQ(row.columns, expected[i]) << i;
    for (const auto& [key, value] : row.extra) EXPECT_TRUE(key == "routerShortcut" || key.starts_with("flow")) << key;
  }
}

// --- templates ---

// Fields of every kind of conversion, in their usual widths and in odd ones.
const std::vector<FieldSpec> kFields = {
    {1, 4},   {1, 8},   {1, 3},   {2, 4},   {2, 2},   {85, 8},  {4, 1},   {4, 2},   {5, 1},   {6, 1},   {6, 2},    {7, 2},    {11, 2},   {8, 4},
    {12, 4},  {27, 16}, {28, 16}, {10, 2},  {10, 4},  {14, 4},  {14, 8},  {15, 4},  {62, 16}, {16, 4},  {17, 2},   {9, 1},    {13, 1},   {21, 4},
    {22, 4},  {152, 8}, {153, 8}, {154, 8}, {155, 8}, {150, 4}, {151, 4}, {61, 1},  {136, 1}, {89, 1},  {89, 4},   {233, 1},  {56, 6},   {80, 6},
    {58, 2},  {70, 3},  {225, 4}, {226, 4}, {227, 2}, {228, 2}, {148, 8}, {95, 4},  {95, 9},  {96, 16}, {34, 4},   {48, 1},   {305, 4},  {306, 4},
    {32, 2},  {139, 2}, {176, 1}, {177, 1}, {195, 1}, {351, 8}, {60, 1},  {130, 4}, {149, 4}, {161, 4}, {231, 4},  {232, 4},  {23, 4},   {24, 4},
    {210, 3}, {999, 5}, {1, 4},   {8, 4},   {371, 33}};

std::vector<FieldSpec> any_fields(Random& random, bool variable) {
  std::vector<FieldSpec> fields;
  // Half of them the plain template that most routers send.
  if (below(random, 2) == 0) fields = {{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {1, 4}, {2, 4}, {22, 4}, {21, 4}, {10, 2}, {14, 2}, {6, 1}};
  const size_t more = 1 + below(random, 12);
  for (size_t i = 0; i < more; ++i) fields.push_back(kFields[below(random, kFields.size())]);
  if (variable) fields.push_back({371, 0xffff});
  return fields;
}

std::vector<uint8_t> any_records(Random& random, const std::vector<FieldSpec>& fields, size_t count) {
  std::vector<uint8_t> bytes;
  for (size_t r = 0; r < count; ++r)
    for (const FieldSpec& f : fields) {
      size_t length = f.length;
      if (length == 0xffff) {
        length = below(random, 20);
        bytes.push_back(static_cast<uint8_t>(length));
      }
      const bool zero = below(random, 4) == 0;
      const size_t at = bytes.size();
      for (size_t i = 0; i < length; ++i) bytes.push_back(zero ? uint8_t{0} : static_cast<uint8_t>(random()));
      if (zero || below(random, 4) == 0) continue;
      // Values that make sense, so that the quick ways are taken too.
      auto put = [&](uint64_t v) {
        for (size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<uint8_t>(v >> (8 * (length - 1 - i)));
      };
      if (f.id == 21 || f.id == 22) put(90'000 + below(random, 10'000));
      if (f.id == 152 || f.id == 153) put(uint64_t{kExportSeconds} * 1'000 - below(random, 60'000));
      if (f.id == 150 || f.id == 151) put(kExportSeconds - below(random, 60));
      if (f.id == 4) put(below(random, 3) == 0 ? 1 : 6);
      if (f.id == 136) put(below(random, 7));
      if (f.id == 61) put(below(random, 3));
    }
  return bytes;
}

// The sender's packets into one builder, and each packet into one of its own: what one packet leaves in the builder must not
// show in the next.
TEST(Twin, OneBuilderForManyPacketsOrOneForEach) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Collector each;
    PacketDecoder decoder;
    FlowBatchBuilder out;
    std::vector<Row> together;
    const FlowSink sink = [&](Batch&& b) -> Status {
      add_rows(b, together);
      return {};
    };
    const bool ipfix = seed % 2 == 0;
    std::vector<std::vector<FieldSpec>> templates;
    for (size_t i = 0; i < 4; ++i) templates.push_back(any_fields(random, i == 3));
    for (int i = 0; i < 60; ++i) {
      const size_t which = below(random, templates.size());
      const uint64_t id = 300 + which;
      Wire sets;
      sets.set(ipfix ? 2 : 0, ipfix ? template10(id, templates[which]) : template9(id, templates[which]));
      sets.set(id, Wire().raw(any_records(random, templates[which], below(random, 9))));
      const auto packet = ipfix ? packet10(sets) : packet9(sets);
      const PacketSender from{IpAddress::v4(0xc0000200u + static_cast<uint32_t>(below(random, 2))), 50'000, 2055, 0};
      const TimestampNs at = each.now + static_cast<int64_t>(below(random, 2)) * kSecond;
      each.send(packet, at, from);
      ASSERT_TRUE(decoder.decode(packet, from, at, out, sink).ok());
    }
    add_rows(out.finish(), together);
    ASSERT_EQ(together.size(), each.rows.size());
    for (size_t i = 0; i < together.size(); ++i) {
      EXPECT_EQ(together[i].columns, each.rows[i].columns) << i;
      EXPECT_EQ(together[i].extra, each.rows[i].extra) << i;
    }
  }
}

// All records in one set, or each in a packet of its own.
TEST(Twin, ManyRecordsOrOneByOne) {
  for (uint64_t seed = 100; seed <= 140; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Collector at_once, one_by_one;
    const auto fields = any_fields(random, false);
    size_t stride = 0;
    for (const FieldSpec& f : fields) stride += f.length;
    constexpr size_t kRecords = 40;
    auto data = any_records(random, fields, kRecords);
    const bool ipfix = seed % 2 == 0;
    // Zeros at the end of a NetFlow v9 set are no records.
    data.back() |= 1;
    auto send = [&](Collector& to, std::span<const uint8_t> records) {
      Wire sets;
      sets.set(ipfix ? 2 : 0, ipfix ? template10(300, fields) : template9(300, fields));
      sets.set(300, Wire().raw({records.begin(), records.end()}));
      to.send(ipfix ? packet10(sets) : packet9(sets));
    };
    send(at_once, data);
    for (size_t i = 0; i < kRecords; ++i) send(one_by_one, std::span(data).subspan(i * stride, stride));
    ASSERT_EQ(at_once.rows.size(), kRecords);
    ASSERT_EQ(one_by_one.rows.size(), kRecords);
    for (size_t i = 0; i < kRecords; ++i) {
      EXPECT_EQ(at_once.rows[i].columns, one_by_one.rows[i].columns) << i;
      EXPECT_EQ(at_once.rows[i].extra, one_by_one.rows[i].extra) << i;
    }
  }
}

}  // namespace
}  // namespace sluice::ingest
