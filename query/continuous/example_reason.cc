#include "query/continuous/example_reason.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "grammar/parse.h"
#include "grammar/print.h"
#include "query/continuous/rule_options.h"
#include "query/continuous/value_text.h"
#include "query/words.h"
#include "storage/model/counted.h"
#include "storage/model/text_list.h"

namespace sluice::query::continuous {
namespace {

namespace g = grammar;

// Rows that are looked at to find the nearest; and conditions that a reason tells of.
constexpr uint64_t kRowsLookedAt = 5'000;
constexpr size_t kConditionsTold = 8;
// Windows of which the fullest is looked for.
constexpr int64_t kWindowsLookedAt = 100'000;
constexpr TimeRange kEver{kEarliest, kLatest};

using Stages = std::vector<g::Stage>;

g::Stage reason_stage(std::string_view name, decltype(g::Stage::node) node) { return g::Stage{g::Keyword{std::string(name), {}}, std::move(node), {}}; }
g::ExprPtr name_of(std::string_view text) { return g::ExprPtr(g::Expr{g::Name{{std::string(text)}, false, {}}, {}}); }

// `a and b and c`, one by one.
void flatten(const g::ExprPtr& expr, std::vector<g::ExprPtr>& out) {
  const auto* logical = expr->as<g::Logical>();
  if (!logical || logical->op != g::LogicalOp::kAnd) return out.push_back(expr);
  for (const auto& operand : logical->operands) flatten(operand, out);
}

// Names that stand in an expression, each once: columns, and words that may be values (`tcp`).
void names_in(const g::Expr& expr, std::vector<std::string>& out) {
  const auto in = [&](const g::ExprPtr& part) { names_in(*part, out); };
  const auto in_all = [&](const std::vector<g::ExprPtr>& parts) { std::for_each(parts.begin(), parts.end(), in); };
  std::visit(g::Overloaded{[&](const g::Name& e) {
                             const std::string text = g::print(e);
                             if (std::find(out.begin(), out.end(), text) == out.end()) out.push_back(text);
                           },
                           [&](const g::Unary& e) { in(e.operand); }, [&](const g::Arithmetic& e) { in(e.left), in(e.right); }, [&](const g::Compare& e) { in(e.left), in(e.right); },
                           [&](const g::Logical& e) { in_all(e.operands); }, [&](const g::In& e) { in(e.value), in_all(e.items); },
                           [&](const g::Between& e) { in(e.value), in(e.low), in(e.high); }, [&](const g::IsNull& e) { in(e.operand); }, [&](const g::Call& e) { in_all(e.arguments); },
                           [](const auto&) {}},
             expr.node);
}

void lists_in(const g::Expr& expr, std::vector<std::string>& out) {
  if (const auto* in = expr.as<g::In>())
    for (const auto& item : in->items)
      if (const auto* list = item->as<g::ListReference>()) out.push_back(list->name);
  if (const auto* not_ = expr.as<g::Unary>()) lists_in(*not_->operand, out);
  if (const auto* logical = expr.as<g::Logical>())
    for (const auto& operand : logical->operands) lists_in(*operand, out);
}

struct Answer final : ResultSink {
  Status begin(const Schema& schema) override {
    columns = schema;
    return {};
  }
  Status batch(const Batch& batch) override {
    for (size_t r = 0; r < batch.rows; ++r) {
      auto& row = rows.emplace_back();
      for (size_t c = 0; c < columns.size(); ++c) row.push_back(value_text(batch.columns[c], Type{columns[c].type, columns[c].physical, columns[c].enumeration, {}, {}}, r));
    }
    return {};
  }
  Schema columns;
  std::vector<std::vector<std::string>> rows;
};

std::optional<double> number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

class Inquiry {
 public:
  Inquiry(const Rule& rule, const std::vector<std::shared_ptr<const Batch>>& flows, const std::shared_ptr<const ListBook>& lists) : rule_(rule) {
    snapshot_.open = flows;
    context_.snapshot = &snapshot_;
    context_.clock = &clock_;
    context_.executor = &executor_;
    context_.lists = lists;
    for (const auto& [name, value] : rule.parameters) {
      ParameterValue& parameter = request_.parameters[name];
      for (size_t from = 0; from <= value.size();) {
        const size_t comma = std::min(value.find(',', from), value.size());
        parameter.values.push_back(value.substr(from, comma - from));
        from = comma + 1;
      }
      parameter.is_list = parameter.values.size() > 1;
    }
    request_.limits.rows_max = SIZE_MAX;
    const auto parsed = g::parse(rule.query);
    const auto* statement = std::get_if<g::Statement>(&parsed);
    if (const auto* query = statement ? statement->as<g::Query>() : nullptr) {
      query_ = *query;
      for (g::Stage& stage : query_.stages) stage = with_values(stage, request_.parameters);
    }
  }

  std::string why(std::span<const Episode> pending) {
    if (lower_case(query_.source.name.text()) != "flows") return "the rule asks '" + query_.source.name.text() + "', and an example has flows alone";
    const uint64_t total = count({}, kEver).value_or(0);
    if (total == 0) return "the example has no flow";
    // What stands first and looks at flows one by one: conditions, and columns that are made for them.
    size_t lead = 0;
    Stages made;
    std::vector<g::ExprPtr> conditions;
    for (; lead < query_.stages.size(); ++lead) {
      if (const auto* where = query_.stages[lead].as<g::WhereStage>())
        flatten(where->predicate, conditions);
      else if (query_.stages[lead].as<g::ExtendStage>())
        made.push_back(query_.stages[lead]);
      else
        break;
    }
    const Stages filter(query_.stages.begin(), query_.stages.begin() + static_cast<std::ptrdiff_t>(lead));
    const uint64_t met = count(filter, kEver).value_or(0);
    if (met == 0) return "none of " + counted(total, "flow") + " meets the filter" + refusal(made, conditions, kEver, true);
    std::string said = conditions.empty() ? counted(total, "flow") : std::to_string(met) + " of " + counted(total, "flow") + (met == 1 ? " meets" : " meet") + " the filter";
    const TimeRange range = fullest(filter);
    said += ";";
    if (range != kEver) said += " in the window that has the most of them, " + format_timestamp(range.from) + " to " + format_timestamp(range.to) + ",";
    Stages before = filter;
    uint64_t rows = range == kEver ? met : count(before, range).value_or(0);
    const char* what = "flow";
    for (size_t i = lead; i < query_.stages.size(); ++i) {
      Stages behind = before;
      behind.push_back(without_window(query_.stages[i]));
      const auto left = count(behind, range);
      if (!left) return said + " '" + g::print(query_.stages[i]) + "' could not be tried";
      const bool groups = query_.stages[i].as<g::StatsStage>() != nullptr;
      if (*left == 0) {
        const auto* where = query_.stages[i].as<g::WhereStage>();
        if (!where) return said + " '" + g::print(query_.stages[i]) + "' makes no row of " + counted(rows, what);
        std::vector<g::ExprPtr> asked;
        flatten(where->predicate, asked);
        return said + " none of " + counted(rows, what) + " meets" + refusal(before, asked, range, false);
      }
      before = std::move(behind);
      rows = *left;
      if (!query_.stages[i].as<g::WhereStage>() && !query_.stages[i].as<g::ExtendStage>()) what = groups ? "group" : "row";
    }
    said += " " + counted(rows, what) + (rows == 1 ? " matches" : " match");
    const auto longest = std::max_element(pending.begin(), pending.end(), [](const Episode& a, const Episode& b) { return a.end - a.run_start < b.end - b.run_start; });
    if (longest != pending.end())
      return said + "\n" + (longest->key.empty() ? "the rule" : longest->key) + " matched without a break from " + format_timestamp(longest->run_start) + " to " + format_timestamp(longest->end) +
             ", and 'for " + format_duration(rule_.hold) + "' asks for longer";
    if (rule_.first_seen) return said + "\nfirst_seen left out what it had seen within its look-back of " + format_duration(rule_.first_seen->lookback);
    return said + "\nbut at no moment at which the rule was looked at";
  }

 private:
  std::optional<Answer> ask(Stages stages, TimeRange range) {
    g::Query query = query_;
    query.stages = std::move(stages);
    request_.text = g::print(g::Statement{std::move(query), {}});
    request_.from = range.from;
    request_.to = range.to;
    Answer answer;
    QuerySummary summary;
    return run(request_, context_, answer, summary) ? std::nullopt : std::optional(std::move(answer));
  }
  std::optional<uint64_t> count(Stages stages, TimeRange range) {
    g::StatsStage rows;
    rows.aggregates.push_back({g::Name{{"n"}, false, {}}, g::ExprPtr(g::Expr{g::Call{g::Name{{"count"}, false, {}}, {}}, {}}), {}});
    stages.push_back(reason_stage("stats", std::move(rows)));
    const auto answer = ask(std::move(stages), range);
    if (!answer || answer->rows.size() != 1) return std::nullopt;
    return static_cast<uint64_t>(number(answer->rows[0][0]).value_or(0));
  }

  // A window by itself is the range.
  g::Stage without_window(g::Stage stage) const {
    if (auto* stats = std::get_if<g::StatsStage>(&stage.node); stats && !rule_.session) stats->window.reset();
    return stage;
  }

  // The rule's window, or the range of its answer, that has the most flows which meet the filter; the last of several. All there is: it has none.
  TimeRange fullest(Stages filter) {
    if (rule_.session || rule_.sequence) return kEver;
    filter.push_back(reason_stage("select", g::SelectStage{{g::NamedExpr{std::nullopt, name_of("ts"), {}}}}));
    const auto answer = ask(std::move(filter), kEver);
    if (!answer) return kEver;
    std::vector<TimestampNs> times;
    for (const auto& row : answer->rows)
      if (const auto t = parse_timestamp(row[0])) times.push_back(*t);
    std::sort(times.begin(), times.end());
    if (times.empty()) return kEver;
    TimestampNs at = slide_start(times.front() - rule_.window(), rule_.slide()) + rule_.slide();
    if ((times.back() - at) / rule_.slide() > kWindowsLookedAt) at = slide_start(times.back(), rule_.slide()) - kWindowsLookedAt * rule_.slide();
    TimeRange best = kEver;
    std::ptrdiff_t most = 0;
    for (; at <= times.back(); at += rule_.slide()) {
      const auto flows = std::lower_bound(times.begin(), times.end(), at + rule_.window()) - std::lower_bound(times.begin(), times.end(), at);
      if (flows >= most) most = flows, best = {at, at + rule_.window()};
    }
    return best;
  }

  // Of rows that all miss some of the conditions: how many meet each, and of the nearest which it misses, with the values.
  std::string refusal(const Stages& before, const std::vector<g::ExprPtr>& conditions, TimeRange range, bool are_flows) {
    std::string said;
    for (size_t i = 0; i < conditions.size() && i < kConditionsTold; ++i) {
      said += (i == 0 ? ": " : ", ") + g::print(*conditions[i]);
      if (conditions.size() == 1) break;
      Stages stages = before;
      stages.push_back(reason_stage("where", g::WhereStage{conditions[i]}));
      if (const auto met = count(std::move(stages), range)) said += " (" + std::to_string(*met) + (*met == 1 ? " does)" : " do)");
    }
    if (conditions.size() > kConditionsTold) said += " and " + std::to_string(conditions.size() - kConditionsTold) + " more";
    const auto nearest = nearest_row(before, conditions, range, are_flows);
    if (!nearest.empty()) said += "\n" + nearest;
    std::vector<std::string> lists;
    for (const auto& c : conditions) lists_in(*c, lists);
    for (const std::string& list : lists)
      if (const WatchList* known = context_.lists->find(list); !known || known->items.empty()) said += "\n@" + list + " is empty in this example: say what it holds with '@" + list + " = …;'";
    return said;
  }

  std::string nearest_row(const Stages& before, const std::vector<g::ExprPtr>& conditions, TimeRange range, bool are_flows) {
    // Columns that there are, of the names in each condition; a name of both sides stands for either.
    std::vector<std::string> shown;
    const auto add = [&](const std::string& name) {
      if (std::find(shown.begin(), shown.end(), name) != shown.end()) return true;
      Stages stages = before;
      stages.push_back(reason_stage("select", g::SelectStage{{g::NamedExpr{std::nullopt, name_of(name), {}}}}));
      stages.push_back(reason_stage("limit", g::LimitStage{g::ExprPtr(g::Expr{g::IntegerLiteral{1, {}}, {}})}));
      if (!ask(std::move(stages), range)) return false;
      shown.push_back(name);
      return true;
    };
    std::vector<std::vector<std::string>> of_condition(conditions.size());
    for (size_t i = 0; i < conditions.size(); ++i) {
      std::vector<std::string> names;
      names_in(*conditions[i], names);
      for (const std::string& name : names) {
        if (add(name)) {
          of_condition[i].push_back(name);
          continue;
        }
        for (const char* side : {"src_", "dst_"})
          if (add(side + name)) of_condition[i].push_back(side + name);
      }
    }
    if (!are_flows)
      for (const size_t key : rule_.alert_keys) add(rule_.plan.output[key].name);
    Stages stages = before;
    g::ExtendStage met;
    g::SelectStage picked;
    for (size_t i = 0; i < conditions.size(); ++i) {
      const std::string name = "condition_" + std::to_string(i) + "_met";
      g::Call chosen{g::Name{{"if"}, false, {}}, {conditions[i], g::ExprPtr(g::Expr{g::IntegerLiteral{1, {}}, {}}), g::ExprPtr(g::Expr{g::IntegerLiteral{0, {}}, {}})}};
      met.columns.push_back({g::Name{{name}, false, {}}, g::ExprPtr(g::Expr{std::move(chosen), {}}), {}});
      picked.columns.push_back({std::nullopt, name_of(name), {}});
    }
    for (const std::string& name : shown) picked.columns.push_back({std::nullopt, name_of(name), {}});
    stages.push_back(reason_stage("extend", std::move(met)));
    stages.push_back(reason_stage("select", std::move(picked)));
    stages.push_back(reason_stage("limit", g::LimitStage{g::ExprPtr(g::Expr{g::IntegerLiteral{kRowsLookedAt, {}}, {}})}));
    const auto answer = ask(std::move(stages), range);
    if (!answer || answer->rows.empty()) return {};
    const auto value = [&](const std::vector<std::string>& row, const std::string& name) {
      return row[conditions.size() + static_cast<size_t>(std::find(shown.begin(), shown.end(), name) - shown.begin())];
    };
    // It misses the fewest; of several the one whose number is nearest to what the first that it misses asks for.
    const auto misses = [&](const std::vector<std::string>& row) { return std::count(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(conditions.size()), "0"); };
    const auto lacks = [&](const std::vector<std::string>& row) {
      const auto first = static_cast<size_t>(std::find(row.begin(), row.end(), "0") - row.begin());
      const auto* compare = first < conditions.size() ? conditions[first]->as<g::Compare>() : nullptr;
      if (!compare || of_condition[first].empty()) return 0.0;
      const double has = number(value(row, of_condition[first].front())).value_or(0);
      if (compare->op == g::CompareOp::kGreater || compare->op == g::CompareOp::kGreaterEqual) return -has;
      return compare->op == g::CompareOp::kLess || compare->op == g::CompareOp::kLessEqual ? has : 0.0;
    };
    size_t best = 0;
    for (size_t r = 1; r < answer->rows.size(); ++r)
      if (std::pair(misses(answer->rows[r]), lacks(answer->rows[r])) < std::pair(misses(answer->rows[best]), lacks(answer->rows[best]))) best = r;
    const auto& row = answer->rows[best];
    std::string said;
    if (are_flows)
      said = "flow " + std::to_string(best + 1);
    else
      for (const size_t key : rule_.alert_keys)
        if (const std::string& name = rule_.plan.output[key].name; std::find(shown.begin(), shown.end(), name) != shown.end()) said += (said.empty() ? "" : " ") + name + "=" + value(row, name);
    if (said.empty()) said = "the nearest";
    said += ": ";
    bool more = false;
    for (size_t i = 0; i < conditions.size(); ++i) {
      if (row[i] != "0") continue;
      said += (more ? ", " : "") + g::print(*conditions[i]) + " is false";
      more = true;
      std::string values;
      for (const std::string& name : of_condition[i]) values += (values.empty() ? "" : ", ") + name + " = " + value(row, name);
      if (!values.empty()) said += " (" + values + ")";
    }
    return more ? said : std::string();
  }

  const Rule& rule_;
  g::Query query_;
  store::Snapshot snapshot_;
  ManualClock clock_{4'000'000'000 * kSecond};
  InlineExecutor executor_;
  QueryContext context_;
  QueryRequest request_;
};

}  // namespace

std::string why_silent(const Rule& rule, const std::vector<std::shared_ptr<const Batch>>& flows, const std::shared_ptr<const ListBook>& lists, std::span<const Episode> pending) {
  return Inquiry(rule, flows, lists).why(pending);
}

}  // namespace sluice::query::continuous
