// GeoKeeper: databases of countries and autonomous systems in MaxMind's DB format, read through libmaxminddb.
//
// The files are the operator's (settings geo-country and geo-asn). They are looked at again while queries ask, at most every
// limits::kGeoLookEvery; a file that has changed is read anew, and one that cannot be read, or is damaged anywhere that is asked, leaves the former
// in use and is logged. A file is read as a whole into memory of the process's own, so that whoever writes it in its place harms nobody who reads it.
// Format: https://maxmind.github.io/MaxMind-DB/ (version 2). Members that are asked for: country.iso_code, registered_country.iso_code,
// country_code; autonomous_system_number or asn; autonomous_system_organization or as_name.
// Thread rule: any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "query/geo.h"
#include "server/error_voice.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

class GeoKeeper {
 public:
  // Empty paths: there is no such database. Errors: those of the files, naming them.
  static Result<std::unique_ptr<GeoKeeper>> open(std::string country_path, std::string asn_path, const Clock& clock);

  // What queries that begin now ask.
  std::shared_ptr<const query::GeoBook> book();

 private:
  struct Database;
  struct Book;
  // What tells one state of a file from another.
  struct FileState {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t changed_ns = 0;
    bool operator==(const FileState&) const = default;
  };
  struct Watched {
    std::string path;
    FileState seen;
    std::shared_ptr<const Database> database;
  };

  explicit GeoKeeper(const Clock& clock) : clock_(clock) {}
  static Result<FileState> state_of(const std::string& path);
  static Status load(Watched& file);
  void look_again();
  void publish();

  const Clock& clock_;
  std::mutex look_mutex_;  // of what follows; who finds it taken asks the book as it is
  Watched country_, asn_;
  ErrorVoice voice_;
  std::atomic<TimestampNs> looked_at_{0};
  std::mutex book_mutex_;
  std::shared_ptr<const query::GeoBook> book_;
};

}  // namespace sluice::server
