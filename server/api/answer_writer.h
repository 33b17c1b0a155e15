// An answer's rows in the format that was asked for, whichever it is.
//
//   begin rows* (finish | fail)
//
// Bytes gather in buffer(), and leave by `flush` when they are some: see result_writer.h for text and server/columnar for columns.
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "query/engine.h"
#include "server/api/query_body.h"
#include "storage/model/batch.h"
#include "storage/model/result.h"

namespace sluice::api {

class AnswerWriter {
 public:
  // False: nobody wants more.
  using Flush = std::function<bool(std::string&& bytes)>;
  virtual ~AnswerWriter() = default;

  // Error: invalid_argument, rows of these columns have no such form; not_built.
  virtual Status begin(const Schema& schema) = 0;
  // The first `rows` rows of the batch. Errors: cancelled, nobody wants more; what keeps them from being written.
  virtual Status rows(const Batch& batch, size_t rows) = 0;
  // The same errors.
  virtual Status finish(const query::QuerySummary& summary) = 0;
  // False: this format can't say it, or the answer ends within a row: the connection must be cut.
  virtual bool fail(const query::QueryError& error) = 0;
  virtual std::string& buffer() = 0;
};

std::unique_ptr<AnswerWriter> make_answer_writer(AnswerFormat format, AnswerWriter::Flush flush);

}  // namespace sluice::api
