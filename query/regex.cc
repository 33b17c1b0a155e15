#include "query/regex.h"

#include <algorithm>

namespace sluice::query {
namespace {

bool is_word(uint8_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_letter(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// \d \w \s and their opposites.
std::optional<std::bitset<256>> class_of_escape(char c) {
  std::bitset<256> set;
  switch (c | 0x20) {
    case 'd':
      for (int i = '0'; i <= '9'; ++i) set.set(static_cast<size_t>(i));
      break;
    case 'w':
      for (int i = 0; i < 256; ++i)
        if (is_word(static_cast<uint8_t>(i))) set.set(static_cast<size_t>(i));
      break;
    case 's':
      for (char space : {' ', '\t', '\n', '\r', '\f', '\v'}) set.set(static_cast<uint8_t>(space));
      break;
    default: return std::nullopt;
  }
  return c & 0x20 ? set : ~set;
}

}  // namespace

// Recursive descent straight to instructions. A fragment is a range of the program; a repeat copies its range.
class RegexCompiler {
 public:
  RegexCompiler(std::string_view pattern, bool ignore_case) : text_(pattern), ignore_case_(ignore_case) {
    if (!text_.starts_with(kIgnoreCase)) return;
    ignore_case_ = true;
    at_ = kIgnoreCase.size();
  }

  Result<Regex> compile() {
    emit({Regex::Op::save, 0, 0, 0});
    if (!alternation(0)) return failure();
    if (at_ < text_.size()) {
      fail("an unopened ')'");
      return failure();
    }
    emit({Regex::Op::save, 0, 1, 0});
    emit({Regex::Op::match});
    if (regex_.program_.size() > Regex::kInstructionsMax) fail("it is too large once its repeats are written out");
    if (!error_.empty()) return failure();
    for (size_t i = 1; i < regex_.program_.size() && regex_.program_[i].op == Regex::Op::byte && !ignore_case_; ++i)
      regex_.literal_ += static_cast<char>(regex_.program_[i].byte);
    return std::move(regex_);
  }

 private:
  using Op = Regex::Op;
  using Instruction = Regex::Instruction;
  static constexpr std::string_view kIgnoreCase = "(?i)";  // as elsewhere; and how `/…/i` travels as text

  Error failure() const {
    return Error{ErrorCode::parse, "bad regular expression: " + error_ + " at character " + std::to_string(at_ + 1)};
  }
  bool fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
    return false;
  }
  bool more() const { return at_ < text_.size(); }
  char peek() const { return text_[at_]; }
  size_t here() const { return regex_.program_.size(); }
  void emit(Instruction i) { regex_.program_.push_back(i); }

  bool alternation(size_t depth) {
    if (depth > Regex::kNestingMax) return fail("groups nested deeper than " + std::to_string(Regex::kNestingMax));
    const size_t start = here();
    if (!sequence(depth)) return false;
    std::vector<size_t> exits;
    while (more() && peek() == '|') {
      ++at_;
      // split L1, L2; L1: what came before; jump end; L2: the next branch
      insert_at(start, {Op::split, 0, static_cast<uint32_t>(start + 1), 0}, exits);
      exits.push_back(here());
      emit({Op::jump});
      regex_.program_[start].y = static_cast<uint32_t>(here());
      if (!sequence(depth)) return false;
    }
    for (size_t e : exits) regex_.program_[e].x = static_cast<uint32_t>(here());
    return true;
  }

  // Shifts what stands at and after `at` by one; targets inside move along.
  void insert_at(size_t at, Instruction instruction, std::vector<size_t>& marks) {
    auto& program = regex_.program_;
    for (size_t i = at; i < program.size(); ++i)
      if (program[i].op == Op::split || program[i].op == Op::jump) {
        if (program[i].x >= at) ++program[i].x;
        if (program[i].op == Op::split && program[i].y >= at) ++program[i].y;
      }
    program.insert(program.begin() + static_cast<ptrdiff_t>(at), instruction);
    for (size_t& m : marks) ++m;
  }

  bool sequence(size_t depth) {
    while (more() && peek() != '|' && peek() != ')') {
      const size_t start = here();
      if (!atom(depth)) return false;
      if (!repeats(start)) return false;
      if (here() > Regex::kInstructionsMax) return fail("it is too large once its repeats are written out");
    }
    return true;
  }

  bool repeats(size_t start) {
    while (more()) {
      uint32_t least = 0, most = 0;
      const char c = peek();
      constexpr uint32_t kEndless = UINT32_MAX;
      if (c == '*') {
        most = kEndless;
        ++at_;
      } else if (c == '+') {
        least = 1, most = kEndless;
        ++at_;
      } else if (c == '?') {
        most = 1;
        ++at_;
      } else if (c == '{' && bounds(least, most)) {
        if (most < least) return fail("a repeat whose end is before its start");
      } else {
        return error_.empty();
      }
      if (more() && peek() == '?') ++at_;  // lazy: the same for a yes or no
      if (!repeat(start, least, most == kEndless ? std::nullopt : std::optional(most))) return false;
    }
    return true;
  }

  // {m}, {m,}, {m,n}; anything else after '{' is a literal brace.
  bool bounds(uint32_t& least, uint32_t& most) {
    size_t i = at_ + 1;
    auto number = [&](uint32_t& out) {
      const size_t begin = i;
      uint64_t n = 0;
      while (i < text_.size() && text_[i] >= '0' && text_[i] <= '9') n = std::min<uint64_t>(n * 10 + static_cast<uint64_t>(text_[i++] - '0'), 100'000);
      out = static_cast<uint32_t>(n);
      return i > begin;
    };
    if (!number(least)) return false;
    most = least;
    if (i < text_.size() && text_[i] == ',') {
      ++i;
      if (!number(most)) most = UINT32_MAX;
    }
    if (i >= text_.size() || text_[i] != '}') return false;
    at_ = i + 1;
    return true;
  }

  bool repeat(size_t start, uint32_t least, std::optional<uint32_t> most) {
    auto& program = regex_.program_;
    const std::vector<Instruction> body(program.begin() + static_cast<ptrdiff_t>(start), program.end());
    const size_t copies = std::max<size_t>({least, most.value_or(1), 1});
    if (copies * (body.size() + 1) + start > Regex::kInstructionsMax) return fail("it is too large once its repeats are written out");
    program.resize(start);
    auto copy = [&] {
      const size_t shift = here() - start;
      for (Instruction i : body) {
        if (i.op == Op::split || i.op == Op::jump) i.x += static_cast<uint32_t>(shift);
        if (i.op == Op::split) i.y += static_cast<uint32_t>(shift);
        emit(i);
      }
    };
    for (uint32_t i = 0; i < least; ++i) copy();
    if (!most) {  // L: split body, out; body; jump L
      const size_t loop = here();
      emit({Op::split, 0, static_cast<uint32_t>(loop + 1), 0});
      copy();
      emit({Op::jump, 0, static_cast<uint32_t>(loop), 0});
      program[loop].y = static_cast<uint32_t>(here());
    } else {
      std::vector<size_t> splits;
      for (uint32_t i = least; i < *most; ++i) {
        splits.push_back(here());
        emit({Op::split, 0, static_cast<uint32_t>(here() + 1), 0});
        copy();
      }
      for (size_t s : splits) program[s].y = static_cast<uint32_t>(here());
    }
    return true;
  }

  void emit_byte(uint8_t c) {
    if (ignore_case_ && is_letter(c)) {
      std::bitset<256> both;
      both.set(c | 0x20);
      both.set(c & ~0x20);
      return emit_set(both);
    }
    emit({Op::byte, c});
  }
  void emit_set(std::bitset<256> set) {
    if (ignore_case_)
      for (size_t c = 'a'; c <= 'z'; ++c)
        if (set[c] || set[c - 32]) set.set(c), set.set(c - 32);
    regex_.sets_.push_back(set);
    emit({Op::set, 0, static_cast<uint32_t>(regex_.sets_.size() - 1), 0});
  }

  bool atom(size_t depth) {
    const char c = text_[at_++];
    switch (c) {
      case '.': emit({Op::any}); return true;
      case '^': emit({Op::begin}); return true;
      case '$': emit({Op::end}); return true;
      case '*':
      case '+':
      case '?': --at_; return fail("a repeat with nothing before it");
      case '[': return set();
      case '(': {
        bool captures = true;
        if (text_.substr(at_, 2) == "?:")
          at_ += 2, captures = false;
        else if (more() && peek() == '?')
          return fail("a group of a kind that is not supported");
        const auto slot = static_cast<uint32_t>(captures ? ++regex_.groups_ * 2 : 0);
        if (captures && regex_.groups_ > 32) return fail("more than 32 groups");
        if (captures) emit({Op::save, 0, slot, 0});
        if (!alternation(depth + 1)) return false;
        if (!more()) return fail("a '(' without its ')'");
        ++at_;
        if (captures) emit({Op::save, 0, slot + 1, 0});
        return true;
      }
      case '\\': return escape();
      default: emit_byte(static_cast<uint8_t>(c)); return true;
    }
  }

  bool escape() {
    if (!more()) return fail("a '\\' with nothing after it");
    const char c = peek();
    if (const auto set = class_of_escape(c)) {
      ++at_;
      emit_set(*set);
      return true;
    }
    if (c == 'b' || c == 'B') {
      ++at_;
      emit({c == 'b' ? Op::word : Op::not_word});
      return true;
    }
    uint8_t byte = 0;
    if (!escaped_byte(byte)) return false;
    emit_byte(byte);
    return true;
  }

  bool escaped_byte(uint8_t& byte) {
    const char c = text_[at_++];
    switch (c) {
      case 'n': byte = '\n'; return true;
      case 't': byte = '\t'; return true;
      case 'r': byte = '\r'; return true;
      case 'f': byte = '\f'; return true;
      case 'v': byte = '\v'; return true;
      case 'x': {
        unsigned value = 0;
        for (int i = 0; i < 2; ++i) {
          const int digit = more() ? hex(peek()) : -1;
          if (digit < 0) return fail("\\x without two hexadecimal digits");
          value = value * 16 + static_cast<unsigned>(digit);
          ++at_;
        }
        byte = static_cast<uint8_t>(value);
        return true;
      }
      default:
        if (is_word(static_cast<uint8_t>(c)) && c != '_') {
          --at_;
          return fail(std::string("an escape that is not supported: \\") + c);
        }
        byte = static_cast<uint8_t>(c);
        return true;
    }
  }
  static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }

  bool set() {
    std::bitset<256> set;
    const bool negated = more() && peek() == '^';
    if (negated) ++at_;
    bool first = true;
    while (true) {
      if (!more()) return fail("a '[' without its ']'");
      if (peek() == ']' && !first) break;
      first = false;
      uint8_t low = 0;
      if (!member(set, low)) {
        if (!error_.empty()) return false;
        continue;  // a whole class
      }
      uint8_t high = low;
      if (at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']') {
        ++at_;
        if (!member(set, high)) return fail("a range that ends in a class");
        if (high < low) return fail("a range whose end is before its start");
      }
      for (unsigned c = low; c <= high; ++c) set.set(c);
    }
    ++at_;
    if (ignore_case_)  // before the negation, or [^a] would match 'a' as 'A'
      for (size_t c = 'a'; c <= 'z'; ++c)
        if (set[c] || set[c - 32]) set.set(c), set.set(c - 32);
    emit_set(negated ? ~set : set);
    return true;
  }
  // One byte into `byte` (true), or a class into `set` (false).
  bool member(std::bitset<256>& set, uint8_t& byte) {
    if (peek() != '\\') {
      byte = static_cast<uint8_t>(text_[at_++]);
      return true;
    }
    ++at_;
    if (!more()) return fail("a '\\' with nothing after it");
    if (const auto escape_class = class_of_escape(peek())) {
      ++at_;
      set |= *escape_class;
      return false;
    }
    return escaped_byte(byte);
  }

  std::string_view text_;
  bool ignore_case_;
  size_t at_ = 0;
  std::string error_;
  Regex regex_;
};

Result<Regex> Regex::compile(std::string_view pattern, bool ignore_case) { return RegexCompiler(pattern, ignore_case).compile(); }

// Threads in order of priority; each instruction is in a list at most once, so a step costs at most the program's length.
template <bool kCapture>
bool Regex::run(std::string_view text, std::vector<size_t>* saved, WorkMeter* meter) const {
  constexpr size_t kUnset = SIZE_MAX;
  const size_t slots = kCapture ? (groups_ + 1) * 2 : 0;
  struct List {
    std::vector<uint32_t> threads;
    std::vector<size_t> slots;  // per thread
  };
  List now, next;
  std::vector<uint32_t> seen(program_.size(), 0);
  uint32_t generation = 0;
  std::vector<size_t> current(slots, kUnset);
  struct Pending {
    uint32_t pc;
    uint32_t restore = UINT32_MAX;  // a slot to restore instead of a pc to visit
    size_t old = 0;
  };
  std::vector<Pending> stack;
  uint64_t steps = program_.size() / 16;  // the tables above have to be cleared

  auto add = [&](List& list, uint32_t start, size_t position) {
    stack.push_back({start});
    while (!stack.empty()) {
      const Pending p = stack.back();
      stack.pop_back();
      ++steps;
      if (p.restore != UINT32_MAX) {
        current[p.restore] = p.old;
        continue;
      }
      if (seen[p.pc] == generation) continue;
      seen[p.pc] = generation;
      const Instruction& i = program_[p.pc];
      switch (i.op) {
        case Op::jump: stack.push_back({i.x}); break;
        case Op::split:
          stack.push_back({i.y});
          stack.push_back({i.x});
          break;
        case Op::save:
          if constexpr (kCapture) {
            stack.push_back({0, i.x, current[i.x]});
            current[i.x] = position;
          }
          stack.push_back({p.pc + 1});
          break;
        case Op::begin:
          if (position == 0) stack.push_back({p.pc + 1});
          break;
        case Op::end:
          if (position == text.size()) stack.push_back({p.pc + 1});
          break;
        case Op::word:
        case Op::not_word: {
          const bool before = position > 0 && is_word(static_cast<uint8_t>(text[position - 1]));
          const bool after = position < text.size() && is_word(static_cast<uint8_t>(text[position]));
          if ((before != after) == (i.op == Op::word)) stack.push_back({p.pc + 1});
          break;
        }
        default:
          list.threads.push_back(p.pc);
          if constexpr (kCapture) list.slots.insert(list.slots.end(), current.begin(), current.end());
      }
    }
  };

  bool matched = false;
  for (size_t position = 0; position <= text.size(); ++position) {
    // The threads of `now` came from the step before; a new attempt starts here unless a match is known already. Both
    // share one generation, so that an instruction is still in the list only once.
    if (position == 0) ++generation;
    if (!matched) {
      std::fill(current.begin(), current.end(), kUnset);
      add(now, 0, position);
    }
    if (now.threads.empty() && matched) break;
    steps += now.threads.size() + 1;
    if (meter && !meter->spend(steps)) return false;
    steps = 0;
    ++generation;
    next.threads.clear();
    next.slots.clear();
    for (size_t t = 0; t < now.threads.size(); ++t) {
      const uint32_t pc = now.threads[t];
      const Instruction& i = program_[pc];
      if (i.op == Op::match) {
        matched = true;
        if constexpr (!kCapture) return true;
        saved->assign(now.slots.begin() + static_cast<ptrdiff_t>(t * slots), now.slots.begin() + static_cast<ptrdiff_t>((t + 1) * slots));
        break;  // threads of lower priority are cut off
      }
      if (position == text.size()) continue;
      const auto c = static_cast<uint8_t>(text[position]);
      const bool eats = i.op == Op::byte ? c == i.byte : i.op == Op::any ? c != '\n' : sets_[i.x][c];
      if (!eats) continue;
      if constexpr (kCapture)
        std::copy_n(now.slots.begin() + static_cast<ptrdiff_t>(t * slots), slots, current.begin());
      add(next, pc + 1, position + 1);
    }
    std::swap(now, next);
  }
  return matched;
}

bool Regex::found_in(std::string_view text, WorkMeter* meter) const {
  if (meter && !meter->spend(text.size() / 16 + 1)) return false;
  if (!literal_.empty() && text.find(literal_) == std::string_view::npos) return false;
  return run<false>(text, nullptr, meter);
}

std::optional<std::string_view> Regex::capture(std::string_view text, size_t group, WorkMeter* meter) const {
  std::vector<size_t> saved;
  if (group > groups_ || !run<true>(text, &saved, meter)) return std::nullopt;
  const size_t from = saved[group * 2], to = saved[group * 2 + 1];
  if (from == SIZE_MAX || to == SIZE_MAX || to < from) return std::nullopt;
  return text.substr(from, to - from);
}

}  // namespace sluice::query
