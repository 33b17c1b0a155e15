// What stores and queues answer with: XML of listings, JSON of notices.
#include <gtest/gtest.h>

#include "ingest/receive/azure_store.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/object_notice.h"
#include "ingest/receive/s3_store.h"
#include "ingest/receive/sqs_queue.h"
#include "ingest/receive/xml_reader.h"

namespace sluice::ingest {
namespace {

// All that a document says, one token a line.
std::string tokens(std::string_view document) {
  XmlReader reader(document);
  std::string out;
  while (true) {
    switch (reader.next()) {
      case XmlReader::Kind::open: out += "<" + std::string(reader.name()) + " "; break;
      case XmlReader::Kind::close: out += std::string(reader.name()) + "> "; break;
      case XmlReader::Kind::text: out += "'" + reader.text() + "' "; break;
      case XmlReader::Kind::end: return out + "end";
      case XmlReader::Kind::error: return out + "error";
    }
  }
}

TEST(XmlReader, Documents) {
  EXPECT_EQ(tokens("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- c --><a x='>' y=\"/\"><s3:b>1 &lt;&amp;&#65;&#x20ac;</s3:b><c/></a>\n<!-- d -->\n"),
            "<a <b '1 <&A\xe2\x82\xac' b> <c c> a> end");
  EXPECT_EQ(tokens("<a>x<![CDATA[<b>&amp;]]>y</a>"), "<a 'x<b>&amp;y' a> end");
  EXPECT_EQ(tokens("<a> <b/> </a >"), "<a ' ' <b b> ' ' a> end");
}

TEST(XmlReader, WhatIsRefused) {
  for (const auto* bad : {"", "  ", "text", "<a>", "<a></b>", "<a/><b/>", "<a/>x", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "<a>&x;</a>", "<a>&#0;</a>", "<a>&#xd800;</a>",
                          "<a>&#x110000;</a>", "<a>&amp</a>", "<a b='x></a>", "<a b/ c></a>", "< a></a>", "<a><![CDATA[x</a>", "<a><!-- </a>", "<a", "<a><b</a>", "<>x</>", "</a>"}) {
    const std::string said = tokens(bad);
    EXPECT_TRUE(said.ends_with("error")) << bad << ": " << said;
  }
}

TEST(XmlReader, Bounds) {
  const auto nested = [](size_t depth) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) text += "<a>";
    for (size_t i = 0; i < depth; ++i) text += "</a>";
    return text;
  };
  EXPECT_TRUE(tokens(nested(limits::kXmlDepthMax)).ends_with("end"));
  EXPECT_TRUE(tokens(nested(limits::kXmlDepthMax + 1)).ends_with("error"));
  const auto text = [](size_t n) { return "<a>" + std::string(n, 'x') + "</a>"; };
  EXPECT_TRUE(tokens(text(limits::kXmlTextBytesMax)).ends_with("end"));
  EXPECT_TRUE(tokens(text(limits::kXmlTextBytesMax + 1)).ends_with("error"));
  const auto name = [](size_t n) { return "<" + std::string(n, 'x') + "/>"; };
  EXPECT_TRUE(tokens(name(limits::kXmlNameBytesMax)).ends_with("end"));
  EXPECT_TRUE(tokens(name(limits::kXmlNameBytesMax + 1)).ends_with("error"));
}

TEST(S3Listing, Page) {
  const auto page = parse_s3_listing(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>a%2F</Prefix>"
      "<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<Contents><Key>a%2Fx+y%2B%C3%A4.log.gz</Key><LastModified>2026-11-26T07:00:01.000Z</LastModified><ETag>&quot;70ee-2&quot;</ETag><Size>434234</Size><StorageClass>STANDARD</StorageClass>"
      "<Owner><ID>1</ID></Owner></Contents><Contents><Key>a%2Fz</Key><Size>0</Size></Contents>"
      "<CommonPrefixes><Prefix>a%2Fb%2F</Prefix></CommonPrefixes><NextContinuationToken>1ueGc=</NextContinuationToken></ListBucketResult>");
  ASSERT_TRUE(page.ok()) << page.error().message;
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "a/x y+\xc3\xa4.log.gz");
  EXPECT_EQ(page->objects[0].etag, "70ee-2");
  EXPECT_EQ(page->objects[0].size, 434234u);
  EXPECT_EQ(page->objects[0].modified, *parse_timestamp("2026-11-26T07:00:01Z"));
  EXPECT_EQ(page->objects[1].key, "a/z");
  EXPECT_EQ(page->folders, std::vector<std::string>{"a/b/"});
  EXPECT_EQ(page->next, "1ueGc=");
  // A store that does not encode says nothing of it, and its keys are as they are.
  EXPECT_EQ(parse_s3_listing("<ListBucketResult><Contents><Key>a%2F+</Key><Size>1</Size></Contents></ListBucketResult>")->objects[0].key, "a%2F+");
  for (const auto* bad : {"<Error><Code>X</Code></Error>", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "<html>", "",
                          "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key><Size>1</Size><LastModified>soon</LastModified></Contents></ListBucketResult>",
                          "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"})
    EXPECT_FALSE(parse_s3_listing(bad).ok()) << bad;
}

TEST(AzureListing, Page) {
  const auto page = parse_azure_listing(
      "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a.blob.core.windows.net/\" ContainerName=\"c\"><Delimiter>/</Delimiter><Blobs>"
      "<Blob><Name>y=2026/PT1H.json</Name><Properties><Last-Modified>Thu, 26 Nov 2026 07:00:01 GMT</Last-Modified><Etag>0x8D0</Etag><Content-Length>120</Content-Length></Properties></Blob>"
      "<BlobPrefix><Name>y=2026/m=11/</Name></BlobPrefix></Blobs><NextMarker>2!72!x</NextMarker></EnumerationResults>");
  ASSERT_TRUE(page.ok()) << page.error().message;
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].key, "y=2026/PT1H.json");
  EXPECT_EQ(page->objects[0].etag, "0x8D0");
  EXPECT_EQ(page->objects[0].size, 120u);
  EXPECT_EQ(page->objects[0].modified, *parse_timestamp("2026-11-26T07:00:01Z"));
  EXPECT_EQ(page->folders, std::vector<std::string>{"y=2026/m=11/"});
  EXPECT_EQ(page->next, "2!72!x");
  EXPECT_FALSE(parse_azure_listing("<Error/>").ok());

  const auto blocks = parse_block_list("<BlockList><CommittedBlocks><Block><Name>QUE=</Name><Size>12</Size></Block><Block><Name>QUI=</Name><Size>2</Size></Block></CommittedBlocks></BlockList>");
  ASSERT_TRUE(blocks.ok());
  ASSERT_EQ(blocks->size(), 2u);
  EXPECT_EQ((*blocks)[0].id, "QUE=");
  EXPECT_EQ((*blocks)[1].size, 2u);
  EXPECT_TRUE(parse_block_list("<BlockList><CommittedBlocks /></BlockList>")->empty());
  EXPECT_FALSE(parse_block_list("<BlockList><CommittedBlocks><Block><Size>x</Size></Block></CommittedBlocks></BlockList>").ok());
}

TEST(ObjectNotice, Forms) {
  const std::string s3 =
      R"({"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"2026-11-26T07:00:01.123Z","eventName":"ObjectCreated:Put",)"
      R"("s3":{"s3SchemaVersion":"1.0","bucket":{"name":"flows","arn":"arn:aws:s3:::flows"},"object":{"key":"AWSLogs/a+b%3D1/x.log.gz","size":1024,"eTag":"d41d","sequencer":"0A"}}},)"
      R"({"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"flows"},"object":{"key":"y"}}}]})";
  auto got = parse_object_notice(s3);
  ASSERT_TRUE(got.ok()) << got.error().message;
  ASSERT_EQ(got->created.size(), 1u);
  EXPECT_EQ(got->ignored, 1u);
  EXPECT_EQ(got->created[0].bucket, "flows");
  EXPECT_EQ(got->created[0].key, "AWSLogs/a b=1/x.log.gz");
  EXPECT_EQ(got->created[0].etag, "d41d");
  EXPECT_EQ(got->created[0].size, 1024u);
  EXPECT_EQ(got->created[0].time, *parse_timestamp("2026-11-26T07:00:01.123Z"));

  std::string escaped;
  for (const char c : s3) escaped += c == '"' ? std::string("\\\"") : std::string(1, c);
  got = parse_object_notice(R"({"Type":"Notification","MessageId":"1","TopicArn":"arn:x","Subject":"Amazon S3 Notification","Message":")" + escaped + R"("})");
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->created.at(0).key, "AWSLogs/a b=1/x.log.gz");

  got = parse_object_notice(R"({"version":"0","detail-type":"Object Created","source":"aws.s3","time":"2026-11-26T07:00:01Z","detail":{"bucket":{"name":"flows"},"object":{"key":"a+b%3D1","size":5,"etag":"e"}}})");
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->created.at(0).key, "a+b%3D1") << "EventBridge writes keys as they are";

  got = parse_object_notice(R"({"EventName":"s3:ObjectCreated:Put","Key":"flows/k","Records":[{"eventName":"s3:ObjectCreated:Put","eventSource":"minio:s3","s3":{"bucket":{"name":"flows"},"object":{"key":"k"}}}]})");
  EXPECT_EQ(got->created.at(0).key, "k");

  EXPECT_EQ(parse_object_notice(R"({"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"flows"})")->ignored, 1u);
  EXPECT_EQ(parse_object_notice(R"({"detail-type":"Object Deleted","detail":{}})")->ignored, 1u);
  for (const auto* bad : {"", "x", "[]", "{}", R"({"Records":1})", R"({"Records":[{"eventName":"ObjectCreated:Put"}]})", R"({"Type":"Notification","Message":"{\"Type\":\"Notification\",\"Message\":\"{}\"}"})",
                          R"({"detail-type":"Object Created","detail":{"bucket":{},"object":{}}})"})
    EXPECT_FALSE(parse_object_notice(bad).ok()) << bad;
}

TEST(SqsQueue, Messages) {
  const auto got = parse_sqs_messages(R"({"Messages":[{"MessageId":"1","ReceiptHandle":"r","MD5OfBody":"x","Body":"{\"a\":1}"}]})");
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->size(), 1u);
  EXPECT_EQ((*got)[0].body, "{\"a\":1}");
  EXPECT_EQ((*got)[0].receipt, "r");
  EXPECT_TRUE(parse_sqs_messages("{}")->empty());
  EXPECT_TRUE(parse_sqs_messages(R"({"Messages":null})")->empty());
  EXPECT_FALSE(parse_sqs_messages("<xml/>").ok());
  EXPECT_FALSE(parse_sqs_messages(R"({"Messages":[{"MessageId":"1"}]})").ok());
}

}  // namespace
}  // namespace sluice::ingest
