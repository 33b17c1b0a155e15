#include "ingest/source/oci_vcn.h"

#include <gtest/gtest.h>

#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

std::string data(const std::string& src = "172.16.2.145", const std::string& dst = "203.0.113.9", const std::string& changes = "") {
  return R"("data":{"version":"2","status":"OK","action":"ACCEPT","sourceAddress":")" + src + R"(","destinationAddress":")" + dst +
         R"(","sourcePort":80,"destinationPort":49152,"protocol":6,"protocolName":"TCP","packets":1,"bytesOut":44,"startTime":1611703741,"endTime":1611703742,"flowid":"0aa5")" +
         (changes.empty() ? "" : "," + changes) + "}";
}
std::string inner(const std::string& d, const std::string& vnic = "ocid1.vnic.1") {
  return R"({"id":"d4b1","time":"2021-01-26T23:29:01Z","specversion":"1.0","source":"-","type":"com.oraclecloud.vcn.flowlogs.DataEvent",)" + d +
         R"(,"oracle":{"compartmentid":"ocid1.comp.log","ingestedtime":"2021-01-26T23:31:16.532Z","loggroupid":"g","logid":"l","tenantid":"ocid1.tenancy",)"
         R"("vniccompartmentocid":"ocid1.comp.vnic","vnicocid":")" + vnic + R"(","vnicsubnetocid":"ocid1.subnet.1","vcnOcid":"ocid1.vcn.1","managed":"true"}})";
}
std::string wrapped(const std::string& content) { return R"({"datetime":1611703741000,"regionId":"us-ashburn-1","logContent":)" + content + "}"; }

NamedValues row() {
  return {{"flow_start", "2021-01-26T23:29:01Z"}, {"flow_end", "2021-01-26T23:29:02Z"}, {"time_quality", "exact"}, {"src_ip", "172.16.2.145"},
          {"dst_ip", "203.0.113.9"}, {"src_port", "80"}, {"dst_port", "49152"}, {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "44"},
          {"raw_packets", "1"}, {"sampling_rate", "1"}, {"flags_quality", "none"}, {"action", "accept"}, {"is_biflow", "0"}, {"source", "oci_vcn"},
          {"reporter", "src"}, {"flow_id", "0aa5"}, {"src_interface_id", "ocid1.vnic.1"}, {"src_vpc_id", "ocid1.vcn.1"},
          {"src_subnet_id", "ocid1.subnet.1"}, {"src_account_id", "ocid1.comp.vnic"}, {"cloud", "oci"}, {"log_status", "OK"},
          {"extra.tenant_id", "ocid1.tenancy"}, {"extra.compartment_id", "ocid1.comp.log"}, {"extra.managed", "true"}};
}

TEST(OciVcn, ReadsBothEnvelopesListsAndLines) {
  NamedValues with_region = row();
  with_region["src_region"] = "us-ashburn-1";
  const std::string bare = inner(data()), whole = wrapped(bare);
  const std::pair<std::string, NamedValues> cases[] = {
      {bare, row()},
      {whole, with_region},
      {"[" + whole + "]", with_region},
      {R"({"results":[{"data":)" + whole + "}]}", with_region},
      {R"({"data":{"results":[{"data":)" + whole + "}]}}", with_region},
  };
  for (const auto& [body, want] : cases) {
    const Decoded d = run(decode_oci_vcn, body + "\n");
    ASSERT_TRUE(d.report.ok());
    ASSERT_EQ(d.report->accepted, 1u) << body << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.rows[0], want) << body;
  }
}

TEST(OciVcn, FlatRecordsAndStrings) {
  const Decoded dotted = run(decode_oci_vcn,
                             R"({"datetime":"2021-01-26T23:29:01Z","logContent.data.sourceAddress":"10.0.0.1","logContent.data.destinationAddress":"8.8.8.8","logContent.data.sourcePort":"80",)"
                             R"("logContent.data.protocol":"17","logContent.data.startTime":"1611703741","logContent.data.endTime":"1611703741","logContent.data.packets":"5","logContent.data.bytesOut":"-","logContent.oracle.vnicocid":"v"})");
  ASSERT_EQ(dotted.rows.size(), 1u) << dotted.report->errors[0].reason;
  EXPECT_EQ(dotted.at(0, "protocol"), "17");
  EXPECT_EQ(dotted.at(0, "src_port"), "80");
  EXPECT_EQ(dotted.at(0, "raw_packets"), "5");
  EXPECT_EQ(dotted.at(0, "raw_bytes"), "");
  EXPECT_EQ(dotted.at(0, "src_interface_id"), "v");
  const Decoded flat = run(decode_oci_vcn, R"({"sourceAddress":"2001:db8::1","destinationAddress":"fd00::1","protocolName":"UDP","startTime":1611703741,"action":"MAYBE"})");
  ASSERT_EQ(flat.rows.size(), 1u);
  EXPECT_EQ(flat.at(0, "protocol"), "17");
  EXPECT_EQ(flat.at(0, "ip_version"), "6");
  EXPECT_EQ(flat.at(0, "action"), "unknown");
  EXPECT_EQ(flat.at(0, "extra.action"), "MAYBE");
  EXPECT_EQ(flat.at(0, "reporter"), "dst");
  EXPECT_EQ(flat.at(0, "flow_end"), "2021-01-26T23:29:01Z");
  EXPECT_EQ(flat.at(0, "time_quality"), "estimated");
}

TEST(OciVcn, StreamsCarryBase64) {
  // {"sourceAddress":"10.0.0.1","destinationAddress":"8.8.8.8"}
  const Decoded d = run(decode_oci_vcn,
                        R"([{"stream":"s","partition":"0","key":null,"value":"eyJzb3VyY2VBZGRyZXNzIjoiMTAuMC4wLjEiLCJkZXN0aW5hdGlvbkFkZHJlc3MiOiI4LjguOC44In0=","offset":1,"timestamp":"2021-01-26T23:29:01Z"},{"value":"!"}])",
                        {.received_at = 1'700'000'000 * kSecond, .format = ""});
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "dst_ip"), "8.8.8.8");
  EXPECT_EQ(d.report->rejected, 1u);
  EXPECT_EQ(d.report->errors[0].reason, "value is not base64 of JSON");
}

TEST(OciVcn, NoDataAndSkippedData) {
  const std::string nothing = R"("data":{"version":"2","status":"NODATA","action":null,"sourceAddress":null,"startTime":1611703740,"endTime":1611703800})";
  const std::string lost = R"("data":{"version":"2","status":"SKIPDATA","startTime":1611703740,"endTime":1611703800})";
  const Decoded d = run(decode_oci_vcn, wrapped(inner(nothing)) + "\n" + inner(lost) + "\n" + R"({"type":"com.oraclecloud.vcn.flowlogs.QualityEvent.NoData","data":{}})" + "\n" + inner(data()));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->no_data, 2u);
  EXPECT_EQ(d.report->skipped_data, 1u);
  EXPECT_EQ(d.report->skipped_range.from, 1611703740 * kSecond);
  EXPECT_EQ(d.report->skipped_range.to, 1611703800 * kSecond);
  EXPECT_EQ(d.rows.size(), 1u);
}

TEST(OciVcn, TheVnicsSideIsFoundByAllItsRecords) {
  // Both addresses private: only many records of a VNIC tell which is its own.
  const std::string body = inner(data("10.0.0.5", "10.0.0.7"), "v1") + "\n" + inner(data("10.0.0.9", "10.0.0.5"), "v1") + "\n" + inner(data("10.0.0.5", "10.0.0.7"), "v2") + "\n";
  const Decoded d = run(decode_oci_vcn, body);
  ASSERT_EQ(d.rows.size(), 3u);
  EXPECT_EQ(d.at(0, "reporter"), "src");
  EXPECT_EQ(d.at(0, "src_interface_id"), "v1");
  EXPECT_EQ(d.at(1, "reporter"), "dst");
  EXPECT_EQ(d.at(1, "dst_interface_id"), "v1");
  EXPECT_EQ(d.at(1, "src_interface_id"), "");
  EXPECT_EQ(d.at(1, "dst_subnet_id"), "ocid1.subnet.1");
  EXPECT_EQ(d.at(1, "src_account_id"), "");
  EXPECT_EQ(d.at(2, "reporter"), "");  // one record tells nothing
  EXPECT_EQ(d.at(2, "src_interface_id"), "v2");
}

TEST(OciVcn, ABadRecordCostsItself) {
  const Decoded d = run(decode_oci_vcn, inner(data()) + "\n" + inner(data("x")) + "\n" + inner(data("10.0.0.1", "8.8.8.8", R"("sourcePort":70000)")) + "\n" +
                                            inner(data()).substr(0, 200) + "\n{\"some\":1}\n" + inner(data()));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  ASSERT_EQ(d.report->rejected, 4u);
  EXPECT_EQ(d.report->errors[0].reason, "sourceAddress is no address: \"x\"");
  EXPECT_EQ(d.report->errors[1].reason, "sourcePort is no number from 0 to 65535: \"70000\"");
  EXPECT_EQ(d.report->errors[3].reason, "JSON object holds no flow record: neither sourceAddress nor destinationAddress");
}

}  // namespace
}  // namespace sluice::ingest
