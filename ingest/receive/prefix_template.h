// Which folders of a bucket a feed looks at: a prefix in which "*" stands for any one folder name or a part of it, and {yyyy},
// {mm}, {dd}, {hh} for the parts of a time in UTC, as clouds put them into the names of flow logs:
//
//   AWSLogs/*/vpcflowlogs/*/{yyyy}/{mm}/{dd}/
//
// So a pass lists the days that can have something new, and not the years before them.
//
// Thread rule: a template never changes. Errors: invalid_argument for braces that are none of the four, or a "*" in the last part
// of the name (a prefix ends openly anyway).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

class PrefixTemplate {
 public:
  static Result<PrefixTemplate> parse(std::string_view text);

  bool has_time() const { return step_ != 0; }
  bool is_plain() const { return step_ == 0 && text_.find('*') == std::string::npos; }
  const std::string& text() const { return text_; }

  // The patterns (with "*" still in them) of every hour, day, month or year that meets the range, from old to new, each once;
  // the pattern itself when it holds no time. Errors: too_large beyond limits::kBucketPeriodsMax.
  Result<std::vector<std::string>> over(TimeRange range) const;

  // Folders right below a prefix, each whole and with "/" at its end.
  using Folders = std::function<Result<std::vector<std::string>>(const std::string& prefix)>;
  // Replaces each "*" by what `folders` finds. Errors: those of `folders`; too_large beyond limits::kBucketPrefixesMax.
  static Result<std::vector<std::string>> expand(const std::string& pattern, const Folders& folders);

 private:
  std::string text_;
  DurationNs step_ = 0;  // an hour, a day; months and years are walked by days
};

}  // namespace sluice::ingest
