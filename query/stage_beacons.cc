// beacons: keys whose connections come like clockwork.
//
// `beacons by KEY, … [min N]` scores each key of at least N connections (20 unless it says) by beacon_score.h, which is RITA v5's
// formula: the regularity of the intervals between starts (flow_start, else flow_end, in whole seconds) and of the bytes, the
// evenness over 24 bars of the query's range, and how long it went on. The best come first; `sort` orders otherwise. A flow that an
// exporter reported in several records makes intervals of the exporter's time-out: stitch first. Bytes that no source told are left out.
//
// `modifiers [lookback D] [threats @LIST]` adds what RITA v5 adds to a score (default_config.hjson), of keys that have src_ip and dst_ip:
// prevalence, the share of the sources here that connect to the destination: +0.15 up to 2 %, -0.15 from 50 % on; the first contact of
// anyone here with the destination in the look-back (30 days unless it says): +0.15 when it is at most 7 days before the range's end, -0.15
// when it is 30 days or more; and with a list, a destination that is on it: +0.15 when the key's connections brought 25 MB or more. RITA's
// other modifiers ask for host headers, TLS signatures, MIME types and names, which flows don't have.
#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "query/beacon_score.h"
#include "query/group.h"
#include "query/retained.h"
#include "query/stage.h"

namespace sluice::query {
namespace {

constexpr uint64_t kConnectionsMin = 20;

// RITA v5's defaults.
constexpr double kModifier = 0.15;
constexpr double kRare = 0.02, kCommon = 0.5;
constexpr DurationNs kNew = 7 * kDay, kOld = 30 * kDay;
constexpr uint64_t kThreatBytes = 25'000'000;

struct ModifierSpec {
  size_t source = 0, destination = 0;     // which of the keys
  TimeRange lookback;
  std::shared_ptr<SubTable> first;        // destination, first contact
  std::optional<IpRanges> threats;        // normalized
};

struct BeaconsSpec {
  std::vector<StageColumn> keys;
  std::optional<size_t> start;
  size_t end = 0, bytes = 0;
  uint64_t least = kConnectionsMin;
  TimeRange range;
  std::optional<ModifierSpec> modifiers;
  std::string text;
};

class Beacons final : public Operator {
 public:
  Beacons(std::shared_ptr<const BeaconsSpec> spec, RunState* run) : spec_(std::move(spec)), table_(types_of(spec_->keys)), claim_(run) {}

  Status begin(Worker& worker) override {
    if (!spec_->modifiers) return {};
    const auto kept = retained(*worker.run.context.snapshot);
    if (kept && kept->first > spec_->modifiers->lookback.from)
      worker.warnings.push_back("beacons looks back to " + format_timestamp(spec_->modifiers->lookback.from) + " for first contacts, and flows are kept from " +
                                format_timestamp(kept->first) + " on: what was contacted before that looks new");
    return {};
  }
  Status push(Chunk chunk, Worker&, const Emit&) override {
    std::vector<ColumnPtr> keys;
    for (const auto& k : spec_->keys) keys.push_back(chunk.slots[k.slot]);
    std::vector<uint32_t> groups;
    table_.find(keys, chunk.rows, groups);
    const Column &end = *chunk.slots[spec_->end], &bytes = *chunk.slots[spec_->bytes];
    const Column* start = spec_->start ? chunk.slots[*spec_->start].get() : nullptr;
    for (size_t i = 0; i < chunk.rows; ++i) {
      const bool by_start = start && !start->is_null(i);
      if (!by_start && end.is_null(i)) continue;
      rows_.push_back({groups[i], by_start ? start->int_at(i) : end.int_at(i), bytes.is_null(i) ? kUnknown : bytes.uint_at(i)});
    }
    return claim_.set(byte_size());
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Beacons>(spec_, &run); }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    auto& o = static_cast<Beacons&>(*other);
    const std::vector<uint32_t> map = table_.merge(o.table_);
    for (Row r : o.rows_) {
      r.group = map[r.group];
      rows_.push_back(r);
    }
    other.reset();
    return claim_.set(byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : spec_->keys) slots.push_back(k.slot);
    slots.insert(slots.end(), {spec_->end, spec_->bytes});
    if (spec_->start) slots.push_back(*spec_->start);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    if (rows_.empty()) return {};
    TimestampNs first = kTimestampMax, last = kTimestampMin;
    for (const Row& r : rows_) first = std::min(first, r.time), last = std::max(last, r.time);
    // The histogram's range: the query's, or where it has no ends, that of the rows.
    if (spec_->range.from != kTimestampMin) first = spec_->range.from;
    if (spec_->range.to != kTimestampMax) last = spec_->range.to;
    const int64_t first_s = first / kSecond, last_s = std::max(last / kSecond, first_s + 1);
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
      return std::tuple(a.group, a.time, a.bytes) < std::tuple(b.group, b.time, b.bytes);
    });
    std::vector<Found> found;
    std::vector<int64_t> times;
    std::vector<double> sizes;
    for (size_t from = 0; from < rows_.size();) {
      size_t to = from;
      times.clear();
      sizes.clear();
      Found f{rows_[from].group, 0, 0, rows_[from].time, 0, {}};
      for (; to < rows_.size() && rows_[to].group == f.group; ++to) {
        times.push_back(rows_[to].time / kSecond);
        f.last = rows_[to].time;
        if (rows_[to].bytes == kUnknown) continue;
        sizes.push_back(static_cast<double>(rows_[to].bytes));
        worker.eval.overflow = __builtin_add_overflow(f.bytes, rows_[to].bytes, &f.bytes) || worker.eval.overflow;
      }
      f.connections = to - from;
      from = to;
      if (!worker.eval.meter.spend(f.connections)) return worker.eval.meter.stopped;
      if (f.connections < spec_->least) continue;
      f.score = beacon_score(times, sizes, first_s, last_s);
      found.push_back(f);
    }
    SLUICE_TRY(claim_.set(byte_size() + found.size() * sizeof(Found)));
    std::vector<uint32_t> groups, order(found.size());
    for (const Found& f : found) groups.push_back(f.group);
    std::vector<Column> keys, out;
    for (size_t k = 0; k < spec_->keys.size(); ++k) keys.push_back(table_.keys(k, groups));
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (found[a].score.score != found[b].score.score) return found[a].score.score > found[b].score.score;
      return row_less(keys, a, b);
    });
    for (const Column& c : keys) out.push_back(c.gather(order));
    Column score(PhysicalType::F64), connections(PhysicalType::U64), period(PhysicalType::I64), jitter(PhysicalType::I64), times_score(PhysicalType::F64),
        sizes_score(PhysicalType::F64), histogram(PhysicalType::F64), duration(PhysicalType::F64), first_seen(PhysicalType::I64), last_seen(PhysicalType::I64),
        bytes(PhysicalType::U64);
    for (uint32_t i : order) {
      const Found& f = found[i];
      score.append(f.score.score);
      connections.append(f.connections);
      period.append(static_cast<int64_t>(f.score.period_s * static_cast<double>(kSecond)));
      jitter.append(static_cast<int64_t>(f.score.jitter_s * static_cast<double>(kSecond)));
      times_score.append(f.score.times);
      sizes_score.append(f.score.sizes);
      histogram.append(f.score.histogram);
      duration.append(f.score.duration);
      first_seen.append(f.first);
      last_seen.append(f.last);
      bytes.append(f.bytes);
    }
    for (Column* c : {&score, &connections, &period, &jitter, &times_score, &sizes_score, &histogram, &duration, &first_seen, &last_seen, &bytes})
      out.push_back(std::move(*c));
    if (spec_->modifiers) SLUICE_TRY(add_modifiers(found, keys, order, worker, out));
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  struct Found {
    uint32_t group;
    uint64_t connections, bytes;
    TimestampNs first, last;
    BeaconScore score;
  };

  // `keys` are of `found`, and rows of the answer are found[order[i]].
  Status add_modifiers(const std::vector<Found>& found, const std::vector<Column>& keys, const std::vector<uint32_t>& order, Worker& worker, std::vector<Column>& out) {
    const ModifierSpec& m = *spec_->modifiers;
    // Sources of each destination: of all pairs, few connections or many.
    std::vector<uint32_t> all(table_.size());
    std::iota(all.begin(), all.end(), 0u);
    const Column sources = table_.keys(m.source, all), destinations = table_.keys(m.destination, all);
    constexpr size_t kNodeBytes = 80;  // of a hash table's entry, by estimate
    SLUICE_TRY(claim_.set(byte_size() + found.size() * sizeof(Found) + all.size() * (3 * kNodeBytes + 32)));
    struct PairHash {
      size_t operator()(const std::pair<IpAddress, IpAddress>& p) const { return hash_of(p.first) * 0x9e3779b97f4a7c15ull ^ hash_of(p.second); }
    };
    std::unordered_set<IpAddress, IpHash> hosts;
    std::unordered_set<std::pair<IpAddress, IpAddress>, PairHash> pairs;
    std::unordered_map<IpAddress, uint64_t, IpHash> hosts_of;
    for (size_t i = 0; i < all.size(); ++i) {
      if (!worker.eval.meter.spend(4)) return worker.eval.meter.stopped;
      if (sources.is_null(i)) continue;
      hosts.insert(sources.ip_at(i));
      if (!destinations.is_null(i) && pairs.emplace(sources.ip_at(i), destinations.ip_at(i)).second) ++hosts_of[destinations.ip_at(i)];
    }
    std::unordered_map<IpAddress, TimestampNs, IpHash> first_of;
    const RowBuffer& contacts = m.first->rows;
    for (size_t i = 0; i < contacts.rows(); ++i) {
      if (!worker.eval.meter.spend(1)) return worker.eval.meter.stopped;
      if (!contacts.slot(0).is_null(i) && !contacts.slot(1).is_null(i)) first_of[contacts.slot(0).ip_at(i)] = contacts.slot(1).int_at(i);
    }

    Column prevalence(PhysicalType::F64), first(PhysicalType::I64), threat(PhysicalType::U8), modifier(PhysicalType::F64), modified(PhysicalType::F64);
    for (uint32_t i : order) {
      double sum = 0;
      const bool known = !keys[m.destination].is_null(i);
      const IpAddress destination = known ? keys[m.destination].ip_at(i) : IpAddress();
      const auto count = known ? hosts_of.find(destination) : hosts_of.end();
      if (count == hosts_of.end()) {
        prevalence.append_null();
      } else {
        const double share = static_cast<double>(count->second) / static_cast<double>(hosts.size());
        sum += share <= kRare ? kModifier : share >= kCommon ? -kModifier : 0;
        prevalence.append(share);
      }
      const auto contact = known ? first_of.find(destination) : first_of.end();
      if (contact == first_of.end()) {
        first.append_null();
      } else {
        const DurationNs age = m.lookback.to - contact->second;
        sum += age <= kNew ? kModifier : age >= kOld ? -kModifier : 0;
        first.append(contact->second);
      }
      if (m.threats) {
        const auto& ranges = m.threats->ranges;
        const auto next = std::upper_bound(ranges.begin(), ranges.end(), destination, [](const IpAddress& ip, const auto& r) { return ip < r.first; });
        const bool listed = known && next != ranges.begin() && destination <= std::prev(next)->second;
        if (listed && found[i].bytes >= kThreatBytes) sum += kModifier;
        threat.append(static_cast<uint8_t>(listed));
      }
      modifier.append(sum);
      modified.append(found[i].score.score + sum);
    }
    out.push_back(std::move(prevalence));
    out.push_back(std::move(first));
    if (m.threats) out.push_back(std::move(threat));
    out.push_back(std::move(modifier));
    out.push_back(std::move(modified));
    return {};
  }

  static constexpr uint64_t kUnknown = UINT64_MAX;
  struct Row {
    uint32_t group;
    TimestampNs time;
    uint64_t bytes;
  };
  size_t byte_size() const { return table_.byte_size() + rows_.capacity() * sizeof(Row); }

  std::shared_ptr<const BeaconsSpec> spec_;
  GroupTable table_;
  std::vector<Row> rows_;
  MemoryClaim claim_;
};

// modifiers [lookback D] [threats @LIST]
bool bind_modifiers(StageBinder& binder, BeaconsSpec& spec) {
  const grammar::Span at = binder.args.place();
  if (!binder.args.word("modifiers")) return true;
  ModifierSpec m;
  DurationNs lookback = kOld;
  if (binder.args.word("lookback")) {
    const auto said = binder.duration("the look-back");
    if (!said) return false;
    lookback = *said;
  }
  if (binder.args.word("threats")) {
    const grammar::Span list_at = binder.args.place();
    const auto expr = binder.args.expression();
    const auto* list = expr ? (*expr)->as<grammar::ListReference>() : nullptr;
    if (!list) return binder.fail(list_at, "expected a list of addresses after 'threats'", std::string(binder.spec().signature));
    ValueSet set;
    if (!binder.list(*list, Type::of(LogicalType::ip), list_at, set)) return false;
    set.ips.normalize();
    m.threats = std::move(set.ips);
  }
  std::optional<size_t> source, destination;
  for (size_t i = 0; i < spec.keys.size(); ++i) {
    if (spec.keys[i].type.column == ColumnId::src_ip) source = i;
    if (spec.keys[i].type.column == ColumnId::dst_ip) destination = i;
  }
  if (!source || !destination) return binder.fail(at, "modifiers need src_ip and dst_ip among the keys", "beacons by src_ip, dst_ip, dst_port modifiers");
  m.source = *source;
  m.destination = *destination;
  const TimeRange range = binder.range();
  if (range.from == kTimestampMin || range.to == kTimestampMax)
    return binder.fail(at, "modifiers need to know where the look-back ends", "give the query a range, such as last 24h");
  m.lookback = range;
  if (__builtin_sub_overflow(range.from, lookback, &m.lookback.from)) m.lookback.from = kTimestampMin;
  auto query = binder.prefix();
  if (!query) return false;
  const grammar::Query contacts = StageBinder::query("from flows | stats first = min(flow_end) by dst_ip");
  query->stages.insert(query->stages.end(), contacts.stages.begin(), contacts.stages.end());
  m.first = binder.subquery(*query, m.lookback, "first contacts");
  if (!m.first) return false;
  spec.modifiers = std::move(m);
  return true;
}

bool bind_beacons(StageBinder& binder) {
  auto spec = std::make_shared<BeaconsSpec>();
  if (!binder.args.word("by")) return binder.expected("'by' and a key");
  spec->keys = binder.keys();
  if (spec->keys.empty()) return false;
  if (binder.args.word("min")) {
    const grammar::Span at = binder.args.place();
    const auto n = binder.count("a count of connections");
    if (!n) return false;
    if (*n < 4) return binder.fail(at, "beacons needs 4 connections or more: fewer have no three intervals");
    spec->least = *n;
  }
  if (!bind_modifiers(binder, *spec) || !binder.end()) return false;
  const auto end = binder.need("flow_end");
  const auto bytes = end ? binder.need("bytes") : std::nullopt;
  if (!bytes) return false;
  spec->end = end->slot;
  spec->bytes = bytes->slot;
  if (const auto start = binder.column("flow_start")) spec->start = start->slot;
  if (binder.failed()) return false;
  spec->range = binder.range();
  spec->text = binder.text();
  const bool modified = spec->modifiers.has_value(), threats = modified && spec->modifiers->threats;
  std::vector<StageColumn> columns = spec->keys;
  const size_t keys = columns.size();
  Type volume = Type::of(LogicalType::uint);
  volume.unit = "bytes";
  const Type share = Type::of(LogicalType::float64), duration = Type::of(LogicalType::duration), time = Type::of(LogicalType::timestamp);
  columns.push_back({"score", 0, share});
  columns.push_back({"connections", 0, Type::of(LogicalType::uint)});
  columns.push_back({"period", 0, duration});
  columns.push_back({"jitter", 0, duration});
  columns.push_back({"times_score", 0, share});
  columns.push_back({"sizes_score", 0, share});
  columns.push_back({"histogram_score", 0, share});
  columns.push_back({"duration_score", 0, share});
  columns.push_back({"first_seen", 0, time});
  columns.push_back({"last_seen", 0, time});
  columns.push_back({"bytes", 0, volume});
  if (modified) {
    columns.push_back({"prevalence", 0, share});
    columns.push_back({"first_contact", 0, time});
    if (threats) columns.push_back({"threat", 0, Type::of(LogicalType::boolean)});
    columns.push_back({"modifier", 0, share});
    columns.push_back({"modified_score", 0, share});
  }
  binder.push_frame(std::make_unique<Beacons>(std::move(spec), binder.run()), std::move(columns), keys);
  return true;
}

constexpr std::string_view kBeaconsWords[] = {"by", "min", "modifiers", "lookback", "threats @"};

}  // namespace

namespace stage_detail {
extern const StageSpec kBeacons{"beacons", "beacons by KEY, … [min N] [modifiers [lookback D] [threats @LIST]]", "How regularly each key connects: RITA's score", kBeaconsWords, bind_beacons};
}

}  // namespace sluice::query
