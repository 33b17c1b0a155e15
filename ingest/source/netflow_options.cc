// Options data: what an exporter says about itself and its flows. It updates tables and makes no rows.

#include <algorithm>
#include <cstring>

#include "ingest/source/limits.h"
#include "ingest/source/netflow_decoder.h"

namespace sluice::ingest {

using Impl = PacketDecoder::Impl;

namespace {

// informationElementDataType (RFC 5610 §3.1), by its code.
ElementType type_of_code(uint64_t code) {
  static constexpr ElementType types[] = {
      ElementType::octets,  ElementType::number,       ElementType::number,       ElementType::number,
      ElementType::number,  ElementType::integer,      ElementType::integer,      ElementType::integer,
      ElementType::integer, ElementType::real,         ElementType::real,         ElementType::boolean,
      ElementType::mac,     ElementType::text,         ElementType::seconds,      ElementType::milliseconds,
      ElementType::microseconds, ElementType::nanoseconds, ElementType::ipv4,     ElementType::ipv6,
  };
  return code < std::size(types) ? types[code] : ElementType::unknown;
}

}  // namespace

void Impl::share_rate(Exporter& e) {
  if (!e.shared_stale || shares_left == 0) return;
  --shares_left;
  e.shared_stale = false;
  e.shared_rate.reset();
  e.shared_selectors.clear();
  bool agree = true;
  auto meet = [&](uint32_t rate) {
    if (e.shared_rate && *e.shared_rate != rate) agree = false;
    e.shared_rate = rate;
  };
  for (const Domain& d : e.domains) {
    if (d.version < 9) continue;
    if (d.rate) meet(*d.rate);
    for (const auto& [selector, rate] : d.selectors) {
      meet(rate.rate);
      const auto [it, added] = e.shared_selectors.try_emplace(selector, rate.rate);
      if (!added && it->second != rate.rate) it->second.reset();
    }
  }
  if (!agree) e.shared_rate.reset();
}

// Totals of a process: what came since it told last is lost. One that falls began anew; the first says nothing about when.
void Impl::left_out(Exporter& e, Domain& d, const ReliabilityCount& now, const char* unit, const char* how) {
  const auto known = std::ranges::find_if(d.reliability, [&](const ReliabilityCount& c) { return c.element == now.element && c.process == now.process; });
  if (known == d.reliability.end()) {
    if (d.reliability.size() < limits::kReliabilityCountsPerDomainMax) {
      d.reliability.push_back(now);
      return;
    }
    ++e.stats.state_refused;
    return error(e, d.id, 0, "more processes than are followed");
  }
  if (now.count > known->count) lost(e, d, now.count - known->count, unit, how);
  known->count = now.count;
}

void Impl::remember_rate(Exporter& e, Domain& d, std::optional<uint64_t> selector, uint64_t rate, uint8_t algorithm) {
  const auto r = static_cast<uint32_t>(std::clamp<uint64_t>(rate, 1, UINT32_MAX));
  if (selector) {
    const auto it = d.selectors.find(*selector);
    if (it != d.selectors.end() && it->second.rate == r && it->second.algorithm == algorithm) return;
    if (it == d.selectors.end() && (d.selectors.size() >= limits::kSelectorsPerDomainMax || e.selectors >= limits::kSelectorsPerExporterMax))
      return ++e.stats.state_refused, error(e, d.id, 0, "more samplers than are kept");
    if (it == d.selectors.end() && !charge(e, limits::kExporterEntryBytes)) return error(e, d.id, 0, "more samplers than are kept");
    e.selectors += it == d.selectors.end();
    d.interface_rates += it == d.selectors.end() && *selector >= kInterfaceSelector;
    d.selectors[*selector] = {*selector, true, r, algorithm};
  } else {
    if (d.rate == r && d.algorithm == algorithm) return;
    d.rate = r;
    d.algorithm = algorithm;
  }
  e.shared_stale = true;
  d.unsaved = e.unsaved = true;
}

void Impl::remember_name(Exporter& e, NameKind kind, uint64_t number, std::string name, std::string description) {
  // Cut at a whole character: what follows a cut lead byte would not be UTF-8.
  auto cut = [](std::string& s) {
    if (s.size() <= limits::kExporterNameBytesMax) return;
    size_t n = limits::kExporterNameBytesMax;
    while (n > 0 && (static_cast<uint8_t>(s[n]) & 0xc0) == 0x80) --n;
    s.resize(n);
  };
  cut(name);
  cut(description);
  const auto key = std::pair(static_cast<uint8_t>(kind), number);
  const auto it = e.names.find(key);
  if (it != e.names.end()) {
    // One kind of options tells the short name, another the long one.
    if (name.empty()) name = it->second.first;
    if (description.empty()) description = it->second.second;
    if (it->second.first == name && it->second.second == description) return;
  }
  if (name.empty() && description.empty()) return;
  const size_t old_bytes = it == e.names.end() ? 0 : it->second.first.size() + it->second.second.size();
  const size_t bytes = name.size() + description.size();
  if ((it == e.names.end() && e.names.size() >= limits::kExporterNamesMax) ||
      name_bytes_total - old_bytes + bytes > limits::kExporterNamesBytesMax)
    return ++e.stats.state_refused, error(e, 0, 0, "more names than are kept");
  if (!charge(e, limits::kExporterEntryBytes + bytes, it == e.names.end() ? 0 : limits::kExporterEntryBytes + old_bytes))
    return error(e, 0, 0, "more names than are kept");
  name_bytes_total += bytes - old_bytes;
  ++names_version;
  name_changed(e, key.first, number, state::encode_name(name, description));
  e.names[key] = {std::move(name), std::move(description)};
}

void Impl::options_record(const Template& t, const std::vector<Place>& at, const uint8_t* data, Exporter& e, Domain& d) {
  ++e.stats.options_records;
  ++counts.options_records;
  const TemplateDefinition& definition = t.definition;
  using Bytes = std::span<const uint8_t>;
  // The first field with this number that is not empty, and says something that fits a number.
  auto bytes = [&](uint32_t pen, uint16_t id) -> std::optional<Bytes> {
    for (size_t i = 0; i < definition.fields.size(); ++i)
      if (definition.fields[i].pen == pen && definition.fields[i].id == id && at[i].length != 0)
        return Bytes(data + at[i].offset, at[i].length);
    return std::nullopt;
  };
  auto number = [&](uint16_t id, uint32_t pen = pen::kIana) -> std::optional<uint64_t> {
    const auto b = bytes(pen, id);
    return b && b->size() <= 8 ? std::optional(load_number(b->data(), b->size())) : std::nullopt;
  };
  auto text = [&](uint16_t id) -> std::string {
    const auto b = bytes(pen::kIana, id);
    return b ? clean_text({reinterpret_cast<const char*>(b->data()), std::min(b->size(), size_t{1'024})}) : std::string();
  };

  // Sampling. A rate in the scope of one interface is that interface's, and says nothing about the others except where all
  // rates of the exporter agree.
  std::optional<uint64_t> rate;
  if (const auto interval = number(34)) rate = std::max<uint64_t>(*interval, 1);
  else if (const auto random = number(50)) rate = std::max<uint64_t>(*random, 1);
  else if (const auto taken = number(305); taken && *taken > 0)
    rate = (std::min<uint64_t>(*taken, UINT32_MAX) + std::min<uint64_t>(number(306).value_or(0), UINT32_MAX)) / *taken;
  else if (const auto population = number(310), size = number(309); population && size && *size > 0)
    rate = std::max<uint64_t>(*population / *size, 1);
  else if (const auto b = bytes(pen::kIana, 311); b && (b->size() == 4 || b->size() == 8)) {
    double p = 0;
    if (b->size() == 8) {
      const uint64_t raw = load_number(b->data(), 8);
      static_assert(sizeof p == sizeof raw);
      std::memcpy(&p, &raw, sizeof p);
    } else {
      const auto raw = static_cast<uint32_t>(load_number(b->data(), 4));
      float f = 0;
      std::memcpy(&f, &raw, sizeof f);
      p = static_cast<double>(f);
    }
    if (p > 1e-9 && p <= 1) rate = static_cast<uint64_t>(1 / p + 0.5);
  }
  if (rate && *rate > limits::kSamplingRateMax) {
    ++e.stats.bad_records;
    ++counts.bad;
    error(e, d.id, definition.id, "sampling rate that can be none");
  } else if (rate) {
    const auto algorithm = static_cast<uint8_t>(number(304).value_or(number(35).value_or(number(49).value_or(0))));
    auto selector = number(302);
    if (!selector) selector = number(48);
    if (!selector)
      if (const auto interface = number(kScopeInterface, pen::kV9Scope)) selector = interface_selector(*interface);
    // IPFIX has the interface as an element in its scope.
    for (size_t i = 0; !selector && i < std::min<size_t>(definition.scope_fields, definition.fields.size()); ++i)
      if (const auto& f = definition.fields[i]; f.pen == pen::kIana && (f.id == 10 || f.id == 14) && at[i].length > 0 && at[i].length <= 8)
        selector = interface_selector(load_number(data + at[i].offset, at[i].length));
    remember_rate(e, d, selector, *rate, algorithm);
  }

  // Names of interfaces, VRFs, applications.
  if (bytes(pen::kIana, 82) || bytes(pen::kIana, 83)) {
    auto index = number(kScopeInterface, pen::kV9Scope);
    for (uint16_t id : {10, 14, 252, 253})
      if (!index) index = number(id);
    if (index) remember_name(e, NameKind::interface, *index, text(82), text(83));
  }
  if (bytes(pen::kIana, 236)) {
    auto vrf = number(234);
    if (!vrf) vrf = number(235);
    if (vrf) remember_name(e, NameKind::vrf, *vrf, text(236), {});
  }
  if (const auto id = bytes(pen::kIana, 95); id && (bytes(pen::kIana, 96) || bytes(pen::kIana, 94)))
    if (const auto app = application_id(id->data(), id->size())) remember_name(e, NameKind::application, *app, text(96), text(94));

  // Descriptions of enterprise elements (RFC 5610).
  if (const auto id = number(303), enterprise = number(346); id && enterprise && *id <= 0xffff && *enterprise <= UINT32_MAX) {
    std::string name = text(341);
    // A name is a key in `extra`: short, and of one line.
    std::erase_if(name, [](char c) { return static_cast<uint8_t>(c) < 0x20; });
    if (name.size() > 64) name.resize(64);
    name = clean_text(name);
    const auto key = std::pair(static_cast<uint32_t>(*enterprise), static_cast<uint16_t>(*id & 0x7fff));
    const ElementInfo info{name, number(339) ? type_of_code(*number(339)) : ElementType::unknown};
    const auto known = e.elements.find(key);
    const bool same = known != e.elements.end() && known->second.name == info.name && known->second.type == info.type;
    const size_t old_bytes = known == e.elements.end() ? 0 : known->second.name.size();
    if (!name.empty() && !same) {
      if ((known == e.elements.end() && e.elements.size() >= limits::kExporterElementsMax) ||
          name_bytes_total - old_bytes + name.size() > limits::kExporterNamesBytesMax) {
        ++e.stats.state_refused;
        error(e, d.id, definition.id, "more element descriptions than are kept");
      } else if (!charge(e, limits::kExporterEntryBytes + name.size(), known == e.elements.end() ? 0 : limits::kExporterEntryBytes + old_bytes)) {
        error(e, d.id, definition.id, "more element descriptions than are kept");
      } else {
        name_bytes_total += name.size() - old_bytes;
        changed(e, state::element_key(e.key, key.first, key.second), state::encode_element(info));
        e.elements[key] = info;
        e.elements_changed = true;
      }
    }
  }

  // Of a file: whose message, or whose session this was (RFC 5655 §8.1). A sender that is known needs no telling.
  if (e.key.ip == IpAddress{} && (bytes(pen::kIana, 263) || bytes(pen::kIana, 267)))
    for (const auto& [id, length] : {std::pair<uint16_t, size_t>{130, 4}, {131, 16}})
      if (const auto address = bytes(pen::kIana, id); address && address->size() == length)
        if (const IpAddress told = length == 4 ? IpAddress::v4_bytes(address->data()) : IpAddress::v6_bytes(address->data()); told != IpAddress{} && told != IpAddress::v4(0))
          (bytes(pen::kIana, 267) ? e.reported_by : header.reported_by) = told;

  // The exporter about itself.
  if (const auto init = number(160); init && *init > 0 && *init < static_cast<uint64_t>(kTimestampMax / kMillisecond) &&
                                     d.system_init_ms != static_cast<int64_t>(*init)) {
    d.system_init_ms = static_cast<int64_t>(*init);
    d.unsaved = e.unsaved = true;
  }
  if (const auto v = number(166)) left_out(e, d, {166, number(144).value_or(0), *v}, "flows", "the exporter could not send them");
  if (const auto v = number(164)) left_out(e, d, {164, number(143).value_or(0), *v}, "observed packets", "the exporter had no room to count them");
  if (const auto v = number(42)) e.stats.reported_flows = *v;
  if (const auto v = number(41)) e.stats.reported_messages = *v;
  if (const auto v = number(40)) e.stats.reported_bytes = *v;
}

}  // namespace sluice::ingest
