// What attention on tensor cores shares, forward and backward: 64 rows or keys of 16-bit elements in shared memory, and the
// two products of a warp's 16 rows with them.
#pragma once
#include "attention.cuh"
#include "ptx.cuh"

namespace cunn::cuda {

// A block: four warps of 16 rows. In shared memory rows of head_dim are padded to kDim with zeros and to a pitch of kDim + 8,
// see gemm_mma.cuh.
constexpr int kMmaAttentionThreads = 128, kMmaAttentionRows = 64;

static __device__ __forceinline__ uint32_t bits_of_16(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }
static __device__ __forceinline__ uint32_t bits_of_16(__half x) { return __half_as_ushort(x); }
template <class T>
static __device__ __forceinline__ uint32_t pack(float low, float high) {
  return bits_of_16(from_float<T>(low)) | bits_of_16(from_float<T>(high)) << 16;
}

// The count rows at `at` into stage [key][d], zeros beyond.
template <class T, int kDim>
static __device__ __forceinline__ void fetch_rows(T* stage, const T* x, int64_t at, int64_t row_stride, int count, int head_dim, bool aligned) {
  constexpr int kPieces = kDim / 8, kPitch = kDim + 8;
  CUNN_UNROLL_BY(4)
  for (int i = int(threadIdx.x); i < kKeys * kPieces; i += kMmaAttentionThreads) {
    const int j = i / kPieces, d = i % kPieces * 8;
    const bool there = j < count && d < head_dim;  // head_dim is a multiple of 8
    T* const to = stage + j * kPitch + d;
    const T* const from = there ? x + at + j * row_stride + d : x;
    if (aligned) {
      cp_async_16(to, from, there ? 16 : 0);
    } else {
      for (int e = 0; e < 8; ++e) to[e] = there ? from[e] : from_float<T>(0.0f);
    }
  }
}

template <int kColumnFrags>
static __device__ __forceinline__ void clear(float (&acc)[kColumnFrags][4]) {
  CUNN_UNROLL
  for (int f = 0; f < kColumnFrags; ++f)
    CUNN_UNROLL
    for (int e = 0; e < 4; ++e) acc[f][e] = 0.0f;
}

// out [16, 8 kFrags] = rows a_row .. of a times rows b_row .. of b, both [row][d] in shared memory.
template <class T, int kDim, int kFrags>
static __device__ __forceinline__ void multiply_rows(float (&out)[kFrags][4], const T* a, int a_row, const T* b, int b_row) {
  constexpr int kPitch = kDim + 8;
  const int lane = int(threadIdx.x) % 32;
  clear(out);
  CUNN_UNROLL
  for (int d = 0; d < kDim; d += 16) {
    uint32_t fa[4];
    ldmatrix_x4(fa, &a[(a_row + lane % 16) * kPitch + d + lane / 16 * 8]);
    CUNN_UNROLL
    for (int f = 0; f < kFrags; f += 2) {
      uint32_t both[4];
      ldmatrix_x4(both, &b[(b_row + f * 8 + lane % 8 + lane / 16 * 8) * kPitch + d + lane / 8 % 2 * 8]);
      const uint32_t first[2] = {both[0], both[1]}, second[2] = {both[2], both[3]};
      mma_m16n8k16<T>(out[f], fa, first);
      mma_m16n8k16<T>(out[f + 1], fa, second);
    }
  }
}

// acc [16, kDim] += weights [16, 8 kFrags] times rows b_row .. of b. Two fragments of accumulators lie as the operand of 16
// columns does, so weights need not move between lanes.
template <class T, int kDim, int kFrags>
static __device__ __forceinline__ void accumulate_rows(float (&acc)[kDim / 8][4], const float (&weights)[kFrags][4], const T* b, int b_row) {
  constexpr int kPitch = kDim + 8;
  const int lane = int(threadIdx.x) % 32;
  CUNN_UNROLL
  for (int f = 0; f < kFrags; f += 2) {
    const uint32_t w[4] = {pack<T>(weights[f][0], weights[f][1]), pack<T>(weights[f][2], weights[f][3]),
                           pack<T>(weights[f + 1][0], weights[f + 1][1]), pack<T>(weights[f + 1][2], weights[f + 1][3])};
    CUNN_UNROLL
    for (int d = 0; d < kDim / 8; d += 2) {
      uint32_t both[4];
      ldmatrix_x4_transposed(both, &b[(b_row + f * 8 + lane % 16) * kPitch + d * 8 + lane / 16 * 8]);
      const uint32_t first[2] = {both[0], both[1]}, second[2] = {both[2], both[3]};
      mma_m16n8k16<T>(acc[d], w, first);
      mma_m16n8k16<T>(acc[d + 1], w, second);
    }
  }
}

// Depends on what a sequence keeps for good (dtype, head_dim), never on strides or sizes, so that a row takes the same path
// in prefill and decode.
inline bool mma_can_attend(Exec& exec, const AttentionCall& c) {
  const int capability = cuda_exec(exec).compute_capability;
  const int64_t most = capability >= 80 ? 128 : capability >= 75 ? 64 : 0;  // see mma_attention_exists
  return has_tensor_cores(exec, c.kv_dtype) && c.s.head_dim % 8 == 0 && c.s.head_dim <= most;
}

// Whether every row of keys and values starts at a multiple of 16 bytes, as cp.async wants; else plain copies bring the same.
inline bool keys_are_aligned(const AttentionCall& c) {
  const auto multiple = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return multiple(c.k) && multiple(c.v) && c.kv_row_stride % 8 == 0 && c.kv_head_stride % 8 == 0 && c.kv_sequence_stride % 8 == 0;
}

}  // namespace cunn::cuda
