#include "ingest/source/same_traffic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "ingest/source/batch_columns.h"
#include "ingest/source/limits.h"

namespace sluice::ingest {
namespace {

using C = ColumnId;

constexpr ColumnId kColumns[] = {C::flow_start,  C::flow_end,    C::src_ip,           C::dst_ip,           C::src_port,     C::dst_port,
                                 C::protocol,    C::icmp_type,   C::icmp_code,        C::raw_reverse_packets, C::action,    C::direction,
                                 C::is_biflow,   C::source,      C::exporter_ip,      C::reporter,         C::duplicate,    C::src_interface_id,
                                 C::dst_interface_id, C::src_subnet_id, C::dst_subnet_id, C::sampling_rate};

constexpr size_t kPlaceEntries = 4;           // flows that may stand in one place: two cache lines
constexpr size_t kFirstKeys = 4'096;  // the table grows from here
constexpr size_t kAhead = 16;         // rows whose places are fetched before they are looked at

// Two numbers well mixed into one (the folded product of wyhash and its like).
uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_text(uint64_t seed, std::string_view text) {
  uint64_t hash = seed ^ text.size();
  for (; text.size() >= 8; text.remove_prefix(8)) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    hash = mix(hash ^ word, 0x9e3779b97f4a7c15ull);
  }
  uint64_t word = 0;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());  // an empty text may have no place at all
  return mix(hash ^ word, 0xd6e8feb86659fd93ull);
}

bool is_packet_source(uint8_t source) { return source >= static_cast<uint8_t>(Source::netflow1) && source <= static_cast<uint8_t>(Source::sflow5); }

// A reporter is 56 bits of hash, and how coarsely it sampled the row in the low 8: the power of two of its rate. A rate that is not known
// may be any, and is the coarsest, as for the stage `dedup`.
constexpr uint64_t kCoarseness = 0xff;
uint64_t coarseness_of(uint64_t rate) { return rate == 0 ? kCoarseness : static_cast<uint64_t>(std::bit_width(rate)); }
bool is_same_reporter(uint64_t a, uint64_t b) { return ((a ^ b) & ~kCoarseness) == 0; }
bool is_finer(uint64_t a, uint64_t b) { return (a & kCoarseness) < (b & kCoarseness); }

// Who has told of a flow last as the one that counts, and of which time.
struct Entry {
  uint64_t key = 0;  // 0: free
  uint64_t reporter = 0;
  TimestampNs start = 0, end = std::numeric_limits<TimestampNs>::min();
};

}  // namespace

bool tells_reporter(Source source) {
  switch (source) {
    case Source::aws_vpc:
    case Source::aws_tgw:
    case Source::azure_vnet:
    case Source::azure_nsg:
    case Source::gcp_vpc:
    case Source::ibm_vpc:
    case Source::oci_vcn:
    case Source::hubble: return true;
    default: return false;
  }
}

struct SameTraffic::Candidate {
  uint32_t row = 0;
  bool marked = false;       // by its decoder
  bool has_reverse = false;  // it speaks for the other direction too
  uint64_t key = 0, reverse_key = 0, reporter = 0;
  TimestampNs start = 0, end = 0;
};

struct SameTraffic::Group {
  explicit Group(SameTrafficGroup settings) : said(std::move(settings)), entries(kFirstKeys) {}

  const SameTrafficGroup said;
  mutable std::mutex mutex;  // guards what follows
  std::vector<Entry> entries;
  TimestampNs newest = std::numeric_limits<TimestampNs>::min();
  size_t used = 0;     // places of entries that are not free
  size_t crowded = 0;  // young flows that met a full place since the table last grew
  uint64_t compared = 0, marked = 0, forgotten = 0;

  Entry* place(uint64_t key) { return &entries[(key & (entries.size() / kPlaceEntries - 1)) * kPlaceEntries]; }
  void fetch(uint64_t key) {
    const Entry* at = place(key);
    __builtin_prefetch(at);
    __builtin_prefetch(at + kPlaceEntries / 2);
  }

  void grow() {
    const std::vector<Entry> old = std::exchange(entries, std::vector<Entry>(entries.size() * 2));
    used = 0;
    for (const Entry& entry : old)
      if (entry.key != 0 && entry.end >= newest - limits::kSameTrafficGap) put(entry);
    crowded = 0;
  }

  // Takes the place of the flow that ended first.
  void put(const Entry& entry) {
    Entry* const at = place(entry.key);
    Entry* victim = std::min_element(at, at + kPlaceEntries, [](const Entry& a, const Entry& b) { return a.end < b.end; });
    if (victim->key != 0 && victim->end >= newest - limits::kSameTrafficGap) {
      if (entries.size() < limits::kSameTrafficKeysMax && ++crowded > entries.size() / 64) {
        grow();
        return put(entry);
      }
      ++forgotten;
    }
    used += victim->key == 0;
    *victim = entry;
  }

  // Whether another reporter has told of the row. If not, this one has from now on.
  bool told_before(uint64_t key, const Candidate& row) {
    newest = std::max(newest, row.end);
    Entry* const at = place(key);
    Entry* const entry = std::find_if(at, at + kPlaceEntries, [&](const Entry& e) { return e.key == key; });
    if (entry == at + kPlaceEntries) {
      put({key, row.reporter, row.start, row.end});
      return false;
    }
    if (is_same_reporter(entry->reporter, row.reporter)) {
      entry->reporter = row.reporter;  // at the rate of the row told last
      if (row.start <= entry->end + limits::kSameTrafficGap && row.end >= entry->start - limits::kSameTrafficGap) {
        entry->start = std::min(entry->start, row.start);
        entry->end = std::max(entry->end, row.end);
      } else if (row.start > entry->end) {
        entry->start = row.start;
        entry->end = row.end;
      }
      return false;
    }
    const TimestampNs from = std::max(row.start, entry->start - said.tolerance), to = std::min(row.end, entry->end + said.tolerance);
    const bool is_told = from <= to && 2 * (to - from) >= row.end - row.start;
    // Few packets are no account of all: who counts more of them counts from here on.
    if (is_told && !is_finer(row.reporter, entry->reporter)) return true;
    if (is_told || row.end > entry->end) *entry = {key, row.reporter, row.start, row.end};
    return false;
  }

  bool see(const Candidate& row) {
    if (told_before(row.key, row)) return true;
    if (row.has_reverse) told_before(row.reverse_key, row);
    return false;
  }
};

// Values of a batch by row, whichever columns it has.
class SameTraffic::Rows {
 public:
  explicit Rows(const Batch& batch) : rows_(batch.rows) {
    for (size_t i = 0; i < batch.columns.size(); ++i)
      if (const auto id = (*batch.schema)[i].column) columns_[static_cast<size_t>(*id)] = &batch.columns[i];
  }
  size_t size() const { return rows_; }
  bool has(ColumnId id, size_t row) const {
    const Column* c = columns_[static_cast<size_t>(id)];
    return c && !c->is_null(row);
  }
  uint64_t number(ColumnId id, size_t row, uint64_t otherwise = 0) const { return has(id, row) ? columns_[static_cast<size_t>(id)]->uint_at(row) : otherwise; }
  IpAddress ip(ColumnId id, size_t row) const { return columns_[static_cast<size_t>(id)]->ip_at(row); }  // REQUIRES: has
  std::string_view text(ColumnId id, size_t row) const { return has(id, row) ? columns_[static_cast<size_t>(id)]->string_at(row) : std::string_view(); }

 private:
  const size_t rows_;
  std::array<const Column*, kColumnCount> columns_{};
};

SameTraffic::SameTraffic(std::vector<SameTrafficGroup> groups, uint64_t seed) : seed_(seed | 1) {
  for (SameTrafficGroup& group : groups) groups_.push_back(std::make_unique<Group>(std::move(group)));
}

SameTraffic::~SameTraffic() = default;

std::span<const ColumnId> SameTraffic::columns() { return kColumns; }

int SameTraffic::group_of(const IpAddress& exporter) const {
  for (size_t g = 0; g < groups_.size(); ++g)
    for (const Prefix& prefix : groups_[g]->said.exporters)
      if (prefix.contains(exporter)) return static_cast<int>(g);
  return -1;
}

std::vector<std::vector<SameTraffic::Candidate>> SameTraffic::candidates(const Rows& rows) const {
  // Groups by source, and by exporter: packets of one exporter stand together, and a batch has few exporters.
  std::array<int, 256> by_source;
  by_source.fill(-1);
  for (size_t g = groups_.size(); g-- > 0;)
    for (const Source source : groups_[g]->said.sources) by_source[static_cast<size_t>(source)] = static_cast<int>(g);
  std::unordered_map<uint64_t, int> by_exporter;
  IpAddress last_exporter{};
  int last_group = -1;
  bool has_last = false;
  uint64_t last_hash = 0;
  std::array<uint64_t, 4> k{};
  for (size_t i = 0; i < k.size(); ++i) k[i] = mix(seed_ + i, 0x9e3779b97f4a7c15ull) | 1;

  std::vector<std::vector<Candidate>> found(groups_.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    const auto source = static_cast<uint8_t>(rows.number(C::source, row));
    int group = -1;
    uint64_t reporter = 0;
    const uint64_t side = rows.number(C::direction, row, 2) << 8 | rows.number(C::reporter, row, 3) << 4 | static_cast<uint64_t>(source) << 16;
    if (is_packet_source(source)) {
      if (!rows.has(C::exporter_ip, row)) continue;
      const IpAddress exporter = rows.ip(C::exporter_ip, row);
      if (!has_last || exporter != last_exporter) {
        has_last = true;
        last_exporter = exporter;
        last_hash = mix(exporter.high() ^ k[0], exporter.low() ^ k[1]);
        const auto [known, is_new] = by_exporter.try_emplace(last_hash, -1);
        if (is_new) known->second = group_of(exporter);
        last_group = known->second;
      }
      group = last_group;
      if (group < 0) continue;
      // What format a router speaks is no difference: some send NetFlow and sFlow of the same ports.
      reporter = mix(last_hash ^ rows.number(C::direction, row, 2), k[2]);
    } else {
      group = by_source[source];
      if (group < 0) continue;
      // A record that does not tell who wrote it cannot be compared.
      if (!rows.has(C::reporter, row) && !rows.has(C::src_interface_id, row) && !rows.has(C::dst_interface_id, row)) continue;
      reporter = hash_text(k[0] ^ side, rows.text(C::src_interface_id, row));
      reporter = hash_text(reporter, rows.text(C::dst_interface_id, row));
      if (source == static_cast<uint8_t>(Source::gcp_vpc)) {
        reporter = hash_text(reporter, rows.text(C::src_subnet_id, row));
        reporter = hash_text(reporter, rows.text(C::dst_subnet_id, row));
      }
    }
    if (!rows.has(C::src_ip, row) || !rows.has(C::dst_ip, row) || !rows.has(C::flow_end, row)) continue;

    Candidate c;
    c.row = static_cast<uint32_t>(row);
    c.reporter = (reporter & ~kCoarseness) | coarseness_of(rows.number(C::sampling_rate, row));
    c.end = static_cast<TimestampNs>(rows.number(C::flow_end, row));
    if (c.end < kDay || c.end > kTimestampMax - kDay) continue;  // no time that can be compared
    c.start = rows.has(C::flow_start, row) ? static_cast<TimestampNs>(rows.number(C::flow_start, row)) : c.end;
    c.start = std::clamp(c.start, c.end - kDay, c.end);
    c.marked = rows.number(C::duplicate, row) != 0;
    const IpAddress src = rows.ip(C::src_ip, row), dst = rows.ip(C::dst_ip, row);
    const uint64_t src_port = rows.number(C::src_port, row), dst_port = rows.number(C::dst_port, row);
    // What one let pass and another refused is no duplicate. "unknown" and null say nothing against "accept".
    const auto action = static_cast<Action>(rows.number(C::action, row, static_cast<uint64_t>(Action::accept)));
    const uint64_t refused = action == Action::reject || action == Action::drop;
    const uint64_t rest = rows.number(C::protocol, row, 0xff) | rows.number(C::icmp_type, row) << 8 | rows.number(C::icmp_code, row) << 16 | refused << 24;
    const auto key_of = [&](const IpAddress& a, const IpAddress& b, uint64_t a_port, uint64_t b_port) {
      const uint64_t from = mix(a.high() ^ k[0], a.low() ^ k[1]), to = mix(b.high() ^ k[2], b.low() ^ k[3]);
      const uint64_t key = mix(from ^ (rest << 32 | a_port << 16 | b_port) ^ k[3], to ^ k[1]);
      return key != 0 ? key : 1;
    };
    c.key = key_of(src, dst, src_port, dst_port);
    if (rows.number(C::is_biflow, row) != 0 && rows.number(C::raw_reverse_packets, row) > 0) {
      c.has_reverse = true;
      c.reverse_key = key_of(dst, src, dst_port, src_port);
    }
    found[static_cast<size_t>(group)].push_back(c);
  }
  return found;
}

void SameTraffic::mark(Batch& batch) {
  if (groups_.empty() || batch.rows == 0) return;
  const Rows rows(batch);
  const auto found = candidates(rows);
  std::vector<std::pair<uint32_t, bool>> changes;  // row, and what its mark becomes
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::vector<Candidate>& of_group = found[g];
    if (of_group.empty()) continue;
    Group& group = *groups_[g];
    std::lock_guard lock(group.mutex);
    group.compared += of_group.size();
    // Rows that their decoder marked come last: their counterparts in the same body speak first, as they did there.
    const bool any_marked = std::any_of(of_group.begin(), of_group.end(), [](const Candidate& c) { return c.marked; });
    for (const bool marked : {false, true}) {
      if (marked && !any_marked) break;
      for (size_t i = 0; i < of_group.size(); ++i) {
        if (i + kAhead < of_group.size()) group.fetch(of_group[i + kAhead].key);
        const Candidate& c = of_group[i];
        if (c.marked != marked) continue;
        if (marked) {
          if (rows.number(C::source, c.row) != static_cast<uint64_t>(Source::gcp_vpc)) continue;
          if (!group.see(c)) changes.emplace_back(c.row, false);
        } else if (group.see(c)) {
          changes.emplace_back(c.row, true);
          ++group.marked;
        }
      }
    }
  }
  if (changes.empty()) return;

  const auto position = batch.find(C::duplicate);
  std::vector<uint8_t> values(batch.rows, 0);
  Bitmap validity(batch.rows);
  if (position) {
    const Column& said = batch.columns[*position];
    for (size_t row = 0; row < batch.rows; ++row) {
      if (said.is_null(row)) continue;
      values[row] = static_cast<uint8_t>(said.uint_at(row));
      validity.set(row, true);
    }
  }
  for (const auto& [row, is_duplicate] : changes) {
    values[row] = is_duplicate;
    validity.set(row, is_duplicate);
  }
  const bool is_full = validity.count() == batch.rows;
  Column column = Column::of<uint8_t>(PhysicalType::U8, std::move(values), is_full ? Bitmap() : std::move(validity));
  if (position) {
    batch.columns[*position] = std::move(column);
  } else {
    std::vector<std::pair<ColumnId, Column>> more;
    more.emplace_back(C::duplicate, std::move(column));
    add_columns(batch, std::move(more));
  }
}

void SameTraffic::learn(const Batch& batch) {
  if (groups_.empty() || batch.rows == 0) return;
  const Rows rows(batch);
  const auto found = candidates(rows);
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::lock_guard lock(groups_[g]->mutex);
    for (const Candidate& c : found[g])
      if (!c.marked) groups_[g]->see(c);
  }
}

std::vector<SameTrafficStats> SameTraffic::stats() const {
  std::vector<SameTrafficStats> out;
  for (const auto& group : groups_) {
    std::lock_guard lock(group->mutex);
    out.push_back({group->said.name, group->compared, group->marked, group->forgotten, group->used});
  }
  return out;
}

}  // namespace sluice::ingest
