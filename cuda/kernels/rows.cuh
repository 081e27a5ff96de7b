// Reductions over a row in the order of the contract: element i belongs to lane i mod 16, a lane takes its elements
// ascending, and the sixteen partial results are combined in a fixed tree. Half a warp works on a row, so what a row
// gets depends on the row alone.
#pragma once
#include "math.cuh"

namespace cunn::cuda {

constexpr int kRowLanes = 16;
constexpr int kRowThreads = 256;  // of a block: 16 rows
constexpr int kRowsPerBlock = kRowThreads / kRowLanes;

static __device__ __forceinline__ int row_lane() { return int(threadIdx.x) % kRowLanes; }
static __device__ __forceinline__ int64_t row_of_thread() {
  return int64_t(blockIdx.x) * kRowsPerBlock + int(threadIdx.x) / kRowLanes;
}
// The half warp of this thread: the only lanes it waits for, so a row that does not exist may return.
static __device__ __forceinline__ unsigned row_mask() { return 0xffffu << (threadIdx.x & 16u); }

// ((v0 + v8) + (v4 + v12)) + ...: the tree of halves. Every lane gets the same bits.
static __device__ __forceinline__ float row_sum(float v) {
  const unsigned mask = row_mask();
  CUNN_UNROLL
  for (int half = 8; half > 0; half /= 2) v += __shfl_xor_sync(mask, v, half, kRowLanes);
  return v;
}
static __device__ __forceinline__ float row_max(float v) {
  const unsigned mask = row_mask();
  CUNN_UNROLL
  for (int half = 8; half > 0; half /= 2) {
    const float other = __shfl_xor_sync(mask, v, half, kRowLanes);
    v = larger(other, v);
  }
  return v;
}

// m = max_c x[c] (-inf when every element is -inf or NaN) and sum_c exp(x[c] - m).
struct RowExpSum {
  float max, sum;
};

constexpr int64_t kSoftmaxBlock = 1024;

// Blocks of 1024 columns in order with a running maximum (Milakov and Gimelshein 2018); the partial sums are rescaled
// when a block raises it. A NaN or +inf makes the sum NaN; a row of -inf has the sum 0.
static __device__ __forceinline__ RowExpSum row_exp_sum(const float* x, int64_t cols) {
  const int lane = row_lane();
  float m = -kInfinity, sum = 0.0f;
  for (int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    const int64_t end = begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
    float block = -kInfinity;
  CUNN_UNROLL_BY(8)
    for (int64_t i = begin + lane; i < end; i += kRowLanes) block = larger(x[i], block);
    block = row_max(block);
    if (block > m) {
      if (begin > 0) sum = sum * exp_f32(m - block);
      m = block;
    }
    const float reference = m == -kInfinity ? 0.0f : m;  // -inf - -inf would be NaN
  CUNN_UNROLL_BY(8)
    for (int64_t i = begin + lane; i < end; i += kRowLanes) sum += exp_f32(x[i] - reference);
  }
  return {m, row_sum(sum)};
}

// y = exp(x - m) / sum, by the reciprocal of the sum, which is divided once per row; y may be x.
static __device__ __forceinline__ void softmax_row(float* y, const float* x, int64_t cols) {
  const RowExpSum s = row_exp_sum(x, cols);
  const float scale = s.max == -kInfinity ? quiet_nan() : 1.0f / s.sum;
  CUNN_UNROLL_BY(4)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) y[i] = exp_f32(x[i] - s.max) * scale;
}

}  // namespace cunn::cuda
