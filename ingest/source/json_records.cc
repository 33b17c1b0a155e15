#include "ingest/source/json_records.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstring>
#include <utility>

#include "ingest/receive/limits.h"
#include "ingest/source/json_scan.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest {
namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

struct JsonRecords::Scan {
  enum class End : uint8_t { object, list, record, damage, cut_string, cut, mismatch, too_deep, body, too_long } kind;
  size_t end;  // object: behind its '}'. list: behind its '['. record: its '{'. body: the body's end. Else the byte that ended it
};

JsonRecords::JsonRecords(std::string_view body, const Shape& shape) : body_(body), shape_(shape) {
  if (body.starts_with("\xef\xbb\xbf")) at_ = 3;
}

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

// Whether a value may stand at the bracket, by what stands before it in the object.
bool JsonRecords::may_begin_value(size_t bracket, size_t object, bool in_list) const {
  size_t before = bracket - 1;
  while (before > object && is_blank(body_[before])) --before;
  return body_[before] == ':' || (in_list && (body_[before] == '[' || body_[before] == ','));
}

template <bool kByKeys>
JsonRecords::Scan JsonRecords::scan(size_t begin) const {
  using End = Scan::End;
  size_t depth = 0;
  std::bitset<limits::kJsonDepthMax> is_list;
  JsonScan text;
  const size_t limit = std::min(body_.size(), begin + limits::kJsonObjectBytesMax);
  for (size_t at = begin; at < limit; at += JsonScan::kStep) {
    const JsonScan::Step m = text.next<kByKeys>(body_.data() + at, std::min(JsonScan::kStep, limit - at));
    uint64_t bad = m.control;
    if constexpr (kByKeys) {
      bad |= m.stray;
    } else {
      // Where records are lines, a line feed in a string is the end of one; what else may not be there is the reader's to refuse.
      for (uint64_t rest = bad; rest != 0; rest &= rest - 1)
        if (body_[at + static_cast<size_t>(std::countr_zero(rest))] != '\n') bad &= ~(rest & (~rest + 1));
    }
    uint64_t events = m.brackets & ((bad & (~bad + 1)) - 1);  // those before the first bad byte
    for (; events != 0; events &= events - 1) {
      const size_t place = at + static_cast<size_t>(std::countr_zero(events));
      const char c = body_[place];
      if (c == '{' || c == '[') {
        if constexpr (kByKeys) {
          if (depth > 0 && (c == '{' ? begins_record(place) : begins_list(place))) return c == '{' ? Scan{End::record, place} : Scan{End::list, place + 1};
        } else {
          if (depth == limits::kJsonDepthMax) return {End::too_deep, place};
          if (depth > 0 && !may_begin_value(place, begin, is_list[depth - 1])) return {End::cut, place};
          is_list[depth] = c == '[';
        }
        ++depth;
      } else {
        if constexpr (!kByKeys) {
          if (is_list[depth - 1] != (c == ']')) return {End::mismatch, place};
        }
        if (--depth == 0) return {End::object, place + 1};
      }
    }
    if (bad != 0) return {kByKeys ? End::damage : End::cut_string, at + static_cast<size_t>(std::countr_zero(bad))};
  }
  if (limit < body_.size()) return {End::too_long, limit};
  return {End::body, limit};
}

// The next place from `from` on where a record begins; `to` where there is none before it.
size_t JsonRecords::find_record(size_t from, size_t to) const {
  for (size_t i = from; i < to; ++i) {
    const void* const found = std::memchr(body_.data() + i, by_keys() ? '{' : '\n', to - i);
    if (found == nullptr) return to;
    i = static_cast<size_t>(static_cast<const char*>(found) - body_.data());
    if (by_keys()) {
      if (begins_record(i)) return i;
      continue;
    }
    size_t first = i + 1;
    while (first < to && (body_[first] == ' ' || body_[first] == '\t')) ++first;
    if (first < to && body_[first] == '{') return first;
  }
  return to;
}

bool JsonRecords::spend(size_t bytes) {
  rescanned_ += bytes;
  return rescanned_ / limits::kJsonRescansMax <= body_.size();
}

bool JsonRecords::next(std::string_view& object, DecodeReport& report) {
  std::string reason;
  while (true) {
    const Found found = next(object, reason);
    if (found != Found::damage) return found == Found::record;
    report.reject(number_, std::move(reason));
  }
}

JsonRecords::Found JsonRecords::next(std::string_view& object, std::string& reason) {
  while (at_ < body_.size()) {
    const char c = body_[at_];
    if (is_blank(c) || c == ',' || c == '[' || (by_keys() && (c == ']' || c == '}')) || (c == ']' && lists_ > 0)) {
      if (!by_keys()) lists_ += static_cast<size_t>(c == '[') - static_cast<size_t>(c == ']');
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
      ++number_;
      const size_t line = std::min(body_.find('\n', begin), body_.size());
      at_ = find_record(begin + 1, line);
      reason = "not a JSON object; it begins with " + quoted(body_.substr(begin, std::min<size_t>(line - begin, 16)));
      return Found::damage;
    }
    const Scan scanned = by_keys() ? scan<true>(begin) : scan<false>(begin);
    switch (scanned.kind) {
      case Scan::End::object:
        ++number_;
        last_begin_ = begin;
        at_ = scanned.end;
        object = body_.substr(begin, scanned.end - begin);
        return Found::record;
      case Scan::End::list:
        inside_list_ = true;
        at_ = scanned.end;
        continue;
      case Scan::End::record:
        ++number_;
        at_ = scanned.end;
        reason = "JSON object has no end; another record begins in it";
        return Found::damage;
      case Scan::End::damage: reason = "JSON object is damaged at its byte " + std::to_string(scanned.end - begin + 1); break;
      case Scan::End::cut_string: reason = "JSON object is cut off inside a string"; break;
      case Scan::End::cut: reason = "JSON object is cut off"; break;
      case Scan::End::mismatch: reason = "JSON object has brackets that do not match"; break;
      case Scan::End::too_deep: reason = "JSON object is nested too deeply"; break;
      case Scan::End::too_long: reason = "JSON object is longer than " + std::to_string(limits::kJsonObjectBytesMax) + " bytes"; break;
      case Scan::End::body: reason = "JSON object has no end; the body ends in it"; break;
    }
    ++number_;
    at_ = find_record(begin + 1, body_.size());
    if (scanned.end > at_ && !spend(scanned.end - at_)) {
      at_ = find_record(scanned.end, body_.size());
      reason += "; so much of the body is damaged that what was looked at is passed over";
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
