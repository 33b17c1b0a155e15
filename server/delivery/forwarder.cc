#include "server/delivery/forwarder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
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
constexpr std::string_view kWaiting = "w\n";
std::string waiting_of(const std::string& forward) { return std::string(kWaiting) + forward + "\n"; }
std::string waiting_key(const std::string& forward, uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(number));
  return waiting_of(forward) + digits;
}

// A document as it is kept: its time, 8 bytes, and its body.
std::string waiting_record(const FlowDocument& document) {
  std::string out(reinterpret_cast<const char*>(&document.time), sizeof document.time);
  return out += document.body;
}
std::optional<FlowDocument> parse_waiting(std::string_view record) {
  FlowDocument document;
  if (record.size() < sizeof document.time) return std::nullopt;
  std::memcpy(&document.time, record.data(), sizeof document.time);
  document.body = record.substr(sizeof document.time);
  return document;
}

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
    uint64_t number;
  };
  std::deque<Waiting> waiting;  // by number
  size_t waiting_bytes = 0;
  bool ended = false;  // nothing more comes
  uint64_t matched = 0, delivered = 0, dropped = 0;
  std::string last_error;
  TimestampNs last_error_at = 0;
  uint64_t next_number = 1;
  uint64_t kept_from = 1, kept_to = 1;  // in the catalogue are those of [kept_from, kept_to) at most
  std::string kept;                     // the record in the catalogue
  server::ErrorVoice filter_voice;  // of the filter's thread

  // REQUIRES: mutex is held
  std::string record(TimestampNs looked_at, bool is_whole) const {
    return json{{"matched", matched}, {"delivered", delivered}, {"dropped", dropped}, {"shape", kShapes[static_cast<size_t>(shape)]}, {"looked_at", looked_at}, {"whole", is_whole}}.dump();
  }
  // REQUIRES: mutex is held
  void add(FlowDocument document, TimestampNs now) {
    ++matched;
    if (waiting_bytes + document.body.size() > limits::kForwardWaitingBytesMax) {
      ++dropped;
      return;
    }
    waiting_bytes += document.body.size();
    waiting.push_back({std::move(document), now, next_number++});
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

    forwarder->ways_.push_back(std::move(way));
  }
  SLUICE_TRY(forwarder->forget_others());
  TimestampNs looked_at = kTimestampMax;
  for (auto& way : forwarder->ways_) SLUICE_TRY(forwarder->restore(*way, looked_at));
  if (looked_at != kTimestampMax && forwarder->parts_.journaled)
    SLUICE_TRY(forwarder->parts_.journaled(looked_at, [&](std::span<const std::shared_ptr<const Batch>> batches) { forwarder->look_at({batches.begin(), batches.end()}); }));
  return forwarder;
}

// What forwards left that are declared no more: nobody can have it.
Status Forwarder::forget_others() {
  std::map<std::string, uint64_t> left;
  catalog::Write write;
  SLUICE_TRY(parts_.catalog.scan(Keyspace::outbox, kWaiting, [&](std::string_view key, std::string_view) {
    const std::string name(key.substr(kWaiting.size(), key.rfind('\n') - kWaiting.size()));
    if (std::none_of(ways_.begin(), ways_.end(), [&](const auto& way) { return way->name == name; })) {
      ++left[name];
      write.erase(Keyspace::outbox, std::string(key));
    }
    return true;
  }));
  for (const auto& [name, count] : left) log::warn("flows that waited for a forward that is declared no more are let go", {{"forward", name}, {"count", count}});
  return write.empty() ? Status() : parts_.catalog.commit(write, Sync::no);
}

// `looked_at`: is put back to where the journal is to be looked at from for this one; kTimestampMax: nothing was kept.
Status Forwarder::restore(Way& way, TimestampNs& looked_at) {
  SLUICE_ASSIGN(const auto counters, parts_.catalog.get(Keyspace::outbox, counters_of(way.name)));
  const json j = counters ? json::parse(*counters, nullptr, false) : json();
  if (!j.is_object()) return {};
  way.matched = j.value("matched", uint64_t{0});
  way.delivered = j.value("delivered", uint64_t{0});
  way.dropped = j.value("dropped", uint64_t{0});
  const std::string shape = j.value("shape", std::string(kShapes[static_cast<size_t>(way.shape)]));
  const TimestampNs now = parts_.clock.now();
  std::optional<uint64_t> first;
  SLUICE_TRY(parts_.catalog.scan(Keyspace::outbox, waiting_of(way.name), [&](std::string_view key, std::string_view record) {
    const uint64_t number = std::strtoull(std::string(key.substr(key.rfind('\n') + 1)).c_str(), nullptr, 16);
    if (!first) first = number;
    way.next_number = number + 1;
    auto document = parse_waiting(record);
    if (!document || shape != kShapes[static_cast<size_t>(way.shape)]) return true;
    way.waiting_bytes += document->body.size();
    way.waiting.push_back({std::move(*document), now, number});
    return true;
  }));
  way.kept_from = first.value_or(way.next_number);
  way.kept_to = way.next_number;
  // Matched, and neither delivered nor waiting any more: of another shape, or unreadable.
  const uint64_t done = way.delivered + way.dropped + way.waiting.size();
  if (way.matched > done) {
    log::warn("flows that waited to be forwarded cannot be: the forward's shape was changed, or they cannot be read", {{"forward", way.name}, {"count", way.matched - done}});
    way.dropped += way.matched - done;
  }
  if (const auto at = j.find("looked_at"); at != j.end() && at->is_number_integer())
    looked_at = std::min(looked_at, at->get<TimestampNs>() - (j.value("whole", false) ? 0 : limits::kForwardAgain));
  return {};
}

void Forwarder::start() {
  if (ways_.empty()) return;
  for (auto& way : ways_) way->thread = std::thread([this, w = way.get()] { send(*w); });
  {
    std::lock_guard lock(mutex_);
    filters_ = true;
  }
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
    if (!way->waiting.empty()) log::info("flows that wait to be forwarded wait for the next start", {{"forward", way->name}, {"count", way->waiting.size()}});
  }
  const bool is_whole = first_missed_ == kTimestampMax;
  keep(is_whole ? parts_.clock.now() : first_missed_, is_whole);
}

void Forwarder::keep_all() {
  std::unique_lock lock(mutex_);
  if (!filters_) return;
  const uint64_t wanted = arrivals_;
  keep_wanted_ = std::max(keep_wanted_, wanted);
  asks_ = true;
  wake_.notify_one();
  if (!kept_one_.wait_for(lock, std::chrono::nanoseconds(limits::kForwardKeepWait), [&] { return kept_ >= wanted || !filters_; }))
    log::warn("flows leave the journal before forwards have looked at them; a kill would lose them for forwards");
}

void Forwarder::arrived(std::span<const std::shared_ptr<const Batch>> batches) {
  if (ways_.empty()) return;
  Arrival arrival;
  arrival.at = parts_.clock.now();
  uint64_t rows = 0;
  for (const auto& b : batches) {
    arrival.bytes += b->byte_size();
    rows += b->rows;
  }
  arrival.batches.assign(batches.begin(), batches.end());
  {
    std::lock_guard lock(mutex_);
    if (draining_) {  // the next start looks at it, in the journal
      first_missed_ = std::min(first_missed_, arrival.at);
      return;
    }
    if (queue_bytes_ + arrival.bytes > limits::kForwardQueueBytesMax) {
      unseen_rows_ += rows;
      return;
    }
    ++arrivals_;
    queue_bytes_ += arrival.bytes;
    queue_.push_back(std::move(arrival));
  }
  wake_.notify_one();
}

void Forwarder::filter() {
  server::name_thread("forward");
  auto kept_at = Steady::now();
  server::ErrorVoice voice;
  uint64_t told_unseen = 0, looked = 0;
  TimestampNs place = 0;  // that was kept last
  for (;;) {
    std::vector<std::shared_ptr<const Batch>> batches;
    bool draining = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::nanoseconds(limits::kForwardKeepEvery), [&] { return draining_ || asks_ || !queue_.empty(); });
      draining = draining_;
      size_t rows = 0;
      while (!queue_.empty() && rows < limits::kForwardLookRows) {
        for (auto& b : queue_.front().batches) {
          rows += b->rows;
          batches.push_back(std::move(b));
        }
        queue_bytes_ -= queue_.front().bytes;
        queue_.pop_front();
        ++looked;
      }
    }
    if (!batches.empty()) look_at(batches);
    if (const uint64_t unseen = unseen_rows_; unseen > told_unseen) {
      voice.say("flows come faster than forwards can look at them, and some are not looked at", {ErrorCode::full, std::to_string(unseen) + " so far"});
      told_unseen = unseen;
    }
    bool keeps = Steady::now() - kept_at >= std::chrono::nanoseconds(limits::kForwardKeepEvery);
    TimestampNs looked_at = 0;
    {
      std::lock_guard lock(mutex_);
      keeps = keeps || (asks_ && looked >= keep_wanted_);
      // The place stays where nothing has come, so that nothing is written either.
      looked_at = !queue_.empty() ? queue_.front().at : arrivals_ == kept_ && place > 0 ? place : parts_.clock.now();
    }
    if (keeps) {
      place = looked_at;
      keep(looked_at, false);
      kept_at = Steady::now();
      std::lock_guard lock(mutex_);
      kept_ = looked;
      if (kept_ >= keep_wanted_) asks_ = false;
      kept_one_.notify_all();
    }
    if (draining && batches.empty()) {
      std::lock_guard lock(mutex_);
      filters_ = false;
      kept_one_.notify_all();
      return;
    }
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
      for (FlowDocument& document : found) way->add(std::move(document), now);
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

void Forwarder::keep(TimestampNs looked_at, bool is_whole) {
  struct Kept {
    uint64_t from, to;
    std::string record;
  };
  std::vector<Kept> kept;
  catalog::Write write;
  for (auto& way : ways_) {
    std::lock_guard lock(way->mutex);
    const uint64_t first = way->waiting.empty() ? way->next_number : way->waiting.front().number;
    if (way->kept_from < std::min(first, way->kept_to)) write.erase_range(Keyspace::outbox, waiting_key(way->name, way->kept_from), waiting_key(way->name, std::min(first, way->kept_to)));
    const auto fresh = std::lower_bound(way->waiting.begin(), way->waiting.end(), way->kept_to, [](const Way::Waiting& w, uint64_t number) { return w.number < number; });
    for (auto w = fresh; w != way->waiting.end(); ++w) write.put(Keyspace::outbox, waiting_key(way->name, w->number), waiting_record(w->document));
    kept.push_back({first, way->next_number, way->record(looked_at, is_whole)});
    if (kept.back().record != way->kept) write.put(Keyspace::outbox, counters_of(way->name), kept.back().record);
  }
  if (write.empty()) return;
  const Status status = parts_.catalog.commit(write, Sync::no);
  if (!status.ok()) {
    keep_voice_.say("what waits to be forwarded could not be kept", status.error());
    return;
  }
  keep_voice_.well("what waits to be forwarded is kept again");
  for (size_t i = 0; i < ways_.size(); ++i) {
    ways_[i]->kept_from = kept[i].from;
    ways_[i]->kept_to = kept[i].to;
    ways_[i]->kept = std::move(kept[i].record);
  }
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
