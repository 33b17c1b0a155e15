#include "query/continuous/asked_rule.h"

#include <algorithm>

#include "query/retained.h"
#include "query/scan.h"
#include "query/watch_list.h"

namespace sluice::query::continuous {
namespace {

// What a query is told of the time: the moment that it is asked for. The wall's clock moves it by whole seconds, so that a deadline
// is met and `last 7d` of a query inside still begins where it should.
class AskedAt final : public Clock {
 public:
  AskedAt(TimestampNs at, const Clock& wall) : at_(at), wall_(wall), started_(wall.now()) {}
  TimestampNs now() const override { return at_ + std::max<DurationNs>(0, wall_.now() - started_) / kSecond * kSecond; }

 private:
  const TimestampNs at_;
  const Clock& wall_;
  const TimestampNs started_;
};

// Rows are kept until the answer is whole: half an answer is none.
class Rows final : public ResultSink {
 public:
  Status begin(const Schema& columns) override {
    for (size_t i = 0; i < columns.size(); ++i)
      output.push_back({columns[i].name, i, Type{columns[i].type, columns[i].physical, columns[i].enumeration, {}, {}}});
    return {};
  }
  Status batch(const Batch& rows) override {
    Chunk chunk;
    chunk.rows = rows.rows;
    for (const Column& c : rows.columns) chunk.slots.push_back(std::make_shared<const Column>(c));
    chunks.push_back(std::move(chunk));
    return {};
  }
  std::vector<OutputColumn> output;
  std::vector<Chunk> chunks;
};

}  // namespace

namespace {

Status answer(const Rule& rule, const std::string& query, TimeRange range, const QueryContext& context, Rows& rows, ScanStats& stats) {
  QueryRequest request;
  request.text = query;
  request.from = range.from;
  request.to = range.to;
  request.options.all_columns = true;  // as when the rule was checked
  request.limits.timeout = limits::kRuleAnswerTimeout;
  request.limits.memory_bytes = limits::kRuleAnswerBytesMax;
  request.limits.rows_max = limits::kRuleAnswerRowsMax;
  for (const auto& [name, value] : rule.parameters) {
    ParameterValue& parameter = request.parameters[name];
    for (size_t begin = 0; begin <= value.size();) {
      const size_t comma = std::min(value.find(',', begin), value.size());
      parameter.values.push_back(value.substr(begin, comma - begin));
      begin = comma + 1;
    }
    parameter.is_list = parameter.values.size() > 1;
  }
  const AskedAt clock(range.to, *context.clock);
  QueryContext asked = context;
  asked.clock = &clock;
  asked.statements = {};
  asked.may_define = false;
  QuerySummary summary;
  if (auto error = run(request, asked, rows, summary)) return Error{error->code, std::move(error->message)};
  add_up(stats, summary.stats);
  return {};
}

}  // namespace

Status ask_rule(const Rule& rule, TimestampNs at, const QueryContext& context, const FindingSink& sink, ScanStats& stats) {
  SLUICE_CHECK(rule.is_asked);
  const TimestampNs from = at - rule.window();
  Rows rows;
  SLUICE_TRY(answer(rule, rule.query, {from, at}, context, rows, stats));
  if (rows.output.size() != rule.plan.output.size()) return Error{ErrorCode::invalid_argument, "the query's columns are not those that the rule was checked with"};
  for (const Chunk& chunk : rows.chunks)
    if (chunk.rows > 0) sink(Finding{rule, from, true, chunk, &rows.output});
  return {};
}

Result<uint64_t> count_excepted(const Rule& rule, TimestampNs at, const QueryContext& context) {
  if (rule.excepted_query.empty()) return uint64_t{0};
  Rows rows;
  ScanStats stats;
  SLUICE_TRY(answer(rule, rule.excepted_query, {at - rule.slide(), at}, context, rows, stats));
  return rows.chunks.empty() ? uint64_t{0} : static_cast<uint64_t>(rows.chunks.front().slots.front()->int_at(0));
}

bool has_learned(const Rule& rule, TimestampNs at, const store::Snapshot& snapshot, TimestampNs known_since) {
  if (rule.learn == 0 || at - rule.learn >= known_since) return true;
  const auto kept = retained(snapshot);
  return kept && at - rule.learn >= kept->first;
}

TimestampNs next_answer(const Rule& rule, TimestampNs t) {
  const TimestampNs start = slide_start(t, rule.slide());
  return start >= t ? start : start + rule.slide();
}

}  // namespace sluice::query::continuous
