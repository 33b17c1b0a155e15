// What a state has to know beside the stored flows from its frontier on, to be what it was: which of what it will find again is over
// and has been told.
//
//   text = "1" SP told_before *mark  /  "2" SP told_before *mark 1*held
//   mark = SP key ":" time ":" mask ":" count
//   held = SP "w" window ":" key             numbers in decimal
//
// The first number is the version. What a reader does not know (another version, a text that was cut or changed) is no checkpoint: the rule
// then begins at its frontier with what it finds there.
//
// Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/time.h"

namespace sluice::query::continuous {

struct Checkpoint {
  // Sessions whose last flow lies before it, and sequences that ended before it, are told of no more.
  TimestampNs told_before = kTimestampMin;
  // Of a key whose rows a sequence has used up: all its rows before `time`, and at that time those of the steps `mask` and in front of them, of
  // equal ones so many.
  struct Mark {
    uint64_t key = 0;  // KeyHistory::fingerprint
    TimestampNs time = 0;
    uint32_t mask = 0, count = 0;
    bool operator==(const Mark&) const = default;
  };
  std::vector<Mark> marks;
  // The heaviest keys of windows that let go of groups: none of them is let go when the windows are made again.
  struct Held {
    TimestampNs window = 0;
    uint64_t key = 0;
    bool operator==(const Held&) const = default;
  };
  std::vector<Held> held = {};
  bool operator==(const Checkpoint&) const = default;
};

std::string to_text(const Checkpoint& checkpoint);
// nullopt: it is none.
std::optional<Checkpoint> checkpoint_of(std::string_view text);

}  // namespace sluice::query::continuous
