// Flows as text: CSV for other databases, and newline-delimited JSON as the ground truth of what was reported.
// Not thread safe.
#pragma once

#include <string>

#include "bench/generate/flow.h"
#include "bench/generate/output_file.h"

namespace sluice::generate {

// The 14 columns of the comparison: times as milliseconds since the epoch, addresses as text, or as numbers where
// `numeric_addresses` (IPv4 only), which is the better column type in databases without an address type.
class CsvFile {
 public:
  static Result<CsvFile> create(const std::string& path, bool numeric_addresses);
  Status add(const Flow& flow);
  Status finish() { return file_.finish(); }

 private:
  OutputFile file_;
  bool numeric_ = false;
  std::string line_;
};

// One object a line, as the reporter said it: for cloud interfaces whole seconds and AWS's reduced flags, for sampled
// routers the sampled counts with "sampling".
class NdjsonFile {
 public:
  static Result<NdjsonFile> create(const std::string& path, const Reporters& reporters);
  Status add(const Flow& flow);
  Status finish() { return file_.finish(); }

 private:
  OutputFile file_;
  const Reporters* reporters_ = nullptr;
  std::string line_;
};

}  // namespace sluice::generate
