#include "ingest/receive/prefix_template.h"

#include <array>

#include "ingest/receive/limits.h"

namespace sluice::ingest {
namespace {

struct Part {
  std::string_view name;
  size_t at, length;  // in "2026-11-26T07:00:00Z"
};
constexpr std::array<Part, 4> kParts = {{{"{yyyy}", 0, 4}, {"{mm}", 5, 2}, {"{dd}", 8, 2}, {"{hh}", 11, 2}}};

// Whether a folder's name fits a piece with "*" in it.
bool fits(std::string_view name, std::string_view piece) {
  const size_t star = piece.find('*');
  if (star == std::string_view::npos) return name == piece;
  if (!name.starts_with(piece.substr(0, star))) return false;
  name.remove_prefix(star);
  piece.remove_prefix(star + 1);
  for (size_t skip = 0; skip <= name.size(); ++skip)
    if (fits(name.substr(skip), piece)) return true;
  return false;
}

}  // namespace

Result<PrefixTemplate> PrefixTemplate::parse(std::string_view text) {
  PrefixTemplate out;
  out.text_ = text;
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::invalid_argument, std::string(why) + ": '" + std::string(text.substr(0, 200)) + "'"};
  };
  bool has[kParts.size()] = {};
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '}') return bad("a brace is closed that was not opened");
    if (text[i] != '{') continue;
    size_t known = kParts.size();
    for (size_t p = 0; p < kParts.size(); ++p)
      if (text.substr(i).starts_with(kParts[p].name)) known = p;
    if (known == kParts.size()) return bad("braces hold one of {yyyy}, {mm}, {dd} and {hh}");
    has[known] = true;
    i += kParts[known].name.size() - 1;
  }
  if (has[3] && !has[2]) return bad("{hh} needs {dd} beside it");
  if (has[2] && !has[1]) return bad("{dd} needs {mm} beside it");
  if (has[1] && !has[0]) return bad("{mm} needs {yyyy} beside it");
  out.step_ = has[3] ? kHour : has[0] ? kDay : 0;
  if (const size_t star = text.rfind('*'); star != std::string_view::npos) {
    if (text.find('/', star) == std::string_view::npos) return bad("'*' stands for a folder, so a '/' comes behind it");
    size_t stars = 0;
    for (const char c : text) stars += c == '*';
    if (stars > limits::kBucketStarsMax) return bad("more '*' than " + std::to_string(limits::kBucketStarsMax));
  }
  return out;
}

Result<std::vector<std::string>> PrefixTemplate::over(TimeRange range) const {
  std::vector<std::string> out;
  if (step_ == 0) {
    out.push_back(text_);
    return out;
  }
  if (range.empty()) return out;
  const TimestampNs first = range.from - ((range.from % step_) + step_) % step_;
  if ((range.to - first) / step_ > static_cast<int64_t>(limits::kBucketPeriodsMax))
    return Error{ErrorCode::too_large, "the time to look back over has more than " + std::to_string(limits::kBucketPeriodsMax) + (step_ == kHour ? " hours" : " days")};
  for (TimestampNs time = first; time < range.to; time += step_) {
    const std::string written = format_timestamp(time);
    std::string pattern = text_;
    for (const Part& part : kParts)
      for (size_t at = pattern.find(part.name); at != std::string::npos; at = pattern.find(part.name, at))
        pattern.replace(at, part.name.size(), written, part.at, part.length);
    if (out.empty() || out.back() != pattern) out.push_back(std::move(pattern));  // days of one month are one pattern without {dd}
  }
  return out;
}

Result<std::vector<std::string>> PrefixTemplate::expand(const std::string& pattern, const Folders& folders) {
  std::vector<std::string> patterns = {pattern};
  // Each round replaces the folder name of the first "*" of every pattern.
  while (true) {
    std::vector<std::string> next;
    bool changed = false;
    for (const std::string& p : patterns) {
      const size_t star = p.find('*');
      if (star == std::string::npos) {
        next.push_back(p);
        continue;
      }
      changed = true;
      const size_t begin = p.rfind('/', star) == std::string::npos ? 0 : p.rfind('/', star) + 1;
      const size_t end = p.find('/', star);
      const std::string parent = p.substr(0, begin);
      const std::string_view piece = std::string_view(p).substr(begin, end - begin);
      SLUICE_ASSIGN(const auto found, folders(parent));
      for (const std::string& folder : found) {
        if (!folder.starts_with(parent) || !folder.ends_with('/')) continue;
        const std::string_view name = std::string_view(folder).substr(begin, folder.size() - begin - 1);
        // A name with "*" of its own would be taken for a pattern in the next round.
        if (name.find('*') == std::string_view::npos && fits(name, piece)) next.push_back(folder + p.substr(end + 1));
        if (next.size() > limits::kBucketPrefixesMax)
          return Error{ErrorCode::too_large, "the prefix stands for more than " + std::to_string(limits::kBucketPrefixesMax) + " folders; name more of it"};
      }
    }
    patterns = std::move(next);
    if (!changed) return patterns;
  }
}

}  // namespace sluice::ingest
