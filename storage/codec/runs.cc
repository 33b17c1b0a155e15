// runs: stretches of equal values. Payload: varint count of runs, varint bytes of the first stream; the runs' last rows (a
// stream of ascending numbers), then the runs' values (a stream). Neither holds runs itself, so streams nest one deep.
#include <algorithm>
#include <vector>

#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

constexpr uint32_t kNotNested = 1u << static_cast<unsigned>(CodecId::runs) | 1u << static_cast<unsigned>(CodecId::local) |
                              1u << static_cast<unsigned>(CodecId::frame);

struct RunParts {
  uint32_t runs;
  Bytes values;
  std::vector<uint32_t> lasts;  // last row of each run, ascending strictly, the final one count - 1

  static Result<RunParts> of(Bytes payload, uint32_t count) {
    RunParts p;
    ByteReader in(payload);
    const uint64_t runs = in.varint();
    const Bytes lasts = in.take(in.varint());
    p.values = in.rest();
    if (!in.ok() || runs == 0 || runs > count) return corrupt("runs: bad header");
    if (nested_too_deep(lasts) || nested_too_deep(p.values)) return corrupt("runs: a stream that may not nest");
    p.runs = static_cast<uint32_t>(runs);
    p.lasts.resize(runs);
    SLUICE_TRY(decode_integers(lasts, p.runs, 0, p.runs, Out(p.lasts.data())));
    for (size_t i = 1; i < p.lasts.size(); ++i)
      if (p.lasts[i] <= p.lasts[i - 1]) return corrupt("runs: rows do not ascend");
    if (p.lasts.back() != count - 1) return corrupt("runs: rows do not add up");
    return p;
  }
  static bool nested_too_deep(Bytes stream) { return stream.empty() || (stream[0] < 32 && (kNotNested >> stream[0] & 1)); }
};

class Runs final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::runs; }
  std::string_view name() const override { return "runs"; }

  std::optional<size_t> estimate(std::span<const uint64_t>, const Shape& shape) const override {
    if (shape.runs > shape.count / 4) return std::nullopt;
    // Rows of a run as a short delta, values in the block's range: a rough guess is enough to be tried.
    const size_t bits = 12 + static_cast<size_t>(std::bit_width((shape.max - shape.min) / shape.scale));
    return 48 + shape.runs * bits / 8;
  }

  void encode(std::span<const uint64_t> values, const Shape&, std::string& out) const override {
    std::vector<uint64_t> lasts, heads;
    for (size_t i = 0; i < values.size(); ++i) {
      if (i + 1 < values.size() && values[i] == values[i + 1]) continue;
      lasts.push_back(i);
      heads.push_back(values[i]);
    }
    std::string first;
    encode_integers(lasts, first, false, kNotNested);
    put_varint(out, lasts.size());
    put_varint(out, first.size());
    out += first;
    encode_integers(heads, out, false, kNotNested);
  }

  Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const override {
    if (from == to) return {};
    SLUICE_ASSIGN(const RunParts parts, RunParts::of(payload, count));
    const auto first = static_cast<uint32_t>(std::lower_bound(parts.lasts.begin(), parts.lasts.end(), from) - parts.lasts.begin());
    const auto last = static_cast<uint32_t>(std::lower_bound(parts.lasts.begin(), parts.lasts.end(), to - 1) - parts.lasts.begin());
    return out.visit([&](auto* p) -> Status {
      using T = std::remove_pointer_t<decltype(p)>;
      std::vector<T> values(last - first + 1);
      SLUICE_TRY(decode_integers(parts.values, parts.runs, first, last + 1, Out(values.data())));
      uint32_t row = from;
      for (uint32_t r = first; r <= last; ++r) {
        const uint32_t end = std::min(parts.lasts[r] + 1, to);
        std::fill(p + (row - from), p + (end - from), values[r - first]);
        row = end;
      }
      return {};
    });
  }

  Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const override {
    if (rows.empty()) return {};
    SLUICE_ASSIGN(const RunParts parts, RunParts::of(payload, count));
    std::vector<uint32_t> wanted(rows.size());
    auto at = parts.lasts.begin();
    for (size_t i = 0; i < rows.size(); ++i) {
      at = std::lower_bound(at, parts.lasts.end(), rows[i]);
      wanted[i] = static_cast<uint32_t>(at - parts.lasts.begin());
    }
    return decode_integer_rows(parts.values, parts.runs, wanted, out);
  }
};

}  // namespace

const IntegerCodec& runs_codec() {
  static const Runs codec;
  return codec;
}

}  // namespace sluice::codec
