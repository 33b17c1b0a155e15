#include "client/repl/line_editor.h"

#include <histedit.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "client/repl/http.h"
#include "client/repl/table.h"

namespace sluice::client {

struct LineEditor::State {
  EditLine* edit = nullptr;
  History* history = nullptr;
  std::string history_file, prompt, above;
  Completer completer;
};

namespace {

constexpr int kHistoryLines = 2'000;

char* prompt_of(EditLine* edit) {
  void* data = nullptr;
  el_get(edit, EL_CLIENTDATA, &data);
  // libedit wants a char*; it does not write to it.
  return const_cast<char*>(static_cast<std::string*>(data)->c_str());
}

// The state for callbacks: libedit hands its one client pointer to the prompt, and the completer needs more.
Completer* g_completer = nullptr;
const std::string* g_above = nullptr;

void list_items(const std::vector<CompletionItem>& items) {
  winsize size{};
  const size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  constexpr size_t kShown = 60;
  std::printf("\n");
  if (items.size() <= 12) {
    size_t name_width = 0;
    for (const auto& item : items) name_width = std::max(name_width, display_width(printable(item.text)));
    for (const auto& item : items) {
      const std::string name = printable(item.text);
      std::string line = "  " + name + std::string(name_width - display_width(name) + 2, ' ') + item.kind;
      if (!item.detail.empty()) line += (item.kind.empty() ? "" : " · ") + printable(item.detail);
      std::printf("%s\n", cut(line, width).c_str());
    }
    return;
  }
  size_t cell = 0;
  const size_t shown = std::min(items.size(), kShown);
  for (size_t i = 0; i < shown; ++i) cell = std::max(cell, display_width(printable(items[i].text)) + 2);
  const size_t columns = std::max<size_t>(1, width / cell), rows = (shown + columns - 1) / columns;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const size_t i = c * rows + r;
      if (i >= shown) continue;
      const std::string name = printable(items[i].text);
      std::printf("%s%*s", name.c_str(), static_cast<int>(cell - display_width(name)), "");
    }
    std::printf("\n");
  }
  if (items.size() > shown) std::printf("… and %zu more\n", items.size() - shown);
}

unsigned char on_tab(EditLine* edit, int) {
  const LineInfo* info = el_line(edit);
  std::string text = *g_above;
  const size_t before = text.size();
  text.append(info->buffer, static_cast<size_t>(info->lastchar - info->buffer));
  const size_t cursor = before + static_cast<size_t>(info->cursor - info->buffer);
  const CompletionAnswer answer = (*g_completer)(text, cursor);
  if (answer.items.empty()) return CC_REFRESH_BEEP;
  // What stands between the replaced part's start and the cursor is deleted; what may follow the cursor stays.
  const size_t typed = cursor >= answer.replace_offset && answer.replace_offset >= before ? cursor - answer.replace_offset : 0;
  std::string common = answer.items[0].text;
  for (const auto& item : answer.items) {
    size_t n = 0;
    while (n < common.size() && n < item.text.size() && common[n] == item.text[n]) ++n;
    common.resize(n);
  }
  const bool single = answer.items.size() == 1;
  if (single || common.size() > typed) {
    el_deletestr(edit, static_cast<int>(typed));
    std::string put = common;
    if (single && !put.empty() && put.back() != '(' && put.back() != ' ') put += ' ';
    if (el_insertstr(edit, put.c_str()) != 0) return CC_ERROR;
    return CC_REFRESH;
  }
  list_items(answer.items);
  return CC_REDISPLAY;
}

}  // namespace

LineEditor::LineEditor(std::string history_file, Completer completer) : state_(new State) {
  state_->history_file = std::move(history_file);
  state_->completer = std::move(completer);
  g_completer = &state_->completer;
  g_above = &state_->above;
  state_->edit = el_init("sluice", stdin, stdout, stderr);
  el_set(state_->edit, EL_CLIENTDATA, &state_->prompt);
  el_set(state_->edit, EL_PROMPT, prompt_of);
  el_set(state_->edit, EL_EDITOR, "emacs");
  el_set(state_->edit, EL_SIGNAL, 0);
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, kHistoryLines);
  history(state_->history, &event, H_SETUNIQUE, 1);
  if (!state_->history_file.empty()) history(state_->history, &event, H_LOAD, state_->history_file.c_str());
  el_set(state_->edit, EL_HIST, history, state_->history);
  el_set(state_->edit, EL_ADDFN, "sluice-complete", "Complete the word before the cursor", on_tab);
  el_set(state_->edit, EL_BIND, "^I", "sluice-complete", nullptr);
  el_set(state_->edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // Arrow keys, Home and End of terminals that speak xterm.
  el_set(state_->edit, EL_BIND, "\033[H", "ed-move-to-beg", nullptr);
  el_set(state_->edit, EL_BIND, "\033[F", "ed-move-to-end", nullptr);
  el_set(state_->edit, EL_BIND, "\033[3~", "ed-delete-next-char", nullptr);
  el_set(state_->edit, EL_BIND, "\033[1;5C", "em-next-word", nullptr);
  el_set(state_->edit, EL_BIND, "\033[1;5D", "ed-prev-word", nullptr);
  el_source(state_->edit, nullptr);  // ~/.editrc, for those who have one
}

LineEditor::~LineEditor() {
  HistEvent event;
  if (!state_->history_file.empty()) {
    // Queries hold addresses under investigation: nobody else's business.
    const mode_t old = umask(077);
    history(state_->history, &event, H_SAVE, state_->history_file.c_str());
    umask(old);
  }
  history_end(state_->history);
  el_end(state_->edit);
  g_completer = nullptr;
  g_above = nullptr;
  delete state_;
}

LineEditor::Outcome LineEditor::read(const std::string& prompt, const std::string& above, std::string& line) {
  state_->prompt = prompt;
  state_->above = above;
  int count = 0;
  errno = 0;
  const char* text = el_gets(state_->edit, &count);
  if (Http::interrupted()) {
    Http::clear_interrupt();
    el_reset(state_->edit);
    std::printf("^C\n");
    return Outcome::interrupted;
  }
  if (text == nullptr || count <= 0) {
    std::printf("\n");
    return Outcome::end;
  }
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return Outcome::line;
}

void LineEditor::remember(const std::string& text) {
  HistEvent event;
  history(state_->history, &event, H_ENTER, text.c_str());
}

}  // namespace sluice::client
