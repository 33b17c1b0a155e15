// lookup: the columns of a context table beside each row.
//
// `lookup TABLE on KEY [as of TIME] [prefix WORD]`: of the table's blocks the longest that holds the address, of rows alike the last; null
// where there is none. Without `as of` the rows that are valid when the query runs, with it those that were at TIME (such as ts).
// `prefix` goes before the names of the columns, so that both sides can be looked up.
#include "grammar/nearest.h"
#include "query/context_table.h"
#include "query/stage.h"

namespace sluice::query {
namespace {

bool bind_lookup(StageBinder& binder) {
  const grammar::Span at = binder.args.place();
  const auto name = binder.args.name();
  if (!name) return binder.expected("the name of a table");
  const auto table = binder.table(*name, at);
  if (!table) return false;
  if (!binder.args.word("on")) return binder.expected("'on' and a key");
  const auto key = binder.args.expression();
  if (!key) return binder.expected("a key");
  NodePtr time;
  if (binder.args.words({"as", "of"})) {
    const auto expr = binder.args.expression();
    if (!expr) return binder.expected("a time such as ts");
    time = binder.value(**expr);
    if (!time) return false;
  }
  std::string prefix;
  if (binder.args.word("prefix")) {
    const auto word = binder.args.any_word();
    if (!word) return binder.expected("a word");
    prefix = word->text;
  }
  if (!binder.end()) return false;
  NodePtr node = binder.value(**key);
  if (!node) return false;
  auto row = make_lookup_row(table, std::move(node), std::move(time), binder.now());
  if (!row.ok()) return binder.fail((*key)->span, row.error().message);
  const auto row_slot = binder.add_slot("\001row of " + table->name(), (*row)->type);
  if (!row_slot) return false;
  std::vector<Computed> computed;
  computed.push_back({*row_slot, *row});
  const NodePtr found = make_slot(*row_slot, (*row)->type);
  for (size_t i = 0; i < table->values().size(); ++i) {
    const std::string column = prefix + table->values()[i].name;
    if (!binder.free_name(column, at)) return false;
    const auto slot = binder.add_column(column, table->values()[i].type);
    if (!slot) return false;
    computed.push_back({*slot, make_lookup_value(table, i, found)});
  }
  binder.push(make_compute(std::move(computed), binder.text()), false);
  return true;
}

constexpr std::string_view kLookupWords[] = {"on", "as of ts", "prefix"};

}  // namespace

namespace stage_detail {
extern const StageSpec kLookup{"lookup", "lookup TABLE on KEY [as of TIME] [prefix WORD]", "Adds what a context table says of a key", kLookupWords, bind_lookup};
}

}  // namespace sluice::query
