// ObjectStore: what bucket feeds ask of a store of named objects, whoever runs it: a page of a listing, and bytes of an object.
// S3 and all that speak its protocol (s3_store.h), Azure's blob containers (azure_store.h).
//
// Thread rule: a store belongs to one thread at a time; its calls block for as long as limits.h lets a request take.
// Errors, each naming the store and what was asked:
//   unauthenticated, forbidden  the credentials are wrong or may not do this; the store's own code and words are in the message
//   not_found                   no such bucket or object
//   conflict                    the object has another ETag than the one asked for
//   too_large                   the object is longer than asked for
//   full                        the store asks to be asked less (after the retries that RetryPolicy allows)
//   cancelled, deadline, io, parse
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/http_client.h"
#include "ingest/receive/limits.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct StoredObject {
  std::string key;
  std::string etag;  // without quotes; opaque
  uint64_t size = 0;
  TimestampNs modified = 0;  // by the store's clock, whole seconds as a rule
};

struct ListRequest {
  std::string prefix;
  std::string start_after;  // keys after this one only; stores that cannot do it (Azure) begin at the prefix's first
  std::string token;        // of the page before; "": the first page
  bool folders = false;     // group keys at the first "/" after the prefix
};

struct ListPage {
  std::vector<StoredObject> objects;  // in the store's order, which is by bytes of the key
  std::vector<std::string> folders;   // with `folders`: whole prefixes, "/" at the end
  std::string next;                   // "": this was the last page
};

struct GetRequest {
  std::string key;
  std::string etag;                  // not empty: only this state of the object
  uint64_t offset = 0;
  std::optional<uint64_t> length;    // absent: to the end
  size_t bytes_max = limits::kFeedObjectBytesMax;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual std::string name() const = 0;  // "s3://bucket", for messages and object ids
  virtual Result<ListPage> list(const ListRequest& request) = 0;
  // The bytes as they lie there, compressed or not. An empty object is "".
  virtual Result<std::string> get(const GetRequest& request) = 0;
};

// An ETag as it is compared: without its quotes and without the mark of a weak one (RFC 9110 section 8.8.3).
std::string opaque_tag(std::string_view etag);

// Tries again what a store answers with 429 or 5xx, and what the network breaks, after 0.25 s, 1 s and 4 s.
struct RetryPolicy {
  int tries = limits::kBucketTries;
  // Waits; false when the wait was cut short because the server stops. Empty: one try only.
  std::function<bool(DurationNs)> wait;
};

// `make` signs anew for each try. Answers other than 429 and 5xx come back as they are.
Result<HttpResponse> send_with_retries(HttpTransport& transport, const RetryPolicy& policy, const std::function<HttpRequest()>& make);

}  // namespace sluice::ingest
