// Softmax and top-k over the columns of a matrix.
#include "launch.cuh"
#include "ops_decl.h"
#include "top_k.cuh"

namespace cunn::cuda {

namespace {

__global__ void __launch_bounds__(kRowThreads) softmax_kernel(float* y, float* references, const float* x, int64_t rows, int64_t cols, int64_t ldy, int64_t ldx) {
  const int64_t r = row_of_thread();
  if (r < rows) softmax_row(y + r * ldy, x + r * ldx, cols, references + r * softmax_blocks(cols));
}

// dx = y (dy - sum_c dy y)
__global__ void __launch_bounds__(kRowThreads)
    softmax_backward_kernel(float* dx, const float* dy, const float* y, int64_t rows, int64_t cols, int64_t ld) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  dx += r * ld;
  dy += r * ld;
  y += r * ld;
  float sum = 0.0f;
  CUNN_UNROLL_BY(8)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) sum = fmaf(dy[i], y[i], sum);
  const float dot = row_sum(sum);
  CUNN_UNROLL_BY(4)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) dx[i] = y[i] * (dy[i] - dot);
}

// Rows up to this long are selected from by half a warp.
constexpr int64_t kShortRow = 256;

__global__ void __launch_bounds__(kRowThreads)
    top_k_short_kernel(float* values, int32_t* indices, const float* x, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  x += r * ldx;
  select_by_row(x, cols, k, [&](int64_t j, int64_t index) {
    if (row_lane() != 0) return;
    values[r * k + j] = x[index];
    indices[r * k + j] = int32_t(index);
  });
}

__global__ void __launch_bounds__(kSelectThreads)
    top_k_long_kernel(float* values, int32_t* indices, const float* x, int64_t cols, int64_t ldx, int64_t k) {
  CUNN_SHARED(SelectShared, select, [1]);
  CUNN_SHARED(unsigned long long, keys, [kMaxTopK]);
  const int64_t r = blockIdx.x;
  x += r * ldx;
  select_by_block(x, cols, k, keys, select[0]);
  for (int64_t j = threadIdx.x; j < k; j += kSelectThreads) {
    const int64_t index = top_k_index(keys[j]);
    values[r * k + j] = x[index];
    indices[r * k + j] = int32_t(index);
  }
}

void run_top_k(Exec& exec, float* values, int32_t* indices, const float* x, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  if (rows <= 0 || k <= 0) return;
  if (cols <= kShortRow)
    CUNN_RUN(exec, top_k_short_kernel, grid_of(ceil_div(rows, kRowsPerBlock)), kRowThreads, 0, values, indices, x, rows, cols, ldx, k);
  else
    CUNN_RUN(exec, top_k_long_kernel, grid_of(rows), kSelectThreads, 0, values, indices, x, cols, ldx, k);
}

// dx = dvalues at indices, 0 elsewhere.
__global__ void __launch_bounds__(kRowThreads)
    top_k_backward_kernel(float* dx, const float* dvalues, const int32_t* indices, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) dx[r * ldx + i] = 0.0f;
  __syncwarp(row_mask());
  for (int64_t j = row_lane(); j < k; j += kRowLanes)
    if (in_range(indices[r * k + j], cols)) dx[r * ldx + indices[r * k + j]] = dvalues[r * k + j];
}

// g is dvalues at indices and 0 elsewhere: dx = probs (g - sum_j g probs), k terms in the order of the choices.
__global__ void __launch_bounds__(kRowThreads)
    softmax_top_k_backward_kernel(float* dx, const float* dvalues, const int32_t* indices, const float* probs, int64_t rows,
                                  int64_t cols, int64_t ldx, int64_t k) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  dx += r * ldx;
  probs += r * cols;
  dvalues += r * k;
  indices += r * k;
  float dot = 0.0f;
  for (int64_t j = 0; j < k; ++j)
    if (in_range(indices[j], cols)) dot = fmaf(dvalues[j], probs[indices[j]], dot);
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) dx[i] = probs[i] * -dot;
  __syncwarp(row_mask());
  for (int64_t j = row_lane(); j < k; j += kRowLanes)
    if (in_range(indices[j], cols)) dx[indices[j]] = probs[indices[j]] * (dvalues[j] - dot);
}

dim3 row_grid(int64_t rows) { return grid_of(ceil_div(rows, kRowsPerBlock)); }

void run_softmax(Exec& exec, float* y, const float* x, int64_t rows, int64_t cols, int64_t ldy, int64_t ldx) {
  float* const references = cuda_exec(exec).memory.array<float>(rows * softmax_blocks(cols));
  CUNN_RUN(exec, softmax_kernel, row_grid(rows), kRowThreads, 0, y, references, x, rows, cols, ldy, ldx);
}

}  // namespace

void softmax_forward(Exec& exec, const SoftmaxForward& op) {
  if (op.rows > 0) run_softmax(exec, op.y, op.x, op.rows, op.cols, op.ldy, op.ldx);
}

void softmax_backward(Exec& exec, const SoftmaxBackward& op) {
  if (op.rows <= 0) return;
  CUNN_RUN(exec, softmax_backward_kernel, row_grid(op.rows), kRowThreads, 0, op.dx, op.dy, op.y, op.rows, op.cols, op.ld);
}

void top_k_forward(Exec& exec, const TopKForward& op) {
  run_top_k(exec, op.values, op.indices, op.x, op.rows, op.cols, op.ldx, op.k);
}

void top_k_backward(Exec& exec, const TopKBackward& op) {
  if (op.rows <= 0) return;
  check_values(exec, OpId::top_k_backward, DeviceFault::row_out_of_range, op.indices, op.rows * op.k, op.cols);
  CUNN_RUN(exec, top_k_backward_kernel, row_grid(op.rows), kRowThreads, 0, op.dx, op.dvalues, op.indices, op.rows, op.cols, op.ldx, op.k);
}

void softmax_top_k_forward(Exec& exec, const SoftmaxTopKForward& op) {
  if (op.rows <= 0) return;
  run_softmax(exec, op.probs, op.x, op.rows, op.cols, op.cols, op.ldx);
  run_top_k(exec, op.values, op.indices, op.probs, op.rows, op.cols, op.cols, op.k);
}

void softmax_top_k_backward(Exec& exec, const SoftmaxTopKBackward& op) {
  if (op.rows <= 0) return;
  check_values(exec, OpId::softmax_top_k_backward, DeviceFault::row_out_of_range, op.indices, op.rows * op.k, op.cols);
  CUNN_RUN(exec, softmax_top_k_backward_kernel, row_grid(op.rows), kRowThreads, 0, op.dx, op.dvalues, op.indices, op.probs, op.rows,
           op.cols, op.ldx, op.k);
}

}  // namespace cunn::cuda
