// Watch-lists as others write them: plain text, CSV, STIX 2.1 bundles of indicators, events of a MISP feed.
//
// What a list cannot hold is left out and counted by why: a domain, a hash, what looks like an address and is none (10.0.0.0/33), bytes that are not UTF-8, a pattern that says more than an address (taking a part of it
// would match more than its author meant), an indicator that was revoked. One record that is not understood costs only itself.
//
//   plain   an item a line; '#', ';' and "//" begin a comment; "ITEM until TIME" expires
//   csv     a column named like item, indicator, value, ip, address, cidr, network, prefix, port, asn or domain, else the first; one named
//           like expires, valid_until or until is its end
//   stix    indicators with a pattern of type "stix": comparisons of ipv4-addr:value, ipv6-addr:value, network-traffic:src_ref.value,
//           dst_ref.value, src_port, dst_port and autonomous-system:number by =, IN or ISSUBSET, joined by OR; AND only with a comparison of a
//           …type, which says nothing new. valid_until is its end. (STIX 2.1, §4.7 and §9)
//   misp    Attribute objects of an event and of its objects: ip-src, ip-dst, ip-src|port, ip-dst|port, domain|ip and AS, with to_ids and not
//           deleted. (MISP core format, §2.4)
//
// Pure, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

enum class ListFormat { plain, csv, stix, misp };
std::optional<ListFormat> list_format_of(std::string_view word);
// From a Content-Type and, where that names neither CSV nor STIX, the text itself: many clients label what they send as a form, or not at all.
// CSV without a header of several names is told from plain text by the Content-Type alone.
ListFormat guess_list_format(std::string_view content_type, std::string_view text);

struct ReadList {
  std::vector<std::string> items;
  std::vector<TimestampNs> ends;             // of each item; kTimestampMax: never
  std::map<std::string, uint64_t> left_out;  // why, how many
};

// Errors: parse, where the document as a whole is not what it should be; too_large, where its tree would take too much memory.
Result<ReadList> read_list(ListFormat format, std::string_view text);

}  // namespace sluice::server
