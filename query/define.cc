#include "query/define.h"

#include "grammar/print.h"
#include "grammar/stage_args.h"
#include "query/bind.h"

namespace sluice::query {
namespace {

namespace g = grammar;

QueryError failure(const g::Span& span, ErrorCode code, std::string message, std::string hint = {}) {
  return QueryError{code, std::move(message), std::move(hint), to_text_span(span), {}};
}
QueryError failure(const g::Span& span, const Error& error) { return failure(span, error.code, error.message); }

// `drop list NAME`; nullopt: another command.
std::optional<g::Name> dropped_list(const g::Command& command) {
  if (command.verb.text != "drop" || command.over) return std::nullopt;
  g::StageArgs args(command.arguments, command.verb);
  if (!args.word("list")) return std::nullopt;
  auto name = args.name();
  return name && args.done() ? name : std::nullopt;
}

// Items as text, as make_watch_list() reads them.
std::optional<QueryError> add_item(const g::Expr& item, const QueryRequest& request, std::vector<std::string>& out) {
  if (const auto* text = item.as<g::StringLiteral>()) {
    out.push_back(text->value);
  } else if (const auto* name = item.as<g::Name>()) {
    out.push_back(name->text());
  } else if (const auto* parameter = item.as<g::Parameter>()) {
    const auto it = request.parameters.find(parameter->name);
    if (it == request.parameters.end()) return failure(item.span, ErrorCode::parse, "no value was given for the parameter '$" + parameter->name + "'");
    out.insert(out.end(), it->second.values.begin(), it->second.values.end());
  } else if (const auto* number = item.as<g::IntegerLiteral>()) {
    // Account numbers keep their leading zeros.
    out.push_back(number->spelling.text.empty() ? std::to_string(number->value) : number->spelling.text);
  } else if (item.as<g::AddressLiteral>() || item.as<g::CidrLiteral>() || item.as<g::AddressRangeLiteral>() || item.as<g::IntegerRangeLiteral>() ||
             item.as<g::MacLiteral>()) {
    out.push_back(g::print(item));
  } else {
    return failure(item.span, ErrorCode::parse, "a list holds addresses, blocks, ranges, numbers and words", "put text in quotes");
  }
  return std::nullopt;
}

// The answer of a definition: one row that says what is now.
std::optional<QueryError> answer(ResultSink& sink, QuerySummary& summary, const std::string& what, const std::string& name, std::optional<uint64_t> items,
                                 std::optional<uint64_t> version) {
  auto schema = std::make_shared<Schema>(Schema{Field{"done", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt},
                                                Field{"name", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt},
                                                Field{"items", LogicalType::uint, PhysicalType::U64, nullptr, {}, std::nullopt},
                                                Field{"version", LogicalType::uint, PhysicalType::U64, nullptr, {}, std::nullopt}});
  Batch batch;
  batch.schema = schema;
  batch.rows = 1;
  Column done(PhysicalType::Str), named(PhysicalType::Str), count(PhysicalType::U64), number(PhysicalType::U64);
  done.append_string(what);
  named.append_string(name);
  items ? count.append(*items) : count.append_null();
  version ? number.append(*version) : number.append_null();
  for (Column* c : {&done, &named, &count, &number}) batch.columns.push_back(std::move(*c));
  Status status = sink.begin(*schema);
  if (status.ok()) status = sink.batch(batch);
  if (!status.ok()) return QueryError{status.error().code, status.error().message, {}, std::nullopt, {}};
  summary.rows = 1;
  return std::nullopt;
}

}  // namespace

bool is_definition(const g::Statement& statement) {
  if (statement.as<g::CreateList>()) return true;
  const auto* command = statement.as<g::Command>();
  return command && dropped_list(*command);
}

std::variant<WatchList, QueryError> list_of(const g::CreateList& statement, const QueryRequest& request) {
  std::vector<std::string> items;
  for (const auto& item : statement.items)
    if (auto error = add_item(*item, request, items)) return std::move(*error);
  auto list = make_watch_list(statement.name.text(), std::move(items));
  if (!list.ok()) return failure(statement.name.span, list.error());
  return std::move(list).value();
}

std::optional<QueryError> run_definition(const g::Statement& statement, const QueryRequest& request, const QueryContext& context, ResultSink& sink,
                                         QuerySummary& summary) {
  if (!context.list_writer) return failure(statement.span, ErrorCode::unsupported, "lists are not kept here");
  if (!context.may_define) return failure(statement.span, ErrorCode::forbidden, "lists are changed by tokens of the role admin, with POST");
  if (const auto* create = statement.as<g::CreateList>()) {
    auto made = list_of(*create, request);
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    WatchList& list = std::get<WatchList>(made);
    const uint64_t count = list.items.size();
    const auto version = context.list_writer->put_list(std::move(list), create->replace);
    if (!version.ok())
      return failure(create->name.span, version.error().code, version.error().message,
                     version.error().code == ErrorCode::conflict ? "create or replace list puts another in its place" : "");
    return answer(sink, summary, "list created", create->name.text(), count, *version);
  }
  const auto name = *dropped_list(*statement.as<g::Command>());
  const Status dropped = context.list_writer->drop_list(name.text());
  if (!dropped.ok()) return failure(name.span, dropped.error());
  return answer(sink, summary, "list dropped", name.text(), std::nullopt, std::nullopt);
}

}  // namespace sluice::query
