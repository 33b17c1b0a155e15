#include "server/api/json_text.h"
#include "server/api/routes.h"

namespace sluice::api {

std::string openapi_json(const std::vector<Route>& routes) {
  std::string out = "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"Sluice\",\"version\":\"" SLUICE_VERSION
                    "\",\"description\":\"Flow records in, FlowQL answers out.\"},"
                    "\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
                    "\"schemas\":{\"Error\":{\"type\":\"object\",\"properties\":{\"error\":{\"type\":\"object\",\"properties\":{"
                    "\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},\"line\":{\"type\":\"integer\"},\"column\":{\"type\":\"integer\"},"
                    "\"hint\":{\"type\":\"string\"}}}}}}},\"security\":[{\"token\":[]}],\"paths\":{"
                    "\"/healthz\":{\"get\":{\"summary\":\"The process lives\",\"security\":[],\"responses\":{\"200\":{\"description\":\"ok\"}}}},"
                    "\"/readyz\":{\"get\":{\"summary\":\"Requests are served\",\"security\":[],\"responses\":{\"200\":{\"description\":\"ready\"},"
                    "\"503\":{\"description\":\"starting or stopping\"}}}}";
  std::vector<std::string_view> done;
  for (const Route& first : routes) {
    bool is_done = false;
    for (std::string_view pattern : done) is_done |= pattern == first.pattern;
    if (is_done) continue;
    done.push_back(first.pattern);
    out += ",";
    append_json_string(out, first.pattern);
    out += ":{";
    bool is_first = true;
    for (const Route& route : routes) {
      if (route.pattern != first.pattern) continue;
      std::string method(route.method);
      for (char& c : method) c = static_cast<char>(c | 32);
      if (!is_first) out += ',';
      is_first = false;
      append_json_string(out, method);
      out += ":{\"summary\":";
      append_json_string(out, route.summary);
      out += ",\"x-role\":\"" + std::string(server::to_string(route.role)) + "\"";
      std::string parameters;
      for (size_t i = 0; (i = route.pattern.find('{', i)) != std::string_view::npos; ++i) {
        const std::string_view name = route.pattern.substr(i + 1, route.pattern.find('}', i) - i - 1);
        parameters += (parameters.empty() ? "" : ",") + std::string("{\"name\":\"") + std::string(name) + "\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}";
      }
      if (!parameters.empty()) out += ",\"parameters\":[" + parameters + "]";
      if (route.method == "POST" && route.body_bytes_max > (64u << 10)) {
        const bool is_ingest = route.lane == Lane::ingest;
        out += std::string(",\"requestBody\":{\"content\":{\"") + (is_ingest ? "application/octet-stream" : "text/plain") + "\":{\"schema\":{\"type\":\"string\"}}" +
               (is_ingest ? "" : ",\"application/json\":{\"schema\":{\"type\":\"object\"}}") + "}}";
      }
      out += ",\"responses\":{\"200\":{\"description\":\"done\"},\"default\":{\"description\":\"error\",\"content\":{\"application/json\":{\"schema\":"
             "{\"$ref\":\"#/components/schemas/Error\"}}}}}}";
    }
    out += "}";
  }
  return out + "}}";
}

}  // namespace sluice::api
