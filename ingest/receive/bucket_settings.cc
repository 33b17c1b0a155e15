// The settings of feeds of kind "s3" and "azure_blob", and the parts that they make.
#include "ingest/receive/aws_credentials.h"
#include "ingest/receive/bucket_feed.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/s3_store.h"

namespace sluice::ingest {
namespace {

constexpr DurationNs kIntervalMin = kSecond, kIntervalMax = kDay;
constexpr DurationNs kLookbackMin = kMinute, kLookbackMax = 30 * kDay;

bool is_loopback(const HttpUrl& url) { return url.host == "localhost" || url.host == "[::1]" || url.host.starts_with("127."); }

// "all", a time, or a duration before the first start.
Status read_since(FeedSettings& settings, BucketFeedOptions& out) {
  SLUICE_ASSIGN(const std::string since, settings.text("since", "1d"));
  if (since == "all") {
    if (out.prefix.has_time()) return settings.error_at("since", "is a time or a duration where the prefix has a time in it, not 'all'");
    out.since_age = kTimestampMax;
  } else if (const auto time = parse_timestamp(since)) {
    out.since = *time;
  } else if (const auto age = parse_duration(since); age && *age >= 0) {
    out.since_age = *age;
  } else {
    return settings.error_at("since", "is 'all', a time such as 2026-11-01 or a duration such as 7d, not '" + since + "'");
  }
  return {};
}

Result<BucketFeedOptions> read_options(FeedSettings& settings) {
  BucketFeedOptions out;
  SLUICE_ASSIGN(const std::string prefix, settings.text("prefix"));
  auto parsed = PrefixTemplate::parse(prefix);
  if (!parsed.ok()) return settings.error_at("prefix", parsed.error().message);
  out.prefix = std::move(*parsed);
  SLUICE_ASSIGN(out.suffixes, settings.list("suffix"));
  SLUICE_TRY(read_since(settings, out));
  SLUICE_ASSIGN(out.lookback, settings.duration("lookback", kDay, kLookbackMin, kLookbackMax));
  SLUICE_ASSIGN(out.interval, settings.duration("interval", kMinute, kIntervalMin, kIntervalMax));
  SLUICE_ASSIGN(out.object_bytes_max, settings.count("max_object_bytes", limits::kFeedObjectBytesMax, 1, limits::kFeedObjectBytesMax));
  return out;
}

Result<HttpClientOptions> read_http(FeedSettings& settings, const std::shared_ptr<PollContext>& context) {
  HttpClientOptions http;
  SLUICE_ASSIGN(http.ca_file, settings.text("ca_file"));
  SLUICE_ASSIGN(http.proxy, settings.text("proxy"));
  http.cancelled = [context] { return context->stopping(); };
  return http;
}

Result<std::function<Result<AwsCredentials>()>> read_aws_credentials(FeedSettings& settings) {
  SLUICE_ASSIGN(const std::string id, settings.text("access_key_id"));
  SLUICE_ASSIGN(const auto secret, settings.secret("secret_access_key"));
  SLUICE_ASSIGN(const auto token, settings.secret("session_token"));
  SLUICE_ASSIGN(const std::string file, settings.text("credentials_file"));
  SLUICE_ASSIGN(const std::string profile, settings.text("profile", "default"));
  SLUICE_ASSIGN(const bool anonymous, settings.flag("anonymous", false));
  if (id.empty() != !secret) return settings.error_at("access_key_id", "and secret_access_key_file (or secret_access_key_env) go together");
  if (int{anonymous} + int{!id.empty()} + int{!file.empty()} > 1)
    return settings.error_at("credentials_file", "anonymous, access_key_id and credentials_file exclude each other");
  using Reader = std::function<Result<AwsCredentials>()>;
  if (anonymous) return Reader();
  Reader read;
  if (!id.empty()) {
    read = [id, secret, token]() -> Result<AwsCredentials> {
      AwsCredentials out;
      out.access_key_id = id;
      SLUICE_ASSIGN(out.secret_access_key, secret());
      if (token) {
        SLUICE_ASSIGN(out.session_token, token());
      }
      return out;
    };
  } else if (!file.empty()) {
    read = [file, profile] { return aws_credentials_of_file(file, profile); };
  } else {
    read = [] { return aws_credentials_of_environment(); };
  }
  // What is wrong is told at the start.
  if (const auto once = read(); !once.ok()) return settings.error_at(file.empty() ? "access_key_id" : "credentials_file", once.error().message);
  return read;
}

RetryPolicy retry_of(const std::shared_ptr<PollContext>& context) {
  return {limits::kBucketTries, [context](DurationNs time) { return context->wait(time); }};
}

}  // namespace

Result<std::unique_ptr<Feed>> make_s3_feed(FeedSettings& settings) {
  auto context = std::make_shared<PollContext>();
  SLUICE_ASSIGN(BucketFeedOptions options, read_options(settings));
  constexpr std::string_view kOrders[] = {"any", "name"};
  SLUICE_ASSIGN(const size_t order, settings.choice("order", kOrders, 0));
  options.ascending = order == 1;
  if (options.ascending && !options.prefix.is_plain()) return settings.error_at("order", "'name' needs a prefix without '*' and braces");
  SLUICE_ASSIGN(const std::string sqs_url, settings.text("sqs_url"));
  S3Options s3;
  if (sqs_url.empty()) {
    SLUICE_ASSIGN(s3.bucket, settings.required("bucket"));
  } else {
    SLUICE_ASSIGN(s3.bucket, settings.text("bucket"));
    if (!options.prefix.is_plain()) return settings.error_at("prefix", "has no place for '*' and braces where a queue tells of objects");
  }
  SLUICE_ASSIGN(s3.endpoint, settings.text("endpoint"));
  SLUICE_ASSIGN(s3.region, settings.text("region"));
  if (s3.region.empty()) {
    if (s3.endpoint.empty() && sqs_url.empty()) return settings.error_at("region", "is needed for a bucket of Amazon, for instance eu-west-1");
    s3.region = "us-east-1";
  }
  SLUICE_ASSIGN(const std::string path_style, settings.text("path_style"));
  if (!path_style.empty()) {
    SLUICE_ASSIGN(s3.path_style, settings.flag("path_style", true));
  }
  SLUICE_ASSIGN(s3.credentials, read_aws_credentials(settings));
  s3.retry = retry_of(context);

  BucketFeedParts parts;
  SLUICE_ASSIGN(HttpClientOptions http, read_http(settings, context));
  parts.transport = open_http_client(std::move(http));
  HttpTransport& transport = *parts.transport;
  if (!sqs_url.empty()) {
    SqsOptions sqs{sqs_url, settings.options.contains("region") ? s3.region : std::string(), s3.credentials, s3.retry, limits::kQueueVisibility};
    SLUICE_ASSIGN(sqs.visibility, settings.duration("sqs_visibility", limits::kQueueVisibility, 30 * kSecond, 12 * kHour));
    settings.claim("sqs_url", "the queue " + sqs_url);
    auto queue = SqsQueue::open(std::move(sqs), transport, *context);
    if (!queue.ok()) return settings.error_at("sqs_url", queue.error().message);
    parts.queue = std::move(*queue);
    parts.bucket = s3.bucket;
    parts.open = [s3, &transport, context](const std::string& bucket) {
      S3Options one = s3;
      one.bucket = bucket;
      return open_s3_store(std::move(one), transport, *context);
    };
    if (!settings.options.contains("region")) {
      // The bucket lies where its queue is, as S3 wants it.
      auto url = parse_http_url(sqs_url);
      if (url.ok() && url->host.starts_with("sqs.") && url->host.find(".amazonaws.com") != std::string::npos) {
        s3.region = url->host.substr(4, url->host.find('.', 4) - 4);
        parts.open = [s3, &transport, context](const std::string& bucket) {
          S3Options one = s3;
          one.bucket = bucket;
          return open_s3_store(std::move(one), transport, *context);
        };
      }
    }
    // A bucket or endpoint that makes no sense is told now.
    if (const auto probe = parts.open(s3.bucket.empty() ? "bucket" : s3.bucket); !probe.ok())
      return settings.error_at(s3.bucket.empty() ? "endpoint" : "bucket", probe.error().message);
  } else {
    auto store = open_s3_store(s3, transport, *context);
    if (!store.ok()) return settings.error_at(store.error().message.starts_with("endpoint") ? "endpoint" : "bucket", store.error().message);
    parts.store = std::move(*store);
  }
  return std::unique_ptr<Feed>(std::make_unique<BucketFeed>(std::move(options), context, std::move(parts)));
}

Result<std::unique_ptr<Feed>> make_azure_blob_feed(FeedSettings& settings) {
  auto context = std::make_shared<PollContext>();
  SLUICE_ASSIGN(BucketFeedOptions options, read_options(settings));
  SLUICE_ASSIGN(const bool tail, settings.flag("tail", true));
  if (tail) options.tail_suffix = "/PT1H.json";
  AzureOptions azure;
  SLUICE_ASSIGN(azure.account, settings.required("account"));
  SLUICE_ASSIGN(azure.container, settings.required("container"));
  SLUICE_ASSIGN(azure.endpoint, settings.text("endpoint"));
  SLUICE_ASSIGN(const auto key, settings.secret("account_key"));
  SLUICE_ASSIGN(const auto sas, settings.secret("sas"));
  if (key && sas) return settings.error_at("sas_file", "an account key and a shared access signature exclude each other");
  if (sas && !azure.endpoint.empty()) {
    const auto url = parse_http_url(azure.endpoint);
    if (url.ok() && !url->tls && !is_loopback(*url)) return settings.error_at("endpoint", "a shared access signature is a password; it is not sent without TLS");
  }
  if (key) {
    azure.credentials = [key]() -> Result<AzureCredentials> {
      AzureCredentials out;
      SLUICE_ASSIGN(out.account_key, key());
      return out;
    };
  } else if (sas) {
    azure.credentials = [sas]() -> Result<AzureCredentials> {
      AzureCredentials out;
      SLUICE_ASSIGN(out.sas, sas());
      return out;
    };
  }
  azure.retry = retry_of(context);

  BucketFeedParts parts;
  SLUICE_ASSIGN(HttpClientOptions http, read_http(settings, context));
  parts.transport = open_http_client(std::move(http));
  auto store = open_azure_store(std::move(azure), *parts.transport, *context);
  if (!store.ok()) return settings.error_at(store.error().message.starts_with("endpoint") ? "endpoint" : "container", store.error().message);
  parts.blocks = store->get();
  parts.store = std::move(*store);
  return std::unique_ptr<Feed>(std::make_unique<BucketFeed>(std::move(options), context, std::move(parts)));
}

}  // namespace sluice::ingest
