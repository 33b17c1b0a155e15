// Cuts a body of JSON into the objects that are its records, whatever they come wrapped in, so that damage costs the
// record it is in and no other:
//
//   {"records":[{…},{…}]}    an object with a list of records, also without its end (a blob that still grows), and in itself
//   ,{…},{…}                 a piece from the middle of such a list
//   [{…},{…}]                a list
//   {…}\n{…}\n               one a line, or one behind the other
//
// An object is found by its braces alone; whether the rest of it is JSON is for the reader of the object to say. Two things
// end an object early: the beginning of another record inside it (a brace is missing) and bytes that no JSON has at that
// place (a quote is missing). Reading goes on at the next record that can be made out.
//
// Thread rule: none shared. No byte is looked at more than a few times, however the body is made (limits::kJsonRescansMax).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice::ingest {

class JsonRecords {
 public:
  struct Shape {
    // Keys that a record begins with and that no object inside a record begins with: what a record is made out by.
    std::span<const std::string_view> first_keys;
    // Keys whose value is a list of records, in an object around them.
    std::span<const std::string_view> list_keys;
  };
  // The body and the shape outlive the reader.
  JsonRecords(std::string_view body, const Shape& shape) : body_(body), shape_(shape) {}

  enum class Found : uint8_t { record, damage, end };
  // record: `object` is from '{' to '}'. damage: `reason` says what is wrong with the piece passed over.
  Found next(std::string_view& object, std::string& reason);
  // The object returned last turned out not to be one: where another record begins inside it, that is the next one.
  void look_inside();

 private:
  struct Scan;
  Scan scan(size_t begin) const;
  bool begins_record(size_t brace) const;
  bool begins_list(size_t bracket) const;
  size_t find_record(size_t from, size_t to) const;
  bool spend(size_t bytes);

  const std::string_view body_;
  const Shape shape_;
  size_t at_ = 0;
  size_t last_begin_ = 0;    // of the object returned last
  size_t rescanned_ = 0;     // bytes looked at again because of damage
  bool inside_list_ = false;
};

}  // namespace sluice::ingest
