// The softmax of one row, in one place: softmax, softmax + top-k, the router and the z loss share it.
#pragma once

#include "lanes.h"

namespace cunn::cpu::CUNN_ISA_NS {

// m = max_c x[c] (-inf when every element is -inf or NaN) and sum_c exp(x[c] - m).
struct RowSum {
  float max, sum;
};

constexpr int64_t kSoftmaxBlock = 1024;  // 4 KiB: the second reading of a block is from L1

CUNN_INLINE float block_max(const float *x, int64_t n) {
  const Vec16 lowest = set1(-__builtin_inff());
  Vec16 m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;  // the order of a maximum does not matter
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    m0 = max(load(x + i), m0);
    m1 = max(load(x + i + 16), m1);
    m2 = max(load(x + i + 32), m2);
    m3 = max(load(x + i + 48), m3);
  }
  each_vector(i, n, [&](int64_t j, auto part) { m0 = max(keep(load(x + j, part), lowest, part), m0); });
  return reduce_max(max(max(m0, m1), max(m2, m3)));
}

// Blocks of 1024 columns in order, with a running maximum (Milakov and Gimelshein 2018): the 16 partial sums are
// rescaled when a block raises it. A block is summed by itself and then added, because a long row has many terms each
// too small to change a sum that already holds its largest. A NaN or +inf makes the sum NaN; a row of -inf has the sum 0.
// With `exponentials` the row must be one block, and they are stored there.
CUNN_INLINE RowSum row_sum(const float *x, int64_t cols, float *exponentials = nullptr) {
  const float lowest = -__builtin_inff();
  float m = lowest;
  Vec16 sum = zero();
  for (int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    int64_t end = begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
    float m_block = block_max(x + begin, end - begin);
    if (m_block > m) {
      if (begin > 0) sum = sum * exp(set1(m - m_block));
      m = m_block;
    }
    Vec16 reference = set1(m == lowest ? 0.0f : m);  // -inf - -inf would be NaN
    Vec16 block = zero();
    each_vector(begin, end, [&](int64_t i, auto part) {
      Vec16 e = keep(exp(load(x + i, part) - reference), zero(), part);
      if (exponentials) store(exponentials + i, e, part);
      block = block + e;
    });
    sum = sum + block;
  }
  return {m, reduce_sum(sum)};
}

// y = exp(x - m) / sum; the sum is divided once per row, its reciprocal correctly rounded. y may be x.
template <bool past_caches> CUNN_INLINE void softmax_row(float *y, const float *x, int64_t cols) {
  if (cols <= kSoftmaxBlock) {
    RowSum s = row_sum(x, cols, y);
    // exp(-inf - -inf): the equation has no value for a row of -inf.
    Vec16 scale = set1(s.max == -__builtin_inff() ? __builtin_nanf("") : 1.0f / s.sum);
    each_vector(0, cols, [&](int64_t i, auto part) { store(y + i, load(y + i, part) * scale, part); });
    return;
  }
  RowSum s = row_sum(x, cols);
  Vec16 m = set1(s.max), scale = set1(1.0f / s.sum);
  auto f = [&](int64_t i, auto part) { return exp(load(x + i, part) - m) * scale; };
  if constexpr (past_caches) {
    stream_vectors(y, 0, cols, f);
  } else {
    each_vector(0, cols, [&](int64_t i, auto part) { store(y + i, f(i, part), part); });
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
