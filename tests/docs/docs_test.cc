// What the documentation shows is run: every ```flowql block of docs/flowql.md, over the sample day that scripts/run loads. Each must
// find something. Where a ```text block follows, its lines are the first lines of the answer, as canonical text (tests/golden/rows.h).

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
#include "storage/store/store.h"
#include "tests/golden/rows.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

const TimestampNs kStart = *parse_timestamp("2026-11-20T00:00:00Z");

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

class DocsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    char name[] = "/tmp/sluice-docs-XXXXXX";
    directory_ = mkdtemp(name);
    store::StoreOptions options;
    options.directory = directory_;
    options.sync = false;
    auto store = store::Store::open(options, clock_);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(store).value();
    auto company = generate::make_company({1, kStart, 24, 1.0});
    ASSERT_TRUE(company.ok()) << company.error().message;
    FlowBatchBuilder builder;
    const auto append = [&] {
      const Batch batch = builder.finish();
      ASSERT_TRUE(store_->append({&batch, 1}).ok());
    };
    for (const generate::Flow& flow : company->flows) {
      generate::append_row(flow, company->reporters, builder);
      if (builder.rows() == 65'536) append();
    }
    if (builder.rows() > 0) append();
    const auto flushed = store_->flush();
    ASSERT_TRUE(flushed.ok()) << flushed.error().message;
  }
  static void TearDownTestSuite() {
    store_.reset();
    std::error_code ec;
    fs::remove_all(directory_, ec);
  }
  static std::optional<query::QueryError> ask(const std::string& text, Sink& sink) {
    const store::Snapshot snapshot = store_->snapshot();
    query::InlineExecutor executor;
    query::QueryContext context;
    context.snapshot = &snapshot;
    context.clock = &clock_;
    context.executor = &executor;
    context.tables = tables_.book;
    context.table_writer = &tables_;
    context.may_define = true;
    query::QueryRequest request;
    request.text = text;
    query::QuerySummary summary;
    return query::run(request, context, sink, summary);
  }

  static std::string directory_;
  static ManualClock clock_;
  static std::unique_ptr<store::Store> store_;
  static Tables tables_;  // examples see what those before them made
};
std::string DocsTest::directory_;
ManualClock DocsTest::clock_{kStart + kDay};
std::unique_ptr<store::Store> DocsTest::store_;
Tables DocsTest::tables_;

TEST_F(DocsTest, ExamplesRunAndFindWhatTheySay) {
  const auto examples = examples_of(fs::path(SLUICE_SOURCE_DIR) / "docs/flowql.md");
  ASSERT_GT(examples.size(), 5u) << "the page has lost its examples, or this test its eyes";
  for (const Example& e : examples) {
    SCOPED_TRACE("docs/flowql.md:" + std::to_string(e.line) + "\n" + e.text);
    Sink sink;
    const auto error = ask(e.text, sink);
    if (error) {
      ADD_FAILURE() << error->message << "\n" << error->caret;
      continue;
    }
    EXPECT_FALSE(sink.table.rows.empty()) << "this example finds nothing";
    if (e.answer.empty()) continue;
    const std::string got = sink.table.text();
    EXPECT_EQ(got.substr(0, e.answer.size()), e.answer) << "the answer begins\n" << got.substr(0, 2'000);
  }
}

TEST_F(DocsTest, EveryStageHasAnExample) {
  const auto examples = examples_of(fs::path(SLUICE_SOURCE_DIR) / "docs/flowql.md");
  for (const query::StageSpec* stage : query::stages()) {
    const std::string as_stage = "| " + std::string(stage->name);
    const bool shown = std::any_of(examples.begin(), examples.end(), [&](const Example& e) { return e.text.find(as_stage) != std::string::npos; });
    EXPECT_TRUE(shown) << "docs/flowql.md has no example of " << stage->name;
  }
}

// What the registries have, the page names.
TEST_F(DocsTest, EveryFunctionAggregateAndStageIsNamed) {
  std::ifstream in(fs::path(SLUICE_SOURCE_DIR) / "docs/flowql.md");
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  const auto named = [&](std::string_view name) {
    const auto in_word = [](char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    for (size_t at = page.find(name); at != std::string::npos; at = page.find(name, at + 1))
      if ((at == 0 || !in_word(page[at - 1])) && !in_word(page[at + name.size()])) return true;
    return false;
  };
  for (const query::FunctionSpec* f : query::functions()) EXPECT_TRUE(named(f->name)) << f->name << "()";
  for (const query::BoundFunction& f : query::bound_functions()) EXPECT_TRUE(named(f.name)) << f.name << "()";
  for (const query::AggregateSpec* a : query::aggregates()) EXPECT_TRUE(named(a->name)) << a->name << "()";
  for (const query::StageSpec* s : query::stages()) EXPECT_NE(page.find("| `" + std::string(s->name) + " "), std::string::npos) << s->name;
  for (const query::PlainStage& s : query::plain_stages()) EXPECT_TRUE(page.find("`" + std::string(s.name) + " ") != std::string::npos) << s.name;
  EXPECT_FALSE(named("nothing_like_this"));
}

// The test of the test: an answer that is not there is seen.
TEST_F(DocsTest, SeesAWrongAnswer) {
  Sink sink;
  ASSERT_FALSE(ask("last 1d | stats n = count()", sink));
  EXPECT_NE(sink.table.text(), "n\n0\n");
  Sink none;
  EXPECT_TRUE(ask("last 1d | stats n = cuont()", none));
}

}  // namespace
}  // namespace sluice
