// One text, several rules: what `each` makes, that it reads back, and what is refused where.
#include <gtest/gtest.h>

#include "grammar/parse.h"
#include "query/bind.h"
#include "query/continuous/example.h"
#include "query/continuous/rule_template.h"

namespace sluice::query::continuous {
namespace {

std::variant<std::vector<RulePtr>, QueryError> made(const std::string& text) {
  auto parsed = grammar::parse(text);
  if (auto* error = std::get_if<grammar::SyntaxError>(&parsed)) return QueryError{ErrorCode::parse, error->message, error->hint, to_text_span(error->span), {}};
  return compile_rules(*std::get<grammar::Statement>(parsed).as<grammar::CreateRule>(), text);
}

std::vector<RulePtr> rules_of(const std::string& text) {
  auto result = made(text);
  if (const auto* error = std::get_if<QueryError>(&result)) {
    ADD_FAILURE() << error->message << "\n" << error->caret;
    return {};
  }
  return std::get<std::vector<RulePtr>>(result);
}

QueryError error_of(const std::string& text) {
  auto result = made(text);
  if (const auto* error = std::get_if<QueryError>(&result)) return *error;
  ADD_FAILURE() << "not refused: " << text;
  return {};
}

constexpr const char* kGuessing = R"(create rule guessing
  severity $level technique "T1110" description "Tries $what, costs $$5" suppress $pause
  parameters ("tries=30", "pause=1h", "level=medium")
  each ("ssh: ports=22,2222; what=SSH; level=high", "rdp: ports=3389; tries=40; what=remote desktop; pause=2h")
  fires ("50 flows over 5m src_ip=10.0.0.5 dst_ip=10.1.0.1 dst_port=$ports proto=tcp")
  quiet ("$tries-1 flows over 5m src_ip=10.0.0.5 dst_ip=10.1.0.1 dst_port=$ports proto=tcp")
as
  from flows | where proto == tcp and dst_port in $ports | stats tries = count() by src_ip window 10m | where tries >= $tries
alert by src_ip
message "{src_ip} tried $what {tries} times")";

TEST(RuleTemplate, OneTextMakesSeveralRules) {
  const auto rules = rules_of(kGuessing);
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0]->name, "guessing_ssh");
  EXPECT_EQ(rules[1]->name, "guessing_rdp");
  EXPECT_EQ(rules[0]->severity, Severity::high);
  EXPECT_EQ(rules[1]->severity, Severity::medium);
  EXPECT_EQ(rules[0]->description, "Tries SSH, costs $5");
  EXPECT_EQ(rules[0]->suppress, kHour);
  EXPECT_EQ(rules[1]->suppress, 2 * kHour);
  EXPECT_EQ(rules[0]->fires, (std::vector<std::string>{"50 flows over 5m src_ip=10.0.0.5 dst_ip=10.1.0.1 dst_port=22|2222 proto=tcp"}));
  EXPECT_EQ(rules[1]->quiet, (std::vector<std::string>{"39 flows over 5m src_ip=10.0.0.5 dst_ip=10.1.0.1 dst_port=3389 proto=tcp"}));
  for (const auto& rule : rules)
    for (const auto& result : run_examples(rule)) EXPECT_TRUE(result.passed) << rule->name << ": " << result.text << " " << result.detail;
  const auto alerts = run_example(rules[1], "45 flows over 1m src_ip=10.0.0.5 dst_port=3389 proto=tcp");
  ASSERT_TRUE(alerts.ok());
  ASSERT_EQ(alerts->size(), 1u);
  EXPECT_EQ((*alerts)[0].message, "10.0.0.5 tried remote desktop 45 times");
}

TEST(RuleTemplate, WhatComesOutIsARuleLikeAnyOther) {
  for (const RulePtr& rule : rules_of(kGuessing)) {
    EXPECT_EQ(rule->text.find("each"), std::string::npos);
    const auto again = rules_of(rule->text);
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0]->name, rule->name);
    EXPECT_EQ(again[0]->text, rule->text);
    EXPECT_EQ(again[0]->parameters, rule->parameters);
  }
}

TEST(RuleTemplate, ParametersMayStandInSetsAlone) {
  const auto rules = rules_of("create rule r each (\"a: port=22\", \"b: port=23;\") as dst_port == $port alert by src_ip message \"{src_ip} $port\"");
  ASSERT_EQ(rules.size(), 2u);
  const auto alerts = run_example(rules[1], "1 flow src_ip=10.0.0.5 dst_port=23; 1 flow src_ip=10.0.0.6 dst_port=22");
  ASSERT_TRUE(alerts.ok());
  ASSERT_EQ(alerts->size(), 1u);
  EXPECT_EQ((*alerts)[0].message, "10.0.0.5 23");
}

TEST(RuleTemplate, WithoutEachATextStaysAsItIs) {
  const auto rules = rules_of("create rule r parameters (\"port=22\") as dst_port == $port alert by src_ip message \"{src_ip} pays $5\"");
  ASSERT_EQ(rules.size(), 1u);
  EXPECT_EQ(rules[0]->name, "r");
}

TEST(RuleTemplate, RefusedWithThePlace) {
  const auto with = [](const std::string& each, const std::string& rest = "as dst_port == $port") { return "create rule r each (" + each + ") " + rest; };
  EXPECT_NE(error_of(with("\"a port=22\"")).message.find("a set of parameters is written"), std::string::npos);
  EXPECT_NE(error_of(with("\"a: 22\"")).message.find("'22' is not"), std::string::npos);
  EXPECT_NE(error_of(with("\"a: port=22; port=23\"")).message.find("has 'port' already"), std::string::npos);
  EXPECT_NE(error_of(with("\"a: port=22\", \"a: port=23\"")).message.find("a set 'a' already"), std::string::npos);
  const auto unknown = error_of(with("\"a: port=22\"", "as dst_port == $port alert by src_ip message \"$prot\""));
  EXPECT_NE(unknown.message.find("no parameter 'prot'"), std::string::npos);
  EXPECT_NE(unknown.hint.find("'port'"), std::string::npos);
  ASSERT_TRUE(unknown.span.has_value());
  const auto inside = error_of(with("\"a: port=22\", \"b: port=nonsense\""));
  EXPECT_EQ(inside.message.find("in r_b: "), 0u) << inside.message;
  EXPECT_NE(error_of(with("\"a b: port=22\"")).message.find("a rule's name is made of"), std::string::npos);
}

TEST(RuleTemplate, AsManyAsTheBoundAndNotOneMore) {
  const auto text = [](size_t n) {
    std::string sets;
    for (size_t i = 0; i < n; ++i) sets += (i ? ", " : "") + ("\"s" + std::to_string(i)) + ": port=" + std::to_string(i) + "\"";
    return "create rule r each (" + sets + ") as dst_port == $port";
  };
  EXPECT_EQ(rules_of(text(limits::kRuleSetsMax)).size(), limits::kRuleSetsMax);
  EXPECT_NE(error_of(text(limits::kRuleSetsMax + 1)).message.find(std::to_string(limits::kRuleSetsMax)), std::string::npos);
}

}  // namespace
}  // namespace sluice::query::continuous
