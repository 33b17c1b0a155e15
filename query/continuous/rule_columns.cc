// What the columns of a rule's rows are to it: keys, parts of the message, labels; and whether they can only rise.
#include <algorithm>

#include "grammar/print.h"
#include "query/bind.h"
#include "query/continuous/rule_compiler.h"
#include "query/continuous/rule_options.h"
#include "query/continuous/rule_trend.h"
#include "query/words.h"

namespace sluice::query::continuous {

namespace g = grammar;

// Whether the stages by which an alert's flows are found make a column of that name.
bool RuleCompiler::extends_flows(std::string_view name) const {
  for (const g::Stage& stage : rule_->flow_stages)
    if (const auto* extend = stage.as<g::ExtendStage>())
      for (const g::NamedExpr& column : extend->columns)
        if (column.name && column.name->text() == name) return true;
  return false;
}

std::optional<size_t> RuleCompiler::output_at(std::string_view name) const {
  const auto& output = rule_->plan.output;
  for (size_t i = 0; i < output.size(); ++i)
    if (equal_ignoring_case(output[i].name, name)) return i;
  return std::nullopt;
}

std::string RuleCompiler::outputs() const {
  std::string out;
  for (const auto& o : rule_->plan.output) out += (out.empty() ? "" : ", ") + o.name;
  return "the rule's rows have " + out;
}

bool RuleCompiler::resolve_keys() {
  const g::StatsStage* stats = stats_at_ ? query_.stages[*stats_at_].as<g::StatsStage>() : nullptr;
  for (size_t i = 0; i < statement_.alert_by.size(); ++i) {
    const g::NamedExpr& key = statement_.alert_by[i];
    std::optional<size_t> at;
    if (rule_->is_per_record) {
      at = i;  // the keys of its grouping, in the same order
    } else {
      const auto* name = key.value->as<g::Name>();
      if (!name || key.name) return fail(key.span, "'alert by' names columns of the rule's rows", outputs());
      at = output_at(name->text());
      if (!at) return fail(key.span, "the rule's rows have no column '" + name->text() + "' to alert by", outputs());
    }
    if (std::find(rule_->alert_keys.begin(), rule_->alert_keys.end(), *at) != rule_->alert_keys.end())
      return fail(key.span, "the rule alerts by this column already");
    rule_->alert_keys.push_back(*at);
    const size_t slot = rule_->plan.output[*at].slot;
    if (stats && slot < stats->keys.size())
      rule_->key_expressions.push_back(with_values(stats->keys[slot].value, values_));
    else if (!stats && (find_column(rule_->plan.output[*at].name) || extends_flows(rule_->plan.output[*at].name)))
      rule_->key_expressions.push_back(g::ExprPtr(g::Expr{g::Name{{rule_->plan.output[*at].name}, false, key.span}, key.span}));
    else
      rule_->key_expressions.push_back(std::nullopt);
  }
  return true;
}

bool RuleCompiler::resolve_message() {
  for (auto& [text, name] : message_parts_) {
    const auto at = output_at(name);
    if (!at) return fail(message_span_, "the message names '" + name + "', and the rule's rows have no such column", outputs());
    rule_->message.push_back({std::move(text), at});
  }
  if (!message_rest_.empty()) rule_->message.push_back({std::move(message_rest_), std::nullopt});
  return true;
}

bool RuleCompiler::resolve_labels() {
  if (label_texts_.size() > limits::kRuleLabelsMax) return fail(labels_span_, "a rule puts at most " + std::to_string(limits::kRuleLabelsMax) + " labels");
  for (const std::string& text : label_texts_) {
    auto label = read_label(text);
    if (!label.ok()) return fail(labels_span_, label.error().message);
    const auto at = output_at(label->column);
    if (!at) return fail(labels_span_, "the rule's rows have no column '" + label->column + "' to label", outputs());
    const OutputColumn& column = rule_->plan.output[*at];
    switch (column.type.logical) {
      case LogicalType::ip:
      case LogicalType::uint:
      case LogicalType::port:
      case LogicalType::string: break;
      default: return fail(labels_span_, "what '" + column.name + "' has can't be in a list", "lists hold addresses, numbers and words");
    }
    // It would find what it labelled, label what that spoke with, and so on.
    if (std::find(rule_->lists.begin(), rule_->lists.end(), lower_case(label->list)) != rule_->lists.end())
      return fail(labels_span_, "a rule can't label into the list '" + label->list + "', which it reads");
    label->column = column.name;
    rule_->labels.push_back(std::move(*label));
  }
  return true;
}

void RuleCompiler::find_trend() {
  Trends trends;
  const auto name_of = [](const g::NamedExpr& e) {
    if (e.name) return e.name->text();
    if (const auto* n = e.value->as<g::Name>()) return n->text();
    if (const auto* c = e.value->as<g::Call>()) return Binder::default_name(*c);
    return g::print(*e.value);
  };
  bool known = true;
  const size_t at = sequence_at_ ? *sequence_at_ : *stats_at_;
  // What is found stays found, but when it began and ended may change with a flow that comes late.
  if (sequence_at_)
    for (const auto& k : rule_->sequence->keys) trends.set(k.name, Trend::steady);
  if (sequence_at_)
    for (const char* name : {"began", "ended", "took"}) trends.set(name, Trend::unknown);
  for (size_t i = sequence_at_ ? at + 1 : 0; i < query_.stages.size() && known; ++i) {
    const g::Stage& stage = query_.stages[i];
    if (i < at) {
      if (const auto* e = stage.as<g::ExtendStage>())
        for (const auto& c : e->columns) trends.note_changed_column(name_of(c));
      if (const auto* s = stage.as<g::SelectStage>())
        for (const auto& c : s->columns)
          if (c.name) trends.note_changed_column(name_of(c));
      if (const auto* r = stage.as<g::RenameStage>())
        for (const auto& c : r->columns) trends.note_changed_column(c.to.text());
    } else if (const auto* s = stage.as<g::StatsStage>()) {
      for (const auto& k : s->keys) trends.set(name_of(k), Trend::steady);
      if (rule_->session) trends.set("session", Trend::falling);  // a late flow may have begun it earlier
      for (const auto& a : s->aggregates) trends.set(name_of(a), trends.value(*a.value));
    } else if (const auto* w = stage.as<g::WhereStage>()) {
      known = trends.condition(*w->predicate) != Trend::unknown;
    } else if (const auto* e = stage.as<g::ExtendStage>()) {
      for (const auto& c : e->columns) trends.set(name_of(c), trends.value(*c.value));
    } else if (const auto* r = stage.as<g::RenameStage>()) {
      for (const auto& c : r->columns) trends.set(c.to.text(), trends.of_name(c.from.text()));
    } else if (const auto* sel = stage.as<g::SelectStage>()) {
      for (const auto& c : sel->columns) trends.set(name_of(c), trends.value(*c.value));
    }
  }
  rule_->is_rising = known;
}

}  // namespace sluice::query::continuous
