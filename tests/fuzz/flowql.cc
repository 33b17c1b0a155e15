// Any bytes: parse() must answer, and what it accepts must survive being printed and parsed again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "grammar/parse.h"
#include "grammar/print.h"

namespace {

void check(bool holds, const char* what, std::string_view text, std::string_view canonical) {
  if (holds) return;
  std::fprintf(stderr, "%s\n  text:      %.*s\n  canonical: %.*s\n", what, static_cast<int>(text.size()), text.data(),
               static_cast<int>(canonical.size()), canonical.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::grammar;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParseResult result = parse(text);
  if (const auto* error = std::get_if<SyntaxError>(&result)) {
    check(!error->message.empty(), "an error without a message", text, "");
    check(error->span.offset <= text.size() && error->span.end() <= text.size(), "an error outside the text", text, "");
    check(!caret_view(text, error->span).empty(), "no view of an error", text, "");
  } else {
    const Statement& tree = std::get<Statement>(result);
    const std::string canonical = print(tree);
    const ParseResult again = parse(canonical);
    check(std::holds_alternative<Statement>(again), "the canonical text is refused", text, canonical);
    check(std::get<Statement>(again) == tree, "the canonical text says something else", text, canonical);
    check(print(std::get<Statement>(again)) == canonical, "the canonical text is not canonical", text, canonical);
  }
  (void)parse_script(text);
  (void)parse_expression(text);
  return 0;
}
