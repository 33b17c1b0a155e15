// What a rule says of itself: its name, its options, its message.
#include <algorithm>

#include "grammar/nearest.h"
#include "grammar/print.h"
#include "query/continuous/rule_compiler.h"
#include "query/words.h"

namespace sluice::query::continuous {
namespace {

// T and four digits, and three more of a technique beneath it; a tactic, TA and four digits, will do.
bool is_technique(std::string_view id) {
  const auto digits = [](std::string_view text, size_t count) { return text.size() == count && text.find_first_not_of("0123456789") == std::string_view::npos; };
  if (id.starts_with("TA")) return digits(id.substr(2), 4);
  return id.starts_with("T") && digits(id.substr(1, 4), 4) && (id.size() == 5 || (id.size() == 9 && id[5] == '.' && digits(id.substr(6), 3)));
}

}  // namespace

namespace g = grammar;

bool RuleCompiler::read_head() {
  rule_->name = statement_.name.text();
  rule_->text = g::print(g::Statement{statement_, {}});
  rule_->grace = limits::kRuleGrace;
  if (rule_->name.empty() || rule_->name.size() > limits::kRuleNameBytesMax)
    return fail(statement_.name.span, "a rule's name has 1 to " + std::to_string(limits::kRuleNameBytesMax) + " bytes");
  if (!is_plain_name(rule_->name)) return fail(statement_.name.span, "a rule's name is made of letters, digits, '_', '-' and '.'");
  return true;
}

std::optional<std::string> RuleCompiler::text_of(const g::Expr& expr) {
  if (const auto* s = expr.as<g::StringLiteral>()) return s->value;
  if (const auto* n = expr.as<g::Name>()) return n->text();
  fail(expr.span, "expected a word or a text in quotes");
  return std::nullopt;
}

std::optional<DurationNs> RuleCompiler::duration_of(const g::RuleOption& option, DurationNs most) {
  const g::Expr& expr = *option.values[0];
  std::optional<DurationNs> value;
  if (const auto* d = expr.as<g::DurationLiteral>()) value = d->nanoseconds;
  if (const auto* p = expr.as<g::Parameter>())
    for (const auto& [name, text] : rule_->parameters)
      if (name == p->name) value = parse_duration(text);
  if (!value || option.values.size() != 1) {
    fail(option.span, "'" + option.key.text + "' takes a duration", "such as " + option.key.text + " 10m");
    return std::nullopt;
  }
  if (*value > most) {
    fail(expr.span, "'" + option.key.text + "' is at most " + format_duration(most));
    return std::nullopt;
  }
  return value;
}

bool RuleCompiler::read_options(const std::vector<g::RuleOption>& options) {
  for (const g::RuleOption& option : options) {
    const std::string& key = option.key.text;
    if (std::find(keys_seen_.begin(), keys_seen_.end(), key) != keys_seen_.end()) return fail(option.span, "the rule has '" + key + "' already");
    keys_seen_.push_back(key);
    const auto texts = [&](std::vector<std::string>& out) {
      for (const auto& v : option.values) {
        auto text = text_of(*v);
        if (!text) return false;
        out.push_back(std::move(*text));
      }
      return true;
    };
    const auto text = [&](std::string& out) {
      std::vector<std::string> all;
      if (!texts(all)) return false;
      if (all.size() != 1) return fail(option.span, "'" + key + "' takes one value");
      out = std::move(all[0]);
      return true;
    };
    const auto duration = [&](DurationNs& out, DurationNs most) {
      const auto value = duration_of(option, most);
      if (value) out = *value;
      return value.has_value();
    };
    bool good = true;
    if (key == "severity") {
      std::string word;
      good = text(word) && set_severity(word, option.values[0]->span);
    } else if (key == "technique" || key == "techniques") {
      good = texts(rule_->techniques);
      for (size_t i = 0; good && i < rule_->techniques.size(); ++i)
        if (!is_technique(rule_->techniques[i])) return fail(option.values[i]->span, "'" + rule_->techniques[i] + "' is no id of an ATT&CK technique, such as T1046 or T1021.004");
    } else if (key == "tags" || key == "tag") {
      good = texts(rule_->tags);
    } else if (key == "needs") {
      good = texts(rule_->needs);
    } else if (key == "fires") {
      good = texts(rule_->fires);
    } else if (key == "quiet") {
      good = texts(rule_->quiet);
    } else if (key == "description") {
      good = text(rule_->description);
    } else if (key == "false_positives") {
      good = text(rule_->false_positives);
    } else if (key == "parameters") {
      good = read_parameters(option);
    } else if (key == "for") {
      good = duration(rule_->hold, limits::kRuleWindowMax);
    } else if (key == "keep_firing_for") {
      good = duration(rule_->keep, limits::kRuleWindowMax);
    } else if (key == "suppress") {
      good = duration(rule_->suppress, limits::kRuleWindowMax);
    } else if (key == "grace") {
      good = duration(rule_->grace, limits::kRuleGraceMax);
      has_grace_ = true;
    } else if (key == "learn") {
      good = duration(rule_->learn, limits::kRuleLookbackMax);
      has_learn_ = true;
    } else if (key == "mode") {
      std::string word;
      good = text(word);
      if (good && word != "silent" && word != "live") good = fail(option.values[0]->span, "'" + word + "' is no mode", "live, or silent: alerts are kept and sent to nobody");
      rule_->is_silent = word == "silent";
    } else if (key == "except") {
      good = texts(exceptions_) && few(exceptions_, option);
      exceptions_span_ = option.span;
    } else if (key == "overrides") {
      good = texts(override_texts_) && few(override_texts_, option);
      overrides_span_ = option.span;
    } else if (key == "severity_when") {
      good = texts(ladder_);
      ladder_span_ = option.span;
    } else if (key == "label" || key == "labels") {
      good = texts(label_texts_);
      labels_span_ = option.span;
    } else if (key == "every") {
      every_span_ = option.span;
      rule_->is_asked = true;
      good = duration(every_, limits::kRuleEveryMax);
      if (good && every_ < limits::kRuleEveryMin) good = fail(option.span, "'every' is at least " + format_duration(limits::kRuleEveryMin));
    } else if (key == "over") {
      over_span_ = option.span;
      good = duration(over_, limits::kRuleOverMax);
    } else if (key == "message") {
      good = text(message_);
      message_span_ = option.values[0]->span;
    } else {
      constexpr std::string_view kKeys[] = {"severity", "technique", "tags",     "needs", "description", "false_positives", "parameters", "fires", "quiet",
                                            "for",      "suppress",  "keep_firing_for", "grace", "message", "every", "over",
                                            "mode",     "except",   "overrides", "severity_when", "learn", "label"};
      return fail(option.key.span, "a rule has no option '" + key + "'", g::did_you_mean(key, kKeys));
    }
    if (!good) return false;
  }
  return true;
}

bool RuleCompiler::few(const std::vector<std::string>& conditions, const g::RuleOption& option) {
  if (conditions.size() <= limits::kRuleConditionsMax) return true;
  return fail(option.span, "'" + option.key.text + "' takes at most " + std::to_string(limits::kRuleConditionsMax) + " conditions", "ask 'in @NAME': a watch-list has room for many");
}

bool RuleCompiler::set_severity(const std::string& word, const g::Span& span) {
  if (const auto severity = severity_of(word)) {
    rule_->severity = *severity;
    return true;
  }
  return fail(span, "'" + word + "' is no severity", "info, low, medium, high or critical");
}

bool RuleCompiler::read_parameters(const g::RuleOption& option) {
  for (const auto& v : option.values) {
    const auto text = text_of(*v);
    if (!text) return false;
    const size_t equal = text->find('=');
    if (equal == std::string::npos || equal == 0) return fail(v->span, "a parameter is written \"name=value\"");
    rule_->parameters.emplace_back(text->substr(0, equal), text->substr(equal + 1));
  }
  return true;
}

// What options mean together.
bool RuleCompiler::settle_options() {
  if (!rule_->is_asked && over_ > 0) return fail(over_span_, "'over' goes with 'every'", "every 5m over 1h");
  if (!rule_->is_asked) return true;
  if (over_ == 0) over_ = every_;
  if (over_ < every_) return fail(over_span_, "what lies between two answers would be in neither", "let 'over' be as long as 'every', or longer");
  if (!has_grace_) rule_->grace = 0;  // it waits for what comes late, and alerts that much later
  return true;
}

// Names in braces: {src_ip}. "{{" and "}}" are braces.
bool RuleCompiler::parse_message(std::vector<std::pair<std::string, std::string>>& parts, std::string& rest) {
  std::string text;
  for (size_t i = 0; i < message_.size(); ++i) {
    const char c = message_[i];
    if ((c == '{' || c == '}') && i + 1 < message_.size() && message_[i + 1] == c) {
      text += c;
      ++i;
    } else if (c == '{') {
      const size_t end = message_.find('}', i);
      if (end == std::string::npos || end == i + 1) return fail(message_span_, "'{' in a message begins a column's name, as in {src_ip}", "write {{ for a brace");
      parts.emplace_back(std::move(text), message_.substr(i + 1, end - i - 1));
      text.clear();
      i = end;
    } else if (c == '}') {
      return fail(message_span_, "'}' in a message ends nothing", "write }} for a brace");
    } else {
      text += c;
    }
  }
  rest = std::move(text);
  return true;
}

}  // namespace sluice::query::continuous
