#include "query/explain.h"

#include <set>

namespace sluice::query {
namespace {

// How a conjunct can be decided without reading rows. Whole segments are left out by their times for the query's range alone.
std::set<std::string> ways_of(const Predicate& p, const TimeRange& range) {
  std::set<std::string> ways;
  switch (p.kind) {
    case Predicate::Kind::test: {
      if (!p.column) break;
      const ColumnSpec& spec = column_spec(*p.column);
      if (const auto* times = std::get_if<IntRanges>(&p.test); times && *p.column == ColumnId::flow_end && range != TimeRange{} && times->ranges.size() == 1 &&
                                                               static_cast<TimestampNs>(times->ranges[0].first) == range.from)
        ways.insert("segment times");
      if (std::holds_alternative<IpRanges>(p.test) || std::holds_alternative<TextTest>(p.test)) ways.insert("dictionary");
      if ((spec.index == IndexKind::postings || spec.index == IndexKind::address) && !std::holds_alternative<NullTest>(p.test)) ways.insert("postings");
      ways.insert("zones");
      break;
    }
    case Predicate::Kind::conjunction:
      for (const auto& c : p.children) ways.merge(ways_of(*c, range));
      break;
    case Predicate::Kind::disjunction:  // one that has to be read decides for all
      for (const auto& c : p.children) {
        auto more = ways_of(*c, range);
        if (more.empty()) return {};
        ways.merge(more);
      }
      break;
    case Predicate::Kind::negation:  // where a zone says that all rows meet what is negated
      if (ways_of(*p.children[0], range).contains("zones")) ways.insert("zones");
      break;
    default: break;
  }
  return ways;
}

std::optional<QueryError> send(Batch batch, ResultSink& sink, QuerySummary& summary) {
  Status status = sink.begin(*batch.schema);
  if (status.ok() && batch.rows > 0) status = sink.batch(batch);
  if (!status.ok()) return QueryError{status.error().code, status.error().message, {}, std::nullopt, {}};
  summary.rows = batch.rows;
  return std::nullopt;
}

}  // namespace

std::vector<std::string> plan_lines(const Plan& plan) {
  std::vector<std::string> lines;
  for (const SubQuery& sub : plan.subqueries) {
    lines.push_back("first, " + sub.what + ":");
    for (std::string& line : plan_lines(*sub.plan)) lines.push_back("  " + std::move(line));
  }
  const ScanPlan& scan = plan.scan;
  std::string line = plan.reads_flows ? "scan flows" : "read the server's table";
  if (scan.range.from != kTimestampMin) line += " from " + format_timestamp(scan.range.from);
  if (scan.range.to != kTimestampMax) line += " to " + format_timestamp(scan.range.to);
  lines.push_back(line);
  for (const Conjunct& c : scan.conjuncts) {
    const std::set<std::string> ways = ways_of(*c.predicate, scan.range);
    line = "  filter in scan: " + c.text;
    if (!ways.empty()) {
      line += "  [prunes by";
      bool first = true;
      for (const auto& w : ways) line += (first ? " " : ", ") + w, first = false;
      line += "]";
    }
    lines.push_back(line);
  }
  std::string columns;
  for (size_t i = 0; i < scan.slots.size(); ++i)
    if (scan.output[i]) columns += (columns.empty() ? "" : ", ") + scan.slots[i].name;
  if (plan.reads_flows) lines.push_back("  read" + (columns.empty() ? std::string(" no columns: rows are only counted") : " " + columns));
  bool parallel = plan.reads_flows;
  for (const auto& op : plan.operators) {
    lines.push_back(op->describe() + (parallel && !op->stateless() ? "  [partial per worker where it can be, then merged]" : ""));
    if (!op->stateless()) parallel = false;
  }
  line = "answer";
  for (size_t i = 0; i < plan.output.size(); ++i) line += (i == 0 ? " " : ", ") + plan.output[i].name;
  lines.push_back(line);
  return lines;
}

std::optional<QueryError> send_plan(const Plan& plan, ResultSink& sink, QuerySummary& summary) {
  Batch batch;
  batch.schema = std::make_shared<Schema>(Schema{Field{"plan", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}});
  Column column(PhysicalType::Str);
  for (const auto& line : plan_lines(plan)) column.append_string(line);
  batch.rows = column.size();
  batch.columns.push_back(std::move(column));
  return send(std::move(batch), sink, summary);
}

std::optional<QueryError> send_report(const ExecuteReport& report, ResultSink& sink, QuerySummary& summary) {
  auto field = [](std::string name, LogicalType type, PhysicalType physical) {
    return Field{std::move(name), type, physical, nullptr, {}, std::nullopt};
  };
  Batch batch;
  batch.schema = std::make_shared<Schema>(
      Schema{field("step", LogicalType::string, PhysicalType::Str), field("rows_in", LogicalType::uint, PhysicalType::U64),
             field("rows_out", LogicalType::uint, PhysicalType::U64), field("time", LogicalType::duration, PhysicalType::I64),
             field("detail", LogicalType::string, PhysicalType::Str)});
  Column step(PhysicalType::Str), in(PhysicalType::U64), out(PhysicalType::U64), time(PhysicalType::I64), detail(PhysicalType::Str);
  for (const StepReport& s : report.steps) {
    step.append_string(s.name);
    in.append(s.count.rows_in);
    out.append(s.count.rows_out);
    time.append(s.count.time);
    detail.append_string(s.detail);
  }
  batch.rows = step.size();
  for (Column* c : {&step, &in, &out, &time, &detail}) batch.columns.push_back(std::move(*c));
  return send(std::move(batch), sink, summary);
}

}  // namespace sluice::query
