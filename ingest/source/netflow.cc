#include "ingest/source/netflow.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ingest/source/limits.h"
#include "ingest/source/netflow_decoder.h"

namespace sluice::ingest {

PacketCounts& PacketCounts::operator+=(const PacketCounts& o) {
  packets += o.packets;
  flows += o.flows;
  options_records += o.options_records;
  templates += o.templates;
  bad += o.bad;
  malformed += o.malformed;
  pending_sets += o.pending_sets;
  clamped_times += o.clamped_times;
  cut_strings += o.cut_strings;
  sflow_packets += o.sflow_packets;
  sflow_flows += o.sflow_flows;
  sflow_bad += o.sflow_bad;
  discards += o.discards;
  counter_samples += o.counter_samples;
  unknown_formats += o.unknown_formats;
  return *this;
}

using Impl = PacketDecoder::Impl;

PacketDecoder::PacketDecoder(PacketDecoderOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
PacketDecoder::~PacketDecoder() = default;

Result<PacketCounts> PacketDecoder::decode(std::span<const uint8_t> packet, const PacketSender& sender, TimestampNs received_at,
                                           FlowBatchBuilder& out, const FlowSink& sink) {
  return impl_->counted(out, sink, [&] { return impl_->decode(packet, sender, received_at); });
}

Result<PacketCounts> PacketDecoder::finish_waiting(const PacketSender* sender, FlowBatchBuilder& out, const FlowSink& sink) {
  const Exporter* only = nullptr;
  if (sender) {
    const auto it = impl_->by_key.find(impl_->key_of(*sender));
    if (it == impl_->by_key.end()) return PacketCounts{};
    only = &*it->second;
  }
  return impl_->counted(out, sink, [&] { return impl_->give_up_waiting(kTimestampMax, only); });
}

Result<PacketCounts> PacketDecoder::finish_overdue(TimestampNs now, FlowBatchBuilder& out, const FlowSink& sink) {
  return impl_->counted(out, sink, [&] { return impl_->give_up_waiting(now); });
}

void PacketDecoder::note_error(const PacketSender& sender, TimestampNs received_at, const char* reason) {
  impl_->header = {};
  impl_->header.received_at = received_at;
  Exporter& e = impl_->exporter(sender, received_at);
  ++e.stats.bad_packets;
  impl_->error(e, 0, 0, reason);
}

void PacketDecoder::end_session(const PacketSender& sender) {
  if (const auto it = impl_->by_key.find(impl_->key_of(sender)); it != impl_->by_key.end()) impl_->forget(it->second);
}

size_t PacketDecoder::expire(TimestampNs now) {
  auto& pending = impl_->pending;
  size_t dropped = 0;
  for (; !pending.empty() && pending.front().header.received_at + limits::kPendingAge <= now; ++dropped) {
    ++pending.front().exporter->stats.pending_dropped;
    impl_->error(*pending.front().exporter, pending.front().header.domain, pending.front().template_id, "data whose template never came");
    impl_->drop(pending.begin());
  }
  for (Exporter& e : impl_->exporters)
    while (e.totals.size() > 0 && e.totals.oldest().at < now - limits::kTotalsAge) impl_->forget_oldest_total(e);
  return dropped;
}

void PacketDecoder::set_overrides(std::vector<ExporterOverride> overrides) {
  impl_->options.overrides = std::move(overrides);
  for (Exporter& e : impl_->exporters) {
    e.override = impl_->override_of(e.key.ip);
    ++e.generation;
  }
}

uint64_t PacketDecoder::names_version() const { return impl_->names_version; }

std::vector<std::pair<std::string, std::string>> PacketDecoder::take_state_changes() {
  // Rates change record by record; they are put into bytes only now.
  for (Exporter& e : impl_->exporters) {
    if (impl_->options.track_state && e.persistent())
      e.totals.take_unsaved(limits::kStateChangesMax - impl_->changes.size(),
                            [&](const RunningTotals::Flow& flow) { impl_->changed(e, state::total_key(e.key, flow.key), state::encode_total(flow.last, flow.at)); });
    if (!std::exchange(e.unsaved, false)) continue;
    for (Domain& d : e.domains)
      if (std::exchange(d.unsaved, false)) impl_->changed(e, state::domain_key(e.key, d), state::encode_domain(d));
  }
  std::vector<std::pair<std::string, std::string>> taken;
  taken.reserve(impl_->changes.size());
  while (!impl_->changes.empty()) {
    auto node = impl_->changes.extract(impl_->changes.begin());
    taken.emplace_back(std::move(node.key()), std::move(node.mapped()));
  }
  return taken;
}

size_t PacketDecoder::load_state(std::span<const std::pair<std::string, std::string>> entries) {
  size_t skipped = 0;
  const bool track = std::exchange(impl_->options.track_state, false);
  // Element descriptions and profiles decide how templates are compiled, but that happens at first use: any order will do.
  for (const auto& [key, value] : entries) skipped += !impl_->load(key, value);
  for (Exporter& e : impl_->exporters) {
    e.shared_stale = true;
    e.totals.settle_restored();
  }
  impl_->options.track_state = track;
  return skipped;
}

size_t PacketDecoder::shard_of(const PacketSender& sender, size_t workers) {
  return workers == 0 ? 0 : (hash_of(sender.ip) ^ sender.session * 0x9e3779b97f4a7c15ull) % workers;
}

size_t PacketDecoder::shard_of_state(std::string_view key, size_t workers) {
  const auto parsed = state::parse_key(key);
  if (!parsed) return 0;
  return shard_of({parsed->kind == 'f' ? parsed->exporter.sender : parsed->exporter.ip, 0, 0, 0}, workers);
}

std::vector<ExporterStats> PacketDecoder::exporter_stats() const {
  std::vector<ExporterStats> all;
  all.reserve(impl_->exporters.size());
  for (auto it = impl_->exporters.rbegin(); it != impl_->exporters.rend(); ++it) {
    ExporterStats s = it->stats;
    s.ip = it->key.ip;
    s.sender = it->is_sflow_agent() ? it->key.sender : it->key.ip;
    s.session = it->key.session;
    s.is_agent = it->is_sflow_agent();
    s.own_port = it->key.port;
    s.templates = it->templates.size();
    s.pending_bytes = it->pending_bytes;
    s.names = it->names.size();
    s.state_bytes = it->state_bytes;
    for (const Domain& d : it->domains) {
      s.domains.push_back(d.id);
      if (d.rate) s.sampling.push_back({0, false, *d.rate, d.algorithm});
      for (const auto& [selector, rate] : d.selectors) s.sampling.push_back(rate);
    }
    // Ports of one switch have few rates between them: each is told once.
    std::set<uint32_t> rates;
    for (const Domain& d : it->domains)
      for (const auto& [key, source] : d.sources)
        if (source.rate > 0) rates.insert(source.rate);
    for (const uint32_t rate : rates) s.sampling.push_back({0, false, rate, 0});
    s.sampling_known = !s.sampling.empty();
    all.push_back(std::move(s));
  }
  return all;
}

std::vector<LossRange> PacketDecoder::loss_ranges() const { return {impl_->losses.begin(), impl_->losses.end()}; }
std::vector<PacketError> PacketDecoder::errors() const { return {impl_->errors.begin(), impl_->errors.end()}; }

std::vector<ExporterName> PacketDecoder::names() const {
  std::vector<ExporterName> all;
  for (const Exporter& e : impl_->exporters) {
    const auto add = [&](NameKind kind, uint64_t number, const std::string& name, const std::string& description) {
      ExporterName out{e.key.ip, kind, number, name, description, {}, {}, {}};
      const auto state = kind == NameKind::interface ? e.interfaces.find(static_cast<uint32_t>(number)) : e.interfaces.end();
      if (state != e.interfaces.end()) {
        out.speed = state->second.speed;
        out.admin_up = state->second.admin_up;
        out.oper_up = state->second.oper_up;
      }
      all.push_back(std::move(out));
    };
    for (const auto& [key, text] : e.names) add(static_cast<NameKind>(key.first), key.second, text.first, text.second);
    for (const auto& [index, state] : e.interfaces)
      if (!e.names.contains({static_cast<uint8_t>(NameKind::interface), index})) add(NameKind::interface, index, {}, {});
  }
  return all;
}

// --- state --------------------------------------------------------------------------------------------------------

Exporter& Impl::exporter(const PacketSender& sender, TimestampNs now) {
  Exporter& e = exporter(key_of(sender));
  if (e.stats.packets == 0) e.stats.first_seen = now;
  e.stats.last_seen = now;
  e.stats.port = sender.port;
  return e;
}

Exporter& Impl::sflow_exporter(const IpAddress& agent, const PacketSender& sender, TimestampNs now) {
  Exporter& e = exporter(ExporterKey{agent, options.key_by_port || sender.session != 0 ? sender.port : uint16_t{0}, sender.session, sender.ip});
  if (e.stats.packets == 0) e.stats.first_seen = now;
  e.stats.last_seen = now;
  e.stats.port = sender.port;
  return e;
}

Exporter& Impl::exporter(const ExporterKey& key) {
  // Most packets come from whoever sent the last one.
  if (!exporters.empty() && exporters.front().key == key) return exporters.front();
  if (const auto it = by_key.find(key); it != by_key.end()) {
    exporters.splice(exporters.begin(), exporters, it->second);
    return exporters.front();
  }
  if (exporters.size() >= limits::kExportersMax) forget(std::prev(exporters.end()));
  exporters.emplace_front();
  exporters.front().key = key;
  exporters.front().override = override_of(key.ip);
  by_key[key] = exporters.begin();
  return exporters.front();
}

Domain& Impl::domain(Exporter& e, uint8_t version, uint32_t id) {
  for (auto it = e.domains.begin(); it != e.domains.end(); ++it)
    if (it->id == id && it->version == version) {
      if (it != e.domains.begin()) e.domains.splice(e.domains.begin(), e.domains, it);
      return e.domains.front();
    }
  // A packet needs its domain: room is made rather than refused. Within the exporter's bound its own oldest domains go; within
  // that of all, the exporters silent for longest, so that forged senders do not take a busy exporter's templates.
  auto over_all = [&] { return state_bytes_total + limits::kExporterDomainBytes > limits::kExporterStatesBytesMax; };
  while (!e.domains.empty() && (e.domains.size() >= limits::kDomainsPerExporterMax ||
                                e.state_bytes + limits::kExporterDomainBytes > limits::kExporterStateBytesMax))
    forget(e, std::prev(e.domains.end()));
  while (over_all() && &exporters.back() != &e) forget(std::prev(exporters.end()));
  while (over_all() && !e.domains.empty()) forget(e, std::prev(e.domains.end()));
  // One domain is kept whatever the bounds say: the number of exporters bounds those.
  e.state_bytes += limits::kExporterDomainBytes;
  state_bytes_total += limits::kExporterDomainBytes;
  e.domains.emplace_front();
  e.domains.front().version = version;
  e.domains.front().id = id;
  return e.domains.front();
}

Status Impl::install(TemplateDefinition definition, Exporter& e, Domain& d) {
  ++counts.templates;
  if (const Status status = check_template(definition); !status.ok()) {
    ++e.stats.bad_records;
    ++counts.bad;
    error(e, d.id, definition.id, status.error().code == ErrorCode::too_large ? "template with too many fields" : "template that cannot be used");
    return {};
  }
  const uint16_t id = definition.id;
  if (const auto known = d.templates.find(id); known != d.templates.end()) {
    if (known->second->definition == definition) {
      e.templates.splice(e.templates.begin(), e.templates, known->second);
      return release(id, e, d);
    }
    // Over UDP a new definition replaces the old one (RFC 7011 §8.4). Over a stream it has to be withdrawn first (§8.1), or records cannot
    // be told apart any more (§9); the new definition is still the better guess.
    ++e.stats.template_changes;
    if (e.key.session != 0) {
      ++e.stats.bad_records;
      ++counts.bad;
      error(e, d.id, id, "template defined anew over a stream without its withdrawal");
    }
    forget(e, known->second);
  }
  const size_t fields = definition.fields.size();
  // Room, from this exporter's own first. Whole exporters go only when all together have too many.
  while (!e.templates.empty() && (e.templates.size() >= limits::kTemplatesPerExporterMax ||
                                  e.template_fields + fields > limits::kTemplateFieldsPerExporterMax)) {
    ++e.stats.templates_evicted;
    forget(e, std::prev(e.templates.end()));
  }
  while (templates_total >= limits::kTemplatesMax || template_fields_total + fields > limits::kTemplateFieldsKeptMax) {
    if (&exporters.back() != &e) {
      forget(std::prev(exporters.end()));
    } else {
      if (e.templates.empty()) break;
      ++e.stats.templates_evicted;
      forget(e, std::prev(e.templates.end()));
    }
  }
  changed(e, state::template_key(e.key, d, id), state::encode(definition));
  e.templates.push_front(StoredTemplate{&d, std::move(definition), nullptr, 0});
  d.templates[id] = e.templates.begin();
  ++templates_total;
  e.template_fields += fields;
  template_fields_total += fields;
  return release(id, e, d);
}

void Impl::withdraw(Exporter& e, Domain& d, uint16_t id) {
  if (const auto known = d.templates.find(id); known != d.templates.end()) forget(e, known->second);
}

void Impl::forget(Exporter& e, std::list<StoredTemplate>::iterator t) {
  changed(e, state::template_key(e.key, *t->domain, t->definition.id), {});
  t->domain->templates.erase(t->definition.id);
  e.template_fields -= t->definition.fields.size();
  template_fields_total -= t->definition.fields.size();
  --templates_total;
  e.templates.erase(t);
}

void Impl::forget(Exporter& e, std::list<Domain>::iterator d) {
  while (!d->templates.empty()) forget(e, d->templates.begin()->second);
  while (!d->pending.empty()) {
    ++e.stats.pending_dropped;
    ++counts.bad;
    drop(d->pending.begin()->second.front());
  }
  changed(e, state::domain_key(e.key, *d), {});
  e.selectors -= d->selectors.size();
  e.sflow_sources -= d->sources.size();
  discharge(e, limits::kExporterDomainBytes + d->selectors.size() * limits::kExporterEntryBytes + d->sources.size() * limits::kSflowSourceBytes);
  e.shared_stale = true;
  e.domains.erase(d);
}

void Impl::forget(std::list<Exporter>::iterator e) {
  while (!e->domains.empty()) forget(*e, e->domains.begin());
  if (!e->names.empty()) ++names_version;
  for (const auto& [key, text] : e->names) {
    name_bytes_total -= text.first.size() + text.second.size();
    name_changed(*e, key.first, key.second, {});
  }
  for (const auto& [key, info] : e->elements) {
    name_bytes_total -= info.name.size();
    changed(*e, state::element_key(e->key, key.first, key.second), {});
  }
  discharge(*e, e->state_bytes);
  totals_total -= e->totals.size();
  e->totals.each([&](const RunningTotals::Flow& flow) {
    if (flow.was_saved) changed(*e, state::total_key(e->key, flow.key), {});
  });
  if (e->fortinet) changed(*e, state::profile_key(e->key), {});
  by_key.erase(e->key);
  exporters.erase(e);
}

const ExporterOverride* Impl::override_of(const IpAddress& ip) const {
  const ExporterOverride* best = nullptr;
  for (const ExporterOverride& o : options.overrides)
    if (o.exporter.contains(ip) && (!best || o.exporter.length >= best->exporter.length)) best = &o;
  return best;
}

std::shared_ptr<const Template> Impl::ready(StoredTemplate& t, Exporter& e) {
  if (t.ready && t.generation == e.generation) return t.ready;
  const ExporterOverride* o = e.override;
  PlanOptions plan;
  plan.netflow9 = t.domain->version == 9;
  plan.post_is_reverse = o && o->post_counters != PostCounters::automatic ? o->post_counters == PostCounters::reverse : e.fortinet;
  t.ready = Template::make(t.definition, plan, [&e](uint32_t pen, uint16_t id) -> const ElementInfo* {
    const auto it = e.elements.find({pen, id});
    return it == e.elements.end() ? nullptr : &it->second;
  });
  t.generation = e.generation;
  return t.ready;
}

Result<bool> Impl::hold(uint16_t id, uint16_t waits_for, std::shared_ptr<const Template> plan, std::span<const uint8_t> data, const PacketHeader& h, Exporter& e, Domain& d) {
  // The container's own cost counts too, or empty sets would be free.
  const size_t cost = data.size() + sizeof(PendingSet);
  if (e.pending_bytes + cost > limits::kPendingBytesPerExporter) return false;
  while (pending_bytes + cost > limits::kPendingBytesMax) {
    if (pending.front().plan) {  // it can be written
      Exporter& owner = *pending.front().exporter;
      const uint64_t flows_before = counts.flows;
      SLUICE_TRY(write_waiting(pending.begin()));
      // All that is written while a packet is read is counted as its exporter's.
      owner.stats.flows += counts.flows - flows_before;
      e.stats.flows -= counts.flows - flows_before;
      continue;
    }
    ++pending.front().exporter->stats.pending_dropped;
    ++counts.bad;
    drop(pending.begin());
  }
  pending_records += plan != nullptr;
  pending.push_back(PendingSet{&e, &d, id, waits_for, std::move(plan), h, {data.begin(), data.end()}});
  d.pending[waits_for].push_back(std::prev(pending.end()));
  e.pending_bytes += cost;
  pending_bytes += cost;
  ++counts.pending_sets;
  return true;
}

void Impl::drop(std::list<PendingSet>::iterator p) {
  const size_t cost = p->data.size() + sizeof(PendingSet);
  p->exporter->pending_bytes -= cost;
  pending_bytes -= cost;
  pending_records -= p->plan != nullptr;
  const auto waiting = p->domain->pending.find(p->waits_for);
  std::erase(waiting->second, p);
  if (waiting->second.empty()) p->domain->pending.erase(waiting);
  pending.erase(p);
}

Status Impl::release(uint16_t id, Exporter& e, Domain& d) {
  const auto waiting = d.pending.find(id);
  if (waiting == d.pending.end()) return {};
  // Taken out first: decoding options data may install nothing, but a failing sink must not leave half of it behind.
  const auto sets = std::move(waiting->second);
  d.pending.erase(waiting);
  std::vector<PendingSet> ready_sets;
  for (const auto& p : sets) {
    const size_t cost = p->data.size() + sizeof(PendingSet);
    e.pending_bytes -= cost;
    pending_bytes -= cost;
    pending_records -= p->plan != nullptr;
    ready_sets.push_back(std::move(*p));
    pending.erase(p);
  }
  const auto stored = d.templates.find(id);
  for (const PendingSet& set : ready_sets) {
    uint64_t count = 0;
    bool counted = true;
    ++e.stats.pending_decoded;
    SLUICE_TRY(records(set.plan ? set.plan : ready(*stored->second, e), set.data, set.header, e, d, count, counted));
  }
  return {};
}

Status Impl::give_up_waiting(TimestampNs now, const Exporter* only) {
  for (auto p = pending.begin(); p != pending.end();) {
    const auto at = p++;
    if (!at->plan || (only && at->exporter != only) || at->header.received_at + limits::kPendingRecordAge > now) continue;
    Exporter& owner = *at->exporter;
    const uint64_t flows_before = counts.flows;
    SLUICE_TRY(write_waiting(at));
    owner.stats.flows += counts.flows - flows_before;
  }
  return {};
}

Status Impl::write_waiting(std::list<PendingSet>::iterator p) {
  const PendingSet record = *p;
  drop(p);
  std::vector<Place> at;  // `places` are those of the record at hand, which may be what makes this one give up its room
  place_fields(record.plan->definition, record.data, at);
  return rows(*record.plan, at, record.data.data(), record.data.size(), 1, record.header, *record.exporter, *record.domain);
}

bool Impl::charge(Exporter& e, size_t bytes, size_t was) {
  if (e.state_bytes - was + bytes > limits::kExporterStateBytesMax || state_bytes_total - was + bytes > limits::kExporterStatesBytesMax) {
    ++e.stats.state_refused;
    return false;
  }
  e.state_bytes += bytes - was;
  state_bytes_total += bytes - was;
  return true;
}

void Impl::discharge(Exporter& e, size_t bytes) {
  e.state_bytes -= bytes;
  state_bytes_total -= bytes;
}

void Impl::changed(const Exporter& e, std::string key, std::string value) {
  if (options.track_state && e.persistent()) note_change(std::move(key), std::move(value));
}

void Impl::name_changed(const Exporter& e, uint8_t kind, uint64_t number, std::string value) {
  if (options.track_state && e.key.session == 0) note_change(state::name_key(e.key, kind, number), std::move(value));
}

void Impl::note_change(std::string key, std::string value) {
  const auto it = changes.find(key);
  if (it != changes.end())
    it->second = std::move(value);
  else if (changes.size() < limits::kStateChangesMax)
    changes.emplace(std::move(key), std::move(value));
}

void Impl::forget_oldest_total(Exporter& e) {
  const RunningTotals::Flow& oldest = e.totals.oldest();
  if (oldest.was_saved) changed(e, state::total_key(e.key, oldest.key), {});
  e.totals.forget_oldest();
  --totals_total;
}

void Impl::error(Exporter& e, uint32_t domain_id, uint16_t template_id, const char* reason) {
  const ErrorKey key{e.key.ip, domain_id, template_id, reason};
  auto known = error_index.find(key);
  if (known == error_index.end()) {
    if (errors.size() >= limits::kPacketErrorsMax) {
      const PacketError& oldest = errors.front();
      // The reason's text is not its address: look for the entry by what it points at.
      const auto from = error_index.lower_bound({oldest.exporter, oldest.domain, oldest.template_id, nullptr});
      for (auto it = from; it != error_index.end(); ++it)
        if (it->second == errors.begin()) {
          error_index.erase(it);
          break;
        }
      errors.pop_front();
    }
    errors.push_back({e.key.ip, e.stats.port, domain_id, template_id, reason, 0, e.stats.last_seen, e.stats.last_seen});
    known = error_index.emplace(key, std::prev(errors.end())).first;
  } else {
    errors.splice(errors.end(), errors, known->second);
  }
  PacketError& entry = *known->second;
  ++entry.count;
  entry.port = e.stats.port;
  entry.last = e.stats.last_seen;
}

void Impl::lost(Exporter& e, Domain& d, uint64_t units, const char* unit, const char* how) {
  const TimestampNs from = d.last_packet_at, to = header.received_at + 1;
  // Losses that follow one another closely are one range; there are few streams at once, so a look at the newest is enough.
  int looked = 0;
  for (auto it = losses.rbegin(); it != losses.rend() && looked < 64; ++it, ++looked)
    if (it->exporter == e.key.ip && it->domain == d.id && it->format == header.source && it->how == how) {
      if (from > it->range.to + kMinute) break;
      it->range.to = std::max(it->range.to, to);
      it->lost += units;
      return;
    }
  if (losses.size() >= limits::kLossRangesMax) losses.pop_front();
  losses.push_back({e.key.ip, d.id, header.source, {std::min(from, to), to}, units, unit, how});
}

bool Impl::load(const std::string& key, const std::string& value) {
  if (value.empty()) return true;
  const auto k = state::parse_key(key);
  if (!k) return false;
  ExporterKey who = k->exporter;
  if (!options.key_by_port) who.port = 0;
  const bool in_domain = k->kind == 't' || k->kind == 's';
  if (in_domain && ((k->first != 9 && k->first != 10 && k->first != 1 && k->first != 5 && k->first != 7) || k->second > UINT32_MAX)) return false;
  switch (k->kind) {
    case 't': {
      if (k->third > UINT16_MAX) return false;
      auto definition = state::decode_template(value, static_cast<uint16_t>(k->third));
      if (!definition) return false;
      Exporter& e = exporter(who);
      Domain& d = domain(e, static_cast<uint8_t>(k->first), static_cast<uint32_t>(k->second));
      // Data that waited cannot be here yet, so nothing is decoded.
      const uint64_t before = counts.templates;
      const Status status = install(std::move(*definition), e, d);
      counts.templates = before;
      return status.ok();
    }
    case 's': {
      Domain decoded;
      if (!state::decode_domain(value, decoded)) return false;
      Exporter& e = exporter(who);
      if (e.selectors + decoded.selectors.size() > limits::kSelectorsPerExporterMax) return false;
      Domain& d = domain(e, static_cast<uint8_t>(k->first), static_cast<uint32_t>(k->second));
      if (!charge(e, decoded.selectors.size() * limits::kExporterEntryBytes, d.selectors.size() * limits::kExporterEntryBytes)) return false;
      e.selectors += decoded.selectors.size() - d.selectors.size();
      d.rate = decoded.rate;
      d.algorithm = decoded.algorithm;
      d.system_init_ms = decoded.system_init_ms;
      d.selectors = std::move(decoded.selectors);
      d.interface_rates = decoded.interface_rates;
      return true;
    }
    case 'n': {
      auto text = state::decode_name(value);
      if (!text || k->first > static_cast<uint64_t>(NameKind::application)) return false;
      remember_name(exporter(who), static_cast<NameKind>(k->first), k->second, std::move(text->first), std::move(text->second));
      return true;
    }
    case 'f': {
      auto text = state::decode_name(value);
      if (!text || who.sender == IpAddress{} || k->third > UINT32_MAX) return false;
      remember_name(exporter(who), NameKind::interface, k->third, std::move(text->first), std::move(text->second));
      return true;
    }
    case 'd': {
      auto info = state::decode_element(value);
      if (!info || k->first > UINT32_MAX || k->second > UINT16_MAX) return false;
      Exporter& e = exporter(who);
      if (e.elements.size() >= limits::kExporterElementsMax || name_bytes_total + info->name.size() > limits::kExporterNamesBytesMax) return false;
      const auto at = std::pair(static_cast<uint32_t>(k->first), static_cast<uint16_t>(k->second));
      const auto known = e.elements.find(at);
      if (!charge(e, limits::kExporterEntryBytes + info->name.size(), known == e.elements.end() ? 0 : limits::kExporterEntryBytes + known->second.name.size()))
        return false;
      auto& slot = e.elements[at];
      name_bytes_total += info->name.size() - slot.name.size();
      slot = std::move(*info);
      ++e.generation;
      return true;
    }
    case 'p': {
      const auto fortinet = state::decode_profile(value);
      if (!fortinet) return false;
      Exporter& e = exporter(who);
      e.fortinet = *fortinet;
      ++e.generation;
      return true;
    }
    case 'u': {
      const auto total = state::decode_total(value);
      if (!total) return false;
      Exporter& e = exporter(who);
      if (e.totals.knows(k->first) || e.totals.size() >= limits::kTotalsPerExporterMax || totals_total >= limits::kTotalsMax) return false;
      e.totals.restore(k->first, total->first, total->second);
      ++totals_total;
      return true;
    }
    default: return false;
  }
}

}  // namespace sluice::ingest
