// The paged KV cache: new keys and values of each sequence rounded to the cache's dtype and put at their positions; and the
// test of lengths, positions and pages that every op on it begins with.
#include "attention.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

constexpr int kThreads = 256;

// One block, sequences in order, so that the fault named never depends on the schedule.
__global__ void __launch_bounds__(kThreads)
    extents_kernel(SequenceExtent* extents, ErrorWord* error, OpId op, const int32_t* lengths, const int32_t* positions,
                   const int32_t* block_table, int64_t batch, int64_t seq_len, CacheShape cache, bool only_new_pages) {
  CUNN_SHARED(unsigned long long, first_bad, [1]);
  const int t = int(threadIdx.x);
  const int64_t capacity = cache.page_size * cache.pages_per_sequence;
  for (int64_t b = 0; b < batch; ++b) {
    int64_t length = lengths ? int64_t(lengths[b]) : seq_len;
    const int64_t start = positions ? positions[b] : 0;
    if (!in_range(length, seq_len + 1)) {
      if (t == 0) report_fault(error, op, DeviceFault::length_out_of_range, b, length, seq_len + 1);
      length = 0;
    }
    if (positions && length > 0 && (start < 0 || start + length > capacity)) {
      if (t == 0) report_fault(error, op, DeviceFault::position_out_of_range, b, start, capacity - length + 1);
      length = 0;
    }
    if (block_table && length > 0) {
      if (t == 0) first_bad[0] = ~0ull;
      __syncthreads();
      const int64_t first = only_new_pages ? start / cache.page_size : 0, end = (start + length + cache.page_size - 1) / cache.page_size;
      for (int64_t p = first + t; p < end; p += kThreads)
        if (!in_range(block_table[b * cache.pages_per_sequence + p], cache.n_pages)) {
          atomicMin(&first_bad[0], (unsigned long long)(b * cache.pages_per_sequence + p));
          break;
        }
      __syncthreads();
      const unsigned long long bad = first_bad[0];
      __syncthreads();
      if (bad != ~0ull) {
        if (t == 0) report_fault(error, op, DeviceFault::page_out_of_range, int64_t(bad), block_table[bad], cache.n_pages);
        length = 0;
      }
    }
    if (t == 0) extents[b] = {length, start};
  }
}

// A block a token.
template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    append_kernel(T* k_cache, T* v_cache, const float* k, const float* v, const int32_t* block_table, const SequenceExtent* extents,
                  AttentionShape s, CacheShape cache) {
  const int64_t token = blockIdx.x, b = token / s.seq_len, t = token % s.seq_len;
  if (t >= extents[b].length) return;
  const int64_t position = extents[b].start + t, row = s.n_kv_heads * s.head_dim;
  const int64_t page = b * cache.pages_per_sequence + position / cache.page_size;
  const int64_t to = ((block_table ? block_table[page] : page) * cache.page_size + position % cache.page_size) * row;
  for (int64_t e = threadIdx.x; e < row; e += kThreads) {
    const int64_t from = token * s.kv_token_stride + e / s.head_dim * s.kv_head_stride + e % s.head_dim;
    k_cache[to + e] = from_float<T>(k[from]);
    v_cache[to + e] = from_float<T>(v[from]);
  }
}

}  // namespace

const SequenceExtent* sequence_extents(Exec& exec, OpId op, const int32_t* lengths, const int32_t* positions, const int32_t* block_table,
                                       int64_t batch, int64_t seq_len, const CacheShape& cache, bool only_new_pages) {
  SequenceExtent* const extents = cuda_exec(exec).memory.array<SequenceExtent>(batch);
  CUNN_RUN(exec, extents_kernel, 1, kThreads, 0, extents, exec.error, op, lengths, positions, block_table, batch, seq_len, cache, only_new_pages);
  return extents;
}

void cache_append(Exec& exec, const CacheAppend& op) {
  const AttentionShape& s = op.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_kv_heads == 0 || s.head_dim == 0) return;
  const SequenceExtent* const extents = sequence_extents(exec, OpId::cache_append, op.lengths, op.positions, op.block_table, s.batch, s.seq_len, op.c, true);
  with_float(op.k_cache.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    CUNN_RUN(exec, append_kernel<T>, grid_of(s.batch * s.seq_len), kThreads, 0, static_cast<T*>(op.k_cache.data), static_cast<T*>(op.v_cache.data),
             op.k, op.v, op.block_table, extents, s, op.c);
  });
}

}  // namespace cunn::cuda
