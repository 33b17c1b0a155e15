// Predicates: trees of and, or, not over tests of one value, which storage's facts can decide in part before any row is read.
//
// Two-valued: a test of null is false (only `is null` asks for it), and `not` turns what its operand said. `x != 5` and
// `x not in (…)` are tests of their own, so null satisfies neither them nor their opposites.
// Predicates are immutable and used from many threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "query/expression.h"
#include "query/regex.h"
#include "storage/segment/segment.h"

namespace sluice::query {

using segment::ValueRange;

// Sorted, disjoint, closed ranges of integers; signed order for I64 layouts. Values are kept as uint64_t bits.
struct IntRanges {
  std::vector<ValueRange> ranges;
  bool is_signed = false;

  void normalize();  // sorts and joins
  IntRanges complement() const;
};
struct FloatRange {  // for computed floats
  double low = 0, high = 0;
  bool low_open = false, high_open = false, outside = false;
};
// Sorted, disjoint, closed: a list of floats.
struct FloatRanges {
  std::vector<std::pair<double, double>> ranges;
  void normalize();
};
// Sorted, disjoint, closed.
struct IpRanges {
  std::vector<std::pair<IpAddress, IpAddress>> ranges;
  void normalize();
  IpRanges complement() const;
};
struct TextTest {
  enum class Kind { one_of, contains, starts_with, ends_with, matches, between, has_item } kind = Kind::one_of;
  std::unordered_set<std::string> words;        // one_of, has_item
  std::string text;                             // contains, starts_with, ends_with; between: low
  std::string high;                             // between
  bool has_low = false, has_high = false, low_open = false, high_open = false;
  std::shared_ptr<const Regex> regex;           // matches
  bool negated = false;

  // With a meter that stops, the answer says nothing.
  bool matches(std::string_view value, WorkMeter& meter) const;
};
struct FlagsTest {  // (value & mask) == want, or != when negated
  uint64_t mask = 0, want = 0;
  bool negated = false;
};
struct NullTest {
  bool want_null = true;
};
using Test = std::variant<IntRanges, FloatRange, IpRanges, TextTest, FlagsTest, NullTest, FloatRanges>;

struct Predicate;
using PredicatePtr = std::shared_ptr<const Predicate>;

struct Predicate {
  enum class Kind { all, none, conjunction, disjunction, negation, test, expression };
  Kind kind = Kind::all;
  std::vector<PredicatePtr> children;  // conjunction, disjunction: 2+; negation: 1
  NodePtr operand;                     // test: any type; expression: boolean
  Test test;
  std::optional<ColumnId> column;      // test of a stored column as it is
  size_t leaf = 0;                     // test with a column: number of it in the plan, for LeafFacts
};

PredicatePtr make_predicate(bool value);
PredicatePtr make_test(NodePtr operand, Test test);
PredicatePtr make_condition(NodePtr boolean);  // a boolean node; constants fold
// Flattens and folds.
PredicatePtr make_and(std::vector<PredicatePtr> children);
PredicatePtr make_or(std::vector<PredicatePtr> children);
PredicatePtr make_not(PredicatePtr child);

// What a segment's dictionary said of a leaf: which codes satisfy it. Shared by all blocks of the segment.
struct LeafCodes {
  std::shared_ptr<const Dictionary> dictionary;  // codes of a column with another dictionary are not meant
  std::vector<ValueRange> ranges;
  Bitmap set;  // filled when there are several ranges
};
// Facts by leaf number; an entry without a dictionary says nothing.
using LeafFacts = std::vector<LeafCodes>;

// mask[i] = 1 where row i satisfies the predicate, else 0. REQUIRES: mask has chunk.rows bytes
void evaluate(const Predicate& predicate, const Chunk& chunk, EvalContext& context, const LeafFacts* facts, uint8_t* mask);
// One test over a column.
void evaluate(const Test& test, const Column& column, const LeafCodes* codes, WorkMeter& meter, uint8_t* mask);

// The predicate as a boolean value.
NodePtr make_predicate_node(PredicatePtr predicate);

// Slots that the predicate reads.
void collect_slots(const Predicate& predicate, std::vector<size_t>& slots);

}  // namespace sluice::query
