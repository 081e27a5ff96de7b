// The k largest of one row: descending, ties to the lower index, NaN below every number.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

constexpr int64_t kMaxTopK = 1024;

// The bits of a float made monotone as a signed integer: -0 as +0, NaN as the least.
CUNN_INLINE int32_t order_of(float x) {
  int32_t u;
  memcpy(&u, &x, sizeof u);
  if (u == INT32_MIN) u = 0;
  return x != x ? INT32_MIN : u < 0 ? u ^ INT32_MAX : u;
}
CUNN_INLINE IVec16 order_of(Vec16 x) {
  IVec16 u = select(eq(x, zero()), izero(), as_int(x));
  return select(unordered(x, x), iset1(INT32_MIN), u ^ (sar<31>(u) & iset1(INT32_MAX)));
}

// Up to 16 columns: an element's place is the number of those before it in the order, counted without a branch.
[[maybe_unused]] static inline void rank_row(int32_t *indices, const float *x, int64_t cols, int64_t k) {
  IVec16 keys = select(first(cols), order_of(load(x, cols)), iset1(INT32_MIN));
  int32_t key[16], place[16];
  istore(key, keys);
  for (int32_t c = 0; c < (int32_t)cols; ++c) {
    IVec16 own = iset1(key[c]);
    uint32_t larger = bits(gt(keys, own)), same = bits(eq(keys, own)) & ((1u << c) - 1u);
    place[__builtin_popcount(larger) + __builtin_popcount(same)] = c;
  }
  for (int64_t j = 0; j < k; ++j) indices[j] = place[j];
}

// A key that orders (value, index) as the op does; no two elements of a row share one, so every way of selecting gives
// the same answer. High half: the value's order from 0 on. Low half: the index reversed.
CUNN_INLINE uint64_t top_k_key(float x, int64_t index) {
  return (uint64_t)((uint32_t)order_of(x) ^ 0x80000000u) << 32 | (0xffffffffu - (uint32_t)index);
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

// indices[0..k) of the k largest of x[0..cols) in descending order; k <= cols, keys [k] is working memory. Above 16
// columns: a heap of the k largest so far, least on top.
[[maybe_unused]] static void top_k_row(int32_t *indices, const float *x, int64_t cols, int64_t k, uint64_t *keys) {
  if (cols <= 16) return rank_row(indices, x, cols, k);
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
  for (int64_t j = 0; j < k; ++j) indices[j] = (int32_t)top_k_index(keys[j]);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
