// A few rows times a matrix stored [n, k]: decoding. Each element of B is read once, straight into registers.
#pragma once

#include "gemm_pack.h"
#include "tasks.h"
#include "transpose.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Most rows of A that B is streamed for; with more of them a packed panel of B is read often enough to pay.
constexpr int stream_rows = CUNN_ISA_LEVEL == 2 ? 8 : 4;

// Sixteen rows that have a transpose of their own, 64 bytes of each at a time: one line of the cache per row.
constexpr int64_t line_bytes = 64;

// The two 16-bit floats of each lane, the one at the lower address first.
template <DType t> CUNN_INLINE void widen_pairs(Vec16 pairs, Vec16 *even, Vec16 *odd) {
  if constexpr (t == DType::bf16) {
    *even = as_float(shl<16>(as_int(pairs)));
    *odd = as_float(as_int(pairs) & iset1((int32_t)0xffff0000u));
  } else {
#if CUNN_ISA_LEVEL == 2
    __m512i p = _mm512_castps_si512(pairs.v);
    even->v = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(p));
    odd->v = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(p, 16)));
#else
    int32_t bits[16];
    uint16_t low[16], high[16];
    istore(bits, as_int(pairs));
    for (int i = 0; i < 16; ++i) {
      low[i] = (uint16_t)bits[i];
      high[i] = (uint16_t)((uint32_t)bits[i] >> 16);
    }
    *even = load_f16(low);
    *odd = load_f16(high);
#endif
  }
}

// 64 bytes that may hold 16-bit floats and stand at any address.
CUNN_INLINE Vec16 load_line(const char *p) {
#if CUNN_ISA_LEVEL > 0
  return load(reinterpret_cast<const float *>(p));
#else
  Vec16 v;
  memcpy(&v, p, sizeof v);
  return v;
#endif
}

// sum[i] += A[i, k] B[j, k] for the first `count` k of the line at row[j] + at, j the lane. A[i, k] is a[k * a_step + i].
template <int M, DType t>
CUNN_INLINE void stream_line(Vec16 (&sum)[M], const float *a, int64_t a_step, const char *const *row, int64_t at,
                             int64_t count) {
  Vec16 column[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) column[r] = load_line(row[r] + at);
  transpose16(column);
  constexpr int per_lane = t == DType::f32 ? 1 : 2;
#pragma GCC unroll 16
  for (int s = 0; s < 16; ++s) {
    if (s * per_lane >= count) return;
    if constexpr (t == DType::f32) {
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) sum[i] = fma(set1(a[s * a_step + i]), column[s], sum[i]);
    } else {
      Vec16 even, odd;
      widen_pairs<t>(column[s], &even, &odd);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) sum[i] = fma(set1(a[2 * s * a_step + i]), even, sum[i]);
      if (2 * s + 1 >= count) return;
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) sum[i] = fma(set1(a[(2 * s + 1) * a_step + i]), odd, sum[i]);
    }
  }
}

// C[i, j] for i < M and j in [j0, j0 + cols), all of k, from C or from 0. b holds rows j of k elements.
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
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) sum[i] = from_c ? load(c + i * ldc + j, lanes) : zero();
    int64_t k0 = 0;
    for (; k0 + per_line <= k; k0 += per_line) {
      if (ahead) {
#pragma GCC unroll 16
        for (int r = 0; r < 16; ++r) __builtin_prefetch(row[r] + k0 * size + ahead, 0, 2);
      }
      stream_line<M, t>(sum, a + k0 * a_step, a_step, row, k0 * size, per_line);
    }
    if (k0 < k) {
      // What is left of each row, in lines of our own: nothing past the row is read, nothing past k is used.
      alignas(64) char rest[16][line_bytes] = {};
      const char *rest_row[16];
      for (int r = 0; r < 16; ++r) {
        memcpy(rest[r], row[r] + k0 * size, (size_t)((k - k0) * size));
        rest_row[r] = rest[r];
      }
      stream_line<M, t>(sum, a + k0 * a_step, a_step, rest_row, 0, k - k0);
    }
#pragma GCC unroll 8
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
#endif
};

}  // namespace cunn::cpu::CUNN_ISA_NS
