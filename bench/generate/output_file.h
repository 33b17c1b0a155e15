// A buffered output file that reports what went wrong, once, in finish() or write().
// Not thread safe. The file is complete only after finish() returned ok; a destructor without it leaves a partial file.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "storage/model/result.h"

namespace sluice::generate {

class OutputFile {
 public:
  OutputFile() = default;
  OutputFile(OutputFile&& other) noexcept : file_(other.file_), path_(std::move(other.path_)) { other.file_ = nullptr; }
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  // Creates missing folders; truncates what is there.
  static Result<OutputFile> create(const std::string& path);
  Status write(std::string_view bytes);
  Status finish();
  const std::string& path() const { return path_; }

 private:
  std::FILE* file_ = nullptr;
  std::string path_;
};

// Writes a whole file at once.
Status write_file(const std::string& path, std::string_view bytes);

}  // namespace sluice::generate
