#include "server/feed_intake.h"

#include <algorithm>
#include <charconv>

#include "ingest/receive/digest.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/line_cut.h"
#include "server/body_verdict.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/message_bodies.h"
#include "server/scattered_append.h"
#include "storage/catalog/catalog.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"
#include "storage/store/rows.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;
using ingest::DecodeReport;
using ingest::FeedPiece;
using ingest::PieceResult;

// Of a format that is decoded whole, so many rows go into one journal write; which rows that are follows from the object
// alone, so that a second try after a crash cuts it the same.
constexpr size_t kGroupRows = 16 * limits::kBatchRows;
// Lines at the start of a part that are passed by, one at a time, before the part is given up.
constexpr size_t kBadFirstLines = 16;
// A feed warns of rejected records once in so long, with how many there were since; each object's are logged at level debug.
constexpr DurationNs kRejectedPeriod = 10 * kSecond;
// From here on, one at a time over all feeds.
constexpr size_t kLargeBytes = 64u << 20;

uint64_t line_count(std::string_view text) { return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')); }

// What is wrong with the bytes rather than with the place they are kept.
bool blames_object(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::parse:
    case ErrorCode::corrupt:
    case ErrorCode::too_large:
    case ErrorCode::unsupported:
    case ErrorCode::not_built: return true;
    default: return false;
  }
}

}  // namespace

struct FeedIntake::Work {
  FeedPiece& piece;
  const WaitForRoom& wait;
  std::string source;                 // of this piece
  ingest::FeedFormat shape;
  ingest::DecodeContext context;
  DecodeReport report;                // summed over parts
  uint64_t rows = 0;
  std::optional<Error> failure;       // what went wrong with us: not to be blamed on the object
  ingest::Checkpoint state;           // what exporters said, taken from the decoder and not durable yet
};

FeedIntake::FeedIntake(Identity identity, Parts parts)
    : identity_(std::move(identity)), parts_(parts), prefix_(std::string(kFeedKeyPrefix) + identity_.name + "/") {}

FeedIntake::~FeedIntake() = default;

std::string FeedIntake::object_key(std::string_view key) const {
  return std::string(kFeedKeyPrefix) + identity_.name + '\n' + std::string(key);
}

Result<ingest::Checkpoint> FeedIntake::restore() {
  SLUICE_TRY(parts_.store.catalog().heal());
  ingest::Checkpoint checkpoint, exporters;
  std::deque<SetAside> aside;
  const std::string at = prefix_ + "at/", packet = prefix_ + "packet/", kept_aside = prefix_ + "aside/";
  SLUICE_TRY(parts_.store.catalog().scan(Keyspace::ingest_state, prefix_, [&](std::string_view key, std::string_view value) {
    if (key.starts_with(at)) checkpoint.emplace_back(key.substr(at.size()), value);
    if (key.starts_with(packet)) exporters.emplace_back(key.substr(packet.size()), value);
    if (key.starts_with(kept_aside)) {
      SetAside entry{identity_.name, std::string(key.substr(kept_aside.size())), find_extra(value, "reason").value_or(""), 0};
      const std::string time = find_extra(value, "at").value_or("0");
      std::from_chars(time.data(), time.data() + time.size(), entry.at);
      aside.push_back(std::move(entry));
    }
    return true;
  }));
  // What a decoder knows beyond that is of records which come again: running totals would take them for told.
  decoder_.reset();
  if (!exporters.empty()) {
    decoder_ = std::make_unique<ingest::PacketDecoder>();
    decoder_->load_state(exporters);
  }
  std::sort(aside.begin(), aside.end(), [](const SetAside& a, const SetAside& b) { return a.at < b.at; });
  std::lock_guard lock(mutex_);
  aside_ = std::move(aside);
  return checkpoint;
}

Result<PieceResult> FeedIntake::take(FeedPiece&& piece, const WaitForRoom& wait) {
  Work work{piece, wait, piece.source.empty() ? identity_.source : piece.source, identity_.shape, {}, {}, 0, {}, {}};
  if (!piece.source.empty()) work.shape = feed_format(work.source);
  if (piece.bytes.empty() && piece.records.empty() && piece.fault.empty()) {
    // Nothing but a checkpoint.
    SLUICE_TRY(commit_checkpoint(work));
    return PieceResult{};
  }
  work.context = parts_.ingest.context(identity_.format);
  const size_t bytes = piece.bytes.size();
  const bool begins_object = piece.offset == 0 || !piece.object_key.empty() || !piece.records.empty();
  const std::string object = piece.object;

  // Nothing is held while waiting here, so feeds cannot wait for each other in a circle.
  std::shared_ptr<void> share;
  while (!(share = parts_.ingest.reserve(bytes)))
    if (!wait()) return Error{ErrorCode::cancelled, "stopping"};

  auto result = take_counted(work);
  if (!result.ok()) return result;

  Metrics::IngestCounts sum;
  sum.bodies = 1;
  sum.bytes = bytes;
  sum.accepted = work.rows;
  sum.duplicates = result->duplicate;
  sum.failed = result->set_aside && !piece.was_aside;
  const DecodeReport& report = work.report;
  if (!result->duplicate) {
    sum.rejected = report.rejected;
    sum.no_data = report.no_data;
    sum.skipped_data = report.skipped_data;
    if (report.skipped_data > 0 && !report.skipped_range.empty()) {
      Loss loss{work.source, "the source says that it skipped data", "records", report.skipped_data, report.skipped_range, {}, {}};
      loss.set_records_of(work.source);
      parts_.losses.add("skip/" + work.source + "/" + std::to_string(report.skipped_range.from / kMinute), loss);
    }
  }
  parts_.metrics.count_ingest(is_known_source(work.source) ? std::string_view(work.source) : "unknown", sum);
  note_warnings(parts_.metrics, work.source, report, work.context.received_at);
  if (report.rejected > 0 && !report.errors.empty())
    note_rejected(object, report, result->set_aside);

  std::lock_guard lock(mutex_);
  ++counts_.pieces;
  counts_.objects += begins_object;
  counts_.bytes += bytes;
  counts_.rows += work.rows;
  counts_.rejected += sum.rejected;
  counts_.no_data += sum.no_data;
  counts_.skipped_data += sum.skipped_data;
  counts_.ignored += result->duplicate ? 0 : report.ignored;
  counts_.duplicates += result->duplicate;
  counts_.set_aside += result->set_aside && !piece.was_aside;
  counts_.last_object = object;
  counts_.last_object_time = piece.time;
  counts_.last_at = work.context.received_at;
  return result;
}

// An object that was set aside is logged as that.
void FeedIntake::note_rejected(const std::string& object, const DecodeReport& report, bool is_set_aside) {
  if (is_set_aside) return;
  const TimestampNs now = parts_.clock.now();
  untold_ += report.rejected;
  const bool is_due = rejected_told_at_ == 0 || now - rejected_told_at_ >= kRejectedPeriod || now < rejected_told_at_;
  log::write(is_due ? log::Level::warn : log::Level::debug, "records of a feed were rejected",
             {{"feed", identity_.name},
              {"object", object},
              {"rejected", is_due ? untold_ : report.rejected},
              {"record", report.errors.front().record},
              {"reason", report.errors.front().reason}});
  if (!is_due) return;
  untold_ = 0;
  rejected_told_at_ = now;
}

Result<PieceResult> FeedIntake::take_counted(Work& work) {
  FeedPiece& piece = work.piece;
  PieceResult result;
  if (!piece.object_key.empty()) {
    SLUICE_ASSIGN(const auto known, parts_.store.catalog().get(Keyspace::objects, object_key(piece.object_key)));
    if (known) {
      // Told before it is decoded: objects are offered again after every restart.
      SLUICE_TRY(commit_checkpoint(work));
      result.duplicate = true;
      return result;
    }
  }
  Status status;
  if (!piece.fault.empty()) {
    status = Error{ErrorCode::corrupt, piece.fault};
  } else if (piece.bytes.size() > limits::kFeedObjectBytesMax) {
    status = Error{ErrorCode::too_large, "is larger than an object may be: " + std::to_string(piece.bytes.size()) + " of " +
                                             std::to_string(limits::kFeedObjectBytesMax) + " bytes"};
  } else if (!piece.records.empty()) {
    status = records(work);
  } else if (work.shape.lines && (piece.offset > 0 || !ingest::is_binary(piece.bytes) || ingest::detect_compression(piece.bytes, false) != ingest::Compression::none)) {
    status = lines(work);
  } else {
    status = whole(work);
  }
  if (work.failure) return *std::move(work.failure);
  if (!status.ok() && !blames_object(status.error().code)) return std::move(status).error();
  result.rows = work.rows;
  result.rejected = work.report.rejected;
  result.recognized = work.report.accepted + work.report.no_data + work.report.skipped_data + work.report.ignored;
  if (!work.report.errors.empty()) result.reason = "record " + std::to_string(work.report.errors.front().record) + ": " + work.report.errors.front().reason;
  if (status.ok()) return result;
  if (status.error().code == ErrorCode::not_built) ++parts_.metrics.ingest_not_built;

  // Set aside: named, counted, and passed by for good. Its key stays unknown, so that a whole one may come under it.
  std::string reason = std::move(status).error().message;
  if (work.rows > 0) reason += " (" + counted(work.rows, "row before that place was", "rows before that place were") + " kept)";
  result.reason = reason;
  log::write(piece.was_aside ? log::Level::debug : log::Level::warn, "an object of a feed cannot be read and is set aside", {{"feed", identity_.name}, {"object", piece.object}, {"reason", reason}});
  std::string value;
  append_extra(value, "at", std::to_string(work.context.received_at));
  append_extra(value, "reason", reason);
  catalog::Write write;
  SetAside entry{identity_.name, piece.object.substr(0, limits::kObjectKeyBytesMax), reason, work.context.received_at};
  write.put(Keyspace::ingest_state, prefix_ + "aside/" + entry.object, std::move(value));
  {
    std::lock_guard lock(mutex_);
    std::erase_if(aside_, [&](const SetAside& known) { return known.object == entry.object; });
    aside_.push_back(std::move(entry));
    while (aside_.size() > limits::kFeedSetAsideMax) {
      write.erase(Keyspace::ingest_state, prefix_ + "aside/" + aside_.front().object);
      aside_.pop_front();
    }
  }
  for (const auto& [key, kept] : piece.checkpoint) {
    if (kept.empty())
      write.erase(Keyspace::ingest_state, prefix_ + "at/" + key);
    else
      write.put(Keyspace::ingest_state, prefix_ + "at/" + key, kept);
  }
  SLUICE_TRY(parts_.store.catalog().commit(write, catalog::Sync::yes));
  result.set_aside = true;
  return result;
}

// --- one way for each shape ----------------------------------------------------------------------------------------

// Text of lines, in parts of limits::kFeedPartBytes. A part's key names the place where it begins in the inflated object, and
// that place follows from the object alone.
Status FeedIntake::lines(Work& work) {
  FeedPiece& piece = work.piece;
  const auto compression = piece.compression ? *piece.compression : ingest::detect_compression(piece.bytes, false);
  ingest::HeaderLines header(work.shape);
  header.reset(piece.header, piece.header.empty() && piece.offset == 0 && piece.skip == 0);
  uint64_t at = 0;          // of `rest` in the inflated object
  uint64_t skip = piece.skip;
  bool skipping_line = false;
  std::string rest;
  uint64_t lines_before = 0;
  const auto part = [&](std::string_view text, bool is_last) -> Status {
    const std::string front = header.text();
    header.see(text);
    std::vector<std::shared_ptr<const Batch>> batches;
    if (!text.empty()) {
      DecodeReport report;
      SLUICE_TRY(decode_lines(work, work.context, front, text, piece.offset + at > 0 ? kBadFirstLines : 0, report, batches));
      work.report.merge(report, [&](uint64_t line) { return line + lines_before; });
      lines_before += line_count(text);
    }
    if (is_last && piece.offset == 0 && piece.skip == 0 && !piece.object_key.empty())
      if (auto none = nothing_recognized(work.report, text)) return *std::move(none);
    const Status status = append(work, batches, is_last ? piece.object_key : piece.object_key + "#" + std::to_string(piece.offset + at), is_last);
    const bool scattered = !status.ok() && status.error().code == ErrorCode::too_large && !work.failure && piece.object_key.empty();
    return scattered ? scattered_lines(work, front, text, piece.offset + at) : status;
  };
  const ingest::InflateSink take_in = [&](std::string_view text) -> Status {
    if (skip > 0) {
      const size_t known = static_cast<size_t>(std::min<uint64_t>(skip, text.size()));
      text.remove_prefix(known);
      skip -= known;
      at += known;
    }
    rest.append(text);
    while (rest.size() >= limits::kFeedPartBytes && !piece.object_key.empty()) {
      size_t length = ingest::whole_lines(std::string_view(rest).substr(0, limits::kFeedPartBytes));
      const bool endless = length == 0;
      if (endless) length = limits::kFeedPartBytes;  // a line beyond every bound; its decoder rejects it by its first part
      if (skipping_line) {
        const size_t end = rest.find('\n');
        length = end == std::string::npos ? rest.size() : end + 1;
        skipping_line = end == std::string::npos;
      } else {
        const Status status = part(std::string_view(rest).substr(0, length), false);
        if (!status.ok()) return status;
        skipping_line = endless;
      }
      rest.erase(0, length);
      at += length;
    }
    return {};
  };
  const auto inflated = ingest::inflate(piece.bytes, compression, take_in, limits::kFeedInflatedBytesMax);
  if (!inflated.ok()) return inflated.error();
  std::string().swap(piece.bytes);
  if (skipping_line) {
    const size_t end = rest.find('\n');
    rest.erase(0, end == std::string::npos ? rest.size() : end + 1);
  }
  return part(rest, true);
}

// A document, a capture: decoded at once, appended in groups where it is large.
Status FeedIntake::whole(Work& work) {
  FeedPiece& piece = work.piece;
  const auto compression = piece.compression ? *piece.compression : ingest::detect_compression(piece.bytes, false);
  std::unique_lock large(parts_.large, std::defer_lock);
  if (compression != ingest::Compression::none || piece.bytes.size() > kLargeBytes) large.lock();
  if (compression != ingest::Compression::none) {
    SLUICE_ASSIGN(piece.bytes, ingest::inflate_to_string(piece.bytes, compression, limits::kFeedObjectBytesMax));
  }
  std::vector<std::shared_ptr<const Batch>> batches;
  size_t rows = 0, groups = 0;
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    if (batch.rows == 0) return {};
    if (!piece.object_key.empty() && rows >= kGroupRows) {
      SLUICE_TRY(append(work, batches, piece.object_key + "#" + std::to_string(groups++), false));
      batches.clear();
      rows = 0;
    }
    parts_.ingest.mark_duplicates(batch);
    rows += batch.rows;
    batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  std::vector<ingest::ExporterStats> exporters;
  work.context.exporters = &exporters;
  SLUICE_ASSIGN(const DecodeReport report, decode_body(work.source, piece.bytes, work.context, sink));
  work.context.exporters = nullptr;
  work.report.merge(report);
  // A later piece of an object that grows is not the object.
  if (piece.offset == 0)
    if (auto none = nothing_recognized(work.report, piece.bytes)) return *std::move(none);
  std::string().swap(piece.bytes);
  SLUICE_TRY(append(work, batches, piece.object_key, true));
  parts_.ingest.tell_exporters(std::move(exporters), "feed " + identity_.name);
  return {};
}

// Lines with those in front that say how they are read. One at the front that makes no sense is taken for a body that makes none: in
// the middle of an object so many are passed by, and rejected. Numbers in `report` are those of the lines of `text`, from 1.
Status FeedIntake::decode_lines(Work& work, const ingest::DecodeContext& context, const std::string& front, std::string_view text, size_t bad_lines_max, DecodeReport& report,
                                std::vector<std::shared_ptr<const Batch>>& batches) {
  const uint64_t front_lines = line_count(front);
  std::string body;
  body.reserve(front.size() + text.size());
  body.append(front).append(text);
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    if (context.azure != nullptr) parts_.ingest.mark_duplicates(batch);
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  auto decoded = decode_body(work.source, body, context, sink);
  uint64_t passed = 0;
  for (; !decoded.ok() && passed < bad_lines_max;) {
    const size_t end = body.find('\n', front.size());
    if (end == std::string::npos) break;
    report.reject(++passed, decoded.error().message);
    body.erase(front.size(), end + 1 - front.size());
    batches.clear();
    decoded = decode_body(work.source, body, context, sink);
  }
  if (!decoded.ok()) return std::move(decoded).error();
  report.merge(*decoded, [&](uint64_t line) { return line - std::min(line, front_lines) + passed; });
  return {};
}

// Lines of a file that is followed, of too many partitions for one write. What a piece of such a file holds depends on how far the file
// had grown, so parts of it are told apart by the file, their place in it and their content, and the last one, whose end is by chance,
// commits with the checkpoint.
Status FeedIntake::scattered_lines(Work& work, const std::string& front, std::string_view text, uint64_t offset) {
  if (work.piece.checkpoint.empty()) return Error{ErrorCode::too_large, "its flows lie in too many time partitions"};
  const std::string file = work.piece.checkpoint.front().first;
  ingest::HeaderLines header(work.shape);
  header.reset(front, front.empty() && offset == 0);
  while (true) {
    const size_t to_next = limits::kScatteredTextBytes - offset % limits::kScatteredTextBytes;
    size_t length = text.size();
    if (to_next < length) {
      const size_t end = text.find('\n', to_next - 1);  // the first line end at or behind that place
      length = end == std::string_view::npos ? length : end + 1;
    }
    const bool is_last = length == text.size();
    const std::string_view part = text.substr(0, length);
    const std::string before = header.text();
    header.see(part);
    std::vector<std::shared_ptr<const Batch>> batches;
    DecodeReport counted;  // with the whole; and what is remembered of flows has seen them once
    ingest::DecodeContext alone = work.context;
    alone.azure = nullptr;
    if (!decode_lines(work, alone, before, part, SIZE_MAX, counted, batches).ok()) batches.clear();
    const std::string key = file + "@" + std::to_string(offset) + "-" + ingest::hex(ingest::sha256(part)).substr(0, 32);
    SLUICE_TRY(append(work, batches, is_last ? std::string() : key, is_last));
    if (is_last) return {};
    text.remove_prefix(length);
    offset += length;
  }
}

Status FeedIntake::records(Work& work) {
  FeedPiece& piece = work.piece;
  size_t begin = 0;
  for (const auto& record : piece.records) {
    SLUICE_CHECK(record.end >= begin && record.end <= piece.bytes.size());
    begin = record.end;
  }
  if (is_packet_source(work.source)) return packets(work);
  std::vector<size_t> ends;
  for (const auto& record : piece.records) ends.push_back(record.end);
  const MessageBodies bodies{work.source, piece.bytes, ends, piece.compression, piece.header};
  // Records that inflate to much become durable in several writes.
  for (size_t first = 0, next = 0; first < ends.size(); first = next) {
    std::vector<std::shared_ptr<const Batch>> batches;
    bool again = false;
    const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
      if (!again) parts_.ingest.mark_duplicates(batch);
      if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
      return {};
    };
    DecodeReport report;
    SLUICE_ASSIGN(next, decode_messages(bodies, first, work.context, sink, report));
    // Without places of its records a piece commits as a whole, under its key.
    while (next < ends.size() && piece.streams.empty()) {
      SLUICE_ASSIGN(next, decode_messages(bodies, next, work.context, sink, report));
    }
    work.report.merge(report);
    const Status status = append_records(work, batches, next);
    if (status.ok()) continue;
    if (status.error().code != ErrorCode::too_large || work.failure || piece.streams.empty()) return status;
    // Flows of too many partitions: which rows are whose has to be known. What is remembered of flows has seen them once.
    again = true;
    ingest::DecodeContext alone = work.context;
    alone.azure = nullptr;
    for (size_t from = first; from < next;) {
      batches.clear();
      std::vector<uint64_t> rows_after;
      DecodeReport counted;  // already
      SLUICE_ASSIGN(const size_t to, decode_messages(bodies, from, alone, sink, counted, &rows_after));
      SLUICE_TRY(scattered_records(work, batches, rows_after, from));
      from = to;
    }
  }
  return {};
}

// The rows of records up to `next`, with the places that follow them.
Status FeedIntake::append_records(Work& work, std::span<const std::shared_ptr<const Batch>> batches, size_t next) {
  FeedPiece& piece = work.piece;
  store::AppendOptions options;
  uint64_t rows = 0;
  for (const auto& batch : batches) rows += batch->rows;
  if (next == piece.records.size()) {
    if (!piece.object_key.empty()) options.object_key = object_key(piece.object_key);
    add_state(work, options, piece.checkpoint);
  } else {
    add_state(work, options, places(piece, next));
  }
  if (batches.empty() && options.object_key.empty() && options.side_writes.empty()) return {};
  const auto appended = append_when_room(work, batches, options);
  if (!appended.ok()) return appended.error();
  if (!appended->duplicate) work.rows += rows;
  return {};
}

// Records [first, first + rows_after.size()), in as many writes as their times ask for. Each commits the places that its records reach, so
// that a kill in between leaves nothing to be told apart. Only a record that is too much by itself needs keys; they follow from its place and content.
Status FeedIntake::scattered_records(Work& work, std::span<const std::shared_ptr<const Batch>> batches, std::span<const uint64_t> rows_after, size_t first) {
  const auto rows_before = [&](size_t i) { return i == 0 ? 0 : rows_after[i - 1]; };
  size_t at = 0, count = rows_after.size();
  while (at < rows_after.size()) {
    count = std::min(count, rows_after.size() - at);
    const auto rows = store::slice(batches, rows_before(at), rows_after[at + count - 1]);
    const Status status = append_records(work, rows, first + at + count);
    if (status.ok()) {
      at += count;
      count *= 2;
      continue;
    }
    if (status.error().code != ErrorCode::too_large || work.failure) return status;
    if (count > 1) {
      count /= 2;
      continue;
    }
    const ingest::FeedRecord& record = work.piece.records[first + at];
    store::AppendOptions options;
    add_state(work, options, first + at + 1 == work.piece.records.size() ? work.piece.checkpoint : places(work.piece, first + at + 1));
    const AppendRows append = [&](std::span<const std::shared_ptr<const Batch>> part, const store::AppendOptions& with) { return append_when_room(work, part, with); };
    // Its content tells it from one of the same place in a topic that was made anew.
    const size_t begin = first + at == 0 ? 0 : work.piece.records[first + at - 1].end;
    const std::string content = ingest::hex(ingest::sha256(std::string_view(work.piece.bytes).substr(begin, record.end - begin))).substr(0, 32);
    const std::string base = object_key(work.piece.streams[record.stream] + "@" + std::to_string(record.position) + "-" + content);
    const auto appended = append_scattered(rows, options, base, parts_.store.partition_width(), append);
    ++at;
    if (appended.ok()) {
      work.rows += appended->rows;
      continue;
    }
    if (appended.error().code != ErrorCode::too_large || work.failure) return appended.error();
    work.report.reject(first + at, appended.error().message);
    SLUICE_TRY(append_records(work, {}, first + at));
  }
  return {};
}

// Where each stream goes on behind the first `count` records.
ingest::Checkpoint FeedIntake::places(const FeedPiece& piece, size_t count) {
  std::map<uint32_t, uint64_t> next;
  for (size_t i = 0; i < count; ++i) next[piece.records[i].stream] = piece.records[i].position + 1;
  ingest::Checkpoint out;
  if (!piece.streams.empty())
    for (const auto& [stream, place] : next) out.emplace_back(piece.streams[stream], std::to_string(place));
  return out;
}

// Raw datagrams, by a decoder that knows what came before them.
Status FeedIntake::packets(Work& work) {
  FeedPiece& piece = work.piece;
  if (!decoder_) decoder_ = std::make_unique<ingest::PacketDecoder>();
  std::vector<std::shared_ptr<const Batch>> batches;
  uint64_t finished = 0;  // rows that went to the sink
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    parts_.ingest.mark_duplicates(batch);
    finished += batch.rows;
    if (batch.rows > 0) batches.push_back(std::make_shared<const Batch>(std::move(batch)));
    return {};
  };
  FlowBatchBuilder out;
  size_t begin = 0;
  uint64_t number = 0;
  TimestampNs newest = 0;
  std::vector<uint64_t> rows_after;
  for (const auto& record : piece.records) {
    const auto* data = reinterpret_cast<const uint8_t*>(piece.bytes.data()) + begin;
    const std::span<const uint8_t> packet(data, record.end - begin);
    begin = record.end;
    ++number;
    const ingest::PacketSender sender{record.sender, record.sender_port, 0, 0};
    SLUICE_ASSIGN(const ingest::PacketCounts counts,
                  decoder_->decode(packet, sender, record.time != 0 ? record.time : work.context.received_at, out, sink));
    newest = std::max(newest, record.time != 0 ? record.time : work.context.received_at);
    work.report.accepted += counts.flows;
    work.report.ignored += counts.options_records;
    work.report.clamped_times += counts.clamped_times;
    work.report.cut_strings += counts.cut_strings;
    if (counts.bad > 0) {
      const auto errors = decoder_->errors();
      work.report.reject(number, errors.empty() ? "could not be read" : errors.back().reason);
      work.report.rejected += counts.bad - 1;
    }
    rows_after.push_back(finished + out.rows());
  }
  // The place in the topic is kept with these rows: what only waited in memory would not come again.
  SLUICE_ASSIGN(const ingest::PacketCounts waited, decoder_->finish_waiting(nullptr, out, sink));
  work.report.accepted += waited.flows;
  work.report.clamped_times += waited.clamped_times;
  work.report.cut_strings += waited.cut_strings;
  if (!rows_after.empty()) rows_after.back() = finished + out.rows();
  if (out.rows() > 0) SLUICE_TRY(sink(out.finish()));
  // By the records' own time: those of a topic that is caught up with are hours old when they come.
  decoder_->expire(std::min(newest, work.context.received_at));
  // A piece that is not full is the last for now.
  const bool is_full = piece.records.size() >= limits::kKafkaBatchRecords || piece.bytes.size() >= limits::kKafkaBatchBytes;
  if (!is_full || work.context.received_at - exporters_at_ >= kSecond || work.context.received_at < exporters_at_) {
    exporters_at_ = work.context.received_at;
    auto exporters = decoder_->exporter_stats();
    std::erase_if(exporters, [](const ingest::ExporterStats& e) { return e.ip == IpAddress{}; });
    for (ingest::ExporterStats& e : exporters) {
      e.origin = "feed " + identity_.name;
      e.told_at = exporters_at_;
    }
    std::lock_guard lock(mutex_);
    exporters_ = std::move(exporters);
  }
  if (piece.streams.empty()) return append(work, batches, piece.object_key, true);
  return scattered_records(work, batches, rows_after, 0);
}

// --- to the store ----------------------------------------------------------------------------------------------------

void FeedIntake::add_state(Work& work, store::AppendOptions& options, const ingest::Checkpoint& checkpoint) {
  for (const auto& [key, value] : checkpoint) options.side_writes.emplace_back(prefix_ + "at/" + key, value);
  if (!decoder_) return;
  for (auto& [key, value] : decoder_->take_state_changes()) work.state.emplace_back(prefix_ + "packet/" + key, std::move(value));
  options.side_writes.insert(options.side_writes.end(), work.state.begin(), work.state.end());
}

Status FeedIntake::commit_checkpoint(Work& work) {
  store::AppendOptions options;
  add_state(work, options, work.piece.checkpoint);
  if (options.side_writes.empty()) return {};
  const auto appended = append_when_room(work, {}, options);
  return appended.ok() ? Status() : Status(appended.error());
}

Result<store::AppendResult> FeedIntake::append_when_room(Work& work, std::span<const std::shared_ptr<const Batch>> batches,
                                                         const store::AppendOptions& options) {
  while (true) {
    auto appended = parts_.store.append_shared(batches, options);
    if (appended.ok()) {
      if (!options.side_writes.empty()) work.state.clear();
      return appended;
    }
    if (appended.error().code == ErrorCode::full) {
      if (work.wait()) continue;
      work.failure = Error{ErrorCode::cancelled, "stopping"};
    } else if (appended.error().code != ErrorCode::too_large) {
      // Whatever its code: the store's trouble is not the object's.
      work.failure = appended.error();
    }
    return appended;
  }
}

Status FeedIntake::append(Work& work, std::vector<std::shared_ptr<const Batch>>& batches, const std::string& key, bool is_last) {
  store::AppendOptions options;
  if (!key.empty()) options.object_key = object_key(key);
  if (is_last) add_state(work, options, work.piece.checkpoint);
  uint64_t rows = 0;
  for (const auto& batch : batches) rows += batch->rows;
  if (batches.empty() && !is_last) return {};
  if (batches.empty() && options.object_key.empty() && options.side_writes.empty()) return {};
  auto appended = append_when_room(work, batches, options);
  if (appended.ok()) {
    if (!appended->duplicate) work.rows += rows;
    return {};
  }
  if (appended.error().code != ErrorCode::too_large || work.failure || key.empty()) return std::move(appended).error();
  // Flows of too many partitions for one write.
  const AppendRows each = [&](std::span<const std::shared_ptr<const Batch>> part, const store::AppendOptions& with) { return append_when_room(work, part, with); };
  appended = append_scattered(batches, options, object_key(key), parts_.store.partition_width(), each);
  if (!appended.ok()) return std::move(appended).error();
  work.rows += appended->rows;
  return {};
}

FeedCounts FeedIntake::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::vector<ingest::ExporterStats> FeedIntake::exporters() const {
  std::lock_guard lock(mutex_);
  return exporters_;
}

std::vector<SetAside> FeedIntake::set_aside() const {
  std::lock_guard lock(mutex_);
  return {aside_.begin(), aside_.end()};
}

}  // namespace sluice::server
