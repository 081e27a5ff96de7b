// Vec16 as sixteen plain floats: the portable form, and the reading of what each operation means.
// Included by vec.h only.
#pragma once

namespace cunn::cpu::CUNN_ISA_NS {

struct Vec16 { float v[16]; };
struct IVec16 { int32_t v[16]; };
struct Mask16 { uint16_t m; };

#define CUNN_EACH(R, expression) R r; for (int i = 0; i < 16; ++i) r.v[i] = (expression); return r
#define CUNN_TEST(expression) uint32_t r = 0; for (int i = 0; i < 16; ++i) r |= (uint32_t)(expression) << i; return {(uint16_t)r}

// ---- masks ----
CUNN_INLINE Mask16 first(int64_t count) { return {(uint16_t)(count >= 16 ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1u)}; }
CUNN_INLINE uint32_t bits(Mask16 m) { return m.m; }
CUNN_INLINE bool any(Mask16 m) { return m.m != 0; }
CUNN_INLINE bool all(Mask16 m) { return m.m == 0xffff; }
CUNN_INLINE Mask16 operator&(Mask16 a, Mask16 b) { return {(uint16_t)(a.m & b.m)}; }
CUNN_INLINE Mask16 operator|(Mask16 a, Mask16 b) { return {(uint16_t)(a.m | b.m)}; }
CUNN_INLINE Mask16 operator~(Mask16 a) { return {(uint16_t)~a.m}; }

// ---- f32 ----
CUNN_INLINE Vec16 zero() { CUNN_EACH(Vec16, 0.0f); }
CUNN_INLINE Vec16 set1(float x) { CUNN_EACH(Vec16, x); }
CUNN_INLINE Vec16 load(const float *p) { CUNN_EACH(Vec16, p[i]); }
CUNN_INLINE Vec16 load(const float *p, int64_t count) { CUNN_EACH(Vec16, i < count ? p[i] : 0.0f); }
CUNN_INLINE void store(float *p, Vec16 a) { for (int i = 0; i < 16; ++i) p[i] = a.v[i]; }
CUNN_INLINE void store(float *p, Vec16 a, int64_t count) { for (int i = 0; i < 16 && i < count; ++i) p[i] = a.v[i]; }
// Past the caches where there is such a store; p must be a multiple of 64 bytes.
CUNN_INLINE void stream(float *p, Vec16 a) { store(p, a); }
CUNN_INLINE void stream_fence() {}

CUNN_INLINE Vec16 operator+(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] + b.v[i]); }
CUNN_INLINE Vec16 operator-(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] - b.v[i]); }
CUNN_INLINE Vec16 operator*(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] * b.v[i]); }
CUNN_INLINE Vec16 operator/(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] / b.v[i]); }
CUNN_INLINE Vec16 operator-(Vec16 a) { CUNN_EACH(Vec16, -a.v[i]); }
CUNN_INLINE Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { CUNN_EACH(Vec16, __builtin_fmaf(a.v[i], b.v[i], c.v[i])); }
CUNN_INLINE Vec16 sqrt(Vec16 a) { CUNN_EACH(Vec16, __builtin_sqrtf(a.v[i])); }
CUNN_INLINE Vec16 max(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
CUNN_INLINE Vec16 min(Vec16 a, Vec16 b) { CUNN_EACH(Vec16, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
CUNN_INLINE Vec16 abs(Vec16 a) { CUNN_EACH(Vec16, __builtin_fabsf(a.v[i])); }

CUNN_INLINE Mask16 lt(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] < b.v[i]); }
CUNN_INLINE Mask16 le(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] <= b.v[i]); }
CUNN_INLINE Mask16 gt(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] > b.v[i]); }
CUNN_INLINE Mask16 ge(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] >= b.v[i]); }
CUNN_INLINE Mask16 eq(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] == b.v[i]); }
CUNN_INLINE Mask16 ne(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] != b.v[i]); }
CUNN_INLINE Mask16 unordered(Vec16 a, Vec16 b) { CUNN_TEST(a.v[i] != a.v[i] || b.v[i] != b.v[i]); }
CUNN_INLINE Vec16 select(Mask16 m, Vec16 a, Vec16 b) { CUNN_EACH(Vec16, m.m >> i & 1 ? a.v[i] : b.v[i]); }

// ---- i32, wrapping ----
CUNN_INLINE IVec16 izero() { CUNN_EACH(IVec16, 0); }
CUNN_INLINE IVec16 iset1(int32_t x) { CUNN_EACH(IVec16, x); }
CUNN_INLINE IVec16 iota() { CUNN_EACH(IVec16, i); }
CUNN_INLINE IVec16 iload(const int32_t *p) { CUNN_EACH(IVec16, p[i]); }
CUNN_INLINE IVec16 iload(const int32_t *p, int64_t count) { CUNN_EACH(IVec16, i < count ? p[i] : 0); }
CUNN_INLINE void istore(int32_t *p, IVec16 a) { for (int i = 0; i < 16; ++i) p[i] = a.v[i]; }
CUNN_INLINE void istore(int32_t *p, IVec16 a, int64_t count) { for (int i = 0; i < 16 && i < count; ++i) p[i] = a.v[i]; }

CUNN_INLINE IVec16 operator+(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, (int32_t)((uint32_t)a.v[i] + (uint32_t)b.v[i])); }
CUNN_INLINE IVec16 operator-(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, (int32_t)((uint32_t)a.v[i] - (uint32_t)b.v[i])); }
CUNN_INLINE IVec16 operator&(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, a.v[i] & b.v[i]); }
CUNN_INLINE IVec16 operator|(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, a.v[i] | b.v[i]); }
CUNN_INLINE IVec16 operator^(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, a.v[i] ^ b.v[i]); }
CUNN_INLINE IVec16 operator~(IVec16 a) { CUNN_EACH(IVec16, ~a.v[i]); }
// Low and high 32 bits of the 64-bit product; the high half of the unsigned one.
CUNN_INLINE IVec16 mul_lo(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, (int32_t)((uint32_t)a.v[i] * (uint32_t)b.v[i])); }
CUNN_INLINE IVec16 mul_hi_u(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, (int32_t)((uint64_t)(uint32_t)a.v[i] * (uint32_t)b.v[i] >> 32)); }
template <int n> CUNN_INLINE IVec16 shl(IVec16 a) { CUNN_EACH(IVec16, (int32_t)((uint32_t)a.v[i] << n)); }
template <int n> CUNN_INLINE IVec16 shr(IVec16 a) { CUNN_EACH(IVec16, (int32_t)((uint32_t)a.v[i] >> n)); }
template <int n> CUNN_INLINE IVec16 sar(IVec16 a) { CUNN_EACH(IVec16, a.v[i] >> n); }
CUNN_INLINE IVec16 imax(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
CUNN_INLINE IVec16 imin(IVec16 a, IVec16 b) { CUNN_EACH(IVec16, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
CUNN_INLINE Mask16 eq(IVec16 a, IVec16 b) { CUNN_TEST(a.v[i] == b.v[i]); }
CUNN_INLINE Mask16 gt(IVec16 a, IVec16 b) { CUNN_TEST(a.v[i] > b.v[i]); }
CUNN_INLINE Mask16 lt(IVec16 a, IVec16 b) { CUNN_TEST(a.v[i] < b.v[i]); }
CUNN_INLINE IVec16 select(Mask16 m, IVec16 a, IVec16 b) { CUNN_EACH(IVec16, m.m >> i & 1 ? a.v[i] : b.v[i]); }

// ---- between the two; what does not fit an i32 becomes INT32_MIN ----
CUNN_INLINE IVec16 as_int(Vec16 a) { IVec16 r; memcpy(&r, &a, sizeof r); return r; }
CUNN_INLINE Vec16 as_float(IVec16 a) { Vec16 r; memcpy(&r, &a, sizeof r); return r; }
CUNN_INLINE bool fits_int(float x) { return x >= -2147483648.0f && x < 2147483648.0f; }
CUNN_INLINE IVec16 to_int(Vec16 a) { CUNN_EACH(IVec16, fits_int(a.v[i]) ? (int32_t)__builtin_nearbyintf(a.v[i]) : INT32_MIN); }
CUNN_INLINE IVec16 to_int_trunc(Vec16 a) { CUNN_EACH(IVec16, fits_int(a.v[i]) ? (int32_t)a.v[i] : INT32_MIN); }
CUNN_INLINE Vec16 to_float(IVec16 a) { CUNN_EACH(Vec16, (float)a.v[i]); }

// ---- 16-bit floats ----
CUNN_INLINE uint32_t float_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
CUNN_INLINE float bits_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
CUNN_INLINE float bf16_to_float(uint16_t h) { return bits_float((uint32_t)h << 16); }
CUNN_INLINE uint16_t float_to_bf16(float x) {
  uint32_t u = float_bits(x);
  if (x != x) return (uint16_t)((u | 0x00400000u) >> 16);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
CUNN_INLINE float f16_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // inf, NaN (made quiet)
    uint32_t quiet = magnitude > 0x7c00u ? 0x00400000u : 0u;
    return bits_float(sign | 0x7f800000u | quiet | (magnitude & 0x3ffu) << 13);
  }
  if (magnitude < 0x0400u) {  // zero and subnormals: magnitude * 2^-24, exact
    return bits_float(sign | float_bits((float)magnitude * 0x1p-24f));
  }
  return bits_float(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
}
CUNN_INLINE uint16_t float_to_f16(float x) {
  uint32_t u = float_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
  if (a >= 0x47800000u) return (uint16_t)(sign | 0x7c00u);  // 65536 and above
  if (a < 0x38800000u) {                                     // below 2^-14: the unit of the result is 2^-24
    // 0.5 has the unit 2^-24, so the addition rounds to it and the low bits of the sum are the result.
    return (uint16_t)(sign | (float_bits(bits_float(a) + 0.5f) - 0x3f000000u));
  }
  uint32_t odd = a >> 13 & 1u;  // a carry out of the largest exponent gives inf, as it should
  return (uint16_t)(sign | (a - ((127u - 15u) << 23) + 0xfffu + odd) >> 13);
}
CUNN_INLINE Vec16 load_bf16(const uint16_t *p) { CUNN_EACH(Vec16, bf16_to_float(p[i])); }
CUNN_INLINE Vec16 load_bf16(const uint16_t *p, int64_t count) { CUNN_EACH(Vec16, i < count ? bf16_to_float(p[i]) : 0.0f); }
CUNN_INLINE Vec16 load_f16(const uint16_t *p) { CUNN_EACH(Vec16, f16_to_float(p[i])); }
CUNN_INLINE Vec16 load_f16(const uint16_t *p, int64_t count) { CUNN_EACH(Vec16, i < count ? f16_to_float(p[i]) : 0.0f); }
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a) { for (int i = 0; i < 16; ++i) p[i] = float_to_bf16(a.v[i]); }
CUNN_INLINE void store_bf16(uint16_t *p, Vec16 a, int64_t count) { for (int i = 0; i < 16 && i < count; ++i) p[i] = float_to_bf16(a.v[i]); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a) { for (int i = 0; i < 16; ++i) p[i] = float_to_f16(a.v[i]); }
CUNN_INLINE void store_f16(uint16_t *p, Vec16 a, int64_t count) { for (int i = 0; i < 16 && i < count; ++i) p[i] = float_to_f16(a.v[i]); }

// ---- across lanes: i with i+8, then +4, +2, +1; the lower lane is the left operand ----
CUNN_INLINE float reduce_sum(Vec16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
  return a.v[0];
}
CUNN_INLINE float reduce_max(Vec16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  return a.v[0];
}

#undef CUNN_EACH
#undef CUNN_TEST

}  // namespace cunn::cpu::CUNN_ISA_NS
