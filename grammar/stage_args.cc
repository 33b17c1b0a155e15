#include "grammar/stage_args.h"

namespace sluice::grammar {
namespace {

std::span<const StageArg> arguments_of(const Stage& stage) {
  if (const auto* generic = stage.as<GenericStage>()) return generic->arguments;
  if (const auto* render = stage.as<RenderStage>()) return render->arguments;
  return {};
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

}  // namespace

StageArgs::StageArgs(const Stage& stage) : arguments_(arguments_of(stage)), before_(stage.name) {}
StageArgs::StageArgs(std::span<const StageArg> arguments, const Keyword& after)
    : arguments_(arguments), before_(after) {}

bool StageArgs::word(std::string_view word) {
  if (done() || !arguments_[next_].is_word(word)) return false;
  ++next_;
  return true;
}

bool StageArgs::words(std::initializer_list<std::string_view> words) {
  const size_t start = next_;
  for (const std::string_view wanted : words) {
    if (word(wanted)) continue;
    next_ = start;
    return false;
  }
  return true;
}

std::optional<Keyword> StageArgs::any_word() {
  if (done()) return std::nullopt;
  const StageArg& arg = arguments_[next_];
  if (const auto* keyword = std::get_if<Keyword>(&arg.node)) {
    ++next_;
    return *keyword;
  }
  const auto* expr = std::get_if<ExprPtr>(&arg.node);
  const Name* name = expr == nullptr ? nullptr : (*expr)->as<Name>();
  if (name == nullptr || name->quoted || name->parts.size() != 1) return std::nullopt;
  ++next_;
  return Keyword{lower_case(name->parts[0]), name->span};
}

std::optional<Name> StageArgs::name() {
  if (done()) return std::nullopt;
  const auto* expr = std::get_if<ExprPtr>(&arguments_[next_].node);
  const Name* name = expr == nullptr ? nullptr : (*expr)->as<Name>();
  if (name == nullptr) return std::nullopt;
  ++next_;
  return *name;
}

std::optional<ExprPtr> StageArgs::expression() {
  if (done()) return std::nullopt;
  const auto* expr = std::get_if<ExprPtr>(&arguments_[next_].node);
  if (expr == nullptr) return std::nullopt;
  ++next_;
  return *expr;
}

std::optional<ExprPtr> StageArgs::duration() {
  const size_t start = next_;
  auto expr = expression();
  if (expr && ((*expr)->as<DurationLiteral>() || (*expr)->as<Parameter>())) return expr;
  next_ = start;
  return std::nullopt;
}

std::optional<ExprPtr> StageArgs::count() {
  const size_t start = next_;
  auto expr = expression();
  if (expr && ((*expr)->as<IntegerLiteral>() || (*expr)->as<Parameter>())) return expr;
  next_ = start;
  return std::nullopt;
}

std::vector<ExprPtr> StageArgs::expressions() {
  std::vector<ExprPtr> result;
  auto expr = expression();
  while (expr) {
    result.push_back(*expr);
    const size_t before_comma = next_;
    if (!comma()) break;
    expr = expression();
    if (!expr) next_ = before_comma;  // leave "KEY ," for the caller to complain about
  }
  return result;
}

const Query* StageArgs::subquery() {
  if (done()) return nullptr;
  const auto* subquery = std::get_if<Subquery>(&arguments_[next_].node);
  if (subquery == nullptr) return nullptr;
  ++next_;
  return subquery->query.get();
}

std::optional<std::span<const StageArg>> StageArgs::bracketed() {
  if (done()) return std::nullopt;
  const auto* group = std::get_if<Bracketed>(&arguments_[next_].node);
  if (group == nullptr) return std::nullopt;
  ++next_;
  return std::span<const StageArg>(group->items);
}

bool StageArgs::comma() {
  if (done() || !std::holds_alternative<Comma>(arguments_[next_].node)) return false;
  ++next_;
  return true;
}

Span StageArgs::place() const {
  if (!done()) return arguments_[next_].span;
  Span last = arguments_.empty() ? before_.span : arguments_.back().span;
  // Just past the last argument; exact unless that one spans lines.
  last.offset += last.length;
  last.column += last.length;
  last.length = 0;
  return last;
}

SyntaxError StageArgs::expected(std::string_view what) const {
  SyntaxError error;
  error.message = "expected " + std::string(what);
  error.message += next_ == 0 ? " after '" + before_.text + "'" : " in '" + before_.text + "'";
  error.span = place();
  error.expected = {std::string(what)};
  return error;
}

}  // namespace sluice::grammar
