#include "block.h"

#include <algorithm>

#include "fault.h"

namespace simt {

__thread Coordinates here = {};

static thread_local BlockExecutor* current_executor __attribute__((tls_model("initial-exec"))) = nullptr;

BlockExecutor& BlockExecutor::current() { return *current_executor; }

BlockExecutor::BlockExecutor() {
  fibers_.reserve(kMaxThreads);
  idle_.reserve(kMaxThreads);
}
BlockExecutor::~BlockExecutor() = default;

// ---- a launch and its blocks

void BlockExecutor::prepare(const LaunchShape& shape, const std::function<void()>& thread_body, Order order, uint64_t seed) {
  thread_body_ = &thread_body;
  kernel_ = shape.kernel;
  if (kernel_.size() > 2 && kernel_.front() == '(' && kernel_.back() == ')') kernel_ = kernel_.substr(1, kernel_.size() - 2);
  block_dim_ = shape.block;
  n_threads_ = shape.block.x * shape.block.y * shape.block.z;
  dynamic_bytes_ = shape.dynamic_shared_bytes;
  order_ = order;
  shuffler_ = Shuffler(seed);
  if (threads_.size() < n_threads_) threads_.resize(n_threads_);
  if (warps_.size() < (n_threads_ + 31) / 32) warps_.resize((n_threads_ + 31) / 32);
  start_order_.resize(n_threads_);
  for (unsigned t = 0; t < n_threads_; ++t) start_order_[t] = order == Order::reverse ? n_threads_ - 1 - t : t;
  while (SIMT_TSAN && fibers_.size() < n_threads_)
    fibers_.push_back(std::make_unique<Fiber>(&fiber_entry, this, format("CUDA thread %zu", fibers_.size()).c_str()));
  here.block_dim = shape.block;
  here.grid_dim = shape.grid;
}

bool BlockExecutor::run(uint3 block_idx) {
  current_executor = this;
  for (unsigned t = 0; t < n_threads_; ++t) {
    Thread& thread = threads_[t];
    thread.state = State::unstarted;
    thread.site = nullptr;
    thread.copies.clear();
    thread.groups.clear();
    thread.landed = 0;
  }
  for (unsigned w = 0; w * 32 < n_threads_; ++w) {
    const unsigned lanes = std::min(32u, n_threads_ - w * 32);
    warps_[w].unfinished = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[w].pending = 0;
  }
  if (order_ == Order::random)
    for (unsigned t = n_threads_ - 1; t > 0; --t) std::swap(start_order_[t], start_order_[shuffler_.below(t + 1)]);
  ready_.clear();
  started_ = finished_ = at_barrier_ = 0;
  votes_ = 0;
  failed_ = false;
  here.block_idx = block_idx;
  here.dynamic_shared = shared_.begin_block(dynamic_bytes_);

  block_start_.release();
  dispatch(choose());
  block_end_.acquire();

  std::string overrun;
  const bool intact = shared_.end_block(&overrun);
  if (failed_) {
    discard_fibers();
  } else if (!intact) {
    failed_ = true;
    fault_ = format("%s, block (%u,%u,%u): %s", kernel_.c_str(), block_idx.x, block_idx.y, block_idx.z, overrun.c_str());
  }
  current_executor = nullptr;
  return !failed_;
}

// ---- fibers

void BlockExecutor::fiber_entry(void* self) { static_cast<BlockExecutor*>(self)->fiber_main(); }

void BlockExecutor::fiber_main() {
  for (;;) {
    run_thread(next_thread_);
    Choice choice = choose();
    while (!SIMT_TSAN && choice.kind == Choice::start) {  // this stack is free again: no switch needed
      ++started_;
      run_thread(choice.thread);
      choice = choose();
    }
    if (!SIMT_TSAN) idle_.push_back(fiber_);
    dispatch(choice);
  }
}

void BlockExecutor::run_thread(unsigned t) {
  threads_[t].fiber = fiber_;
  set_running(t);
  block_start_.acquire();
  (*thread_body_)();
  block_end_.release();
  finish_thread(t);
}

// What runs next. Threads that can go on wait until all have started, except in random order.
BlockExecutor::Choice BlockExecutor::choose() {
  const bool can_start = started_ < n_threads_;
  const bool random = order_ == Order::random;
  if (can_start && (ready_.size() == 0 || !random || shuffler_.below(2) == 0)) return {Choice::start, start_order_[started_]};
  if (ready_.size() > 0) {
    if (random) ready_.bring_forward(shuffler_.below(ready_.size()));
    return {Choice::resume, ready_.pop()};
  }
  return {finished_ == n_threads_ ? Choice::done : Choice::stuck, 0};
}

void BlockExecutor::dispatch(Choice choice) {
  switch (choice.kind) {
    case Choice::start:
      ++started_;
      next_thread_ = choice.thread;
      switch_to(*fiber_for(choice.thread));
      break;
    case Choice::resume:
      set_running(choice.thread);
      switch_to(*threads_[choice.thread].fiber);
      break;
    case Choice::done:
      switch_to(host_);
      break;
    case Choice::stuck:
      fail_stuck();
  }
}

// The calling thread cannot go on. Returns when something made it ready and it was chosen.
void BlockExecutor::park() {
  const unsigned me = here.linear_thread;
  const Choice choice = choose();
  if (choice.kind == Choice::resume && choice.thread == me)
    set_running(me);
  else
    dispatch(choice);
}

void BlockExecutor::set_running(unsigned t) {
  threads_[t].state = State::running;
  here.linear_thread = t;
  here.thread_idx = {t % block_dim_.x, t / block_dim_.x % block_dim_.y, t / (block_dim_.x * block_dim_.y)};
}

void BlockExecutor::make_ready(unsigned t) {
  threads_[t].state = State::ready;
  ready_.push(t);
}

void BlockExecutor::switch_to(Fiber& to) {
  Fiber& from = *fiber_;
  fiber_ = &to;
  from.switch_to(to);
}

Fiber* BlockExecutor::fiber_for(unsigned t) {
  if (SIMT_TSAN) return fibers_[t].get();
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&fiber_entry, this, ""));
    return fibers_.back().get();
  }
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

// After a fault fibers stand in the middle of kernels. Kernels own nothing on the host, so their stacks are dropped.
void BlockExecutor::discard_fibers() {
  for (const std::unique_ptr<Fiber>& fiber : fibers_) host_.order_after(*fiber, block_end_);
  block_end_.acquire();
  idle_.clear();
  fibers_.clear();
}

// ---- barriers of the block

int BlockExecutor::barrier(int predicate, const Site* site) {
  const unsigned me = here.linear_thread;
  Thread& thread = threads_[me];
  thread.state = State::at_barrier;
  thread.site = site;
  if (finished_ > 0)
    fail(format("%s at %s is waited for by this thread, but %s", site->operation, place(site).c_str(),
                threads_where(State::finished, nullptr).append(" of the block already returned").c_str()));
  if (at_barrier_ == 0) barrier_site_ = site;
  if (site != barrier_site_)
    fail(format("divergent barrier: %s at %s, while %s at %s", site->operation, place(site).c_str(),
                threads_where(State::at_barrier, barrier_site_).append(" wait in ").append(barrier_site_->operation).c_str(),
                place(barrier_site_).c_str()));
  ++at_barrier_;
  votes_ += predicate;
  SyncPoint& sync = barrier_sync_[barrier_number_ & 1];
  sync.release();
  if (at_barrier_ == n_threads_)
    release_barrier(me);
  else
    park();
  sync.acquire();
  return vote_result_;
}

void BlockExecutor::release_barrier(unsigned self) {
  ++barrier_number_;
  vote_result_ = votes_;
  votes_ = 0;
  at_barrier_ = 0;
  threads_[self].state = State::running;
  for (unsigned i = 0; i < n_threads_; ++i) {
    const unsigned t = order_ == Order::reverse ? n_threads_ - 1 - i : i;
    if (t != self) make_ready(t);
  }
}

// ---- operations of a warp

void BlockExecutor::collective(unsigned mask, Combine combine, void* payload, bool orders_memory, const Site* site) {
  const unsigned me = here.linear_thread, lane = me & 31;
  Thread& thread = threads_[me];
  Warp& warp = warps_[me >> 5];
  thread.state = State::at_warp_operation;
  thread.site = site;
  if (!(mask >> lane & 1))
    fail(format("%s at %s: lane %u calls it with mask 0x%08x, which does not name it", site->operation, place(site).c_str(), lane, mask));
  if (mask & ~warp.unfinished)
    fail(format("%s at %s: mask 0x%08x names lanes 0x%08x, which have returned or do not exist", site->operation,
                place(site).c_str(), mask, mask & ~warp.unfinished));
  int slot = -1;
  for (unsigned rest = warp.pending; rest; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    const Operation& other = warp.operations[i];
    if (other.mask == mask)
      slot = i;
    else if (other.mask & mask)
      fail(format("%s at %s with mask 0x%08x meets %s at %s with mask 0x%08x: lanes are named in both", site->operation,
                  place(site).c_str(), mask, other.site->operation, place(other.site).c_str(), other.mask));
  }
  if (slot < 0) {
    slot = __builtin_ctz(~warp.pending);
    warp.pending |= 1u << slot;
    Operation& fresh = warp.operations[slot];
    fresh.mask = mask;
    fresh.arrived = 0;
    fresh.site = site;
    fresh.combine = combine;
    warp.sync_of[slot] = &warp.syncs[warp.next_sync++ % 64];
  }
  Operation& operation = warp.operations[slot];
  if (operation.site != site)
    fail(format("divergent warp operation: %s at %s, while lanes 0x%08x of the warp are in %s at %s", site->operation,
                place(site).c_str(), operation.arrived, operation.site->operation, place(operation.site).c_str()));
  operation.arrived |= 1u << lane;
  operation.payload[lane] = payload;
  SyncPoint* const sync = warp.sync_of[slot];
  if (orders_memory) sync->release();
  if (!complete(warp, me >> 5, slot, me)) park();
  if (orders_memory) sync->acquire();
}

// Finishes the operation when all its lanes are there, and makes them ready.
bool BlockExecutor::complete(Warp& warp, unsigned warp_index, int slot, unsigned self) {
  const Operation& operation = warp.operations[slot];
  if (operation.arrived != operation.mask) return false;
  operation.combine(operation.payload, operation.mask);
  warp.pending &= ~(1u << slot);
  threads_[self].state = State::running;
  for (unsigned k = 0; k < 32; ++k) {
    const unsigned lane = order_ == Order::reverse ? 31 - k : k, t = warp_index * 32 + lane;
    if ((operation.mask >> lane & 1) && t != self) make_ready(t);
  }
  return true;
}

void BlockExecutor::finish_thread(unsigned t) {
  threads_[t].state = State::finished;
  ++finished_;
  warps_[t >> 5].unfinished &= ~(1u << (t & 31));
  if (at_barrier_ > 0)
    fail(format("this thread returned while %s in %s at %s", threads_where(State::at_barrier, barrier_site_).append(" wait").c_str(),
                barrier_site_->operation, place(barrier_site_).c_str()));
  const Warp& warp = warps_[t >> 5];
  for (unsigned rest = warp.pending; rest; rest &= rest - 1) {
    const Operation& operation = warp.operations[__builtin_ctz(rest)];
    if (operation.mask >> (t & 31) & 1)
      fail(format("lane %u returned while lanes 0x%08x of its warp wait for it in %s at %s (mask 0x%08x)", t & 31,
                  operation.arrived, operation.site->operation, place(operation.site).c_str(), operation.mask));
  }
}

// ---- shared memory and asynchronous copies

void* BlockExecutor::shared_object(SharedSlot& slot) {
  std::string reason;
  void* const memory = shared_.object(slot, &reason);
  if (!memory) fail(reason);
  return memory;
}

void BlockExecutor::record_copy(const AsyncCopy& copy, const Site* site) {
  const auto misaligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % uintptr_t(copy.bytes) != 0; };
  if (misaligned(copy.destination) || (copy.source_bytes > 0 && misaligned(copy.source)))
    fail(format("%s at %s: an address is not a multiple of %d bytes", site->operation, place(site).c_str(), copy.bytes));
  threads_[here.linear_thread].copies.push_back(copy);
}

void BlockExecutor::commit_copies() {
  Thread& thread = threads_[here.linear_thread];
  thread.groups.push_back(thread.copies.size());
}

bool BlockExecutor::take_copy(int pending_groups, AsyncCopy* copy) {
  Thread& thread = threads_[here.linear_thread];
  const size_t n_groups = thread.groups.size(), pending = size_t(pending_groups);
  if (n_groups <= pending) return false;
  const size_t due = thread.groups[n_groups - pending - 1];
  if (thread.landed < due) {
    *copy = thread.copies[thread.landed++];
    return true;
  }
  if (pending == 0 && due == thread.copies.size()) {  // all landed: start afresh, so that the lists stay short
    thread.copies.clear();
    thread.groups.clear();
    thread.landed = 0;
  }
  return false;
}

// ---- faults

void BlockExecutor::fail(const std::string& what) {
  fault_ = format("%s, block (%u,%u,%u), thread (%u,%u,%u): %s\n%s", kernel_.c_str(), here.block_idx.x, here.block_idx.y,
                  here.block_idx.z, here.thread_idx.x, here.thread_idx.y, here.thread_idx.z, what.c_str(), situation().c_str());
  failed_ = true;
  block_end_.release();
  switch_to(host_);
  __builtin_unreachable();  // the fiber is discarded
}

void BlockExecutor::fail_stuck() {
  for (unsigned w = 0; w * 32 < n_threads_; ++w)
    if (warps_[w].pending) {
      const Operation& operation = warps_[w].operations[__builtin_ctz(warps_[w].pending)];
      fail(format("deadlock: %s at %s waits for lanes 0x%08x of mask 0x%08x, which never arrive", operation.site->operation,
                  place(operation.site).c_str(), operation.mask & ~operation.arrived, operation.mask));
    }
  fail(format("deadlock: %s at %s waits for threads that never arrive", barrier_site_->operation, place(barrier_site_).c_str()));
}

// "threads 0..15, 32" in `state` (and at `site`, where that matters).
std::string BlockExecutor::threads_where(State state, const Site* site) const {
  std::string text;
  const auto matches = [&](unsigned t) { return threads_[t].state == state && (!site || threads_[t].site == site); };
  for (unsigned t = 0; t < n_threads_; ++t) {
    if (!matches(t)) continue;
    unsigned last = t;
    while (last + 1 < n_threads_ && matches(last + 1)) ++last;
    text += text.empty() ? "threads " : ", ";
    text += last > t ? format("%u..%u", t, last) : format("%u", t);
    t = last;
  }
  return text;
}

std::string BlockExecutor::situation() const {
  std::string text;
  for (unsigned t = 0; t < n_threads_;) {
    const Thread& thread = threads_[t];
    unsigned last = t;
    const bool has_site = thread.state == State::at_barrier || thread.state == State::at_warp_operation;
    while (last + 1 < n_threads_ && threads_[last + 1].state == thread.state &&
           (!has_site || threads_[last + 1].site == thread.site))
      ++last;
    static const char* const kNames[] = {"not started", "running", "ready to run", "in", "in", "returned"};
    text += format("  threads %u..%u: %s", t, last, kNames[int(thread.state)]);
    if (has_site) text += format(" %s at %s", thread.site->operation, place(thread.site).c_str());
    text += '\n';
    t = last + 1;
  }
  return text;
}

// ---- what kernels call (include/simt)

void block_barrier(const Site* site) { BlockExecutor::current().barrier(0, site); }
int block_barrier_vote(int predicate, const Site* site) { return BlockExecutor::current().barrier(predicate, site); }
void warp_collective(unsigned mask, Combine combine, void* payload, bool orders_memory, const Site* site) {
  BlockExecutor::current().collective(mask, combine, payload, orders_memory, site);
}
void* shared_memory(SharedSlot& slot) { return BlockExecutor::current().shared_object(slot); }
void async_copy_record(const AsyncCopy& copy, const Site* site) { BlockExecutor::current().record_copy(copy, site); }
void async_copy_commit() { BlockExecutor::current().commit_copies(); }
bool async_copy_take(int pending_groups, AsyncCopy* copy) { return BlockExecutor::current().take_copy(pending_groups, copy); }
void fail(const Site* site, const char* reason) {
  BlockExecutor::current().fail(format("%s at %s %s", site->operation, place(site).c_str(), reason));
}

}  // namespace simt
