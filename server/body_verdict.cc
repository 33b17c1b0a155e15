#include "server/body_verdict.h"

#include "grammar/nearest.h"
#include "ingest/source/text_line.h"
#include "server/limits.h"
#include "storage/model/counted.h"

namespace sluice::server {
namespace {

// Of JSON without a record in it: where its brackets do not fit together. Strings are minded.
std::optional<std::string> bracket_fault(std::string_view body) {
  const size_t begin = body.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || std::string_view("[{]},").find(body[begin]) == std::string_view::npos) return std::nullopt;
  std::string open;
  for (size_t at = begin; at < body.size(); ++at) {
    const char c = body[at];
    const auto place = [&] { return "byte " + std::to_string(at + 1) + ": "; };
    if (c == '"') {
      for (++at; at < body.size() && body[at] != '"'; ++at)
        if (body[at] == '\\') ++at;
    } else if (c == '[' || c == '{') {
      if (open.size() == limits::kBracketsDeepMax) return place() + "brackets within more than " + std::to_string(limits::kBracketsDeepMax) + " others";
      open += c;
    } else if (c == ']' || c == '}') {
      if (open.empty() || open.back() != (c == ']' ? '[' : '{')) return place() + "'" + c + "' closes nothing";
      open.pop_back();
    }
  }
  if (open.empty()) return std::nullopt;
  return "byte " + std::to_string(body.size() + 1) + ": the body ends inside of " + counted(open.size(), "bracket");
}

}  // namespace

std::optional<Error> nothing_recognized(const ingest::DecodeReport& report, std::string_view body) {
  if (report.accepted + report.no_data + report.skipped_data + report.ignored > 0) return std::nullopt;
  if (report.rejected == 0) {
    const auto fault = bracket_fault(body);
    return fault ? std::optional(Error{ErrorCode::invalid_argument, "no record in it: " + *fault}) : std::nullopt;
  }
  std::string text = report.rejected == 1 ? "the only record cannot be read" : "none of " + counted(report.rejected, "record") + " can be read";
  if (!report.errors.empty()) {
    const auto& first = report.errors.front();
    text += (report.rejected == 1 ? ": " : "; the first: ") + ("record " + std::to_string(first.record) + ": ") + first.reason;
  }
  return Error{ErrorCode::invalid_argument, std::move(text)};
}

std::vector<std::string> column_warnings(const ingest::DecodeReport& report) {
  std::vector<std::string> out;
  for (const ingest::UnknownColumn& column : report.unknown_columns) {
    const std::string meant = grammar::did_you_mean(column.name, column.absent);
    if (column.is_open && meant.empty()) continue;
    out.push_back((column.record == 0 ? "configured format: " : "line " + std::to_string(column.record) + ": ") + ingest::quoted(column.name) +
                  " is no column that is known, and its values are kept in extra" + (meant.empty() ? "" : "; " + meant));
  }
  return out;
}

void note_warnings(Metrics& metrics, std::string_view source, const ingest::DecodeReport& report, TimestampNs at) {
  auto warnings = column_warnings(report);
  if (warnings.empty()) return;
  if (warnings.size() > 1) warnings[0] += " (and " + std::to_string(warnings.size() - 1) + " more)";
  metrics.note_warning(source, std::move(warnings[0]), at);
}

}  // namespace sluice::server
