// An alert for the tests of delivery, and one whose every text is meant to break what holds it.
#pragma once

#include "server/delivery/notice.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {

inline Notice example_notice() {
  Notice n;
  Episode& a = n.alert;
  a.id = "a1b2";
  a.rule = "ssh_guessing";
  a.severity = query::continuous::Severity::high;
  a.state = query::continuous::EpisodeState::firing;
  a.key = "src_ip=10.1.0.1";
  a.start = *parse_timestamp("2026-11-20T08:00:00Z");
  a.last = a.start;
  a.end = a.start + 5 * kMinute;
  a.fired_at = a.end + kSecond;
  a.matches = 3;
  a.message = "10.1.0.1 tried SSH 12 times";
  append_extra(a.values, "src_ip", "10.1.0.1");
  append_extra(a.values, "dst_port", "22");
  append_extra(a.values, "tries", "12");
  append_list_item(a.techniques, "T1110.001");
  append_list_item(a.tags, "brute_force");
  a.query = "from flows between 2026-11-20T08:00:00Z and 2026-11-20T08:05:00Z | where src_ip == 10.1.0.1";
  n.event = Event::started;
  n.at = a.fired_at;
  n.id = notice_id(a, n.event);
  return n;
}

inline Notice hostile_notice() {
  Notice n = example_notice();
  const std::string nasty = std::string("a|b\\c=d\"e\r\nSubject: x\r\n.\r\n<!channel> [x](http://h) ") + '\0' + "\x1b[31m \xff\xfe \xe2\x80\xa8 \xc2\x85 ]end";
  n.alert.rule = nasty;
  n.alert.key = "user=" + nasty;
  n.alert.message = nasty;
  n.alert.values.clear();
  append_extra(n.alert.values, "src_ip", nasty);
  append_extra(n.alert.values, "src_port", "22 dst=6.6.6.6");
  append_extra(n.alert.values, nasty, nasty);
  n.alert.tags.clear();
  append_list_item(n.alert.tags, nasty);
  n.alert.techniques.clear();
  append_list_item(n.alert.techniques, nasty);
  n.alert.query = nasty;
  return n;
}

}  // namespace sluice::delivery
