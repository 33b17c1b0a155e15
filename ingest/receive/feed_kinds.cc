#include "ingest/receive/feed.h"
#include "ingest/receive/folder_feed.h"

namespace sluice::ingest {
namespace {

constexpr FeedKind kKinds[] = {
    {"folder", "files of a directory, new and growing ones", make_folder_feed},
};

}  // namespace

std::span<const FeedKind> feed_kinds() { return kKinds; }

const FeedKind* find_feed_kind(std::string_view name) {
  for (const FeedKind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

}  // namespace sluice::ingest
