// Statements that define something: `create [or replace] list`, `drop list` (zones are lists), `create [or replace] table`, `drop table`.
#pragma once

#include <optional>
#include <variant>

#include "grammar/syntax.h"
#include "query/engine.h"
#include "query/watch_list.h"

namespace sluice::query {

// Whether this is a statement that changes what is kept, and run_definition() knows it.
bool is_definition(const grammar::Statement& statement);
// The list that `create list` says; parameters are the request's.
// `create list NAME (null)` means the empty list, and means it.
bool means_empty(const grammar::CreateList& statement);
std::variant<WatchList, QueryError> list_of(const grammar::CreateList& statement, const QueryRequest& request);
// REQUIRES: is_definition(statement). Errors: forbidden where the context may not define, unsupported where nobody keeps lists.
std::optional<QueryError> run_definition(const grammar::Statement& statement, const QueryRequest& request, const QueryContext& context, ResultSink& sink,
                                         QuerySummary& summary);

}  // namespace sluice::query
