#include "client/repl/chart.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "client/repl/limits.h"
#include "client/repl/table.h"

namespace sluice::client {
namespace {

constexpr const char* kLevels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr int64_t kDayMs = 86'400'000;

// Cells of the plot with the highest value of their bins.
std::vector<std::optional<double>> cells_of(const TimeChart& chart, const ChartSeries& series, size_t bins, size_t cells) {
  std::vector<std::optional<double>> out(cells);
  for (const ChartPoint& p : series.points) {
    if (p.at_ms < chart.from_ms || p.at_ms > chart.to_ms || std::isnan(p.value)) continue;
    const size_t bin = chart.every_ms > 0 ? static_cast<size_t>((p.at_ms - chart.from_ms) / chart.every_ms) : 0;
    const size_t from = bin * cells / bins, to = std::max(from + 1, (bin + 1) * cells / bins);
    for (size_t c = from; c < to && c < cells; ++c) out[c] = out[c] ? std::max(*out[c], p.value) : p.value;
  }
  return out;
}

struct Scale {
  double low = 0, high = 0;
};

Scale scale_of(const std::vector<std::optional<double>>& values) {
  Scale s;
  bool any = false;
  for (const auto& v : values) {
    if (!v) continue;
    s.high = any ? std::max(s.high, *v) : *v;
    s.low = std::min(s.low, *v);
    any = true;
  }
  s.high = std::max(s.high, 0.0);
  return s;
}

// In eighths of `lines` lines; what is there at all is seen.
size_t level_of(double value, const Scale& scale, size_t lines) {
  if (scale.high <= scale.low) return value > 0 ? 8 * lines : 0;
  const double share = std::clamp((value - scale.low) / (scale.high - scale.low), 0.0, 1.0);
  const auto level = static_cast<size_t>(std::lround(share * 8 * static_cast<double>(lines)));
  return level == 0 && value > scale.low ? 1 : level;
}

std::string day_text(int64_t ms) {
  const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(ms)))};
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02u", static_cast<int>(day.year()), static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
  return buffer;
}

std::string clock_text(int64_t ms, bool seconds) {
  const int64_t s = ((ms % kDayMs) + kDayMs) % kDayMs / 1000;
  char buffer[32];
  if (seconds)
    std::snprintf(buffer, sizeof buffer, "%02d:%02d:%02d", static_cast<int>(s / 3600), static_cast<int>(s / 60 % 60), static_cast<int>(s % 60));
  else
    std::snprintf(buffer, sizeof buffer, "%02d:%02d", static_cast<int>(s / 3600), static_cast<int>(s / 60 % 60));
  return buffer;
}

std::string every_text(int64_t ms) {
  const std::pair<int64_t, const char*> units[] = {{kDayMs, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1000, "s"}, {1, "ms"}};
  for (const auto& [unit, name] : units)
    if (ms % unit == 0) return std::to_string(ms / unit) + name;
  return {};
}

// Times below a plot of so many cells, each where its bin begins, none into another.
std::string time_axis(const TimeChart& chart, size_t cells) {
  const int64_t span = chart.to_ms - chart.from_ms + chart.every_ms;
  const bool days = span >= 3 * kDayMs, seconds = span < 600'000;
  std::string out;
  size_t used = 0;
  std::string day_said;
  for (size_t part = 0; part < 5; ++part) {
    const size_t cell = cells * part / 5;
    int64_t at = chart.from_ms + (span > 0 ? static_cast<int64_t>(static_cast<double>(span) * static_cast<double>(cell) / static_cast<double>(cells)) : 0);
    if (chart.every_ms > 0) at = chart.from_ms + (at - chart.from_ms) / chart.every_ms * chart.every_ms;
    const std::string day = day_text(at);
    std::string label = days ? day : clock_text(at, seconds);
    // The year once, so that a later day's label has room.
    if (!days && day != day_said) label = (day_said.starts_with(day.substr(0, 5)) ? day.substr(5) : day) + " " + label;
    if ((part > 0 && cell < used + 2) || cell + label.size() > cells) {
      if (part > 0) continue;
      label = label.substr(0, cells);
    }
    day_said = day;
    out.append(cell - used, ' ');
    out += label;
    used = cell + label.size();
  }
  return out;
}

std::string padded(std::string_view text, size_t width, bool right) {
  const size_t cells = display_width(text), gap = width > cells ? width - cells : 0;
  return right ? std::string(gap, ' ') + std::string(text) : std::string(text) + std::string(gap, ' ');
}

}  // namespace

std::string bar_of(double share, size_t cells) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<size_t>(std::lround((std::isnan(share) ? 0 : std::clamp(share, 0.0, 1.0)) * 8 * static_cast<double>(cells)));
  std::string out;
  for (size_t i = 0; i < eighths / 8; ++i) out += "█";
  return out + kEighths[eighths % 8];
}

std::string sparkline(const std::vector<std::optional<double>>& values) {
  const Scale scale = scale_of(values);
  std::string out;
  for (const auto& v : values) out += v ? kLevels[std::max<size_t>(1, level_of(*v, scale, 1))] : " ";
  return out;
}

std::string draw_time_chart(const TimeChart& chart, size_t width, ValueText text) {
  if (chart.series.empty()) return {};
  width = std::max<size_t>(width, 20);
  const size_t bins = chart.every_ms > 0 ? static_cast<size_t>((chart.to_ms - chart.from_ms) / chart.every_ms) + 1 : 1;
  std::string foot = "times are UTC";
  if (chart.every_ms > 0) foot = "every " + every_text(chart.every_ms) + " · " + foot;
  std::string out = cut(chart.title, width) + "\n";
  size_t cells = 0;

  if (chart.series.size() == 1) {
    // Room for the scale is known once its texts are, and those depend on the cells only by which bins share one: not at the highest.
    Scale scale;
    for (const ChartPoint& p : chart.series[0].points)
      if (!std::isnan(p.value)) scale = {std::min(scale.low, p.value), std::max(scale.high, p.value)};
    const size_t lines = limits::kChartLines;
    const std::string top = text(scale.high), middle = text((scale.high + scale.low) / 2), bottom = text(scale.low);
    const size_t label = std::max({display_width(top), display_width(middle), display_width(bottom)});
    const size_t room = width > label + 4 ? width - label - 3 : 1;
    cells = bins < room ? bins * std::max<size_t>(1, std::min<size_t>(8, room / bins)) : room;
    const auto values = cells_of(chart, chart.series[0], bins, cells);
    for (size_t l = lines; l-- > 0;) {
      std::string line = padded(l + 1 == lines ? top : l == lines / 2 - 1 ? middle : l == 0 ? bottom : "", label, true) + (l + 1 == lines || l == lines / 2 - 1 || l == 0 ? " ┤" : " │");
      for (const auto& v : values) {
        const size_t level = v ? level_of(*v, scale, lines) : 0;
        line += kLevels[level <= 8 * l ? 0 : std::min<size_t>(8, level - 8 * l)];
      }
      while (line.ends_with(' ')) line.pop_back();
      out += line + "\n";
    }
    out += std::string(label, ' ') + " └";
    for (size_t i = 0; i < cells; ++i) out += "─";
    const size_t axis = std::max(cells, std::min<size_t>(room, 16));  // the first label wants its room even below a few bins
    out += "\n" + std::string(label + 2, ' ') + time_axis(chart, axis) + "\n";
  } else {
    struct Line {
      const ChartSeries* series;
      double sum = 0, highest = std::numeric_limits<double>::quiet_NaN(), last = std::numeric_limits<double>::quiet_NaN();
    };
    std::vector<Line> order;
    for (const ChartSeries& s : chart.series) {
      Line line{&s};
      for (const ChartPoint& p : s.points) {
        if (std::isnan(p.value)) continue;
        line.sum += p.value;
        line.highest = std::isnan(line.highest) ? p.value : std::max(line.highest, p.value);
        line.last = p.value;
      }
      order.push_back(line);
    }
    std::stable_sort(order.begin(), order.end(), [](const Line& a, const Line& b) { return a.sum > b.sum; });
    const size_t more = order.size() > limits::kChartSeries ? order.size() - limits::kChartSeries : 0;
    order.resize(order.size() - more);
    size_t name = 0, highest = 7, last = 4;
    const auto said = [&](double v) { return std::isnan(v) ? std::string("-") : text(v); };
    for (const Line& l : order) {
      name = std::max(name, display_width(l.series->name));
      highest = std::max(highest, display_width(said(l.highest)));
      last = std::max(last, display_width(said(l.last)));
    }
    const size_t beside = highest + last + 6;
    name = std::min(name, std::max<size_t>(8, (width - std::min(width, beside)) / 2));
    const size_t room = width > name + beside + 4 ? width - name - beside : 4;
    cells = bins < room ? bins * std::max<size_t>(1, std::min<size_t>(4, room / bins)) : room;
    cells = std::max<size_t>(cells, std::min<size_t>(room, 16));
    out += std::string(name + cells + 4, ' ') + padded("highest", highest, true) + "  " + padded("last", last, true) + "\n";
    for (const Line& l : order) {
      const auto values = cells_of(chart, *l.series, bins, cells);
      out += padded(cut(l.series->name, name), name, false) + "  " + sparkline(values) + "  " + padded(said(l.highest), highest, true) + "  " + padded(said(l.last), last, true) + "\n";
    }
    out += std::string(name + 2, ' ') + time_axis(chart, cells) + "\n";
    foot += " · each line to its own scale";
    if (more > 0) foot += " · " + std::to_string(more) + (more == 1 ? " smaller one not shown" : " smaller ones not shown");
  }
  if (bins > cells) foot += " · a column shows the highest of its bins";
  for (const std::string& line : wrapped_facts(foot, width)) out += line + "\n";
  return out;
}

std::optional<int64_t> time_of(std::string_view s) {
  const auto number = [&](size_t from, size_t count) -> int {
    int n = 0;
    for (size_t i = from; i < from + count; ++i) {
      if (i >= s.size() || s[i] < '0' || s[i] > '9') return -1;
      n = n * 10 + (s[i] - '0');
    }
    return n;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2), hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (s.size() < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s.back() != 'Z') return std::nullopt;
  if (year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return std::nullopt;
  int64_t ms = 0;
  if (s[19] == '.') {
    const std::string_view digits = s.substr(20, s.size() - 21);
    int64_t scale = 100;
    for (const char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      ms += (c - '0') * scale;
      scale /= 10;
    }
  } else if (s.size() != 20) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)), std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * kDayMs + ((hour * 60 + minute) * 60 + second) * int64_t{1000} + ms;
}

std::string short_number(double value) {
  if (value < 0) return "-" + short_number(-value);
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t u = 0;
  while (value >= 999.5 && u < 6) {
    value /= 1000;
    ++u;
  }
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.3g%s", value, kUnits[u]);
  return buffer;
}

}  // namespace sluice::client
