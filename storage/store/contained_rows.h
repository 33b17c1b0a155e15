// ContainedRows: whether all rows of one segment are, as often, among other rows.
//
// Asked of a segment file that the catalogue does not name after its log was cut off: a crash between writing the file and
// publishing it leaves all of its rows in the journal (a seal) or in the segments that it was made of (a merge), so that the
// file can go. Where that does not hold, the file may be the only copy of its rows.
//
// Rows are compared by 128 bits of XXH3 over their values; columns that are null, and the order and layout of rows, do not
// matter. Memory: 24 bytes for each row of the segment asked about.
// Thread rule: one thread. (add)* contains
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/result.h"
#include "storage/segment/segment.h"

namespace sluice::store {

// Calls `take` with the rows of each block, in order; stops at its first error. Errors: its own, and those of reading.
Status each_block(const segment::Segment& segment, const std::function<Status(Batch&&)>& take);

class ContainedRows {
 public:
  // The rows asked about. Errors: those of reading.
  static Result<ContainedRows> of(const segment::Segment& segment);

  // Rows that are elsewhere; each is counted once.
  void found(const Batch& batch);
  bool all_found() const { return left_ == 0; }

 private:
  using Print = std::pair<uint64_t, uint64_t>;  // of a row
  static void prints(const Batch& batch, std::vector<Print>& out);

  std::vector<std::pair<Print, uint64_t>> wanted_;  // sorted; how often each is wanted still
  uint64_t left_ = 0;
  std::vector<Print> scratch_;
};

}  // namespace sluice::store
