#include <gtest/gtest.h>

#include "ingest/receive/aws_credentials.h"
#include "ingest/receive/aws_signature.h"
#include "ingest/receive/azure_store.h"
#include "ingest/receive/digest.h"
#include "ingest/receive/http_url.h"

namespace sluice::ingest {
namespace {

HttpUrl url(std::string_view text) {
  auto parsed = parse_http_url(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : HttpUrl{};
}

// The worked examples of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk"
// (Amazon S3 API reference), all of 2013-05-24 with the documentation's key.
class S3Examples : public testing::Test {
 protected:
  std::string sign(AwsRequest request) {
    request.url = url("https://examplebucket.s3.amazonaws.com");
    return aws_signature_of(sign_aws(request, {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""}, {"us-east-1", "s3"},
                                     *parse_timestamp("2013-05-24T00:00:00Z")));
  }
};

TEST_F(S3Examples, GetObject) {
  AwsRequest request;
  request.path = "/test.txt";
  request.headers = {{"range", "bytes=0-9"}};
  EXPECT_EQ(sign(request), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(S3Examples, PutObject) {
  AwsRequest request;
  request.method = "PUT";
  request.path = "/test$file.text";
  request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  request.body = "Welcome to Amazon S3.";
  EXPECT_EQ(sign(request), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_F(S3Examples, GetBucketLifecycle) {
  AwsRequest request;
  request.query = {{"lifecycle", ""}};
  EXPECT_EQ(sign(request), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_F(S3Examples, ListObjects) {
  AwsRequest request;
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};  // signed in order, given in any
  EXPECT_EQ(sign(request), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// The worked example of "Create a signed AWS API request" (IAM user guide).
TEST(AwsSignature, ListUsersOfIam) {
  AwsRequest request;
  request.url = url("https://iam.amazonaws.com");
  request.query = {{"Action", "ListUsers"}, {"Version", "2010-05-08"}};
  request.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
  const auto sent = sign_aws(request, {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""}, {"us-east-1", "iam"}, *parse_timestamp("2015-08-30T12:36:00Z"));
  EXPECT_EQ(aws_signature_of(sent), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
  EXPECT_EQ(sent.url, "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08");
}

TEST(AwsSignature, WhatIsSentIsWhatIsSigned) {
  AwsRequest request;
  request.url = url("http://127.0.0.1:9000");
  request.path = "/bucket/a b+c/\xc3\xa4=1/../x";
  request.query = {{"prefix", "a/b c"}};
  const auto sent = sign_aws(request, {"k", "s", "token"}, {"r", "s3"}, 0);
  EXPECT_EQ(sent.url, "http://127.0.0.1:9000/bucket/a%20b%2Bc/%C3%A4%3D1/../x?prefix=a%2Fb%20c");
  const auto header = [&](std::string_view name) {
    for (const auto& [n, v] : sent.headers)
      if (n == name) return v;
    return std::string("-");
  };
  EXPECT_EQ(header("host"), "127.0.0.1:9000");
  EXPECT_EQ(header("x-amz-security-token"), "token");
  EXPECT_NE(header("authorization").find("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"), std::string::npos);
  // Without keys nothing is signed.
  EXPECT_TRUE(sign_aws(request, {}, {"r", "s3"}, 0).headers.empty());
}

TEST(Digest, HashesAndTexts) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // RFC 4231, test case 2.
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // RFC 4648, section 10.
  for (const auto& [plain, coded] : {std::pair("", ""), {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  for (const auto* bad : {"Zg=", "Zg", "Z===", "Zm9v\n", "Zm9-", "====", "=Zg="}) EXPECT_EQ(from_base64(bad), std::nullopt) << bad;
}

TEST(HttpUrl, PartsAndRefusals) {
  const auto b = url("https://Minio.Example:9000/base?x=1");
  EXPECT_EQ(b.host, "minio.example");
  EXPECT_EQ(b.authority(), "minio.example:9000");
  EXPECT_EQ(b.path, "/base");
  EXPECT_EQ(b.query, "x=1");
  EXPECT_EQ(url("http://h:80/").authority(), "h");
  EXPECT_EQ(url("https://[::1]:443").origin(), "https://[::1]");
  for (const auto* bad : {"ftp://h", "h", "https://", "https://u:p@h", "https://h/#f", "https://h:0", "https://h:65536", "https://h:", "https://h x", "https://h\n", "https://[]", "https://[::1", "https://[::1]x", "https://h\xc3\xa4"})
    EXPECT_FALSE(parse_http_url(bad).ok()) << bad;
}

TEST(HttpUrl, PercentCodes) {
  EXPECT_EQ(percent_encode("a/b c~-._\xff", true), "a/b%20c~-._%FF");
  EXPECT_EQ(percent_encode("a/b"), "a%2Fb");
  EXPECT_EQ(percent_decode("a%2Fb+c%zz%4", true), "a/b c%zz%4");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
}

TEST(AwsCredentials, SharedFile) {
  const std::string text =
      "# comment\n[default]\naws_access_key_id = A\r\naws_secret_access_key=s=1/+\n\n[ ci ]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token = tok\n[profile x]\naws_access_key_id=C\n";
  const auto a = parse_aws_credentials(text, "default");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->access_key_id, "A");
  EXPECT_EQ(a->secret_access_key, "s=1/+");
  EXPECT_EQ(a->session_token, "");
  const auto b = parse_aws_credentials(text, "ci");
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->session_token, "tok");
  EXPECT_NE(parse_aws_credentials(text, "x").error().message.find("not both"), std::string::npos);
  EXPECT_NE(parse_aws_credentials(text, "none").error().message.find("no profile 'none'"), std::string::npos);
}

// The string to sign of "Authorize with Shared Key" (Azure Storage REST reference) for Get Container Metadata, with Azurite's
// well-known account; the expected value was made with OpenSSL from that string:
//   printf 'GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:…\nx-ms-version:…\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20' | openssl dgst -sha256 -mac HMAC …
TEST(AzureSignature, SharedKey) {
  const std::string key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
  const std::string to_sign =
      "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20";
  const auto made = azure_authorization("GET", "myaccount", key, "/mycontainer", {{"restype", "container"}, {"timeout", "20"}, {"comp", "metadata"}},
                                        {{"x-ms-version", "2015-02-21"}, {"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(*made, "SharedKey myaccount:" + base64(hmac_sha256(*from_base64(key), to_sign)));
  EXPECT_FALSE(azure_authorization("GET", "a", "no base64", "/c", {}, {}).ok());
}

TEST(HttpDate, BothWays) {
  const auto time = *parse_timestamp("2015-06-26T23:39:12Z");
  EXPECT_EQ(format_http_date(time), "Fri, 26 Jun 2015 23:39:12 GMT");
  EXPECT_EQ(format_http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  for (int64_t day = 0; day < 800; ++day) {
    const TimestampNs t = time + day * kDay + day * kSecond * 61;
    EXPECT_EQ(parse_http_date(format_http_date(t)), t);
  }
  for (const auto* bad : {"", "Fri, 26 Jun 2015 23:39:12", "Fri, 31 Feb 2015 00:00:00 GMT", "Fri, 26 Foo 2015 23:39:12 GMT", "Friday, 26-Jun-15 23:39:12 GMT"})
    EXPECT_EQ(parse_http_date(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace sluice::ingest
