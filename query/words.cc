#include "query/words.h"

#include <algorithm>

namespace sluice::query {
namespace {

struct Protocol {
  std::string_view name;
  uint8_t number;
};
// The first name of a number is the one that is printed.
constexpr Protocol kProtocols[] = {
    {"hopopt", 0},   {"icmp", 1},       {"igmp", 2},      {"ggp", 3},        {"ipip", 4},     {"ipv4", 4},   {"st", 5},
    {"tcp", 6},      {"egp", 8},        {"igp", 9},       {"udp", 17},       {"dccp", 33},    {"ipv6", 41},  {"ipv6_route", 43},
    {"ipv6_frag", 44}, {"rsvp", 46},    {"gre", 47},      {"esp", 50},       {"ah", 51},      {"icmpv6", 58}, {"icmp6", 58},
    {"ipv6_icmp", 58}, {"ipv6_nonxt", 59}, {"ipv6_opts", 60}, {"eigrp", 88}, {"ospf", 89},    {"ospfigp", 89}, {"etherip", 97},
    {"encap", 98},   {"pim", 103},      {"ipcomp", 108},  {"vrrp", 112},     {"l2tp", 115},   {"isis", 124}, {"sctp", 132},
    {"fc", 133},     {"udplite", 136},  {"mpls_in_ip", 137}, {"manet", 138}, {"shim6", 140},  {"wesp", 141}, {"rohc", 142},
};

struct Service {
  std::string_view name;
  uint16_t port;
  uint8_t protocol;  // 6, 17, or 0 for both
};
constexpr Service kServices[] = {
    {"tcpmux", 1, 6}, {"echo", 7, 0}, {"discard", 9, 0}, {"systat", 11, 6}, {"daytime", 13, 0}, {"qotd", 17, 0}, {"chargen", 19, 0},
    {"ftp_data", 20, 6}, {"ftp", 21, 6}, {"ssh", 22, 0}, {"telnet", 23, 6}, {"smtp", 25, 6}, {"time", 37, 0}, {"whois", 43, 6},
    {"tacacs", 49, 0}, {"dns", 53, 0}, {"domain", 53, 0}, {"bootps", 67, 17}, {"dhcp", 67, 17}, {"bootpc", 68, 17}, {"tftp", 69, 17},
    {"gopher", 70, 6}, {"finger", 79, 6}, {"http", 80, 0}, {"kerberos", 88, 0}, {"pop3", 110, 6}, {"sunrpc", 111, 0}, {"rpcbind", 111, 0},
    {"portmap", 111, 0}, {"ident", 113, 6}, {"nntp", 119, 6}, {"ntp", 123, 0}, {"msrpc", 135, 0}, {"epmap", 135, 0}, {"netbios_ns", 137, 0},
    {"netbios_dgm", 138, 0}, {"netbios_ssn", 139, 0}, {"imap", 143, 6}, {"snmp", 161, 0}, {"snmp_trap", 162, 0}, {"snmptrap", 162, 0},
    {"xdmcp", 177, 0}, {"bgp", 179, 6}, {"irc", 194, 0}, {"ldap", 389, 0}, {"svrloc", 427, 0}, {"slp", 427, 0}, {"https", 443, 0},
    {"quic", 443, 17}, {"smb", 445, 0}, {"microsoft_ds", 445, 0}, {"cifs", 445, 0}, {"kpasswd", 464, 0}, {"smtps", 465, 6}, {"isakmp", 500, 17},
    {"ike", 500, 17}, {"modbus", 502, 6}, {"rexec", 512, 6}, {"rlogin", 513, 6}, {"rsh", 514, 6}, {"syslog", 514, 17}, {"lpd", 515, 6}, {"printer", 515, 6},
    {"rip", 520, 17}, {"ripng", 521, 17}, {"ncp", 524, 0}, {"uucp", 540, 6}, {"dhcpv6_client", 546, 17}, {"dhcpv6", 547, 17},
    {"dhcpv6_server", 547, 17}, {"afp", 548, 6}, {"rtsp", 554, 0}, {"submission", 587, 6}, {"ipp", 631, 0}, {"ldaps", 636, 6}, {"ldp", 646, 0},
    {"rsync", 873, 6}, {"domain_s", 853, 0}, {"dns_tls", 853, 0}, {"dot", 853, 6}, {"ftps_data", 989, 6}, {"ftps", 990, 6}, {"telnets", 992, 6},
    {"imaps", 993, 6}, {"pop3s", 995, 6}, {"socks", 1080, 6}, {"openvpn", 1194, 0}, {"mssql", 1433, 0}, {"ms_sql", 1433, 0},
    {"mssql_monitor", 1434, 17}, {"oracle", 1521, 6}, {"l2f", 1701, 17}, {"l2tp", 1701, 17}, {"pptp", 1723, 6}, {"radius", 1812, 17},
    {"radius_acct", 1813, 17}, {"mqtt", 1883, 6}, {"ssdp", 1900, 17}, {"upnp", 1900, 17}, {"nfs", 2049, 0}, {"netflow", 2055, 17},
    {"cpanel", 2082, 6}, {"zookeeper", 2181, 6}, {"docker", 2375, 6}, {"docker_tls", 2376, 6}, {"etcd", 2379, 6}, {"etcd_peer", 2380, 6},
    {"iscsi", 3260, 6}, {"global_catalog", 3268, 6}, {"global_catalog_ssl", 3269, 6}, {"mysql", 3306, 6}, {"rdp", 3389, 0},
    {"ms_wbt_server", 3389, 0}, {"stun", 3478, 0}, {"turn", 3478, 0}, {"teredo", 3544, 17}, {"ws_discovery", 3702, 17}, {"epmd", 4369, 6}, {"ipsec_nat_t", 4500, 17},
    {"ipsec_nat", 4500, 17}, {"geneve", 6081, 17}, {"vxlan", 4789, 17}, {"ipfix", 4739, 0}, {"upnp_control", 5000, 6}, {"sip", 5060, 0},
    {"sips", 5061, 0}, {"xmpp", 5222, 6}, {"xmpp_server", 5269, 6}, {"mdns", 5353, 17}, {"llmnr", 5355, 0}, {"postgres", 5432, 6}, {"postgresql", 5432, 6},
    {"kibana", 5601, 6}, {"amqps", 5671, 6}, {"amqp", 5672, 6}, {"coap", 5683, 17}, {"vnc", 5900, 6}, {"couchdb", 5984, 6}, {"winrm", 5985, 6},
    {"winrm_https", 5986, 6}, {"x11", 6000, 6}, {"redis", 6379, 6}, {"sflow", 6343, 17}, {"kubernetes", 6443, 6}, {"ircd", 6667, 6},
    {"bittorrent", 6881, 0}, {"ircs", 6697, 6}, {"cassandra", 9042, 6}, {"http_alt", 8080, 6}, {"https_alt", 8443, 6}, {"prometheus", 9090, 6},
    {"kafka", 9092, 6}, {"jetdirect", 9100, 6}, {"elasticsearch", 9200, 6}, {"zabbix_agent", 10050, 6}, {"zabbix", 10051, 6}, {"kubelet", 10250, 6},
    {"memcached", 11211, 0}, {"mongodb", 27017, 6}, {"dnp3", 20000, 0}, {"bacnet", 47808, 17}, {"wireguard", 51820, 17}, {"traceroute", 33434, 17},
    {"s7comm", 102, 6}, {"tor", 9001, 6}, {"tor_socks", 9050, 6}, {"metasploit", 4444, 6}, {"nats", 4222, 6}, {"consul", 8500, 6}, {"vault", 8200, 6},
    {"influxdb", 8086, 6}, {"clickhouse", 9000, 6}, {"grafana", 3000, 6}, {"minecraft", 25565, 6}, {"steam", 27015, 0},
};

struct Flag {
  std::string_view name;
  char letter;
  uint16_t bit;
};
constexpr Flag kFlagWords[] = {
    {"fin", 'f', 0x01}, {"syn", 's', 0x02}, {"rst", 'r', 0x04}, {"psh", 'p', 0x08},  {"ack", 'a', 0x10},
    {"urg", 'u', 0x20}, {"ece", 'e', 0x40}, {"cwr", 'c', 0x80}, {"ns", 'n', 0x100},
};

constexpr IcmpType kIcmpTypes[] = {
    {"echo_reply", 0, 129},
    {"destination_unreachable", 3, 1},
    {"dest_unreachable", 3, 1},
    {"unreachable", 3, 1},
    {"source_quench", 4, std::nullopt},
    {"redirect", 5, 137},
    {"echo_request", 8, 128},
    {"echo", 8, 128},
    {"router_advertisement", 9, 134},
    {"router_solicitation", 10, 133},
    {"time_exceeded", 11, 3},
    {"parameter_problem", 12, 4},
    {"timestamp", 13, std::nullopt},
    {"timestamp_request", 13, std::nullopt},
    {"timestamp_reply", 14, std::nullopt},
    {"information_request", 15, std::nullopt},
    {"information_reply", 16, std::nullopt},
    {"address_mask_request", 17, std::nullopt},
    {"address_mask_reply", 18, std::nullopt},
    {"traceroute", 30, std::nullopt},
    {"packet_too_big", std::nullopt, 2},
    {"multicast_listener_query", std::nullopt, 130},
    {"multicast_listener_report", std::nullopt, 131},
    {"multicast_listener_done", std::nullopt, 132},
    {"neighbor_solicitation", std::nullopt, 135},
    {"neighbor_advertisement", std::nullopt, 136},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Names compare with '-' and '_' alike: IANA writes ms-wbt-server, FlowQL words have no dashes.
bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if ((a[i] == '-' ? '_' : lower(a[i])) != b[i]) return false;
  return true;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

bool is_plain_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'; });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

std::optional<uint8_t> protocol_number(std::string_view name) {
  for (const auto& p : kProtocols)
    if (same_word(name, p.name)) return p.number;
  return std::nullopt;
}

std::string_view protocol_name(uint8_t number) {
  for (const auto& p : kProtocols)
    if (p.number == number) return p.name;
  return {};
}

std::optional<uint16_t> service_port(std::string_view name) {
  for (const auto& s : kServices)
    if (same_word(name, s.name)) return s.port;
  return std::nullopt;
}

std::string_view service_name(uint16_t port, uint8_t protocol) {
  std::string_view general;
  for (const auto& s : kServices) {
    if (s.port != port) continue;
    if (protocol != 0 && s.protocol == protocol) return s.name;
    if (general.empty() && (s.protocol == 0 || protocol == 0)) general = s.name;
  }
  return general;
}

std::optional<uint16_t> tcp_flags_of(std::string_view word) {
  if (word.empty()) return std::nullopt;
  for (const auto& f : kFlagWords)
    if (same_word(word, f.name)) return f.bit;
  // syn_ack, syn|ack, syn,ack
  if (const size_t cut = word.find_first_of("_|,+"); cut != std::string_view::npos) {
    const auto first = tcp_flags_of(word.substr(0, cut)), rest = tcp_flags_of(word.substr(cut + 1));
    if (first && rest) return static_cast<uint16_t>(*first | *rest);
    return std::nullopt;
  }
  uint16_t bits = 0;
  for (char c : word) {
    uint16_t bit = 0;
    for (const auto& f : kFlagWords)
      if (f.letter == lower(c)) bit = f.bit;
    if (bit == 0 && c != '.') return std::nullopt;
    bits |= bit;
  }
  return bits;
}

std::optional<IcmpType> icmp_type_of(std::string_view name) {
  for (const auto& t : kIcmpTypes)
    if (same_word(name, t.name)) return t;
  return std::nullopt;
}

void each_protocol(const std::function<void(std::string_view)>& use) {
  for (const auto& p : kProtocols) use(p.name);
}
void each_service(const std::function<void(std::string_view)>& use) {
  for (const auto& s : kServices) use(s.name);
}
void each_flag(const std::function<void(std::string_view)>& use) {
  for (const auto& f : kFlagWords) use(f.name);
}
void each_icmp_type(const std::function<void(std::string_view)>& use) {
  for (const auto& t : kIcmpTypes) use(t.name);
}

}  // namespace sluice::query
