// A small matrix product in registers: what attention's four kinds of product share.
//
//   C[r, :] = start(C[r, :]) + sum over k ascending of A[r, k] B[k, :]
//
// One f32 accumulator per element of C and one fused multiply-add a term, so an element's bits depend on its own row
// of A and its own range of k only, never on which rows stand next to it. Rows may have ranges of their own (the
// causal edge): terms outside a row's range are not computed at all, because 0 * NaN is NaN and -0 + 0 is +0.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

struct Product {
  float *c;
  int64_t ldc;
  const float *a;
  int64_t a_row, a_k;  // elements from one row of A to the next, and from one k to the next
  const float *b;
  int64_t ldb;
};

// What C holds before the first term: nothing, C, or C times a factor per row.
enum class Start { zero, keep, scale };

// Rows and vectors of 16 columns that are in registers at once: 24 accumulators of the 32 registers of AVX-512, 12 of
// the 16 of AVX2; with few rows more columns, to have enough independent chains for the latency of an fma.
constexpr int kProductRows = 6;
template <int rows> constexpr int product_vectors() {
#if CUNN_ISA_LEVEL == 2
  return 4;
#else
  return rows == 1 ? 4 : rows <= 3 ? 2 : 1;
#endif
}

template <int R, int V, Start start> CUNN_INLINE void product_tile(const Product &p, const float *row_scale,
                                                                   int64_t row, int64_t vector, int64_t k0,
                                                                   int64_t k1) {
  float *c = p.c + row * p.ldc + vector * 16;
  const float *a[R];
  Vec16 sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    a[r] = p.a + (row + r) * p.a_row + k0 * p.a_k;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if (start == Start::zero)
        sum[r][v] = zero();
      else if (start == Start::keep)
        sum[r][v] = load(c + r * p.ldc + v * 16);
      else
        sum[r][v] = load(c + r * p.ldc + v * 16) * set1(row_scale[row + r]);
    }
  }
  const float *b = p.b + k0 * p.ldb + vector * 16;
  int64_t step = p.a_k, at = 0;
  for (int64_t k = k0; k < k1; ++k, at += step, b += p.ldb) {
    Vec16 bv[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      bv[v] = load(b + v * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      Vec16 av = set1(a[r][at]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v)
        sum[r][v] = fma(av, bv[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      store(c + r * p.ldc + v * 16, sum[r][v]);
  }
}

template <int R, Start start> static void product_rows(const Product &p, const float *row_scale, int64_t row,
                                                       int64_t vectors, int64_t k0, int64_t k1) {
  constexpr int V = product_vectors<R>();
  int64_t v = 0;
  for (; v + V <= vectors; v += V)
    product_tile<R, V, start>(p, row_scale, row, v, k0, k1);
  if constexpr (V == 4) {
    if (v + 2 <= vectors) {
      product_tile<R, 2, start>(p, row_scale, row, v, k0, k1);
      v += 2;
    }
  }
  if constexpr (V > 1) {
    if (v < vectors) product_tile<R, 1, start>(p, row_scale, row, v, k0, k1);
  }
}

template <Start start> static void product_strip(const Product &p, const float *row_scale, int64_t row, int64_t n,
                                                 int64_t vectors, int64_t k0, int64_t k1) {
  switch (n) {
    case 1:
      return product_rows<1, start>(p, row_scale, row, vectors, k0, k1);
    case 2:
      return product_rows<2, start>(p, row_scale, row, vectors, k0, k1);
    case 3:
      return product_rows<3, start>(p, row_scale, row, vectors, k0, k1);
    case 4:
      return product_rows<4, start>(p, row_scale, row, vectors, k0, k1);
    case 5:
      return product_rows<5, start>(p, row_scale, row, vectors, k0, k1);
    default:
      return product_rows<6, start>(p, row_scale, row, vectors, k0, k1);
  }
}

// All rows over k in [0, k). row_scale [rows] is read for Start::scale only.
template <Start start>
static void product(const Product &p, int64_t rows, int64_t vectors, int64_t k, const float *row_scale = nullptr) {
  for (int64_t r = 0; r < rows; r += kProductRows)
    product_strip<start>(p, row_scale, r, rows - r < kProductRows ? rows - r : kProductRows, vectors, 0, k);
}

// Row r over k in [0, ends[r]), ends ascending.
template <Start start> [[maybe_unused]] static void product_until(const Product &p, int64_t rows, int64_t vectors,
                                                                  const int32_t *ends,
                                                                  const float *row_scale = nullptr) {
  for (int64_t r = 0; r < rows; r += kProductRows) {
    int64_t n = rows - r < kProductRows ? rows - r : kProductRows;
    int32_t common = ends[r];
    product_strip<start>(p, row_scale, r, n, vectors, 0, common);
    for (int64_t i = r + 1; i < r + n; ++i)
      if (ends[i] > common) product_rows<1, Start::keep>(p, nullptr, i, vectors, common, ends[i]);
  }
}

// Row r over k in [begins[r], k), begins ascending and at most k; C is kept.
[[maybe_unused]] static void product_from(const Product &p, int64_t rows, int64_t vectors, const int32_t *begins,
                                          int64_t k) {
  for (int64_t r = 0; r < rows; r += kProductRows) {
    int64_t n = rows - r < kProductRows ? rows - r : kProductRows;
    int32_t common = begins[r + n - 1];
    for (int64_t i = r; i < r + n - 1; ++i)
      if (begins[i] < common) product_rows<1, Start::keep>(p, nullptr, i, vectors, begins[i], common);
    product_strip<Start::keep>(p, nullptr, r, n, vectors, common, k);
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
