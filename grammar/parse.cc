#include "grammar/parse.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "antlr4-runtime.h"
#include "grammar/FlowQL.h"
#include "grammar/limits.h"
#include "grammar/literals.h"
#include "grammar/nearest.h"
#include "grammar/tokens.h"
#include "grammar/words.h"

namespace sluice::grammar {
namespace {

using generated::FlowQL;

// An error on its way out of the generated parser or the builder; never leaves this file.
struct Refusal {
  SyntaxError error;
};

size_t grammar_type(TokenKind kind) {
  switch (kind) {
#define SLUICE_TOKEN_ROW(name, grammar_name) \
  case TokenKind::name:                      \
    return FlowQL::grammar_name;
    SLUICE_FLOWQL_TOKENS(SLUICE_TOKEN_ROW)
#undef SLUICE_TOKEN_ROW
    case TokenKind::kEnd:
      break;
  }
  return antlr4::Token::EOF;
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return result;
}

// One statement's tokens, with the text and values they point into. The last one is kEnd or kSemicolon: the end.
struct Input {
  std::string_view text;
  const std::vector<Expr::Node>& values;
  std::span<const Token> tokens;

  std::string_view text_of(const Token& token) const { return text.substr(token.span.offset, token.span.length); }
  bool is_end(size_t i) const { return i + 1 >= tokens.size(); }
};

// ---------------------------------------------------------------------------------------------------- ANTLR's input

class TokenFeed : public antlr4::TokenSource {
 public:
  explicit TokenFeed(const Input& input) : input_(input) {}

  std::unique_ptr<antlr4::Token> nextToken() override {
    const bool end = input_.is_end(next_);
    const size_t type = end ? antlr4::Token::EOF : grammar_type(input_.tokens[next_].kind);
    if (!end) ++next_;
    return std::make_unique<antlr4::CommonToken>(type);
  }
  size_t getLine() const override { return 0; }
  size_t getCharPositionInLine() override { return 0; }
  antlr4::CharStream* getInputStream() override { return nullptr; }
  std::string getSourceName() override { return "query"; }
  antlr4::TokenFactory<antlr4::CommonToken>* getTokenFactory() override {
    return antlr4::CommonTokenFactory::DEFAULT.get();
  }

 private:
  const Input& input_;
  size_t next_ = 0;
};

// Where the generated parser stopped.
struct Stop {
  size_t token = 0;             // index of the token it did not want
  std::vector<size_t> wanted;   // token types that would have been right there
};

// Stops at the first error: no recovery, no repair.
class StopAtOnce : public antlr4::ANTLRErrorStrategy {
 public:
  void reset(antlr4::Parser*) override {}
  antlr4::Token* recoverInline(antlr4::Parser* parser) override { stop(parser); }
  void recover(antlr4::Parser* parser, std::exception_ptr) override { stop(parser); }
  void sync(antlr4::Parser*) override {}
  bool inErrorRecoveryMode(antlr4::Parser*) override { return false; }
  void reportMatch(antlr4::Parser*) override {}
  void reportError(antlr4::Parser* parser, const antlr4::RecognitionException&) override { stop(parser); }

 private:
  [[noreturn]] static void stop(antlr4::Parser* parser) {
    // The runtime fills each state's follow set on first use without a lock that readers see; fill all of them once.
    static std::once_flag filled;
    std::call_once(filled, [&] {
      for (auto* state : parser->getATN().states)
        if (state != nullptr) parser->getATN().nextTokens(state);
    });
    Stop stop;
    stop.token = parser->getCurrentToken()->getTokenIndex();
    for (const ssize_t type : parser->getExpectedTokens().toList()) stop.wanted.push_back(static_cast<size_t>(type));
    throw stop;
  }
};

// ---------------------------------------------------------------------------------------------------- messages

constexpr const char* kDurationWords = "a duration such as 15m";
constexpr const char* kTimeWords = "a point in time such as 2026-11-20T08:00Z";
constexpr const char* kNumberWords = "a whole number";

bool is_time_token(TokenKind kind) {
  return kind == TokenKind::kLast || kind == TokenKind::kSince || kind == TokenKind::kAt || kind == TokenKind::kActive ||
         kind == TokenKind::kTimeBetween;
}

// What must follow a token, in words; empty if that depends on more than the token.
std::string wanted_after(TokenKind kind) {
  switch (kind) {
    case TokenKind::kLast:
    case TokenKind::kEvery:
    case TokenKind::kSlide:
    case TokenKind::kGap:
    case TokenKind::kPlusMinus:
      return kDurationWords;
    case TokenKind::kWindow:
      return "a duration such as 5m, or 'session gap 10m',";
    case TokenKind::kSince:
    case TokenKind::kAt:
    case TokenKind::kTimeBetween:
      return kTimeWords;
    case TokenKind::kActive:
      return "'between'";
    case TokenKind::kOver:
      return "a time range such as 'last 30d'";
    case TokenKind::kTop:
    case TokenKind::kLimitStage:
    case TokenKind::kLimit:
    case TokenKind::kTail:
      return kNumberWords;
    case TokenKind::kSample:
      return "a number of rows or a share such as 0.01";
    case TokenKind::kFill:
      return "0, null or previous";
    case TokenKind::kRender:
      return "a kind of view such as timechart";
    case TokenKind::kWith:
      return "'others'";
    case TokenKind::kNulls:
      return "'first' or 'last'";
    case TokenKind::kBy:
    case TokenKind::kSort:
      return "a column or expression";
    case TokenKind::kSelect:
    case TokenKind::kDrop:
      return "a column";
    case TokenKind::kExtend:
    case TokenKind::kRename:
      return "a definition such as a = b";
    case TokenKind::kStats:
    case TokenKind::kTimeseries:
      return "an aggregate such as count()";
    case TokenKind::kIs:
      return "'null' or 'not null'";
    case TokenKind::kIn:
      return "a list such as (22, 3389), a block such as 10.0.0.0/8, or a list's name such as @tor";
    case TokenKind::kInfixNot:
      return "'in', 'between' or 'contains'";
    case TokenKind::kPipe:
      return "a stage such as where or stats";
    case TokenKind::kFrom:
      return "a source such as flows";
    case TokenKind::kExplain:
    case TokenKind::kAnalyze:
    case TokenKind::kSubquery:
      return "a query";
    case TokenKind::kShow:
      return "what to show, such as columns";
    case TokenKind::kRule:
    case TokenKind::kList:
      return "a name";
    case TokenKind::kCreate:
    case TokenKind::kReplace:
      return "'rule', 'list' or 'zone'";
    case TokenKind::kOption:
      return "a value";
    case TokenKind::kAlert:
      return "'by'";
    case TokenKind::kWhere:
    case TokenKind::kAnd:
    case TokenKind::kOr:
    case TokenKind::kNot:
      return "a condition";
    case TokenKind::kCompare:
    case TokenKind::kBetween:
    case TokenKind::kPlus:
    case TokenKind::kMinus:
    case TokenKind::kNegate:
    case TokenKind::kStar:
    case TokenKind::kSlash:
    case TokenKind::kPercent:
    case TokenKind::kLeftParen:
    case TokenKind::kListParen:
    case TokenKind::kComma:
      return "a value or column";
    default:
      return "";
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

// Of `last 15`, `last 1 h`, `every week`: what a word that is no duration may have been meant for.
std::string duration_hint(const Input& input, size_t at) {
  const std::string word = lower_case(input.text_of(input.tokens[at]));
  if (const std::string_view unit = duration_unit_of(word); !unit.empty()) return "did you mean '1" + std::string(unit) + "'?";
  if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos) return "";
  if (!input.is_end(at + 1))
    if (const std::string_view unit = duration_unit_of(lower_case(input.text_of(input.tokens[at + 1]))); !unit.empty())
      return "number and unit stand together: " + word + std::string(unit);
  return "the number needs a unit: " + word + "m for minutes, " + word + "h for hours, " + word + "d for days";
}

// Puts into words why the parser stopped.
class Explanation {
 public:
  Explanation(const Input& input, const Stop& stop) : input_(input), stop_(stop) {}

  SyntaxError explain() const {
    SyntaxError error;
    const size_t at = std::min(stop_.token, input_.tokens.size() - 1);
    const bool end = input_.is_end(at);
    const Token& found = input_.tokens[at];
    error.span = found.span;
    if (end) error.span.length = 0;
    if (at == 0) {
      error.message = end ? "the query is empty" : "a query can't begin with " + shown(input_.text_of(found));
      error.hint = found.kind == TokenKind::kPipe ? "a '|' stands between two stages: leave this one out, or put 'from flows' or 'last 1h' before it"
                                                  : "a query begins with a filter such as dst_port == 53, or with 'from flows'";
      error.expected = {"a query"};
      return error;
    }
    if (const Token* stage = unknown_stage(at)) {
      const std::string name = lower_case(input_.text_of(*stage));
      error.message = "unknown stage " + shown(name);
      error.hint = did_you_mean(name, stage_names());
      error.span = stage->span;
      error.expected = {"a stage such as where or stats"};
      return error;
    }
    if (!end && is_time_token(found.kind)) {
      bool again = false;
      for (size_t i = 0; i < at && input_.tokens[i].kind != TokenKind::kPipe; ++i)
        again = again || is_time_token(input_.tokens[i].kind);
      error.message = again ? "the query has a time range already" : "a time range stands before the first '|'";
      error.expected = {"'|'", "the end of the query"};
      return error;
    }
    const Token& before = input_.tokens[at - 1];
    std::string wanted = wanted_after(before.kind);
    if (before.kind == TokenKind::kAs) {
      const bool of_rule = input_.tokens[0].kind == TokenKind::kCreate && !has_before(TokenKind::kPipe, at);
      wanted = of_rule ? "a query" : "a name";
    }
    if (at > 1 && input_.tokens[at - 2].kind == TokenKind::kTop) wanted = "a column";
    const bool calls_empty = before.kind == TokenKind::kLeftParen && found.kind == TokenKind::kRightParen;
    if (!wanted.empty() && (operand_wanted() || before.kind != TokenKind::kSort) && !calls_empty) {
      error.expected = {wanted};
      error.message = "expected " + wanted + " after " + shown(input_.text_of(before));
      if (before.kind == TokenKind::kSelect && found.kind == TokenKind::kStar)
        error.hint = "without a select stage all columns are kept";
      if (before.kind == TokenKind::kPipe && found.kind == TokenKind::kPipe) error.hint = "'or' is written 'or' or '||'";
      if (before.kind == TokenKind::kTop && !end) error.hint = "such as: top 10 src_ip by sum(bytes)";
      if (before.kind == TokenKind::kIn && found.kind == TokenKind::kLeftBracket) error.hint = "a list stands in parentheses";
      if (wanted == kDurationWords && !end) error.hint = duration_hint(input_, at);
      return error;
    }
    if (calls_empty) {
      error.message = "these parentheses are empty";
      error.expected = {"a value or column"};
      return error;
    }
    error.expected = continuations(at);
    error.message = "expected " + joined(error.expected);
    error.message += end ? ", but the query ends here" : ", found " + shown(input_.text_of(found));
    error.hint = hint_for(at, end);
    return error;
  }

 private:
  bool wants(size_t type) const {
    return std::find(stop_.wanted.begin(), stop_.wanted.end(), type) != stop_.wanted.end();
  }
  bool operand_wanted() const { return wants(FlowQL::LITERAL) || wants(FlowQL::WORD); }

  bool has_before(TokenKind kind, size_t at) const {
    return std::any_of(input_.tokens.begin(), input_.tokens.begin() + static_cast<ptrdiff_t>(at),
                       [&](const Token& token) { return token.kind == kind; });
  }

  // The stage that the error stands in, if nothing knows its name.
  const Token* unknown_stage(size_t at) const {
    for (size_t i = at; i-- > 0;) {
      const Token& token = input_.tokens[i];
      if (token.kind == TokenKind::kPipe) return nullptr;
      if (token.kind == TokenKind::kStage)
        return is_stage_name(lower_case(input_.text_of(token))) ? nullptr : &token;
    }
    return nullptr;
  }

  // The bracket that is open at a token, or null.
  const Token* open_bracket(size_t at) const {
    size_t closed = 0;
    for (size_t i = at; i-- > 0;) {
      switch (input_.tokens[i].kind) {
        case TokenKind::kRightParen:
        case TokenKind::kRightBracket:
          ++closed;
          break;
        case TokenKind::kLeftParen:
        case TokenKind::kListParen:
        case TokenKind::kSubquery:
        case TokenKind::kLeftBracket:
          if (closed == 0) return &input_.tokens[i];
          --closed;
          break;
        default:
          break;
      }
    }
    return nullptr;
  }

  // What could go on after a value.
  std::vector<std::string> continuations(size_t at) const {
    std::vector<std::string> words;
    const auto before = input_.tokens[at - 1].kind;
    const bool after_value = before == TokenKind::kWord || before == TokenKind::kName || before == TokenKind::kLiteral ||
                             before == TokenKind::kRightParen || before == TokenKind::kListReference;
    static constexpr std::pair<size_t, const char*> kSpecific[] = {
        {FlowQL::EVERY, "'every'"},     {FlowQL::AND, "'and'"},           {FlowQL::NAMING, "'='"},
        {FlowQL::GAP, "'gap'"},         {FlowQL::PLUS_MINUS, "'+/-'"},    {FlowQL::AS, "'as'"},
        {FlowQL::LEFT_PAREN, "'('"},    {FlowQL::TIME_BETWEEN, "'between'"},
    };
    // A state that wants one thing only says it all.
    if (stop_.wanted.size() == 1)
      for (const auto& [type, word] : kSpecific)
        if (wants(type)) return {word};
    if (operand_wanted()) return {"a value or column"};
    if (after_value) words.push_back("an operator");
    const Token* open = open_bracket(at);
    if (open == nullptr) {
      words.push_back("'|'");
      words.push_back("the end of the query");
      return words;
    }
    const size_t index = static_cast<size_t>(open - input_.tokens.data());
    const bool call = index > 0 && input_.tokens[index - 1].kind == TokenKind::kFunction;
    if (call || open->kind == TokenKind::kListParen) words.push_back("','");
    if (open->kind == TokenKind::kSubquery) words.push_back("'|'");
    words.push_back(open->kind == TokenKind::kLeftBracket ? "']'" : "')'");
    return words;
  }

  std::string hint_for(size_t at, bool end) const {
    if (const Token* open = open_bracket(at); end && open != nullptr) {
      return "the " + shown(input_.text_of(*open)) + " at line " + std::to_string(open->span.line) + ", column " +
             std::to_string(open->span.column) + " is not closed";
    }
    if (end) return "";
    const Token& found = input_.tokens[at];
    const Token& before = input_.tokens[at - 1];
    const std::string word = lower_case(input_.text_of(found));
    const std::string word_before = lower_case(input_.text_of(before));
    if (before.kind == TokenKind::kLiteral && found.kind == TokenKind::kWord) {
      if (const std::string hint = unit_hint(word_before, word); !hint.empty()) return hint;
    }
    if (word == "from" || word_before == "from") return "the source comes first: from flows | where … | select …";
    if (word == "like") return "'contains', 'starts_with' and 'matches /…/' compare texts";
    if (found.kind == TokenKind::kBy && (at == 1 || begins_query(at - 1)) && stage_of_elsewhere(word_before) == "sort") return "did you mean 'sort'?";
    if (found.kind == TokenKind::kBy && (at == 1 || begins_query(at - 1)) && word_before == "count") return "did you mean 'stats count() by …'?";
    if (found.kind == TokenKind::kBy) return "grouping needs a stage: | stats … by …";
    if (found.kind == TokenKind::kComma && at > 1 && input_.tokens[at - 2].kind == TokenKind::kIn) return "a list stands in parentheses: in (80, 443)";
    if (found.kind == TokenKind::kComma) return "conditions are joined with 'and' or 'or'";
    if (found.kind == TokenKind::kWord && word == "host" && (word_before == "src" || word_before == "dst") && !input_.is_end(at + 1) &&
        input_.text_of(input_.tokens[at + 1]).find_first_of(".:") != std::string_view::npos)
      return "did you mean '" + word_before + "_ip == " + std::string(input_.text_of(input_.tokens[at + 1])) + "'?";
    if (found.kind == TokenKind::kWord && (word_before == "src" || word_before == "dst"))
      return "did you mean '" + word_before + "_" + word + "'?";
    if (const std::string hint = list_hint(at, word_before, word); !hint.empty()) return hint;
    const bool begins = before.kind == TokenKind::kWord && (at == 1 || begins_query(at - 1));
    if (begins && found.kind == TokenKind::kLiteral && !stage_of_elsewhere(word_before).empty())
      return "did you mean '" + std::string(stage_of_elsewhere(word_before)) + "'?";
    if (found.kind == TokenKind::kLiteral && (word_before == "host" || word_before == "net") && input_.text_of(found).find_first_of(".:") != std::string_view::npos)
      return "did you mean 'ip == " + std::string(input_.text_of(found)) + "'?";
    if (found.kind == TokenKind::kLiteral && before.kind == TokenKind::kWord && !open_bracket(at))
      return "a comparison needs an operator: " + word_before + " == …";
    if (before.kind == TokenKind::kWord && (at == 1 || begins_query(at - 1))) {
      // `form flows`, `wher x == 1`
      std::vector<std::string_view> openers(stage_names().begin(), stage_names().end());
      openers.insert(openers.end(), {"from", "explain", "show", "create", "last", "since"});
      const std::string hint = did_you_mean(lower_case(input_.text_of(before)), openers);
      if (!hint.empty()) return hint;
      if (found.kind == TokenKind::kWord && input_.is_end(at + 1)) return "a comparison needs an operator: " + word_before + " == " + word;
    }
    if (is_stage_name(word) || found.kind == TokenKind::kLimit) return "a stage begins with '|': | " + word + " …";
    if (found.kind == TokenKind::kCompare || found.kind == TokenKind::kBetween || found.kind == TokenKind::kIn)
      return "comparisons do not chain: join them with 'and'";
    if (found.kind == TokenKind::kWord || found.kind == TokenKind::kFunction) {
      const std::string hint = did_you_mean(word, operator_words());
      if (!hint.empty()) return hint;
    }
    if (found.kind == TokenKind::kMinus || found.kind == TokenKind::kLiteral || found.kind == TokenKind::kWord ||
        found.kind == TokenKind::kName)
      return "conditions are joined with 'and' or 'or'; text stands in quotes";
    return "";
  }

  // 10 MB, 5 minutes
  static std::string unit_hint(const std::string& number, const std::string& word) {
    if (number.empty() || number.find_first_not_of("0123456789.") != std::string::npos) return "";
    if (const std::string_view unit = duration_unit_of(word); !unit.empty()) return "number and unit stand together: " + number + std::string(unit);
    static constexpr std::string_view kSizes[] = {"b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "bps", "kbps", "mbps", "gbps"};
    if (std::find(std::begin(kSizes), std::end(kSizes), word) == std::end(kSizes)) return "";
    std::string unit = word;
    for (char& c : unit)
      if (c != 'i' && c != 'p' && c != 's') c = static_cast<char>(c - 32);
    if (unit.ends_with("Bps")) unit[unit.size() - 3] = 'b';
    return "number and unit stand together: " + number + unit;
  }

  // What is amiss between two words of a stage's list: a comma, parentheses, or the word that was meant.
  std::string list_hint(size_t at, const std::string& before, const std::string& word) const {
    const Token& found = input_.tokens[at];
    if (found.kind != TokenKind::kWord && found.kind != TokenKind::kName && found.kind != TokenKind::kLiteral && found.kind != TokenKind::kDesc &&
        found.kind != TokenKind::kAsc)
      return "";
    if (const Token* open = open_bracket(at)) return open->kind == TokenKind::kListParen ? "the items of a list are parted by commas" : "";
    TokenKind stage = TokenKind::kEnd;
    size_t of = at;
    while (of > 0 && stage == TokenKind::kEnd) {
      switch (const TokenKind kind = input_.tokens[--of].kind) {
        case TokenKind::kStats:
        case TokenKind::kTop:
        case TokenKind::kTimeseries:
        case TokenKind::kSelect:
        case TokenKind::kDrop:
        case TokenKind::kSort:
        case TokenKind::kDistinct: stage = kind; break;
        case TokenKind::kPipe: return "";
        default: break;
      }
    }
    if (stage == TokenKind::kEnd) return "";
    if (found.kind == TokenKind::kDesc || found.kind == TokenKind::kAsc)
      return stage == TokenKind::kTop ? "top has the greatest first; the least come by | sort … | limit …" : "only sort takes 'asc' and 'desc'";
    if (word == "group" && !input_.is_end(at + 1) && input_.tokens[at + 1].kind == TokenKind::kBy) return "did you mean 'by' alone?";
    static constexpr std::string_view kOrders[] = {"asc", "desc", "nulls"};
    if (stage == TokenKind::kSort) {
      if (std::string hint = did_you_mean(word, kOrders); !hint.empty()) return hint;
      if (std::string_view("descending").starts_with(word) && word.size() > 2) return "did you mean 'desc'?";
      if (std::string_view("ascending").starts_with(word) && word.size() > 2) return "did you mean 'asc'?";
    }
    const TokenKind ahead = at > 1 ? input_.tokens[at - 2].kind : TokenKind::kEnd;
    const bool aggregates = ahead == TokenKind::kStats || ahead == TokenKind::kTimeseries || (stage == TokenKind::kTop && ahead == TokenKind::kBy) ||
                            (ahead == TokenKind::kComma && stage != TokenKind::kSelect && !has_between(TokenKind::kBy, of, at));
    if (input_.tokens[at - 1].kind == TokenKind::kWord && aggregates && stage != TokenKind::kSort && stage != TokenKind::kDrop && stage != TokenKind::kDistinct)
      return "did you mean '" + before + "(" + word + ")'?";
    const bool stage_follows = is_stage_name(word);
    return stage_follows || found.kind == TokenKind::kLiteral ? "" : "columns are parted by commas";
  }
  bool has_between(TokenKind kind, size_t from, size_t to) const {
    for (size_t i = from; i < to; ++i)
      if (input_.tokens[i].kind == kind) return true;
    return false;
  }

  bool begins_query(size_t at) const {
    const TokenKind before = input_.tokens[at - 1].kind;
    return before == TokenKind::kSubquery || before == TokenKind::kExplain || before == TokenKind::kAnalyze ||
           (before == TokenKind::kAs && at > 2);
  }

  const Input& input_;
  const Stop& stop_;
};

// ---------------------------------------------------------------------------------------------------- the builder

// ANTLR's parse tree -> our syntax tree, with the checks that the grammar leaves open.
class Builder {
 public:
  explicit Builder(const Input& input) : input_(input) {}

  Statement statement(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    Statement result{Query{}, span_of(tree)};
    if (antlr4::ParserRuleContext* inner = in.rule(FlowQL::RuleQuery)) {
      result.node = query(inner);
    } else if (in.take(TokenKind::kExplain)) {
      Explain explain;
      explain.analyze = in.take(TokenKind::kAnalyze) != nullptr;
      explain.query = query(in.rule(FlowQL::RuleQuery));
      result.node = std::move(explain);
    } else if (in.take(TokenKind::kShow)) {
      Show show;
      show.subject = keyword(*in.take(TokenKind::kWord));
      show.arguments = arguments(in);
      stages(in, show.stages);
      result.node = std::move(show);
    } else if (in.take(TokenKind::kCreate)) {
      const bool replace = in.take(TokenKind::kReplace) != nullptr;
      if (antlr4::ParserRuleContext* rule = in.rule(FlowQL::RuleCreateRule)) {
        result.node = create_rule(rule, replace);
      } else {
        result.node = create_list(in.rule(FlowQL::RuleCreateList), replace);
      }
    } else {
      Command command;
      command.verb = keyword(*in.take(TokenKind::kCommand));
      command.arguments = arguments(in);
      if (in.take(TokenKind::kOver)) command.over = time_clause(in.rule(FlowQL::RuleTimeClause));
      result.node = std::move(command);
    }
    return result;
  }

  ExprPtr expression(antlr4::ParserRuleContext* tree) { return expr(tree).expr; }

 private:
  struct Built {
    ExprPtr expr;
    size_t depth = 1;
  };

  // Steps through the children of one node.
  class Children {
   public:
    Children(const Builder& builder, antlr4::ParserRuleContext* tree) : builder_(builder), tree_(tree) {}

    bool done() const { return next_ == tree_->children.size(); }
    // The token that stands next, or null if it is a rule or nothing.
    const Token* token() const {
      if (done()) return nullptr;
      auto* leaf = dynamic_cast<antlr4::tree::TerminalNode*>(tree_->children[next_]);
      return leaf == nullptr ? nullptr : builder_.token_of(leaf->getSymbol());
    }
    const Token* take() {
      const Token* next = token();
      if (next != nullptr) ++next_;
      return next;
    }
    const Token* take(TokenKind kind) {
      const Token* next = token();
      if (next == nullptr || next->kind != kind) return nullptr;
      ++next_;
      return next;
    }
    antlr4::ParserRuleContext* rule() {
      if (done()) return nullptr;
      auto* rule = dynamic_cast<antlr4::ParserRuleContext*>(tree_->children[next_]);
      if (rule != nullptr) ++next_;
      return rule;
    }
    antlr4::ParserRuleContext* rule(size_t index) {
      if (done()) return nullptr;
      auto* rule = dynamic_cast<antlr4::ParserRuleContext*>(tree_->children[next_]);
      if (rule == nullptr || rule->getRuleIndex() != index) return nullptr;
      ++next_;
      return rule;
    }

   private:
    const Builder& builder_;
    antlr4::ParserRuleContext* tree_;
    size_t next_ = 0;
  };

  const Token* token_of(const antlr4::Token* token) const {
    return &input_.tokens[std::min<size_t>(token->getTokenIndex(), input_.tokens.size() - 1)];
  }
  Span span_of(antlr4::ParserRuleContext* tree) const {
    const Span first = token_of(tree->getStart())->span;
    return tree->getStop() == nullptr ? first : first.through(token_of(tree->getStop())->span);
  }

  [[noreturn]] static void refuse(const Span& span, std::string message, std::string hint = "",
                                  std::vector<std::string> expected = {}) {
    throw Refusal{{std::move(message), std::move(hint), span, std::move(expected)}};
  }
  [[noreturn]] void refuse_wanted(const Span& span, const char* wanted, const Token& after, std::string hint = {}) const {
    refuse(span, std::string("expected ") + wanted + " after " + shown(input_.text_of(after)), std::move(hint), {wanted});
  }

  Built make(Expr::Node node, const Span& span, size_t depth) const {
    if (depth > kMaxNestingDepth)
      refuse(span, "this expression is nested too deep: the limit is " + std::to_string(kMaxNestingDepth) + " levels");
    return {ExprPtr(Expr{std::move(node), span}), depth};
  }
  Span across(const Built& first, const Built& last) const { return first.expr->span.through(last.expr->span); }

  Keyword keyword(const Token& token) const { return {lower_case(input_.text_of(token)), token.span}; }

  Name name_of(const Token& token) const {
    Name name = std::get<Name>(input_.values[token.value]);
    name.span = token.span;
    return name;
  }
  Name name(antlr4::ParserRuleContext* tree) const { return name_of(*token_of(tree->getStart())); }

  Expr::Node value_of(const Token& token) const {
    Expr::Node node = input_.values[token.value];
    if (auto* name = std::get_if<Name>(&node)) name->span = token.span;
    return node;
  }
  ExprPtr value(const Token& token) const { return Expr{value_of(token), token.span}; }

  ExprPtr duration(const Token& token, const Token& after) const {
    ExprPtr expr = value(token);
    if (!expr->as<DurationLiteral>() && !expr->as<Parameter>())
      refuse_wanted(token.span, kDurationWords, after, duration_hint(input_, static_cast<size_t>(&token - input_.tokens.data())));
    return expr;
  }
  ExprPtr count(const Token& token, const Token& after) const {
    ExprPtr expr = value(token);
    if (!expr->as<IntegerLiteral>() && !expr->as<Parameter>()) refuse_wanted(token.span, kNumberWords, after);
    return expr;
  }

  // ------------------------------------------------------------------------------------------------ expressions

  Built expr(antlr4::ParserRuleContext* tree) { return logical(tree, LogicalOp::kOr); }

  // `a or b or c`, and below it `a and b and c`.
  Built logical(antlr4::ParserRuleContext* tree, LogicalOp op) {
    const auto operand = [&](antlr4::ParserRuleContext* child) {
      return op == LogicalOp::kOr ? logical(child, LogicalOp::kAnd) : negation(child);
    };
    Children in(*this, tree);
    Built first = operand(in.rule());
    if (in.done()) return first;
    size_t depth = first.depth;
    Logical node{op, {}};
    const auto add = [&](const Built& built) {
      // (a or b) or c says the same as a or b or c.
      const auto* inner = built.expr->as<Logical>();
      if (inner != nullptr && inner->op == op) {
        node.operands.insert(node.operands.end(), inner->operands.begin(), inner->operands.end());
      } else {
        node.operands.push_back(built.expr);
      }
    };
    add(first);
    while (in.take()) {
      const Built next = operand(in.rule());
      depth = std::max(depth, next.depth);
      add(next);
    }
    return make(std::move(node), span_of(tree), depth + 1);
  }

  Built negation(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    if (in.take(TokenKind::kNot)) {
      const Built operand = negation(in.rule());
      return make(Unary{UnaryOp::kNot, operand.expr}, span_of(tree), operand.depth + 1);
    }
    return predicate(in.rule());
  }

  Built predicate(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    const Built left = arithmetic(in.rule());
    if (in.done()) return left;
    const Span span = span_of(tree);
    const bool negated = in.take(TokenKind::kInfixNot) != nullptr;
    const Token& op = *in.take();
    switch (op.kind) {
      case TokenKind::kCompare: {
        const Built right = arithmetic(in.rule());
        const size_t depth = std::max(left.depth, right.depth) + 1;
        if (op.compare == CompareOp::kEqual || op.compare == CompareOp::kNotEqual) {
          const bool unequal = op.compare == CompareOp::kNotEqual;
          if (right.expr->as<NullLiteral>()) return make(IsNull{unequal, left.expr}, span, depth);
          if (left.expr->as<NullLiteral>()) return make(IsNull{unequal, right.expr}, span, depth);
        }
        Built compare = make(Compare{op.compare, left.expr, right.expr}, span, depth);
        if (!negated) return compare;
        return make(Unary{UnaryOp::kNot, compare.expr}, span, depth + 1);
      }
      case TokenKind::kIn: {
        In node{negated, left.expr, {}, {}};
        size_t depth = left.depth;
        Children items(*this, in.rule());
        if (items.take(TokenKind::kSubquery)) {
          node.query = query(items.rule());
          return make(std::move(node), span, depth + 1);
        }
        const bool list = items.take(TokenKind::kListParen) != nullptr;
        do {
          const Built item = list_item(items.rule());
          depth = std::max(depth, item.depth);
          node.items.push_back(item.expr);
        } while (list && items.take(TokenKind::kComma));
        return make(std::move(node), span, depth + 1);
      }
      case TokenKind::kBetween: {
        const Built low = arithmetic(in.rule());
        in.take();
        const Built high = arithmetic(in.rule());
        const size_t depth = std::max({left.depth, low.depth, high.depth}) + 1;
        return make(Between{negated, left.expr, low.expr, high.expr}, span, depth);
      }
      default: {  // is [not] null
        const bool is_not = in.take(TokenKind::kNot) != nullptr;
        const Token& null = *in.take();
        if (!std::holds_alternative<NullLiteral>(input_.values[null.value]))
          refuse_wanted(null.span, "'null' or 'not null'", op);
        return make(IsNull{is_not, left.expr}, span, left.depth + 1);
      }
    }
  }

  Built list_item(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    if (const Token* list = in.take()) return make(value_of(*list), list->span, 1);
    return arithmetic(in.rule());
  }

  static ArithmeticOp arithmetic_op(TokenKind kind) {
    switch (kind) {
      case TokenKind::kPlus:
        return ArithmeticOp::kAdd;
      case TokenKind::kMinus:
        return ArithmeticOp::kSubtract;
      case TokenKind::kStar:
        return ArithmeticOp::kMultiply;
      case TokenKind::kSlash:
        return ArithmeticOp::kDivide;
      default:
        return ArithmeticOp::kModulo;
    }
  }

  // A sum of products of factors; left to right.
  Built arithmetic(antlr4::ParserRuleContext* tree) {
    const auto operand = [&](antlr4::ParserRuleContext* child) {
      return child->getRuleIndex() == FlowQL::RuleProduct ? arithmetic(child) : factor(child);
    };
    Children in(*this, tree);
    Built left = operand(in.rule());
    while (const Token* op = in.take()) {
      const Built right = operand(in.rule());
      left = make(Arithmetic{arithmetic_op(op->kind), left.expr, right.expr}, across(left, right),
                  std::max(left.depth, right.depth) + 1);
    }
    return left;
  }

  Built factor(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    if (in.take(TokenKind::kNegate)) {
      const Built operand = factor(in.rule());
      return make(Unary{UnaryOp::kNegate, operand.expr}, span_of(tree), operand.depth + 1);
    }
    return primary(in.rule());
  }

  Built primary(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    if (antlr4::ParserRuleContext* inner = in.rule(FlowQL::RuleName)) {
      Name column = name(inner);
      const Span span = column.span;
      return make(std::move(column), span, 1);
    }
    const Token& first = *in.take();
    if (first.kind == TokenKind::kLiteral) return make(value_of(first), first.span, 1);
    if (first.kind == TokenKind::kLeftParen) return expr(in.rule());
    Call call{name_of(first), {}};
    size_t depth = 0;
    in.take();  // (
    while (antlr4::ParserRuleContext* argument = in.rule()) {
      const Built built = expr(argument);
      depth = std::max(depth, built.depth);
      call.arguments.push_back(built.expr);
      in.take();  // , or )
    }
    return make(std::move(call), span_of(tree), depth + 1);
  }

  NamedExpr named_expr(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    std::optional<Name> label;
    if (const Token* named = in.take(TokenKind::kNamed)) {
      label = name_of(*named);
      in.take();
    }
    ExprPtr body = expr(in.rule()).expr;
    if (const Token* as = in.take(TokenKind::kAs)) {
      if (label) refuse(as->span, "this expression has a name already", "'a = b' and 'b as a' say the same");
      label = name(in.rule());
    }
    return {std::move(label), std::move(body), span_of(tree)};
  }
  std::vector<NamedExpr> named_exprs(antlr4::ParserRuleContext* tree) {
    std::vector<NamedExpr> result;
    Children in(*this, tree);
    do {
      result.push_back(named_expr(in.rule()));
    } while (in.take());
    return result;
  }
  std::vector<NamedExpr> keys(antlr4::ParserRuleContext* by) {
    Children in(*this, by);
    in.take();
    return named_exprs(in.rule());
  }

  // ------------------------------------------------------------------------------------------------ time

  ExprPtr point_in_time(antlr4::ParserRuleContext* tree, const Token& after) {
    ExprPtr point = arithmetic(tree).expr;
    if (const auto* text = point->as<StringLiteral>()) {
      const auto time = read_timestamp(text->value);
      if (!time)
        refuse(point->span, shown(text->value) + " is not a valid date or time",
               "timestamps look like 2026-11-20, 2026-11-20T08:14Z or 2026-11-20T08:14:01.5+02:00", {kTimeWords});
      return Expr{TimestampLiteral{*time, {text->value}}, point->span};
    }
    const bool fits = point->as<TimestampLiteral>() || point->as<Parameter>() || point->as<Name>() ||
                      point->as<Call>() || point->as<Arithmetic>();
    if (!fits) refuse_wanted(point->span, kTimeWords, after);
    return point;
  }

  TimeClause time_clause(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    const Token& first = *in.take();
    const Span span = span_of(tree);
    switch (first.kind) {
      case TokenKind::kLast:
        return {TimeLast{duration(*in.take(), first)}, span};
      case TokenKind::kSince:
        return {TimeSince{point_in_time(in.rule(), first)}, span};
      case TokenKind::kAt: {
        ExprPtr center = point_in_time(in.rule(), first);
        const Token& sign = *in.take();
        return {TimeAround{std::move(center), duration(*in.take(), sign)}, span};
      }
      default: {
        const bool active = first.kind == TokenKind::kActive;
        const Token& between = active ? *in.take() : first;
        ExprPtr from = point_in_time(in.rule(), between);
        const Token& conjunction = *in.take();
        ExprPtr to = point_in_time(in.rule(), conjunction);
        const auto* a = from->as<TimestampLiteral>();
        const auto* b = to->as<TimestampLiteral>();
        if (a != nullptr && b != nullptr && b->nanoseconds < a->nanoseconds)
          refuse(from->span.through(to->span), "this time range ends before it begins");
        return {TimeBetween{std::move(from), std::move(to), active}, span};
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ stages

  Query query(antlr4::ParserRuleContext* tree) {
    Query result;
    result.span = span_of(tree);
    result.source.name = Name{{"flows"}, false, result.span};
    result.source.name.span.length = 0;
    Children in(*this, tree);
    if (in.take(TokenKind::kFrom)) result.source.name = name(in.rule());
    const auto time = [&] {
      antlr4::ParserRuleContext* clause = in.rule(FlowQL::RuleTimeClause);
      if (clause == nullptr) return;
      if (result.time) refuse(span_of(clause), "the query has a time range already");
      result.time = time_clause(clause);
    };
    time();
    if (antlr4::ParserRuleContext* first = in.rule(FlowQL::RuleStage)) result.stages.push_back(stage(first));
    time();
    stages(in, result.stages);
    return result;
  }

  void stages(Children& in, std::vector<Stage>& out) {
    while (in.take(TokenKind::kPipe)) {
      out.push_back(stage(in.rule()));
      if (out.size() > kMaxStages)
        refuse(out.back().span, "the query has too many stages: the limit is " + std::to_string(kMaxStages));
    }
  }

  Stage stage(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    const Span span = span_of(tree);
    if (antlr4::ParserRuleContext* filter = in.rule(FlowQL::RuleExpr)) {
      Keyword implied{"where", span};
      implied.span.length = 0;
      return {std::move(implied), WhereStage{expr(filter).expr}, span};
    }
    const Token& head = *in.take();
    Keyword label = keyword(head);
    return {std::move(label), stage_body(head, in, span), span};
  }

  Stage::Node stage_body(const Token& head, Children& in, const Span& span) {
    switch (head.kind) {
      case TokenKind::kWhere:
        return WhereStage{expr(in.rule()).expr};
      case TokenKind::kExtend: {
        ExtendStage node{named_exprs(in.rule())};
        for (const NamedExpr& column : node.columns)
          if (!column.name)
            refuse(column.span, "this new column has no name", "name it: extend name = …", {"a definition such as a = b"});
        return node;
      }
      case TokenKind::kSelect:
        return SelectStage{named_exprs(in.rule())};
      case TokenKind::kDrop: {
        DropStage node;
        do {
          node.columns.push_back(name(in.rule()));
        } while (in.take(TokenKind::kComma));
        return node;
      }
      case TokenKind::kRename: {
        RenameStage node;
        do {
          node.columns.push_back(renaming(in.rule()));
        } while (in.take(TokenKind::kComma));
        return node;
      }
      case TokenKind::kStats:
        return stats(in);
      case TokenKind::kTop:
        return top(head, in);
      case TokenKind::kTimeseries:
        return timeseries(in, span);
      case TokenKind::kSort: {
        in.take(TokenKind::kBy);
        SortStage node;
        do {
          node.keys.push_back(sort_key(in.rule()));
        } while (in.take(TokenKind::kComma));
        return node;
      }
      case TokenKind::kLimitStage:
        return LimitStage{count(*in.take(), head)};
      case TokenKind::kTail:
        return TailStage{count(*in.take(), head)};
      case TokenKind::kSample: {
        const Token& amount = *in.take();
        ExprPtr expr = value(amount);
        const auto* share = expr->as<FloatLiteral>();
        const bool fits = expr->as<IntegerLiteral>() || expr->as<Parameter>() ||
                          (share != nullptr && share->value > 0 && share->value <= 1);
        if (!fits) refuse_wanted(amount.span, "a number of rows or a share such as 0.01", head);
        return SampleStage{std::move(expr)};
      }
      case TokenKind::kDistinct: {
        DistinctStage node;
        if (antlr4::ParserRuleContext* columns = in.rule()) node.columns = named_exprs(columns);
        return node;
      }
      case TokenKind::kRender: {
        const Token& kind = *in.take();
        return RenderStage{keyword(kind), arguments(in)};
      }
      default: {
        const std::string label = lower_case(input_.text_of(head));
        if (!is_stage_name(label)) {
          // Names far from all that are known belong to whoever binds the tree; typing errors are told here.
          std::string hint = did_you_mean(label, stage_names());
          if (!hint.empty()) refuse(head.span, "unknown stage " + shown(label), std::move(hint));
        }
        return GenericStage{arguments(in)};
      }
    }
  }

  Renaming renaming(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    if (const Token* named = in.take(TokenKind::kNamed)) {
      in.take();
      return {name_of(*named), name(in.rule())};
    }
    Name from = name(in.rule());
    in.take();
    return {name(in.rule()), std::move(from)};
  }

  StatsStage stats(Children& in) {
    StatsStage node{named_exprs(in.rule()), {}, std::nullopt};
    while (!in.done()) {
      antlr4::ParserRuleContext* part = in.rule();
      if (part->getRuleIndex() == FlowQL::RuleBy) {
        if (!node.keys.empty()) refuse(span_of(part), "this stage has a 'by' already");
        node.keys = keys(part);
      } else {
        if (node.window) refuse(span_of(part), "this stage has a 'window' already");
        node.window = window(part);
      }
    }
    return node;
  }

  Window window(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    const Token& head = *in.take();
    const Span span = span_of(tree);
    if (const Token* word = in.take(TokenKind::kWord)) {
      if (lower_case(input_.text_of(*word)) != "session")
        refuse_wanted(word->span, "a duration such as 5m, or 'session gap 10m',", head);
      const Token& gap = *in.take();
      return {Window::Kind::kSession, duration(*in.take(), gap), std::nullopt, span};
    }
    ExprPtr size = duration(*in.take(), head);
    if (const Token* slide = in.take(TokenKind::kSlide))
      return {Window::Kind::kHopping, std::move(size), duration(*in.take(), *slide), span};
    return {Window::Kind::kTumbling, std::move(size), std::nullopt, span};
  }

  TopStage top(const Token& head, Children& in) {
    TopStage node{count(*in.take(), head), {}, {}, false};
    node.keys = named_exprs(in.rule());
    if (antlr4::ParserRuleContext* by = in.rule(FlowQL::RuleBy)) node.aggregates = keys(by);
    if (const Token* with = in.take(TokenKind::kWith)) {
      const Token& word = *in.take();
      if (lower_case(input_.text_of(word)) != "others") refuse_wanted(word.span, "'others'", *with);
      node.with_others = true;
    }
    return node;
  }

  Stage::Node timeseries(Children& in, const Span& span) {
    std::vector<NamedExpr> aggregates = named_exprs(in.rule());
    std::optional<ExprPtr> every;
    TimeseriesStage::Fill fill = TimeseriesStage::Fill::kUnsaid;
    std::optional<ExprPtr> fill_value;
    std::vector<NamedExpr> by;
    std::optional<ExprPtr> limit;
    bool spread = false;
    while (!in.done()) {
      antlr4::ParserRuleContext* part = in.rule();
      Children option(*this, part);
      const auto once = [&](bool said, const char* word) {
        if (said) refuse(span_of(part), "this stage has '" + std::string(word) + "' already");
      };
      if (antlr4::ParserRuleContext* grouping = option.rule(FlowQL::RuleBy)) {
        once(!by.empty(), "by");
        by = keys(grouping);
        continue;
      }
      const Token& word = *option.take();
      switch (word.kind) {
        case TokenKind::kEvery:
          once(every.has_value(), "every");
          every = duration(*option.take(), word);
          break;
        case TokenKind::kLimit:
          once(limit.has_value(), "limit");
          limit = count(*option.take(), word);
          break;
        case TokenKind::kSpread:
          once(spread, "spread");
          spread = true;
          break;
        default:
          once(fill != TimeseriesStage::Fill::kUnsaid, "fill");
          fill_with(option, word, fill, fill_value);
          break;
      }
    }
    if (!every) refuse(span, "a timeseries needs 'every' and a duration", "such as: timeseries count() every 5m", {"'every'"});
    return TimeseriesStage{std::move(aggregates), std::move(*every), std::move(by), std::move(limit), fill,
                           std::move(fill_value), spread};
  }

  void fill_with(Children& in, const Token& word, TimeseriesStage::Fill& fill, std::optional<ExprPtr>& fill_value) {
    const Token* minus = in.take(TokenKind::kNegate);
    const Token& what = *in.take();
    if (what.kind == TokenKind::kWord) {
      if (lower_case(input_.text_of(what)) != "previous") refuse_wanted(what.span, "0, null or previous", word);
      fill = TimeseriesStage::Fill::kPrevious;
      return;
    }
    ExprPtr filled = value(what);
    if (filled->as<NullLiteral>() && minus == nullptr) {
      fill = TimeseriesStage::Fill::kNull;
      return;
    }
    if (!filled->as<IntegerLiteral>() && !filled->as<FloatLiteral>() && !filled->as<Parameter>())
      refuse_wanted(what.span, "0, null or previous", word);
    fill = TimeseriesStage::Fill::kValue;
    if (minus != nullptr) filled = Expr{Unary{UnaryOp::kNegate, filled}, minus->span.through(what.span)};
    fill_value = std::move(filled);
  }

  SortKey sort_key(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    SortKey key{expr(in.rule()).expr, false, SortKey::Nulls::kUnsaid, span_of(tree)};
    if (in.take(TokenKind::kDesc)) key.descending = true;
    in.take(TokenKind::kAsc);
    if (const Token* nulls = in.take(TokenKind::kNulls)) {
      const Token& word = *in.take();
      const std::string side = lower_case(input_.text_of(word));
      if (side != "first" && side != "last") refuse_wanted(word.span, "'first' or 'last'", *nulls);
      key.nulls = side == "first" ? SortKey::Nulls::kFirst : SortKey::Nulls::kLast;
    }
    return key;
  }

  // All the `argument`s that stand next.
  std::vector<StageArg> arguments(Children& in) {
    std::vector<StageArg> result;
    while (antlr4::ParserRuleContext* tree = in.rule(FlowQL::RuleArgument)) {
      Children part(*this, tree);
      StageArg& arg = result.emplace_back();
      arg.span = span_of(tree);
      if (antlr4::ParserRuleContext* body = part.rule(FlowQL::RuleExpr)) {
        arg.node = expr(body).expr;
        continue;
      }
      const Token& first = *part.take();
      switch (first.kind) {
        case TokenKind::kComma:
          break;
        case TokenKind::kListReference:
          arg.node = value(first);
          break;
        case TokenKind::kSubquery:
          arg.node = Subquery{query(part.rule())};
          break;
        case TokenKind::kLeftBracket:
          arg.node = Bracketed{arguments(part)};
          break;
        default:
          arg.node = keyword(first);
          break;
      }
    }
    return result;
  }

  // ------------------------------------------------------------------------------------------------ rules, lists

  Name identifier(antlr4::ParserRuleContext* tree) const {
    const Token& token = *token_of(tree->getStart());
    if (token.kind != TokenKind::kLiteral) return name_of(token);
    const auto* text = std::get_if<StringLiteral>(&input_.values[token.value]);
    if (text == nullptr || text->value.empty()) refuse(token.span, "expected a name", "names look like port_scan", {"a name"});
    return Name{{text->value}, true, token.span};
  }

  RuleOption option(antlr4::ParserRuleContext* tree) {
    Children in(*this, tree);
    RuleOption result{keyword(*in.take()), {}, span_of(tree)};
    if (in.take(TokenKind::kLeftParen)) {
      do {
        result.values.push_back(expr(in.rule()).expr);
      } while (in.take(TokenKind::kComma));
    } else {
      result.values.push_back(value(*in.take()));
    }
    return result;
  }
  static void add_option(std::vector<RuleOption>& options, RuleOption option) {
    for (const RuleOption& other : options)
      if (other.key == option.key) refuse(option.key.span, "the rule has '" + option.key.text + "' already");
    options.push_back(std::move(option));
  }

  CreateRule create_rule(antlr4::ParserRuleContext* tree, bool replace) {
    Children in(*this, tree);
    in.take();  // rule
    CreateRule rule;
    rule.replace = replace;
    rule.name = identifier(in.rule());
    while (antlr4::ParserRuleContext* next = in.rule(FlowQL::RuleOption)) add_option(rule.options, option(next));
    in.take();  // as
    rule.query = query(in.rule());
    while (antlr4::ParserRuleContext* next = in.rule()) {
      if (next->getRuleIndex() == FlowQL::RuleOption) {
        add_option(rule.alert_options, option(next));
        continue;
      }
      if (!rule.alert_by.empty()) refuse(span_of(next), "the rule has 'alert by' already");
      Children alert(*this, next);
      alert.take();  // alert
      alert.take();  // by
      rule.alert_by = named_exprs(alert.rule());
    }
    return rule;
  }

  CreateList create_list(antlr4::ParserRuleContext* tree, bool replace) {
    Children in(*this, tree);
    const bool is_zone = lower_case(input_.text_of(*in.take())) == "zone";
    CreateList list;
    list.replace = replace;
    list.name = identifier(in.rule());
    if (is_zone) list.name.parts = {"zone_" + list.name.text()};
    in.take();  // (
    while (antlr4::ParserRuleContext* item = in.rule()) {
      list.items.push_back(list_item(item).expr);
      in.take();
    }
    return list;
  }

  const Input& input_;
};

// ---------------------------------------------------------------------------------------------------- entry points

// Runs the generated parser over one statement's tokens and hands its tree to `build`.
template <class Build>
std::optional<SyntaxError> run(const Input& input, bool whole_statement, Build build) {
  TokenFeed feed(input);
  antlr4::CommonTokenStream stream(&feed);
  FlowQL parser(&stream);
  parser.removeErrorListeners();
  parser.setErrorHandler(std::make_shared<StopAtOnce>());
  try {
    auto* tree = whole_statement ? static_cast<antlr4::ParserRuleContext*>(parser.oneStatement())
                                 : static_cast<antlr4::ParserRuleContext*>(parser.oneExpression());
    build(dynamic_cast<antlr4::ParserRuleContext*>(tree->children.at(0)));
  } catch (const Stop& stop) {
    return Explanation(input, stop).explain();
  } catch (Refusal& refusal) {
    return std::move(refusal.error);
  }
  return std::nullopt;
}

// The error to tell of two: whichever stands first in the text.
SyntaxError earlier(const std::optional<SyntaxError>& lexical, SyntaxError syntactic) {
  return lexical && lexical->span.offset <= syntactic.span.offset ? *lexical : std::move(syntactic);
}

std::variant<std::vector<Statement>, SyntaxError> parse_statements(std::string_view text, bool only_one) {
  const Tokens tokens = tokenize(text);
  std::vector<Statement> statements;
  size_t start = 0;
  for (size_t i = 0; i < tokens.tokens.size(); ++i) {
    const Token& token = tokens.tokens[i];
    if (token.kind != TokenKind::kSemicolon && token.kind != TokenKind::kEnd) continue;
    const bool empty = i == start;
    const Input input{text, tokens.values, std::span(tokens.tokens).subspan(start, i - start + 1)};
    start = i + 1;
    if (empty && (!only_one || !statements.empty())) continue;
    if (only_one && !statements.empty()) {
      const Span span = input.tokens.front().span;
      return earlier(tokens.error, SyntaxError{"only one statement can stand here", "a second one begins after the ';'",
                                               span, {"the end of the query"}});
    }
    std::optional<SyntaxError> error = run(input, true, [&](antlr4::ParserRuleContext* tree) {
      statements.push_back(Builder(input).statement(tree));
    });
    if (error) return earlier(tokens.error, std::move(*error));
  }
  if (tokens.error) return *tokens.error;
  return statements;
}

}  // namespace

std::string SyntaxError::text() const {
  std::string result = "line " + std::to_string(span.line) + ", column " + std::to_string(span.column) + ": " + message;
  if (!hint.empty()) result += " (" + hint + ")";
  return result;
}

ParseResult parse(std::string_view text) {
  auto result = parse_statements(text, true);
  if (auto* error = std::get_if<SyntaxError>(&result)) return std::move(*error);
  return std::move(std::get<0>(result).front());
}

std::variant<std::vector<Statement>, SyntaxError> parse_script(std::string_view text) {
  return parse_statements(text, false);
}

std::variant<ExprPtr, SyntaxError> parse_expression(std::string_view text) {
  const Tokens tokens = tokenize(text, StartAs::kExpression);
  const Input input{text, tokens.values, tokens.tokens};
  std::optional<ExprPtr> expression;
  std::optional<SyntaxError> error = run(
      input, false, [&](antlr4::ParserRuleContext* tree) { expression = Builder(input).expression(tree); });
  if (error) return earlier(tokens.error, std::move(*error));
  if (tokens.error) return *tokens.error;
  return std::move(*expression);
}

}  // namespace sluice::grammar
