#include "server/api/result_writer.h"

#include "server/api/json_text.h"
#include "server/api/router.h"
#include "storage/model/ip.h"
#include "storage/model/tcp_flags.h"
#include "storage/model/text_list.h"

namespace sluice::api {
namespace {

constexpr size_t kFlushBytes = 64u << 10;
// Within a row only long rows are flushed: an answer that ends there cannot say why.
constexpr size_t kRowFlushBytes = 1u << 20;

void append_ip(std::string& out, const IpAddress& ip) {
  char text[46];
  out.append(text, format_ip(ip, text));
}

// A list can be as long as a query's memory: it leaves item by item. False: nobody wants more.
template <typename Flush>
bool append_json_list(std::string& out, std::string_view list, const Flush& flush) {
  out += '[';
  bool first = true;
  std::optional<std::string_view> rest = list;
  while (const auto item = take_list_item(rest)) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, *item);
    if (!flush()) return false;
  }
  out += ']';
  return true;
}

void append_json_extra(std::string& out, std::string_view map) {
  out += '{';
  bool first = true;
  // A key said twice keeps its first value: JSON readers disagree on which they would take.
  std::vector<std::string> seen;
  for (const auto& [key, value] : extra_items(map)) {
    bool is_known = false;
    for (const auto& k : seen) is_known |= k == key;
    if (is_known) continue;
    seen.push_back(key);
    if (!first) out += ',';
    first = false;
    append_json_string(out, key);
    out += ':';
    append_json_string(out, value);
  }
  out += '}';
}

void append_json_value(std::string& out, const Field& field, const Column& column, size_t row) {
  if (column.is_null(row)) {
    out += "null";
    return;
  }
  switch (field.type) {
    case LogicalType::uint:
    case LogicalType::port:
    case LogicalType::protocol: append_number(out, column.uint_at(row)); return;
    case LogicalType::int64: append_number(out, column.int_at(row)); return;
    case LogicalType::float64: append_number(out, column.float_at(row)); return;
    case LogicalType::boolean: out += column.uint_at(row) ? "true" : "false"; return;
    case LogicalType::string: append_json_string(out, column.string_at(row)); return;
    case LogicalType::ip:
      out += '"';
      append_ip(out, column.ip_at(row));
      out += '"';
      return;
    case LogicalType::mac: append_json_string(out, format_mac(column.uint_at(row))); return;
    case LogicalType::timestamp:
      out += '"';
      append_timestamp(out, column.int_at(row));
      out += '"';
      return;
    case LogicalType::duration: append_milliseconds(out, column.int_at(row)); return;
    case LogicalType::flags: append_json_string(out, flags_text(column.uint_at(row))); return;
    case LogicalType::enumeration:
      append_json_string(out, field.enumeration ? field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row))) : "?");
      return;
    case LogicalType::list: return;  // append_json_list
    case LogicalType::extra: append_json_extra(out, column.string_at(row)); return;
  }
}

// Spreadsheets run a cell that begins so as a formula, and flow records carry text of strangers (application names, DNS
// names): OWASP, "CSV Injection". The apostrophe makes it text for them; programs that want the bytes ask for JSON.
bool is_formula(std::string_view text) { return !text.empty() && std::string_view("=+-@\t\r\n").find(text.front()) != std::string_view::npos; }

// A cell of text; never for numbers, of which "-5" is one.
void append_csv_text(std::string& out, std::string_view text) {
  if (is_formula(text)) {
    append_csv_text(out, "'" + std::string(text));
    return;
  }
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

// The items joined by ';' as one cell; false: nobody wants more.
template <typename Flush>
bool append_csv_list(std::string& out, std::string_view list, const Flush& flush) {
  // What decides how the cell is written is looked for first: the list may be too long to be joined aside.
  bool quoted = false, formula = false, first = true;
  std::optional<std::string_view> rest = list;
  while (const auto item = take_list_item(rest)) {
    formula = formula || (first && is_formula(*item));
    first = first && item->empty();  // an empty first item leaves no ';' behind it, as joining did
    quoted = quoted || item->find_first_of(",\"\r\n") != std::string::npos;
  }
  if (quoted) out += '"';
  if (formula) out += '\'';
  first = true;
  rest = list;
  while (const auto item = take_list_item(rest)) {
    if (!first) out += ';';
    first = false;
    for (char c : *item) {
      if (c == '"') out += '"';
      out += c;
    }
    if (!flush()) return false;
  }
  if (quoted) out += '"';
  return true;
}

void append_csv_value(std::string& out, const Field& field, const Column& column, size_t row) {
  if (column.is_null(row)) return;
  switch (field.type) {
    case LogicalType::string: append_csv_text(out, column.string_at(row)); return;
    case LogicalType::ip: append_ip(out, column.ip_at(row)); return;
    case LogicalType::mac: out += format_mac(column.uint_at(row)); return;
    case LogicalType::timestamp: append_timestamp(out, column.int_at(row)); return;
    case LogicalType::flags: out += flags_text(column.uint_at(row)); return;
    case LogicalType::enumeration:
      append_csv_text(out, field.enumeration ? field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row))) : "?");
      return;
    case LogicalType::list: return;  // append_csv_list
    case LogicalType::extra: {
      std::string object;
      append_json_extra(object, column.string_at(row));
      append_csv_text(out, object);
      return;
    }
    case LogicalType::float64: {
      const size_t before = out.size();
      append_number(out, column.float_at(row));
      if (out.compare(before, std::string::npos, "null") == 0) out.resize(before);
      return;
    }
    default: append_json_value(out, field, column, row); return;
  }
}

}  // namespace

std::string range_json(const std::optional<TimeRange>& range) {
  if (!range) return "null";
  const auto bound = [](TimestampNs t) { return t == kTimestampMin || t == kTimestampMax ? std::string("null") : "\"" + format_timestamp(t) + "\""; };
  return "{\"from\":" + bound(range->from) + ",\"to\":" + bound(range->to) + "}";
}

std::string warnings_json(const std::vector<std::string>& warnings) {
  std::string out = "[";
  for (const std::string& warning : warnings) {
    if (out.size() > 1) out += ',';
    append_json_string(out, warning);
  }
  return out + "]";
}

std::string stats_json(const query::QuerySummary& summary) {
  const query::ScanStats& s = summary.stats;
  std::string out = "{\"elapsed_ms\":";
  append_number(out, static_cast<double>(s.elapsed) / 1e6);
  const std::pair<std::string_view, uint64_t> counts[] = {{"rows", summary.rows},
                                                          {"rows_scanned", s.rows_scanned},
                                                          {"rows_matched", s.rows_matched},
                                                          {"bytes_read", s.bytes_read},
                                                          {"segments", s.segments},
                                                          {"segments_pruned", s.segments_pruned},
                                                          {"blocks", s.blocks},
                                                          {"blocks_pruned", s.blocks_pruned},
                                                          {"granules_pruned", s.granules_pruned},
                                                          {"open_rows", s.open_rows},
                                                          {"kept_segments", summary.kept_segments},
                                                          {"kept_rows", summary.kept_rows},
                                                          {"memory_bytes", s.memory_bytes}};
  for (const auto& [name, count] : counts) {
    out.append(",\"").append(name).append("\":");
    append_number(out, count);
  }
  return out + "}";
}

std::string summary_members(const query::QuerySummary& summary) {
  std::string out = "\"range\":" + range_json(summary.range) + ",\"warnings\":" + warnings_json(summary.warnings) + ",\"stats\":" + stats_json(summary);
  if (!summary.render.empty()) {
    out += ",\"render\":";
    append_json_string(out, summary.render);
  }
  for (size_t i = 0; i < summary.keys.size(); ++i) {
    out += i ? "," : ",\"keys\":[";
    append_json_string(out, summary.keys[i]);
  }
  if (!summary.keys.empty()) out += ']';
  return out;
}

std::string error_json(const query::QueryError& error) {
  std::string out = "{\"code\":";
  append_json_string(out, to_string(error.code));
  out += ",\"message\":";
  append_json_string(out, error.message);
  if (error.span) {
    out += ",\"line\":" + std::to_string(error.span->line) + ",\"column\":" + std::to_string(error.span->column) +
           ",\"offset\":" + std::to_string(error.span->offset) + ",\"length\":" + std::to_string(error.span->length);
  }
  if (!error.hint.empty()) {
    out += ",\"hint\":";
    append_json_string(out, error.hint);
  }
  if (!error.caret.empty()) {
    out += ",\"caret\":";
    append_json_string(out, error.caret);
  }
  return out + "}";
}

int status_of(const query::QueryError& error) {
  switch (error.code) {
    case ErrorCode::unsupported: return 400;  // of the language, not of the media type
    case ErrorCode::not_found: return 400;    // an unknown name in the text
    case ErrorCode::full: return 503;
    default: return status_of(error.code);
  }
}

void ResultWriter::begin(const Schema& schema) {
  begun_ = true;
  schema_ = schema;
  switch (format_) {
    case AnswerFormat::json:
      buffer_ += "{\"columns\":[";
      for (size_t i = 0; i < schema.size(); ++i) {
        buffer_ += i ? ",{\"name\":" : "{\"name\":";
        append_json_string(buffer_, schema[i].name);
        buffer_ += ",\"type\":";
        append_json_string(buffer_, to_string(schema[i].type));
        // Durations leave in milliseconds, whatever they are inside; timestamps are text.
        const std::string_view unit = schema[i].type == LogicalType::duration ? "ms" : schema[i].type == LogicalType::timestamp ? "" : std::string_view(schema[i].unit);
        if (!unit.empty()) {
          buffer_ += ",\"unit\":";
          append_json_string(buffer_, unit);
        }
        buffer_ += '}';
      }
      buffer_ += "],\"rows\":[";
      break;
    case AnswerFormat::ndjson:
      for (const Field& field : schema) {
        std::string key = keys_.empty() ? "{" : ",";
        append_json_string(key, field.name);
        keys_.push_back(key + ":");
      }
      break;
    case AnswerFormat::csv:
      for (size_t i = 0; i < schema.size(); ++i) {
        if (i) buffer_ += ',';
        append_csv_text(buffer_, schema[i].name);
      }
      buffer_ += "\r\n";
      break;
    default: break;  // no text
  }
}

bool ResultWriter::rows(const Batch& batch, size_t rows) {
  const auto flush = [this] { return flush_if_large(kRowFlushBytes); };
  for (size_t row = 0; row < rows; ++row) {
    in_row_ = true;
    if (format_ == AnswerFormat::json) buffer_ += rows_written_ ? ",\n[" : "\n[";
    for (size_t i = 0; i < batch.columns.size(); ++i) {
      const Column& column = batch.columns[i];
      if (format_ == AnswerFormat::ndjson)
        buffer_ += keys_[i];
      else if (i)
        buffer_ += ',';
      const bool list = schema_[i].type == LogicalType::list && !column.is_null(row);
      if (list && !(format_ == AnswerFormat::csv ? append_csv_list(buffer_, column.string_at(row), flush) : append_json_list(buffer_, column.string_at(row), flush)))
        return false;
      if (list) continue;
      if (format_ == AnswerFormat::csv)
        append_csv_value(buffer_, schema_[i], column, row);
      else
        append_json_value(buffer_, schema_[i], column, row);
      if (!flush_if_large(kRowFlushBytes)) return false;
    }
    switch (format_) {
      case AnswerFormat::json: buffer_ += ']'; break;
      case AnswerFormat::ndjson: buffer_ += keys_.empty() ? "{}\n" : "}\n"; break;
      case AnswerFormat::csv: buffer_ += "\r\n"; break;
      default: break;
    }
    in_row_ = false;
    ++rows_written_;
    if (!flush_if_large(kFlushBytes)) return false;
  }
  return true;
}

bool ResultWriter::flush_if_large(size_t bytes) {
  if (buffer_.size() < bytes) return true;
  std::string full = std::move(buffer_);
  buffer_.clear();
  buffer_.reserve(kFlushBytes + 4096);
  return flush_(std::move(full));
}

void ResultWriter::finish(const query::QuerySummary& summary) {
  if (format_ == AnswerFormat::json) buffer_ += "],\n" + summary_members(summary) + "}";
}

bool ResultWriter::fail(const query::QueryError& error) {
  if (format_ == AnswerFormat::csv || in_row_) return false;
  if (format_ == AnswerFormat::json)
    buffer_ += "],\n\"error\":" + error_json(error) + "}";
  else
    buffer_ += "{\"error\":" + error_json(error) + "}\n";
  return true;
}

}  // namespace sluice::api
