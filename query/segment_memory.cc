#include "query/segment_memory.h"

namespace sluice::query {
namespace {

// Of the lists and tables around a part, by estimate.
constexpr size_t kItemBytes = 200;

std::string key_of(const SegmentMemory::Question& q) {
  std::string key = q.text;
  for (const void* book : {q.sampling_rules.get(), q.names.get(), q.geo.get(), q.lists.get(), q.tables.get()})
    key += '\n' + std::to_string(reinterpret_cast<uintptr_t>(book));
  return key;
}

}  // namespace

std::vector<std::shared_ptr<const SegmentPart>> SegmentMemory::find(const Question& question, std::span<const uint64_t> segments) {
  std::vector<std::shared_ptr<const SegmentPart>> out(segments.size());
  const std::string key = key_of(question);
  const std::lock_guard lock(mutex_);
  const auto asked = questions_.find(key);
  if (asked == questions_.end()) return out;
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto at = asked->second.by_segment.find(segments[i]);
    if (at == asked->second.by_segment.end()) continue;
    items_.splice(items_.begin(), items_, at->second);
    ++counts_.hits;
    out[i] = at->second->part;
  }
  return out;
}

void SegmentMemory::keep(const Question& question, uint64_t segment, std::shared_ptr<const SegmentPart> part) {
  std::string key = key_of(question);
  const std::lock_guard lock(mutex_);
  auto asked = questions_.find(key);
  if (asked != questions_.end()) {
    const auto there = asked->second.by_segment.find(segment);
    if (there != asked->second.by_segment.end()) {
      if (there->second->part->groups.groups >= part->groups.groups) return;  // another worker was quicker
      if (part->bytes > limits::kSegmentPartBytesMax) return;
      drop(there->second);
      asked = questions_.find(key);
    }
  }
  // Of a question's first part, its text and key besides.
  const size_t bytes = part->bytes + kItemBytes + (asked == questions_.end() ? 3 * key.size() : 0);
  if (part->bytes > limits::kSegmentPartBytesMax || bytes > bytes_max_) return;
  while (counts_.bytes + bytes > bytes_max_) {
    ++counts_.dropped;
    drop(std::prev(items_.end()));
  }
  asked = questions_.try_emplace(key).first;  // it may have gone with its last part
  if (asked->second.key.empty()) {
    asked->second.question = question;
    asked->second.key = std::move(key);
  }
  items_.push_front({&asked->second, segment, std::move(part), bytes});
  asked->second.by_segment.emplace(segment, items_.begin());
  counts_.bytes += bytes;
  ++counts_.parts;
  ++counts_.kept;
}

void SegmentMemory::drop(std::list<Item>::iterator item) {
  Asked& asked = *item->asked;
  asked.by_segment.erase(item->segment);
  counts_.bytes -= item->bytes;
  --counts_.parts;
  if (asked.by_segment.empty()) questions_.erase(questions_.find(asked.key));
  items_.erase(item);
}

SegmentMemory::Counts SegmentMemory::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace sluice::query
