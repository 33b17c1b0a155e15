// Files of rules: `sluice rules test` and `sluice rules apply`.
#pragma once

#include <string>
#include <vector>

#include "client/repl/http.h"

namespace sluice::client {

// Paths are files, and folders whose .flowql files are meant, folders below included. Each file is one request.
// Exit codes: 0, 1 an example failed or the server refused a file, 2 a path cannot be read, 3 server unreachable.
int test_rules(Http& http, const std::vector<std::string>& paths);
int apply_rules(Http& http, const std::vector<std::string>& paths);

}  // namespace sluice::client
