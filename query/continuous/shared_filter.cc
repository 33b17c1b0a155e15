#include "query/continuous/shared_filter.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace sluice::query::continuous {
namespace {

void append(std::string& out, uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
void append(std::string& out, double value) { append(out, std::bit_cast<uint64_t>(value)); }
void append(std::string& out, std::string_view text) {
  append(out, text.size());
  out.append(text);
}

void append(std::string& out, const ScanSource& source) {
  out += static_cast<char>('a' + static_cast<int>(source.kind));
  out += static_cast<char>(source.id);
  out += static_cast<char>(source.derived);
  append(out, source.key);
}

bool append_test(std::string& out, const Test& test) {
  out += static_cast<char>('0' + test.index());
  if (const auto* t = std::get_if<IntRanges>(&test)) {
    out += t->is_signed ? 's' : 'u';
    append(out, t->ranges.size());
    for (const auto& r : t->ranges) append(out, static_cast<uint64_t>(r.first)), append(out, static_cast<uint64_t>(r.last));
    return true;
  }
  if (const auto* t = std::get_if<FloatRange>(&test)) {
    append(out, t->low), append(out, t->high);
    out += static_cast<char>(t->low_open + 2 * t->high_open + 4 * t->outside);
    return true;
  }
  if (const auto* t = std::get_if<FloatRanges>(&test)) {
    append(out, t->ranges.size());
    for (const auto& [first, last] : t->ranges) append(out, first), append(out, last);
    return true;
  }
  if (const auto* t = std::get_if<IpRanges>(&test)) {
    append(out, t->ranges.size());
    for (const auto& [first, last] : t->ranges) {
      out.append(reinterpret_cast<const char*>(&first), sizeof first);
      out.append(reinterpret_cast<const char*>(&last), sizeof last);
    }
    return true;
  }
  if (const auto* t = std::get_if<TextTest>(&test)) {
    if (t->regex) return false;
    out += static_cast<char>('0' + static_cast<int>(t->kind));
    out += static_cast<char>(t->has_low + 2 * t->has_high + 4 * t->low_open + 8 * t->high_open + 16 * t->negated);
    append(out, t->text), append(out, t->high);
    std::vector<std::string> words(t->words.begin(), t->words.end());
    std::sort(words.begin(), words.end());
    append(out, words.size());
    for (const auto& w : words) append(out, w);
    return true;
  }
  if (const auto* t = std::get_if<FlagsTest>(&test)) {
    append(out, t->mask), append(out, t->want);
    out += t->negated ? '!' : '=';
    return true;
  }
  out += std::get<NullTest>(test).want_null ? 'n' : 'v';
  return true;
}

// What the predicate says, as bytes. False: it computes something, so nobody else can be known to say the same.
bool append_key(std::string& out, const Predicate& p, const std::vector<SlotSpec>& slots) {
  out += static_cast<char>('A' + static_cast<int>(p.kind));
  switch (p.kind) {
    case Predicate::Kind::all:
    case Predicate::Kind::none: return true;
    case Predicate::Kind::expression: return false;
    case Predicate::Kind::test: {
      const auto slot = p.operand->slot();
      if (!slot || !slots[*slot].source) return false;
      append(out, *slots[*slot].source);
      return append_test(out, p.test);
    }
    default:
      append(out, p.children.size());
      return std::all_of(p.children.begin(), p.children.end(), [&](const auto& c) { return append_key(out, *c, slots); });
  }
}

// A row a byte to a row a bit.
void pack(const std::vector<uint8_t>& mask, std::vector<uint64_t>& bits) {
  bits.assign((mask.size() + 63) / 64, 0);
  size_t i = 0;
  for (; i + 8 <= mask.size(); i += 8) {
    uint64_t eight;
    std::memcpy(&eight, mask.data() + i, 8);
    bits[i / 64] |= (eight * 0x0102040810204080ull >> 56) << (i % 64);
  }
  for (; i < mask.size(); ++i) bits[i / 64] |= static_cast<uint64_t>(mask[i]) << (i % 64);
}

void rows_of(const std::vector<uint64_t>& bits, std::vector<uint32_t>& rows) {
  rows.clear();
  for (size_t w = 0; w < bits.size(); ++w)
    for (uint64_t word = bits[w]; word != 0; word &= word - 1) rows.push_back(static_cast<uint32_t>(w * 64 + static_cast<size_t>(std::countr_zero(word))));
}

}  // namespace

SharedFilter::Use SharedFilter::add(std::shared_ptr<const Plan> plan) {
  Use use{std::move(plan), {}, {}};
  const ScanPlan& scan = use.plan->scan;
  for (const SlotSpec& slot : scan.slots) {
    if (!slot.source) {
      use.columns.push_back(SIZE_MAX);
      continue;
    }
    auto at = std::find_if(sources_.begin(), sources_.end(), [&](const Source& s) { return s.source == *slot.source; });
    if (at == sources_.end()) at = sources_.insert(sources_.end(), Source{*slot.source, slot.type, nullptr, 0});
    ++at->uses;
    use.columns.push_back(static_cast<size_t>(at - sources_.begin()));
  }
  for (const Conjunct& conjunct : scan.conjuncts) {
    std::string key;
    const bool is_shared = append_key(key, *conjunct.predicate, scan.slots);
    if (is_shared) {
      if (const auto known = by_key_.find(key); known != by_key_.end()) {
        ++tests_[known->second].uses;
        use.tests.push_back(known->second);
        continue;
      }
    }
    SharedTest test;
    test.predicate = conjunct.predicate;
    for (const size_t slot : conjunct.slots) test.slots.emplace_back(slot, use.columns[slot]);
    test.slot_count = scan.slots.size();
    test.uses = 1;
    test.is_shared = is_shared;
    size_t at = tests_.size();
    if (!free_tests_.empty()) {
      at = free_tests_.back();
      free_tests_.pop_back();
    } else {
      tests_.emplace_back();
    }
    if (is_shared) {
      by_key_[key] = at;
      test.key = std::move(key);
    }
    tests_[at] = std::move(test);
    use.tests.push_back(at);
  }
  return use;
}

void SharedFilter::remove(const Use& use) {
  for (const size_t at : use.tests) {
    SharedTest& test = tests_[at];
    SLUICE_CHECK(test.uses > 0);
    if (--test.uses > 0) continue;
    if (test.is_shared) by_key_.erase(test.key);
    test = {};
    free_tests_.push_back(at);
  }
}

void SharedFilter::begin(std::shared_ptr<const Batch> batch, const SamplingRules* rules, Worker& loader) {
  rows_ = batch->rows;
  loader_ = &loader;
  columns_.emplace(std::move(batch), std::vector<uint32_t>(), rules, loader.eval);
  ++batch_;
}

void SharedFilter::end() {
  for (Source& s : sources_) s.column.reset();
  columns_.reset();
  loader_ = nullptr;
}

Result<ColumnPtr> SharedFilter::column(size_t index, Worker& worker) {
  const std::lock_guard lock(columns_mutex_);
  Source& s = sources_[index];
  if (!s.column) {
    bool& overflow = loader_->eval.overflow;
    const bool before = std::exchange(overflow, false);
    auto loaded = columns_->load(s.source, s.type);
    s.overflow = std::exchange(overflow, overflow || before);
    if (!loaded.ok()) return loaded.error();
    s.column = std::move(*loaded);
  }
  worker.eval.overflow = worker.eval.overflow || s.overflow;
  return s.column;
}

Result<const std::vector<uint64_t>*> SharedFilter::bits_of(size_t at, Worker& worker) {
  SharedTest& test = tests_[at];
  const std::lock_guard lock(tests_mutexes_[at % tests_mutexes_.size()]);
  if (test.batch == batch_) return &test.bits;
  Chunk chunk;
  chunk.rows = rows_;
  chunk.slots.resize(test.slot_count);
  for (const auto& [slot, index] : test.slots) {
    SLUICE_ASSIGN(chunk.slots[slot], column(index, worker));
  }
  std::vector<uint8_t> mask(rows_);
  evaluate(*test.predicate, chunk, worker.eval, nullptr, mask.data());
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped.error();
  evaluated_.fetch_add(1, std::memory_order_relaxed);
  pack(mask, test.bits);
  test.batch = batch_;
  return &test.bits;
}

Result<Chunk> SharedFilter::select(const Use& use, Worker& worker) {
  Chunk out;
  if (rows_ == 0) return out;
  std::vector<uint64_t> all((rows_ + 63) / 64, ~uint64_t{0});
  if (rows_ % 64) all.back() = (uint64_t{1} << (rows_ % 64)) - 1;
  for (const size_t at : use.tests) {
    if (!tests_[at].is_shared) continue;
    SLUICE_ASSIGN(const std::vector<uint64_t>* bits, bits_of(at, worker));
    uint64_t any = 0;
    for (size_t w = 0; w < all.size(); ++w) any |= all[w] &= (*bits)[w];
    if (any == 0) return out;
  }
  std::vector<uint32_t> rows;
  rows_of(all, rows);
  for (const size_t at : use.tests) {
    const SharedTest& test = tests_[at];
    if (test.is_shared) continue;
    Chunk chunk;
    chunk.rows = rows.size();
    chunk.slots.resize(test.slot_count);
    for (const auto& [slot, index] : test.slots) {
      SLUICE_ASSIGN(const ColumnPtr whole, column(index, worker));
      chunk.slots[slot] = rows.size() == rows_ ? whole : keep(whole->gather(rows), worker.eval);
    }
    std::vector<uint8_t> mask(rows.size());
    evaluate(*test.predicate, chunk, worker.eval, nullptr, mask.data());
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped.error();
    evaluated_.fetch_add(1, std::memory_order_relaxed);
    size_t n = 0;
    for (size_t i = 0; i < rows.size(); ++i)
      if (mask[i]) rows[n++] = rows[i];
    rows.resize(n);
    if (rows.empty()) return out;
  }
  const ScanPlan& scan = use.plan->scan;
  out.rows = rows.size();
  out.slots.resize(scan.slots.size());
  for (size_t s = 0; s < scan.slots.size(); ++s) {
    if (!scan.output[s] || use.columns[s] == SIZE_MAX) continue;
    SLUICE_ASSIGN(const ColumnPtr whole, column(use.columns[s], worker));
    out.slots[s] = rows.size() == rows_ ? whole : keep(whole->gather(rows), worker.eval);
  }
  return out;
}

}  // namespace sluice::query::continuous
