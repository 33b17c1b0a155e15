#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/system_tables.h"

namespace sluice::api {

void answer_targets(Call& call, const delivery::Outbox& outbox) {
  call.exchange->respond(json_response("{\"targets\":" + objects_json(server::targets_table(outbox.status())) + "}"));
}

void answer_target_test(Call& call, delivery::Outbox& outbox) {
  const auto outcome = outbox.test(call.arguments[0]);
  if (!outcome.ok()) return call.exchange->respond(error_response(outcome.error()));
  // That it did not go well is the answer to the question, so it is no error of the request.
  std::string body = "{\"target\":";
  append_json_string(body, call.arguments[0]);
  body += std::string(",\"delivered\":") + (outcome->delivered ? "true" : "false") + ",\"took_ms\":" + std::to_string(outcome->took / kMillisecond);
  if (!outcome->delivered) {
    body += ",\"error\":";
    append_json_string(body, outcome->error);
  }
  call.exchange->respond(json_response(body + "}"));
}

}  // namespace sluice::api
