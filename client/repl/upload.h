// `sluice ingest`: reads files and folders, cuts text at line ends into bodies that the server takes, and posts them.
//
// Each body carries an id made of its content (SHA-256), so that sending a file again after a broken connection counts
// nothing twice. The server's "full, try later" is obeyed for a bounded while.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/repl/http.h"

namespace sluice::client {

struct UploadOptions {
  std::string source;
  std::string format;           // the source's own field list, e.g. "${version} ${srcaddr} …"
  bool send_again = false;      // no content ids: the same bytes count again
  bool quiet = false;           // no progress
  std::vector<std::string> paths;  // files, folders (searched below), "-" for standard input
};

struct UploadTotals {
  uint64_t files = 0, bytes = 0, accepted = 0, rejected = 0, no_data = 0, skipped_data = 0, duplicates = 0, failed_files = 0;
};

// Exit code for `sluice`: 0, 1 when something was refused, 2 for paths that are not there, 3 when the server can't be
// reached. Errors go to standard error with their file and record.
int upload(Http& http, const UploadOptions& options, UploadTotals& totals);

}  // namespace sluice::client
