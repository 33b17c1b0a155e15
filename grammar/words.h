// The words FlowQL gives a meaning, for highlighting, completion and "did you mean". None of them is reserved: each
// means something only where its place calls for it.
#pragma once

#include <span>
#include <string_view>

namespace sluice::grammar {

// Stages with a node of their own in syntax.h, then the names that LANGUAGE.md gives to others (GenericStage).
// A stage that is not here parses all the same; the list only tells `| wehre` from a stage of another version.
std::span<const std::string_view> stage_names();
bool is_stage_name(std::string_view lower_case);

// What a stage is called elsewhere (KQL, SPL, ES|QL, SQL), as it is written here; empty: no such word is known.
std::string_view stage_of_elsewhere(std::string_view lower_case);

// The unit that a word for a stretch of time stands for: "m" for "minutes"; empty: none.
std::string_view duration_unit_of(std::string_view lower_case);

// What `show` takes.
std::span<const std::string_view> show_subjects();

// Operators and connecting words.
std::span<const std::string_view> operator_words();

}  // namespace sluice::grammar
