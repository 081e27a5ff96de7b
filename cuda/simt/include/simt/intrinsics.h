// Device functions without side effects: bit tricks, casts, rounding-explicit arithmetic, cached loads.
#pragma once
#include <cmath>
#include <cstring>
#include "language.h"

namespace simt {
template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast between sizes");
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
}  // namespace simt

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (x >> i & 1u) << (31 - i);
  return r;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __float_as_int(float x) { return simt::bit_cast<int>(x); }
static inline unsigned __float_as_uint(float x) { return simt::bit_cast<unsigned>(x); }
static inline float __int_as_float(int x) { return simt::bit_cast<float>(x); }
static inline float __uint_as_float(unsigned x) { return simt::bit_cast<float>(x); }
static inline long long __double_as_longlong(double x) { return simt::bit_cast<long long>(x); }
static inline double __longlong_as_double(long long x) { return simt::bit_cast<double>(x); }
static inline int __float2int_rn(float x) { return int(lrintf(x)); }

// On a card these keep the compiler from fusing; on the host -ffp-contract=off already does.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }

// Loads and stores with a cache hint are plain ones.
template <class T>
static inline T __ldg(const T* p) { return *p; }
template <class T>
static inline T __ldcs(const T* p) { return *p; }
template <class T>
static inline T __ldcg(const T* p) { return *p; }
template <class T>
static inline void __stcs(T* p, T v) { *p = v; }
template <class T>
static inline void __stcg(T* p, T v) { *p = v; }

template <class T>
static constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T>
static constexpr T max(T a, T b) { return a < b ? b : a; }
