// What the attention kernels share: which rows and keys a block works on, and how they come into shared memory.
//
// One order of operations everywhere (forward, backward, prefill, chunks, decode), that of cpu/attention_tile.h:
//   q' = scale q, rounded once;  s_ij = sum over head_dim ascending of q'_i k_j, one accumulator, one fma a term;
//   keys in blocks of 64 anchored at position 0.
// A tile's rows are all query heads of one key/value head, token by token: row r is token r / group, head r % group.
// Blocks have 256 threads as 16 x 16: thread (ty, tx) holds rows ty kTr + i of the tile, of a key block the keys
// tx + 16 j and of head_dim the elements tx + 16 c. Half a warp shares its rows.
#pragma once
#include "gemm.cuh"
#include "rows.cuh"

namespace cunn::cuda {

constexpr int kKeys = 64;          // of a block
constexpr int kSpan = 512;         // keys with one running maximum and sum
constexpr int kAttentionThreads = 256;
constexpr int kKeyPitch = kKeys + 1;  // of [d][key] in shared memory: odd, so that neither way through it hits one bank

// A call without its rows. Sequence b holds tokens b seq_len + t, t < extents[b].length, at positions start + t.
struct SequenceExtent {
  int64_t length, start;
};
struct AttentionCall {
  AttentionShape s;
  int64_t group;
  float scale;
  const float* q;
  const void *k, *v;
  DType kv_dtype;
  const SequenceExtent* extents;
  // Keys of a sequence: row j stands kv_row_stride elements after row j - 1 within a page; one page without end when
  // page_size is 0.
  int64_t kv_row_stride, kv_sequence_stride, kv_head_stride;
  const int32_t* pages;  // [batch, pages_per_sequence] or null: identity
  int64_t page_size, pages_per_sequence;

  // Element where the key at position j (a multiple of 64) of head h starts; a block of 64 never crosses a page.
  __device__ int64_t key_at(int64_t b, int64_t h, int64_t j) const {
    if (page_size == 0) return b * kv_sequence_stride + h * kv_head_stride + j * kv_row_stride;
    const int64_t page = b * pages_per_sequence + j / page_size;
    return ((pages ? pages[page] : page) * page_size + j % page_size) * kv_row_stride + h * kv_head_stride;
  }
  // Element of q where row r of (b, kv head h) starts.
  __device__ int64_t query_at(int64_t b, int64_t h, int64_t r) const {
    return (b * s.seq_len + r / group) * s.q_token_stride + (h * group + r % group) * s.q_head_stride;
  }
  // Row r's place in [tokens, n_heads].
  __device__ int64_t head_at(int64_t b, int64_t h, int64_t r) const {
    return (b * s.seq_len + r / group) * s.n_heads + h * group + r % group;
  }
};

// Number of keys of the block at `key` that the row sees, 0 .. 64.
static __device__ __forceinline__ int keys_seen(int64_t position, int64_t key) {
  const int64_t n = position + 1 - key;
  return n < 0 ? 0 : n > kKeys ? kKeys : int(n);
}

// y[d][j] = x[j, d] for the `count` rows at `at`, d0 <= d < d0 + width; the rest of the kKeys columns is 0.
static __device__ __forceinline__ void load_keys(float* y, const void* x, DType dtype, int64_t at, int64_t row_stride, int count, int64_t d0,
                                          int width) {
  for (int e = int(threadIdx.x); e < kKeys * width; e += kAttentionThreads) {
    const int j = e / width, d = e % width;
    y[d * kKeyPitch + j] = j < count ? load_float(x, dtype, at + j * row_stride + d0 + d) : 0.0f;
  }
}

// Each sequence's length and start, tested (cache.cu): a length outside 0 .. seq_len, a position outside the cache or a
// page that does not exist is reported and the sequence counts as empty. only_new_pages: test the pages that the new
// tokens fall into, else all up to them.
const SequenceExtent* sequence_extents(Exec& exec, OpId op, const int32_t* lengths, const int32_t* positions, const int32_t* block_table,
                                       int64_t batch, int64_t seq_len, const CacheShape& cache, bool only_new_pages);

}  // namespace cunn::cuda
