// reach: the addresses that something could have come to from one address, over recorded flows, in the order of time.
//
// `reach from IP within N hops`: a flow leads from its src_ip to its dst_ip. It can be used once its source has been reached, that is
// when it starts (flow_start, else flow_end) no earlier than that; its destination is reached at that moment. One row for each address
// that is reached by N flows or fewer: the fewest hops, when it was reached over that many at the earliest, and the way there.
// Every flow leads on as it lies, so an answer leads back to who asked: filter for what counts as contact, or put stitch before,
// whose rows all lead from who began.
#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include "query/interner.h"
#include "query/limits.h"
#include "query/stage.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

struct ReachSpec {
  size_t src = 0, dst = 0, end = 0;
  std::optional<size_t> start;
  IpAddress from;
  uint64_t hops = 0;
  std::string text;
};

static_assert(limits::kReachHopsMax <= 64, "a bit for each number of hops");

class Reach final : public Operator {
 public:
  Reach(std::shared_ptr<const ReachSpec> spec, RunState* run) : spec_(std::move(spec)), addresses_(PhysicalType::Ip), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    const Column &src = *chunk.slots[spec_->src], &dst = *chunk.slots[spec_->dst], &end = *chunk.slots[spec_->end];
    const Column* start = spec_->start ? chunk.slots[*spec_->start].get() : nullptr;
    std::vector<uint32_t> from, to;
    addresses_.ids(src, from, nullptr);  // charged with the rest below; a chunk adds little
    addresses_.ids(dst, to, nullptr);
    for (uint32_t i = 0; i < chunk.rows; ++i) {
      if (src.is_null(i) || dst.is_null(i) || end.is_null(i) || from[i] == to[i]) continue;
      const TimestampNs t = start && !start->is_null(i) ? std::min(start->int_at(i), end.int_at(i)) : end.int_at(i);
      flows_.push_back({t, from[i], to[i]});
    }
    return claim_.set(byte_size());
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Reach>(spec_, &run); }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    auto& o = static_cast<Reach&>(*other);
    const std::vector<uint32_t> map = addresses_.merge(o.addresses_, nullptr);
    for (const Flow& f : o.flows_) flows_.push_back({f.time, map[f.from], map[f.to]});
    other.reset();
    return claim_.set(byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    slots.insert(slots.end(), {spec_->src, spec_->dst, spec_->end});
    if (spec_->start) slots.push_back(*spec_->start);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const Column& known = addresses_.values();
    std::vector<uint32_t> origin_ids;
    Column origin(PhysicalType::Ip);
    origin.append(spec_->from);
    addresses_.ids(origin, origin_ids, nullptr);
    const uint32_t root = origin_ids[0];
    // Numbers of addresses in their order, so that ties do not depend on how rows came.
    std::vector<uint32_t> order(known.size()), place(known.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (known.is_null(a) || known.is_null(b)) return !known.is_null(a) && known.is_null(b);
      return known.ip_at(a) < known.ip_at(b);
    });
    for (uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
    SLUICE_TRY(worker.run.check());
    std::sort(flows_.begin(), flows_.end(), [&](const Flow& a, const Flow& b) {
      return std::tuple(a.time, place[a.from], place[a.to]) < std::tuple(b.time, place[b.from], place[b.to]);
    });

    // By address: how it was first reached over exactly so many hops. Time only goes on, so the first is the earliest.
    struct Arrival {
      TimestampNs time;
      uint32_t from;
    };
    std::map<std::pair<uint32_t, uint32_t>, Arrival> arrivals;  // (address, hops)
    std::vector<uint64_t> reached(known.size(), 0);             // by address: bit h - 1 for h hops
    const uint64_t hops = spec_->hops;
    size_t charged = 0;
    for (size_t from = 0; from < flows_.size();) {
      size_t to = from;
      while (to < flows_.size() && flows_[to].time == flows_[from].time) ++to;
      // Flows of one moment may follow each other: by number of hops, each sees what the one before has reached.
      for (uint64_t h = 0; h < hops; ++h) {
        if (!worker.eval.meter.spend(to - from)) return worker.eval.meter.stopped;
        for (size_t i = from; i < to; ++i) {
          const Flow& f = flows_[i];
          if (!(h == 0 ? f.from == root : reached[f.from] >> (h - 1) & 1) || f.to == root) continue;
          // Over more hops and later is of no use to anybody.
          const uint64_t up_to = h >= 63 ? UINT64_MAX : (uint64_t{2} << h) - 1;
          if (reached[f.to] & up_to) continue;
          reached[f.to] |= uint64_t{1} << h;
          arrivals.emplace(std::pair(f.to, static_cast<uint32_t>(h + 1)), Arrival{f.time, f.from});
        }
      }
      from = to;
      if (arrivals.size() > charged + 4'096) {
        charged = arrivals.size();
        SLUICE_TRY(claim_.set(byte_size() + known.size() * 16 + charged * 80));
      }
    }

    Column ip(PhysicalType::Ip), count(PhysicalType::U64), at(PhysicalType::I64), path(PhysicalType::Str);
    std::vector<std::pair<uint32_t, uint32_t>> shown;  // hops, address
    for (uint32_t a = 0; a < reached.size(); ++a)
      if (a != root && reached[a] != 0) shown.emplace_back(static_cast<uint32_t>(std::countr_zero(reached[a]) + 1), a);
    std::sort(shown.begin(), shown.end(), [&](const auto& a, const auto& b) { return std::pair(a.first, place[a.second]) < std::pair(b.first, place[b.second]); });
    for (const auto& [h, address] : shown) {
      if (!worker.eval.meter.spend(h)) return worker.eval.meter.stopped;
      ip.append(known.ip_at(address));
      count.append(uint64_t{h});
      at.append(arrivals.at({address, h}).time);
      std::vector<uint32_t> way = {address};
      uint32_t step = address;
      for (uint32_t left = h; left > 0; --left) {
        step = arrivals.at({step, left}).from;
        way.push_back(step);
      }
      std::string text;
      for (size_t i = way.size(); i-- > 0;) append_list_item(text, to_string(known.ip_at(way[i])));
      path.append_string(text);
    }
    std::vector<Column> out;
    for (Column* c : {&ip, &count, &at, &path}) out.push_back(std::move(*c));
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  struct Flow {
    TimestampNs time;
    uint32_t from, to;
  };
  size_t byte_size() const { return addresses_.byte_size() + flows_.capacity() * sizeof(Flow); }

  std::shared_ptr<const ReachSpec> spec_;
  Interner addresses_;
  std::vector<Flow> flows_;
  MemoryClaim claim_;
};

bool bind_reach(StageBinder& binder) {
  auto spec = std::make_shared<ReachSpec>();
  if (!binder.args.word("from")) return binder.expected("'from' and an address");
  const auto from = binder.args.expression();
  if (!from) return binder.expected("an address");
  const auto address = binder.address(**from);
  if (!address) return false;
  spec->from = *address;
  if (!binder.args.word("within")) return binder.expected("'within' and a number of hops");
  const grammar::Span at = binder.args.place();
  const auto hops = binder.count("a number of hops");
  if (!hops) return false;
  if (*hops == 0 || *hops > limits::kReachHopsMax)
    return binder.fail(at, "reach follows from 1 to " + std::to_string(limits::kReachHopsMax) + " hops", {}, *hops == 0 ? ErrorCode::invalid_argument : ErrorCode::too_large);
  spec->hops = *hops;
  if (!binder.args.word("hops") && !binder.args.word("hop")) return binder.expected("'hops'");
  if (!binder.end()) return false;
  const auto src = binder.need("src_ip");
  const auto dst = src ? binder.need("dst_ip") : std::nullopt;
  const auto end = dst ? binder.need("flow_end") : std::nullopt;
  if (!end) return false;
  spec->src = src->slot;
  spec->dst = dst->slot;
  spec->end = end->slot;
  if (const auto start = binder.column("flow_start")) spec->start = start->slot;
  if (binder.failed()) return false;
  spec->text = binder.text();
  std::vector<StageColumn> columns = {{"ip", 0, Type::of(LogicalType::ip)},
                                      {"hops", 0, Type::of(LogicalType::uint)},
                                      {"reached", 0, Type::of(LogicalType::timestamp)},
                                      {"path", 0, Type::of(LogicalType::list)}};
  binder.push_frame(std::make_unique<Reach>(std::move(spec), binder.run()), std::move(columns), 1);
  return true;
}

constexpr std::string_view kReachWords[] = {"from", "within", "hops"};

}  // namespace

namespace stage_detail {
extern const StageSpec kReach{"reach", "reach from IP within N hops", "The addresses that can be reached over flows, in the order of time", kReachWords, bind_reach};
}

}  // namespace sluice::query
