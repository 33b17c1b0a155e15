#include "server/config.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

TEST(ParseEndpoint, ReadsWhatPeopleWrite) {
  for (const auto& [text, shown, loopback] : std::initializer_list<std::tuple<const char*, const char*, bool>>{
           {"127.0.0.1:8080", "127.0.0.1:8080", true},
           {"localhost:1", "127.0.0.1:1", true},
           {":8080", "127.0.0.1:8080", true},
           {"8080", "127.0.0.1:8080", true},
           {"127.9.9.9:0", "127.9.9.9:0", true},
           {"[::1]:8080", "[::1]:8080", true},
           {"0.0.0.0:80", "0.0.0.0:80", false},
           {"*:80", "0.0.0.0:80", false},
           {"[::]:80", "[::]:80", false},
           {"10.0.0.1:65535", "10.0.0.1:65535", false}}) {
    const auto parsed = parse_endpoint(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(to_string(*parsed), shown);
    EXPECT_EQ(parsed->is_loopback, loopback) << text;
  }
  for (const char* bad : {"", "x", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "host.example:80", "127.0.0.1:80x"})
    EXPECT_FALSE(parse_endpoint(bad).ok()) << bad;
}

TEST(ParseBytes, ReadsUnits) {
  EXPECT_EQ(*parse_bytes("0"), 0u);
  EXPECT_EQ(*parse_bytes("100GB"), 100'000'000'000u);
  EXPECT_EQ(*parse_bytes("1.5GiB"), 1'610'612'736u);
  for (const char* bad : {"", "GB", "-1", "1XB", "1e30TB", "nan"}) EXPECT_FALSE(parse_bytes(bad).ok()) << bad;
}

TEST(Config, TheFileHasTheNamesOfTheFlags) {
  Config c;
  const Status s = load_config_text(c, R"(
data = "/var/lib/sluice"
http = "127.0.0.1:9000"
netflow = ["127.0.0.1:2055", "127.0.0.1:9995"]
netflow-allow = ["10.0.0.0/8", "192.0.2.1"]
retain-age = "90d"
retain-bytes = "100GB"
threads = 3
query-timeout = "5s"
log-format = "json"
)", "t.toml");
  ASSERT_TRUE(s.ok()) << s.error().message;
  EXPECT_EQ(c.data, "/var/lib/sluice");
  EXPECT_EQ(c.http.port, 9000);
  ASSERT_EQ(c.netflow.size(), 2u);
  EXPECT_EQ(c.netflow[1].port, 9995);
  EXPECT_EQ(c.netflow_allow.size(), 2u);
  EXPECT_EQ(c.retain_age, 90 * kDay);
  EXPECT_EQ(c.retain_bytes, 100'000'000'000u);
  EXPECT_EQ(c.threads, 3u);
  EXPECT_EQ(c.query_timeout, 5 * kSecond);
  EXPECT_EQ(c.log_format, log::Format::json);
}

TEST(Config, ErrorsNameFileAndLine) {
  for (const auto& [text, place] : std::initializer_list<std::pair<const char*, const char*>>{
           {"data = 'x'\nhtttp = 'y'\n", "t.toml:2: htttp"},
           {"threads = 'many'\n", "t.toml:1: threads"},
           {"threads = 1.5\n", "t.toml:1: "},
           {"\n[table]\nx = 1\n", "t.toml:2: 'table'"},
           {"a = = 1", "t.toml:1: "},
           {"netflow-allow = ['10.0.0.0/8', 'x']", "t.toml:1: netflow-allow"}}) {
    Config c;
    const Status s = load_config_text(c, text, "t.toml");
    ASSERT_FALSE(s.ok()) << text;
    EXPECT_NE(s.error().message.find(std::string(place).substr(0, 9)), std::string::npos) << s.error().message;
  }
}

TEST(Config, FeedsAndPushesAreTables) {
  Config c;
  const Status s = load_config_text(c, R"([[feed]]
name = "logs"
kind = "folder"
source = "aws_vpc"
path = "/x"
glob = ["*.log", "*.gz"]
recursive = true
[[feed]]
name = "more"
kind = "folder"
[[push]]
from = "arn:*"
source = "aws_tgw"
)", "t.toml");
  ASSERT_TRUE(s.ok()) << s.error().message;
  ASSERT_EQ(c.feeds.size(), 2u);
  EXPECT_EQ(c.feeds[0].name, "logs");
  EXPECT_EQ(c.feeds[0].options["glob"].value, "*.log,*.gz");
  EXPECT_EQ(c.feeds[0].options["recursive"].value, "true");
  EXPECT_EQ(c.feeds[0].options["path"].place, "t.toml:5");
  EXPECT_EQ(c.feeds[1].place, "t.toml:8");
  ASSERT_EQ(c.pushes.size(), 1u);
  EXPECT_EQ(c.pushes[0].source, "aws_tgw");
  for (const auto& [text, told] : std::initializer_list<std::pair<const char*, const char*>>{{"[feed]\nname = 'x'\n", "t.toml:1: a feed is declared as [[feed]]"},
                                                                                            {"[[feed]]\nkind = 'folder'\n", "needs a name"},
                                                                                            {"[[feed]]\nname = 'a/b'\nkind = 'folder'\n", "needs a name"},
                                                                                            {"[[feed]]\nname = 'x'\n", "kind: is needed"},
                                                                                            {"[[push]]\nfrom = 'x'\n", "needs 'from' and 'source'"},
                                                                                            {"[[push]]\nform = 'x'\n", "t.toml:2: a push has no key 'form'"}}) {
    Config bad;
    const Status refused = load_config_text(bad, text, "t.toml");
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.error().message.find(told), std::string::npos) << refused.error().message;
  }
}

TEST(Config, EverySettingIsUsable) {
  Config c;
  for (const Setting& setting : settings()) {
    EXPECT_FALSE(setting.help.empty());
    const Status s = setting.apply(c, "\x01");
    const bool takes_any_text = setting.name == "data" || setting.name == "tls-cert" || setting.name == "tls-key";
    EXPECT_EQ(s.ok(), takes_any_text) << setting.name;
  }
  EXPECT_FALSE(apply_setting(c, "no-such", "1").ok());
}

TEST(Exposure, BeyondLoopbackNeedsTokensAndTls) {
  Config c;
  EXPECT_TRUE(check_exposure(c, false).ok());
  c.http = *parse_endpoint("0.0.0.0:8080");
  EXPECT_FALSE(check_exposure(c, false).ok());
  EXPECT_FALSE(check_exposure(c, true).ok());
  c.tls_cert = c.tls_key = "x";
  EXPECT_FALSE(check_exposure(c, false).ok());
  EXPECT_TRUE(check_exposure(c, true).ok());
  c.netflow = {*parse_endpoint("0.0.0.0:2055")};
  EXPECT_FALSE(check_exposure(c, true).ok());
  c.netflow_allow = {*parse_prefix("10.0.0.0/8")};
  EXPECT_TRUE(check_exposure(c, true).ok());
}

}  // namespace
}  // namespace sluice::server
