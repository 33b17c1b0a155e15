// A rule on a stream, and its alerts, with deaths: for tests of what people are told, whenever the process died in between.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "query/continuous/episode.h"
#include "query/continuous/replay.h"
#include "query/continuous/stream.h"
#include "tests/unit/query/continuous/flows.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {

// One rule, with its alerts.
struct Watched {
  explicit Watched(RulePtr of) : rule(std::move(of)) { stream->add(make_state(rule, {})); }
  explicit Watched(const std::string& text) : Watched(rule_of(text)) {}
  Watched(const Watched&) = delete;

  void push(std::span<const Flow> flows, TimestampNs at) { push(batch_of(flows), at); }
  void push(std::shared_ptr<const Batch> flows, TimestampNs at) {
    now = at;
    snapshot.open.push_back(std::move(flows));
    stream->push(snapshot.open.back(), now, on_finding);
    settle();
  }
  // As they end.
  void push(const std::vector<Flow>& flows) {
    TimestampNs at = now;
    for (const Flow& f : flows) at = std::max(at, f.end);
    push(flows, at);
  }
  void tick(TimestampNs at) {
    now = at;
    stream->tick(now, on_finding);
    settle();
  }
  void die() {
    book = EpisodeBook();
    for (const auto& [id, e] : alerts) book.restore(e);
    stream = made_again(*stream, {rule}, snapshot, now, on_finding);
    tick(now);
  }
  void settle() { book.settle(*rule, stream->find(rule->name)->settled_before(), now, on_change); }
  std::vector<Episode> replayed() const {
    const Over over(snapshot, now);
    auto out = replay(rule, {}, {}, over.context);
    EXPECT_TRUE(out.ok());
    return out.ok() ? std::move(out->alerts) : std::vector<Episode>();
  }
  const WindowStats& stats() const { return stream->find(rule->name)->stats(); }

  const RulePtr rule;
  std::unique_ptr<Stream> stream = std::make_unique<Stream>();
  EpisodeBook book;
  store::Snapshot snapshot;
  TimestampNs now = kStart;
  std::map<std::string, Episode> alerts;  // by id, pending ones too
  std::vector<std::string> told;          // what is more than an update, and severities that rose

 private:
  const EpisodeSink on_change = [this](const Episode& e, EpisodeChange change) {
    const auto known = alerts.find(e.id);
    if (change != EpisodeChange::updated)
      told.push_back(std::string(to_string(change)) + " " + e.key);
    else if (known != alerts.end() && e.severity > known->second.severity)
      told.push_back("raised " + e.key + " " + std::string(to_string(e.severity)));
    if (change == EpisodeChange::dropped)
      alerts.erase(e.id);
    else
      alerts[e.id] = e;
  };
  const FindingSink on_finding = [this](const Finding& f) { book.take(f, now, on_change); };
};

}  // namespace sluice::query::continuous
