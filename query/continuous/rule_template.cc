#include "query/continuous/rule_template.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "query/bind.h"
#include "query/continuous/limits.h"
#include "query/words.h"
#include "storage/model/text.h"

namespace sluice::query::continuous {
namespace {

namespace g = grammar;

bool is_name_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

struct Set {
  std::string name;
  std::vector<std::pair<std::string, std::string>> parameters;
};

class Expansion {
 public:
  Expansion(const g::CreateRule& statement, std::string_view text) : statement_(statement), text_(text) {}

  std::variant<std::vector<g::CreateRule>, QueryError> run() {
    const g::RuleOption* each = option("each");
    if (!each) return std::vector{statement_};
    if (!read_defaults() || !read_sets(*each)) return std::move(*error_);
    std::vector<g::CreateRule> out;
    for (const Set& set : sets_) {
      out.push_back(statement_);
      if (!fill(out.back(), set)) return std::move(*error_);
    }
    return out;
  }

 private:
  bool fail(const g::Span& span, std::string message, std::string hint = {}) {
    if (!error_) error_ = QueryError{ErrorCode::invalid_argument, std::move(message), std::move(hint), to_text_span(span), g::caret_view(text_, span)};
    return false;
  }

  const g::RuleOption* option(std::string_view key) const {
    for (const auto* options : {&statement_.options, &statement_.alert_options})
      for (const auto& o : *options)
        if (o.key.text == key) return &o;
    return nullptr;
  }

  std::optional<std::pair<std::string, std::string>> read_parameter(std::string_view written, const g::Span& span) {
    const size_t equal = written.find('=');
    const std::string_view name = trimmed(written.substr(0, std::min(equal, written.size())));
    if (equal == std::string_view::npos || name.empty() || !std::all_of(name.begin(), name.end(), is_name_byte)) {
      fail(span, "a parameter is written name=value, and '" + std::string(trimmed(written)) + "' is not");
      return std::nullopt;
    }
    return std::pair{std::string(name), std::string(trimmed(written.substr(equal + 1)))};
  }

  bool read_defaults() {
    const g::RuleOption* option_here = option("parameters");
    if (!option_here) return true;
    for (const auto& v : option_here->values) {
      const auto* written = v->as<g::StringLiteral>();
      if (!written) return fail(v->span, "a parameter is written \"name=value\"");
      const auto parameter = read_parameter(written->value, v->span);
      if (!parameter) return false;
      defaults_.push_back(*parameter);
    }
    return true;
  }

  bool read_sets(const g::RuleOption& each) {
    if (each.values.size() > limits::kRuleSetsMax) return fail(each.span, "at most " + std::to_string(limits::kRuleSetsMax) + " rules come of one");
    for (const auto& v : each.values) {
      const auto* written = v->as<g::StringLiteral>();
      const size_t colon = written ? written->value.find(':') : std::string::npos;
      if (colon == std::string::npos || trimmed(std::string_view(written->value).substr(0, colon)).empty())
        return fail(v->span, "a set of parameters is written \"name: parameter=value; parameter=value\"");
      Set set;
      set.name = std::string(trimmed(std::string_view(written->value).substr(0, colon)));
      for (const Set& other : sets_)
        if (other.name == set.name) return fail(v->span, "there is a set '" + set.name + "' already");
      for (std::string_view rest = std::string_view(written->value).substr(colon + 1); !rest.empty();) {
        const size_t end = std::min(rest.find(';'), rest.size());
        if (!trimmed(rest.substr(0, end)).empty()) {
          auto parameter = read_parameter(rest.substr(0, end), v->span);
          if (!parameter) return false;
          for (const auto& [name, value] : set.parameters)
            if (name == parameter->first) return fail(v->span, "the set has '" + name + "' already");
          set.parameters.push_back(std::move(*parameter));
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      for (const auto& d : defaults_)
        if (std::none_of(set.parameters.begin(), set.parameters.end(), [&](const auto& p) { return p.first == d.first; })) set.parameters.push_back(d);
      sets_.push_back(std::move(set));
    }
    return true;
  }

  const std::string* value_of(const Set& set, std::string_view name, const g::Span& span) {
    for (const auto& [known, value] : set.parameters)
      if (known == name) return &value;
    std::vector<std::string_view> names;
    for (const auto& p : set.parameters) names.push_back(p.first);
    fail(span, "the set '" + set.name + "' has no parameter '" + std::string(name) + "'", g::did_you_mean(name, names));
    return nullptr;
  }

  // In an example `$limit-1` is one less than a number; `end` moves behind what was read.
  static std::string moved(const std::string& value, std::string_view text, size_t& end) {
    size_t last = end + 1;
    while (last < text.size() && text[last] >= '0' && text[last] <= '9') ++last;
    if (end >= text.size() || (text[end] != '+' && text[end] != '-') || last == end + 1) return value;
    uint64_t number = 0, by = 0;
    const auto read = [](std::string_view digits, uint64_t& n) {
      const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
      return error == std::errc() && stop == digits.data() + digits.size();
    };
    if (!read(value, number) || !read(text.substr(end + 1, last - end - 1), by)) return value;
    if (text[end] == '-' && by > number) return value;
    number = text[end] == '-' ? number - by : number + by;
    end = last;
    return std::to_string(number);
  }

  // "$name" replaced by its value.
  std::optional<std::string> filled(const std::string& text, const Set& set, bool is_example, const g::Span& span) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '$') {
        out += text[i];
        continue;
      }
      if (i + 1 < text.size() && text[i + 1] == '$') {
        out += '$';
        ++i;
        continue;
      }
      size_t end = i + 1;
      while (end < text.size() && is_name_byte(text[end])) ++end;
      const std::string* value = value_of(set, std::string_view(text).substr(i + 1, end - i - 1), span);
      if (!value) return std::nullopt;
      if (is_example) {
        std::string turns = *value;
        std::replace(turns.begin(), turns.end(), ',', '|');
        out += moved(turns, text, end);
      } else {
        out += *value;
      }
      i = end - 1;
    }
    return out;
  }

  bool fill(g::CreateRule& rule, const Set& set) {
    rule.name.parts = {statement_.name.text() + "_" + set.name};
    bool has_parameters = false;
    for (auto* options : {&rule.options, &rule.alert_options}) {
      std::erase_if(*options, [](const g::RuleOption& o) { return o.key.text == "each"; });
      for (g::RuleOption& o : *options) {
        if (o.key.text == "parameters") {
          set_parameters(o, set);
          has_parameters = true;
          continue;
        }
        const bool is_example = o.key.text == "fires" || o.key.text == "quiet";
        for (g::ExprPtr& v : o.values) {
          if (const auto* text = v->as<g::StringLiteral>()) {
            auto out = filled(text->value, set, is_example, v->span);
            if (!out) return false;
            if (*out != text->value) v = g::Expr{g::StringLiteral{std::move(*out)}, v->span};
          } else if (const auto* parameter = v->as<g::Parameter>()) {
            const std::string* value = value_of(set, parameter->name, v->span);
            if (!value) return false;
            if (const auto duration = parse_duration(*value))
              v = g::Expr{g::DurationLiteral{*duration, {}}, v->span};
            else
              v = g::Expr{g::StringLiteral{*value}, v->span};
          }
        }
      }
    }
    if (!has_parameters && !set.parameters.empty()) {
      g::RuleOption o{{"parameters", option("each")->span}, {}, option("each")->span};
      set_parameters(o, set);
      rule.options.push_back(std::move(o));
    }
    return true;
  }

  void set_parameters(g::RuleOption& o, const Set& set) {
    o.values.clear();
    for (const auto& [name, value] : set.parameters) o.values.push_back(g::Expr{g::StringLiteral{name + "=" + value}, o.span});
  }

  const g::CreateRule& statement_;
  const std::string_view text_;
  std::vector<std::pair<std::string, std::string>> defaults_;
  std::vector<Set> sets_;
  std::optional<QueryError> error_;
};

}  // namespace

std::variant<std::vector<g::CreateRule>, QueryError> expand_rule(const g::CreateRule& statement, std::string_view text) { return Expansion(statement, text).run(); }

std::variant<std::vector<RulePtr>, QueryError> compile_rules(const g::CreateRule& statement, std::string_view text, const CompileOptions& options) {
  auto expanded = expand_rule(statement, text);
  if (auto* error = std::get_if<QueryError>(&expanded)) return std::move(*error);
  std::vector<RulePtr> rules;
  for (const g::CreateRule& one : std::get<0>(expanded)) {
    auto compiled = compile_rule(one, text, options);
    if (auto* error = std::get_if<QueryError>(&compiled)) {
      if (one.name.text() != statement.name.text()) error->message = "in " + one.name.text() + ": " + error->message;
      return std::move(*error);
    }
    rules.push_back(std::move(std::get<RulePtr>(compiled)));
  }
  return rules;
}

}  // namespace sluice::query::continuous
