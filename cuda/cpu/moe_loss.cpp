// The router's two auxiliary losses. Their sums over tokens have an order fixed by the token index: chunks of 256
// tokens, each in ascending order, then the chunks in order in f64.
#include "fault.h"
#include "lanes.h"
#include "ops_decl.h"
#include "softmax_row.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kChunkTokens = 256;

}  // namespace

void moe_balance_loss_forward(Exec &exec, const MoeBalanceLossForward &op) {
  const int64_t n = op.n_experts, top_k = op.top_k, tokens = op.tokens;
  if (tokens <= 0 || n <= 0 || top_k <= 0) return;
  check_below(exec, DeviceFault::row_out_of_range, OpId::moe_balance_loss_forward, op.experts, tokens * top_k, n);
  int64_t chunks = ceil_div(tokens, kChunkTokens);
  float *sums = scratch_floats(exec, chunks * n);
  int32_t *counts = static_cast<int32_t *>(exec.scratch->bytes((size_t)(chunks * n) * sizeof(int32_t)));
  for_chunks(exec, tokens, kChunkTokens, tokens * (n + top_k), kMoveGrain, [&](int64_t chunk, int64_t begin, int64_t end) {
    float *sum = sums + chunk * n;
    int32_t *count = counts + chunk * n;
    memset(sum, 0, (size_t)n * sizeof(float));
    memset(count, 0, (size_t)n * sizeof(int32_t));
    for (int64_t t = begin; t < end; ++t) {
      const float *probs = op.probs + t * n;
      each_vector(0, n, [&](int64_t i, auto part) { store(sum + i, load(sum + i, part) + load(probs + i, part), part); });
      for (int64_t j = t * top_k; j < (t + 1) * top_k; ++j)
        if (in_range(op.experts[j], n)) ++count[op.experts[j]];
    }
  });
  double loss = 0.0;
  for (int64_t e = 0; e < n; ++e) {
    double probability = 0.0;
    int64_t count = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      probability += sums[chunk * n + e];
      count += counts[chunk * n + e];
    }
    double fraction = (double)count / (double)tokens;
    op.fractions[e] = (float)fraction;
    loss += fraction * (probability / (double)tokens);
  }
  op.loss[0] += (float)(loss * (double)n / (double)top_k);
}

void moe_balance_loss_backward(Exec &, const MoeBalanceLossBackward &op) {
  const int64_t n = op.n_experts, all = op.tokens * n;
  if (all <= 0) return;
  double scale = op.coef * (double)n / ((double)op.top_k * (double)op.tokens);
  for (int64_t e = 0; e < n; ++e) op.dprobs[e] = (float)(scale * op.fractions[e]);
  // Every token's row is the same: copy what is there until it fills the matrix.
  for (int64_t done = n; done < all; done *= 2)
    memcpy(op.dprobs + done, op.dprobs, (size_t)least(done, all - done) * sizeof(float));
}

namespace {

// The maximum and sum of up to 16 rows, a row a lane; exponentials [rows, n] or null.
struct RowSums {
  float max[16], sum[16];
};
CUNN_INLINE RowSums row_sums(const float *logits, int64_t rows, int64_t n, float *exponentials) {
  RowSums s;
  for (int64_t r = 0; r < 16; ++r) {
    RowSum one = {0.0f, 1.0f};
    if (r < rows) one = row_sum(logits + r * n, n, exponentials ? exponentials + r * n : nullptr);
    s.max[r] = one.max;
    s.sum[r] = one.sum;
  }
  return s;
}

}  // namespace

void moe_z_loss_forward(Exec &exec, const MoeZLossForward &op) {
  const int64_t n = op.n_experts, tokens = op.tokens;
  if (tokens <= 0 || n <= 0) return;
  int64_t chunks = ceil_div(tokens, kChunkTokens);
  double *partial = static_cast<double *>(exec.scratch->bytes((size_t)chunks * sizeof(double)));
  for_chunks(exec, tokens, kChunkTokens, tokens * n, kExpGrain, [&](int64_t chunk, int64_t begin, int64_t end) {
    double sum = 0.0;
    for (int64_t t = begin; t < end; t += 16) {
      int64_t rows = least(16, end - t);
      RowSums s = row_sums(op.logits + t * n, rows, n, nullptr);
      Vec16 lse = load(s.max) + log(load(s.sum));
      float squares[16];
      store(squares, lse * lse);
      for (int64_t r = 0; r < rows; ++r) sum += squares[r];
    }
    partial[chunk] = sum;
  });
  double sum = 0.0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk];
  op.loss[0] += (float)(sum / (double)tokens);
}

void moe_z_loss_backward(Exec &exec, const MoeZLossBackward &op) {
  const int64_t n = op.n_experts, tokens = op.tokens;
  if (tokens <= 0 || n <= 0) return;
  Vec16 factor = set1((float)(2.0 * op.coef / (double)tokens));
  bool one_block = n <= kSoftmaxBlock;
  split_rows(exec, ceil_div(tokens, 16), 16 * n, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = 16 * begin; t < least(16 * end, tokens); t += 16) {
      int64_t rows = least(16, tokens - t);
      const float *logits = op.logits + t * n;
      float *dlogits = op.dlogits + t * n;
      RowSums s = row_sums(logits, rows, n, one_block ? dlogits : nullptr);
      float scales[16];
      Vec16 sum = load(s.sum);
      store(scales, (load(s.max) + log(sum)) * factor / sum);
      for (int64_t r = 0; r < rows; ++r, logits += n, dlogits += n) {
        Vec16 scale = set1(scales[r]), m = set1(s.max[r]);
        each_vector(0, n, [&](int64_t i, auto part) {
          Vec16 e = one_block ? load(dlogits + i, part) : exp(load(logits + i, part) - m);
          store(dlogits + i, e * scale, part);
        });
      }
    }
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
