// Bucket feed: brings the objects of a bucket or container once, by listing them or by a queue that tells of new ones.
//
// By listing. A pass lists what the prefix stands for and brings each object that it does not know, by key and ETag. Names say
// nothing of the order in which objects come (accounts, regions and flow logs stand before the time in them), so what is
// new is decided by the store's time of change: `mark` is the newest of the last whole pass, and what changed earlier than
// `lookback` before it is done. Within that time every object brought is remembered, in the checkpoint that commits with its rows.
// An object that cannot be fetched holds the mark where it is, is tried again in later passes, and is set aside by name when
// that has gone on for limits::kBucketGiveUpAge while others could be fetched.
//
// By a queue. Messages of SQS name new objects; a message is deleted when all its objects are durable. Objects are known by
// their key (FeedPiece::object_key), since a queue may tell of one twice.
//
// Blobs that grow (Azure's PT1H.json) are tailed: see blob_tail.h. Where the last read ended is in the checkpoint, and the list
// of blocks tells whether the blob is still the same up to there.
//
// Thread rule and errors: as feed.h says.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingest/receive/azure_store.h"
#include "ingest/receive/feed.h"
#include "ingest/receive/http_client.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/object_store.h"
#include "ingest/receive/prefix_template.h"
#include "ingest/receive/sqs_queue.h"

namespace sluice::ingest {

// Kinds "s3" and "azure_blob".
Result<std::unique_ptr<Feed>> make_s3_feed(FeedSettings& settings);
Result<std::unique_ptr<Feed>> make_azure_blob_feed(FeedSettings& settings);

struct BucketFeedOptions {
  PrefixTemplate prefix;
  std::vector<std::string> suffixes;  // an object's key ends with one of them; empty: any
  std::optional<TimestampNs> since;   // changed at or after; absent: `since_age` before the first poll
  DurationNs since_age = kDay;        // kTimestampMax: everything
  DurationNs lookback = kDay;
  DurationNs interval = kMinute;      // between passes
  size_t object_bytes_max = limits::kFeedObjectBytesMax;
  bool ascending = false;             // keys only ever grow: a pass begins after the last one that is done
  std::string tail_suffix;            // blobs to tail; empty: none
};

// What a feed asks; tests answer in its place. Exactly one of `store` and `queue` finds objects; with a queue, `open` opens the
// store of the bucket that a notice names.
struct BucketFeedParts {
  std::unique_ptr<HttpTransport> transport;  // outlives the rest
  std::unique_ptr<ObjectStore> store;
  AzureStore* blocks = nullptr;              // `store`, when it can list blocks
  std::unique_ptr<SqsQueue> queue;
  std::function<Result<std::unique_ptr<ObjectStore>>(const std::string& bucket)> open;
  std::string bucket;                        // with a queue: the only bucket whose notices count; empty: any
};

// What a feed's stores know of the poll that runs: the time, and whether to stop. They outlive polls, which bring it anew.
class PollContext final : public Clock {
 public:
  TimestampNs now() const override { return poll_ ? poll_->clock.now() : 0; }
  bool stopping() const { return poll_ && poll_->stopping(); }
  // Waits in small steps; false: stopping.
  bool wait(DurationNs duration) const;
  void set(const FeedPoll* poll) { poll_ = poll; }

 private:
  const FeedPoll* poll_ = nullptr;
};

class BucketFeed final : public Feed {
 public:
  BucketFeed(BucketFeedOptions options, std::shared_ptr<PollContext> context, BucketFeedParts parts);

  Status restore(const Checkpoint& checkpoint) override;
  Result<DurationNs> poll(const FeedPoll& poll, const PieceSink& sink) override;
  FeedBacklog backlog() const override;

 private:
  struct Tail {
    uint64_t offset = 0;
    TimestampNs modified = 0;
    std::string etag, block;  // of the state read last; the block that the last byte read lies in
  };
  struct Trouble {
    uint64_t tries = 0, successes = 0;  // `successes`: of the feed, when it began
    TimestampNs since = 0;
    std::string reason;
  };
  struct Pass {
    std::deque<std::string> prefixes;
    std::deque<StoredObject> objects;  // of the page at hand
    std::string token;                 // of the next page of prefixes.front()
    bool listed = false;               // prefixes.front() has given a page
    TimestampNs started = 0, newest = 0, held = kTimestampMax;
    std::string position;              // `ascending`: all keys up to here are done for good
    bool position_open = true;
    std::string trouble;               // the last failure of a fetch; "": none
  };
  // What became of an object.
  enum class Outcome { done, later };

  Result<DurationNs> poll_listing(const FeedPoll& poll, const PieceSink& sink);
  Result<DurationNs> poll_queue(const FeedPoll& poll, const PieceSink& sink);
  Status begin_pass(TimestampNs now);
  Status next_page();
  void end_pass();
  Result<Outcome> bring(const StoredObject& object, TimestampNs now, const PieceSink& sink);
  Result<Outcome> bring_whole(ObjectStore& store, const StoredObject& object, const std::string& id, TimestampNs now, const PieceSink& sink);
  Result<Outcome> bring_tail(const StoredObject& object, const std::string& id, TimestampNs now, const PieceSink& sink);
  // Decides what a failed fetch means. done: set aside or gone.
  Result<Outcome> failed(const Error& error, const std::string& id, FeedPiece&& piece, TimestampNs now, const PieceSink& sink);
  Result<PieceResult> sink_with_changes(FeedPiece&& piece, const PieceSink& sink);
  bool wanted(const std::string& key) const;
  bool is_tailed(const std::string& key) const;
  void note_backlog(std::string note);

  const BucketFeedOptions options_;
  const std::shared_ptr<PollContext> context_;
  BucketFeedParts parts_;
  std::map<std::string, std::unique_ptr<ObjectStore>> stores_;  // with a queue, by bucket

  // From the checkpoint.
  TimestampNs mark_ = 0, since_ = kTimestampMin;
  bool since_known_ = false;
  std::string position_;
  std::unordered_map<std::string, TimestampNs> done_;  // id of key and ETag → time of change
  std::unordered_map<std::string, Tail> tails_;        // id of key
  // To commit with the next piece.
  std::map<std::string, std::string> changes_;

  std::optional<Pass> pass_;
  std::unordered_map<std::string, Trouble> troubles_;  // id → what went wrong
  uint64_t successes_ = 0, gone_ = 0, rewritten_ = 0, damaged_ = 0, foreign_ = 0, bad_messages_ = 0;
  size_t failures_in_row_ = 0;

  mutable std::mutex mutex_;
  FeedBacklog backlog_;
};

}  // namespace sluice::ingest
