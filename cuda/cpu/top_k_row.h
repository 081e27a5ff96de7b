// The k largest of one row: descending, ties to the lower index, NaN below every number.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

constexpr int64_t kMaxTopK = 1024;

// A key that orders (value, index) as the op does; no two elements of a row share one, so every way of selecting gives
// the same answer. High half: the bits of the float made monotone, 0 for NaN, -0 as +0. Low half: index reversed.
CUNN_INLINE uint64_t top_k_key(float x, int64_t index) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  if (u == 0x80000000u) u = 0;
  u = x != x ? 0u : (u & 0x80000000u) ? ~u : (u | 0x80000000u);
  return (uint64_t)u << 32 | (0xffffffffu - (uint32_t)index);
}
CUNN_INLINE int64_t top_k_index(uint64_t key) { return (int64_t)(0xffffffffu - (uint32_t)key); }

// Puts `key` at position i of a heap of n keys whose smallest is on top, going down.
CUNN_INLINE void sift_down(uint64_t *heap, int64_t i, int64_t n, uint64_t key) {
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1] < heap[child]) ++child;
    if (key <= heap[child]) break;
    heap[i] = heap[child];
  }
  heap[i] = key;
}

// keys[0..k) of the k largest of x[0..cols) in descending order; k <= cols.
[[maybe_unused]] static void top_k_row(uint64_t *keys, const float *x, int64_t cols, int64_t k) {
  for (int64_t c = 0; c < k; ++c) keys[c] = top_k_key(x[c], c);
  for (int64_t i = k / 2; i-- > 0;) sift_down(keys, i, k, keys[i]);
  // Later elements lose ties, so only those above the smallest kept number can enter.
  for (int64_t c = k; c < cols; c += 16) {
    float least_kept = x[top_k_index(keys[0])];
    int64_t n = cols - c < 16 ? cols - c : 16;
    Vec16 v = load(x + c, n);
    Mask16 above = least_kept == least_kept ? gt(v, set1(least_kept)) : eq(v, v);
    for (uint32_t rest = bits(above & first(n)); rest; rest &= rest - 1) {
      int64_t i = c + __builtin_ctz(rest);
      uint64_t key = top_k_key(x[i], i);
      if (key > keys[0]) sift_down(keys, 0, k, key);
    }
  }
  for (int64_t n = k - 1; n > 0; --n) {
    uint64_t smallest = keys[0];
    sift_down(keys, 0, n, keys[n]);
    keys[n] = smallest;
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
