// Other people's data with what is expected of it. It lies beside the checkout, in ../shared/conformance, and is no part of this
// repository: without it the tests that need it are skipped with a word, or fail where the environment says SLUICE_REQUIRE_CONFORMANCE=1, so
// that a machine that is meant to have it cannot lose it unnoticed.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace sluice::test {

inline std::filesystem::path conformance(std::string_view below) { return std::filesystem::path(SLUICE_SOURCE_DIR) / "../shared/conformance" / below; }

inline bool conformance_is_required() {
  const char* required = std::getenv("SLUICE_REQUIRE_CONFORMANCE");
  return required != nullptr && std::string_view(required) == "1";
}

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace sluice::test

// Ends the test when the path is not there.
#define SLUICE_NEED_DATA(needed)                                                                                                              \
  if (const auto sluice_needed = std::filesystem::path(needed); !std::filesystem::exists(sluice_needed)) {                                    \
    const std::string sluice_where = "no conformance data at " + sluice_needed.lexically_normal().string();                                   \
    if (::sluice::test::conformance_is_required()) FAIL() << sluice_where << ", and it is required";                                          \
    GTEST_SKIP() << sluice_where;                                                                                                             \
  }                                                                                                                                           \
  static_assert(true, "")
