// A file that appears whole or not at all: written beside its place, synced, then renamed. Internal to this room.
//
//   open append* finish
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/model/result.h"

namespace sluice::segment {

class FileWriter {
 public:
  FileWriter() = default;
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();  // unless finished, removes what was written

  Status open(const std::string& path);
  // Bytes are kept and written in large pieces; the error of one append stays for all later calls.
  void append(std::string_view bytes);
  void align(size_t to);
  uint64_t offset() const { return offset_; }
  // Writes what is left, syncs file and folder if asked, and puts the file in its place. Errors: full, io.
  Status finish(bool sync);

 private:
  void write_out();
  std::string path_, temporary_, buffer_;
  int fd_ = -1;
  uint64_t offset_ = 0;
  Status status_;
  bool finished_ = false;
};

}  // namespace sluice::segment
