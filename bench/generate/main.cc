// sluice-generate: writes or sends generated flows. See bench/generate/STORY.md for what is in them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/generate/aws_objects.h"
#include "bench/generate/company.h"
#include "bench/generate/packet.h"
#include "bench/generate/pcap_file.h"
#include "bench/generate/profile_facts.h"
#include "bench/generate/text_files.h"
#include "bench/generate/truth.h"
#include "bench/generate/udp_sender.h"
#include "bench/generate/workload.h"

namespace sluice::generate {
namespace {

constexpr const char* kUsage = R"(sluice-generate: flows for trying, testing and measuring Sluice

  sluice-generate --profile company|bench [--seed N] [--start TIME] …  --out DIR --format F,F…
  sluice-generate --profile company|bench …  --send netflow5|netflow9|ipfix 127.0.0.1:PORT [--rate FLOWS_PER_SECOND]
  sluice-generate --replay FILE.pcap 127.0.0.1:PORT [--rate FLOWS_PER_SECOND]
  sluice-generate --profile bench … --describe

profiles
  company          a small company's day: two AWS accounts, an office, internet, and stories to find (STORY.md)
    --hours N      length of the day's traffic (24); --start is its midnight
    --scale X      amount of everyday traffic (1: about 400,000 flows)
  bench            the workload of the comparison: 67 minutes, about 78,000 addresses per million flows
    --flows N      how many (20000000)
options
  --seed N         the same seed gives the same flows everywhere (1)
  --start TIME     RFC 3339; default: so that the flows end with the last full hour before now
  --out DIR        write files there, with truth.json: totals, and addresses with their exact counts
  --format LIST    any of aws netflow5 netflow9 ipfix csv ndjson
  --object-minutes N   minutes per AWS object, 5 to 60 (15)
  --csv-numeric    IPv4 addresses as numbers in CSV
  --send, --replay send export packets by UDP, to loopback addresses only
  --rate N         flows per second (0: as fast as it goes); --replay counts NetFlow v5 flows, other packets as 30
  --describe       print what the flows are made of (entropies, groups) as JSON
)";

struct Options {
  std::string profile = "company";
  uint64_t seed = 1, flows = 20'000'000, rate = 0;
  std::optional<TimestampNs> start;
  int hours = 24, object_minutes = 15;
  double scale = 1;
  std::string out, send_format, target, replay;
  std::set<std::string> formats;
  bool csv_numeric = false, describe = false;
};

// The only unit of arguments: every option says how many values it takes, and what to do with them.
Result<Options> parse(int argc, char** argv) {
  Options o;
  const auto number = [](const char* text, auto& into) {
    const char* end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, into);
    return parsed.ec == std::errc() && parsed.ptr == end;
  };
  struct Option {
    int values;
    std::function<bool(char** v)> take;
  };
  const std::map<std::string, Option> options = {
      {"--profile", {1, [&](char** v) { o.profile = v[0]; return o.profile == "company" || o.profile == "bench"; }}},
      {"--seed", {1, [&](char** v) { return number(v[0], o.seed); }}},
      {"--flows", {1, [&](char** v) { return number(v[0], o.flows) && o.flows > 0 && o.flows <= 4'000'000'000; }}},
      {"--rate", {1, [&](char** v) { return number(v[0], o.rate); }}},
      {"--start", {1, [&](char** v) { o.start = parse_timestamp(v[0]); return o.start && *o.start > 60 * kDay; }}},
      {"--hours", {1, [&](char** v) { return number(v[0], o.hours); }}},
      {"--scale", {1, [&](char** v) { return number(v[0], o.scale); }}},
      {"--object-minutes", {1, [&](char** v) { return number(v[0], o.object_minutes) && o.object_minutes >= 5 && o.object_minutes <= 60; }}},
      {"--out", {1, [&](char** v) { o.out = v[0]; return true; }}},
      {"--csv-numeric", {0, [&](char**) { return o.csv_numeric = true; }}},
      {"--describe", {0, [&](char**) { return o.describe = true; }}},
      {"--send", {2, [&](char** v) { o.send_format = v[0]; o.target = v[1];
         return o.send_format == "netflow5" || o.send_format == "netflow9" || o.send_format == "ipfix"; }}},
      {"--replay", {2, [&](char** v) { o.replay = v[0]; o.target = v[1]; return true; }}},
      {"--format", {1, [&](char** v) {
         const std::set<std::string> known = {"aws", "netflow5", "netflow9", "ipfix", "csv", "ndjson"};
         std::string_view rest = v[0];
         while (!rest.empty()) {
           const size_t comma = std::min(rest.find(','), rest.size());
           o.formats.emplace(rest.substr(0, comma));
           rest.remove_prefix(std::min(comma + 1, rest.size()));
         }
         for (const std::string& f : o.formats) if (known.count(f) == 0) return false;
         return !o.formats.empty(); }}},
  };
  for (int i = 1; i < argc; ++i) {
    const auto option = options.find(argv[i]);
    if (option == options.end()) return Error{ErrorCode::invalid_argument, std::string("unknown option: ") + argv[i]};
    if (argc - i - 1 < option->second.values) return Error{ErrorCode::invalid_argument, std::string("option wants a value: ") + argv[i]};
    if (!option->second.take(argv + i + 1)) return Error{ErrorCode::invalid_argument, std::string("bad value for ") + argv[i] + ": " + argv[i + 1]};
    i += option->second.values;
  }
  const int jobs = int{!o.out.empty()} + int{!o.target.empty()} + int{o.describe};
  if (jobs != 1) return Error{ErrorCode::invalid_argument, "want one of --out, --send, --replay, --describe"};
  if (!o.out.empty() && o.formats.empty()) return Error{ErrorCode::invalid_argument, "--out wants --format"};
  return o;
}

// Either profile as one stream of flows.
class Flows {
 public:
  static Result<std::unique_ptr<Flows>> open(const Options& o) {
    auto flows = std::unique_ptr<Flows>(new Flows);
    const TimestampNs now = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const TimestampNs last_hour = now / kHour * kHour;
    if (o.profile == "bench") {
      flows->start_ = o.start.value_or((last_hour - kWorkloadSpan) / kHour * kHour);
      flows->workload_ = std::make_unique<Workload>(WorkloadOptions{o.seed, o.flows, flows->start_});
      flows->reporters_ = Workload::reporters();
      // For the aws format the whole network is behind one interface.
      if (o.formats.count("aws") > 0) {
        flows->reporters_.interfaces.push_back({"eni-00000000000000001", "i-00000000000000001", "subnet-00000000000000001", "vpc-00000000000000001",
                                                "111122223333", "eu-central-1", "euc1-az1", *parse_ip("172.20.0.1"), false});
      }
      return flows;
    }
    flows->start_ = o.start.value_or(last_hour - o.hours * kHour);
    SLUICE_ASSIGN(flows->company_, make_company({o.seed, flows->start_, o.hours, o.scale}));
    flows->reporters_ = flows->company_.reporters;
    return flows;
  }

  bool next(Flow& flow) {
    if (workload_) return workload_->next(flow);
    if (at_ == company_.flows.size()) return false;
    flow = company_.flows[at_++];
    return true;
  }
  bool is_company() const { return workload_ == nullptr; }
  const Reporters& reporters() const { return reporters_; }
  const Company& company() const { return company_; }
  TimestampNs start() const { return start_; }

 private:
  Flows() = default;
  TimestampNs start_ = 0;
  std::unique_ptr<Workload> workload_;
  Company company_;
  size_t at_ = 0;
  Reporters reporters_;
};

std::optional<PacketFormat> packet_format(const std::string& name) {
  for (const PacketFormat f : {PacketFormat::netflow5, PacketFormat::netflow9, PacketFormat::ipfix})
    if (to_string(f) == name) return f;
  return std::nullopt;
}
bool speaks(const Router& router, PacketFormat format) {
  return format == PacketFormat::netflow5 ? router.speaks_v5 : router.speaks_templates;
}
// Routers have been up for some days.
TimestampNs boot_time(const Flows& flows) { return flows.start() - 9 * kDay; }

std::string head_json(const Options& o, const Flows& flows) {
  return "\"profile\":\"" + o.profile + "\",\"seed\":" + std::to_string(o.seed) + ",\"start\":\"" + format_timestamp(flows.start()) + "\"" +
         (flows.is_company() ? ",\"hours\":" + std::to_string(o.hours) : ",\"dns_block\":\"" + std::string(kWorkloadDnsBlock) + "\"");
}

Status write_files(const Options& o) {
  SLUICE_ASSIGN(const std::unique_ptr<Flows> flows, Flows::open(o));
  const Reporters& reporters = flows->reporters();
  Truth truth(reporters);

  struct Capture {
    std::unique_ptr<PcapFile> file;
    std::unique_ptr<Packetizer> packets;
    uint8_t router;
    std::string path;
  };
  std::vector<Capture> captures;
  for (const std::string& name : o.formats) {
    const auto format = packet_format(name);
    if (!format) continue;
    for (size_t i = 0; i < reporters.routers.size(); ++i) {
      const Router& router = reporters.routers[i];
      if (!speaks(router, *format)) continue;
      Capture c;
      c.router = static_cast<uint8_t>(i);
      c.path = o.out + "/" + name + "/" + router.name + ".pcap";
      SLUICE_ASSIGN(PcapFile file, PcapFile::create(c.path, router.address, static_cast<uint16_t>(50'000 + i), *parse_ip("192.168.40.20"), collector_port(*format)));
      c.file = std::make_unique<PcapFile>(std::move(file));
      c.packets = std::make_unique<Packetizer>(*format, router, boot_time(*flows), [to = c.file.get()](const Datagram& d) { return to->append(d); });
      captures.push_back(std::move(c));
    }
  }
  std::optional<CsvFile> csv;
  if (o.formats.count("csv") > 0) {
    SLUICE_ASSIGN(csv, CsvFile::create(o.out + "/flows.csv", o.csv_numeric));
  }
  std::optional<NdjsonFile> ndjson;
  if (o.formats.count("ndjson") > 0) {
    SLUICE_ASSIGN(ndjson, NdjsonFile::create(o.out + "/flows.ndjson", reporters));
  }
  std::optional<AwsObjects> aws;
  if (o.formats.count("aws") > 0) aws.emplace(o.out + "/aws", reporters, flows->company().aws_fields, o.object_minutes);

  Flow flow;
  bool loss_said = !flows->is_company();
  while (flows->next(flow)) {
    truth.add(flow);
    if (aws) {
      if (!loss_said && flow.end >= flows->company().loss_at) {
        SLUICE_TRY(aws->add_skip_data(flows->company().loss_interface, flows->company().loss_at));
        loss_said = true;
      }
      if (!flows->is_company()) {
        Flow seen = flow;
        seen.cloud_interface = 0;
        seen.if_src = flow.src;
        seen.if_dst = flow.dst;
        SLUICE_TRY(aws->add(seen));
      } else if (flow.cloud_interface != kNoInterface) {
        SLUICE_TRY(aws->add(flow));
      }
    }
    if (flow.cloud_interface == kNoInterface)
      for (Capture& c : captures)
        if (c.router == flow.router) SLUICE_TRY(c.packets->add(flow));
    if (csv) SLUICE_TRY(csv->add(flow));
    if (ndjson) SLUICE_TRY(ndjson->add(flow));
  }
  if (aws) {
    SLUICE_TRY(aws->finish());
    const AwsTotals& t = aws->totals();
    std::printf("aws: %llu objects, %llu flows, %llu NODATA, %llu SKIPDATA, %.1f MB (%.1f MB of text)\n", static_cast<unsigned long long>(t.objects),
                static_cast<unsigned long long>(t.flows), static_cast<unsigned long long>(t.no_data), static_cast<unsigned long long>(t.skip_data),
                static_cast<double>(t.bytes) / 1e6, static_cast<double>(t.text_bytes) / 1e6);
  }
  for (Capture& c : captures) {
    SLUICE_TRY(c.packets->flush());
    SLUICE_TRY(c.file->finish());
    const PacketTotals& t = c.packets->totals();
    std::printf("%s: %llu flows in %llu packets, %.1f MB\n", c.path.c_str(), static_cast<unsigned long long>(t.flows),
                static_cast<unsigned long long>(t.packets), static_cast<double>(t.bytes) / 1e6);
  }
  if (csv) SLUICE_TRY(csv->finish());
  if (ndjson) SLUICE_TRY(ndjson->finish());
  SLUICE_TRY(write_file(o.out + "/truth.json", truth.json(head_json(o, *flows))));
  std::printf("%llu flows, %zu addresses, in %s\n", static_cast<unsigned long long>(truth.total().flows), truth.addresses(), o.out.c_str());
  return {};
}

void print_sent(const SendTotals& t) {
  std::printf("{\"flows\":%llu,\"packets\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"flows_per_second\":%.0f}\n", static_cast<unsigned long long>(t.flows),
              static_cast<unsigned long long>(t.packets), static_cast<unsigned long long>(t.bytes), t.seconds,
              t.seconds > 0 ? static_cast<double>(t.flows) / t.seconds : 0.0);
}

Status send(const Options& o) {
  SLUICE_ASSIGN(UdpSender sender, UdpSender::open(o.target, o.rate));
  SLUICE_ASSIGN(const std::unique_ptr<Flows> flows, Flows::open(o));
  const PacketFormat format = *packet_format(o.send_format);
  std::vector<std::unique_ptr<Packetizer>> routers;
  for (const Router& router : flows->reporters().routers) {
    routers.push_back(speaks(router, format) ? std::make_unique<Packetizer>(format, router, boot_time(*flows), [&](const Datagram& d) { return sender.send(d); }) : nullptr);
  }
  Flow flow;
  while (flows->next(flow)) {
    if (flow.cloud_interface == kNoInterface && routers[flow.router]) SLUICE_TRY(routers[flow.router]->add(flow));
  }
  for (const auto& router : routers)
    if (router) SLUICE_TRY(router->flush());
  SLUICE_TRY(sender.finish());
  print_sent(sender.totals());
  return {};
}

Status replay(const Options& o) {
  SLUICE_ASSIGN(UdpSender sender, UdpSender::open(o.target, o.rate));
  const int file = ::open(o.replay.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Error::from_errno("cannot open " + o.replay, errno);
  struct stat about {};
  if (::fstat(file, &about) != 0 || about.st_size == 0) {
    ::close(file);
    return Error{ErrorCode::io, "cannot read " + o.replay + ": empty or unreadable"};
  }
  const size_t size = static_cast<size_t>(about.st_size);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED) return Error::from_errno("cannot map " + o.replay, errno);
  const Status sent = [&]() -> Status {
    SLUICE_ASSIGN(PcapReader reader, PcapReader::open({static_cast<const uint8_t*>(mapped), size}));
    for (Datagram datagram;;) {
      SLUICE_ASSIGN(const bool more, reader.next(datagram));
      if (!more) break;
      if (datagram.flows == 0) datagram.flows = 30;  // for the pace
      SLUICE_TRY(sender.send(datagram));
    }
    return sender.finish();
  }();
  ::munmap(mapped, size);
  SLUICE_TRY(sent);
  print_sent(sender.totals());
  return {};
}

Status describe(const Options& o) {
  SLUICE_ASSIGN(const std::unique_ptr<Flows> flows, Flows::open(o));
  ProfileFacts facts;
  Flow flow;
  while (flows->next(flow)) facts.add(flow);
  std::fputs(facts.json().c_str(), stdout);
  return {};
}

int run(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) {
    std::fputs(kUsage, argc < 2 ? stderr : stdout);
    return argc < 2 ? 2 : 0;
  }
  const Result<Options> options = parse(argc, argv);
  if (!options) {
    std::fprintf(stderr, "sluice-generate: %s (--help lists the options)\n", options.error().message.c_str());
    return 2;
  }
  const Status done = !options->out.empty() ? write_files(*options) : options->describe ? describe(*options) : !options->replay.empty() ? replay(*options) : send(*options);
  if (!done) {
    std::fprintf(stderr, "sluice-generate: %s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace sluice::generate

int main(int argc, char** argv) { return sluice::generate::run(argc, argv); }
