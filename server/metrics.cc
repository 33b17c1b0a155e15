#include "server/metrics.h"

#include <charconv>
#include <cmath>

namespace sluice::server {

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void MetricsText::sample(double value, Labels labels, std::string_view suffix) {
  text_.append(name_).append(suffix);
  if (labels.size() > 0) {
    char before = '{';
    for (const auto& [key, label] : labels) {
      text_ += before;
      text_.append(key).append("=\"");
      for (char c : label) {
        if (c == '\\' || c == '"') text_ += '\\';
        if (c == '\n')
          text_ += "\\n";
        else
          text_ += c;
      }
      text_ += '"';
      before = ',';
    }
    text_ += '}';
  }
  char number[32];
  // Counts are exact up to 2^53, as Prometheus keeps them.
  const bool is_whole = std::abs(value) < 9e15 && value == std::trunc(value);
  const auto end = is_whole ? std::to_chars(number, number + sizeof number, static_cast<int64_t>(value)).ptr
                            : std::to_chars(number, number + sizeof number, value).ptr;
  text_ += ' ';
  if (std::isnan(value))
    text_ += "NaN";
  else
    text_.append(number, end);
  text_ += '\n';
}

void MetricsText::counter(std::string_view name, std::string_view help, double value) {
  family(name, "counter", help);
  sample(value);
}
void MetricsText::gauge(std::string_view name, std::string_view help, double value) {
  family(name, "gauge", help);
  sample(value);
}

void Histogram::observe_ns(int64_t ns) {
  const double seconds = static_cast<double>(ns) / 1e9;
  size_t i = 0;
  while (i < kBounds.size() && seconds > kBounds[i]) ++i;
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(static_cast<uint64_t>(ns < 0 ? 0 : ns), std::memory_order_relaxed);
}

void Histogram::write(MetricsText& out, std::string_view name, std::string_view help) const {
  out.family(name, "histogram", help);
  uint64_t total = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    total += counts_[i].load(std::memory_order_relaxed);
    char bound[32];
    const auto end = std::to_chars(bound, bound + sizeof bound, kBounds[i]).ptr;
    out.sample(static_cast<double>(total), {{"le", std::string_view(bound, static_cast<size_t>(end - bound))}}, "_bucket");
  }
  total += counts_[kBounds.size()].load(std::memory_order_relaxed);
  out.sample(static_cast<double>(total), {{"le", "+Inf"}}, "_bucket");
  out.sample(static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9, {}, "_sum");
  out.sample(static_cast<double>(total), {}, "_count");
}

void Metrics::count_request(std::string_view route, int status) {
  std::lock_guard lock(mutex_);
  ++requests_[{std::string(route), status}];
}

void Metrics::count_ingest(std::string_view source, const IngestCounts& counts) {
  std::lock_guard lock(mutex_);
  IngestCounts& sum = ingest_[std::string(source)];
  sum.bodies += counts.bodies;
  sum.bytes += counts.bytes;
  sum.accepted += counts.accepted;
  sum.rejected += counts.rejected;
  sum.duplicates += counts.duplicates;
  sum.no_data += counts.no_data;
  sum.skipped_data += counts.skipped_data;
  sum.failed += counts.failed;
}

std::map<std::string, Metrics::IngestCounts, std::less<>> Metrics::ingest() const {
  std::lock_guard lock(mutex_);
  return ingest_;
}

void Metrics::note_warning(std::string_view source, std::string text, int64_t at) {
  std::lock_guard lock(mutex_);
  IngestWarning& last = warnings_[std::string(source)];
  last.text = std::move(text);
  last.at = at;
  ++last.bodies;
}

std::map<std::string, Metrics::IngestWarning, std::less<>> Metrics::warnings() const {
  std::lock_guard lock(mutex_);
  return warnings_;
}

void Metrics::write(MetricsText& out) const {
  std::map<std::pair<std::string, int>, uint64_t> requests;
  std::map<std::string, IngestCounts, std::less<>> ingest;
  {
    std::lock_guard lock(mutex_);
    requests = requests_;
    ingest = ingest_;
  }
  out.family("sluice_http_requests_total", "counter", "HTTP requests answered, by route and status");
  for (const auto& [key, count] : requests)
    out.sample(static_cast<double>(count), {{"route", key.first}, {"status", std::to_string(key.second)}});
  out.counter("sluice_http_response_bytes_total", "Bytes of HTTP answers", static_cast<double>(response_bytes.load()));
  http_seconds.write(out, "sluice_http_request_seconds", "Time from a request's last byte to its answer");

  const auto by_source = [&](std::string_view name, std::string_view help, uint64_t IngestCounts::*member) {
    out.family(name, "counter", help);
    for (const auto& [source, counts] : ingest) out.sample(static_cast<double>(counts.*member), {{"source", source}});
  };
  by_source("sluice_ingest_bodies_total", "Bodies taken by POST /v1/ingest", &IngestCounts::bodies);
  by_source("sluice_ingest_bytes_total", "Their bytes as sent", &IngestCounts::bytes);
  by_source("sluice_ingest_accepted_total", "Flows accepted and durable", &IngestCounts::accepted);
  by_source("sluice_ingest_rejected_total", "Records that could not be read", &IngestCounts::rejected);
  by_source("sluice_ingest_duplicates_total", "Bodies whose object was ingested before", &IngestCounts::duplicates);
  by_source("sluice_ingest_no_data_total", "Records that say that there was no traffic", &IngestCounts::no_data);
  by_source("sluice_ingest_skipped_data_total", "Records that say that the source lost data", &IngestCounts::skipped_data);
  out.family("sluice_ingest_warned_total", "counter", "Bodies that were taken with a warning, such as a header that names a column nobody knows, since the start");
  for (const auto& [source, warning] : warnings()) out.sample(static_cast<double>(warning.bodies), {{"source", source}});
  by_source("sluice_ingest_failed_total", "Bodies answered with an error", &IngestCounts::failed);
  out.counter("sluice_ingest_refused_full_total", "Bodies refused with 503 because a bound was met", static_cast<double>(ingest_refused_full.load()));
  out.counter("sluice_ingest_not_built_total", "Bodies and objects of a kind that this build does not read (Parquet without Apache Arrow)",
              static_cast<double>(ingest_not_built.load()));

  out.counter("sluice_queries_total", "Queries run", static_cast<double>(queries.load()));
  out.counter("sluice_query_errors_total", "Queries that ended with an error", static_cast<double>(query_errors.load()));
  out.counter("sluice_queries_cancelled_total", "Queries cancelled by a request or a client that went away", static_cast<double>(queries_cancelled.load()));
  out.counter("sluice_queries_refused_total", "Queries refused because too many ran and waited", static_cast<double>(queries_refused.load()));
  out.counter("sluice_query_rows_scanned_total", "Rows that queries looked at", static_cast<double>(query_rows_scanned.load()));
  out.counter("sluice_query_bytes_read_total", "Bytes that queries read: of segments encoded, of rows that are not sealed yet as they lie in memory", static_cast<double>(query_bytes_read.load()));
  query_seconds.write(out, "sluice_query_seconds", "Duration of queries");
}

}  // namespace sluice::server
