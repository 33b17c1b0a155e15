#include "query/continuous/asked_rule.h"

#include <algorithm>

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

Status ask_rule(const Rule& rule, TimestampNs at, const QueryContext& context, const FindingSink& sink, ScanStats& stats) {
  SLUICE_CHECK(rule.is_asked);
  const TimestampNs from = at - rule.window();
  QueryRequest request;
  request.text = rule.query;
  request.from = from;
  request.to = at;
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
  const AskedAt clock(at, *context.clock);
  QueryContext asked = context;
  asked.clock = &clock;
  asked.statements = {};
  asked.may_define = false;
  Rows rows;
  QuerySummary summary;
  if (auto error = run(request, asked, rows, summary)) return Error{error->code, std::move(error->message)};
  stats.rows_scanned += summary.stats.rows_scanned;
  stats.rows_matched += summary.stats.rows_matched;
  stats.bytes_read += summary.stats.bytes_read;
  stats.segments += summary.stats.segments;
  stats.segments_pruned += summary.stats.segments_pruned;
  if (rows.output.size() != rule.plan.output.size()) return Error{ErrorCode::invalid_argument, "the query's columns are not those that the rule was checked with"};
  for (const Chunk& chunk : rows.chunks)
    if (chunk.rows > 0) sink(Finding{rule, from, true, chunk, &rows.output});
  return {};
}

TimestampNs next_answer(const Rule& rule, TimestampNs t) {
  const TimestampNs start = slide_start(t, rule.slide());
  return start >= t ? start : start + rule.slide();
}

}  // namespace sluice::query::continuous
