#include "query/loss_scope.h"

#include <algorithm>

namespace sluice::query {
namespace {

// What a condition says of lost rows of which little is known.
enum class Overlap : uint8_t { no, maybe, yes };

Overlap opposite(Overlap a) { return a == Overlap::maybe ? a : a == Overlap::no ? Overlap::yes : Overlap::no; }

struct LostRows {
  const Column* source;    // one row; null: not known
  const Column* exporter;  // likewise; may be a null
};

Overlap judge(const Predicate& p, const LostRows& rows) {
  switch (p.kind) {
    case Predicate::Kind::all: return Overlap::yes;
    case Predicate::Kind::none: return Overlap::no;
    case Predicate::Kind::negation: return opposite(judge(*p.children[0], rows));
    case Predicate::Kind::conjunction: {
      Overlap all = Overlap::yes;
      for (const auto& c : p.children) all = std::min(all, judge(*c, rows));
      return all;
    }
    case Predicate::Kind::disjunction: {
      Overlap any = Overlap::no;
      for (const auto& c : p.children) any = std::max(any, judge(*c, rows));
      return any;
    }
    case Predicate::Kind::test: {
      const Column* column = p.column == ColumnId::source ? rows.source : p.column == ColumnId::exporter_ip ? rows.exporter : nullptr;
      if (!column) return Overlap::maybe;
      WorkMeter meter;
      uint8_t holds = 0;
      evaluate(p.test, *column, nullptr, meter, &holds);
      return holds ? Overlap::yes : Overlap::no;
    }
    case Predicate::Kind::expression: return Overlap::maybe;
  }
  return Overlap::maybe;
}

}  // namespace

LossQuestion loss_question(const ScanPlan& plan, TimeRange range) {
  LossQuestion question;
  question.range = range;
  question.concerns = [&plan](std::span<const uint8_t> sources, const LostFrom& from) {
    std::optional<Column> exporter;
    if (from.exporter) {
      exporter.emplace(PhysicalType::Ip);
      exporter->append(*from.exporter);
    } else if (from.no_exporter) {
      exporter = Column::nulls(PhysicalType::Ip, 1);
    }
    const auto may_match = [&](const Column* source) {
      const LostRows rows{source, exporter ? &*exporter : nullptr};
      return std::none_of(plan.conjuncts.begin(), plan.conjuncts.end(), [&](const Conjunct& c) { return judge(*c.predicate, rows) == Overlap::no; });
    };
    if (sources.empty()) return may_match(nullptr);
    return std::any_of(sources.begin(), sources.end(), [&](uint8_t code) {
      Column source(PhysicalType::U8);
      source.append(code);
      return may_match(&source);
    });
  };
  return question;
}

}  // namespace sluice::query
