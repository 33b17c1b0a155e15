#include "client/repl/answer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sluice::client {
namespace {

using nlohmann::json;

std::string text_of(const json& j, const char* key) {
  const auto it = j.find(key);
  if (it == j.end() || it->is_null()) return {};
  return it->is_string() ? it->get<std::string>() : it->dump();
}

uint64_t count_of(const json& j, const char* key) {
  const auto it = j.find(key);
  return it != j.end() && it->is_number() ? it->get<uint64_t>() : 0;
}

// Durations come as milliseconds: shown as people say them.
std::string duration_text(double ms) {
  if (ms < 0) return "-" + duration_text(-ms);
  char buffer[48];
  if (ms == 0) return "0s";
  if (ms < 1e-3)
    std::snprintf(buffer, sizeof buffer, "%.4gns", ms * 1e6);
  else if (ms < 1)
    std::snprintf(buffer, sizeof buffer, "%.4gus", ms * 1e3);
  else if (ms < 1000)
    std::snprintf(buffer, sizeof buffer, "%.4gms", ms);
  else if (ms < 120e3)
    std::snprintf(buffer, sizeof buffer, "%.6gs", ms / 1e3);
  else {
    const auto s = static_cast<long long>(ms / 1e3);
    if (s < 3600)
      std::snprintf(buffer, sizeof buffer, "%lldm%02llds", s / 60, s % 60);
    else if (s < 2 * 86400)
      std::snprintf(buffer, sizeof buffer, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
      std::snprintf(buffer, sizeof buffer, "%lldd%02lldh", s / 86400, s / 3600 % 24);
  }
  return buffer;
}

Cell cell_of(const json& value, const AnswerColumn& column) {
  Cell cell;
  if (value.is_null()) {
    cell.null = true;
  } else if (value.is_string()) {
    cell.text = printable(value.get_ref<const std::string&>());
  } else if (value.is_number() && column.type == "duration") {
    cell.text = duration_text(value.get<double>());
  } else if (value.is_number_float()) {
    char buffer[40];
    const double d = value.get<double>();
    // Whole floats (averages that come out even, widened sums) without an exponent as far as they are exact.
    std::snprintf(buffer, sizeof buffer, std::floor(d) == d && std::fabs(d) < 9e15 ? "%.0f" : "%.6g", d);
    cell.text = buffer;
  } else if (value.is_array()) {
    for (const auto& item : value) {
      if (!cell.text.empty()) cell.text += ", ";
      cell.text += printable(item.is_string() ? item.get<std::string>() : item.dump());
    }
  } else if (value.is_object()) {
    for (const auto& [k, v] : value.items()) {
      if (!cell.text.empty()) cell.text += ", ";
      cell.text += printable(k + "=" + (v.is_string() ? v.get<std::string>() : v.dump()));
    }
  } else {
    cell.text = printable(value.dump());
  }
  return cell;
}

bool is_measure(const AnswerColumn& column) {
  return column.type == "uint" || column.type == "int" || column.type == "float" || column.type == "duration";
}

constexpr size_t kBarCells = 24;

// A share from 0 to 1 as a bar, to an eighth of a cell.
std::string bar_of(double share) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * 8 * kBarCells));
  std::string out;
  for (size_t i = 0; i < eighths / 8; ++i) out += "█";
  return out + kEighths[eighths % 8];
}

}  // namespace

std::optional<Answer> read_answer(std::string_view text, std::string& why) {
  try {
    const json j = json::parse(text);
    Answer a;
    for (const auto& c : j.at("columns")) a.columns.push_back({printable(text_of(c, "name")), text_of(c, "type"), text_of(c, "unit")});
    for (const auto& r : j.at("rows")) {
      std::vector<Cell> row;
      for (size_t i = 0; i < a.columns.size(); ++i) row.push_back(cell_of(r.at(i), a.columns[i]));
      a.rows.push_back(std::move(row));
    }
    a.render = text_of(j, "render");
    if (a.render == "timechart" || a.render == "barchart") {
      std::optional<size_t> measured;
      for (size_t i = 0; i < a.columns.size(); ++i)
        if (is_measure(a.columns[i]) && (!measured || *measured == 0)) measured = i;
      if (measured)
        for (const auto& r : j.at("rows")) a.measure.push_back(r.at(*measured).is_number() ? r.at(*measured).get<double>() : 0);
    }
    // An error that came after rows had begun to stream.
    if (j.contains("error")) {
      why = printable(text_of(j["error"], "message"));
      return std::nullopt;
    }
    if (j.contains("warnings"))
      for (const auto& w : j["warnings"]) a.warnings.push_back(printable(w.is_string() ? w.get<std::string>() : w.dump()));
    if (j.contains("range") && j["range"].is_object()) {
      a.range_from = text_of(j["range"], "from");
      a.range_to = text_of(j["range"], "to");
    }
    if (j.contains("stats")) {
      const auto& s = j["stats"];
      if (s.contains("elapsed_ms") && s["elapsed_ms"].is_number()) a.elapsed_ms = s["elapsed_ms"].get<double>();
      a.rows_scanned = count_of(s, "rows_scanned");
      a.rows_matched = count_of(s, "rows_matched");
      a.bytes_read = count_of(s, "bytes_read");
      a.segments = count_of(s, "segments");
      a.segments_pruned = count_of(s, "segments_pruned");
      a.blocks = count_of(s, "blocks");
      a.blocks_pruned = count_of(s, "blocks_pruned");
    }
    return a;
  } catch (const std::exception& e) {
    why = std::string("the answer is not what a Sluice server says: ") + e.what();
    return std::nullopt;
  }
}

ServerError read_error(std::string_view text, long status) {
  ServerError error;
  error.code = std::to_string(status);
  try {
    const json j = json::parse(text);
    const json& e = j.at("error");
    if (e.contains("code")) error.code = printable(text_of(e, "code"));
    error.message = printable(text_of(e, "message"));
    error.hint = printable(text_of(e, "hint"));
    error.line = static_cast<uint32_t>(count_of(e, "line"));
    error.column = static_cast<uint32_t>(count_of(e, "column"));
    if (e.contains("length")) error.length = std::max<uint32_t>(1, static_cast<uint32_t>(count_of(e, "length")));
  } catch (const std::exception&) {
    error.message = "the server answered " + std::to_string(status) + (text.empty() ? "" : ": " + printable(text.substr(0, 300)));
  }
  return error;
}

std::string describe(const ServerError& error, std::string_view query, bool colour) {
  const std::string_view red = colour ? "\x1b[31m" : "", bold = colour ? "\x1b[1m" : "", off = colour ? "\x1b[0m" : "";
  std::string out;
  out += std::string(red) + "error" + std::string(off);
  if (error.line > 0) out += " at line " + std::to_string(error.line) + ", column " + std::to_string(error.column);
  out += ": " + std::string(bold) + error.message + std::string(off) + "\n";
  if (error.line > 0) {
    std::string_view line = query;
    for (uint32_t i = 1; i < error.line; ++i) {
      const size_t end = line.find('\n');
      line = end == std::string_view::npos ? std::string_view{} : line.substr(end + 1);
    }
    line = line.substr(0, line.find('\n'));
    // A window around the place, so that a long line stays on the screen. Columns count characters.
    std::vector<std::string_view> characters;
    for (size_t i = 0; i < line.size();) {
      size_t n = 1;
      while (i + n < line.size() && (static_cast<unsigned char>(line[i + n]) & 0xc0) == 0x80) ++n;
      characters.push_back(line.substr(i, n));
      i += n;
    }
    const size_t at = error.column > 0 ? error.column - 1 : 0;
    const size_t from = at > 60 ? at - 60 : 0, to = std::min(characters.size(), from + 110);
    std::string shown = from > 0 ? "…" : "", pointer(from > 0 ? 1 : 0, ' ');
    for (size_t i = from; i < to; ++i) {
      const std::string c = printable(characters[i]);
      shown += c;
      if (i < at) pointer.append(display_width(c), ' ');
    }
    if (to < characters.size()) shown += "…";
    out += "  " + shown + "\n  " + pointer + std::string(red) + "^";
    for (size_t i = 1; i < error.length && at + i < to; ++i) out += "~";
    out += std::string(off) + "\n";
  }
  if (!error.hint.empty()) out += error.hint + "\n";
  return out;
}

std::string draw(const Answer& answer, const TableStyle& style) {
  std::vector<TableColumn> columns;
  for (const auto& c : answer.columns)
    columns.push_back({c.name, is_measure(c)});
  if (answer.measure.size() != answer.rows.size() || answer.rows.empty()) return draw_table(columns, answer.rows, style);
  const double most = *std::max_element(answer.measure.begin(), answer.measure.end());
  columns.push_back({"", false});
  std::vector<std::vector<Cell>> rows = answer.rows;
  for (size_t i = 0; i < rows.size(); ++i) rows[i].push_back({most > 0 ? bar_of(answer.measure[i] / most) : "", false});
  return draw_table(columns, rows, style);
}

std::string describe_verify(std::string_view text, uint64_t& damaged) {
  damaged = 0;
  const json j = json::parse(text, nullptr, false);
  if (!j.is_object() || !j.contains("damaged") || !j["damaged"].is_array()) return "the server's answer is not understood: " + printable(text.substr(0, 200)) + "\n";
  std::string out;
  for (const auto& d : j["damaged"]) {
    ++damaged;
    out += "damaged: " + printable(text_of(d, "path")) + " (" + with_thousands(count_of(d, "rows")) + " flows): " + printable(text_of(d, "reason")) + "\n";
  }
  if (damaged == 0) return "every byte of " + with_thousands(count_of(j, "segments")) + " segments is as it was written\n";
  return out + with_thousands(damaged) + (damaged == 1 ? " segment is damaged" : " segments are damaged") +
         "; the others stay queryable, and answers that miss these flows say so\n";
}

std::string describe_flush(std::string_view text) {
  const json j = json::parse(text, nullptr, false);
  const uint64_t segments = j.is_object() ? count_of(j, "segments") : 0;
  return segments == 0 ? "nothing was open\n" : with_thousands(segments) + (segments == 1 ? " segment" : " segments") + " written\n";
}

std::string with_thousands(uint64_t n) {
  std::string digits = std::to_string(n), out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string human_bytes(uint64_t n) {
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double v = static_cast<double>(n);
  size_t u = 0;
  while (v >= 1000 && u < 5) {
    v /= 1000;
    ++u;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
  return buffer;
}

std::string account(const Answer& answer) {
  char time[40];
  std::snprintf(time, sizeof time, answer.elapsed_ms < 10 ? "%.2f ms" : "%.0f ms", answer.elapsed_ms);
  std::string out = with_thousands(answer.rows.size()) + (answer.rows.size() == 1 ? " row" : " rows") + " in " + time;
  if (answer.rows_scanned > 0 || answer.segments > 0) {
    out += " · " + with_thousands(answer.rows_matched) + " of " + with_thousands(answer.rows_scanned) + " flows matched · " +
           human_bytes(answer.bytes_read) + " read";
    if (answer.segments_pruned > 0)
      out += " · " + with_thousands(answer.segments_pruned) + " of " + with_thousands(answer.segments) + " segments skipped";
  }
  return out;
}

}  // namespace sluice::client
