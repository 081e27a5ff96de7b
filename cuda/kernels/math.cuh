// exp and log in f32 with the polynomials of the cpu device (cpu/vec_math.h), so that both devices give the same bits.
#pragma once
#include "common.cuh"

namespace cunn::cuda {

constexpr float kInfinity = __builtin_huge_valf();

static __device__ __forceinline__ float quiet_nan() { return __uint_as_float(0x7fc00000u); }

// e^x, at most 1 ulp from the correctly rounded value.
//   x = n ln 2 + r, |r| <= ln(2)/2;  e^x = 2^n (1 + r + r^2 p(r)).
// Below -87.33654 the result is 0, above 88.722839 it is inf; exp(0) is exactly 1; NaN stays NaN.
static __device__ __forceinline__ float exp_f32(float x) {
  const float shifter = 0x1.8p23f;  // adding it rounds x / ln 2 to an integer in the low bits of the sum
  const float t = fmaf(x, 0x1.715476p+0f, shifter);
  const float n = t - shifter;
  float r = fmaf(n, -0x1.62e400p-1f, x);
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6a23d0p-10f;
  p = fmaf(p, r, 0x1.123a20p-7f);
  p = fmaf(p, r, 0x1.5558f2p-5f);
  p = fmaf(p, r, 0x1.555492p-3f);
  p = fmaf(p, r, 0x1.fffffcp-2f);
  const float q = fmaf(p, r * r, r) + 1.0f;
  float y = __uint_as_float(__float_as_uint(q) + (__float_as_uint(t) << 23));
  y = x < -0x1.5d589ep+6f ? 0.0f : y;
  return x <= 0x1.62e42ep+6f ? y : x * kInfinity;
}

// ln x, at most 1 ulp or 1e-7 from the exact value. x = 2^e m, m in [sqrt(1/2), sqrt(2)), f = m - 1;
//   ln x = e ln 2 + f - f^2/2 + f^3 q(f).
// ln 0 is -inf, x < 0 and NaN give NaN, inf gives inf; ln 1 is exactly 0.
static __device__ __forceinline__ float log_f32(float x) {
  const bool small = x < 0x1p-126f;
  const float scaled = small ? x * 0x1p23f : x;
  const unsigned half_root = 0x3f3504f3u;
  const unsigned ix = __float_as_uint(scaled) - half_root;
  const float m = __uint_as_float((ix & 0x007fffffu) + half_root);
  const float e = float(int(ix) >> 23) + (small ? -23.0f : 0.0f);
  const float f = m - 1.0f;
  float q = -0x1.38b590p-4f;
  q = fmaf(q, f, 0x1.055b6cp-3f);
  q = fmaf(q, f, -0x1.0d8540p-3f);
  q = fmaf(q, f, 0x1.22da1cp-3f);
  q = fmaf(q, f, -0x1.547244p-3f);
  q = fmaf(q, f, 0x1.99a008p-3f);
  q = fmaf(q, f, -0x1.000226p-2f);
  q = fmaf(q, f, 0x1.555554p-2f);
  const float f2 = f * f;
  float y = fmaf(f * f2, q, e * 0x1.7f7d1cp-20f);
  y = fmaf(f2, -0.5f, y);
  y = fmaf(e, 0x1.62e400p-1f, f + y);
  y = x < kInfinity ? y : x;
  y = x == 0.0f ? -kInfinity : y;
  return x < 0.0f ? quiet_nan() : y;
}

static __device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + exp_f32(-x)); }
static __device__ __forceinline__ float silu(float x) { return x / (1.0f + exp_f32(-x)); }
// d silu(x) / dx = s (1 + x (1 - s)), s = sigmoid(x)
static __device__ __forceinline__ float silu_slope(float x, float s) { return s * fmaf(x, 1.0f - s, 1.0f); }

// (dp, dq) = (dy q silu'(p), dy silu(p)) of SwiGLU's y = silu(p) q
static __device__ __forceinline__ float2 swiglu_gradient(float dy, float p, float q) {
  const float s = sigmoid(p);
  return make_float2(dy * q * silu_slope(p, s), dy * (p * s));
}

// The larger number; a NaN in `x` loses.
static __device__ __forceinline__ float larger(float x, float y) { return x > y ? x : y; }

}  // namespace cunn::cuda
