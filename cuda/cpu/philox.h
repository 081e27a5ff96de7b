// Philox4x32-10 (Salmon et al. 2011), sixteen blocks at a time.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Word w of sixteen consecutive blocks.
struct PhiloxBlocks {
  IVec16 w[4];
};

// Blocks (index, stream, sub), (index + 1, stream, sub), ... of a seed. Counter: index low, index high, stream, sub;
// key: seed low, seed high.
CUNN_INLINE PhiloxBlocks philox(uint64_t index, uint32_t stream, uint32_t sub, uint64_t seed) {
  IVec16 c0 = iset1((int32_t)(uint32_t)index) + iota(), c1 = iset1((int32_t)(uint32_t)(index >> 32));
  if ((uint32_t)index > 0xfffffff0u) {  // the low word wraps within the sixteen
    int32_t high[16];
    for (uint32_t i = 0; i < 16; ++i)
      high[i] = (int32_t)(uint32_t)((index + i) >> 32);
    c1 = iload(high);
  }
  IVec16 c2 = iset1((int32_t)stream), c3 = iset1((int32_t)sub);
  const IVec16 m0 = iset1((int32_t)0xd2511f53u), m1 = iset1((int32_t)0xcd9e8d57u);
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    IVec16 next0 = mul_hi_u(c2, m1) ^ c1 ^ iset1((int32_t)k0);
    IVec16 next2 = mul_hi_u(c0, m0) ^ c3 ^ iset1((int32_t)k1);
    c1 = mul_lo(c2, m1);
    c3 = mul_lo(c0, m0);
    c0 = next0;
    c2 = next2;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

// Word 0 as a number in [0, 1): its upper 24 bits times 2^-24.
CUNN_INLINE Vec16 uniform(IVec16 word) { return to_float(shr<8>(word)) * set1(0x1p-24f); }

// x rounded up or down to the format with the probability of its distance, by one random word; the result is exactly
// representable. NaN and infinities stay.
//   bf16: bits(x) + (word >> 16), lower 16 bits cleared. The upper half of the word is added below the kept mantissa.
CUNN_INLINE Vec16 round_stochastic_bf16(Vec16 x, IVec16 word) {
  IVec16 u = as_int(x);
  Vec16 y = as_float((u + shr<16>(word)) & iset1((int32_t)0xffff0000u));
  return select(lt(abs(x), set1(__builtin_inff())), y, x);
}
//   f16, |x| >= 2^-14: bits(x) + (word >> 19), lower 13 bits cleared; below, where the unit is 2^-24: |x| 2^24 is cut
//   to an integer n and becomes n + 1 where the rest is above uniform(word).
CUNN_INLINE Vec16 round_stochastic_f16(Vec16 x, IVec16 word) {
  IVec16 u = as_int(x);
  Vec16 normal = as_float((u + shr<19>(word)) & iset1((int32_t)0xffffe000u));
  Vec16 scaled = min(abs(x), set1(0x1p-14f)) * set1(0x1p24f);
  Vec16 whole = to_float(to_int_trunc(scaled));
  Vec16 up = select(gt(scaled - whole, uniform(word)), set1(1.0f), zero());
  Vec16 tiny = (whole + up) * set1(0x1p-24f);
  tiny = as_float(as_int(tiny) | (u & iset1((int32_t)0x80000000u)));
  Vec16 y = select(ge(abs(x), set1(0x1p-14f)), normal, tiny);
  return select(lt(abs(x), set1(__builtin_inff())), y, x);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
