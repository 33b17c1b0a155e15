#include "grammar/syntax.h"

namespace sluice::grammar {

std::string Name::text() const {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += '.';
    joined += part;
  }
  return joined;
}

bool Bracketed::operator==(const Bracketed& other) const { return items == other.items; }

bool StageArg::is_word(std::string_view word) const {
  if (const auto* keyword = std::get_if<Keyword>(&node)) return keyword->text == word;
  const auto* expr = std::get_if<ExprPtr>(&node);
  const Name* name = expr == nullptr ? nullptr : (*expr)->as<Name>();
  if (name == nullptr || name->quoted || name->parts.size() != 1 || name->parts[0].size() != word.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    const char c = name->parts[0][i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != word[i]) return false;
  }
  return true;
}

}  // namespace sluice::grammar
