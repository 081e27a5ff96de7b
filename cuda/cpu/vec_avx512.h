// Vec16 as one 512-bit register. Included by vec.h only.
#pragma once

// GCC 12 reports the deliberately undefined operand of its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace cunn::cpu::CUNN_ISA_NS {

struct Vec16 { __m512 v; };
struct IVec16 { __m512i v; };
struct Mask16 { __mmask16 m; };

// ---- masks ----
CUNN_INLINE Mask16 first(int64_t count) {
  return {count >= 16 ? (__mmask16)0xffff : count <= 0 ? (__mmask16)0 : (__mmask16)((1u << count) - 1u)};
}
CUNN_INLINE uint32_t bits(Mask16 m) { return m.m; }
CUNN_INLINE bool any(Mask16 m) { return m.m != 0; }
CUNN_INLINE bool all(Mask16 m) { return m.m == 0xffff; }
CUNN_INLINE Mask16 operator&(Mask16 a, Mask16 b) { return {(__mmask16)(a.m & b.m)}; }
CUNN_INLINE Mask16 operator|(Mask16 a, Mask16 b) { return {(__mmask16)(a.m | b.m)}; }
CUNN_INLINE Mask16 operator~(Mask16 a) { return {(__mmask16)~a.m}; }

// ---- f32 ----
CUNN_INLINE Vec16 zero() { return {_mm512_setzero_ps()}; }
CUNN_INLINE Vec16 set1(float x) { return {_mm512_set1_ps(x)}; }
CUNN_INLINE Vec16 load(const float *p) { return {_mm512_loadu_ps(p)}; }
CUNN_INLINE Vec16 load(const float *p, int64_t count) { return {_mm512_maskz_loadu_ps(first(count).m, p)}; }
CUNN_INLINE void store(float *p, Vec16 a) { _mm512_storeu_ps(p, a.v); }
CUNN_INLINE void store(float *p, Vec16 a, int64_t count) { _mm512_mask_storeu_ps(p, first(count).m, a.v); }
// Past the caches; p must be a multiple of 64 bytes.
CUNN_INLINE void stream(float *p, Vec16 a) { _mm512_stream_ps(p, a.v); }
CUNN_INLINE void stream_fence() { _mm_sfence(); }

CUNN_INLINE Vec16 operator+(Vec16 a, Vec16 b) { return {_mm512_add_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 operator-(Vec16 a, Vec16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 operator*(Vec16 a, Vec16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 operator/(Vec16 a, Vec16 b) { return {_mm512_div_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 operator-(Vec16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
CUNN_INLINE Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
CUNN_INLINE Vec16 sqrt(Vec16 a) { return {_mm512_sqrt_ps(a.v)}; }
CUNN_INLINE Vec16 max(Vec16 a, Vec16 b) { return {_mm512_max_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 min(Vec16 a, Vec16 b) { return {_mm512_min_ps(a.v, b.v)}; }
CUNN_INLINE Vec16 abs(Vec16 a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }

CUNN_INLINE Mask16 lt(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
CUNN_INLINE Mask16 le(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
CUNN_INLINE Mask16 gt(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
CUNN_INLINE Mask16 ge(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
CUNN_INLINE Mask16 eq(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
CUNN_INLINE Mask16 ne(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
CUNN_INLINE Mask16 unordered(Vec16 a, Vec16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q)}; }
CUNN_INLINE Vec16 select(Mask16 m, Vec16 a, Vec16 b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }

// ---- i32 ----
CUNN_INLINE IVec16 izero() { return {_mm512_setzero_si512()}; }
CUNN_INLINE IVec16 iset1(int32_t x) { return {_mm512_set1_epi32(x)}; }
CUNN_INLINE IVec16 iota() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
CUNN_INLINE IVec16 iload(const int32_t *p) { return {_mm512_loadu_si512(p)}; }
CUNN_INLINE IVec16 iload(const int32_t *p, int64_t count) { return {_mm512_maskz_loadu_epi32(first(count).m, p)}; }
CUNN_INLINE void istore(int32_t *p, IVec16 a) { _mm512_storeu_si512(p, a.v); }
CUNN_INLINE void istore(int32_t *p, IVec16 a, int64_t count) { _mm512_mask_storeu_epi32(p, first(count).m, a.v); }

CUNN_INLINE IVec16 operator+(IVec16 a, IVec16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
CUNN_INLINE IVec16 operator-(IVec16 a, IVec16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
CUNN_INLINE IVec16 operator&(IVec16 a, IVec16 b) { return {_mm512_and_si512(a.v, b.v)}; }
CUNN_INLINE IVec16 operator|(IVec16 a, IVec16 b) { return {_mm512_or_si512(a.v, b.v)}; }
CUNN_INLINE IVec16 operator^(IVec16 a, IVec16 b) { return {_mm512_xor_si512(a.v, b.v)}; }
CUNN_INLINE IVec16 operator~(IVec16 a) { return {_mm512_xor_si512(a.v, _mm512_set1_epi32(-1))}; }
// Low and high 32 bits of the 64-bit product; the high half of the unsigned one.
CUNN_INLINE IVec16 mul_lo(IVec16 a, IVec16 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
CUNN_INLINE IVec16 mul_hi_u(IVec16 a, IVec16 b) {
  __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(a.v, b.v), 32);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  return {_mm512_mask_blend_epi32((__mmask16)0xaaaa, even, odd)};
}
template <int n> CUNN_INLINE IVec16 shl(IVec16 a) { return {_mm512_slli_epi32(a.v, n)}; }
template <int n> CUNN_INLINE IVec16 shr(IVec16 a) { return {_mm512_srli_epi32(a.v, n)}; }
template <int n> CUNN_INLINE IVec16 sar(IVec16 a) { return {_mm512_srai_epi32(a.v, n)}; }
CUNN_INLINE IVec16 imax(IVec16 a, IVec16 b) { return {_mm512_max_epi32(a.v, b.v)}; }
CUNN_INLINE IVec16 imin(IVec16 a, IVec16 b) { return {_mm512_min_epi32(a.v, b.v)}; }
CUNN_INLINE Mask16 eq(IVec16 a, IVec16 b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
CUNN_INLINE Mask16 gt(IVec16 a, IVec16 b) { return {_mm512_cmpgt_epi32_mask(a.v, b.v)}; }
CUNN_INLINE Mask16 lt(IVec16 a, IVec16 b) { return {_mm512_cmpgt_epi32_mask(b.v, a.v)}; }
CUNN_INLINE IVec16 select(Mask16 m, IVec16 a, IVec16 b) { return {_mm512_mask_blend_epi32(m.m, b.v, a.v)}; }

// ---- between the two ----
CUNN_INLINE IVec16 as_int(Vec16 a) { return {_mm512_castps_si512(a.v)}; }
CUNN_INLINE Vec16 as_float(IVec16 a) { return {_mm512_castsi512_ps(a.v)}; }
CUNN_INLINE IVec16 to_int(Vec16 a) { return {_mm512_cvtps_epi32(a.v)}; }
CUNN_INLINE IVec16 to_int_trunc(Vec16 a) { return {_mm512_cvttps_epi32(a.v)}; }
CUNN_INLINE Vec16 to_float(IVec16 a) { return {_mm512_cvtepi32_ps(a.v)}; }

// ---- 16-bit floats ----
CUNN_INLINE __m256i load_u16(const uint16_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
CUNN_INLINE __m256i load_u16(const uint16_t *p, int64_t count) { return _mm256_maskz_loadu_epi16(first(count).m, p); }
CUNN_INLINE Vec16 widen_bf16(__m256i h) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))}; }
CUNN_INLINE Vec16 load_bf16(const uint16_t *p) { return widen_bf16(load_u16(p)); }
CUNN_INLINE Vec16 load_bf16(const uint16_t *p, int64_t count) { return widen_bf16(load_u16(p, count)); }
CUNN_INLINE Vec16 load_f16(const uint16_t *p) { return {_mm512_cvtph_ps(load_u16(p))}; }
CUNN_INLINE Vec16 load_f16(const uint16_t *p, int64_t count) { return {_mm512_cvtph_ps(load_u16(p, count))}; }
CUNN_INLINE __m256i narrow_bf16(Vec16 a) {
  __m512i x = _mm512_castps_si512(a.v);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7fff)), odd);
  __m512i quiet = _mm512_or_si512(x, _mm512_set1_epi32(0x00400000));
  __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}
CUNN_INLINE __m256i narrow_f16(Vec16 a) { return _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT); }
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a) { _mm256_storeu_si256((__m256i *)p, narrow_bf16(a)); }
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a, int64_t count) { _mm256_mask_storeu_epi16(p, first(count).m, narrow_bf16(a)); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a) { _mm256_storeu_si256((__m256i *)p, narrow_f16(a)); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a, int64_t count) { _mm256_mask_storeu_epi16(p, first(count).m, narrow_f16(a)); }

// ---- across lanes: i with i+8, then +4, +2, +1; the lower lane is the left operand ----
CUNN_INLINE float reduce_sum(Vec16 a) {
  __m256 s = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
CUNN_INLINE float reduce_max(Vec16 a) {
  __m256 s = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_max_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

}  // namespace cunn::cpu::CUNN_ISA_NS
