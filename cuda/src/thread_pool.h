// The cpu device's threads, its per-call scratch memory, and the floating-point environment it computes in.
//
// Ours rather than OpenMP's: a team belongs to a context and not to the calling thread, ThreadSanitizer sees every
// hand-over, and no global state survives a fork.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "processors.h"

namespace cunn {

// Sets the default MXCSR (round to nearest, denormals kept, exceptions masked) and restores the caller's at the
// end of the scope: results do not depend on what the host program did to the register.
class MxcsrGuard {
 public:
  MxcsrGuard();
  ~MxcsrGuard();
  MxcsrGuard(const MxcsrGuard &) = delete;
  MxcsrGuard &operator=(const MxcsrGuard &) = delete;

 private:
  unsigned saved_;
};

// A fixed team of threads: the caller and size() - 1 workers.
//
// One job at a time: parallel_for must not be called from two threads at once nor from inside a body (the context's
// busy flag sees to the first). Workers that have not woken up when a job ends are not waited for. A worker that finds
// itself on the caller's CPU leaves it: the system may wake it up there, and then they take turns where each has a CPU.
class ThreadPool {
 public:
  // threads <= 0 takes available_cpus().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int size() const { return size_; }

  // Calls body(index, worker) for every index in [0, n), in any order, each once; worker is in [0, size()) and no two
  // running calls share it. Returns when all have returned. Bodies must not throw and must not allocate from the
  // context. Indices are handed out one by one, so make a task worth a few microseconds; a result may depend on what
  // a task is, so let n depend on the shape and never on size() unless the result does not depend on n.
  template <class F> void parallel_for(int64_t n, F &&body) {
    using Body = std::remove_reference_t<F>;
    run(n, [](void *b, int64_t index, int worker) { (*static_cast<Body *>(b))(index, worker); },
        const_cast<void *>(static_cast<const void *>(&body)));
  }

 private:
  using Task = void (*)(void *body, int64_t index, int worker);

  void run(int64_t n, Task task, void *body);
  void work(int worker);
  void claim(int worker);
  bool join(uint64_t *last_epoch);
  void leave();

  int size_ = 1;
  int64_t spin_ns_ = 0;
  std::vector<std::thread> workers_;

  // The job, written by the caller before it opens the gate and read by workers after they passed it.
  Task task_ = nullptr;
  void *body_ = nullptr;
  int64_t n_ = 0;

  alignas(64) std::atomic<int64_t> next_{0};
  // The gate: epoch << 32 | open << 31 | workers inside. One word, so that entering and closing cannot miss each other.
  alignas(64) std::atomic<uint64_t> gate_{0};
  std::atomic<int> caller_cpu_{-1};  // written once a job, as the gate is
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_workers_;
  std::condition_variable wake_caller_;
};

// Memory for the length of one call: a bump arena that grows and never frees before reset(). Only the calling thread
// allocates; give workers slices of one allocation.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch();
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;

  // 64-byte aligned, uninitialised, never null; throws std::bad_alloc.
  void *bytes(size_t count);
  template <class T> T *array(int64_t count) { return static_cast<T *>(bytes(sizeof(T) * (size_t)(count > 0 ? count : 0))); }

  // At the start of each call: everything handed out before is void. When the last call needed several blocks they
  // become one, so a steady sequence of calls allocates nothing.
  void reset();

  // Bytes held, handed out or not.
  size_t capacity() const {
    size_t sum = 0;
    for (const Block &block : blocks_) sum += block.size;
    return sum;
  }

 private:
  struct Block { char *data; size_t size; };
  void add_block(size_t at_least);
  void release();

  std::vector<Block> blocks_;
  size_t used_ = 0;  // of the last block
};

}  // namespace cunn
