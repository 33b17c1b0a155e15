#include "server/api/router.h"

#include <algorithm>

#include "grammar/nearest.h"
#include "server/api/json_text.h"
#include "server/log.h"

namespace sluice::api {
namespace {

std::vector<std::string_view> parts_of(std::string_view pattern) {
  std::vector<std::string_view> parts;
  pattern.remove_prefix(1);
  if (pattern.empty()) return parts;  // "/"
  while (true) {
    const size_t slash = pattern.find('/');
    parts.push_back(pattern.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    pattern.remove_prefix(slash + 1);
  }
}

bool is_argument(std::string_view part) { return part.starts_with('{'); }

http::Response unavailable(std::string_view message, std::string_view retry_after) {
  http::Response response = error_response(503, "unavailable", message);
  response.headers.emplace_back("Retry-After", retry_after);
  return response;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "localhost", "127.x.x.x", "[::1]", each with or without ":port".
bool names_loopback(std::string_view host) {
  size_t end = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  end = end == std::string_view::npos ? host.find(':') : end + 1;
  if (end != std::string_view::npos && end < host.size()) {
    if (host[end] != ':' || !is_digits(host.substr(end + 1))) return false;
    host = host.substr(0, end);
  }
  if (lower(host) == "localhost" || host == "[::1]") return true;
  // Four numbers, so that a name such as 127.0.0.1.evil.example is none.
  if (!host.starts_with("127.") || std::count(host.begin(), host.end(), '.') != 3 || host.back() == '.') return false;
  return std::all_of(host.begin(), host.end(), [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

// Without tokens everyone who reaches loopback is an admin, and so is every page in a browser on this machine: by a plain
// cross-site request, or by a name of its own that resolves to 127.0.0.1 (DNS rebinding). Empty: no such request.
std::string_view foreign_reason(const http::Request& head) {
  const std::string_view host = head.header("host");
  size_t hosts = 0;
  for (const auto& [name, value] : head.headers) {
    if (name == "host" && (++hosts > 1 || !names_loopback(value))) return "the Host header does not name this machine's loopback";
    if (name == "origin" && (host.empty() || lower(value) != (head.is_tls ? "https://" : "http://") + lower(host)))
      return "the request comes from a page of another origin";
    if (name == "sec-fetch-site" && lower(value) != "same-origin" && lower(value) != "none") return "the request comes from a page of another site";
  }
  return {};
}

std::string credential(const Route* route, const http::Request& request) {
  return route && route->credential ? route->credential(request) : std::string(request.header("authorization"));
}

http::Response shaped(const Route* route, const http::Request& request, http::Response refusal) {
  return route->refusal ? route->refusal(request, refusal) : std::move(refusal);
}

}  // namespace

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::parse: return 400;
    case ErrorCode::not_found: return 404;
    case ErrorCode::conflict: return 409;
    case ErrorCode::too_large: return 413;
    case ErrorCode::unsupported: return 415;
    case ErrorCode::full: return 503;
    case ErrorCode::cancelled: return 499;
    case ErrorCode::deadline: return 408;
    case ErrorCode::corrupt: return 500;
    case ErrorCode::io: return 500;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::forbidden: return 403;
    case ErrorCode::not_built: return 501;
  }
  return 500;
}

http::Response error_response(int status, std::string_view code, std::string_view message, std::string_view hint, uint32_t line, uint32_t column,
                              size_t length) {
  http::Response response;
  response.status = status;
  std::string& out = response.body;
  out = "{\"error\":{\"code\":";
  append_json_string(out, code);
  out += ",\"message\":";
  append_json_string(out, message);
  if (line > 0) {
    out += ",\"line\":" + std::to_string(line) + ",\"column\":" + std::to_string(column);
    if (length > 0) out += ",\"length\":" + std::to_string(length);
  }
  if (!hint.empty()) {
    out += ",\"hint\":";
    append_json_string(out, hint);
  }
  out += "}}";
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sluice\"");
  return response;
}

http::Response error_response(const Error& error) {
  http::Response response = error_response(status_of(error.code), to_string(error.code), error.message);
  if (response.status == 503) response.headers.emplace_back("Retry-After", "5");
  return response;
}

void Router::open(std::vector<Route> routes, const server::Auth& auth, server::Metrics& metrics,
                  std::array<server::WorkerPool*, kLaneCount> lanes) {
  routes_ = std::move(routes);
  auth_ = &auth;
  metrics_ = &metrics;
  lanes_ = lanes;
  state_ = State::ready;  // publishes all of the above to the io threads
}

void Router::set_trouble(std::string reason) {
  std::lock_guard lock(trouble_mutex_);
  trouble_ = std::move(reason);
}

Router::Match Router::match(const http::Request& request) const {
  Match found;
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  bool is_literal = false;  // a path that a route names in full is that route's alone: /v1/rules/test is not the rule 'test'
  for (const Route& route : routes_) {
    const auto parts = parts_of(route.pattern);
    if (parts.size() != request.segments.size()) continue;
    std::vector<std::string> arguments;
    bool fits = true;
    for (size_t i = 0; fits && i < parts.size(); ++i) {
      if (is_argument(parts[i]))
        arguments.push_back(request.segments[i]);
      else
        fits = parts[i] == request.segments[i];
    }
    if (!fits) continue;
    if (!arguments.empty() && is_literal) continue;
    is_literal = is_literal || arguments.empty();
    if (route.method == method) return {&route, std::move(arguments), {}};
    if (!found.allowed.empty()) found.allowed += ", ";
    found.allowed.append(route.method);
    if (route.method == "GET") found.allowed += ", HEAD";
  }
  return found;
}

http::Response Router::not_found(const http::Request& request) const {
  std::vector<std::string_view> patterns;
  for (const Route& route : routes_) patterns.push_back(route.pattern);
  const auto nearest = grammar::nearest(request.path.substr(0, 100), patterns);
  const std::string hint = nearest ? "did you mean '" + std::string(*nearest) + "'?" : "GET /openapi.json lists the routes";
  return error_response(404, "not_found", "there is no route " + request.path.substr(0, 200), hint);
}

http::Admission Router::admit(const http::Request& head, std::optional<uint64_t> content_length) {
  http::Admission admission = admit_route(head, content_length);
  if (admission.refusal && state_.load() != State::starting) {  // the routes are not there before
    if (const Match found = match(head); found.route && found.route->refusal) admission.refusal = found.route->refusal(head, *admission.refusal);
  }
  return admission;
}

http::Admission Router::admit_route(const http::Request& head, std::optional<uint64_t> content_length) {
  const State state = state_.load();
  const auto refuse = [](http::Response response) {
    http::Admission admission;
    admission.refusal = std::move(response);
    return admission;
  };
  // Health is answered right here: it must not wait for any worker.
  if (head.path == "/healthz" || head.path == "/readyz") {
    if (head.method != "GET" && head.method != "HEAD") {
      http::Response response = error_response(405, "method_not_allowed", "only GET is known here");
      response.headers.emplace_back("Allow", "GET, HEAD");
      return refuse(std::move(response));
    }
    std::string unready = state == State::starting ? "starting" : state == State::stopping ? "stopping" : "";
    if (unready.empty()) {
      std::lock_guard lock(trouble_mutex_);
      unready = trouble_;
    }
    http::Response response;
    response.content_type = "text/plain; charset=utf-8";
    if (head.path == "/healthz" || unready.empty()) {
      response.body = head.path == "/healthz" ? "ok\n" : "ready\n";
    } else {
      response.status = 503;
      response.headers.emplace_back("Retry-After", state == State::ready ? "5" : "1");
      response.body = unready + "\n";
    }
    return refuse(std::move(response));
  }
  if (state == State::starting) return refuse(unavailable("the server is starting: the journal is being replayed", "1"));
  if (state == State::stopping) return refuse(unavailable("the server is stopping", "5"));

  const Match found = match(head);
  // The page itself is nobody's secret, and a link to it may stand on any other page.
  if (found.route && found.route->role == Role::none) return {};
  if (!auth_->required()) {
    if (const auto reason = foreign_reason(head); !reason.empty())
      return refuse(error_response(403, "forbidden", reason,
                                   "without tokens only programs that call localhost, 127.0.0.1 or [::1] are served; make a token to allow others"));
  }
  // Who asks comes before what there is: strangers learn nothing of the routes.
  const auto principal = auth_->identify(credential(found.route, head));
  if (!principal.ok()) return refuse(error_response(principal.error()));
  if (!found.route) {
    if (found.allowed.empty()) return refuse(not_found(head));
    http::Response response = error_response(405, "method_not_allowed", head.method.substr(0, 20) + " is not known at " + head.path.substr(0, 200),
                                             "allowed: " + found.allowed);
    response.headers.emplace_back("Allow", found.allowed);
    return refuse(std::move(response));
  }
  if (!server::allows(principal->role, found.route->role))
    return refuse(error_response(403, "forbidden",
                                 "token '" + principal->name + "' has the role " + std::string(server::to_string(principal->role)) + ", this route needs " +
                                     std::string(server::to_string(found.route->role))));
  if (found.route->admit) return found.route->admit(head, content_length);
  http::Admission admission;
  admission.body_bytes_max = found.route->body_bytes_max;
  return admission;
}

void Router::handle(std::shared_ptr<http::Exchange> exchange) {
  const Match found = match(exchange->request());
  if (!found.route) return exchange->respond(not_found(exchange->request()));
  const Route* route = found.route;
  const bool taken = lanes_[static_cast<size_t>(route->lane)]->post([this, route, exchange, arguments = found.arguments] {
    // The token may have been removed since the head came; then the exchange says so.
    auto principal = route->role == Role::none ? Result<server::Principal>(server::Principal{}) : auth_->identify(credential(route, exchange->request()));
    if (!principal.ok()) return exchange->respond(shaped(route, exchange->request(), error_response(principal.error())));
    Call call{exchange, exchange->request(), arguments, std::move(*principal)};
    route->answer(call);
  });
  if (taken) return;
  if (route->lane == Lane::query) ++metrics_->queries_refused;
  if (route->lane == Lane::ingest) ++metrics_->ingest_refused_full;
  http::Response response = error_response(503, "full", "too many requests of this kind are running and waiting");
  response.headers.emplace_back("Retry-After", "1");
  exchange->respond(shaped(route, exchange->request(), std::move(response)));
}

void Router::done(const http::Request& request, int status, uint64_t bytes_sent, int64_t elapsed_ns) {
  if (state_.load() == State::starting) return;
  const Match found = match(request);
  metrics_->count_request(found.route ? found.route->pattern : request.path == "/healthz" || request.path == "/readyz" ? std::string_view(request.path) : "other",
                          status);
  metrics_->http_seconds.observe_ns(elapsed_ns);
  metrics_->response_bytes += bytes_sent;
  if (log::enabled(log::Level::debug))
    log::debug("request", {{"id", request.id},
                           {"peer", request.peer},
                           {"method", request.method},
                           {"path", request.path},
                           {"status", status},
                           {"bytes", bytes_sent},
                           {"ms", static_cast<double>(elapsed_ns) / 1e6}});
}

}  // namespace sluice::api
