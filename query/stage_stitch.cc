// stitch: one-way flows paired into two-way conversations.
//
// Flows belong together when their addresses, ports and protocol are the same with source and destination exchanged or not, and
// no more than `within` (5 minutes) lies between the end of what is there and the next start. So a conversation that an exporter
// reported in several records is one row again too. Rows of several reporters of one flow add up: put dedup before.
//
// Who began, by the first rule that tells; `began_by` names it:
//   initiator  the source says so (the column initiator)
//   syn        one side alone has a record with SYN and without ACK (RFC 9293 §3.5: only the first packet of an opening is such)
//   biflow     the record reports both directions, and its forward one is the initiator's (RFC 5103 §4)
//   start      one side's first record starts earlier, and none of the two is sampled
//   port       one side has the lower port: it is the server's (services listen below the ports that clients are given)
//   address    the lesser address, so that the answer repeats
#include <algorithm>
#include <map>
#include <numeric>

#include "query/group.h"
#include "query/stage.h"

namespace sluice::query {
namespace {

constexpr DurationNs kGap = 5 * kMinute;
constexpr uint16_t kSyn = 0x02, kAck = 0x10;

enum Part { kStart, kEnd, kSrcIp, kDstIp, kSrcPort, kDstPort, kProtocol, kBytes, kPackets, kReverseBytes, kReversePackets, kFlags, kReverseFlags, kRate, kInitiator, kBiflow, kPartCount };
constexpr std::string_view kStitched[] = {"flow_start", "flow_end", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "bytes", "packets",
                                       "reverse_bytes", "reverse_packets", "tcp_flags", "reverse_tcp_flags", "sampling_rate", "initiator", "is_biflow"};
static_assert(std::size(kStitched) == kPartCount);

struct StitchSpec {
  std::vector<std::optional<StageColumn>> parts;  // by Part
  DurationNs gap = kGap;
  std::string text;
};

// What one side of a conversation sent.
struct SideSum {
  std::optional<uint64_t> bytes, packets;
  std::optional<uint16_t> flags;
  bool syn_alone = false;
  std::optional<TimestampNs> first;

  void add(std::optional<uint64_t>& sum, std::optional<uint64_t> more, bool& beyond) {
    if (!more) return;
    uint64_t total = sum.value_or(0);
    if (__builtin_add_overflow(total, *more, &total)) {
      beyond = true;
      total = UINT64_MAX;
    }
    sum = total;
  }
};

class Stitch final : public Operator {
 public:
  Stitch(std::shared_ptr<const StitchSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    Chunk needed;
    needed.rows = chunk.rows;
    for (const auto& p : spec_->parts) needed.slots.push_back(p ? chunk.slots[p->slot] : nullptr);
    SLUICE_TRY(rows_.append(needed, claim_));
    return claim_.set(rows_.byte_size());
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Stitch>(spec_, &run); }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    rows_.take(std::move(static_cast<Stitch&>(*other).rows_));
    other.reset();
    return claim_.set(rows_.byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& p : spec_->parts)
      if (p) slots.push_back(p->slot);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t count = rows_.rows();
    if (count == 0) return {};
    SLUICE_TRY(claim_.set(rows_.byte_size() + count * 24));
    // Both directions of a key side by side: (lesser end, greater end, protocol).
    struct Row {
      uint32_t key;
      bool turned;  // the source is the greater end
    };
    std::vector<Row> keyed(count);
    {
      Column low_ip(PhysicalType::Ip), high_ip(PhysicalType::Ip), low_port(PhysicalType::U16), high_port(PhysicalType::U16), protocol(PhysicalType::U8);
      for (uint32_t i = 0; i < count; ++i) {
        keyed[i].turned = source_is_greater(i);
        append(keyed[i].turned ? high_ip : low_ip, kSrcIp, i);
        append(keyed[i].turned ? low_ip : high_ip, kDstIp, i);
        append(keyed[i].turned ? high_port : low_port, kSrcPort, i);
        append(keyed[i].turned ? low_port : high_port, kDstPort, i);
        append(protocol, kProtocol, i);
      }
      SLUICE_TRY(worker.run.check());
      GroupTable table({Type::of(LogicalType::ip), Type::of(LogicalType::ip), Type::of(LogicalType::port), Type::of(LogicalType::port), Type::of(ColumnId::protocol)});
      std::vector<ColumnPtr> columns;
      for (Column* c : {&low_ip, &high_ip, &low_port, &high_port, &protocol}) columns.push_back(std::make_shared<Column>(std::move(*c)));
      std::vector<uint32_t> groups;
      table.find(columns, count, groups);
      for (uint32_t i = 0; i < count; ++i) keyed[i].key = groups[i];
    }
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    std::vector<std::pair<TimestampNs, TimestampNs>> times(count);
    for (uint32_t i = 0; i < count; ++i) times[i] = time_of(i);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return std::tuple(keyed[a].key, times[a], keyed[a].turned, a) < std::tuple(keyed[b].key, times[b], keyed[b].turned, b);
    });
    SLUICE_TRY(worker.run.check());

    std::vector<Conversation> conversations;
    for (size_t from = 0; from < count;) {
      size_t to = from;
      TimestampNs end = times[order[from]].second;
      for (++to; to < count && keyed[order[to]].key == keyed[order[from]].key; ++to) {
        TimestampNs reach;
        if (!__builtin_add_overflow(end, spec_->gap, &reach) && times[order[to]].first > reach) break;
        end = std::max(end, times[order[to]].second);
      }
      if (!worker.eval.meter.spend(to - from)) return worker.eval.meter.stopped;
      Conversation c;
      c.row = order[from];
      c.turned = keyed[c.row].turned;
      c.start = times[order[from]].first;
      c.end = end;
      gather({order.begin() + static_cast<ptrdiff_t>(from), order.begin() + static_cast<ptrdiff_t>(to)}, [&](uint32_t row) { return keyed[row].turned; }, c, worker);
      conversations.push_back(std::move(c));
      from = to;
    }
    // In order of time, and of what tells them apart.
    std::vector<uint32_t> shown(conversations.size());
    std::iota(shown.begin(), shown.end(), 0u);
    std::sort(shown.begin(), shown.end(), [&](uint32_t a, uint32_t b) {
      const Conversation &x = conversations[a], &y = conversations[b];
      if (std::pair(x.end, x.start) != std::pair(y.end, y.start)) return std::pair(x.end, x.start) < std::pair(y.end, y.start);
      for (const auto& [mine, theirs] : {std::pair{kSrcIp, kDstIp}, {kDstIp, kSrcIp}, {kSrcPort, kDstPort}, {kDstPort, kSrcPort}, {kProtocol, kProtocol}})
        if (const int order_of = compare(x.swapped() ? theirs : mine, x.row, y.swapped() ? theirs : mine, y.row)) return order_of < 0;
      return a < b;
    });
    std::vector<Column> out;
    for (const PhysicalType t : {PhysicalType::I64, PhysicalType::I64, PhysicalType::Ip, PhysicalType::Ip, PhysicalType::U16, PhysicalType::U16, PhysicalType::U8,
                                 PhysicalType::U64, PhysicalType::U64, PhysicalType::U64, PhysicalType::U64, PhysicalType::U16, PhysicalType::U16, PhysicalType::I64,
                                 PhysicalType::U64, PhysicalType::Str})
      out.emplace_back(t);
    for (uint32_t i : shown) {
      const Conversation& c = conversations[i];
      const bool swap = c.swapped();
      const SideSum &mine = c.sides[c.beginner], &theirs = c.sides[!c.beginner];
      out[0].append(c.start);
      out[1].append(c.end);
      append(out[2], swap ? kDstIp : kSrcIp, c.row);
      append(out[3], swap ? kSrcIp : kDstIp, c.row);
      append(out[4], swap ? kDstPort : kSrcPort, c.row);
      append(out[5], swap ? kSrcPort : kDstPort, c.row);
      append(out[6], kProtocol, c.row);
      auto number = [](Column& column, std::optional<uint64_t> v) { v ? column.append(*v) : column.append_null(); };
      auto flags = [](Column& column, std::optional<uint16_t> v) { v ? column.append(*v) : column.append_null(); };
      number(out[7], mine.bytes);
      number(out[8], mine.packets);
      number(out[9], theirs.bytes);
      number(out[10], theirs.packets);
      flags(out[11], mine.flags);
      flags(out[12], theirs.flags);
      out[13].append(static_cast<int64_t>(c.end - c.start));
      out[14].append(c.flows);
      out[15].append_string(c.rule);
    }
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  // Side 0 is the lesser end, 1 the greater.
  struct Conversation {
    uint32_t row = 0;  // any row of it: for its key
    bool turned = false;
    TimestampNs start = 0, end = 0;
    SideSum sides[2];
    uint64_t flows = 0;
    int beginner = 0;
    std::string_view rule;
    // Whether the beginner is the destination of `row`.
    bool swapped() const { return turned != (beginner == 1); }
  };

  const Column* part(Part p) const { return rows_.has(p) ? &rows_.slot(p) : nullptr; }
  bool null(Part p, uint32_t row) const { return !part(p) || part(p)->is_null(row); }
  std::optional<uint64_t> number(Part p, uint32_t row) const { return null(p, row) ? std::nullopt : std::optional(part(p)->uint_at(row)); }
  // Nulls first: what is not known is the lesser end.
  int compare(Part a, uint32_t row_a, Part b, uint32_t row_b) const {
    const bool an = null(a, row_a), bn = null(b, row_b);
    if (an || bn) return an == bn ? 0 : an ? -1 : 1;
    if (part(a)->type() == PhysicalType::Ip) {
      const IpAddress x = part(a)->ip_at(row_a), y = part(b)->ip_at(row_b);
      return x < y ? -1 : y < x ? 1 : 0;
    }
    const uint64_t x = part(a)->uint_at(row_a), y = part(b)->uint_at(row_b);
    return x < y ? -1 : y < x ? 1 : 0;
  }
  bool source_is_greater(uint32_t row) const {
    if (const int c = compare(kSrcIp, row, kDstIp, row)) return c > 0;
    return compare(kSrcPort, row, kDstPort, row) > 0;
  }
  void append(Column& column, Part p, uint32_t row) const {
    if (null(p, row))
      column.append_null();
    else
      column.append_from(*part(p), row);
  }
  std::pair<TimestampNs, TimestampNs> time_of(uint32_t row) const {
    const TimestampNs end = part(kEnd)->int_at(row);
    return {null(kStart, row) ? end : std::min(end, part(kStart)->int_at(row)), end};
  }

  template <typename Turned>
  void gather(std::span<const uint32_t> rows, Turned turned, Conversation& c, Worker& worker) const {
    std::optional<int> told, biflow;
    bool told_twice = false, sampled = false;
    for (uint32_t row : rows) {
      const int from = turned(row);
      SideSum &forward = c.sides[from], &back = c.sides[!from];
      const bool both = (!null(kBiflow, row) && part(kBiflow)->uint_at(row) != 0) || number(kReversePackets, row).value_or(0) > 0 ||
                        number(kReverseBytes, row).value_or(0) > 0;
      forward.add(forward.bytes, number(kBytes, row), worker.eval.beyond_count);
      forward.add(forward.packets, number(kPackets, row), worker.eval.beyond_count);
      back.add(back.bytes, number(kReverseBytes, row), worker.eval.beyond_count);
      back.add(back.packets, number(kReversePackets, row), worker.eval.beyond_count);
      if (const auto f = number(kFlags, row)) {
        forward.flags = static_cast<uint16_t>(forward.flags.value_or(0) | *f);
        forward.syn_alone = forward.syn_alone || ((*f & kSyn) != 0 && (*f & kAck) == 0);
      }
      if (const auto f = number(kReverseFlags, row)) {
        back.flags = static_cast<uint16_t>(back.flags.value_or(0) | *f);
        back.syn_alone = back.syn_alone || ((*f & kSyn) != 0 && (*f & kAck) == 0);
      }
      const TimestampNs start = time_of(row).first;
      forward.first = std::min(forward.first.value_or(start), start);
      sampled = sampled || number(kRate, row).value_or(1) > 1;
      if (both && !biflow) biflow = from;
      const auto says = number(kInitiator, row);
      if (says && *says <= static_cast<uint64_t>(Initiator::dst)) {
        const int who = *says == static_cast<uint64_t>(Initiator::src) ? from : !from;
        told_twice = told_twice || (told && *told != who);
        told = who;
      }
      ++c.flows;
    }
    // What nobody reported was not there: zero, beside a side of which something is known.
    const SideSum both_sides[2] = {c.sides[0], c.sides[1]};
    for (int side : {0, 1}) {
      if (both_sides[side].first) continue;
      if (both_sides[!side].bytes && !c.sides[side].bytes) c.sides[side].bytes = 0;
      if (both_sides[!side].packets && !c.sides[side].packets) c.sides[side].packets = 0;
    }
    const SideSum &low = c.sides[0], &high = c.sides[1];
    auto decide = [&](int who, std::string_view rule) {
      c.beginner = who;
      c.rule = rule;
    };
    if (told && !told_twice) return decide(*told, "initiator");
    if (low.syn_alone != high.syn_alone) return decide(low.syn_alone ? 0 : 1, "syn");
    if (biflow) return decide(*biflow, "biflow");
    if (!sampled && low.first && high.first && *low.first != *high.first) return decide(*low.first < *high.first ? 0 : 1, "start");
    const uint32_t row = rows[0];
    const auto source = number(kSrcPort, row), destination = number(kDstPort, row);
    if (source && destination && *source != *destination) {
      const bool source_began = *source > *destination;
      return decide(source_began == turned(row) ? 1 : 0, "port");
    }
    if (!low.first != !high.first && (compare(kSrcIp, row, kDstIp, row) != 0 || compare(kSrcPort, row, kDstPort, row) != 0))
      return decide(low.first ? 0 : 1, "start");  // the other side never spoke
    decide(0, "address");
  }

  std::shared_ptr<const StitchSpec> spec_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

bool bind_stitch(StageBinder& binder) {
  auto spec = std::make_shared<StitchSpec>();
  if (binder.args.word("within")) {
    const auto gap = binder.duration("within");
    if (!gap) return false;
    spec->gap = *gap;
  }
  if (!binder.end()) return false;
  for (Part p : {kEnd, kSrcIp, kDstIp, kSrcPort, kDstPort, kProtocol})
    if (!binder.need(kStitched[p])) return false;
  for (std::string_view name : kStitched) spec->parts.push_back(binder.column(name));
  if (binder.failed()) return false;
  spec->text = binder.text();
  auto typed = [](LogicalType logical, std::string_view unit) {
    Type type = Type::of(logical);
    type.unit = unit;
    return type;
  };
  Type protocol = Type::of(ColumnId::protocol), flags = Type::of(ColumnId::tcp_flags);
  std::vector<StageColumn> columns = {
      {"flow_start", 0, Type::of(LogicalType::timestamp)},
      {"flow_end", 0, Type::of(LogicalType::timestamp)},
      {"src_ip", 0, Type::of(LogicalType::ip)},
      {"dst_ip", 0, Type::of(LogicalType::ip)},
      {"src_port", 0, Type::of(LogicalType::port)},
      {"dst_port", 0, Type::of(LogicalType::port)},
      {"protocol", 0, protocol},
      {"bytes", 0, typed(LogicalType::uint, "bytes")},
      {"packets", 0, typed(LogicalType::uint, "packets")},
      {"reverse_bytes", 0, typed(LogicalType::uint, "bytes")},
      {"reverse_packets", 0, typed(LogicalType::uint, "packets")},
      {"tcp_flags", 0, flags},
      {"reverse_tcp_flags", 0, flags},
      {"duration", 0, Type::of(LogicalType::duration)},
      {"flows", 0, Type::of(LogicalType::uint)},
      {"began_by", 0, Type::of(LogicalType::string)},
  };
  binder.push_frame(std::make_unique<Stitch>(std::move(spec), binder.run()), std::move(columns));
  return true;
}

constexpr std::string_view kStitchWords[] = {"within"};

}  // namespace

namespace stage_detail {
extern const StageSpec kStitch{"stitch", "stitch [within D]", "Pairs one-way flows into two-way conversations", kStitchWords, bind_stitch};
}

}  // namespace sluice::query
