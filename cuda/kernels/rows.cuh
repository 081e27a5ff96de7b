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
static __host__ __device__ __forceinline__ int64_t softmax_blocks(int64_t cols) { return (cols + kSoftmaxBlock - 1) / kSoftmaxBlock; }

// Blocks of 1024 columns in order with a running maximum (Milakov and Gimelshein 2018); the partial sums are rescaled
// when a block raises it. A block is summed by itself and then added, because a long row has many terms each too small to
// change a sum that already holds its largest. A NaN or +inf makes the sum NaN; a row of -inf has the sum 0.
//
// visit(i, term) for each of the lane's columns; end_of_block(b, maximum so far), what the block's terms are relative to.
template <class Visit, class EndOfBlock>
static __device__ __forceinline__ RowExpSum row_exp_sum(const float* x, int64_t cols, Visit visit, EndOfBlock end_of_block) {
  const int lane = row_lane();
  float m = -kInfinity, sum = 0.0f;
  for (int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    const int64_t end = begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
    float largest = -kInfinity;
    CUNN_UNROLL_BY(8)
    for (int64_t i = begin + lane; i < end; i += kRowLanes) largest = larger(x[i], largest);
    largest = row_max(largest);
    if (largest > m) {
      if (begin > 0) sum = sum * exp_f32(m - largest);
      m = largest;
    }
    const float reference = m == -kInfinity ? 0.0f : m;  // -inf - -inf would be NaN
    float block = 0.0f;
    CUNN_UNROLL_BY(8)
    for (int64_t i = begin + lane; i < end; i += kRowLanes) {
      const float term = exp_f32(x[i] - reference);
      visit(i, term);
      block += term;
    }
    sum += block;
    end_of_block(begin / kSoftmaxBlock, m);
  }
  return {m, row_sum(sum)};
}
static __device__ __forceinline__ RowExpSum row_exp_sum(const float* x, int64_t cols) {
  return row_exp_sum(x, cols, [](int64_t, float) {}, [](int64_t, float) {});
}

// y = exp(x - m) / sum. Exponentials are taken once and wait in y: those of a block are then multiplied by
// exp(reference - m) / sum, a single block's by 1 / sum. A row of -inf gives NaN, as the equation does. y may be x;
// references [softmax_blocks(cols)] is memory of the row's own, not used when there is one block.
static __device__ __forceinline__ void softmax_row(float* y, const float* x, int64_t cols, float* references) {
  const bool one_block = cols <= kSoftmaxBlock;
  const RowExpSum s = row_exp_sum(
      x, cols, [&](int64_t i, float term) { y[i] = term; },
      [&](int64_t block, float reference) {
        if (!one_block && row_lane() == 0) references[block] = reference;
      });
  __syncwarp(row_mask());  // references are lane 0's
  const float inverse = 1.0f / s.sum;
  for (int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    const int64_t end = begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
    const float scale = one_block ? inverse : exp_f32(references[begin / kSoftmaxBlock] - s.max) * inverse;
    CUNN_UNROLL_BY(4)
    for (int64_t i = begin + row_lane(); i < end; i += kRowLanes) y[i] = y[i] * scale;
  }
}

}  // namespace cunn::cuda
