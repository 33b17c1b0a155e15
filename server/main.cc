// sluiced: the server program. Reads flags and configuration, starts the app, waits for a signal.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "server/app.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/freed_memory.h"
#include "server/log.h"
#include "server/worker_pool.h"
#include "storage/catalog/catalog.h"
#include "storage/store/store.h"

namespace {

using namespace sluice;
using namespace sluice::server;

constexpr int kExitFailure = 1, kExitUsage = 2;

int complain(const Error& error) {
  std::fprintf(stderr, "sluiced: %s\n", error.message.c_str());
  return kExitFailure;
}

class SystemClock final : public Clock {
 public:
  TimestampNs now() const override {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * kSecond + t.tv_nsec;
  }
};

// `sluiced token …` on a data directory that no server has open.
int run_token_command(const Config& config, const std::string& command, const std::string& name, const std::string& role_name) {
  const auto role = parse_role(role_name);
  if (command == "add" && !role) {
    std::fprintf(stderr, "sluiced: --role is read, ingest or admin, not '%s'\n", role_name.c_str());
    return kExitUsage;
  }
  const SystemClock clock;
  store::StoreOptions options;
  options.directory = config.data;
  std::error_code ec;
  const bool made = !std::filesystem::exists(config.data + "/catalog", ec);
  if (made && command != "add") {
    std::fprintf(stderr, "sluiced: there is no data directory at %s: name the server's with --data\n", config.data.c_str());
    return kExitFailure;
  }
  auto store = store::Store::open(options, clock);
  if (!store.ok()) {
    complain(store.error());
    if (store.error().code == ErrorCode::conflict && !made)
      std::fprintf(stderr,
                   "A server that runs on this directory makes tokens itself, for an admin (or, while there are none, for anyone on loopback):\n"
                   "  curl -X POST %s://%s/v1/admin/tokens -d '{\"name\":\"%s\",\"role\":\"%s\"}'\n",
                   config.tls_cert.empty() ? "http" : "https", to_string(config.http).c_str(), name.empty() ? "NAME" : name.c_str(), role_name.empty() ? "admin" : role_name.c_str());
    return kExitFailure;
  }
  auto auth = Auth::open((*store)->catalog());
  if (!auth.ok()) return complain(auth.error());
  if (command == "list") {
    for (const TokenInfo& token : (*auth)->list())
      std::printf("%s\t%s\t%s\n", token.name.c_str(), std::string(to_string(token.role)).c_str(), format_timestamp(token.created_at).c_str());
    return 0;
  }
  if (command == "remove") {
    const Status status = (*auth)->remove(name);
    return status.ok() ? 0 : complain(status.error());
  }
  const auto token = (*auth)->add(name, *role, clock.now());
  if (!token.ok()) return complain(token.error());
  std::printf("%s\n", token->c_str());
  if (made)
    std::fprintf(stderr, "There was no data directory at %s: it has been made, with this token. If a server has its data elsewhere, name that with --data.\n",
                 std::filesystem::absolute(config.data, ec).c_str());
  std::fprintf(stderr, "This is shown once. Use it as: Authorization: Bearer TOKEN\n");
  return 0;
}

int serve(const Config& config) {
  keep_freed_blocks();
  log::configure(config.log_format, config.log_level);
  // Before any thread exists, so that all of them leave these signals to sigwait below.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write, as a full disk is
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto app = App::start(config);
  if (!app.ok()) return complain(app.error());
  std::printf("%s\n", (*app)->ready_line().c_str());
  std::fflush(stdout);

  int received = 0;
  sigwait(&signals, &received);
  std::thread([signals] {
    int second = 0;
    sigwait(&signals, &second);
    log::warn("second signal: leaving at once; what is open is in the journal");
    _exit(kExitFailure);
  }).detach();
  const Status stopped = (*app)->stop();
  app->reset();
  if (!stopped.ok()) return complain(stopped.error());
  log::info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli{"sluiced: takes flow records in, answers FlowQL over HTTP"};
  cli.set_version_flag("--version", std::string("sluiced ") + SLUICE_VERSION);
  std::string config_file;
  cli.add_option("--config", config_file, "TOML file whose keys are the names of these flags")->type_name("FILE");
  std::map<std::string, std::string> flags;
  for (const Setting& setting : settings()) {
    const std::string name(setting.name);
    std::string help(setting.help);
    if (!setting.standard.empty()) help += " [" + std::string(setting.standard) + "]";
    cli.add_option("--" + name, flags[name], help)->type_name(std::string(setting.value));
  }
  cli.fallthrough();
  cli.require_subcommand(0, 1);
  CLI::App* token = cli.add_subcommand("token", "make, list and remove API tokens of the data directory that --data or --config names");
  token->require_subcommand(1);
  token->fallthrough();
  std::string token_name, token_role;
  CLI::App* add = token->add_subcommand("add", "make a token and print it once; --data DIR or --config FILE says of which server");
  add->fallthrough();
  add->add_option("--role", token_role, "read, ingest or admin")->required();
  add->add_option("--name", token_name, "what it is for")->required();
  CLI::App* remove = token->add_subcommand("remove", "remove a token; --data DIR or --config FILE says of which server");
  remove->fallthrough();
  remove->add_option("--name", token_name, "which one")->required();
  CLI::App* list = token->add_subcommand("list", "names, roles and when they were made; --data DIR or --config FILE says of which server");
  list->fallthrough();

  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = cli.exit(e);
    return code == 0 ? 0 : kExitUsage;
  }

  Config config;
  if (!config_file.empty())
    if (const Status status = load_config_file(config, config_file); !status.ok()) return complain(status.error());
  for (const auto& [name, value] : flags) {
    if (cli.count("--" + name) == 0) continue;
    if (const Status status = apply_setting(config, name, value); !status.ok()) {
      std::fprintf(stderr, "sluiced: --%s\n", status.error().message.c_str());
      return kExitUsage;
    }
  }
  if (token->parsed()) return run_token_command(config, add->parsed() ? "add" : remove->parsed() ? "remove" : "list", token_name, token_role);
  return serve(config);
}
