// Softmax and top-k over the columns of a matrix. A row is worked on by one thread.
#include "fault.h"
#include "ops_decl.h"
#include "softmax_row.h"
#include "tasks.h"
#include "top_k_row.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// Whether `matrices` of rows x cols f32 are more than the caches hold.
bool large(int64_t rows, int64_t cols, int64_t matrices) {
  return rows * cols >= kStreamBytes / (int64_t)sizeof(float) / matrices;
}

void write_top_k(float *values, int32_t *indices, const float *x, int64_t cols, int64_t k) {
  uint64_t keys[kMaxTopK];
  top_k_row(indices, x, cols, k, keys);
  for (int64_t j = 0; j < k; ++j) values[j] = x[indices[j]];
}

}  // namespace

void softmax_forward(Exec &exec, const SoftmaxForward &op) {
  WorkerFloats references = worker_floats(exec, softmax_blocks(op.cols));
  split_by_worker(exec, op.rows, row_grain(op.cols, kExpGrain), 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t r = begin; r < end; ++r)
      softmax_row(op.y + r * op.ldy, op.x + r * op.ldx, op.cols, references.of(worker));
  });
}

void softmax_backward(Exec &exec, const SoftmaxBackward &op) {
  bool past_caches = op.dx != op.dy && op.cols >= 1024 && large(op.rows, op.cols, 3);
  split_rows(exec, op.rows, op.cols, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *dy = op.dy + r * op.ld, *y = op.y + r * op.ld;
      Vec16 sum = zero();
      each_vector(0, op.cols, [&](int64_t i, auto part) { sum = fma(load(dy + i, part), load(y + i, part), sum); });
      Vec16 dot = set1(reduce_sum(sum));
      float *dx = op.dx + r * op.ld;
      auto f = [&](int64_t i, auto part) { return load(y + i, part) * (load(dy + i, part) - dot); };
      if (past_caches) stream_vectors(dx, 0, op.cols, f);
      else each_vector(0, op.cols, [&](int64_t i, auto part) { store(dx + i, f(i, part), part); });
    }
  });
}

void top_k_forward(Exec &exec, const TopKForward &op) {
  if (op.k <= 0) return;
  split_rows(exec, op.rows, op.cols, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      write_top_k(op.values + r * op.k, op.indices + r * op.k, op.x + r * op.ldx, op.cols, op.k);
  });
}

void top_k_backward(Exec &exec, const TopKBackward &op) {
  check_below(exec, DeviceFault::row_out_of_range, OpId::top_k_backward, op.indices, op.rows * op.k, op.cols);
  split_rows(exec, op.rows, op.cols, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float *dx = op.dx + r * op.ldx;
      memset(dx, 0, (size_t)op.cols * sizeof(float));
      for (int64_t j = r * op.k; j < (r + 1) * op.k; ++j)
        if (in_range(op.indices[j], op.cols)) dx[op.indices[j]] = op.dvalues[j];
    }
  });
}

void softmax_top_k_forward(Exec &exec, const SoftmaxTopKForward &op) {
  WorkerFloats references = worker_floats(exec, softmax_blocks(op.cols));
  split_by_worker(exec, op.rows, row_grain(op.cols, kExpGrain), 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t r = begin; r < end; ++r) {
      float *probs = op.probs + r * op.cols;
      softmax_row(probs, op.x + r * op.ldx, op.cols, references.of(worker));
      if (op.k > 0) write_top_k(op.values + r * op.k, op.indices + r * op.k, probs, op.cols, op.k);
    }
  });
}

// g is dvalues at indices and 0 elsewhere, so sum_j g y has k terms, taken in the order of the choices.
void softmax_top_k_backward(Exec &exec, const SoftmaxTopKBackward &op) {
  check_below(exec, DeviceFault::row_out_of_range, OpId::softmax_top_k_backward, op.indices, op.rows * op.k, op.cols);
  split_rows(exec, op.rows, op.cols, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *probs = op.probs + r * op.cols, *dvalues = op.dvalues + r * op.k;
      const int32_t *indices = op.indices + r * op.k;
      float *dx = op.dx + r * op.ldx;
      float dot = 0.0f;
      for (int64_t j = 0; j < op.k; ++j)
        if (in_range(indices[j], op.cols)) dot = __builtin_fmaf(dvalues[j], probs[indices[j]], dot);
      Vec16 minus_dot = set1(-dot);
      each_vector(0, op.cols, [&](int64_t i, auto part) { store(dx + i, load(probs + i, part) * minus_dot, part); });
      for (int64_t j = 0; j < op.k; ++j)
        if (in_range(indices[j], op.cols)) dx[indices[j]] = probs[indices[j]] * (dvalues[j] - dot);
    }
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
