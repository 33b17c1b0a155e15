// Rows whose times lie in more partitions than one append takes: appended in several, each under a key of its own, so that who
// tries again after a failure or a kill in between adds what is missing and nothing twice.
//
// Thread rule: as the store.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "storage/model/result.h"
#include "storage/store/store.h"

namespace sluice::server {

using AppendRows = std::function<Result<store::AppendResult>(std::span<const std::shared_ptr<const Batch>> batches, const store::AppendOptions& options)>;

// Span by span of limits::kPartitionsPerAppendMax partitions. A row's span follows from its own time alone, and each span's key from
// `base` and its number: so a second try of the same rows finds what is there already, even where the clock has touched a few of
// their times in between. At last `options` alone: its key and its side writes. The result counts all rows, those of a try that did not
// come to its end too. Between the first span and the last, queries see some of the rows.
// REQUIRES: `base` names these rows and no others. Errors: those of `append`; then the same call goes on where it ended.
Result<store::AppendResult> append_scattered(std::span<const std::shared_ptr<const Batch>> batches, const store::AppendOptions& options,
                                             const std::string& base, DurationNs partition_width, const AppendRows& append);

// A key that is made of other keys, within limits::kObjectKeyBytesMax: one that is too long is known by its hash.
std::string bounded_object_key(std::string key);

}  // namespace sluice::server
