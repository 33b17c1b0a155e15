// The console's page: the files of server/console/page, which client/console builds and which are compiled into the server, so that it
// serves its page wherever it runs and needs nobody's network for it.
//
// Thread rule: constants, any thread.
#pragma once

#include <span>
#include <string_view>

namespace sluice::console {

struct PageFile {
  std::string_view path;          // of the URL: "/", "/console/main-3F9A….js"
  std::string_view content_type;
  std::string_view bytes;
  std::string_view gzip;          // the same, compressed at build time
  std::string_view etag;          // with quotes; made of the bytes
  bool is_named_by_content;       // its name changes with its bytes, so whoever has it may keep it
};

// All of them; the one at "/" is first.
std::span<const PageFile> page_files();

}  // namespace sluice::console
