// Expressions, bound and typed, evaluated a chunk at a time.
//
// A Chunk's columns stand in numbered slots; which slot holds what is the plan's business (plan.h). A slot that nobody
// needs at that place is empty. Nodes are immutable and used from many threads; evaluation never fails: what has no answer
// (a division by zero, text that does not fit) is null, and an integer overflow raises the flag in EvalContext.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "query/memory.h"
#include "query/value.h"
#include "query/work_meter.h"
#include "storage/model/column.h"
#include "storage/model/result.h"

namespace sluice::query {

class GeoBook;   // geo.h
class NameBook;  // names.h
using ColumnPtr = std::shared_ptr<const Column>;

struct EvalContext;

struct Chunk {
  std::vector<ColumnPtr> slots;
  size_t rows = 0;

  // The rows at `selection`, ascending, of every slot that is filled.
  Chunk gather(std::span<const uint32_t> selection, EvalContext& context) const;
  size_t byte_size() const;
};

// One per worker; added up afterwards.
struct EvalContext {
  bool overflow = false;
  // What floats cannot mend: a time or a duration beyond 64 bits of nanoseconds is null, a count beyond 64 bits the greatest there is.
  bool beyond_time = false, beyond_count = false;
  uint64_t unknown_sampling_rows = 0;
  const NameBook* names = nullptr;  // what functions may ask; null while constants are folded
  const GeoBook* geo = nullptr;     // the same
  MemoryAccount* memory = nullptr;  // of the query; null while constants are folded
  WorkMeter meter;  // results computed while meter.stopped is an error mean nothing
};

// A column that a query has made: its bytes are on the query's account while anybody holds it. Beyond the limit: meter.stopped.
ColumnPtr keep(Column column, EvalContext& context);

class Node {
 public:
  explicit Node(Type result) : type(std::move(result)) {}
  virtual ~Node() = default;
  // A column of chunk.rows values, laid out as `type` says (and perhaps coded); kept.
  virtual ColumnPtr eval(const Chunk& chunk, EvalContext& context) const = 0;
  virtual const Value* constant() const { return nullptr; }
  virtual std::optional<size_t> slot() const { return std::nullopt; }
  // Adds the slots that evaluation reads.
  virtual void collect_slots(std::vector<size_t>& slots) const = 0;

  const Type type;
};
using NodePtr = std::shared_ptr<const Node>;

NodePtr make_constant(Value value);
NodePtr make_constant(Value value, const Type& type);
NodePtr make_slot(size_t slot, const Type& type);

enum class Arithmetic { add, subtract, multiply, divide, modulo };
// `widen`: integers become floats first (the second try after an overflow). The error is a message without a place.
Result<NodePtr> make_arithmetic(Arithmetic op, NodePtr left, NodePtr right, bool widen);
// The same values, said to be of that unit. REQUIRES: `unit` lives as long as the program
NodePtr with_unit(NodePtr node, std::string_view unit);
NodePtr make_negate(NodePtr operand, bool widen);

enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal };
// Two values that are not constants. Null on either side gives false. REQUIRES: classes of types match
NodePtr make_comparison(Comparison op, NodePtr left, NodePtr right);

// The node's value where all its arguments are constants; else the node.
NodePtr fold(NodePtr node);

// Row-wise access to numbers, whatever the layout. Nulls read as 0.
std::vector<double> as_doubles(const Column& column);
std::vector<int64_t> as_ints(const Column& column);
std::vector<uint64_t> as_uints(const Column& column);

// Same values in the layout of `type` (uint -> float and the like); the same column where nothing is to be done.
ColumnPtr cast_column(ColumnPtr column, const Type& from, const Type& to, EvalContext& context);
NodePtr make_cast(NodePtr node, const Type& to);
// The type that both fit (number types widen); nullopt when there is none.
std::optional<Type> common_type(const Type& a, const Type& b);

// Rows that are not null in both.
Bitmap both_valid(const Column& a, const Column& b);

}  // namespace sluice::query
