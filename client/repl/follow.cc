#include "client/repl/follow.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <thread>

#include "client/repl/event_reader.h"
#include "client/repl/limits.h"

namespace sluice::client {
namespace {

using nlohmann::json;

// Room that values of a type mostly take, so that lines stand below each other from the first on.
size_t usual_width(const AnswerColumn& column) {
  if (column.type == "timestamp") return 8;
  if (column.type == "ip") return 13;  // 192.168.10.57; longer ones widen it
  if (is_number(column)) return 6;
  return 4;
}

void put(std::string& out, std::string_view text, size_t width, bool right) {
  const size_t cells = display_width(text), gap = width > cells ? width - cells : 0;
  if (!out.empty()) out += "  ";
  if (right) out.append(gap, ' ');
  out += text;
  if (!right) out.append(gap, ' ');
}

void note(const Terminal& terminal, const std::string& text) {
  for (const std::string& line : terminal.fitted(text))
    std::printf("%s%s%s\n", terminal.colour ? "\x1b[2m" : "", for_locale(line).c_str(), terminal.colour ? "\x1b[0m" : "");
  std::fflush(stdout);
}

std::string utc_day() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char day[16];
  return {day, std::strftime(day, sizeof day, "%Y-%m-%d", &utc)};
}

}  // namespace

EndlessTable::EndlessTable(const std::vector<AnswerColumn>& columns, size_t width, bool colour) : columns_(columns), width_(width), colour_(colour) {
  size_t used = 0;
  for (const AnswerColumn& c : columns_) {
    const size_t wanted = std::max(display_width(c.name), usual_width(c));
    used += wanted + (widths_.empty() ? 0 : 2);
    if (width_ > 0 && used > width_ && !widths_.empty()) break;
    widths_.push_back(wanted);
  }
  left_out_ = columns_.size() - widths_.size();
  columns_.resize(widths_.size());
}

std::string EndlessTable::fit(std::string line) const {
  while (line.ends_with(' ')) line.pop_back();
  return width_ > 0 ? cut(line, width_) : line;
}

std::string EndlessTable::head() const {
  std::string out;
  for (size_t i = 0; i < columns_.size(); ++i) put(out, columns_[i].name, widths_[i], is_number(columns_[i]));
  return colour_ ? "\x1b[1m" + fit(out) + "\x1b[0m" : fit(out);
}

std::string EndlessTable::line(const std::vector<Cell>& row, std::string_view today) {
  std::string out;
  for (size_t i = 0; i < columns_.size() && i < row.size(); ++i) {
    std::string_view text = row[i].null ? std::string_view("-") : row[i].text;
    // 2026-11-20T08:14:01.512Z: what has just come in is mostly of today, and a line has better use for the room.
    if (columns_[i].type == "timestamp" && text.size() >= 20 && text.starts_with(today) && text[10] == 'T') text = text.substr(11, 8);
    widths_[i] = std::max(widths_[i], display_width(text));
    put(out, text, widths_[i], is_number(columns_[i]));
  }
  return fit(out);
}

int follow(Http& http, const std::string& filter, const QueryOptions& options, const TypedPlace* typed) {
  const Terminal terminal;
  constexpr std::string_view kAll = "from flows ";
  const bool stages_alone = filter.empty() || filter.starts_with("|");
  const std::string question = stages_alone ? std::string(kAll) + filter : filter;
  std::optional<TypedPlace> place;
  if (typed != nullptr) place = TypedPlace{typed->prompt, typed->more, typed->text, typed->shift - (stages_alone ? static_cast<std::ptrdiff_t>(kAll.size()) : 0)};
  std::string path = "/v1/tail?q=" + url_encode(question);
  for (const auto& [name, values] : options.parameters)
    for (const std::string& value : values) path += "&param." + url_encode(name) + "=" + url_encode(value);
  std::string last_id, why;
  std::vector<AnswerColumn> columns;
  std::optional<EndlessTable> table;
  uint64_t flows = 0;
  int failures = 0;
  bool ended = false;
  while (true) {
    EventReader reader(limits::kEventBytes);
    Request request{"GET", path, {"Accept: text/event-stream"}, {}, limits::kStreamSilenceSeconds};
    if (!last_id.empty()) request.headers.push_back("Last-Event-ID: " + last_id);
    const auto use = [&](const StreamEvent& event) {
      // The id goes into a header of the next request: what does not belong there is no id of a Sluice server.
      if (std::all_of(event.id.begin(), event.id.end(), [](char c) { return c > ' ' && c < 127; })) last_id = event.id;
      if (failures > 0) note(terminal, "connected again");
      failures = 0;
      if (event.name == "columns") {
        std::vector<AnswerColumn> now;
        if (!read_columns(event.data, now, why)) return false;
        if (!table) {
          columns = now;
          table.emplace(columns, terminal.width, terminal.colour);
          std::string what = "flows as they come in, times of today in UTC to the second; Ctrl-C ends it";
          if (const size_t n = table->left_out(); n > 0) what += " (" + std::to_string(n) + (n == 1 ? " more column has" : " more columns have") + " no room here; `select` chooses)";
          note(terminal, what);
          std::printf("%s\n", for_locale(table->head()).c_str());
        }
      } else if (event.name == "rows" && table) {
        std::vector<std::vector<Cell>> rows;
        if (!read_rows(event.data, columns, rows, why)) return false;
        flows += rows.size();
        const std::string today = utc_day();
        for (const auto& row : rows) std::printf("%s\n", for_locale(table->line(row, today)).c_str());
      } else if (event.name == "dropped" || event.name == "lost" || event.name == "gap") {
        const json data = json::parse(event.data, nullptr, false);
        const auto said = [&](const char* key) { return data.is_object() && data.contains(key) && data[key].is_string() ? printable(data[key].get<std::string>()) : std::string(); };
        const uint64_t count = data.is_object() && data.contains(event.name) && data[event.name].is_number_unsigned() ? data[event.name].get<uint64_t>() : 0;
        if (event.name == "dropped")
          note(terminal, "… " + with_thousands(count) + " more came too fast to be shown; a filter makes them fewer");
        else if (event.name == "lost")
          note(terminal, "… " + with_thousands(count) + " flows went by unseen: " + said("reason"));
        else
          note(terminal, "… there is a gap: " + said("reason"));
      } else if (event.name == "error") {
        ended = true;
        why = read_error(event.data, 200).message;
        return false;
      }
      std::fflush(stdout);
      return true;
    };
    const Response response = http.send(request, [&](std::string_view piece) {
      const bool go_on = reader.read(piece, use);
      if (!go_on && why.empty()) {
        ended = true;
        why = "the server sent an event of more than " + human_bytes(limits::kEventBytes);
      }
      return go_on;
    });
    if (response.failure == Response::Failure::cancelled || Http::interrupted()) break;
    if (response.failure == Response::Failure::none && !response.ok()) {
      // 503: as many follow as the server lets; others are told why at once.
      if (response.status != 503 || failures == 0) {
        say_error(read_error(response.body, response.status), question, place ? &*place : nullptr);
        return 1;
      }
      why = read_error(response.body, response.status).message;
    } else if (ended || (response.failure == Response::Failure::none && !why.empty())) {
      say(stderr, "error: " + printable(why));
      return 1;
    } else if (!table) {
      say_unreachable(http, response);  // it was never there
      return 3;
    } else {
      why = response.failure == Response::Failure::none ? "the server ended it" : response.failure_text;
    }
    const int seconds = std::min(limits::kStreamRetrySecondsMax, 1 << std::min(failures, 10));
    if (failures++ == 0) note(terminal, "… the connection broke (" + printable(why) + "); trying again until Ctrl-C");
    why.clear();
    for (int i = 0; i < seconds * 20 && !Http::interrupted(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (Http::interrupted()) break;
  }
  Http::clear_interrupt();
  write_over_echo(stdout);
  note(terminal, with_thousands(flows) + (flows == 1 ? " flow" : " flows") + " seen");
  return 0;
}

}  // namespace sluice::client
