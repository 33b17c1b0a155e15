// The bounds of what is told to others (alerts, forwarded flows), with their reasons and what happens when they are met.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// [[target]] tables; each has a thread. Beyond: the configuration is refused.
inline constexpr size_t kTargetsMax = 32;
// Notices that wait for one target, some KiB each: a day of an incident. Beyond: newer ones are not kept for it, which is counted, shown, and
// told to the target once it takes notices again; the alerts are in `from alerts` all the same.
inline constexpr size_t kNoticesWaitingMax = 10'000;
// Notices in one message, or in one go where each is a message of its own. What waits beyond goes with the next.
inline constexpr size_t kNoticesTogetherMax = 100;
// Alerts shown in one message of a chat (Slack takes 50 blocks, Teams 28 KB), each cut to so many bytes of text.
inline constexpr size_t kChatNoticesMax = 15;
inline constexpr size_t kChatTextBytesMax = 600;
// How long what cannot be delivered is tried, unless the target says otherwise, and at most. Beyond: given up, and counted.
inline constexpr DurationNs kGiveUpAfter = kDay;
inline constexpr DurationNs kGiveUpAfterMax = 30 * kDay;
// How long notices may wait for others to go with them.
inline constexpr DurationNs kGroupWaitMax = kHour;
// A pause that a receiver asks for (Retry-After). Beyond: that long.
inline constexpr DurationNs kReceiverPauseMax = 10 * kMinute;
// The whole exchange with a receiver, connecting included. Beyond: it failed, and is tried again.
inline constexpr DurationNs kDeliveryTimeout = 30 * kSecond;
// A receiver's answer, of which only the status counts. Beyond: the attempt failed.
inline constexpr size_t kDeliveryAnswerBytesMax = 64u << 10;
// Headers that one webhook adds, and addresses of one e-mail. Beyond: the configuration is refused.
inline constexpr size_t kWebhookHeadersMax = 32;
inline constexpr size_t kMailRecipientsMax = 50;
// A syslog datagram: what UDP over IPv4 carries. Receivers take 2,048 bytes, and should more (RFC 5426 section 3.2). Beyond: refused and counted.
inline constexpr size_t kSyslogDatagramBytesMax = 65'507;

// --- forwarding ---------------------------------------------------------------------------------------------------
// [[forward]] tables; each has a thread, and its filter runs over everything that comes in. Beyond: the configuration is refused.
inline constexpr size_t kForwardsMax = 16;
// Rows that wait to be looked at, some seconds of a fast server. Beyond: they are not, and are counted.
inline constexpr size_t kForwardQueueBytesMax = 128u << 20;
// Documents that wait for one forward's target, their bytes, in memory and in the catalogue: minutes of a selective filter. Beyond: the newest are
// dropped, and counted.
inline constexpr size_t kForwardWaitingBytesMax = 64u << 20;
// Flows that go in one message (a request, a write), their bytes, and how long the first of them waits for the others.
inline constexpr size_t kForwardTogetherMax = 1'000;
inline constexpr size_t kForwardMessageBytes = 1u << 20;
inline constexpr DurationNs kForwardGather = kSecond / 2;
// How long a stop lets what waits go to targets that take it. The rest waits for the next start.
inline constexpr DurationNs kForwardDrain = 3 * kSecond;
// Rows that one look goes over at most, and memory of the query that does it.
inline constexpr size_t kForwardLookRows = 65'536;
inline constexpr size_t kForwardQueryBytes = 512u << 20;
// How often what waits is kept, with the counters: what is delivered sooner costs no write.
inline constexpr DurationNs kForwardKeepEvery = kSecond;
// How far before the place that was kept the journal is looked at again after a kill: appends become visible a little after the time that they bear.
inline constexpr DurationNs kForwardAgain = 10 * kSecond;
// How long rows that are sealed wait until they have been looked at. Beyond, which takes a machine that cannot keep up: they leave the journal all the same.
inline constexpr DurationNs kForwardKeepWait = 10 * kSecond;

}  // namespace sluice::limits
