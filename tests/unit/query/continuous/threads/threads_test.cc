// Large batches go through several rules at once. What is found is what one thread finds.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>

#include "query/continuous/stream.h"
#include "tests/golden/thread_executor.h"
#include "tests/unit/query/continuous/flows.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

// By rule, window and whether it has settled. Batches are the same for both, so each must be told the same, as often.
using Told = std::map<std::string, std::multiset<std::string>>;

std::vector<RulePtr> rules_of_each_kind() {
  static const char* const queries[] = {
      "from flows | where proto == tcp and tcp_flags == S | stats ports = dcount(dst_port), hosts = dcount(dst_ip) by src_ip window 5m slide 30s | where ports > 2 or hosts > 3",
      "dst_port == 22 and proto == tcp | stats n = count() by src_ip, dst_ip window 1m | where n >= 2",
      "from flows | stats total = sum(bytes), n = count() by dst_port window 2m | where total > 100KB",
      "from flows | where concat(src_region, '-', proto) matches /^eu.*17$/ or bytes > 9000 | stats n = count() by src_ip window 3m | where n > 1",
      "src_ip in (10.0.0.0/30, 10.0.0.7) and not dst_ip in 10.1.0.0/24 and bytes > 100",
      "dst_port in (22, 3389) | stats total = sum(bytes), n = count() by src_ip, dst_ip window session gap 2m | where n > 2",
      "proto == tcp | sequence by src_ip within 2m [dst_port == 22] then [dst_port == 443]",
      "proto == udp | first_seen src_ip, dst_ip lookback 10m | stats n = count() by src_ip, dst_ip window 1m",
      "from flows | stats n = count(), who = first(src_ip), p = p95(bytes) by ip window 10m slide 2m | where n > 5",
  };
  std::vector<RulePtr> rules;
  // Several of each share their tests and columns.
  for (int copy = 0; copy < 3; ++copy)
    for (const char* query : queries) {
      const std::string learn = std::string(query).find("first_seen") == std::string::npos ? "" : " learn 0s";
      rules.push_back(rule_of("create rule r" + std::to_string(rules.size()) + learn + " as " + query));
    }
  return rules;
}

Told told_of(const std::vector<RulePtr>& rules, const std::vector<Flow>& flows, Executor* executor) {
  Told told;
  Stream stream(executor);
  const FindingSink sink = [&](const Finding& f) {
    for (const auto& line : lines_of(f.rows, f.columns())) told[f.rule.name + (f.is_settled ? " settled " : " early ") + format_timestamp(f.window)].insert(line);
  };
  for (const auto& rule : rules) stream.add(make_state(rule, {}));
  TimestampNs now = kStart;
  constexpr size_t kBatch = 5'000;
  for (size_t at = 0; at < flows.size(); at += kBatch) {
    const auto some = std::span(flows).subspan(at, std::min(kBatch, flows.size() - at));
    now = some.back().end + kMinute;
    stream.push(batch_of(some), now, sink);
  }
  stream.tick(now + 2 * kHour, sink);
  for (const auto& rule : rules) EXPECT_EQ(stream.trouble(rule->name), "");
  return told;
}

TEST(Threads, FindWhatOneThreadFinds) {
  std::mt19937_64 dice(7);
  const auto flows = random_flows(dice, 30'000, 40 * kMinute, 50 * kSecond);
  const auto rules = rules_of_each_kind();
  for (const auto& rule : rules) ASSERT_TRUE(rule);
  const Told alone = told_of(rules, flows, nullptr);
  for (const auto& rule : rules) {
    const auto at = alone.lower_bound(rule->name + " ");
    EXPECT_TRUE(at != alone.end() && at->first.starts_with(rule->name + " ")) << rule->name << " finds nothing";
  }
  ThreadExecutor threads;
  for (int round = 0; round < 3; ++round) EXPECT_EQ(told_of(rules, flows, &threads), alone);
}

}  // namespace
}  // namespace sluice::query::continuous
