// Regular expressions in time linear in the text: a Pike machine over bytes, so that no pattern can be made to run away.
//
// Syntax: literals, `.` (any byte but newline), `[a-z]` `[^…]`, `\d \D \w \W \s \S`, `\b \B`, `^ $`, `( … )`, `(?: … )`, `|`,
// `* + ?` and `{m} {m,} {m,n}` (greedy or lazy; a match is a yes or no, so both mean the same except in captures), escapes
// `\n \t \r \xHH` and of any punctuation. No back-references, no look-around: those are what cannot be linear.
//
// A compiled Regex is immutable and may be used from any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/work_meter.h"
#include "storage/model/result.h"

namespace sluice::query {

class Regex {
 public:
  // Instructions of one program: bounds memory and the work for each byte of text. Repeats are expanded, so `(a{100}){100}`
  // is refused rather than run.
  static constexpr size_t kInstructionsMax = 4'096;
  static constexpr size_t kNestingMax = 64;

  // A pattern that begins with (?i) ignores case too.
  static Result<Regex> compile(std::string_view pattern, bool ignore_case);

  // Whether the pattern is found anywhere in the text. With a meter that stops: false, which then says nothing.
  bool found_in(std::string_view text, WorkMeter* meter = nullptr) const;
  // The text of group `group` (0: the whole match) of the leftmost match. A group that took no part is nullopt.
  std::optional<std::string_view> capture(std::string_view text, size_t group, WorkMeter* meter = nullptr) const;
  size_t groups() const { return groups_; }  // not counting the whole match

 private:
  friend class RegexCompiler;
  enum class Op : uint8_t { byte, any, set, split, jump, save, begin, end, word, not_word, match };
  struct Instruction {
    Op op;
    uint8_t byte = 0;
    uint32_t x = 0, y = 0;  // targets, set number or slot
  };
  template <bool kCapture>
  bool run(std::string_view text, std::vector<size_t>* saved, WorkMeter* meter) const;

  std::vector<Instruction> program_;
  std::vector<std::bitset<256>> sets_;
  size_t groups_ = 0;
  std::string literal_;  // what every match begins with, for a quick no; empty when not known
};

}  // namespace sluice::query
