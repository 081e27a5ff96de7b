// The micro-kernel of the matrix product: a tile of C held in registers while k runs.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Rows and columns of the register tile. 14 x 32 fills 28 of the 32 registers of AVX-512, 6 x 16 twelve of the 16 of
// AVX2; both keep enough independent sums in flight to hide the latency of the fused multiply-add.
#if CUNN_ISA_LEVEL == 2
constexpr int tile_rows = 14, tile_vectors = 2;
#elif CUNN_ISA_LEVEL == 1
constexpr int tile_rows = 6, tile_vectors = 1;
#else
constexpr int tile_rows = 4, tile_vectors = 1;
#endif
constexpr int tile_cols = 16 * tile_vectors;

// C[i, j] = fma(A[i, k], B[k, j], C[i, j]) for k = 0, 1, ... kc - 1, starting from C or from 0.
// A[i, k] is a[k * a_step + i]; B[k, j] is b[k * b_step + j]; cols counts the columns that exist.
using Kernel = void (*)(int64_t kc, const float *a, int64_t a_step, const float *b, int64_t b_step, float *c, int64_t ldc,
                        int64_t cols, bool from_c);

// `partial`: the last vector of the row is not full, so its loads and stores are by count.
template <int rows, int vectors, bool partial>
void kernel(int64_t kc, const float *a, int64_t a_step, const float *b, int64_t b_step, float *c, int64_t ldc,
            int64_t cols, bool from_c) {
  const int64_t last = cols - 16 * (vectors - 1);
  Vec16 sum[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      __builtin_prefetch(c + i * ldc + 16 * v, 1);
      sum[i][v] = zero();
    }
  if (from_c) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const float *p = c + i * ldc + 16 * v;
        sum[i][v] = partial && v == vectors - 1 ? load(p, last) : load(p);
      }
  }
  for (int64_t k = 0; k < kc; ++k) {
    Vec16 bk[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) bk[v] = partial && v == vectors - 1 ? load(b + 16 * v, last) : load(b + 16 * v);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      Vec16 aik = set1(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(aik, bk[v], sum[i][v]);
    }
    a += a_step;
    b += b_step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      float *p = c + i * ldc + 16 * v;
      if (partial && v == vectors - 1) store(p, sum[i][v], last);
      else store(p, sum[i][v]);
    }
}

struct KernelRow {
  Kernel by_shape[2][2];  // [vectors - 1][partial]
};

template <int rows> constexpr KernelRow kernels_of() {
  return {{{kernel<rows, 1, false>, kernel<rows, 1, true>},
           {kernel<rows, tile_vectors, false>, kernel<rows, tile_vectors, true>}}};
}

#if CUNN_ISA_LEVEL == 2
constexpr KernelRow kernel_table[tile_rows] = {kernels_of<1>(),  kernels_of<2>(),  kernels_of<3>(),  kernels_of<4>(),
                                               kernels_of<5>(),  kernels_of<6>(),  kernels_of<7>(),  kernels_of<8>(),
                                               kernels_of<9>(),  kernels_of<10>(), kernels_of<11>(), kernels_of<12>(),
                                               kernels_of<13>(), kernels_of<14>()};
#elif CUNN_ISA_LEVEL == 1
constexpr KernelRow kernel_table[tile_rows] = {kernels_of<1>(), kernels_of<2>(), kernels_of<3>(),
                                               kernels_of<4>(), kernels_of<5>(), kernels_of<6>()};
#else
constexpr KernelRow kernel_table[tile_rows] = {kernels_of<1>(), kernels_of<2>(), kernels_of<3>(), kernels_of<4>()};
#endif

// rows in [1, tile_rows], cols in [1, tile_cols].
CUNN_INLINE Kernel kernel_for(int64_t rows, int64_t cols) {
  return kernel_table[rows - 1].by_shape[cols > 16][cols % 16 != 0];
}

}  // namespace cunn::cpu::CUNN_ISA_NS
