// Packets of each format, down to their sets and records. Lengths from the wire are never trusted: every read is from a span
// that was cut to what is there.

#include <algorithm>
#include <utility>

#include "ingest/source/limits.h"
#include "ingest/source/netflow_decoder.h"
#include "storage/model/limits.h"

namespace sluice::ingest {

using Impl = PacketDecoder::Impl;

namespace {

// Big-endian reads from the front; a short read is an error that sticks and yields zeros.
class PacketBytes {
 public:
  explicit PacketBytes(std::span<const uint8_t> s) : s_(s) {}
  uint32_t number(size_t n) {
    if (s_.size() < n) {
      short_ = true;
      s_ = {};
      return 0;
    }
    const auto v = static_cast<uint32_t>(load_number(s_.data(), n));
    s_ = s_.subspan(n);
    return v;
  }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return number(4); }
  void skip(size_t n) { s_ = s_.subspan(std::min(n, s_.size())); }
  size_t left() const { return s_.size(); }
  std::span<const uint8_t> rest() const { return s_; }
  bool ran_short() const { return short_; }

 private:
  std::span<const uint8_t> s_;
  bool short_ = false;
};

bool all_zero(std::span<const uint8_t> s) {
  return std::ranges::all_of(s, [](uint8_t b) { return b == 0; });
}

// The fixed formats as templates, so that they share the loops of the others.
struct FixedFormat {
  uint16_t version;
  uint16_t header_bytes;
  Source source;
  std::shared_ptr<const Template> record;
};

std::shared_ptr<const Template> fixed_template(std::vector<TemplateField> fields) {
  return Template::make(TemplateDefinition{256, false, 0, std::move(fields)}, {}, {});
}

const FixedFormat* fixed_format_of(uint16_t version) {
  constexpr uint32_t F = pen::kFixedFormat;
  constexpr uint16_t kRouter = 1, kPad = 2;
  // Source, destination, next hop, interfaces, packets, octets, first, last, ports: the same in all three.
  static const std::vector<TemplateField> front = {{0, 8, 4}, {0, 12, 4}, {0, 15, 4}, {0, 10, 2}, {0, 14, 2}, {0, 2, 4},
                                                   {0, 1, 4}, {0, 22, 4}, {0, 21, 4}, {0, 7, 2},  {0, 11, 2}};
  auto with = [](std::vector<TemplateField> tail) {
    std::vector<TemplateField> all = front;
    all.insert(all.end(), tail.begin(), tail.end());
    return fixed_template(std::move(all));
  };
  static const FixedFormat v1{1, 16, Source::netflow1,
                              with({{F, kPad, 2}, {0, 4, 1}, {0, 5, 1}, {0, 6, 1}, {F, kPad, 7}})};
  static const FixedFormat v5{5, 24, Source::netflow5,
                              with({{F, kPad, 1}, {0, 6, 1}, {0, 4, 1}, {0, 5, 1}, {0, 16, 2}, {0, 17, 2}, {0, 9, 1}, {0, 13, 1}, {F, kPad, 2}})};
  static const FixedFormat v7{7, 24, Source::netflow7,
                              with({{F, kPad, 1}, {0, 6, 1}, {0, 4, 1}, {0, 5, 1}, {0, 16, 2}, {0, 17, 2}, {0, 9, 1}, {0, 13, 1}, {F, kPad, 2}, {F, kRouter, 4}})};
  switch (version) {
    case 1: return &v1;
    case 5: return &v5;
    case 7: return &v7;
    default: return nullptr;
  }
}

class Lookup final : public RecordLookup {
 public:
  Lookup(Impl& impl, Exporter& e, Domain& d, uint32_t domain) : impl_(impl), e_(e), d_(d), domain_(domain) {}

  std::optional<uint32_t> rate_of(uint64_t selector) override {
    if (const auto it = d_.selectors.find(selector); it != d_.selectors.end()) return it->second.rate;
    if (const auto it = d_.selectors.find(0); it != d_.selectors.end()) return it->second.rate;
    // The sampler may have been announced in another domain of the exporter; it counts if those who know it agree.
    impl_.share_rate(e_);
    const auto it = e_.shared_selectors.find(selector);
    return it == e_.shared_selectors.end() ? std::nullopt : it->second;
  }
  InterfaceRates rates_of_interface(uint64_t interface) override {
    InterfaceRates rates;
    if (const auto it = d_.selectors.find(interface_selector(interface)); it != d_.selectors.end()) rates.told = it->second.rate;
    if (!e_.override) return rates;
    for (const bool of_domain : {false, true})
      for (const RateOverride& r : e_.override->rates)
        if (r.interface == interface && r.domain.has_value() == of_domain && (!r.domain || *r.domain == domain_)) {
          rates.forced = r.force ? std::optional(r.rate) : std::nullopt;
          rates.operator_rate = r.rate;
        }
    return rates;
  }
  const std::string* application(uint64_t app_id) override {
    const auto it = e_.names.find({static_cast<uint8_t>(NameKind::application), app_id});
    return it == e_.names.end() || it->second.first.empty() ? nullptr : &it->second.first;
  }
  std::shared_ptr<const Template> sub_template(uint16_t id) override {
    const auto it = d_.templates.find(id);
    return it == d_.templates.end() ? nullptr : impl_.ready(*it->second, e_);
  }
  TotalCounters since_last(uint64_t flow, const TotalCounters& now, bool has_start) override {
    RunningTotals& totals = e_.totals;
    bool room = true;
    if (!totals.knows(flow)) {
      if (totals.size() > 0 && (totals.size() >= limits::kTotalsPerExporterMax || impl_.totals_total >= limits::kTotalsMax)) {
        impl_.forget_oldest_total(e_);
        ++e_.stats.state_refused;
      }
      room = impl_.totals_total < limits::kTotalsMax;
      impl_.totals_total += room;
      e_.stats.state_refused += !room;
    }
    return totals.since_last(flow, now, has_start, impl_.header.received_at, room);
  }

 private:
  Impl& impl_;
  Exporter& e_;
  Domain& d_;
  const uint32_t domain_;
};

}  // namespace

Status Impl::decode(std::span<const uint8_t> packet, const PacketSender& sender, TimestampNs received_at) {
  header = {};
  header.received_at = received_at;
  header.port = sender.port;
  shares_left = limits::kSharedRatesPerPacket;
  if (is_sflow(packet)) return sflow(packet, sender);
  if (pending_records > 0 && (received_at - pending_records_at >= limits::kPendingRecordAge / 10 || received_at < pending_records_at)) {
    pending_records_at = received_at;
    SLUICE_TRY(give_up_waiting(received_at));
  }
  Exporter& e = exporter(sender, received_at);
  if (std::exchange(e.elements_changed, false)) ++e.generation;
  ++e.stats.packets;
  e.stats.bytes += packet.size();
  ++counts.packets;
  const uint16_t version = PacketBytes(packet).u16();
  Status status;
  const uint64_t flows_before = counts.flows;
  switch (version) {
    case 1:
    case 5:
    case 7: status = fixed_format(packet, e); break;
    case 9: status = netflow9(packet, e); break;
    case 10: status = ipfix(packet, e); break;
    default:
      ++e.stats.unsupported_packets;
      ++e.stats.bad_packets;
      ++counts.bad;
      error(e, 0, 0,
            version == 8   ? "NetFlow v8 is not supported"
            : version == 6 ? "NetFlow v6 is not supported"
                           : "not a NetFlow, IPFIX or sFlow packet");
      break;
  }
  e.stats.flows += counts.flows - flows_before;
  return status;
}

// How far the exporter's clock is off, as its header tells.
void Impl::clock(Exporter& e) {
  if (std::ranges::find(e.stats.formats, header.source) == e.stats.formats.end()) e.stats.formats.push_back(header.source);
  if (header.exported_at <= 0) return;
  const DurationNs skew = header.exported_at - header.received_at;
  const bool first = e.stats.clock_skew == 0 && e.stats.clock_skew_min == 0 && e.stats.clock_skew_max == 0;
  e.stats.clock_skew = skew;
  e.stats.clock_skew_min = first ? skew : std::min(e.stats.clock_skew_min, skew);
  e.stats.clock_skew_max = first ? skew : std::max(e.stats.clock_skew_max, skew);
}

void Impl::sequence(Exporter& e, Domain& d, uint32_t number, std::optional<uint32_t> count, const char* unit) {
  const ExporterOverride* o = e.override;
  bool restarted = false;
  if (header.uptime_ms) {
    // Uptime wraps at 49.7 days, which is not a restart. Packets overtake each other, which is not one either.
    const bool wrapped = d.last_uptime && *d.last_uptime > 0xf000'0000 && *header.uptime_ms < 0x1000'0000;
    restarted = d.last_uptime && !wrapped && static_cast<uint64_t>(*header.uptime_ms) + 60'000 < *d.last_uptime;
    d.last_uptime = header.uptime_ms;
  }
  if (!o || o->sequence != SequenceUnit::none) {
    const SequenceTracker::Verdict v = d.sequence.observe(number, count, restarted);
    if (v.lost > 0) {
      e.stats.lost += v.lost;
      e.stats.lost_unit = unit;
      lost(e, d, v.lost, unit, kBySequence);
    }
    if (v.recovered > 0) {
      e.stats.lost -= std::min(e.stats.lost, v.recovered);
      ++e.stats.reordered;
      for (auto it = losses.rbegin(); it != losses.rend(); ++it)
        if (it->exporter == e.key.ip && it->domain == d.id && it->format == header.source && it->how == kBySequence) {
          it->lost -= std::min(it->lost, v.recovered);
          if (it->lost == 0) losses.erase(std::next(it).base());
          break;
        }
    }
    e.stats.duplicates += v.duplicate;
    e.stats.restarts += v.restart;
  }
  d.last_packet_at = header.received_at;
}

Status Impl::rows(const Template& t, const std::vector<Place>& at, const uint8_t* data, size_t stride, size_t count,
                  const PacketHeader& h, Exporter& e, Domain& d) {
  const ExporterOverride* o = e.override;
  RecordContext context;
  context.source = h.source;
  context.exporter_ip = e.key.ip != IpAddress{} ? e.key.ip : h.reported_by != IpAddress{} ? h.reported_by : e.reported_by;
  context.exporter_port = h.port;
  context.domain = h.domain;
  context.received_at = h.received_at;
  context.exported_at = h.exported_at;
  context.uptime_ms = h.uptime_ms;
  context.system_init_ms = d.system_init_ms;
  context.icmp_in_dst_port = h.version != 10;
  if (o)
    // The widest first, so that a domain's own comes over that of all.
    for (const bool of_domain : {false, true})
      for (const RateOverride& r : o->rates) {
        if (r.domain && *r.domain != h.domain) continue;
        if (r.interface) context.rates_by_interface = true;
        else if (r.domain.has_value() == of_domain) {
          context.forced_rate = r.force ? std::optional(r.rate) : std::nullopt;
          context.operator_rate = r.rate;
        }
      }
  context.rates_by_interface |= d.interface_rates > 0;
  context.sampling_rate = d.rate;
  if (!context.sampling_rate && h.version >= 9) {
    // A single unselected sampler numbered 0 serves the whole domain.
    if (const auto zero = d.selectors.find(0); zero != d.selectors.end()) context.sampling_rate = zero->second.rate;
    else {
      share_rate(e);
      context.sampling_rate = e.shared_rate;
    }
  }
  Lookup lookup(*this, e, d, h.domain);
  RecordTally tally;
  Status status;
  while (count > 0 && status.ok()) {
    const size_t n = std::min(count, limits::kBatchRows - std::min(out->rows(), limits::kBatchRows - 1));
    writer.write(t, at, data, stride, n, context, lookup, *out, tally);
    counts.flows += n;
    count -= n;
    data += n * stride;
    if (out->rows() >= limits::kBatchRows) status = (*sink)(out->finish());
  }
  e.stats.clamped_times += tally.clamped_times;
  e.stats.estimated_times += tally.estimated_times;
  counts.clamped_times += tally.clamped_times;
  counts.cut_strings += tally.cut_strings;
  if (tally.bad_structures > 0) {
    e.stats.bad_records += tally.bad_structures;
    error(e, h.domain, t.definition.id, "structured data that does not hold together");
  }
  return status;
}

Status Impl::fixed_format(std::span<const uint8_t> packet, Exporter& e) {
  PacketBytes in(packet);
  const uint16_t version = in.u16();
  const FixedFormat& format = *fixed_format_of(version);
  const uint16_t count = in.u16();
  header.version = static_cast<uint8_t>(version);
  header.source = format.source;
  const size_t record_bytes = format.record->min_length;
  if (packet.size() < format.header_bytes || packet.size() - format.header_bytes < count * record_bytes) {
    ++e.stats.bad_packets;
    ++counts.bad;
    error(e, 0, 0, "NetFlow packet shorter than its records");
    return {};
  }
  // Two bytes are all that tells a v1 packet from rubbish, so its count must bear out the length (zeros may fill it up). Exporters of v5 are seen
  // that put bytes of their own behind the records.
  if (version == 1 && !all_zero(packet.subspan(format.header_bytes + count * record_bytes))) {
    ++e.stats.bad_packets;
    ++counts.bad;
    error(e, 0, 0, "NetFlow packet longer than its records");
    return {};
  }
  header.uptime_ms = in.u32();
  const auto seconds = static_cast<int64_t>(in.u32());
  const uint32_t nanoseconds = in.u32();
  header.exported_at = seconds * kSecond + std::min<int64_t>(nanoseconds, kSecond - 1);
  uint32_t flow_sequence = 0;
  std::optional<uint32_t> rate;
  if (version != 1) flow_sequence = in.u32();
  if (version == 5) {
    const uint32_t engine = in.u16();  // type, id
    header.domain = engine;
    const uint16_t sampling = in.u16();
    // Two bits of mode, fourteen of interval. A word of 0 is no sampling, or none told: many routers that sample leave it so. What the
    // operator says of the exporter settles which of the two.
    Domain& d = domain(e, header.version, header.domain);
    const bool operator_says = e.override && std::ranges::any_of(e.override->rates, [&](const RateOverride& r) {
      return !r.interface && (!r.domain || *r.domain == header.domain);
    });
    if (sampling == 0 && operator_says)
      d.rate.reset();
    else
      rate = std::max<uint32_t>(sampling & 0x3fff, 1);
    d.algorithm = static_cast<uint8_t>(sampling >> 14);
  }
  Domain& d = domain(e, header.version, header.domain);
  if (rate) d.rate = rate;
  clock(e);
  if (version != 1) sequence(e, d, flow_sequence, count, "flows");
  return rows(*format.record, format.record->places, packet.data() + format.header_bytes, record_bytes, count, header, e, d);
}

Status Impl::records(const std::shared_ptr<const Template>& first_plan, std::span<const uint8_t> data, const PacketHeader& h,
                     Exporter& e, Domain& d, uint64_t& count, bool& counted) {
  std::shared_ptr<const Template> t = first_plan;
  if (t->definition.options) {
    while (data.size() >= t->min_length) {
      const size_t length = place_fields(t->definition, data, places);
      if (length == 0) {
        ++e.stats.bad_records;
        ++counts.bad;
        error(e, h.domain, t->definition.id, "options record longer than its set");
        counted = false;
        break;
      }
      options_record(*t, places, data.data(), e, d);
      ++count;
      data = data.subspan(length);
    }
    return {};
  }
  const bool is_structured = has_structured_data(*t);
  if (!t->variable && !is_structured) {
    size_t n = data.size() / t->min_length;
    // Some exporters pad a set with far more zeros than one record: those are no flows. Zeros between records are kept.
    while (h.version == 9 && n > 1 && all_zero(data.subspan((n - 1) * t->min_length, t->min_length))) --n;
    count += n;
    if (!e.fortinet && t->plan.has_post_counters && t->plan.app_id_field) {
      const Place app = t->places[*t->plan.app_id_field];
      for (size_t i = 0; i < n && !e.fortinet && app.length >= 6; ++i) {
        const uint8_t* id = data.data() + i * t->min_length + app.offset;
        e.fortinet = id[0] == 20 && load_number(id + 1, 4) == pen::kFortinet;
      }
      if (e.fortinet) {
        ++e.generation;
        changed(e, state::profile_key(e.key), state::encode_profile(true));
        if (const auto stored = d.templates.find(t->definition.id); stored != d.templates.end()) t = ready(*stored->second, e);
      }
    }
    return rows(*t, t->places, data.data(), t->min_length, n, h, e, d);
  }
  const size_t zero_tail = static_cast<size_t>(std::ranges::find_if(data.rbegin(), data.rend(), [](uint8_t b) { return b != 0; }) - data.rbegin());
  while (data.size() >= t->min_length) {
    // Zeros that fill up a set would read as records of empty strings.
    if ((data.size() < 8 || h.version == 9) && data.size() <= zero_tail && count > 0) break;
    const size_t length = place_fields(t->definition, data, places);
    if (length == 0) {
      ++e.stats.bad_records;
      ++counts.bad;
      error(e, h.domain, t->definition.id, "record longer than its set");
      counted = false;
      break;
    }
    ++count;
    const std::span<const uint8_t> record = data.subspan(0, length);
    data = data.subspan(length);
    if (is_structured) {
      Lookup lookup(*this, e, d, h.domain);
      if (const auto id = missing_template(*t, places, record.data(), lookup)) {
        SLUICE_ASSIGN(const bool waits, hold(t->definition.id, *id, t, record, h, e, d));
        if (waits) continue;
      }
    }
    SLUICE_TRY(rows(*t, places, record.data(), length, 1, h, e, d));
  }
  return {};
}

Status Impl::data_set(uint16_t id, std::span<const uint8_t> data, Exporter& e, Domain& d, uint64_t& record_count, bool& counted) {
  const auto stored = d.templates.find(id);
  if (stored == d.templates.end()) {
    counted = false;
    SLUICE_ASSIGN(const bool waits, hold(id, id, nullptr, data, header, e, d));
    if (!waits) {
      ++e.stats.pending_dropped;
      ++counts.bad;
      error(e, d.id, id, "data without template, and no room to keep more of it");
    }
    return {};
  }
  e.templates.splice(e.templates.begin(), e.templates, stored->second);
  return records(ready(*stored->second, e), data, header, e, d, record_count, counted);
}

Status Impl::templates9(std::span<const uint8_t> set, Exporter& e, Domain& d, bool options_templates) {
  PacketBytes in(set);
  auto bad = [&](uint16_t id, const char* reason) -> Status {
    ++e.stats.bad_sets;
    ++counts.bad;
    error(e, d.id, id, reason);
    return {};
  };
  while (in.left() >= 4) {
    if (all_zero(in.rest())) return {};
    TemplateDefinition t;
    t.id = in.u16();
    t.options = options_templates;
    size_t fields = 0;
    if (options_templates) {
      const size_t scope_bytes = in.u16(), option_bytes = in.u16();
      if (in.ran_short() || scope_bytes % 4 != 0 || option_bytes % 4 != 0) return bad(t.id, "options template with odd lengths");
      t.scope_fields = static_cast<uint16_t>(scope_bytes / 4);
      fields = scope_bytes / 4 + option_bytes / 4;
    } else {
      fields = in.u16();
    }
    if (fields * 4 > in.left()) return bad(t.id, "template longer than its set");
    t.fields.reserve(fields);
    for (size_t i = 0; i < fields; ++i) {
      TemplateField f;
      f.id = in.u16();
      f.length = in.u16();
      if (i < t.scope_fields) f.pen = pen::kV9Scope;
      t.fields.push_back(f);
    }
    SLUICE_TRY(install(std::move(t), e, d));
  }
  return {};
}

Status Impl::netflow9(std::span<const uint8_t> packet, Exporter& e) {
  header.version = 9;
  header.source = Source::netflow9;
  if (packet.size() < 20) {
    ++e.stats.bad_packets;
    ++counts.bad;
    error(e, 0, 0, "NetFlow packet shorter than its header");
    return {};
  }
  PacketBytes in(packet);
  in.skip(4);  // version; count, which exporters fill in as they please
  header.uptime_ms = in.u32();
  header.exported_at = static_cast<int64_t>(in.u32()) * kSecond;
  const uint32_t number = in.u32();
  header.domain = in.u32();
  Domain& d = domain(e, 9, header.domain);
  clock(e);
  const ExporterOverride* o = e.override;
  const bool by_records = o && o->sequence == SequenceUnit::records;
  uint64_t record_count = 0;
  bool counted = true;
  Status status;
  while (in.left() >= 4 && status.ok()) {
    const std::span<const uint8_t> rest = in.rest();
    const uint16_t id = in.u16();
    const size_t length = in.u16();
    if (length < 4 || length > rest.size()) {
      if (!all_zero(rest)) {  // else the packet is padded, sometimes by more than a kilobyte
        ++e.stats.bad_sets;
        ++counts.bad;
        error(e, d.id, id, "set longer than its packet");
      }
      counted = false;
      break;
    }
    const std::span<const uint8_t> set = rest.subspan(4, length - 4);
    in.skip(length - 4);
    if (id == 0 || id == 1) {
      status = templates9(set, e, d, id == 1);
    } else if (id >= 256) {
      status = data_set(id, set, e, d, record_count, counted);
    } else {
      ++e.stats.bad_sets;
      ++counts.bad;
      error(e, d.id, id, "set with a reserved id");
    }
  }
  if (by_records)
    sequence(e, d, number, counted ? std::optional(static_cast<uint32_t>(record_count)) : std::nullopt, "records");
  else
    sequence(e, d, number, 1, "packets");
  return status;
}

Status Impl::templates10(std::span<const uint8_t> set, Exporter& e, Domain& d, bool options_templates) {
  PacketBytes in(set);
  auto bad = [&](uint16_t id, const char* reason) -> Status {
    ++e.stats.bad_sets;
    ++counts.bad;
    ++counts.malformed;
    error(e, d.id, id, reason);
    return {};
  };
  while (in.left() >= 4) {
    if (all_zero(in.rest())) return {};
    TemplateDefinition t;
    t.id = in.u16();
    t.options = options_templates;
    const size_t fields = in.u16();
    if (fields == 0) {
      // A withdrawal (RFC 7011 §8.1). Datagrams overtake each other, so over UDP it must be ignored.
      if (e.key.session == 0) {
        error(e, d.id, t.id, "template withdrawal over UDP, ignored");
        continue;
      }
      if (t.id >= 256) {
        withdraw(e, d, t.id);
      } else if (t.id == 2 || t.id == 3) {
        std::vector<uint16_t> ids;
        for (const auto& [id, stored] : d.templates)
          if (stored->definition.options == (t.id == 3)) ids.push_back(id);
        for (const uint16_t id : ids) withdraw(e, d, id);
      }
      continue;
    }
    if (options_templates) {
      t.scope_fields = in.u16();
      if (t.scope_fields == 0 || t.scope_fields > fields) return bad(t.id, "options template without scope");
    }
    if (fields * 4 > in.left()) return bad(t.id, "template longer than its set");
    t.fields.reserve(fields);
    for (size_t i = 0; i < fields; ++i) {
      TemplateField f;
      f.id = in.u16();
      f.length = in.u16();
      if (f.id & 0x8000) {
        f.id &= 0x7fff;
        f.pen = in.u32();
      }
      t.fields.push_back(f);
    }
    if (in.ran_short()) return bad(t.id, "template longer than its set");
    SLUICE_TRY(install(std::move(t), e, d));
  }
  return {};
}

Status Impl::ipfix(std::span<const uint8_t> packet, Exporter& e) {
  header.version = 10;
  header.source = Source::ipfix;
  PacketBytes in(packet);
  in.skip(2);
  const size_t message_bytes = in.u16();
  if (packet.size() < 16 || message_bytes < 16 || message_bytes > packet.size()) {
    ++e.stats.bad_packets;
    ++counts.bad;
    ++counts.malformed;
    error(e, 0, 0, "IPFIX message shorter than its length");
    return {};
  }
  header.exported_at = static_cast<int64_t>(in.u32()) * kSecond;
  const uint32_t number = in.u32();
  header.domain = in.u32();
  Domain& d = domain(e, 10, header.domain);
  clock(e);
  const ExporterOverride* o = e.override;
  in = PacketBytes(packet.subspan(16, message_bytes - 16));
  uint64_t record_count = 0;
  bool counted = true;
  Status status;
  while (in.left() >= 4 && status.ok()) {
    const std::span<const uint8_t> rest = in.rest();
    const uint16_t id = in.u16();
    const size_t length = in.u16();
    if (length < 4 || length > rest.size()) {
      if (!all_zero(rest)) {
        ++e.stats.bad_sets;
        ++counts.bad;
        ++counts.malformed;
        error(e, d.id, id, "set longer than its message");
      }
      counted = false;
      break;
    }
    const std::span<const uint8_t> set = rest.subspan(4, length - 4);
    in.skip(length - 4);
    if (id == 2 || id == 3) {
      status = templates10(set, e, d, id == 3);
    } else if (id >= 256) {
      status = data_set(id, set, e, d, record_count, counted);
    } else {
      ++e.stats.bad_sets;
      ++counts.bad;
      error(e, d.id, id, "set with a reserved id");
    }
  }
  if (o && o->sequence == SequenceUnit::packets)
    sequence(e, d, number, 1, "packets");
  else
    sequence(e, d, number, counted ? std::optional(static_cast<uint32_t>(record_count)) : std::nullopt, "records");
  return status;
}

}  // namespace sluice::ingest
