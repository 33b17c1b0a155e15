#include "server/delivery/outbox.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>

#include "server/error_voice.h"
#include "server/feed_runner.h"
#include "server/worker_pool.h"
#include "storage/model/counted.h"

namespace sluice::delivery {

using catalog::Keyspace;
using catalog::Sync;
using nlohmann::json;
using query::continuous::EpisodeChange;
using server::ErrorVoice;

namespace {

// How long nothing is looked for when nothing was said to be there.
constexpr DurationNs kRound = 30 * kSecond;
// Messages that may go at once after a quiet time, under a rate.
constexpr double kBurstMax = 10;

std::string notices_of(std::string_view target) { return "n\n" + std::string(target) + '\n'; }
std::string counters_of(std::string_view target) { return "t\n" + std::string(target); }
std::string drops_of(std::string_view target) { return "d\n" + std::string(target); }

std::string key_of(std::string_view target, uint64_t number) {
  std::string key = notices_of(target);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key;
}

std::optional<uint64_t> number_of(std::string_view key, size_t prefix) {
  if (key.size() != prefix + 8) return std::nullopt;
  uint64_t number = 0;
  for (const char c : key.substr(prefix)) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

std::string tells(const Target& t) {
  std::string out;
  if (t.severity > Severity::info) out += std::string(to_string(t.severity)) + " and worse";
  const auto list = [&](const char* what, const std::vector<std::string>& words) {
    if (words.empty()) return;
    out += (out.empty() ? "" : ", ") + std::string(what);
    for (const auto& w : words) out += " " + w;
  };
  list("rules", t.rules);
  list("tags", t.tags);
  return out.empty() ? "all" : out;
}

// Tells of notices that are given up: the first, then once a minute how many they are by now, and how many they were when the target takes some again. A
// target that refuses each of ten thousand must not fill the log. (Those of an end within a minute of the last word are in the next one.)
class GivenUp {
 public:
  void note(std::string_view what, const std::string& target, const Notice& notice, const Error& error) {
    ++count_;
    const auto now = std::chrono::steady_clock::now();
    if (said_ && now - *said_ < std::chrono::minutes(1)) return;
    said_ = now;
    is_heard_ = true;
    log::error(what, {{"target", target}, {"count", count_}, {"alert", notice.alert.id}, {"rule", notice.alert.rule}, {"reason", error.message}});
  }
  void well(const std::string& target) {
    if (!is_heard_) return;
    log::info("a target takes notices of alerts again", {{"target", target}, {"given_up", count_}});
    is_heard_ = false;
    count_ = 0;
  }

 private:
  uint64_t count_ = 0;
  std::optional<std::chrono::steady_clock::time_point> said_;
  bool is_heard_ = false;
};

}  // namespace

struct Outbox::Waiting {
  std::string key;
  Notice notice;
};

struct Outbox::Post {
  Target target;
  std::thread thread;
  std::atomic<int64_t> waiting{0};
  // Of the thread that has the alerts: what the write in hand would add.
  int64_t adding = 0;
  uint64_t dropping = 0, unnoted = 0;
  TimestampNs drops_since = 0;

  mutable std::mutex mutex;  // of all below
  uint64_t delivered = 0, failures = 0, refused = 0, expired = 0;
  uint64_t dropped = 0, told_drops = 0;
  TimestampNs last_success_at = 0, last_error_at = 0, retry_at = 0;
  TimestampNs oldest_at = 0;  // of what waits; 0: not looked at yet
  std::string last_error;
};

Result<std::unique_ptr<Outbox>> Outbox::open(std::vector<Target> targets, catalog::Catalog& catalog, const Clock& clock) {
  std::unique_ptr<Outbox> outbox(new Outbox(catalog, clock));
  SLUICE_TRY(outbox->load(std::move(targets)));
  return outbox;
}

Status Outbox::load(std::vector<Target> targets) {
  uint64_t last = 0;
  for (Target& target : targets) {
    auto post = std::make_unique<Post>();
    post->target = std::move(target);
    const std::string& name = post->target.name;
    SLUICE_ASSIGN(const auto counters, catalog_.get(Keyspace::outbox, counters_of(name)));
    if (counters) {
      const json j = json::parse(*counters, nullptr, false);
      if (j.is_object()) {
        post->delivered = j.value("delivered", uint64_t{0});
        post->failures = j.value("failures", uint64_t{0});
        post->refused = j.value("refused", uint64_t{0});
        post->expired = j.value("expired", uint64_t{0});
        post->told_drops = j.value("told_drops", uint64_t{0});
        post->last_success_at = j.value("last_success_at", TimestampNs{0});
      }
    }
    SLUICE_ASSIGN(const auto drops, catalog_.get(Keyspace::outbox, drops_of(name)));
    if (drops) {
      const json j = json::parse(*drops, nullptr, false);
      if (j.is_object()) {
        post->dropped = j.value("dropped", uint64_t{0});
        post->drops_since = j.value("since", TimestampNs{0});
      }
    }
    posts_.push_back(std::move(post));
  }
  // What waits for targets that are no longer declared is kept as long as it would be tried: the configuration may come back.
  std::set<std::string, std::less<>> strangers;
  catalog::Write forgotten;
  const TimestampNs now = clock_.now();
  SLUICE_TRY(catalog_.scan(Keyspace::outbox, "n\n", [&](std::string_view key, std::string_view record) {
    const size_t end = key.find('\n', 2);
    if (end == std::string_view::npos) return true;
    if (const auto number = number_of(key, end + 1)) last = std::max(last, *number);
    const std::string_view name = key.substr(2, end - 2);
    const auto post = std::find_if(posts_.begin(), posts_.end(), [&](const auto& p) { return p->target.name == name; });
    const auto notice = from_record(record);
    if (post != posts_.end()) {
      if ((*post)->waiting++ == 0 && notice) (*post)->oldest_at = notice->at;
    } else {
      strangers.emplace(name);
      if (!notice || now - notice->at > limits::kGiveUpAfter) forgotten.erase(Keyspace::outbox, std::string(key));
    }
    return true;
  }));
  next_number_ = last + 1;
  for (const auto& name : strangers) log::warn("alerts wait for a target that is not declared any more, and are forgotten after a day", {{"target", name}});
  if (!forgotten.empty()) SLUICE_TRY(catalog_.commit(forgotten, Sync::no));
  return {};
}

Outbox::Outbox(catalog::Catalog& catalog, const Clock& clock) : catalog_(catalog), clock_(clock) {}

Outbox::~Outbox() { stop(); }

void Outbox::start() {
  for (auto& post : posts_) post->thread = std::thread([this, p = post.get()] { deliver(*p); });
}

void Outbox::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& post : posts_)
    if (post->thread.joinable()) post->thread.join();
}

void Outbox::remember(const Episode& alert) {
  if (alert.state == query::continuous::EpisodeState::firing && severities_.size() < limits::kAlertsMax) severities_[alert.id] = std::max(alert.severity, alert.peak);
}

void Outbox::note(const Episode& alert, EpisodeChange change, TimestampNs now) {
  std::optional<Event> event;
  if (change == EpisodeChange::started) event = Event::started;
  if (change == EpisodeChange::resumed) event = Event::resumed;
  if (change == EpisodeChange::ended) event = Event::ended;
  Severity peak = alert.severity;
  if (const auto known = severities_.find(alert.id); known != severities_.end()) peak = std::max(peak, known->second);
  if (change == EpisodeChange::ended || change == EpisodeChange::dropped) {
    severities_.erase(alert.id);
  } else if (alert.state == query::continuous::EpisodeState::firing) {
    const auto known = severities_.find(alert.id);
    if (known == severities_.end()) {
      if (severities_.size() < limits::kAlertsMax) severities_.emplace(alert.id, alert.severity);
    } else if (known->second < alert.severity) {
      known->second = alert.severity;
      if (!event) event = Event::raised;
    }
  }
  if (!event || std::none_of(posts_.begin(), posts_.end(), [&](const auto& p) { return p->target.wants(alert, *event, peak); })) return;
  // While nothing can be written (a full disk) they gather here, within the same bound.
  if (noted_.size() >= limits::kNoticesWaitingMax) {
    for (auto& post : posts_) post->unnoted += post->target.wants(alert, *event, peak);
    return;
  }
  noted_.push_back({next_number_++, Notice{notice_id(alert, *event), *event, now, alert}, peak});
}

void Outbox::write(catalog::Write& write) {
  for (auto& post : posts_) post->adding = 0, post->dropping = post->unnoted;
  const TimestampNs now = clock_.now();
  for (const auto& [number, notice, peak] : noted_) {
    std::string record;
    for (auto& post : posts_) {
      if (!post->target.wants(notice.alert, notice.event, peak)) continue;
      if (post->waiting + post->adding >= static_cast<int64_t>(limits::kNoticesWaitingMax)) {
        ++post->dropping;
        continue;
      }
      if (record.empty()) record = to_record(notice);
      write.put(Keyspace::outbox, key_of(post->target.name, number), record);
      ++post->adding;
    }
  }
  for (auto& post : posts_) {
    if (post->dropping == 0) continue;
    uint64_t dropped;
    {
      std::lock_guard lock(post->mutex);
      dropped = post->dropped + post->dropping;
      // Since when those were dropped that nobody was told of.
      if (post->told_drops == post->dropped) post->drops_since = now;
    }
    write.put(Keyspace::outbox, drops_of(post->target.name), json{{"dropped", dropped}, {"since", post->drops_since}}.dump());
  }
}

void Outbox::committed() {
  if (noted_.empty()) return;
  for (auto& post : posts_) {
    post->waiting += post->adding;
    if (post->dropping > 0) {
      log::error("alerts are not told to a target, because too many wait for it", {{"target", post->target.name}, {"count", post->dropping}});
      std::lock_guard lock(post->mutex);
      post->dropped += post->dropping;
    }
    post->adding = 0, post->dropping = post->unnoted = 0;
  }
  noted_.clear();
  {
    std::lock_guard lock(mutex_);
    ++news_;
  }
  wake_.notify_all();
}

bool Outbox::pause(DurationNs at_most) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, std::chrono::nanoseconds(at_most), [&] { return stopping_.load(); });
  return !stopping_;
}

// Commits what became of notices, with the counters. They are gone from here, so it is tried until it goes: read again they would be sent again.
void Outbox::settle(Post& post, catalog::Write& write, size_t gone) {
  {
    std::lock_guard lock(post.mutex);
    write.put(Keyspace::outbox, counters_of(post.target.name),
              json{{"delivered", post.delivered},
                   {"failures", post.failures},
                   {"refused", post.refused},
                   {"expired", post.expired},
                   {"told_drops", post.told_drops},
                   {"last_success_at", post.last_success_at}}
                  .dump());
  }
  ErrorVoice voice;
  for (;;) {
    const Status kept = catalog_.commit(write, Sync::no);
    if (kept.ok()) break;
    voice.say("what a target was told could not be struck off", kept.error());
    if (!pause(kSecond)) return;
  }
  post.waiting -= static_cast<int64_t>(gone);
}

void Outbox::deliver(Post& post) {
  const Target& target = post.target;
  server::name_thread("tell " + target.name);
  ErrorVoice voice;
  GivenUp given_up;
  std::mt19937_64 random(std::random_device{}());
  std::unique_ptr<Sender> sender;
  const std::string prefix = notices_of(target.name);
  uint64_t failures = 0;  // in a row
  size_t again = 0;       // notices of the message that failed: it is tried again as it was
  size_t alone = 0;       // notices of a message that was refused: one by one, so that the one at fault costs itself only
  double tokens = std::min<double>(kBurstMax, target.rate);
  TimestampNs refilled = clock_.now();

  while (!stopping_) {
    uint64_t seen;
    {
      std::lock_guard lock(mutex_);
      seen = news_;
    }
    const size_t most = alone > 0 ? 1 : again > 0 ? again : target.together > 1 ? target.together : limits::kNoticesTogetherMax;
    std::vector<Waiting> waiting;
    catalog::Write unreadable;
    const Status read = catalog_.scan(Keyspace::outbox, prefix, [&](std::string_view key, std::string_view record) {
      auto notice = from_record(record);
      if (notice)
        waiting.push_back({std::string(key), std::move(*notice)});
      else
        unreadable.erase(Keyspace::outbox, std::string(key));
      return waiting.size() < most;
    });
    if (!read.ok()) {
      voice.say("what is to be told of alerts could not be read", read.error());
      if (!pause(kSecond)) return;
      continue;
    }
    if (!unreadable.empty()) {
      const size_t count = unreadable.count();
      log::error("notices of alerts could not be read and are given up", {{"target", target.name}, {"count", count}});
      {
        std::lock_guard lock(post.mutex);
        post.expired += count;
      }
      settle(post, unreadable, count);
    }
    {
      std::lock_guard lock(post.mutex);
      post.oldest_at = waiting.empty() ? 0 : waiting.front().notice.at;
    }
    if (waiting.empty()) {
      again = alone = 0;
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::nanoseconds(kRound), [&] { return stopping_.load() || news_ != seen; });
      continue;
    }
    const TimestampNs now = clock_.now();
    // Others may come that go with these.
    if (again == 0 && alone == 0 && target.group > 0 && waiting.size() < most) {
      const DurationNs rest = std::min(waiting.front().notice.at + target.group - now, target.group);
      if (rest > 0) {
        if (!pause(rest)) return;
        continue;
      }
    }
    if (target.rate > 0) {
      const double burst = std::min<double>(kBurstMax, target.rate);
      tokens = std::min(burst, tokens + static_cast<double>(std::max<DurationNs>(0, now - refilled)) / static_cast<double>(kMinute) * target.rate);
      refilled = now;
      if (tokens < 1) {
        if (!pause(static_cast<DurationNs>((1 - tokens) * static_cast<double>(kMinute) / target.rate) + kMillisecond)) return;
        continue;
      }
      if (target.together == 1 && static_cast<double>(waiting.size()) > tokens) waiting.resize(static_cast<size_t>(tokens));
    }

    std::vector<Notice> notices;
    for (const Waiting& w : waiting) notices.push_back(w.notice);
    Attempt attempt;
    if (!sender) {
      auto made = target.make([this] { return is_stopping(); });
      if (made.ok())
        sender = std::move(*made);
      else
        attempt = Attempt::failed(made.error());
    }
    if (sender) attempt = sender->send(notices, now);
    const size_t taken = attempt.status.ok() ? notices.size() : std::min(attempt.taken, notices.size());
    if (stopping_ && !attempt.status.ok() && taken == 0) return;  // not the target's fault
    if (target.rate > 0) tokens -= target.together == 1 ? static_cast<double>(std::max<size_t>(1, taken)) : 1;

    catalog::Write write;
    size_t gone = taken, refused = 0, expired = 0;
    for (size_t i = 0; i < taken; ++i) write.erase(Keyspace::outbox, waiting[i].key);
    alone -= std::min(alone, taken);
    again = attempt.status.ok() || alone > 0 ? 0 : notices.size() - taken;
    if (!attempt.status.ok() && attempt.refused) {
      again = 0;
      if (target.together > 1 && notices.size() > 1) {
        alone = notices.size();
      } else {
        // The first that was not taken is at fault.
        write.erase(Keyspace::outbox, waiting[taken].key);
        alone -= std::min<size_t>(alone, 1);
        ++gone, ++refused;
        given_up.note("notices of alerts are refused by a target and given up", target.name, notices[taken], attempt.status.error());
      }
    } else if (!attempt.status.ok()) {
      for (size_t i = taken; i < notices.size(); ++i)
        if (now - notices[i].at > target.give_up_after) {
          write.erase(Keyspace::outbox, waiting[i].key);
          ++gone, ++expired;
          again = 0;
          given_up.note("notices of alerts could not be delivered for so long that they are given up", target.name, notices[i], attempt.status.error());
        }
    }
    const bool has_failed = !attempt.status.ok() && !attempt.refused;
    const DurationNs back_off =
        has_failed ? std::max(server::feed_backoff(++failures, std::uniform_real_distribution<double>(0, 1)(random)), attempt.pause) : 0;
    size_t added = 0;
    {
      std::lock_guard lock(post.mutex);
      post.delivered += taken;
      post.refused += refused;
      post.expired += expired;
      if (taken > 0) post.last_success_at = clock_.now();
      if (!attempt.status.ok()) {
        ++post.failures;
        post.last_error_at = clock_.now();
        post.last_error = attempt.status.error().message;
      }
      post.retry_at = has_failed ? post.last_error_at + back_off : 0;
      // The target takes notices again: it learns what it will not hear of.
      if (taken > 0 && post.dropped > post.told_drops && post.waiting < static_cast<int64_t>(limits::kNoticesWaitingMax / 2)) {
        Notice told;
        told.event = Event::dropped;
        told.at = clock_.now();
        told.alert.id = "dropped-" + std::to_string(post.dropped);
        told.alert.rule = "sluice";
        told.alert.severity = Severity::high;
        told.alert.state = query::continuous::EpisodeState::ended;
        told.alert.start = told.alert.fired_at = post.drops_since;
        told.alert.end = told.at;
        told.alert.matches = post.dropped - post.told_drops;
        told.alert.message = counted(told.alert.matches, "notice of an alert was", "notices of alerts were") + " not kept for this target, because " + std::to_string(limits::kNoticesWaitingMax) +
                             " waited for it already; the alerts are in `from alerts`";
        told.alert.query = "from alerts between " + format_timestamp(post.drops_since) + " and " + format_timestamp(told.at);
        told.id = notice_id(told.alert, told.event);
        write.put(Keyspace::outbox, key_of(target.name, next_number_++), to_record(told));
        post.told_drops = post.dropped;
        ++added;
      }
    }
    if (taken > 0) {
      voice.well("a target takes alerts again: " + target.name);
      given_up.well(target.name);
    }
    if (gone > 0 || added > 0) {
      settle(post, write, gone);
      post.waiting += static_cast<int64_t>(added);
    }
    if (!has_failed) {
      failures = 0;
      continue;
    }
    voice.say("a target could not be told of alerts yet: " + target.name, attempt.status.error());
    sender.reset();  // with a connection that may be half dead, and secrets that may have been renewed
    if (!pause(back_off)) return;
  }
}

std::vector<TargetStatus> Outbox::status() const {
  std::vector<TargetStatus> out;
  const TimestampNs now = clock_.now();
  for (const auto& post : posts_) {
    TargetStatus s;
    s.name = post->target.name;
    s.kind = post->target.kind;
    s.to = post->target.to;
    s.tells = tells(post->target);
    s.waiting = static_cast<uint64_t>(std::max<int64_t>(0, post->waiting));
    std::lock_guard lock(post->mutex);
    s.lag = s.waiting > 0 && post->oldest_at > 0 ? std::max<DurationNs>(0, now - post->oldest_at) : 0;
    s.delivered = post->delivered;
    s.failures = post->failures;
    s.refused = post->refused;
    s.expired = post->expired;
    s.dropped = post->dropped;
    s.last_success_at = post->last_success_at;
    s.last_error_at = post->last_error_at;
    s.retry_at = post->retry_at;
    s.last_error = post->last_error;
    out.push_back(std::move(s));
  }
  return out;
}

const Target* Outbox::find(std::string_view name) const {
  for (const auto& post : posts_)
    if (post->target.name == name) return &post->target;
  return nullptr;
}

Result<TestOutcome> Outbox::test(std::string_view name) {
  const Target* target = find(name);
  if (!target) return Error{ErrorCode::not_found, "there is no target '" + std::string(name.substr(0, 100)) + "'"};
  Notice notice;
  notice.event = Event::test;
  notice.at = clock_.now();
  notice.alert.rule = "sluice_test";
  notice.alert.id = "test-" + std::to_string(notice.at);
  notice.alert.state = query::continuous::EpisodeState::ended;
  notice.alert.severity = Severity::info;
  notice.alert.start = notice.alert.last = notice.alert.end = notice.alert.fired_at = notice.at;
  notice.alert.message = "This is a test of the target '" + target->name + "'. Nothing has happened.";
  notice.id = notice_id(notice.alert, notice.event);
  TestOutcome outcome;
  auto sender = target->make([this] { return is_stopping(); });
  if (!sender.ok()) {
    outcome.error = sender.error().message;
    return outcome;
  }
  const auto started = std::chrono::steady_clock::now();
  const Attempt attempt = (*sender)->send({&notice, 1}, notice.at);
  outcome.took = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - started).count();
  outcome.delivered = attempt.status.ok();
  if (!outcome.delivered) outcome.error = attempt.status.error().message;
  return outcome;
}

}  // namespace sluice::delivery
