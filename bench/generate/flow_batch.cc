#include "bench/generate/flow_batch.h"

#include "bench/generate/aws_objects.h"

namespace sluice::generate {

void append_row(const Flow& flow, const Reporters& reporters, FlowBatchBuilder& out) {
  using enum ColumnId;
  out.begin_row();
  out.set_time(flow_start, flow.start);
  out.set_time(flow_end, flow.end);
  out.set_time(exported_at, flow.end + kMillisecond);
  out.set_time(received_at, flow.end + 500 * kMillisecond);
  out.set_ip(src_ip, flow.src);
  out.set_ip(dst_ip, flow.dst);
  const bool icmp = flow.protocol == kIcmp || flow.protocol == kIcmp6;
  if (icmp) {
    out.set_uint(icmp_type, flow.dst_port >> 8);
    out.set_uint(icmp_code, flow.dst_port & 0xff);
  }
  out.set_uint(src_port, flow.src_port);
  out.set_uint(dst_port, icmp ? 0 : flow.dst_port);
  out.set_uint(protocol, flow.protocol);
  out.set_uint(ip_version, flow.src.is_v4() ? 4 : 6);
  out.set_uint(raw_bytes, flow.bytes);
  out.set_uint(raw_packets, flow.packets);
  const bool is_cloud = flow.cloud_interface != kNoInterface;
  out.set_uint(tcp_flags, is_cloud ? aws_tcp_flags(flow) : flow.tcp_flags);
  out.set_enum(flags_quality, is_cloud ? FlagsQuality::syn_fin_rst_only : FlagsQuality::all);
  if (is_cloud) {
    const CloudInterface& interface = reporters.interfaces[flow.cloud_interface];
    out.set_enum(source, Source::aws_vpc);
    out.set_enum(action, flow.action == FlowAction::accept ? Action::accept : Action::reject);
    out.set_enum(direction, flow.egress ? Direction::egress : Direction::ingress);
    out.set_string(flow.egress ? src_interface_id : dst_interface_id, interface.id);
    out.set_string(flow.egress ? src_account_id : dst_account_id, interface.account_id);
    out.set_string(flow.egress ? src_vpc_id : dst_vpc_id, interface.vpc_id);
    return;
  }
  const Router& router = reporters.routers[flow.router];
  out.set_uint(input_if, flow.input_if);
  out.set_uint(output_if, flow.output_if);
  out.set_uint(src_as, flow.src_as);
  out.set_uint(dst_as, flow.dst_as);
  out.set_uint(tos, flow.tos);
  out.set_enum(source, router.speaks_v5 ? Source::netflow5 : Source::ipfix);
  out.set_ip(exporter_ip, router.address);
  out.set_uint(observation_domain, router.domain);
  out.set_uint(sampling_rate, router.sampling);
}

}  // namespace sluice::generate
