// Golden files: FlowQL and what it answers, run over the same flows lying in many ways. Every way must give the same text.
//
// A .test file is a list of sections, each begun by its word on a line of its own:
//   flows           a table of flows (see rows.h), appended to what is there
//   query           FlowQL up to a line "----", then the answer: column names, then rows
//   unordered       the same, rows in any order
//   error           FlowQL up to "----", then "line:column message", the hint on a line of its own if there is one, and the place
//                   as it is shown: the line of the query, and the mark below it
// "param NAME VALUE" before the text of a query gives $NAME that value; a second one of the same name makes a list of them. Lines
// "! TEXT" behind an answer are its warnings, all of them and in their order; an answer without such lines may have any.
// Lines beginning with # between sections are comments.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "query/context_table.h"
#include "query/engine.h"
#include "query/geo.h"
#include "query/segment_memory.h"
#include "query/watch_list.h"
#include "storage/model/limits.h"
#include "storage/store/store.h"
#include "tests/golden/rows.h"
#include "tests/golden/thread_executor.h"
#include "tests/sanitizer.h"

namespace sluice::golden {
namespace {

namespace fs = std::filesystem;

struct Section {
  std::string kind, text, expected;
  size_t line = 0;
  std::map<std::string, query::ParameterValue> parameters;
  std::string warnings;
};

std::vector<Section> read_sections(const fs::path& path) {
  std::ifstream in(path);
  std::vector<Section> sections;
  std::string line;
  size_t number = 0;
  bool in_expected = false;
  while (std::getline(in, line)) {
    ++number;
    if (line == "flows" || line == "query" || line == "unordered" || line == "error") {
      Section& section = sections.emplace_back();
      section.kind = line;
      section.line = number;
      in_expected = false;
    } else if (line == "----" && !sections.empty()) {
      in_expected = true;
    } else if (line.starts_with("#") || sections.empty()) {
      continue;
    } else if (line.empty()) {
      continue;  // blank lines part sections for the eye; no query or answer needs one
    } else if (!in_expected && line.starts_with("param ")) {
      const size_t name = line.find(' ') + 1, value = line.find(' ', name);
      auto& parameter = sections.back().parameters[line.substr(name, value - name)];
      parameter.values.push_back(value == std::string::npos ? "" : line.substr(value + 1));
      parameter.is_list = parameter.values.size() > 1;
    } else if (in_expected && line.starts_with("! ")) {
      sections.back().warnings += line + "\n";
    } else {
      (in_expected ? sections.back().expected : sections.back().text) += line + "\n";
    }
  }
  return sections;
}

struct TextSink final : query::ResultSink {
  TextTable table;
  Schema schema;
  Status begin(const Schema& columns) override {
    schema = columns;
    for (const Field& f : columns) table.columns.push_back(f.name);
    return {};
  }
  Status batch(const Batch& rows) override {
    append_rows(table, schema, rows);
    return {};
  }
};

// How the flows lie and how they are read.
struct Way {
  const char* name;
  bool flush_each = false, merge = false, restart = false, postings = true, threads = false;
  size_t pieces = 1;
  // Rows that lie before the flows of each piece, in the same segments; questions are narrowed to what comes behind them. So
  // the flows of a file lie in several blocks, and the edge of a block goes through the middle of each piece.
  bool blocks = false;
  query::QueryOptions options{};
  // Each question once before, of what is kept of segments.
  bool kept = false;
};

const Way kWays[] = {
    {.name = "open"},
    {.name = "open_in_pieces_restarted", .restart = true, .pieces = 5},
    {.name = "sealed", .flush_each = true},
    {.name = "sealed_in_pieces_on_threads", .flush_each = true, .threads = true, .pieces = 4},
    {.name = "sealed_and_open", .restart = true, .pieces = 2},
    {.name = "merged", .flush_each = true, .merge = true, .pieces = 6},
    {.name = "tiny_batches", .flush_each = true, .pieces = 3, .options = {.batch_rows = 3}},
    {.name = "tiny_batches_open", .threads = true, .pieces = 3, .options = {.batch_rows = 1}},
    {.name = "postings_not_used", .flush_each = true, .options = {.use_postings = false}},
    {.name = "postings_not_built", .flush_each = true, .postings = false},
    {.name = "blocks", .flush_each = true, .pieces = 2, .blocks = true},
    {.name = "blocks_on_threads", .flush_each = true, .threads = true, .pieces = 2, .blocks = true},
    {.name = "blocks_merged_on_threads", .flush_each = true, .merge = true, .threads = true, .pieces = 3, .blocks = true},
    {.name = "blocks_without_indexes", .flush_each = true, .threads = true, .pieces = 2, .blocks = true, .options = {.use_postings = false, .use_zones = false}},
    {.name = "zones_not_used", .flush_each = true, .pieces = 4, .options = {.use_postings = false, .use_zones = false}},
    {.name = "kept", .flush_each = true, .pieces = 4, .kept = true},
    {.name = "kept_on_threads", .flush_each = true, .threads = true, .pieces = 5, .kept = true},
    {.name = "kept_and_open", .restart = true, .pieces = 3, .kept = true},
    {.name = "lists", .flush_each = true, .pieces = 6, .options = {.list_groups = 2}},
    {.name = "lists_kept_on_threads", .flush_each = true, .threads = true, .pieces = 4, .options = {.list_groups = 1}, .kept = true},
    {.name = "lists_and_open", .restart = true, .pieces = 3, .options = {.list_groups = 3}},
};

// "Now" of the files: the end of the day that their times are in.
const TimestampNs kNow = *parse_timestamp("2026-11-21T00:00:00Z");

// Where the flows of the files begin, in ways with rows before them, and where those rows are.
const TimestampNs kFlowsBegin = *parse_timestamp("2026-11-20T08:00:00Z"), kRowsBefore = *parse_timestamp("2026-11-20T07:00:00Z");

// `rows` copies of the flows, one after the other and around again, at a time of their own.
Batch rows_before(const Batch& flows, size_t rows) {
  std::vector<uint32_t> picks(rows);
  for (size_t i = 0; i < rows; ++i) picks[i] = static_cast<uint32_t>(i % flows.rows);
  Batch out{flows.schema, {}, rows};
  for (size_t c = 0; c < flows.columns.size(); ++c) {
    const auto& column = (*flows.schema)[c].column;
    if (column == ColumnId::flow_end || column == ColumnId::flow_start)
      out.columns.push_back(Column::of<int64_t>(PhysicalType::I64, std::vector<int64_t>(rows, kRowsBefore)));
    else
      out.columns.push_back(flows.columns[c].gather(picks));
  }
  return out;
}

// Lists as the server keeps them, without the disk.
struct MemoryLists final : query::ListWriter {
  std::shared_ptr<const query::ListBook> book = std::make_shared<query::ListBook>();
  Result<uint64_t> put_list(query::WatchList list, bool replace, bool) override {
    const query::WatchList* before = book->find(list.name);
    if (before && !replace) return Error{ErrorCode::conflict, "there is a list '" + before->name + "' already"};
    list.version = before ? before->version + 1 : 1;
    list.updated_at = kNow;
    book = book->with(std::make_shared<query::WatchList>(list));
    return list.version;
  }
  Status drop_list(std::string_view name) override {
    if (!book->find(name)) return Error{ErrorCode::not_found, "there is no list '" + std::string(name) + "'"};
    book = book->without(name);
    return {};
  }
};

struct MemoryTables final : query::TableWriter {
  std::shared_ptr<const query::TableBook> book = std::make_shared<query::TableBook>();
  Result<uint64_t> put_table(query::ContextTable table, bool replace) override {
    const auto before = book->find(table.name());
    if (before && !replace) return Error{ErrorCode::conflict, "there is a table '" + before->name() + "' already"};
    table.version = before ? before->version + 1 : 1;
    table.updated_at = kNow;
    const uint64_t version = table.version;
    book = book->with(std::make_shared<query::ContextTable>(std::move(table)));
    return version;
  }
  Status drop_table(std::string_view name) override {
    if (!book->find(name)) return Error{ErrorCode::not_found, "there is no table '" + std::string(name) + "'"};
    book = book->without(name);
    return {};
  }
};

// What tests/golden/geo.test says.
struct TestGeo final : query::GeoBook {
  static bool in(const char* block, const IpAddress& ip) { return parse_prefix(block)->contains(ip); }
  bool has_countries() const override { return true; }
  bool has_networks() const override { return true; }
  std::optional<std::string_view> country(const IpAddress& ip) const override {
    if (in("10.0.0.0/9", ip)) return "DE";
    if (in("203.0.113.0/24", ip)) return "FR";
    return std::nullopt;
  }
  std::optional<uint32_t> as_number(const IpAddress& ip) const override {
    if (in("203.0.113.0/24", ip)) return 64501;
    if (in("2001:db8::/32", ip)) return 64502;
    return std::nullopt;
  }
  std::optional<std::string_view> as_name(const IpAddress& ip) const override {
    if (in("203.0.113.0/24", ip)) return "Example, Inc.";
    return std::nullopt;
  }
};

class World {
 public:
  explicit World(const Way& way) : way_(way), clock_(kNow) {
    char name[] = "/tmp/sluice-golden-XXXXXX";
    directory_ = mkdtemp(name);
    open();
  }
  ~World() {
    store_.reset();
    std::error_code ec;
    fs::remove_all(directory_, ec);
  }

  void append(const Batch& flows) {
    spread_ = spread_ || flows.rows >= 2 * way_.pieces;
    const size_t pieces = std::min(way_.pieces, flows.rows);
    for (size_t i = 0; i < pieces; ++i) {
      const size_t from = flows.rows * i / pieces, to = flows.rows * (i + 1) / pieces;
      Batch piece{flows.schema, {}, to - from};
      for (const Column& c : flows.columns) {
        Column part(c.type());
        part.append_range(c, from, to);
        piece.columns.push_back(std::move(part));
      }
      if (way_.blocks && piece.rows > 0) {
        const Batch before = rows_before(flows, limits::kBlockRows - (piece.rows + 1) / 2);
        const auto filled = store_->append({&before, 1});
        ASSERT_TRUE(filled.ok()) << filled.error().message;
      }
      const auto appended = store_->append({&piece, 1});
      ASSERT_TRUE(appended.ok()) << appended.error().message;
      // The last piece of a way that restarts stays open, so that segments and journal are read together.
      if (way_.flush_each || (way_.restart && way_.pieces == 2 && i == 0)) {
        const auto flushed = store_->flush();
        ASSERT_TRUE(flushed.ok()) << flushed.error().message;
      }
    }
    if (way_.merge) {
      while (true) {
        const auto merged = store_->merge_once();
        ASSERT_TRUE(merged.ok()) << merged.error().message;
        if (!*merged) break;
      }
    }
    if (way_.restart) {
      store_.reset();
      open();
    }
  }

  std::optional<query::QueryError> ask(const Section& section, TextSink& sink, query::QuerySummary& summary) {
    const store::Snapshot snapshot = store_->snapshot();
    query::InlineExecutor inline_executor;
    ThreadExecutor threads;
    query::QueryContext context;
    context.snapshot = &snapshot;
    context.clock = &clock_;
    context.executor = way_.threads ? static_cast<query::Executor*>(&threads) : &inline_executor;
    context.lists = lists_.book;
    context.list_writer = &lists_;
    context.geo = geo_;
    context.tables = tables_.book;
    context.table_writer = &tables_;
    context.may_define = true;
    query::QueryRequest request;
    request.text = section.text.substr(0, section.text.find_last_not_of('\n') + 1);  // so that an end is at the end of a line
    request.parameters = section.parameters;
    request.options = way_.options;
    if (way_.blocks) {
      request.from = kFlowsBegin;
      size_t largest = 0;
      for (const auto& s : snapshot.segments) largest = std::max<size_t>(largest, s->block_count());
      if (spread_) {
        EXPECT_GT(largest, 1u);
        EXPECT_GE(snapshot.segments.size(), way_.merge ? 1u : 2u);
      }
    }
    if (way_.kept) {
      context.segment_memory = &memory_;
      // What changes something is not said twice.
      TextSink before;
      query::QuerySummary unread;
      if (query::validate(request).empty() && !request.text.starts_with("create") && !request.text.starts_with("drop") && !request.text.starts_with("replace"))
        (void)query::run(request, context, before, unread);
    }
    return query::run(request, context, sink, summary);
  }

 private:
  std::shared_ptr<const query::GeoBook> geo_ = std::make_shared<TestGeo>();
  query::SegmentMemory memory_;
  void open() {
    store::StoreOptions options;
    options.directory = directory_;
    options.sync = false;
    options.postings = way_.postings;
    if (way_.blocks) options.partition_width = kDay;  // the rows before lie with the others
    auto store = store::Store::open(options, clock_);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(store).value();
  }

  Way way_;
  MemoryLists lists_;
  MemoryTables tables_;
  bool spread_ = false;  // some flows are enough to lie on both sides of blocks' edges
  ManualClock clock_;
  std::string directory_;
  std::unique_ptr<store::Store> store_;
};

std::string sorted_rows(std::string text) {
  std::istringstream in(text);
  std::string header, line, out;
  std::vector<std::string> rows;
  std::getline(in, header);
  while (std::getline(in, line)) rows.push_back(line);
  std::sort(rows.begin(), rows.end());
  out = header + "\n";
  for (const auto& r : rows) out += r + "\n";
  return out;
}

class Golden : public ::testing::TestWithParam<std::tuple<std::string, size_t>> {};

TEST_P(Golden, AnswersAreEqual) {
  const auto& [file, way_index] = GetParam();
  World world(kWays[way_index]);
  size_t questions = 0;
  for (const Section& s : read_sections(fs::path(SLUICE_SOURCE_DIR) / "tests/golden" / file)) {
    SCOPED_TRACE(file + ":" + std::to_string(s.line) + " " + kWays[way_index].name);
    if (s.kind == "flows") {
      auto flows = read_flows(s.text);
      ASSERT_TRUE(flows.ok()) << flows.error().message;
      ASSERT_NO_FATAL_FAILURE(world.append(*flows));
      continue;
    }
    ++questions;
    TextSink sink;
    query::QuerySummary summary;
    const auto error = world.ask(s, sink, summary);
    if (s.kind == "error") {
      ASSERT_TRUE(error) << s.text;
      std::string said = (error->span ? std::to_string(error->span->line) + ":" + std::to_string(error->span->column) : "-") + " " + error->message + "\n";
      if (!error->hint.empty()) said += error->hint + "\n";
      if (!error->caret.empty()) said += error->caret + (error->caret.ends_with('\n') ? "" : "\n");
      EXPECT_EQ(said, s.expected) << s.text;
      EXPECT_EQ(error->span.has_value(), !error->caret.empty());
    } else {
      ASSERT_FALSE(error) << s.text << error->message << "\n" << error->caret;
      const std::string got = sink.table.text();
      if (s.kind == "unordered")
        EXPECT_EQ(sorted_rows(got), sorted_rows(s.expected)) << s.text;
      else
        EXPECT_EQ(got, s.expected) << s.text;
      if (s.warnings.empty()) continue;
      std::string warned;
      for (const std::string& w : summary.warnings) warned += "! " + w + "\n";
      EXPECT_EQ(warned, s.warnings) << s.text;
    }
  }
  EXPECT_GT(questions, 0u) << "a golden file without questions tests nothing";
}

// ThreadSanitizer has something to see where threads read; how merged segments are read on threads, blocks that are not merged show as well, and
// the merging itself takes one thread as long as all else. Under AddressSanitizer blocks are read merged and without indexes: between them, every
// reader of blocks is.
bool is_worth(const Way& way) {
  if (kAddressSanitizer && way.blocks) return way.merge || !way.options.use_zones;
  return !kThreadSanitizer || (way.threads && !way.merge);
}

std::vector<std::tuple<std::string, size_t>> all_cases() {
  std::vector<std::tuple<std::string, size_t>> cases;
  for (const auto& entry : fs::directory_iterator(fs::path(SLUICE_SOURCE_DIR) / "tests/golden"))
    if (entry.path().extension() == ".test") {
      // What looks back over hours would find the rows that fill the blocks; such a file says so in its first lines.
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      const bool alone = text.substr(0, text.find("\nflows")).find("no rows before") != std::string::npos;
      for (size_t i = 0; i < std::size(kWays); ++i)
        if (is_worth(kWays[i]) && (!alone || !kWays[i].blocks)) cases.emplace_back(entry.path().filename().string(), i);
    }
  std::sort(cases.begin(), cases.end());
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, ::testing::ValuesIn(all_cases()), [](const auto& made) {
  std::string name = fs::path(std::get<0>(made.param)).stem().string();
  std::replace_if(name.begin(), name.end(), [](char c) { return !isalnum(static_cast<unsigned char>(c)); }, '_');
  return name + "_" + kWays[std::get<1>(made.param)].name;
});

}  // namespace
}  // namespace sluice::golden
