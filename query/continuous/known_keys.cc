#include "query/continuous/known_keys.h"

#include <algorithm>
#include <numeric>

#include "query/continuous/key_history.h"
#include "query/continuous/limits.h"

namespace sluice::query::continuous {
namespace {


std::vector<ColumnPtr> keys_of(const GroupTable& table, size_t key_count, std::span<const uint32_t> groups, EvalContext& context) {
  std::vector<ColumnPtr> keys;
  for (size_t k = 0; k < key_count; ++k) keys.push_back(keep(table.keys(k, groups), context));
  return keys;
}

}  // namespace

std::vector<uint32_t> KnownKeys::admit(const GroupTable& table, std::span<const ColumnPtr> keys, size_t rows, size_t room, EvalContext& context,
                                       const std::function<void(uint32_t row, uint64_t key)>& refused) {
  if (sorted_.size() + recent_.size() != table.size()) learn(table, keys.size(), context);
  std::vector<uint32_t> stay;
  stay.reserve(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    const uint64_t key = KeyHistory::fingerprint(keys, row);
    if (!has(key)) {
      if (room == 0) {
        refused(row, key);
        continue;
      }
      --room;
      recent_.insert(key);
    }
    stay.push_back(row);
  }
  return stay;
}

void KnownKeys::forget() {
  sorted_ = {};
  recent_ = {};
}

void KnownKeys::learn(const GroupTable& table, size_t key_count, EvalContext& context) {
  recent_ = {};
  sorted_.clear();
  sorted_.reserve(table.size());
  std::vector<uint32_t> groups;
  for (size_t from = 0; from < table.size(); from += groups.size()) {
    groups.resize(std::min(limits::kGroupsPiece, table.size() - from));
    std::iota(groups.begin(), groups.end(), static_cast<uint32_t>(from));
    const auto keys = keys_of(table, key_count, groups, context);
    for (size_t i = 0; i < groups.size(); ++i) sorted_.push_back(KeyHistory::fingerprint(keys, i));
  }
  std::sort(sorted_.begin(), sorted_.end());
}

bool KnownKeys::has(uint64_t key) const { return recent_.contains(key) || std::binary_search(sorted_.begin(), sorted_.end(), key); }

GroupTable table_of(const GroupTable& table, std::vector<Type> types, std::span<const uint32_t> stay, std::vector<uint32_t>& numbers, EvalContext& context) {
  const size_t key_count = types.size();
  GroupTable out(std::move(types));
  numbers.resize(stay.size());
  std::vector<uint32_t> some;
  for (size_t from = 0; from < stay.size(); from += limits::kGroupsPiece) {
    const auto piece = stay.subspan(from, std::min(limits::kGroupsPiece, stay.size() - from));
    out.find(keys_of(table, key_count, piece, context), piece.size(), some);
    std::copy(some.begin(), some.end(), numbers.begin() + static_cast<ptrdiff_t>(from));
  }
  return out;
}

}  // namespace sluice::query::continuous
