// Cross entropy over the vocabulary, one reading of the logits each way.
//
// lse_r = m + log sum_c exp(x_rc - m) with a running maximum (softmax_row.h). The loss adds the rows in ascending
// order in f64 and rounds once. The backward multiplies with 1 / count, rounded to f32 once.
#include "fault.h"
#include "lanes.h"
#include "ops_decl.h"
#include "softmax_row.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// Targets are -1 or below vocab; the first that is neither is reported and its row does not count.
bool counts(int32_t target, int64_t vocab) { return in_range(target, vocab); }

void check_targets(Exec &exec, OpId op, const int32_t *targets, int64_t rows, int64_t vocab) {
  for (int64_t r = 0; r < rows; ++r) {
    if (targets[r] == -1 || in_range(targets[r], vocab)) continue;
    return report_fault(exec, op, DeviceFault::target_out_of_range, r, targets[r], vocab);
  }
}

float exp_of(float x) {
  float y[16];
  store(y, exp(set1(x)));
  return y[0];
}

float log_of(float x) {
  float y[16];
  store(y, log(set1(x)));
  return y[0];
}

}  // namespace

void cross_entropy_count(Exec &exec, const CrossEntropyCount &a) {
  check_targets(exec, OpId::cross_entropy_count, a.targets, a.rows, a.vocab);
  int64_t n = 0;
  for (int64_t r = 0; r < a.rows; ++r)
    n += counts(a.targets[r], a.vocab);
  a.count[0] += n;
}

void cross_entropy_forward(Exec &exec, const CrossEntropyForward &a) {
  check_targets(exec, OpId::cross_entropy_forward, a.targets, a.rows, a.vocab);
  split_rows(exec, a.rows, a.vocab, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *x = a.logits + r * a.ld;
      RowSum s = row_sum(x, a.vocab);
      a.lse[r] = s.max + log_of(s.sum);
      a.losses[r] = counts(a.targets[r], a.vocab) ? a.lse[r] - x[a.targets[r]] : 0.0f;
    }
  });
  double sum = 0;
  for (int64_t r = 0; r < a.rows; ++r)
    sum += (double)a.losses[r];
  a.loss[0] = (float)((double)a.loss[0] + sum);
}

void cross_entropy_backward(Exec &exec, const CrossEntropyBackward &a) {
  check_targets(exec, OpId::cross_entropy_backward, a.targets, a.rows, a.vocab);
  const int64_t count = a.count[0];
  const float weight = count == 0 ? 0.0f : (float)(1.0 / (double)count);
  const bool past_caches = a.dlogits != a.logits && a.rows * a.vocab * 8 >= kStreamBytes;
  split_rows(exec, a.rows, a.vocab, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *x = a.logits + r * a.ld;
      float *dx = a.dlogits + r * a.ld;
      const int32_t target = a.targets[r];
      if (count == 0 || !counts(target, a.vocab)) {
        memset(dx, 0, sizeof(float) * (size_t)a.vocab);
        continue;
      }
      const float of_target = (exp_of(x[target] - a.lse[r]) - 1.0f) * weight;  // before dx, which may be x
      const Vec16 lse = set1(a.lse[r]), scale = set1(weight);
      auto f = [&](int64_t i, auto part) { return exp(load(x + i, part) - lse) * scale; };
      if (past_caches)
        stream_vectors(dx, 0, a.vocab, f);
      else
        each_vector(0, a.vocab, [&](int64_t i, auto part) { store(dx + i, f(i, part), part); });
      dx[target] = of_target;
    }
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
