#include "query/continuous/example.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "grammar/parse.h"
#include "query/continuous/asked_rule.h"
#include "query/continuous/example_reason.h"
#include "query/continuous/stream.h"
#include "query/watch_list.h"
#include "query/words.h"
#include "storage/model/counted.h"
#include "storage/model/text_list.h"

namespace sluice::query::continuous {
namespace {

// Any day will do; a Monday, so that weeks begin with it.
constexpr TimestampNs kFirstFlow = 1'795'392'000 * kSecond;  // 2026-11-23T00:00:00Z
constexpr size_t kFlowsMax = 1'000'000;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(at, from), text.size());
    if (end > from) parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

IpAddress plus(IpAddress ip, uint64_t n) {
  for (size_t i = ip.bytes.size(); i-- > 0 && n > 0;) {
    n += ip.bytes[i];
    ip.bytes[i] = static_cast<uint8_t>(n);
    n >>= 8;
  }
  return ip;
}

// A value by the number of the flow.
std::string value_for(std::string_view text, uint64_t flow) {
  if (const auto choices = split(text, '|'); choices.size() > 1) return std::string(choices[flow % choices.size()]);
  const size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::string(text);
  const std::string_view from = text.substr(0, dots), to = text.substr(dots + 2);
  if (const auto first = number<uint64_t>(from)) {
    const auto last = number<uint64_t>(to);
    return std::to_string(*first + (last && *last >= *first ? flow % (*last - *first + 1) : flow));
  }
  if (const auto first = parse_ip(from)) {
    const auto last = parse_ip(to);
    IpAddress ip = plus(*first, flow);
    // Few addresses, mostly: counting them is quick enough.
    if (last && *last > *first) {
      uint64_t size = 1;
      while (size < kFlowsMax && plus(*first, size - 1) != *last) ++size;
      ip = plus(*first, flow % size);
    }
    return to_string(ip);
  }
  return std::string(text);
}

Status set(FlowBatchBuilder& b, ColumnId id, const std::string& text, TimestampNs flow_end) {
  const ColumnSpec& spec = column_spec(id);
  const Error wrong{ErrorCode::parse, "'" + text + "' is no value of " + std::string(spec.name)};
  switch (spec.type) {
    case LogicalType::ip:
      if (const auto ip = parse_ip(text)) return b.set_ip(id, *ip), Status();
      return wrong;
    case LogicalType::string:
    case LogicalType::list: return b.set_string(id, text), Status();
    case LogicalType::enumeration:
      if (const auto code = spec.enumeration->code_of(text)) return b.set_uint(id, *code), Status();
      return wrong;
    case LogicalType::protocol:
      if (const auto protocol = protocol_number(text)) return b.set_uint(id, *protocol), Status();
      break;
    case LogicalType::port:
      if (const auto port = service_port(text)) return b.set_uint(id, *port), Status();
      break;
    case LogicalType::flags:
      if (const auto flags = tcp_flags_of(text)) return b.set_uint(id, *flags), Status();
      break;
    case LogicalType::boolean:
      if (text == "true" || text == "false") return b.set_uint(id, text == "true"), Status();
      return wrong;
    case LogicalType::mac:
      if (const auto mac = parse_mac(text)) return b.set_uint(id, *mac), Status();
      return wrong;
    case LogicalType::timestamp: {
      const bool before = text.starts_with('-');
      const auto behind = parse_duration(std::string_view(text).substr(before ? 1 : 0));
      if (!behind || id == ColumnId::flow_start || id == ColumnId::flow_end) return wrong;
      return b.set_time(id, before ? flow_end - *behind : flow_end + *behind), Status();
    }
    case LogicalType::uint: break;
    default: return Error{ErrorCode::parse, "examples cannot set " + std::string(spec.name)};
  }
  const auto n = number<uint64_t>(text);
  const size_t width = width_of(spec.physical);
  if (!n || (width < 8 && *n >> (width * 8) != 0)) return wrong;
  b.set_uint(id, *n);
  return {};
}

struct Group {
  uint64_t count = 1;
  DurationNs at = 0, over = 0, duration = kSecond;
  std::vector<std::pair<ColumnId, std::string>> columns;
};

Result<Group> read_group(std::string_view text) {
  Group group;
  const auto words = split(text, ' ');
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string word(words[i]);
    if (const size_t equal = word.find('='); equal != std::string::npos) {
      const std::string name = word.substr(0, equal);
      if (name == "duration") {
        const auto duration = parse_duration(word.substr(equal + 1));
        if (!duration) return Error{ErrorCode::parse, "'" + word + "' is no duration"};
        group.duration = *duration;
        continue;
      }
      const auto column = find_column(name);
      ColumnId id{};
      if (column && column->kind == ColumnName::Kind::stored)
        id = column->stored;
      else if (column && column->kind == ColumnName::Kind::derived && column->derived == DerivedColumn::bytes)
        id = ColumnId::raw_bytes;
      else if (column && column->kind == ColumnName::Kind::derived && column->derived == DerivedColumn::packets)
        id = ColumnId::raw_packets;
      else if (column && column->kind == ColumnName::Kind::derived && column->derived == DerivedColumn::reverse_bytes)
        id = ColumnId::raw_reverse_bytes;
      else if (column && column->kind == ColumnName::Kind::derived && column->derived == DerivedColumn::reverse_packets)
        id = ColumnId::raw_reverse_packets;
      else
        return Error{ErrorCode::parse, "'" + name + "' is no column that an example can set"};
      group.columns.emplace_back(id, word.substr(equal + 1));
    } else if ((word == "at" || word == "over") && i + 1 < words.size()) {
      const auto duration = parse_duration(words[++i]);
      if (!duration) return Error{ErrorCode::parse, "'" + std::string(words[i]) + "' is no duration"};
      (word == "at" ? group.at : group.over) = *duration;
    } else if (const auto count = number<uint64_t>(word)) {
      group.count = *count;
    } else if (word != "flow" && word != "flows") {
      return Error{ErrorCode::parse, "'" + word + "' was not expected in an example: a count, at, over, or column=value"};
    }
  }
  return group;
}

}  // namespace

Result<std::vector<std::shared_ptr<const Batch>>> example_flows(std::string_view text, DurationNs span) {
  std::vector<Group> groups;
  uint64_t total = 0;
  for (const std::string_view part : split(text, ';')) {
    SLUICE_ASSIGN(Group group, read_group(part));
    total += std::min<uint64_t>(group.count, kFlowsMax + 1);
    if (total > kFlowsMax) return Error{ErrorCode::too_large, "an example has at most " + std::to_string(kFlowsMax) + " flows"};
    groups.push_back(std::move(group));
  }
  struct Flow {
    TimestampNs end;
    size_t group;
    uint64_t number;
  };
  std::vector<Flow> flows;
  for (size_t g = 0; g < groups.size(); ++g)
    for (uint64_t n = 0; n < groups[g].count; ++n) {
      const auto share = groups[g].count > 1 ? static_cast<double>(n) / static_cast<double>(groups[g].count - 1) : 0.0;
      flows.push_back({kFirstFlow + groups[g].at + static_cast<DurationNs>(share * static_cast<double>(groups[g].over)), g, n});
    }
  std::stable_sort(flows.begin(), flows.end(), [](const Flow& a, const Flow& b) { return a.end < b.end; });
  std::vector<std::shared_ptr<const Batch>> batches;
  FlowBatchBuilder b;
  const auto flush = [&] {
    if (b.rows() > 0) batches.push_back(std::make_shared<const Batch>(b.finish()));
  };
  TimestampNs first = 0;
  for (const Flow& f : flows) {
    if (b.rows() > 0 && (f.end - first >= span || b.rows() >= 10'000)) flush();
    if (b.rows() == 0) first = f.end;
    const Group& group = groups[f.group];
    b.begin_row();
    for (const auto& [id, value] : group.columns) SLUICE_TRY(set(b, id, value_for(value, f.number), f.end));
    // The first value of a column stays.
    b.set_time(ColumnId::flow_end, f.end);
    b.set_time(ColumnId::flow_start, f.end - group.duration);
    b.set_uint(ColumnId::raw_packets, 1);
    b.set_uint(ColumnId::raw_bytes, 60);
    b.set_uint(ColumnId::sampling_rate, 1);
  }
  flush();
  return batches;
}

namespace {

// `@NAME = ITEM, ITEM` among the groups says what a list holds.
struct Parts {
  std::string flows;
  std::shared_ptr<const ListBook> lists = std::make_shared<ListBook>();
};
Result<Parts> read_lists(std::string_view text) {
  Parts parts;
  for (std::string_view part : split(text, ';')) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    if (!part.starts_with('@')) {
      parts.flows += std::string(parts.flows.empty() ? "" : ";") + std::string(part);
      continue;
    }
    const size_t equal = part.find('=');
    if (equal == std::string_view::npos) return Error{ErrorCode::parse, "a list in an example is written @NAME = 10.0.0.1, 10.1.0.0/16"};
    std::string name(part.substr(1, equal - 1));
    while (name.ends_with(' ')) name.pop_back();
    std::vector<std::string> items;
    for (std::string_view item : split(part.substr(equal + 1), ',')) {
      while (item.starts_with(' ')) item.remove_prefix(1);
      while (item.ends_with(' ')) item.remove_suffix(1);
      if (!item.empty()) items.emplace_back(item);
    }
    SLUICE_ASSIGN(WatchList list, make_watch_list(std::move(name), std::move(items)));
    parts.lists = parts.lists->with(std::make_shared<WatchList>(std::move(list)));
  }
  return parts;
}

// The rule with the lists as the example has them, and those that it does not name empty.
Result<RulePtr> with_lists(const RulePtr& rule, const ListBook& lists) {
  const auto parsed = grammar::parse(rule->text);
  const auto* statement = std::get_if<grammar::Statement>(&parsed);
  SLUICE_CHECK(statement != nullptr && statement->as<grammar::CreateRule>() != nullptr);
  CompileOptions options;
  options.lists = &lists;
  options.any_list = true;
  auto compiled = compile_rule(*statement->as<grammar::CreateRule>(), rule->text, options);
  if (auto* error = std::get_if<QueryError>(&compiled)) return Error{error->code, error->message};
  return std::get<RulePtr>(std::move(compiled));
}

using Stops = std::function<bool()>;

Status may_go_on(const Stops& stops) {
  return stops && stops() ? Status(Error{ErrorCode::deadline, "the example took too long"}) : Status();
}

// Every answer that a live server would have given while the flows came.
Status ask_over(const RulePtr& rule, const std::vector<std::shared_ptr<const Batch>>& batches, const std::shared_ptr<const ListBook>& lists, const FindingSink& on_finding,
                const std::function<void(TimestampNs)>& settle, const Stops& stops) {
  store::Snapshot snapshot;
  snapshot.open = batches;
  TimestampNs first = kTimestampMax, last = kTimestampMin;
  for (const auto& b : batches)
    for (const int64_t t : b->columns[*b->find(ColumnId::flow_end)].values<int64_t>()) first = std::min(first, t), last = std::max(last, t);
  if (last == kTimestampMin) return {};
  if ((last - first) / rule->slide() > limits::kRuleExampleAnswersMax)
    return Error{ErrorCode::too_large, "the example's flows take so long that the rule would be asked more than " + std::to_string(limits::kRuleExampleAnswersMax) + " times"};
  const ManualClock clock(last);
  InlineExecutor executor;
  QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &clock;
  context.executor = &executor;
  context.lists = lists;
  ScanStats stats;
  for (TimestampNs at = next_answer(*rule, first + 1); at <= next_answer(*rule, last + 1); at += rule->slide()) {
    SLUICE_TRY(may_go_on(stops));
    SLUICE_TRY(ask_rule(*rule, at, context, on_finding, stats));
    settle(at - rule->window() + rule->slide());
  }
  return {};
}

}  // namespace

namespace {

struct Outcome {
  std::vector<Episode> alerts, pending;  // pending: those that began and did not last
  // With which lists, and over which flows.
  RulePtr rule;
  std::shared_ptr<const ListBook> lists;
  std::vector<std::shared_ptr<const Batch>> flows;
};

Result<Outcome> outcome_of(const RulePtr& given, std::string_view text, const Stops& stops) {
  SLUICE_ASSIGN(Parts parts, read_lists(text));
  // A rule on the stream gets flows as they would come; one that is asked looks at what is stored, mostly a few flows an hour for days, and would
  // spend its time on batches of one row.
  SLUICE_ASSIGN(auto batches, given->is_asked ? example_flows(parts.flows, kDay) : example_flows(parts.flows));
  RulePtr rule = given;
  if (!rule->lists.empty()) {
    SLUICE_ASSIGN(rule, with_lists(given, *parts.lists));
  }
  for (const std::string& name : rule->lists) {  // those that the example does not name are empty
    if (parts.lists->find(name)) continue;
    SLUICE_ASSIGN(WatchList none, make_watch_list(name, {}));
    parts.lists = parts.lists->with(std::make_shared<WatchList>(std::move(none)));
  }
  EpisodeBook book;
  std::map<std::string, Episode> alerts, pending;
  TimestampNs now = kFirstFlow;
  const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) { (e.state == EpisodeState::pending ? pending : alerts)[e.id] = e; };
  const FindingSink on_finding = [&](const Finding& f) { book.take(f, now, on_change); };
  const auto finish = [&] {
    Outcome out{{}, {}, rule, parts.lists, batches};
    for (auto& [id, e] : alerts) out.alerts.push_back(std::move(e));
    for (auto& [id, e] : pending) out.pending.push_back(std::move(e));
    std::sort(out.alerts.begin(), out.alerts.end(), [](const Episode& a, const Episode& b) { return std::tie(a.start, a.id) < std::tie(b.start, b.id); });
    return out;
  };
  if (rule->is_asked) {
    SLUICE_TRY(ask_over(rule, batches, parts.lists, on_finding, [&](TimestampNs settled_before) { book.settle(*rule, settled_before, now, on_change); }, stops));
    return finish();
  }
  Stream stream;
  auto state = make_state(rule, {});
  state->set_known_since(kEarliest);  // it has learned what there was: nothing
  stream.add(std::move(state));
  for (const auto& batch : batches) {
    SLUICE_TRY(may_go_on(stops));
    const auto times = batch->columns[*batch->find(ColumnId::flow_end)].values<int64_t>();
    now = std::max(now, *std::max_element(times.begin(), times.end()));
    stream.push(batch, now, on_finding);
    book.settle(*rule, stream.find(rule->name)->settled_before(), now, on_change);
  }
  now += rule->window() + rule->grace + limits::kRuleSourceIdle + kHour;
  stream.tick(now, on_finding);
  if (const std::string& trouble = stream.trouble(rule->name); !trouble.empty()) return Error{ErrorCode::invalid_argument, trouble};
  return finish();
}

// What an alert that should not be is made of.
std::string why_alerted(const Episode& e, size_t alerts) {
  std::string said = e.message;
  std::string values;
  for (const auto& [name, value] : extra_items(e.values)) values += (values.empty() ? "" : ", ") + name + " = " + value;
  if (values != said) said += "\nin the window from " + format_timestamp(e.start) + " to " + format_timestamp(e.end) + ": " + values;
  return alerts > 1 ? said + "\nand " + counted(alerts - 1, "more alert") : said;
}

}  // namespace

Result<std::vector<Episode>> run_example(const RulePtr& rule, std::string_view text) {
  SLUICE_ASSIGN(Outcome outcome, outcome_of(rule, text, {}));
  return std::move(outcome.alerts);
}

std::vector<ExampleResult> run_examples(const RulePtr& rule, const Stops& stops) {
  std::vector<ExampleResult> results;
  const auto run = [&](const std::string& text, bool must_fire) {
    if (!may_go_on(stops).ok()) return;
    ExampleResult result;
    result.text = text;
    result.must_fire = must_fire;
    const auto outcome = outcome_of(rule, text, stops);
    if (!outcome.ok()) {
      if (outcome.error().code == ErrorCode::deadline) return;
      result.detail = outcome.error().message;
    } else {
      const auto& alerts = outcome->alerts;
      result.alerts = alerts.size();
      result.passed = alerts.empty() != must_fire;
      if (!alerts.empty())
        result.detail = result.passed ? alerts.front().message : why_alerted(alerts.front(), alerts.size());
      else if (!result.passed)
        result.detail = why_silent(*outcome->rule, outcome->flows, outcome->lists, outcome->pending);
    }
    results.push_back(std::move(result));
  };
  for (const auto& text : rule->fires) run(text, true);
  for (const auto& text : rule->quiet) run(text, false);
  return results;
}

}  // namespace sluice::query::continuous
