// The registry of scalar functions. A function is one entry in a function_*.cc and one line in function.cc's table.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/expression.h"

namespace sluice::query {

struct FunctionSpec {
  std::string_view name;
  std::string_view signature;  // "cidr(ip, bits)"
  std::string_view doc;        // one sentence
  size_t args_min, args_max;
  // Checks the arguments (constants among them may be looked at) and says what comes out. The message of an error has no
  // place; the binder adds the call's.
  Result<Type> (*bind)(std::span<const NodePtr> args);
  // `args` are evaluated and have `rows` rows each. Thread-safe.
  Column (*eval)(std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context);
  bool asks_context = false;  // its value is not its arguments' alone: never folded
};

std::span<const FunctionSpec* const> functions();
// Functions that the binder makes itself, because they need more than values: names of lists and tables, the clock, a regular expression.
struct BoundFunction {
  std::string_view name, signature, doc;
};
std::span<const BoundFunction> bound_functions();
const FunctionSpec* find_function(std::string_view lower_case_name);

// REQUIRES: spec.bind agreed. Folds when all arguments are constants, unless it asks the context.
NodePtr make_call(const FunctionSpec& spec, std::vector<NodePtr> args, const Type& result);

// For entries: "NAME wants WHAT as argument N".
Error wrong_argument(std::string_view name, size_t index, std::string_view what);

namespace function_detail {
// ip
extern const FunctionSpec kCidr, kIsPrivate, kIsMulticast, kIpVersion, kToIp, kService;
// condition
extern const FunctionSpec kIf, kCase, kCoalesce, kMinOf, kMaxOf;
// text
extern const FunctionSpec kLower, kUpper, kContains, kStartsWith, kEndsWith, kExtract, kConcat, kLength, kFormatBytes, kToString,
    kProtocolName;
// names
extern const FunctionSpec kIfName, kExporterName, kCountry, kAsn, kAsName;
// time
extern const FunctionSpec kBin, kHour, kDayOfWeek, kSeconds, kDuration;
// arithmetic
extern const FunctionSpec kAbs, kFloor, kCeil, kRound, kLog, kLog2, kLog10, kSqrt, kPow;
}  // namespace function_detail

}  // namespace sluice::query
