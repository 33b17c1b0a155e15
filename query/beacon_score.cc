#include "query/beacon_score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace sluice::query {
namespace {

constexpr size_t kBars = 24;
constexpr double kModeWidth = 0.05;      // of the highest bar: bars that near are of one height
constexpr int kBarsForModes = 11;        // fewer bars always have one or two heights
constexpr int kOutlierBars = 1;
constexpr int kBarsForDuration = 6;
constexpr double kIdealRun = 12;

double median(std::span<const double> sorted) {
  const size_t n = sorted.size();
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double median_deviation(std::span<const double> sorted, double middle) {
  std::vector<double> away;
  away.reserve(sorted.size());
  for (double v : sorted) away.push_back(std::fabs(v - middle));
  std::sort(away.begin(), away.end());
  return median(away);
}

double rounded(double v) { return std::round(v * 1'000) / 1'000; }

// 1 - |Bowley's skewness|: of quartiles that are the medians of the halves, the middle value being in neither.
double skew_score(std::span<const double> sorted) {
  const size_t n = sorted.size();
  if (n < 3) return 0;
  const double q1 = median(sorted.first(n / 2)), q2 = median(sorted), q3 = median(sorted.last(n / 2));
  const double spread = q3 - q1;
  if (spread < 10 || q2 == q1 || q2 == q3) return 1;
  return 1 - std::fabs((q1 + q3 - 2 * q2) / spread);
}

double regularity(std::span<const double> sorted, double mad_score_of_small) {
  const double middle = median(sorted);
  double mad_score = mad_score_of_small;
  if (middle >= 1) mad_score = std::max(0.0, (middle - median_deviation(sorted, middle)) / middle);
  return rounded((skew_score(sorted) + mad_score) / 2);
}

}  // namespace

BeaconScore beacon_score(std::span<const int64_t> times, std::vector<double>& bytes, int64_t first, int64_t last) {
  BeaconScore out;
  if (times.size() < 4 || bytes.size() < 3) return out;
  std::vector<double> intervals;
  for (size_t i = 1; i < times.size(); ++i)
    if (times[i] > times[i - 1]) intervals.push_back(static_cast<double>(times[i] - times[i - 1]));
  if (intervals.size() < 3) return out;
  std::sort(intervals.begin(), intervals.end());
  out.period_s = median(intervals);
  out.jitter_s = median_deviation(intervals, out.period_s);
  out.times = regularity(intervals, 1);
  std::sort(bytes.begin(), bytes.end());
  out.sizes = regularity(bytes, 0);

  std::array<int, kBars> bars{};
  const double width = static_cast<double>(last - first) / kBars;
  for (int64_t t : times) {
    const double at = static_cast<double>(t - first) / width;
    ++bars[static_cast<size_t>(std::clamp(at, 0.0, static_cast<double>(kBars - 1)))];
  }
  int filled = 0, highest = 0, run = 0, longest = 0;
  double total = 0;
  for (int b : bars) {
    filled += b > 0;
    highest = std::max(highest, b);
    total += b;
  }
  for (size_t i = 0; i < 2 * kBars; ++i) {  // round the end to the beginning
    run = bars[i % kBars] > 0 ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  longest = std::min<int>(longest, kBars);

  const double mean = total / kBars;
  double variance = 0;
  for (int b : bars) variance += (b - mean) * (b - mean);
  const double variation = std::sqrt(variance / kBars) / mean;
  const double even = variation > 1 ? 0 : rounded(1 - variation);
  double modes = 0;
  if (filled >= kBarsForModes) {
    const double step = std::ceil(highest * kModeWidth);
    std::map<int64_t, int> heights;
    for (int b : bars)
      if (b > 0) ++heights[static_cast<int64_t>(std::floor(b / step))];
    int most = 0, next = 0;
    for (const auto& [height, count] : heights) {
      if (count > most)
        next = most, most = count;
      else
        next = std::max(next, count);
    }
    modes = std::min(1.0, rounded(static_cast<double>(most + next) / std::max(1, filled - kOutlierBars)));
  }
  out.histogram = std::max(even, modes);
  if (filled >= kBarsForDuration) {
    const auto up = [](double v) { return std::min(1.0, std::ceil(v * 1'000) / 1'000); };
    out.duration = std::max(up(static_cast<double>(times.back() - times.front()) / static_cast<double>(last - first)), up(longest / kIdealRun));
  }
  out.score = rounded((out.times + out.sizes + out.histogram + out.duration) / 4);
  return out;
}

}  // namespace sluice::query
