// A few rows times a matrix stored [n, k]: decoding. Each element of B is read once, straight into registers, blocks
// included: what memory delivers is what they take.
#pragma once

#include "gemm_pack.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Most rows of A that B is streamed for; with more of them a packed panel of B is read often enough to pay.
constexpr int stream_rows = CUNN_ISA_LEVEL == 2 ? 12 : 4;
// Of blocks, which are dearer to unpack than to pack: the code of more rows would be large.
constexpr int stream_rows_of_blocks = 4;
CUNN_INLINE int64_t most_stream_rows(DType t) { return is_blocks(t) ? stream_rows_of_blocks : stream_rows; }

// C[i, j] for i < M and 16 V columns from j0 (the last `lanes` of them there are), all of k, from C or from 0. b holds rows
// j of k elements, A[i, k] is a[k * a_step + i]. `next_lines` lines of the cache from `next` on are asked for on the way.
template <int M, int V, DType t>
CUNN_INLINE void stream_vectors(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t lanes,
                                float *c, int64_t ldc, bool from_c, const char *next, int64_t next_lines) {
  const char *row[16 * V];
  for (int64_t r = 0; r < 16 * V; ++r) row[r] = element(b, j0 + least(r, 16 * (V - 1) + lanes - 1), 0);
  Vec16 sum[M][V];
  CUNN_UNROLL
  for (int i = 0; i < M; ++i)
    CUNN_UNROLL
    for (int v = 0; v < V; ++v) {
      const float *p = c + i * ldc + 16 * v;
      sum[i][v] = !from_c ? zero() : v == V - 1 ? load(p, lanes) : load(p);
    }
  // Blocks call it at so many places that GCC would not inline it by itself.
  auto add = [&](int64_t at, const Vec16 (&column)[V]) __attribute__((always_inline)) {
    CUNN_UNROLL
    for (int i = 0; i < M; ++i) {
      const Vec16 x = set1(a[at * a_step + i]);
      CUNN_UNROLL
      for (int v = 0; v < V; ++v) sum[i][v] = fma(x, column[v], sum[i][v]);
    }
  };
  const int64_t lines_a_step = ceil_div(next_lines, most(1, k / step_elements(t)));
  int64_t k0 = 0, at = 0;
  for (; k0 + step_elements(t) <= k; k0 += step_elements(t), at += step_bytes(t)) {
    for (int64_t i = 0; i < lines_a_step; ++i) __builtin_prefetch(next + i * line_bytes, 0, 2);
    next += lines_a_step * line_bytes;
    each_column<t, V, false>(row, at, [&](int64_t i, const Vec16 (&column)[V]) __attribute__((always_inline)) {
      add(k0 + i, column);
    });
  }
  if (k0 < k) {
    const LastColumns<t, V> rest(row, at, bytes_of(t, k - k0));
    for (int64_t i = 0; k0 + i < k; ++i) {
      Vec16 column[V];
      CUNN_UNROLL
      for (int v = 0; v < V; ++v) column[v] = load(rest.column[i] + 16 * v);
      add(k0 + i, column);
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < M; ++i)
    CUNN_UNROLL
    for (int v = 0; v < V; ++v) {
      float *p = c + i * ldc + 16 * v;
      if (v == V - 1) store(p, sum[i][v], lanes);
      else store(p, sum[i][v]);
    }
}

// A sum waits for the fused multiply-add before it; with one or two rows there are too few sums to fill the time unless
// two vectors of columns go side by side. f32 keeps memory busy as it is.
template <int M, DType t> constexpr int stream_width = M <= 2 && t != DType::f32 ? 2 : 1;

// Behind the last of them the rows at `then` are read, if it is not null.
template <int M, DType t>
void stream_columns(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                    int64_t ldc, bool from_c, const char *then) {
  constexpr int V = stream_width<M, t>;
  // So many rows at once are more than the hardware follows, so those read next are asked for while these are used, as
  // long as the second-level cache holds both.
  const int64_t bytes = bytes_of(t, 16 * V * b.ld), lines = bytes <= 400 << 10 ? ceil_div(bytes, line_bytes) : 0;
  int64_t j = 0;
  for (; j + 16 * (V - 1) < cols; j += 16 * V) {
    const char *next = cols - j >= 32 * V ? element(b, j0 + j + 16 * V, 0) : cols - j <= 16 * V ? then : nullptr;
    stream_vectors<M, V, t>(k, a, a_step, b, j0 + j, least(16, cols - j - 16 * (V - 1)), c + j, ldc, from_c, next,
                            next ? lines : 0);
  }
  if (V == 2 && j < cols) stream_vectors<M, 1, t>(k, a, a_step, b, j0 + j, cols - j, c + j, ldc, from_c, nullptr, 0);
}

template <int M>
void stream_rows_of(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                    int64_t ldc, bool from_c, const char *then) {
  with_stored(b.dtype, [&](auto type) {
    if constexpr (M <= stream_rows_of_blocks || !is_blocks(type.value))
      stream_columns<M, type.value>(k, a, a_step, b, j0, cols, c, ldc, from_c, then);
  });
}

using Stream = void (*)(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                        int64_t ldc, bool from_c, const char *then);

constexpr Stream stream_table[stream_rows] = {
    stream_rows_of<1>, stream_rows_of<2>, stream_rows_of<3>, stream_rows_of<4>,
#if CUNN_ISA_LEVEL == 2
    stream_rows_of<5>, stream_rows_of<6>, stream_rows_of<7>, stream_rows_of<8>,
    stream_rows_of<9>, stream_rows_of<10>, stream_rows_of<11>, stream_rows_of<12>,
#endif
};

}  // namespace cunn::cpu::CUNN_ISA_NS
