// AWS Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html; for S3:
// docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). IBM COS, OCI, Google's interoperability API and
// MinIO take the same.
//
// A request is described by its parts, and both the URL and what is signed are made of them, so the two cannot differ.
//
// Thread rule: functions share nothing.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/receive/http_client.h"
#include "ingest/receive/http_url.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct AwsCredentials {
  std::string access_key_id, secret_access_key;  // both empty: requests are not signed (a public bucket)
  std::string session_token;                     // of temporary credentials; empty: none

  bool empty() const { return access_key_id.empty(); }
};

struct AwsRequest {
  std::string method = "GET";
  HttpUrl url;  // scheme, host and port; its path and query are not used
  std::string path = "/";  // not encoded
  std::vector<std::pair<std::string, std::string>> query;  // not encoded
  HttpHeaders headers;  // all are signed; names in lower case, without host and x-amz-date
  std::string body;
};

struct AwsScope {
  std::string region = "us-east-1";
  std::string service = "s3";
};

// The request to send: URL, headers with host, x-amz-date, x-amz-content-sha256 (S3) and x-amz-security-token as they apply,
// and authorization. REQUIRES: request.path begins with "/"
HttpRequest sign_aws(const AwsRequest& request, const AwsCredentials& credentials, const AwsScope& scope, TimestampNs now);

// For tests: the signature alone, 64 hexadecimal digits.
std::string aws_signature_of(const HttpRequest& signed_request);

}  // namespace sluice::ingest
