// How work is divided: fixed ranges handed to the pool, or the caller alone when there is too little of it.
#pragma once

#include "../src/ops.h"
#include "../src/thread_pool.h"
#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Elements below which an op stays on the calling thread, and the least a task gets: waking a worker costs a few
// microseconds, in which one core moves about this much through its L2, or takes that many exponentials.
constexpr int64_t kMoveGrain = 16384;
constexpr int64_t kExpGrain = 4096;

// From this many bytes read and written on, results go past the caches: a line that is written whole need not be
// fetched first, and would push out what the next op reads.
constexpr int64_t kStreamBytes = int64_t(32) << 20;

CUNN_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
CUNN_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
CUNN_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// body(begin, end, worker) over [0, n) in ranges of at least `grain`, multiples of `unit`, about four per thread. The
// ranges depend on the thread count, so this is for work whose result does not depend on how it is cut.
template <class F>
CUNN_INLINE void split_by_worker(Exec &exec, int64_t n, int64_t grain, int64_t unit, F &&body) {
  if (n <= 0) return;
  int64_t threads = exec.pool->size();
  if (threads == 1 || n < 2 * grain) return body((int64_t)0, n, 0);
  int64_t step = ceil_div(most(grain, ceil_div(n, 4 * threads)), unit) * unit;
  exec.pool->parallel_for(ceil_div(n, step), [&](int64_t task, int worker) {
    body(task * step, least(n, (task + 1) * step), worker);
  });
}

// The same for a body that does not ask who it is.
template <class F> CUNN_INLINE void split(Exec &exec, int64_t n, int64_t grain, int64_t unit, F &&body) {
  split_by_worker(exec, n, grain, unit, [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

// Rows that cost `row_work` elements each.
CUNN_INLINE int64_t row_grain(int64_t row_work, int64_t grain) { return most(1, grain / most(1, row_work)); }
template <class F> CUNN_INLINE void split_rows(Exec &exec, int64_t rows, int64_t row_work, int64_t grain, F &&body) {
  split(exec, rows, row_grain(row_work, grain), 1, body);
}

// body(chunk, begin, end) over [0, n) in ranges of exactly `chunk_size` (the last may be short): for reductions, whose
// partial results must not depend on the thread count. `work` is the cost of all of it in elements.
template <class F>
CUNN_INLINE void for_chunks(Exec &exec, int64_t n, int64_t chunk_size, int64_t work, int64_t grain, F &&body) {
  int64_t chunks = ceil_div(n, chunk_size);
  auto one = [&](int64_t chunk, int) { body(chunk, chunk * chunk_size, least(n, (chunk + 1) * chunk_size)); };
  if (work < 2 * grain) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) one(chunk, 0);
  } else {
    exec.pool->parallel_for(chunks, one);
  }
}

// Scratch memory of the call; not the template of Scratch, which the linker would share between instruction sets.
CUNN_INLINE float *scratch_floats(Exec &exec, int64_t count) {
  return static_cast<float *>(exec.scratch->bytes((size_t)most(count, 1) * sizeof(float)));
}

// The same for each worker.
struct WorkerFloats {
  float *data;
  int64_t stride;
  float *of(int worker) const { return data + worker * stride; }
};
CUNN_INLINE WorkerFloats worker_floats(Exec &exec, int64_t count) {
  int64_t stride = ceil_div(most(count, 1), 16) * 16;
  return {scratch_floats(exec, exec.pool->size() * stride), stride};
}

}  // namespace cunn::cpu::CUNN_ISA_NS
