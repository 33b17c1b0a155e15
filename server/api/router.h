// Router: finds the route of a request, asks who is there, and hands it to a lane of workers. Lanes keep slow work from
// fast: a full house of queries still answers /metrics.
//
// Thread rule: open and close belong to the app's thread; requests come on io threads.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/auth.h"
#include "server/http/message.h"
#include "server/metrics.h"
#include "server/worker_pool.h"
#include "storage/model/result.h"

namespace sluice::api {

using server::Role;

enum class Lane : uint8_t { quick, query, ingest, admin, stream };
inline constexpr size_t kLaneCount = 5;

// One request on its way through a route's function.
struct Call {
  std::shared_ptr<http::Exchange> exchange;
  const http::Request& request;
  std::vector<std::string> arguments;  // what the pattern's {…} parts matched
  server::Principal principal;
};

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/v1/queries/{id}"
  Role role = Role::admin;   // none: for everyone, without a token
  Lane lane = Lane::quick;
  size_t body_bytes_max = 0;
  std::string_view summary;  // for who reads the table
  std::function<void(Call&)> answer;
  // A further look before the body is read, for bounded budgets. May be empty.
  std::function<http::Admission(const http::Request&, std::optional<uint64_t> content_length)> admit = {};
  // Where a client that cannot send an Authorization header carries its token; the answer is what that header would say.
  std::function<std::string(const http::Request&)> credential = {};
  // Another form for refusals, for clients with a protocol of their own.
  std::function<http::Response(const http::Request&, const http::Response&)> refusal = {};
};

// A JSON error answer. `line` 0: no place in a text is to blame.
http::Response error_response(int status, std::string_view code, std::string_view message, std::string_view hint = {}, uint32_t line = 0,
                              uint32_t column = 0, size_t length = 0);
http::Response error_response(const Error& error);
int status_of(ErrorCode code);

class Router final : public http::Handler {
 public:
  Router() = default;

  // From here on requests are served; before, only /healthz is. The references must outlive the router.
  void open(std::vector<Route> routes, const server::Auth& auth, server::Metrics& metrics,
            std::array<server::WorkerPool*, kLaneCount> lanes);
  // /readyz says no, new requests are refused with 503.
  void close() { state_ = State::stopping; }
  // Any thread. Not empty: /readyz says no with this reason; requests are served as ever, and fail where they must.
  void set_trouble(std::string reason);

  http::Admission admit(const http::Request& head, std::optional<uint64_t> content_length) override;
  void handle(std::shared_ptr<http::Exchange> exchange) override;
  void done(const http::Request& request, int status, uint64_t bytes_sent, int64_t elapsed_ns) override;

 private:
  enum class State { starting, ready, stopping };
  struct Match {
    const Route* route = nullptr;
    std::vector<std::string> arguments;
    std::string allowed;  // methods that the path knows, when not this one
  };
  http::Admission admit_route(const http::Request& head, std::optional<uint64_t> content_length);
  // Routes without arguments stand before those that could be taken for them.
  Match match(const http::Request& request) const;
  http::Response not_found(const http::Request& request) const;

  std::atomic<State> state_{State::starting};
  mutable std::mutex trouble_mutex_;
  std::string trouble_;
  std::vector<Route> routes_;
  const server::Auth* auth_ = nullptr;
  server::Metrics* metrics_ = nullptr;
  std::array<server::WorkerPool*, kLaneCount> lanes_{};
};

}  // namespace sluice::api
