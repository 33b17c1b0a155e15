// Reads everything that a segment offers, as text: two segments with the same rows in the same order give the same.
// The first error ends it. Used on damaged files, where an error is a fine answer and a crash is not.
#pragma once

#include <string>

#include "storage/segment/segment.h"

namespace sluice::segment::testing {

inline void append_column(const Column& c, std::string& out) {
  for (size_t i = 0; i < c.size(); ++i) {
    if (c.is_null(i)) {
      out += '-';
    } else if (c.type() == PhysicalType::Ip) {
      out += to_string(c.ip_at(i));
    } else if (c.type() == PhysicalType::Str) {
      out += c.string_at(i);
    } else if (c.type() == PhysicalType::F64) {
      out += std::to_string(c.float_at(i));
    } else {
      out += std::to_string(c.uint_at(i));
    }
    out += ' ';
  }
  out += '\n';
}

// At most `blocks_max` blocks from each end.
inline Result<std::string> read_all(const Segment& segment, uint32_t blocks_max = UINT32_MAX) {
  std::string out = std::to_string(segment.info().id) + " " + std::to_string(segment.info().rows) + " " +
                    std::to_string(segment.info().first) + " " + std::to_string(segment.info().last) + "\n";
  for (const ColumnSpec& spec : flow_columns()) {
    if (!segment.has(spec.id)) continue;
    out += spec.name;
    out += '\n';
    for (uint32_t b = 0; b < segment.block_count(); ++b) {
      if (b >= blocks_max && b + blocks_max < segment.block_count()) continue;
      const uint32_t rows = segment.block_rows(b);
      const Zone zone = segment.zone(spec.id, b);
      out += std::to_string(zone.nulls) + " " + std::to_string(zone.min) + " " + std::to_string(zone.max) + "\n";
      SLUICE_ASSIGN(const Column whole, segment.read(spec.id, b, 0, rows, nullptr));
      append_column(whole, out);
      SLUICE_ASSIGN(const Column part, segment.read(spec.id, b, rows / 3, rows / 2, nullptr));
      append_column(part, out);
      const uint32_t some[] = {0, rows / 5, rows / 4, rows / 2, rows - 1};
      SLUICE_ASSIGN(const Column picked, segment.read_rows(spec.id, b, some, nullptr));
      append_column(picked, out);
    }
    SLUICE_ASSIGN(const auto dictionary, segment.dictionary(spec.id));
    if (dictionary && dictionary->type() == PhysicalType::Ip) {
      SLUICE_ASSIGN(const auto codes, segment.codes_between(spec.id, IpAddress::v4(0x0a000000), IpAddress::v4(0x0a0000ff)));
      out += std::to_string(codes.first) + ".." + std::to_string(codes.second) + "\n";
    } else if (dictionary) {
      SLUICE_ASSIGN(const auto code, segment.code_of(spec.id, "i-7"));
      out += code ? std::to_string(*code) : "none";
    }
    for (const uint64_t value : {uint64_t{0}, uint64_t{6}, uint64_t{53}, uint64_t{40'000}, UINT64_MAX}) {
      const ValueRange ranges[] = {{value, value}, {value, value + value / 8}};
      SLUICE_ASSIGN(const auto found, segment.candidates(spec.id, ranges, nullptr));
      out += found ? std::to_string(found->count()) + "/" + std::to_string(found->size()) : "unknown";
      out += '\n';
    }
  }
  for (const ColumnStats& s : segment.column_stats()) out += s.codecs + " " + std::to_string(s.data_bytes) + "\n";
  SLUICE_TRY(segment.verify());
  return out;
}

}  // namespace sluice::segment::testing
