#include "grammar/complete.h"

#include <algorithm>
#include <initializer_list>
#include <span>

#include "grammar/characters.h"
#include "grammar/tokens.h"
#include "grammar/words.h"

namespace sluice::grammar {
namespace {

bool is_path_char(char c) { return is_word_char(c) || c == '.'; }

bool is_name(TokenKind kind) { return kind == TokenKind::kWord || kind == TokenKind::kName || kind == TokenKind::kNamed; }

// Words that a stage without a rule in the grammar puts first, and those it goes on with.
struct StageWords {
  std::string_view stage;
  std::initializer_list<const char*> first;
  std::initializer_list<const char*> later;
};
const StageWords kStageWords[] = {
    {"join", {"inner", "left", "anti", "semi", "("}, {"on"}},
    {"lookup", {}, {"on", "as of", "prefix"}},
    {"stitch", {"within"}, {"within"}},
    {"dedup", {"by", "within"}, {"within"}},
    {"sessions", {"by"}, {"gap"}},
    {"compare", {"to"}, {}},
    {"baseline", {}, {"by", "every", "over", "seasonal"}},
    {"first_seen", {}, {"lookback"}},
    {"absent", {}, {"for", "expected by"}},
    {"beacons", {"by"}, {"min", "modifiers", "lookback", "threats"}},
    {"sequence", {"by"}, {"within", "then"}},
    {"reach", {"from"}, {"within", "hops"}},
};
const StageWords* words_of(std::string_view stage) {
  for (const StageWords& row : kStageWords)
    if (row.stage == stage) return &row;
  return nullptr;
}

class Completer {
 public:
  Completer(std::string_view text, const Tokens& tokens) : text_(text), tokens_(tokens.tokens), state_(tokens) {
    tokens_ = tokens_.first(tokens_.size() - 1);  // without kEnd
    // Only the statement that the cursor is in.
    for (size_t i = tokens_.size(); i-- > 0;) {
      if (tokens_[i].kind != TokenKind::kSemicolon) continue;
      tokens_ = tokens_.subspan(i + 1);
      break;
    }
    // And only the query in parentheses that it is in.
    size_t closed = 0;
    for (size_t i = tokens_.size(); i-- > 0;) {
      const TokenKind kind = tokens_[i].kind;
      if (kind == TokenKind::kRightParen || kind == TokenKind::kRightBracket) ++closed;
      if (kind != TokenKind::kLeftParen && kind != TokenKind::kListParen && kind != TokenKind::kLeftBracket && kind != TokenKind::kSubquery) continue;
      if (closed > 0) {
        --closed;
      } else if (kind == TokenKind::kSubquery) {
        tokens_ = tokens_.subspan(i + 1);
        break;
      }
    }
  }

  std::vector<Suggestion> run() {
    switch (state_.position) {
      case Position::kStatement:
        query_start();
        words({"explain", "show", "create rule", "create list", "create zone", "create table"});
        break;
      case Position::kQuery:
        query_start();
        break;
      case Position::kStage:
        add(Suggest::kStage);
        break;
      case Position::kOperand:
        operand();
        break;
      case Position::kOperator:
        operators();
        break;
      case Position::kOptionKey:
        if (has(TokenKind::kAs)) {
          words({"alert by", "for", "suppress", "message"});
        } else {
          words({"severity", "technique", "tags", "description", "as"});
        }
        break;
      case Position::kOptionValue:
        option_value();
        break;
    }
    return std::move(out_);
  }

 private:
  void add(Suggest kind, std::string text = "") {
    Suggestion suggestion{kind, std::move(text)};
    if (std::find(out_.begin(), out_.end(), suggestion) == out_.end()) out_.push_back(std::move(suggestion));
  }
  void words(std::initializer_list<const char*> list) {
    for (const char* word : list) add(Suggest::kKeyword, word);
  }
  std::string text_of(const Token& token) const { return std::string(text_.substr(token.span.offset, token.span.length)); }
  TokenKind last() const { return tokens_.empty() ? TokenKind::kEnd : tokens_.back().kind; }
  bool has(TokenKind kind) const {
    return std::any_of(tokens_.begin(), tokens_.end(), [&](const Token& token) { return token.kind == kind; });
  }

  // The index after the '|' (or start) of the stage at hand, outside of closed parentheses.
  size_t stage_start() const {
    size_t closed = 0;
    for (size_t i = tokens_.size(); i > 0; --i) {
      const TokenKind kind = tokens_[i - 1].kind;
      if (kind == TokenKind::kRightParen || kind == TokenKind::kRightBracket) ++closed;
      if (closed == 0 && (kind == TokenKind::kPipe || kind == TokenKind::kSubquery)) return i;
      if (closed > 0 && (kind == TokenKind::kLeftParen || kind == TokenKind::kListParen || kind == TokenKind::kSubquery || kind == TokenKind::kLeftBracket)) --closed;
    }
    return 0;
  }
  bool stage_has(TokenKind kind) const {
    for (size_t i = stage_start(); i < tokens_.size(); ++i)
      if (tokens_[i].kind == kind) return true;
    return false;
  }
  // The index of the parenthesis that is open at the end, or nothing.
  std::optional<size_t> open_paren() const {
    size_t closed = 0;
    for (size_t i = tokens_.size(); i-- > 0;) {
      switch (tokens_[i].kind) {
        case TokenKind::kRightParen:
        case TokenKind::kRightBracket:
          ++closed;
          break;
        case TokenKind::kLeftParen:
        case TokenKind::kListParen:
        case TokenKind::kLeftBracket:
          if (closed == 0) return i;
          --closed;
          break;
        case TokenKind::kSubquery:
          if (closed == 0) return std::nullopt;
          --closed;
          break;
        default:
          break;
      }
    }
    return std::nullopt;
  }
  bool at_head() const { return !has(TokenKind::kPipe) && !open_paren(); }
  bool has_time() const {
    return has(TokenKind::kLast) || has(TokenKind::kSince) || has(TokenKind::kAt) || has(TokenKind::kTimeBetween);
  }

  void query_start() {
    words({"from"});
    add(Suggest::kColumn);
    add(Suggest::kStage);
    add(Suggest::kFunction);
    time_words();
  }
  void time_words() {
    if (at_head() && !has_time()) words({"last", "since", "between", "at", "active between"});
  }
  void expression() {
    add(Suggest::kColumn);
    add(Suggest::kFunction);
  }

  // The column on the left of the comparison whose operator is at i.
  void value_of_column_before(size_t i) {
    while (i > 0 && tokens_[i - 1].kind == TokenKind::kInfixNot) --i;
    if (i > 0 && is_name(tokens_[i - 1].kind)) add(Suggest::kValue, text_of(tokens_[i - 1]));
  }

  void operand() {
    const TokenKind kind = last();
    const std::string& stage = state_.stage;
    const std::optional<size_t> open = open_paren();
    switch (kind) {
      case TokenKind::kFrom:
        add(Suggest::kSource);
        return;
      case TokenKind::kLast:
      case TokenKind::kEvery:
      case TokenKind::kSlide:
      case TokenKind::kGap:
      case TokenKind::kPlusMinus:
        add(Suggest::kDuration);
        return;
      case TokenKind::kWindow:
        add(Suggest::kDuration);
        words({"session gap"});
        return;
      case TokenKind::kSince:
      case TokenKind::kAt:
      case TokenKind::kTimeBetween:
        add(Suggest::kTimestamp);
        return;
      case TokenKind::kOver:
        words({"last", "since", "between"});
        return;
      case TokenKind::kTop:
      case TokenKind::kLimit:
      case TokenKind::kLimitStage:
      case TokenKind::kTail:
      case TokenKind::kSample:
        add(Suggest::kNumber);
        return;
      case TokenKind::kFill:
        words({"0", "null", "previous"});
        return;
      case TokenKind::kWith:
        words({"others"});
        return;
      case TokenKind::kNulls:
        words({"first", "last"});
        return;
      case TokenKind::kIs:
        words({"null", "not null"});
        return;
      case TokenKind::kRender:
        words({"timechart", "barchart", "table", "graph"});
        return;
      case TokenKind::kShow:
        for (const std::string_view subject : show_subjects()) add(Suggest::kKeyword, std::string(subject));
        return;
      case TokenKind::kCommand:
        words({"rule", "list", "table"});
        return;
      case TokenKind::kRule:
      case TokenKind::kList:
      case TokenKind::kNaming:
        if (kind == TokenKind::kNaming) break;
        return;  // a new name
      case TokenKind::kAnd:
        if (const size_t n = tokens_.size(); at_head() && n >= 3 && tokens_[n - 3].kind == TokenKind::kTimeBetween) {
          add(Suggest::kTimestamp);
          return;
        }
        break;
      case TokenKind::kCompare:
      case TokenKind::kBetween:
        value_of_column_before(tokens_.size() - 1);
        expression();
        return;
      case TokenKind::kIn:
        value_of_column_before(tokens_.size() - 1);
        words({"("});
        add(Suggest::kList);
        return;
      case TokenKind::kDrop:
      case TokenKind::kRename:
        add(Suggest::kColumn);
        return;
      case TokenKind::kStage:
        if (stage == "lookup") {
          add(Suggest::kTable);
          return;
        }
        if (stage == "baseline") add(Suggest::kAggregate);
        if (const StageWords* row = words_of(stage)) {
          for (const char* word : row->first) add(Suggest::kKeyword, word);
          if (row->first.size() > 0) return;
        }
        expression();
        return;
      default:
        break;
    }
    if (open && tokens_[*open].kind == TokenKind::kListParen) {
      if (*open > 0) value_of_column_before(*open - 1);
      add(Suggest::kList);
      return;
    }
    if (open) {
      expression();
      return;
    }
    if (kind == TokenKind::kKeyword) {
      const std::string word = text_of(tokens_.back());
      if (word == "within" || word == "over" || word == "for" || word == "to") add(Suggest::kDuration);
    }
    const bool after_by = stage_has(TokenKind::kBy);
    const bool aggregates = ((stage == "stats" || stage == "timeseries") && !after_by) || (stage == "top" && after_by);
    if (stage == "drop" || stage == "rename") {
      add(Suggest::kColumn);
      return;
    }
    if (aggregates) {
      add(Suggest::kAggregate);
      return;
    }
    expression();
    if (stage == "where" || stage == "from") words({"not"});
  }

  // Whether the condition at hand has its comparison already.
  bool compared() const {
    size_t closed = 0;
    for (size_t i = tokens_.size(); i-- > 0;) {
      switch (tokens_[i].kind) {
        case TokenKind::kRightParen:
          ++closed;
          break;
        case TokenKind::kLeftParen:
        case TokenKind::kListParen:
        case TokenKind::kSubquery:
          if (closed == 0) return false;
          --closed;
          break;
        case TokenKind::kCompare:
        case TokenKind::kIn:
        case TokenKind::kIs:
        case TokenKind::kBetween:
          if (closed == 0) return true;
          break;
        case TokenKind::kAnd:
        case TokenKind::kOr:
        case TokenKind::kPipe:
        case TokenKind::kComma:
        case TokenKind::kWhere:
          if (closed == 0) return false;
          break;
        default:
          break;
      }
    }
    return false;
  }

  void condition_operators() {
    if (compared()) {
      words({"and", "or"});
      return;
    }
    words({"==", "!=", ">", ">=", "<", "<=", "in", "not in", "has", "contains", "starts_with", "ends_with", "matches",
           "between", "is null", "is not null", "and", "or"});
  }

  void operators() {
    const std::string& stage = state_.stage;
    if (const auto open = open_paren()) {
      if (tokens_[*open].kind != TokenKind::kListParen) condition_operators();
      words({",", ")"});
      return;
    }
    if (last() == TokenKind::kActive) {
      words({"between"});
      return;
    }
    if (last() == TokenKind::kAlert) {
      words({"by"});
      return;
    }
    if (stage == "from" || (stage.empty() && at_head())) {
      if (has(TokenKind::kAt) && !has(TokenKind::kPlusMinus)) {
        words({"+/-"});
        return;
      }
      if (has(TokenKind::kTimeBetween) && !has(TokenKind::kAnd)) {
        words({"and"});
        return;
      }
      words({"|"});
      time_words();
      words({"where"});
      return;
    }
    if (stage == "where") {
      condition_operators();
      words({"|"});
      time_words();
    } else if (stage == "stats") {
      if (!stage_has(TokenKind::kBy)) words({"by"});
      if (!stage_has(TokenKind::kWindow)) words({"window"});
      if (stage_has(TokenKind::kWindow) && !stage_has(TokenKind::kSlide)) words({"slide"});
      words({",", "as", "|"});
    } else if (stage == "top") {
      if (!stage_has(TokenKind::kBy)) words({"by"});
      words({"with others", ",", "|"});
    } else if (stage == "timeseries") {
      if (!stage_has(TokenKind::kEvery)) words({"every"});
      if (!stage_has(TokenKind::kBy)) words({"by"});
      words({"limit", "fill", "spread", ",", "|"});
    } else if (stage == "sort") {
      words({"desc", "asc", "nulls", ",", "|"});
    } else if (stage == "rename") {
      words({"=", "as", ",", "|"});
    } else if (stage == "extend" || stage == "select" || stage == "distinct" || stage == "drop") {
      words({",", "|"});
      if (stage == "extend") words({"="});
    } else if (stage == "command") {
      if (last() == TokenKind::kWord && tokens_.size() == 2) add(Suggest::kRule);
      words({"over"});
    } else if (stage == "alert") {
      words({",", "for", "suppress", "message"});
    } else {
      const std::string before = tokens_.empty() ? "" : text_of(tokens_.back());
      if (before == "within" || before == "to" || before == "lookback" || before == "seasonal") {
        add(Suggest::kDuration);
        return;
      }
      if (before == "min") {
        add(Suggest::kNumber);
        return;
      }
      if (const StageWords* row = words_of(stage))
        for (const char* word : row->later) add(Suggest::kKeyword, word);
      words({"|"});
    }
    if (has(TokenKind::kRule) && !has(TokenKind::kAlert)) words({"alert by"});
  }

  void option_value() {
    const std::string key = text_of(tokens_.back());
    if (key == "severity") words({"low", "medium", "high", "critical"});
    if (key == "for" || key == "suppress") add(Suggest::kDuration);
  }

  std::string_view text_;
  std::span<const Token> tokens_;
  const Tokens& state_;
  std::vector<Suggestion> out_;
};

}  // namespace

Completion complete(std::string_view text, size_t cursor) {
  cursor = std::min(cursor, text.size());
  while (cursor > 0 && cursor < text.size() && (static_cast<uint8_t>(text[cursor]) & 0xc0) == 0x80) --cursor;
  size_t start = cursor;
  while (start > 0 && is_path_char(text[start - 1])) --start;
  if (start > 0 && (text[start - 1] == '$' || text[start - 1] == '@')) --start;
  // An IPv6 address in the making is one word.
  size_t address = cursor;
  while (address > 0 && (text[address - 1] == ':' || text[address - 1] == '.' || is_hex(text[address - 1]))) --address;
  if (address < start && (address == 0 || !is_path_char(text[address - 1])) && text.substr(address, cursor - address).find(':') != std::string_view::npos) start = address;
  size_t end = cursor;
  while (end < text.size() && is_path_char(text[end])) ++end;

  Completion completion;
  const Tokens tokens = tokenize(text.substr(0, start));
  if (tokens.error) {
    // Inside a text in quotes, on the right of a comparison or in a list, its column's values still help. The quote that ends it goes with it.
    const size_t at = tokens.error->span.offset;
    if (at < start && (text[at] == '"' || text[at] == '\'')) {
      const Tokens before = tokenize(text.substr(0, at));
      if (!before.error && before.position == Position::kOperand)
        for (Suggestion& s : Completer(text, before).run())
          if (s.kind == Suggest::kValue) completion.suggestions.push_back(std::move(s));
      start = at;
      if (end < text.size() && text[end] == text[at]) ++end;
    }
  } else if (start < cursor && text[start] == '$') {
    completion.suggestions.push_back({Suggest::kParameter, ""});
  } else if (start < cursor && text[start] == '@') {
    completion.suggestions.push_back({Suggest::kList, ""});
  } else {
    completion.suggestions = Completer(text, tokens).run();
  }
  completion.prefix = text.substr(start, cursor - start);
  completion.replace = span_at(text, start, end - start);
  return completion;
}

}  // namespace sluice::grammar
