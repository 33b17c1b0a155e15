// join: beside each row, the rows of a sub-query that have the same keys.
//
// `join (QUERY) on KEY, …` is an inner join, one row for each pair, as in SQL. A KEY is a name that both sides have, or
// `MINE == THEIRS`. Null joins nothing. The sub-query covers the time range of the query around it unless it names one of
// its own. Its answer is kept whole, in the query's memory; the query's own rows pass by it.
#include "query/join.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

// A column of the sub-query by any of its names.
std::optional<size_t> table_column(const SubTable& table, const std::string& name) {
  for (size_t i = 0; i < table.columns.size(); ++i)
    if (equal_ignoring_case(table.columns[i].name, name)) return i;
  const auto meant = find_column(name);
  if (!meant) return std::nullopt;
  for (size_t i = 0; i < table.columns.size(); ++i)
    if (find_column(table.columns[i].name) == meant) return i;
  return std::nullopt;
}

bool bind_join(StageBinder& binder) {
  auto spec = std::make_shared<JoinSpec>();
  using Kind = JoinSpec::Kind;
  for (const auto& [word, kind] : {std::pair{"inner", Kind::inner}, {"left", Kind::left}, {"semi", Kind::semi}, {"anti", Kind::anti}})
    if (binder.args.word(word)) {
      spec->kind = kind;
      break;
    }
  const g::Query* query = binder.args.subquery();
  if (!query) return binder.expected("a query in parentheses");
  if (!binder.args.word("on")) return binder.expected("'on' and a key");
  const auto keys = binder.args.expressions();
  if (keys.empty()) return binder.expected("a key");
  if (!binder.end()) return false;
  spec->table = binder.subquery(*query, binder.range(), "join with");
  if (!spec->table) return false;

  std::vector<bool> is_key(spec->table->columns.size(), false);
  for (const auto& key : keys) {
    const g::Expr *mine = key.get(), *theirs = key.get();
    if (const auto* compare = key->as<g::Compare>(); compare && compare->op == g::CompareOp::kEqual) {
      mine = compare->left.get();
      theirs = compare->right.get();
    }
    const auto* name = theirs->as<g::Name>();
    if (!name) return binder.fail(theirs->span, "expected a column of the query in parentheses", "join … on KEY, or on MINE == THEIRS");
    NodePtr node = binder.value(*mine);
    if (!node) return false;
    const auto at = table_column(*spec->table, name->text());
    if (!at) {
      std::string hint = "it has";
      for (size_t i = 0; i < spec->table->columns.size() && i < 12; ++i) hint += (i == 0 ? " " : ", ") + spec->table->columns[i].name;
      return binder.fail(theirs->span, "the query in parentheses has no column '" + name->text() + "'", std::move(hint));
    }
    is_key[*at] = true;
    NodePtr other = make_slot(*at, spec->table->columns[*at].type);
    const auto type = common_type(node->type, other->type);
    if (!type)
      return binder.fail(key->span, "cannot join " + std::string(to_string(class_of(node->type.logical))) + " with " +
                                        std::string(to_string(class_of(other->type.logical))));
    if (node->slot() && (spec->kind == Kind::inner || spec->kind == Kind::semi)) binder.narrow_scan(spec->table, *node->slot(), *at);
    auto as_common = [&](NodePtr n) { return n->type.physical == type->physical ? n : make_cast(std::move(n), *type); };
    spec->keys.push_back(as_common(std::move(node)));
    spec->table_keys.push_back(as_common(std::move(other)));
  }
  if (spec->kind == Kind::inner || spec->kind == Kind::left)
    for (size_t i = 0; i < is_key.size(); ++i) {
      if (is_key[i]) continue;
      const OutputColumn& column = spec->table->columns[i];
      if (!binder.free_name(column.name, query->span)) return false;
      const auto slot = binder.add_column(column.name, column.type);
      if (!slot) return false;
      spec->added.push_back({i, *slot});
    }
  spec->text = binder.text();
  binder.push(make_join(std::move(spec), binder.run()), false);
  return true;
}

constexpr std::string_view kJoinWords[] = {"inner", "left", "semi", "anti", "(from flows", "on"};

}  // namespace

namespace stage_detail {
extern const StageSpec kJoin{"join", "join [inner|left|semi|anti] (QUERY) on KEY, …", "Adds the columns of a query that has the same keys", kJoinWords, bind_join};
}

}  // namespace sluice::query
