// A notice: one thing that a target is told about an alert, and its forms as JSON.
//
// Its id is made of the alert's id, the event, and the window that the event is about; so it is the same however often it is made
// and sent, and a receiver that keeps ids takes each once.
//
// Thread rule: functions share nothing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "query/continuous/episode.h"

namespace sluice::delivery {

using query::continuous::Episode;

// Events: an alert started, resumed (a match within `suppress` of one that had ended) or ended; a test call; notices that were dropped; an alert
// became severer. The numbers are kept: append only.
enum class Event : uint8_t { started, resumed, ended, test, dropped, raised };
std::string_view to_string(Event event);

struct Notice {
  std::string id;
  Event event = Event::started;
  TimestampNs at = 0;  // when it was made, by the clock
  Episode alert;
};

std::string notice_id(const Episode& alert, Event event);
// Of several that are one message: that of the only one, else made of theirs.
std::string group_id(std::span<const Notice> notices);

// As kept in the catalogue.
std::string to_record(const Notice& notice);
std::optional<Notice> from_record(std::string_view record);

// {"id","event","at","alert":{…}}, times as RFC 3339. One line.
std::string notice_json(const Notice& notice);

// At most so many bytes of a text, cut between characters, "…" behind.
std::string shortened(std::string_view text, size_t bytes);

}  // namespace sluice::delivery
