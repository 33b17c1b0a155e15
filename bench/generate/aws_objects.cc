#include "bench/generate/aws_objects.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "bench/generate/output_file.h"
#include "bench/generate/prng.h"
#include "bench/generate/put_text.h"

namespace sluice::generate {

enum class AwsObjects::Field : uint8_t {
  version, account_id, interface_id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end, action,
  log_status, vpc_id, subnet_id, instance_id, tcp_flags, type, pkt_srcaddr, pkt_dstaddr, region, az_id, sublocation_type,
  sublocation_id, pkt_src_aws_service, pkt_dst_aws_service, flow_direction, traffic_path,
};

namespace {

// In the order of Field, with the version that brought it.
struct FieldName {
  std::string_view name;
  int version;
};
constexpr FieldName kFields[] = {
    {"version", 2},     {"account-id", 2},       {"interface-id", 2},   {"srcaddr", 2},     {"dstaddr", 2},
    {"srcport", 2},     {"dstport", 2},          {"protocol", 2},       {"packets", 2},     {"bytes", 2},
    {"start", 2},       {"end", 2},              {"action", 2},         {"log-status", 2},  {"vpc-id", 3},
    {"subnet-id", 3},   {"instance-id", 3},      {"tcp-flags", 3},      {"type", 3},        {"pkt-srcaddr", 3},
    {"pkt-dstaddr", 3}, {"region", 4},           {"az-id", 4},          {"sublocation-type", 4}, {"sublocation-id", 4},
    {"pkt-src-aws-service", 5}, {"pkt-dst-aws-service", 5}, {"flow-direction", 5}, {"traffic-path", 5},
};
constexpr std::string_view kDefaultFields =
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

void put_text(std::string& out, std::string_view text) { out.append(text.empty() ? "-" : text); }

// One gzip member (RFC 1952) without a time, so the same text gives the same bytes.
Result<std::string> gzip(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, 4, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return Error{ErrorCode::full, "zlib cannot start: out of memory"};
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int end = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (end != Z_STREAM_END) return Error{ErrorCode::io, "zlib cannot compress: " + std::to_string(end)};
  return out;
}

std::string utc(TimestampNs at, const char* format) {
  const std::time_t seconds = at / kSecond;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, format, &parts));
}

// The AWS service behind a public address, where it is one of theirs: the generated company uses this block as "S3".
std::string_view aws_service(const IpAddress& ip) {
  return ip.is_v4() && ip.v4_value() >> 16 == (52u << 8 | 219) ? "S3" : std::string_view();
}

}  // namespace

uint8_t aws_tcp_flags(const Flow& flow) {
  if (flow.protocol != kTcp) return 0;
  uint8_t flags = flow.tcp_flags & (kFin | kSyn | kRst);
  // ACK alone is not recorded, only together with SYN in one packet: the answer to a SYN.
  if (flow.reply && (flow.tcp_flags & kSyn) != 0) flags |= kAck;
  return flags;
}

AwsObjects::AwsObjects(std::string folder, const Reporters& reporters, std::map<std::string, std::string> fields, int object_minutes)
    : folder_(std::move(folder)), reporters_(reporters), window_(object_minutes * kMinute) {
  for (const CloudInterface& interface : reporters.interfaces) {
    auto at = std::find_if(accounts_.begin(), accounts_.end(), [&](const Account& a) { return a.id == interface.account_id; });
    if (at == accounts_.end()) {
      Account account;
      account.id = interface.account_id;
      account.region = interface.region;
      const auto given = fields.find(account.id);
      account.header = given == fields.end() ? std::string(kDefaultFields) : given->second;
      for (size_t from = 0; from < account.header.size();) {
        const size_t to = std::min(account.header.find(' ', from), account.header.size());
        const std::string_view name = std::string_view(account.header).substr(from, to - from);
        const auto* field = std::find_if(std::begin(kFields), std::end(kFields), [&](const FieldName& f) { return f.name == name; });
        SLUICE_CHECK_MSG(field != std::end(kFields), name);
        account.fields.push_back(static_cast<Field>(field - std::begin(kFields)));
        from = to + 1;
      }
      account.seen.resize(reporters.interfaces.size());
      accounts_.push_back(std::move(account));
      at = accounts_.end() - 1;
    }
    account_of_.push_back(static_cast<uint32_t>(at - accounts_.begin()));
  }
}

void AwsObjects::put(Account& account, const CloudInterface& interface, const Flow* flow, std::string_view log_status,
                     TimestampNs from, TimestampNs to) {
  std::string& out = account.text;
  const size_t before = out.size();
  for (const Field field : account.fields) {
    if (out.size() != before) out.push_back(' ');
    switch (field) {
      case Field::version: {
        int version = 2;
        for (const Field f : account.fields) version = std::max(version, kFields[static_cast<size_t>(f)].version);
        put_number(out, static_cast<uint64_t>(version));
        continue;
      }
      case Field::account_id: put_text(out, interface.account_id); continue;
      case Field::interface_id: put_text(out, interface.id); continue;
      case Field::start: put_number(out, static_cast<uint64_t>(from)); continue;
      case Field::end: put_number(out, static_cast<uint64_t>(to)); continue;
      case Field::log_status: put_text(out, log_status); continue;
      default: break;
    }
    if (flow == nullptr) {
      out.push_back('-');
      continue;
    }
    const bool icmp = flow->protocol == kIcmp || flow->protocol == kIcmp6;
    switch (field) {
      case Field::srcaddr: put_ip(out, flow->if_src); break;
      case Field::dstaddr: put_ip(out, flow->if_dst); break;
      case Field::srcport: put_number(out, flow->src_port); break;
      case Field::dstport: put_number(out, icmp ? 0 : flow->dst_port); break;
      case Field::protocol: put_number(out, flow->protocol); break;
      case Field::packets: put_number(out, flow->packets); break;
      case Field::bytes: put_number(out, flow->bytes); break;
      case Field::action: out.append(flow->action == FlowAction::accept ? "ACCEPT" : "REJECT"); break;
      case Field::vpc_id: put_text(out, interface.vpc_id); break;
      case Field::subnet_id: put_text(out, interface.subnet_id); break;
      case Field::instance_id: put_text(out, interface.instance_id); break;
      case Field::tcp_flags: put_number(out, aws_tcp_flags(*flow)); break;
      case Field::type: out.append(flow->src.is_v4() ? "IPv4" : "IPv6"); break;
      case Field::pkt_srcaddr: put_ip(out, flow->src); break;
      case Field::pkt_dstaddr: put_ip(out, flow->dst); break;
      case Field::region: put_text(out, interface.region); break;
      case Field::az_id: put_text(out, interface.zone); break;
      case Field::pkt_src_aws_service: put_text(out, aws_service(flow->src)); break;
      case Field::pkt_dst_aws_service: put_text(out, aws_service(flow->dst)); break;
      case Field::flow_direction: out.append(flow->egress ? "egress" : "ingress"); break;
      case Field::traffic_path:
        if (flow->egress && flow->traffic_path != 0) put_number(out, flow->traffic_path); else out.push_back('-');
        break;
      default: out.push_back('-'); break;
    }
  }
  out.push_back('\n');
}

Status AwsObjects::open_window(Account& account, TimestampNs at) {
  const TimestampNs window = at - at % window_;
  if (account.window == window) return {};
  SLUICE_TRY(close_window(account));
  account.window = window;
  account.text = account.header + "\n";
  std::fill(account.seen.begin(), account.seen.end(), false);
  return {};
}

Status AwsObjects::close_window(Account& account) {
  if (account.window == 0) return {};
  for (size_t i = 0; i < reporters_.interfaces.size(); ++i) {
    if (&accounts_[account_of_[i]] != &account || account.seen[i]) continue;
    put(account, reporters_.interfaces[i], nullptr, "NODATA", aws_seconds(account.window), aws_seconds(account.window + window_));
    ++totals_.no_data;
  }
  SLUICE_ASSIGN(const std::string object, gzip(account.text));
  uint64_t hash = mix(static_cast<uint64_t>(account.window));
  for (const char c : account.id) hash = mix(hash ^ static_cast<uint8_t>(c));
  char tail[64];
  std::snprintf(tail, sizeof tail, "fl-%08x_%s_%08x", static_cast<unsigned>(mix(account.id.size() + account.fields.size()) >> 32),
                utc(account.window, "%Y%m%dT%H%MZ").c_str(), static_cast<unsigned>(hash >> 32));
  const std::string path = folder_ + "/AWSLogs/" + account.id + "/vpcflowlogs/" + account.region + utc(account.window, "/%Y/%m/%d/") +
                           account.id + "_vpcflowlogs_" + account.region + "_" + tail + ".log.gz";
  SLUICE_TRY(write_file(path, object));
  ++totals_.objects;
  totals_.text_bytes += account.text.size();
  totals_.bytes += object.size();
  account.window = 0;
  return {};
}

Status AwsObjects::add(const Flow& flow) {
  Account& account = accounts_[account_of_[flow.cloud_interface]];
  SLUICE_TRY(open_window(account, flow.end));
  account.seen[flow.cloud_interface] = true;
  put(account, reporters_.interfaces[flow.cloud_interface], &flow, "OK", aws_seconds(flow.start), aws_seconds(flow.end));
  ++totals_.flows;
  return {};
}

Status AwsObjects::add_skip_data(uint32_t cloud_interface, TimestampNs at) {
  Account& account = accounts_[account_of_[cloud_interface]];
  SLUICE_TRY(open_window(account, at));
  account.seen[cloud_interface] = true;
  put(account, reporters_.interfaces[cloud_interface], nullptr, "SKIPDATA", aws_seconds(at), aws_seconds(at + kMinute));
  ++totals_.skip_data;
  return {};
}

Status AwsObjects::finish() {
  for (Account& account : accounts_) SLUICE_TRY(close_window(account));
  return {};
}

}  // namespace sluice::generate
