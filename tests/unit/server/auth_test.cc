#include "server/auth.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "server/loss_book.h"

namespace sluice::server {
namespace {

struct CatalogTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-auth-XXXXXX";
    directory = mkdtemp(name);
    reopen();
  }
  void TearDown() override {
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  void reopen() {
    catalog.reset();
    auto opened = catalog::Catalog::open(directory);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    catalog = std::move(*opened);
  }
  std::string directory;
  std::unique_ptr<catalog::Catalog> catalog;
};

using AuthTest = CatalogTest;
using LossBookTest = CatalogTest;

TEST_F(AuthTest, WithoutTokensEveryoneIsAdminUnlessExposed) {
  auto auth = std::move(*Auth::open(*catalog));
  EXPECT_FALSE(auth->required());
  EXPECT_EQ(auth->identify("")->role, Role::admin);
  auth->require_always();
  EXPECT_FALSE(auth->identify("").ok());
}

TEST_F(AuthTest, TokensSurviveAReopenAndAreNotKeptInTheOpen) {
  auto auth = std::move(*Auth::open(*catalog));
  const auto token = auth->add("grafana", Role::read, 5);
  ASSERT_TRUE(token.ok());
  EXPECT_GE(token->size(), 64u);
  EXPECT_FALSE(auth->add("grafana", Role::admin, 5).ok());
  auth.reset();
  reopen();
  EXPECT_EQ(catalog->get(catalog::Keyspace::tokens, "grafana")->value().find(token->substr(7)), std::string::npos);
  auth = std::move(*Auth::open(*catalog));
  EXPECT_TRUE(auth->required());
  for (const std::string& header : {"Bearer " + *token, "bearer " + *token, "BEARER " + *token}) {
    const auto who = auth->identify(header);
    ASSERT_TRUE(who.ok());
    EXPECT_EQ(who->name, "grafana");
    EXPECT_EQ(who->role, Role::read);
  }
  for (const std::string& header : {std::string(), std::string("Bearer"), std::string("Bearer "), "Basic " + *token, "Bearer " + *token + "x", *token})
    EXPECT_EQ(auth->identify(header).error().code, ErrorCode::unauthenticated) << header;
  EXPECT_EQ(auth->list().size(), 1u);
  EXPECT_EQ(auth->list()[0].created_at, 5);
  EXPECT_FALSE(auth->remove("nobody").ok());
  EXPECT_TRUE(auth->remove("grafana").ok());
  EXPECT_FALSE(auth->required());
}

TEST_F(AuthTest, RolesAllowTheirOwn) {
  EXPECT_TRUE(allows(Role::admin, Role::read));
  EXPECT_TRUE(allows(Role::admin, Role::ingest));
  EXPECT_TRUE(allows(Role::read, Role::read));
  EXPECT_TRUE(allows(Role::read, Role::none));
  EXPECT_FALSE(allows(Role::read, Role::ingest));
  EXPECT_FALSE(allows(Role::ingest, Role::read));
  EXPECT_FALSE(allows(Role::ingest, Role::admin));
  EXPECT_FALSE(parse_role("root"));
}

TEST_F(AuthTest, RefusesOddNamesAndUnreadableEntries) {
  auto auth = std::move(*Auth::open(*catalog));
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a b"), std::string("a\n")})
    EXPECT_FALSE(auth->add(name, Role::read, 0).ok());
  EXPECT_FALSE(auth->add("a", Role::none, 0).ok());
  ASSERT_TRUE(catalog->put(catalog::Keyspace::tokens, "bad", "1 read zz 5", catalog::Sync::no).ok());
  EXPECT_EQ(Auth::open(*catalog).error().code, ErrorCode::corrupt);
}

TEST_F(LossBookTest, SumsWarnsAndSurvives) {
  {
    LossBook book(catalog.get());
    book.add("skip/aws_vpc/1", {"aws_vpc", "skipped", "records", 2, {100, 200}});
    book.add("skip/aws_vpc/1", {"aws_vpc", "skipped", "records", 3, {150, 300}});
    book.put("exporter/x/0/5", {"exporter x", "sequence", "packets", 7, {1'000, 2'000}});
    book.put("exporter/x/0/5", {"exporter x", "sequence", "packets", 9, {1'000, 2'500}});
  }
  reopen();
  LossBook book(catalog.get());
  ASSERT_TRUE(book.load().ok());
  EXPECT_EQ(book.all().size(), 2u);
  EXPECT_TRUE(book.over({300, 1'000}).empty());
  ASSERT_EQ(book.over({299, 1'000}).size(), 1u);
  EXPECT_NE(book.over({299, 1'000})[0].find("aws_vpc lost 5 records"), std::string::npos) << book.over({299, 1'000})[0];
  EXPECT_NE(book.over({2'400, kTimestampMax})[0].find("lost 9 packets"), std::string::npos);
}

TEST_F(LossBookTest, ForgetsTheOldestBeyondItsBound) {
  LossBook book(nullptr);
  for (size_t i = 0; i < kLossesMax + 10; ++i)
    book.put(std::to_string(i), {"x" + std::to_string(i), "y", "packets", 1, {static_cast<TimestampNs>(i), static_cast<TimestampNs>(i) + 1}});
  EXPECT_EQ(book.all().size(), kLossesMax);
  EXPECT_TRUE(book.over({0, 10}).empty());
  EXPECT_LE(book.over({}).size(), 21u);
}

}  // namespace
}  // namespace sluice::server
