#include "server/stream_life.h"

#include <charconv>
#include <random>

namespace sluice::server {

StreamLife::StreamLife() {
  std::random_device random;
  const uint64_t life = random() | uint64_t{random()} << 32;
  char text[16];
  name_.assign(text, std::to_chars(text, text + sizeof text, life, 16).ptr);
}

std::string StreamLife::id(std::initializer_list<uint64_t> numbers) const {
  std::string out = name_;
  for (const uint64_t n : numbers) out += "-" + std::to_string(n);
  return out;
}

std::optional<std::vector<uint64_t>> StreamLife::read(std::string_view id, size_t count) const {
  if (!id.starts_with(name_)) return std::nullopt;
  id.remove_prefix(name_.size());
  std::vector<uint64_t> numbers;
  while (!id.empty()) {
    if (id.front() != '-' || numbers.size() == count) return std::nullopt;
    id.remove_prefix(1);
    uint64_t n = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), n);
    if (error != std::errc()) return std::nullopt;
    id.remove_prefix(static_cast<size_t>(end - id.data()));
    numbers.push_back(n);
  }
  return numbers.size() == count ? std::optional(numbers) : std::nullopt;
}

}  // namespace sluice::server
