// One line from a person: editing, history in a file, completion by TAB. Over libedit (BSD licence).
//
// Thread rule: one editor a process, used from one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

struct CompletionItem {
  std::string text, kind, detail;
};
struct CompletionAnswer {
  size_t replace_offset = 0, replace_length = 0;  // bytes of the text asked about
  std::vector<CompletionItem> items;
};
// Text so far (with the lines above of a multi-line query) and the cursor's place in it.
using Completer = std::function<CompletionAnswer(std::string_view text, size_t cursor)>;

class LineEditor {
 public:
  LineEditor(std::string history_file, Completer completer);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Outcome { line, interrupted, end };
  // `above`: the lines of the query typed before this one.
  Outcome read(const std::string& prompt, const std::string& above, std::string& line);
  // Keeps a whole query in the history. REQUIRES: one line
  void remember(const std::string& text);

 private:
  struct State;
  State* state_;
};

}  // namespace sluice::client
