// Bodies that bring a context table: CSV as it is, and lines of JSON objects, which become CSV.
#pragma once

#include <string>
#include <string_view>

#include "storage/model/result.h"

namespace sluice::server {

// NDJSON as CSV that query::ContextTable::read() takes: a column for each member, in the order in which they first appear. Null, and a
// member that is not there, is an empty field. Text that looks like a number stays text: its column is declared so. Errors: parse, naming the line: not an object, a value that is an object or array; too_large: more columns than a table has.
Result<std::string> csv_of_ndjson(std::string_view body);

}  // namespace sluice::server
