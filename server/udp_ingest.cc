#include "server/udp_ingest.h"

#include <algorithm>

#include "server/feed_intake.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/worker_pool.h"
#include "storage/catalog/catalog.h"
#include "storage/model/limits.h"

namespace sluice::server {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kFlushRows = limits::kBatchRows;                // a batch goes out at this many rows …
constexpr DurationNs kTakeTimeout = 50 * kMillisecond;
constexpr size_t kAppendQueueBatches = 16;                       // about a million rows
constexpr size_t kAppendGroupBatches = 4;                        // as one journal write
constexpr auto kFullPatienceOnStop = std::chrono::seconds(10);

}  // namespace

Result<std::unique_ptr<UdpIngest>> UdpIngest::start(const Sockets& sockets, const std::vector<Prefix>& allow, size_t decoders, Parts parts) {
  auto ingest = std::unique_ptr<UdpIngest>(new UdpIngest(allow, std::move(parts)));
  std::vector<std::shared_ptr<ingest::PacketQueue>> queues;
  for (size_t i = 0; i < decoders; ++i) {
    auto worker = std::make_unique<Worker>();
    worker->queue = std::make_shared<ingest::PacketQueue>();
    worker->decoder = std::make_unique<ingest::PacketDecoder>(ingest->parts_.decoder);
    queues.push_back(worker->queue);
    ingest->workers_.push_back(std::move(worker));
  }
  for (const std::vector<Endpoint>* kind : {&sockets.netflow, &sockets.sflow})
    for (const Endpoint& endpoint : *kind) {
      ingest::UdpOptions options;
      options.address = endpoint.address;
      options.port = endpoint.port;
      auto receiver = ingest::UdpReceiver::open(options, queues);
      if (!receiver.ok()) return std::move(receiver).error();
      ingest->receivers_.push_back(std::move(receiver).value());
    }
  ingest->netflow_receivers_ = sockets.netflow.size();
  SLUICE_TRY(ingest->load_state());
  ingest->append_thread_ = std::thread([self = ingest.get()] { self->append(); });
  for (auto& worker : ingest->workers_) worker->thread = std::thread([self = ingest.get(), w = worker.get()] { self->decode(*w); });
  for (auto& receiver : ingest->receivers_) ingest->receive_threads_.emplace_back([self = ingest.get(), r = receiver.get()] { self->receive(*r); });
  return ingest;
}

UdpIngest::~UdpIngest() { stop(); }

Status UdpIngest::load_state() {
  // Each decoder gets what belongs to the exporters whose packets it will meet; the receivers' queues and shard_of agree.
  std::vector<std::vector<std::pair<std::string, std::string>>> shards(workers_.size());
  SLUICE_TRY(parts_.store.catalog().scan(catalog::Keyspace::ingest_state, "", [&](std::string_view key, std::string_view value) {
    if (!key.starts_with(kLossKeyPrefix) && !key.starts_with(kFeedKeyPrefix)) shards[ingest::PacketDecoder::shard_of_state(key, shards.size())].emplace_back(key, value);
    return true;
  }));
  for (size_t i = 0; i < shards.size(); ++i) {
    const size_t skipped = workers_[i]->decoder->load_state(shards[i]);
    workers_[i]->decoder->expire(parts_.clock.now());  // totals of flows that have long ended
    if (skipped > 0) log::warn("kept state of exporters could not be read; they will tell it again", {{"entries", skipped}});
  }
  return {};
}

std::vector<std::string> UdpIngest::netflow_addresses() const {
  std::vector<std::string> out;
  for (size_t i = 0; i < netflow_receivers_; ++i) out.push_back(receivers_[i]->bound_address());
  return out;
}

std::vector<std::string> UdpIngest::sflow_addresses() const {
  std::vector<std::string> out;
  for (size_t i = netflow_receivers_; i < receivers_.size(); ++i) out.push_back(receivers_[i]->bound_address());
  return out;
}

bool UdpIngest::is_allowed(const IpAddress& exporter) const {
  if (allow_.empty()) return true;
  return std::any_of(allow_.begin(), allow_.end(), [&](const Prefix& prefix) { return prefix.contains(exporter); });
}

void UdpIngest::receive(ingest::UdpReceiver& receiver) {
  name_thread("udp-receive");
  const std::string who = "socket " + receiver.bound_address();
  ingest::UdpStats before = receiver.stats();
  auto checked = Steady::now();
  // What was dropped here is dropped for good; answers over this time say so.
  const auto note_drops = [&] {
    const ingest::UdpStats now = receiver.stats();
    const TimestampNs time = parts_.clock.now();
    const auto note = [&](uint64_t count, std::string_view how, std::string_view key) {
      if (count == 0) return;
      Loss loss{who, std::string(how), "packets", count, {time - 2 * kSecond, time + 1}, Loss::packet_sources(), {}};
      parts_.losses.add("udp/" + std::string(key) + "/" + receiver.bound_address() + "/" + std::to_string(time / kMinute), loss);
      log::warn("packets were lost", {{"socket", receiver.bound_address()}, {"count", count}, {"how", how}});
    };
    note(now.dropped_kernel - before.dropped_kernel, "the kernel's socket buffer was full", "kernel");
    note(now.dropped_queue - before.dropped_queue, "the decoder's queue was full", "queue");
    before = now;
  };
  while (!stopping_) {
    const auto received = receiver.receive_once(100 * kMillisecond);
    if (!received.ok()) {
      log::error("a UDP socket failed and is not read any more", {{"socket", receiver.bound_address()}, {"reason", received.error().message}});
      return;
    }
    if (const auto now = Steady::now(); now - checked > std::chrono::seconds(1)) {
      checked = now;
      note_drops();
    }
  }
  note_drops();
}

void UdpIngest::decode(Worker& worker) {
  name_thread("decode");
  ingest::PacketBatch packets;
  FlowBatchBuilder builder;
  Steady::time_point first_row{}, published = Steady::now(), expired = published;
  IpAddress last_refused{}, last_allowed{};
  bool has_allowed = false, has_refused = false;
  bool heard = true;  // something to publish
  ingest::PacketCounts counts;
  const ingest::FlowSink sink = [this](Batch&& batch) { return hand_over(std::move(batch)); };
  const auto flush = [&] {
    if (builder.rows() == 0) return;
    (void)hand_over(builder.finish());  // fails only while stopping, when it has been counted
  };
  while (true) {
    const bool got = worker.queue->take(packets, kTakeTimeout);
    if (!got && worker.queue->closed()) break;
    if (got) {
      for (size_t i = 0; i < packets.size(); ++i) {
        const ingest::PacketView packet = packets[i];
        if (!allow_.empty() && !(has_allowed && packet.exporter_ip == last_allowed)) {
          if ((has_refused && packet.exporter_ip == last_refused) || !is_allowed(packet.exporter_ip)) {
            last_refused = packet.exporter_ip;
            has_refused = true;
            ++refused_senders_;
            continue;
          }
          last_allowed = packet.exporter_ip;
          has_allowed = true;
        }
        if (builder.rows() == 0) first_row = Steady::now();
        const ingest::PacketSender sender{packet.exporter_ip, packet.exporter_port, 0, 0};
        const auto decoded = worker.decoder->decode(packet.payload, sender, packet.received_at, builder, sink);
        if (decoded.ok()) counts += *decoded;
        if (builder.rows() >= kFlushRows) flush();
      }
      packets.clear();
    }
    const auto now = Steady::now();
    if (builder.rows() > 0 && now - first_row >= std::chrono::nanoseconds(limits::kReceivedFlushAge)) flush();
    if (now - expired > std::chrono::nanoseconds(limits::kReceivedExpireEvery)) {
      const TimestampNs time = parts_.clock.now();
      if (builder.rows() == 0) first_row = now;
      if (const auto waited = worker.decoder->finish_overdue(time, builder, sink); waited.ok()) counts += *waited;
      worker.decoder->expire(time);
      expired = now;
      heard = true;
    }
    heard |= got;
    if (heard && now - published > std::chrono::nanoseconds(limits::kReceivedPublishEvery)) {
      {
        std::lock_guard lock(worker.mutex);
        worker.counts = counts;
      }
      publish(worker);
      published = now;
      heard = !worker.backlog.empty();  // tries again without a packet
    }
  }
  if (const auto waited = worker.decoder->finish_waiting(nullptr, builder, sink); waited.ok()) counts += *waited;
  flush();
  {
    std::lock_guard lock(worker.mutex);
    worker.counts = counts;
  }
  publish(worker);
}

void UdpIngest::publish(Worker& worker) {
  auto exporters = worker.decoder->exporter_stats();
  auto errors = worker.decoder->errors();
  for (const ingest::LossRange& range : worker.decoder->loss_ranges()) {
    const std::string format(kSource.name_of(static_cast<uint8_t>(range.format)));
    const std::string exporter = to_string(range.exporter);
    parts_.losses.put("exporter/" + exporter + "/" + std::to_string(range.domain) + "/" + std::to_string(range.range.from) + "/" + range.unit,
                      {"exporter " + exporter + " (" + format + ")", range.how, range.unit, range.lost, range.range,
                       {static_cast<uint8_t>(range.format)}, {range.exporter, false}});
  }
  worker.backlog.add(worker.decoder->take_state_changes());
  if (const Status status = worker.backlog.write_to(parts_.store.catalog()); !status.ok())
    worker.voice.say("the state of exporters could not be kept yet; it waits in memory", status.error());
  else
    worker.voice.well("the state of exporters is kept again");
  std::lock_guard lock(worker.mutex);
  worker.state_waiting = worker.backlog.entries();
  worker.state_dropped = worker.backlog.dropped();
  worker.exporters = std::move(exporters);
  // Tens of thousands of names are not copied twice a second.
  if (const uint64_t version = worker.decoder->names_version(); version != worker.names_version) {
    worker.names = worker.decoder->names();
    worker.names_version = version;
  }
  worker.errors = std::move(errors);
}

Status UdpIngest::hand_over(Batch&& batch) {
  if (parts_.same_traffic) parts_.same_traffic->mark(batch);
  auto shared = std::make_shared<const Batch>(std::move(batch));
  std::unique_lock lock(append_mutex_);
  // Waiting here lets the packet queue fill, whose drops are counted.
  append_space_.wait(lock, [&] { return append_queue_.size() < kAppendQueueBatches; });
  append_queue_.push_back(std::move(shared));
  append_ready_.notify_one();
  return {};
}

void UdpIngest::append() {
  name_thread("append");
  std::vector<std::shared_ptr<const Batch>> batches;
  while (true) {
    {
      std::unique_lock lock(append_mutex_);
      append_ready_.wait(lock, [&] { return append_closed_ || !append_queue_.empty(); });
      if (append_queue_.empty()) return;
      while (!append_queue_.empty() && batches.size() < kAppendGroupBatches) {
        batches.push_back(std::move(append_queue_.front()));
        append_queue_.pop_front();
      }
    }
    append_space_.notify_all();
    append_batches(batches);
    batches.clear();
  }
}

void UdpIngest::append_batches(std::span<const std::shared_ptr<const Batch>> batches) {
  uint64_t rows = 0;
  for (const auto& batch : batches) rows += batch->rows;
  std::optional<Steady::time_point> give_up;
  store::AppendOptions options;
  options.retry_id = next_append_++;  // tries of a full disk must not double rows
  while (true) {
    const auto appended = parts_.store.append_shared(batches, options);
    if (appended.ok()) {
      appended_rows_ += rows;
      return;
    }
    ++append_failures_;
    if (appended.error().code == ErrorCode::full) {
      parts_.on_full();
      if (stopping_ && !give_up) give_up = Steady::now() + kFullPatienceOnStop;
      if (!give_up || Steady::now() < *give_up) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(limits::kStoreFullRetry));
        continue;
      }
    }
    if (appended.error().code == ErrorCode::too_large && batches.size() > 1) {
      // Senders with scattered times must not take the others' flows along.
      for (size_t i = 0; i < batches.size(); ++i) append_batches(batches.subspan(i, 1));
      return;
    }
    lost_rows_ += rows;
    const TimestampNs now = parts_.clock.now();
    log::error("flows could not be stored and are lost", {{"rows", rows}, {"reason", appended.error().message}});
    parts_.losses.add("append/" + std::to_string(now / kMinute), {"the store", appended.error().message, "flows", rows, {now - kMinute, now + 1}, Loss::packet_sources(), {}});
    return;
  }
}

void UdpIngest::stop() {
  if (stopped_) return;
  stopped_ = true;
  stopping_ = true;
  for (auto& receiver : receivers_) receiver->stop();
  for (auto& thread : receive_threads_) thread.join();
  for (auto& worker : workers_) worker->queue->close();
  for (auto& worker : workers_)
    if (worker->thread.joinable()) worker->thread.join();
  {
    std::lock_guard lock(append_mutex_);
    append_closed_ = true;
  }
  append_ready_.notify_all();
  if (append_thread_.joinable()) append_thread_.join();
}

UdpIngestStats UdpIngest::stats() const {
  UdpIngestStats stats;
  for (const auto& receiver : receivers_) stats.sockets.emplace_back(receiver->bound_address(), receiver->stats());
  for (const auto& worker : workers_) {
    std::lock_guard lock(worker->mutex);
    stats.counts += worker->counts;
    stats.state_waiting += worker->state_waiting;
    stats.state_dropped += worker->state_dropped;
  }
  stats.refused_senders = refused_senders_;
  stats.appended_rows = appended_rows_;
  stats.append_failures = append_failures_;
  stats.lost_rows = lost_rows_;
  std::lock_guard lock(append_mutex_);
  stats.waiting_batches = append_queue_.size();
  return stats;
}

std::vector<ingest::ExporterStats> UdpIngest::exporters() const {
  std::vector<ingest::ExporterStats> out;
  for (const auto& worker : workers_) {
    std::lock_guard lock(worker->mutex);
    out.insert(out.end(), worker->exporters.begin(), worker->exporters.end());
  }
  return out;
}

std::vector<ingest::ExporterName> UdpIngest::names() const {
  std::vector<ingest::ExporterName> out;
  for (const auto& worker : workers_) {
    std::lock_guard lock(worker->mutex);
    out.insert(out.end(), worker->names.begin(), worker->names.end());
  }
  return out;
}

uint64_t UdpIngest::names_version() const {
  uint64_t sum = 0;
  for (const auto& worker : workers_) {
    std::lock_guard lock(worker->mutex);
    sum += worker->names_version;
  }
  return sum;
}

std::vector<ingest::PacketError> UdpIngest::errors() const {
  std::vector<ingest::PacketError> out;
  for (const auto& worker : workers_) {
    std::lock_guard lock(worker->mutex);
    out.insert(out.end(), worker->errors.begin(), worker->errors.end());
  }
  return out;
}

}  // namespace sluice::server
