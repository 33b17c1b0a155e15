#include "ingest/source/limits.h"
#include "server/config.h"
#include "server/limits.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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
sflow = "127.0.0.1:6344"
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
  ASSERT_EQ(c.sflow.size(), 1u) << "a value given replaces the default";
  EXPECT_EQ(c.sflow[0].port, 6344);
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
           {"open-bytes = '0'\n", "t.toml:1: open-bytes"},
           {"query-memory = '0'\n", "t.toml:1: query-memory"},
           {"\n[table]\nx = 1\n", "t.toml:2: 'table'"},
           {"a = = 1", "t.toml:1: "},
           {"netflow-allow = ['10.0.0.0/8', 'x']", "t.toml:1: netflow-allow"}}) {
    Config c;
    const Status s = load_config_text(c, text, "t.toml");
    ASSERT_FALSE(s.ok()) << text;
    EXPECT_NE(s.error().message.find(std::string(place).substr(0, 9)), std::string::npos) << s.error().message;
  }
}

TEST(Config, TablesOfExporters) {
  const std::string file = std::filesystem::temp_directory_path() / ("sluice_interfaces_" + std::to_string(getpid()));
  std::ofstream(file) << "index,name\n# the core\n1, Te0/0/0 ,to core, east\n 2,Te0/0/1\r\n";
  Config c;
  const Status s = load_config_text(c, R"(
netflow-allow = "10.0.0.0/8"
[[exporter]]
address = "10.1.0.0/16"
name = "branch offices"
sampling-rate = 1000
post-counters = "reverse"
sequence = "none"
interfaces = ")" + file + R"("

[[exporter]]
address = "10.1.0.7"
[[exporter.sampling]]
rate = 100
domain = 3
force = true
[[exporter.sampling]]
rate = 512
interface = 4
from = 2026-10-01T00:00:00Z
to = "2026-11-01"
)", "t.toml");
  ASSERT_TRUE(s.ok()) << s.error().message;
  ASSERT_EQ(c.exporters.size(), 2u);
  const ExporterTable& a = c.exporters[0];
  EXPECT_EQ(a.name, "branch offices");
  EXPECT_EQ(to_string(a.override.exporter), "10.1.0.0/16");
  EXPECT_EQ(a.override.rates, (std::vector<ingest::RateOverride>{{std::nullopt, std::nullopt, 1'000, false}}));
  EXPECT_EQ(a.override.post_counters, ingest::PostCounters::reverse);
  EXPECT_EQ(a.override.sequence, ingest::SequenceUnit::none);
  EXPECT_EQ(a.interfaces, (std::vector<InterfaceName>{{1, "Te0/0/0", "to core, east"}, {2, "Te0/0/1", ""}}));
  const ExporterTable& b = c.exporters[1];
  EXPECT_EQ(b.override.rates, (std::vector<ingest::RateOverride>{{3, std::nullopt, 100, true}}));
  const TimeRange october{*parse_timestamp("2026-10-01"), *parse_timestamp("2026-11-01")};
  EXPECT_EQ(b.corrections, (std::vector<query::SamplingRule>{{*parse_prefix("10.1.0.7"), std::nullopt, 4, october, 512, false}}));

  for (const auto& [text, place] : std::initializer_list<std::pair<std::string, const char*>>{
           {"[[exporter]]\nname = 'x'", "'address' is missing"},
           {"[[exporter]]\naddress = 'x'", "t.toml:2: [[exporter]]: not an address"},
           {"[[exporter]]\naddress = '10.0.0.1'\nsampling-rate = 0", "t.toml:3"},
           {"[[exporter]]\naddress = '10.0.0.1'\nsampling-rate = '10'", "whole number"},
           {"[[exporter]]\naddress = '10.0.0.1'\nsampling = 10", "[[exporter.sampling]]"},
           {"[[exporter]]\naddress = '10.0.0.1'\nsampling_rate = 10", "no setting 'sampling_rate'"},
           {"[[exporter]]\naddress = '10.0.0.1'\nsequence = 'flows'", "standard, packets, records, none"},
           {"[[exporter]]\naddress = '10.0.0.1'\ninterfaces = '/no/such'", "/no/such"},
           {"[[exporter]]\naddress = '10.0.0.1'\n[[exporter.sampling]]\nforce = true", "'rate' is missing"},
           {"[[exporter]]\naddress = '10.0.0.1'\n[[exporter.sampling]]\nrate = 2\nfrom = 'yesterday'", "not a time"},
           {"[[exporter]]\naddress = '10.0.0.1'\n[[exporter.sampling]]\nrate = 2\nfrom = '2026-01-02'\nto = '2026-01-01'", "not before"},
           {"exporter = 3", "[[exporter]]"}}) {
    Config bad;
    const Status refused = load_config_text(bad, text, "t.toml");
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.error().message.find(place), std::string::npos) << refused.error().message;
  }
  std::filesystem::remove(file);
}

TEST(InterfaceFile, ErrorsNameTheLine) {
  for (const auto& [text, place] : std::initializer_list<std::pair<std::string, const char*>>{
           {"1,a\nx,b", "f:2"}, {"1,a\n2", "f:2"}, {"1,a\n-3,b", "f:2"}, {"1," + std::string(300, 'n'), "f:1"}}) {
    const auto names = parse_interface_lines(text, "f");
    ASSERT_FALSE(names.ok()) << text;
    EXPECT_NE(names.error().message.find(place), std::string::npos) << names.error().message;
  }
  EXPECT_TRUE(parse_interface_lines("", "f")->empty());
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

TEST(Config, DatabasesOfPlacesAreATable) {
  Config c;
  const Status s = load_config_text(c, "[geo]\ncountry = '/srv/country.mmdb'\nasn = '/srv/asn.mmdb'\n", "t.toml");
  ASSERT_TRUE(s.ok()) << s.error().message;
  EXPECT_EQ(c.geo_country, "/srv/country.mmdb");
  EXPECT_EQ(c.geo_asn, "/srv/asn.mmdb");
  for (const char* text : {"[geo]\ncity = 'x'\n", "[geo]\nasn = 5\n"}) {
    const Status bad = load_config_text(c, text, "t.toml");
    ASSERT_FALSE(bad.ok()) << text;
    EXPECT_TRUE(bad.error().message.starts_with("t.toml:2: ")) << bad.error().message;
  }
}

// What --help says of a setting holds when nobody says it.
TEST(Config, TheHelpNamesWhatHolds) {
  const Config unsaid;
  Config c;
  c.data = "";
  c.http = *parse_endpoint("9");
  c.netflow.clear();
  c.sflow.clear();
  c.retain_age = c.seal_age = c.query_timeout = c.shutdown_grace = 1;
  c.retain_bytes = c.open_bytes = c.query_memory = c.ingest_body_bytes = c.threads = c.query_concurrency = c.query_waiting = 7;
  c.log_format = log::Format::json;
  c.log_level = log::Level::error;
  for (const Setting& setting : settings()) {
    if (setting.standard.empty()) continue;
    EXPECT_TRUE(setting.apply(c, setting.standard).ok()) << setting.name;
  }
  EXPECT_EQ(c.data, unsaid.data);
  EXPECT_EQ(to_string(c.http), to_string(unsaid.http));
  ASSERT_EQ(c.netflow.size(), unsaid.netflow.size());
  for (size_t i = 0; i < c.netflow.size(); ++i) EXPECT_EQ(to_string(c.netflow[i]), to_string(unsaid.netflow[i]));
  ASSERT_EQ(c.sflow.size(), 1u);
  EXPECT_EQ(to_string(c.sflow[0]), to_string(unsaid.sflow[0]));
  EXPECT_EQ(c.retain_age, unsaid.retain_age);
  EXPECT_EQ(c.seal_age, unsaid.seal_age);
  EXPECT_EQ(c.query_timeout, unsaid.query_timeout);
  EXPECT_EQ(c.shutdown_grace, unsaid.shutdown_grace);
  EXPECT_EQ(c.retain_bytes, unsaid.retain_bytes);
  EXPECT_EQ(c.open_bytes, unsaid.open_bytes);
  EXPECT_EQ(c.query_memory, unsaid.query_memory);
  EXPECT_EQ(c.ingest_body_bytes, unsaid.ingest_body_bytes);
  EXPECT_EQ(c.threads, unsaid.threads);
  EXPECT_EQ(c.query_concurrency, unsaid.query_concurrency);
  EXPECT_EQ(c.query_waiting, unsaid.query_waiting);
  EXPECT_EQ(c.log_format, unsaid.log_format);
  EXPECT_EQ(c.log_level, unsaid.log_level);
}

TEST(Config, EverySettingIsUsable) {
  Config c;
  for (const Setting& setting : settings()) {
    EXPECT_FALSE(setting.help.empty());
    const Status s = setting.apply(c, "\x01");
    const bool takes_any_text = setting.name == "data" || setting.name == "tls-cert" || setting.name == "tls-key" || setting.name == "ipfix-tls-ca" ||
                                setting.name == "geo-country" || setting.name == "geo-asn" || setting.name == "backup-dir";
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
  const Status early = check_exposure(c, std::nullopt);  // who mends one thing is not to be told of the next one then
  ASSERT_FALSE(early.ok());
  EXPECT_NE(early.error().message.find("TLS"), std::string::npos);
  EXPECT_NE(early.error().message.find("sluiced token add"), std::string::npos);
  c.tls_cert = c.tls_key = "x";
  EXPECT_TRUE(check_exposure(c, std::nullopt).ok());
  EXPECT_FALSE(check_exposure(c, false).ok());
  EXPECT_TRUE(check_exposure(c, true).ok());
  c.netflow = {*parse_endpoint("0.0.0.0:2055")};
  EXPECT_FALSE(check_exposure(c, true).ok());
  c.netflow.clear();
  c.sflow = {*parse_endpoint("0.0.0.0:6343")};
  EXPECT_FALSE(check_exposure(c, true).ok());
  c.netflow_allow = {*parse_prefix("10.0.0.0/8")};
  EXPECT_TRUE(check_exposure(c, true).ok());
}

TEST(Config, GroupsOfReportersThatLookAtTheSameTraffic) {
  Config c;
  const Status s = load_config_text(c, R"(
[[same-traffic]]
name = "core"
exporters = ["10.0.0.0/24", "2001:db8::1"]
tolerance = "30s"

[[same-traffic]]
name = "cloud"
sources = ["aws_vpc", "gcp_vpc"]
)", "t.toml");
  ASSERT_TRUE(s.ok()) << s.error().message;
  ASSERT_EQ(c.same_traffic.size(), 2u);
  EXPECT_EQ(c.same_traffic[0].name, "core");
  ASSERT_EQ(c.same_traffic[0].exporters.size(), 2u);
  EXPECT_TRUE(c.same_traffic[0].exporters[0].contains(*parse_ip("10.0.0.7")));
  EXPECT_EQ(c.same_traffic[0].tolerance, 30 * kSecond);
  EXPECT_EQ(c.same_traffic[1].sources, (std::vector<Source>{Source::aws_vpc, Source::gcp_vpc}));
  EXPECT_EQ(c.same_traffic[1].tolerance, limits::kSameTrafficTolerance);

  for (const auto& [text, message] : std::initializer_list<std::pair<const char*, const char*>>{
           {"[[same-traffic]]\nexporters = [\"10.0.0.1\"]\n", "'name' is missing"},
           {"[[same-traffic]]\nname = \"a\"\n", "'exporters' or 'sources' are missing"},
           {"[[same-traffic]]\nname = \"a\"\nexporters = [\"10.0.0.300\"]\n", "t.toml:3"},
           {"[[same-traffic]]\nname = \"a\"\nsources = [\"netflow5\"]\n", "do not tell who reports"},
           {"[[same-traffic]]\nname = \"a\"\nsources = [\"nope\"]\n", "there is no source: 'nope'"},
           {"[[same-traffic]]\nname = \"a\"\nsources = [\"aws_vpc\"]\ntolerance = \"2h\"\n", "up to 1h"},
           {"[[same-traffic]]\nname = \"a\"\nsources = [\"aws_vpc\"]\nwithin = \"2h\"\n", "no setting 'within'"},
           {"same-traffic = 3\n", "[[same-traffic]]"}}) {
    Config other;
    const Status status = load_config_text(other, text, "t.toml");
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_NE(status.error().message.find(message), std::string::npos) << status.error().message;
  }
  // At the bound, and one past it.
  for (const size_t groups : {limits::kSameTrafficGroupsMax, limits::kSameTrafficGroupsMax + 1}) {
    std::string text;
    for (size_t i = 0; i < groups; ++i) text += "[[same-traffic]]\nname = \"g\"\nexporters = [\"10.0.0.1\"]\n";
    Config many;
    EXPECT_EQ(load_config_text(many, text, "t.toml").ok(), groups <= limits::kSameTrafficGroupsMax);
  }
}

}  // namespace
}  // namespace sluice::server
