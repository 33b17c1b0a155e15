#include "ingest/source/netflow_record.h"

#include "ingest/source/frame.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "ingest/source/limits.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"
#include "storage/model/utf8.h"

namespace sluice::ingest {
namespace {

constexpr int64_t kNoTime = kTimestampMin;
// Elements of one record's structured data, however nested: a 64 KiB message holds no more in earnest.
constexpr int kStructuredElementsMax = 4'096;
constexpr uint8_t kRawStart = 1, kRawEnd = 2;
// Of two bytes of TCP control bits; the four above are the header's length and must be ignored (RFC 7125 §3).
constexpr uint64_t kTcpFlagsMask = 0x0fff;

template <int W>
inline uint64_t load(const uint8_t* p) {
  if constexpr (W == 1) return *p;
  if constexpr (W == 2) {
    uint16_t v;
    std::memcpy(&v, p, 2);
    return __builtin_bswap16(v);
  }
  if constexpr (W == 4) {
    uint32_t v;
    std::memcpy(&v, p, 4);
    return __builtin_bswap32(v);
  }
  if constexpr (W == 8) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    return __builtin_bswap64(v);
  }
}

inline uint64_t load_any(const uint8_t* p, size_t length) {
  switch (length) {
    case 1: return load<1>(p);
    case 2: return load<2>(p);
    case 4: return load<4>(p);
    case 8: return load<8>(p);
    default: {
      uint64_t v = 0;
      for (size_t i = 0; i < length; ++i) v = v << 8 | p[i];
      return v;
    }
  }
}

template <int W, typename Dst>
void copy_numbers(Column& column, const uint8_t* p, size_t stride, size_t count) {
  Dst* out = column.extend<Dst>(count);
  for (size_t i = 0; i < count; ++i, p += stride) out[i] = static_cast<Dst>(load<W>(p));
}

template <typename Dst>
void copy_numbers(Column& column, size_t width, const uint8_t* p, size_t stride, size_t count) {
  switch (width) {
    case 1: return copy_numbers<1, Dst>(column, p, stride, count);
    case 2: return copy_numbers<2, Dst>(column, p, stride, count);
    case 4: return copy_numbers<4, Dst>(column, p, stride, count);
    default: return copy_numbers<8, Dst>(column, p, stride, count);
  }
}

bool all_zero(const uint8_t* p, size_t length) {
  return std::all_of(p, p + length, [](uint8_t b) { return b == 0; });
}

IpAddress load_ip(const uint8_t* p, size_t length) { return length == 4 ? IpAddress::v4_bytes(p) : IpAddress::v6_bytes(p); }

// The column of IPv4 addresses, mapped, in two stores each.
void copy_v4(IpAddress* out, const uint8_t* p, size_t stride, size_t count) {
  static_assert(std::endian::native == std::endian::little);
  for (size_t i = 0; i < count; ++i, p += stride) {
    uint32_t address;
    std::memcpy(&address, p, 4);
    const uint64_t halves[2] = {0, uint64_t{address} << 32 | 0xffff'0000u};
    std::memcpy(out + i, halves, 16);
  }
}

// Whatever the width, one loop without a choice in it.
template <typename F>
void each_number(size_t width, const uint8_t* p, size_t stride, size_t count, F&& f) {
  auto loop = [&]<int W>() {
    for (size_t i = 0; i < count; ++i, p += stride) f(i, load<W>(p));
  };
  switch (width) {
    case 1: return loop.template operator()<1>();
    case 2: return loop.template operator()<2>();
    case 4: return loop.template operator()<4>();
    case 8: return loop.template operator()<8>();
    default:
      for (size_t i = 0; i < count; ++i, p += stride) f(i, load_any(p, width));
  }
}

// NTP seconds (since 1900, or since 2036 when the top bit is clear) and binary fraction.
std::optional<TimestampNs> from_ntp(uint64_t v) {
  if (v == 0) return std::nullopt;
  const auto seconds = static_cast<int64_t>(v >> 32);
  const int64_t since_1900 = seconds & 0x8000'0000 ? seconds : seconds + 0x1'0000'0000;
  const int64_t unix_seconds = since_1900 - 2'208'988'800;
  const auto ns = static_cast<int64_t>(((v & 0xffff'ffff) * 1'000'000'000u) >> 32);
  return unix_seconds * kSecond + ns;
}

std::optional<TimestampNs> absolute_time(ElementType type, uint64_t v) {
  switch (type) {
    case ElementType::seconds:
      if (v == 0 || v > static_cast<uint64_t>(kTimestampMax / kSecond)) return std::nullopt;
      return static_cast<int64_t>(v) * kSecond;
    case ElementType::milliseconds:
      if (v == 0 || v > static_cast<uint64_t>(kTimestampMax / kMillisecond)) return std::nullopt;
      return static_cast<int64_t>(v) * kMillisecond;
    case ElementType::microseconds:
      // The low 11 bits of the fraction are below a microsecond and say nothing (RFC 7011 §6.1.9).
      return from_ntp(v & ~uint64_t{0x7ff});
    case ElementType::nanoseconds: return from_ntp(v);
    default: return std::nullopt;
  }
}

std::string hex(const uint8_t* p, size_t length) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string s;
  s.reserve(length * 2);
  for (size_t i = 0; i < length; ++i) {
    s += digits[p[i] >> 4];
    s += digits[p[i] & 15];
  }
  return s;
}

// Printable once the zeros that pad it are gone, and something remains.
bool looks_like_text(const uint8_t* p, size_t length) {
  while (length > 0 && p[length - 1] == 0) --length;
  return length > 0 && std::all_of(p, p + length, [](uint8_t b) { return b >= 0x20 && b < 0x7f; });
}

// RFC 7270 §4.12: why a packet was dropped, by the low six bits of forwardingStatus.
std::string_view drop_reason(uint8_t code) {
  static constexpr std::string_view names[] = {
      "unknown",         "acl deny",     "acl drop",          "unroutable",   "adjacency",        "fragmentation and df set",
      "bad header checksum", "bad total length", "bad header length", "bad ttl", "policer",       "wred",
      "rpf",             "for us",       "bad output interface", "hardware"};
  return code < std::size(names) ? names[code] : std::string_view{};
}

}  // namespace

uint64_t load_number(const uint8_t* p, size_t length) { return load_any(p, length); }

std::string clean_text(std::string_view raw) {
  while (!raw.empty() && raw.back() == '\0') raw.remove_suffix(1);
  std::string s;
  s.reserve(raw.size());
  while (!raw.empty()) {
    const size_t n = utf8_length(raw);
    const auto c = static_cast<uint8_t>(raw[0]);
    if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f) && c != '\t' && c != '\n')) {
      s += "\xef\xbf\xbd";
      raw.remove_prefix(1);
    } else {
      s.append(raw.substr(0, n));
      raw.remove_prefix(n);
    }
  }
  return s;
}

std::string format_value(ElementType type, const uint8_t* p, size_t length) {
  if (length == 0) return {};
  const bool small = length <= 8;
  switch (type) {
    case ElementType::number:
      if (small) return std::to_string(load_any(p, length));
      break;
    case ElementType::integer:
      if (small) {
        const auto shift = static_cast<unsigned>(64 - 8 * length);
        return std::to_string(static_cast<int64_t>(load_any(p, length) << shift) >> shift);
      }
      break;
    case ElementType::real:
      if (length == 4 || length == 8) {
        const double v = length == 4 ? static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(load<4>(p))))
                                     : std::bit_cast<double>(load<8>(p));
        char text[40];
        const auto end = std::to_chars(text, text + sizeof text, v).ptr;
        return std::string(text, end);
      }
      break;
    case ElementType::boolean:
      if (length == 1 && (*p == 1 || *p == 2)) return *p == 1 ? "true" : "false";
      break;
    case ElementType::mac:
      if (length == 6) return format_mac(load_any(p, 6));
      break;
    case ElementType::text: return clean_text({reinterpret_cast<const char*>(p), length});
    case ElementType::ipv4:
    case ElementType::ipv6:
      if (length == 4 || length == 16) return to_string(load_ip(p, length));
      break;
    case ElementType::seconds:
    case ElementType::milliseconds:
    case ElementType::microseconds:
    case ElementType::nanoseconds:
      if (small) {
        const uint64_t v = load_any(p, length);
        if (const auto t = absolute_time(type, v)) return format_timestamp(*t);
        return std::to_string(v);
      }
      break;
    case ElementType::unknown:
      if (small) return std::to_string(load_any(p, length));
      [[fallthrough]];
    case ElementType::unknown_variable:
      if (looks_like_text(p, length)) return clean_text({reinterpret_cast<const char*>(p), length});
      break;
    default: break;
  }
  return hex(p, length);
}

std::optional<uint64_t> application_id(const uint8_t* p, size_t length) {
  if (length == 0) return std::nullopt;
  const uint64_t engine = p[0];
  if (engine == 20 && length >= 6 && length <= 9) {  // PANA-L7-PEN: the selector is below an enterprise number
    const uint64_t enterprise = load<4>(p + 1);
    if (enterprise >= 1u << 24) return std::nullopt;
    return engine << 56 | enterprise << 32 | load_any(p + 5, length - 5);
  }
  if (length > 8) return std::nullopt;
  return engine << 56 | load_any(p + 1, length - 1);
}

struct RecordWriter::RowState {
  explicit RowState(std::string& scratch) : extra(scratch) {}

  std::string& extra;
  bool cut = false;
  bool bad_structure = false;
  bool has_flags = false, has_reverse_flags = false;
  uint16_t flags = 0, reverse_flags = 0;
  std::optional<uint8_t> event;
  uint16_t extended_event = 0;
  std::optional<uint8_t> forwarding;
  std::optional<uint64_t> app_id;
  // The first bytes of a packet.
  const Step* section_step = nullptr;
  std::span<const uint8_t> section;
  std::optional<uint64_t> frame_size, frame_type;
  int elements_left = kStructuredElementsMax;
  // Contended columns whose fields were all zero so far.
  static constexpr size_t kZerosMax = 16;
  struct Zero {
    ColumnId column;
    uint8_t width;
  } zeros[kZerosMax];
  size_t zero_count = 0;

  void add(std::string_view name, std::string_view value) {
    if (extra.size() + name.size() + value.size() + 2 > limits::kStringBytesMax) {
      cut = true;
      return;
    }
    append_extra(extra, name, value);
  }
  void add(const Step& step, const uint8_t* p, size_t length) {
    // Cut before formatting: hex doubles, replacement triples.
    if (length > limits::kStringBytesMax / 4) {
      length = limits::kStringBytesMax / 4;
      cut = true;
    }
    add(step.name, format_value(step.type, p, length));
  }
  void zero(ColumnId column, size_t width) {
    if (zero_count < kZerosMax) zeros[zero_count++] = {column, static_cast<uint8_t>(width)};
  }
};

void RecordWriter::write_columns(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride,
                                 size_t count, FlowBatchBuilder& out) {
  for (const Step& s : t.plan.columns) {
    const uint8_t* p = data + places[s.field].offset;
    Column& column = out.ahead(s.column);
    switch (s.convert) {
      case Convert::flags:
        if (s.width == 2) {
          uint16_t* flags = column.extend<uint16_t>(count);
          for (size_t i = 0; i < count; ++i, p += stride) flags[i] = static_cast<uint16_t>(load<2>(p) & kTcpFlagsMask);
          break;
        }
        [[fallthrough]];
      case Convert::number:
        switch (column.type()) {
          case PhysicalType::U8: copy_numbers<1, uint8_t>(column, p, stride, count); break;
          case PhysicalType::U16: copy_numbers<uint16_t>(column, s.width, p, stride, count); break;
          case PhysicalType::U32: copy_numbers<uint32_t>(column, s.width, p, stride, count); break;
          default: copy_numbers<uint64_t>(column, s.width, p, stride, count); break;
        }
        break;
      case Convert::address: {
        IpAddress* ip = column.extend<IpAddress>(count);
        if (s.width == 4)
          copy_v4(ip, p, stride, count);
        else
          for (size_t i = 0; i < count; ++i, p += stride) ip[i] = IpAddress::v6_bytes(p);
        break;
      }
      case Convert::nat_address:
        for (size_t i = 0; i < count; ++i, p += stride)
          if (all_zero(p, s.width))
            column.append_null();
          else
            column.append(load_ip(p, s.width));
        break;
      case Convert::nat_port:
        for (size_t i = 0; i < count; ++i, p += stride)
          if (const uint64_t v = load<2>(p); v == 0)
            column.append_null();
          else
            column.append(static_cast<uint16_t>(v));
        break;
      case Convert::mac: {
        uint64_t* mac = column.extend<uint64_t>(count);
        for (size_t i = 0; i < count; ++i, p += stride) mac[i] = load<2>(p) << 32 | load<4>(p + 2);
        break;
      }
      case Convert::mpls: {
        uint32_t* label = column.extend<uint32_t>(count);
        for (size_t i = 0; i < count; ++i, p += stride) label[i] = static_cast<uint32_t>(load<2>(p) << 4 | p[2] >> 4);
        break;
      }
      case Convert::direction:
        for (size_t i = 0; i < count; ++i, p += stride)
          if (*p <= 1)
            column.append(*p);
          else
            column.append_null();
        break;
      case Convert::end_reason: {
        uint8_t* reason = column.extend<uint8_t>(count);
        for (size_t i = 0; i < count; ++i, p += stride) reason[i] = *p <= 5 ? *p : 0;
        break;
      }
      default: SLUICE_CHECK_MSG(false, "a conversion without a loop over columns");
    }
  }
}

void RecordWriter::read_times(const Template& t, const TimeSource& from, const std::vector<Place>& places, const uint8_t* data,
                              size_t stride, size_t count, const RecordContext& context, uint8_t raw_flag,
                              std::vector<int64_t>& times) {
  times.assign(count, kNoTime);
  if (from.convert == Convert::none) return;
  const uint8_t* p = data + places[from.field].offset;
  const size_t width = places[from.field].length;
  switch (from.convert) {
    case Convert::start_time:
    case Convert::end_time:
    case Convert::event_time:
      if (from.type == ElementType::milliseconds)
        each_number(width, p, stride, count, [&](size_t i, uint64_t v) {
          if (v - 1 < static_cast<uint64_t>(kTimestampMax / kMillisecond))
            times[i] = static_cast<int64_t>(v) * kMillisecond;
          else
            raw_flags_[i] |= raw_flag;
        });
      else
        each_number(width, p, stride, count, [&](size_t i, uint64_t v) {
          if (const auto time = absolute_time(from.type, v))
            times[i] = *time;
          else
            raw_flags_[i] |= raw_flag;
        });
      return;
    case Convert::start_uptime:
    case Convert::end_uptime:
      if (context.uptime_ms && context.exported_at > 0) {
        // Uptime wraps after 49.7 days, so only the difference means something, and its sign tells past from future.
        const auto uptime = *context.uptime_ms;
        each_number(width, p, stride, count, [&](size_t i, uint64_t v) {
          times[i] = context.exported_at - static_cast<int32_t>(uptime - static_cast<uint32_t>(v)) * kMillisecond;
        });
        return;
      }
      for (size_t i = 0; i < count; ++i, p += stride) {
        std::optional<int64_t> init = context.system_init_ms;
        if (t.plan.times.system_init) init = static_cast<int64_t>(load<8>(data + i * stride + places[*t.plan.times.system_init].offset));
        // IPFIX headers bear no uptime: without the time of boot the number says nothing.
        constexpr int64_t kWrap = int64_t{1} << 32;
        const int64_t now_ms = (context.exported_at > 0 ? context.exported_at : context.received_at) / kMillisecond;
        if (!init || *init <= 0 || *init > now_ms + limits::kClockSkewMax / kMillisecond) {
          raw_flags_[i] |= raw_flag;
          continue;
        }
        int64_t ms = *init + static_cast<int64_t>(static_cast<uint32_t>(load_any(p, width)));
        if (const int64_t room = now_ms + limits::kClockSkewMax / kMillisecond - ms; room >= kWrap) ms += room / kWrap * kWrap;
        times[i] = ms <= kTimestampMax / kMillisecond ? ms * kMillisecond : kNoTime;
      }
      return;
    case Convert::start_delta:
    case Convert::end_delta:
      if (context.exported_at <= 0) return;
      each_number(width, p, stride, count, [&](size_t i, uint64_t v) {
        times[i] = context.exported_at - static_cast<int64_t>(static_cast<uint32_t>(v)) * kMicrosecond;
      });
      return;
    default: return;
  }
}

bool RecordWriter::write_times(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride,
                               size_t count, const RecordContext& context, FlowBatchBuilder& out, RecordTally& tally) {
  const TimePlan& plan = t.plan.times;
  raw_flags_.assign(count, 0);
  read_times(t, plan.start, places, data, stride, count, context, kRawStart, starts_);
  read_times(t, plan.end, places, data, stride, count, context, kRawEnd, ends_);
  const TimestampNs latest = context.received_at + limits::kClockSkewMax;
  // Nearly always both times are told and make sense. (A time that was not told is below all others.)
  bool plain = plan.start.convert != Convert::none && plan.end.convert != Convert::none;
  for (size_t i = 0; i < count; ++i) plain &= (starts_[i] >= kPlausibleFrom) & (ends_[i] >= starts_[i]) & (ends_[i] <= latest) & (raw_flags_[i] == 0);
  if (plain) {
    std::copy_n(starts_.data(), count, out.ahead(ColumnId::flow_start).extend<int64_t>(count));
    std::copy_n(ends_.data(), count, out.ahead(ColumnId::flow_end).extend<int64_t>(count));
    out.repeat(ColumnId::time_quality, count, static_cast<uint8_t>(TimeQuality::exact));
    return false;
  }
  qualities_.resize(count);
  const TimestampNs fallback =
      context.exported_at >= kPlausibleFrom && context.exported_at <= latest ? context.exported_at : context.received_at;
  const uint8_t* duration = nullptr;
  DurationNs duration_unit = 0;
  if (plan.duration.convert != Convert::none) {
    duration = data + places[plan.duration.field].offset;
    duration_unit = t.definition.fields[plan.duration.field].id == 162 ? kMicrosecond : kMillisecond;
  }
  bool any_raw = false;
  bool any_start_missing = false;
  for (size_t i = 0; i < count; ++i) {
    int64_t start = starts_[i], end = ends_[i];
    auto quality = TimeQuality::exact;
    if (start != kNoTime && start < kPlausibleFrom) {
      start = kNoTime;
      raw_flags_[i] |= kRawStart;
    }
    DurationNs lasted = -1;
    if (duration)
      lasted = static_cast<int64_t>(static_cast<uint32_t>(load_any(duration + i * stride, places[plan.duration.field].length))) *
               duration_unit;
    if (end < kPlausibleFrom) {  // kNoTime too
      if (end != kNoTime) raw_flags_[i] |= kRawEnd;
      if (start != kNoTime && lasted >= 0 && start <= latest) {
        end = start + lasted;
      } else {
        end = fallback;
        quality = TimeQuality::estimated;
        // Export times come in whole seconds: a start just after one is no contradiction.
        if (start != kNoTime && start > end && start <= latest) end = start;
      }
    }
    if (end > latest) {
      // The exporter's clock runs ahead: keep how long the flow lasted, and end it now.
      if (start != kNoTime) start = start > end ? context.received_at : context.received_at - (end - start);
      end = context.received_at;
      quality = TimeQuality::clamped;
      raw_flags_[i] |= static_cast<uint8_t>(kRawEnd | (start != kNoTime ? kRawStart : 0));
      ++tally.clamped_times;
    }
    if (start == kNoTime && lasted >= 0) start = end - lasted;
    if (start != kNoTime && start < kPlausibleFrom && end >= kPlausibleFrom) start = kNoTime;
    if (start != kNoTime && start > end) {
      start = end;
      raw_flags_[i] |= kRawStart;
      if (quality == TimeQuality::exact) quality = TimeQuality::estimated;
    }
    tally.estimated_times += quality == TimeQuality::estimated;
    any_raw |= raw_flags_[i] != 0;
    any_start_missing |= start == kNoTime;
    starts_[i] = start;
    ends_[i] = end;
    qualities_[i] = static_cast<uint8_t>(quality);
  }
  std::copy_n(ends_.data(), count, out.ahead(ColumnId::flow_end).extend<int64_t>(count));
  std::copy_n(qualities_.data(), count, out.ahead(ColumnId::time_quality).extend<uint8_t>(count));
  if (!any_start_missing) {
    std::copy_n(starts_.data(), count, out.ahead(ColumnId::flow_start).extend<int64_t>(count));
  } else if (plan.start.convert != Convert::none || duration) {
    Column& column = out.ahead(ColumnId::flow_start);
    for (size_t i = 0; i < count; ++i)
      if (starts_[i] == kNoTime)
        column.append_null();
      else
        column.append(starts_[i]);
  }
  return any_raw;
}

void RecordWriter::write_sampling(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride,
                                  size_t count, const RecordContext& context, RecordLookup& lookup, FlowBatchBuilder& out) {
  const SamplingPlan& plan = t.plan.sampling;
  const bool by_interface = context.rates_by_interface && (t.plan.input_if_field || t.plan.output_if_field);
  if (!by_interface && (context.forced_rate || !plan.any())) {
    const auto rate = context.forced_rate     ? context.forced_rate
                      : context.sampling_rate ? context.sampling_rate
                                              : context.operator_rate;
    if (rate) out.repeat<uint32_t>(ColumnId::sampling_rate, count, *rate);
    return;
  }
  Column& column = out.ahead(ColumnId::sampling_rate);
  auto field = [&](std::optional<uint16_t> f, size_t i) -> std::optional<uint64_t> {
    if (!f || places[*f].length == 0 || places[*f].length > 8) return std::nullopt;
    return load_any(data + i * stride + places[*f].offset, places[*f].length);
  };
  std::optional<uint64_t> last_selector;
  uint64_t last_interface = 0;
  bool has_interface = false;
  InterfaceRates of_interface;
  std::optional<uint32_t> last_rate;
  for (size_t i = 0; i < count; ++i) {
    std::optional<uint64_t> rate;
    if (by_interface) {
      const bool is_egress = field(t.plan.direction_field, i) == uint64_t{1};
      const auto interface = field(is_egress ? t.plan.output_if_field : t.plan.input_if_field, i);
      if (!interface) {
        of_interface = {};
        has_interface = false;
      } else if (!has_interface || last_interface != *interface) {
        last_interface = *interface;
        has_interface = true;
        of_interface = lookup.rates_of_interface(*interface);
      }
    }
    if (of_interface.forced) {
      rate = *of_interface.forced;
    } else if (context.forced_rate) {
      rate = *context.forced_rate;
    } else {
      if (const auto interval = field(plan.interval, i)) {
        rate = std::max<uint64_t>(*interval, 1);
      } else if (const auto taken = field(plan.packets, i); taken && *taken > 0) {
        const uint64_t skipped = field(plan.space, i).value_or(0);
        rate = std::max<uint64_t>(1, (std::min<uint64_t>(*taken, UINT32_MAX) + std::min<uint64_t>(skipped, UINT32_MAX)) / *taken);
      }
      if (rate && *rate > limits::kSamplingRateMax) rate.reset();
      if (const auto selector = rate ? std::nullopt : field(plan.selector, i)) {
        if (selector != last_selector) {
          last_selector = selector;
          last_rate = lookup.rate_of(*selector);
        }
        if (last_rate) rate = *last_rate;
      }
    }
    for (const auto& next : {of_interface.told, context.sampling_rate, of_interface.operator_rate, context.operator_rate})
      if (!rate && next) rate = *next;
    if (rate)
      column.append(static_cast<uint32_t>(std::min<uint64_t>(*rate, UINT32_MAX)));
    else
      column.append_null();
  }
}

void RecordWriter::write_icmp(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                              FlowBatchBuilder& out) {
  const Place protocol = places[*t.plan.protocol_field];
  const Place port = places[*t.plan.dst_port_field];
  auto is_icmp = [&](size_t i) {
    const uint8_t p = data[i * stride + protocol.offset];
    return p == 1 || p == 58;
  };
  size_t first = 0;
  while (first < count && !is_icmp(first)) ++first;
  if (first == count) return;
  Column& type = out.ahead(ColumnId::icmp_type);
  Column& code = out.ahead(ColumnId::icmp_code);
  // Nulls up to each ICMP flow, and none behind the last: the builder pads.
  size_t done = 0;
  for (size_t i = first; i < count; ++i) {
    if (!is_icmp(i)) continue;
    type.append_nulls(i - done);
    code.append_nulls(i - done);
    type.append(data[i * stride + port.offset]);
    code.append(data[i * stride + port.offset + 1]);
    done = i + 1;
  }
}

void RecordWriter::apply(const Step& s, const uint8_t* p, size_t length, RowState& row, FlowBatchBuilder& out, RecordLookup& lookup,
                         int depth) {
  if (s.to_extra && s.convert != Convert::none) row.add(s, p, length);
  // A record inside structured data fills only what the flow itself leaves open.
  const bool taken = depth > 0 && s.column != ColumnId::extra && out.is_set(s.column);
  Convert convert = taken && s.convert != Convert::skip && s.convert != Convert::flags_part ? Convert::none : s.convert;
  if (depth > 0 && convert >= Convert::start_time) convert = Convert::none;
  switch (convert) {
    case Convert::skip: return;
    case Convert::number: {
      if (length == 0 || length > 8) break;
      const uint64_t v = load_any(p, length);
      const size_t width = width_of(column_spec(s.column).physical);
      if (width < 8 && v >> (8 * width) != 0) break;
      if (s.contended && v == 0) return row.zero(s.column, 0);
      if (s.contended && out.is_set(s.column)) break;  // another field was first: this one is kept beside it
      return out.set_uint(s.column, v);
    }
    case Convert::address:
      if (length != 4 && length != 16) break;
      if (s.contended && all_zero(p, length)) return row.zero(s.column, length);
      if (s.contended && out.is_set(s.column)) break;
      return out.set_ip(s.column, load_ip(p, length));
    case Convert::nat_address:
      if (length != 4 && length != 16) break;
      if (!all_zero(p, length)) out.set_ip(s.column, load_ip(p, length));
      return;
    case Convert::exporter_address:
      if (length != 4 && length != 16) break;
      if (!all_zero(p, length)) out.set_ip(ColumnId::exporter_ip, load_ip(p, length));
      return;
    case Convert::nat_port: {
      if (length == 0 || length > 8) break;
      const uint64_t v = load_any(p, length);
      if (v > 0xffff) break;
      if (v != 0) out.set_uint(s.column, v);
      return;
    }
    case Convert::mac:
      if (length != 6) break;
      if (s.contended && all_zero(p, length)) return row.zero(s.column, 0);
      return out.set_uint(s.column, load_any(p, 6));
    case Convert::mpls:
      if (length != 3) break;
      return out.set_uint(s.column, load_any(p, 3) >> 4);
    case Convert::text: {
      std::string text = clean_text({reinterpret_cast<const char*>(p), std::min(length, limits::kStringBytesMax / 4)});
      row.cut |= length > limits::kStringBytesMax / 4;
      if (!text.empty()) out.set_string(s.column, text);
      return;
    }
    case Convert::flow_id: {
      if (length == 0) return;
      row.cut |= length > limits::kStringBytesMax / 4;
      return out.set_string(s.column, length <= 8 ? std::to_string(load_any(p, length)) : hex(p, std::min(length, limits::kStringBytesMax / 4)));
    }
    case Convert::flags:
      if (length == 0 || length > 8) break;
      if (s.column == ColumnId::tcp_flags) out.set_enum(ColumnId::flags_quality, FlagsQuality::all);
      return out.set_uint(s.column, load_any(p, length) & kTcpFlagsMask);
    case Convert::flags_part: {
      if (length == 0 || length > 8) break;
      const auto v = static_cast<uint16_t>(load_any(p, length) & kTcpFlagsMask);
      if (s.column == ColumnId::tcp_flags) {
        row.flags |= v;
        row.has_flags = true;
      } else {
        row.reverse_flags |= v;
        row.has_reverse_flags = true;
      }
      break;  // the parts themselves stay in `extra`
    }
    case Convert::dscp:
      if (length != 1) break;
      return out.set_uint(s.column, static_cast<uint8_t>(*p << 2));
    case Convert::vni:
      if (length == 0 || length > 8) break;
      // RFC 7133: the top byte of 8 is the kind of segment (VXLAN, NVGRE), the low 24 bits its id.
      if (const uint64_t v = load_any(p, length); v & 0x00ff'ffff'ff00'0000ull) break;
      else return out.set_uint(s.column, v & 0xff'ffff);
    case Convert::direction:
      if (length == 0 || length > 8) break;
      if (const uint64_t v = load_any(p, length); v <= 1) return out.set_uint(s.column, v);
      break;
    case Convert::end_reason:
      if (length == 0 || length > 8) break;
      if (const uint64_t v = load_any(p, length); v <= 5) return out.set_uint(s.column, v);
      break;
    case Convert::biflow_direction: {
      if (length == 0 || length > 8) break;
      const uint64_t v = load_any(p, length);
      return out.set_enum(ColumnId::initiator, v == 1 ? Initiator::src : v == 2 ? Initiator::dst : Initiator::unknown);
    }
    case Convert::firewall_event:
      if (length == 0 || length > 8) break;
      if (const uint64_t v = load_any(p, length); v <= 5) {
        if (!row.event) row.event = static_cast<uint8_t>(v);
        return;
      }
      break;
    case Convert::firewall_extended_event:
      if (length == 0 || length > 8) break;
      row.extended_event = static_cast<uint16_t>(load_any(p, length));
      break;  // the number stays in `extra`
    case Convert::forwarding_status: {
      if (length == 0 || length > 8) break;
      const auto v = static_cast<uint8_t>(load_any(p, length));
      row.forwarding = v;
      if ((v & 63) == 0 || v >> 6 == 2) return;
      break;
    }
    case Convert::icmp_type_code: {
      if (length != 2) break;
      if (s.contended && all_zero(p, 2)) return row.zero(ColumnId::icmp_type, 0), row.zero(ColumnId::icmp_code, 0);
      out.set_uint(ColumnId::icmp_type, p[0]);
      return out.set_uint(ColumnId::icmp_code, p[1]);
    }
    case Convert::app_id:
      if (const auto id = application_id(p, length)) {
        row.app_id = id;
        return out.set_uint(s.column, *id);
      }
      break;
    case Convert::structured: return apply_structured(s, {p, length}, row, out, lookup, depth);
    case Convert::frame_section:
    case Convert::packet_section:
      if (length == 0 || row.section_step) break;
      row.section_step = &s;
      row.section = {p, length};
      return;
    case Convert::frame_size:
      if (length == 0 || length > 8 || row.frame_size) break;
      row.frame_size = load_any(p, length);
      return;
    case Convert::frame_type:
      if (length == 0 || length > 8) break;
      row.frame_type = load_any(p, length);
      if (row.frame_type == uint64_t{1}) return;
      break;
    default: break;
  }
  row.add(s, p, length);
}

namespace {

// Gives each value of structured data to `value`, by its step, and the ids of templates that are not known to `missing`. False: it does not
// hold together, or a template is missing; what was given so far stands.
template <typename Value, typename Missing>
bool walk_structured(const Step& step, std::span<const uint8_t> data, RecordLookup& lookup, int& elements_left, Value&& value, Missing&& missing) {
  if (data.empty()) return false;
  data = data.subspan(1);  // semantic: how the elements relate; the columns cannot tell
  // All records of `rest` by one template.
  const auto records = [&](uint16_t id, std::span<const uint8_t> rest) {
    if (rest.empty()) return true;
    const std::shared_ptr<const Template> t = lookup.sub_template(id);
    if (!t) {
      missing(id);
      return false;
    }
    std::vector<Place> places;
    while (rest.size() >= t->min_length) {
      const size_t length = place_fields(t->definition, rest, places);
      if (length == 0) return false;
      for (const Step& s : t->plan.all) {
        if (elements_left-- <= 0) return false;
        value(s, rest.data() + places[s.field].offset, places[s.field].length);
      }
      rest = rest.subspan(length);
    }
    return true;
  };
  switch (step.type) {
    case ElementType::basic_list: {
      if (data.size() < 4) return false;
      auto id = static_cast<uint16_t>(load<2>(data.data()));
      const auto length = static_cast<uint16_t>(load<2>(data.data() + 2));
      uint32_t enterprise = 0;
      data = data.subspan(4);
      if (id & 0x8000) {
        if (data.size() < 4) return false;
        id &= 0x7fff;
        enterprise = static_cast<uint32_t>(load<4>(data.data()));
        data = data.subspan(4);
      }
      if (length == 0) return false;
      const TemplateDefinition one{256, false, 0, {TemplateField{enterprise, id, length}}};
      const ResolvedElement e = resolve_element(one.fields[0], {}, {});
      Step s;
      s.convert = e.convert == Convert::structured ? Convert::structured : Convert::none;
      s.type = e.type;
      // A list with a name of its own says what its elements are here: communities of the source, not of the destination.
      s.name = step.name == "basicList" ? e.name : step.name;
      std::vector<Place> places;
      while (!data.empty()) {
        const size_t taken = place_fields(one, data, places);
        if (taken == 0 || elements_left-- <= 0) return false;
        value(s, data.data() + places[0].offset, places[0].length);
        data = data.subspan(taken);
      }
      return true;
    }
    case ElementType::sub_template_list:
      if (data.size() < 2) return false;
      return records(static_cast<uint16_t>(load<2>(data.data())), data.subspan(2));
    case ElementType::sub_template_multi_list: {
      bool all = true;
      while (!data.empty()) {
        if (data.size() < 4) return false;
        const auto id = static_cast<uint16_t>(load<2>(data.data()));
        const auto length = static_cast<size_t>(load<2>(data.data() + 2));
        if (length < 4 || length > data.size() || elements_left-- <= 0) return false;
        all &= records(id, data.subspan(4, length - 4));
        data = data.subspan(length);
      }
      return all;
    }
    default: return false;
  }
}

void find_missing(const Step& step, std::span<const uint8_t> data, RecordLookup& lookup, int& elements_left, int depth, std::optional<uint16_t>& found) {
  if (step.convert != Convert::structured || depth >= limits::kStructuredDepthMax || found) return;
  walk_structured(
      step, data, lookup, elements_left,
      [&](const Step& s, const uint8_t* p, size_t length) { find_missing(s, {p, length}, lookup, elements_left, depth + 1, found); },
      [&](uint16_t id) { found = found.value_or(id); });
}

}  // namespace

bool has_structured_data(const Template& t) {
  return std::ranges::any_of(t.plan.rows, [](const Step& s) { return s.convert == Convert::structured; });
}

std::optional<uint16_t> missing_template(const Template& t, const std::vector<Place>& places, const uint8_t* record, RecordLookup& lookup) {
  std::optional<uint16_t> found;
  int elements_left = kStructuredElementsMax;
  for (const Step& s : t.plan.rows) find_missing(s, {record + places[s.field].offset, places[s.field].length}, lookup, elements_left, 0, found);
  return found;
}

void RecordWriter::apply_structured(const Step& step, std::span<const uint8_t> data, RowState& row, FlowBatchBuilder& out,
                                    RecordLookup& lookup, int depth) {
  const bool whole = depth < limits::kStructuredDepthMax &&
                     walk_structured(
                         step, data, lookup, row.elements_left,
                         [&](const Step& s, const uint8_t* p, size_t length) { apply(s, p, length, row, out, lookup, depth + 1); }, [](uint16_t) {});
  if (!whole) row.bad_structure = true;
}

void RecordWriter::write_totals(const TotalsPlan& plan, const std::vector<Place>& places, const uint8_t* record, const RecordContext& context,
                                FlowBatchBuilder& out, RecordLookup& lookup) {
  // The bytes of the fields that tell flows apart, mixed (the folded product of wyhash and its like).
  uint64_t key = context.domain + 0x9e3779b97f4a7c15ull;
  const auto mix = [&](uint64_t word) {
    const auto product = static_cast<unsigned __int128>(key ^ word) * 0xd6e8feb86659fd93ull;
    key = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  for (const uint16_t field : plan.keys) {
    const Place place = places[field];
    mix(uint64_t{field} << 32 | place.length);
    for (size_t at = 0; at < place.length; at += 8) mix(load_any(record + place.offset + at, std::min<size_t>(8, place.length - at)));
  }
  const auto read = [&](const std::optional<uint16_t>& field) {
    return field && places[*field].length <= 8 ? load_any(record + places[*field].offset, places[*field].length) : 0;
  };
  const TotalCounters now{read(plan.bytes), read(plan.packets), read(plan.reverse_bytes), read(plan.reverse_packets)};
  const TotalCounters since = plan.keys.empty() ? now : lookup.since_last(key, now, plan.has_start);
  if (plan.bytes) out.set_uint(ColumnId::raw_bytes, since.bytes);
  if (plan.packets) out.set_uint(ColumnId::raw_packets, since.packets);
  if (plan.reverse_bytes) out.set_uint(ColumnId::raw_reverse_bytes, since.reverse_bytes);
  if (plan.reverse_packets) out.set_uint(ColumnId::raw_reverse_packets, since.reverse_packets);
}

// A packet's first bytes fill what the record does not tell itself; the builder keeps the first value of a column.
void RecordWriter::write_section(RowState& row, FlowBatchBuilder& out) {
  const std::span<const uint8_t> bytes = row.section;
  const bool is_packet = row.section_step->convert == Convert::packet_section;
  Frame frame;
  const bool is_ethernet = row.frame_type.value_or(1) == 1;
  if (is_packet)
    read_frame(static_cast<uint32_t>(bytes[0] >> 4 == 6 ? FrameKind::ipv6 : FrameKind::ipv4), bytes, frame);
  else if (is_ethernet)
    read_frame(static_cast<uint32_t>(FrameKind::ethernet), bytes, frame);
  const IpLayer& ip = frame.ip;
  if (ip.version == 0 && !frame.has_macs) {
    row.add(*row.section_step, bytes.data(), bytes.size());
    if (row.frame_size) row.add("dataLinkFrameSize", std::to_string(*row.frame_size));
    return;
  }
  if (frame.has_macs) {
    out.set_uint(ColumnId::src_mac, frame.src_mac);
    out.set_uint(ColumnId::dst_mac, frame.dst_mac);
  }
  if (frame.tags > 0) out.set_uint(ColumnId::vlan, frame.vlan);
  if (frame.tags > 1) out.set_uint(ColumnId::inner_vlan, frame.inner_vlan);
  if (frame.labels > 0) out.set_uint(ColumnId::mpls_label, frame.label[0]);
  if (frame.has_vni) out.set_uint(ColumnId::vni, frame.vni);
  if (frame.tunnel != Tunnel::none) {
    row.add("tunnel", to_string(frame.tunnel));
    if (frame.outer.version != 0) {
      out.set_ip(ColumnId::if_src_ip, frame.outer.src);
      out.set_ip(ColumnId::if_dst_ip, frame.outer.dst);
    }
  }
  if (ip.version != 0) {
    out.set_ip(ColumnId::src_ip, ip.src);
    out.set_ip(ColumnId::dst_ip, ip.dst);
    out.set_uint(ColumnId::ip_version, ip.version);
    out.set_uint(ColumnId::tos, ip.tos);
    if (ip.has_protocol) out.set_uint(ColumnId::protocol, ip.protocol);
    if (ip.has_ports) {
      out.set_uint(ColumnId::src_port, ip.src_port);
      out.set_uint(ColumnId::dst_port, ip.dst_port);
    }
    if (ip.has_icmp) {
      out.set_uint(ColumnId::icmp_type, ip.icmp_type);
      out.set_uint(ColumnId::icmp_code, ip.icmp_code);
    }
    if (ip.has_tcp_flags) {
      out.set_uint(ColumnId::tcp_flags, ip.tcp_flags);
      out.set_enum(ColumnId::flags_quality, FlagsQuality::all);
    }
  } else if (frame.ethertype != 0) {
    row.add("ethertype", std::to_string(frame.ethertype));
  }
  // A record without counters is one packet.
  out.set_uint(ColumnId::raw_packets, 1);
  if (out.is_set(ColumnId::raw_bytes)) {
    if (row.frame_size) row.add("dataLinkFrameSize", std::to_string(*row.frame_size));
  } else if (row.frame_size) {
    out.set_uint(ColumnId::raw_bytes, *row.frame_size);
    out.set_enum(ColumnId::byte_basis, ByteBasis::layer2);
  } else if (is_packet && bytes.size() >= 6) {
    out.set_uint(ColumnId::raw_bytes, bytes[0] >> 4 == 6 ? load<2>(bytes.data() + 4) + 40 : load<2>(bytes.data() + 2));
    out.set_enum(ColumnId::byte_basis, ByteBasis::layer3);
  }
}

void RecordWriter::finish_row(const Plan& plan, RowState& row, const RecordContext& context, FlowBatchBuilder& out, RecordLookup& lookup,
                              RecordTally& tally) {
  if (row.section_step)
    write_section(row, out);
  else if (row.frame_size)
    row.add("dataLinkFrameSize", std::to_string(*row.frame_size));
  for (size_t i = 0; i < row.zero_count; ++i) {
    const auto [column, width] = row.zeros[i];
    if (column_spec(column).physical == PhysicalType::Ip)
      out.set_ip(column, width == 4 ? IpAddress::v4(0) : IpAddress{});
    else
      out.set_uint(column, 0);
  }
  if (row.has_flags) {
    out.set_uint(ColumnId::tcp_flags, row.flags);
    out.set_enum(ColumnId::flags_quality, FlagsQuality::all);
  }
  if (row.has_reverse_flags) out.set_uint(ColumnId::reverse_tcp_flags, row.reverse_flags);
  if (row.event && *row.event != 0) {
    // Created, deleted, denied, alert, update. What was created, or lived to be deleted, had been let through.
    static constexpr Action actions[] = {Action::unknown, Action::accept, Action::accept, Action::reject, Action::unknown, Action::accept};
    out.set_enum(ColumnId::action, actions[*row.event]);
    if (*row.event == 1) out.set_enum(ColumnId::flow_state, FlowState::begin);
    if (*row.event == 2) out.set_enum(ColumnId::flow_state, FlowState::end);
    if (*row.event == 5) out.set_enum(ColumnId::flow_state, FlowState::cont);
    static constexpr std::string_view denied[] = {"ingress acl", "egress acl", "denied to interface", "first packet not syn"};
    if (*row.event == 3 && row.extended_event >= 1'001 && row.extended_event <= 1'004)
      out.set_string(ColumnId::reject_reason, denied[row.extended_event - 1'001]);
  }
  if (row.forwarding) {
    static constexpr Action actions[] = {Action::unknown, Action::accept, Action::drop, Action::accept};
    const uint8_t status = *row.forwarding >> 6;
    out.set_enum(ColumnId::action, actions[status]);
    if (status == 2) {
      const std::string_view reason = drop_reason(*row.forwarding & 63);
      out.set_string(ColumnId::reject_reason, reason.empty() ? std::to_string(*row.forwarding & 63) : std::string(reason));
    }
  }
  if (row.app_id && !out.is_set(ColumnId::app))
    if (const std::string* name = lookup.application(*row.app_id)) out.set_string(ColumnId::app, *name);
  if (plan.has_exporter && context.exporter_ip != IpAddress{}) out.set_ip(ColumnId::exporter_ip, context.exporter_ip);
  if (plan.has_domain) out.set_uint(ColumnId::observation_domain, context.domain);
  if (!row.extra.empty()) out.set_string(ColumnId::extra, row.extra);
  tally.cut_strings += row.cut;
  tally.bad_structures += row.bad_structure;
}

void RecordWriter::write(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
                         const RecordContext& context, RecordLookup& lookup, FlowBatchBuilder& out, RecordTally& tally) {
  if (count == 0) return;
  const Plan& plan = t.plan;
  write_columns(t, places, data, stride, count, out);
  const bool any_raw = write_times(t, places, data, stride, count, context, out, tally);
  write_sampling(t, places, data, stride, count, context, lookup, out);
  if (context.icmp_in_dst_port && !plan.has_icmp && plan.dst_port_field && plan.protocol_field &&
      places[*plan.protocol_field].length == 1)
    write_icmp(t, places, data, stride, count, out);
  out.repeat(ColumnId::source, count, static_cast<uint8_t>(context.source));
  out.repeat(ColumnId::received_at, count, context.received_at);
  if (context.exported_at > 0) out.repeat(ColumnId::exported_at, count, context.exported_at);
  if (context.exporter_port != 0) out.repeat(ColumnId::exporter_port, count, context.exporter_port);
  if (!plan.has_exporter && context.exporter_ip != IpAddress{}) out.repeat(ColumnId::exporter_ip, count, context.exporter_ip);
  if (!plan.has_domain) out.repeat(ColumnId::observation_domain, count, context.domain);
  if (!plan.has_ip_version && plan.has_v4 != plan.has_v6) out.repeat<uint8_t>(ColumnId::ip_version, count, plan.has_v4 ? 4 : 6);
  if (plan.has_tcp_flags) {
    bool direct = false;
    for (const Step& s : plan.columns) direct |= s.column == ColumnId::tcp_flags;
    if (direct) out.repeat(ColumnId::flags_quality, count, static_cast<uint8_t>(FlagsQuality::all));
  }
  if (plan.byte_basis) out.repeat(ColumnId::byte_basis, count, static_cast<uint8_t>(*plan.byte_basis));
  if (plan.is_biflow) out.repeat<uint8_t>(ColumnId::is_biflow, count, 1);
  if (plan.source_initiates) out.repeat(ColumnId::initiator, count, static_cast<uint8_t>(Initiator::src));

  const bool two_families = !plan.has_ip_version && plan.has_v4 && plan.has_v6;
  if (plan.rows.empty() && !any_raw && !two_families && !plan.totals.any()) return out.begin_rows(count);

  for (size_t i = 0; i < count; ++i) {
    const uint8_t* record = data + i * stride;
    out.begin_row();
    extra_.clear();
    RowState row(extra_);
    for (const Step& s : plan.rows) apply(s, record + places[s.field].offset, places[s.field].length, row, out, lookup, 0);
    if (plan.totals.any()) write_totals(plan.totals, places, record, context, out, lookup);
    if (raw_flags_[i] != 0) {
      auto raw = [&](uint8_t flag, const TimeSource& from, const std::string& name) {
        if ((raw_flags_[i] & flag) == 0 || from.convert == Convert::none) return;
        const Place place = places[from.field];
        row.add(name, format_value(from.type, record + place.offset, place.length));
      };
      raw(kRawStart, plan.times.start, plan.times.start_name);
      raw(kRawEnd, plan.times.end, plan.times.end_name);
    }
    finish_row(plan, row, context, out, lookup, tally);
    if (two_families && out.is_set(ColumnId::src_ip)) {
      // A template of both families: the address in use tells. The builder cannot be asked, so the fields are.
      for (const Step& s : plan.rows) {
        if (s.convert != Convert::address || (s.column != ColumnId::src_ip && s.column != ColumnId::dst_ip)) continue;
        const Place place = places[s.field];
        if (all_zero(record + place.offset, place.length)) continue;
        out.set_uint(ColumnId::ip_version, place.length == 4 ? 4 : 6);
        break;
      }
    }
  }
}

}  // namespace sluice::ingest
