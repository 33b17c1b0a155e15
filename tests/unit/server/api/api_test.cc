#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "server/api/json_text.h"
#include "server/api/query_body.h"
#include "server/api/answer_writer.h"
#include "server/api/result_writer.h"
#include "server/columnar/columnar_writer.h"
#include "storage/model/text_list.h"

namespace sluice::api {
namespace {

using nlohmann::json;

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesAndRepairs) {
  EXPECT_EQ(quoted("a\"b\\c\n\r\t\x01\x7f"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\"");
  EXPECT_EQ(quoted("gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8a"), "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8a\"");
  // Overlong, surrogate, beyond U+10FFFF, cut short, stray continuation.
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xff\xfe"}) {
    const std::string text = quoted(bad);
    EXPECT_TRUE(json::accept(text)) << text;
    EXPECT_NE(text.find("\xef\xbf\xbd"), std::string::npos);
  }
}

TEST(JsonText, EveryByteBecomesValidJson) {
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) {
      const char two[] = {static_cast<char>(a), static_cast<char>(b)};
      ASSERT_TRUE(json::accept(quoted(std::string_view(two, 2)))) << a << " " << b;
    }
}

TEST(JsonText, MillisecondsAreExact) {
  for (const auto& [ns, text] : std::initializer_list<std::pair<int64_t, const char*>>{
           {0, "0"}, {1, "0.000001"}, {1'500'000, "1.5"}, {-1'500'000, "-1.5"}, {60 * kSecond, "60000"}, {999'999, "0.999999"},
           {INT64_MIN, "-9223372036854.775808"}, {INT64_MAX, "9223372036854.775807"}}) {
    std::string out;
    append_milliseconds(out, ns);
    EXPECT_EQ(out, text);
  }
}

http::Request request_of(std::string method, std::string target, http::HeaderList headers = {}) {
  http::Request r;
  r.method = std::move(method);
  EXPECT_TRUE(http::parse_target(target, r));
  r.headers = std::move(headers);
  return r;
}
const http::HeaderList kJson{{"content-type", "application/json; charset=utf-8"}};

TEST(QueryBody, ReadsJson) {
  const auto call = read_query_call(request_of("POST", "/v1/query", kJson), R"({"query":"from flows","from":"1970-01-01T00:10:00Z","to":"now","limit":7,
    "timeout_ms":250,"params":{"a":"10.0.0.0/8","b":443,"c":["x",1,true],"d":-2}})", {}, 1'000 * kSecond);
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->request.text, "from flows");
  EXPECT_EQ(format_timestamp(*call->request.from), "1970-01-01T00:10:00Z");
  EXPECT_EQ(*call->request.to, 1'000 * kSecond);
  EXPECT_EQ(call->limit, 7u);
  EXPECT_EQ(call->request.limits.timeout, 250 * kMillisecond);
  EXPECT_EQ(call->request.parameters.at("a").values, std::vector<std::string>{"10.0.0.0/8"});
  EXPECT_EQ(call->request.parameters.at("b").values, std::vector<std::string>{"443"});
  EXPECT_TRUE(call->request.parameters.at("c").is_list);
  EXPECT_EQ(call->request.parameters.at("c").values, (std::vector<std::string>{"x", "1", "true"}));
  EXPECT_EQ(call->request.parameters.at("d").values, std::vector<std::string>{"-2"});
}

TEST(QueryBody, ReadsTextAndQueryStrings) {
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded"}) {
    const auto call = read_query_call(request_of("POST", "/v1/query?limit=3&format=csv", {{"content-type", type}}), "dst_port == 53", {}, 0);
    ASSERT_TRUE(call.ok()) << type;
    EXPECT_EQ(call->request.text, "dst_port == 53");
    EXPECT_EQ(call->limit, 3u);
    EXPECT_EQ(call->format, AnswerFormat::csv);
  }
  const auto call = read_query_call(request_of("GET", "/v1/query?q=x&from=now-15m&param.p=1&param.p=2&param.q=3", {{"accept", "application/x-ndjson"}}), "", {},
                                    kDay);
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->format, AnswerFormat::ndjson);
  EXPECT_EQ(call->request.from, kDay - 15 * kMinute);
  EXPECT_EQ(call->request.parameters.at("p").values.size(), 2u);
  EXPECT_TRUE(call->request.parameters.at("p").is_list);
  EXPECT_FALSE(call->request.parameters.at("q").is_list);
}

TEST(QueryBody, FormatsByNameAndByAccept) {
  const auto asked = [](std::string target, std::string accept) { return read_query_call(request_of("GET", "/v1/query?q=x" + target, {{"accept", std::move(accept)}}), "", {}, 0); };
  const bool is_built = columnar::is_built().ok();
  for (const auto& [name, format] : std::initializer_list<std::pair<const char*, AnswerFormat>>{
           {"json", AnswerFormat::json}, {"ndjson", AnswerFormat::ndjson}, {"csv", AnswerFormat::csv}, {"ecs", AnswerFormat::ecs}, {"ocsf", AnswerFormat::ocsf}, {"arrow", AnswerFormat::arrow}, {"parquet", AnswerFormat::parquet}}) {
    const auto call = asked(std::string("&format=") + name, "image/png");
    const bool wants_module = format == AnswerFormat::arrow || format == AnswerFormat::parquet;
    ASSERT_EQ(call.ok(), is_built || !wants_module) << name;
    if (call.ok()) {
      EXPECT_EQ(call->format, format);
      EXPECT_EQ(name_of(format), name);
    } else {
      EXPECT_EQ(call.error().code, ErrorCode::not_built);
    }
  }
  EXPECT_EQ(asked("&format=feather", "*/*").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(asked("", "image/png").error().code, ErrorCode::unsupported);
  EXPECT_EQ(asked("", "*/*")->format, AnswerFormat::json);
  EXPECT_EQ(asked("", "application/ndjson")->format, AnswerFormat::ndjson);
  // Who takes another form too gets that of a build without the module.
  const std::string stream = "application/vnd.apache.arrow.stream", file = "application/vnd.apache.parquet";
  EXPECT_EQ(asked("", stream + ", text/csv;q=0.5")->format, is_built ? AnswerFormat::arrow : AnswerFormat::csv);
  EXPECT_EQ(asked("", file + ";q=0.9, " + stream + ";q=0.1, application/json;q=0.2")->format, is_built ? AnswerFormat::parquet : AnswerFormat::json);
  EXPECT_EQ(asked("", stream).ok(), is_built);
  EXPECT_EQ(asked("", "text/csv, " + stream + ";q=0.5")->format, AnswerFormat::csv);
}

TEST(QueryBody, AMayAskForLessTimeNeverForMore) {
  QueryBounds bounds;
  bounds.limits.timeout = kSecond;
  EXPECT_EQ(read_query_call(request_of("GET", "/v1/query?q=x&timeout_ms=999999999999999999"), "", bounds, 0)->request.limits.timeout, kSecond);
  EXPECT_EQ(read_query_call(request_of("GET", "/v1/query?q=x&timeout_ms=5"), "", bounds, 0)->request.limits.timeout, 5 * kMillisecond);
}

TEST(QueryBody, RefusesNonsense) {
  for (const char* body : {"", "{", "[]", "\"x\"", "{}", "{\"query\":1}", "{\"query\":null}", "{\"query\":\"x\",\"frm\":1}", "{\"query\":\"x\",\"limit\":-1}",
                           "{\"query\":\"x\",\"limit\":1.5}", "{\"query\":\"x\",\"timeout_ms\":0}", "{\"query\":\"x\",\"params\":[]}",
                           "{\"query\":\"x\",\"params\":{\"a\":{}}}", "{\"query\":\"x\",\"params\":{\"a\":[[1]]}}", "{\"query\":\"x\",\"from\":\"noon\"}",
                           "{\"query\":\"x\",\"from\":[]}", "{\"query\":\"\"}", "{\"query\":\"\xff\"}"}) {
    EXPECT_FALSE(read_query_call(request_of("POST", "/v1/query", kJson), body, {}, 0).ok()) << body;
  }
  const std::string deep(100'000, '[');
  EXPECT_FALSE(read_query_call(request_of("POST", "/v1/query", kJson), "{\"query\":" + deep, {}, 0).ok());
  EXPECT_EQ(read_query_call(request_of("POST", "/v1/query", {{"content-type", "image/png"}}), "x", {}, 0).error().code, ErrorCode::unsupported);
  EXPECT_EQ(read_query_call(request_of("GET", "/v1/query?q=x", {{"accept", "image/png"}}), "", {}, 0).error().code, ErrorCode::unsupported);
  EXPECT_FALSE(read_query_call(request_of("GET", "/v1/query?p=x"), "", {}, 0).ok());
  EXPECT_FALSE(read_query_call(request_of("GET", "/v1/query?q=x&limit=x"), "", {}, 0).ok());
  EXPECT_FALSE(read_query_call(request_of("GET", "/v1/query?q=x&format=xml"), "", {}, 0).ok());
}

TEST(QueryBody, RefusesARangeThatEndsBeforeItBegins) {
  const auto refused = read_query_call(request_of("GET", "/v1/query?q=x&from=2026-11-20T08:00:00Z&to=2026-11-20T07:59:59Z"), "", {}, 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message.find("2026-11-20T08:00:00Z"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("2026-11-20T07:59:59Z"), std::string::npos) << refused.error().message;
  // Half-open, so that the same moment twice is as empty; and the two may come from body and query string.
  EXPECT_FALSE(read_query_call(request_of("POST", "/v1/query", kJson), R"({"query":"x","from":"now","to":"now"})", {}, 5).ok());
  EXPECT_FALSE(read_query_call(request_of("POST", "/v1/query?from=now", kJson), R"({"query":"x","to":"now-1s"})", {}, 5 * kSecond).ok());
  EXPECT_TRUE(read_query_call(request_of("GET", "/v1/query?q=x&from=now-1s&to=now"), "", {}, 5 * kSecond).ok());
}

TEST(ParseBound, ReadsTimesAndMilliseconds) {
  EXPECT_EQ(parse_bound("now", 5), 5);
  EXPECT_EQ(parse_bound("now+1s", 5), kSecond + 5);
  EXPECT_EQ(parse_bound("1763625600000", 0), 1'763'625'600'000 * kMillisecond);
  EXPECT_EQ(parse_bound("2026-11-20", 0), *parse_timestamp("2026-11-20"));
  for (const char* bad : {"now-", "now-x", "now--1s", "99999999999999999999", "9223372036854775807", "tomorrow", "now*2"})
    EXPECT_FALSE(parse_bound(bad, 0)) << bad;
}

TEST(ReadCompletion, TakesACursorInside) {
  EXPECT_EQ(read_completion_call(R"({"query":"abc","cursor":2})")->cursor, 2u);
  EXPECT_EQ(read_completion_call(R"({"query":"abc","cursor":99})")->cursor, 3u);
  EXPECT_EQ(read_completion_call(R"({"query":"abc"})")->cursor, 3u);
  EXPECT_FALSE(read_completion_call(R"({"query":"abc","cursor":-1})").ok());
  EXPECT_FALSE(read_completion_call("x").ok());
}

struct EveryType {
  EveryType() {
    Schema schema;
    const auto add = [&](const char* name, LogicalType type, Column column, const EnumSpec* e = nullptr) {
      Field f;
      f.name = name;
      f.type = type;
      f.physical = column.type();
      f.enumeration = e;
      schema.push_back(f);
      column.append_null();
      batch.columns.push_back(std::move(column));
    };
    const auto text = [](std::string_view t) {
      Column c(PhysicalType::Str);
      c.append_string(t);
      return c;
    };
    const auto number = [](PhysicalType t, uint64_t v) {
      Column c(t);
      c.append_uint(v);
      return c;
    };
    Column ip(PhysicalType::Ip), real(PhysicalType::F64), nan(PhysicalType::F64);
    ip.append(*parse_ip("10.0.0.1"));
    real.append(0.25);
    nan.append(std::numeric_limits<double>::quiet_NaN());
    add("big", LogicalType::uint, number(PhysicalType::U64, UINT64_MAX));
    add("neg", LogicalType::int64, number(PhysicalType::I64, static_cast<uint64_t>(-5)));
    add("real", LogicalType::float64, std::move(real));
    add("nan", LogicalType::float64, std::move(nan));
    add("yes", LogicalType::boolean, number(PhysicalType::U8, 1));
    add("text", LogicalType::string, text("a,\"b\"\n"));
    add("ip", LogicalType::ip, std::move(ip));
    add("mac", LogicalType::mac, number(PhysicalType::U64, 0x001b213c9df8));
    add("time", LogicalType::timestamp, number(PhysicalType::I64, 1'500'000'000));
    add("span", LogicalType::duration, number(PhysicalType::I64, 1'500'000));
    add("flags", LogicalType::flags, number(PhysicalType::U16, 0x12));
    add("action", LogicalType::enumeration, number(PhysicalType::U8, 1), &kAction);
    std::string list, extra;
    append_list_item(list, "x");
    append_list_item(list, "y\nz");
    append_extra(extra, "k", "v=1");
    append_extra(extra, "k", "again");
    append_extra(extra, "k2", "");
    add("list", LogicalType::list, text(list));
    add("extra", LogicalType::extra, text(extra));
    add("port", LogicalType::port, number(PhysicalType::U16, 443));
    batch.schema = std::make_shared<const Schema>(schema);
    batch.rows = 2;
  }
  Batch batch;
};

std::string written(AnswerFormat format, const Batch& batch, bool failed = false) {
  std::string out;
  ResultWriter w(format, [&](std::string&& t) {
    out += t;
    return true;
  });
  w.begin(*batch.schema);
  w.rows(batch, batch.rows);
  query::QuerySummary summary;
  summary.range = TimeRange{0, kSecond};
  summary.warnings = {"mind \"this\""};
  summary.stats.rows_scanned = 9;
  summary.keys = {"big", "a \"key\""};
  if (failed) {
    query::QueryError e;
    e.code = ErrorCode::deadline;
    e.message = "too slow";
    w.fail(e);
  } else {
    w.finish(summary);
  }
  return out + w.buffer();
}

TEST(ResultWriter, WritesJson) {
  const std::string text = written(AnswerFormat::json, EveryType().batch);
  const json j = json::parse(text);
  EXPECT_EQ(j["columns"][0], json({{"name", "big"}, {"type", to_string(LogicalType::uint)}}));
  EXPECT_EQ(j["rows"][0].dump(),
            R"([18446744073709551615,-5,0.25,null,true,"a,\"b\"\n","10.0.0.1","00:1b:21:3c:9d:f8","1970-01-01T00:00:01.500Z",1.5,"SA","reject",["x","y\nz"],{"k":"v=1","k2":""},443])");
  for (const auto& cell : j["rows"][1]) EXPECT_TRUE(cell.is_null());
  EXPECT_EQ(j["range"]["to"], "1970-01-01T00:00:01Z");
  EXPECT_EQ(j["warnings"][0], "mind \"this\"");
  EXPECT_EQ(j["stats"]["rows_scanned"], 9);
  EXPECT_EQ(j["keys"], json::array({"big", "a \"key\""}));
}

TEST(ResultWriter, AnErrorAfterRowsIsInTheAnswer) {
  const json j = json::parse(written(AnswerFormat::json, EveryType().batch, true));
  EXPECT_EQ(j["rows"].size(), 2u);
  EXPECT_EQ(j["error"]["code"], "deadline");
  EXPECT_FALSE(j.contains("stats"));
  const std::string lines = written(AnswerFormat::ndjson, EveryType().batch, true);
  const std::string last = lines.substr(lines.rfind('\n', lines.size() - 2) + 1);
  EXPECT_EQ(json::parse(last)["error"]["message"], "too slow");
}

TEST(ResultWriter, WritesNdjsonAndCsv) {
  const std::string lines = written(AnswerFormat::ndjson, EveryType().batch);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  EXPECT_EQ(json::parse(lines.substr(0, lines.find('\n')))["ip"], "10.0.0.1");
  const std::string csv = written(AnswerFormat::csv, EveryType().batch);
  EXPECT_EQ(csv,
            "big,neg,real,nan,yes,text,ip,mac,time,span,flags,action,list,extra,port\r\n"
            "18446744073709551615,-5,0.25,,true,\"a,\"\"b\"\"\n\",10.0.0.1,00:1b:21:3c:9d:f8,1970-01-01T00:00:01.500Z,1.5,SA,reject,\"x;y\nz\","
            "\"{\"\"k\"\":\"\"v=1\"\",\"\"k2\"\":\"\"\"\"}\",443\r\n"
            ",,,,,,,,,,,,,,\r\n");
}

TEST(ResultWriter, CsvTextIsNoFormulaForSpreadsheets) {
  Schema schema(3);
  schema[0] = Field{"=name", LogicalType::string, PhysicalType::Str, nullptr, "", std::nullopt};
  schema[1] = Field{"n", LogicalType::int64, PhysicalType::I64, nullptr, "", std::nullopt};
  schema[2] = Field{"items", LogicalType::list, PhysicalType::Str, nullptr, "", std::nullopt};
  Batch batch;
  batch.schema = std::make_shared<const Schema>(schema);
  StringVector texts, lists;
  std::vector<int64_t> numbers;
  const std::pair<const char*, const char*> cases[] = {
      {"=1+1", "'=1+1"},   {"+1", "'+1"},   {"-1", "'-1"},          {"@x", "'@x"}, {"\t=1", "'\t=1"}, {"\r=1", "\"'\r=1\""}, {"\n=1", "\"'\n=1\""},
      {"=\"a\",b", "\"'=\"\"a\"\",b\""}, {"a=1", "a=1"}, {"", ""},           {"'x", "'x"}, {" =1", " =1"}};
  std::string expected = "'=name,n,items\r\n";
  for (const auto& [text, cell] : cases) {
    texts.push_back(text);
    numbers.push_back(-5);
    lists.push_back("");
    expected += std::string(cell) + ",-5,\r\n";
  }
  batch.rows = numbers.size();
  batch.columns.push_back(Column::of(std::move(texts), Bitmap()));
  batch.columns.push_back(Column::of<int64_t>(PhysicalType::I64, std::move(numbers), Bitmap()));
  batch.columns.push_back(Column::of(std::move(lists), Bitmap()));
  EXPECT_EQ(written(AnswerFormat::csv, batch), expected);
}

TEST(AnswerWriter, DocumentsAreOfFlowsAndLeaveInPieces) {
  Batch flows;
  Schema schema;
  constexpr size_t kRows = 1'000;  // several portions
  for (const ColumnId id : {ColumnId::flow_end, ColumnId::src_ip, ColumnId::dst_port}) {
    schema.push_back(Field::of(id));
    Column column(column_spec(id).physical);
    for (size_t i = 0; i < kRows; ++i) {
      if (id == ColumnId::src_ip)
        column.append(*parse_ip("10.0.0.1"));
      else
        column.append_uint(i);
    }
    flows.columns.push_back(std::move(column));
  }
  flows.schema = std::make_shared<const Schema>(schema);
  flows.rows = kRows;
  for (const AnswerFormat format : {AnswerFormat::ecs, AnswerFormat::ocsf}) {
    std::string text;
    size_t pieces = 0;
    const auto writer = make_answer_writer(format, [&](std::string&& piece) {
      text += piece;
      return ++pieces > 0;
    });
    ASSERT_TRUE(writer->begin(schema).ok());
    ASSERT_TRUE(writer->rows(flows, kRows - 1).ok());
    ASSERT_TRUE(writer->finish({}).ok());
    EXPECT_GT(pieces, 1u);
    text += writer->buffer();
    size_t port = 0;
    for (size_t at = 0; at < text.size(); ++port) {
      const size_t end = text.find('\n', at);
      const json document = json::parse(text.substr(at, end - at));
      at = end + 1;
      ASSERT_EQ(document.at(format == AnswerFormat::ecs ? "destination" : "dst_endpoint").at("port"), port);
    }
    EXPECT_EQ(port, kRows - 1);

    const auto stopped = make_answer_writer(format, [](std::string&&) { return false; });
    ASSERT_TRUE(stopped->begin(schema).ok());
    EXPECT_EQ(stopped->rows(flows, kRows).error().code, ErrorCode::cancelled);

    query::QueryError late;
    late.message = "too slow";
    const auto failed = make_answer_writer(format, [](std::string&&) { return true; });
    ASSERT_TRUE(failed->begin(schema).ok());
    ASSERT_TRUE(failed->fail(late));
    EXPECT_EQ(json::parse(failed->buffer()).at("error").at("message"), "too slow");

    Schema other = schema;
    other[1].type = LogicalType::string;  // extend src_ip = "…"
    EXPECT_EQ(make_answer_writer(format, [](std::string&&) { return true; })->begin(other).error().code, ErrorCode::invalid_argument);
    other = {schema.begin() + 1, schema.end()};
    EXPECT_EQ(make_answer_writer(format, [](std::string&&) { return true; })->begin(other).error().code, ErrorCode::invalid_argument) << "no time";
  }
}

TEST(ResultWriter, FlushesInPiecesAndStopsWhenNobodyWantsMore) {
  Schema schema(1);
  schema[0].name = "n";
  schema[0].type = LogicalType::uint;
  Batch batch;
  batch.schema = std::make_shared<const Schema>(schema);
  Column c(PhysicalType::U64);
  for (uint64_t i = 0; i < 100'000; ++i) c.append(i);
  batch.columns.push_back(std::move(c));
  batch.rows = 100'000;
  size_t pieces = 0, largest = 0;
  ResultWriter w(AnswerFormat::json, [&](std::string&& t) {
    largest = std::max(largest, t.size());
    return ++pieces < 3;
  });
  w.begin(*batch.schema);
  EXPECT_FALSE(w.rows(batch, batch.rows));
  EXPECT_EQ(pieces, 3u);
  EXPECT_LT(largest, 80u << 10);
  EXPECT_LT(w.rows_written(), 100'000u);
}

// A row can be as large as a query's memory: it leaves in pieces too.
TEST(ResultWriter, FlushesWithinRowsAndLists) {
  Schema schema(2);
  schema[0] = Field{"n", LogicalType::uint, PhysicalType::U64, nullptr, "", std::nullopt};
  schema[1] = Field{"items", LogicalType::list, PhysicalType::Str, nullptr, "", std::nullopt};
  std::string list;
  json items = json::array();
  for (int i = 0; i < 200'000; ++i) {
    items.push_back("item \"" + std::to_string(i) + "\"\n");
    append_list_item(list, items.back().get<std::string>());
  }
  Batch batch;
  batch.schema = std::make_shared<const Schema>(schema);
  batch.rows = 1;
  StringVector lists;
  lists.push_back(list);
  batch.columns.push_back(Column::of<uint64_t>(PhysicalType::U64, {7}));
  batch.columns.push_back(Column::of(std::move(lists), Bitmap()));
  for (const AnswerFormat format : {AnswerFormat::json, AnswerFormat::ndjson, AnswerFormat::csv}) {
    std::string out;
    size_t largest = 0;
    ResultWriter w(format, [&](std::string&& t) {
      largest = std::max(largest, t.size());
      out += t;
      return true;
    });
    w.begin(schema);
    ASSERT_TRUE(w.rows(batch, 1));
    EXPECT_EQ(w.rows_written(), 1u);
    w.finish({});
    out += w.buffer();
    EXPECT_LT(largest, (1u << 20) + 1'000);
    EXPECT_GT(out.size(), 200'000u * 10);
    if (format == AnswerFormat::json)
      EXPECT_EQ(json::parse(out)["rows"][0], json::array({7, items}));
    else if (format == AnswerFormat::ndjson)
      EXPECT_EQ(json::parse(out)["items"], items);
    else
      EXPECT_TRUE(out.starts_with("n,items\r\n7,\"item \"\"0\"\"\n;item \"\"1\"\"\n;item \"\"2\"\"\n;i")) << out.substr(0, 80);
    // Who stops within a row leaves no answer that can be ended well.
    ResultWriter stopped(format, [](std::string&&) { return false; });
    stopped.begin(schema);
    EXPECT_FALSE(stopped.rows(batch, 1));
    EXPECT_EQ(stopped.rows_written(), 0u);
    EXPECT_FALSE(stopped.fail(query::QueryError{}));
  }
}

}  // namespace
}  // namespace sluice::api
