#include "thread_pool.h"

#include <chrono>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cunn {

namespace {

constexpr unsigned default_mxcsr = 0x1f80;
constexpr uint64_t open_bit = uint64_t(1) << 31;
constexpr uint64_t inside_mask = open_bit - 1;

uint64_t epoch_of(uint64_t gate) { return gate >> 32; }

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() or until `ns` have passed; true when done.
template <class Done> bool spin(int64_t ns, Done done) {
  if (done()) return true;
  if (ns <= 0) return false;
  auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(ns);
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

MxcsrGuard::MxcsrGuard() : saved_(0) {
#if defined(__x86_64__)
  saved_ = _mm_getcsr();
  if (saved_ != default_mxcsr) _mm_setcsr(default_mxcsr);
#endif
}

MxcsrGuard::~MxcsrGuard() {
#if defined(__x86_64__)
  if (_mm_getcsr() != saved_) _mm_setcsr(saved_);
#endif
}

ThreadPool::ThreadPool(int threads) {
  int cpus = available_cpus();
  size_ = threads > 0 ? threads : cpus;
  // Long enough to bridge the gap between two calls of a host language, short enough to give the core back. With more
  // threads than CPUs a spinning thread only delays the one it waits for.
  spin_ns_ = size_ <= cpus ? 50000 : 0;
  try {
    workers_.reserve((size_t)size_ - 1);
    for (int i = 1; i < size_; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::exception &) {
    // Fewer threads than asked for: results do not depend on their number.
    size_ = (int)workers_.size() + 1;
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_seq_cst);
  { std::lock_guard<std::mutex> lock(mutex_); }
  wake_workers_.notify_all();
  for (std::thread &t : workers_) t.join();
}

bool ThreadPool::join(uint64_t *last_epoch) {
  uint64_t g = gate_.load(std::memory_order_seq_cst);
  while ((g & open_bit) && epoch_of(g) != *last_epoch) {
    if (gate_.compare_exchange_weak(g, g + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      *last_epoch = epoch_of(g);
      return true;
    }
  }
  return false;
}

void ThreadPool::leave() {
  uint64_t before = gate_.fetch_sub(1, std::memory_order_seq_cst);
  if (!(before & open_bit) && (before & inside_mask) == 1 && caller_sleeps_.load(std::memory_order_seq_cst)) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_caller_.notify_one();
  }
}

void ThreadPool::claim(int worker) {
  for (;;) {
    int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= n_) return;
    task_(body_, i, worker);
  }
}

void ThreadPool::work(int worker) {
  MxcsrGuard environment;
  Affinity affinity;
  uint64_t last_epoch = 0;
  for (;;) {
    // With a CPU for every thread only. A spinning worker there would keep the caller from the very work it waits for:
    // a training step of tiny was seen to take three times as long.
    const int cpu = spin_ns_ > 0 ? current_cpu() : -1;
    if (cpu >= 0 && cpu == caller_cpu_.load(std::memory_order_relaxed)) affinity.avoid(cpu);
    bool joined = false;
    auto ready = [&] { return stop_.load(std::memory_order_relaxed) || (joined = join(&last_epoch)); };
    if (!spin(spin_ns_, ready)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_workers_.wait(lock, ready);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    }
    if (!joined) return;  // stop
    claim(worker);
    leave();
  }
}

void ThreadPool::run(int64_t n, Task task, void *body) {
  if (n <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < n; ++i) task(body, i, 0);
    return;
  }
  task_ = task;
  body_ = body;
  n_ = n;
  next_.store(0, std::memory_order_relaxed);
  caller_cpu_.store(current_cpu(), std::memory_order_relaxed);
  // Between jobs the gate is closed and empty, so this cannot lose a count. The epoch skips 0, the workers' start.
  uint64_t epoch = (epoch_of(gate_.load(std::memory_order_relaxed)) + 1) & 0xffffffffu;
  if (epoch == 0) epoch = 1;
  gate_.store(epoch << 32 | open_bit, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    if (n == 2) wake_workers_.notify_one();
    else wake_workers_.notify_all();
  }
  claim(0);
  uint64_t left = gate_.fetch_and(~open_bit, std::memory_order_seq_cst);
  if ((left & inside_mask) == 0) return;
  auto empty = [&] { return (gate_.load(std::memory_order_seq_cst) & inside_mask) == 0; };
  if (spin(spin_ns_, empty)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_.store(true, std::memory_order_seq_cst);
  wake_caller_.wait(lock, empty);
  caller_sleeps_.store(false, std::memory_order_seq_cst);
}

namespace {

constexpr size_t huge_page = size_t(2) << 20;

char *map_block(size_t *size) {
#if defined(__linux__)
  if (*size >= huge_page) {
    // mmap aligns to 4 KiB only: take one huge page more and give back the ends, so that the advice applies to all of it.
    size_t want = (*size + huge_page - 1) / huge_page * huge_page;
    if (want < *size || want + huge_page < want) throw std::bad_alloc();
    void *p = mmap(nullptr, want + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    char *begin = static_cast<char *>(p);
    size_t head = (huge_page - reinterpret_cast<uintptr_t>(begin) % huge_page) % huge_page;
    if (head) munmap(begin, head);
    if (huge_page - head) munmap(begin + head + want, huge_page - head);
    madvise(begin + head, want, MADV_HUGEPAGE);
    *size = want;
    return begin + head;
  }
#endif
  void *p = ::operator new(*size, std::align_val_t(64));
  return static_cast<char *>(p);
}

void unmap_block(char *data, size_t size) {
#if defined(__linux__)
  if (size >= huge_page) {
    munmap(data, size);
    return;
  }
#endif
  ::operator delete(data, std::align_val_t(64));
}

}  // namespace

Scratch::~Scratch() { release(); }

void Scratch::release() {
  for (const Block &b : blocks_) unmap_block(b.data, b.size);
  blocks_.clear();
  used_ = 0;
}

void Scratch::add_block(size_t at_least) {
  blocks_.reserve(blocks_.size() + 1);
  size_t size = at_least;
  char *data = map_block(&size);
  blocks_.push_back({data, size});
  used_ = 0;
}

void *Scratch::bytes(size_t count) {
  if (count > SIZE_MAX / 2) throw std::bad_alloc();
  size_t rounded = (count + 63) / 64 * 64;
  if (rounded == 0) rounded = 64;
  if (blocks_.empty() || blocks_.back().size - used_ < rounded) {
    constexpr size_t smallest = size_t(64) << 10;
    add_block(rounded > smallest ? rounded : smallest);
  }
  char *p = blocks_.back().data + used_;
  used_ += rounded;
  return p;
}

void Scratch::reset() {
  if (blocks_.size() > 1) {
    size_t total = 0;
    for (const Block &b : blocks_) total += b.size;
    release();
    add_block(total);
  }
  used_ = 0;
}

}  // namespace cunn
