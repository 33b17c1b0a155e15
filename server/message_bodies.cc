#include "server/message_bodies.h"

#include <algorithm>

#include "ingest/receive/line_cut.h"
#include "server/body_verdict.h"
#include "server/ingest_service.h"
#include "server/limits.h"

namespace sluice::server {
namespace {

using ingest::DecodeReport;

// Lines of messages that are decoded as one body, and which message each line came from.
struct Joined {
  std::string body;
  std::vector<std::pair<uint64_t, uint64_t>> messages;  // number of the message, and the count of lines (or objects) up to its end
  uint64_t lines = 0;
};

bool is_json(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && (text[begin] == '{' || text[begin] == '[');
}

// Brackets that do not close, without a value or name in them: no record at all, and the messages behind it would stand inside of them.
bool is_open_brackets(std::string_view text) { return text.find_first_not_of("[{]}, \t\r\n") == std::string_view::npos && nothing_recognized({}, text); }

}  // namespace

Result<size_t> decode_messages(const MessageBodies& messages, size_t first, const ingest::DecodeContext& context, const ingest::FlowSink& sink,
                               DecodeReport& report, std::vector<uint64_t>* rows_after, uint64_t* text_bytes) {
  SLUICE_CHECK(first < messages.ends.size());
  const ingest::FeedFormat shape = feed_format(messages.source);
  std::vector<Batch> held;  // of the body at hand: a body that turns out to make no sense leaves no rows
  const ingest::FlowSink hold = [&](Batch&& batch) -> Status {
    held.push_back(std::move(batch));
    return {};
  };
  uint64_t rows = 0;
  const auto hand_over = [&]() -> Status {
    for (Batch& batch : held) {
      rows += batch.rows;
      SLUICE_TRY(sink(std::move(batch)));
    }
    held.clear();
    return {};
  };
  // Trouble with memory is not the message's: those behind it would have it too.
  const auto is_memory = [&](const Error& error) { return context.memory != nullptr && (error.code == ErrorCode::full || error.code == ErrorCode::too_large); };
  const auto alone = [&](uint64_t number, std::string_view text) -> Status {
    std::string with_header;
    const bool needs_header = !messages.header.empty() && !ingest::is_binary(text);
    if (needs_header) with_header.append(messages.header).append(text);
    auto part = decode_body(messages.source, needs_header ? std::string_view(with_header) : text, context, hold);
    if (!part.ok()) {
      held.clear();
      if (is_memory(part.error())) return std::move(part).error();
      report.reject(number, std::move(part).error().message);
      return {};
    }
    // Rubbish that no decoder counts, such as brackets that never close.
    if (part->rejected == 0)
      if (const auto nothing = nothing_recognized(*part, text)) report.reject(number, nothing->message);
    report.merge(*part, [&](uint64_t) { return number; });
    return hand_over();
  };

  // Lines and JSON make a body each: decoders tell the two apart by the first byte.
  Joined joined[2];
  ingest::HeldMemory joined_memory(context.memory);
  size_t begin = first == 0 ? 0 : messages.ends[first - 1], read = 0;
  size_t next = first;
  while (next < messages.ends.size() && (next == first || read < limits::kMessagesTextBytesMax)) {
    const size_t end = messages.ends[next++];
    const uint64_t number = next;
    SLUICE_CHECK(end >= begin && end <= messages.bytes.size());
    std::string_view text = messages.bytes.substr(begin, end - begin);
    begin = end;
    ingest::HeldMemory plain_memory(context.memory);
    std::string plain;
    const auto one = [&]() -> Status {
      if (text.empty()) return {};
      const auto compression = messages.compression ? *messages.compression : ingest::detect_compression(text, false);
      if (compression != ingest::Compression::none) {
        bool refused = false;  // by the budget
        const ingest::InflateSink append = [&](std::string_view piece) -> Status {
          const Status status = plain_memory.grow(plain, piece.size(), text.size());
          refused = !status.ok();
          if (status.ok()) plain += piece;
          return status;
        };
        const auto unpacked = ingest::inflate(text, compression, append, limits::kMessageInflatedBytesMax);
        if (!unpacked.ok()) {
          if (refused) return unpacked.error();
          report.reject(number, unpacked.error().message);
          return {};
        }
        text = plain;
      }
      read += text.size();
      if (text.empty()) return {};
      // A message with a header of its own must not lend it to the next one.
      const bool may_join = rows_after == nullptr && shape.lines && !ingest::is_binary(text) && !is_open_brackets(text) && !(shape.is_header && shape.is_header(text.substr(0, text.find('\n')), true));
      if (!may_join) return alone(number, text);
      Joined& to = joined[is_json(text)];
      SLUICE_TRY(joined_memory.grow(to.body, text.size() + 1, 0));
      to.body += text;
      if (to.body.back() != '\n') to.body += '\n';
      to.lines += static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')) + (text.back() != '\n');
      to.messages.emplace_back(number, to.lines);
      return {};
    };
    SLUICE_TRY(one());
    if (rows_after != nullptr) rows_after->push_back(rows);
  }
  if (text_bytes != nullptr) *text_bytes += read;
  for (Joined& part : joined) {
    if (part.messages.empty()) continue;
    const auto header_lines = static_cast<uint64_t>(std::count(messages.header.begin(), messages.header.end(), '\n'));
    if (!messages.header.empty()) part.body.insert(0, messages.header);
    auto decoded = decode_body(messages.source, part.body, context, hold);
    if (decoded.ok()) {
      report.merge(*decoded, [&](uint64_t record) {
        const uint64_t line = record > header_lines ? record - header_lines : record;
        const auto at = std::lower_bound(part.messages.begin(), part.messages.end(), line, [](const auto& m, uint64_t l) { return m.second < l; });
        return at == part.messages.end() ? part.messages.back().first : at->first;
      });
      SLUICE_TRY(hand_over());
      continue;
    }
    held.clear();
    if (is_memory(decoded.error())) return std::move(decoded).error();
    // One that makes no sense at the front must not cost those behind it: one by one, then.
    size_t from = 0;
    const std::string_view text = std::string_view(part.body).substr(messages.header.size());
    uint64_t lines = 0;
    for (const auto& [which, up_to] : part.messages) {
      size_t to = from;
      for (; lines < up_to; ++lines) to = text.find('\n', to) + 1;
      SLUICE_TRY(alone(which, text.substr(from, to - from)));
      from = to;
    }
  }
  return next;
}

}  // namespace sluice::server
