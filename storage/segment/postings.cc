#include "storage/segment/postings.h"

#include <algorithm>

#include "storage/codec/integer_codec.h"
#include "storage/segment/format.h"

namespace sluice::segment {

using codec::Bytes;
using codec::Out;
using codec::put;

namespace {

// Values between two entries of `before`, and numbers in one stream: a lookup decodes at most a few of these.
constexpr uint32_t kValuesStep = 1'024;
constexpr uint32_t kStream = 16'384;

struct StreamEntry {
  uint32_t offset;  // from the end of the head
  uint32_t length;
  uint64_t checksum;
};
static_assert(sizeof(StreamEntry) == 16);

constexpr uint32_t kDear = 1u << static_cast<unsigned>(codec::CodecId::frame) | 1u << static_cast<unsigned>(codec::CodecId::local);

uint32_t pieces(uint64_t count, uint32_t size) { return static_cast<uint32_t>((count + size - 1) / size); }

Error corrupt(std::string_view what) { return Error{ErrorCode::corrupt, std::string(what)}; }

}  // namespace

PostingsBuilder::PostingsBuilder(uint32_t values, uint32_t granules) : granules_(granules), last_(values, 0) {}

uint32_t PostingsBuilder::limit_within(std::span<const uint32_t> limits, size_t items_max) const {
  uint32_t best = 0;
  for (uint32_t limit : limits) {
    const auto items = static_cast<size_t>(std::count_if(items_.begin(), items_.end(), [&](const Item& i) { return i.value < limit; }));
    if (items <= items_max) best = std::max(best, limit);
  }
  return best;
}

uint32_t PostingsBuilder::write(uint32_t limit, std::string& out) const {
  const auto values = static_cast<uint32_t>(std::min<size_t>(limit, last_.size()));
  // Counting sort by value; granules already ascend.
  std::vector<uint32_t> starts(size_t{values} + 1, 0);
  for (const Item& i : items_)
    if (i.value < values) ++starts[i.value + 1];
  std::vector<uint64_t> counts(starts.begin() + 1, starts.end());
  for (size_t v = 0; v < values; ++v) starts[v + 1] += starts[v];
  const uint32_t items = starts[values];
  std::vector<uint32_t> before;
  for (uint32_t v = 0; v < values; v += kValuesStep) before.push_back(starts[v]);
  before.push_back(items);
  std::vector<uint64_t> granules(items), sides(items);
  for (const Item& i : items_) {
    if (i.value >= values) continue;
    const uint32_t at = starts[i.value]++;
    granules[at] = i.granule;
    sides[at] = i.sides;
  }

  std::vector<StreamEntry> entries;
  std::string streams;
  for (const auto* numbers : {&counts, &granules, &sides}) {
    for (size_t at = 0; at < numbers->size(); at += kStream) {
      const auto part = std::span<const uint64_t>(*numbers).subspan(at, std::min<size_t>(kStream, numbers->size() - at));
      const size_t offset = streams.size();
      codec::encode_integers(part, streams, false, kDear);
      const size_t length = streams.size() - offset;
      entries.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(length),
                         checksum_of(Bytes(reinterpret_cast<const uint8_t*>(streams.data()) + offset, length))});
    }
  }
  const size_t start = out.size();
  put(out, PostingsHead{values, items, limit, granules_});
  out.append(reinterpret_cast<const char*>(before.data()), before.size() * sizeof before[0]);
  out.append(reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof entries[0]);
  const auto head = static_cast<uint32_t>(out.size() - start);
  out += streams;
  return head;
}

namespace {

class Reader {
 public:
  static Result<Reader> of(Bytes chunk, uint32_t head_bytes, uint32_t granules, bool verify, ReadStats* stats) {
    Reader r;
    r.verify_ = verify;
    r.stats_ = stats;
    if (head_bytes > chunk.size()) return corrupt("postings: head beyond the chunk");
    codec::ByteReader in(chunk.first(head_bytes));
    r.head_ = in.get<PostingsHead>();
    r.before_ = in.take((size_t{pieces(r.head_.values, kValuesStep)} + 1) * 4);
    r.counts_ = pieces(r.head_.values, kStream);
    r.items_ = pieces(r.head_.items, kStream);
    r.entries_ = in.take((size_t{r.counts_} + 2 * size_t{r.items_}) * sizeof(StreamEntry));
    if (!in.ok() || in.left() != 0 || r.head_.granules != granules || r.head_.values > r.head_.limit) return corrupt("postings: bad head");
    r.streams_ = chunk.subspan(head_bytes);
    return r;
  }

  const PostingsHead& head() const { return head_; }

  // Items before the list of `value`. REQUIRES: value <= head().values
  Result<uint32_t> items_before(uint32_t value) const {
    const uint32_t step = value / kValuesStep;
    uint32_t sum = before(step);
    if (value % kValuesStep != 0) {
      uint16_t counts[kValuesStep];
      const uint32_t stream = value / kStream, first = step * kValuesStep % kStream, n = value % kValuesStep;
      SLUICE_TRY(decode(stream, head_.values - stream * kStream, first, first + n, Out(counts)));
      for (uint32_t i = 0; i < n; ++i) sum += counts[i];
    }
    if (sum > head_.items) return corrupt("postings: counts beyond the items");
    return sum;
  }

  Status collect(uint32_t begin, uint32_t end, uint32_t wanted_sides, Bitmap& found) const {
    std::vector<uint16_t> granules;
    std::vector<uint8_t> sides;
    while (begin < end) {
      const uint32_t stream = begin / kStream, start = stream * kStream;
      const uint32_t stop = std::min(end, start + kStream), n = stop - begin;
      granules.resize(n);
      sides.resize(n);
      SLUICE_TRY(decode(counts_ + stream, head_.items - start, begin - start, stop - start, Out(granules.data())));
      SLUICE_TRY(decode(counts_ + items_ + stream, head_.items - start, begin - start, stop - start, Out(sides.data())));
      for (uint32_t i = 0; i < n; ++i) {
        if (granules[i] >= head_.granules) return corrupt("postings: a granule beyond the segment");
        if (sides[i] & wanted_sides) found.set(granules[i], true);
      }
      begin = stop;
    }
    return {};
  }

 private:
  uint32_t before(uint32_t step) const { return codec::load<uint32_t>(before_.data() + size_t{step} * 4); }

  // Numbers [from, to) of a stream that holds min(left, kStream).
  Status decode(uint32_t which, uint32_t left, uint32_t from, uint32_t to, Out out) const {
    const auto e = codec::load<StreamEntry>(entries_.data() + size_t{which} * sizeof(StreamEntry));
    if (e.offset > streams_.size() || e.length > streams_.size() - e.offset) return corrupt("postings: a stream beyond the chunk");
    const Bytes stream = streams_.subspan(e.offset, e.length);
    if (verify_ && checksum_of(stream) != e.checksum) return corrupt("postings: checksum does not match");
    if (stats_) stats_->count(stream);
    const uint32_t count = std::min(left, kStream);
    if (to > count) return corrupt("postings: counts do not agree");
    return codec::decode_integers(stream, count, from, to, out);
  }

  PostingsHead head_{};
  Bytes before_, entries_, streams_;
  uint32_t counts_ = 0, items_ = 0;
  bool verify_ = true;
  ReadStats* stats_ = nullptr;
};

}  // namespace

Status find_granules(Bytes chunk, uint32_t head_bytes, std::span<const ValueRange> ranges, uint32_t sides, bool verify, Bitmap& found,
                     ReadStats* stats) {
  SLUICE_ASSIGN(const Reader reader, Reader::of(chunk, head_bytes, static_cast<uint32_t>(found.size()), verify, stats));
  const PostingsHead& head = reader.head();
  for (const ValueRange& range : ranges) {
    if (range.first > range.last) continue;
    if (range.last >= head.limit) {
      found = Bitmap(found.size(), true);
      return {};
    }
    if (range.first >= head.values) continue;
    const auto first = static_cast<uint32_t>(range.first);
    const auto end = static_cast<uint32_t>(std::min<uint64_t>(range.last, head.values - 1)) + 1;
    SLUICE_ASSIGN(const uint32_t from, reader.items_before(first));
    SLUICE_ASSIGN(const uint32_t to, reader.items_before(end));
    if (from > to) return corrupt("postings: counts do not agree");
    // So many that they are nearly everywhere: finding out where not costs more than it saves.
    if ((to - from) / 64 > head.granules) {
      found = Bitmap(found.size(), true);
      return {};
    }
    SLUICE_TRY(reader.collect(from, to, sides, found));
  }
  return {};
}

Status verify_postings(Bytes chunk, uint32_t head_bytes, uint32_t granules, bool verify) {
  SLUICE_ASSIGN(const Reader reader, Reader::of(chunk, head_bytes, granules, verify, nullptr));
  uint32_t before = 0;
  for (uint32_t v = 0; v < reader.head().values; v += std::min(kValuesStep, reader.head().values - v)) {
    // The counts of the values up to here are read to their end, and must agree with what the head says of the next step.
    const uint32_t end = v + std::min(kValuesStep, reader.head().values - v);
    if (end % kValuesStep == 0) {
      SLUICE_ASSIGN(const uint32_t last, reader.items_before(end - 1));
      SLUICE_ASSIGN(const uint32_t next, reader.items_before(end));
      if (last < before || next < last) return corrupt("postings: counts do not agree");
      before = next;
    } else {
      SLUICE_ASSIGN(const uint32_t next, reader.items_before(end));
      if (next != reader.head().items) return corrupt("postings: counts do not agree");
    }
  }
  Bitmap found(granules, false);
  return reader.collect(0, reader.head().items, 3, found);
}

}  // namespace sluice::segment
