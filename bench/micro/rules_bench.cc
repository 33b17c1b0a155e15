// Rules over flows: the library's rules, then as many more as wanted, over the comparison's workload in batches of the queue's size,
// on one thread. rules/s is not the point; flows/s with N rules is, and what one more rule costs.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "bench/generate/flow_batch.h"
#include "bench/generate/workload.h"
#include "grammar/parse.h"
#include "query/continuous/rule_template.h"
#include "query/continuous/stream.h"

namespace sluice {
namespace {

using query::continuous::RulePtr;

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01
constexpr size_t kRows = 1'000'000;

const std::vector<std::shared_ptr<const Batch>>& flows() {
  static const auto batches = [] {
    std::vector<std::shared_ptr<const Batch>> out;
    generate::Workload workload({1, kRows, kStart});
    const generate::Reporters reporters = generate::Workload::reporters();
    FlowBatchBuilder builder;
    generate::Flow flow;
    while (workload.next(flow)) {
      generate::append_row(flow, reporters, builder);
      if (builder.rows() == limits::kRuleBatchRows) out.push_back(std::make_shared<const Batch>(builder.finish()));
    }
    if (builder.rows() > 0) out.push_back(std::make_shared<const Batch>(builder.finish()));
    return out;
  }();
  return batches;
}

void add_rules(const std::string& text, std::vector<RulePtr>& rules) {
  const auto parsed = grammar::parse_script(text);
  query::continuous::CompileOptions options;
  options.any_list = true;
  for (const auto& statement : std::get<std::vector<grammar::Statement>>(parsed)) {
    const auto* create = statement.as<grammar::CreateRule>();
    if (!create) continue;
    auto made = query::continuous::compile_rules(*create, text, options);
    if (const auto* error = std::get_if<query::QueryError>(&made)) {
      std::fprintf(stderr, "%s: %s\n", create->name.text().c_str(), error->message.c_str());
      std::abort();
    }
    // Those that are asked again and again are not on the stream.
    for (RulePtr& rule : std::get<std::vector<RulePtr>>(made))
      if (!rule->is_asked) rules.push_back(std::move(rule));
  }
}

std::vector<RulePtr> rules_of(size_t count) {
  std::vector<RulePtr> rules;
  for (const auto& file : std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/rules")) {
    if (file.path().extension() != ".flowql") continue;
    std::ifstream in(file.path());
    add_rules({std::istreambuf_iterator<char>(in), {}}, rules);
  }
  // More of the kinds that libraries are full of: a service, a direction, a threshold.
  for (size_t i = 0; rules.size() < count; ++i) {
    const std::string port = std::to_string(1 + i * 37 % 9'000), name = "more_" + std::to_string(i);
    switch (i % 3) {
      case 0: add_rules("create rule " + name + " as proto == tcp and dst_port == " + port + " and src_ip not in 10.0.0.0/8 and packets > 3 alert by src_ip suppress 1h", rules); break;
      case 1: add_rules("create rule " + name + " as proto == udp and src_port == " + port + " | stats b = sum(bytes), n = dcount(src_ip) by dst_ip window 1m | where b > 1GB and n > 20 alert by dst_ip suppress 1h", rules); break;
      default: add_rules("create rule " + name + " as dst_port == " + port + " and action in (reject, drop) | stats n = dcount(dst_ip) by src_ip window 5m slide 1m | where n > 50 alert by src_ip suppress 1h", rules);
    }
  }
  if (rules.size() > count) rules.resize(count);
  return rules;
}

void BM_Rules(benchmark::State& state) {
  const auto rules = rules_of(static_cast<size_t>(state.range(0)));
  const auto& batches = flows();
  uint64_t rows = 0, found = 0, bytes = 0, groups = 0;
  size_t tests = 0;
  for (auto _ : state) {
    query::continuous::Stream stream;
    for (const auto& rule : rules) stream.add(query::continuous::make_state(rule, {}));
    tests = stream.distinct_tests();
    for (const auto& batch : batches) {
      const auto times = batch->columns[*batch->find(ColumnId::flow_end)].values<int64_t>();
      stream.push(batch, times.back(), [&](const query::continuous::Finding& f) { found += f.rows.rows; });
      rows += batch->rows;
    }
    bytes = groups = 0;
    for (const auto* g : stream.all()) bytes += g->stats().bytes, groups += g->stats().groups;
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.counters["tests"] = static_cast<double>(tests);
  state.counters["found"] = static_cast<double>(found);
  state.counters["groups"] = static_cast<double>(groups);
  state.counters["state_MB"] = static_cast<double>(bytes) / 1e6;
}
BENCHMARK(BM_Rules)->Arg(1)->Arg(10)->Arg(45)->Arg(100)->Arg(300)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace sluice
