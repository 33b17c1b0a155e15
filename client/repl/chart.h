// Numbers as pictures of characters: bars, sparklines, and a chart of a series over time.
//
// Without colours, and in cells that every font for terminals has (U+2581 to U+258F). Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

// A share from 0 to 1 as a bar of at most so many cells, to an eighth of a cell.
std::string bar_of(double share, size_t cells);

struct ChartPoint {
  int64_t at_ms = 0;  // since 1970, the beginning of the bin
  double value = 0;
};
struct ChartSeries {
  std::string name;  // printable; empty where there is only one
  std::vector<ChartPoint> points;
};
struct TimeChart {
  std::string title;  // what the values are
  std::vector<ChartSeries> series;
  int64_t from_ms = 0, to_ms = 0;  // the beginnings of the first and of the last bin
  int64_t every_ms = 0;            // width of a bin; 0: there is only one
};

// How a value of the chart is written: bytes as kB, durations as such, others as 12.3k.
using ValueText = std::string (*)(double);

// One series: a chart of some lines with its scale on the left and times below. Several: a line each, name, sparkline, highest and last
// value, each to its own scale, the greatest sum first. Where there are more bins than cells, a cell shows the highest of its bins, and a line says so.
// REQUIRES: from_ms <= to_ms
std::string draw_time_chart(const TimeChart& chart, size_t width, ValueText text);

// Values as cells from the lowest (0, or the lowest below 0) to the highest; a blank where there is none.
std::string sparkline(const std::vector<std::optional<double>>& values);

// "2026-11-20T08:14:01.5Z" as milliseconds since 1970; nullopt for what is no such time. Digits below a millisecond are dropped.
std::optional<int64_t> time_of(std::string_view rfc3339);

// 12.3k, 4.56M; whole numbers below a thousand as they are.
std::string short_number(double value);

}  // namespace sluice::client
