#include "server/ingest_service.h"

#include <algorithm>

#include "ingest/receive/digest.h"
#include "ingest/receive/inflate.h"
#include "ingest/receive/limits.h"
#include "ingest/source/packet_body.h"
#include "server/body_verdict.h"
#include "server/log.h"
#include "server/message_bodies.h"
#include "server/scattered_append.h"
#include "storage/catalog/catalog.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"
#include "storage/store/rows.h"

namespace sluice::server {
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
  // Nothing is in it, whatever the source: no error, and no record.
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return ingest::DecodeReport{};
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
  uint64_t unreadable = 0;
  auto outcome = take_counted(body, unreadable);
  count(body.source, bytes, outcome);
  if (unreadable > 0) count_refused(body.source, unreadable);
  return outcome;
}

Result<IngestOutcome> IngestService::take_messages(IngestMessages messages, BodyMemory& memory) {
  const size_t bytes = messages.bytes.size();
  auto outcome = take_messages_counted(messages, memory);
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
    note_warnings(metrics_, source, outcome->report, clock_.now());
  } else {
    counts.failed = 1;
    if (outcome.error().code == ErrorCode::full) ++metrics_.ingest_refused_full;
    if (outcome.error().code == ErrorCode::not_built) ++metrics_.ingest_not_built;
  }
  // Hostile names must not become labels.
  metrics_.count_ingest(is_known_source(source) ? source : "unknown", counts);
}

void IngestService::count_refused(std::string_view source, uint64_t records) {
  Metrics::IngestCounts counts;
  counts.rejected = records;
  metrics_.count_ingest(is_known_source(source) ? source : "unknown", counts);
}

void IngestService::note_skipped(const std::string& source, const IngestOutcome& outcome) {
  const auto& report = outcome.report;
  if (outcome.duplicate || report.skipped_data == 0 || report.skipped_range.empty()) return;
  Loss loss{source, "the source says that it skipped data", "records", report.skipped_data, report.skipped_range, {}, {}};
  loss.set_records_of(source);
  losses_.add("skip/" + source + "/" + std::to_string(report.skipped_range.from / kMinute), loss);
}

ingest::FlowSink IngestService::collect(std::vector<std::shared_ptr<const Batch>>& batches, BodyMemory& memory) {
  return [&](Batch&& batch) -> Status {
    mark_duplicates(batch);
    SLUICE_TRY(memory.take(batch.byte_size()));
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
}

Result<store::AppendResult> IngestService::append(const std::vector<std::shared_ptr<const Batch>>& batches, const store::AppendOptions& options,
                                                  std::string_view content) {
  auto appended = store_.append_shared(batches, options);
  if (appended.ok() || appended.error().code != ErrorCode::too_large || !store::may_be_scattered(batches, store_.partition_width())) return appended;
  std::vector<std::string> keys;
  const AppendRows append_rows = [&](std::span<const std::shared_ptr<const Batch>> rows, const store::AppendOptions& with) {
    if (!with.object_key.empty()) keys.push_back(with.object_key);
    return store_.append_shared(rows, with);
  };
  if (!options.object_key.empty()) return append_scattered(batches, options, options.object_key, store_.partition_width(), append_rows);
  // A body without an id: while it is not whole, its content names it, so that its sender's next try completes it. Once it is whole,
  // the keys go, because the same body sent again is another one. One at a time, or two that are equal would be taken for one.
  std::lock_guard lock(scattered_);
  SLUICE_ASSIGN(const auto whole, append_scattered(batches, options, "content/" + ingest::hex(ingest::sha256(content)), store_.partition_width(), append_rows));
  catalog::Write forget;
  for (std::string& key : keys) forget.erase(catalog::Keyspace::objects, std::move(key));
  SLUICE_TRY(store_.catalog().commit(forget, catalog::Sync::no));
  return whole;
}

Result<IngestOutcome> IngestService::take_messages_counted(IngestMessages& messages, BodyMemory& memory) {
  if (!is_known_source(messages.source)) return Error{ErrorCode::not_found, "there is no source '" + messages.source.substr(0, 100) + "'"};
  std::vector<std::shared_ptr<const Batch>> batches;
  ingest::DecodeContext read_as = context(messages.format);
  read_as.memory = &memory;
  IngestOutcome outcome;
  outcome.report = std::move(messages.refused);
  const MessageBodies bodies{messages.source, messages.bytes, messages.ends, std::nullopt, {}};
  uint64_t text_bytes = 0;
  for (size_t next = 0; next < messages.ends.size();) {
    // Thousands of small messages may each unpack to the most that one may have: a minute of work, not hours of it.
    if (text_bytes > limits::kIngestInflatedBytesMax)
      return Error{ErrorCode::too_large, "the messages unpack to more than " + std::to_string(limits::kIngestInflatedBytesMax) + " bytes; send fewer at once"};
    SLUICE_ASSIGN(next, decode_messages(bodies, next, read_as, collect(batches, memory), outcome.report, nullptr, &text_bytes));
  }
  const auto& report = outcome.report;
  store::AppendOptions options;
  options.object_key = std::move(messages.object_key);
  if (auto none = nothing_recognized(report, messages.bytes)) {
    SLUICE_ASSIGN(outcome.duplicate, is_known(options.object_key));
    if (outcome.duplicate) return outcome;
    return *std::move(none);
  }
  if (!batches.empty() || !options.object_key.empty()) {
    SLUICE_ASSIGN(const store::AppendResult appended, append(batches, options, messages.bytes));
    outcome.duplicate = appended.duplicate;
    outcome.rows = appended.duplicate ? 0 : appended.rows;
  }
  note_skipped(messages.source, outcome);
  return outcome;
}

// What came before under a key may have been readable (another format was configured then).
Result<bool> IngestService::is_known(const std::string& object_key) const {
  if (object_key.empty()) return false;
  SLUICE_ASSIGN(const auto known, store_.catalog().get(catalog::Keyspace::objects, object_key));
  return known.has_value();
}

Result<IngestOutcome> IngestService::take_counted(IngestBody& body, uint64_t& unreadable) {
  if (!is_known_source(body.source)) return Error{ErrorCode::not_found, "there is no source '" + body.source.substr(0, 100) + "'"};
  if (body.object.size() > limits::kObjectKeyBytesMax)
    return Error{ErrorCode::invalid_argument, "X-Sluice-Object is longer than " + std::to_string(limits::kObjectKeyBytesMax) + " bytes"};

  SLUICE_ASSIGN(ingest::Compression compression, ingest::compression_of(body.content_encoding));
  if (compression == ingest::Compression::none && body.content_encoding.empty()) compression = ingest::detect_compression(body.bytes, false);
  BodyMemory memory(in_flight_, in_flight_max_, body.bytes.size());
  ingest::HeldMemory text(&memory);
  if (compression != ingest::Compression::none) {
    SLUICE_ASSIGN(body.bytes, ingest::inflate_to_string(body.bytes, compression, limits::kIngestInflatedBytesMax, text));
  }

  std::vector<std::shared_ptr<const Batch>> batches;
  ingest::DecodeContext read_as = context(body.format);
  read_as.memory = &memory;
  std::vector<ingest::ExporterStats> exporters;
  read_as.exporters = &exporters;
  IngestOutcome outcome;
  SLUICE_ASSIGN(outcome.report, decode_body(body.source, body.bytes, read_as, collect(batches, memory)));
  store::AppendOptions options;
  if (!body.object.empty()) options.object_key = bounded_object_key(body.source + '\n' + body.object);
  if (auto none = nothing_recognized(outcome.report, body.bytes)) {
    SLUICE_ASSIGN(outcome.duplicate, is_known(options.object_key));
    if (outcome.duplicate) return outcome;
    unreadable = outcome.report.rejected;
    return *std::move(none);
  }
  // Rows are made; the text need not wait for the disk, unless it may have to name them.
  if (!body.object.empty() || !store::may_be_scattered(batches, store_.partition_width())) std::string().swap(body.bytes);

  if (!batches.empty() || !options.object_key.empty()) {
    SLUICE_ASSIGN(const store::AppendResult appended, append(batches, options, body.bytes));
    outcome.duplicate = appended.duplicate;
    outcome.rows = appended.duplicate ? 0 : appended.rows;
  }
  if (!outcome.duplicate) tell_exporters(std::move(exporters), "upload");
  note_skipped(body.source, outcome);
  return outcome;
}

}  // namespace sluice::server
