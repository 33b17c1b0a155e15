#include "ingest/receive/object_notice.h"

#include <simdjson.h>

#include "ingest/receive/http_url.h"
#include "ingest/receive/limits.h"

namespace sluice::ingest {
namespace {

using simdjson::dom::element;

std::string notice_text_at(element object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

uint64_t number_at(element object, std::string_view key) {
  uint64_t number = 0;
  return object[key].get(number) == simdjson::SUCCESS ? number : 0;
}

Error bad(std::string_view why) { return {ErrorCode::parse, "not a notice of a new object: " + std::string(why)}; }

Status read(std::string_view message, int depth, ObjectNotices& out) {
  if (message.size() > limits::kQueueMessageBytesMax) return bad("it is too long");
  simdjson::dom::parser parser;
  element root;
  if (parser.parse(message.data(), message.size()).get(root) != simdjson::SUCCESS || !root.is_object()) return bad("it is no JSON object");

  // SNS puts the event into a string.
  std::string_view inner;
  if (notice_text_at(root, "Type") == "Notification" && root["Message"].get(inner) == simdjson::SUCCESS) {
    if (depth > 0) return bad("an SNS notification lies within another");
    return read(inner, depth + 1, out);
  }
  if (notice_text_at(root, "Event") == "s3:TestEvent") {
    ++out.ignored;
    return {};
  }
  if (element detail; root["detail"].get(detail) == simdjson::SUCCESS) {
    if (notice_text_at(root, "detail-type") != "Object Created") {
      ++out.ignored;
      return {};
    }
    element bucket, object;
    if (detail["bucket"].get(bucket) != simdjson::SUCCESS || detail["object"].get(object) != simdjson::SUCCESS) return bad("its detail names no bucket or no object");
    // EventBridge writes keys as they are.
    ObjectNotice notice{notice_text_at(bucket, "name"), notice_text_at(object, "key"), notice_text_at(object, "etag"), number_at(object, "size"),
                        parse_timestamp(notice_text_at(root, "time")).value_or(0)};
    if (notice.bucket.empty() || notice.key.empty()) return bad("its detail names no bucket or no object");
    out.created.push_back(std::move(notice));
    return {};
  }
  simdjson::dom::array records;
  if (root["Records"].get(records) != simdjson::SUCCESS) return bad("it has neither Records nor a detail");
  for (const element record : records) {
    std::string name = notice_text_at(record, "eventName");
    if (name.starts_with("s3:")) name.erase(0, 3);  // MinIO and Ceph
    if (!name.starts_with("ObjectCreated")) {
      ++out.ignored;
      continue;
    }
    element s3, bucket, object;
    if (record["s3"].get(s3) != simdjson::SUCCESS || s3["bucket"].get(bucket) != simdjson::SUCCESS || s3["object"].get(object) != simdjson::SUCCESS)
      return bad("a record names no bucket or no object");
    ObjectNotice notice{notice_text_at(bucket, "name"), percent_decode(notice_text_at(object, "key"), true), notice_text_at(object, "eTag"), number_at(object, "size"),
                        parse_timestamp(notice_text_at(record, "eventTime")).value_or(0)};
    if (notice.bucket.empty() || notice.key.empty()) return bad("a record names no bucket or no object");
    out.created.push_back(std::move(notice));
  }
  return {};
}

}  // namespace

Result<ObjectNotices> parse_object_notice(std::string_view message) {
  ObjectNotices out;
  SLUICE_TRY(read(message, 0, out));
  return out;
}

}  // namespace sluice::ingest
