// An alert as the catalogue keeps it: a JSON object. What newer versions add has a default where it is not there.
//
// Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "query/continuous/episode.h"

namespace sluice::server {

std::string record_of(const query::continuous::Episode& episode);
// nullopt: it is none.
std::optional<query::continuous::Episode> episode_of(std::string_view record);

}  // namespace sluice::server
