// The transpose of a 16 x 16 block of f32 held in sixteen vectors: no arithmetic, so the same on every instruction
// set.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

#if CUNN_ISA_LEVEL == 2

// Four rounds of sixteen shuffles: pairs of rows, of pairs, then whole 128-bit quarters.
CUNN_INLINE void transpose16(Vec16 (&r)[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  __m512d u[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2]));
    u[i + 1] = _mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2]));
    u[i + 2] = _mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3]));
    u[i + 3] = _mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3]));
  }
  // u[4 g + c] holds, in quarter j, column 4 j + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    __m512 a = _mm512_castpd_ps(u[c]), b = _mm512_castpd_ps(u[4 + c]);
    __m512 d = _mm512_castpd_ps(u[8 + c]), e = _mm512_castpd_ps(u[12 + c]);
    __m512 ab_even = _mm512_shuffle_f32x4(a, b, 0x88), ab_odd = _mm512_shuffle_f32x4(a, b, 0xdd);
    __m512 de_even = _mm512_shuffle_f32x4(d, e, 0x88), de_odd = _mm512_shuffle_f32x4(d, e, 0xdd);
    r[c].v = _mm512_shuffle_f32x4(ab_even, de_even, 0x88);
    r[4 + c].v = _mm512_shuffle_f32x4(ab_odd, de_odd, 0x88);
    r[8 + c].v = _mm512_shuffle_f32x4(ab_even, de_even, 0xdd);
    r[12 + c].v = _mm512_shuffle_f32x4(ab_odd, de_odd, 0xdd);
  }
}

#elif CUNN_ISA_LEVEL == 1

CUNN_INLINE void transpose8(__m256 (&r)[8]) {
  __m256 t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    r[c] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
    r[4 + c] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
  }
}

CUNN_INLINE void transpose16(Vec16 (&r)[16]) {
  __m256 q[2][2][8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    q[0][0][i] = r[i].lo;
    q[0][1][i] = r[i].hi;
    q[1][0][i] = r[8 + i].lo;
    q[1][1][i] = r[8 + i].hi;
  }
  transpose8(q[0][0]);
  transpose8(q[0][1]);
  transpose8(q[1][0]);
  transpose8(q[1][1]);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i].lo = q[0][0][i];
    r[i].hi = q[1][0][i];
    r[8 + i].lo = q[0][1][i];
    r[8 + i].hi = q[1][1][i];
  }
}

#else

CUNN_INLINE void transpose16(Vec16 (&r)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      float x = r[i].v[j];
      r[i].v[j] = r[j].v[i];
      r[j].v[i] = x;
    }
  }
}

#endif

}  // namespace cunn::cpu::CUNN_ISA_NS
