#include "grammar/words.h"

#include <algorithm>

namespace sluice::grammar {
namespace {

constexpr std::string_view kStages[] = {
    "where",  "extend",  "select",   "drop",    "rename",     "stats",  "top",     "timeseries", "sort",   "limit",
    "tail",   "sample",  "distinct", "render",  "join",       "lookup", "stitch",  "dedup",      "compare", "baseline",
    "absent", "beacons", "sequence", "first_seen", "reach",
};

constexpr std::string_view kSubjects[] = {"columns", "sources",  "exporters", "feeds", "feed_errors", "tables", "rules", "segments",
                                          "storage", "queries",  "lists",     "stages", "functions", "alerts"};

constexpr std::string_view kOperators[] = {"and", "or", "not", "in", "between", "is", "has", "contains", "starts_with",
                                           "ends_with", "matches"};

}  // namespace

std::span<const std::string_view> stage_names() { return kStages; }
bool is_stage_name(std::string_view lower_case) {
  return std::find(std::begin(kStages), std::end(kStages), lower_case) != std::end(kStages);
}
std::span<const std::string_view> show_subjects() { return kSubjects; }
std::span<const std::string_view> operator_words() { return kOperators; }

}  // namespace sluice::grammar
