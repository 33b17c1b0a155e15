// ExporterBook: what the operator and the exporters themselves say of exporters and their interfaces, beside the data: names,
// and corrections of sampling rates. Names come from [[exporter]] tables of the configuration, their files, and options
// data; corrections from the configuration and, kept in the catalogue, from admins.
//
// Thread rule: any thread. What it gives out are snapshots that do not change.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ingest/source/exporter.h"
#include "query/names.h"
#include "query/sampling.h"
#include "server/exporter_table.h"
#include "storage/catalog/catalog.h"
#include "storage/model/batch.h"
#include "storage/model/time.h"

namespace sluice::server {

struct NamedRule {
  uint64_t id = 0;      // 0: of the configuration, which is changed there
  std::string comment;
  TimestampNs created_at = 0;
  query::SamplingRule rule;
};

class ExporterBook {
 public:
  // `catalog` may be null: corrections are not kept.
  ExporterBook(std::vector<ExporterTable> tables, catalog::Catalog* catalog) : tables_(std::move(tables)), catalog_(catalog) {}
  Status load();

  // Corrections, those of the configuration first. The id of a new one; too_large beyond limits::kSamplingRulesMax.
  Result<uint64_t> add_rule(query::SamplingRule rule, std::string comment, TimestampNs now);
  // not_found.
  Status remove_rule(uint64_t id);
  std::vector<NamedRule> rules() const;
  std::shared_ptr<const query::SamplingRules> sampling_rules() const;

  // Where to ask what exporters told: `names` again when `version` has changed, and at most once a second. Both may be called
  // by any thread, for as long as the book is used. Before the first names().
  void ask_told(std::function<uint64_t()> version, std::function<std::vector<ingest::ExporterName>()> names);
  std::shared_ptr<const query::NameBook> names() const;
  const std::string* name_of(const IpAddress& exporter) const;  // good as long as the book
  std::vector<ingest::ExporterOverride> overrides() const;
  // What counts for one exporter, good as long as the book; null: the operator says nothing of it.
  const ingest::ExporterOverride* override_of(const IpAddress& exporter) const;

  Batch interfaces_table() const;
  Batch rules_table() const;

 private:
  class Names;
  void publish_rules();                              // REQUIRES: locked
  std::shared_ptr<const Names> current_names() const;

  const std::vector<ExporterTable> tables_;
  catalog::Catalog* const catalog_;
  mutable std::mutex mutex_;
  std::map<uint64_t, NamedRule> added_;
  uint64_t next_id_ = 1;
  std::shared_ptr<const query::SamplingRules> rules_ = std::make_shared<query::SamplingRules>();
  std::function<uint64_t()> told_version_;
  std::function<std::vector<ingest::ExporterName>()> told_names_;
  mutable uint64_t told_seen_ = 0;
  mutable std::chrono::steady_clock::time_point told_asked_{};
  mutable std::shared_ptr<const Names> names_;
};

}  // namespace sluice::server
