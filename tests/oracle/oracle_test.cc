// Random flows, random questions, two programs: the engine (over segments and open rows, with and without postings and zones)
// and the plain evaluator must agree. SLUICE_ORACLE_SEED and SLUICE_ORACLE_QUERIES choose other and more questions.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "grammar/parse.h"
#include "query/context_table.h"
#include "query/segment_memory.h"
#include "query/engine.h"
#include "storage/model/limits.h"
#include "storage/store/store.h"
#include "tests/golden/rows.h"
#include "tests/golden/thread_executor.h"
#include "tests/oracle/evaluator.h"

namespace sluice::oracle {
namespace {

const TimestampNs kDayStart = *parse_timestamp("2026-11-20T00:00:00Z");
// Rows that lie before the flows, in the same segments, so that those have several blocks; questions are narrowed to what comes
// behind them, and the oracle knows nothing of them.
const TimestampNs kRowsBefore = kDayStart, kFlowsBegin = kDayStart + 30 * kMinute;

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::string pick(std::initializer_list<const char*> from) { return *(from.begin() + static_cast<ptrdiff_t>(below(from.size()))); }

 private:
  std::mt19937_64 engine_;
};

// Few distinct values, so that predicates match and groups are shared; nulls in every column that may have them.
Batch random_flows(Dice& dice, size_t rows) {
  FlowBatchBuilder b;
  const auto address = [&] {
    if (dice.one_in(12)) return *parse_ip("2001:db8::" + std::to_string(dice.below(9)));
    static const uint32_t nets[] = {0x0a000000, 0x0a010000, 0xc0a80000, 0xcb007100, 0xc6336400};
    return IpAddress::v4(nets[dice.below(5)] + static_cast<uint32_t>(dice.one_in(3) ? dice.below(250) : dice.below(6)));
  };
  static const uint16_t ports[] = {22, 53, 80, 443, 3389, 8080};
  const auto port = [&] { return dice.one_in(3) ? 1024 + dice.below(64000) : ports[dice.below(6)]; };
  for (size_t i = 0; i < rows; ++i) {
    b.begin_row();
    const TimestampNs end = kFlowsBegin + static_cast<int64_t>(dice.below(5 * 3600)) * kSecond + static_cast<int64_t>(dice.below(1000)) * kMillisecond;
    b.set_time(ColumnId::flow_end, end);
    if (!dice.one_in(20)) b.set_time(ColumnId::flow_start, end - static_cast<int64_t>(dice.below(300)) * kSecond);
    if (!dice.one_in(30)) b.set_ip(ColumnId::src_ip, address());
    if (!dice.one_in(30)) b.set_ip(ColumnId::dst_ip, address());
    static const uint8_t protocols[] = {6, 6, 6, 17, 17, 1, 47};
    const uint8_t protocol = protocols[dice.below(7)];
    b.set_uint(ColumnId::protocol, protocol);
    if (protocol != 1) {
      b.set_uint(ColumnId::src_port, port());
      b.set_uint(ColumnId::dst_port, port());
    }
    if (protocol == 6 && !dice.one_in(10)) {
      static const uint16_t flags[] = {2, 18, 27, 16, 4, 0};
      b.set_uint(ColumnId::tcp_flags, flags[dice.below(6)]);
    }
    if (!dice.one_in(15)) b.set_uint(ColumnId::raw_bytes, dice.one_in(40) ? dice.below(1ull << 30) : dice.below(5000));
    if (!dice.one_in(15)) b.set_uint(ColumnId::raw_packets, 1 + dice.below(100));
    if (!dice.one_in(3)) b.set_uint(ColumnId::sampling_rate, dice.one_in(4) ? 100 : 1);
    if (!dice.one_in(6)) b.set_uint(ColumnId::action, dice.below(3));
    if (dice.one_in(2)) b.set_string(ColumnId::src_region, dice.pick({"eu-west-1", "us-east-1", "", "ap-south-1"}));
    if (dice.one_in(2)) b.set_string(ColumnId::src_instance_id, "i-" + std::to_string(dice.below(20)));
    if (dice.one_in(2)) b.set_string(ColumnId::dst_instance_id, "i-" + std::to_string(dice.below(20)));
    if (dice.one_in(4)) b.set_uint(ColumnId::input_if, dice.below(5));
  }
  return b.finish();
}

// A few hosts that talk a lot, through three reporters, for some hours: for the stages that look across rows.
Batch busy_flows(Dice& dice, size_t rows, uint64_t hours = 4) {
  FlowBatchBuilder b;
  static const uint16_t ports[] = {22, 80, 443, 40'000, 40'001};
  for (size_t i = 0; i < rows; ++i) {
    b.begin_row();
    const TimestampNs end = kDayStart + static_cast<int64_t>(dice.below(hours * 3600)) * kSecond;
    b.set_time(ColumnId::flow_end, end);
    if (!dice.one_in(10)) b.set_time(ColumnId::flow_start, end - static_cast<int64_t>(dice.below(120)) * kSecond);
    if (!dice.one_in(40)) b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000001 + static_cast<uint32_t>(dice.below(4))));
    if (!dice.one_in(40)) b.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0a000001 + static_cast<uint32_t>(dice.below(5))));
    if (!dice.one_in(20)) b.set_uint(ColumnId::src_port, ports[dice.below(5)]);
    if (!dice.one_in(20)) b.set_uint(ColumnId::dst_port, ports[dice.below(5)]);
    b.set_uint(ColumnId::protocol, dice.one_in(4) ? 17 : 6);
    static const uint16_t flags[] = {2, 18, 27, 16};
    if (!dice.one_in(3)) b.set_uint(ColumnId::tcp_flags, flags[dice.below(4)]);
    if (!dice.one_in(8)) b.set_uint(ColumnId::raw_bytes, dice.below(5000));
    if (!dice.one_in(8)) b.set_uint(ColumnId::raw_packets, 1 + dice.below(20));
    if (!dice.one_in(4)) b.set_uint(ColumnId::sampling_rate, dice.one_in(3) ? 100 : 1);
    if (!dice.one_in(3)) b.set_uint(ColumnId::action, dice.below(2));
    if (!dice.one_in(5)) b.set_ip(ColumnId::exporter_ip, IpAddress::v4(0xc0000201 + static_cast<uint32_t>(dice.below(2))));
    if (!dice.one_in(5)) b.set_uint(ColumnId::source, dice.one_in(2) ? 11 : 12);
    if (dice.one_in(6)) b.set_uint(ColumnId::duplicate, dice.below(2));
  }
  return b.finish();
}

class QueryWriter {
 public:
  QueryWriter(Dice& dice, const std::vector<Row>& flows) : dice_(dice), flows_(flows) {}

  std::string predicate(int depth) {
    if (depth > 0 && dice_.one_in(2)) {
      switch (dice_.below(4)) {
        case 0: return "not (" + predicate(depth - 1) + ")";
        case 1: return "(" + predicate(depth - 1) + " or " + predicate(depth - 1) + ")";
        default: return predicate(depth - 1) + " and " + predicate(depth - 1);
      }
    }
    static const char* orders[] = {"==", "!=", "<", "<=", ">", ">="};
    const std::string op = orders[dice_.below(6)], equality = orders[dice_.below(2)], in = dice_.one_in(3) ? " not in " : " in ";
    const std::string ip_column = dice_.pick({"src_ip", "dst_ip", "ip", "source.ip", "dstaddr"});
    const std::string port_column = dice_.pick({"src_port", "dst_port", "port"});
    switch (dice_.below(20)) {
      case 0: return ip_column + " " + equality + " " + ip();
      case 1: return ip_column + in + network();
      case 2: return ip_column + in + "(" + ip() + ", " + network() + ", " + ip() + ")";
      case 3: return ip_column + in + "10.0.0.2-10.0.0.5";
      case 4: return port_column + " " + equality + " " + port();
      case 5: return port_column + in + "(" + port() + ", 1024-20000)";
      case 6: return dice_.pick({"src_port ", "dst_port "}) + op + " " + port();
      case 7: return "proto " + equality + " " + dice_.pick({"tcp", "udp", "6", "icmp"});
      case 8: return "protocol" + in + "(tcp, 1)";
      case 9: return dice_.pick({"tcp_flags == S", "tcp_flags has syn", "tcp_flags has syn and not tcp_flags has ack", "tcp_flags == SA"});
      case 10: return "action " + equality + " " + dice_.pick({"accept", "reject", "drop"});
      case 11: return dice_.pick({"bytes ", "raw_bytes ", "packets "}) + op + " " + dice_.pick({"0", "100", "1KB", "2500", "100000", "1GiB"});
      case 12: return "src_region " + equality + " " + dice_.pick({"\"eu-west-1\"", "'us-east-1'", "''", "'nowhere'"});
      case 13: return dice_.pick({"src_instance_id", "dst_instance_id", "instance"}) + " " + equality + " 'i-" + std::to_string(dice_.below(22)) + "'";
      case 14: return dice_.pick({"src_region", "src_ip", "bytes", "src_port", "action", "input_if", "flow_start"}) + dice_.pick({" == null", " is not null", " is null", " != null"});
      case 15: return "duration " + op + " " + dice_.pick({"0s", "10s", "1m30s", "5m"});
      case 16: return dice_.pick({"ts ", "flow_end ", "flow_start "}) + dice_.pick({"<", ">=", ">"}) + " 2026-11-20T0" + std::to_string(dice_.below(5)) + ":30Z";
      case 17: return "bytes between 100 and " + std::to_string(dice_.below(5000));
      case 18: return "src_region contains '" + dice_.pick({"west", "east", "-", "zzz"}) + "'";
      default: return "is_private(" + dice_.pick({"src_ip", "dst_ip"}) + ")";
    }
  }

  std::string number(int depth) {
    // Factors stay small: what overflows is widened to floats, and whole numbers here keep their last digit.
    if (depth > 0 && dice_.one_in(6)) return "(" + number(depth - 1) + " * " + dice_.pick({"3", "11", "raw_packets"}) + ")";
    if (depth > 0 && dice_.one_in(3)) return "(" + number(depth - 1) + dice_.pick({" + ", " - "}) + number(depth - 1) + ")";
    return dice_.pick({"bytes", "packets", "src_port", "dst_port", "raw_packets", "input_if", "coalesce(bytes, 7)", "if(proto == tcp, packets, 3)",
                       "abs(src_port - dst_port)", "min_of(src_port, dst_port)", "11"});
  }

  // What functions make of the columns of a row.
  std::string made() {
    const std::string ip = dice_.pick({"src_ip", "dst_ip"}), region = "src_region", n = number(1);
    switch (dice_.below(24)) {
      case 0: return "is_private(" + ip + ")";
      case 1: return "is_multicast(" + ip + ")";
      case 2: return "ip_version(" + ip + ")";
      case 3: return "cidr(" + ip + ", " + dice_.pick({"0", "8", "20", "31", "32"}) + ")";
      case 4: return "upper(" + region + ")";
      case 5: return "length(concat(" + region + ", '-', dst_port))";
      case 6: return "concat(" + region + ", src_instance_id, protocol, " + ip + ")";
      case 7: return "starts_with(" + region + ", 'eu')";
      case 8: return "ends_with(src_instance_id, '1')";
      case 9: return "contains(" + region + ", 'us-')";
      case 10: return dice_.pick({"floor", "ceil", "round"}) + "(" + n + " / 7)";
      case 11: return "round(" + n + " / 1000, 2)";
      case 12: return dice_.pick({"sqrt", "log", "log2", "log10"}) + "(" + n + ")";
      case 13: return "pow(src_port / 1000, 2)";
      case 14: return dice_.pick({"hour", "day_of_week"}) + "(" + dice_.pick({"flow_end", "flow_start", "ts - 3h"}) + ")";
      case 15: return dice_.pick({"seconds(duration)", "seconds(ts - 2026-11-20)", "duration * 3", "duration / 1m", "ts + duration", "flow_start - 90s"});
      case 16: return "case(" + predicate(1) + ", " + n + ", " + predicate(1) + ", 5)";
      case 17: return "if(" + predicate(1) + ", " + region + ", 'none')";
      case 18: return dice_.pick({"min_of", "max_of"}) + "(bytes, packets, src_port)";
      case 19: return "coalesce(input_if, dst_port, 0)";
      case 20: return "format_bytes(bytes)";
      case 21: return "to_string(" + dice_.pick({"src_ip", "duration", "flow_start", "bytes", "protocol"}) + ")";
      case 22: return n + dice_.pick({" / ", " % "}) + dice_.pick({"7", "packets", "input_if"});
      default: return "abs(" + n + " - 2500)";
    }
  }

  std::string key(bool either) {
    if (either && dice_.one_in(8)) return dice_.pick({"ip", "port", "instance"});
    return dice_.pick({"src_ip", "dst_ip", "src_port", "dst_port", "protocol", "action", "src_region", "bin(10m)", "bin(1h)", "cidr(src_ip, 16)", "tcp_flags",
                       "src_instance_id", "input_if", "bin(dst_port, 1000)"});
  }

  std::string aggregate() {
    if (dice_.one_in(4)) {
      const std::string what = dice_.pick({"bytes", "packets", "src_ip", "dst_port", "src_region", "flow_start", "duration"});
      switch (dice_.below(7)) {
        case 0: return dice_.pick({"first(", "last(", "any("}) + what + ")";
        case 1: return dice_.pick({"arg_min(", "arg_max("}) + what + ", " + dice_.pick({"bytes", "flow_end", "dst_port", "duration"}) + ")";
        case 2: return "entropy(" + what + ")";
        case 3: return "stdev(" + number(1) + ")";
        case 4: return "avgif(" + number(1) + ", " + predicate(1) + ")";
        case 5: return "values(" + dice_.pick({"protocol", "src_region", "src_instance_id", "dst_port"}) + dice_.pick({")", ", 3)", ", 1)"});
        default: return "dcount(" + dice_.pick({"dst_port", "protocol", "action", "src_region", "input_if"}) + ")";
      }
    }
    switch (dice_.below(9)) {
      case 0: return "count()";
      case 1: return "countif(" + predicate(1) + ")";
      case 2: return "sumif(bytes, " + predicate(1) + ")";
      case 3: return "avg(" + number(1) + ")";
      case 4: return "count_distinct(" + dice_.pick({"src_ip", "dst_ip", "dst_port", "src_region", "protocol", "action"}) + ")";
      case 5: return dice_.pick({"min(", "max("}) + dice_.pick({"bytes", "flow_end", "src_port", "flow_start", "packets", "duration"}) + ")";
      case 6: return "count(" + dice_.pick({"src_port", "src_region", "bytes"}) + ")";
      default: return "sum(" + number(1) + ")";
    }
  }

  // A query without sort, limit or top at its end.
  std::string query() {
    std::string q = dice_.one_in(3) ? "from flows" : "";
    const auto stage = [&](const std::string& s) { q += (q.empty() ? "" : " | ") + s; };
    if (!dice_.one_in(6)) stage((q.empty() && dice_.one_in(2) ? "" : "where ") + predicate(2));
    if (dice_.one_in(4)) stage("extend x = " + number(2));
    const bool x = q.find("extend x") != std::string::npos;
    if (dice_.one_in(4)) stage("where " + predicate(1));
    switch (dice_.below(5)) {
      case 4: {
        std::string s = "select ts, m = " + made() + ", n = " + made() + ", o = " + made();
        stage(s);
        if (dice_.one_in(3)) stage("rename p = n, q = o | drop ts");
        break;
      }
      case 0: stage("select src_ip, dst_port, n = " + std::string(x ? "x" : number(1)) + ", action, flow_end"); break;
      case 1: stage("distinct a = " + key(false) + ", b = " + key(false)); break;  // two columns of one name are an error
      default: {
        std::string s = "stats a = " + aggregate();
        if (dice_.one_in(2)) s += ", b = " + std::string(x && dice_.one_in(2) ? "sum(x)" : aggregate());
        if (!dice_.one_in(5)) {
          s += " by k = " + key(true);
          if (s.ends_with("k = ip") || s.ends_with("k = port") || s.ends_with("k = instance")) {
          } else if (dice_.one_in(2)) {
            s += ", l = " + key(false);
          }
        }
        stage(s);
        if (dice_.one_in(4)) stage("where a is not null");
      }
    }
    return q;
  }

 private:
  std::string ip() {
    if (!flows_.empty() && !dice_.one_in(5)) {
      const Value& v = flows_[dice_.below(flows_.size())].at(dice_.one_in(2) ? "src_ip" : "dst_ip");
      if (const auto* a = std::get_if<IpAddress>(&v)) return to_string(*a);
    }
    return dice_.pick({"10.0.0.1", "8.8.8.8", "2001:db8::1"});
  }
  std::string network() { return dice_.pick({"10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/30", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "10.0.0.4/31"}); }
  std::string port() { return dice_.pick({"22", "53", "80", "443", "3389", "5000", "0", "65535"}); }

  Dice& dice_;
  const std::vector<Row>& flows_;
};

struct Sink final : query::ResultSink {
  golden::TextTable table;
  Schema schema;
  Status begin(const Schema& columns) override {
    schema = columns;
    for (const Field& f : columns) table.columns.push_back(f.name);
    return {};
  }
  Status batch(const Batch& rows) override {
    golden::append_rows(table, schema, rows);
    return {};
  }
};

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
}

std::string joined(const std::vector<std::string>& words) {
  std::string s;
  for (const auto& w : words) s += w + "\t";
  return s;
}

// Six significant digits of two ways of summing may differ in the last one, and what one makes zero may be next to it by the other;
// compare such cells as numbers.
bool same_cell(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char* end_a = nullptr;
  char* end_b = nullptr;
  const double x = strtod(a.c_str(), &end_a), y = strtod(b.c_str(), &end_b);
  if (a.empty() || b.empty() || *end_a != 0 || *end_b != 0) return false;
  const bool floats = a.find_first_of(".e") != std::string::npos || b.find_first_of(".e") != std::string::npos;
  return floats && std::abs(x - y) <= std::max(1e-12, 1e-5 * std::max(std::abs(x), std::abs(y)));
}

bool same_rows(std::vector<std::vector<std::string>> a, std::vector<std::vector<std::string>> b, std::string& difference) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  if (a.size() != b.size()) {
    difference = std::to_string(a.size()) + " rows by the engine, " + std::to_string(b.size()) + " by the oracle";
    std::vector<std::vector<std::string>> only_a, only_b;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
    std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
    for (size_t i = 0; i < std::min<size_t>(only_a.size(), 5); ++i) difference += "\nengine alone: " + joined(only_a[i]);
    for (size_t i = 0; i < std::min<size_t>(only_b.size(), 5); ++i) difference += "\noracle alone: " + joined(only_b[i]);
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    bool same = a[i].size() == b[i].size();
    for (size_t c = 0; same && c < a[i].size(); ++c) same = same_cell(a[i][c], b[i][c]);
    if (!same) {
      difference = "engine: " + joined(a[i]) + "\noracle: " + joined(b[i]);
      return false;
    }
  }
  return true;
}

class OracleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-oracle-XXXXXX";
    directory_ = mkdtemp(name);
  }
  void TearDown() override {
    store_.reset();
    std::error_code ec;
    std::filesystem::remove_all(directory_, ec);
  }
  void fill(Dice& dice, size_t rows) { fill(dice, random_flows(dice, rows)); }
  // Without `blocks` no other rows lie before the flows: for stages that look back.
  void fill(Dice& dice, Batch flows, bool blocks = true) {
    flows_ = std::move(flows);
    blocks_ = blocks;
    const size_t rows = flows_.rows;
    rows_ = rows_of(flows_);
    store::StoreOptions options;
    options.directory = directory_;
    options.sync = false;
    options.partition_width = kDay;
    auto store = store::Store::open(options, clock_);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(store).value();
    // Two thirds sealed in two pieces, the rest open. The edge of a block goes through the middle of each sealed piece.
    for (size_t i = 0; i < 3; ++i) {
      const size_t from = rows * i / 3, to = rows * (i + 1) / 3;
      Batch piece{flows_.schema, {}, to - from};
      for (const Column& c : flows_.columns) {
        Column part(c.type());
        part.append_range(c, from, to);
        piece.columns.push_back(std::move(part));
      }
      if (i < 2 && blocks) {
        Batch before = random_flows(dice, limits::kBlockRows - piece.rows / 2);
        for (size_t c = 0; c < before.columns.size(); ++c)
          if ((*before.schema)[c].column == ColumnId::flow_end)
            before.columns[c] = Column::of<int64_t>(PhysicalType::I64, std::vector<int64_t>(before.rows, kRowsBefore));
        const auto filled = store_->append({&before, 1});
        ASSERT_TRUE(filled.ok()) << filled.error().message;
      }
      const auto appended = store_->append({&piece, 1});
      ASSERT_TRUE(appended.ok()) << appended.error().message;
      if (i < 2) {
        const auto flushed = store_->flush();
        ASSERT_TRUE(flushed.ok()) << flushed.error().message;
      }
    }
    const store::Snapshot snapshot = store_->snapshot();
    ASSERT_EQ(snapshot.segments.size(), 2u);
    for (const auto& segment : snapshot.segments) ASSERT_EQ(segment->block_count(), blocks ? 2u : 1u);
  }
  std::optional<query::QueryError> ask(const std::string& text, const query::QueryOptions& options, Sink& sink, bool on_threads = false, bool keeps = false) {
    const store::Snapshot snapshot = store_->snapshot();
    query::InlineExecutor inline_executor;
    ThreadExecutor threads;
    query::QueryContext context;
    context.snapshot = &snapshot;
    context.clock = &clock_;
    context.executor = on_threads ? static_cast<query::Executor*>(&threads) : &inline_executor;
    context.tables = tables_;
    query::QueryRequest request;
    request.text = text;
    if (keeps) context.segment_memory = &memory_;
    if (blocks_) request.from = kFlowsBegin;
    request.options = options;
    query::QuerySummary summary;
    return query::run(request, context, sink, summary);
  }
  // Both answers to one query without order at its end.
  void agree(const std::string& text) {
    const auto parsed = grammar::parse(text);
    ASSERT_TRUE(std::holds_alternative<grammar::Statement>(parsed)) << text << ": " << std::get<grammar::SyntaxError>(parsed).message;
    const auto* q = std::get<grammar::Statement>(parsed).as<grammar::Query>();
    ASSERT_NE(q, nullptr) << text;
    Table expected;
    try {
      expected = evaluate(*q, rows_, beside_);
    } catch (const std::exception& e) {
      FAIL() << text << ": " << e.what();
    }
    std::vector<std::vector<std::string>> expected_rows;
    for (const auto& row : expected.rows) {
      std::vector<std::string> line;
      for (const Value& v : row) line.push_back(std::holds_alternative<std::string>(v) ? golden::text_of_string(text_of(v)) : text_of(v));
      expected_rows.push_back(std::move(line));
    }
    // Tiny batches over all the rows before take their time.
    const size_t batch_rows = ++questions_ % 16 == 0 ? 7 : 1'009;
    struct Way {
      query::QueryOptions options;
      bool on_threads = false;
      bool keeps = false;  // of segments: the first such way fills the memory, the others find it filled
    };
    const Way ways[] = {{{}},          {{}, true}, {{.use_postings = false}}, {{.use_postings = false, .use_zones = false}, true},
                        {{.batch_rows = batch_rows}}, {{}, false, true}, {{}, true, true}, {{}, false, true},
                        {{.list_groups = 2}}, {{.list_groups = 4}, true, true}, {{.list_groups = 4}, false, true}};
    for (const auto& [way, on_threads, keeps] : ways) {
      Sink sink;
      const auto error = ask(text, way, sink, on_threads, keeps);
      ASSERT_FALSE(error) << text << ": " << error->message << "\n" << error->caret;
      std::string difference;
      ASSERT_TRUE(same_rows(sink.table.rows, expected_rows, difference))
          << text << "\n" << difference << "\npostings " << way.use_postings << " zones " << way.use_zones << " batch " << way.batch_rows << " threads " << on_threads << " kept " << keeps << " lists " << way.list_groups;
    }
  }

  std::string directory_;
  ManualClock clock_{kDayStart + kDay};
  std::unique_ptr<store::Store> store_;
  Batch flows_;
  bool blocks_ = true;  // rows before kFlowsBegin fill the blocks
  std::vector<Row> rows_;
  std::shared_ptr<const query::TableBook> tables_ = std::make_shared<query::TableBook>();
  Beside beside_;  // the same tables
  size_t questions_ = 0;
  query::SegmentMemory memory_;
};

TEST_F(OracleTest, EngineAndOracleAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120);
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, 3000));
  QueryWriter writer(dice, rows_);
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400);
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string text = writer.query();
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
}

// `top` and `sort | limit` choose rows: those chosen must be rows of the whole answer, and their ranks the right ones.
TEST_F(OracleTest, TopAndSortedLimitsChooseTheRightRows) {
  Dice dice(setting("SLUICE_ORACLE_SEED", 20261120) + 1);
  ASSERT_NO_FATAL_FAILURE(fill(dice, 2000));
  QueryWriter writer(dice, rows_);
  for (int i = 0; i < 150; ++i) {
    const std::string where = "where " + writer.predicate(1), key = writer.key(false), by = dice.pick({"count()", "sum(bytes)", "max(packets)", "count_distinct(dst_ip)"});
    const uint64_t n = 1 + dice.below(20);
    const bool top = dice.one_in(2);
    const std::string whole = where + " | stats a = " + by + " by k = " + key;
    const std::string asked = top ? where + " | top " + std::to_string(n) + " k = " + key + " by a = " + by
                                  : whole + " | sort a desc | limit " + std::to_string(n);
    const auto parsed = grammar::parse(whole);
    const Table all = evaluate(*std::get<grammar::Statement>(parsed).as<grammar::Query>(), rows_);
    std::map<std::string, std::string> of_key;
    std::vector<Value> ranked;
    for (const auto& row : all.rows) {
      std::string k = text_of(row[0]);
      of_key[k.empty() ? "\"\"" : k] = text_of(row[1]);
      if (!std::holds_alternative<Null>(row[1])) ranked.push_back(row[1]);
    }
    std::sort(ranked.begin(), ranked.end(), [](const Value& a, const Value& b) { return std::get<Integer>(a) > std::get<Integer>(b); });
    Sink sink;
    const auto error = ask(asked, {.list_groups = static_cast<uint32_t>(dice.below(3) * dice.below(8))}, sink, dice.one_in(2));
    ASSERT_FALSE(error) << asked << ": " << error->message;
    ASSERT_EQ(sink.table.rows.size(), std::min<size_t>(n, all.rows.size())) << asked;
    std::set<std::string> seen;
    for (size_t r = 0; r < sink.table.rows.size(); ++r) {
      const auto& row = sink.table.rows[r];
      EXPECT_TRUE(seen.insert(row[0]).second) << asked << " repeats " << row[0];
      ASSERT_TRUE(of_key.contains(row[0])) << asked << " invents " << row[0];
      EXPECT_EQ(row[1], of_key[row[0]]) << asked << " for " << row[0];
      EXPECT_EQ(row[1], r < ranked.size() ? text_of(ranked[r]) : "null") << asked << " at rank " << r;  // nulls last
    }
  }
}

// Stages that look across rows.
TEST_F(OracleTest, StagesAcrossRowsAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 2;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 240), false));
  const std::string columns = "flow_end, flow_start, src_ip, dst_ip, src_port, dst_port, protocol, raw_bytes, raw_packets, exporter_ip, sampling_rate, duplicate";
  const auto condition = [&] {
    return dice.pick({"proto == tcp", "dst_port == 22", "dst_port != 443", "action == reject", "bytes > 1000", "tcp_flags has syn", "src_port == 80", "dst_port in (80, 443)"});
  };
  const auto where = [&] { return dice.one_in(2) ? "where " + condition() + " | " : std::string(); };
  const auto range = [&] {
    const uint64_t hour = dice.below(3);
    return "between 2026-11-20T0" + std::to_string(hour) + ":00Z and 2026-11-20T0" + std::to_string(hour + 1 + dice.below(3 - hour)) + ":" + dice.pick({"00", "30"}) + "Z ";
  };
  const auto key = [&] { return dice.pick({"src_ip", "src_ip, dst_ip", "dst_port", "dst_ip, dst_port", "src_ip, dst_ip, dst_port, protocol"}); };
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 2;
  for (uint64_t i = 0; i < queries; ++i) {
    std::string text;
    switch (dice.below(7)) {
      case 0:
        text = where() + "dedup" + (dice.one_in(2) ? " by " + key() : "") + (dice.one_in(2) ? " within " + dice.pick({"1ms", "1s", "5m"}) : "") + " | select " + columns;
        break;
      case 1: {
        const std::string kind = dice.pick({"", "inner ", "left ", "semi ", "anti "});
        const bool adds = kind != "semi " && kind != "anti ";
        text = where() + "join " + kind + "(from flows | " + where() + "stats n = count(), m = max(bytes) by " + (dice.one_in(2) ? "src_ip" : "src_ip, dst_port") + ") on src_ip";
        if (text.find("by src_ip, dst_port)") != std::string::npos && (!adds || dice.one_in(2))) text += ", dst_port";
        if (adds && text.find("by src_ip, dst_port)") != std::string::npos && !text.ends_with("dst_port")) text = where() + "join left (stats n = count(), m = max(bytes) by host = dst_ip) on src_ip == host";
        text += " | select flow_end, src_ip, dst_port, raw_bytes" + std::string(adds ? ", n, m" : "");
        break;
      }
      case 2: text = range() + "| " + where() + "first_seen " + key() + " lookback " + dice.pick({"30m", "1h", "14d"}) + " | select " + columns; break;
      case 3:
        text = where() + "sequence by " + key() + " within " + dice.pick({"1m", "10m", "2h"}) + " [" + condition() + "]" + dice.pick({"", " min 2", " min 3"}) + " then [" + condition() + "]" +
               dice.pick({"", " min 2"}) + (dice.one_in(3) ? " then [" + condition() + "]" : "");
        break;
      case 4: text = where() + "reach from 10.0.0." + std::to_string(1 + dice.below(5)) + " within " + std::to_string(1 + dice.below(4)) + " hops | select ip, hops, reached"; break;
      case 5:
        // (What talks to itself from one port to the same has one side only.)
        text = where() + "where src_ip != dst_ip or src_port != dst_port | stitch" + dice.pick({"", " within 1s", " within 30m"}) +
               " | select src_ip, src_port, dst_ip, dst_port, protocol, flow_start, flow_end, bytes, packets, reverse_bytes, reverse_packets, flows, began_by";
        break;
      default:
        text = range() + "| " + where() + "baseline " + dice.pick({"count()", "sum(raw_bytes)"}) + " as v" + (dice.one_in(4) ? "" : " by " + key()) + " every " + dice.pick({"5m", "10m"}) +
               " over " + dice.pick({"1h", "2h"}) + dice.pick({"", " seasonal 20m", " seasonal 1h"}) + dice.pick({"", " min 1", " min 10"});
    }
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
}

// Series, with whatever fills their gaps, over the bins that a flow ends in or spans.
TEST_F(OracleTest, SeriesAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 4;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 160), false));
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 3;
  for (uint64_t i = 0; i < queries; ++i) {
    const bool spread = dice.one_in(2);
    std::string text = "between 2026-11-20T0" + std::to_string(dice.below(2)) + ":" + dice.pick({"00", "07"}) + "Z and 2026-11-20T0" + std::to_string(2 + dice.below(3)) + ":" + dice.pick({"00", "31"}) +
                       "Z | where " + dice.pick({"true", "proto == tcp", "dst_port == 22", "raw_bytes > 1000", "src_ip == 10.0.0.1"}) + " | timeseries a = " +
                       dice.pick({"count()", "sum(bytes)", "sum(raw_packets)", "max(raw_bytes)", "countif(dst_port == 80)"}) + ", b = " +
                       dice.pick({"sum(raw_bytes)", "avg(raw_bytes)", "min(raw_packets)", "count_distinct(dst_ip)", "count(src_port)"}) + " every " + dice.pick({"5m", "15m", "1h"});
    const size_t keys = dice.below(3);
    if (keys > 0) text += " by " + dice.pick({"src_ip", "protocol", "action"}) + (keys > 1 ? ", dst_port" : "");
    if (keys > 0 && dice.one_in(2)) text += " limit " + std::to_string(1 + dice.below(4));
    // (What a number fills is of the column's kind: 7 is of all of these.)
    text += dice.pick({"", " fill null", " fill previous", " fill 0", " fill 7"}) + (spread ? " spread" : "");
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
}

// Quantiles, exact as long as groups are small, and the scanner's walk.
TEST_F(OracleTest, AggregatesOfSmallGroupsAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 5;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 400), false));
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 4;
  for (uint64_t i = 0; i < queries; ++i) {
    const auto quantile = [&] {
      const std::string of = dice.pick({"raw_bytes", "bytes", "duration", "src_port", "raw_bytes / 7"});
      return dice.one_in(2) ? "quantile(" + of + ", " + dice.pick({"0", "0.01", "0.07", "0.25", "0.5", "0.9", "0.999", "1", "1.0"}) + ")"
                            : dice.pick({"p50(", "median(", "p90(", "p95(", "p99("}) + of + ")";
    };
    const std::string text = "where " + dice.pick({"true", "proto == tcp", "dst_port == 22", "src_ip == 10.0.0.1"}) + " | stats a = " + quantile() + ", b = " +
                             (dice.one_in(2) ? quantile() : "trw(" + dice.pick({"dst_ip", "dst_port", "dst_ip"}) + ", " + dice.pick({"tcp_flags has ack", "action == accept", "bytes > 2500"}) + ")") +
                             dice.pick({"", " by src_ip", " by dst_port", " by src_ip, dst_ip"});
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
}

// Runs of activity, over days, so that long ones are cut.
TEST_F(OracleTest, SessionsAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 6;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 240, 24), false));
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 4;
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string key = dice.pick({"src_ip", "src_ip, dst_ip", "dst_port", "protocol"}), gap = " gap " + dice.pick({"1s", "10m", "30m", "1h30m", "6h"});
    const std::string where = dice.one_in(2) ? "where " + dice.pick({"proto == tcp", "dst_port == 22", "raw_bytes > 1000"}) + " | " : "";
    const std::string asked = "n = count(), first = min(ts), last = max(ts), b = sum(raw_bytes)";
    const std::string text = dice.one_in(2) ? where + "stats " + asked + " by " + key + " window session" + gap : where + "sessions by " + key + gap + " | stats " + asked + " by " + key + ", session";
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
  ASSERT_NO_FATAL_FAILURE(agree("stats n = count(), last = max(ts) window session gap 6h"));
}

// Keys that fall silent, what was there a period before, what is regular.
TEST_F(OracleTest, StagesOverTimeAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 7;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 300), false));
  const auto condition = [&] { return dice.pick({"proto == tcp", "dst_port == 22", "dst_port != 443", "action == reject", "bytes > 1000", "src_port == 80", "source == zeek"}); };
  const auto where = [&] { return dice.one_in(2) ? "where " + condition() + " | " : std::string(); };
  const auto range = [&](uint64_t least) {
    const uint64_t hour = least + dice.below(3 - least);
    return "between 2026-11-20T0" + std::to_string(hour) + ":00Z and 2026-11-20T0" + std::to_string(hour + 1 + dice.below(4 - hour)) + ":" + dice.pick({"00", "30"}) + "Z | ";
  };
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 2;
  for (uint64_t i = 0; i < queries; ++i) {
    std::string text;
    switch (dice.below(3)) {
      case 0: {
        const std::string key = dice.pick({"src_ip", "src_ip, dst_ip", "dst_port"});
        text = range(0) + where() + "absent " + key + " for " + dice.pick({"1ms", "5m", "20m", "1h"});
        if (dice.one_in(2)) text += " expected by (between 2026-11-20T00:00Z and 2026-11-20T03:00Z | " + where() + "distinct " + key + ")";
        break;
      }
      case 1: {
        const std::string keys = dice.pick({"k = src_ip", "k = src_ip, l = dst_port", "k = bin(30m)", "k = src_ip, l = bin(1h)", "k = action"});
        text = range(1) + where() + "stats a = " + dice.pick({"count()", "sum(raw_bytes)", "max(raw_packets)"}) + ", b = " + dice.pick({"avg(raw_bytes)", "count_distinct(dst_ip)", "countif(dst_port == 22)"}) +
               " by " + keys + (dice.one_in(3) ? " | where a > 1" : "") + " | compare to 1h";
        break;
      }
      default:
        text = range(0) + where() + "beacons by " + dice.pick({"src_ip", "src_ip, dst_ip", "dst_port", "src_ip, dst_port"}) + dice.pick({"", " min 4", " min 7"}) + " | select " +
               "connections, score, times_score, sizes_score, histogram_score, duration_score";
    }
    SCOPED_TRACE("seed " + std::to_string(seed) + " query " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(agree(text));
  }
}

// Tables of what holds when: blocks within blocks, periods that meet at the very moment of a flow, rows alike.
TEST_F(OracleTest, LookupsAgree) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 8;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 200), false));
  beside_.now = kDayStart + kDay;
  const auto moment = [&]() -> std::optional<int64_t> {
    if (dice.one_in(3)) return std::nullopt;
    return std::get<Time>(rows_[dice.below(rows_.size())].at("flow_end")).ns + (dice.one_in(4) ? 1 : 0);
  };
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 8;
  for (uint64_t i = 0; i < queries; ++i) {
    std::string csv = "net,owner,risk,valid_from,valid_to\n";
    std::vector<TableRow> table;
    for (uint64_t r = 1 + dice.below(30); r > 0; --r) {
      const uint32_t bits = 26 + static_cast<uint32_t>(dice.below(7));
      const Prefix block = Prefix::of(IpAddress::v4(0x0a000000 + static_cast<uint32_t>(dice.below(8))), static_cast<uint8_t>(96 + bits));
      TableRow row{block.first(), block.last(), INT64_MIN, INT64_MAX, {}};
      const auto from = moment(), to = moment();
      if (from) row.from = *from;
      if (to && (!from || *to > *from)) row.to = *to;
      row.values["owner"] = "o" + std::to_string(dice.below(9));
      row.values["risk"] = dice.one_in(4) ? Value(Null{}) : Value(static_cast<Integer>(dice.below(100)));
      csv += to_string(block.first()) + "/" + std::to_string(bits) + "," + text_of(row.values["owner"]) + "," + (std::holds_alternative<Null>(row.values["risk"]) ? "" : text_of(row.values["risk"])) + "," +
             (row.from == INT64_MIN ? "" : format_timestamp(row.from)) + "," + (row.to == INT64_MAX ? "" : format_timestamp(row.to)) + "\n";
      table.push_back(std::move(row));
    }
    // (Without a number the column would be text.)
    csv.replace(csv.find("risk"), 4, "risk:uint");
    auto read = query::ContextTable::read("assets", "", csv);
    ASSERT_TRUE(read.ok()) << read.error().message << "\n" << csv;
    tables_ = query::TableBook().with(std::make_shared<query::ContextTable>(std::move(read).value()));
    beside_.tables["assets"] = table;
    SCOPED_TRACE("seed " + std::to_string(seed) + " table " + std::to_string(i) + "\n" + csv);
    for (const char* as_of : {"", " as of ts", " as of flow_start", " as of 2026-11-20T02:00Z"})
      ASSERT_NO_FATAL_FAILURE(agree("lookup assets on src_ip" + std::string(as_of) + " | lookup assets on dst_ip" + as_of + " prefix to_ | select ts, src_ip, owner, risk, to_owner, to_risk"));
  }
}

// What the groups that are not shown were a period earlier: the engine folds groups, this leaves the flows of those shown out.
TEST_F(OracleTest, TheRestOfAComparisonAgrees) {
  const uint64_t seed = setting("SLUICE_ORACLE_SEED", 20261120) + 3;
  Dice dice(seed);
  ASSERT_NO_FATAL_FAILURE(fill(dice, busy_flows(dice, 240), false));
  const auto plain = [&](const std::string& text) {
    const auto parsed = grammar::parse(text);
    return evaluate(*std::get<grammar::Statement>(parsed).as<grammar::Query>(), rows_);
  };
  const std::string aggregates = "s = sum(raw_bytes), n = count(), c = countif(dst_port == 22), lo = min(raw_bytes), hi = max(raw_bytes)";
  const uint64_t queries = setting("SLUICE_ORACLE_QUERIES", 400) / 4;
  size_t rests = 0;
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string key = dice.pick({"src_ip", "dst_port", "protocol", "raw_bytes"});
    const std::string where = dice.one_in(2) ? "where " + dice.pick({"proto == tcp", "dst_port != 443", "raw_bytes > 1000"}) + " | " : "";
    const uint64_t hour = 1 + dice.below(2);
    const auto range = [&](uint64_t from) {
      return "between 2026-11-20T0" + std::to_string(from) + ":00Z and 2026-11-20T0" + std::to_string(from + 1) + ":00Z | " + where;
    };
    const std::string text = range(hour) + "top " + std::to_string(1 + dice.below(4)) + " " + key + " by " + aggregates + " with others | compare to 1h | select " + key +
                             ", others, s_prev, n_prev, c_prev, lo_prev, hi_prev";
    Sink sink;
    const auto error = ask(text, {.batch_rows = dice.one_in(2) ? size_t{7} : 0}, sink, dice.one_in(2));
    ASSERT_FALSE(error) << text << ": " << error->message;
    std::string shown = "src_port == 1";  // nobody
    for (const auto& row : sink.table.rows) {
      const std::string is = row[0] == "null" ? key + " is null" : key + " == " + row[0];
      const bool rest = row[1] == "true";
      rests += rest;
      if (!rest) shown += " or " + is;
      const Table then = plain(range(hour - 1) + "where " + (rest ? "not (" + shown + ")" : is) + " | stats " + aggregates);
      ASSERT_EQ(then.rows.size(), 1u);
      const bool none = text_of(then.rows[0][1]) == "0";
      for (size_t a = 0; a < then.rows[0].size(); ++a) EXPECT_EQ(row[2 + a], none ? "null" : text_of(then.rows[0][a])) << text << "\nof " << row[0] << " column " << a;
    }
  }
  EXPECT_GT(rests, queries / 2);
}

// The test of the test: an oracle that never disagrees proves nothing.
TEST_F(OracleTest, SeesAWrongAnswer) {
  Dice dice(3);
  ASSERT_NO_FATAL_FAILURE(fill(dice, 500));
  Sink sink;
  ASSERT_FALSE(ask("where dst_port == 53 | stats n = count()", {}, sink));
  auto wrong = sink.table.rows;
  wrong[0][0] += "1";
  std::string difference;
  EXPECT_FALSE(same_rows(sink.table.rows, wrong, difference));
  EXPECT_FALSE(same_rows({{"1.00000"}}, {{"1.1"}}, difference));
  EXPECT_TRUE(same_rows({{"1.00001"}}, {{"1.00002"}}, difference));
}

}  // namespace
}  // namespace sluice::oracle
