#include "client/repl/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <thread>
#include <vector>

#include "client/repl/http.h"
#include "client/repl/limits.h"
#include "client/repl/line_view.h"

namespace sluice::client {
namespace {

constexpr int kCtrlC = 3, kCtrlG = 7, kCtrlR = 18, kEscape = 27, kDelete = 127;
constexpr std::string_view kPasteOn = "\x1b[?2004h", kPasteOff = "\x1b[?2004l", kPasteEnd = "\x1b[201~";

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
  }
}

bool can_draw() {
  const char* term = std::getenv("TERM");
  winsize size{};
  return term != nullptr && *term != 0 && std::strcmp(term, "dumb") != 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
         size.ws_col >= 16 && size.ws_row >= 2;
}

// Bytes typed and not read yet, so that nothing is drawn between the keys of a paste.
bool more_is_typed() {
  pollfd waiting{STDIN_FILENO, POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN) != 0;
}

size_t characters_in(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool contains_any_case(std::string_view text, std::string_view part, size_t& at) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; };
  const auto it = std::search(text.begin(), text.end(), part.begin(), part.end(), [&](char a, char b) { return lower(a) == lower(b); });
  at = static_cast<size_t>(it - text.begin());
  return it != text.end() || part.empty();
}

// The history's file while one prompt reads or adds to it; others wait, but not for ever: a prompt that was stopped within must not stop them. It is
// written question by question, as a prompt may end with its terminal, and several may be open.
class HistoryFile {
 public:
  explicit HistoryFile(const std::string& path) {
    if (path.empty()) return;
    for (int tries = 0; tries < 20 && stream_ == nullptr; ++tries) {
      // Queries hold addresses under investigation: nobody else's business.
      const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      if (fd < 0) return;
      const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
      const bool held = !locked && errno == EWOULDBLOCK;  // and not: a file system that has no locks
      // Who waited may have got a file that another has put a shorter one in the place of.
      struct stat mine {}, there {};
      if (locked && ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) stream_ = ::fdopen(fd, "r+");
      if (stream_ == nullptr) ::close(fd);
      if (held) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      else if (!locked) return;
    }
  }
  ~HistoryFile() {
    if (stream_ != nullptr) std::fclose(stream_);
  }
  HistoryFile(const HistoryFile&) = delete;
  HistoryFile& operator=(const HistoryFile&) = delete;
  FILE* stream() const { return stream_; }  // null: there is none

 private:
  FILE* stream_ = nullptr;
};

}  // namespace

struct LineEditor::State {
  EditLine* edit = nullptr;  // null: lines are read as they come
  FILE* nowhere = nullptr;   // what libedit draws into
  History* history = nullptr;
  std::string history_file, prompt, more;
  Hooks hooks;
  bool colour = false, paste = false;

  // What is on the screen.
  size_t cursor_row = 0;
  std::string drawn;
  std::vector<std::string> below;

  std::vector<std::string> entries;  // the history, the latest first, as it was when reading began
  size_t entry = SIZE_MAX;           // the one that stands in the line; SIZE_MAX: what was typed
  std::string typed;

  // The completions that TAB goes through, and where in the text the chosen one stands.
  CompletionAnswer completion;
  size_t chosen = SIZE_MAX, chosen_offset = 0;

  static State* of(EditLine* e) {
    void* data = nullptr;
    el_get(e, EL_CLIENTDATA, &data);
    return static_cast<State*>(data);
  }

  std::string text() const {
    const LineInfo* info = el_line(edit);
    return {info->buffer, static_cast<size_t>(info->lastchar - info->buffer)};
  }
  size_t cursor() const {
    const LineInfo* info = el_line(edit);
    return static_cast<size_t>(info->cursor - info->buffer);
  }
  bool at_end() const {
    const LineInfo* info = el_line(edit);
    return info->cursor == info->lastchar;
  }
  void go(size_t byte) {
    const std::string now = text();
    const size_t here = cursor();
    if (byte > here)
      el_cursor(edit, static_cast<int>(characters_in(std::string_view(now).substr(here, byte - here))));
    else if (byte < here)
      el_cursor(edit, -static_cast<int>(characters_in(std::string_view(now).substr(byte, here - byte))));
  }
  void replace_text(const std::string& with) {
    const std::string now = text();
    go(now.size());
    if (!now.empty()) el_deletestr(edit, static_cast<int>(characters_in(now)));
    if (!with.empty()) el_insertstr(edit, with.c_str());
  }

  // What the history says would follow: the latest question that begins like this one.
  std::string hint(const std::string& now) const {
    if (!colour || now.empty() || now.size() > limits::kColouredBytes || now.find('\n') != std::string::npos || !at_end()) return {};
    for (const std::string& e : entries)
      if (e.size() > now.size() && e.starts_with(now)) return e.substr(now.size());
    return {};
  }

  LineView view() const {
    LineView v;
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
      v.width = size.ws_col;
      v.height = size.ws_row;
    }
    v.colour = colour;
    v.prompt = prompt;
    v.more = more;
    return v;
  }

  void draw(const LineView& v) {
    const DrawnLine line = draw_line(v);
    std::string out;
    if (cursor_row > 0) out += "\x1b[" + std::to_string(cursor_row) + "A";
    out += "\r\x1b[J" + line.bytes;
    if (line.rows - 1 > line.cursor_row) out += "\x1b[" + std::to_string(line.rows - 1 - line.cursor_row) + "A";
    out += '\r';
    if (line.cursor_column > 0) out += "\x1b[" + std::to_string(line.cursor_column) + "C";
    const std::string picture = line.bytes + '\0' + std::to_string(line.cursor_row) + ' ' + std::to_string(line.cursor_column);
    if (picture == drawn) return;
    cursor_row = line.cursor_row;
    drawn = picture;
    write_all(out);
  }

  void draw_now() {
    LineView v = view();
    const std::string now = text(), suggested = below.empty() ? hint(now) : std::string();
    v.text = now;
    v.cursor = cursor();
    v.hint = suggested;
    v.below = below;
    draw(v);
  }

  // The text as it stays on the screen, and the cursor below it.
  void leave(const std::string& now) {
    LineView v = view();
    v.text = now;
    v.cursor = now.size();
    draw(v);
    write_all("\r\n");
    cursor_row = 0;
    drawn.clear();
    below.clear();
  }

  // One byte; -1: the end, an error or an interrupt. `redraw`: what to draw while nothing comes.
  int byte(const std::function<void()>& redraw) {
    while (!Http::interrupted()) {
      if (redraw && !more_is_typed()) redraw();
      pollfd waiting{STDIN_FILENO, POLLIN, 0};
      // The wait is cut short by a change of the window (a signal), and now and then in case one came between drawing and waiting.
      if (::poll(&waiting, 1, 500) <= 0) continue;
      unsigned char c = 0;
      const ssize_t n = ::read(STDIN_FILENO, &c, 1);
      if (n == 1) return c;
      if (n == 0 || errno != EINTR) return -1;
    }
    return -1;
  }

  // A character for libedit, which asks whenever it has done with what was typed.
  static int next_character(EditLine* e, wchar_t* out) {
    State& s = *of(e);
    std::mbstate_t state{};
    for (int n = 0;; ++n) {
      const int c = s.byte(n == 0 ? std::function<void()>([&] { s.draw_now(); }) : nullptr);
      if (c < 0) return -1;
      s.below.clear();
      if (n == 0) {
        // The blank behind a completed word is there already; who types one means that one.
        const bool has_it = c == ' ' && !s.spaced_text.empty() && s.text() == s.spaced_text && s.at_end();
        s.spaced_text.clear();
        if (has_it) {
          n = -1;
          continue;
        }
      }
      const char b = static_cast<char>(c);
      const size_t length = std::mbrtowc(out, &b, 1, &state);
      if (length == static_cast<size_t>(-2) && n < 8) continue;
      if (length == static_cast<size_t>(-1) || length == static_cast<size_t>(-2)) *out = L'?';
      return 1;
    }
  }

  static unsigned char on_enter(EditLine* e, int) {
    State& s = *of(e);
    const std::string now = s.text();
    if (!s.hooks.finished(now)) {
      el_insertstr(e, "\n");
      return CC_REFRESH;
    }
    s.go(now.size());
    el_insertstr(e, "\n");
    return CC_NEWLINE;
  }
  static unsigned char on_new_line(EditLine* e, int) { return el_insertstr(e, "\n") == 0 ? CC_REFRESH : CC_ERROR; }

  static unsigned char on_up(EditLine* e, int) { return of(e)->up_or_down(true); }
  static unsigned char on_down(EditLine* e, int) { return of(e)->up_or_down(false); }
  // Through the lines of the text, and beyond them through the history.
  unsigned char up_or_down(bool up) {
    const std::string now = text();
    const size_t here = cursor();
    const size_t before = here == 0 ? std::string::npos : now.rfind('\n', here - 1), start = before == std::string::npos ? 0 : before + 1;
    const size_t column = characters_in(std::string_view(now).substr(start, here - start)), end = now.find('\n', here);
    if (up ? start > 0 : end != std::string::npos) {
      size_t to = 0;
      if (up) {
        const size_t above = start < 2 ? std::string::npos : now.rfind('\n', start - 2);
        to = above == std::string::npos ? 0 : above + 1;
      } else {
        to = end + 1;
      }
      for (size_t n = 0; n < column && to < now.size() && now[to] != '\n'; ++n)
        do ++to;
        while (to < now.size() && (static_cast<unsigned char>(now[to]) & 0xc0) == 0x80);
      go(to);
      return CC_REFRESH;
    }
    if (up ? entry + 1 >= entries.size() && !(entry == SIZE_MAX && !entries.empty()) : entry == SIZE_MAX) return CC_ERROR;
    if (entry == SIZE_MAX) typed = now;
    entry = up ? entry + 1 : entry - 1;  // from what was typed (SIZE_MAX) up to the latest, and back
    replace_text(entry == SIZE_MAX ? typed : entries[entry]);
    return CC_REFRESH;
  }

  // To the right, or what the history suggests where there is nothing to the right.
  static unsigned char on_right(EditLine* e, int) { return of(e)->forward(1); }
  static unsigned char on_line_end(EditLine* e, int) { return of(e)->forward(SIZE_MAX); }
  unsigned char forward(size_t characters) {
    const std::string now = text(), suggested = hint(now);
    if (!suggested.empty()) return el_insertstr(edit, suggested.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    if (characters == 1)
      el_cursor(edit, 1);
    else
      go(std::min(now.size(), now.find('\n', cursor())));
    return CC_REFRESH;
  }

  static unsigned char on_clear(EditLine* e, int) {
    State& s = *of(e);
    write_all("\x1b[H\x1b[2J");
    s.cursor_row = 0;
    s.drawn.clear();
    return CC_REFRESH;
  }

  // A paste is text whatever is in it: its line ends ask nothing, its TABs complete nothing.
  static unsigned char on_paste(EditLine* e, int) {
    State& s = *of(e);
    std::string pasted;
    while (!pasted.ends_with(kPasteEnd)) {
      const int c = s.byte(nullptr);
      if (c < 0) return CC_ERROR;
      pasted += static_cast<char>(c);
    }
    pasted.resize(pasted.size() - kPasteEnd.size());
    std::string clean;
    for (size_t i = 0; i < pasted.size(); ++i) {
      const char c = pasted[i];
      if (c == '\r') {
        if (i + 1 >= pasted.size() || pasted[i + 1] != '\n') clean += '\n';
      } else if (c == '\t') {
        clean += ' ';
      } else if (c == '\n' || static_cast<unsigned char>(c) >= 0x20) {
        if (c != kDelete) clean += c;
      }
    }
    while (clean.ends_with('\n')) clean.pop_back();
    if (clean.empty() || el_insertstr(e, clean.c_str()) == 0) return CC_REFRESH;
    std::erase_if(clean, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });  // not in the terminal's own encoding
    return el_insertstr(e, clean.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  static unsigned char on_tab(EditLine* e, int) { return of(e)->complete(1); }
  static unsigned char on_back_tab(EditLine* e, int) { return of(e)->complete(-1); }
  unsigned char complete(int step) {
    const std::string now = text();
    const size_t here = cursor();
    const size_t count = completion.items.size();
    // Another TAB with nothing typed since: the next of the same.
    const std::string& stands = chosen < count ? completion.items[chosen].text : typed_part;
    if (count > 1 && now == completed_text && here == chosen_offset + stands.size()) {
      const size_t next = chosen == SIZE_MAX ? (step > 0 ? 0 : count - 1) : (chosen + count + static_cast<size_t>(step + static_cast<int>(count))) % count;
      replace_part(chosen_offset, completion.items[next].text);
      chosen = next;
      list();
      return CC_REFRESH;
    }
    completion = hooks.complete(now, here);
    chosen = SIZE_MAX;
    if (completion.items.empty()) {
      below = {"  " + (completion.why_none.empty() ? "nothing that is known fits here" : completion.why_none)};
      return CC_REFRESH;
    }
    // What stands between the replaced part's start and the cursor goes; what may follow the cursor stays.
    chosen_offset = std::min(completion.replace_offset, here);
    const std::string common = common_beginning(completion.items);
    if (completion.items.size() == 1) {
      std::string put = common;
      if (!put.empty() && put.back() != '(' && put.back() != ' ' && (here >= now.size() || now[here] != ' ')) put += ' ';
      replace_part(chosen_offset, put);
      if (put.ends_with(' ')) spaced_text = text();
      completion.items.clear();
      return CC_REFRESH;
    }
    // Values are those of some flows, never all: what these begin with in common says nothing of the one that is meant.
    const bool are_values = std::any_of(completion.items.begin(), completion.items.end(), [](const CompletionItem& item) { return item.kind == "value"; });
    if (!are_values && common.size() > here - chosen_offset) replace_part(chosen_offset, common);
    typed_part = text().substr(chosen_offset, cursor() - chosen_offset);
    completed_text = text();
    list();
    return CC_REFRESH;
  }
  // From `offset` to the cursor.
  void replace_part(size_t offset, const std::string& with) {
    const std::string now = text();
    const size_t characters = characters_in(std::string_view(now).substr(offset, cursor() - offset));
    if (characters > 0) el_deletestr(edit, static_cast<int>(characters));
    el_insertstr(edit, with.c_str());
    completed_text = text();
  }
  void list() {
    const LineView v = view();
    below = completion_lines(completion.items, chosen, v.width, colour);
  }
  std::string typed_part, completed_text;
  std::string spaced_text;  // the text that completing ended with a blank, until another key comes

  // Ctrl-R: the latest question with what is typed in it, older ones by Ctrl-R.
  static unsigned char on_search(EditLine* e, int) { return of(e)->search(); }
  unsigned char search() {
    const std::string before = text();
    std::string needle;
    size_t found = SIZE_MAX, at = 0;
    bool missed = false;
    const auto look = [&](size_t from) {
      for (size_t i = from; i < entries.size(); ++i)
        if (!needle.empty() && contains_any_case(entries[i], needle, at)) {
          found = i;
          missed = false;
          return;
        }
      missed = !needle.empty();
    };
    const auto show = [&] {
      LineView v = view();
      const std::string shown = found < entries.size() ? entries[found] : before;
      v.text = shown;
      if (found < entries.size() && contains_any_case(shown, needle, v.mark_offset)) v.mark_length = needle.size();
      v.cursor = found < entries.size() ? v.mark_offset : shown.size();
      v.below = {"search the history: " + needle + (missed ? "   (no question has that)" : ""), "Ctrl-R older · Enter asks · ESC edits · Ctrl-G back"};
      draw(v);
    };
    while (true) {
      const int c = byte(show);
      if (c < 0 && Http::interrupted()) Http::clear_interrupt();  // Ctrl-C ends the search alone
      if (c < 0 || c == kCtrlG || c == kCtrlC) return CC_REFRESH;
      if (c == kCtrlR) {
        look(found == SIZE_MAX ? 0 : found + 1);
      } else if (c == kDelete || c == '\b') {
        while (!needle.empty() && (static_cast<unsigned char>(needle.back()) & 0xc0) == 0x80) needle.pop_back();
        if (!needle.empty()) needle.pop_back();
        found = SIZE_MAX;
        look(0);
      } else if (c >= 0x20) {
        needle += static_cast<char>(c);
        if (found == SIZE_MAX || !contains_any_case(entries[found], needle, at)) look(found == SIZE_MAX ? 0 : found);
      } else {
        // Anything else takes the question into the line; Enter asks it at once.
        while (c == kEscape && more_is_typed() && byte(nullptr) >= 0) {
        }
        if (found < entries.size()) {
          replace_text(entries[found]);
          if (c == '\r' || c == '\n') return on_enter(edit, 0);
        }
        return CC_REFRESH;
      }
    }
  }

  static char* no_prompt(EditLine*) {
    static char nothing[] = "";
    return nothing;
  }
  void set_up_libedit();
};

void LineEditor::State::set_up_libedit() {
  nowhere = std::fopen("/dev/null", "w");
  if (nowhere == nullptr) return;
  edit = el_init_fd("sluice", stdin, nowhere, stderr, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);
  if (edit == nullptr) return;
  el_set(edit, EL_CLIENTDATA, this);
  el_set(edit, EL_PROMPT, no_prompt);
  el_set(edit, EL_EDITOR, "emacs");
  el_set(edit, EL_SIGNAL, 0);
  el_set(edit, EL_HIST, ::history, history);
  el_source(edit, nullptr);  // ~/.editrc, for those who have one; before what is bound here, since `bind -v` in it forgets all
  el_wset(edit, EL_GETCFN, next_character);

  const struct {
    const char *name, *about;
    unsigned char (*function)(EditLine*, int);
  } functions[] = {{"sluice-enter", "Ask, or go on in the next line", on_enter},
                   {"sluice-new-line", "Go on in the next line", on_new_line},
                   {"sluice-up", "The line above, or an older question", on_up},
                   {"sluice-down", "The line below, or a newer question", on_down},
                   {"sluice-right", "To the right, or take the suggestion", on_right},
                   {"sluice-line-end", "To the end of the line, or take the suggestion", on_line_end},
                   {"sluice-clear", "Clear the screen", on_clear},
                   {"sluice-paste", "Take pasted text as it is", on_paste},
                   {"sluice-complete", "Complete the word before the cursor", on_tab},
                   {"sluice-complete-back", "The completion before", on_back_tab},
                   {"sluice-search", "Search the history", on_search}};
  for (const auto& f : functions) el_set(edit, EL_ADDFN, f.name, f.about, f.function);
  const char* keys[][2] = {{"^I", "sluice-complete"}, {"^M", "sluice-enter"}, {"^J", "sluice-enter"}, {"^R", "sluice-search"}, {"^L", "sluice-clear"}};
  const char* editor = nullptr;
  el_get(edit, EL_EDITOR, &editor);
  const bool vi = editor != nullptr && std::string_view(editor) == "vi";
  for (const auto& [key, function] : keys) {
    el_set(edit, EL_BIND, key, function, nullptr);
    if (vi && std::string_view(key) != "^I") el_set(edit, EL_BIND, "-a", key, function, nullptr);
  }
  if (vi) {
    // ESC leaves vi's insert mode at once, so that nothing else may begin with it there; arrows then are keys of the command mode.
    const char* commands[][2] = {{"k", "sluice-up"}, {"j", "sluice-down"}, {"[A", "sluice-up"}, {"[B", "sluice-down"}};
    for (const auto& [key, function] : commands) el_set(edit, EL_BIND, "-a", key, function, nullptr);
    return;
  }
  // Keys of terminals that speak xterm, with and without their application mode.
  const char* sequences[][2] = {{"\033[A", "sluice-up"},         {"\033OA", "sluice-up"},        {"^P", "sluice-up"},
                                {"\033[B", "sluice-down"},       {"\033OB", "sluice-down"},      {"^N", "sluice-down"},
                                {"\033[C", "sluice-right"},      {"\033OC", "sluice-right"},     {"^F", "sluice-right"},
                                {"\033[F", "sluice-line-end"},   {"\033OF", "sluice-line-end"},  {"\033[4~", "sluice-line-end"},
                                {"^E", "sluice-line-end"},       {"\033[H", "ed-move-to-beg"},   {"\033OH", "ed-move-to-beg"},
                                {"\033[1~", "ed-move-to-beg"},   {"\033[3~", "ed-delete-next-char"},
                                {"\033[1;5C", "em-next-word"},   {"\033[1;5D", "ed-prev-word"},  {"\033[1;3C", "em-next-word"},
                                {"\033[1;3D", "ed-prev-word"},   {"\033[Z", "sluice-complete-back"},
                                {"\033^M", "sluice-new-line"},   {"\033^J", "sluice-new-line"},
                                {"\033[200~", "sluice-paste"}};
  for (const auto& [key, function] : sequences) el_set(edit, EL_BIND, key, function, nullptr);
  paste = true;
}

LineEditor::LineEditor(std::string history_file, Hooks hooks, bool colour) : state_(new State) {
  state_->history_file = std::move(history_file);
  state_->hooks = std::move(hooks);
  state_->colour = colour;
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, limits::kHistoryEntries);
  history(state_->history, &event, H_SETUNIQUE, 1);
  if (const HistoryFile file(state_->history_file); file.stream() != nullptr) {
    // Others append to it while this prompt is open. When it has grown to twice of what is kept, the oldest go; what is no history, or damaged, is begun
    // anew with what could be read, as nothing behind it would be read again.
    const int read = history(state_->history, &event, H_LOAD, state_->history_file.c_str());
    if (read < 0 || read > 2 * limits::kHistoryEntries) {
      // Beside it and then in its place, so that an end in between costs nothing.
      const std::string fresh = state_->history_file + ".new";
      const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      FILE* const out = fd < 0 ? nullptr : ::fdopen(fd, "w");
      if (out != nullptr) {
        const bool written = history(state_->history, &event, H_SAVE_FP, out) >= 0;
        if (std::fclose(out) == 0 && written) ::rename(fresh.c_str(), state_->history_file.c_str());
      } else if (fd >= 0) {
        ::close(fd);
      }
    }
  }
  if (!can_draw()) return;
  state_->set_up_libedit();
  // No SA_RESTART: a change of the window's size ends the wait for a key, and the text is drawn anew.
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGWINCH, &action, nullptr);
}

LineEditor::~LineEditor() {
  if (state_->edit != nullptr) el_end(state_->edit);
  history_end(state_->history);
  if (state_->nowhere != nullptr) std::fclose(state_->nowhere);
  delete state_;
}

LineEditor::Outcome LineEditor::read(const std::string& prompt, const std::string& more, std::string& text) {
  State& s = *state_;
  text.clear();
  std::fflush(stdout);
  if (s.edit == nullptr) {
    while (true) {
      write_all(text.empty() ? prompt : more);
      std::string line;
      int c = 0;
      while ((c = s.byte(nullptr)) >= 0 && c != '\n') line += static_cast<char>(c);
      if (c < 0 && Http::interrupted()) {
        Http::clear_interrupt();
        write_all("\n");
        return Outcome::interrupted;
      }
      if (c < 0 && line.empty() && text.empty()) {
        write_all("\n");
        return Outcome::end;
      }
      text += line;
      if (c < 0 || s.hooks.finished(text)) return Outcome::text;
      text += '\n';
    }
  }
  s.prompt = prompt;
  s.more = more;
  s.entries.clear();
  HistEvent event;
  for (int r = history(s.history, &event, H_FIRST); r != -1; r = history(s.history, &event, H_NEXT)) {
    std::string entry = event.str;
    while (entry.ends_with('\n')) entry.pop_back();
    s.entries.push_back(std::move(entry));
  }
  s.entry = SIZE_MAX;
  s.completion.items.clear();
  if (s.paste) write_all(kPasteOn);
  int count = 0;
  const char* got = el_gets(s.edit, &count);
  const std::string now = got != nullptr && count > 0 ? std::string(got, static_cast<size_t>(count)) : s.text();
  if (s.paste) write_all(kPasteOff);
  if (Http::interrupted()) {
    Http::clear_interrupt();
    s.leave(now + "^C");
    el_reset(s.edit);
    return Outcome::interrupted;
  }
  text = now;
  if (text.ends_with('\n')) text.pop_back();
  s.leave(text);
  return got == nullptr || count <= 0 ? Outcome::end : Outcome::text;
}

void LineEditor::remember(const std::string& text) {
  HistEvent event;
  if (history(state_->history, &event, H_ENTER, text.c_str()) < 1) return;  // as the one before
  if (const HistoryFile file(state_->history_file); file.stream() != nullptr) {
    std::fseek(file.stream(), 0, SEEK_END);
    history(state_->history, &event, H_NSAVE_FP, size_t{0}, file.stream());  // from the latest on, and so many before it
  }
}

bool LineEditor::draws() const { return state_->edit != nullptr; }

bool LineEditor::has_history() const {
  HistEvent event;
  return history(state_->history, &event, H_FIRST) != -1;
}

}  // namespace sluice::client
