// The query engine's door: FlowQL text and a snapshot in, a stream of batches and an account out.
//
// Thread rule: run() may be called from many threads; each run uses the Executor given and touches no state of others.
// The engine never blocks on anything but its executor and its sink.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "query/limits.h"
#include "storage/model/batch.h"
#include "storage/model/result.h"
#include "storage/model/time.h"
#include "storage/store/store.h"

namespace sluice::grammar {
struct Statement;
}

namespace sluice::query {

class GeoBook;        // geo.h
class ListBook;       // watch_list.h
class ListWriter;     // watch_list.h
class NameBook;       // names.h
struct SamplingRule;  // sampling.h
class TableBook;      // context_table.h
class TableWriter;    // context_table.h
class SegmentMemory;  // segment_memory.h
using SamplingRules = std::vector<SamplingRule>;

// A place in the query text; line and column are 1-based, in characters.
struct TextSpan {
  size_t offset = 0, length = 0;  // bytes
  uint32_t line = 1, column = 1;
};

struct QueryError {
  ErrorCode code = ErrorCode::parse;
  std::string message;
  std::string hint;              // "did you mean 'src_port'?"; may be empty
  std::optional<TextSpan> span;  // absent where no place in the text is to blame (deadline, memory …)
  // For operators' eyes: the line of text with the place marked below it; empty without a span.
  std::string caret;
};

// A parameter's value: text that is read as the type its place wants ("10.0.0.0/8", "443", "tcp"), or a list of those.
struct ParameterValue {
  std::vector<std::string> values;
  bool is_list = false;
};

struct QueryLimits {
  DurationNs timeout = limits::kQueryTimeout;
  size_t memory_bytes = limits::kQueryMemoryBytes;
  size_t rows_max = limits::kQueryRowsMax;
};

struct QueryOptions {
  // Plain twins, for tests and for explain: the answers must not change.
  bool use_postings = true;
  bool use_zones = true;
  size_t batch_rows = 0;  // 0: natural (a block); tests use tiny ones
  // `from flows` shows every column that there is, and not only those that some row has: for who knew the columns before the rows.
  bool all_columns = false;
  // Off: every segment is read, and nothing of it is kept (segment_memory.h). A plain twin as well.
  bool use_kept = true;
  // Off: `top` groups all rows in one table (heavy_groups.h). A plain twin as well.
  bool use_lists = true;
  // How many groups of a segment are listed; 0: natural, where that pays. Tests use tiny ones.
  uint32_t list_groups = 0;
};

struct QueryRequest {
  std::string text;
  std::optional<TimestampNs> from, to;  // narrow the query's own range
  std::map<std::string, ParameterValue> parameters;
  QueryLimits limits;
  QueryOptions options;
};

// Set from any thread; seen at the next batch.
class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

// Runs tasks in parallel on the server's pool. run() calls task(i) once for each i in [0, count), on up to width() threads,
// the caller's among them, and returns when all are done. Tasks don't throw.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual size_t width() const = 0;
  virtual void run(size_t count, const std::function<void(size_t)>& task) = 0;
};

// One thread: the caller's. For tests.
class InlineExecutor final : public Executor {
 public:
  size_t width() const override { return 1; }
  void run(size_t count, const std::function<void(size_t)>& task) override {
    for (size_t i = 0; i < count; ++i) task(i);
  }
};

// `show exporters` and its like: tables that the server knows and the engine does not. nullopt: no such table.
using SystemTables = std::function<std::optional<Result<Batch>>(std::string_view name)>;

// Statements that are the server's to carry out (create rule, replay rule …): what they answer, or why not. `text` is what the
// statement's spans point into. nullopt: nobody's.
using Statements = std::function<std::optional<std::variant<Batch, QueryError>>(const grammar::Statement& statement, std::string_view text)>;

struct ScanStats {
  uint64_t rows_scanned = 0, rows_matched = 0, bytes_read = 0;
  uint64_t segments = 0, segments_pruned = 0, blocks = 0, blocks_pruned = 0, granules_pruned = 0, open_rows = 0;
  uint64_t memory_bytes = 0;  // the most that the query held at a time
  DurationNs elapsed = 0;
};

struct QuerySummary {
  std::optional<TimeRange> range;  // what the answer covers; absent for statements that read no flows
  std::vector<std::string> warnings;
  ScanStats stats;
  uint64_t rows = 0;
  std::string render;  // the query's hint to clients: "", "timechart", …
  std::vector<std::string> keys;  // columns of the answer that are keys of its last grouping: who, where the others say how much
  // Segments, and rows of them, that were answered from memory: they are among the segments of `stats`, and their rows were not scanned.
  uint64_t kept_segments = 0, kept_rows = 0;
};

// Receives the answer on the thread that called run(). begin() comes once, before the first batch, also for empty answers.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual Status begin(const Schema& columns) = 0;
  virtual Status batch(const Batch& rows) = 0;  // Status error (a gone client): the query stops with it
  // Asked after each batch. True: no further row is wanted. The query reads no more and ends as if it were complete, with its range,
  // warnings and account.
  virtual bool has_enough() const { return false; }
};

// Where lost rows came from, as far as that is known: an exporter's address, or that they had none.
struct LostFrom {
  std::optional<IpAddress> exporter;
  bool no_exporter = false;
};
// What a query asks for, as far as losses can be told apart by it.
struct LossQuestion {
  TimeRange range;
  // Whether rows of one of these sources (codes of kSource; none: not known) from there could have been in the answer.
  std::function<bool(std::span<const uint8_t> sources, const LostFrom& from)> concerns;
};

struct QueryContext {
  const store::Snapshot* snapshot = nullptr;
  const Clock* clock = nullptr;  // "now" of `last 15m`, and the deadline
  Executor* executor = nullptr;
  const CancelToken* cancel = nullptr;  // may be null
  SystemTables system_tables;           // may be empty
  Statements statements;                // may be empty
  // Data that is known to be missing (lost packets, SKIPDATA), to warn about: a sentence for each loss that concerns the query.
  std::function<std::vector<std::string>(const LossQuestion&)> known_loss;
  // Corrections of sampling rates, and names and places known beside the data; all may be null.
  std::shared_ptr<const SamplingRules> sampling_rules;
  std::shared_ptr<const NameBook> names;
  std::shared_ptr<const GeoBook> geo;
  // Watch-lists as of the query's beginning; null: there are none. And who keeps them, if this caller's statements may change them.
  std::shared_ptr<const ListBook> lists;
  ListWriter* list_writer = nullptr;
  // The same of context tables.
  std::shared_ptr<const TableBook> tables;
  TableWriter* table_writer = nullptr;
  bool may_define = false;
  // A segment read failed as corrupt; the query goes on without its rows and warns.
  std::function<void(uint64_t segment_id, const std::string& reason)> report_damage;
  // What is kept of segments from one query to the next; null: nothing.
  SegmentMemory* segment_memory = nullptr;
};

// Either an answer went to the sink, or an error (perhaps after some batches).
std::optional<QueryError> run(const QueryRequest& request, const QueryContext& context, ResultSink& sink, QuerySummary& summary);

// The plan as text, one line a step; binds but does not scan.
std::optional<QueryError> explain(const QueryRequest& request, const QueryContext& context, std::string& plan);

// Parses and binds only. Empty: the query is good. The context tells what lists and tables there are (of its snapshot nothing is
// read); without one every list is taken to exist, no context table and no table of the server's.
std::vector<QueryError> validate(const QueryRequest& request, const QueryContext* context = nullptr);

// Of the values given with a request, those that its text has no `$name` for; empty also when the text cannot be read.
std::vector<std::string> unused_parameters(const QueryRequest& request);

struct Completion {
  std::string text;    // what to put in place of [replace_offset, replace_offset + replace_length)
  std::string kind;    // "column", "stage", "function", "aggregate", "keyword", "value"
  std::string detail;  // type or one-sentence doc
};
struct CompletionList {
  size_t replace_offset = 0, replace_length = 0;
  std::vector<Completion> items;
};
CompletionList complete(std::string_view text, size_t cursor, const QueryContext& context);

}  // namespace sluice::query
