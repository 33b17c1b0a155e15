#include "bench/generate/profile_facts.h"

#include <cmath>
#include <cstdio>

#include "bench/generate/prng.h"

namespace sluice::generate {

void ProfileFacts::add(const Flow& flow) {
  const uint64_t src = hash_of(flow.src), dst = hash_of(flow.dst);
  if (flows_ > 0) {
    reversed_ += flow.src == last_.dst && flow.dst == last_.src && flow.protocol == last_.protocol && flow.reply;
    ++end_delta_[static_cast<uint64_t>((flow.end - last_.end) / kMillisecond)];
  }
  ++flows_;
  syn_only_ += flow.protocol == kTcp && flow.tcp_flags == kSyn;
  addresses_.insert(src);
  addresses_.insert(dst);
  const uint64_t pair = mix(src ^ mix(dst));
  pairs_.insert(pair);
  tuples_.insert(mix(pair ^ (uint64_t{flow.dst_port} << 8 | flow.protocol)));
  ++duration_[static_cast<uint64_t>((flow.end - flow.start) / kMillisecond)];
  ++src_[src];
  ++dst_[dst];
  ++src_port_[flow.src_port];
  ++dst_port_[flow.dst_port];
  ++bytes_[flow.bytes];
  ++packets_[flow.packets];
  ++protocol_flags_[uint64_t{flow.protocol} << 8 | flow.tcp_flags];
  ++interfaces_[uint64_t{flow.input_if} << 32 | flow.output_if];
  ++as_numbers_[uint64_t{flow.src_as} << 32 | flow.dst_as];
  last_ = flow;
}

std::string ProfileFacts::json() const {
  const auto entropy = [&](const Histogram& histogram) {
    double bits = 0;
    for (const auto& [value, count] : histogram) {
      const double p = static_cast<double>(count) / static_cast<double>(flows_);
      bits -= p * std::log2(p);
    }
    return bits / 8;
  };
  char text[1'024];
  std::snprintf(text, sizeof text,
                "{\"flows\":%llu,\"addresses\":%zu,\"addresses_per_million\":%.0f,\"reversed\":%.3f,\"syn_only\":%.3f,\"pairs\":%zu,\"tuples\":%zu,\n"
                " \"entropy_bytes\":{\"end_delta\":%.2f,\"duration\":%.2f,\"src\":%.2f,\"dst\":%.2f,\"src_port\":%.2f,\"dst_port\":%.2f,\"bytes\":%.2f,"
                "\"packets\":%.2f,\"protocol_flags\":%.2f,\"interfaces\":%.2f,\"as_numbers\":%.2f}}\n",
                static_cast<unsigned long long>(flows_), addresses_.size(), static_cast<double>(addresses_.size()) * 1e6 / static_cast<double>(flows_),
                static_cast<double>(reversed_) / static_cast<double>(flows_), static_cast<double>(syn_only_) / static_cast<double>(flows_), pairs_.size(),
                tuples_.size(), entropy(end_delta_), entropy(duration_), entropy(src_), entropy(dst_), entropy(src_port_), entropy(dst_port_),
                entropy(bytes_), entropy(packets_), entropy(protocol_flags_), entropy(interfaces_), entropy(as_numbers_));
  return text;
}

}  // namespace sluice::generate
