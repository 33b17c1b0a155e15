#include "server/geo_keeper.h"

#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <vector>

#include "server/limits.h"
#include "server/log.h"

namespace sluice::server {
namespace {

struct Descriptor {
  int fd = -1;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

// A copy of the file that nobody else can write to; the library wants a file to map.
Status copy_file(const std::string& path, int to) {
  const Descriptor from(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (from.fd < 0) return Error::from_errno("cannot open the database " + path, errno);
  std::vector<char> buffer(1u << 20);
  size_t total = 0;
  while (true) {
    const ssize_t got = read(from.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("cannot read the database " + path, errno);
    if (got == 0) return {};
    total += static_cast<size_t>(got);
    if (total > limits::kGeoFileBytesMax)
      return Error{ErrorCode::too_large, "the database " + path + " is larger than the limit: " + std::to_string(limits::kGeoFileBytesMax) + " bytes"};
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(to, buffer.data() + done, static_cast<size_t>(got - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return Error::from_errno("no memory for the database " + path, errno);
      done += put;
    }
  }
}

// What is asked of a record.
constexpr const char* kIsoCode[] = {"country", "iso_code", nullptr};
constexpr const char* kRegisteredCode[] = {"registered_country", "iso_code", nullptr};
constexpr const char* kCountryCode[] = {"country_code", nullptr};
constexpr const char* kNumber[] = {"autonomous_system_number", nullptr};
constexpr const char* kNumberText[] = {"asn", nullptr};  // "AS64500"
constexpr const char* kOrganization[] = {"autonomous_system_organization", nullptr};
constexpr const char* kName[] = {"as_name", nullptr};
constexpr const char* const* kMembers[] = {kIsoCode, kRegisteredCode, kCountryCode, kNumber, kNumberText, kOrganization, kName};

}  // namespace

struct GeoKeeper::Database {
  MMDB_s mmdb{};
  ~Database() { MMDB_close(&mmdb); }

  std::optional<MMDB_entry_s> entry(const IpAddress& ip) const {
    int error = MMDB_SUCCESS;
    MMDB_lookup_result_s found{};
    if (ip.is_v4()) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      std::memcpy(&address.sin_addr, ip.bytes.data() + 12, 4);
      found = MMDB_lookup_sockaddr(&mmdb, reinterpret_cast<const sockaddr*>(&address), &error);
    } else {
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      std::memcpy(&address.sin6_addr, ip.bytes.data(), 16);
      found = MMDB_lookup_sockaddr(&mmdb, reinterpret_cast<const sockaddr*>(&address), &error);
    }
    if (error != MMDB_SUCCESS || !found.found_entry) return std::nullopt;
    return found.entry;
  }
  // Every record of the tree, and of every record of data what is asked of it, each once. MMDB_open() looks at the metadata alone: of a file that
  // is cut short or has a bad block, addresses would be silently nowhere.
  bool is_whole() const {
    std::vector<bool> seen(mmdb.data_section_size);
    for (uint32_t i = 0; i < mmdb.metadata.node_count; ++i) {
      MMDB_search_node_s node{};
      if (MMDB_read_node(&mmdb, i, &node) != MMDB_SUCCESS) return false;
      for (const auto& [type, entry] : {std::pair(node.left_record_type, node.left_record_entry), std::pair(node.right_record_type, node.right_record_entry)}) {
        if (type == MMDB_RECORD_TYPE_INVALID) return false;
        if (type != MMDB_RECORD_TYPE_DATA) continue;
        if (entry.offset >= seen.size()) return false;
        if (seen[entry.offset]) continue;
        seen[entry.offset] = true;
        for (const char* const* path : kMembers) {
          MMDB_entry_s start = entry;
          MMDB_entry_data_s data{};
          const int error = MMDB_aget_value(&start, &data, path);
          if (error != MMDB_SUCCESS && error != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR) return false;
        }
      }
    }
    return true;
  }
  static std::optional<std::string_view> text(MMDB_entry_s entry, const char* const* path) {
    MMDB_entry_data_s data{};
    if (MMDB_aget_value(&entry, &data, path) != MMDB_SUCCESS || !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING) return std::nullopt;
    if (data.data_size == 0 || data.data_size > limits::kGeoTextBytesMax) return std::nullopt;
    return std::string_view(data.utf8_string, data.data_size);
  }
};

struct GeoKeeper::Book final : query::GeoBook {
  std::shared_ptr<const Database> countries, networks;

  bool has_countries() const override { return countries != nullptr; }
  bool has_networks() const override { return networks != nullptr; }

  std::optional<std::string_view> country(const IpAddress& ip) const override {
    const auto entry = countries ? countries->entry(ip) : std::nullopt;
    if (!entry) return std::nullopt;
    for (const char* const* path : {kIsoCode, kRegisteredCode, kCountryCode})
      if (const auto code = Database::text(*entry, path)) return code;
    return std::nullopt;
  }
  std::optional<uint32_t> as_number(const IpAddress& ip) const override {
    const auto entry = networks ? networks->entry(ip) : std::nullopt;
    if (!entry) return std::nullopt;
    MMDB_entry_s start = *entry;
    MMDB_entry_data_s data{};
    if (MMDB_aget_value(&start, &data, kNumber) == MMDB_SUCCESS && data.has_data) {
      if (data.type == MMDB_DATA_TYPE_UINT32) return data.uint32;
      if (data.type == MMDB_DATA_TYPE_UINT16) return data.uint16;
    }
    auto text = Database::text(*entry, kNumberText);
    if (!text) return std::nullopt;
    if (text->starts_with("AS")) text->remove_prefix(2);
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    return error == std::errc() && end == text->data() + text->size() ? std::optional(number) : std::nullopt;
  }
  std::optional<std::string_view> as_name(const IpAddress& ip) const override {
    const auto entry = networks ? networks->entry(ip) : std::nullopt;
    if (!entry) return std::nullopt;
    for (const char* const* path : {kOrganization, kName})
      if (const auto name = Database::text(*entry, path)) return name;
    return std::nullopt;
  }
};

Result<GeoKeeper::FileState> GeoKeeper::state_of(const std::string& path) {
  struct stat s{};
  if (stat(path.c_str(), &s) != 0) return Error::from_errno("cannot look at the database " + path, errno);
  if (!S_ISREG(s.st_mode)) return Error{ErrorCode::invalid_argument, "the database " + path + " is not a file"};
  return FileState{static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino), static_cast<uint64_t>(s.st_size), s.st_mtim.tv_sec * kSecond + s.st_mtim.tv_nsec};
}

Status GeoKeeper::load(Watched& file) {
  // Looked at before it is read: a change in between is seen the next time.
  SLUICE_ASSIGN(file.seen, state_of(file.path));
  const Descriptor copy(memfd_create("sluice-geo", MFD_CLOEXEC));
  if (copy.fd < 0) return Error::from_errno("no memory for the database " + file.path, errno);
  SLUICE_TRY(copy_file(file.path, copy.fd));
  auto database = std::make_shared<Database>();
  const int error = MMDB_open(("/proc/self/fd/" + std::to_string(copy.fd)).c_str(), MMDB_MODE_MMAP, &database->mmdb);
  if (error != MMDB_SUCCESS) {
    database->mmdb = {};
    return Error{ErrorCode::corrupt, "the database " + file.path + " cannot be read: " + MMDB_strerror(error)};
  }
  if (!database->is_whole()) return Error{ErrorCode::corrupt, "the database " + file.path + " is damaged: a part of it leads nowhere"};
  file.database = std::move(database);
  return {};
}

void GeoKeeper::publish() {
  auto book = std::make_shared<Book>();
  book->countries = country_.database;
  book->networks = asn_.database;
  std::lock_guard lock(book_mutex_);
  book_ = std::move(book);
}

Result<std::unique_ptr<GeoKeeper>> GeoKeeper::open(std::string country_path, std::string asn_path, const Clock& clock) {
  std::unique_ptr<GeoKeeper> keeper(new GeoKeeper(clock));
  keeper->country_.path = std::move(country_path);
  keeper->asn_.path = std::move(asn_path);
  for (Watched* file : {&keeper->country_, &keeper->asn_})
    if (!file->path.empty()) SLUICE_TRY(load(*file));
  keeper->looked_at_ = clock.now();
  keeper->publish();
  return keeper;
}

void GeoKeeper::look_again() {
  bool changed = false, failed = false;
  for (Watched* file : {&country_, &asn_}) {
    if (file->path.empty()) continue;
    const auto state = state_of(file->path);
    if (state.ok() && *state == file->seen) continue;
    // One that could not be read is not tried again until it changes.
    const Status loaded = state.ok() ? load(*file) : Status(state.error());
    if (loaded.ok()) {
      changed = true;
      log::info("a database of places was read anew", {{"file", file->path}});
    } else {
      failed = true;
      voice_.say("a database of places has changed and cannot be read; the former stays in use", loaded.error());
    }
  }
  if (changed) publish();
  if (changed && !failed) voice_.well("the databases of places can be read again");
}

std::shared_ptr<const query::GeoBook> GeoKeeper::book() {
  const TimestampNs now = clock_.now(), looked = looked_at_.load(std::memory_order_relaxed);
  if (now - looked >= limits::kGeoLookEvery || now < looked) {
    if (std::unique_lock lock(look_mutex_, std::try_to_lock); lock) {
      looked_at_.store(now, std::memory_order_relaxed);
      look_again();
    }
  }
  std::lock_guard lock(book_mutex_);
  return book_;
}

}  // namespace sluice::server
