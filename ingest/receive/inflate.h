// Takes the compression off a body: gzip (RFC 1952, any number of members), zlib (RFC 1950) and Zstandard (RFC 8878, any
// number of frames). The output is bounded, because a small hostile body can inflate a thousandfold and more.
//
// Thread rule: functions share nothing. An Inflater belongs to one thread at a time.
// Errors: too_large beyond the bound, corrupt for damage, truncation and trailing bytes (with the offset in the compressed
// body), unsupported for an encoding that is not known. zlib and libzstd are included in inflate.cc only.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/receive/limits.h"
#include "ingest/receive/memory_share.h"
#include "storage/model/result.h"

namespace sluice::ingest {

enum class Compression { none, gzip, zlib, zstd };
std::string_view to_string(Compression compression);

// By the first bytes: 1f 8b, 28 b5 2f fd, or a zlib header that checks out. Text formats never begin so; a body of another
// binary format may look like zlib, so packet bodies ask only for gzip and zstd.
Compression detect_compression(std::string_view body, bool with_zlib = true);

// An HTTP Content-Encoding: "", "identity", "gzip", "x-gzip", "deflate" (zlib as RFC 9110 says), "zstd"; case-insensitive.
// Lists ("gzip, gzip") and anything else: unsupported.
Result<Compression> compression_of(std::string_view content_encoding);

// Gets the next piece of the inflated bytes, of at most 256 KiB; the view is valid during the call only.
using InflateSink = std::function<Status(std::string_view piece)>;

// Inflates a whole body piece by piece and returns the count of bytes out. Bytes that are already plain pass through
// (they count against the bound too). The first `limit` bytes may have reached the sink when too_large is returned.
Result<size_t> inflate(std::string_view body, Compression compression, const InflateSink& sink,
                       size_t limit = limits::kIngestInflatedBytesMax);

// The same into one string.
Result<std::string> inflate_to_string(std::string_view body, Compression compression, size_t limit = limits::kIngestInflatedBytesMax);
// The same, and the string's memory is taken from a share while it grows (while it is moved over, both). `held` keeps it, holds
// nothing else and outlives the string. Errors: also those of the share.
Result<std::string> inflate_to_string(std::string_view body, Compression compression, size_t limit, HeldMemory& held);

}  // namespace sluice::ingest
