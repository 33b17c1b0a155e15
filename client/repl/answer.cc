#include "client/repl/answer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "client/repl/limits.h"
#include "client/repl/terminal.h"

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

// As FlowQL names them, and takes them (IANA's numbers); others stay numbers.
constexpr std::pair<int, const char*> kProtocols[] = {{1, "icmp"}, {2, "igmp"}, {6, "tcp"}, {17, "udp"}, {47, "gre"}, {50, "esp"}, {51, "ah"}, {58, "icmpv6"}, {89, "ospf"}, {132, "sctp"}};

Cell cell_of(const json& value, const AnswerColumn& column) {
  Cell cell;
  if (value.is_null()) {
    cell.null = true;
  } else if (value.is_string()) {
    cell.text = printable(value.get_ref<const std::string&>());
  } else if (value.is_number() && column.type == "duration") {
    cell.number = value.get<double>();
    cell.text = duration_text(cell.number);
  } else if (value.is_number_float()) {
    char buffer[40];
    const double d = cell.number = value.get<double>();
    // Whole floats (averages that come out even, widened sums) as far as they are exact, and those that six digits would round to whole ones, without an exponent.
    std::snprintf(buffer, sizeof buffer, (std::floor(d) == d || std::fabs(d) >= 1e5) && std::fabs(d) < 9e15 ? "%.0f" : "%.6g", d);
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
    if (value.is_number()) cell.number = value.get<double>();
    cell.text = printable(value.dump());
    if ((column.name == "protocol" || column.name == "proto") && column.type == "uint")
      for (const auto& [number, name] : kProtocols)
        if (cell.number == number) cell.text = name;
  }
  return cell;
}

bool is_measure(const Answer& answer, size_t column) {
  return is_number(answer.columns[column]) && std::find(answer.keys.begin(), answer.keys.end(), answer.columns[column].name) == answer.keys.end();
}

constexpr size_t kBarCells = 24;

std::string byte_text(double v) { return v < 0 ? "-" + human_bytes(static_cast<uint64_t>(-v)) : human_bytes(static_cast<uint64_t>(std::min(v, 1e19))); }

std::vector<AnswerColumn> columns_of(const json& j) {
  std::vector<AnswerColumn> columns;
  for (const auto& c : j.at("columns")) columns.push_back({printable(text_of(c, "name")), text_of(c, "type"), text_of(c, "unit")});
  return columns;
}

std::vector<Cell> row_of(const json& r, const std::vector<AnswerColumn>& columns) {
  std::vector<Cell> row;
  row.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) row.push_back(cell_of(r.at(i), columns[i]));
  return row;
}

std::vector<std::string> lines_of(const std::string& text, size_t width) {
  if (width <= limits::kWrapCellsMin) return {text};
  return wrapped(text, width, 2);
}

// "error at line 1, column 5: …", the message bold.
std::string message_of(const ServerError& error, const std::string& place, bool colour, size_t width) {
  constexpr std::string_view kError = "error";
  const std::string head = std::string(kError) + place + ": ";
  std::string out;
  for (const std::string& line : lines_of(head + error.message, width)) {
    if (!colour) {
      out += line + '\n';
      continue;
    }
    size_t plain = 0;
    if (out.empty()) {
      plain = std::min(head.size(), line.size());
      out.append(ansi::kRed).append(kError).append(ansi::kReset).append(line.substr(kError.size(), plain - kError.size()));
    }
    out.append(ansi::kBold).append(line.substr(plain)).append(ansi::kReset) += '\n';
  }
  return out;
}

std::string hint_of(const ServerError& error, size_t width) {
  std::string out;
  if (error.hint.empty()) return out;
  for (const std::string& line : lines_of(error.hint, width)) out += line + '\n';
  return out;
}

std::string caret_of(size_t cells, bool colour) {
  return std::string(colour ? ansi::kRed : "") + "^" + std::string(std::max<size_t>(cells, 1) - 1, '~') + std::string(colour ? ansi::kReset : "") + "\n";
}

// A line of the question with a caret under the error's place. Of a line that has no room, the part around that place. Columns count characters.
std::string pointed(std::string_view line, const ServerError& error, size_t room, bool colour) {
  std::vector<std::string> characters;
  std::vector<size_t> widths;
  size_t total = 0;
  for (size_t i = 0; i < line.size();) {
    size_t n = 1;
    while (i + n < line.size() && (static_cast<unsigned char>(line[i + n]) & 0xc0) == 0x80) ++n;
    characters.push_back(printable(line.substr(i, n)));
    widths.push_back(display_width(characters.back()));
    total += widths.back();
    i += n;
  }
  const size_t at = std::min<size_t>(error.column > 0 ? error.column - 1 : 0, characters.size());
  const size_t behind = at == characters.size() ? 1 : 0;  // the caret stands behind the text
  size_t from = 0, to = characters.size();
  if (total + behind > room) {
    constexpr size_t kDots = 2;
    from = to = at;
    for (size_t used = kDots + behind, before = 0; used != before;) {
      before = used;
      if (to < characters.size() && used + widths[to] <= room) used += widths[to++];
      if (from > 0 && used + widths[from - 1] <= room) used += widths[--from];
    }
  }
  const auto cells = [&](size_t begin, size_t end) { return std::accumulate(widths.begin() + static_cast<std::ptrdiff_t>(begin), widths.begin() + static_cast<std::ptrdiff_t>(end), size_t{0}); };
  std::string out = from > 0 ? "  …" : "  ";
  for (size_t i = from; i < to; ++i) out += characters[i];
  out += to < characters.size() ? "…\n" : "\n";
  out.append(2 + (from > 0 ? 1 : 0) + cells(from, at), ' ');
  return out + caret_of(cells(at, std::min<size_t>(at + error.length, to)), colour);
}

std::string not_understood(const std::exception& e) { return std::string("the answer is not what a Sluice server says: ") + printable(e.what()); }

}  // namespace

bool is_number(const AnswerColumn& column) {
  return column.type == "uint" || column.type == "int" || column.type == "float" || column.type == "duration";
}

bool read_columns(std::string_view text, std::vector<AnswerColumn>& columns, std::string& why) {
  try {
    columns = columns_of(json::parse(text));
    return true;
  } catch (const std::exception& e) {
    why = not_understood(e);
    return false;
  }
}

bool read_rows(std::string_view text, const std::vector<AnswerColumn>& columns, std::vector<std::vector<Cell>>& rows, std::string& why) {
  try {
    rows.clear();
    const json j = json::parse(text);
    for (const auto& r : j.at("rows")) rows.push_back(row_of(r, columns));
    return true;
  } catch (const std::exception& e) {
    why = not_understood(e);
    return false;
  }
}

std::optional<Answer> read_answer(std::string_view text, std::string& why) {
  try {
    // A row becomes cells as soon as it is read, so that the tree of values never holds more than one. Columns come first, as docs/http.md says.
    Answer a;
    std::string member;
    const json j = json::parse(text, [&](int depth, json::parse_event_t event, json& value) {
      if (event == json::parse_event_t::key && depth == 1) member = value.get<std::string>();
      if (event != json::parse_event_t::array_end) return true;
      if (depth == 1 && member == "columns") a.columns = columns_of({{"columns", value}});
      if (depth != 2 || member != "rows") return true;
      if (a.columns.empty()) throw std::runtime_error("rows come before their columns");
      a.rows.push_back(row_of(value, a.columns));
      return false;
    });
    if (a.columns.size() != j.at("columns").size() || !j.at("rows").empty()) throw std::runtime_error("its columns or rows are none");
    a.render = text_of(j, "render");
    if (j.contains("keys"))
      for (const auto& key : j["keys"])
        if (key.is_string()) a.keys.push_back(printable(key.get_ref<const std::string&>()));
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
      a.kept_rows = count_of(s, "kept_rows");
    }
    return a;
  } catch (const std::exception& e) {
    why = not_understood(e);
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
  // The server names the header, which nobody types here.
  if (status == 401 && error.hint.empty()) error.hint = "set SLUICE_TOKEN to a token that it knows; `sluiced token add` makes one";
  return error;
}

std::string describe(const ServerError& error, std::string_view query, bool colour, size_t width) {
  const std::string place = error.line > 0 ? " at line " + std::to_string(error.line) + ", column " + std::to_string(error.column) : "";
  std::string out = message_of(error, place, colour, width);
  if (error.line > 0) {
    std::string_view line = query;
    for (uint32_t i = 1; i < error.line; ++i) {
      const size_t end = line.find('\n');
      line = end == std::string_view::npos ? std::string_view{} : line.substr(end + 1);
    }
    out += pointed(line.substr(0, line.find('\n')), error, width > limits::kWrapCellsMin ? width - 2 : limits::kPointedCells, colour);
  }
  return out + hint_of(error, width);
}

std::string describe_below(const ServerError& error, size_t caret, size_t cells, bool colour, size_t width) {
  const size_t underlined = std::max<size_t>(width > caret ? std::min(cells, width - caret) : cells, 1);
  return std::string(caret, ' ') + caret_of(underlined, colour) + message_of(error, "", colour, width) + hint_of(error, width);
}

std::optional<size_t> measure_of(const Answer& answer) {
  for (size_t i = answer.keys.empty() ? 1 : 0; i < answer.columns.size(); ++i)
    if (is_measure(answer, i)) return i;
  if (!answer.columns.empty() && is_measure(answer, 0)) return 0;
  return std::nullopt;
}

std::string draw(const Answer& answer, const TableStyle& style, bool bars) {
  std::vector<TableColumn> columns;
  for (const auto& c : answer.columns)
    columns.push_back({c.name, is_number(c)});
  const auto measure = bars ? measure_of(answer) : std::nullopt;
  if (!measure || answer.rows.empty()) return draw_table(columns, answer.rows, style);
  double most = 0;
  for (const auto& row : answer.rows) most = std::max(most, row[*measure].number);
  columns.push_back({"", false});
  std::vector<std::vector<Cell>> rows = answer.rows;
  const size_t cells = style.width > 0 ? std::clamp<size_t>(style.width / 4, 4, kBarCells) : kBarCells;
  for (auto& row : rows) row.push_back({most > 0 ? bar_of(row[*measure].number / most, cells) : "", false});
  return draw_table(columns, rows, style);
}

std::string draw_over_time(const Answer& answer, size_t width) {
  size_t time = 0;
  while (time < answer.columns.size() && answer.columns[time].type != "timestamp") ++time;
  if (time == answer.columns.size() || answer.rows.empty()) return {};
  std::vector<size_t> keys, measures;
  for (size_t i = 0; i < answer.columns.size(); ++i)
    if (i != time) (is_measure(answer, i) ? measures : keys).push_back(i);
  // Rows that sum up the rest are marked by it, and have no keys of their own.
  const auto mark = std::find_if(keys.begin(), keys.end(), [&](size_t k) { return answer.columns[k].name == "others" && answer.columns[k].type == "bool"; });
  const size_t others = mark == keys.end() ? answer.columns.size() : *mark;
  if (mark != keys.end()) keys.erase(mark);
  TimeChart frame;
  std::vector<std::optional<int64_t>> times;
  std::vector<int64_t> bins;
  for (const auto& row : answer.rows) {
    times.push_back(row[time].null ? std::nullopt : time_of(row[time].text));
    if (times.back()) bins.push_back(*times.back());
  }
  if (bins.empty()) return {};
  std::sort(bins.begin(), bins.end());
  bins.erase(std::unique(bins.begin(), bins.end()), bins.end());
  frame.from_ms = bins.front();
  frame.to_ms = bins.back();
  for (size_t i = 1; i < bins.size(); ++i) frame.every_ms = frame.every_ms == 0 ? bins[i] - bins[i - 1] : std::min(frame.every_ms, bins[i] - bins[i - 1]);
  std::string out;
  for (const size_t m : measures) {
    TimeChart chart = frame;
    chart.title = answer.columns[m].name;
    const AnswerColumn& column = answer.columns[m];
    if (!column.unit.empty() && column.unit != "bytes" && column.type != "duration") chart.title += ", " + printable(column.unit);
    std::map<std::string, size_t> place;
    for (size_t r = 0; r < answer.rows.size(); ++r) {
      const auto& row = answer.rows[r];
      if (!times[r] || row[m].null) continue;
      std::string name;
      if (others < row.size() && !row[others].null && row[others].text == "true")
        name = "all others";
      else
        for (const size_t k : keys) name += (name.empty() ? "" : ", ") + (row[k].null ? std::string("-") : row[k].text);
      const auto [it, is_new] = place.try_emplace(name, chart.series.size());
      if (is_new) chart.series.push_back({name, {}});
      chart.series[it->second].points.push_back({*times[r], row[m].number});
    }
    if (chart.series.empty()) continue;
    if (chart.series.size() == 1 && !chart.series[0].name.empty()) chart.title += " of " + chart.series[0].name;
    out += (out.empty() ? "" : "\n") + draw_time_chart(chart, width, column.type == "duration" ? duration_text : column.unit == "bytes" ? byte_text : short_number);
  }
  return out;
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
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double v = static_cast<double>(n);
  size_t u = 0;
  // Where the digits that are shown would say 1000, the next unit says 1.0.
  while (v >= 999.5 && u + 1 < std::size(kUnits)) {
    v /= 1000;
    ++u;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, u == 0 || v >= 99.95 ? "%.0f %s" : "%.1f %s", v, kUnits[u]);
  return buffer;
}

std::string account(const Answer& answer) {
  char time[40];
  std::snprintf(time, sizeof time, answer.elapsed_ms < 10 ? "%.2f ms" : "%.0f ms", answer.elapsed_ms);
  std::string out = with_thousands(answer.rows.size()) + (answer.rows.size() == 1 ? " row" : " rows") + " in " + time;
  if (answer.rows_scanned > 0 || answer.segments > 0) {
    const bool all_known = answer.rows_scanned == 0 && answer.kept_rows > 0;
    if (!all_known) out += " · " + with_thousands(answer.rows_matched) + " of " + with_thousands(answer.rows_scanned) + " flows matched · " + human_bytes(answer.bytes_read) + " read";
    if (answer.kept_rows > 0) out += " · " + with_thousands(answer.kept_rows) + (all_known ? " flows known from before" : " more known from before");
    if (answer.segments_pruned > 0)
      out += " · " + with_thousands(answer.segments_pruned) + " of " + with_thousands(answer.segments) + " segments skipped";
  }
  return out;
}

}  // namespace sluice::client
