// Exceptions, overrides and ladders: FlowQL that options put into a rule's query, on streams and in answers.
#include "query/continuous/rule_options.h"

#include <gtest/gtest.h>

#include "grammar/print.h"
#include "query/continuous/example.h"
#include "query/continuous/stream.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

std::vector<Episode> alerts(const std::string& text, const std::string& flows) {
  auto rule = compiled(text);
  if (auto* error = std::get_if<QueryError>(&rule)) {
    ADD_FAILURE() << text << ": " << error->message << "\n" << error->caret;
    return {};
  }
  auto found = run_example(std::get<RulePtr>(rule), flows);
  EXPECT_TRUE(found.ok()) << found.error().message;
  return found.ok() ? std::move(found).value() : std::vector<Episode>{};
}

// Examples begin on 2026-11-23.
TEST(RuleOptions, TechniquesAreIds) {
  for (const char* good : {"T1046", "T1021.004", "TA0043"}) EXPECT_TRUE(rule_of(std::string("create rule r technique \"") + good + "\" as dst_port == 1"));
  for (const char* bad : {"", "foo bar", "T104", "T10466", "T1046.1", "T1046.0001", "T1046x004", "t1046", "TA43"})
    EXPECT_NE(refused(std::string("create rule r technique \"") + bad + "\" as dst_port == 1").find("is no id of an ATT&CK technique"), std::string::npos) << bad;
}

TEST(Exceptions, LeaveFlowsOutUntilTheyExpire) {
  for (const char* kind : {"", " every 1m over 1m"}) {
    const std::string head = std::string("create rule r") + kind;
    const std::string body = " as dst_port == 23 | stats n = count() by src_ip" + std::string(*kind ? "" : " window 1m") + " alert by src_ip";
    const std::string flows = "1 flow src_ip=10.0.0.5 dst_port=23; 1 flow src_ip=10.0.0.6 dst_port=23; 1 flow at 2h src_ip=10.0.0.5 dst_port=23";
    EXPECT_EQ(alerts(head + body, flows).size(), 3u);
    EXPECT_EQ(alerts(head + " except (\"src_ip == 10.0.0.5 -- the scanner\")" + body, flows).size(), 1u);
    EXPECT_EQ(alerts(head + " except (\"src_ip == 10.0.0.5 until 2026-11-23T01:00:00Z -- the scanner\")" + body, flows).size(), 2u);
    EXPECT_EQ(alerts(head + " except (\"src_ip == 10.0.0.5\", \"src_ip in 10.0.0.6/32 and dst_port == 23\")" + body, flows).size(), 0u);
    // What the source did not say meets no condition.
    EXPECT_EQ(alerts(head + " except (\"dst_ip == 10.9.9.9\")" + body, flows).size(), 3u);
  }
  EXPECT_EQ(refused("create rule r except (\"src_prt == 5\") as dst_port == 1"), "in the exception 'src_prt == 5': unknown column 'src_prt'");
  EXPECT_EQ(refused("create rule r except (\"src_port == 5 until tomorrow\") as dst_port == 1"), "an exception holds until a time, as in 'until 2027-01-31'");
  EXPECT_EQ(refused("create rule r except (\" -- why\") as dst_port == 1"), "an exception is a condition, then perhaps 'until' and a time, then perhaps '--' and why");
  std::string many = "create rule r except (\"src_port == 0\"";
  for (int i = 1; i < 100; ++i) many += ", \"src_port == " + std::to_string(i) + "\"";
  EXPECT_EQ(refused(many + ") as dst_port == 1"), "taken");
  EXPECT_EQ(refused(many + ", \"src_port == 100\") as dst_port == 1"), "'except' takes at most 100 conditions");
}

TEST(Exceptions, SayUntilWhenTheyHold) {
  EXPECT_EQ(exception_end("src_ip == 10.0.0.5 until 2026-11-23 -- until it is moved"), 1'795'392'000 * kSecond);
  EXPECT_EQ(exception_end("src_ip == 10.0.0.5 until 2026-11-23T00:00:01Z"), 1'795'392'001 * kSecond);
  for (const char* never : {"src_ip == 10.0.0.5", "src_ip == 10.0.0.5 -- until 2026-11-23", "src_ip == 10.0.0.5 until tomorrow", "", "until 2026-11-23"})
    EXPECT_EQ(exception_end(never), std::nullopt) << never;
}

TEST(Overrides, GiveSomeKeysOtherThresholds) {
  const std::string flows = "9 flows src_ip=10.0.0.5 dst_port=22; 9 flows src_ip=10.0.0.6 dst_port=22";
  for (const char* kind : {"", " every 1m over 1m"}) {
    const std::string body = std::string(kind) + " as dst_port == 22 | stats n = count() by src_ip" + (*kind ? "" : " window 1m") + " | where n >= $limit alert by src_ip";
    EXPECT_EQ(alerts("create rule r parameters (\"limit=5\")" + body, flows).size(), 2u);
    const auto found = alerts("create rule r parameters (\"limit=5\") overrides (\"limit=50 where src_ip == 10.0.0.6\")" + body, flows);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].key, "src_ip=10.0.0.5");
    EXPECT_EQ(alerts("create rule r parameters (\"limit=50\") overrides (\"limit=9 where src_ip in 10.0.0.0/29\", \"limit=1 where src_ip == 10.0.0.5\")" + body, flows).size(), 2u);
  }
  // It can still alert before the window is over.
  auto rule = compiled("create rule r parameters (\"limit=5\") overrides (\"limit=50 where src_ip == 10.0.0.6\") as dst_port == 22 | stats n = count() by src_ip window 1m | where n >= $limit");
  ASSERT_TRUE(std::holds_alternative<RulePtr>(rule));
  EXPECT_TRUE(std::get<RulePtr>(rule)->is_rising);
  const std::string body = " as dst_port == 22 | stats n = count() by src_ip window 1m | where n >= $limit";
  EXPECT_EQ(refused("create rule r parameters (\"limit=5\") overrides (\"most=5 where src_ip == 10.0.0.6\")" + body), "the rule has no parameter 'most' to override");
  EXPECT_EQ(refused("create rule r parameters (\"limit=5\") overrides (\"limit=5\")" + body), "an override is written \"limit=500 where src_ip == 10.0.0.9\"");
  EXPECT_EQ(refused("create rule r parameters (\"limit=5\") overrides (\"limit=6 where dst_ip == 10.0.0.6\")" + body).substr(0, 21), "with its overrides: u");
}

TEST(Labels, NameAColumnAListAndATime) {
  const auto rule = rule_of("create rule r label (\"SRC_IP in @Suspects for 7d\", \"dst_port in @ports for 1m\") as dst_port in (22, 23) | stats n = count() by src_ip, dst_port window 1m alert by src_ip");
  ASSERT_TRUE(rule);
  ASSERT_EQ(rule->labels.size(), 2u);
  EXPECT_EQ(rule->labels[0].column, "src_ip");
  EXPECT_EQ(rule->labels[0].list, "Suspects");
  EXPECT_EQ(rule->labels[0].lifetime, 7 * kDay);
  // A rule over single flows, and one that is asked.
  EXPECT_EQ(refused("create rule r label (\"src_ip in @s for 1d\") as dst_port == 22 alert by src_ip"), "taken");
  EXPECT_EQ(refused("create rule r label (\"src_ip in @s for 1d\") every 1m as dst_port == 22 | stats n = count() by src_ip alert by src_ip"), "taken");

  const auto label = [](const std::string& text) { return refused("create rule r label (\"" + text + "\") as dst_port == 22 | stats n = count(), m = avg(bytes) by src_ip window 1m alert by src_ip"); };
  for (const char* wrong : {"src_ip", "src_ip in @s", "src_ip in @s for ever", "src_ip not in @s for 1d", "src_ip in (@s, @t) for 1d", "src_ip in 10.0.0.0/8 for 1d", "src_ip == 10.0.0.1 for 1d", "1 in @s for 1d"})
    EXPECT_EQ(label(wrong), "'" + std::string(wrong) + "' is no label, as \"src_ip in @suspects for 7d\" is");
  EXPECT_EQ(label("dst_ip in @s for 1d"), "the rule's rows have no column 'dst_ip' to label");
  EXPECT_EQ(label("m in @s for 1d"), "what 'm' has can't be in a list");
  EXPECT_EQ(label("src_ip in @s for 59s"), "a label lasts from 1m to 52w");
  EXPECT_EQ(label("src_ip in @s for 365d"), "a label lasts from 1m to 52w");
  EXPECT_EQ(label("src_ip in @s for 364d"), "taken");
  CompileOptions any;
  any.any_list = true;
  EXPECT_EQ(refused("create rule r label (\"src_ip in @Bad for 1d\") as dst_ip in @bad alert by src_ip", any), "a rule can't label into the list 'Bad', which it reads");
  std::string many = "create rule r label (\"src_ip in @s0 for 1d\"";
  for (int i = 1; i < 8; ++i) many += ", \"src_ip in @s" + std::to_string(i) + " for 1d\"";
  EXPECT_EQ(refused(many + ") as dst_port == 22 alert by src_ip"), "taken");
  EXPECT_EQ(refused(many + ", \"src_ip in @s8 for 1d\") as dst_port == 22 alert by src_ip"), "a rule puts at most 8 labels");
}

TEST(SeverityWhen, TheHighestThatHoldsWins) {
  const std::string rule = "create rule r severity low severity_when (\"high: n >= 20\", \"critical: n >= 40\", \"medium: n >= 10\") as dst_port == 22 | stats n = count() by src_ip window 1m | where n >= 5 alert by src_ip";
  const auto severity = [&](int flows) {
    const auto found = alerts(rule, std::to_string(flows) + " flows over 5s src_ip=10.0.0.5 dst_port=22");
    return found.size() == 1 ? std::string(to_string(found[0].severity)) : std::to_string(found.size()) + " alerts";
  };
  EXPECT_EQ(severity(4), "0 alerts");
  EXPECT_EQ(severity(5), "low");
  EXPECT_EQ(severity(19), "medium");
  EXPECT_EQ(severity(20), "high");
  EXPECT_EQ(severity(41), "critical");
  // A change within an alert is told.
  EpisodeBook book;
  std::vector<std::pair<EpisodeChange, Severity>> told;
  const auto compiled_rule = std::get<RulePtr>(compiled(rule));
  Stream stream;
  stream.add(make_state(compiled_rule, {}));
  for (const char* flows : {"6 flows src_ip=10.0.0.5 dst_port=22", "30 flows at 1s src_ip=10.0.0.5 dst_port=22", "10 flows at 2s src_ip=10.0.0.5 dst_port=22"})
    for (const auto& made = example_flows(flows); const auto& batch : *made)
      stream.push(batch, batch->columns[*batch->find(ColumnId::flow_end)].values<int64_t>()[0],
                  [&](const Finding& f) { book.take(f, 0, [&](const Episode& e, EpisodeChange change) { told.emplace_back(change, e.severity); }); });
  EXPECT_EQ(told, (std::vector<std::pair<EpisodeChange, Severity>>{{EpisodeChange::started, Severity::low}, {EpisodeChange::updated, Severity::high}, {EpisodeChange::updated, Severity::critical}}));
  EXPECT_EQ(refused("create rule r severity_when (\"grave: flows > 1\") as dst_port == 22 alert by src_ip"), "'grave: flows > 1' does not begin with a severity and ':', as \"high: hosts > 1000\" does");
  EXPECT_EQ(refused("create rule r severity_when (\"high: flows > 1\", \"high: flows > 2\") as dst_port == 22 alert by src_ip"), "the severity 'high' is there twice");
  EXPECT_EQ(refused("create rule r severity_when (\"high: hosts > 1\") as dst_port == 22 | stats n = count() by src_ip window 1m").substr(0, 38), "in severity_when: unknown column 'host");
}

TEST(SeverityWhen, SaysWhatItCouldAskFor) {
  const auto hint = [](const std::string& text) {
    auto rule = compiled(text);
    const auto* error = std::get_if<QueryError>(&rule);
    return error ? error->message + ": " + error->hint : "taken";
  };
  const std::string of_single = "of single flows a rule's rows have the columns of 'alert by', those that the message names, and 'flows'";
  EXPECT_EQ(hint("create rule r severity_when (\"high: hosts > 1\") as dst_port == 22"), "in severity_when: unknown column 'hosts': the one column here is 'flows'; " + of_single);
  EXPECT_EQ(hint("create rule r severity_when (\"high: bytes > 1GB\") as dst_port == 22 alert by src_ip"), "in severity_when: unknown column 'bytes': the columns here are 'src_ip', 'flows'; " + of_single);
  EXPECT_EQ(hint("create rule r severity_when (\"high: bytes > 1GB\") as dst_port == 22 alert by src_ip message '{bytes}'"), "taken");
  EXPECT_EQ(hint("create rule r severity_when (\"high: flow > 1\") as dst_port == 22"), "in severity_when: unknown column 'flow': did you mean 'flows'?; " + of_single);
  EXPECT_EQ(hint("create rule r severity_when (\"high: hosts > 1\") as dst_port == 22 | stats n = count() by src_ip window 1m"), "in severity_when: unknown column 'hosts': the columns here are 'src_ip', 'n'");
}

TEST(Mode, SilentAlertsSaySo) {
  const auto silent = alerts("create rule r mode silent as dst_port == 22 alert by src_ip", "1 flow src_ip=10.0.0.5 dst_port=22");
  ASSERT_EQ(silent.size(), 1u);
  EXPECT_TRUE(silent[0].is_silent);
  EXPECT_FALSE(alerts("create rule r mode live as dst_port == 22 alert by src_ip", "1 flow src_ip=10.0.0.5 dst_port=22")[0].is_silent);
  EXPECT_EQ(refused("create rule r mode quiet as dst_port == 22"), "'quiet' is no mode");
}

// The query that shows an alert's flows can be run as it stands.
TEST(FlowsQuery, HasValuesInPlaceOfParameters) {
  const auto found = alerts("create rule r parameters (\"ports=22,2222\", \"least=3\") as dst_port in $ports and packets < $least | stats n = count() by src_ip window 1m alert by src_ip",
                            "1 flow src_ip=10.0.0.5 dst_port=2222");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].query.find("dst_port in (22, 2222) and packets < 3"), std::string::npos) << found[0].query;
  EXPECT_EQ(found[0].query.find('$'), std::string::npos) << found[0].query;
}

}  // namespace
}  // namespace sluice::query::continuous
