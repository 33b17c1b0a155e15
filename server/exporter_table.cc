#include "server/exporter_table.h"

#include <cerrno>
#include <charconv>
#include <fstream>

#include "ingest/source/limits.h"
#include "server/limits.h"
#include "storage/model/text.h"

namespace sluice::server {
namespace {

}  // namespace

Result<std::vector<InterfaceName>> parse_interface_lines(std::string_view text, const std::string& file_name) {
  std::vector<InterfaceName> names;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    std::string_view line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == '#') continue;
    auto next = [&] {
      const size_t comma = line.find(',');
      const std::string_view field = trimmed(line.substr(0, comma));
      line = comma == std::string_view::npos ? std::string_view() : line.substr(comma + 1);
      return field;
    };
    InterfaceName entry;
    const std::string_view index = next();
    const auto [stop, error] = std::from_chars(index.data(), index.data() + index.size(), entry.number);
    if (error != std::errc() || stop != index.data() + index.size()) {
      if (line_number == 1) continue;  // a heading
      return Error{ErrorCode::parse, file_name + ":" + std::to_string(line_number) + ": not an interface index: '" + std::string(index) + "'"};
    }
    entry.name = next();
    entry.description = trimmed(line);
    if (entry.name.empty()) return Error{ErrorCode::parse, file_name + ":" + std::to_string(line_number) + ": no name after the index"};
    if (entry.name.size() > limits::kExporterNameBytesMax || entry.description.size() > limits::kExporterNameBytesMax)
      return Error{ErrorCode::too_large, file_name + ":" + std::to_string(line_number) + ": longer than " + std::to_string(limits::kExporterNameBytesMax) + " bytes"};
    names.push_back(std::move(entry));
    if (names.size() > limits::kExporterNamesMax)
      return Error{ErrorCode::too_large, file_name + ": more than " + std::to_string(limits::kExporterNamesMax) + " interfaces"};
  }
  return names;
}

Result<std::vector<InterfaceName>> read_interface_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error::from_errno("cannot open the file of interface names " + path, errno);
  std::string text(limits::kInterfaceFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > limits::kInterfaceFileBytesMax)
    return Error{ErrorCode::too_large, path + ": longer than " + std::to_string(limits::kInterfaceFileBytesMax) + " bytes"};
  return parse_interface_lines(text, path);
}

}  // namespace sluice::server
