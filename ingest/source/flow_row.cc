#include "ingest/source/flow_row.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "ingest/source/flow_time.h"
#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace {

// Rows of one batch: what is filled row by row stays in the cache that long.
constexpr size_t kRowsMax = 16'384;
static_assert(kRowsMax <= limits::kBatchRows);

// The largest number that a column holds.
const std::array<uint64_t, kColumnCount> kLargest = [] {
  std::array<uint64_t, kColumnCount> largest{};
  for (size_t i = 0; i < kColumnCount; ++i) {
    const size_t width = width_of(column_spec(static_cast<ColumnId>(i)).physical);
    largest[i] = width >= 8 ? UINT64_MAX : (uint64_t{1} << 8 * width) - 1;
  }
  return largest;
}();
// The columns that hold text, as the bits of a row.
const std::array<uint64_t, 2> kTexts = [] {
  std::array<uint64_t, 2> texts{};
  for (size_t i = 0; i < kColumnCount; ++i)
    if (column_spec(static_cast<ColumnId>(i)).physical == PhysicalType::Str) texts[i / 64] |= uint64_t{1} << i % 64;
  return texts;
}();

// Calls `f` with each column whose bit is set.
template <typename F>
void each_column(const std::array<uint64_t, 2>& present, F&& f) {
  for (size_t word = 0; word < present.size(); ++word)
    for (uint64_t bits = present[word]; bits != 0; bits &= bits - 1) f(static_cast<ColumnId>(word * 64 + static_cast<size_t>(std::countr_zero(bits))));
}

}  // namespace

void FlowRow::clear() {
  present_ = {};
  extra_.clear();
  if (!arena_.empty()) arena_.clear();
  fault_.clear();
  cut_ = false;
  event_time = 0;
}

bool FlowRow::fault(std::string_view field, std::string_view what, std::string_view value) {
  fault_.assign(field).append(what);
  if (!value.empty()) fault_.append(": ").append(quoted(value));
  return false;
}

bool FlowRow::read_whole(uint64_t& out, uint64_t max, std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  if (parse_whole(text, max, out)) return true;
  fault(field, " is no number from 0 to ", text);
  fault_.insert(field.size() + std::string_view(" is no number from 0 to ").size(), std::to_string(max));
  return false;
}

bool FlowRow::read_whole(ColumnId id, std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  uint64_t value = 0;
  if (!read_whole(value, kLargest[index(id)], field, text)) return false;
  set_uint(id, value);
  return true;
}

bool FlowRow::read_ip(ColumnId id, std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  IpAddress ip;
  if (!parse_address(text, ip)) return fault(field, " is no address", text);
  set_ip(id, ip);
  return true;
}

bool FlowRow::read_mac(ColumnId id, std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  const auto mac = parse_mac(text);
  if (!mac) return fault(field, " is no MAC address", text);
  set_uint(id, *mac);
  return true;
}

bool FlowRow::read_protocol(std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  uint64_t number = 0;
  if (const auto protocol = parse_protocol(text))
    set_uint(ColumnId::protocol, *protocol);
  else if (parse_whole(text, 255, number))
    set_uint(ColumnId::protocol, number);
  else
    return fault(field, " is no protocol", text);
  return true;
}

bool FlowRow::read_time(TimestampNs& out, std::string_view field, std::string_view text) {
  if (text.empty()) return true;
  // A date has its first dash behind the year; a number has none there.
  auto time = text.size() > 4 && text[4] == '-' ? parse_timestamp(text) : parse_epoch(text);
  if (!time) return fault(field, " is no time", text);
  out = *time;
  return true;
}

bool FlowRow::read_time(ColumnId id, std::string_view field, std::string_view text) {
  TimestampNs time = 0;
  if (text.empty()) return true;
  if (!read_time(time, field, text)) return false;
  set_time(id, time);
  return true;
}

void FlowRow::add_extra(std::string_view key, std::string_view value) {
  if (value.empty()) return;
  bool key_cut = false, value_cut = false;
  const std::string_view clean_key = clean_text(key, arena_, key_cut), clean_value = clean_text(value, arena_, value_cut);
  const size_t before = extra_.size();
  if (!key_cut) append_extra(extra_, clean_key, clean_value);
  if (key_cut || extra_.size() > limits::kStringBytesMax) {
    extra_.resize(before);
    cut_ = true;
  }
  cut_ |= value_cut;
}

void FlowRow::add_item(std::string& list, std::string_view item) {
  if (item.empty()) return;
  bool cut = false;
  const std::string_view clean = clean_text(item, arena_, cut);
  const size_t before = list.size();
  append_list_item(list, clean);
  if (list.size() > limits::kStringBytesMax) {
    list.resize(before);
    cut = true;
  }
  cut_ |= cut;
}

FlowRowWriter::FlowRowWriter(const DecodeContext& context, const FlowSink& sink, DecodeReport& report)
    : context_(context), sink_(sink), report_(report) {}

Status FlowRowWriter::write() {
  FlowRow& row = row_;

  // --- time ---
  FlowTimes times;
  if (row.has(ColumnId::time_quality)) times.quality = static_cast<TimeQuality>(row.number(ColumnId::time_quality));
  if (row.has(ColumnId::flow_start)) times.start = row.time(ColumnId::flow_start);
  if (row.has(ColumnId::flow_end)) times.end = row.time(ColumnId::flow_end);
  times.settle(row.event_time, context_.received_at);
  if (times.said_start) row.add_extra("start", format_timestamp(*times.said_start));
  if (times.said_end) row.add_extra("end", format_timestamp(*times.said_end));
  times.start ? row.set_time(ColumnId::flow_start, *times.start) : row.unset(ColumnId::flow_start);
  row.set_time(ColumnId::flow_end, *times.end);
  report_.clamped_times += times.clamped();
  row.set_enum(ColumnId::time_quality, times.quality);
  if (context_.received_at != 0) row.set_time(ColumnId::received_at, context_.received_at);

  if (!row.has(ColumnId::ip_version)) {
    if (row.has(ColumnId::src_ip))
      row.set_uint(ColumnId::ip_version, row.ip(ColumnId::src_ip).is_v4() ? 4 : 6);
    else if (row.has(ColumnId::dst_ip))
      row.set_uint(ColumnId::ip_version, row.ip(ColumnId::dst_ip).is_v4() ? 4 : 6);
  }
  if (!row.extra_.empty()) row.set_text(ColumnId::extra, row.extra_);

  each_column({row.present_[0] & kTexts[0], row.present_[1] & kTexts[1]}, [&](ColumnId id) {
    bool cut = false;
    // `extra` and lists are clean already, and hold line feeds between their items.
    const bool has_items = column_spec(id).type == LogicalType::extra || column_spec(id).type == LogicalType::list;
    const std::string_view text = has_items ? row.text(id) : clean_text(row.text(id), arena_, cut);
    column(id, rows()).append_string(text);
    text_bytes_ += text.size();
    row.cut_ |= cut;
  });
  if (!arena_.empty()) arena_.clear();
  if (row.cut_) ++report_.cut_strings;
  ++report_.accepted;
  present_[row.at_] = row.present_;
  if (++row.at_ == FlowRow::kRowsAtOnce) move_rows();
  if (rows() == kRowsMax || text_bytes_ >= limits::kDecodedTextBytesMax) return flush();
  return {};
}

// The column, with nulls up to `rows`.
Column& FlowRowWriter::column(ColumnId id, size_t rows) {
  auto& c = columns_[static_cast<size_t>(id)];
  if (!c) {
    c.emplace(column_spec(id).physical);
    c->reserve(rows_expected_);
  }
  if (c->size() < rows) c->append_nulls(rows - c->size());
  return *c;
}

void FlowRowWriter::move_rows() {
  if (row_.at_ == 0) return;
  FlowRow::Present any{};
  for (size_t r = 0; r < row_.at_; ++r)
    for (size_t word = 0; word < any.size(); ++word) any[word] |= present_[r][word];
  each_column({any[0] & ~kTexts[0], any[1] & ~kTexts[1]}, [&](ColumnId id) { move_column(id); });
  rows_ += row_.at_;
  row_.at_ = 0;
}

// The values of the rows at once, of a column that holds no text.
void FlowRowWriter::move_column(ColumnId id) {
  Column& c = column(id, rows_);
  const FlowRow::Slot* const slots = &row_.slots_[FlowRow::index(id) * FlowRow::kRowsAtOnce];
  const auto is_there = [&](size_t r) { return (present_[r][FlowRow::index(id) / 64] >> FlowRow::index(id) % 64 & 1) != 0; };
  const auto move = [&]<typename T>(T, auto value) {
    for (size_t from = 0, to = 0; from < row_.at_; from = to) {
      const bool there = is_there(from);
      while (to < row_.at_ && is_there(to) == there) ++to;
      if (!there) {
        c.append_nulls(to - from);
        continue;
      }
      T* const out = c.extend<T>(to - from);
      for (size_t r = from; r < to; ++r) out[r - from] = value(slots[r]);
    }
  };
  const auto number = [&]<typename T>(T like) { move(like, [](const FlowRow::Slot& s) { return static_cast<T>(s.number); }); };
  switch (c.type()) {
    case PhysicalType::U8: return number(uint8_t{});
    case PhysicalType::U16: return number(uint16_t{});
    case PhysicalType::U32: return number(uint32_t{});
    case PhysicalType::U64: return number(uint64_t{});
    case PhysicalType::I64: return number(int64_t{});
    case PhysicalType::Ip: return move(IpAddress{}, [](const FlowRow::Slot& s) { return s.ip; });
    case PhysicalType::F64:
    case PhysicalType::Str: SLUICE_CHECK_MSG(false, "a column that FlowRow does not set by its slot");
  }
}

Status FlowRowWriter::flush() {
  move_rows();
  text_bytes_ = 0;
  if (rows_ == 0) return {};
  auto schema = std::make_shared<Schema>();
  Batch batch;
  batch.rows = rows_;
  for (size_t i = 0; i < kColumnCount; ++i) {
    const auto id = static_cast<ColumnId>(i);
    if (!columns_[i]) continue;
    schema->push_back(Field::of(id));
    batch.columns.push_back(std::move(column(id, rows_)));
    columns_[i].reset();
  }
  batch.schema = std::move(schema);
  rows_expected_ = rows_;
  rows_ = 0;
  if (amend_) amend_(batch);
  return sink_(std::move(batch));
}

Status FlowRowWriter::finish() { return flush(); }

}  // namespace sluice::ingest
