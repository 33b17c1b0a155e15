// The HTTP client against a socket that answers what it is told.
#include "ingest/receive/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "ingest/receive/limits.h"
#include "ingest/receive/object_store.h"

namespace sluice::ingest {
namespace {

// Answers each connection's first request with the next text and closes.
class Server {
 public:
  explicit Server(std::vector<std::string> answers) : answers_(std::move(answers)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    socklen_t length = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] {
      for (const std::string& answer : answers_) {
        const int client = ::accept(socket_, nullptr, nullptr);
        if (client < 0) return;
        std::string request;
        char buffer[4096];
        while (request.find("\r\n\r\n") == std::string::npos) {
          const ssize_t got = ::recv(client, buffer, sizeof buffer, 0);
          if (got <= 0) break;
          request.append(buffer, static_cast<size_t>(got));
        }
        requests.push_back(request);
        if (answer == "silence") {
          while (!stop_) ::usleep(10'000);
        } else {
          (void)!::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
        ::close(client);
      }
    });
  }
  ~Server() {
    stop_ = true;
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  std::string url;
  std::vector<std::string> requests;  // read when the answers have come

 private:
  const std::vector<std::string> answers_;
  int socket_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::string answer(const std::string& status, const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

TEST(HttpClient, SendsWhatItIsToldAndNoMore) {
  Server server({answer("200 OK", "hello", "X-A: 1\r\nx-a:  2 \r\n")});
  const auto client = open_http_client({});
  HttpRequest request;
  request.url = server.url + "/a/../b%20c?x=1";
  request.headers = {{"x-one", "1"}, {"x-empty", ""}};
  const auto got = client->send(request);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->body, "hello");
  EXPECT_EQ(got->header("x-a"), "2");
  EXPECT_EQ(got->header("none"), "");
  const std::string& sent = server.requests[0];
  EXPECT_TRUE(sent.starts_with("GET /a/../b%20c?x=1 HTTP/1.1\r\n")) << sent;
  EXPECT_NE(sent.find("x-one: 1\r\n"), std::string::npos);
  EXPECT_NE(sent.find("x-empty:"), std::string::npos);
  for (const auto* none : {"Accept:", "Expect:", "Accept-Encoding:", "Cookie:", "Authorization:"}) EXPECT_EQ(sent.find(none), std::string::npos) << none;
}

TEST(HttpClient, RedirectsAreAnswers) {
  Server server({answer("301 Moved", "", "Location: http://127.0.0.1:1/\r\n")});
  HttpRequest request;
  request.url = server.url;
  const auto got = open_http_client({})->send(request);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->status, 301);
}

TEST(HttpClient, BodiesAtTheBoundAndBeyond) {
  Server server({answer("200 OK", "12345"), answer("200 OK", "123456"), answer("200 OK", "x", "X-Long: " + std::string(limits::kHttpAnswerHeaderBytesMax, 'y') + "\r\n"),
                 "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"});
  const auto client = open_http_client({});
  HttpRequest request;
  request.url = server.url;
  request.body_bytes_max = 5;
  EXPECT_EQ(client->send(request)->body, "12345");
  EXPECT_EQ(client->send(request).error().code, ErrorCode::too_large);
  EXPECT_EQ(client->send(request).error().code, ErrorCode::io);
  EXPECT_EQ(client->send(request).error().code, ErrorCode::io) << "a body that is cut off is no body";
}

TEST(HttpClient, EndsInTimeAndWhenTold) {
  Server server({"silence"});
  HttpRequest request;
  request.url = server.url;
  request.answer_timeout = 300 * kMillisecond;
  EXPECT_EQ(open_http_client({})->send(request).error().code, ErrorCode::deadline);
  HttpClientOptions options;
  options.cancelled = [] { return true; };
  EXPECT_EQ(open_http_client(options)->send(request).error().code, ErrorCode::cancelled);
  request.url = "http://127.0.0.1:1/?sig=secret";
  const auto refused = open_http_client({})->send(request);
  EXPECT_EQ(refused.error().code, ErrorCode::io);
  EXPECT_EQ(refused.error().message.find("secret"), std::string::npos) << refused.error().message;
}

TEST(HttpClient, OtherSchemesAndBadCertificatesAreRefused) {
  HttpRequest request;
  request.url = "file:///etc/hostname";
  EXPECT_FALSE(open_http_client({})->send(request).ok());
  Server server({answer("200 OK", "plain where TLS is asked for")});
  request.url = "https" + server.url.substr(4);
  EXPECT_FALSE(open_http_client({})->send(request).ok());
}

TEST(Retries, OnlyWhatMayPass) {
  struct Scripted final : HttpTransport {
    std::vector<int> statuses;
    size_t sent = 0;
    Result<HttpResponse> send(const HttpRequest&) override {
      const int status = statuses.at(sent++);
      if (status == 0) return Error{ErrorCode::io, "reset"};
      return HttpResponse{status, {}, {}};
    }
  };
  std::vector<DurationNs> waits;
  const RetryPolicy policy{4, [&](DurationNs time) {
                             waits.push_back(time);
                             return true;
                           }};
  Scripted all;
  all.statuses = {503, 0, 500, 429};
  EXPECT_EQ(send_with_retries(all, policy, [] { return HttpRequest{}; })->status, 429);
  EXPECT_EQ(waits, (std::vector<DurationNs>{250 * kMillisecond, kSecond, 4 * kSecond}));
  for (const int status : {200, 301, 403, 404, 412}) {
    Scripted once;
    once.statuses = {status};
    EXPECT_EQ(send_with_retries(once, policy, [] { return HttpRequest{}; })->status, status);
  }
  Scripted stopped;
  stopped.statuses = {500, 200};
  EXPECT_EQ(send_with_retries(stopped, {4, [](DurationNs) { return false; }}, [] { return HttpRequest{}; }).error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace sluice::ingest
