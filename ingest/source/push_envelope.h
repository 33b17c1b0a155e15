// The JSON in which clouds push records, taken apart: who sent them, which delivery they belong to, and the messages themselves.
// What a message is in its turn (lines, a document, gzip of either) is its source's matter.
//
// Sources: "Amazon Data Firehose: HTTP endpoint delivery request and response specifications"; "CloudWatch Logs: real-time processing
// with subscriptions"; Lambda's events of CloudWatch Logs and Kinesis; Google Pub/Sub, "Push subscriptions".
//
// A record of an envelope that is none (no data, or data that is no base64) costs only itself: it is rejected in the report next to the
// messages, an empty message stands in its place, and what comes behind it is read. Only an envelope that is no JSON, or
// another kind of JSON, is an error.
//
// Memory: a share, where one is given, holds what parsing takes while a function runs, and what it returns until the
// returned value goes.
//
// Thread rule: functions share nothing. Errors: parse (no such envelope), too_large (beyond a bound), and those of the share. simdjson is
// in push_envelope.cc only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/memory_share.h"
#include "ingest/source/source.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Messages end to end.
struct PushedMessages {
  std::string bytes;
  std::vector<size_t> ends;  // where each ends in `bytes`
  DecodeReport refused;      // numbers of messages, from 1
  void add(std::string_view message) {
    bytes += message;
    ends.push_back(bytes.size());
  }
  void refuse(std::string reason) {
    ends.push_back(bytes.size());
    refused.reject(ends.size(), std::move(reason));
  }
};

// {"requestId":"…","timestamp":1578090901599,"records":[{"data":"<base64>"},…]}
struct FirehoseRequest {
  std::string id;          // the same in every try of one delivery
  int64_t timestamp_ms = 0;
  PushedMessages records;  // out of base64; a record may be empty
};
// Error::too_large: more than limits::kFirehoseRecordsMax records, or one above limits::kFirehoseRecordBytesMax.
Result<FirehoseRequest> read_firehose(std::string_view body, HeldMemory& held);
// Of {"commonAttributes":{"k":"v"}}, the header X-Amz-Firehose-Common-Attributes: the value of one. Empty: not there, or unreadable.
std::string firehose_attribute(std::string_view header, std::string_view name);
// The requestId alone, as far as the body can be read; for the answer to one that cannot.
std::string firehose_request_id(std::string_view body);

// One batch of a CloudWatch Logs subscription.
struct CloudWatchBatch {
  std::string owner, group, stream;
  bool is_control = false;       // a probe: nothing to read
  std::string first_id, last_id; // of its events; they name the batch
  size_t events = 0;
  std::string_view envelope;     // its JSON; good while the sink runs
  PushedMessages messages;       // of its events
};
// All batches of a body: the batch as JSON; {"awslogs":{"data":…}} as Lambda gets it; {"Records":[{"kinesis":{"data":…}}]} of a Kinesis stream;
// and each of those packed as base64, gzip, or both. Of a stream's records, one that cannot be read, or that unpacks to more than
// limits::kEnvelopeBytesMax, is rejected in `report` by its number. Stops at the first error of the sink.
Status read_cloudwatch(std::string_view body, MemoryShare* share, const std::function<Status(CloudWatchBatch&& batch)>& sink, DecodeReport& report);

// {"message":{"data":"<base64>","messageId":"…","publishTime":"…"},"subscription":"projects/P/subscriptions/S"}
struct PubSubMessage {
  std::string id, subscription;
  std::string data;            // out of base64; may be empty
  TimestampNs published = 0;   // 0: not said
};
Result<PubSubMessage> read_pubsub(std::string_view body, HeldMemory& held);

}  // namespace sluice::ingest
