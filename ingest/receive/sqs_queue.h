// An Amazon SQS queue: messages come, and go when they are deleted (AWS JSON protocol,
// docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference). A message that is not deleted comes again after the
// queue's visibility timeout.
//
// Thread rule: belongs to one thread at a time. Errors: as object_store.h says.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/receive/aws_signature.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/object_store.h"

namespace sluice::ingest {

struct QueueMessage {
  std::string id, receipt, body;
};

struct SqsOptions {
  std::string url;       // https://sqs.eu-west-1.amazonaws.com/123456789012/flow-logs
  std::string region;    // empty: told by the URL
  std::function<Result<AwsCredentials>()> credentials;
  RetryPolicy retry;
  DurationNs visibility = limits::kQueueVisibility;
};

class SqsQueue {
 public:
  // Errors: invalid_argument for a URL that is none, or that tells no region when none is given.
  static Result<std::unique_ptr<SqsQueue>> open(SqsOptions options, HttpTransport& transport, const Clock& clock);

  const std::string& url() const { return options_.url; }
  // Up to ten messages; waits for the first at most `wait` (whole seconds, 20 at most).
  Result<std::vector<QueueMessage>> receive(DurationNs wait);
  Status remove(const QueueMessage& message);

 private:
  SqsQueue(SqsOptions options, HttpUrl endpoint, HttpTransport& transport, const Clock& clock)
      : options_(std::move(options)), endpoint_(std::move(endpoint)), transport_(transport), clock_(clock) {}
  Result<HttpResponse> call(std::string_view action, std::string body, DurationNs timeout);

  const SqsOptions options_;
  const HttpUrl endpoint_;
  HttpTransport& transport_;
  const Clock& clock_;
};

// Reads the answer of ReceiveMessage. Errors: parse.
Result<std::vector<QueueMessage>> parse_sqs_messages(std::string_view json);

}  // namespace sluice::ingest
