// Azure's PT1H.json grows: one block blob an hour and network card, to which new records are committed as new blocks in front of
// a last one that holds "]}". This reads what is new from the place where the last read ended
// (learn.microsoft.com/azure/network-watcher/network-watcher-read-nsg-flow-logs).
//
// Thread rule: functions share nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

struct TailCut {
  std::string body;    // {"records":[ … ]} of the whole records of the text; empty when there are none
  uint64_t end = 0;    // bytes of the text up to the end of the last whole record: where to go on
  bool closed = false; // the array was closed: nothing but white space may follow
};

// Cuts out the whole records of a piece of such a blob. `is_start`: the text begins at the blob's first byte, where the
// head {"records":[ stands; otherwise it begins within the array, between two records. A record that is not whole is left for
// the next read. nullopt: the text is none of this kind (no such head; or something else than records).
std::optional<TailCut> cut_tail(std::string_view text, bool is_start);

}  // namespace sluice::ingest
