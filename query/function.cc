#include "query/function.h"

#include <array>

namespace sluice::query {
namespace {

using namespace function_detail;

constexpr std::array kFunctions = {
    &kBin,      &kCidr,       &kIsPrivate, &kIsMulticast, &kIpVersion,   &kToIp, &kService,  &kProtocolName, &kIf,    &kCase,   &kCoalesce,
    &kMinOf,    &kMaxOf,      &kLower,     &kUpper,       &kContains,    &kStartsWith, &kEndsWith,   &kExtract, &kConcat, &kLength,
    &kToString, &kFormatBytes, &kHour,     &kDayOfWeek,   &kSeconds,     &kDuration, &kAbs,      &kFloor,        &kCeil,  &kRound,  &kLog,
    &kLog2,     &kLog10,      &kSqrt,      &kPow,         &kIfName,     &kExporterName, &kCountry, &kAsn, &kAsName,
};

constexpr BoundFunction kBound[] = {
    {"now", "now()", "The time at which the query began"},
    {"in_list", "in_list(x, \"list\")", "Whether a watch-list has it, as x in @list"},
    {"zone", "zone(ip)", "The zone that the address is in, as lists named zone_NAME say"},
    {"lookup", "lookup(\"table\", key, \"column\")", "What a context table says of a key, now"},
    {"host", "host(ip)", "The name of an address, as the context table 'hosts' says; null when not known"},
    {"has", "has(x, y)", "As x has y: a flag of flags, a word of text, an item of a list"},
    {"matches", "matches(text, /regex/)", "As text matches /regex/"},
};

class CallNode final : public Node {
 public:
  CallNode(const FunctionSpec& spec, std::vector<NodePtr> args, const Type& result) : Node(result), spec_(spec), args_(std::move(args)) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    std::vector<ColumnPtr> columns;
    columns.reserve(args_.size());
    for (const auto& a : args_) columns.push_back(a->eval(chunk, context));
    // What has been stopped for its memory must not ask for more.
    if (!context.meter.stopped.ok()) return keep(Column::nulls(type.physical, chunk.rows), context);
    return keep(spec_.eval(args_, columns, chunk.rows, type, context), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& a : args_) a->collect_slots(slots);
  }

 private:
  const FunctionSpec& spec_;
  std::vector<NodePtr> args_;
};

}  // namespace

std::span<const FunctionSpec* const> functions() { return kFunctions; }
std::span<const BoundFunction> bound_functions() { return kBound; }

const FunctionSpec* find_function(std::string_view name) {
  for (const FunctionSpec* f : kFunctions)
    if (f->name == name) return f;
  return nullptr;
}

NodePtr make_call(const FunctionSpec& spec, std::vector<NodePtr> args, const Type& result) {
  bool constant = true;
  for (const auto& a : args) constant = constant && a->constant();
  NodePtr node = std::make_shared<CallNode>(spec, std::move(args), result);
  return constant && !spec.asks_context ? fold(std::move(node)) : node;
}

Error wrong_argument(std::string_view name, size_t index, std::string_view what) {
  return Error{ErrorCode::parse, std::string(name) + "() wants " + std::string(what) + " as argument " + std::to_string(index + 1)};
}

}  // namespace sluice::query
