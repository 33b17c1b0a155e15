#include "storage/segment/mapping.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <vector>

namespace sluice::segment {

// What the signal handler may look at: atomics in memory that is never given back. A slot is a mapping's while its begin is not 0.
struct Mapping::Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> lost{false};
};

// All slots, in groups that are linked and never freed, so that the handler walks them without a lock. A fault is rare, and the
// thread that meets one holds its mapping.
struct Slots {
  static constexpr size_t kGroupSlots = 1'024;
  struct Group {
    std::array<Mapping::Slot, kGroupSlots> slots;
    Group* next = nullptr;
  };
  static inline std::atomic<Group*> head{nullptr};
  static inline struct sigaction previous {};
  static inline uintptr_t page_bytes = 4'096;

  static std::mutex& mutex() {
    static auto* m = new std::mutex;  // mappings may outlive static destructors
    return *m;
  }
  static std::vector<Mapping::Slot*>& free_slots() {
    static auto* v = new std::vector<Mapping::Slot*>;
    return *v;
  }

  static Mapping::Slot* take(uintptr_t begin, uintptr_t end) {
    std::lock_guard lock(mutex());
    static const bool is_installed = install();
    (void)is_installed;
    auto& free = free_slots();
    if (free.empty()) {
      auto* group = new Group;
      group->next = head.load();
      head.store(group);
      for (auto& slot : group->slots) free.push_back(&slot);
    }
    Mapping::Slot* slot = free.back();
    free.pop_back();
    slot->lost.store(false);
    slot->end.store(end);
    slot->begin.store(begin);
    return slot;
  }
  static void give_back(Mapping::Slot* slot) {
    std::lock_guard lock(mutex());
    slot->begin.store(0);
    free_slots().push_back(slot);
  }

  static bool install() {
    page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = &on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, &previous) == 0;
  }

  static void on_fault(int number, siginfo_t* info, void* context) {
    const int saved = errno;
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    if (info->si_code > 0) {  // of the kernel, about an address
      for (Group* g = head.load(); g != nullptr; g = g->next)
        for (auto& slot : g->slots) {
          const uintptr_t begin = slot.begin.load();
          if (begin == 0 || address < begin || address >= slot.end.load()) continue;
          void* page = reinterpret_cast<void*>(address & ~(page_bytes - 1));
          slot.lost.store(true);
          if (::mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
          errno = saved;
          return;
        }
    }
    if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) return previous.sa_sigaction(number, info, context);
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(number);
    // The read is tried again and meets the default, or the signal that somebody sent comes once more.
    ::sigaction(SIGBUS, &previous, nullptr);
    if (info->si_code <= 0) ::raise(SIGBUS);
    errno = saved;
  }
};

Result<std::shared_ptr<const Mapping>> Mapping::of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error::from_errno("cannot open segment " + path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int failed = errno;
    ::close(fd);
    return Error::from_errno("cannot look at segment " + path, failed);
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* data = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const int failed = errno;
  ::close(fd);
  if (data == MAP_FAILED) return Error::from_errno("cannot map segment " + path, failed);
  std::shared_ptr<Mapping> m(new Mapping);
  m->path_ = path;
  m->bytes_ = {static_cast<const uint8_t*>(data), size};
  if (size > 0) {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    m->slot_ = Slots::take(begin, begin + size);
  }
  return std::shared_ptr<const Mapping>(std::move(m));
}

Mapping::~Mapping() {
  if (bytes_.empty()) return;
  Slots::give_back(slot_);
  ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

bool Mapping::lost() const { return slot_ != nullptr && slot_->lost.load(std::memory_order_relaxed); }

Status Mapping::intact(bool look_at_length) const {
  if (!look_at_length && !lost()) return {};
  struct stat info {};
  // A file that was deleted while it is open keeps its bytes.
  const bool is_shorter = ::stat(path_.c_str(), &info) == 0 && static_cast<size_t>(info.st_size) < bytes_.size();
  if (is_shorter)
    return Error{ErrorCode::corrupt, path_ + ": the file was cut to " + std::to_string(info.st_size) + " of " + std::to_string(bytes_.size()) +
                                         " bytes while it was open"};
  if (lost()) return Error{ErrorCode::corrupt, path_ + ": bytes of the file could not be read while it was open: its disk failed, or it was cut short"};
  return {};
}

}  // namespace sluice::segment
