#include "client/repl/target_test.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/repl/answer.h"

namespace sluice::client {

int test_target(Http& http, const std::string& name) {
  // Names are these characters alone; others would have to be written otherwise in a path.
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != std::string::npos) {
    std::fputs("not the name of a target; `sluice alerts targets` lists them\n", stderr);
    return 1;
  }
  const Response response = http.send({"POST", "/v1/targets/" + name + "/test", {}, {}});
  if (response.failure != Response::Failure::none) {
    std::fputs(describe_unreachable(http.server().url, response).c_str(), stderr);
    return 3;
  }
  if (!response.ok()) {
    std::fputs(describe(read_error(response.body, response.status), {}, false).c_str(), stderr);
    return 1;
  }
  const auto answer = nlohmann::json::parse(response.body, nullptr, false);
  if (answer.is_object() && answer.value("delivered", false)) {
    std::printf("%s took a test notice in %lld ms\n", name.c_str(), answer.value("took_ms", 0LL));
    return 0;
  }
  std::fprintf(stderr, "%s did not take a test notice: %s\n", name.c_str(), answer.is_object() ? printable(answer.value("error", "")).c_str() : "an answer that cannot be read");
  return 1;
}

}  // namespace sluice::client
