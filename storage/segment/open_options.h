// How a segment is opened, for tests and fuzzing only: users call Segment::open.
#pragma once

#include <memory>
#include <string>

#include "storage/segment/segment.h"

namespace sluice::segment {

struct OpenOptions {
  bool verify = true;  // off: checksums are not looked at, so that hostile bytes reach the decoders
};

Result<std::shared_ptr<const Segment>> open_segment(const std::string& path, const OpenOptions& options);

}  // namespace sluice::segment
