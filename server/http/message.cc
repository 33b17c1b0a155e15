#include "server/http/message.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace sluice::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
  });
}

// How well one media range ("text/*") fits a type: 0 not at all, else the more exact the higher.
int fit_of(std::string_view range, std::string_view type) {
  if (range == "*/*" || range == "*") return 1;
  if (equal_ignoring_case(range, type)) return 3;
  const size_t slash = type.find('/');
  if (range.size() == slash + 2 && range.ends_with("/*") && equal_ignoring_case(range.substr(0, slash), type.substr(0, slash)))
    return 2;
  return 0;
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::optional<std::string_view> Request::query_value(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return std::nullopt;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

bool parse_target(std::string_view target, Request& request) {
  bool is_url = false;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    is_url = true;
    target.remove_prefix(scheme.size());
    const std::string_view authority = target.substr(0, target.find_first_of("/?#"));
    if (authority.empty() || authority.find('@') != std::string_view::npos) return false;
    target.remove_prefix(authority.size());
    std::erase_if(request.headers, [](const auto& header) { return header.first == "host"; });
    request.headers.emplace_back("host", authority);
    break;
  }
  if (!is_url && (target.empty() || target.front() != '/')) return false;
  if (const size_t hash = target.find('#'); hash != std::string_view::npos) target = target.substr(0, hash);
  const size_t question = target.find('?');
  std::string_view path = target.substr(0, question);
  if (path.empty()) path = "/";  // http://host?q=…
  request.path = path;
  std::string_view rest = path.substr(1);
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    auto part = percent_decode(rest.substr(0, slash));
    if (!part) return false;
    request.segments.push_back(std::move(*part));
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (question == std::string_view::npos) return true;
  rest = target.substr(question + 1);
  while (!rest.empty()) {
    const size_t amp = rest.find('&');
    const std::string_view item = rest.substr(0, amp);
    if (!item.empty()) {
      const size_t equals = item.find('=');
      auto key = percent_decode(item.substr(0, equals), true);
      auto value = equals == std::string_view::npos ? std::optional<std::string>("") : percent_decode(item.substr(equals + 1), true);
      if (!key || !value) return false;
      request.query.emplace_back(std::move(*key), std::move(*value));
    }
    if (amp == std::string_view::npos) break;
    rest.remove_prefix(amp + 1);
  }
  return true;
}

std::string_view negotiate(std::string_view accept, const std::vector<std::string_view>& offered) {
  if (trimmed(accept).empty()) return offered.front();
  std::string_view best;
  double best_q = 0;
  for (std::string_view type : offered) {
    int best_fit = 0;
    double q = 0;  // of the most exact range that fits
    std::string_view rest = accept;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      std::string_view item = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      const size_t semicolon = item.find(';');
      const int fit = fit_of(trimmed(item.substr(0, semicolon)), type);
      if (fit <= best_fit) continue;
      double weight = 1;
      while (item.find(';') != std::string_view::npos) {
        item = item.substr(item.find(';') + 1);
        const std::string_view parameter = trimmed(item.substr(0, item.find(';')));
        if (parameter.starts_with("q=")) {
          weight = 0;
          std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), weight);
        }
      }
      best_fit = fit;
      q = weight;
    }
    if (best_fit > 0 && q > best_q) {
      best_q = q;
      best = type;
    }
  }
  return best;
}

}  // namespace sluice::http
