// Binding: what the names, words and literals of a syntax tree mean, and the plan that follows.
//
// A Binder binds one query once. Errors carry the place in the text. Nothing here reads rows.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/syntax.h"
#include "query/aggregate.h"
#include "query/context_table.h"
#include "query/engine.h"
#include "query/group.h"
#include "query/plan.h"
#include "query/run_state.h"

namespace sluice::query {

struct BindOptions {
  TimestampNs now = 0;
  const std::map<std::string, ParameterValue>* parameters = nullptr;
  std::optional<TimeRange> narrow;              // the request's from and to
  const std::set<ColumnId>* present = nullptr;  // columns that the data has: what `from flows` shows; null: all
  RunState* run = nullptr;                      // for operators' memory; null: bound to be checked, not run
  const ListBook* lists = nullptr;              // watch-lists; null: there are none
  const TableBook* tables = nullptr;            // context tables; null: there are none
  const GeoBook* geo = nullptr;                 // places of addresses; null: not known, and the answer warns
  bool any_list = false;                        // a list that is not there is taken to be empty
  std::set<std::string>* lists_read = nullptr;  // gets the names of the lists that the query reads, in lower case
  bool widen = false;                           // integer arithmetic in floats
  // Of a sub-query: the range of the query around it, which holds where the sub-query names none. `narrow` is part of it.
  std::optional<TimeRange> outer_range;
  bool outer_overlap = false;
  size_t* subqueries = nullptr;                 // how many the whole query has so far
  bool continuous = false;                      // a rule's query: `stats` may have a window, and flows without one are refused
  SystemTables server_tables;                   // what `from NAME` finds beside flows, in queries and in those inside them; empty: nothing
};

// Values collected from the right side of ==, != and in, in the form that the left side's type compares.
struct ValueSet {
  IntRanges ints;
  IpRanges ips;
  std::unordered_set<std::string> words;
  std::vector<double> floats;
  FloatRanges float_ranges;
  std::vector<std::shared_ptr<const Regex>> regexes;
  std::vector<grammar::ExprPtr> computed;  // not constant: compared row by row
};

// How values of that class look, for hints; may be empty.
std::string_view example_of(TypeClass type_class);

class Binder {
 public:
  Binder(const BindOptions& options) : options_(options) {
    if (!options_.subqueries) options_.subqueries = &subqueries_;
  }

  // The plan of a flow query.
  std::optional<Plan> bind(const grammar::Query& query);
  // Stages over a table of the system's. `timed`: the query whose time range is meant, of the table's column `ts`.
  std::optional<Plan> bind_table(const Schema& table, const std::vector<grammar::Stage>& stages, const grammar::Query* timed = nullptr);

  // Why bind() gave nothing.
  const QueryError& error() const { return *error_; }

  // What an aggregate or function is called where nothing names it.
  static std::string default_name(const grammar::Call& call);

  // For completion, also where bind() gave nothing: the columns in scope behind the stages bound so far, and whether any column of
  // flows can be named beside them.
  std::vector<std::string> visible_names() const;
  bool any_flow_column() const { return flows_ && !closed_; }

 private:
  friend class StageBinder;  // stage.h: what stages in files of their own may ask

  struct Visible {
    std::string name;
    std::optional<size_t> slot;
    std::optional<ScanSource> source;  // not yet in a slot
  };
  enum class Side { none, source, destination };

  // bind.cc: stages
  bool bind_time(const grammar::Query& query);
  bool bind_stages(const std::vector<grammar::Stage>& stages);
  // `after`: the stages that follow.
  bool bind_stage(const grammar::Stage& stage, std::span<const grammar::Stage> after);
  bool bind_where(const grammar::WhereStage& stage, const std::string& text);
  bool bind_extend(const std::vector<grammar::NamedExpr>& columns, const std::string& text);
  bool bind_select(const grammar::SelectStage& stage, const std::string& text);
  bool bind_drop(const grammar::DropStage& stage);
  bool bind_rename(const grammar::RenameStage& stage);
  bool bind_sort(const grammar::SortStage& stage, const grammar::Stage* next, const std::string& text);
  std::optional<Plan> finish();
  std::optional<uint64_t> count_of(const grammar::Expr& expr, std::string_view what);
  std::optional<DurationNs> duration_of(const grammar::Expr& expr, std::string_view what);
  std::optional<TimestampNs> time_of(const grammar::Expr& expr);
  void push_conjuncts(PredicatePtr predicate, const std::string& text);

  // bind_group.cc: stats, top, timeseries, distinct
  struct BoundGroup {
    std::shared_ptr<GroupSpec> spec;
    std::vector<Visible> outputs;  // in the frame after
    std::vector<SlotSpec> slots;
    std::vector<Computed> after;   // expressions over aggregates
    std::vector<std::string> names;  // of slots that a result shows, keys first
  };
  bool bind_keys(const std::vector<grammar::NamedExpr>& keys, BoundGroup& group);
  bool bind_aggregates(const std::vector<grammar::NamedExpr>& aggregates, BoundGroup& group);
  bool bind_window(const grammar::Window& window);
  bool bind_session_window(const grammar::StatsStage& stage, BoundGroup& group, const std::string& text);
  bool bind_stats(const grammar::StatsStage& stage, std::span<const grammar::Stage> after, const std::string& text);
  // Of groups that a sort by one of their aggregates and a limit follow: how many of them are wanted. That aggregate is the first of all then.
  std::optional<uint64_t> heaviest_wanted(std::span<const grammar::Stage> after, BoundGroup& group);
  bool bind_top(const grammar::TopStage& stage, const std::string& text);
  bool bind_timeseries(const grammar::TimeseriesStage& stage, const std::string& text);
  bool bind_spread(TimeseriesSpec& series, const grammar::Span& span, const std::string& text);
  bool bind_distinct(const grammar::DistinctStage& stage, const std::string& text);
  // Adds the column that marks the row of what a limit left out.
  bool bind_rest_marker(BoundGroup& group, const grammar::Span& span);
  void enter_group_frame(BoundGroup& group, const std::string& text);
  NodePtr bind_aggregate(const grammar::Call& call, const grammar::Span& span);
  bool has_aggregate(const grammar::Expr& expr) const;

  // bind_expression.cc: values
  NodePtr bind_value(const grammar::ExprPtr& expr) { return bind_value(*expr); }
  NodePtr bind_value(const grammar::Expr& expr);
  NodePtr bind_name(const grammar::Name& name);
  // What arithmetic gives, folded where it is constant; notes what may overflow row by row.
  NodePtr computed(NodePtr node, bool constant);
  NodePtr bind_call(const grammar::Call& call, const grammar::Span& span);
  NodePtr bind_lookup(const grammar::Call& call, const grammar::Span& span);
  NodePtr bind_host(const grammar::Call& call, const grammar::Span& span);
  // nullptr and an error: there is none of that name.
  std::shared_ptr<const ContextTable> context_table(const std::string& name, const grammar::Span& span);
  void warn(std::string sentence);  // in the answer, once
  void warn_beyond(const Type& type, uint64_t least);  // where no value of a column is so large
  NodePtr bind_parameter_value(const grammar::Parameter& parameter, const grammar::Span& span);
  // The column that a name means; nullptr and no error when there is none.
  NodePtr find_name(const grammar::Name& name);
  bool is_either(const grammar::Name& name) const;
  bool mentions_either(const grammar::Expr& expr) const;
  NodePtr slot_of(const ScanSource& source);
  NodePtr slot_of(Visible& column);
  // Binds a query that is answered before this one's rows flow. Without a time clause of its own it covers `range`. nullptr: an error is set.
  std::shared_ptr<SubTable> bind_subquery(const grammar::Query& query, const TimeRange& range, std::string what, const grammar::Span& span);
  void narrow_scan(const std::shared_ptr<SubTable>& table, size_t slot, size_t column);
  // The place of a name in visible_, whatever its case.
  std::optional<size_t> visible_at(std::string_view name) const;
  void index_visible(size_t at) const;
  // Whether a table of `columns` takes one more; else an error at the span.
  bool has_room(size_t columns, const grammar::Span& span);
  NodePtr unknown_name(const grammar::Name& name, std::string_view what = "column");
  std::string name_of(const grammar::NamedExpr& named) const;

  // bind_condition.cc: conditions
  PredicatePtr bind_condition(const grammar::ExprPtr& expr) { return bind_condition(*expr); }
  PredicatePtr bind_condition(const grammar::Expr& expr);
  PredicatePtr bind_sides(const grammar::Expr& expr);
  PredicatePtr bind_compare(const grammar::Compare& compare, const grammar::Span& span);
  PredicatePtr bind_in(const grammar::In& in, const grammar::Span& span);
  PredicatePtr bind_in_query(const grammar::In& in, const grammar::Span& span);
  // Of a `where` that chooses rows of the scan: conjuncts `column in (QUERY)` let it look for the few values with its indexes.
  void narrow_by_queries(const grammar::Expr& predicate);
  PredicatePtr bind_between(const grammar::Between& between, const grammar::Span& span);
  PredicatePtr bind_text_test(grammar::CompareOp op, NodePtr left, const grammar::Expr& right);
  PredicatePtr bind_has(NodePtr left, const grammar::Expr& right);
  PredicatePtr bind_icmp(const grammar::Expr& right, bool negated, bool with_protocol);
  PredicatePtr bind_order(Comparison op, NodePtr left, const grammar::Expr& right);
  PredicatePtr test_of(NodePtr left, ValueSet set, bool negated, const grammar::Span& span);

  // bind_literal.cc: constants by the type of what they are compared with
  // Adds what the expression says; false: an error is set.
  bool add_value(const grammar::Expr& expr, const Type& type, ValueSet& set);
  bool add_text(std::string_view text, const Type& type, const grammar::Span& span, bool word, ValueSet& set);
  bool add_constant(const Value& value, const Type& type, const grammar::Span& span, ValueSet& set);
  // A word that means something beside this type: tcp beside a protocol. nullopt: it does not.
  std::optional<uint64_t> word_value(std::string_view word, const Type& type) const;
  std::optional<Value> text_value(std::string_view text, const Type& type) const;
  bool add_list(const grammar::ListReference& list, const Type& type, const grammar::Span& span, ValueSet& set);
  // One constant of the type; null pointer for "not a constant". An error sets error_.
  std::optional<Value> constant_of(const grammar::Expr& expr, const Type& type);
  std::shared_ptr<const Regex> regex_of(const grammar::Expr& expr);
  const ParameterValue* parameter(const grammar::Parameter& parameter, const grammar::Span& span);
  std::string word_hint(std::string_view word, const Type& type) const;

  // Sets the error, unless there is one already. Returns nullptr, to be returned on.
  std::nullptr_t fail(const grammar::Span& span, std::string message, std::string hint = {}, ErrorCode code = ErrorCode::parse);

  BindOptions options_;
  std::optional<QueryError> error_;
  Plan plan_;

  const grammar::Query* query_ = nullptr;   // being bound; null for a system table
  size_t stage_at_ = 0;                     // of the stage being bound
  size_t subqueries_ = 0;

  // The frame that stages work on now.
  bool flows_ = false;                      // names may be columns of flows that are not yet in a slot
  bool closed_ = false;                     // after select: only what is visible
  bool pushable_ = true;                    // a `where` here still filters the scan
  std::vector<SlotSpec> scan_slots_;        // of the scan's frame
  std::vector<SlotSpec> frame_slots_;       // of the frame after the last grouping
  bool in_scan_frame_ = true;
  std::vector<Visible> visible_;
  // Where a name stands in visible_, in lower case; and the columns of flows that visible names mean. Made when first asked
  // for; whoever changes visible_ keeps them right or clears `indexed_`.
  mutable std::unordered_map<std::string, size_t> visible_names_;
  mutable std::vector<std::pair<ColumnName, size_t>> visible_meanings_;
  mutable bool indexed_ = false;
  std::set<std::string> dropped_;           // lower case
  size_t scan_operators_ = 0;               // operators that read the scan's frame, once another frame follows
  std::optional<DurationNs> bin_width_;     // for rate()
  std::vector<size_t> group_keys_;          // slots of this frame that are keys of its grouping
  Side side_ = Side::none;
  BoundGroup* group_ = nullptr;             // while binding aggregates
  int depth_ = 0;
  // Answers of `in (QUERY)`, each asked once though it stands for both sides; by the query's place in the tree.
  std::map<const grammar::Query*, std::shared_ptr<Members>> members_;

  std::vector<SlotSpec>& slots() { return in_scan_frame_ ? scan_slots_ : frame_slots_; }
};

// What a plan shows of a stage's text.
std::string text_in_plan(const std::string& text);

TextSpan to_text_span(const grammar::Span& span);

}  // namespace sluice::query
