// RuleHealth: an alert of its own for a rule whose state is at its bound, so that it does not count all flows: it may miss what it is there for.
//
// The rule's name is `rule overflow`, which no rule can have; the key says which rule. It ends when nothing has been left out for
// limits::kRuleLossQuiet, by the server's clock, or when the rule is gone.
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "query/continuous/episode.h"

namespace sluice::server {

inline constexpr std::string_view kRuleOverflow = "rule overflow";

class RuleHealth {
 public:
  // How many flows the rule had left out in earlier lives: those are no news.
  void begin(const std::string& rule, uint64_t dropped_rows) { rules_[rule].dropped = dropped_rows; }
  // An alert that was open in an earlier life.
  void restore(query::continuous::Episode episode, TimestampNs now);
  // `dropped_rows`: over all lives. `groups`: of how many groups they were, about.
  void look(const std::string& rule, uint64_t dropped_rows, uint64_t groups, TimestampNs now, const query::continuous::EpisodeSink& sink);
  // The rule is gone, or begins anew.
  void forget(const std::string& rule, TimestampNs now, const query::continuous::EpisodeSink& sink);

 private:
  struct OfRule {
    uint64_t dropped = 0;
    TimestampNs last_loss = 0;
    std::optional<query::continuous::Episode> alert;
  };
  std::map<std::string, OfRule> rules_;
};

}  // namespace sluice::server
