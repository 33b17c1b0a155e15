#include "server/exporter_book.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "server/limits.h"
#include "server/system_tables.h"
#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

using query::SamplingRule;

ExporterTable table(const char* address, std::string name, std::vector<InterfaceName> interfaces = {}) {
  ExporterTable t;
  t.override.exporter = *parse_prefix(address);
  t.name = std::move(name);
  t.interfaces = std::move(interfaces);
  return t;
}
IpAddress ip(const char* text) { return *parse_ip(text); }
std::string text(const std::string* s) { return s ? *s : "(none)"; }

TEST(ExporterBook, TheLongestPrefixNamesAndFilesBeatOptions) {
  ExporterBook book({table("10.0.0.0/8", "company", {{1, "wide", ""}, {3, "wide3", ""}}), table("10.1.0.0/16", "branch", {{1, "narrow", ""}}), table("10.1.2.3", "")}, nullptr);
  ASSERT_TRUE(book.load().ok());
  EXPECT_EQ(text(book.names()->interface_name(ip("10.1.2.3"), 2)), "(none)");
  int asked = 0;
  book.ask_told([] { return uint64_t{1}; },
                [&asked] {
                  ++asked;
                  return std::vector<ingest::ExporterName>{{ip("10.1.2.3"), ingest::NameKind::interface, 1, "told1", "long"},
                                                           {ip("10.1.2.3"), ingest::NameKind::interface, 2, "", "only described"},
                                                           {ip("10.1.2.3"), ingest::NameKind::vrf, 5, "a vrf", ""}};
                });
  const auto names = book.names();
  EXPECT_EQ(text(names->interface_name(ip("10.1.2.3"), 1)), "narrow");
  EXPECT_EQ(text(names->interface_name(ip("10.1.2.3"), 2)), "only described");
  EXPECT_EQ(text(names->interface_name(ip("10.1.2.3"), 3)), "wide3");
  EXPECT_EQ(text(names->interface_name(ip("10.1.2.3"), 5)), "(none)");
  EXPECT_EQ(text(names->interface_name(ip("11.0.0.1"), 1)), "(none)");
  EXPECT_EQ(text(names->exporter_name(ip("10.1.2.3"))), "branch");
  EXPECT_EQ(text(book.name_of(ip("10.9.9.9"))), "company");
  EXPECT_EQ(text(book.name_of(ip("192.0.2.1"))), "(none)");
  EXPECT_EQ(book.interfaces_table().rows, 5u);  // three of files, two told
  EXPECT_EQ(asked, 1);
}

TEST(ExporterBook, ExportersAreShownWithTheRatesThatAreConfigured) {
  ExporterTable wide = table("10.0.0.0/8", "company"), narrow = table("10.1.0.0/16", "branch");
  wide.override.rates = {{.rate = 1000}};
  narrow.override.rates = {{.rate = 100, .force = true}, {.domain = 2, .interface = 7, .rate = 10}, {.domain = 3, .rate = 5, .force = true}};
  const ExporterBook book({wide, narrow}, nullptr);
  std::vector<ingest::ExporterStats> exporters(3);
  exporters[0].ip = ip("10.9.9.9");
  exporters[1].ip = ip("10.1.2.3");
  exporters[2].ip = ip("192.0.2.1");
  const auto configured = [&](const Batch& shown, size_t row) {
    for (size_t c = 0; c < shown.columns.size(); ++c)
      if ((*shown.schema)[c].name == "sampling_configured") return list_items(shown.columns[c].string_at(row));
    return std::vector<std::string>{"no such column"};
  };
  const Batch shown = exporters_table(exporters, &book);
  ASSERT_EQ(shown.rows, 3u);
  EXPECT_EQ(configured(shown, 0), std::vector<std::string>{"1000 where none is told"});
  EXPECT_EQ(configured(shown, 1), (std::vector<std::string>{"100", "10 of interface 7 in domain 2 where none is told", "5 of domain 3"}));
  EXPECT_EQ(configured(shown, 2), std::vector<std::string>{});
  EXPECT_EQ(configured(exporters_table(exporters), 1), std::vector<std::string>{});
}

TEST(ExporterBook, CorrectionsAreKeptInOrder) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("sluice_book_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  ExporterTable configured = table("10.0.0.0/8", "x");
  configured.corrections = {{.exporter = *parse_prefix("10.0.0.0/8"), .rate = 2}};
  const SamplingRule first{*parse_prefix("10.1.0.0/16"), 7, std::nullopt, {10, 20}, 100, true};
  const SamplingRule second{*parse_prefix("2001:db8::/32"), std::nullopt, 4'000'000'000, {kTimestampMin, kTimestampMax}, 3, false};
  {
    auto catalog = catalog::Catalog::open(folder);
    ASSERT_TRUE(catalog.ok());
    ExporterBook book({configured}, catalog->get());
    ASSERT_TRUE(book.load().ok());
    EXPECT_EQ(*book.add_rule(first, "the old router", 5), 1u);
    const auto before = book.sampling_rules();
    EXPECT_EQ(*book.add_rule(second, "", 6), 2u);
    EXPECT_EQ(before->size(), 2u);  // what a query holds does not change
    EXPECT_EQ(*book.add_rule(second, "", 7), 3u);
    EXPECT_TRUE(book.remove_rule(3).ok());
    EXPECT_EQ(book.remove_rule(3).error().code, ErrorCode::not_found);
    ASSERT_TRUE((*catalog)->put(catalog::Keyspace::settings, "sampling-rule/00000000000000000009", "{\"rate\":", catalog::Sync::no).ok());
  }
  {
    auto catalog = catalog::Catalog::open(folder);
    ASSERT_TRUE(catalog.ok());
    ExporterBook book({configured}, catalog->get());
    ASSERT_TRUE(book.load().ok());  // what cannot be read is left out
    EXPECT_EQ(*book.sampling_rules(), (query::SamplingRules{configured.corrections[0], first, second}));
    const auto rules = book.rules();
    ASSERT_EQ(rules.size(), 3u);
    EXPECT_EQ(rules[0].id, 0u);
    EXPECT_EQ(rules[1].comment, "the old router");
    EXPECT_EQ(rules[1].created_at, 5);
    EXPECT_EQ(book.rules_table().rows, 3u);
    for (size_t i = rules.size(); i < limits::kSamplingRulesMax; ++i) ASSERT_TRUE(book.add_rule(second, "", 1).ok());
    EXPECT_EQ(book.add_rule(second, "", 1).error().code, ErrorCode::too_large);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice::server
