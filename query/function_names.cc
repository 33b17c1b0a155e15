// Functions that ask the names and places known beside the data.
#include "query/function.h"
#include "query/geo.h"
#include "query/growth.h"
#include "query/names.h"

namespace sluice::query::function_detail {
namespace {

Result<Type> of_address(std::string_view name, std::span<const NodePtr> args, LogicalType result) {
  if (args[0]->type.logical != LogicalType::ip) return wrong_argument(name, 0, "an address");
  return Type::of(result);
}

// put(answer) for each row, nullopt where the address is null; each value of a dictionary is asked for once.
template <typename Ask, typename Put>
void each_answer(const Column& addresses, size_t rows, EvalContext& context, Ask ask, Put put) {
  using Answer = decltype(ask(IpAddress()));
  const bool by_code = addresses.is_coded() && addresses.dictionary()->size() <= rows;
  std::vector<std::optional<Answer>> known(by_code ? addresses.dictionary()->size() : 0);
  for (size_t i = 0; i < rows; ++i) {
    if (addresses.is_null(i) || !context.meter.spend(16)) {
      put(Answer());
    } else if (by_code) {
      auto& answer = known[addresses.codes()[i]];
      if (!answer) answer = ask(addresses.ip_at(i));
      put(*answer);
    } else {
      put(ask(addresses.ip_at(i)));
    }
  }
}

}  // namespace

extern const FunctionSpec kIfName{
    "if_name", "if_name(exporter_ip, interface)", "The name of an exporter's interface, as it told or a file says; null when nobody does", 2, 2,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical != LogicalType::ip) return wrong_argument("if_name", 0, "an exporter's address");
      if (!is_number(args[1]->type.logical) || args[1]->type.physical == PhysicalType::F64) return wrong_argument("if_name", 1, "an interface index");
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      TextBuilder out(context, rows);
      for (size_t i = 0; i < rows; ++i) {
        const bool known = context.names && !args[0]->is_null(i) && !args[1]->is_null(i);
        const std::string* name = known ? context.names->interface_name(args[0]->ip_at(i), args[1]->uint_at(i)) : nullptr;
        name ? out.append(*name) : out.append_null();
      }
      return out.finish();
    },
    true};

extern const FunctionSpec kExporterName{
    "exporter_name", "exporter_name(exporter_ip)", "What the configuration calls an exporter; null when it has no name", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical != LogicalType::ip) return wrong_argument("exporter_name", 0, "an exporter's address");
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      TextBuilder out(context, rows);
      for (size_t i = 0; i < rows; ++i) {
        const std::string* name = context.names && !args[0]->is_null(i) ? context.names->exporter_name(args[0]->ip_at(i)) : nullptr;
        name ? out.append(*name) : out.append_null();
      }
      return out.finish();
    },
    true};

extern const FunctionSpec kCountry{
    "country", "country(ip)", "The country of an address, as two letters (ISO 3166-1); null when not known", 1, 1,
    [](std::span<const NodePtr> args) { return of_address("country", args, LogicalType::string); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      if (!context.geo || !context.geo->has_countries()) return Column::nulls(PhysicalType::Str, rows);
      TextBuilder out(context, rows);
      each_answer(*args[0], rows, context, [&](const IpAddress& ip) { return context.geo->country(ip); },
                  [&](std::optional<std::string_view> code) { code ? out.append(*code) : out.append_null(); });
      return out.finish();
    },
    true};

extern const FunctionSpec kAsn{
    "asn", "asn(ip)", "The number of the autonomous system that an address is routed to; null when not known", 1, 1,
    [](std::span<const NodePtr> args) { return of_address("asn", args, LogicalType::uint); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      if (!context.geo || !context.geo->has_networks()) return Column::nulls(PhysicalType::U64, rows);
      Column out(PhysicalType::U64);
      out.reserve(rows);
      each_answer(*args[0], rows, context, [&](const IpAddress& ip) { return context.geo->as_number(ip); },
                  [&](std::optional<uint32_t> number) { number ? out.append(uint64_t{*number}) : out.append_null(); });
      return out;
    },
    true};

extern const FunctionSpec kAsName{
    "as_name", "as_name(ip)", "The name of the organization behind that autonomous system; null when not known", 1, 1,
    [](std::span<const NodePtr> args) { return of_address("as_name", args, LogicalType::string); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      if (!context.geo || !context.geo->has_networks()) return Column::nulls(PhysicalType::Str, rows);
      TextBuilder out(context, rows);
      each_answer(*args[0], rows, context, [&](const IpAddress& ip) { return context.geo->as_name(ip); },
                  [&](std::optional<std::string_view> name) { name ? out.append(*name) : out.append_null(); });
      return out.finish();
    },
    true};

}  // namespace sluice::query::function_detail
