// AlertLabels: what alerts put into watch-lists for a time (`label ("src_ip in @suspects for 7d")` of a rule).
//
// While an alert goes on its label is renewed once half of its lifetime is over; a list's item that lasts longer, or for ever, stays as it
// is. Alerts of a silent rule, and what replay and examples find, label nothing.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <string>

#include "query/continuous/episode.h"
#include "query/continuous/rule.h"
#include "server/list_keeper.h"

namespace sluice::server {

class AlertLabels {
 public:
  // The alert of that rule started, or goes on.
  void note(const query::continuous::Rule& rule, const query::continuous::Episode& episode, TimestampNs now);

  // Puts what was noted into the lists, making those that are not there. What a list refuses is let go, and stays said in trouble() until
  // labels of that rule are kept again. Durable when it returns: called before the alerts themselves are kept, so that a death between the
  // two labels twice and never not at all.
  void keep(ListKeeper& lists);

  // Why labels of the rule are not in their list; empty: they are.
  std::string trouble(const std::string& rule) const;
  void forget(const std::string& rule) { troubles_.erase(rule); }

 private:
  struct Item {
    TimestampNs end = 0;     // of the label
    TimestampNs renew = 0;   // an item that ends later than this is left alone
    std::string rule;        // that wanted it last
  };
  std::map<std::string, std::map<std::string, Item>> wanted_;  // by list and item
  std::map<std::string, std::string> troubles_;                // by rule
};

}  // namespace sluice::server
