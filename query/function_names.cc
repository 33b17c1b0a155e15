// Functions that ask the names known beside the data.
#include "query/function.h"
#include "query/growth.h"
#include "query/names.h"

namespace sluice::query::function_detail {

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

}  // namespace sluice::query::function_detail
