// Philox4x32-10 (Salmon et al. 2011). Counter: index low, index high, stream, sub; key: seed low, seed high.
#pragma once
#include "common.cuh"

namespace cunn::cuda {

constexpr uint32_t kStreamInit = 0, kStreamSampling = 2, kStreamRounding = 3;  // CUNN_STREAM_*

static __device__ __forceinline__ uint4 philox(uint64_t index, uint32_t stream, uint32_t sub, uint64_t seed) {
  uint32_t c0 = uint32_t(index), c1 = uint32_t(index >> 32), c2 = stream, c3 = sub;
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  CUNN_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint32_t next0 = __umulhi(c2, 0xcd9e8d57u) ^ c1 ^ k0, next2 = __umulhi(c0, 0xd2511f53u) ^ c3 ^ k1;
    c1 = c2 * 0xcd9e8d57u;
    c3 = c0 * 0xd2511f53u;
    c0 = next0;
    c2 = next2;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return make_uint4(c0, c1, c2, c3);
}

// A word as a number in [0, 1): its upper 24 bits times 2^-24.
static __device__ __forceinline__ float uniform(uint32_t word) { return float(word >> 8) * 0x1p-24f; }

// x rounded up or down to the format with the probability of its distance, by one random word. NaN and infinities stay.
//   bf16: bits(x) + (word >> 16), lower 16 bits cleared.
static __device__ __forceinline__ float round_stochastic_bf16(float x, uint32_t word) {
  const float y = __uint_as_float((__float_as_uint(x) + (word >> 16)) & 0xffff0000u);
  return fabsf(x) < __builtin_huge_valf() ? y : x;
}
//   f16, |x| >= 2^-14: bits(x) + (word >> 19), lower 13 bits cleared; below, where the unit is 2^-24: |x| 2^24 is cut to
//   an integer n and becomes n + 1 where the rest is above uniform(word).
static __device__ __forceinline__ float round_stochastic_f16(float x, uint32_t word) {
  const uint32_t u = __float_as_uint(x);
  const float normal = __uint_as_float((u + (word >> 19)) & 0xffffe000u);
  const float scaled = (fabsf(x) < 0x1p-14f ? fabsf(x) : 0x1p-14f) * 0x1p24f;
  const float whole = float(int(scaled));
  float tiny = (whole + (scaled - whole > uniform(word) ? 1.0f : 0.0f)) * 0x1p-24f;
  tiny = __uint_as_float(__float_as_uint(tiny) | (u & 0x80000000u));
  const float y = fabsf(x) >= 0x1p-14f ? normal : tiny;
  return fabsf(x) < __builtin_huge_valf() ? y : x;
}

}  // namespace cunn::cuda
