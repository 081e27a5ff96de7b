// RMSNorm and its fused residual form: half a warp a row.
//
// dw sums over rows in an order fixed by the row index: chunks of 64 rows, in a chunk one fused multiply-add a row
// ascending from 0, then the chunks in order from 0, then that sum added to dw.
#include "launch.cuh"
#include "ops_decl.h"
#include "rows.cuh"

namespace cunn::cuda {

namespace {

constexpr int64_t kChunkRows = 64;
constexpr int kColumnThreads = 128;

// rstd = 1 / sqrt(mean h^2 + eps), y = (h rstd) w; with kResidual h = x + residual is written first.
template <class Y, class W, bool kResidual>
__global__ void __launch_bounds__(kRowThreads)
    rmsnorm_kernel(Y* y, float* h, float* rstd, const float* x, const float* residual, const W* w, int64_t rows, int64_t cols, float eps) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  x += r * cols;
  y += r * cols;
  if (kResidual) {
    h += r * cols;
    residual += r * cols;
  }
  float sum = 0.0f;
  CUNN_UNROLL_BY(8)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) {
    float v = x[i];
    if (kResidual) {
      v = v + residual[i];
      h[i] = v;
    }
    sum = fmaf(v, v, sum);
  }
  const float scale = 1.0f / sqrtf(row_sum(sum) / float(cols) + eps);
  if (row_lane() == 0) rstd[r] = scale;
  const float* const from = kResidual ? h : x;  // a lane reads what it wrote itself
  CUNN_UNROLL_BY(8)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) y[i] = from_float<Y>(from[i] * scale * to_float(w[i]));
}

// dx = rstd (g - xh mean(g xh)) + dh, g = dy w, xh = x rstd; dx may be dy or dh.
template <class W, bool kResidual>
__global__ void __launch_bounds__(kRowThreads)
    rmsnorm_dx_kernel(float* dx, const float* dy, const float* dh, const float* x, const W* w, const float* rstd, int64_t rows, int64_t cols) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  dx += r * cols;
  dy += r * cols;
  x += r * cols;
  if (kResidual) dh += r * cols;
  const float scale = rstd[r];
  float sum = 0.0f;
  CUNN_UNROLL_BY(8)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) sum = fmaf(dy[i] * to_float(w[i]), x[i] * scale, sum);
  const float mean = row_sum(sum) / float(cols);
  CUNN_UNROLL_BY(4)
  for (int64_t i = row_lane(); i < cols; i += kRowLanes) {
    const float xh = x[i] * scale;
    float out = (dy[i] * to_float(w[i]) - xh * mean) * scale;
    if (kResidual) out = out + dh[i];
    dx[i] = out;
  }
}

// partial[chunk, c] = sum over the chunk's rows of dy xh.
__global__ void __launch_bounds__(kColumnThreads)
    rmsnorm_dw_chunk_kernel(float* partial, const float* dy, const float* x, const float* rstd, int64_t rows, int64_t cols) {
  const int64_t c = int64_t(blockIdx.x) * kColumnThreads + threadIdx.x, chunk = blockIdx.y;
  if (c >= cols) return;
  const int64_t begin = chunk * kChunkRows, end = begin + kChunkRows < rows ? begin + kChunkRows : rows;
  float sum = 0.0f;
  CUNN_UNROLL_BY(8)
  for (int64_t r = begin; r < end; ++r) sum = fmaf(dy[r * cols + c], x[r * cols + c] * rstd[r], sum);
  partial[chunk * cols + c] = sum;
}

__global__ void __launch_bounds__(kColumnThreads) rmsnorm_dw_kernel(float* dw, float* total, const float* partial, int64_t chunks, int64_t cols, bool first, bool last) {
  const int64_t c = int64_t(blockIdx.x) * kColumnThreads + threadIdx.x;
  if (c >= cols) return;
  float sum = first ? 0.0f : total[c];
  CUNN_UNROLL_BY(8)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum = sum + partial[chunk * cols + c];
  if (last)
    dw[c] = dw[c] + sum;
  else
    total[c] = sum;
}

template <bool kResidual>
void forward(Exec& exec, Floats y, float* h, float* rstd, const float* x, const float* residual, ConstFloats w, int64_t rows, int64_t cols, float eps) {
  if (rows <= 0) return;
  with_float(y.dtype, [&](auto y_type) {
    with_float(w.dtype, [&](auto w_type) {
      using Y = typename decltype(y_type)::type;
      using W = typename decltype(w_type)::type;
      CUNN_RUN(exec, (rmsnorm_kernel<Y, W, kResidual>), grid_of(ceil_div(rows, kRowsPerBlock)), kRowThreads, 0, static_cast<Y*>(y.data), h, rstd,
               x, residual, static_cast<const W*>(w.data), rows, cols, eps);
    });
  });
}

template <bool kResidual>
void backward(Exec& exec, float* dx, float* dw, const float* dy, const float* dh, const float* x, ConstFloats w, const float* rstd,
              int64_t rows, int64_t cols) {
  if (rows <= 0 || cols <= 0) return;
  // dw first: dx may stand where dy does.
  constexpr int64_t kChunksAtOnce = 1024;  // bounds the scratch memory
  const int64_t chunks = ceil_div(rows, kChunkRows);
  DeviceScratch& memory = cuda_exec(exec).memory;
  float* const partial = memory.array<float>((chunks < kChunksAtOnce ? chunks : kChunksAtOnce) * cols);
  float* const total = memory.array<float>(cols);
  const unsigned column_blocks = unsigned(ceil_div(cols, kColumnThreads));
  for (int64_t first = 0; first < chunks; first += kChunksAtOnce) {
    const int64_t n = chunks - first < kChunksAtOnce ? chunks - first : kChunksAtOnce, row = first * kChunkRows;
    CUNN_RUN(exec, rmsnorm_dw_chunk_kernel, dim3(column_blocks, unsigned(n)), kColumnThreads, 0, partial, dy + row * cols, x + row * cols,
             rstd + row, rows - row, cols);
    CUNN_RUN(exec, rmsnorm_dw_kernel, column_blocks, kColumnThreads, 0, dw, total, partial, n, cols, first == 0, first + n == chunks);
  }
  with_float(w.dtype, [&](auto w_type) {
    using W = typename decltype(w_type)::type;
    CUNN_RUN(exec, (rmsnorm_dx_kernel<W, kResidual>), grid_of(ceil_div(rows, kRowsPerBlock)), kRowThreads, 0, dx, dy, dh, x,
             static_cast<const W*>(w.data), rstd, rows, cols);
  });
}

}  // namespace

void rmsnorm_forward(Exec& exec, const RmsnormForward& op) {
  forward<false>(exec, op.y, nullptr, op.rstd, op.x, nullptr, op.w, op.rows, op.cols, op.eps);
}
void rmsnorm_backward(Exec& exec, const RmsnormBackward& op) {
  backward<false>(exec, op.dx, op.dw, op.dy, nullptr, op.x, op.w, op.rstd, op.rows, op.cols);
}
void rmsnorm_residual_forward(Exec& exec, const RmsnormResidualForward& op) {
  forward<true>(exec, op.y, op.h, op.rstd, op.x, op.residual, op.w, op.rows, op.cols, op.eps);
}
void rmsnorm_residual_backward(Exec& exec, const RmsnormResidualBackward& op) {
  backward<true>(exec, op.dx, op.dw, op.dy, op.dh, op.h, op.w, op.rstd, op.rows, op.cols);
}

}  // namespace cunn::cuda
