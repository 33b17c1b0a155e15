#include <algorithm>
#include <charconv>

#include "query/words.h"
#include "server/api/json_text.h"
#include "server/api/result_writer.h"
#include "server/api/routes.h"
#include "server/system_tables.h"

namespace sluice::api {

void answer_rules(Call& call, const server::RuleService& rules) {
  auto asked = rules.rules();
  if (const auto name = call.request.query_value("name")) {
    std::erase_if(asked, [&](const server::RuleStatus& r) { return r.name != *name; });
    if (asked.empty()) return call.exchange->respond(error_response(404, "not_found", "there is no rule '" + std::string(name->substr(0, 100)) + "'"));
  }
  const server::RuleQueue queue = rules.queue();
  call.exchange->respond(json_response("{\"rules\":" + objects_json(server::rules_table(asked, queue)) + ",\"queue\":{\"flows\":" + std::to_string(queue.rows) +
                                       ",\"bytes\":" + std::to_string(queue.bytes) + ",\"lag_ms\":" + std::to_string(queue.lag / kMillisecond) +
                                       ",\"processed_flows\":" + std::to_string(queue.processed_rows) + ",\"catch_ups\":" + std::to_string(queue.catch_ups) + ",\"let_go_flows\":" +
                                           std::to_string(queue.let_go_rows) + "}}"));
}

void answer_rule(Call& call, const server::RuleService& rules) {
  auto asked = rules.rules();
  std::erase_if(asked, [&](const server::RuleStatus& r) { return r.name != call.arguments[0]; });
  if (asked.empty()) return call.exchange->respond(error_response(404, "not_found", "there is no rule '" + call.arguments[0].substr(0, 100) + "'"));
  const std::string one = objects_json(server::rules_table(asked, rules.queue()));
  call.exchange->respond(json_response(one.substr(1, one.size() - 2)));
}

void answer_alerts(Call& call, const server::RuleService& rules) {
  auto alerts = rules.alerts();
  uint64_t limit = 1'000;
  for (const auto& parameter : call.request.query) {
    const std::string &name = parameter.first, &value = parameter.second;  // lambdas take no structured bindings
    if (name == "rule") {
      std::erase_if(alerts, [&](const auto& a) { return a.rule != value; });
    } else if (name == "state") {
      std::erase_if(alerts, [&](const auto& a) { return !query::equal_ignoring_case(to_string(a.state), value); });
    } else if (name == "severity") {
      std::erase_if(alerts, [&](const auto& a) { return !query::equal_ignoring_case(to_string(a.severity), value); });
    } else if (name == "id") {
      std::erase_if(alerts, [&](const auto& a) { return a.id != value; });
    } else if (name == "limit") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
      if (error != std::errc() || end != value.data() + value.size())
        return call.exchange->respond(error_response(400, "invalid_argument", "limit is not a count: " + value.substr(0, 100)));
    } else {
      return call.exchange->respond(error_response(400, "invalid_argument", "alerts are asked for by rule, state, severity, id and limit, not by '" + name.substr(0, 100) + "'"));
    }
  }
  const size_t total = alerts.size();
  if (alerts.size() > limit) alerts.resize(limit);
  call.exchange->respond(json_response("{\"alerts\":" + objects_json(server::alerts_table(alerts)) + ",\"total\":" + std::to_string(total) + "}"));
}

void answer_rules_apply(Call& call, server::RuleService& rules) {
  const std::string script = call.exchange->take_body();
  auto done = rules.apply(script, call.principal);
  if (const auto* error = std::get_if<query::QueryError>(&done)) return call.exchange->respond(query_error_response(*error));
  const auto& applied = std::get<server::RuleService::Applied>(done);
  std::string body = "{\"rules\":[";
  for (const auto& one : applied.all) {
    if (body.back() == '}') body += ',';
    body += "{\"name\":";
    append_json_string(body, one.name);
    body += ",\"result\":";
    append_json_string(body, one.result);
    if (!one.doubts.empty()) body += ",\"warnings\":" + warnings_json(one.doubts);
    body += '}';
  }
  body += "],\"warnings\":";
  body += applied.not_run > 0 ? warnings_json({server::examples_not_run(applied.not_run)}) : "[]";
  call.exchange->respond(json_response(body + "}"));
}

void answer_rules_test(Call& call) {
  const std::string script = call.exchange->take_body();
  auto read = server::read_rule_script(script, nullptr);
  if (const auto* error = std::get_if<query::QueryError>(&read)) return call.exchange->respond(query_error_response(*error));
  std::string body = "{\"rules\":[";
  bool all_passed = true;
  for (const auto& one : std::get<server::RuleScript>(read).rules) {
    const auto results = query::continuous::run_examples(one.rule);
    const bool passed = std::all_of(results.begin(), results.end(), [](const auto& r) { return r.passed; });
    all_passed = all_passed && passed;
    if (body.back() == '}') body += ',';
    body += "{\"name\":";
    append_json_string(body, one.rule->name);
    body += std::string(",\"passed\":") + (passed ? "true" : "false") + ",\"examples\":" + objects_json(server::examples_table(results)) + "}";
  }
  call.exchange->respond(json_response(body + "],\"passed\":" + (all_passed ? "true" : "false") + "}"));
}

}  // namespace sluice::api
