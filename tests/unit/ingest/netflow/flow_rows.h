// Rows of decoded batches as text, and packets built by hand, for the tests of packet formats.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ingest/source/netflow.h"
#include "storage/model/batch.h"
#include "storage/model/text_list.h"

namespace sluice::ingest::testing {

// One row: column name -> value as FlowQL prints it; a null column is absent. `extra` is taken apart.
struct Row {
  std::map<std::string, std::string> columns;
  std::vector<std::pair<std::string, std::string>> extra;

  // "" for null.
  std::string operator[](const std::string& name) const {
    const auto it = columns.find(name);
    return it == columns.end() ? std::string() : it->second;
  }
  bool has(const std::string& name) const { return columns.contains(name); }
  std::string x(const std::string& name) const {
    for (const auto& [key, value] : extra)
      if (key == name) return value;
    return {};
  }
};

inline std::string cell(const Batch& b, size_t column, size_t row) {
  const Field& f = (*b.schema)[column];
  const Column& c = b.columns[column];
  switch (f.type) {
    case LogicalType::ip: return to_string(c.ip_at(row));
    case LogicalType::timestamp: return format_timestamp(c.int_at(row));
    case LogicalType::mac: return format_mac(c.uint_at(row));
    case LogicalType::enumeration: return std::string(f.enumeration->name_of(static_cast<uint8_t>(c.uint_at(row))));
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra: return std::string(c.string_at(row));
    default: return std::to_string(c.uint_at(row));
  }
}

inline void add_rows(const Batch& b, std::vector<Row>& rows) {
  for (size_t r = 0; r < b.rows; ++r) {
    Row row;
    for (size_t c = 0; c < b.columns.size(); ++c) {
      if (b.columns[c].is_null(r)) continue;
      const Field& f = (*b.schema)[c];
      if (f.type == LogicalType::extra)
        row.extra = extra_items(b.columns[c].string_at(r));
      else
        row.columns[f.name] = cell(b, c, r);
    }
    rows.push_back(std::move(row));
  }
}

// A decoder, and the rows that came out of it.
class Collector {
 public:
  explicit Collector(PacketDecoderOptions options = {}) : decoder(std::move(options)) {}

  PacketCounts send(const std::vector<uint8_t>& packet, TimestampNs at, const PacketSender& from) {
    FlowBatchBuilder out;
    const FlowSink sink = [&](Batch&& b) -> Status {
      add_rows(b, rows);
      return {};
    };
    auto counts = decoder.decode(packet, from, at, out, sink);
    SLUICE_CHECK(counts.ok());
    add_rows(out.finish(), rows);
    total += *counts;
    return *counts;
  }
  PacketCounts send(const std::vector<uint8_t>& packet) { return send(packet, now, sender); }

  PacketDecoder decoder;
  std::vector<Row> rows;
  PacketCounts total;
  PacketSender sender{IpAddress::v4(0xc0000201), 50'000, 2055, 0};
  TimestampNs now = *parse_timestamp("2026-11-20T12:00:00Z");
};

// Big-endian bytes.
class Wire {
 public:
  Wire& u8(uint64_t v) { return number(v, 1); }
  Wire& u16(uint64_t v) { return number(v, 2); }
  Wire& u32(uint64_t v) { return number(v, 4); }
  Wire& u64(uint64_t v) { return number(v, 8); }
  Wire& number(uint64_t v, size_t n) {
    for (size_t i = n; i-- > 0;) bytes.push_back(static_cast<uint8_t>(i < 8 ? v >> (8 * i) : 0));
    return *this;
  }
  Wire& raw(const std::vector<uint8_t>& b) {
    bytes.insert(bytes.end(), b.begin(), b.end());
    return *this;
  }
  Wire& text(const std::string& s) {
    bytes.insert(bytes.end(), s.begin(), s.end());
    return *this;
  }
  Wire& zeros(size_t n) {
    bytes.insert(bytes.end(), n, 0);
    return *this;
  }
  Wire& ip(const std::string& address) {
    const IpAddress a = *parse_ip(address);
    bytes.insert(bytes.end(), a.bytes.begin() + (a.is_v4() ? 12 : 0), a.bytes.end());
    return *this;
  }
  // A set, or anything else that begins with id and length of all.
  Wire& set(uint64_t id, const Wire& content) {
    u16(id).u16(content.bytes.size() + 4);
    return raw(content.bytes);
  }

  std::vector<uint8_t> bytes;
};

inline constexpr uint32_t kExportSeconds = 1'795'176'000;  // 2026-11-20T12:00:00Z, as Collector::now

struct FieldSpec {
  uint32_t id;
  uint32_t length;
  uint32_t pen = 0;
};

inline Wire template9(uint64_t id, const std::vector<FieldSpec>& fields) {
  Wire w;
  w.u16(id).u16(fields.size());
  for (const FieldSpec& f : fields) w.u16(f.id).u16(f.length);
  return w;
}
inline Wire options_template9(uint64_t id, const std::vector<FieldSpec>& scopes, const std::vector<FieldSpec>& fields) {
  Wire w;
  w.u16(id).u16(scopes.size() * 4).u16(fields.size() * 4);
  for (const FieldSpec& f : scopes) w.u16(f.id).u16(f.length);
  for (const FieldSpec& f : fields) w.u16(f.id).u16(f.length);
  return w;
}
inline void field10(Wire& w, const FieldSpec& f) {
  w.u16(f.id | (f.pen ? 0x8000 : 0)).u16(f.length);
  if (f.pen) w.u32(f.pen);
}
inline Wire template10(uint64_t id, const std::vector<FieldSpec>& fields) {
  Wire w;
  w.u16(id).u16(fields.size());
  for (const FieldSpec& f : fields) field10(w, f);
  return w;
}
inline Wire options_template10(uint64_t id, size_t scopes, const std::vector<FieldSpec>& fields) {
  Wire w;
  w.u16(id).u16(fields.size()).u16(scopes);
  for (const FieldSpec& f : fields) field10(w, f);
  return w;
}
inline std::vector<uint8_t> packet9(const Wire& sets, uint64_t sequence = 1, uint64_t domain = 7, uint64_t uptime = 100'000,
                                    uint64_t seconds = kExportSeconds) {
  Wire w;
  w.u16(9).u16(1).u32(uptime).u32(seconds).u32(sequence).u32(domain).raw(sets.bytes);
  return w.bytes;
}
inline std::vector<uint8_t> packet10(const Wire& sets, uint64_t sequence = 0, uint64_t domain = 7, uint64_t seconds = kExportSeconds) {
  Wire w;
  w.u16(10).u16(16 + sets.bytes.size()).u32(seconds).u32(sequence).u32(domain).raw(sets.bytes);
  return w.bytes;
}

struct V5Record {
  std::string src = "10.0.0.1", dst = "10.0.0.2";
  uint32_t packets = 10, octets = 1'000, first = 90'000, last = 95'000;
  uint16_t src_port = 40'000, dst_port = 443;
  uint8_t flags = 0x1b, protocol = 6, tos = 0;
};
inline std::vector<uint8_t> packet5(const std::vector<V5Record>& records, uint64_t sequence = 0, uint64_t sampling = 0, uint64_t uptime = 100'000,
                                    uint64_t seconds = kExportSeconds, uint64_t nanoseconds = 0) {
  Wire w;
  w.u16(5).u16(records.size()).u32(uptime).u32(seconds).u32(nanoseconds).u32(sequence).u8(0).u8(3).u16(sampling);
  for (const V5Record& r : records)
    w.ip(r.src).ip(r.dst).ip("10.0.0.254").u16(1).u16(2).u32(r.packets).u32(r.octets).u32(r.first).u32(r.last).u16(r.src_port).u16(r.dst_port)
        .u8(0).u8(r.flags).u8(r.protocol).u8(r.tos).u16(64'512).u16(64'513).u8(24).u8(16).u16(0);
  return w.bytes;
}

}  // namespace sluice::ingest::testing
