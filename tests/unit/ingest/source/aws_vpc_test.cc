#include "ingest/source/aws_vpc.h"

#include <gtest/gtest.h>

#include "ingest/receive/limits.h"
#include "ingest/source/aws_fields.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"
#include "storage/model/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::run;

constexpr std::string_view kAwsHeader =
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
constexpr std::string_view kLine = "2 123456789010 eni-1 172.31.16.139 8.8.8.8 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n";

std::string operator+(std::string_view a, std::string_view b) { return std::string(a).append(b); }

// A body whose header is `fields` and whose one record is `values`.
Decoded of_line(const std::string& fields, const std::string& values) { return run(decode_aws_vpc, fields + "\n" + values + "\n"); }

TEST(AwsVpc, ReadsTheDefaultFormatWithAndWithoutHeader) {
  for (const std::string& body : {kAwsHeader + kLine, std::string(kLine), "\xef\xbb\xbf" + (kAwsHeader + kLine)}) {
    const Decoded d = run(decode_aws_vpc, body, {.received_at = 1'700'000'000 * kSecond, .format = ""});
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    EXPECT_EQ(d.report->accepted, 1u);
    EXPECT_EQ(d.report->rejected, 0u);
    const test::NamedValues want = {
        {"flow_start", "2014-12-14T04:06:50Z"}, {"flow_end", "2014-12-14T04:07:50Z"}, {"received_at", "2023-11-14T22:13:20Z"},
        {"time_quality", "exact"}, {"src_ip", "172.31.16.139"}, {"dst_ip", "8.8.8.8"}, {"src_port", "20641"}, {"dst_port", "22"},
        {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "4249"}, {"raw_packets", "20"}, {"byte_basis", "layer3"},
        {"sampling_rate", "1"}, {"flags_quality", "none"}, {"action", "accept"}, {"is_biflow", "0"}, {"source", "aws_vpc"},
        {"reporter", "src"}, {"src_interface_id", "eni-1"}, {"src_account_id", "123456789010"}, {"cloud", "aws"},
        {"log_status", "OK"},
    };
    EXPECT_EQ(d.rows.at(0), want);
  }
}

TEST(AwsVpc, ReadsEveryFieldOfVersions2To11) {
  std::string header, values;
  const auto add = [&](const char* name, const char* value) {
    header += (header.empty() ? "" : " ") + std::string(name);
    values += (values.empty() ? "" : " ") + std::string(value);
  };
  add("version", "11");
  add("account-id", "123456789010");
  add("interface-id", "eni-1");
  add("srcaddr", "10.0.0.5");
  add("dstaddr", "10.0.0.9");
  add("srcport", "40000");
  add("dstport", "443");
  add("protocol", "6");
  add("packets", "18446744073709551615");
  add("bytes", "5000000000");
  add("start", "1700000000");
  add("end", "1700000060");
  add("action", "REJECT");
  add("log-status", "OK");
  add("vpc-id", "vpc-1");
  add("subnet-id", "subnet-1");
  add("instance-id", "i-1");
  add("tcp-flags", "2");
  add("type", "IPv4");
  add("pkt-srcaddr", "10.0.0.5");
  add("pkt-dstaddr", "2001:db8::1");
  add("region", "eu-west-1");
  add("az-id", "euw1-az1");
  add("sublocation-type", "outpost");
  add("sublocation-id", "op-1");
  add("pkt-src-aws-service", "EC2");
  add("pkt-dst-aws-service", "S3");
  add("flow-direction", "egress");
  add("traffic-path", "8");
  for (const char* ecs : {"cluster-arn", "cluster-name", "container-instance-arn", "container-instance-id", "container-id",
                          "second-container-id", "service-name", "task-definition-arn", "task-arn", "task-id"})
    add((std::string("ecs-") + ecs).c_str(), (std::string("the-") + ecs).c_str());
  add("reject-reason", "BPA");
  add("resource-id", "nat-1");
  add("encryption-status", "3");
  add("instance-tag", "web%20server%3d1%0a");
  add("instance-tag-2", "%e2%82%ac");
  add("interface-tag", "%zz%4");
  add("interface-tag-2", "-");
  add("asg-tag", "a=b");
  add("asg-tag-2", "x");
  add("interface-type", "nat_gateway");
  add("next-hop-interface-id", "eni-2");
  add("next-hop-interface-type", "transit_gateway");
  add("next-hop-subnet-id", "subnet-2");
  add("next-hop-az-id", "euw1-az2");
  add("next-hop-vpc-id", "vpc-2");
  size_t known = 0;
  for (const auto& field : aws::fields()) known += field.version != 6;
  EXPECT_EQ(static_cast<size_t>(std::count(header.begin(), header.end(), ' ')) + 1, known) << "a field of the table has no value here";

  const Decoded d = of_line(header, values);
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  const test::NamedValues want = {
      {"flow_start", "2023-11-14T22:13:20Z"}, {"flow_end", "2023-11-14T22:14:20Z"}, {"time_quality", "exact"},
      {"src_ip", "10.0.0.5"}, {"dst_ip", "2001:db8::1"}, {"if_dst_ip", "10.0.0.9"}, {"src_port", "40000"}, {"dst_port", "443"},
      {"protocol", "6"}, {"ip_version", "4"}, {"raw_packets", "18446744073709551615"}, {"raw_bytes", "5000000000"},
      {"byte_basis", "layer3"}, {"sampling_rate", "1"}, {"tcp_flags", "2"}, {"flags_quality", "syn_fin_rst_only"},
      {"initiator", "src"}, {"action", "reject"}, {"reject_reason", "BPA"}, {"direction", "egress"}, {"is_biflow", "0"},
      {"encryption", "nitro-and-application-encrypted"}, {"traffic_path", "8"}, {"source", "aws_vpc"}, {"reporter", "src"},
      {"src_instance_id", "i-1"}, {"src_interface_id", "eni-1"}, {"src_vpc_id", "vpc-1"}, {"src_subnet_id", "subnet-1"},
      {"src_account_id", "123456789010"}, {"src_region", "eu-west-1"}, {"src_zone", "euw1-az1"}, {"src_service", "EC2"},
      {"dst_service", "S3"}, {"cloud", "aws"}, {"log_status", "OK"}, {"extra.sublocation_type", "outpost"},
      {"extra.sublocation_id", "op-1"}, {"extra.ecs_cluster_arn", "the-cluster-arn"}, {"extra.ecs_cluster_name", "the-cluster-name"},
      {"extra.ecs_container_instance_arn", "the-container-instance-arn"},
      {"extra.ecs_container_instance_id", "the-container-instance-id"}, {"extra.ecs_container_id", "the-container-id"},
      {"extra.ecs_second_container_id", "the-second-container-id"}, {"extra.ecs_service_name", "the-service-name"},
      {"extra.ecs_task_definition_arn", "the-task-definition-arn"}, {"extra.ecs_task_arn", "the-task-arn"},
      {"extra.ecs_task_id", "the-task-id"}, {"extra.resource_id", "nat-1"}, {"extra.instance_tag", "web server=1\xef\xbf\xbd"},
      {"extra.instance_tag_2", "€"}, {"extra.interface_tag", "%zz%4"}, {"extra.asg_tag", "a=b"}, {"extra.asg_tag_2", "x"},
      {"extra.interface_type", "nat_gateway"}, {"extra.next_hop_interface_id", "eni-2"},
      {"extra.next_hop_interface_type", "transit_gateway"}, {"extra.next_hop_subnet_id", "subnet-2"},
      {"extra.next_hop_az_id", "euw1-az2"}, {"extra.next_hop_vpc_id", "vpc-2"},
  };
  EXPECT_EQ(d.rows.at(0), want);
}

TEST(AwsVpc, TakesTheConfiguredFormat) {
  const std::string record = "10.0.0.1 5.5.5.5 443 1700000000\n";
  for (const char* format : {"${srcaddr} ${dstaddr} ${dstport} ${end}", "srcaddr dstaddr dstport end", "SRCADDR, dstaddr,dstport  end"}) {
    const Decoded d = run(decode_aws_vpc, record, {.received_at = 0, .format = format});
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    ASSERT_EQ(d.report->accepted, 1u) << format;
    EXPECT_EQ(d.at(0, "dst_port"), "443");
  }
  // Names as Parquet has them; a header in the body is stronger than the setting.
  const Decoded d = run(decode_aws_vpc, "interface_id pkt_dstaddr end\neni-1 9.9.9.9 1700000000\n", {.received_at = 0, .format = "srcaddr dstaddr"});
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.at(0, "dst_ip"), "9.9.9.9");
  EXPECT_FALSE(run(decode_aws_vpc, record, {.received_at = 0, .format = "${nothing} ${known}"}).report.ok());
  EXPECT_FALSE(run(decode_aws_vpc, record, {.received_at = 0, .format = "srcaddr srcaddr"}).report.ok());
}

TEST(AwsVpc, ToleratesBlanksLineEndsAndRepeatedHeaders) {
  const std::string line(kLine.substr(0, kLine.size() - 1));
  std::string doubled = line;
  doubled.replace(doubled.find(" 22 "), 4, "   22 \t");
  const Decoded d = run(decode_aws_vpc, kAwsHeader + doubled + "\r\n\r\n  \n" + std::string(kAwsHeader) + line);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->accepted, 2u);
  EXPECT_EQ(d.report->rejected, 0u);
  EXPECT_EQ(d.rows[0], d.rows[1]);
  // Concatenated objects of different formats.
  const Decoded two = run(decode_aws_vpc, kAwsHeader + kLine + "srcaddr dstaddr end\n1.2.3.4 10.0.0.1 1700000000\n" + std::string(kAwsHeader) + line);
  ASSERT_TRUE(two.report.ok());
  ASSERT_EQ(two.report->accepted, 3u);
  EXPECT_EQ(two.at(1, "dst_ip"), "10.0.0.1");
  EXPECT_EQ(two.at(1, "src_port"), "");
  EXPECT_EQ(two.rows[0], two.rows[2]);
}

TEST(AwsVpc, KeepsUnknownFieldsInExtra) {
  const Decoded d = of_line("srcaddr dstaddr end Brand-New-Field", "1.2.3.4 10.0.0.1 1700000000 hello");
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.at(0, "extra.brand_new_field"), "hello");
}

TEST(AwsVpc, DashIsNull) {
  const Decoded d = of_line("srcaddr dstaddr srcport dstport protocol packets bytes start end action tcp-flags traffic-path instance-id reject-reason log-status",
                        "10.0.0.1 - - - - - - - 1700000000 - - - - - -");
  ASSERT_EQ(d.report->accepted, 1u);
  EXPECT_EQ(d.rows[0], (test::NamedValues{{"src_ip", "10.0.0.1"}, {"flow_end", "2023-11-14T22:13:20Z"}, {"time_quality", "exact"},
                                      {"ip_version", "4"}, {"byte_basis", "layer3"}, {"sampling_rate", "1"}, {"flags_quality", "none"},
                                      {"is_biflow", "0"}, {"source", "aws_vpc"}, {"cloud", "aws"}}));
  // Some exports write the word.
  const Decoded null = of_line("srcaddr dstaddr srcport end", "null 10.0.0.1 null 1700000000");
  ASSERT_EQ(null.report->accepted, 1u);
  EXPECT_EQ(null.at(0, "src_ip"), "");
}

TEST(AwsVpc, CountsNoDataAndSkippedData) {
  const Decoded d = run(decode_aws_vpc, kAwsHeader + "2 1 eni-1 - - - - - - - 1431280876 1431280934 - NODATA\n"
                                                   "2 1 eni-1 - - - - - - - 1431280800 1431280830 - SKIPDATA\n"
                                                   "2 1 eni-1 - - - - - - - 1512564058000 1512564059000 - SKIPDATA\n" + std::string(kLine));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->accepted, 1u);
  EXPECT_EQ(d.report->no_data, 1u);
  EXPECT_EQ(d.report->skipped_data, 2u);
  EXPECT_EQ(d.report->rejected, 0u);
  EXPECT_EQ(d.report->skipped_range, (TimeRange{1431280800 * kSecond, 1512564060 * kSecond}));
  // A custom order, and a format that does not tell the status.
  EXPECT_EQ(of_line("log-status end start interface-id", "SKIPDATA 1431280934 1431280876 eni-1").report->skipped_range,
            (TimeRange{1431280876 * kSecond, 1431280935 * kSecond}));
  EXPECT_EQ(of_line("interface-id srcaddr dstaddr bytes packets start end", "eni-1 - - - - 1431280876 1431280934").report->no_data, 1u);
}

TEST(AwsVpc, RejectsBadRecordsAndKeepsTheirNeighbours) {
  const std::string good(kLine);
  const auto with = [&](const char* what, const char* instead) {
    std::string line = good;
    line.replace(line.find(what), std::strlen(what), instead);
    return line;
  };
  const struct {
    std::string line, reason;
  } cases[] = {
      {with(" OK", ""), "too few fields: 13, the format has 14"},
      {with(" OK", " OK more"), "too many fields: 15, the format has 14"},
      {with("20641", "65536"), "srcport is not a number from 0 to 65535: \"65536\""},
      {with(" 22 ", " -1 "), "dstport is not a number from 0 to 65535: \"-1\""},
      {with(" 6 ", " 256 "), "protocol is not a number from 0 to 255: \"256\""},
      {with(" 20 ", " 18446744073709551616 "), "packets is not a number from 0 to 18446744073709551615: \"18446744073709551616\""},
      {with("4249", "4e3"), "bytes is not a number from 0 to 18446744073709551615: \"4e3\""},
      {with("172.31.16.139", "172.31.16.256"), "srcaddr is not an address: \"172.31.16.256\""},
      {with("8.8.8.8", "8.8.8"), "dstaddr is not an address: \"8.8.8\""},
      {with("8.8.8.8", "8.8.8.08"), "dstaddr is not an address: \"8.8.8.08\""},
      {with("1418530070", "99999999999"), "end is not a Unix time in seconds or milliseconds: \"99999999999\""},
      {with("1418530070", "100000000000001"), "end is not a Unix time in seconds or milliseconds: \"100000000000001\""},
      {with("20641", "20\x01\xff\"41"), "srcport is not a number from 0 to 65535: \"20\\x01\\xff\\x2241\""},
  };
  for (const auto& c : cases) {
    const Decoded d = run(decode_aws_vpc, kAwsHeader + good + c.line + good);
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->accepted, 2u) << c.reason;
    ASSERT_EQ(d.report->rejected, 1u) << c.reason;
    EXPECT_EQ(d.report->errors[0].record, 3u);
    EXPECT_EQ(d.report->errors[0].reason, c.reason);
    EXPECT_EQ(d.rows[0], d.rows[1]);
  }
  std::string many(kAwsHeader);
  for (size_t i = 0; i < limits::kReportedErrorsMax + 5; ++i) many += "2 short\n";
  const Decoded d = run(decode_aws_vpc, many);
  EXPECT_EQ(d.report->rejected, limits::kReportedErrorsMax + 5);
  EXPECT_EQ(d.report->errors.size(), limits::kReportedErrorsMax);
}

TEST(AwsVpc, RefusesBodiesThatMakeNoSense) {
  const auto message = [](std::string_view body) {
    const Decoded d = run(decode_aws_vpc, body);
    return d.report.ok() ? std::string("accepted") : d.report.error().message;
  };
  EXPECT_EQ(message(""), "accepted");
  EXPECT_EQ(message("\n\r\n"), "accepted");
  EXPECT_EQ(message("srcaddr dstaddr srcaddr\n"), "line 1: header names a field twice: \"srcaddr\"");
  EXPECT_EQ(message("srcaddr src_addr pkt-srcaddr pkt_srcaddr\n"), "line 1: header names a field twice: \"pkt_srcaddr\"");
  EXPECT_NE(message("foo bar baz\n").find("names a known field"), std::string::npos);
  EXPECT_NE(message("3 eni-1 4.5.6.7\n").find("no format"), std::string::npos);
  EXPECT_NE(message("<html>\n").find("line 1"), std::string::npos);
  EXPECT_NE(message(std::string("\0\0\0\0", 4)).find("\"\\x00\\x00\\x00\\x00\""), std::string::npos);
  std::string wide = "srcaddr";
  for (size_t i = 1; i < limits::kHeaderColumnsMax; ++i) wide += " f" + std::to_string(i);
  EXPECT_EQ(message(wide + "\n"), "accepted");
  EXPECT_NE(message(wide + " one-more\n").find("more fields than 256"), std::string::npos);
  // In the middle it costs the lines below it, up to the next good header.
  const Decoded d = run(decode_aws_vpc, kAwsHeader + kLine + "srcaddr srcaddr\n" + std::string(kLine) + std::string(kAwsHeader) + std::string(kLine));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->accepted, 2u);
  EXPECT_EQ(d.report->rejected, 2u);
}

TEST(AwsVpc, BoundsLinesAndTexts) {
  const std::string head = "srcaddr dstaddr end mystery\n1.2.3.4 10.0.0.1 1700000000 ";
  const size_t fixed = head.size() - head.find('\n') - 1;
  // At the bound of a line and one past it.
  for (const size_t beyond : {0u, 1u}) {
    const Decoded d = run(decode_aws_vpc, head + std::string(limits::kTextLineBytesMax - fixed + beyond, 'x') + "\n1.2.3.4 10.0.0.1 1700000000 y\n");
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->accepted, 2u - beyond);
    EXPECT_EQ(d.report->rejected, beyond);
    EXPECT_EQ(d.report->cut_strings, 1u - beyond);
  }
  // A text too long for a column is cut at a character.
  const Decoded d = of_line("instance-id srcaddr end", std::string(limits::kStringBytesMax - 1, 'x') + "€ 10.0.0.1 1700000000");
  EXPECT_EQ(d.report->cut_strings, 1u);
  EXPECT_EQ(d.at(0, "src_instance_id"), std::string(limits::kStringBytesMax - 1, 'x'));
  EXPECT_EQ(of_line("instance-id srcaddr end", std::string(limits::kStringBytesMax, 'x') + " 10.0.0.1 1700000000").report->cut_strings, 0u);
}

TEST(AwsVpc, KeepsTextValid) {
  const Decoded d = of_line("instance-id srcaddr end mystery", std::string("a\0b", 3) + " 10.0.0.1 1700000000 \xc3\xa4\xff\xc0\xaf");
  ASSERT_EQ(d.report->accepted, 1u);
  EXPECT_EQ(d.at(0, "src_instance_id"), "a\xef\xbf\xbd" "b");
  EXPECT_EQ(d.at(0, "extra.mystery"), "ä\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(AwsVpc, PutsTheInterfaceOnItsSide) {
  const std::string fields = "interface-id srcaddr dstaddr end";
  const auto side = [](const Decoded& d, size_t row = 0) {
    return d.at(row, "src_interface_id") + "|" + d.at(row, "dst_interface_id") + "|" + d.at(row, "reporter");
  };
  // 1. flow-direction
  EXPECT_EQ(side(of_line(fields + " flow-direction", "e 1.1.1.1 10.0.0.1 1 egress")), "e||src");
  EXPECT_EQ(side(of_line(fields + " flow-direction", "e 10.0.0.1 1.1.1.1 1 ingress")), "|e|dst");
  // 2. the interface's address differs from the packet's
  EXPECT_EQ(side(of_line(fields + " pkt-srcaddr pkt-dstaddr", "e 10.0.1.5 10.0.0.220 1 10.0.1.5 203.0.113.5")), "|e|middle");
  EXPECT_EQ(side(of_line(fields + " pkt-srcaddr pkt-dstaddr", "e 10.0.0.220 10.0.1.5 1 203.0.113.5 10.0.1.5")), "e||middle");
  // 3. the private one of the two addresses
  EXPECT_EQ(side(of_line(fields, "e 10.0.0.1 1.1.1.1 1")), "e||src");
  EXPECT_EQ(side(of_line(fields, "e 1.1.1.1 10.0.0.1 1")), "|e|dst");
  // 4. the address that the interface's records share
  const Decoded learned = run(decode_aws_vpc, fields + "\ne 10.0.0.2 10.0.0.1 1\ne 10.0.0.1 10.0.0.3 1\ne 10.0.0.2 10.0.0.1 1\ne fd00::1 fd00::2 1\n");
  EXPECT_EQ(side(learned, 0), "|e|dst");
  EXPECT_EQ(side(learned, 1), "e||src");
  EXPECT_EQ(side(learned, 2), "|e|dst");
  // 5. nothing tells
  EXPECT_EQ(side(learned, 3), "e||");
  EXPECT_EQ(side(run(decode_aws_vpc, fields + "\ne 10.0.0.2 10.0.0.1 1\ne 10.0.0.3 10.0.0.4 1\n")), "e||");
}

TEST(AwsVpc, LearnsTheAddressesOfABoundedNumberOfInterfaces) {
  // Two records each, between private addresses, that share 10.0.0.1: enough to learn from.
  std::string body = "interface-id srcaddr dstaddr end\n";
  const auto add = [&](size_t i) {
    for (const char* peer : {"10.0.0.2", "10.0.0.3"}) body += "e" + std::to_string(i) + " " + peer + " 10.0.0.1 1\n";
  };
  for (size_t i = 0; i <= limits::kInterfacesLearnedMax; ++i) add(i);
  const Decoded d = run(decode_aws_vpc, body);
  ASSERT_EQ(d.rows.size(), 2 * (limits::kInterfacesLearnedMax + 1));
  const size_t last_learned = 2 * (limits::kInterfacesLearnedMax - 1), beyond = 2 * limits::kInterfacesLearnedMax;
  EXPECT_EQ(d.at(last_learned + 1, "dst_interface_id"), "e" + std::to_string(limits::kInterfacesLearnedMax - 1));
  EXPECT_EQ(d.at(beyond + 1, "src_interface_id"), "e" + std::to_string(limits::kInterfacesLearnedMax));
  EXPECT_EQ(d.at(beyond + 1, "reporter"), "");
}

TEST(AwsVpc, TellsTheInitiatorFromFlags) {
  const auto initiator = [](const char* flags, const char* protocol = "6") {
    return of_line("srcaddr dstaddr protocol tcp-flags end", std::string("10.0.0.1 1.1.1.1 ") + protocol + " " + flags + " 1").at(0, "initiator");
  };
  for (const char* f : {"2", "3", "6", "7"}) EXPECT_EQ(initiator(f), "src") << f;
  for (const char* f : {"18", "19", "22", "23"}) EXPECT_EQ(initiator(f), "dst") << f;
  for (const char* f : {"0", "1", "4", "5", "16", "-"}) EXPECT_EQ(initiator(f), "") << f;
  EXPECT_EQ(initiator("2", "17"), "");
}

TEST(AwsVpc, GivesEveryRowATime) {
  const DecodeContext context{.received_at = 1'700'000'000 * kSecond, .format = ""};
  const auto times = [&](const std::string& fields, const std::string& values) {
    const Decoded d = run(decode_aws_vpc, fields + "\n" + values + "\n", context);
    return d.at(0, "flow_start") + " " + d.at(0, "flow_end") + " " + d.at(0, "time_quality") + " " + d.at(0, "extra.end") + d.at(0, "extra.start");
  };
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 1699999990 1699999999"), "2023-11-14T22:13:10Z 2023-11-14T22:13:19Z exact ");
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 1699999990123 1699999999456"), "2023-11-14T22:13:10.123Z 2023-11-14T22:13:19.456Z exact ");
  EXPECT_EQ(times("srcaddr start", "1.1.1.1 1699999990"), "2023-11-14T22:13:10Z 2023-11-14T22:13:10Z estimated ");
  EXPECT_EQ(times("srcaddr dstaddr", "1.1.1.1 2.2.2.2"), " 2023-11-14T22:13:20Z estimated ");
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 1699999999 1699999990"), "2023-11-14T22:13:10Z 2023-11-14T22:13:10Z estimated 1699999999");
  // Five minutes of skew are allowed, a second more is not.
  EXPECT_EQ(times("srcaddr end", "1.1.1.1 1700000300"), " 2023-11-14T22:18:20Z exact ");
  EXPECT_EQ(times("srcaddr end", "1.1.1.1 1700000301"), " 2023-11-14T22:13:20Z clamped 1700000301");
  EXPECT_EQ(run(decode_aws_vpc, "srcaddr end\n1.1.1.1 1700000301\n", context).report->clamped_times, 1u);
  // A clock that was never set: without this the flow would stand in the year 1970, where retention takes it at once.
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 0 0"), " 2023-11-14T22:13:20Z clamped 00");
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 7 67"), " 2023-11-14T22:13:20Z clamped 677");
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 1699999990 60"), "2023-11-14T22:13:10Z 2023-11-14T22:13:10Z clamped 60");
  EXPECT_EQ(times("srcaddr start end", "1.1.1.1 60 1699999999"), " 2023-11-14T22:13:19Z estimated 60");
  EXPECT_EQ(times("srcaddr end", "1.1.1.1 946684799"), " 2023-11-14T22:13:20Z clamped 946684799");
  EXPECT_EQ(times("srcaddr end", "1.1.1.1 946684800"), " 2000-01-01T00:00:00Z exact ");
  EXPECT_EQ(run(decode_aws_vpc, "srcaddr start end\n1.1.1.1 0 0\n", context).report->clamped_times, 1u);
}

TEST(AwsVpc, CutsLongBodiesIntoBatches) {
  std::string body(kAwsHeader);
  constexpr size_t kRows = 40'000;
  for (size_t i = 0; i < kRows; ++i) body += kLine;
  const Decoded d = run(decode_aws_vpc, body);
  ASSERT_TRUE(d.report.ok());
  EXPECT_GT(d.batches, 1u);
  ASSERT_EQ(d.rows.size(), kRows);
  EXPECT_EQ(d.rows.front(), d.rows.back());
}

TEST(AwsVpc, StopsWhenTheSinkFails) {
  const auto report = decode_aws_vpc(kAwsHeader + kLine, {}, [](Batch&&) -> Status { return Error{ErrorCode::full, "no room"}; });
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::full);
}

TEST(AwsTgw, ReadsTheDefaultFormat) {
  const std::string record =
      "6 TransitGateway 123456789012 tgw-1 tgw-attach-1 111111111111 222222222222 vpc-1 vpc-2 subnet-1 subnet-2 eni-1 eni-2 use1-az1 "
      "use1-az2 tgw-attach-2 10.0.0.1 10.0.1.1 12345 443 6 10 1000 1700000000 1700000060 OK IPv4 1 2 0 4\n";
  for (const auto decoder : {decode_aws_vpc, decode_aws_tgw}) {
    const Decoded d = run(decoder, record);
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    const test::NamedValues want = {
        {"flow_start", "2023-11-14T22:13:20Z"}, {"flow_end", "2023-11-14T22:14:20Z"}, {"time_quality", "exact"}, {"src_ip", "10.0.0.1"},
        {"dst_ip", "10.0.1.1"}, {"src_port", "12345"}, {"dst_port", "443"}, {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "1000"},
        {"raw_packets", "10"}, {"dropped_packets", "7"}, {"byte_basis", "layer3"}, {"sampling_rate", "1"}, {"flags_quality", "none"},
        {"is_biflow", "0"}, {"source", "aws_tgw"}, {"reporter", "middle"}, {"src_account_id", "111111111111"},
        {"dst_account_id", "222222222222"}, {"src_vpc_id", "vpc-1"}, {"dst_vpc_id", "vpc-2"}, {"src_subnet_id", "subnet-1"},
        {"dst_subnet_id", "subnet-2"}, {"src_interface_id", "eni-1"}, {"dst_interface_id", "eni-2"}, {"src_zone", "use1-az1"},
        {"dst_zone", "use1-az2"}, {"cloud", "aws"}, {"log_status", "OK"}, {"extra.account_id", "123456789012"}, {"extra.tgw_id", "tgw-1"},
        {"extra.tgw_attachment_id", "tgw-attach-1"}, {"extra.tgw_pair_attachment_id", "tgw-attach-2"},
        {"extra.packets_lost_no_route", "1"}, {"extra.packets_lost_blackhole", "2"}, {"extra.packets_lost_ttl_expired", "4"},
    };
    EXPECT_EQ(d.rows.at(0), want);
  }
}

TEST(AwsTgw, ReadsAllFieldsWithoutAHeader) {
  const std::string record =
      "6 TransitGateway 123456789012 tgw-1 tgw-attach-1 111111111111 222222222222 vpc-1 vpc-2 subnet-1 subnet-2 eni-1 eni-2 use1-az1 "
      "use1-az2 tgw-attach-2 10.0.0.1 10.0.1.1 12345 443 6 10 1000 1700000000 1700000060 OK IPv4 0 0 0 0";
  for (const auto decoder : {decode_aws_vpc, decode_aws_tgw}) {
    const Decoded d = run(decoder, record + " 2 us-east-1 ingress - S3\n" + record + " 19 us-east-1 egress - -\n" + record + "\n");
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    ASSERT_EQ(d.rows.size(), 3u);
    EXPECT_EQ(d.report->rejected, 0u);
    EXPECT_EQ(d.at(2, "tcp_flags"), "");
    EXPECT_EQ(d.at(0, "tcp_flags"), "2");
    EXPECT_EQ(d.at(0, "flags_quality"), "all");
    EXPECT_EQ(d.at(0, "src_region"), "us-east-1");
    EXPECT_EQ(d.at(0, "direction"), "ingress");
    EXPECT_EQ(d.at(0, "dst_service"), "S3");
    EXPECT_EQ(d.at(1, "direction"), "egress");
  }
}

TEST(AwsTgw, KnowsThatZeroFlagsMayBeAcks) {
  const auto flags = [](const char* value) {
    const Decoded d = of_line("tgw-id tgw-src-vpc-id tgw-dst-vpc-id srcaddr dstaddr protocol tcp-flags region end", std::string("tgw-1 vpc-1 - 10.0.0.1 1.1.1.1 6 ") + value + " eu-west-1 1");
    return d.at(0, "flags_quality") + " " + d.at(0, "initiator") + " " + d.at(0, "src_region") + " " + d.at(0, "dst_region");
  };
  EXPECT_EQ(flags("0"), "syn_fin_rst_only  eu-west-1 ");
  EXPECT_EQ(flags("2"), "all src eu-west-1 ");
  EXPECT_EQ(flags("18"), "all  eu-west-1 ");
}

TEST(AwsJson, UnwrapsMessagesAndEnvelopes) {
  const std::string line(kLine.substr(0, kLine.size() - 1));
  const std::string message = R"({"message":")" + line + R"("})";
  const std::string envelope = R"({"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"id":"1","timestamp":1,"message":")" + line +
                               R"("},{"id":"2","timestamp":2,"message":")" + line + R"(\n","extractedFields":{"a":[1,"}"]}}]})";
  const std::string control = R"({"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking"}]})";
  const Decoded d = run(decode_aws_vpc, message + "\n" + envelope + control + "\r\n" + message);
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  EXPECT_EQ(d.report->accepted, 4u);
  EXPECT_EQ(d.report->ignored, 1u);
  EXPECT_EQ(d.report->rejected, 0u);
  EXPECT_EQ(d.rows[0], run(decode_aws_vpc, line).rows[0]);
}

TEST(AwsJson, UsesTheEventTimeWhereTheFormatHasNone) {
  const Decoded d = run(decode_aws_vpc, R"({"logEvents":[{"timestamp":1733430000000,"message":"eni-1 1.1.1.1 10.0.0.1"}]})",
                        {.received_at = 1'800'000'000 * kSecond, .format = "interface-id srcaddr dstaddr"});
  EXPECT_EQ(d.at(0, "flow_end"), "2024-12-05T20:20:00Z");
  EXPECT_EQ(d.at(0, "time_quality"), "estimated");
}

TEST(AwsJson, UnpacksLambdaEvents) {
  // base64(gzip({"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":"<a default record>"}]}))
  const std::string packed =
      "H4sIAAAAAAACAzWMXQuCMBSG/8rhXNvYOZtTdzdsdBFRoHcRITRESBOUIMT/3grkvXl4vxbswzQ1bag/Y0CLe1e7+8lXlTt4TPD5av07DPOE9r"
      "pg94gNivbcxdXc9CNaSraHmDEQK52aLC8kSQhDtyOgjIUiQUaQKiAXfwFLowmYwUQEzboA0pSnSv6WG2YSXFn6Sw3nI6639QvBvPHorwAAAA==";
  const Decoded d = run(decode_aws_vpc, R"({"awslogs":{"data":")" + packed + R"("}})");
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  EXPECT_EQ(d.report->accepted, 1u);
  for (const char* bad : {"!!!!", "A", "SGVsbG8="}) {
    const Decoded b = run(decode_aws_vpc, std::string(R"({"awslogs":{"data":")") + bad + R"("}})");
    ASSERT_TRUE(b.report.ok());
    EXPECT_EQ(b.report->rejected, 1u) << bad;
  }
}

TEST(AwsJson, RejectsBadObjectsAndKeepsTheirNeighbours) {
  const std::string good = R"({"message":"2 1 eni-1 172.31.16.139 8.8.8.8 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"})";
  for (const char* bad : {R"({"mess":1})", R"({"message":1})", R"({"logEvents":[{"id":"1"}]})", R"({"logEvents":[1]})", R"({"a":tru})",
                          R"({"message":"\q"})", R"({"message":"no such record"})", "{}", "[1,2]", "garbage", "{\"message\":\"\xff\"}"}) {
    const Decoded d = run(decode_aws_vpc, good + "\n" + bad + "\n" + good);
    ASSERT_TRUE(d.report.ok()) << bad;
    EXPECT_EQ(d.report->accepted, 2u) << bad;
    EXPECT_EQ(d.report->rejected, 1u) << bad;
  }
  EXPECT_EQ(run(decode_aws_vpc, good + R"({"message":"cut)").report->rejected, 1u);
  EXPECT_TRUE(run(decode_aws_vpc, std::string(100'000, '{')).report.ok());
  EXPECT_TRUE(run(decode_aws_vpc, "{" + std::string(100'000, '[') + std::string(100'000, ']') + "}").report.ok());
}

TEST(AwsJson, BoundsObjects) {
  const std::string good = R"({"message":"2 1 eni-1 172.31.16.139 8.8.8.8 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"})";
  // At the bound and one past it.
  for (const size_t beyond : {0u, 1u}) {
    std::string large = good.substr(0, good.size() - 1) + R"(,"padding":")";
    large += std::string(limits::kEnvelopeBytesMax - large.size() - 2 + beyond, 'x') + "\"}";
    const Decoded d = run(decode_aws_vpc, good + large + good);
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->accepted, 3u - beyond);
    EXPECT_EQ(d.report->rejected, beyond);
  }
}

TEST(SourceTable, FindsSources) {
  ASSERT_NE(find_source("aws_vpc"), nullptr);
  EXPECT_EQ(find_source("aws_vpc")->decode, decode_aws_vpc);
  ASSERT_NE(find_source("aws_tgw"), nullptr);
  ASSERT_NE(find_source("netflow"), nullptr);
  EXPECT_EQ(find_source("netflow")->decode, nullptr);
  EXPECT_EQ(find_source("no_such"), nullptr);
}

TEST(TextLine, SplitsAtEveryPositionOfTheStep) {
  for (size_t lead = 0; lead < 40; ++lead)
    for (size_t length = 0; length < 40; ++length) {
      const std::string line = std::string(lead, ' ') + std::string(length, 'x') + "\t b";
      std::vector<std::string_view> words(2);
      bool plain = false;
      const size_t count = split_words(line, line.data() + line.size(), words, plain);
      ASSERT_EQ(count, length ? 2u : 1u);
      ASSERT_EQ(words[count - 1], "b");
      ASSERT_TRUE(plain);
      if (length) {
        ASSERT_EQ(words[0], std::string(length, 'x'));
      }
    }
  std::vector<std::string_view> few(1);
  bool plain = true;
  EXPECT_EQ(split_words("a b\x7f c", nullptr, few, plain), 3u);
  EXPECT_EQ(few[0], "a");
  EXPECT_FALSE(plain);
}

}  // namespace
}  // namespace sluice::ingest
