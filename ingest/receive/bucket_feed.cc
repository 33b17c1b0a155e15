#include "ingest/receive/bucket_feed.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "ingest/receive/blob_tail.h"
#include "ingest/receive/digest.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/object_notice.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"

namespace sluice::ingest {
namespace {

constexpr size_t kFailuresPerPoll = 3;       // then the poll ends with the error, and the runner waits
constexpr size_t kErasuresPerPiece = 1'000;  // of what is too old to be remembered
constexpr std::string_view kMark = "mark", kSince = "since", kPosition = "position";

// What an object is remembered by: short, and of one length.
std::string id_of(std::string_view key, std::string_view etag) {
  return hex(sha256(std::string(key) + '\n' + std::string(etag)).substr(0, 16));
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Keys of S3 may be as long as an idempotency key; such a one is known by its hash.
std::string bounded_key(std::string key) {
  return key.size() <= limits::kObjectKeyBytesMax / 2 ? key : "sha256:" + hex(sha256(key));
}

}  // namespace

bool PollContext::wait(DurationNs duration) const {
  constexpr DurationNs kStep = 100 * kMillisecond;
  while (duration > 0 && !stopping()) {
    const DurationNs step = std::min(duration, kStep);
    const timespec time{static_cast<time_t>(step / kSecond), static_cast<long>(step % kSecond)};
    nanosleep(&time, nullptr);
    duration -= step;
  }
  return !stopping();
}

BucketFeed::BucketFeed(BucketFeedOptions options, std::shared_ptr<PollContext> context, BucketFeedParts parts)
    : options_(std::move(options)), context_(std::move(context)), parts_(std::move(parts)) {}

bool BucketFeed::wanted(const std::string& key) const {
  if (key.ends_with('/')) return false;  // what consoles make to show a folder
  return options_.suffixes.empty() || std::any_of(options_.suffixes.begin(), options_.suffixes.end(), [&](const auto& suffix) { return key.ends_with(suffix); });
}

bool BucketFeed::is_tailed(const std::string& key) const { return parts_.blocks && !options_.tail_suffix.empty() && key.ends_with(options_.tail_suffix); }

Status BucketFeed::restore(const Checkpoint& checkpoint) {
  mark_ = 0;
  since_known_ = false;
  position_.clear();
  done_.clear();
  tails_.clear();
  changes_.clear();
  pass_.reset();
  for (const auto& [key, value] : checkpoint) {
    const auto damaged = [&entry = key] { return Error{ErrorCode::corrupt, "an entry cannot be read: " + entry}; };
    if (key == kPosition) {
      position_ = value;
    } else if (key.starts_with("t/")) {
      std::istringstream fields(value);
      Tail tail;
      if (!(fields >> tail.offset >> tail.modified)) return damaged();
      fields >> tail.etag >> tail.block;
      tails_.emplace(key.substr(2), std::move(tail));
    } else {
      const auto time = number(value);
      if (!time) return damaged();
      if (key == kMark) mark_ = *time;
      else if (key == kSince) since_ = *time, since_known_ = true;
      else if (key.starts_with("d/")) done_.emplace(key.substr(2), *time);
      else return Error{ErrorCode::unsupported, "an entry is of a newer version: " + key};
    }
  }
  return {};
}

FeedBacklog BucketFeed::backlog() const {
  std::lock_guard lock(mutex_);
  return backlog_;
}

void BucketFeed::note_backlog(std::string note) {
  FeedBacklog now;
  if (pass_) {
    now.watched = pass_->prefixes.size();
    for (const auto& object : pass_->objects) {
      ++now.objects;
      now.bytes += object.size;
      if (now.oldest == 0 || object.modified < now.oldest) now.oldest = object.modified;
    }
  }
  now.objects += troubles_.size();
  for (const auto& [id, trouble] : troubles_)
    if (now.oldest == 0 || trouble.since < now.oldest) now.oldest = trouble.since;
  const auto add = [&](uint64_t count, std::string_view one, std::string_view more, const std::string& rest = "") {
    if (count > 0) note += (note.empty() ? "" : "; ") + counted(count, one, more) + rest;
  };
  if (!troubles_.empty()) add(troubles_.size(), "object", "objects", " could not be fetched yet, the last: " + troubles_.begin()->second.reason);
  add(gone_, "object was gone when it was fetched", "objects were gone when they were fetched");
  add(rewritten_, "blob was written anew and read again from its start", "blobs were written anew and read again from their start");
  add(damaged_, "damaged place was passed by in blobs that grow", "damaged places were passed by in blobs that grow");
  add(foreign_, "notice of an object that is not asked for", "notices of objects that are not asked for");
  add(bad_messages_, "message that is no notice", "messages that are no notices");
  now.note = std::move(note);
  std::lock_guard lock(mutex_);
  backlog_ = std::move(now);
}

Result<DurationNs> BucketFeed::poll(const FeedPoll& poll, const PieceSink& sink) {
  context_->set(&poll);
  auto result = parts_.queue ? poll_queue(poll, sink) : poll_listing(poll, sink);
  note_backlog({});
  context_->set(nullptr);
  return result;
}

// --- by listing -------------------------------------------------------------------------------------------------------

Status BucketFeed::begin_pass(TimestampNs now) {
  if (!since_known_) {
    since_ = options_.since ? *options_.since : options_.since_age == kTimestampMax ? kTimestampMin : now - options_.since_age;
    since_known_ = true;
    changes_[std::string(kSince)] = std::to_string(since_);
  }
  Pass pass;
  pass.started = now;
  pass.position = position_;
  const TimestampNs from = mark_ == 0 ? since_ : std::max(since_, mark_ - options_.lookback);
  // A folder's time is that of its flows, which is before its objects' time of change; an hour ahead, for clocks.
  SLUICE_ASSIGN(const auto patterns, options_.prefix.over({options_.prefix.has_time() ? from : 0, now + kHour}));
  std::map<std::string, std::vector<std::string>> known;  // the days of a month have the same accounts and regions above them
  const PrefixTemplate::Folders folders = [&](const std::string& prefix) -> Result<std::vector<std::string>> {
    if (const auto at = known.find(prefix); at != known.end()) return at->second;
    std::vector<std::string> found;
    ListRequest request{prefix, {}, {}, true};
    do {
      SLUICE_ASSIGN(ListPage page, parts_.store->list(request));
      found.insert(found.end(), std::make_move_iterator(page.folders.begin()), std::make_move_iterator(page.folders.end()));
      if (found.size() > limits::kBucketPrefixesMax) return Error{ErrorCode::too_large, "more folders than " + std::to_string(limits::kBucketPrefixesMax) + " below " + prefix};
      request.token = std::move(page.next);
    } while (!request.token.empty() && !context_->stopping());
    known[prefix] = found;
    return found;
  };
  for (const std::string& pattern : patterns) {
    SLUICE_ASSIGN(auto prefixes, PrefixTemplate::expand(pattern, folders));
    pass.prefixes.insert(pass.prefixes.end(), std::make_move_iterator(prefixes.begin()), std::make_move_iterator(prefixes.end()));
    if (pass.prefixes.size() > limits::kBucketPrefixesMax)
      return Error{ErrorCode::too_large, "the prefix stands for more than " + std::to_string(limits::kBucketPrefixesMax) + " folders; look back over less time"};
  }
  if (context_->stopping()) return Error{ErrorCode::cancelled, "stopping"};
  pass_ = std::move(pass);
  return {};
}

Status BucketFeed::next_page() {
  Pass& pass = *pass_;
  ListRequest request{pass.prefixes.front(), options_.ascending ? position_ : std::string(), pass.token, false};
  SLUICE_ASSIGN(ListPage page, parts_.store->list(request));
  const TimestampNs from = mark_ == 0 ? since_ : std::max(since_, mark_ - options_.lookback);
  for (StoredObject& object : page.objects) {
    if (!wanted(object.key)) continue;
    const bool is_old = object.modified < from;
    // Keys that are old and done are passed by for good; the first that is not ends that.
    if (options_.ascending && pass.position_open) {
      if (object.modified < pass.started - options_.lookback && (is_old || done_.contains(id_of(object.key, object.etag)))) pass.position = object.key;
      else pass.position_open = false;
    }
    if (is_old) continue;
    pass.newest = std::max(pass.newest, object.modified);
    if (is_tailed(object.key)) {
      const auto tail = tails_.find(id_of(object.key, ""));
      if (tail != tails_.end() && tail->second.etag == object.etag) continue;
    } else if (done_.contains(id_of(object.key, object.etag))) {
      continue;
    }
    pass.objects.push_back(std::move(object));
  }
  pass.token = std::move(page.next);
  if (pass.token.empty()) pass.prefixes.pop_front();
  return {};
}

void BucketFeed::end_pass() {
  Pass& pass = *pass_;
  // The mark never passes by what could not be fetched.
  const TimestampNs mark = std::min(pass.newest, pass.held);
  if (mark > mark_ && mark != kTimestampMax) {
    mark_ = mark;
    changes_[std::string(kMark)] = std::to_string(mark_);
    std::erase_if(done_, [&](const auto& entry) {
      if (entry.second >= mark_ - options_.lookback) return false;
      changes_["d/" + entry.first].clear();
      return true;
    });
    // Where a blob was read to is kept for as long as idempotency keys are: one that changes after weeks still counts once.
    std::erase_if(tails_, [&](const auto& entry) {
      if (entry.second.modified >= mark_ - std::max(options_.lookback, limits::kObjectKeyAge)) return false;
      changes_["t/" + entry.first].clear();
      return true;
    });
  }
  if (options_.ascending && pass.position > position_) {
    position_ = pass.position;
    changes_[std::string(kPosition)] = position_;
  }
  pass_.reset();
}

Result<DurationNs> BucketFeed::poll_listing(const FeedPoll& poll, const PieceSink& sink) {
  if (!pass_) {
    if (poll.stopping()) return DurationNs{0};
    SLUICE_TRY(begin_pass(poll.clock.now()));
  }
  size_t failures = 0;
  while (true) {
    if (poll.stopping()) return DurationNs{0};
    if (pass_->objects.empty()) {
      if (pass_->prefixes.empty()) break;
      SLUICE_TRY(next_page());
      note_backlog({});
      continue;
    }
    if (done_.size() + tails_.size() > limits::kBucketDoneMax)
      return Error{ErrorCode::too_large, "more than " + std::to_string(limits::kBucketDoneMax) + " objects came within the time to look back over; set a shorter lookback or more of the prefix"};
    const StoredObject object = std::move(pass_->objects.front());
    pass_->objects.pop_front();
    auto outcome = bring(object, poll.clock.now(), sink);
    if (!outcome.ok()) return std::move(outcome).error();
    if (*outcome == Outcome::later) {
      pass_->held = std::min(pass_->held, object.modified);
      if (const auto at = troubles_.find(id_of(object.key, object.etag)); at != troubles_.end()) pass_->trouble = at->second.reason;
      if (++failures >= kFailuresPerPoll && !pass_->trouble.empty()) return Error{ErrorCode::io, pass_->trouble};
    }
    note_backlog({});
  }
  const std::string trouble = std::move(pass_->trouble);
  end_pass();
  // One object that fails is told by an error as well; the pass has been done all the same.
  if (!trouble.empty()) return Error{ErrorCode::io, trouble};
  return options_.interval;
}

Result<PieceResult> BucketFeed::sink_with_changes(FeedPiece&& piece, const PieceSink& sink) {
  size_t taken = 0;
  for (auto at = changes_.begin(); at != changes_.end() && taken < kErasuresPerPiece; ++taken) {
    piece.checkpoint.emplace_back(at->first, at->second);
    at = changes_.erase(at);
  }
  return sink(std::move(piece));
}

Result<BucketFeed::Outcome> BucketFeed::failed(const Error& error, const std::string& id, FeedPiece&& piece, TimestampNs now, const PieceSink& sink) {
  if (error.code == ErrorCode::cancelled) return error;
  if (error.code == ErrorCode::not_found || error.code == ErrorCode::conflict) {
    // Gone, or replaced by another that the next pass or notice tells of.
    gone_ += error.code == ErrorCode::not_found;
    troubles_.erase(id);
    return Outcome::done;
  }
  if (troubles_.size() >= limits::kBucketTroublesMax && !troubles_.contains(id))
    troubles_.erase(std::min_element(troubles_.begin(), troubles_.end(), [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
  Trouble& trouble = troubles_[id];
  if (trouble.tries == 0) trouble.since = now, trouble.successes = successes_;
  ++trouble.tries;
  trouble.reason = error.message;
  const bool is_its_own = successes_ > trouble.successes;
  const bool give_up = error.code == ErrorCode::too_large || (is_its_own && trouble.tries >= limits::kBucketObjectTries && now - trouble.since >= limits::kBucketGiveUpAge);
  if (!give_up) return Outcome::later;
  piece.fault = error.message;
  troubles_.erase(id);
  SLUICE_TRY(sink_with_changes(std::move(piece), sink));
  return Outcome::done;
}

Result<BucketFeed::Outcome> BucketFeed::bring(const StoredObject& object, TimestampNs now, const PieceSink& sink) {
  if (is_tailed(object.key)) return bring_tail(object, id_of(object.key, ""), now, sink);
  const std::string id = id_of(object.key, object.etag);
  auto outcome = bring_whole(*parts_.store, object, id, now, sink);
  if (outcome.ok() && *outcome == Outcome::done) done_[id] = object.modified;
  return outcome;
}

Result<BucketFeed::Outcome> BucketFeed::bring_whole(ObjectStore& store, const StoredObject& object, const std::string& id, TimestampNs now, const PieceSink& sink) {
  FeedPiece piece;
  piece.object = store.name() + "/" + object.key;
  piece.object_key = bounded_key(piece.object + "@" + object.etag);
  piece.time = object.modified;
  if (!parts_.queue) piece.checkpoint = {{"d/" + id, std::to_string(object.modified)}};
  if (object.size > options_.object_bytes_max) {
    const std::string why = "it has " + std::to_string(object.size) + " bytes, which is more than max_object_bytes: " + std::to_string(options_.object_bytes_max);
    return failed({ErrorCode::too_large, why}, id, std::move(piece), now, sink);
  }
  GetRequest request;
  request.key = object.key;
  request.etag = object.etag;
  request.bytes_max = options_.object_bytes_max;
  auto bytes = store.get(request);
  if (!bytes.ok()) return failed(bytes.error(), id, std::move(piece), now, sink);
  ++successes_;
  troubles_.erase(id);
  piece.bytes = std::move(*bytes);
  SLUICE_TRY(sink_with_changes(std::move(piece), sink));
  return Outcome::done;
}

Result<BucketFeed::Outcome> BucketFeed::bring_tail(const StoredObject& object, const std::string& id, TimestampNs now, const PieceSink& sink) {
  Tail tail;
  if (const auto at = tails_.find(id); at != tails_.end()) tail = at->second;
  FeedPiece piece;
  piece.object = parts_.store->name() + "/" + object.key;
  piece.time = object.modified;
  const std::string trouble_id = id_of(object.key, object.etag);
  const auto checkpoint_of = [](const Tail& t) {
    return std::to_string(t.offset) + " " + std::to_string(t.modified) + " " + t.etag + (t.block.empty() ? "" : " " + t.block);
  };
  // A failure that ends with setting it aside passes by this state of the blob.
  const auto give_up = [&](const Error& error) -> Result<Outcome> {
    Tail passed = tail;
    passed.etag = object.etag;
    passed.modified = object.modified;
    piece.checkpoint = {{"t/" + id, checkpoint_of(passed)}};
    auto outcome = failed(error, trouble_id, std::move(piece), now, sink);
    if (outcome.ok() && *outcome == Outcome::done && error.code != ErrorCode::conflict) tails_[id] = std::move(passed);
    return outcome;
  };

  auto list = parts_.blocks->block_list(object.key);
  if (!list.ok()) return give_up(list.error());
  if (!list->etag.empty() && list->etag != object.etag) return Outcome::later;  // it grew since it was listed
  uint64_t total = 0;
  std::string block_at_offset;  // the block that the last byte read lies in
  const auto block_of = [&](uint64_t end) {
    uint64_t at = 0;
    for (const BlobBlock& block : list->blocks) {
      at += block.size;
      if (end <= at) return block.id;
    }
    return std::string();
  };
  for (const BlobBlock& block : list->blocks) total += block.size;
  if (list->blocks.empty()) total = object.size;
  // Not the blob that was read before: shorter, or other blocks up to the place. It is read from its start, and counted.
  if (tail.offset > total || (!tail.block.empty() && !list->blocks.empty() && block_of(tail.offset) != tail.block)) {
    ++rewritten_;
    tail = {};
  }
  while (true) {
    GetRequest request;
    request.key = object.key;
    request.etag = object.etag;
    request.offset = tail.offset;
    request.length = std::min<uint64_t>(total - tail.offset, options_.object_bytes_max);
    request.bytes_max = options_.object_bytes_max;
    auto text = parts_.store->get(request);
    if (!text.ok()) return give_up(text.error());
    ++successes_;
    const bool to_end = text->size() >= total - tail.offset;
    const auto cut = cut_tail(*text, tail.offset == 0, to_end);
    if (!cut) return give_up({ErrorCode::too_large, "it does not begin with {\"records\":["});
    damaged_ += cut->damaged;
    if (!cut->body.empty() || to_end) {
      FeedPiece part = piece;
      part.offset = tail.offset;
      part.bytes = cut->body;
      part.compression = Compression::none;
      Tail next = tail;
      next.offset += cut->end;
      if (to_end) next.etag = object.etag, next.modified = object.modified;
      if (cut->end > 0) next.block = block_of(next.offset);
      part.checkpoint = {{"t/" + id, checkpoint_of(next)}};
      // Nothing new in it: the state is remembered here, and written with the next piece.
      if (part.bytes.empty()) {
        changes_["t/" + id] = part.checkpoint.front().second;
      } else {
        part.object_key = bounded_key(part.object + "@" + std::to_string(tail.offset) + "-" + std::to_string(next.offset) + "@" + next.block);
        changes_.erase("t/" + id);
        SLUICE_TRY(sink_with_changes(std::move(part), sink));
      }
      tail = next;
      tails_[id] = next;
    } else {
      return give_up({ErrorCode::too_large, "a record from byte " + std::to_string(tail.offset) + " on is longer than max_object_bytes"});
    }
    if (to_end) break;
    if (context_->stopping()) return Outcome::later;
  }
  troubles_.erase(trouble_id);
  return Outcome::done;
}

// --- by a queue ---------------------------------------------------------------------------------------------------------

Result<DurationNs> BucketFeed::poll_queue(const FeedPoll& poll, const PieceSink& sink) {
  SLUICE_ASSIGN(const auto messages, parts_.queue->receive(limits::kQueueWait));
  Status trouble;
  for (const QueueMessage& message : messages) {
    if (poll.stopping()) return DurationNs{0};
    const auto notices = parse_object_notice(message.body);
    bool all_done = true;
    if (!notices.ok()) {
      // It would come again and again: it is counted and goes.
      ++bad_messages_;
    } else {
      for (const ObjectNotice& notice : notices->created) {
        if ((!parts_.bucket.empty() && notice.bucket != parts_.bucket) || !notice.key.starts_with(options_.prefix.text()) || !wanted(notice.key)) {
          // A queue belongs to one feed (see claim): nobody else waits for this.
          ++foreign_;
          continue;
        }
        if (!stores_.contains(notice.bucket)) {
          if (stores_.size() >= limits::kQueueBucketsMax) stores_.clear();
          auto opened = parts_.open(notice.bucket);
          if (!opened.ok()) {
            ++foreign_;  // a bucket's name that is none
            continue;
          }
          stores_[notice.bucket] = std::move(*opened);
        }
        const StoredObject object{notice.key, notice.etag, notice.size, notice.time};
        auto outcome = bring_whole(*stores_[notice.bucket], object, id_of(notice.bucket + "/" + notice.key, notice.etag), poll.clock.now(), sink);
        if (!outcome.ok()) return std::move(outcome).error();
        if (*outcome == Outcome::later) {
          all_done = false;
          if (const auto at = troubles_.find(id_of(notice.bucket + "/" + notice.key, notice.etag)); at != troubles_.end())
            trouble = Error{ErrorCode::io, at->second.reason};
        }
        if (poll.stopping()) return DurationNs{0};
      }
    }
    // What is not deleted comes again; its objects are known by then.
    if (all_done) SLUICE_TRY(parts_.queue->remove(message));
  }
  if (!trouble.ok()) return std::move(trouble).error();
  return DurationNs{0};
}

}  // namespace sluice::ingest
