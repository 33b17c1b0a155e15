// How much a pair's connections look like a program that calls home: RITA v5's score.
// Source: github.com/activecm/rita, analysis/beacons.go and default_config.hjson (v5), read as a formula.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/model/time.h"

namespace sluice::query {

struct BeaconScore {
  double score = 0;      // (times + sizes + histogram + duration) / 4, each from 0 to 1
  double times = 0;      // regularity of the intervals: (skew score + MAD score) / 2
  double sizes = 0;      // the same of the bytes
  double histogram = 0;  // evenness over 24 bars of the range: max(1 - CV, fit of two modes)
  double duration = 0;   // max(covered share of the range, longest run of bars / 12), from 6 bars on
  double period_s = 0;   // median of the intervals
  double jitter_s = 0;   // median absolute deviation of the intervals
};

// `times` are seconds since the epoch, ascending; `bytes` of the same connections in any order (it is sorted here). The
// score is zero where RITA computes none: fewer than 4 connections, or fewer than 3 intervals above zero.
// `first` and `last`: the range that the histogram covers, in seconds. REQUIRES: first < last
BeaconScore beacon_score(std::span<const int64_t> times, std::vector<double>& bytes, int64_t first, int64_t last);

}  // namespace sluice::query
