#include "storage/codec/batch_bytes.h"

#include <lz4.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>

#include "storage/codec/byte_io.h"
#include "storage/model/limits.h"

namespace sluice::codec {

namespace {

constexpr char kMagic = 'B';
constexpr uint8_t kVersion = 1;
constexpr uint8_t kHasValidity = 1, kCoded = 2, kSortedDictionary = 4;
constexpr uint8_t kAsItIs = 0, kLz4 = 1;
// LZ4's faster search: the journal is read at most once, by a restart.
constexpr int kAcceleration = 4;
// No LZ4 block grows more than this when it is read.
constexpr uint64_t kLz4RatioMax = 255;

Error damaged(std::string_view what) { return Error{ErrorCode::corrupt, "broken journal entry: " + std::string(what)}; }

// Scratch of one call. Per thread, because appends come one after another with the same sizes.
struct Scratch {
  std::string planes;
  std::string packed;  // only grows: room that is made anew would be filled with zeros each time
};
Scratch& scratch() {
  thread_local Scratch s;
  return s;
}

// Turns an 8 × 8 square of bytes over its diagonal: byte b of word k goes to byte k of word b. Three rounds of swaps, as in
// Warren, Hacker's Delight, 7-3.
inline void transpose(uint64_t (&x)[8]) {
  const auto swap = [&x](size_t i, size_t j, unsigned shift, uint64_t mask) {
    const uint64_t t = ((x[i] >> shift) ^ x[j]) & mask;
    x[j] ^= t;
    x[i] ^= t << shift;
  };
  for (size_t i = 0; i < 8; i += 2) swap(i, i + 1, 8, 0x00ff00ff00ff00ff);
  for (const size_t i : {0, 1, 4, 5}) swap(i, i + 2, 16, 0x0000ffff0000ffff);
  for (size_t i = 0; i < 4; ++i) swap(i, i + 4, 32, 0x00000000ffffffff);
}

using Vector = uint8_t __attribute__((vector_size(16)));

// in: `count` values of W bytes; out: W planes of `count` bytes. Sixteen values at a time, which fill W vectors: where a byte lies
// in them is, in bits, its value's number and then its place in the value. Dealing the two halves like cards, one from each in
// turn, moves the highest bit to the end; after four times the place comes first, and each vector is a piece of one plane.
template <size_t W>
void to_planes(const uint8_t* in, size_t count, uint8_t* out) {
  static_assert(W >= 2 && W <= 16 && (W & (W - 1)) == 0);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    Vector v[W], dealt[W];
    std::memcpy(v, in + i * W, sizeof v);
    for (int round = 0; round < 4; ++round) {
      for (size_t k = 0; k < W / 2; ++k) {
        dealt[2 * k] = __builtin_shufflevector(v[k], v[k + W / 2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        dealt[2 * k + 1] = __builtin_shufflevector(v[k], v[k + W / 2], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      }
      std::memcpy(v, dealt, sizeof v);
    }
    for (size_t b = 0; b < W; ++b) std::memcpy(out + b * count + i, &v[b], 16);
  }
  for (; i < count; ++i)
    for (size_t b = 0; b < W; ++b) out[b * count + i] = in[i * W + b];
}

template <size_t W>
void from_planes(const uint8_t* in, size_t count, uint8_t* out) {
  constexpr size_t kStep = W < 8 ? W : 8;
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (size_t from = 0; from < W; from += kStep) {
      uint64_t square[8] = {};
      for (size_t b = 0; b < kStep; ++b) std::memcpy(&square[b], in + (from + b) * count + i, 8);
      transpose(square);
      for (size_t k = 0; k < 8; ++k) std::memcpy(out + (i + k) * W + from, &square[k], kStep);
    }
  for (; i < count; ++i)
    for (size_t b = 0; b < W; ++b) out[i * W + b] = in[b * count + i];
}

void append_block(const uint8_t* data, size_t size, std::string& out) {
  SLUICE_CHECK(size <= LZ4_MAX_INPUT_SIZE);
  int stored = 0;
  std::string& packed = scratch().packed;
  if (size >= 32) {
    const int bound = LZ4_compressBound(static_cast<int>(size));
    if (packed.size() < static_cast<size_t>(bound)) packed.resize(static_cast<size_t>(bound));
    stored = LZ4_compress_fast(reinterpret_cast<const char*>(data), packed.data(), static_cast<int>(size), bound, kAcceleration);
  }
  const bool as_it_is = stored <= 0 || static_cast<size_t>(stored) >= size;
  const size_t length = as_it_is ? size : static_cast<size_t>(stored);
  out.push_back(static_cast<char>(as_it_is ? kAsItIs : kLz4));
  put_varint(out, size);
  put_varint(out, length);
  out.append(as_it_is ? reinterpret_cast<const char*>(data) : packed.data(), length);
}

template <typename T>
void append_planes(std::span<const T> values, std::string& out) {
  if constexpr (sizeof(T) == 1) {
    append_block(reinterpret_cast<const uint8_t*>(values.data()), values.size(), out);
  } else {
    std::string& planes = scratch().planes;
    if (planes.size() < values.size_bytes()) planes.resize(values.size_bytes());
    auto* const to = reinterpret_cast<uint8_t*>(planes.data());
    const auto* const from = reinterpret_cast<const uint8_t*>(values.data());
    // Much of a packet's head is the same in all rows: its planes are, too.
    if (!values.empty() && std::memcmp(from, from + sizeof(T), values.size_bytes() - sizeof(T)) == 0)
      for (size_t b = 0; b < sizeof(T); ++b) std::memset(to + b * values.size(), from[b], values.size());
    else
      to_planes<sizeof(T)>(from, values.size(), to);
    append_block(to, values.size_bytes(), out);
  }
}

void append_strings(const StringVector& strings, std::string& out) {
  std::vector<uint32_t> lengths(strings.size());
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<uint32_t>(strings[i].size());
  append_planes<uint32_t>(lengths, out);
  append_block(reinterpret_cast<const uint8_t*>(strings.bytes().data()), strings.bytes().size(), out);
}

void append_dictionary(const Dictionary& dictionary, std::string& out) {
  put_varint(out, dictionary.size());
  if (dictionary.type() == PhysicalType::Ip) {
    std::vector<IpAddress> ips(dictionary.size());
    for (uint32_t c = 0; c < dictionary.size(); ++c) ips[c] = dictionary.ip_at(c);
    append_planes<IpAddress>(ips, out);
  } else {
    StringVector strings;
    for (uint32_t c = 0; c < dictionary.size(); ++c) strings.push_back(dictionary.string_at(c));
    append_strings(strings, out);
  }
}

// A block's raw bytes: what LZ4 gave into `buffer`, or the bytes themselves where they lie. REQUIRES: the block is read
// before the next call with the same buffer.
Result<Bytes> read_block(ByteReader& in, uint64_t expected, bool any_size, std::string& buffer) {
  const uint8_t method = in.get<uint8_t>();
  const uint64_t raw = in.varint(), stored = in.varint();
  if (!in.ok() || stored > in.left()) return damaged("a block is cut off");
  if (!any_size && raw != expected) return damaged("a block has another size than its rows");
  const Bytes bytes = in.take(stored);
  if (method == kAsItIs) {
    if (raw != stored) return damaged("a block's sizes differ");
    return bytes;
  }
  if (method != kLz4) return damaged("a block's method is unknown");
  if (raw > LZ4_MAX_INPUT_SIZE || raw > stored * kLz4RatioMax) return damaged("a block claims more than it can hold");
  buffer.resize(raw);
  const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(bytes.data()), buffer.data(), static_cast<int>(stored),
                                      static_cast<int>(raw));
  if (got < 0 || static_cast<uint64_t>(got) != raw) return damaged("a block does not decompress");
  return Bytes(reinterpret_cast<const uint8_t*>(buffer.data()), raw);
}

template <typename T>
Result<std::vector<T>> read_planes(ByteReader& in, size_t count, std::string& buffer) {
  SLUICE_ASSIGN(const Bytes planes, read_block(in, count * sizeof(T), false, buffer));
  std::vector<T> values(count);
  if constexpr (sizeof(T) == 1) {
    if (count) std::memcpy(values.data(), planes.data(), count);
  } else {
    from_planes<sizeof(T)>(planes.data(), count, reinterpret_cast<uint8_t*>(values.data()));
  }
  return values;
}

Result<StringVector> read_strings(ByteReader& in, size_t count, std::string& buffer) {
  SLUICE_ASSIGN(const std::vector<uint32_t> lengths, read_planes<uint32_t>(in, count, buffer));
  SLUICE_ASSIGN(const Bytes bytes, read_block(in, 0, true, buffer));
  StringVector strings;
  strings.reserve(count, bytes.size());
  size_t at = 0;
  for (const uint32_t length : lengths) {
    if (length > bytes.size() - at) return damaged("strings are longer than their bytes");
    strings.push_back({reinterpret_cast<const char*>(bytes.data()) + at, length});
    at += length;
  }
  if (at != bytes.size()) return damaged("strings are shorter than their bytes");
  return strings;
}

Result<Column> read_coded(ByteReader& in, PhysicalType type, bool sorted, size_t rows, Bitmap validity, std::string& buffer) {
  const uint64_t size = in.varint();
  if (!in.ok() || size > limits::kSegmentRowsMax) return damaged("a dictionary is too large");
  std::shared_ptr<const Dictionary> dictionary;
  if (type == PhysicalType::Ip) {
    SLUICE_ASSIGN(auto ips, read_planes<IpAddress>(in, size, buffer));
    if (sorted && !std::is_sorted(ips.begin(), ips.end())) return damaged("a dictionary is not sorted");
    dictionary = std::make_shared<MemoryDictionary>(std::move(ips), sorted);
  } else if (type == PhysicalType::Str) {
    SLUICE_ASSIGN(auto strings, read_strings(in, size, buffer));
    for (size_t i = 1; sorted && i < strings.size(); ++i)
      if (strings[i] < strings[i - 1]) return damaged("a dictionary is not sorted");
    dictionary = std::make_shared<MemoryDictionary>(std::move(strings), sorted);
  } else {
    return damaged("a column of numbers is coded");
  }
  SLUICE_ASSIGN(auto codes, read_planes<uint32_t>(in, rows, buffer));
  for (size_t i = 0; i < rows; ++i)
    if (codes[i] >= size && (validity.empty() || validity.get(i))) return damaged("a code is beyond its dictionary");
  return Column::coded(std::move(dictionary), std::move(codes), std::move(validity));
}

template <typename T>
Result<Column> read_numbers(ByteReader& in, PhysicalType type, size_t rows, Bitmap validity, std::string& buffer) {
  SLUICE_ASSIGN(auto values, read_planes<T>(in, rows, buffer));
  return Column::of(type, std::move(values), std::move(validity));
}

Result<Column> read_column(ByteReader& in, PhysicalType type, uint8_t flags, size_t rows, std::string& buffer) {
  Bitmap validity;
  if (flags & kHasValidity) {
    SLUICE_ASSIGN(const Bytes words, read_block(in, (rows + 63) / 64 * 8, false, buffer));
    validity.resize(rows);
    if (rows) std::memcpy(validity.words().data(), words.data(), words.size());
    if (rows % 64 != 0 && validity.words().back() >> (rows % 64) != 0) return damaged("a validity bitmap is too long");
  }
  if (flags & kCoded) return read_coded(in, type, flags & kSortedDictionary, rows, std::move(validity), buffer);
  switch (type) {
    case PhysicalType::U8: return read_numbers<uint8_t>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::U16: return read_numbers<uint16_t>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::U32: return read_numbers<uint32_t>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::U64: return read_numbers<uint64_t>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::I64: return read_numbers<int64_t>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::F64: return read_numbers<double>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::Ip: return read_numbers<IpAddress>(in, type, rows, std::move(validity), buffer);
    case PhysicalType::Str: break;
  }
  SLUICE_ASSIGN(auto strings, read_strings(in, rows, buffer));
  return Column::of(std::move(strings), std::move(validity));
}

}  // namespace

void append_batch_bytes(const Batch& batch, std::string& out) {
  out.push_back(kMagic);
  out.push_back(static_cast<char>(kVersion));
  put_varint(out, batch.rows);
  put_varint(out, batch.columns.size());
  for (size_t i = 0; i < batch.columns.size(); ++i) {
    const Field& field = (*batch.schema)[i];
    const Column& column = batch.columns[i];
    SLUICE_CHECK(field.column.has_value() && column.type() == column_spec(*field.column).physical && column.size() == batch.rows);
    put_varint(out, static_cast<uint64_t>(*field.column));
    out.push_back(static_cast<char>(column.type()));
    uint8_t flags = column.has_nulls() ? kHasValidity : 0;
    if (column.is_coded()) flags |= kCoded | (column.dictionary()->sorted() ? kSortedDictionary : 0);
    out.push_back(static_cast<char>(flags));
    if (column.has_nulls()) {
      const auto words = column.validity().words();
      append_block(reinterpret_cast<const uint8_t*>(words.data()), words.size_bytes(), out);
    }
    if (column.is_coded()) {
      append_dictionary(*column.dictionary(), out);
      append_planes<uint32_t>(column.codes(), out);
      continue;
    }
    switch (column.type()) {
      case PhysicalType::U8: append_planes(column.values<uint8_t>(), out); break;
      case PhysicalType::U16: append_planes(column.values<uint16_t>(), out); break;
      case PhysicalType::U32: append_planes(column.values<uint32_t>(), out); break;
      case PhysicalType::U64: append_planes(column.values<uint64_t>(), out); break;
      case PhysicalType::I64: append_planes(column.values<int64_t>(), out); break;
      case PhysicalType::F64: append_planes(column.values<double>(), out); break;
      case PhysicalType::Ip: append_planes(column.values<IpAddress>(), out); break;
      case PhysicalType::Str: append_strings(column.strings(), out); break;
    }
  }
}

Result<Batch> read_batch_bytes(std::string_view bytes) {
  ByteReader in(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  if (in.get<uint8_t>() != static_cast<uint8_t>(kMagic)) return damaged("it does not begin as one");
  const uint8_t version = in.get<uint8_t>();
  if (in.ok() && version != kVersion)
    return Error{ErrorCode::unsupported, "a journal entry of form " + std::to_string(version) + ", this program knows " + std::to_string(kVersion)};
  const uint64_t rows = in.varint(), columns = in.varint();
  if (!in.ok() || rows > limits::kSegmentRowsMax) return damaged("its number of rows is out of range");

  Batch batch;
  batch.rows = rows;
  auto schema = std::make_shared<Schema>();
  std::bitset<256> seen;
  std::string& buffer = scratch().planes;
  for (uint64_t i = 0; i < columns; ++i) {
    const uint64_t id = in.varint();
    const uint8_t physical = in.get<uint8_t>(), flags = in.get<uint8_t>();
    if (!in.ok()) return damaged("it is cut off");
    if (id >= kColumnCount)
      return Error{ErrorCode::unsupported, "a journal entry has column number " + std::to_string(id) + ", which this program does not know"};
    const ColumnSpec& spec = column_spec(static_cast<ColumnId>(id));
    if (physical != static_cast<uint8_t>(spec.physical)) return damaged("column " + std::string(spec.name) + " has another type");
    if (flags & ~(kHasValidity | kCoded | kSortedDictionary)) return damaged("column " + std::string(spec.name) + " has unknown flags");
    if (seen[id]) return damaged("column " + std::string(spec.name) + " comes twice");
    seen.set(id);
    auto column = read_column(in, spec.physical, flags, rows, buffer);
    if (!column.ok()) return std::move(column).error().with("column " + std::string(spec.name));
    schema->push_back(Field::of(static_cast<ColumnId>(id)));
    batch.columns.push_back(std::move(column).value());
  }
  if (!in.ok() || in.left() != 0) return damaged("bytes follow its end");
  batch.schema = std::move(schema);
  return batch;
}

}  // namespace sluice::codec
