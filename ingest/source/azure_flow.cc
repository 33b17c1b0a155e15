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
namespace {

namespace ondemand = simdjson::ondemand;

// Rows of one batch, and tuples that are turned into columns together: their texts are still in the cache then.
constexpr size_t kBatchRows = 16'384, kChunk = 512;
static_assert(kBatchRows + kChunk <= limits::kBatchRows);
// How often a flow that goes on is reported; the start of a tuple whose predecessor is not known is this much earlier.
constexpr DurationNs kReportInterval = 5 * kMinute;
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

// Bits of Tuple::has.
enum : uint8_t { kHasProtocol = 1, kHasState = 2, kHasDirection = 4, kHasAction = 8, kHasSrcPort = 16, kHasDstPort = 32 };

struct Tuple {
  TimestampNs start = 0, end = 0;
  uint64_t flow = 0;  // hash of what makes its flow; 0: not followed
  IpAddress src, dst;
  std::array<uint64_t, 4> counters{};  // packets, bytes, reverse packets, reverse bytes
  uint32_t encryption = CodedText::kNull, extra = CodedText::kNull;
  uint16_t src_port = 0, dst_port = 0;
  uint8_t protocol = 0, state = 0, action = 0, direction = 0;
  uint8_t has = 0, counters_has = 0;
  TimeQuality quality = TimeQuality::exact;
  bool biflow = false, refused = false, duplicate = false;
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
// They are most of a body, and their lengths follow no pattern, so loops over digits are mostly mispredicted branches. Here 16
// or 8 bytes are looked at together. All of it may read up to 15 bytes behind a field: what simdjson was given to read, which
// every tuple lies in, is followed by more than that (see json::Document). What is odd goes to the plain readers, which say no.

// Cuts at commas. Returns the number of fields, which may exceed f.size(); only so many are stored.
size_t split_at_commas(std::string_view line, std::array<std::string_view, 16>& f) {
  const char* begin = line.data();
  const char* const end = begin + line.size();
  size_t count = 0;
  const auto cut = [&](const char* comma) {
    if (count < f.size()) f[count] = std::string_view(begin, static_cast<size_t>(comma - begin));
    ++count;
    begin = comma + 1;
  };
#ifdef __SSE2__
  for (const char* p = begin; p < end; p += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    auto commas = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(','))));
    if (end - p < 16) commas &= (1u << (end - p)) - 1;
    for (; commas != 0; commas &= commas - 1) cut(p + std::countr_zero(commas));
  }
#else
  for (const char* p = begin; p < end; ++p)
    if (*p == ',') cut(p);
#endif
  cut(end);
  return count;
}

// One to eight digits. False when one of them is none.
bool eight_digits(const char* p, size_t n, uint64_t& out) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  // The digits to the end that counts most, zeros before them.
  const auto shift = static_cast<unsigned>(8 - n) * 8;
  v = (v << shift) | (0x3030303030303030ull >> 1 >> (63 - shift));
  const uint64_t d = v ^ 0x3030303030303030ull;
  if (((d + 0x7676767676767676ull) | d) & 0x8080808080808080ull) return false;
  // Pairs, then the four pairs by one multiplication each of the even and the odd ones.
  const uint64_t pairs = d * 10 + (d >> 8);
  out = static_cast<uint32_t>(((pairs & 0x000000ff000000ffull) * 0x000f424000000064ull + (pairs >> 16 & 0x000000ff000000ffull) * 0x0000271000000001ull) >> 32);
  return true;
}

bool field_number(std::string_view word, uint64_t max, uint64_t& out) {
  if constexpr (std::endian::native == std::endian::little) {
    const size_t n = word.size();
    if (n - 1 < 8) return eight_digits(word.data(), n, out) && out <= max;
    if (n - 1 < 16) {
      uint64_t high = 0, low = 0;
      if (!eight_digits(word.data(), n - 8, high) || !eight_digits(word.data() + (n - 8), 8, low)) return false;
      out = high * 100'000'000 + low;
      return out <= max;
    }
  }
  return parse_number(word, max, out);
}

bool field_address(std::string_view word, IpAddress& out) {
#ifdef __SSE2__
  if (word.size() - 7 < 9) {  // "0.0.0.0" to "255.255.255.255"
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(word.data()));
    uint32_t ends = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')))) & ((1u << word.size()) - 1);
    if (std::popcount(ends) == 3) {
      ends |= 1u << word.size();
      uint32_t value = 0, odd = 0;
      for (unsigned begin = 0; ends != 0; ends &= ends - 1) {
        const auto end = static_cast<unsigned>(std::countr_zero(ends));
        const unsigned n = end - begin;
        if (n - 1 > 2) return parse_address(word, out);
        uint32_t w;
        std::memcpy(&w, word.data() + begin, 4);
        const unsigned shift = (4 - n) * 8;
        const uint32_t d = ((w << shift) | (0x30303030u >> 1 >> (31 - shift))) ^ 0x30303030u;
        const uint32_t part = (d >> 8 & 0xff) * 100 + (d >> 16 & 0xff) * 10 + (d >> 24);
        // Not a digit, above 255, or a zero in front.
        odd |= ((d + 0x76767676u) | d) & 0x80808080u;
        odd |= static_cast<uint32_t>(part > 255) | static_cast<uint32_t>(n > 1 && word[begin] == '0');
        value = value << 8 | part;
        begin = end + 1;
      }
      if (odd == 0) {
        out = IpAddress::v4(value);
        return true;
      }
    }
  }
#endif
  return parse_address(word, out);
}

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
      : body_end_(body.data() + body.size()), context_(context), sink_(sink) {
    chunk_.reserve(kChunk);
  }

  Result<DecodeReport> run(std::string_view body) {
    JsonRecords records(body, {kAzureRecordKeys, kListKeys});
    std::string_view object;
    std::string reason;
    while (true) {
      const auto found = records.next(object, reason);
      if (found == JsonRecords::Found::end) break;
      ++number_;
      if (found == JsonRecords::Found::damage) {
        report_.reject(number_, std::move(reason));
        continue;
      }
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

  // Keeps the last report of each flow for bodies to come.
  void remember(AzureMemory& memory) const {
    last_reports_.each([&](const LastReport& r) {
      if (r.time != 0) memory.keep(r.key, {r.time, r.open});
    });
  }

 private:
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
  void tuple(std::string_view text);
  bool read_tuple(std::string_view text, Tuple& t, std::string& extra);
  void set_times(Tuple& t, TimestampNs time, std::string& extra);
  void resolve_times(Tuple& t);
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
  BoundedTable<LastReport> last_reports_{limits::kAzureFlowsMax};

  // The batch in the making.
  FlowBatchBuilder builder_;
  std::vector<Tuple> chunk_;  // tuples of one group, not yet in columns
  std::array<CodedText, kSidedCount> src_, dst_;
  CodedText rule_, encryption_, extra_, reason_;
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
    ondemand::raw_json_string raw;
    if (const auto error = field.key().get(raw)) return error;
    const std::string_view key = raw_key(raw.raw());
    ondemand::value value;
    if (const auto error = field.value().get(value)) return error;
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

// A list under `name`; SUCCESS with `found` false where it is absent or null.
simdjson::error_code list_of(ondemand::object& object, std::string_view name, ondemand::array& list, bool& found) {
  ondemand::value value;
  found = false;
  const auto error = object.find_field(name).get(value);
  if (error == simdjson::NO_SUCH_FIELD) return simdjson::SUCCESS;
  if (error) return error;
  if (inner_text(json::raw_token(value)).empty()) return simdjson::SUCCESS;
  found = true;
  return value.get_array().get(list);
}

// The scalars of an object that are asked for, by key, as inner text; then the object is at its start again.
template <typename F>
simdjson::error_code scalars(ondemand::object& object, F&& take) {
  for (auto field : object) {
    ondemand::raw_json_string raw;
    if (const auto error = field.key().get(raw)) return error;
    ondemand::value value;
    if (const auto error = field.value().get(value)) return error;
    const std::string_view token = json::raw_token(value);
    if (!token.empty() && token[0] != '{' && token[0] != '[') take(raw_key(raw.raw()), token);
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
  ondemand::array list;
  bool found = false;
  if (const auto error = list_of(group, "flowTuples", list, found); error || !found) return error;
  auto failed = simdjson::SUCCESS;
  for (auto element : list) {
    ondemand::value value;
    if ((failed = element.get(value))) break;
    const std::string_view token = json::raw_token(value);
    ++tuple_number_;
    if (token.empty() || token[0] != '"')
      bad("is no text", token.substr(0, 64));
    else
      tuple(inner_text(token));
  }
  emit();
  return failed;
}

// --- tuples ---

void Decoder::tuple(std::string_view line) {
  Tuple t;
  std::string extra;
  if (!read_tuple(line, t, extra)) return;
  if (!extra.empty()) t.extra = extra_code(extra);
  chunk_.push_back(t);
  if (chunk_.size() == kChunk) emit();
}

bool Decoder::read_tuple(std::string_view line, Tuple& t, std::string& extra) {
  constexpr size_t kVnetFields = 13, kNsg1Fields = 8, kNsg2Fields = 13;
  std::array<std::string_view, 16> f;
  const size_t count = split_at_commas(line, f);
  const bool vnet = facts_.source == Source::azure_vnet;
  if (vnet ? count != kVnetFields : count != kNsg1Fields && count != kNsg2Fields) {
    report_.reject(number_, "tuple " + std::to_string(tuple_number_) + " has " + counted(count, "field") + ", not " +
                                (vnet ? "13" : "8 or 13") + ": " + quoted(line));
    return false;
  }

  TimestampNs time = 0;
  if (!field_time(f[0], time)) return bad("time is not a Unix time", f[0]);
  if (!field_address(f[1], t.src)) return bad("source is not an address", f[1]);
  if (!field_address(f[2], t.dst)) return bad("destination is not an address", f[2]);
  uint64_t n = 0;
  if (!f[3].empty()) {
    if (!field_number(f[3], 65'535, n)) return bad("source port is not one", f[3]);
    t.src_port = static_cast<uint16_t>(n);
    t.has |= kHasSrcPort;
  }
  if (!f[4].empty()) {
    if (!field_number(f[4], 65'535, n)) return bad("destination port is not one", f[4]);
    t.dst_port = static_cast<uint16_t>(n);
    t.has |= kHasDstPort;
  }
  if (field_number(f[5], 255, n)) {
    t.protocol = static_cast<uint8_t>(n);
    t.has |= kHasProtocol;
  } else if (f[5] == "T" || f[5] == "U") {
    t.protocol = f[5] == "T" ? 6 : 17;
    t.has |= kHasProtocol;
  } else if (!f[5].empty()) {
    append_extra(extra, "protocol", text(f[5]));
  }
  if (f[6] == "I" || f[6] == "O") {
    t.direction = static_cast<uint8_t>(f[6] == "I" ? Direction::ingress : Direction::egress);
    t.has |= kHasDirection;
  } else if (!f[6].empty()) {
    append_extra(extra, "direction", text(f[6]));
  }

  const auto state_of = [&](std::string_view word) {
    if (word == "B" || word == "C" || word == "E") {
      t.state = static_cast<uint8_t>(word == "B" ? FlowState::begin : word == "C" ? FlowState::cont : FlowState::end);
      t.has |= kHasState;
      return true;
    }
    return word.empty();
  };
  t.has |= kHasAction;
  t.action = static_cast<uint8_t>(Action::accept);
  if (vnet) {
    // Denied is a state of its own, without a begin and an end.
    if (f[7] == "D") {
      t.action = static_cast<uint8_t>(Action::reject);
    } else if (!state_of(f[7])) {
      t.action = static_cast<uint8_t>(Action::unknown);
      append_extra(extra, "flow_state", text(f[7]));
    }
    const std::string_view encryption = text(f[8]);
    t.encryption = encryption_.code(encryption);
    if (f[7] == "D" && encryption == "NX_NOT_ACCEPTED") {
      t.action = static_cast<uint8_t>(Action::drop);
      t.refused = true;
    }
    t.biflow = true;
  } else {
    if (f[7] == "D") {
      t.action = static_cast<uint8_t>(Action::reject);
    } else if (f[7] != "A") {
      t.action = static_cast<uint8_t>(Action::unknown);
      append_extra(extra, "decision", text(f[7]));
    }
    if (count == kNsg2Fields) {
      if (!state_of(f[8])) append_extra(extra, "flow_state", text(f[8]));
      t.biflow = true;
    }
  }
  if (count == 13) {
    constexpr std::string_view kNames[] = {"packets to the destination are", "bytes to the destination are", "packets to the source are", "bytes to the source are"};
    for (size_t i = 0; i < 4; ++i) {
      if (f[9 + i].empty()) continue;
      if (!field_number(f[9 + i], UINT64_MAX, t.counters[i])) return bad(std::string(kNames[i]) + " not a number", f[9 + i]);
      t.counters_has |= static_cast<uint8_t>(1 << i);
    }
  }
  set_times(t, time, extra);
  return true;
}

void Decoder::set_times(Tuple& t, TimestampNs time, std::string& extra) {
  t.start = t.end = time;
  if ((t.has & kHasState) != 0 && t.action == static_cast<uint8_t>(Action::accept)) {
    const uint64_t ports = static_cast<uint64_t>(t.src_port) << 32 | static_cast<uint64_t>(t.dst_port) << 8 | t.protocol;
    t.flow = mix(hash_of(t.src) * 3 + hash_of(t.dst) + mix(ports + 0x9e3779b97f4a7c15ull) + facts_.identity + mix(facts_.mac.value_or(0)));
    if (t.flow == 0) t.flow = 1;
    last_reports_.prefetch(t.flow);
  }
  if (context_.received_at != 0 && (t.end < kPlausibleFrom || t.end > context_.received_at + limits::kClockSkewMax)) {
    append_extra(extra, "time", format_timestamp(t.end));
    t.quality = TimeQuality::clamped;
    ++report_.clamped_times;
  }
}

// What depends on the tuple before of the same flow. Not done while the tuple is read: its entry comes from memory meanwhile.
void Decoder::resolve_times(Tuple& t) {
  if (t.flow != 0) {
    const TimestampNs time = t.end;
    const auto state = static_cast<FlowState>(t.state);
    LastReport* last = last_reports_.find(t.flow);
    const bool known = last != nullptr && last->time != 0 && last->time <= time;
    // The report before: of this body, else of one before it.
    std::optional<AzureMemory::Report> before;
    if (known)
      before = {last->time, last->open};
    else if (context_.azure != nullptr)
      before = context_.azure->before(t.flow, time);
    if (state != FlowState::begin) {
      // The counters are of the time since the tuple before. Where that is not known, or one between is missing, it was at most
      // one interval ago, and not before another flow of the same addresses and ports had ended.
      if (before && before->open && time - before->time <= kPredecessorMax) {
        t.start = before->time;
      } else {
        t.start = std::max<TimestampNs>(0, time - kReportInterval);
        if (before && !before->open) t.start = std::max(t.start, before->time);
        if (t.quality == TimeQuality::exact) t.quality = TimeQuality::estimated;
      }
    }
    // The very same report again: records are delivered, or blobs put together, more than once. A begin without counters, to the
    // second, may be another flow's.
    const auto said = static_cast<uint32_t>(mix(t.counters[0] + mix(t.counters[1] + mix(t.counters[2] + mix(t.counters[3] + t.state)))));
    t.duplicate = known && last->time == time && last->said == said && (facts_.source == Source::azure_vnet || t.counters[0] + t.counters[2] > 0);
    if (last != nullptr && last->time <= time) {
      last->time = time;
      last->said = said;
      last->open = state != FlowState::end;
    }
  }
  if (t.quality == TimeQuality::clamped) {
    const DurationNs length = t.end - t.start;
    t.end = context_.received_at;
    t.start = std::max<TimestampNs>(0, t.end - length);
  }
}

// --- columns ---

void Decoder::emit() {
  const size_t n = chunk_.size();
  if (n == 0) return;
  for (Tuple& t : chunk_) resolve_times(t);
  const size_t first = builder_.rows();
  const std::span<const Tuple> chunk(chunk_);
  const auto all = [&]<typename T>(ColumnId id, T, auto value) {
    T* out = builder_.ahead(id).extend<T>(n);
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<T>(value(chunk[i]));
  };
  // Values that only some tuples have.
  const auto some = [&]<typename T>(ColumnId id, T type, auto has, auto value) {
    const auto count = static_cast<size_t>(std::count_if(chunk.begin(), chunk.end(), has));
    if (count == n) return all(id, type, value);
    if (count == 0) return;
    Column& column = builder_.ahead(id);
    for (const Tuple& t : chunk) {
      if (has(t))
        column.append<T>(static_cast<T>(value(t)));
      else
        column.append_null();
    }
  };
  const auto has = [](uint8_t bit) { return [bit](const Tuple& t) { return (t.has & bit) != 0; }; };
  constexpr uint8_t u8 = 0;
  constexpr uint16_t u16 = 0;
  constexpr uint64_t u64 = 0;
  constexpr int64_t i64 = 0;

  all(ColumnId::flow_start, i64, [](const Tuple& t) { return t.start; });
  all(ColumnId::flow_end, i64, [](const Tuple& t) { return t.end; });
  all(ColumnId::time_quality, u8, [](const Tuple& t) { return t.quality; });
  all(ColumnId::src_ip, IpAddress(), [](const Tuple& t) { return t.src; });
  all(ColumnId::dst_ip, IpAddress(), [](const Tuple& t) { return t.dst; });
  all(ColumnId::ip_version, u8, [](const Tuple& t) { return t.src.is_v4() ? 4 : 6; });
  some(ColumnId::src_port, u16, has(kHasSrcPort), [](const Tuple& t) { return t.src_port; });
  some(ColumnId::dst_port, u16, has(kHasDstPort), [](const Tuple& t) { return t.dst_port; });
  some(ColumnId::protocol, u8, has(kHasProtocol), [](const Tuple& t) { return t.protocol; });
  some(ColumnId::flow_state, u8, has(kHasState), [](const Tuple& t) { return t.state; });
  some(ColumnId::action, u8, has(kHasAction), [](const Tuple& t) { return t.action; });
  some(ColumnId::duplicate, u8, [](const Tuple& t) { return t.duplicate; }, [](const Tuple&) { return true; });
  constexpr ColumnId kCounters[] = {ColumnId::raw_packets, ColumnId::raw_bytes, ColumnId::raw_reverse_packets, ColumnId::raw_reverse_bytes};
  for (size_t k = 0; k < 4; ++k)
    some(kCounters[k], u64, [k](const Tuple& t) { return (t.counters_has >> k & 1) != 0; }, [k](const Tuple& t) { return t.counters[k]; });
  all(ColumnId::is_biflow, u8, [](const Tuple& t) { return t.biflow; });
  // The source of a tuple is who began the flow.
  all(ColumnId::initiator, u8, [](const Tuple&) { return Initiator::src; });
  const Source source = facts_.source;
  all(ColumnId::source, u8, [source](const Tuple&) { return source; });
  if (facts_.exported_at != 0) all(ColumnId::exported_at, i64, [at = facts_.exported_at](const Tuple&) { return at; });

  // The interface is the destination of what comes in and the source of what goes out.
  const auto inward = [](const Tuple& t) { return (t.has & kHasDirection) != 0 && t.direction == static_cast<uint8_t>(Direction::ingress); };
  const auto outward = [](const Tuple& t) { return (t.has & kHasDirection) != 0 && t.direction == static_cast<uint8_t>(Direction::egress); };
  some(ColumnId::direction, u8, has(kHasDirection), [](const Tuple& t) { return t.direction; });
  some(ColumnId::reporter, u8, has(kHasDirection), [&](const Tuple& t) { return inward(t) ? Reporter::dst : Reporter::src; });
  if (facts_.mac) {
    const auto mac = [m = *facts_.mac](const Tuple&) { return m; };
    some(ColumnId::src_mac, u64, outward, mac);
    some(ColumnId::dst_mac, u64, inward, mac);
  }
  const auto in_count = static_cast<size_t>(std::count_if(chunk.begin(), chunk.end(), inward));
  const auto out_count = static_cast<size_t>(std::count_if(chunk.begin(), chunk.end(), outward));
  const auto sided = [&](std::array<CodedText, kSidedCount>& lanes, size_t count, auto mine) {
    if (count == 0) return;
    for (size_t k = 0; k < kSidedCount; ++k) {
      const uint32_t code = lanes[k].code(facts_.sided[k]);
      if (count == n) {
        lanes[k].fill(first, first + n, code);
      } else {
        for (size_t i = 0; i < n; ++i)
          if (mine(chunk[i])) lanes[k].put(first + i, code);
      }
    }
  };
  sided(src_, out_count, outward);
  sided(dst_, in_count, inward);

  rule_.fill(first, first + n, rule_.code(facts_.rule));
  const uint32_t of_group = extra_code({});
  for (size_t i = 0; i < n; ++i) {
    encryption_.put(first + i, chunk[i].encryption);
    extra_.put(first + i, chunk[i].extra != CodedText::kNull ? chunk[i].extra : of_group);
    if (chunk[i].refused) reason_.put(first + i, "NX_NOT_ACCEPTED");
  }
  builder_.begin_rows(n);
  report_.accepted += n;
  chunk_.clear();
  if (builder_.rows() >= kBatchRows) flush();
}

void Decoder::flush() {
  const size_t rows = builder_.rows();
  if (rows == 0) return;
  Batch batch = builder_.finish();
  std::vector<std::pair<ColumnId, Column>> more;
  const auto text_column = [&](ColumnId id, CodedText& lane) {
    if (auto column = lane.column(rows)) more.emplace_back(id, std::move(*column));
  };
  for (size_t k = 0; k < kSidedCount; ++k) {
    text_column(kSidedColumns[k].src, src_[k]);
    text_column(kSidedColumns[k].dst, dst_[k]);
  }
  text_column(ColumnId::rule_name, rule_);
  text_column(ColumnId::encryption, encryption_);
  text_column(ColumnId::reject_reason, reason_);
  text_column(ColumnId::extra, extra_);
  more.emplace_back(ColumnId::byte_basis, repeated<uint8_t>(ColumnId::byte_basis, rows, static_cast<uint8_t>(ByteBasis::layer3)));
  more.emplace_back(ColumnId::flags_quality, repeated<uint8_t>(ColumnId::flags_quality, rows, static_cast<uint8_t>(FlagsQuality::none)));
  more.emplace_back(ColumnId::sampling_rate, repeated<uint32_t>(ColumnId::sampling_rate, rows, 1));
  more.emplace_back(ColumnId::cloud, repeated_text("azure", rows));
  if (context_.received_at != 0) more.emplace_back(ColumnId::received_at, repeated<int64_t>(ColumnId::received_at, rows, context_.received_at));
  add_columns(batch, std::move(more));
  if (status_.ok()) status_ = sink_(std::move(batch));
}

}  // namespace

Result<DecodeReport> decode_azure(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  if (body.substr(0, 3) == "\xef\xbb\xbf") body.remove_prefix(3);
  Decoder decoder(body, context, sink);
  auto report = decoder.run(body);
  if (report.ok() && context.azure != nullptr) decoder.remember(*context.azure);
  return report;
}

}  // namespace sluice::ingest
