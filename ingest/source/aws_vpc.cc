#include "ingest/source/aws_vpc.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "ingest/receive/limits.h"
#include "ingest/receive/line_cut.h"
#include "ingest/source/aws_envelope.h"
#include "ingest/source/aws_fields.h"
#include "ingest/source/flow_time.h"
#include "ingest/source/interface_side.h"
#include "ingest/source/limits.h"
#include "ingest/source/parquet.h"
#include "ingest/source/text_line.h"
#include "ingest/source/text_value.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace aws_vpc {
namespace {

bool begins_with_letter(std::string_view word) { return (word[0] >= 'a' && word[0] <= 'z') || (word[0] >= 'A' && word[0] <= 'Z'); }

using aws::FieldKind;
using aws::Format;
using aws::Step;

// Rows of one batch. Fewer than limits::kBatchRows: texts stay views into the body until the batch is finished, and the
// lines of this many records are still in the cache then (measured: half as fast again on long records).
constexpr size_t kBatchRows = 16'384;
static_assert(kBatchRows <= limits::kBatchRows);

// Columns of fixed width that records fill. Bit positions of Row::present.
enum Fixed : uint32_t {
  kFlowStart, kFlowEnd, kTimeQualityBit, kSrcIp, kDstIp, kSrcPort, kDstPort, kProtocol, kIpVersion, kBytes, kPackets,
  kDroppedPackets, kTcpFlags, kFlagsQualityBit, kActionBit, kDirectionBit, kInitiatorBit, kTrafficPath, kIfSrcIp, kIfDstIp,
  kSourceBit, kReporterBit, kFixedCount,
};
constexpr ColumnId kFixedColumns[] = {
    ColumnId::flow_start, ColumnId::flow_end, ColumnId::time_quality, ColumnId::src_ip, ColumnId::dst_ip, ColumnId::src_port,
    ColumnId::dst_port, ColumnId::protocol, ColumnId::ip_version, ColumnId::raw_bytes, ColumnId::raw_packets,
    ColumnId::dropped_packets, ColumnId::tcp_flags, ColumnId::flags_quality, ColumnId::action, ColumnId::direction,
    ColumnId::initiator, ColumnId::traffic_path, ColumnId::if_src_ip, ColumnId::if_dst_ip, ColumnId::source,
    ColumnId::reporter,
};
static_assert(std::size(kFixedColumns) == kFixedCount);

// What is said of one side. Each has a column for either side.
enum Sided : uint32_t { kInstance, kInterface, kVpc, kSubnet, kAccount, kRegion, kZone, kSidedCount };
constexpr struct {
  ColumnId src, dst;
} kSidedColumns[] = {
    {ColumnId::src_instance_id, ColumnId::dst_instance_id}, {ColumnId::src_interface_id, ColumnId::dst_interface_id},
    {ColumnId::src_vpc_id, ColumnId::dst_vpc_id},           {ColumnId::src_subnet_id, ColumnId::dst_subnet_id},
    {ColumnId::src_account_id, ColumnId::dst_account_id},   {ColumnId::src_region, ColumnId::dst_region},
    {ColumnId::src_zone, ColumnId::dst_zone},
};
static_assert(std::size(kSidedColumns) == kSidedCount);

// Other text columns.
enum Text : uint32_t { kRejectReason, kEncryption, kSrcService, kDstService, kLogStatus, kTextCount };
constexpr ColumnId kTextColumns[] = {ColumnId::reject_reason, ColumnId::encryption, ColumnId::src_service,
                                     ColumnId::dst_service, ColumnId::log_status};
static_assert(std::size(kTextColumns) == kTextCount);

// One record, while it is read. Views point into the body or the arena.
struct Row {
  uint32_t present = 0;
  TimestampNs start = 0, end = 0;
  uint64_t bytes = 0, packets = 0, lost = 0;
  uint16_t src_port = 0, dst_port = 0, tcp_flags = 0;
  uint8_t protocol = 0, ip_version = 0, action = 0, direction = 0, traffic_path = 0;
  std::string_view srcaddr, dstaddr, pkt_srcaddr, pkt_dstaddr;  // as written; empty: null
  std::array<std::string_view, kSidedCount> local{}, src{}, dst{};
  std::array<std::string_view, kTextCount> text{};

  void mark(Fixed bit) { present |= 1u << bit; }
  bool has(Fixed bit) const { return present >> bit & 1; }
};

// A column in the making. Rows that have no value are padded when the next one comes, so a lane nobody writes costs nothing.
template <typename T>
struct Lane {
  std::vector<T> values;
  void put(size_t row, const T& value, size_t capacity) {
    if (values.size() != row) [[unlikely]]
      values.resize(row);
    if (row == 0) values.reserve(capacity);
    values.push_back(value);
  }
  T at(size_t row) const { return row < values.size() ? values[row] : T{}; }
};

std::string_view encryption_name(std::string_view word) {
  if (word.size() == 1) switch (word[0]) {
      case '0': return "not-encrypted";
      case '1': return "nitro-encrypted";
      case '2': return "application-encrypted";
      case '3': return "nitro-and-application-encrypted";
      default: break;
    }
  return word;
}

class Decoder {
 public:
  // `strict`: a first line that makes no sense is an error; otherwise it is a bad record like any other.
  Decoder(const DecodeContext& context, const FlowSink& sink, const Format& fallback, bool strict, size_t body_bytes,
          const char* readable_end, DecodeReport& report)
      : context_(context),
        sink_(sink),
        fallback_(fallback),
        strict_(strict),
        readable_end_(readable_end),
        report_(report),
        words_(limits::kHeaderColumnsMax + 1) {
    // No record is shorter than a byte and a blank per field, so this many rows are enough for a small body.
    capacity_ = std::min<size_t>(kBatchRows, body_bytes / 8 + 1);
  }

  Status configure(std::string_view format) {
    auto compiled = aws::compile_text(format);
    if (!compiled.ok()) return std::move(compiled).error().with("configured format");
    use(std::move(*compiled));
    note_unknown_columns(0);
    return {};
  }

  Status line(std::string_view line, uint64_t number, TimestampNs event_time) {
    number_ = number;
    event_time_ = event_time;
    if (line.size() > limits::kTextLineBytesMax) {
      report_.reject(number, "line is longer than " + std::to_string(limits::kTextLineBytesMax) + " bytes: " + std::to_string(line.size()));
      return {};
    }
    bool plain = true;
    const size_t count = split_words(line, readable_end_, words_, plain);
    if (count == 0) return {};
    const std::span<const std::string_view> words(words_.data(), std::min(count, words_.size()));
    if (begins_with_letter(words[0]) && aws::looks_like_header(words, !any_record_))
      return header(words);
    if (state_ != State::ready) {
      bool done = false;
      SLUICE_TRY(without_header(words, done));
      if (done) return {};
    }
    any_record_ = true;
    if (is_default_tgw_ && count != format_.steps.size()) use_default_tgw(count);  // a log group may hold those of two flow logs
    if (count != format_.steps.size()) {
      report_.reject(number, std::string(count < format_.steps.size() ? "too few fields" : "too many fields") + ": " +
                                 std::to_string(count) + ", the format has " + std::to_string(format_.steps.size()));
      return {};
    }
    if (status_index_ < count) {
      const std::string_view status = words[status_index_];
      if (status == "NODATA") {
        ++report_.no_data;
        return {};
      }
      if (status == "SKIPDATA") {
        skipped(words);
        return {};
      }
    }
    record(words, plain);
    if (rows_ == kBatchRows) return flush();
    return {};
  }

  Status flush();

 private:
  enum class State { unknown, ready, broken };

  void use_default_tgw(size_t words) {
    use(aws::default_tgw_format(words));
    is_default_tgw_ = true;
  }

  void use(Format format) {
    is_default_tgw_ = false;
    format_ = std::move(format);
    state_ = State::ready;
    status_index_ = start_index_ = end_index_ = SIZE_MAX;
    for (size_t i = 0; i < format_.steps.size(); ++i) {
      if (format_.steps[i].kind == FieldKind::log_status) status_index_ = i;
      if (format_.steps[i].kind == FieldKind::start) start_index_ = i;
      if (format_.steps[i].kind == FieldKind::end) end_index_ = i;
    }
    has_direction_ = format_.has(FieldKind::flow_direction);
    has_flags_ = format_.has(FieldKind::tcp_flags);
  }

  void note_unknown_columns(uint64_t record) {
    if (format_.unknown.empty()) return;
    UnknownColumn column{record, {}, aws::absent_fields(format_)};
    for (const std::string& name : format_.unknown) {
      column.name = name;
      report_.note_unknown_column(column);
    }
  }

  Status header(std::span<const std::string_view> words) {
    auto compiled = aws::compile(words);
    if (compiled.ok()) {
      use(std::move(*compiled));
      note_unknown_columns(number_);
      return {};
    }
    if (strict_ && state_ == State::unknown) return std::move(compiled).error().with("line " + std::to_string(number_));
    report_.reject(number_, std::move(compiled).error().message);
    state_ = State::broken;
    return {};
  }

  // The first record comes without a header: only AWS's defaults can be recognised.
  Status without_header(std::span<const std::string_view> words, bool& done) {
    if (state_ == State::broken) {
      report_.reject(number_, "follows a header that could not be read");
      done = true;
      return {};
    }
    if (words[0] == "2" && !fallback_.transit_gateway) {
      use(fallback_);
      return {};
    }
    if (words[0] == "6" && words.size() > 1 && (words[1] == "TransitGateway" || fallback_.transit_gateway)) {
      use_default_tgw(words.size());
      return {};
    }
    std::string reason = "line is neither a header that names a known field nor a record of AWS's default format, and no format "
                         "is configured; it begins with " + quoted(words[0]);
    if (strict_) return Error{ErrorCode::invalid_argument, "line " + std::to_string(number_) + ": " + std::move(reason)};
    report_.reject(number_, std::move(reason));
    done = true;
    return {};
  }

  void skipped(std::span<const std::string_view> words) {
    ++report_.skipped_data;
    TimestampNs start = 0, end = 0;
    const bool has_start = start_index_ < words.size() && parse_unix_time(words[start_index_], start);
    const bool has_end = end_index_ < words.size() && parse_unix_time(words[end_index_], end);
    if (!has_start && !has_end) {
      if (event_time_ == 0) return;
      start = end = event_time_;
    } else if (!has_start) {
      start = end;
    } else if (!has_end) {
      end = start;
    }
    if (end < start) std::swap(start, end);
    // Times are whole seconds and the last one is lost too, so the half-open range ends one later.
    report_.skipped_range.from = std::min(report_.skipped_range.from, start);
    report_.skipped_range.to = std::max(report_.skipped_range.to, end <= kTimestampMax - kSecond ? end + kSecond : kTimestampMax);
  }

  bool bad(const Step& step, std::string_view word, std::string_view what) {
    report_.reject(number_, step.name + " " + std::string(what) + ": " + quoted(word));
    return false;
  }

  // A value as text; empty stays empty.
  std::string_view text(std::string_view word, bool plain) {
    if (plain && word.size() <= limits::kStringBytesMax) [[likely]]
      return word;
    bool cut = false;
    const auto clean = clean_text(word, arena_, cut);
    cut_in_row_ |= cut;
    return clean;
  }

  bool number_field(Row& row, Fixed bit, const Step& step, std::string_view word, uint64_t max, uint64_t& out) {
    if (!parse_number(word, max, out)) [[unlikely]] {
      if (word == "null") return true;
      return bad(step, word, "is not a number from 0 to " + std::to_string(max));
    }
    row.mark(bit);
    return true;
  }

  bool read_fields(std::span<const std::string_view> words, bool plain, Row& row);
  bool read_addresses(Row& row, IpAddress& if_src, IpAddress& if_dst, IpAddress& src, IpAddress& dst);
  void record(std::span<const std::string_view> words, bool plain);
  void add_extra(std::string_view key, std::string_view value) {
    if (extra_.size() + key.size() + value.size() > limits::kStringBytesMax) {
      cut_in_row_ = true;
      return;
    }
    append_extra(extra_, key, value);
  }
  template <typename T>
  void put(Fixed bit, Lane<T>& lane, const Row& row, T value) {
    if (row.has(bit)) lane.put(rows_, value, capacity_);
  }

  const DecodeContext& context_;
  const FlowSink& sink_;
  const Format& fallback_;
  const bool strict_;
  const char* const readable_end_;
  DecodeReport& report_;

  Format format_;
  State state_ = State::unknown;
  size_t status_index_ = SIZE_MAX, start_index_ = SIZE_MAX, end_index_ = SIZE_MAX;
  bool has_direction_ = false, has_flags_ = false, any_record_ = false, is_default_tgw_ = false;

  // The line at hand.
  uint64_t number_ = 0;
  TimestampNs event_time_ = 0;
  std::vector<std::string_view> words_;
  std::string extra_;
  bool cut_in_row_ = false;

  // The batch in the making.
  size_t capacity_;
  size_t rows_ = 0;
  Lane<uint32_t> present_;
  uint32_t any_present_ = 0, all_present_ = ~0u;
  Lane<TimestampNs> start_, end_;
  Lane<uint64_t> bytes_, packets_, dropped_;
  Lane<uint16_t> src_port_, dst_port_, tcp_flags_;
  Lane<uint8_t> time_quality_, protocol_, ip_version_, flags_quality_, action_, direction_, initiator_, traffic_path_, source_,
      reporter_;
  Lane<IpAddress> src_ip_, dst_ip_, if_src_, if_dst_;
  Lane<Side> side_;
  std::array<Lane<std::string_view>, kSidedCount> local_lane_, src_lane_, dst_lane_;
  std::array<Lane<std::string_view>, kTextCount> text_lane_;
  StringVector extra_lane_;
  TextArena arena_;

  // Rows whose side is not plain from the row itself.
  struct Undecided {
    size_t row;
    uint32_t interface;
    IpAddress src, dst;
  };
  std::vector<Undecided> undecided_;
  InterfaceAddresses interfaces_;
};

bool Decoder::read_fields(std::span<const std::string_view> words, bool plain, Row& row) {
  const Step* step = format_.steps.data();
  for (const std::string_view word : words) {
    const Step& s = *step++;
    if (word.size() == 1 && word[0] == '-') continue;
    uint64_t n = 0;
    switch (s.kind) {
      case FieldKind::version: break;
      case FieldKind::srcaddr: row.srcaddr = word; break;
      case FieldKind::dstaddr: row.dstaddr = word; break;
      case FieldKind::pkt_srcaddr: row.pkt_srcaddr = word; break;
      case FieldKind::pkt_dstaddr: row.pkt_dstaddr = word; break;
      case FieldKind::srcport:
        if (!number_field(row, kSrcPort, s, word, 65'535, n)) return false;
        row.src_port = static_cast<uint16_t>(n);
        break;
      case FieldKind::dstport:
        if (!number_field(row, kDstPort, s, word, 65'535, n)) return false;
        row.dst_port = static_cast<uint16_t>(n);
        break;
      case FieldKind::protocol:
        if (!number_field(row, kProtocol, s, word, 255, n)) return false;
        row.protocol = static_cast<uint8_t>(n);
        break;
      case FieldKind::packets:
        if (!number_field(row, kPackets, s, word, UINT64_MAX, row.packets)) return false;
        break;
      case FieldKind::bytes:
        if (!number_field(row, kBytes, s, word, UINT64_MAX, row.bytes)) return false;
        break;
      case FieldKind::tcp_flags:
        if (!number_field(row, kTcpFlags, s, word, 65'535, n)) return false;
        row.tcp_flags = static_cast<uint16_t>(n);
        break;
      case FieldKind::traffic_path:
        if (!number_field(row, kTrafficPath, s, word, 255, n)) return false;
        row.traffic_path = static_cast<uint8_t>(n);
        break;
      case FieldKind::start:
      case FieldKind::end: {
        TimestampNs time = 0;
        if (!parse_unix_time(word, time)) {
          if (word == "null") break;
          return bad(s, word, "is not a Unix time in seconds or milliseconds");
        }
        if (s.kind == FieldKind::start) {
          row.start = time;
          row.mark(kFlowStart);
        } else {
          row.end = time;
          row.mark(kFlowEnd);
        }
        break;
      }
      case FieldKind::action:
        row.mark(kActionBit);
        if (word == "ACCEPT") {
          row.action = static_cast<uint8_t>(Action::accept);
        } else if (word == "REJECT") {
          row.action = static_cast<uint8_t>(Action::reject);
        } else {
          row.action = static_cast<uint8_t>(Action::unknown);
          add_extra(s.name, text(word, plain));
        }
        break;
      case FieldKind::log_status: row.text[kLogStatus] = text(word, plain); break;
      case FieldKind::type:
        if (word == "IPv4" || word == "IPv6") {
          row.ip_version = word == "IPv4" ? 4 : 6;
          row.mark(kIpVersion);
        } else {
          add_extra(s.name, text(word, plain));
        }
        break;
      case FieldKind::flow_direction:
        if (word == "ingress" || word == "egress") {
          row.direction = static_cast<uint8_t>(word == "ingress" ? Direction::ingress : Direction::egress);
          row.mark(kDirectionBit);
        } else {
          add_extra(s.name, text(word, plain));
        }
        break;
      case FieldKind::encryption_status: row.text[kEncryption] = encryption_name(text(word, plain)); break;
      case FieldKind::reject_reason: row.text[kRejectReason] = text(word, plain); break;
      case FieldKind::src_service: row.text[kSrcService] = text(word, plain); break;
      case FieldKind::dst_service: row.text[kDstService] = text(word, plain); break;
      case FieldKind::local_instance: row.local[kInstance] = text(word, plain); break;
      case FieldKind::local_interface: row.local[kInterface] = text(word, plain); break;
      case FieldKind::local_vpc: row.local[kVpc] = text(word, plain); break;
      case FieldKind::local_subnet: row.local[kSubnet] = text(word, plain); break;
      case FieldKind::local_account: row.local[kAccount] = text(word, plain); break;
      case FieldKind::local_region: row.local[kRegion] = text(word, plain); break;
      case FieldKind::local_zone: row.local[kZone] = text(word, plain); break;
      case FieldKind::resource_type:
        // The one value there is; `source` says as much.
        if (word != "TransitGateway") add_extra(s.name, text(word, plain));
        break;
      case FieldKind::src_account: row.src[kAccount] = text(word, plain); break;
      case FieldKind::dst_account: row.dst[kAccount] = text(word, plain); break;
      case FieldKind::src_vpc: row.src[kVpc] = text(word, plain); break;
      case FieldKind::dst_vpc: row.dst[kVpc] = text(word, plain); break;
      case FieldKind::src_subnet: row.src[kSubnet] = text(word, plain); break;
      case FieldKind::dst_subnet: row.dst[kSubnet] = text(word, plain); break;
      case FieldKind::src_interface: row.src[kInterface] = text(word, plain); break;
      case FieldKind::dst_interface: row.dst[kInterface] = text(word, plain); break;
      case FieldKind::src_zone: row.src[kZone] = text(word, plain); break;
      case FieldKind::dst_zone: row.dst[kZone] = text(word, plain); break;
      case FieldKind::packets_lost:
        if (!number_field(row, kDroppedPackets, s, word, UINT64_MAX, n)) return false;
        if (__builtin_add_overflow(row.lost, n, &row.lost)) return bad(s, word, "makes the sum of lost packets overflow");
        if (n != 0) add_extra(s.name, word);
        break;
      case FieldKind::extra_tag: {
        const std::string decoded = percent_decoded(word);
        add_extra(s.name, text(decoded, false));
        break;
      }
      case FieldKind::tgw_id:
      case FieldKind::extra: add_extra(s.name, text(word, plain)); break;
    }
  }
  return true;
}

// The packet's addresses are the flow's; the interface's go to columns of their own where they differ.
bool Decoder::read_addresses(Row& row, IpAddress& if_src, IpAddress& if_dst, IpAddress& src, IpAddress& dst) {
  const auto read = [&](std::string_view& word, IpAddress& ip, std::string_view name) {
    if (word.empty() || parse_address(word, ip)) return true;
    if (word == "null") {
      word = {};
      return true;
    }
    report_.reject(number_, std::string(name) + " is not an address: " + quoted(word));
    return false;
  };
  if (!read(row.srcaddr, if_src, "srcaddr") || !read(row.dstaddr, if_dst, "dstaddr")) return false;
  const auto packet = [&](std::string_view& pkt, std::string_view interface, const IpAddress& if_ip, IpAddress& ip,
                          Fixed ip_bit, Fixed if_bit, std::string_view name) {
    if (pkt.empty() || pkt == interface) {
      pkt = interface;
      ip = if_ip;
    } else if (!read(pkt, ip, name)) {
      return false;
    } else if (pkt.empty()) {
      pkt = interface;
      ip = if_ip;
    } else if (!interface.empty() && !(ip == if_ip)) {
      row.mark(if_bit);
    }
    if (!pkt.empty()) row.mark(ip_bit);
    return true;
  };
  return packet(row.pkt_srcaddr, row.srcaddr, if_src, src, kSrcIp, kIfSrcIp, "pkt_srcaddr") &&
         packet(row.pkt_dstaddr, row.dstaddr, if_dst, dst, kDstIp, kIfDstIp, "pkt_dstaddr");
}

void Decoder::record(std::span<const std::string_view> words, bool plain) {
  Row row;
  extra_.clear();
  cut_in_row_ = false;
  IpAddress if_src, if_dst, src, dst;
  if (!read_fields(words, plain, row) || !read_addresses(row, if_src, if_dst, src, dst)) return;

  // A record without a status that names no traffic is how NODATA looks in a format that leaves the status out.
  if (status_index_ == SIZE_MAX && !row.has(kSrcIp) && !row.has(kDstIp) && row.bytes == 0 && row.packets == 0) {
    ++report_.no_data;
    return;
  }

  // --- time ---
  FlowTimes times;
  if (row.has(kFlowStart)) times.start = row.start;
  if (row.has(kFlowEnd)) times.end = row.end;
  times.settle(event_time_, context_.received_at);
  if (times.said_start) add_extra("start", std::to_string(*times.said_start / kSecond));
  if (times.said_end) add_extra("end", std::to_string(*times.said_end / kSecond));
  row.end = *times.end;
  row.mark(kFlowEnd);
  if (times.start) row.start = *times.start;
  if (!times.start) row.present &= ~(1u << kFlowStart);
  report_.clamped_times += times.clamped();

  // --- what follows from the fields ---
  if (!row.has(kIpVersion) && (row.has(kSrcIp) || row.has(kDstIp))) {
    row.ip_version = (row.has(kSrcIp) ? src : dst).is_v4() ? 4 : 6;
    row.mark(kIpVersion);
  }
  FlagsQuality flags_quality = FlagsQuality::none;
  if (row.has(kTcpFlags)) {
    // VPC logs know SYN, FIN, RST and the ACK of a SYN-ACK. Transit gateway logs know all flags, but write 0 for a flow
    // of nothing but ACK: such a 0 must not be taken for a segment without flags.
    flags_quality = format_.transit_gateway && row.tcp_flags != 0 ? FlagsQuality::all : FlagsQuality::syn_fin_rst_only;
    constexpr uint16_t kSyn = 2, kAck = 16;
    if (row.protocol == 6 && (row.tcp_flags & kSyn) != 0) {
      if ((row.tcp_flags & kAck) == 0)
        row.mark(kInitiatorBit);
      else if (!format_.transit_gateway)  // there, ACKs after a SYN look the same as a SYN-ACK
        row.mark(kInitiatorBit);
    }
  }
  const Initiator initiator = (row.tcp_flags & 16) != 0 ? Initiator::dst : Initiator::src;

  // --- whose side the reporting interface stands on ---
  std::optional<Side> side;
  std::optional<Reporter> reporter;
  bool is_undecided = false;
  uint32_t interface = InterfaceAddresses::kNone;
  if (format_.transit_gateway) {
    reporter = Reporter::middle;
    if (const auto region = row.local[kRegion]; !region.empty()) {
      // The gateway's region is that of the networks attached to it; a side without one lies behind a peering or a VPN.
      if (!row.src[kVpc].empty()) row.src[kRegion] = region;
      if (!row.dst[kVpc].empty()) row.dst[kRegion] = region;
      if (row.src[kVpc].empty() && row.dst[kVpc].empty()) add_extra("region", region);
      row.local[kRegion] = {};
    }
    // The gateway's owner, and whatever a mixed format may say of a single interface, belong to neither side.
    constexpr std::string_view kNames[] = {"instance_id", "interface_id", "vpc_id", "subnet_id", "account_id", "region", "az_id"};
    static_assert(std::size(kNames) == kSidedCount);
    for (size_t k = 0; k < kSidedCount; ++k)
      if (!row.local[k].empty()) add_extra(kNames[k], std::exchange(row.local[k], {}));
  } else {
    const bool both = !row.srcaddr.empty() && !row.dstaddr.empty();
    if (!has_direction_ && both && !row.local[kInterface].empty()) {
      interface = interfaces_.index_of(row.local[kInterface]);
      interfaces_.saw(interface, if_src, if_dst);
    }
    if (row.has(kDirectionBit)) {
      side = row.direction == static_cast<uint8_t>(Direction::egress) ? Side::src : Side::dst;
    } else if (row.has(kIfSrcIp) != row.has(kIfDstIp)) {
      side = row.has(kIfSrcIp) ? Side::src : Side::dst;
    } else if (both) {
      const bool src_private = if_src.is_private(), dst_private = if_dst.is_private();
      if (src_private != dst_private) side = src_private ? Side::src : Side::dst;
    }
    if (side) {
      const bool hop = row.has(*side == Side::src ? kIfSrcIp : kIfDstIp);
      reporter = hop ? Reporter::middle : *side == Side::src ? Reporter::src : Reporter::dst;
    } else {
      side = Side::src;
      is_undecided = interface != InterfaceAddresses::kNone;
    }
  }

  // --- all is known: write the row ---
  row.mark(kTimeQualityBit);
  row.mark(kFlagsQualityBit);
  row.mark(kSourceBit);
  if (reporter) row.mark(kReporterBit);
  const size_t at = rows_;
  present_.put(at, row.present, capacity_);
  any_present_ |= row.present;
  all_present_ &= row.present;
  put(kFlowStart, start_, row, row.start);
  put(kFlowEnd, end_, row, row.end);
  put(kTimeQualityBit, time_quality_, row, static_cast<uint8_t>(times.quality));
  put(kSrcIp, src_ip_, row, src);
  put(kDstIp, dst_ip_, row, dst);
  put(kSrcPort, src_port_, row, row.src_port);
  put(kDstPort, dst_port_, row, row.dst_port);
  put(kProtocol, protocol_, row, row.protocol);
  put(kIpVersion, ip_version_, row, row.ip_version);
  put(kBytes, bytes_, row, row.bytes);
  put(kPackets, packets_, row, row.packets);
  put(kDroppedPackets, dropped_, row, row.lost);
  put(kTcpFlags, tcp_flags_, row, row.tcp_flags);
  put(kFlagsQualityBit, flags_quality_, row, static_cast<uint8_t>(flags_quality));
  put(kActionBit, action_, row, row.action);
  put(kDirectionBit, direction_, row, row.direction);
  put(kInitiatorBit, initiator_, row, static_cast<uint8_t>(initiator));
  put(kTrafficPath, traffic_path_, row, row.traffic_path);
  put(kIfSrcIp, if_src_, row, if_src);
  put(kIfDstIp, if_dst_, row, if_dst);
  put(kSourceBit, source_, row, static_cast<uint8_t>(format_.transit_gateway ? Source::aws_tgw : Source::aws_vpc));
  if (reporter) put(kReporterBit, reporter_, row, static_cast<uint8_t>(*reporter));
  if (side) side_.put(at, *side, capacity_);
  for (size_t k = 0; k < kSidedCount; ++k) {
    if (!row.local[k].empty()) local_lane_[k].put(at, row.local[k], capacity_);
    if (format_.transit_gateway) {
      if (!row.src[k].empty()) src_lane_[k].put(at, row.src[k], capacity_);
      if (!row.dst[k].empty()) dst_lane_[k].put(at, row.dst[k], capacity_);
    }
  }
  for (size_t k = 0; k < kTextCount; ++k)
    if (!row.text[k].empty()) text_lane_[k].put(at, row.text[k], capacity_);
  if (!extra_.empty()) {
    while (extra_lane_.size() < at) extra_lane_.push_back({});
    extra_lane_.push_back(extra_);
  }
  if (is_undecided) undecided_.push_back({at, interface, if_src, if_dst});
  if (cut_in_row_) ++report_.cut_strings;
  ++rows_;
  ++report_.accepted;
}

// Validity of one bit over all rows; empty when every row has it.
Bitmap validity_of(const std::vector<uint32_t>& present, uint32_t bit) {
  Bitmap bitmap(present.size());
  const auto words = bitmap.words();
  size_t ones = 0;
  for (size_t i = 0; i < present.size(); ++i) {
    const uint64_t value = present[i] >> bit & 1;
    words[i / 64] |= value << (i % 64);
    ones += value;
  }
  return ones == present.size() ? Bitmap() : bitmap;
}

// A text column of what `view_at` says for each row, where empty is null; nullopt when all are.
template <typename F>
std::optional<Column> text_column(size_t rows, F&& view_at) {
  size_t bytes = 0, filled = 0;
  for (size_t i = 0; i < rows; ++i) {
    const std::string_view view = view_at(i);
    bytes += view.size();
    filled += !view.empty();
  }
  if (filled == 0) return std::nullopt;
  StringVector values;
  values.reserve(rows, bytes);
  Bitmap validity;
  if (filled < rows) validity.resize(rows);
  for (size_t i = 0; i < rows; ++i) {
    const std::string_view view = view_at(i);
    values.push_back(view);
    if (filled < rows && !view.empty()) validity.set(i, true);
  }
  return Column::of(std::move(values), std::move(validity));
}

Status Decoder::flush() {
  const size_t rows = rows_;
  if (rows == 0) return {};

  for (const Undecided& u : undecided_) {
    const auto side = interfaces_.side_of(u.interface, u.src, u.dst);
    if (!side) continue;
    side_.values[u.row] = *side;
    const bool hop = present_.values[u.row] >> (*side == Side::src ? kIfSrcIp : kIfDstIp) & 1;
    reporter_.values.resize(rows);
    reporter_.values[u.row] = static_cast<uint8_t>(hop ? Reporter::middle : *side == Side::src ? Reporter::src : Reporter::dst);
    present_.values[u.row] |= 1u << kReporterBit;
    any_present_ |= 1u << kReporterBit;
  }
  undecided_.clear();

  std::array<std::optional<Column>, kColumnCount> columns;
  const auto place = [&](ColumnId id) -> std::optional<Column>& { return columns[static_cast<size_t>(id)]; };
  const auto fixed = [&]<typename T>(Fixed bit, Lane<T>& lane) {
    std::vector<T> values = std::exchange(lane.values, {});
    if ((any_present_ >> bit & 1) == 0) return;
    values.resize(rows);
    Bitmap validity;
    if ((all_present_ >> bit & 1) == 0) validity = validity_of(present_.values, bit);
    const ColumnId id = kFixedColumns[bit];
    place(id) = Column::of<T>(column_spec(id).physical, std::move(values), std::move(validity));
  };
  fixed(kFlowStart, start_);
  fixed(kFlowEnd, end_);
  fixed(kTimeQualityBit, time_quality_);
  fixed(kSrcIp, src_ip_);
  fixed(kDstIp, dst_ip_);
  fixed(kSrcPort, src_port_);
  fixed(kDstPort, dst_port_);
  fixed(kProtocol, protocol_);
  fixed(kIpVersion, ip_version_);
  fixed(kBytes, bytes_);
  fixed(kPackets, packets_);
  fixed(kDroppedPackets, dropped_);
  fixed(kTcpFlags, tcp_flags_);
  fixed(kFlagsQualityBit, flags_quality_);
  fixed(kActionBit, action_);
  fixed(kDirectionBit, direction_);
  fixed(kInitiatorBit, initiator_);
  fixed(kTrafficPath, traffic_path_);
  fixed(kIfSrcIp, if_src_);
  fixed(kIfDstIp, if_dst_);
  fixed(kSourceBit, source_);
  fixed(kReporterBit, reporter_);

  for (size_t k = 0; k < kSidedCount; ++k) {
    const auto &local = local_lane_[k], &src = src_lane_[k], &dst = dst_lane_[k];
    if (local.values.empty() && src.values.empty() && dst.values.empty()) continue;
    const auto of_side = [&](const Lane<std::string_view>& direct, Side wanted) {
      return text_column(rows, [&](size_t i) -> std::string_view {
        if (const auto said = direct.at(i); !said.empty()) return said;
        return i < side_.values.size() && side_.values[i] == wanted ? local.at(i) : std::string_view();
      });
    };
    place(kSidedColumns[k].src) = of_side(src, Side::src);
    place(kSidedColumns[k].dst) = of_side(dst, Side::dst);
  }
  for (size_t k = 0; k < kTextCount; ++k)
    if (!text_lane_[k].values.empty())
      place(kTextColumns[k]) = text_column(rows, [&](size_t i) { return text_lane_[k].at(i); });
  if (extra_lane_.size() > 0)
    place(ColumnId::extra) = text_column(rows, [&](size_t i) { return i < extra_lane_.size() ? extra_lane_[i] : std::string_view(); });

  const auto constant_u8 = [&](ColumnId id, auto value) {
    place(id) = Column::of<uint8_t>(PhysicalType::U8, std::vector<uint8_t>(rows, static_cast<uint8_t>(value)));
  };
  constant_u8(ColumnId::byte_basis, ByteBasis::layer3);
  constant_u8(ColumnId::is_biflow, 0);
  place(ColumnId::sampling_rate) = Column::of<uint32_t>(PhysicalType::U32, std::vector<uint32_t>(rows, 1));
  place(ColumnId::cloud) = text_column(rows, [](size_t) { return std::string_view("aws"); });
  if (context_.received_at != 0)
    place(ColumnId::received_at) = Column::of<int64_t>(PhysicalType::I64, std::vector<int64_t>(rows, context_.received_at));

  auto schema = std::make_shared<Schema>();
  Batch batch;
  batch.rows = rows;
  for (size_t i = 0; i < kColumnCount; ++i) {
    if (!columns[i]) continue;
    schema->push_back(Field::of(static_cast<ColumnId>(i)));
    batch.columns.push_back(std::move(*columns[i]));
  }
  batch.schema = std::move(schema);

  rows_ = 0;
  any_present_ = 0;
  all_present_ = ~0u;
  present_.values.clear();
  side_.values.clear();
  for (auto* lanes : {&local_lane_, &src_lane_, &dst_lane_})
    for (auto& lane : *lanes) lane.values.clear();
  for (auto& lane : text_lane_) lane.values.clear();
  extra_lane_.clear();
  arena_.clear();
  return sink_(std::move(batch));
}

Result<DecodeReport> decode_text(std::string_view body, const DecodeContext& context, const FlowSink& sink, const Format& fallback) {
  DecodeReport report;
  if (body.substr(0, 3) == "\xef\xbb\xbf") body.remove_prefix(3);
  if (aws::is_json(body)) {
    HeldMemory held(context.memory);
    SLUICE_ASSIGN(const aws::Unwrapped unwrapped, aws::unwrap(body, report, held));
    Decoder decoder(context, sink, fallback, false, unwrapped.text.size(), unwrapped.text.data() + unwrapped.text.size(), report);
    if (!context.format.empty()) SLUICE_TRY(decoder.configure(context.format));
    uint64_t number = 0;
    for (const auto& message : unwrapped.messages) {
      LineReader reader(std::string_view(unwrapped.text).substr(message.offset, message.length));
      std::string_view line;
      while (reader.next(line)) SLUICE_TRY(decoder.line(line, ++number, message.event_time));
    }
    SLUICE_TRY(decoder.flush());
    return report;
  }
  Decoder decoder(context, sink, fallback, true, body.size(), body.data() + body.size(), report);
  if (!context.format.empty()) SLUICE_TRY(decoder.configure(context.format));
  LineReader reader(body);
  std::string_view line;
  while (reader.next(line)) SLUICE_TRY(decoder.line(line, reader.number(), 0));
  SLUICE_TRY(decoder.flush());
  return report;
}

Result<DecodeReport> decode_vpc_text(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  return decode_text(body, context, sink, aws::default_vpc_format());
}

Result<DecodeReport> decode_tgw_text(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  return decode_text(body, context, sink, aws::default_tgw_format(0));
}

}  // namespace
}  // namespace aws_vpc

bool is_aws_header(std::string_view line, bool first) {
  // Most lines are records and begin with a digit.
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos || !aws_vpc::begins_with_letter(line.substr(begin))) return false;
  std::vector<std::string_view> words(limits::kHeaderColumnsMax + 1);
  bool plain = true;
  const size_t count = split_words(line, line.data() + line.size(), words, plain);
  words.resize(std::min(count, words.size()));
  return aws::looks_like_header(words, first);
}

Result<DecodeReport> decode_aws_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  return is_parquet(body) ? decode_parquet(body, context, sink, aws_vpc::decode_vpc_text) : aws_vpc::decode_vpc_text(body, context, sink);
}

Result<DecodeReport> decode_aws_tgw(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  return is_parquet(body) ? decode_parquet(body, context, sink, aws_vpc::decode_tgw_text) : aws_vpc::decode_tgw_text(body, context, sink);
}

}  // namespace sluice::ingest
