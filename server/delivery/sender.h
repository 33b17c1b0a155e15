// Sender: the way to one target. A kind of target is one, and joins with one row in target.cc.
//
// Thread rule: one thread at a time. Errors are part of an Attempt; nothing throws.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "server/delivery/notice.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::delivery {

// What became of sending.
struct Attempt {
  Status status;           // ok: the receiver has all
  size_t taken = 0;        // when not ok: how many it has, from the first
  bool refused = false;    // for good: sending the same again would change nothing
  DurationNs pause = 0;    // the receiver asked for a pause this long; 0: it did not

  static Attempt failed(Error error, size_t taken = 0) { return {std::move(error), taken, false, 0}; }
  static Attempt refused_for_good(Error error, size_t taken = 0) { return {std::move(error), taken, true, 0}; }
};

// A flow on its way out, in the shape that was asked for. `time`: when it ended.
struct FlowDocument {
  std::string body;
  TimestampNs time = 0;
};

class Sender {
 public:
  virtual ~Sender() = default;
  virtual Attempt send(std::span<const Notice> notices, TimestampNs now) = 0;
  // Only of kinds that take flows (TargetKind::takes_flows).
  virtual Attempt forward(std::span<const FlowDocument> flows, TimestampNs now);
};

// `stopping`: asked about once a second while something is waited for; a sender then gives up.
using MakeSender = std::function<Result<std::unique_ptr<Sender>>(const std::function<bool()>& stopping)>;

}  // namespace sluice::delivery
