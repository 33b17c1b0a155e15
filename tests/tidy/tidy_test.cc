#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/tidy/house.h"

namespace sluice::tidy {
namespace {

TEST(Tidy, TheHouseKeepsItsRules) {
  const fs::path root = SLUICE_SOURCE_DIR;
  Inspector inspector(root, read_house(root));
  for (const std::string& breach : inspector.inspect()) ADD_FAILURE() << breach;
  // A test that looks at nothing must not pass.
  EXPECT_GT(inspector.files(), 100u);
  EXPECT_GT(inspector.includes(), 500u);
}

// The test of the test: a small house of our own with one rule broken at a time.
class Canary : public testing::Test {
 protected:
  Canary() {
    root_ = fs::temp_directory_path() / ("sluice-tidy-" + std::to_string(::getpid()) + "-" +
                                         testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    write("ARCHITECTURE.md",
          "```layering\nstorage/model -> std\nstorage/store -> storage/model\ngrammar -> std\nquery -> grammar storage/model\n"
          "server -> everything\nclient -> std\ntests bench -> everything\n```\n"
          "```libraries\nrocksdb/ -> storage/store\nzlib.h -> server/inflate.cc client\n```\n");
    write("storage/model/time.h", "#pragma once\n#include <vector>\n#include <sys/stat.h>\n");
    write("storage/store/store.h", "#pragma once\n#include <rocksdb/db.h>\n#include \"storage/model/time.h\"\n");
    write("grammar/tree.h", "#pragma once\n");
    write("grammar/parse.cc", "#include \"FlowQLLexer.h\"\n");
    write("query/plan.cc", "#include \"grammar/tree.h\"\n#include \"storage/model/time.h\"\n// std::thread is not ours\n");
    write("server/inflate.cc", "#include <zlib.h>\n#include <thread>\nstd::thread t;\n#include \"query/plan.h\"\n");
    write("query/plan.h", "#pragma once\n");
    write("tests/a_test.cc", "#include <rocksdb/db.h>\n#include \"query/plan.h\"\n#include \"tests/rows.h\"\n");
    write("tests/rows.h", "#pragma once\n");
    write("build/dev/junk.cc", "#include <nowhere.h>");
  }
  ~Canary() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  std::vector<std::string> breaches() { return Inspector(root_, read_house(root_)).inspect(); }
  // Exactly one breach, and it is this.
  void expect(const std::string& want) {
    const auto found = breaches();
    ASSERT_EQ(found.size(), 1u) << (found.empty() ? "nothing was found" : found[0] + " … " + found.back());
    EXPECT_EQ(found[0], want);
  }

  fs::path root_;
};

TEST_F(Canary, GoodHousePasses) { EXPECT_EQ(breaches(), std::vector<std::string>{}); }

TEST_F(Canary, UpwardInclude) {
  write("storage/model/time.h", "#pragma once\n\n#include \"storage/store/store.h\"\n");
  expect("storage/model/time.h:3: storage/model may not know storage/store (storage/store/store.h)");
}

TEST_F(Canary, SidewaysInclude) {
  write("query/plan.h", "#pragma once\n  #  include \"storage/store/store.h\"\n");
  expect("query/plan.h:2: query may not know storage/store (storage/store/store.h)");
}

TEST_F(Canary, ClientKnowsNobody) {
  write("client/main.cc", "#include <zlib.h>\n#include \"storage/model/time.h\"\n");
  expect("client/main.cc:2: client may not know storage/model (storage/model/time.h)");
}

TEST_F(Canary, NothingKnowsTests) {
  write("server/main.cc", "#include \"tests/rows.h\"\n");
  expect("server/main.cc:1: nothing may include tests/rows.h");
}

TEST_F(Canary, LibraryOutOfItsPlace) {
  write("server/main.cc", "#include <zlib.h>\n");
  expect("server/main.cc:1: may not include the library header zlib.h");
  write("server/main.cc", "#include <rocksdb/options.h>\n");
  expect("server/main.cc:1: may not include the library header rocksdb/options.h");
}

TEST_F(Canary, LibraryWithoutARow) {
  write("server/main.cc", "#include <fmt/core.h>\n");
  expect("server/main.cc:1: includes <fmt/core.h>, which has no row among the libraries of ARCHITECTURE.md");
}

TEST_F(Canary, IncludeNotFromTheRoot) {
  write("query/bind.cc", "#include \"plan.h\"\n");
  expect("query/bind.cc:1: includes \"plan.h\", which is no file of ours written from the root");
}

TEST_F(Canary, FolderWithoutARow) {
  write("annex/a.cc", "\n");
  expect("annex/a.cc:0: lies in no room of ARCHITECTURE.md");
}

TEST_F(Canary, CommonRoom) {
  write("query/util/readme.md", "\n");
  expect("query/util:0: a folder of this name says nothing of what belongs in it");
}

TEST_F(Canary, ThreadsClocksAndOutputBelowTheServer) {
  write("query/plan.cc", "\n// std::thread\nvoid f() { std::thread t; }\nstd::thread::id id;\n");
  EXPECT_EQ(breaches().size(), 1u);
  write("query/plan.cc", "std::thread::id id;\nconst char* s = \"a // b\"; auto t = std::chrono::system_clock::now();\n");
  expect("query/plan.cc:2: system_clock::now belongs to server/: below it there are no threads, no wall clock and no output of one's own");
}

TEST_F(Canary, HeaderWithoutGuardAndFileWithoutEnd) {
  write("grammar/tree.h", "// nothing\n");
  expect("grammar/tree.h:0: has no #pragma once");
  write("grammar/tree.h", "#pragma once\nint x;");
  expect("grammar/tree.h:0: does not end with a line end");
}

TEST_F(Canary, UnfinishedWork) {
  write("query/plan.cc", std::string("\n// TO") + "DO: think\n");
  expect(std::string("query/plan.cc:2: unfinished: TO") + "DO");
  write("query/plan.cc", std::string("char name[] = \"/tmp/a-XX") + "XXXX\";\n");
  EXPECT_EQ(breaches().size(), 0u) << "a template of mkdtemp is no marker";
}

TEST_F(Canary, FolderOfOneMachine) {
  write("docs/a.md", std::string("see /ho") + "me/me/notes and https://example.com/home/page\n");
  expect("docs/a.md:1: names a folder of one machine");
}

TEST_F(Canary, LargeFile) {
  write("docs/a.bin", std::string((2u << 20) + 1, '\0'));
  expect("docs/a.bin:0: is larger than 2 MiB");
  write("docs/a.bin", std::string(2u << 20, '\0'));
  EXPECT_EQ(breaches().size(), 0u);
}

TEST_F(Canary, PageWithoutTables) {
  write("ARCHITECTURE.md", "# nothing\n");
  const auto found = breaches();
  EXPECT_NE(std::find(found.begin(), found.end(), "ARCHITECTURE.md:0: has no ```layering block"), found.end());
  EXPECT_NE(std::find(found.begin(), found.end(), "ARCHITECTURE.md:0: has no ```libraries block"), found.end());
}

}  // namespace
}  // namespace sluice::tidy
