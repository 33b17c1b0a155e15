// UdpIngest: NetFlow, IPFIX and sFlow packets from UDP sockets become durable rows.
//
// A packet is decoded as what it says it is, on whichever socket it comes: the names of sockets are for people.
// One thread per socket receives and does nothing else; decoders, chosen by exporter, turn packets into rows; one appender
// makes batches durable. Between them stand bounded queues: when the disk is slow the appender's fills, then the decoders',
// then packets are dropped, counted, and noted in the LossBook for answers to warn of.
//
// Thread rule: owns its threads. start and stop belong to one thread; stats from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ingest/receive/udp_receiver.h"
#include "ingest/source/netflow.h"
#include "ingest/source/same_traffic.h"
#include "server/config.h"
#include "server/error_voice.h"
#include "server/loss_book.h"
#include "server/state_backlog.h"
#include "storage/store/store.h"

namespace sluice::server {

struct UdpIngestStats {
  std::vector<std::pair<std::string, ingest::UdpStats>> sockets;  // by bound address
  ingest::PacketCounts counts;
  uint64_t refused_senders = 0;  // packets of senders that --netflow-allow does not name
  uint64_t appended_rows = 0, append_failures = 0, lost_rows = 0, waiting_batches = 0;
  uint64_t state_waiting = 0, state_dropped = 0;  // changes of exporters' state that the catalogue did not take so far, or ever
};

class UdpIngest {
 public:
  struct Parts {
    store::Store& store;
    const Clock& clock;
    LossBook& losses;
    std::function<void()> on_full;  // the store is full: seal, please
    ingest::PacketDecoderOptions decoder = {};
    ingest::SameTraffic* same_traffic = nullptr;
  };
  struct Sockets {
    std::vector<Endpoint> netflow, sflow;
  };
  // Binds all sockets, gives decoders what the catalogue kept of exporters, starts. Errors: one line each.
  // REQUIRES: there is a socket
  static Result<std::unique_ptr<UdpIngest>> start(const Sockets& sockets, const std::vector<Prefix>& allow, size_t decoders, Parts parts);
  ~UdpIngest();

  std::vector<std::string> netflow_addresses() const;  // as bound
  std::vector<std::string> sflow_addresses() const;
  UdpIngestStats stats() const;
  // Copies as of at most half a second ago.
  std::vector<ingest::ExporterStats> exporters() const;
  std::vector<ingest::PacketError> errors() const;
  // What exporters told of interfaces, VRFs and applications, and a number that changes with it.
  std::vector<ingest::ExporterName> names() const;
  uint64_t names_version() const;

  // Takes rows of other receivers (StreamIngest) to be made durable; waits while the queue is full. Any thread, until stop().
  Status hand_over(Batch&& batch);

  // Stops receiving, decodes what is queued, appends it. Twice is once.
  void stop();

 private:
  struct Worker {
    std::shared_ptr<ingest::PacketQueue> queue;
    std::unique_ptr<ingest::PacketDecoder> decoder;
    std::thread thread;
    StateBacklog backlog;  // of the thread
    ErrorVoice voice;      // of the thread
    mutable std::mutex mutex;  // guards what follows
    std::vector<ingest::ExporterStats> exporters;
    std::vector<ingest::PacketError> errors;
    std::vector<ingest::ExporterName> names;
    uint64_t names_version = 0;
    ingest::PacketCounts counts;
    uint64_t state_waiting = 0, state_dropped = 0;
  };

  UdpIngest(const std::vector<Prefix>& allow, Parts parts) : allow_(allow), parts_(std::move(parts)) {}
  Status load_state();
  void receive(ingest::UdpReceiver& receiver);
  void decode(Worker& worker);
  void publish(Worker& worker);
  void append();
  bool is_allowed(const IpAddress& exporter) const;
  void append_batches(std::span<const std::shared_ptr<const Batch>> batches);

  const std::vector<Prefix> allow_;
  Parts parts_;
  std::vector<std::unique_ptr<ingest::UdpReceiver>> receivers_;  // NetFlow's, then sFlow's
  size_t netflow_receivers_ = 0;
  std::vector<std::thread> receive_threads_;
  std::vector<std::unique_ptr<Worker>> workers_;

  mutable std::mutex append_mutex_;
  std::condition_variable append_ready_, append_space_;
  std::deque<std::shared_ptr<const Batch>> append_queue_;
  bool append_closed_ = false;
  std::thread append_thread_;
  uint64_t next_append_ = 1;  // of append_thread_

  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> refused_senders_{0}, appended_rows_{0}, append_failures_{0}, lost_rows_{0};
  bool stopped_ = false;
};

}  // namespace sluice::server
