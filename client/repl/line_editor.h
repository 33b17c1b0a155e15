// A question from a person: editing of several lines, colours while typing, completion by TAB, and a history with search.
//
// libedit (BSD licence) knows the keys, in the manner of emacs or vi and with the user's ~/.editrc, and keeps text and history. What is seen
// this draws itself (line_view.h), since libedit has no colours: it is asked for a key with the text as it is by then, which is the moment to draw.
// On a terminal that can't move its cursor (TERM=dumb, or output that is no terminal) it reads lines as they come.
//
// Thread rule: one editor a process, used from one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "client/repl/completion_list.h"

namespace sluice::client {

class LineEditor {
 public:
  struct Hooks {
    // What may come at the cursor, a byte of the text.
    std::function<CompletionAnswer(std::string_view text, size_t cursor)> complete;
    // Whether Enter ends the text; else it begins a new line.
    std::function<bool(std::string_view text)> finished;
  };

  // `history_file` empty: the history is not kept.
  LineEditor(std::string history_file, Hooks hooks, bool colour);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Outcome { text, interrupted, end };
  // `more` is the prompt of the lines after the first. The text has no line end behind it.
  Outcome read(const std::string& prompt, const std::string& more, std::string& text);
  // Keeps a question in the history, lines and all.
  void remember(const std::string& text);
  bool has_history() const;
  // False where lines are read as they come: a TAB is a TAB there.
  bool draws() const;

 private:
  struct State;
  State* state_;
};

}  // namespace sluice::client
