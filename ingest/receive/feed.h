// A feed: a declared place from which Sluice fetches flow records itself: a folder, a bucket, a container, a topic.
//
//   make restore poll* ( restore poll* )*
//
// A feed finds what is new and brings it piece by piece to a PieceSink. The sink returns when the piece is durable (or was
// set aside as unreadable), and with the rows it commits the piece's checkpoint, in one write. So a feed needs no step of
// acknowledgement: after the sink has returned, delete the file, commit the offset, ack the message. A kill between the two
// is covered by the checkpoint that restore() gives back.
//
// Exactly once comes from either of two things, and a piece needs one of them:
//   - `object_key`, for objects that can be fetched again in any order (bucket objects, whole files). A key seen before
//     changes no rows and is reported as a duplicate. Keys are kept for limits::kObjectKeyAge.
//   - `checkpoint`, for what is read in one order (a growing file, a partition): it says where to go on, and nothing before
//     that place is brought again.
//
// Thread rule: one thread makes the calls restore and poll; backlog() may come from any thread. A feed makes no thread, reads no
// wall clock (FeedPoll brings a Clock) and does not log.
// Errors: poll returns what kept it from going on (the place cannot be reached, no permission, the sink's own error); the runner
// waits, longer each time, and polls again. What is wrong with one object must not end there: such an object is brought
// with what could be read, or told by FeedPiece::fault, and counts as set aside, so that it never blocks the ones after it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/receive/declared_settings.h"
#include "ingest/receive/inflate.h"
#include "storage/model/ip.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Where a feed stands, as small keys and values of its own choice; the runner keeps each feed's apart by its name.
// As a change, an empty value erases its key.
using Checkpoint = std::vector<std::pair<std::string, std::string>>;

// One message of a piece that holds several (a topic's records).
struct FeedRecord {
  size_t end = 0;          // where it ends in FeedPiece::bytes; it begins where the one before ends
  TimestampNs time = 0;    // when it was made; 0: not known
  IpAddress sender{};      // of a raw datagram: its exporter, where the message tells; else unset (all zero)
  uint16_t sender_port = 0;
  uint32_t stream = 0;     // of FeedPiece::streams, where there are any
  uint64_t position = 0;   // of this record in its stream
};

// One object, or the next part of one that grows. With neither bytes nor records nor fault it is just its checkpoint.
struct FeedPiece {
  std::string object;      // for people: a path, a URL, "topic/3"
  uint64_t offset = 0;     // where `bytes` begin in it (for a topic: the first record's offset); for messages only
  std::string object_key;  // see above; at most limits::kObjectKeyBytesMax less the feed's name and 32
  std::string bytes;       // at most limits::kFeedObjectBytesMax
  // nullopt: known by the first bytes (gzip, zstd). A feed that cuts lines itself says `none`.
  std::optional<Compression> compression;
  // Of the inflated bytes, the first so many are known to be ingested already.
  uint64_t skip = 0;
  // Header lines that hold for `bytes` and are not in them, each with its line end.
  std::string header;
  // Not empty: `bytes` are several messages, each a body of its own. Line formats may have them too.
  std::vector<FeedRecord> records;
  // Of records that come in order from several streams (a topic's partitions): the checkpoint entry that says where each stream goes on,
  // as the decimal number behind the position of its last record that is durable. With them a piece that is too much for one write
  // can become durable record by record. Empty: the piece is one.
  std::vector<std::string> streams;
  std::string source;      // overrides the feed's own, for feeds that tell the format by the object's name; empty: the feed's
  TimestampNs time = 0;    // when the object was made or changed last; 0: not known
  Checkpoint checkpoint;   // commits with the (last) rows of this piece
  // Not empty: the object cannot be read, for this reason (too large, gone while it was read, refused for good).
  // Nothing of `bytes` is decoded; the object is listed as set aside and the checkpoint commits.
  std::string fault;
  // This object was set aside before: should it be so again, that is no news, and it is neither counted nor logged once more.
  bool was_aside = false;
};

// What became of a piece.
struct PieceResult {
  bool duplicate = false;  // its object_key was known
  bool set_aside = false;  // not readable as a whole; listed with its reason
  uint64_t rows = 0;
  uint64_t rejected = 0;   // records that could not be read
  uint64_t recognized = 0; // records that could: rows, known ones included, and those that say there are none
  std::string reason;      // why it was set aside, or the first record rejected
};

// Returns once the piece is durable or set aside. It waits as long as the store is full. An error: nothing is known to
// be taken; return it from poll at once and forget what you hold: restore() comes before the next poll.
using PieceSink = std::function<Result<PieceResult>(FeedPiece&& piece)>;

struct FeedPoll {
  const Clock& clock;
  // Whether the server stops: ask at least every second and between pieces, and return.
  const std::function<bool()>& stopping;
  // A poll that waits for news itself (a long poll, a consumer) waits at most this long.
  DurationNs patience = kSecond;
};

// What is known to be there and not ingested yet.
struct FeedBacklog {
  uint64_t objects = 0;       // files, objects, messages
  uint64_t bytes = 0;         // 0 where not known
  TimestampNs oldest = 0;     // when the oldest of them was made; 0: none, or not known
  uint64_t watched = 0;       // files, prefixes, partitions looked at
  std::string note;           // what an operator should know ("2 partitions of 3 assigned"); may be empty
};

class Feed {
 public:
  virtual ~Feed() = default;

  // What checkpoints have written so far, ordered by key; empty for a new feed. Called before the first poll and again after
  // each error of the sink: whatever the feed holds in memory is forgotten, and this is where it goes on.
  // Entries of newer versions or damaged ones: an error says so, and the feed does not run.
  virtual Status restore(const Checkpoint& checkpoint) = 0;

  // Brings what is new. Returns how long nothing is expected: the runner sleeps that long (0: poll again at once).
  virtual Result<DurationNs> poll(const FeedPoll& poll, const PieceSink& sink) = 0;

  virtual FeedBacklog backlog() const = 0;
};

// How the format of a feed may be cut, from the source table.
struct FeedFormat {
  bool lines = false;  // any run of whole lines is a body: growing files can be followed, large objects come in parts
  // Whether a line says how those behind it are read. `first`: it is the first of its object. nullptr: the format has none.
  bool (*is_header)(std::string_view line, bool first) = nullptr;
};

// The declaration of a feed. A factory reads its keys each once, then calls finish(): see declared_settings.h.
class FeedSettings : public DeclaredSettings {
 public:
  FeedSettings() : DeclaredSettings("feed", "name, kind, source, format") {}

  std::string source;  // format, as in POST /v1/ingest/{source}
  std::string format;  // the source's own setting, e.g. an AWS field list
  FeedFormat shape;
  // What only one feed may take from, in words with its name; whoever declares it second is told, by the key.
  void claim(const std::string& key, std::string what) { claims.emplace_back(key, std::move(what)); }
  std::vector<std::pair<std::string, std::string>> claims;
};

// A kind of feed; one joins with one row in feed_kinds.cc.
struct FeedKind {
  std::string_view name;
  std::string_view description;
  // Errors: a setting that makes no sense. Nothing outside is touched yet.
  Result<std::unique_ptr<Feed>> (*make)(FeedSettings& settings);
};
std::span<const FeedKind> feed_kinds();
const FeedKind* find_feed_kind(std::string_view name);

}  // namespace sluice::ingest
