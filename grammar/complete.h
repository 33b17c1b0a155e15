// What may come next at a place in an unfinished query: for editors, the REPL and /v1/query/complete.
//
// Knows the shape of the language but no columns, functions or values; it names the kinds that fit and the caller fills
// them in from the schema and the registries, keeping those that begin with `prefix`. Judged from the tokens before
// the cursor alone, so it works on texts that do not parse. Pure, any thread, linear in the text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "grammar/syntax.h"

namespace sluice::grammar {

enum class Suggest {
  kKeyword,    // exactly `text`: "by", "not in", "last", "|"
  kStage,      // any stage name
  kColumn,     // any column or name given by an earlier stage
  kFunction,   // any scalar function
  kAggregate,  // any aggregate function
  kValue,      // a value of the column called `text`, as written in the query
  kDuration,   // 5m
  kNumber,     // a count
  kTimestamp,  // 2026-11-20T08:00Z
  kParameter,  // $name
  kList,       // @name
  kSource,     // flows, alerts
  kTable,      // a context table
  kRule,       // a rule's name
};

struct Suggestion {
  Suggest kind = Suggest::kKeyword;
  std::string text;  // for kKeyword and kValue
  bool operator==(const Suggestion&) const = default;
};

struct Completion {
  std::string prefix;  // the unfinished word before the cursor, as typed; may be empty
  Span replace;        // that word with what follows the cursor of it: what a chosen suggestion replaces
  std::vector<Suggestion> suggestions;  // likeliest first; empty inside comments and finished literals
};

// `cursor` is a byte offset; past the end it counts as the end.
Completion complete(std::string_view text, size_t cursor);

}  // namespace sluice::grammar
