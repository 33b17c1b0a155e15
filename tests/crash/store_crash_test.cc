// Kills a writing process again and again, at random moments and at every named crash point, and checks after each death:
//   - every acknowledged row is there exactly once;
//   - an append that was not acknowledged is there as a whole or not at all;
//   - its object key and its side write are there exactly when its rows are;
//   - sending an object again changes nothing.
// SLUICE_CRASH_ROUNDS sets the number of random kills (default 100).

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "storage/catalog/catalog.h"
#include "storage/store/crash_points.h"
#include "tests/crash/crash_rows.h"

namespace sluice::crash {
namespace {

namespace fs = std::filesystem;
using catalog::Keyspace;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class Judge {
 public:
  Judge() {
    std::string name = (fs::temp_directory_path() / "sluice-crash-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
  }
  ~Judge() {
    std::error_code ec;
    fs::remove_all(directory_, ec);
  }

  // Runs a writer until it dies: by the crash point, or by our kill after `delay` (from its start, or once the store is open).
  // True: it died by its crash point.
  bool run(const std::string& point, uint32_t nth, milliseconds delay, bool from_start, bool sync) {
    const uint64_t round = round_++;
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const std::string round_text = std::to_string(round), nth_text = std::to_string(nth);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipe[1], STDOUT_FILENO);
      ::close(pipe[0]);
      ::close(pipe[1]);
      ::execl(SLUICE_CRASH_WRITER, SLUICE_CRASH_WRITER, directory_.c_str(), round_text.c_str(), sync ? "1" : "0", point.c_str(),
              nth_text.c_str(), nullptr);
      ::_exit(9);
    }
    ::close(pipe[1]);
    const auto started = steady_clock::now();
    auto deadline = from_start ? started + delay : started + milliseconds(20'000);
    bool killed = false;
    std::string bytes;
    for (;;) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
      if (left <= 0 && !killed) {
        ::kill(child, SIGKILL);
        killed = true;
      }
      pollfd p{pipe[0], POLLIN, 0};
      ::poll(&p, 1, killed ? 5'000 : static_cast<int>(std::max<int64_t>(left, 0)));
      if (p.revents == 0) continue;
      char buffer[4096];
      const ssize_t n = ::read(pipe[0], buffer, sizeof buffer);
      if (n <= 0) break;
      const bool first = bytes.empty();
      bytes.append(buffer, static_cast<size_t>(n));
      if (first && !from_start) deadline = steady_clock::now() + delay;
    }
    ::close(pipe[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the writer failed by itself: " << status;
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      uint64_t number;
      std::memcpy(&number, bytes.data() + i, 8);
      if (number != UINT64_MAX) acknowledged_.insert(number);
    }
    return !killed;
  }

  // Opens what is left and holds it against what was acknowledged.
  void check() {
    const ManualClock clock(kNow);
    auto opened = store::Store::open(store_options(directory_, false), clock);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store::Store& s = **opened;
    const store::Snapshot snapshot = s.snapshot();
    ASSERT_TRUE(snapshot.damaged.empty()) << snapshot.damaged[0].reason;

    std::map<uint64_t, std::set<uint64_t>> present;  // append -> its rows
    auto take = [&](const Column& numbers) {
      for (size_t r = 0; r < numbers.size(); ++r) {
        const uint64_t n = numbers.uint_at(r);
        EXPECT_TRUE(present[n / kRowsPerNumber].insert(n % kRowsPerNumber).second) << "twice: " << n;
      }
    };
    for (const auto& b : snapshot.open) take(b->columns[*b->find(ColumnId::raw_packets)]);
    for (const auto& segment : snapshot.segments)
      for (uint32_t block = 0; block < segment->block_count(); ++block) {
        auto column = segment->read(ColumnId::raw_packets, block, 0, segment->block_rows(block), nullptr);
        ASSERT_TRUE(column.ok()) << column.error().message;
        take(*column);
      }

    for (const uint64_t number : acknowledged_)
      if (!expired(number)) {
        EXPECT_TRUE(present.contains(number)) << "lost: " << number;
      }
    std::map<std::string, uint64_t> last;  // side key -> greatest number that is there
    for (const auto& [number, rows] : present) EXPECT_EQ(rows.size(), row_count(number)) << "in part: " << number;

    // Object keys tell which appends happened, expired ones included.
    std::set<uint64_t> happened;
    ASSERT_TRUE(s.catalog().scan(Keyspace::objects, {}, [&](std::string_view key, std::string_view) {
      const uint64_t number = std::strtoull(std::string(key.substr(7)).c_str(), nullptr, 10);
      happened.insert(number);
      auto& l = last[side_key(number)];
      l = std::max(l, number);
      return true;
    }).ok());
    for (const auto& [number, rows] : present) EXPECT_TRUE(happened.contains(number)) << "rows without their key: " << number;
    for (const uint64_t number : acknowledged_) EXPECT_TRUE(happened.contains(number)) << "no key: " << number;
    for (const uint64_t number : happened)
      if (!expired(number)) {
        EXPECT_TRUE(present.contains(number)) << "a key without its rows: " << number;
      }
    for (const auto& [key, number] : last) {
      auto value = s.catalog().get(Keyspace::ingest_state, key);
      ASSERT_TRUE(value.ok() && value->has_value());
      EXPECT_EQ(**value, std::to_string(number));
    }

    // Again: the last few objects.
    size_t resent = 0;
    for (auto it = happened.rbegin(); it != happened.rend() && resent < 5; ++it, ++resent) {
      const Batch batch = append_rows(*it);
      const auto r = s.append({&batch, 1}, {object_key(*it), {}});
      ASSERT_TRUE(r.ok());
      EXPECT_TRUE(r->duplicate);
    }
    // What happened without an acknowledgement stays from now on.
    acknowledged_ = std::move(happened);
    appends_ = acknowledged_.size();

    // No files but those of segments in use.
    size_t files = 0;
    for (const auto& e : fs::recursive_directory_iterator(directory_ + "/segments")) files += e.is_regular_file();
    EXPECT_EQ(files, snapshot.segments.size());
  }

  void leave_an_orphan() {
    const std::string folder = directory_ + "/segments/20251121T160000Z";
    fs::create_directories(folder);
    std::ofstream(folder + "/seg-4000000.slc.tmp") << "cut off";
  }

  uint64_t appends() const { return appends_; }

 private:
  std::string directory_;
  uint64_t round_ = 0, appends_ = 0;
  std::set<uint64_t> acknowledged_;
};

TEST(StoreCrash, RandomMoments) {
  const char* wish = std::getenv("SLUICE_CRASH_ROUNDS");
  const int rounds = wish ? std::atoi(wish) : 100;
  std::mt19937_64 random(wish ? std::random_device{}() : 11);
  auto judge = std::make_unique<Judge>();
  uint64_t appends = 0;
  for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
    if (round % 20 == 19) {
      appends += judge->appends();
      judge = std::make_unique<Judge>();
    }
    // Most deaths while it writes, some while it opens and replays.
    const bool from_start = random() % 4 == 0;
    judge->run("-", 0, milliseconds(random() % (from_start ? 25 : 120)), from_start, random() % 2 == 0);
    judge->check();
  }
  appends += judge->appends();
  RecordProperty("appends", std::to_string(appends));
  std::printf("%d kills, %llu appends\n", rounds, static_cast<unsigned long long>(appends));
}

TEST(StoreCrash, EveryNamedPoint) {
  std::mt19937_64 random(5);
  for (const std::string_view point : store::crash_point_names()) {
    SCOPED_TRACE(std::string(point));
    Judge judge;
    // Something to replay and to merge first.
    judge.run("-", 0, milliseconds(150), false, false);
    int hit = 0;
    for (const uint32_t nth : {1u, 1 + static_cast<uint32_t>(random() % 3), 1 + static_cast<uint32_t>(random() % 12)}) {
      judge.leave_an_orphan();
      hit += judge.run(std::string(point), nth, milliseconds(point.starts_with("open") && nth > 1 ? 300 : 5'000), false, random() % 2 == 0);
      judge.check();
      if (HasFatalFailure()) return;
    }
    EXPECT_GE(hit, 1) << "the point was never passed";
  }
}

}  // namespace
}  // namespace sluice::crash
