#include "client/repl/chart.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>

#include "client/repl/table.h"
#include "tests/unit/client/lines.h"

namespace sluice::client {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kStart = 1'763'596'800'000;  // 2025-11-20T00:00Z

class ChartTest : public ::testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_ALL, "C.UTF-8"); }
};

TimeChart hours(std::vector<std::pair<std::string, std::vector<double>>> series) {
  TimeChart chart{"b", {}, kStart, kStart, kHour};
  for (auto& [name, values] : series) {
    ChartSeries s{name, {}};
    for (size_t i = 0; i < values.size(); ++i) {
      s.points.push_back({kStart + static_cast<int64_t>(i) * kHour, values[i]});
      chart.to_ms = std::max(chart.to_ms, s.points.back().at_ms);
    }
    chart.series.push_back(std::move(s));
  }
  return chart;
}

TEST_F(ChartTest, Bars) {
  EXPECT_EQ(bar_of(1, 3), "███");
  EXPECT_EQ(bar_of(0.5, 3), "█▌");
  EXPECT_EQ(bar_of(0, 3), "");
  EXPECT_EQ(bar_of(7, 2), "██");
  EXPECT_EQ(bar_of(-1, 2), "");
  EXPECT_EQ(bar_of(std::nan(""), 2), "");
}

TEST_F(ChartTest, SparklinesShowWhatIsThereAtAll) {
  EXPECT_EQ(sparkline({0.0, 1.0, 500.0, 1000.0, std::nullopt, 1000.0}), "▁▁▄█ █");
  EXPECT_EQ(sparkline({0.0, 0.0}), "▁▁");
  EXPECT_EQ(sparkline({5.0, 5.0}), "██");
  EXPECT_EQ(sparkline({-4.0, 0.0, 4.0}), "▁▄█");
  EXPECT_EQ(sparkline({}), "");
}

TEST_F(ChartTest, OneSeriesHasItsScaleAndTimes) {
  const auto lines = lines_of(draw_time_chart(hours({{"", {0, 400, 800, 400}}}), 40, short_number));
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(lines[0], "b");
  EXPECT_EQ(lines[1], "800 ┤                ████████");
  EXPECT_EQ(lines[5], "400 ┤        ████████████████████████");
  EXPECT_EQ(lines[8], "  0 ┤        ████████████████████████");
  EXPECT_EQ(lines[9], "    └────────────────────────────────");
  EXPECT_EQ(lines[10], "     2025-11-20 00:00   02:00");
  EXPECT_EQ(lines[11], "every 1h · times are UTC");
}

TEST_F(ChartTest, ManyBinsShareAColumnWhichShowsTheHighest) {
  std::vector<double> values(1000, 1.0);
  values[777] = 100;
  const std::string drawn = draw_time_chart(hours({{"", values}}), 60, short_number);
  EXPECT_NE(drawn.find("█"), std::string::npos) << drawn;
  EXPECT_NE(drawn.find("a column shows the highest of its bins"), std::string::npos) << drawn;
  EXPECT_NE(lines_of(drawn)[1].find("█"), std::string::npos) << drawn;  // the one bin of 100 reaches the top
}

TEST_F(ChartTest, SeveralSeriesAreALineEachTheGreatestFirst) {
  const auto lines = lines_of(draw_time_chart(hours({{"udp", {1, 2, 1, 2}}, {"tcp", {1000, 2000, 0, 4000}}}), 60, short_number));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[1], "                       highest  last");
  EXPECT_EQ(lines[2], "tcp  ▂▂▂▂▄▄▄▄▁▁▁▁████       4k    4k");
  EXPECT_EQ(lines[3], "udp  ▄▄▄▄████▄▄▄▄████        2     2");
  EXPECT_NE(lines[5].find("each line to its own scale"), std::string::npos);
  std::vector<std::pair<std::string, std::vector<double>>> many;
  for (int i = 0; i < 25; ++i) many.push_back({"s" + std::to_string(i), {1.0 * i, 2.0 * i}});
  const std::string drawn = draw_time_chart(hours(many), 60, short_number);
  EXPECT_NE(drawn.find("s24"), std::string::npos);
  EXPECT_EQ(drawn.find("s4 "), std::string::npos);
  EXPECT_NE(drawn.find("5 smaller ones not shown"), std::string::npos) << drawn;
}

TEST_F(ChartTest, FitsEveryWidthAndTakesEveryValue) {
  const double odd[] = {0, -1, 1e300, -1e300, std::numeric_limits<double>::infinity(), std::nan(""), 5e-324};
  std::vector<double> values;
  for (const double v : odd)
    if (std::isfinite(v) || std::isnan(v)) values.push_back(v);
  for (size_t width = 1; width < 130; ++width)
    for (const bool several : {false, true}) {
      auto chart = several ? hours({{"a rather long name of a series that has to be cut", values}, {"b", {1}}}) : hours({{"", values}});
      for (const std::string& line : lines_of(draw_time_chart(chart, width, short_number))) EXPECT_LE(display_width(line), std::max<size_t>(width, several ? 40 : 30)) << line;
    }
  TimeChart one{"t", {{"", {{kStart, 5}}}}, kStart, kStart, 0};
  EXPECT_NE(draw_time_chart(one, 80, short_number).find("█"), std::string::npos);
  EXPECT_EQ(draw_time_chart({}, 80, short_number), "");
  // Points that are not in the range are left out.
  one.series[0].points.push_back({kStart - 1, 5});
  one.series[0].points.push_back({kStart + 1, 5});
  EXPECT_NE(draw_time_chart(one, 80, short_number), "");
}

TEST_F(ChartTest, ReadsTimes) {
  EXPECT_EQ(time_of("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(time_of("2025-11-20T00:00:00Z"), kStart);
  EXPECT_EQ(time_of("2025-11-20T00:00:00.25Z"), kStart + 250);
  EXPECT_EQ(time_of("2025-11-20T00:00:00.000000001Z"), kStart);
  for (const char* wrong : {"", "2025-11-20", "2025-13-20T00:00:00Z", "2025-02-30T00:00:00Z", "2025-11-20T24:00:00Z", "2025-11-20T00:00:00", "2025-11-20T00:00:00.x5Z", "2025-11-20T00:00:00xZ"})
    EXPECT_EQ(time_of(wrong), std::nullopt) << wrong;
}

TEST_F(ChartTest, ShortNumbers) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(999), "999");
  EXPECT_EQ(short_number(1000), "1k");
  EXPECT_EQ(short_number(12'345), "12.3k");
  EXPECT_EQ(short_number(-4'560'000), "-4.56M");
  EXPECT_EQ(short_number(999'600), "1M");
}

}  // namespace
}  // namespace sluice::client
