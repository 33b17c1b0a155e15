// The writers of the Arrow module. See columnar_writer.h.
#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <arrow/ipc/writer.h>
#include <arrow/util/key_value_metadata.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>
#include <parquet/properties.h>

#include <algorithm>

#include "server/columnar/arrow_rows.h"
#include "server/columnar/columnar_writer.h"
#include "server/columnar/limits.h"

namespace sluice::columnar {
namespace {

Error error_of(const arrow::Status& status) {
  if (status.IsCancelled()) return Error{ErrorCode::cancelled, "nobody takes the answer"};
  if (status.IsOutOfMemory() || status.IsCapacityError())
    return Error{ErrorCode::too_large, "the answer has values too large for its format: at most " + std::to_string(limits::kColumnarMemoryBytesMax >> 20) + " MiB wait to be written"};
  return Error{ErrorCode::io, "the answer cannot be written: " + status.message()};
}

// Where the libraries write to. Once nobody wants more, it takes nothing more: Parquet's writer wants to end its file when it is dropped.
class TakenStream final : public arrow::io::OutputStream {
 public:
  explicit TakenStream(Take take) : take_(std::move(take)) {}

  arrow::Status Write(const void* data, int64_t count) override {
    std::string_view bytes(static_cast<const char*>(data), static_cast<size_t>(count));
    position_ += count;
    while (!bytes.empty()) {
      const size_t part = std::min(bytes.size(), limits::kColumnarPieceBytes - waiting_.size());
      waiting_.append(bytes.substr(0, part));
      bytes.remove_prefix(part);
      if (waiting_.size() == limits::kColumnarPieceBytes) ARROW_RETURN_NOT_OK(give());
    }
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;
  arrow::Status give() {
    if (is_over_) return arrow::Status::Cancelled("nobody wants more");
    std::string bytes = std::move(waiting_);
    waiting_.clear();
    if (!bytes.empty() && !take_(std::move(bytes))) is_over_ = true;
    return is_over_ ? arrow::Status::Cancelled("nobody wants more") : arrow::Status::OK();
  }
  void end() { is_over_ = true; }
  arrow::Status Close() override {
    is_over_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return is_over_; }
  arrow::Result<int64_t> Tell() const override { return position_; }

 private:
  const Take take_;
  std::string waiting_;
  int64_t position_ = 0;
  bool is_over_ = false;
};

std::shared_ptr<const arrow::KeyValueMetadata> summary_metadata(std::string_view summary) {
  return arrow::key_value_metadata({"sluice.summary"}, {std::string(summary)});
}

// What both formats do alike: rows wait until they are some, and exceptions stop here.
class ArrowWriter : public Writer {
 public:
  Status rows(const Batch& batch, size_t rows) override {
    const size_t row_bytes = batch.rows ? batch.byte_size() / batch.rows + 1 : 1;
    const size_t slice = std::clamp<size_t>(limits::kColumnarSliceBytes / row_bytes, 1, limits::kColumnarSliceRows);
    return guarded([&]() -> arrow::Status {
      for (size_t from = 0; from < rows; from += slice) {
        ARROW_RETURN_NOT_OK(waiting_.append(batch, from, std::min(rows, from + slice)));
        if (waiting_.byte_count() >= limits::kColumnarBatchBytes || waiting_.row_count() >= limits::kColumnarBatchRows) ARROW_RETURN_NOT_OK(pass_on());
      }
      return arrow::Status::OK();
    });
  }
  Status finish(std::string_view summary) override {
    return guarded([&]() -> arrow::Status {
      if (waiting_.row_count() > 0) ARROW_RETURN_NOT_OK(pass_on());
      ARROW_RETURN_NOT_OK(end(summary));
      return stream_->give();
    });
  }

 protected:
  ArrowWriter(const Schema& schema, Take take)
      : counting_(arrow::default_memory_pool()),
        pool_(&counting_, static_cast<int64_t>(limits::kColumnarMemoryBytesMax)),
        stream_(std::make_shared<TakenStream>(std::move(take))),
        waiting_(schema, &pool_) {}

  virtual arrow::Status write(const arrow::RecordBatch& rows, size_t bytes) = 0;
  virtual arrow::Status end(std::string_view summary) = 0;

  arrow::ProxyMemoryPool counting_;
  arrow::CappedMemoryPool pool_;
  const std::shared_ptr<TakenStream> stream_;
  ArrowRows waiting_;

 private:
  arrow::Status pass_on() {
    const size_t bytes = waiting_.byte_count();
    ARROW_ASSIGN_OR_RAISE(const auto batch, waiting_.take());
    return write(*batch, bytes);
  }
  template <typename Step>
  static Status guarded(const Step& step) {
    try {
      if (const arrow::Status status = step(); !status.ok()) return error_of(status);
      return {};
    } catch (const parquet::ParquetStatusException& error) {
      return error_of(error.status());
    } catch (const std::exception& error) {
      return Error{ErrorCode::io, std::string("the answer cannot be written: ") + error.what()};
    }
  }
};

class StreamWriter final : public ArrowWriter {
 public:
  StreamWriter(const Schema& schema, Take take) : ArrowWriter(schema, std::move(take)) {}
  arrow::Status open() {
    auto options = arrow::ipc::IpcWriteOptions::Defaults();
    options.memory_pool = &pool_;
    options.use_threads = false;
    ARROW_ASSIGN_OR_RAISE(writer_, arrow::ipc::MakeStreamWriter(stream_, waiting_.schema(), options));
    return arrow::Status::OK();
  }

 private:
  arrow::Status write(const arrow::RecordBatch& rows, size_t) override { return writer_->WriteRecordBatch(rows); }
  arrow::Status end(std::string_view summary) override {
    ARROW_ASSIGN_OR_RAISE(const auto none, waiting_.take());
    ARROW_RETURN_NOT_OK(writer_->WriteRecordBatch(*none, summary_metadata(summary)));
    return writer_->Close();  // the mark of the end
  }

  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
};

class ParquetWriter final : public ArrowWriter {
 public:
  ParquetWriter(const Schema& schema, Take take) : ArrowWriter(schema, std::move(take)) {}
  ~ParquetWriter() override { stream_->end(); }
  arrow::Status open() {
    auto properties = parquet::WriterProperties::Builder()
                          .memory_pool(&pool_)
                          ->compression(parquet::Compression::ZSTD)
                          ->max_row_group_length(static_cast<int64_t>(limits::kParquetRowGroupRows))
                          ->build();
    auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->set_use_threads(false)->build();
    ARROW_ASSIGN_OR_RAISE(writer_, parquet::arrow::FileWriter::Open(*waiting_.schema(), &pool_, stream_, std::move(properties), std::move(arrow_properties)));
    return arrow::Status::OK();
  }

 private:
  arrow::Status write(const arrow::RecordBatch& rows, size_t bytes) override {
    const auto count = static_cast<size_t>(rows.num_rows());
    if (group_rows_ > 0 && (group_bytes_ + bytes > limits::kParquetRowGroupBytes || group_rows_ + count > limits::kParquetRowGroupRows)) {
      ARROW_RETURN_NOT_OK(writer_->NewBufferedRowGroup());
      group_bytes_ = group_rows_ = 0;
    }
    group_bytes_ += bytes;
    group_rows_ += count;
    return writer_->WriteRecordBatch(rows);
  }
  arrow::Status end(std::string_view summary) override {
    ARROW_RETURN_NOT_OK(writer_->AddKeyValueMetadata(summary_metadata(summary)));
    return writer_->Close();
  }

  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  size_t group_bytes_ = 0, group_rows_ = 0;  // of the row group at hand
};

template <typename Kind>
Result<std::unique_ptr<Writer>> opened(const Schema& schema, Take take) {
  try {
    auto writer = std::make_unique<Kind>(schema, std::move(take));
    if (const arrow::Status status = writer->open(); !status.ok()) return error_of(status);
    return std::unique_ptr<Writer>(std::move(writer));
  } catch (const std::exception& error) {
    return Error{ErrorCode::io, std::string("the answer cannot be written: ") + error.what()};
  }
}

}  // namespace
}  // namespace sluice::columnar

extern "C" __attribute__((visibility("default"))) void sluice_open_columnar_writer(sluice::columnar::Format format, const sluice::Schema& schema, sluice::columnar::Take take,
                                                                                  std::optional<sluice::Result<std::unique_ptr<sluice::columnar::Writer>>>& result) {
  using namespace sluice::columnar;
  if (format == Format::arrow_stream)
    result.emplace(opened<StreamWriter>(schema, std::move(take)));
  else
    result.emplace(opened<ParquetWriter>(schema, std::move(take)));
}
