#include "server/feed_runner.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <set>

#include "server/limits.h"
#include "server/log.h"
#include "server/worker_pool.h"

namespace sluice::server {
namespace {

constexpr DurationNs kBackoffMin = kSecond, kBackoffMax = 5 * kMinute;
constexpr DurationNs kWaitMin = 10 * kMillisecond;  // a feed that asks to be polled at once without bringing anything must not spin
constexpr DurationNs kErrorLogEvery = 10 * kMinute;

// Sums of the last minute, in slots of five seconds. Not thread safe.
class Rate {
 public:
  void add(TimestampNs now, uint64_t rows, uint64_t bytes) {
    Slot& slot = at(now);
    slot.rows += rows;
    slot.bytes += bytes;
  }
  std::pair<double, double> per_second(TimestampNs now) const {
    uint64_t rows = 0, bytes = 0;
    for (const Slot& slot : slots_)
      if (slot.number > now / kWidth - static_cast<int64_t>(kSlots) && slot.number <= now / kWidth) {
        rows += slot.rows;
        bytes += slot.bytes;
      }
    constexpr double kSeconds = static_cast<double>(kSlots * kWidth) / kSecond;
    return {static_cast<double>(rows) / kSeconds, static_cast<double>(bytes) / kSeconds};
  }

 private:
  static constexpr size_t kSlots = 12;
  static constexpr DurationNs kWidth = 5 * kSecond;
  struct Slot {
    int64_t number = -1;
    uint64_t rows = 0, bytes = 0;
  };
  Slot& at(TimestampNs now) {
    const int64_t number = now / kWidth;
    Slot& slot = slots_[static_cast<size_t>(number) % kSlots];
    if (slot.number != number) slot = {number, 0, 0};
    return slot;
  }
  std::array<Slot, kSlots> slots_{};
};

}  // namespace

std::string_view to_string(FeedState state) {
  switch (state) {
    case FeedState::starting: return "starting";
    case FeedState::idle: return "idle";
    case FeedState::reading: return "reading";
    case FeedState::waiting: return "waiting";
    case FeedState::failing: return "failing";
    case FeedState::stopped: return "stopped";
  }
  return "stopped";
}

DurationNs feed_backoff(uint64_t failures, double chance) {
  DurationNs wait = kBackoffMin;
  for (uint64_t i = 1; i < failures && wait < kBackoffMax; ++i) wait *= 2;
  wait = std::min(wait, kBackoffMax);
  return wait - static_cast<DurationNs>(static_cast<double>(wait) * 0.5 * std::clamp(chance, 0.0, 1.0));
}

struct FeedRunner::Runner {
  std::string name, kind, source;
  std::unique_ptr<ingest::Feed> feed;
  std::unique_ptr<FeedIntake> intake;
  std::thread thread;
  mutable std::mutex mutex;  // guards what follows
  FeedState state = FeedState::starting;
  Rate rate;
  uint64_t errors = 0;
  std::string last_error;
  TimestampNs last_error_at = 0, retry_at = 0;

  void set(FeedState now) {
    std::lock_guard lock(mutex);
    state = now;
  }
};

namespace {

// A key with a typo is what is missing, so it is told first.
Result<std::unique_ptr<ingest::Feed>> make_feed(const ingest::FeedKind& kind, ingest::FeedSettings& settings) {
  ingest::FeedSettings again = settings;
  auto made = kind.make(settings);
  if (made.ok()) return made;
  again.assume_missing();
  if (kind.make(again).ok()) SLUICE_TRY(again.finish());
  return made;
}

// A source reads its format before anything else of a body.
Status check_format(const ingest::FeedSettings& settings) {
  if (settings.format.empty() || is_packet_source(settings.source)) return {};
  ingest::DecodeContext context;
  context.format = settings.format;
  const auto decoded = decode_body(settings.source, "-\n", context, [](Batch&&) { return Status(); });
  if (decoded.ok() || !decoded.error().message.starts_with("configured format")) return {};
  return settings.error_at("format", decoded.error().message);
}

}  // namespace

Result<std::unique_ptr<FeedRunner>> FeedRunner::open(std::vector<ingest::FeedSettings> settings, Parts parts) {
  auto self = std::unique_ptr<FeedRunner>(new FeedRunner(std::move(parts)));
  if (settings.size() > limits::kFeedsMax)
    return Error{ErrorCode::too_large, "more than " + std::to_string(limits::kFeedsMax) + " feeds are declared: " + std::to_string(settings.size())};
  std::set<std::string> names, claims;
  for (ingest::FeedSettings& s : settings) {
    if (!names.insert(s.name).second) return s.error_at("name", "another feed has this name");
    const ingest::FeedKind* kind = ingest::find_feed_kind(s.kind);
    if (!kind) {
      std::string known;
      for (const auto& k : ingest::feed_kinds()) known.append(known.empty() ? "" : ", ").append(k.name);
      return s.error_at("kind", "there is no kind '" + s.kind + "' (known are " + known + ")");
    }
    if (!is_known_source(s.source)) {
      std::string known;
      for (const auto source : source_names()) known.append(known.empty() ? "" : ", ").append(source);
      return s.error_at("source", s.source.empty() ? "is needed: the format of its records (" + known + ")"
                                                   : "there is no source '" + s.source + "' (known are " + known + ")");
    }
    SLUICE_TRY(check_format(s));
    if (const auto payload = s.options.find("payload"); s.kind == "kafka" && payload != s.options.end() && payload->second.value != "body" && !is_packet_source(s.source))
      return s.error_at("payload", "'" + payload->second.value + "' goes with source = \"netflow\", which reads NetFlow, IPFIX and sFlow; '" + s.source + "' reads bodies");
    s.shape = feed_format(s.source);
    auto runner = std::make_unique<Runner>();
    runner->name = s.name;
    runner->kind = s.kind;
    runner->source = s.source;
    SLUICE_ASSIGN(runner->feed, make_feed(*kind, s));
    for (const auto& [key, what] : s.claims)
      if (!claims.insert(what).second) return s.error_at(key, "another feed takes from " + what + " already; each would take what is the other's");
    SLUICE_TRY(s.finish());
    runner->intake = std::make_unique<FeedIntake>(FeedIntake::Identity{s.name, s.source, s.format, s.shape},
                                                  FeedIntake::Parts{self->parts_.store, self->parts_.clock, self->parts_.metrics, self->parts_.losses,
                                                                    self->parts_.ingest, self->large_});
    self->runners_.push_back(std::move(runner));
  }
  return self;
}

FeedRunner::FeedRunner(Parts parts) : parts_(std::move(parts)) {}

FeedRunner::~FeedRunner() { stop(); }

void FeedRunner::start() {
  for (auto& runner : runners_) runner->thread = std::thread([this, r = runner.get()] { run(*r); });
}

void FeedRunner::stop() {
  if (stopped_) return;
  stopped_ = true;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& runner : runners_)
    if (runner->thread.joinable()) runner->thread.join();
}

bool FeedRunner::sleep(DurationNs duration) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, std::chrono::nanoseconds(duration), [this] { return stopping_.load(); });
}

void FeedRunner::run(Runner& r) {
  name_thread("feed-" + r.name);
  std::mt19937_64 random(std::random_device{}());
  const std::function<bool()> stopping = [this] { return stopping_.load(); };
  const FeedIntake::WaitForRoom wait = [&] {
    r.set(FeedState::waiting);
    if (parts_.on_full) parts_.on_full();
    const bool go_on = sleep(limits::kStoreFullRetry);
    if (go_on) r.set(FeedState::reading);
    return go_on;
  };
  bool must_restore = true;
  const ingest::PieceSink sink = [&](ingest::FeedPiece&& piece) -> Result<ingest::PieceResult> {
    r.set(FeedState::reading);
    const uint64_t bytes = piece.bytes.size();
    auto result = r.intake->take(std::move(piece), wait);
    if (!result.ok()) {
      must_restore = true;
      return result;
    }
    std::lock_guard lock(r.mutex);
    r.rate.add(parts_.clock.now(), result->rows, bytes);
    return result;
  };
  uint64_t failures = 0;
  std::string logged;
  TimestampNs logged_at = 0;
  while (!stopping_) {
    Status status;
    DurationNs nothing_for = 0;
    if (must_restore) {
      if (auto checkpoint = r.intake->restore(); !checkpoint.ok())
        status = std::move(checkpoint).error().with("its checkpoint");
      else
        status = r.feed->restore(*checkpoint);
      if (status.ok()) must_restore = false;
    }
    if (status.ok()) {
      if (auto polled = r.feed->poll({parts_.clock, stopping, kSecond}, sink); polled.ok())
        nothing_for = *polled;
      else
        status = std::move(polled).error();
    }
    if (stopping_) break;
    if (status.ok()) {
      if (failures > 0) log::info("a feed works again", {{"feed", r.name}, {"failures", failures}});
      failures = 0;
      logged.clear();
      r.set(FeedState::idle);
      if (!sleep(std::max(nothing_for, kWaitMin))) break;
      continue;
    }
    const TimestampNs now = parts_.clock.now();
    const std::string reason = status.error().message;
    const DurationNs pause = feed_backoff(++failures, std::uniform_real_distribution<>(0, 1)(random));
    if (reason != logged || now - logged_at > kErrorLogEvery) {
      log::error("a feed cannot go on and tries again", {{"feed", r.name}, {"failures", failures}, {"retry_in", format_duration(pause / kMillisecond * kMillisecond)}, {"reason", reason}});
      logged = reason;
      logged_at = now;
    }
    {
      std::lock_guard lock(r.mutex);
      r.state = FeedState::failing;
      ++r.errors;
      r.last_error = reason;
      r.last_error_at = now;
      r.retry_at = now + pause;
    }
    if (!sleep(pause)) break;
  }
  r.set(FeedState::stopped);
}

std::vector<FeedStatus> FeedRunner::status() const {
  std::vector<FeedStatus> out;
  const TimestampNs now = parts_.clock.now();
  for (const auto& runner : runners_) {
    FeedStatus s;
    s.name = runner->name;
    s.kind = runner->kind;
    s.source = runner->source;
    s.counts = runner->intake->counts();
    s.backlog = runner->feed->backlog();
    if (s.backlog.oldest != 0) s.lag = std::max<DurationNs>(0, now - s.backlog.oldest);
    std::lock_guard lock(runner->mutex);
    s.state = runner->state;
    std::tie(s.rows_per_second, s.bytes_per_second) = runner->rate.per_second(now);
    s.errors = runner->errors;
    s.last_error = runner->last_error;
    s.last_error_at = runner->last_error_at;
    s.retry_at = runner->state == FeedState::failing ? runner->retry_at : 0;
    out.push_back(std::move(s));
  }
  return out;
}

std::vector<ingest::ExporterStats> FeedRunner::exporters() const {
  std::vector<ingest::ExporterStats> out;
  for (const auto& runner : runners_)
    for (ingest::ExporterStats& e : runner->intake->exporters()) out.push_back(std::move(e));
  return out;
}

std::vector<SetAside> FeedRunner::set_aside() const {
  std::vector<SetAside> out;
  for (const auto& runner : runners_) {
    auto entries = runner->intake->set_aside();
    out.insert(out.end(), std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()));
  }
  return out;
}

}  // namespace sluice::server
