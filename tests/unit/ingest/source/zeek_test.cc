#include "ingest/source/zeek.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

const std::string kHead =
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2020-06-05-14-39-59\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\t"
    "local_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\tcount\tstring\tcount\tcount\tcount\tcount\tset[string]\n";
const std::string kTcp =
    "1591367999.305988\tCMdzit1AMNsmfAIiQc\t192.168.4.76\t36844\t192.168.4.1\t53\ttcp\tdns\t0.066852\t62\t141\tSF\tT\tF\t0\tShADadFf\t2\t118\t2\t197\t(empty)\n";

NamedValues tcp_row() {
  return {{"flow_start", "2020-06-05T14:39:59.305988Z"}, {"flow_end", "2020-06-05T14:39:59.372840Z"}, {"time_quality", "exact"},
          {"src_ip", "192.168.4.76"}, {"dst_ip", "192.168.4.1"}, {"src_port", "36844"}, {"dst_port", "53"}, {"protocol", "6"},
          {"ip_version", "4"}, {"raw_bytes", "118"}, {"raw_packets", "2"}, {"raw_reverse_bytes", "197"}, {"raw_reverse_packets", "2"},
          {"byte_basis", "layer3"}, {"sampling_rate", "1"}, {"tcp_flags", "19"}, {"reverse_tcp_flags", "19"},
          {"flags_quality", "syn_fin_rst_only"}, {"end_reason", "end_of_flow"}, {"initiator", "src"}, {"is_biflow", "1"},
          {"source", "zeek"}, {"reporter", "middle"}, {"flow_id", "CMdzit1AMNsmfAIiQc"}, {"app", "dns"}, {"src_is_internal", "1"},
          {"dst_is_internal", "0"}, {"extra.conn_state", "SF"}, {"extra.history", "ShADadFf"}, {"extra.orig_bytes", "62"},
          {"extra.resp_bytes", "141"}};
}

// One record of the common fields; "-" where not named.
std::string line_of(const std::map<std::string, std::string>& values) {
  static const std::vector<std::string> names = {"ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration",
                                                 "orig_bytes", "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history",
                                                 "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents"};
  static const std::map<std::string, std::string> common = {{"ts", "1700000000.5"}, {"id.orig_h", "10.0.0.1"}, {"id.orig_p", "40000"},
                                                            {"id.resp_h", "10.0.0.2"}, {"id.resp_p", "80"}, {"proto", "tcp"}};
  std::string line;
  for (const auto& name : names) {
    const auto value = values.contains(name) ? values.at(name) : common.contains(name) ? common.at(name) : "-";
    line += (line.empty() ? "" : "\t") + value;
  }
  return line + "\n";
}
Decoded one(const std::map<std::string, std::string>& values) {
  Decoded d = run(decode_zeek, kHead + line_of(values));
  EXPECT_TRUE(d.report.ok()) << d.report.error().message;
  if (d.report.ok() && !d.report->errors.empty()) ADD_FAILURE() << d.report->errors[0].reason;
  return d;
}

TEST(Zeek, ReadsTabSeparatedText) {
  const Decoded d = run(decode_zeek, kHead + kTcp + "#close\t2020-06-05-15-00-00\n");
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.rows[0], tcp_row());
}

TEST(Zeek, ReadsJsonTheSame) {
  const std::string flat =
      R"({"ts":1591367999.305988,"uid":"CMdzit1AMNsmfAIiQc","id.orig_h":"192.168.4.76","id.orig_p":36844,"id.resp_h":"192.168.4.1","id.resp_p":53,)"
      R"("proto":"tcp","service":"dns","duration":0.066852,"orig_bytes":62,"resp_bytes":141,"conn_state":"SF","local_orig":true,"local_resp":false,)"
      R"("missed_bytes":0,"history":"ShADadFf","orig_pkts":2,"orig_ip_bytes":118,"resp_pkts":2,"resp_ip_bytes":197,"tunnel_parents":[]})";
  std::string nested = flat, iso = flat, exponent = flat;
  nested.replace(nested.find("\"id.orig_h\""), nested.find("\"proto\"") - nested.find("\"id.orig_h\""),
                 R"("id":{"orig_h":"192.168.4.76","orig_p":36844,"resp_h":"192.168.4.1","resp_p":53},)");
  iso.replace(iso.find("1591367999.305988"), 17, "\"2020-06-05T14:39:59.305988Z\"");
  exponent.replace(exponent.find("0.066852"), 8, "6.6852e-02");
  for (const std::string& body : {flat, flat + "\n", nested, iso, exponent, "[" + flat + "]"}) {
    const Decoded d = run(decode_zeek, body);
    ASSERT_TRUE(d.report.ok());
    ASSERT_EQ(d.report->accepted, 1u) << body << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.rows[0], tcp_row()) << body;
  }
}

TEST(Zeek, StreamsOfSeveralLogsInJson) {
  const Decoded d = run(decode_zeek,
                        "{\"_path\":\"dns\",\"_write_ts\":\"2020-06-05T14:40:00Z\",\"ts\":1591367999.3,\"query\":\"x\"}\n"
                        "{\"_path\":\"conn\",\"_system_name\":\"tap1\",\"_write_ts\":\"2020-06-05T14:40:00Z\",\"ts\":1591367999.3,\"id.orig_h\":\"::1\","
                        "\"id.orig_p\":1,\"id.resp_h\":\"::2\",\"id.resp_p\":2,\"proto\":\"udp\",\"tunnel_parents\":[\"Ca\",\"Cb\"],\"community_id\":\"1:x\"}\n");
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->ignored, 1u);
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "exported_at"), "2020-06-05T14:40:00Z");
  EXPECT_EQ(d.at(0, "extra._system_name"), "tap1");
  EXPECT_EQ(d.at(0, "extra.tunnel_parents"), "Ca,Cb");
  EXPECT_EQ(d.at(0, "extra.community_id"), "1:x");
  EXPECT_EQ(d.at(0, "ip_version"), "6");
}

TEST(Zeek, UnsetIsNullAndEmptyIsNothing) {
  const Decoded d = one({{"proto", "udp"}});
  EXPECT_EQ(d.rows.at(0), (NamedValues{{"flow_start", "2023-11-14T22:13:20.500Z"}, {"flow_end", "2023-11-14T22:13:20.500Z"}, {"time_quality", "estimated"},
                                   {"src_ip", "10.0.0.1"}, {"dst_ip", "10.0.0.2"}, {"src_port", "40000"}, {"dst_port", "80"}, {"protocol", "17"},
                                   {"ip_version", "4"}, {"sampling_rate", "1"}, {"flags_quality", "none"}, {"initiator", "src"}, {"is_biflow", "1"},
                                   {"source", "zeek"}, {"reporter", "middle"}}));
}

TEST(Zeek, AMissingDurationIsExactForOnePacketOnly) {
  EXPECT_EQ(one({{"orig_pkts", "1"}, {"resp_pkts", "0"}}).at(0, "time_quality"), "exact");
  EXPECT_EQ(one({{"orig_pkts", "2"}, {"resp_pkts", "0"}}).at(0, "time_quality"), "estimated");
  EXPECT_EQ(one({{"orig_pkts", "1"}, {"resp_pkts", "1"}}).at(0, "time_quality"), "estimated");
  EXPECT_EQ(one({{"duration", "0.000000"}, {"orig_pkts", "2"}}).at(0, "time_quality"), "exact");
}

TEST(Zeek, PayloadBytesStandInWhereIpBytesAreNotCounted) {
  const Decoded payload = one({{"orig_bytes", "100"}, {"resp_bytes", "200"}});
  EXPECT_EQ(payload.at(0, "raw_bytes"), "100");
  EXPECT_EQ(payload.at(0, "raw_reverse_bytes"), "200");
  EXPECT_EQ(payload.at(0, "byte_basis"), "payload");
  const Decoded ip = one({{"orig_bytes", "100"}, {"resp_bytes", "200"}, {"orig_ip_bytes", "140"}, {"resp_ip_bytes", "240"}});
  EXPECT_EQ(ip.at(0, "raw_bytes"), "140");
  EXPECT_EQ(ip.at(0, "byte_basis"), "layer3");
  EXPECT_EQ(ip.at(0, "extra.orig_bytes"), "100");
}

TEST(Zeek, HistoryTellsFlagsAndWhoBegan) {
  const struct {
    const char *history, *flags, *reverse, *initiator;
  } cases[] = {
      {"S", "2", "0", "src"}, {"Sr", "2", "4", "src"}, {"ShADadfFR", "23", "19", "src"}, {"h", "0", "18", "src"},
      {"Dd", "16", "16", "unknown"}, {"^hCadDf", "16", "19", "src"}, {"F", "1", "0", "unknown"},
  };
  for (const auto& c : cases) {
    const Decoded d = one({{"history", c.history}, {"conn_state", "S0"}});
    EXPECT_EQ(d.at(0, "tcp_flags"), c.flags) << c.history;
    EXPECT_EQ(d.at(0, "reverse_tcp_flags"), c.reverse) << c.history;
    EXPECT_EQ(d.at(0, "initiator"), c.initiator) << c.history;
    EXPECT_EQ(d.at(0, "flags_quality"), "syn_fin_rst_only");
  }
  // No history: the state tells, and no flags are made up.
  EXPECT_EQ(one({{"conn_state", "OTH"}}).at(0, "initiator"), "unknown");
  EXPECT_EQ(one({{"conn_state", "S1"}}).at(0, "initiator"), "src");
  EXPECT_EQ(one({{"conn_state", "S1"}}).at(0, "tcp_flags"), "");
  // A history of UDP holds D and d: no flags.
  const Decoded udp = one({{"proto", "udp"}, {"history", "Dd"}});
  EXPECT_EQ(udp.at(0, "tcp_flags"), "");
  EXPECT_EQ(udp.at(0, "initiator"), "src");
}

TEST(Zeek, ConnStateTellsTheEndOnlyWhereItIsOne) {
  for (const char* state : {"SF", "REJ", "RSTO", "RSTR", "RSTOS0", "RSTRH"}) EXPECT_EQ(one({{"conn_state", state}}).at(0, "end_reason"), "end_of_flow") << state;
  for (const char* state : {"S0", "S1", "S2", "S3", "SH", "SHR", "OTH"}) EXPECT_EQ(one({{"conn_state", state}}).at(0, "end_reason"), "") << state;
  EXPECT_EQ(one({{"conn_state", "REJ"}}).at(0, "action"), "");  // the host refused, nobody on the way did
}

TEST(Zeek, IcmpPortsAreTypeAndCode) {
  const Decoded echo = one({{"proto", "icmp"}, {"id.orig_p", "8"}, {"id.resp_p", "0"}});
  EXPECT_EQ(echo.at(0, "protocol"), "1");
  EXPECT_EQ(echo.at(0, "icmp_type"), "8");
  EXPECT_EQ(echo.at(0, "icmp_code"), "");  // 0 is the type of the answer
  EXPECT_EQ(echo.at(0, "src_port"), "");
  const Decoded unreachable = one({{"proto", "icmp"}, {"id.orig_p", "3"}, {"id.resp_p", "13"}});
  EXPECT_EQ(unreachable.at(0, "icmp_type"), "3");
  EXPECT_EQ(unreachable.at(0, "icmp_code"), "13");
  const Decoded v6 = one({{"proto", "icmp"}, {"id.orig_h", "fe80::1"}, {"id.resp_h", "ff02::1"}, {"id.orig_p", "134"}, {"id.resp_p", "133"}});
  EXPECT_EQ(v6.at(0, "protocol"), "58");
  EXPECT_EQ(v6.at(0, "icmp_type"), "134");
  EXPECT_EQ(v6.at(0, "icmp_code"), "");
}

TEST(Zeek, FieldsInAnyOrderMoreOfThemAndAgain) {
  const std::string other =
      "#fields\tid.resp_h\tid.orig_h\tts\tproto\tip_proto\tvlan\tinner_vlan\torig_l2_addr\tresp_l2_addr\tnew_field\n"
      "10.9.9.9\t10.8.8.8\t1700000000.000001\tunknown_transport\t47\t100\t200\t00:1b:21:3c:9d:f8\t00:1b:21:3c:9d:f9\ta\\x09b\\\\c\n";
  const Decoded d = run(decode_zeek, kHead + kTcp + other);
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 2u) << d.report->errors[0].reason;
  EXPECT_EQ(d.at(1, "src_ip"), "10.8.8.8");
  EXPECT_EQ(d.at(1, "protocol"), "47");
  EXPECT_EQ(d.at(1, "vlan"), "100");
  EXPECT_EQ(d.at(1, "inner_vlan"), "200");
  EXPECT_EQ(d.at(1, "src_mac"), std::to_string(0x001b213c9df8));
  EXPECT_EQ(d.at(1, "dst_mac"), std::to_string(0x001b213c9df9));
  EXPECT_EQ(d.at(1, "flow_start"), "2023-11-14T22:13:20.000001Z");
  EXPECT_EQ(d.at(1, "extra.new_field"), "a\xef\xbf\xbd" "b\\c");
}

TEST(Zeek, OtherSeparatorsAndMarks) {
  const Decoded d = run(decode_zeek,
                        "#separator \\x7c\n#unset_field|NULL\n#empty_field|EMPTY\n#fields|ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|service|tunnel_parents\n"
                        "1700000000|10.0.0.1|1|10.0.0.2|2|tcp|NULL|EMPTY\n");
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "app"), "");
  EXPECT_EQ(d.at(0, "extra.tunnel_parents"), "");
}

TEST(Zeek, ABadRecordCostsItself) {
  const std::string body = kHead + kTcp + line_of({{"id.orig_h", "not.an.address"}}) + line_of({{"id.orig_p", "65536"}}) + line_of({{"duration", "-1"}}) +
                           "1591367999.3\tonly\tthree\n" + line_of({}).substr(0, line_of({}).size() - 1) + "\tmore\n" + line_of({{"ts", "-"}}) +
                           line_of({{"local_orig", "maybe"}}) + line_of({{"duration", "99999999999"}}) + kTcp;
  const Decoded d = run(decode_zeek, body);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  ASSERT_EQ(d.report->rejected, 8u);
  const std::vector<std::string> reasons = {
      "id.orig_h is no address: \"not.an.address\"", "id.orig_p is no number from 0 to 65535: \"65536\"", "duration is no span of time: \"-1\"",
      "too few fields: 3, #fields names 21", "too many fields: 22, #fields names 21", "ts is not there", "local_orig is neither T nor F: \"maybe\""};
  for (size_t i = 0; i < reasons.size(); ++i) {
    EXPECT_EQ(d.report->errors[i].record, 10 + i);
    EXPECT_EQ(d.report->errors[i].reason.substr(0, reasons[i].size()), reasons[i]);
  }
}

TEST(Zeek, ABodyWithoutFieldsIsAnErrorUnlessTheyAreConfigured) {
  const Decoded none = run(decode_zeek, kTcp);
  ASSERT_FALSE(none.report.ok());
  EXPECT_NE(none.report.error().message.find("line 1: no #fields line"), std::string::npos);
  const Decoded configured = run(decode_zeek, "1700000000\t10.0.0.1\t10.0.0.2\n", {.received_at = 0, .format = "ts id.orig_h,id.resp_h"});
  ASSERT_TRUE(configured.report.ok());
  EXPECT_EQ(configured.rows.size(), 1u);
  EXPECT_FALSE(run(decode_zeek, "x", {.received_at = 0, .format = "uid service"}).report.ok());
  const Decoded dns = run(decode_zeek, "#separator \\x09\n#path\tdns\n#fields\tts\tuid\tquery\n1\tC\tx\n");
  ASSERT_FALSE(dns.report.ok());
  EXPECT_NE(dns.report.error().message.find("this is no conn.log"), std::string::npos) << dns.report.error().message;
  // Further down, another log is passed over.
  const Decoded later = run(decode_zeek, kHead + kTcp + "#path\tdns\n#fields\tts\tuid\tquery\n1\tC\tx\n#path\tconn\n" + kHead + kTcp);
  ASSERT_TRUE(later.report.ok());
  EXPECT_EQ(later.rows.size(), 2u);
  EXPECT_EQ(later.report->ignored, 1u);
  std::string many = "#fields\tts\tid.orig_h\tid.resp_h";
  for (size_t i = 0; i < limits::kHeaderColumnsMax - 3; ++i) many += "\tf" + std::to_string(i);
  EXPECT_TRUE(run(decode_zeek, many + "\n").report.ok());
  EXPECT_FALSE(run(decode_zeek, many + "\tone\n").report.ok());
}

TEST(Zeek, FutureTimesAreClamped) {
  const Decoded d = run(decode_zeek, kHead + kTcp, {.received_at = 1'500'000'000 * kSecond, .format = ""});
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->clamped_times, 1u);
  EXPECT_EQ(d.at(0, "flow_end"), "2017-07-14T02:40:00Z");
  EXPECT_EQ(d.at(0, "time_quality"), "clamped");
  EXPECT_EQ(d.at(0, "extra.end"), "2020-06-05T14:39:59.372840Z");
}

TEST(Zeek, TimesOfAClockThatWasNeverSetAreClamped) {
  const DecodeContext context{.received_at = 1'700'000'000 * kSecond, .format = ""};
  const std::string record = R"({"ts":%,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2"})";
  const auto at = [&](const char* time) { return run(decode_zeek, std::string(record).replace(record.find('%'), 1, time), context); };
  for (const char* time : {"0", "12.5", "946684799", "-7"}) {
    const Decoded d = at(time);
    ASSERT_EQ(d.rows.size(), 1u) << time;
    EXPECT_EQ(d.at(0, "flow_end"), "2023-11-14T22:13:20Z") << time;
    EXPECT_EQ(d.at(0, "flow_start"), "") << time;
    EXPECT_EQ(d.at(0, "time_quality"), "clamped") << time;
    EXPECT_EQ(d.report->clamped_times, 1u) << time;
  }
  EXPECT_EQ(at("0").at(0, "extra.start") + at("0").at(0, "extra.end"), "1970-01-01T00:00:00Z1970-01-01T00:00:00Z");
  EXPECT_EQ(at("946684800").at(0, "flow_end"), "2000-01-01T00:00:00Z");
  EXPECT_EQ(at("946684800").report->clamped_times, 0u);
}

TEST(Zeek, ManyRowsBecomeSeveralBatches) {
  std::string body = kHead;
  for (int i = 0; i < 40'000; ++i) body += kTcp;
  const Decoded d = run(decode_zeek, body);
  EXPECT_EQ(d.rows.size(), 40'000u);
  EXPECT_GE(d.batches, 2u);
}

}  // namespace
}  // namespace sluice::ingest
