// Kinds "slack" and "teams": messages to an incoming webhook of a chat. Its address is a secret: url_file or url_env. Other keys: ca_file, proxy.
//
// Everything that comes from rules and flows is shown as plain text: no link, mention, emphasis or image can be made by it.
// Slack: api.slack.com/messaging/webhooks, Block Kit. Teams: "Post to a channel when a webhook request is received" of Workflows, an
// Adaptive Card 1.4 (adaptivecards.io) within 28 KB.
#pragma once

#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_slack(ingest::DeclaredSettings& settings);
Result<MadeTarget> make_teams(ingest::DeclaredSettings& settings);

// Bodies. At most limits::kChatNoticesMax alerts are shown, the others counted.
std::string slack_body(std::span<const Notice> notices);
std::string teams_body(std::span<const Notice> notices);

// One line: "[high] rule: message", or how many and the worst of them. Shared with e-mail's subject.
std::string headline(std::span<const Notice> notices);

}  // namespace sluice::delivery
