// Launches: the checks a card would make, then the blocks of the grid, in the order and on the host threads asked for.
#include "../include/simt/launch.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "block.h"
#include "card.h"
#include "fault.h"
#include "stream.h"

namespace simt {
namespace {

// ---- settings

struct Settings {
  Order order = Order::parallel;
  uint64_t seed = 1;
  int threads = int(std::max(1u, std::thread::hardware_concurrency()));

  Settings() {
    if (const char* text = std::getenv("CUNN_SIMT_THREADS")) threads = std::max(1, std::atoi(text));
    const char* const text = std::getenv("CUNN_SIMT_ORDER");
    if (!text) return;
    if (std::strcmp(text, "forward") == 0) order = Order::forward;
    if (std::strcmp(text, "reverse") == 0) order = Order::reverse;
    if (std::strncmp(text, "random", 6) == 0) {
      order = Order::random;
      if (text[6] == ':') seed = std::strtoull(text + 7, nullptr, 10);
    }
  }
};
std::mutex settings_mutex;
Settings& settings() {
  static Settings* const current = new Settings;
  return *current;
}
Settings settings_now() {
  std::lock_guard<std::mutex> lock(settings_mutex);
  return settings();
}

// Dynamic shared memory above 48 KiB must be asked for, per kernel, as on a card.
std::mutex attributes_mutex;
std::map<const void*, size_t>& dynamic_limits() {
  static auto* const limits = new std::map<const void*, size_t>;
  return *limits;
}
size_t dynamic_limit(const void* function) {
  std::lock_guard<std::mutex> lock(attributes_mutex);
  const auto it = dynamic_limits().find(function);
  return it == dynamic_limits().end() ? kMaxStaticShared : it->second;
}

// ---- a grid in flight

uint64_t block_count(dim3 grid) { return uint64_t(grid.x) * grid.y * grid.z; }

class Grid {
 public:
  Grid(const LaunchShape& shape, const std::function<void()>& body, const Settings& settings)
      : shape_(shape), body_(body), settings_(settings), blocks_(block_count(shape.grid)) {
    if (settings.order != Order::random) return;
    shuffled_.resize(blocks_);
    std::iota(shuffled_.begin(), shuffled_.end(), uint64_t(0));
    Shuffler shuffler(settings.seed);
    for (uint64_t i = blocks_ - 1; i > 0; --i) std::swap(shuffled_[i], shuffled_[shuffler.below(uint32_t(i + 1))]);
  }

  // Takes blocks until none is left. Several workers may do so at once; after a fault only blocks before it still run,
  // so that the fault reported is that of the first faulty block whatever the number of workers.
  void work() {
    static thread_local std::unique_ptr<BlockExecutor> executor;
    if (!executor) executor = std::make_unique<BlockExecutor>();
    executor->prepare(shape_, body_, settings_.order, settings_.seed);
    for (;;) {
      const uint64_t turn = next_.fetch_add(1, std::memory_order_relaxed);
      if (turn >= blocks_ || turn > first_fault_.load(std::memory_order_relaxed)) return;
      if (!executor->run(block_at(turn))) note_fault(turn, executor->fault());
    }
  }

  bool failed() const { return first_fault_.load() != kNone; }
  const std::string& fault() const { return fault_; }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;

  uint3 block_at(uint64_t turn) const {
    uint64_t i = turn;
    if (settings_.order == Order::reverse) i = blocks_ - 1 - turn;
    if (settings_.order == Order::random) i = shuffled_[turn];
    const uint64_t plane = uint64_t(shape_.grid.x) * shape_.grid.y;
    return {unsigned(i % shape_.grid.x), unsigned(i / shape_.grid.x % shape_.grid.y), unsigned(i / plane)};
  }

  void note_fault(uint64_t turn, const std::string& text) {
    std::lock_guard<std::mutex> lock(fault_mutex_);
    if (turn >= first_fault_.load()) return;
    first_fault_.store(turn);
    fault_ = text;
  }

  const LaunchShape& shape_;
  const std::function<void()>& body_;
  const Settings settings_;
  const uint64_t blocks_;
  std::vector<uint64_t> shuffled_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> first_fault_{kNone};
  std::mutex fault_mutex_;
  std::string fault_;
};

// ---- helpers that work on a grid beside the launching thread

class Helpers {
 public:
  // Runs the grid on the calling thread and up to `helpers` more; returns when every block is done.
  void run(Grid& grid, int helpers) {
    std::unique_lock<std::mutex> turn(turn_mutex_, std::try_to_lock);
    if (!turn.owns_lock()) {  // another launch has the helpers
      grid.work();
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (int(threads_.size()) < helpers) {
        const int index = int(threads_.size());
        threads_.emplace_back([this, index] { serve(index); });
        threads_.back().detach();
      }
      grid_ = &grid;
      wanted_ = helpers;
      busy_ = helpers;
      ++generation_;
    }
    wake_.notify_all();
    grid.work();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    grid_ = nullptr;
  }

 private:
  void serve(int index) {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen && grid_ != nullptr; });
      seen = generation_;
      if (index >= wanted_) continue;
      Grid* const grid = grid_;
      lock.unlock();
      grid->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_all();
    }
  }

  std::mutex turn_mutex_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Grid* grid_ = nullptr;
  int wanted_ = 0, busy_ = 0;
  uint64_t generation_ = 0;
};

Helpers& helpers() {
  static Helpers* const all = new Helpers;  // never destroyed: its threads wait until the process ends
  return *all;
}

// Waking a helper costs more than a small grid. Under TSan every grid is shared, so that races between blocks show.
constexpr uint64_t kThreadsWorthSharing = SIMT_TSAN ? 0 : 8192;

cudaError_t run_grid(const LaunchShape& shape, const std::function<void()>& body) {
  const Settings now = settings_now();
  Grid grid(shape, body, now);
  const uint64_t blocks = block_count(shape.grid), threads = blocks * shape.block.x * shape.block.y * shape.block.z;
  const int workers = int(std::min<uint64_t>(uint64_t(now.threads), blocks));
  if (now.order == Order::parallel && workers > 1 && threads >= kThreadsWorthSharing)
    helpers().run(grid, workers - 1);
  else
    grid.work();
  if (!grid.failed()) return cudaSuccess;
  set_last_error(cudaErrorLaunchFailure, grid.fault());
  return cudaErrorLaunchFailure;
}

// Empty when a card would accept the shape.
std::string refusal(const LaunchShape& shape) {
  if (!card()) return card_note();  // so that whatever runs in a launch has a card
  const dim3 g = shape.grid, b = shape.block;
  if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > 1024 || b.y > 1024 || b.z > 64 || uint64_t(b.x) * b.y * b.z > 1024)
    return format("a block of %u x %u x %u threads", b.x, b.y, b.z);
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
    return format("a grid of %u x %u x %u blocks", g.x, g.y, g.z);
  const size_t limit = dynamic_limit(shape.function);
  if (shape.dynamic_shared_bytes > limit)
    return format("%zu bytes of dynamic shared memory, where cudaFuncSetAttribute allows %zu", shape.dynamic_shared_bytes, limit);
  return {};
}

}  // namespace

void submit(const LaunchShape& shape, cudaStream_t stream, std::function<void()> thread_body) {
  const std::string refused = refusal(shape);
  if (!refused.empty()) {
    set_last_error(cudaErrorInvalidConfiguration, format("%s cannot be launched with %s", shape.kernel, refused.c_str()));
    return;
  }
  const cudaError_t error = run_or_record(stream, [shape, thread_body] { return run_grid(shape, thread_body); });
  if (error != cudaSuccess && error != cudaErrorLaunchFailure) set_last_error(error);
}

void set_order(Order order, uint64_t seed) {
  std::lock_guard<std::mutex> lock(settings_mutex);
  settings().order = order;
  settings().seed = seed;
}

void set_threads(int threads) {
  std::lock_guard<std::mutex> lock(settings_mutex);
  settings().threads = std::max(1, threads);
}

}  // namespace simt

cudaError_t simt_func_set_attribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (!simt::card()) {
    simt::set_last_error(cudaErrorInvalidConfiguration, simt::format("shared memory cannot be asked for with %s", simt::card_note()));
    return cudaErrorInvalidConfiguration;
  }
  if (!function || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || size_t(value) > simt::card()->max_shared)
    return cudaErrorInvalidValue;
  std::lock_guard<std::mutex> lock(simt::attributes_mutex);
  simt::dynamic_limits()[function] = size_t(value);
  return cudaSuccess;
}
