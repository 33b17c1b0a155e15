// Kind "ipfix": flows to a collector as IPFIX (RFC 7011) over UDP, TCP or TLS. It takes flows alone; a test call sends it the templates.
//
// Keys: address ("host:port"), transport = udp, tcp, tls; domain (observation domain id, default 0); ca_file, certificate_file, key_file (tls).
//
// Two templates, of IPv4 and of IPv6. Numbers that a flow does not have are 0, as IPFIX has no way to leave a field out of a record; volumes
// are scaled by the sampling rate, so no rate is told. Templates go first over each connection, and over UDP again every minute (RFC 7011
// section 8.4). Over UDP nothing is acknowledged, and nothing says that a collector is there.
#pragma once

#include "server/delivery/target.h"
#include "storage/model/batch.h"

namespace sluice::delivery {

Result<MadeTarget> make_ipfix(ingest::DeclaredSettings& settings);

// A data record as FlowDocument::body: a byte that says which template (4 or 6), then the record.
std::string ipfix_record(const Batch& flows, size_t row);
// One message: header, the template set if asked for, and data sets of records in their order. REQUIRES: it is below 65,536 bytes
std::string ipfix_message(std::span<const FlowDocument> records, bool with_templates, TimestampNs now, uint32_t sequence, uint32_t domain);

}  // namespace sluice::delivery
