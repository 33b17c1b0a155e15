// Segment::open: maps a file, checks its footer once, and reads columns in place.
//
// Memory per open segment: this object, a copy of the footer (48 bytes a chunk, a hundredth of a percent of large segments'
// rows; what was checked once must not change when the file does, see mapping.h), a bit per chunk and dictionary for "checksum seen", and
// the dictionaries that were asked for.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>

#include "storage/codec/integer_codec.h"
#include "storage/codec/null_map.h"
#include "storage/codec/text_codec.h"
#include "storage/model/limits.h"
#include "storage/segment/dictionary.h"
#include "storage/segment/format.h"
#include "storage/segment/mapping.h"
#include "storage/segment/open_options.h"
#include "storage/segment/postings.h"
#include "storage/segment/segment.h"

namespace sluice::segment {
namespace {

using codec::Bytes;
using codec::Out;

class MappedSegment final : public Segment {
 public:
  MappedSegment(std::string path, std::shared_ptr<const Mapping> mapping, const OpenOptions& options)
      : mapping_(std::move(mapping)), options_(options) {
    info_.path = std::move(path);
    column_index_.fill(kNoColumn);
  }

  // Checks header and footer, so that later reads index without asking. The rest is checked when it is read.
  Status open() {
    const Bytes file = mapping_->bytes();
    if (file.size() < sizeof(FileHeader) + sizeof(FooterHead) + sizeof(FileTrailer)) return bad("too short to be a segment");
    const auto header = codec::load<FileHeader>(file.data());
    if (header.magic != kMagic) return bad("not a segment file");
    // The version comes first: a newer format may have another footer.
    if (header.version > kFormatVersion)
      return Error{ErrorCode::unsupported, info_.path + ": segment format version " + std::to_string(header.version) +
                                               " is newer than the newest known, " + std::to_string(kFormatVersion)};
    if (options_.verify && header.checksum != checksum_of(file.first(24))) return bad("header: checksum does not match");
    if (header.version == 0) return bad("header: version 0");

    const auto trailer = codec::load<FileTrailer>(file.data() + file.size() - sizeof(FileTrailer));
    if (trailer.magic != kMagic || trailer.file_bytes != file.size()) return bad("cut short: it does not end in a segment's trailer");
    const size_t footer_room = file.size() - sizeof(FileHeader) - sizeof(FileTrailer);
    if (trailer.footer_length > footer_room || trailer.footer_length < sizeof(FooterHead)) return bad("trailer: impossible footer length");
    const size_t footer_at = file.size() - sizeof(FileTrailer) - trailer.footer_length;
    if (footer_at % 8 != 0) return bad("footer: out of alignment");
    // With the 16 bytes behind it, which its checksum covers.
    footer_ = std::make_unique<uint64_t[]>((trailer.footer_length + 16 + 7) / 8);
    std::memcpy(footer_.get(), file.data() + footer_at, trailer.footer_length + 16);
    const Bytes footer(reinterpret_cast<const uint8_t*>(footer_.get()), trailer.footer_length);
    if (options_.verify && trailer.checksum != checksum_of(Bytes(footer.data(), footer.size() + 16)))
      return bad("footer: checksum does not match");

    const auto head = codec::load<FooterHead>(footer.data());
    if (options_.verify && head.id != header.id) return bad("footer: another segment's");
    if (head.rows == 0 || head.rows > limits::kSegmentRowsMax) return bad("footer: impossible number of rows");
    if (head.columns > kColumnsMax || head.dictionaries > head.columns || head.postings > head.columns)
      return bad("footer: impossible number of columns");
    info_.id = head.id;
    info_.partition_start = head.partition_start;
    info_.rows = head.rows;
    info_.first = head.first;
    info_.last = head.last;
    info_.file_bytes = file.size();

    const size_t blocks = block_count();
    const size_t wanted = sizeof(FooterHead) + head.dictionaries * sizeof(DictionaryEntry) + head.postings * sizeof(PostingsEntry) +
                          blocks * sizeof(BlockEntry) + head.columns * (sizeof(ColumnEntry) + blocks * sizeof(ChunkEntry));
    if (footer.size() != wanted) return bad("footer: its length does not fit its counts");
    const uint8_t* p = footer.data() + sizeof(FooterHead);
    dictionaries_ = take<DictionaryEntry>(p, head.dictionaries);
    postings_ = take<PostingsEntry>(p, head.postings);
    block_entries_ = take<BlockEntry>(p, blocks);
    columns_ = take<ColumnEntry>(p, head.columns);
    chunks_ = take<ChunkEntry>(p, head.columns * blocks);
    data_end_ = footer_at;

    for (const DictionaryEntry& d : dictionaries_) {
      if (!inside(d.chunk.offset, d.chunk.length)) return bad("footer: dictionary outside the file");
      if (d.type != static_cast<uint8_t>(PhysicalType::Ip) && d.type != static_cast<uint8_t>(PhysicalType::Str))
        return bad("footer: dictionary of an impossible type");
      if (d.size > 2 * limits::kSegmentRowsMax) return bad("footer: dictionary larger than the rows");
    }
    for (const PostingsEntry& e : postings_)
      if (!inside(e.chunk.offset, e.chunk.length) || e.head_bytes > e.chunk.length) return bad("footer: postings outside the file");
    for (uint32_t b = 0; b < blocks; ++b)
      if (block_entries_[b].pairs > block_rows(b) / 2) return bad("footer: more pairs than rows");
    for (size_t i = 0; i < columns_.size(); ++i) SLUICE_TRY(check_column(i));
    for (size_t i = 0; i < columns_.size(); ++i) SLUICE_TRY(check_flags(i));
    seen_ = std::make_unique<std::atomic<uint64_t>[]>(seen_words());
    loaded_ = std::make_unique<std::shared_ptr<const MappedDictionary>[]>(dictionaries_.size());
    return {};
  }

  const SegmentInfo& info() const override { return info_; }
  bool has(ColumnId id) const override { return index_of(id) != kNoColumn; }

  Zone zone(ColumnId id, uint32_t block) const override {
    const ChunkEntry& c = chunk(column_of(id), block);
    return {block_rows(block), c.nulls, (c.flags & kHasRange) != 0, c.min, c.max};
  }

  Result<std::shared_ptr<const Dictionary>> dictionary(ColumnId id) const override {
    const size_t index = index_of(id);
    if (index == kNoColumn || columns_[index].dictionary == kAbsent) return std::shared_ptr<const Dictionary>();
    SLUICE_ASSIGN(auto d, load_dictionary(index, nullptr));
    return std::shared_ptr<const Dictionary>(std::move(d));
  }

  Result<std::pair<uint32_t, uint32_t>> codes_between(ColumnId id, const IpAddress& first, const IpAddress& last) const override {
    const size_t index = column_of(id);
    SLUICE_CHECK(columns_[index].dictionary != kAbsent && columns_[index].physical == static_cast<uint8_t>(PhysicalType::Ip));
    SLUICE_ASSIGN(const auto d, load_dictionary(index, nullptr));
    if (last < first) return std::pair<uint32_t, uint32_t>{0, 0};
    const uint32_t begin = d->lower_bound(first);
    uint32_t end = d->lower_bound(last);
    if (end < d->size() && d->ip_at(end) == last) ++end;
    return std::pair<uint32_t, uint32_t>{begin, end};
  }

  Result<std::optional<uint32_t>> code_of(ColumnId id, std::string_view text) const override {
    const size_t index = column_of(id);
    SLUICE_CHECK(columns_[index].dictionary != kAbsent && columns_[index].physical == static_cast<uint8_t>(PhysicalType::Str));
    SLUICE_ASSIGN(const auto d, load_dictionary(index, nullptr));
    const uint32_t code = d->lower_bound(text);
    if (code < d->size() && d->string_at(code) == text) return std::optional<uint32_t>(code);
    return std::optional<uint32_t>();
  }

  Result<std::optional<Bitmap>> candidates(ColumnId id, std::span<const ValueRange> ranges, ReadStats* stats) const override {
    const size_t index = index_of(id);
    // Null in every row: no granule holds anything.
    if (index == kNoColumn) return std::optional<Bitmap>(Bitmap(granule_count(), false));
    const uint16_t which = columns_[index].postings;
    if (which == kAbsent) return std::optional<Bitmap>();
    SLUICE_ASSIGN(const Bytes chunk, posting_bytes(index, stats));
    Bitmap found(granule_count(), false);
    Status status = find_granules(chunk, postings_[which].head_bytes, ranges, columns_[index].side, options_.verify, found, stats);
    if (mapping_->lost()) return lost();
    if (!status.ok()) return bad("postings of column " + name_of(index) + ": " + status.error().message);
    return std::optional<Bitmap>(std::move(found));
  }

  Result<Column> read(ColumnId id, uint32_t block, uint32_t from, uint32_t to, ReadStats* stats) const override {
    SLUICE_CHECK(block < block_count() && from <= to && to <= block_rows(block));
    return column(column_of(id), block, Selection{from, to, {}}, stats);
  }

  Result<Column> read_rows(ColumnId id, uint32_t block, std::span<const uint32_t> rows, ReadStats* stats) const override {
    SLUICE_CHECK(block < block_count() && (rows.empty() || rows.back() < block_rows(block)));
    return column(column_of(id), block, Selection{0, 0, rows, true}, stats);
  }

  std::vector<ColumnStats> column_stats() const override {
    std::vector<ColumnStats> all;
    // Bytes of a dictionary or postings that two columns share are shown with the first.
    std::vector<bool> dictionary_shown(dictionaries_.size()), postings_shown(postings_.size());
    for (size_t i = 0; i < columns_.size(); ++i) {
      const ColumnEntry& c = columns_[i];
      if (!known(c)) continue;
      ColumnStats s;
      s.id = static_cast<ColumnId>(c.id);
      std::map<std::string, size_t> names;
      for (uint32_t b = 0; b < block_count(); ++b) {
        const ChunkEntry& e = chunk(i, b);
        s.data_bytes += e.length;
        ++names[describe(i, b)];
      }
      for (const auto& [name, count] : names) {
        if (!s.codecs.empty()) s.codecs += ' ';
        s.codecs.append(name).append("×").append(std::to_string(count));
      }
      if (c.dictionary != kAbsent) {
        s.distinct = dictionaries_[c.dictionary].size;
        if (!dictionary_shown[c.dictionary]) s.dictionary_bytes = dictionaries_[c.dictionary].chunk.length;
        dictionary_shown[c.dictionary] = true;
      }
      if (c.postings != kAbsent) {
        if (!postings_shown[c.postings]) s.posting_bytes = postings_[c.postings].chunk.length;
        postings_shown[c.postings] = true;
      }
      all.push_back(std::move(s));
    }
    return all;
  }

  void forget_checks() const override {
    for (size_t i = 0; i < seen_words(); ++i) seen_[i].store(0, std::memory_order_relaxed);
    // Texts are copies of the file's, so that those of all segments that a question went through would stay in memory. Only
    // load_dictionary hands them out, under the lock: one that nobody else holds now is nobody's.
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < dictionaries_.size(); ++i)
      if (loaded_[i] && loaded_[i]->type() == PhysicalType::Str && loaded_[i].use_count() == 1) loaded_[i].reset();
  }

  Status intact(bool look_at_length) const override { return mapping_->intact(look_at_length); }

  Status verify() const override {
    forget_checks();
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!known(columns_[i])) continue;
      if (columns_[i].dictionary != kAbsent) SLUICE_TRY(load_dictionary(i, nullptr));
      for (uint32_t b = 0; b < block_count(); ++b) {
        SLUICE_ASSIGN(const Column c, column(i, b, Selection{0, block_rows(b), {}}, nullptr));
        (void)c;
      }
      if (columns_[i].postings != kAbsent) {
        SLUICE_ASSIGN(const Bytes chunk, posting_bytes(i, nullptr));
        if (Status s = verify_postings(chunk, postings_[columns_[i].postings].head_bytes, granule_count(), options_.verify); !s.ok())
          return bad("postings of column " + name_of(i) + ": " + s.error().message);
      }
    }
    return {};
  }

 private:
  static constexpr size_t kNoColumn = SIZE_MAX;
  // More than any version of the schema will have; a footer is at most this many columns long.
  static constexpr uint32_t kColumnsMax = 256;

  // Rows of a block: a range, or a list.
  struct Selection {
    uint32_t from = 0, to = 0;
    std::span<const uint32_t> rows;
    bool listed = false;
    size_t size() const { return listed ? rows.size() : to - from; }
    uint32_t operator[](size_t i) const { return listed ? rows[i] : from + static_cast<uint32_t>(i); }
  };

  // What was read may be zeros in place of the file's bytes.
  Error lost() const {
    return mapping_->intact(false).error();
  }
  Error bad(std::string_view what) const { return Error{ErrorCode::corrupt, info_.path + ": " + std::string(what)}; }
  Error damaged(size_t index, uint32_t block, std::string_view what) const {
    return Error{ErrorCode::corrupt, info_.path + ": column " + name_of(index) + ", block " + std::to_string(block) + ": " + std::string(what)};
  }
  std::string name_of(size_t index) const { return std::string(column_spec(static_cast<ColumnId>(columns_[index].id)).name); }

  template <typename T>
  static std::span<const T> take(const uint8_t*& p, size_t count) {
    const std::span<const T> taken(reinterpret_cast<const T*>(p), count);
    p += count * sizeof(T);
    return taken;
  }
  bool inside(uint64_t offset, uint64_t length) const {
    return offset % 8 == 0 && offset >= sizeof(FileHeader) && offset <= data_end_ && length <= data_end_ - offset;
  }

  size_t index_of(ColumnId id) const { return column_index_[static_cast<size_t>(id)]; }
  size_t column_of(ColumnId id) const {
    SLUICE_CHECK(has(id));
    return index_of(id);
  }
  const ChunkEntry& chunk(size_t index, uint32_t block) const { return chunks_[index * block_count() + block]; }

  // A column of a later schema in a format that we know is nothing to us, and its entry is not checked; the rest reads as ever.
  static bool known(const ColumnEntry& c) { return c.id < kColumnCount; }

  Status check_column(size_t i) {
    const ColumnEntry& c = columns_[i];
    if (!known(c)) return {};
    const auto id = static_cast<ColumnId>(c.id);
    const PhysicalType type = column_spec(id).physical;
    const bool texts = type == PhysicalType::Ip || type == PhysicalType::Str;
    if (c.physical != static_cast<uint8_t>(type)) return bad("footer: column " + name_of(i) + " of another type");
    if (index_of(id) != kNoColumn) return bad("footer: column " + name_of(i) + " twice");
    const auto kind = static_cast<ColumnKind>(c.kind);
    if (c.kind > 2 || (kind == ColumnKind::text && type != PhysicalType::Str) || (kind == ColumnKind::integers && texts) ||
        (kind == ColumnKind::codes) != (c.dictionary != kAbsent) || (kind == ColumnKind::codes && !texts))
      return bad("footer: column " + name_of(i) + " of an impossible kind");
    if (c.dictionary != kAbsent && (c.dictionary >= dictionaries_.size() || dictionaries_[c.dictionary].type != c.physical))
      return bad("footer: column " + name_of(i) + " with an impossible dictionary");
    if (c.postings != kAbsent && c.postings >= postings_.size()) return bad("footer: column " + name_of(i) + " with impossible postings");
    for (uint32_t b = 0; b < block_count(); ++b) {
      const ChunkEntry& e = chunk(i, b);
      const bool empty = e.length == 0;
      if (e.nulls > block_rows(b) || empty != (e.nulls == block_rows(b)) || (!empty && !inside(e.offset, e.length)))
        return damaged(i, b, "footer: impossible chunk");
      if ((e.flags & ~kKnownFlags) != 0) return damaged(i, b, "footer: unknown flags");
    }
    column_index_[static_cast<size_t>(id)] = i;
    return {};
  }

  // Flags that name another column: it must be there, and in a form that makes reading end.
  Status check_flags(size_t i) const {
    const ColumnEntry& c = columns_[i];
    if (!known(c)) return {};
    const auto id = static_cast<ColumnId>(c.id);
    for (uint32_t b = 0; b < block_count(); ++b) {
      const ChunkEntry& e = chunk(i, b);
      const auto kind = static_cast<ColumnKind>(c.kind);
      if (e.length == 0) continue;
      if (e.flags & (kFromFlowEnd | kFromExportedAt)) {
        const bool from_end = (e.flags & kFromFlowEnd) != 0;
        const size_t base = index_of(from_end ? ColumnId::flow_end : ColumnId::exported_at);
        const bool allowed = from_end ? id == ColumnId::flow_start || id == ColumnId::exported_at || id == ColumnId::received_at
                                      : id == ColumnId::received_at;
        if (!allowed || (e.flags & kFromFlowEnd && e.flags & kFromExportedAt) || base == kNoColumn || chunk(base, b).nulls != 0)
          return damaged(i, b, "footer: relative to a column that cannot be");
      }
      if (e.flags & kPaired) {
        const auto partner = partner_of(id);
        const size_t other = partner ? index_of(partner->src == id ? partner->dst : partner->src) : kNoColumn;
        if (other == kNoColumn || kind == ColumnKind::text || e.nulls != 0 || chunk(other, b).nulls != 0 || !(chunk(other, b).flags & kPaired) ||
            columns_[other].dictionary != c.dictionary || columns_[other].kind != c.kind)
          return damaged(i, b, "footer: paired with a column that cannot be");
      }
      const uint32_t layout = e.flags & (kPaired | kSplit | kTwin);
      if (layout != 0 && (kind == ColumnKind::text || e.nulls != 0)) return damaged(i, b, "footer: pairs in a form that has none");
      if (std::popcount(layout) > 1) return damaged(i, b, "footer: impossible flags");
    }
    return {};
  }

  size_t seen_words() const { return (chunks_.size() + dictionaries_.size() + postings_.size() + 63) / 64; }

  // Whether a chunk's, dictionary's or postings' bytes are what was written; asked once for each until forget_checks(), since one
  // lookup touches all of a dictionary, and a granule's read would cost a hash of its whole chunk.
  bool intact(size_t slot, Bytes bytes, uint64_t checksum) const {
    if (!options_.verify) return true;
    const uint64_t bit = uint64_t{1} << (slot % 64);
    if (seen_[slot / 64].load(std::memory_order_relaxed) & bit) return true;
    if (checksum_of(bytes) != checksum) return false;
    seen_[slot / 64].fetch_or(bit, std::memory_order_relaxed);
    return true;
  }

  // REQUIRES: the chunk is not empty
  Result<Bytes> chunk_bytes(size_t index, uint32_t block, ReadStats* stats) const {
    const ChunkEntry& e = chunk(index, block);
    const Bytes bytes = mapping_->bytes().subspan(e.offset, e.length);
    const auto slot = static_cast<uint32_t>(index * block_count() + block);
    if (!intact(slot, bytes, e.checksum)) return damaged(index, block, "checksum does not match");
    if (stats) stats->count(bytes);
    return bytes;
  }

  // The chunk, its head checked.
  Result<Bytes> posting_bytes(size_t index, ReadStats* stats) const {
    const uint16_t which = columns_[index].postings;
    const PostingsEntry& e = postings_[which];
    const Bytes chunk = mapping_->bytes().subspan(e.chunk.offset, e.chunk.length);
    if (!intact(chunks_.size() + dictionaries_.size() + which, chunk.first(e.head_bytes), e.chunk.checksum))
      return bad("postings of column " + name_of(index) + ": checksum does not match");
    if (stats) stats->count(chunk.first(e.head_bytes));
    return chunk;
  }

  Result<std::shared_ptr<const MappedDictionary>> load_dictionary(size_t index, ReadStats* stats) const {
    const uint16_t which = columns_[index].dictionary;
    if (mapping_->lost()) return lost();
    std::lock_guard lock(mutex_);
    auto& d = loaded_[which];
    if (!d) {
      const DictionaryEntry& e = dictionaries_[which];
      const Bytes bytes = mapping_->bytes().subspan(e.chunk.offset, e.chunk.length);
      if (!intact(chunks_.size() + which, bytes, e.chunk.checksum)) return bad("dictionary of column " + name_of(index) + ": checksum does not match");
      auto opened = open_dictionary(bytes, static_cast<PhysicalType>(e.type), e.size, mapping_);
      if (mapping_->lost()) return lost();
      if (!opened.ok()) return bad("dictionary of column " + name_of(index) + ": " + opened.error().message);
      d = std::move(opened).value();
      if (stats) stats->count(bytes);
    }
    return d;
  }

  // The null map of a chunk (empty: no nulls) and the stream behind it.
  struct Opened {
    Bitmap validity;
    Bytes stream;
    uint32_t values = 0;  // in the stream
  };
  Result<Opened> open_chunk(size_t index, uint32_t block, ReadStats* stats) const {
    const ChunkEntry& e = chunk(index, block);
    SLUICE_ASSIGN(const Bytes bytes, chunk_bytes(index, block, stats));
    Opened o;
    codec::ByteReader in(bytes);
    o.values = block_rows(block) - e.nulls;
    if (e.nulls > 0) {
      const Bytes map = in.take(in.get<uint32_t>());
      if (!in.ok()) return damaged(index, block, "null map beyond the chunk");
      auto validity = codec::decode_null_map(map, block_rows(block));
      if (!validity.ok()) return damaged(index, block, validity.error().message);
      o.validity = std::move(validity).value();
      if ((o.validity.empty() ? block_rows(block) : o.validity.count()) != o.values) return damaged(index, block, "null map of another count");
    } else if (e.flags & kPaired) {
      o.values -= block_entries_[block].pairs;
    }
    o.stream = in.rest();
    return o;
  }

  template <typename T>
  Status decode(size_t index, uint32_t block, Bytes stream, uint32_t count, const Selection& s, T* out) const {
    Status status = s.listed ? codec::decode_integer_rows(stream, count, s.rows, Out(out))
                             : codec::decode_integers(stream, count, s.from, s.to, Out(out));
    if (!status.ok()) return damaged(index, block, status.error().message);
    return {};
  }

  // Values of rows that all have one.
  template <typename T>
  Status whole_values(size_t index, uint32_t block, const Opened& o, const Selection& s, ReadStats* stats, T* out) const {
    const ChunkEntry& e = chunk(index, block);
    if (e.flags & kPaired) return paired_values(index, block, o, s, stats, out);
    if (e.flags & kSplit) return split_values(index, block, o, s, out);
    if (e.flags & kTwin) return twin_values(index, block, o, s, out);
    return decode(index, block, o.stream, o.values, s, out);
  }

  // Rows [from, end) of pairs, whose first and second rows begin at from / 2. Returns the end of what was written.
  template <typename T>
  static T* interleave(const T* even, const T* odd, uint32_t from, uint32_t end, T* out) {
    if (from < end && from % 2 == 1) {
      *out++ = *odd++;
      ++even;
      ++from;
    }
    const size_t n = (end - from) / 2;
    for (size_t i = 0; i < n; ++i) {
      out[2 * i] = even[i];
      out[2 * i + 1] = odd[i];
    }
    out += 2 * n;
    if ((end - from) % 2 == 1) *out++ = even[n];
    return out;
  }

  // Row 2i of a source column is value i of its own stream, row 2i + 1 value i of the destination's; a destination column the
  // other way round. Rows behind the pairs are in the column's own stream.
  template <typename T>
  Status paired_values(size_t index, uint32_t block, const Opened& own, const Selection& s, ReadStats* stats, T* out) const {
    const auto id = static_cast<ColumnId>(columns_[index].id);
    const auto partner = partner_of(id);
    const size_t other_index = index_of(partner->src == id ? partner->dst : partner->src);
    const uint32_t pairs = block_entries_[block].pairs;
    std::optional<Opened> other;
    auto open_other = [&]() -> Status {
      if (other) return {};
      SLUICE_ASSIGN(other, open_chunk(other_index, block, stats));
      return {};
    };
    if (!s.listed) {
      uint32_t from = s.from;
      const uint32_t end = std::min(s.to, 2 * pairs);
      if (from < end) {
        SLUICE_TRY(open_other());
        const uint32_t first = from / 2, last = (end + 1) / 2;
        std::vector<T> even(last - first), odd(last - first);
        SLUICE_TRY(decode(index, block, own.stream, own.values, Selection{first, last, {}}, even.data()));
        SLUICE_TRY(decode(other_index, block, other->stream, other->values, Selection{first, last, {}}, odd.data()));
        out = interleave(even.data(), odd.data(), from, end, out);
        from = end;
      }
      return from < s.to ? decode(index, block, own.stream, own.values, Selection{from - pairs, s.to - pairs, {}}, out) : Status{};
    }
    std::vector<uint32_t> own_rows, own_places, other_rows, other_places;
    for (uint32_t i = 0; i < s.rows.size(); ++i) {
      const uint32_t row = s.rows[i];
      const bool odd = row < 2 * pairs && row % 2 == 1;
      (odd ? other_rows : own_rows).push_back(row < 2 * pairs ? row / 2 : row - pairs);
      (odd ? other_places : own_places).push_back(i);
    }
    std::vector<T> values(std::max(own_rows.size(), other_rows.size()));
    SLUICE_TRY(decode(index, block, own.stream, own.values, Selection{0, 0, own_rows, true}, values.data()));
    for (size_t i = 0; i < own_places.size(); ++i) out[own_places[i]] = values[i];
    if (!other_rows.empty()) {
      SLUICE_TRY(open_other());
      SLUICE_TRY(decode(other_index, block, other->stream, other->values, Selection{0, 0, other_rows, true}, values.data()));
      for (size_t i = 0; i < other_places.size(); ++i) out[other_places[i]] = values[i];
    }
    return {};
  }

  // The first stream holds the pairs' first rows and the rest, the second what each second row adds to its first.
  template <typename T>
  Status twin_values(size_t index, uint32_t block, const Opened& o, const Selection& s, T* out) const {
    const uint32_t pairs = block_entries_[block].pairs, count = o.values - pairs;
    codec::ByteReader in(o.stream);
    const auto bias = static_cast<T>(in.get<uint64_t>());
    const Bytes heads = in.take(in.get<uint32_t>());
    const Bytes steps = in.rest();
    if (!in.ok()) return damaged(index, block, "twin: streams beyond the chunk");
    if (!s.listed) {
      uint32_t from = s.from;
      const uint32_t end = std::min(s.to, 2 * pairs);
      if (from < end) {
        const uint32_t first = from / 2, last = (end + 1) / 2;
        std::vector<T> even(last - first), odd(last - first);
        SLUICE_TRY(decode(index, block, heads, count, Selection{first, last, {}}, even.data()));
        SLUICE_TRY(decode(index, block, steps, pairs, Selection{first, last, {}}, odd.data()));
        for (size_t i = 0; i < odd.size(); ++i) odd[i] = static_cast<T>(odd[i] + even[i] + bias);
        out = interleave(even.data(), odd.data(), from, end, out);
        from = end;
      }
      return from < s.to ? decode(index, block, heads, count, Selection{from - pairs, s.to - pairs, {}}, out) : Status{};
    }
    // Rows ascend, and so do their places in the first stream; second rows need an entry of both.
    std::vector<uint32_t> head_rows(s.rows.size()), step_rows;
    for (size_t i = 0; i < s.rows.size(); ++i) {
      const uint32_t row = s.rows[i];
      head_rows[i] = row < 2 * pairs ? row / 2 : row - pairs;
      if (row < 2 * pairs && row % 2 == 1) step_rows.push_back(row / 2);
    }
    SLUICE_TRY(decode(index, block, heads, count, Selection{0, 0, head_rows, true}, out));
    std::vector<T> added(step_rows.size());
    SLUICE_TRY(decode(index, block, steps, pairs, Selection{0, 0, step_rows, true}, added.data()));
    size_t next = 0;
    for (size_t i = 0; i < s.rows.size(); ++i)
      if (s.rows[i] < 2 * pairs && s.rows[i] % 2 == 1) out[i] = static_cast<T>(out[i] + added[next++] + bias);
    return {};
  }

  // The stream holds the pairs' first rows, then their second rows, then the rest.
  template <typename T>
  Status split_values(size_t index, uint32_t block, const Opened& o, const Selection& s, T* out) const {
    const uint32_t pairs = block_entries_[block].pairs;
    if (!s.listed) {
      uint32_t from = s.from;
      const uint32_t end = std::min(s.to, 2 * pairs);
      if (from < end) {
        const uint32_t first = from / 2, last = (end + 1) / 2;
        std::vector<T> even(last - first), odd(last - first);
        SLUICE_TRY(decode(index, block, o.stream, o.values, Selection{first, last, {}}, even.data()));
        SLUICE_TRY(decode(index, block, o.stream, o.values, Selection{pairs + first, pairs + last, {}}, odd.data()));
        out = interleave(even.data(), odd.data(), from, end, out);
        from = end;
      }
      return from < s.to ? decode(index, block, o.stream, o.values, Selection{from, s.to, {}}, out) : Status{};
    }
    std::vector<std::pair<uint32_t, uint32_t>> places(s.rows.size());
    for (uint32_t i = 0; i < s.rows.size(); ++i) {
      const uint32_t row = s.rows[i];
      places[i] = {row >= 2 * pairs ? row : row / 2 + (row % 2) * pairs, i};
    }
    std::sort(places.begin(), places.end());
    std::vector<uint32_t> rows(places.size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = places[i].first;
    std::vector<T> values(rows.size());
    SLUICE_TRY(decode(index, block, o.stream, o.values, Selection{0, 0, rows, true}, values.data()));
    for (size_t i = 0; i < rows.size(); ++i) out[places[i].second] = values[i];
    return {};
  }

  // Values of the selected rows, zero where null; `validity` (of the selection) stays empty when none is null.
  template <typename T>
  Status values(size_t index, uint32_t block, const Selection& s, ReadStats* stats, T* out, Bitmap& validity) const {
    const ChunkEntry& e = chunk(index, block);
    const size_t n = s.size();
    if (e.length == 0) {
      std::fill(out, out + n, T{});
      validity.resize(n, false);
      return {};
    }
    SLUICE_ASSIGN(const Opened o, open_chunk(index, block, stats));
    if (o.validity.empty()) {
      SLUICE_TRY(whole_values(index, block, o, s, stats, out));
    } else {
      SLUICE_TRY(sparse_values(index, block, o, s, out, validity));
    }
    if constexpr (std::is_same_v<T, uint64_t>)
      if (e.flags & (kFromFlowEnd | kFromExportedAt)) SLUICE_TRY(add_base(index, block, s, stats, out, validity));
    return {};
  }

  // Where a row's value is in the stream of rows that have one.
  class Ranks {
   public:
    explicit Ranks(const Bitmap& validity) : words_(validity.words()), before_(words_.size()) {
      uint32_t sum = 0;
      for (size_t w = 0; w < words_.size(); ++w) {
        before_[w] = sum;
        sum += static_cast<uint32_t>(std::popcount(words_[w]));
      }
      total_ = sum;
    }
    // Rows below `row` that have a value.
    uint32_t operator()(uint32_t row) const {
      if (row / 64 >= words_.size()) return total_;
      return before_[row / 64] + static_cast<uint32_t>(std::popcount(words_[row / 64] & ((uint64_t{1} << (row % 64)) - 1)));
    }

   private:
    std::span<const uint64_t> words_;
    std::vector<uint32_t> before_;
    uint32_t total_ = 0;
  };

  // The stream's part that the selection needs, and the selection's own validity (empty: no nulls among them).
  struct Dense {
    uint32_t from = 0, to = 0;
    std::vector<uint32_t> rows;
    Selection selection(bool listed) const { return listed ? Selection{0, 0, rows, true} : Selection{from, to, {}}; }
  };
  static Dense dense_of(const Bitmap& all, const Selection& s, Bitmap& validity) {
    Dense d;
    const Ranks ranks(all);
    const size_t n = s.size();
    validity.resize(n, false);
    size_t valid = 0;
    for (size_t i = 0; i < n; ++i) {
      const uint32_t row = s[i];
      if (!all.get(row)) continue;
      validity.set(i, true);
      ++valid;
      if (s.listed) d.rows.push_back(ranks(row));
    }
    if (!s.listed) {
      d.from = ranks(s.from);
      d.to = ranks(s.to);
    }
    if (valid == n) validity.clear();
    return d;
  }

  template <typename T>
  Status sparse_values(size_t index, uint32_t block, const Opened& o, const Selection& s, T* out, Bitmap& validity) const {
    const Dense dense = dense_of(o.validity, s, validity);
    const Selection wanted = dense.selection(s.listed);
    if (validity.empty()) return decode(index, block, o.stream, o.values, wanted, out);
    std::vector<T> packed(wanted.size());
    SLUICE_TRY(decode(index, block, o.stream, o.values, wanted, packed.data()));
    size_t next = 0;
    for (size_t i = 0; i < s.size(); ++i) out[i] = validity.get(i) ? packed[next++] : T{};
    return {};
  }

  Status add_base(size_t index, uint32_t block, const Selection& s, ReadStats* stats, uint64_t* out, const Bitmap& validity) const {
    const ChunkEntry& e = chunk(index, block);
    const size_t base = index_of(e.flags & kFromFlowEnd ? ColumnId::flow_end : ColumnId::exported_at);
    std::vector<uint64_t> bases(s.size());
    Bitmap none;
    SLUICE_TRY(values(base, block, s, stats, bases.data(), none));
    if (e.flags & kZigzag)
      for (size_t i = 0; i < bases.size(); ++i) out[i] = codec::unzigzag(out[i]);
    for (size_t i = 0; i < bases.size(); ++i) out[i] = bases[i] - out[i];
    if (!validity.empty())
      for (size_t i = 0; i < bases.size(); ++i)
        if (!validity.get(i)) out[i] = 0;
    return {};
  }

  template <typename T>
  Result<Column> integers(size_t index, uint32_t block, const Selection& s, ReadStats* stats) const {
    std::vector<T> out(s.size());
    Bitmap validity;
    if constexpr (std::is_same_v<T, double>) {
      std::vector<uint64_t> bits(s.size());
      SLUICE_TRY(values(index, block, s, stats, bits.data(), validity));
      for (size_t i = 0; i < bits.size(); ++i) out[i] = std::bit_cast<double>(bits[i]);
    } else {
      // A signed number may be written through its unsigned type.
      using U = std::make_unsigned_t<T>;
      SLUICE_TRY(values(index, block, s, stats, reinterpret_cast<U*>(out.data()), validity));
    }
    return Column::of<T>(static_cast<PhysicalType>(columns_[index].physical), std::move(out), std::move(validity));
  }

  Result<Column> column(size_t index, uint32_t block, const Selection& s, ReadStats* stats) const {
    auto read = column_of_kind(index, block, s, stats);
    if (mapping_->lost()) return lost();
    return read;
  }

  Result<Column> column_of_kind(size_t index, uint32_t block, const Selection& s, ReadStats* stats) const {
    const ColumnEntry& c = columns_[index];
    switch (static_cast<ColumnKind>(c.kind)) {
      case ColumnKind::codes: return codes(index, block, s, stats);
      case ColumnKind::text: return text(index, block, s, stats);
      case ColumnKind::integers: break;
    }
    switch (static_cast<PhysicalType>(c.physical)) {
      case PhysicalType::U8: return integers<uint8_t>(index, block, s, stats);
      case PhysicalType::U16: return integers<uint16_t>(index, block, s, stats);
      case PhysicalType::U32: return integers<uint32_t>(index, block, s, stats);
      case PhysicalType::I64: return integers<int64_t>(index, block, s, stats);
      case PhysicalType::F64: return integers<double>(index, block, s, stats);
      default: return integers<uint64_t>(index, block, s, stats);
    }
  }

  Result<Column> codes(size_t index, uint32_t block, const Selection& s, ReadStats* stats) const {
    SLUICE_ASSIGN(auto dictionary, load_dictionary(index, stats));
    std::vector<uint32_t> out(s.size());
    Bitmap validity;
    SLUICE_TRY(values(index, block, s, stats, out.data(), validity));
    // Whoever gets the column looks codes up without asking. Codes are below 2^31, so the top bit of one of these tells.
    if (dictionary->size() == 0 && chunk(index, block).length != 0) return damaged(index, block, "codes of an empty dictionary");
    const uint32_t last = dictionary->size() - 1;
    uint32_t outside = 0;
    for (uint32_t code : out) outside |= (last - code) | code;
    if ((outside >> 31) != 0) {
      for (size_t i = 0; i < out.size(); ++i)
        if ((validity.empty() || validity.get(i)) && out[i] >= dictionary->size()) return damaged(index, block, "a code beyond the dictionary");
    }
    return Column::coded(std::move(dictionary), std::move(out), std::move(validity));
  }

  Result<Column> text(size_t index, uint32_t block, const Selection& s, ReadStats* stats) const {
    StringVector strings;
    Bitmap validity;
    if (chunk(index, block).length == 0) return Column::nulls(PhysicalType::Str, s.size());
    SLUICE_ASSIGN(const Opened o, open_chunk(index, block, stats));
    Dense dense;
    Selection wanted = s;
    if (!o.validity.empty()) {
      dense = dense_of(o.validity, s, validity);
      wanted = dense.selection(s.listed);
    }
    Status status = wanted.listed ? codec::decode_text_rows(o.stream, o.values, wanted.rows, strings)
                                  : codec::decode_text(o.stream, o.values, wanted.from, wanted.to, strings);
    if (!status.ok()) return damaged(index, block, status.error().message);
    if (!validity.empty()) {
      StringVector spread;
      spread.reserve(s.size(), strings.bytes().size());
      size_t next = 0;
      for (size_t i = 0; i < s.size(); ++i) spread.push_back(validity.get(i) ? strings[next++] : std::string_view{});
      strings = std::move(spread);
    }
    return Column::of(std::move(strings), std::move(validity));
  }

  std::string describe(size_t index, uint32_t block) const {
    const ChunkEntry& e = chunk(index, block);
    if (e.length == 0) return "null";
    if (columns_[index].kind == static_cast<uint8_t>(ColumnKind::text)) return "text";
    size_t skip = 0;
    const uint8_t* p = mapping_->bytes().data() + e.offset;
    if (e.nulls > 0 && e.length >= 4) skip = 4 + size_t{codec::load<uint32_t>(p)};
    std::string name(skip < e.length ? codec::codec_name(Bytes(p + skip, e.length - skip)) : "?");
    if (e.flags & kPaired) name = "paired " + name;
    if (e.flags & kSplit) name = "split " + name;
    if (e.flags & kTwin && e.length > 12) {
      const size_t first = codec::load<uint32_t>(p + 8);
      name = "twin ";
      name += codec::codec_name(Bytes(p + 12, e.length - 12));
      name += '/';
      name += first < e.length - 12 ? codec::codec_name(Bytes(p + 12 + first, e.length - 12 - first)) : "?";
    }
    return name;
  }

  std::shared_ptr<const Mapping> mapping_;
  std::unique_ptr<uint64_t[]> footer_;  // what the spans below lie in
  OpenOptions options_;
  SegmentInfo info_;
  std::array<size_t, kColumnCount> column_index_;
  std::span<const DictionaryEntry> dictionaries_;
  std::span<const PostingsEntry> postings_;
  std::span<const BlockEntry> block_entries_;
  std::span<const ColumnEntry> columns_;
  std::span<const ChunkEntry> chunks_;
  uint64_t data_end_ = 0;
  mutable std::unique_ptr<std::atomic<uint64_t>[]> seen_;
  mutable std::mutex mutex_;  // guards loaded_
  mutable std::unique_ptr<std::shared_ptr<const MappedDictionary>[]> loaded_;
};

}  // namespace

Result<std::shared_ptr<const Segment>> open_segment(const std::string& path, const OpenOptions& options) {
  SLUICE_ASSIGN(auto mapping, Mapping::of(path));
  auto segment = std::make_shared<MappedSegment>(path, std::move(mapping), options);
  const Status opened = segment->open();
  SLUICE_TRY(segment->intact(false));  // a better reason than what zeros led to
  SLUICE_TRY(opened);
  return std::shared_ptr<const Segment>(std::move(segment));
}

Result<std::shared_ptr<const Segment>> Segment::open(const std::string& path) { return open_segment(path, {}); }

}  // namespace sluice::segment
