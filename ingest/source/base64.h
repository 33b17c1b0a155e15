// Base64 (RFC 4648 section 4), as JSON envelopes carry bytes. Thread rule: none shared.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

// Standard alphabet, with or without padding; nullopt for anything else.
std::optional<std::string> base64_decoded(std::string_view text);

}  // namespace sluice::ingest
