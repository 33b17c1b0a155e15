// The library in rules/: every rule compiles, says what people need to know of it, and its examples hold.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "grammar/parse.h"
#include "query/continuous/example.h"
#include "query/continuous/rule_template.h"
#include "query/watch_list.h"
#include "tests/sanitizer.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

struct Entry {
  std::string file, name;
  RulePtr rule;
};

std::vector<Entry> compiled_library() {
  std::vector<Entry> out;
  CompileOptions options;
  options.any_list = true;
  for (const auto& file : std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/rules")) {
    if (file.path().extension() != ".flowql") continue;
    std::ifstream in(file.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto parsed = grammar::parse_script(text);
    if (const auto* error = std::get_if<grammar::SyntaxError>(&parsed)) {
      ADD_FAILURE() << file.path() << ": " << error->text();
      continue;
    }
    for (const auto& statement : std::get<std::vector<grammar::Statement>>(parsed)) {
      const auto* create = statement.as<grammar::CreateRule>();
      if (statement.as<grammar::CreateList>()) continue;
      if (!create) {
        ADD_FAILURE() << file.path() << ": a statement that makes no rule and no list";
        continue;
      }
      auto compiled = compile_rules(*create, text, options);
      if (const auto* error = std::get_if<QueryError>(&compiled)) {
        ADD_FAILURE() << file.path() << ": " << create->name.text() << ": " << error->message << " " << error->hint << "\n" << error->caret;
        continue;
      }
      for (const RulePtr& rule : std::get<std::vector<RulePtr>>(compiled)) out.push_back({file.path().filename().string(), rule->name, rule});
    }
  }
  return out;
}

const std::vector<Entry>& library() {
  static const std::vector<Entry> kLibrary = compiled_library();
  return kLibrary;
}

// Rules whose examples are run: all; under AddressSanitizer, where they take minutes, some of each file, since the release run has them all twice
// (app_rule_library has them in a server).
std::vector<Entry> tried() {
  constexpr size_t kEach = kAddressSanitizer ? 9 : 1;
  std::vector<Entry> out;
  std::map<std::string, size_t> of_file;
  for (const Entry& entry : library())
    if (of_file[entry.file]++ % kEach == 0) out.push_back(entry);
  return out;
}

TEST(Library, EveryRuleSaysWhatPeopleNeed) {
  std::set<std::string> names;
  const auto& rules = library();
  EXPECT_GE(rules.size(), 200u);
  for (const auto& [file, name, rule] : rules) {
    EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    EXPECT_FALSE(rule->description.empty()) << name;
    EXPECT_FALSE(rule->false_positives.empty()) << name;
    EXPECT_FALSE(rule->needs.empty()) << name;
    EXPECT_FALSE(rule->tags.empty()) << name;
    EXPECT_FALSE(rule->message.empty()) << name;
    ASSERT_FALSE(rule->techniques.empty()) << name;
    for (const auto& t : rule->techniques) EXPECT_TRUE(t.size() >= 5 && t[0] == 'T' && t.find_first_not_of("0123456789.", 1) == std::string::npos) << name << " " << t;
    // What no column says; docs/detections.md has what they mean and which sources lack them.
    static const std::set<std::string> kWords = {"all_flags", "flow_totals", "icmp", "unsampled", "connection_times"};
    for (const auto& need : rule->needs) EXPECT_TRUE(find_column(need) || kWords.contains(need)) << name << " needs " << need;
    EXPECT_FALSE(rule->fires.empty()) << name;
    EXPECT_FALSE(rule->quiet.empty()) << name;
    EXPECT_GT(rule->suppress, 0) << name << " may alert again and again";
  }
}

TEST(Library, ExamplesHold) {
  for (const auto& [file, name, rule] : tried())
    for (const auto& result : run_examples(rule))
      EXPECT_TRUE(result.passed) << file << " " << name << (result.must_fire ? " must alert for: " : " must not alert for: ") << result.text << "\n"
                                 << result.alerts << " alerts; " << result.detail;
}

class CountSink final : public ResultSink {
 public:
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch& batch) override {
    rows += batch.rows;
    return {};
  }
  size_t rows = 0;
};

// An example's flows, and the lists that it names ("@bad = 10.0.0.1, 10.0.0.2; 1 flow …").
std::pair<std::string, std::shared_ptr<const ListBook>> without_lists(const std::string& example) {
  std::string flows;
  std::shared_ptr<const ListBook> lists = std::make_shared<ListBook>();
  std::istringstream parts(example);
  for (std::string part; std::getline(parts, part, ';');) {
    const size_t at = part.find_first_not_of(' '), equal = part.find('=');
    if (part[at] != '@') {
      flows += (flows.empty() ? "" : ";") + part;
      continue;
    }
    std::string name = part.substr(at + 1, equal - at - 1);
    name.erase(name.find_last_not_of(' ') + 1);
    std::vector<std::string> items;
    std::istringstream rest(part.substr(equal + 1));
    for (std::string item; std::getline(rest, item, ',');) {
      item.erase(0, item.find_first_not_of(' '));
      item.erase(item.find_last_not_of(' ') + 1);
      items.push_back(item);
    }
    auto list = make_watch_list(name, items);
    if (list.ok()) lists = lists->with(std::make_shared<WatchList>(std::move(*list)));
  }
  return {flows, lists};
}

// What an alert is told with is a query that anybody can ask, who knows nothing of the rule and its parameters.
TEST(Library, AlertsShowTheirFlows) {
  for (const auto& [file, name, rule] : tried()) {
    SCOPED_TRACE(file + " " + name);
    const auto alerts = run_example(rule, rule->fires.front());
    auto [flows_text, lists] = without_lists(rule->fires.front());
    for (const std::string& list : rule->lists)  // those that the example does not name are empty
      if (!lists->find(list)) lists = lists->with(std::make_shared<WatchList>(make_watch_list(list, {}).value()));
    auto flows = example_flows(flows_text);
    ASSERT_TRUE(alerts.ok() && flows.ok());
    ASSERT_FALSE(alerts->empty());
    store::Snapshot snapshot;
    snapshot.open = std::move(*flows);
    Over over(snapshot, kTimestampMax / 2);
    over.context.lists = lists;
    QueryRequest request;
    request.text = alerts->front().query;
    request.limits.timeout = 0;
    CountSink sink;
    QuerySummary summary;
    const auto error = run(request, over.context, sink, summary);
    EXPECT_FALSE(error) << error->message << "\n" << error->caret;
    EXPECT_GT(sink.rows, 0u) << request.text;
  }
}

// Values as a rule has them, and text in which a dollar is only that.
TEST(Library, ParametersBecomeValuesInTheQueryOfFlows) {
  const std::string text =
      "create rule r parameters (\"ports=22,2222\", \"net=10.0.0.0/8\", \"least=100\", \"odd=a b\\\"c\") as from flows | where dst_port in $ports and src_ip in $net and dst_port in (80, $ports) "
      "| where bytes >= $least and src_host != '$net' and app != $odd | stats n = count() by src_ip window 1m | where n > 0 alert by src_ip";
  const auto parsed = grammar::parse(text);
  const auto compiled = compile_rule(*std::get<grammar::Statement>(parsed).as<grammar::CreateRule>(), text);
  ASSERT_TRUE(std::holds_alternative<RulePtr>(compiled)) << std::get<QueryError>(compiled).message;
  EXPECT_EQ(flows_query(*std::get<RulePtr>(compiled), {"10.0.0.1"}, {0, kSecond}),
            "from flows between 1970-01-01T00:00:00Z and 1970-01-01T00:00:01Z | where dst_port in (22, 2222) and src_ip in 10.0.0.0/8 and dst_port in (80, 22, 2222)"
            " | where bytes >= 100 and src_host != \"$net\" and app != \"a b\\\"c\" | where src_ip == 10.0.0.1");
}

TEST(Examples, AreRead) {
  const auto flows = example_flows("3 flows over 1m src_ip=10.0.0.254.. dst_ip=10.1.0.1..10.1.0.2 dst_port=1|22 proto=tcp tcp_flags=SA; 1 flow at 10s src_ip=::1 bytes=7");
  ASSERT_TRUE(flows.ok()) << flows.error().message;
  size_t rows = 0;
  std::set<std::string> sources, targets;
  for (const auto& b : *flows) {
    rows += b->rows;
    for (size_t i = 0; i < b->rows; ++i) {
      sources.insert(to_string(b->columns[*b->find(ColumnId::src_ip)].ip_at(i)));
      if (const auto at = b->find(ColumnId::dst_ip); at && !b->columns[*at].is_null(i)) targets.insert(to_string(b->columns[*at].ip_at(i)));
    }
  }
  EXPECT_EQ(rows, 4u);
  EXPECT_EQ(sources, (std::set<std::string>{"10.0.0.254", "10.0.0.255", "10.0.1.0", "::1"}));
  EXPECT_EQ(targets, (std::set<std::string>{"10.1.0.1", "10.1.0.2"}));
  EXPECT_EQ(example_flows("100 flows over 2h")->size(), 100u);  // as a server would get them
  EXPECT_EQ(example_flows("100 flows over 2h", kDay)->size(), 1u);
  const auto told = example_flows("1 flow src_mac=00:1b:21:3c:9d:f8 exported_at=5m received_at=-1h reverse_packets=9");
  ASSERT_TRUE(told.ok()) << told.error().message;
  const Batch& row = *told->front();
  const auto at = [&](ColumnId id) { return row.columns[*row.find(id)].uint_at(0); };
  EXPECT_EQ(at(ColumnId::src_mac), 0x001b213c9df8u);
  EXPECT_EQ(at(ColumnId::exported_at) - at(ColumnId::flow_end), static_cast<uint64_t>(5 * kMinute));
  EXPECT_EQ(at(ColumnId::flow_end) - at(ColumnId::received_at), static_cast<uint64_t>(kHour));
  EXPECT_EQ(at(ColumnId::raw_reverse_packets), 9u);
  for (const char* bad : {"1 flow src_mac=zz", "1 flow exported_at=never", "1 flow flow_end=5m", "3 flows colour=red", "3 flows src_ip=300.1.1.1", "3 flows dst_port=70000", "over", "1 flow proto=nothing", "2000000 flows src_ip=10.0.0.1", "1 flow now"})
    EXPECT_FALSE(example_flows(bad).ok()) << bad;
}

}  // namespace
}  // namespace sluice::query::continuous
