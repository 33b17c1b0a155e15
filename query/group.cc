#include "query/group.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace sluice::query {
std::vector<Type> key_types(const GroupSpec& spec) {
  std::vector<Type> types;
  for (const auto& k : spec.keys) types.push_back(k.node->type);
  return types;
}

bool same_value(const Column& a, const Column& b, size_t row) {
  const bool an = a.is_null(row), bn = b.is_null(row);
  if (an || bn) return an == bn;
  switch (a.type()) {
    case PhysicalType::Ip: return a.ip_at(row) == b.ip_at(row);
    case PhysicalType::Str: return a.string_at(row) == b.string_at(row);
    case PhysicalType::F64: return a.float_at(row) == b.float_at(row);
    default: return a.uint_at(row) == b.uint_at(row);
  }
}

int compare_rows(const Column& column, uint32_t a, uint32_t b) {
  const bool an = column.is_null(a), bn = column.is_null(b);
  if (an || bn) return an == bn ? 0 : an ? 1 : -1;
  auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  switch (column.type()) {
    case PhysicalType::I64: return order(column.int_at(a), column.int_at(b));
    case PhysicalType::F64: return order(column.float_at(a), column.float_at(b));
    case PhysicalType::Ip: return order(column.ip_at(a), column.ip_at(b));
    case PhysicalType::Str: return order(column.string_at(a), column.string_at(b));
    default: return order(column.uint_at(a), column.uint_at(b));
  }
}

bool row_less(std::span<const Column> columns, uint32_t a, uint32_t b) {
  for (const Column& c : columns)
    if (const int order = compare_rows(c, a, b)) return order < 0;
  return false;
}

void append_rest_key(Column& column, const Type& type) {
  if (type.logical == LogicalType::string)
    column.append_string("other");
  else
    column.append_null();
}
void append_rest_key(TextBuilder& column, const Type& type) {
  if (type.logical == LogicalType::string)
    column.append("other");
  else
    column.append_null();
}

Grouping::Grouping(const GroupSpec& spec, RunState& run) : spec_(spec), table_(key_types(spec)), claim_(&run) {
  for (const auto& a : spec.aggregates) {
    aggregates_.push_back(a.make.make());
    aggregates_.back()->resize(1);
    plain_ = plain_ && aggregates_.back()->plain();
  }
}

Status Grouping::push(const Chunk& chunk, Worker& worker) {
  std::vector<ColumnPtr> keys;
  bool either = false;
  for (const auto& k : spec_.keys) {
    keys.push_back(k.node->eval(chunk, worker.eval));
    either = either || k.other_side;
  }
  if (!either) return push_side(chunk, std::move(keys), worker);

  // A flow counts once for each side; where both sides say the same, once. A side that is not known is a group of its own.
  // Several such keys go together: an address with its own port, never with the other side's.
  std::vector<ColumnPtr> others = keys;
  for (size_t i = 0; i < keys.size(); ++i)
    if (spec_.keys[i].other_side) others[i] = spec_.keys[i].other_side->eval(chunk, worker.eval);
  std::vector<uint32_t> second;
  for (uint32_t row = 0; row < chunk.rows; ++row) {
    bool same = true;
    for (size_t i = 0; i < keys.size() && same; ++i)
      if (spec_.keys[i].other_side) same = same_value(*keys[i], *others[i], row);
    if (!same) second.push_back(row);
  }
  auto push_rows = [&](const std::vector<ColumnPtr>& columns, const std::vector<uint32_t>& rows) -> Status {
    if (rows.empty()) return {};
    if (rows.size() == chunk.rows) return push_side(chunk, columns, worker);
    std::vector<ColumnPtr> picked;
    for (const auto& c : columns) picked.push_back(keep(c->gather(rows), worker.eval));
    return push_side(chunk.gather(rows, worker.eval), std::move(picked), worker);
  };
  SLUICE_TRY(push_side(chunk, keys, worker));
  return push_rows(others, second);
}

// Whether the rows go by their codes: yes while a segment's rows come, once there have been enough of them to pay for room for all
// codes.
bool Grouping::begin_by_code(const Column& key, size_t rows, Worker& worker, Status& status) {
  constexpr size_t kCodesPerRow = 4;
  if (!plain_ || !table_.is_of_values()) return false;
  if (by_code_ && key.is_coded() && !key.has_nulls() && key.dictionary() == by_code_->dictionary) return true;
  status = settle(worker);
  if (!status.ok() || !key.is_coded() || key.has_nulls()) return false;
  if (met_ != key.dictionary()) {
    met_ = key.dictionary();
    met_rows_ = 0;
  }
  met_rows_ += rows;
  if (met_->size() / kCodesPerRow > met_rows_) return false;
  by_code_.emplace();
  by_code_->dictionary = key.dictionary();
  by_code_->seen.resize(key.dictionary()->size());
  for (const auto& a : spec_.aggregates) by_code_->aggregates.push_back(a.make.make());
  return true;
}

Status Grouping::settle(Worker& worker) {
  if (!by_code_) return {};
  ByCode by_code = std::move(*by_code_);
  by_code_.reset();
  const size_t size = by_code.seen.size();
  MemoryClaim claim(&worker.run);
  SLUICE_TRY(claim.set(size * 3 * sizeof(uint32_t)));
  std::vector<uint32_t> codes, groups(size), map(size);
  codes.reserve(size);
  for (uint32_t c = 0; c < size; ++c)
    if (by_code.seen[c]) codes.push_back(c);
  {
    Growth growth(worker.eval);
    table_.find_values(*by_code.dictionary, codes, groups.data(), &growth);
  }
  for (size_t i = 0; i < codes.size(); ++i) map[codes[i]] = groups[i];
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    aggregates_[a]->resize(this->size());
    aggregates_[a]->merge(*by_code.aggregates[a], map, worker.eval);
  }
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  return account();
}

Status Grouping::push_side(const Chunk& chunk, std::vector<ColumnPtr> keys, Worker& worker) {
  Status status;
  if (keys.size() == 1 && begin_by_code(*keys[0], chunk.rows, worker, status)) {
    const auto codes = keys[0]->codes();
    for (const uint32_t c : codes) by_code_->seen[c] = 1;
    SLUICE_TRY(update(by_code_->aggregates, codes.data(), by_code_->seen.size(), chunk, worker));
    return account();
  }
  SLUICE_TRY(status);
  const uint32_t* groups = nullptr;
  if (!keys.empty()) {
    Growth growth(worker.eval);
    table_.find(keys, chunk.rows, groups_, &growth);
    groups = groups_.data();
  }
  SLUICE_TRY(update(aggregates_, groups, size(), chunk, worker));
  return account();
}

Status Grouping::update(std::vector<std::unique_ptr<Aggregate>>& aggregates, const uint32_t* groups, size_t size, const Chunk& chunk, Worker& worker) {
  for (size_t a = 0; a < aggregates.size(); ++a) {
    const GroupAggregate& spec = spec_.aggregates[a];
    aggregates[a]->resize(size);
    if (!spec.filter) {
      std::vector<ColumnPtr> args;
      for (const auto& n : spec.args) args.push_back(n->eval(chunk, worker.eval));
      aggregates[a]->update(groups, args, chunk.rows, worker.eval);
      continue;
    }
    std::vector<uint8_t> mask(chunk.rows);
    evaluate(*spec.filter, chunk, worker.eval, nullptr, mask.data());
    std::vector<uint32_t> rows, their_groups;
    for (uint32_t i = 0; i < chunk.rows; ++i) {
      if (!mask[i]) continue;
      rows.push_back(i);
      if (groups) their_groups.push_back(groups[i]);
    }
    if (rows.empty()) continue;
    std::vector<ColumnPtr> args;
    for (const auto& n : spec.args) args.push_back(keep(n->eval(chunk, worker.eval)->gather(rows), worker.eval));
    aggregates[a]->update(groups ? their_groups.data() : nullptr, args, rows.size(), worker.eval);
  }
  return worker.eval.meter.stopped;
}

Status Grouping::account() {
  size_t bytes = table_.byte_size() + groups_.capacity() * 4;
  for (const auto& a : aggregates_)
    if (a) bytes += a->byte_size();
  if (by_code_) {
    bytes += by_code_->seen.capacity();
    for (const auto& a : by_code_->aggregates) bytes += a->byte_size();
  }
  return claim_.set(bytes);
}

Status Grouping::join(Grouping& other, Worker& worker) {
  SLUICE_TRY(settle(worker));
  SLUICE_TRY(other.settle(worker));
  std::vector<uint32_t> map = {0};
  MemoryClaim map_claim(&worker.run);
  // The limit is asked after each part, for each may take as much again as the other's groups do.
  auto go_on = [&]() -> Status {
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    SLUICE_TRY(worker.run.check());
    return account();
  };
  if (!spec_.keys.empty()) {
    Growth growth(worker.eval);
    map = table_.merge(other.table_, &growth);
  }
  SLUICE_TRY(map_claim.set(map.capacity() * sizeof(uint32_t)));
  SLUICE_TRY(go_on());
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    aggregates_[a]->resize(size());
    other.aggregates_[a]->resize(other.size());
    // What has been taken over is given back before the next part grows.
    const size_t freed = other.aggregates_[a]->byte_size();
    aggregates_[a]->merge(*other.aggregates_[a], map, worker.eval);
    other.aggregates_[a].reset();
    SLUICE_TRY(other.claim_.give_back(freed));
    SLUICE_TRY(go_on());
  }
  return account();
}

Status Grouping::join(const GroupPart& part, Worker& worker) {
  SLUICE_TRY(settle(worker));
  std::vector<uint32_t> map = {0};
  if (!spec_.keys.empty()) {
    Growth growth(worker.eval);
    map = table_.merge(part.table, &growth);
  }
  SLUICE_TRY(worker.eval.meter.stopped);
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    aggregates_[a]->resize(size());
    aggregates_[a]->merge(*part.aggregates[a], map, worker.eval);
    SLUICE_TRY(worker.eval.meter.stopped);
  }
  return account();
}

bool Grouping::can_be_kept() const {
  return std::all_of(spec_.aggregates.begin(), spec_.aggregates.end(), [](const GroupAggregate& a) { return a.make.can_be_kept; });
}

Result<GroupPart> Grouping::take_part(Worker& worker) {
  SLUICE_TRY(settle(worker));
  GroupPart part{std::move(table_), std::move(aggregates_), 0};
  part.groups = spec_.keys.empty() ? 1 : part.table.size();
  for (const auto& a : part.aggregates) a->resize(part.groups);
  part.table.drop_scratch();
  return part;
}

size_t GroupPart::byte_size() const {
  size_t bytes = sizeof *this + table.byte_size();
  for (const auto& a : aggregates) bytes += a->byte_size();
  return bytes;
}

void Grouping::tell_estimates(size_t index, const Aggregate& aggregate, std::span<const uint32_t> groups, Worker& worker) const {
  const std::string& note = spec_.aggregates[index].make.estimate_note;
  if (note.empty() || std::find(worker.warnings.begin(), worker.warnings.end(), note) != worker.warnings.end()) return;
  if (aggregate.estimates(groups)) worker.warnings.push_back(note);
}

Chunk Grouping::rows(std::span<const uint32_t> groups, Worker& worker) {
  Chunk out;
  out.rows = groups.size();
  for (size_t k = 0; k < spec_.keys.size(); ++k) out.slots.push_back(keep(table_.keys(k, groups), worker.eval));
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    out.slots.push_back(keep(aggregates_[a]->finish(groups, worker.eval), worker.eval));
    tell_estimates(a, *aggregates_[a], groups, worker);
    if (!worker.eval.meter.stopped.ok()) return out;
  }
  // Some sort themselves out when they are first asked.
  if (Status accounted = account(); !accounted.ok()) worker.eval.meter.stopped = std::move(accounted);
  return out;
}

std::vector<Column> Grouping::combined(std::span<const uint32_t> part_of, size_t parts, Worker& worker) {
  std::vector<uint32_t> all(parts);
  std::iota(all.begin(), all.end(), 0u);
  std::vector<Column> out;
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    auto whole = spec_.aggregates[a].make.make();
    whole->resize(std::max<size_t>(1, parts));
    whole->merge(*aggregates_[a], part_of, worker.eval);
    MemoryClaim claim(&worker.run);
    if (Status claimed = claim.set(whole->byte_size()); !claimed.ok()) worker.eval.meter.stopped = std::move(claimed);
    out.push_back(whole->finish(all, worker.eval));
    tell_estimates(a, *whole, all, worker);
  }
  return out;
}

namespace {

// Of one group's keys laid out as columns; text lies there as codes (GroupTable::keys).
size_t key_bytes(const GroupSpec& spec) {
  size_t bytes = 0;
  for (const auto& k : spec.keys) bytes += k.node->type.physical == PhysicalType::Str ? sizeof(uint32_t) : width_of(k.node->type.physical);
  return bytes;
}

class Group final : public Operator, public GroupsFirst {
 public:
  Group(std::shared_ptr<const GroupSpec> spec, RunState* run, bool sorted, std::string text)
      : spec_(std::move(spec)), run_(run), sorted_(sorted), text_(std::move(text)) {
    if (run) grouping_.emplace(*spec_, *run);
  }
  Status push(Chunk chunk, Worker& worker, const Emit&) override { return grouping_->push(chunk, worker); }
  Status finish(Worker& worker, const Emit& emit) override {
    SLUICE_TRY(grouping_->settle(worker));
    MemoryClaim claim(run_);
    SLUICE_TRY(claim.set(grouping_->size() * sizeof(uint32_t)));
    std::vector<uint32_t> order(grouping_->size());
    std::iota(order.begin(), order.end(), 0u);
    if (sorted_ && !spec_->keys.empty()) {
      std::vector<Column> keys;
      SLUICE_TRY(claim.set(claim.bytes() + order.size() * key_bytes(*spec_)));
      for (size_t k = 0; k < spec_->keys.size(); ++k) keys.push_back(grouping_->table().keys(k, order));
      std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return row_less(keys, a, b); });
    }
    SLUICE_TRY(claim.set(order.size() * sizeof(uint32_t)));
    constexpr size_t kPieceMost = 16'384;
    const size_t piece = worker.run.batch_rows(order.empty() ? 0 : grouping_->byte_size() / order.size(), kPieceMost, 1);
    for (size_t i = 0; i < order.size(); i += piece) {
      SLUICE_TRY(worker.run.check());
      SLUICE_TRY(emit(grouping_->rows(std::span(order).subspan(i, std::min(piece, order.size() - i)), worker)));
    }
    return {};
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Group>(spec_, &run, sorted_, text_); }
  Status join(std::unique_ptr<Operator> other, Worker& worker) override {
    return grouping_->join(*static_cast<Group&>(*other).grouping_, worker);
  }
  std::shared_ptr<const GroupSpec> grouping() const override { return spec_; }
  void collect_slots(std::vector<size_t>& slots) const override { collect_group_slots(*spec_, slots); }
  std::string describe() const override { return text_; }
  Grouping& groups() override { return *grouping_; }

  static void collect_group_slots(const GroupSpec& spec, std::vector<size_t>& slots) {
    for (const auto& k : spec.keys) {
      k.node->collect_slots(slots);
      if (k.other_side) k.other_side->collect_slots(slots);
    }
    for (const auto& a : spec.aggregates) {
      for (const auto& n : a.args) n->collect_slots(slots);
      if (a.filter) query::collect_slots(*a.filter, slots);
    }
  }

 private:
  std::shared_ptr<const GroupSpec> spec_;
  RunState* run_;
  bool sorted_;
  std::string text_;
  std::optional<Grouping> grouping_;
};

// Leaves only groups that are not below the `kept` greatest ranks: mostly few of millions, so that what follows need not be
// quick. Ranks other than integers are left alone.
void drop_hopeless(const Column& rank, size_t kept, std::vector<uint32_t>& order) {
  if (kept == 0 || kept >= order.size()) return;
  if (rank.type() != PhysicalType::U64 && rank.type() != PhysicalType::I64) return;
  const uint64_t flip = rank.type() == PhysicalType::I64 ? uint64_t{1} << 63 : 0;  // so that negative numbers come first
  auto sift = [&](const auto& values) {
    std::vector<uint64_t> best;
    const size_t most = std::max(2 * kept, kept + 1'024);
    uint64_t bar = 0;
    auto trim = [&] {
      std::nth_element(best.begin(), best.begin() + static_cast<ptrdiff_t>(kept - 1), best.end(), std::greater<>());
      best.resize(kept);
      bar = best.back();
    };
    bool barred = false;
    for (size_t i = 0; i < values.size(); ++i) {
      const uint64_t v = static_cast<uint64_t>(values[i]) ^ flip;
      if ((barred && v <= bar) || rank.is_null(i)) continue;
      best.push_back(v);
      if (best.size() < most) continue;
      trim();
      barred = true;
    }
    if (best.size() < kept) return;  // groups without a rank are among those kept
    trim();
    size_t n = 0;
    for (uint32_t i = 0; i < values.size(); ++i)
      if ((static_cast<uint64_t>(values[i]) ^ flip) >= bar && !rank.is_null(i)) order[n++] = i;
    order.resize(n);
  };
  if (rank.type() == PhysicalType::U64)
    sift(rank.values<uint64_t>());
  else
    sift(rank.values<int64_t>());
}

class Top final : public Operator, public GroupsFirst {
 public:
  Top(std::shared_ptr<const GroupSpec> spec, RunState* run, uint64_t count, bool others, std::string text)
      : spec_(std::move(spec)), run_(run), count_(count), others_(others), text_(std::move(text)) {
    if (run) grouping_.emplace(*spec_, *run);
  }
  Status push(Chunk chunk, Worker& worker, const Emit&) override { return grouping_->push(chunk, worker); }
  Status finish(Worker& worker, const Emit& emit) override {
    SLUICE_TRY(grouping_->settle(worker));
    const size_t total = grouping_->size();
    const size_t kept = std::min<uint64_t>(count_, total);
    MemoryClaim claim(run_);
    SLUICE_TRY(claim.set(total * (sizeof(uint32_t) + sizeof(uint64_t))));
    std::vector<uint32_t> order(total);
    std::iota(order.begin(), order.end(), 0u);
    const ColumnPtr ranks = keep(grouping_->aggregate(0, order, worker), worker.eval);
    SLUICE_TRY(claim.set(total * sizeof(uint32_t)));
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    const Column& rank = *ranks;
    drop_hopeless(rank, kept, order);
    // By rank alone first; keys are compared only where ranks are equal, and made only for those.
    auto rank_order = [&](uint32_t a, uint32_t b) {
      const bool an = rank.is_null(a), bn = rank.is_null(b);
      if (an || bn) return an == bn ? 0 : an ? 1 : -1;
      return -compare_rows(rank, a, b);
    };
    std::vector<std::optional<Column>> keys(spec_->keys.size());
    auto less = [&](uint32_t a, uint32_t b) {
      if (const int c = rank_order(a, b)) return c < 0;
      for (size_t k = 0; k < keys.size(); ++k) {
        const uint32_t both[2] = {a, b};
        const Column pair = grouping_->table().keys(k, both);
        if (const int c = compare_rows(pair, 0, 1)) return c < 0;
      }
      return false;
    };
    if (kept < order.size()) {
      // Those above the rank of the last that stays are in; those equal to it are decided by their keys.
      std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), order.end(),
                       [&](uint32_t a, uint32_t b) { return rank_order(a, b) < 0; });
      if (kept > 0) {
        uint32_t last = order[0];
        for (size_t i = 1; i < kept; ++i)
          if (rank_order(last, order[i]) < 0) last = order[i];
        const auto tied = std::partition(order.begin(), order.end(), [&](uint32_t g) { return rank_order(g, last) < 0; });
        const auto ties_end = std::partition(tied, order.end(), [&](uint32_t g) { return rank_order(g, last) == 0; });
        sort_by_keys(tied, ties_end);
      }
    }
    std::vector<uint32_t> top(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept));
    std::sort(top.begin(), top.end(), less);
    Chunk rows = grouping_->rows(top, worker);
    Column is_rest(PhysicalType::U8);
    if (others_)
      for (size_t i = 0; i < rows.rows; ++i) is_rest.append(uint8_t{0});
    if (others_ && kept < total) {
      MemoryClaim part_claim(run_);
      SLUICE_TRY(part_claim.set(total * sizeof(uint32_t)));
      std::vector<uint32_t> part(total, 1);
      for (uint32_t g : top) part[g] = 0;
      const std::vector<Column> rest = grouping_->combined(part, 2, worker);
      for (size_t s = 0; s < rows.slots.size(); ++s) {
        const bool is_key = s < spec_->keys.size();
        if (rows.slots[s]->type() == PhysicalType::Str) {
          TextBuilder text(worker.eval, rows.rows + 1);
          for (size_t i = 0; i < rows.rows; ++i) text.append_from(*rows.slots[s], i);
          if (is_key)
            append_rest_key(text, spec_->keys[s].node->type);
          else
            text.append_from(rest[s - spec_->keys.size()], 1);
          rows.slots[s] = keep(text.finish(), worker.eval);
          continue;
        }
        Column column = rows.slots[s]->decoded();
        if (is_key)
          append_rest_key(column, spec_->keys[s].node->type);
        else
          column.append_from(rest[s - spec_->keys.size()], 1);
        rows.slots[s] = keep(std::move(column), worker.eval);
      }
      is_rest.append(uint8_t{1});
      ++rows.rows;
    }
    if (others_) rows.slots.push_back(keep(std::move(is_rest), worker.eval));
    return rows.rows > 0 ? emit(std::move(rows)) : Status();
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Top>(spec_, &run, count_, others_, text_); }
  Status join(std::unique_ptr<Operator> other, Worker& worker) override {
    return grouping_->join(*static_cast<Top&>(*other).grouping_, worker);
  }
  void collect_slots(std::vector<size_t>& slots) const override { Group::collect_group_slots(*spec_, slots); }
  std::string describe() const override { return text_; }
  Grouping& groups() override { return *grouping_; }
  // The row of the others sums up all groups.
  std::optional<uint64_t> wants_heaviest() const override { return others_ ? std::nullopt : std::optional(count_); }

 private:
  void sort_by_keys(std::vector<uint32_t>::iterator from, std::vector<uint32_t>::iterator to) {
    const std::vector<uint32_t> groups(from, to);
    std::vector<Column> keys;
    for (size_t k = 0; k < spec_->keys.size(); ++k) keys.push_back(grouping_->table().keys(k, groups));
    std::vector<uint32_t> order(groups.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return row_less(keys, a, b); });
    for (size_t i = 0; i < order.size(); ++i) from[static_cast<ptrdiff_t>(i)] = groups[order[i]];
  }

  std::shared_ptr<const GroupSpec> spec_;
  RunState* run_;
  uint64_t count_;
  bool others_;
  std::string text_;
  std::optional<Grouping> grouping_;
};

}  // namespace

OperatorPtr make_group(std::shared_ptr<const GroupSpec> spec, RunState* run, bool sorted, std::string text) {
  return std::make_unique<Group>(std::move(spec), run, sorted, std::move(text));
}
OperatorPtr make_top(std::shared_ptr<const GroupSpec> spec, RunState* run, uint64_t count, bool others, std::string text) {
  return std::make_unique<Top>(std::move(spec), run, count, others, std::move(text));
}

}  // namespace sluice::query
