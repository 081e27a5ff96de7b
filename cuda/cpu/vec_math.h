// exp, log and rounding to the 16-bit formats on Vec16, written once on its operations. Included by vec.h only.
#pragma once

namespace cunn::cpu::CUNN_ISA_NS {

// e^x, at most 1 ulp from the correctly rounded value over the whole range.
//   x = n ln 2 + r, |r| <= ln(2)/2;  e^x = 2^n (1 + r + r^2 p(r)), p of degree 4 by the Remez exchange (error 3e-9).
// Results below the smallest normal number (x < -87.33654) are flushed to 0: a tail of softmax must not cost
// denormal arithmetic. x > 88.722839 gives inf, -inf gives 0, NaN stays NaN; exp(0) is exactly 1.
CUNN_INLINE Vec16 exp(Vec16 x) {
  // Adding 1.5 * 2^23 rounds x / ln 2 to an integer that then stands in the low bits of the sum.
  const Vec16 shifter = set1(0x1.8p23f);
  Vec16 t = fma(x, set1(0x1.715476p+0f), shifter);
  Vec16 n = t - shifter;
  Vec16 r = fma(n, set1(-0x1.62e400p-1f), x);  // ln 2 in two parts, the first short enough that n times it is exact
  r = fma(n, set1(-0x1.7f7d1cp-20f), r);
  Vec16 p = set1(0x1.6a23d0p-10f);
  p = fma(p, r, set1(0x1.123a20p-7f));
  p = fma(p, r, set1(0x1.5558f2p-5f));
  p = fma(p, r, set1(0x1.555492p-3f));
  p = fma(p, r, set1(0x1.fffffcp-2f));
  Vec16 q = fma(p, r * r, r) + set1(1.0f);
  // q * 2^n by adding n to the exponent; inside the range below it neither underflows nor runs past inf.
  Vec16 y = as_float(as_int(q) + shl<23>(as_int(t)));
  y = select(lt(x, set1(-0x1.5d589ep+6f)), zero(), y);
  return select(le(x, set1(0x1.62e42ep+6f)), y, x * set1(__builtin_inff()));
}

// ln x, at most 1 ulp or 1e-7 from the exact value. x = 2^e m, m in [sqrt(1/2), sqrt(2)), f = m - 1;
//   ln x = e ln 2 + f - f^2/2 + f^3 q(f), q of degree 7 by the Remez exchange (error 6e-9).
// ln 0 is -inf, x < 0 and NaN give NaN, inf gives inf; denormal x is exact like any other; ln 1 is exactly 0.
CUNN_INLINE Vec16 log(Vec16 x) {
  Mask16 small = lt(x, set1(0x1p-126f));
  Vec16 scaled = select(small, x * set1(0x1p23f), x);
  // Subtracting the bits of sqrt(1/2) puts the split between exponents at sqrt(1/2) instead of 1.
  const IVec16 half_root = iset1(0x3f3504f3);
  IVec16 ix = as_int(scaled) - half_root;
  Vec16 m = as_float((ix & iset1(0x007fffff)) + half_root);
  Vec16 e = to_float(sar<23>(ix)) + select(small, set1(-23.0f), zero());
  Vec16 f = m - set1(1.0f);
  Vec16 q = set1(-0x1.38b590p-4f);
  q = fma(q, f, set1(0x1.055b6cp-3f));
  q = fma(q, f, set1(-0x1.0d8540p-3f));
  q = fma(q, f, set1(0x1.22da1cp-3f));
  q = fma(q, f, set1(-0x1.547244p-3f));
  q = fma(q, f, set1(0x1.99a008p-3f));
  q = fma(q, f, set1(-0x1.000226p-2f));
  q = fma(q, f, set1(0x1.555554p-2f));
  Vec16 f2 = f * f;
  Vec16 y = fma(f * f2, q, e * set1(0x1.7f7d1cp-20f));
  y = fma(f2, set1(-0.5f), y);
  y = fma(e, set1(0x1.62e400p-1f), f + y);
  Vec16 inf = set1(__builtin_inff());
  y = select(lt(x, inf), y, x);  // inf and NaN
  y = select(eq(x, zero()), -inf, y);
  return select(lt(x, zero()), set1(__builtin_nanf("")), y);
}

// The value after a round trip through the 16-bit format (nearest even).
CUNN_INLINE Vec16 round_bf16(Vec16 x) {
  IVec16 u = as_int(x);
  IVec16 rounded = u + iset1(0x7fff) + (shr<16>(u) & iset1(1));
  IVec16 kept = select(unordered(x, x), u | iset1(0x00400000), rounded);
  return as_float(kept & iset1((int32_t)0xffff0000u));
}
CUNN_INLINE Vec16 round_f16(Vec16 x) {
  uint16_t h[16];
  store_f16(h, x);
  return load_f16(h);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
