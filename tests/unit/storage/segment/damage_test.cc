// A damaged file is found out or does no harm: every byte flipped, every length cut, with and without checksums.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "storage/segment/format.h"
#include "storage/segment/open_options.h"
#include "storage/segment/segment.h"
#include "tests/unit/storage/segment/flows.h"
#include "tests/unit/storage/segment/read_all.h"

namespace sluice::segment {
namespace {

using testing::Random;

std::string load_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A file in memory: tens of thousands of damaged ones are written.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("damaged", MFD_CLOEXEC)) {}
  ~MemoryFile() { ::close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void save(const std::string& bytes) {
    ASSERT_EQ(::ftruncate(fd_, 0), 0);
    ASSERT_EQ(::pwrite(fd_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

 private:
  int fd_;
};

// The file of a segment in use is cut short: the process lives, and whoever reads is told.
TEST(CutWhileOpen, ReadsFailWithTheNameOfTheFile) {
  testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/cut.slc";
  Random random(7);
  const Batch batch = testing::flows(random, 100'000, true);
  for (const bool to_a_page : {true, false}) {
    ASSERT_TRUE(write_segment(path, 42, 0, {&batch, 1}, {.postings = true, .sync = false}).ok());
    const size_t size = load_file(path).size();
    ASSERT_GT(size, 200'000u);
    auto opened = Segment::open(path);
    ASSERT_TRUE(opened.ok());
    const auto segment = *opened;
    EXPECT_TRUE(segment->intact().ok());
    // Columns and dictionaries that were read before.
    const auto before = segment->read(ColumnId::src_ip, 0, 0, 1'000, nullptr);
    ASSERT_TRUE(before.ok());
    const auto dictionary = segment->dictionary(ColumnId::dst_ip);
    ASSERT_TRUE(dictionary.ok() && *dictionary);
    ASSERT_EQ(::truncate(path.c_str(), to_a_page ? 8'192 : 9'000), 0);

    const Status intact = segment->intact();
    ASSERT_FALSE(intact.ok());
    EXPECT_EQ(intact.error().code, ErrorCode::corrupt);
    EXPECT_NE(intact.error().message.find(path), std::string::npos) << intact.error().message;
    const auto all = testing::read_all(*segment);
    ASSERT_FALSE(all.ok());
    EXPECT_EQ(all.error().code, ErrorCode::corrupt);
    EXPECT_NE(all.error().message.find(path), std::string::npos) << all.error().message;
    EXPECT_FALSE(segment->verify().ok());
    // What is held still answers, whatever it answers: intact() tells.
    for (uint32_t i = 0; i < (*dictionary)->size(); ++i) (void)(*dictionary)->ip_at(i);
    for (size_t i = 0; i < before->size(); ++i) (void)before->ip_at(i);
    for (const auto& c : segment->column_stats()) EXPECT_FALSE(c.codecs.empty());
    EXPECT_FALSE(segment->intact(false).ok());
    // The file whole again is another mapping.
    ASSERT_TRUE(write_segment(path, 43, 0, {&batch, 1}, {.postings = true, .sync = false}).ok());
    auto again = Segment::open(path);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE((*again)->verify().ok());
    EXPECT_TRUE((*again)->intact().ok());
  }
}

TEST(CutWhileOpen, ManyMappingsAtOnce) {
  testing::TemporaryFolder folder;
  Random random(8);
  const Batch batch = testing::flows(random, 2'000, false);
  std::vector<std::shared_ptr<const Segment>> open;
  const std::string path = folder.path() + "/one.slc";
  ASSERT_TRUE(write_segment(path, 1, 0, {&batch, 1}, {.postings = true, .sync = false}).ok());
  for (int i = 0; i < 2'500; ++i) {  // more than one group of the handler's places
    auto s = Segment::open(path);
    ASSERT_TRUE(s.ok()) << i;
    open.push_back(*s);
  }
  open.erase(open.begin(), open.begin() + 1'000);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  for (const auto& s : open) {
    EXPECT_FALSE(testing::read_all(*s).ok());
    EXPECT_FALSE(s->intact(false).ok());
  }
}

TEST(CutWhileOpenDeathTest, AFaultElsewhereIsStillTheEnd) {
  testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/x";
  EXPECT_EXIT(
      {
        Random random(9);
        const Batch batch = testing::flows(random, 100, false);
        (void)write_segment(path, 1, 0, {&batch, 1}, {.postings = true, .sync = false}).ok();
        const auto keeps_the_handler = Segment::open(path);
        const int fd = ::memfd_create("other", 0);
        (void)!::ftruncate(fd, 4'096);
        auto* bytes = static_cast<volatile char*>(::mmap(nullptr, 4'096, PROT_READ, MAP_SHARED, fd, 0));
        (void)!::ftruncate(fd, 0);
        (void)bytes[0];
        ::_exit(0);
      },
      [](int status) { return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0); }, "");
}

class Damage : public ::testing::Test {
 protected:
  void write(size_t rows, bool nulls) {
    Random random(rows);
    const Batch batch = testing::flows(random, rows, nulls);
    ASSERT_TRUE(write_segment(path_, 42, 0, {&batch, 1}, {.postings = true, .sync = false}).ok());
    good_ = load_file(path_);
    auto segment = Segment::open(path_);
    ASSERT_TRUE(segment.ok());
    auto all = testing::read_all(**segment);
    ASSERT_TRUE(all.ok()) << all.error().message;
    truth_ = *all;
  }

  // Opened and read with checksums: the truth, or an error that says where.
  void expect_found_out(const std::string& bytes, size_t at) {
    bad_.save(bytes);
    auto segment = Segment::open(bad_path_);
    if (!segment.ok()) {
      const bool known = segment.error().code == ErrorCode::corrupt || segment.error().code == ErrorCode::unsupported;
      ASSERT_TRUE(known) << at << ": " << segment.error().message;
      ASSERT_NE(segment.error().message.find(bad_path_), std::string::npos) << segment.error().message;
      return;
    }
    auto all = testing::read_all(**segment);
    if (!all.ok()) {
      ASSERT_EQ(all.error().code, ErrorCode::corrupt) << at;
      ASSERT_NE(all.error().message.find(bad_path_), std::string::npos) << all.error().message;
      return;
    }
    ASSERT_EQ(*all, truth_) << "byte " << at << " is wrong and nobody noticed";
  }

  // Opened without them: any answer, no crash.
  void expect_no_harm(const std::string& bytes) {
    bad_.save(bytes);
    auto segment = open_segment(bad_path_, {.verify = false});
    if (segment.ok()) (void)testing::read_all(**segment, 2).ok();
  }

  testing::TemporaryFolder folder_;
  MemoryFile bad_;
  std::string path_ = folder_.file("good.seg"), bad_path_ = bad_.path();
  std::string good_, truth_;
};

TEST_F(Damage, EveryByteFlipped) {
  write(60, true);
  ASSERT_LT(good_.size(), 16'000u);
  for (size_t at = 0; at < good_.size(); ++at) {
    std::string bad = good_;
    bad[at] = static_cast<char>(bad[at] ^ (at % 3 == 0 ? 0xff : 1 << (at % 8)));
    expect_found_out(bad, at);
    expect_no_harm(bad);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Damage, EveryLengthCut) {
  write(60, true);
  for (size_t length = 0; length < good_.size(); ++length) {
    bad_.save(good_.substr(0, length));
    auto segment = Segment::open(bad_path_);
    ASSERT_FALSE(segment.ok()) << length;
    ASSERT_EQ(segment.error().code, ErrorCode::corrupt) << length;
    expect_no_harm(good_.substr(0, length));
    // Cut in the middle instead: the trailer is there, the rest has moved.
    if (length + 64 < good_.size()) {
      expect_found_out(good_.substr(0, length) + good_.substr(good_.size() - 64), length);
      expect_no_harm(good_.substr(0, length) + good_.substr(good_.size() - 64));
    }
    if (HasFatalFailure()) return;
  }
}

TEST_F(Damage, ManyBytesInALargerFile) {
  for (const bool nulls : {false, true}) {
    write(5'000, nulls);
    Random random(9);
    for (int k = 0; k < 300; ++k) {
      std::string bad = good_;
      const size_t at = k % 2 ? testing::below(random, bad.size()) : bad.size() - 1 - testing::below(random, std::min<size_t>(bad.size(), 3'000));
      for (size_t i = at; i < std::min(bad.size(), at + 1 + testing::below(random, 8)); ++i) bad[i] = static_cast<char>(random());
      if (k % 10 == 0) expect_found_out(bad, at);
      expect_no_harm(bad);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Damage, DamageIsFoundWhereItIs) {
  write(3'000, false);
  // One byte of each chunk of data: the column whose chunk it is cannot be read, the others can.
  auto segment = Segment::open(path_);
  ASSERT_TRUE(segment.ok());
  std::string bad = good_;
  bad[sizeof(FileHeader) + 200] = static_cast<char>(bad[sizeof(FileHeader) + 200] + 1);
  bad_.save(bad);
  auto damaged = Segment::open(bad_path_);
  ASSERT_TRUE(damaged.ok()) << "the footer is whole";
  const Status status = (*damaged)->verify();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
  EXPECT_NE(status.error().message.find("column "), std::string::npos) << status.error().message;
  EXPECT_NE(status.error().message.find("checksum"), std::string::npos) << status.error().message;
  size_t readable = 0, broken = 0;
  for (const ColumnSpec& spec : flow_columns()) {
    if (!(*damaged)->has(spec.id)) continue;
    ++((*damaged)->read(spec.id, 0, 0, 10, nullptr).ok() ? readable : broken);
  }
  EXPECT_GE(broken, 1u);
  EXPECT_GT(readable, 5u);
}

TEST_F(Damage, WhatADiskDoesLaterIsFoundAtTheNextCheck) {
  write(3'000, false);
  std::string bad = good_;
  bad_.save(bad);
  auto segment = Segment::open(bad_path_);
  ASSERT_TRUE(segment.ok());
  const auto readable = [&] {
    size_t n = 0;
    for (const ColumnSpec& spec : flow_columns())
      if ((*segment)->has(spec.id)) n += (*segment)->read(spec.id, 0, 0, 10, nullptr).ok();
    return n;
  };
  const size_t all = readable();
  (*segment)->forget_checks();
  EXPECT_EQ(readable(), all);
  // Under the open mapping. Before the next check the old word counts, and a decoder stands whatever it then meets.
  bad[sizeof(FileHeader) + 200] = static_cast<char>(bad[sizeof(FileHeader) + 200] + 1);
  bad_.save(bad);
  readable();
  (*segment)->forget_checks();
  EXPECT_LT(readable(), all);
  EXPECT_FALSE((*segment)->verify().ok());
}

TEST_F(Damage, TextsThatNobodyUsesGoWithTheChecks) {
  write(3'000, false);
  auto segment = Segment::open(path_);
  ASSERT_TRUE(segment.ok());
  auto used = (*segment)->dictionary(ColumnId::src_instance_id);
  ASSERT_TRUE(used.ok() && *used);
  const std::weak_ptr<const Dictionary> watched = *used;
  (*segment)->forget_checks();
  EXPECT_EQ((*segment)->dictionary(ColumnId::dst_instance_id)->get(), used->get()) << "one for both sides, and in use";
  *used = nullptr;
  EXPECT_FALSE(watched.expired());
  (*segment)->forget_checks();
  EXPECT_TRUE(watched.expired());
  EXPECT_GT((*(*segment)->dictionary(ColumnId::src_instance_id))->size(), 0u);
}

TEST_F(Damage, ANewerFormatSaysSo) {
  write(10, false);
  std::string newer = good_;
  newer[8] = 9;
  bad_.save(newer);
  auto segment = Segment::open(bad_path_);
  ASSERT_FALSE(segment.ok());
  EXPECT_EQ(segment.error().code, ErrorCode::unsupported);
  EXPECT_NE(segment.error().message.find("version 9"), std::string::npos) << segment.error().message;
  EXPECT_NE(segment.error().message.find("known, 1"), std::string::npos) << segment.error().message;
}

TEST_F(Damage, WhatIsNoFileIsAnIoError) {
  auto missing = Segment::open(folder_.file("none.seg"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::io);
  auto folder = Segment::open(folder_.path());
  EXPECT_FALSE(folder.ok());
}

TEST_F(Damage, AFailedWriteLeavesNothing) {
  Random random(1);
  const Batch batch = testing::flows(random, 10, false);
  const std::string path = folder_.file("missing/a.seg");
  EXPECT_FALSE(write_segment(path, 1, 0, {&batch, 1}).ok());
  // A folder in the place of the file: written beside it, but never moved there.
  std::filesystem::create_directory(folder_.file("taken.seg"));
  EXPECT_FALSE(write_segment(folder_.file("taken.seg"), 1, 0, {&batch, 1}).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_.file("taken.seg.tmp")));
  EXPECT_FALSE(write_segment(folder_.file("empty.seg"), 1, 0, {}).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_.file("empty.seg")));
  // A full disk, as far as one is at hand.
  if (::access("/dev/full", W_OK) == 0) {
    std::filesystem::create_symlink("/dev/full", folder_.file("full.seg.tmp"));
    auto full = write_segment(folder_.file("full.seg"), 1, 0, {&batch, 1}, {.postings = true, .sync = false});
    ASSERT_FALSE(full.ok());
    EXPECT_EQ(full.error().code, ErrorCode::full);
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(folder_.file("full.seg.tmp"))));
  }
}

}  // namespace
}  // namespace sluice::segment
