// A template, and the plan compiled from it: which bytes of a record go to which column, and how.
//
// Fields are what the exporter sent. The plan is made once, when the template first meets data, and again when what it
// rests on changes (element names told by the exporter, the meaning of post-counters). Both are immutable: a template that
// is replaced or withdrawn lives on for as long as somebody decodes with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingest/source/element.h"
#include "storage/model/result.h"

namespace sluice::ingest {

inline constexpr uint16_t kVariableLength = 0xffff;

struct TemplateField {
  uint32_t pen = 0;
  uint16_t id = 0;
  uint16_t length = 0;  // kVariableLength: the record says

  bool operator==(const TemplateField&) const = default;
};

struct TemplateDefinition {
  uint16_t id = 0;
  bool options = false;
  uint16_t scope_fields = 0;  // of options: the first so many fields
  std::vector<TemplateField> fields;

  // Bytes of the shortest record; of every record when no field varies.
  size_t min_length() const;
  bool variable() const;
  bool operator==(const TemplateDefinition&) const = default;
};

// Whether a definition can be used at all: some fields, not too many, records of at least one byte.
Status check_template(const TemplateDefinition& definition);

// Where a field of one record lies, relative to the record.
struct Place {
  uint32_t offset = 0;
  uint32_t length = 0;
};
// Finds the fields of the record at the start of `data`. Returns the record's length, 0 when `data` is too short.
size_t place_fields(const TemplateDefinition& definition, std::span<const uint8_t> data, std::vector<Place>& places);

// What the exporter told about an element (RFC 5610), or the table knows.
struct ElementInfo {
  std::string name;
  ElementType type = ElementType::unknown;
};
// Looks up what the exporter told; nullptr when nothing.
using ElementTeller = std::function<const ElementInfo*(uint32_t pen, uint16_t id)>;

// One field's way to a value.
struct Step {
  uint16_t field = 0;  // index of field
  Convert convert = Convert::none;
  ElementType type = ElementType::unknown;
  ColumnId column = ColumnId::extra;
  uint8_t width = 0;   // bytes, for fields of fixed length up to 16; else 0
  bool contended = false; // several fields may fill the column: the first that is not zero does
  bool to_extra = false;  // also to `extra`: one of several identical elements
  std::string name;    // for `extra`
};

// Where flow_start and flow_end come from.
struct TimeSource {
  Convert convert = Convert::none;  // none: not told
  ElementType type = ElementType::unknown;
  uint16_t field = 0;
};
struct TimePlan {
  TimeSource start, end, duration;
  std::optional<uint16_t> system_init;  // field
  std::string start_name, end_name;     // for raw values in `extra`
};

struct SamplingPlan {
  std::optional<uint16_t> interval, packets, space, selector;  // fields
  bool any() const { return interval || packets || selector; }
};

// Running totals (elements 85 and 86, and their reverse), where a record has no deltas: their fields, and those that tell flows apart.
struct TotalsPlan {
  std::optional<uint16_t> bytes, packets, reverse_bytes, reverse_packets;  // fields
  std::vector<uint16_t> keys;                                              // fields
  bool has_start = false;                                                  // the flow's begin is among the keys
  bool any() const { return bytes || packets || reverse_bytes || reverse_packets; }
  // REQUIRES: one of the four counter columns
  std::optional<uint16_t>& of(ColumnId column) {
    return column == ColumnId::raw_bytes ? bytes : column == ColumnId::raw_packets ? packets : column == ColumnId::raw_reverse_bytes ? reverse_bytes : reverse_packets;
  }
};

struct Plan {
  // Fields of fixed width that go straight to a column of their own, whole columns at a time.
  std::vector<Step> columns;
  // Everything else of a flow, record by record, in the template's order.
  std::vector<Step> rows;
  // Every field, record by record: for records inside structured data.
  std::vector<Step> all;
  TimePlan times;
  SamplingPlan sampling;
  TotalsPlan totals;
  bool has_v4 = false, has_v6 = false;  // addresses of that family
  bool has_ip_version = false;
  bool has_tcp_flags = false;
  bool has_icmp = false;
  bool has_exporter = false, has_domain = false;  // a field may say who reports
  bool is_biflow = false;
  bool source_initiates = false;        // counters are called initiator's and responder's
  std::optional<ByteBasis> byte_basis;  // set when the template has bytes
  std::optional<uint16_t> protocol_field, dst_port_field;
  std::optional<uint16_t> app_id_field;
  std::optional<uint16_t> input_if_field, output_if_field, direction_field;
  bool has_post_counters = false;       // elements 23, 24 …: what they mean depends on the maker
};

struct PlanOptions {
  bool post_is_reverse = false;  // elements 23, 24, 171, 172 count the other direction
  bool netflow9 = false;         // types are Cisco's, without enterprise bit
};

Plan make_plan(const TemplateDefinition& definition, const PlanOptions& options, const ElementTeller& teller);

// A template ready for use.
struct Template {
  TemplateDefinition definition;
  Plan plan;
  size_t min_length = 0;
  bool variable = false;
  std::vector<Place> places;  // when no field varies

  static std::shared_ptr<const Template> make(TemplateDefinition definition, const PlanOptions& options,
                                              const ElementTeller& teller);
};

// The element as the table has it, with NetFlow v9's enterprise-like ranges and RFC 5103 reverses resolved; name and type
// are always set ("pen.id" for what nobody knows).
struct ResolvedElement {
  Convert convert = Convert::none;
  ElementType type = ElementType::unknown;
  ColumnId column = ColumnId::extra;
  uint8_t rank = 0;
  std::string name;
};
ResolvedElement resolve_element(const TemplateField& field, const PlanOptions& options, const ElementTeller& teller);

}  // namespace sluice::ingest
