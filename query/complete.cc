// Completion: what may stand at the cursor. The grammar says what kinds fit (grammar/complete.h), from words alone, so that it works on
// text that does not parse yet; here are the columns, functions and names that there are of each kind.
#include <algorithm>
#include <set>

#include "grammar/complete.h"
#include "grammar/parse.h"
#include "grammar/print.h"
#include "grammar/tokens.h"
#include "grammar/words.h"
#include "query/aggregate.h"
#include "query/bind.h"
#include "query/complete_stored.h"
#include "query/context_table.h"
#include "query/engine.h"
#include "query/function.h"
#include "query/limits.h"
#include "query/show.h"
#include "query/stage.h"
#include "query/watch_list.h"
#include "query/words.h"
#include "storage/model/counted.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

namespace g = grammar;
using g::TokenKind;

constexpr size_t kItemsMax = 200;

class Collector {
 public:
  Collector(CompletionList& list, std::string_view prefix) : list_(list), prefix_(lower_case(prefix)) {}
  void add(std::string_view text, std::string_view kind, std::string_view detail) {
    if (lower_case(text).starts_with(prefix_)) add_fitting(text, kind, detail);
  }
  // Of what fits whatever is typed: a text may be begun without its quotes.
  void add_fitting(std::string_view text, std::string_view kind, std::string_view detail) {
    if (list_.items.size() >= kItemsMax || !seen_.insert(std::string(text)).second) return;
    list_.items.push_back({std::string(text), std::string(kind), std::string(detail)});
  }
  // A list, in quotes where its name wants them; it may be begun without.
  void add_list(const std::string& name, std::string_view detail) {
    if (lower_case("@" + name).starts_with(prefix_)) add_fitting(g::print(g::Expr{g::ListReference{name}, {}}), "value", detail);
  }
  bool is_dotted() const { return prefix_.find('.') != std::string::npos; }
  bool empty() const { return list_.items.empty(); }

 private:
  CompletionList& list_;
  std::string prefix_;
  std::set<std::string> seen_;
};

template <typename F>
void each_word(std::string_view words, F fn) {
  while (!words.empty()) {
    const size_t space = words.find(' ');
    fn(words.substr(0, space));
    words.remove_prefix(space == std::string_view::npos ? words.size() : space + 1);
  }
}

void add_flow_columns(Collector& out) {
  for (const ColumnSpec& c : flow_columns()) out.add(c.name, "column", c.doc);
  for (const DerivedSpec& d : derived_columns()) out.add(d.name, "column", d.doc);
  for (const EitherSpec& e : either_columns())
    out.add(e.name, "column", std::string(column_spec(e.src).name) + " or " + std::string(column_spec(e.dst).name));
}

// Other names of the same columns: short ones, and `source.ip` and its like once somebody types such a name.
void add_aliases(Collector& out) {
  const auto add = [&](const auto& c, std::string_view words) {
    each_word(words, [&](std::string_view name) {
      if (out.is_dotted() || name.find('.') == std::string_view::npos) out.add(name, "column", "is " + std::string(c.name) + ": " + std::string(c.doc));
    });
  };
  for (const ColumnSpec& c : flow_columns()) {
    add(c, c.aliases);
    if (out.is_dotted()) add(c, c.ecs), add(c, c.ocsf);
  }
  for (const DerivedSpec& d : derived_columns()) {
    add(d, d.aliases);
    if (out.is_dotted()) add(d, d.ecs), add(d, d.ocsf);
  }
}

// `extra.NAME` of what the newest rows have.
void add_extra_keys(Collector& out, const QueryContext& context) {
  if (!context.snapshot) return;
  const auto take = [&](const Column& extra) {
    const size_t rows = std::min<size_t>(extra.size(), limits::kCompletionExtraRowsMax);
    for (size_t r = extra.size() - rows; r < extra.size(); ++r) {
      if (extra.is_null(r)) continue;
      for (const auto& [key, value] : extra_items(extra.string_at(r))) {
        const bool plain = !key.empty() && key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos &&
                           !(key[0] >= '0' && key[0] <= '9');
        std::string quoted = "extra.\"";
        for (const char c : key) quoted += (c == '"' || c == '\\' ? "\\" : "") + std::string(1, c);
        out.add(plain ? "extra." + key : quoted + '"', "column", "what the source said and no column holds");
      }
    }
  };
  for (size_t i = context.snapshot->open.size(); i-- > 0;)
    if (const auto at = context.snapshot->open[i]->find(ColumnId::extra)) {
      take(context.snapshot->open[i]->columns[*at]);
      break;
    }
  for (size_t i = context.snapshot->segments.size(); i-- > 0;) {
    const segment::Segment& s = *context.snapshot->segments[i];
    if (!s.has(ColumnId::extra) || s.block_count() == 0) continue;
    const uint32_t block = s.block_count() - 1, rows = s.block_rows(block);
    const uint32_t from = rows - static_cast<uint32_t>(std::min<size_t>(rows, limits::kCompletionExtraRowsMax));
    // One that is damaged has nothing to propose.
    if (const auto extra = s.read(ColumnId::extra, block, from, rows, nullptr); extra.ok()) take(*extra);
    break;
  }
}

void add_functions(Collector& out) {
  for (const FunctionSpec* f : functions()) out.add(f->name, "function", std::string(f->signature) + ": " + std::string(f->doc));
  for (const BoundFunction& f : bound_functions()) out.add(f.name, "function", std::string(f.signature) + ": " + std::string(f.doc));
}

void add_aggregates(Collector& out) {
  for (const AggregateSpec* a : aggregates()) out.add(a->name, "aggregate", std::string(a->signature) + ": " + std::string(a->doc));
  out.add("rate", "aggregate", "rate(sum(x)): per second of the bin or range");
}

void add_stages(Collector& out) {
  for (const auto name : g::stage_names()) {
    for (const PlainStage& plain : plain_stages())
      if (plain.name == name) out.add(name, "stage", std::string(plain.signature) + ": " + std::string(plain.doc));
    if (const StageSpec* spec = find_stage(name)) out.add(name, "stage", std::string(spec->signature) + ": " + std::string(spec->doc));
  }
}

void add_lists(Collector& out, const QueryContext& context) {
  if (!context.lists) return;
  for (const auto& [name, list] : context.lists->lists()) out.add_list(list->name, "a list of " + counted(list->items.size(), "item"));
}

// What stands beside a column: names of protocols, services, flags, codes.
bool add_values(Collector& out, std::string_view column) {
  if (column == "icmp") {
    each_icmp_type([&](std::string_view n) { out.add(n, "value", "ICMP type"); });
    return true;
  }
  const auto name = find_column(column);
  if (!name || name->kind == ColumnName::Kind::derived) return false;
  const ColumnSpec& spec = column_spec(name->kind == ColumnName::Kind::either ? name->either->src : name->stored);
  switch (spec.type) {
    case LogicalType::protocol: each_protocol([&](std::string_view n) { out.add(n, "value", "protocol"); }); return true;
    case LogicalType::port: each_service([&](std::string_view n) { out.add(n, "value", "port " + std::to_string(service_port(n).value_or(0))); }); return true;
    case LogicalType::flags: each_flag([&](std::string_view n) { out.add(n, "value", "TCP flag"); }); return true;
    case LogicalType::enumeration:
      for (auto n : spec.enumeration->names) out.add(n, "value", spec.doc);
      return true;
    case LogicalType::boolean:
      out.add("true", "value", spec.doc);
      out.add("false", "value", spec.doc);
      return true;
    default: break;
  }
  if (spec.id == ColumnId::icmp_type) {
    each_icmp_type([&](std::string_view n) { out.add(n, "value", "ICMP type"); });
    return true;
  }
  return false;
}

// Values that flows have had of a column of texts or addresses.
void add_stored_values(Collector& out, std::string_view column, std::string_view typed, const QueryContext& context) {
  const auto name = find_column(column);
  if (!context.snapshot || !name || name->kind == ColumnName::Kind::derived) return;
  const auto add = [&](ColumnId id) {
    const bool is_text = column_spec(id).type == LogicalType::string;
    each_stored_value(*context.snapshot, id, typed, [&](std::string_view literal) {
      if (is_text)
        out.add_fitting(literal, "value", "seen in flows");
      else
        out.add(literal, "value", "seen in flows");
    });
  };
  if (name->kind == ColumnName::Kind::either) {
    add(name->either->src);
    add(name->either->dst);
  } else {
    add(name->stored);
  }
}

// The stages of the query that the cursor is in, up to the '|' before it; in its first stage only its source, empty if that is not said.
std::string_view stages_before(std::string_view text, const g::Tokens& tokens) {
  size_t end = 0, closed = 0;
  bool piped = false;
  for (size_t i = tokens.tokens.size(); i-- > 0;) {
    const g::Token& token = tokens.tokens[i];
    const size_t behind = token.span.offset + token.span.length;
    switch (token.kind) {
      case TokenKind::kRightParen:
      case TokenKind::kRightBracket: ++closed; break;
      case TokenKind::kLeftParen:
      case TokenKind::kListParen:
      case TokenKind::kLeftBracket:
        if (closed > 0) --closed;
        break;
      case TokenKind::kSubquery:
        if (closed == 0) return piped ? text.substr(behind, end - behind) : std::string_view();
        --closed;
        break;
      case TokenKind::kPipe:
        if (closed == 0 && !piped) {
          piped = true;
          end = token.span.offset;
        }
        break;
      case TokenKind::kFrom:
        if (closed == 0 && !piped && i + 2 < tokens.tokens.size()) {
          const g::Span& name = tokens.tokens[i + 1].span;
          return text.substr(token.span.offset, name.offset + name.length - token.span.offset);
        }
        break;
      case TokenKind::kSemicolon:
      case TokenKind::kExplain:
      case TokenKind::kAnalyze: return piped ? text.substr(behind, end - behind) : std::string_view();
      case TokenKind::kAs:  // of a rule; others have no query behind them
        if (closed == 0 && piped && tokens.tokens[0].kind == TokenKind::kCreate) {
          const std::string_view query = text.substr(behind, end - behind);
          if (std::holds_alternative<g::Statement>(g::parse(query))) return query;
        }
        break;
      default: break;
    }
  }
  return piped ? text.substr(0, end) : std::string_view();
}

struct Scope {
  std::vector<std::string> names;  // columns that the stages before made
  bool flows = true;               // any column of flows can be named
};

// The columns in scope behind some stages. What cannot be read or bound leaves all columns of flows.
Scope scope_behind(std::string_view stages, const QueryContext& context) {
  if (stages.empty() || stages.size() > limits::kCompletionBoundBytesMax) return {};
  auto parsed = g::parse(stages);
  const auto* statement = std::get_if<g::Statement>(&parsed);
  if (!statement) return {};
  BindOptions options;
  options.now = context.clock ? context.clock->now() : 0;
  options.lists = context.lists.get();
  options.tables = context.tables.get();
  options.geo = context.geo.get();
  options.any_list = true;
  options.server_tables = [&context](std::string_view name) { return source_table(name, context); };
  const auto* asked = statement->as<g::Query>();
  options.continuous = asked && std::any_of(asked->stages.begin(), asked->stages.end(), [](const g::Stage& stage) {
    const auto* stats = stage.as<g::StatsStage>();
    return stats && stats->window;  // of a rule
  });
  Binder binder(options);
  if (const auto* show = statement->as<g::Show>()) {
    const auto table = system_table(show->subject.text, context);
    if (!table.ok()) return {};
    binder.bind_table(*table->schema, show->stages);
  } else if (const auto* query = statement->as<g::Query>()) {
    binder.bind(*query);
  } else {
    return {};
  }
  return {binder.visible_names(), binder.any_flow_column()};
}

// Tables that `from` takes beside flows.
void add_sources(Collector& out) {
  out.add("flows", "keyword", "all flows");
  for (const auto subject : g::show_subjects()) out.add(subject, "keyword", "a table of the server's");
}

std::string_view detail_of(std::string_view keyword) {
  constexpr std::string_view kTimes[] = {"last", "since", "between", "at", "active between"};
  return std::find(std::begin(kTimes), std::end(kTimes), keyword) == std::end(kTimes) ? "" : "time range";
}

}  // namespace

CompletionList complete(std::string_view text, size_t cursor, const QueryContext& context) {
  const g::Completion asked = g::complete(text, cursor);
  CompletionList list;
  list.replace_offset = asked.replace.offset;
  list.replace_length = asked.replace.length;
  Collector out(list, asked.prefix);
  const std::string_view before = text.substr(0, asked.replace.offset);
  const g::Tokens tokens = g::tokenize(before);

  const auto wants = [&](g::Suggest kind) {
    return std::any_of(asked.suggestions.begin(), asked.suggestions.end(), [&](const g::Suggestion& s) { return s.kind == kind; });
  };
  // Where a column has names for its values, nothing else is meant.
  for (const auto& s : asked.suggestions)
    if (s.kind == g::Suggest::kValue && add_values(out, lower_case(s.text)) && !out.empty()) {
      if (wants(g::Suggest::kList)) add_lists(out, context);
      return list;
    }

  // A column of texts may be compared with others as well.
  for (const auto& s : asked.suggestions)
    if (s.kind == g::Suggest::kValue) add_stored_values(out, lower_case(s.text), asked.prefix, context);

  const auto keywords = [&] {
    for (const auto& s : asked.suggestions)
      if (s.kind == g::Suggest::kKeyword) out.add(s.text == "from" && tokens.position != g::Position::kOperand ? "from flows" : s.text, "keyword", detail_of(s.text));
    // Words of a stage that is in a file of its own.
    if (tokens.position == g::Position::kOperand || tokens.position == g::Position::kOperator)
      if (const StageSpec* spec = find_stage(tokens.stage))
        for (const std::string_view word : spec->words) out.add(word, "keyword", spec->signature);
  };
  const bool operand = tokens.position == g::Position::kOperand;
  for (const auto& s : asked.suggestions) switch (s.kind) {
      case g::Suggest::kAggregate: add_aggregates(out); break;
      case g::Suggest::kList: add_lists(out, context); break;
      case g::Suggest::kSource: add_sources(out); break;
      case g::Suggest::kTable:
        if (context.tables)
          for (const auto& [name, table] : context.tables->tables()) out.add(table->name(), "value", counted(table->rows(), "row") + ", by " + table->key_name());
        break;
      case g::Suggest::kDuration:
        for (const std::string_view duration : {"5m", "15m", "1h", "6h", "1d", "7d"}) out.add(duration, "value", "duration");
        break;
      case g::Suggest::kTimestamp:
        if (context.clock) out.add(format_timestamp(context.clock->now() / kDay * kDay), "value", "today");
        out.add("now()", "value", "such as now() - 1h");
        break;
      default: break;
    }
  if (!operand) keywords();
  if (wants(g::Suggest::kStage)) add_stages(out);
  // Behind a '|' a bare condition may stand too.
  const bool columns = wants(g::Suggest::kColumn) || wants(g::Suggest::kStage);
  Scope scope;
  if (columns) {
    scope = scope_behind(stages_before(before, tokens), context);
    if (asked.prefix.starts_with("extra.") && scope.flows) add_extra_keys(out, context);
    // A flow's columns have their own sentences.
    for (const auto& name : scope.names)
      if (!scope.flows || !find_column(name)) out.add(name, "column", "");
    if (scope.flows) add_flow_columns(out);
  }
  if (operand) keywords();
  if (wants(g::Suggest::kFunction) || wants(g::Suggest::kStage)) add_functions(out);
  if (columns && scope.flows) add_aliases(out);
  return list;
}

}  // namespace sluice::query
