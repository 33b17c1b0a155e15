// Query bodies, query strings, Accept headers and places in streams: first byte of the input chooses which it is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/api/query_body.h"
#include "server/flow_tail.h"
#include "server/http/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  http::Request request;
  request.method = "POST";
  const api::QueryBounds bounds;
  constexpr TimestampNs kNow = 1'763'625'600 * kSecond;
  switch ((data[0] + 2) % 5) {  // '0' to '4'
    case 0:
      request.headers = {{"content-type", "application/json"}};
      (void)api::read_query_call(request, text, bounds, kNow);
      break;
    case 1: {
      request.method = "GET";
      if (!http::parse_target(text, request)) break;
      const auto call = api::read_query_call(request, {}, bounds, kNow);
      if (call.ok() && call->request.limits.timeout > bounds.limits.timeout) __builtin_trap();
      break;
    }
    case 2: {
      const auto call = api::read_completion_call(text);
      if (call.ok() && call->cursor > call->text.size()) __builtin_trap();
      break;
    }
    case 3: {
      // A place that is taken is one that could have been given.
      static server::FlowTail tail;
      static const std::string life = tail.text_of({}).substr(0, tail.text_of({}).find('-'));
      for (const std::string& id : {std::string(text), life + std::string(text)})
        if (const auto place = tail.read_place(id); place && *place != server::FlowTail::Place{}) __builtin_trap();
      break;
    }
    default:
      request.headers = {{"accept", std::string(text)}, {"content-type", std::string(text)}};
      (void)api::read_query_call(request, "x", bounds, kNow);
  }
  return 0;
}
