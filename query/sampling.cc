#include "query/sampling.h"

#include <algorithm>
#include <unordered_map>

namespace sluice::query {
namespace {

using RuleList = std::vector<const SamplingRule*>;

uint64_t number_at(const ColumnPtr& column, size_t row, uint64_t otherwise) {
  return column && !column->is_null(row) ? column->uint_at(row) : otherwise;
}

}  // namespace

bool may_correct(const SamplingRules& rules, TimestampNs first, TimestampNs last) {
  return std::ranges::any_of(rules, [&](const SamplingRule& r) { return r.range.meets(first, last); });
}

Result<ColumnPtr> corrected_rates(const SamplingRules& rules, ColumnPtr stored, size_t rows, const ColumnReader& read, EvalContext& context) {
  if (rules.empty() || rows == 0) return stored;
  SLUICE_ASSIGN(const ColumnPtr exporters, read(ColumnId::exporter_ip));
  if (!exporters) return stored;
  // Exporters are few: their rules are looked up once each.
  std::unordered_map<IpAddress, RuleList, IpHash> by_exporter;
  std::vector<const RuleList*> row_rules(rows);
  bool any = false, by_domain = false, by_interface = false;
  IpAddress last_ip;
  const RuleList* last = nullptr;
  for (size_t i = 0; i < rows; ++i) {
    if (exporters->is_null(i)) continue;
    const IpAddress ip = exporters->ip_at(i);
    if (!last || ip != last_ip) {
      const auto [found, added] = by_exporter.try_emplace(ip);
      if (added)
        for (auto r = rules.rbegin(); r != rules.rend(); ++r) {
          if (!r->exporter.contains(ip)) continue;
          found->second.push_back(&*r);
          by_domain |= r->domain.has_value();
          by_interface |= r->interface.has_value();
        }
      last_ip = ip;
      last = &found->second;
    }
    row_rules[i] = last;
    any |= !last->empty();
  }
  if (!any) return stored;

  SLUICE_ASSIGN(const ColumnPtr ends, read(ColumnId::flow_end));
  ColumnPtr domains, inputs, outputs, directions;
  if (by_domain) {
    SLUICE_ASSIGN(domains, read(ColumnId::observation_domain));
  }
  if (by_interface) {
    SLUICE_ASSIGN(inputs, read(ColumnId::input_if));
    SLUICE_ASSIGN(outputs, read(ColumnId::output_if));
    SLUICE_ASSIGN(directions, read(ColumnId::direction));
  }
  constexpr auto kEgress = static_cast<uint64_t>(Direction::egress);
  constexpr uint64_t kNone = UINT64_MAX;
  std::vector<uint32_t> out(rows);
  Bitmap valid(rows);
  bool changed = false, nulls = false;
  for (size_t i = 0; i < rows; ++i) {
    const bool known = stored && !stored->is_null(i);
    uint64_t rate = known ? stored->uint_at(i) : 0;
    bool has = known;
    if (row_rules[i] && !row_rules[i]->empty() && ends && !ends->is_null(i)) {
      const TimestampNs end = ends->int_at(i);
      const uint64_t domain = number_at(domains, i, kNone);
      const uint64_t interface = number_at(number_at(directions, i, kNone) == kEgress ? outputs : inputs, i, kNone);
      for (const SamplingRule* r : *row_rules[i]) {
        if (!r->range.contains(end) || (r->domain && *r->domain != domain) || (r->interface && *r->interface != interface)) continue;
        if (known && !r->force) continue;
        changed |= !known || rate != r->rate;
        rate = r->rate;
        has = true;
        break;
      }
    }
    out[i] = static_cast<uint32_t>(rate);
    valid.set(i, has);
    nulls |= !has;
  }
  if (!changed) return stored;
  return keep(Column::of<uint32_t>(PhysicalType::U32, std::move(out), nulls ? std::move(valid) : Bitmap()), context);
}

}  // namespace sluice::query
