// Vec16 as two 256-bit registers: lanes 0-7 in `lo`, 8-15 in `hi`. Included by vec.h only.
#pragma once

#include <immintrin.h>

namespace cunn::cpu::CUNN_ISA_NS {

struct Vec16 { __m256 lo, hi; };
struct IVec16 { __m256i lo, hi; };
struct Mask16 { __m256 lo, hi; };  // all ones or all zeros per lane

#define CUNN_BOTH(op, a, b) {op((a).lo, (b).lo), op((a).hi, (b).hi)}

// ---- masks ----
CUNN_INLINE Mask16 first(int64_t count) {
  int32_t n = count < 0 ? 0 : count > 16 ? 16 : (int32_t)count;
  __m256i c = _mm256_set1_epi32(n), i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(c, i)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(c, _mm256_add_epi32(i, _mm256_set1_epi32(8))))};
}
CUNN_INLINE uint32_t bits(Mask16 m) { return (uint32_t)_mm256_movemask_ps(m.lo) | (uint32_t)_mm256_movemask_ps(m.hi) << 8; }
CUNN_INLINE bool any(Mask16 m) { return bits(m) != 0; }
CUNN_INLINE bool all(Mask16 m) { return bits(m) == 0xffff; }
CUNN_INLINE Mask16 operator&(Mask16 a, Mask16 b) { return CUNN_BOTH(_mm256_and_ps, a, b); }
CUNN_INLINE Mask16 operator|(Mask16 a, Mask16 b) { return CUNN_BOTH(_mm256_or_ps, a, b); }
CUNN_INLINE Mask16 operator~(Mask16 a) {
  __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  return {_mm256_xor_ps(a.lo, ones), _mm256_xor_ps(a.hi, ones)};
}

// ---- f32 ----
CUNN_INLINE Vec16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
CUNN_INLINE Vec16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
CUNN_INLINE Vec16 load(const float *p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
CUNN_INLINE Vec16 load(const float *p, int64_t count) {
  Mask16 m = first(count);
  return {_mm256_maskload_ps(p, _mm256_castps_si256(m.lo)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.hi))};
}
CUNN_INLINE void store(float *p, Vec16 a) { _mm256_storeu_ps(p, a.lo); _mm256_storeu_ps(p + 8, a.hi); }
CUNN_INLINE void store(float *p, Vec16 a, int64_t count) {
  Mask16 m = first(count);
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.lo), a.lo);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.hi), a.hi);
}
// Past the caches; p must be a multiple of 64 bytes.
CUNN_INLINE void stream(float *p, Vec16 a) { _mm256_stream_ps(p, a.lo); _mm256_stream_ps(p + 8, a.hi); }
CUNN_INLINE void stream_fence() { _mm_sfence(); }

CUNN_INLINE Vec16 operator+(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_add_ps, a, b); }
CUNN_INLINE Vec16 operator-(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_sub_ps, a, b); }
CUNN_INLINE Vec16 operator*(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_mul_ps, a, b); }
CUNN_INLINE Vec16 operator/(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_div_ps, a, b); }
CUNN_INLINE Vec16 operator-(Vec16 a) { __m256 s = _mm256_set1_ps(-0.0f); return {_mm256_xor_ps(a.lo, s), _mm256_xor_ps(a.hi, s)}; }
CUNN_INLINE Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
CUNN_INLINE Vec16 sqrt(Vec16 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
CUNN_INLINE Vec16 max(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_max_ps, a, b); }
CUNN_INLINE Vec16 min(Vec16 a, Vec16 b) { return CUNN_BOTH(_mm256_min_ps, a, b); }
CUNN_INLINE Vec16 abs(Vec16 a) { __m256 s = _mm256_set1_ps(-0.0f); return {_mm256_andnot_ps(s, a.lo), _mm256_andnot_ps(s, a.hi)}; }

#define CUNN_COMPARE(predicate) {_mm256_cmp_ps(a.lo, b.lo, predicate), _mm256_cmp_ps(a.hi, b.hi, predicate)}
CUNN_INLINE Mask16 lt(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_LT_OQ); }
CUNN_INLINE Mask16 le(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_LE_OQ); }
CUNN_INLINE Mask16 gt(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_GT_OQ); }
CUNN_INLINE Mask16 ge(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_GE_OQ); }
CUNN_INLINE Mask16 eq(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_EQ_OQ); }
CUNN_INLINE Mask16 ne(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_NEQ_UQ); }
CUNN_INLINE Mask16 unordered(Vec16 a, Vec16 b) { return CUNN_COMPARE(_CMP_UNORD_Q); }
#undef CUNN_COMPARE
CUNN_INLINE Vec16 select(Mask16 m, Vec16 a, Vec16 b) { return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)}; }

// ---- i32 ----
CUNN_INLINE IVec16 izero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
CUNN_INLINE IVec16 iset1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
CUNN_INLINE IVec16 iota() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)}; }
CUNN_INLINE IVec16 iload(const int32_t *p) { return {_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8))}; }
CUNN_INLINE IVec16 iload(const int32_t *p, int64_t count) {
  Mask16 m = first(count);
  return {_mm256_maskload_epi32(p, _mm256_castps_si256(m.lo)), _mm256_maskload_epi32(p + 8, _mm256_castps_si256(m.hi))};
}
CUNN_INLINE void istore(int32_t *p, IVec16 a) { _mm256_storeu_si256((__m256i *)p, a.lo); _mm256_storeu_si256((__m256i *)(p + 8), a.hi); }
CUNN_INLINE void istore(int32_t *p, IVec16 a, int64_t count) {
  Mask16 m = first(count);
  _mm256_maskstore_epi32(p, _mm256_castps_si256(m.lo), a.lo);
  _mm256_maskstore_epi32(p + 8, _mm256_castps_si256(m.hi), a.hi);
}

CUNN_INLINE IVec16 operator+(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_add_epi32, a, b); }
CUNN_INLINE IVec16 operator-(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_sub_epi32, a, b); }
CUNN_INLINE IVec16 operator&(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_and_si256, a, b); }
CUNN_INLINE IVec16 operator|(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_or_si256, a, b); }
CUNN_INLINE IVec16 operator^(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_xor_si256, a, b); }
CUNN_INLINE IVec16 operator~(IVec16 a) { __m256i o = _mm256_set1_epi32(-1); return {_mm256_xor_si256(a.lo, o), _mm256_xor_si256(a.hi, o)}; }
// Low and high 32 bits of the 64-bit product; the high half of the unsigned one.
CUNN_INLINE IVec16 mul_lo(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_mullo_epi32, a, b); }
CUNN_INLINE __m256i mul_hi_u_half(__m256i a, __m256i b) {
  __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(a, b), 32);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
  return _mm256_blend_epi32(even, odd, 0xaa);
}
CUNN_INLINE IVec16 mul_hi_u(IVec16 a, IVec16 b) { return CUNN_BOTH(mul_hi_u_half, a, b); }
template <int n> CUNN_INLINE IVec16 shl(IVec16 a) { return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)}; }
template <int n> CUNN_INLINE IVec16 shr(IVec16 a) { return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)}; }
template <int n> CUNN_INLINE IVec16 sar(IVec16 a) { return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)}; }
CUNN_INLINE IVec16 imax(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_max_epi32, a, b); }
CUNN_INLINE IVec16 imin(IVec16 a, IVec16 b) { return CUNN_BOTH(_mm256_min_epi32, a, b); }
CUNN_INLINE Mask16 as_mask(IVec16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
CUNN_INLINE Mask16 eq(IVec16 a, IVec16 b) { return as_mask(CUNN_BOTH(_mm256_cmpeq_epi32, a, b)); }
CUNN_INLINE Mask16 gt(IVec16 a, IVec16 b) { return as_mask(CUNN_BOTH(_mm256_cmpgt_epi32, a, b)); }
CUNN_INLINE Mask16 lt(IVec16 a, IVec16 b) { return gt(b, a); }

// ---- between the two ----
CUNN_INLINE IVec16 as_int(Vec16 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
CUNN_INLINE Vec16 as_float(IVec16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
CUNN_INLINE IVec16 to_int(Vec16 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
CUNN_INLINE IVec16 to_int_trunc(Vec16 a) { return {_mm256_cvttps_epi32(a.lo), _mm256_cvttps_epi32(a.hi)}; }
CUNN_INLINE Vec16 to_float(IVec16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
CUNN_INLINE IVec16 select(Mask16 m, IVec16 a, IVec16 b) { return as_int(select(m, as_float(a), as_float(b))); }

// ---- 16-bit floats ----
struct Half16 { __m128i lo, hi; };
CUNN_INLINE Half16 load_u16(const uint16_t *p) { return {_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 8))}; }
CUNN_INLINE Half16 load_u16(const uint16_t *p, int64_t count) {
  alignas(32) uint16_t t[16] = {};
  for (int64_t i = 0; i < count && i < 16; ++i) t[i] = p[i];
  return load_u16(t);
}
CUNN_INLINE void store_u16(uint16_t *p, Half16 h) { _mm_storeu_si128((__m128i *)p, h.lo); _mm_storeu_si128((__m128i *)(p + 8), h.hi); }
CUNN_INLINE void store_u16(uint16_t *p, Half16 h, int64_t count) {
  alignas(32) uint16_t t[16];
  store_u16(t, h);
  for (int64_t i = 0; i < count && i < 16; ++i) p[i] = t[i];
}
CUNN_INLINE __m256 widen_bf16_half(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
CUNN_INLINE Vec16 widen_bf16(Half16 h) { return {widen_bf16_half(h.lo), widen_bf16_half(h.hi)}; }
CUNN_INLINE Vec16 widen_f16(Half16 h) { return {_mm256_cvtph_ps(h.lo), _mm256_cvtph_ps(h.hi)}; }
CUNN_INLINE Vec16 load_bf16(const uint16_t *p) { return widen_bf16(load_u16(p)); }
CUNN_INLINE Vec16 load_bf16(const uint16_t *p, int64_t count) { return widen_bf16(load_u16(p, count)); }
CUNN_INLINE Vec16 load_f16(const uint16_t *p) { return widen_f16(load_u16(p)); }
CUNN_INLINE Vec16 load_f16(const uint16_t *p, int64_t count) { return widen_f16(load_u16(p, count)); }
CUNN_INLINE __m128i narrow_bf16_half(__m256 a) {
  __m256i x = _mm256_castps_si256(a);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
  __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(0x7fff)), odd);
  __m256i quiet = _mm256_or_si256(x, _mm256_set1_epi32(0x00400000));
  __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  __m256i r = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
CUNN_INLINE Half16 narrow_bf16(Vec16 a) { return {narrow_bf16_half(a.lo), narrow_bf16_half(a.hi)}; }
CUNN_INLINE Half16 narrow_f16(Vec16 a) {
  return {_mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT)};
}
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a) { store_u16(p, narrow_bf16(a)); }
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a, int64_t count) { store_u16(p, narrow_bf16(a), count); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a) { store_u16(p, narrow_f16(a)); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a, int64_t count) { store_u16(p, narrow_f16(a), count); }

// ---- across lanes: i with i+8, then +4, +2, +1; the lower lane is the left operand ----
CUNN_INLINE float reduce_sum(Vec16 a) {
  __m256 s = _mm256_add_ps(a.lo, a.hi);
  __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
CUNN_INLINE float reduce_max(Vec16 a) {
  __m256 s = _mm256_max_ps(a.lo, a.hi);
  __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_max_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

#undef CUNN_BOTH

}  // namespace cunn::cpu::CUNN_ISA_NS
