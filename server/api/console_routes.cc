// The console's page and what it is made of.
#include "server/api/routes.h"

namespace sluice::api {
namespace {

// The page runs its own script and style, speaks to this server only, and stands in nobody's frame. Trusted types: even a mistake of ours
// cannot turn a label of a stranger into markup.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

bool names_tag(std::string_view list, std::string_view tag) {
  if (list == "*") return true;
  for (size_t at = list.find(tag); at != std::string_view::npos; at = list.find(tag, at + 1)) {
    const std::string_view behind = list.substr(at + tag.size());
    if (behind.empty() || behind.front() == ',' || behind.front() == ' ') return true;  // W/"…" is as good for a GET (RFC 9110, 13.1.2)
  }
  return false;
}

}  // namespace

void answer_page(Call& call, const console::PageFile& file) {
  http::Response response;
  response.content_type = file.content_type;
  response.headers = {{"ETag", std::string(file.etag)},
                      {"Cache-Control", file.is_named_by_content ? "public, max-age=31536000, immutable" : "no-cache"},
                      {"Vary", "Accept-Encoding"},
                      {"Content-Security-Policy", std::string(kPolicy)},
                      {"X-Frame-Options", "DENY"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (names_tag(call.request.header("if-none-match"), file.etag)) {
    response.status = 304;
    response.content_type.clear();
    return call.exchange->respond(std::move(response));
  }
  if (http::negotiate(call.request.header("accept-encoding"), {"gzip"}) == "gzip" && !call.request.header("accept-encoding").empty()) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = file.gzip;
  } else {
    response.body = file.bytes;
  }
  call.exchange->respond(std::move(response));
}

}  // namespace sluice::api
