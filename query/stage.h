// The registry of stages that the grammar hands over as a name and arguments (grammar/stage_args.h). A stage is one file,
// stage_NAME.cc, and one row of the table in stage.cc.
//
// A stage's bind() reads its arguments from `args`, says what is wrong with them at their place, and pushes operators. It works
// on a frame: the numbered slots of the rows at that place. It either keeps the frame and adds columns to it, or replaces it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/stage_args.h"
#include "query/bind.h"
#include "query/plan.h"

namespace sluice::query {

class StageBinder;

struct StageSpec {
  std::string_view name;
  std::string_view signature;  // "dedup [by KEY, …] [within D]"
  std::string_view doc;        // one sentence
  std::span<const std::string_view> words;  // that connect its arguments, for completion
  // False: an error is set.
  bool (*bind)(StageBinder& binder);
};

std::span<const StageSpec* const> stages();
const StageSpec* find_stage(std::string_view lower_case_name);

// The stages that the grammar knows itself, for `show stages` and completion.
struct PlainStage {
  std::string_view name, signature, doc;
};
std::span<const PlainStage> plain_stages();
// What `render` takes.
std::span<const std::string_view> render_kinds();

// A column of the rows at hand: its slot, and its name as it is shown.
struct StageColumn {
  std::string name;
  size_t slot;
  Type type;
};
std::vector<Type> types_of(std::span<const StageColumn> columns);

// What a stage may ask of the binder. Lives for one bind().
class StageBinder {
 public:
  StageBinder(Binder& binder, const StageSpec& spec, const grammar::Stage& stage, std::string text)
      : args(stage), binder_(binder), spec_(spec), stage_(stage), text_(std::move(text)) {}

  grammar::StageArgs args;

  const std::string& text() const { return text_; }
  RunState* run() const { return binder_.options_.run; }
  bool widen() const { return binder_.options_.widen; }
  // Of the query's rows; open ends where it named none.
  const TimeRange& range() const { return binder_.plan_.scan.range; }
  // Whether rows here are still flows as stored (no grouping before).
  bool on_flows() const { return binder_.in_scan_frame_; }

  // --- arguments; all fail() by themselves
  NodePtr value(const grammar::Expr& expr);  // one side only: an either-side name is an error that says so
  PredicatePtr condition(const grammar::Expr& expr) { return binder_.bind_condition(expr); }
  std::optional<DurationNs> duration(std::string_view what);           // the next argument
  std::optional<DurationNs> duration_of(const grammar::Expr& expr, std::string_view what) { return binder_.duration_of(expr, what); }
  std::optional<uint64_t> count(std::string_view what);                // the next argument
  std::optional<IpAddress> address(const grammar::Expr& expr);
  // The expressions at hand, "KEY, …"; empty and an error where there is none. Their values become slots of the frame, so that
  // operators find them there.
  std::vector<StageColumn> keys(std::string_view what = "a key");
  // A context table; nullptr and an error when there is none.
  std::shared_ptr<const ContextTable> table(const grammar::Name& name, const grammar::Span& at) { return binder_.context_table(name.text(), at); }
  TimestampNs now() const { return binder_.options_.now; }
  // What a watch-list means beside values of the type.
  bool list(const grammar::ListReference& list, const Type& type, const grammar::Span& at, ValueSet& set) { return binder_.add_list(list, type, at, set); }
  // Whether all arguments were read; else the error "expected … ".
  bool end();

  // --- columns
  // A column of flows, by its own name; nullopt and no error when rows here have none. One that an earlier stage put in its place
  // must have its layout, or that is an error.
  std::optional<StageColumn> column(std::string_view name);
  // The same; where there is none, an error that names the stage.
  std::optional<StageColumn> need(std::string_view name);
  // Everything that the answer would show here.
  std::vector<StageColumn> visible();
  // Those of visible() that are keys of the last grouping, and whether there was one.
  bool is_group_key(size_t slot) const;
  bool grouped() const { return !binder_.in_scan_frame_ && binder_.query_ != nullptr; }
  // Whether a new column may take this name: false and an error at the span where there is one already.
  bool free_name(std::string_view name, const grammar::Span& span);

  // --- operators
  // A new column of this frame; the operator that is pushed next fills its slot.
  std::optional<size_t> add_column(std::string name, Type type);
  // A slot that is not shown, filled by an operator pushed by the caller.
  std::optional<size_t> add_slot(std::string name, Type type);
  // Rows go on in this frame. `chooses`: which rows come depends on all of them, so that a `where` behind must stay behind.
  void push(OperatorPtr op, bool chooses);
  // Rows of a new frame: slot i is column i. The first `keys` of them are keys of a grouping.
  void push_frame(OperatorPtr op, std::vector<StageColumn> columns, size_t keys = 0);

  // What `stats AGGREGATES by KEYS` does here. False: an error is set.
  bool stats(std::vector<grammar::NamedExpr> aggregates, std::vector<grammar::NamedExpr> keys);
  // The width of the bins that rows are grouped by; nullopt: not by bins.
  std::optional<DurationNs> bin_width() const { return binder_.bin_width_; }
  // A piece of FlowQL that a stage is made of. REQUIRES: it parses
  static grammar::ExprPtr expression(std::string_view text);
  static grammar::Query query(std::string_view text);
  // NAME = EXPR, placed at the stage.
  grammar::NamedExpr named(std::string name, grammar::ExprPtr value) const;

  // --- sub-queries
  // Binds a query that is answered before this one's rows flow. Without a time clause of its own it covers `range`.
  std::shared_ptr<SubTable> subquery(const grammar::Query& query, const TimeRange& range, std::string what);
  // Tells the scan that rows of the slot outside a column of the table (of subquery()) are of no use. Only where that is so.
  void narrow_scan(const std::shared_ptr<SubTable>& table, size_t slot, size_t column);
  // The query up to this stage, without it and without its time clause. nullopt and an error over a system table.
  std::optional<grammar::Query> prefix();

  bool fail(const grammar::Span& span, std::string message, std::string hint = {}, ErrorCode code = ErrorCode::parse) {
    binder_.fail(span, std::move(message), std::move(hint), code);
    return false;
  }
  // "expected WHAT in 'STAGE'", at what stands next; the hint is the stage's signature.
  bool expected(std::string_view what);
  const grammar::Span& span() const { return stage_.name.span; }
  const StageSpec& spec() const { return spec_; }
  bool failed() const { return binder_.error_.has_value(); }

 private:
  Binder& binder_;
  const StageSpec& spec_;
  const grammar::Stage& stage_;
  std::string text_;
};

namespace stage_detail {
extern const StageSpec kAbsent, kBaseline, kBeacons, kCompare, kDedup, kFirstSeen, kJoin, kLookup, kReach, kSequence, kStitch;
}  // namespace stage_detail

}  // namespace sluice::query
