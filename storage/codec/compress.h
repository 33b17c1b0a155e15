// General compression of a piece of bytes, where nothing better fits: stored, LZ4 or zstd, whichever is worth it.
//
// A piece is one byte (kind) and its data; its size when open is known from outside, so a bomb has no room.
// Thread rule: any thread; zstd contexts are kept per thread. Errors: corrupt.
#pragma once

#include <string>

#include "storage/codec/byte_io.h"
#include "storage/model/result.h"

namespace sluice::codec {

enum class PieceKind : uint8_t { stored = 0, lz4 = 1, zstd = 2 };

// Appends a piece. `entropy_only`: the bytes are numbers, where LZ4's matches are of little use.
PieceKind compress_piece(Bytes bytes, std::string& out, bool entropy_only = false);
// Opens a piece into exactly out[0, size).
Status expand_piece(Bytes piece, uint8_t* out, size_t size);

}  // namespace sluice::codec
