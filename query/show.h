// `show …`: tables about the system. Columns and segments are the engine's own; the rest the server knows.
#pragma once

#include <string_view>

#include "query/engine.h"

namespace sluice::query {

// Error not_found when there is no such table.
Result<Batch> system_table(std::string_view subject, const QueryContext& context);

// What `from NAME` reads beside flows: any table that `show` shows. nullopt: no such table.
std::optional<Result<Batch>> source_table(std::string_view name, const QueryContext& context);
// The same tables without rows, out of what is known of their columns: for who binds a query and does not run it.
SystemTables tables_without_rows(std::function<std::optional<Schema>(std::string_view name)> columns);

Batch columns_table();
// These two are also what /v1/segments and /v1/storage say.
Batch segments_table(const store::Snapshot& snapshot);
// Bytes per column, and per flow, over all segments.
Batch storage_table(const store::Snapshot& snapshot);

}  // namespace sluice::query
