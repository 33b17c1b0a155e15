// The transport against raw sockets: framing, limits, time-outs, back-pressure, clients that go away.
#include "server/http/server.h"
#include "server/limits.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace sluice::http {
namespace {

using namespace std::chrono_literals;

class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  }
  ~Client() { hang_up(); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void end_sending() { shutdown(fd_, SHUT_WR); }
  // Reads until `stop` is in what has come, or the peer closes, or nothing comes for a while.
  std::string read_until(std::string_view stop, int timeout_ms = 5000) {
    while (true) {
      if (!stop.empty())
        if (const size_t at = got_.find(stop); at != std::string::npos) {
          std::string head = got_.substr(0, at + stop.size());
          got_.erase(0, at + stop.size());
          return head;
        }
      if (!read_some(timeout_ms)) return std::exchange(got_, {});
    }
  }
  std::string read_all(int timeout_ms = 5000) { return read_until({}, timeout_ms); }
  bool read_some(int timeout_ms) {
    pollfd p{fd_, POLLIN, 0};
    if (poll(&p, 1, timeout_ms) <= 0) {
      timed_out = true;
      return false;
    }
    char buffer[65536];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    was_reset = n < 0 && errno == ECONNRESET;
    if (n <= 0) return false;
    got_.append(buffer, static_cast<size_t>(n));
    return true;
  }
  bool timed_out = false, was_reset = false;

 private:
  int fd_ = -1;
  std::string got_;
};

// Answers /echo with the body, streams /stream, holds /hold until the client is gone.
class Echo final : public Handler {
 public:
  ~Echo() override {
    for (auto& t : threads) t.join();
  }
  Admission admit(const Request& head, std::optional<uint64_t>) override {
    Admission a;
    if (head.path == "/refuse") {
      a.refusal = Response{.status = 403, .body = "{}"};
      return a;
    }
    a.body_bytes_max = 100'000;
    a.ticket = std::shared_ptr<void>(nullptr, [this](void*) { ++tickets_back; });
    return a;
  }
  void handle(std::shared_ptr<Exchange> exchange) override {
    if (exchange->request().path == "/drop") return;
    if (exchange->request().path == "/large") {
      Response r;
      r.body.assign(answer_bytes, 'l');
      return exchange->respond(std::move(r));
    }
    if (exchange->request().path == "/echo") {
      Response r;
      r.body = exchange->take_body();
      return exchange->respond(std::move(r));
    }
    exchange->on_disconnect([this] { ++disconnects; });
    std::lock_guard lock(mutex);
    threads.emplace_back([this, exchange = std::move(exchange)] {
      if (exchange->request().path == "/hold") {
        for (int i = 0; i < 500 && disconnects == 0; ++i) std::this_thread::sleep_for(10ms);
        exchange->respond({});
        return;
      }
      exchange->begin({});
      const std::string piece(32u << 10, 'x');
      for (int i = 0; i < pieces; ++i) {
        if (!exchange->write(piece, [this] { return give_up.load(); })) {
          if (give_up) exchange->finish({}, "given up");
          ++write_failures;
          return;
        }
        ++written;
      }
      exchange->request().path == "/cut" ? exchange->abort() : exchange->finish({{"X-Sum", "a\r\nb"}});
    });
  }
  void done(const Request&, int status, uint64_t, int64_t) override { last_status = status; }

  std::mutex mutex;
  std::vector<std::thread> threads;
  std::atomic<bool> give_up{false};
  std::atomic<size_t> answer_bytes{0};
  std::atomic<int> pieces{3}, written{0}, write_failures{0}, disconnects{0}, tickets_back{0}, last_status{0};
};

struct HttpServer : testing::Test {
  void start(ServerOptions options = {}) {
    auto started = Server::start(options, echo);
    ASSERT_TRUE(started.ok()) << started.error().message;
    server = std::move(*started);
  }
  void TearDown() override {
    if (server) server->stop(100ms);
    for (auto& t : echo.threads) t.join();
    echo.threads.clear();
  }
  Echo echo;
  std::unique_ptr<Server> server;
};

TEST_F(HttpServer, KeepsConnectionsAliveAndTakesPipelinedRequests) {
  start();
  Client c(server->port());
  c.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
         "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string all = c.read_all();
  EXPECT_FALSE(c.timed_out);
  EXPECT_NE(all.find("\r\n\r\nhiHTTP/1.1 200 OK"), std::string::npos) << all;
  EXPECT_NE(all.find("\r\n\r\nabcHTTP/1.1 200 OK"), std::string::npos) << all;
  EXPECT_NE(all.find("Connection: close"), std::string::npos) << all;
  EXPECT_EQ(echo.tickets_back, 3);
}

TEST_F(HttpServer, KeepsAGoodRequestIdAndReplacesABadOne) {
  start();
  Client c(server->port());
  c.send("GET /echo HTTP/1.1\r\nHost: h\r\nX-Request-Id: my-id.1\r\n\r\n");
  EXPECT_NE(c.read_until("\r\n\r\n").find("X-Request-Id: my-id.1\r\n"), std::string::npos);
  c.send("GET /echo HTTP/1.1\r\nHost: h\r\nX-Request-Id: <script>\r\n\r\n");
  EXPECT_EQ(c.read_until("\r\n\r\n").find("script"), std::string::npos);
}

TEST_F(HttpServer, HeadHasNoBody) {
  start();
  Client c(server->port());
  c.send("HEAD /refuse HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string all = c.read_all();
  EXPECT_TRUE(all.ends_with("\r\n\r\n")) << all;
  EXPECT_NE(all.find("Content-Length: 2"), std::string::npos) << all;
}

TEST_F(HttpServer, ContinuesWhenAsked) {
  start();
  Client c(server->port());
  c.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(c.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.send("ok");
  EXPECT_TRUE(c.read_until("ok").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServer, BodiesAtTheLimitAndOnePast) {
  start();
  for (const size_t size : {100'000u, 100'001u}) {
    for (const bool chunked : {false, true}) {
      Client c(server->port());
      std::string request = "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
      const std::string body(size, 'b');
      char hex[16];
      std::snprintf(hex, sizeof hex, "%zx", size);
      request += chunked ? "Transfer-Encoding: chunked\r\n\r\n" + std::string(hex) + "\r\n" + body + "\r\n0\r\n\r\n"
                         : "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
      c.send(request);
      const std::string all = c.read_all();
      EXPECT_EQ(all.substr(0, 12), size == 100'000 ? "HTTP/1.1 200" : "HTTP/1.1 413") << chunked << " " << all.substr(0, 300);
    }
  }
}

TEST_F(HttpServer, RefusesWithoutReadingTheBodyAndIsStillHeard) {
  start();
  Client c(server->port());
  c.send("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n");
  c.send(std::string(2u << 20, 'x'));
  EXPECT_TRUE(c.read_until("\r\n\r\n").starts_with("HTTP/1.1 403"));
}

TEST_F(HttpServer, RefusesNonsense) {
  start();
  const std::pair<std::string, std::string> cases[] = {
      {"\x16\x03\x01 TLS?\r\n\r\n", "400"},
      {"GET\r\n\r\n", "400"},
      {"GET ftp://x/ HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"},
      {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(limits::kHttpHeaderBytesMax, 'a') + "\r\n\r\n", "431"},
      // Where the body ends must be beyond doubt, or what follows is taken for a request.
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"},
      {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
  };
  for (const auto& [request, status] : cases) {
    Client c(server->port());
    c.send(request);
    const std::string all = c.read_all(500);
    EXPECT_EQ(all.substr(0, 12), "HTTP/1.1 " + status) << request.substr(0, 80);
    EXPECT_EQ(all.find("HTTP/1.1", 12), std::string::npos) << "what followed was taken for a request: " << request.substr(0, 80);
  }
}

TEST_F(HttpServer, TakesLargeFieldsUpToTheBoundOfTheHead) {
  start();
  // Any stranger can send a field that a parser has no room for: beyond 64 KiB, in one field and in many, at the bound and one past.
  const std::string begin = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n";
  const size_t left = limits::kHttpHeaderBytesMax - begin.size();
  for (const size_t more : {0u, 1u}) {
    Client one(server->port());
    one.send(begin + "A: " + std::string(left - 5 + more, 'a') + "\r\n\r\nok");
    EXPECT_EQ(one.read_all().substr(0, 12), more ? "HTTP/1.1 431" : "HTTP/1.1 200");
    Client many(server->port());
    std::string fields;
    while (fields.size() + 12 <= left) fields += "B: c\r\n";
    fields += "D: " + std::string(left - fields.size() - 5 + more, 'd') + "\r\n";
    many.send(begin + fields + "\r\nok");
    EXPECT_EQ(many.read_all().substr(0, 12), more ? "HTTP/1.1 431" : "HTTP/1.1 200");
  }
  Client name(server->port());
  name.send(begin + std::string(100'000, 'n') + ": a\r\n\r\nok");
  EXPECT_EQ(name.read_all().substr(0, 12), "HTTP/1.1 200");
  // Lines behind the last chunk are bounded with the head, and nothing of them is kept.
  for (const size_t size : {100'000u, 140'000u}) {
    Client c(server->port());
    c.send("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: " + std::string(size, 't') + "\r\n\r\n");
    EXPECT_EQ(c.read_all().substr(0, 12), size == 100'000 ? "HTTP/1.1 200" : "HTTP/1.1 400");
  }
}

TEST_F(HttpServer, TakesAWholeUrlForAPath) {
  start();
  Client c(server->port());
  c.send("POST http://other/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  EXPECT_TRUE(c.read_all().ends_with("\r\n\r\nhi"));
}

TEST_F(HttpServer, CutsSlowHeadsAndSlowBodies) {
  ServerOptions o;
  o.head_timeout = 200ms;
  o.body_stall_timeout = 200ms;
  o.idle_timeout = 300ms;
  start(o);
  for (const char* partial : {"", "GET /echo HT", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"}) {
    Client c(server->port());
    c.send(partial);
    c.read_all(3000);
    EXPECT_FALSE(c.timed_out) << partial;
  }
  EXPECT_EQ(server->stats().timeouts, 3u);
}

TEST_F(HttpServer, ABodyThatTricklesGivesItsShareBack) {
  ServerOptions o;
  o.body_grace = 200ms;
  o.body_bytes_per_second_min = 10'000;
  start(o);
  Client trickle(server->port());
  trickle.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
  for (int i = 0; i < 200 && echo.tickets_back == 0; ++i) {  // never a stall
    trickle.send("x");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(echo.tickets_back, 1);
  const std::string answer = trickle.read_until("\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
  // One that is slow, but not that slow, is taken: half a second at some 40 KB a second.
  Client slow(server->port());
  slow.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    slow.send(std::string(2'000, 'y'));
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_TRUE(slow.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServer, StreamsWithTrailersThatCannotSplitLines) {
  start();
  Client c(server->port());
  c.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string all = c.read_until("0\r\nX-Sum: a  b\r\n\r\n");
  EXPECT_TRUE(all.ends_with("0\r\nX-Sum: a  b\r\n\r\n")) << all.substr(all.size() - 100);
  EXPECT_GT(all.size(), 3u * (32u << 10));
  // HTTP/1.0 knows no chunks: the end of the connection ends the answer.
  Client old(server->port());
  old.send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string plain = old.read_all();
  EXPECT_EQ(plain.find("chunked"), std::string::npos);
  EXPECT_EQ(plain.size() - plain.find("\r\n\r\n") - 4, 3u * (32u << 10));
}

TEST_F(HttpServer, CutAnswersLackTheirEnd) {
  start();
  Client c(server->port());
  c.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string all = c.read_all();
  EXPECT_FALSE(c.timed_out);
  EXPECT_FALSE(all.ends_with("0\r\n\r\n"));
  // Where the end of the connection is the end of the answer, a reset says that it is none.
  Client old(server->port());
  old.send("GET /cut HTTP/1.0\r\n\r\n");
  old.read_all();
  EXPECT_FALSE(old.timed_out);
  EXPECT_TRUE(old.was_reset);
}

TEST_F(HttpServer, ASlowReaderHoldsTheWriterBack) {
  ServerOptions o;
  o.send_buffer_bytes = 256u << 10;
  start(o);
  echo.pieces = 4'000;  // 128 MiB
  Client c(server->port(), 64 << 10);
  c.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  // It comes to rest, however slow the machine is, long before all is written.
  int held = -1;
  for (int i = 0; i < 60 && (held == 0 || echo.written != held); ++i) {
    held = echo.written;
    std::this_thread::sleep_for(500ms);
  }
  EXPECT_GT(held, 0);
  EXPECT_EQ(echo.written, held) << "the writer went on although nobody reads";
  EXPECT_LT(held, 1'000);
  c.hang_up();
  for (int i = 0; i < 300 && echo.write_failures == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(echo.write_failures, 1);
}

TEST_F(HttpServer, BoundsWhatWaitsForClientsThatDoNotRead) {
  ServerOptions o;
  o.answer_bytes_max = 32u << 20;
  start(o);
  echo.answer_bytes = 16u << 20;
  std::vector<std::unique_ptr<Client>> deaf;
  for (int i = 0; i < 6; ++i) {
    deaf.push_back(std::make_unique<Client>(server->port(), 4 << 10));
    deaf.back()->send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  }
  const auto ask = [&] {
    Client c(server->port());
    c.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    return c.read_all();
  };
  // The kernel takes some of each, which then waits no more.
  for (int i = 0; i < 300 && server->stats().requests < 6; ++i) std::this_thread::sleep_for(10ms);
  std::string refused = ask();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503")) << refused.substr(0, 100);
  EXPECT_NE(refused.find("Retry-After: "), std::string::npos);
  // What is small is answered all the same.
  Client small(server->port());
  small.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(small.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
  // Once they have read, or are gone, there is room again.
  EXPECT_GT(deaf.front()->read_all().size(), 16u << 20);
  deaf.clear();
  for (int i = 0; i < 300 && server->stats().open > 1; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GT(ask().size(), 16u << 20);
}

TEST_F(HttpServer, AWriterWhoseClientDoesNotReadCanGiveUp) {
  ServerOptions o;
  o.send_buffer_bytes = 256u << 10;
  start(o);
  echo.pieces = 4'000;
  Client c(server->port(), 64 << 10);
  c.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(echo.write_failures, 0);
  echo.give_up = true;  // the client still does not read
  for (int i = 0; i < 300 && echo.write_failures == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(echo.write_failures, 1);
  EXPECT_EQ(server->stats().open, 1u);
  // Whoever reads after all gets what was written, the last word, and an end.
  const std::string all = c.read_until("\r\n0\r\n\r\n");
  EXPECT_TRUE(all.ends_with("\r\n8\r\ngiven up\r\n0\r\n\r\n")) << all.substr(all.size() - std::min<size_t>(all.size(), 60));
}

TEST_F(HttpServer, WhatIsLeftOfAnAnswerDoesNotWaitForEver) {
  ServerOptions o;
  o.send_buffer_bytes = 256u << 10;
  o.drain_timeout = 300ms;
  start(o);
  echo.pieces = 4'000;
  echo.give_up = true;
  Client c(server->port(), 4 << 10);
  c.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  for (int i = 0; i < 300 && echo.write_failures == 0; ++i) std::this_thread::sleep_for(10ms);
  ASSERT_EQ(server->stats().open, 1u);
  // Takes a little again and again, so that no stall is seen.
  for (int i = 0; i < 100 && server->stats().open > 0; ++i) {
    std::this_thread::sleep_for(20ms);
    if (i % 5 == 0) c.read_some(0);
  }
  EXPECT_EQ(server->stats().open, 0u);
  EXPECT_EQ(server->stats().timeouts, 1u);
}

TEST_F(HttpServer, NoticesAClientThatGoesAway) {
  start();
  Client c(server->port());
  c.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(echo.disconnects, 0);
  c.hang_up();
  for (int i = 0; i < 200 && echo.disconnects == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(echo.disconnects, 1);
}

TEST_F(HttpServer, AnswersForAHandlerThatForgot) {
  start();
  Client c(server->port());
  c.send("GET /drop HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(c.read_until("}}\n").starts_with("HTTP/1.1 500"));
}

TEST_F(HttpServer, BoundsConnections) {
  ServerOptions o;
  o.connections_max = 2;
  start(o);
  Client a(server->port()), b(server->port());
  a.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  b.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  a.read_until("\r\n\r\n");
  b.read_until("\r\n\r\n");
  Client third(server->port());
  EXPECT_TRUE(third.read_all().starts_with("HTTP/1.1 503"));
  EXPECT_EQ(server->stats().refused_full, 1u);
}

TEST_F(HttpServer, SaysWhyItCannotListen) {
  start();
  ServerOptions o;
  o.port = server->port();
  const auto second = Server::start(o, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
  o = {};
  o.tls_certificate_file = "/nonexistent.pem";
  o.tls_key_file = "/nonexistent.key";
  const auto tls = Server::start(o, echo);
  ASSERT_FALSE(tls.ok());
  EXPECT_NE(tls.error().message.find("/nonexistent.pem"), std::string::npos);
}

TEST_F(HttpServer, StopsWithIdleAndBusyConnections) {
  start();
  Client idle(server->port()), busy(server->port());
  idle.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  idle.read_until("\r\n\r\n");
  busy.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  server->stop(100ms);  // returns, though one answer never comes
  EXPECT_EQ(echo.disconnects, 1);
}

}  // namespace
}  // namespace sluice::http
