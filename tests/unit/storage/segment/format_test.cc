// FORMAT.md's worked example is what is written, byte for byte: a change of the format shows here, and needs a new version.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "storage/segment/segment.h"
#include "tests/unit/storage/segment/flows.h"

namespace sluice::segment {
namespace {

// The hexadecimal bytes of the page's example, by the offsets that begin its lines.
std::string example() {
  std::ifstream page(SLUICE_SOURCE_DIR "/storage/segment/FORMAT.md");
  std::string bytes, line;
  bool in_example = false;
  while (std::getline(page, line)) {
    if (line == "```" && in_example) break;
    if (line.starts_with("000  53")) in_example = true;
    if (!in_example) continue;
    const size_t offset = std::stoul(line.substr(0, 3), nullptr, 16);
    bytes.resize(offset, '\0');
    // Two groups of up to eight bytes, between columns 5 and 53.
    const std::string columns = line.substr(5, 48);
    for (size_t i = 0; i + 1 < columns.size();) {
      if (columns[i] == ' ') {
        ++i;
        continue;
      }
      bytes.push_back(static_cast<char>(std::stoul(columns.substr(i, 2), nullptr, 16)));
      i += 2;
    }
  }
  return bytes;
}

TEST(Format, IsAsThePageSays) {
  FlowBatchBuilder b;
  const IpAddress client = IpAddress::v4(0x0a000001), server = IpAddress::v4(0xc0a80001);
  for (const bool reverse : {false, true}) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, 1'790'000'000 * kSecond);
    b.set_ip(ColumnId::src_ip, reverse ? server : client);
    b.set_ip(ColumnId::dst_ip, reverse ? client : server);
  }
  const Batch batch = b.finish();
  testing::TemporaryFolder folder;
  const std::string path = folder.file("tiny.seg");
  ASSERT_TRUE(write_segment(path, 7, 1'789'999'200 * kSecond, {&batch, 1}, {.postings = false, .sync = true}).ok());
  std::ifstream in(path, std::ios::binary);
  const std::string written{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::string page = example();
  ASSERT_EQ(written.size(), 376u);
  ASSERT_EQ(page.size(), written.size());
  for (size_t i = 0; i < written.size(); ++i) ASSERT_EQ(written[i], page[i]) << "at " << std::hex << i;
}

}  // namespace
}  // namespace sluice::segment
