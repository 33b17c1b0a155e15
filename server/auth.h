// Who may do what: bearer tokens with a role, kept hashed in the catalogue.
//
// A token is 256 random bits, so a plain SHA-256 of it is enough: nobody can guess through 2^256 values, and slow password
// hashes only protect secrets that people choose. Comparison is constant-time over all tokens.
//
// Thread rule: any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "storage/catalog/catalog.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

// What a route needs and what a token has. admin may do everything; read and ingest only their own.
enum class Role : uint8_t { none, read, ingest, admin };
std::string_view to_string(Role role);
std::optional<Role> parse_role(std::string_view text);
bool allows(Role has, Role needed);

struct Principal {
  std::string name;  // of the token; "anonymous" where no tokens exist
  Role role = Role::none;
};

struct TokenInfo {
  std::string name;
  Role role = Role::none;
  TimestampNs created_at = 0;
};

// Tokens of one data directory at most; each request is compared with all.
inline constexpr size_t kTokensMax = 1'000;

class Auth {
 public:
  // Reads the tokens. Errors: io, corrupt.
  static Result<std::unique_ptr<Auth>> open(catalog::Catalog& catalog);

  // Whether any token exists: from then on every route but health needs one.
  bool required() const;
  // The server listens beyond loopback: without tokens nobody may do anything.
  void require_always() { is_always_required_ = true; }
  // From an Authorization header. Without tokens everyone is an admin, because the server then listens on loopback only.
  // Errors: unauthenticated.
  Result<Principal> identify(std::string_view authorization) const;

  // Returns the token's text, which is shown once and not kept. Errors: conflict (name taken), invalid_argument, full, io.
  Result<std::string> add(std::string_view name, Role role, TimestampNs now);
  // Errors: not_found, io.
  Status remove(std::string_view name);
  std::vector<TokenInfo> list() const;

 private:
  struct Token {
    TokenInfo info;
    std::array<uint8_t, 32> hash{};
  };
  explicit Auth(catalog::Catalog& catalog) : catalog_(catalog) {}

  catalog::Catalog& catalog_;
  std::atomic<bool> is_always_required_{false};
  mutable std::shared_mutex mutex_;
  std::vector<Token> tokens_;
};

}  // namespace sluice::server
