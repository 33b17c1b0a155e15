#include "query/engine.h"

#include <algorithm>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "grammar/print.h"
#include "grammar/tokens.h"
#include "grammar/words.h"
#include "query/bind.h"
#include "query/define.h"
#include "query/execute.h"
#include "query/explain.h"
#include "query/loss_scope.h"
#include "query/retained.h"
#include "query/show.h"
#include "query/watch_list.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query {
namespace {

namespace g = grammar;

// The marked line below the message, where there is a place.
QueryError marked(QueryError error, std::string_view text) {
  if (error.span)
    error.caret = g::caret_view(text, g::Span{static_cast<uint32_t>(error.span->offset), static_cast<uint32_t>(error.span->length),
                                              error.span->line, error.span->column});
  return error;
}

QueryError of_status(const Error& error) { return QueryError{error.code, error.message, {}, std::nullopt, {}}; }

std::variant<g::Statement, QueryError> parse(const QueryRequest& request) {
  auto parsed = g::parse(request.text);
  if (auto* statement = std::get_if<g::Statement>(&parsed)) return std::move(*statement);
  const auto& e = std::get<g::SyntaxError>(parsed);
  return marked(QueryError{ErrorCode::parse, e.message, e.hint, to_text_span(e.span), {}}, request.text);
}

std::set<ColumnId> present_columns(const store::Snapshot& snapshot) {
  std::set<ColumnId> present;
  for (const auto& batch : snapshot.open)
    for (const Field& f : *batch->schema)
      if (f.column) present.insert(*f.column);
  for (const ColumnSpec& c : flow_columns()) {
    if (present.contains(c.id)) continue;
    for (const auto& s : snapshot.segments)
      if (s->has(c.id)) {
        present.insert(c.id);
        break;
      }
  }
  return present;
}

BindOptions bind_options(const QueryRequest& request, TimestampNs now, const QueryContext* context = nullptr) {
  BindOptions options;
  options.now = now;
  options.parameters = &request.parameters;
  if (context) {
    options.lists = context->lists.get();
    options.tables = context->tables.get();
    options.geo = context->geo.get();
    options.server_tables = [context](std::string_view name) { return source_table(name, *context); };
  }
  if (request.from || request.to)
    options.narrow = TimeRange{request.from.value_or(kTimestampMin), request.to.value_or(kTimestampMax)};
  return options;
}

QueryError not_run(const g::Statement& statement) {
  std::string what = "this statement";
  if (const auto* c = statement.as<g::Command>()) what = "'" + c->verb.text + "'";
  if (const auto* c = statement.as<g::Command>(); c && !c->arguments.empty() && c->arguments[0].is_word("target"))
    return QueryError{ErrorCode::unsupported, "targets are declared in the server's configuration file, as [[target]] tables: they hold secrets, which statements would leave in histories, logs and lists of running queries",
                      "show targets lists them, and POST /v1/targets/NAME/test tries one; see docs/alerts.md", to_text_span(statement.span), {}};
  if (statement.as<g::CreateRule>()) what = "'create rule'";
  if (statement.as<g::CreateList>()) what = "'create list'";
  return QueryError{ErrorCode::unsupported, what + " is not available as a query in this version", {}, to_text_span(statement.span), {}};
}

// What was retained, when the query named no range.
TimeRange covered(const TimeRange& asked, const store::Snapshot& snapshot) {
  const auto kept = retained(snapshot);
  TimeRange out = asked;
  if (!kept) {  // nothing is retained: an empty range where none was named
    if (out.from == kTimestampMin) out.from = out.to == kTimestampMax ? 0 : out.to;
    if (out.to == kTimestampMax) out.to = out.from;
    return out;
  }
  if (out.from == kTimestampMin) out.from = std::min(kept->first, out.to);
  if (out.to == kTimestampMax) out.to = std::max(kept->last == kTimestampMax ? kept->last : kept->last + 1, out.from);
  return out;
}

// What became of numbers on the way, and what the plan and its operators said.
void append_warnings(ExecuteReport& report, bool widened, std::vector<std::string>& warnings) {
  if (widened) warnings.push_back("an integer became too large: integers were computed as floats, which keep about 15 digits");
  if (report.beyond_time) warnings.push_back("a time or a duration became too large: they go up to 292 years, and what is beyond is null");
  if (report.beyond_count)
    warnings.push_back("a count became too large: 18446744073709551615 stands where bytes or packets, scaled or added up, are more than that");
  for (auto& w : report.warnings) warnings.push_back(std::move(w));
}

QueryError too_large_behind_rows() {
  return QueryError{ErrorCode::invalid_argument, "an integer became too large after rows had been sent", "compute with floats: 1.0 * x", std::nullopt, {}};
}

// What is asked, without its time range, in words that say all that a plan is made from beside the books of QueryContext. Empty where the
// plan depends on the moment as well, on the order of rows, or on where the range ends: what names now(), a table's row (which may end), a name
// of a host, a sample, or shares of flows (`spread` cuts them at the range's ends). These are looked for anywhere in the text, so that one too many questions is left out rather than one too few.
std::string question_of(const g::Query& query, const QueryRequest& request, bool widen) {
  std::string text = widen ? "in floats" : "";
  if (request.options.all_columns) text += " all columns";
  for (const g::Stage& stage : query.stages) text += "\n| " + g::print(stage);
  for (const auto& [name, value] : request.parameters) {
    text += "\n$" + g::quote_string(name) + (value.is_list ? " list" : "");
    for (const std::string& v : value.values) text += ' ' + g::quote_string(v);
  }
  const std::string lower = lower_case(text);
  for (const char* word : {"now", "lookup", "host", "sample", "spread"})
    if (lower.find(word) != std::string::npos) return {};
  return text;
}

struct Answer {
  ExecuteReport report;
  TimeRange range;
  std::vector<std::string> plan;
};

std::optional<QueryError> run_query(const g::Query& query, const QueryRequest& request, const QueryContext& context, ResultSink& sink,
                                    QuerySummary& summary, bool timed, Answer& answer) {
  const std::set<ColumnId> present = present_columns(*context.snapshot);
  const TimestampNs now = context.clock->now();
  // The second try, if integers overflowed, computes them in floats.
  for (const bool widen : {false, true}) {
    RunState run(request, context);
    BindOptions options = bind_options(request, now, &context);
    if (!request.options.all_columns) options.present = &present;
    options.run = &run;
    options.widen = widen;
    Binder binder(options);
    auto plan = binder.bind(query);
    if (!plan) return marked(binder.error(), request.text);
    answer.report = {};
    const Status status = execute(*plan, run, sink, timed, !widen, question_of(query, request, widen), answer.report);
    summary.stats = answer.report.stats;
    summary.rows = answer.report.rows;
    summary.kept_segments = answer.report.kept_segments;
    summary.kept_rows = answer.report.kept_rows;
    if (!status.ok()) return of_status(status.error());
    if (answer.report.overflow && !widen) {
      if (!answer.report.began) continue;
      return too_large_behind_rows();
    }
    answer.range = covered(plan->scan.range, *context.snapshot);
    summary.range = answer.range;
    summary.render = plan->render;
    summary.keys = std::move(plan->keys);
    summary.warnings.clear();
    if (answer.report.unknown_sampling_rows > 0)
      summary.warnings.push_back(
          counted(answer.report.unknown_sampling_rows, "row has no known sampling rate: its bytes and packets", "rows have no known sampling rate: their bytes and packets") +
          " are as reported");
    append_warnings(answer.report, widen, summary.warnings);
    // What is missing may lie beyond what is there, so it is held against the range that was asked for.
    const TimeRange asked = plan->scan.range;
    for (const auto& d : context.snapshot->damaged)
      if (asked.meets(d.info.first, d.info.last))
        summary.warnings.push_back("segment " + std::to_string(d.info.id) + " is damaged, its rows are missing: " + d.reason);
    if (context.known_loss)
      for (auto& loss : context.known_loss(loss_question(plan->scan, asked))) summary.warnings.push_back(std::move(loss));
    return std::nullopt;
  }
  return std::nullopt;
}

// Stages over a table that is there. `timed`: the query whose range is asked of it.
std::optional<QueryError> run_stages(const Batch& table, const std::vector<g::Stage>& stages, const g::Query* timed, const QueryRequest& request,
                                     const QueryContext& context, ResultSink& sink, QuerySummary& summary) {
  const TimestampNs now = context.clock->now();
  std::set<ColumnId> present;  // for queries inside
  if (context.snapshot) present = present_columns(*context.snapshot);
  for (const bool widen : {false, true}) {  // as run_query()
    RunState run(request, context);
    BindOptions options = bind_options(request, now, &context);
    if (!request.options.all_columns && context.snapshot) options.present = &present;
    options.run = &run;
    options.widen = widen;
    Binder binder(options);
    auto plan = binder.bind_table(*table.schema, stages, timed);
    if (!plan) return marked(binder.error(), request.text);
    ExecuteReport report;
    const Status status = execute_table(*plan, table, run, sink, !widen, report);
    summary.rows = report.rows;
    summary.stats = report.stats;
    summary.stats.elapsed = context.clock->now() - run.started;
    if (!status.ok()) return of_status(status.error());
    if (report.overflow && !widen) {
      if (!report.began) continue;
      return too_large_behind_rows();
    }
    append_warnings(report, widen, summary.warnings);
    summary.render = plan->render;
    summary.keys = std::move(plan->keys);
    if (timed && plan->scan.range != TimeRange{}) summary.range = plan->scan.range;
    return std::nullopt;
  }
  return std::nullopt;
}

// What `show` shows, or why it does not.
std::variant<Batch, QueryError> shown_table(const g::Show& show, const QueryContext& context, std::string_view text) {
  auto table = system_table(show.subject.text, context);
  if (!table.ok()) {
    QueryError error = of_status(table.error());
    error.span = to_text_span(show.subject.span);
    // Tables that the server knows are asked for by name only, so these are all that there may be.
    const auto subjects = g::show_subjects();
    if (error.code == ErrorCode::not_found) error.hint = g::did_you_mean(show.subject.text, subjects);
    if (error.code == ErrorCode::not_found && error.hint.empty()) {
      error.hint = "there are";
      for (size_t i = 0; i < subjects.size(); ++i) error.hint += (i == 0 ? " " : ", ") + std::string(subjects[i]);
    }
    return marked(std::move(error), text);
  }
  if (!show.arguments.empty())
    return marked(QueryError{ErrorCode::parse, "'show " + show.subject.text + "' takes no arguments here", {}, to_text_span(show.arguments[0].span), {}}, text);
  return std::move(table).value();
}

// A table of the server's as a source: `from alerts`. nullopt: flows, or nothing known.
std::optional<Result<Batch>> table_of(const g::Query& query, const QueryContext& context) { return source_table(lower_case(query.source.name.text()), context); }

// The plan of a query over flows or over a table, bound to be looked at and not run.
std::variant<Plan, QueryError> planned(const g::Query& query, const QueryRequest& request, const QueryContext& context, BindOptions options) {
  std::set<ColumnId> present;
  if (context.snapshot) {
    present = present_columns(*context.snapshot);
    options.present = &present;
  }
  Binder binder(options);
  auto plan = binder.bind(query);
  if (!plan) return marked(binder.error(), request.text);
  return std::move(*plan);
}

}  // namespace

std::optional<QueryError> run(const QueryRequest& request, const QueryContext& context, ResultSink& sink, QuerySummary& summary) {
  auto parsed = parse(request);
  if (auto* error = std::get_if<QueryError>(&parsed)) return std::move(*error);
  const auto& statement = std::get<g::Statement>(parsed);
  if (const auto* query = statement.as<g::Query>()) {
    if (auto table = table_of(*query, context)) {
      if (!table->ok()) return of_status(table->error());
      return run_stages(**table, query->stages, query, request, context, sink, summary);
    }
    QueryContext whole = context;
    store::Snapshot sound;
    for (;;) {
      Answer answer;
      auto error = run_query(*query, request, whole, sink, summary, false, answer);
      if (!error || answer.report.lost.empty() || answer.report.began) return error;
      // A file failed below the query, and nothing has been said yet: once more without it. Each round has one segment less.
      store::Snapshot fewer;
      fewer.open = whole.snapshot->open;
      fewer.damaged = whole.snapshot->damaged;
      for (const auto& segment : whole.snapshot->segments) {
        const auto& lost = answer.report.lost;
        const auto found = std::find_if(lost.begin(), lost.end(), [&](const auto& l) { return l.info.id == segment->info().id; });
        if (found == lost.end())
          fewer.segments.push_back(segment);
        else
          fewer.damaged.push_back(*found);
      }
      sound = std::move(fewer);
      whole.snapshot = &sound;
    }
  }
  if (const auto* show = statement.as<g::Show>()) {
    auto table = shown_table(*show, context, request.text);
    if (auto* error = std::get_if<QueryError>(&table)) return std::move(*error);
    return run_stages(std::get<Batch>(table), show->stages, nullptr, request, context, sink, summary);
  }
  if (const auto* explained = statement.as<g::Explain>()) {
    if (!explained->analyze) {
      auto plan = planned(explained->query, request, context, bind_options(request, context.clock->now(), &context));
      if (auto* error = std::get_if<QueryError>(&plan)) return std::move(*error);
      return send_plan(std::get<Plan>(plan), sink, summary);
    }
    if (table_of(explained->query, context))
      return marked(QueryError{ErrorCode::unsupported, "'explain analyze' measures queries over flows, and '" + explained->query.source.name.text() + "' is a table of the server's",
                               "explain without analyze shows the plan", to_text_span(explained->query.source.name.span), {}},
                    request.text);
    NullSink nowhere;
    Answer answer;
    if (auto error = run_query(explained->query, request, context, nowhere, summary, true, answer)) return error;
    return send_report(answer.report, sink, summary);
  }
  if (is_definition(statement)) {
    auto error = run_definition(statement, request, context, sink, summary);
    return error ? std::optional(marked(std::move(*error), request.text)) : std::nullopt;
  }
  if (context.statements) {
    if (auto done = context.statements(statement, request.text)) {
      if (auto* error = std::get_if<QueryError>(&*done)) return std::move(*error);
      const Batch& answer = std::get<Batch>(*done);
      if (const Status sent = sink.begin(*answer.schema); !sent.ok()) return of_status(sent.error());
      if (answer.rows > 0)
        if (const Status sent = sink.batch(answer); !sent.ok()) return of_status(sent.error());
      summary.rows = answer.rows;
      return std::nullopt;
    }
  }
  return marked(not_run(statement), request.text);
}

std::optional<QueryError> explain(const QueryRequest& request, const QueryContext& context, std::string& plan_text) {
  auto parsed = parse(request);
  if (auto* error = std::get_if<QueryError>(&parsed)) return std::move(*error);
  const auto& statement = std::get<g::Statement>(parsed);
  const g::Query* query = statement.as<g::Query>();
  if (const auto* e = statement.as<g::Explain>()) query = &e->query;
  if (const auto* show = statement.as<g::Show>()) {
    plan_text = "show " + show->subject.text + "\n";
    for (const auto& s : show->stages) plan_text += g::print(s) + "\n";
    return std::nullopt;
  }
  if (!query) return marked(not_run(statement), request.text);
  auto plan = planned(*query, request, context, bind_options(request, context.clock ? context.clock->now() : 0, &context));
  if (auto* error = std::get_if<QueryError>(&plan)) return std::move(*error);
  plan_text.clear();
  for (const std::string& line : plan_lines(std::get<Plan>(plan))) plan_text += line + "\n";
  return std::nullopt;
}

std::vector<QueryError> validate(const QueryRequest& request, const QueryContext* context) {
  auto parsed = parse(request);
  if (auto* error = std::get_if<QueryError>(&parsed)) return {std::move(*error)};
  const auto& statement = std::get<g::Statement>(parsed);
  // Any moment will do for `last 15m`; a day after the epoch keeps ranges from being empty.
  BindOptions options = bind_options(request, 4'000'000'000 * kSecond, context);
  options.any_list = context == nullptr;
  if (const auto* show = statement.as<g::Show>()) {
    // Without the server's own tables only the language's are known.
    if (!context && show->subject.text != "columns") return {};
    const QueryContext nothing;
    auto table = shown_table(*show, context ? *context : nothing, request.text);
    if (auto* error = std::get_if<QueryError>(&table)) return {std::move(*error)};
    Binder binder(options);
    if (!binder.bind_table(*std::get<Batch>(table).schema, show->stages)) return {marked(binder.error(), request.text)};
    return {};
  }
  const g::Query* query = statement.as<g::Query>();
  if (const auto* e = statement.as<g::Explain>()) query = &e->query;
  if (const auto* rule = statement.as<g::CreateRule>()) {
    query = &rule->query;
    // With `every` it is asked again and again, as any query; without, it runs on a stream.
    options.continuous = std::none_of(rule->options.begin(), rule->options.end(), [](const g::RuleOption& o) { return o.key.text == "every"; });
    options.narrow = TimeRange{3'999'996'400 * kSecond, 4'000'000'000 * kSecond};
  }
  if (!query) return {};
  Binder binder(options);
  if (!binder.bind(*query)) return {marked(binder.error(), request.text)};
  return {};
}

std::vector<std::string> unused_parameters(const QueryRequest& request) {
  if (request.parameters.empty()) return {};
  const g::Tokens tokens = g::tokenize(request.text);
  if (tokens.error) return {};
  std::vector<std::string> unused;
  for (const auto& given : request.parameters) {
    const bool used = std::any_of(tokens.values.begin(), tokens.values.end(), [&](const g::Expr::Node& node) {
      const auto* parameter = std::get_if<g::Parameter>(&node);
      return parameter && parameter->name == given.first;
    });
    if (!used) unused.push_back(given.first);
  }
  return unused;
}

}  // namespace sluice::query
