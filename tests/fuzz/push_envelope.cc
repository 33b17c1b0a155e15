// The envelopes of the clouds' pushes: any bytes; what comes out is within its bounds.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ingest/source/push_envelope.h"
#include "storage/model/limits.h"

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

void check(const sluice::ingest::PushedMessages& messages) {
  size_t before = 0;
  for (const size_t end : messages.ends) {
    must(end >= before && end <= messages.bytes.size());
    before = end;
  }
  must(before == messages.bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (const auto request = ingest::read_firehose(body); request.ok()) {
    check(request->records);
    must(!request->id.empty() && request->records.ends.size() <= limits::kFirehoseRecordsMax);
  }
  (void)ingest::firehose_request_id(body);
  (void)ingest::firehose_attribute(body, "sluice-source");
  if (const auto message = ingest::read_pubsub(body); message.ok()) must(!message->id.empty());
  const Status status = ingest::read_cloudwatch(body, [](ingest::CloudWatchBatch&& batch) -> Status {
    check(batch.messages);
    must(batch.messages.ends.size() == batch.events);
    return {};
  });
  (void)status;
  return 0;
}
