// Captures and files of other projects, as bodies and as packets.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "ingest/source/packet_body.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using testing::Collector;
using testing::Row;
namespace fs = std::filesystem;

const fs::path kFolder = test::conformance("netflow");

struct Body {
  DecodeReport report;
  std::vector<Row> rows;
  uint64_t sum(const std::string& column) const {
    uint64_t n = 0;
    for (const Row& r : rows)
      if (r.has(column)) n += std::stoull(r[column]);
    return n;
  }
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

// Counts by tshark 4.0.17, whose reading is independent of ours:
//   tshark -2 -r FILE -d udp.port==2055,cflow -T fields -e cflow.octets -E aggregator=' '   (and cflow.packets, cflow.srcport)
// counted and summed over all records.
TEST(Graylog, CapturesAgreeWithTshark) {
  SLUICE_NEED_DATA(kFolder / "graylog");
  struct Expected {
    const char* file;
    uint64_t flows, bytes, packets, src_ports;
  };
  constexpr Expected files[] = {{"netflow5.pcap", 4, 817, 5, 59'766},
                                // tshark reads 18 flows here: it trusts the header's count (1) in the first packet and
                                // misses a flow and template 2048 behind its first set, and so the two flows of that.
                                {"netflow9.pcap", 21, 7'302, 23, 449'211},
                                {"nprobe-netflow9-2.pcap", 6, 2'628, 19, 148'395},
                                {"nprobe-netflow9.pcap", 152, 15'063'040, 11'285, 3'307'089},
                                {"pmacctd-netflow5.pcap", 42, 18'391, 133, 1'005'253}};
  for (const Expected& e : files) {
    SCOPED_TRACE(e.file);
    const Body body = decode_body(test::read_whole(kFolder / "graylog" / e.file));
    EXPECT_EQ(body.report.accepted, e.flows);
    EXPECT_EQ(body.report.rejected, 0u);
    EXPECT_EQ(body.sum("raw_bytes"), e.bytes);
    EXPECT_EQ(body.sum("raw_packets"), e.packets);
    EXPECT_EQ(body.sum("src_port"), e.src_ports);
    for (const Row& r : body.rows) {
      // Stamped with the capture's time, so that an old capture is neither late nor skewed.
      EXPECT_LT(r["received_at"], "2020");
      EXPECT_NE(r["time_quality"], "clamped");
      EXPECT_TRUE(r.has("flow_end"));
    }
    std::printf("%-30s %llu flows  pass\n", e.file, static_cast<unsigned long long>(body.report.accepted));
  }
}

TEST(Graylog, Datagrams) {
  SLUICE_NEED_DATA(kFolder / "graylog");
  // The record count is in the v5 header (tshark reads only the first packet's).
  EXPECT_EQ(decode_body(test::read_whole(kFolder / "graylog/netflow-v5-1.dat")).report.accepted, 30u);
  const Body v9 = decode_body(test::read_whole(kFolder / "graylog/netflow-v9-1.dat"));
  EXPECT_GT(v9.report.accepted + v9.report.ignored, 0u);
  // Data whose template never comes is no flow and is said to be rejected.
  const Body incomplete = decode_body(test::read_whole(kFolder / "graylog/netflow-v9-3_incomplete.dat"));
  EXPECT_EQ(incomplete.report.accepted, 0u);
  EXPECT_EQ(incomplete.report.rejected, 1u);
  ASSERT_FALSE(incomplete.report.errors.empty());
  EXPECT_NE(incomplete.report.errors[0].reason.find("template never came"), std::string::npos);
}

// 68 messages of observation domain 6.
TEST(Ipfixcol2, FileByItsSequenceNumbers) {
  const fs::path path = kFolder / "ipfixcol2/example_flows.ipfix";
  SLUICE_NEED_DATA(path);
  const std::string bytes = test::read_whole(path);
  Collector collector;
  collector.sender.session = 1;
  size_t at = 0, messages = 0;
  while (at + 16 <= bytes.size()) {
    const size_t length = static_cast<uint8_t>(bytes[at + 2]) * 256u + static_cast<uint8_t>(bytes[at + 3]);
    uint32_t sequence = 0;
    for (size_t i = 8; i < 12; ++i) sequence = sequence << 8 | static_cast<uint8_t>(bytes[at + i]);
    // The second message is empty and bears 59, the third begins again at 0: the exporter forgot its first 59 records.
    const uint64_t expected = collector.total.flows + collector.total.options_records - (messages > 1 ? 59 : 0);
    EXPECT_EQ(expected, sequence) << "before message " << messages;
    collector.send({bytes.begin() + static_cast<ptrdiff_t>(at), bytes.begin() + static_cast<ptrdiff_t>(at + length)});
    at += length;
    ++messages;
  }
  EXPECT_EQ(messages, 68u);
  EXPECT_GT(collector.total.flows, 3'800u);
  const auto stats = collector.decoder.exporter_stats();
  // That false start reads as one record missing.
  EXPECT_LE(stats.at(0).lost, 1u);
  EXPECT_EQ(stats.at(0).bad_sets + stats.at(0).bad_records + stats.at(0).bad_packets, 0u);
  const Body body = decode_body(bytes);
  EXPECT_EQ(body.report.accepted, collector.total.flows);
  EXPECT_EQ(body.report.rejected, 0u);
}

// Line protocol: "netflow,tags field=value,… time". Values: 12u, "text".
std::vector<std::map<std::string, std::string>> read_lines(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::map<std::string, std::string>> lines;
  for (std::string line; std::getline(in, line);) {
    size_t at = line.find(' ');
    if (at == std::string::npos) continue;
    std::map<std::string, std::string> fields;
    ++at;
    while (at < line.size() && line[at] != ' ') {
      const size_t equals = line.find('=', at);
      std::string key = line.substr(at, equals - at), value;
      at = equals + 1;
      if (line[at] == '"') {
        for (++at; line[at] != '"'; ++at) value += line[at];
        ++at;
      } else {
        while (at < line.size() && line[at] != ',' && line[at] != ' ') value += line[at++];
        if (value.ends_with('u')) value.pop_back();
      }
      fields[key] = value;
      if (at < line.size() && line[at] == ',') ++at;
    }
    if (line.starts_with("netflow,")) lines.push_back(std::move(fields));
  }
  return lines;
}

std::string milliseconds(const std::string& time) {
  const auto t = parse_timestamp(time);
  return t ? std::to_string(*t / kMillisecond) : "";
}

// Whether a row holds what a line says, for the fields that are columns. Reverse elements are hex there.
bool agrees(const Row& r, const std::map<std::string, std::string>& line, std::string& why) {
  static const std::map<std::string, std::string> columns = {
      {"src", "src_ip"},     {"dst", "dst_ip"},         {"src_port", "src_port"}, {"dst_port", "dst_port"},   {"in_bytes", "raw_bytes"},
      {"in_packets", "raw_packets"}, {"in_total_bytes", "raw_bytes"}, {"in_total_packets", "raw_packets"}, {"in_snmp", "input_if"},
      {"out_snmp", "output_if"}, {"src_mask", "src_prefix_len"}, {"dst_mask", "dst_prefix_len"}, {"next_hop", "next_hop"},
      {"vlan_src", "vlan"},  {"bgp_src_as", "src_as"},  {"bgp_dst_as", "dst_as"}, {"direction", "direction"}, {"in_src_mac", "src_mac"},
      {"out_dst_mac", "dst_mac"}};
  auto same = [&](const std::string& field, const std::string& ours, const std::string& theirs) {
    if (ours == theirs) return true;
    why = field + ": ours " + ours + ", theirs " + theirs;
    return false;
  };
  auto number = [](const std::string& hex) { return std::to_string(std::strtoull(hex.c_str(), nullptr, 16)); };
  for (const auto& [field, value] : line) {
    if (const auto it = columns.find(field); it != columns.end()) {
      std::string theirs = value;
      if (const auto ip = parse_ip(value); ip && value.find(':') != std::string::npos) theirs = to_string(*ip);
      if (!same(field, r[it->second], theirs)) return false;
    } else if (field == "protocol") {
      static const std::map<std::string, std::string> names = {{"tcp", "6"}, {"udp", "17"}, {"icmp", "1"}};
      if (names.contains(value) && !same(field, r["protocol"], names.at(value))) return false;
    } else if (field == "src_tos") {
      if (!same(field, r["tos"], number(value))) return false;
    } else if (field == "flow_start_ms") {
      if (!same(field, milliseconds(r["flow_start"]), value)) return false;
    } else if (field == "flow_end_ms") {
      if (!same(field, milliseconds(r["flow_end"]), value)) return false;
    } else if (field == "type_29305_85") {
      if (!same(field, r["raw_reverse_bytes"], number(value))) return false;
    } else if (field == "type_29305_86") {
      if (!same(field, r["raw_reverse_packets"], number(value))) return false;
    } else if (field == "tcp_flags") {
      // "...AP..." from CWR down to FIN
      unsigned flags = 0;
      for (size_t i = 0; i < 8 && i < value.size(); ++i) flags = flags << 1 | (value[i] != '.');
      if (!same(field, r["tcp_flags"], std::to_string(flags))) return false;
    } else if (field == "sampling_interval") {
      if (!same(field, r["sampling_rate"], value == "0" ? "1" : value)) return false;
    } else if (field == "flow_end_reason") {
      static const std::map<std::string, std::string> names = {{"end of flow", "end_of_flow"}, {"forced end", "forced_end"}, {"idle timeout", "idle_timeout"}, {"active timeout", "active_timeout"}};
      if (names.contains(value) && !same(field, r["end_reason"], names.at(value))) return false;
    }
  }
  return true;
}

// telegraf's packets, in name order. sFlow folders belong to the sFlow decoder's tests.
TEST(Telegraf, EveryFolder) {
  SLUICE_NEED_DATA(kFolder / "telegraf");
  size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(kFolder / "telegraf")) {
    if (!entry.is_directory() || entry.path().filename().string().starts_with("sflow")) continue;
    SCOPED_TRACE(entry.path().filename());
    std::set<fs::path> packets;
    for (const auto& file : fs::directory_iterator(entry))
      if (file.path().extension() == ".bin") packets.insert(file.path());
    Collector collector;
    for (const fs::path& p : packets) {
      const std::string bytes = test::read_whole(p);
      collector.send({bytes.begin(), bytes.end()});
    }
    auto lines = read_lines(entry.path() / "expected.out");
    if (entry.path().filename() == "issue_14370") {
      // Deviation: the message's length (290) ends inside its last set. RFC 7011 §9 has such a set discarded; telegraf reads
      // on to the end of the datagram.
      ASSERT_EQ(lines.size(), 2u);
      lines.pop_back();
      EXPECT_EQ(collector.total.bad, 1u);
    }
    EXPECT_EQ(collector.rows.size(), lines.size());
    std::vector<bool> used(collector.rows.size());
    for (const auto& line : lines) {
      bool found = false;
      std::string why, any_why;
      for (size_t i = 0; i < collector.rows.size() && !found; ++i)
        if (!used[i] && agrees(collector.rows[i], line, why)) found = used[i] = true;
        else if (collector.rows[i]["dst_port"] == (line.contains("dst_port") ? line.at("dst_port") : "")) any_why = why;
      EXPECT_TRUE(found) << "no row for a line; the nearest: " << any_why;
    }
    if (entry.path().filename() == "netflow_v9_options") {
      const auto names = collector.decoder.names();
      ASSERT_EQ(names.size(), 8u);
      EXPECT_EQ(names[0].name, "Te0/0/0");
      EXPECT_EQ(names[0].description, "TenGigabitEthernet0/0/0");
    }
    std::printf("%-24s %zu rows, %zu lines\n", entry.path().filename().c_str(), collector.rows.size(), lines.size());
    ++folders;
  }
  EXPECT_EQ(folders, 6u);
}

}  // namespace
}  // namespace sluice::ingest
