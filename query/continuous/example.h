// Examples of a rule: flows that must make it alert, and near misses that must not. They stand in its text, so that a rule is
// tested wherever it goes (`test rule NAME`, `sluice rules test`):
//
//   fires ("120 flows over 1m src_ip=10.0.0.5 dst_ip=10.1.0.1 dst_port=1.. proto=tcp tcp_flags=S")
//   quiet ("40 flows over 1m src_ip=10.0.0.5 …; 1 flow at 10m src_ip=10.0.0.6 …")
//
// An example is groups parted by ';': a count, `at` and `over` (when the first flow ends and how long it takes to the last; 0 and
// 0), then columns, by any name they answer to. A value `A..` counts up from A by flow (numbers and addresses), `A..B` begins again
// behind B, `A|B|C` takes turns. exported_at and received_at are said by how long they lie
// behind the flow's end (`5m`, `-1h`). A group `@NAME = 192.0.2.7, 198.51.100.0/24` says what a watch-list holds; lists that the
// example does not name are empty. Where nothing says otherwise a flow has duration 1s, one packet, and 60 raw_bytes.
//
// Pure, any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "query/continuous/episode.h"

namespace sluice::query::continuous {

// Flows in the order of their ends, in batches of `span` at most: as appends of a live server hold them, unless it says otherwise.
// Errors: parse, naming the group and the word.
Result<std::vector<std::shared_ptr<const Batch>>> example_flows(std::string_view text, DurationNs span = 30 * kSecond);

struct ExampleResult {
  std::string text;
  bool must_fire = false;
  bool passed = false;
  size_t alerts = 0;
  std::string detail;  // the first alert's message, or what is wrong with the example; of one that did not pass, lines that say why (example_reason.h)
};
// A rule's examples, each over windows of its own, as live would have it: flows in order of time, then silence. Once `stops` says so it is enough, also
// in the midst of an example (looked at between batches of flows, and between answers); those that were not run are not in what comes back.
std::vector<ExampleResult> run_examples(const RulePtr& rule, const std::function<bool()>& stops = {});

// Flows of one example through the rule.
Result<std::vector<Episode>> run_example(const RulePtr& rule, std::string_view text);

}  // namespace sluice::query::continuous
