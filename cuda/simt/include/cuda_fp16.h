// __half on the host: storage and conversions. Arithmetic is done in f32 by the kernels.
#pragma once
#include "simt/half_bits.h"

struct __half {
  unsigned short bits;
};
struct alignas(4) __half2 {
  __half x, y;
};
static inline float __half2float(__half h) { return simt::f16_bits_to_float(h.bits); }
static inline __half __float2half_rn(float f) { return {simt::float_to_f16_bits(f)}; }
static inline unsigned short __half_as_ushort(__half h) { return h.bits; }
static inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
