#include "query/in_query.h"

#include <array>

namespace sluice::query {
namespace {

class InQuery final : public Node {
 public:
  InQuery(std::shared_ptr<const Members> members, NodePtr value, bool negated)
      : Node(Type::of(LogicalType::boolean)), members_(std::move(members)), value_(std::move(value)), negated_(negated) {}

  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const std::array<ColumnPtr, 1> values = {value_->eval(chunk, context)};
    std::vector<uint8_t> out(chunk.rows);
    for (size_t row = 0; row < chunk.rows; ++row)
      if (!values[0]->is_null(row)) out[row] = (members_->index.first(values, row) != KeyIndex::kNone) != negated_;
    return keep(Column::of<uint8_t>(PhysicalType::U8, std::move(out)), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override { value_->collect_slots(slots); }

 private:
  const std::shared_ptr<const Members> members_;
  const NodePtr value_;
  const bool negated_;
};

}  // namespace

Status Members::build(Worker& worker) {
  const RowBuffer& rows = table->rows;
  Chunk whole;
  whole.rows = rows.rows();
  for (size_t i = 0; i < table->columns.size(); ++i) whole.slots.push_back(rows.shared(i));
  ColumnPtr values = key->eval(whole, worker.eval);
  const size_t bytes = key->slot() ? 0 : values->byte_size();
  // Asked for before it is built, as a join's.
  SLUICE_TRY(claim.set(bytes + rows.rows() * 28));
  if (!index.build({std::move(values)}, rows.rows(), false, worker.eval.meter)) return worker.eval.meter.stopped;
  return claim.set(bytes + index.byte_size());
}

NodePtr make_in_query(std::shared_ptr<const Members> members, NodePtr value, bool negated) {
  return std::make_shared<InQuery>(std::move(members), std::move(value), negated);
}

}  // namespace sluice::query
