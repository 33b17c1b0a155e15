#include "server/stream_ingest.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace sluice::server {
namespace {

class TestClock final : public Clock {
 public:
  TimestampNs now() const override { return *parse_timestamp("2026-11-20T12:00:00Z"); }
};

using Bytes = std::vector<uint8_t>;

void put(Bytes& b, uint64_t v, int width) {
  for (int i = width - 1; i >= 0; --i) b.push_back(static_cast<uint8_t>(v >> (8 * i)));
}
Bytes message(const Bytes& sets, uint32_t sequence, uint32_t domain = 9) {
  Bytes m;
  put(m, 10, 2);
  put(m, 16 + sets.size(), 2);
  put(m, 1'795'176'000, 4);
  put(m, sequence, 4);
  put(m, domain, 4);
  m.insert(m.end(), sets.begin(), sets.end());
  return m;
}
// Template 300: sourceIPv4Address, octetDeltaCount[4].
Bytes template_set(bool withdrawn = false) {
  Bytes s;
  put(s, 2, 2);
  put(s, withdrawn ? 8 : 16, 2);
  put(s, 300, 2);
  put(s, withdrawn ? 0 : 2, 2);
  if (!withdrawn)
    for (const int v : {8, 4, 1, 4}) put(s, static_cast<uint64_t>(v), 2);
  return s;
}
Bytes data_set(int records) {
  Bytes s;
  put(s, 300, 2);
  put(s, static_cast<uint64_t>(4 + 8 * records), 2);
  for (int i = 0; i < records; ++i) {
    put(s, 0xc0000200u + static_cast<uint32_t>(i), 4);
    put(s, 100, 4);
  }
  return s;
}
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Client {
 public:
  explicit Client(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    timeval patience{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Client() { close(); }
  void send(const Bytes& b) { EXPECT_EQ(::send(fd_, b.data(), b.size(), MSG_NOSIGNAL), static_cast<ssize_t>(b.size())); }
  bool try_send(uint8_t byte) { return ::send(fd_, &byte, 1, MSG_NOSIGNAL) == 1; }
  // Whether the other side has closed, within ten seconds.
  bool is_closed() {
    char c;
    const ssize_t n = recv(fd_, &c, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

class StreamIngestTest : public ::testing::Test {
 protected:
  void start(StreamIngestOptions options = {}) {
    options.tcp = Endpoint{"127.0.0.1", 0, true};
    auto started = StreamIngest::start(std::move(options), {clock_, losses_, [this](Batch&& batch) -> Status {
                                                              rows_ += batch.rows;
                                                              return {};
                                                            }});
    ASSERT_TRUE(started.ok()) << started.error().message;
    ingest_ = std::move(started).value();
  }
  template <typename F>
  bool eventually(F&& f) {
    for (int i = 0; i < 1'000; ++i) {
      if (f()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool gets(uint64_t rows) {
    return eventually([&] { return rows_ == rows; });
  }

  TestClock clock_;
  LossBook losses_{nullptr};
  std::atomic<uint64_t> rows_{0};
  std::unique_ptr<StreamIngest> ingest_;
};

TEST_F(StreamIngestTest, RowsOfAConnection) {
  start();
  Client client(ingest_->tcp_address());
  const Bytes all = message(template_set() + data_set(3), 0) + message(data_set(2), 3);
  client.send(Bytes(all.begin(), all.begin() + 21));
  client.send(Bytes(all.begin() + 21, all.end()));
  EXPECT_TRUE(gets(5));
  EXPECT_TRUE(eventually([&] { return ingest_->exporters().size() == 1 && ingest_->exporters()[0].flows == 5; }));
  EXPECT_EQ(ingest_->exporters()[0].lost, 0u);
  client.close();
  EXPECT_TRUE(eventually([&] { return ingest_->exporters().empty() && ingest_->stats().open == 0; }));
  EXPECT_EQ(ingest_->stats().counts.flows, 5u);
  EXPECT_EQ(ingest_->stats().malformed, 0u);
}

TEST_F(StreamIngestTest, TemplatesEndWithTheirConnection) {
  start();
  Client first(ingest_->tcp_address());
  first.send(message(template_set() + data_set(1), 0));
  EXPECT_TRUE(gets(1));
  first.close();
  EXPECT_TRUE(eventually([&] { return ingest_->stats().open == 0; }));
  // From the same address; its data waits for a template of its own.
  Client second(ingest_->tcp_address());
  second.send(message(data_set(4), 0));
  EXPECT_TRUE(eventually([&] { return ingest_->stats().counts.pending_sets == 1; }));
  EXPECT_EQ(rows_, 1u);
  second.send(message(template_set(), 4));
  EXPECT_TRUE(gets(5));
  // Withdrawals hold in a stream.
  second.send(message(template_set(true), 4) + message(data_set(1), 4));
  EXPECT_TRUE(eventually([&] { return ingest_->stats().counts.pending_sets == 2; }));
}

TEST_F(StreamIngestTest, WhatMakesNoSenseClosesOnlyItself) {
  start();
  Client good(ingest_->tcp_address());
  good.send(message(template_set() + data_set(1), 0));
  EXPECT_TRUE(gets(1));
  Bytes long_set = message(template_set() + data_set(2), 0);
  long_set[16 + 16 + 3] = 200;  // the data set's length goes beyond its message
  Bytes short_message = message({}, 0);
  short_message[3] = 15;
  const std::pair<Bytes, const char*> bad[] = {{Bytes{'G', 'E', 'T', ' ', '/'}, "not IPFIX"}, {short_message, "not IPFIX"}, {long_set, "set longer"}};
  uint64_t closed = 0;
  for (const auto& [bytes, reason] : bad) {
    Client client(ingest_->tcp_address());
    client.send(bytes);
    EXPECT_TRUE(client.is_closed());
    ++closed;
    EXPECT_TRUE(eventually([&] { return ingest_->stats().malformed == closed; }));
    EXPECT_TRUE(eventually([&, &wanted = reason] {
      for (const auto& e : ingest_->errors())
        if (e.reason.find(wanted) != std::string::npos && sluice::to_string(e.exporter) == "127.0.0.1") return true;
      return false;
    })) << reason;
  }
  // A stream that ends inside a message.
  Client cut(ingest_->tcp_address());
  const Bytes whole = message(data_set(3), 0);
  cut.send(Bytes(whole.begin(), whole.begin() + 20));
  cut.close();
  EXPECT_TRUE(eventually([&] { return ingest_->stats().malformed == closed + 1; }));
  good.send(message(data_set(2), 1));
  EXPECT_TRUE(gets(3));
  EXPECT_EQ(ingest_->stats().open, 1u);
}

TEST_F(StreamIngestTest, ReservedSetsAndUnknownTemplatesDoNotClose) {
  start();
  Client client(ingest_->tcp_address());
  Bytes reserved;
  put(reserved, 77, 2);
  put(reserved, 8, 2);
  put(reserved, 0, 4);
  client.send(message(reserved, 0) + message(data_set(1), 0) + message(template_set(), 1));
  EXPECT_TRUE(gets(1));
  EXPECT_EQ(ingest_->stats().malformed, 0u);
}

TEST_F(StreamIngestTest, BoundsOfConnectionsAndTime) {
  StreamIngestOptions options;
  options.connections_max = 2;
  options.message_timeout = 200 * kMillisecond;
  options.idle_timeout = 400 * kMillisecond;
  start(options);
  Client a(ingest_->tcp_address()), b(ingest_->tcp_address());
  EXPECT_TRUE(eventually([&] { return ingest_->stats().open == 2; }));
  {
    Client beyond(ingest_->tcp_address());
    EXPECT_TRUE(beyond.is_closed());
  }
  EXPECT_TRUE(eventually([&] { return ingest_->stats().refused_full == 1; }));
  // A message that begins and does not go on; and one that says nothing at all.
  a.send(Bytes{0, 10, 0, 100});
  EXPECT_TRUE(a.is_closed());
  EXPECT_TRUE(b.is_closed());
  EXPECT_TRUE(eventually([&] { return ingest_->stats().timeouts == 2 && ingest_->stats().open == 0; }));
  Client c(ingest_->tcp_address());
  c.send(message(template_set() + data_set(1), 0));
  EXPECT_TRUE(gets(1));
}

TEST_F(StreamIngestTest, ADrippingMessageDoesNotEarnMoreTime) {
  StreamIngestOptions options;
  options.message_timeout = 300 * kMillisecond;
  start(options);
  Client client(ingest_->tcp_address());
  const Bytes whole = message(template_set() + data_set(50), 0);
  std::thread drip([&] {
    for (const uint8_t byte : whole) {
      if (!client.try_send(byte)) return;  // closed
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_TRUE(eventually([&] { return ingest_->stats().timeouts == 1; }));
  drip.join();
  EXPECT_EQ(rows_, 0u);
}

TEST_F(StreamIngestTest, OnlyThoseAllowed) {
  StreamIngestOptions options;
  options.allow = {*parse_prefix("192.0.2.0/24")};
  start(options);
  Client client(ingest_->tcp_address());
  EXPECT_TRUE(client.is_closed());
  EXPECT_TRUE(eventually([&] { return ingest_->stats().refused_senders == 1; }));
  EXPECT_EQ(ingest_->stats().accepted, 0u);
}

TEST_F(StreamIngestTest, StopHandsOverWhatWasDecoded) {
  start();
  Client client(ingest_->tcp_address());
  client.send(message(template_set() + data_set(7), 0));
  EXPECT_TRUE(eventually([&] { return ingest_->stats().counts.flows == 7; }));
  ingest_->stop();
  EXPECT_EQ(rows_, 7u);
  EXPECT_TRUE(client.is_closed());
  ingest_->stop();
}

TEST_F(StreamIngestTest, ErrorsOfStarting) {
  start();
  StreamIngestOptions options;
  options.tcp = Endpoint{"127.0.0.1", static_cast<uint16_t>(std::stoi(ingest_->tcp_address().substr(10))), true};
  const StreamIngest::Parts parts{clock_, losses_, [](Batch&&) -> Status { return {}; }};
  const auto taken = StreamIngest::start(options, parts);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, ErrorCode::conflict);
  options.tcp.reset();
  options.tls = Endpoint{"127.0.0.1", 0, true};
  options.tls_certificate_file = options.tls_key_file = "/no/such.pem";
  const auto no_certificate = StreamIngest::start(options, parts);
  ASSERT_FALSE(no_certificate.ok());
  EXPECT_EQ(no_certificate.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(no_certificate.error().message.find("/no/such.pem"), std::string::npos);
}

}  // namespace
}  // namespace sluice::server
