// LossBook: the stretches of time in which data is known to be missing, so that an answer over them can say so.
//
// Kept in the catalogue, so that a restart does not forget. Bounded: the oldest stretches go first.
// Thread rule: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "query/engine.h"
#include "storage/catalog/catalog.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

struct Loss {
  std::string who;   // "10.0.0.1 (netflow9)", "aws_vpc"
  std::string how;   // "by sequence numbers", "SKIPDATA", "kernel socket buffer full"
  std::string unit;  // "packets", "flows", "records"
  uint64_t lost = 0;
  TimeRange range;
  // What is known of the rows: the sources that they may be of (codes of kSource; none: not known), and from where they came.
  std::vector<uint8_t> sources;
  query::LostFrom from;

  // Of packets on a socket: which of these formats they were is not known.
  static std::vector<uint8_t> packet_sources();
  // Of records of the source of that name, which have no exporter.
  void set_records_of(std::string_view source);
};

inline constexpr size_t kLossesMax = 4'096;
// Stretches of one loss that lie no further apart are told as one.
inline constexpr DurationNs kLossGapMax = kMinute;
inline constexpr std::string_view kLossKeyPrefix = "loss/";

class LossBook {
 public:
  // `catalog` may be null: nothing is kept. Entries that can't be read are dropped.
  explicit LossBook(catalog::Catalog* catalog) : catalog_(catalog) {}
  Status load();

  // Writes or rewrites the stretch of that key (without prefix).
  void put(const std::string& key, const Loss& loss);
  // Adds to it: counts sum up, ranges join.
  void add(const std::string& key, const Loss& loss);

  // A sentence per who and how, with the stretches that meet the question's range; as many as limits.h says.
  std::vector<std::string> over(const query::LossQuestion& question) const;
  std::vector<Loss> all() const;

 private:
  void keep(const std::string& key, const Loss& loss);  // REQUIRES: locked

  catalog::Catalog* catalog_;
  mutable std::mutex mutex_;
  std::map<std::string, Loss> losses_;
};

}  // namespace sluice::server
