#include "client/repl/target_test.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/repl/question.h"

namespace sluice::client {

int test_target(Http& http, const std::string& name) {
  // Names are these characters alone; others would have to be written otherwise in a path.
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != std::string::npos) {
    std::fputs("not the name of a target; `sluice alerts targets` lists them\n", stderr);
    return 1;
  }
  const Response response = http.send({"POST", "/v1/targets/" + name + "/test", {}, {}});
  if (response.failure != Response::Failure::none) {
    say_unreachable(http, response);
    return 3;
  }
  if (!response.ok()) {
    say_error(read_error(response.body, response.status), {}, nullptr);
    return 1;
  }
  const auto answer = nlohmann::json::parse(response.body, nullptr, false);
  if (answer.is_object() && answer.value("delivered", false)) {
    std::printf("%s took a test notice in %lld ms\n", name.c_str(), answer.value("took_ms", 0LL));
    return 0;
  }
  say(stderr, name + " did not take a test notice: " + (answer.is_object() ? printable(answer.value("error", "")) : "an answer that cannot be read"));
  return 1;
}

}  // namespace sluice::client
