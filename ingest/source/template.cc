#include "ingest/receive/limits.h"
#include "ingest/source/limits.h"
#include "ingest/source/template.h"

#include <algorithm>
#include <array>
#include <map>

namespace sluice::ingest {

size_t TemplateDefinition::min_length() const {
  size_t n = 0;
  for (const TemplateField& f : fields) n += f.length == kVariableLength ? 1 : f.length;
  return n;
}

bool TemplateDefinition::variable() const {
  return std::ranges::any_of(fields, [](const TemplateField& f) { return f.length == kVariableLength; });
}

Status check_template(const TemplateDefinition& d) {
  if (d.id < 256) return Error{ErrorCode::corrupt, "template id below 256: " + std::to_string(d.id)};
  if (d.fields.empty()) return Error{ErrorCode::corrupt, "template without fields"};
  if (d.fields.size() > limits::kTemplateFieldsMax)
    return Error{ErrorCode::too_large, "template with too many fields: " + std::to_string(d.fields.size())};
  if (const auto empty = static_cast<size_t>(std::ranges::count(d.fields, 0, &TemplateField::length)); empty > limits::kTemplateEmptyFieldsMax)
    return Error{ErrorCode::too_large, "template with too many empty fields: " + std::to_string(empty)};
  if (d.min_length() == 0) return Error{ErrorCode::corrupt, "template whose records are empty"};
  // A record longer than a message can never come; its template only costs memory.
  if (d.min_length() > limits::kDatagramBytesMax)
    return Error{ErrorCode::corrupt, "template whose records do not fit a message: " + std::to_string(d.min_length()) + " bytes"};
  return {};
}

size_t place_fields(const TemplateDefinition& d, std::span<const uint8_t> data, std::vector<Place>& places) {
  places.resize(d.fields.size());
  size_t at = 0;
  for (size_t i = 0; i < d.fields.size(); ++i) {
    size_t length = d.fields[i].length;
    if (length == kVariableLength) {
      if (at >= data.size()) return 0;
      length = data[at++];
      if (length == 255) {
        if (data.size() - at < 2) return 0;
        length = static_cast<size_t>(data[at]) << 8 | data[at + 1];
        at += 2;
      }
    }
    if (data.size() - at < length) return 0;
    places[i] = Place{static_cast<uint32_t>(at), static_cast<uint32_t>(length)};
    at += length;
  }
  return at;
}

namespace {

std::string reverse_name(std::string_view name) {
  std::string s = "reverse" + std::string(name);
  if (s[7] >= 'a' && s[7] <= 'z') s[7] = static_cast<char>(s[7] - 32);
  return s;
}

// Whether a field's length suits its conversion. What does not goes to `extra`, as bytes.
bool fits(const ResolvedElement& e, size_t length) {
  if (length == kVariableLength) length = 8;  // decided per record
  switch (e.convert) {
    case Convert::address:
    case Convert::nat_address:
    case Convert::exporter_address: return length == 4 || length == 16;
    case Convert::mac: return length == 6;
    case Convert::mpls: return length == 3;
    case Convert::number:
      // Huawei sends a 2-byte element 232 that is no octet count.
      if (e.column == ColumnId::raw_reverse_bytes && length < 4) return false;
      return length >= 1 && length <= 8;
    case Convert::none:
    case Convert::skip:
    case Convert::text:
    case Convert::flow_id:
    case Convert::app_id:
    case Convert::frame_section:
    case Convert::packet_section:
    case Convert::structured: return true;
    default: return length >= 1 && length <= 8;
  }
}

bool is_time(Convert c) { return c >= Convert::start_time && c <= Convert::system_init; }
bool is_section(Convert c) { return c >= Convert::frame_section && c <= Convert::frame_type; }
bool is_sampling(Convert c) { return c >= Convert::sampling_interval && c <= Convert::sampling_selector; }

// Columns whose values tell one flow of an exporter from another.
bool tells_flows_apart(ColumnId column) {
  switch (column) {
    case ColumnId::src_ip:
    case ColumnId::dst_ip:
    case ColumnId::src_port:
    case ColumnId::dst_port:
    case ColumnId::protocol:
    case ColumnId::input_if:
    case ColumnId::vlan:
    case ColumnId::vrf_in:
    case ColumnId::flow_id:
    case ColumnId::src_mac:
    case ColumnId::dst_mac:
    case ColumnId::direction: return true;
    default: return false;
  }
}

// Conversions that the column-at-a-time loops know (netflow_record.cc).
bool bulk(const Step& s) {
  const size_t column_width = width_of(column_spec(s.column).physical);
  switch (s.convert) {
    case Convert::number: return (s.width == 1 || s.width == 2 || s.width == 4 || s.width == 8) && s.width <= column_width;
    case Convert::address:
    case Convert::nat_address: return s.width == 4 || s.width == 16;
    case Convert::nat_port: return s.width == 2;
    case Convert::mac: return s.width == 6;
    case Convert::mpls: return s.width == 3;
    case Convert::flags: return s.width == 1 || s.width == 2;
    case Convert::direction:
    case Convert::end_reason: return s.width == 1;
    default: return false;
  }
}

}  // namespace

ResolvedElement resolve_element(const TemplateField& f, const PlanOptions& options, const ElementTeller& teller) {
  uint32_t enterprise = f.pen;
  uint16_t id = f.id;
  // ntop's own elements in NetFlow v9, which has no enterprise numbers.
  if (options.netflow9 && enterprise == pen::kIana && id >= 57'472 && find_element(pen::kNtop, static_cast<uint16_t>(id - 57'472))) {
    enterprise = pen::kNtop;
    id = static_cast<uint16_t>(id - 57'472);
  }
  ResolvedElement r;
  if (const Element* e = find_element(enterprise, id)) {
    r = {e->convert, e->type, e->column, e->rank, std::string(e->name)};
  } else if (enterprise == pen::kReverse) {
    if (const Element* forward = find_element(pen::kIana, id)) {
      r.type = forward->type;
      r.name = reverse_name(forward->name);
    }
  }
  // The exporter's word names what the table does not know; it cannot redirect what the table maps.
  if (r.name.empty())
    if (const ElementInfo* told = teller ? teller(enterprise, id) : nullptr) {
      r.type = told->type;
      r.name = told->name;
    }
  if (r.name.empty()) r.name = std::to_string(enterprise) + "." + std::to_string(id);
  if (r.type == ElementType::unknown && f.length == kVariableLength) r.type = ElementType::unknown_variable;
  if (options.post_is_reverse && enterprise == pen::kIana && r.convert == Convert::none) {
    switch (id) {
      case 23: r.convert = Convert::number, r.column = ColumnId::raw_reverse_bytes, r.rank = 3; break;
      case 24: r.convert = Convert::number, r.column = ColumnId::raw_reverse_packets, r.rank = 3; break;
      case 171: r.convert = Convert::number, r.column = ColumnId::raw_reverse_bytes, r.rank = 4; break;
      case 172: r.convert = Convert::number, r.column = ColumnId::raw_reverse_packets, r.rank = 4; break;
      default: break;
    }
  }
  return r;
}

Plan make_plan(const TemplateDefinition& d, const PlanOptions& options, const ElementTeller& teller) {
  const size_t n = d.fields.size();
  Plan plan;
  std::vector<ResolvedElement> elements;
  elements.reserve(n);
  // How often each element appears: hostile templates have a thousand fields, so no field is compared with each other.
  std::map<std::pair<uint32_t, uint16_t>, size_t> appearances;
  for (const TemplateField& f : d.fields) {
    elements.push_back(resolve_element(f, options, teller));
    if (!fits(elements.back(), f.length)) {
      elements.back().convert = Convert::none;
      elements.back().type = ElementType::unknown;
    }
    // Of identical elements the first fills the column; all of them go to `extra` (below).
    if (f.length != 0 && ++appearances[{f.pen, f.id}] > 1 && elements.back().convert != Convert::skip)
      elements.back().convert = Convert::none;
  }
  // Per column: the best rank, how many fields share it.
  std::array<uint8_t, kColumnCount> best;
  std::array<uint16_t, kColumnCount> contenders{};
  best.fill(255);
  for (size_t i = 0; i < n; ++i) {
    const ResolvedElement& e = elements[i];
    if (d.fields[i].length == 0 || e.convert == Convert::none || e.column == ColumnId::extra || is_time(e.convert)) continue;
    const auto c = static_cast<size_t>(e.column);
    if (e.rank < best[c]) {
      best[c] = e.rank;
      contenders[c] = 1;
    } else if (e.rank == best[c]) {
      ++contenders[c];
    }
  }
  auto repeated = [&](size_t i) { return appearances[{d.fields[i].pen, d.fields[i].id}] > 1; };
  auto has = [&](uint32_t enterprise, uint16_t id) { return appearances.contains({enterprise, id}); };

  // Times first: the best of each kind that can be used.
  auto choose = [&](TimeSource& slot, std::string* name, auto&& wanted) {
    uint8_t rank = 255;
    for (size_t i = 0; i < n; ++i) {
      const ResolvedElement& e = elements[i];
      if (d.fields[i].length == 0 || d.fields[i].length == kVariableLength || !wanted(e.convert) || e.rank >= rank) continue;
      rank = e.rank;
      slot = TimeSource{e.convert, e.type, static_cast<uint16_t>(i)};
      if (name) *name = e.name;
    }
  };
  choose(plan.times.start, &plan.times.start_name, [](Convert c) {
    return c == Convert::start_time || c == Convert::start_uptime || c == Convert::start_delta;
  });
  choose(plan.times.end, &plan.times.end_name, [](Convert c) {
    return c == Convert::end_time || c == Convert::end_uptime || c == Convert::end_delta || c == Convert::event_time;
  });
  choose(plan.times.duration, nullptr, [](Convert c) { return c == Convert::duration; });
  for (size_t i = 0; i < n; ++i)
    if (elements[i].convert == Convert::system_init && d.fields[i].length == 8) plan.times.system_init = static_cast<uint16_t>(i);

  for (size_t i = 0; i < n; ++i) {
    const TemplateField& f = d.fields[i];
    if (f.length == 0) continue;
    const ResolvedElement& e = elements[i];
    Step step;
    step.field = static_cast<uint16_t>(i);
    step.convert = e.convert;
    step.type = e.type;
    step.column = e.column;
    step.width = f.length <= 16 ? static_cast<uint8_t>(f.length) : 0;
    step.name = e.name;
    plan.all.push_back(step);
    if (e.convert == Convert::skip) continue;

    step.to_extra = repeated(i);
    if (is_time(e.convert)) {
      const auto field = static_cast<uint16_t>(i);
      const bool used = (plan.times.start.convert != Convert::none && plan.times.start.field == field) ||
                        (plan.times.end.convert != Convert::none && plan.times.end.field == field) ||
                        (plan.times.duration.convert != Convert::none && plan.times.duration.field == field) ||
                        plan.times.system_init == field;
      // A duration beside both ends is no help to the columns; it is kept as the exporter said it.
      const bool spare = e.convert == Convert::duration && plan.times.start.convert != Convert::none &&
                         plan.times.end.convert != Convert::none;
      if (!used || spare || step.to_extra) {
        step.convert = Convert::none;
        plan.rows.push_back(step);
      }
      continue;
    }
    if (is_sampling(e.convert)) {
      const auto field = static_cast<uint16_t>(i);
      auto take = [&](std::optional<uint16_t>& slot) {
        if (!slot) slot = field;
      };
      if (e.convert == Convert::sampling_interval) take(plan.sampling.interval);
      if (e.convert == Convert::sampling_packets) take(plan.sampling.packets);
      if (e.convert == Convert::sampling_space) take(plan.sampling.space);
      if (e.convert == Convert::sampling_selector) {
        take(plan.sampling.selector);
        step.convert = Convert::none;  // the number itself is kept too
        plan.rows.push_back(step);
      }
      continue;
    }
    if (e.convert == Convert::none || e.convert == Convert::structured || is_section(e.convert)) {
      plan.rows.push_back(step);
      continue;
    }
    const auto c = static_cast<size_t>(e.column);
    // Parts of flags are or-ed, events are weighed in netflow_record.cc; other columns have one winner.
    const bool shared = e.convert == Convert::flags_part || e.convert == Convert::firewall_event ||
                        e.convert == Convert::forwarding_status || e.convert == Convert::firewall_extended_event;
    if (!shared && e.rank != best[c]) {
      step.convert = Convert::none;
      plan.rows.push_back(step);
      continue;
    }
    switch (e.convert) {
      case Convert::address:
        if (e.column == ColumnId::src_ip || e.column == ColumnId::dst_ip) (f.length == 4 ? plan.has_v4 : plan.has_v6) = true;
        break;
      case Convert::number:
        if (e.column == ColumnId::ip_version) plan.has_ip_version = true;
        if (e.column == ColumnId::input_if) plan.input_if_field = static_cast<uint16_t>(i);
        if (e.column == ColumnId::output_if) plan.output_if_field = static_cast<uint16_t>(i);
        if (e.column == ColumnId::protocol) plan.protocol_field = static_cast<uint16_t>(i);
        if (e.column == ColumnId::dst_port && f.length == 2) plan.dst_port_field = static_cast<uint16_t>(i);
        if (e.column == ColumnId::icmp_type || e.column == ColumnId::icmp_code) plan.has_icmp = true;
        if (e.column == ColumnId::raw_reverse_bytes || e.column == ColumnId::raw_reverse_packets) plan.is_biflow = true;
        if (e.column == ColumnId::observation_domain) plan.has_domain = true;
        if (e.column == ColumnId::raw_bytes) {
          plan.byte_basis = f.id == 352 || f.id == 353 ? ByteBasis::layer2 : ByteBasis::layer3;
          if (f.pen == pen::kIana && f.id == 231) plan.source_initiates = true;
        }
        break;
      case Convert::flags:
      case Convert::flags_part: plan.has_tcp_flags = true; break;
      case Convert::icmp_type_code: plan.has_icmp = true; break;
      case Convert::exporter_address: plan.has_exporter = true; break;
      case Convert::direction: plan.direction_field = static_cast<uint16_t>(i); break;
      case Convert::app_id: plan.app_id_field = static_cast<uint16_t>(i); break;
      default: break;
    }
    // Running totals become what came since the last report, record by record.
    if ((f.pen == pen::kIana || f.pen == pen::kReverse) && (f.id == 85 || f.id == 86) && contenders[c] == 1) {
      plan.totals.of(e.column) = static_cast<uint16_t>(i);
      if (step.to_extra) {
        step.convert = Convert::none;
        plan.rows.push_back(step);
      }
      continue;
    }
    // Whole columns at a time, when this field alone decides the column. Times of one column may come from several fields
    // only through the plan above; several contenders (two address families, 23 and 40005 …) are looked at row by row.
    if (bulk(step) && contenders[c] == 1 && e.column != ColumnId::observation_domain) {
      plan.columns.push_back(step);
      if (step.to_extra) {
        step.convert = Convert::none;
        plan.rows.push_back(step);
      }
    } else {
      step.contended = contenders[c] > 1;
      plan.rows.push_back(step);
    }
  }
  if (plan.totals.any())
    for (size_t i = 0; i < n; ++i) {
      if (d.fields[i].length == 0 || elements[i].convert == Convert::none) continue;
      const bool is_start = plan.times.start.convert != Convert::none && plan.times.start.field == i;
      plan.totals.has_start |= is_start;
      if (is_start || (!is_time(elements[i].convert) && tells_flows_apart(elements[i].column))) plan.totals.keys.push_back(static_cast<uint16_t>(i));
    }
  // Inside comes before outside: of contenders the first that is not zero fills the column.
  std::stable_partition(plan.rows.begin(), plan.rows.end(), [&](const Step& s) { return d.fields[s.field].pen == pen::kVmware; });
  plan.has_post_counters = has(pen::kIana, 23) || has(pen::kIana, 24) || has(pen::kIana, 171) || has(pen::kIana, 172);
  // Names of initiator and responder are facts only when both counters of the record bear them.
  if ((!has(pen::kIana, 232) && !has(pen::kIana, 299)) || has(pen::kIana, 239)) plan.source_initiates = false;
  // So are a client and a server, and an initiator's address.
  for (const Step& s : plan.columns) {
    const TemplateField& f = d.fields[s.field];
    if (s.column == ColumnId::src_ip && ((f.pen == pen::kCisco && (f.id == 12236 || f.id == 12238)) || f.pen == pen::kSonicWall)) plan.source_initiates = !has(pen::kIana, 239);
  }
  return plan;
}

std::shared_ptr<const Template> Template::make(TemplateDefinition definition, const PlanOptions& options,
                                               const ElementTeller& teller) {
  auto t = std::make_shared<Template>();
  t->definition = std::move(definition);
  t->plan = make_plan(t->definition, options, teller);
  t->min_length = t->definition.min_length();
  t->variable = t->definition.variable();
  if (!t->variable) {
    uint32_t at = 0;
    for (const TemplateField& f : t->definition.fields) {
      t->places.push_back({at, f.length});
      at += f.length;
    }
  }
  return t;
}

}  // namespace sluice::ingest
