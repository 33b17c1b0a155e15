// Whether what a rule says of a window can only become truer as more flows come into it: then it may alert before the window is complete.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "grammar/syntax.h"
#include "query/words.h"

namespace sluice::query::continuous {

// How a value changes as more flows come into a window.
enum class Trend {
  steady,   // it does not: keys and constants
  rising,   // never falls
  falling,  // never rises
  unknown,
};

// Told of the columns stage by stage, it says how values and conditions over them change.
class Trends {
 public:
  void set(const std::string& name, Trend trend) { names_[lower_case(name)] = trend; }
  Trend of_name(const std::string& name) const;
  void note_changed_column(const std::string& name) { changed_.push_back(lower_case(name)); }

  Trend value(const grammar::Expr& expr) const;

  Trend condition(const grammar::Expr& expr) const;

 private:
  bool is_steady(const grammar::Expr& expr) const;
  static bool is_constant(const grammar::Expr& expr);
  static bool is_positive(const grammar::Expr& expr);
  // Of an aggregate, over the flows of one window.
  Trend aggregate(const grammar::Call& call) const;

  std::map<std::string, Trend> names_;
  std::vector<std::string> changed_;  // columns of flows that a stage has given another meaning
};

}  // namespace sluice::query::continuous
