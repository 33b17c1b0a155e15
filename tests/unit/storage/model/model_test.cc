#include <gtest/gtest.h>

#include <cstdio>

#include <random>

#include "storage/model/batch.h"
#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/text_list.h"
#include "storage/model/time.h"

namespace sluice {
namespace {

TEST(Time, ReadsAndWritesTimestamps) {
  struct Case {
    const char* text;
    const char* canonical;
  };
  for (const Case& c : {Case{"1970-01-01", "1970-01-01T00:00:00Z"}, Case{"2026-11-20T08:14Z", "2026-11-20T08:14:00Z"},
                        Case{"2026-11-20T08:14:01.5+02:00", "2026-11-20T06:14:01.500Z"},
                        Case{"2026-11-20 08:14:01.123456789", "2026-11-20T08:14:01.123456789Z"},
                        Case{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
                        Case{"2024-02-29T24:00:00Z", "2024-03-01T00:00:00Z"},
                        Case{"2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"}}) {
    const auto t = parse_timestamp(c.text);
    ASSERT_TRUE(t) << c.text;
    EXPECT_EQ(format_timestamp(*t), c.canonical);
    EXPECT_EQ(parse_timestamp(format_timestamp(*t)), t);
  }
  for (const char* bad : {"", "2026", "2026-13-01", "2026-02-29", "2026-11-20T", "2026-11-20T08", "2026-11-20T08:60",
                          "2026-11-20T08:14Zx", "2026-11-20T08:14:01.", "9999-01-01", "0001-01-01", "2026-11-20T24:01:00Z"})
    EXPECT_FALSE(parse_timestamp(bad)) << bad;
}

// A date and time with 'T' between is taken at once, one with 't' piece by piece: they say the same of every text.
TEST(Time, TimeStampsTakenAtOnceAreThoseTakenByPieces) {
  const auto both = [](std::string text) {
    ASSERT_EQ(text[10], 'T');
    const auto at_once = parse_timestamp(text);
    text[10] = 't';
    ASSERT_EQ(at_once, parse_timestamp(text)) << text;
  };
  for (const char* base : {"2024-02-29T23:59:60.123456789Z", "1969-12-31T24:00:00+14:00", "2023-02-28T00:00:00", "9999-12-31T12:34:56.5-0330", "0001-01-01T00:00:00z"}) {
    const std::string text = base;
    both(text);
    for (size_t at = 0; at < text.size(); ++at) {
      if (at == 10) continue;
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = text;
        other[at] = static_cast<char>(byte);
        both(other);
      }
      if (at > 10) both(text.substr(0, at));
    }
  }
  for (int month = 0; month <= 13; ++month)
    for (int day = 0; day <= 32; ++day) {
      char text[32];
      std::snprintf(text, sizeof text, "2100-%02d-%02dT01:02:03Z", month, day);
      both(text);
    }
}

TEST(Time, ReadsAndWritesDurations) {
  EXPECT_EQ(parse_duration("1h30m"), kHour + 30 * kMinute);
  EXPECT_EQ(parse_duration("1.5h"), kHour + 30 * kMinute);
  EXPECT_EQ(parse_duration("-5m"), -5 * kMinute);
  EXPECT_EQ(parse_duration("250ms"), 250 * kMillisecond);
  for (const char* bad : {"", "5", "m", "5x", "1.2.3s", "999999999999w", "-"}) EXPECT_FALSE(parse_duration(bad)) << bad;
  for (DurationNs d : {DurationNs{0}, DurationNs{1}, 90 * kSecond, -kWeek, kTimestampMax, kTimestampMin + 1})
    EXPECT_EQ(parse_duration(format_duration(d)), d) << format_duration(d);
}

TEST(Ip, ReadsWritesAndOrders) {
  for (const char* text : {"0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2"}) {
    const auto ip = parse_ip(text);
    ASSERT_TRUE(ip) << text;
    EXPECT_EQ(to_string(*ip), text);
    EXPECT_EQ(IpAddress::from_halves(ip->high(), ip->low()), *ip);
  }
  EXPECT_EQ(to_string(*parse_ip("::ffff:10.0.0.1")), "10.0.0.1");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", ":::", "fe80::1%eth0", "1::2::3", "g::1"})
    EXPECT_FALSE(parse_ip(bad)) << bad;
  EXPECT_LT(*parse_ip("9.255.255.255"), *parse_ip("10.0.0.0"));
}

TEST(Ip, PrefixesOfEveryLength) {
  const IpAddress ip = *parse_ip("203.0.113.77");
  for (unsigned length = 0; length <= 32; ++length) {
    const auto p = parse_prefix("203.0.113.77/" + std::to_string(length));
    ASSERT_TRUE(p);
    EXPECT_TRUE(p->contains(ip));
    const uint32_t mask = length == 0 ? 0 : ~uint32_t{0} << (32 - length);
    EXPECT_EQ(p->first().v4_value(), ip.v4_value() & mask);
    EXPECT_EQ(p->last().v4_value(), ip.v4_value() | ~mask);
    EXPECT_EQ(parse_prefix(to_string(*p)), p);
  }
  const IpAddress six = *parse_ip("2001:db8:1:2:3:4:5:6");
  for (unsigned length = 0; length <= 128; ++length) {
    const auto p = parse_prefix("2001:db8:1:2:3:4:5:6/" + std::to_string(length));
    ASSERT_TRUE(p);
    EXPECT_TRUE(p->contains(six));
    EXPECT_LE(p->first(), six);
    EXPECT_GE(p->last(), six);
  }
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/-1", "/8", "10.0.0.0/8x"}) EXPECT_FALSE(parse_prefix(bad)) << bad;
}

TEST(Ip, KnowsPrivateAndMulticast) {
  for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1", "::1"})
    EXPECT_TRUE(parse_ip(text)->is_private()) << text;
  for (const char* text : {"11.0.0.1", "172.32.0.1", "172.15.0.1", "192.169.0.1", "100.128.0.1", "100.63.255.255", "2001:db8::1"})
    EXPECT_FALSE(parse_ip(text)->is_private()) << text;
  EXPECT_TRUE(parse_ip("224.0.0.1")->is_multicast());
  EXPECT_TRUE(parse_ip("ff02::1")->is_multicast());
  EXPECT_FALSE(parse_ip("240.0.0.1")->is_multicast());
}

TEST(Mac, ReadsEverySpelling) {
  for (const char* text : {"00:1b:21:3c:9d:f8", "00-1B-21-3C-9D-F8", "001b.213c.9df8", "001b213c9df8"}) {
    ASSERT_TRUE(parse_mac(text)) << text;
    EXPECT_EQ(format_mac(*parse_mac(text)), "00:1b:21:3c:9d:f8");
  }
  for (const char* bad : {"", "00:1b:21:3c:9d", "00:1b:21:3c:9d:f8:00", "00:1b:21:3c:9d:g8", ":001b213c9df8", "001b213c9df8:"})
    EXPECT_FALSE(parse_mac(bad)) << bad;
}

TEST(FlowSchema, EveryNameAndAliasIsFound) {
  for (const auto& c : flow_columns()) {
    const auto found = find_column(c.name);
    ASSERT_TRUE(found) << c.name;
    EXPECT_EQ(found->stored, c.id);
    EXPECT_EQ(c.type == LogicalType::enumeration, c.enumeration != nullptr) << c.name;
    EXPECT_FALSE(c.doc.empty());
  }
  // One column under the names of IPFIX, ECS, OCSF and a cloud.
  for (const char* name : {"source.ip", "sourceIPv4Address", "srcaddr", "src_ip", "SRC_IP", "src_endpoint.ip"})
    EXPECT_EQ(find_column(name)->stored, ColumnId::src_ip) << name;
  EXPECT_EQ(find_column("proto")->stored, ColumnId::protocol);
  EXPECT_EQ(find_column("ts")->stored, ColumnId::flow_end);
  EXPECT_EQ(find_column("bytes")->derived, DerivedColumn::bytes);
  EXPECT_EQ(find_column("ip")->either->dst, ColumnId::dst_ip);
  EXPECT_FALSE(find_column("src_prt"));
}

TEST(FlowSchema, EnumeratorsMatchTheirNames) {
  EXPECT_EQ(kAction.name_of(static_cast<uint8_t>(Action::reject)), "reject");
  EXPECT_EQ(kSource.name_of(static_cast<uint8_t>(Source::hubble)), "hubble");
  EXPECT_EQ(kSource.name_of(static_cast<uint8_t>(Source::ipfix)), "ipfix");
  EXPECT_EQ(kEndReason.name_of(static_cast<uint8_t>(EndReason::lack_of_resources)), "lack_of_resources");
  EXPECT_EQ(kFlowState.name_of(static_cast<uint8_t>(FlowState::end)), "end");
  EXPECT_EQ(kDirectionClass.code_of("External"), static_cast<uint8_t>(DirectionClass::external));
  EXPECT_EQ(kAction.name_of(200), "?");
}

// repeat() against the plain way, in any order with everything else.
TEST(FlowBatchBuilder, RepeatedValuesAreAsIfAppended) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    auto below = [&](uint32_t n) { return random() % n; };
    FlowBatchBuilder quick, plain;
    auto both = [&](auto&& f) { f(quick), f(plain); };
    const IpAddress ips[] = {IpAddress::v4(1), IpAddress::v4(2), IpAddress{}};
    for (int step = 0; step < 200; ++step) {
      const size_t rows = below(4);
      auto repeat = [&]<typename T>(ColumnId id, T value) {
        if (rows == 0) return;
        quick.repeat(id, rows, value);
        std::fill_n(plain.ahead(id).extend<T>(rows), rows, value);
      };
      if (below(3)) repeat(ColumnId::protocol, static_cast<uint8_t>(below(2)));
      if (below(3)) repeat(ColumnId::exporter_port, static_cast<uint16_t>(below(2)));
      if (below(3)) repeat(ColumnId::sampling_rate, static_cast<uint32_t>(below(2)));
      if (below(3)) repeat(ColumnId::received_at, static_cast<int64_t>(below(2)));
      if (below(3)) repeat(ColumnId::exporter_ip, ips[below(3)]);
      const uint32_t what = below(5);
      both([&](FlowBatchBuilder& b) {
        if (what < 3) return b.begin_rows(rows);
        for (size_t i = 0; i < rows; ++i) {
          b.begin_row();
          b.set_uint(ColumnId::protocol, 7);  // the first value wins, wherever it is
          if (what == 4) b.set_ip(ColumnId::exporter_ip, ips[1]);
        }
      });
      for (const ColumnId id : {ColumnId::protocol, ColumnId::exporter_ip, ColumnId::sampling_rate})
        if (plain.rows() > 0) EXPECT_EQ(quick.is_set(id), plain.is_set(id));
      if (rows > 0 && below(10) == 0) both([](FlowBatchBuilder& b) { b.abandon_row(); });
      if (below(40) != 0 && step < 199) continue;
      const Batch a = quick.finish(), b = plain.finish();
      ASSERT_EQ(a.rows, b.rows);
      ASSERT_EQ(a.columns.size(), b.columns.size());
      for (size_t c = 0; c < a.columns.size(); ++c) {
        ASSERT_EQ(a.columns[c].size(), b.columns[c].size());
        ASSERT_EQ((*a.schema)[c].name, (*b.schema)[c].name);
        for (size_t i = 0; i < a.rows; ++i) {
          ASSERT_EQ(a.columns[c].is_null(i), b.columns[c].is_null(i));
          if (a.columns[c].is_null(i)) continue;
          if (a.columns[c].type() == PhysicalType::Ip)
            ASSERT_EQ(a.columns[c].ip_at(i), b.columns[c].ip_at(i));
          else
            ASSERT_EQ(a.columns[c].uint_at(i), b.columns[c].uint_at(i));
        }
      }
    }
  }
}

TEST(FlowBatchBuilder, PadsWithNullsAndForgetsAbandonedRows) {
  FlowBatchBuilder b;
  b.begin_row();
  b.set_uint(ColumnId::src_port, 53);
  b.begin_row();
  b.set_string(ColumnId::flow_id, "gone");
  b.set_uint(ColumnId::src_port, 7);
  b.abandon_row();
  b.begin_row();
  b.set_uint(ColumnId::dst_port, 443);
  b.set_uint(ColumnId::dst_port, 444);  // the first value wins
  b.begin_row();
  const Batch batch = b.finish();
  EXPECT_EQ(batch.rows, 3u);
  ASSERT_EQ(batch.columns.size(), 2u);  // flow_id vanished with its row
  const Column& src = batch.columns[*batch.find(ColumnId::src_port)];
  const Column& dst = batch.columns[*batch.find(ColumnId::dst_port)];
  ASSERT_EQ(src.size(), 3u);
  ASSERT_EQ(dst.size(), 3u);
  EXPECT_EQ(src.uint_at(0), 53u);
  EXPECT_TRUE(src.is_null(1) && src.is_null(2));
  EXPECT_TRUE(dst.is_null(0) && dst.is_null(2));
  EXPECT_EQ(dst.uint_at(1), 443u);
  EXPECT_EQ(b.rows(), 0u);
}

TEST(Column, GathersAppendsAndDecodesCodedValues) {
  StringVector words;
  words.push_back("alpha");
  words.push_back("beta");
  Bitmap validity(4, true);
  validity.set(2, false);
  const Column coded = Column::coded(std::make_shared<MemoryDictionary>(words, true), {1, 0, 99, 1}, validity);
  EXPECT_EQ(coded.string_at(0), "beta");
  EXPECT_EQ(coded.null_count(), 1u);
  const Column plain = coded.decoded();
  EXPECT_FALSE(plain.is_coded());
  EXPECT_EQ(plain.string_at(3), "beta");
  EXPECT_TRUE(plain.is_null(2));
  const uint32_t rows[] = {3, 2, 1};
  const Column picked = coded.gather(rows);
  EXPECT_TRUE(picked.is_coded());
  EXPECT_EQ(picked.string_at(0), "beta");
  EXPECT_TRUE(picked.is_null(1));
  EXPECT_EQ(picked.string_at(2), "alpha");
  Column grown(PhysicalType::Str);
  grown.append_string("x");
  grown.append_range(coded, 1, 4);
  EXPECT_EQ(grown.size(), 4u);
  EXPECT_FALSE(grown.is_null(0));
  EXPECT_EQ(grown.string_at(1), "alpha");
  EXPECT_TRUE(grown.is_null(2));
}

TEST(Bitmap, KeepsBitsBeyondTheEndZero) {
  for (size_t size : {1u, 63u, 64u, 65u, 130u}) {
    Bitmap b;
    b.resize(size, true);
    EXPECT_EQ(b.count(), size);
    b.resize(size + 70, false);
    EXPECT_EQ(b.count(), size);
    b.resize(size + 140, true);
    EXPECT_EQ(b.count(), size + 70);
    b.resize(3);
    EXPECT_EQ(b.count(), std::min<size_t>(size, 3));
  }
}

TEST(TextList, EscapesAndFinds) {
  std::string map;
  append_extra(map, "tgw-id", "tgw-1");
  append_extra(map, "a=b", "line\nbreak \\ and = sign");
  append_extra(map, "empty", "");
  EXPECT_EQ(find_extra(map, "tgw-id"), "tgw-1");
  EXPECT_EQ(find_extra(map, "a=b"), "line\nbreak \\ and = sign");
  EXPECT_EQ(find_extra(map, "empty"), "");
  EXPECT_FALSE(find_extra(map, "a"));
  EXPECT_EQ(extra_items(map).size(), 3u);
  std::string list;
  append_list_item(list, "tor");
  append_list_item(list, "two\nlines");
  EXPECT_TRUE(list_contains(list, "two\nlines"));
  EXPECT_FALSE(list_contains(list, "two"));
  EXPECT_EQ(list_items(list).size(), 2u);
}

}  // namespace
}  // namespace sluice
