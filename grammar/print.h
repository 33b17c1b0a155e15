// Syntax tree -> canonical FlowQL text: one line, lower-case keywords, literals by value, parentheses only where
// needed. parse(print(tree)) == tree for every tree that parse() can return. Pure functions, safe from any thread.
#pragma once

#include <string>
#include <string_view>

#include "grammar/syntax.h"

namespace sluice::grammar {

std::string print(const Statement& statement);
std::string print(const Query& query);
std::string print(const Stage& stage);
std::string print(const Expr& expr);
std::string print(const Name& name);
std::string print(const NamedExpr& named);
std::string print(const TimeClause& time);

// 'text' as a FlowQL string literal, escaped.
std::string quote_string(std::string_view text);

}  // namespace sluice::grammar
