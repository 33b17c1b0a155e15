#include "server/delivery/outbox.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "server/delivery/webhook_sender.h"
#include "tests/unit/server/delivery/example.h"
#include "tests/unit/server/delivery/eventually.h"

namespace sluice::delivery {
namespace {

using query::continuous::EpisodeChange;

// What a target took, and what it says to what comes: a script of answers, then yes.
struct Receiver {
  std::mutex mutex;
  std::vector<std::vector<std::string>> messages;  // alert ids
  std::vector<std::string> ids, texts;
  std::vector<Event> events;
  std::function<Attempt(std::span<const Notice>)> answer;

  size_t count() {
    std::lock_guard lock(mutex);
    return ids.size();
  }
};

class Scripted final : public Sender {
 public:
  explicit Scripted(Receiver& receiver) : receiver_(receiver) {}
  Attempt send(std::span<const Notice> notices, TimestampNs) override {
    std::lock_guard lock(receiver_.mutex);
    Attempt attempt = receiver_.answer ? receiver_.answer(notices) : Attempt{};
    const size_t taken = attempt.status.ok() ? notices.size() : attempt.taken;
    std::vector<std::string> message;
    for (size_t i = 0; i < taken; ++i) {
      message.push_back(notices[i].alert.id);
      receiver_.ids.push_back(notices[i].alert.id);
      receiver_.texts.push_back(notices[i].alert.message);
      receiver_.events.push_back(notices[i].event);
    }
    if (taken > 0) receiver_.messages.push_back(message);
    return attempt;
  }

 private:
  Receiver& receiver_;
};

class AheadClock final : public Clock {
 public:
  TimestampNs now() const override { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count() + ahead; }
  std::atomic<DurationNs> ahead{0};
};

struct OutboxTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-outbox-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
  }
  void TearDown() override {
    outbox.reset();
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  Target target(Receiver& receiver, std::string name = "t", size_t together = 1) {
    Target t;
    t.name = std::move(name);
    t.kind = "scripted";
    t.events = 0xff;
    t.together = together;
    t.make = [&receiver](const std::function<bool()>&) -> Result<std::unique_ptr<Sender>> { return std::unique_ptr<Sender>(std::make_unique<Scripted>(receiver)); };
    return t;
  }
  void open(std::vector<Target> targets) {
    outbox.reset();
    outbox = std::move(*Outbox::open(std::move(targets), *catalog, clock));
  }
  void note(const std::string& id, EpisodeChange change = EpisodeChange::started, Severity severity = Severity::high) {
    Notice n = example_notice();
    n.alert.id = id;
    n.alert.severity = severity;
    outbox->note(n.alert, change, clock.now());
  }
  void commit() {
    catalog::Write write;
    outbox->write(write);
    ASSERT_TRUE(catalog->commit(write, catalog::Sync::no).ok());
    outbox->committed();
  }
  size_t kept() {
    size_t n = 0;
    EXPECT_TRUE(catalog->scan(catalog::Keyspace::outbox, "n\n", [&](std::string_view, std::string_view) { return ++n, true; }).ok());
    return n;
  }

  std::string directory;
  AheadClock clock;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<Outbox> outbox;
};

TEST_F(OutboxTest, TellsInOrderAndForgetsWhatWasTaken) {
  Receiver r;
  open({target(r)});
  outbox->start();
  for (int i = 0; i < 5; ++i) note("a" + std::to_string(i));
  note("u", EpisodeChange::updated);
  note("p", EpisodeChange::pending);
  commit();
  note("a0", EpisodeChange::ended);
  commit();
  ASSERT_TRUE(eventually([&] { return r.count() == 6; }));
  EXPECT_EQ(r.ids, (std::vector<std::string>{"a0", "a1", "a2", "a3", "a4", "a0"}));
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].waiting == 0; }));
  EXPECT_EQ(kept(), 0u);
  EXPECT_EQ(outbox->status()[0].delivered, 6u);
}

TEST_F(OutboxTest, AnAlertThatBecomesSevererIsToldToThoseWhoWantThat) {
  Receiver all, high;
  Target only = target(high, "high");
  only.severity = Severity::high;
  open({target(all, "all"), only});
  outbox->start();
  note("a", EpisodeChange::started, Severity::low);
  note("a", EpisodeChange::updated, Severity::low);
  note("a", EpisodeChange::updated, Severity::high);
  note("a", EpisodeChange::updated, Severity::high);
  note("a", EpisodeChange::updated, Severity::medium);
  note("a", EpisodeChange::updated, Severity::high);
  note("a", EpisodeChange::ended, Severity::low);  // as its last window was
  commit();
  ASSERT_TRUE(eventually([&] { return all.count() == 3 && high.count() == 2; }));
  EXPECT_EQ(all.events, (std::vector<Event>{Event::started, Event::raised, Event::ended}));
  EXPECT_EQ(high.events, (std::vector<Event>{Event::raised, Event::ended}));
}

TEST(NoticeId, OfWhatIsToldAgainIsAnother) {
  auto alert = example_notice().alert;
  alert.severity = Severity::high;
  alert.run_start = alert.start;
  const auto first = notice_id(alert, Event::raised);
  alert.last += kMinute;
  EXPECT_EQ(notice_id(alert, Event::raised), first) << "found again after a death, with more of the window";
  alert.severity = Severity::critical;
  EXPECT_NE(notice_id(alert, Event::raised), first);
  // It had ended, and fires again: whoever drops what he knows must not drop that it became severer anew.
  alert.severity = Severity::high;
  alert.run_start = alert.start + kHour;
  EXPECT_NE(notice_id(alert, Event::raised), first);
}

TEST_F(OutboxTest, HowSevereAnAlertHasBeenIsKnownAfterADeath) {
  Receiver all, high;
  Target only = target(high, "high");
  only.severity = Severity::high;
  open({target(all, "all"), only});
  for (const char* id : {"a", "b", "over"}) {
    auto e = example_notice().alert;
    e.id = id;
    e.state = std::string_view(id) == "over" ? query::continuous::EpisodeState::ended : query::continuous::EpisodeState::firing;
    e.severity = Severity::low;
    e.peak = Severity::high;
    outbox->remember(e);
  }
  outbox->start();
  note("a", EpisodeChange::updated, Severity::high);  // as severe as it has been
  note("a", EpisodeChange::updated, Severity::critical);
  note("a", EpisodeChange::ended, Severity::low);
  note("b", EpisodeChange::ended, Severity::low);
  note("over", EpisodeChange::resumed, Severity::low);
  commit();
  ASSERT_TRUE(eventually([&] { return all.count() == 4 && high.count() == 3; }));
  EXPECT_EQ(all.events, (std::vector<Event>{Event::raised, Event::ended, Event::ended, Event::resumed}));
  EXPECT_EQ(high.ids, (std::vector<std::string>{"a", "a", "b"}));
}

TEST_F(OutboxTest, WhatWaitsIsThereAfterADeathAndCountersGoOn) {
  Receiver r;
  r.answer = [](auto) { return Attempt::failed({ErrorCode::io, "nobody is there"}); };
  open({target(r)});
  outbox->start();
  note("a");
  commit();
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].failures > 0; }));
  EXPECT_EQ(outbox->status()[0].last_error, "nobody is there");
  EXPECT_GT(outbox->status()[0].retry_at, 0);
  note("b");
  commit();
  EXPECT_EQ(outbox->status()[0].waiting, 2u);
  // As after a kill: another outbox on the same catalogue.
  outbox.reset();
  r.answer = nullptr;
  open({target(r)});
  EXPECT_EQ(outbox->status()[0].waiting, 2u);
  EXPECT_GT(outbox->status()[0].lag, 0);
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() == 2; }));
  note("c");
  commit();
  ASSERT_TRUE(eventually([&] { return r.count() == 3; }));
  EXPECT_EQ(r.ids, (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].waiting == 0; }));
  open({target(r)});
  EXPECT_EQ(outbox->status()[0].delivered, 3u);
}

TEST_F(OutboxTest, AWriteThatIsTriedAgainDoublesNothing) {
  Receiver r;
  open({target(r)});
  note("a");
  catalog::Write lost;
  outbox->write(lost);
  // It was said to have failed, and is there all the same.
  ASSERT_TRUE(catalog->commit(lost, catalog::Sync::no).ok());
  note("b");
  commit();
  EXPECT_EQ(kept(), 2u);
  EXPECT_EQ(outbox->status()[0].waiting, 2u);
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() == 2; }));
  EXPECT_EQ(r.ids, (std::vector<std::string>{"a", "b"}));
}

TEST_F(OutboxTest, OneTargetDoesNotHoldUpAnother) {
  Receiver good, bad;
  bad.answer = [](auto) { return Attempt::failed({ErrorCode::io, "no"}); };
  open({target(bad, "bad"), target(good, "good")});
  outbox->start();
  for (int i = 0; i < 3; ++i) note("a" + std::to_string(i)), commit();
  ASSERT_TRUE(eventually([&] { return good.count() == 3; }));
  EXPECT_EQ(outbox->status()[0].waiting, 3u);
}

TEST_F(OutboxTest, ARefusedNoticeCostsItselfOnly) {
  Receiver r;
  r.answer = [](std::span<const Notice> notices) {
    for (const Notice& n : notices)
      if (n.alert.id == "poison") return Attempt::refused_for_good({ErrorCode::io, "answered 400"});
    return Attempt{};
  };
  open({target(r, "t", 100)});
  for (const char* id : {"a", "poison", "b", "c"}) note(id);
  commit();
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() == 3; }));
  EXPECT_EQ(r.ids, (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].waiting == 0; }));
  EXPECT_EQ(outbox->status()[0].refused, 1u);
  EXPECT_EQ(kept(), 0u);
}

TEST_F(OutboxTest, ATargetThatRefusesIsLoggedOncePerOutage) {
  Receiver r;
  r.answer = [](std::span<const Notice> notices) { return notices.front().alert.id == "good" ? Attempt{} : Attempt::refused_for_good({ErrorCode::io, "answered 400"}); };
  ::testing::internal::CaptureStderr();
  open({target(r)});
  outbox->start();
  for (int i = 0; i < 50; ++i) note("bad" + std::to_string(i));
  note("good");
  commit();
  const bool took = eventually([&] { return r.count() == 1 && outbox->status()[0].delivered == 1; });
  const auto status = outbox->status()[0];
  outbox.reset();  // what it says is said
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(took);
  EXPECT_EQ(status.refused, 50u);
  const auto times = [&](const std::string& words) {
    size_t n = 0;
    for (size_t at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(times("notices of alerts are refused by a target and given up"), 1u) << log;
  EXPECT_EQ(times("alert=bad0 "), 1u) << log;
  EXPECT_EQ(times("a target takes notices of alerts again"), 1u) << log;
  EXPECT_EQ(times("given_up=50"), 1u) << log;
}

TEST_F(OutboxTest, PartOfWhatGoesAtOnceMayBeTaken) {
  Receiver r;
  bool first = true;
  r.answer = [&](std::span<const Notice> notices) { return notices.size() > 1 && std::exchange(first, false) ? Attempt::failed({ErrorCode::io, "broken off"}, 2) : Attempt{}; };
  open({target(r)});
  for (const char* id : {"a", "b", "c", "d"}) note(id);
  commit();
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() == 4; }));
  EXPECT_EQ(r.ids, (std::vector<std::string>{"a", "b", "c", "d"}));
}

TEST_F(OutboxTest, WhatCannotBeDeliveredIsGivenUpInTheEnd) {
  Receiver r;
  r.answer = [](auto) { return Attempt::failed({ErrorCode::io, "no"}); };
  open({target(r)});
  note("a");
  commit();
  clock.ahead = limits::kGiveUpAfter + kSecond;
  note("b");
  commit();
  outbox->start();
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].expired == 1; }));
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].waiting == 1; }));
  EXPECT_EQ(kept(), 1u);
}

TEST_F(OutboxTest, BeyondTheBoundTheNewestAreNotKeptAndTheTargetIsTold) {
  Receiver r;
  open({target(r)});
  for (size_t i = 0; i < limits::kNoticesWaitingMax; ++i) note("a");
  commit();
  EXPECT_EQ(outbox->status()[0].waiting, limits::kNoticesWaitingMax);
  EXPECT_EQ(outbox->status()[0].dropped, 0u);
  note("one too many");
  note("another");
  commit();
  EXPECT_EQ(outbox->status()[0].waiting, limits::kNoticesWaitingMax);
  EXPECT_EQ(outbox->status()[0].dropped, 2u);
  open({target(r)});
  EXPECT_EQ(outbox->status()[0].dropped, 2u) << "known after a death";
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() == limits::kNoticesWaitingMax + 1; }));
  EXPECT_TRUE(r.texts.back().starts_with("2 notices of alerts were not kept")) << r.texts.back();
}

TEST_F(OutboxTest, WhatCannotBeWrittenGathersWithinTheSameBound) {
  Receiver r;
  open({target(r)});
  for (size_t i = 0; i < limits::kNoticesWaitingMax + 3; ++i) note("a");
  catalog::Write refused;  // by a full disk
  outbox->write(refused);
  commit();
  EXPECT_EQ(outbox->status()[0].waiting, limits::kNoticesWaitingMax);
  EXPECT_EQ(outbox->status()[0].dropped, 3u);
}

TEST_F(OutboxTest, WhatComesWithinTheGroupsTimeIsOneMessage) {
  Receiver r;
  Target t = target(r, "t", 100);
  t.group = kSecond / 2;
  open({t});
  outbox->start();
  for (const char* id : {"a", "b", "c"}) note(id), commit();
  ASSERT_TRUE(eventually([&] { return r.count() == 3; }));
  EXPECT_EQ(r.messages.size(), 1u);
}

TEST_F(OutboxTest, AMessageIsTriedAgainAsItWas) {
  Receiver r;
  int tries = 0;
  std::vector<std::string> seen;
  r.answer = [&](std::span<const Notice> notices) {
    seen.push_back(group_id(notices));
    return ++tries <= 1 ? Attempt::failed({ErrorCode::io, "no"}) : Attempt{};
  };
  open({target(r, "t", 100)});
  note("a"), note("b");
  commit();
  outbox->start();
  ASSERT_TRUE(eventually([&] { return outbox->status()[0].failures == 1; }));
  note("c");
  commit();
  ASSERT_TRUE(eventually([&] { return r.count() == 3; }));
  EXPECT_EQ(r.messages, (std::vector<std::vector<std::string>>{{"a", "b"}, {"c"}}));
  EXPECT_EQ(seen[0], seen[1]);
}

TEST_F(OutboxTest, ARateLetsABurstGoAndHoldsTheRest) {
  Receiver r;
  Target t = target(r);
  t.rate = 60;  // one a second, ten at once
  open({t});
  for (int i = 0; i < 30; ++i) note("a");
  commit();
  outbox->start();
  ASSERT_TRUE(eventually([&] { return r.count() >= 10; }));
  EXPECT_LT(r.count(), 30u);
  clock.ahead = 10 * kMinute;  // a burst more, no more than that
  ASSERT_TRUE(eventually([&] { return r.count() >= 20; }));
  EXPECT_LT(r.count(), 30u);
}

TEST_F(OutboxTest, ATestGoesBesideWhatWaits) {
  Receiver r;
  open({target(r)});
  note("a");
  commit();
  const auto outcome = outbox->test("t");
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->delivered);
  EXPECT_TRUE(r.texts[0].starts_with("This is a test of the target 't'"));
  r.answer = [](auto) { return Attempt::failed({ErrorCode::io, "not today"}); };
  EXPECT_EQ(outbox->test("t")->error, "not today");
  EXPECT_EQ(outbox->test("nobody").error().code, ErrorCode::not_found);
  EXPECT_EQ(outbox->status()[0].waiting, 1u);
}

ingest::DeclaredSettings declared(std::map<std::string, std::string> options, std::string kind = "file") {
  auto settings = declared_target();
  settings.name = "t";
  settings.kind = std::move(kind);
  settings.place = "sluice.toml:1";
  for (auto& [key, value] : options) settings.options[key] = {value, "sluice.toml:2"};
  return settings;
}

TEST(Target, ChoosesBySeverityNameTagAndEvent) {
  Episode a = example_notice().alert;  // high, ssh_guessing, brute_force
  const auto wants = [&](std::map<std::string, std::string> options, Event event = Event::started) {
    options["path"] = "/dev/null";
    const auto target = read_target(declared(options));
    EXPECT_TRUE(target.ok()) << target.error().message;
    return target.ok() && target->wants(a, event);
  };
  EXPECT_TRUE(wants({}));
  EXPECT_TRUE(wants({{"severity", "high"}}));
  EXPECT_FALSE(wants({{"severity", "critical"}}));
  EXPECT_TRUE(wants({{"rules", "scan_*, ssh_*"}}));
  EXPECT_FALSE(wants({{"rules", "scan_*"}}));
  EXPECT_FALSE(wants({{"rules", "!ssh_*"}}));
  EXPECT_TRUE(wants({{"rules", "!scan_*"}}));
  EXPECT_FALSE(wants({{"rules", "ssh_*,!*guessing"}}));
  EXPECT_TRUE(wants({{"tags", "recon,brute_force"}}));
  EXPECT_FALSE(wants({{"tags", "brute"}}));
  EXPECT_FALSE(wants({{"events", "ended"}}));
  EXPECT_TRUE(wants({{"events", "ended"}}, Event::ended));
  EXPECT_TRUE(wants({}, Event::resumed));
  EXPECT_TRUE(wants({{"severity", "critical"}}, Event::test));
}

TEST(Target, SaysWhereADeclarationMakesNoSense) {
  const auto error = [](ingest::DeclaredSettings settings) {
    const auto target = read_target(std::move(settings));
    return target.ok() ? std::string() : target.error().message;
  };
  EXPECT_EQ(error(declared({})), "sluice.toml:1: target 't': path: is needed for a target of kind 'file'");
  EXPECT_NE(error(declared({{"path", "x"}, {"colour", "red"}})).find("sluice.toml:2: target 't': colour: is not known for a target of kind 'file' (known are name, kind, "), std::string::npos);
  EXPECT_NE(error(declared({}, "pigeon")).find("there is no kind 'pigeon' (known are webhook, file"), std::string::npos);
  EXPECT_NE(error(declared({{"path", "x"}, {"events", "begun"}})).find("events: are of started"), std::string::npos);
  EXPECT_NE(error(declared({{"url", "gopher://x"}}, "webhook")).find("sluice.toml:2: target 't': url"), std::string::npos);
  EXPECT_NE(error(declared({{"url", "https://u:p@x/"}}, "webhook")).find("url"), std::string::npos);
  EXPECT_NE(error(declared({{"url", "https://x/"}, {"secret", "hush"}}, "webhook")).find("a secret does not belong into the configuration"), std::string::npos);
  EXPECT_NE(error(declared({{"url", "https://x/"}, {"headers", "X-A: b\r\nX-B: c"}}, "webhook")).find("headers"), std::string::npos);
  EXPECT_NE(error(declared({{"url", "https://x/"}, {"headers", "no colon"}}, "webhook")).find("headers"), std::string::npos);
  std::vector<ingest::DeclaredSettings> two{declared({{"path", "x"}}), declared({{"path", "y"}})};
  EXPECT_NE(read_targets(two).error().message.find("another target has this name"), std::string::npos);
  std::vector<ingest::DeclaredSettings> many;
  for (size_t i = 0; i <= limits::kTargetsMax; ++i) {
    many.push_back(declared({{"path", "x"}}));
    many.back().name = "t" + std::to_string(i);
  }
  EXPECT_NE(read_targets(many).error().message.find("one too many"), std::string::npos);
  many.pop_back();
  EXPECT_TRUE(read_targets(many).ok());
}

// The example of the Standard Webhooks specification: id, time, body and secret; the signature by the formula it gives.
TEST(Webhook, SignsAsStandardWebhooksHasIt) {
  EXPECT_EQ(*webhook_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  EXPECT_FALSE(webhook_signature("whsec_not base64", "a", 1, "").ok());
}

TEST(Webhook, ReadsWhatAnAnswerMeans) {
  const auto of = [](int status, ingest::HttpHeaders headers = {}, std::string body = {}) {
    ingest::HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    response.body = std::move(body);
    return attempt_of(Result<ingest::HttpResponse>(std::move(response)), "https://h");
  };
  EXPECT_TRUE(of(204).status.ok());
  for (const int status : {301, 401, 403, 404, 407, 408, 425, 429, 500, 503}) {
    EXPECT_FALSE(of(status).status.ok()) << status;
    EXPECT_FALSE(of(status).refused) << status;
  }
  for (const int status : {400, 410, 413, 422}) EXPECT_TRUE(of(status).refused) << status;
  EXPECT_EQ(of(429, {{"retry-after", "7"}}).pause, 7 * kSecond);
  EXPECT_EQ(of(429, {{"retry-after", "99999999999"}}).pause, limits::kReceiverPauseMax);
  EXPECT_EQ(of(429, {{"retry-after", "-1"}}).pause, 0);
  EXPECT_EQ(of(429, {{"retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"}}).pause, 0);
  EXPECT_EQ(of(500, {}, "no\x1b room\nand more").status.error().message, "https://h answered 500: no  room");
}

}  // namespace
}  // namespace sluice::delivery
