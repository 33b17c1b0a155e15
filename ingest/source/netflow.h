// NetFlow v1, v5, v7, v9, IPFIX and sFlow v5: datagrams in, rows out.
//
// Formats: NetFlow v5 as Cisco documents it (v1 and v7 share its reader), RFC 3954 (v9), RFC 7011/7012 (IPFIX), RFC 5103
// (biflows), RFC 5610 (element descriptions), RFC 6313 (structured data), RFC 5655 (files); sFlow version 5 of sflow.org
// (ingest/source/sflow.h). A packet's first bytes say what it is. NetFlow v6 and v8, sFlow v2 and v4 are counted and dropped.
//
// A PacketDecoder remembers what exporters say about their data: templates, sampling, names, clocks, sequence numbers. It is
// one thread's: shard exporters over workers by PacketDecoder::shard_of so that one exporter's packets meet one decoder.
// It has no locks, no clock and no threads; time comes in as received_at, which should not go back by much.
//
// Errors never stop it: a bad packet, set or record costs itself, is counted with its exporter and shows in errors(). Only a
// failing sink makes decode() fail.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ingest/source/exporter.h"
#include "ingest/source/source.h"
#include "storage/model/batch.h"

namespace sluice::ingest {

struct PacketDecoderOptions {
  // Whether the sender's port tells exporters apart. Off: routers change their port when they reboot, and their templates
  // and sampling should outlive that. On: for exporters behind one address translator.
  bool key_by_port = false;
  // For what exporters say wrongly or not at all.
  std::vector<ExporterOverride> overrides;
  // Whether state goes to take_state_changes(). Off for one-time bodies such as uploaded captures.
  bool track_state = true;
};

// What one packet, or one body, came to.
struct PacketCounts {
  uint64_t packets = 0;
  uint64_t flows = 0;            // rows made, those of data that had waited included
  uint64_t options_records = 0;
  uint64_t templates = 0;        // template records read
  uint64_t bad = 0;              // packets, sets and records that could not be read, and sets that waited and had to make room
  uint64_t malformed = 0;        // of those, packets and sets whose lengths do not hold: a stream ends there (RFC 7011 §9.1)
  uint64_t pending_sets = 0;     // data sets put aside until their template comes
  uint64_t clamped_times = 0;
  uint64_t cut_strings = 0;
  // Of sFlow; the counts above hold them too.
  uint64_t sflow_packets = 0, sflow_flows = 0, sflow_bad = 0;
  uint64_t discards = 0;         // rows of discarded packets
  uint64_t counter_samples = 0;  // no flows
  uint64_t unknown_formats = 0;  // samples and records that are not read

  PacketCounts& operator+=(const PacketCounts& o);
};

class PacketDecoder {
 public:
  explicit PacketDecoder(PacketDecoderOptions options = {});
  ~PacketDecoder();
  PacketDecoder(const PacketDecoder&) = delete;
  PacketDecoder& operator=(const PacketDecoder&) = delete;

  // Decodes one datagram (or one IPFIX message of a stream). Rows go to `out`; whenever it holds limits::kBatchRows they
  // are finished and handed to `sink`, so that out.rows() stays below that between calls. What remains in `out` is the
  // caller's to finish when it sees fit. Fails only with the sink's error; rows not yet handed over stay in `out`.
  Result<PacketCounts> decode(std::span<const uint8_t> packet, const PacketSender& sender, TimestampNs received_at,
                              FlowBatchBuilder& out, const FlowSink& sink);

  // Writes records that wait for a template which their structured data wants, without that data: no more packets come (the end of a
  // file, of the session of `sender`; nullptr: of all). Errors as decode().
  Result<PacketCounts> finish_waiting(const PacketSender* sender, FlowBatchBuilder& out, const FlowSink& sink);

  // Writes those that have waited for too long (limits::kPendingRecordAge), which decode() does with the next packet: for when none comes.
  // Before expire(), which drops what is still waiting then. Errors as decode().
  Result<PacketCounts> finish_overdue(TimestampNs now, FlowBatchBuilder& out, const FlowSink& sink);

  // Notes trouble of an exporter that no packet shows: a stream that is none. `reason` is a literal.
  void note_error(const PacketSender& sender, TimestampNs received_at, const char* reason);
  // Forgets a session (TCP connection, file) and its templates.
  void end_session(const PacketSender& sender);
  // Drops data that has waited too long for a template; how many sets. Call every minute or so.
  size_t expire(TimestampNs now);

  // Changes the operator's overrides; templates are compiled anew as needed.
  void set_overrides(std::vector<ExporterOverride> overrides);

  // What changed since the last call, to be kept in the catalogue's keyspace `ingest_state`: key and value, an empty value
  // for a key to be deleted. Only UDP exporters' state is kept.
  std::vector<std::pair<std::string, std::string>> take_state_changes();
  // Gives back what take_state_changes() once gave. Values from other versions, damaged or hostile ones are skipped; the
  // number skipped is returned. Of several workers each loads all of it, or what shard_of_state() says is its own.
  size_t load_state(std::span<const std::pair<std::string, std::string>> entries);

  // The worker, 0 <= n < workers, that a sender's packets belong to; and the one that a kept key belongs to.
  static size_t shard_of(const PacketSender& sender, size_t workers);
  static size_t shard_of_state(std::string_view key, size_t workers);

  // Copies, for other threads to show. The newest come last.
  std::vector<ExporterStats> exporter_stats() const;
  std::vector<LossRange> loss_ranges() const;
  std::vector<PacketError> errors() const;
  std::vector<ExporterName> names() const;
  // Another number whenever names() may have changed.
  uint64_t names_version() const;

  struct Impl;  // netflow_decoder.h

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::ingest
