// The JSON that AWS log lines come wrapped in, taken off: lines out.
//
//   {"messageType":"DATA_MESSAGE", …, "logEvents":[{"id":…, "timestamp":ms, "message":"2 1234…"}]}   CloudWatch Logs
//   {"awslogs":{"data":"<base64 of gzip of the above>"}}                                             Lambda
//   {"message":"2 1234…"}                                                                            Firehose, shippers
//
// One or many objects, one after the other, with or without line ends between. A control message ("CONTROL_MESSAGE") says
// nothing and is counted. Sources: CloudWatch Logs user guide, "Real-time processing with subscriptions".
// simdjson is included in aws_envelope.cc only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/source.h"

namespace sluice::ingest::aws {

// Whether the body is JSON rather than lines: its first byte that is not blank is '{'.
bool is_json(std::string_view body);

// A message holds one line, or several.
struct Message {
  size_t offset = 0, length = 0;  // in `text`
  TimestampNs event_time = 0;     // the envelope's own time of the event; 0: none
};

struct Unwrapped {
  std::string text;
  std::vector<Message> messages;
};

// Records that cannot be read are rejected in `report` with the number of the object (from 1) in the body. What is packed inside an
// object is one, too, beyond limits::kEnvelopeBytesMax; all of it beyond limits::kIngestInflatedBytesMax is an Error::too_large. `held`
// keeps the memory of the text. Errors: also those of its share.
Result<Unwrapped> unwrap(std::string_view body, DecodeReport& report, HeldMemory& held);

}  // namespace sluice::ingest::aws
