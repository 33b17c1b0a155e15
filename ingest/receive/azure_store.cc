#include "ingest/receive/azure_store.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "ingest/receive/digest.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/xml_reader.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kVersion = "2020-10-02";
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};  // from 1970-01-01

using Query = std::vector<std::pair<std::string, std::string>>;

std::string_view azure_hint_for(std::string_view code) {
  if (code == "AuthenticationFailed") return "the account key or the shared access signature is wrong or too old, or this machine's clock is";
  if (code == "AuthorizationPermissionMismatch" || code == "AuthorizationFailure")
    return "the signature needs the permissions list and read (sp=rl) on the container, and the account's firewall must let this machine in";
  if (code == "AuthorizationResourceTypeMismatch") return "an account's signature needs the resource types container and object (srt=co)";
  return {};
}

Error azure_error_of(const std::string& what, const HttpResponse& response) {
  std::string code(response.header("x-ms-error-code"));
  if (code.empty()) code = xml_text_of(response.body, "Code");
  std::string message = what + ": status " + std::to_string(response.status);
  if (!code.empty()) message += " " + code.substr(0, 100);
  std::string text = xml_text_of(response.body, "Message");
  text = text.substr(0, std::min(text.find('\n'), size_t{300}));  // request ids follow
  if (!text.empty()) message += ": " + text;
  if (const auto hint = azure_hint_for(code); !hint.empty()) message += "; " + std::string(hint);
  ErrorCode kind = ErrorCode::io;
  if (response.status == 401 || code == "AuthenticationFailed") kind = ErrorCode::unauthenticated;
  else if (response.status == 403) kind = ErrorCode::forbidden;
  else if (response.status == 404) kind = ErrorCode::not_found;
  else if (response.status == 412) kind = ErrorCode::conflict;
  else if (response.status == 429 || response.status == 503) kind = ErrorCode::full;
  else if (response.status >= 300 && response.status < 500) kind = ErrorCode::invalid_argument;
  return {kind, message};
}

// An etag is quoted in headers; the listing leaves the quotes off.
class AzureStoreImpl final : public AzureStore {
 public:
  AzureStoreImpl(AzureOptions options, HttpUrl url, HttpTransport& transport, const Clock& clock)
      : options_(std::move(options)), url_(std::move(url)), transport_(transport), clock_(clock) {
    while (url_.path.ends_with('/')) url_.path.pop_back();
  }

  std::string name() const override { return "azure://" + options_.account + "/" + options_.container; }

  Result<ListPage> list(const ListRequest& request) override {
    Query query = {{"restype", "container"}, {"comp", "list"}};
    if (!request.prefix.empty()) query.emplace_back("prefix", request.prefix);
    if (request.folders) query.emplace_back("delimiter", "/");
    if (!request.token.empty()) query.emplace_back("marker", request.token);
    const std::string what = "cannot list " + name() + "/" + request.prefix;
    SLUICE_ASSIGN(const HttpResponse response, send("", query, {}, limits::kHttpAnswerBytesMax, what));
    if (!response.ok()) return azure_error_of(what, response);
    auto page = parse_azure_listing(response.body);
    if (!page.ok()) return std::move(page).error().with(what);
    return page;
  }

  Result<std::string> get(const GetRequest& request) override {
    HttpHeaders headers;
    const bool part = request.offset > 0 || request.length;
    if (part) {
      if (request.length && *request.length == 0) return std::string();
      headers.emplace_back("x-ms-range", "bytes=" + std::to_string(request.offset) + "-" +
                                             (request.length ? std::to_string(request.offset + *request.length - 1) : std::string()));
    }
    if (!request.etag.empty()) headers.emplace_back("if-match", "\"" + request.etag + "\"");
    const std::string what = "cannot get " + name() + "/" + request.key;
    SLUICE_ASSIGN(HttpResponse response, send(request.key, {}, std::move(headers), request.bytes_max, what));
    if (response.status == 416) return std::string();
    if (!response.ok()) return azure_error_of(what, response);
    if (part && response.status != 206) {
      if (request.offset >= response.body.size()) return std::string();
      return response.body.substr(request.offset, request.length.value_or(std::string::npos));
    }
    return std::move(response.body);
  }

  Result<BlockList> block_list(const std::string& key) override {
    const std::string what = "cannot list the blocks of " + name() + "/" + key;
    SLUICE_ASSIGN(const HttpResponse response, send(key, {{"comp", "blocklist"}, {"blocklisttype", "committed"}}, {}, limits::kHttpAnswerBytesMax, what));
    if (!response.ok()) return azure_error_of(what, response);
    auto blocks = parse_block_list(response.body);
    if (!blocks.ok()) return std::move(blocks).error().with(what);
    return BlockList{std::move(*blocks), opaque_tag(response.header("etag"))};
  }

 private:
  Result<HttpResponse> send(const std::string& key, const Query& query, HttpHeaders headers, size_t bytes_max, const std::string& what) {
    AzureCredentials credentials;
    if (options_.credentials) {
      auto loaded = options_.credentials();
      if (!loaded.ok()) return std::move(loaded).error().with(what);
      credentials = std::move(*loaded);
    }
    const std::string path = url_.path + "/" + options_.container + (key.empty() ? "" : "/" + percent_encode(key, true));
    std::string query_text;
    for (const auto& [name, value] : query) query_text += (query_text.empty() ? "" : "&") + percent_encode(name) + "=" + percent_encode(value);
    if (!credentials.sas.empty()) {
      const std::string_view sas = std::string_view(credentials.sas).substr(credentials.sas.starts_with('?') ? 1 : 0);
      query_text += (query_text.empty() ? "" : "&") + std::string(sas);
    }
    headers.emplace_back("x-ms-version", std::string(kVersion));
    Status signing;
    auto response = send_with_retries(transport_, options_.retry, [&] {
      HttpRequest request;
      request.url = url_.origin() + path + (query_text.empty() ? "" : "?" + query_text);
      request.headers = headers;
      request.headers.emplace_back("x-ms-date", format_http_date(clock_.now()));
      request.body_bytes_max = bytes_max;
      if (!credentials.account_key.empty()) {
        auto authorization = azure_authorization("GET", options_.account, credentials.account_key, path, query, request.headers);
        if (authorization.ok()) request.headers.emplace_back("authorization", std::move(*authorization));
        else signing = std::move(authorization).error();
      }
      return request;
    });
    if (!signing.ok()) return std::move(signing).error().with(what);
    if (!response.ok()) return std::move(response).error().with(what);
    return response;
  }

  const AzureOptions options_;
  HttpUrl url_;
  HttpTransport& transport_;
  const Clock& clock_;
};

unsigned two_digits(std::string_view text) { return static_cast<unsigned>((text[0] - '0') * 10 + (text[1] - '0')); }

}  // namespace

std::string format_http_date(TimestampNs time) {
  const TimestampNs seconds = time - ((time % kSecond) + kSecond) % kSecond;
  const std::string iso = format_timestamp(seconds);  // 2015-06-26T23:39:12Z
  const int64_t day = (seconds - ((seconds % kDay) + kDay) % kDay) / kDay;
  const size_t weekday = static_cast<size_t>(((day % 7) + 7) % 7);
  return std::string(kDays[weekday]) + ", " + iso.substr(8, 2) + " " + std::string(kMonths[two_digits(iso.substr(5, 2)) - 1]) + " " +
         iso.substr(0, 4) + " " + iso.substr(11, 8) + " GMT";
}

std::optional<TimestampNs> parse_http_date(std::string_view text) {
  // Day names are not checked: the date says it all.
  if (text.size() != 29 || text.substr(3, 2) != ", " || !text.ends_with(" GMT") || text[7] != ' ' || text[11] != ' ' || text[16] != ' ') return std::nullopt;
  const auto month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
  if (month == kMonths.end()) return std::nullopt;
  const size_t number = static_cast<size_t>(month - kMonths.begin()) + 1;
  return parse_timestamp(std::string(text.substr(12, 4)) + "-" + (number < 10 ? "0" : "") + std::to_string(number) + "-" + std::string(text.substr(5, 2)) +
                         "T" + std::string(text.substr(17, 8)) + "Z");
}

Result<std::string> azure_authorization(std::string_view method, std::string_view account, std::string_view account_key, std::string_view path,
                                        Query query, const HttpHeaders& headers) {
  const auto key = from_base64(account_key);
  if (!key || key->empty()) return Error{ErrorCode::invalid_argument, "the account key is no base64 text"};
  const auto header = [&](std::string_view name) {
    const auto it = std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
    return it == headers.end() ? std::string() : it->second;
  };
  std::string text(method);
  text += '\n';
  // A content-length of 0 is written as nothing; the date is in x-ms-date.
  for (const std::string_view name : {"content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
                                      "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"})
    text += header(name) + "\n";
  HttpHeaders own;
  for (const auto& h : headers)
    if (h.first.starts_with("x-ms-")) own.push_back(h);
  std::sort(own.begin(), own.end());
  for (const auto& [name, value] : own) text += name + ":" + value + "\n";
  text += "/" + std::string(account) + std::string(path);
  std::sort(query.begin(), query.end());
  for (const auto& [name, value] : query) text += "\n" + name + ":" + value;
  return "SharedKey " + std::string(account) + ":" + base64(hmac_sha256(*key, text));
}

Result<std::unique_ptr<AzureStore>> open_azure_store(AzureOptions options, HttpTransport& transport, const Clock& clock) {
  const auto is_name = [](std::string_view name) {
    return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '$';
    });
  };
  if (!is_name(options.account)) return Error{ErrorCode::invalid_argument, "not a storage account: '" + options.account.substr(0, 100) + "'"};
  if (!is_name(options.container)) return Error{ErrorCode::invalid_argument, "not a container: '" + options.container.substr(0, 100) + "'"};
  auto url = parse_http_url(options.endpoint.empty() ? "https://" + options.account + ".blob.core.windows.net" : options.endpoint);
  if (!url.ok()) return std::move(url).error().with("endpoint");
  if (!url->query.empty()) return Error{ErrorCode::invalid_argument, "endpoint: a query has no place in it; a shared access signature has a setting of its own"};
  return std::unique_ptr<AzureStore>(std::make_unique<AzureStoreImpl>(std::move(options), std::move(*url), transport, clock));
}

Result<ListPage> parse_azure_listing(std::string_view xml) {
  ListPage page;
  XmlReader reader(xml);
  std::vector<std::string> path;
  StoredObject object;
  std::string folder;
  while (true) {
    switch (reader.next()) {
      case XmlReader::Kind::error: return reader.error();
      case XmlReader::Kind::end: return page;
      case XmlReader::Kind::open:
        path.emplace_back(reader.name());
        if (path.size() == 1 && path[0] != "EnumerationResults") return Error{ErrorCode::parse, "the answer is no listing but '" + path[0].substr(0, 100) + "'"};
        if (path.size() == 3 && path[2] == "Blob") object = {};
        if (path.size() == 3 && path[2] == "BlobPrefix") folder.clear();
        break;
      case XmlReader::Kind::text: {
        const std::string& text = reader.text();
        if (path.size() == 2 && path[1] == "NextMarker") page.next = text;
        if (path.size() == 4 && path[2] == "Blob" && path[3] == "Name") object.key = text;
        if (path.size() == 4 && path[2] == "BlobPrefix" && path[3] == "Name") folder = text;
        if (path.size() == 5 && path[3] == "Properties") {
          if (path[4] == "Etag") object.etag = opaque_tag(text);
          if (path[4] == "Content-Length") {
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), object.size);
            if (error != std::errc() || end != text.data() + text.size()) return Error{ErrorCode::parse, "a blob's length is no number"};
          }
          if (path[4] == "Last-Modified") {
            const auto time = parse_http_date(text);
            if (!time) return Error{ErrorCode::parse, "a blob's time of change is no time"};
            object.modified = *time;
          }
        }
        break;
      }
      case XmlReader::Kind::close:
        if (path.size() == 3 && path[2] == "Blob") {
          if (object.key.empty()) return Error{ErrorCode::parse, "a blob of the listing has no name"};
          page.objects.push_back(std::move(object));
        }
        if (path.size() == 3 && path[2] == "BlobPrefix" && !folder.empty()) page.folders.push_back(folder);
        path.pop_back();
        break;
    }
  }
}

Result<std::vector<BlobBlock>> parse_block_list(std::string_view xml) {
  std::vector<BlobBlock> blocks;
  XmlReader reader(xml);
  std::vector<std::string> path;
  BlobBlock block;
  while (true) {
    switch (reader.next()) {
      case XmlReader::Kind::error: return reader.error();
      case XmlReader::Kind::end: return blocks;
      case XmlReader::Kind::open:
        path.emplace_back(reader.name());
        if (path.size() == 1 && path[0] != "BlockList") return Error{ErrorCode::parse, "the answer is no list of blocks but '" + path[0].substr(0, 100) + "'"};
        if (path.size() == 3) block = {};
        break;
      case XmlReader::Kind::text: {
        const std::string& text = reader.text();
        if (path.size() != 4 || path[1] != "CommittedBlocks") break;
        if (path[3] == "Name") block.id = text;
        if (path[3] == "Size") {
          const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), block.size);
          if (error != std::errc() || end != text.data() + text.size()) return Error{ErrorCode::parse, "a block's size is no number"};
        }
        break;
      }
      case XmlReader::Kind::close:
        if (path.size() == 3 && path[1] == "CommittedBlocks" && path[2] == "Block") {
          if (blocks.size() >= limits::kBlobBlocksMax) return Error{ErrorCode::too_large, "a blob has more blocks than there can be"};
          blocks.push_back(std::move(block));
        }
        path.pop_back();
        break;
    }
  }
}

}  // namespace sluice::ingest
