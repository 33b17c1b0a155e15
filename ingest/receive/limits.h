// The bounds of what is received and fetched (sockets, bodies, buckets, queues, topics), with their reasons and what happens when they
// are met.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// --- ingest -------------------------------------------------------------------------------------------------------
// The same body after gzip or zstd, against bombs. Beyond: 413, nothing of the body is kept.
inline constexpr size_t kIngestInflatedBytesMax = 512u << 20;
// One line of a text source. Beyond: the line is rejected and counted, the next line is read.
inline constexpr size_t kTextLineBytesMax = 1u << 20;
// Times that a JSON body may be looked at again, over all its damaged places. Beyond: the rest of the body counts as damaged.
inline constexpr size_t kJsonRescansMax = 4;
// Packets waiting between a UDP socket and its decoder: two seconds of a fast exporter, for which the journal's disk may
// stand still. Beyond: dropped and counted.
inline constexpr size_t kUdpQueuePackets = 65'536;
// Bytes of payload waiting there. Flow packets are below 1.5 KiB; larger ones meet this bound first.
inline constexpr size_t kUdpQueueBytesMax = 64u << 20;
// A UDP payload.
inline constexpr size_t kDatagramBytesMax = 65'535;
// An IPFIX message: its length is a 16-bit number (RFC 7011 §3.1).
inline constexpr size_t kIpfixMessageBytesMax = 65'535;

// --- feeds: what Sluice fetches itself ----------------------------------------------------------------------------
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

}  // namespace sluice::limits
