// Metrics: the server's own counters, and a writer of the Prometheus text format (version 0.0.4).
//
// Labels are closed sets (route, status, source, exporter); never anything of a flow.
// Thread rule: counters are counted from any thread. A MetricsText belongs to one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::server {

class MetricsText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  // Begins a family; its samples follow. `type`: counter, gauge or histogram.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(double value, Labels labels = {}, std::string_view suffix = "");
  // A family of one sample.
  void counter(std::string_view name, std::string_view help, double value);
  void gauge(std::string_view name, std::string_view help, double value);
  std::string take() { return std::move(text_); }

 private:
  std::string text_, name_;
};

// Durations in seconds, in buckets from 1 ms to 60 s.
class Histogram {
 public:
  static constexpr std::array<double, 12> kBounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10, 60};
  void observe_ns(int64_t ns);
  void write(MetricsText& out, std::string_view name, std::string_view help) const;

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<uint64_t> sum_ns_{0};
};

// What server/ itself counts; the rooms below bring their own Stats.
struct Metrics {
  void count_request(std::string_view route, int status);
  struct IngestCounts {
    uint64_t bodies = 0, bytes = 0, accepted = 0, rejected = 0, duplicates = 0, no_data = 0, skipped_data = 0, failed = 0;
    bool operator==(const IngestCounts&) const = default;
  };
  void count_ingest(std::string_view source, const IngestCounts& counts);
  std::map<std::string, IngestCounts, std::less<>> ingest() const;
  // What bodies of a source were taken with all the same; the last is kept, since the start.
  struct IngestWarning {
    std::string text;
    int64_t at = 0;  // TimestampNs
    uint64_t bodies = 0;
  };
  void note_warning(std::string_view source, std::string text, int64_t at);
  std::map<std::string, IngestWarning, std::less<>> warnings() const;
  void write(MetricsText& out) const;

  Histogram query_seconds, http_seconds;
  std::atomic<uint64_t> queries{0}, query_errors{0}, queries_cancelled{0}, queries_refused{0}, query_rows_scanned{0}, query_bytes_read{0};
  std::atomic<uint64_t> ingest_refused_full{0}, ingest_not_built{0}, response_bytes{0};
  std::atomic<int64_t> ingest_since{0};  // TimestampNs; from when on ingest() counts, see source_totals.h

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  std::map<std::string, IngestCounts, std::less<>> ingest_;
  std::map<std::string, IngestWarning, std::less<>> warnings_;
};

}  // namespace sluice::server
