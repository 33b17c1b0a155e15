#include "ingest/source/azure_flow.h"
#include "ingest/source/azure_memory.h"

#include <gtest/gtest.h>

#include <random>

#include "ingest/source/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

std::string quoted_list(const std::vector<std::string>& items) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "\"" : ",\"") + item + "\"";
  return "[" + out + "]";
}

// A version 4 record with the keys in the order that Azure writes: what is true of the tuples stands behind them.
std::string vnet(const std::vector<std::string>& tuples, const std::string& more = "") {
  return R"({"category":"FlowLogFlowEvent","flowLogGUID":"dc407432-823e-4dbe-8d03-b33bb54b7dec","flowLogResourceID":"/SUBSCRIPTIONS/C088DC46-D692-42AD-A4B6-9A542D28AD2A/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTUS/FLOWLOGS/LAB-LOG","flowLogVersion":4,"flowRecords":{"flows":[{"flowGroups":[{"flowTuples":)" +
         quoted_list(tuples) +
         R"(,"rule":"DefaultRule_AllowInternetOutBound"}],"aclID":"/subscriptions/c088dc46-d692-42ad-a4b6-9a542d28ad2a/resourceGroups/Lab-1/providers/Microsoft.Network/networkSecurityGroups/Lab-NSG"}]},"macAddress":"000D3A359573","operationName":"FlowLogFlowEvent","targetResourceID":"/subscriptions/c088dc46-d692-42ad-a4b6-9a542d28ad2a/resourceGroups/Lab-1/providers/Microsoft.Network/virtualNetworks/Lab-VNet/subnets/Default",)" +
         more + R"("time":"2024-12-12T04:00:24.7385180Z"})";
}

std::string nsg(int version, const std::vector<std::string>& tuples) {
  return R"({"time":"2024-08-19T18:00:06.8944384Z","systemId":"05cdbee8-43c6-458e-b53c-d707f958c66b","macAddress":"6045BDEC2532","category":"NetworkSecurityGroupFlowEvent","resourceId":"/SUBSCRIPTIONS/11111111-2222-3333-A4B6-000000000000/RESOURCEGROUPS/VM-TEST/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/TEST-NSG","operationName":"NetworkSecurityGroupFlowEvents","properties":{"Version":)" +
         std::to_string(version) + R"(,"flows":[{"rule":"UserRule_https","flows":[{"mac":"6045BDEC2533","flowTuples":)" + quoted_list(tuples) + R"(}]}]}})";
}

std::string blob(const std::vector<std::string>& records) {
  std::string out = R"({"records":[)";
  for (size_t i = 0; i < records.size(); ++i) out += (i ? "," : "") + records[i];
  return out + "]}";
}

TEST(AzureVnet, EveryFieldOfATuple) {
  const Decoded d = run(decode_azure, blob({vnet({"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,10,5291,11,6911"})}), {.received_at = 1'733'980'000 * kSecond, .format = ""});
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.report->rejected, 0u);
  const NamedValues want = {
      {"flow_start", "2024-12-12T03:54:32.606Z"}, {"flow_end", "2024-12-12T03:59:32.606Z"}, {"time_quality", "estimated"},
      {"exported_at", "2024-12-12T04:00:24.738518Z"}, {"received_at", "2024-12-12T05:06:40Z"}, {"src_ip", "10.1.0.4"}, {"dst_ip", "20.10.127.193"},
      {"src_port", "57892"}, {"dst_port", "443"}, {"protocol", "6"}, {"ip_version", "4"}, {"src_mac", std::to_string(0x000D3A359573)},
      {"raw_packets", "10"}, {"raw_bytes", "5291"}, {"raw_reverse_packets", "11"}, {"raw_reverse_bytes", "6911"}, {"byte_basis", "layer3"},
      {"sampling_rate", "1"}, {"flags_quality", "none"}, {"action", "accept"}, {"flow_state", "end"}, {"direction", "egress"}, {"initiator", "src"},
      {"is_biflow", "1"}, {"encryption", "NX"}, {"source", "azure_vnet"}, {"reporter", "src"}, {"src_interface_id", "00:0d:3a:35:95:73"},
      {"src_vpc_id", "lab-1/lab-vnet"}, {"src_subnet_id", "lab-1/lab-vnet/default"}, {"src_account_id", "c088dc46-d692-42ad-a4b6-9a542d28ad2a"},
      {"src_region", "westus"}, {"cloud", "azure"}, {"rule_name", "DefaultRule_AllowInternetOutBound"}, {"extra.acl_id", "lab-1/lab-nsg"},
      {"extra.flow_log", "lab-log"},
  };
  EXPECT_EQ(d.rows.at(0), want);
}

TEST(AzureVnet, TheInterfaceIsTheDestinationOfWhatComesIn) {
  const Decoded d = run(decode_azure, vnet({"1733975966605,64.62.197.181,10.1.0.4,19795,2123,17,I,D,NX,0,0,0,0", "1733975966606,10.1.0.4,64.62.197.181,1,2,17,O,B,X,0,0,0,0"}));
  ASSERT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.at(0, "direction"), "ingress");
  EXPECT_EQ(d.at(0, "reporter"), "dst");
  EXPECT_EQ(d.at(0, "dst_vpc_id"), "lab-1/lab-vnet");
  EXPECT_EQ(d.at(0, "dst_mac"), std::to_string(0x000D3A359573));
  EXPECT_EQ(d.at(0, "src_vpc_id") + d.at(0, "src_mac") + d.at(0, "src_interface_id"), "");
  EXPECT_EQ(d.at(1, "src_vpc_id"), "lab-1/lab-vnet");
  EXPECT_EQ(d.at(1, "dst_vpc_id") + d.at(1, "dst_mac"), "");
  EXPECT_EQ(d.at(1, "encryption"), "X");
}

TEST(AzureVnet, DeniedIsAStateOfItsOwn) {
  const Decoded d = run(decode_azure, vnet({"1733975966605,64.62.197.181,10.1.0.4,19795,2123,17,I,D,NX,0,0,0,0", "1733975966605,10.1.0.9,10.1.0.4,1,2,6,I,D,NX_NOT_ACCEPTED,0,0,0,0"}));
  ASSERT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.at(0, "action"), "reject");
  EXPECT_EQ(d.at(0, "flow_state"), "");
  EXPECT_EQ(d.at(0, "flow_start"), "2024-12-12T03:59:26.605Z");
  EXPECT_EQ(d.at(0, "flow_end"), "2024-12-12T03:59:26.605Z");
  EXPECT_EQ(d.at(0, "time_quality"), "exact");
  EXPECT_EQ(d.at(0, "raw_bytes"), "0");
  EXPECT_EQ(d.at(0, "reject_reason"), "");
  EXPECT_EQ(d.at(1, "action"), "drop") << "not encrypted where it has to be";
  EXPECT_EQ(d.at(1, "reject_reason"), "NX_NOT_ACCEPTED");
}

// Microsoft's own example: counters of C and E are deltas, to be summed.
TEST(AzureVnet, DeltasOfOneFlowAddUp) {
  const std::string flow = ",10.0.0.6,23.61.20.1,40000,443,6,O,";
  const Decoded d = run(decode_azure, blob({vnet({"1733976000000" + flow + "B,NX,0,0,0,0"}), vnet({"1733976300000" + flow + "C,NX,1021,588096,8005,4610880"}),
                                            vnet({"1733976360000" + flow + "E,NX,52,29952,47,27072"})}));
  ASSERT_EQ(d.rows.size(), 3u);
  uint64_t packets = 0, bytes = 0;
  for (size_t i = 0; i < 3; ++i) {
    packets += std::stoull(d.at(i, "raw_packets")) + std::stoull(d.at(i, "raw_reverse_packets"));
    bytes += std::stoull(d.at(i, "raw_bytes")) + std::stoull(d.at(i, "raw_reverse_bytes"));
    EXPECT_EQ(d.at(i, "time_quality"), "exact") << "each begins where the one before ended";
  }
  EXPECT_EQ(packets, 9'125u);
  EXPECT_EQ(bytes, 5'256'000u);
  EXPECT_EQ(d.at(0, "flow_state") + d.at(1, "flow_state") + d.at(2, "flow_state"), "begincontinueend");
  EXPECT_EQ(d.at(0, "raw_bytes"), "0");
  EXPECT_EQ(d.at(0, "flow_start"), d.at(0, "flow_end"));
  EXPECT_EQ(d.at(1, "flow_start"), d.at(0, "flow_end"));
  EXPECT_EQ(d.at(2, "flow_start"), d.at(1, "flow_end"));
}

TEST(AzureVnet, AStartThatIsNotKnownIsEstimatedAndMarked) {
  const std::string flow = ",10.0.0.6,23.61.20.1,40000,443,6,O,";
  const auto at = [&](int64_t second, const std::string& rest) { return std::to_string(1'733'976'000 + second) + "000" + flow + rest + ",NX,1,2,3,4"; };
  const Decoded d = run(decode_azure, vnet({at(0, "C"), at(100, "E"), at(200, "E"), at(900, "B"), at(2'000, "C"), at(1'900, "E"), at(9'000, "C")}));
  ASSERT_EQ(d.rows.size(), 7u);
  const auto start_of = [&](size_t row) { return (*parse_timestamp(d.at(row, "flow_start")) - 1'733'976'000 * kSecond) / kSecond; };
  EXPECT_EQ(start_of(0), -300) << "nothing before it: one interval";
  EXPECT_EQ(d.at(0, "time_quality"), "estimated");
  EXPECT_EQ(start_of(1), 0);
  EXPECT_EQ(d.at(1, "time_quality"), "exact");
  EXPECT_EQ(start_of(2), 100) << "another flow: not before the end of the first";
  EXPECT_EQ(d.at(2, "time_quality"), "estimated");
  EXPECT_EQ(start_of(3), 900);
  EXPECT_EQ(d.at(3, "time_quality"), "exact");
  EXPECT_EQ(start_of(4), 1'700) << "reports in between are missing";
  EXPECT_EQ(d.at(4, "time_quality"), "estimated");
  EXPECT_EQ(start_of(5), 1'600) << "out of order";
  EXPECT_EQ(d.at(5, "time_quality"), "estimated");
  EXPECT_EQ(start_of(6), 8'700);
}

TEST(AzureVnet, AStartMayStandInAnEarlierBody) {
  const std::string flow = ",10.0.0.6,23.61.20.1,40000,443,6,O,";
  const auto at = [&](int64_t second, const std::string& rest) { return std::to_string(1'733'976'000 + second) + "000" + flow + rest + ",NX,1,2,3,4"; };
  AzureMemory memory;
  const auto starts = [&](const std::vector<std::string>& tuples, AzureMemory* of = nullptr) {
    DecodeContext context;
    context.azure = of;
    const Decoded d = run(decode_azure, vnet(tuples), context);
    std::string out;
    for (size_t i = 0; i < d.rows.size(); ++i)
      out += (out.empty() ? "" : " ") + std::to_string((*parse_timestamp(d.at(i, "flow_start")) - 1'733'976'000 * kSecond) / kSecond) + d.at(i, "time_quality").substr(0, 2) + d.at(i, "duplicate");
    return out;
  };
  // Pieces of a blob that grows.
  EXPECT_EQ(starts({at(0, "B")}, &memory), "0ex");
  EXPECT_EQ(starts({at(300, "C")}, &memory), "0ex");
  EXPECT_EQ(starts({at(600, "C"), at(650, "E")}, &memory), "300ex 600ex");
  // Sent again, because it could not be stored: the same, and not marked.
  EXPECT_EQ(starts({at(600, "C"), at(650, "E")}, &memory), "300ex 600ex");
  EXPECT_EQ(starts({at(650, "E")}, &memory), "300ex") << "of the two reports kept, the one before its own";
  // Ended: another flow of the same addresses, not before that.
  EXPECT_EQ(starts({at(800, "E")}, &memory), "650es");
  // Long ago, and out of order: not known.
  EXPECT_EQ(starts({at(9'000, "C")}, &memory), "8700es");
  EXPECT_EQ(starts({at(100, "C")}, &memory), "-200es");
  // Another's memory, and none.
  AzureMemory other;
  EXPECT_EQ(starts({at(9'300, "C")}, &other), "9000es");
  EXPECT_EQ(starts({at(9'300, "C")}), "9000es");
  EXPECT_EQ(starts({at(9'300, "C")}, &memory), "9000ex");
}

TEST(AzureMemory, AClockThatIsAheadDoesNotMakeTheOthersOld) {
  AzureMemory memory;
  DecodeContext context;
  context.azure = &memory;
  context.received_at = 1'733'976'100 * kSecond;
  const std::string flow = ",20.10.127.193,57892,443,6,O,B,NX,1,2,3,4";
  run(decode_azure, vnet({"1733976000000,10.1.0.4" + flow, "4102444800000,10.1.0.5" + flow, "60000,10.1.0.6" + flow}), context);
  size_t flows = 0;
  AzureMemory after;
  for (const auto& [number, bytes] : memory.take_changes()) {
    flows += bytes.size() / 25;
    EXPECT_TRUE(after.restore(bytes));
  }
  EXPECT_EQ(flows, 1u);
  const Decoded d = run(decode_azure, vnet({"1733976060000,10.1.0.4,20.10.127.193,57892,443,6,O,C,NX,1,2,3,4"}), {.received_at = context.received_at, .format = "", .azure = &after});
  EXPECT_EQ(d.at(0, "flow_start"), "2024-12-12T04:00:00Z");
  EXPECT_EQ(d.at(0, "time_quality"), "exact");
}

TEST(AzureMemory, IsBounded) {
  AzureMemory memory;
  for (uint64_t flow = 1; flow <= 2 * limits::kAzureFlowsKeptMax; ++flow) memory.keep(flow * 0x9e3779b97f4a7c15ull | 1, {static_cast<TimestampNs>(flow), true});
  size_t known = 0;
  for (uint64_t flow = 1; flow <= 2 * limits::kAzureFlowsKeptMax; ++flow) known += memory.before(flow * 0x9e3779b97f4a7c15ull | 1, kTimestampMax).has_value();
  EXPECT_LE(known, limits::kAzureFlowsKeptMax);
  EXPECT_GE(known, limits::kAzureFlowsKeptMax / 2) << "odd keys take every other place";
  EXPECT_TRUE(memory.before(2 * limits::kAzureFlowsKeptMax * 0x9e3779b97f4a7c15ull | 1, kTimestampMax)) << "the newest is kept";
  EXPECT_FALSE(memory.before(2 * limits::kAzureFlowsKeptMax * 0x9e3779b97f4a7c15ull | 1, 1)) << "nothing before it";
}

TEST(AzureVnet, TheVerySameReportAgainIsMarked) {
  const std::string flow = ",10.0.0.6,23.61.20.1,40000,443,6,O,";
  const Decoded d = run(decode_azure, blob({vnet({"1733976000000" + flow + "B,NX,0,0,0,0", "1733976000000" + flow + "E,NX,1,2,3,4"}), vnet({"1733976000000" + flow + "E,NX,1,2,3,4"}),
                                            vnet({"1733976000000" + flow + "E,NX,1,2,3,5", "1733976000001" + flow + "E,NX,1,2,3,5"})}));
  ASSERT_EQ(d.rows.size(), 5u);
  std::string marks;
  for (size_t i = 0; i < 5; ++i) marks += d.at(i, "duplicate") == "1" ? 'D' : d.at(i, "duplicate").empty() ? '.' : '?';
  EXPECT_EQ(marks, "..D..");
  const std::vector<std::string> begins(2, "1724090350,10.1.0.4,20.42.73.216,51236,443,T,O,A,B,,,,"), ends(2, "1724090350,10.1.0.4,20.42.73.216,51236,443,T,O,A,E,1,74,0,0");
  const Decoded n = run(decode_azure, nsg(2, {begins[0], begins[1], ends[0], ends[1]}));
  ASSERT_EQ(n.rows.size(), 4u);
  EXPECT_EQ(n.at(0, "duplicate") + n.at(1, "duplicate") + n.at(2, "duplicate"), "") << "two flows may begin within one second";
  EXPECT_EQ(n.at(3, "duplicate"), "1");
}

TEST(AzureVnet, FlowsOfTwoInterfacesAreTwoFlows) {
  std::string other = vnet({"1733976010000,10.0.0.6,23.61.20.1,40000,443,6,O,C,NX,1,2,3,4"});
  other.replace(other.find("000D3A359573"), 12, "000D3A000000");
  const Decoded d = run(decode_azure, blob({vnet({"1733976000000,10.0.0.6,23.61.20.1,40000,443,6,O,B,NX,0,0,0,0"}), other}));
  ASSERT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.at(1, "time_quality"), "estimated");
}

TEST(AzureVnet, ReadsIcmpIpv6AndTargets) {
  std::string nic = vnet({"1733975962447,fd00:10::4,2001:db8::1,0,0,58,O,C,NX,4,360,4,528"});
  const std::string target = "virtualNetworks/Lab-VNet/subnets/Default";
  nic.replace(nic.find(target), target.size(), "networkInterfaces/VM1-nic");
  const Decoded d = run(decode_azure, nic);
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "src_ip"), "fd00:10::4");
  EXPECT_EQ(d.at(0, "ip_version"), "6");
  EXPECT_EQ(d.at(0, "protocol"), "58");
  EXPECT_EQ(d.at(0, "src_port"), "0");
  EXPECT_EQ(d.at(0, "src_interface_id"), "lab-1/vm1-nic");
  EXPECT_EQ(d.at(0, "src_vpc_id"), "");
  // The newer form of the flow log's id.
  std::string newer = vnet({"1733975962447,10.0.0.1,10.0.0.2,1,2,6,O,B,NX,0,0,0,0"});
  const size_t at = newer.find("/SUBSCRIPTIONS/C0"), end = newer.find('"', at);
  newer.replace(at, end - at, "/C088DC46-D692-42AD-A4B6-9A542D28AD2A_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_LAB-VNET-LAB-1-FLOWLOGS");
  newer.replace(newer.find("/subscriptions/c088", newer.find("targetResourceID")), 51, "");
  const Decoded n = run(decode_azure, newer);
  ASSERT_EQ(n.rows.size(), 1u);
  EXPECT_EQ(n.at(0, "src_region"), "westeurope");
  EXPECT_EQ(n.at(0, "extra.flow_log"), "lab-vnet-lab-1-flowlogs");
  EXPECT_EQ(n.at(0, "src_account_id"), "c088dc46-d692-42ad-a4b6-9a542d28ad2a");
}

TEST(AzureNsg, Version2WithEmptyCounters) {
  const Decoded d = run(decode_azure, blob({nsg(2, {"1724090350,10.1.0.4,20.42.73.216,51236,443,T,O,A,B,,,,", "1724090355,10.1.0.4,20.42.73.216,51236,443,T,O,A,E,9,4817,0,0",
                                                    "1724090369,35.203.211.209,10.1.0.4,55740,38405,U,I,D,B,,,,"})}));
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 3u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  const NamedValues want = {
      {"flow_start", "2024-08-19T17:59:10Z"}, {"flow_end", "2024-08-19T17:59:10Z"}, {"time_quality", "exact"}, {"exported_at", "2024-08-19T18:00:06.894438400Z"},
      {"src_ip", "10.1.0.4"}, {"dst_ip", "20.42.73.216"}, {"src_port", "51236"}, {"dst_port", "443"}, {"protocol", "6"}, {"ip_version", "4"},
      {"src_mac", std::to_string(0x6045BDEC2533)}, {"byte_basis", "layer3"}, {"sampling_rate", "1"}, {"flags_quality", "none"}, {"action", "accept"},
      {"flow_state", "begin"}, {"direction", "egress"}, {"initiator", "src"}, {"is_biflow", "1"}, {"source", "azure_nsg"}, {"reporter", "src"},
      {"src_interface_id", "60:45:bd:ec:25:33"}, {"src_account_id", "11111111-2222-3333-a4b6-000000000000"}, {"cloud", "azure"}, {"rule_name", "UserRule_https"},
      {"extra.acl_id", "vm-test/test-nsg"},
  };
  EXPECT_EQ(d.rows[0], want) << "the flow's own MAC, and no counters where none are said";
  EXPECT_EQ(d.at(1, "flow_start"), "2024-08-19T17:59:10Z");
  EXPECT_EQ(d.at(1, "time_quality"), "exact");
  EXPECT_EQ(d.at(1, "raw_bytes"), "4817");
  EXPECT_EQ(d.at(1, "raw_reverse_bytes"), "0");
  EXPECT_EQ(d.at(2, "action"), "reject");
  EXPECT_EQ(d.at(2, "protocol"), "17");
}

TEST(AzureNsg, Version1HasNoStateAndNoCounters) {
  const Decoded d = run(decode_azure, nsg(1, {"1487282421,42.119.146.95,10.1.0.4,51529,5358,T,I,D"}));
  ASSERT_EQ(d.rows.size(), 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.at(0, "flow_end"), "2017-02-16T22:00:21Z");
  EXPECT_EQ(d.at(0, "action"), "reject");
  EXPECT_EQ(d.at(0, "flow_state") + d.at(0, "raw_bytes"), "");
  EXPECT_EQ(d.at(0, "is_biflow"), "0");
  EXPECT_EQ(d.at(0, "dst_mac"), std::to_string(0x6045BDEC2533));
}

TEST(Azure, EveryEnvelopeGivesTheSameRows) {
  const std::string a = vnet({"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0"}), b = nsg(2, {"1724090350,10.1.0.4,20.42.73.216,51236,443,T,O,A,B,,,,"});
  const Decoded want = run(decode_azure, blob({a, b}));
  ASSERT_EQ(want.rows.size(), 2u);
  const std::pair<const char*, std::string> bodies[] = {
      {"no end yet", R"({"records":[)" + a + "," + b}, {"a block from the middle", "," + a + "," + b}, {"lines", a + "\n" + b + "\n"}, {"list", "[" + a + ",\r\n" + b + "]"},
      {"records in records", R"({"records":[{"records":[)" + a + "]}," + b + "]}"}, {"byte order mark", "\xef\xbb\xbf" + blob({a, b})},
      {"blobs one behind the other", blob({a}) + blob({b})}, {"records last", R"({"hub":"x","records":[)" + a + "," + b + R"(],"n":2})"},
  };
  for (const auto& [name, body] : bodies) {
    const Decoded d = run(decode_azure, body);
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.rows, want.rows) << name;
    EXPECT_EQ(d.report->rejected, 0u) << name;
  }
  EXPECT_TRUE(run(decode_azure, R"({"records":[]})").rows.empty());
  EXPECT_EQ(run(decode_azure, R"({"records":[]})").report->rejected, 0u);
  EXPECT_EQ(run(decode_azure, nsg(2, {})).report->rejected, 0u) << "a record without flows";
}

TEST(Azure, ABadTupleCostsOnlyItself) {
  const std::string good = "1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0";
  const std::pair<const char*, const char*> bad[] = {
      {"x,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0", "time is not a Unix time: \"x\""},
      {",10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0", "time is not a Unix time: \"\""},
      {"9487282421,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0", "time is not a Unix time: \"9487282421\""},  // past the clock's end
      {"1733975972606,10.1.0,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0", "source is not an address: \"10.1.0\""},
      {"1733975972606,10.1.0.4,,57892,443,6,O,B,NX,0,0,0,0", "destination is not an address: \"\""},
      {"1733975972606,10.1.0.4,20.10.127.193,65536,443,6,O,B,NX,0,0,0,0", "source port is not one: \"65536\""},
      {"1733975972606,10.1.0.4,20.10.127.193,1,-1,6,O,B,NX,0,0,0,0", "destination port is not one: \"-1\""},
      {"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,18446744073709551616,0,0,0", "packets to the destination are not a number: \"18446744073709551616\""},
      {"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,1,2,3", "has 12 fields, not 13"},
      {"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,1,2,3,4,5", "has 14 fields, not 13"},
      {"", "has 1 field, not 13"},
  };
  for (const auto& [tuple, reason] : bad) {
    const Decoded d = run(decode_azure, vnet({good, tuple, good}));
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.rows.size(), 2u) << tuple;
    ASSERT_EQ(d.report->rejected, 1u) << tuple;
    EXPECT_NE(d.report->errors[0].reason.find(reason), std::string::npos) << d.report->errors[0].reason;
    EXPECT_NE(d.report->errors[0].reason.find("tuple 2"), std::string::npos) << d.report->errors[0].reason;
    EXPECT_EQ(d.report->errors[0].record, 1u);
  }
  std::string number = vnet({good, "7", good});
  number.replace(number.find("\"7\""), 3, "7");
  EXPECT_EQ(run(decode_azure, number).rows.size(), 2u);
}

// Fields are read several bytes at a time; here against what they were written from, in every length that there is.
TEST(Azure, NumbersAndAddressesOfEveryLength) {
  std::mt19937_64 random(11);
  const auto number = [&](int digits) {
    std::string text(1, static_cast<char>('1' + random() % 9));
    while (static_cast<int>(text.size()) < digits) text += static_cast<char>('0' + random() % 10);
    return text;
  };
  const auto octet = [&] { return std::to_string(random() % (random() % 2 ? 256 : random() % 2 ? 10 : 100)); };
  std::vector<std::string> tuples;
  std::vector<std::array<std::string, 8>> want;
  for (int i = 0; i < 3'000; ++i) {
    std::array<std::string, 8> f;
    for (size_t a = 0; a < 2; ++a) f[a] = octet() + "." + octet() + "." + octet() + "." + octet();
    f[2] = std::to_string(random() % 65'536);
    f[3] = std::to_string(random() % (random() % 2 ? 100 : 65'536));
    for (size_t c = 4; c < 8; ++c) f[c] = random() % 10 == 0 ? "0" : number(static_cast<int>(random() % 19) + 1);
    want.push_back(f);
    tuples.push_back("1733975972606," + f[0] + "," + f[1] + "," + f[2] + "," + f[3] + "," + std::to_string(random() % 256) + ",I,E,NX," + f[4] + "," + f[5] + "," + f[6] + "," + f[7]);
  }
  const Decoded d = run(decode_azure, vnet(tuples));
  ASSERT_EQ(d.rows.size(), want.size()) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  constexpr const char* kColumns[] = {"src_ip", "dst_ip", "src_port", "dst_port", "raw_packets", "raw_bytes", "raw_reverse_packets", "raw_reverse_bytes"};
  for (size_t i = 0; i < want.size(); ++i)
    for (size_t k = 0; k < 8; ++k) ASSERT_EQ(d.at(i, kColumns[k]), want[i][k]);

  for (const char* odd : {"1.2.3.256", "01.2.3.4", "1.2.3.04", "1..2.3", "1.2.3.4.5", "1234.1.1.1", "1.2.3.", ".1.2.3", "1.2.3.a", "1.2.3.4 ", "999.1.1.1", "1.2.3.\u00e9"}) {
    const Decoded bad = run(decode_azure, vnet({"1733975972606," + std::string(odd) + ",1.2.3.4,1,2,6,I,B,NX,0,0,0,0"}));
    EXPECT_EQ(bad.rows.size(), 0u) << odd;
    EXPECT_EQ(bad.report->rejected, 1u) << odd;
  }
  for (const char* odd : {"12a", "a1", "1 ", "+1", "1234567a", "12345678a", "a12345678", "123456789012345a", "1234567890123456a", "12345678901234567890123", "18446744073709551616", "/1", ":1"}) {
    const Decoded bad = run(decode_azure, vnet({"1733975972606,1.2.3.4,1.2.3.4,1,2,6,I,E,NX," + std::string(odd) + ",0,0,0"}));
    EXPECT_EQ(bad.rows.size(), 0u) << odd;
    EXPECT_EQ(bad.report->rejected, 1u) << odd;
  }
}

TEST(Azure, WordsThatAreNotKnownAreKeptAsTheyAre) {
  const Decoded d = run(decode_azure, vnet({"1733975972606,10.1.0.4,20.10.127.193,57892,443,ANY,S,Q,NX,0,0,0,0"}, R"("newThing":"said \"so\"","newList":[1],)"));
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "extra.protocol"), "ANY");
  EXPECT_EQ(d.at(0, "extra.direction"), "S");
  EXPECT_EQ(d.at(0, "extra.flow_state"), "Q");
  EXPECT_EQ(d.at(0, "extra.newThing"), "said \"so\"");
  EXPECT_EQ(d.at(0, "action"), "unknown");
  EXPECT_EQ(d.at(0, "protocol") + d.at(0, "direction") + d.at(0, "reporter") + d.at(0, "flow_state"), "");
}

TEST(Azure, ADamagedRecordCostsOnlyItself) {
  const std::string good = vnet({"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0"});
  const auto without = [&](const std::string& piece) {
    std::string record = good;
    record.erase(record.rfind(piece), piece.size());
    return record;
  };
  const std::string bad[] = {without("}]}"), without("\""), without("[\"17"), good.substr(0, good.size() / 2), good.substr(0, good.size() - 1), "{\"time\":}", "{\"time\":\"\xff\"}",
                             R"({"category":"FlowLogFlowEvent","time":"2024-12-12T04:00:24Z"})", R"({"time":"x","flowRecords":{"flows":[{"flowGroups":7}]}})"};
  for (const std::string& record : bad) {
    const Decoded d = run(decode_azure, blob({good, record, good, good}));
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->rejected, 1u) << record;
    EXPECT_GE(d.rows.size(), 3u) << record;
    EXPECT_LE(d.rows.size(), 4u) << record;
  }
  const Decoded other = run(decode_azure, blob({good, R"({"time":"2024-12-12T04:00:24Z","category":"NetworkSecurityGroupRuleCounter","properties":{}})"}));
  EXPECT_EQ(other.report->ignored, 1u);
  EXPECT_EQ(other.report->rejected, 0u);
}

TEST(Azure, TimesFromTheFutureAreClamped) {
  const Decoded d = run(decode_azure, vnet({"1733975972606,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,1,2,3,4"}), {.received_at = 1'733'970'000 * kSecond, .format = ""});
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "flow_end"), "2024-12-12T02:20:00Z");
  EXPECT_EQ(d.at(0, "time_quality"), "clamped");
  EXPECT_EQ(d.at(0, "extra.time"), "2024-12-12T03:59:32.606Z");
  EXPECT_EQ(d.at(0, "extra.acl_id"), "lab-1/lab-nsg");
  EXPECT_EQ(d.report->clamped_times, 1u);
}

TEST(Azure, TimesOfAClockThatWasNeverSetAreClamped) {
  const Decoded d = run(decode_azure, vnet({"60000,10.1.0.4,20.10.127.193,57892,443,6,O,E,NX,1,2,3,4"}), {.received_at = 1'733'970'000 * kSecond, .format = ""});
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "flow_end"), "2024-12-12T02:20:00Z");
  EXPECT_EQ(d.at(0, "time_quality"), "clamped");
  EXPECT_EQ(d.at(0, "extra.time"), "1970-01-01T16:40:00Z");
  EXPECT_EQ(d.report->clamped_times, 1u);
}

TEST(Azure, ManyTuplesMakeManyBatchesAndASinkCanStopThem) {
  std::vector<std::string> tuples;
  for (int i = 0; i < 40'000; ++i) tuples.push_back("1733975972606,10.1.0.4,20.10.127.193," + std::to_string(i) + ",443,6,O,B,NX,0,0,0,0");
  const std::string body = vnet(tuples);
  const Decoded d = run(decode_azure, body);
  EXPECT_EQ(d.rows.size(), 40'000u);
  EXPECT_GE(d.batches, 2u);
  for (size_t i = 0; i < d.rows.size(); i += 997) {
    EXPECT_EQ(d.at(i, "src_port"), std::to_string(i));
    EXPECT_EQ(d.at(i, "rule_name"), "DefaultRule_AllowInternetOutBound");
    EXPECT_EQ(d.at(i, "encryption"), "NX");
  }
  size_t calls = 0;
  const auto stopped = decode_azure(body, {}, [&](Batch&&) -> Status {
    ++calls;
    return Error{ErrorCode::full, "full"};
  });
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::full);
  EXPECT_EQ(calls, 1u);
}

}  // namespace
}  // namespace sluice::ingest
