// How fast the sources whose records name their fields become columns, on one core: bodies of some ten thousand records with
// addresses, ports and counters as varied as in a busy network.

#include <benchmark/benchmark.h>

#include <random>
#include <string>

#include "ingest/source/hubble.h"
#include "ingest/source/ibm_vpc.h"
#include "ingest/source/json_body.h"
#include "ingest/source/oci_vcn.h"
#include "ingest/source/suricata.h"
#include "ingest/source/zeek.h"

namespace {

using namespace sluice;
using namespace sluice::ingest;

constexpr size_t kRecords = 50'000;

struct Values {
  std::mt19937 random{1};
  std::string number(uint32_t below) { return std::to_string(random() % below); }
  std::string inside() { return "10.0." + number(16) + "." + number(254); }
  std::string outside() { return "203." + number(200) + "." + number(256) + "." + number(256); }
};

std::string zeek_text() {
  Values v;
  std::string body =
      "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\t"
      "duration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n";
  for (size_t i = 0; i < kRecords; ++i)
    body += std::to_string(1'700'000'000 + i / 100) + ".305988\tCMdzit1AMNsmf" + v.number(99999) + "\t" + v.inside() + "\t" + v.number(60000) + "\t" + v.outside() +
            "\t443\ttcp\tssl\t0." + v.number(999999) + "\t" + v.number(9999) + "\t" + v.number(99999) + "\tSF\tT\tF\t0\tShADadFf\t" + v.number(99) + "\t" + v.number(9999) + "\t" +
            v.number(99) + "\t" + v.number(99999) + "\t(empty)\n";
  return body;
}

std::string zeek_json() {
  Values v;
  std::string body;
  for (size_t i = 0; i < kRecords; ++i)
    body += "{\"ts\":" + std::to_string(1'700'000'000 + i / 100) + ".305988,\"uid\":\"CMdzit1AMNsmf" + v.number(99999) + "\",\"id.orig_h\":\"" + v.inside() + "\",\"id.orig_p\":" +
            v.number(60000) + ",\"id.resp_h\":\"" + v.outside() + "\",\"id.resp_p\":443,\"proto\":\"tcp\",\"service\":\"ssl\",\"duration\":0." + v.number(999999) + ",\"orig_bytes\":" +
            v.number(9999) + ",\"resp_bytes\":" + v.number(99999) + ",\"conn_state\":\"SF\",\"local_orig\":true,\"local_resp\":false,\"missed_bytes\":0,\"history\":\"ShADadFf\",\"orig_pkts\":" +
            v.number(99) + ",\"orig_ip_bytes\":" + v.number(9999) + ",\"resp_pkts\":" + v.number(99) + ",\"resp_ip_bytes\":" + v.number(99999) + "}\n";
  return body;
}

std::string suricata() {
  Values v;
  std::string body;
  for (size_t i = 0; i < kRecords; ++i)
    body += "{\"timestamp\":\"2024-05-01T12:00:31.000123+0200\",\"flow_id\":16845130254" + v.number(99999) + ",\"in_iface\":\"eth0\",\"event_type\":\"flow\",\"src_ip\":\"" + v.inside() +
            "\",\"src_port\":" + v.number(60000) + ",\"dest_ip\":\"" + v.outside() + "\",\"dest_port\":443,\"proto\":\"TCP\",\"app_proto\":\"tls\",\"flow\":{\"pkts_toserver\":" + v.number(99) +
            ",\"pkts_toclient\":" + v.number(99) + ",\"bytes_toserver\":" + v.number(9999) + ",\"bytes_toclient\":" + v.number(99999) +
            ",\"start\":\"2024-05-01T12:00:00.100000+0200\",\"end\":\"2024-05-01T12:00:30.250000+0200\",\"age\":30,\"state\":\"closed\",\"reason\":\"timeout\",\"alerted\":false},"
            "\"tcp\":{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"1b\",\"tcp_flags_tc\":\"1b\",\"syn\":true,\"fin\":true,\"psh\":true,\"ack\":true,\"state\":\"closed\"}}\n";
  return body;
}

std::string hubble() {
  Values v;
  std::string body;
  for (size_t i = 0; i < kRecords; ++i)
    body += "{\"flow\":{\"time\":\"2024-05-01T12:00:00.123456789Z\",\"uuid\":\"8f3c2a" + v.number(99999) + "\",\"verdict\":\"FORWARDED\",\"ethernet\":{\"source\":\"0a:58:0a:00:00:01\","
            "\"destination\":\"0a:58:0a:00:00:02\"},\"IP\":{\"source\":\"" + v.inside() + "\",\"destination\":\"" + v.inside() +
            "\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":{\"source_port\":" + v.number(60000) + ",\"destination_port\":8080,\"flags\":{\"PSH\":true,\"ACK\":true}}},\"source\":{\"ID\":12,\"identity\":4711,"
            "\"namespace\":\"shop\",\"labels\":[\"k8s:app=web\",\"k8s:io.kubernetes.pod.namespace=shop\"],\"pod_name\":\"web-" + v.number(50) +
            "\",\"workloads\":[{\"name\":\"web\",\"kind\":\"Deployment\"}]},\"destination\":{\"ID\":13,\"identity\":4712,\"namespace\":\"shop\",\"labels\":[\"k8s:app=db\"],\"pod_name\":\"db-0\"},"
            "\"Type\":\"L3_L4\",\"node_name\":\"node-1\",\"event_type\":{\"type\":4,\"sub_type\":3},\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\",\"is_reply\":false,"
            "\"Summary\":\"TCP Flags: ACK, PSH\"},\"node_name\":\"node-1\",\"time\":\"2024-05-01T12:00:00.123456789Z\"}\n";
  return body;
}

std::string ibm() {
  Values v;
  std::string body;
  for (size_t i = 0; i < kRecords;) {
    body += "{\"version\":\"0.0.1\",\"collector_crn\":\"crn:v1:bluemix:public:is:us-south:a/acc::flow-log-collector:r006-1\",\"attached_endpoint_type\":\"vnic\",\"network_interface_id\":\"0737-" +
            v.number(99) + "\",\"instance_crn\":\"crn:v1:bluemix:public:is:us-south-3:a/acc::instance:0737_1\",\"vpc_crn\":\"crn:v1:bluemix:public:is:us-south:a/acc::vpc:r006-2\","
            "\"capture_start_time\":\"2020-07-01T20:28:18Z\",\"capture_end_time\":\"2020-07-01T20:33:18Z\",\"state\":\"ok\",\"number_of_flow_logs\":100,\"flow_logs\":[";
    for (size_t k = 0; k < 100; ++k, ++i)
      body += std::string(k ? "," : "") + "{\"start_time\":\"2020-07-01T20:30:39Z\",\"end_time\":\"2020-07-01T20:33:09Z\",\"connection_start_time\":\"2020-07-01T20:30:39Z\",\"direction\":\"O\",\"action\":\"accepted\",\"initiator_ip\":\"" +
              v.inside() + "\",\"target_ip\":\"" + v.outside() + "\",\"initiator_port\":" + v.number(60000) + ",\"target_port\":443,\"transport_protocol\":6,\"ether_type\":\"IPv4\",\"was_initiated\":true,\"was_terminated\":false,"
              "\"bytes_from_initiator\":1368,\"packets_from_initiator\":4,\"bytes_from_target\":1280,\"packets_from_target\":4,\"cumulative_bytes_from_initiator\":1368,\"cumulative_packets_from_initiator\":4,"
              "\"cumulative_bytes_from_target\":1280,\"cumulative_packets_from_target\":4}";
    body += "]}\n";
  }
  return body;
}

std::string oci() {
  Values v;
  std::string body;
  for (size_t i = 0; i < kRecords; ++i)
    body += "{\"datetime\":1611703741000,\"logContent\":{\"data\":{\"action\":\"ACCEPT\",\"bytesOut\":" + v.number(9999) + ",\"destinationAddress\":\"" + v.outside() + "\",\"destinationPort\":443,\"endTime\":1611703741,\"flowid\":\"0aa5" +
            v.number(99999) + "\",\"packets\":1,\"protocol\":6,\"protocolName\":\"TCP\",\"sourceAddress\":\"" + v.inside() + "\",\"sourcePort\":" + v.number(60000) +
            ",\"startTime\":1611703741,\"status\":\"OK\",\"version\":\"2\"},\"id\":\"d4b1\",\"oracle\":{\"compartmentid\":\"ocid1.compartment.oc1..a\",\"ingestedtime\":\"2021-01-26T23:31:16.532Z\","
            "\"loggroupid\":\"ocid1.loggroup.oc1.iad.a\",\"logid\":\"ocid1.log.oc1.iad.a\",\"tenantid\":\"ocid1.tenancy.oc1..a\",\"vniccompartmentocid\":\"ocid1.compartment.oc1..a\",\"vnicocid\":\"ocid1.vnic.oc1.iad." +
            v.number(99) + "\",\"vnicsubnetocid\":\"ocid1.subnet.oc1.iad.a\"},\"source\":\"-\",\"specversion\":\"1.0\",\"time\":\"2021-01-26T23:29:01Z\",\"type\":\"com.oraclecloud.vcn.flowlogs.DataEvent\"},\"regionId\":\"us-ashburn-1\"}\n";
  return body;
}

void decode(benchmark::State& state, BodyDecoder decoder, const std::string& body) {
  const DecodeContext context{.received_at = 1'800'000'000 * kSecond, .format = ""};
  uint64_t rows = 0;
  for (auto _ : state) {
    const auto report = decoder(body, context, [](Batch&& batch) -> Status {
      benchmark::DoNotOptimize(batch.columns.data());
      return {};
    });
    if (!report.ok() || report->accepted != kRecords) state.SkipWithError("not every record was read");
    rows += report->accepted;
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}

BENCHMARK_CAPTURE(decode, zeek_text, decode_zeek, zeek_text())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, zeek_json, decode_zeek, zeek_json())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, suricata, decode_suricata, suricata())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, hubble, decode_hubble, hubble())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, ibm_vpc, decode_ibm_vpc, ibm())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, oci_vcn, decode_oci_vcn, oci())->Unit(benchmark::kMillisecond);

// Only where objects begin and end.
void BM_Objects(benchmark::State& state) {
  const std::string body = suricata();
  for (auto _ : state) {
    DecodeReport report;
    JsonRecords reader(body);
    std::string_view text;
    size_t n = 0;
    while (reader.next(text, report)) ++n;
    if (n != kRecords) state.SkipWithError("not every object was found");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(BM_Objects)->Unit(benchmark::kMillisecond);

}  // namespace
