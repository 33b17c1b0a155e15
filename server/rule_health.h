// RuleHealth: an alert of its own for a rule whose state is at its bound, so that it leaves flows out or lets go of groups: it may miss what it is
// there for.
//
// The rule's name is `rule overflow`, which no rule can have; the key says which rule. It ends when nothing has been lost for
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
  // Over all lives; `groups`: of how many groups that was, about.
  struct Loss {
    uint64_t dropped_rows = 0, let_go_groups = 0, groups = 0;
  };
  // What the rule had lost in earlier lives: that is no news.
  void begin(const std::string& rule, const Loss& loss) { rules_[rule].known = loss; }
  // An alert that was open in an earlier life.
  void restore(query::continuous::Episode episode, TimestampNs now);
  void look(const std::string& rule, const Loss& loss, TimestampNs now, const query::continuous::EpisodeSink& sink);
  // The rule is gone, or begins anew.
  void forget(const std::string& rule, TimestampNs now, const query::continuous::EpisodeSink& sink);

 private:
  struct OfRule {
    Loss known;
    TimestampNs last_loss = 0;
    std::optional<query::continuous::Episode> alert;
  };
  std::map<std::string, OfRule> rules_;
};

}  // namespace sluice::server
