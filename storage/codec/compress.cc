#include "storage/codec/compress.h"

#include <lz4.h>
#include <zstd.h>

#include <memory>

namespace sluice::codec {
namespace {

constexpr int kZstdLevel = 3;

ZSTD_CCtx* compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  return context.get();
}

ZSTD_DCtx* expander() {
  thread_local std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  return context.get();
}

}  // namespace

PieceKind compress_piece(Bytes bytes, std::string& out, bool entropy_only) {
  const size_t start = out.size();
  auto store = [&] {
    out.resize(start);
    out.push_back(static_cast<char>(PieceKind::stored));
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return PieceKind::stored;
  };
  if (bytes.size() < 32 || bytes.size() > LZ4_MAX_INPUT_SIZE || !compressor()) return store();

  out.resize(start + 1 + ZSTD_compressBound(bytes.size()));
  const size_t zstd = ZSTD_compressCCtx(compressor(), out.data() + start + 1, out.size() - start - 1, bytes.data(), bytes.size(),
                                        entropy_only ? 1 : kZstdLevel);
  if (ZSTD_isError(zstd) || zstd >= bytes.size() - bytes.size() / 16) return store();
  if (!entropy_only) {
    // LZ4 opens several times as fast, so it may be somewhat larger.
    std::string lz4(static_cast<size_t>(LZ4_compressBound(static_cast<int>(bytes.size()))), '\0');
    const int size = LZ4_compress_default(reinterpret_cast<const char*>(bytes.data()), lz4.data(), static_cast<int>(bytes.size()),
                                          static_cast<int>(lz4.size()));
    if (size > 0 && static_cast<size_t>(size) <= zstd + zstd / 8) {
      out.resize(start);
      out.push_back(static_cast<char>(PieceKind::lz4));
      out.append(lz4.data(), static_cast<size_t>(size));
      return PieceKind::lz4;
    }
  }
  out[start] = static_cast<char>(PieceKind::zstd);
  out.resize(start + 1 + zstd);
  return PieceKind::zstd;
}

Status expand_piece(Bytes piece, uint8_t* out, size_t size) {
  const Error broken{ErrorCode::corrupt, "piece: does not expand to its size"};
  if (piece.empty()) return broken;
  const Bytes data = piece.subspan(1);
  switch (static_cast<PieceKind>(piece[0])) {
    case PieceKind::stored:
      if (data.size() != size) return broken;
      if (size > 0) std::memcpy(out, data.data(), size);
      return {};
    case PieceKind::lz4: {
      if (data.size() > LZ4_MAX_INPUT_SIZE || size > LZ4_MAX_INPUT_SIZE) return broken;
      const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(data.data()), reinterpret_cast<char*>(out),
                                          static_cast<int>(data.size()), static_cast<int>(size));
      if (got < 0 || static_cast<size_t>(got) != size) return broken;
      return {};
    }
    case PieceKind::zstd: {
      if (!expander()) return Error{ErrorCode::full, "piece: no memory for zstd"};
      const size_t got = ZSTD_decompressDCtx(expander(), out, size, data.data(), data.size());
      if (ZSTD_isError(got) || got != size) return broken;
      return {};
    }
  }
  return Error{ErrorCode::corrupt, "piece: unknown kind"};
}

}  // namespace sluice::codec
