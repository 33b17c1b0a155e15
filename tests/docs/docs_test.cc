// What the documentation shows is run: every ```flowql block of docs/flowql.md, over the sample day that scripts/run loads. Each must
// find something. Where a ```text block follows, it is the answer, as canonical text (tests/golden/rows.h).

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/generate/company.h"
#include "bench/generate/flow_batch.h"
#include "query/aggregate.h"
#include "query/context_table.h"
#include "query/engine.h"
#include "query/function.h"
#include "query/stage.h"
#include "query/watch_list.h"
#include "storage/store/store.h"
#include "tests/golden/rows.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

struct Example {
  std::string text, answer;
  size_t line = 0;
};

std::vector<Example> examples_of(const fs::path& page) {
  std::ifstream in(page);
  std::vector<Example> out;
  std::string line, fence;
  size_t number = 0, ended = 0;
  while (std::getline(in, line)) {
    ++number;
    if (fence.empty()) {
      if (line == "```flowql") {
        fence = line;
        out.push_back({"", "", number});
      } else if (line == "```text" && !out.empty() && ended + 1 >= number - 1) {
        fence = line;
      }
    } else if (line == "```") {
      if (fence == "```flowql") ended = number;
      fence.clear();
    } else {
      (fence == "```flowql" ? out.back().text : out.back().answer) += line + "\n";
    }
  }
  return out;
}

struct Sink final : query::ResultSink {
  golden::TextTable table;
  Schema schema;
  Status begin(const Schema& columns) override {
    schema = columns;
    for (const Field& f : columns) table.columns.push_back(f.name);
    return {};
  }
  Status batch(const Batch& rows) override {
    golden::append_rows(table, schema, rows);
    return {};
  }
};

struct Tables final : query::TableWriter {
  std::shared_ptr<const query::TableBook> book = std::make_shared<query::TableBook>();
  Result<uint64_t> put_table(query::ContextTable table, bool) override {
    book = book->with(std::make_shared<query::ContextTable>(std::move(table)));
    return uint64_t{1};
  }
  Status drop_table(std::string_view name) override {
    book = book->without(name);
    return {};
  }
};

struct Lists final : query::ListWriter {
  std::shared_ptr<const query::ListBook> book = std::make_shared<query::ListBook>();
  Result<uint64_t> put_list(query::WatchList list, bool, bool) override {
    book = book->with(std::make_shared<query::WatchList>(std::move(list)));
    return uint64_t{1};
  }
  Status drop_list(std::string_view name) override {
    book = book->without(name);
    return {};
  }
};

// A sample day, kept as scripts/run keeps it.
class Day {
 public:
  explicit Day(TimestampNs start) : start_(start) {}
  ~Day() {
    store_.reset();
    std::error_code ec;
    if (!directory_.empty()) fs::remove_all(directory_, ec);
  }
  Status load() {
    char name[] = "/tmp/sluice-docs-XXXXXX";
    directory_ = mkdtemp(name);
    store::StoreOptions options;
    options.directory = directory_;
    options.sync = false;
    SLUICE_ASSIGN(store_, store::Store::open(options, clock_));
    SLUICE_ASSIGN(const generate::Company company, generate::make_company({1, start_, 24, 1.0}));
    FlowBatchBuilder builder;
    const auto append = [&]() -> Status {
      const Batch batch = builder.finish();
      const auto appended = store_->append({&batch, 1});
      return appended.ok() ? Status() : Status(appended.error());
    };
    for (const generate::Flow& flow : company.flows) {
      generate::append_row(flow, company.reporters, builder);
      if (builder.rows() == 65'536) SLUICE_TRY(append());
    }
    if (builder.rows() > 0) SLUICE_TRY(append());
    const auto flushed = store_->flush();
    return flushed.ok() ? Status() : Status(flushed.error());
  }
  // Asked so long after the end of the day. Examples see the tables and lists that those before them made.
  std::optional<query::QueryError> ask(const std::string& text, Sink& sink, DurationNs later) {
    const ManualClock now{start_ + kDay + later};
    const store::Snapshot snapshot = store_->snapshot();
    query::InlineExecutor executor;
    query::QueryContext context;
    context.snapshot = &snapshot;
    context.clock = &now;
    context.executor = &executor;
    context.tables = tables_.book;
    context.table_writer = &tables_;
    context.lists = lists_.book;
    context.list_writer = &lists_;
    context.may_define = true;
    query::QueryRequest request;
    request.text = text;
    query::QuerySummary summary;
    return query::run(request, context, sink, summary);
  }
  void forget() {
    tables_ = {};
    lists_ = {};
  }

 private:
  const TimestampNs start_;
  ManualClock clock_{start_ + kDay};
  std::string directory_;
  std::unique_ptr<store::Store> store_;
  Tables tables_;
  Lists lists_;
};

fs::path page() { return fs::path(SLUICE_SOURCE_DIR) / "docs/flowql.md"; }

// Each finds something; where the page shows the answer, that and no more.
void run_examples(Day& day, DurationNs later) {
  day.forget();
  const auto examples = examples_of(page());
  ASSERT_GT(examples.size(), 5u) << "the page has lost its examples, or this test its eyes";
  for (const Example& e : examples) {
    SCOPED_TRACE("docs/flowql.md:" + std::to_string(e.line) + ", asked " + format_duration(later) + " after the end of the day\n" + e.text);
    Sink sink;
    const auto error = day.ask(e.text, sink, later);
    if (error) {
      ADD_FAILURE() << error->message << "\n" << error->caret;
      continue;
    }
    EXPECT_FALSE(sink.table.rows.empty()) << "this example finds nothing";
    if (e.answer.empty()) continue;
    EXPECT_EQ(sink.table.text(), e.answer);
  }
}

// The day ends at the last full hour, so people ask up to an hour later; and an hour may be any of the day.
TEST(DocsTest, ExamplesRunAndFindWhatTheySay) {
  Day day(*parse_timestamp("2026-11-20T00:00:00Z"));
  ASSERT_TRUE(day.load().ok());
  for (const DurationNs later : {DurationNs{0}, 59 * kMinute + 59 * kSecond}) run_examples(day, later);
  // The test of the test: an answer that is not there is seen.
  Sink sink;
  ASSERT_FALSE(day.ask("last 1d | stats n = count()", sink, 0));
  EXPECT_NE(sink.table.text(), "n\n0\n");
  Sink none;
  EXPECT_TRUE(day.ask("last 1d | stats n = cuont()", none, 0));
}

TEST(DocsTest, ExamplesHoldForADayThatBeginsInTheAfternoon) {
  Day day(*parse_timestamp("2026-11-24T16:00:00Z"));
  ASSERT_TRUE(day.load().ok());
  run_examples(day, 51 * kMinute);
}

// The page shows whatever the registries have at work.
TEST(DocsTest, EveryStageAggregateAndFunctionHasAnExample) {
  std::string all;
  for (const Example& e : examples_of(page())) all += "\n| " + e.text;
  const auto shown = [&](std::string_view what, std::string_view after) {
    const auto in_word = [](char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    for (size_t at = all.find(what); at != std::string::npos; at = all.find(what, at + 1))
      if (!in_word(all[at - 1]) && std::string_view(all).substr(at + what.size()).starts_with(after)) return true;
    return false;
  };
  for (const query::StageSpec* s : query::stages()) EXPECT_TRUE(shown(s->name, " ") || shown(s->name, "\n")) << s->name;
  for (const query::PlainStage& s : query::plain_stages()) EXPECT_TRUE(shown(s.name, " ")) << s.name;
  for (const query::AggregateSpec* a : query::aggregates()) EXPECT_TRUE(shown(a->name, "(")) << a->name << "()";
  for (const query::FunctionSpec* f : query::functions()) EXPECT_TRUE(shown(f->name, "(")) << f->name << "()";
  for (const query::BoundFunction& f : query::bound_functions()) EXPECT_TRUE(shown(f.name, "(")) << f.name << "()";
  EXPECT_TRUE(shown("rate", "("));
  EXPECT_FALSE(shown("nothing_like_this", ""));
}

// What the registries have, the page names.
TEST(DocsTest, EveryFunctionAggregateAndStageIsNamed) {
  std::ifstream in(page());
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const auto named = [&](std::string_view name) {
    const auto in_word = [](char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    for (size_t at = whole.find(name); at != std::string::npos; at = whole.find(name, at + 1))
      if ((at == 0 || !in_word(whole[at - 1])) && !in_word(whole[at + name.size()])) return true;
    return false;
  };
  for (const query::FunctionSpec* f : query::functions()) EXPECT_TRUE(named(f->name)) << f->name << "()";
  for (const query::BoundFunction& f : query::bound_functions()) EXPECT_TRUE(named(f.name)) << f.name << "()";
  for (const query::AggregateSpec* a : query::aggregates()) EXPECT_TRUE(named(a->name)) << a->name << "()";
  for (const query::StageSpec* s : query::stages()) EXPECT_NE(whole.find("| `" + std::string(s->name) + " "), std::string::npos) << s->name;
  for (const query::PlainStage& s : query::plain_stages()) EXPECT_TRUE(whole.find("`" + std::string(s.name) + " ") != std::string::npos) << s.name;
  EXPECT_FALSE(named("nothing_like_this"));
}

}  // namespace
}  // namespace sluice
