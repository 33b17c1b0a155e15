// Rules that stand for several: one text, and a set of parameters for each rule that comes of it.
//
//   create rule guessing
//     parameters ("packets=60")
//     each ("ssh: ports=22,2222; tries=30; what=SSH", "rdp: ports=3389; tries=40; packets=200; what=RDP")
//     fires ("50 flows over 5m src_ip=203.0.113.9 dst_ip=10.1.0.1 dst_port=$ports proto=tcp packets=14")
//   as … dst_port in $ports …
//   message "{src_ip} tried $what on {dst_ip}"
//
// makes guessing_ssh and guessing_rdp. A set is a name, ':', and parameters parted by ';', which stand before those of `parameters`.
// In the query a parameter is a value, as in every rule. In the texts of options `$name` is replaced by it ("$$" is a dollar), and an
// option's value may be one (`severity $severity`). In examples a list takes turns (`22,2222` becomes `22|2222`), and
// `$tries-1` is one less than a number, so that a near miss can be as near as can be.
//
// What comes out are statements as anybody could have written them, so rules know nothing of where they came from.
//
// Pure, any thread.
#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include "grammar/syntax.h"
#include "query/continuous/rule.h"

namespace sluice::query::continuous {

// The statements that one stands for; itself, where it has no `each`. Errors: a set that is not written as above or is there twice, one
// more than limits::kRuleSetsMax, a parameter that no set gives and a text names, with the place.
std::variant<std::vector<grammar::CreateRule>, QueryError> expand_rule(const grammar::CreateRule& statement, std::string_view text);

// The rules that a statement makes, compiled. An error in one of several says in which.
std::variant<std::vector<RulePtr>, QueryError> compile_rules(const grammar::CreateRule& statement, std::string_view text, const CompileOptions& options = {});

}  // namespace sluice::query::continuous
