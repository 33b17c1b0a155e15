#include "grammar/nearest.h"

#include <algorithm>
#include <array>

#include "grammar/characters.h"

namespace sluice::grammar {
namespace {

constexpr size_t kLongestCompared = 64;

template <class Text>
std::optional<std::string_view> nearest_of(std::string_view name, std::span<const Text> candidates) {
  if (name.empty() || name.size() > kLongestCompared) return std::nullopt;
  // A third of the letters: 'wehre' finds 'where', 'cat' does not find 'top'.
  size_t limit = std::clamp<size_t>(name.size() / 3, 1, 3);
  std::optional<std::string_view> best;
  for (const Text& candidate : candidates) {
    const std::string_view other(candidate);
    if (other.empty() || other == name) continue;
    // One edit turns any word of one or two letters into any other.
    const size_t allowed = std::min(name.size(), other.size()) <= 2 ? 0 : limit;
    const size_t distance = edit_distance(name, other, allowed);
    if (distance > allowed) continue;
    best = other;
    if (distance == 0) break;
    limit = distance - 1;
  }
  return best;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit || b.size() > kLongestCompared) return limit + 1;
  // Three rows of the usual table; rows are characters of b, columns of a.
  std::array<size_t, kLongestCompared + 1> before{};
  std::array<size_t, kLongestCompared + 1> previous{};
  std::array<size_t, kLongestCompared + 1> current{};
  for (size_t j = 0; j <= a.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= b.size(); ++i) {
    current[0] = i;
    size_t least = i;
    for (size_t j = 1; j <= a.size(); ++j) {
      const bool same = lower(a[j - 1]) == lower(b[i - 1]);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[j - 1]) == lower(b[i - 2]) && lower(a[j - 2]) == lower(b[i - 1]))
        current[j] = std::min(current[j], before[j - 2] + 1);
      least = std::min(least, current[j]);
    }
    if (least > limit) return limit + 1;
    before = previous;
    previous = current;
  }
  return std::min(previous[a.size()], limit + 1);
}

std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> candidates) {
  return nearest_of(name, candidates);
}
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string> candidates) {
  return nearest_of(name, candidates);
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates) {
  const auto found = nearest(name, candidates);
  return found ? "did you mean '" + std::string(*found) + "'?" : "";
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 40;
  if (text.size() <= kMost) return "'" + std::string(text) + "'";
  size_t cut = kMost;
  while (cut > 0 && (static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80) --cut;
  return "'" + std::string(text.substr(0, cut)) + "…'";
}

}  // namespace sluice::grammar
