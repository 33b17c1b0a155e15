// A container of Azure Blob Storage, or of Azurite: List Blobs, Get Blob and Get Block List
// (learn.microsoft.com/rest/api/storageservices). Signed with the account's key (Shared Key), or with a shared access
// signature, whose query string goes behind every URL.
//
// Thread rule and errors: as object_store.h says.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/receive/http_url.h"
#include "ingest/receive/object_store.h"

namespace sluice::ingest {

struct AzureCredentials {
  std::string account_key;  // base64, as the portal shows it
  std::string sas;          // "sv=…&sig=…", with or without a leading "?"
};

struct AzureOptions {
  std::string account, container;
  std::string endpoint;  // empty: https://ACCOUNT.blob.core.windows.net; Azurite: http://127.0.0.1:10000/devstoreaccount1
  // Asked for each request. Exactly one of the two members is set; neither: a public container.
  std::function<Result<AzureCredentials>()> credentials;
  RetryPolicy retry;
};

struct BlobBlock {
  std::string id;
  uint64_t size = 0;
};
struct BlockList {
  std::vector<BlobBlock> blocks;  // committed, in order; empty for a blob that was written in one piece
  std::string etag;               // of the blob that they belong to
};

class AzureStore : public ObjectStore {
 public:
  virtual Result<BlockList> block_list(const std::string& key) = 0;
};

// Errors: invalid_argument for an endpoint, an account or a container that makes no sense. `transport` and `clock` outlive it.
Result<std::unique_ptr<AzureStore>> open_azure_store(AzureOptions options, HttpTransport& transport, const Clock& clock);

// The value of `Authorization` (learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key), for the newest form,
// of 2015-02-21 and later. `path` is the URL's, encoded; query names and values are not encoded; header names in lower case.
// Errors: invalid_argument when the key is no base64.
Result<std::string> azure_authorization(std::string_view method, std::string_view account, std::string_view account_key, std::string_view path,
                                        std::vector<std::pair<std::string, std::string>> query, const HttpHeaders& headers);

// "Fri, 26 Jun 2015 23:39:12 GMT" (RFC 9110 IMF-fixdate) both ways.
std::string format_http_date(TimestampNs time);
std::optional<TimestampNs> parse_http_date(std::string_view text);

Result<ListPage> parse_azure_listing(std::string_view xml);
Result<std::vector<BlobBlock>> parse_block_list(std::string_view xml);

}  // namespace sluice::ingest
