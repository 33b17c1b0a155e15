#include "server/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <mutex>

namespace sluice::server {
namespace {

constexpr std::string_view kTokenPrefix = "sluice_";  // lets secret scanners find one that leaked
constexpr size_t kNameBytesMax = 64;

using Hash = std::array<uint8_t, 32>;

Hash hash_of(std::string_view text) {
  Hash hash{};
  unsigned size = 0;
  SLUICE_CHECK(EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr) == 1 && size == hash.size());
  return hash;
}

std::string hex_of(const uint8_t* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

bool from_hex(std::string_view text, Hash& out) {
  if (text.size() != out.size() * 2) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, out[i], 16);
    if (error != std::errc() || end != text.data() + 2 * i + 2) return false;
  }
  return true;
}

bool is_good_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '@';
  });
}

// "1 ROLE HASH CREATED": version, role, hex SHA-256, ns since the epoch.
std::string encode(Role role, const Hash& hash, TimestampNs created) {
  return "1 " + std::string(to_string(role)) + " " + hex_of(hash.data(), hash.size()) + " " + std::to_string(created);
}

bool next_word(std::string_view& text, std::string_view& word) {
  const size_t space = text.find(' ');
  word = text.substr(0, space);
  text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
  return !word.empty();
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::none: return "none";
    case Role::read: return "read";
    case Role::ingest: return "ingest";
    case Role::admin: return "admin";
  }
  return "none";
}

std::optional<Role> parse_role(std::string_view text) {
  for (Role role : {Role::read, Role::ingest, Role::admin})
    if (text == to_string(role)) return role;
  return std::nullopt;
}

bool allows(Role has, Role needed) { return needed == Role::none || has == Role::admin || has == needed; }

Result<std::unique_ptr<Auth>> Auth::open(catalog::Catalog& catalog) {
  auto auth = std::unique_ptr<Auth>(new Auth(catalog));
  std::string broken;
  SLUICE_TRY(catalog.scan(catalog::Keyspace::tokens, "", [&](std::string_view key, std::string_view value) {
    std::string_view version, role, hash, created;
    Token token;
    token.info.name = key;
    if (!next_word(value, version) || !next_word(value, role) || !next_word(value, hash) || !next_word(value, created) || version != "1" ||
        !parse_role(role) || !from_hex(hash, token.hash) ||
        std::from_chars(created.data(), created.data() + created.size(), token.info.created_at).ec != std::errc()) {
      broken = key;
      return false;
    }
    token.info.role = *parse_role(role);
    auth->tokens_.push_back(std::move(token));
    return true;
  }));
  if (!broken.empty()) return Error{ErrorCode::corrupt, "the catalogue's entry of token '" + broken + "' is not readable"};
  return auth;
}

bool Auth::required() const {
  std::shared_lock lock(mutex_);
  return !tokens_.empty();
}

Result<Principal> Auth::identify(std::string_view authorization) const {
  std::shared_lock lock(mutex_);
  if (tokens_.empty() && !is_always_required_) return Principal{"anonymous", Role::admin};
  if (authorization.empty()) return Error{ErrorCode::unauthenticated, "this server asks for a token: Authorization: Bearer TOKEN"};
  static constexpr std::string_view kScheme = "bearer ";
  const bool is_bearer = authorization.size() > kScheme.size() && std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char a, char b) {
    return a == (b >= 'A' && b <= 'Z' ? b + 32 : b);
  });
  if (!is_bearer) return Error{ErrorCode::unauthenticated, "only the Bearer scheme is known here"};
  authorization.remove_prefix(kScheme.size());
  const Hash hash = hash_of(authorization);
  const Token* found = nullptr;
  for (const Token& token : tokens_)  // all of them, so that time tells nothing of which
    if (CRYPTO_memcmp(token.hash.data(), hash.data(), hash.size()) == 0) found = &token;
  if (!found) return Error{ErrorCode::unauthenticated, "the token is not known"};
  return Principal{found->info.name, found->info.role};
}

Result<std::string> Auth::add(std::string_view name, Role role, TimestampNs now) {
  if (!is_good_name(name))
    return Error{ErrorCode::invalid_argument, "a token's name is 1 to 64 letters, digits, '-', '_', '.' or '@'"};
  if (role == Role::none) return Error{ErrorCode::invalid_argument, "a token's role is read, ingest or admin"};
  std::array<uint8_t, 32> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return Error{ErrorCode::io, "the system gave no random bytes"};
  const std::string text = std::string(kTokenPrefix) + hex_of(random.data(), random.size());

  std::unique_lock lock(mutex_);
  for (const Token& token : tokens_)
    if (token.info.name == name) return Error{ErrorCode::conflict, "a token named '" + std::string(name) + "' exists already"};
  if (tokens_.size() >= kTokensMax) return Error{ErrorCode::full, "there are " + std::to_string(kTokensMax) + " tokens already; remove some"};
  Token token{{std::string(name), role, now}, hash_of(text)};
  SLUICE_TRY(catalog_.put(catalog::Keyspace::tokens, token.info.name, encode(role, token.hash, now), catalog::Sync::yes));
  tokens_.push_back(std::move(token));
  return text;
}

Status Auth::remove(std::string_view name) {
  std::unique_lock lock(mutex_);
  const auto found = std::find_if(tokens_.begin(), tokens_.end(), [&](const Token& t) { return t.info.name == name; });
  if (found == tokens_.end()) return Error{ErrorCode::not_found, "there is no token named '" + std::string(name) + "'"};
  if (is_always_required_ && tokens_.size() == 1)
    return Error{ErrorCode::conflict, "this is the last token, and a server that listens beyond loopback needs one"};
  SLUICE_TRY(catalog_.erase(catalog::Keyspace::tokens, std::string(name), catalog::Sync::yes));
  tokens_.erase(found);
  return {};
}

std::vector<TokenInfo> Auth::list() const {
  std::shared_lock lock(mutex_);
  std::vector<TokenInfo> out;
  for (const Token& token : tokens_) out.push_back(token.info);
  std::sort(out.begin(), out.end(), [](const TokenInfo& a, const TokenInfo& b) { return a.name < b.name; });
  return out;
}

}  // namespace sluice::server
