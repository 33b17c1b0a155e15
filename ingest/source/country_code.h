// ISO 3166-1: the two-letter code of a country from its three-letter one. Thread rule: none shared.
#pragma once

#include <string_view>

namespace sluice::ingest {

// "usa" or "USA" → "US"; empty for what is no code.
std::string_view country_alpha2(std::string_view alpha3);

}  // namespace sluice::ingest
