#include "ingest/source/packet_body.h"

#include <algorithm>
#include <string>

#include "ingest/source/limits.h"
#include "ingest/source/pcap.h"
#include "ingest/source/sflow.h"
#include "storage/model/counted.h"

namespace sluice::ingest {
namespace {

using Bytes = std::span<const uint8_t>;

uint16_t word(Bytes b, size_t at) { return static_cast<uint16_t>(b[at] << 8 | b[at + 1]); }
Bytes bytes_of(std::string_view body) { return {reinterpret_cast<const uint8_t*>(body.data()), body.size()}; }

// Ports that devices export to by habit; what comes to them is taken for ours even when it cannot be read.
bool export_port(uint16_t port) {
  static constexpr uint16_t ports[] = {2055, 2056, 4432, 4739, 9555, 9995, 9996, 6343};
  return std::ranges::find(ports, port) != std::end(ports);
}

bool looks_like_ours(Bytes payload) {
  if (payload.size() < 16) return false;
  // sFlow has its version in 32 bits, and an agent's address of a known family behind it.
  if (is_sflow(payload)) return payload.size() >= 28 && word(payload, 2) == 5 && word(payload, 4) == 0 && word(payload, 6) >= 1 && word(payload, 6) <= 2;
  switch (word(payload, 0)) {
    case 1: return (payload.size() - 16) % 48 == 0;
    case 5: return payload.size() >= 24 && (payload.size() - 24) % 48 == 0;
    case 7: return payload.size() >= 24 && (payload.size() - 24) % 52 == 0;
    case 9: return payload.size() >= 20;
    case 10: return word(payload, 2) == payload.size();
    default: return false;
  }
}

// Where the datagram at the start of `b` ends, when several are strung together: fixed formats by their count, IPFIX by its
// length, sFlow by its samples, NetFlow v9 where a set would have the id 9, which is reserved and is the version word of the next.
size_t datagram_bytes(Bytes b) {
  if (b.size() < 4) return b.size();
  const size_t count = word(b, 2);
  size_t end = b.size();
  if (is_sflow(b)) {
    end = sflow_datagram_bytes(b);
    return b.size() - end < 28 || !is_sflow(b.subspan(end)) ? b.size() : end;
  }
  switch (word(b, 0)) {
    case 1: end = 16 + count * 48; break;
    case 5: end = 24 + count * 48; break;
    case 7: end = 24 + count * 52; break;
    case 10: end = std::max<size_t>(count, 16); break;
    case 9: {
      size_t at = 20;
      while (at + 4 <= b.size()) {
        if (word(b, at) == 9 && b.size() - at >= 20) return at;
        const size_t length = word(b, at + 2);
        if (length < 4 || length > b.size() - at) break;
        at += length;
      }
      return b.size();
    }
    default: break;
  }
  // What follows must be a datagram too; else it is padding, or the count is wrong, and the decoder shall say so.
  if (end >= b.size() || b.size() - end < 16 || word(b, end) != word(b, 0)) return b.size();
  return end;
}

}  // namespace

std::string_view to_string(PacketBodyKind kind) {
  switch (kind) {
    case PacketBodyKind::pcap: return "pcap";
    case PacketBodyKind::pcapng: return "pcapng";
    case PacketBodyKind::ipfix_file: return "ipfix";
    case PacketBodyKind::datagram: return "datagram";
    case PacketBodyKind::unknown: break;
  }
  return "unknown";
}

PacketBodyKind packet_body_kind(std::string_view body) {
  const Bytes b = bytes_of(body);
  if (is_pcap(b)) return PacketBodyKind::pcap;
  if (is_pcapng(b)) return PacketBodyKind::pcapng;
  if (b.size() < 2) return PacketBodyKind::unknown;
  if (is_sflow(b)) return PacketBodyKind::datagram;
  switch (word(b, 0)) {
    case 10: return PacketBodyKind::ipfix_file;
    case 1:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9: return PacketBodyKind::datagram;
    default: return PacketBodyKind::unknown;
  }
}

Result<DecodeReport> decode_packet_body(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  PacketDecoderOptions options;
  options.track_state = false;
  PacketDecoder decoder(std::move(options));
  PacketSender sender;
  // An IPFIX file is a stream of its own: withdrawals hold in it.
  sender.session = packet_body_kind(body) == PacketBodyKind::ipfix_file ? 1 : 0;
  SLUICE_ASSIGN(DecodeReport report, decode_packet_body(body, context, sink, decoder, sender));
  // Data still waiting now waits in vain.
  FlowBatchBuilder out;
  SLUICE_ASSIGN(const PacketCounts waited, decoder.finish_waiting(nullptr, out, sink));
  report.accepted += waited.flows;
  report.clamped_times += waited.clamped_times;
  report.cut_strings += waited.cut_strings;
  if (out.rows() > 0) SLUICE_TRY(sink(out.finish()));
  report.rejected += decoder.expire(kTimestampMax);
  if (context.exporters != nullptr)
    for (ExporterStats& e : decoder.exporter_stats())
      if (!(e.ip == IpAddress{})) context.exporters->push_back(std::move(e));  // a bare datagram does not tell
  for (const PacketError& e : decoder.errors())
    if (e.reason == "data whose template never came" && report.errors.size() < limits::kReportedErrorsMax)
      report.errors.push_back({0, e.reason + ": template " + std::to_string(e.template_id) + (e.exporter == IpAddress{} ? "" : " of " + to_string(e.exporter)) + ", domain " +
                                      std::to_string(e.domain) + ", " + counted(e.count, "set")});
  return report;
}

Result<DecodeReport> decode_packet_body(std::string_view body, const DecodeContext& context, const FlowSink& sink,
                                        PacketDecoder& decoder, const PacketSender& sender) {
  DecodeReport report;
  FlowBatchBuilder out;
  auto packet = [&](uint64_t number, Bytes payload, const PacketSender& from, TimestampNs received_at) -> Status {
    SLUICE_ASSIGN(const PacketCounts counts, decoder.decode(payload, from, received_at, out, sink));
    report.accepted += counts.flows;
    report.ignored += counts.options_records + counts.counter_samples;
    report.clamped_times += counts.clamped_times;
    report.cut_strings += counts.cut_strings;
    if (counts.bad > 0) {
      report.rejected += counts.bad;
      if (report.errors.size() < limits::kReportedErrorsMax) {
        const auto errors = decoder.errors();
        report.errors.push_back({number, errors.empty() ? "could not be read" : errors.back().reason});
      }
    }
    return {};
  };
  const Bytes b = bytes_of(body);
  switch (packet_body_kind(body)) {
    case PacketBodyKind::pcap:
    case PacketBodyKind::pcapng: {
      CaptureCounts counts;
      uint64_t ours = 0;
      bool refused = false;
      const Status status = read_capture(
          b,
          [&](const CapturedDatagram& d) -> Status {
            if (!export_port(d.destination_port) && !looks_like_ours(d.payload)) return {};
            ++ours;
            Status taken = packet(d.packet, d.payload, {d.source, d.source_port, d.destination_port, sender.session},
                                  d.time.value_or(context.received_at));
            refused = !taken.ok();
            return taken;
          },
          counts);
      report.ignored += counts.packets - ours - counts.snapped - counts.fragments - counts.broken;
      auto lost = [&](uint64_t n, const char* why) {
        if (n == 0) return;
        report.rejected += n;
        if (report.errors.size() < limits::kReportedErrorsMax) report.errors.push_back({0, why + std::string(": ") + std::to_string(n)});
      };
      lost(counts.snapped, "packets cut short by the capture's snap length");
      lost(counts.fragments, "IP fragments, which are not put together");
      lost(counts.broken, "packets whose pcapng block does not hold together");
      if (counts.truncated) lost(1, "capture that ends inside a packet");
      if (!status.ok()) {
        // A sink's refusal is the caller's to hear; a capture that breaks off keeps what it gave.
        if (refused || counts.packets == 0) return status.error();
        report.reject(counts.packets + 1, status.error().message);
      }
      break;
    }
    case PacketBodyKind::ipfix_file:
    case PacketBodyKind::datagram: {
      Bytes rest = b;
      for (uint64_t number = 1; !rest.empty(); ++number) {
        const size_t n = datagram_bytes(rest);
        SLUICE_TRY(packet(number, rest.first(n), sender, context.received_at));
        rest = rest.subspan(n);
      }
      break;
    }
    case PacketBodyKind::unknown:
      return Error{ErrorCode::invalid_argument, "body is no pcap, pcapng, IPFIX file, NetFlow or sFlow datagram"};
  }
  if (out.rows() > 0) SLUICE_TRY(sink(out.finish()));
  return report;
}

}  // namespace sluice::ingest
