#include "server/api/answer_writer.h"

#include <algorithm>
#include <numeric>

#include "server/api/result_writer.h"
#include "server/columnar/columnar_writer.h"
#include "server/columnar/limits.h"
#include "server/delivery/flow_shape.h"
#include "server/limits.h"

namespace sluice::api {
namespace {

constexpr size_t kAnswerFlushBytes = 64u << 10;

Error nobody() { return Error{ErrorCode::cancelled, "the client is gone"}; }

class TextAnswer final : public AnswerWriter {
 public:
  TextAnswer(AnswerFormat format, Flush flush) : writer_(format, std::move(flush)) {}
  Status begin(const Schema& schema) override {
    writer_.begin(schema);
    return {};
  }
  Status rows(const Batch& batch, size_t rows) override {
    if (!writer_.rows(batch, rows)) return nobody();
    return {};
  }
  Status finish(const query::QuerySummary& summary) override {
    writer_.finish(summary);
    return {};
  }
  bool fail(const query::QueryError& error) override { return writer_.fail(error); }
  std::string& buffer() override { return writer_.buffer(); }

 private:
  ResultWriter writer_;
};

class ColumnarAnswer final : public AnswerWriter {
 public:
  ColumnarAnswer(columnar::Format format, Flush flush) : format_(format), flush_(std::move(flush)) {}
  Status begin(const Schema& schema) override {
    SLUICE_ASSIGN(writer_, columnar::open_writer(format_, schema, [this](std::string&& bytes) {
      // Only the last piece is smaller; it leaves as every answer's last bytes do.
      if (bytes.size() >= limits::kColumnarPieceBytes) return flush_(std::move(bytes));
      buffer_ = std::move(bytes);
      return true;
    }));
    return {};
  }
  Status rows(const Batch& batch, size_t rows) override { return writer_->rows(batch, rows); }
  Status finish(const query::QuerySummary& summary) override { return writer_->finish("{" + summary_members(summary) + "}"); }
  bool fail(const query::QueryError&) override { return false; }
  std::string& buffer() override { return buffer_; }

 private:
  const columnar::Format format_;
  const Flush flush_;
  std::string buffer_;
  std::unique_ptr<columnar::Writer> writer_;  // gives to what is above
};

// Flows in the words of ECS or OCSF, an object a line: what forwards send (server/delivery), for who fetches it instead.
class DocumentAnswer final : public AnswerWriter {
 public:
  DocumentAnswer(AnswerFormat format, Flush flush) : format_(format), flush_(std::move(flush)) {}
  Status begin(const Schema& schema) override {
    const std::string name(name_of(format_));
    bool has_time = false;
    for (const Field& field : schema) {
      // Names stand for what a flow's columns are; a column that was computed under such a name is something else.
      const auto known = find_column(field.name);
      if (!known || known->kind == ColumnName::Kind::either) continue;
      const bool is_stored = known->kind == ColumnName::Kind::stored;
      const auto derived = std::find_if(derived_columns().begin(), derived_columns().end(), [&](const DerivedSpec& d) { return d.id == known->derived; });
      const std::string_view canonical = is_stored ? column_spec(known->stored).name : derived->name;
      if (field.name != canonical) continue;  // another name for it is not looked for either
      const LogicalType type = is_stored ? column_spec(known->stored).type : derived->type;
      if (field.type != type) return Error{ErrorCode::invalid_argument, "the format " + name + " takes flows: the answer's column '" + field.name + "' is no column of flows, though it is called so"};
      has_time = has_time || (is_stored && known->stored == ColumnId::flow_end);
    }
    if (!has_time) return Error{ErrorCode::invalid_argument, "the format " + name + " takes flows: the answer has no column flow_end, as that of `from flows | where …` has"};
    return {};
  }
  Status rows(const Batch& batch, size_t rows) override {
    // In parts: a document is some twenty times as large as its row.
    std::vector<uint32_t> places;
    std::vector<delivery::FlowDocument> documents;
    for (size_t from = 0; from < rows; from += limits::kDocumentsAtOnce) {
      places.resize(std::min(limits::kDocumentsAtOnce, rows - from));
      std::iota(places.begin(), places.end(), static_cast<uint32_t>(from));
      Batch part;
      part.schema = batch.schema;
      part.rows = places.size();
      for (const Column& column : batch.columns) part.columns.push_back(column.gather(places));
      documents.clear();
      delivery::append_documents(part, format_ == AnswerFormat::ecs ? delivery::FlowShape::ecs : delivery::FlowShape::ocsf, documents);
      for (const delivery::FlowDocument& document : documents) buffer_.append(document.body).push_back('\n');
      if (buffer_.size() < kAnswerFlushBytes) continue;
      std::string full = std::move(buffer_);
      buffer_.clear();
      if (!flush_(std::move(full))) return nobody();
    }
    return {};
  }
  Status finish(const query::QuerySummary&) override { return {}; }
  bool fail(const query::QueryError& error) override {
    buffer_ += "{\"error\":" + error_json(error) + "}\n";
    return true;
  }
  std::string& buffer() override { return buffer_; }

 private:
  const AnswerFormat format_;
  const Flush flush_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_answer_writer(AnswerFormat format, AnswerWriter::Flush flush) {
  switch (format) {
    case AnswerFormat::json:
    case AnswerFormat::ndjson:
    case AnswerFormat::csv: break;
    case AnswerFormat::arrow: return std::make_unique<ColumnarAnswer>(columnar::Format::arrow_stream, std::move(flush));
    case AnswerFormat::parquet: return std::make_unique<ColumnarAnswer>(columnar::Format::parquet, std::move(flush));
    case AnswerFormat::ecs:
    case AnswerFormat::ocsf: return std::make_unique<DocumentAnswer>(format, std::move(flush));
  }
  return std::make_unique<TextAnswer>(format, std::move(flush));
}

}  // namespace sluice::api
