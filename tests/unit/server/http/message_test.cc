#include "server/http/message.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

TEST(PercentDecode, DecodesAndRefusesBrokenEscapes) {
  EXPECT_EQ(percent_decode("a%20b+c"), "a b+c");
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("%e2%82%AC"), "\xe2\x82\xac");
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%2"));
  EXPECT_FALSE(percent_decode("%zz"));
  EXPECT_FALSE(percent_decode("%00"));
}

TEST(ParseTarget, SplitsPathAndQuery) {
  Request r;
  ASSERT_TRUE(parse_target("/v1/queries/a%2Fb?q=dst_port+%3D%3D+53&x&y=1=2", r));
  EXPECT_EQ(r.path, "/v1/queries/a%2Fb");
  EXPECT_EQ(r.segments, (std::vector<std::string>{"v1", "queries", "a/b"}));
  EXPECT_EQ(r.query_value("q"), "dst_port == 53");
  EXPECT_EQ(r.query_value("x"), "");
  EXPECT_EQ(r.query_value("y"), "1=2");
  EXPECT_FALSE(r.query_value("z"));
  for (const char* bad : {"", "v1", "*", "h:80", "ftp://h/v1", "http://", "http:///v1", "http://u@h/v1", "/%", "/a?b=%1"}) {
    Request request;
    EXPECT_FALSE(parse_target(bad, request)) << bad;
  }
  for (const char* url : {"http://h:80/v1?q=1", "HTTPS://h:80/v1?q=1"}) {
    Request request;
    request.headers = {{"host", "other"}, {"accept", "a"}};
    ASSERT_TRUE(parse_target(url, request)) << url;
    EXPECT_EQ(request.path, "/v1");
    EXPECT_EQ(request.query_value("q"), "1");
    EXPECT_EQ(request.header("host"), "h:80");
    EXPECT_EQ(request.header("accept"), "a");
  }
  Request root;
  ASSERT_TRUE(parse_target("http://h?q=1", root));
  EXPECT_EQ(root.path, "/");
  EXPECT_TRUE(root.segments.empty());
  EXPECT_EQ(root.query_value("q"), "1");
}

TEST(Negotiate, TakesTheBestOffer) {
  const std::vector<std::string_view> offered{"application/json", "application/x-ndjson", "text/csv"};
  EXPECT_EQ(negotiate("", offered), "application/json");
  EXPECT_EQ(negotiate("*/*", offered), "application/json");
  EXPECT_EQ(negotiate("text/csv", offered), "text/csv");
  EXPECT_EQ(negotiate("TEXT/*", offered), "text/csv");
  EXPECT_EQ(negotiate("application/json;q=0.5, application/x-ndjson", offered), "application/x-ndjson");
  EXPECT_EQ(negotiate("application/json;q=0, */*;q=0.1", offered), "application/x-ndjson");
  EXPECT_EQ(negotiate("image/png", offered), "");
}

}  // namespace
}  // namespace sluice::http
