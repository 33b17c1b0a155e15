// In the Arrow module, a shared object of its own: Arrow's C++ readers turn an object's rows into lines of text. See ingest/source/parquet.h.
#include "ingest/source/limits.h"
#include "ingest/source/parquet_module.h"
#include "storage/model/limits.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/properties.h>

#include <algorithm>
#include <charconv>
#include <functional>

namespace sluice::ingest {
namespace {

// A column of values, perhaps inside others, by its path.
struct Leaf {
  std::string path;  // "src_endpoint.ip"
  bool is_map = false;
};

// How a value is written.
enum class As : uint8_t {
  value,
  direction,  // OCSF direction_id: 1 inbound, 2 outbound
  boundary,   // OCSF boundary_id: traffic-path + 3
  action,     // OCSF disposition_id and action_id: 1 allowed, 2 blocked or denied
  pairs,      // a map of texts: "key=value,key=value"
};

// One field of the text, from the first of its columns that says something.
struct Out {
  std::string field;
  std::vector<std::pair<size_t, As>> from;  // place among the leaves
};

struct OcsfName {
  std::string_view path, field;
  As as = As::value;
};
// Paths of OCSF Network Activity and the field of AWS that Security Lake made them of. Release candidates and 1.1 differ in names.
constexpr OcsfName kOcsfNames[] = {
    {"cloud.account_uid", "account-id"},
    {"cloud.account.uid", "account-id"},
    {"cloud.region", "region"},
    {"cloud.zone", "az-id"},
    {"src_endpoint.ip", "srcaddr"},
    {"dst_endpoint.ip", "dstaddr"},
    {"src_endpoint.port", "srcport"},
    {"dst_endpoint.port", "dstport"},
    {"src_endpoint.svc_name", "pkt-src-aws-service"},
    {"dst_endpoint.svc_name", "pkt-dst-aws-service"},
    // Of the interface that reports: the event has them on its side, which flow-direction says again.
    {"src_endpoint.interface_uid", "interface-id"},
    {"dst_endpoint.interface_uid", "interface-id"},
    {"src_endpoint.instance_uid", "instance-id"},
    {"dst_endpoint.instance_uid", "instance-id"},
    {"src_endpoint.vpc_uid", "vpc-id"},
    {"dst_endpoint.vpc_uid", "vpc-id"},
    {"src_endpoint.subnet_uid", "subnet-id"},
    {"dst_endpoint.subnet_uid", "subnet-id"},
    {"connection_info.protocol_num", "protocol"},
    {"connection_info.tcp_flags", "tcp-flags"},
    {"connection_info.protocol_ver", "type"},
    {"connection_info.protocol_ver_name", "type"},
    {"connection_info.direction_id", "flow-direction", As::direction},
    {"connection_info.boundary_id", "traffic-path", As::boundary},
    {"traffic.packets", "packets"},
    {"traffic.bytes", "bytes"},
    {"start_time", "start"},
    {"start_time_dt", "start"},
    {"end_time", "end"},
    {"end_time_dt", "end"},
    {"status_code", "log-status"},
    {"disposition_id", "action", As::action},
    {"action_id", "action", As::action},
    {"unmapped.sublocation_id", "sublocation-id"},
    {"unmapped.sublocation_type", "sublocation-type"},
};

Error bad(std::string_view what, std::string_view why) {
  std::string text(what);
  text += ": ";
  // A library's message may carry bytes of the file, and lines.
  for (const char c : why.substr(0, 300)) text += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f ? '?' : c;
  return Error{ErrorCode::corrupt, std::move(text)};
}

Error error_of(const arrow::Status& status) {
  if (status.IsNotImplemented()) {
    Error error = bad("the Parquet object is of a kind that is not read", status.message());
    error.code = ErrorCode::unsupported;
    return error;
  }
  return bad(status.IsOutOfMemory() ? "the Parquet object wants more memory than one may have" : "the Parquet object is damaged", status.message());
}

// Leaves of a schema in order of their columns.
void find_leaves(const arrow::Field& field, const std::string& prefix, std::vector<Leaf>& leaves) {
  const std::string path = prefix.empty() ? field.name() : prefix + "." + field.name();
  if (field.type()->id() == arrow::Type::STRUCT) {
    for (const auto& child : field.type()->fields()) find_leaves(*child, path, leaves);
    return;
  }
  leaves.push_back({path, field.type()->id() == arrow::Type::MAP});
}

// The same leaves' values in a batch.
arrow::Status find_values(const std::shared_ptr<arrow::Array>& array, arrow::MemoryPool* pool, std::vector<std::shared_ptr<arrow::Array>>& out) {
  if (array->type_id() != arrow::Type::STRUCT) {
    out.push_back(array);
    return arrow::Status::OK();
  }
  ARROW_ASSIGN_OR_RAISE(const auto children, static_cast<const arrow::StructArray&>(*array).Flatten(pool));
  for (const auto& child : children) ARROW_RETURN_NOT_OK(find_values(child, pool, out));
  return arrow::Status::OK();
}

template <typename T>
void append_number(std::string& out, T value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

// A word of the line: what would end it is percent-encoded, as AWS does in tags.
void append_word(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text.substr(0, limits::kStringBytesMax + 1)) {  // one more: the line decoder cuts and counts
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f) {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
}

std::optional<int64_t> integer_at(const arrow::Array& a, int64_t row) {
  switch (a.type_id()) {
    case arrow::Type::INT8: return static_cast<const arrow::Int8Array&>(a).Value(row);
    case arrow::Type::INT16: return static_cast<const arrow::Int16Array&>(a).Value(row);
    case arrow::Type::INT32: return static_cast<const arrow::Int32Array&>(a).Value(row);
    case arrow::Type::INT64: return static_cast<const arrow::Int64Array&>(a).Value(row);
    case arrow::Type::UINT8: return static_cast<const arrow::UInt8Array&>(a).Value(row);
    case arrow::Type::UINT16: return static_cast<const arrow::UInt16Array&>(a).Value(row);
    case arrow::Type::UINT32: return static_cast<const arrow::UInt32Array&>(a).Value(row);
    default: return std::nullopt;
  }
}

// Appends the value; nothing for null and for what has no text here.
void append_value(std::string& out, const arrow::Array& a, int64_t row) {
  if (a.IsNull(row)) return;
  if (const auto number = integer_at(a, row)) return append_number(out, *number);
  switch (a.type_id()) {
    case arrow::Type::UINT64: return append_number(out, static_cast<const arrow::UInt64Array&>(a).Value(row));
    case arrow::Type::BOOL: out += static_cast<const arrow::BooleanArray&>(a).Value(row) ? "true" : "false"; return;
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE: {
      const double value = a.type_id() == arrow::Type::FLOAT ? static_cast<const arrow::FloatArray&>(a).Value(row) : static_cast<const arrow::DoubleArray&>(a).Value(row);
      // Writers that know no 64-bit integers: whole numbers up to where a double has gaps.
      if (value >= -9e15 && value <= 9e15 && value == static_cast<double>(static_cast<int64_t>(value))) return append_number(out, static_cast<int64_t>(value));
      return append_number(out, value);
    }
    case arrow::Type::STRING:
    case arrow::Type::BINARY: {
      const auto text = static_cast<const arrow::BinaryArray&>(a).GetView(row);
      return append_word(out, {text.data(), text.size()});
    }
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: {
      const auto text = static_cast<const arrow::LargeBinaryArray&>(a).GetView(row);
      return append_word(out, {text.data(), text.size()});
    }
    case arrow::Type::TIMESTAMP: {
      // Milliseconds: lines have no finer time.
      const int64_t value = static_cast<const arrow::TimestampArray&>(a).Value(row);
      switch (static_cast<const arrow::TimestampType&>(*a.type()).unit()) {
        case arrow::TimeUnit::SECOND: return append_number(out, value);
        case arrow::TimeUnit::MILLI: return append_number(out, value);
        case arrow::TimeUnit::MICRO: return append_number(out, value / 1'000);
        case arrow::TimeUnit::NANO: return append_number(out, value / 1'000'000);
      }
      return;
    }
    case arrow::Type::LIST:
    case arrow::Type::LARGE_LIST: {
      const auto part = a.type_id() == arrow::Type::LIST ? static_cast<const arrow::ListArray&>(a).value_slice(row) : static_cast<const arrow::LargeListArray&>(a).value_slice(row);
      const size_t begin = out.size();
      for (int64_t i = 0; i < part->length() && out.size() - begin < limits::kStringBytesMax; ++i) {
        if (out.size() > begin) out += ',';
        append_value(out, *part, i);
      }
      return;
    }
    case arrow::Type::DECIMAL128: return append_word(out, static_cast<const arrow::Decimal128Array&>(a).FormatValue(row));
    case arrow::Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(a);
      return append_value(out, *coded.dictionary(), coded.GetValueIndex(row));
    }
    default: return;
  }
}

void append_as(std::string& out, const arrow::Array& a, int64_t row, As as) {
  if (a.IsNull(row)) return;
  if (as == As::value) return append_value(out, a, row);
  if (as == As::pairs) {
    if (a.type_id() != arrow::Type::MAP) return;
    const auto& map = static_cast<const arrow::MapArray&>(a);
    const size_t begin = out.size();
    std::string item;
    for (int64_t i = map.value_offset(row); i < map.value_offset(row + 1) && out.size() - begin < limits::kStringBytesMax; ++i) {
      item.clear();
      append_value(item, *map.items(), i);
      if (item.empty() || item == "-") continue;  // nothing said
      if (out.size() > begin) out += ',';
      append_value(out, *map.keys(), i);
      out.append("=").append(item);
    }
    return;
  }
  const auto id = integer_at(a, row);
  if (!id) return;
  switch (as) {
    case As::direction:
      if (*id == 1 || *id == 2) out += *id == 1 ? "ingress" : "egress";
      return;
    case As::boundary:
      if (*id >= 4 && *id <= 11) append_number(out, *id - 3);
      return;
    case As::action:
      if (*id == 1 || *id == 2) out += *id == 1 ? "ACCEPT" : "REJECT";
      return;
    default: return;
  }
}

class Reader {
 public:
  Reader(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines)
      : body_(body), context_(context), sink_(sink), lines_(lines), counting_(arrow::default_memory_pool()),
        pool_(&counting_, static_cast<int64_t>(limits::kParquetMemoryBytesMax)) {
    context_.format.clear();  // the object says itself what its columns are
  }

  Result<DecodeReport> run() {
    parquet::ReaderProperties properties(&pool_);
    properties.set_thrift_string_size_limit(limits::kParquetThriftStringMax);
    properties.set_thrift_container_size_limit(limits::kParquetThriftItemsMax);
    auto file = parquet::ParquetFileReader::Open(
        std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(reinterpret_cast<const uint8_t*>(body_.data()), static_cast<int64_t>(body_.size()))),
        properties);
    if (file->metadata()->num_columns() > static_cast<int>(limits::kParquetColumnsMax))
      return Error{ErrorCode::too_large, "the Parquet object has more than " + std::to_string(limits::kParquetColumnsMax) + " columns"};
    const int groups = file->metadata()->num_row_groups();
    parquet::ArrowReaderProperties to_arrow(/*use_threads=*/false);
    to_arrow.set_batch_size(static_cast<int64_t>(limits::kParquetRowsAtOnce));
    to_arrow.set_pre_buffer(false);
    auto made = parquet::arrow::FileReader::Make(&pool_, std::move(file), to_arrow);
    if (!made.ok()) return error_of(made.status());
    const std::unique_ptr<parquet::arrow::FileReader> reader = std::move(made).ValueUnsafe();
    std::shared_ptr<arrow::Schema> schema;
    if (const auto status = reader->GetSchema(&schema); !status.ok()) return error_of(status);
    plan(*schema);

    for (int group = 0; group < groups; ++group) {
      auto batches = reader->GetRecordBatchReader({group});
      if (!batches.ok()) return error_of(batches.status());
      while (true) {
        std::shared_ptr<arrow::RecordBatch> batch;
        if (const auto status = (*batches)->ReadNext(&batch); !status.ok()) {
          SLUICE_TRY(flush());
          return error_of(status);
        }
        if (!batch) break;
        SLUICE_TRY(take(*batch));
      }
    }
    SLUICE_TRY(flush());
    return std::move(report_);
  }

 private:
  // Which columns make which fields, and the header line.
  void plan(const arrow::Schema& schema) {
    std::vector<Leaf> leaves;
    for (const auto& field : schema.fields()) find_leaves(*field, {}, leaves);
    const auto at = [&](std::string_view path) { return static_cast<size_t>(std::find_if(leaves.begin(), leaves.end(), [&](const Leaf& l) { return l.path == path; }) - leaves.begin()); };
    const bool is_ocsf = at("class_uid") < leaves.size() && at("src_endpoint.ip") < leaves.size();
    if (is_ocsf) {
      class_uid_ = at("class_uid");
      for (const OcsfName& name : kOcsfNames) {
        const size_t leaf = at(name.path);
        if (leaf == leaves.size()) continue;
        const auto known = std::find_if(out_.begin(), out_.end(), [&](const Out& o) { return o.field == name.field; });
        Out& out = known != out_.end() ? *known : out_.emplace_back(Out{std::string(name.field), {}});
        out.from.emplace_back(leaf, name.as);
      }
      if (const size_t leaf = at("unmapped"); leaf < leaves.size()) out_.push_back({"unmapped", {{leaf, As::pairs}}});
    } else {
      for (size_t i = 0; i < leaves.size(); ++i) {
        std::string field;
        for (const char c : leaves[i].path) field += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ? c : '_';
        // The line decoder knows headers by the shape of names.
        if (field.empty() || !((field[0] >= 'a' && field[0] <= 'z') || (field[0] >= 'A' && field[0] <= 'Z'))) field.insert(0, "column_");
        out_.push_back({std::move(field), {{i, leaves[i].is_map ? As::pairs : As::value}}});
      }
    }
    for (const Out& out : out_) header_ += (header_.empty() ? "" : " ") + out.field;
    header_ += '\n';
    text_ = header_;
  }

  Status take(const arrow::RecordBatch& batch) {
    std::vector<std::shared_ptr<arrow::Array>> values;
    for (const auto& column : batch.columns())
      if (const auto status = find_values(column, &pool_, values); !status.ok()) return error_of(status);
    for (int64_t row = 0; row < batch.num_rows(); ++row) {
      ++rows_;
      if (class_uid_) {
        const auto& of = *values[*class_uid_];
        if (of.IsNull(row) || integer_at(of, row) != 4001) {
          ++report_.ignored;  // an event of another class
          // Its number is taken all the same: a line that is passed by.
          continue;
        }
      }
      for (const Out& out : out_) {
        const size_t begin = text_.size();
        for (const auto& [leaf, as] : out.from) {
          append_as(text_, *values[leaf], row, as);
          if (text_.size() == begin + 1 && text_.back() == '-') text_.pop_back();
          if (text_.size() > begin) break;
        }
        if (text_.size() == begin) text_ += '-';
        text_ += ' ';
      }
      text_.back() = '\n';
      numbers_.push_back(rows_);
      if (text_.size() >= limits::kParquetTextBytes) SLUICE_TRY(flush());
    }
    return {};
  }

  Status flush() {
    if (numbers_.empty() && has_flushed_) return {};
    has_flushed_ = true;
    SLUICE_ASSIGN(const DecodeReport part, lines_(text_, context_, sink_));
    // Line 1 is the header.
    report_.merge(part, [&](uint64_t record) {
      const size_t line = record < 2 ? 0 : static_cast<size_t>(record - 2);
      return line < numbers_.size() ? numbers_[line] : record;
    });
    text_ = header_;
    numbers_.clear();
    return {};
  }

  const std::string_view body_;
  DecodeContext context_;
  const FlowSink& sink_;
  const BodyDecoder lines_;
  arrow::ProxyMemoryPool counting_;
  arrow::CappedMemoryPool pool_;
  std::vector<Out> out_;
  std::optional<size_t> class_uid_;  // its leaf, of OCSF
  std::string header_, text_;
  uint64_t rows_ = 0;
  std::vector<uint64_t> numbers_;  // of the rows in text_
  bool has_flushed_ = false;
  DecodeReport report_;
};

Result<DecodeReport> decode(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines) {
  if (body.starts_with("PARE")) return Error{ErrorCode::unsupported, "a Parquet object whose footer is encrypted"};
  try {
    return Reader(body, context, sink, lines).run();
  } catch (const parquet::ParquetStatusException& error) {
    return error_of(error.status());
  } catch (const std::exception& error) {
    return bad("the Parquet object is damaged", error.what());
  }
}

}  // namespace
}  // namespace sluice::ingest

extern "C" __attribute__((visibility("default"))) void sluice_decode_parquet(std::string_view body, const sluice::ingest::DecodeContext& context, const sluice::ingest::FlowSink& sink,
                                                                            sluice::ingest::BodyDecoder lines, std::optional<sluice::Result<sluice::ingest::DecodeReport>>& result) {
  result.emplace(sluice::ingest::decode(body, context, sink, lines));
}
