// What statements do to rules: create, drop, alter, replay, test, and a file of them. The rules themselves run in rule_service.cc.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "grammar/print.h"
#include "grammar/stage_args.h"
#include "query/bind.h"
#include "query/continuous/example.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/rule_script.h"
#include "server/rule_service.h"
#include "server/system_tables.h"
#include "storage/catalog/catalog.h"
#include "storage/model/counted.h"

namespace sluice::server {

namespace g = grammar;
using catalog::Keyspace;
using catalog::Sync;
using nlohmann::json;
using query::QueryError;
using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::RulePtr;
using query::continuous::Stream;
using query::continuous::RuleState;

namespace {

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

// `replay list NAME`: the name; nullopt: another command.
std::optional<g::Name> hunted_list(const g::Command& command) {
  if (command.verb.text != "replay") return std::nullopt;
  g::StageArgs args(command.arguments, command.verb);
  if (!args.word("list")) return std::nullopt;
  auto name = args.name();
  return name && args.done() ? name : std::nullopt;
}

// Who spoke with what the list has, when, and how much: every address of the list by each of its peers, the most flows first.
constexpr std::string_view kHunt =
    "from flows | where ip in @LIST"
    " | extend listed = if(dst_ip in @LIST, dst_ip, src_ip), peer = if(dst_ip in @LIST, src_ip, dst_ip)"
    " | stats flows = count(), total = sum(bytes), first = min(flow_end), latest = max(flow_end), ports = values(dst_port, 10) by listed, peer"
    " | sort flows desc | limit 10000";

class BatchesSink final : public query::ResultSink {
 public:
  Status begin(const Schema& columns) override {
    schema_ = std::make_shared<const Schema>(columns);
    return {};
  }
  Status batch(const Batch& rows) override {
    batches_.push_back(rows);
    return {};
  }
  Batch take() {
    Batch out;
    out.schema = schema_;
    for (size_t c = 0; c < schema_->size(); ++c) {
      out.columns.emplace_back((*schema_)[c].physical);
      for (const Batch& b : batches_) out.columns[c].append_range(b.columns[c], 0, b.rows);
    }
    for (const Batch& b : batches_) out.rows += b.rows;
    return out;
  }

 private:
  std::shared_ptr<const Schema> schema_;
  std::vector<Batch> batches_;
};

std::variant<Batch, QueryError> hunt(const g::Name& list, const std::optional<g::TimeClause>& over, std::string_view text, const query::QueryRequest& asked,
                                     const query::QueryContext& context, query::QuerySummary& summary) {
  if (!context.lists || !context.lists->find(list.text()))
    return error_at(list.span, text, ErrorCode::not_found, "there is no list '" + list.text() + "'", "show lists has those that there are");
  std::string words(kHunt);
  for (size_t at = words.find("@LIST"); at != std::string::npos; at = words.find("@LIST", at)) words.replace(at, 5, "@" + list.text());
  const auto parsed = g::parse(words);
  const auto* statement = std::get_if<g::Statement>(&parsed);
  if (!statement) return error_at(list.span, text, ErrorCode::invalid_argument, "a list of this name cannot be asked for in a query");
  g::Query query = *statement->as<g::Query>();
  query.time = over;
  query::QueryRequest request = asked;
  request.text = g::print(g::Statement{query, {}});
  BatchesSink sink;
  if (auto error = query::run(request, context, sink, summary)) {
    error->span.reset();
    error->caret.clear();
    return std::move(*error);
  }
  return sink.take();
}

// When a request has run examples for long enough.
std::function<bool()> examples_end(const Clock& clock, const query::CancelToken* cancel) {
  return [&clock, cancel, started = clock.now()] { return (cancel && cancel->cancelled()) || clock.now() - started >= limits::kRuleExamplesTime; };
}

// Rules are made all the same: their examples are about a text as it was written, and parameters, lists and exceptions are there to be changed.
void tell_doubts(const std::vector<RulePtr>& rules, const Clock& clock, const query::CancelToken* cancel, query::QuerySummary& summary) {
  const auto stops = examples_end(clock, cancel);
  std::vector<std::string> doubts;
  size_t not_run = 0;
  for (const RulePtr& rule : rules)
    for (std::string& doubt : rule_doubts(rule, clock.now(), stops, not_run)) doubts.push_back(std::move(doubt));
  for (size_t i = 0; i < doubts.size() && i < limits::kRuleDoubtsTold; ++i) summary.warnings.push_back(std::move(doubts[i]));
  if (doubts.size() > limits::kRuleDoubtsTold) summary.warnings.push_back("and " + counted(doubts.size() - limits::kRuleDoubtsTold, "more of the kind", "more of the kind") + "; test rule NAME tells all");
  if (not_run > 0) summary.warnings.push_back(examples_not_run(not_run));
}

}  // namespace

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
                                                    const query::QueryContext& context, query::QuerySummary& summary, const query::continuous::ReplayProgress& progress) {
  const auto* create = statement.as<g::CreateRule>();
  const auto* command = statement.as<g::Command>();
  if (command)
    if (const auto list = hunted_list(*command)) return hunt(*list, command->over, text, request, context, summary);
  std::optional<RuleWords> words;
  if (command) words = rule_words(*command);
  if (!create && !words) return std::nullopt;
  const std::string verb = create ? "create" : command->verb.text;
  if (verb != "create" && verb != "drop" && verb != "alter" && verb != "replay" && verb != "test") return std::nullopt;
  if (verb != "replay" && verb != "test" && !context.may_define)
    return error_at(statement.span, text, ErrorCode::forbidden, "rules are changed by tokens of the role admin, with POST");
  if (create) {
    const auto known = lists();
    auto made = rules_made_by(*create, text, text, rule_compile_options(known.get()));
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    const auto& rules = std::get<std::vector<ScriptedRule>>(made);
    auto done = on_thread([&] { return this->create(rules, create->replace, create->name.span, text); });
    if (std::holds_alternative<Batch>(done)) {
      std::vector<RulePtr> all;
      for (const ScriptedRule& one : rules) all.push_back(one.rule);
      tell_doubts(all, parts_.clock, context.cancel, summary);
    }
    return done;
  }
  if (verb == "drop") return on_thread([&] { return drop(words->name, words->span, text); });
  if (verb == "alter") {
    if (words->rest.size() == 3 && (words->rest[0] == "add" || words->rest[0] == "drop") && words->rest[1] == "exception") {
      auto done = on_thread([&] { return alter_exception(words->name, words->rest[0] == "add", words->rest[2], words->span, text); });
      RulePtr rule;
      if (std::holds_alternative<Batch>(done) && !known_rule(words->name, words->span, text, rule)) tell_doubts({rule}, parts_.clock, context.cancel, summary);
      return done;
    }
    const bool enables = words->rest.size() == 1 && words->rest[0] == "enable", disables = words->rest.size() == 1 && words->rest[0] == "disable";
    if (!enables && !disables) return error_at(words->span, text, ErrorCode::parse, "expected 'enable', 'disable', or 'add exception \"…\"' behind the rule's name");
    return on_thread([&] { return enable(words->name, enables, words->span, text); });
  }
  if (verb == "test") {
    RulePtr rule;
    if (auto error = known_rule(words->name, words->span, text, rule)) return std::move(*error);
    const auto is_cancelled = [&] { return context.cancel && context.cancel->cancelled(); };
    const TimestampNs started = parts_.clock.now();
    const DurationNs timeout = request.limits.timeout;
    const auto results = query::continuous::run_examples(rule, [&] { return is_cancelled() || (timeout > 0 && parts_.clock.now() - started >= timeout); });
    if (results.size() == rule->fires.size() + rule->quiet.size()) return examples_table(results);
    if (is_cancelled()) return QueryError{ErrorCode::cancelled, "the test was cancelled", {}, std::nullopt, {}};
    return QueryError{ErrorCode::deadline, "the examples ran past the time limit: timeout = " + format_duration(timeout), {}, std::nullopt, {}};
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
  return replay(words->name, words->span, range, text, request, context, summary, progress);
}

std::variant<RuleService::Applied, QueryError> RuleService::apply(std::string_view script, const Principal& who) {
  if (!allows(who.role, Role::admin))
    return QueryError{ErrorCode::forbidden, "rules are changed by admins; this token may " + std::string(to_string(who.role)), {}, std::nullopt, {}};
  auto read = read_rule_script(script, lists());
  if (auto* error = std::get_if<QueryError>(&read)) return std::move(*error);
  Applied applied;
  auto& scripted = std::get<RuleScript>(read).lists;
  if (!scripted.empty() && !parts_.lists) return QueryError{ErrorCode::unsupported, "lists are not kept here", {}, std::nullopt, {}};
  for (const ScriptedList& one : scripted)
    if (one.list.items.empty() && !one.may_be_empty)
      if (const Status may = parts_.lists->may_empty(one.list.name); !may.ok())
        return QueryError{may.error().code, may.error().message, "create or replace list NAME (null) empties it all the same", std::nullopt, {}};
  for (auto& [list, replace, may_be_empty] : scripted) {
    const std::string name = "@" + list.name;
    const auto version = parts_.lists->put_list(std::move(list), replace, may_be_empty);
    if (!version.ok()) return QueryError{version.error().code, version.error().message, {}, std::nullopt, {}};
    applied.all.push_back({name, *version > 1 ? "replaced" : "created", {}});
  }
  std::vector<RulePtr> made;
  for (const ScriptedRule& one : std::get<RuleScript>(read).rules) {
    bool is_same = false;
    for (const RuleStatus& s : rules()) is_same = is_same || (s.name == one.rule->name && s.rule && s.rule->text == one.rule->text);
    if (is_same) {
      applied.all.push_back({one.rule->name, "unchanged", {}});
      continue;
    }
    auto done = on_thread([&] { return create({one}, true, {}, one.text); });
    if (auto* error = std::get_if<QueryError>(&done)) return std::move(*error);
    applied.all.push_back({one.rule->name, std::string(std::get<Batch>(done).columns[1].string_at(0)), {}});
    made.push_back(one.rule);
  }
  // Once all are at work.
  const auto stops = examples_end(parts_.clock, nullptr);
  for (const RulePtr& rule : made)
    std::find_if(applied.all.begin(), applied.all.end(), [&](const Applied::One& one) { return one.name == rule->name; })->doubts =
        rule_doubts(rule, parts_.clock.now(), stops, applied.not_run);
  return applied;
}

RuleService::Answer RuleService::create(const std::vector<ScriptedRule>& rules, bool replace, const g::Span& span, std::string_view text) {
  size_t added = 0;
  for (const auto& [rule, own_text] : rules) {
    const bool known = definitions_.contains(rule->name);
    if (known && !replace) return error_at(span, text, ErrorCode::conflict, "there is a rule '" + rule->name + "' already", "create or replace rule …");
    added += known ? 0 : 1;
  }
  if (definitions_.size() + added > limits::kRulesMax)
    return error_at(span, text, ErrorCode::too_large, "there would be more rules than can be: " + std::to_string(limits::kRulesMax));
  NamedResults results;
  for (const ScriptedRule& one : rules) {
    auto done = create_one(one);
    if (auto* error = std::get_if<QueryError>(&done)) return std::move(*error);
    results.emplace_back(one.rule->name, std::get<std::string>(done));
  }
  return rule_answer(results);
}

std::variant<std::string, QueryError> RuleService::create_one(const ScriptedRule& made) {
  RulePtr rule = made.rule;
  if (!rule->lists.empty()) {
    // The lists may have changed since it was read, and from here on changes are told.
    auto again = compile_rule_text(made.text, *lists());
    if (auto* error = std::get_if<QueryError>(&again)) return std::move(*error);
    rule = std::get<RulePtr>(std::move(again));
  }
  const auto known = definitions_.find(rule->name);
  Definition d;
  d.name = rule->name;
  d.text = made.text;
  d.created_at = parts_.clock.now();
  d.rule = rule;
  if (known != definitions_.end()) {
    d.alerts = d.kept_alerts = known->second.alerts;
    // What it has learned is of the network, whatever it says now.
    if (const RuleState* running = stream_.find(d.name)) resume_from(known->second, *running);
    d.learns_since = known->second.learns_since;
  }
  // Its windows begin with the first that has not ended, and have the flows of it that were stored before.
  TimestampNs watermark = stream_.watermark();
  if (watermark == kTimestampMin) {
    const TimestampNs newest = parts_.store.stats().newest;
    if (newest != kTimestampMin) watermark = std::min(newest, d.created_at) - limits::kRuleTolerance;
  }
  d.begins = rule->is_asked ? query::continuous::Resume{first_asked_window(*rule, watermark), {}} : Stream::beginning(*rule, watermark);
  catalog::Write write;
  write.put(Keyspace::rules, std::string(kRuleKey) + d.name, json{{"text", d.text}, {"enabled", true}, {"created_at", d.created_at}}.dump(-1, ' ', false, json::error_handler_t::replace));
  write.put(Keyspace::rules, std::string(kStateKey) + d.name, json{{"frontier", d.begins.frontier}, {"checkpoint", d.begins.checkpoint}, {"learns_since", d.learns_since}, {"alerts", d.alerts}}.dump());
  if (const Status kept = parts_.store.catalog().commit(write, Sync::yes); !kept.ok()) return QueryError{kept.error().code, kept.error().message, {}, std::nullopt, {}};
  // All that is in the snapshot has gone through the other rules before this one joins them.
  const store::Snapshot snapshot = parts_.store.snapshot();
  while (take_arrivals(snapshot.appends)) {
  }
  const bool replaces = known != definitions_.end();
  if (!replaces) remember_alerts(d.name);
  rule_health_.forget(d.name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
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
  labels_.forget(name);
  rule_health_.forget(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
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
      if (const RuleState* running = stream_.find(name)) add_up(d.before, running->stats());
      stream_.remove(name);
      rule_health_.forget(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
      rule_health_.begin(name, {d.before.dropped_rows, d.before.let_go_groups, 0});
      book_.close(name, parts_.clock.now(), [this](const Episode& e, EpisodeChange change) { on_change(e, change); });
      commit(false);
    } else if (d.rule) {
      d.begins = d.rule->is_asked ? query::continuous::Resume{first_asked_window(*d.rule, stream_.watermark()), {}} : Stream::beginning(*d.rule, stream_.watermark());
      remember_alerts(name);
      const store::Snapshot snapshot = parts_.store.snapshot();
      while (take_arrivals(snapshot.appends)) {
      }
      read_windows(d, snapshot);
    }
  }
  publish_status();
  return rule_answer({{name, enabled ? "enabled" : "disabled"}});
}

// The rule's text with one more, or one less; then it is as if it had been written so.
RuleService::Answer RuleService::alter_exception(const std::string& name, bool adds, const std::string& exception, const g::Span& span, std::string_view text) {
  const auto at = definitions_.find(name);
  if (at == definitions_.end()) return unknown(name, span, text);
  const auto parsed = g::parse(at->second.text);
  const auto* statement = std::get_if<g::Statement>(&parsed);
  if (!statement || !statement->as<g::CreateRule>()) return error_at(span, text, ErrorCode::invalid_argument, "the rule '" + name + "' is broken: " + at->second.note);
  g::CreateRule rule = *statement->as<g::CreateRule>();
  g::RuleOption* option = nullptr;
  for (auto* options : {&rule.options, &rule.alert_options})
    for (g::RuleOption& o : *options)
      if (o.key.text == "except") option = &o;
  const auto is_it = [&](const g::ExprPtr& value) { return value->as<g::StringLiteral>() && value->as<g::StringLiteral>()->value == exception; };
  const bool known = option && std::any_of(option->values.begin(), option->values.end(), is_it);
  if (adds && known) return error_at(span, text, ErrorCode::conflict, "the rule '" + name + "' has this exception already");
  if (!adds && !known) return error_at(span, text, ErrorCode::not_found, "the rule '" + name + "' has no such exception", "show rules has its text");
  if (adds) {
    if (!option) option = &rule.options.emplace_back(g::RuleOption{g::Keyword{"except", {}}, {}, {}});
    option->values.push_back(g::ExprPtr(g::Expr{g::StringLiteral{exception}, {}}));
  } else {
    std::erase_if(option->values, is_it);
    if (option->values.empty())
      for (auto* options : {&rule.options, &rule.alert_options}) std::erase_if(*options, [](const g::RuleOption& o) { return o.key.text == "except"; });
  }
  const std::string changed = g::print(g::Statement{rule, {}});
  auto compiled = compile_rule_text(changed, *lists());
  if (auto* error = std::get_if<QueryError>(&compiled)) return error_at(span, text, error->code, error->message, error->hint);
  auto done = create_one({std::get<RulePtr>(std::move(compiled)), changed});
  if (auto* error = std::get_if<QueryError>(&done)) return std::move(*error);
  log::info("an exception of a rule was changed", {{"rule", name}, {"exception", exception}, {"change", adds ? "added" : "dropped"}});
  return rule_answer({{name, adds ? "exception added" : "exception dropped"}});
}

// The same windows and episodes, over what is stored.
RuleService::Answer RuleService::replay(const std::string& name, const g::Span& span, const std::optional<TimeRange>& asked, std::string_view text,
                                        const query::QueryRequest& request, const query::QueryContext& context, query::QuerySummary& summary,
                                        const query::continuous::ReplayProgress& progress) {
  RulePtr rule;
  if (auto error = known_rule(name, span, text, rule)) return std::move(*error);
  auto found = query::continuous::replay(rule, asked.value_or(TimeRange{}), request, context, progress);
  if (!found.ok()) return QueryError{found.error().code, found.error().message, {}, std::nullopt, {}};
  if (!found->range.empty()) summary.range = found->range;
  summary.stats = found->stats;
  summary.warnings.insert(summary.warnings.end(), found->warnings.begin(), found->warnings.end());
  return server::alerts_table(found->alerts, true);
}

}  // namespace sluice::server
