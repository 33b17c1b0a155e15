// The layout of a segment file as structures: internal to this room, described in FORMAT.md.
//
// All numbers are little-endian and lie at their natural alignment, so a mapped footer is read in place.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "storage/codec/byte_io.h"
#include "storage/model/flow_schema.h"

namespace sluice::segment {

inline constexpr std::array<char, 8> kMagic = {'S', 'L', 'U', 'I', 'C', 'E', '\x1a', 'S'};
inline constexpr uint32_t kFormatVersion = 1;

struct FileHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t zero;
  uint64_t id;
  uint64_t checksum;  // of the 24 bytes before
};
static_assert(sizeof(FileHeader) == 32);

struct FileTrailer {
  uint32_t footer_length;
  uint32_t version;
  uint64_t file_bytes;
  uint64_t checksum;  // of the footer and the 16 bytes before
  std::array<char, 8> magic;
};
static_assert(sizeof(FileTrailer) == 32);

struct FooterHead {
  uint64_t id;
  int64_t partition_start;
  int64_t first, last;
  uint32_t rows;
  uint32_t columns;
  uint32_t dictionaries;
  uint32_t postings;
};
static_assert(sizeof(FooterHead) == 48);

// Then: DictionaryEntry[dictionaries], PostingsEntry[postings], BlockEntry[blocks], ColumnEntry[columns],
// ChunkEntry[columns][blocks].

struct ChunkRef {
  uint64_t offset;
  uint64_t length;
  uint64_t checksum;
};

struct DictionaryEntry {
  ChunkRef chunk;
  uint32_t size;     // values
  uint8_t type;      // PhysicalType Ip or Str
  uint8_t zero[3];
};
static_assert(sizeof(DictionaryEntry) == 32);

struct PostingsEntry {
  ChunkRef chunk;  // the checksum is of the head only; the rest has its own
  uint32_t head_bytes;
  uint32_t zero;
};
static_assert(sizeof(PostingsEntry) == 32);

struct BlockEntry {
  uint32_t pairs;  // rows 2i and 2i+1 are each other's reverse for i < pairs
  uint32_t zero;
};
static_assert(sizeof(BlockEntry) == 8);

enum class ColumnKind : uint8_t { integers = 0, codes = 1, text = 2 };

inline constexpr uint16_t kAbsent = 0xffff;

struct ColumnEntry {
  uint8_t id;        // ColumnId
  uint8_t physical;  // PhysicalType
  uint8_t kind;      // ColumnKind
  uint8_t side;      // bit in the postings' sides: 1 or 2
  uint16_t dictionary;  // kAbsent: none
  uint16_t postings;    // kAbsent: none
};
static_assert(sizeof(ColumnEntry) == 8);

// How the values of a chunk differ from the rows' values.
enum ChunkFlags : uint32_t {
  kPaired = 1,            // one value per pair, the other in the partner's chunk
  kFromFlowEnd = 2,       // flow_end - value
  kFromExportedAt = 4,    // exported_at - value
  kZigzag = 8,            // of that difference
  kSplit = 16,            // the pairs' first rows, then their second rows, then the rest
  kHasRange = 32,         // min and max say something
  kTwin = 64,             // the pairs' first rows and the rest; then what the second rows differ by from the first
  kKnownFlags = 127,
};

struct ChunkEntry {
  uint64_t offset;
  uint32_t length;  // 0: every row is null
  uint32_t nulls;
  uint64_t checksum;
  uint32_t flags;
  uint32_t zero;
  uint64_t min, max;
};
static_assert(sizeof(ChunkEntry) == 48);

// The other side of a column of which there are two, with the same physical type.
struct Partner {
  ColumnId src, dst;
};
std::optional<Partner> partner_of(ColumnId id);

uint64_t checksum_of(codec::Bytes bytes);

}  // namespace sluice::segment
