#include "server/rule_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "query/continuous/asked_rule.h"
#include "query/zones.h"
#include "server/episode_record.h"
#include "server/log.h"
#include "server/rule_script.h"
#include "server/system_tables.h"
#include "server/worker_pool.h"
#include "storage/catalog/catalog.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"
#include "storage/store/rows.h"

namespace sluice::server {

using catalog::Keyspace;
using catalog::Sync;
using nlohmann::json;
using query::QueryError;
using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::EpisodeState;
using query::continuous::Finding;
using query::continuous::RulePtr;
using query::continuous::Stream;
using query::continuous::RuleState;
using query::continuous::WindowStats;

namespace {

// What a death of the process may make the rules do again, and never forget.
constexpr DurationNs kCheckpointEvery = 5 * kSecond;
constexpr DurationNs kListsRound = 2 * kSecond;
constexpr auto kRound = std::chrono::milliseconds(1'000);
constexpr std::string_view kSourcesKey = "sources", kAliveKey = "alive";

// `since`: kTimestampMax: none is known.
std::string learning(TimestampNs since, DurationNs learn) {
  return "it is learning: flows are known since " + (since == kTimestampMax ? std::string("never") : format_timestamp(since)) + ", and it alerts once that is " + format_duration(learn) + " ago";
}

// Of what first_seen looks back on no more is known than is kept, whatever else was learned.
std::string learning(const RuleState& state) {
  const auto& rule = *state.rule();
  const bool looks_back = rule.first_seen && state.learns_since() < state.known_since() && state.learned_at() > state.learns_since() + rule.learn;
  return looks_back ? learning(state.known_since(), std::min(rule.learn, rule.first_seen->lookback)) : learning(state.learns_since(), rule.learn);
}

}  // namespace

RuleService::RuleService(Parts parts) : parts_(std::move(parts)), stream_(&parts_.executor) {
  const auto ask = [this](RuleAnswers::Answer& answer) {
    const store::Snapshot snapshot = parts_.store.snapshot();
    if (!query::continuous::has_learned(*answer.rule, answer.at, snapshot, answer.learns_since)) return;
    const query::QueryContext asked = context(snapshot);
    answer.status = query::continuous::ask_rule(*answer.rule, answer.at, asked, [&](const Finding& f) { answer.take(f); }, answer.stats);
    if (!answer.status.ok()) return;
    auto excepted = query::continuous::count_excepted(*answer.rule, answer.at, asked);
    if (excepted.ok())
      answer.excepted = *excepted;
    else
      answer.status = std::move(excepted).error();
  };
  answers_ = std::make_unique<RuleAnswers>(ask, [this](RuleAnswers::Answer answer) {
    {
      std::lock_guard lock(queue_mutex_);
      jobs_.emplace_back([this, answer = std::move(answer)]() mutable { take_answer(std::move(answer)); });
    }
    wake_.notify_one();
  });
}

std::shared_ptr<const query::ListBook> RuleService::lists() const { return parts_.lists ? parts_.lists->lists() : std::make_shared<const query::ListBook>(); }

query::QueryContext RuleService::context(const store::Snapshot& snapshot) const {
  query::QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &parts_.clock;
  context.executor = &parts_.executor;
  context.cancel = &cancel_;
  context.system_tables = [this](std::string_view name) -> std::optional<Result<Batch>> {
    if (name == "alerts") return Result<Batch>(alerts_table());
    return parts_.tables ? parts_.tables(name) : std::nullopt;
  };
  context.lists = lists();
  if (parts_.exporters) {
    context.sampling_rules = parts_.exporters->sampling_rules();
    context.names = parts_.exporters->names();
  }
  context.report_damage = [this](uint64_t segment, const std::string& reason) { parts_.store.report_damage(segment, reason); };
  return context;
}

Result<std::unique_ptr<RuleService>> RuleService::open(Parts parts) {
  std::unique_ptr<RuleService> service(new RuleService(parts));
  SLUICE_TRY(service->load());
  if (parts.lists)
    parts.lists->watch([s = service.get()](const std::string& name) { s->list_changed(name); },
                       [s = service.get()](const std::string& name) { return s->may_drop_list(name); },
                       [s = service.get()](const std::string& name) { return s->may_empty_list(name); });
  parts.store.watch_appends([s = service.get()](uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) { s->arrived(append, batches); });
  service->publish_status();
  return service;
}

RuleService::~RuleService() {
  stop();
  if (parts_.lists) parts_.lists->watch({}, {});
  parts_.store.watch_appends({});
}

Status RuleService::load() {
  catalog::Catalog& catalog = parts_.store.catalog();
  const TimestampNs now = parts_.clock.now();
  SLUICE_TRY(catalog.scan(Keyspace::rules, kRuleKey, [&](std::string_view key, std::string_view record) {
    const json j = json::parse(record, nullptr, false);
    Definition d;
    d.name = std::string(key.substr(kRuleKey.size()));
    if (j.is_object()) {
      d.text = j.value("text", "");
      d.is_enabled = j.value("enabled", true);
      d.created_at = j.value("created_at", TimestampNs{0});
    }
    auto compiled = compile_rule_text(d.text, *lists());
    if (auto* rule = std::get_if<RulePtr>(&compiled)) {
      d.rule = *rule;
    } else {
      d.note = std::get<QueryError>(compiled).message;
      log::error("a rule cannot run", {{"rule", d.name}, {"reason", d.note}});
    }
    definitions_[d.name] = std::move(d);
    return true;
  }));
  SLUICE_TRY(catalog.scan(Keyspace::rules, kStateKey, [&](std::string_view key, std::string_view record) {
    const auto at = definitions_.find(std::string(key.substr(kStateKey.size())));
    const json j = json::parse(record, nullptr, false);
    if (at == definitions_.end() || !j.is_object()) return true;
    Definition& d = at->second;
    d.begins = {j.value("frontier", kTimestampMin), j.value("checkpoint", "")};
    d.learns_since = j.value("learns_since", kTimestampMax);
    d.before.rows = j.value("rows", uint64_t{0});
    d.before.late_rows = j.value("late_rows", uint64_t{0});
    d.before.dropped_rows = j.value("dropped_rows", uint64_t{0});
    d.before.lost_groups = j.value("lost_groups", uint64_t{0});
    d.before.excepted_rows = j.value("excepted_rows", uint64_t{0});
    d.before.let_go_groups = j.value("let_go_groups", uint64_t{0});
    rule_health_.begin(d.name, {d.before.dropped_rows, d.before.let_go_groups, 0});
    d.before.settled = j.value("settled", uint64_t{0});
    d.alerts = d.kept_alerts = j.value("alerts", uint64_t{0});
    d.failed_answers = j.value("failed_answers", uint64_t{0});
    d.skipped_answers = j.value("skipped_answers", uint64_t{0});
    return true;
  }));
  // Silence goes on over restarts, without the time in between: what was sent then may still be delivered.
  SLUICE_ASSIGN(const auto alive, catalog.get(Keyspace::rules, kAliveKey));
  TimestampNs alive_at = now;
  if (alive) {
    const json j = json::parse(*alive, nullptr, false);
    if (j.is_object()) alive_at = std::min(now, j.value("at", now));
  }
  SLUICE_ASSIGN(const auto sources, catalog.get(Keyspace::rules, kSourcesKey));
  if (sources) {
    const json all = json::parse(*sources, nullptr, false);
    if (all.is_array())
      for (const json& s : all) {
        const auto exporter = parse_ip(s.value("exporter", ""));
        query::continuous::Watermarks::Key key{static_cast<uint8_t>(s.value("source", 0)), exporter.value_or(IpAddress{})};
        stream_.watermarks().restore(key, {s.value("newest", kTimestampMin), std::min(now, s.value("arrived_at", now)), s.value("first_at", kTimestampMin), s.value("gap", DurationNs{0}),
                                                   s.value("unheard", DurationNs{0}) + (now - alive_at)});
      }
  }
  SLUICE_TRY(catalog.scan(Keyspace::episodes, {}, [&](std::string_view key, std::string_view record) {
    auto episode = episode_of(record);
    if (!episode) {
      log::warn("an alert could not be read", {{"id", key}});
      return true;
    }
    if (episode->state != EpisodeState::pending) {
      order_.insert({episode->fired_at, episode->id});
      alerts_[episode->id] = *episode;
    }
    if (parts_.outbox && !episode->is_silent) parts_.outbox->remember(*episode);
    if (episode->rule == kSourceSilent && episode->state == EpisodeState::firing)
      health_.restore(std::move(*episode), now);
    else if (episode->rule == kRuleOverflow && episode->state == EpisodeState::firing)
      rule_health_.restore(std::move(*episode), now);
    else if (episode->rule != kSourceSilent && episode->rule != kRuleOverflow) book_.restore(std::move(*episode));
    return true;
  }));
  return {};
}

void RuleService::start() {
  answers_->start();
  thread_ = std::thread([this] { work(); });
}

void RuleService::stop() {
  {
    std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  cancel_.cancel();
  answers_->stop();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RuleService::arrived(uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) {
  Arrival arrival;
  arrival.append = append;
  arrival.at = parts_.clock.now();
  arrival.batches.assign(batches.begin(), batches.end());
  for (const auto& b : batches) {
    arrival.rows += b->rows;
    arrival.bytes += b->byte_size();
  }
  bool wakes = false;
  {
    std::lock_guard lock(queue_mutex_);
    if (overflowed_) {
      let_go_rows_ += arrival.rows;
      return;
    }
    if (queue_bytes_ + arrival.bytes > limits::kRuleQueueBytesMax) {
      let_go_rows_ += queue_rows_ + arrival.rows;
      queue_.clear();
      queue_bytes_ = queue_rows_ = 0;
      overflowed_ = true;
    } else {
      wakes = queue_.empty();
      queue_bytes_ += arrival.bytes;
      queue_rows_ += arrival.rows;
      queue_.push_back(std::move(arrival));
    }
  }
  if (wakes) wake_.notify_one();
}

void RuleService::work() {
  name_thread("rules");
  close_what_runs_no_more();
  read_windows_again();
  for (;;) {
    std::deque<std::packaged_task<void()>> jobs;
    bool overflowed = false, stopping = false;
    {
      std::unique_lock lock(queue_mutex_);
      wake_.wait_for(lock, kRound, [&] { return stopping_ || overflowed_ || !queue_.empty() || !jobs_.empty(); });
      jobs.swap(jobs_);
      overflowed = overflowed_;
      stopping = stopping_;
    }
    if (overflowed && !stopping) {
      ++catch_ups_;
      log::warn("rules fell behind and read their open windows again from the store");
      read_windows_again();
    }
    for (auto& job : jobs) job();
    if (parts_.lists) {
      if (const Status expired = parts_.lists->expire(); !expired.ok())
        lists_voice_.say("items of lists that have ended could not be taken out", expired.error());
      else
        lists_voice_.well("items of lists that have ended are taken out again");
    }
    bind_to_changed_lists();
    if (!take_arrivals(std::nullopt)) stream_.tick(parts_.clock.now(), [this](const Finding& f) { on_finding(f); });
    if (stopping)
      while (take_arrivals(std::nullopt)) {
      }
    settle_episodes();
    health_.look(stream_.watermarks(), parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
    look_at_bounds();
    if (!stopping) ask_what_is_due();
    if (parts_.lists) labels_.keep(*parts_.lists);
    commit(stopping);
    publish_status();
    if (stopping) {
      std::lock_guard lock(queue_mutex_);
      for (auto& job : jobs_) job();
      jobs_.clear();
      return;
    }
  }
}

bool RuleService::take_arrivals(std::optional<uint64_t> up_to) {
  std::vector<std::shared_ptr<const Batch>> batches;
  uint64_t rows = 0;
  {
    std::lock_guard lock(queue_mutex_);
    while (!queue_.empty() && (!up_to || queue_.front().append <= *up_to)) {
      Arrival& next = queue_.front();
      if (rows > 0 && rows + next.rows > limits::kRuleBatchRows) break;
      rows += next.rows;
      for (auto& b : next.batches) batches.push_back(std::move(b));
      queue_bytes_ -= next.bytes;
      queue_rows_ -= next.rows;
      queue_.pop_front();
    }
  }
  if (batches.empty()) return false;
  if (parts_.exporters) {
    auto corrections = parts_.exporters->sampling_rules();
    auto names = parts_.exporters->names();
    if (corrections != sampling_rules_ || names != names_) stream_.set_context(corrections, names);
    sampling_rules_ = std::move(corrections);
    names_ = std::move(names);
  }
  std::shared_ptr<const Batch> all = batches[0];
  if (batches.size() > 1) {
    std::vector<const Batch*> parts;
    for (const auto& b : batches) parts.push_back(b.get());
    all = std::make_shared<const Batch>(store::join(parts));
  }
  stream_.push(std::move(all), parts_.clock.now(), [this](const Finding& f) { on_finding(f); });
  processed_rows_ += rows;
  return true;
}

void RuleService::read_windows_again() {
  {
    // What comes from here on is queued again; what of it the snapshot has already is taken out below.
    std::lock_guard lock(queue_mutex_);
    overflowed_ = false;
  }
  const store::Snapshot snapshot = parts_.store.snapshot();
  {
    std::lock_guard lock(queue_mutex_);
    while (!queue_.empty() && queue_.front().append <= snapshot.appends) {
      for (const auto& b : queue_.front().batches) stream_.watermarks().see(*b, queue_.front().at);
      queue_bytes_ -= queue_.front().bytes;
      queue_rows_ -= queue_.front().rows;
      queue_.pop_front();
    }
  }
  for (auto& [name, definition] : definitions_) {
    if (const RuleState* running = stream_.find(name)) resume_from(definition, *running);
    read_windows(definition, snapshot);
  }
}

void RuleService::read_windows(Definition& d, const store::Snapshot& snapshot) {
  if (const RuleState* running = stream_.find(d.name)) add_up(d.before, running->stats());
  stream_.remove(d.name);
  if (!d.rule || !d.is_enabled || d.rule->is_asked) return;
  auto state = query::continuous::make_state(d.rule, d.begins);
  query::QueryRequest request;
  request.limits.timeout = 0;
  request.limits.memory_bytes = SIZE_MAX;
  const query::QueryContext stored = context(snapshot);
  query::RunState run(request, stored);
  query::Worker worker(run);
  query::ScanStats stats;
  if (d.rule->learn > 0) {
    state->set_known_since(query::continuous::range_of(snapshot).from);
    state->set_learns_since(d.learns_since);
  }
  const uint64_t others = stream_.state_bytes(), most = limits::kRulesBytesMax;
  Status status = query::continuous::read_again(*state, run, stats, most - std::min(most, others));
  state->forget_counts();  // these flows were counted when they came
  if (status.ok()) {
    const TimestampNs now = parts_.clock.now();
    status = query::continuous::look_again(*state, stream_.watermark_at(now), now, worker, [this](const Finding& f) { on_finding(f); });
  }
  if (!status.ok() && !cancel_.cancelled()) {
    d.note = "its open windows could not be read from the store: " + status.error().message;
    log::error("a rule's open windows could not be read from the store", {{"rule", d.name}, {"reason", status.error().message}});
  }
  if (!status.ok() && cancel_.cancelled()) return;  // the frontier as kept stays
  stream_.add(std::move(state));
}

void RuleService::on_finding(const Finding& finding) {
  book_.take(finding, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
}

void RuleService::on_change(const Episode& episode, EpisodeChange change) {
  if (change == EpisodeChange::dropped) {
    dirty_[episode.id].clear();
    is_urgent_ = true;
    return;
  }
  dirty_[episode.id] = record_of(episode);
  if (change != EpisodeChange::updated) is_urgent_ = true;
  if (parts_.outbox && !episode.is_silent) parts_.outbox->note(episode, change, parts_.clock.now());
  if (const auto at = definitions_.find(episode.rule); at != definitions_.end() && at->second.rule && !episode.is_silent && episode.state == EpisodeState::firing)
    labels_.note(*at->second.rule, episode, parts_.clock.now());
  if (change == EpisodeChange::started) {
    if (const auto at = definitions_.find(episode.rule); at != definitions_.end()) ++at->second.alerts;
    log::info("an alert started", {{"rule", episode.rule}, {"id", episode.id}, {"severity", to_string(episode.severity)}, {"message", episode.message}});
  }
  if (episode.state != EpisodeState::pending) unpublished_.emplace_back(change, episode);
}

void RuleService::publish_alerts() {
  for (auto& [change, episode] : std::exchange(unpublished_, {})) {
    changes_.tell(change, episode);
    std::lock_guard lock(status_mutex_);
    const auto known = alerts_.find(episode.id);
    if (known != alerts_.end()) order_.erase({known->second.fired_at, episode.id});
    order_.insert({episode.fired_at, episode.id});
    alerts_.insert_or_assign(episode.id, std::move(episode));
    while (order_.size() > limits::kAlertsMax) {
      const std::string oldest = order_.begin()->second;
      order_.erase(order_.begin());
      alerts_.erase(oldest);
      dirty_[oldest].clear();
    }
  }
}

void RuleService::close_what_runs_no_more() {
  for (const std::string& name : book_.rules()) {
    const auto at = definitions_.find(name);
    if (at == definitions_.end() || !at->second.is_enabled)
      book_.close(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
  }
}

void RuleService::remember_alerts(const std::string& rule) {
  std::lock_guard lock(status_mutex_);
  for (const auto& [id, alert] : alerts_)
    if (alert.rule == rule) book_.restore(alert);
}

void RuleService::settle_episodes() {
  const TimestampNs now = parts_.clock.now();
  for (const RuleState* groups : stream_.all())
    book_.settle(*groups->rule(), groups->settled_before(), now, [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
}

void RuleService::look_at_bounds() {
  const TimestampNs now = parts_.clock.now();
  for (const RuleState* state : stream_.all()) {
    const std::string& name = state->rule()->name;
    const auto at = definitions_.find(name);
    if (at == definitions_.end()) continue;
    const WindowStats &before = at->second.before, &stats = state->stats();
    rule_health_.look(name, {before.dropped_rows + stats.dropped_rows, before.let_go_groups + stats.let_go_groups, stats.lost_groups}, now,
                      [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
  }
}

TimestampNs RuleService::first_asked_window(const query::continuous::Rule& rule, TimestampNs watermark) {
  if (watermark <= query::continuous::kEarliest) return kTimestampMin;
  return query::continuous::slide_start(watermark - rule.grace, rule.slide()) - rule.window();
}

void RuleService::ask_what_is_due() {
  const TimestampNs watermark = stream_.watermark();
  if (watermark <= query::continuous::kEarliest) return;
  for (auto& [name, d] : definitions_) {
    if (!d.rule || !d.is_enabled || !d.rule->is_asked || answers_->is_asking(name)) continue;
    const query::continuous::Rule& rule = *d.rule;
    if (d.begins.frontier == kTimestampMin) d.begins.frontier = first_asked_window(rule, watermark);
    const TimestampNs last = first_asked_window(rule, watermark);
    // After a long while without the server what is due is caught up on, one after the other; the oldest may be too many.
    if (const int64_t due = (last - d.begins.frontier) / rule.slide(); due > limits::kRuleAnswersCaughtUpMax) {
      const int64_t skipped = due - limits::kRuleAnswersCaughtUpMax;
      log::warn("a rule was not asked for a long time, and the oldest answers are left out", {{"rule", name}, {"answers", skipped}});
      d.skipped_answers += static_cast<uint64_t>(skipped);
      d.begins.frontier += skipped * rule.slide();
    }
    if (d.begins.frontier > last) continue;
    if (rule.learn > 0) d.learns_since = std::min(d.learns_since, parts_.store.stats().oldest);
    answers_->ask(d.rule, d.begins.frontier + rule.window(), d.learns_since);
  }
}

void RuleService::take_answer(RuleAnswers::Answer answer) {
  answers_->taken(answer.rule->name);
  const auto at = definitions_.find(answer.rule->name);
  if (at == definitions_.end() || at->second.rule != answer.rule || !at->second.is_enabled || cancel_.cancelled()) return;
  Definition& d = at->second;
  const TimestampNs settled_before = answer.at - answer.rule->window() + answer.rule->slide();
  if (settled_before <= d.begins.frontier) return;
  d.begins.frontier = settled_before;
  ++d.before.settled;
  d.before.rows += answer.stats.rows_matched;
  if (!answer.status.ok()) {
    if (d.answer_trouble.empty()) log::error("a rule could not be answered", {{"rule", d.name}, {"at", format_timestamp(answer.at)}, {"reason", answer.status.error().message}});
    d.answer_trouble = answer.status.error().message;
    ++d.failed_answers;
    // What alerts goes on until an answer says otherwise.
    book_.go_on(*answer.rule, answer.at - answer.rule->window(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
    return;
  }
  d.before.excepted_rows += answer.excepted;
  d.answer_trouble.clear();
  answer.tell([this](const Finding& f) { on_finding(f); });
  book_.settle(*answer.rule, settled_before, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
}

void RuleService::list_changed(const std::string& name) {
  {
    std::lock_guard lock(queue_mutex_);
    changed_lists_.insert(name);
  }
  wake_.notify_one();
}

std::string RuleService::readers_of_list(const std::string& name, bool by_zone) const {
  const bool is_zone = by_zone && name.starts_with(query::kZonePrefix);
  std::string readers;
  std::lock_guard lock(status_mutex_);
  for (const RuleStatus& s : status_) {
    const bool reads = s.rule && std::any_of(s.rule->lists.begin(), s.rule->lists.end(), [&](const std::string& list) { return list == name || (is_zone && list == query::kAllZones); });
    if (reads) readers += (readers.empty() ? "" : ", ") + s.name;
  }
  return readers;
}

Status RuleService::may_drop_list(const std::string& name) const {
  const std::string readers = readers_of_list(name, false);
  if (readers.empty()) return {};
  return Error{ErrorCode::conflict, "the list '" + name + "' is read by rules: " + readers.substr(0, 500)};
}

Status RuleService::may_empty_list(const std::string& name) const {
  const std::string readers = readers_of_list(name, true);
  if (readers.empty()) return {};
  return Error{ErrorCode::invalid_argument, "the list '" + name.substr(0, 100) + "' would have no item, and it is read by rules: " + readers.substr(0, 500)};
}

void RuleService::bind_to_changed_lists() {
  const TimestampNs now = parts_.clock.now();
  // Many changes one after the other are one: each may mean to read windows again.
  if (now - bound_at_ < kListsRound) return;
  std::set<std::string> changed;
  {
    std::lock_guard lock(queue_mutex_);
    changed.swap(changed_lists_);
  }
  if (changed.empty()) return;
  if (std::any_of(changed.begin(), changed.end(), [](const std::string& name) { return name.starts_with(query::kZonePrefix); })) changed.insert(std::string(query::kAllZones));
  bound_at_ = now;
  for (auto& [name, d] : definitions_) {
    // One that could not run may have waited for the list.
    if (d.rule && std::none_of(d.rule->lists.begin(), d.rule->lists.end(), [&](const auto& list) { return changed.contains(list); })) continue;
    if (d.rule && d.rule->is_asked) continue;  // it asks with the lists of the moment
    auto compiled = compile_rule_text(d.text, *lists());
    if (const auto* error = std::get_if<QueryError>(&compiled)) {
      d.note = error->message;
      if (d.rule) log::error("a rule cannot run with its lists as they are now", {{"rule", name}, {"reason", d.note}});
      if (const RuleState* running = stream_.find(name)) resume_from(d, *running);
      d.rule = nullptr;
      stream_.remove(name);
      continue;
    }
    d.note.clear();
    d.rule = std::get<RulePtr>(std::move(compiled));
    if (const RuleState* running = stream_.find(name)) resume_from(d, *running);
    const store::Snapshot snapshot = parts_.store.snapshot();
    while (take_arrivals(snapshot.appends)) {
    }
    read_windows(d, snapshot);
  }
}

void RuleService::commit(bool is_last) {
  keep(is_last);
  publish_alerts();
}

void RuleService::keep(bool is_last) {
  const TimestampNs now = parts_.clock.now();
  // (A source that is new is kept at once: windows wait for it, and one that never sends again would be forgotten by a death.)
  const bool with_frontiers = is_last || now - kept_at_ >= kCheckpointEvery || stream_.watermarks().sources().size() != kept_source_count_;
  if (!with_frontiers && !is_urgent_) return;
  catalog::Write write;
  for (const auto& [id, record] : dirty_) {
    if (record.empty())
      write.erase(Keyspace::episodes, id);
    else
      write.put(Keyspace::episodes, id, record);
  }
  // A frontier is never kept without the episodes that its forgotten windows made. (An alert that is kept counts in its rule's number, too.)
  for (auto& [name, d] : definitions_) {
    if (!with_frontiers && d.alerts == d.kept_alerts) continue;
    const RuleState* groups = stream_.find(name);
    if (!groups && !(d.rule && d.rule->is_asked)) continue;
    WindowStats sum = d.before;
    if (groups) {
      resume_from(d, *groups);
      add_up(sum, groups->stats());
    }
    std::string record = json{{"frontier", d.begins.frontier}, {"checkpoint", d.begins.checkpoint}, {"learns_since", d.learns_since}, {"rows", sum.rows}, {"late_rows", sum.late_rows}, {"dropped_rows", sum.dropped_rows}, {"lost_groups", sum.lost_groups}, {"let_go_groups", sum.let_go_groups}, {"excepted_rows", sum.excepted_rows},
                              {"settled", sum.settled}, {"alerts", d.alerts}, {"failed_answers", d.failed_answers}, {"skipped_answers", d.skipped_answers}}.dump();
    if (record == d.kept) continue;
    d.kept = record;
    write.put(Keyspace::rules, std::string(kStateKey) + name, std::move(record));
  }
  if (with_frontiers) {
    json sources = json::array();
    for (const auto& [key, s] : stream_.watermarks().sources())
      sources.push_back({{"source", key.source}, {"exporter", key.exporter == IpAddress{} ? "" : to_string(key.exporter)}, {"newest", s.newest}, {"arrived_at", s.arrived_at}, {"first_at", s.first_at}, {"gap", s.gap}, {"unheard", s.unheard}});
    if (std::string record = sources.dump(); record != kept_sources_) {
      kept_sources_ = record;
      write.put(Keyspace::rules, std::string(kSourcesKey), std::move(record));
    }
    if (!sources.empty()) write.put(Keyspace::rules, std::string(kAliveKey), json{{"at", now}}.dump());
  }
  if (parts_.outbox) parts_.outbox->write(write);
  if (!write.empty()) {
    if (const Status kept = parts_.store.catalog().commit(write, Sync::no); !kept.ok()) {
      voice_.say("alerts could not be kept yet", kept.error());
      for (auto& [name, d] : definitions_) d.kept.clear();
      kept_sources_.clear();
      return;
    }
    voice_.well("alerts are kept again");
  }
  if (parts_.outbox) parts_.outbox->committed();
  for (auto& [name, d] : definitions_) d.kept_alerts = d.alerts;
  dirty_.clear();
  is_urgent_ = false;
  if (with_frontiers) {
    kept_at_ = now;
    kept_source_count_ = stream_.watermarks().sources().size();
  }
}

void RuleService::resume_from(Definition& d, const RuleState& running) {
  d.begins = {running.frontier(), running.checkpoint()};
  if (running.rule()->learn > 0) d.learns_since = running.learns_since();
}

void RuleService::add_up(WindowStats& sum, const WindowStats& more) {
  sum.rows += more.rows;
  sum.late_rows += more.late_rows;
  sum.dropped_rows += more.dropped_rows;
  sum.lost_groups += more.lost_groups;
  sum.let_go_groups += more.let_go_groups;
  sum.partial_groups = more.partial_groups;
  sum.excepted_rows += more.excepted_rows;
  sum.settled += more.settled;
  sum.groups = more.groups;
  sum.bytes = more.bytes;
  sum.windows = more.windows;
  sum.overflow = sum.overflow || more.overflow;
  sum.is_sketch = more.is_sketch;
}

void RuleService::publish_status() {
  std::vector<RuleStatus> status;
  // Who is waited for, once it is out of the ordinary that nothing has come.
  const TimestampNs now = parts_.clock.now();
  DurationNs waits = 0;
  std::string waited_for;
  if (const auto key = stream_.watermarks().waited_for(now)) {
    const auto& source = stream_.watermarks().sources().at(*key);
    waits = query::continuous::Watermarks::silent_for(source, now);
    if (waits >= limits::kRuleTolerance)
      waited_for = std::string(column_spec(ColumnId::source).enumeration->name_of(key->source)) + (key->exporter == IpAddress{} ? "" : " of " + to_string(key->exporter)) +
                   ", which has sent nothing since " + format_timestamp(source.arrived_at) + "; it is waited for until that is " + format_duration(limits::kRuleSourceIdle) + " ago";
    else
      waits = 0;
  }
  for (const auto& [name, d] : definitions_) {
    RuleStatus s;
    s.name = name;
    s.text = d.text;
    s.is_enabled = d.is_enabled;
    s.created_at = d.created_at;
    s.rule = d.rule;
    s.note = d.note;
    s.windows = d.before;
    s.windows.groups = s.windows.bytes = s.windows.windows = s.windows.partial_groups = 0;
    const RuleState* groups = stream_.find(name);
    if (groups) {
      add_up(s.windows, groups->stats());
      s.watermark = groups->watermark();
      if (const std::string& trouble = stream_.trouble(name); !trouble.empty()) s.note = "some flows could not go through it: " + trouble;
      if (s.note.empty() && s.windows.overflow) s.note = "an integer became too large, and values computed from it are wrong";
      if (s.note.empty() && s.windows.is_sketch) s.note = "it knows more keys than it can hold exactly: some that are new are taken for known";
      if (s.note.empty() && d.rule->learn > 0 && s.watermark < groups->learned_at()) s.note = learning(*groups);
      if (s.note.empty() && s.windows.partial_groups > 0)
        s.note = "its groups are at their bound: of " + counted(s.windows.partial_groups, "group", "groups") + " what is counted is a lower bound";
      if (s.note.empty() && s.windows.let_go_groups > 0 && s.windows.dropped_rows == 0)
        s.note = counted(s.windows.let_go_groups, "group was", "groups were") + " let go, the least ones, because its groups were at their bound";
      if (s.note.empty() && s.windows.dropped_rows > 0)
        s.note = counted(s.windows.dropped_rows, "flow was", "flows were") + " not counted because its groups were at their bound" +
                 (s.windows.lost_groups > 0 ? ", of some " + counted(s.windows.lost_groups, "group that is", "groups that are") + " not known" : std::string());
    }
    if (d.rule && d.rule->is_asked) {
      if (d.begins.frontier != kTimestampMin) s.watermark = d.begins.frontier + d.rule->window() - d.rule->slide();
      if (d.rule->learn > 0)
        if (const TimestampNs since = std::min(d.learns_since, parts_.store.stats().oldest); s.watermark == kTimestampMin || s.watermark - d.rule->learn < since) s.note = learning(since, d.rule->learn);
      if (!d.answer_trouble.empty())
        s.note = "its last answer failed: " + d.answer_trouble;
      else if (d.skipped_answers > 0)
        s.note = counted(d.skipped_answers, "answer was left out after a long while", "answers were left out after long whiles") + " without the server";
      else if (d.failed_answers > 0)
        s.note = counted(d.failed_answers, "answer has", "answers have") + " failed so far";
    }
    if (s.note.empty()) s.note = labels_.trouble(name);
    // (One that is asked goes by the clock.)
    if (groups && waits > 0) {
      s.waits = waits;
      if (s.note.empty()) s.note = "its windows wait for " + waited_for;
    }
    s.state = !d.rule ? "broken" : !d.is_enabled ? "disabled" : groups || d.rule->is_asked ? "running" : "reading";
    s.alerts = d.alerts;
    s.open_alerts = book_.open(name);
    s.beyond_bound = book_.beyond_bound(name);
    status.push_back(std::move(s));
  }
  std::lock_guard lock(status_mutex_);
  status_ = std::move(status);
}

std::vector<RuleStatus> RuleService::rules() const {
  std::lock_guard lock(status_mutex_);
  return status_;
}

std::vector<Episode> RuleService::alerts() const {
  std::lock_guard lock(status_mutex_);
  std::vector<Episode> out;
  out.reserve(alerts_.size());
  for (auto it = order_.rbegin(); it != order_.rend(); ++it) out.push_back(alerts_.at(it->second));
  return out;
}

size_t RuleService::firing() const {
  std::lock_guard lock(status_mutex_);
  return static_cast<size_t>(std::count_if(alerts_.begin(), alerts_.end(), [](const auto& a) { return a.second.state == EpisodeState::firing; }));
}

RuleQueue RuleService::queue() const {
  RuleQueue out;
  std::lock_guard lock(queue_mutex_);
  out.rows = queue_rows_;
  out.bytes = queue_bytes_;
  if (!queue_.empty()) out.lag = std::max<DurationNs>(0, parts_.clock.now() - queue_.front().at);
  out.processed_rows = processed_rows_;
  out.catch_ups = catch_ups_;
  out.let_go_rows = let_go_rows_;
  return out;
}

Batch RuleService::rules_table() const { return server::rules_table(rules(), queue()); }
Batch RuleService::alerts_table() const { return server::alerts_table(alerts()); }

}  // namespace sluice::server
