#include "query/show.h"
#include "server/api/json_text.h"
#include "server/api/result_writer.h"
#include "server/api/routes.h"
#include "server/system_tables.h"
#include "storage/catalog/catalog.h"

namespace sluice::api {
namespace {

void append_words(std::string& out, std::string_view words) {
  while (!words.empty()) {
    const size_t space = words.find(' ');
    const std::string_view word = words.substr(0, space);
    if (!word.empty()) {
      if (out.back() != '[') out += ',';
      append_json_string(out, word);
    }
    if (space == std::string_view::npos) break;
    words.remove_prefix(space + 1);
  }
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out.append(",\"").append(name).append("\":");
  append_json_string(out, value);
}

void append_names(std::string& out, std::string_view ipfix, std::string_view ecs, std::string_view ocsf, std::string_view aliases) {
  const std::pair<std::string_view, std::string_view> groups[] = {{"ipfix", ipfix}, {"ecs", ecs}, {"ocsf", ocsf}, {"aliases", aliases}};
  for (const auto& [name, words] : groups) {
    if (words.empty()) continue;
    out.append(",\"").append(name).append("\":[");
    append_words(out, words);
    out += ']';
  }
}

}  // namespace

std::string objects_json(const Batch& batch) {
  std::string out = "[";
  ResultWriter writer(AnswerFormat::ndjson, [&](std::string&& text) {
    out += text;
    return true;
  });
  writer.begin(*batch.schema);
  writer.rows(batch, batch.rows);
  out += writer.buffer();
  // NDJSON ends each object with a newline (text has none: it is escaped); in an array a comma stands between.
  std::string array;
  array.reserve(out.size() + batch.rows + 1);
  for (char c : std::string_view(out).substr(0, out.size() - (out.back() == '\n')))
    c == '\n' ? array += ",\n" : array += c;
  return array + "]";
}

http::Response json_response(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

void answer_schema(Call& call) {
  std::string out = "{\"columns\":[";
  for (const ColumnSpec& column : flow_columns()) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(out, column.name);
    append_member(out, "type", to_string(column.type));
    append_member(out, "unit", column.unit);
    append_member(out, "doc", column.doc);
    if (column.enumeration) {
      out += ",\"values\":[";
      for (std::string_view name : column.enumeration->names) {
        if (out.back() != '[') out += ',';
        append_json_string(out, name);
      }
      out += ']';
    }
    append_names(out, column.ipfix, column.ecs, column.ocsf, column.aliases);
    out += '}';
  }
  out += "],\"derived\":[";
  for (const DerivedSpec& column : derived_columns()) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(out, column.name);
    append_member(out, "type", to_string(column.type));
    append_member(out, "unit", column.type == LogicalType::duration ? "ms" : column.unit);
    append_member(out, "doc", column.doc);
    append_names(out, column.ipfix, column.ecs, column.ocsf, column.aliases);
    out += '}';
  }
  out += "],\"either\":[";
  for (const EitherSpec& either : either_columns()) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(out, either.name);
    append_member(out, "src", column_spec(either.src).name);
    append_member(out, "dst", column_spec(either.dst).name);
    append_names(out, {}, {}, {}, either.aliases);
    out += '}';
  }
  call.exchange->respond(json_response(out + "]}"));
}

void answer_sources(Call& call, const server::Metrics& metrics, const server::LossBook& losses, const server::FeedRunner* feeds) {
  using FeedList = std::vector<server::FeedStatus>;
  using AsideList = std::vector<server::SetAside>;
  call.exchange->respond(json_response("{\"sources\":" + objects_json(server::sources_table(metrics)) +
                                       ",\"feeds\":" + objects_json(server::feeds_table(feeds ? feeds->status() : FeedList())) +
                                       ",\"feed_errors\":" + objects_json(server::feed_errors_table(feeds ? feeds->set_aside() : AsideList())) +
                                       ",\"losses\":" + objects_json(server::losses_table(losses.all())) + "}"));
}

void answer_exporters(Call& call, const std::vector<ingest::ExporterStats>& exporters, const std::vector<ingest::PacketError>& errors,
                      const server::ExporterBook& book) {
  call.exchange->respond(json_response("{\"exporters\":" + objects_json(server::exporters_table(exporters, &book)) +
                                       ",\"errors\":" + objects_json(server::exporter_errors_table(errors)) +
                                       ",\"interfaces\":" + objects_json(book.interfaces_table()) + "}"));
}

void answer_storage(Call& call, store::Store& store) {
  const std::string totals = objects_json(server::storage_table(store.stats(), store.catalog().stats().disk_bytes));
  // The one row's members, and the columns next to them.
  std::string out = totals.substr(1, totals.size() - 3);
  out += ",\"columns\":" + objects_json(query::storage_table(store.snapshot())) + "}";
  call.exchange->respond(json_response(std::move(out)));
}

void answer_segments(Call& call, store::Store& store) {
  call.exchange->respond(json_response("{\"segments\":" + objects_json(query::segments_table(store.snapshot())) + "}"));
}

}  // namespace sluice::api
