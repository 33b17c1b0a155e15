#include "ingest/source/json_records.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ingest/receive/limits.h"
#include "ingest/source/json_scan.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest {
namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

struct JsonRecords::Scan {
  enum class End : uint8_t { object, list, record, damage, body, too_long } kind;
  size_t end;  // object: behind its '}'. list: behind its '['. record: its '{'. damage: the byte. body: the body's end
};

// A record begins here: an object that is no field's value, whose first key is one of those that records begin with. At the
// beginning of a line it is no value even behind a colon: there, the line before was cut off.
bool JsonRecords::begins_record(size_t brace) const {
  for (size_t i = brace; i > 0 && i + 64 > brace && body_[brace - 1] != '\n'; --i) {
    if (is_blank(body_[i - 1])) continue;
    if (body_[i - 1] == ':') return false;
    break;
  }
  size_t i = brace + 1;
  while (i < body_.size() && is_blank(body_[i])) ++i;
  if (i >= body_.size() || body_[i] != '"') return false;
  const std::string_view rest = body_.substr(i + 1);
  return std::any_of(shape_.first_keys.begin(), shape_.first_keys.end(),
                     [&](std::string_view key) { return rest.size() > key.size() && rest[key.size()] == '"' && rest.starts_with(key); });
}

// The value of one of the list keys.
bool JsonRecords::begins_list(size_t bracket) const {
  size_t i = bracket;
  const auto skip_blanks = [&] {
    while (i > 0 && is_blank(body_[i - 1])) --i;
  };
  skip_blanks();
  if (i == 0 || body_[--i] != ':') return false;
  skip_blanks();
  if (i == 0 || body_[--i] != '"') return false;
  const std::string_view before = body_.substr(0, i);
  return std::any_of(shape_.list_keys.begin(), shape_.list_keys.end(), [&](std::string_view key) {
    return before.size() > key.size() && before.ends_with(key) && before[before.size() - key.size() - 1] == '"';
  });
}

JsonRecords::Scan JsonRecords::scan(size_t begin) const {
  using End = Scan::End;
  size_t depth = 0;
  JsonScan text;
  const size_t limit = std::min(body_.size(), begin + limits::kJsonObjectBytesMax);
  for (size_t at = begin; at < limit; at += JsonScan::kStep) {
    const JsonScan::Step m = text.next(body_.data() + at, std::min(JsonScan::kStep, limit - at));
    const uint64_t bad = m.control | m.stray;
    uint64_t events = m.open | m.close;
    if (bad != 0) events &= (bad & (~bad + 1)) - 1;  // those before the first bad byte
    while (events != 0) {
      const int i = std::countr_zero(events);
      events &= events - 1;
      const size_t place = at + static_cast<size_t>(i);
      if (m.open >> i & 1) {
        if (depth > 0) {
          if (body_[place] == '{') {
            if (begins_record(place)) return {End::record, place};
          } else if (begins_list(place)) {
            return {End::list, place + 1};
          }
        }
        ++depth;
      } else if (--depth == 0) {
        return {End::object, place + 1};
      }
    }
    if (bad != 0) return {End::damage, at + static_cast<size_t>(std::countr_zero(bad))};
  }
  if (limit < body_.size()) return {End::too_long, limit};
  return {End::body, limit};
}

// The next place from `from` on where a record begins; `to` where there is none before it.
size_t JsonRecords::find_record(size_t from, size_t to) const {
  for (size_t i = from; i < to;) {
    const void* brace = std::memchr(body_.data() + i, '{', to - i);
    if (brace == nullptr) return to;
    i = static_cast<size_t>(static_cast<const char*>(brace) - body_.data());
    if (begins_record(i)) return i;
    ++i;
  }
  return to;
}

bool JsonRecords::spend(size_t bytes) {
  rescanned_ += bytes;
  return rescanned_ / limits::kJsonRescansMax <= body_.size();
}

JsonRecords::Found JsonRecords::next(std::string_view& object, std::string& reason) {
  while (at_ < body_.size()) {
    const char c = body_[at_];
    if (is_blank(c) || c == ',' || c == '[' || c == ']' || c == '}') {
      ++at_;
      continue;
    }
    const size_t begin = at_;
    if (c == '"' && inside_list_) {
      // What the object around a list says after the list.
      inside_list_ = false;
      at_ = std::min({body_.find('}', begin), body_.find('\n', begin), body_.size()});
      continue;
    }
    if (c != '{') {
      const size_t line = std::min(body_.find('\n', begin), body_.size());
      at_ = find_record(begin + 1, line);
      reason = "not a JSON object; it begins with " + quoted(body_.substr(begin, 16));
      return Found::damage;
    }
    const Scan scanned = scan(begin);
    switch (scanned.kind) {
      case Scan::End::object:
        last_begin_ = begin;
        at_ = scanned.end;
        object = body_.substr(begin, scanned.end - begin);
        return Found::record;
      case Scan::End::list:
        inside_list_ = true;
        at_ = scanned.end;
        continue;
      case Scan::End::record:
        at_ = scanned.end;
        reason = "JSON object has no end; another record begins in it";
        return Found::damage;
      case Scan::End::damage:
        reason = "JSON object is damaged at its byte " + std::to_string(scanned.end - begin + 1);
        break;
      case Scan::End::too_long:
        reason = "JSON object is longer than " + std::to_string(limits::kJsonObjectBytesMax) + " bytes";
        break;
      case Scan::End::body:
        reason = "JSON object has no end; the body ends in it";
        break;
    }
    at_ = find_record(begin + 1, body_.size());
    if (scanned.end > at_ && !spend(scanned.end - at_)) {
      at_ = body_.size();
      reason += "; so much of the body is damaged that the rest of it is passed over";
    }
    return Found::damage;
  }
  return Found::end;
}

void JsonRecords::look_inside() {
  const size_t inner = find_record(last_begin_ + 1, at_);
  if (inner == at_ || !spend(at_ - inner)) return;
  at_ = inner;
}

}  // namespace sluice::ingest
