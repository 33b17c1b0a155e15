#include "ingest/receive/blob_tail.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ingest/receive/limits.h"
#include "storage/model/text.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kHead = "{\"records\":[";
constexpr size_t kNowhere = std::string_view::npos;


void skip_blanks(std::string_view text, size_t& at) {
  while (at < text.size() && is_blank(text[at])) ++at;
}

// A record begins at this brace: its first key is one of a record's, and it is no field's value. At the beginning of a line it is none even
// behind a colon: there, the line before was cut off.
bool begins_record(std::string_view text, size_t brace) {
  if (brace == 0 || text[brace - 1] != '\n') {
    size_t before = brace;
    while (before > 0 && is_blank(text[before - 1])) --before;
    if (before > 0 && text[before - 1] == ':') return false;
  }
  size_t at = brace + 1;
  skip_blanks(text, at);
  if (at == text.size() || text[at] != '"') return false;
  const std::string_view rest = text.substr(at + 1);
  return std::any_of(std::begin(kAzureRecordKeys), std::end(kAzureRecordKeys),
                     [&](std::string_view key) { return rest.size() > key.size() && rest[key.size()] == '"' && rest.starts_with(key); });
}

size_t find_record(std::string_view text, size_t from) {
  for (size_t at = from; (at = text.find('{', at)) != kNowhere; ++at)
    if (begins_record(text, at)) return at;
  return kNowhere;
}

// Follows the object that begins at `at`. Strings and brackets are minded, the rest of JSON is the decoder's to check.
struct Walk {
  enum class End { whole, open, damaged } kind;
  size_t place;  // whole: behind its brace. damaged: the byte that cannot stand there
};
Walk walk(std::string_view text, const size_t begin) {
  std::vector<char> closing;
  for (size_t at = begin; at < text.size(); ++at) {
    switch (text[at]) {
      case '"':
        for (++at; at < text.size() && text[at] != '"'; ++at) {
          if (text[at] == '\\') ++at;
          else if (static_cast<unsigned char>(text[at]) < 0x20) return {Walk::End::damaged, at};  // no string has that: a quote is missing
        }
        break;
      case '{':
        if (at > begin && begins_record(text, at)) return {Walk::End::damaged, at};
        closing.push_back('}');
        break;
      case '[': closing.push_back(']'); break;
      case '}':
      case ']':
        if (closing.back() != text[at]) return {Walk::End::damaged, at};
        closing.pop_back();
        if (closing.empty()) return {Walk::End::whole, at + 1};
        break;
      default: break;
    }
  }
  return {Walk::End::open, text.size()};
}

}  // namespace

std::optional<TailCut> cut_tail(std::string_view text, bool is_start, bool is_end) {
  TailCut cut;
  size_t at = 0;
  const auto finished = [&] {
    if (!cut.body.empty()) cut.body += "]}";
    return std::optional(std::move(cut));
  };
  if (is_start) {
    if (text.starts_with("\xef\xbb\xbf")) at = 3;
    for (const char c : kHead) {
      skip_blanks(text, at);
      if (at == text.size()) return finished();  // not even the head is there yet
      // Blanks may stand between the head's tokens, and not within its name.
      if (text[at] != c) return std::nullopt;
      ++at;
    }
  }
  // Where the array is closed at the end of the blob, if it is.
  size_t tail = kNowhere;
  if (is_end) {
    size_t end = text.size();
    for (const char c : {'}', ']'}) {
      while (end > at && is_blank(text[end - 1])) --end;
      if (end == at || text[end - 1] != c) {
        end = 0;
        break;
      }
      --end;
    }
    if (end > 0) tail = end;
  }
  const auto take = [&](size_t end) {
    cut.body.append(cut.body.empty() ? kHead : std::string_view(",")).append(text.substr(at, end - at));
    cut.end = end;
    at = end;
  };
  size_t looked_again = 0;  // bytes, because of damage
  while (true) {
    while (at < text.size() && (is_blank(text[at]) || text[at] == ',')) ++at;
    if (at == text.size()) return finished();
    if (at == tail || (text[at] == ']' && tail == kNowhere && find_record(text, at) == kNowhere)) {
      cut.closed = true;
      return finished();
    }
    size_t walked_to = at;
    if (text[at] == '{') {
      const Walk walked = walk(text, at);
      walked_to = walked.place;
      if (walked.kind == Walk::End::whole) {
        take(walked.place);
        continue;
      }
    }
    // Damage, up to the next record or the end of the array. A record that is only not whole yet has no other one in it.
    size_t next = find_record(text, at + 1);
    if (next == kNowhere) next = tail;
    if (next == kNowhere) return finished();  // what comes later will tell
    looked_again += walked_to - std::min(walked_to, next);
    if (looked_again / limits::kJsonRescansMax > text.size()) next = tail == kNowhere ? text.size() : tail;  // made to take for ever
    ++cut.damaged;
    take(next);
    cut.body += '\n';  // where a record begins for whoever reads the damage
  }
}

}  // namespace sluice::ingest
