// Functions of addresses and ports.
#include <array>

#include "query/function.h"
#include "query/words.h"

namespace sluice::query::function_detail {
namespace {

Result<Type> takes_ip(std::span<const NodePtr> args, std::string_view name, LogicalType result) {
  if (args[0]->type.logical != LogicalType::ip) return wrong_argument(name, 0, "an address");
  return Type::of(result);
}

// Applies `f` to each address, once for each code where the column is coded.
template <typename F>
Column each_address(const Column& ips, F f) {
  std::vector<uint8_t> out(ips.size());
  for (size_t i = 0; i < out.size(); ++i)
    if (!ips.is_null(i)) out[i] = f(ips.ip_at(i));
  return Column::of<uint8_t>(PhysicalType::U8, std::move(out), ips.validity());
}

}  // namespace

extern const FunctionSpec kCidr{
    "cidr", "cidr(ip, bits [, bits6])", "The first address of the block of that length that holds the address", 2, 3,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical != LogicalType::ip) return wrong_argument("cidr", 0, "an address");
      for (size_t i = 1; i < args.size(); ++i) {
        const Value* v = args[i]->constant();
        if (!v || !std::holds_alternative<uint64_t>(v->data) || std::get<uint64_t>(v->data) > 128)
          return wrong_argument("cidr", i, "a length from 0 to 128");
      }
      return Type::of(LogicalType::ip);
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      const uint64_t bits = std::get<uint64_t>(nodes[1]->constant()->data);
      const auto length4 = static_cast<uint8_t>(bits > 32 ? 128 : 96 + bits);
      const auto length6 = static_cast<uint8_t>(nodes.size() > 2 ? std::get<uint64_t>(nodes[2]->constant()->data) : bits);
      std::vector<IpAddress> out(rows);
      for (size_t i = 0; i < rows; ++i) {
        if (args[0]->is_null(i)) continue;
        const IpAddress ip = args[0]->ip_at(i);
        out[i] = Prefix::of(ip, ip.is_v4() ? length4 : length6).base;
      }
      return Column::of<IpAddress>(PhysicalType::Ip, std::move(out), args[0]->validity());
    }};

extern const FunctionSpec kIsPrivate{
    "is_private", "is_private(ip)", "Whether the address is of private use (RFC 1918, RFC 6598, loopback, link local, ULA)", 1, 1,
    [](std::span<const NodePtr> args) { return takes_ip(args, "is_private", LogicalType::boolean); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_address(*args[0], [](const IpAddress& ip) -> uint8_t { return ip.is_private(); });
    }};

extern const FunctionSpec kIsMulticast{
    "is_multicast", "is_multicast(ip)", "Whether the address is multicast", 1, 1,
    [](std::span<const NodePtr> args) { return takes_ip(args, "is_multicast", LogicalType::boolean); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_address(*args[0], [](const IpAddress& ip) -> uint8_t { return ip.is_multicast(); });
    }};

extern const FunctionSpec kIpVersion{
    "ip_version", "ip_version(ip)", "4 or 6", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical != LogicalType::ip) return wrong_argument("ip_version", 0, "an address");
      return Type{LogicalType::uint, PhysicalType::U8, nullptr, "", std::nullopt};
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_address(*args[0], [](const IpAddress& ip) -> uint8_t { return ip.is_v4() ? 4 : 6; });
    }};

extern const FunctionSpec kToIp{
    "to_ip", "to_ip(text)", "The address that the text is; null where it is none", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (class_of(args[0]->type.logical) != TypeClass::text && args[0]->type.logical != LogicalType::ip) return wrong_argument("to_ip", 0, "text");
      return Type::of(LogicalType::ip);
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      if (nodes[0]->type.logical == LogicalType::ip) return *args[0];
      Column out(PhysicalType::Ip);
      for (size_t i = 0; i < rows; ++i) {
        const auto ip = args[0]->is_null(i) ? std::nullopt : parse_ip(args[0]->string_at(i));
        if (ip)
          out.append(*ip);
        else
          out.append_null();
      }
      return out;
    }};

extern const FunctionSpec kService{
    "service", "service(port [, protocol])", "The usual name of the service on a port, or the port's number as text", 1, 2,
    [](std::span<const NodePtr> args) -> Result<Type> {
      for (size_t i = 0; i < args.size(); ++i)
        if (!is_number(args[i]->type.logical) || args[i]->type.physical == PhysicalType::F64)
          return wrong_argument("service", i, i == 0 ? "a port" : "a protocol");
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      // The names of all ports for TCP, UDP and any other protocol, found once.
      static const auto names = [] {
        std::vector<std::array<std::string_view, 3>> table(65'536);
        for (size_t port = 0; port < table.size(); ++port)
          table[port] = {service_name(static_cast<uint16_t>(port), 0), service_name(static_cast<uint16_t>(port), 6),
                         service_name(static_cast<uint16_t>(port), 17)};
        return table;
      }();
      Column out(PhysicalType::Str);
      for (size_t i = 0; i < rows; ++i) {
        if (args[0]->is_null(i)) {
          out.append_null();
          continue;
        }
        const uint64_t port = args[0]->uint_at(i);
        const uint64_t protocol = args.size() > 1 && !args[1]->is_null(i) ? args[1]->uint_at(i) : 0;
        std::string_view name;
        if (port < names.size()) name = names[port][protocol == 6 ? 1 : protocol == 17 ? 2 : 0];
        if (name.empty())
          out.append_string(std::to_string(port));
        else
          out.append_string(name);
      }
      return out;
    }};

}  // namespace sluice::query::function_detail
