#include "grammar/tokens.h"

#include <algorithm>
#include <unordered_map>

#include "grammar/characters.h"
#include "grammar/limits.h"
#include "grammar/literals.h"
#include "grammar/words.h"

namespace sluice::grammar {
namespace {

bool is_quote(char c) { return c == '\'' || c == '"'; }

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return result;
}

// The length of the well-formed UTF-8 sequence at text[i] (RFC 3629: no overlongs, no surrogates), 0 if there is none.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return k < text.size() ? static_cast<uint8_t>(text[k]) : uint8_t{0}; };
  const auto follows = [&](size_t k) { return (byte(k) & 0xc0) == 0x80; };
  const uint8_t lead = byte(i);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(i + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!follows(i + 1) || !follows(i + 2)) return 0;
    if (lead == 0xe0 && byte(i + 1) < 0xa0) return 0;
    if (lead == 0xed && byte(i + 1) > 0x9f) return 0;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!follows(i + 1) || !follows(i + 2) || !follows(i + 3)) return 0;
    if (lead == 0xf0 && byte(i + 1) < 0x90) return 0;
    if (lead == 0xf4 && byte(i + 1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

// Blanks that people paste from documents along with a query: no-break space, byte order mark.
size_t pasted_blank(std::string_view text, size_t i) {
  const std::string_view rest = text.substr(i);
  if (rest.starts_with("\u00a0")) return 2;
  if (rest.starts_with("\ufeff")) return 3;
  return 0;
}

void append_utf8(std::string& out, uint32_t code_point) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | code_point >> 6);
    out += static_cast<char>(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0 | code_point >> 12);
    out += static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code_point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code_point >> 18);
    out += static_cast<char>(0x80 | (code_point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code_point & 0x3f));
  }
}

std::string too_long(std::string_view what, size_t bytes_max) {
  return "this " + std::string(what) + " is too long: the limit is " + std::to_string(bytes_max) + " bytes";
}

// What a word means where an operator may stand.
struct OperatorWord {
  TokenKind kind;
  CompareOp compare = CompareOp::kEqual;
};
const std::unordered_map<std::string_view, OperatorWord>& operator_table() {
  static const std::unordered_map<std::string_view, OperatorWord> table = {
      {"and", {TokenKind::kAnd}},
      {"or", {TokenKind::kOr}},
      {"in", {TokenKind::kIn}},
      {"is", {TokenKind::kIs}},
      {"has", {TokenKind::kCompare, CompareOp::kHas}},
      {"contains", {TokenKind::kCompare, CompareOp::kContains}},
      {"starts_with", {TokenKind::kCompare, CompareOp::kStartsWith}},
      {"startswith", {TokenKind::kCompare, CompareOp::kStartsWith}},
      {"ends_with", {TokenKind::kCompare, CompareOp::kEndsWith}},
      {"endswith", {TokenKind::kCompare, CompareOp::kEndsWith}},
      {"matches", {TokenKind::kCompare, CompareOp::kMatches}},
      {"by", {TokenKind::kBy}},
      {"as", {TokenKind::kAs}},
      {"asc", {TokenKind::kAsc}},
      {"desc", {TokenKind::kDesc}},
      {"nulls", {TokenKind::kNulls}},
      {"with", {TokenKind::kWith}},
      {"every", {TokenKind::kEvery}},
      {"limit", {TokenKind::kLimit}},
      {"fill", {TokenKind::kFill}},
      {"spread", {TokenKind::kSpread}},
      {"window", {TokenKind::kWindow}},
      {"slide", {TokenKind::kSlide}},
      {"gap", {TokenKind::kGap}},
  };
  return table;
}

const std::unordered_map<std::string_view, TokenKind>& stage_table() {
  static const std::unordered_map<std::string_view, TokenKind> table = {
      {"where", TokenKind::kWhere},       {"extend", TokenKind::kExtend},   {"select", TokenKind::kSelect},
      {"drop", TokenKind::kDrop},         {"rename", TokenKind::kRename},   {"stats", TokenKind::kStats},
      {"top", TokenKind::kTop},           {"sort", TokenKind::kSort},       {"timeseries", TokenKind::kTimeseries},
      {"limit", TokenKind::kLimitStage},  {"tail", TokenKind::kTail},       {"sample", TokenKind::kSample},
      {"distinct", TokenKind::kDistinct}, {"render", TokenKind::kRender},
  };
  return table;
}

// Words that join the arguments of a generic stage. Only those that a parenthesis or a minus may follow need to be
// here, so that `on (a, b)` is not a call; others arrive as names.
bool is_connector(std::string_view word) {
  static constexpr std::string_view kWords[] = {"on",   "to",    "of",   "within", "using",  "over",    "for",  "then",
                                                "from", "until", "into", "last",   "since",  "at",      "where"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

// Words that can follow a value but never begin one: a name before them is a column, whatever it is called.
bool is_infix_word(std::string_view word) {
  static constexpr std::string_view kWords[] = {"and", "or", "in", "is", "has", "contains", "between", "matches",
                                                "starts_with", "startswith", "ends_with", "endswith"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}
bool is_negatable_word(std::string_view word) {
  return is_infix_word(word) && word != "and" && word != "or" && word != "is";
}
// Those that are functions too, where a value may begin: `contains(x, "a")` beside `x contains "a"`.
bool is_infix_function(std::string_view word) {
  static constexpr std::string_view kWords[] = {"has", "contains", "matches", "starts_with", "ends_with"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

bool takes_named_items(std::string_view stage) {
  static constexpr std::string_view kStages[] = {"extend", "select", "stats", "timeseries", "distinct",
                                                 "top",    "rename", "alert"};
  return std::find(std::begin(kStages), std::end(kStages), stage) != std::end(kStages);
}

bool is_command_object(std::string_view word) { return word == "rule" || word == "list" || word == "table" || word == "zone" || word == "target"; }

class Tokenizer {
 public:
  Tokenizer(std::string_view text, StartAs start) : text_(text) {
    frames_.push_back({});
    if (start == StartAs::kExpression) {
      position_ = Position::kOperand;
      frames_.back().head = false;
      frames_.back().stage = "where";
    }
  }

  Tokens run() {
    if (text_.size() > kMaxQueryBytes) {
      fail(0, 0, "the query text is too long: it has " + std::to_string(text_.size()) + " bytes, the limit is " +
                     std::to_string(kMaxQueryBytes) + " bytes");
    } else if (check_bytes()) {
      while (!out_.error && step()) {
      }
    }
    const size_t end = out_.error ? out_.error->span.offset : text_.size();
    push(TokenKind::kEnd, end, end);
    out_.position = position_;
    out_.stage = query_frame().stage;
    return std::move(out_);
  }

 private:
  enum class FrameKind : uint8_t { kQuery, kParen, kList, kBracket };
  // One open parenthesis or bracket, or a (sub)query.
  struct Frame {
    FrameKind kind = FrameKind::kQuery;
    uint32_t depth = 0;         // nesting of all that encloses it
    size_t opened_at = 0;       // offset of its opening
    bool head = true;           // kQuery: before the first '|'
    bool generic = false;       // kQuery: inside a stage that the grammar does not name
    bool item_start = false;    // the next name may be followed by '=' as its definition
    size_t item_token = SIZE_MAX;
    bool compared = false;      // the expression at hand has its comparison already
    bool call = false;          // kParen: the arguments of a function
    bool condition = false;     // kParen: a condition in parentheses, nothing to compare further
    bool between = false;       // the next `and` belongs to a `between`
    bool count_next = false;    // the count of `top` comes next
    bool join_paren = false;    // the next '(' of a join opens its query
    std::string stage;
  };
  enum class RulePhase : uint8_t { kNone, kName, kHeader, kBody, kTrailer };

  // ------------------------------------------------------------------------------------------------ text

  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  bool check_bytes() {
    for (size_t i = 0; i < text_.size();) {
      if (text_[i] == '\0') {
        fail(i, 1, "the query contains a NUL byte");
        return false;
      }
      const size_t length = utf8_length(text_, i);
      if (length == 0) {
        fail(i, 1, "the query is not valid UTF-8");
        return false;
      }
      i += length;
    }
    return true;
  }

  // Past blanks and comments. An unclosed /* leads to its own start.
  size_t skip_blank(size_t i) const {
    while (i < text_.size()) {
      const char c = text_[i];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
        ++i;
      } else if ((c == '-' && at(i + 1) == '-') || (c == '/' && at(i + 1) == '/')) {
        const size_t end = text_.find('\n', i);
        i = end == std::string_view::npos ? text_.size() : end + 1;
      } else if (c == '/' && at(i + 1) == '*') {
        const size_t end = text_.find("*/", i + 2);
        if (end == std::string_view::npos) return i;
        i = end + 2;
      } else if (const size_t blank = pasted_blank(text_, i)) {
        i += blank;
      } else {
        break;
      }
    }
    return i;
  }

  size_t word_end(size_t i) const {
    while (i < text_.size() && is_word_char(text_[i])) ++i;
    return i;
  }
  // The word at i in lower case; "" if none begins there or it is part of a dotted name or literal.
  std::string word_at(size_t i) const {
    if (!is_letter(at(i))) return "";
    const size_t end = word_end(i);
    if (end - i > 32 || at(end) == ':' || (at(end) == '.' && (is_letter(at(end + 1)) || is_quote(at(end + 1))))) return "";
    return lower_case(text_.substr(i, end - i));
  }

  // ------------------------------------------------------------------------------------------------ output

  void fail(size_t offset, size_t length, std::string message, std::string hint = "") {
    if (out_.error) return;
    out_.error = SyntaxError{std::move(message), std::move(hint), span_at(text_, offset, length), {}};
  }

  Frame& frame() { return frames_.back(); }
  // The innermost query around here.
  Frame& query_frame() {
    for (size_t i = frames_.size(); i-- > 1;)
      if (frames_[i].kind == FrameKind::kQuery) return frames_[i];
    return frames_[0];
  }
  bool at_query_level() const { return frames_.back().kind == FrameKind::kQuery; }
  TokenKind last_kind() const { return out_.tokens.empty() ? TokenKind::kEnd : out_.tokens.back().kind; }

  Token& push(TokenKind kind, size_t start, size_t end, std::optional<Expr::Node> value = std::nullopt) {
    for (; cursor_ < start; ++cursor_) {
      if (text_[cursor_] == '\n') {
        ++line_;
        column_ = 1;
      } else if ((static_cast<uint8_t>(text_[cursor_]) & 0xc0) != 0x80) {
        ++column_;
      }
    }
    if (out_.tokens.size() >= kMaxTokens && kind != TokenKind::kEnd)
      fail(start, end - start,
           "the query is too long: the limit is " + std::to_string(kMaxTokens) + " words, values and symbols");
    Token token;
    token.kind = kind;
    token.span = {static_cast<uint32_t>(start), static_cast<uint32_t>(end - start), line_, column_};
    if (value) {
      token.value = static_cast<uint32_t>(out_.values.size());
      out_.values.push_back(std::move(*value));
    }
    out_.tokens.push_back(token);
    if (kind != TokenKind::kNot && kind != TokenKind::kNegate) prefixes_ = 0;
    return out_.tokens.back();
  }

  // A token that an operand must follow.
  void push_operator(TokenKind kind, size_t start, size_t end) {
    push(kind, start, end);
    position_ = Position::kOperand;
  }

  void push_compare(CompareOp op, size_t start, size_t end) {
    push(TokenKind::kCompare, start, end).compare = op;
    frame().compared = frame().condition = true;
    position_ = Position::kOperand;
  }

  void push_and(size_t start, size_t end) {
    Frame& f = frame();
    if (f.between) {
      f.between = false;  // `between low and high`
    } else {
      f.compared = false;
      f.condition = true;
    }
    push_operator(TokenKind::kAnd, start, end);
  }

  // A prefix operator. Right after a parenthesis it is counted with it, so that print()'s parentheses never make a
  // text deeper than the tree it came from.
  void push_prefix(TokenKind kind, size_t start, size_t end) {
    begin_expression();
    frame().item_start = false;
    const TokenKind before = last_kind();
    const bool counted = before != TokenKind::kLeftParen && before != TokenKind::kListParen;
    const size_t prefixes = prefixes_ + (counted ? 1 : 0);
    push(kind, start, end);
    prefixes_ = prefixes;
    position_ = Position::kOperand;
    check_depth(start);
  }

  void push_operand(TokenKind kind, size_t start, size_t end, Expr::Node value) {
    begin_expression();
    Frame& f = frame();
    if ((kind == TokenKind::kWord || kind == TokenKind::kName) && f.item_start) f.item_token = out_.tokens.size();
    f.item_start = false;
    push(kind, start, end, std::move(value));
    after_operand();
  }

  // An operand where an operator was possible starts a new expression (`from flows dst_port == 53`).
  void begin_expression() {
    if (position_ == Position::kOperator) {
      frame().compared = false;
      frame().between = false;
    }
    if (position_ == Position::kStatement || position_ == Position::kQuery || position_ == Position::kStage)
      frame().stage = "where";
  }

  void after_operand() {
    position_ = Position::kOperator;
    Frame& f = frame();
    if (f.count_next) {
      f.count_next = false;
      f.item_start = true;
      position_ = Position::kOperand;
    } else if (option_open_ && frames_.size() == 1) {
      option_open_ = false;
      position_ = Position::kOptionKey;
    } else if (rule_ == RulePhase::kName && frames_.size() == 1) {
      rule_ = RulePhase::kHeader;
      position_ = Position::kOptionKey;
    }
  }

  void check_depth(size_t start) {
    if (frame().depth + prefixes_ > kMaxNestingDepth)
      fail(start, 1, "the query is nested too deep: the limit is " + std::to_string(kMaxNestingDepth) + " levels");
  }

  void open(TokenKind token, FrameKind kind, size_t start) {
    begin_expression();
    const size_t depth = frame().depth + prefixes_ + 1;
    const bool call = last_kind() == TokenKind::kFunction;
    frame().item_start = false;
    push(token, start, start + 1);
    Frame inner;
    inner.call = call;
    inner.kind = kind;
    inner.depth = static_cast<uint32_t>(depth);
    inner.opened_at = start;
    inner.generic = kind == FrameKind::kBracket;
    frames_.push_back(std::move(inner));
    position_ = kind == FrameKind::kQuery ? Position::kQuery : Position::kOperand;
    check_depth(start);
  }

  void close(char symbol, size_t start) {
    const bool square = symbol == ']';
    if (frames_.size() == 1) {
      fail(start, 1, std::string("this '") + symbol + "' closes nothing");
      return;
    }
    if (square != (frame().kind == FrameKind::kBracket)) {
      const Span opened = span_at(text_, frame().opened_at, 1);
      fail(start, 1, std::string("expected '") + (square ? ")" : "]") + "' before '" + symbol + "'",
           "the '" + std::string(1, text_[frame().opened_at]) + "' at line " + std::to_string(opened.line) + ", column " +
               std::to_string(opened.column) + " is still open");
      return;
    }
    const bool condition = frame().kind == FrameKind::kParen && frame().condition && !frame().call;
    frames_.pop_back();
    push(square ? TokenKind::kRightBracket : TokenKind::kRightParen, start, start + 1);
    after_operand();
    if (condition) frame().compared = true;
  }

  // ------------------------------------------------------------------------------------------------ one token

  bool step() {
    const size_t i = skip_blank(next_);
    next_ = i;
    if (i >= text_.size()) return false;
    const char c = text_[i];
    if (is_digit(c)) return number(i), true;
    if (is_letter(c)) return letters(i), true;
    switch (c) {
      case '\'':
      case '"':
        return string(i), true;
      case '`':
        return name(i), true;
      case '$':
        return parameter(i), true;
      case '@':
        return list_reference(i), true;
      case ':':
        return colons(i), true;
      default:
        symbol(i, c);
        return true;
    }
  }

  bool operand_next() const { return position_ != Position::kOperator; }

  void symbol(size_t i, char c) {
    const char d = at(i + 1);
    size_t length = 1;
    switch (c) {
      case '|':
        if (d == '|') {
          length = 2;
          frame().compared = frame().between = false;
          frame().condition = true;
          push_operator(TokenKind::kOr, i, i + 2);
        } else if (!at_query_level()) {
          const Span opened = span_at(text_, frame().opened_at, 1);
          fail(i, 1, "a '|' stands inside parentheses",
               "the '" + std::string(1, text_[frame().opened_at]) + "' at line " + std::to_string(opened.line) +
                   ", column " + std::to_string(opened.column) + " is open; 'or' and '||' combine conditions");
        } else {
          push(TokenKind::kPipe, i, i + 1);
          start_stage_frame();
          position_ = Position::kStage;
        }
        break;
      case '&':
        if (d != '&') {
          fail(i, 1, "unexpected '&'", "conditions are combined with 'and' or '&&'");
        } else {
          length = 2;
          push_and(i, i + 2);
        }
        break;
      case ',':
        push_operator(TokenKind::kComma, i, i + 1);
        frame().compared = false;
        if (at_query_level()) frame().item_start = takes_named_items(frame().stage);
        break;
      case ';':
        if (frames_.size() > 1) {
          const Span opened = span_at(text_, frame().opened_at, 1);
          fail(i, 1, "the statement ends inside parentheses",
               "the '" + std::string(1, text_[frame().opened_at]) + "' at line " + std::to_string(opened.line) +
                   ", column " + std::to_string(opened.column) + " is still open");
        } else {
          push(TokenKind::kSemicolon, i, i + 1);
          frames_.assign(1, Frame{});
          position_ = Position::kStatement;
          rule_ = RulePhase::kNone;
          option_open_ = false;
          command_ = false;
        }
        break;
      case '(':
        open_paren(i);
        break;
      case '[':
        open(TokenKind::kLeftBracket, FrameKind::kBracket, i);
        break;
      case ')':
      case ']':
        close(c, i);
        break;
      case '=':
        if (d == '=') {
          length = 2;
          push_compare(CompareOp::kEqual, i, i + 2);
        } else if (d == '~') {
          length = 2;
          push_compare(CompareOp::kMatches, i, i + 2);
        } else if (at_query_level() && !out_.tokens.empty() && frame().item_token == out_.tokens.size() - 1) {
          out_.tokens.back().kind = TokenKind::kNamed;
          push_operator(TokenKind::kNaming, i, i + 1);
          frame().item_token = SIZE_MAX;
        } else {
          push_compare(CompareOp::kEqual, i, i + 1);
        }
        break;
      case '!':
        if (d == '=') {
          length = 2;
          push_compare(CompareOp::kNotEqual, i, i + 2);
        } else if (d == '~') {
          length = 2;
          push(TokenKind::kInfixNot, i, i + 2);
          push_compare(CompareOp::kMatches, i, i + 2);
        } else if (position_ == Position::kOperator && is_negatable_word(word_at(skip_blank(i + 1)))) {
          push(TokenKind::kInfixNot, i, i + 1);
        } else {
          push_prefix(TokenKind::kNot, i, i + 1);
        }
        break;
      case '<':
        length = d == '=' || d == '>' ? 2 : 1;
        push_compare(d == '=' ? CompareOp::kLessEqual : d == '>' ? CompareOp::kNotEqual : CompareOp::kLess, i, i + length);
        break;
      case '>':
        length = d == '=' ? 2 : 1;
        push_compare(d == '=' ? CompareOp::kGreaterEqual : CompareOp::kGreater, i, i + length);
        break;
      case '+':
        if (d == '/' && at(i + 2) == '-') {
          length = 3;
          push_operator(TokenKind::kPlusMinus, i, i + 3);
        } else {
          push_operator(TokenKind::kPlus, i, i + 1);
        }
        break;
      case '-':
        if (operand_next()) {
          push_prefix(TokenKind::kNegate, i, i + 1);
        } else {
          push_operator(TokenKind::kMinus, i, i + 1);
        }
        break;
      case '*':
        push_operator(TokenKind::kStar, i, i + 1);
        break;
      case '%':
        push_operator(TokenKind::kPercent, i, i + 1);
        break;
      case '/':
        if (d == '*') {
          fail(i, 2, "this comment is not closed", "'*/' ends it");
        } else if (operand_next()) {
          regex(i);
          return;
        } else {
          push_operator(TokenKind::kSlash, i, i + 1);
        }
        break;
      default:
        if (text_.substr(i).starts_with("\u00b1")) {
          length = 2;
          push_operator(TokenKind::kPlusMinus, i, i + 2);
        } else {
          unexpected(i);
        }
    }
    next_ = i + length;
  }

  void unexpected(size_t i) {
    const size_t length = utf8_length(text_, i);
    const std::string_view symbol = text_.substr(i, length);
    const auto code = static_cast<uint8_t>(text_[i]);
    if (code < 0x20 || code == 0x7f) {
      fail(i, 1, "unexpected control character");
      return;
    }
    std::string hint;
    if (symbol == "\u201c" || symbol == "\u201d" || symbol == "\u2018" || symbol == "\u2019" || symbol == "\u201e") {
      hint = "text stands in plain quotes, ' or \"";
    } else if (symbol == "\u2013" || symbol == "\u2014" || symbol == "\u2212") {
      hint = "a minus is written '-'";
    } else if (code >= 0x80) {
      hint = "names with other than A-Z, 0-9 and _ stand in back-quotes, text in quotes";
    } else if (symbol == "." && !out_.tokens.empty() && out_.tokens.back().kind == TokenKind::kWord) {
      hint = "text stands in quotes, a regular expression between slashes: /web.*/";
    } else if (symbol == "\\") {
      hint = "a backslash stands only inside quotes";
    }
    fail(i, length, "unexpected '" + std::string(symbol) + "'", hint);
  }

  void open_paren(size_t i) {
    if (position_ == Position::kOptionValue) {
      open(TokenKind::kLeftParen, FrameKind::kList, i);
      return;
    }
    if (last_kind() == TokenKind::kIn) {
      const bool query = from_inside(i);
      open(query ? TokenKind::kSubquery : TokenKind::kListParen, query ? FrameKind::kQuery : FrameKind::kList, i);
      return;
    }
    if (list_items_next_) {
      list_items_next_ = false;
      open(TokenKind::kLeftParen, FrameKind::kList, i);
      return;
    }
    if (opens_subquery(i)) {
      frame().join_paren = false;
      open(TokenKind::kSubquery, FrameKind::kQuery, i);
      return;
    }
    open(TokenKind::kLeftParen, FrameKind::kParen, i);
  }

  // Whether the '(' at i holds a query: the first one of a join and that of `expected by` always do, others say so by `from`.
  bool opens_subquery(size_t i) {
    const Frame& f = frames_.back();
    if (!f.generic || position_ == Position::kStage || position_ == Position::kStatement) return false;
    return f.join_paren || (f.stage == "absent" && last_kind() == TokenKind::kBy) || from_inside(i);
  }

  // Whether `from NAME` follows the '(' at i.
  bool from_inside(size_t i) const {
    const size_t inside = skip_blank(i + 1);
    return word_at(inside) == "from" && begins_name(skip_blank(word_end(inside)));
  }

  void start_stage_frame() {
    Frame& f = frame();
    f.head = false;
    f.generic = false;
    f.item_start = false;
    f.item_token = SIZE_MAX;
    f.compared = false;
    f.between = false;
    f.count_next = false;
    f.join_paren = false;
    f.stage.clear();
  }

  // ------------------------------------------------------------------------------------------------ words

  // Whether an operator stands at i, so that what is before it must be a value or column. '-' and '/' may also begin a
  // value; `either` says what to take them for.
  bool operator_at(size_t i, bool either) const {
    const char c = at(i);
    const char d = at(i + 1);
    switch (c) {
      case '=':
      case '<':
      case '>':
      case '+':
      case '*':
      case '%':
        return true;
      case '/':
        return either && d != '*';
      case '!':
        return d == '=' || d == '~' || is_negatable_word(word_at(skip_blank(i + 1)));
      case '&':
        return true;
      case '|':
        return d == '|';
      case '-':
        return either;
      default:
        break;
    }
    const std::string word = word_at(i);
    if (word == "not") return is_negatable_word(word_at(skip_blank(i + 3)));
    return is_infix_word(word);
  }
  // Whether the call of a function that is also an operator stands at i, perhaps behind `not`: `where contains(x, "a")`, where
  // a column called `where` would be compared with one value, and a call has several.
  bool infix_call_at(size_t i) const {
    while (word_at(i) == "not" || (at(i) == '!' && at(i + 1) != '=' && at(i + 1) != '~')) i = skip_blank(at(i) == '!' ? i + 1 : i + 3);
    if (!is_infix_function(word_at(i))) return false;
    const size_t open = skip_blank(word_end(i));
    return at(open) == '(' && has_comma_inside(open);
  }
  // Whether the parenthesis at i holds several values: a comma before it is closed, outside of quotes and of parentheses inside.
  // Looks a bounded way ahead, so that reading stays linear.
  bool has_comma_inside(size_t i) const {
    const size_t end = std::min(text_.size(), i + kMaxRegexBytes);
    char quote = 0;
    size_t depth = 0;
    for (; i < end; ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == '\\') ++i;
        if (c == quote) quote = 0;
      } else if (is_quote(c) || c == '`') {
        quote = c;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')') {
        if (--depth == 0) return false;
      } else if (c == ',' && depth == 1) {
        return true;
      }
    }
    return false;
  }
  // The same behind a stage's name, where `in` may also be a column (`sort in desc`, `where has == 1`): an operator has
  // something to its right that is not an operator itself.
  bool operator_behind_stage(size_t i, bool either) const {
    if (!operator_at(i, either)) return false;
    if (!either && infix_call_at(i)) return false;
    const std::string word = word_at(i);
    const bool star = at(i) == '*';  // `select *` is an error of its own, not a product
    if (!is_infix_word(word) && !star) return true;
    const size_t after = skip_blank(star ? i + 1 : word_end(i));
    const char c = at(after);
    const std::string next = word_at(after);
    return !(after >= text_.size() || c == ',' || c == '|' || c == ';' || c == ')' || next == "asc" || next == "desc" ||
             operator_at(after, true));
  }
  // Whether a name, and not an operator, begins at i.
  bool begins_name(size_t i) const { return at(i) == '`' || at(i) == '"' || (is_letter(at(i)) && !operator_at(i, true)); }
  // Whether a point in time can begin at i.
  bool begins_time(size_t i) const {
    const char c = at(i);
    return is_digit(c) || c == '$' || is_quote(c) || (is_letter(c) && !operator_at(i, true));
  }

  // The time range that `word`, followed by what is at `after`, opens.
  std::optional<TokenKind> time_word(std::string_view word, size_t after) const {
    if (word == "last") {
      if (is_digit(at(after)) || at(after) == '$') return TokenKind::kLast;
    } else if (word == "since") {
      if (begins_time(after)) return TokenKind::kSince;
    } else if (word == "at") {
      if (begins_time(after)) return TokenKind::kAt;
    } else if (word == "between") {
      if (begins_time(after)) return TokenKind::kTimeBetween;
    } else if (word == "active") {
      if (word_at(after) == "between" && begins_time(skip_blank(word_end(after)))) return TokenKind::kActive;
    }
    return std::nullopt;
  }
  void push_time_word(TokenKind kind, size_t start, size_t end) {
    push(kind, start, end);
    frame().compared = true;  // the `between` after `active` is a time range's
    position_ = kind == TokenKind::kActive ? Position::kOperator : Position::kOperand;
  }

  void letters(size_t i) {
    // fe80::1, dead:beef::1, 0a:1b:…: an address may begin like a word.
    size_t hex = i;
    while (hex < text_.size() && is_hex(text_[hex])) ++hex;
    if (at(hex) == ':' && (is_hex(at(hex + 1)) || at(hex + 1) == ':')) {
      number(i);
      return;
    }
    const size_t end = word_end(i);
    if (end - i > kMaxNameBytes) {
      fail(i, end - i, too_long("word", kMaxNameBytes));
      return;
    }
    if (at(end) == '.' && (is_letter(at(end + 1)) || is_quote(at(end + 1)) || at(end + 1) == '`')) {
      name(i);
      return;
    }
    next_ = end;
    word(i, end);
  }

  void push_word(size_t start, size_t end) {
    const std::string_view text = text_.substr(start, end - start);
    Name name;
    name.parts.emplace_back(text);
    const size_t after = skip_blank(end);
    const bool call = at(after) == '(' && position_ != Position::kOptionValue && rule_ != RulePhase::kName &&
                      !list_name_next_ && last_kind() != TokenKind::kFrom && !opens_subquery(after);
    if (list_name_next_) {
      list_name_next_ = false;
      list_items_next_ = true;
    }
    push_operand(call ? TokenKind::kFunction : TokenKind::kWord, start, end, std::move(name));
  }

  void word(size_t start, size_t end) {
    const std::string lower = lower_case(text_.substr(start, end - start));
    const size_t after = skip_blank(end);
    if (rule_ >= RulePhase::kBody && frames_.size() == 1 && lower == "alert" &&
        (word_at(after) == "by" || (after >= text_.size() && position_ == Position::kOperator)) && position_ != Position::kOptionValue) {
      push(TokenKind::kAlert, start, end);
      start_stage_frame();
      frame().stage = "alert";
      rule_ = RulePhase::kTrailer;
      position_ = Position::kOperator;
      return;
    }
    switch (position_) {
      case Position::kStatement:
        if (statement_word(lower, start, end, after)) return;
        [[fallthrough]];
      case Position::kQuery:
        if (query_word(lower, start, end, after)) return;
        [[fallthrough]];
      case Position::kStage:
        if (stage_word(lower, start, end, after)) return;
        [[fallthrough]];
      case Position::kOperand:
        operand_word(lower, start, end, after);
        return;
      case Position::kOperator:
        operator_word(lower, start, end, after);
        return;
      case Position::kOptionKey:
        option_key(lower, start, end);
        return;
      case Position::kOptionValue:
        push_word(start, end);
        return;
    }
  }

  bool statement_word(std::string_view word, size_t start, size_t end, size_t after) {
    const bool word_follows = is_letter(at(after)) && !operator_at(after, true);
    const std::string next = word_at(after);
    if (word == "explain") {
      if (operator_at(after, true)) return false;
      push(TokenKind::kExplain, start, end);
      position_ = Position::kQuery;
      const size_t next_end = word_end(after);
      if (next == "analyze" && !operator_at(skip_blank(next_end), true)) {
        push(TokenKind::kAnalyze, after, next_end);
        next_ = next_end;
      }
      return true;
    }
    if (word == "show") {
      if (!word_follows && after < text_.size()) return false;
      push(TokenKind::kShow, start, end);
      start_generic("show");
      return true;
    }
    if (word == "create") {
      size_t object = after;
      bool replace = false;
      if (next == "or") {
        const size_t second = skip_blank(word_end(after));
        if (word_at(second) != "replace") return false;
        object = skip_blank(word_end(second));
        replace = true;
      }
      const std::string what = word_at(object);
      if (what != "rule" && what != "list" && what != "zone") {
        if (!replace) return command_word(start, end, after);
        if (what != "table" || !command_word(start, end, object)) return false;
        const size_t second = skip_blank(word_end(after));
        push(TokenKind::kKeyword, after, word_end(after));
        push(TokenKind::kKeyword, second, word_end(second));
        next_ = object;
        return true;
      }
      push(TokenKind::kCreate, start, end);
      const size_t object_end = word_end(object);
      if (replace) push(TokenKind::kReplace, after, word_end(skip_blank(word_end(after))));
      if (what == "rule") {
        push(TokenKind::kRule, object, object_end);
        rule_ = RulePhase::kName;
        frame().stage = "create rule";
      } else {
        push(TokenKind::kList, object, object_end);
        list_name_next_ = true;
        frame().stage = "create list";
      }
      next_ = object_end;
      position_ = Position::kOperand;
      return true;
    }
    if (word == "drop" || word == "alter" || word == "replay" || word == "test") return command_word(start, end, after);
    return false;
  }

  // `VERB rule|list|table|zone|target NAME …`
  bool command_word(size_t start, size_t end, size_t after) {
    if (!is_command_object(word_at(after))) return false;
    const char c = at(skip_blank(word_end(after)));
    if (!is_letter(c) && !is_quote(c) && c != '`') return false;
    push(TokenKind::kCommand, start, end);
    command_ = true;
    start_generic("command");
    return true;
  }

  void start_generic(std::string_view stage) {
    Frame& f = frame();
    f.stage = stage;
    f.generic = true;
    f.join_paren = stage == "join";
    position_ = Position::kOperand;
  }

  bool query_word(std::string_view word, size_t start, size_t end, size_t after) {
    if (word == "from" && (begins_name(after) || after >= text_.size())) {
      push_operator(TokenKind::kFrom, start, end);
      frame().compared = true;  // a `between` after the source is a time range
      frame().stage = "from";
      return true;
    }
    auto kind = time_word(word, after);
    // `last xyz`: a column named so stands before an operator; this is a range with a duration that is none.
    if (!kind && word == "last" && (is_quote(at(after)) || (is_letter(at(after)) && !operator_at(after, true)))) kind = TokenKind::kLast;
    if (kind) {
      push_time_word(*kind, start, end);
      frame().stage = "from";
      return true;
    }
    return false;
  }

  bool stage_word(const std::string& word, size_t start, size_t end, size_t after) {
    const bool known = is_stage_name(word);
    if (word == "not" || word == "true" || word == "false" || word == "null") return false;
    if (operator_behind_stage(after, !known)) return false;
    if (!known && (position_ != Position::kStage || at(after) == '(')) return false;
    const auto row = stage_table().find(word);
    const TokenKind kind = row == stage_table().end() ? TokenKind::kStage : row->second;
    push(kind, start, end);
    Frame& f = frame();
    f.compared = false;
    if (kind == TokenKind::kStage || kind == TokenKind::kRender) {
      start_generic(word);
      return true;
    }
    f.stage = word;
    f.count_next = kind == TokenKind::kTop;
    f.item_start = takes_named_items(word) && kind != TokenKind::kTop;
    position_ = Position::kOperand;
    if (kind == TokenKind::kSort && word_at(after) == "by" && !operator_behind_stage(skip_blank(word_end(after)), false) &&
        at(skip_blank(word_end(after))) != ',' && at(skip_blank(word_end(after))) != '|') {
      push(TokenKind::kBy, after, word_end(after));
      next_ = word_end(after);
    }
    return true;
  }

  void operand_word(const std::string& word, size_t start, size_t end, size_t after) {
    if (last_kind() == TokenKind::kOver) {
      if (const auto kind = time_word(word, after)) {
        push_time_word(*kind, start, end);
        return;
      }
    }
    if (word == "not") {
      push_prefix(TokenKind::kNot, start, end);
      return;
    }
    if ((last_kind() == TokenKind::kStats && word == "by") || (last_kind() == TokenKind::kTimeseries && word == "every")) {
      // `stats by src_ip` lacks its aggregate; no column `by` is meant unless a connecting word follows.
      const std::string next = word_at(after);
      const bool value_follows = is_digit(at(after)) || (!next.empty() && next != "alert" && !operator_at(after, true) &&
                                                         operator_table().find(next) == operator_table().end());
      if (value_follows) return push_operator(operator_table().at(word).kind, start, end);
    }
    if (at(after) != '(') {
      if (word == "null") return push_operand(TokenKind::kLiteral, start, end, NullLiteral{});
      if (word == "true") return push_operand(TokenKind::kLiteral, start, end, BoolLiteral{true});
      if (word == "false") return push_operand(TokenKind::kLiteral, start, end, BoolLiteral{false});
    }
    push_word(start, end);
  }

  void operator_word(const std::string& word, size_t start, size_t end, size_t after) {
    Frame& f = frame();
    if (rule_ == RulePhase::kTrailer && frames_.size() == 1 && word != "by" && word != "as" && word != "not" &&
        !is_infix_word(word)) {
      option_key(word, start, end);
      return;
    }
    if (rule_ == RulePhase::kBody && frames_.size() == 1) {
      const bool value_follows = is_digit(at(after)) || is_quote(at(after)) || at(after) == '$';
      if (value_follows && (word == "suppress" || word == "message" || (word == "for" && !f.generic))) {
        rule_ = RulePhase::kTrailer;
        option_key(word, start, end);
        return;
      }
    }
    if (word == "not") {
      if (is_negatable_word(word_at(after))) {
        push(TokenKind::kInfixNot, start, end);
      } else {
        push_prefix(TokenKind::kNot, start, end);
      }
      return;
    }
    if (command_ && word == "over" && at_query_level() && time_word(word_at(after), skip_blank(word_end(after)))) {
      push_operator(TokenKind::kOver, start, end);
      return;
    }
    if (word == "between") {
      if (at_query_level() && f.compared && last_kind() != TokenKind::kInfixNot) {
        push_time_word(TokenKind::kTimeBetween, start, end);
      } else {
        push_operator(TokenKind::kBetween, start, end);
        f.compared = f.condition = true;
        f.between = true;
      }
      return;
    }
    if (at_query_level() && !command_ && !(f.generic && !f.head)) {
      // `dst_port == 53 last 1h`. Behind a '|' it is out of place, and the parser says so.
      auto kind = time_word(word, after);
      if (!kind && f.head && !f.generic && word == "last" && !operator_at(after, true)) kind = TokenKind::kLast;
      if (!kind && f.head && !f.generic && (after >= text_.size() || at(after) == '|')) {
        // Nothing follows: a range begun, not a column.
        if (word == "since") kind = TokenKind::kSince;
        if (word == "at") kind = TokenKind::kAt;
      }
      if (kind) {
        push_time_word(*kind, start, end);
        return;
      }
    }
    if (word == "where" && at_query_level() && f.head && f.stage == "from") {
      push_operator(TokenKind::kWhere, start, end);
      f.compared = false;
      f.stage = "where";
      return;
    }
    const auto row = operator_table().find(word);
    if (row == operator_table().end()) {
      if (f.generic && is_connector(word)) {
        push_operator(TokenKind::kKeyword, start, end);
        return;
      }
      if (f.stage == "from") f.stage = "where";
      push_word(start, end);
      return;
    }
    const OperatorWord& found = row->second;
    switch (found.kind) {
      case TokenKind::kCompare:
        push_compare(found.compare, start, end);
        return;
      case TokenKind::kAnd:
        push_and(start, end);
        return;
      case TokenKind::kOr:
        f.compared = f.between = false;
        f.condition = true;
        push_operator(TokenKind::kOr, start, end);
        return;
      case TokenKind::kIn:
      case TokenKind::kIs:
        f.compared = f.condition = true;
        push_operator(found.kind, start, end);
        return;
      case TokenKind::kAs:
        push_operator(TokenKind::kAs, start, end);
        f.item_start = false;
        return;
      case TokenKind::kBy:
        push_operator(TokenKind::kBy, start, end);
        f.compared = false;
        f.item_start = at_query_level() && takes_named_items(f.stage);
        return;
      case TokenKind::kAsc:
      case TokenKind::kDesc:
      case TokenKind::kSpread:
        push(found.kind, start, end);
        return;
      default:
        push_operator(found.kind, start, end);
        return;
    }
  }

  void option_key(std::string_view word, size_t start, size_t end) {
    if (rule_ == RulePhase::kHeader && word == "as") {
      push(TokenKind::kAs, start, end);
      rule_ = RulePhase::kBody;
      frame() = Frame{};
      position_ = Position::kQuery;
      return;
    }
    push(TokenKind::kOption, start, end);
    option_open_ = true;
    position_ = Position::kOptionValue;
  }

  // ------------------------------------------------------------------------------------------------ literals

  // A dotted or quoted name: word|`…` then (.word | ."…" | .`…`)*
  void name(size_t start) {
    Name name;
    size_t i = start;
    while (true) {
      const char c = at(i);
      std::string part;
      if (c == '`') {
        size_t k = i + 1;
        while (k < text_.size() && text_[k] != '`' && text_[k] != '\n') ++k;
        if (at(k) != '`') {
          fail(i, 1, "this back-quoted name is not closed");
          return;
        }
        part = text_.substr(i + 1, k - i - 1);
        name.quoted = true;
        i = k + 1;
      } else if (is_quote(c)) {
        const auto decoded = decode_string(i);
        if (!decoded) return;
        part = decoded->first;
        name.quoted = true;
        i = decoded->second;
      } else {
        const size_t end = word_end(i);
        part = text_.substr(i, end - i);
        i = end;
      }
      if (part.empty()) {
        fail(start, i - start, "a name may not be empty");
        return;
      }
      if (part.size() > kMaxNameBytes) {
        fail(start, i - start, too_long("name", kMaxNameBytes));
        return;
      }
      name.parts.push_back(std::move(part));
      if (name.parts.size() > kMaxNestingDepth) {
        fail(start, i - start, "this name has too many parts: the limit is " + std::to_string(kMaxNestingDepth));
        return;
      }
      if (at(i) == '.' && (is_letter(at(i + 1)) || is_quote(at(i + 1)) || at(i + 1) == '`')) {
        ++i;
        continue;
      }
      break;
    }
    next_ = i;
    if (list_name_next_) {
      list_name_next_ = false;
      list_items_next_ = true;
    }
    push_operand(TokenKind::kName, start, i, std::move(name));
  }

  // The decoded text of the string that begins at `start`, and the offset after it; fails on its own.
  std::optional<std::pair<std::string, size_t>> decode_string(size_t start) {
    const char quote = text_[start];
    std::string value;
    size_t i = start + 1;
    while (i < text_.size() && text_[i] != quote) {
      if (text_[i] != '\\') {
        value += text_[i++];
        continue;
      }
      const char c = at(i + 1);
      switch (c) {
        case 'n':
          value += '\n';
          break;
        case 't':
          value += '\t';
          break;
        case 'r':
          value += '\r';
          break;
        case '\\':
        case '"':
        case '\'':
        case '/':
          value += c;
          break;
        case 'x': {
          if (!is_hex(at(i + 2)) || !is_hex(at(i + 3))) {
            fail(i, 2, "'\\x' needs two hexadecimal digits");
            return std::nullopt;
          }
          value += static_cast<char>(*read_integer("0x" + std::string(text_.substr(i + 2, 2))));
          i += 2;
          break;
        }
        case 'u': {
          size_t k = i + 3;
          while (k < i + 10 && is_hex(at(k))) ++k;
          const bool shaped = at(i + 2) == '{' && at(k) == '}' && k > i + 3 && k <= i + 9;
          const uint64_t code = shaped ? *read_integer("0x" + std::string(text_.substr(i + 3, k - i - 3))) : UINT64_MAX;
          if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            fail(i, 2, "'\\u' needs a code point such as \\u{e9}");
            return std::nullopt;
          }
          append_utf8(value, static_cast<uint32_t>(code));
          i = k - 1;
          break;
        }
        default: {
          if (i + 1 >= text_.size()) break;  // the string is not closed, reported below
          const size_t length = 1 + utf8_length(text_, i + 1);
          fail(i, length, "unknown escape '" + std::string(text_.substr(i, length)) + "'",
               "known are \\n \\t \\r \\\\ \\\" \\' \\xHH \\u{…}; a backslash itself is written \\\\");
          return std::nullopt;
        }
      }
      i += 2;
    }
    if (i >= text_.size()) {
      fail(start, 1, "this text in quotes is not closed");
      return std::nullopt;
    }
    for (size_t k = 0; k < value.size();) {  // \xHH may have made something else of it
      const size_t length = utf8_length(value, k);
      if (length == 0) {
        fail(start, i + 1 - start, "the escapes in this text do not make valid UTF-8");
        return std::nullopt;
      }
      k += length;
    }
    return std::make_pair(std::move(value), i + 1);
  }

  void string(size_t start) {
    auto decoded = decode_string(start);
    if (!decoded) return;
    next_ = decoded->second;
    if (list_name_next_) {
      list_name_next_ = false;
      list_items_next_ = true;
    }
    push_operand(TokenKind::kLiteral, start, next_, StringLiteral{std::move(decoded->first)});
  }

  void regex(size_t start) {
    std::string pattern;
    size_t i = start + 1;
    while (i < text_.size() && text_[i] != '/' && text_[i] != '\n') {
      if (text_[i] == '\\' && i + 1 < text_.size() && text_[i + 1] != '\n') {
        if (text_[i + 1] != '/') pattern += '\\';
        pattern += text_[i + 1];
        i += 2;
      } else {
        pattern += text_[i++];
      }
    }
    if (at(i) != '/') {
      fail(start, 1, "this regular expression is not closed", "a '/' where a value may stand begins one; '\\/' is a slash in it");
      return;
    }
    const size_t flags = i + 1;
    const size_t end = word_end(flags);
    bool ignore_case = false;
    for (size_t k = flags; k < end; ++k) {
      if (text_[k] != 'i' || ignore_case) {
        fail(k, 1, "unknown flag of a regular expression", "'i' ignores case");
        return;
      }
      ignore_case = true;
    }
    if (pattern.size() > kMaxRegexBytes) {
      fail(start, end - start, too_long("regular expression", kMaxRegexBytes));
      return;
    }
    next_ = end;
    push_operand(TokenKind::kLiteral, start, end, RegexLiteral{std::move(pattern), ignore_case});
  }

  void parameter(size_t start) {
    const size_t end = word_end(start + 1);
    if (!is_letter(at(start + 1))) {
      fail(start, 1, "expected a parameter's name after '$'");
      return;
    }
    if (end - start > kMaxNameBytes) {
      fail(start, end - start, too_long("name", kMaxNameBytes));
      return;
    }
    next_ = end;
    push_operand(TokenKind::kLiteral, start, end, Parameter{std::string(text_.substr(start + 1, end - start - 1))});
  }

  void list_reference(size_t start) {
    std::string name;
    size_t end = start + 1;
    if (is_quote(at(end))) {
      auto decoded = decode_string(end);
      if (!decoded) return;
      name = std::move(decoded->first);
      end = decoded->second;
    } else if (is_letter(at(end))) {
      while (end < text_.size() && (is_word_char(text_[end]) || (text_[end] == '.' && is_word_char(at(end + 1))))) ++end;
      name = text_.substr(start + 1, end - start - 1);
    }
    if (name.empty() || name.size() > kMaxNameBytes) {
      fail(start, end - start, name.empty() ? "expected a list's name after '@'" : too_long("name", kMaxNameBytes));
      return;
    }
    next_ = end;
    if (name == "timestamp" && last_kind() != TokenKind::kIn && frame().kind != FrameKind::kList) {
      // ECS calls the time of an event @timestamp.
      push_operand(TokenKind::kName, start, end, Name{{"@timestamp"}, true, {}});
      return;
    }
    push_operand(TokenKind::kListReference, start, end, ListReference{std::move(name)});
  }

  void colons(size_t start) {
    if (at(start + 1) == ':') {
      number(start);
    } else {
      fail(start, 1, "unexpected ':'");
    }
  }

  bool integer_range_allowed() const {
    const TokenKind before = last_kind();
    if (before == TokenKind::kIn) return true;
    return frames_.back().kind == FrameKind::kList &&
           (before == TokenKind::kListParen || before == TokenKind::kLeftParen || before == TokenKind::kComma);
  }

  size_t run_end(size_t i) const {
    while (i < text_.size()) {
      const char c = text_[i];
      if (is_word_char(c) || c == '.' || c == ':') {
        ++i;
      } else if ((text_.substr(i).starts_with("\u00b5s") || text_.substr(i).starts_with("\u03bcs"))) {
        i += 3;
      } else if ((c == '+' || c == '-') && is_digit(at(i + 1)) && exponent_before(i)) {
        ++i;
      } else {
        break;
      }
    }
    return i;
  }
  // Whether text before i is a decimal number up to its exponent mark: "1.5e".
  bool exponent_before(size_t i) const {
    if (i < 2 || (text_[i - 1] != 'e' && text_[i - 1] != 'E') || !is_digit(text_[i - 2])) return false;
    size_t k = i - 1;
    while (k > 0 && (is_digit(text_[k - 1]) || text_[k - 1] == '.')) --k;
    return i - k < 64 && (k == 0 || (!is_word_char(text_[k - 1]) && text_[k - 1] != ':'));
  }

  bool date_at(size_t i) const {
    static constexpr std::string_view kShape = "dddd-dd-dd";
    for (size_t k = 0; k < kShape.size(); ++k)
      if (kShape[k] == 'd' ? !is_digit(at(i + k)) : at(i + k) != '-') return false;
    return !is_digit(at(i + kShape.size()));
  }

  void timestamp(size_t start) {
    size_t end = start + 10;
    if ((at(end) == 'T' || at(end) == 't') && is_digit(at(end + 1))) {
      ++end;
      while (is_digit(at(end)) || at(end) == ':' || (at(end) == '.' && is_digit(at(end + 1)))) ++end;
      if ((at(end) == '+' || at(end) == '-') && is_digit(at(end + 1)) && is_digit(at(end + 2))) {
        end += 3;
        if (at(end) == ':' && is_digit(at(end + 1))) ++end;
        while (is_digit(at(end))) ++end;
      }
    }
    end = word_end(end);
    const std::string_view text = text_.substr(start, end - start);
    const auto time = read_timestamp(text);
    if (!time) {
      fail(start, end - start, "'" + std::string(text) + "' is not a valid date or time",
           "timestamps look like 2026-11-20, 2026-11-20T08:14Z or 2026-11-20T08:14:01.5+02:00");
      return;
    }
    next_ = end;
    push_operand(TokenKind::kLiteral, start, end, TimestampLiteral{*time, {std::string(text)}});
  }

  // An address, then perhaps /bits or -address.
  void address(size_t start, size_t end, const AddressBytes& first) {
    if (at(end) == '/' && is_digit(at(end + 1))) {
      size_t k = end + 1;
      while (is_word_char(at(k)) || (at(k) == '.' && is_digit(at(k + 1)))) ++k;
      const std::string_view bits_text = text_.substr(end + 1, k - end - 1);
      const bool dotted_quad = text_.substr(start, end - start).find(':') == std::string_view::npos;
      const unsigned most = dotted_quad ? 32 : 128;
      const auto bits = bits_text.size() <= 3 ? read_integer(bits_text) : std::nullopt;
      if (!bits || *bits > most) {
        fail(start, k - start, "a prefix length here is a number from 0 to " + std::to_string(most) + ", not '" +
                                   std::string(bits_text) + "'");
        return;
      }
      next_ = k;
      push_operand(TokenKind::kLiteral, start, k,
                   CidrLiteral{first, static_cast<uint8_t>(*bits + (dotted_quad ? 96 : 0)),
                               {std::string(text_.substr(start, k - start))}});
      return;
    }
    if (at(end) == '-' && (is_hex(at(end + 1)) || at(end + 1) == ':')) {
      size_t k = end + 1;
      while (is_word_char(at(k)) || at(k) == '.' || at(k) == ':') ++k;
      const std::string_view last_text = text_.substr(end + 1, k - end - 1);
      const auto last = read_address(last_text);
      const std::string text(text_.substr(start, k - start));
      if (!last) {
        fail(start, k - start, "'" + std::string(last_text) + "' is not an address, so this is not a range",
             "ranges look like 10.0.0.5-10.0.0.9");
      } else if (is_ipv4(first) != is_ipv4(*last)) {
        fail(start, k - start, "the ends of this range are of different address families");
      } else if (*last < first) {
        fail(start, k - start, "this range ends before it begins");
      } else {
        next_ = k;
        push_operand(TokenKind::kLiteral, start, k, AddressRangeLiteral{first, *last, {text}});
      }
      return;
    }
    next_ = end;
    push_operand(TokenKind::kLiteral, start, end, AddressLiteral{first, {std::string(text_.substr(start, end - start))}});
  }

  // All literals that begin with a digit (or look like an address).
  void number(size_t start) {
    if (date_at(start)) {
      timestamp(start);
      return;
    }
    const size_t end = run_end(start);
    const std::string_view text = text_.substr(start, end - start);
    const std::string shown(text.substr(0, std::min<size_t>(text.size(), 60)));
    const auto literal = [&](Expr::Node value) {
      next_ = end;
      push_operand(TokenKind::kLiteral, start, end, std::move(value));
    };
    const Spelling spelling{text.size() <= kMaxNameBytes ? std::string(text) : std::string()};
    if (text.find(':') != std::string_view::npos) {
      if (const auto mac = read_mac(text)) return literal(MacLiteral{*mac, spelling});
      if (const auto ip = read_address(text)) return address(start, end, *ip);
      if (text.size() <= 8 && text.find_first_not_of("0123456789:") == std::string_view::npos &&
          text.find("::") == std::string_view::npos && !out_.tokens.empty() && out_.tokens.back().value != Token::kNoValue &&
          std::holds_alternative<TimestampLiteral>(out_.values[out_.tokens.back().value])) {
        const Span& date = out_.tokens.back().span;
        fail(date.offset, end - date.offset, "a date and a time are joined by 'T'",
             "write " + std::string(text_.substr(date.offset, date.length)) + "T" + shown + ", or put both in quotes");
        return;
      }
      const bool port = text.find('.') != std::string_view::npos && std::count(text.begin(), text.end(), ':') == 1;
      fail(start, end - start, "'" + shown + "' is not an IPv6 address or MAC address",
           port ? "an address and a port are two conditions, joined with 'and'" : "");
      return;
    }
    if (std::count(text.begin(), text.end(), '.') >= 2) {
      if (const auto ip = read_address(text)) return address(start, end, *ip);
      fail(start, end - start, "'" + shown + "' is not an IPv4 address", text.back() == '.' && at(end) == '*' ? "a block is written 10.0.0.0/24" : "");
      return;
    }
    const bool hexadecimal = text.size() > 1 && (text[1] == 'x' || text[1] == 'X');
    if (text.find_first_not_of("0123456789_") == std::string_view::npos || hexadecimal) {
      const auto value = read_integer(text);
      if (!value) {
        const bool digits = text.find_first_not_of("0123456789") == std::string_view::npos;
        fail(start, end - start, digits ? "this number is more than 18446744073709551615" : "'" + shown + "' is not a number");
        return;
      }
      if (at(end) == '-' && is_digit(at(end + 1)) && integer_range_allowed()) {
        const size_t range_end = run_end(end + 1);
        const std::string_view last_text = text_.substr(end + 1, range_end - end - 1);
        const auto last = read_integer(last_text);
        if (!last || *last < *value) {
          fail(start, range_end - start, last ? "this range ends before it begins"
                                              : "'" + std::string(last_text.substr(0, 60)) + "' is not the end of a range");
          return;
        }
        next_ = range_end;
        push_operand(TokenKind::kLiteral, start, range_end,
                     IntegerRangeLiteral{*value, *last, {std::string(text_.substr(start, range_end - start))}});
        return;
      }
      return literal(IntegerLiteral{*value, spelling});
    }
    if (const auto value = read_float(text)) return literal(FloatLiteral{*value, spelling});
    if (const auto value = read_duration(text)) return literal(DurationLiteral{*value, spelling});
    if (const auto value = read_size(text)) return literal(SizeLiteral{*value, spelling});
    if (const auto value = read_bit_rate(text)) return literal(BitRateLiteral{*value, spelling});
    if (is_duration_too_long(text)) {
      fail(start, end - start, "'" + shown + "' is too long", "durations go up to 106751d, which is 292 years");
      return;
    }
    std::string hint = "durations look like 15m or 1h30m, sizes like 10KB, rates like 50Mbps; text stands in quotes";
    // 15mins, 5min, 2hours
    size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) ++digits;
    std::string unit(text.substr(digits));
    for (char& c : unit)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (const std::string_view short_unit = duration_unit_of(unit); !short_unit.empty() && unit.size() > 1)
      hint = "did you mean '" + std::string(text.substr(0, digits)) + std::string(short_unit) + "'?";
    if (text.back() == 'M') hint = "minutes are 'm', months are not a unit; a size is 10MB, a rate 10Mbps";
    fail(start, end - start, "'" + shown + "' is not a number, duration, size or address", hint);
  }

  std::string_view text_;
  Tokens out_;
  std::vector<Frame> frames_;
  size_t next_ = 0;      // where the next token is looked for
  size_t cursor_ = 0;    // up to where line_ and column_ have been counted
  uint32_t line_ = 1;
  uint32_t column_ = 1;
  size_t prefixes_ = 0;  // prefix operators right before here
  Position position_ = Position::kStatement;
  RulePhase rule_ = RulePhase::kNone;
  bool option_open_ = false;      // an option's key was read, its value not yet
  bool command_ = false;          // inside a Command statement
  bool list_name_next_ = false;   // `create list` was read, its name not yet
  bool list_items_next_ = false;  // its name was read, the '(' not yet
};

}  // namespace

Tokens tokenize(std::string_view text, StartAs start) { return Tokenizer(text, start).run(); }

Span span_at(std::string_view text, size_t offset, size_t length) {
  offset = std::min(offset, text.size());
  Span span;
  for (size_t i = 0; i < offset; ++i) {
    if (text[i] == '\n') {
      ++span.line;
      span.column = 1;
    } else if ((static_cast<uint8_t>(text[i]) & 0xc0) != 0x80) {
      ++span.column;
    }
  }
  // A text past the size limit may not fit 32 bits; its place is its start anyway.
  span.offset = static_cast<uint32_t>(std::min<size_t>(offset, UINT32_MAX));
  span.length = static_cast<uint32_t>(std::min<size_t>(length, text.size() - offset));
  return span;
}

}  // namespace sluice::grammar
