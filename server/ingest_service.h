// IngestService: one body of one source becomes durable rows, all of them or none.
//
// Thread rule: any thread; a body is taken by the thread that brings it. Memory: bodies on their way share one budget
// (reserve), and a worker holds at most one inflated body.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/feed.h"
#include "ingest/source/azure_memory.h"
#include "ingest/source/exporter.h"
#include "ingest/source/same_traffic.h"
#include "ingest/source/source.h"
#include "server/body_memory.h"
#include "server/loss_book.h"
#include "server/metrics.h"
#include "storage/model/result.h"
#include "storage/store/store.h"

namespace sluice::server {

struct IngestBody {
  std::string source;             // as in the route
  std::string content_encoding;   // header, may be empty: then gzip and zstd are known by their first bytes
  std::string object;             // idempotency id, may be empty
  std::string format;             // the source's own setting
  std::string bytes;
};

// Messages that one delivery brings, each a body of its own (see message_bodies.h).
struct IngestMessages {
  std::string source;
  std::string format;
  std::string object_key;     // whole, not per source; may be empty
  std::string bytes;
  std::vector<size_t> ends;   // of the messages in `bytes`
  ingest::DecodeReport refused;  // what whoever took the messages out of their envelope could not read
};

struct IngestOutcome {
  ingest::DecodeReport report;
  bool duplicate = false;
  uint64_t rows = 0;
};

// Sources that POST /v1/ingest/{name} takes: those of the source table.
bool is_known_source(std::string_view name);
std::vector<std::string_view> source_names();

// Whether bodies of a source are packets: captures, or datagrams.
bool is_packet_source(std::string_view name);
// How bodies of a source may be cut.
ingest::FeedFormat feed_format(std::string_view name);
// Decodes one plain body. REQUIRES: is_known_source(source)
Result<ingest::DecodeReport> decode_body(std::string_view source, std::string_view body, const ingest::DecodeContext& context,
                                         const ingest::FlowSink& sink);

class IngestService {
 public:
  // `same_traffic` may be null.
  IngestService(store::Store& store, const Clock& clock, Metrics& metrics, LossBook& losses, size_t in_flight_bytes_max,
                ingest::SameTraffic* same_traffic = nullptr)
      : store_(store), clock_(clock), metrics_(metrics), losses_(losses), in_flight_max_(in_flight_bytes_max), same_traffic_(same_traffic) {}

  // A share of the budget for bytes in flight, given back when the last copy goes; nullptr when it is spent.
  std::shared_ptr<void> reserve(size_t bytes);
  size_t in_flight_bytes() const { return in_flight_.load(); }

  // Returns once the rows are durable. Errors: not_found (source), unsupported (encoding), too_large, invalid_argument,
  // parse or corrupt (nothing in the body is recognized, see body_verdict.h; its id is not used up), full, io.
  Result<IngestOutcome> take(IngestBody body);
  // The same of messages. One that cannot be read is only counted; but a delivery of which nothing is recognized is an error
  // (invalid_argument) as well, so that its sender keeps it for whoever puts the format right. `memory` belongs to
  // the request that brings them.
  Result<IngestOutcome> take_messages(IngestMessages messages, BodyMemory& memory);
  // Records of a push of which nothing can be read, while the rest of the push can. `source`: "unknown" where that is not known.
  void count_refused(std::string_view source, uint64_t records);
  // For a request that holds `own` bytes of the budget already.
  BodyMemory memory(size_t own) { return BodyMemory(in_flight_, in_flight_max_, own); }
  // How a body is read that comes now.
  ingest::DecodeContext context(std::string format) { return {clock_.now(), std::move(format), &azure_memory_, nullptr, nullptr}; }
  // Who is told of exporters whose packets lay in a capture that was taken, and where that came from. Before anything is taken.
  using ExportersTold = std::function<void(std::vector<ingest::ExporterStats>&& exporters, const std::string& origin)>;
  void tell_exporters_to(ExportersTold told) { exporters_told_ = std::move(told); }
  void tell_exporters(std::vector<ingest::ExporterStats>&& exporters, const std::string& origin) const {
    if (exporters_told_ && !exporters.empty()) exporters_told_(std::move(exporters), origin);
  }
  // What Azure's flows said, to be kept over restarts.
  ingest::AzureMemory& azure_memory() { return azure_memory_; }
  // Marks what other reporters have told of. For rows on another way to the store; those of bodies and messages are marked.
  void mark_duplicates(Batch& batch) const {
    if (same_traffic_) same_traffic_->mark(batch);
  }

 private:
  // `unreadable`: records of a body of which nothing can be read.
  Result<IngestOutcome> take_counted(IngestBody& body, uint64_t& unreadable);
  Result<bool> is_known(const std::string& object_key) const;
  // Batches on their way to the store, with their memory.
  ingest::FlowSink collect(std::vector<std::shared_ptr<const Batch>>& batches, BodyMemory& memory);
  Result<IngestOutcome> take_messages_counted(IngestMessages& messages, BodyMemory& memory);
  // Rows of too many partitions for one append go in several; `content` names those that come without a key.
  Result<store::AppendResult> append(const std::vector<std::shared_ptr<const Batch>>& batches, const store::AppendOptions& options, std::string_view content);
  void count(std::string_view source, size_t bytes, const Result<IngestOutcome>& outcome);
  void note_skipped(const std::string& source, const IngestOutcome& outcome);

  store::Store& store_;
  const Clock& clock_;
  Metrics& metrics_;
  LossBook& losses_;
  const size_t in_flight_max_;
  ingest::SameTraffic* const same_traffic_;
  ingest::AzureMemory azure_memory_;
  ExportersTold exporters_told_;
  std::atomic<size_t> in_flight_{0};
  std::mutex scattered_;
};

}  // namespace sluice::server
