// GET /v1/queries and DELETE /v1/queries/{id}.
#include "server/api/routes.h"
#include "server/system_tables.h"

namespace sluice::api {

void answer_queries(Call& call, server::QueryService& queries) {
  call.exchange->respond(json_response("{\"queries\":" + objects_json(server::queries_table(queries.running())) + "}"));
}

void answer_cancel(Call& call, server::QueryService& queries) {
  const Status status = queries.cancel(call.arguments[0], call.principal);
  if (!status.ok()) return call.exchange->respond(error_response(status.error()));
  call.exchange->respond(json_response("{\"cancelled\":true}"));
}

}  // namespace sluice::api
