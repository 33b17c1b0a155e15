// Notices that an object has come into a bucket, as queues bring them: S3 event notifications
// (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html), the same inside an SNS notification, and
// EventBridge's "Object Created".
//
// Thread rule: functions share nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct ObjectNotice {
  std::string bucket, key, etag;  // the key is decoded; the ETag may be missing
  uint64_t size = 0;
  TimestampNs time = 0;  // of the event; 0: not said
};

struct ObjectNotices {
  std::vector<ObjectNotice> created;
  uint64_t ignored = 0;  // removals, s3:TestEvent and other events that bring no object
};

// Errors: parse, for what is none of these forms.
Result<ObjectNotices> parse_object_notice(std::string_view message);

}  // namespace sluice::ingest
