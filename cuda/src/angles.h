// exp, log, sine and cosine in f64 by a fixed sequence of IEEE operations: the same bits on every device, with every C
// library and on every instruction set, which libm does not promise. Enough for rope tables, not a general replacement:
// finite arguments, 0 <= angle < 2^31. Every function is static, so each instruction set has its own.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__) || defined(__device__)
#define CUNN_ANGLE [[maybe_unused]] static __device__ inline
#else
#define CUNN_ANGLE [[maybe_unused]] static inline
#endif

namespace cunn {

CUNN_ANGLE uint64_t bits_of(double x) {
  uint64_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}
CUNN_ANGLE double double_of(uint64_t u) {
  double x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;  // the high part times |n| < 2^11 is exact

// ln x for a normal x > 0. x = 2^e m, m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1): ln m = 2 atanh(s), |s| < 0.172.
CUNN_ANGLE double log_f64(double x) {
  uint64_t u = bits_of(x) - 0x3fe6a09e667f3bcdull;  // the bits of sqrt(1/2)
  double e = (double)((int64_t)u >> 52);
  double m = double_of((u & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull);
  double s = (m - 1.0) / (m + 1.0), z = s * s;
  double p = 1.0 / 25.0;
  for (int k = 23; k >= 3; k -= 2) p = fma(p, z, 1.0 / k);
  double tail = fma(2.0 * s * z, p, e * kLn2Low);
  return fma(e, kLn2High, fma(2.0, s, tail));
}

// e^x for |x| < 700: x = n ln 2 + r, Taylor series of r, |r| < 0.347.
CUNN_ANGLE double exp_f64(double x) {
  double n = (x * 0x1.71547652b82fep+0 + 0x1.8p52) - 0x1.8p52;
  double r = fma(n, -kLn2Low, fma(n, -kLn2High, x));
  double p = 1.0;
  for (int k = 15; k >= 1; --k) p = fma(p * r, 1.0 / k, 1.0);
  return p * double_of((uint64_t)((int64_t)n + 1023) << 52);
}

// The angle less n quarter turns, n the nearest integer; then the Taylor series, |r| <= pi/4. The first subtraction is
// exact (both terms are multiples of 2^-53 and the difference is below 1), the second corrects pi/2 to 106 bits.
CUNN_ANGLE void sin_cos_f64(double angle, double *sine, double *cosine) {
  double shifted = angle * 0x1.45f306dc9c883p-1 + 0x1.8p52;  // 2/pi
  double n = shifted - 0x1.8p52;
  uint64_t quarter = bits_of(shifted) & 3;
  double r = fma(n, -0x1.921fb54442d18p+0, angle);
  r = fma(n, -0x1.1a62633145c07p-54, r);
  double z = r * r;
  double s = 1.0 / 355687428096000.0;  // 1/17!
  s = fma(s, z, -1.0 / 1307674368000.0);
  s = fma(s, z, 1.0 / 6227020800.0);
  s = fma(s, z, -1.0 / 39916800.0);
  s = fma(s, z, 1.0 / 362880.0);
  s = fma(s, z, -1.0 / 5040.0);
  s = fma(s, z, 1.0 / 120.0);
  s = fma(s, z, -1.0 / 6.0);
  s = fma(s * z, r, r);
  double c = 1.0 / 20922789888000.0;  // 1/16!
  c = fma(c, z, -1.0 / 87178291200.0);
  c = fma(c, z, 1.0 / 479001600.0);
  c = fma(c, z, -1.0 / 3628800.0);
  c = fma(c, z, 1.0 / 40320.0);
  c = fma(c, z, -1.0 / 720.0);
  c = fma(c, z, 1.0 / 24.0);
  c = fma(c, z, -0.5);
  c = fma(c, z, 1.0);
  bool swap = quarter & 1;
  double s_turned = swap ? c : s, c_turned = swap ? s : c;
  *sine = quarter & 2 ? -s_turned : s_turned;
  *cosine = (quarter + 1) & 2 ? -c_turned : c_turned;
}

#undef CUNN_ANGLE

}  // namespace cunn
