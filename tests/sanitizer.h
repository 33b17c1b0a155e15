// Which sanitizer watches the tests. Under one a row costs ten times as much and more, so what only repeats (further rows, rounds, seeds) is less
// there. What differs (a type, an edge, an error) is tried everywhere.
#pragma once

namespace sluice {

#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define SLUICE_THREAD_SANITIZER 1
#elif defined(__has_feature)  // clang
#if __has_feature(address_sanitizer)
#define SLUICE_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define SLUICE_THREAD_SANITIZER 1
#endif
#endif

#ifdef SLUICE_ADDRESS_SANITIZER
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#ifdef SLUICE_THREAD_SANITIZER
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

#undef SLUICE_ADDRESS_SANITIZER
#undef SLUICE_THREAD_SANITIZER

}  // namespace sluice
