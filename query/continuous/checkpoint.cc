#include "query/continuous/checkpoint.h"

#include <charconv>

#include "query/continuous/limits.h"

namespace sluice::query::continuous {
namespace {

constexpr std::string_view kVersion = "1";

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
  std::string text(kVersion);
  text += ' ' + std::to_string(checkpoint.told_before);
  for (const auto& m : checkpoint.marks) {
    text += ' ' + std::to_string(m.key);
    text += ':' + std::to_string(m.time);
    text += ':' + std::to_string(m.mask);
    text += ':' + std::to_string(m.count);
  }
  return text;
}

std::optional<Checkpoint> checkpoint_of(std::string_view text) {
  if (!text.starts_with(kVersion)) return std::nullopt;
  text.remove_prefix(kVersion.size());
  if (!text.starts_with(' ')) return std::nullopt;
  text.remove_prefix(1);
  Checkpoint out;
  if (!take_number(text, ' ', out.told_before)) return std::nullopt;
  while (!text.empty()) {
    Checkpoint::Mark m;
    if (out.marks.size() >= limits::kRuleMarksMax) return std::nullopt;
    if (!take_number(text, ':', m.key) || text.empty() || !take_number(text, ':', m.time) || text.empty() || !take_number(text, ':', m.mask) || text.empty() ||
        !take_number(text, ' ', m.count))
      return std::nullopt;
    out.marks.push_back(m);
  }
  return out;
}

}  // namespace sluice::query::continuous
