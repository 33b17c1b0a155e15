// Azure's PT1H.json grows: one block blob an hour and network card, to which new records are committed as new blocks in front of
// a last one that holds "]}". This reads what is new from the place where the last read ended
// (learn.microsoft.com/azure/network-watcher/network-watcher-read-nsg-flow-logs).
//
// Damage costs the record it is in: reading goes on where the next record begins. Damaged bytes stay in the body where they stood, so
// that its decoder rejects and counts them.
//
// Thread rule: functions share nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

// What a record of an Azure flow log begins with, and no object inside one: where a record can be made out in damaged text.
inline constexpr std::string_view kAzureRecordKeys[] = {"time",        "category",       "systemId",          "macAddress", "resourceId", "operationName",
                                                        "flowLogGUID", "flowLogVersion", "flowLogResourceID", "properties", "flowRecords", "targetResourceID"};

struct TailCut {
  std::string body;    // {"records":[ … ]} of the whole records of the text, and of what is damaged; empty when there are none
  uint64_t end = 0;    // bytes of the text up to the end of the last of these: where to go on
  bool closed = false; // the array was closed: nothing but white space may follow
  uint64_t damaged = 0;  // places where something stands that is no record
};

// Cuts out the whole records of a piece of such a blob. `is_start`: the text begins at the blob's first byte, where the
// head {"records":[ stands; otherwise it begins within the array, between two records. `is_end`: it ends where the blob ends at the
// moment. A record that is not whole, or damage behind which no record begins, is left for the next read; but not at the end of a blob
// whose array is closed, because blocks are whole records. nullopt: the text is none of this kind (no such head).
std::optional<TailCut> cut_tail(std::string_view text, bool is_start, bool is_end);

}  // namespace sluice::ingest
