// The bytes that go out: chats, syslog, e-mail; from the standards' own examples where they have some.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ingest/receive/digest.h"
#include "server/delivery/chat_sender.h"
#include "server/delivery/kafka_sender.h"
#include "server/delivery/mail_sender.h"
#include "server/delivery/syslog_sender.h"
#include "tests/unit/server/delivery/example.h"

namespace sluice::delivery {
namespace {

using nlohmann::json;

// RFC 5424 section 6.5, examples 1 and 2 (whose offset -07:00 is written as UTC here, and whose nanoseconds stop at six digits).
TEST(Syslog, WritesTheExamplesOfTheRfc) {
  const std::string su = "'su root' failed for lonvick on /dev/pts/8";
  EXPECT_EQ(syslog_message({4, 2, *parse_timestamp("2003-10-11T22:14:15.003Z"), "mymachine.example.com", "su", "", "ID47"}, su, true),
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " + su);
  EXPECT_EQ(syslog_message({20, 5, *parse_timestamp("2003-08-24T05:14:15.000003-07:00"), "192.0.2.1", "myproc", "8710", ""}, "%% It's time to make the do-nuts.", true),
            "<165>1 2003-08-24T12:14:15.000003Z 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.");
  EXPECT_EQ(syslog_message({16, 6, *parse_timestamp("2026-11-20T08:00:00.123456789Z"), "h", "a", "", ""}, "x", true), "<134>1 2026-11-20T08:00:00.123456Z h a - - - x");
  EXPECT_EQ(syslog_message({16, 6, 0, "h", "a", "", ""}, "caf\xc3\xa9", true), "<134>1 1970-01-01T00:00:00Z h a - - - \xef\xbb\xbf" "caf\xc3\xa9");
  EXPECT_EQ(syslog_message({16, 6, 0, "h", "a", "", ""}, "caf\xc3\xa9", false), "<134>1 1970-01-01T00:00:00Z h a - - - caf\xc3\xa9");
}

TEST(Syslog, AFieldOfTheHeaderStaysOne) {
  EXPECT_EQ(syslog_message({16, 6, 0, "my host\n<0>1", "a]b", std::string("\0", 1), std::string(40, 'x')}, "m", false),
            "<134>1 1970-01-01T00:00:00Z my_host_<0>1 a]b _ " + std::string(32, 'x') + " - m");
}

// RFC 6587 section 3.4.1: the length counts octets of the message alone.
TEST(Syslog, CountsOctets) {
  EXPECT_EQ(octet_counted("<34>1 x"), "7 <34>1 x");
  EXPECT_EQ(octet_counted("\xc3\xa9"), "2 \xc3\xa9");
  EXPECT_EQ(octet_counted(""), "0 ");
}

TEST(Slack, ShowsEverythingFromOutsideAsPlainText) {
  const Notice n = hostile_notice();
  const json j = json::parse(slack_body({&n, 1}));
  EXPECT_EQ(j["text"].get<std::string>().find('<'), std::string::npos);
  EXPECT_NE(j["text"].get<std::string>().find("&lt;!channel&gt;"), std::string::npos);
  EXPECT_EQ(j["blocks"].size(), 3u);
  EXPECT_EQ(j.dump().find("mrkdwn"), std::string::npos);
  EXPECT_EQ(j["blocks"][0]["text"]["type"], "plain_text");
  const Notice good = example_notice();
  const json g = json::parse(slack_body({&good, 1}));
  EXPECT_EQ(g["text"], "[high] ssh_guessing: 10.1.0.1 tried SSH 12 times");
  EXPECT_EQ(g["blocks"][0]["text"]["text"], "[high] ssh_guessing");
}

TEST(Slack, TextsEndWithWhatTheySay) {
  Notice n = example_notice();
  json j = json::parse(slack_body({&n, 1}));
  ASSERT_EQ(j["blocks"].size(), 3u);
  EXPECT_EQ(j["blocks"][1]["text"]["text"], "10.1.0.1 tried SSH 12 times");
  // Nothing said is no block: Slack refuses an empty text, and the message with it.
  n.alert.message.clear();
  j = json::parse(slack_body({&n, 1}));
  EXPECT_EQ(j["text"], "[high] ssh_guessing");
  ASSERT_EQ(j["blocks"].size(), 2u);
  EXPECT_EQ(j["blocks"][1]["type"], "context");
  // Teams has a line for each.
  EXPECT_NE(teams_body({&n, 1}).find("[high] ssh_guessing"), std::string::npos);
}

TEST(Slack, StaysWithinItsBounds) {
  std::vector<Notice> many(100, hostile_notice());
  for (Notice& n : many) n.alert.message = std::string(4'000, '\x01'), n.alert.rule = std::string(128, 'r');
  const json j = json::parse(slack_body(many));
  EXPECT_LE(j["blocks"].size(), 50u);
  for (const json& block : j["blocks"]) {
    const size_t most = block["type"] == "header" ? 150 : 3'000;
    if (block.contains("text")) {
      EXPECT_LE(block["text"]["text"].get<std::string>().size(), most);
    }
  }
  EXPECT_EQ(j["blocks"].back()["text"]["text"], "and " + std::to_string(100 - limits::kChatNoticesMax) + " more: from alerts");
}

TEST(Teams, IsAnAdaptiveCardWithoutMarkdownWithinItsBound) {
  std::vector<Notice> many(100, hostile_notice());
  for (Notice& n : many) n.alert.message = std::string(4'000, '"');
  const std::string body = teams_body(many);
  EXPECT_LT(body.size(), 28u << 10);
  const json j = json::parse(body);
  EXPECT_EQ(j["type"], "message");
  EXPECT_EQ(j["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
  const json& card = j["attachments"][0]["content"];
  EXPECT_EQ(card["type"], "AdaptiveCard");
  EXPECT_EQ(card["version"], "1.4");
  for (const json& block : card["body"]) {
    EXPECT_EQ(block["type"], "RichTextBlock");
    EXPECT_EQ(block["inlines"][0]["type"], "TextRun");
  }
}

TEST(Mail, HeadersStayHeaders) {
  EXPECT_EQ(mail_header_text("plain"), "plain");
  // RFC 2047's own way: "=?charset?B?…?=".
  EXPECT_EQ(mail_header_text("caf\xc3\xa9"), "=?utf-8?B?Y2Fmw6k=?=");
  EXPECT_EQ(mail_header_text("a\r\nBcc: x@y"), "a  Bcc: x@y");
  EXPECT_EQ(mail_header_text("=?utf-8?Q?x?=").substr(0, 10), "=?utf-8?B?");
  std::string characters;
  for (int i = 0; i < 200; ++i) characters += "\xe2\x82\xac";
  const std::string folded = mail_header_text(characters);
  std::string back;
  for (size_t at = 0; at < folded.size();) {
    const size_t end = std::min(folded.find("\r\n ", at), folded.size());
    const std::string word = folded.substr(at, end - at);
    EXPECT_LE(word.size(), 75u);
    ASSERT_TRUE(word.starts_with("=?utf-8?B?") && word.ends_with("?="));
    const auto bytes = ingest::from_base64(word.substr(10, word.size() - 12));
    ASSERT_TRUE(bytes);
    EXPECT_EQ(bytes->size() % 3, 0u) << "no character is parted";
    back += *bytes;
    at = end == folded.size() ? end : end + 3;
  }
  EXPECT_EQ(back, characters);
}

TEST(Mail, IsAMessageAsTheRfcHasIt) {
  const Notice n = example_notice();
  const std::string text = mail_message("sluice@example.net", {"noc@example.net", "me@example.org"}, {&n, 1}, *parse_timestamp("2026-11-20T08:05:01Z"));
  EXPECT_TRUE(text.starts_with("Date: Fri, 20 Nov 2026 08:05:01 +0000\r\nFrom: Sluice <sluice@example.net>\r\nTo: <noc@example.net>,\r\n <me@example.org>\r\n"
                               "Subject: [high] ssh_guessing: 10.1.0.1 tried SSH 12 times\r\nMessage-ID: <" +
                               n.id + "@example.net>\r\n"))
      << text;
  const Notice hostile = hostile_notice();
  for (const Notice& each : {n, hostile}) {
    const std::string message = mail_message("sluice@example.net", {"noc@example.net"}, {&each, 1}, 0);
    const size_t end = message.find("\r\n\r\n");
    std::vector<std::string> lines;
    for (size_t at = 0; at < message.size();) {
      const size_t stop = message.find("\r\n", at);
      ASSERT_NE(stop, std::string::npos);
      lines.push_back(message.substr(at, stop - at));
      EXPECT_LE(lines.back().size(), 76u) << lines.back();
      EXPECT_EQ(lines.back().find_first_of(std::string("\r\n\0", 3)), std::string::npos);
      EXPECT_NE(lines.back(), ".");
      at = stop + 2;
    }
    // No header but ours.
    size_t subjects = 0;
    for (const auto& line : lines) subjects += line.starts_with("Subject:");
    EXPECT_EQ(subjects, 1u);
    std::string body = message.substr(end + 4), encoded;
    for (const char c : body)
      if (c != '\r' && c != '\n') encoded += c;
    const auto decoded = ingest::from_base64(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_NE(decoded->find("Severity: high\r\n"), std::string::npos);
    EXPECT_EQ(decoded->find("\r\nSubject: x"), std::string::npos);
  }
}

TEST(Mail, TakesAddressesAndNothingElse) {
  for (const char* good : {"a@b", "noc+sluice@example.net"}) EXPECT_TRUE(is_mail_address(good)) << good;
  for (const char* bad : {"", "a", "@b", "a@", "a@b@c", "a@b\r\nRCPT TO:<x@y>", "<a@b>", "a b@c", "\"a\"@b", "a@b,c@d", "\xc3\xa9@b"}) EXPECT_FALSE(is_mail_address(bad)) << bad;
}

TEST(Targets, SayWhereADeclarationMakesNoSense) {
  const auto error = [](std::string kind, std::map<std::string, std::string> options) {
    auto settings = declared_target();
    settings.name = "t";
    settings.kind = std::move(kind);
    for (auto& [key, value] : options) settings.options[key] = {value, "f:1"};
    const auto target = read_target(std::move(settings));
    return target.ok() ? std::string() : target.error().message;
  };
  EXPECT_EQ(error("syslog", {{"address", "127.0.0.1:514"}}), "");
  EXPECT_EQ(error("syslog", {{"address", "[::1]:6514"}, {"transport", "tls"}, {"shape", "cef"}}), "");
  for (const char* bad : {"", "host", "host:", "host:0", "host:70000", "a b:1", "host/x:1", "::1:514"}) EXPECT_NE(error("syslog", {{"address", bad}}), "") << bad;
  EXPECT_NE(error("syslog", {{"address", "h:1"}, {"framing", "lines"}}).find("framing"), std::string::npos);
  EXPECT_NE(error("syslog", {{"address", "h:1"}, {"facility", "24"}}).find("0 to 23"), std::string::npos);
  EXPECT_NE(error("slack", {{"url", "https://hooks.slack.com/x"}}).find("whoever knows it"), std::string::npos);
  const std::map<std::string, std::string> mail{{"server", "m:25"}, {"from", "a@b"}, {"to", "c@d"}};
  const auto with = [&](std::map<std::string, std::string> more) {
    for (const auto& [k, v] : mail) more.emplace(k, v);
    return error("smtp", more);
  };
  EXPECT_EQ(with({}), "");
  EXPECT_NE(with({{"from", "nobody"}}).find("from"), std::string::npos);
  EXPECT_NE(with({{"to", "x@y,no"}}).find("'no'"), std::string::npos);
  EXPECT_NE(with({{"user", "me"}}).find("password_file"), std::string::npos);
  ASSERT_EQ(setenv("SLUICE_TEST_PASSWORD", "hush", 1), 0);
  EXPECT_EQ(with({{"user", "me"}, {"password_env", "SLUICE_TEST_PASSWORD"}}), "");
  EXPECT_NE(with({{"user", "me"}, {"password_env", "SLUICE_TEST_PASSWORD"}, {"tls", "none"}}).find("tls"), std::string::npos);
  EXPECT_NE(with({{"server", "m:25/x"}}).find("server"), std::string::npos);
  EXPECT_NE(with({{"hello", "a\r\nb"}}).find("hello"), std::string::npos);
  std::string many;
  for (size_t i = 0; i <= limits::kMailRecipientsMax; ++i) many += "a@b,";
  EXPECT_NE(with({{"to", many}}).find("more than"), std::string::npos);
  EXPECT_EQ(error("kafka", {{"brokers", "b:9092"}, {"topic", "alerts"}}), "");
  EXPECT_NE(error("kafka", {{"brokers", "b:9092"}, {"topic", "a b"}}).find("topic"), std::string::npos);
  EXPECT_NE(error("kafka", {{"brokers", "b:9092"}, {"topic", "a"}, {"security_protocol", "shouting"}}).find("brokers"), std::string::npos);
  EXPECT_NE(error("kafka", {{"brokers", "b:9092"}, {"topic", "a"}, {"fetch_min_bytes", "1"}}).find("is not known"), std::string::npos);
}

}  // namespace
}  // namespace sluice::delivery
