// The bounds of the server's own work (requests, bodies on their way in, its books), with their reasons and what happens when they are
// met. A bound that a user may change is a default here and a setting in server/config.
#pragma once

#include <cstddef>

#include "storage/model/time.h"

namespace sluice::limits {

// --- ingest -------------------------------------------------------------------------------------------------------
// One HTTP ingest body as sent. Beyond: 413; senders split their files.
inline constexpr size_t kIngestBodyBytesMax = 64u << 20;
// One message of several that come together (a topic's record, a record of a push), once inflated: clouds' own bounds are below 10 MiB
// before. Beyond: that message is rejected and counted, the others are read.
inline constexpr size_t kMessageInflatedBytesMax = 64u << 20;
// Text of messages that is held to be decoded together. Beyond: it is decoded, and the next messages begin anew.
inline constexpr size_t kMessagesTextBytesMax = 32u << 20;
// Of a file that is followed, the part whose flows become durable together when they lie in too many partitions for all to: with
// lines of 16 bytes and more, never more rows than kPartitionsPerAppendMax. Places follow from it: see server/feed_intake.cc.
inline constexpr size_t kScatteredTextBytes = 32u << 10;
// Exporters connected over TCP and TLS at once, each with a buffer of two messages. Beyond: closed at once, and counted.
inline constexpr size_t kIpfixConnectionsMax = 512;
// How long a TLS handshake, and a message that has begun, may take to come whole: who is slower holds a place for nothing.
inline constexpr DurationNs kIpfixHandshakeTimeout = 10 * kSecond;
inline constexpr DurationNs kIpfixMessageTimeout = 30 * kSecond;
// Silence between messages. Exporters connect again when they have something to say (RFC 7011 §10.4.4); a night without flows
// should not make them.
inline constexpr DurationNs kIpfixIdleTimeout = 12 * kHour;

// --- feeds: what Sluice fetches itself ----------------------------------------------------------------------------
// Feeds of one server; each has a thread. Beyond: the configuration is refused.
inline constexpr size_t kFeedsMax = 64;
// Objects set aside that one feed remembers by name. Beyond: the oldest goes; all are counted.
inline constexpr size_t kFeedSetAsideMax = 1'000;
// Of a body without a record in it, whose brackets are looked at for what is wrong: how deep they may stand. Beyond: that is what is wrong.
inline constexpr size_t kBracketsDeepMax = 1'000;

// --- watch-lists
// A list as a document: a million indicators as STIX, which spends half a kilobyte on each, come in several. Beyond: 413.
inline constexpr size_t kListBodyBytesMax = 64u << 20;
// Values of such a document as JSON, and how deep they lie: its tree takes about a hundred bytes for each, so that 64 MiB of empty ones would
// be gigabytes. An indicator has some fifteen, an attribute of MISP some twenty. Beyond: 413.
inline constexpr size_t kListJsonValuesMax = 4'000'000;
inline constexpr size_t kListJsonDepthMax = 64;
// How much of a document's first line is looked at to tell CSV from plain text: a header of some hundred columns. What lies beyond is not looked at.
inline constexpr size_t kListHeaderBytesMax = 4'096;

// --- pushes: what clouds send ---------------------------------------------------------------------------------------
// A key in X-Amz-Firehose-Access-Key (AWS's bound). Beyond: 401.
inline constexpr size_t kPushKeyBytesMax = 4'096;

// --- memory ---------------------------------------------------------------------------------------------------------
// Freed memory that the process keeps for what comes next: less is not worth fetching its pages anew. Beyond: it is given back within
// seconds.
inline constexpr size_t kFreedBytesKept = 64u << 20;

// --- NetFlow and IPFIX --------------------------------------------------------------------------------------------
// Changes that the catalogue did not take (a full disk), per decoder, kept for the next try; their number is bounded as above.
// Beyond: the change is dropped and counted, the exporter tells again.
inline constexpr size_t kStateBacklogBytesMax = 16u << 20;
// Groups of reporters that look at the same traffic, and their exporters as addresses and blocks. Beyond: the configuration is
// refused.
inline constexpr size_t kSameTrafficGroupsMax = 16;
inline constexpr size_t kSameTrafficExportersMax = 4'096;
// Stored rows that are looked through at a start, the newest, to know again who tells of what. Beyond: older ones are not.
inline constexpr size_t kSameTrafficLearnRows = 4u << 20;

// --- sFlow and sampled packet headers -----------------------------------------------------------------------------
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
// Known losses that an answer lists, each a sentence; and the stretches of time that a sentence lists. Beyond: their number.
inline constexpr size_t kLossWarningsMax = 20;
inline constexpr size_t kLossStretchesTold = 5;
// Queries running at once; beyond, a bounded number wait, then 503.
inline constexpr size_t kQueriesRunningMax = 16;
inline constexpr size_t kQueriesWaitingMax = 64;
// Rows of an answer that are made into documents of ECS or OCSF at a time: some KB each, as trees. Beyond: the next ones are another portion.
inline constexpr size_t kDocumentsAtOnce = 256;

// --- rules ----------------------------------------------------------------------------------------------------------
// How long a request that makes rules runs their examples, all together, before it answers: those of a rule take some milliseconds, and of one
// that is asked again and again up to a second. Beyond: the answer says how many were not run.
inline constexpr DurationNs kRuleExamplesTime = 2 * kSecond;
// Doubts about rules that one answer to a statement tells, each a sentence. Beyond: their number.
inline constexpr size_t kRuleDoubtsTold = 20;

// --- streams: tails and alerts as they happen -----------------------------------------------------------------------
// Streams open at once, each with a thread that mostly waits. Beyond: 503.
inline constexpr size_t kStreamsMax = 32;
// Flows kept for those who are a bit behind, or come back after their connection broke: some seconds of a busy server. Beyond: the oldest
// go, and who had not seen them is told how many.
inline constexpr size_t kTailBytesMax = 32u << 20;
// Rows of one event, and how often there is one at most: 2,000 rows a second are more than anybody reads. Beyond: counted and told.
inline constexpr size_t kTailRowsPerEvent = 500;
inline constexpr DurationNs kTailEventEvery = 250 * kMillisecond;
// Changes of alerts that are kept for the same purpose. Beyond: the oldest go, and who had not seen them is told.
inline constexpr size_t kAlertChangesMax = 1'000;
// How often a stream says that it lives, which also finds clients that are gone and tokens that were removed.
inline constexpr DurationNs kStreamAliveEvery = 15 * kSecond;

// A context table as one body: some hundred thousand rows. It is parsed at once, so a few of them must fit into memory. Beyond: 413.
inline constexpr size_t kContextBodyBytesMax = 64u << 20;

// A database of places, held in memory: the largest that are sold have some hundred MB. Beyond: the file is refused. A name in it. Beyond: it
// is not known. And how often the files are looked at while queries ask: they change weekly.
inline constexpr size_t kGeoFileBytesMax = 1u << 30;
inline constexpr size_t kGeoTextBytesMax = 256;
inline constexpr DurationNs kGeoLookEvery = 10 * kSecond;

// A backup's name, which is a folder's. Beyond: refused.
inline constexpr size_t kBackupNameBytesMax = 64;

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
// Bytes of answers that wait for their clients to read them, all together. Beyond: a whole answer beyond 64 KiB (a table, a list) becomes
// 503 with Retry-After; streams hold their own queries back. Or a few hundred clients that ask for a large table and do not read it
// would each hold a copy.
inline constexpr size_t kHttpAnswersWaitingBytesMax = 512u << 20;
// Time for what is left of an answer once the query behind it is done: its client holds a connection and up to a send buffer.
// Beyond: the connection is cut.
inline constexpr DurationNs kHttpAnswerDrain = 2 * kMinute;

// --- the server's own books -----------------------------------------------------------------------------------------
// How often changed counters of sources are written to the catalogue: a death of the process forgets at most so much counting
// (never a flow), and a busy server writes a few hundred bytes each time.
inline constexpr DurationNs kSourceTotalsEvery = 10 * kSecond;
// How often is written when Azure's flows were last reported, 6.5 MB at most: blobs grow once a minute.
inline constexpr DurationNs kAzureRecordEvery = kMinute;
// Exporters whose counters are kept over restarts, about 1 KB each, and how long one that is silent stays among them: long enough for a
// weekend's outage to be seen, short enough that a router that was taken away is not looked for for ever. Beyond: those that have been
// silent longest are forgotten.
inline constexpr size_t kExporterTotalsMax = 4'096;
// Of these, exporters that are known from captures and feeds only: one capture may hold packets of thousands of made-up senders. Beyond: those
// told of longest ago are forgotten.
inline constexpr size_t kToldExportersMax = 1'024;
inline constexpr DurationNs kExporterTotalsAge = 7 * kDay;
// How long a rule at the bound of its state has to count every flow again, before its alert ends: a busy quarter of an hour is one trouble.
inline constexpr DurationNs kRuleLossQuiet = 15 * kMinute;

// --- receivers of packets, UDP and IPFIX streams --------------------------------------------------------------------
// A batch that is not full goes on at this age, so that its rows are seen within 200 ms.
inline constexpr DurationNs kReceivedFlushAge = 150 * kMillisecond;
// How often a receiver's counters are published, and its silent exporters' templates looked at.
inline constexpr DurationNs kReceivedPublishEvery = 500 * kMillisecond;
inline constexpr DurationNs kReceivedExpireEvery = kMinute;
// A store that is full is asked again after so long.
inline constexpr DurationNs kStoreFullRetry = 50 * kMillisecond;

}  // namespace sluice::limits
