#include "ingest/source/aws_fields.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest::aws {
namespace {

using K = FieldKind;

constexpr FieldSpec kFields[] = {
    {"version", K::version, 2},
    {"account-id", K::local_account, 2},
    {"interface-id", K::local_interface, 2},
    {"srcaddr", K::srcaddr, 2},
    {"dstaddr", K::dstaddr, 2},
    {"srcport", K::srcport, 2},
    {"dstport", K::dstport, 2},
    {"protocol", K::protocol, 2},
    {"packets", K::packets, 2},
    {"bytes", K::bytes, 2},
    {"start", K::start, 2},
    {"end", K::end, 2},
    {"action", K::action, 2},
    {"log-status", K::log_status, 2},
    {"vpc-id", K::local_vpc, 3},
    {"subnet-id", K::local_subnet, 3},
    {"instance-id", K::local_instance, 3},
    {"tcp-flags", K::tcp_flags, 3},
    {"type", K::type, 3},
    {"pkt-srcaddr", K::pkt_srcaddr, 3},
    {"pkt-dstaddr", K::pkt_dstaddr, 3},
    {"region", K::local_region, 4},
    {"az-id", K::local_zone, 4},
    {"sublocation-type", K::extra, 4},
    {"sublocation-id", K::extra, 4},
    {"pkt-src-aws-service", K::src_service, 5},
    {"pkt-dst-aws-service", K::dst_service, 5},
    {"flow-direction", K::flow_direction, 5},
    {"traffic-path", K::traffic_path, 5},
    {"resource-type", K::resource_type, 6},
    {"tgw-id", K::tgw_id, 6},
    {"tgw-attachment-id", K::extra, 6},
    {"tgw-src-vpc-account-id", K::src_account, 6},
    {"tgw-dst-vpc-account-id", K::dst_account, 6},
    {"tgw-src-vpc-id", K::src_vpc, 6},
    {"tgw-dst-vpc-id", K::dst_vpc, 6},
    {"tgw-src-subnet-id", K::src_subnet, 6},
    {"tgw-dst-subnet-id", K::dst_subnet, 6},
    {"tgw-src-eni", K::src_interface, 6},
    {"tgw-dst-eni", K::dst_interface, 6},
    {"tgw-src-az-id", K::src_zone, 6},
    {"tgw-dst-az-id", K::dst_zone, 6},
    {"tgw-pair-attachment-id", K::extra, 6},
    {"packets-lost-no-route", K::packets_lost, 6},
    {"packets-lost-blackhole", K::packets_lost, 6},
    {"packets-lost-mtu-exceeded", K::packets_lost, 6},
    {"packets-lost-ttl-expired", K::packets_lost, 6},
    {"ecs-cluster-arn", K::extra, 7},
    {"ecs-cluster-name", K::extra, 7},
    {"ecs-container-instance-arn", K::extra, 7},
    {"ecs-container-instance-id", K::extra, 7},
    {"ecs-container-id", K::extra, 7},
    {"ecs-second-container-id", K::extra, 7},
    {"ecs-service-name", K::extra, 7},
    {"ecs-task-definition-arn", K::extra, 7},
    {"ecs-task-arn", K::extra, 7},
    {"ecs-task-id", K::extra, 7},
    {"reject-reason", K::reject_reason, 8},
    {"resource-id", K::extra, 9},
    {"encryption-status", K::encryption_status, 10},
    {"instance-tag", K::extra_tag, 11},
    {"instance-tag-2", K::extra_tag, 11},
    {"interface-tag", K::extra_tag, 11},
    {"interface-tag-2", K::extra_tag, 11},
    {"asg-tag", K::extra_tag, 11},
    {"asg-tag-2", K::extra_tag, 11},
    {"interface-type", K::extra, 11},
    {"next-hop-interface-id", K::extra, 11},
    {"next-hop-interface-type", K::extra, 11},
    {"next-hop-subnet-id", K::extra, 11},
    {"next-hop-az-id", K::extra, 11},
    {"next-hop-vpc-id", K::extra, 11},
};

constexpr std::string_view kDefaultVpc =
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
constexpr std::string_view kDefaultTgw =
    "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id tgw-src-vpc-id "
    "tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id "
    "tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status type "
    "packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired";
// What a flow log has that is made without a list of fields: all of them.
constexpr std::string_view kAllTgw = " tcp-flags region flow-direction pkt-src-aws-service pkt-dst-aws-service";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string underscored(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '-' ? '_' : lower(c);
  return out;
}

// Header words are short; anything longer is no field of ours and not worth a lookup.
constexpr size_t kNameBytesMax = 64;

bool has_name_shape(std::string_view word) {
  if (word.empty() || word.size() > kNameBytesMax) return false;
  const auto letter = [](char c) { return lower(c) >= 'a' && lower(c) <= 'z'; };
  return letter(word[0]) && std::all_of(word.begin(), word.end(), [&](char c) {
           return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_';
         });
}

}  // namespace

std::span<const FieldSpec> fields() { return kFields; }

const FieldSpec* find_field(std::string_view name) {
  static const auto names = [] {
    std::unordered_map<std::string, const FieldSpec*> map;
    for (const FieldSpec& field : kFields) map.emplace(underscored(field.name), &field);
    return map;
  }();
  if (name.size() > kNameBytesMax) return nullptr;
  const auto it = names.find(underscored(name));
  return it == names.end() ? nullptr : it->second;
}

Result<Format> compile(std::span<const std::string_view> names) {
  if (names.size() > limits::kHeaderColumnsMax)
    return Error{ErrorCode::too_large, "header has more fields than " + std::to_string(limits::kHeaderColumnsMax) + ": " +
                                           std::to_string(names.size())};
  Format format;
  std::unordered_set<std::string> seen;
  bool any_known = false;
  for (const std::string_view name : names) {
    std::string key = underscored(name);
    if (!seen.insert(key).second) return Error{ErrorCode::invalid_argument, "header names a field twice: " + quoted(name)};
    const FieldSpec* field = find_field(name);
    // The name of an unknown field becomes a key of `extra`, so it has to be a name.
    if (field == nullptr && !has_name_shape(name))
      return Error{ErrorCode::invalid_argument, "header holds what cannot be a field name: " + quoted(name)};
    any_known |= field != nullptr;
    if (field == nullptr) format.unknown.emplace_back(name);
    format.steps.push_back({field ? field->kind : FieldKind::extra, std::move(key)});
  }
  if (!any_known)
    return Error{ErrorCode::invalid_argument,
                 names.empty() ? std::string("header is empty") : "header names no known field; it begins with " + quoted(names[0])};
  format.transit_gateway = format.has(FieldKind::tgw_id) || format.has(FieldKind::resource_type);
  return format;
}

Result<Format> compile_text(std::string_view text) {
  std::vector<std::string_view> names;
  while (true) {
    const size_t begin = text.find_first_not_of(" \t\r\n,");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    std::string_view word = text.substr(0, text.find_first_of(" \t\r\n,"));
    text.remove_prefix(word.size());
    if (word.size() >= 3 && word.substr(0, 2) == "${" && word.back() == '}') word = word.substr(2, word.size() - 3);
    names.push_back(word);
    if (names.size() > limits::kHeaderColumnsMax) break;
  }
  return compile(names);
}

std::vector<std::string_view> absent_fields(const Format& format) {
  std::vector<std::string_view> absent;
  for (const FieldSpec& field : kFields)
    if (std::none_of(format.steps.begin(), format.steps.end(), [name = underscored(field.name)](const Step& step) { return step.name == name; }))
      absent.push_back(field.name);
  return absent;
}

bool looks_like_header(std::span<const std::string_view> words, bool any) {
  if (words.empty()) return false;
  size_t known = 0;
  for (const std::string_view word : words) {
    if (!has_name_shape(word)) return false;
    known += find_field(word) != nullptr;
  }
  return any ? known > 0 : known * 2 >= words.size();
}

const Format& default_vpc_format() {
  static const Format format = compile_text(kDefaultVpc).value();
  return format;
}

const Format& default_tgw_format(size_t words) {
  static const Format console = compile_text(kDefaultTgw).value();
  static const Format all = compile_text(std::string(kDefaultTgw).append(kAllTgw)).value();
  return words == all.steps.size() ? all : console;
}

}  // namespace sluice::ingest::aws
