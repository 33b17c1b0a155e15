// libcurl asked to stop: what its transfers of minutes look at several times a second.
//
// Thread rule: a pure function.
#pragma once

#include <curl/curl.h>

#include <functional>

namespace sluice::delivery {

// For CURLOPT_XFERINFOFUNCTION; its CURLOPT_XFERINFODATA is a std::function<bool()>, perhaps empty, that says whether to stop.
inline int stop_when_asked(void* stopping, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& asked = *static_cast<const std::function<bool()>*>(stopping);
  return asked && asked() ? 1 : 0;
}

}  // namespace sluice::delivery
