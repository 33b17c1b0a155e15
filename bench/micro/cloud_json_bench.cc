// How fast cloud flow logs in JSON become columns, on one core: Azure virtual network blobs, network security group blobs and
// Google VPC entries, with names, addresses and counters as varied as in a busy network.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <random>
#include <string>

#include "ingest/source/azure_flow.h"
#include "ingest/source/gcp_vpc.h"
#include "ingest/source/json_records.h"

namespace {

using namespace sluice;
using namespace sluice::ingest;

std::string address(std::mt19937& random, bool ours) {
  const auto r = random();
  return ours ? "10.0." + std::to_string(r % 16) + "." + std::to_string(r / 16 % 254 + 1)
              : std::to_string(r % 200 + 11) + "." + std::to_string(r / 200 % 256) + "." + std::to_string(r / 51200 % 256) + "." + std::to_string(r / 13107200 % 256);
}

struct Body {
  std::string text;
  uint64_t flows = 0;
};

// An hour's blob: records of a minute, three rules each, flows that begin, go on and end.
Body azure_body(bool vnet) {
  std::mt19937 random(1);
  Body body;
  body.text = R"({"records":[)";
  for (int record = 0; record < 240; ++record) {
    char mac[16];
    std::snprintf(mac, sizeof mac, "000D3A3595%02X", record % 4);
    const int64_t minute = 1'733'976'000 + record / 4 * 60;
    std::string groups[3];
    for (int i = 0; i < 600; ++i) {
      const size_t rule = random() % 3;
      const bool out = rule == 0;
      const auto inside = address(random, true), outside = address(random, rule == 1);
      const char state = rule == 2 ? 'D' : "BCEE"[random() % 4];
      const bool counted = state == 'C' || state == 'E';
      std::string tuple = std::to_string(minute + i / 10) + (vnet ? std::to_string(random() % 900 + 100) : "") + "," + (out ? inside : outside) + "," + (out ? outside : inside) + "," +
                          std::to_string(random() % 60'000 + 1024) + "," + std::to_string(random() % 4 ? 443 : random() % 65536) + ",";
      const std::string counters = counted || vnet ? "," + std::to_string(counted ? random() % 1000 : 0) + "," + std::to_string(counted ? random() % 1'000'000 : 0) + "," +
                                                         std::to_string(counted ? random() % 1000 : 0) + "," + std::to_string(counted ? random() % 1'000'000 : 0)
                                                   : ",,,,";
      if (vnet)
        tuple += std::string(random() % 5 ? "6" : "17") + (out ? ",O," : ",I,") + state + ",NX" + counters;
      else
        tuple += std::string(random() % 5 ? "T" : "U") + (out ? ",O," : ",I,") + (rule == 2 ? "D,B" : std::string("A,") + state) + counters;
      groups[rule] += (groups[rule].empty() ? "\"" : ",\"") + tuple + "\"";
      ++body.flows;
    }
    const char* rules[] = {"DefaultRule_AllowInternetOutBound", "UserRule_AllowHttpsIn", "DefaultRule_DenyAllInBound"};
    body.text += record ? "," : "";
    if (vnet) {
      body.text += R"({"time":"2024-12-31T09:11:37.7568150Z","flowLogGUID":"36094b6b-6999-48cf-8052-f8815f6732d9","macAddress":")" + std::string(mac) +
                   R"(","category":"FlowLogFlowEvent","flowLogResourceID":"/SUBSCRIPTIONS/C088DC46-D692-42AD-A4B6-9A542D28AD2A/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTUS/FLOWLOGS/DEFAULT-LABS-001-FLOWLOG","targetResourceID":"/subscriptions/c088dc46-d692-42ad-a4b6-9a542d28ad2a/resourceGroups/labs-001/providers/Microsoft.Network/virtualNetworks/vnet-1/subnets/default","flowLogVersion":4,"operationName":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"/subscriptions/c088dc46-d692-42ad-a4b6-9a542d28ad2a/resourceGroups/labs-001/providers/Microsoft.Network/networkSecurityGroups/nsg-1","flowGroups":[)";
      for (int g = 0; g < 3; ++g) body.text += std::string(g ? "," : "") + R"({"rule":")" + rules[g] + R"(","flowTuples":[)" + groups[g] + "]}";
      body.text += "]}]}}";
    } else {
      body.text += R"({"time":"2024-08-19T18:00:06.8944384Z","systemId":"05cdbee8-43c6-458e-b53c-d707f958c66b","macAddress":")" + std::string(mac) +
                   R"(","category":"NetworkSecurityGroupFlowEvent","resourceId":"/SUBSCRIPTIONS/11111111-2222-3333-A4B6-000000000000/RESOURCEGROUPS/LABS-001/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG-1","operationName":"NetworkSecurityGroupFlowEvents","properties":{"Version":2,"flows":[)";
      for (int g = 0; g < 3; ++g) body.text += std::string(g ? "," : "") + R"({"rule":")" + rules[g] + R"(","flows":[{"mac":")" + mac + R"(","flowTuples":[)" + groups[g] + "]}]}";
      body.text += "]}}";
    }
  }
  body.text += "]}";
  return body;
}

// Entries one a line, as a sink to Cloud Storage writes them.
Body gcp_body() {
  std::mt19937 random(2);
  Body body;
  for (int i = 0; i < 20'000; ++i) {
    const bool out = random() % 2;
    const auto inside = address(random, true), outside = address(random, false);
    const std::string vm = std::to_string(random() % 300), port = std::to_string(random() % 60'000 + 1024), side = out ? "src" : "dest", other = out ? "dest" : "src";
    char second[8];
    std::snprintf(second, sizeof second, "%02d.%03u", i / 400, static_cast<unsigned>(random() % 1000));
    body.text += R"({"insertId":"wsf51kf)" + std::to_string(random()) + R"(","jsonPayload":{"bytes_sent":")" + std::to_string(random() % 1'000'000) + R"(","connection":{"dest_ip":")" +
                 (out ? outside : inside) + R"(","dest_port":)" + (out ? "443" : port) + R"(,"protocol":6,"src_ip":")" + (out ? inside : outside) + R"(","src_port":)" + (out ? port : "443") + R"(},")" + other +
                 R"(_location":{"asn":15169,"city":"Ashburn","continent":"America","country":"usa","region":"Virginia"},"end_time":"2025-11-07T21:18:)" + second +
                 R"(105401Z","packets_sent":")" + std::to_string(random() % 1000) + R"(","reporter":")" + (out ? "SRC" : "DEST") + R"(","rtt_msec":")" + std::to_string(random() % 90) + R"(",")" + side +
                 R"(_instance":{"managed_instance_group":{"name":"fixtures-mig","region":"us-central1"},"project_id":"shop-production","region":"us-central1","vm_name":"fixtures-vm-)" + vm +
                 R"(","zone":"us-central1-f"},")" + side + R"(_vpc":{"project_id":"shop-production","subnetwork_name":"fixtures-subnet","subnetwork_region":"us-central1","vpc_name":"fixtures-network"},"start_time":"2025-11-07T21:18:)" +
                 second +
                 R"(101401Z"},"logName":"projects/shop-production/logs/compute.googleapis.com%2Fvpc_flows","receiveTimestamp":"2025-11-07T21:23:00.527307732Z","resource":{"labels":{"location":"us-central1","project_id":"shop-production","subnetwork_id":"3489268495624148348","subnetwork_name":"fixtures-subnet"},"type":"gce_subnetwork"},"timestamp":"2025-11-07T21:23:00.527307732Z"})" "\n";
    ++body.flows;
  }
  return body;
}

void decode(benchmark::State& state, BodyDecoder decoder, const Body& body) {
  const DecodeContext context{.received_at = 1'800'000'000 * kSecond, .format = ""};
  uint64_t rows = 0;
  for (auto _ : state) {
    const auto report = decoder(body.text, context, [](Batch&& batch) -> Status {
      benchmark::DoNotOptimize(batch.columns.data());
      return {};
    });
    if (!report.ok() || report->accepted != body.flows || report->rejected != 0) state.SkipWithError("not every flow was read");
    rows += report.ok() ? report->accepted : 0;
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.text.size()));
}

void BM_AzureVnet(benchmark::State& state) {
  static const Body body = azure_body(true);
  decode(state, decode_azure, body);
}
BENCHMARK(BM_AzureVnet)->Unit(benchmark::kMillisecond);

void BM_AzureNsg(benchmark::State& state) {
  static const Body body = azure_body(false);
  decode(state, decode_azure, body);
}
BENCHMARK(BM_AzureNsg)->Unit(benchmark::kMillisecond);

void BM_GcpVpc(benchmark::State& state) {
  static const Body body = gcp_body();
  decode(state, decode_gcp_vpc, body);
}
BENCHMARK(BM_GcpVpc)->Unit(benchmark::kMillisecond);

// Of which: finding where records begin and end.
void BM_CutGcp(benchmark::State& state) {
  static const Body body = gcp_body();
  constexpr std::string_view kFirst[] = {"insertId"}, kLists[] = {"entries"};
  for (auto _ : state) {
    JsonRecords records(body.text, {kFirst, kLists});
    std::string_view object;
    std::string reason;
    size_t n = 0;
    while (records.next(object, reason) == JsonRecords::Found::record) n += object.size();
    benchmark::DoNotOptimize(n);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.text.size()));
}
BENCHMARK(BM_CutGcp)->Unit(benchmark::kMillisecond);

}  // namespace
