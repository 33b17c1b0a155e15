// One [[exporter]] table of the configuration: what an operator knows of an exporter, or of all exporters of a prefix.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/exporter.h"
#include "query/sampling.h"
#include "storage/model/result.h"

namespace sluice::server {

// One interface of one exporter, as an operator's file has it.
struct InterfaceName {
  uint64_t number = 0;
  std::string name, description;
  bool operator==(const InterfaceName&) const = default;
};

// One [[exporter]] table of the configuration.
struct ExporterTable {
  std::string name;
  ingest::ExporterOverride override;              // its prefix is the table's address
  std::vector<query::SamplingRule> corrections;   // of stored rows
  std::vector<InterfaceName> interfaces;
};

// Lines of "index,name[,description]"; '#' begins a comment, a first line of names is skipped. Errors name file and line.
Result<std::vector<InterfaceName>> read_interface_file(const std::string& path);
Result<std::vector<InterfaceName>> parse_interface_lines(std::string_view text, const std::string& file_name);

}  // namespace sluice::server
