// first_seen: rows whose key was never there in the look-back.
//
// The stages before it are run over the look-back too, the time before the query's range begins; a key is new when no row of that
// has it. So `dst_port == 22 | first_seen src_ip, dst_ip lookback 14d` finds pairs that spoke SSH for the first time, whatever else they did.
// Null is a value like any other. Where flows are kept for less than the look-back, the answer warns.
#include "query/join.h"
#include "query/retained.h"
#include "query/stage.h"

namespace sluice::query {
namespace {

namespace g = grammar;

// Says so when the look-back reaches beyond what is kept.
class WarnOfShortHistory final : public Operator {
 public:
  explicit WarnOfShortHistory(TimeRange lookback) : lookback_(lookback) {}
  Status begin(Worker& worker) override {
    const auto kept = retained(*worker.run.context.snapshot);
    if (!kept || kept->first <= lookback_.from) return {};
    if (kept->first >= lookback_.to)
      worker.warnings.push_back("first_seen has nothing to look back to: flows are kept from " + format_timestamp(kept->first) + " on, so every key is new");
    else
      worker.warnings.push_back("first_seen looks back to " + format_timestamp(lookback_.from) + ", and flows are kept from " +
                                format_timestamp(kept->first) + " on: what was seen before that is not known");
    return {};
  }
  Status push(Chunk chunk, Worker&, const Emit& emit) override { return emit(std::move(chunk)); }
  bool stateless() const override { return true; }
  void collect_slots(std::vector<size_t>&) const override {}
  std::string describe() const override { return "compare with what was kept since " + format_timestamp(lookback_.from); }

 private:
  TimeRange lookback_;
};

bool bind_first_seen(StageBinder& binder) {
  const auto expressions = [&] {
    g::StageArgs ahead = binder.args;
    return ahead.expressions();
  }();
  const auto keys = binder.keys();
  if (keys.empty()) return false;
  if (!binder.args.word("lookback")) return binder.expected("'lookback' and a duration");
  const auto lookback = binder.duration("lookback");
  if (!lookback || !binder.end()) return false;
  const TimeRange now = binder.range();
  if (now.from == kTimestampMin)
    return binder.fail(binder.span(), "first_seen needs to know where the look-back ends", "give the query a range with a start, such as last 1h");
  TimeRange before{kTimestampMin, now.from};
  if (__builtin_sub_overflow(now.from, *lookback, &before.from)) before.from = kTimestampMin;

  auto query = binder.prefix();
  if (!query) return false;
  g::DistinctStage distinct;
  for (const auto& e : expressions) distinct.columns.push_back({std::nullopt, e, e->span});
  query->stages.push_back({g::Keyword{"distinct", binder.span()}, std::move(distinct), binder.span()});

  auto spec = std::make_shared<JoinSpec>();
  spec->kind = JoinSpec::Kind::anti;
  spec->nulls_match = true;
  spec->table = binder.subquery(*query, before, "the look-back");
  if (!spec->table) return false;
  for (size_t i = 0; i < keys.size(); ++i) {
    spec->keys.push_back(make_slot(keys[i].slot, keys[i].type));
    spec->table_keys.push_back(make_slot(i, spec->table->columns[i].type));
  }
  spec->text = binder.text();
  binder.push(std::make_unique<WarnOfShortHistory>(before), false);
  binder.push(make_join(std::move(spec), binder.run()), false);
  return true;
}

constexpr std::string_view kFirstSeenWords[] = {"lookback"};

}  // namespace

namespace stage_detail {
extern const StageSpec kFirstSeen{"first_seen", "first_seen KEY, … lookback D", "Rows whose key was never there in the look-back", kFirstSeenWords, bind_first_seen};
}

}  // namespace sluice::query
