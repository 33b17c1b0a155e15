#include "ingest/source/netflow_state.h"

#include <algorithm>
#include <charconv>

#include "ingest/source/limits.h"

namespace sluice::ingest {

void SequenceTracker::begin(uint32_t sequence, std::optional<uint32_t> count) {
  expected_ = count ? std::optional<uint32_t>(sequence + *count) : std::nullopt;
  strays_ = 0;
}

SequenceTracker::Verdict SequenceTracker::observe(uint32_t sequence, std::optional<uint32_t> count, bool restarted) {
  Verdict verdict;
  if (!expected_ || restarted) {
    verdict.restart = restarted && expected_.has_value();
    if (restarted) gap_count_ = 0;
    begin(sequence, count);
    return verdict;
  }
  const auto step = static_cast<int32_t>(sequence - *expected_);
  if (step == 0) {
    begin(sequence, count);
    return verdict;
  }
  if (step > 0 && step <= limits::kSequenceGapMax) {
    verdict.lost = static_cast<uint64_t>(step);
    if (gap_count_ == gaps_.size()) {
      std::copy(gaps_.begin() + 1, gaps_.end(), gaps_.begin());
      --gap_count_;
    }
    gaps_[gap_count_++] = {*expected_, static_cast<uint32_t>(step)};
    begin(sequence, count);
    return verdict;
  }
  if (step < 0 && step >= -limits::kSequenceReorderMax) {
    for (size_t i = 0; i < gap_count_; ++i) {
      Gap& gap = gaps_[i];
      const uint32_t into = sequence - gap.from;
      if (into >= gap.length) continue;
      // Late, and counted as lost before. What remains of the gap on the shorter side is forgotten: it stays lost.
      const uint32_t units = std::min(std::max<uint32_t>(count.value_or(1), 1), gap.length - into);
      verdict.recovered = units;
      const uint32_t after = gap.length - into - units;
      if (into >= after)
        gap.length = into;
      else
        gap = {gap.from + into + units, after};
      if (gap.length == 0) {
        std::copy(gaps_.begin() + static_cast<ptrdiff_t>(i) + 1, gaps_.begin() + static_cast<ptrdiff_t>(gap_count_),
                  gaps_.begin() + static_cast<ptrdiff_t>(i));
        --gap_count_;
      }
      return verdict;
    }
    // Seen before; unless such packets follow one another, which is a counter that began anew.
    strays_ = strays_ > 0 && sequence == stray_expected_ ? strays_ + 1 : 1;
    stray_expected_ = sequence + count.value_or(0);
    if (strays_ < 3) {
      verdict.duplicate = true;
      return verdict;
    }
  }
  verdict.restart = true;
  gap_count_ = 0;
  begin(sequence, count);
  return verdict;
}

namespace state {
namespace {

constexpr char kVersion = 1;

void put(std::string& s, uint64_t v, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) s += static_cast<char>(v >> (8 * i));
}

// Reads what put() wrote; once it runs short, everything after is 0 and ok() is false.
class StateReader {
 public:
  explicit StateReader(std::string_view s) : s_(s) {}
  uint64_t get(size_t bytes) {
    if (s_.size() < bytes) {
      ok_ = false;
      s_ = {};
      return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(s_[i])) << (8 * i);
    s_.remove_prefix(bytes);
    return v;
  }
  std::string text() {
    const auto n = static_cast<size_t>(get(2));
    if (!ok_ || s_.size() < n || n > limits::kExporterNameBytesMax) {
      ok_ = false;
      return {};
    }
    std::string t(s_.substr(0, n));
    s_.remove_prefix(n);
    return t;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && s_.empty(); }

 private:
  std::string_view s_;
  bool ok_ = true;
};

std::string prefix(char kind, const ExporterKey& e) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string s{kind, '/'};
  for (uint8_t b : e.ip.bytes) {
    s += digits[b >> 4];
    s += digits[b & 15];
  }
  return s + '/' + std::to_string(e.port);
}

void put_text(std::string& s, std::string_view text) {
  text = text.substr(0, limits::kExporterNameBytesMax);
  put(s, text.size(), 2);
  s += text;
}

}  // namespace

std::string template_key(const ExporterKey& e, const Domain& d, uint16_t id) {
  return prefix('t', e) + '/' + std::to_string(d.version) + '/' + std::to_string(d.id) + '/' + std::to_string(id);
}
std::string domain_key(const ExporterKey& e, const Domain& d) {
  return prefix('s', e) + '/' + std::to_string(d.version) + '/' + std::to_string(d.id);
}
std::string name_key(const ExporterKey& e, uint8_t kind, uint64_t number) {
  if (e.sender != IpAddress{})
    return prefix('f', e) + '/' + std::to_string(e.sender.high()) + '/' + std::to_string(e.sender.low()) + '/' + std::to_string(number);
  return prefix('n', e) + '/' + std::to_string(kind) + '/' + std::to_string(number);
}
std::string element_key(const ExporterKey& e, uint32_t pen, uint16_t id) {
  return prefix('d', e) + '/' + std::to_string(pen) + '/' + std::to_string(id);
}
std::string profile_key(const ExporterKey& e) { return prefix('p', e); }
std::string total_key(const ExporterKey& e, uint64_t flow) { return prefix('u', e) + '/' + std::to_string(flow); }

std::string encode(const TemplateDefinition& t) {
  std::string s{kVersion};
  put(s, t.options, 1);
  put(s, t.scope_fields, 2);
  put(s, t.fields.size(), 2);
  for (const TemplateField& f : t.fields) {
    put(s, f.pen, 4);
    put(s, f.id, 2);
    put(s, f.length, 2);
  }
  return s;
}

std::string encode_domain(const Domain& d) {
  std::string s{kVersion};
  put(s, d.rate.has_value(), 1);
  put(s, d.rate.value_or(0), 4);
  put(s, d.algorithm, 1);
  put(s, d.system_init_ms.has_value(), 1);
  put(s, static_cast<uint64_t>(d.system_init_ms.value_or(0)), 8);
  put(s, d.selectors.size(), 2);
  for (const auto& [selector, rate] : d.selectors) {
    put(s, selector, 8);
    put(s, rate.rate, 4);
    put(s, rate.algorithm, 1);
  }
  return s;
}

std::string encode_name(std::string_view name, std::string_view description) {
  std::string s{kVersion};
  put_text(s, name);
  put_text(s, description);
  return s;
}

std::string encode_element(const ElementInfo& e) {
  std::string s{kVersion};
  put(s, static_cast<uint8_t>(e.type), 1);
  put_text(s, e.name);
  return s;
}

std::string encode_profile(bool fortinet) { return std::string{kVersion, static_cast<char>(fortinet)}; }

std::string encode_total(const TotalCounters& last, TimestampNs at) {
  std::string s{kVersion};
  for (const uint64_t counter : {last.bytes, last.packets, last.reverse_bytes, last.reverse_packets}) put(s, counter, 8);
  put(s, static_cast<uint64_t>(at), 8);
  return s;
}

std::optional<Key> parse_key(std::string_view key) {
  Key k;
  if (key.size() < 2 + 32 + 2 || key[1] != '/' || key[34] != '/') return std::nullopt;
  k.kind = key[0];
  for (size_t i = 0; i < 16; ++i) {
    unsigned v = 0;
    const auto [end, error] = std::from_chars(key.data() + 2 + 2 * i, key.data() + 4 + 2 * i, v, 16);
    if (error != std::errc() || end != key.data() + 4 + 2 * i) return std::nullopt;
    k.exporter.ip.bytes[i] = static_cast<uint8_t>(v);
  }
  std::string_view rest = key.substr(35);
  uint64_t parts[4] = {};
  size_t count = 0;
  for (bool more = true; more; ++count) {
    if (count == 4) return std::nullopt;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), parts[count]);
    if (error != std::errc()) return std::nullopt;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    more = !rest.empty();
    if (more) {
      if (rest[0] != '/') return std::nullopt;
      rest.remove_prefix(1);
    }
  }
  static constexpr std::pair<char, size_t> kinds[] = {{'t', 4}, {'s', 3}, {'n', 3}, {'f', 4}, {'d', 3}, {'p', 1}, {'u', 2}};
  if (std::ranges::find(kinds, std::pair<char, size_t>(k.kind, count)) == std::end(kinds)) return std::nullopt;
  if (parts[0] > 0xffff) return std::nullopt;
  k.exporter.port = static_cast<uint16_t>(parts[0]);
  k.first = parts[1];
  k.second = parts[2];
  k.third = parts[3];
  if (k.kind == 'f')
    for (size_t i = 0; i < 16; ++i) k.exporter.sender.bytes[i] = static_cast<uint8_t>((i < 8 ? k.first : k.second) >> (56 - 8 * (i % 8)));
  return k;
}

std::optional<TemplateDefinition> decode_template(std::string_view value, uint16_t id) {
  StateReader in(value);
  TemplateDefinition t;
  t.id = id;
  if (in.get(1) != kVersion) return std::nullopt;
  t.options = in.get(1) != 0;
  t.scope_fields = static_cast<uint16_t>(in.get(2));
  const auto count = static_cast<size_t>(in.get(2));
  if (!in.ok() || count > limits::kTemplateFieldsMax || t.scope_fields > count) return std::nullopt;
  for (size_t i = 0; i < count; ++i) {
    TemplateField f;
    f.pen = static_cast<uint32_t>(in.get(4));
    f.id = static_cast<uint16_t>(in.get(2));
    f.length = static_cast<uint16_t>(in.get(2));
    t.fields.push_back(f);
  }
  if (!in.done() || !check_template(t).ok()) return std::nullopt;
  return t;
}

bool decode_domain(std::string_view value, Domain& into) {
  StateReader in(value);
  if (in.get(1) != kVersion) return false;
  const bool has_rate = in.get(1) != 0;
  const auto rate = static_cast<uint32_t>(in.get(4));
  const auto algorithm = static_cast<uint8_t>(in.get(1));
  const bool has_init = in.get(1) != 0;
  const auto init = static_cast<int64_t>(in.get(8));
  const auto count = static_cast<size_t>(in.get(2));
  if (!in.ok() || count > limits::kSelectorsPerDomainMax) return false;
  std::unordered_map<uint64_t, SamplingRate> selectors;
  for (size_t i = 0; i < count; ++i) {
    SamplingRate s;
    s.selector = in.get(8);
    s.has_selector = true;
    s.rate = static_cast<uint32_t>(in.get(4));
    s.algorithm = static_cast<uint8_t>(in.get(1));
    if (s.rate == 0) return false;
    selectors[s.selector] = s;
  }
  if (!in.done() || (has_rate && rate == 0)) return false;
  if (has_rate) into.rate = rate;
  into.algorithm = algorithm;
  if (has_init) into.system_init_ms = init;
  into.selectors = std::move(selectors);
  into.interface_rates = static_cast<size_t>(std::ranges::count_if(into.selectors, [](const auto& s) { return s.first >= kInterfaceSelector; }));
  return true;
}

std::optional<std::pair<std::string, std::string>> decode_name(std::string_view value) {
  StateReader in(value);
  if (in.get(1) != kVersion) return std::nullopt;
  std::string name = in.text();
  std::string description = in.text();
  if (!in.done()) return std::nullopt;
  return std::pair(std::move(name), std::move(description));
}

std::optional<ElementInfo> decode_element(std::string_view value) {
  StateReader in(value);
  if (in.get(1) != kVersion) return std::nullopt;
  const auto type = in.get(1);
  ElementInfo e;
  e.name = in.text();
  if (!in.done() || e.name.empty() || type > static_cast<uint64_t>(ElementType::unknown)) return std::nullopt;
  e.type = static_cast<ElementType>(type);
  return e;
}

std::optional<bool> decode_profile(std::string_view value) {
  StateReader in(value);
  if (in.get(1) != kVersion) return std::nullopt;
  const bool fortinet = in.get(1) != 0;
  return in.done() ? std::optional(fortinet) : std::nullopt;
}

std::optional<std::pair<TotalCounters, TimestampNs>> decode_total(std::string_view value) {
  StateReader in(value);
  if (in.get(1) != kVersion) return std::nullopt;
  TotalCounters last;
  for (uint64_t TotalCounters::* counter : {&TotalCounters::bytes, &TotalCounters::packets, &TotalCounters::reverse_bytes, &TotalCounters::reverse_packets})
    last.*counter = in.get(8);
  const auto at = static_cast<TimestampNs>(in.get(8));
  return in.done() ? std::optional(std::pair(last, at)) : std::nullopt;
}

}  // namespace state
}  // namespace sluice::ingest
