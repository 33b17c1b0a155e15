// Messages that each are a body of their own (a topic's records, a cloud's push) decoded together. A bad message costs only itself,
// and so does one that is too large.
//
// Thread rule: functions share nothing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/inflate.h"
#include "ingest/source/source.h"
#include "storage/model/result.h"

namespace sluice::server {

struct MessageBodies {
  std::string_view source;    // REQUIRES: is_known_source(source)
  std::string_view bytes;     // the messages end to end
  std::span<const size_t> ends;
  // nullopt: known by each message's first bytes (gzip, zstd).
  std::optional<ingest::Compression> compression;
  std::string_view header;    // lines that hold for each of them
};

// Decodes messages from the one at `first` on, at least one, until limits::kMessagesTextBytesMax of their text have been read, and returns
// the number of messages decoded up to there: where to go on, and ends.size() at the end. The text's memory is taken from
// context.memory, where there is one, and given back.
// `report` is added to; record numbers in it are those of the messages, from 1. `rows_after`, when given, gets for each message
// decoded how many rows had gone to the sink after it (counted from 0 for this call); messages are then decoded one by one.
// `text_bytes`, when given, is added the bytes of their text. REQUIRES: first < ends.size(). Errors: those of the sink and of context.memory. A message that inflates beyond
// limits::kMessageInflatedBytesMax is no error: it is rejected.
Result<size_t> decode_messages(const MessageBodies& messages, size_t first, const ingest::DecodeContext& context, const ingest::FlowSink& sink,
                               ingest::DecodeReport& report, std::vector<uint64_t>* rows_after = nullptr, uint64_t* text_bytes = nullptr);

}  // namespace sluice::server
