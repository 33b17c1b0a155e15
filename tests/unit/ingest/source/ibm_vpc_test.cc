#include "ingest/source/ibm_vpc.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

const std::string kHeader =
    R"("version":"0.0.1","collector_crn":"crn:v1:bluemix:public:is:us-south:a/acc::flow-log-collector:r006-col","attached_endpoint_type":"vnic",)"
    R"("network_interface_id":"0737-nic","instance_crn":"crn:v1:bluemix:public:is:us-south-3:a/acc::instance:0737_inst","vpc_crn":"crn:v1:bluemix:public:is:us-south:a/acc::vpc:r006-vpc",)"
    R"("capture_start_time":"2024-05-01T12:00:00Z","capture_end_time":"2024-05-01T12:05:00Z",)";

std::string record(const std::string& changes = "") {
  return R"({"start_time":"2024-05-01T12:01:00Z","end_time":"2024-05-01T12:02:00Z","connection_start_time":"2024-05-01T12:01:00Z","direction":"O","action":"accepted",)"
         R"("initiator_ip":"10.0.0.1","target_ip":"10.0.0.2","initiator_port":40000,"target_port":443,"transport_protocol":6,"ether_type":"IPv4","was_initiated":true,"was_terminated":false,)"
         R"("bytes_from_initiator":100,"packets_from_initiator":2,"bytes_from_target":300,"packets_from_target":4,"cumulative_bytes_from_initiator":100,)"
         R"("cumulative_packets_from_initiator":2,"cumulative_bytes_from_target":300,"cumulative_packets_from_target":4)" +
         (changes.empty() ? "" : "," + changes) + "}";
}
std::string delivery(const std::string& records, size_t count, const std::string& state = "ok") {
  return "{" + kHeader + "\"state\":\"" + state + "\",\"number_of_flow_logs\":" + std::to_string(count) + ",\"flow_logs\":[" + records + "]}";
}
Decoded one(const std::string& changes) { return run(decode_ibm_vpc, delivery(record(changes), 1)); }

TEST(IbmVpc, ReadsADelivery) {
  const NamedValues want = {{"flow_start", "2024-05-01T12:01:00Z"}, {"flow_end", "2024-05-01T12:02:00Z"}, {"time_quality", "exact"}, {"src_ip", "10.0.0.1"},
                        {"dst_ip", "10.0.0.2"}, {"src_port", "40000"}, {"dst_port", "443"}, {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "100"},
                        {"raw_packets", "2"}, {"raw_reverse_bytes", "300"}, {"raw_reverse_packets", "4"}, {"sampling_rate", "1"}, {"flags_quality", "none"},
                        {"action", "accept"}, {"flow_state", "begin"}, {"direction", "egress"}, {"initiator", "src"}, {"is_biflow", "1"}, {"source", "ibm_vpc"},
                        {"reporter", "src"}, {"src_instance_id", "0737_inst"}, {"src_interface_id", "0737-nic"}, {"src_vpc_id", "r006-vpc"},
                        {"src_account_id", "acc"}, {"src_region", "us-south"}, {"src_zone", "us-south-3"}, {"cloud", "ibm"}, {"log_status", "ok"},
                        {"extra.collector_crn", "crn:v1:bluemix:public:is:us-south:a/acc::flow-log-collector:r006-col"}};
  // The header may stand behind the records, and the object on many lines.
  const std::string forward = delivery(record(), 1), backward = "{\"flow_logs\":[" + record() + "]," + kHeader + "\"state\":\"ok\"}";
  std::string printed;
  for (const char c : forward) printed += c == ',' ? ",\n  " : std::string(1, c);
  for (const std::string& body : {forward, backward, printed, forward + "\n"}) {
    const Decoded d = run(decode_ibm_vpc, body);
    ASSERT_TRUE(d.report.ok());
    ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.report->rejected, 0u);
    EXPECT_EQ(d.rows[0], want);
  }
}

TEST(IbmVpc, InboundRecordsAreTheTargets) {
  const Decoded d = one(R"("direction":"I","action":"rejected")");
  EXPECT_EQ(d.at(0, "direction"), "ingress");
  EXPECT_EQ(d.at(0, "reporter"), "dst");
  EXPECT_EQ(d.at(0, "dst_interface_id"), "0737-nic");
  EXPECT_EQ(d.at(0, "src_interface_id"), "");
  EXPECT_EQ(d.at(0, "action"), "reject");
}

TEST(IbmVpc, CumulativeCountersAreKeptWhereTheyDiffer) {
  const Decoded d = one(R"("cumulative_bytes_from_initiator":"5000","was_initiated":false,"connection_start_time":"2024-05-01T11:00:00")");
  EXPECT_EQ(d.at(0, "raw_bytes"), "100");
  EXPECT_EQ(d.at(0, "extra.cumulative_bytes_from_initiator"), "5000");
  EXPECT_EQ(d.at(0, "extra.cumulative_bytes_from_target"), "");
  EXPECT_EQ(d.at(0, "flow_state"), "continue");
  EXPECT_EQ(d.at(0, "extra.connection_start_time"), "2024-05-01T11:00:00Z");  // without Z is UTC
}

TEST(IbmVpc, ConnectionStates) {
  EXPECT_EQ(one(R"("was_terminated":true)").at(0, "flow_state"), "end");
  EXPECT_EQ(one(R"("was_terminated":true)").at(0, "extra.was_initiated"), "true");
  EXPECT_EQ(one(R"("was_terminated":true,"was_initiated":false)").at(0, "extra.was_initiated"), "");
}

TEST(IbmVpc, ARecordWithoutTimesHasTheWindowOfItsDelivery) {
  for (const char* nothing : {"\"\"", "null"}) {
    const Decoded d = one(std::string("\"start_time\":") + nothing + ",\"end_time\":" + nothing);
    // A later field replaces an earlier one, but nothing replaces nothing: take the fields out instead.
    std::string bare = record();
    bare.replace(bare.find("2024-05-01T12:01:00Z"), 20, "");
    bare.replace(bare.find("2024-05-01T12:02:00Z"), 20, "");
    const Decoded e = run(decode_ibm_vpc, delivery(bare, 1));
    EXPECT_EQ(e.at(0, "flow_start"), "2024-05-01T12:00:00Z");
    EXPECT_EQ(e.at(0, "flow_end"), "2024-05-01T12:05:00Z");
    EXPECT_EQ(e.at(0, "time_quality"), "estimated");
    EXPECT_EQ(d.rows.size(), 1u);
  }
}

TEST(IbmVpc, EmptyAndSkippedDeliveries) {
  const Decoded none = run(decode_ibm_vpc, delivery("", 0) + "\n" + "{" + kHeader + "\"state\":\"ok\",\"number_of_flow_logs\":0,\"flow_logs\":null}");
  ASSERT_TRUE(none.report.ok());
  EXPECT_EQ(none.report->no_data, 2u);
  EXPECT_EQ(none.report->rejected, 0u);
  const Decoded skipped = run(decode_ibm_vpc, delivery(record(), 1, "skip data"));
  EXPECT_EQ(skipped.report->skipped_data, 1u);
  EXPECT_EQ(format_timestamp(skipped.report->skipped_range.from), "2024-05-01T12:00:00Z");
  EXPECT_EQ(format_timestamp(skipped.report->skipped_range.to), "2024-05-01T12:05:00Z");
  EXPECT_EQ(skipped.rows.size(), 1u);
  EXPECT_EQ(skipped.at(0, "log_status"), "skip data");
}

TEST(IbmVpc, ABadRecordCostsItself) {
  const Decoded d = run(decode_ibm_vpc, delivery(record() + "," + record(R"("target_port":65536)") + ",7," + record(R"("initiator_ip":"x")") + "," + record(), 5));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  ASSERT_EQ(d.report->rejected, 3u);
  EXPECT_EQ(d.report->errors[0].record, 2u);
  EXPECT_EQ(d.report->errors[0].reason, "target_port is no number from 0 to 65535: \"65536\"");
  // Broken JSON inside one record.
  std::string broken = record();
  broken.replace(broken.find(":40000"), 6, ":,");
  const Decoded e = run(decode_ibm_vpc, delivery(record() + "," + broken + "," + record() + "," + record(), 4));
  EXPECT_EQ(e.rows.size(), 3u);
  ASSERT_EQ(e.report->rejected, 1u);
  EXPECT_EQ(e.report->errors[0].record, 2u);
}

TEST(IbmVpc, WhatIsMissingIsSaid) {
  const Decoded fewer = run(decode_ibm_vpc, delivery(record(), 3));
  EXPECT_EQ(fewer.rows.size(), 1u);
  ASSERT_EQ(fewer.report->rejected, 1u);
  EXPECT_EQ(fewer.report->errors[0].reason, "flow_logs has 1 record, number_of_flow_logs says 3");
  for (const char* body : {R"({"a":1})", R"({"flow_logs":7})", R"({"flow_logs":[],"capture_start_time":"then"})"}) {
    const Decoded d = run(decode_ibm_vpc, body);
    ASSERT_TRUE(d.report.ok()) << body;
    EXPECT_EQ(d.report->rejected, 1u) << body;
  }
}

TEST(IbmVpc, IdsThatAreNoCrnsAreKeptAsTheyAreAndCut) {
  const std::string longer(limits::kEnvelopeTextBytesMax + 1, 'i');
  const Decoded d = run(decode_ibm_vpc, R"({"network_interface_id":")" + longer + R"(","instance_crn":"plain","vpc_crn":"crn:v1:x","flow_logs":[)" + record() + "]}");
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "src_interface_id").size(), limits::kEnvelopeTextBytesMax);
  EXPECT_EQ(d.report->cut_strings, 1u);
  EXPECT_EQ(d.at(0, "src_instance_id"), "plain");
  EXPECT_EQ(d.at(0, "src_vpc_id"), "crn:v1:x");
}

TEST(IbmVpc, ARecordWithoutAnEnvelopeIsOne) {
  const Decoded d = run(decode_ibm_vpc, record() + "\n" + record());
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.at(0, "src_interface_id"), "");
}

}  // namespace
}  // namespace sluice::ingest
