#include "query/join.h"

#include <algorithm>
#include <numeric>

#include "query/key_index.h"

namespace sluice::query {
namespace {

class Join final : public Operator {
 public:
  Join(std::shared_ptr<const JoinSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run) {}

  Status begin(Worker& worker) override {
    const RowBuffer& rows = spec_->table->rows;
    Chunk whole;
    whole.rows = rows.rows();
    for (size_t i = 0; i < spec_->table->columns.size(); ++i) whole.slots.push_back(rows.shared(i));
    std::vector<ColumnPtr> keys;
    size_t bytes = 0;
    for (const NodePtr& node : spec_->table_keys) {
      keys.push_back(node->eval(whole, worker.eval));
      if (!node->slot()) bytes += keys.back()->byte_size();
    }
    // The index is asked for before it is built: it is the largest single piece of a join.
    SLUICE_TRY(claim_.set(bytes + rows.rows() * 28));
    if (!index_.build(std::move(keys), rows.rows(), spec_->nulls_match, worker.eval.meter)) return worker.eval.meter.stopped;
    return claim_.set(bytes + index_.byte_size());
  }

  Status push(Chunk chunk, Worker& worker, const Emit& emit) override {
    std::vector<ColumnPtr> keys;
    for (const NodePtr& node : spec_->keys) keys.push_back(node->eval(chunk, worker.eval));
    using Kind = JoinSpec::Kind;
    std::vector<uint32_t> mine, theirs;
    if (spec_->kind == Kind::semi || spec_->kind == Kind::anti) {
      for (uint32_t row = 0; row < chunk.rows; ++row)
        if ((index_.first(keys, row) != KeyIndex::kNone) == (spec_->kind == Kind::semi)) mine.push_back(row);
      if (mine.size() == chunk.rows) return emit(std::move(chunk));
      return mine.empty() ? Status() : emit(chunk.gather(mine));
    }
    for (uint32_t row = 0; row < chunk.rows; ++row) {
      uint32_t partner = index_.first(keys, row);
      if (partner == KeyIndex::kNone) {
        if (spec_->kind == Kind::inner) continue;
        mine.push_back(row);
        theirs.push_back(KeyIndex::kNone);
      }
      for (; partner != KeyIndex::kNone; partner = index_.next(partner)) {
        mine.push_back(row);
        theirs.push_back(partner);
        // A key that both sides have many times makes many rows of few.
        if (mine.size() < kEmitRows) continue;
        SLUICE_TRY(flush(chunk, mine, theirs, worker, emit));
      }
    }
    return mine.empty() ? Status() : flush(chunk, mine, theirs, worker, emit);
  }
  bool stateless() const override { return true; }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const NodePtr& node : spec_->keys) node->collect_slots(slots);
  }
  std::string describe() const override { return spec_->text; }

 private:
  Status flush(const Chunk& chunk, std::vector<uint32_t>& mine, std::vector<uint32_t>& theirs, Worker& worker, const Emit& emit) const {
    SLUICE_TRY(worker.run.check());
    Chunk out = chunk.gather(mine);
    for (const auto& added : spec_->added) {
      if (out.slots.size() <= added.slot) out.slots.resize(added.slot + 1);
      const Column& from = spec_->table->rows.slot(added.column);
      Column column(from.type());
      column.reserve(theirs.size());
      for (uint32_t row : theirs) {
        if (row == KeyIndex::kNone)
          column.append_null();
        else
          column.append_from(from, row);
      }
      out.slots[added.slot] = std::make_shared<Column>(std::move(column));
    }
    mine.clear();
    theirs.clear();
    return emit(std::move(out));
  }

  std::shared_ptr<const JoinSpec> spec_;
  KeyIndex index_;
  MemoryClaim claim_;
};

}  // namespace

OperatorPtr make_join(std::shared_ptr<const JoinSpec> spec, RunState* run) { return std::make_unique<Join>(std::move(spec), run); }

}  // namespace sluice::query
