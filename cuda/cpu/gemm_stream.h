// A few rows times a matrix stored [n, k]: decoding. Each element of B is read once, straight into registers.
#pragma once

#include "gemm_pack.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Most rows of A that B is streamed for; with more of them a packed panel of B is read often enough to pay.
constexpr int stream_rows = CUNN_ISA_LEVEL == 2 ? 12 : 4;

// C[i, j] for i < M and j in [j0, j0 + cols), all of k, from C or from 0. b holds rows j of k elements,
// A[i, k] is a[k * a_step + i].
template <int M, DType t>
void stream_columns(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                    int64_t ldc, bool from_c) {
  constexpr int64_t size = t == DType::f32 ? 4 : 2, per_line = line_bytes / size;
  // The hardware follows sixteen long rows by itself; when they are short it starts anew too often, so the same place
  // of the next sixteen is asked for while these are used.
  const bool ask_ahead = k * size <= 4096;
  for (int64_t j = 0; j < cols; j += 16) {
    const int64_t lanes = least(16, cols - j);
    const char *row[16];
    for (int64_t r = 0; r < 16; ++r) row[r] = element(b, j0 + j + (r < lanes ? r : lanes - 1), 0);
    const int64_t ahead = ask_ahead && cols - j >= 32 ? 16 * b.ld * size : 0;
    Vec16 sum[M];
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) sum[i] = from_c ? load(c + i * ldc + j, lanes) : zero();
    auto add = [&](int64_t at, Vec16 column) {
#pragma GCC unroll 16
      for (int i = 0; i < M; ++i) sum[i] = fma(set1(a[at * a_step + i]), column, sum[i]);
    };
    int64_t k0 = 0;
    for (; k0 + per_line <= k; k0 += per_line) {
      if (ahead) {
#pragma GCC unroll 16
        for (int r = 0; r < 16; ++r) __builtin_prefetch(row[r] + k0 * size + ahead, 0, 2);
      }
      each_column<t, false>(row, k0 * size, [&](int64_t i, Vec16 column) { add(k0 + i, column); });
    }
    if (k0 < k) {
      const LastColumns<t> rest(row, k0 * size, (k - k0) * size);
      for (int64_t i = 0; k0 + i < k; ++i) add(k0 + i, load(rest.column[i]));
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) store(c + i * ldc + j, sum[i], lanes);
  }
}

template <int M>
void stream_rows_of(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                    int64_t ldc, bool from_c) {
  with_float(b.dtype, [&](auto type) { stream_columns<M, type.value>(k, a, a_step, b, j0, cols, c, ldc, from_c); });
}

using Stream = void (*)(int64_t k, const float *a, int64_t a_step, const Operand &b, int64_t j0, int64_t cols, float *c,
                        int64_t ldc, bool from_c);

constexpr Stream stream_table[stream_rows] = {
    stream_rows_of<1>, stream_rows_of<2>, stream_rows_of<3>, stream_rows_of<4>,
#if CUNN_ISA_LEVEL == 2
    stream_rows_of<5>, stream_rows_of<6>, stream_rows_of<7>, stream_rows_of<8>,
    stream_rows_of<9>, stream_rows_of<10>, stream_rows_of<11>, stream_rows_of<12>,
#endif
};

}  // namespace cunn::cpu::CUNN_ISA_NS
