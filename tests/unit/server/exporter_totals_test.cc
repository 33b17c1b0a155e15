#include "server/exporter_totals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "server/limits.h"

namespace sluice::server {
namespace {

using ingest::ExporterStats;

struct ExporterTotalsTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-exporters-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
    begin();
  }
  void TearDown() override {
    totals.reset();
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  // A new life of the server.
  void begin() {
    heard.clear();
    totals = std::make_unique<ExporterTotals>(*catalog, clock);
    const auto unreadable = totals->load();
    ASSERT_TRUE(unreadable.ok());
    left_out = *unreadable;
    totals->watch([this] { return heard; });
  }
  ExporterStats exporter(const char* ip, uint64_t packets, uint64_t lost = 0) const {
    ExporterStats e;
    e.ip = e.sender = *parse_ip(ip);
    e.port = 4000;
    e.first_seen = e.last_seen = clock.now();
    e.formats = {Source::netflow9};
    e.domains = {7};
    e.packets = packets;
    e.flows = 10 * packets;
    e.lost = lost;
    e.lost_unit = "packets";
    e.templates = 2;
    e.sampling_known = true;
    e.sampling = {{3, true, 100, 0}};
    return e;
  }

  std::string directory;
  ManualClock clock{1'000 * kDay};
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<ExporterTotals> totals;
  std::vector<ExporterStats> heard;
  size_t left_out = 0;
};

TEST_F(ExporterTotalsTest, StayInSightAndGoOn) {
  const TimestampNs first = clock.now();
  heard = {exporter("10.0.0.1", 5, 2), exporter("10.0.0.2", 1)};
  heard.push_back(exporter("10.0.0.3", 9));
  heard.back().session = 1;  // of a stream: ends with it
  EXPECT_EQ(totals->all().size(), 3u);
  ASSERT_TRUE(totals->save().ok());

  clock.advance(kHour);
  begin();
  auto all = totals->all();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].ip, *parse_ip("10.0.0.1"));
  EXPECT_EQ(all[0].packets, 5u);
  EXPECT_EQ(all[0].lost, 2u);
  EXPECT_EQ(all[0].lost_unit, "packets");
  EXPECT_EQ(all[0].last_seen, first);
  EXPECT_EQ(all[0].formats, std::vector<Source>{Source::netflow9});
  EXPECT_EQ(all[0].domains, std::vector<uint32_t>{7});
  EXPECT_TRUE(all[0].sampling_known);
  ASSERT_EQ(all[0].sampling.size(), 1u);
  EXPECT_EQ(all[0].sampling[0].rate, 100u);

  heard = {exporter("10.0.0.1", 3, 1)};
  heard[0].formats = {Source::ipfix};
  all = totals->all();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].packets, 8u);
  EXPECT_EQ(all[0].flows, 80u);
  EXPECT_EQ(all[0].lost, 3u);
  EXPECT_EQ(all[0].first_seen, first);
  EXPECT_EQ(all[0].last_seen, first + kHour);
  EXPECT_EQ(all[0].formats, (std::vector<Source>{Source::ipfix, Source::netflow9}));
  EXPECT_EQ(all[1].last_seen, first);
  // Asked twice is counted once; what a decoder forgot and heard anew is not lost.
  EXPECT_EQ(totals->all()[0].packets, 8u);
  heard[0].packets = 1;
  heard[0].flows = 10;
  EXPECT_EQ(totals->all()[0].packets, 9u);
  EXPECT_EQ(totals->all()[0].flows, 90u);

  // The last look at a proper stop.
  heard[0].packets = 2;
  totals->watch({});
  heard.clear();
  ASSERT_TRUE(totals->save().ok());
  begin();
  EXPECT_EQ(totals->all()[0].packets, 10u);
}

TEST_F(ExporterTotalsTest, TellsApartWhatOneAddressSends) {
  // NetFlow and sFlow of one switch, and two exporters behind one address that only their ports tell apart.
  heard = {exporter("10.0.0.1", 5), exporter("10.0.0.1", 3), exporter("10.0.0.2", 7), exporter("10.0.0.2", 2)};
  heard[1].is_agent = true;
  heard[2].own_port = 4'001;
  heard[3].own_port = 4'002;
  for (int life = 1; life <= 2; ++life) {
    uint64_t packets = 0;
    for (int look = 0; look < 3; ++look) {
      const auto all = totals->all();
      EXPECT_EQ(all.size(), 4u);
      packets = 0;
      for (const auto& e : all) packets += e.packets;
      EXPECT_EQ(packets, 17u * static_cast<uint64_t>(life)) << "counted once, however often it is looked at";
    }
    ASSERT_TRUE(totals->save().ok());
    const auto again = heard;
    begin();
    EXPECT_EQ(left_out, 0u);
    heard = again;
  }
}

TEST_F(ExporterTotalsTest, ListsThoseOfCapturesApart) {
  heard = {exporter("10.0.0.1", 5)};
  auto old = exporter("10.0.0.1", 3, 1);
  old.first_seen = old.last_seen = clock.now() - 300 * kDay;  // the capture is old, and was uploaded today
  old.session = 1;
  totals->add({old}, "upload");
  totals->add({old}, "upload");
  totals->add({old}, "feed pcaps");
  totals->add({ExporterStats{}}, "upload");
  for (int life = 1; life <= 2; ++life) {
    std::map<std::string, uint64_t> packets;
    for (const auto& e : totals->all()) packets[e.origin] += e.packets;
    EXPECT_EQ(packets, (std::map<std::string, uint64_t>{{"", 5}, {"upload", 6}, {"feed pcaps", 3}})) << life;
    for (const auto& e : totals->all())
      EXPECT_TRUE(e.origin.empty() || e.last_seen == old.last_seen);
    ASSERT_TRUE(totals->save().ok());
    begin();
    EXPECT_EQ(left_out, 0u);
  }
  clock.advance(limits::kExporterTotalsAge + 1);
  ASSERT_TRUE(totals->save().ok());
  EXPECT_TRUE(totals->all().empty());
}

TEST_F(ExporterTotalsTest, CapturesPushNobodyOut) {
  heard = {exporter("10.0.0.1", 5)};
  (void)totals->all();
  clock.advance(kHour);
  std::vector<ExporterStats> many;
  for (size_t i = 0; i < 2 * limits::kToldExportersMax; ++i) many.push_back(exporter(("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256)).c_str(), 1));
  totals->add(many, "upload");
  clock.advance(kSecond);
  totals->add({exporter("10.9.9.9", 1)}, "upload");
  const auto all = totals->all();
  EXPECT_EQ(all.size(), limits::kToldExportersMax + 1);
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const auto& e) { return e.origin.empty(); }), 1);
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const auto& e) { return e.ip == *parse_ip("10.9.9.9"); }), 1);
}

TEST_F(ExporterTotalsTest, ForgetsTheSilentAndTheManyAndWhatIsNotItsOwn) {
  heard = {exporter("10.0.0.1", 1)};
  ASSERT_TRUE(totals->save().ok());
  ASSERT_TRUE(catalog->put(catalog::Keyspace::settings, "exporter_totals/10.0.0.8 10.0.0.8", "{}", catalog::Sync::no).ok());
  clock.advance(limits::kExporterTotalsAge);
  begin();
  EXPECT_EQ(left_out, 1u);
  EXPECT_EQ(totals->all().size(), 1u);
  clock.advance(1);
  ASSERT_TRUE(totals->save().ok());
  EXPECT_TRUE(totals->all().empty());
  begin();
  EXPECT_EQ(left_out, 0u);
  EXPECT_TRUE(totals->all().empty());

  for (size_t i = 0; i <= limits::kExporterTotalsMax; ++i) {
    heard.push_back(exporter(("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256)).c_str(), 1));
    heard.back().last_seen += static_cast<int64_t>(i);
  }
  ASSERT_TRUE(totals->save().ok());
  begin();
  const auto all = totals->all();
  EXPECT_EQ(all.size(), limits::kExporterTotalsMax);
  EXPECT_TRUE(std::none_of(all.begin(), all.end(), [](const auto& e) { return e.ip == *parse_ip("10.1.0.0"); })) << "the one that was silent longest";
}

}  // namespace
}  // namespace sluice::server
