#include "server/rule_answers.h"

#include "server/worker_pool.h"

namespace sluice::server {

using query::continuous::Finding;
using query::continuous::RulePtr;

void RuleAnswers::Answer::tell(const query::continuous::FindingSink& sink) const {
  for (const query::Chunk& chunk : rows) sink(Finding{*rule, at - rule->window(), true, chunk, &output});
}

void RuleAnswers::Answer::take(const Finding& finding) {
  output = finding.columns();
  rows.push_back(finding.rows);
}

void RuleAnswers::start() {
  thread_ = std::thread([this] { work(); });
}

void RuleAnswers::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RuleAnswers::ask(RulePtr rule, TimestampNs at, TimestampNs learns_since) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || !names_.insert(rule->name).second) return;
    Answer answer;
    answer.rule = std::move(rule);
    answer.at = at;
    answer.learns_since = learns_since;
    waiting_.push_back(std::move(answer));
  }
  wake_.notify_one();
}

bool RuleAnswers::is_asking(const std::string& rule) const {
  std::lock_guard lock(mutex_);
  return names_.contains(rule);
}

void RuleAnswers::taken(const std::string& rule) {
  std::lock_guard lock(mutex_);
  names_.erase(rule);
}

void RuleAnswers::work() {
  name_thread("rule answers");
  for (;;) {
    Answer answer;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      answer = std::move(waiting_.front());
      waiting_.pop_front();
    }
    ask_(answer);
    done_(std::move(answer));
  }
}

}  // namespace sluice::server
