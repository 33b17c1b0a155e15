// The bounds of answers as Arrow and Parquet, with their reasons and what happens when they are met.
#pragma once

#include <cstddef>

namespace sluice::limits {

// Rows that wait in columns until they leave together, by their bytes there and their number: each record batch has some hundred bytes
// of head for every column, so rows of 90 columns want to be some thousands. Beyond: they leave.
inline constexpr size_t kColumnarBatchBytes = 2u << 20;
inline constexpr size_t kColumnarBatchRows = 65'536;
// Rows of the query's batch that are taken over before these two are looked at, and their bytes.
inline constexpr size_t kColumnarSliceRows = 1'024;
inline constexpr size_t kColumnarSliceBytes = 1u << 20;
// One row group of Parquet, which is held in memory, encoded and packed, until it is whole: its bytes as columns before that, and its rows. Readers
// skip and share work by row groups, so they are not small. Beyond: the next row group begins.
inline constexpr size_t kParquetRowGroupBytes = 32u << 20;
inline constexpr size_t kParquetRowGroupRows = 1u << 20;
// What one answer may take in memory for all that: the rows that wait, a row group and the buffers of its columns. It is only met by
// single values of that size, for which neither format has a way of leaving in parts. Beyond: the answer breaks off.
inline constexpr size_t kColumnarMemoryBytesMax = 256u << 20;
// Bytes that leave at once: a client that reads slowly holds the writer back after each.
inline constexpr size_t kColumnarPieceBytes = 64u << 10;

}  // namespace sluice::limits
