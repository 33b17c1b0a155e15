// Names that analysts type where a number stands: protocols, services, TCP flags, ICMP types. Pure tables, any thread.
// Sources: IANA protocol-numbers, service-names-port-numbers, icmp-parameters and icmpv6-parameters; RFC 9293 §3.1 (flags).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::query {

// All case-insensitive.
std::optional<uint8_t> protocol_number(std::string_view name);
std::string_view protocol_name(uint8_t number);  // "" when not in the table

std::optional<uint16_t> service_port(std::string_view name);
// The service's usual name; some ports mean different things over TCP and UDP. protocol 0: any. "" when not known.
std::string_view service_name(uint16_t port, uint8_t protocol);

// "syn", "ack" … or letters: "S", "SA", "FPU" (F S R P A U E C, N for NS).
std::optional<uint16_t> tcp_flags_of(std::string_view word);

struct IcmpType {
  std::string_view name;
  std::optional<uint8_t> v4, v6;
};
std::optional<IcmpType> icmp_type_of(std::string_view name);

// For completion and hints.
void each_protocol(const std::function<void(std::string_view)>& use);
void each_service(const std::function<void(std::string_view)>& use);
void each_flag(const std::function<void(std::string_view)>& use);
void each_icmp_type(const std::function<void(std::string_view)>& use);

// ASCII, as all names here are.
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);
// What rules and lists are named by: letters, digits, '_', '-' and '.'. How long a name may be is said elsewhere.
bool is_plain_name(std::string_view text);

}  // namespace sluice::query
