// sFlow captures and datagrams of other projects against their own readings, and against tshark's.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "ingest/source/packet_body.h"
#include "ingest/source/pcap.h"
#include "ingest/source/sflow.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using testing::Collector;
using testing::Row;
namespace fs = std::filesystem;

const fs::path kData = test::conformance("");

struct Body {
  DecodeReport report;
  std::vector<Row> rows;
};
Body decode_body(const std::string& bytes) {
  Body body;
  DecodeContext context;
  context.received_at = *parse_timestamp("2026-11-20T12:00:00Z");
  auto report = decode_packet_body(bytes, context, [&](Batch&& b) -> Status {
    testing::add_rows(b, body.rows);
    return {};
  });
  EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
  if (report.ok()) body.report = *report;
  return body;
}

// tcpdump's text of the one datagram.
TEST(Tcpdump, ExpandedSample) {
  const fs::path path = kData / "sflow/sflow_expanded.pcap";
  SLUICE_NEED_DATA(path);
  const std::string text = test::read_whole(kData / "sflow/sflow_expanded.out");
  std::smatch agent, sample, header;
  ASSERT_TRUE(std::regex_search(text, agent, std::regex(R"(IPv4 agent ([0-9.]+), agent-id (\d+), seqnum (\d+), uptime (\d+), samples (\d+))")));
  ASSERT_TRUE(std::regex_search(text, sample, std::regex(R"(expanded flow sample .* rate (\d+), pool (\d+), drops (\d+), input (\d+) \((\d)\), output (\d+) \((\d)\), records (\d+))")));
  ASSERT_TRUE(std::regex_search(text, header, std::regex(R"(protocol Ethernet \(1\), length (\d+), stripped bytes (\d+))")));
  const Body body = decode_body(test::read_whole(path));
  EXPECT_EQ(body.report.rejected, 0u);
  ASSERT_EQ(body.rows.size(), std::stoul(agent[5]));
  const Row& r = body.rows[0];
  EXPECT_EQ(r["exporter_ip"], agent[1]);
  EXPECT_EQ(r["observation_domain"], agent[2]);
  EXPECT_EQ(r["sampling_rate"], sample[1]);
  EXPECT_EQ(r["input_if"], sample[4]);
  EXPECT_EQ(r["output_if"], sample[6]);
  EXPECT_EQ(r["raw_bytes"], header[1]);
  // What tcpdump does not print, as tshark 4.0.17 does.
  EXPECT_EQ(r["src_ip"], "52.52.52.52");
  EXPECT_EQ(r["dst_ip"], "53.53.53.53");
  EXPECT_EQ(r["src_port"], "22");
  EXPECT_EQ(r["dst_port"], "52237");
  EXPECT_EQ(r["tcp_flags"], "24");
  EXPECT_EQ(r["vlan"], "809");
  EXPECT_EQ(r["received_at"].substr(0, 19), "2022-12-29T15:03:48");
}

// Among the counters of the switches are five NetFlow v5 packets of routers that were told the wrong port.
TEST(Tcpdump, CountersAreNoFlowsAndNetFlowIsWhatItIs) {
  const fs::path path = kData / "sflow/sflow_multiple_counter_30_pdus.pcap";
  SLUICE_NEED_DATA(path);
  const Body body = decode_body(test::read_whole(path));
  EXPECT_EQ(body.report.rejected, 0u);
  EXPECT_GT(body.report.ignored, 100u);
  ASSERT_EQ(body.report.accepted, 7u);
  for (const Row& r : body.rows) EXPECT_EQ(r["source"], "netflow5");
}

// A datagram whose UDP length leaves eight bytes of it; tcpdump once read beyond.
TEST(Tcpdump, MalformedOnPurpose) {
  const fs::path path = kData / "sflow/sflow_print-segv.pcap";
  SLUICE_NEED_DATA(path);
  const Body body = decode_body(test::read_whole(path));
  EXPECT_EQ(body.report.accepted, 0u);
  EXPECT_EQ(body.report.rejected, 1u);
  ASSERT_EQ(body.report.errors.size(), 1u);
  EXPECT_EQ(body.report.errors[0].reason, "sFlow datagram shorter than its header");
  // All that the capture has of the datagram, with the length that it should have had: nothing of it may hurt either.
  const std::string bytes = test::read_whole(path);
  constexpr size_t kPayload = 24 + 16 + 14 + 20 + 8;
  Collector c;
  c.send({bytes.begin() + kPayload, bytes.end()});
  EXPECT_EQ(c.total.packets, 1u);
}

// Line protocol: "netflow,tags field=value,… time". Values: 12u, "text".
std::vector<std::map<std::string, std::string>> read_lines(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::map<std::string, std::string>> lines;
  const std::regex field(R"re((\w+)=("([^"]*)"|(\d+)u))re");
  for (std::string line; std::getline(in, line);) {
    std::map<std::string, std::string> fields;
    const std::string values = line.substr(line.find(' ') + 1);
    for (std::sregex_iterator it(values.begin(), values.end(), field), end; it != end; ++it) fields[(*it)[1]] = (*it)[3].matched ? (*it)[3] : (*it)[4];
    lines.push_back(std::move(fields));
  }
  return lines;
}

std::vector<uint8_t> datagram_of(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".bin") {
      const std::string bytes = test::read_whole(entry.path());
      return {bytes.begin(), bytes.end()};
    }
  return {};
}

TEST(Telegraf, FlowSamples) {
  const fs::path folder = kData / "netflow/telegraf/sflow_issue_15918";
  SLUICE_NEED_DATA(folder);
  Collector c;
  EXPECT_EQ(c.send(datagram_of(folder)).bad, 0u);
  std::vector<std::map<std::string, std::string>> flows, counters;
  for (auto& line : read_lines(folder / "expected.out")) (line.contains("sampling_interval") ? flows : counters).push_back(std::move(line));
  EXPECT_EQ(c.total.counter_samples, counters.size());
  ASSERT_EQ(c.rows.size(), flows.size());
  const std::map<std::string, std::string> same = {{"agent_ip", "exporter_ip"}, {"agent_subid", "observation_domain"}, {"src", "src_ip"},
                                                   {"dst", "dst_ip"}, {"src_port", "src_port"}, {"dst_port", "dst_port"}, {"l2_bytes", "raw_bytes"},
                                                   {"sampling_interval", "sampling_rate"}, {"in_src_mac", "src_mac"}, {"out_dst_mac", "dst_mac"},
                                                   {"vlan_src", "vlan"}, {"src_tos", "tos"}, {"direction", "direction"}, {"out_snmp", "output_if"}};
  size_t compared = 0;
  for (size_t i = 0; i < flows.size(); ++i) {
    SCOPED_TRACE(i);
    const Row& r = c.rows[i];
    for (const auto& [theirs, value] : flows[i]) {
      const auto ours = same.find(theirs);
      if (ours == same.end()) continue;
      ++compared;
      EXPECT_EQ(r[ours->second], value) << theirs;
    }
    // Deviations: theirs puts the data source in place of the input of what was sampled going out; and calls the first of
    // IPv6's headers the protocol.
    if (flows[i]["direction"] == "ingress") {
      EXPECT_EQ(r["input_if"], flows[i]["in_snmp"]);
    }
    if (flows[i]["protocol"] == "udp") {
      EXPECT_EQ(r["protocol"], "17");
    }
    if (flows[i]["protocol"] == "hopopt") {
      EXPECT_EQ(r["protocol"], "58");
    }
    // Theirs has the output's VLAN always, ours where it differs from the input's.
    EXPECT_EQ(r.x("dst_vlan").empty() ? r["vlan"] : r.x("dst_vlan"), flows[i]["vlan_dst"]);
  }
  EXPECT_GT(compared, 60u);
  const auto names = c.decoder.names();
  ASSERT_EQ(names.size(), counters.size());
  EXPECT_EQ(std::to_string(names[0].number), counters[0]["interface"]);
  EXPECT_EQ(std::to_string(*names[0].speed), counters[0]["speed"]);
  EXPECT_EQ(*names[0].oper_up, counters[0]["status"] == "up");
}

TEST(Telegraf, PortNames) {
  const fs::path folder = kData / "netflow/telegraf/sflow_v5_example";
  SLUICE_NEED_DATA(folder);
  auto line = read_lines(folder / "expected.out").at(0);
  Collector c;
  EXPECT_EQ(c.send(datagram_of(folder)).counter_samples, 1u);
  EXPECT_EQ(c.total.bad + c.total.flows, 0u);
  const auto names = c.decoder.names();
  ASSERT_EQ(names.size(), 1u);
  EXPECT_EQ(names[0].name, line["port_name"]);
  EXPECT_EQ(std::to_string(names[0].number), line["interface"]);
  EXPECT_EQ(std::to_string(*names[0].speed), line["speed"]);
  const auto stats = c.decoder.exporter_stats();
  EXPECT_EQ(to_string(stats.at(0).ip), line["agent_ip"]);
  EXPECT_EQ(std::to_string(stats.at(0).domains.at(0)), line["agent_subid"]);
}

TEST(Telegraf, DiscardedPacket) {
  const fs::path folder = kData / "netflow/telegraf/sflow_issue_15375";
  SLUICE_NEED_DATA(folder);
  auto line = read_lines(folder / "expected.out").at(0);
  Collector c;
  EXPECT_EQ(c.send(datagram_of(folder)).discards, 1u);
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["exporter_ip"], line["agent_ip"]);
  EXPECT_EQ(r["input_if"], line["in_snmp"]);
  EXPECT_EQ(r["output_if"], line["out_snmp"]);
  EXPECT_EQ(r.x("egress_queue"), line["out_queue"]);
  EXPECT_EQ(r["reject_reason"], "host_unreachable");  // their reason=1
  EXPECT_EQ(r["direction"], line["direction"]);
}

// --- tshark ---------------------------------------------------------------------------------------------------------

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  size_t at = 0;
  for (size_t next; (next = text.find(by, at)) != std::string::npos; at = next + 1) parts.push_back(text.substr(at, next - at));
  parts.push_back(text.substr(at));
  return parts;
}

// One line a packet: the fields' values, in order of occurrence.
std::vector<std::map<std::string, std::vector<std::string>>> tshark(const fs::path& capture, const std::vector<std::string>& fields) {
  std::string command = "tshark -r '" + capture.string() + "' -d udp.port==6343,sflow -o sflow.enable_dissection:TRUE -T fields -E separator=/t -E aggregator=' '";
  for (const std::string& f : fields) command += " -e " + f;
  command += " 2>/dev/null";
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return {};
  char buffer[4'096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  pclose(pipe);
  std::vector<std::map<std::string, std::vector<std::string>>> packets;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    const auto cells = split(line, '\t');
    auto& packet = packets.emplace_back();
    for (size_t i = 0; i < fields.size() && i < cells.size(); ++i) packet[fields[i]] = split(cells[i], ' ');
  }
  return packets;
}

// A capture of one UDP datagram to port 6343.
void write_capture(const fs::path& path, const std::vector<uint8_t>& payload) {
  testing::Wire w;
  w.u32(0xa1b2c3d4).u16(2).u16(4).zeros(8).u32(65'535).u32(101);
  const size_t length = 28 + payload.size();
  w.u32(testing::kExportSeconds).u32(0).u32(length).u32(length);
  w.u8(0x45).u8(0).u16(length).u16(1).u16(0).u8(64).u8(17).u16(0).ip("192.0.2.1").ip("192.0.2.2");
  w.u16(40'000).u16(6'343).u16(8 + payload.size()).u16(0).raw(payload);
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(w.bytes.data()), static_cast<std::streamsize>(w.bytes.size()));
}

// Every packet of every capture, for all fields that both know: tshark lists a field's values in the order of the samples.
TEST(Tshark, AgreesOnEveryPacket) {
  SLUICE_NEED_DATA(kData / "sflow");
  if (std::system("tshark --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "tshark is not installed: nothing was compared";
  const fs::path scratch = fs::temp_directory_path() / ("sluice-sflow-" + std::to_string(::getpid()));
  fs::create_directories(scratch);
  std::vector<fs::path> captures;
  for (const auto& entry : fs::directory_iterator(kData / "sflow"))
    if (entry.path().extension() == ".pcap") captures.push_back(entry.path());
  for (const auto& entry : fs::directory_iterator(kData / "netflow/telegraf"))
    if (entry.path().filename().string().starts_with("sflow")) {
      captures.push_back(scratch / (entry.path().filename().string() + ".pcap"));
      write_capture(captures.back(), datagram_of(entry.path()));
    }
  const std::string agent = "sflow_245.agent", samples = "sflow_245.numsamples", number = "sflow_245.sequence_number", sub_agent = "sflow_245.sub_agent_id",
                    rate = "sflow.flow_sample.sampling_rate", length = "sflow_245.header.frame_length", ports_of = "udp.dstport", tcp_flags = "tcp.flags",
                    counter = "sflow.counters_sample.sequence_number", type = "sflow_245.sampletype";
  const std::vector<std::string> fields = {"frame.number", agent, samples, number, sub_agent, rate, length, counter, type, "ip.src", "ip.dst", "ipv6.src", "ipv6.dst",
                                           "udp.srcport", ports_of, "tcp.srcport", "tcp.dstport", tcp_flags, "eth.src", "eth.dst", "vlan.id",
                                           "sflow_245.vlan.in", "sflow_245.nexthop", "sflow_245.nexthop.src_mask", "sflow_245.srcAS", "sflow_245.ifindex", "sflow_245.ifspeed", "sflow_245.ifadmin_status",
                                           "sflow_245.ifoper_status"};
  size_t packets = 0, values = 0, others = 0;
  for (const fs::path& capture : captures) {
    SCOPED_TRACE(capture.filename());
    const auto theirs = tshark(capture, fields);
    ASSERT_FALSE(theirs.empty());
    size_t at = 0;
    CaptureCounts counts;
    const std::string bytes = test::read_whole(capture);
    const Status status = read_capture(
        {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
        [&](const CapturedDatagram& d) -> Status {
          SCOPED_TRACE(d.packet);
          if (at >= theirs.size()) return Error{ErrorCode::corrupt, "tshark read fewer packets"};
          auto packet = theirs[at++];
          ++packets;
          Collector c;
          const PacketCounts got = c.send({d.payload.begin(), d.payload.end()}, d.time.value_or(0), {d.source, d.source_port, d.destination_port, 0});
          if (!is_sflow(d.payload)) {
            // NetFlow that came to sFlow's port: tshark gives it up, we do not.
            EXPECT_TRUE(packet[samples].empty());
            EXPECT_EQ(got.bad, 0u);
            EXPECT_GE(c.rows.size(), 1u);
            for (const Row& r : c.rows) EXPECT_EQ(r["source"], "netflow5");
            ++others;
            return {};
          }
          const bool whole = !packet[samples].empty();  // else tshark gave up in the header
          EXPECT_EQ(got.bad == 0, whole);
          if (!whole) return {};
          const auto stats = c.decoder.exporter_stats().at(0);
          if (!packet[agent].empty()) {
            EXPECT_EQ(to_string(stats.ip), packet[agent][0]);
          }
          EXPECT_EQ(std::to_string(stats.domains.at(0)), packet[sub_agent].at(0));
          EXPECT_EQ(got.counter_samples, packet[counter].size());
          const auto& indexes = packet["sflow_245.ifindex"];
          for (const ExporterName& n : c.decoder.names()) {
            if (!n.name.empty()) continue;  // tshark stops at names of ports
            const auto it = std::find(indexes.begin(), indexes.end(), std::to_string(n.number));
            EXPECT_NE(it, indexes.end()) << "interface " << n.number;
            if (it == indexes.end()) continue;
            const auto i = static_cast<size_t>(it - indexes.begin());
            EXPECT_EQ(std::to_string(n.speed.value_or(0)), packet["sflow_245.ifspeed"].at(i));
            EXPECT_EQ(n.admin_up == true, packet["sflow_245.ifadmin_status"].at(i) == "1");
            EXPECT_EQ(n.oper_up == true, packet["sflow_245.ifoper_status"].at(i) == "1");
            values += 4;
          }
          // tshark 4.0 does not know discarded packets.
          EXPECT_EQ(got.flows - got.discards, packet[rate].size());
          const auto column = [&](const std::string& name) {
            std::vector<std::string> out;
            for (const Row& r : c.rows)
              if (r.has(name)) out.push_back(r[name]);
            return out;
          };
          const auto compare = [&](const std::vector<std::string>& ours, const std::vector<std::string>& of_tshark, const std::string& what) {
            EXPECT_EQ(ours, of_tshark) << what;
            values += ours.size();
          };
          const auto addresses = [&](const std::string& name, bool v4) {
            std::vector<std::string> out;
            for (const Row& r : c.rows)
              if (r.has(name) && (r["ip_version"] == "4") == v4) out.push_back(r[name]);
            return out;
          };
          const auto of_protocol = [&](const std::string& name, const std::string& protocol) {
            std::vector<std::string> out;
            for (const Row& r : c.rows)
              if (r.has(name) && r["protocol"] == protocol) out.push_back(r[name]);
            return out;
          };
          // The first address, port and MAC that tshark has are those of the datagram itself.
          const auto inside = [&](const std::string& name) {
            auto v = packet[name];
            if (!v.empty()) v.erase(v.begin());
            return v;
          };
          if (got.discards > 0) return {};
          compare(column("sampling_rate"), packet[rate], "rate");
          compare(column("raw_bytes"), packet[length], "frame length");
          compare(addresses("src_ip", true), inside("ip.src"), "ip.src");
          compare(addresses("dst_ip", true), inside("ip.dst"), "ip.dst");
          compare(addresses("src_ip", false), packet["ipv6.src"], "ipv6.src");
          compare(addresses("dst_ip", false), packet["ipv6.dst"], "ipv6.dst");
          compare(of_protocol("src_port", "17"), inside("udp.srcport"), "udp.srcport");
          compare(of_protocol("dst_port", "17"), inside("udp.dstport"), "udp.dstport");
          compare(of_protocol("src_port", "6"), packet["tcp.srcport"], "tcp.srcport");
          compare(of_protocol("dst_port", "6"), packet["tcp.dstport"], "tcp.dstport");
          std::vector<std::string> flags;
          for (const std::string& f : packet[tcp_flags]) flags.push_back(std::to_string(std::stoul(f, nullptr, 16)));
          compare(column("tcp_flags"), flags, "tcp.flags");
          const bool raw_link = capture.string().starts_with(scratch.string());
          compare(column("src_mac"), raw_link ? packet["eth.src"] : inside("eth.src"), "eth.src");
          compare(column("dst_mac"), raw_link ? packet["eth.dst"] : inside("eth.dst"), "eth.dst");
          compare(column("vlan"), packet["vlan.id"].empty() ? packet["sflow_245.vlan.in"] : packet["vlan.id"], "vlan");
          compare(column("next_hop"), packet["sflow_245.nexthop"].size() > 1 ? std::vector<std::string>{packet["sflow_245.nexthop"].back()} : packet["sflow_245.nexthop"], "next hop");
          compare(column("src_prefix_len"), packet["sflow_245.nexthop.src_mask"], "prefix");
          compare(column("src_as"), packet["sflow_245.srcAS"], "source AS");
          return {};
        },
        counts);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    EXPECT_EQ(at, theirs.size());
  }
  fs::remove_all(scratch);
  std::printf("tshark agrees on %zu values of %zu packets of %zu captures\n", values, packets, captures.size());
  EXPECT_EQ(packets, 35u);
  EXPECT_EQ(others, 5u);
  EXPECT_GT(values, 500u);
}

}  // namespace
}  // namespace sluice::ingest
