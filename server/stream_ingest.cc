#include "server/stream_ingest.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "ingest/receive/ipfix_stream.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/worker_pool.h"
#include "storage/model/limits.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using SystemError = boost::system::error_code;

// After a failed accept (no file descriptors left): so long before the next.
constexpr auto kAcceptRetry = std::chrono::milliseconds(200);

std::chrono::nanoseconds as_chrono(DurationNs duration) { return std::chrono::nanoseconds(duration); }

std::optional<IpAddress> address_of(const asio::ip::address& address) {
  if (address.is_v4()) return IpAddress::v4(address.to_v4().to_uint());
  const auto bytes = address.to_v6().to_bytes();
  return IpAddress::v6_bytes(bytes.data());  // IPv4 arrives mapped on a socket of both, which is our form of it
}

std::string tls_reason(const SystemError& error) {
  return error.category() == asio::error::get_ssl_category() || error ? error.message() : "unknown";
}

class StreamIngestImpl;

// One connection, plain or TLS. Everything happens on the one thread of the io_context.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(StreamIngestImpl& owner, asio::io_context& io, ingest::PacketSender sender) : owner_(owner), timer_(io), sender_(sender) {}
  virtual ~Connection() = default;
  virtual void start() = 0;
  void close();

 protected:
  virtual void read_some(std::span<uint8_t> room) = 0;
  virtual void close_socket() = 0;
  void arm(DurationNs timeout);
  void read();
  void on_read(SystemError error, size_t count);

  StreamIngestImpl& owner_;
  asio::steady_timer timer_;
  ingest::PacketSender sender_;
  ingest::IpfixStream stream_;
  uint64_t timer_turn_ = 0;
  bool closed_ = false;
  bool within_message_ = false;
};

class StreamIngestImpl final : public StreamIngest {
 public:
  StreamIngestImpl(StreamIngestOptions options, Parts parts)
      : options_(std::move(options)),
        parts_(std::move(parts)),
        tls_(asio::ssl::context::tls_server),
        decoder_([this] {
          ingest::PacketDecoderOptions decoder = options_.decoder;
          decoder.track_state = false;  // sessions are not kept
          return decoder;
        }()),
        sink_([this](Batch&& batch) { return parts_.hand_over(std::move(batch)); }),
        ticker_(io_) {}
  ~StreamIngestImpl() override { stop(); }

  Status open() {
    if (options_.tcp) SLUICE_TRY(listen(*options_.tcp, false));
    if (options_.tls) {
      SLUICE_TRY(load_certificates());
      SLUICE_TRY(listen(*options_.tls, true));
    }
    tick();
    for (auto& listener : listeners_) accept(*listener);
    thread_ = std::thread([this] {
      name_thread("ipfix-stream");
      io_.run();
    });
    return {};
  }

  std::string tcp_address() const override { return address(false); }
  std::string tls_address() const override { return address(true); }

  StreamIngestStats stats() const override {
    std::lock_guard lock(mutex_);
    return published_;
  }
  std::vector<ingest::ExporterStats> exporters() const override {
    std::lock_guard lock(mutex_);
    return exporters_;
  }
  std::vector<ingest::PacketError> errors() const override {
    std::lock_guard lock(mutex_);
    return errors_;
  }

  std::vector<ingest::ExporterName> names() const override {
    std::lock_guard lock(mutex_);
    return names_;
  }
  uint64_t names_version() const override {
    std::lock_guard lock(mutex_);
    return names_version_;
  }

  void stop() override {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] {
      stopping_ = true;
      SystemError ignored;
      for (auto& listener : listeners_) {
        listener->acceptor.close(ignored);
        listener->retry.cancel();
      }
      ticker_.cancel();
      while (!connections_.empty()) connections_.begin()->second->close();
      flush();
      publish();
    });
    thread_.join();
  }

  // --- for connections, on the thread -------------------------------------------------------------------------------
  // Whether the connection may go on.
  bool decode(std::span<const uint8_t> message, const ingest::PacketSender& sender) {
    if (out_.rows() == 0) first_row_ = std::chrono::steady_clock::now();
    const auto decoded = decoder_.decode(message, sender, parts_.clock.now(), out_, sink_);
    heard_ = true;
    if (!decoded.ok()) return true;  // the appender counts what it cannot take
    stats_.counts += *decoded;
    if (out_.rows() >= limits::kBatchRows) flush();
    return decoded->malformed == 0;
  }
  void malformed(const ingest::PacketSender& sender, const char* reason, const std::string& detail) {
    ++stats_.malformed;
    if (reason) decoder_.note_error(sender, parts_.clock.now(), reason);
    heard_ = true;
    log::warn("an IPFIX connection was closed: its stream makes no sense", {{"exporter", sluice::to_string(sender.ip)}, {"reason", detail}});
  }
  void gone(const ingest::PacketSender& sender) {
    if (const auto waited = decoder_.finish_waiting(&sender, out_, sink_); waited.ok()) stats_.counts += *waited;
    if (out_.rows() > 0) flush();
    decoder_.end_session(sender);
    connections_.erase(sender.session);
    stats_.open = connections_.size();
    heard_ = true;
  }
  StreamIngestStats& counters() { return stats_; }
  const StreamIngestOptions& options() const { return options_; }
  asio::ssl::context& tls() { return tls_; }

 private:
  struct Listener {
    explicit Listener(asio::io_context& io, bool tls) : acceptor(io), retry(io), is_tls(tls) {}
    tcp::acceptor acceptor;
    asio::steady_timer retry;
    bool is_tls;
    std::string bound;
  };

  Status listen(const Endpoint& where, bool is_tls) {
    auto listener = std::make_unique<Listener>(io_, is_tls);
    SystemError error;
    const tcp::endpoint endpoint(asio::ip::make_address(where.address, error), where.port);
    if (!error) listener->acceptor.open(endpoint.protocol(), error);
    if (!error) listener->acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) listener->acceptor.bind(endpoint, error);
    if (!error) listener->acceptor.listen(128, error);
    if (error)
      return Error{error == asio::error::address_in_use ? ErrorCode::conflict : ErrorCode::io,
                   "cannot listen for IPFIX on " + sluice::server::to_string(where) + ": " + error.message()};
    Endpoint bound = where;
    bound.port = listener->acceptor.local_endpoint(error).port();
    listener->bound = sluice::server::to_string(bound);
    listeners_.push_back(std::move(listener));
    return {};
  }

  Status load_certificates() {
    SystemError error;
    tls_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                     error);
    if (error) return Error{ErrorCode::io, "cannot set up TLS: " + error.message()};
    tls_.use_certificate_chain_file(options_.tls_certificate_file, error);
    if (error) return Error{ErrorCode::invalid_argument, "cannot use the certificate " + options_.tls_certificate_file + ": " + error.message()};
    tls_.use_private_key_file(options_.tls_key_file, asio::ssl::context::pem, error);
    if (error) return Error{ErrorCode::invalid_argument, "cannot use the private key " + options_.tls_key_file + ": " + error.message()};
    if (options_.tls_client_ca_file.empty()) return {};
    tls_.load_verify_file(options_.tls_client_ca_file, error);
    if (error) return Error{ErrorCode::invalid_argument, "cannot use the certificates " + options_.tls_client_ca_file + ": " + error.message()};
    tls_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
    if (error) return Error{ErrorCode::io, "cannot set up TLS: " + error.message()};
    return {};
  }

  std::string address(bool is_tls) const {
    for (const auto& listener : listeners_)
      if (listener->is_tls == is_tls) return listener->bound;
    return {};
  }

  void accept(Listener& listener) {
    listener.acceptor.async_accept([this, &listener](SystemError error, tcp::socket socket) {
      if (stopping_ || error == asio::error::operation_aborted) return;
      if (error) {
        listener.retry.expires_after(kAcceptRetry);
        listener.retry.async_wait([this, &listener](SystemError e) {
          if (!e) accept(listener);
        });
        return;
      }
      on_accepted(std::move(socket), listener.is_tls);
      accept(listener);
    });
  }

  void on_accepted(tcp::socket socket, bool is_tls);

  bool is_allowed(const IpAddress& ip) const {
    if (options_.allow.empty()) return true;
    return std::any_of(options_.allow.begin(), options_.allow.end(), [&](const Prefix& prefix) { return prefix.contains(ip); });
  }

  void tick() {
    ticker_.expires_after(std::chrono::nanoseconds(limits::kReceivedFlushAge) / 3);
    ticker_.async_wait([this](SystemError error) {
      if (error || stopping_) return;
      const auto now = std::chrono::steady_clock::now();
      if (out_.rows() > 0 && now - first_row_ >= std::chrono::nanoseconds(limits::kReceivedFlushAge)) flush();
      if (now - expired_ > std::chrono::nanoseconds(limits::kReceivedExpireEvery)) {
        const TimestampNs time = parts_.clock.now();
        if (out_.rows() == 0) first_row_ = now;
        if (const auto waited = decoder_.finish_overdue(time, out_, sink_); waited.ok()) stats_.counts += *waited;
        decoder_.expire(time);
        expired_ = now;
        heard_ = true;
      }
      if (heard_ && now - published_at_ > std::chrono::nanoseconds(limits::kReceivedPublishEvery)) {
        publish();
        published_at_ = now;
      }
      tick();
    });
  }

  void flush() {
    if (out_.rows() > 0) (void)parts_.hand_over(out_.finish());
  }

  void publish() {
    heard_ = false;
    for (const ingest::LossRange& range : decoder_.loss_ranges()) {
      const std::string exporter = sluice::to_string(range.exporter);
      parts_.losses.put("exporter/" + exporter + "/stream/" + std::to_string(range.domain) + "/" + std::to_string(range.range.from) + "/" + range.unit,
                        {"exporter " + exporter + " (ipfix stream)", range.how, range.unit, range.lost, range.range,
                         {static_cast<uint8_t>(range.format)}, {range.exporter, false}});
    }
    auto exporters = decoder_.exporter_stats();
    // Connections from which nothing has come, or that have ended with an error noted, are no exporters.
    std::erase_if(exporters, [&](const ingest::ExporterStats& e) { return !connections_.contains(e.session); });
    auto errors = decoder_.errors();
    std::lock_guard lock(mutex_);
    exporters_ = std::move(exporters);
    if (const uint64_t version = decoder_.names_version(); version != names_version_) {
      names_ = decoder_.names();
      names_version_ = version;
    }
    errors_ = std::move(errors);
    published_ = stats_;
  }

  const StreamIngestOptions options_;
  Parts parts_;
  asio::io_context io_{1};
  asio::ssl::context tls_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::thread thread_;

  // Of the thread.
  ingest::PacketDecoder decoder_;
  const ingest::FlowSink sink_;
  FlowBatchBuilder out_;
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_;  // by session
  asio::steady_timer ticker_;
  std::chrono::steady_clock::time_point first_row_{}, published_at_{}, expired_ = std::chrono::steady_clock::now();
  StreamIngestStats stats_;
  uint64_t next_session_ = 1;
  bool heard_ = true, stopping_ = false;

  mutable std::mutex mutex_;  // guards what follows
  StreamIngestStats published_;
  std::vector<ingest::ExporterStats> exporters_;
  std::vector<ingest::PacketError> errors_;
  std::vector<ingest::ExporterName> names_;
  uint64_t names_version_ = 0;
};

void Connection::close() {
  if (closed_) return;
  const auto self = shared_from_this();  // the owner's table may hold the last of us
  closed_ = true;
  ++timer_turn_;
  timer_.cancel();
  close_socket();
  owner_.gone(sender_);
}

void Connection::arm(DurationNs timeout) {
  timer_.expires_after(as_chrono(timeout));
  timer_.async_wait([weak = weak_from_this(), turn = ++timer_turn_](SystemError error) {
    const auto self = weak.lock();
    if (error || !self || self->timer_turn_ != turn) return;
    ++self->owner_.counters().timeouts;
    self->close();
  });
}

void Connection::read() {
  // A message has its whole time from its first byte on, however slowly the others follow.
  if (const bool within = stream_.is_within_message(); !within || !within_message_) {
    within_message_ = within;
    arm(within ? owner_.options().message_timeout : owner_.options().idle_timeout);
  }
  read_some(stream_.room());
}

void Connection::on_read(SystemError error, size_t count) {
  if (closed_) return;
  if (error) {
    if (stream_.is_within_message()) owner_.malformed(sender_, "IPFIX stream that ends inside a message", "the stream ends inside a message");
    return close();
  }
  owner_.counters().bytes += count;
  stream_.filled(count);
  while (true) {
    const auto message = stream_.next();
    if (!message.ok()) {
      owner_.malformed(sender_, "stream that is not IPFIX", message.error().message);
      return close();
    }
    if (!*message) break;
    within_message_ = false;
    if (!owner_.decode(**message, sender_)) {
      owner_.malformed(sender_, nullptr, "a message's lengths do not hold");
      return close();
    }
  }
  read();
}

template <typename Stream>
class SocketConnection final : public Connection {
  static constexpr bool kIsTls = !std::is_same_v<Stream, tcp::socket>;

 public:
  SocketConnection(StreamIngestImpl& owner, asio::io_context& io, ingest::PacketSender sender, Stream stream)
      : Connection(owner, io, sender), socket_(std::move(stream)) {}

  void start() override {
    if constexpr (kIsTls) {
      arm(owner_.options().handshake_timeout);
      socket_.async_handshake(asio::ssl::stream_base::server, [this, self = shared_from_this()](SystemError error) {
        if (closed_) return;
        if (error) {
          ++owner_.counters().tls_failures;
          log::warn("a TLS handshake for IPFIX failed", {{"exporter", sluice::to_string(sender_.ip)}, {"reason", tls_reason(error)}});
          return close();
        }
        read();
      });
    } else {
      read();
    }
  }

 private:
  void read_some(std::span<uint8_t> room) override {
    socket_.async_read_some(asio::buffer(room.data(), room.size()),
                            [this, self = shared_from_this()](SystemError error, size_t count) { on_read(error, count); });
  }
  void close_socket() override {
    SystemError ignored;
    socket_.lowest_layer().close(ignored);
  }

  Stream socket_;
};

void StreamIngestImpl::on_accepted(tcp::socket socket, bool is_tls) {
  heard_ = true;
  SystemError error;
  const auto peer = socket.remote_endpoint(error);
  const auto ip = error ? std::nullopt : address_of(peer.address());
  if (!ip) return;
  if (!is_allowed(*ip)) {
    ++stats_.refused_senders;
    return;
  }
  if (connections_.size() >= options_.connections_max) {
    ++stats_.refused_full;
    return;
  }
  ++stats_.accepted;
  // A peer that vanished without a word is noticed in time.
  socket.set_option(asio::socket_base::keep_alive(true), error);
  const ingest::PacketSender sender{*ip, peer.port(), 0, next_session_++};
  std::shared_ptr<Connection> connection;
  if (is_tls)
    connection = std::make_shared<SocketConnection<asio::ssl::stream<tcp::socket>>>(*this, io_, sender, asio::ssl::stream<tcp::socket>(std::move(socket), tls_));
  else
    connection = std::make_shared<SocketConnection<tcp::socket>>(*this, io_, sender, std::move(socket));
  connections_[sender.session] = connection;
  stats_.open = connections_.size();
  connection->start();
}

}  // namespace

Result<std::unique_ptr<StreamIngest>> StreamIngest::start(StreamIngestOptions options, Parts parts) {
  auto ingest = std::make_unique<StreamIngestImpl>(std::move(options), std::move(parts));
  SLUICE_TRY(ingest->open());
  return std::unique_ptr<StreamIngest>(std::move(ingest));
}

}  // namespace sluice::server
