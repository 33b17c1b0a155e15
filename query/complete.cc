// Completion: what may stand at the cursor, from the words before it. It works on text that does not parse yet, so it
// looks at words, not at a tree.
#include <algorithm>

#include "grammar/words.h"
#include "query/aggregate.h"
#include "query/context_table.h"
#include "query/engine.h"
#include "query/function.h"
#include "query/stage.h"
#include "query/watch_list.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query {
namespace {

constexpr size_t kItemsMax = 200;

bool in_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '@' || c == '$';
}

// The words and signs of the stage that the cursor is in, without the word being typed.
std::vector<std::string> tokens_before(std::string_view text, bool& stage_start) {
  std::vector<std::string> tokens;
  char quote = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (quote) {
      if (c == '\\') ++i;
      if (c == quote) quote = 0;
      ++i;
    } else if (c == '"' || c == '\'') {
      quote = c;
      tokens.push_back("''");
      ++i;
    } else if (c == '|' && !(i + 1 < text.size() && text[i + 1] == '|')) {
      tokens.clear();
      stage_start = true;
      ++i;
    } else if (in_word(c)) {
      size_t end = i;
      while (end < text.size() && in_word(text[end])) ++end;
      tokens.push_back(lower_case(text.substr(i, end - i)));
      i = end;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++i;
    } else {
      size_t end = i + 1;
      while (end < text.size() && std::string_view("=!<>~&|").find(text[end]) != std::string_view::npos &&
             std::string_view("=!<>~&|").find(c) != std::string_view::npos)
        ++end;
      tokens.emplace_back(text.substr(i, end - i));
      i = end;
    }
  }
  return tokens;
}

class Collector {
 public:
  Collector(CompletionList& list, std::string_view prefix) : list_(list), prefix_(lower_case(prefix)) {}
  void add(std::string_view text, std::string_view kind, std::string_view detail) {
    if (list_.items.size() >= kItemsMax || !lower_case(text).starts_with(prefix_)) return;
    for (const Completion& c : list_.items)
      if (c.text == text) return;
    list_.items.push_back({std::string(text), std::string(kind), std::string(detail)});
  }

 private:
  CompletionList& list_;
  std::string prefix_;
};

void add_columns(Collector& out) {
  for (const ColumnSpec& c : flow_columns()) out.add(c.name, "column", c.doc);
  for (const DerivedSpec& d : derived_columns()) out.add(d.name, "column", d.doc);
  for (const EitherSpec& e : either_columns())
    out.add(e.name, "column", std::string(column_spec(e.src).name) + " or " + std::string(column_spec(e.dst).name));
  for (const ColumnSpec& c : flow_columns()) {
    std::string_view words = c.aliases;
    while (!words.empty()) {
      const size_t space = words.find(' ');
      out.add(words.substr(0, space), "column", "short for " + std::string(c.name));
      if (space == std::string_view::npos) break;
      words.remove_prefix(space + 1);
    }
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

bool is_operator(const std::string& token) {
  constexpr std::string_view kOperators[] = {"==", "=", "!=", "<", "<=", ">", ">=", "has", "in", "contains", "starts_with", "ends_with", "matches", "=~"};
  return std::find(std::begin(kOperators), std::end(kOperators), token) != std::end(kOperators);
}

}  // namespace

CompletionList complete(std::string_view text, size_t cursor, const QueryContext& context) {
  CompletionList list;
  cursor = std::min(cursor, text.size());
  size_t start = cursor;
  while (start > 0 && in_word(text[start - 1])) --start;
  size_t end = cursor;
  while (end < text.size() && in_word(text[end])) ++end;
  list.replace_offset = start;
  list.replace_length = end - start;
  Collector out(list, text.substr(start, cursor - start));

  bool piped = false;
  std::vector<std::string> before = tokens_before(text.substr(0, start), piped);
  const std::string last = before.empty() ? "" : before.back();

  // The column that a value is compared with: `proto == `, `dst_port in (22, `.
  std::string column;
  if (is_operator(last) && before.size() >= 2) {
    column = before[before.size() - 2] == "not" && before.size() >= 3 ? before[before.size() - 3] : before[before.size() - 2];
  } else if (last == "(" || last == ",") {
    for (size_t i = before.size(); i-- > 0 && before[i] != ")";)
      if (before[i] == "(" && i >= 2 && before[i - 1] == "in") {
        column = before[i - 2] == "not" && i >= 3 ? before[i - 3] : before[i - 2];
        break;
      }
  }
  const bool of_list = start < text.size() && text[start] == '@';
  if ((last == "in" || of_list) && context.lists)
    for (const auto& [name, watch_list] : context.lists->lists())
      out.add("@" + watch_list->name, "value", "a list of " + counted(watch_list->items.size(), "item"));
  if (of_list || (!column.empty() && add_values(out, column))) return list;

  auto stages = [&] {
    for (auto s : grammar::stage_names()) {
      const StageSpec* spec = find_stage(s);
      for (const PlainStage& plain : plain_stages())
        if (plain.name == s) out.add(s, "stage", std::string(plain.signature) + ": " + std::string(plain.doc));
      if (spec) out.add(s, "stage", std::string(spec->signature) + ": " + std::string(spec->doc));
    }
  };
  if (before.empty()) {
    if (piped) {
      stages();
    } else {
      for (std::string_view k : {"from flows", "show", "explain", "where"}) out.add(k, "keyword", "");
      stages();
    }
    add_columns(out);
    add_functions(out);
    return list;
  }
  if (last == "show") {
    for (auto s : grammar::show_subjects()) out.add(s, "keyword", "");
    return list;
  }
  if (last == "from") {
    out.add("flows", "keyword", "all flows");
    return list;
  }
  if (last == "render") {
    for (std::string_view k : render_kinds()) out.add(k, "value", "");
    return list;
  }
  if (const StageSpec* spec = find_stage(before[0])) {
    for (std::string_view word : spec->words)
      if (std::find(before.begin(), before.end(), word) == before.end() || word == "then" || word == "min") out.add(word, "keyword", spec->signature);
    if (before[0] == "baseline") add_aggregates(out);
    if (last == "lookup" && context.tables)
      for (const auto& [name, table] : context.tables->tables()) out.add(table->name(), "value", counted(table->rows(), "row") + ", by " + table->key_name());
  }
  const bool grouping = before[0] == "stats" || before[0] == "top" || before[0] == "timeseries";
  const bool keys = std::find(before.begin(), before.end(), "by") != before.end();
  if (grouping && (before[0] == "top" ? keys : !keys)) add_aggregates(out);
  add_columns(out);
  add_functions(out);
  if (!is_operator(last) && last != "(" && last != ",") {
    for (std::string_view k : {"and", "or", "not", "in", "has", "contains", "starts_with", "ends_with", "matches", "between", "is null"}) out.add(k, "keyword", "");
    for (std::string_view k : {"last", "since", "between", "at"})
      if (!piped) out.add(k, "keyword", "time range");
    if (grouping) out.add("by", "keyword", "");
    if (before[0] == "timeseries")
      for (std::string_view k : {"every", "limit", "fill", "spread"}) out.add(k, "keyword", "");
    if (before[0] == "top") out.add("with others", "keyword", "");
    if (before[0] == "sort")
      for (std::string_view k : {"desc", "asc"}) out.add(k, "keyword", "");
  }
  return list;
}

}  // namespace sluice::query
