// bf16 and f16 as bit patterns: conversion to f32 (exact) and from it (round to nearest, ties to even; NaN stays NaN).
#pragma once
#include <cstdint>
#include <cstring>

namespace simt {

inline uint32_t bits_of_float(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}
inline float float_of_bits(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

inline float bf16_bits_to_float(uint16_t b) { return float_of_bits(uint32_t(b) << 16); }
inline uint16_t float_to_bf16_bits(float f) {
  const uint32_t u = bits_of_float(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // NVIDIA's canonical NaN
  return uint16_t((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

// f16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
inline float f16_bits_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
  if (exponent == 0x1f) return float_of_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
    const float magnitude = float(fraction) * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
  }
  return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}
inline uint16_t float_to_f16_bits(float f) {
  const uint32_t u = bits_of_float(f), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude >= 0x38800000u) {                                 // normal: 2^-14 and above
    const uint32_t rebased = magnitude - 0x38000000u;
    return uint16_t(sign | (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13);
  }
  if (magnitude < 0x33000000u) return uint16_t(sign);  // below half of the least subnormal
  // subnormal: the integer nearest to |f| * 2^24, ties to even
  const uint32_t shift = 126 - (magnitude >> 23), full = (magnitude & 0x7fffffu) | 0x800000u;
  const uint32_t quotient = full >> shift, rest = full & ((1u << shift) - 1), half = 1u << (shift - 1);
  return uint16_t(sign | (quotient + (rest > half || (rest == half && (quotient & 1u)) ? 1u : 0u)));
}

}  // namespace simt
