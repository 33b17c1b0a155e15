#include "server/delivery/mail_sender.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "ingest/receive/digest.h"
#include "server/delivery/alert_shape.h"
#include "server/delivery/chat_sender.h"
#include "server/delivery/smtp_client.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {

using ingest::DeclaredSettings;

namespace {

// "Fri, 20 Nov 2026 08:05:01 +0000", in no one's language.
std::string mail_date(TimestampNs time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = time / kSecond;
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  char out[64];
  std::snprintf(out, sizeof out, "%s, %d %s %d %02d:%02d:%02d +0000", kDays[t.tm_wday], t.tm_mday, kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return out;
}

std::string body_text(std::span<const Notice> notices) {
  std::string out;
  for (const Notice& n : notices) {
    const Episode& a = n.alert;
    const auto line = [&](std::string_view name, std::string_view value) {
      if (!value.empty()) out.append(name).append(": ").append(one_line(value)).append("\r\n");
    };
    line("Message", a.message);
    line("Rule", a.rule);
    line("Severity", to_string(a.severity));
    line("Event", to_string(n.event));
    line("Key", a.key);
    line("Start", format_timestamp(a.start));
    line("End", format_timestamp(a.end));
    line("Matches", std::to_string(a.matches));
    std::string techniques;
    for (const auto& t : list_items(a.techniques)) techniques += (techniques.empty() ? "" : ", ") + t;
    line("ATT&CK", techniques);
    line("Flows", a.query);
    line("Id", a.id);
    out += "\r\n";
  }
  return out;
}

struct MailOptions {
  SmtpServer server;
  DeclaredSettings::Secret password;
  std::string from;
  std::vector<std::string> to;
};

class MailSender final : public Sender {
 public:
  explicit MailSender(MailOptions options) : options_(std::move(options)) {}

  Attempt send(std::span<const Notice> notices, TimestampNs now) override {
    SmtpServer server = options_.server;
    if (options_.password) {
      auto password = options_.password();
      if (!password.ok()) return Attempt::failed(password.error());
      server.password = std::move(*password);
    }
    bool refused = false;
    const Status sent = send_mail(server, options_.from, options_.to, mail_message(options_.from, options_.to, notices, now), limits::kDeliveryTimeout, refused);
    if (sent.ok()) return {};
    return refused ? Attempt::refused_for_good(sent.error()) : Attempt::failed(sent.error());
  }

 private:
  const MailOptions options_;
};

}  // namespace

bool is_mail_address(std::string_view text) {
  const size_t at = text.find('@');
  return text.size() <= 254 && at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.find('@', at + 1) == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && std::string_view("<>()[]\\,;:\"").find(c) == std::string_view::npos; });
}

std::string mail_header_text(std::string_view text) {
  const std::string line = without_controls(text);
  const bool is_plain = std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  // Also what would be read as an encoded word already.
  if (is_plain && line.size() <= 60 && line.find("=?") == std::string::npos && (line.empty() || (line.front() != ' ' && line.back() != ' '))) return line;
  // A line with encoded words has 76 characters at most, "Subject: " among them: 39 bytes make 52, and 64 with what stands around them.
  std::string out;
  for (size_t at = 0; at < line.size();) {
    size_t end = std::min(at + 39, line.size());
    while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;  // a character stays in one word
    out += (out.empty() ? "=?utf-8?B?" : "\r\n =?utf-8?B?") + ingest::base64(std::string_view(line).substr(at, end - at)) + "?=";
    at = end;
  }
  return out;
}

std::string mail_message(const std::string& from, const std::vector<std::string>& to, std::span<const Notice> notices, TimestampNs now) {
  std::string out = "Date: " + mail_date(now) + "\r\nFrom: Sluice <" + from + ">\r\n";
  for (size_t i = 0; i < to.size(); ++i) out += (i == 0 ? "To: <" : " <") + to[i] + (i + 1 < to.size() ? ">,\r\n" : ">\r\n");
  out += "Subject: " + mail_header_text(headline(notices)) + "\r\n";
  // The same for the same alerts, so that mailboxes may know a message that was sent twice.
  out += "Message-ID: <" + group_id(notices) + "@" + from.substr(from.find('@') + 1) + ">\r\n";
  out += "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
  const std::string encoded = ingest::base64(body_text(notices));
  for (size_t at = 0; at < encoded.size(); at += 76) out += encoded.substr(at, 76) + "\r\n";
  return out;
}

Result<MadeTarget> make_smtp(DeclaredSettings& settings) {
  MailOptions options;
  SLUICE_ASSIGN(const std::string server, settings.required("server"));
  constexpr std::string_view kTls[] = {"starttls", "tls", "none"};
  SLUICE_ASSIGN(const size_t tls, settings.choice("tls", kTls, 0));
  options.server.tls = static_cast<SmtpServer::Tls>(tls);
  options.server.port = options.server.tls == SmtpServer::Tls::from_the_start ? 465 : 587;
  const bool is_bracketed = server.starts_with('[');
  const size_t colon = is_bracketed ? server.find(':', server.find(']')) : server.find(':');
  options.server.host = server.substr(0, colon);
  bool is_good = is_bracketed ? options.server.host.ends_with(']') && options.server.host.find_first_not_of("[]0123456789abcdefABCDEF:.") == std::string::npos
                              : options.server.host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == std::string::npos;
  if (colon != std::string::npos) {
    const auto [end, error] = std::from_chars(server.data() + colon + 1, server.data() + server.size(), options.server.port);
    is_good = is_good && error == std::errc() && end == server.data() + server.size() && options.server.port > 0;
  }
  if (!is_good || options.server.host.empty()) return settings.error_at("server", "is a host and a port such as mail.example.net:587, not '" + without_controls(server.substr(0, 100)) + "'");
  SLUICE_ASSIGN(options.from, settings.required("from"));
  if (!is_mail_address(options.from)) return settings.error_at("from", "is an address such as sluice@example.net");
  SLUICE_ASSIGN(options.to, settings.list("to"));
  if (options.to.empty()) return settings.error_at("to", "is needed: the addresses to write to");
  if (options.to.size() > limits::kMailRecipientsMax) return settings.error_at("to", "are more than " + std::to_string(limits::kMailRecipientsMax) + " addresses");
  for (const std::string& address : options.to)
    if (!is_mail_address(address)) return settings.error_at("to", "not an address such as noc@example.net: '" + without_controls(address.substr(0, 100)) + "'");
  SLUICE_ASSIGN(options.server.user, settings.text("user"));
  SLUICE_ASSIGN(options.password, settings.secret("password"));
  if (options.server.user.empty() != !options.password) return settings.error_at("user", "and password_file or password_env go together");
  if (options.password && options.server.tls == SmtpServer::Tls::none) return settings.error_at("tls", "is needed where there is a password");
  SLUICE_ASSIGN(options.server.hello, settings.text("hello"));
  if (options.server.hello.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != std::string::npos)
    return settings.error_at("hello", "is the name of a host");
  SLUICE_ASSIGN(options.server.ca_file, settings.text("ca_file"));
  const std::string to = options.to.front() + (options.to.size() > 1 ? " and " + std::to_string(options.to.size() - 1) + " more" : "") + " by " + server;
  return MadeTarget{to, [options](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      MailOptions with = options;
                      with.server.stopping = stopping;
                      return std::unique_ptr<Sender>(std::make_unique<MailSender>(std::move(with)));
                    }};
}

}  // namespace sluice::delivery
