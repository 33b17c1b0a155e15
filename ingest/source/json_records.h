// Cuts a body of JSON into the objects that are its records, whatever they come wrapped in, so that damage costs the record it is in and
// no other:
//
//   {…}\n{…}\n               one a line, or one behind the other, also pretty printed; a comma may follow each
//   [{…},{…}]                a list
//   {"records":[{…},{…}]}    an object with a list of records, also without its end (a blob that still grows), and in itself
//   ,{…},{…}                 a piece from the middle of such a list
//
//   JsonRecords records(body);
//   std::string_view object;
//   while (records.next(object, report)) …
//
// An object is found by its brackets; whether the rest of it is JSON is for the reader of the object to say. How a record is made out
// where brackets or quotes are missing, and what wraps it, depends on the format:
// - Formats whose records begin with keys of their own (Shape) have the last two forms. A record that begins inside another ends it, and so
//   do bytes that no JSON has at that place; reading goes on at the next record that can be made out, wherever it begins.
// - Others have a record a line, mostly: JSON has no line feed inside a string, and an object cannot begin where only a key may stand.
//   Reading goes on at the next line that begins an object.
//
// Thread rule: none shared. No byte is looked at more than a few times, however the body is made (limits::kJsonRescansMax).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ingest/source/source.h"

namespace sluice::ingest {

class JsonRecords {
 public:
  struct Shape {
    // Keys that a record begins with and that no object inside a record begins with: what a record is made out by. None: by lines.
    std::span<const std::string_view> first_keys;
    // Keys whose value is a list of records, in an object around them.
    std::span<const std::string_view> list_keys;
  };
  // The body and the shape outlive the reader. A byte order mark before the body is passed over.
  explicit JsonRecords(std::string_view body, const Shape& shape = {});

  enum class Found : uint8_t { record, damage, end };
  // record: `object` is from '{' to '}', a view into the body. damage: `reason` says what is wrong with the piece passed over.
  Found next(std::string_view& object, std::string& reason);
  // The next record, false at the end of the body; damage is rejected in `report`.
  bool next(std::string_view& object, DecodeReport& report);
  // Of the record or the damage returned last, from 1.
  uint64_t number() const { return number_; }
  // The end of the body, up to which memory may be read.
  const char* readable_end() const { return body_.data() + body_.size(); }
  // The object returned last turned out not to be one: where another record begins inside it, that is the next one.
  void look_inside();

 private:
  struct Scan;
  bool by_keys() const { return !shape_.first_keys.empty(); }
  template <bool kByKeys>
  Scan scan(size_t begin) const;
  bool begins_record(size_t brace) const;
  bool begins_list(size_t bracket) const;
  bool may_begin_value(size_t bracket, size_t object, bool in_list) const;
  size_t find_record(size_t from, size_t to) const;
  bool spend(size_t bytes);

  const std::string_view body_;
  const Shape shape_;
  size_t at_ = 0;
  size_t last_begin_ = 0;  // of the object returned last
  size_t rescanned_ = 0;   // bytes looked at again because of damage
  size_t lists_ = 0;       // entered at the outermost level and not left, where records are made out by lines
  uint64_t number_ = 0;
  bool inside_list_ = false;  // of an object around records
};

}  // namespace sluice::ingest
