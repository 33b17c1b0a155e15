// Statements that define something: `create [or replace] list`, `drop list`, `create [or replace] table`, `drop table`.
#pragma once

#include <optional>

#include "grammar/syntax.h"
#include "query/engine.h"

namespace sluice::query {

// Whether this is a statement that changes what is kept, and run_definition() knows it.
bool is_definition(const grammar::Statement& statement);
// REQUIRES: is_definition(statement). Errors: forbidden where the context may not define, unsupported where nobody keeps lists.
std::optional<QueryError> run_definition(const grammar::Statement& statement, const QueryRequest& request, const QueryContext& context, ResultSink& sink,
                                         QuerySummary& summary);

}  // namespace sluice::query
