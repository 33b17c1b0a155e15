#include "query/continuous/checkpoint.h"

#include <charconv>

#include "query/continuous/limits.h"

namespace sluice::query::continuous {
namespace {

constexpr std::string_view kPlain = "1", kWithHeld = "2";

// The number in front of `text`, which must end with `behind` or with the text; both are taken off.
template <typename T>
bool take_number(std::string_view& text, char behind, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end == text.data()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return true;
  if (text.front() != behind) return false;
  text.remove_prefix(1);
  return !text.empty();
}

}  // namespace

std::string to_text(const Checkpoint& checkpoint) {
  std::string text(checkpoint.held.empty() ? kPlain : kWithHeld);
  text += ' ' + std::to_string(checkpoint.told_before);
  for (const auto& m : checkpoint.marks) {
    text += ' ' + std::to_string(m.key);
    text += ':' + std::to_string(m.time);
    text += ':' + std::to_string(m.mask);
    text += ':' + std::to_string(m.count);
  }
  for (const auto& h : checkpoint.held) {
    text += " w" + std::to_string(h.window);
    text += ':' + std::to_string(h.key);
  }
  return text;
}

std::optional<Checkpoint> checkpoint_of(std::string_view text) {
  const bool has_held = text.starts_with(kWithHeld);
  if (!has_held && !text.starts_with(kPlain)) return std::nullopt;
  text.remove_prefix(1);
  if (!text.starts_with(' ')) return std::nullopt;
  text.remove_prefix(1);
  Checkpoint out;
  if (!take_number(text, ' ', out.told_before)) return std::nullopt;
  while (!text.empty() && !text.starts_with('w')) {
    Checkpoint::Mark m;
    if (out.marks.size() >= limits::kRuleMarksMax) return std::nullopt;
    if (!take_number(text, ':', m.key) || text.empty() || !take_number(text, ':', m.time) || text.empty() || !take_number(text, ':', m.mask) || text.empty() ||
        !take_number(text, ' ', m.count))
      return std::nullopt;
    out.marks.push_back(m);
  }
  if (has_held == text.empty()) return std::nullopt;
  while (!text.empty()) {
    Checkpoint::Held h;
    if (!text.starts_with('w') || out.held.size() >= limits::kRuleHeldKeysMax) return std::nullopt;
    text.remove_prefix(1);
    if (!take_number(text, ':', h.window) || text.empty() || !take_number(text, ' ', h.key)) return std::nullopt;
    out.held.push_back(h);
  }
  return out;
}

}  // namespace sluice::query::continuous
