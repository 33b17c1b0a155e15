#include "server/message_bodies.h"

#include <algorithm>
#include <vector>

#include "ingest/receive/line_cut.h"
#include "server/ingest_service.h"

namespace sluice::server {
namespace {

using ingest::DecodeReport;

void add(DecodeReport& sum, const DecodeReport& part) {
  sum.accepted += part.accepted;
  sum.rejected += part.rejected;
  sum.no_data += part.no_data;
  sum.skipped_data += part.skipped_data;
  sum.ignored += part.ignored;
  sum.clamped_times += part.clamped_times;
  sum.cut_strings += part.cut_strings;
  sum.skipped_range.from = std::min(sum.skipped_range.from, part.skipped_range.from);
  sum.skipped_range.to = std::max(sum.skipped_range.to, part.skipped_range.to);
}

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

}  // namespace

Result<DecodeReport> decode_messages(const MessageBodies& messages, const ingest::DecodeContext& context, const ingest::FlowSink& sink) {
  DecodeReport report;
  const ingest::FeedFormat shape = feed_format(messages.source);
  std::vector<Batch> held;  // of the body at hand: a body that turns out to make no sense leaves no rows
  const ingest::FlowSink hold = [&](Batch&& batch) -> Status {
    held.push_back(std::move(batch));
    return {};
  };
  const auto hand_over = [&]() -> Status {
    for (Batch& batch : held) {
      SLUICE_TRY(sink(std::move(batch)));
    }
    held.clear();
    return {};
  };
  const auto alone = [&](uint64_t number, std::string_view text) -> Status {
    std::string with_header;
    const bool needs_header = !messages.header.empty() && !ingest::is_binary(text);
    if (needs_header) with_header.append(messages.header).append(text);
    auto part = decode_body(messages.source, needs_header ? std::string_view(with_header) : text, context, hold);
    if (!part.ok()) {
      held.clear();
      report.reject(number, std::move(part).error().message);
      return {};
    }
    add(report, *part);
    for (const auto& error : part->errors)
      if (report.errors.size() < limits::kReportedErrorsMax) report.errors.push_back({number, error.reason});
    return hand_over();
  };

  // Lines and JSON make a body each: decoders tell the two apart by the first byte.
  Joined joined[2];
  size_t begin = 0, inflated = 0;
  uint64_t number = 0;
  std::string plain;
  for (const size_t end : messages.ends) {
    ++number;
    SLUICE_CHECK(end >= begin && end <= messages.bytes.size());
    std::string_view text = messages.bytes.substr(begin, end - begin);
    begin = end;
    if (text.empty()) continue;
    const auto compression = messages.compression ? *messages.compression : ingest::detect_compression(text, false);
    if (compression != ingest::Compression::none) {
      auto unpacked = ingest::inflate_to_string(text, compression, limits::kIngestInflatedBytesMax - inflated);
      if (!unpacked.ok()) {
        if (unpacked.error().code == ErrorCode::too_large) return std::move(unpacked).error().with("message " + std::to_string(number));
        report.reject(number, std::move(unpacked).error().message);
        continue;
      }
      plain = std::move(*unpacked);
      text = plain;
      inflated += text.size();
    }
    // A message with a header of its own must not lend it to the next one.
    const bool may_join = shape.lines && !ingest::is_binary(text) && !(shape.is_header && shape.is_header(text.substr(0, text.find('\n')), true));
    if (!may_join) {
      SLUICE_TRY(alone(number, text));
      continue;
    }
    Joined& to = joined[is_json(text)];
    to.body += text;
    if (to.body.back() != '\n') to.body += '\n';
    to.lines += static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')) + (text.back() != '\n');
    to.messages.emplace_back(number, to.lines);
  }
  for (Joined& part : joined) {
    if (part.messages.empty()) continue;
    const auto header_lines = static_cast<uint64_t>(std::count(messages.header.begin(), messages.header.end(), '\n'));
    if (!messages.header.empty()) part.body.insert(0, messages.header);
    auto decoded = decode_body(messages.source, part.body, context, hold);
    if (decoded.ok()) {
      add(report, *decoded);
      for (const auto& error : decoded->errors) {
        if (report.errors.size() >= limits::kReportedErrorsMax) break;
        const uint64_t line = error.record > header_lines ? error.record - header_lines : error.record;
        const auto at = std::lower_bound(part.messages.begin(), part.messages.end(), line, [](const auto& m, uint64_t l) { return m.second < l; });
        report.errors.push_back({at == part.messages.end() ? part.messages.back().first : at->first, error.reason});
      }
      SLUICE_TRY(hand_over());
      continue;
    }
    // One that makes no sense at the front must not cost those behind it: one by one, then.
    held.clear();
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
  return report;
}

}  // namespace sluice::server
