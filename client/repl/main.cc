// `sluice`: the command that people use. See docs/client.md.

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "client/repl/answer.h"
#include "client/repl/export.h"
#include "client/repl/http.h"
#include "client/repl/question.h"
#include "client/repl/rule_files.h"
#include "client/repl/session.h"
#include "client/repl/target_test.h"
#include "client/repl/upload.h"

namespace {

using namespace sluice::client;

void on_interrupt(int) { Http::interrupt(); }

int show(Http& http, const std::string& what, const std::string& format) {
  QueryOptions options;
  options.format = format;
  return run_query(http, "show " + what, options);
}

int ingest(Http& http, UploadOptions& options) {
  if (options.paths.empty()) options.paths.push_back("-");
  UploadTotals totals;
  const int code = upload(http, options, totals);
  if (code != 2 && code != 3) {
    const auto said = [](uint64_t n, const char* one, const char* many) { return with_thousands(n) + (n == 1 ? one : many); };
    std::printf("%s, %s", said(totals.accepted, " flow accepted", " flows accepted").c_str(),
                said(totals.rejected, " record rejected", " records rejected").c_str());
    if (totals.no_data > 0) std::printf(", %s without data", with_thousands(totals.no_data).c_str());
    if (totals.skipped_data > 0) std::printf(", %s of data that the source lost", said(totals.skipped_data, " record", " records").c_str());
    if (totals.duplicates > 0) std::printf(", %s", said(totals.duplicates, " body known already", " bodies known already").c_str());
    std::printf(" from %s %s (%s)\n", with_thousands(totals.files).c_str(), totals.files == 1 ? "file" : "files", human_bytes(totals.bytes).c_str());
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  // No SA_RESTART: a Ctrl-C at the prompt must end the read it interrupts.
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);

  CLI::App app{"sluice: ask a Sluice server, and feed it. Without a command it opens the prompt.", "sluice"};
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", "sluice 0.1.0");
  ServerAddress server;
  app.add_option("--server", server.url, "Address of the server")->envname("SLUICE_SERVER")->capture_default_str();
  app.add_option("--token", server.token, "Bearer token (better in SLUICE_TOKEN: arguments are visible to others)")->envname("SLUICE_TOKEN");
  app.add_option("--ca", server.ca_file, "PEM file of the authority to trust for https")->envname("SLUICE_CA");
  app.add_flag("--insecure", server.insecure, "Don't check the server's certificate");
  app.fallthrough();

  QueryOptions query_options;
  std::string query_text;
  std::vector<std::string> parameters;
  auto* query = app.add_subcommand("query", "Ask one question");
  query->add_option("flowql", query_text, "The question; - reads it from standard input")->required();
  query->add_option("--format", query_options.format, "How to print the answer")
      ->check(CLI::IsMember({"table", "json", "ndjson", "csv"}))
      ->capture_default_str();

  ExportOptions export_options;
  auto* exported = app.add_subcommand("export", "Write all rows of a question into a file, however many");
  exported->add_option("flowql", query_text, "The question; - reads it from standard input")->required();
  exported->add_option("-o,--output", export_options.path, "The file, which is there once it is whole; - is standard output")->required();
  exported->add_option("--format", export_options.format, "csv, ndjson, parquet or arrow, where the file's name does not say it; ecs or ocsf for flows")
      ->check(CLI::IsMember({"csv", "ndjson", "parquet", "arrow", "ecs", "ocsf"}));
  exported->add_flag("--quiet", export_options.quiet, "No progress");
  for (auto* asks : {query, exported}) {
    asks->add_option("--from", query_options.from, "Nothing before this time");
    asks->add_option("--to", query_options.to, "Nothing at or after this time");
    asks->add_option("--param", parameters, "name=value, for $name in the question; twice is a list")->allow_extra_args(false);
  }

  UploadOptions upload_options;
  auto* ingest_command = app.add_subcommand("ingest", "Send files to the server");
  ingest_command->add_option("--source", upload_options.source, "What the files are; `sluice sources` lists the names")->required();
  ingest_command->add_option("--format", upload_options.format, "The source's own field list, where files have no header line");
  ingest_command->add_flag("--send-again", upload_options.send_again, "Count bytes again that the server has had before");
  ingest_command->add_flag("--quiet", upload_options.quiet, "No progress bar");
  ingest_command->add_option("files", upload_options.paths, "Files and folders, .gz and .zst too; - or none for standard input");

  std::string show_format = "table";
  auto* sources = app.add_subcommand("sources", "List the formats that the server reads, and what came in by each");
  sources->add_option("--format", show_format)->check(CLI::IsMember({"table", "json", "ndjson", "csv"}));

  std::string top_column = "src_ip", top_by = "sum(bytes)", top_last = "1h";
  int top_count = 10;
  auto* top = app.add_subcommand("top", "The heaviest values of a column");
  top->add_option("column", top_column, "A column, such as src_ip, dst_port or app")->capture_default_str();
  top->add_option("--by", top_by, "An aggregate")->capture_default_str();
  top->add_option("--last", top_last, "How far back; `all` for everything")->capture_default_str();
  top->add_option("-n", top_count, "How many")->capture_default_str();

  std::vector<std::string> rule_paths;
  std::string list_format = "table";
  auto* rules = app.add_subcommand("rules", "Detection rules: test their examples, apply them, list them");
  rules->require_subcommand(1);
  auto* rules_test = rules->add_subcommand("test", "Have the server run the examples in files of rules; nothing is kept");
  rules_test->add_option("paths", rule_paths, "Files, and folders with .flowql files")->required();
  auto* rules_apply = rules->add_subcommand("apply", "Make or replace the rules of files");
  rules_apply->add_option("paths", rule_paths, "Files, and folders with .flowql files")->required();
  auto* rules_list = rules->add_subcommand("list", "List the server's rules and how they do");
  rules_list->add_option("--format", list_format)->check(CLI::IsMember({"table", "json", "ndjson", "csv"}));
  auto* alerts = app.add_subcommand("alerts", "List alerts, the latest to begin first");
  alerts->add_option("--format", list_format)->check(CLI::IsMember({"table", "json", "ndjson", "csv"}));
  auto* targets = alerts->add_subcommand("targets", "List whom the server tells of alerts, and how each does");
  std::string target_name;
  auto* target_test = alerts->add_subcommand("test", "Have the server send a test notice to a target");
  target_test->add_option("target", target_name, "Its name in the server's configuration")->required();

  auto* verify = app.add_subcommand("verify", "Have the server read and check every stored byte");
  auto* flush = app.add_subcommand("flush", "Seal what is open into segments");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    app.exit(e);
    return 2;
  }

  Http http(server);
  if (*query || *exported) {
    if (query_text == "-") query_text.assign(std::istreambuf_iterator<char>(std::cin), {});
    for (const auto& p : parameters) {
      const size_t equals = p.find('=');
      if (equals == std::string::npos || equals == 0) {
        std::fprintf(stderr, "--param wants name=value, not '%s'\n", p.c_str());
        return 2;
      }
      query_options.parameters[p.substr(0, equals)].push_back(p.substr(equals + 1));
    }
    return *exported ? export_query(http, query_text, query_options, export_options, nullptr) : run_query(http, query_text, query_options);
  }
  if (*ingest_command) return ingest(http, upload_options);
  if (*sources) return show(http, "sources", show_format);
  if (*top) {
    const std::string range = top_last == "all" ? "" : " last " + top_last;
    return run_query(http, "from flows" + range + " | top " + std::to_string(top_count) + " " + top_column + " by " + top_by, {});
  }
  if (*rules_test) return test_rules(http, rule_paths);
  if (*rules_apply) return apply_rules(http, rule_paths);
  if (*rules_list) {
    QueryOptions options;
    options.format = list_format;
    return run_query(http, "show rules | select name, state, severity, flows, flows_read, late_flows, dropped_flows, groups, alerts, open_alerts, lag, note", options);
  }
  if (*target_test) return test_target(http, target_name);
  if (*targets) {
    QueryOptions options;
    options.format = list_format;
    return run_query(http, "show targets | select name, kind, to, tells, waiting, lag, delivered, failures, refused, expired, dropped, last_success_at, last_error", options);
  }
  if (*alerts) {
    QueryOptions options;
    options.format = list_format;
    return run_query(http, "from alerts | sort ts desc | select ts, rule, severity, state, message, end, id", options);
  }
  if (*verify || *flush) {
    const Response response = http.send({"POST", *verify ? "/v1/admin/verify" : "/v1/admin/flush", {}, {}});
    if (response.failure != Response::Failure::none) {
      say_unreachable(http, response);
      return 3;
    }
    if (!response.ok()) {
      say_error(read_error(response.body, response.status), {}, nullptr);
      return 1;
    }
    uint64_t damaged = 0;
    std::fputs((*verify ? describe_verify(response.body, damaged) : describe_flush(response.body)).c_str(), stdout);
    return damaged > 0 ? 1 : 0;
  }
  if (!isatty(STDIN_FILENO)) {
    // Questions by a pipe: one answer, no prompt.
    const std::string text((std::istreambuf_iterator<char>(std::cin)), {});
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
      std::fprintf(stderr, "nothing to ask: standard input is empty. Try: sluice query 'show columns'\n");
      return 2;
    }
    return run_query(http, text, {});
  }
  return run_repl(http);
}
