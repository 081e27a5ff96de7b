// The k largest of a row in descending order, ties to the lower index, NaN below every number. Two ways with the same
// answer, since no two keys of a row are equal: selection by half a warp for short rows, radix selection by a block.
#pragma once
#include "rows.cuh"

namespace cunn::cuda {

// Orders (value, index) as the op does. High half: the bits of the float made monotone, 0 for NaN, -0 as +0. Low half:
// the index reversed.
static __device__ __forceinline__ uint64_t top_k_key(float x, int64_t index) {
  unsigned u = __float_as_uint(x);
  if (u == 0x80000000u) u = 0;
  u = x != x ? 0u : (u & 0x80000000u) ? ~u : (u | 0x80000000u);
  return uint64_t(u) << 32 | (0xffffffffu - unsigned(index));
}
static __device__ __forceinline__ int64_t top_k_index(uint64_t key) { return int64_t(0xffffffffu - unsigned(key)); }

// The largest key of the half warp, in every lane.
static __device__ __forceinline__ uint64_t row_max_key(uint64_t key) {
  const unsigned mask = row_mask();
  CUNN_UNROLL
  for (int half = 8; half > 0; half /= 2) {
    const unsigned long long other = __shfl_xor_sync(mask, (unsigned long long)key, half, kRowLanes);
    if (other > key) key = other;
  }
  return key;
}

// visit(j, index) for the k largest of x[0, cols), j ascending, in every lane of the half warp.
template <class Visit>
static __device__ __forceinline__ void select_by_row(const float* x, int64_t cols, int64_t k, Visit visit) {
  uint64_t last = ~uint64_t(0);
  for (int64_t j = 0; j < k; ++j) {
    uint64_t best = 0;
    for (int64_t i = row_lane(); i < cols; i += kRowLanes) {
      const uint64_t key = top_k_key(x[i], i);
      if (key < last && key > best) best = key;
    }
    last = row_max_key(best);
    visit(j, top_k_index(last));
  }
}

// ---- by a block

constexpr int kSelectThreads = 256;
constexpr int kMaxTopK = 1024;

struct SelectShared {
  unsigned histogram[256];
  unsigned long long prefix;
  unsigned want, matching;
};

// The k-th largest key of the row (1 <= k <= cols): digit by digit from the top, counting the keys that share the digits
// found so far. All threads of the block take part and return it.
static __device__ inline uint64_t kth_largest_key(const float* x, int64_t cols, int64_t k, SelectShared& s) {
  const int t = int(threadIdx.x);
  if (t == 0) {
    s.prefix = 0;
    s.want = unsigned(k);
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    s.histogram[t] = 0;
    __syncthreads();
    const unsigned long long prefix = s.prefix;
    for (int64_t i = t; i < cols; i += kSelectThreads) {
      const uint64_t key = top_k_key(x[i], i);
      if (shift == 56 || key >> (shift + 8) == prefix >> (shift + 8)) atomicAdd(&s.histogram[unsigned(key >> shift) & 255u], 1u);
    }
    __syncthreads();
    if (t == 0) {
      int digit = 255;
      while (s.histogram[digit] < s.want) s.want -= s.histogram[digit--];
      s.prefix = prefix | (unsigned long long)digit << shift;
      s.matching = s.histogram[digit];
    }
    __syncthreads();
    if (s.matching == s.want) break;  // every key with these digits is among the k: the rest of the digits may be 0
  }
  const uint64_t key = s.prefix;
  __syncthreads();  // the caller may write s again
  return key;
}

// keys[0, k) of the row, sorted, in shared memory of kMaxTopK; the rest of keys is 0.
static __device__ inline void select_by_block(const float* x, int64_t cols, int64_t k, unsigned long long* keys, SelectShared& s) {
  const int t = int(threadIdx.x);
  for (int i = t; i < kMaxTopK; i += kSelectThreads) keys[i] = 0;
  const uint64_t least = kth_largest_key(x, cols, k, s);
  if (t == 0) s.want = 0;
  __syncthreads();
  for (int64_t i = t; i < cols; i += kSelectThreads) {
    const uint64_t key = top_k_key(x[i], i);
    if (key >= least) keys[atomicAdd(&s.want, 1u)] = key;
  }
  // Bitonic sort, descending, of the least power of two that holds them.
  unsigned size = 2;
  while (size < unsigned(k)) size *= 2;
  for (unsigned run = 2; run <= size; run *= 2)
    for (unsigned step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (unsigned i = unsigned(t); i < size; i += kSelectThreads) {
        const unsigned j = i ^ step;
        if (j < i) continue;
        const bool descending = (i & run) == 0;
        const unsigned long long a = keys[i], b = keys[j];
        if ((a < b) == descending) {
          keys[i] = b;
          keys[j] = a;
        }
      }
    }
  __syncthreads();
}

}  // namespace cunn::cuda
