#include "tests/golden/rows.h"

#include <charconv>
#include <cstdio>
#include <optional>

namespace sluice::golden {
namespace {

struct Word {
  std::string text;
  bool quoted = false;
};

std::vector<Word> words_of(std::string_view line) {
  std::vector<Word> words;
  size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ' ' || line[i] == '\t') {
      ++i;
      continue;
    }
    Word w;
    if (line[i] == '"') {
      w.quoted = true;
      for (++i; i < line.size() && line[i] != '"'; ++i) {
        if (line[i] == '\\' && i + 1 < line.size()) {
          ++i;
          w.text += line[i] == 'n' ? '\n' : line[i];
        } else {
          w.text += line[i];
        }
      }
      ++i;
    } else {
      while (i < line.size() && line[i] != ' ' && line[i] != '\t') w.text += line[i++];
    }
    words.push_back(std::move(w));
  }
  return words;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t v = 0;
  const auto [p, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || p != text.data() + text.size()) return std::nullopt;
  return v;
}

}  // namespace

Status set_value(FlowBatchBuilder& builder, ColumnId id, std::string_view text) {
  const ColumnSpec& spec = column_spec(id);
  const auto wrong = [&] { return Error{ErrorCode::invalid_argument, "not a " + std::string(spec.name) + ": " + std::string(text)}; };
  switch (spec.type) {
    case LogicalType::ip: {
      const auto ip = parse_ip(text);
      if (!ip) return wrong();
      builder.set_ip(id, *ip);
      return {};
    }
    case LogicalType::timestamp: {
      auto t = parse_timestamp(text);
      if (!t) t = parse_timestamp("2026-11-20T" + std::string(text) + "Z");
      if (!t) return wrong();
      builder.set_time(id, *t);
      return {};
    }
    case LogicalType::enumeration: {
      const auto code = spec.enumeration->code_of(text);
      if (!code) return wrong();
      builder.set_uint(id, *code);
      return {};
    }
    case LogicalType::mac: {
      const auto mac = parse_mac(text);
      if (!mac) return wrong();
      builder.set_uint(id, *mac);
      return {};
    }
    case LogicalType::boolean:
      if (text != "true" && text != "false") return wrong();
      builder.set_uint(id, text == "true");
      return {};
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra:
      builder.set_string(id, text);
      return {};
    default: {
      const auto n = number(text);
      if (!n) return wrong();
      builder.set_uint(id, *n);
      return {};
    }
  }
}

Result<Batch> read_flows(std::string_view table) {
  FlowBatchBuilder builder;
  std::vector<ColumnId> columns;
  size_t line_number = 0;
  while (!table.empty()) {
    const size_t end = table.find('\n');
    const std::string_view line = table.substr(0, end);
    table.remove_prefix(end == std::string_view::npos ? table.size() : end + 1);
    ++line_number;
    const auto words = words_of(line);
    if (words.empty() || line[0] == '#') continue;
    const auto at = [&](const std::string& what) { return Error{ErrorCode::parse, "flows line " + std::to_string(line_number) + ": " + what}; };
    if (columns.empty()) {
      for (const Word& w : words) {
        const auto name = find_column(w.text);
        if (!name || name->kind != ColumnName::Kind::stored) return at("no stored column " + w.text);
        columns.push_back(name->stored);
      }
      continue;
    }
    if (words.size() != columns.size()) return at("wants " + std::to_string(columns.size()) + " values");
    builder.begin_row();
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i].text == "-" && !words[i].quoted) continue;
      const Status s = set_value(builder, columns[i], words[i].text);
      if (!s.ok()) return at(s.error().message);
    }
  }
  return builder.finish();
}

std::string text_of_string(std::string_view s) {
  if (!s.empty() && s.find_first_of(" \t\n\"\\") == std::string_view::npos && s != "null" && s != "-") return std::string(s);
  std::string quoted = "\"";
  for (char c : s) {
    if (c == '\n') {
      quoted += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string value_text(const Field& field, const Column& column, size_t row) {
  if (column.is_null(row)) return "null";
  char buffer[64];
  switch (column.type()) {
    case PhysicalType::Ip: return to_string(column.ip_at(row));
    case PhysicalType::F64: {
      const double d = column.float_at(row);
      std::snprintf(buffer, sizeof buffer, "%.6g", d == 0 ? 0.0 : d);
      return buffer;
    }
    case PhysicalType::Str: return text_of_string(column.string_at(row));
    default: break;
  }
  switch (field.type) {
    case LogicalType::timestamp: return format_timestamp(column.int_at(row));
    case LogicalType::duration: return format_duration(column.int_at(row));
    case LogicalType::boolean: return column.uint_at(row) != 0 ? "true" : "false";
    case LogicalType::mac: return format_mac(column.uint_at(row));
    case LogicalType::enumeration: return std::string(field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row))));
    default: return column.type() == PhysicalType::I64 ? std::to_string(column.int_at(row)) : std::to_string(column.uint_at(row));
  }
}

std::string TextTable::text() const {
  std::string out;
  const auto line = [&](const std::vector<std::string>& words) {
    for (size_t i = 0; i < words.size(); ++i) out += (i > 0 ? " " : "") + words[i];
    out += '\n';
  };
  line(columns);
  for (const auto& r : rows) line(r);
  return out;
}

void append_rows(TextTable& table, const Schema& schema, const Batch& batch) {
  for (size_t r = 0; r < batch.rows; ++r) {
    std::vector<std::string> row;
    for (size_t c = 0; c < schema.size(); ++c) row.push_back(value_text(schema[c], batch.columns[c], r));
    table.rows.push_back(std::move(row));
  }
}

}  // namespace sluice::golden
