#include "query/define.h"

#include "grammar/print.h"
#include "grammar/stage_args.h"
#include "query/bind.h"
#include "query/context_table.h"
#include "query/watch_list.h"
#include "query/words.h"
#include "query/zones.h"

namespace sluice::query {
namespace {

namespace g = grammar;

QueryError failure(const g::Span& span, ErrorCode code, std::string message, std::string hint = {}) {
  return QueryError{code, std::move(message), std::move(hint), to_text_span(span), {}};
}
QueryError failure(const g::Span& span, const Error& error) { return failure(span, error.code, error.message); }

// `drop list NAME`, `drop table NAME`; nullopt: another command. A zone is a list.
std::optional<g::Name> dropped(const g::Command& command, std::string_view what) {
  if (command.verb.text != "drop" || command.over) return std::nullopt;
  g::StageArgs args(command.arguments, command.verb);
  const bool is_zone = what == "list" && args.word("zone");
  if (!is_zone && !args.word(what)) return std::nullopt;
  auto name = args.name();
  if (!name || !args.done()) return std::nullopt;
  if (is_zone) name->parts = {std::string(kZonePrefix) + name->text()};
  return name;
}

bool is_zone(std::string_view list) { return list.size() > kZonePrefix.size() && lower_case(list).starts_with(kZonePrefix); }

// What an answer says of a list, and what it calls it.
std::pair<std::string, std::string> told(std::string_view done, const std::string& list) {
  return is_zone(list) ? std::pair("zone " + std::string(done), list.substr(kZonePrefix.size())) : std::pair("list " + std::string(done), list);
}

// `create [or replace] table …`
bool creates_table(const g::Command& command) {
  if (command.verb.text != "create" || command.over) return false;
  g::StageArgs args(command.arguments, command.verb);
  args.words({"or", "replace"});
  return args.word("table");
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

// create [or replace] table NAME [key COLUMN] from csv TEXT
std::optional<QueryError> create_table(const g::Command& command, const QueryRequest& request, const QueryContext& context, ResultSink& sink, QuerySummary& summary) {
  g::StageArgs args(command.arguments, command.verb);
  const bool replace = args.words({"or", "replace"});
  args.word("table");
  constexpr const char* kHint = "create table NAME [key COLUMN] from csv 'COLUMN,…'";
  const auto expected = [&](std::string_view what) {
    const g::SyntaxError error = args.expected(what);
    return failure(error.span, ErrorCode::parse, error.message, kHint);
  };
  const auto name = args.name();
  if (!name) return expected("a name");
  std::optional<g::Name> key;
  if (args.word("key")) {
    key = args.name();
    if (!key) return expected("the column that is the key");
  }
  if (!args.words({"from", "csv"})) return expected(key ? "'from csv' and text" : "'key' and a column, or 'from csv' and text");
  const auto text = args.expression();
  if (!text || !args.done()) return expected("text in quotes");
  std::string csv;
  if (const auto* literal = (*text)->as<g::StringLiteral>()) {
    csv = literal->value;
  } else if (const auto* parameter = (*text)->as<g::Parameter>()) {
    const auto it = request.parameters.find(parameter->name);
    if (it == request.parameters.end() || it->second.values.size() != 1)
      return failure((*text)->span, ErrorCode::parse, "'$" + parameter->name + "' must be one text");
    csv = it->second.values[0];
  } else {
    return failure((*text)->span, ErrorCode::parse, "expected text in quotes, or a parameter", kHint);
  }
  auto table = ContextTable::read(name->text(), key ? key->text() : "", std::move(csv));
  if (!table.ok()) return failure((*text)->span, table.error());
  const uint64_t rows = table->rows();
  const auto version = context.table_writer->put_table(std::move(table).value(), replace);
  if (!version.ok())
    return failure(name->span, version.error().code, version.error().message,
                   version.error().code == ErrorCode::conflict ? "create or replace table puts another in its place" : "");
  return answer(sink, summary, "table created", name->text(), rows, *version);
}

}  // namespace

bool is_definition(const g::Statement& statement) {
  if (statement.as<g::CreateList>()) return true;
  const auto* command = statement.as<g::Command>();
  return command && (dropped(*command, "list") || dropped(*command, "table") || creates_table(*command));
}

bool means_empty(const g::CreateList& statement) { return statement.items.size() == 1 && statement.items.front()->as<g::NullLiteral>(); }

std::variant<WatchList, QueryError> list_of(const g::CreateList& statement, const QueryRequest& request) {
  std::vector<std::string> items;
  if (!means_empty(statement))
    for (const auto& item : statement.items)
      if (auto error = add_item(*item, request, items)) return std::move(*error);
  auto list = make_watch_list(statement.name.text(), std::move(items));
  if (!list.ok()) return failure(statement.name.span, list.error());
  if (is_zone(list->name) && (!list->words.empty() || !list->numbers.ranges.empty()))
    return failure(statement.name.span, ErrorCode::parse, "a zone holds addresses, blocks and ranges of addresses", "create zone dmz (192.0.2.0/24, 10.9.0.0-10.9.3.255)");
  return std::move(list).value();
}

std::optional<QueryError> run_definition(const g::Statement& statement, const QueryRequest& request, const QueryContext& context, ResultSink& sink,
                                         QuerySummary& summary) {
  const auto* command = statement.as<g::Command>();
  const bool of_table = command && (creates_table(*command) || dropped(*command, "table"));
  if (of_table ? !context.table_writer : !context.list_writer)
    return failure(statement.span, ErrorCode::unsupported, of_table ? "tables are not kept here" : "lists are not kept here");
  if (!context.may_define)
    return failure(statement.span, ErrorCode::forbidden, std::string(of_table ? "tables" : "lists") + " are changed by tokens of the role admin, with POST");
  if (command && creates_table(*command)) return create_table(*command, request, context, sink, summary);
  if (const auto* create = statement.as<g::CreateList>()) {
    auto made = list_of(*create, request);
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    WatchList& list = std::get<WatchList>(made);
    const uint64_t count = list.items.size();
    const bool may_be_empty = means_empty(*create);
    const auto version = context.list_writer->put_list(std::move(list), create->replace, may_be_empty);
    if (!version.ok()) {
      const std::string again = "create or replace " + std::string(is_zone(create->name.text()) ? "zone" : "list");
      std::string hint;
      if (version.error().code == ErrorCode::conflict)
        hint = again + " puts another in its place";
      else if (version.error().code == ErrorCode::invalid_argument && count == 0 && !may_be_empty)
        hint = again + " NAME (null) empties it all the same";
      return failure(create->name.span, version.error().code, version.error().message, std::move(hint));
    }
    const auto [done, name] = told("created", create->name.text());
    return answer(sink, summary, done, name, count, *version);
  }
  const g::Name name = *dropped(*command, of_table ? "table" : "list");
  const Status gone = of_table ? context.table_writer->drop_table(name.text()) : context.list_writer->drop_list(name.text());
  if (!gone.ok()) return failure(name.span, gone.error());
  const auto [done, shown] = of_table ? std::pair(std::string("table dropped"), name.text()) : told("dropped", name.text());
  return answer(sink, summary, done, shown, std::nullopt, std::nullopt);
}

}  // namespace sluice::query
