#include "ingest/receive/folder_feed.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "ingest/receive/limits.h"
#include "ingest/receive/line_cut.h"

namespace sluice::ingest {
namespace {

namespace fs = std::filesystem;

bool is_comment(std::string_view line, bool) { return line.starts_with('#'); }

std::string gzip(const std::string& text) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()) + 32, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// A directory, a feed on it, and what a store would keep: lines that came, and the checkpoint.
class FolderTest : public ::testing::Test {
 protected:
  FolderTest() : clock_(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count()) {
    char name[] = "/tmp/sluice-folder-XXXXXX";
    root_ = mkdtemp(name);
    fs::create_directory(root_ + "/in");
    options_ = {{"path", root_ + "/in"}, {"settle", "1s"}};
  }
  ~FolderTest() override { fs::remove_all(root_); }

  Result<std::unique_ptr<Feed>> make() {
    FeedSettings settings;
    settings.name = "f";
    settings.kind = "folder";
    settings.place = "t.toml:1";
    settings.shape = {lines_, is_comment};
    for (const auto& [key, value] : options_) settings.options[key] = {value, "t.toml:1"};
    auto feed = make_folder_feed(settings);
    EXPECT_TRUE(!feed.ok() || settings.finish().ok());
    return feed;
  }

  // What a killed and started server does.
  void restart() {
    auto feed = make();
    ASSERT_TRUE(feed.ok()) << feed.error().message;
    feed_ = std::move(*feed);
    const Checkpoint kept(checkpoint_.begin(), checkpoint_.end());
    ASSERT_TRUE(feed_->restore(kept).ok());
  }

  // Polls until nothing comes any more, two seconds apart. An error is that of the sink, after which the feed is restored.
  void poll(int times = 3) {
    if (!feed_) restart();
    const std::function<bool()> stopping = [] { return false; };
    for (int i = 0; i < times; ++i) {
      clock_.advance(2 * kSecond);
      const auto polled = feed_->poll({clock_, stopping, 0}, [this](FeedPiece&& piece) { return take(std::move(piece)); });
      if (!polled.ok()) {
        EXPECT_EQ(polled.error().code, ErrorCode::io) << polled.error().message;
        const Checkpoint kept(checkpoint_.begin(), checkpoint_.end());
        ASSERT_TRUE(feed_->restore(kept).ok());
      }
    }
  }

  Result<PieceResult> take(FeedPiece&& piece) {
    if (fail_before_ > 0 && --fail_before_ == 0) return Error{ErrorCode::io, "not durable"};
    PieceResult result;
    if (!piece.fault.empty()) {
      faults_.push_back(piece.fault);
      result.set_aside = true;
    } else if (!piece.object_key.empty() && !keys_.insert(piece.object_key).second) {
      result.duplicate = true;
    } else {
      const auto compression = piece.compression ? *piece.compression : detect_compression(piece.bytes, false);
      auto text = inflate_to_string(piece.bytes, compression);
      if (!text.ok()) {
        faults_.push_back(text.error().message);
        keys_.erase(piece.object_key);
        result.set_aside = true;
      } else if (lines_) {
        HeaderLines header(FeedFormat{true, is_comment});
        header.reset(piece.header, piece.offset + piece.skip == 0);
        std::string rest = text->substr(std::min<size_t>(text->size(), piece.skip));
        while (!rest.empty()) {
          const size_t end = rest.find('\n');
          const std::string line = rest.substr(0, end);
          rest.erase(0, end == std::string::npos ? rest.size() : end + 1);
          header.see(line + "\n");
          if (line.starts_with('#')) continue;
          if (line.starts_with("!")) {  // what no decoder reads
            ++result.rejected;
            result.reason = "no such record";
            continue;
          }
          ++result.recognized;
          ++lines_seen_[line];
          headers_[line] = header.text();
        }
      } else if (!text->empty()) {
        ++lines_seen_[*text];
      }
    }
    for (const auto& [key, value] : piece.checkpoint) {
      if (value.empty())
        checkpoint_.erase(key);
      else
        checkpoint_[key] = value;
    }
    if (fail_after_ > 0 && --fail_after_ == 0) return Error{ErrorCode::io, "killed behind the commit"};
    return result;
  }

  std::string at(const std::string& name) const { return root_ + "/in/" + name; }
  void append(const std::string& name, const std::string& text) { std::ofstream(at(name), std::ios::binary | std::ios::app) << text; }
  void put(const std::string& name, const std::string& text) {
    std::ofstream(at(name) + ".hidden~", std::ios::binary) << text;
    fs::rename(at(name) + ".hidden~", at(name));
  }
  std::string read(const std::string& name) const {
    std::ifstream f(at(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(f), {}};
  }
  std::string all() const {
    std::string out;
    for (const auto& [line, count] : lines_seen_) out += line + (count > 1 ? "*" + std::to_string(count) : "") + " ";
    return out;
  }

  ManualClock clock_;
  std::string root_;
  bool lines_ = true;
  std::map<std::string, std::string> options_;
  std::unique_ptr<Feed> feed_;
  std::map<std::string, std::string> checkpoint_, headers_;
  std::set<std::string> keys_;
  std::map<std::string, int> lines_seen_;
  std::vector<std::string> faults_;
  int fail_before_ = 0, fail_after_ = 0;
};

TEST_F(FolderTest, LeavesAHalfLineUntilItsEndComes) {
  append("a", "one\ntw");
  poll();
  EXPECT_EQ(all(), "one ");
  EXPECT_EQ(feed_->backlog().bytes, 2u);
  EXPECT_EQ(feed_->backlog().objects, 0u);
  restart();
  poll();
  append("a", "o\nthree");
  poll();
  EXPECT_EQ(all(), "one two ");
  append("a", "\n");
  restart();
  poll();
  EXPECT_EQ(all(), "one three two ");
}

TEST_F(FolderTest, FollowsARenamedFileAndReadsARemovedOneToItsEnd) {
  options_["glob"] = "a";
  append("a", "one\n");
  poll();
  fs::rename(at("a"), at("b"));  // no longer in the glob, but open
  append("b", "two\n");
  append("a", "three\n");
  poll();
  EXPECT_EQ(all(), "one three two ");
  append("a", "four\nfi");
  fs::remove(at("a"));
  poll();
  EXPECT_EQ(all(), "four one three two ");
  poll(20);  // nothing more comes: its last line is a line
  EXPECT_EQ(all(), "fi four one three two ");
}

TEST_F(FolderTest, ReadsATruncatedFileFromItsStartEvenWhenItGrewBeyondThePlaceReached) {
  append("a", "one\n");
  poll();
  fs::resize_file(at("a"), 0);
  append("a", "uno\nduo\n");
  restart();
  poll();
  EXPECT_EQ(all(), "duo one uno ");
}

TEST_F(FolderTest, KnowsWhatWasCopiedOrCompressed) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "line" + std::to_string(i) + "\n";
  append("a", text);
  poll();
  fs::copy_file(at("a"), at("a.1"));
  fs::resize_file(at("a"), 0);
  append("a", "new\n");
  poll();
  append("a.1", "late\n");
  restart();
  poll();
  put("a.1.gz", gzip(read("a.1") + "later\n"));
  fs::remove(at("a.1"));
  restart();
  poll();
  EXPECT_EQ(lines_seen_.size(), 503u);
  for (const auto& [line, count] : lines_seen_) EXPECT_EQ(count, 1) << line;
}

TEST_F(FolderTest, WaitsForACopyThatIsBeingMade) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "line" + std::to_string(i) + "\n";
  append("a", text);
  poll();
  append("copy", text.substr(0, 3'000));
  poll(1);
  append("copy", text.substr(3'000) + "more\n");
  poll();
  EXPECT_EQ(lines_seen_.size(), 501u);
  for (const auto& [line, count] : lines_seen_) EXPECT_EQ(count, 1) << line;
}

TEST_F(FolderTest, RemembersHeadersOverRestartsAndLineEnds) {
  append("a", "\xef\xbb\xbf# h1\r\n# h2\r\none\n");
  poll();
  append("a", "two\n");
  restart();
  poll();
  EXPECT_EQ(headers_["two"], "# h1\n# h2\n");
  append("a", "# new\nthree\n");
  poll();
  append("a", "four\n");
  restart();
  poll();
  EXPECT_EQ(headers_["four"], "# new\n");
}

TEST_F(FolderTest, TakesCompressedFilesWholeOnceTheyHaveSettled) {
  const std::string packed = gzip("one\ntwo\n");
  append("a.gz", packed.substr(0, 10));
  poll(1);
  append("a.gz", packed.substr(10));
  poll();
  EXPECT_EQ(all(), "one two ");
  EXPECT_TRUE(faults_.empty());
  restart();
  poll();
  fs::rename(at("a.gz"), at("b.gz"));
  put("c.gz", packed);  // the same once more
  poll();
  EXPECT_EQ(all(), "one two ");
}

TEST_F(FolderTest, TriesADamagedFileAgainWhenItsLengthChanges) {
  const std::string packed = gzip("one\n");
  append("a.gz", packed.substr(0, 10));
  poll();
  ASSERT_EQ(faults_.size(), 1u);
  restart();
  poll();
  EXPECT_EQ(faults_.size(), 1u);
  append("a.gz", packed.substr(10));
  poll();
  EXPECT_EQ(all(), "one ");
}

TEST_F(FolderTest, TellsOnceOfADocumentThatGrewAfterItWasTaken) {
  lines_ = false;
  append("doc.json", "{}");
  poll();
  EXPECT_EQ(all(), "{} ");
  append("doc.json", "[]");
  poll();
  restart();
  poll();
  EXPECT_EQ(all(), "{} ");
  EXPECT_EQ(faults_.size(), 1u);
  put("doc.json", "{1}");  // another file under its name
  poll();
  EXPECT_EQ(all(), "{1} {} ");
}

TEST_F(FolderTest, StartsAtTheEndWhereItIsToldTo) {
  options_["start"] = "end";
  append("a", "# h\nold\nha");
  poll();
  append("a", "lf\nnew\n");
  append("b", "other\n");
  restart();
  poll();
  EXPECT_EQ(all(), "half new other ");
  EXPECT_EQ(headers_["new"], "# h\n");
}

TEST_F(FolderTest, FinishesMovesAndDeletes) {
  options_["after"] = "move";
  options_["move_to"] = root_ + "/done";
  options_["finish_after"] = "5s";
  options_["recursive"] = "true";
  fs::create_directory(at("sub"));
  append("sub/a", "one\ntwo");
  poll();
  EXPECT_EQ(all(), "one ");
  poll();
  EXPECT_EQ(all(), "one two ");
  EXPECT_FALSE(fs::exists(at("sub/a")));
  EXPECT_TRUE(fs::exists(root_ + "/done/sub/a"));
}

TEST_F(FolderTest, LeavesWhatItCouldNotRead) {
  options_["after"] = "delete";
  options_["finish_after"] = "5s";
  append("good", "one\n!\n");
  append("header", "# h\n");
  append("rubbish", "!\n!!\n");
  append("late", "!\n");
  append("packed.gz", gzip("two\n"));
  append("cut.gz", gzip("three\n").substr(0, 10));
  append("refused.gz", gzip("!packed\n"));
  poll();
  append("late", "four\n");
  poll(5);
  const auto left = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ + "/in")) names.insert(entry.path().filename());
    return names;
  };
  const std::set<std::string> kept = {"rubbish", "cut.gz", "refused.gz"};
  EXPECT_EQ(left(), kept);
  EXPECT_EQ(std::count(faults_.begin(), faults_.end(), "none of its records can be read; the first: no such record"), 3) << ::testing::PrintToString(faults_);
  const size_t told = faults_.size();
  restart();
  poll(5);
  EXPECT_EQ(left(), kept);
  EXPECT_EQ(faults_.size(), told);
  EXPECT_EQ(all(), "four one two ");
}

TEST_F(FolderTest, AKillBeforeItIsKnownWhatBecameOfAFileLosesNothing) {
  for (int kill = 1; kill <= 6; ++kill) {
    SCOPED_TRACE(kill);
    options_["after"] = "delete";
    options_["finish_after"] = "3s";
    const std::string n = std::to_string(kill);
    append("bad" + n, "!" + n + "\n");
    append("bad" + n + ".gz", gzip("!x" + n + "\n"));
    append("good" + n + ".gz", gzip("x" + n + "\n"));
    fail_after_ = kill;
    poll(4);
    restart();
    poll(4);
    fail_after_ = 0;
    EXPECT_TRUE(fs::exists(at("bad" + n)));
    EXPECT_FALSE(fs::exists(at("good" + n + ".gz")));
    EXPECT_EQ(lines_seen_["x" + n], 1);
  }
}

TEST_F(FolderTest, LinksThatLeadOutAreFollowedWhenToldTo) {
  std::ofstream(root_ + "/outside") << "secret\n";
  append("inside", "one\n");
  fs::create_symlink(root_ + "/outside", at("out"));
  fs::create_symlink("../outside", at("out2"));
  fs::create_symlink("inside", at("again"));  // a second name of the same file
  fs::create_symlink("nowhere", at("broken"));
  poll();
  EXPECT_EQ(all(), "one ");
  EXPECT_NE(feed_->backlog().note.find("follow_links"), std::string::npos);
  options_["follow_links"] = "true";
  restart();
  poll();
  EXPECT_EQ(all(), "one secret ");
}

TEST_F(FolderTest, AGrowingFileOfRubbishIsToldOfOnce) {
  append("rubbish", "!\n");
  poll(4);
  ASSERT_EQ(faults_.size(), 1u);
  append("rubbish", "!!\n");
  poll(4);
  restart();
  append("rubbish", "!!!\n");
  poll(4);
  EXPECT_EQ(faults_.size(), 1u);
}

TEST_F(FolderTest, PassesByALineBeyondEveryBound) {
  append("a", "one\n" + std::string(limits::kFeedPartBytes + 5, 'x'));
  poll();
  append("a", std::string(100, 'y') + "\ntwo\n");
  restart();
  poll();
  EXPECT_EQ(lines_seen_.count("one"), 1u);
  EXPECT_EQ(lines_seen_.count("two"), 1u);
  EXPECT_EQ(lines_seen_.size(), 3u);  // and the part that its decoder rejects
}

TEST_F(FolderTest, RefusesSettingsThatMakeNoSense) {
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"period", "never"}, {"after", "burn"}, {"after", "move"}, {"move_to", "/x"}, {"recursive", "perhaps"}, {"start", "middle"}, {"settle", "-1s"}}) {
    const auto before = options_;
    options_[key] = value;
    const auto feed = make();
    ASSERT_FALSE(feed.ok()) << key;
    EXPECT_NE(feed.error().message.find("t.toml:1: feed 'f': "), std::string::npos) << feed.error().message;
    options_ = before;
  }
  FeedSettings settings;
  settings.name = "f";
  settings.options = {{"path", {"/tmp", "t.toml:3"}}, {"paht", {"x", "t.toml:4"}}};
  ASSERT_TRUE(make_folder_feed(settings).ok());
  EXPECT_EQ(settings.finish().error().message.substr(0, 27), "t.toml:4: feed 'f': paht: i");
  settings.options = {{"path", {"/tmp", "t.toml:3"}}, {"secret", {"x", "t.toml:4"}}};
  EXPECT_FALSE(settings.secret().ok());
}

// Everything that happens to log files, in any order, with the server killed before and behind any commit.
TEST_F(FolderTest, AnyHistoryCountsEachLineOnce) {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    std::mt19937 random(seed);
    for (const auto& entry : fs::directory_iterator(root_ + "/in")) fs::remove_all(entry);
    checkpoint_.clear();
    lines_seen_.clear();
    keys_.clear();
    feed_.reset();
    fail_before_ = fail_after_ = 0;
    int written = 0, rotated = 0;
    std::string half;
    const auto line = [&] { return "seed" + std::to_string(seed) + "-" + std::to_string(written++) + "-" + std::string(random() % 200, 'x'); };
    std::vector<std::string> plain;  // rotated files that can be compressed
    for (int step = 0; step < 60; ++step) {
      switch (random() % 8) {
        case 0:
        case 1:
        case 2: {
          std::string text = std::exchange(half, "");
          if (!text.empty()) text = text.substr(text.size() / 2) + "\n";
          for (unsigned i = 0; i < random() % 30; ++i) text += line() + "\n";
          if (random() % 3 == 0) {
            half = line();
            text += half.substr(0, half.size() / 2);
          }
          append("log", text);
          break;
        }
        case 3:  // logrotate's create
          if (half.empty() && fs::exists(at("log"))) {
            const std::string name = "log." + std::to_string(++rotated);
            fs::rename(at("log"), at(name));
            plain.push_back(name);
          }
          break;
        case 4:  // and its compress
          if (!plain.empty()) {
            const std::string name = plain.back();
            plain.pop_back();
            poll(1);
            put(name + ".gz", gzip(read(name)));
            fs::remove(at(name));
          }
          break;
        case 5: restart(); break;
        case 6:
          fail_before_ = static_cast<int>(random() % 3);
          fail_after_ = static_cast<int>(random() % 3);
          break;
        default: poll(1);
      }
    }
    if (!half.empty()) append("log", half.substr(half.size() / 2) + "\n");
    fail_before_ = fail_after_ = 0;
    restart();
    poll(6);
    EXPECT_EQ(lines_seen_.size(), static_cast<size_t>(written)) << "seed " << seed;
    for (const auto& [text, count] : lines_seen_) ASSERT_EQ(count, 1) << "seed " << seed << ": " << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace sluice::ingest
