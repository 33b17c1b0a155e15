#include "server/delivery/forwarder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "server/error_voice.h"
#include "server/feed_runner.h"
#include "server/worker_pool.h"

namespace sluice::delivery {

using catalog::Keyspace;
using catalog::Sync;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::array<std::string_view, 4> kShapes = {"native", "ecs", "ocsf", "ipfix"};

std::string counters_of(const std::string& forward) { return "f\n" + forward; }

// What a filter's query finds becomes documents.
class Documents final : public query::ResultSink {
 public:
  Documents(FlowShape shape, std::vector<FlowDocument>& out) : shape_(shape), out_(out) {}
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch& rows) override {
    append_documents(rows, shape_, out_);
    return {};
  }

 private:
  const FlowShape shape_;
  std::vector<FlowDocument>& out_;
};

}  // namespace

struct Forwarder::Way {
  std::string name, filter, text, target;
  FlowShape shape = FlowShape::native;
  MakeSender make;
  std::thread thread;

  mutable std::mutex mutex;
  std::condition_variable wake;
  struct Waiting {
    FlowDocument document;
    TimestampNs came_at;
  };
  std::deque<Waiting> waiting;
  size_t waiting_bytes = 0;
  bool ended = false;  // nothing more comes
  uint64_t matched = 0, delivered = 0, dropped = 0;
  std::string last_error;
  TimestampNs last_error_at = 0;
  std::string kept;  // the record in the catalogue
  server::ErrorVoice filter_voice;  // of the filter's thread

  std::string record() const {
    std::lock_guard lock(mutex);
    return json{{"matched", matched}, {"delivered", delivered}, {"dropped", dropped}}.dump();
  }
};

Forwarder::Forwarder(Parts parts) : parts_(std::move(parts)) {}

Forwarder::~Forwarder() { stop(); }

Result<std::unique_ptr<Forwarder>> Forwarder::open(std::vector<ingest::DeclaredSettings> declared, Parts parts) {
  std::unique_ptr<Forwarder> forwarder(new Forwarder(std::move(parts)));
  if (declared.size() > limits::kForwardsMax)
    return declared[limits::kForwardsMax].error_at("name", "is one too many: at most " + std::to_string(limits::kForwardsMax) + " forwards can be declared");
  for (ingest::DeclaredSettings& settings : declared) {
    auto way = std::make_unique<Way>();
    way->name = settings.name;
    for (const auto& other : forwarder->ways_)
      if (other->name == way->name) return settings.error_at("name", "another forward has this name");
    SLUICE_ASSIGN(way->filter, settings.text("filter"));
    if (way->filter.empty()) return settings.error_at("filter", "is needed: a FlowQL condition such as action == reject");
    SLUICE_ASSIGN(way->target, settings.text("target"));
    if (way->target.empty()) return settings.error_at("target", "is needed: the name of a [[target]]");
    const Target* target = forwarder->parts_.targets.find(way->target);
    if (!target) return settings.error_at("target", "there is no target '" + way->target + "'");
    if (!target->takes_flows) return settings.error_at("target", "'" + way->target + "' is of kind '" + target->kind + "', which takes no flows");
    // IPFIX is spoken by its own kind of target, and that speaks nothing else.
    const bool is_ipfix = target->flow_shape == FlowShape::ipfix;
    SLUICE_ASSIGN(const size_t shape, settings.choice("shape", is_ipfix ? std::span(kShapes).subspan(3) : std::span(kShapes).first(3), 0));
    way->shape = is_ipfix ? FlowShape::ipfix : static_cast<FlowShape>(shape);
    SLUICE_TRY(settings.finish());
    way->make = target->make;
    // On lines of its own, so that a comment behind it ends there.
    way->text = "from flows | where (\n" + way->filter + "\n)";
    query::QueryRequest request;
    request.text = way->text;
    if (const auto errors = query::validate(request); !errors.empty())
      return settings.error_at("filter", errors.front().message + (errors.front().hint.empty() ? "" : " (" + errors.front().hint + ")"));

    SLUICE_ASSIGN(const auto counters, forwarder->parts_.catalog.get(Keyspace::outbox, counters_of(way->name)));
    const json j = counters ? json::parse(*counters, nullptr, false) : json();
    if (j.is_object()) {
      way->matched = j.value("matched", uint64_t{0});
      way->delivered = j.value("delivered", uint64_t{0});
      way->dropped = j.value("dropped", uint64_t{0});
      // What waited when the process died.
      const uint64_t done = way->delivered + way->dropped;
      if (way->matched > done) {
        log::warn("flows that waited to be forwarded were lost when the server ended", {{"forward", way->name}, {"count", way->matched - done}});
        way->dropped += way->matched - done;
      }
    }
    forwarder->ways_.push_back(std::move(way));
  }
  return forwarder;
}

void Forwarder::start() {
  if (ways_.empty()) return;
  for (auto& way : ways_) way->thread = std::thread([this, w = way.get()] { send(*w); });
  filter_thread_ = std::thread([this] { filter(); });
}

void Forwarder::stop() {
  if (!filter_thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }
  wake_.notify_all();
  filter_thread_.join();
  for (auto& way : ways_) {
    {
      std::lock_guard lock(way->mutex);
      way->ended = true;
    }
    way->wake.notify_all();
  }
  const auto until = Steady::now() + std::chrono::nanoseconds(limits::kForwardDrain);
  for (auto& way : ways_) {
    std::unique_lock lock(way->mutex);
    way->wake.wait_until(lock, until, [&] { return way->waiting.empty(); });
  }
  for (auto& way : ways_) {
    {
      std::lock_guard lock(way->mutex);
      stopping_ = true;
    }
    way->wake.notify_all();
    way->thread.join();
    std::lock_guard lock(way->mutex);
    if (way->waiting.empty()) continue;
    log::warn("flows that waited to be forwarded are dropped, because the server stops", {{"forward", way->name}, {"count", way->waiting.size()}});
    way->dropped += way->waiting.size();
    way->waiting.clear();
    way->waiting_bytes = 0;
  }
  keep(true);
}

void Forwarder::arrived(std::span<const std::shared_ptr<const Batch>> batches) {
  if (ways_.empty()) return;
  Arrival arrival;
  uint64_t rows = 0;
  for (const auto& b : batches) {
    arrival.bytes += b->byte_size();
    rows += b->rows;
  }
  arrival.batches.assign(batches.begin(), batches.end());
  {
    std::lock_guard lock(mutex_);
    if (draining_ || queue_bytes_ + arrival.bytes > limits::kForwardQueueBytesMax) {
      unseen_rows_ += rows;
      return;
    }
    queue_bytes_ += arrival.bytes;
    queue_.push_back(std::move(arrival));
  }
  wake_.notify_one();
}

void Forwarder::filter() {
  server::name_thread("forward");
  auto kept_at = Steady::now();
  server::ErrorVoice voice;
  uint64_t told_unseen = 0;
  for (;;) {
    std::vector<std::shared_ptr<const Batch>> batches;
    bool draining = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::nanoseconds(limits::kForwardKeepEvery), [&] { return draining_ || !queue_.empty(); });
      draining = draining_;
      size_t rows = 0;
      while (!queue_.empty() && rows < limits::kForwardLookRows) {
        for (auto& b : queue_.front().batches) {
          rows += b->rows;
          batches.push_back(std::move(b));
        }
        queue_bytes_ -= queue_.front().bytes;
        queue_.pop_front();
      }
    }
    if (!batches.empty()) look_at(batches);
    if (const uint64_t unseen = unseen_rows_; unseen > told_unseen) {
      voice.say("flows come faster than forwards can look at them, and some are not looked at", {ErrorCode::full, std::to_string(unseen) + " so far"});
      told_unseen = unseen;
    }
    if (Steady::now() - kept_at >= std::chrono::nanoseconds(limits::kForwardKeepEvery)) {
      keep(false);
      kept_at = Steady::now();
    }
    if (draining && batches.empty()) return;
  }
}

void Forwarder::look_at(const std::vector<std::shared_ptr<const Batch>>& batches) {
  store::Snapshot snapshot;
  snapshot.open = batches;
  query::InlineExecutor executor;
  query::QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &parts_.clock;
  context.executor = &executor;
  if (parts_.set_context) parts_.set_context(context);
  for (auto& way : ways_) {
    query::QueryRequest request;
    request.text = way->text;
    request.limits.timeout = 0;
    request.limits.memory_bytes = limits::kForwardQueryBytes;
    request.limits.rows_max = SIZE_MAX;
    std::vector<FlowDocument> found;
    Documents sink(way->shape, found);
    query::QuerySummary summary;
    if (const auto error = query::run(request, context, sink, summary)) {
      way->filter_voice.say("flows could not go through a forward's filter: " + way->name, {error->code, error->message});
      std::lock_guard lock(way->mutex);
      way->last_error = error->message;
      way->last_error_at = parts_.clock.now();
    }
    if (found.empty()) continue;
    const TimestampNs now = parts_.clock.now();
    {
      std::lock_guard lock(way->mutex);
      way->matched += found.size();
      for (FlowDocument& document : found) {
        if (way->waiting_bytes + document.body.size() > limits::kForwardWaitingBytesMax) {
          ++way->dropped;
          continue;
        }
        way->waiting_bytes += document.body.size();
        way->waiting.push_back({std::move(document), now});
      }
    }
    way->wake.notify_all();
  }
}

void Forwarder::send(Way& way) {
  server::name_thread("fwd " + way.name);
  server::ErrorVoice voice;
  std::mt19937_64 random(std::random_device{}());
  std::unique_ptr<Sender> sender;
  uint64_t failures = 0;
  size_t most = limits::kForwardTogetherMax;
  for (;;) {
    std::vector<FlowDocument> documents;
    {
      std::unique_lock lock(way.mutex);
      way.wake.wait(lock, [&] { return stopping_ || way.ended || !way.waiting.empty(); });
      if (stopping_ || (way.ended && way.waiting.empty())) return;
      // The first waits a little for others.
      if (!way.ended && way.waiting.size() < most)
        way.wake.wait_for(lock, std::chrono::nanoseconds(limits::kForwardGather), [&] { return stopping_ || way.ended || way.waiting.size() >= most; });
      if (stopping_) return;
      size_t bytes = 0;
      for (const auto& w : way.waiting) {
        if (documents.size() >= most || (bytes > 0 && bytes + w.document.body.size() > limits::kForwardMessageBytes)) break;
        bytes += w.document.body.size();
        documents.push_back(w.document);
      }
    }
    const TimestampNs now = parts_.clock.now();
    Attempt attempt;
    if (!sender) {
      auto made = way.make([this] { return stopping_.load(); });
      if (made.ok())
        sender = std::move(*made);
      else
        attempt = Attempt::failed(made.error());
    }
    if (sender) attempt = sender->forward(documents, now);
    const size_t taken = attempt.status.ok() ? documents.size() : std::min(attempt.taken, documents.size());
    // A refused message is parted until the one at fault is alone.
    const bool drops_one = attempt.refused && taken < documents.size() && documents.size() - taken == 1;
    {
      std::lock_guard lock(way.mutex);
      for (size_t i = 0; i < taken + (drops_one ? 1 : 0); ++i) {
        way.waiting_bytes -= way.waiting.front().document.body.size();
        way.waiting.pop_front();
      }
      way.delivered += taken;
      way.dropped += drops_one ? 1 : 0;
      if (!attempt.status.ok()) {
        way.last_error = attempt.status.error().message;
        way.last_error_at = now;
      }
      if (way.ended) way.wake.notify_all();
    }
    if (attempt.status.ok() || attempt.refused) {
      most = attempt.refused && !drops_one ? std::max<size_t>(1, (documents.size() - taken) / 2) : std::min(limits::kForwardTogetherMax, most * 2);
      if (attempt.status.ok()) voice.well("flows are forwarded again");
      failures = 0;
      continue;
    }
    voice.say("flows could not be forwarded yet: " + way.name, attempt.status.error());
    sender.reset();
    const DurationNs pause = std::max(server::feed_backoff(++failures, std::uniform_real_distribution<double>(0, 1)(random)), attempt.pause);
    std::unique_lock lock(way.mutex);
    way.wake.wait_for(lock, std::chrono::nanoseconds(pause), [&] { return stopping_.load(); });
    if (stopping_) return;
  }
}

void Forwarder::keep(bool is_last) {
  catalog::Write write;
  for (auto& way : ways_) {
    std::string record = way->record();
    if (record == way->kept) continue;
    write.put(Keyspace::outbox, counters_of(way->name), record);
    way->kept = std::move(record);
  }
  if (write.empty()) return;
  const Status kept = parts_.catalog.commit(write, Sync::no);
  if (kept.ok()) return;
  for (auto& way : ways_) way->kept.clear();
  if (is_last) log::error("counters of forwards could not be kept", {{"reason", kept.error().message}});
}

std::vector<ForwardStatus> Forwarder::status() const {
  std::vector<ForwardStatus> out;
  const TimestampNs now = parts_.clock.now();
  for (const auto& way : ways_) {
    ForwardStatus s;
    s.name = way->name;
    s.filter = way->filter;
    s.target = way->target;
    s.shape = kShapes[static_cast<size_t>(way->shape)];
    s.unseen_rows = unseen_rows_;
    std::lock_guard lock(way->mutex);
    s.matched = way->matched;
    s.delivered = way->delivered;
    s.dropped = way->dropped;
    s.waiting = way->waiting.size();
    s.waiting_bytes = way->waiting_bytes;
    if (!way->waiting.empty()) s.lag = std::max<DurationNs>(0, now - way->waiting.front().came_at);
    s.last_error = way->last_error;
    s.last_error_at = way->last_error_at;
    out.push_back(std::move(s));
  }
  return out;
}

}  // namespace sluice::delivery
