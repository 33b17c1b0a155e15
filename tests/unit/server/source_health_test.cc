#include "server/source_health.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::Watermarks;

const TimestampNs kHealthStart = *parse_timestamp("2026-11-20T08:00:00Z");

struct Network {
  void flow(const char* exporter) {
    FlowBatchBuilder b;
    b.begin_row();
    b.set_time(ColumnId::flow_end, now - kSecond);
    b.set_uint(ColumnId::source, static_cast<uint64_t>(Source::netflow9));
    b.set_ip(ColumnId::exporter_ip, *parse_ip(exporter));
    watermarks.see(b.finish(), now);
  }
  // What was said, one word a change: "+10.0.0.1" or "-10.0.0.1".
  std::string look() {
    std::string said;
    health.look(watermarks, now, [&](const Episode& e, EpisodeChange change) {
      said += (change == EpisodeChange::started ? "+" : change == EpisodeChange::ended ? "-" : "?") + e.key.substr(e.key.rfind('=') + 1) + " ";
      latest = e;
    });
    return said;
  }
  Watermarks watermarks;
  SourceHealth health;
  TimestampNs now = kHealthStart;
  Episode latest;
};

TEST(SourceHealth, TellsOfASourceThatFellSilentAndCameBack) {
  Network n;
  for (int minute = 0; minute <= 60; ++minute, n.now += kMinute) {
    n.flow("10.0.0.1");
    n.flow("10.0.0.2");
    EXPECT_EQ(n.look(), "");
  }
  n.now -= kMinute;
  const TimestampNs silent_from = n.now;
  for (int minute = 1; minute <= 40; ++minute) {
    n.now += kMinute;
    n.flow("10.0.0.2");
    EXPECT_EQ(n.look(), minute == 15 ? "+10.0.0.1 " : "") << minute;
  }
  EXPECT_EQ(n.latest.rule, "source silent");
  EXPECT_EQ(n.latest.start, silent_from);
  EXPECT_EQ(n.latest.key, "source=netflow9 exporter_ip=10.0.0.1");
  const std::string id = n.latest.id;
  // A restart in between, after an hour without the server: nobody was silent for that.
  Network again;
  again.now = n.now + kHour;
  for (auto [key, state] : n.watermarks.sources()) {
    state.unheard += kHour;
    again.watermarks.restore(key, state);
  }
  EXPECT_EQ(Watermarks::silent_for(again.watermarks.sources().begin()->second, again.now), 40 * kMinute);
  again.health.restore(n.latest, again.now);
  EXPECT_EQ(again.look(), "");
  again.now += 5 * kMinute;
  again.flow("10.0.0.2");
  EXPECT_EQ(again.look(), "");
  again.flow("10.0.0.1");
  EXPECT_EQ(again.look(), "-10.0.0.1 ");
  EXPECT_EQ(again.latest.id, id);
  // The silence was out of the ordinary and is not learned.
  again.now += 15 * kMinute;
  EXPECT_EQ(again.look(), "+10.0.0.1 +10.0.0.2 ");
}

TEST(SourceHealth, KnowsWhatIsOrdinary) {
  Network n;
  // Once an hour; and once only.
  n.flow("10.0.0.9");
  for (int hour = 0; hour < 5; ++hour, n.now += kHour) {
    n.flow("10.0.0.1");
    EXPECT_EQ(n.look(), "");
  }
  n.now += 59 * kMinute;
  EXPECT_EQ(n.look(), "");
  n.now += 2 * kMinute;
  EXPECT_EQ(n.look(), "+10.0.0.1 ");
}

}  // namespace
}  // namespace sluice::server
