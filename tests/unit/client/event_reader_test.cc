#include "client/repl/event_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::client {
namespace {

// "name|data|id" of each event, the text cut into pieces of so many bytes.
std::vector<std::string> events_of(std::string_view text, size_t piece, size_t most = 1000) {
  EventReader reader(most);
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size(); i += piece)
    if (!reader.read(text.substr(i, piece), [&](const StreamEvent& e) {
          out.push_back(e.name + "|" + e.data + "|" + e.id);
          return true;
        })) {
      out.push_back("failed");
      break;
    }
  return out;
}

TEST(EventReader, ReadsEventsHoweverTheyAreCut) {
  const std::string text =
      "\xef\xbb\xbf: a comment\nevent: rows\nid: 7\ndata: {\"rows\":[]}\n\n"
      "data:two\r\ndata:  lines\r\n\r\n"
      "event: nothing\n\n"            // without data it is none
      "id\rdata: x\r\revent: y\ndata\n\n"
      "data: without an end";
  const std::vector<std::string> expected{"rows|{\"rows\":[]}|7", "message|two\n lines|7", "message|x|", "y||"};
  for (size_t piece = 1; piece <= text.size(); ++piece) EXPECT_EQ(events_of(text, piece), expected) << piece;
}

TEST(EventReader, AnEventHasABound) {
  for (const size_t piece : {1u, 7u, 5000u}) {
    EXPECT_EQ(events_of("data: " + std::string(94, 'x') + "\n\n", piece, 100).size(), 1u);
    EXPECT_EQ(events_of("data: " + std::string(95, 'x') + "\n\n", piece, 100), (std::vector<std::string>{"failed"}));
    // Many short lines of one event count together.
    std::string many;
    for (int i = 0; i < 50; ++i) many += "data: xxxx\n";
    EXPECT_EQ(events_of(many, piece, 100), (std::vector<std::string>{"failed"}));
  }
  EXPECT_EQ(events_of("data: 1\n\ndata: 2\n\n", 100, 10), (std::vector<std::string>{"message|1|", "message|2|"}));
}

TEST(EventReader, StopsWhereItIsToldTo) {
  EventReader reader(100);
  int seen = 0;
  EXPECT_FALSE(reader.read("data: 1\n\ndata: 2\n\n", [&](const StreamEvent&) { return ++seen < 1; }));
  EXPECT_EQ(seen, 1);
}

}  // namespace
}  // namespace sluice::client
