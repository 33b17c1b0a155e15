// crash_writer DIRECTORY ROUND SYNC POINT NTH: appends from several threads while another seals, merges and retains, until
// it is killed or NTH passes of the crash point POINT ("-": none) kill it. Every acknowledged append's number goes to standard
// output as 8 bytes, after the acknowledgement; the number 2^64-1 says that the store is open.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "storage/store/crash_points.h"
#include "tests/crash/crash_rows.h"

using namespace sluice;

namespace {

void tell(uint64_t number) {
  if (::write(STDOUT_FILENO, &number, sizeof number) != sizeof number) std::_Exit(3);
}

[[noreturn]] void fail(const Error& error) {
  std::fprintf(stderr, "crash_writer: %s\n", error.message.c_str());
  std::_Exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 1;
  const std::string directory = argv[1], point = argv[4];
  const uint64_t round = std::strtoull(argv[2], nullptr, 10);
  const bool sync = argv[3][0] == '1';
  if (point != "-") store::set_crash_point(point, static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10)));

  const ManualClock clock(crash::kNow);
  auto opened = store::Store::open(crash::store_options(directory, sync), clock);
  if (!opened.ok()) fail(opened.error());
  store::Store& s = **opened;
  tell(UINT64_MAX);

  std::vector<std::thread> threads;
  for (uint64_t writer = 0; writer < crash::kWriters; ++writer)
    threads.emplace_back([&, writer] {
      for (uint64_t index = 0;; ++index) {
        const uint64_t number = crash::append_number(round, writer, index);
        const Batch batch = crash::append_rows(number);
        store::AppendOptions options;
        options.object_key = crash::object_key(number);
        options.side_writes.emplace_back(crash::side_key(number), std::to_string(number));
        const auto done = s.append({&batch, 1}, options);
        if (!done.ok()) fail(done.error());
        if (done->duplicate || done->rows != batch.rows) fail({ErrorCode::conflict, "an append was not what it should be"});
        tell(number);
      }
    });
  threads.emplace_back([&] {
    std::mt19937_64 random(round);
    for (;;) {
      switch (random() % 6) {
        case 0:
          if (auto r = s.flush(); !r.ok()) fail(r.error());
          break;
        case 1:
          if (auto r = s.retain(); !r.ok()) fail(r.error());
          break;
        case 2:
        case 3:
          if (auto r = s.merge_once(); !r.ok()) fail(r.error());
          break;
        default:
          if (auto r = s.seal_due(); !r.ok()) fail(r.error());
      }
    }
  });
  threads.emplace_back([&] {
    // Queries that hold files while they are merged away.
    for (;;) {
      const store::Snapshot held = s.snapshot();
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  });
  for (auto& t : threads) t.join();
}
