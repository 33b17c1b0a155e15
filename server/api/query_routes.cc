#include <algorithm>

#include "grammar/print.h"
#include "server/api/answer_writer.h"
#include "server/api/json_text.h"
#include "server/api/result_writer.h"
#include "server/api/routes.h"
#include "storage/model/counted.h"

namespace sluice::api {
namespace {

constexpr size_t kSummaryHeaderBytesMax = 8u << 10;
constexpr size_t kUnusedTold = 5;  // a request may have a thousand parameters, and all of them for another query

// What formats but JSON have no place for in their rows: range, warnings and account, as a header of small answers and a
// trailer of streamed ones. Control bytes cannot occur in it, because JSON escapes them.
std::string summary_header(const query::QuerySummary& summary) {
  std::string text = "{\"range\":" + range_json(summary.range) + ",\"warnings\":" + warnings_json(summary.warnings) + ",\"stats\":" + stats_json(summary) + "}";
  if (text.size() > kSummaryHeaderBytesMax)
    text = "{\"range\":" + range_json(summary.range) + ",\"warnings\":[\"" +
           counted(summary.warnings.size(), "warning does", "warnings do") + " not fit here; ask for JSON\"],\"stats\":" + stats_json(summary) + "}";
  return text;
}

// Takes rows from the engine to the client. Small answers leave whole, with their length; larger ones are streamed, and
// then a client that reads slowly holds the query back in Exchange::write, until the query is cancelled or its time is up:
// then the query ends with that, whatever the client does.
class StreamedAnswer final : public query::ResultSink {
 public:
  // `stopped`: why the query may not go on, or ok.
  StreamedAnswer(http::Exchange& exchange, AnswerFormat format, std::optional<uint64_t> limit, std::function<Status()> stopped)
      : exchange_(exchange),
        format_(format),
        limit_(limit),
        stopped_(std::move(stopped)),
        writer_(make_answer_writer(format, [this](std::string&& bytes) { return send(std::move(bytes)); })) {}

  Status begin(const Schema& columns) override {
    is_begun_ = true;
    return writer_->begin(columns);
  }
  Status batch(const Batch& rows) override {
    if (is_cut_) return {};
    size_t count = rows.rows;
    if (limit_ && rows_ + count > *limit_) {
      count = static_cast<size_t>(*limit_ - rows_);
      is_cut_ = true;
    }
    rows_ += count;
    if (Status written = writer_->rows(rows, count); !written.ok()) {
      SLUICE_TRY(stopped_());
      return written;
    }
    return {};
  }
  // There are more rows than the request's `limit`.
  bool has_enough() const override { return is_cut_; }

  void finish(query::QuerySummary& summary) {
    if (is_cut_) {
      summary.rows = rows_;
      summary.warnings.push_back("the answer is cut at " + counted(*limit_, "row") + ", as the request's limit says");
    }
    Status written;
    if (!is_begun_) written = begin({});  // a statement without columns
    if (written.ok()) written = writer_->finish(summary);
    if (!written.ok()) {
      const Status stopped = stopped_();
      const Error& error = stopped.ok() ? written.error() : stopped.error();
      return fail({.code = error.code, .message = error.message, .hint = {}, .span = {}, .caret = {}});
    }
    const bool has_header = format_ != AnswerFormat::json;
    if (!is_streaming_) {
      http::Response response = head();
      if (has_header) response.headers.emplace_back("X-Sluice-Summary", summary_header(summary));
      response.body = std::move(writer_->buffer());
      exchange_.respond(std::move(response));
      return;
    }
    exchange_.finish(has_header ? http::HeaderList{{"X-Sluice-Summary", summary_header(summary)}} : http::HeaderList{}, std::move(writer_->buffer()));
  }

  void fail(const query::QueryError& error) {
    if (!is_streaming_) return exchange_.respond(query_error_response(error));
    if (!writer_->fail(error)) return exchange_.abort();
    exchange_.finish({}, std::move(writer_->buffer()));
  }

 private:
  http::Response head() const {
    http::Response response;
    response.content_type = content_type_of(format_);
    if (format_ == AnswerFormat::ecs || format_ == AnswerFormat::ocsf) response.content_type += "; profile=" + std::string(name_of(format_));
    if (format_ == AnswerFormat::csv) response.content_type += "; charset=utf-8; header=present";
    return response;
  }
  bool send(std::string&& bytes) {
    if (!is_streaming_) {
      is_streaming_ = true;
      http::Response response = head();
      if (format_ != AnswerFormat::json) response.headers.emplace_back("Trailer", "X-Sluice-Summary");
      exchange_.begin(std::move(response));
    }
    return exchange_.write(std::move(bytes), [this] { return !stopped_().ok(); });
  }

  http::Exchange& exchange_;
  const AnswerFormat format_;
  const std::optional<uint64_t> limit_;
  const std::function<Status()> stopped_;
  bool is_streaming_ = false, is_begun_ = false, is_cut_ = false;
  uint64_t rows_ = 0;
  const std::unique_ptr<AnswerWriter> writer_;
};

// Reads the request; answers and returns nothing when it makes no sense.
std::optional<QueryCall> read_call(Call& call, const server::QueryService& queries, const QueryBounds& bounds) {
  const std::string body = call.exchange->take_body();
  auto read = read_query_call(call.request, body, bounds, queries.now());
  if (read.ok()) return std::move(read).value();
  call.exchange->respond(error_response(read.error()));
  return std::nullopt;
}

}  // namespace

http::Response query_error_response(const query::QueryError& error) {
  http::Response response;
  response.status = status_of(error);
  response.body = "{\"error\":" + error_json(error) + "}";
  if (response.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

namespace {

// Runs what was read, and streams its answer.
void answer_call(Call& call, server::QueryService& queries, const QueryCall& read) {
  auto cancel = std::make_shared<query::CancelToken>();
  call.exchange->on_disconnect([cancel] { cancel->cancel(); });
  const TimestampNs started = queries.now();
  const DurationNs timeout = read.request.limits.timeout;
  StreamedAnswer answer(*call.exchange, read.format, read.limit, [&queries, cancel, started, timeout]() -> Status {
    if (cancel->cancelled()) return Error{ErrorCode::cancelled, "the query was cancelled"};
    if (timeout > 0 && queries.now() - started >= timeout)
      return Error{ErrorCode::deadline, "the query ran past its time limit while its client did not read the answer: timeout = " + format_duration(timeout)};
    return {};
  });
  query::QuerySummary summary;
  const auto error = queries.run(call.request.id, call.principal, read.request, cancel, answer, summary, call.request.method != "GET");
  if (error) return answer.fail(*error);
  const auto unused = query::unused_parameters(read.request);
  for (size_t i = 0; i < unused.size() && i < kUnusedTold; ++i)
    summary.warnings.push_back("the parameter '" + unused[i] + "' is not used: the query has no $" + unused[i]);
  if (unused.size() > kUnusedTold) summary.warnings.push_back("and " + counted(unused.size() - kUnusedTold, "more parameter is", "more parameters are") + " not used");
  answer.finish(summary);
}

}  // namespace

void answer_query(Call& call, server::QueryService& queries, const QueryBounds& bounds) {
  if (const auto read = read_call(call, queries, bounds)) answer_call(call, queries, *read);
}

void answer_replay(Call& call, server::QueryService& queries, const server::RuleService& rules, const QueryBounds& bounds) {
  const std::string& name = call.arguments[0];
  const auto known = rules.rules();
  // So the name is one that a statement may have.
  if (std::none_of(known.begin(), known.end(), [&](const server::RuleStatus& r) { return r.name == name; }))
    return call.exchange->respond(error_response(404, "not_found", "there is no rule '" + name.substr(0, 100) + "'"));
  auto read = read_replay_call(call.request, bounds, queries.now());
  if (!read.ok()) return call.exchange->respond(error_response(read.error()));
  const auto &from = read->request.from, &to = read->request.to;
  read->request.text = "replay rule " + grammar::quote_string(name);
  if (from && to)
    read->request.text += " over between " + format_timestamp(*from) + " and " + format_timestamp(*to);
  else if (from)
    read->request.text += " over since " + format_timestamp(*from);
  else if (to)
    read->request.text += " over between " + format_timestamp(query::continuous::kEarliest) + " and " + format_timestamp(*to);
  answer_call(call, queries, *read);
}

void answer_explain(Call& call, server::QueryService& queries, const QueryBounds& bounds) {
  auto read = read_call(call, queries, bounds);
  if (!read) return;
  std::string plan;
  if (const auto error = queries.explain(read->request, plan)) return call.exchange->respond(query_error_response(*error));
  std::string body = "{\"plan\":";
  append_json_string(body, plan);
  call.exchange->respond(json_response(body + "}"));
}

void answer_validate(Call& call, server::QueryService& queries, const QueryBounds& bounds) {
  auto read = read_call(call, queries, bounds);
  if (!read) return;
  const auto errors = queries.validate(read->request);
  std::string body = std::string("{\"valid\":") + (errors.empty() ? "true" : "false") + ",\"errors\":[";
  for (size_t i = 0; i < errors.size(); ++i) body += (i ? "," : "") + error_json(errors[i]);
  call.exchange->respond(json_response(body + "]}"));
}

void answer_complete(Call& call, server::QueryService& queries) {
  const auto read = read_completion_call(call.exchange->take_body());
  if (!read.ok()) return call.exchange->respond(error_response(read.error()));
  const auto list = queries.complete(read->text, read->cursor);
  std::string body = "{\"replace\":{\"offset\":" + std::to_string(list.replace_offset) + ",\"length\":" + std::to_string(list.replace_length) + "},\"items\":[";
  for (size_t i = 0; i < list.items.size(); ++i) {
    body += i ? ",{\"text\":" : "{\"text\":";
    append_json_string(body, list.items[i].text);
    body += ",\"kind\":";
    append_json_string(body, list.items[i].kind);
    body += ",\"detail\":";
    append_json_string(body, list.items[i].detail);
    body += '}';
  }
  call.exchange->respond(json_response(body + "]}"));
}

}  // namespace sluice::api
