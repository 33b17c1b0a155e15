// Messages that each are a body of their own (a topic's records, a cloud's push) decoded together. A bad message costs only itself.
//
// Thread rule: functions share nothing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

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

// Numbers in report.errors are those of the messages, from 1. Errors: too_large when all together inflate beyond
// limits::kIngestInflatedBytesMax, and what the sink fails with.
Result<ingest::DecodeReport> decode_messages(const MessageBodies& messages, const ingest::DecodeContext& context, const ingest::FlowSink& sink);

}  // namespace sluice::server
