// SourceHealth: an alert of its own for a source (a format and an exporter) that has fallen silent, so that a rule about what is
// absent has not to guess.
//
// By the server's clock: nothing has arrived for longer than is ordinary (Watermarks::ordinary_silence). The rule's name is
// `source silent`, which no rule can have. It ends with the next arrival.
//
// Thread rule: one thread.
#pragma once

#include <map>

#include "query/continuous/episode.h"
#include "query/continuous/watermarks.h"

namespace sluice::server {

inline constexpr std::string_view kSourceSilent = "source silent";

class SourceHealth {
 public:
  // One that was open in an earlier life. What has arrived before `now` does not end it.
  void restore(query::continuous::Episode episode, TimestampNs now);
  void look(const query::continuous::Watermarks& watermarks, TimestampNs now, const query::continuous::EpisodeSink& sink);

 private:
  struct Open {
    query::continuous::Episode episode;
    TimestampNs since = 0;  // arrivals behind it end it
  };
  std::map<std::string, Open> open_;  // by key
};

}  // namespace sluice::server
