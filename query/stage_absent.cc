// absent: keys that were active and went silent.
//
// `absent KEY, … for D` gives one row for each key of the query's range that was last seen D or longer before its clock. The
// clock is not the wall's but the data's: the latest flow_end that the reporter (source and exporter) of the key's last row has
// delivered in the range, whatever the query's filters. So a source that is late or dead makes no key silent.
// `expected by (QUERY)` names the keys instead of the rows: those seen and silent as above, and those never seen in the range,
// whose last_seen is null and whose silence counts from the range's start to the latest clock of all. `expected by @LIST` names them by a
// watch-list: each address of its addresses, blocks and ranges, each of its numbers, or each of its words, as the one key wants.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "query/group.h"
#include "query/join.h"
#include "query/key_index.h"
#include "query/limits.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

struct AbsentSpec {
  size_t keys = 0;                        // slots 0 .. keys - 1, then source, exporter, last seen, flows
  std::vector<Type> types;                // of the keys
  DurationNs silence = 0;
  TimeRange range;
  std::shared_ptr<SubTable> clocks;       // source, exporter, clock
  std::shared_ptr<SubTable> expected;     // may be null
  std::vector<NodePtr> expected_keys;     // over it, laid out as the keys
  std::string text;
};

class Absent final : public Operator {
 public:
  Absent(std::shared_ptr<const AbsentSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    SLUICE_TRY(rows_.append(chunk, claim_));
    return claim_.set(rows_.byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (size_t i = 0; i < spec_->keys + 4; ++i) slots.push_back(i);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t k = spec_->keys, count = rows_.rows();
    // The reporters' clocks.
    const RowBuffer& clock_rows = spec_->clocks->rows;
    KeyIndex clock_index;
    if (!clock_index.build({clock_rows.shared(0), clock_rows.shared(1)}, clock_rows.rows(), true, worker.eval.meter)) return worker.eval.meter.stopped;
    std::optional<TimestampNs> latest;
    for (size_t i = 0; i < clock_rows.rows(); ++i)
      if (!clock_rows.slot(2).is_null(i)) latest = std::max(latest.value_or(kTimestampMin), clock_rows.slot(2).int_at(i));

    // Each key's last row; of several at one moment, that with the later clock.
    GroupTable table(spec_->types);
    std::vector<ColumnPtr> columns;
    std::vector<uint32_t> groups;
    if (count > 0) {
      for (size_t i = 0; i < k; ++i) columns.push_back(rows_.shared(i));
      table.find(columns, count, groups);
    }
    struct Seen {
      TimestampNs last = kTimestampMin, clock = kTimestampMin;
      uint64_t flows = 0;
    };
    std::vector<Seen> seen(table.size());
    const std::vector<ColumnPtr> reporter = count > 0 ? std::vector<ColumnPtr>{rows_.shared(k), rows_.shared(k + 1)} : std::vector<ColumnPtr>{};
    for (size_t row = 0; row < count; ++row) {
      if (!worker.eval.meter.spend(1)) return worker.eval.meter.stopped;
      Seen& s = seen[groups[row]];
      s.flows += rows_.slot(k + 3).uint_at(row);
      const TimestampNs last = rows_.slot(k + 2).int_at(row);
      const uint32_t at = clock_index.first(reporter, row);
      const TimestampNs clock = at == KeyIndex::kNone ? last : clock_rows.slot(2).int_at(at);
      if (std::pair(last, clock) > std::pair(s.last, s.clock)) s.last = last, s.clock = clock;
    }

    // The keys to look at.
    std::vector<uint32_t> chosen(seen.size());
    std::iota(chosen.begin(), chosen.end(), 0u);
    if (spec_->expected) {
      const RowBuffer& rows = spec_->expected->rows;
      Chunk whole;
      whole.rows = rows.rows();
      for (size_t i = 0; i < spec_->expected->columns.size(); ++i) whole.slots.push_back(rows.shared(i));
      std::vector<ColumnPtr> expected;
      for (const NodePtr& n : spec_->expected_keys) expected.push_back(n->eval(whole, worker.eval));
      chosen.clear();
      if (whole.rows > 0) table.find(expected, whole.rows, chosen);
      std::sort(chosen.begin(), chosen.end());
      chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
      seen.resize(table.size());
    }
    const auto silence_of = [&](const Seen& s) -> std::optional<DurationNs> {
      DurationNs d;
      if (s.flows > 0) return __builtin_sub_overflow(s.clock, s.last, &d) ? std::optional<DurationNs>(INT64_MAX) : d;
      if (!latest || spec_->range.from == kTimestampMin) return std::nullopt;  // how long is not known
      return *latest - spec_->range.from;
    };
    std::erase_if(chosen, [&](uint32_t key) {
      const auto d = silence_of(seen[key]);
      if (!d) return !latest;  // without any clock nothing can be said
      return *d < spec_->silence;
    });
    std::vector<Column> keys;
    for (size_t i = 0; i < k; ++i) keys.push_back(table.keys(i, chosen));
    std::vector<uint32_t> order(chosen.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return row_less(keys, a, b); });
    std::vector<Column> out;
    for (const Column& c : keys) out.push_back(c.gather(order));
    Column last(PhysicalType::I64), silent(PhysicalType::I64), flows(PhysicalType::U64);
    for (uint32_t i : order) {
      const Seen& s = seen[chosen[i]];
      if (s.flows > 0)
        last.append(s.last);
      else
        last.append_null();
      if (const auto d = silence_of(s))
        silent.append(*d);
      else
        silent.append_null();
      flows.append(s.flows);
    }
    for (Column* c : {&last, &silent, &flows}) out.push_back(std::move(*c));
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  std::shared_ptr<const AbsentSpec> spec_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

// All values of a watch-list as a table of one column. nullptr: an error is set.
std::shared_ptr<SubTable> table_of(StageBinder& binder, const g::ListReference& list, const g::Span& at, const StageColumn& key) {
  ValueSet set;
  if (!binder.list(list, key.type, at, set)) return nullptr;
  Column values(key.type.physical);
  bool fits = true;
  const auto add = [&](auto append) {
    fits = fits && values.size() < limits::kExpectedKeysMax;
    if (fits) append();
    return fits;
  };
  set.ips.normalize();
  for (const auto& [first, last] : set.ips.ranges)
    for (IpAddress ip = first; add([&] { values.append(ip); }) && ip != last;) {
      const uint64_t low = ip.low() + 1;
      ip = IpAddress::from_halves(ip.high() + (low == 0), low);
    }
  set.ints.is_signed = key.type.physical == PhysicalType::I64;
  set.ints.normalize();
  const uint64_t most = key.type.physical == PhysicalType::U8 ? UINT8_MAX : key.type.physical == PhysicalType::U16 ? UINT16_MAX : key.type.physical == PhysicalType::U32 ? UINT32_MAX : UINT64_MAX;
  for (const ValueRange& r : set.ints.ranges)
    for (uint64_t n = r.first; n <= most && add([&] { values.append_uint(n); }) && n != r.last; ++n) {
    }
  for (const std::string& word : std::set<std::string>(set.words.begin(), set.words.end())) add([&] { values.append_string(word); });
  if (!fits) {
    binder.fail(at, "the list '@" + list.name + "' names more keys than can be expected: " + std::to_string(limits::kExpectedKeysMax), {}, ErrorCode::too_large);
    return nullptr;
  }
  auto table = std::make_shared<SubTable>(binder.run());
  table->columns.push_back({key.name, 0, key.type});
  Chunk chunk;
  chunk.rows = values.size();
  chunk.slots.push_back(std::make_shared<Column>(std::move(values)));
  if (const Status kept = table->rows.append(chunk, table->claim); !kept.ok()) {
    binder.fail(at, kept.error().message, {}, kept.error().code);
    return nullptr;
  }
  return table;
}

bool bind_absent(StageBinder& binder) {
  auto spec = std::make_shared<AbsentSpec>();
  const auto expressions = binder.args.expressions();
  if (expressions.empty()) return binder.expected("a key");
  if (!binder.args.word("for")) return binder.expected("'for' and a duration");
  const auto silence = binder.duration("for");
  if (!silence) return false;
  spec->silence = *silence;
  const g::Query* base = nullptr;
  std::optional<g::ExprPtr> base_list;
  g::Span base_at;
  if (binder.args.word("expected")) {
    if (!binder.args.word("by")) return binder.expected("'by' and a query in parentheses or a list");
    base = binder.args.subquery();
    if (!base) {
      base_at = binder.args.place();
      base_list = binder.args.expression();
      if (!base_list || !(*base_list)->as<g::ListReference>()) return binder.fail(base_at, "expected a query in parentheses or a list after 'by'", std::string(binder.spec().signature));
      if (expressions.size() != 1) return binder.fail(base_at, "a list names values of one key, and there are " + std::to_string(expressions.size()));
    }
  }
  if (!binder.end()) return false;
  if (!binder.on_flows()) return binder.fail(binder.span(), "absent needs flows as they came: put it before the grouping");
  spec->range = binder.range();
  spec->clocks = binder.subquery(StageBinder::query("from flows | stats clock = max(flow_end) by source, exporter_ip"), binder.range(), "the clocks of the reporters");
  if (!spec->clocks) return false;
  if (base) {
    spec->expected = binder.subquery(*base, binder.range(), "the expected keys");
    if (!spec->expected) return false;
  }
  std::vector<g::NamedExpr> keys;
  for (const auto& e : expressions) keys.push_back({std::nullopt, e, e->span});
  spec->keys = keys.size();
  keys.push_back(binder.named("\001source", StageBinder::expression("source")));
  keys.push_back(binder.named("\001exporter", StageBinder::expression("exporter_ip")));
  if (!binder.stats({binder.named("\001last", StageBinder::expression("max(flow_end)")), binder.named("\001flows", StageBinder::expression("count()"))}, keys))
    return false;
  std::vector<StageColumn> columns = binder.visible();
  columns.resize(spec->keys);
  if (base_list) {
    spec->expected = table_of(binder, *(*base_list)->as<g::ListReference>(), base_at, columns[0]);
    if (!spec->expected) return false;
    spec->expected_keys.push_back(make_slot(0, columns[0].type));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    spec->types.push_back(columns[i].type);
    if (!base) continue;
    std::optional<size_t> at;
    for (size_t c = 0; c < spec->expected->columns.size() && !at; ++c)
      if (equal_ignoring_case(spec->expected->columns[c].name, columns[i].name)) at = c;
    if (!at) return binder.fail(base->span, "the expected keys have no column '" + columns[i].name + "'");
    NodePtr node = make_slot(*at, spec->expected->columns[*at].type);
    const auto type = common_type(node->type, columns[i].type);
    if (!type || class_of(node->type.logical) != class_of(columns[i].type.logical))
      return binder.fail(base->span, "the expected '" + columns[i].name + "' is " + std::string(to_string(class_of(node->type.logical))) + ", and the key is " +
                                         std::string(to_string(class_of(columns[i].type.logical))));
    spec->expected_keys.push_back(node->type.physical == columns[i].type.physical ? node : make_cast(node, columns[i].type));
  }
  spec->text = binder.text();
  const size_t count = spec->keys;
  columns.push_back({"last_seen", 0, Type::of(LogicalType::timestamp)});
  columns.push_back({"silent_for", 0, Type::of(LogicalType::duration)});
  columns.push_back({"flows", 0, Type::of(LogicalType::uint)});
  binder.push_frame(std::make_unique<Absent>(std::move(spec), binder.run()), std::move(columns), count);
  return true;
}

constexpr std::string_view kAbsentWords[] = {"for", "expected by (from flows", "expected by @"};

}  // namespace

namespace stage_detail {
extern const StageSpec kAbsent{"absent", "absent KEY, … for D [expected by (QUERY)|@LIST]", "Keys that were active and went silent", kAbsentWords, bind_absent};
}

}  // namespace sluice::query
