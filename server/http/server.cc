// With request_parser.h the only file of the server that includes Boost.Beast and Asio. Requests are parsed by Beast; answers are framed
// here, because an answer is either one string or a stream of chunks whose sender must be held back.
#include "server/http/server.h"

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "server/http/request_parser.h"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using ErrorCodeSys = boost::system::error_code;
using SteadyTime = std::chrono::steady_clock::time_point;

// Bytes that may arrive while an answer is being made (pipelined requests); beyond, the socket is left unread.
constexpr size_t kReadAheadBytes = 8u << 10;
// Answers of this size are made for everybody, however many bytes wait: errors, health, small tables.
constexpr size_t kSmallAnswerBytes = 64u << 10;
// After a refusal the client may still be sending: so long its bytes are read and thrown away, for it to see the answer.
constexpr std::chrono::milliseconds kLingerTime{3'000};

struct Counters {
  std::atomic<uint64_t> accepted{0}, refused_full{0}, requests{0}, bad_requests{0}, timeouts{0}, tls_failures{0}, open{0};
};

class ConnectionBase {
 public:
  virtual ~ConnectionBase() = default;
  virtual std::shared_ptr<ConnectionBase> hold() = 0;  // nullptr when it is already on its way out
  virtual void stop_when_idle() = 0;                   // any thread
  virtual void cut() = 0;                              // any thread
};

// What connections share and outlives none of them: the server waits for all to be gone.
struct Shared {
  ServerOptions options;
  Handler* handler = nullptr;
  Counters counters;
  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> answer_bytes{0};  // of all connections, waiting to be sent
  std::atomic<uint64_t> next_id{1};
  uint64_t id_prefix = 0;

  std::mutex mutex;
  std::condition_variable gone;
  std::set<ConnectionBase*> connections;
};

bool is_good_request_id(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (char c : id)
    if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.') return false;
  return true;
}

bool is_http_error(ErrorCodeSys error) {
  return error && error.category() == bhttp::make_error_code(bhttp::error::end_of_stream).category();
}

std::string hex_of(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string error_body(std::string_view code, std::string_view message) {
  return "{\"error\":{\"code\":\"" + std::string(code) + "\",\"message\":\"" + std::string(message) + "\"}}\n";
}

// Header values are ours, but some carry text from a request: no line may end early.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (char c : value) out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  out += "\r\n";
}

template <typename Stream>
struct IsTls : std::false_type {};
template <typename T>
struct IsTls<asio::ssl::stream<T>> : std::true_type {};

template <typename Stream>
class Connection final : public ConnectionBase, public std::enable_shared_from_this<Connection<Stream>> {
  using Self = Connection<Stream>;
  using Executor = asio::strand<asio::io_context::executor_type>;

 public:
  Connection(Shared& shared, tcp::socket socket, Executor executor, asio::ssl::context* tls)
      : shared_(shared), executor_(executor), stream_(make_stream(std::move(socket), tls)), timer_(executor_) {
    ErrorCodeSys ignored;
    const auto peer = raw().remote_endpoint(ignored);
    if (!ignored) {
      const std::string address = peer.address().to_string();
      peer_ = (peer.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(peer.port());
    }
    std::lock_guard lock(shared_.mutex);
    shared_.connections.insert(this);
    ++shared_.counters.open;
  }
  ~Connection() override {
    shared_.answer_bytes -= waiting_bytes_;
    std::lock_guard lock(shared_.mutex);
    shared_.connections.erase(this);
    --shared_.counters.open;
    shared_.gone.notify_all();
  }

  void start() {
    asio::post(executor_, [self = this->shared_from_this()] {
      if constexpr (IsTls<Stream>::value) {
        self->arm(self->shared_.options.head_timeout);
        self->stream_.async_handshake(asio::ssl::stream_base::server, [self](ErrorCodeSys error) {
          if (error) {
            ++self->shared_.counters.tls_failures;
            return self->close();
          }
          self->await_request();
        });
      } else {
        self->await_request();
      }
    });
  }

  std::shared_ptr<ConnectionBase> hold() override { return this->weak_from_this().lock(); }
  void stop_when_idle() override {
    asio::post(executor_, [self = this->shared_from_this()] {
      self->keep_alive_ = false;
      if (!self->busy_) self->close();
    });
  }
  void cut() override {
    asio::post(executor_, [self = this->shared_from_this()] { self->close(); });
  }

 private:
  class ConnectionExchange final : public Exchange {
   public:
    ConnectionExchange(std::shared_ptr<Self> connection, Request request, std::shared_ptr<void> ticket)
        : connection_(std::move(connection)), request_(std::move(request)), ticket_(std::move(ticket)), started_(std::chrono::steady_clock::now()) {}
    ~ConnectionExchange() override {
      if (!finished_ && !begun_) {
        Response response{.status = 500};
        response.body = error_body("internal", "the request was not answered");
        respond(std::move(response));
      } else if (!finished_) {
        abort();
      }
    }
    const Request& request() const override { return request_; }
    std::string take_body() override { return std::move(request_.body); }

    void respond(Response response) override {
      const Shared& shared = connection_->shared_;
      if (response.body.size() > kSmallAnswerBytes && shared.answer_bytes + response.body.size() > shared.options.answer_bytes_max) {
        response = Response{.status = 503, .headers = {{"Retry-After", "5"}}};
        response.body = error_body("full", "too many bytes of answers wait for clients that have not read them yet");
      }
      std::string out = connection_->head_of(response, request_.id, response.body.size());
      status_ = response.status;
      if (!connection_->is_head_request_) out += response.body;
      connection_->enqueue(std::move(out));
      end(false);
    }
    void begin(Response head) override {
      begun_ = true;
      status_ = head.status;
      if (!connection_->chunked_) connection_->keep_alive_ = false;
      connection_->enqueue(connection_->head_of(head, request_.id, std::nullopt));
    }
    bool write(std::string bytes, const GiveUp& give_up) override {
      if (bytes.empty()) return !connection_->failed();
      if (connection_->is_head_request_) return true;
      if (!connection_->await_room(give_up)) return false;
      connection_->enqueue(chunk_of(std::move(bytes)));
      return true;
    }
    void finish(HeaderList trailers, std::string last) override {
      if (!last.empty() && !connection_->is_head_request_) connection_->enqueue(chunk_of(std::move(last)));
      if (connection_->chunked_ && !connection_->is_head_request_) {
        std::string out = "0\r\n";
        for (const auto& [name, value] : trailers) append_header(out, name, value);
        out += "\r\n";
        connection_->enqueue(std::move(out));
      }
      end(false);
    }
    void abort() override { end(true); }
    void on_disconnect(std::function<void()> callback) override { connection_->set_disconnect_callback(std::move(callback)); }

   private:
    // As it goes over the wire. REQUIRES: not empty
    std::string chunk_of(std::string bytes) const {
      if (!connection_->chunked_) return bytes;
      std::string chunk = hex_of(bytes.size());
      chunk.reserve(chunk.size() + bytes.size() + 4);
      return chunk.append("\r\n").append(bytes).append("\r\n");
    }
    void end(bool cut) {
      if (finished_) return;
      finished_ = true;
      const auto elapsed = std::chrono::steady_clock::now() - started_;
      connection_->shared_.handler->done(request_, status_, connection_->queued_bytes_.load(),
                                         std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
      connection_->finish_exchange(cut, std::move(ticket_));
    }

    std::shared_ptr<Self> connection_;
    Request request_;
    std::shared_ptr<void> ticket_;
    SteadyTime started_;
    int status_ = 0;
    bool begun_ = false, finished_ = false;
  };

  static Stream make_stream(tcp::socket socket, asio::ssl::context* tls) {
    if constexpr (IsTls<Stream>::value)
      return Stream(std::move(socket), *tls);
    else
      return Stream(std::move(socket));
  }
  tcp::socket& raw() {
    if constexpr (IsTls<Stream>::value)
      return stream_.next_layer();
    else
      return stream_;
  }

  // --- time-outs: one timer; whoever waits for the client arms it -----------------------------------------------------
  void arm(std::chrono::milliseconds timeout) {
    timer_.expires_after(timeout);
    timer_.async_wait([weak = this->weak_from_this(), turn = ++timer_turn_](ErrorCodeSys error) {
      if (error) return;
      auto self = weak.lock();
      if (!self || self->timer_turn_ != turn) return;  // armed anew or disarmed while this was under way
      ++self->shared_.counters.timeouts;
      self->close();
    });
  }
  void disarm() {
    ++timer_turn_;
    timer_.cancel();
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    disarm();
    ErrorCodeSys ignored;
    raw().close(ignored);
    client_is_gone();
  }
  void client_is_gone() {
    std::function<void()> callback;
    {
      std::lock_guard lock(send_mutex_);
      failed_ = true;
      callback = std::move(disconnect_callback_);
      disconnect_callback_ = nullptr;
    }
    can_send_.notify_all();
    if (callback) callback();
  }

  // --- reading ------------------------------------------------------------------------------------------------------
  // Waits for the first byte of a request; the watch of the last exchange may still be reading.
  void await_request() {
    busy_ = false;
    if (closed_) return;
    if (!keep_alive_ || shared_.stopping) return shut_down();
    if (buffer_.size() > 0) return read_head();
    arm(shared_.options.idle_timeout);
    if (!watching_) watch();
  }

  // Reads whatever comes, so that a client that goes away is noticed, and the next request's bytes are kept.
  void watch() {
    watching_ = true;
    stream_.async_read_some(buffer_.prepare(kReadAheadBytes), [self = this->shared_from_this()](ErrorCodeSys error, size_t count) {
      self->watching_ = false;
      if (error) {
        self->input_ended_ = true;
        self->client_is_gone_while_busy_or_close();
        return;
      }
      self->buffer_.commit(count);
      // While busy: a pipelined request. It waits in the buffer, and the rest of it in the socket.
      if (!self->busy_) self->read_head();
    });
  }
  void client_is_gone_while_busy_or_close() {
    if (!busy_) return close();
    keep_alive_ = false;
    // A client that only closed its sending side still gets its answer if that can be sent; what runs for it is told.
    std::function<void()> callback;
    {
      std::lock_guard lock(send_mutex_);
      callback = std::move(disconnect_callback_);
      disconnect_callback_ = nullptr;
      half_closed_ = true;
    }
    if (callback) callback();
  }

  void read_head() {
    busy_ = true;
    request_ = Request{};
    parser_.emplace(request_, shared_.options.header_bytes_max);
    arm(shared_.options.head_timeout);
    bhttp::async_read_header(stream_, buffer_, *parser_, [self = this->shared_from_this()](ErrorCodeSys error, size_t) {
      if (error) return self->on_head_error(error);
      self->on_head();
    });
  }

  void on_head_error(ErrorCodeSys error) {
    if (closed_ || error == bhttp::error::end_of_stream || error == bhttp::error::partial_message) return close();
    if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow)
      return refuse_early(431, "headers_too_large", "request head is longer than the limit of " + std::to_string(shared_.options.header_bytes_max) + " bytes");
    if (is_http_error(error))
      return refuse_early(400, "bad_request", "not an HTTP request: " + error.message());
    close();
  }

  void refuse_early(int status, std::string_view code, std::string message) {
    ++shared_.counters.bad_requests;
    Response response{.status = status};
    response.body = error_body(code, message);
    keep_alive_ = false;
    linger_ = true;
    version_11_ = true;
    is_head_request_ = false;
    enqueue(head_of(response, next_id(), response.body.size()) + response.body);
    finish_exchange(false, nullptr);
  }

  std::string next_id() { return hex_of(shared_.id_prefix) + "-" + std::to_string(shared_.next_id.fetch_add(1)); }

  void on_head() {
    ++shared_.counters.requests;
    request_.peer = peer_;
    request_.is_tls = IsTls<Stream>::value;
    version_11_ = parser_->is_http_11();
    chunked_ = version_11_;
    is_head_request_ = request_.method == "HEAD";
    keep_alive_ = parser_->keep_alive() && !input_ended_;
    linger_ = false;
    queued_bytes_ = 0;
    const std::string_view client_id = request_.header("x-request-id");
    request_.id = is_good_request_id(client_id) ? std::string(client_id) : next_id();

    std::optional<uint64_t> length;
    if (const auto declared = parser_->content_length())
      length = *declared;
    else if (!parser_->chunked())
      length = 0;
    if (auto refusal = ambiguous()) return refuse(std::move(*refusal), std::nullopt);
    if (!parse_target(parser_->target(), request_))
      return refuse({.status = 400, .body = error_body("bad_request", "the request target is no path or URL of this server, or has a broken percent escape")}, length);

    Admission admission = shared_.handler->admit(request_, length);
    if (admission.refusal) return refuse(std::move(*admission.refusal), length);
    if (length && *length > admission.body_bytes_max) return refuse(too_large(admission.body_bytes_max), length);
    ticket_ = std::move(admission.ticket);
    body_bytes_max_ = admission.body_bytes_max;

    parser_->body_limit(body_bytes_max_);
    if (parser_->is_done() || (length && *length == 0)) return on_body();
    body_started_ = std::chrono::steady_clock::now();
    body_deadline_ = body_started_ + shared_.options.body_timeout;
    if (beast::iequals(request_.header("expect"), "100-continue") && buffer_.size() == 0 && version_11_) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      arm(shared_.options.send_stall_timeout);
      asio::async_write(stream_, asio::buffer(kContinue), [self = this->shared_from_this()](ErrorCodeSys error, size_t) {
        if (error) return self->close();
        self->read_body();
      });
      return;
    }
    read_body();
  }

  // What proxies and servers have read in different ways, so that one saw a request where the other saw a body (RFC 9112, 3.2, 6.1 and
  // 11.2): none of it is guessed at, and the connection ends with it.
  std::optional<Response> ambiguous() const {
    size_t hosts = 0;
    std::string codings;
    for (const auto& [name, value] : request_.headers) {
      hosts += name == "host";
      if (name == "transfer-encoding") codings.append(codings.empty() ? "" : ", ").append(value);
    }
    if (hosts > 1 || (hosts == 0 && version_11_)) return Response{.status = 400, .body = error_body("bad_request", "a request has one Host header")};
    if (codings.empty() || (beast::iequals(codings, "chunked") && version_11_)) return std::nullopt;
    if (version_11_ && parser_->chunked()) return Response{.status = 501, .body = error_body("unsupported", "the only Transfer-Encoding known here is chunked")};
    return Response{.status = 400, .body = error_body("bad_request", "where the body ends cannot be told: its Transfer-Encoding is not chunked")};
  }

  static Response too_large(size_t limit) {
    return {.status = 413, .body = error_body("too_large", "the body is longer than the limit of " + std::to_string(limit) + " bytes")};
  }

  void refuse(Response response, std::optional<uint64_t> length) {
    ++shared_.counters.bad_requests;
    // What the client goes on to send is not a request: a body that is not read ends the connection.
    if (!length || *length > 0) {
      keep_alive_ = false;
      linger_ = true;
    }
    ticket_.reset();
    parser_.reset();
    std::string().swap(request_.body);
    disarm();
    auto exchange = std::make_shared<ConnectionExchange>(this->shared_from_this(), std::move(request_), nullptr);
    exchange->respond(std::move(response));
  }

  void read_body() {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(body_deadline_ - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      ++shared_.counters.timeouts;
      return close();
    }
    arm(std::min(left, shared_.options.body_stall_timeout));
    bhttp::async_read_some(stream_, buffer_, *parser_, [self = this->shared_from_this()](ErrorCodeSys error, size_t) {
      if (error == bhttp::error::body_limit) return self->refuse(too_large(self->body_bytes_max_), std::nullopt);
      if (error == bhttp::error::end_of_stream || error == bhttp::error::partial_message || self->closed_) return self->close();
      if (is_http_error(error))
        return self->refuse({.status = 400, .body = error_body("bad_request", "broken body framing: " + error.message())}, std::nullopt);
      if (error) return self->close();
      if (self->parser_->is_done()) return self->on_body();
      if (self->is_body_too_slow()) {
        ++self->shared_.counters.timeouts;
        return self->refuse({.status = 408, .body = error_body("too_slow", "the body comes too slowly: fewer than " +
                                                                               std::to_string(self->shared_.options.body_bytes_per_second_min) +
                                                                               " bytes a second")},
                            std::nullopt);
      }
      self->read_body();
    });
  }

  bool is_body_too_slow() {
    const std::chrono::duration<double> counted = std::chrono::steady_clock::now() - body_started_ - shared_.options.body_grace;
    return counted.count() > 0 &&
           static_cast<double>(request_.body.size()) < counted.count() * static_cast<double>(shared_.options.body_bytes_per_second_min);
  }

  void on_body() {
    disarm();
    parser_.reset();
    auto exchange = std::make_shared<ConnectionExchange>(this->shared_from_this(), std::move(request_), std::move(ticket_));
    if (buffer_.size() == 0 && !input_ended_) watch();
    shared_.handler->handle(std::move(exchange));
  }

  // --- sending ------------------------------------------------------------------------------------------------------
  std::string head_of(const Response& response, const std::string& id, std::optional<size_t> length) {
    std::string out;
    out.reserve(256);
    out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ").append(reason_phrase(response.status)).append("\r\n");
    const bool has_body = response.status != 204 && response.status != 304;  // RFC 9110, 6.4.1
    if (!response.content_type.empty() && has_body) append_header(out, "Content-Type", response.content_type);
    for (const auto& [name, value] : response.headers) append_header(out, name, value);
    append_header(out, "X-Request-Id", id);
    append_header(out, "X-Content-Type-Options", "nosniff");
    const auto is_cache_control = [](const auto& header) { return header.first == "Cache-Control"; };
    if (std::none_of(response.headers.begin(), response.headers.end(), is_cache_control)) append_header(out, "Cache-Control", "no-store");
    if (length) {
      if (has_body) append_header(out, "Content-Length", std::to_string(*length));
    } else if (chunked_) {
      append_header(out, "Transfer-Encoding", "chunked");
    }
    if (!keep_alive_ || shared_.stopping || (!length && !chunked_)) append_header(out, "Connection", "close");
    else if (!version_11_) append_header(out, "Connection", "keep-alive");
    out += "\r\n";
    return out;
  }

  bool failed() {
    std::lock_guard lock(send_mutex_);
    return failed_;
  }
  void set_disconnect_callback(std::function<void()> callback) {
    {
      std::lock_guard lock(send_mutex_);
      if (!failed_ && !half_closed_) {
        disconnect_callback_ = std::move(callback);
        return;
      }
    }
    callback();
  }
  // Any thread.
  void enqueue(std::string bytes) {
    {
      std::lock_guard lock(send_mutex_);
      if (failed_) return;
      waiting_bytes_ += bytes.size();
      shared_.answer_bytes += bytes.size();
    }
    queued_bytes_ += bytes.size();
    asio::post(executor_, [self = this->shared_from_this(), bytes = std::move(bytes)]() mutable { self->push(std::move(bytes)); });
  }
  // False: there will be none, or nobody wants to wait for it any more.
  bool await_room(const Exchange::GiveUp& give_up) {
    std::unique_lock lock(send_mutex_);
    const auto settled = [&] { return failed_ || waiting_bytes_ < shared_.options.send_buffer_bytes; };
    if (!give_up) {
      can_send_.wait(lock, settled);
      return !failed_;
    }
    while (!can_send_.wait_for(lock, shared_.options.give_up_every, settled)) {
      lock.unlock();  // what is asked may take locks of its own
      if (give_up()) return false;
      lock.lock();
    }
    return !failed_;
  }
  void push(std::string bytes) {
    if (closed_) return;
    send_queue_.push_back(std::move(bytes));
    if (!sending_) send_next();
  }
  void send_next() {
    if (closed_) return;
    if (send_queue_.empty()) {
      sending_ = false;
      disarm();
      if (exchange_ended_) on_exchange_sent();
      return;
    }
    sending_ = true;
    auto patience = shared_.options.send_stall_timeout;
    if (exchange_ended_) {
      // Nobody waits for this client any more, and it must not keep the rest here for ever by taking a byte at a time.
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(drain_deadline_ - std::chrono::steady_clock::now());
      if (left.count() <= 0) {
        ++shared_.counters.timeouts;
        return close();
      }
      patience = std::min(patience, left);
    }
    arm(patience);
    const std::string& front = send_queue_.front();
    stream_.async_write_some(asio::buffer(front.data() + sent_of_front_, front.size() - sent_of_front_),
                             [self = this->shared_from_this()](ErrorCodeSys error, size_t count) {
                               if (error) return self->close();
                               self->on_sent(count);
                             });
  }
  void on_sent(size_t count) {
    sent_of_front_ += count;
    {
      std::lock_guard lock(send_mutex_);
      waiting_bytes_ -= count;
      shared_.answer_bytes -= count;
    }
    can_send_.notify_all();
    if (sent_of_front_ == send_queue_.front().size()) {
      send_queue_.pop_front();
      sent_of_front_ = 0;
    }
    send_next();
  }

  // Any thread. After this the exchange is not used any more.
  void finish_exchange(bool cut, std::shared_ptr<void> ticket) {
    asio::post(executor_, [self = this->shared_from_this(), cut, ticket = std::move(ticket)]() mutable {
      {
        std::lock_guard lock(self->send_mutex_);
        self->disconnect_callback_ = nullptr;
      }
      ticket.reset();
      if (cut) {
        // What was sent so far may arrive; the missing last chunk tells that it is not all.
        self->abandon_ = true;
        self->keep_alive_ = false;
      }
      self->exchange_ended_ = true;
      self->drain_deadline_ = std::chrono::steady_clock::now() + self->shared_.options.drain_timeout;
      if (self->sending_)
        self->arm(std::min(self->shared_.options.send_stall_timeout, self->shared_.options.drain_timeout));
      else if (self->send_queue_.empty())
        self->on_exchange_sent();
    });
  }
  void on_exchange_sent() {
    exchange_ended_ = false;
    if (closed_) return;
    if (abandon_) {
      // The end of the connection is the end of an answer to HTTP/1.0: only a reset tells that it is none.
      ErrorCodeSys ignored;
      if (!chunked_) raw().set_option(asio::socket_base::linger(true, 0), ignored);
      return close();
    }
    if (linger_) return linger();
    await_request();
  }

  // Says that no more will be sent, and for a moment reads and drops what the client still sends.
  void linger() {
    ErrorCodeSys ignored;
    if constexpr (!IsTls<Stream>::value) raw().shutdown(tcp::socket::shutdown_send, ignored);
    arm(kLingerTime);
    drop_input();
  }
  void drop_input() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kReadAheadBytes), [self = this->shared_from_this()](ErrorCodeSys error, size_t) {
      if (error || self->closed_) return self->close();
      self->drop_input();
    });
  }
  void shut_down() {
    if constexpr (IsTls<Stream>::value) {
      arm(kLingerTime);
      stream_.async_shutdown([self = this->shared_from_this()](ErrorCodeSys) { self->close(); });
    } else {
      close();
    }
  }

  Shared& shared_;
  Executor executor_;
  Stream stream_;
  asio::steady_timer timer_;
  std::string peer_;

  beast::flat_buffer buffer_{512u << 10};
  Request request_;
  std::optional<RequestParser> parser_;  // into request_, until it is handed on
  std::shared_ptr<void> ticket_;
  size_t body_bytes_max_ = 0;
  SteadyTime body_started_{}, body_deadline_{}, drain_deadline_{};

  // On the strand.
  bool busy_ = false, watching_ = false, closed_ = false, input_ended_ = false, sending_ = false;
  bool exchange_ended_ = false, linger_ = false, abandon_ = false;
  uint64_t timer_turn_ = 0;
  std::deque<std::string> send_queue_;
  size_t sent_of_front_ = 0;

  // Written on the strand before an exchange exists, read by its worker.
  bool version_11_ = true, chunked_ = true, is_head_request_ = false;
  std::atomic<bool> keep_alive_{true};
  std::atomic<uint64_t> queued_bytes_{0};

  std::mutex send_mutex_;
  std::condition_variable can_send_;
  size_t waiting_bytes_ = 0;
  bool failed_ = false, half_closed_ = false;
  std::function<void()> disconnect_callback_;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, Handler& handler) : acceptor_(asio::make_strand(io_)), retry_(acceptor_.get_executor()) {
    shared_.options = options;
    shared_.handler = &handler;
    shared_.id_prefix = std::random_device{}();
  }
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }

  Status open() {
    const ServerOptions& options = shared_.options;
    if (!options.tls_certificate_file.empty()) {
      tls_.emplace(asio::ssl::context::tls_server);
      ErrorCodeSys error;
      tls_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                            asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                        error);
      if (tls_->use_certificate_chain_file(options.tls_certificate_file, error); error)
        return Error{ErrorCode::io, "cannot read the TLS certificate " + options.tls_certificate_file + ": " + error.message()};
      // OpenSSL would ask the terminal for the password of a key that has one, and hold the start until somebody types.
      const auto is_locked = std::make_shared<bool>(false);
      tls_->set_password_callback([is_locked](size_t, asio::ssl::context::password_purpose) {
        *is_locked = true;
        return std::string();
      }, error);
      tls_->use_private_key_file(options.tls_key_file, asio::ssl::context::pem, error);
      if (*is_locked) return Error{ErrorCode::io, "the TLS key " + options.tls_key_file + " has a password, and nobody is asked for one here: give a key without"};
      if (error)
        return Error{ErrorCode::io, "cannot use the TLS key " + options.tls_key_file + ": " + error.message()};
      if (SSL_CTX_check_private_key(tls_->native_handle()) != 1)
        return Error{ErrorCode::io, "the TLS key " + options.tls_key_file + " does not belong to the certificate " + options.tls_certificate_file};
    }
    ErrorCodeSys error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) return Error{ErrorCode::invalid_argument, "not an address to listen on: " + options.address};
    const tcp::endpoint endpoint(address, options.port);
    const std::string where = options.address + ":" + std::to_string(options.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(1024, error);
    if (error) return Error{ErrorCode::io, "cannot listen for HTTP on " + where + ": " + error.message()};
    port_ = acceptor_.local_endpoint(error).port();
    accept();
    for (size_t i = 0; i < options.io_threads; ++i) threads_.emplace_back([this] { io_.run(); });
    return {};
  }

  uint16_t port() const override { return port_; }
  ServerStats stats() const override {
    const Counters& c = shared_.counters;
    return {c.accepted, c.refused_full, c.requests, c.bad_requests, c.timeouts, c.tls_failures, c.open};
  }

  void stop(std::chrono::milliseconds grace) override {
    if (stopped_) return;
    stopped_ = true;
    shared_.stopping = true;
    asio::post(acceptor_.get_executor(), [this] {
      ErrorCodeSys ignored;
      acceptor_.close(ignored);
      retry_.cancel();
    });
    each([](ConnectionBase& c) { c.stop_when_idle(); });
    const bool all_gone = wait_gone(grace);
    if (!all_gone) {
      each([](ConnectionBase& c) { c.cut(); });
      wait_gone(std::chrono::milliseconds(2'000));
    }
    work_.reset();
    io_.stop();
    for (auto& thread : threads_) thread.join();
  }

 private:
  template <typename F>
  void each(F&& f) {
    // Held beyond the lock: the last owner's destructor takes it.
    std::vector<std::shared_ptr<ConnectionBase>> held;
    {
      std::lock_guard lock(shared_.mutex);
      for (ConnectionBase* c : shared_.connections)
        if (auto alive = c->hold()) held.push_back(std::move(alive));
    }
    for (const auto& c : held) f(*c);
  }
  bool wait_gone(std::chrono::milliseconds time) {
    std::unique_lock lock(shared_.mutex);
    return shared_.gone.wait_for(lock, time, [&] { return shared_.connections.empty(); });
  }

  void accept() {
    auto strand = asio::make_strand(io_);
    acceptor_.async_accept(strand, [this, strand](ErrorCodeSys error, auto socket) {
      if (error == asio::error::operation_aborted || shared_.stopping) return;
      if (error) {
        // Out of file descriptors and its like: try again a little later rather than spin.
        retry_.expires_after(std::chrono::milliseconds(100));
        retry_.async_wait([this](ErrorCodeSys e) {
          if (!e) accept();
        });
        return;
      }
      on_accepted(tcp::socket(std::move(socket)), strand);
      accept();
    });
  }

  void on_accepted(tcp::socket socket, asio::strand<asio::io_context::executor_type> strand) {
    ++shared_.counters.accepted;
    ErrorCodeSys ignored;
    if (shared_.options.tcp_no_delay) socket.set_option(tcp::no_delay(true), ignored);
    if (shared_.counters.open >= shared_.options.connections_max) {
      ++shared_.counters.refused_full;
      if (!tls_) {
        // Best effort: a fresh socket's buffer takes this at once or not at all.
        static const std::string kFull = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
                                         error_body("full", "too many connections");
        socket.non_blocking(true, ignored);
        socket.write_some(asio::buffer(kFull), ignored);
        socket.shutdown(tcp::socket::shutdown_send, ignored);
      }
      socket.close(ignored);
      return;
    }
    if (tls_)
      std::make_shared<Connection<asio::ssl::stream<tcp::socket>>>(shared_, std::move(socket), strand, &*tls_)->start();
    else
      std::make_shared<Connection<tcp::socket>>(shared_, std::move(socket), strand, nullptr)->start();
  }

  Shared shared_;
  asio::io_context io_{2};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{asio::make_work_guard(io_)};
  std::optional<asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::vector<std::thread> threads_;
  uint16_t port_ = 0;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler& handler) {
  auto server = std::make_unique<ServerImpl>(options, handler);
  SLUICE_TRY(server->open());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace sluice::http
