// FlowQL text -> tokens.
//
// Written by hand because the language's literals need no quotes: whether `/` divides or begins a regular expression,
// `-` subtracts, negates or joins the ends of a range, and `last` is a column or begins a time range depends on what
// stands before. The tokenizer therefore follows the shape of a query (stage, parentheses, operand or operator next)
// and hands the parser tokens that are never ambiguous. LANGUAGE.md, "Words and literals", states the rules.
//
// Pure functions; any thread. Linear in the text's length.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/parse.h"
#include "grammar/syntax.h"

namespace sluice::grammar {

// One row per kind: the enumerator, and the name of the same token in FlowQL.g4.
#define SLUICE_FLOWQL_TOKENS(X)                                                                                       \
  X(kWord, WORD) X(kName, NAME) X(kNamed, NAMED) X(kFunction, FUNCTION) X(kLiteral, LITERAL)                          \
  X(kListReference, LIST_REFERENCE) X(kLeftParen, LEFT_PAREN) X(kListParen, LIST_PAREN) X(kSubquery, SUBQUERY)        \
  X(kRightParen, RIGHT_PAREN) X(kLeftBracket, LEFT_BRACKET) X(kRightBracket, RIGHT_BRACKET) X(kComma, COMMA)          \
  X(kPipe, PIPE) X(kSemicolon, SEMICOLON) X(kNaming, NAMING) X(kCompare, COMPARE) X(kNot, NOT)                        \
  X(kInfixNot, INFIX_NOT) X(kAnd, AND) X(kOr, OR) X(kIn, IN) X(kBetween, BETWEEN) X(kIs, IS) X(kPlus, PLUS)           \
  X(kMinus, MINUS) X(kNegate, NEGATE) X(kStar, STAR) X(kSlash, SLASH) X(kPercent, PERCENT) X(kPlusMinus, PLUS_MINUS)  \
  X(kFrom, FROM) X(kLast, LAST) X(kSince, SINCE) X(kAt, AT) X(kActive, ACTIVE) X(kTimeBetween, TIME_BETWEEN)          \
  X(kWhere, WHERE) X(kExtend, EXTEND) X(kSelect, SELECT) X(kDrop, DROP) X(kRename, RENAME) X(kStats, STATS)           \
  X(kTop, TOP) X(kTimeseries, TIMESERIES) X(kSort, SORT) X(kLimitStage, LIMIT_STAGE) X(kTail, TAIL)                   \
  X(kSample, SAMPLE) X(kDistinct, DISTINCT) X(kRender, RENDER) X(kStage, STAGE) X(kBy, BY) X(kAs, AS) X(kAsc, ASC)    \
  X(kDesc, DESC) X(kNulls, NULLS) X(kWith, WITH) X(kEvery, EVERY) X(kLimit, LIMIT) X(kFill, FILL) X(kSpread, SPREAD)  \
  X(kWindow, WINDOW) X(kSlide, SLIDE) X(kGap, GAP) X(kOver, OVER) X(kKeyword, KEYWORD) X(kExplain, EXPLAIN)           \
  X(kAnalyze, ANALYZE) X(kShow, SHOW) X(kCreate, CREATE) X(kReplace, REPLACE) X(kRule, RULE) X(kList, LIST)           \
  X(kOption, OPTION) X(kAlert, ALERT) X(kCommand, COMMAND)

enum class TokenKind : uint8_t {
#define SLUICE_TOKEN_ROW(name, grammar_name) name,
  SLUICE_FLOWQL_TOKENS(SLUICE_TOKEN_ROW)
#undef SLUICE_TOKEN_ROW
      kEnd,
};

struct Token {
  static constexpr uint32_t kNoValue = UINT32_MAX;

  TokenKind kind = TokenKind::kEnd;
  CompareOp compare = CompareOp::kEqual;  // of a kCompare
  Span span;
  uint32_t value = kNoValue;  // index into Tokens::values: literals, parameters, names, list references
};

// What may stand at the end of the text read; for completion.
enum class Position : uint8_t {
  kStatement,    // nothing said yet
  kQuery,        // the head of a query
  kStage,        // after a '|'
  kOperand,      // a value or column
  kOperator,     // after a value or column
  kOptionKey,    // a rule's option
  kOptionValue,  // and its value
};

struct Tokens {
  std::vector<Token> tokens;        // always ends with one kEnd
  std::vector<Expr::Node> values;   // decoded
  std::optional<SyntaxError> error; // the tokens before it are still there
  Position position = Position::kStatement;
  std::string stage;                // lower-case name of the stage that the end stands in; empty at the head of a query
};

// What the text is: a whole statement or only an expression.
enum class StartAs { kStatement, kExpression };

Tokens tokenize(std::string_view text, StartAs start = StartAs::kStatement);

// The span of text[offset, offset + length), with line and column counted from the start. Linear; for errors.
Span span_at(std::string_view text, size_t offset, size_t length);

}  // namespace sluice::grammar
