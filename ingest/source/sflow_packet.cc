// sFlow datagrams down to rows, and what agents say about themselves: sequence numbers, pools, drops, interfaces.

#include <algorithm>
#include <string>

#include "ingest/source/limits.h"
#include "ingest/source/netflow_decoder.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {

using Impl = PacketDecoder::Impl;
using C = ColumnId;

namespace {

constexpr uint32_t kEnterpriseBits = 20, kFormatBits = 12;
static_assert(kEnterpriseBits + kFormatBits == 32);

// Errors name a sample's or record's format; those of other enterprises have none that fits.
uint16_t format_name(uint32_t format) { return format >> kFormatBits == 0 ? static_cast<uint16_t>(format) : uint16_t{0}; }

// Counters that are well known and of no interest to a database of flows.
bool is_known_counter(uint32_t format) {
  if (format >> kFormatBits != 0) return false;
  return (format >= 1 && format <= 7) || format == 10 || (format >= 1001 && format <= 1005) || (format >= 2000 && format <= 2010) ||
         (format >= 2100 && format <= 2104) || (format >= 2200 && format <= 2207);
}

// The next row, written ahead of its beginning: types are known here, and looking them up in every column for every packet is
// a third of the work. A column is set once at most.
class RowAhead {
 public:
  explicit RowAhead(FlowBatchBuilder& out) : out_(out) {}
  template <typename T>
  void set(C id, T value) {  // T is the column's physical type
    out_.ahead(id).append<T>(value);
  }
  // For what row after row repeats.
  template <typename T>
  void same(C id, T value) {
    out_.repeat<T>(id, 1, value);
  }
  void set_string(C id, std::string_view value) { out_.ahead(id).append_string(value); }

 private:
  FlowBatchBuilder& out_;
};

}  // namespace

Status Impl::sflow(std::span<const uint8_t> packet, const PacketSender& sender) {
  header.source = Source::sflow5;
  header.version = kSflowDomain;
  Xdr in(packet);
  const auto h = read_sflow_header(in);
  const bool is_ours = h && h->version == 5;
  // Agents that do not know their own address say 0.0.0.0 or nothing: the sender's must do.
  Exporter& e = is_ours && h->agent ? sflow_exporter(*h->agent, sender, header.received_at) : sflow_exporter(sender.ip, sender, header.received_at);
  ++e.stats.packets;
  e.stats.bytes += packet.size();
  ++counts.packets;
  ++counts.sflow_packets;
  const uint64_t bad_before = counts.bad, flows_before = counts.flows;
  if (!is_ours) {
    ++e.stats.bad_packets;
    ++counts.bad;
    ++counts.sflow_bad;
    if (h) ++e.stats.unsupported_packets;
    error(e, 0, 0, h ? "sFlow v2 and v4 are not supported" : "sFlow datagram shorter than its header");
    return {};
  }
  header.domain = h->sub_agent;
  header.uptime_ms = h->uptime_ms;
  Domain& d = domain(e, kSflowDomain, h->sub_agent);
  clock(e);
  sequence(e, d, h->sequence, 1, "packets");
  Status status;
  for (uint32_t i = 0; i < h->samples && status.ok(); ++i) {
    const uint32_t format = in.u32();
    const std::span<const uint8_t> body = in.bytes(in.u32());
    if (in.ran_short()) {
      ++e.stats.bad_sets;
      ++counts.bad;
      error(e, d.id, format_name(format), "sFlow sample longer than its datagram");
      break;
    }
    switch (format) {
      case static_cast<uint32_t>(SflowKind::flow):
      case static_cast<uint32_t>(SflowKind::flow_expanded):
      case static_cast<uint32_t>(SflowKind::discarded): status = sflow_sample(body, format, e, d); break;
      case static_cast<uint32_t>(SflowKind::counters):
      case static_cast<uint32_t>(SflowKind::counters_expanded): sflow_counters(body, format, e, d); break;
      default:
        ++e.stats.unknown_formats;
        ++counts.unknown_formats;
        break;
    }
  }
  e.stats.flows += counts.flows - flows_before;
  counts.sflow_bad += counts.bad - bad_before;
  counts.sflow_flows += counts.flows - flows_before;
  return status;
}

Status Impl::sflow_sample(std::span<const uint8_t> body, uint32_t format, Exporter& e, Domain& d) {
  if (!read_sflow_sample(body, static_cast<SflowKind>(format), sample)) {
    ++e.stats.bad_sets;
    ++counts.bad;
    error(e, d.id, format_name(format), "sFlow sample cut short");
    return {};
  }
  if (sample.bad_records > 0) {
    e.stats.bad_records += sample.bad_records;
    counts.bad += sample.bad_records;
    error(e, d.id, format_name(sample.bad_format), "sFlow record that does not hold together");
  }
  e.stats.unknown_formats += sample.unknown_records;
  counts.unknown_formats += sample.unknown_records;
  counts.cut_strings += sample.cut_strings;
  sflow_follow(sample, e, d);
  // A discarded packet is an event of its own; a flow sample without a packet or a socket says nothing that a row could hold.
  if (!sample.discarded && !sample.has_packet && !sample.has_socket) return {};
  sflow_row(sample, e, d);
  return out->rows() >= limits::kBatchRows ? (*sink)(out->finish()) : Status();
}

// Each data source numbers its samples, and counts the packets that it chose from and the samples that it could not take.
void Impl::sflow_follow(const SflowSample& s, Exporter& e, Domain& d) {
  const uint64_t key = static_cast<uint64_t>(s.discarded) << 63 | static_cast<uint64_t>(s.source_class & 0xff'ffff) << 32 | s.source_index;
  auto it = d.sources.find(key);
  if (it == d.sources.end()) {
    if (e.sflow_sources >= limits::kSflowSourcesPerExporterMax) {
      ++e.stats.state_refused;
      return error(e, d.id, 0, "more sFlow data sources than are followed");
    }
    if (!charge(e, limits::kSflowSourceBytes)) return error(e, d.id, 0, "more sFlow data sources than are followed");
    ++e.sflow_sources;
    it = d.sources.try_emplace(key).first;
  }
  SflowSource& source = it->second;
  const SequenceTracker::Verdict v = source.sequence.observe(s.sequence, 1, false);
  if (!s.discarded) {
    e.stats.lost_samples += v.lost;
    e.stats.lost_samples -= std::min(e.stats.lost_samples, v.recovered);
  }
  source.rate = s.sampling_rate <= limits::kSamplingRateMax ? s.sampling_rate : 0;
  const auto step = static_cast<int32_t>(s.sequence - source.number);
  if (source.known && step <= 0 && !v.restart) return;  // an old one that came late
  if (source.known && !v.restart && step < limits::kSequenceGapMax) {
    // Both counters wrap at 32 bits. One that goes back was reset.
    const uint32_t pool = s.pool - source.pool, drops = s.drops - source.drops;
    if (!s.discarded && pool < 0x8000'0000u && pool > 0) {
      e.stats.sample_pool += pool;
      e.stats.samples_taken += static_cast<uint32_t>(step);
    }
    if (drops > 0 && drops < 0x8000'0000u) {
      e.stats.sample_drops += drops;
      if (s.discarded)
        lost(e, d, drops, "drop events", "the agent held back drop events");
      else
        lost(e, d, drops, "samples", "the agent lacked resources for samples");
    }
  }
  source.known = true;
  source.number = s.sequence;
  source.pool = s.pool;
  source.drops = s.drops;
}

namespace {

// The rate that an operator gives for a sample: its interface's beats its sub-agent's, which beats that of all; among equals the
// last counts. nullptr: none.
const RateOverride* operator_rate(const ExporterOverride& o, uint32_t sub_agent, const SflowSample& s) {
  const RateOverride* best = nullptr;
  int best_rank = -1;
  for (const RateOverride& r : o.rates) {
    if (r.domain && *r.domain != sub_agent) continue;
    if (r.interface && !(s.source_class == 0 && s.source_index == *r.interface)) continue;
    const int rank = (r.interface ? 2 : 0) + (r.domain ? 1 : 0);
    if (rank < best_rank) continue;
    best = &r;
    best_rank = rank;
  }
  return best;
}

}  // namespace

void Impl::sflow_row(const SflowSample& s, Exporter& e, Domain& d) {
  RowAhead row(*out);
  ++counts.flows;
  const Frame& f = s.frame;
  extra.assign(s.extra);

  // When: sFlow tells no wall clock but in one optional record.
  const bool exact = s.seen_at && *s.seen_at > kPlausibleFrom && *s.seen_at <= header.received_at + limits::kClockSkewMax;
  const TimestampNs at = exact ? *s.seen_at : header.received_at;
  if (s.seen_at && !exact) append_extra(extra, "agent_time", format_timestamp(*s.seen_at));
  row.set<int64_t>(C::flow_start, at);
  row.set<int64_t>(C::flow_end, at);
  row.same<int64_t>(C::received_at, header.received_at);
  row.same<uint8_t>(C::time_quality, static_cast<uint8_t>(exact ? TimeQuality::exact : TimeQuality::estimated));

  // Who speaks.
  row.same<uint8_t>(C::source, static_cast<uint8_t>(Source::sflow5));
  if (e.key.ip != IpAddress{}) row.same<IpAddress>(C::exporter_ip, e.key.ip);
  if (header.port != 0) row.same<uint16_t>(C::exporter_port, header.port);
  row.same<uint32_t>(C::observation_domain, d.id);

  // Volume, as told: one packet of so many bytes. A discarded packet may have been sampled where it came in, and must not count twice.
  if (s.discarded) {
    ++counts.discards;
    ++e.stats.discards;
    row.set<uint64_t>(C::dropped_packets, 1);
    if (s.has_packet) {
      row.set<uint64_t>(C::dropped_bytes, s.length);
      row.same<uint8_t>(C::byte_basis, static_cast<uint8_t>(s.basis));
    }
    row.same<uint32_t>(C::sampling_rate, 1);
  } else {
    if (s.has_packet) {
      row.set<uint64_t>(C::raw_bytes, s.length);
      row.same<uint64_t>(C::raw_packets, 1);
      row.same<uint8_t>(C::byte_basis, static_cast<uint8_t>(s.basis));
    }
    const RateOverride* o = e.override ? operator_rate(*e.override, d.id, s) : nullptr;
    const uint32_t told = s.sampling_rate <= limits::kSamplingRateMax ? s.sampling_rate : 0;
    const bool by_operator = o && (o->force || told == 0);
    if (const uint32_t rate = by_operator ? o->rate : told; rate > 0) row.same<uint32_t>(C::sampling_rate, rate);
  }
  if (s.reason) {
    row.set<uint8_t>(C::action, static_cast<uint8_t>(Action::drop));
    const std::string_view name = sflow_drop_reason(*s.reason);
    row.set_string(C::reject_reason, name.empty() ? "reason " + std::to_string(*s.reason) : std::string(name));
  }

  // The packet.
  const IpLayer& ip = f.ip;
  if (ip.version != 0) {
    row.set<IpAddress>(C::src_ip, ip.src);
    row.set<IpAddress>(C::dst_ip, ip.dst);
    row.set<uint8_t>(C::ip_version, ip.version);
    if (ip.has_protocol) row.set<uint8_t>(C::protocol, ip.protocol);
    if (ip.has_ports) {
      row.set<uint16_t>(C::src_port, ip.src_port);
      row.set<uint16_t>(C::dst_port, ip.dst_port);
    }
    if (s.has_packet) row.set<uint8_t>(C::tos, ip.tos);
    if (ip.has_tcp_flags) row.set<uint16_t>(C::tcp_flags, ip.tcp_flags);
    if (ip.has_icmp) {
      row.set<uint8_t>(C::icmp_type, ip.icmp_type);
      row.set<uint8_t>(C::icmp_code, ip.icmp_code);
    }
    if (ip.fragment_offset != 0) append_extra(extra, "fragment_offset", std::to_string(ip.fragment_offset));
  } else if (f.ethertype != 0) {
    char text[8];
    std::snprintf(text, sizeof text, "0x%04x", f.ethertype);
    append_extra(extra, "ethertype", text);
  }
  if (f.has_macs) {
    row.set<uint64_t>(C::src_mac, f.src_mac);
    row.set<uint64_t>(C::dst_mac, f.dst_mac);
  }
  if (f.tunnel != Tunnel::none) {
    append_extra(extra, "tunnel", to_string(f.tunnel));
    if (f.outer.version != 0) {
      row.set<IpAddress>(C::if_src_ip, f.outer.src);
      row.set<IpAddress>(C::if_dst_ip, f.outer.dst);
      if (f.outer.has_ports) {
        append_extra(extra, "outer_src_port", std::to_string(f.outer.src_port));
        append_extra(extra, "outer_dst_port", std::to_string(f.outer.dst_port));
      }
    }
    if (f.has_key) append_extra(extra, "tunnel_key", std::to_string(f.key));
    if (f.has_inner_macs) {
      append_extra(extra, "inner_src_mac", format_mac(f.inner_src_mac));
      append_extra(extra, "inner_dst_mac", format_mac(f.inner_dst_mac));
    }
  }
  if (f.has_vni) {
    row.set<uint32_t>(C::vni, f.vni);
    if (s.vni && *s.vni != f.vni) append_extra(extra, "switch_vni", std::to_string(*s.vni));
  } else if (s.vni) {
    row.set<uint32_t>(C::vni, *s.vni);
  }
  if (f.labels > 0) {
    row.set<uint32_t>(C::mpls_label, f.label[0]);
    if (f.labels > 1) {
      std::string labels;
      for (size_t i = 0; i < f.labels; ++i) labels.append(i ? " " : "").append(std::to_string(f.label[i]));
      append_extra(extra, "mpls_labels", labels);
    }
  } else if (s.mpls_label) {
    row.set<uint32_t>(C::mpls_label, *s.mpls_label);
  }
  if (f.has_pppoe) append_extra(extra, "pppoe_session", std::to_string(f.pppoe_session));

  // The tag that the frame bore; else the VLAN that the switch put it into.
  const uint32_t vlan = f.tags > 0 ? f.vlan : s.src_vlan.value_or(0);
  if (f.tags > 0 || s.src_vlan) row.set<uint16_t>(C::vlan, static_cast<uint16_t>(vlan));
  if (f.tags > 1) row.set<uint16_t>(C::inner_vlan, f.inner_vlan);
  if (f.tags > 0 && s.src_vlan && *s.src_vlan != vlan) append_extra(extra, "switch_vlan", std::to_string(*s.src_vlan));
  if (s.dst_vlan && *s.dst_vlan != vlan) append_extra(extra, "dst_vlan", std::to_string(*s.dst_vlan));

  // Interfaces: 0 is not known; the greatest is the device itself.
  const auto interface = [&](C column, uint32_t form, uint32_t value, const char* name) {
    if (form == 0 && (value == kSflowInternal || value == 0xffff'ffff))
      append_extra(extra, name, "internal");
    else if (form == 0 && value != 0)
      row.set<uint32_t>(column, value);
    else if (form == 2)
      append_extra(extra, std::string(name) + "_count", std::to_string(value));
  };
  interface(C::input_if, s.input_format, s.input, "input_if");
  interface(C::output_if, s.output_format, s.output, "output_if");
  if (s.source_class == 0 && s.source_index != 0) {
    // A data source that is an interface: what it samples coming in bears it as input.
    if (s.input_format == 0 && s.input == s.source_index)
      row.set<uint8_t>(C::direction, static_cast<uint8_t>(Direction::ingress));
    else if (s.output_format == 0 ? s.output == s.source_index : s.output_format == 2 && s.input_format == 0 && s.input != 0)
      row.set<uint8_t>(C::direction, static_cast<uint8_t>(Direction::egress));  // of several outputs the source must be one, when it is not the input
  }

  // Extended data.
  if (s.next_hop) row.set<IpAddress>(C::next_hop, *s.next_hop);
  if (s.src_prefix) row.set<uint8_t>(C::src_prefix_len, *s.src_prefix);
  if (s.dst_prefix) row.set<uint8_t>(C::dst_prefix_len, *s.dst_prefix);
  if (s.src_as) row.set<uint32_t>(C::src_as, *s.src_as);
  if (s.dst_as) row.set<uint32_t>(C::dst_as, *s.dst_as);
  if (s.nat_src && (ip.version == 0 || *s.nat_src != ip.src)) row.set<IpAddress>(C::nat_src_ip, *s.nat_src);
  if (s.nat_dst && (ip.version == 0 || *s.nat_dst != ip.dst)) row.set<IpAddress>(C::nat_dst_ip, *s.nat_dst);
  if (s.nat_src_port && !(ip.has_ports && *s.nat_src_port == ip.src_port)) row.set<uint16_t>(C::nat_src_port, *s.nat_src_port);
  if (s.nat_dst_port && !(ip.has_ports && *s.nat_dst_port == ip.dst_port)) row.set<uint16_t>(C::nat_dst_port, *s.nat_dst_port);
  if (!s.user.empty()) row.set_string(C::user_name, s.user);
  if (!s.rule.empty()) row.set_string(C::rule_name, s.rule);
  if (!extra.empty()) row.set_string(C::extra, extra);
  out->begin_row();
}

void Impl::sflow_counters(std::span<const uint8_t> body, uint32_t format, Exporter& e, Domain& d) {
  ++counts.counter_samples;
  ++e.stats.counter_samples;
  Xdr in(body);
  in.u32();  // sequence
  uint32_t source_class = 0, source_index = 0;
  if (format == static_cast<uint32_t>(SflowKind::counters)) {
    const uint32_t source = in.u32();
    source_class = source >> 24;
    source_index = source & 0xff'ffff;
  } else {
    source_class = in.u32();
    source_index = in.u32();
  }
  const uint32_t records = in.u32();
  auto bad = [&](uint32_t which, const char* reason) {
    ++e.stats.bad_records;
    ++counts.bad;
    error(e, d.id, format_name(which), reason);
  };
  if (in.ran_short()) return bad(format, "sFlow counters cut short");
  uint32_t index = source_class == 0 ? source_index : 0;
  std::string name;
  for (uint32_t i = 0; i < records; ++i) {
    const uint32_t which = in.u32();
    const std::span<const uint8_t> record = in.bytes(in.u32());
    if (in.ran_short()) {
      bad(which, "sFlow counters cut short");
      break;
    }
    Xdr r(record);
    if (which == 1) {
      const uint32_t number = r.u32();
      r.u32();  // type
      const uint64_t speed = r.u64();
      r.u32();  // direction
      const uint32_t status = r.u32();
      if (r.ran_short()) {
        bad(which, "sFlow counters cut short");
        continue;
      }
      index = number;
      const auto it = e.interfaces.find(number);
      if (it == e.interfaces.end()) {
        if (e.interfaces.size() >= limits::kExporterInterfacesMax) {
          ++e.stats.state_refused;
          error(e, d.id, 0, "more interfaces than are kept");
          continue;
        }
        if (!charge(e, limits::kExporterEntryBytes)) {
          error(e, d.id, 0, "more interfaces than are kept");
          continue;
        }
      }
      const SflowInterface told{speed, (status & 1) != 0, (status & 2) != 0};
      if (it == e.interfaces.end() || it->second != told) ++names_version;  // shown with the names
      e.interfaces[number] = told;
    } else if (which == 1005) {
      const std::string_view text = r.text();
      if (r.ran_short())
        bad(which, "sFlow counters cut short");
      else
        name = clean_text(text.substr(0, limits::kExporterNameBytesMax * 4));
    } else if (!is_known_counter(which)) {
      ++e.stats.unknown_formats;
      ++counts.unknown_formats;
    }
  }
  if (index != 0 && !name.empty()) remember_name(e, NameKind::interface, index, std::move(name), {});
}

}  // namespace sluice::ingest
