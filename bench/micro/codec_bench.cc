// Codecs on numbers as columns hold them: values per second in and out, for each codec that takes them, and bit-unpacking
// by width. Bytes per second are of the decoded values (4 or 8 bytes each).
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "storage/codec/bitpack.h"
#include "storage/codec/integer_codec.h"
#include "storage/model/limits.h"

namespace sluice::codec {
namespace {

constexpr size_t kCount = limits::kBlockRows;

std::vector<uint64_t> numbers(int kind) {
  std::mt19937_64 random(static_cast<uint64_t>(kind));
  std::vector<uint64_t> v(kCount);
  for (size_t i = 0; i < v.size(); ++i) switch (kind) {
      case 0: v[i] = 443; break;                                                       // one value
      case 1: v[i] = random() % 100'000; break;                                        // codes
      case 2: v[i] = i * 3 + random() % 3; break;                                      // nearly sorted
      case 3: v[i] = i / 900; break;                                                   // runs
      case 4: v[i] = (random() % 40) * 0x1234567; break;                               // few, far apart
      default: v[i] = std::min({random() % 5'000, random() % 5'000, random() % 5'000});  // skewed
    }
  return v;
}

void BM_Encode(benchmark::State& state) {
  const auto values = numbers(static_cast<int>(state.range(1)));
  const IntegerCodec* codec = integer_codecs()[static_cast<size_t>(state.range(0))];
  const Shape shape = Shape::of(values);
  if (!codec->estimate(values, shape)) return state.SkipWithError("not for these values");
  std::string out;
  for (auto _ : state) {
    out.clear();
    codec->encode(values, shape, out);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCount));
  state.SetLabel(std::string(codec->name()));
  state.counters["bits_per_value"] = static_cast<double>(out.size()) * 8 / kCount;
}

void BM_Decode(benchmark::State& state) {
  const auto values = numbers(static_cast<int>(state.range(1)));
  const IntegerCodec* codec = integer_codecs()[static_cast<size_t>(state.range(0))];
  const Shape shape = Shape::of(values);
  if (!codec->estimate(values, shape)) return state.SkipWithError("not for these values");
  std::string payload;
  codec->encode(values, shape, payload);
  const Bytes bytes(reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
  std::vector<uint32_t> out(kCount);
  for (auto _ : state) {
    if (!codec->decode(bytes, kCount, 0, kCount, Out(out.data())).ok()) return state.SkipWithError("does not decode");
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCount));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kCount * 4));
  state.SetLabel(std::string(codec->name()));
}

// {codec, numbers}: each codec on what it is for.
void each(benchmark::internal::Benchmark* b) { b->Args({0, 0})->Args({1, 1})->Args({2, 2})->Args({3, 3})->Args({4, 4})->Args({5, 5}); }
BENCHMARK(BM_Encode)->Apply(each);
BENCHMARK(BM_Decode)->Apply(each);

template <typename T>
void BM_Unpack(benchmark::State& state) {
  const auto width = static_cast<unsigned>(state.range(0));
  const auto values = numbers(1);
  std::string packed;
  pack_bits(values.data(), values.size(), width, packed);
  packed.append(kUnpackSlack, '\0');
  std::vector<T> out(kCount);
  for (auto _ : state) {
    unpack_bits(reinterpret_cast<const uint8_t*>(packed.data()), width, 0, kCount, out.data(), T{1});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCount));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kCount * sizeof(T)));
}
BENCHMARK_TEMPLATE(BM_Unpack, uint8_t)->Arg(3);
BENCHMARK_TEMPLATE(BM_Unpack, uint16_t)->Arg(3)->Arg(11)->Arg(15);
BENCHMARK_TEMPLATE(BM_Unpack, uint32_t)->Arg(3)->Arg(17)->Arg(25)->Arg(30);
BENCHMARK_TEMPLATE(BM_Unpack, uint64_t)->Arg(3)->Arg(17)->Arg(42);

}  // namespace
}  // namespace sluice::codec
