// What goes on for as long as the client listens: GET /v1/tail and GET /v1/alerts/stream, as server-sent events (WHATWG HTML, 9.2).
//
// Each runs on a thread of the lane `stream`, and ends when the client goes, the server stops, or the token is removed.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "query/continuous/tail.h"
#include "query/words.h"
#include "server/api/json_text.h"
#include "server/api/result_writer.h"
#include "server/api/routes.h"
#include "server/flow_tail.h"
#include "server/limits.h"
#include "server/system_tables.h"

namespace sluice::api {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kEventEvery{limits::kTailEventEvery / kMillisecond};
constexpr milliseconds kAliveEvery{limits::kStreamAliveEvery / kMillisecond};

// One event. `data` is one line: JSON without the line ends that it may have between rows.
std::string event(std::string_view name, std::string_view id, std::string_view data) {
  std::string out;
  out.reserve(data.size() + 128);
  out.append("event: ").append(name);
  if (!id.empty()) out.append("\nid: ").append(id);
  out += "\ndata: ";
  for (const char c : data)
    if (c != '\n' && c != '\r') out += c;
  return out += "\n\n";
}

// Where the client was: browsers and others that follow the standard say it in a header when they come back.
std::string_view last_event_id(const http::Request& request) {
  if (const std::string_view id = request.header("last-event-id"); !id.empty()) return id;
  return request.query_value("last_event_id").value_or("");
}

// The stream of one client.
class EventStream {
 public:
  EventStream(Call& call, const server::Auth& auth, std::function<bool()> is_stopping)
      : call_(call), auth_(auth), is_stopping_(std::move(is_stopping)), gone_(std::make_shared<std::atomic<bool>>(false)) {
    call.exchange->on_disconnect([gone = gone_] { *gone = true; });
  }

  // Answers the head; false: that was all (HEAD).
  bool begin() {
    http::Response head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("X-Accel-Buffering", "no");  // or nginx would gather events before it passes them on
    if (call_.request.method == "HEAD") {
      call_.exchange->respond(std::move(head));
      return false;
    }
    call_.exchange->begin(std::move(head));
    return true;
  }
  // False: there is nobody to send to any more.
  bool send(std::string text) {
    sent_at_ = std::chrono::steady_clock::now();
    return call_.exchange->write(std::move(text), [this] { return gone_->load() || is_stopping_(); });
  }
  // Nothing was sent for a while: says so, with the place the client may come back to. False: end the stream.
  bool keep_alive(std::string_view id) {
    if (std::chrono::steady_clock::now() - sent_at_ < kAliveEvery) return true;
    return is_allowed() && send(event("alive", id, "{}"));
  }
  bool is_over() const { return gone_->load(); }
  void finish() { call_.exchange->finish(); }

 private:
  // A token may be removed while its stream goes on.
  bool is_allowed() {
    const auto principal = auth_.identify(call_.request.header("authorization"));
    if (principal.ok() && server::allows(principal->role, Role::read)) return true;
    send(event("error", {}, "{\"error\":{\"code\":\"unauthenticated\",\"message\":\"the token is not good any more\"}}"));
    return false;
  }

  Call& call_;
  const server::Auth& auth_;
  const std::function<bool()> is_stopping_;
  const std::shared_ptr<std::atomic<bool>> gone_;
  std::chrono::steady_clock::time_point sent_at_ = std::chrono::steady_clock::now();
};

// Rows of one event, as the rows of an answer.
class RowText {
 public:
  explicit RowText(const Schema& schema) : schema_(schema) {}

  Status add(const Batch& rows) {
    if (!writer_) {
      writer_.emplace(AnswerFormat::json, [this](std::string&& text) {
        text_ += text;
        return true;
      });
      writer_->begin(schema_);
      writer_->buffer().clear();  // columns were told once
    }
    const size_t room = limits::kTailRowsPerEvent - static_cast<size_t>(writer_->rows_written());
    writer_->rows(rows, std::min(rows.rows, room));
    dropped_ += rows.rows - std::min(rows.rows, room);
    return {};
  }
  uint64_t take_dropped() { return std::exchange(dropped_, 0); }
  // Empty: none.
  std::string take() {
    if (!writer_) return {};
    std::string out = "{\"rows\":[" + text_ + writer_->buffer() + "]}";
    writer_.reset();
    text_.clear();
    return out;
  }

 private:
  const Schema& schema_;
  std::optional<ResultWriter> writer_;
  std::string text_;
  uint64_t dropped_ = 0;
};

std::string columns_of(const Schema& schema) {
  ResultWriter writer(AnswerFormat::json, [](std::string&&) { return true; });
  writer.begin(schema);
  std::string text = writer.buffer();
  return text.substr(0, text.rfind(",\"rows\"")) + "}";
}

std::string lost(uint64_t count, std::string_view what, std::string_view why) {
  std::string out = "{\"lost\":" + std::to_string(count) + ",\"of\":";
  append_json_string(out, what);
  out += ",\"reason\":";
  append_json_string(out, why);
  return out + "}";
}

constexpr std::string_view kOtherLife = "{\"reason\":\"the server does not know that place any more (it was started anew since): what came in between is not shown\"}";

}  // namespace

void answer_tail(Call& call, server::QueryService& queries, server::FlowTail& tail, const server::Auth& auth, const QueryBounds& bounds) {
  // Its form is that of every query; the answer's is not to be negotiated.
  http::Request asked = call.request;
  std::erase_if(asked.headers, [](const auto& h) { return h.first == "accept"; });
  std::erase_if(asked.query, [](const auto& q) { return q.first == "last_event_id"; });
  const auto read = read_query_call(asked, {}, bounds, queries.now());
  if (!read.ok()) return call.exchange->respond(error_response(read.error()));
  if (read->request.from || read->request.to || read->limit)
    return call.exchange->respond(error_response(400, "invalid_argument", "a tail has no from, to and limit: it begins now and never ends"));
  auto compiled = queries.tail(read->request);
  if (const auto* error = std::get_if<query::QueryError>(&compiled)) return call.exchange->respond(query_error_response(*error));
  query::continuous::Tail& rows = *std::get<0>(compiled);

  server::FlowTail::Place place = tail.newest();
  EventStream stream(call, auth, [&tail] { return tail.is_stopping(); });
  if (!stream.begin()) return;
  std::string hello = event("columns", {}, columns_of(rows.columns()));
  if (const std::string_view id = last_event_id(call.request); !id.empty()) {
    if (const auto known = tail.read_place(id))
      place = *known;
    else
      hello += event("gap", {}, kOtherLife);
  }
  // With a place from the start, so that a client that lost its connection before the first row can come back to it.
  if (!stream.send(hello + event("alive", tail.text_of(place), "{}"))) return stream.finish();

  RowText text(rows.columns());
  while (!stream.is_over()) {
    // One round, and so one event of rows: all that has come since the last.
    const auto round_ends = std::chrono::steady_clock::now() + kEventEvery;
    milliseconds wait = kEventEvery;
    uint64_t missed = 0;
    std::string out;
    do {
      auto taken = tail.take(place, std::exchange(wait, milliseconds(0)));
      if (!taken) return stream.finish();
      missed += taken->missed;
      for (const auto& batch : taken->batches) {
        const Status status = rows.push(batch, [&](const Batch& found) { return text.add(found); });
        if (!status.ok()) out += event("error", {}, "{\"error\":" + error_json({status.error().code, status.error().message, {}, std::nullopt, {}}) + "}");
      }
      place = taken->next;
    } while (place != tail.newest() && std::chrono::steady_clock::now() < round_ends);
    if (missed > 0)
      out += event("lost", {}, lost(missed, "flows that came in, whether they meet the query or not", "they came faster than this client takes them, and are not kept any more"));
    if (const std::string found = text.take(); !found.empty()) out += event("rows", tail.text_of(place), found);
    if (const uint64_t dropped = text.take_dropped(); dropped > 0)
      out += event("dropped", {}, "{\"dropped\":" + std::to_string(dropped) + "}");
    const bool has_news = !out.empty();
    if (has_news ? !stream.send(std::move(out)) : !stream.keep_alive(tail.text_of(place))) break;
    if (has_news && !tail.pause(kEventEvery)) break;
  }
  stream.finish();
}

void answer_alert_stream(Call& call, server::RuleService& rules, const server::Auth& auth) {
  std::string rule, severity;
  for (const auto& [name, value] : call.request.query) {
    if (name == "rule") rule = value;
    else if (name == "severity") severity = value;
    else if (name != "last_event_id")
      return call.exchange->respond(error_response(400, "invalid_argument", "alerts are followed by rule and severity, not by '" + name.substr(0, 100) + "'"));
  }
  server::AlertChanges& changes = rules.changes();
  uint64_t place = changes.newest();
  EventStream stream(call, auth, [&changes] { return changes.is_stopping(); });
  if (!stream.begin()) return;
  std::string hello;
  if (const std::string_view id = last_event_id(call.request); !id.empty()) {
    if (const auto known = changes.read_place(id))
      place = *known;
    else
      hello += event("gap", {}, kOtherLife);
  }
  if (!stream.send(hello + event("alive", changes.text_of(place), "{}"))) return stream.finish();
  while (!stream.is_over()) {
    auto taken = changes.take(place, kEventEvery);
    if (!taken) break;
    std::string out;
    if (taken->missed > 0) out += event("lost", {}, lost(taken->missed, "changes of alerts", "they came faster than this client reads, and are not kept any more"));
    for (const server::AlertChange& change : taken->changes) {
      if (!rule.empty() && change.alert.rule != rule) continue;
      if (!severity.empty() && !query::equal_ignoring_case(to_string(change.alert.severity), severity)) continue;
      // [{…}] of one alert, with what happened to it as the first member.
      const std::string alert = objects_json(server::alerts_table({change.alert}));
      out += event("alert", changes.text_of(change.number), "{\"change\":\"" + std::string(to_string(change.kind)) + "\"," + alert.substr(2, alert.size() - 3));
    }
    place = taken->next;
    if (out.empty() ? !stream.keep_alive(changes.text_of(place)) : !stream.send(std::move(out))) break;
  }
  stream.finish();
}

}  // namespace sluice::api
