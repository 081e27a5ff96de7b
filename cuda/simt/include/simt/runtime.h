// What compiled kernel code calls in the runtime (src/). Kernels do not use these names themselves: barrier.h, warp.h,
// launch.h and kernels/common.cuh give them CUDA's.
#pragma once
#include "language.h"

#define SIMT_EXPORT __attribute__((visibility("default")))

namespace simt {

// Where in the kernel source an operation stands. One object per occurrence in the source, so two operations on one line
// differ, and an operation inside an inlined helper stays itself.
struct Site {
  const char* file;
  int line;
  const char* operation;
};
#define SIMT_SITE(operation)                                          \
  ([]() -> const simt::Site* {                                        \
    static constexpr simt::Site site{__FILE__, __LINE__, operation};  \
    return &site;                                                     \
  }())

// The built-in variables of the CUDA thread that runs now on this host thread.
struct Coordinates {
  uint3 thread_idx, block_idx;
  dim3 block_dim, grid_dim;
  unsigned linear_thread;  // thread_idx.x + block_dim.x * (thread_idx.y + block_dim.y * thread_idx.z)
  void* dynamic_shared;
};
// __thread and initial-exec: one load per use, no initialisation check. The struct is small enough for the static TLS
// surplus that dlopen needs.
extern __thread Coordinates here __attribute__((tls_model("initial-exec")));

inline unsigned lane() { return here.linear_thread & 31; }

// Barriers of the whole block. vote_sum returns the number of threads whose predicate was not zero.
void block_barrier(const Site* site);
int block_barrier_vote(int predicate, const Site* site);

// A warp operation: every lane named in the mask parks with its payload; the last one to arrive calls combine once for
// all of them. `orders_memory` is true for __syncwarp alone: shuffles and votes give no memory ordering, and the race
// detector must not be told that they do.
using Combine = void (*)(void* const* payload_of_lane, unsigned mask);
void warp_collective(unsigned mask, Combine combine, void* payload, bool orders_memory, const Site* site);

// Static shared memory: one slot per declaration in the source, given memory at its first use in each block.
struct SharedSlot {
  const char* file;
  int line;
  const char* name;
  size_t bytes;
  int id = 0;  // assigned by the runtime at the first use
};
void* shared_memory(SharedSlot& slot);

// Ends the launch with an error that names the operation: for conditions that a kernel or a wrapper finds itself.
[[noreturn]] void fail(const Site* site, const char* reason);

}  // namespace simt

#define threadIdx (simt::here.thread_idx)
#define blockIdx (simt::here.block_idx)
#define blockDim (simt::here.block_dim)
#define gridDim (simt::here.grid_dim)
