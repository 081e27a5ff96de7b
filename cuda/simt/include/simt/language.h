// Words of the CUDA language: qualifiers, built-in types and variables.
#pragma once
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// __shared__ has no host meaning that survives several blocks in flight, poisoning and bounds checks: kernels
// declare shared memory with CUNN_SHARED and CUNN_DYNAMIC_SHARED (kernels/common.cuh), which reach runtime.h.
#define __shared__ static_assert(false, "declare shared memory with CUNN_SHARED or CUNN_DYNAMIC_SHARED");

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Vector types carry CUDA's alignment, so that a misaligned vector access is reported by UBSan as it would fault on a card.
#define SIMT_VECTOR_TYPES(T, name)                                       \
  struct alignas(2 * sizeof(T)) name##2 {                                \
    T x, y;                                                              \
  };                                                                     \
  struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 {      \
    T x, y, z, w;                                                        \
  };                                                                     \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }      \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMT_VECTOR_TYPES(float, float)
SIMT_VECTOR_TYPES(int, int)
SIMT_VECTOR_TYPES(unsigned, uint)
SIMT_VECTOR_TYPES(unsigned short, ushort)
SIMT_VECTOR_TYPES(signed char, char)
SIMT_VECTOR_TYPES(unsigned char, uchar)
SIMT_VECTOR_TYPES(long long, longlong)
SIMT_VECTOR_TYPES(double, double)
#undef SIMT_VECTOR_TYPES

static constexpr int warpSize = 32;
