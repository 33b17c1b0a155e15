#include "server/episode_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::server {
namespace {

using query::continuous::Episode;
using query::continuous::EpisodeState;
using query::continuous::Severity;

TEST(EpisodeRecord, IsReadAsItWasWritten) {
  Episode e;
  e.id = "0123";
  e.rule = "scan";
  e.severity = Severity::low;
  e.peak = Severity::critical;
  e.state = EpisodeState::firing;
  e.key = "src_ip=10.0.0.1";
  e.start = 1, e.last = 2, e.end = 3, e.fired_at = 4, e.run_start = 5, e.matches = 6;
  e.message = "\"quoted\"";
  e.is_silent = e.was_closed = true;
  EXPECT_EQ(episode_of(record_of(e)), e);
}

TEST(EpisodeRecord, OfAnEarlierVersionHasBeenAsSevereAsItIs) {
  Episode e;
  e.severity = Severity::high;
  auto record = nlohmann::json::parse(record_of(e));
  record.erase("peak");
  const auto read = episode_of(record.dump());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->peak, Severity::high);
  record["peak"] = "high";
  EXPECT_FALSE(episode_of(record.dump())) << "no number: it is no record";
  EXPECT_FALSE(episode_of("[]"));
}

}  // namespace
}  // namespace sluice::server
