// Rows to text: JSON, NDJSON and CSV, streamed as the query yields them. The other formats: answer_writer.h.
//
//   begin rows* (finish | fail)
//
// Text gathers in buffer(); whenever it has grown beyond a flush size, `flush` takes it, within rows and lists too. So memory
// stays bounded whatever the size of the answer or of a row.
//
// Values: addresses as strings, timestamps RFC 3339, durations milliseconds, enumerations their names, TCP flags letters
// ("SA", in the order F S R P A U E C N), lists arrays, `extra` an object, NaN and infinities null.
// NDJSON: one object per row. An error after rows have begun is the last line {"error":{…}}.
// JSON: an error after rows have begun closes `rows` and stands as member "error" in place of range, warnings and stats.
// CSV (RFC 4180): null is an empty field, lists are joined by ';', text that a spreadsheet would run as a formula (it begins with
// = + - @, a tab or a line end) gets an apostrophe in front; there is no place for an error, so the connection is cut.
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "query/engine.h"
#include "server/api/query_body.h"
#include "storage/model/batch.h"

namespace sluice::api {

class ResultWriter {
 public:
  // False: nobody wants more.
  using Flush = std::function<bool(std::string&& text)>;
  // REQUIRES: format is one of the three
  ResultWriter(AnswerFormat format, Flush flush) : format_(format), flush_(std::move(flush)) {}

  void begin(const Schema& schema);
  // The first `rows` rows of the batch. False: nobody wants more.
  bool rows(const Batch& batch, size_t rows);
  void finish(const query::QuerySummary& summary);
  // False: this format can't say it, or the answer ends within a row: the connection must be cut.
  bool fail(const query::QueryError& error);

  bool begun() const { return begun_; }
  uint64_t rows_written() const { return rows_written_; }
  std::string& buffer() { return buffer_; }

 private:
  bool flush_if_large(size_t bytes);

  AnswerFormat format_;
  Flush flush_;
  Schema schema_;
  std::vector<std::string> keys_;  // NDJSON: `"name":` of each column
  std::string buffer_;
  bool begun_ = false;
  bool in_row_ = false;
  uint64_t rows_written_ = 0;
};

// {"from","to"}, as in the answer; "null" without a range.
std::string range_json(const std::optional<TimeRange>& range);
std::string stats_json(const query::QuerySummary& summary);
// Members of an answer beside its rows: "range":…,"warnings":…,"stats":…, and "render" and "keys" where there are such.
std::string summary_members(const query::QuerySummary& summary);
std::string warnings_json(const std::vector<std::string>& warnings);
std::string error_json(const query::QueryError& error);  // the object, without "error":
int status_of(const query::QueryError& error);

}  // namespace sluice::api
