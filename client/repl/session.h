// The prompt: questions and commands from a person, answers on the terminal. docs/repl.md tells what it does.
#pragma once

#include "client/repl/http.h"

namespace sluice::client {

// `sluice` with no command. Exit code 0, or 3 when the server is not there at the start.
int run_repl(Http& http);

}  // namespace sluice::client
