#include "server/delivery/chat_sender.h"

#include <algorithm>

#include "server/delivery/alert_shape.h"
#include "server/delivery/json_text.h"
#include "server/delivery/webhook_sender.h"

namespace sluice::delivery {

using nlohmann::ordered_json;

namespace {

// What Slack asks to be escaped wherever its markup is read (api.slack.com/reference/surfaces/formatting#escaping).
std::string slack_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

std::string title(const Notice& n) {
  std::string out = "[" + std::string(to_string(n.alert.severity)) + "] " + shortened(one_line(n.alert.rule), 128);
  if (n.event != Event::started) out += " (" + std::string(to_string(n.event)) + ")";
  return out;
}

std::string details(const Notice& n) {
  const Episode& a = n.alert;
  std::string out = "since " + format_timestamp(a.start) + ", id " + a.id;
  if (!a.key.empty()) out = shortened(one_line(a.key), 200) + ", " + out;
  return out;
}

class ChatSender final : public Sender {
 public:
  using Body = std::string (*)(std::span<const Notice>);
  ChatSender(HttpPlace place, Body body, std::unique_ptr<ingest::HttpTransport> http) : place_(std::move(place)), body_(body), http_(std::move(http)) {}

  Attempt send(std::span<const Notice> notices, TimestampNs) override {
    ingest::HttpRequest request;
    request.method = "POST";
    const auto url = place_.url();
    if (!url.ok()) return Attempt::failed(url.error());
    request.url = *url;
    request.body = body_(notices);
    request.body_bytes_max = limits::kDeliveryAnswerBytesMax;
    request.answer_timeout = limits::kDeliveryTimeout;
    request.headers = {{"Content-Type", "application/json"}};
    return attempt_of(http_->send(request), place_.origin);
  }

 private:
  const HttpPlace place_;
  const Body body_;
  const std::unique_ptr<ingest::HttpTransport> http_;
};

Result<MadeTarget> make_chat(ingest::DeclaredSettings& settings, ChatSender::Body body) {
  if (settings.options.contains("url")) return settings.error_at("url", "whoever knows it can write there: name a file (url_file) or an environment variable (url_env)");
  SLUICE_ASSIGN(const HttpPlace place, read_http_place(settings));
  return MadeTarget{place.origin, [place, body](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      return std::unique_ptr<Sender>(std::make_unique<ChatSender>(place, body, open_http(place, stopping)));
                    }};
}

}  // namespace

std::string headline(std::span<const Notice> notices) {
  if (notices.size() == 1) {
    const std::string message = shortened(one_line(notices[0].alert.message), 300);
    return title(notices[0]) + (message.empty() ? "" : ": " + message);
  }
  const auto worst = std::max_element(notices.begin(), notices.end(), [](const Notice& a, const Notice& b) { return a.alert.severity < b.alert.severity; });
  return std::to_string(notices.size()) + " alerts, the worst " + std::string(to_string(worst->alert.severity)) + ": " + shortened(one_line(worst->alert.rule), 128);
}

std::string slack_body(std::span<const Notice> notices) {
  const auto plain = [](std::string text) { return ordered_json{{"type", "plain_text"}, {"text", std::move(text)}, {"emoji", false}}; };
  ordered_json blocks = ordered_json::array();
  for (const Notice& n : notices.first(std::min(notices.size(), limits::kChatNoticesMax))) {
    blocks.push_back({{"type", "header"}, {"text", plain(shortened(title(n), 150))}});
    // (Slack refuses a text that is empty.)
    if (std::string message = shortened(one_line(n.alert.message), limits::kChatTextBytesMax); !message.empty()) blocks.push_back({{"type", "section"}, {"text", plain(std::move(message))}});
    blocks.push_back({{"type", "context"}, {"elements", ordered_json::array({plain(details(n))})}});
  }
  if (notices.size() > limits::kChatNoticesMax)
    blocks.push_back({{"type", "section"}, {"text", plain("and " + std::to_string(notices.size() - limits::kChatNoticesMax) + " more: from alerts")}});
  return json_text({{"text", slack_escaped(headline(notices))}, {"blocks", std::move(blocks)}});
}

std::string teams_body(std::span<const Notice> notices) {
  // TextRun is the one element whose text is no Markdown.
  const auto line = [](std::string text, ordered_json look = ordered_json::object()) {
    ordered_json run{{"type", "TextRun"}, {"text", std::move(text)}};
    run.update(look);
    return ordered_json{{"type", "RichTextBlock"}, {"inlines", ordered_json::array({std::move(run)})}};
  };
  ordered_json body = ordered_json::array();
  for (const Notice& n : notices.first(std::min(notices.size(), limits::kChatNoticesMax))) {
    const char* colour = n.event == Event::ended ? "good" : n.alert.severity >= Severity::high ? "attention" : n.alert.severity == Severity::medium ? "warning" : "default";
    body.push_back(line(title(n), {{"weight", "bolder"}, {"size", "medium"}, {"color", colour}}));
    body.push_back(line(shortened(one_line(n.alert.message), limits::kChatTextBytesMax)));
    body.push_back(line(details(n), {{"isSubtle", true}, {"size", "small"}}));
  }
  if (notices.size() > limits::kChatNoticesMax) body.push_back(line("and " + std::to_string(notices.size() - limits::kChatNoticesMax) + " more: from alerts"));
  ordered_json card{{"$schema", "http://adaptivecards.io/schemas/adaptive-card.json"}, {"type", "AdaptiveCard"}, {"version", "1.4"}, {"body", std::move(body)}};
  return json_text({{"type", "message"},
               {"attachments", ordered_json::array({ordered_json{{"contentType", "application/vnd.microsoft.card.adaptive"}, {"contentUrl", nullptr}, {"content", std::move(card)}}})}});
}

Result<MadeTarget> make_slack(ingest::DeclaredSettings& settings) { return make_chat(settings, slack_body); }
Result<MadeTarget> make_teams(ingest::DeclaredSettings& settings) { return make_chat(settings, teams_body); }

}  // namespace sluice::delivery
