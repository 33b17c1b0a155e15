// A batch of flows <-> bytes: the form of the journal. Made for speed: each column's bytes are laid out in planes (all first
// bytes, then all second bytes, …) and go through LZ4, which leaves little of constant planes.
//
//   batch   := 'B' version=1 rows columns column*         numbers are varints (LEB128) unless said otherwise
//   column  := column_id physical:u8 flags:u8 [validity] values
//   flags   := 1: has a validity bitmap   2: coded   4: its dictionary is sorted
//   validity:= block of 64-bit words, little-endian, a one means "has a value"
//   values  := numbers, addresses: block of rows x width, in planes
//              strings: block of lengths (u32, in planes), block of their bytes end to end
//              coded: size, then the dictionary's values as above, then block of codes (u32, in planes)
//   block   := method:u8 (0 as it is, 1 LZ4) raw_bytes stored_bytes stored
//
// Integrity is the journal's: RocksDB checks its log and files. Still, hostile bytes give ErrorCode::corrupt and make no more
// memory than LZ4's 255-fold of their own size.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "storage/model/batch.h"
#include "storage/model/result.h"

namespace sluice::codec {

// Appends the batch's bytes. REQUIRES: every field is a stored flow column, each at most once, of its schema's physical type
void append_batch_bytes(const Batch& batch, std::string& out);

// Errors: corrupt; unsupported (a newer form, or a column that this program does not know).
Result<Batch> read_batch_bytes(std::string_view bytes);

}  // namespace sluice::codec
