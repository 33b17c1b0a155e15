#include "query/zones.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "query/table_batch.h"
#include "storage/model/ip.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

struct ZonePart {
  IpAddress first, last;
  std::array<uint8_t, 16> size{};  // last - first
  uint32_t zone = 0;
};

std::array<uint8_t, 16> distance(const IpAddress& first, const IpAddress& last) {
  std::array<uint8_t, 16> out{};
  int borrow = 0;
  for (size_t i = 16; i-- > 0;) {
    const int d = last.bytes[i] - first.bytes[i] - borrow;
    borrow = d < 0;
    out[i] = static_cast<uint8_t>(d + (borrow ? 256 : 0));
  }
  return out;
}

// The next address; nullopt behind the last.
std::optional<IpAddress> after(IpAddress ip) {
  for (size_t i = 16; i-- > 0;)
    if (++ip.bytes[i] != 0) return ip;
  return std::nullopt;
}

std::optional<ZonePart> part_of(const std::string& item, uint32_t zone) {
  ZonePart part;
  part.zone = zone;
  if (const auto prefix = parse_prefix(item)) {
    part.first = prefix->first();
    part.last = prefix->last();
  } else {
    const size_t dash = item.find('-');
    if (dash == std::string::npos) return std::nullopt;
    const auto first = parse_ip(std::string_view(item).substr(0, dash)), last = parse_ip(std::string_view(item).substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    part.first = *first;
    part.last = *last;
  }
  part.size = distance(part.first, part.last);
  return part;
}

class ZoneName final : public Node {
 public:
  ZoneName(NodePtr ip, std::shared_ptr<const ZoneBook> book) : Node(Type::of(LogicalType::string)), ip_(std::move(ip)), book_(std::move(book)) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const ColumnPtr ips = ip_->eval(chunk, context);
    Column out(PhysicalType::Str);
    if (!context.meter.spend(chunk.rows)) return keep(std::move(out), context);
    // Flows of one source often stand together.
    IpAddress last{};
    std::string_view zone;
    for (size_t i = 0; i < chunk.rows; ++i) {
      if (ips->is_null(i)) {
        out.append_null();
        continue;
      }
      const IpAddress ip = ips->ip_at(i);
      if (zone.empty() || ip != last) zone = book_->zone_of(ip), last = ip;
      out.append_string(zone);
    }
    return keep(std::move(out), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override { ip_->collect_slots(slots); }

 private:
  const NodePtr ip_;
  const std::shared_ptr<const ZoneBook> book_;
};

}  // namespace

ZoneBook::ZoneBook(const ListBook* lists) {
  std::vector<ZonePart> parts;
  if (lists)
    for (const auto& [key, list] : lists->lists()) {
      if (!key.starts_with(kZonePrefix) || key.size() == kZonePrefix.size()) continue;
      const auto zone = static_cast<uint32_t>(names_.size());
      names_.push_back(key.substr(kZonePrefix.size()));
      says_internal_ = says_internal_ || names_.back() == "internal";
      for (const std::string& item : list->items)
        if (auto part = part_of(item, zone)) parts.push_back(*part);
    }
  // From one end of the addresses to the other: parts open and close, and the smallest that is open counts.
  std::sort(parts.begin(), parts.end(), [](const ZonePart& a, const ZonePart& b) { return a.first < b.first; });
  using Open = std::tuple<std::array<uint8_t, 16>, uint32_t, IpAddress>;  // size, zone, last
  std::set<Open> open;
  std::multimap<IpAddress, Open> ends;
  const auto mark = [&](const IpAddress& from) {
    const uint32_t zone = open.empty() ? kNone : std::get<1>(*open.begin());
    if (!starts_.empty() && starts_.back() == from) starts_.pop_back(), zones_.pop_back();
    if (zones_.empty() ? zone == kNone : zones_.back() == zone) return;
    starts_.push_back(from);
    zones_.push_back(zone);
  };
  const auto close_before = [&](const std::optional<IpAddress>& next) {
    while (!ends.empty() && (!next || ends.begin()->first < *next)) {
      const IpAddress last = ends.begin()->first;
      const auto [first_end, last_end] = ends.equal_range(last);
      for (auto it = first_end; it != last_end; ++it) open.erase(it->second);
      ends.erase(first_end, last_end);
      if (const auto from = after(last)) mark(*from);
    }
  };
  for (const ZonePart& p : parts) {
    close_before(p.first);
    ends.emplace(p.last, *open.emplace(p.size, p.zone, p.last).first);
    mark(p.first);
  }
  close_before(std::nullopt);
}

std::string_view ZoneBook::zone_of(const IpAddress& ip) const {
  const auto behind = std::upper_bound(starts_.begin(), starts_.end(), ip);
  if (behind != starts_.begin())
    if (const uint32_t zone = zones_[static_cast<size_t>(behind - starts_.begin()) - 1]; zone != kNone) return names_[zone];
  return !says_internal_ && ip.is_private() ? "internal" : "external";
}

Batch zones_table(const ListBook& lists) {
  Column name(PhysicalType::Str), items(PhysicalType::U64), blocks(PhysicalType::Str), version(PhysicalType::U64), updated(PhysicalType::I64);
  for (const auto& [key, list] : lists.lists()) {
    if (!key.starts_with(kZonePrefix) || key.size() == kZonePrefix.size()) continue;
    name.append_string(key.substr(kZonePrefix.size()));
    items.append(uint64_t{list->items.size()});
    std::string text;
    for (const std::string& item : list->items) append_list_item(text, item);
    blocks.append_string(text);
    version.append(list->version);
    updated.append(list->updated_at);
  }
  TableBatch shown;
  shown.add("name", LogicalType::string, std::move(name));
  shown.add("items", LogicalType::uint, std::move(items));
  shown.add("blocks", LogicalType::list, std::move(blocks));
  shown.add("version", LogicalType::uint, std::move(version));
  shown.add("updated_at", LogicalType::timestamp, std::move(updated));
  return shown.finish();
}

NodePtr make_zone(NodePtr ip, std::shared_ptr<const ZoneBook> book) { return std::make_shared<ZoneName>(std::move(ip), std::move(book)); }

}  // namespace sluice::query
