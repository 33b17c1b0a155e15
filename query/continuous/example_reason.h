// Why an example's flows made a rule alert nobody, for who wrote the rule and wonders. The rule's query is asked over them stage by stage, until
// nothing is left, and what came nearest there is held against the condition:
//
//   none of 40 flows meets the filter: proto == tcp (40 do), dst_port == 22 (0 do)
//   flow 1: dst_port == 22 is false (dst_port = 23)
//
//   40 of 41 flows meet the filter; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T00:05:00Z, they make 1 group
//   src_ip=10.0.0.5: ports > 100 is false (ports = 40)
//
// Pure, any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "query/continuous/episode.h"
#include "query/watch_list.h"

namespace sluice::query::continuous {

// A few lines. `pending`: alerts that began and did not last. REQUIRES: `lists` holds all that the rule reads
std::string why_silent(const Rule& rule, const std::vector<std::shared_ptr<const Batch>>& flows, const std::shared_ptr<const ListBook>& lists, std::span<const Episode> pending);

}  // namespace sluice::query::continuous
