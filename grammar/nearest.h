// "did you mean …": the known name nearest to a mistyped one.
//
// Optimal string alignment distance (Damerau-Levenshtein without overlapping swaps), ASCII case-insensitive. Pure, any
// thread; cost is bounded: names longer than 64 bytes are never compared.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::grammar {

// The number of single-character inserts, deletes, replacements and swaps of neighbours from a to b, or limit + 1 as
// soon as it is sure to be more than limit.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit);

// The candidate with the least distance, at most a third of the name's length (at least 1, at most 3); the first of
// equals. A candidate that differs by one edit but is a different word of 1 or 2 letters is no help and not offered.
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> candidates);
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string> candidates);

// "did you mean 'src_port'?" or "".
std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates);

// What somebody wrote, in quotes for a message: its first 40 bytes, whole characters, with "…" where that is not all.
std::string shown(std::string_view text);

}  // namespace sluice::grammar
