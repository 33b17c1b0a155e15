#include "ingest/receive/declared_settings.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace sluice::ingest {
namespace {

// A secret is a key or a small document (a service account); a file that is larger is another file.
constexpr size_t kSecretBytesMax = 64u << 10;

Result<std::string> read_secret_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error::from_errno("cannot open " + path, errno);
  std::string text(kSecretBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kSecretBytesMax) return Error{ErrorCode::too_large, path + " is larger than a secret may be: " + std::to_string(kSecretBytesMax) + " bytes"};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return Error{ErrorCode::invalid_argument, path + " is empty"};
  return text;
}

Result<std::string> read_secret_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value || !*value) return Error{ErrorCode::invalid_argument, "the environment variable " + name + " is not set"};
  return std::string(value);
}

}  // namespace

const DeclaredSettings::Option* DeclaredSettings::find(const std::string& key) {
  asked_.insert(key);
  const auto at = options.find(key);
  return at == options.end() ? nullptr : &at->second;
}

Error DeclaredSettings::error_at(const std::string& key, std::string_view what) const {
  const auto at = options.find(key);
  const std::string& where = at == options.end() ? place : at->second.place;
  return Error{ErrorCode::invalid_argument, (where.empty() ? "" : where + ": ") + std::string(noun_) + " '" + name + "': " + key + ": " + std::string(what)};
}

Result<std::string> DeclaredSettings::text(const std::string& key, std::string_view otherwise) {
  const Option* option = find(key);
  return option ? option->value : std::string(otherwise);
}

Result<std::string> DeclaredSettings::required(const std::string& key) {
  const Option* option = find(key);
  if (!option && assumes_missing_) return std::string("assumed");
  if (!option || option->value.empty()) return error_at(key, "is needed for a " + std::string(noun_) + " of kind '" + kind + "'");
  return option->value;
}

Result<bool> DeclaredSettings::flag(const std::string& key, bool otherwise) {
  const Option* option = find(key);
  if (!option) return otherwise;
  if (option->value == "true") return true;
  if (option->value == "false") return false;
  return error_at(key, "is true or false, not '" + option->value + "'");
}

Result<uint64_t> DeclaredSettings::count(const std::string& key, uint64_t otherwise, uint64_t least, uint64_t most) {
  const Option* option = find(key);
  if (!option) return otherwise;
  uint64_t number = 0;
  const char* last = option->value.data() + option->value.size();
  const auto [end, error] = std::from_chars(option->value.data(), last, number);
  if (error != std::errc() || end != last || number < least || number > most)
    return error_at(key, "is a number from " + std::to_string(least) + " to " + std::to_string(most) + ", not '" + option->value + "'");
  return number;
}

Result<DurationNs> DeclaredSettings::duration(const std::string& key, DurationNs otherwise, DurationNs least, DurationNs most) {
  const Option* option = find(key);
  if (!option) return otherwise;
  const auto parsed = option->value == "0" ? std::optional<DurationNs>(0) : parse_duration(option->value);
  if (!parsed || *parsed < least || *parsed > most)
    return error_at(key, "is a duration from " + format_duration(least) + " to " + format_duration(most) + ", not '" + option->value + "'");
  return *parsed;
}

Result<std::vector<std::string>> DeclaredSettings::list(const std::string& key) {
  std::vector<std::string> items;
  const Option* option = find(key);
  if (!option) return items;
  std::istringstream text(option->value);
  std::string item;
  while (std::getline(text, item, ',')) {
    const size_t begin = item.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    items.push_back(item.substr(begin, item.find_last_not_of(' ') - begin + 1));
  }
  return items;
}

Result<size_t> DeclaredSettings::choice(const std::string& key, std::span<const std::string_view> words, size_t otherwise) {
  const Option* option = find(key);
  if (!option) return otherwise;
  std::string known;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == option->value) return i;
    known.append(i == 0 ? "" : i + 1 == words.size() ? " or " : ", ").append(words[i]);
  }
  return error_at(key, "is " + known + ", not '" + option->value + "'");
}

Result<DeclaredSettings::Secret> DeclaredSettings::secret(const std::string& key) {
  const std::string file_key = key + "_file", variable_key = key + "_env";
  const Option* file = find(file_key);
  const Option* variable = find(variable_key);
  if (options.contains(key))
    return error_at(key, "a secret does not belong into the configuration; name a file (" + file_key + ") or an environment variable (" + variable_key + ")");
  if (file && variable) return error_at(file_key, "stands next to " + variable_key + "; one of the two is enough");
  if (!file && !variable) return Secret();
  const std::string where = file ? file_key : variable_key;
  Secret read = file ? Secret([path = file->value] { return read_secret_file(path); }) : Secret([name = variable->value] { return read_secret_variable(name); });
  if (const auto once = read(); !once.ok()) return error_at(where, once.error().message);
  return read;
}

Status DeclaredSettings::finish() const {
  for (const auto& [key, option] : options)
    if (!asked_.contains(key)) {
      std::string known;
      for (const std::string& asked : asked_) known += (known.empty() ? "" : ", ") + asked;
      return error_at(key, "is not known for a " + std::string(noun_) + (kind.empty() ? "" : " of kind '" + kind + "'") + " (known are " + std::string(common_) + ", " + known + ")");
    }
  return {};
}

}  // namespace sluice::ingest
