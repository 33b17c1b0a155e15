// A fuzz input as a sequence of packets: template lifetimes break only over several of them.
//
// Input: chunks of a control byte, a 16-bit length and that many bytes. The control byte picks the sender (2 bits), whether the
// session is a stream (1 bit), and how time goes on (2 bits); 0xff ends a session instead.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "ingest/source/netflow.h"
#include "storage/model/limits.h"

// `version` is that of NetFlow; 0 stands for sFlow 5.
inline void fuzz_packets(const uint8_t* data, size_t size, uint16_t version) {
  using namespace sluice;
  using namespace sluice::ingest;
  PacketDecoder decoder;
  FlowBatchBuilder out;
  const FlowSink sink = [](Batch&& batch) -> Status {
    if (batch.rows > limits::kBatchRows) std::abort();
    return {};
  };
  TimestampNs now = 1'795'176'000 * kSecond;
  uint64_t flows = 0;
  while (size >= 3) {
    const uint8_t control = data[0];
    size_t length = static_cast<size_t>(data[1]) << 8 | data[2];
    data += 3;
    size -= 3;
    if (length > size) length = size;
    PacketSender sender{IpAddress::v4(0x0a000000u + (control & 3)), 2055, 2055, (control & 4) ? uint64_t{1} : uint64_t{0}};
    if (control == 0xff) {
      decoder.end_session(sender);
      continue;
    }
    static constexpr DurationNs steps[] = {0, kMillisecond, kMinute, kHour};
    now += steps[control >> 3 & 3];
    std::vector<uint8_t> packet(data, data + length);  // its own allocation, so that a read past the end is seen
    if (packet.size() >= 2 && (control & 0x20) == 0) {
      packet[0] = 0;
      packet[1] = static_cast<uint8_t>(version);
      if (version == 0 && packet.size() >= 4) {
        packet[2] = 0;
        packet[3] = 5;
      }
      // Most mutations break the length of an IPFIX message, and nothing behind it would be reached.
      if (version == 10 && packet.size() >= 4) {
        packet[2] = static_cast<uint8_t>(packet.size() >> 8);
        packet[3] = static_cast<uint8_t>(packet.size());
      }
    }
    const auto counts = decoder.decode(packet, sender, now, out, sink);
    if (!counts.ok() || out.rows() >= limits::kBatchRows) std::abort();
    flows += counts->flows;
    if ((control & 0x40) != 0) decoder.expire(now);
    data += length;
    size -= length;
  }
  const Batch batch = out.finish();
  for (const Column& column : batch.columns)
    if (column.size() != batch.rows) std::abort();
  const auto at = batch.find(ColumnId::flow_end);
  if (batch.rows > 0 && (!at || batch.columns[*at].has_nulls())) std::abort();  // every row has its time
  // What is kept must be read back, and mean the same.
  const auto changes = decoder.take_state_changes();
  PacketDecoder again;
  if (again.load_state(changes) != 0) std::abort();
  (void)decoder.exporter_stats();
  (void)decoder.errors();
  (void)decoder.loss_ranges();
  (void)decoder.names();
}
