// Mapping: a file mapped for reading, whose loss while it is mapped does not end the process.
//
// When a file is cut short, or its disk fails, a read of mapped bytes is no error code but SIGBUS. Reading with pread instead would
// copy every chunk of every scan (the bytes are hashed and decoded where they lie, in the page cache) and still leave dictionaries,
// which columns hold on to for the length of a query. A jump out of the handler would have to leave decoders and their locks in the
// middle. So the handler, installed with the first mapping, puts a page of zeros where the file's page cannot be had and lets
// the read go on. Whoever reads must stand any bytes anyway: chunks are checked against their checksums again and again, decoders are
// fuzzed without them, and what is trusted after one look (footer, texts of dictionaries) is copied out of the mapping. What the zeros
// have made is then not used, because readers ask lost() after reading, and queries and merges ask intact() at their end.
//
// A SIGBUS at an address that is no mapping's goes to whoever handled it before: by default the process dies of it, as it should.
//
// Thread rule: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "storage/model/result.h"

namespace sluice::segment {

class Mapping {
 public:
  // Errors: io.
  static Result<std::shared_ptr<const Mapping>> of(const std::string& path);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::span<const uint8_t> bytes() const { return bytes_; }
  // A page could not be read while it was mapped: what was read may be zeros in place of the file's bytes. Cheap.
  bool lost() const;
  // The same, in words; and with `look_at_length`, whether the file is as long as it was: the rest of the last page of a file cut
  // short reads as zeros without a signal. That is a system call. Error: corrupt.
  Status intact(bool look_at_length) const;

 private:
  Mapping() = default;
  std::string path_;
  std::span<const uint8_t> bytes_;
  struct Slot;
  friend struct Slots;
  Slot* slot_ = nullptr;
};

}  // namespace sluice::segment
