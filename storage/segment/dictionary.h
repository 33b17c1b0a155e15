// Sorted dictionaries of a segment: built from columns, written as a chunk, read in place from mapped memory.
//
// Internal to this room. Ip chunk: u32 below, u32 v4, u32 above, u32 zero; the addresses below ::ffff:0:0 as 16 bytes each,
// the IPv4 ones as u32 in host order, the addresses above ::ffff:ffff:ffff as 16 bytes each: this is bytewise order.
// Str chunk: u32 kind; 0: u32 zero, u32 starts[size + 1], text; 1: u32 raw bytes, piece (codec/compress.h) of the starts and text.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/codec/byte_io.h"
#include "storage/model/column.h"

namespace sluice::segment {

// Collects the distinct values of columns and numbers them in order. (add* finish code*)
class IpDictionaryBuilder {
 public:
  IpDictionaryBuilder();
  // A number for the value, good until finish() says what it has become.
  uint32_t add(const IpAddress& ip);
  // The same for many. REQUIRES: numbers has room for ips.size()
  void add(std::span<const IpAddress> ips, uint32_t* numbers);
  // Sorts; ranks()[number] is the value's code.
  void finish();
  const std::vector<uint32_t>& ranks() const { return ranks_; }
  uint32_t size() const { return static_cast<uint32_t>(values_.size()); }
  void write(std::string& out) const;

 private:
  // IPv4 addresses stand in their slots, so that finding one costs one place in memory and not two.
  struct V4Slot {
    uint32_t value = 0;
    uint32_t number = 0;  // + 1, 0: free
  };
  size_t place_of(uint32_t v4) const;
  size_t place_of(const IpAddress& ip) const;
  // From its place, in a table that has room.
  uint32_t find_or_add(uint32_t v4, size_t place);
  uint32_t find_or_add(const IpAddress& ip, size_t place);
  uint32_t new_number(const IpAddress& ip);
  // Makes room in both tables for so many more values.
  void reserve(size_t more);
  uint64_t seed_;
  std::vector<V4Slot> v4_slots_;
  std::vector<uint32_t> other_slots_;  // number + 1, 0: free
  size_t v4_count_ = 0;
  std::vector<IpAddress> values_;
  std::vector<uint32_t> ranks_;
};

class TextDictionaryBuilder {
 public:
  TextDictionaryBuilder();
  // The text must stay where it is until write().
  uint32_t add(std::string_view text);
  void finish();
  const std::vector<uint32_t>& ranks() const { return ranks_; }
  uint32_t size() const { return static_cast<uint32_t>(values_.size()); }
  uint64_t text_bytes() const { return text_bytes_; }
  void write(std::string& out) const;

 private:
  void grow();
  struct Slot {
    uint32_t number = 0;  // + 1, 0: free
    uint32_t hash = 0;
  };
  std::vector<Slot> slots_;
  std::vector<std::string_view> values_;
  std::vector<uint32_t> hashes_;
  std::vector<uint32_t> ranks_;
  uint64_t text_bytes_ = 0;
};

// A dictionary that can be searched. Addresses lie in mapped bytes, and any bytes there are addresses; texts are copied.
class MappedDictionary : public Dictionary {
 public:
  bool sorted() const override { return true; }
  // The first code whose value is not below. REQUIRES: the type fits
  virtual uint32_t lower_bound(const IpAddress& ip) const = 0;
  virtual uint32_t lower_bound(std::string_view text) const = 0;
};

// `keep` keeps `chunk` mapped. Checks all of it, order included. Errors: corrupt.
Result<std::shared_ptr<const MappedDictionary>> open_dictionary(codec::Bytes chunk, PhysicalType type, uint32_t size,
                                                                std::shared_ptr<const void> keep);

}  // namespace sluice::segment
