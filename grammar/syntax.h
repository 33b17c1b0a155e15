// The syntax tree of FlowQL: what a text says, before anyone asks whether it makes sense.
//
// Plain immutable values. A tree owns everything in it, so it outlives the text it was read from; copies are cheap
// (children are shared and const) and trees may be read from many threads at once. Every node carries the Span of the
// text it came from, so later errors can point at the place. `==` compares what two trees say: spans and the spelling
// of literals (0x10 or 16) do not count.
//
// The parser guarantees (and code that builds trees by hand must keep):
//   - no Ref is empty; vectors named items/operands/keys/aggregates are non-empty where the comment says 1+;
//   - a `count` is an IntegerLiteral or a Parameter, a `duration` is a DurationLiteral or a Parameter;
//   - no tree is deeper than kMaxNestingDepth (limits.h), so recursive visitors are safe.
//
// The binder decides what names mean. In `proto == tcp` both sides are Name nodes; whether `tcp` is a column or a
// protocol is not known here. parse.h makes trees, print.h turns them back into text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::grammar {

// A piece of the query text. Offsets and lengths are bytes of UTF-8; line and column count from 1, the column in
// characters (code points). Nodes that no text stands for (a source left out) have length 0.
struct Span {
  uint32_t offset = 0;
  uint32_t length = 0;
  uint32_t line = 1;
  uint32_t column = 1;

  uint32_t end() const { return offset + length; }
  // The smallest span that holds both. REQUIRES: other does not begin before this one.
  Span through(const Span& other) const {
    Span joined = *this;
    joined.length = other.end() > offset ? other.end() - offset : length;
    return joined;
  }
  // Where a thing stands is no part of what it says: lets every node default its comparison.
  friend constexpr bool operator==(const Span&, const Span&) { return true; }
};

// The text a literal was written as ("0x10", "1.50GiB"). Kept for messages; never compared, may be empty.
struct Spelling {
  std::string text;
  friend bool operator==(const Spelling&, const Spelling&) { return true; }
};

// A shared, immutable, never-empty child node. Compares by value.
template <class T>
class Ref {
 public:
  Ref(T value) : value_(std::make_shared<const T>(std::move(value))) {}  // NOLINT: implicit on purpose
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  const T* get() const { return value_.get(); }
  friend bool operator==(const Ref& a, const Ref& b) { return a.value_ == b.value_ || *a == *b; }

 private:
  std::shared_ptr<const T> value_;
};

struct Expr;
using ExprPtr = Ref<Expr>;
struct Query;

// ---------------------------------------------------------------------------------------------------- names, words

// `src_ip`, `source.ip`, `extra."weird name"`, `` `end` ``. Parts are decoded; quoted says that at least one part was
// written in quotes, so that the name can only be a column, never a bare word such as a protocol.
struct Name {
  std::vector<std::string> parts;  // 1+
  bool quoted = false;
  Span span;

  // The parts joined with dots, as columns and aliases are looked up.
  std::string text() const;
  bool operator==(const Name&) const = default;
};

// A keyword or stage name as the grammar met it: lower case.
struct Keyword {
  std::string text;
  Span span;
  bool operator==(const Keyword&) const = default;
};

// ---------------------------------------------------------------------------------------------------- literals

struct NullLiteral {
  bool operator==(const NullLiteral&) const = default;
};
struct BoolLiteral {
  bool value = false;
  bool operator==(const BoolLiteral&) const = default;
};
// 5060, 1_000, 0x1f. Always a magnitude; a minus sign is a Unary around it (so -9223372036854775808 can be said).
struct IntegerLiteral {
  uint64_t value = 0;
  Spelling spelling;
  bool operator==(const IntegerLiteral&) const = default;
};
struct FloatLiteral {  // finite
  double value = 0;
  Spelling spelling;
  bool operator==(const FloatLiteral&) const = default;
};
struct StringLiteral {  // valid UTF-8, escapes decoded
  std::string value;
  bool operator==(const StringLiteral&) const = default;
};
struct DurationLiteral {
  int64_t nanoseconds = 0;  // >= 0
  Spelling spelling;
  bool operator==(const DurationLiteral&) const = default;
};
struct SizeLiteral {  // 10KB = 10'000, 10KiB = 10'240
  uint64_t bytes = 0;
  Spelling spelling;
  bool operator==(const SizeLiteral&) const = default;
};
struct BitRateLiteral {  // 50Mbps = 50'000'000
  uint64_t bits_per_second = 0;
  Spelling spelling;
  bool operator==(const BitRateLiteral&) const = default;
};
// 16 bytes in network order; IPv4 is mapped (::ffff:a.b.c.d), as in storage/model/ip.h.
using AddressBytes = std::array<uint8_t, 16>;
struct AddressLiteral {
  AddressBytes address{};
  Spelling spelling;
  bool operator==(const AddressLiteral&) const = default;
};
// 10.0.0.0/8, 2001:db8::/32. prefix_length counts in the 128 bits of the mapped form: 10.0.0.0/8 has 104. Bits past the
// prefix are as written (10.1.2.3/8 keeps 1.2.3); the block is what the prefix covers.
struct CidrLiteral {
  AddressBytes address{};
  uint8_t prefix_length = 128;
  Spelling spelling;
  bool operator==(const CidrLiteral&) const = default;
};
// 10.0.0.5-10.0.0.9, both ends included, first <= last, one family.
struct AddressRangeLiteral {
  AddressBytes first{};
  AddressBytes last{};
  Spelling spelling;
  bool operator==(const AddressRangeLiteral&) const = default;
};
// 1024-65535 after `in`, both ends included, first <= last.
struct IntegerRangeLiteral {
  uint64_t first = 0;
  uint64_t last = 0;
  Spelling spelling;
  bool operator==(const IntegerRangeLiteral&) const = default;
};
struct MacLiteral {  // 00:1b:21:3c:9d:f8
  std::array<uint8_t, 6> octets{};
  Spelling spelling;
  bool operator==(const MacLiteral&) const = default;
};
struct TimestampLiteral {  // nanoseconds since 1970-01-01T00:00:00Z; no offset in the text means UTC
  int64_t nanoseconds = 0;
  Spelling spelling;
  bool operator==(const TimestampLiteral&) const = default;
};
struct RegexLiteral {  // /pattern/i; the pattern is not checked here, "\/" is decoded to "/", all else is as written
  std::string pattern;
  bool ignore_case = false;
  bool operator==(const RegexLiteral&) const = default;
};

// ---------------------------------------------------------------------------------------------------- expressions

// `$name`; the value comes with the call and never becomes syntax.
struct Parameter {
  std::string name;
  bool operator==(const Parameter&) const = default;
};
// `@name` on the right of `in`: a watch-list.
struct ListReference {
  std::string name;
  bool operator==(const ListReference&) const = default;
};

enum class UnaryOp { kNot, kNegate };
struct Unary {
  UnaryOp op = UnaryOp::kNot;
  ExprPtr operand;
  bool operator==(const Unary&) const = default;
};

enum class ArithmeticOp { kAdd, kSubtract, kMultiply, kDivide, kModulo };
struct Arithmetic {
  ArithmeticOp op = ArithmeticOp::kAdd;
  ExprPtr left;
  ExprPtr right;
  bool operator==(const Arithmetic&) const = default;
};

// `not contains` and its like are a Unary kNot around the Compare. kMatches is `matches` and `=~`.
enum class CompareOp {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kHas,
  kContains,
  kStartsWith,
  kEndsWith,
  kMatches,
};
struct Compare {
  CompareOp op = CompareOp::kEqual;
  ExprPtr left;
  ExprPtr right;
  bool operator==(const Compare&) const = default;
};

// n-ary, so that a chain of ten thousand `or`s is one flat node.
enum class LogicalOp { kAnd, kOr };
struct Logical {
  LogicalOp op = LogicalOp::kAnd;
  std::vector<ExprPtr> operands;  // 2+
  bool operator==(const Logical&) const = default;
};

// `x in 10.0.0.0/8`, `x in (22, 3389, 8000-8999, 10.0.0.0/8, @tor, tcp)`, `x not in @tor`. Items may be CIDR, range,
// list reference or any expression. `x in (from alerts | …)`: a query, and no items.
struct In {
  bool negated = false;
  ExprPtr value;
  std::vector<ExprPtr> items;  // 1+ without a query
  std::optional<Ref<Query>> query;
  bool operator==(const In&) const = default;
};
struct Between {  // low <= value and value <= high
  bool negated = false;
  ExprPtr value;
  ExprPtr low;
  ExprPtr high;
  bool operator==(const Between&) const = default;
};
struct IsNull {  // also what `== null` and `!= null` are read as
  bool negated = false;
  ExprPtr operand;
  bool operator==(const IsNull&) const = default;
};
// Functions and aggregates alike; `count(*)` is read as `count()`. `if(c, a, b)` and `case(…)` are calls too.
struct Call {
  Name function;  // spelled as written; look it up in lower case
  std::vector<ExprPtr> arguments;
  bool operator==(const Call&) const = default;
};

struct Expr {
  using Node = std::variant<Name, NullLiteral, BoolLiteral, IntegerLiteral, FloatLiteral, StringLiteral, DurationLiteral,
                            SizeLiteral, BitRateLiteral, AddressLiteral, CidrLiteral, AddressRangeLiteral,
                            IntegerRangeLiteral, MacLiteral, TimestampLiteral, RegexLiteral, Parameter, ListReference,
                            Unary, Arithmetic, Compare, Logical, In, Between, IsNull, Call>;
  Node node;
  Span span;

  // The node if it is of this kind, else nullptr: `if (const auto* name = expr->as<Name>())`.
  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
  bool operator==(const Expr&) const = default;
};

// For std::visit over the variants here: std::visit(Overloaded{[](const Name& n) {…}, [](const auto&) {…}}, expr.node).
template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

// `total = sum(bytes)`, `sum(bytes) as total` (the same), or just `sum(bytes)`.
struct NamedExpr {
  std::optional<Name> name;
  ExprPtr value;
  Span span;
  bool operator==(const NamedExpr&) const = default;
};

// ---------------------------------------------------------------------------------------------------- time

// Points in time are expressions without columns: a TimestampLiteral, a Parameter, or arithmetic on now() such as
// `now() - 1h`. A quoted timestamp is read as a TimestampLiteral here.
struct TimeLast {  // last 15m
  ExprPtr duration;
  bool operator==(const TimeLast&) const = default;
};
struct TimeSince {  // since T: [T, now)
  ExprPtr from;
  bool operator==(const TimeSince&) const = default;
};
struct TimeBetween {  // between A and B: [A, B) on ts; active: the flow overlaps [A, B)
  ExprPtr from;
  ExprPtr to;
  bool active = false;
  bool operator==(const TimeBetween&) const = default;
};
struct TimeAround {  // at T +/- D: [T - D, T + D)
  ExprPtr center;
  ExprPtr duration;
  bool operator==(const TimeAround&) const = default;
};
struct TimeClause {
  std::variant<TimeLast, TimeSince, TimeBetween, TimeAround> node;
  Span span;
  bool operator==(const TimeClause&) const = default;
};

// ---------------------------------------------------------------------------------------------------- stages

// Also what a bare expression is read as, at the head of a query or between two pipes.
struct WhereStage {
  ExprPtr predicate;
  bool operator==(const WhereStage&) const = default;
};
struct ExtendStage {
  std::vector<NamedExpr> columns;  // 1+, each with a name
  bool operator==(const ExtendStage&) const = default;
};
struct SelectStage {
  std::vector<NamedExpr> columns;  // 1+
  bool operator==(const SelectStage&) const = default;
};
struct DropStage {
  std::vector<Name> columns;  // 1+
  bool operator==(const DropStage&) const = default;
};
struct Renaming {  // `rename new = old`, `rename old as new`
  Name to;
  Name from;
  bool operator==(const Renaming&) const = default;
};
struct RenameStage {
  std::vector<Renaming> columns;  // 1+
  bool operator==(const RenameStage&) const = default;
};
// `window 5m` tumbles, `window 5m slide 30s` hops, `window session gap 10m` follows activity.
struct Window {
  enum class Kind { kTumbling, kHopping, kSession };
  Kind kind = Kind::kTumbling;
  ExprPtr size;                  // duration; the gap of a session
  std::optional<ExprPtr> slide;  // duration; only for kHopping
  Span span;
  bool operator==(const Window&) const = default;
};
struct StatsStage {
  std::vector<NamedExpr> aggregates;  // 1+
  std::vector<NamedExpr> keys;
  std::optional<Window> window;
  bool operator==(const StatsStage&) const = default;
};
// `top 10 src_ip, dst_ip by sum(bytes), count() with others`: ranked by the first aggregate, the rest are carried along.
struct TopStage {
  ExprPtr count;
  std::vector<NamedExpr> keys;        // 1+
  std::vector<NamedExpr> aggregates;  // empty when `by` was left out: by count()
  bool with_others = false;
  bool operator==(const TopStage&) const = default;
};
struct TimeseriesStage {
  enum class Fill { kUnsaid, kNull, kPrevious, kValue };
  std::vector<NamedExpr> aggregates;  // 1+
  ExprPtr every;                      // duration
  std::vector<NamedExpr> keys;
  std::optional<ExprPtr> limit;  // count of series
  Fill fill = Fill::kUnsaid;
  std::optional<ExprPtr> fill_value;  // a number, only for kValue
  bool spread = false;
  bool operator==(const TimeseriesStage&) const = default;
};
struct SortKey {
  enum class Nulls { kUnsaid, kFirst, kLast };
  ExprPtr value;
  bool descending = false;
  Nulls nulls = Nulls::kUnsaid;
  Span span;
  bool operator==(const SortKey&) const = default;
};
struct SortStage {
  std::vector<SortKey> keys;  // 1+
  bool operator==(const SortStage&) const = default;
};
struct LimitStage {
  ExprPtr count;
  bool operator==(const LimitStage&) const = default;
};
struct TailStage {
  ExprPtr count;
  bool operator==(const TailStage&) const = default;
};
struct SampleStage {
  ExprPtr amount;  // a count of rows, or a FloatLiteral: a share of them, such as 0.01
  bool operator==(const SampleStage&) const = default;
};
struct DistinctStage {
  std::vector<NamedExpr> columns;  // empty: whole rows
  bool operator==(const DistinctStage&) const = default;
};

// Every other stage: its name, then what follows, as written. A stage that reads its arguments with stage_args.h needs
// no change of the grammar. Words are Name expressions where an operand may stand and Keywords where only a
// connecting word may (`by`, `on`, `within`…); is_word() below treats them alike.
struct StageArg;
struct Comma {
  bool operator==(const Comma&) const = default;
};
struct Subquery {  // ( … ) holding a source or a pipe
  Ref<Query> query;
  bool operator==(const Subquery&) const = default;
};
struct Bracketed {  // [ … ]
  std::vector<StageArg> items;
  bool operator==(const Bracketed& other) const;  // syntax.cc: StageArg is not complete here
};
struct StageArg {
  std::variant<Comma, ExprPtr, Keyword, Subquery, Bracketed> node;
  Span span;

  // Whether this is the plain word given (lower case), either as a Keyword or as an unquoted one-part Name.
  bool is_word(std::string_view word) const;
  bool operator==(const StageArg&) const = default;
};

// `render timechart`, with whatever hints follow the kind.
struct RenderStage {
  Keyword kind;
  std::vector<StageArg> arguments;
  bool operator==(const RenderStage&) const = default;
};
struct GenericStage {
  std::vector<StageArg> arguments;
  bool operator==(const GenericStage&) const = default;
};

struct Stage {
  using Node = std::variant<WhereStage, ExtendStage, SelectStage, DropStage, RenameStage, StatsStage, TopStage,
                            TimeseriesStage, SortStage, LimitStage, TailStage, SampleStage, DistinctStage, RenderStage,
                            GenericStage>;
  Keyword name;  // "where" for a bare filter, with an empty span
  Node node;
  Span span;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
  bool operator==(const Stage&) const = default;
};

// ---------------------------------------------------------------------------------------------------- statements

// `from flows`. A source left out is `flows` with a span of length 0.
struct Source {
  Name name;
  bool operator==(const Source&) const = default;
};
struct Query {
  Source source;
  std::optional<TimeClause> time;
  std::vector<Stage> stages;
  Span span;
  bool operator==(const Query&) const = default;
};

struct Explain {
  bool analyze = false;
  Query query;
  bool operator==(const Explain&) const = default;
};
// `show columns`, `show rules | where severity == high | sort name`.
struct Show {
  Keyword subject;
  std::vector<StageArg> arguments;  // `show rule port_scan`: what follows the subject
  std::vector<Stage> stages;
  bool operator==(const Show&) const = default;
};
// `severity medium`, `tags ("recon", "scan")`.
struct RuleOption {
  Keyword key;
  std::vector<ExprPtr> values;  // 1+; more than one only from a list in parentheses
  Span span;
  bool operator==(const RuleOption&) const = default;
};
struct CreateRule {
  bool replace = false;  // create or replace rule
  Name name;
  std::vector<RuleOption> options;  // between the name and `as`
  Query query;
  std::vector<NamedExpr> alert_by;  // empty: the rule is one alert
  // `for 10m`, `suppress 1h`, `message "…"` and what later versions add, in order, keys unique.
  std::vector<RuleOption> alert_options;
  bool operator==(const CreateRule&) const = default;
};
struct CreateList {
  bool replace = false;  // create or replace list
  Name name;
  std::vector<ExprPtr> items;  // may be empty
  bool operator==(const CreateList&) const = default;
};
// Every other statement (`drop rule x`, `alter rule x disable`, `replay rule x over last 30d`, `create table …`): its
// verb, then what follows.
struct Command {
  Keyword verb;
  std::vector<StageArg> arguments;
  std::optional<TimeClause> over;  // `over last 30d`
  bool operator==(const Command&) const = default;
};

struct Statement {
  std::variant<Query, Explain, Show, CreateRule, CreateList, Command> node;
  Span span;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
  bool operator==(const Statement&) const = default;
};

}  // namespace sluice::grammar
