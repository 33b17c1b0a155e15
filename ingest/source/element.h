// The table of information elements: what a number in a template means and which column it fills.
//
// One row per element: enterprise number, id, name and abstract data type as IANA has them (registry "IPFIX Information
// Elements", RFC 7012), and, for those a flow column holds, the column, the conversion and a rank. NetFlow v9 numbers are the
// same up to 127 and, in practice, beyond. Elements without a column go to `extra` under their name.
//
// To map an element, change its row; to know one more, add a row in order.
#pragma once

#include <cstdint>
#include <string_view>

#include "storage/model/flow_schema.h"

namespace sluice::ingest {

// Enterprise numbers that the decoder itself knows.
namespace pen {
inline constexpr uint32_t kIana = 0;
inline constexpr uint32_t kCisco = 9;
inline constexpr uint32_t kCert = 6871;          // YAF, SiLK
inline constexpr uint32_t kVmware = 6876;
inline constexpr uint32_t kSonicWall = 8741;
inline constexpr uint32_t kFortinet = 12356;     // inside applicationId
inline constexpr uint32_t kReverse = 29305;      // RFC 5103: the same element, other direction
inline constexpr uint32_t kNtop = 35632;         // in NetFlow v9: type 57472 + id
// Not enterprise numbers (those are 32 bits too, but assigned in sequence): NetFlow v9 scope types, and fields of fixed formats.
inline constexpr uint32_t kV9Scope = 0xffff'ffff;
inline constexpr uint32_t kFixedFormat = 0xffff'fffe;
}  // namespace pen
// NetFlow v9 scope types (RFC 3954 §6.1), ids under pen::kV9Scope.
enum : uint16_t { kScopeSystem = 1, kScopeInterface = 2, kScopeLineCard = 3, kScopeCache = 4, kScopeTemplate = 5 };

// Abstract data types of RFC 7012, with the counters' and identifiers' widths left to the template.
enum class ElementType : uint8_t {
  octets, number, integer, real, boolean, mac, text, ipv4, ipv6, seconds, milliseconds, microseconds, nanoseconds, basic_list,
  sub_template_list, sub_template_multi_list,
  unknown,  // not in the table: small fields are read as numbers, printable ones as text, others as hex
  unknown_variable,  // the same, of variable length: no number, however short
};

// How a field becomes a value.
enum class Convert : uint8_t {
  none,       // to `extra`, by its type
  skip,       // padding
  number,     // unsigned into an integer column
  address,    // IPv4 or IPv6
  nat_address, nat_port,  // all-zero means: not translated
  mac,
  mpls,       // 20 bits of label in 3 bytes
  text,       // string column
  flow_id,    // number or bytes into the string column flow_id
  flags,      // TCP control bits, 1 or 2 bytes
  flags_part, // TCP control bits of a part of the flow, or-ed
  dscp,       // into the upper six bits of tos
  vni,        // network id in the low 24 bits of layer2SegmentId
  direction, end_reason, biflow_direction,
  firewall_event, firewall_extended_event, forwarding_status,
  icmp_type_code,  // type·256 + code
  app_id,
  exporter_address,
  structured, // RFC 6313
  // The first bytes of a packet, from its link layer or its IP header on; and how long the frame was, and of what kind (RFC 7133).
  frame_section, packet_section, frame_size, frame_type,
  // Times: see TimePlan in template.h.
  start_time, end_time, event_time, start_uptime, end_uptime, start_delta, end_delta, duration, system_init,
  // Sampling that a record carries.
  sampling_interval, sampling_packets, sampling_space, sampling_selector,
};

struct Element {
  uint32_t pen;
  uint16_t id;
  ElementType type;
  Convert convert;
  ColumnId column;  // ColumnId::extra: none
  // Which of several elements of one template fills a column: the lowest rank, then the first. Of elements with the same
  // rank and an address or number type, the first that is not zero (a template may hold both address families).
  uint8_t rank;
  std::string_view name;
};

// nullptr for an element that the table does not know. NetFlow v9 passes pen 0 and ids up to 65535.
const Element* find_element(uint32_t pen, uint16_t id);

}  // namespace sluice::ingest
