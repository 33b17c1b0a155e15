// The filters of many rules, over one batch: each distinct test is evaluated once, whichever rules ask it.
//
//   add*  ( begin select* end )*      add and remove between batches; select from several threads
//
// Tests are told apart by what they say (a column and the values it may have), not by how they were written. A test of computed
// values belongs to the rule that has it, and is evaluated over the rows that its other tests leave.
//
// Thread rule: between begin() and end() any number of threads may select, each with a worker of its own, and none with the one that begin() got;
// a column is loaded and a test evaluated by the first that asks. All else: one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "query/plan.h"
#include "query/run_state.h"
#include "query/scan.h"

namespace sluice::query::continuous {

class SharedFilter {
 public:
  // What a rule, or a tail, asks. REQUIRES: given back to remove() once, unless the filter goes too
  struct Use {
    std::shared_ptr<const Plan> plan;
    std::vector<size_t> tests;    // in the order of the plan's conjuncts
    std::vector<size_t> columns;  // by slot of the plan's scan; SIZE_MAX: not of the scan
  };
  Use add(std::shared_ptr<const Plan> plan);
  void remove(const Use& use);

  // A new batch. What is made of it lives until end(), and so must the worker, which loads its columns.
  void begin(std::shared_ptr<const Batch> batch, const SamplingRules* rules, Worker& loader);
  void end();
  // The rows that meet the rule's filter, with the slots that its plan puts out.
  Result<Chunk> select(const Use& use, Worker& worker);

  size_t distinct_tests() const { return by_key_.size(); }
  uint64_t tests_evaluated() const { return evaluated_.load(std::memory_order_relaxed); }

 private:
  struct Source {
    ScanSource source;
    Type type;
    ColumnPtr column;        // of the batch
    bool overflow = false;   // an integer became too large when it was loaded
    size_t uses = 0;
  };
  struct SharedTest {
    PredicatePtr predicate;
    std::vector<std::pair<size_t, size_t>> slots;  // slot of the predicate, column here
    size_t slot_count = 0;
    size_t uses = 0;
    bool is_shared = false;
    std::string key;
    uint64_t batch = 0;          // the bits are of this one
    std::vector<uint64_t> bits;  // one a row
  };
  Result<ColumnPtr> column(size_t index, Worker& worker);
  // REQUIRES: the test is shared
  Result<const std::vector<uint64_t>*> bits_of(size_t at, Worker& worker);

  std::vector<Source> sources_;
  std::vector<SharedTest> tests_;
  std::vector<size_t> free_tests_;
  std::map<std::string, size_t> by_key_;
  std::optional<BatchColumns> columns_;
  Worker* loader_ = nullptr;   // between begin() and end()
  size_t rows_ = 0;
  uint64_t batch_ = 0;
  std::atomic<uint64_t> evaluated_{0};
  // Taken in this order. Tests share locks, as there are many of them and few threads.
  std::array<std::mutex, 64> tests_mutexes_;
  std::mutex columns_mutex_;
};

}  // namespace sluice::query::continuous
