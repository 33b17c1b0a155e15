#include "ingest/receive/s3_store.h"

#include <charconv>

#include "ingest/receive/limits.h"
#include "ingest/receive/xml_reader.h"

namespace sluice::ingest {
namespace {

// Amazon's rules are narrower; other stores allow capitals and underscores.
bool is_bucket_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_')) return false;
  return true;
}

// What to look at first, for the errors that everybody meets.
std::string_view s3_hint_for(std::string_view code) {
  if (code == "SignatureDoesNotMatch") return "the secret access key is wrong, or a proxy changes requests";
  if (code == "InvalidAccessKeyId") return "there is no such access key";
  if (code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired") return "the session token is too old";
  if (code == "RequestTimeTooSkewed") return "this machine's clock is wrong";
  if (code == "AccessDenied") return "the policy needs s3:ListBucket on the bucket and s3:GetObject on its objects (and kms:Decrypt where they are encrypted with a key of yours)";
  if (code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" || code == "IllegalLocationConstraintException")
    return "the bucket lies in another region; set region, or endpoint";
  return {};
}

Error s3_error_of(const std::string& what, const HttpResponse& response) {
  const std::string code = xml_text_of(response.body, "Code");
  std::string message = what + ": status " + std::to_string(response.status);
  if (!code.empty()) message += " " + code.substr(0, 100);
  if (const std::string text = xml_text_of(response.body, "Message"); !text.empty()) message += ": " + text.substr(0, 300);
  if (const auto region = response.header("x-amz-bucket-region"); !region.empty() && response.status != 404)
    message += " (the bucket's region is " + std::string(region.substr(0, 50)) + ")";
  if (const auto hint = s3_hint_for(code); !hint.empty()) message += "; " + std::string(hint);
  ErrorCode kind = ErrorCode::io;
  if (response.status == 401 || code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken")
    kind = ErrorCode::unauthenticated;
  else if (response.status == 403) kind = ErrorCode::forbidden;
  else if (response.status == 404) kind = ErrorCode::not_found;
  else if (response.status == 412) kind = ErrorCode::conflict;
  else if (response.status == 429 || response.status == 503 || code == "SlowDown") kind = ErrorCode::full;
  else if (response.status >= 300 && response.status < 500) kind = ErrorCode::invalid_argument;
  return {kind, message};
}

class S3Store final : public ObjectStore {
 public:
  S3Store(S3Options options, HttpUrl url, bool path_style, HttpTransport& transport, const Clock& clock)
      : options_(std::move(options)), url_(std::move(url)), path_style_(path_style), transport_(transport), clock_(clock) {}

  std::string name() const override { return "s3://" + options_.bucket; }

  Result<ListPage> list(const ListRequest& request) override {
    AwsRequest ask = about("");
    ask.query = {{"list-type", "2"}, {"encoding-type", "url"}};
    if (!request.prefix.empty()) ask.query.emplace_back("prefix", request.prefix);
    if (request.folders) ask.query.emplace_back("delimiter", "/");
    if (!request.token.empty()) ask.query.emplace_back("continuation-token", request.token);
    else if (!request.start_after.empty()) ask.query.emplace_back("start-after", request.start_after);
    const std::string what = "cannot list " + name() + "/" + request.prefix;
    SLUICE_ASSIGN(const HttpResponse response, send(ask, limits::kHttpAnswerBytesMax, what));
    if (!response.ok()) return s3_error_of(what, response);
    auto page = parse_s3_listing(response.body);
    if (!page.ok()) return std::move(page).error().with(what);
    return page;
  }

  Result<std::string> get(const GetRequest& request) override {
    AwsRequest ask = about(request.key);
    if (request.offset > 0 || request.length) {
      if (request.length && *request.length == 0) return std::string();
      ask.headers.emplace_back("range", "bytes=" + std::to_string(request.offset) + "-" +
                                            (request.length ? std::to_string(request.offset + *request.length - 1) : std::string()));
    }
    if (!request.etag.empty()) ask.headers.emplace_back("if-match", "\"" + request.etag + "\"");
    const std::string what = "cannot get " + name() + "/" + request.key;
    SLUICE_ASSIGN(HttpResponse response, send(ask, request.bytes_max, what));
    if (response.status == 416) return std::string();  // nothing from that offset on
    if (!response.ok()) return s3_error_of(what, response);
    // A store that does not know ranges answers with the whole.
    if ((request.offset > 0 || request.length) && response.status != 206) {
      if (request.offset >= response.body.size()) return std::string();
      return response.body.substr(request.offset, request.length.value_or(std::string::npos));
    }
    return std::move(response.body);
  }

 private:
  AwsRequest about(const std::string& key) const {
    AwsRequest ask;
    ask.url = url_;
    if (!path_style_) ask.url.host = options_.bucket + "." + url_.host;
    ask.path = (path_style_ ? "/" + options_.bucket : std::string()) + (key.empty() && path_style_ ? "" : "/" + key);
    return ask;
  }

  Result<HttpResponse> send(const AwsRequest& ask, size_t bytes_max, const std::string& what) {
    AwsCredentials credentials;
    if (options_.credentials) {
      auto loaded = options_.credentials();
      if (!loaded.ok()) return std::move(loaded).error().with(what);
      credentials = std::move(*loaded);
    }
    auto response = send_with_retries(transport_, options_.retry, [&] {
      HttpRequest request = sign_aws(ask, credentials, {options_.region, "s3"}, clock_.now());
      request.body_bytes_max = bytes_max;
      return request;
    });
    if (!response.ok()) return std::move(response).error().with(what);
    return response;
  }

  const S3Options options_;
  const HttpUrl url_;
  const bool path_style_;
  HttpTransport& transport_;
  const Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_s3_store(S3Options options, HttpTransport& transport, const Clock& clock) {
  if (!is_bucket_name(options.bucket)) return Error{ErrorCode::invalid_argument, "not the name of a bucket: '" + options.bucket.substr(0, 100) + "'"};
  for (const char c : options.region)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
      return Error{ErrorCode::invalid_argument, "not a region: '" + options.region.substr(0, 100) + "'"};
  const bool named = !options.endpoint.empty();
  // China's regions have a domain of their own.
  const std::string domain = options.region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
  auto url = parse_http_url(named ? options.endpoint : "https://s3." + options.region + domain);
  if (!url.ok()) return std::move(url).error().with("endpoint");
  if (url->path.size() > 1 || !url->query.empty())
    return Error{ErrorCode::invalid_argument, "endpoint: a path or query has no place in it; the bucket has a setting of its own"};
  const bool path_style = options.path_style.value_or(named || options.bucket.find('.') != std::string::npos);
  return std::unique_ptr<ObjectStore>(std::make_unique<S3Store>(std::move(options), std::move(*url), path_style, transport, clock));
}

Result<ListPage> parse_s3_listing(std::string_view xml) {
  ListPage page;
  XmlReader reader(xml);
  std::vector<std::string> path;
  StoredObject object;
  bool encoded = false, truncated = false, has_size = false;
  std::string folder;
  const auto decode_all = [&] {
    // The encoding may be told after the keys.
    if (!encoded) return;
    for (auto& o : page.objects) o.key = percent_decode(o.key, true);
    for (auto& f : page.folders) f = percent_decode(f, true);
  };
  while (true) {
    switch (reader.next()) {
      case XmlReader::Kind::error: return reader.error();
      case XmlReader::Kind::end:
        if (truncated && page.next.empty()) return Error{ErrorCode::parse, "the listing goes on but says not where"};
        if (!truncated) page.next.clear();
        decode_all();
        return page;
      case XmlReader::Kind::open:
        path.emplace_back(reader.name());
        if (path.size() == 1 && path[0] != "ListBucketResult") return Error{ErrorCode::parse, "the answer is no listing but '" + path[0].substr(0, 100) + "'"};
        if (path.size() == 2 && path[1] == "Contents") object = {}, has_size = false;
        if (path.size() == 2 && path[1] == "CommonPrefixes") folder.clear();
        break;
      case XmlReader::Kind::text: {
        const std::string& text = reader.text();
        if (path.size() == 2) {
          if (path[1] == "IsTruncated") truncated = text == "true";
          else if (path[1] == "NextContinuationToken") page.next = text;
          else if (path[1] == "EncodingType") encoded = text == "url";
        } else if (path.size() == 3 && path[1] == "Contents") {
          if (path[2] == "Key") object.key = text;
          else if (path[2] == "ETag") object.etag = opaque_tag(text);
          else if (path[2] == "Size") {
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), object.size);
            if (error != std::errc() || end != text.data() + text.size()) return Error{ErrorCode::parse, "an object's size is no number"};
            has_size = true;
          } else if (path[2] == "LastModified") {
            const auto time = parse_timestamp(text);
            if (!time) return Error{ErrorCode::parse, "an object's time of change is no time"};
            object.modified = *time;
          }
        } else if (path.size() == 3 && path[1] == "CommonPrefixes" && path[2] == "Prefix") {
          folder = text;
        }
        break;
      }
      case XmlReader::Kind::close:
        if (path.size() == 2 && path[1] == "Contents") {
          if (object.key.empty() || !has_size) return Error{ErrorCode::parse, "an object of the listing has no key or no size"};
          page.objects.push_back(std::move(object));
        }
        if (path.size() == 2 && path[1] == "CommonPrefixes" && !folder.empty()) page.folders.push_back(folder);
        path.pop_back();
        break;
    }
  }
}

}  // namespace sluice::ingest
