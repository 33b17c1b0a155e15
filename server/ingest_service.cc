#include "server/ingest_service.h"

#include <algorithm>

#include "ingest/receive/inflate.h"
#include "ingest/source/packet_body.h"
#include "server/log.h"
#include "server/message_bodies.h"
#include "storage/catalog/catalog.h"

namespace sluice::server {
namespace {

// Memory of one body, taken from the budget for bytes in flight as it grows and given back at the end.
class BodyMemory {
 public:
  BodyMemory(std::atomic<size_t>& in_flight, size_t max, size_t own) : in_flight_(in_flight), max_(max), own_(own) {}
  ~BodyMemory() { release(taken_); }
  BodyMemory(const BodyMemory&) = delete;

  // Errors: too_large when this body would not fit alone, full when others hold the budget.
  Status take(size_t bytes) {
    if (bytes > max_ || own_ + taken_ > max_ - bytes) return Error{ErrorCode::too_large, "the body takes too much memory once unpacked; split it"};
    size_t now = in_flight_.load();
    do {
      if (now > max_ - bytes) return Error{ErrorCode::full, "too many bytes of bodies are being ingested"};
    } while (!in_flight_.compare_exchange_weak(now, now + bytes));
    taken_ += bytes;
    return {};
  }
  void release(size_t bytes) {
    taken_ -= bytes;
    in_flight_ -= bytes;
  }

 private:
  std::atomic<size_t>& in_flight_;
  const size_t max_, own_;
  size_t taken_ = 0;
};

}  // namespace

bool is_known_source(std::string_view name) { return ingest::find_source(name) != nullptr; }

std::vector<std::string_view> source_names() {
  std::vector<std::string_view> names;
  for (const auto& source : ingest::sources()) names.push_back(source.name);
  return names;
}

bool is_packet_source(std::string_view name) {
  const ingest::SourceSpec* source = ingest::find_source(name);
  return is_known_source(name) && !(source && source->decode);
}

ingest::FeedFormat feed_format(std::string_view name) {
  const ingest::SourceSpec* source = ingest::find_source(name);
  return source && source->decode ? ingest::FeedFormat{source->splittable_lines, source->is_header} : ingest::FeedFormat{};
}

Result<ingest::DecodeReport> decode_body(std::string_view source, std::string_view body, const ingest::DecodeContext& context,
                                         const ingest::FlowSink& sink) {
  const ingest::SourceSpec* spec = ingest::find_source(source);
  return spec && spec->decode ? spec->decode(body, context, sink) : ingest::decode_packet_body(body, context, sink);
}

std::shared_ptr<void> IngestService::reserve(size_t bytes) {
  size_t now = in_flight_.load();
  do {
    if (now + bytes > in_flight_max_) return nullptr;
  } while (!in_flight_.compare_exchange_weak(now, now + bytes));
  return std::shared_ptr<void>(this, [this, bytes](void*) { in_flight_ -= bytes; });
}

Result<IngestOutcome> IngestService::take(IngestBody body) {
  const size_t bytes = body.bytes.size();
  auto outcome = take_counted(body);
  count(body.source, bytes, outcome);
  return outcome;
}

Result<IngestOutcome> IngestService::take_messages(IngestMessages messages) {
  const size_t bytes = messages.bytes.size();
  auto outcome = take_messages_counted(messages);
  count(messages.source, bytes, outcome);
  return outcome;
}

void IngestService::count(std::string_view source, size_t bytes, const Result<IngestOutcome>& outcome) {
  Metrics::IngestCounts counts;
  counts.bodies = 1;
  counts.bytes = bytes;
  if (outcome.ok()) {
    counts.accepted = outcome->rows;
    counts.duplicates = outcome->duplicate;
    if (!outcome->duplicate) {  // what its records say was counted when they came first
      counts.rejected = outcome->report.rejected;
      counts.no_data = outcome->report.no_data;
      counts.skipped_data = outcome->report.skipped_data;
    }
  } else {
    counts.failed = 1;
    if (outcome.error().code == ErrorCode::full) ++metrics_.ingest_refused_full;
    if (outcome.error().code == ErrorCode::not_built) ++metrics_.ingest_not_built;
  }
  // Hostile names must not become labels.
  metrics_.count_ingest(is_known_source(source) ? source : "unknown", counts);
}

void IngestService::note_skipped(const std::string& source, const IngestOutcome& outcome) {
  const auto& report = outcome.report;
  if (outcome.duplicate || report.skipped_data == 0 || report.skipped_range.empty()) return;
  Loss loss{source, "the source says that it skipped data", "records", report.skipped_data, report.skipped_range, {}, {}};
  loss.set_records_of(source);
  losses_.add("skip/" + source + "/" + std::to_string(report.skipped_range.from / kMinute), loss);
}

Result<IngestOutcome> IngestService::take_messages_counted(IngestMessages& messages) {
  if (!is_known_source(messages.source)) return Error{ErrorCode::not_found, "there is no source '" + messages.source.substr(0, 100) + "'"};
  BodyMemory memory(in_flight_, in_flight_max_, messages.bytes.size());
  std::vector<std::shared_ptr<const Batch>> batches;
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    mark_duplicates(batch);
    SLUICE_TRY(memory.take(batch.byte_size()));
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  const ingest::DecodeContext read_as = context(messages.format);
  IngestOutcome outcome;
  SLUICE_ASSIGN(outcome.report, decode_messages({messages.source, messages.bytes, messages.ends, std::nullopt, {}}, read_as, sink));
  std::string().swap(messages.bytes);
  const auto& report = outcome.report;
  store::AppendOptions options;
  options.object_key = std::move(messages.object_key);
  if (batches.empty() && report.rejected > 0 && report.no_data + report.skipped_data + report.ignored == 0) {
    // What came before under this key may have been readable (another format was configured then).
    if (!options.object_key.empty()) {
      SLUICE_ASSIGN(const auto known, store_.catalog().get(catalog::Keyspace::objects, options.object_key));
      outcome.duplicate = known.has_value();
      if (outcome.duplicate) return outcome;
    }
    return Error{ErrorCode::invalid_argument, "none of " + std::to_string(report.rejected) + " records can be read" +
                                                  (report.errors.empty() ? std::string() : "; the first: " + report.errors.front().reason)};
  }
  if (!batches.empty() || !options.object_key.empty()) {
    SLUICE_ASSIGN(const store::AppendResult appended, store_.append_shared(batches, options));
    outcome.duplicate = appended.duplicate;
    outcome.rows = appended.duplicate ? 0 : appended.rows;
  }
  note_skipped(messages.source, outcome);
  return outcome;
}

Result<IngestOutcome> IngestService::take_counted(IngestBody& body) {
  if (!is_known_source(body.source)) return Error{ErrorCode::not_found, "there is no source '" + body.source.substr(0, 100) + "'"};
  if (body.object.size() > limits::kObjectKeyBytesMax)
    return Error{ErrorCode::invalid_argument, "X-Sluice-Object is longer than " + std::to_string(limits::kObjectKeyBytesMax) + " bytes"};

  SLUICE_ASSIGN(ingest::Compression compression, ingest::compression_of(body.content_encoding));
  if (compression == ingest::Compression::none && body.content_encoding.empty()) compression = ingest::detect_compression(body.bytes, false);
  BodyMemory memory(in_flight_, in_flight_max_, body.bytes.size());
  size_t counted = 0;  // of the inflated text
  if (compression != ingest::Compression::none) {
    std::string plain;
    const ingest::InflateSink append = [&](std::string_view piece) -> Status {
      if (const size_t had = plain.capacity(); piece.size() > had - plain.size()) {
        const size_t wanted = std::max(had + had / 2, plain.size() + std::max<size_t>(piece.size(), 1u << 20));
        SLUICE_TRY(memory.take(wanted));  // both exist while the text is moved over
        plain.reserve(wanted);
        if (counted > 0) memory.release(counted);
        counted = wanted;
      }
      plain.append(piece);
      return {};
    };
    SLUICE_TRY(ingest::inflate(body.bytes, compression, append));
    body.bytes = std::move(plain);
  }

  std::vector<std::shared_ptr<const Batch>> batches;
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    mark_duplicates(batch);
    SLUICE_TRY(memory.take(batch.byte_size()));
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  const ingest::DecodeContext read_as = context(body.format);
  IngestOutcome outcome;
  SLUICE_ASSIGN(outcome.report, decode_body(body.source, body.bytes, read_as, sink));
  std::string().swap(body.bytes);  // rows are made; the text need not wait for the disk

  store::AppendOptions options;
  if (!body.object.empty()) options.object_key = body.source + '\n' + body.object;
  if (!batches.empty() || !options.object_key.empty()) {
    SLUICE_ASSIGN(const store::AppendResult appended, store_.append_shared(batches, options));
    outcome.duplicate = appended.duplicate;
    outcome.rows = appended.duplicate ? 0 : appended.rows;
  }
  note_skipped(body.source, outcome);
  return outcome;
}

}  // namespace sluice::server
