// What is said of an example that did not come out as it should: the flow or the group that came nearest, and what it misses.
#include "query/continuous/example_reason.h"

#include <gtest/gtest.h>

#include "query/continuous/example.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

// What is said of the rule's one example.
std::string said(const std::string& text, const CompileOptions& options = {}) {
  const auto rule = rule_of(text, options);
  if (!rule) return {};
  const auto results = run_examples(rule);
  EXPECT_EQ(results.size(), 1u);
  EXPECT_FALSE(results.front().passed) << text;
  return results.front().detail;
}

TEST(ExampleReason, NamesTheFlowThatCameNearestToTheFilter) {
  EXPECT_EQ(said("create rule r as from flows | where proto == tcp and dst_port == 22 | stats n = count() by src_ip window 5m | where n > 3 alert by src_ip "
                 "fires ('2 flows proto=udp dst_port=22; 40 flows at 1m over 1m proto=tcp dst_port=23; 1 flow at 3m proto=udp dst_port=99')"),
            "none of 43 flows meets the filter: proto == tcp (40 do), dst_port == 22 (2 do)\n"
            "flow 1: proto == tcp is false (proto = udp)");
  EXPECT_EQ(said("create rule r parameters ('ports=22,2222') as dst_port in $ports and packets > 5 alert by src_ip fires ('1 flow dst_port=23; 1 flow at 1m dst_port=2222 packets=4')"),
            "none of 2 flows meets the filter: dst_port in (22, 2222) (1 does), packets > 5 (0 do)\n"
            "flow 2: packets > 5 is false (packets = 4)");
  // A name of both sides, a computed column, a null.
  EXPECT_EQ(said("create rule r as ip in 10.0.0.0/8 alert by src_ip fires ('1 flow src_ip=192.0.2.1 dst_ip=192.0.2.2')"),
            "none of 1 flow meets the filter: ip in 10.0.0.0/8\nflow 1: ip in 10.0.0.0/8 is false (src_ip = 192.0.2.1, dst_ip = 192.0.2.2)");
  EXPECT_EQ(said("create rule r as from flows | extend each = bytes / packets | where each > 100 alert by src_ip fires ('1 flow bytes=120 packets=2')"),
            "none of 1 flow meets the filter: each > 100\nflow 1: each > 100 is false (each = 60)");
  EXPECT_EQ(said("create rule r as action == reject alert by src_ip fires ('1 flow')"), "none of 1 flow meets the filter: action == reject\nflow 1: action == reject is false (action = null)");
}

TEST(Examples, AreRunUntilItIsEnough) {
  for (const char* kind : {"", " every 1m over 1m"}) {
    const auto rule = rule_of("create rule r" + std::string(kind) + " as dst_port == 22 | stats n = count() by src_ip" + (*kind ? "" : " window 1m") +
                              " alert by src_ip fires ('9 flows over 1h dst_port=22', '1 flow dst_port=22') quiet ('1 flow dst_port=23')");
    ASSERT_TRUE(rule);
    size_t asked = 0;
    EXPECT_EQ(run_examples(rule, [&] { return ++asked == 0; }).size(), 3u);
    EXPECT_GT(asked, 12u);  // in the midst of the first one, too
    // It stays so once it is said; of the example under way nothing is known.
    for (const size_t enough : {size_t{1}, size_t{5}}) {
      asked = 0;
      EXPECT_TRUE(run_examples(rule, [&] { return ++asked >= enough; }).empty());
    }
    asked = 0;
    const auto all = run_examples(rule);
    const auto some = run_examples(rule, [&] { return ++asked > 70; });
    ASSERT_LE(some.size(), 3u);
    for (size_t i = 0; i < some.size(); ++i) EXPECT_EQ(some[i].text, all[i].text);
  }
}

TEST(ExampleReason, NamesAnExceptionAndAnEmptyList) {
  EXPECT_EQ(said("create rule r except ('src_ip == 10.0.0.5 -- the scanner') as dst_port == 22 alert by src_ip fires ('1 flow src_ip=10.0.0.5 dst_port=22')"),
            "none of 1 flow meets the filter: not src_ip == 10.0.0.5 (0 do), dst_port == 22 (1 does)\n"
            "flow 1: not src_ip == 10.0.0.5 is false (src_ip = 10.0.0.5)");
  CompileOptions options;
  options.any_list = true;
  EXPECT_EQ(said("create rule r as dst_ip in @bad alert by src_ip fires ('1 flow dst_ip=203.0.113.1')", options),
            "none of 1 flow meets the filter: dst_ip in @bad\nflow 1: dst_ip in @bad is false (dst_ip = 203.0.113.1)\n"
            "@bad is empty in this example: say what it holds with '@bad = …;'");
}

TEST(ExampleReason, HoldsTheFullestWindowsGroupsAgainstTheCondition) {
  EXPECT_EQ(said("create rule r parameters ('limit=100') as from flows | where proto == tcp | stats ports = dcount(dst_port) by src_ip window 5m slide 1m | where ports > $limit alert by src_ip "
                 "fires ('7 flows over 1m src_ip=10.0.0.5 proto=tcp dst_port=1..; 90 flows over 4m src_ip=10.0.0.6 proto=tcp dst_port=1..; 1 flow proto=udp')"),
            "97 of 98 flows meet the filter; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T00:05:00Z, none of 2 groups meets: ports > 100\n"
            "src_ip=10.0.0.6: ports > 100 is false (ports = 90)");
  // Less is nearer where less is asked for; of two conditions each is counted.
  EXPECT_EQ(said("create rule r as from flows | stats n = count(), mean = avg(bytes) by src_ip window 1m | where n >= 3 and mean < 100 alert by src_ip "
                 "fires ('5 flows src_ip=10.0.0.5 bytes=900; 5 flows src_ip=10.0.0.6 bytes=200; 1 flow src_ip=10.0.0.7 bytes=60')"),
            "11 flows; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T00:01:00Z, none of 3 groups meets: n >= 3 (2 do), mean < 100 (1 does)\n"
            "src_ip=10.0.0.7: n >= 3 is false (n = 1)");
  EXPECT_EQ(said("create rule r overrides ('limit=500 where src_ip == 10.0.0.6') parameters ('limit=10') as from flows | stats n = count() by src_ip window 1m | where n > $limit alert by src_ip "
                 "fires ('20 flows src_ip=10.0.0.6')"),
            "20 flows; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T00:01:00Z, none of 1 group meets: n > case(src_ip == 10.0.0.6, 500, 10)\n"
            "src_ip=10.0.0.6: n > case(src_ip == 10.0.0.6, 500, 10) is false (n = 20, src_ip = 10.0.0.6)");
}

TEST(ExampleReason, KnowsSessionsSequencesAndWhatIsAsked) {
  EXPECT_EQ(said("create rule r as dst_port == 22 | stats lasted = max(ts) - min(ts) by src_ip window session gap 10m | where lasted > 4h alert by src_ip "
                 "fires ('13 flows over 2h src_ip=10.0.0.5 dst_port=22')"),
            "13 of 13 flows meet the filter; none of 1 group meets: lasted > 4h\nsrc_ip=10.0.0.5: lasted > 4h is false (lasted = 2h)");
  EXPECT_EQ(said("create rule r as proto == tcp | sequence by src_ip within 1m [dst_port == 1] then [dst_port == 2] alert by src_ip fires ('1 flow src_ip=10.0.0.5 proto=tcp dst_port=1')"),
            "1 of 1 flow meets the filter; 'sequence by src_ip within 1m [dst_port == 1] then [dst_port == 2]' makes no row of 1 flow");
  EXPECT_EQ(said("create rule r every 10m over 1h as proto == tcp | stats n = count() by src_ip | where n > 10 | sort n desc alert by src_ip fires ('5 flows over 5m src_ip=10.0.0.5 proto=tcp')"),
            "5 of 5 flows meet the filter; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T01:00:00Z, none of 1 group meets: n > 10\n"
            "src_ip=10.0.0.5: n > 10 is false (n = 5)");
}

TEST(ExampleReason, SaysWhatDidNotLastAndWhatWasKnown) {
  EXPECT_EQ(said("create rule r for 5m as dst_port == 22 | stats n = count() by src_ip window 1m | where n > 3 alert by src_ip fires ('40 flows over 2m src_ip=10.0.0.5 dst_port=22')"),
            "40 of 40 flows meet the filter; in the window that has the most of them, 2026-11-23T00:00:00Z to 2026-11-23T00:01:00Z, 1 group matches\n"
            "src_ip=10.0.0.5 matched without a break from 2026-11-23T00:00:00Z to 2026-11-23T00:02:00Z, and 'for 5m' asks for longer");
  EXPECT_EQ(said("create rule r as dst_port == 22 alert by src_ip fires ('')"), "the example has no flow");
}

TEST(ExampleReason, SaysWhatAnAlertThatShouldNotBeIsMadeOf) {
  EXPECT_EQ(said("create rule r as dst_port == 22 | stats n = count() by src_ip window 1m | where n > 3 alert by src_ip message '{src_ip} again' "
                 "quiet ('4 flows src_ip=10.0.0.5 dst_port=22; 9 flows src_ip=10.0.0.6 dst_port=22')"),
            "10.0.0.5 again\nin the window from 2026-11-23T00:00:00Z to 2026-11-23T00:01:00Z: src_ip = 10.0.0.5, n = 4\nand 1 more alert");
}

}  // namespace
}  // namespace sluice::query::continuous
