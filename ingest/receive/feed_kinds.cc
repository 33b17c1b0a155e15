#include "ingest/receive/bucket_feed.h"
#include "ingest/receive/feed.h"
#include "ingest/receive/folder_feed.h"
#include "ingest/receive/kafka_feed.h"

namespace sluice::ingest {
namespace {

constexpr FeedKind kKinds[] = {
    {"folder", "files of a directory, new and growing ones", make_folder_feed},
    {"s3", "objects of a bucket of S3 or of what speaks its protocol, by listing or by SQS", make_s3_feed},
    {"azure_blob", "blobs of an Azure container, growing ones too", make_azure_blob_feed},
    {"kafka", "records of Kafka topics, of Event Hubs and of what else speaks the protocol", make_kafka_feed},
};

}  // namespace

std::span<const FeedKind> feed_kinds() { return kKinds; }

const FeedKind* find_feed_kind(std::string_view name) {
  for (const FeedKind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

}  // namespace sluice::ingest
