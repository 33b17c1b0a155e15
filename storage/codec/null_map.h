// Null maps <-> bytes: which rows of a block have a value. Cheap when none, all, or long stretches have one.
//
// Payload: u8 kind; 0: every row has a value; 1: no row has; 2: a stream of the lengths of alternating stretches, beginning
// with rows that have a value (which may be none), as varint count and stream; 3: a piece of ceil(rows/8) bytes, bit i of
// byte i/8 set where row i has a value. Thread rule: pure functions. Errors: corrupt.
#pragma once

#include <string>

#include "storage/codec/byte_io.h"
#include "storage/model/column.h"
#include "storage/model/result.h"

namespace sluice::codec {

// REQUIRES: validity is empty (no nulls) or of `rows` bits, rows <= limits::kBlockRows
void encode_null_map(const Bitmap& validity, uint32_t rows, std::string& out);
// Empty: no nulls.
Result<Bitmap> decode_null_map(Bytes payload, uint32_t rows);

}  // namespace sluice::codec
