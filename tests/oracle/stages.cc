#include "tests/oracle/stages.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>

#include "grammar/parse.h"
#include "grammar/stage_args.h"

namespace sluice::oracle {
namespace {

namespace g = grammar;

bool is_null_value(const Value& v) { return std::holds_alternative<Null>(v); }
int64_t time_of(const Value& v) { return std::get<Time>(v).ns; }
int64_t span_of(const g::ExprPtr& e) { return e->as<g::DurationLiteral>()->nanoseconds; }
Integer count_of(const g::ExprPtr& e) { return static_cast<Integer>(e->as<g::IntegerLiteral>()->value); }

std::vector<Value> key_of(const std::vector<g::ExprPtr>& keys, const Row& row, const StageWorld& world) {
  std::vector<Value> out;
  for (const auto& k : keys) out.push_back(world.value(k, row));
  return out;
}
std::vector<std::string> names_of(const std::vector<g::ExprPtr>& keys) {
  std::vector<std::string> out;
  for (const auto& k : keys) {
    const auto* name = k->as<g::Name>();
    if (name == nullptr) throw std::runtime_error("the oracle wants keys that are names");
    out.push_back(name->text());
  }
  return out;
}

int64_t start_of(const Row& row) {
  const int64_t end = time_of(row.at("flow_end"));
  return is_null_value(row.at("flow_start")) ? end : std::min(end, time_of(row.at("flow_start")));
}
int64_t end_of(const Row& row) { return time_of(row.at("flow_end")); }

// ------------------------------------------------------------------------------------------------------------------

void dedup(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows) {
  std::vector<std::string> keys = {"src_ip", "dst_ip", "src_port", "dst_port", "protocol"};
  int64_t within = 1'000'000'000;
  while (!args.done()) {
    if (args.word("by")) keys = names_of(args.expressions());
    if (args.word("within")) within = span_of(*args.duration());
  }
  (void)world;
  using Reporter = std::vector<Value>;
  const auto reporter = [](const Row& r) {
    Reporter out;
    for (const char* part : {"source", "exporter_ip", "observation_domain", "src_interface_id", "dst_interface_id", "reporter", "direction", "duplicate"})
      out.push_back(r.at(part));
    return out;
  };
  const auto key = [&](const Row& r) {
    std::vector<Value> out;
    for (const auto& k : keys) out.push_back(r.at(k));
    return out;
  };
  // Least first: duplicates, rate, packets, bytes.
  using Rank = std::tuple<bool, double, Integer, Integer>;
  const auto rank = [&](const Row& of) {
    Rank out{of.at("duplicate") == Value(true), 0, 0, 0};
    for (const Row& r : rows) {
      if (key(r) != key(of) || reporter(r) != reporter(of)) continue;
      std::get<1>(out) = std::max(std::get<1>(out), is_null_value(r.at("sampling_rate")) ? INFINITY : static_cast<double>(std::get<Integer>(r.at("sampling_rate"))));
      if (!is_null_value(r.at("raw_packets"))) std::get<2>(out) -= std::get<Integer>(r.at("raw_packets"));
      if (!is_null_value(r.at("raw_bytes"))) std::get<3>(out) -= std::get<Integer>(r.at("raw_bytes"));
    }
    return out;
  };
  std::vector<std::pair<std::pair<Rank, Reporter>, size_t>> order;
  for (size_t i = 0; i < rows.size(); ++i) order.push_back({{rank(rows[i]), reporter(rows[i])}, i});
  std::sort(order.begin(), order.end());
  std::vector<size_t> kept;
  for (const auto& [ranked, i] : order) {
    bool doubled = false;
    for (size_t k : kept)
      doubled = doubled || (key(rows[k]) == key(rows[i]) && reporter(rows[k]) != ranked.second && start_of(rows[k]) - within <= end_of(rows[i]) &&
                            start_of(rows[i]) - within <= end_of(rows[k]));
    if (!doubled) kept.push_back(i);
  }
  std::vector<Row> out;
  for (size_t k : kept) out.push_back(rows[k]);
  rows = std::move(out);
}

void join(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  std::string kind = "inner";
  for (const char* word : {"inner", "left", "semi", "anti"})
    if (args.word(word)) kind = word;
  const Table theirs = world.ask(*args.subquery(), world.bounds);
  args.word("on");
  std::vector<std::pair<g::ExprPtr, size_t>> keys;
  std::set<size_t> key_columns;
  for (const auto& e : args.expressions()) {
    const auto* compare = e->as<g::Compare>();
    const g::ExprPtr mine = compare ? compare->left : e;
    const std::string name = (compare ? compare->right : e)->as<g::Name>()->text();
    const auto at = static_cast<size_t>(std::find(theirs.columns.begin(), theirs.columns.end(), name) - theirs.columns.begin());
    if (at == theirs.columns.size()) throw std::runtime_error("the oracle finds no column " + name);
    keys.emplace_back(mine, at);
    key_columns.insert(at);
  }
  std::vector<Row> out;
  for (const Row& row : rows) {
    size_t partners = 0;
    for (const auto& other : theirs.rows) {
      bool same = true;
      for (const auto& [mine, at] : keys) {
        const Value v = world.value(mine, row);
        same = same && !is_null_value(v) && v == other[at];
      }
      if (!same) continue;
      ++partners;
      if (kind == "semi" || kind == "anti") continue;
      out.push_back(row);
      for (size_t c = 0; c < theirs.columns.size(); ++c)
        if (!key_columns.contains(c)) out.back()[theirs.columns[c]] = other[c];
    }
    if (kind == "semi" && partners > 0) out.push_back(row);
    if (kind == "anti" && partners == 0) out.push_back(row);
    if (kind == "left" && partners == 0) {
      out.push_back(row);
      for (size_t c = 0; c < theirs.columns.size(); ++c)
        if (!key_columns.contains(c)) out.back()[theirs.columns[c]] = Null{};
    }
  }
  if (!columns.empty() && (kind == "inner" || kind == "left"))
    for (size_t c = 0; c < theirs.columns.size(); ++c)
      if (!key_columns.contains(c)) columns.push_back(theirs.columns[c]);
  rows = std::move(out);
}

g::Query before(const StageWorld& world) {
  g::Query q = *world.query;
  q.time.reset();
  q.stages.erase(q.stages.begin() + static_cast<ptrdiff_t>(world.at), q.stages.end());
  return q;
}

void first_seen(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows) {
  const auto keys = args.expressions();
  args.word("lookback");
  const int64_t lookback = span_of(*args.duration());
  g::Query q = before(world);
  g::SelectStage select;
  for (const auto& k : keys) select.columns.push_back({std::nullopt, k, {}});
  q.stages.push_back({g::Keyword{"select", {}}, select, {}});
  const Table past = world.ask(q, {world.bounds.from - lookback, world.bounds.from});
  std::erase_if(rows, [&](const Row& r) { return std::find(past.rows.begin(), past.rows.end(), key_of(keys, r, world)) != past.rows.end(); });
}

// The step at which a beginning at rows[from] is done, by taking each row for the step at hand.
std::optional<size_t> follow(const std::vector<const Row*>& rows, size_t from, const std::vector<std::pair<g::ExprPtr, Integer>>& steps, const StageWorld& world) {
  size_t step = 0;
  Integer had = 0;
  for (size_t i = from; i < rows.size(); ++i) {
    if (!world.truth(steps[step].first, *rows[i])) {
      if (i == from) return std::nullopt;
      continue;
    }
    if (++had < steps[step].second) continue;
    had = 0;
    if (++step == steps.size()) return i;
  }
  return std::nullopt;
}

void sequence(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  args.word("by");
  const auto keys = args.expressions();
  args.word("within");
  const int64_t within = span_of(*args.duration());
  std::vector<std::pair<g::ExprPtr, Integer>> steps;
  do {
    const auto group = *args.bracketed();
    g::StageArgs inner(group, g::Keyword{"[", {}});
    const g::ExprPtr condition = *inner.expression();
    Integer least = 1;
    if (args.word("min")) least = count_of(*args.count());
    steps.emplace_back(condition, least);
  } while (args.word("then"));
  std::map<std::vector<Value>, std::vector<const Row*>> groups;
  for (const Row& r : rows) groups[key_of(keys, r, world)].push_back(&r);
  std::vector<Row> out;
  const auto names = names_of(keys);
  for (auto& [key, members] : groups) {
    const auto first_step = [&](const Row& r) {
      for (size_t s = 0; s < steps.size(); ++s)
        if (world.truth(steps[s].first, r)) return s;
      return steps.size();
    };
    std::erase_if(members, [&](const Row* r) { return first_step(*r) == steps.size(); });
    const auto all_steps = [&](const Row& r) {
      Integer mask = 0;
      for (size_t s = 0; s < steps.size(); ++s) mask += static_cast<Integer>(world.truth(steps[s].first, r)) << s;
      return mask;
    };
    std::sort(members.begin(), members.end(), [&](const Row* a, const Row* b) {
      return std::tuple(end_of(*a), first_step(*a), all_steps(*a)) < std::tuple(end_of(*b), first_step(*b), all_steps(*b));
    });
    for (size_t from = 0; from < members.size();) {
      std::optional<std::pair<size_t, size_t>> found;  // end, beginning
      for (size_t b = from; b < members.size(); ++b) {
        const auto end = follow(members, b, steps, world);
        if (!end || end_of(*members[*end]) - end_of(*members[b]) > within) continue;
        if (!found || *end < found->first || (*end == found->first && b > found->second)) found = {*end, b};
      }
      if (!found) break;
      Row row;
      for (size_t k = 0; k < names.size(); ++k) row[names[k]] = key[k];
      row["began"] = Time{end_of(*members[found->second])};
      row["ended"] = Time{end_of(*members[found->first])};
      row["took"] = Span{end_of(*members[found->first]) - end_of(*members[found->second])};
      out.push_back(std::move(row));
      from = found->first + 1;
    }
  }
  rows = std::move(out);
  columns = names;
  for (const char* c : {"began", "ended", "took"}) columns.emplace_back(c);
}

// By rounds over all flows until nothing changes, number of hops by number of hops.
void reach(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  args.word("from");
  const Value root = world.value(*args.expression(), {});
  args.word("within");
  const Integer hops = count_of(*args.count());
  std::map<Value, int64_t> now{{root, INT64_MIN}};
  std::map<Value, std::pair<Integer, int64_t>> best;
  for (Integer h = 1; h <= hops; ++h) {
    std::map<Value, int64_t> next;
    for (const Row& r : rows) {
      const Value &from = r.at("src_ip"), &to = r.at("dst_ip");
      if (is_null_value(from) || is_null_value(to) || from == to || to == root) continue;
      const auto at = now.find(from);
      if (at == now.end() || start_of(r) < at->second) continue;
      const auto [it, fresh] = next.try_emplace(to, start_of(r));
      if (!fresh) it->second = std::min(it->second, start_of(r));
    }
    for (const auto& [ip, t] : next) best.try_emplace(ip, h, t);
    now = std::move(next);
  }
  rows.clear();
  for (const auto& [ip, reached] : best) rows.push_back({{"ip", ip}, {"hops", reached.first}, {"reached", Time{reached.second}}});
  columns = {"ip", "hops", "reached"};
}

void stitch(g::StageArgs& args, std::vector<Row>& rows, std::vector<std::string>& columns) {
  int64_t gap = 300ll * 1'000'000'000;
  if (args.word("within")) gap = span_of(*args.duration());
  using End = std::pair<Value, Value>;
  const auto source = [](const Row& r) { return End{r.at("src_ip"), r.at("src_port")}; };
  const auto target = [](const Row& r) { return End{r.at("dst_ip"), r.at("dst_port")}; };
  std::vector<const Row*> order;
  for (const Row& r : rows) order.push_back(&r);
  std::stable_sort(order.begin(), order.end(), [](const Row* a, const Row* b) { return start_of(*a) < start_of(*b); });
  struct Talk {
    std::vector<const Row*> rows;
    int64_t end = 0;
  };
  std::vector<Talk> talks;
  for (const Row* r : order) {
    Talk* into = nullptr;
    for (Talk& t : talks) {
      const Row& first = *t.rows[0];
      const bool same = first.at("protocol") == r->at("protocol") && ((source(first) == source(*r) && target(first) == target(*r)) ||
                                                                    (source(first) == target(*r) && target(first) == source(*r)));
      if (same && start_of(*r) <= t.end + gap) into = &t;
    }
    if (into == nullptr) into = &talks.emplace_back();
    into->rows.push_back(r);
    into->end = std::max(into->rows.size() == 1 ? INT64_MIN : into->end, end_of(*r));
  }
  std::vector<Row> out;
  for (const Talk& talk : talks) {
    const Row& first = *talk.rows[0];
    const End one = std::min(source(first), target(first)), two = std::max(source(first), target(first));
    struct Sum {
      std::optional<Integer> bytes, packets;
      bool syn = false, spoke = false;
      int64_t start = INT64_MAX;
    };
    std::map<End, Sum> sums{{one, {}}, {two, {}}};
    bool sampled = false;
    for (const Row* r : talk.rows) {
      Sum& s = sums[source(*r)];
      const auto add = [&](std::optional<Integer>& sum, const Value& v) {
        if (!is_null_value(v)) sum = sum.value_or(0) + std::get<Integer>(v);
      };
      add(s.bytes, r->at("bytes"));
      add(s.packets, r->at("packets"));
      if (!is_null_value(r->at("tcp_flags"))) {
        const Integer f = std::get<Integer>(r->at("tcp_flags"));
        s.syn = s.syn || (f % 4 >= 2 && f % 32 < 16);
      }
      s.spoke = true;
      s.start = std::min(s.start, start_of(*r));
      sampled = sampled || (!is_null_value(r->at("sampling_rate")) && std::get<Integer>(r->at("sampling_rate")) > 1);
    }
    for (const auto& [a, b] : {std::pair{one, two}, {two, one}})
      if (!sums[a].spoke) {
        if (sums[b].bytes) sums[a].bytes = 0;
        if (sums[b].packets) sums[a].packets = 0;
      }
    End began = one;
    std::string rule = "address";
    if (sums[one].syn != sums[two].syn)
      began = sums[one].syn ? one : two, rule = "syn";
    else if (!sampled && sums[one].spoke && sums[two].spoke && sums[one].start != sums[two].start)
      began = sums[one].start < sums[two].start ? one : two, rule = "start";
    else if (!is_null_value(one.second) && !is_null_value(two.second) && one.second != two.second)
      began = one.second > two.second ? one : two, rule = "port";
    else if (sums[one].spoke != sums[two].spoke)
      began = sums[one].spoke ? one : two, rule = "start";
    const End answered = began == one ? two : one;
    const auto value = [](std::optional<Integer> v) { return v ? Value(*v) : Value(Null{}); };
    int64_t start = INT64_MAX;
    for (const Row* r : talk.rows) start = std::min(start, start_of(*r));
    out.push_back({{"src_ip", began.first},
                   {"src_port", began.second},
                   {"dst_ip", answered.first},
                   {"dst_port", answered.second},
                   {"protocol", first.at("protocol")},
                   {"flow_start", Time{start}},
                   {"flow_end", Time{talk.end}},
                   {"bytes", value(sums[began].bytes)},
                   {"packets", value(sums[began].packets)},
                   {"reverse_bytes", value(sums[answered].bytes)},
                   {"reverse_packets", value(sums[answered].packets)},
                   {"flows", static_cast<Integer>(talk.rows.size())},
                   {"began_by", rule}});
  }
  rows = std::move(out);
  columns.clear();
  for (const char* c : {"src_ip", "src_port", "dst_ip", "dst_port", "protocol", "flow_start", "flow_end", "bytes", "packets", "reverse_bytes", "reverse_packets", "flows", "began_by"})
    columns.emplace_back(c);
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

// Only of counts and sums, where a bin without rows is zero.
void baseline(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  const g::ExprPtr aggregate = *args.expression();
  args.word("as");
  const std::string name = args.name()->text();
  std::vector<g::ExprPtr> keys;
  if (args.word("by")) keys = args.expressions();
  args.word("every");
  const int64_t every = span_of(*args.duration());
  args.word("over");
  const int64_t over = span_of(*args.duration());
  int64_t season = 0;
  Integer least = 5;
  if (args.word("seasonal")) season = span_of(*args.duration());
  if (args.word("min")) least = count_of(*args.count());
  const int64_t end = world.bounds.from / every * every, begin = end - (over + every - 1) / every * every;
  const auto names = names_of(keys);
  const auto series = [&](TimeBounds bounds) {
    g::Query q = before(world);
    g::StatsStage stats;
    const g::ExprPtr width(g::Expr{g::DurationLiteral{every, {}}, {}});
    stats.keys.push_back({g::Name{{"ts"}, true, {}}, g::ExprPtr(g::Expr{g::Call{g::Name{{"bin"}, false, {}}, {width}}, {}}), {}});
    for (const auto& k : keys) stats.keys.push_back({std::nullopt, k, {}});
    stats.aggregates.push_back({g::Name{{name}, true, {}}, aggregate, {}});
    q.stages.push_back({g::Keyword{"stats", {}}, stats, {}});
    return world.ask(q, bounds);
  };
  const Table now = series(world.bounds), past = series({begin, end});
  rows.clear();
  for (const auto& row : now.rows) {
    const std::vector<Value> key(row.begin() + 1, row.begin() + 1 + static_cast<ptrdiff_t>(keys.size()));
    std::map<int64_t, Value> had;
    for (const auto& p : past.rows)
      if (std::vector<Value>(p.begin() + 1, p.begin() + 1 + static_cast<ptrdiff_t>(keys.size())) == key) had[time_of(p[0])] = p.back();
    std::vector<double> samples;
    if (!had.empty())
      for (int64_t bin = had.begin()->first; bin < end; bin += every) {
        if (season != 0) {
          const int64_t away = ((time_of(row[0]) - bin) % season + season) % season;
          if (away != 0 && away != every && away != season - every) continue;
        }
        const auto it = had.find(bin);
        if (it == had.end())
          samples.push_back(0);
        else if (!is_null_value(it->second))
          samples.push_back(static_cast<double>(std::get<Integer>(it->second)));
        else
          samples.push_back(0);
      }
    Row out;
    out["ts"] = row[0];
    for (size_t k = 0; k < names.size(); ++k) out[names[k]] = key[k];
    out[name] = row.back();
    out["samples"] = static_cast<Integer>(samples.size());
    out["expected"] = out["deviation"] = out["score"] = Null{};
    if (static_cast<Integer>(samples.size()) >= least) {
      const double expected = median(samples);
      std::vector<double> away;
      for (double s : samples) away.push_back(std::fabs(s - expected));
      double deviation = 1.4826 * median(away);
      if (deviation == 0) deviation = 1.2533 * std::accumulate(away.begin(), away.end(), 0.0) / static_cast<double>(away.size());
      if (deviation == 0) deviation = std::max(1.0, std::fabs(expected) / 20);
      out["expected"] = expected;
      out["deviation"] = deviation;
      if (!is_null_value(row.back())) out["score"] = (static_cast<double>(std::get<Integer>(row.back())) - expected) / deviation;
    }
    rows.push_back(std::move(out));
  }
  columns = {"ts"};
  columns.insert(columns.end(), names.begin(), names.end());
  for (const std::string& c : {name, std::string("expected"), std::string("deviation"), std::string("score"), std::string("samples")}) columns.push_back(c);
}

// What names the rows of a key: of one that is null too.
using Groups = std::map<std::vector<Value>, std::vector<const Row*>>;
Groups groups_of(const std::vector<g::ExprPtr>& keys, const StageWorld& world, const std::vector<Row>& rows) {
  Groups groups;
  for (const Row& r : rows) groups[key_of(keys, r, world)].push_back(&r);
  return groups;
}

void absent(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  const auto keys = args.expressions();
  args.word("for");
  const int64_t silence = span_of(*args.duration());
  const g::Query* expected = nullptr;
  if (args.words({"expected", "by"})) expected = args.subquery();
  const auto all = grammar::parse("stats clock = max(flow_end) by source, exporter_ip");
  const Table clocks = world.ask(*std::get<g::Statement>(all).as<g::Query>(), world.bounds);
  int64_t latest = INT64_MIN;
  for (const auto& c : clocks.rows) latest = std::max(latest, time_of(c[2]));
  const auto clock_of = [&](const Row& r) {
    for (const auto& c : clocks.rows)
      if (c[0] == r.at("source") && c[1] == r.at("exporter_ip")) return time_of(c[2]);
    throw std::runtime_error("a row without a clock");
  };
  Groups groups = groups_of(keys, world, rows);
  if (expected != nullptr) {
    Groups wanted;
    const Table theirs = world.ask(*expected, world.bounds);
    for (const auto& key : theirs.rows) {
      const auto it = groups.find(key);
      wanted[key] = it == groups.end() ? std::vector<const Row*>() : it->second;
    }
    groups = std::move(wanted);
  }
  std::vector<Row> out;
  columns = names_of(keys);
  for (const auto& [key, members] : groups) {
    Row row;
    for (size_t k = 0; k < key.size(); ++k) row[columns[k]] = key[k];
    std::pair<int64_t, int64_t> last{INT64_MIN, INT64_MIN};  // when, and by whose clock
    for (const Row* r : members) last = std::max(last, {end_of(*r), clock_of(*r)});
    const int64_t silent = members.empty() ? latest - world.bounds.from : last.second - last.first;
    if (clocks.rows.empty() || silent < silence) continue;
    row["last_seen"] = members.empty() ? Value(Null{}) : Value(Time{last.first});
    row["silent_for"] = Span{silent};
    row["flows"] = static_cast<Integer>(members.size());
    out.push_back(std::move(row));
  }
  rows = std::move(out);
  for (const char* c : {"last_seen", "silent_for", "flows"}) columns.emplace_back(c);
}

// Of what stands behind `stats AGG, … by KEY, …` with or without conditions behind it.
void compare(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  args.word("to");
  const int64_t period = span_of(*args.duration());
  g::Query then = before(world);
  const g::StatsStage* stats = nullptr;
  while (stats == nullptr) {
    stats = then.stages.back().as<g::StatsStage>();
    if (stats == nullptr) {
      if (!then.stages.back().as<g::WhereStage>()) throw std::runtime_error("the oracle compares what stands right behind stats, or conditions behind it");
      then.stages.pop_back();
    }
  }
  const size_t keys = stats->keys.size();
  const Table past = world.ask(then, {world.bounds.from - period, world.bounds.to - period});
  const auto number = [](const Value& v) { return std::holds_alternative<Integer>(v) ? static_cast<double>(std::get<Integer>(v)) : std::get<double>(v); };
  for (Row& row : rows) {
    std::vector<Value> key;
    for (size_t k = 0; k < keys; ++k) {
      key.push_back(row.at(columns[k]));
      if (const auto* t = std::get_if<Time>(&key.back())) key.back() = Time{t->ns - period};
    }
    const auto at = std::find_if(past.rows.begin(), past.rows.end(), [&](const auto& p) { return std::equal(key.begin(), key.end(), p.begin()); });
    for (size_t c = keys; c < columns.size(); ++c) {
      const Value now = row.at(columns[c]), was = at == past.rows.end() ? Value(Null{}) : (*at)[c];
      row[columns[c] + "_prev"] = was;
      row[columns[c] + "_change"] = is_null_value(now) || is_null_value(was) || number(was) == 0 ? Value(Null{}) : Value((number(now) - number(was)) / number(was));
    }
  }
  const std::vector<std::string> before_them = columns;
  for (size_t c = keys; c < before_them.size(); ++c)
    for (const char* end : {"_prev", "_change"}) columns.push_back(before_them[c] + end);
}

double mad(const std::vector<double>& v) {
  std::vector<double> away;
  for (double x : v) away.push_back(std::fabs(x - median(v)));
  return median(away);
}

double thousandths(double v) { return std::floor(v * 1000 + 0.5) / 1000; }

// Half of how even the quartiles lie and how near the values are to their median.
double regular(std::vector<double> v, double mad_of_small) {
  std::sort(v.begin(), v.end());
  const auto half = static_cast<ptrdiff_t>(v.size() / 2);
  const double q1 = median({v.begin(), v.begin() + half}), q2 = median(v), q3 = median({v.end() - half, v.end()});
  const double skew = q3 - q1 < 10 || q2 == q1 || q2 == q3 ? 1 : 1 - std::fabs((q1 + q3 - 2 * q2) / (q3 - q1));
  const double near = q2 < 1 ? mad_of_small : std::max(0.0, (q2 - mad(v)) / q2);
  return thousandths((skew + near) / 2);
}

void beacons(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  args.word("by");
  const auto keys = args.expressions();
  Integer least = 20;
  if (args.word("min")) least = count_of(*args.count());
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t from = world.bounds.from / kSecond, to = world.bounds.to / kSecond;
  std::vector<Row> out;
  columns = names_of(keys);
  for (const auto& [key, members] : groups_of(keys, world, rows)) {
    if (static_cast<Integer>(members.size()) < least) continue;
    std::vector<int64_t> times;
    std::vector<double> sizes, intervals;
    for (const Row* r : members) {
      times.push_back(time_of(is_null_value(r->at("flow_start")) ? r->at("flow_end") : r->at("flow_start")) / kSecond);
      if (!is_null_value(r->at("bytes"))) sizes.push_back(static_cast<double>(std::get<Integer>(r->at("bytes"))));
    }
    std::sort(times.begin(), times.end());
    for (size_t i = 1; i < times.size(); ++i)
      if (times[i] != times[i - 1]) intervals.push_back(static_cast<double>(times[i] - times[i - 1]));
    Row row;
    for (size_t k = 0; k < key.size(); ++k) row[columns[k]] = key[k];
    row["connections"] = static_cast<Integer>(members.size());
    for (const char* c : {"times_score", "sizes_score", "histogram_score", "duration_score", "score"}) row[c] = 0.0;
    if (intervals.size() >= 3 && sizes.size() >= 3) {
      const double of_times = regular(intervals, 1), of_sizes = regular(sizes, 0);
      std::vector<double> bars;
      for (int b = 0; b < 24; ++b)
        bars.push_back(static_cast<double>(std::count_if(times.begin(), times.end(), [&](int64_t t) {
          const double at = std::clamp(static_cast<double>(t - from) * 24 / static_cast<double>(to - from), 0.0, 23.5);
          return at >= b && at < b + 1;
        })));
      const double mean = static_cast<double>(times.size()) / 24, highest = *std::max_element(bars.begin(), bars.end());
      double variance = 0;
      for (double b : bars) variance += (b - mean) * (b - mean) / 24;
      const double cv = std::sqrt(variance) / mean, even = cv > 1 ? 0 : thousandths(1 - cv);
      const auto filled = std::count_if(bars.begin(), bars.end(), [](double b) { return b > 0; });
      double modes = 0;
      if (filled >= 11) {
        std::map<double, int> heights;
        for (double b : bars)
          if (b > 0) ++heights[std::floor(b / std::ceil(highest * 0.05))];
        std::vector<int> often;
        for (const auto& [height, n] : heights) often.push_back(n);
        std::sort(often.rbegin(), often.rend());
        often.push_back(0);
        modes = std::min(1.0, thousandths(static_cast<double>(often[0] + often[1]) / static_cast<double>(filled - 1)));
      }
      int longest = 0;
      for (size_t b = 0; b < 24; ++b) {
        int run = 0;
        while (run < 24 && bars[(b + static_cast<size_t>(run)) % 24] > 0) ++run;
        longest = std::max(longest, run);
      }
      const auto up = [](double v) { return std::min(1.0, std::ceil(v * 1000) / 1000); };
      const double lasting = filled < 6 ? 0 : std::max(up(static_cast<double>(times.back() - times.front()) / static_cast<double>(to - from)), up(longest / 12.0));
      row["times_score"] = of_times;
      row["sizes_score"] = of_sizes;
      row["histogram_score"] = std::max(even, modes);
      row["duration_score"] = lasting;
      row["score"] = thousandths((of_times + of_sizes + std::max(even, modes) + lasting) / 4);
    }
    out.push_back(std::move(row));
  }
  rows = std::move(out);
  for (const char* c : {"score", "connections", "times_score", "sizes_score", "histogram_score", "duration_score"}) columns.emplace_back(c);
}

// Every row of the table is asked for every row.
void lookup(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  const std::vector<TableRow>& table = world.beside->tables.at(args.name()->text());
  args.word("on");
  const g::ExprPtr key = *args.expression();
  std::optional<g::ExprPtr> moment;
  std::string prefix;
  if (args.words({"as", "of"})) moment = args.expression();
  if (args.word("prefix")) prefix = args.name()->text();
  for (Row& row : rows) {
    const Value ip = world.value(key, row), at = moment ? world.value(*moment, row) : Value(Time{world.beside->now});
    const TableRow* best = nullptr;
    for (const TableRow& t : table) {
      if (is_null_value(ip) || is_null_value(at) || time_of(at) < t.from || time_of(at) >= t.to) continue;
      const IpAddress& address = std::get<IpAddress>(ip);
      if (address < t.first || t.last < address) continue;
      // Blocks that hold one address hold each other; of equals the last.
      if (best == nullptr || !(t.first < best->first || best->last < t.last)) best = &t;
    }
    for (const auto& [name, value] : table.front().values) row[prefix + name] = best != nullptr ? best->values.at(name) : Value(Null{});
  }
  if (!columns.empty())
    for (const auto& [name, value] : table.front().values) columns.push_back(prefix + name);
}

void sessions(g::StageArgs& args, const StageWorld& world, std::vector<Row>& rows) {
  args.word("by");
  std::vector<g::NamedExpr> keys;
  for (const auto& k : args.expressions()) keys.push_back({std::nullopt, k, {}});
  args.word("gap");
  mark_sessions(keys, span_of(*args.duration()), false, world, rows);
}

}  // namespace

// Each row looks for the one before it, and so back to where its run began.
void mark_sessions(const std::vector<g::NamedExpr>& keys, int64_t gap, bool cut, const StageWorld& world, std::vector<Row>& rows) {
  constexpr int64_t kHalfDay = 12ll * 3600 * 1'000'000'000;
  std::vector<g::ExprPtr> expressions;
  for (const auto& k : keys) expressions.push_back(k.value);
  for (auto& [key, members] : groups_of(expressions, world, rows)) {
    std::vector<int64_t> times;
    for (const Row* r : members) times.push_back(end_of(*r));
    std::sort(times.begin(), times.end());
    for (const Row* r : members) {
      // Back to where the run began, then forward over its cuts: the first half day after it has lasted one, and each after that.
      auto at = std::upper_bound(times.begin(), times.end(), end_of(*r)) - 1;
      while (at != times.begin() && *at - *(at - 1) <= gap) --at;
      int64_t began = *at;
      if (cut)
        for (int64_t edge = (began + kHalfDay + kHalfDay - 1) / kHalfDay * kHalfDay; edge <= end_of(*r); edge += kHalfDay)
          if (const auto first = std::lower_bound(times.begin(), times.end(), edge); *first <= end_of(*r)) began = *first;
      const_cast<Row*>(r)->insert_or_assign("session", Time{began});
    }
  }
}

bool apply_stage(const g::Stage& stage, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns) {
  if (!stage.as<g::GenericStage>()) return false;
  g::StageArgs args(stage);
  const std::string& name = stage.name.text;
  if (name == "dedup")
    dedup(args, world, rows);
  else if (name == "join")
    join(args, world, rows, columns);
  else if (name == "first_seen")
    first_seen(args, world, rows);
  else if (name == "sequence")
    sequence(args, world, rows, columns);
  else if (name == "reach")
    reach(args, world, rows, columns);
  else if (name == "stitch")
    stitch(args, rows, columns);
  else if (name == "baseline")
    baseline(args, world, rows, columns);
  else if (name == "absent")
    absent(args, world, rows, columns);
  else if (name == "compare")
    compare(args, world, rows, columns);
  else if (name == "beacons")
    beacons(args, world, rows, columns);
  else if (name == "lookup")
    lookup(args, world, rows, columns);
  else if (name == "sessions")
    sessions(args, world, rows);
  else
    return false;
  return true;
}

}  // namespace sluice::oracle
