// Cross entropy over the vocabulary: half a warp a row, one reading of the logits each way.
#include "launch.cuh"
#include "ops_decl.h"
#include "ordered_sum.cuh"
#include "rows.cuh"

namespace cunn::cuda {

namespace {

constexpr int kCountThreads = 256;

// Targets are -1 or below vocab; one that is neither is reported, and its row does not count.
__global__ void __launch_bounds__(kCountThreads) count_kernel(int64_t* count, const int32_t* targets, int64_t rows, int64_t vocab) {
  CUNN_SHARED(unsigned long long, total, [1]);
  if (threadIdx.x == 0) total[0] = 0;
  __syncthreads();
  unsigned long long mine = 0;
  for (int64_t r = threadIdx.x; r < rows; r += kCountThreads) mine += in_range(targets[r], vocab) ? 1 : 0;
  atomicAdd(&total[0], mine);
  __syncthreads();
  if (threadIdx.x == 0) count[0] += int64_t(total[0]);
}

// lse = m + log sum_c exp(x_c - m), loss of the row = lse - x_target.
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_kernel(float* losses, float* lse, const float* logits, const int32_t* targets, int64_t rows, int64_t vocab, int64_t ld) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  const float* const x = logits + r * ld;
  const RowExpSum s = row_exp_sum(x, vocab);
  if (row_lane() != 0) return;
  const float value = s.max + log_f32(s.sum);
  lse[r] = value;
  losses[r] = in_range(targets[r], vocab) ? value - x[targets[r]] : 0.0f;
}

__global__ void __launch_bounds__(kOrderedSumThreads) add_losses_kernel(float* loss, const float* losses, int64_t rows) {
  const double sum = ordered_sum(losses, rows);
  if (threadIdx.x == 0) loss[0] = float(double(loss[0]) + sum);
}

// dx = (exp(x - lse) - [c = target]) / count; dx may be x.
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_backward_kernel(float* dlogits, const float* logits, const float* lse, const int32_t* targets, const int64_t* count,
                                  int64_t rows, int64_t vocab, int64_t ld) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  const float* const x = logits + r * ld;
  float* const dx = dlogits + r * ld;
  const int64_t n = count[0], target = targets[r];
  if (n == 0 || !in_range(target, vocab)) {
    for (int64_t i = row_lane(); i < vocab; i += kRowLanes) dx[i] = 0.0f;
    return;
  }
  const float weight = float(1.0 / double(n)), reference = lse[r];
  CUNN_UNROLL_BY(8)
  for (int64_t i = row_lane(); i < vocab; i += kRowLanes) {
    const float p = exp_f32(x[i] - reference);
    dx[i] = (i == target ? p - 1.0f : p) * weight;
  }
}

void check_targets(Exec& exec, OpId op, const int32_t* targets, int64_t rows, int64_t vocab) {
  check_values(exec, op, DeviceFault::target_out_of_range, targets, rows, vocab, -1);
}

}  // namespace

void cross_entropy_count(Exec& exec, const CrossEntropyCount& op) {
  check_targets(exec, OpId::cross_entropy_count, op.targets, op.rows, op.vocab);
  CUNN_RUN(exec, count_kernel, 1, kCountThreads, 0, op.count, op.targets, op.rows, op.vocab);
}

void cross_entropy_forward(Exec& exec, const CrossEntropyForward& op) {
  if (op.rows <= 0) return;
  check_targets(exec, OpId::cross_entropy_forward, op.targets, op.rows, op.vocab);
  CUNN_RUN(exec, cross_entropy_kernel, grid_of(ceil_div(op.rows, kRowsPerBlock)), kRowThreads, 0, op.losses, op.lse, op.logits, op.targets,
           op.rows, op.vocab, op.ld);
  CUNN_RUN(exec, add_losses_kernel, 1, kOrderedSumThreads, 0, op.loss, op.losses, op.rows);
}

void cross_entropy_backward(Exec& exec, const CrossEntropyBackward& op) {
  if (op.rows <= 0) return;
  check_targets(exec, OpId::cross_entropy_backward, op.targets, op.rows, op.vocab);
  CUNN_RUN(exec, cross_entropy_backward_kernel, grid_of(ceil_div(op.rows, kRowsPerBlock)), kRowThreads, 0, op.dlogits, op.logits, op.lse,
           op.targets, op.count, op.rows, op.vocab, op.ld);
}

}  // namespace cunn::cuda
