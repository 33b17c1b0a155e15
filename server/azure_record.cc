#include "server/azure_record.h"

#include "server/limits.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;

constexpr std::string_view kAzurePrefix = "azure_flows/";

}  // namespace

Result<size_t> AzureRecord::load() {
  size_t unreadable = 0;
  SLUICE_TRY(catalog_.scan(Keyspace::settings, kAzurePrefix, [&](std::string_view, std::string_view value) {
    unreadable += !memory_.restore(value);
    return true;
  }));
  return unreadable;
}

Status AzureRecord::save(bool at_once) {
  const TimestampNs now = clock_.now();
  if (!at_once && now - saved_at_ < limits::kAzureRecordEvery && now >= saved_at_) return {};
  saved_at_ = now;
  catalog::Write write;
  const auto pieces = memory_.take_changes();
  for (const auto& [number, bytes] : pieces) {
    std::string key = std::string(kAzurePrefix) + std::to_string(number);
    bytes.empty() ? write.erase(Keyspace::settings, std::move(key)) : write.put(Keyspace::settings, std::move(key), bytes);
  }
  if (write.empty()) return {};
  const Status kept = catalog_.commit(write, catalog::Sync::no);
  if (!kept.ok())
    for (const auto& piece : pieces) memory_.give_back(piece.first);
  return kept;
}

}  // namespace sluice::server
