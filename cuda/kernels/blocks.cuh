// Reading one element of q8 or q4 blocks.
#pragma once
#include "common.cuh"

namespace cunn::cuda {

// x[i] = d q[i] of the block that i falls into: an exact product, so every reader gets the same bits.
template <bool kQ8>
static __device__ __forceinline__ float dequantized(const uint8_t* x, int64_t i) {
  const uint8_t* const block = x + i / kQuantBlock * (kQ8 ? kQ8BlockBytes : kQ4BlockBytes);
  const int e = int(i % kQuantBlock);
  const float d = __half2float(__ushort_as_half((unsigned short)(block[0] | block[1] << 8)));
  const int q = kQ8 ? int(int8_t(block[2 + e])) : (e < 16 ? block[2 + e] & 15 : block[2 + e - 16] >> 4) - 8;
  return float(q) * d;
}

}  // namespace cunn::cuda
