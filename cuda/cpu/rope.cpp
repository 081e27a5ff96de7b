// Rotary position embedding: the tables, and the rotation of q and k in the half-split form.
#include "../src/angles.h"
#include "fault.h"
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

void rope_frequencies(Exec &exec, const RopeFrequencies &op) {
  const int64_t half = op.head_dim / 2;
  if (half <= 0 || op.positions <= 0) return;
  double *frequency = static_cast<double *>(exec.scratch->bytes((size_t)half * sizeof(double)));
  // ln theta' = ln theta + d/(d-2) ln alpha
  double log_theta = log_f64(op.theta), d = (double)op.head_dim;
  if (op.ntk_alpha != 1.0) log_theta += d / (d - 2.0) * log_f64(op.ntk_alpha);
  for (int64_t i = 0; i < half; ++i) frequency[i] = exp_f64(-((double)(2 * i) / d) * log_theta);
  constexpr int64_t kAngleWork = 8;  // a sine and cosine in f64 cost about eight exponentials in f32
  split_rows(exec, op.positions, half * kAngleWork, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float *cosines = op.cos + p * half, *sines = op.sin + p * half;
      for (int64_t i = 0; i < half; ++i) {
        double s, c;
        sin_cos_f64((double)p * frequency[i], &s, &c);
        cosines[i] = (float)c;
        sines[i] = (float)s;
      }
    }
  });
}

namespace {

// The heads of one tensor. Tokens whose position is out of range are left as they are.
struct Heads {
  const float *x, *cos, *sin;
  const int32_t *positions;
  int64_t tokens, n_heads, head_dim, table_positions, token_stride, head_stride;
};

// out = (x0 c - x1 s, x1 c + x0 s), or with the angle negated.
template <DType t, bool inverse> CUNN_INLINE void rotate(Exec &exec, void *out, const Heads &h) {
  const int64_t half = h.head_dim / 2;
  split_rows(exec, h.tokens, h.n_heads * h.head_dim, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      int32_t position = h.positions[token];
      if (!in_range(position, h.table_positions)) continue;
      const float *cosines = h.cos + position * half, *sines = h.sin + position * half;
      for (int64_t head = 0; head < h.n_heads; ++head) {
        int64_t at = token * h.token_stride + head * h.head_stride;
        const float *x = h.x + at;
        OutRow<t> y(out, at);
        each_vector(0, half, [&](int64_t i, auto part) {
          Vec16 c = load(cosines + i, part), s = load(sines + i, part);
          if constexpr (inverse) s = -s;
          Vec16 x0 = load(x + i, part), x1 = load(x + half + i, part);
          y.put(i, fma(x0, c, -(x1 * s)), part);
          y.put(half + i, fma(x1, c, x0 * s), part);
        });
      }
    }
  });
}

}  // namespace

void rope_forward(Exec &exec, const RopeForward &op) {
  check_below(exec, DeviceFault::position_out_of_range, OpId::rope_forward, op.positions, op.tokens,
              op.table_positions);
  Heads q{op.q, op.cos, op.sin, op.positions, op.tokens, op.n_heads, op.head_dim, op.table_positions,
          op.q_token_stride, op.q_head_stride};
  Heads k{op.k, op.cos, op.sin, op.positions, op.tokens, op.n_kv_heads, op.head_dim, op.table_positions,
          op.k_token_stride, op.k_head_stride};
  with_float(op.q_out.dtype, [&](auto t) { rotate<decltype(t)::value, false>(exec, op.q_out.data, q); });
  with_float(op.k_out.dtype, [&](auto t) { rotate<decltype(t)::value, false>(exec, op.k_out.data, k); });
}

void rope_backward(Exec &exec, const RopeBackward &op) {
  check_below(exec, DeviceFault::position_out_of_range, OpId::rope_backward, op.positions, op.tokens,
              op.table_positions);
  Heads q{op.dq_out, op.cos, op.sin, op.positions, op.tokens, op.n_heads, op.head_dim, op.table_positions,
          op.q_token_stride, op.q_head_stride};
  Heads k{op.dk_out, op.cos, op.sin, op.positions, op.tokens, op.n_kv_heads, op.head_dim, op.table_positions,
          op.k_token_stride, op.k_head_stride};
  rotate<DType::f32, true>(exec, op.dq, q);
  rotate<DType::f32, true>(exec, op.dk, k);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
