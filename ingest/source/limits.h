// The bounds of decoding: texts, envelopes, packets and what is remembered of their exporters, with their reasons and what happens when
// they are met.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// --- ingest -------------------------------------------------------------------------------------------------------
// Record errors that one answer lists; all are counted.
inline constexpr size_t kReportedErrorsMax = 100;
// Columns of headers that no field is called, of which one answer tells. Beyond: they are kept in `extra` all the same.
inline constexpr size_t kUnknownColumnsMax = 16;
// One JSON object around AWS lines: a CloudWatch batch that Lambda gets has 6 MiB at most. Beyond: rejected and counted.
inline constexpr size_t kEnvelopeBytesMax = 16u << 20;
// One JSON object of a source that has a record, or a delivery of records, in each. Beyond: rejected and counted.
inline constexpr size_t kJsonObjectBytesMax = 16u << 20;
// Objects and arrays inside each other; flow records have below ten. Beyond: rejected and counted.
inline constexpr size_t kJsonDepthMax = 128;
// A text that stands once in an envelope and is repeated in every row: ids and names of resources. Beyond: cut, and counted; or
// a small body could become gigabytes of rows.
inline constexpr size_t kEnvelopeTextBytesMax = 1'024;
// Text in the rows of one batch that a decoder is making. Beyond: the batch goes on with fewer rows.
inline constexpr size_t kDecodedTextBytesMax = 32u << 20;
// Items of one record that no column holds. Beyond: not kept, and counted as cut.
inline constexpr size_t kJsonExtraItemsMax = 256;
// Flows of one Azure body whose last tuple is remembered, to know when the next one's counters began. Beyond: that is estimated.
inline constexpr size_t kAzureFlowsMax = 1u << 18;
// Connections of one GCP body that are remembered, to mark what a second reporter says of the same traffic. Beyond: not marked.
inline constexpr size_t kGcpConnectionsMax = 1u << 18;
// Flows whose last tuples are remembered over bodies, for the next body's tuples of them: a blob grows each minute, and a flow that
// goes on is reported each five.
// Beyond: those quiet for longest are forgotten; the begin of their next counters is estimated.
inline constexpr size_t kAzureFlowsKeptMax = 1u << 18;
// Reports older than this against the newest are not kept over restarts: a flow is reported each five minutes while it goes on.
inline constexpr DurationNs kAzureFlowsAge = kHour;
// Memory that reading one Parquet object may take beside its bytes; sizes in its footer and pages are its own word. AWS writes row
// groups of some megabytes. Beyond: it cannot be read.
inline constexpr size_t kParquetMemoryBytesMax = 512u << 20;
// Strings, and items of a list, in a Parquet footer and page heads. Beyond: it cannot be read.
inline constexpr int32_t kParquetThriftStringMax = 4 << 20;
inline constexpr int32_t kParquetThriftItemsMax = 1 << 20;
// Columns of a Parquet object, those inside others counted each. Beyond: it cannot be read.
inline constexpr size_t kParquetColumnsMax = 1'024;
// Rows of a Parquet object that are taken out of their columns at once, and their text. Beyond: the next ones are another portion.
inline constexpr size_t kParquetRowsAtOnce = 16'384;
inline constexpr size_t kParquetTextBytes = 32u << 20;
// Columns of one AWS header: today's newest has fewer than 60.
inline constexpr size_t kHeaderColumnsMax = 256;
// Network interfaces of one AWS or OCI body whose address is learned, to tell which side of a flow they stand on. Beyond: not
// learned.
inline constexpr size_t kInterfacesLearnedMax = 65'536;

// Events that one message of Hubble says were lost, so that no sum overflows (beyond: counted as so many), and how far from it they are
// looked for at most: rings are read all the time.
inline constexpr uint64_t kHubbleLostMax = uint64_t{1} << 40;
inline constexpr DurationNs kHubbleLossReach = kMinute;

// --- pushes: what clouds send ---------------------------------------------------------------------------------------
// Records of one Firehose request, and their bytes once taken out of base64 (AWS's own bounds). Beyond: 413, which Firehose
// does not try again.
inline constexpr size_t kFirehoseRecordsMax = 10'000;
inline constexpr size_t kFirehoseRecordBytesMax = 1'024'000;

// --- NetFlow and IPFIX --------------------------------------------------------------------------------------------
// Fields of one template: a 64 KiB message cannot hold more than 16 k; real ones have below 100.
inline constexpr size_t kTemplateFieldsMax = 1'024;
// Fields of length 0 in one template. They say nothing, but each record is walked through them, so that with a thousand of them a
// datagram of one-byte records costs a hundred times its bytes. Real templates have two or three. Beyond: refused, as above.
inline constexpr size_t kTemplateEmptyFieldsMax = 32;
// Templates kept per exporter and over all exporters; the least recently used go first.
inline constexpr size_t kTemplatesPerExporterMax = 4'096;
inline constexpr size_t kTemplatesMax = 65'536;
// Exporters known at once; beyond, the one silent for longest is forgotten.
inline constexpr size_t kExportersMax = 16'384;
// Data that came before its template, kept to be decoded later: bytes per exporter and over all, and age.
inline constexpr size_t kPendingBytesPerExporter = 1u << 20;
inline constexpr size_t kPendingBytesMax = 64u << 20;
inline constexpr DurationNs kPendingAge = 30 * kMinute;
// A record of structured data whose inner template came after it, or comes not at all, waits in the same room so long; then it is written
// without that data, as it is when there is no room. Templates are sent anew each minute or so by what nests them (YAF, over UDP).
inline constexpr DurationNs kPendingRecordAge = 5 * kMinute;
// Metering and exporting processes of one observation domain that tell how much they left out; a router has one or two. Beyond: not
// followed, and counted.
inline constexpr size_t kReliabilityCountsPerDomainMax = 16;
// Fields of all templates, per exporter and over all: what templates cost. The least recently used go first.
inline constexpr size_t kTemplateFieldsPerExporterMax = 65'536;
inline constexpr size_t kTemplateFieldsKeptMax = 1u << 20;
// Observation domains of one exporter; a chassis has one a line card. The least recently used goes first.
inline constexpr size_t kDomainsPerExporterMax = 256;
// Samplers of one observation domain. Beyond: not kept, their flows' rate is not known.
inline constexpr size_t kSelectorsPerDomainMax = 1'024;
inline constexpr size_t kSelectorsPerExporterMax = 4'096;
// A sampling rate: one packet in this many at most. Devices reach some 65,536, and what is beyond 31 bits is a negative number or was never
// set. Beyond: as if the exporter had not said it; counted where it stands in options.
inline constexpr uint64_t kSamplingRateMax = INT32_MAX;
// How often one packet may have what its exporter's domains agree on made anew; a packet that tells a rate and holds flows needs one.
// Beyond: what it tells holds for flows without a rate of their own from the next packet on.
inline constexpr int kSharedRatesPerPacket = 4;
// Interface, VRF and application names of one exporter, and element descriptions; and their bytes over all. Beyond: not kept.
inline constexpr size_t kExporterNamesMax = 65'536;
inline constexpr size_t kExporterElementsMax = 4'096;
inline constexpr size_t kExporterNameBytesMax = 256;
inline constexpr size_t kExporterNamesBytesMax = 64u << 20;
// What one entry of an exporter's state costs beside its text: a table's node, its key and its value (a name with its
// description is the largest). Every name, element description, sampler and observation domain is charged with it, or
// entries of one letter would fill the memory below any bound on text.
inline constexpr size_t kExporterEntryBytes = 144;
// An observation domain: its tables and its sequence tracker.
inline constexpr size_t kExporterDomainBytes = 512;
// That state per exporter, and over all exporters of one decoder: UDP senders can be forged, so the sum needs a bound of its
// own. Beyond: not kept, and counted; for a new domain the exporter's oldest one goes, or the exporter silent for longest.
inline constexpr size_t kExporterStateBytesMax = 16u << 20;
inline constexpr size_t kExporterStatesBytesMax = 128u << 20;
// Ranges of loss and kinds of errors remembered; the oldest go first.
inline constexpr size_t kLossRangesMax = 4'096;
inline constexpr size_t kPacketErrorsMax = 1'024;
// Changed state entries waiting to be taken; beyond, changes are not kept (the exporter tells again).
inline constexpr size_t kStateChangesMax = 1u << 17;
// Flows whose running totals (elements 85, 86) are remembered so that the next report is told as what came since, per exporter and over
// all, and how long one may be silent: longer than active timeouts. Beyond: the exporter's one silent for longest is forgotten, and its
// next report counts from the flow's begin again; counted.
inline constexpr size_t kTotalsPerExporterMax = 1u << 16;
inline constexpr size_t kTotalsMax = 1u << 18;
inline constexpr DurationNs kTotalsAge = kHour;
// Sequence numbers: a longer step forward, or a longer one back, is an exporter that started anew and not loss or reordering.
inline constexpr int32_t kSequenceGapMax = 1 << 24;
inline constexpr int32_t kSequenceReorderMax = 1 << 16;
// Depth of RFC 6313 structured data.
inline constexpr int kStructuredDepthMax = 8;
// Flows that one group remembers, 32 bytes each: 128 MiB, which are reached only by a group that has so many flows within the gap
// below. Beyond: the one that ended first is forgotten, and counted; what others tell of it stays unmarked.
inline constexpr size_t kSameTrafficKeysMax = 1u << 22;
// Silence that a reporter may keep within a flow and still be the one that counts: longer than idle timeouts of caches (15 s to 5 min).
inline constexpr DurationNs kSameTrafficGap = 5 * kMinute;
// How far clocks of reporters may be apart unless the configuration says otherwise, and the most it may say.
inline constexpr DurationNs kSameTrafficTolerance = 5 * kSecond;
inline constexpr DurationNs kSameTrafficToleranceMax = kHour;

// --- sFlow and sampled packet headers -----------------------------------------------------------------------------
// Data sources (ports, mostly) of one exporter whose sample numbers, pools and drops are followed: a large chassis has some
// thousand. Beyond: their samples are read all the same, but their losses are not known; counted.
inline constexpr size_t kSflowSourcesPerExporterMax = 4'096;
// What following one costs: its sequence tracker, and the table's node.
inline constexpr size_t kSflowSourceBytes = 320;
// Interfaces of one exporter whose speed and state counter samples told. Beyond: not kept, and counted.
inline constexpr size_t kExporterInterfacesMax = 16'384;
// One value of `extra` that a list in a datagram makes, an AS path or communities. Beyond: cut, and counted.
inline constexpr size_t kExtraValueBytesMax = 8u << 10;
// Layers of a sampled packet: VLAN tags, MPLS labels, IPv6 extension headers, tunnels in tunnels. Real packets have two, six, three
// and two at most; beyond, what lies deeper is not read.
inline constexpr int kFrameTagsMax = 8;
inline constexpr int kFrameLabelsMax = 16;
inline constexpr int kFrameExtensionsMax = 16;
inline constexpr int kFrameTunnelsMax = 4;

}  // namespace sluice::limits
