// `sluice alerts test TARGET`: has the server send a test notice.
#pragma once

#include <string>

#include "client/repl/http.h"

namespace sluice::client {

// Exit codes: 0 the target took it, 1 it did not or there is none of that name, 3 server unreachable.
int test_target(Http& http, const std::string& name);

}  // namespace sluice::client
