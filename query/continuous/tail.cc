#include "query/continuous/tail.h"

#include <algorithm>

#include "grammar/parse.h"
#include "query/bind.h"
#include "query/words.h"

namespace sluice::query::continuous {
namespace {

namespace g = grammar;

// What is shown of a flow where the query names no columns.
const std::set<ColumnId>& shown_columns() {
  static const std::set<ColumnId> kShown = {ColumnId::flow_end,  ColumnId::src_ip,     ColumnId::src_port, ColumnId::dst_ip,    ColumnId::dst_port, ColumnId::protocol,
                                            ColumnId::raw_bytes, ColumnId::raw_packets, ColumnId::tcp_flags, ColumnId::action, ColumnId::source,   ColumnId::exporter_ip};
  return kShown;
}

QueryError error_at(const g::Span& span, std::string_view text, std::string message, std::string hint, ErrorCode code = ErrorCode::invalid_argument) {
  return {code, std::move(message), std::move(hint), to_text_span(span), g::caret_view(text, span)};
}

// A stage that needs more than the row it looks at; nullptr: there is none.
const g::Stage* waiting_stage(const g::Query& query) {
  for (const g::Stage& stage : query.stages)
    if (!stage.as<g::WhereStage>() && !stage.as<g::ExtendStage>() && !stage.as<g::SelectStage>() && !stage.as<g::DropStage>() && !stage.as<g::RenameStage>() &&
        !stage.as<g::RenderStage>())
      return &stage;
  return nullptr;
}

}  // namespace

std::variant<std::unique_ptr<Tail>, QueryError> Tail::compile(const QueryRequest& request, const QueryContext& context) {
  auto parsed = g::parse(request.text);
  if (const auto* e = std::get_if<g::SyntaxError>(&parsed))
    return QueryError{ErrorCode::parse, e->message, e->hint, to_text_span(e->span), g::caret_view(request.text, e->span)};
  const auto& statement = std::get<g::Statement>(parsed);
  const auto* query = statement.as<g::Query>();
  if (!query) return error_at(statement.span, request.text, "a tail takes a query over flows, and no statement", {});
  if (!equal_ignoring_case(query->source.name.text(), "flows"))
    return error_at(query->source.name.span, request.text, "a tail reads flows as they come in, and nothing else", "from flows; alerts have a stream of their own: GET /v1/alerts/stream");
  if (query->time) return error_at(query->time->span, request.text, "a tail has no time range: it begins now and never ends", "leave it out");
  if (const g::Stage* stage = waiting_stage(*query))
    return error_at(stage->name.span.length > 0 ? stage->name.span : stage->span, request.text,
                    "a tail cannot run '" + stage->name.text + "': it would have to wait for rows that are yet to come", "where, extend, select, drop and rename read one flow at a time",
                    ErrorCode::unsupported);
  std::optional<Plan> plan;
  // Integers that may overflow row by row are computed as floats from the start: there is no second try.
  for (const bool widen : {false, true}) {
    BindOptions options;
    options.now = context.clock->now();
    options.parameters = &request.parameters;
    options.present = &shown_columns();
    options.lists = context.lists.get();
    options.widen = widen;
    Binder binder(options);
    plan = binder.bind(*query);
    if (!plan) {
      QueryError error = binder.error();
      if (error.span) {
        const TextSpan& s = *error.span;
        error.caret = g::caret_view(request.text, g::Span{static_cast<uint32_t>(s.offset), static_cast<uint32_t>(s.length), s.line, s.column});
      }
      return error;
    }
    if (!plan->subqueries.empty())
      return error_at(statement.span, request.text, "a tail cannot ask a query in parentheses: it would have to be asked again for every flow", "a list is read as it is when the tail begins: src_ip in @NAME",
                      ErrorCode::unsupported);
    if (!plan->may_overflow) break;
  }
  for (const auto& op : plan->operators) SLUICE_CHECK(op->stateless());  // waiting_stage() let nothing else through
  return std::unique_ptr<Tail>(new Tail(std::make_shared<const Plan>(std::move(*plan)), context));
}

Tail::Tail(std::shared_ptr<const Plan> plan, const QueryContext& context)
    : plan_(std::move(plan)), lists_(context.lists), run_(context.sampling_rules, context.names), use_(filter_.add(plan_)) {
  auto columns = std::make_shared<Schema>();
  for (const OutputColumn& c : plan_->output)
    columns->push_back(Field{c.name, c.type.logical, c.type.physical, c.type.enumeration, std::string(c.type.unit), c.type.column});
  columns_ = std::move(columns);
}

Status Tail::push(const std::shared_ptr<const Batch>& flows, const Sink& sink) {
  if (flows->rows == 0) return {};
  filter_.begin(flows, run_.sampling_rules(), run_.worker());
  auto rows = filter_.select(use_, run_.worker());
  Status status = rows.ok() ? run_stages(0, std::move(*rows), sink) : Status(rows.error());
  filter_.end();
  run_.worker().eval.meter.stopped = {};
  return status;
}

Status Tail::run_stages(size_t from, Chunk rows, const Sink& sink) {
  Worker& worker = run_.worker();
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (rows.rows == 0) return {};
  if (from < plan_->operators.size())
    return plan_->operators[from]->push(std::move(rows), worker, [&](Chunk out) { return run_stages(from + 1, std::move(out), sink); });
  Batch batch;
  batch.schema = columns_;
  batch.rows = rows.rows;
  for (const OutputColumn& c : plan_->output) batch.columns.push_back(*rows.slots[c.slot]);
  return sink(batch);
}

}  // namespace sluice::query::continuous
