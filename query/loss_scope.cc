#include "query/loss_scope.h"

#include <algorithm>

namespace sluice::query {
namespace {

// What a condition says of lost rows of which little is known.
enum class Answer : uint8_t { no, maybe, yes };

Answer opposite(Answer a) { return a == Answer::maybe ? a : a == Answer::no ? Answer::yes : Answer::no; }

struct LostRows {
  const Column* source;    // one row; null: not known
  const Column* exporter;  // likewise; may be a null
};

Answer judge(const Predicate& p, const LostRows& rows) {
  switch (p.kind) {
    case Predicate::Kind::all: return Answer::yes;
    case Predicate::Kind::none: return Answer::no;
    case Predicate::Kind::negation: return opposite(judge(*p.children[0], rows));
    case Predicate::Kind::conjunction: {
      Answer all = Answer::yes;
      for (const auto& c : p.children) all = std::min(all, judge(*c, rows));
      return all;
    }
    case Predicate::Kind::disjunction: {
      Answer any = Answer::no;
      for (const auto& c : p.children) any = std::max(any, judge(*c, rows));
      return any;
    }
    case Predicate::Kind::test: {
      const Column* column = p.column == ColumnId::source ? rows.source : p.column == ColumnId::exporter_ip ? rows.exporter : nullptr;
      if (!column) return Answer::maybe;
      WorkMeter meter;
      uint8_t holds = 0;
      evaluate(p.test, *column, nullptr, meter, &holds);
      return holds ? Answer::yes : Answer::no;
    }
    case Predicate::Kind::expression: return Answer::maybe;
  }
  return Answer::maybe;
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
      return std::none_of(plan.conjuncts.begin(), plan.conjuncts.end(), [&](const Conjunct& c) { return judge(*c.predicate, rows) == Answer::no; });
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
