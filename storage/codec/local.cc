// local: few distinct values spread over a wide range. Payload: varint distinct values, varint bytes of their stream, the
// sorted distinct values (a stream), then the payload of `packed` with each row's position in that list.
#include <algorithm>
#include <vector>

#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

// More distinct values than this seldom pay, and the list must be decoded to read one row.
constexpr size_t kDistinctMax = 4'096;
constexpr uint32_t kNotWithin = 1u << static_cast<unsigned>(CodecId::runs) | 1u << static_cast<unsigned>(CodecId::local) |
                              1u << static_cast<unsigned>(CodecId::frame);

// An open-addressing set of up to kDistinctMax values, and each value's position once sorted.
// One at a time in a thread: the next one takes its slots.
class DistinctSet {
 public:
  DistinctSet() : slots_(slots().slots) {
    if (++slots().turn == 0) {
      std::fill(slots_.begin(), slots_.end(), Slot{});
      slots().turn = 1;
    }
    turn_ = slots().turn;
  }
  // False: too many.
  bool build(std::span<const uint64_t> values) {
    sorted_.clear();
    uint64_t previous = ~values[0];
    for (uint64_t v : values) {
      if (v == previous) continue;
      previous = v;
      Slot& s = find(v);
      if (s.turn == turn_) continue;
      if (sorted_.size() == kDistinctMax) return false;
      s = Slot{v, 0, turn_};
      sorted_.push_back(v);
    }
    std::sort(sorted_.begin(), sorted_.end());
    for (size_t i = 0; i < sorted_.size(); ++i) find(sorted_[i]).position = static_cast<uint32_t>(i);
    return true;
  }
  const std::vector<uint64_t>& sorted() const { return sorted_; }
  uint32_t position(uint64_t value) { return find(value).position; }

 private:
  struct Slot {
    uint64_t value = 0;
    uint32_t position = 0;
    uint32_t turn = 0;  // whose it is: another's is free
  };
  static constexpr size_t kSlots = 4 * kDistinctMax;
  // Sets come and go by the hundred for a segment, and emptying a quarter of a megabyte costs more than most of them.
  struct Slots {
    std::vector<Slot> slots;
    uint32_t turn;
  };
  static Slots& slots() {
    thread_local Slots s{std::vector<Slot>(kSlots), 0};
    return s;
  }
  Slot& find(uint64_t value) {
    size_t i = (value * 0x9e3779b97f4a7c15ull) >> 50;
    static_assert(kSlots == size_t{1} << 14);
    while (slots_[i].turn == turn_ && slots_[i].value != value) i = (i + 1) % kSlots;
    return slots_[i];
  }
  std::vector<Slot>& slots_;
  uint32_t turn_;
  std::vector<uint64_t> sorted_;
};

struct LocalParts {
  std::vector<uint64_t> values;
  Bytes positions;

  static Result<LocalParts> of(Bytes payload, uint32_t count) {
    LocalParts p;
    ByteReader in(payload);
    const uint64_t distinct = in.varint();
    const Bytes stream = in.take(in.varint());
    p.positions = in.rest();
    if (!in.ok() || distinct == 0 || distinct > std::min<uint64_t>(count, kDistinctMax)) return corrupt("local: bad header");
    if (stream.empty() || (stream[0] < 32 && (kNotWithin >> stream[0] & 1))) return corrupt("local: a stream that may not nest");
    p.values.resize(distinct);
    SLUICE_TRY(decode_integers(stream, static_cast<uint32_t>(distinct), 0, static_cast<uint32_t>(distinct), Out(p.values.data())));
    return p;
  }

  template <typename T>
  Status look_up(std::span<const uint16_t> positions_of_rows, T* out) const {
    for (size_t i = 0; i < positions_of_rows.size(); ++i) {
      if (positions_of_rows[i] >= values.size()) return corrupt("local: a position beyond the list");
      out[i] = static_cast<T>(values[positions_of_rows[i]]);
    }
    return {};
  }
};

class Local final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::local; }
  std::string_view name() const override { return "local"; }

  std::optional<size_t> estimate(std::span<const uint64_t> values, const Shape& shape) const override {
    const auto plain_bits = static_cast<unsigned>(std::bit_width((shape.max - shape.min) / shape.scale));
    if (plain_bits <= 6 || shape.count < 256) return std::nullopt;
    DistinctSet set;
    if (!set.build(values)) return std::nullopt;
    std::vector<uint64_t> positions = positions_of(values, set);
    const size_t list = *packed_codec().estimate(set.sorted(), Shape::of(set.sorted()));
    return 8 + std::min(list, set.sorted().size() * bytes_for(shape.max)) + *packed_codec().estimate(positions, Shape::of(positions));
  }

  void encode(std::span<const uint64_t> values, const Shape&, std::string& out) const override {
    DistinctSet set;
    SLUICE_CHECK(set.build(values));
    std::string list;
    encode_integers(set.sorted(), list, false, kNotWithin);
    put_varint(out, set.sorted().size());
    put_varint(out, list.size());
    out += list;
    const std::vector<uint64_t> positions = positions_of(values, set);
    packed_codec().encode(positions, Shape::of(positions), out);
  }

  Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const override {
    SLUICE_ASSIGN(const LocalParts parts, LocalParts::of(payload, count));
    std::vector<uint16_t> positions(to - from);
    SLUICE_TRY(packed_codec().decode(parts.positions, count, from, to, Out(positions.data())));
    return out.visit([&](auto* p) { return parts.look_up(positions, p); });
  }

  Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const override {
    SLUICE_ASSIGN(const LocalParts parts, LocalParts::of(payload, count));
    std::vector<uint16_t> positions(rows.size());
    SLUICE_TRY(packed_codec().decode_rows(parts.positions, count, rows, Out(positions.data())));
    return out.visit([&](auto* p) { return parts.look_up(positions, p); });
  }

 private:
  static std::vector<uint64_t> positions_of(std::span<const uint64_t> values, DistinctSet& set) {
    std::vector<uint64_t> positions(values.size());
    for (size_t i = 0; i < values.size(); ++i) positions[i] = set.position(values[i]);
    return positions;
  }
};

}  // namespace

const IntegerCodec& local_codec() {
  static const Local codec;
  return codec;
}

}  // namespace sluice::codec
