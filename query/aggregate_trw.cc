// trw: the sequential hypothesis test for scanners.
//
// Source: Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P 2004 (threshold random
// walk), with the constants that SiLK's rwscan is used with: an innocent host's first contacts succeed with θ0 = 0.8, a scanner's with θ1 = 0.2,
// and errors of either kind are α = β = 0.01. A success adds ln(θ1 / θ0) = -1.386, a failure ln((1 - θ1) / (1 - θ0)) = 1.386; at
// ln(0.99 / 0.01) = 4.595 the host is a scanner, at -4.595 it is not.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "query/aggregate.h"

namespace sluice::query::aggregate_detail {
namespace {

const double kSuccess = std::log(0.2 / 0.8), kFailure = std::log((1 - 0.2) / (1 - 0.8)), kVerdict = std::log(0.99 / 0.01);

class Trw final : public Aggregate {
 public:
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext&) override {
    const Column &peer = *args[0], &success = *args[1], &time = *args[2];
    for (size_t i = 0; i < rows; ++i) {
      if (peer.is_null(i) || success.is_null(i) || time.is_null(i)) continue;
      take(groups_[groups ? groups[i] : 0], hash_at(peer, i), {time.int_at(i), success.uint_at(i) != 0});
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    auto& theirs = static_cast<Trw&>(other).groups_;
    for (size_t g = 0; g < map.size(); ++g)
      if (map[g] != kNoGroup)
        for (const auto& [peer, contact] : theirs[g]) take(groups_[map[g]], peer, contact);
  }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    Column out(PhysicalType::F64);
    std::vector<Contact> walk;
    for (uint32_t g : groups) {
      walk.clear();
      for (const auto& [peer, contact] : groups_[g]) walk.push_back(contact);
      if (walk.empty()) {
        out.append_null();
        continue;
      }
      // Of one moment, successes first: the answer must not depend on how rows came, and doubt is the host's.
      std::sort(walk.begin(), walk.end(), [](const Contact& a, const Contact& b) { return std::pair(a.time, !a.success) < std::pair(b.time, !b.success); });
      double lambda = 0;
      for (const Contact& c : walk) {
        lambda += c.success ? kSuccess : kFailure;
        if (lambda >= kVerdict) break;       // found; it stays found
        if (lambda <= -kVerdict) lambda = 0;  // cleared: the test begins anew, or a host could buy its freedom
      }
      out.append(lambda);
    }
    return out;
  }
  size_t byte_size() const override { return groups_.capacity() * sizeof(groups_[0]) + contacts_ * 56; }

 private:
  struct Contact {
    TimestampNs time;
    bool success;
  };
  using Contacts = std::unordered_map<uint64_t, Contact>;  // by hash of the peer: its first contact

  void take(Contacts& contacts, uint64_t peer, const Contact& contact) {
    const auto [it, fresh] = contacts.try_emplace(peer, contact);
    if (fresh) {
      ++contacts_;
    } else if (contact.time < it->second.time) {
      it->second = contact;
    } else if (contact.time == it->second.time) {
      it->second.success = it->second.success || contact.success;
    }
  }

  std::vector<Contacts> groups_;
  size_t contacts_ = 0;
};

}  // namespace

extern const AggregateSpec kTrw{"trw", "trw(peer, success)", "Evidence that first contacts are a scan's: 4.595 and more is a scanner", 2, 2, nullptr, true,
                                [](std::span<const NodePtr> args, bool) -> Result<AggregateMake> {
                                  if (args[1]->type.logical != LogicalType::boolean) return wrong_aggregate_argument("trw", 1, "a condition");
                                  AggregateMake make;
                                  make.result = Type::of(LogicalType::float64);
                                  make.make = [] { return std::make_unique<Trw>(); };
                                  return make;
                                }};

}  // namespace sluice::query::aggregate_detail
