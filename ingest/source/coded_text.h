// Text columns of a batch in the making, as codes: cloud records say the same few names again and again, so each distinct
// text is kept once and a row costs four bytes.
//
//   (code* (put | fill)*)* column      one CodedText per column; column() empties it
//
// Thread rule: as std::vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/column.h"

namespace sluice::ingest {

class CodedText {
 public:
  static constexpr uint32_t kNull = UINT32_MAX;

  // The number of this text; kNull for an empty one. The text is copied. `is_new` is set where it had no number before.
  uint32_t code(std::string_view text, bool* is_new = nullptr) {
    if (text.empty()) return kNull;
    if (last_ != kNull && texts_[last_] == text) return last_;
    const size_t hash = std::hash<std::string_view>()(text);
    if ((texts_.size() + 1) * 2 > slots_.size()) grow();
    for (size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].code == kNull) {
        if (is_new) *is_new = true;
        last_ = static_cast<uint32_t>(texts_.size());
        slots_[i] = {static_cast<uint32_t>(hash >> 32), last_};
        texts_.push_back(text);
        hashes_.push_back(hash);
        return last_;
      }
      if (slots_[i].tag == static_cast<uint32_t>(hash >> 32) && texts_[slots_[i].code] == text) return last_ = slots_[i].code;
    }
  }
  // Rows `from` to `to`, `to` not included, get a code; rows left out before them are null. REQUIRES: rows in order
  void fill(size_t from, size_t to, uint32_t code) {
    if (code == kNull) return;
    if (codes_.size() < from) {
      codes_.resize(from, kNull);
      any_null_ = true;
    }
    codes_.resize(to, code);
  }
  void put(size_t row, uint32_t code) { fill(row, row + 1, code); }
  void put(size_t row, std::string_view text) { put(row, code(text)); }

  // The column of `rows` rows, nullopt when all are null. REQUIRES: rows >= every row that has a code
  std::optional<Column> column(size_t rows) {
    std::vector<uint32_t> codes = std::exchange(codes_, {});
    if (!codes.empty()) codes_.reserve(rows);
    StringVector texts = std::exchange(texts_, {});
    hashes_.clear();
    slots_.clear();
    last_ = kNull;
    const bool any_null = std::exchange(any_null_, false) || codes.size() < rows;
    if (texts.size() == 0 || codes.empty()) return std::nullopt;
    if (!any_null) return Column::coded(std::make_shared<MemoryDictionary>(std::move(texts), false), std::move(codes));
    codes.resize(rows, kNull);
    Bitmap validity(rows);
    const auto words = validity.words();
    size_t filled = 0;
    for (size_t from = 0; from < rows; from += 64) {
      uint64_t word = 0;
      for (size_t i = from, to = std::min(rows, from + 64); i < to; ++i) {
        const bool valid = codes[i] != kNull;
        word |= static_cast<uint64_t>(valid) << (i % 64);
        filled += valid;
        codes[i] = valid ? codes[i] : 0;
      }
      words[from / 64] = word;
    }
    if (filled == 0) return std::nullopt;
    return Column::coded(std::make_shared<MemoryDictionary>(std::move(texts), false), std::move(codes),
                         filled == rows ? Bitmap() : std::move(validity));
  }

 private:
  struct Slot {
    uint32_t tag = 0, code = kNull;
  };
  void grow() {
    slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, {});
    for (uint32_t c = 0; c < hashes_.size(); ++c) {
      size_t i = hashes_[c] & (slots_.size() - 1);
      while (slots_[i].code != kNull) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = {static_cast<uint32_t>(hashes_[c] >> 32), c};
    }
  }

  StringVector texts_;
  std::vector<size_t> hashes_;
  std::vector<Slot> slots_;  // open addressing, at most half full, a power of two
  std::vector<uint32_t> codes_;
  bool any_null_ = false;  // whether one of the codes is
  uint32_t last_ = kNull;
};

}  // namespace sluice::ingest
