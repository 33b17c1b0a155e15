#include "server/alert_labels.h"

#include <set>
#include <unordered_map>

#include "server/log.h"
#include "storage/model/text_list.h"

namespace sluice::server {

void AlertLabels::note(const query::continuous::Rule& rule, const query::continuous::Episode& episode, TimestampNs now) {
  for (const auto& label : rule.labels) {
    const auto value = find_extra(episode.values, label.column);
    if (!value || value->empty() || *value == "null") continue;
    Item& item = wanted_[label.list][*value];
    const TimestampNs end = now + label.lifetime;
    if (end <= item.end) continue;
    item = {end, now + label.lifetime / 2, rule.name};
  }
}

void AlertLabels::keep(ListKeeper& lists) {
  if (wanted_.empty()) return;
  const auto book = lists.lists();
  std::map<std::string, std::string> outcomes;  // of each rule: why a list of its did not take its labels; empty: all did
  for (const auto& [name, items] : wanted_) {
    std::unordered_map<std::string_view, TimestampNs> ends;
    if (const query::WatchList* list = book->find(name))
      for (size_t i = 0; i < list->items.size(); ++i)
        if (items.contains(list->items[i])) ends.emplace(list->items[i], list->ends.empty() ? kTimestampMax : list->ends[i]);
    std::vector<std::string> fresh;
    std::vector<TimestampNs> until;
    std::set<std::string> rules;
    for (const auto& [text, item] : items) {
      rules.insert(item.rule);
      if (const auto at = ends.find(text); at != ends.end() && at->second > item.renew) continue;
      fresh.push_back(text);
      until.push_back(item.end);
    }
    Status kept;
    if (!fresh.empty())
      if (auto merged = lists.merge(name, std::move(fresh), std::move(until)); !merged.ok()) kept = std::move(merged).error();
    for (const std::string& rule : rules)
      if (std::string& why = outcomes[rule]; why.empty() && !kept.ok()) why = "labels could not be put into the list '" + name + "': " + kept.error().message;
  }
  for (auto& [rule, why] : outcomes) {
    if (why.empty()) {
      troubles_.erase(rule);
      continue;
    }
    std::string& trouble = troubles_[rule];
    if (trouble.empty()) log::error("labels of alerts could not be put into a list", {{"rule", rule}, {"reason", why}});
    trouble = std::move(why);
  }
  wanted_.clear();
}

std::string AlertLabels::trouble(const std::string& rule) const {
  const auto at = troubles_.find(rule);
  return at == troubles_.end() ? std::string() : at->second;
}

}  // namespace sluice::server
