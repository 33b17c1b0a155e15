#include "server/delivery/alert_shape.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/server/delivery/example.h"

namespace sluice::delivery {
namespace {

using nlohmann::json;
using Pairs = std::vector<std::pair<std::string_view, std::string>>;

std::string cef(std::string_view name, const Pairs& extension) { return cef_line({"security", "threatmanager", "1.0", "100", name, 10}, extension); }

// The examples of "Implementing ArcSight Common Event Format", revision 25, section "Character Encoding".
TEST(Cef, WritesTheExamplesOfItsGuide) {
  EXPECT_EQ(cef("detected a | in message", {{"src", "10.0.0.1"}, {"act", "blocked a |"}, {"dst", "1.1.1.1"}}),
            "CEF:0|security|threatmanager|1.0|100|detected a \\| in message|10|src=10.0.0.1 act=blocked a | dst=1.1.1.1");
  EXPECT_EQ(cef("detected a \\ in packet", {{"src", "10.0.0.1"}, {"act", "blocked a \\"}, {"dst", "1.1.1.1"}}),
            "CEF:0|security|threatmanager|1.0|100|detected a \\\\ in packet|10|src=10.0.0.1 act=blocked a \\\\ dst=1.1.1.1");
  EXPECT_EQ(cef("detected a = in message", {{"src", "10.0.0.1"}, {"act", "blocked a ="}, {"dst", "1.1.1.1"}}),
            "CEF:0|security|threatmanager|1.0|100|detected a = in message|10|src=10.0.0.1 act=blocked a \\= dst=1.1.1.1");
  EXPECT_EQ(cef_line({"Security", "threatmanager", "1.0", "100", "Detected a threat. No action needed.", 10}, Pairs{{"src", "10.0.0.1"}, {"msg", "Detected a threat.\n No action needed."}}),
            "CEF:0|Security|threatmanager|1.0|100|Detected a threat. No action needed.|10|src=10.0.0.1 msg=Detected a threat.\\n No action needed.");
}

TEST(AlertShape, CefNamesWhatReceiversKnow) {
  EXPECT_EQ(alert_text(example_notice(), AlertShape::cef),
            "CEF:0|Sluice|Sluice|0.1.0|ssh_guessing|ssh_guessing|8|rt=1795161901000 start=1795161600000 end=1795161900000 externalId=a1b2 act=started cnt=3 src=10.1.0.1 dpt=22 "
            "cs1=src_ip\\=10.1.0.1 cs1Label=key cs2=T1110.001 cs2Label=techniques cs3=brute_force cs3Label=tags "
            "cs4=from flows between 2026-11-20T08:00:00Z and 2026-11-20T08:05:00Z | where src_ip \\=\\= 10.1.0.1 cs4Label=query msg=10.1.0.1 tried SSH 12 times");
  Notice v6 = example_notice();
  v6.alert.values.clear();
  append_extra(v6.alert.values, "dst_ip", "2001:db8::1");
  EXPECT_NE(alert_text(v6, AlertShape::cef).find(" c6a3=2001:db8::1 c6a3Label=Destination IPv6 Address "), std::string::npos);
}

TEST(AlertShape, PlainIsTheMessageAndWhatIdentifiesIt) {
  EXPECT_EQ(alert_text(example_notice(), AlertShape::plain),
            "10.1.0.1 tried SSH 12 times [rule=\"ssh_guessing\" severity=high event=started key=\"src_ip=10.1.0.1\" start=2026-11-20T08:00:00Z id=a1b2]");
}

TEST(AlertShape, EcsHasWhatEcsRequiresOfAnAlert) {
  const json j = json::parse(alert_text(example_notice(), AlertShape::ecs));
  EXPECT_EQ(j["@timestamp"], "2026-11-20T08:05:01Z");
  EXPECT_EQ(j["event"]["kind"], "alert");
  EXPECT_EQ(j["event"]["severity"], 73);
  EXPECT_EQ(j["source"]["ip"], "10.1.0.1");
  EXPECT_EQ(j["destination"], json({{"port", 22}}));
  EXPECT_EQ(j["rule"]["name"], "ssh_guessing");
  EXPECT_EQ(j["threat"]["technique"], json::parse(R"({"id":["T1110"],"subtechnique":{"id":["T1110.001"]}})"));
  EXPECT_EQ(j["sluice"]["alert"]["values"]["tries"], "12");
}

TEST(AlertShape, OcsfIsADetectionFinding) {
  const json j = json::parse(alert_text(example_notice(), AlertShape::ocsf));
  for (const char* required : {"activity_id", "category_uid", "class_uid", "finding_info", "metadata", "severity_id", "time", "type_uid"}) EXPECT_TRUE(j.contains(required)) << required;
  EXPECT_EQ(j["class_uid"], 2004);
  EXPECT_EQ(j["category_uid"], 2);
  EXPECT_EQ(j["type_uid"], 200401);
  EXPECT_EQ(j["severity_id"], 4);
  EXPECT_EQ(j["time"], 1795161901000);
  EXPECT_EQ(j["finding_info"]["uid"], "a1b2");
  EXPECT_EQ(j["finding_info"]["attacks"], json::parse(R"([{"technique":{"uid":"T1110"},"sub_technique":{"uid":"T1110.001"}}])"));
  EXPECT_EQ(j["evidences"], json::parse(R"([{"src_endpoint":{"ip":"10.1.0.1"}}])")) << "a port alone is no endpoint";
  Notice ended = example_notice();
  ended.event = Event::ended;
  const json closed = json::parse(alert_text(ended, AlertShape::ocsf));
  EXPECT_EQ(closed["activity_id"], 3);
  EXPECT_EQ(closed["type_uid"], 200403);
  EXPECT_EQ(closed["status_id"], 4);
}

TEST(AlertShape, NothingInAnAlertEndsALineAFieldOrAString) {
  const Notice n = hostile_notice();
  for (const AlertShape shape : {AlertShape::native, AlertShape::plain, AlertShape::cef, AlertShape::ecs, AlertShape::ocsf}) {
    const std::string text = alert_text(n, shape);
    for (const char c : text) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << static_cast<int>(shape);
    EXPECT_NO_THROW(json(text).dump()) << "valid UTF-8";
    const bool is_json = shape == AlertShape::native || shape == AlertShape::ecs || shape == AlertShape::ocsf;
    EXPECT_EQ(json::accept(text), is_json);
    if (!is_json) {
      EXPECT_EQ(text.find("\xe2\x80\xa8"), std::string::npos) << "a line end to some";
    }
  }
  const std::string line = alert_text(n, AlertShape::cef);
  // Seven bars that part, all others escaped.
  size_t bars = 0;
  for (size_t i = 0; i < line.find("rt="); ++i) {
    if (line[i] == '\\') ++i;
    else bars += line[i] == '|';
  }
  EXPECT_EQ(bars, 7u);
  // A value that is no address is not given as one, and one with a pair in it is not a port.
  EXPECT_EQ(line.find(" src="), std::string::npos);
  EXPECT_EQ(line.find(" dst="), std::string::npos);
  EXPECT_EQ(line.find(" spt="), std::string::npos);
  EXPECT_NE(line.find("c\\=d"), std::string::npos);
  const std::string plain = alert_text(n, AlertShape::plain);
  EXPECT_NE(plain.find("e\\r\\nSubject: x\\r\\n.\\r\\n<!channel>"), std::string::npos);
  EXPECT_NE(plain.find("\\x00\\x1b[31m"), std::string::npos);
  EXPECT_NE(plain.find("\\x85"), std::string::npos);
}

TEST(Notice, IdsAreTheSameForTheSameAndOthersForOthers) {
  Notice n = example_notice();
  const std::string id = notice_id(n.alert, Event::started);
  EXPECT_EQ(id.size(), 32u);
  n.alert.last += kMinute;
  EXPECT_EQ(notice_id(n.alert, Event::started), id) << "an alert starts once";
  const std::string ended = notice_id(n.alert, Event::ended);
  EXPECT_NE(ended, id);
  n.alert.last += kMinute;
  EXPECT_NE(notice_id(n.alert, Event::ended), ended) << "it resumed, and ended again";
  const Notice both[] = {example_notice(), hostile_notice()};
  EXPECT_EQ(group_id({both, 1}), both[0].id);
  EXPECT_NE(group_id(both), both[0].id);
  EXPECT_EQ(group_id(both), group_id(both));
}

TEST(Notice, ComesBackFromItsRecord) {
  for (const Notice& n : {example_notice(), hostile_notice()}) {
    const auto back = from_record(to_record(n));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->id, n.id);
    EXPECT_EQ(back->event, n.event);
    EXPECT_EQ(back->at, n.at);
    EXPECT_EQ(back->alert.start, n.alert.start);
    EXPECT_EQ(back->alert.severity, n.alert.severity);
  }
  EXPECT_EQ(from_record(to_record(example_notice()))->alert, example_notice().alert);
  for (const char* bad : {"", "{}", "[1]", "{\"id\":1}", "nonsense"}) EXPECT_FALSE(from_record(bad));
}

TEST(Notice, ATextIsCutBetweenCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcdef", 5), "ab…");
  EXPECT_EQ(shortened("äöü", 5), "ä…");
  EXPECT_EQ(shortened("äöü", 4), "…");
}

}  // namespace
}  // namespace sluice::delivery
