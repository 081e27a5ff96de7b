// What tensor cores are handed. Activations are f32 between ops and weights bf16 or f16; a product reads both as the narrower
// one (cunn_gemm), so the f32 operand is rounded into scratch memory once, in its own layout, where an element is read for
// each tile beside it.
#pragma once
#include "gemm_mma.cuh"

namespace cunn::cuda {

constexpr int kRoundThreads = 256, kRoundPerThread = 4;
constexpr int64_t kMostLines = 65535;  // of blockIdx.y

// y[line,:] = x[line,:] rounded; line l of matrix b stands at x + b stride + l ldx.
template <class T>
__global__ void __launch_bounds__(kRoundThreads) round_lines_kernel(T* y, const float* x, int64_t matrices, int64_t lines, int64_t length,
                                                                    int64_t ldy, int64_t ldx, int64_t stride) {
  const int64_t first = int64_t(blockIdx.x) * (kRoundThreads * kRoundPerThread) + threadIdx.x;
  for (int64_t line = blockIdx.y; line < matrices * lines; line += gridDim.y) {
    const float* const from = x + line / lines * stride + line % lines * ldx;
    T* const to = y + line * ldy;
    float value[kRoundPerThread];
    CUNN_UNROLL
    for (int j = 0; j < kRoundPerThread; ++j)
      value[j] = first + j * kRoundThreads < length ? from[first + j * kRoundThreads] : 0.0f;
    CUNN_UNROLL
    for (int j = 0; j < kRoundPerThread; ++j)
      if (first + j * kRoundThreads < length) to[first + j * kRoundThreads] = from_float<T>(value[j]);
  }
}

template <class T>
const T* rounded_lines(Exec& exec, const float* x, int64_t matrices, int64_t lines, int64_t length, int64_t ldy, int64_t ldx, int64_t stride) {
  T* const y = cuda_exec(exec).memory.array<T>(matrices * lines * ldy);
  const int64_t all = matrices * lines;
  if (all == 0 || length == 0) return y;
  const dim3 grid(unsigned(ceil_div(length, kRoundThreads * kRoundPerThread)), unsigned(all < kMostLines ? all : kMostLines));
  CUNN_RUN(exec, round_lines_kernel<T>, grid, kRoundThreads, 0, y, x, matrices, lines, length, ldy, ldx, stride);
  return y;
}

// Whether tensor cores can take the operand in a product of this type. Depends on its dtype and layout, never on the number of
// rows, so a row takes the same path in any batch.
inline bool tensor_cores_take(const Matrix& x, DType type) {
  return x.dtype == DType::f32 || (x.dtype == type && mma_can_read(x));
}

// The operand as they take it: `matrices` of rows x cols elements where they stand (before a gather), batch_stride apart.
inline Matrix tensor_core_operand(Exec& exec, const Matrix& x, DType type, int64_t matrices, int64_t rows, int64_t cols) {
  if (x.dtype == type) return x;
  const bool by_rows = x.col_stride == 1;
  const int64_t lines = by_rows ? rows : cols, length = by_rows ? cols : rows, ldx = by_rows ? x.row_stride : x.col_stride;
  const int64_t ldy = ceil_div(length, 8) * 8;  // pieces of 16 bytes
  if (x.batch_stride == 0) matrices = 1;
  const float* const from = static_cast<const float*>(x.data);
  Matrix y = x;
  y.dtype = type;
  if (type == DType::bf16)
    y.data = rounded_lines<__nv_bfloat16>(exec, from, matrices, lines, length, ldy, ldx, x.batch_stride);
  else
    y.data = rounded_lines<__half>(exec, from, matrices, lines, length, ldy, ldx, x.batch_stride);
  (by_rows ? y.row_stride : y.col_stride) = ldy;
  y.batch_stride = matrices == 1 ? 0 : lines * ldy;
  return y;
}

}  // namespace cunn::cuda
