#include "ingest/receive/inflate.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace sluice::ingest {
namespace {

constexpr size_t kPieceBytes = 256u << 10;

Error too_large(size_t limit) {
  return {ErrorCode::too_large, "inflated body exceeds the limit of bytes: " + std::to_string(limit)};
}

// Hands pieces on and keeps the bound.
class BoundedSink {
 public:
  BoundedSink(const InflateSink& sink, size_t limit) : sink_(sink), limit_(limit) {}
  Status put(std::string_view piece) {
    if (piece.empty()) return {};
    if (piece.size() > limit_ - total_) return too_large(limit_);
    total_ += piece.size();
    return sink_(piece);
  }
  size_t total() const { return total_; }

 private:
  const InflateSink& sink_;
  const size_t limit_;
  size_t total_ = 0;
};

Result<size_t> inflate_plain(std::string_view body, const InflateSink& sink, size_t limit) {
  BoundedSink out(sink, limit);
  if (body.size() > limit) return too_large(limit);
  for (size_t at = 0; at < body.size(); at += kPieceBytes) SLUICE_TRY(out.put(body.substr(at, kPieceBytes)));
  return out.total();
}

Result<size_t> inflate_deflate(std::string_view body, Compression compression, const InflateSink& sink, size_t limit) {
  const bool gzip = compression == Compression::gzip;
  const std::string name(to_string(compression));
  z_stream stream{};
  // 15: the widest window; + 16: a gzip wrapper instead of a zlib one.
  if (inflateInit2(&stream, gzip ? 15 + 16 : 15) != Z_OK) return Error{ErrorCode::full, "no memory to inflate"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);

  BoundedSink out(sink, limit);
  std::vector<char> piece(kPieceBytes);
  size_t at = 0;  // next compressed byte to give to zlib
  bool in_member = false;
  size_t members = 0;
  while (true) {
    if (stream.avail_in == 0 && at < body.size()) {
      // zlib counts input in 32 bits.
      const size_t give = std::min<size_t>(body.size() - at, 1u << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data() + at));
      stream.avail_in = static_cast<uInt>(give);
      at += give;
    }
    const size_t offset = at - stream.avail_in;
    if (!in_member) {
      if (stream.avail_in == 0) {
        if (members > 0) return out.total();
        return Error{ErrorCode::corrupt, name + " body is empty"};
      }
      // Some writers pad a gzip file with zeros to a block; nothing else may follow the last member.
      if (members > 0) {
        const std::string_view rest = body.substr(offset);
        if (rest.find_first_not_of('\0') == std::string_view::npos) return out.total();
        if (!gzip || static_cast<uint8_t>(rest[0]) != 0x1f)
          return Error{ErrorCode::corrupt, "bytes follow the end of the " + name + " body, at offset " + std::to_string(offset)};
        if (inflateReset(&stream) != Z_OK) return Error{ErrorCode::corrupt, "cannot restart inflate"};
      }
      in_member = true;
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    const int code = ::inflate(&stream, Z_NO_FLUSH);
    const size_t consumed = at - stream.avail_in;
    if (code == Z_NEED_DICT)
      return Error{ErrorCode::unsupported, "zlib body needs a preset dictionary, at offset " + std::to_string(consumed)};
    if (code == Z_MEM_ERROR) return Error{ErrorCode::full, "no memory to inflate"};
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
      return Error{ErrorCode::corrupt, "damaged " + name + " body (" + (stream.msg ? stream.msg : "no reason given") +
                                           "), at offset " + std::to_string(consumed)};
    const size_t made = piece.size() - stream.avail_out;
    SLUICE_TRY(out.put({piece.data(), made}));
    if (code == Z_STREAM_END) {
      in_member = false;
      ++members;
    } else if (made == 0 && stream.avail_in == 0 && at == body.size()) {
      return Error{ErrorCode::corrupt, name + " body ends early, at offset " + std::to_string(consumed)};
    }
  }
}

Result<size_t> inflate_zstd(std::string_view body, const InflateSink& sink, size_t limit) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return Error{ErrorCode::full, "no memory to inflate"};
  // 128 MiB of window: what `zstd --ultra` makes at most without --long; a hostile header cannot ask for more memory.
  if (ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 27)))
    return Error{ErrorCode::io, "libzstd refuses a window of 128 MiB"};
  if (body.empty()) return Error{ErrorCode::corrupt, "zstd body is empty"};

  BoundedSink out(sink, limit);
  std::vector<char> piece(kPieceBytes);
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  size_t wanted = 1;  // bytes libzstd would like next; 0 at the end of a frame
  while (true) {
    if (in.pos == in.size && wanted == 0) return out.total();
    const size_t before = in.pos;
    if (wanted == 0 && body.substr(in.pos).find_first_not_of('\0') == std::string_view::npos) return out.total();
    const bool frame_start = wanted == 0;
    ZSTD_outBuffer to{piece.data(), piece.size(), 0};
    wanted = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(wanted)) {
      if (frame_start)
        return Error{ErrorCode::corrupt, "bytes follow the end of the zstd body, at offset " + std::to_string(before)};
      return Error{ErrorCode::corrupt,
                   std::string("damaged zstd body (") + ZSTD_getErrorName(wanted) + "), at offset " + std::to_string(in.pos)};
    }
    SLUICE_TRY(out.put({piece.data(), to.pos}));
    if (wanted != 0 && in.pos == in.size && to.pos < to.size)
      return Error{ErrorCode::corrupt, "zstd body ends early, at offset " + std::to_string(in.pos)};
  }
}

bool equals_ignoring_case(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() && std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x) == y;
         });
}

}  // namespace

std::string_view to_string(Compression compression) {
  switch (compression) {
    case Compression::none: return "none";
    case Compression::gzip: return "gzip";
    case Compression::zlib: return "zlib";
    case Compression::zstd: return "zstd";
  }
  return "?";
}

Compression detect_compression(std::string_view body, bool with_zlib) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(body[i]); };
  if (body.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b) return Compression::gzip;
  if (body.size() >= 4 && byte(0) == 0x28 && byte(1) == 0xb5 && byte(2) == 0x2f && byte(3) == 0xfd) return Compression::zstd;
  // RFC 1950 §2.2: method 8, window 2^(7..15), a header that is a multiple of 31. "x\x01", "x^", "x\x9c", "x\xda" in practice.
  if (with_zlib && body.size() >= 2 && byte(0) == 0x78 && (byte(0) * 256u + byte(1)) % 31 == 0 && (byte(1) & 0x20) == 0)
    return Compression::zlib;
  return Compression::none;
}

Result<Compression> compression_of(std::string_view content_encoding) {
  while (!content_encoding.empty() && (content_encoding.front() == ' ' || content_encoding.front() == '\t'))
    content_encoding.remove_prefix(1);
  while (!content_encoding.empty() && (content_encoding.back() == ' ' || content_encoding.back() == '\t'))
    content_encoding.remove_suffix(1);
  const auto is = [&](std::string_view name) { return equals_ignoring_case(content_encoding, name); };
  if (content_encoding.empty() || is("identity")) return Compression::none;
  if (is("gzip") || is("x-gzip")) return Compression::gzip;
  if (is("deflate")) return Compression::zlib;
  if (is("zstd")) return Compression::zstd;
  return Error{ErrorCode::unsupported, "content encoding is not one of identity, gzip, deflate, zstd: " +
                                           std::string(content_encoding.substr(0, 64))};
}

Result<size_t> inflate(std::string_view body, Compression compression, const InflateSink& sink, size_t limit) {
  switch (compression) {
    case Compression::none: return inflate_plain(body, sink, limit);
    case Compression::gzip:
    case Compression::zlib: return inflate_deflate(body, compression, sink, limit);
    case Compression::zstd: return inflate_zstd(body, sink, limit);
  }
  return Error{ErrorCode::invalid_argument, "no such compression"};
}

Result<std::string> inflate_to_string(std::string_view body, Compression compression, size_t limit) {
  HeldMemory granted(nullptr);
  return inflate_to_string(body, compression, limit, granted);
}

Result<std::string> inflate_to_string(std::string_view body, Compression compression, size_t limit, HeldMemory& held) {
  std::string text;
  const InflateSink append = [&](std::string_view piece) -> Status {
    SLUICE_TRY(held.grow(text, piece.size(), body.size()));
    text.append(piece);
    return {};
  };
  SLUICE_TRY(inflate(body, compression, append, limit));
  return text;
}

}  // namespace sluice::ingest
