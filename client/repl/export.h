// All rows of a question into a file.
#pragma once

#include <string>

#include "client/repl/http.h"
#include "client/repl/question.h"

namespace sluice::client {

struct ExportOptions {
  std::string path;    // "-": standard output
  std::string format;  // csv, ndjson, ecs, ocsf, arrow or parquet; empty: by the end of `path`
  bool quiet = false;  // no progress
};

// By the end of a path: ".csv", ".ndjson", ".jsonl", ".parquet", ".arrows" (Arrow's name for its streams); empty: none of those.
std::string format_of_path(const std::string& path);

// Writes rows as they come and takes no more from the server than was written, so that neither end keeps the answer in memory. The file is
// there once it is whole: rows go to PATH.part, which takes PATH's name when the server has said that the answer is complete and it is
// on the disk. Whatever goes wrong, PATH.part is removed and PATH left as it was; one that a killed export left is overwritten, one that is being written is not.
// Exit code as run_query(), 2 for a path or format that can't be. Errors go to standard error.
int export_query(Http& http, const std::string& text, const QueryOptions& options, const ExportOptions& to, const TypedPlace* typed);

}  // namespace sluice::client
