#include "ingest/source/azure_flow.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "ingest/receive/blob_tail.h"
#include "ingest/source/azure_memory.h"
#include "ingest/source/batch_columns.h"
#include "ingest/source/bounded_table.h"
#include "ingest/source/coded_text.h"
#include "ingest/source/flow_time.h"
#include "ingest/source/json_body.h"
#include "ingest/source/json_records.h"
#include "ingest/source/json_token.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"
#include "ingest/source/text_value.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace azure_flow {
namespace {

namespace ondemand = simdjson::ondemand;

// Rows of one batch, and tuples that are turned into columns together: their texts are still in the cache then.
constexpr size_t kBatchRows = 16'384, kChunk = 128;
static_assert(kBatchRows + kChunk <= limits::kBatchRows);
// How often a flow that goes on is reported; the start of a tuple whose predecessor is not known is this much earlier.
constexpr DurationNs kReportInterval = 5 * kMinute;
// Bytes of a body for each flow that it is expected to tell of: two tuples, with what is around them.
constexpr size_t kBytesPerFlow = 160;
// A predecessor further back than this is not the one before: a report in between is missing.
constexpr DurationNs kPredecessorMax = kReportInterval + kMinute;

constexpr std::string_view kListKeys[] = {"records"};

// What a record says of the network interface it is about. Each has a column for either side.
enum Sided : size_t { kInterface, kVpc, kSubnet, kAccount, kRegion, kSidedCount };
constexpr struct {
  ColumnId src, dst;
} kSidedColumns[] = {
    {ColumnId::src_interface_id, ColumnId::dst_interface_id}, {ColumnId::src_vpc_id, ColumnId::dst_vpc_id},
    {ColumnId::src_subnet_id, ColumnId::dst_subnet_id},       {ColumnId::src_account_id, ColumnId::dst_account_id},
    {ColumnId::src_region, ColumnId::dst_region},
};
static_assert(std::size(kSidedColumns) == kSidedCount);

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

// A resource's id, "/subscriptions/S/resourceGroups/G/providers/P/TYPE/NAME/…". Azure compares ids without case and writes
// the same one in capitals here and not there, so all of it is lower case.
class ResourceId {
 public:
  explicit ResourceId(std::string_view text) : text_(text) {
    for (char& c : text_) c = lower(c);
  }
  const std::string& text() const { return text_; }
  // The name behind this type; empty when the id has no such part.
  std::string_view part(std::string_view type) const {
    std::string_view rest = text_;
    bool wanted = false;
    while (!rest.empty()) {
      const size_t slash = std::min(rest.find('/'), rest.size());
      const std::string_view segment = rest.substr(0, slash);
      if (wanted) return segment;
      wanted = segment == type;
      rest.remove_prefix(std::min(slash + 1, rest.size()));
    }
    return {};
  }
  // "group/name", as Traffic Analytics names a resource; for a subnet "group/network/name".
  std::string name(std::string_view type, std::string_view inner = {}) const {
    const auto group = part("resourcegroups"), outer = part(type), last = inner.empty() ? std::string_view() : part(inner);
    if (outer.empty() || (!inner.empty() && last.empty())) return {};
    std::string out;
    if (!group.empty()) out.append(group).append("/");
    out.append(outer);
    if (!last.empty()) out.append("/").append(last);
    return out;
  }

 private:
  std::string text_;
};

// What is the same for all tuples of a record, or of a part of it.
struct RecordFacts {
  Source source = Source::azure_vnet;
  TimestampNs exported_at = 0;
  std::optional<MacAddress> mac;
  std::array<std::string, kSidedCount> sided;
  std::string flow_log, acl;  // for extra
  std::string extra;          // items of the record that no column holds
  std::string rule;
  uint64_t identity = 0;      // of the interface and the flow log
};

// Bits of Tuples::has.
enum : uint16_t {
  kHasProtocol = 1, kHasState = 2, kHasDirection = 4, kHasSrcPort = 8, kHasDstPort = 16, kHasCounter = 32,  // of the first counter; the next ones follow
  kInward = 512, kOutward = 1024,
  kDuplicate = 2048, kRefused = 4096,
};

// Tuples of one group that are not yet in columns, field by field. What one does not have is zero.
struct Tuples {
  size_t n = 0;
  std::array<uint16_t, kChunk> has;
  std::array<TimestampNs, kChunk> start, end;
  std::array<uint64_t, kChunk> flow;  // hash of what makes its flow; 0: not followed
  std::array<IpAddress, kChunk> src, dst;
  std::array<std::array<uint64_t, kChunk>, 4> counters;  // packets, bytes, reverse packets, reverse bytes
  std::array<uint32_t, kChunk> encryption, extra;        // codes
  std::array<uint16_t, kChunk> src_port, dst_port;
  std::array<uint8_t, kChunk> protocol, version, state, action, direction, quality, biflow;
};

// Where a tuple's fields begin and end.
class Fields {
 public:
  // Reads the JSON string behind the quote before `p`. Returns its closing quote, nullptr for one with escapes. Reads 64 bytes at a time
  // and up to 63 behind the quote: what simdjson was given to read is followed by more than that (see json::Document).
  const char* read(const char* p);
  // The same of a text that has been read already, byte by byte.
  void cut(std::string_view line);

  std::string_view line() const { return line_; }
  // May exceed kMax; only so many are known.
  size_t count() const { return count_; }
  // REQUIRES: i < min(count(), kMax)
  std::string_view operator[](size_t i) const {
    const char* const begin = i == 0 ? line_.data() : ends_[i - 1] + 1;
    return {begin, static_cast<size_t>(ends_[i] - begin)};
  }
  static constexpr size_t kMax = 16;

 private:
  void ends_at(const char* p) {
    if (count_ < kMax) ends_[count_] = p;
    ++count_;
  }
  std::string_view line_;
  size_t count_ = 0;
  std::array<const char*, kMax> ends_;
};

// When a flow of this body was last reported.
struct LastReport {
  uint64_t key = 0;
  TimestampNs time = 0;
  uint32_t said = 0;  // hash of its state and counters
  bool open = false;  // the flow went on then
};

uint64_t mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdull;
  h ^= h >> 33;
  return h;
}

// --- reading a tuple's fields ---
//
// They are most of a body, and their lengths follow no pattern, so loops over digits are mostly mispredicted branches. All of this may read
// some bytes behind a field, which simdjson was given to read (see json::Document); text_value.h has the readers that read nothing else.

#ifdef __SSE2__
const char* Fields::read(const char* p) {
  const char* const begin = p;
  count_ = 0;
  for (;; p += 64) {
    uint64_t commas = 0, stops = 0;
    for (int i = 0; i < 4; ++i) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
      const auto bits = [&](__m128i x) { return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(x))) << (16 * i); };
      commas |= bits(_mm_cmpeq_epi8(v, _mm_set1_epi8(',')));
      stops |= bits(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
    }
    commas &= (stops & (~stops + 1)) - 1;  // those before the first stop; all where there is none
    for (; commas != 0; commas &= commas - 1) ends_at(p + std::countr_zero(commas));
    if (stops == 0) continue;
    const char* const end = p + std::countr_zero(stops);
    if (*end != '"') return nullptr;
    ends_at(end);
    line_ = {begin, static_cast<size_t>(end - begin)};
    return end;
  }
}
#else
const char* Fields::read(const char* p) {
  const char* end = p;
  while (*end != '"' && *end != '\\') ++end;
  if (*end != '"') return nullptr;
  cut({p, static_cast<size_t>(end - p)});
  return end;
}
#endif

void Fields::cut(std::string_view line) {
  line_ = line;
  count_ = 0;
  for (const char& c : line)
    if (c == ',') ends_at(&c);
  ends_at(line.data() + line.size());
}

bool is(std::string_view word, char c) { return word.size() == 1 && word[0] == c; }

bool field_number(std::string_view word, uint64_t max, uint64_t& out) {
  const size_t n = word.size();
  if (n - 1 < 8) return eight_digits(load_bytes(word.data(), 8), n, out) && out <= max;
  return parse_number(word, max, out);
}

bool field_address(std::string_view word, IpAddress& out) { return parse_dotted(word.data(), word.size(), out) || parse_address_plain(word, out); }

// As parse_unix_time, for the 13 digits of milliseconds or the 10 of seconds that Azure writes.
bool field_time(std::string_view word, TimestampNs& out) {
  uint64_t n = 0;
  const DurationNs unit = word.size() == 13 ? kMillisecond : kSecond;
  if ((word.size() == 13 || word.size() == 10) && word[0] != '0' && field_number(word, static_cast<uint64_t>(kTimestampMax / unit), n)) {
    out = static_cast<TimestampNs>(n) * unit;
    return true;
  }
  return parse_unix_time(word, out);
}

class Decoder {
 public:
  Decoder(std::string_view body, const DecodeContext& context, const FlowSink& sink)
      : body_end_(body.data() + body.size()), context_(context), sink_(sink), last_reports_(limits::kAzureFlowsMax, body.size() / kBytesPerFlow) {}

  Result<DecodeReport> run(std::string_view body) {
    JsonRecords records(body, {kAzureRecordKeys, kListKeys});
    std::string_view object;
    while (records.next(object, report_)) {
      number_ = records.number();
      const uint64_t tuples_before = report_.accepted;
      if (const auto error = record(object)) {
        report_.reject(number_, std::string("record cannot be read: ") + simdjson::error_message(error) +
                                    (report_.accepted > tuples_before ? "; tuples before that place are kept: " + std::to_string(report_.accepted - tuples_before) : ""));
        records.look_inside();
      }
      SLUICE_TRY(take_status());
    }
    emit();
    flush();
    SLUICE_TRY(take_status());
    return std::move(report_);
  }

  // Keeps the last report of each flow for bodies to come. Those of a clock that is wrong say nothing of when the next begins, and one far
  // ahead would make all others look old.
  void remember(AzureMemory& memory) const {
    last_reports_.each([&](const LastReport& r) {
      if (r.time != 0 && !is_wrong_clock(r.time)) memory.keep(r.key, {r.time, r.open});
    });
  }

 private:
  bool is_wrong_clock(TimestampNs time) const {
    return context_.received_at != 0 && (time < kPlausibleFrom || time > context_.received_at + limits::kClockSkewMax);
  }
  Status take_status() { return std::exchange(status_, Status()); }

  std::string_view text(std::string_view token) {
    bool cut = false;
    const auto clean = column_text(inner_text(token), arena_, cut);
    report_.cut_strings += cut;
    return clean;
  }

  simdjson::error_code record(std::string_view object);
  void finish_facts(std::string_view target, std::string_view security_group, std::string_view flow_log, std::string_view guid);
  simdjson::error_code virtual_network(ondemand::object& root);
  simdjson::error_code security_group(ondemand::object& root);
  simdjson::error_code tuples(ondemand::object& group);
  size_t plain_tuples(const char* list, bool& whole);
  void tuple(const Fields& f);
  bool read_tuple(const Fields& f, size_t i);
  void set_times(size_t i, TimestampNs time);
  void resolve_times(size_t i);
  uint32_t encryption_code(std::string_view field, std::string_view& said);
  void emit();
  void flush();

  // What no column holds: of the record, of the group, and of one tuple. Such texts repeat what the body says once, so their sum
  // has a bound of its own; beyond it they are left out and counted as cut.
  uint32_t extra_code(std::string_view of_tuple) {
    std::string all = facts_.extra;
    if (!facts_.acl.empty()) append_extra(all, "acl_id", facts_.acl);
    if (!facts_.flow_log.empty()) append_extra(all, "flow_log", facts_.flow_log);
    if (all.size() + 1 + of_tuple.size() > limits::kStringBytesMax) {
      ++report_.cut_strings;
    } else if (!of_tuple.empty()) {
      if (!all.empty()) all += '\n';
      all += of_tuple;
    }
    if (extra_bytes_ > limits::kDecodedTextBytesMax) {
      ++report_.cut_strings;
      return CodedText::kNull;
    }
    bool is_new = false;
    const uint32_t code = extra_.code(all, &is_new);
    if (is_new) extra_bytes_ += all.size();
    return code;
  }

  bool bad(std::string_view what, std::string_view word) {
    report_.reject(number_, "tuple " + std::to_string(tuple_number_) + (facts_.rule.empty() ? "" : " of rule " + quoted(std::string_view(facts_.rule))) + ": " +
                                std::string(what) + ": " + quoted(word));
    return false;
  }

  const char* const body_end_;
  const DecodeContext& context_;
  const FlowSink& sink_;
  DecodeReport report_;
  Status status_;
  json::Document document_;
  TextArena arena_;

  // The record at hand.
  uint64_t number_ = 0, tuple_number_ = 0;
  RecordFacts facts_;
  BoundedTable<LastReport> last_reports_;

  // The batch in the making.
  Tuples chunk_;
  std::string tuple_extra_;  // of the tuple at hand
  size_t rows_ = 0;
  struct {
    ColumnLane<int64_t> start, end, exported_at;
    ColumnLane<uint8_t> quality, version, protocol, state, action, duplicate, biflow, initiator, source, direction, reporter;
    ColumnLane<IpAddress> src, dst;
    ColumnLane<uint16_t> src_port, dst_port;
    std::array<ColumnLane<uint64_t>, 4> counters;
    ColumnLane<uint64_t> src_mac, dst_mac;
  } lanes_;
  std::array<CodedText, kSidedCount> src_, dst_;
  CodedText rule_, encryption_, extra_, reason_;
  std::string encryption_said_;  // what encryption_ was last asked for, and its code
  uint32_t encryption_code_ = CodedText::kNull;
  size_t extra_bytes_ = 0;  // of the texts of extra_, over the whole body
};

// --- records ---

simdjson::error_code Decoder::record(std::string_view object) {
  arena_.clear();
  facts_ = {};
  tuple_number_ = 0;
  ondemand::object root;
  if (const auto error = document_.open(object, body_end_, root)) return error;

  // First what the record says of itself: it may stand behind the flows.
  bool has_flows = false, has_properties = false;
  std::string_view category, target, security_group_id, flow_log, guid;
  for (auto field : root) {
    if (field.error()) return field.error();
    const std::string_view key = raw_key(field.value_unsafe().key().raw());
    ondemand::value& value = field.value_unsafe().value();
    const std::string_view token = json::raw_token(value);
    if (token.empty()) return simdjson::TAPE_ERROR;
    if (key == "flowRecords") {
      has_flows = token[0] == '{';
    } else if (key == "properties") {
      has_properties = token[0] == '{';
    } else if (token[0] == '{' || token[0] == '[') {
      continue;
    } else if (key == "time") {
      if (const auto time = parse_timestamp(inner_text(token))) facts_.exported_at = *time;
    } else if (key == "macAddress") {
      facts_.mac = parse_mac(inner_text(token));
    } else if (key == "category") {
      category = text(token);
    } else if (key == "targetResourceID") {
      target = text(token);
    } else if (key == "resourceId") {
      security_group_id = text(token);
    } else if (key == "flowLogResourceID") {
      flow_log = text(token);
    } else if (key == "flowLogGUID") {
      guid = text(token);
    } else if (key == "operationName" || key == "systemId" || key == "flowLogVersion") {
      // They repeat the category, the security group and the number of fields.
    } else if (const auto said = text(token); !said.empty()) {
    if (facts_.extra.size() + key.size() + said.size() > limits::kEnvelopeTextBytesMax) {
      ++report_.cut_strings;
      continue;
    }
      append_extra(facts_.extra, text(key), said);
    }
  }
  const bool other = !category.empty() && !same_word(category, "FlowLogFlowEvent") && !same_word(category, "NetworkSecurityGroupFlowEvent");
  if (other) {
    // Security group events and counters of rules come through the same hub.
    ++report_.ignored;
    return simdjson::SUCCESS;
  }
  if (!has_flows && !has_properties) {
    report_.reject(number_, "record has neither flowRecords nor properties");
    return simdjson::SUCCESS;
  }
  finish_facts(target, security_group_id, flow_log, guid);
  if (const auto error = document_.again(root)) return error;
  return has_flows ? virtual_network(root) : security_group(root);
}

void Decoder::finish_facts(std::string_view target, std::string_view security_group_id, std::string_view flow_log, std::string_view guid) {
  const ResourceId target_id(target), group_id(security_group_id), log_id(flow_log);
  auto& sided = facts_.sided;
  sided[kVpc] = target_id.name("virtualnetworks");
  sided[kSubnet] = target_id.name("virtualnetworks", "subnets");
  sided[kInterface] = target_id.name("networkinterfaces");
  if (sided[kInterface].empty() && facts_.mac) sided[kInterface] = format_mac(*facts_.mac);
  for (const ResourceId* id : {&target_id, &group_id, &log_id})
    if (sided[kAccount].empty()) sided[kAccount] = id->part("subscriptions");
  facts_.acl = group_id.name("networksecuritygroups");
  facts_.flow_log = log_id.part("flowlogs");
  // The region is the network watcher's: NETWORKWATCHER_REGION, in newer ids with more behind it.
  const std::string& log = log_id.text();
  constexpr std::string_view kWatcher = "/networkwatcher_";
  if (const size_t at = log.find(kWatcher); at != std::string::npos) {
    const size_t begin = at + kWatcher.size();
    sided[kRegion] = log.substr(begin, std::min(log.find_first_of("_/", begin), log.size()) - begin);
    // Newer ids: "/SUBSCRIPTION_NETWORKWATCHERRG/NETWORKWATCHER_REGION_NAME-GROUP-FLOWLOGS".
    const size_t behind = begin + sided[kRegion].size();
    if (facts_.flow_log.empty() && behind < log.size() && log[behind] == '_') facts_.flow_log = log.substr(behind + 1);
    constexpr size_t kGuid = 36;
    const size_t first = log.front() == '/' ? 1 : 0;
    if (sided[kAccount].empty() && log.size() > first + kGuid && log[first + kGuid] == '_') sided[kAccount] = log.substr(first, kGuid);
  }
  // Bounds what a row repeats.
  for (std::string* name : {&sided[kVpc], &sided[kSubnet], &sided[kInterface], &sided[kAccount], &sided[kRegion], &facts_.acl, &facts_.flow_log})
    if (name->size() > limits::kEnvelopeTextBytesMax) {
      bool cut = false;
      name->resize(limits::kEnvelopeTextBytesMax);
      *name = clean_text(*name, arena_, cut);
      ++report_.cut_strings;
    }
  const std::hash<std::string_view> hash;
  facts_.identity = mix(hash(guid.empty() ? flow_log : guid) ^ hash(security_group_id) * 3);
}

// What stands under `name`; SUCCESS with `found` false where it is absent or null.
simdjson::error_code value_of(ondemand::object& object, std::string_view name, ondemand::value& value, bool& found) {
  found = false;
  const auto error = object.find_field(name).get(value);
  if (error == simdjson::NO_SUCH_FIELD) return simdjson::SUCCESS;
  if (error) return error;
  found = !inner_text(json::raw_token(value)).empty();
  return simdjson::SUCCESS;
}
simdjson::error_code list_of(ondemand::object& object, std::string_view name, ondemand::array& list, bool& found) {
  ondemand::value value;
  if (const auto error = value_of(object, name, value, found); error || !found) return error;
  return value.get_array().get(list);
}

// The scalars of an object that are asked for, by key, as inner text; then the object is at its start again.
template <typename F>
simdjson::error_code scalars(ondemand::object& object, F&& take) {
  for (auto field : object) {
    if (field.error()) return field.error();
    ondemand::value& value = field.value_unsafe().value();
    const std::string_view token = json::raw_token(value);
    if (!token.empty() && token[0] != '{' && token[0] != '[') take(raw_key(field.value_unsafe().key().raw()), token);
  }
  return object.reset().error();
}

simdjson::error_code Decoder::virtual_network(ondemand::object& root) {
  facts_.source = Source::azure_vnet;
  ondemand::object records;
  if (const auto error = root.find_field("flowRecords").get_object().get(records)) return error;
  ondemand::array flows;
  bool found = false;
  if (const auto error = list_of(records, "flows", flows, found); error || !found) return error;
  for (auto flow_value : flows) {
    ondemand::object flow;
    if (const auto error = flow_value.get_object().get(flow)) return error;
    std::string_view acl;
    if (const auto error = scalars(flow, [&](std::string_view key, std::string_view token) {
          if (key == "aclID") acl = text(token);
        }))
      return error;
    const ResourceId acl_id(acl.substr(0, 4'096));
    facts_.acl = acl_id.name("networksecuritygroups");
    if (facts_.acl.empty()) {
      bool cut = false;
      facts_.acl = clean_text(acl.substr(0, limits::kEnvelopeTextBytesMax), arena_, cut);
    }
    ondemand::array groups;
    if (const auto error = list_of(flow, "flowGroups", groups, found)) return error;
    if (!found) continue;
    for (auto group_value : groups) {
      ondemand::object group;
      if (const auto error = group_value.get_object().get(group)) return error;
      facts_.rule.clear();
      if (const auto error = scalars(group, [&](std::string_view key, std::string_view token) {
            if (key == "rule") facts_.rule = text(token);
          }))
        return error;
      if (const auto error = tuples(group)) return error;
    }
  }
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::security_group(ondemand::object& root) {
  facts_.source = Source::azure_nsg;
  ondemand::object properties;
  if (const auto error = root.find_field("properties").get_object().get(properties)) return error;
  ondemand::array rules;
  bool found = false;
  if (const auto error = list_of(properties, "flows", rules, found); error || !found) return error;
  const auto record_mac = facts_.mac;
  for (auto rule_value : rules) {
    ondemand::object rule;
    if (const auto error = rule_value.get_object().get(rule)) return error;
    facts_.rule.clear();
    if (const auto error = scalars(rule, [&](std::string_view key, std::string_view token) {
          if (key == "rule") facts_.rule = text(token);
        }))
      return error;
    ondemand::array flows;
    if (const auto error = list_of(rule, "flows", flows, found)) return error;
    if (!found) continue;
    for (auto flow_value : flows) {
      ondemand::object flow;
      if (const auto error = flow_value.get_object().get(flow)) return error;
      auto mac = record_mac;
      if (const auto error = scalars(flow, [&](std::string_view key, std::string_view token) {
            if (key == "mac")
              if (const auto said = parse_mac(inner_text(token))) mac = said;
          }))
        return error;
      facts_.mac = mac;
      facts_.sided[kInterface] = mac ? format_mac(*mac) : std::string();
      if (const auto error = tuples(flow)) return error;
    }
  }
  return simdjson::SUCCESS;
}

simdjson::error_code Decoder::tuples(ondemand::object& group) {
  ondemand::value value;
  bool found = false, whole = false;
  if (const auto error = value_of(group, "flowTuples", value, found); error || !found) return error;
  const std::string_view list_token = json::raw_token(value);
  const size_t read = list_token[0] == '[' ? plain_tuples(list_token.data(), whole) : 0;
  auto failed = simdjson::SUCCESS;
  ondemand::array list;
  if (!whole && !(failed = value.get_array().get(list))) {
    size_t at = 0;
    for (auto element : list) {
      ondemand::value item;
      if ((failed = element.get(item))) break;
      if (at++ < read) continue;
      const std::string_view token = json::raw_token(item);
      ++tuple_number_;
      if (token.empty() || token[0] != '"') {
        bad("is no text", token.substr(0, 64));
        continue;
      }
      Fields f;
      f.cut(inner_text(token));
      tuple(f);
    }
  }
  emit();
  return failed;
}

// The tuples of a list as Azure writes it: texts without escapes, a comma between two. Ends where it goes on in another way (`whole` is
// not set then), before the text at that place. Says how many were read. simdjson has looked at all bytes: texts have an end and are UTF-8.
size_t Decoder::plain_tuples(const char* list, bool& whole) {
  const auto behind_blanks = [](const char* p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') ++p;
    return p;
  };
  Fields f;
  const char* at = behind_blanks(list + 1);
  for (size_t n = 0;; ++n) {
    if (*at != '"') return n;
    const char* const end = f.read(at + 1);
    if (end == nullptr) return n;
    const char* const next = behind_blanks(end + 1);
    if (*next != ',' && *next != ']') return n;
    ++tuple_number_;
    tuple(f);
    if (*next == ']') {
      whole = true;
      return n + 1;
    }
    at = behind_blanks(next + 1);
  }
}

// --- tuples ---

void Decoder::tuple(const Fields& f) {
  const size_t i = chunk_.n;
  if (!tuple_extra_.empty()) tuple_extra_.clear();
  if (!read_tuple(f, i)) return;
  chunk_.extra[i] = tuple_extra_.empty() ? CodedText::kNull : extra_code(tuple_extra_);
  if (++chunk_.n == kChunk) emit();
}

uint32_t Decoder::encryption_code(std::string_view field, std::string_view& said) {
  said = field;
  if (encryption_code_ != CodedText::kNull && field == encryption_said_) return encryption_code_;
  said = text(field);
  const uint32_t code = encryption_.code(said);
  if (said.data() == field.data() && said.size() == field.size()) {
    encryption_said_ = field;
    encryption_code_ = code;
  }
  return code;
}

bool Decoder::read_tuple(const Fields& f, size_t i) {
  constexpr size_t kVnetFields = 13, kNsg1Fields = 8, kNsg2Fields = 13;
  static_assert(Fields::kMax >= kVnetFields && Fields::kMax >= kNsg2Fields);
  const size_t count = f.count();
  const bool vnet = facts_.source == Source::azure_vnet;
  if (vnet ? count != kVnetFields : count != kNsg1Fields && count != kNsg2Fields) {
    report_.reject(number_, "tuple " + std::to_string(tuple_number_) + " has " + counted(count, "field") + ", not " +
                                (vnet ? "13" : "8 or 13") + ": " + quoted(f.line()));
    return false;
  }

  Tuples& t = chunk_;
  TimestampNs time = 0;
  if (!field_time(f[0], time)) return bad("time is not a Unix time", f[0]);
  if (!field_address(f[1], t.src[i])) return bad("source is not an address", f[1]);
  if (!field_address(f[2], t.dst[i])) return bad("destination is not an address", f[2]);
  t.version[i] = t.src[i].is_v4() ? 4 : 6;
  uint16_t has = 0;
  uint64_t n = 0;
  t.src_port[i] = 0;
  if (!f[3].empty()) {
    if (!field_number(f[3], 65'535, n)) return bad("source port is not one", f[3]);
    t.src_port[i] = static_cast<uint16_t>(n);
    has |= kHasSrcPort;
  }
  t.dst_port[i] = 0;
  if (!f[4].empty()) {
    if (!field_number(f[4], 65'535, n)) return bad("destination port is not one", f[4]);
    t.dst_port[i] = static_cast<uint16_t>(n);
    has |= kHasDstPort;
  }
  t.protocol[i] = 0;
  if (field_number(f[5], 255, n)) {
    t.protocol[i] = static_cast<uint8_t>(n);
    has |= kHasProtocol;
  } else if (is(f[5], 'T') || is(f[5], 'U')) {
    t.protocol[i] = is(f[5], 'T') ? 6 : 17;
    has |= kHasProtocol;
  } else if (!f[5].empty()) {
    append_extra(tuple_extra_, "protocol", text(f[5]));
  }
  t.direction[i] = 0;
  if (is(f[6], 'I') || is(f[6], 'O')) {
    const bool in = is(f[6], 'I');
    t.direction[i] = static_cast<uint8_t>(in ? Direction::ingress : Direction::egress);
    has |= kHasDirection | (in ? kInward : kOutward);
  } else if (!f[6].empty()) {
    append_extra(tuple_extra_, "direction", text(f[6]));
  }

  t.state[i] = 0;
  const auto state_of = [&](std::string_view word) {
    if (is(word, 'B') || is(word, 'C') || is(word, 'E')) {
      t.state[i] = static_cast<uint8_t>(is(word, 'B') ? FlowState::begin : is(word, 'C') ? FlowState::cont : FlowState::end);
      has |= kHasState;
      return true;
    }
    return word.empty();
  };
  Action action = Action::accept;
  t.encryption[i] = CodedText::kNull;
  t.biflow[i] = vnet || count == kNsg2Fields;
  if (vnet) {
    // Denied is a state of its own, without a begin and an end.
    const bool denied = is(f[7], 'D');
    if (denied) {
      action = Action::reject;
    } else if (!state_of(f[7])) {
      action = Action::unknown;
      append_extra(tuple_extra_, "flow_state", text(f[7]));
    }
    std::string_view said;
    t.encryption[i] = encryption_code(f[8], said);
    if (denied && said == "NX_NOT_ACCEPTED") {
      action = Action::drop;
      has |= kRefused;
    }
  } else {
    if (is(f[7], 'D')) {
      action = Action::reject;
    } else if (!is(f[7], 'A')) {
      action = Action::unknown;
      append_extra(tuple_extra_, "decision", text(f[7]));
    }
    if (count == kNsg2Fields && !state_of(f[8])) append_extra(tuple_extra_, "flow_state", text(f[8]));
  }
  t.action[i] = static_cast<uint8_t>(action);
  constexpr std::string_view kNames[] = {"packets to the destination are", "bytes to the destination are", "packets to the source are", "bytes to the source are"};
  for (size_t k = 0; k < 4; ++k) {
    t.counters[k][i] = 0;
    if (count != 13 || f[9 + k].empty()) continue;
    if (!field_number(f[9 + k], UINT64_MAX, t.counters[k][i])) return bad(std::string(kNames[k]) + " not a number", f[9 + k]);
    has |= static_cast<uint16_t>(kHasCounter << k);
  }
  t.has[i] = has;
  set_times(i, time);
  return true;
}

void Decoder::set_times(size_t i, TimestampNs time) {
  Tuples& t = chunk_;
  t.start[i] = t.end[i] = time;
  t.quality[i] = static_cast<uint8_t>(TimeQuality::exact);
  t.flow[i] = 0;
  if ((t.has[i] & kHasState) != 0 && t.action[i] == static_cast<uint8_t>(Action::accept)) {
    const uint64_t ports = static_cast<uint64_t>(t.src_port[i]) << 32 | static_cast<uint64_t>(t.dst_port[i]) << 8 | t.protocol[i];
    const uint64_t flow = mix(hash_of(t.src[i]) * 3 + hash_of(t.dst[i]) + mix(ports + 0x9e3779b97f4a7c15ull) + facts_.identity + mix(facts_.mac.value_or(0)));
    t.flow[i] = flow == 0 ? 1 : flow;
    last_reports_.prefetch(t.flow[i]);
  }
  if (is_wrong_clock(time)) {
    append_extra(tuple_extra_, "time", format_timestamp(time));
    t.quality[i] = static_cast<uint8_t>(TimeQuality::clamped);
    ++report_.clamped_times;
  }
}

// What depends on the tuple before of the same flow. Not done while the tuple is read: its entry comes from memory meanwhile.
void Decoder::resolve_times(size_t i) {
  Tuples& t = chunk_;
  const bool clamped = t.quality[i] == static_cast<uint8_t>(TimeQuality::clamped);
  if (t.flow[i] != 0) {
    const TimestampNs time = t.end[i];
    const auto state = static_cast<FlowState>(t.state[i]);
    LastReport* last = last_reports_.find(t.flow[i]);
    const bool known = last != nullptr && last->time != 0 && last->time <= time;
    // The report before: of this body, else of one before it.
    std::optional<AzureMemory::Report> before;
    if (known)
      before = {last->time, last->open};
    else if (context_.azure != nullptr)
      before = context_.azure->before(t.flow[i], time);
    if (state != FlowState::begin) {
      // The counters are of the time since the tuple before. Where that is not known, or one between is missing, it was at most
      // one interval ago, and not before another flow of the same addresses and ports had ended.
      if (before && before->open && time - before->time <= kPredecessorMax) {
        t.start[i] = before->time;
      } else {
        t.start[i] = std::max<TimestampNs>(0, time - kReportInterval);
        if (before && !before->open) t.start[i] = std::max(t.start[i], before->time);
        if (!clamped) t.quality[i] = static_cast<uint8_t>(TimeQuality::estimated);
      }
    }
    // The very same report again: records are delivered, or blobs put together, more than once. A begin without counters, to the
    // second, may be another flow's.
    const auto& c = t.counters;
    const auto said = static_cast<uint32_t>(mix(c[0][i] + mix(c[1][i] + mix(c[2][i] + mix(c[3][i] + t.state[i])))));
    if (known && last->time == time && last->said == said && (facts_.source == Source::azure_vnet || c[0][i] + c[2][i] > 0)) t.has[i] |= kDuplicate;
    if (last != nullptr && last->time <= time) {
      last->time = time;
      last->said = said;
      last->open = state != FlowState::end;
    }
  }
  if (clamped) {
    const DurationNs length = t.end[i] - t.start[i];
    t.end[i] = context_.received_at;
    t.start[i] = std::max<TimestampNs>(0, t.end[i] - length);
  }
}

// --- columns ---

void Decoder::emit() {
  Tuples& t = chunk_;
  const size_t n = t.n, first = rows_;
  if (n == 0) return;
  for (size_t i = 0; i < n; ++i) resolve_times(i);
  uint16_t any = 0, every = UINT16_MAX;
  for (size_t i = 0; i < n; ++i) {
    any |= t.has[i];
    every &= t.has[i];
  }

  const auto all = [&]<typename T>(ColumnLane<T>& lane, const std::array<T, kChunk>& values) { lane.append(first, std::span(values).first(n)); };
  // Values that only those tuples have that have this bit.
  const auto some = [&]<typename T>(ColumnLane<T>& lane, uint16_t bit, const std::array<T, kChunk>& values) {
    if ((every & bit) != 0) return all(lane, values);
    if ((any & bit) == 0) return;
    std::array<uint64_t, kChunk / 64> valid{};
    for (size_t i = 0; i < n; ++i) valid[i / 64] |= static_cast<uint64_t>((t.has[i] & bit) != 0) << (i % 64);
    lane.append(first, std::span(values).first(n), valid.data());
  };
  // One value for those tuples.
  const auto same = [&]<typename T>(ColumnLane<T>& lane, uint16_t bit, T value) {
    std::array<T, kChunk> values;
    for (size_t i = 0; i < n; ++i) values[i] = bit == 0 || (t.has[i] & bit) != 0 ? value : T{};
    if (bit == 0) return all(lane, values);
    some(lane, bit, values);
  };
  static_assert(kChunk % 64 == 0);

  all(lanes_.start, t.start);
  all(lanes_.end, t.end);
  all(lanes_.quality, t.quality);
  all(lanes_.src, t.src);
  all(lanes_.dst, t.dst);
  all(lanes_.version, t.version);
  some(lanes_.src_port, kHasSrcPort, t.src_port);
  some(lanes_.dst_port, kHasDstPort, t.dst_port);
  some(lanes_.protocol, kHasProtocol, t.protocol);
  some(lanes_.state, kHasState, t.state);
  all(lanes_.action, t.action);
  if ((any & kDuplicate) != 0) same(lanes_.duplicate, kDuplicate, uint8_t{1});
  for (size_t k = 0; k < 4; ++k) some(lanes_.counters[k], static_cast<uint16_t>(kHasCounter << k), t.counters[k]);
  all(lanes_.biflow, t.biflow);
  // The source of a tuple is who began the flow.
  same(lanes_.initiator, 0, static_cast<uint8_t>(Initiator::src));
  same(lanes_.source, 0, static_cast<uint8_t>(facts_.source));
  if (facts_.exported_at != 0) same(lanes_.exported_at, 0, facts_.exported_at);

  // The interface is the destination of what comes in and the source of what goes out.
  some(lanes_.direction, kHasDirection, t.direction);
  if ((any & kHasDirection) != 0) {
    std::array<uint8_t, kChunk> reporter;
    for (size_t i = 0; i < n; ++i)
      reporter[i] = static_cast<uint8_t>((t.has[i] & kInward) != 0 ? Reporter::dst : (t.has[i] & kOutward) != 0 ? Reporter::src : Reporter{});
    some(lanes_.reporter, kHasDirection, reporter);
  }
  if (facts_.mac) {
    if ((any & kOutward) != 0) same(lanes_.src_mac, kOutward, *facts_.mac);
    if ((any & kInward) != 0) same(lanes_.dst_mac, kInward, *facts_.mac);
  }
  const auto sided = [&](std::array<CodedText, kSidedCount>& lanes, uint16_t bit) {
    if ((any & bit) == 0) return;
    for (size_t k = 0; k < kSidedCount; ++k) {
      const uint32_t code = lanes[k].code(facts_.sided[k]);
      if ((every & bit) != 0) {
        lanes[k].fill(first, first + n, code);
      } else {
        for (size_t i = 0; i < n; ++i)
          if ((t.has[i] & bit) != 0) lanes[k].put(first + i, code);
      }
    }
  };
  sided(src_, kOutward);
  sided(dst_, kInward);

  rule_.fill(first, first + n, rule_.code(facts_.rule));
  // Runs of tuples that say the same.
  const auto runs = [&](CodedText& lane, const std::array<uint32_t, kChunk>& codes) {
    for (size_t from = 0, to = 0; from < n; from = to) {
      while (to < n && codes[to] == codes[from]) ++to;
      lane.fill(first + from, first + to, codes[from]);
    }
  };
  runs(encryption_, t.encryption);
  const uint32_t of_group = extra_code({});
  for (size_t i = 0; i < n; ++i)
    if (t.extra[i] == CodedText::kNull) t.extra[i] = of_group;
  runs(extra_, t.extra);
  if ((any & kRefused) != 0)
    for (size_t i = 0; i < n; ++i)
      if ((t.has[i] & kRefused) != 0) reason_.put(first + i, "NX_NOT_ACCEPTED");
  rows_ += n;
  report_.accepted += n;
  t.n = 0;
  if (rows_ >= kBatchRows) flush();
}

void Decoder::flush() {
  const size_t rows = std::exchange(rows_, 0);
  if (rows == 0) return;
  Batch batch;
  batch.rows = rows;
  std::vector<std::pair<ColumnId, Column>> columns;
  const auto add = [&](ColumnId id, auto& lane) {
    if (auto column = lane.column(id, rows)) columns.emplace_back(id, std::move(*column));
  };
  const auto add_text = [&](ColumnId id, CodedText& lane) {
    if (auto column = lane.column(rows)) columns.emplace_back(id, std::move(*column));
  };
  add(ColumnId::flow_start, lanes_.start);
  add(ColumnId::flow_end, lanes_.end);
  add(ColumnId::exported_at, lanes_.exported_at);
  add(ColumnId::time_quality, lanes_.quality);
  add(ColumnId::src_ip, lanes_.src);
  add(ColumnId::dst_ip, lanes_.dst);
  add(ColumnId::src_port, lanes_.src_port);
  add(ColumnId::dst_port, lanes_.dst_port);
  add(ColumnId::protocol, lanes_.protocol);
  add(ColumnId::ip_version, lanes_.version);
  add(ColumnId::src_mac, lanes_.src_mac);
  add(ColumnId::dst_mac, lanes_.dst_mac);
  constexpr ColumnId kCounters[] = {ColumnId::raw_packets, ColumnId::raw_bytes, ColumnId::raw_reverse_packets, ColumnId::raw_reverse_bytes};
  for (size_t k = 0; k < 4; ++k) add(kCounters[k], lanes_.counters[k]);
  add(ColumnId::action, lanes_.action);
  add(ColumnId::flow_state, lanes_.state);
  add(ColumnId::direction, lanes_.direction);
  add(ColumnId::initiator, lanes_.initiator);
  add(ColumnId::is_biflow, lanes_.biflow);
  add(ColumnId::source, lanes_.source);
  add(ColumnId::reporter, lanes_.reporter);
  add(ColumnId::duplicate, lanes_.duplicate);
  for (size_t k = 0; k < kSidedCount; ++k) {
    add_text(kSidedColumns[k].src, src_[k]);
    add_text(kSidedColumns[k].dst, dst_[k]);
  }
  add_text(ColumnId::rule_name, rule_);
  add_text(ColumnId::encryption, encryption_);
  encryption_code_ = CodedText::kNull;  // codes begin anew
  add_text(ColumnId::reject_reason, reason_);
  add_text(ColumnId::extra, extra_);
  columns.emplace_back(ColumnId::byte_basis, repeated<uint8_t>(ColumnId::byte_basis, rows, static_cast<uint8_t>(ByteBasis::layer3)));
  columns.emplace_back(ColumnId::flags_quality, repeated<uint8_t>(ColumnId::flags_quality, rows, static_cast<uint8_t>(FlagsQuality::none)));
  columns.emplace_back(ColumnId::sampling_rate, repeated<uint32_t>(ColumnId::sampling_rate, rows, 1));
  columns.emplace_back(ColumnId::cloud, repeated_text("azure", rows));
  if (context_.received_at != 0) columns.emplace_back(ColumnId::received_at, repeated<int64_t>(ColumnId::received_at, rows, context_.received_at));
  add_columns(batch, std::move(columns));
  if (status_.ok()) status_ = sink_(std::move(batch));
}

}  // namespace
}  // namespace azure_flow

Result<DecodeReport> decode_azure(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  azure_flow::Decoder decoder(body, context, sink);
  auto report = decoder.run(body);
  if (report.ok() && context.azure != nullptr) decoder.remember(*context.azure);
  return report;
}

}  // namespace sluice::ingest
