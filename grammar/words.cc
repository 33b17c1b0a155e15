#include "grammar/words.h"

#include <algorithm>

namespace sluice::grammar {
namespace {

constexpr std::string_view kStages[] = {
    "where",  "extend",  "select",   "drop",    "rename",     "stats",  "top",     "timeseries", "sort",   "limit",
    "tail",   "sample",  "distinct", "render",  "join",       "lookup", "stitch",  "dedup",      "compare", "baseline",
    "absent", "beacons", "sequence", "first_seen", "reach",  "sessions",
};

// Word, and what it is here.
constexpr std::string_view kStagesElsewhere[][2] = {
    {"count", "stats count()"},      {"summarize", "stats"},  {"summarise", "stats"}, {"aggregate", "stats"}, {"group", "stats … by …"},
    {"groupby", "stats … by …"},     {"project", "select"},   {"fields", "select"},   {"columns", "select"},  {"table", "select"},
    {"keep", "select"},              {"take", "limit 10"},    {"head", "limit 10"},   {"order", "sort"},      {"orderby", "sort"},
    {"filter", "where"},             {"search", "where"},     {"eval", "extend"},     {"let", "extend"},      {"with", "extend"},
    {"uniq", "distinct"},            {"unique", "distinct"},  {"timechart", "timeseries"},                    {"chart", "timeseries"},
    {"rare", "stats … by … | sort"}, {"bin", "stats … by bin(5m)"},                   {"topn", "top 10"},     {"sum", "stats sum(bytes)"},
    {"last", "tail"},                {"first", "limit 10"},   {"having", "where"},    {"union", ""},
};

constexpr std::string_view kDurationWords[][2] = {
    {"s", "s"},   {"sec", "s"},     {"secs", "s"},    {"second", "s"}, {"seconds", "s"}, {"m", "m"},    {"min", "m"},   {"mins", "m"}, {"minute", "m"},
    {"minutes", "m"}, {"h", "h"},   {"hr", "h"},      {"hrs", "h"},    {"hour", "h"},    {"hours", "h"}, {"d", "d"},    {"day", "d"},  {"days", "d"},
    {"w", "w"},   {"wk", "w"},      {"week", "w"},    {"weeks", "w"},  {"ms", "ms"},     {"milliseconds", "ms"},
};

constexpr std::string_view kSubjects[] = {"columns", "sources", "exporters", "feeds",   "feed_errors", "tables",    "rules",  "segments",
                                          "storage", "queries", "losses",    "sampling", "interfaces", "exporter_errors",
                                          "lists",   "zones",  "stages",  "functions", "alerts",   "targets", "forwards"};

constexpr std::string_view kOperators[] = {"and", "or", "not", "in", "between", "is", "has", "contains", "starts_with",
                                           "ends_with", "matches"};

}  // namespace

std::span<const std::string_view> stage_names() { return kStages; }
bool is_stage_name(std::string_view lower_case) {
  return std::find(std::begin(kStages), std::end(kStages), lower_case) != std::end(kStages);
}
std::string_view stage_of_elsewhere(std::string_view lower_case) {
  for (const auto& [word, here] : kStagesElsewhere)
    if (word == lower_case) return here;
  return {};
}
std::string_view duration_unit_of(std::string_view lower_case) {
  for (const auto& [word, unit] : kDurationWords)
    if (word == lower_case) return unit;
  return {};
}
std::span<const std::string_view> show_subjects() { return kSubjects; }
std::span<const std::string_view> operator_words() { return kOperators; }

}  // namespace sluice::grammar
