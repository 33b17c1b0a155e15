// Which stages may run on a stream, and which may be asked again and again.
#include <algorithm>

#include "grammar/print.h"
#include "grammar/stage_args.h"
#include "query/continuous/rule_compiler.h"
#include "query/words.h"

namespace sluice::query::continuous {

namespace g = grammar;

namespace {

bool asks_now(const g::Expr& expr) {
  if (const auto* call = expr.as<g::Call>()) {
    if (equal_ignoring_case(call->function.text(), "now")) return true;
    return std::any_of(call->arguments.begin(), call->arguments.end(), [](const auto& a) { return asks_now(*a); });
  }
  if (const auto* u = expr.as<g::Unary>()) return asks_now(*u->operand);
  if (const auto* a = expr.as<g::Arithmetic>()) return asks_now(*a->left) || asks_now(*a->right);
  if (const auto* c = expr.as<g::Compare>()) return asks_now(*c->left) || asks_now(*c->right);
  if (const auto* l = expr.as<g::Logical>()) return std::any_of(l->operands.begin(), l->operands.end(), [](const auto& o) { return asks_now(*o); });
  if (const auto* in = expr.as<g::In>()) return asks_now(*in->value) || std::any_of(in->items.begin(), in->items.end(), [](const auto& i) { return asks_now(*i); });
  if (const auto* b = expr.as<g::Between>()) return asks_now(*b->value) || asks_now(*b->low) || asks_now(*b->high);
  if (const auto* n = expr.as<g::IsNull>()) return asks_now(*n->operand);
  return false;
}

}  // namespace

bool RuleCompiler::check_stages() {
  const g::Query& query = statement_.query;
  if (query.time) return fail(query.time->span, "a rule has no time range: it never ends", "its window says over what time it looks: stats … window 5m");
  if (rule_->is_asked) return check_asked(query);
  for (const g::Stage& stage : query.stages) {
    const bool behind = stats_at_.has_value();
    const auto refuse = [&](const std::string& why) {
      return fail(stage.name.span.length > 0 ? stage.name.span : stage.span, "a rule cannot run '" + stage.name.text + "' on a stream: " + why,
                  "with 'every 5m over 1h' before 'as' it is asked again and again", ErrorCode::unsupported);
    };
    if (const auto* w = stage.as<g::WhereStage>()) {
      if (asks_now(*w->predicate)) return fail(w->predicate->span, "now() in a rule would be the moment of its creation for ever");
    } else if (const auto* e = stage.as<g::ExtendStage>()) {
      for (const auto& c : e->columns)
        if (asks_now(*c.value)) return fail(c.span, "now() in a rule would be the moment of its creation for ever");
    } else if (stage.as<g::SelectStage>() || stage.as<g::DropStage>() || stage.as<g::RenameStage>() || stage.as<g::RenderStage>()) {
      // They stream.
    } else if (stage.name.text == "first_seen") {
      if (first_seen_at_) return refuse("it has one already");
      if (!read_first_seen(stage)) return false;
      first_seen_at_ = static_cast<size_t>(&stage - query.stages.data());
    } else if (stage.name.text == "sequence") {
      if (sequence_at_) return refuse("one sequence is what a rule waits for");
      if (behind) return refuse("groups of flows have no order");
      sequence_at_ = static_cast<size_t>(&stage - query.stages.data());
    } else if (const auto* s = stage.as<g::StatsStage>()) {
      if (sequence_at_) return refuse("what is found is told of, and not grouped; 'suppress' joins what belongs together");
      if (behind) return refuse("groups of groups would have to wait for windows of windows");
      if (!s->window)
        return fail(stage.span, "a rule's stats needs a window: without one its groups would grow for ever", "stats … by … window 5m", ErrorCode::unsupported);
      for (const auto* list : {&s->keys, &s->aggregates})
        for (const auto& c : *list)
          if (asks_now(*c.value)) return fail(c.span, "now() in a rule would be the moment of its creation for ever");
      stats_at_ = static_cast<size_t>(&stage - query.stages.data());
    } else if (stage.as<g::TopStage>() || stage.as<g::SortStage>() || stage.as<g::LimitStage>() || stage.as<g::TailStage>() || stage.as<g::SampleStage>()) {
      return refuse("it needs the whole table, and this one never ends");
    } else if (stage.as<g::DistinctStage>()) {
      return refuse("what it has seen would grow for ever; count in a window, or use 'alert by' and 'suppress'");
    } else if (stage.as<g::TimeseriesStage>()) {
      return refuse("a window does what its grid does: stats … window 5m");
    } else {
      return refuse("only where, extend, select, drop, rename and one stats with a window, or one sequence, do");
    }
  }
  return true;
}

// The stage goes out of the query: what it says is held against groups, when they are looked at.
bool RuleCompiler::read_first_seen(const g::Stage& stage) {
  g::StageArgs args(stage);
  first_seen_keys_ = args.expressions();
  const bool has_word = args.word("lookback");
  const auto lookback = args.duration();
  if (first_seen_keys_.empty() || !has_word || !lookback || !args.done()) return fail(stage.name.span, "expected keys, 'lookback' and a duration behind 'first_seen'", "first_seen src_ip, dst_port lookback 14d");
  std::optional<DurationNs> length;
  if (const auto* d = (*lookback)->as<g::DurationLiteral>()) length = d->nanoseconds;
  if (const auto* p = (*lookback)->as<g::Parameter>())
    for (const auto& [name, text] : rule_->parameters)
      if (name == p->name) length = parse_duration(text);
  if (!length || *length <= 0) return fail((*lookback)->span, "a look-back is a duration, such as 14d");
  if (*length > limits::kRuleLookbackMax) return fail((*lookback)->span, "a look-back is at most " + format_duration(limits::kRuleLookbackMax));
  rule_->first_seen = Rule::FirstSeen{{}, *length};
  if (!has_learn_) rule_->learn = *length;
  return true;
}

// Any query that says what a window holds; what it asks of now() would be another thing when it is asked again.
bool RuleCompiler::check_asked(const g::Query& query) {
  for (const g::Stage& stage : query.stages) {
    std::vector<const g::ExprPtr*> values;
    if (const auto* w = stage.as<g::WhereStage>()) values.push_back(&w->predicate);
    for (const auto* columns : {stage.as<g::ExtendStage>() ? &stage.as<g::ExtendStage>()->columns : nullptr, stage.as<g::SelectStage>() ? &stage.as<g::SelectStage>()->columns : nullptr,
                                stage.as<g::StatsStage>() ? &stage.as<g::StatsStage>()->keys : nullptr, stage.as<g::StatsStage>() ? &stage.as<g::StatsStage>()->aggregates : nullptr})
      if (columns)
        for (const auto& c : *columns) values.push_back(&c.value);
    for (const auto* value : values)
      if (asks_now(**value)) return fail((*value)->span, "now() in a rule would be another moment at each answer, and in each replay");
    if (const auto* s = stage.as<g::StatsStage>(); s && s->window)
      return fail(s->window->span, "a rule that is asked every so often has no other window", "its window is what 'over' says; bin(5m) parts it", ErrorCode::unsupported);
  }
  return true;
}

}  // namespace sluice::query::continuous
