#include "server/exporter_book.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "server/limits.h"
#include "server/log.h"
#include "server/system_tables.h"

namespace sluice::server {
namespace {

constexpr std::string_view kRulePrefix = "sampling-rule/";

std::string rule_key(uint64_t id) {
  // In order of their numbers: the last rule counts.
  std::string digits = std::to_string(id);
  return std::string(kRulePrefix) + std::string(20 - digits.size(), '0') + digits;
}

std::string encode_rule(const NamedRule& r) {
  nlohmann::json j{{"exporter", to_string(r.rule.exporter)}, {"rate", r.rule.rate},   {"force", r.rule.force}, {"from", r.rule.range.from},
                   {"to", r.rule.range.to},                  {"comment", r.comment}, {"created_at", r.created_at}};
  if (r.rule.domain) j["domain"] = *r.rule.domain;
  if (r.rule.interface) j["interface"] = *r.rule.interface;
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<NamedRule> decode_rule(std::string_view key, std::string_view value) {
  NamedRule r;
  const std::string_view digits = key.substr(kRulePrefix.size());
  if (std::from_chars(digits.data(), digits.data() + digits.size(), r.id).ec != std::errc() || r.id == 0) return std::nullopt;
  try {
    const auto j = nlohmann::json::parse(value);
    const auto exporter = parse_prefix(j.at("exporter").get<std::string>());
    if (!exporter) return std::nullopt;
    r.rule.exporter = *exporter;
    r.rule.rate = j.at("rate").get<uint32_t>();
    r.rule.force = j.at("force").get<bool>();
    r.rule.range = {j.at("from").get<int64_t>(), j.at("to").get<int64_t>()};
    r.comment = j.at("comment").get<std::string>();
    r.created_at = j.at("created_at").get<int64_t>();
    if (j.contains("domain")) r.rule.domain = j["domain"].get<uint32_t>();
    if (j.contains("interface")) r.rule.interface = j["interface"].get<uint32_t>();
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  return r;
}

struct InterfaceKey {
  IpAddress exporter;
  uint64_t number;
  bool operator==(const InterfaceKey&) const = default;
};
struct InterfaceKeyHash {
  size_t operator()(const InterfaceKey& k) const { return hash_of(k.exporter) ^ (k.number * 0x9e3779b97f4a7c15ull); }
};

}  // namespace

class ExporterBook::Names final : public query::NameBook {
 public:
  struct Entry {
    std::string name, description;
    std::optional<uint64_t> speed;  // as the exporter's counters told, as are:
    std::optional<bool> admin_up, oper_up;
  };
  Names(const std::vector<ExporterTable>& tables, std::vector<ingest::ExporterName> told) {
    // The longest prefix first, so that the first table that knows is the one that counts.
    for (const ExporterTable& table : tables) by_length_.push_back(&table);
    std::ranges::stable_sort(by_length_, [](const ExporterTable* a, const ExporterTable* b) { return a->override.exporter.length > b->override.exporter.length; });
    for (const ExporterTable* table : by_length_) {
      auto& names = fixed_.emplace_back();
      for (const InterfaceName& i : table->interfaces) names.insert_or_assign(i.number, Entry{i.name, i.description, {}, {}, {}});
    }
    for (ingest::ExporterName& n : told) {
      if (n.kind != ingest::NameKind::interface) continue;
      Entry& entry = told_[{n.exporter, n.number}];
      entry.name = n.name.empty() ? n.description : std::move(n.name);
      entry.description = std::move(n.description);
      entry.speed = n.speed;
      entry.admin_up = n.admin_up;
      entry.oper_up = n.oper_up;
    }
  }
  const std::string* interface_name(const IpAddress& exporter, uint64_t interface) const override {
    for (size_t i = 0; i < by_length_.size(); ++i)
      if (by_length_[i]->override.exporter.contains(exporter))
        if (const auto it = fixed_[i].find(interface); it != fixed_[i].end()) return &it->second.name;
    const auto it = told_.find({exporter, interface});
    return it == told_.end() || it->second.name.empty() ? nullptr : &it->second.name;  // counters may tell of one without a name
  }
  const std::string* exporter_name(const IpAddress& exporter) const override {
    for (const ExporterTable* table : by_length_)
      if (!table->name.empty() && table->override.exporter.contains(exporter)) return &table->name;
    return nullptr;
  }

  std::vector<const ExporterTable*> by_length_;
  std::vector<std::unordered_map<uint64_t, Entry>> fixed_;
  std::unordered_map<InterfaceKey, Entry, InterfaceKeyHash> told_;
};

Status ExporterBook::load() {
  std::lock_guard lock(mutex_);
  names_ = std::make_shared<const Names>(tables_, std::vector<ingest::ExporterName>());
  if (catalog_)
    SLUICE_TRY(catalog_->scan(catalog::Keyspace::settings, kRulePrefix, [&](std::string_view key, std::string_view value) {
      if (auto rule = decode_rule(key, value)) {
        next_id_ = std::max(next_id_, rule->id + 1);
        added_[rule->id] = std::move(*rule);
      } else {
        log::warn("a kept correction of a sampling rate could not be read", {{"key", key}});
      }
      return true;
    }));
  publish_rules();
  return {};
}

void ExporterBook::publish_rules() {
  auto all = std::make_shared<query::SamplingRules>();
  for (const ExporterTable& table : tables_) all->insert(all->end(), table.corrections.begin(), table.corrections.end());
  for (const auto& [id, added] : added_) all->push_back(added.rule);
  rules_ = std::move(all);
}

Result<uint64_t> ExporterBook::add_rule(query::SamplingRule rule, std::string comment, TimestampNs now) {
  std::lock_guard lock(mutex_);
  if (rules_->size() >= limits::kSamplingRulesMax)
    return Error{ErrorCode::too_large, "there are " + std::to_string(limits::kSamplingRulesMax) + " corrections of sampling rates, which is the limit; remove some"};
  NamedRule added{next_id_, std::move(comment), now, std::move(rule)};
  if (catalog_) SLUICE_TRY(catalog_->put(catalog::Keyspace::settings, rule_key(added.id), encode_rule(added), catalog::Sync::yes));
  ++next_id_;
  const uint64_t id = added.id;
  added_[id] = std::move(added);
  publish_rules();
  return id;
}

Status ExporterBook::remove_rule(uint64_t id) {
  std::lock_guard lock(mutex_);
  const auto it = added_.find(id);
  if (it == added_.end()) return Error{ErrorCode::not_found, "no correction of a sampling rate has the id " + std::to_string(id)};
  if (catalog_) SLUICE_TRY(catalog_->erase(catalog::Keyspace::settings, rule_key(id), catalog::Sync::yes));
  added_.erase(it);
  publish_rules();
  return {};
}

std::vector<NamedRule> ExporterBook::rules() const {
  std::lock_guard lock(mutex_);
  std::vector<NamedRule> all;
  for (const ExporterTable& table : tables_)
    for (const query::SamplingRule& rule : table.corrections) all.push_back({0, "configuration", 0, rule});
  for (const auto& [id, added] : added_) all.push_back(added);
  return all;
}

std::shared_ptr<const query::SamplingRules> ExporterBook::sampling_rules() const {
  std::lock_guard lock(mutex_);
  return rules_;
}

void ExporterBook::ask_told(std::function<uint64_t()> version, std::function<std::vector<ingest::ExporterName>()> names) {
  std::lock_guard lock(mutex_);
  told_version_ = std::move(version);
  told_names_ = std::move(names);
}

std::shared_ptr<const ExporterBook::Names> ExporterBook::current_names() const {
  std::lock_guard lock(mutex_);
  if (!told_version_) return names_;
  // Exporters with tens of thousands of names change some now and then; a table is not made for each query.
  const auto now = std::chrono::steady_clock::now();
  if (now - told_asked_ < std::chrono::seconds(1)) return names_;
  told_asked_ = now;
  if (const uint64_t version = told_version_(); version != told_seen_) {
    names_ = std::make_shared<const Names>(tables_, told_names_());
    told_seen_ = version;
  }
  return names_;
}

std::shared_ptr<const query::NameBook> ExporterBook::names() const { return current_names(); }

const std::string* ExporterBook::name_of(const IpAddress& exporter) const {
  std::lock_guard lock(mutex_);
  return names_ ? names_->exporter_name(exporter) : nullptr;  // points into the tables
}

std::vector<ingest::ExporterOverride> ExporterBook::overrides() const {
  std::vector<ingest::ExporterOverride> all;
  for (const ExporterTable& table : tables_) all.push_back(table.override);
  return all;
}

const ingest::ExporterOverride* ExporterBook::override_of(const IpAddress& exporter) const {
  const ingest::ExporterOverride* best = nullptr;
  for (const ExporterTable& table : tables_)
    if (table.override.exporter.contains(exporter) && (best == nullptr || table.override.exporter.length >= best->exporter.length)) best = &table.override;
  return best;
}

Batch ExporterBook::interfaces_table() const {
  const std::shared_ptr<const Names> names = current_names();
  std::vector<InterfaceRow> rows;
  if (names) {
    for (size_t i = 0; i < names->by_length_.size(); ++i)
      for (const auto& [number, entry] : names->fixed_[i])
        rows.push_back({to_string(names->by_length_[i]->override.exporter), names->by_length_[i]->name, number, entry.name, entry.description, "file", {}, {}, {}});
    for (const auto& [key, entry] : names->told_) {
      const std::string* exporter = names->exporter_name(key.exporter);
      rows.push_back({sluice::to_string(key.exporter), exporter ? *exporter : std::string(), key.number, entry.name, entry.description, entry.speed ? "counters" : "options", entry.speed,
                      entry.admin_up, entry.oper_up});
    }
  }
  std::ranges::sort(rows, [](const InterfaceRow& a, const InterfaceRow& b) { return std::tie(a.exporter, a.number, a.told_by) < std::tie(b.exporter, b.number, b.told_by); });
  return server::interfaces_table(rows);
}

Batch ExporterBook::rules_table() const { return sampling_rules_table(rules()); }

}  // namespace sluice::server
