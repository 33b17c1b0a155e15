// The prompt's own commands: their one table, which help, completion and the documentation's test read.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "client/repl/completion_list.h"

namespace sluice::client {

struct PromptCommand {
  std::string_view name;       // "\\watch"
  std::string_view arguments;  // "[SECONDS] [QUERY]"
  std::string_view doc;
  std::string_view words;      // what the argument may be, blank between them; empty: see `asks`
  bool asks = false;           // its argument is a question, which the server completes
};

std::span<const PromptCommand> prompt_commands();
// The command of this name or short name ("\\h"); nullptr: none.
const PromptCommand* find_prompt_command(std::string_view name);
// The nearest name to a mistyped one; empty: none is near.
std::string_view nearest_prompt_command(std::string_view name);

// Names and fixed words of commands. `question`: where in the text a question begins that the server is to complete; SIZE_MAX: it isn't one.
// REQUIRES: text begins with a backslash; cursor <= text.size()
CompletionAnswer complete_command(std::string_view text, size_t cursor, size_t& question);

// For \help, lines of at most `width` cells.
std::string prompt_help(size_t width);

}  // namespace sluice::client
