// __nv_bfloat16 on the host: storage and conversions. Arithmetic is done in f32 by the kernels.
#pragma once
#include "simt/half_bits.h"

struct __nv_bfloat16 {
  unsigned short bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
static inline float __bfloat162float(__nv_bfloat16 b) { return simt::bf16_bits_to_float(b.bits); }
static inline __nv_bfloat16 __float2bfloat16_rn(float f) { return {simt::float_to_bf16_bits(f)}; }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.bits; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }
