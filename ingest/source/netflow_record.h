// Records of one template become rows: whole columns at a time where a field alone decides a column, record by record where
// it takes more thought.
//
// Thread rule: a RecordWriter is one thread's. It trusts nothing but its REQUIRES: every place lies within the data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/flow_time.h"
#include "ingest/source/running_totals.h"
#include "ingest/source/template.h"
#include "storage/model/batch.h"
#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// What all records of a set share.
struct RecordContext {
  Source source = Source::unknown;
  IpAddress exporter_ip;       // all zero: not known, as for a file that does not say who exported it
  uint16_t exporter_port = 0;  // 0: not known
  uint32_t domain = 0;
  TimestampNs received_at = 0;
  TimestampNs exported_at = 0;             // as the header says; 0 when it says nothing
  std::optional<uint32_t> uptime_ms;       // NetFlow: the header's sysUpTime
  std::optional<int64_t> system_init_ms;   // IPFIX: element 160, from options
  bool icmp_in_dst_port = false;           // ICMP's type and code stand in dst_port, unless elements of their own tell
  std::optional<uint32_t> forced_rate;     // the operator's word, over the exporter's
  std::optional<uint32_t> sampling_rate;   // as told, without a selector; nullopt: not told
  std::optional<uint32_t> operator_rate;   // the operator's, where the exporter says nothing
  bool rates_by_interface = false;         // some rates are of single interfaces: RecordLookup::rates_of_interface
};

// Rates of one interface.
struct InterfaceRates {
  std::optional<uint32_t> forced, told, operator_rate;
};

// What a record may ask for while it is read.
class RecordLookup {
 public:
  virtual ~RecordLookup() = default;
  virtual std::optional<uint32_t> rate_of(uint64_t selector) = 0;
  virtual InterfaceRates rates_of_interface(uint64_t interface) = 0;
  virtual const std::string* application(uint64_t app_id) = 0;      // nullptr: no name
  virtual std::shared_ptr<const Template> sub_template(uint16_t id) = 0;  // nullptr: not known
  // Of running totals, what came since the flow's last report: see RunningTotals.
  virtual TotalCounters since_last(uint64_t flow, const TotalCounters& now, bool has_start) = 0;
};

struct RecordTally {
  uint64_t clamped_times = 0;
  uint64_t estimated_times = 0;
  uint64_t cut_strings = 0;
  uint64_t bad_structures = 0;  // structured data that did not hold together; the record stays
};

class RecordWriter {
 public:
  // Adds `count` rows. Record i lies at data + i·stride, its fields at `places`.
  // REQUIRES: places has one entry a field; all of them within the data for every record
  void write(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
             const RecordContext& context, RecordLookup& lookup, FlowBatchBuilder& out, RecordTally& tally);

 private:
  struct RowState;
  void write_columns(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                     FlowBatchBuilder& out);
  bool write_times(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                   const RecordContext& context, FlowBatchBuilder& out, RecordTally& tally);
  void read_times(const Template& t, const TimeSource& from, const std::vector<Place>& places, const uint8_t* data,
                  size_t stride, size_t count, const RecordContext& context, uint8_t raw_flag, std::vector<int64_t>& times);
  void write_sampling(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                      const RecordContext& context, RecordLookup& lookup, FlowBatchBuilder& out);
  void write_icmp(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                  FlowBatchBuilder& out);
  void apply(const Step& step, const uint8_t* value, size_t length, RowState& row, FlowBatchBuilder& out, RecordLookup& lookup,
             int depth);
  void apply_structured(const Step& step, std::span<const uint8_t> data, RowState& row, FlowBatchBuilder& out,
                        RecordLookup& lookup, int depth);
  void write_totals(const TotalsPlan& plan, const std::vector<Place>& places, const uint8_t* record, const RecordContext& context,
                    FlowBatchBuilder& out, RecordLookup& lookup);
  void write_section(RowState& row, FlowBatchBuilder& out);
  void finish_row(const Plan& plan, RowState& row, const RecordContext& context, FlowBatchBuilder& out, RecordLookup& lookup, RecordTally& tally);

  // Scratch, kept for its memory.
  std::vector<int64_t> starts_, ends_;
  std::vector<uint8_t> qualities_, raw_flags_;
  std::string extra_;
};

// Whether a record has structured data (RFC 6313), and the template that some of it wants and that is not known, however nested; nullopt:
// none. What does not hold together is for the writer to tell. REQUIRES: as write()
bool has_structured_data(const Template& t);
std::optional<uint16_t> missing_template(const Template& t, const std::vector<Place>& places, const uint8_t* record, RecordLookup& lookup);

// Big-endian unsigned number of up to 8 bytes. REQUIRES: length <= 8
uint64_t load_number(const uint8_t* p, size_t length);
// A value as `extra` shows it: numbers in decimal, addresses and times as FlowQL prints them, text as valid UTF-8 without
// trailing zeros, other bytes in hex.
std::string format_value(ElementType type, const uint8_t* p, size_t length);
// Text from a device: cut at the zeros that pad it, invalid UTF-8 and control characters replaced.
std::string clean_text(std::string_view raw);
// applicationId as column app_id: engine in the top byte, selector below; nullopt when it does not fit.
std::optional<uint64_t> application_id(const uint8_t* p, size_t length);

}  // namespace sluice::ingest
