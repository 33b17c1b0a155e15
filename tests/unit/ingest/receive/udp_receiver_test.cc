#include "ingest/receive/udp_receiver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <map>
#include <thread>

namespace sluice::ingest {
namespace {

class Sender {
 public:
  explicit Sender(const std::string& from = "127.0.0.1") : fd_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from.c_str(), &address.sin_addr);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Sender() { ::close(fd_); }
  void send(uint16_t port, std::string_view payload) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    ASSERT_EQ(::sendto(fd_, payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(payload.size()));
  }

 private:
  int fd_;
};

TimestampNs now() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<TimestampNs>(time.tv_sec) * kSecond + time.tv_nsec;
}

std::string text_of(const PacketView& packet) { return std::string(packet.payload.begin(), packet.payload.end()); }

std::unique_ptr<UdpReceiver> open_any(std::vector<std::shared_ptr<PacketQueue>> queues, UdpOptions options = {}) {
  auto receiver = UdpReceiver::open(options, std::move(queues));
  EXPECT_TRUE(receiver.ok()) << receiver.error().message;
  return std::move(*receiver);
}

TEST(UdpReceiver, HandsPacketsOnWithSenderAndTime) {
  auto queue = std::make_shared<PacketQueue>();
  const auto receiver = open_any({queue});
  ASSERT_NE(receiver->bound_port(), 0);
  EXPECT_EQ(receiver->bound_address(), "127.0.0.1:" + std::to_string(receiver->bound_port()));
  Sender sender;
  const TimestampNs before = now();
  sender.send(receiver->bound_port(), "one");
  sender.send(receiver->bound_port(), "");
  sender.send(receiver->bound_port(), std::string(65'507, 'x'));
  size_t got = 0;
  for (int i = 0; i < 50 && got < 3; ++i) got += receiver->receive_once(100 * kMillisecond).value();
  ASSERT_EQ(got, 3u);
  std::vector<std::string> texts;
  PacketBatch batch;
  while (queue->take(batch, 0))
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(to_string(batch[i].exporter_ip), "127.0.0.1");
      EXPECT_NE(batch[i].exporter_port, 0);
      EXPECT_GE(batch[i].received_at, before - kSecond);
      EXPECT_LE(batch[i].received_at, now() + kSecond);
      texts.push_back(text_of(batch[i]));
    }
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "", std::string(65'507, 'x')}));
  const UdpStats stats = receiver->stats();
  EXPECT_EQ(stats.packets, 3u);
  EXPECT_EQ(stats.bytes, 3u + 65'507u);
  EXPECT_EQ(stats.dropped_queue + stats.dropped_kernel + stats.truncated + stats.errors, 0u);
  EXPECT_GT(stats.receive_buffer_bytes, 0u);
}

TEST(UdpReceiver, TakesBothFamiliesOnOneSocket) {
  auto queue = std::make_shared<PacketQueue>();
  auto receiver = UdpReceiver::open({.address = "::", .port = 0}, {queue});
  if (!receiver.ok()) GTEST_SKIP() << "no IPv6 here: " << receiver.error().message;
  EXPECT_EQ((*receiver)->bound_address(), "[::]:" + std::to_string((*receiver)->bound_port()));
  Sender().send((*receiver)->bound_port(), "four");
  ASSERT_EQ((*receiver)->receive_once(2 * kSecond).value(), 1u);
  PacketBatch batch;
  ASSERT_TRUE(queue->take(batch, 0));
  EXPECT_EQ(to_string(batch[0].exporter_ip), "127.0.0.1");
}

TEST(UdpReceiver, SaysWhichAddressIsInUse) {
  auto queue = std::make_shared<PacketQueue>();
  const auto first = open_any({queue});
  const auto second = UdpReceiver::open({.address = "127.0.0.1", .port = first->bound_port()}, {queue});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_EQ(second.error().message, "UDP address is in use by another program: 127.0.0.1:" + std::to_string(first->bound_port()));
  const auto foreign = UdpReceiver::open({.address = "203.0.113.1", .port = 9}, {queue});
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().code, ErrorCode::io);
  EXPECT_NE(foreign.error().message.find("203.0.113.1:9"), std::string::npos);
  EXPECT_EQ(UdpReceiver::open({.address = "localhost"}, {queue}).error().code, ErrorCode::invalid_argument);
}

TEST(UdpReceiver, KeepsAnExporterInOneQueueAndInOrder) {
  std::vector<std::shared_ptr<PacketQueue>> queues;
  for (int i = 0; i < 4; ++i) queues.push_back(std::make_shared<PacketQueue>());
  const auto receiver = open_any(queues);
  constexpr int kExporters = 16, kPackets = 40;
  std::vector<std::unique_ptr<Sender>> senders;
  for (int i = 0; i < kExporters; ++i) senders.push_back(std::make_unique<Sender>("127.0.0." + std::to_string(i + 1)));
  for (int p = 0; p < kPackets; ++p)
    for (auto& sender : senders) sender->send(receiver->bound_port(), std::to_string(p));
  size_t got = 0;
  for (int i = 0; i < 50 && got < kExporters * kPackets; ++i) got += receiver->receive_once(100 * kMillisecond).value();
  ASSERT_EQ(got, static_cast<size_t>(kExporters * kPackets));
  std::map<std::string, std::pair<size_t, int>> seen;  // exporter → queue, packets so far
  size_t used = 0;
  for (size_t q = 0; q < queues.size(); ++q) {
    PacketBatch batch;
    bool any = false;
    while (queues[q]->take(batch, 0))
      for (size_t i = 0; i < batch.size(); ++i) {
        auto [it, added] = seen.emplace(to_string(batch[i].exporter_ip), std::make_pair(q, 0));
        EXPECT_EQ(it->second.first, q);
        EXPECT_EQ(text_of(batch[i]), std::to_string(it->second.second++));
        any = true;
      }
    used += any;
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(kExporters));
  EXPECT_GT(used, 1u);
}

TEST(UdpReceiver, CountsWhatTheQueueRefuses) {
  auto queue = std::make_shared<PacketQueue>(10, 1u << 20);
  const auto receiver = open_any({queue});
  Sender sender;
  uint64_t sent = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 4; ++i, ++sent) sender.send(receiver->bound_port(), "p");
    size_t got = 0;
    for (int i = 0; i < 50 && got < 4; ++i) got += receiver->receive_once(100 * kMillisecond).value();
  }
  EXPECT_LE(queue->packets(), 10u);
  EXPECT_GE(queue->packets(), 4u);
  const UdpStats stats = receiver->stats();
  EXPECT_EQ(stats.packets, sent);
  EXPECT_EQ(stats.dropped_queue, sent - queue->packets());
}

TEST(UdpReceiver, CountsWhatTheKernelDrops) {
  auto queue = std::make_shared<PacketQueue>();
  const auto receiver = open_any({queue}, {.address = "127.0.0.1", .port = 0, .receive_buffer_bytes = 4096});
  Sender sender;
  constexpr size_t kSent = 2000;
  for (size_t i = 0; i < kSent; ++i) sender.send(receiver->bound_port(), std::string(1000, 'x'));
  while (receiver->receive_once(50 * kMillisecond).value() > 0) {
  }
  // The counter travels with the next packet.
  sender.send(receiver->bound_port(), "after");
  ASSERT_EQ(receiver->receive_once(2 * kSecond).value(), 1u);
  const UdpStats stats = receiver->stats();
  EXPECT_GT(stats.dropped_kernel, 0u);
  EXPECT_EQ(stats.packets + stats.dropped_kernel, kSent + 1);
}

TEST(UdpReceiver, StopsAWaitingReceiver) {
  auto queue = std::make_shared<PacketQueue>();
  const auto receiver = open_any({queue});
  EXPECT_EQ(receiver->receive_once(kMillisecond).value(), 0u);
  // Left alone it would wait longer than any test may run.
  std::thread waiter([&] { EXPECT_EQ(receiver->receive_once(2 * kHour).value(), 0u); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  receiver->stop();
  waiter.join();
  EXPECT_TRUE(receiver->stopped());
  Sender().send(receiver->bound_port(), "late");
  EXPECT_EQ(receiver->receive_once(kSecond).value(), 0u);
}

TEST(UdpReceiver, LetsPacketsGatherAfterABusyRoundButNotForLong) {
  auto queue = std::make_shared<PacketQueue>();
  const auto receiver = open_any({queue});
  // Where the kernel grants no more than a small buffer every packet is taken at once, and all but the wait is the same.
  const bool gathers = receiver->stats().receive_buffer_bytes >= 4u << 20;
  Sender sender;
  for (int i = 0; i < 64; ++i) sender.send(receiver->bound_port(), "one of many");
  ASSERT_EQ(receiver->receive_once(2 * kSecond).value(), 64u) << "sent and there";
  // A receiver that waited for a packet would wait longer than any test may run.
  if (gathers) EXPECT_EQ(receiver->receive_once(2 * kHour).value(), 0u);
  // Nor does it forget the packets that come while it lets them gather, and after a round of few it waits for the next again.
  for (int i = 0; i < 64; ++i) sender.send(receiver->bound_port(), "one of many");
  ASSERT_EQ(receiver->receive_once(2 * kSecond).value(), 64u);
  sender.send(receiver->bound_port(), "one more");
  EXPECT_EQ(receiver->receive_once(2 * kHour).value(), 1u);
  EXPECT_EQ(receiver->receive_once(kMillisecond).value(), 0u);
  EXPECT_EQ(receiver->stats().packets, 129u);
}

TEST(UdpReceiver, CarriesAFloodToItsDecoder) {
  auto queue = std::make_shared<PacketQueue>(1u << 20, 1u << 30);
  const auto receiver = open_any({queue});
  constexpr size_t kPackets = 50'000;
  std::atomic<uint64_t> decoded{0};
  std::thread receiving([&] {
    while (!receiver->stopped()) (void)receiver->receive_once(50 * kMillisecond);
    queue->close();
  });
  std::thread decoding([&] {
    PacketBatch batch;
    while (queue->take(batch, kSecond) || !queue->closed()) {
      for (size_t i = 0; i < batch.size(); ++i) decoded += batch[i].payload.size() == 1464;
      batch.clear();
    }
  });
  const std::string packet(1464, 'v');  // a full NetFlow v5 packet of 30 flows
  Sender sender;
  for (size_t i = 0; i < kPackets; ++i) sender.send(receiver->bound_port(), packet);
  for (int i = 0; i < 200; ++i) {
    const UdpStats s = receiver->stats();
    if (s.packets + s.dropped_kernel >= kPackets) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  receiver->stop();
  receiving.join();
  decoding.join();
  const UdpStats stats = receiver->stats();
  EXPECT_EQ(decoded + stats.dropped_queue, stats.packets);
  EXPECT_EQ(stats.dropped_queue, 0u);
  EXPECT_GT(stats.packets, 0u);
}

TEST(PacketQueue, BoundsPacketsAndBytes) {
  const std::vector<uint8_t> payload(100);
  const auto batch_of = [&](size_t packets) {
    PacketBatch batch;
    for (size_t i = 0; i < packets; ++i) batch.add(IpAddress::v4(1), 1, 1, payload);
    return batch;
  };
  PacketQueue queue(5, 100'000);
  PacketBatch a = batch_of(3), b = batch_of(2), c = batch_of(1);
  EXPECT_TRUE(queue.put(a));
  EXPECT_TRUE(a.empty());
  EXPECT_TRUE(queue.put(b));
  EXPECT_FALSE(queue.put(c)) << "one past the bound of packets";
  EXPECT_EQ(c.size(), 1u) << "a refused batch stays with the caller";
  EXPECT_EQ(queue.packets(), 5u);
  PacketBatch out;
  EXPECT_TRUE(queue.take(out, 0));
  EXPECT_EQ(out.size(), 3u);
  EXPECT_TRUE(queue.put(c));

  PacketQueue narrow(1000, 300);
  PacketBatch large = batch_of(4), two = batch_of(2), one = batch_of(1), more = batch_of(1);
  EXPECT_TRUE(narrow.put(large)) << "an empty queue takes any batch";
  EXPECT_TRUE(narrow.take(out, 0));
  EXPECT_TRUE(narrow.put(two));
  EXPECT_TRUE(narrow.put(one));
  EXPECT_FALSE(narrow.put(more)) << "one past the bound of bytes";
}

TEST(PacketQueue, YieldsWhatItHasAfterClosing) {
  PacketQueue queue;
  PacketBatch batch;
  batch.add(IpAddress::v4(1), 1, 1, {});
  EXPECT_TRUE(queue.put(batch));
  queue.close();
  batch.add(IpAddress::v4(1), 1, 1, {});
  EXPECT_FALSE(queue.put(batch));
  PacketBatch out;
  EXPECT_TRUE(queue.take(out, 10 * kSecond));
  EXPECT_EQ(out.size(), 1u);
  EXPECT_FALSE(queue.take(out, 10 * kSecond));
}

}  // namespace
}  // namespace sluice::ingest
