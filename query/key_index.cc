#include "query/key_index.h"

#include <bit>

#include "query/aggregate.h"
#include "query/mix.h"

namespace sluice::query {
namespace {

constexpr uint64_t kFree = UINT64_MAX;  // no row is kNone

}  // namespace

bool KeyIndex::hash(std::span<const ColumnPtr> columns, size_t row, uint64_t& out) const {
  uint64_t h = 0;
  for (const ColumnPtr& c : columns) {
    if (c->is_null(row)) {
      if (!nulls_match_) return false;
      h = mix(h + 0x51ed2701);
    } else {
      h = mix(h ^ hash_at(*c, row));
    }
  }
  out = h;
  return true;
}

bool KeyIndex::equal(std::span<const ColumnPtr> columns, size_t row, uint32_t mine) const {
  for (size_t k = 0; k < keys_.size(); ++k) {
    const Column &a = *keys_[k], &b = *columns[k];
    const bool an = a.is_null(mine), bn = b.is_null(row);
    if (an || bn) {
      if (an != bn) return false;
      continue;
    }
    switch (a.type()) {
      case PhysicalType::Ip:
        if (a.ip_at(mine) != b.ip_at(row)) return false;
        break;
      case PhysicalType::Str:
        if (a.string_at(mine) != b.string_at(row)) return false;
        break;
      case PhysicalType::F64:
        if (a.float_at(mine) != b.float_at(row)) return false;
        break;
      default:
        if (a.uint_at(mine) != b.uint_at(row)) return false;
    }
  }
  return true;
}

bool KeyIndex::build(std::vector<ColumnPtr> keys, size_t rows, bool nulls_match, WorkMeter& meter) {
  keys_ = std::move(keys);
  nulls_match_ = nulls_match;
  const uint64_t size = std::bit_ceil(std::max<uint64_t>(16, rows + rows / 2));
  mask_ = size - 1;
  slots_.assign(size, kFree);
  next_.assign(rows, kNone);
  // From the last row back, so that the rows of a key are found in ascending order.
  for (size_t i = rows; i-- > 0;) {
    if (!meter.spend(1)) return false;
    uint64_t h = 0;
    if (!hash(keys_, i, h)) continue;
    const uint64_t tag = h >> 32;
    for (uint64_t s = h & mask_;; s = (s + 1) & mask_) {
      if (slots_[s] == kFree) {
        slots_[s] = tag << 32 | i;
        break;
      }
      if (slots_[s] >> 32 != tag || !equal(keys_, i, static_cast<uint32_t>(slots_[s]))) continue;
      next_[i] = static_cast<uint32_t>(slots_[s]);
      slots_[s] = tag << 32 | i;
      break;
    }
  }
  return true;
}

uint32_t KeyIndex::first(std::span<const ColumnPtr> columns, size_t row) const {
  uint64_t h = 0;
  if (next_.empty() || !hash(columns, row, h)) return kNone;
  const uint64_t tag = h >> 32;
  for (uint64_t s = h & mask_;; s = (s + 1) & mask_) {
    const uint64_t slot = slots_[s];
    if (slot == kFree) return kNone;
    if (slot >> 32 == tag && equal(columns, row, static_cast<uint32_t>(slot))) return static_cast<uint32_t>(slot);
  }
}

}  // namespace sluice::query
