#include "cpu_device.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>

#include "../src/failure.h"
#include "../src/thread_pool.h"
#include "isa.h"

namespace cunn::cpu {

namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int32_t kMaxThreads = 1024;

bool usable(Isa isa) { return isa_supported(isa) && op_table(isa) != nullptr; }

Isa best_usable() {
  for (int i = isa_count - 1; i > 0; --i)
    if (usable(static_cast<Isa>(i))) return static_cast<Isa>(i);
  return Isa::scalar;
}

Isa choose_isa(const char *name) {
  if (name == nullptr) return best_usable();
  Isa isa;
  if (!parse_isa(name, &isa))
    throw Failure(CUNN_INVALID_ARGUMENT, "isa is \"%.40s\", expected scalar, avx2, avx512 or none", name);
  if (op_table(isa) == nullptr)
    throw Failure(CUNN_UNSUPPORTED, "isa is %s, which this build does not have; the best here is %s", isa_name(isa),
                  isa_name(best_usable()));
  if (!isa_supported(isa))
    throw Failure(CUNN_UNSUPPORTED, "isa is %s, which this processor does not have; the best here is %s",
                  isa_name(isa), isa_name(best_usable()));
  return isa;
}

// On the host everything has happened when the call returns, so a mark is a time.
struct HostEvent final : DeviceEvent {
  std::atomic<int64_t> nanoseconds{0};
};

class HostQueue final : public Queue {
 public:
  HostQueue(int32_t threads, Isa isa)
      : pool_(threads), isa_(isa), table_(*op_table(isa)), exec_{&pool_, &scratch_, &error_, nullptr} {}

  Exec &exec() override { return exec_; }
  const OpTable &ops() const override { return table_; }
  const char *isa() const override { return isa_name(isa_); }
  int32_t threads() const override { return pool_.size(); }
  int64_t scratch_bytes() const override { return static_cast<int64_t>(scratch_.capacity()); }
  void begin_op() override { scratch_.reset(); }

  void upload(void *device, const void *host, int64_t bytes) override { copy(device, host, bytes); }
  void download(void *host, const void *device, int64_t bytes) override { copy(host, device, bytes); }
  void synchronize() override {}

  ErrorWord take_error() override {
    ErrorWord word = error_;
    error_ = ErrorWord{};
    return word;
  }

  std::unique_ptr<DeviceEvent> create_event() override { return std::make_unique<HostEvent>(); }
  void record(DeviceEvent &event) override {
    using namespace std::chrono;
    static_cast<HostEvent &>(event).nanoseconds.store(
        duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
  }
  void wait(DeviceEvent &) override {}
  double elapsed_ms(DeviceEvent &start, DeviceEvent &end) override {
    return static_cast<double>(static_cast<HostEvent &>(end).nanoseconds.load() -
                               static_cast<HostEvent &>(start).nanoseconds.load()) *
           1e-6;
  }

  bool captures() const override { return false; }
  void begin_capture() override {}
  std::unique_ptr<DeviceGraph> end_capture() override { return nullptr; }
  void launch(DeviceGraph &) override {}

 private:
  static void copy(void *to, const void *from, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
  }

  ThreadPool pool_;
  Scratch scratch_;
  ErrorWord error_{};
  Isa isa_;
  const OpTable &table_;
  Exec exec_;
};

// The number that follows a word in a file of the kernel's, or that begins it when there is no word; 0: not there.
int64_t value_after(const char *path, const char *word) {
  std::ifstream file(path);
  int64_t value = 0;
  if (word == nullptr) return file >> value ? value : 0;
  for (std::string found; file >> found;)
    if (found == word) return file >> value ? value : 0;
  return 0;
}

// Bytes that the control group of this process (a container's) may use.
int64_t group_limit() {
  const int64_t most = value_after("/sys/fs/cgroup/memory.max", nullptr);  // "max" reads as 0
  return most > 0 ? most : INT64_MAX;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(':');
    if (line.compare(0, 10, "model name") == 0 && colon != std::string::npos && colon + 2 <= line.size())
      return line.substr(colon + 2);
  }
  return "cpu";
}

class HostDevice final : public Device {
 public:
  int32_t kind() const override { return CUNN_CPU; }
  int32_t ordinal() const override { return 0; }
  const char *name() const override {
    static const std::string text = processor_name();
    return text.c_str();
  }

  void memory(int64_t *total, int64_t *available) const override {
    struct sysinfo info;
    if (sysinfo(&info) != 0) throw Failure(CUNN_DEVICE, "the size of the memory cannot be read");
    *total = static_cast<int64_t>(info.totalram) * info.mem_unit;
    // Page cache that the kernel gives back on demand counts as available, in the machine and in a control group.
    *available = value_after("/proc/meminfo", "MemAvailable:") * 1024;
    const int64_t most = group_limit();
    if (most < *total) {
      const int64_t used = value_after("/sys/fs/cgroup/memory.current", nullptr) -
                           value_after("/sys/fs/cgroup/memory.stat", "inactive_file");
      *total = most;
      *available = std::min(*available, std::max<int64_t>(most - used, 0));
    }
  }

  void *allocate(int64_t bytes) override {
    if (bytes > limit()) throw std::bad_alloc();  // rather than be killed while the pages are filled
    if (!mapped(bytes)) {
      const size_t size = static_cast<size_t>((std::max<int64_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment);
      void *memory = std::aligned_alloc(kAlignment, size);
      if (memory == nullptr) throw std::bad_alloc();
      return std::memset(memory, 0, size);
    }
    // Pages of 2 MiB are worth 1.2 to 1.7 times in bandwidth, but only on a mapping that begins on such a page.
    const size_t size = round_to_page(bytes);
    char *base = static_cast<char *>(map(size + kHugePage));
    const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
    if (head > 0) munmap(base, head);
    if (kHugePage - head > 0) munmap(base + head + size, kHugePage - head);
    madvise(base + head, size, MADV_HUGEPAGE);
    return base + head;
  }

  void release(void *memory, int64_t bytes) noexcept override {
    if (mapped(bytes)) munmap(memory, round_to_page(bytes));
    else std::free(memory);
  }

  std::unique_ptr<Queue> open(int32_t threads, const char *isa) override {
    if (threads < 0 || threads > kMaxThreads)
      throw Failure(CUNN_INVALID_ARGUMENT, "threads is %d, expected 0 to %d", threads, kMaxThreads);
    return std::make_unique<HostQueue>(threads, choose_isa(isa));
  }

 private:
  static size_t round_to_page(int64_t bytes) {
    return static_cast<size_t>((bytes + kHugePage - 1) / kHugePage * kHugePage);
  }
  static bool mapped(int64_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    return bytes > (int64_t{1} << 40);  // the sanitizer guards the ends of heap blocks, not of mappings
#else
    return bytes >= kHugePage;
#endif
  }
  static void *map(size_t size) {
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
  }
  // What this process can have at all: the machine's memory and swap, or less where its control group allows less.
  static int64_t limit() {
    static const int64_t bytes = [] {
      struct sysinfo info;
      if (sysinfo(&info) != 0) return group_limit();
      return std::min(static_cast<int64_t>(info.totalram + info.totalswap) * static_cast<int64_t>(info.mem_unit),
                      group_limit());
    }();
    return bytes;
  }
};

}  // namespace

Device &device() {
  static HostDevice host;
  return host;
}

}  // namespace cunn::cpu
