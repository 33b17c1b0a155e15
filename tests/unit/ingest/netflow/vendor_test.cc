// What each maker's exporters do, one record each: which fields they send, and where those must stand.

#include <gtest/gtest.h>

#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using namespace testing;

struct Value {
  FieldSpec field;
  Wire bytes;
};
Value n(uint32_t id, uint32_t length, uint64_t v, uint32_t pen = 0) { return {{id, length, pen}, Wire().number(v, length)}; }
Value ip(uint32_t id, const std::string& address, uint32_t pen = 0) {
  Wire w;
  w.ip(address);
  return {{id, static_cast<uint32_t>(w.bytes.size()), pen}, w};
}
Value text(uint32_t id, uint32_t length, const std::string& s, uint32_t pen = 0) { return {{id, length, pen}, Wire().text(s).zeros(length - s.size())}; }

struct Case {
  std::string name;
  int version;
  std::vector<Value> record;
  std::map<std::string, std::string> columns;                    // "" for null
  std::vector<std::pair<std::string, std::string>> extra = {};
  PostCounters post_counters = PostCounters::automatic;
};

const std::vector<Case> kCases = {
    {"Cisco ASA 8.4: created, translated", 9,
     {n(148, 4, 77), ip(8, "10.0.0.1"), n(7, 2, 4000), n(10, 2, 3), ip(12, "192.0.2.9"), n(11, 2, 443), n(14, 2, 4), n(4, 1, 6), n(176, 1, 0), n(177, 1, 0),
      ip(40001, "198.51.100.1"), ip(40002, "192.0.2.9"), n(40003, 2, 5000), n(40004, 2, 443), n(40005, 1, 1), n(33002, 2, 0), n(323, 8, 1'795'175'999'000),
      text(40000, 20, "alice")},
     {{"flow_id", "77"}, {"nat_src_ip", "198.51.100.1"}, {"nat_src_port", "5000"}, {"action", "accept"}, {"flow_state", "begin"}, {"user_name", "alice"},
      {"raw_bytes", ""}, {"flow_end", "2026-11-20T11:59:59Z"}}},
    {"Cisco ASA: denied by an ACL", 9,
     {ip(8, "10.0.0.1"), ip(12, "192.0.2.9"), n(4, 1, 17), n(233, 1, 3), n(33002, 2, 1001), n(33000, 12, 0), n(323, 8, 1'795'175'999'000)},
     {{"action", "reject"}, {"reject_reason", "ingress acl"}}},
    {"Cisco ASA: teardown with counters each way", 9,
     {ip(8, "10.0.0.1"), ip(12, "192.0.2.9"), n(231, 4, 500), n(232, 4, 9000), n(298, 4, 5), n(299, 4, 9), n(233, 1, 2), n(152, 8, 1'795'175'900'000)},
     {{"raw_bytes", "500"}, {"raw_reverse_bytes", "9000"}, {"raw_packets", "5"}, {"raw_reverse_packets", "9"}, {"flow_state", "end"}, {"initiator", "src"},
      {"is_biflow", "1"}, {"flow_start", "2026-11-20T11:58:20Z"}}},
    {"Cisco CGN: a NAT event", 9,
     {n(323, 8, 1'795'175'999'000), n(234, 4, 11), n(235, 4, 12), ip(8, "100.64.0.5"), ip(225, "203.0.113.5"), n(7, 2, 1000), n(227, 2, 2000), n(4, 1, 6),
      n(230, 1, 1), n(361, 2, 1024), n(362, 2, 2047)},
     {{"nat_event", "1"}, {"vrf_in", "11"}, {"vrf_out", "12"}, {"nat_src_ip", "203.0.113.5"}, {"nat_src_port", "2000"}, {"src_ip", "100.64.0.5"}},
     {{"portRangeStart", "1024"}, {"portRangeEnd", "2047"}}},
    {"Cisco IOS-XR: dropped, with VRFs", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(89, 1, 0x84), n(234, 4, 3), n(235, 4, 4), n(1, 4, 100)},
     {{"action", "drop"}, {"reject_reason", "adjacency"}, {"vrf_in", "3"}, {"vrf_out", "4"}}},
    {"Cisco AVC: clients and servers", 10,
     {ip(12236, "10.0.0.1", 9), ip(12237, "192.0.2.80", 9), n(12240, 2, 50'000, 9), n(12241, 2, 443, 9), n(4, 1, 6), n(8338, 8, 700, 9), n(8337, 8, 90'000, 9),
      n(9265, 4, 7, 9), n(9266, 4, 80, 9), n(95, 4, 0x0d0001f4), text(12235, 12, "www.example", 9)},
     {{"src_ip", "10.0.0.1"}, {"dst_ip", "192.0.2.80"}, {"src_port", "50000"}, {"dst_port", "443"}, {"raw_bytes", "700"}, {"raw_reverse_bytes", "90000"},
      {"raw_packets", "7"}, {"raw_reverse_packets", "80"}, {"initiator", "src"}, {"is_biflow", "1"}, {"app_id", std::to_string(uint64_t{13} << 56 | 500)}},
     {{"httpHost", "www.example"}}},
    {"Cisco AVC beside the usual elements", 10,
     {ip(8, "10.0.0.1"), ip(12, "192.0.2.80"), n(1, 4, 1), ip(12236, "10.0.0.9", 9), n(8338, 8, 700, 9)},
     {{"src_ip", "10.0.0.1"}, {"raw_bytes", "1"}, {"initiator", ""}},
     {{"clientIPv4Address", "10.0.0.9"}, {"clientBytesL3", "700"}}},
    {"Cisco WLC", 9,
     {n(365, 6, 0x001122334455), ip(366, "10.0.0.4"), n(367, 6, 0x66778899aabb), text(147, 33, "guest"), text(371, 33, "bob"), n(61, 1, 1), n(1, 8, 10), n(2, 8, 1), n(98, 1, 46), n(195, 1, 10)},
     {{"user_name", "bob"}, {"direction", "egress"}, {"raw_bytes", "10"}, {"tos", "40"}, {"src_ip", ""}},
     {{"wlanSSID", "guest"}, {"staMacAddress", "00:11:22:33:44:55"}, {"postIpDiffServCodePoint", "46"}}},
    {"Cisco ACI: layer 2 only", 9,
     {n(56, 6, 1), n(57, 6, 2), n(256, 2, 0x0800), n(58, 2, 12)}, {{"src_mac", "00:00:00:00:00:01"}, {"dst_mac", "00:00:00:00:00:02"}, {"vlan", "12"}, {"src_ip", ""}},
     {{"ethernetType", "2048"}}},
    {"Cisco Meraki, told so", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(1, 4, 100), n(2, 4, 1), n(23, 4, 900), n(24, 4, 9)},
     {{"raw_bytes", "100"}, {"raw_reverse_bytes", "900"}, {"raw_reverse_packets", "9"}, {"is_biflow", "1"}, {"time_quality", "estimated"}}, {}, PostCounters::reverse},
    {"nProbe, whose 23/24 count the same direction", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(1, 4, 100), n(23, 4, 90), n(57'555, 4, 7), n(57'590, 2, 5), text(57'591, 8, "DNS")},
     {{"raw_bytes", "100"}, {"raw_reverse_bytes", ""}, {"is_biflow", ""}}, {{"postOctetDeltaCount", "90"}, {"l7ProtocolName", "DNS"}}},
    {"Fortinet, by its application id", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(1, 8, 100), n(23, 8, 900), n(2, 4, 1), n(24, 4, 9), {{95, 9}, Wire().u8(20).u32(12356).u32(41'468)}, n(65, 2, 1), n(136, 1, 2), n(89, 1, 64)},
     {{"raw_reverse_bytes", "900"}, {"raw_reverse_packets", "9"}, {"end_reason", "active_timeout"}, {"action", "accept"}}},
    {"Palo Alto with NAT, App-ID and User-ID", 9,
     {ip(8, "10.0.0.1"), ip(12, "192.0.2.1"), n(1, 8, 5), n(2, 4, 1), n(148, 8, 9), n(233, 1, 2), n(61, 1, 0), n(32, 2, 0x0301), ip(225, "203.0.113.1"), ip(226, "192.0.2.1"), n(227, 2, 7), n(228, 2, 0),
      n(346, 4, 25'461), text(56'701, 32, "web-browsing"), text(56'702, 64, "corp\\eve")},
     {{"app", "web-browsing"}, {"user_name", "corp\\eve"}, {"nat_src_ip", "203.0.113.1"}, {"nat_src_port", "7"}, {"nat_dst_port", ""}, {"icmp_type", "3"}, {"icmp_code", "1"}, {"flow_id", "9"}}},
    {"Huawei: 232 of two bytes is no counter", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(1, 4, 5), n(232, 2, 6), n(10, 2, 1), n(16, 2, 64'500), n(58, 2, 3), n(59, 2, 4), n(210, 3, 0)},
     {{"raw_bytes", "5"}, {"raw_reverse_bytes", ""}, {"is_biflow", ""}, {"vlan", "3"}, {"src_as", "64500"}}, {{"responderOctets", "6"}}},
    {"MikroTik: not translated is no address", 9,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), ip(225, "0.0.0.0"), ip(226, "0.0.0.0"), n(227, 2, 0), n(228, 2, 0)}, {{"nat_src_ip", ""}, {"nat_dst_ip", ""}, {"nat_src_port", ""}}},
    {"VMware NSX: the tenant inside the tunnel", 10,
     {ip(8, "172.16.0.1"), ip(12, "172.16.0.2"), n(7, 2, 50'000), n(11, 2, 4789), n(4, 1, 17), n(351, 8, 5001), ip(881, "10.1.0.1", 6876), ip(882, "10.1.0.2", 6876), n(886, 2, 33'000, 6876),
      n(887, 2, 443, 6876), n(880, 1, 6, 6876), n(889, 1, 1, 6876)},
     {{"src_ip", "10.1.0.1"}, {"dst_ip", "10.1.0.2"}, {"src_port", "33000"}, {"dst_port", "443"}, {"protocol", "6"}, {"vni", "5001"}},
     {{"sourceIPv4Address", "172.16.0.1"}, {"destinationIPv4Address", "172.16.0.2"}, {"destinationTransportPort", "4789"}, {"protocolIdentifier", "17"}, {"vxlanExportRole", "1"}}},
    {"VMware: no tunnel, no tenant", 10,
     {ip(881, "0.0.0.0", 6876), ip(8, "172.16.0.1"), ip(12, "172.16.0.2"), n(7, 2, 50'000), n(886, 2, 0, 6876), n(880, 1, 0, 6876), n(4, 1, 17)},
     {{"src_ip", "172.16.0.1"}, {"src_port", "50000"}, {"protocol", "17"}}},
    {"Citrix NetScaler: NTP times, ids by number", 10,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(154, 8, (1'795'175'990ull + 2'208'988'800ull) << 32), n(155, 8, (1'795'175'995ull + 2'208'988'800ull) << 32), n(128, 4, 12, 5951), n(299, 2, 8, 5951)},
     {{"flow_start", "2026-11-20T11:59:50Z"}, {"flow_end", "2026-11-20T11:59:55Z"}}, {{"roundTripTime", "12"}, {"5951.299", "8"}}},
    {"Barracuda", 10,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(1, 8, 10), n(85, 8, 900), text(4, 12, "LAN-2-INET", 10704), n(2, 1, 1, 10704), ip(8, "198.51.100.7", 10704), n(12, 4, 5, 10704)},
     {{"raw_bytes", "10"}, {"rule_name", "LAN-2-INET"}}, {{"logOperation", "1"}, {"bindIPv4Address", "198.51.100.7"}, {"octetTotalCount", "900"}}},
    {"SonicWall, IPFIX with extensions", 10,
     {n(2, 4, 42, 8741), ip(5, "10.0.0.1", 8741), ip(6, "192.0.2.6", 8741), n(9, 4, 1, 8741), n(10, 4, 2, 8741), n(11, 2, 1024, 8741), n(12, 2, 80, 8741), n(13, 4, 9, 8741), n(20, 1, 6, 8741), n(173, 2, 7, 8741)},
     {{"flow_id", "42"}, {"src_ip", "10.0.0.1"}, {"dst_ip", "192.0.2.6"}, {"src_port", "1024"}, {"dst_port", "80"}, {"protocol", "6"}, {"input_if", "1"}, {"output_if", "2"}, {"initiator", "src"}, {"raw_bytes", ""}},
     {{"8741.13", "9"}, {"blockReason", "7"}}},
    {"Nokia CGN", 10,
     {n(91, 2, 10, 637), n(92, 2, 20, 637), ip(8, "100.64.0.1"), ip(225, "203.0.113.1"), n(152, 8, 1'795'175'999'000), text(93, 10, "sub-1", 637)},
     {{"nat_src_ip", "203.0.113.1"}, {"flow_start", "2026-11-20T11:59:59Z"}}, {{"natInsideServiceId", "10"}, {"natSubscriberString", "sub-1"}}},
    {"Viptela SD-WAN", 10, {n(4321, 8, 512, 41'916), ip(8, "10.0.0.1"), n(6, 2, 0x12)}, {{"vrf_in", "512"}, {"tcp_flags", "18"}}},
    {"VeloCloud, F5, Gigamon: kept by number", 10,
     {ip(8, "10.0.0.1"), n(12'290, 4, 3, 45'346), n(5, 2, 1, 12'276), n(1, 4, 9, 26'866)}, {}, {{"45346.12290", "3"}, {"12276.5", "1"}, {"26866.1", "9"}}},
    {"Procera: no counters of the usual kind", 10,
     {ip(8, "10.0.0.1"), text(1, 8, "BitTorr", 15'397), n(3, 8, 100, 15'397), n(4, 8, 10, 15'397)}, {{"app", "BitTorr"}, {"raw_bytes", ""}}, {{"incomingOctets", "100"}, {"outgoingOctets", "10"}}},
    {"Ixia: reverse counters of its own", 10,
     {ip(8, "10.0.0.1"), n(1, 8, 5), n(2, 8, 1), n(176, 8, 50, 3054), n(177, 8, 3, 3054), text(111, 8, "netflix", 3054)},
     {{"raw_reverse_bytes", "50"}, {"raw_reverse_packets", "3"}, {"is_biflow", "1"}, {"app", "netflix"}}},
    {"YAF: flags of the first packet and of the rest, both ways", 10,
     {ip(8, "10.0.0.1"), ip(12, "10.0.0.2"), n(85, 8, 100), n(85, 8, 200, 29'305), n(14, 1, 0x02, 6871), n(15, 1, 0x18, 6871), n(16'398, 1, 0x12, 6871), n(16'399, 1, 0x11, 6871), n(33, 2, 443, 6871)},
     {{"raw_bytes", "100"}, {"raw_reverse_bytes", "200"}, {"tcp_flags", "26"}, {"reverse_tcp_flags", "19"}}, {{"silkAppLabel", "443"}, {"initialTCPFlags", "2"}}},
    {"Ubiquiti", 9, {n(3, 4, 2), ip(8, "10.0.0.1"), n(81, 6, 5), n(57, 6, 6)}, {{"flow_count", "2"}, {"src_mac", "00:00:00:00:00:05"}, {"dst_mac", "00:00:00:00:00:06"}}},
    {"Streamcore: types without a meaning here", 9, {ip(8, "10.0.0.1"), n(8192, 4, 1), n(8393, 4, 2)}, {}, {{"0.8192", "1"}, {"0.8393", "2"}}},
};

TEST(Vendors, EachHasItsPlace) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    PacketDecoderOptions options;
    options.overrides = {{.exporter = *parse_prefix("192.0.2.0/24"), .post_counters = c.post_counters}};
    Collector collector(std::move(options));
    std::vector<FieldSpec> fields;
    Wire record;
    for (const Value& v : c.record) {
      fields.push_back(v.field);
      record.raw(v.bytes.bytes);
    }
    Wire sets;
    sets.set(c.version == 10 ? 2 : 0, c.version == 10 ? template10(300, fields) : template9(300, fields)).set(300, record);
    collector.send(c.version == 10 ? packet10(sets) : packet9(sets));
    ASSERT_EQ(collector.rows.size(), 1u);
    const Row& row = collector.rows[0];
    for (const auto& [column, value] : c.columns) EXPECT_EQ(row[column], value) << column;
    for (const auto& [key, value] : c.extra) EXPECT_EQ(row.x(key), value) << "extra." << key;
    EXPECT_EQ(collector.total.bad, 0u);
  }
}

}  // namespace
}  // namespace sluice::ingest
