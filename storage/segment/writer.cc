// write_segment: batches -> one file. Columns are taken one by one (pairs of sides together), so that beside the batches
// only one group of columns is held whole in memory.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "storage/codec/integer_codec.h"
#include "storage/codec/null_map.h"
#include "storage/codec/text_codec.h"
#include "storage/model/limits.h"
#include "storage/segment/dictionary.h"
#include "storage/segment/file_writer.h"
#include "storage/segment/format.h"
#include "storage/segment/postings.h"
#include "storage/segment/row_column.h"
#include "storage/segment/row_order.h"
#include "storage/segment/segment.h"

namespace sluice::segment {
namespace {

using codec::Bytes;

// Text of this many bytes in one dictionary at most; beyond, the columns are stored as text.
constexpr uint64_t kDictionaryTextBytesMax = 1u << 30;

// Lists of more values than this are never built (only codes come near: their dictionaries are this small).
constexpr uint64_t kPostingValuesMax = uint64_t{2} * limits::kSegmentRowsMax;
// Ports are indexed up to where each further one costs more than it helps: ephemeral ones are everywhere, and asking for
// one is rare. One item per this many rows is about 0.1 bytes per row.
constexpr size_t kRowsPerPortItem = 12;

Bytes as_bytes(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

std::string_view as_text(const void* p, size_t size) { return {static_cast<const char*>(p), size}; }
template <typename T>
std::string_view as_text(const std::vector<T>& v) {
  return as_text(v.data(), v.size() * sizeof(T));
}

struct OpenDictionary {
  std::string bytes;
  uint32_t size = 0;
};

// One column while it is written.
struct OpenColumn {
  ColumnId id{};
  ColumnParts parts;
  RowColumn rows;
  ColumnEntry entry{};
  std::vector<ChunkEntry> chunks;
  OpenDictionary dictionary;  // of the first column of a group of codes
};

class Writer {
 public:
  Writer(std::span<const Batch* const> batches, const WriteOptions& options) : batches_(batches), options_(options) {
    for (const Batch* b : batches) rows_ += b->rows;
    blocks_ = static_cast<uint32_t>((rows_ + limits::kBlockRows - 1) / limits::kBlockRows);
  }

  Result<SegmentInfo> write(const std::string& path, uint64_t id, TimestampNs partition_start) {
    if (rows_ == 0 || rows_ > limits::kSegmentRowsMax)
      return Error{ErrorCode::invalid_argument, "a segment holds 1 to " + std::to_string(limits::kSegmentRowsMax) + " rows, not " +
                                                    std::to_string(rows_)};
    SLUICE_TRY(collect());
    SLUICE_TRY(check_wanted());
    order();
    SLUICE_TRY(file_.open(path));
    FileHeader header{kMagic, kFormatVersion, 0, id, 0};
    header.checksum = checksum_of(Bytes(reinterpret_cast<const uint8_t*>(&header), 24));
    file_.append(as_text(&header, sizeof header));
    for (size_t i = 0; i < kColumnCount; ++i) {
      const auto column = static_cast<ColumnId>(i);
      const auto partner = partner_of(column);
      if (!partner) {
        SLUICE_TRY(write_group({column}));
      } else if (partner->src == column) {
        SLUICE_TRY(write_group({partner->src, partner->dst}));
      }
    }
    write_footer(id, partition_start);
    SLUICE_TRY(check_wanted());
    SLUICE_TRY(file_.finish(options_.sync));
    SegmentInfo info;
    info.id = id;
    info.path = path;
    info.partition_start = partition_start;
    info.rows = rows_;
    info.first = first_;
    info.last = last_;
    info.file_bytes = file_.offset();
    return info;
  }

 private:
  Status check_wanted() const {
    if (options_.is_abandoned && options_.is_abandoned()) return Error{ErrorCode::cancelled, "the segment is not wanted any more"};
    return {};
  }

  // Finds each flow column's parts.
  Status collect() {
    for (size_t b = 0; b < batches_.size(); ++b) {
      const Batch& batch = *batches_[b];
      for (size_t i = 0; i < batch.columns.size(); ++i) {
        const auto id = (*batch.schema)[i].column;
        const Column& c = batch.columns[i];
        if (!id) return Error{ErrorCode::invalid_argument, "a segment holds flow columns only, not " + (*batch.schema)[i].name};
        if (c.type() != column_spec(*id).physical || c.size() != batch.rows)
          return Error{ErrorCode::invalid_argument, "a column of another type or length: " + (*batch.schema)[i].name};
        auto& parts = parts_[static_cast<size_t>(*id)];
        if (parts.empty()) parts.resize(batches_.size(), nullptr);
        parts[b] = &c;
      }
    }
    // A column that is null in every row is absent.
    for (ColumnParts& parts : parts_)
      if (std::all_of(parts.begin(), parts.end(), [](const Column* c) { return !c || c->null_count() == c->size(); })) parts.clear();
    return {};
  }

  RowColumn numbers(ColumnId id) const {
    const ColumnParts& parts = parts_[static_cast<size_t>(id)];
    return parts.empty() ? RowColumn{} : join_numbers(parts, batches_, rows_);
  }

  void order() {
    flow_end_ = numbers(ColumnId::flow_end);
    exported_at_ = numbers(ColumnId::exported_at);
    if (parts_[static_cast<size_t>(ColumnId::flow_end)].empty()) flow_end_.values = std::vector<uint64_t>(rows_, 0);
    const auto& times = std::get<std::vector<uint64_t>>(flow_end_.values);
    first_ = kTimestampMax;
    last_ = kTimestampMin;
    for (uint64_t t : times) {
      first_ = std::min(first_, static_cast<TimestampNs>(t));
      last_ = std::max(last_, static_cast<TimestampNs>(t));
    }
    order_.rows = order_by_time(times);

    addresses_ = open_group({ColumnId::src_ip, ColumnId::dst_ip});
    OrderKeys keys;
    for (const OpenColumn& c : addresses_)
      (c.id == ColumnId::src_ip ? keys.src : keys.dst) = std::get<std::vector<uint32_t>>(c.rows.values);
    const RowColumn src_port = numbers(ColumnId::src_port), dst_port = numbers(ColumnId::dst_port), protocol = numbers(ColumnId::protocol);
    if (const auto* v = std::get_if<std::vector<uint16_t>>(&src_port.values)) keys.src_port = *v;
    if (const auto* v = std::get_if<std::vector<uint16_t>>(&dst_port.values)) keys.dst_port = *v;
    if (const auto* v = std::get_if<std::vector<uint8_t>>(&protocol.values)) keys.protocol = *v;
    order_blocks(keys, order_);
    // Times are told as distances to these: in the order of rows, so that they are fetched from all over once and not for each.
    in_order(flow_end_);
    in_order(exported_at_);
  }

  void in_order(RowColumn& times) const {
    auto* const values = std::get_if<std::vector<uint64_t>>(&times.values);
    if (values == nullptr || values->size() != rows_) return;  // no row has one
    std::vector<uint64_t> ordered(rows_);
    times.gather(order_.rows, ordered.data());
    *values = std::move(ordered);
  }

  std::span<const uint32_t> block_order(uint32_t block) const {
    const size_t start = size_t{block} * limits::kBlockRows;
    return std::span<const uint32_t>(order_.rows).subspan(start, std::min<size_t>(limits::kBlockRows, rows_ - start));
  }

  ChunkRef append_chunk(const std::string& bytes) {
    file_.align(8);
    ChunkRef ref{file_.offset(), bytes.size(), checksum_of(as_bytes(bytes))};
    file_.append(bytes);
    return ref;
  }

  // The columns of a group that have rows, with their values; codes are final, the dictionary's bytes wait in `dictionary`.
  std::vector<OpenColumn> open_group(std::initializer_list<ColumnId> ids) {
    std::vector<OpenColumn> columns;
    for (ColumnId id : ids) {
      if (parts_[static_cast<size_t>(id)].empty()) continue;
      OpenColumn c;
      c.id = id;
      c.parts = parts_[static_cast<size_t>(id)];
      const ColumnSpec& spec = column_spec(id);
      c.entry = {static_cast<uint8_t>(id), static_cast<uint8_t>(spec.physical), static_cast<uint8_t>(ColumnKind::integers), 0, kAbsent, kAbsent};
      columns.push_back(std::move(c));
    }
    if (columns.empty()) return columns;
    const ColumnSpec& spec = column_spec(columns[0].id);
    if (spec.physical == PhysicalType::Ip) {
      IpDictionaryBuilder builder;
      for (OpenColumn& c : columns) c.rows = join_codes(c.parts, batches_, rows_, builder);
      finish_dictionary(columns, builder);
    } else if (spec.physical == PhysicalType::Str) {
      TextDictionaryBuilder builder;
      size_t valid = 0;
      for (OpenColumn& c : columns) {
        c.rows = join_codes(c.parts, batches_, rows_, builder);
        valid += c.rows.validity.empty() ? rows_ : c.rows.validity.count();
      }
      // A dictionary that holds nearly every value once only adds codes to the text.
      const bool worth = builder.size() <= std::max<size_t>(256, valid / 2) && builder.text_bytes() <= kDictionaryTextBytesMax;
      if (worth) {
        finish_dictionary(columns, builder);
      } else {
        for (OpenColumn& c : columns) {
          c.rows = join_text(c.parts, batches_, rows_);
          c.entry.kind = static_cast<uint8_t>(ColumnKind::text);
        }
      }
    } else {
      for (OpenColumn& c : columns) c.rows = join_numbers(c.parts, batches_, rows_);
    }
    return columns;
  }

  Status write_group(std::initializer_list<ColumnId> ids) {
    const bool prepared = *ids.begin() == ColumnId::src_ip;
    std::vector<OpenColumn> columns = prepared ? std::move(addresses_) : open_group(ids);
    if (columns.empty()) return {};
    if (columns[0].entry.kind == static_cast<uint8_t>(ColumnKind::codes)) {
      const OpenDictionary& d = columns[0].dictionary;
      for (OpenColumn& c : columns) c.entry.dictionary = static_cast<uint16_t>(dictionaries_.size());
      dictionaries_.push_back({append_chunk(d.bytes), d.size, columns[0].entry.physical, {}});
    }
    for (OpenColumn& c : columns) {
      c.chunks.resize(blocks_);
      c.rows.constant = is_constant(c.rows);
    }
    for (uint32_t block = 0; block < blocks_; ++block) SLUICE_TRY(write_block(columns, block));
    if (options_.postings) write_postings(columns);
    for (OpenColumn& c : columns) {
      columns_.push_back(c.entry);
      chunks_.insert(chunks_.end(), c.chunks.begin(), c.chunks.end());
    }
    return {};
  }

  template <typename Builder>
  void finish_dictionary(std::vector<OpenColumn>& columns, Builder& builder) {
    builder.finish();
    const std::vector<uint32_t>& ranks = builder.ranks();
    for (OpenColumn& c : columns) {
      auto& codes = std::get<std::vector<uint32_t>>(c.rows.values);
      if (c.rows.validity.empty()) {
        for (uint32_t& code : codes) code = ranks[code];
      } else {
        for (size_t i = 0; i < codes.size(); ++i) codes[i] = c.rows.validity.get(i) ? ranks[codes[i]] : 0;
      }
      c.entry.kind = static_cast<uint8_t>(ColumnKind::codes);
    }
    builder.write(columns[0].dictionary.bytes);
    columns[0].dictionary.size = builder.size();
  }

  static bool is_constant(const RowColumn& c) {
    if (!c.validity.empty()) return false;
    return std::visit(
        [](const auto& v) {
          using V = typename std::remove_cvref_t<decltype(v)>::value_type;
          if constexpr (std::is_integral_v<V>)
            return !v.empty() && std::memcmp(v.data(), v.data() + 1, (v.size() - 1) * sizeof(V)) == 0;
          else
            return false;
        },
        c.values);
  }

  Status write_block(std::vector<OpenColumn>& columns, uint32_t block) {
    SLUICE_TRY(check_wanted());
    const bool paired = mirrored(columns, block);
    for (OpenColumn& c : columns) SLUICE_TRY(write_chunk(c, block, paired));
    return {};
  }

  // One structure for both sides: what talks also answers, so most granules hold a value on both.
  void write_postings(std::vector<OpenColumn>& columns) {
    const ColumnSpec& spec = column_spec(columns[0].id);
    if ((spec.index != IndexKind::postings && spec.index != IndexKind::address) || columns[0].entry.kind == static_cast<uint8_t>(ColumnKind::text)) return;
    const bool codes = columns[0].entry.kind == static_cast<uint8_t>(ColumnKind::codes);
    uint64_t largest = 0;
    for (const OpenColumn& c : columns)
      for (const ChunkEntry& chunk : c.chunks) largest = std::max(largest, chunk.max);
    const uint64_t values = codes ? columns[0].dictionary.size : largest + 1;
    if (values > kPostingValuesMax) return;
    PostingsBuilder builder(static_cast<uint32_t>(values), static_cast<uint32_t>((rows_ + kGranuleRows - 1) / kGranuleRows));
    for (size_t at = 0; at < rows_; at += kGranuleRows) {
      const auto granule = static_cast<uint32_t>(at / kGranuleRows);
      const auto rows = std::span<const uint32_t>(order_.rows).subspan(at, std::min<size_t>(kGranuleRows, rows_ - at));
      for (size_t i = 0; i < columns.size(); ++i) {
        const RowColumn& c = columns[i].rows;
        std::visit(
            [&](const auto& v) {
              if constexpr (std::is_integral_v<typename std::remove_cvref_t<decltype(v)>::value_type>) {
                // Rows are ordered by service and server, whose values come many times in a row: once is enough.
                uint64_t before = UINT64_MAX;
                for (uint32_t row : rows) {
                  const auto value = static_cast<uint32_t>(v[row]);
                  if (value == before || c.is_null(row)) continue;
                  before = value;
                  builder.add(value, granule, i == 0 ? 1 : 2);
                }
              }
            },
            c.values);
      }
    }
    uint32_t limit = UINT32_MAX;
    if (spec.type == LogicalType::port) {
      constexpr uint32_t kLimits[] = {1'024, 10'000, 32'768, 65'536};
      limit = builder.limit_within(kLimits, std::max<size_t>(1'000, rows_ / kRowsPerPortItem));
      if (limit == 0) return;
      if (limit == 65'536) limit = UINT32_MAX;
    }
    std::string bytes;
    const uint32_t head = builder.write(limit, bytes);
    ChunkRef ref = append_chunk(bytes);
    ref.checksum = checksum_of(as_bytes(bytes).first(head));
    for (size_t i = 0; i < columns.size(); ++i) {
      columns[i].entry.postings = static_cast<uint16_t>(postings_.size());
      columns[i].entry.side = i == 0 ? 1 : 2;
    }
    postings_.push_back({ref, head, 0});
  }

  // Whether in every pair of the block each side's value is the other side's of the other row.
  bool mirrored(const std::vector<OpenColumn>& columns, uint32_t block) const {
    const uint32_t pairs = order_.pairs[block];
    if (pairs == 0 || columns.size() != 2 || columns[0].entry.kind == static_cast<uint8_t>(ColumnKind::text)) return false;
    const auto order = block_order(block);
    if (columns[0].rows.constant && columns[1].rows.constant)
      return std::visit([&](const auto& a) { return a[0] == std::get<std::remove_cvref_t<decltype(a)>>(columns[1].rows.values)[0]; }, columns[0].rows.values);
    for (const OpenColumn& c : columns)
      if (!c.rows.validity.empty())
        for (uint32_t row : order)
          if (!c.rows.validity.get(row)) return false;
    return std::visit(
        [&](const auto& a) {
          const auto& b = std::get<std::remove_cvref_t<decltype(a)>>(columns[1].rows.values);
          for (uint32_t i = 0; i < 2 * pairs; i += 2)
            if (a[order[i]] != b[order[i + 1]] || b[order[i]] != a[order[i + 1]]) return false;
          return true;
        },
        columns[0].rows.values);
  }

  Status write_chunk(OpenColumn& c, uint32_t block, bool paired) {
    const auto order = block_order(block);
    const uint32_t pairs = order_.pairs[block];
    const auto rows = static_cast<uint32_t>(order.size());
    ChunkEntry& chunk = c.chunks[block];
    chunk = {};
    Bitmap validity;
    if (!c.rows.validity.empty()) {
      validity.resize(rows, false);
      for (uint32_t i = 0; i < rows; ++i)
        if (c.rows.validity.get(order[i])) validity.set(i, true);
      chunk.nulls = rows - static_cast<uint32_t>(validity.count());
      if (chunk.nulls == 0) validity.clear();
    }
    if (chunk.nulls == rows) return {};

    scratch_.clear();
    if (chunk.nulls > 0) {
      std::string map;
      codec::encode_null_map(validity, rows, map);
      codec::put(scratch_, static_cast<uint32_t>(map.size()));
      scratch_ += map;
    }
    if (c.entry.kind == static_cast<uint8_t>(ColumnKind::text)) {
      const auto& all = std::get<std::vector<std::string_view>>(c.rows.values);
      std::vector<std::string_view> strings;
      strings.reserve(rows);
      for (uint32_t i = 0; i < rows; ++i)
        if (validity.empty() || validity.get(i)) strings.push_back(all[order[i]]);
      codec::encode_text(strings, scratch_);
    } else if (c.rows.constant && !is_relative(c.id)) {
      // What the general way below comes to, without its passes over the rows.
      uint64_t value = 0;
      c.rows.gather(order.first(1), &value);
      values_.assign(1, value);
      set_range(c, chunk);
      if (pairs > 0) chunk.flags |= paired ? kPaired : kSplit;
      values_.assign(pairs > 0 && paired ? rows - pairs : rows, value);
      codec::encode_integers(values_, scratch_, static_cast<PhysicalType>(c.entry.physical) == PhysicalType::I64);
    } else {
      values_.resize(rows);
      c.rows.gather(order, values_.data());
      // Only rows with a value have one in the stream.
      if (chunk.nulls > 0) {
        size_t n = 0;
        for (uint32_t i = 0; i < rows; ++i)
          if (validity.get(i)) values_[n++] = values_[i];
        values_.resize(n);
      }
      set_range(c, chunk);
      make_relative(c, chunk, block, order, validity);
      if (chunk.nulls == 0 && pairs > 0) {
        chunk.flags |= paired ? kPaired : twins(pairs) ? kTwin : kSplit;
        take_pairs_apart(chunk, pairs);
      }
      const bool time = static_cast<PhysicalType>(c.entry.physical) == PhysicalType::I64;
      if (chunk.flags & kTwin) {
        // bias, length of the first stream, first stream, differences
        const auto bias = static_cast<uint64_t>(*std::min_element(differences_.begin(), differences_.end()));
        codec::put(scratch_, bias);
        const size_t length_at = scratch_.size();
        codec::put(scratch_, uint32_t{0});
        codec::encode_integers(values_, scratch_, time);
        const auto length = static_cast<uint32_t>(scratch_.size() - length_at - 4);
        std::memcpy(scratch_.data() + length_at, &length, 4);
        values_.resize(pairs);
        for (uint32_t i = 0; i < pairs; ++i) values_[i] = static_cast<uint64_t>(differences_[i]) - bias;
      }
      codec::encode_integers(values_, scratch_, time);
    }
    if (scratch_.size() > UINT32_MAX) return Error{ErrorCode::too_large, "a block of a column beyond 4 GiB"};
    const ChunkRef ref = append_chunk(scratch_);
    chunk.offset = ref.offset;
    chunk.length = static_cast<uint32_t>(ref.length);
    chunk.checksum = ref.checksum;
    return {};
  }

  // Whether second rows are closer to their first rows than to the smallest value.
  bool twins(uint32_t pairs) const {
    const uint64_t min = *std::min_element(values_.begin(), values_.end());
    int64_t difference_min = INT64_MAX, difference_max = INT64_MIN;
    uint64_t plain = 0, near = 0;
    for (uint32_t i = 0; i < pairs; ++i) {
      const uint64_t first = values_[2 * i], second = values_[2 * i + 1];
      const auto difference = static_cast<int64_t>(second - first);
      difference_min = std::min(difference_min, difference);
      difference_max = std::max(difference_max, difference);
      plain += static_cast<uint64_t>(std::bit_width(second - min));
      near += static_cast<uint64_t>(std::bit_width(codec::zigzag(second - first)));
    }
    // Differences wider than 63 bits have no bias.
    int64_t range = 0;
    return !__builtin_sub_overflow(difference_max, difference_min, &range) && near < plain;
  }

  // Lays values_ out as the chunk's flags say: the pairs' first rows, of a split one their second rows, then the rest. A
  // twin's second rows go to differences_.
  void take_pairs_apart(const ChunkEntry& chunk, uint32_t pairs) {
    const bool split = chunk.flags & kSplit;
    apart_.resize(values_.size() - (split ? 0 : pairs));
    uint64_t* to = apart_.data();
    for (uint32_t i = 0; i < pairs; ++i) *to++ = values_[2 * i];
    if (split)
      for (uint32_t i = 0; i < pairs; ++i) *to++ = values_[2 * i + 1];
    std::copy(values_.begin() + 2 * static_cast<ptrdiff_t>(pairs), values_.end(), to);
    differences_.clear();
    if (chunk.flags & kTwin) {
      differences_.resize(pairs);
      for (uint32_t i = 0; i < pairs; ++i) differences_[i] = static_cast<int64_t>(values_[2 * i + 1] - values_[2 * i]);
    }
    values_.swap(apart_);
  }

  void set_range(const OpenColumn& c, ChunkEntry& chunk) const {
    const auto type = static_cast<PhysicalType>(c.entry.physical);
    if (type == PhysicalType::F64) return;
    chunk.flags |= kHasRange;
    if (type == PhysicalType::I64) {
      const auto [lo, hi] = std::minmax_element(values_.begin(), values_.end(), [](uint64_t a, uint64_t b) {
        return static_cast<int64_t>(a) < static_cast<int64_t>(b);
      });
      chunk.min = *lo;
      chunk.max = *hi;
    } else {
      chunk.min = chunk.max = values_[0];
      for (uint64_t v : values_) {
        chunk.min = std::min(chunk.min, v);
        chunk.max = std::max(chunk.max, v);
      }
    }
  }

  // Whether a column is kept as distances to another where it can be.
  static bool is_relative(ColumnId id) { return id == ColumnId::flow_start || id == ColumnId::exported_at || id == ColumnId::received_at; }

  // The column whose values those of this one lie close to, if it has one in every row here.
  const RowColumn* base_of(const OpenColumn& c, ChunkEntry& chunk, std::span<const uint32_t> order) const {
    auto whole = [&](ColumnId id, const RowColumn& base) {
      if (parts_[static_cast<size_t>(id)].empty()) return false;
      return base.validity.empty() || std::all_of(order.begin(), order.end(), [&](uint32_t row) { return base.validity.get(row); });
    };
    if (!is_relative(c.id)) return nullptr;
    if (c.id == ColumnId::received_at && whole(ColumnId::exported_at, exported_at_)) {
      chunk.flags |= kFromExportedAt;
      return &exported_at_;
    }
    if (!whole(ColumnId::flow_end, flow_end_)) return nullptr;
    chunk.flags |= kFromFlowEnd;
    return &flow_end_;
  }

  // Turns values_ (those of rows that have one) into distances to another column where that is known to be close.
  void make_relative(const OpenColumn& c, ChunkEntry& chunk, uint32_t block, std::span<const uint32_t> order, const Bitmap& validity) {
    if (const RowColumn* base = base_of(c, chunk, order)) {
      const uint64_t* const bases = std::get<std::vector<uint64_t>>(base->values).data() + size_t{block} * limits::kBlockRows;
      uint64_t all = 0;
      size_t n = 0;
      for (size_t i = 0; i < order.size(); ++i) {
        if (!validity.empty() && !validity.get(i)) continue;
        values_[n] = bases[i] - values_[n];
        all |= values_[n++];
      }
      if (all >> 63 != 0) {
        chunk.flags |= kZigzag;
        for (uint64_t& v : values_) v = codec::zigzag(v);
      }
    }
  }

  void write_footer(uint64_t id, TimestampNs partition_start) {
    file_.align(8);
    std::string footer;
    const FooterHead head{id,
                          partition_start,
                          first_,
                          last_,
                          static_cast<uint32_t>(rows_),
                          static_cast<uint32_t>(columns_.size()),
                          static_cast<uint32_t>(dictionaries_.size()),
                          static_cast<uint32_t>(postings_.size())};
    footer += as_text(&head, sizeof head);
    footer += as_text(dictionaries_);
    footer += as_text(postings_);
    for (uint32_t pairs : order_.pairs) {
      const BlockEntry entry{pairs, 0};
      footer += as_text(&entry, sizeof entry);
    }
    footer += as_text(columns_);
    footer += as_text(chunks_);
    FileTrailer trailer{static_cast<uint32_t>(footer.size()), kFormatVersion, file_.offset() + footer.size() + sizeof(FileTrailer), 0, kMagic};
    footer += as_text(&trailer, 16);
    trailer.checksum = checksum_of(as_bytes(footer));
    footer += as_text(reinterpret_cast<const char*>(&trailer) + 16, sizeof trailer - 16);
    file_.append(footer);
  }

  std::span<const Batch* const> batches_;
  const WriteOptions& options_;
  size_t rows_ = 0;
  uint32_t blocks_ = 0;
  std::array<ColumnParts, kColumnCount> parts_;
  RowColumn flow_end_, exported_at_;  // values by rows of the segment once it is ordered; which of them are null still by rows of the input
  std::vector<OpenColumn> addresses_;
  RowOrder order_;
  TimestampNs first_ = 0, last_ = 0;

  FileWriter file_;
  std::string scratch_;
  std::vector<uint64_t> values_, apart_;
  std::vector<int64_t> differences_;
  std::vector<DictionaryEntry> dictionaries_;
  std::vector<PostingsEntry> postings_;
  std::vector<ColumnEntry> columns_;
  std::vector<ChunkEntry> chunks_;
};

}  // namespace

Result<SegmentInfo> write_segment(const std::string& path, uint64_t id, TimestampNs partition_start, std::span<const Batch> batches,
                                  const WriteOptions& options) {
  std::vector<const Batch*> pointers;
  for (const Batch& b : batches) pointers.push_back(&b);
  return write_segment_of(path, id, partition_start, pointers, options);
}

Result<SegmentInfo> write_segment_of(const std::string& path, uint64_t id, TimestampNs partition_start, std::span<const Batch* const> batches,
                                     const WriteOptions& options) {
  return Writer(batches, options).write(path, id, partition_start);
}

}  // namespace sluice::segment
