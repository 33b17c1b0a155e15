#include "query/show.h"

#include <algorithm>
#include <array>

#include "query/aggregate.h"
#include "query/context_table.h"
#include "query/function.h"
#include "query/stage.h"
#include "query/value.h"
#include "query/watch_list.h"
#include "query/zones.h"

namespace sluice::query {
namespace {

// Builds a small table column by column.
class TableBuilder {
 public:
  void add(std::string name, LogicalType type, Column column, std::string unit = {}) {
    schema_->push_back(Field{std::move(name), type, column.type(), nullptr, std::move(unit), std::nullopt});
    batch_.rows = column.size();
    batch_.columns.push_back(std::move(column));
  }
  Batch take() {
    batch_.schema = schema_;
    return std::move(batch_);
  }

 private:
  std::shared_ptr<Schema> schema_ = std::make_shared<Schema>();
  Batch batch_;
};

std::string joined(std::initializer_list<std::string_view> words) {
  std::string out;
  for (auto w : words) {
    if (w.empty()) continue;
    if (!out.empty()) out += ' ';
    out += w;
  }
  return out;
}

}  // namespace

Batch columns_table() {
  Column name(PhysicalType::Str), kind(PhysicalType::Str), type(PhysicalType::Str), unit(PhysicalType::Str), doc(PhysicalType::Str),
      aliases(PhysicalType::Str), values(PhysicalType::Str);
  auto row = [&](std::string_view n, std::string_view k, std::string_view t, std::string_view u, std::string_view d, const std::string& a,
                 const std::string& v) {
    name.append_string(n);
    kind.append_string(k);
    type.append_string(t);
    unit.append_string(u);
    doc.append_string(d);
    aliases.append_string(a);
    values.append_string(v);
  };
  for (const ColumnSpec& c : flow_columns()) {
    std::string names;
    if (c.enumeration)
      for (auto n : c.enumeration->names) names += (names.empty() ? "" : " ") + std::string(n);
    row(c.name, "stored", to_string(c.type), c.unit, c.doc, joined({c.aliases, c.ipfix, c.ecs, c.ocsf}), names);
  }
  for (const DerivedSpec& d : derived_columns())
    row(d.name, "derived", to_string(d.type), d.unit, d.doc, joined({d.aliases, d.ipfix, d.ecs, d.ocsf}), "");
  for (const EitherSpec& e : either_columns()) {
    const ColumnSpec& src = column_spec(e.src);
    row(e.name, "either side", to_string(src.type), src.unit, std::string(src.name) + " or " + std::string(column_spec(e.dst).name),
        std::string(e.aliases), "");
  }
  TableBuilder table;
  table.add("name", LogicalType::string, std::move(name));
  table.add("kind", LogicalType::string, std::move(kind));
  table.add("type", LogicalType::string, std::move(type));
  table.add("unit", LogicalType::string, std::move(unit));
  table.add("doc", LogicalType::string, std::move(doc));
  table.add("aliases", LogicalType::string, std::move(aliases));
  table.add("values", LogicalType::string, std::move(values));
  return table.take();
}

Batch segments_table(const store::Snapshot& snapshot) {
  Column id(PhysicalType::U64), partition(PhysicalType::I64), rows(PhysicalType::U64), first(PhysicalType::I64), last(PhysicalType::I64),
      bytes(PhysicalType::U64), per_flow(PhysicalType::F64), damaged(PhysicalType::U8), reason(PhysicalType::Str), path(PhysicalType::Str);
  const auto row = [&](const segment::SegmentInfo& s, const std::string* why) {
    id.append(s.id);
    partition.append(s.partition_start);
    rows.append(s.rows);
    first.append(s.first);
    last.append(s.last);
    bytes.append(s.file_bytes);
    if (s.rows > 0)
      per_flow.append(static_cast<double>(s.file_bytes) / static_cast<double>(s.rows));
    else
      per_flow.append_null();
    damaged.append_uint(why != nullptr);
    if (why)
      reason.append_string(*why);
    else
      reason.append_null();
    path.append_string(s.path);
  };
  for (const auto& s : snapshot.segments) row(s->info(), nullptr);
  for (const auto& d : snapshot.damaged) row(d.info, &d.reason);
  TableBuilder table;
  table.add("id", LogicalType::uint, std::move(id));
  table.add("partition_start", LogicalType::timestamp, std::move(partition));
  table.add("rows", LogicalType::uint, std::move(rows));
  table.add("first", LogicalType::timestamp, std::move(first));
  table.add("last", LogicalType::timestamp, std::move(last));
  table.add("bytes", LogicalType::uint, std::move(bytes), "bytes");
  table.add("bytes_per_flow", LogicalType::float64, std::move(per_flow), "bytes");
  table.add("damaged", LogicalType::boolean, std::move(damaged));
  table.add("reason", LogicalType::string, std::move(reason));
  table.add("path", LogicalType::string, std::move(path));
  return table.take();
}

Batch storage_table(const store::Snapshot& snapshot) {
  struct Sum {
    uint64_t data = 0, dictionary = 0, posting = 0, distinct_max = 0, segments = 0;
  };
  std::array<Sum, kColumnCount> sums{};
  uint64_t flows = 0;
  for (const auto& s : snapshot.segments) {
    flows += s->rows();
    for (const auto& c : s->column_stats()) {
      Sum& sum = sums[static_cast<size_t>(c.id)];
      sum.data += c.data_bytes;
      sum.dictionary += c.dictionary_bytes;
      sum.posting += c.posting_bytes;
      sum.distinct_max = std::max(sum.distinct_max, c.distinct);
      ++sum.segments;
    }
  }
  Column name(PhysicalType::Str), bytes(PhysicalType::U64), data(PhysicalType::U64), dictionary(PhysicalType::U64), posting(PhysicalType::U64),
      per_flow(PhysicalType::F64), distinct(PhysicalType::U64), segments(PhysicalType::U64);
  for (size_t i = 0; i < sums.size(); ++i) {
    const Sum& sum = sums[i];
    if (sum.segments == 0) continue;
    const uint64_t all = sum.data + sum.dictionary + sum.posting;
    name.append_string(column_spec(static_cast<ColumnId>(i)).name);
    bytes.append(all);
    data.append(sum.data);
    dictionary.append(sum.dictionary);
    posting.append(sum.posting);
    per_flow.append(static_cast<double>(all) / static_cast<double>(std::max<uint64_t>(1, flows)));
    distinct.append(sum.distinct_max);
    segments.append(sum.segments);
  }
  TableBuilder table;
  table.add("column", LogicalType::string, std::move(name));
  table.add("bytes", LogicalType::uint, std::move(bytes), "bytes");
  table.add("data_bytes", LogicalType::uint, std::move(data), "bytes");
  table.add("dictionary_bytes", LogicalType::uint, std::move(dictionary), "bytes");
  table.add("posting_bytes", LogicalType::uint, std::move(posting), "bytes");
  table.add("bytes_per_flow", LogicalType::float64, std::move(per_flow), "bytes");
  table.add("distinct_max", LogicalType::uint, std::move(distinct));
  table.add("segments", LogicalType::uint, std::move(segments));
  return table.take();
}

Batch functions_table() {
  Column name(PhysicalType::Str), kind(PhysicalType::Str), signature(PhysicalType::Str), doc(PhysicalType::Str);
  const auto row = [&](std::string_view n, std::string_view k, std::string_view s, std::string_view d) {
    name.append_string(n);
    kind.append_string(k);
    signature.append_string(s);
    doc.append_string(d);
  };
  for (const FunctionSpec* f : functions()) row(f->name, "function", f->signature, f->doc);
  for (const BoundFunction& f : bound_functions()) row(f.name, "function", f.signature, f.doc);
  for (const AggregateSpec* a : aggregates()) row(a->name, "aggregate", a->signature, a->doc);
  row("rate", "aggregate", "rate(sum(x))", "Per second of the bin or range");
  TableBuilder table;
  table.add("name", LogicalType::string, std::move(name));
  table.add("kind", LogicalType::string, std::move(kind));
  table.add("signature", LogicalType::string, std::move(signature));
  table.add("doc", LogicalType::string, std::move(doc));
  return table.take();
}

Batch stages_table() {
  Column name(PhysicalType::Str), signature(PhysicalType::Str), doc(PhysicalType::Str);
  const auto row = [&](std::string_view n, std::string_view s, std::string_view d) {
    name.append_string(n);
    signature.append_string(s);
    doc.append_string(d);
  };
  for (const PlainStage& s : plain_stages()) row(s.name, s.signature, s.doc);
  for (const StageSpec* s : stages()) row(s->name, s->signature, s->doc);
  TableBuilder table;
  table.add("name", LogicalType::string, std::move(name));
  table.add("signature", LogicalType::string, std::move(signature));
  table.add("doc", LogicalType::string, std::move(doc));
  return table.take();
}

Result<Batch> system_table(std::string_view subject, const QueryContext& context) {
  if (subject == "columns") return columns_table();
  if (subject == "functions") return functions_table();
  if (subject == "stages") return stages_table();
  if (context.system_tables)
    if (auto table = context.system_tables(subject)) return std::move(*table);
  if (subject == "lists") return lists_table(context.lists ? *context.lists : ListBook());
  if (subject == "zones") return zones_table(context.lists ? *context.lists : ListBook());
  if (subject == "tables") return tables_table(context.tables ? *context.tables : TableBook());
  if (subject == "segments" && context.snapshot) return segments_table(*context.snapshot);
  if (subject == "storage" && context.snapshot) return storage_table(*context.snapshot);
  return Error{ErrorCode::not_found, "there is nothing to show called '" + std::string(subject) + "'"};
}

std::optional<Result<Batch>> source_table(std::string_view name, const QueryContext& context) {
  if (name == "flows") return std::nullopt;
  auto table = system_table(name, context);
  if (!table.ok() && table.error().code == ErrorCode::not_found) return std::nullopt;
  return table;
}

SystemTables tables_without_rows(std::function<std::optional<Schema>(std::string_view name)> columns) {
  if (!columns) return {};
  return [columns = std::move(columns)](std::string_view name) -> std::optional<Result<Batch>> {
    auto schema = columns(name);
    if (!schema) return std::nullopt;
    Batch batch;
    for (const Field& f : *schema) batch.columns.emplace_back(f.physical);
    batch.schema = std::make_shared<const Schema>(std::move(*schema));
    return Result<Batch>(std::move(batch));
  };
}

}  // namespace sluice::query
