#include "server/rule_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "query/bind.h"
#include "query/continuous/example.h"
#include "query/continuous/replay.h"
#include "query/continuous/rule_template.h"
#include "server/log.h"
#include "server/system_tables.h"
#include "server/worker_pool.h"
#include "storage/catalog/catalog.h"
#include "storage/model/limits.h"
#include "storage/store/rows.h"

namespace sluice::server {

namespace g = grammar;
using catalog::Keyspace;
using catalog::Sync;
using nlohmann::json;
using query::QueryError;
using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::EpisodeState;
using query::continuous::Finding;
using query::continuous::RulePtr;
using query::continuous::Severity;
using query::continuous::Stream;
using query::continuous::WindowGroups;
using query::continuous::WindowStats;

namespace {

// What a death of the process may make the rules do again, and never forget.
constexpr DurationNs kCheckpointEvery = 5 * kSecond;
constexpr auto kRound = std::chrono::milliseconds(1'000);
constexpr std::string_view kRuleKey = "rule/", kStateKey = "state/", kSourcesKey = "sources";

QueryError error_at(const g::Span& span, std::string_view text, ErrorCode code, std::string message, std::string hint = {}) {
  return QueryError{code, std::move(message), std::move(hint), query::to_text_span(span), g::caret_view(text, span)};
}

std::string record_of(const Episode& e) {
  return json{{"id", e.id},           {"rule", e.rule},         {"severity", static_cast<int>(e.severity)}, {"state", static_cast<int>(e.state)},
              {"key", e.key},         {"start", e.start},       {"last", e.last},                           {"end", e.end},
              {"fired_at", e.fired_at}, {"ended_at", e.ended_at}, {"matches", e.matches},                     {"message", e.message},
              {"values", e.values},   {"techniques", e.techniques}, {"tags", e.tags},                       {"query", e.query},
              {"run_start", e.run_start}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Episode> episode_of(std::string_view record) {
  const json j = json::parse(record, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  try {
    Episode e;
    e.id = j.at("id"), e.rule = j.at("rule"), e.key = j.at("key");
    e.severity = static_cast<Severity>(std::clamp(j.at("severity").get<int>(), 0, 4));
    e.state = static_cast<EpisodeState>(std::clamp(j.at("state").get<int>(), 0, 2));
    e.start = j.at("start"), e.last = j.at("last"), e.end = j.at("end"), e.fired_at = j.at("fired_at"), e.ended_at = j.at("ended_at");
    e.matches = j.at("matches"), e.message = j.at("message"), e.values = j.at("values"), e.techniques = j.at("techniques"), e.tags = j.at("tags");
    e.query = j.at("query"), e.run_start = j.at("run_start");
    return e;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::variant<RulePtr, QueryError> compile(std::string_view text) {
  auto parsed = g::parse(text);
  if (const auto* e = std::get_if<g::SyntaxError>(&parsed))
    return QueryError{ErrorCode::parse, e->message, e->hint, query::to_text_span(e->span), g::caret_view(text, e->span)};
  const auto* create = std::get<g::Statement>(parsed).as<g::CreateRule>();
  if (!create) return QueryError{ErrorCode::invalid_argument, "not a rule", {}, std::nullopt, {}};
  return query::continuous::compile_rule(*create, text);
}

// `rule NAME …`: what stands behind the verb.
struct RuleWords {
  std::string name;
  g::Span span;
  std::vector<std::string> rest;
};
std::optional<RuleWords> rule_words(const g::Command& command) {
  if (command.arguments.size() < 2 || !command.arguments[0].is_word("rule")) return std::nullopt;
  RuleWords words;
  for (size_t i = 1; i < command.arguments.size(); ++i) {
    const auto& argument = command.arguments[i];
    std::string word;
    if (const auto* expr = std::get_if<g::ExprPtr>(&argument.node)) {
      if (const auto* name = (*expr)->as<g::Name>()) word = name->text();
      if (const auto* text = (*expr)->as<g::StringLiteral>()) word = text->value;
    } else if (const auto* keyword = std::get_if<g::Keyword>(&argument.node)) {
      word = keyword->text;
    }
    if (i == 1) {
      words.name = word;
      words.span = argument.span;
    } else {
      words.rest.push_back(word);
    }
  }
  return words;
}

}  // namespace

Result<std::unique_ptr<RuleService>> RuleService::open(Parts parts) {
  std::unique_ptr<RuleService> service(new RuleService(parts));
  SLUICE_TRY(service->load());
  parts.store.watch_appends([s = service.get()](uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) { s->arrived(append, batches); });
  service->publish_status();
  return service;
}

RuleService::~RuleService() {
  stop();
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
    auto compiled = compile(d.text);
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
    d.frontier = j.value("frontier", kTimestampMin);
    d.before.rows = j.value("rows", uint64_t{0});
    d.before.late_rows = j.value("late_rows", uint64_t{0});
    d.before.dropped_rows = j.value("dropped_rows", uint64_t{0});
    d.before.settled = j.value("settled", uint64_t{0});
    d.alerts = j.value("alerts", uint64_t{0});
    return true;
  }));
  SLUICE_ASSIGN(const auto sources, catalog.get(Keyspace::rules, kSourcesKey));
  if (sources) {
    const json all = json::parse(*sources, nullptr, false);
    if (all.is_array())
      for (const json& s : all) {
        const auto exporter = parse_ip(s.value("exporter", ""));
        query::continuous::Watermarks::Key key{static_cast<uint8_t>(s.value("source", 0)), exporter.value_or(IpAddress{})};
        stream_.watermarks().restore(key, {s.value("newest", kTimestampMin), now});
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
    if (definitions_.contains(episode->rule)) book_.restore(std::move(*episode));
    return true;
  }));
  return {};
}

void RuleService::start() {
  thread_ = std::thread([this] { work(); });
}

void RuleService::stop() {
  {
    std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  cancel_.cancel();
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
    if (overflowed_) return;
    if (queue_bytes_ + arrival.bytes > limits::kRuleQueueBytesMax) {
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
    if (!take_arrivals(std::nullopt)) stream_.tick(parts_.clock.now(), [this](const Finding& f) { on_finding(f); });
    if (stopping)
      while (take_arrivals(std::nullopt)) {
      }
    settle_episodes();
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
    if (const WindowGroups* running = stream_.find(name)) definition.frontier = running->frontier();
    read_windows(definition, snapshot);
  }
}

void RuleService::read_windows(Definition& d, const store::Snapshot& snapshot) {
  if (const WindowGroups* running = stream_.find(d.name)) add_up(d.before, running->stats());
  stream_.remove(d.name);
  if (!d.rule || !d.is_enabled) return;
  auto groups = std::make_unique<WindowGroups>(d.rule, d.frontier);
  query::QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &parts_.clock;
  context.executor = &parts_.executor;
  context.cancel = &cancel_;
  if (parts_.exporters) {
    context.sampling_rules = parts_.exporters->sampling_rules();
    context.names = parts_.exporters->names();
  }
  context.report_damage = [this](uint64_t segment, const std::string& reason) { parts_.store.report_damage(segment, reason); };
  query::QueryRequest request;
  request.limits.timeout = 0;
  request.limits.memory_bytes = SIZE_MAX;
  query::RunState run(request, context);
  query::Worker worker(run);
  query::ScanStats stats;
  Status status = query::continuous::read_stored(*groups, run, {groups->frontier(), kTimestampMax}, stats);
  groups->forget_counts();  // these flows were counted when they came
  if (status.ok()) status = groups->look_at_open(parts_.clock.now() + limits::kClockSkewMax, worker, [this](const Finding& f) { on_finding(f); });
  if (!status.ok() && !cancel_.cancelled()) {
    d.note = "its open windows could not be read from the store: " + status.error().message;
    log::error("a rule's open windows could not be read from the store", {{"rule", d.name}, {"reason", status.error().message}});
  }
  if (!status.ok() && cancel_.cancelled()) return;  // the frontier as kept stays
  stream_.add(std::move(groups));
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
  if (parts_.outbox) parts_.outbox->note(episode, change, parts_.clock.now());
  if (change == EpisodeChange::started) {
    if (const auto at = definitions_.find(episode.rule); at != definitions_.end()) ++at->second.alerts;
    log::info("an alert started", {{"rule", episode.rule}, {"id", episode.id}, {"severity", to_string(episode.severity)}, {"message", episode.message}});
  }
  if (episode.state == EpisodeState::pending) return;
  changes_.tell(change, episode);
  std::lock_guard lock(status_mutex_);
  alerts_[episode.id] = episode;
  order_.insert({episode.fired_at, episode.id});
  while (order_.size() > limits::kAlertsMax) {
    const std::string oldest = order_.begin()->second;
    order_.erase(order_.begin());
    alerts_.erase(oldest);
    dirty_[oldest].clear();
  }
}

void RuleService::settle_episodes() {
  const TimestampNs now = parts_.clock.now();
  for (const WindowGroups* groups : stream_.all())
    book_.settle(*groups->rule(), groups->settled_before(), now, [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
}

void RuleService::commit(bool is_last) {
  const TimestampNs now = parts_.clock.now();
  const bool with_frontiers = is_last || now - kept_at_ >= kCheckpointEvery;
  if (!with_frontiers && !is_urgent_) return;
  catalog::Write write;
  for (const auto& [id, record] : dirty_) {
    if (record.empty())
      write.erase(Keyspace::episodes, id);
    else
      write.put(Keyspace::episodes, id, record);
  }
  // A frontier is never kept without the episodes that its forgotten windows made.
  if (with_frontiers) {
    for (auto& [name, d] : definitions_) {
      const WindowGroups* groups = stream_.find(name);
      if (!groups) continue;
      d.frontier = groups->frontier();
      WindowStats sum = d.before;
      add_up(sum, groups->stats());
      std::string record = json{{"frontier", d.frontier}, {"rows", sum.rows}, {"late_rows", sum.late_rows}, {"dropped_rows", sum.dropped_rows}, {"settled", sum.settled}, {"alerts", d.alerts}}.dump();
      if (record == d.kept) continue;
      d.kept = record;
      write.put(Keyspace::rules, std::string(kStateKey) + name, std::move(record));
    }
    json sources = json::array();
    for (const auto& [key, s] : stream_.watermarks().sources())
      sources.push_back({{"source", key.source}, {"exporter", key.exporter == IpAddress{} ? "" : to_string(key.exporter)}, {"newest", s.newest}});
    if (std::string record = sources.dump(); record != kept_sources_) {
      kept_sources_ = record;
      write.put(Keyspace::rules, std::string(kSourcesKey), std::move(record));
    }
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
  dirty_.clear();
  is_urgent_ = false;
  if (with_frontiers) kept_at_ = now;
}

void RuleService::add_up(WindowStats& sum, const WindowStats& more) {
  sum.rows += more.rows;
  sum.late_rows += more.late_rows;
  sum.dropped_rows += more.dropped_rows;
  sum.settled += more.settled;
  sum.groups = more.groups;
  sum.bytes = more.bytes;
  sum.windows = more.windows;
  sum.overflow = sum.overflow || more.overflow;
}

void RuleService::publish_status() {
  std::vector<RuleStatus> status;
  for (const auto& [name, d] : definitions_) {
    RuleStatus s;
    s.name = name;
    s.text = d.text;
    s.is_enabled = d.is_enabled;
    s.created_at = d.created_at;
    s.rule = d.rule;
    s.note = d.note;
    s.windows = d.before;
    s.windows.groups = s.windows.bytes = s.windows.windows = 0;
    const WindowGroups* groups = stream_.find(name);
    if (groups) {
      add_up(s.windows, groups->stats());
      s.watermark = groups->watermark();
      if (const std::string& trouble = stream_.trouble(name); !trouble.empty()) s.note = "some flows could not go through it: " + trouble;
      if (s.note.empty() && s.windows.overflow) s.note = "an integer became too large, and values computed from it are wrong";
      if (s.note.empty() && s.windows.dropped_rows > 0) s.note = "flows were not counted because its groups were at their bound";
    }
    s.state = !d.rule ? "broken" : !d.is_enabled ? "disabled" : groups ? "running" : "reading";
    s.alerts = d.alerts;
    s.open_alerts = book_.open(name);
    s.beyond_bound = book_.beyond_bound(name);
    status.push_back(std::move(s));
  }
  std::lock_guard lock(status_mutex_);
  status_ = std::move(status);
}

RuleService::Answer RuleService::on_thread(std::function<Answer()> job) {
  auto answer = std::make_shared<std::promise<Answer>>();
  auto future = answer->get_future();
  {
    std::lock_guard lock(queue_mutex_);
    if (stopping_ || !thread_.joinable()) return QueryError{ErrorCode::full, "the server is starting or stopping", {}, std::nullopt, {}};
    jobs_.emplace_back([answer, job = std::move(job)] { answer->set_value(job()); });
  }
  wake_.notify_one();
  return future.get();
}

std::optional<RuleService::Answer> RuleService::run(const g::Statement& statement, std::string_view text, const query::QueryRequest& request,
                                                    const query::QueryContext& context) {
  const auto* create = statement.as<g::CreateRule>();
  const auto* command = statement.as<g::Command>();
  std::optional<RuleWords> words;
  if (command) words = rule_words(*command);
  if (!create && !words) return std::nullopt;
  const std::string verb = create ? "create" : command->verb.text;
  if (verb != "create" && verb != "drop" && verb != "alter" && verb != "replay" && verb != "test") return std::nullopt;
  if (verb != "replay" && verb != "test" && !context.may_define)
    return error_at(statement.span, text, ErrorCode::forbidden, "rules are changed by tokens of the role admin, with POST");
  if (create) {
    auto made = made_by(*create, text, text);
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    return on_thread([&] { return this->create(std::get<std::vector<Scripted>>(made), create->replace, create->name.span, text); });
  }
  if (verb == "drop") return on_thread([&] { return drop(words->name, words->span, text); });
  if (verb == "alter") {
    const bool enables = words->rest.size() == 1 && words->rest[0] == "enable", disables = words->rest.size() == 1 && words->rest[0] == "disable";
    if (!enables && !disables) return error_at(words->span, text, ErrorCode::parse, "expected 'enable' or 'disable' behind the rule's name");
    return on_thread([&] { return enable(words->name, enables, words->span, text); });
  }
  if (verb == "test") {
    RulePtr rule;
    if (auto error = known_rule(words->name, words->span, text, rule)) return std::move(*error);
    return examples_table(query::continuous::run_examples(rule));
  }
  std::optional<TimeRange> range;
  if (command->over) {
    // The range as any query would understand it.
    query::BindOptions options;
    options.now = parts_.clock.now();
    options.parameters = &request.parameters;
    query::Binder binder(options);
    g::Query query;
    query.source.name = g::Name{{"flows"}, false, {}};
    query.time = command->over;
    auto plan = binder.bind(query);
    if (!plan) {
      QueryError error = binder.error();
      if (error.span) error.caret = g::caret_view(text, command->over->span);
      return error;
    }
    range = plan->scan.range;
    // Up to now means all there is: windows that are open now count with what they have.
    if (range->to >= options.now) range->to = kTimestampMax;
  }
  return replay(words->name, words->span, range, text, request, context);
}

std::variant<std::vector<RuleService::Scripted>, QueryError> RuleService::made_by(const g::CreateRule& statement, std::string_view text, std::string_view written) {
  auto compiled = query::continuous::compile_rules(statement, text);
  if (auto* error = std::get_if<QueryError>(&compiled)) return std::move(*error);
  std::vector<Scripted> made;
  // Kept as it was written, so that it reads as its author wants.
  const auto& rules = std::get<std::vector<RulePtr>>(compiled);
  for (const RulePtr& rule : rules) made.push_back({rule, rule->name == statement.name.text() ? std::string(written) : rule->text});
  return made;
}

std::variant<std::vector<RuleService::Scripted>, QueryError> RuleService::read_script(std::string_view script) {
  auto parsed = g::parse_script(script);
  if (const auto* e = std::get_if<g::SyntaxError>(&parsed))
    return QueryError{ErrorCode::parse, e->message, e->hint, query::to_text_span(e->span), g::caret_view(script, e->span)};
  std::vector<Scripted> rules;
  for (const g::Statement& statement : std::get<std::vector<g::Statement>>(parsed)) {
    const auto* create = statement.as<g::CreateRule>();
    if (!create) return error_at(statement.span, script, ErrorCode::invalid_argument, "a file of rules has 'create rule' statements alone");
    auto made = made_by(*create, script, script.substr(statement.span.offset, statement.span.length));
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    for (Scripted& one : std::get<std::vector<Scripted>>(made)) rules.push_back(std::move(one));
  }
  return rules;
}

std::variant<std::vector<std::pair<std::string, std::string>>, QueryError> RuleService::apply(std::string_view script, const Principal& who) {
  if (!allows(who.role, Role::admin))
    return QueryError{ErrorCode::forbidden, "rules are changed by admins; this token may " + std::string(to_string(who.role)), {}, std::nullopt, {}};
  auto read = read_script(script);
  if (auto* error = std::get_if<QueryError>(&read)) return std::move(*error);
  std::vector<std::pair<std::string, std::string>> results;
  for (const Scripted& one : std::get<std::vector<Scripted>>(read)) {
    bool is_same = false;
    for (const RuleStatus& s : rules()) is_same = is_same || (s.name == one.rule->name && s.rule && s.rule->text == one.rule->text);
    if (is_same) {
      results.emplace_back(one.rule->name, "unchanged");
      continue;
    }
    auto done = on_thread([&] { return create({one}, true, {}, one.text); });
    if (auto* error = std::get_if<QueryError>(&done)) return std::move(*error);
    results.emplace_back(one.rule->name, std::string(std::get<Batch>(done).columns[1].string_at(0)));
  }
  return results;
}

RuleService::Answer RuleService::create(const std::vector<Scripted>& rules, bool replace, const g::Span& span, std::string_view text) {
  size_t added = 0;
  for (const auto& [rule, own_text] : rules) {
    const bool known = definitions_.contains(rule->name);
    if (known && !replace) return error_at(span, text, ErrorCode::conflict, "there is a rule '" + rule->name + "' already", "create or replace rule …");
    added += known ? 0 : 1;
  }
  if (definitions_.size() + added > limits::kRulesMax)
    return error_at(span, text, ErrorCode::too_large, "there would be more rules than can be: " + std::to_string(limits::kRulesMax));
  NamedResults results;
  for (const Scripted& one : rules) {
    auto done = create_one(one);
    if (auto* error = std::get_if<QueryError>(&done)) return std::move(*error);
    results.emplace_back(one.rule->name, std::get<std::string>(done));
  }
  return rule_answer(results);
}

std::variant<std::string, QueryError> RuleService::create_one(const Scripted& made) {
  const RulePtr& rule = made.rule;
  const auto known = definitions_.find(rule->name);
  Definition d;
  d.name = rule->name;
  d.text = made.text;
  d.created_at = parts_.clock.now();
  d.rule = rule;
  if (known != definitions_.end()) d.alerts = known->second.alerts;
  // Its windows begin with the first that has not ended, and have the flows of it that were stored before.
  TimestampNs watermark = stream_.watermark();
  if (watermark == kTimestampMin) {
    const TimestampNs newest = parts_.store.stats().newest;
    if (newest != kTimestampMin) watermark = std::min(newest, d.created_at) - limits::kRuleTolerance;
  }
  d.frontier = Stream::first_open_window(*rule, watermark);
  catalog::Write write;
  write.put(Keyspace::rules, std::string(kRuleKey) + d.name, json{{"text", d.text}, {"enabled", true}, {"created_at", d.created_at}}.dump(-1, ' ', false, json::error_handler_t::replace));
  write.put(Keyspace::rules, std::string(kStateKey) + d.name, json{{"frontier", d.frontier}, {"alerts", d.alerts}}.dump());
  if (const Status kept = parts_.store.catalog().commit(write, Sync::yes); !kept.ok()) return QueryError{kept.error().code, kept.error().message, {}, std::nullopt, {}};
  // All that is in the snapshot has gone through the other rules before this one joins them.
  const store::Snapshot snapshot = parts_.store.snapshot();
  while (take_arrivals(snapshot.appends)) {
  }
  const bool replaces = known != definitions_.end();
  stream_.remove(d.name);
  Definition& mine = definitions_[d.name] = std::move(d);
  read_windows(mine, snapshot);
  publish_status();
  log::info(replaces ? "a rule was replaced" : "a rule was created", {{"rule", mine.name}});
  return replaces ? "replaced" : "created";
}

QueryError RuleService::unknown(const std::string& name, const g::Span& span, std::string_view text) const {
  std::vector<std::string_view> names;
  std::lock_guard lock(status_mutex_);
  for (const auto& s : status_) names.push_back(s.name);
  return error_at(span, text, ErrorCode::not_found, "there is no rule '" + name + "'", g::did_you_mean(name, names));
}

std::optional<QueryError> RuleService::known_rule(const std::string& name, const g::Span& span, std::string_view text, RulePtr& rule) const {
  {
    std::lock_guard lock(status_mutex_);
    const auto at = std::find_if(status_.begin(), status_.end(), [&](const RuleStatus& s) { return s.name == name; });
    if (at != status_.end()) rule = at->rule;
    if (at != status_.end() && !rule) return error_at(span, text, ErrorCode::invalid_argument, "the rule '" + name + "' is broken: " + at->note);
  }
  if (!rule) return unknown(name, span, text);
  return std::nullopt;
}

RuleService::Answer RuleService::rule_answer(const NamedResults& rules) {
  Batch batch;
  auto schema = std::make_shared<Schema>();
  Column names(PhysicalType::Str), results(PhysicalType::Str);
  for (const auto& [name, result] : rules) {
    names.append_string(name);
    results.append_string(result);
  }
  for (const char* column : {"rule", "result"}) schema->push_back(Field{column, LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt});
  batch.columns.push_back(std::move(names));
  batch.columns.push_back(std::move(results));
  batch.schema = schema;
  batch.rows = rules.size();
  return batch;
}

RuleService::Answer RuleService::drop(const std::string& name, const g::Span& span, std::string_view text) {
  if (!definitions_.contains(name)) return unknown(name, span, text);
  catalog::Write write;
  write.erase(Keyspace::rules, std::string(kRuleKey) + name);
  write.erase(Keyspace::rules, std::string(kStateKey) + name);
  if (const Status kept = parts_.store.catalog().commit(write, Sync::yes); !kept.ok()) return QueryError{kept.error().code, kept.error().message, {}, std::nullopt, {}};
  stream_.remove(name);
  definitions_.erase(name);
  book_.close(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
  commit(false);
  publish_status();
  log::info("a rule was dropped", {{"rule", name}});
  return rule_answer({{name, "dropped"}});
}

RuleService::Answer RuleService::enable(const std::string& name, bool enabled, const g::Span& span, std::string_view text) {
  const auto at = definitions_.find(name);
  if (at == definitions_.end()) return unknown(name, span, text);
  Definition& d = at->second;
  if (d.is_enabled != enabled) {
    if (const Status kept = parts_.store.catalog().put(Keyspace::rules, std::string(kRuleKey) + name,
                                                       json{{"text", d.text}, {"enabled", enabled}, {"created_at", d.created_at}}.dump(-1, ' ', false, json::error_handler_t::replace), Sync::yes);
        !kept.ok())
      return QueryError{kept.error().code, kept.error().message, {}, std::nullopt, {}};
    d.is_enabled = enabled;
    if (!enabled) {
      if (const WindowGroups* running = stream_.find(name)) add_up(d.before, running->stats());
      stream_.remove(name);
      book_.close(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
      commit(false);
    } else if (d.rule) {
      d.frontier = Stream::first_open_window(*d.rule, stream_.watermark());
      const store::Snapshot snapshot = parts_.store.snapshot();
      while (take_arrivals(snapshot.appends)) {
      }
      read_windows(d, snapshot);
    }
  }
  publish_status();
  return rule_answer({{name, enabled ? "enabled" : "disabled"}});
}

// The same windows and episodes, over what is stored: an hour at a time, in order, so that windows settle on the way.
RuleService::Answer RuleService::replay(const std::string& name, const g::Span& span, const std::optional<TimeRange>& asked, std::string_view text,
                                        const query::QueryRequest& request, const query::QueryContext& context) {
  RulePtr rule;
  if (auto error = known_rule(name, span, text, rule)) return std::move(*error);
  auto found = query::continuous::replay(rule, asked.value_or(TimeRange{}), request, context);
  if (!found.ok()) return QueryError{found.error().code, found.error().message, {}, std::nullopt, {}};
  return server::alerts_table(found->alerts);
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
  return out;
}

Batch RuleService::rules_table() const { return server::rules_table(rules(), queue()); }
Batch RuleService::alerts_table() const { return server::alerts_table(alerts()); }

}  // namespace sluice::server
