#include "storage/codec/text_codec.h"

#include <algorithm>
#include <vector>

#include "storage/codec/compress.h"
#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

class TextReader {
 public:
  static Result<TextReader> of(Bytes payload, uint32_t count) {
    TextReader r;
    ByteReader in(payload);
    r.count_ = count;
    r.entries_ = in.take(size_t{(count + kTextGroup - 1) / kTextGroup} * 12);
    r.data_ = in.rest();
    if (!in.ok()) return corrupt("text: cut short");
    return r;
  }

  // Calls must ascend.
  Status open(uint32_t group) {
    for (;; ++next_) {
      const uint8_t* e = entries_.data() + size_t{next_} * 12;
      const size_t lengths_bytes = load<uint32_t>(e), piece_bytes = load<uint32_t>(e + 4), text_bytes = load<uint32_t>(e + 8);
      if (lengths_bytes > data_.size() - offset_ || piece_bytes > data_.size() - offset_ - lengths_bytes)
        return corrupt("text: group beyond the end");
      if (next_ == group) {
        const uint32_t rows = std::min(kTextGroup, count_ - group * kTextGroup);
        std::vector<uint32_t> lengths(rows);
        SLUICE_TRY(decode_integers(data_.subspan(offset_, lengths_bytes), rows, 0, rows, Out(lengths.data())));
        starts.assign(rows + 1, 0);
        for (uint32_t i = 0; i < rows; ++i) starts[i + 1] = starts[i] + lengths[i];
        if (starts[rows] != text_bytes) return corrupt("text: lengths do not add up");
        // zstd's ratio has no bound, but a group's text has: longer strings are cut where records come in, and what little
        // may lie above that bound (another version's) still fits the limit of 32 bits checked above.
        if (text_bytes > piece_bytes * size_t{65'536} + 64) return corrupt("text: a group expands too far");
        text.resize(text_bytes);
        return expand_piece(data_.subspan(offset_ + lengths_bytes, piece_bytes), reinterpret_cast<uint8_t*>(text.data()), text_bytes);
      }
      offset_ += lengths_bytes + piece_bytes;
    }
  }

  std::string_view at(uint32_t i) const { return std::string_view(text).substr(starts[i], starts[i + 1] - starts[i]); }

  std::string text;
  std::vector<uint64_t> starts;

 private:
  uint32_t count_ = 0;
  Bytes entries_, data_;
  uint32_t next_ = 0;
  size_t offset_ = 0;
};

}  // namespace

void encode_text(std::span<const std::string_view> strings, std::string& out) {
  const size_t groups = (strings.size() + kTextGroup - 1) / kTextGroup;
  const size_t entries = out.size();
  out.append(groups * 12, '\0');
  std::string text;
  std::vector<uint64_t> lengths;
  for (size_t g = 0; g < groups; ++g) {
    const auto part = strings.subspan(g * kTextGroup, std::min<size_t>(kTextGroup, strings.size() - g * kTextGroup));
    text.clear();
    lengths.clear();
    for (std::string_view s : part) {
      text += s;
      lengths.push_back(s.size());
    }
    SLUICE_CHECK(text.size() <= UINT32_MAX);
    uint32_t entry[3];
    const size_t start = out.size();
    encode_integers(lengths, out);
    entry[0] = static_cast<uint32_t>(out.size() - start);
    compress_piece(Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()), out);
    entry[1] = static_cast<uint32_t>(out.size() - start - entry[0]);
    entry[2] = static_cast<uint32_t>(text.size());
    std::memcpy(out.data() + entries + g * 12, entry, 12);
  }
}

Status decode_text(Bytes payload, uint32_t count, uint32_t from, uint32_t to, StringVector& out) {
  SLUICE_CHECK(from <= to && to <= count);
  if (from == to) return {};
  SLUICE_ASSIGN(TextReader reader, TextReader::of(payload, count));
  while (from < to) {
    const uint32_t group = from / kTextGroup, start = group * kTextGroup;
    const uint32_t end = std::min(to, start + kTextGroup);
    SLUICE_TRY(reader.open(group));
    for (; from < end; ++from) out.push_back(reader.at(from - start));
  }
  return {};
}

Status decode_text_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, StringVector& out) {
  SLUICE_CHECK(rows.empty() || rows.back() < count);
  if (rows.empty()) return {};
  SLUICE_ASSIGN(TextReader reader, TextReader::of(payload, count));
  for (size_t i = 0; i < rows.size();) {
    const uint32_t group = rows[i] / kTextGroup, start = group * kTextGroup;
    SLUICE_TRY(reader.open(group));
    for (; i < rows.size() && rows[i] / kTextGroup == group; ++i) out.push_back(reader.at(rows[i] - start));
  }
  return {};
}

}  // namespace sluice::codec
