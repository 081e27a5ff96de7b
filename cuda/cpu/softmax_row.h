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

CUNN_INLINE int64_t softmax_blocks(int64_t cols) { return (cols + kSoftmaxBlock - 1) / kSoftmaxBlock; }

// Blocks of 1024 columns in order, with a running maximum (Milakov and Gimelshein 2018): the 16 partial sums are
// rescaled when a block raises it. A block is summed by itself and then added, because a long row has many terms each
// too small to change a sum that already holds its largest. A NaN or +inf makes the sum NaN; a row of -inf has the sum 0.
//
// With `exponentials` (may be x) the terms are kept: those of block b relative to references[b], the maximum so far.
CUNN_INLINE RowSum row_sum(const float *x, int64_t cols, float *exponentials = nullptr, float *references = nullptr) {
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
    if (references) references[begin / kSoftmaxBlock] = m;
  }
  return {m, reduce_sum(sum)};
}

// y = exp(x - m) / sum. Exponentials are taken once and wait in y: those of a block are then multiplied by
// exp(reference - m) / sum, a single block's by 1 / sum. A row of -inf gives NaN, as the equation does. y may be x;
// references [softmax_blocks(cols)]. The terms go through the caches also where y is larger than they are: a row is
// read again at once, and writing it past them was measured at half the speed.
CUNN_INLINE void softmax_row(float *y, const float *x, int64_t cols, float *references) {
  RowSum s = row_sum(x, cols, y, references);
  float inverse = 1.0f / s.sum;
  for (int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    int64_t end = begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
    Vec16 scale = set1(inverse);
    if (cols > kSoftmaxBlock) scale = exp(set1(references[begin / kSoftmaxBlock] - s.max)) * scale;
    each_vector(begin, end, [&](int64_t i, auto part) { store(y + i, load(y + i, part) * scale, part); });
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
