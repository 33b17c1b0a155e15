// What is said of a body beside its counts: that nothing of it was recognized, or that its header names columns which nobody knows.
//
// Thread rule: functions share nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/source.h"
#include "server/metrics.h"
#include "storage/model/result.h"

namespace sluice::server {

// One rule for every source. A body of which a record was taken, or known (no data, skipped data, ignored), is fine whatever else it holds, and
// so is one that holds no records: empty, an empty list, a header alone. Anything else is an error (invalid_argument) that names a place
// and a reason. `body`: plain, for those that are nothing but brackets, which no decoder counts.
std::optional<Error> nothing_recognized(const ingest::DecodeReport& report, std::string_view body);

// A sentence each: the column, and what it may have been meant to be.
std::vector<std::string> column_warnings(const ingest::DecodeReport& report);
// The first of them, for `show sources`, and how many more there are.
void note_warnings(Metrics& metrics, std::string_view source, const ingest::DecodeReport& report, TimestampNs at);

}  // namespace sluice::server
