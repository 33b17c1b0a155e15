// The files and packets say what the flows say: read back here by a few plain lines that share nothing with the writers.
#include <gtest/gtest.h>
#include <zlib.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "bench/generate/aws_objects.h"
#include "bench/generate/company.h"
#include "bench/generate/packet.h"
#include "bench/generate/pcap_file.h"
#include "bench/generate/text_files.h"
#include "bench/generate/udp_sender.h"
#include "bench/generate/workload.h"

namespace sluice::generate {
namespace {

constexpr TimestampNs kOutputStart = 1'767'225'600 * kSecond;  // 2026-01-01

const Company& small_day() {
  static const Company company = std::move(make_company({1, kOutputStart, 24, 0.05})).value();
  return company;
}

class Folder {
 public:
  Folder() {
    path_ = std::filesystem::temp_directory_path() / ("sluice_generate_" + std::to_string(::getpid()) + "_" +
                                                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string gunzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string text(1 << 20, '\0'), out;
  for (int n; (n = gzread(file, text.data(), static_cast<unsigned>(text.size()))) > 0;) out.append(text, 0, static_cast<size_t>(n));
  gzclose(file);
  return out;
}

struct Sums {
  uint64_t flows = 0, bytes = 0, packets = 0, times = 0, addresses = 0;
  bool operator==(const Sums&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Sums& s) {
  return out << s.flows << " flows " << s.bytes << " bytes " << s.packets << " packets " << s.times << " times " << s.addresses << " addresses";
}

uint64_t number(const uint8_t* at, size_t length) {
  uint64_t v = 0;
  while (length-- > 0) v = v << 8 | *at++;
  return v;
}

// What a collector must know of one exporter; checks the packet's frame on the way.
class Collector {
 public:
  Sums sums;
  uint64_t templates = 0;
  uint32_t sampling = 1;
  bool started = false;

  void v5(std::span<const uint8_t> p) {
    ASSERT_GE(p.size(), 24u);
    const uint64_t count = number(&p[2], 2), uptime = number(&p[4], 4);
    ASSERT_GE(count, 1u);
    ASSERT_LE(count, 30u);
    ASSERT_EQ(p.size(), 24 + 48 * count);
    ASSERT_EQ(number(&p[16], 4), sequence_);
    sequence_ += count;
    const uint64_t exported_ms = number(&p[8], 4) * 1000 + number(&p[12], 4) / 1'000'000;
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t* r = &p[24 + 48 * i];
      ASSERT_LE(number(r + 24, 4), number(r + 28, 4));
      ASSERT_LE(number(r + 28, 4), uptime);
      count_flow(number(r + 20, 4), number(r + 16, 4), exported_ms - uptime + number(r + 24, 4), exported_ms - uptime + number(r + 28, 4),
                 hash_of(IpAddress::v4_bytes(r)) ^ hash_of(IpAddress::v4_bytes(r + 4)) * 3);
    }
  }

  // Both templated formats.
  void templated(std::span<const uint8_t> p) {
    const bool ipfix = number(&p[0], 2) == 10;
    const size_t header = ipfix ? 16 : 20;
    ASSERT_LE(p.size(), 1'472u);
    if (ipfix) {
      ASSERT_EQ(number(&p[2], 2), p.size());
      ASSERT_EQ(number(&p[8], 4), sequence_);
    } else {
      ASSERT_EQ(number(&p[12], 4), sequence_);
      ++sequence_;
    }
    const uint64_t boot_ms = ipfix ? 0 : number(&p[8], 4) * 1000 - number(&p[4], 4);
    uint64_t records = 0;
    for (size_t at = header; at < p.size();) {
      ASSERT_LE(at + 4, p.size());
      const uint64_t id = number(&p[at], 2), length = number(&p[at + 2], 2);
      ASSERT_GE(length, 4u);
      ASSERT_EQ(length % 4, 0u);
      ASSERT_LE(at + length, p.size());
      const uint8_t *from = &p[at + 4], *end = p.data() + at + length;
      at += length;
      if (id == (ipfix ? 2 : 0)) {
        while (end - from >= 4) {
          const uint64_t number_of = number(from + 2, 2);
          auto& fields = templates_[number(from, 2)];
          fields.clear();
          from += 4;
          for (uint64_t i = 0; i < number_of; ++i, from += 4) fields.emplace_back(number(from, 2), number(from + 2, 2));
          ++records;
          ++templates;
        }
      } else if (id == (ipfix ? 3 : 1)) {
        // v9 counts bytes of scope and options, IPFIX fields.
        const uint64_t fields_of = ipfix ? number(from + 2, 2) : (number(from + 2, 2) + number(from + 4, 2)) / 4;
        auto& fields = options_[number(from, 2)];
        fields.clear();
        from += 6;
        for (uint64_t i = 0; i < fields_of; ++i, from += 4) fields.emplace_back(number(from, 2), number(from + 2, 2));
        ++records;
      } else {
        const bool is_options = options_.count(id) > 0;
        ASSERT_TRUE(is_options || templates_.count(id) > 0) << "data before its template: " << id;
        const auto& fields = is_options ? options_[id] : templates_[id];
        size_t size = 0;
        for (const auto& field : fields) size += field.second;
        for (; static_cast<size_t>(end - from) >= size; from += size) {
          ++records;
          if (ipfix) ++sequence_;
          is_options ? options(from, fields, ipfix) : record(from, fields, boot_ms);
        }
        for (; from < end; ++from) ASSERT_EQ(*from, 0) << "padding";
      }
    }
    if (!ipfix) {
      ASSERT_EQ(number(&p[2], 2), records);
    }
  }

 private:
  using Fields = std::vector<std::pair<uint64_t, uint64_t>>;

  void record(const uint8_t* at, const Fields& fields, uint64_t boot_ms) {
    uint64_t bytes = 0, packets = 0, first = 0, last = 0;
    IpAddress src, dst;
    for (const auto& [id, length] : fields) {
      const uint64_t v = number(at, std::min<size_t>(length, 8));
      switch (id) {
        case 1: bytes = v; break;
        case 2: packets = v; break;
        case 8: src = IpAddress::v4_bytes(at); break;
        case 12: dst = IpAddress::v4_bytes(at); break;
        case 27: src = IpAddress::v6_bytes(at); break;
        case 28: dst = IpAddress::v6_bytes(at); break;
        case 22: first = boot_ms + v; break;
        case 21: last = boot_ms + v; break;
        case 152: first = v; break;
        case 153: last = v; break;
        default: break;
      }
      at += length;
    }
    count_flow(bytes, packets, first, last, hash_of(src) ^ hash_of(dst) * 3);
  }
  void options(const uint8_t* at, const Fields& fields, bool ipfix) {
    uint64_t interval = 0, space = 0;
    for (const auto& [id, length] : fields) {
      if (id == 305 || id == 50) interval = number(at, length);
      if (id == 306) space = number(at, length);
      at += length;
    }
    sampling = static_cast<uint32_t>(ipfix ? (interval + space) / interval : interval);
  }
  void count_flow(uint64_t bytes, uint64_t packets, uint64_t first_ms, uint64_t last_ms, uint64_t addresses) {
    ++sums.flows;
    sums.bytes += bytes;
    sums.packets += packets;
    sums.times += first_ms * 3 + last_ms;
    sums.addresses += addresses;
  }

  uint64_t sequence_ = 0;
  std::map<uint64_t, Fields> templates_, options_;
};

void count(Sums& sums, const Flow& f) {
  ++sums.flows;
  sums.bytes += f.bytes;
  sums.packets += f.packets;
  sums.times += static_cast<uint64_t>(f.start / kMillisecond) * 3 + static_cast<uint64_t>(f.end / kMillisecond);
  sums.addresses += hash_of(f.src) ^ hash_of(f.dst) * 3;
}

class Packets : public ::testing::TestWithParam<PacketFormat> {};

TEST_P(Packets, SayWhatTheFlowsSay) {
  const PacketFormat format = GetParam();
  for (size_t i = 0; i < small_day().reporters.routers.size(); ++i) {
    const Router& router = small_day().reporters.routers[i];
    if (!(format == PacketFormat::netflow5 ? router.speaks_v5 : router.speaks_templates)) continue;
    Collector collector;
    TimestampNs last = 0;
    Packetizer packetizer(format, router, kOutputStart - 9 * kDay, [&](const Datagram& d) -> Status {
      EXPECT_GE(d.exported_at, last);
      last = d.exported_at;
      format == PacketFormat::netflow5 ? collector.v5(d.payload) : collector.templated(d.payload);
      return {};
    });
    Sums expected;
    for (const Flow& flow : small_day().flows) {
      if (flow.cloud_interface != kNoInterface || flow.router != i) continue;
      ASSERT_TRUE(packetizer.add(flow).ok());
      count(expected, flow);
    }
    ASSERT_TRUE(packetizer.flush().ok());
    ASSERT_GT(expected.flows, 1'000u);
    EXPECT_EQ(collector.sums, expected);
    EXPECT_EQ(packetizer.totals().flows, expected.flows);
    if (format != PacketFormat::netflow5) {
      EXPECT_EQ(collector.sampling, router.sampling);
      EXPECT_GT(collector.templates, 10u) << "templates are sent again and again";
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Formats, Packets, ::testing::Values(PacketFormat::netflow5, PacketFormat::netflow9, PacketFormat::ipfix),
                         [](const auto& format) { return std::string(to_string(format.param)); });

TEST(Packetizer, RefusesWhatAFormatCannotSay) {
  const Router router{"r", *parse_ip("192.168.0.1"), 1, 1, true, true};
  Packetizer v5(PacketFormat::netflow5, router, kOutputStart, [](const Datagram&) { return Status(); });
  Flow flow;
  flow.start = flow.end = kOutputStart + kHour;
  flow.src = *parse_ip("2001:db8::1");
  flow.dst = *parse_ip("2001:db8::2");
  EXPECT_FALSE(v5.add(flow).ok());
  flow.src = flow.dst = *parse_ip("10.0.0.1");
  EXPECT_TRUE(v5.add(flow).ok());
  flow.bytes = uint64_t{UINT32_MAX} + 1;
  EXPECT_FALSE(v5.add(flow).ok());
  flow.bytes = UINT32_MAX;
  EXPECT_TRUE(v5.add(flow).ok());
  flow.start = kOutputStart - kMillisecond;
  EXPECT_FALSE(v5.add(flow).ok());
  flow.start = kOutputStart + 2 * kHour;
  EXPECT_FALSE(v5.add(flow).ok()) << "ends before it starts";
  EXPECT_TRUE(v5.flush().ok());
  EXPECT_EQ(v5.totals().flows, 2u);
  EXPECT_EQ(v5.totals().packets, 1u);
}

TEST(PcapFile, FramesAreWellFormedAndReadBack) {
  const Folder folder;
  const std::string path = folder / "x.pcap";
  auto file = PcapFile::create(path, *parse_ip("192.168.0.1"), 50'000, *parse_ip("192.168.40.20"), 2055);
  ASSERT_TRUE(file.ok());
  std::vector<std::vector<uint8_t>> payloads;
  for (size_t size : {1, 2, 3, 24, 1'464}) payloads.emplace_back(size, static_cast<uint8_t>(size * 7));
  TimestampNs at = kOutputStart;
  for (const auto& payload : payloads) ASSERT_TRUE(file->append({at += kSecond + 5 * kMicrosecond, payload, 0}).ok());
  ASSERT_TRUE(file->finish().ok());

  const std::string bytes = slurp(path);
  const std::span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  // Checksums over header and pseudo-header come to 0xffff (RFC 1071).
  const auto sum = [](std::vector<uint8_t> b) {
    if (b.size() % 2 != 0) b.push_back(0);
    uint64_t s = 0;
    for (size_t i = 0; i < b.size(); i += 2) s += number(&b[i], 2);
    while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
    return s;
  };
  size_t offset = 24;
  for (const auto& payload : payloads) {
    const auto frame = span.subspan(offset + 16, 42 + payload.size());
    offset += 16 + frame.size();
    EXPECT_EQ(sum({frame.begin() + 14, frame.begin() + 34}), 0xffffu);
    std::vector<uint8_t> pseudo(frame.begin() + 26, frame.begin() + 34);
    pseudo.insert(pseudo.end(), {0, 17, frame[38], frame[39]});
    pseudo.insert(pseudo.end(), frame.begin() + 34, frame.end());
    EXPECT_EQ(sum(pseudo), 0xffffu);
  }
  EXPECT_EQ(offset, bytes.size());

  auto reader = PcapReader::open(span);
  ASSERT_TRUE(reader.ok());
  Datagram datagram;
  at = kOutputStart;
  for (const auto& payload : payloads) {
    auto more = reader->next(datagram);
    ASSERT_TRUE(more.ok() && *more);
    EXPECT_EQ(datagram.exported_at, at += kSecond + 5 * kMicrosecond);
    EXPECT_EQ(std::vector<uint8_t>(datagram.payload.begin(), datagram.payload.end()), payload);
  }
  auto more = reader->next(datagram);
  EXPECT_TRUE(more.ok() && !*more);

  // A file that breaks off says so, wherever it does.
  for (size_t cut = 0; cut < 300; ++cut) {
    auto broken = PcapReader::open(span.first(cut));
    if (!broken.ok()) continue;
    for (;;) {
      auto step = broken->next(datagram);
      if (!step.ok() || !*step) break;
    }
  }
}

TEST(AwsObjects, SayWhatTheInterfacesSaw) {
  const Folder folder;
  AwsObjects objects(folder.path(), small_day().reporters, small_day().aws_fields, 15);
  std::map<std::string, Sums> expected;
  for (const Flow& flow : small_day().flows) {
    if (flow.cloud_interface == kNoInterface) continue;
    ASSERT_TRUE(objects.add(flow).ok());
    Sums& sums = expected[small_day().reporters.name_of(flow)];
    ++sums.flows;
    sums.bytes += flow.bytes;
    sums.packets += flow.packets;
    sums.times += static_cast<uint64_t>(flow.start / kSecond * 3 + flow.end / kSecond);
    sums.addresses += hash_of(flow.src) ^ hash_of(flow.dst) * 3;
  }
  ASSERT_TRUE(objects.add_skip_data(small_day().loss_interface, small_day().flows.back().end).ok());
  ASSERT_TRUE(objects.finish().ok());

  std::map<std::string, Sums> found;
  uint64_t files = 0, no_data = 0, skip_data = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (!entry.is_regular_file()) continue;
    ++files;
    std::istringstream text(gunzip(entry.path()));
    std::string line, word;
    ASSERT_TRUE(std::getline(text, line));
    std::vector<std::string> header;
    for (std::istringstream words(line); words >> word;) header.push_back(word);
    while (std::getline(text, line)) {
      std::map<std::string, std::string> record;
      size_t i = 0;
      for (std::istringstream words(line); words >> word; ++i) {
        ASSERT_LT(i, header.size());
        record[header[i]] = word;
      }
      ASSERT_EQ(i, header.size()) << line;
      no_data += record["log-status"] == "NODATA";
      skip_data += record["log-status"] == "SKIPDATA";
      if (record["log-status"] != "OK") {
        EXPECT_EQ(record["srcaddr"], "-");
        continue;
      }
      // The path says whose and when.
      EXPECT_NE(entry.path().string().find("/AWSLogs/" + record["account-id"] + "/vpcflowlogs/eu-central-1/2026/01/01/"), std::string::npos);
      Sums& sums = found[record["account-id"]];
      ++sums.flows;
      sums.bytes += std::stoull(record["bytes"]);
      sums.packets += std::stoull(record["packets"]);
      sums.times += std::stoull(record["start"]) * 3 + std::stoull(record["end"]);
      sums.addresses += hash_of(*parse_ip(record["pkt-srcaddr"])) ^ hash_of(*parse_ip(record["pkt-dstaddr"])) * 3;
      const int flags = std::stoi(record["tcp-flags"]);
      EXPECT_EQ(flags & ~(1 | 2 | 4 | 16), 0) << line;
      EXPECT_TRUE((flags & 16) == 0 || (flags & 2) != 0) << "ACK is recorded with SYN only: " << line;
    }
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(files, objects.totals().objects);
  EXPECT_EQ(no_data, objects.totals().no_data);
  EXPECT_GE(no_data, 90u) << "the idle interface, all day";
  EXPECT_EQ(skip_data, 1u);
}

TEST(AwsObjects, TheSameFlowsGiveTheSameBytes) {
  const Folder folder;
  for (const char* name : {"a", "b"}) {
    AwsObjects objects(folder / name, small_day().reporters, small_day().aws_fields, 60);
    for (const Flow& flow : small_day().flows) {
      if (flow.cloud_interface == kNoInterface) continue;
      ASSERT_TRUE(objects.add(flow).ok());
    }
    ASSERT_TRUE(objects.finish().ok());
  }
  uint64_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "a")) {
    if (!entry.is_regular_file()) continue;
    ++files;
    const auto other = (folder.path() / "b") / std::filesystem::relative(entry.path(), folder / "a");
    EXPECT_EQ(slurp(entry.path()), slurp(other));
  }
  EXPECT_EQ(files, 48u);  // two accounts, 24 hours
}

TEST(TextFiles, SayWhatTheFlowsSay) {
  const Folder folder;
  Workload workload({9, 2'000, kOutputStart});
  auto csv = CsvFile::create(folder / "x.csv", true);
  const Reporters reporters = Workload::reporters();
  auto ndjson = NdjsonFile::create(folder / "x.ndjson", reporters);
  ASSERT_TRUE(csv.ok() && ndjson.ok());
  uint64_t bytes = 0, sources = 0;
  Flow flow;
  while (workload.next(flow)) {
    bytes += flow.bytes;
    sources += flow.src.v4_value();
    ASSERT_TRUE(csv->add(flow).ok());
    ASSERT_TRUE(ndjson->add(flow).ok());
  }
  ASSERT_TRUE(csv->finish().ok());
  ASSERT_TRUE(ndjson->finish().ok());

  std::istringstream text(slurp(folder / "x.csv"));
  std::string line, cell;
  std::getline(text, line);
  EXPECT_EQ(line, "flow_start,flow_end,src_ip,dst_ip,src_port,dst_port,protocol,tcp_flags,bytes,packets,input_if,output_if,src_as,dst_as");
  uint64_t rows = 0;
  while (std::getline(text, line)) {
    std::vector<uint64_t> cells;
    for (std::istringstream in(line); std::getline(in, cell, ',');) cells.push_back(std::stoull(cell));
    ASSERT_EQ(cells.size(), 14u);
    ++rows;
    sources -= cells[2];
    bytes -= cells[8];
  }
  EXPECT_EQ(rows, 2'000u);
  EXPECT_EQ(bytes, 0u);
  EXPECT_EQ(sources, 0u);

  const std::string json = slurp(folder / "x.ndjson");
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 2'000);
  EXPECT_EQ(json.substr(0, 10), "{\"start\":\"");
  EXPECT_EQ(json.find(",,"), std::string::npos);
  EXPECT_NE(json.find("\"reporter\":\"border\""), std::string::npos);
}

TEST(UdpSender, SendsToThisMachineOnly) {
  for (const char* target : {"10.0.0.1:2055", "192.168.1.1:2055", "8.8.8.8:53", "[2001:db8::1]:2055", "0.0.0.0:2055", "[::ffff:10.0.0.1]:2055"}) {
    auto sender = UdpSender::open(target, 0);
    ASSERT_FALSE(sender.ok()) << target;
    EXPECT_EQ(sender.error().code, ErrorCode::forbidden) << target;
  }
  for (const char* target : {"", ":", "2055", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:1x", "example.com:2055"}) {
    auto sender = UdpSender::open(target, 0);
    ASSERT_FALSE(sender.ok()) << target;
    EXPECT_EQ(sender.error().code, ErrorCode::invalid_argument) << target;
  }
  EXPECT_TRUE(UdpSender::open("127.0.0.1:2055", 0).ok());
  EXPECT_TRUE(UdpSender::open("localhost:2055", 0).ok());
}

}  // namespace
}  // namespace sluice::generate
