#include "ingest/receive/aws_signature.h"

#include <algorithm>

#include "ingest/receive/digest.h"
#include "storage/model/result.h"

namespace sluice::ingest {
namespace {

// "20130524T000000Z"
std::string basic_time(TimestampNs now) {
  std::string out;
  for (const char c : format_timestamp(now - now % kSecond))
    if (c != '-' && c != ':') out += c;
  return out;
}

// RFC 9110 and AWS: no blanks at the ends, runs of blanks are one.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

HttpRequest sign_aws(const AwsRequest& request, const AwsCredentials& credentials, const AwsScope& scope, TimestampNs now) {
  SLUICE_CHECK(request.path.starts_with('/'));
  const bool is_s3 = scope.service == "s3";
  const std::string time = basic_time(now), date = time.substr(0, 8);

  const std::string path = percent_encode(request.path, true);
  std::vector<std::pair<std::string, std::string>> query;
  for (const auto& [name, value] : request.query) query.emplace_back(percent_encode(name), percent_encode(value));
  std::sort(query.begin(), query.end());
  std::string query_text;
  for (const auto& [name, value] : query) query_text += (query_text.empty() ? "" : "&") + name + "=" + value;

  HttpRequest out;
  out.method = request.method;
  out.url = request.url.origin() + path + (query_text.empty() ? "" : "?" + query_text);
  out.body = request.body;
  out.headers = request.headers;
  if (credentials.empty()) return out;

  const std::string payload_hash = hex(sha256(request.body));
  out.headers.emplace_back("host", request.url.authority());
  if (is_s3) out.headers.emplace_back("x-amz-content-sha256", payload_hash);
  out.headers.emplace_back("x-amz-date", time);
  if (!credentials.session_token.empty()) out.headers.emplace_back("x-amz-security-token", credentials.session_token);
  std::sort(out.headers.begin(), out.headers.end());

  // S3 signs the path as it is sent; every other service signs it encoded once more.
  std::string canonical = request.method + "\n" + (is_s3 ? path : percent_encode(path, true)) + "\n" + query_text + "\n";
  std::string names;
  for (const auto& [name, value] : out.headers) {
    canonical += name + ":" + canonical_value(value) + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  canonical += "\n" + names + "\n" + payload_hash;

  const std::string scope_text = date + "/" + scope.region + "/" + scope.service + "/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope_text + "\n" + hex(sha256(canonical));
  std::string key = hmac_sha256("AWS4" + credentials.secret_access_key, date);
  for (const std::string_view part : {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")})
    key = hmac_sha256(key, part);
  out.headers.emplace_back("authorization", "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id + "/" + scope_text + ",SignedHeaders=" + names +
                                                ",Signature=" + hex(hmac_sha256(key, to_sign)));
  return out;
}

std::string aws_signature_of(const HttpRequest& signed_request) {
  for (const auto& [name, value] : signed_request.headers)
    if (name == "authorization") return value.substr(value.rfind('=') + 1);
  return {};
}

}  // namespace sluice::ingest
