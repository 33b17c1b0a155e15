#include "server/alert_labels.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

using query::continuous::Episode;
using query::continuous::Rule;

struct AlertLabelsTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-labels-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
    lists = std::make_unique<ListKeeper>(*catalog, clock);
    ASSERT_TRUE(lists->load().ok());
  }
  void TearDown() override {
    lists.reset();
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  static Rule rule(std::string name, query::continuous::Label label) {
    Rule out;
    out.name = std::move(name);
    out.labels.push_back(std::move(label));
    return out;
  }
  static Episode alert(std::string_view address) {
    Episode out;
    append_extra(out.values, "src_ip", address);
    append_extra(out.values, "n", "7");
    return out;
  }
  std::vector<std::pair<std::string, TimestampNs>> items(std::string_view list) const {
    std::vector<std::pair<std::string, TimestampNs>> out;
    const auto book = lists->lists();
    if (const auto* found = book->find(list))
      for (size_t i = 0; i < found->items.size(); ++i) out.emplace_back(found->items[i], found->ends.empty() ? kTimestampMax : found->ends[i]);
    return out;
  }

  std::string directory;
  ManualClock clock{1'000 * kSecond};
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<ListKeeper> lists;
  AlertLabels labels;
};

TEST_F(AlertLabelsTest, RenewsWhatGoesOnAndLeavesWhatLastsLonger) {
  const Rule day = rule("day", {"src_ip", "suspects", kDay});
  const TimestampNs t = clock.now();
  labels.note(day, alert("10.0.0.1"), t);
  labels.note(day, alert("10.0.0.2"), t);
  labels.note(day, alert("null"), t);
  labels.note(rule("hour", {"src_ip", "suspects", kHour}), alert("10.0.0.1"), t);
  labels.note(rule("other", {"nothing", "suspects", kHour}), alert("10.0.0.3"), t);
  labels.keep(*lists);
  using Items = std::vector<std::pair<std::string, TimestampNs>>;
  EXPECT_EQ(items("suspects"), (Items{{"10.0.0.1", t + kDay}, {"10.0.0.2", t + kDay}}));
  const uint64_t version = lists->lists()->find("suspects")->version;

  // Nothing to do before half of the time is over: rules that read the list are not bound anew each second.
  labels.note(day, alert("10.0.0.1"), t + kHour);
  labels.keep(*lists);
  EXPECT_EQ(lists->lists()->find("suspects")->version, version);
  labels.note(day, alert("10.0.0.1"), t + 13 * kHour);
  labels.keep(*lists);
  EXPECT_EQ(items("suspects"), (Items{{"10.0.0.1", t + kDay + 13 * kHour}, {"10.0.0.2", t + kDay}}));

  // What somebody put there for ever stays for ever.
  ASSERT_TRUE(lists->put_list(*query::make_watch_list("known", {"10.0.0.1"}), false).ok());
  labels.note(rule("other", {"src_ip", "KNOWN", kHour}), alert("10.0.0.1"), t);
  labels.keep(*lists);
  EXPECT_EQ(items("known"), (Items{{"10.0.0.1", kTimestampMax}}));
}

TEST_F(AlertLabelsTest, SaysWhatAListRefuses) {
  const Rule range = rule("range", {"src_ip", "suspects", kDay});
  labels.note(range, alert("10.0.0.9-10.0.0.1"), clock.now());  // a word that reads as a range from high to low
  labels.keep(*lists);
  EXPECT_NE(labels.trouble("range").find("suspects"), std::string::npos);
  EXPECT_EQ(labels.trouble("else"), "");
  // Another list that takes its labels makes nothing good.
  Rule both = rule("range", {"src_ip", "suspects", kDay});
  both.labels.push_back({"n", "zones", kDay});
  labels.note(both, alert("10.0.0.9-10.0.0.1"), clock.now());
  labels.keep(*lists);
  EXPECT_EQ(items("zones").size(), 1u);
  EXPECT_NE(labels.trouble("range").find("suspects"), std::string::npos);
  labels.note(range, alert("10.0.0.1"), clock.now());
  labels.keep(*lists);
  EXPECT_EQ(labels.trouble("range"), "");
}

}  // namespace
}  // namespace sluice::server
