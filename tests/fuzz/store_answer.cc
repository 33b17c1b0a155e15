// What object stores and queues answer with: listings in XML, notices and messages in JSON, credentials files, prefixes, URLs. Never a
// crash, bounded output, and no listing whose objects lack a key.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingest/receive/aws_credentials.h"
#include "ingest/receive/azure_store.h"
#include "ingest/receive/blob_tail.h"
#include "ingest/receive/http_url.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/object_notice.h"
#include "ingest/receive/prefix_template.h"
#include "ingest/receive/s3_store.h"
#include "ingest/receive/sqs_queue.h"
#include "ingest/receive/xml_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  XmlReader reader(text);
  size_t opened = 0, closed = 0;
  for (auto kind = reader.next(); kind != XmlReader::Kind::end && kind != XmlReader::Kind::error; kind = reader.next()) {
    opened += kind == XmlReader::Kind::open;
    closed += kind == XmlReader::Kind::close;
    SLUICE_CHECK(reader.depth() <= limits::kXmlDepthMax && closed <= opened && opened <= size);
    SLUICE_CHECK(kind != XmlReader::Kind::text || (!reader.text().empty() && reader.text().size() <= size));
  }
  SLUICE_CHECK(reader.next() == XmlReader::Kind::error || opened == closed);

  for (const auto& page : {parse_s3_listing(text), parse_azure_listing(text)})
    if (page.ok())
      for (const auto& object : page->objects) SLUICE_CHECK(!object.key.empty());
  (void)parse_block_list(text);
  if (const auto notices = parse_object_notice(text); notices.ok())
    for (const auto& notice : notices->created) SLUICE_CHECK(!notice.bucket.empty() && !notice.key.empty());
  (void)parse_sqs_messages(text);
  (void)parse_aws_credentials(text, "default");
  (void)parse_http_date(text);
  if (const auto url = parse_http_url(text); url.ok()) {
    const auto again = parse_http_url(url->origin() + url->path);
    SLUICE_CHECK(again.ok() && again->host == url->host);
  }
  SLUICE_CHECK(percent_decode(percent_encode(text)) == text);
  if (const auto prefix = PrefixTemplate::parse(text); prefix.ok()) (void)prefix->over({0, kDay});

  // A tail that is cut anywhere goes on where it ended.
  for (const bool is_end : {false, true}) {
    const auto whole = cut_tail(text, true, is_end);
    if (!whole) break;
    SLUICE_CHECK(whole->end <= size);
    if (whole->end > 0) {
      const auto rest = cut_tail(text.substr(whole->end), false, is_end);
      SLUICE_CHECK(!rest || rest->body.empty());
    }
  }
  return 0;
}
