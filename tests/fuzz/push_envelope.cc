// The envelopes of the clouds' pushes: any bytes; what comes out is within its bounds, and all memory is given back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ingest/source/limits.h"
#include "ingest/source/push_envelope.h"

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
  must(messages.refused.rejected <= messages.ends.size() && messages.refused.errors.size() <= messages.refused.rejected);
  for (const auto& error : messages.refused.errors) must(error.record > 0 && error.record <= messages.ends.size());
}

// Refuses beyond a bound that the first byte of the input chooses.
class Share final : public sluice::ingest::MemoryShare {
 public:
  explicit Share(size_t most) : most_(most) {}
  ~Share() override { must(taken_ == 0); }
  sluice::Status take(size_t bytes) override {
    if (bytes > most_ - taken_) return sluice::Error{sluice::ErrorCode::full, "no more"};
    taken_ += bytes;
    return {};
  }
  void release(size_t bytes) override {
    must(bytes <= taken_);
    taken_ -= bytes;
  }

 private:
  const size_t most_;
  size_t taken_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (size == 0) return 0;
  // An object is mostly read with all the memory it wants, and everything else with little.
  Share share(data[0] == '{' ? size_t{64} << 20 : size_t{data[0]} * 64);
  {
    ingest::HeldMemory held(&share);
    if (const auto request = ingest::read_firehose(body, held); request.ok()) {
      check(request->records);
      must(!request->id.empty() && request->records.ends.size() <= limits::kFirehoseRecordsMax);
    }
  }
  (void)ingest::firehose_request_id(body);
  (void)ingest::firehose_attribute(body, "sluice-source");
  {
    ingest::HeldMemory held(&share);
    if (const auto message = ingest::read_pubsub(body, held); message.ok()) must(!message->id.empty());
  }
  ingest::DecodeReport refused;
  const Status status = ingest::read_cloudwatch(body, &share, [](ingest::CloudWatchBatch&& batch) -> Status {
    check(batch.messages);
    must(batch.messages.ends.size() == batch.events);
    return {};
  }, refused);
  (void)status;
  return 0;
}
