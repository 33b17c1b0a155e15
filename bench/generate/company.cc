#include "bench/generate/company.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "bench/generate/prng.h"
#include "bench/generate/workload.h"

namespace sluice::generate {
namespace {

constexpr uint32_t ipv4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return a << 24 | b << 16 | c << 8 | d; }
IpAddress v4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return IpAddress::v4(ipv4(a, b, c, d)); }
IpAddress known(const char* text) { return *parse_ip(text); }
IpAddress office_v6(uint32_t host) { return IpAddress::from_halves(0x20010db800100000ull, host); }

// How busy each hour is, for people in an office and for a shop's customers (parts of a thousand).
constexpr uint16_t kOfficeDay[24] = {4, 3, 3, 3, 4, 8, 20, 48, 85, 96, 98, 92, 62, 78, 94, 92, 80, 58, 30, 14, 10, 8, 6, 4};
constexpr uint16_t kShopDay[24] = {18, 11, 8, 6, 7, 11, 20, 32, 42, 48, 52, 56, 60, 56, 52, 50, 52, 58, 66, 76, 84, 70, 42, 23};
constexpr uint16_t kEvenDay[24] = {42, 42, 42, 42, 42, 42, 41, 41, 41, 41, 41, 41, 42, 42, 42, 42, 42, 42, 41, 41, 41, 41, 41, 41};

// A conversation as it happened on the wire; reporters then see it each in their way.
struct Talk {
  TimestampNs at = 0;
  DurationNs lasts = 0;
  IpAddress client, server;
  uint16_t client_port = 0, server_port = 0;
  uint8_t protocol = kTcp;
  uint64_t up_packets = 1, up_bytes = 40, down_packets = 0, down_bytes = 0;  // down 0: never answered
  uint8_t up_flags = 0, down_flags = 0;
  FlowAction action = FlowAction::accept;
};

// What a conversation is made from. Calls fill these in braces on purpose: there, and not among the arguments of a
// function, C++ fixes the order in which the random numbers are drawn.
struct Plan {
  TimestampNs at;
  DurationNs lasts;
  IpAddress client, server;
  uint16_t port;
  uint64_t up, down;  // payload bytes
};
struct Knock {
  TimestampNs at;
  IpAddress client, server;
  uint16_t port;
  uint32_t packets;
  FlowAction action;
};

class Builder {
 public:
  explicit Builder(const CompanyOptions& options)
      : options_(options), length_(options.hours * kHour), end_(options.start + length_) {}

  Company build() {
    furnish();
    shop();
    outbound();
    analytics();
    internet_noise();
    office();
    office_inside();
    stories();
    // Stable, so that equal ends keep the order in which they were made and the result depends on the seed alone.
    std::stable_sort(company_.flows.begin(), company_.flows.end(), [](const Flow& a, const Flow& b) { return a.end < b.end; });
    return std::move(company_);
  }

 private:
  // ---- the world -------------------------------------------------------------------------------------------------
  uint32_t interface(const char* account, const char* vpc, const char* subnet, IpAddress address, bool has_instance, bool is_public = false) {
    CloudInterface i;
    const uint64_t h = mix(hash_of(address));
    char id[32];
    std::snprintf(id, sizeof id, "eni-%017llx", static_cast<unsigned long long>(h >> 4) & 0xfffffffffffffffull);
    i.id = id;
    std::snprintf(id, sizeof id, "i-%017llx", static_cast<unsigned long long>(mix(h) >> 4) & 0xfffffffffffffffull);
    if (has_instance) i.instance_id = id;
    i.account_id = account;
    i.vpc_id = vpc;
    i.subnet_id = subnet;
    i.region = "eu-central-1";
    i.zone = address.v4_value() & 1 ? "euc1-az1" : "euc1-az2";
    i.address = address;
    i.is_public = is_public;
    company_.reporters.interfaces.push_back(std::move(i));
    return static_cast<uint32_t>(company_.reporters.interfaces.size() - 1);
  }

  void furnish() {
    const char *a = "111122223333", *va = "vpc-0a20c0ffee0000001", *b = "444455556666", *vb = "vpc-0b30c0ffee0000002";
    for (uint32_t i : {11, 12}) balancers_.push_back(interface(a, va, "subnet-0a20000000000000a", v4(10, 20, 0, i), false, true));
    nat_a_ = interface(a, va, "subnet-0a20000000000000a", v4(10, 20, 0, 5), false, true);
    bastion_ = interface(a, va, "subnet-0a20000000000000a", known(story::kBastion), true, true);
    for (uint32_t i = 0; i < 6; ++i) webs_.push_back(interface(a, va, "subnet-0a20000000000001b", v4(10, 20, 1, 10 + i), true));
    for (uint32_t i = 0; i < 8; ++i) apps_.push_back(interface(a, va, "subnet-0a2000000000000bc", v4(10, 20, 11, 10 + i), true));
    inventory_ = interface(a, va, "subnet-0a2000000000000cd", known(story::kDyingService), true);
    for (uint32_t i : {10, 11, 15}) databases_.push_back(interface(a, va, "subnet-0a20000000000015e", v4(10, 20, 21, i), true));
    // A machine that nobody uses: its interface says NODATA all day.
    interface(a, va, "subnet-0a2000000000000bc", v4(10, 20, 11, 99), true);
    for (uint32_t i = 0; i < 6; ++i) batches_.push_back(interface(b, vb, "subnet-0b30000000000002a", v4(10, 30, 2, 4 + i), true));
    warehouse_ = interface(b, vb, "subnet-0b30000000000003b", v4(10, 30, 3, 10), true);
    nat_b_ = interface(b, vb, "subnet-0b30000000000000c", v4(10, 30, 0, 5), false, true);
    company_.aws_fields[a] =
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status "
        "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id pkt-src-aws-service "
        "pkt-dst-aws-service flow-direction traffic-path";
    company_.aws_fields[b] =
        "account-id vpc-id subnet-id instance-id interface-id action log-status start end protocol srcaddr srcport dstaddr dstport "
        "pkt-srcaddr pkt-dstaddr tcp-flags packets bytes type version";
    company_.reporters.routers.push_back({"edge", v4(192, 168, 0, 1), 11, 1, true, false});
    company_.reporters.routers.push_back({"core", v4(192, 168, 0, 2), 12, 100, false, true});
    company_.loss_interface = balancers_[0];
    company_.loss_at = hour(story::kLossHour);
  }

  IpAddress address(uint32_t interface_index) const { return company_.reporters.interfaces[interface_index].address; }
  IpAddress workstation(uint32_t i) const { return v4(192, 168, 10, 20 + i); }

  // ---- time and size ---------------------------------------------------------------------------------------------
  TimestampNs hour(double h) const {
    return options_.start + static_cast<TimestampNs>(h * 3'600'000.0 * options_.hours / 24) * kMillisecond;
  }
  // A moment of the day, by its curve.
  TimestampNs moment(const uint16_t (&day)[24], Prng& r) const {
    uint32_t sum = 0;
    for (const uint16_t part : day) sum += part;
    uint32_t left = r.below(sum), h = 0;
    while (left >= day[h]) left -= day[h++];
    const int64_t ms = int64_t{h} * 3'600'000 + r.below(3'600'000);
    return options_.start + ms * options_.hours / 24 * kMillisecond;
  }
  uint32_t times(uint32_t at_scale_1) const {
    return static_cast<uint32_t>(at_scale_1 * options_.scale * options_.hours / 24);
  }
  // One of the addresses that AWS calls S3.
  static IpAddress s3(Prng& r) {
    const uint32_t third = 40 + r.below(12), last = 10 + r.below(40);
    return v4(52, 219, third, last);
  }
  static uint16_t ephemeral(Prng& r) { return static_cast<uint16_t>(32'768 + r.below(28'232)); }

  // A complete TCP conversation with `up` and `down` payload bytes.
  static Talk tcp(Prng& r, const Plan& p) {
    Talk t;
    t.at = p.at;
    t.lasts = p.lasts;
    t.client = p.client;
    t.server = p.server;
    t.client_port = ephemeral(r);
    t.server_port = p.port;
    const uint64_t header = p.client.is_v4() ? 40 : 60;
    t.up_packets = 4 + p.up / 1'400 + p.down / 2'800;
    t.down_packets = 4 + p.down / 1'400 + p.up / 2'800;
    t.up_bytes = t.up_packets * header + p.up;
    t.down_bytes = t.down_packets * header + p.down;
    t.up_flags = t.down_flags = kSyn | kAck | kPsh | kFin;
    if (r.chance(1, 20)) t.up_flags = kSyn | kAck | kPsh | kRst;
    return t;
  }
  static Talk udp(Prng& r, const Plan& p) {
    Talk t;
    t.at = p.at;
    t.lasts = p.lasts;
    t.client = p.client;
    t.server = p.server;
    t.client_port = ephemeral(r);
    t.server_port = p.port;
    t.protocol = kUdp;
    const uint64_t header = p.client.is_v4() ? 28 : 48;
    t.up_packets = 1 + p.up / 1'200;
    t.down_packets = p.down == 0 ? 0 : 1 + p.down / 1'200;
    t.up_bytes = p.up + t.up_packets * header;
    t.down_bytes = p.down == 0 ? 0 : p.down + t.down_packets * header;
    return t;
  }
  // SYN packets without an answer.
  static Talk knock(Prng& r, const Knock& k) {
    Talk t;
    t.at = k.at;
    t.lasts = k.packets > 1 ? ((1 << (k.packets - 1)) - 1) * kSecond : 0;  // retries after 1, 2, 4 … seconds
    t.client = k.client;
    t.server = k.server;
    t.client_port = ephemeral(r);
    t.server_port = k.port;
    t.up_packets = k.packets;
    t.up_bytes = k.packets * 44;
    t.up_flags = kSyn;
    t.action = k.action;
    return t;
  }

  // ---- reporters -------------------------------------------------------------------------------------------------
  static Flow one_way(const Talk& t, bool up) {
    Flow f;
    f.start = t.at;
    f.end = t.at + t.lasts;
    f.src = f.if_src = up ? t.client : t.server;
    f.dst = f.if_dst = up ? t.server : t.client;
    f.src_port = up ? t.client_port : t.server_port;
    f.dst_port = up ? t.server_port : t.client_port;
    if (t.protocol == kIcmp || t.protocol == kIcmp6) f.src_port = 0, f.dst_port = up ? t.server_port : 0;  // type · 256 of the reply: 0
    f.protocol = t.protocol;
    f.packets = up ? t.up_packets : t.down_packets;
    f.bytes = up ? t.up_bytes : t.down_bytes;
    f.tcp_flags = up ? t.up_flags : t.down_flags;
    f.action = t.action;
    f.reply = !up;
    return f;
  }

  // Adds a flow, in pieces of at most `interval` where it is long, as far as it was over before the range's end.
  void add(Flow f, DurationNs interval) {
    const uint64_t wanted = static_cast<uint64_t>((f.end - f.start) / interval) + 1;
    const uint64_t pieces = std::min(wanted, f.packets);
    const uint8_t middle = static_cast<uint8_t>(f.tcp_flags & ~(kSyn | kFin | kRst));
    const DurationNs step = (f.end - f.start) / static_cast<DurationNs>(pieces) / kMillisecond * kMillisecond;
    const Flow whole = f;
    for (uint64_t i = 0; i < pieces; ++i) {
      const bool last = i + 1 == pieces;
      f.start = whole.start + static_cast<DurationNs>(i) * step;
      f.end = last ? whole.end : f.start + step - kMillisecond;
      if (f.end < f.start) f.end = f.start;
      f.packets = whole.packets / pieces + (i < whole.packets % pieces ? 1 : 0);
      f.bytes = whole.bytes / pieces + (i == 0 ? whole.bytes % pieces : 0);
      if (pieces > 1 && whole.protocol == kTcp) {
        f.tcp_flags = middle;
        if (i == 0) f.tcp_flags |= whole.tcp_flags & kSyn;
        if (last) f.tcp_flags |= whole.tcp_flags & (kFin | kRst);
      }
      if (f.end >= end_) return;
      if (f.start >= options_.start) company_.flows.push_back(f);
    }
  }

  // Both directions at one cloud interface. `at_client`: it is the client's. `path` is AWS's traffic-path of what leaves;
  // if_client/if_server are the addresses that the interface sees (NAT).
  void aws(const Talk& t, uint32_t interface_index, bool at_client, uint8_t path, IpAddress if_client, IpAddress if_server) {
    for (const bool up : {true, false}) {
      if (!up && t.down_packets == 0) continue;
      Flow f = one_way(t, up);
      f.cloud_interface = interface_index;
      f.egress = up == at_client;
      f.traffic_path = f.egress ? path : 0;
      f.if_src = up ? if_client : if_server;
      f.if_dst = up ? if_server : if_client;
      add(f, 10 * kMinute);
    }
  }
  void aws(const Talk& t, uint32_t interface_index, bool at_client, uint8_t path) {
    aws(t, interface_index, at_client, path, t.client, t.server);
  }
  void aws_both(const Talk& t, uint32_t client, uint32_t server, uint8_t path = 1) {
    aws(t, client, true, path);
    aws(t, server, false, path);
  }
  // From an instance to the internet through a NAT gateway: the instance's interface, and both sides of the gateway.
  void aws_nat(const Talk& t, uint32_t instance, uint32_t nat) {
    aws(t, instance, true, 1);
    // Inside: the interface address is the gateway's, the packet says the real server.
    aws(t, nat, false, 1, t.client, address(nat));
    Talk outside = t;
    outside.client = address(nat);
    outside.client_port = static_cast<uint16_t>(1'024 + (t.client_port * 7u) % 64'000);
    outside.at += kMillisecond;
    aws(outside, nat, true, 8);
  }

  void routed(const Talk& t, uint8_t router, uint32_t client_if, uint32_t server_if, Prng& r) {
    const uint32_t sampling = company_.reporters.routers[router].sampling;
    for (const bool up : {true, false}) {
      if (!up && t.down_packets == 0) continue;
      Flow f = one_way(t, up);
      f.router = router;
      f.input_if = up ? client_if : server_if;
      f.output_if = up ? server_if : client_if;
      f.src_as = as_of(f.src);
      f.dst_as = as_of(f.dst);
      if (sampling > 1) {
        const uint64_t sampled = f.packets / sampling + (r.below(sampling) < f.packets % sampling ? 1 : 0);
        if (sampled == 0) continue;
        // The average packet stands for the sampled ones; SYN and FIN are rarely among them.
        f.bytes = std::max<uint64_t>(f.bytes / f.packets * sampled, 28);
        if (f.protocol == kTcp && sampled < f.packets) f.tcp_flags = r.chance(1, 30) ? f.tcp_flags : kAck;
        f.packets = sampled;
      }
      add(f, 5 * kMinute);
    }
  }
  static uint32_t as_of(const IpAddress& ip) {
    if (!ip.is_v4() || ip.is_private()) return 0;
    return as_number_of(ip.v4_value());
  }
  void edge(const Talk& t, Prng& r) { routed(t, 0, 1, 2, r); }
  void core(const Talk& t, uint32_t client_if, uint32_t server_if, Prng& r) { routed(t, 1, client_if, server_if, r); }

  // ---- the shop --------------------------------------------------------------------------------------------------
  void shop() {
    Prng r(options_.seed, 1);
    const uint32_t customers = 1 + times(18'000);
    for (uint32_t i = times(42'000); i > 0; --i) {
      const TimestampNs at = moment(kShopDay, r);
      const IpAddress customer = IpAddress::v4(internet_address(100'000 + r.ranked(customers, 2)));
      const uint32_t balancer = balancers_[r.below(2)];
      const uint16_t port = r.chance(1, 25) ? 80 : 443;
      aws(tcp(r, {at, r.between(40, 9'000) * kMillisecond, customer, address(balancer), port, 600 + r.geometric(900),
              port == 80 ? 300 : 3'000 + r.geometric(60'000)}), balancer, false, 8);
      if (r.chance(2, 5)) {
        const uint32_t web = webs_[r.below(6)];
        aws_both(tcp(r, {at + 2 * kMillisecond, r.between(10, 4'000) * kMillisecond, address(balancer), address(web), 8080, 700 + r.geometric(900),
                     3'000 + r.geometric(50'000)}), balancer, web);
      }
      if (r.chance(1, 4)) {
        const uint32_t web = webs_[r.below(6)], app = apps_[r.below(8)];
        aws_both(tcp(r, {at + 4 * kMillisecond, r.between(5, 2'500) * kMillisecond, address(web), address(app), 9000, 500 + r.geometric(500),
                     1'000 + r.geometric(9'000)}), web, app);
      }
    }
    // Pools of connections to the databases stay open all day.
    for (const uint32_t app : apps_) {
      for (size_t d = 0; d < 2; ++d) {
        const uint64_t queries = 60'000 + r.below(60'000);
        Talk t = tcp(r, {options_.start - r.between(1, 600'000) * kMillisecond, length_ + kHour, address(app), address(databases_[d]), 5432,
                     queries * 300, queries * (d == 0 ? 1'800 : 2'600)});
        aws_both(t, app, databases_[d]);
      }
    }
    // The replica follows the primary.
    aws_both(tcp(r, {options_.start - 5 * kMinute, length_ + kHour, address(databases_[1]), address(databases_[0]), 5432, 40'000'000, 9'000'000'000}),
             databases_[1], databases_[0]);
    // App servers ask the inventory service, until it dies; then they knock.
    const TimestampNs death = hour(story::kDeathHour);
    for (uint32_t i = times(5'000); i > 0; --i) {
      const TimestampNs at = moment(kShopDay, r);
      const uint32_t app = apps_[r.below(8)];
      if (at < death) {
        const DurationNs lasts = std::min<DurationNs>(r.between(3, 400) * kMillisecond, death - at);
        aws_both(tcp(r, {at, lasts, address(app), address(inventory_), story::kDyingPort, 400, 900 + r.geometric(2'000)}), app, inventory_);
      } else {
        const Talk t = knock(r, {at, address(app), address(inventory_), story::kDyingPort, 3, FlowAction::accept});
        aws_both(t, app, inventory_);
      }
    }
    // Administrators come through the bastion.
    for (uint32_t i = times(40); i > 0; --i) {
      const TimestampNs at = moment(kOfficeDay, r);
      const DurationNs lasts = r.between(30, 3'000) * kSecond;
      aws(tcp(r, {at, lasts, v4(198, 51, 100, 10), address(bastion_), 22, 20'000, 120'000}), bastion_, false, 8);
      const uint32_t to = r.chance(1, 2) ? apps_[r.below(8)] : webs_[r.below(6)];
      aws_both(tcp(r, {at + 4 * kSecond, lasts - 8 * kSecond, address(bastion_), address(to), 22, 18'000, 100'000}), bastion_, to);
    }
    // Nightly dump of the primary to the reports database, and from there to S3.
    aws_both(tcp(r, {hour(1), 40 * kMinute, address(databases_[2]), address(databases_[0]), 5432, 2'000'000, 22'000'000'000}), databases_[2], databases_[0]);
    aws_nat(tcp(r, {hour(1.75), 15 * kMinute, address(databases_[2]), v4(52, 219, 47, 10), 443, 6'000'000'000, 3'000'000}), databases_[2], nat_a_);
  }

  void outbound() {
    Prng r(options_.seed, 2);
    for (uint32_t i = times(4'200); i > 0; --i) {
      const uint32_t from = r.chance(3, 4) ? apps_[r.below(8)] : webs_[r.below(6)];
      const IpAddress to = r.chance(1, 3) ? s3(r) : IpAddress::v4(internet_address(r.ranked(60, 3)));
      aws_nat(tcp(r, {moment(kShopDay, r), r.between(30, 5'000) * kMillisecond, address(from), to, 443, 800 + r.geometric(4'000), 2'000 + r.geometric(30'000)}),
              from, nat_a_);
    }
    for (uint32_t i = times(600); i > 0; --i) {  // receipts by mail
      const uint32_t from = apps_[r.below(8)];
      aws_nat(tcp(r, {moment(kShopDay, r), r.between(300, 4'000) * kMillisecond, address(from), IpAddress::v4(internet_address(200 + r.ranked(40, 3))), 587,
                  6'000 + r.geometric(20'000), 900}), from, nat_a_);
    }
    for (uint32_t i = times(1'500); i > 0; --i) {  // time of day
      const uint32_t from = r.chance(1, 2) ? apps_[r.below(8)] : databases_[r.below(3)];
      aws_nat(udp(r, {moment(kEvenDay, r), r.between(5, 60) * kMillisecond, address(from), IpAddress::v4(internet_address(300 + r.below(4))), 123, 48, 48}), from, nat_a_);
    }
  }

  void analytics() {
    Prng r(options_.seed, 3);
    for (uint32_t i = times(3'600); i > 0; --i) {
      const uint32_t batch = batches_[r.below(6)];
      aws_both(tcp(r, {moment(kEvenDay, r), r.between(100, 90'000) * kMillisecond, address(batch), address(warehouse_), 5439, 4'000 + r.geometric(9'000),
                   20'000 + r.geometric(900'000)}), batch, warehouse_);
    }
    for (uint32_t i = times(2'400); i > 0; --i) {
      const uint32_t batch = batches_[r.below(6)];
      aws_nat(tcp(r, {moment(kEvenDay, r), r.between(50, 20'000) * kMillisecond, address(batch), s3(r), 443,
                  2'000 + r.geometric(9'000), 50'000 + r.geometric(3'000'000)}), batch, nat_b_);
    }
    // Account B reads the shop's API over the peering, not its database.
    for (uint32_t i = times(1'200); i > 0; --i) {
      const uint32_t batch = batches_[r.below(6)], app = apps_[r.below(8)];
      aws_both(tcp(r, {moment(kEvenDay, r), r.between(50, 3'000) * kMillisecond, address(batch), address(app), 9000, 900, 5'000 + r.geometric(40'000)}), batch, app, 4);
    }
  }

  void internet_noise() {
    Prng r(options_.seed, 4);
    constexpr uint16_t kPorts[] = {23, 22, 445, 3389, 8080, 5900, 1433, 3306, 6379, 2323, 5060, 21, 25, 8443, 9200, 27017};
    const uint32_t doors[] = {balancers_[0], balancers_[1], nat_a_, bastion_, nat_b_};
    for (uint32_t i = times(12'000); i > 0; --i) {
      const IpAddress from = IpAddress::v4(internet_address(500'000 + r.ranked(9'000, 2)));
      const uint32_t door = doors[r.below(5)];
      const TimestampNs at = moment(kEvenDay, r);
      if (r.chance(1, 15)) {
        Talk ping;
        ping.at = at;
        ping.client = from;
        ping.server = address(door);
        ping.protocol = kIcmp;
        ping.server_port = 8 * 256;
        ping.up_bytes = 84;
        ping.action = FlowAction::reject;
        aws(ping, door, false, 8);
      } else {
        aws(knock(r, {at, from, address(door), kPorts[r.ranked(16, 2)], 1 + r.below(2), FlowAction::reject}), door, false, 8);
      }
    }
  }

  // ---- the office ------------------------------------------------------------------------------------------------
  void office() {
    Prng r(options_.seed, 5);
    const IpAddress dns[] = {v4(192, 168, 40, 2), v4(192, 168, 40, 3)};
    for (uint32_t i = times(24'000); i > 0; --i) {
      const TimestampNs at = moment(kOfficeDay, r);
      const uint32_t station = r.ranked(60, 2);
      const IpAddress site = IpAddress::v4(internet_address(r.ranked(3'000, 3)));
      const uint16_t port = r.chance(1, 12) ? 80 : 443;
      Talk t = tcp(r, {at, r.between(50, 60'000) * kMillisecond, workstation(station), site, port, 900 + r.geometric(4'000), 4'000 + r.geometric(90'000)});
      if (port == 443 && r.chance(1, 6)) {
        t = udp(r, {at, t.lasts, t.client, t.server, 443, 3'000 + r.geometric(6'000), 9'000 + r.geometric(200'000)});
      }
      edge(t, r);
      core(t, 10, 1, r);
    }
    for (uint32_t i = times(8'000); i > 0; --i) {  // the resolvers ask the world
      const Talk t = udp(r, {moment(kOfficeDay, r), r.between(4, 180) * kMillisecond, dns[r.below(2)], IpAddress::v4(internet_address(400 + r.ranked(300, 3))), 53,
                         34 + r.below(30), 90 + r.below(300)});
      edge(t, r);
      core(t, 40, 1, r);
    }
    for (uint32_t i = times(1'400); i > 0; --i) {  // mail comes and goes
      const IpAddress peer = IpAddress::v4(internet_address(800 + r.ranked(200, 3))), mail = v4(192, 168, 40, 6);
      const bool in = r.chance(3, 5);
      const Talk t = tcp(r, {moment(kOfficeDay, r), r.between(300, 9'000) * kMillisecond, in ? peer : mail, in ? mail : peer, 25, 8'000 + r.geometric(60'000), 1'200});
      routed(t, 0, in ? 2 : 1, in ? 1 : 2, r);
      routed(t, 1, in ? 1 : 40, in ? 40 : 1, r);
    }
    for (uint32_t i = times(900); i > 0; --i) {  // calls: signalling and voice both ways, 50 packets a second
      const TimestampNs at = moment(kOfficeDay, r);
      const IpAddress phone = v4(192, 168, 20, 10 + r.below(20)), carrier = v4(203, 0, 113, 20);
      const int64_t seconds = 5 + static_cast<int64_t>(r.geometric(140));
      edge(udp(r, {at, 200 * kMillisecond, phone, carrier, 5060, 1'600, 1'400}), r);
      Talk voice = udp(r, {at + kSecond, seconds * kSecond, phone, carrier, static_cast<uint16_t>(10'000 + 2 * r.below(5'000)), 0, 0});
      voice.up_packets = voice.down_packets = static_cast<uint64_t>(seconds) * 50;
      voice.up_bytes = voice.down_bytes = voice.up_packets * 200;
      edge(voice, r);
      core(voice, 20, 1, r);
    }
    for (uint32_t i = times(300); i > 0; --i) {
      edge(udp(r, {moment(kEvenDay, r), r.between(8, 40) * kMillisecond, v4(192, 168, 40, 7), IpAddress::v4(internet_address(300 + r.below(4))), 123, 48, 48}), r);
    }
    // Off-site backup at night: 60 GB, in sessions below 2^32 bytes per record.
    for (int part = 0; part < 12; ++part) {
      const Talk t = tcp(r, {hour(0.5) + part * 10 * kMinute, 9 * kMinute + 30 * kSecond, v4(192, 168, 40, 9), IpAddress::v4(internet_address(9'001)), 443,
                         5'000'000'000, 12'000'000});
      edge(t, r);
      core(t, 40, 1, r);
    }
  }

  // What never leaves the office; only the sampling core router sees it.
  void office_inside() {
    Prng r(options_.seed, 6);
    const IpAddress files = v4(192, 168, 40, 5), backup = v4(192, 168, 40, 9), monitor = v4(192, 168, 40, 10);
    for (uint32_t i = times(60'000); i > 0; --i) {
      const uint32_t station = r.ranked(60, 2);
      core(udp(r, {moment(kOfficeDay, r), r.between(0, 20) * kMillisecond, workstation(station), v4(192, 168, 40, 2 + r.below(2)), 53, 34 + r.below(30), 70 + r.below(200)}),
           10, 40, r);
    }
    for (uint32_t i = times(9'000); i > 0; --i) {
      core(tcp(r, {moment(kOfficeDay, r), r.between(50, 60'000) * kMillisecond, workstation(r.ranked(60, 2)), files, 445, 9'000 + r.geometric(400'000),
               20'000 + r.geometric(2'000'000)}), 10, 40, r);
    }
    for (uint32_t i = times(1'500); i > 0; --i) {
      core(tcp(r, {moment(kOfficeDay, r), r.between(1'000, 20'000) * kMillisecond, workstation(r.below(60)), v4(192, 168, 30, 10 + r.below(5)), 9100,
               60'000 + r.geometric(900'000), 400}), 10, 30, r);
    }
    for (uint32_t i = times(9'000); i > 0; --i) {  // SNMP polls of printers and phones
      const IpAddress to = r.chance(1, 2) ? v4(192, 168, 30, 10 + r.below(5)) : v4(192, 168, 20, 10 + r.below(20));
      core(udp(r, {moment(kEvenDay, r), r.between(2, 40) * kMillisecond, monitor, to, 161, 3'000, 6'000}), 40, 30, r);
    }
    for (uint32_t i = times(6'000); i > 0; --i) {  // IPv6 to the world
      const uint64_t low = mix(r.ranked(900, 3)) >> 8;
      core(tcp(r, {moment(kOfficeDay, r), r.between(50, 40'000) * kMillisecond, office_v6(0x100 + r.ranked(60, 2)), IpAddress::from_halves(0x20010db8ffff0000ull, low),
               443, 1'500 + r.geometric(9'000), 30'000 + r.geometric(400'000)}), 10, 1, r);
    }
    for (uint32_t i = times(2'000); i > 0; --i) {
      Talk ping;
      ping.at = moment(kEvenDay, r);
      ping.lasts = 9 * kSecond;
      ping.client = monitor;
      ping.server = workstation(r.below(60));
      ping.protocol = kIcmp;
      ping.server_port = 8 * 256;
      ping.up_packets = ping.down_packets = 10;
      ping.up_bytes = ping.down_bytes = 840;
      core(ping, 40, 10, r);
    }
    // Each night the backup server reads the file server and the workstations.
    core(tcp(r, {hour(22), 110 * kMinute, backup, files, 445, 900'000'000, 140'000'000'000}), 40, 40, r);
    for (uint32_t station = 0; station < 60; ++station) {
      core(tcp(r, {hour(20) + station * 90 * kSecond, 80 * kSecond, backup, workstation(station), 445, 9'000'000, 1'200'000'000 + r.below(900'000'000)}), 40, 10, r);
    }
  }

  // ---- the stories -----------------------------------------------------------------------------------------------
  void stories() {
    Prng r(options_.seed, 7);
    const IpAddress scanner = known(story::kScanner);
    for (uint32_t port = 1; port <= 1'024; ++port) {
      const TimestampNs at = hour(story::kScanHour) + port * (kMinute * 29 / 1'024 / kMillisecond * kMillisecond);
      for (const uint32_t door : {bastion_, balancers_[0], nat_a_}) {
        aws(knock(r, {at + r.below(400) * kMillisecond, scanner, address(door), static_cast<uint16_t>(port), 1, FlowAction::reject}), door, false, 8);
      }
      const IpAddress office_public = v4(198, 51, 100, 16 + port % 8);
      routed(knock(r, {at + r.below(900) * kMillisecond, scanner, office_public, static_cast<uint16_t>(port), 1, FlowAction::reject}), 0, 2, 1, r);
    }

    for (uint32_t i = 0; i < 2'400; ++i) {
      const TimestampNs at = hour(story::kBruteForceHour) + i * 3 * kSecond + r.below(900) * kMillisecond;
      aws(tcp(r, {at, r.between(900, 2'600) * kMillisecond, known(story::kBruteForcer), address(bastion_), 22, 1'700 + r.below(300), 2'300 + r.below(200)}), bastion_, false, 8);
    }

    aws_nat(tcp(r, {hour(story::kLeakHour), 100 * kMinute, known(story::kLeakingHost), known(story::kLeakTarget), 443, 18'000'000'000, 40'000'000}),
            databases_[2], nat_a_);

    // Every minute, give or take three seconds, always about the same size.
    for (int64_t minute = 0; minute < length_ / kMinute; ++minute) {
      const TimestampNs at = options_.start + minute * kMinute + (3'000 + r.between(-3'000, 3'000)) * kMillisecond;
      edge(tcp(r, {at, r.between(180, 260) * kMillisecond, known(story::kBeaconHost), known(story::kBeaconTarget), 443, 620 + r.below(16), 410 + r.below(16)}), r);
    }

    const uint32_t talker = batches_[5];
    for (TimestampNs at = hour(story::kNewTalkerHour); at < end_; at += r.between(40, 200) * kSecond) {
      aws_both(tcp(r, {at, r.between(200, 9'000) * kMillisecond, address(talker), address(databases_[0]), 5432, 3'000 + r.geometric(3'000), 90'000 + r.geometric(900'000)}),
               talker, databases_[0], 4);
    }
  }

  CompanyOptions options_;
  DurationNs length_;
  TimestampNs end_;
  Company company_;
  std::vector<uint32_t> balancers_, webs_, apps_, databases_, batches_;
  uint32_t nat_a_ = 0, nat_b_ = 0, bastion_ = 0, inventory_ = 0, warehouse_ = 0;
};

}  // namespace

Result<Company> make_company(const CompanyOptions& options) {
  if (options.hours < 1 || options.hours > 24 * 31) return Error{ErrorCode::invalid_argument, "hours must be 1 to 744: " + std::to_string(options.hours)};
  if (!(options.scale >= 0.01 && options.scale <= 50)) return Error{ErrorCode::invalid_argument, "scale must be 0.01 to 50: " + std::to_string(options.scale)};
  if (options.start < 0 || options.start % kMillisecond != 0) return Error{ErrorCode::invalid_argument, "start must be whole milliseconds after 1970: " + std::to_string(options.start)};
  return Builder(options).build();
}

}  // namespace sluice::generate
