// One flow row while its record is read, and the batches that rows become. For sources whose records name their fields, JSON
// and TSV: a record is first read whole, so that a bad one leaves nothing behind, then completed and written.
//
//   FlowRowWriter writer(context, sink, report);
//   for each record: FlowRow& row = writer.begin(); row.set_*(…) …; writer.write();      // or begin() again: nothing is kept
//   writer.finish();
//
// Thread rule: as std::vector.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/source/source.h"
#include "ingest/source/text_line.h"
#include "storage/model/batch.h"

namespace sluice::ingest {

class FlowRow {
 public:
  void clear();

  // A later value replaces an earlier one. REQUIRES: the column's physical type fits the call.
  void set_uint(ColumnId id, uint64_t value) {
    mark(id);
    slot(id).number = value;
  }
  void set_time(ColumnId id, TimestampNs value) { set_uint(id, static_cast<uint64_t>(value)); }
  template <typename E>
    requires std::is_enum_v<E>
  void set_enum(ColumnId id, E value) {
    set_uint(id, static_cast<uint64_t>(value));
  }
  void set_ip(ColumnId id, const IpAddress& value) {
    mark(id);
    slot(id).ip = value;
  }
  // The text is not copied: it has to live until the row is written. Empty text is null.
  void set_text(ColumnId id, std::string_view value) {
    if (value.empty()) return unset(id);
    mark(id);
    slot(id).text = {value.data(), value.size()};
  }
  // The same for text made up on the way, which the row then keeps.
  void set_text_copy(ColumnId id, std::string value) { set_text(id, arena_.emplace_back(std::move(value))); }
  void unset(ColumnId id) { present_[index(id) / 64] &= ~(uint64_t{1} << index(id) % 64); }

  bool has(ColumnId id) const { return present_[index(id) / 64] >> index(id) % 64 & 1; }
  // REQUIRES: has(id), and the type fits
  uint64_t number(ColumnId id) const { return slot(id).number; }
  TimestampNs time(ColumnId id) const { return static_cast<TimestampNs>(number(id)); }
  const IpAddress& ip(ColumnId id) const { return slot(id).ip; }
  std::string_view text(ColumnId id) const { return {slot(id).text.data, slot(id).text.size}; }

  // Values as records write them. False: it is none such, and fault() says so with the field's name. An empty text sets nothing.
  bool read_whole(ColumnId id, std::string_view field, std::string_view text);  // at most what the column holds
  bool read_ip(ColumnId id, std::string_view field, std::string_view text);
  bool read_mac(ColumnId id, std::string_view field, std::string_view text);
  bool read_protocol(std::string_view field, std::string_view text);
  bool read_time(ColumnId id, std::string_view field, std::string_view text);  // RFC 3339, or Unix time: see parse_epoch
  // The same without a column.
  bool read_time(TimestampNs& out, std::string_view field, std::string_view text);
  bool read_whole(uint64_t& out, uint64_t max, std::string_view field, std::string_view text);
  // Notes what is wrong with the record, for the report; false.
  bool fault(std::string_view field, std::string_view what, std::string_view value);
  const std::string& fault() const { return fault_; }

  // An item of `extra`; one that would make it longer than limits::kStringBytesMax is left out and counted.
  void add_extra(std::string_view key, std::string_view value);

  // An item of a list that will be a list column; left out and counted as above where the list would grow too long.
  void add_item(std::string& list, std::string_view item);

  // When the record was made, where it says: the row's time when it has no other.
  TimestampNs event_time = 0;

 private:
  friend class FlowRowWriter;
  struct Text {
    const char* data;
    size_t size;
  };
  union Slot {
    uint64_t number;
    IpAddress ip;
    Text text;
    Slot() {}  // what is in it is read only where the row says that it is there
  };
  // Rows whose numbers and addresses lie together, column by column, until they are moved into the batch: what is done per column is
  // done once for all of them. Few enough that they stay in the first cache.
  static constexpr size_t kRowsAtOnce = 16;
  using Present = std::array<uint64_t, 2>;

  static constexpr size_t index(ColumnId id) { return static_cast<size_t>(id); }
  static_assert(kColumnCount <= 128);
  Slot& slot(ColumnId id) { return slots_[index(id) * kRowsAtOnce + at_]; }
  const Slot& slot(ColumnId id) const { return slots_[index(id) * kRowsAtOnce + at_]; }
  void mark(ColumnId id) { present_[index(id) / 64] |= uint64_t{1} << index(id) % 64; }

  Present present_{};
  const std::unique_ptr<Slot[]> slots_ = std::make_unique_for_overwrite<Slot[]>(kColumnCount * kRowsAtOnce);
  size_t at_ = 0;  // of the rows at once
  std::string extra_;
  TextArena arena_;
  std::string fault_;
  bool cut_ = false;
};

class FlowRowWriter {
 public:
  // All three are used until finish() has returned.
  FlowRowWriter(const DecodeContext& context, const FlowSink& sink, DecodeReport& report);

  // The row to fill, empty.
  FlowRow& begin() {
    row_.clear();
    return row_;
  }
  FlowRow& row() { return row_; }

  // Completes the row and adds it: its times are settled (see flow_time.h), and what the record says otherwise is in `extra`;
  // ip_version follows from the addresses; text is made clean UTF-8 and cut to limits::kStringBytesMax. Counts the row as
  // accepted. Errors: the sink's.
  Status write();
  // Rows written and not yet given to the sink.
  size_t rows() const { return rows_ + row_.at_; }
  // Gives the rest to the sink.
  Status finish();

  // Called with every batch before the sink gets it, for what only many rows together tell.
  void amend_with(std::function<void(Batch&)> amend) { amend_ = std::move(amend); }

 private:
  void move_rows();
  void move_column(ColumnId id);
  Column& column(ColumnId id, size_t rows);
  Status flush();

  const DecodeContext& context_;
  const FlowSink& sink_;
  DecodeReport& report_;
  FlowRow row_;
  TextArena arena_;

  // The batch in the making: rows_ rows in columns, and behind them those that are still the row's, whose texts alone are in columns.
  std::array<std::optional<Column>, kColumnCount> columns_;
  size_t rows_ = 0;
  size_t rows_expected_ = 0;  // rows of the batch before: what columns are given room for
  std::array<FlowRow::Present, FlowRow::kRowsAtOnce> present_{};
  size_t text_bytes_ = 0;  // of the batch in the making
  std::function<void(Batch&)> amend_;
};

}  // namespace sluice::ingest
