// parse(print(tree)) == tree for texts nobody thought of: grammar-shaped ones, and the same with words thrown about.
#include <gtest/gtest.h>

#include <random>

#include "grammar/parse.h"
#include "grammar/print.h"

namespace sluice::grammar {
namespace {

class Texts {
 public:
  explicit Texts(uint64_t seed) : random_(seed) {}

  std::string statement() {
    switch (below(12)) {
      case 0:
        return "explain " + query(2);
      case 1:
        return "show columns" + stages(2);
      case 2:
        return "create rule r severity high tags (a, 'b') as " + query(2) + " alert by " + keys(1) + " suppress 1h";
      default:
        return query(3);
    }
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  std::string pick(std::initializer_list<const char*> words) { return *(words.begin() + below(words.size())); }

  std::string name() {
    return pick({"src_ip", "bytes", "end", "last", "in", "by", "where", "source.ip", "extra.\"weird name\"", "`a b`", "`end`",
                 "Top", "active", "has", "limit", "at", "between", "from", "tcp", "S", "is_null", "and1", "`not`", "on"});
  }
  std::string literal() {
    return pick({"1", "0x1F", "1_000", "1.5", "2e3", "15m", "1h30m", "10KB", "1.5GiB", "50Mbps", "10.0.0.1", "fe80::1",
                 "::ffff:1.2.3.4", "10.0.0.0/8", "::/0", "::ffff:0:0/90", "10.0.0.5-10.0.0.9", "00:1b:21:3c:9d:f8", "2026-11-20",
                 "2026-11-20T08:14:01.5+02:00", "'it\\'s'", "\"\\u{e9}\\n\"", "true", "null", "$p", "/a\\/b[0-9]/i"});
  }
  std::string expr(int depth) {
    if (depth <= 0) return below(2) ? name() : literal();
    const auto sub = [&] { return expr(depth - 1); };
    switch (below(16)) {
      case 0:
        return sub() + " and " + sub();
      case 1:
        return sub() + " or " + sub();
      case 2:
        return "not " + sub();
      case 3:
        return "(" + sub() + ")";
      case 4:
        return "-" + sub();
      case 5:
        return sub() + pick({" + ", " - ", " * ", " / ", " % "}) + sub();
      case 6:
        return pick({"sum", "if", "in", "last", "count"}) + "(" + (below(4) ? sub() + (below(2) ? ", " + sub() : "") : "") + ")";
      case 7:
        return sub() + pick({" in (", " not in ("}) + sub() + ", 5-9, @tor)";
      case 8:
        return sub() + " between " + sub() + " and " + sub();
      case 9:
        return sub() + pick({" is null", " is not null", " == null"});
      case 10:
        return sub() + " in " + pick({"10.0.0.0/8", "1024-65535", "@tor", "$l", "10.0.0.1-10.0.0.2"});
      default:
        return sub() + pick({" == ", " = ", " != ", " <= ", " has ", " contains ", " not contains ", " =~ ", " !~ "}) + sub();
    }
  }
  std::string keys(int depth) {
    std::string text = below(3) ? expr(depth) : name() + " = " + expr(depth);
    if (below(2)) text += ", " + expr(depth);
    return text;
  }
  std::string stage(int depth) {
    switch (below(16)) {
      case 0:
        return "extend a = " + expr(depth) + ", " + name() + " = " + expr(depth);
      case 1:
        return "select " + keys(depth);
      case 2:
        return "drop " + name() + ", " + name();
      case 3:
        return "rename " + name() + " = " + name();
      case 4:
        return "stats " + keys(depth) + " by " + keys(depth) + pick({"", " window 5m", " window 5m slide 1m", " window session gap 5m"});
      case 5:
        return "top 5 " + keys(depth) + " by " + keys(depth) + pick({"", " with others"});
      case 6:
        return "timeseries " + keys(depth) + " every 1m" + pick({"", " by x", " limit 5", " fill null", " fill -1", " spread"});
      case 7:
        return "sort " + expr(depth) + pick({"", " desc", " asc", " desc nulls last"}) + ", " + expr(depth);
      case 8:
        return pick({"limit 5", "tail $n", "sample 0.5", "distinct"});
      case 9:
        return "join left (" + query(depth - 1) + ") on " + name() + ", " + name();
      case 10:
        return pick({"lookup assets on src_ip as of ts", "stitch within 5m", "dedup", "first_seen a, b lookback 14d"});
      case 11:
        return "sequence by " + name() + " within 10m [" + expr(depth) + " count() > 5] then [" + expr(depth) + "]";
      case 12:
        return "baseline " + expr(depth) + " by " + name() + " every 1h over 14d";
      default:
        return pick({"where ", ""}) + expr(depth);
    }
  }
  std::string stages(int depth) {
    std::string text;
    for (size_t i = below(4); i > 0; --i) text += " | " + stage(depth);
    return text;
  }
  std::string query(int depth) {
    const std::string time = pick({"", "", " last 5m", " since 2026-11-20", " between $a and now() - 5m", " at $t +/- 5m",
                                   " active between 2026-11-20 and 2026-11-21"});
    switch (below(3)) {
      case 0:
        return "from flows" + time + stages(depth);
      case 1:
        return "from " + name() + " | where " + expr(depth) + stages(depth);
      default:
        return stage(depth) + time + stages(depth);
    }
  }

  std::mt19937_64 random_;
};

void check(std::string_view text, int& accepted) {
  const ParseResult result = parse(text);
  if (const auto* error = std::get_if<SyntaxError>(&result)) {
    EXPECT_FALSE(error->message.empty());
    EXPECT_LE(error->span.end(), text.size()) << text;
    return;
  }
  ++accepted;
  const Statement& tree = std::get<Statement>(result);
  const std::string canonical = print(tree);
  const ParseResult again = parse(canonical);
  if (const auto* error = std::get_if<SyntaxError>(&again)) {
    ADD_FAILURE() << text << "\n" << canonical << "\n" << error->text();
    return;
  }
  EXPECT_TRUE(std::get<Statement>(again) == tree) << text << "\n" << canonical;
  EXPECT_EQ(print(std::get<Statement>(again)), canonical);
}

TEST(Property, PrintedTreesParseToThemselves) {
  int accepted = 0;
  constexpr int kTexts = 4'000;
  for (int seed = 0; seed < kTexts; ++seed) check(Texts(static_cast<uint64_t>(seed)).statement(), accepted);
  std::printf("%d of %d texts accepted\n", accepted, kTexts);
  EXPECT_GT(accepted, kTexts / 5);
}

TEST(Property, AlsoAfterWordsAreThrownAbout) {
  int accepted = 0;
  std::mt19937_64 random(11);
  for (uint64_t seed = 0; seed < 4'000; ++seed) {
    std::string text = Texts(seed).statement();
    for (int edit = 0; edit < 3; ++edit) {
      const size_t at = random() % (text.size() + 1);
      const size_t length = random() % 6;
      if (random() % 2) {
        text.erase(std::min(at, text.size()), length);
      } else {
        text.insert(at, text.substr(random() % (text.size() + 1), length));
      }
    }
    check(text, accepted);
  }
  std::printf("%d accepted\n", accepted);
  EXPECT_GT(accepted, 40);
}

}  // namespace
}  // namespace sluice::grammar
