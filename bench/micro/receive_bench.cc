// What a packet costs between the socket and its decoder: bursts over loopback, only the receiving is timed. And what a
// compressed body costs to inflate.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <string>

#include "ingest/receive/inflate.h"
#include "ingest/receive/udp_receiver.h"

namespace {

using namespace sluice;
using namespace sluice::ingest;

// Packets of 1,464 bytes: NetFlow v5 with its 30 flows.
void BM_ReceiveV5Packets(benchmark::State& state) {
  constexpr size_t kBurst = 100;  // fits the default receive buffer, so that nothing is lost
  const auto workers = static_cast<size_t>(state.range(0));
  std::vector<std::shared_ptr<PacketQueue>> queues;
  for (size_t i = 0; i < workers; ++i) queues.push_back(std::make_shared<PacketQueue>());
  auto receiver = UdpReceiver::open({}, queues);
  if (!receiver.ok()) return state.SkipWithError(receiver.error().message.c_str());
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons((*receiver)->bound_port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string packet(1464, 'v');
  uint64_t packets = 0;
  PacketBatch batch;
  for (auto _ : state) {
    for (size_t i = 0; i < kBurst; ++i)
      benchmark::DoNotOptimize(::sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to));
    const auto begin = std::chrono::steady_clock::now();
    const auto got = (*receiver)->receive_once(kSecond);
    for (const auto& queue : queues)
      while (queue->packets() > 0 && queue->take(batch, 0)) benchmark::DoNotOptimize(batch.size());
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    packets += got.ok() ? *got : 0;
  }
  ::close(fd);
  const UdpStats stats = (*receiver)->stats();
  state.SetItemsProcessed(static_cast<int64_t>(packets));
  state.counters["dropped"] = static_cast<double>(stats.dropped_kernel + stats.dropped_queue);
  state.counters["flows_per_s"] = benchmark::Counter(static_cast<double>(packets) * 30, benchmark::Counter::kIsRate);
}
BENCHMARK(BM_ReceiveV5Packets)->Arg(1)->Arg(4)->UseManualTime();

void BM_InflateGzip(benchmark::State& state) {
  std::string plain;
  for (uint32_t i = 0; plain.size() < (16u << 20); ++i)
    plain += "2 123456789010 eni-" + std::to_string(i * 2654435761u % 500) + " 10.0.0." + std::to_string(i % 251) + " 52.0.0." +
             std::to_string(i * 7 % 253) + " " + std::to_string(i * 40503u % 60000) + " 443 6 10 840 1700000000 1700000060 ACCEPT OK\n";
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string body(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(body.data());
  stream.avail_out = static_cast<uInt>(body.size());
  deflate(&stream, Z_FINISH);
  body.resize(body.size() - stream.avail_out);
  deflateEnd(&stream);
  for (auto _ : state) {
    const auto size = inflate(body, Compression::gzip, [](std::string_view) -> Status { return {}; });
    if (!size.ok() || *size != plain.size()) state.SkipWithError("inflate failed");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * plain.size()));
}
BENCHMARK(BM_InflateGzip)->Unit(benchmark::kMillisecond);

}  // namespace
