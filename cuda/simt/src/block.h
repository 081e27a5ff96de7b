// Executes one block at a time: a fiber per CUDA thread, started when nothing else can run, and the two places where
// CUDA threads wait for one another: barriers of the block and operations of a warp.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../include/simt/async_copy.h"
#include "../include/simt/launch.h"
#include "fiber.h"
#include "shared_memory.h"

namespace simt {

// splitmix64: the order of blocks and threads in random mode.
class Shuffler {
 public:
  explicit Shuffler(uint64_t seed) : state_(seed) {}
  uint32_t below(uint32_t n) {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return uint32_t(((z ^ z >> 31) >> 32) * n >> 32);
  }

 private:
  uint64_t state_;
};

class BlockExecutor {
 public:
  BlockExecutor();
  ~BlockExecutor();

  void prepare(const LaunchShape& shape, const std::function<void()>& thread_body, Order order, uint64_t seed);
  // Runs one block to its end. False: a detector stopped it, and fault() says why.
  bool run(uint3 block_idx);
  const std::string& fault() const { return fault_; }

  // Called by kernel code on a fiber of this executor.
  int barrier(int predicate, const Site* site);
  void collective(unsigned mask, Combine combine, void* payload, bool orders_memory, const Site* site);
  void* shared_object(SharedSlot& slot);
  void record_copy(const AsyncCopy& copy, const Site* site);
  void commit_copies();
  bool take_copy(int pending_groups, AsyncCopy* copy);
  [[noreturn]] void fail(const std::string& what);

  static BlockExecutor& current();

 private:
  static constexpr unsigned kMaxThreads = 1024;
  enum class State : uint8_t { unstarted, running, ready, at_barrier, at_warp_operation, finished };
  struct Thread {
    State state;
    const Site* site;
    Fiber* fiber;
    std::vector<AsyncCopy> copies;  // recorded and not yet landed, oldest first
    std::vector<size_t> groups;     // number of copies recorded when each pending group was committed
    size_t landed;
  };
  struct Operation {  // of a warp, waiting for lanes
    unsigned mask, arrived;
    const Site* site;
    Combine combine;
    void* payload[32];
  };
  struct Warp {
    unsigned unfinished;       // lanes that have not returned
    unsigned pending;          // which operations are in use; their masks are disjoint, so there are at most 32
    Operation operations[32];
    unsigned next_sync;
    SyncPoint syncs[64];  // one after the other, so that a slow lane of an old operation acquires nothing newer
    SyncPoint* sync_of[32];
  };
  // Threads that can go on: a queue. A thread stands in it at most once, so the ring never grows, and (as with the other
  // fixed sizes here) no copy of the runtime's own memory reaches TSan's interceptors from two fibers.
  class ReadyQueue {
   public:
    void clear() { begin_ = end_ = 0; }
    unsigned size() const { return end_ - begin_; }
    void push(unsigned t) { ring_[end_++ % kMaxThreads] = t; }
    unsigned pop() { return ring_[begin_++ % kMaxThreads]; }
    void bring_forward(unsigned i) { std::swap(ring_[begin_ % kMaxThreads], ring_[(begin_ + i) % kMaxThreads]); }

   private:
    unsigned begin_ = 0, end_ = 0;
    unsigned ring_[kMaxThreads];
  };
  struct Choice {
    enum Kind { start, resume, done, stuck } kind;
    unsigned thread;
  };

  static void fiber_entry(void* self);
  [[noreturn]] void fiber_main();
  void run_thread(unsigned t);
  void finish_thread(unsigned t);
  Choice choose();
  void dispatch(Choice choice);
  void park();
  void set_running(unsigned t);
  void make_ready(unsigned t);
  void switch_to(Fiber& to);
  Fiber* fiber_for(unsigned t);
  void release_barrier(unsigned self);
  bool complete(Warp& warp, unsigned warp_index, int slot, unsigned self);
  [[noreturn]] void fail_stuck();
  std::string threads_where(State state, const Site* site) const;
  std::string situation() const;
  void discard_fibers();

  // The launch.
  const std::function<void()>* thread_body_ = nullptr;
  std::string kernel_;
  dim3 block_dim_;
  unsigned n_threads_ = 0;
  size_t dynamic_bytes_ = 0;
  Order order_ = Order::parallel;
  Shuffler shuffler_{1};

  // The block.
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> start_order_;
  ReadyQueue ready_;
  unsigned started_ = 0, finished_ = 0;
  unsigned at_barrier_ = 0;
  int votes_ = 0, vote_result_ = 0;
  const Site* barrier_site_ = nullptr;
  unsigned barrier_number_ = 0;
  bool failed_ = false;
  std::string fault_;
  SharedMemory shared_;

  // Fibers. Without TSan an idle fiber runs any thread, one after another while they do not wait; with TSan a CUDA
  // thread keeps its own, because TSan sees a reused stack as memory shared by its users.
  Fiber host_;
  Fiber* fiber_ = &host_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  unsigned next_thread_ = 0;  // what the fiber being switched to shall start

  SyncPoint block_start_, block_end_, barrier_sync_[2];
};

}  // namespace simt
