// A bucket of Amazon S3 or of anything that speaks its protocol: IBM COS, OCI, Google Cloud Storage (interoperability), MinIO,
// SeaweedFS. ListObjectsV2 and GetObject, signed with AWS Signature Version 4
// (docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, …API_GetObject.html).
//
// Thread rule and errors: as object_store.h says.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ingest/receive/aws_signature.h"
#include "ingest/receive/object_store.h"

namespace sluice::ingest {

struct S3Options {
  std::string bucket;
  std::string region = "us-east-1";
  std::string endpoint;             // "https://s3.example:9000"; empty: Amazon's for the region
  std::optional<bool> path_style;   // https://host/bucket/key and not https://bucket.host/key; absent: see below
  // Asked for each request, so that temporary credentials can be replaced while the server runs.
  std::function<Result<AwsCredentials>()> credentials;
  RetryPolicy retry;
};
// Without path_style: path style for any endpoint that is named (most cannot do the other without DNS entries of their own),
// and for bucket names with dots (a certificate for *.host does not cover them); the bucket's own host otherwise.

// Errors: invalid_argument for an endpoint or a bucket name that makes no sense. `transport` and `clock` outlive the store.
Result<std::unique_ptr<ObjectStore>> open_s3_store(S3Options options, HttpTransport& transport, const Clock& clock);

// Reads a ListObjectsV2 answer. Errors: parse.
Result<ListPage> parse_s3_listing(std::string_view xml);

}  // namespace sluice::ingest
