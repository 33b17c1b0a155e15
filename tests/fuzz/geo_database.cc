// Databases of places (.mmdb): an operator's file, read by libmaxminddb. The first byte says as which of the two it is opened; addresses
// that are asked for are fixed ones and bytes of the file.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "server/geo_keeper.h"
#include "server/limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size == 0) return 0;
  const bool is_asn = data[0] & 1;
  ++data, --size;
  const int fd = memfd_create("geo-fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) __builtin_trap();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  ManualClock clock(kSecond);
  auto keeper = server::GeoKeeper::open(is_asn ? "" : path, is_asn ? path : "", clock);
  close(fd);
  if (!keeper.ok()) {
    if (keeper.error().message.empty()) __builtin_trap();
    return 0;
  }
  const auto book = (*keeper)->book();
  const auto ask = [&](const IpAddress& ip) {
    for (const auto& text : {book->country(ip), book->as_name(ip)})
      if (text && (text->empty() || text->size() > limits::kGeoTextBytesMax || std::string(*text).size() != text->size())) __builtin_trap();
    (void)book->as_number(ip);
  };
  for (const char* ip : {"0.0.0.0", "10.1.2.3", "192.0.2.200", "255.255.255.255", "::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) ask(*parse_ip(ip));
  for (size_t at = 0; at + 16 <= size && at < 512; at += 16) {
    IpAddress ip{};
    std::memcpy(ip.bytes.data(), data + at, 16);
    ask(ip);
  }
  return 0;
}
