#include "bench/generate/output_file.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace sluice::generate {

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  if (this != &other) {
    if (file_ != nullptr) std::fclose(file_);
    file_ = other.file_;
    path_ = std::move(other.path_);
    other.file_ = nullptr;
  }
  return *this;
}

OutputFile::~OutputFile() {
  if (file_ != nullptr) std::fclose(file_);
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) return Error{ErrorCode::io, "cannot create folder: " + folder.string() + ": " + error.message()};
  OutputFile file;
  file.path_ = path;
  file.file_ = std::fopen(path.c_str(), "wb");
  if (file.file_ == nullptr) return Error::from_errno("cannot create " + path, errno);
  std::setvbuf(file.file_, nullptr, _IOFBF, 1 << 20);
  return file;
}

Status OutputFile::write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
    return Error::from_errno("cannot write " + path_, errno);
  return {};
}

Status OutputFile::finish() {
  std::FILE* file = file_;
  file_ = nullptr;
  if (std::fclose(file) != 0) return Error::from_errno("cannot write " + path_, errno);
  return {};
}

Status write_file(const std::string& path, std::string_view bytes) {
  SLUICE_ASSIGN(OutputFile file, OutputFile::create(path));
  SLUICE_TRY(file.write(bytes));
  return file.finish();
}

}  // namespace sluice::generate
