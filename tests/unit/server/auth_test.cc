#include "server/auth.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "server/limits.h"
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
    Loss skipped{"aws_vpc", "skipped", "records", 2, {100, 200}, {}, {}};
    skipped.set_records_of("aws_vpc");
    book.add("skip/aws_vpc/1", skipped);
    skipped.lost = 3;
    skipped.range = {150, 300};
    book.add("skip/aws_vpc/1", skipped);
    const std::vector<uint8_t> netflow9 = {*kSource.code_of("netflow9")};
    book.put("exporter/x/0/5", {"exporter x", "sequence", "packets", 7, {1'000, 2'000}, netflow9, {parse_ip("10.0.0.1"), false}});
    book.put("exporter/x/0/5", {"exporter x", "sequence", "packets", 9, {1'000, 2'500}, netflow9, {parse_ip("10.0.0.1"), false}});
  }
  reopen();
  LossBook book(catalog.get());
  ASSERT_TRUE(book.load().ok());
  EXPECT_EQ(book.all().size(), 2u);
  const auto over = [&](TimeRange range) { return book.over({range, {}}); };
  EXPECT_TRUE(over({300, 1'000}).empty());
  ASSERT_EQ(over({299, 1'000}).size(), 1u);
  EXPECT_NE(over({299, 1'000})[0].find("aws_vpc lost 5 records"), std::string::npos) << over({299, 1'000})[0];
  EXPECT_NE(over({2'400, kTimestampMax})[0].find("lost 9 packets"), std::string::npos);
  // What is known of the lost rows is known after a restart.
  std::vector<std::string> asked;
  EXPECT_TRUE(book.over({{0, kTimestampMax}, [&](std::span<const uint8_t> sources, const query::LostFrom& from) {
                           for (const uint8_t s : sources) asked.push_back(std::string(kSource.name_of(s)));
                           asked.push_back(from.exporter ? to_string(*from.exporter) : from.no_exporter ? "none" : "any");
                           return false;
                         }}).empty());
  EXPECT_EQ(asked, (std::vector<std::string>{"netflow9", "10.0.0.1", "aws_vpc", "none"}));
}

TEST_F(LossBookTest, TellsStretchesApart) {
  LossBook book(nullptr);
  const auto put = [&](int64_t minute, uint64_t lost) {
    book.put(std::to_string(minute), {"exporter x", "by its sequence numbers", "packets", lost, {minute * kMinute, minute * kMinute + kSecond}, {}, {}});
  };
  const auto told = [&](TimeRange range) { return book.over({range, {}}); };
  put(0, 1);
  put(1, 2);  // one minute on: the same stretch
  put(100, 5);
  EXPECT_EQ(told({0, kDay}), (std::vector<std::string>{"known loss: exporter x lost 8 packets (by its sequence numbers): 3 between 1970-01-01T00:00:00Z and "
                                                       "1970-01-01T00:01:01Z, 5 between 1970-01-01T01:40:00Z and 1970-01-01T01:40:01Z"}));
  EXPECT_EQ(told({kHour, kDay}), (std::vector<std::string>{"known loss: exporter x lost 5 packets (by its sequence numbers) between 1970-01-01T01:40:00Z and "
                                                           "1970-01-01T01:40:01Z"}));
  EXPECT_TRUE(told({2 * kMinute, 100 * kMinute}).empty());
  // The greatest are listed, the rest is summed up.
  for (size_t i = 0; i < limits::kLossStretchesTold; ++i) put(200 + 100 * static_cast<int64_t>(i), 10 + i);
  const auto text = told({0, kDay})[0];
  EXPECT_NE(text.find("lost 68 packets"), std::string::npos) << text;
  EXPECT_NE(text.find(", and 8 in 2 more stretches of time"), std::string::npos) << text;
  EXPECT_EQ(text.find("01:40:00"), std::string::npos) << text;
}

TEST_F(LossBookTest, ForgetsTheOldestBeyondItsBound) {
  LossBook book(nullptr);
  for (size_t i = 0; i < kLossesMax + 10; ++i)
    book.put(std::to_string(i), {"x" + std::to_string(i), "y", "packets", 1, {static_cast<TimestampNs>(i), static_cast<TimestampNs>(i) + 1}, {}, {}});
  EXPECT_EQ(book.all().size(), kLossesMax);
  EXPECT_TRUE(book.over({{0, 10}, {}}).empty());
  const auto told = book.over({});
  ASSERT_EQ(told.size(), limits::kLossWarningsMax + 1);
  EXPECT_EQ(told.back(), std::to_string(kLossesMax - limits::kLossWarningsMax) + " more known losses concern this answer and are not listed; `show losses` lists all");
}

}  // namespace
}  // namespace sluice::server
