// Every bound of the server, with its reason and what happens when it is met. A bound that a user may change is a default
// here and a setting in server/config; the rest are facts of formats or guards against hostile input.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// --- segments -----------------------------------------------------------------------------------------------------
// Row numbers within a block are 16-bit, and a block is 64 granules: one word of a bitmap. Fixed by the format.
inline constexpr uint32_t kBlockRows = 65'536;
// Rows of one segment at most: row numbers are 32-bit and a merge must fit in memory. Merges stop below this.
inline constexpr uint32_t kSegmentRowsMax = 1u << 24;
// Open rows of one partition that trigger a seal: large enough for good dictionaries, small enough to seal in a second.
inline constexpr uint32_t kSealRows = 1u << 20;
// Age of the oldest open row of a partition that triggers a seal, so that the journal stays short.
inline constexpr DurationNs kSealAge = 60 * kSecond;
// Width of a time partition.
inline constexpr DurationNs kPartitionWidth = kHour;

// --- ingest -------------------------------------------------------------------------------------------------------
// One HTTP ingest body as sent. Beyond: 413; senders split their files.
inline constexpr size_t kIngestBodyBytesMax = 64u << 20;
// The same body after gzip or zstd, against bombs. Beyond: 413, nothing of the body is kept.
inline constexpr size_t kIngestInflatedBytesMax = 512u << 20;
// One message of several that come together (a topic's record, a record of a push), once inflated: clouds' own bounds are below 10 MiB
// before. Beyond: that message is rejected and counted, the others are read.
inline constexpr size_t kMessageInflatedBytesMax = 64u << 20;
// Text of messages that is held to be decoded together. Beyond: it is decoded, and the next messages begin anew.
inline constexpr size_t kMessagesTextBytesMax = 32u << 20;
// Of a file that is followed, the part whose flows become durable together when they lie in too many partitions for all to: with
// lines of 16 bytes and more, never more rows than kPartitionsPerAppendMax. Places follow from it: see server/feed_intake.cc.
inline constexpr size_t kScatteredTextBytes = 32u << 10;
// One line of a text source. Beyond: the line is rejected and counted, the next line is read.
inline constexpr size_t kTextLineBytesMax = 1u << 20;
// One record's value for a text column or for `extra`. Beyond: cut, and counted.
inline constexpr size_t kStringBytesMax = 64u << 10;
// Record errors that one answer lists; all are counted.
inline constexpr size_t kReportedErrorsMax = 100;
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
// Times that a JSON body may be looked at again, over all its damaged places. Beyond: the rest of the body counts as damaged.
inline constexpr size_t kJsonRescansMax = 4;
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
// Rows of one batch on the way to the journal.
inline constexpr size_t kBatchRows = 65'536;
// Packets waiting between a UDP socket and its decoder: two seconds of a fast exporter, for which the journal's disk may
// stand still. Beyond: dropped and counted.
inline constexpr size_t kUdpQueuePackets = 65'536;
// Bytes of payload waiting there. Flow packets are below 1.5 KiB; larger ones meet this bound first.
inline constexpr size_t kUdpQueueBytesMax = 64u << 20;
// A UDP payload.
inline constexpr size_t kDatagramBytesMax = 65'535;
// An IPFIX message: its length is a 16-bit number (RFC 7011 §3.1).
inline constexpr size_t kIpfixMessageBytesMax = 65'535;
// Exporters connected over TCP and TLS at once, each with a buffer of two messages. Beyond: closed at once, and counted.
inline constexpr size_t kIpfixConnectionsMax = 512;
// How long a TLS handshake, and a message that has begun, may take to come whole: who is slower holds a place for nothing.
inline constexpr DurationNs kIpfixHandshakeTimeout = 10 * kSecond;
inline constexpr DurationNs kIpfixMessageTimeout = 30 * kSecond;
// Silence between messages. Exporters connect again when they have something to say (RFC 7011 §10.4.4); a night without flows
// should not make them.
inline constexpr DurationNs kIpfixIdleTimeout = 12 * kHour;
// Idempotency keys kept; the oldest go first once their age has passed.
inline constexpr size_t kObjectKeyBytesMax = 1'024;
inline constexpr DurationNs kObjectKeyAge = 30 * kDay;
// Open rows over all partitions, bytes in memory. Beyond: append answers `full` until sealing has caught up.
inline constexpr size_t kOpenBytesMax = 1u << 30;
// Partitions that the rows of one append may lie in: each is a journal entry, and a segment file once sealed. Eighty-five days of
// hours. Beyond: too_large, nothing is kept; server/scattered_append.h then appends span by span.
inline constexpr size_t kPartitionsPerAppendMax = 2'048;
// Appends that failed half-way, turned out to be durable and whose retry has not come yet: remembered so that it adds nothing
// again. A sender retries one at a time. Beyond: the oldest are forgotten, their senders have given up.
inline constexpr size_t kLateAppendsMax = 1'024;
// Partitions with open rows: each costs a synced file to seal. Beyond: append answers `full` to rows that would open another
// one until sealing has caught up; rows of open partitions go on.
inline constexpr size_t kOpenPartitionsMax = 4'096;

// --- feeds: what Sluice fetches itself ----------------------------------------------------------------------------
// Feeds of one server; each has a thread. Beyond: the configuration is refused.
inline constexpr size_t kFeedsMax = 64;
// Part of a large or growing object that is taken at once: one journal write, one checkpoint. Parts of a bucket object are told
// apart by where they begin, so this number is part of what is kept: see server/feed_intake.cc before changing it.
inline constexpr size_t kFeedPartBytes = 8u << 20;
// One object as fetched, and one object of a format that cannot be read in parts once inflated. Beyond: set aside with
// its name. AWS cuts flow log objects at 75 MB; captures are split by editcap.
inline constexpr size_t kFeedObjectBytesMax = 512u << 20;
// One object of lines once inflated, read in parts: a bomb ends here. Beyond: the rest is set aside.
inline constexpr size_t kFeedInflatedBytesMax = size_t{64} << 30;
// Header lines that go before later parts of an object. Beyond: the lines that fit.
inline constexpr size_t kFeedHeaderBytesMax = 64u << 10;
// Files that one folder feed knows by their content. Beyond: those gone for longest are forgotten, then new ones wait.
inline constexpr size_t kFeedFilesMax = 65'536;
// Growing files that one folder feed keeps open, so that a file is read to its end although it was renamed or removed. Beyond: the
// one quiet for longest is closed.
inline constexpr size_t kFeedOpenFilesMax = 128;
// Objects set aside that one feed remembers by name. Beyond: the oldest goes; all are counted.
inline constexpr size_t kFeedSetAsideMax = 1'000;

// --- pushes: what clouds send ---------------------------------------------------------------------------------------
// Records of one Firehose request, and their bytes once taken out of base64 (AWS's own bounds). Beyond: 413, which Firehose
// does not try again.
inline constexpr size_t kFirehoseRecordsMax = 10'000;
inline constexpr size_t kFirehoseRecordBytesMax = 1'024'000;
// A key in X-Amz-Firehose-Access-Key (AWS's bound). Beyond: 401.
inline constexpr size_t kPushKeyBytesMax = 4'096;

// --- pulls: buckets, queues and topics that feeds ask ---------------------------------------------------------------
// An answer that is no object: a page of a listing has 1,000 keys of 1 KiB (S3) or 5,000 of 1 KiB (Azure), each with its XML.
// Beyond: the request fails.
inline constexpr size_t kHttpAnswerBytesMax = 32u << 20;
// Header lines of an answer. Beyond: the request fails.
inline constexpr size_t kHttpAnswerHeaderBytesMax = 64u << 10;
// A connection has to stand, something has to come, and a request has to end within these. Beyond: deadline, and another try.
inline constexpr DurationNs kHttpConnectTimeout = 10 * kSecond;
inline constexpr DurationNs kHttpStallTimeout = 30 * kSecond;
inline constexpr DurationNs kHttpAnswerTimeout = 10 * kMinute;
// XML of a listing: elements stand six deep, names are short, a text is a key of 1 KiB that may be percent-encoded. Beyond: it
// cannot be read.
inline constexpr size_t kXmlDepthMax = 32;
inline constexpr size_t kXmlNameBytesMax = 256;
inline constexpr size_t kXmlTextBytesMax = 64u << 10;
// A shared credentials file: what stands behind is not read.
inline constexpr size_t kCredentialsBytesMax = 256u << 10;
// Times a request is made before a poll gives up (the feed then waits, and polls again).
inline constexpr int kBucketTries = 4;
// An object that cannot be fetched, while others can: after so many passes and so long it is set aside by name.
inline constexpr uint64_t kBucketObjectTries = 8;
inline constexpr DurationNs kBucketGiveUpAge = 6 * kHour;
// "*" in a prefix, and what a prefix may stand for: folders of one pass, and hours or days looked back over. Beyond: the feed
// fails and says so.
inline constexpr size_t kBucketStarsMax = 8;
inline constexpr size_t kBucketPrefixesMax = 65'536;
inline constexpr size_t kBucketPeriodsMax = 20'000;
// Objects of one feed that could not be fetched and are to be tried again, some 300 bytes each. Beyond: the one that has waited for
// longest is forgotten: its tries are counted anew when it is met again.
inline constexpr size_t kBucketTroublesMax = 10'000;
// Objects remembered by one feed, some 100 bytes each: those that came within its lookback. Beyond: the feed fails and says so.
inline constexpr size_t kBucketDoneMax = 1'000'000;
// Committed blocks of a blob (Azure's bound). Beyond: the list cannot be read.
inline constexpr size_t kBlobBlocksMax = 50'000;
// A message of a queue: SQS has 1 MiB at most. Beyond: counted as no notice.
inline constexpr size_t kQueueMessageBytesMax = 1u << 20;
// How long a queue is asked to wait for a message (SQS's most), and how long it hides a message that is being worked on.
inline constexpr DurationNs kQueueWait = 20 * kSecond;
inline constexpr DurationNs kQueueVisibility = 15 * kMinute;
// Buckets that one queue's notices name whose stores are kept open. Beyond: all are closed, and opened again when named.
inline constexpr size_t kQueueBucketsMax = 64;
// Kafka records that become durable in one write, their bytes (one record may be larger), and how long a batch may wait to fill.
inline constexpr size_t kKafkaBatchRecords = 20'000;
inline constexpr size_t kKafkaBatchBytes = 8u << 20;
inline constexpr DurationNs kKafkaBatchAge = 500 * kMillisecond;
// Bytes that the client library fetches ahead of us, per feed.
inline constexpr size_t kKafkaQueuedBytesMax = 64u << 20;
// Waiting for a broker's word on offsets.
inline constexpr DurationNs kKafkaAnswerTimeout = 10 * kSecond;
// Topics and partitions of one feed. Beyond: the declaration is refused, or the feed fails and says so.
inline constexpr size_t kKafkaTopicsMax = 64;
inline constexpr size_t kKafkaPartitionsMax = 4'096;

// --- NetFlow and IPFIX --------------------------------------------------------------------------------------------
// Fields of one template: a 64 KiB message cannot hold more than 16 k; real ones have below 100.
inline constexpr size_t kTemplateFieldsMax = 1'024;
// Templates kept per exporter and over all exporters; the least recently used go first.
inline constexpr size_t kTemplatesPerExporterMax = 4'096;
inline constexpr size_t kTemplatesMax = 65'536;
// Exporters known at once; beyond, the one silent for longest is forgotten.
inline constexpr size_t kExportersMax = 16'384;
// Data that came before its template, kept to be decoded later: bytes per exporter and over all, and age.
inline constexpr size_t kPendingBytesPerExporter = 1u << 20;
inline constexpr size_t kPendingBytesMax = 64u << 20;
inline constexpr DurationNs kPendingAge = 30 * kMinute;
// Fields of all templates, per exporter and over all: what templates cost. The least recently used go first.
inline constexpr size_t kTemplateFieldsPerExporterMax = 65'536;
inline constexpr size_t kTemplateFieldsKeptMax = 1u << 20;
// Observation domains of one exporter; a chassis has one a line card. The least recently used goes first.
inline constexpr size_t kDomainsPerExporterMax = 256;
// Samplers of one observation domain. Beyond: not kept, their flows' rate is not known.
inline constexpr size_t kSelectorsPerDomainMax = 1'024;
inline constexpr size_t kSelectorsPerExporterMax = 4'096;
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
// Changes that the catalogue did not take (a full disk), per decoder, kept for the next try; their number is bounded as above.
// Beyond: the change is dropped and counted, the exporter tells again.
inline constexpr size_t kStateBacklogBytesMax = 16u << 20;
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
// Groups of reporters that look at the same traffic, and their exporters as addresses and blocks. Beyond: the configuration is
// refused.
inline constexpr size_t kSameTrafficGroupsMax = 16;
inline constexpr size_t kSameTrafficExportersMax = 4'096;
// Flows that one group remembers, 32 bytes each: 128 MiB, which are reached only by a group that has so many flows within the gap
// below. Beyond: the one that ended first is forgotten, and counted; what others tell of it stays unmarked.
inline constexpr size_t kSameTrafficKeysMax = 1u << 22;
// Silence that a reporter may keep within a flow and still be the one that counts: longer than idle timeouts of caches (15 s to 5 min).
inline constexpr DurationNs kSameTrafficGap = 5 * kMinute;
// How far clocks of reporters may be apart unless the configuration says otherwise, and the most it may say.
inline constexpr DurationNs kSameTrafficTolerance = 5 * kSecond;
inline constexpr DurationNs kSameTrafficToleranceMax = kHour;
// Stored rows that are looked through at a start, the newest, to know again who tells of what. Beyond: older ones are not.
inline constexpr size_t kSameTrafficLearnRows = 4u << 20;
// How far an exporter's clock may run ahead before its times are clamped.
inline constexpr DurationNs kClockSkewMax = 5 * kMinute;

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
// [[exporter]] tables of the configuration: they are looked through once an exporter, and one file of interface names each.
// Beyond: the configuration is refused.
inline constexpr size_t kExporterTablesMax = 4'096;
// Corrections of sampling rates: they are looked through for each exporter of a segment. Beyond: no more are taken.
inline constexpr size_t kSamplingRulesMax = 1'024;
// A file of interface names. Beyond: refused.
inline constexpr size_t kInterfaceFileBytesMax = 8u << 20;

// --- queries ------------------------------------------------------------------------------------------------------
// Query text (grammar/limits.h holds the same number: grammar knows no storage).
inline constexpr size_t kQueryTextBytesMax = 1u << 20;
// Memory of all that one query makes (columns computed and read, groups, rows to be sorted), its time, and the rows of its answer,
// unless the request says less (or config more). Beyond: the query ends with the limit.
inline constexpr size_t kQueryMemoryBytes = 1u << 30;
inline constexpr DurationNs kQueryTimeout = 60 * kSecond;
inline constexpr size_t kQueryRowsMax = 1'000'000;
// Columns of one table inside a query, those computed and hidden again included: each is a value for every row, and names are
// looked up for every use. Flows have about 130. Beyond: an error at the column.
inline constexpr size_t kQueryColumnsMax = 1'000;
// What the columns of one batch take, by estimate: plans of many columns get batches of fewer rows, though not of fewer than a
// granule's, below which the work around each column would cost more than the column.
inline constexpr size_t kQueryBatchBytes = 32u << 20;
inline constexpr size_t kQueryBatchRowsMin = 1'024;
// Text and states that grow within one batch ask for memory in such steps; small limits are met that much early.
inline constexpr size_t kQueryMemoryStepBytes = 64u << 10;
// Known losses that an answer lists, each a sentence; and the stretches of time that a sentence lists. Beyond: their number.
inline constexpr size_t kLossWarningsMax = 20;
inline constexpr size_t kLossStretchesTold = 5;
// Queries inside one query (join, compare, first_seen and their like), at all depths: each scans once. Beyond: an error at the stage.
inline constexpr size_t kSubqueriesMax = 32;
// Rows of one sub-query's answer: their numbers have 32 bits and tables of them twice as many places. Beyond: the query ends.
inline constexpr size_t kSubqueryRowsMax = 1u << 26;
// Reporters that dedup lists for one row; a packet that crosses more routers has a loop. Beyond: the rest is left out of the list.
inline constexpr size_t kReportersPerRowMax = 64;
// Steps of one sequence: a bit of a mask each. Beyond: an error at the step.
inline constexpr size_t kSequenceStepsMax = 16;
// Hops that reach follows: no address is 64 flows away from another in a network that people run. Beyond: an error at the number.
inline constexpr uint64_t kReachHopsMax = 64;
// Bins over which timeseries … spread books one flow, and bins of one baseline's range and look-back. Beyond: the query ends.
inline constexpr uint64_t kSpreadBinsPerFlowMax = 1u << 16;
inline constexpr uint64_t kBaselineBinsMax = 1u << 20;
// Steps of work on text (bytes looked at, threads of a regular expression) between two looks at the deadline and at the
// cancel flag: a few milliseconds.
inline constexpr uint64_t kQueryStepsPerCheck = 1u << 20;
// Watch-lists: how many, the items of one, their bytes as text over all (in memory twice: as text and as ranges), and a name. A threat
// feed has some hundred thousand addresses. Beyond: the list is refused.
inline constexpr size_t kListsMax = 1'024;
inline constexpr size_t kListItemsMax = 1'000'000;
inline constexpr size_t kListsBytesMax = 256u << 20;
inline constexpr size_t kListNameBytesMax = 128;
// Queries running at once; beyond, a bounded number wait, then 503.
inline constexpr size_t kQueriesRunningMax = 16;
inline constexpr size_t kQueriesWaitingMax = 64;

// --- HTTP ---------------------------------------------------------------------------------------------------------
// Head of a request. A Firehose request may carry 50 common attributes of 256 + 1,024 bytes next to its key. Beyond: 431.
inline constexpr size_t kHttpHeaderBytesMax = 128u << 10;
inline constexpr size_t kHttpQueryBodyBytesMax = 2u << 20;
inline constexpr size_t kHttpConnectionsMax = 1'024;
// Bytes of ingest bodies in memory at once; beyond, 503 with Retry-After.
inline constexpr size_t kIngestInFlightBytesMax = 512u << 20;
// A body holds its share of that budget while it arrives. After the grace it must have come at this rate on average, which any
// line that can carry flow logs does; a slower one is answered 408, so that a few trickling senders cannot keep all others out.
inline constexpr size_t kHttpBodyBytesPerSecondMin = 16u << 10;
inline constexpr DurationNs kHttpBodyGrace = 20 * kSecond;
// Time for what is left of an answer once the query behind it is done: its client holds a connection and up to a send buffer.
// Beyond: the connection is cut.
inline constexpr DurationNs kHttpAnswerDrain = 2 * kMinute;

// --- the server's own books -----------------------------------------------------------------------------------------
// How often changed counters of sources are written to the catalogue: a death of the process forgets at most so much counting
// (never a flow), and a busy server writes a few hundred bytes each time.
inline constexpr DurationNs kSourceTotalsEvery = 10 * kSecond;
// How long a chunk whose checksum was right is believed. A hash of whole chunks is most of what a question for one address costs, and
// dashboards ask the same again and again; what a disk does to pages in the meantime is found at the next look after this.
inline constexpr DurationNs kChecksBelievedFor = 10 * kSecond;

}  // namespace sluice::limits
