#include "client/repl/rule_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/repl/question.h"
#include "client/repl/terminal.h"

namespace sluice::client {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A member of a server's answer, for a terminal; empty where it is no text.
std::string said(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end() || !it->is_string()) return {};
  TerminalText clean;  // an example may have several lines
  std::string text = clean.take(it->get_ref<const std::string&>());
  return text + clean.finish();
}

// False: a path cannot be read, which was said.
bool find_files(const std::vector<std::string>& paths, std::vector<std::string>& files) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error)) {
      const size_t before = files.size();
      for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
        if (it->path().extension() == ".flowql") files.push_back(it->path().string());
      std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
      if (!error && files.size() > before) continue;
      std::fprintf(stderr, "%s: %s\n", path.c_str(), error ? error.message().c_str() : "no .flowql files there");
      return false;
    }
    if (!fs::is_regular_file(path, error)) {
      std::fprintf(stderr, "%s: %s\n", path.c_str(), error ? error.message().c_str() : "no such file");
      return false;
    }
    files.push_back(path);
  }
  return true;
}

// Sends each file; `use` gets the answer of one that was taken and says whether all is well.
int send_files(Http& http, const std::vector<std::string>& paths, const std::string& route, const std::function<bool(const std::string& file, const json& answer)>& use) {
  std::vector<std::string> files;
  if (!find_files(paths, files)) return 2;
  int code = 0;
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (!in.is_open() || in.bad()) {
      std::fprintf(stderr, "%s: cannot be read\n", file.c_str());
      return 2;
    }
    const Response response = http.send({"POST", route, {"Content-Type: text/plain"}, text});
    if (response.failure != Response::Failure::none) {
      say_unreachable(http, response);
      return 3;
    }
    if (!response.ok()) {
      std::fprintf(stderr, "%s:\n", file.c_str());
      say_error(read_error(response.body, response.status), text, nullptr);
      code = 1;
      continue;
    }
    const json answer = json::parse(response.body, nullptr, false);
    if (!answer.is_object() || !use(file, answer)) code = 1;
  }
  return code;
}

}  // namespace

int test_rules(Http& http, const std::vector<std::string>& paths) {
  size_t rules = 0, examples = 0, failed = 0;
  const int code = send_files(http, paths, "/v1/rules/test", [&](const std::string& file, const json& answer) {
    for (const json& rule : answer.value("rules", json::array())) {
      ++rules;
      const auto& list = rule.value("examples", json::array());
      if (list.empty()) std::printf("%s: %s has no examples\n", file.c_str(), said(rule, "name").c_str());
      for (const json& e : list) {
        ++examples;
        if (e.value("passed", false)) continue;
        ++failed;
        // Why, a line for each part of it.
        std::string detail = said(e, "detail");
        for (size_t at = detail.find('\n'); at != std::string::npos; at = detail.find('\n', at + 1)) detail.insert(at + 1, "    ");
        std::printf("%s: %s %s\n    %s\n    %llu alerts%s%s\n", file.c_str(), said(rule, "name").c_str(),
                    e.value("must_fire", false) ? "does not alert, and must, for" : "alerts, and must not, for", said(e, "example").c_str(),
                    static_cast<unsigned long long>(e.value("alerts", uint64_t{0})), detail.empty() ? "" : ": ", detail.c_str());
      }
    }
    return answer.value("passed", false);
  });
  if (code != 2 && code != 3) std::printf("%zu rules, %zu examples, %zu failed\n", rules, examples, failed);
  return code;
}

int apply_rules(Http& http, const std::vector<std::string>& paths) {
  return send_files(http, paths, "/v1/rules/apply", [](const std::string& file, const json& answer) {
    // Beside the results, which others may read.
    const auto warn = [&](const json& object) {
      if (!object.is_object()) return;
      for (const json& warning : object.value("warnings", json::array())) say(stderr, file + ": warning: " + said(json{{"it", warning}}, "it"));
    };
    for (const json& rule : answer.value("rules", json::array())) {
      std::printf("%s %s\n", said(rule, "name").c_str(), said(rule, "result").c_str());
      warn(rule);
    }
    warn(answer);
    return true;
  });
}

}  // namespace sluice::client
