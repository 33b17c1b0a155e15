#include "server/ingest_service.h"

#include <algorithm>

#include "ingest/receive/inflate.h"
#include "ingest/source/packet_body.h"
#include "server/log.h"

namespace sluice::server {
namespace {

// Any of NetFlow and IPFIX, told apart by the packets themselves.
constexpr std::string_view kAnyPackets = "netflow";

// Rows of one body at most in memory before they are appended as one: a body that inflates to the limit of text.
constexpr size_t kBodyBatchBytesMax = 1u << 30;

}  // namespace

bool is_known_source(std::string_view name) {
  if (name == kAnyPackets) return true;
  const ingest::SourceSpec* source = ingest::find_source(name);
  return source && source->decode;  // a row without a decoder is a format that is not read yet
}

std::vector<std::string_view> source_names() {
  std::vector<std::string_view> names;
  for (const auto& source : ingest::sources())
    if (is_known_source(source.name)) names.push_back(source.name);
  if (std::find(names.begin(), names.end(), kAnyPackets) == names.end()) names.push_back(kAnyPackets);
  return names;
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
  Metrics::IngestCounts counts;
  counts.bodies = 1;
  counts.bytes = bytes;
  if (outcome.ok()) {
    counts.accepted = outcome->rows;
    counts.rejected = outcome->report.rejected;
    counts.no_data = outcome->report.no_data;
    counts.skipped_data = outcome->report.skipped_data;
    counts.duplicates = outcome->duplicate;
  } else {
    counts.failed = 1;
    if (outcome.error().code == ErrorCode::full) ++metrics_.ingest_refused_full;
  }
  // Hostile names must not become labels.
  metrics_.count_ingest(is_known_source(body.source) ? std::string_view(body.source) : "unknown", counts);
  return outcome;
}

Result<IngestOutcome> IngestService::take_counted(IngestBody& body) {
  const ingest::SourceSpec* source = ingest::find_source(body.source);
  if (!is_known_source(body.source)) return Error{ErrorCode::not_found, "there is no source '" + body.source.substr(0, 100) + "'"};
  if (body.object.size() > limits::kObjectKeyBytesMax)
    return Error{ErrorCode::invalid_argument, "X-Sluice-Object is longer than " + std::to_string(limits::kObjectKeyBytesMax) + " bytes"};

  SLUICE_ASSIGN(ingest::Compression compression, ingest::compression_of(body.content_encoding));
  if (compression == ingest::Compression::none && body.content_encoding.empty()) compression = ingest::detect_compression(body.bytes, false);
  if (compression != ingest::Compression::none) {
    SLUICE_ASSIGN(std::string plain, ingest::inflate_to_string(body.bytes, compression));
    body.bytes = std::move(plain);
  }

  std::vector<std::shared_ptr<const Batch>> batches;
  size_t batch_bytes = 0;
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    batch_bytes += batch.byte_size();
    if (batch_bytes > kBodyBatchBytesMax) return Error{ErrorCode::too_large, "the body holds more rows than fit in memory; split it"};
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  const ingest::DecodeContext context{clock_.now(), body.format};
  IngestOutcome outcome;
  const auto decode = source && source->decode ? source->decode : nullptr;
  if (decode) {
    SLUICE_ASSIGN(outcome.report, decode(body.bytes, context, sink));
  } else {
    SLUICE_ASSIGN(outcome.report, ingest::decode_packet_body(body.bytes, context, sink));
  }
  std::string().swap(body.bytes);  // rows are made; the text need not wait for the disk

  store::AppendOptions options;
  if (!body.object.empty()) options.object_key = body.source + '\n' + body.object;
  if (!batches.empty() || !options.object_key.empty()) {
    SLUICE_ASSIGN(const store::AppendResult appended, store_.append_shared(batches, options));
    outcome.duplicate = appended.duplicate;
    outcome.rows = appended.duplicate ? 0 : appended.rows;
  }
  const auto& report = outcome.report;
  if (!outcome.duplicate && report.skipped_data > 0 && !report.skipped_range.empty()) {
    Loss loss{body.source, "the source says that it skipped data", "records", report.skipped_data, report.skipped_range};
    losses_.add("skip/" + body.source + "/" + std::to_string(report.skipped_range.from / kMinute), loss);
  }
  return outcome;
}

}  // namespace sluice::server
