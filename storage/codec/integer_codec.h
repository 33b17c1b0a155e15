// Integers <-> bytes: the table of integer codecs, and the streams that they make.
//
// A stream is one byte (the codec's number) and that codec's payload; how many values it holds is known from outside. Values
// are handled in granules of kCodecGranule, each of which decodes alone. A codec is chosen by asking each for its size,
// of a long stream by a part of its granules.
//
// To add a codec: one file, one row in integer_codec.cc; tests, fuzzing and benchmarks run over the table.
// Thread rule: codecs are stateless. Errors: hostile bytes give ErrorCode::corrupt; nothing is allocated beyond what the
// number of values asks for, which is at most kStreamValuesMax.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/codec/byte_io.h"
#include "storage/model/limits.h"
#include "storage/model/result.h"

namespace sluice::codec {

inline constexpr uint32_t kCodecGranule = 1'024;
inline constexpr uint32_t kStreamValuesMax = limits::kBlockRows;

// On disk.
enum class CodecId : uint8_t { constant = 1, packed = 2, delta = 3, runs = 4, local = 5, frame = 6 };

// Where decoded values go: unsigned integers of 1, 2, 4 or 8 bytes. Not owned.
struct Out {
  void* data;
  uint8_t width;

  Out(uint8_t* p) : data(p), width(1) {}   // NOLINT: implicit on purpose
  Out(uint16_t* p) : data(p), width(2) {}  // NOLINT
  Out(uint32_t* p) : data(p), width(4) {}  // NOLINT
  Out(uint64_t* p) : data(p), width(8) {}  // NOLINT
  Out(int64_t* p) : data(p), width(8) {}   // NOLINT

  // Calls f with the pointer in its own type.
  template <typename F>
  auto visit(F&& f) const {
    switch (width) {
      case 1: return f(static_cast<uint8_t*>(data));
      case 2: return f(static_cast<uint16_t*>(data));
      case 4: return f(static_cast<uint32_t*>(data));
      default: return f(static_cast<uint64_t*>(data));
    }
  }
};

// What one pass over the values learns, for all codecs.
struct Shape {
  uint32_t count = 0;
  uint64_t min = 0, max = 0;
  uint64_t scale = 1;  // divides every value - min
  uint32_t runs = 0;   // stretches of equal values

  // REQUIRES: 0 < values.size() <= kStreamValuesMax. `time`: look for a common power of 1,000 (times in ns often are ms).
  static Shape of(std::span<const uint64_t> values, bool time = false);
};

class IntegerCodec {
 public:
  virtual ~IntegerCodec() = default;
  virtual CodecId id() const = 0;
  virtual std::string_view name() const = 0;
  // About how many bytes encode() would append; nullopt: not for these values.
  virtual std::optional<size_t> estimate(std::span<const uint64_t> values, const Shape& shape) const = 0;
  virtual void encode(std::span<const uint64_t> values, const Shape& shape, std::string& out) const = 0;
  // Values [from, to) of the `count` in the payload, modulo what `out` holds: a stream may be wider than where it goes.
  // REQUIRES: from <= to <= count <= kStreamValuesMax
  virtual Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const = 0;
  // The values at `rows`, ascending. REQUIRES: rows < count
  virtual Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const = 0;
};

// All codecs, cheapest to decode first.
std::span<const IntegerCodec* const> integer_codecs();
// nullptr: no such number.
const IntegerCodec* find_codec(uint8_t id);

// Appends a stream and returns its codec. A cheaper codec is preferred where another saves little; the ones in `without` (a
// bit per CodecId) are not considered. An empty span makes an empty stream.
CodecId encode_integers(std::span<const uint64_t> values, std::string& out, bool time = false, uint32_t without = 0);
Status decode_integers(Bytes stream, uint32_t count, uint32_t from, uint32_t to, Out out);
Status decode_integer_rows(Bytes stream, uint32_t count, std::span<const uint32_t> rows, Out out);
// The codec of a stream, for people. "?" for bytes that are none.
std::string_view codec_name(Bytes stream);

inline Error corrupt(std::string_view what) { return Error{ErrorCode::corrupt, std::string(what)}; }

// One accessor per codec file, for the table.
const IntegerCodec& constant_codec();
const IntegerCodec& packed_codec();
const IntegerCodec& delta_codec();
const IntegerCodec& runs_codec();
const IntegerCodec& local_codec();
const IntegerCodec& frame_codec();

}  // namespace sluice::codec
