// How fast AWS flow log text becomes columns, on one core: the default format and a long custom one, with interfaces,
// addresses and ports as varied as in a busy VPC.

#include <benchmark/benchmark.h>

#include <random>
#include <string>

#include "ingest/source/aws_vpc.h"
#include "ingest/source/text_line.h"

namespace {

using namespace sluice;
using namespace sluice::ingest;

constexpr size_t kLines = 200'000;

std::string address(std::mt19937& random, bool ours) {
  const auto r = random();
  return ours ? "10.0." + std::to_string(r % 16) + "." + std::to_string(r / 16 % 254 + 1)
              : std::to_string(r % 200 + 11) + "." + std::to_string(r / 200 % 256) + "." + std::to_string(r / 51200 % 256) + "." + std::to_string(r / 13107200 % 256);
}

std::string interface_id(uint32_t n) {
  char text[24];
  std::snprintf(text, sizeof text, "eni-%017x", n * 2654435761u);
  return text;
}

std::string default_body() {
  std::mt19937 random(1);
  std::string body = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
  for (size_t i = 0; i < kLines; ++i) {
    const bool out = random() % 2;
    const auto inside = address(random, true), outside = address(random, random() % 3 == 0);
    const auto start = 1'700'000'000 + i / 100;
    body += "2 123456789010 " + interface_id(random() % 500) + " " + (out ? inside : outside) + " " + (out ? outside : inside) + " " +
            std::to_string(random() % 60'000 + 1024) + " " + std::to_string(random() % 4 ? 443 : random() % 65536) + " " +
            (random() % 5 ? "6 " : "17 ") + std::to_string(random() % 1000 + 1) + " " + std::to_string(random() % 1'000'000) + " " +
            std::to_string(start) + " " + std::to_string(start + 60) + (random() % 10 ? " ACCEPT OK\n" : " REJECT OK\n");
  }
  return body;
}

std::string full_body() {
  std::mt19937 random(2);
  std::string body =
      "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr "
      "protocol bytes packets start end action tcp-flags log-status region az-id sublocation-type sublocation-id "
      "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path\n";
  for (size_t i = 0; i < kLines; ++i) {
    const bool out = random() % 2;
    const auto inside = address(random, true), outside = address(random, random() % 3 == 0);
    const auto &src = out ? inside : outside, &dst = out ? outside : inside;
    const auto start = 1'700'000'000 + i / 100;
    const uint32_t n = random() % 500;
    body += "5 vpc-abcdefab012345678 subnet-aaaaaaaa01234567" + std::to_string(n % 8) + " i-0" + interface_id(n).substr(5) + " " + interface_id(n) +
            " 123456789010 IPv4 " + src + " " + dst + " " + std::to_string(random() % 60'000 + 1024) + " 443 " + src + " " + dst + " 6 " +
            std::to_string(random() % 1'000'000) + " " + std::to_string(random() % 1000 + 1) + " " + std::to_string(start) + " " +
            std::to_string(start + 60) + " ACCEPT " + (out ? "3" : "19") + " OK ap-southeast-2 apse2-az3 - - " +
            (out ? "- S3 egress 8\n" : "S3 - ingress -\n");
  }
  return body;
}

void decode(benchmark::State& state, const std::string& body) {
  const DecodeContext context{.received_at = 1'800'000'000 * kSecond, .format = ""};
  uint64_t rows = 0;
  for (auto _ : state) {
    const auto report = decode_aws_vpc(body, context, [](Batch&& batch) -> Status {
      benchmark::DoNotOptimize(batch.columns.data());
      return {};
    });
    if (!report.ok() || report->accepted != kLines) state.SkipWithError("not every line was read");
    rows += report->accepted;
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}

void BM_DefaultFormat(benchmark::State& state) {
  static const std::string body = default_body();
  decode(state, body);
}
BENCHMARK(BM_DefaultFormat)->Unit(benchmark::kMillisecond);

void BM_Version5AllFields(benchmark::State& state) {
  static const std::string body = full_body();
  decode(state, body);
}
BENCHMARK(BM_Version5AllFields)->Unit(benchmark::kMillisecond);

void BM_SplitWords(benchmark::State& state) {
  static const std::string body = default_body();
  std::vector<std::string_view> words(64);
  for (auto _ : state) {
    LineReader reader(body);
    std::string_view line;
    size_t n = 0;
    bool plain;
    while (reader.next(line)) n += split_words(line, body.data() + body.size(), words, plain);
    benchmark::DoNotOptimize(n);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kLines));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(BM_SplitWords)->Unit(benchmark::kMillisecond);

}  // namespace
