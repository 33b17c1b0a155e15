// What is declared as a table of the configuration file, [[feed]] or [[target]]: a name, a kind, and keys that belong to the kind.
//
// A factory reads its keys by the functions below, each once, then calls finish(): a key that nobody asked for is an error with its place.
//
// Thread rule: one thread at a time. A Secret may be called from any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

class DeclaredSettings {
 public:
  struct Option {
    std::string value;
    std::string place;  // "sluice.toml:12"
  };

  // `noun`: what is declared, for errors; `common`: the keys that all of them have.
  DeclaredSettings(std::string_view noun, std::string_view common) : noun_(noun), common_(common) {}

  std::string name;   // letters, digits, '-', '_' and '.'; what is kept is kept under it
  std::string kind;   // "folder"
  std::string place;  // of the declaration
  std::map<std::string, Option> options;

  // Errors of all of these: invalid_argument, "sluice.toml:12: feed 'x': key: what".
  Result<std::string> text(const std::string& key, std::string_view otherwise = {});
  Result<std::string> required(const std::string& key);
  Result<bool> flag(const std::string& key, bool otherwise);
  Result<uint64_t> count(const std::string& key, uint64_t otherwise, uint64_t least, uint64_t most);
  Result<DurationNs> duration(const std::string& key, DurationNs otherwise, DurationNs least, DurationNs most);
  // Comma-separated, or an array in the file.
  Result<std::vector<std::string>> list(const std::string& key);
  // One of the words.
  Result<size_t> choice(const std::string& key, std::span<const std::string_view> words, size_t otherwise);
  // A secret is never written into the file: KEY_file names a file that holds it (a line end behind it is taken off) or KEY_env an
  // environment variable. Returns a reader, so that a secret that is renewed is read anew; it is read once here to tell early
  // what is wrong. nullptr: neither key is there.
  using Secret = std::function<Result<std::string>()>;
  Result<Secret> secret(const std::string& key = "secret");

  // An error for the first key that no function above was asked for.
  Status finish() const;
  // From here on a required key that is missing is taken for given: to learn which keys are known where one is missing, perhaps because
  // it stands there with a typo. What is made of them then is to be thrown away.
  void assume_missing() { assumes_missing_ = true; }

  // An error at a key's place (or the declaration's, when it is not there).
  Error error_at(const std::string& key, std::string_view what) const;

 private:
  const Option* find(const std::string& key);
  std::string_view noun_, common_;
  std::set<std::string> asked_;
  bool assumes_missing_ = false;
};

}  // namespace sluice::ingest
