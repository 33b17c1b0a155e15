#include "server/delivery/forwarder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <random>

#include "server/delivery/ipfix_sender.h"
#include "storage/model/text_list.h"
#include "tests/unit/server/delivery/eventually.h"

namespace sluice::delivery {
namespace {

using nlohmann::json;

class RunningClock final : public Clock {
 public:
  TimestampNs now() const override { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }
};

Batch one_flow() {
  FlowBatchBuilder b;
  b.begin_row();
  b.set_time(ColumnId::flow_start, *parse_timestamp("2026-11-20T08:00:00Z"));
  b.set_time(ColumnId::flow_end, *parse_timestamp("2026-11-20T08:00:01.5Z"));
  b.set_time(ColumnId::received_at, *parse_timestamp("2026-11-20T08:00:02Z"));
  b.set_ip(ColumnId::src_ip, *parse_ip("10.1.0.1"));
  b.set_ip(ColumnId::dst_ip, *parse_ip("2001:db8::1"));
  b.set_uint(ColumnId::src_port, 40'000);
  b.set_uint(ColumnId::dst_port, 443);
  b.set_uint(ColumnId::protocol, 6);
  b.set_uint(ColumnId::ip_version, 6);
  b.set_uint(ColumnId::src_mac, 0x00005e0053afull);
  b.set_uint(ColumnId::raw_bytes, 100);
  b.set_uint(ColumnId::raw_packets, 3);
  b.set_uint(ColumnId::raw_reverse_bytes, 50);
  b.set_uint(ColumnId::sampling_rate, 10);
  b.set_uint(ColumnId::tcp_flags, 0x12);
  b.set_enum(ColumnId::action, Action::reject);
  b.set_enum(ColumnId::direction, Direction::egress);
  b.set_enum(ColumnId::source, Source::ipfix);
  b.set_uint(ColumnId::vlan, 7);
  b.set_uint(ColumnId::src_as, 64'512);
  b.set_ip(ColumnId::exporter_ip, *parse_ip("192.0.2.1"));
  b.set_string(ColumnId::src_vpc_id, "vpc-1");
  std::string extra;
  append_extra(extra, "weird\nkey", "a\"b\r\n\xff");
  b.set_string(ColumnId::extra, extra);
  return b.finish();
}

// As a query over flows gives them.
std::vector<FlowDocument> documents(Batch flows, FlowShape shape) {
  store::Snapshot snapshot;
  snapshot.open = {std::make_shared<const Batch>(std::move(flows))};
  query::InlineExecutor executor;
  RunningClock clock;
  query::QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &clock;
  context.executor = &executor;
  struct Sink final : query::ResultSink {
    explicit Sink(FlowShape s) : shape(s) {}
    Status begin(const Schema&) override { return {}; }
    Status batch(const Batch& rows) override {
      append_documents(rows, shape, out);
      return {};
    }
    FlowShape shape;
    std::vector<FlowDocument> out;
  } sink(shape);
  query::QueryRequest request;
  request.text = "from flows";
  query::QuerySummary summary;
  EXPECT_FALSE(query::run(request, context, sink, summary));
  return std::move(sink.out);
}

json shaped(FlowShape shape) {
  const auto out = documents(one_flow(), shape);
  EXPECT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].body.find('\n'), std::string::npos);
  EXPECT_EQ(out[0].time, *parse_timestamp("2026-11-20T08:00:01.5Z"));
  return json::parse(out[0].body);
}

// Flows of which each column is there by chance, with texts of strangers.
Batch random_flows(uint64_t seed, size_t rows) {
  std::mt19937_64 random(seed);
  constexpr std::string_view kTexts[] = {"", "eth0", "a\"b\\c", "line\nfeed\t\x01\x1f\x7f", "\xff\xc3", "m\u00fcnchen \u4eac", "\xe4\xba", "http://x/y"};
  FlowBatchBuilder b;
  for (size_t row = 0; row < rows; ++row) {
    b.begin_row();
    const uint64_t keep = 1 + random() % 8;
    for (const ColumnSpec& spec : flow_columns()) {
      if (spec.id != ColumnId::flow_end && random() % 8 >= keep) continue;
      switch (spec.physical) {
        case PhysicalType::I64: b.set_time(spec.id, 1'795'161'600'000'000'000 + static_cast<int64_t>(random() % 1'000'000'000'000)); break;
        case PhysicalType::Ip: b.set_ip(spec.id, random() % 2 ? IpAddress::v4(static_cast<uint32_t>(random())) : IpAddress::from_halves(random(), random() % 3)); break;
        case PhysicalType::F64: break;
        case PhysicalType::Str: {
          std::string text(kTexts[random() % std::size(kTexts)]);
          if (spec.type == LogicalType::list) {
            std::string list;
            append_list_item(list, text);
            append_list_item(list, "second");
            text = list;
          } else if (spec.type == LogicalType::extra) {
            std::string extra;
            append_extra(extra, "key", text);
            append_extra(extra, text, "value");
            append_extra(extra, "key", "again");
            text = extra;
          }
          b.set_string(spec.id, text);
          break;
        }
        default: b.set_uint(spec.id, random() % (spec.type == LogicalType::boolean ? 2 : spec.type == LogicalType::enumeration ? 4 : 60)); break;
      }
    }
  }
  return b.finish();
}

// Documents are written without a tree of values; what they are must be seen all the same by who reads them with one.
TEST(FlowShape, DocumentsOfAnyFlowsAreWrittenAsTheJsonLibraryWritesThem) {
  for (const FlowShape shape : {FlowShape::native, FlowShape::ecs, FlowShape::ocsf}) {
    const auto out = documents(random_flows(7, 2'000), shape);
    ASSERT_EQ(out.size(), 2'000u);
    for (const FlowDocument& document : out) {
      // Members in their order, none twice (a second one would be lost on the way), all text valid UTF-8.
      const auto read = nlohmann::ordered_json::parse(document.body, nullptr, false);
      ASSERT_TRUE(read.is_object()) << document.body;
      ASSERT_EQ(read.dump(), document.body);
    }
  }
}

TEST(FlowShape, NativeNamesAreThoseOfQueries) {
  const json j = shaped(FlowShape::native);
  EXPECT_EQ(j["src_ip"], "10.1.0.1");
  EXPECT_EQ(j["bytes"], 1'000) << "scaled";
  EXPECT_EQ(j["tcp_flags"], "SA");
  EXPECT_EQ(j["action"], "reject");
  EXPECT_EQ(j["flow_end"], "2026-11-20T08:00:01.500Z");
  EXPECT_EQ(j["extra"], json({{"weird\nkey", "a\"b\r\n\xef\xbf\xbd"}}));
  EXPECT_FALSE(j.contains("dst_vpc_id"));
}

TEST(FlowShape, EcsFieldsAreWhereEcsHasThem) {
  const json j = shaped(FlowShape::ecs);
  EXPECT_EQ(j["@timestamp"], "2026-11-20T08:00:01.500Z");
  EXPECT_EQ(j["event"]["category"], json::array({"network"}));
  EXPECT_EQ(j["event"]["type"], json::array({"connection", "denied"}));
  EXPECT_EQ(j["source"], json::parse(R"({"ip":"10.1.0.1","address":"10.1.0.1","port":40000,"mac":"00-00-5E-00-53-AF","bytes":1000,"packets":30,"as":{"number":64512}})"));
  EXPECT_EQ(j["destination"], json::parse(R"({"ip":"2001:db8::1","address":"2001:db8::1","port":443,"bytes":500})"));
  EXPECT_EQ(j["network"], json::parse(R"({"iana_number":"6","transport":"tcp","type":"ipv6","direction":"egress","vlan":{"id":"7"},"bytes":1500,"packets":30})"));
  EXPECT_EQ(j["observer"]["ip"], json::array({"192.0.2.1"}));
  EXPECT_EQ(j["sluice"]["flow"]["src_vpc_id"], "vpc-1");
  EXPECT_EQ(j["sluice"]["flow"]["source"], "ipfix");
  EXPECT_FALSE(j["sluice"]["flow"].contains("src_ip"));
}

TEST(FlowShape, OcsfIsNetworkActivity) {
  const json j = shaped(FlowShape::ocsf);
  for (const char* required : {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "dst_endpoint"}) EXPECT_TRUE(j.contains(required)) << required;
  EXPECT_EQ(j["class_uid"], 4001);
  EXPECT_EQ(j["type_uid"], 400106);
  EXPECT_EQ(j["time"], 1795161601500);
  EXPECT_EQ(j["src_endpoint"]["vpc_uid"], "vpc-1");
  EXPECT_EQ(j["connection_info"], json::parse(R"({"protocol_num":6,"protocol_name":"tcp","protocol_ver_id":6,"direction_id":2,"tcp_flags":18})"));
  EXPECT_EQ(j["traffic"], json::parse(R"({"bytes_out":1000,"packets_out":30,"bytes_in":500,"bytes":1500,"packets":30})"));
  EXPECT_EQ(j["action_id"], 2);
  EXPECT_EQ(j["disposition_id"], 2);
  EXPECT_EQ(j["unmapped"]["sampling_rate"], 10);
  EXPECT_EQ(j["unmapped"]["extra"].size(), 1u);
}

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int v : values) out += static_cast<char>(v);
  return out;
}

// RFC 7011 section 3.1: version, length, export time, sequence, domain; 3.4.1: a template set is set 2.
TEST(Ipfix, WritesMessagesAsTheRfcHasThem) {
  const std::string empty = ipfix_message({}, false, 1'700'000'000 * kSecond, 9, 0x01020304);
  EXPECT_EQ(empty, bytes({0, 10, 0, 16, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 9, 1, 2, 3, 4}));
  const std::string templates = ipfix_message({}, true, 0, 0, 0);
  // Two templates of 20 elements of 4 bytes each.
  ASSERT_EQ(templates.size(), 16u + 4 + 2 * (4 + 20 * 4));
  EXPECT_EQ(templates.substr(16, 12), bytes({0, 2, 0, 172, 1, 0, 0, 20, 0, 152, 0, 8}));
  // sourceIPv4Address (8) of 4 bytes, and sourceIPv6Address (27) of 16.
  EXPECT_EQ(templates.substr(16 + 4 + 4 + 8, 4), bytes({0, 8, 0, 4}));
  EXPECT_EQ(templates.substr(16 + 4 + 84 + 4 + 8, 4), bytes({0, 27, 0, 16}));
  store::Snapshot snapshot;
  const Batch flow = one_flow();
  const FlowDocument record{ipfix_record(flow, 0), 0};
  EXPECT_EQ(record.body[0], 6) << "an IPv6 address among its own";
  const FlowDocument both[] = {record, record};
  const std::string data = ipfix_message(both, false, 0, 0, 0);
  const size_t size = record.body.size() - 1;
  EXPECT_EQ(data.size(), 16 + 4 + 2 * size);
  EXPECT_EQ(data.substr(16, 4), bytes({1, 1, static_cast<int>((4 + 2 * size) >> 8), static_cast<int>((4 + 2 * size) & 255)}));
  // flowStartMilliseconds, then the end of the mapped source address.
  EXPECT_EQ(data.substr(20, 8), bytes({0, 0, 0x01, 0xa1, 0xf7, 0xf8, 0x30, 0}));
  EXPECT_EQ(data.substr(20 + 16 + 10, 6), bytes({0xff, 0xff, 10, 1, 0, 1}));
}

struct Taken {
  std::mutex mutex;
  std::vector<std::string> bodies;
  std::function<Attempt(std::span<const FlowDocument>)> answer;
  size_t count() {
    std::lock_guard lock(mutex);
    return bodies.size();
  }
};

class Taker final : public Sender {
 public:
  explicit Taker(Taken& taken) : taken_(taken) {}
  Attempt send(std::span<const Notice>, TimestampNs) override { return {}; }
  Attempt forward(std::span<const FlowDocument> flows, TimestampNs) override {
    std::lock_guard lock(taken_.mutex);
    const Attempt attempt = taken_.answer ? taken_.answer(flows) : Attempt{};
    for (size_t i = 0; i < (attempt.status.ok() ? flows.size() : attempt.taken); ++i) taken_.bodies.push_back(flows[i].body);
    return attempt;
  }

 private:
  Taken& taken_;
};

struct ForwarderTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-forward-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
    Target takes, no;
    takes.name = "t";
    takes.takes_flows = true;
    takes.make = [this](const std::function<bool()>&) -> Result<std::unique_ptr<Sender>> { return std::unique_ptr<Sender>(std::make_unique<Taker>(taken)); };
    no.name = "chat", no.kind = "slack";
    outbox = std::move(*Outbox::open({takes, no}, *catalog, clock));
  }
  void TearDown() override {
    forwarder.reset();
    outbox.reset();
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  ingest::DeclaredSettings declared(std::map<std::string, std::string> options) {
    auto settings = declared_forward();
    settings.name = "f";
    settings.place = "sluice.toml:1";
    for (auto& [key, value] : options) settings.options[key] = {value, "sluice.toml:2"};
    return settings;
  }
  std::string open(std::map<std::string, std::string> options) {
    forwarder.reset();
    auto made = Forwarder::open({declared(std::move(options))}, {*catalog, clock, *outbox, {}, journaled});
    if (!made.ok()) return made.error().message;
    forwarder = std::move(*made);
    return {};
  }
  void arrive(int from, int to, std::string_view note = {}) {
    const std::shared_ptr<const Batch> batch = flows(from, to, note);
    forwarder->arrived({&batch, 1});
  }
  static std::shared_ptr<const Batch> flows(int from, int to, std::string_view note = {}) {
    std::string extra;
    if (!note.empty()) append_extra(extra, "note", note);
    FlowBatchBuilder b;
    for (int i = from; i < to; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kHour + i);
      b.set_uint(ColumnId::dst_port, static_cast<uint64_t>(i % 100));
      b.set_uint(ColumnId::src_port, static_cast<uint64_t>(i));
      if (!extra.empty()) b.set_string(ColumnId::extra, extra);
    }
    return std::make_shared<const Batch>(b.finish());
  }
  // As a kill leaves the catalogue: what is there now, and nothing of what the forwarder does from here on.
  std::map<std::string, std::string> kept() {
    std::map<std::string, std::string> out;
    EXPECT_TRUE(catalog->scan(catalog::Keyspace::outbox, "", [&](std::string_view key, std::string_view value) { return out.emplace(key, value), true; }).ok());
    return out;
  }
  void put_back(const std::map<std::string, std::string>& records) {
    catalog::Write write;
    for (const auto& [key, value] : kept()) write.erase(catalog::Keyspace::outbox, key);
    for (const auto& [key, value] : records) write.put(catalog::Keyspace::outbox, key, value);
    ASSERT_TRUE(catalog->commit(write, catalog::Sync::no).ok());
  }
  std::set<int> taken_ports() {
    std::lock_guard lock(taken.mutex);
    std::set<int> out;
    for (const auto& body : taken.bodies) out.insert(json::parse(body)["src_port"].get<int>());
    return out;
  }

  RunningClock clock;
  Taken taken;
  std::string directory;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<Outbox> outbox;
  std::unique_ptr<Forwarder> forwarder;
  std::function<Status(TimestampNs, const std::function<void(std::span<const std::shared_ptr<const Batch>>)>&)> journaled;
};

TEST_F(ForwarderTest, SendsWhatMeetsTheFilterInOrderAndOnce) {
  ASSERT_EQ(open({{"filter", "dst_port == 7 // of all"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 500);
  arrive(500, 1'000);
  ASSERT_TRUE(eventually([&] { return taken.count() == 10; }));
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(json::parse(taken.bodies[i])["src_port"], 100 * i + 7);
  ASSERT_TRUE(eventually([&] { return forwarder->status()[0].delivered == 10; }));
  EXPECT_EQ(forwarder->status()[0].matched, 10u);
  EXPECT_EQ(forwarder->status()[0].dropped, 0u);
  EXPECT_EQ(forwarder->status()[0].waiting, 0u);
  forwarder->stop();
  ASSERT_EQ(open({{"filter", "dst_port == 7"}, {"target", "t"}}), "");
  EXPECT_EQ(forwarder->status()[0].delivered, 10u) << "counters go on";
}

TEST_F(ForwarderTest, ATargetThatIsAwayGetsEverythingLater) {
  std::atomic<bool> away = true;
  taken.answer = [&](auto) { return away ? Attempt::failed({ErrorCode::io, "away"}) : Attempt{}; };
  ASSERT_EQ(open({{"filter", "dst_port < 10"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 1'000);
  ASSERT_TRUE(eventually([&] { return forwarder->status()[0].last_error == "away"; }));
  EXPECT_EQ(forwarder->status()[0].waiting, 100u);
  away = false;
  ASSERT_TRUE(eventually([&] { return taken.count() == 100; }));
}

TEST_F(ForwarderTest, ARefusedFlowCostsItselfOnly) {
  taken.answer = [](std::span<const FlowDocument> flows) {
    for (const auto& f : flows)
      if (json::parse(f.body)["src_port"] == 7) return Attempt::refused_for_good({ErrorCode::io, "no sevens"});
    return Attempt{};
  };
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 20);
  ASSERT_TRUE(eventually([&] { return taken.count() == 19; }));
  ASSERT_TRUE(eventually([&] { return forwarder->status()[0].dropped == 1; }));
  EXPECT_EQ(forwarder->status()[0].waiting, 0u);
}

TEST_F(ForwarderTest, AStopLetsGoWhatCanAndTheRestWaits) {
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 5'000);
  forwarder->stop();
  EXPECT_EQ(taken.count(), 5'000u);
  taken.answer = [](auto) { return Attempt::failed({ErrorCode::io, "away"}); };
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(5'000, 5'010);
  forwarder->stop();
  EXPECT_EQ(forwarder->status()[0].waiting, 10u);
  taken.answer = {};
  // After a stop nothing of the journal is asked that had been looked at.
  TimestampNs since = 0;
  journaled = [&](TimestampNs t, auto&) { return since = t, Status(); };
  const TimestampNs stopped = clock.now();
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  EXPECT_GT(since, stopped - limits::kForwardAgain);
  EXPECT_EQ(forwarder->status()[0].waiting, 10u);
  EXPECT_EQ(forwarder->status()[0].matched, 5'010u);
  forwarder->start();
  ASSERT_TRUE(eventually([&] { return taken.count() == 5'010; }));
  forwarder->stop();
  EXPECT_EQ(forwarder->status()[0].dropped, 0u);
  EXPECT_EQ(kept().size(), 1u) << "counters alone";
}

TEST_F(ForwarderTest, AKillCostsNothing) {
  taken.answer = [](auto) { return Attempt::failed({ErrorCode::io, "away"}); };
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 10);
  forwarder->keep_all();  // as before a seal
  const auto at_seal = kept();
  EXPECT_EQ(at_seal.size(), 11u);
  arrive(10, 20);  // seen, and not kept: these rows are in the journal
  ASSERT_TRUE(eventually([&] { return forwarder->status()[0].matched == 20; }));
  forwarder->stop();
  put_back(at_seal);
  // What was kept may be in the journal as well, and is then sent twice: two flows may be the same to the last byte, and neither may be lost.
  journaled = [&](TimestampNs, const auto& visit) {
    const std::shared_ptr<const Batch> batches[] = {flows(5, 10), flows(10, 20)};
    visit(batches);
    return Status();
  };
  taken.answer = {};
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  EXPECT_EQ(forwarder->status()[0].waiting, 25u);
  forwarder->start();
  ASSERT_TRUE(eventually([&] { return taken.count() == 25; }));
  EXPECT_EQ(taken_ports().size(), 20u);
  forwarder->stop();
  EXPECT_EQ(forwarder->status()[0].delivered, 25u);
  EXPECT_EQ(forwarder->status()[0].matched, 25u);
}

TEST_F(ForwarderTest, WhatIsDeliveredAtOnceIsNeverWritten) {
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}}), "");
  forwarder->start();
  arrive(0, 1'000);
  ASSERT_TRUE(eventually([&] { return forwarder->status()[0].delivered == 1'000; }));
  forwarder->keep_all();
  EXPECT_EQ(kept().size(), 1u);
  // Kept, then delivered: goes from the catalogue with the next round.
  taken.answer = [](auto) { return Attempt::failed({ErrorCode::io, "away"}); };
  arrive(1'000, 1'100);
  ASSERT_TRUE(eventually([&] { return kept().size() == 101; }));
  {
    std::lock_guard lock(taken.mutex);
    taken.answer = {};
  }
  ASSERT_TRUE(eventually([&] { return kept().size() == 1; }));
  EXPECT_EQ(forwarder->status()[0].delivered, 1'100u);
}

TEST_F(ForwarderTest, WhatCannotBeSentAnyMoreIsLetGoAndCounted) {
  taken.answer = [](auto) { return Attempt::failed({ErrorCode::io, "away"}); };
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}, {"shape", "ecs"}}), "");
  forwarder->start();
  arrive(0, 10);
  forwarder->keep_all();
  forwarder->stop();
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}, {"shape", "ocsf"}}), "");
  EXPECT_EQ(forwarder->status()[0].dropped, 10u);
  EXPECT_EQ(forwarder->status()[0].waiting, 0u);
  forwarder->start();
  arrive(10, 20);
  forwarder->keep_all();
  forwarder->stop();
  EXPECT_EQ(kept().size(), 11u) << "those of the new shape alone";
  auto made = Forwarder::open({}, {*catalog, clock, *outbox, {}, {}});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(kept().size(), 1u);
}

TEST_F(ForwarderTest, BeyondTheBoundTheNewestAreDroppedAndCounted) {
  taken.answer = [](auto) { return Attempt::failed({ErrorCode::io, "away"}); };
  ASSERT_EQ(open({{"filter", "true"}, {"target", "t"}, {"shape", "ocsf"}}), "");
  forwarder->start();
  // Documents of some 5,000 bytes: 64 MiB are reached before 20,000.
  const std::string note(4'500, 'n');
  for (int i = 0; i < 10; ++i) {
    arrive(i * 2'000, (i + 1) * 2'000, note);
    ASSERT_TRUE(eventually([&] { return forwarder->status()[0].matched == static_cast<uint64_t>(i + 1) * 2'000; }));
  }
  const ForwardStatus s = forwarder->status()[0];
  EXPECT_GT(s.dropped, 0u);
  EXPECT_LE(s.waiting_bytes, limits::kForwardWaitingBytesMax);
  EXPECT_GT(s.waiting_bytes, limits::kForwardWaitingBytesMax - 10'000);
  EXPECT_EQ(s.waiting + s.dropped, s.matched);
}

TEST_F(ForwarderTest, SaysWhereADeclarationMakesNoSense) {
  EXPECT_NE(open({{"target", "t"}}).find("sluice.toml:1: forward 'f': filter: is needed"), std::string::npos);
  EXPECT_NE(open({{"filter", "src_prt == 1"}, {"target", "t"}}).find("did you mean 'src_port'"), std::string::npos);
  EXPECT_NE(open({{"filter", "src_port =="}, {"target", "t"}}), "");
  EXPECT_NE(open({{"filter", "true"}}).find("target: is needed"), std::string::npos);
  EXPECT_NE(open({{"filter", "true"}, {"target", "x"}}).find("there is no target 'x'"), std::string::npos);
  EXPECT_NE(open({{"filter", "true"}, {"target", "chat"}}).find("takes no flows"), std::string::npos);
  EXPECT_NE(open({{"filter", "true"}, {"target", "t"}, {"shape", "cef"}}).find("shape"), std::string::npos);
  EXPECT_NE(open({{"filter", "true"}, {"target", "t"}, {"colour", "red"}}).find("is not known for a forward"), std::string::npos);
  std::vector<ingest::DeclaredSettings> many;
  for (size_t i = 0; i <= limits::kForwardsMax; ++i) {
    many.push_back(declared({{"filter", "true"}, {"target", "t"}}));
    many.back().name = "f" + std::to_string(i);
  }
  EXPECT_FALSE(Forwarder::open(many, {*catalog, clock, *outbox, {}, {}}).ok());
  many.pop_back();
  EXPECT_TRUE(Forwarder::open(many, {*catalog, clock, *outbox, {}, {}}).ok());
}

}  // namespace
}  // namespace sluice::delivery
