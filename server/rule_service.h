// RuleService: rules that run on everything that is appended, and the alerts that come of them.
//
// Every append goes to a bounded queue when it becomes visible (Store::watch_appends), and from there, in order and each once,
// through all enabled rules on one thread. When the queue is full it is let go whole, and the rules read their open windows again
// from the store: ingest never waits, and nothing is missed.
//
// Kept in the catalogue, keyspace `rules`:   rule/NAME   the definition
//                                            state/NAME  frontier, checkpoint (checkpoint.h) and counters
//                                            sources     how far the time of each source has come, and when it was last heard of
//                                            alive       until when there was somebody to hear sources
//              keyspace `episodes`:          id          an alert, or what may become one
// A rule that is asked again and again (asked_rule.h) has the start of its next window as frontier, and no other state.
//
// A rule that reads watch-lists is bound to what they hold. When one changes the rule is bound again and reads its open windows from the
// store, so that it is as if the list had always been so; a list that rules read is not dropped.
//
// A change that people are told of (an alert starts or ends) is written at once, and shown once that is done; frontiers, with all that changed, every
// kCheckpointEvery. After a death the open windows are read from the store from the frontier on, so they hold the same flows, and the
// same alerts come of them under the same ids.
//
// Thread rule: any thread, after open(). run() of a statement that changes rules waits for the rules' thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "query/continuous/episode.h"
#include "query/continuous/replay.h"
#include "query/continuous/stream.h"
#include "server/alert_changes.h"
#include "server/alert_labels.h"
#include "server/auth.h"
#include "server/delivery/outbox.h"
#include "server/error_voice.h"
#include "server/exporter_book.h"
#include "server/list_keeper.h"
#include "server/metrics.h"
#include "server/rule_answers.h"
#include "server/rule_health.h"
#include "server/rule_script.h"
#include "server/source_health.h"
#include "storage/store/store.h"

namespace sluice::server {

struct RuleStatus {
  std::string name, text, state, note;  // state: running, disabled, reading, broken
  bool is_enabled = true;
  TimestampNs created_at = 0;
  query::continuous::RulePtr rule;      // null when broken
  query::continuous::WindowStats windows;
  TimestampNs watermark = kTimestampMin;
  DurationNs waits = 0;                 // how long the source has been silent that its windows wait for; 0: for none, or for none out of the ordinary
  uint64_t alerts = 0;                  // that started since the rule exists
  size_t open_alerts = 0;
  uint64_t beyond_bound = 0;
};

struct RuleQueue {
  uint64_t rows = 0, bytes = 0;
  DurationNs lag = 0;        // since the oldest of them arrived
  uint64_t processed_rows = 0;
  uint64_t catch_ups = 0;    // how often the queue was let go
  uint64_t let_go_rows = 0;  // that were in it, or came until the store was read
};

class RuleService {
 public:
  struct Parts {
    store::Store& store;
    const Clock& clock;
    query::Executor& executor;
    const ExporterBook* exporters = nullptr;
    delivery::Outbox* outbox = nullptr;  // whom alerts are told to; may be null
    ListKeeper* lists = nullptr;  // read before
    query::SystemTables tables;   // what rules that are asked may read beside flows and alerts, once start() has been called
  };
  // Reads definitions and alerts, and watches the store from here on, unless its owner does and calls arrived(). REQUIRES: nothing has been
  // appended yet in this process
  static Result<std::unique_ptr<RuleService>> open(Parts parts);
  ~RuleService();
  RuleService(const RuleService&) = delete;

  // See store::AppendWatcher.
  void arrived(uint64_t append, std::span<const std::shared_ptr<const Batch>> batches);
  void start();
  // Takes what is in the queue through the rules, and keeps everything. Twice is once.
  void stop();

  // create rule, drop rule, alter rule … enable|disable, replay rule, which tells `progress` how far it is. nullopt: none of these. What reads
  // flows (replay rule, replay list) says in the summary which, what it cost, and what is to be known of it.
  std::optional<std::variant<Batch, query::QueryError>> run(const grammar::Statement& statement, std::string_view text, const query::QueryRequest& request,
                                                            const query::QueryContext& context, query::QuerySummary& summary, const query::continuous::ReplayProgress& progress = {});

  // A file of `create rule` statements: all are checked first, then each is made or replaced; one that says what it said stays as it is.
  struct Applied {
    struct One {
      std::string name, result;  // created, replaced, unchanged; a list's name has an '@'
      std::vector<std::string> doubts;  // see rule_doubts()
    };
    std::vector<One> all;
    size_t not_run = 0;  // examples, within limits::kRuleExamplesTime
  };
  std::variant<Applied, query::QueryError> apply(std::string_view script, const Principal& who);

  // Any thread: a list has changed. Who reads a list (in lower case), names joined by ", "; `by_zone`: who asks zone() reads every zone. And whether a list may go, or
  // have no item.
  void list_changed(const std::string& name);
  std::string readers_of_list(const std::string& name, bool by_zone) const;
  Status may_drop_list(const std::string& name) const;
  Status may_empty_list(const std::string& name) const;

  std::vector<RuleStatus> rules() const;
  // Alerts, the latest first.
  std::vector<query::continuous::Episode> alerts() const;
  AlertChanges& changes() { return changes_; }
  RuleQueue queue() const;
  size_t firing() const;

  Batch rules_table() const;
  Batch alerts_table() const;

 private:
  struct Definition {
    std::string name, text;
    bool is_enabled = true;
    TimestampNs created_at = 0;
    query::continuous::RulePtr rule;  // null: `note` says why
    std::string note;
    query::continuous::Resume begins{kTimestampMin, {}};  // of its state, when it is made again
    std::string kept;                 // its state's record in the catalogue
    query::continuous::WindowStats before;  // counters of earlier lives
    TimestampNs learns_since = kTimestampMax;  // of one with `learn`: the first flow that it has known of, kept no more perhaps
    uint64_t alerts = 0, kept_alerts = 0;  // that started; and as the catalogue has it
    // Of a rule that is asked: answers that failed, and that were left out after a long while without the server; and why the last failed.
    uint64_t failed_answers = 0, skipped_answers = 0;
    std::string answer_trouble;
  };
  struct Arrival {
    uint64_t append = 0;
    TimestampNs at = 0;
    std::vector<std::shared_ptr<const Batch>> batches;
    uint64_t rows = 0;
    size_t bytes = 0;
  };
  using Answer = std::variant<Batch, query::QueryError>;

  explicit RuleService(Parts parts);
  Status load();

  // Of the rules' thread.
  void work();
  bool take_arrivals(std::optional<uint64_t> up_to);
  void read_windows_again();
  void read_windows(Definition& definition, const store::Snapshot& snapshot);
  void on_finding(const query::continuous::Finding& finding);
  void on_change(const query::continuous::Episode& episode, query::continuous::EpisodeChange change);
  // What became of alerts, for who asks and who watches, once it is kept: a death takes back nothing that was seen.
  void publish_alerts();
  // Alerts of rules that were dropped or disabled when the process died, before their end was kept.
  void close_what_runs_no_more();
  // What is kept of the rule's alerts is known to it again.
  void remember_alerts(const std::string& rule);
  void settle_episodes();
  void look_at_bounds();
  void ask_what_is_due();
  void take_answer(RuleAnswers::Answer answer);
  // Where a rule that is asked begins: with what is due now.
  static TimestampNs first_asked_window(const query::continuous::Rule& rule, TimestampNs watermark);
  void bind_to_changed_lists();
  std::shared_ptr<const query::ListBook> lists() const;
  // Over a snapshot, cancelled when the service stops.
  query::QueryContext context(const store::Snapshot& snapshot) const;
  void commit(bool is_last);
  void keep(bool is_last);
  // What to begin with in the next life, or when the state is made again.
  static void resume_from(Definition& definition, const query::continuous::RuleState& running);
  static void add_up(query::continuous::WindowStats& sum, const query::continuous::WindowStats& more);
  void publish_status();
  // Runs on the rules' thread; waits for it.
  Answer on_thread(std::function<Answer()> job);

  // All of them or, where one cannot be, none. `span` and `text`: where an error points.
  Answer create(const std::vector<ScriptedRule>& rules, bool replace, const grammar::Span& span, std::string_view text);
  std::variant<std::string, query::QueryError> create_one(const ScriptedRule& made);
  Answer drop(const std::string& name, const grammar::Span& span, std::string_view text);
  // `alter rule NAME add|drop exception "…"`.
  Answer alter_exception(const std::string& name, bool adds, const std::string& exception, const grammar::Span& span, std::string_view text);
  Answer enable(const std::string& name, bool enabled, const grammar::Span& span, std::string_view text);
  std::optional<query::QueryError> known_rule(const std::string& name, const grammar::Span& span, std::string_view text, query::continuous::RulePtr& rule) const;
  query::QueryError unknown(const std::string& name, const grammar::Span& span, std::string_view text) const;
  using NamedResults = std::vector<std::pair<std::string, std::string>>;
  static Answer rule_answer(const NamedResults& rules);
  Answer replay(const std::string& name, const grammar::Span& span, const std::optional<TimeRange>& range, std::string_view text, const query::QueryRequest& request,
                const query::QueryContext& context, query::QuerySummary& summary, const query::continuous::ReplayProgress& progress);

  static constexpr std::string_view kRuleKey = "rule/", kStateKey = "state/";

  const Parts parts_;

  mutable std::mutex queue_mutex_;
  std::condition_variable wake_;
  std::deque<Arrival> queue_;
  uint64_t queue_rows_ = 0;
  size_t queue_bytes_ = 0;
  bool overflowed_ = false, stopping_ = false;
  std::deque<std::packaged_task<void()>> jobs_;
  std::set<std::string> changed_lists_;
  std::atomic<uint64_t> processed_rows_{0}, catch_ups_{0}, let_go_rows_{0};

  // Of the rules' thread, once it runs.
  query::continuous::Stream stream_;
  query::continuous::EpisodeBook book_;
  AlertLabels labels_;
  SourceHealth health_;
  RuleHealth rule_health_;
  std::map<std::string, Definition> definitions_;
  std::map<std::string, std::string> dirty_;  // episodes to be kept: id to record, empty to be erased
  bool is_urgent_ = false;                    // one of them is what people are told of
  std::vector<std::pair<query::continuous::EpisodeChange, query::continuous::Episode>> unpublished_;
  TimestampNs kept_at_ = 0;
  std::string kept_sources_;
  size_t kept_source_count_ = 0;
  TimestampNs bound_at_ = 0;                  // to lists that changed
  ErrorVoice voice_, lists_voice_;
  std::shared_ptr<const query::SamplingRules> sampling_rules_;
  std::shared_ptr<const query::NameBook> names_;

  mutable std::mutex status_mutex_;
  std::vector<RuleStatus> status_;
  std::map<std::string, query::continuous::Episode> alerts_;    // by id, without the pending
  std::set<std::pair<TimestampNs, std::string>> order_;          // of alerts_: fired_at and id

  AlertChanges changes_;
  query::CancelToken cancel_;  // of reading windows and of answers, when stopping
  std::unique_ptr<RuleAnswers> answers_;
  std::thread thread_;
};

}  // namespace sluice::server
