// Reading the arguments of a GenericStage, so that a new stage is one file in query/ and no change of the grammar.
//
//     StageArgs args(stage);                       // lookup assets on src_ip as of ts
//     auto table = args.name();                    // assets
//     if (!args.word("on")) return args.expected("'on' and a key");
//     auto keys = args.expressions();              // src_ip
//     if (args.words({"as", "of"})) column = args.expression();
//     if (!args.done()) return args.expected("the end of the stage");
//
// A cursor over one stage's arguments: each reader returns what stands next and steps past it, or returns nothing and
// stays. Borrows the stage; not for sharing between threads.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/parse.h"
#include "grammar/syntax.h"

namespace sluice::grammar {

class StageArgs {
 public:
  // `stage` must hold a GenericStage or a RenderStage.
  explicit StageArgs(const Stage& stage);
  // `after` names and places what stands before the arguments, for errors.
  StageArgs(std::span<const StageArg> arguments, const Keyword& after);

  bool done() const { return next_ == arguments_.size(); }
  const StageArg* peek() const { return done() ? nullptr : &arguments_[next_]; }
  void skip() { next_ += done() ? 0 : 1; }

  bool word(std::string_view word);                            // this word, lower case
  bool words(std::initializer_list<std::string_view> words);   // all of them in a row, or none
  std::optional<Keyword> any_word();                           // an unquoted one-part name or a keyword
  std::optional<Name> name();                                  // a name, possibly dotted or quoted
  std::optional<ExprPtr> expression();
  std::optional<ExprPtr> duration();                           // a DurationLiteral or Parameter
  std::optional<ExprPtr> count();                              // an IntegerLiteral or Parameter
  std::vector<ExprPtr> expressions();                          // EXPR, EXPR, …; empty if none stands here
  const Query* subquery();
  std::optional<std::span<const StageArg>> bracketed();
  bool comma();

  // The place of what stands next, or just after the last argument.
  Span place() const;
  // "expected WHAT after 'PREVIOUS'", at place().
  SyntaxError expected(std::string_view what) const;

 private:
  std::span<const StageArg> arguments_;
  Keyword before_;
  size_t next_ = 0;
};

}  // namespace sluice::grammar
