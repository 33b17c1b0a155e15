// OpenTelemetry's expected output: logs as YAML, as far as the published samples need it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sluice::ingest::test {

struct OtelRecord {
  std::map<std::string, std::string> attributes;
  std::string time_unix_nano;
};
struct OtelLogs {
  std::map<std::string, std::string> resource;
  std::vector<OtelRecord> records;
};

// The few shapes of YAML that these files have: "- key: K", then "value:", then "stringValue: V" or "intValue: V".
inline OtelLogs read_otel(const std::filesystem::path& path) {
  OtelLogs logs;
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::string line, key, section;
  while (std::getline(in, line)) {
    size_t begin = line.find_first_not_of(" -");
    if (begin == std::string::npos) continue;
    const std::string text = line.substr(begin);
    const auto after = [&](const char* name) -> std::optional<std::string> {
      if (!text.starts_with(std::string(name) + ":")) return std::nullopt;
      std::string value = text.substr(std::strlen(name) + 1);
      value.erase(0, value.find_first_not_of(' '));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      return value;
    };
    if (after("resource")) section = "resource";
    if (after("scope")) section = "scope";
    // Each record begins a list item, with its attributes first.
    if (after("logRecords")) section = "records";
    if (section == "records" && line.find("- attributes:") != std::string::npos) logs.records.emplace_back();
    if (const auto k = after("key")) key = *k;
    for (const char* type : {"stringValue", "intValue"})
      if (const auto v = after(type)) {
        if (section == "resource") logs.resource[key] = *v;
        if (section == "records" && !logs.records.empty()) logs.records.back().attributes[key] = *v;
      }
    if (section == "records" && !logs.records.empty())
      if (const auto v = after("timeUnixNano")) logs.records.back().time_unix_nano = *v;
  }
  return logs;
}

}  // namespace sluice::ingest::test
