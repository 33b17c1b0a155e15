// FeedIntake: one piece of a feed becomes durable rows, once: taken out of its compression, cut, decoded, and appended
// together with the feed's checkpoint.
//
// What is kept of a feed lies in the catalogue's keyspace `ingest_state`: "feed/NAME/at/KEY" its checkpoint, "feed/NAME/packet/KEY" what
// exporters said in its packets, "feed/NAME/aside/OBJECT" what could not be read. Idempotency keys of its objects are "feed/NAME\nKEY", and
// with "#OFFSET" those of parts of a large one, "#spanN" those of its flows of one span of time where they lie in too many for one write. Of
// a file that is followed, parts of such flows are "FILE@OFFSET-HASH"; of a topic's record that has them alone, "PLACE@OFFSET-HASH#spanN".
//
// Thread rule: take, checkpoint and set_aside belong to the feed's thread; counts may be read by any.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/feed.h"
#include "ingest/source/netflow.h"
#include "ingest/source/source.h"
#include "server/ingest_service.h"
#include "server/loss_book.h"
#include "server/metrics.h"
#include "storage/store/store.h"

namespace sluice::server {

inline constexpr std::string_view kFeedKeyPrefix = "feed/";

struct FeedCounts {
  uint64_t objects = 0;     // pieces that begin an object, or a piece of messages
  uint64_t pieces = 0;
  uint64_t bytes = 0;       // as fetched
  uint64_t rows = 0;        // durable
  uint64_t rejected = 0, no_data = 0, skipped_data = 0, ignored = 0;
  uint64_t duplicates = 0;  // objects that had been ingested before
  uint64_t set_aside = 0;   // objects that could not be read
  std::string last_object;
  TimestampNs last_object_time = 0;  // when it was made, where known
  TimestampNs last_at = 0;           // when it was taken
};

struct SetAside {
  std::string feed, object, reason;
  TimestampNs at = 0;
};

class FeedIntake {
 public:
  struct Parts {
    store::Store& store;
    const Clock& clock;
    Metrics& metrics;
    LossBook& losses;
    IngestService& ingest;  // whose budget for bytes in flight feeds share
    std::mutex& large;      // over all feeds: one large object is inflated and decoded at a time
  };
  struct Identity {
    std::string name, source, format;
    ingest::FeedFormat shape;
  };
  // Called while the store is full; false: stopping, give up. It waits a little by itself.
  using WaitForRoom = std::function<bool()>;

  FeedIntake(Identity identity, Parts parts);
  ~FeedIntake();

  // What checkpoints wrote, and what is kept of exporters and of objects set aside. Decides first what became of a write
  // that failed. Errors: io, corrupt.
  Result<ingest::Checkpoint> restore();

  // As PieceSink. Errors: cancelled (wait said so), io, corrupt of the catalogue; never what is wrong with the piece.
  Result<ingest::PieceResult> take(ingest::FeedPiece&& piece, const WaitForRoom& wait);

  FeedCounts counts() const;
  std::vector<SetAside> set_aside() const;  // the newest last
  // Of raw datagrams that came as messages, since the decoder was made; of a topic that is being caught up with, as of a second ago.
  std::vector<ingest::ExporterStats> exporters() const;

 private:
  struct Work;  // one piece on its way
  Result<ingest::PieceResult> take_counted(Work& work);
  void note_rejected(const std::string& object, const ingest::DecodeReport& report, bool is_set_aside);
  Status lines(Work& work);
  Status lines_part(Work& work, std::string_view text, uint64_t offset, bool is_last);
  Status whole(Work& work);
  Status decode_lines(Work& work, const ingest::DecodeContext& context, const std::string& front, std::string_view text, size_t bad_lines_max, ingest::DecodeReport& report,
                      std::vector<std::shared_ptr<const Batch>>& batches);
  Status scattered_lines(Work& work, const std::string& front, std::string_view text, uint64_t offset);
  Status records(Work& work);
  Status append_records(Work& work, std::span<const std::shared_ptr<const Batch>> batches, size_t next);
  Status scattered_records(Work& work, std::span<const std::shared_ptr<const Batch>> batches, std::span<const uint64_t> rows_after, size_t first);
  static ingest::Checkpoint places(const ingest::FeedPiece& piece, size_t count);
  Status packets(Work& work);
  Status append(Work& work, std::vector<std::shared_ptr<const Batch>>& batches, const std::string& key, bool is_last);
  Result<store::AppendResult> append_when_room(Work& work, std::span<const std::shared_ptr<const Batch>> batches, const store::AppendOptions& options);
  Status commit_checkpoint(Work& work);
  void add_state(Work& work, store::AppendOptions& options, const ingest::Checkpoint& checkpoint);
  std::string object_key(std::string_view key) const;

  const Identity identity_;
  const Parts parts_;
  const std::string prefix_;  // "feed/NAME/"
  std::unique_ptr<ingest::PacketDecoder> decoder_;  // outlives pieces: templates come before their data
  TimestampNs rejected_told_at_ = 0;  // when the log was told last; of the feed's thread …
  uint64_t untold_ = 0;               // … as are the records rejected since
  mutable std::mutex mutex_;  // guards what follows
  FeedCounts counts_;
  std::deque<SetAside> aside_;
  std::vector<ingest::ExporterStats> exporters_;
  TimestampNs exporters_at_ = 0;  // of the feed's thread
};

}  // namespace sluice::server
