// __syncthreads and its voting forms, memory fences, __trap.
#pragma once
#include "runtime.h"

#define __syncthreads() simt::block_barrier(SIMT_SITE("__syncthreads"))
#define __syncthreads_count(predicate) simt::block_barrier_vote((predicate) != 0, SIMT_SITE("__syncthreads_count"))
#define __syncthreads_or(predicate) (simt::block_barrier_vote((predicate) != 0, SIMT_SITE("__syncthreads_or")) != 0)
#define __syncthreads_and(predicate) (simt::block_barrier_vote((predicate) == 0, SIMT_SITE("__syncthreads_and")) == 0)
#define __trap() simt::fail(SIMT_SITE("__trap"), "was executed")

// Fibers of one block share one host thread, so a block-level fence has nothing to order on the host; the race detector
// rightly takes no ordering from a fence alone.
static inline void __threadfence_block() {}
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
