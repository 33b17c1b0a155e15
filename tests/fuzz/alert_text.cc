// Alerts of any text in every form that goes out: no text may end a line, a field, a header or a string. And records of the outbox, of any bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/delivery/alert_shape.h"
#include "server/delivery/chat_sender.h"
#include "server/delivery/mail_sender.h"
#include "server/delivery/syslog_sender.h"
#include "storage/model/text_list.h"

using namespace sluice;
using namespace sluice::delivery;

namespace {

void check(bool good) {
  if (!good) std::abort();
}

bool has_controls(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

bool is_utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  if (const auto notice = from_record(all)) (void)to_record(*notice);

  // Texts parted by the byte 0xfe, which none needs.
  std::string texts[5];
  size_t at = 0;
  for (std::string& text : texts) {
    if (at > all.size()) break;
    const size_t end = std::min(all.find('\xfe', at), all.size());
    text = all.substr(at, end - at);
    at = end + 1;
  }
  Notice n;
  n.alert.id = "id";
  n.alert.rule = texts[0];
  n.alert.message = texts[1];
  n.alert.key = texts[2];
  n.alert.query = texts[3];
  append_extra(n.alert.values, texts[4], texts[2]);
  append_extra(n.alert.values, "src_ip", texts[4]);
  append_list_item(n.alert.tags, texts[0]);
  append_list_item(n.alert.techniques, texts[3]);
  n.id = notice_id(n.alert, n.event);

  for (const AlertShape shape : {AlertShape::native, AlertShape::plain, AlertShape::cef, AlertShape::ecs, AlertShape::ocsf}) {
    const std::string text = alert_text(n, shape);
    check(is_utf8(text) && !has_controls(text));
    if (shape == AlertShape::native || shape == AlertShape::ecs || shape == AlertShape::ocsf) check(nlohmann::json::accept(text));
    if (shape == AlertShape::cef) {
      // What reads the header finds eight fields, and a value ends where the next key begins.
      size_t bars = 0, i = 0;
      for (; i < text.size() && bars < 7; ++i) {
        if (text[i] == '\\') ++i;
        else bars += text[i] == '|';
      }
      check(bars == 7 && text.compare(i, 3, "rt=") == 0);
    }
    const std::string counted = octet_counted(syslog_message({16, 2, n.at, texts[0], texts[1], texts[2], texts[3]}, text, true));
    check(!has_controls(counted));
  }
  const Notice both[] = {n, n};
  const std::span<const Notice> two(both);
  for (const auto& notices : {two.first(1), two}) {
    check(nlohmann::json::accept(slack_body(notices)) && nlohmann::json::accept(teams_body(notices)));
    const std::string mail = mail_message("a@b", {"c@d"}, notices, n.at);
    size_t headers = 0, from = 0;
    bool in_head = true;
    while (from < mail.size()) {
      const size_t end = mail.find("\r\n", from);
      check(end != std::string::npos);
      const std::string_view line = std::string_view(mail).substr(from, end - from);
      check(!has_controls(line) && line.size() <= 76 && line != ".");
      in_head = in_head && !line.empty();
      if (in_head && line[0] != ' ') ++headers;
      from = end + 2;
    }
    check(headers == 9);
  }
  return 0;
}
