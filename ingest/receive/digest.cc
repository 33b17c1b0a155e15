#include "ingest/receive/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <array>

#include "storage/model/result.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::string sha256(std::string_view data) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SLUICE_CHECK(EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr, EVP_sha256(), nullptr) == 1);
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  unsigned length = 0;
  // An empty key is a valid one, and OpenSSL takes a null pointer for "the key of before".
  SLUICE_CHECK(HMAC(EVP_sha256(), key.empty() ? "" : key.data(), static_cast<int>(key.size()), bytes_of(data), data.size(),
                    reinterpret_cast<unsigned char*>(out.data()), &length) != nullptr &&
               length == out.size());
  return out;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t j) -> unsigned { return j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0; };
    const unsigned three = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    out += kBase64[three >> 18];
    out += kBase64[three >> 12 & 63];
    out += i + 1 < bytes.size() ? kBase64[three >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kBase64[three & 63] : '=';
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  static const std::array<int8_t, 256> kValues = [] {
    std::array<int8_t, 256> table;
    table.fill(-1);
    for (size_t i = 0; i < kBase64.size(); ++i) table[static_cast<unsigned char>(kBase64[i])] = static_cast<int8_t>(i);
    return table;
  }();
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  unsigned bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    if (i < text.size() - padding) {
      value = kValues[static_cast<unsigned char>(text[i])];
      if (value < 0) return std::nullopt;
    }
    bits = bits << 6 | static_cast<unsigned>(value);
    if (i % 4 == 3) {
      out += static_cast<char>(bits >> 16 & 255);
      out += static_cast<char>(bits >> 8 & 255);
      out += static_cast<char>(bits & 255);
      bits = 0;
    }
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace sluice::ingest
