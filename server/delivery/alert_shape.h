// Alerts in the forms that receivers of security events read. All are one line, valid UTF-8, whatever the alert holds: rules' names, keys and values
// come from people and from flows, and none of them can end a field, a header or a line.
//
//   native  the JSON of notice.h
//   plain   the message, then what identifies it: "… [rule=… severity=… event=… key="…" id=…]"
//   cef     ArcSight Common Event Format, revision 25 ("Implementing ArcSight Common Event Format")
//   ecs     Elastic Common Schema 8.11, as JSON
//   ocsf    OCSF 1.3 Detection Finding (class 2004), as JSON
//
// Thread rule: functions share nothing.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/receive/declared_settings.h"
#include "server/delivery/notice.h"

namespace sluice::delivery {

enum class AlertShape : uint8_t { native, plain, cef, ecs, ocsf };
// The key `shape`.
Result<AlertShape> read_shape(ingest::DeclaredSettings& settings, AlertShape otherwise);
std::string_view content_type(AlertShape shape);  // of one alert a line

std::string alert_text(const Notice& notice, AlertShape shape);

// CEF's own grammar: seven fields of the header, pairs of the extension.
struct CefHeader {
  std::string_view vendor, product, version, signature_id, name;
  int severity = 0;  // 0 to 10
};
std::string cef_line(const CefHeader& header, std::span<const std::pair<std::string_view, std::string>> extension);

// Control characters as escapes (\n, \x1b), bytes that are no UTF-8 as U+FFFD: a text that stays on its line.
std::string one_line(std::string_view text);
// The same with control characters as spaces, for fields that know no escapes.
std::string without_controls(std::string_view text);

}  // namespace sluice::delivery
