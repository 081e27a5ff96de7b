// Rotary position embedding: checks.
#include "call.h"

using namespace cunn;

namespace {

void check_head_dim(Call &c, int64_t head_dim) {
  c.require(head_dim % 2 == 0, "head_dim is %lld, expected an even number", static_cast<long long>(head_dim));
}

// Common to both directions: q and k with the strides of their outputs, the tables, the positions.
struct Rotation {
  Extent q, k, table, tokens;
};

Rotation rotation(Call &c, int64_t tokens, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                  int64_t table_positions, int64_t q_token_stride, int64_t q_head_stride, int64_t k_token_stride,
                  int64_t k_head_stride) {
  c.dims({{"tokens", tokens}, {"n_heads", n_heads}, {"n_kv_heads", n_kv_heads}, {"head_dim", head_dim},
          {"table_positions", table_positions}, {"q_token_stride", q_token_stride}, {"q_head_stride", q_head_stride},
          {"k_token_stride", k_token_stride}, {"k_head_stride", k_head_stride}});
  check_head_dim(c, head_dim);
  c.nothing_when(tokens == 0 || head_dim == 0 || (n_heads == 0 && n_kv_heads == 0));
  return {strided(head_dim, {tokens, q_token_stride}, {n_heads, q_head_stride}),
          strided(head_dim, {tokens, k_token_stride}, {n_kv_heads, k_head_stride}),
          dense(table_positions, head_dim / 2), dense(tokens)};
}

}  // namespace

int32_t cunn_rope_frequencies(cunn_context context, cunn_buffer cos, cunn_buffer sin, int64_t positions,
                              int64_t head_dim, double theta, double ntk_alpha) {
  return run_op<OpId::rope_frequencies>(context, [&](Call &c) {
    c.dims({{"positions", positions}, {"head_dim", head_dim}});
    check_head_dim(c, head_dim);
    c.nothing_when(positions == 0 || head_dim == 0);
    float *cosines = c.out<float>("cos", cos, dense(positions, head_dim / 2));
    float *sines = c.out<float>("sin", sin, dense(positions, head_dim / 2));
    c.real("theta", theta);
    c.require(theta > 0, "theta is %g, expected a positive number", theta);
    c.real("ntk_alpha", ntk_alpha);
    c.require(ntk_alpha > 0, "ntk_alpha is %g, expected a positive number", ntk_alpha);
    c.require(ntk_alpha == 1 || head_dim != 2, "head_dim is 2, expected more for ntk_alpha other than 1");
    return RopeFrequencies{cosines, sines, positions, head_dim, theta, ntk_alpha};
  });
}

int32_t cunn_rope_forward(cunn_context context, cunn_buffer q_out, cunn_buffer k_out, cunn_buffer q, cunn_buffer k,
                          cunn_buffer cos, cunn_buffer sin, cunn_buffer positions, int64_t tokens, int64_t n_heads,
                          int64_t n_kv_heads, int64_t head_dim, int64_t table_positions, int64_t q_token_stride,
                          int64_t q_head_stride, int64_t k_token_stride, int64_t k_head_stride) {
  return run_op<OpId::rope_forward>(context, [&](Call &c) {
    const Rotation r = rotation(c, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride,
                                q_head_stride, k_token_stride, k_head_stride);
    return RopeForward{c.out_floats("q_out", q_out, r.q),
                       c.out_floats("k_out", k_out, r.k),
                       c.in<float>("q", q, r.q, {"q_out"}),
                       c.in<float>("k", k, r.k, {"k_out"}),
                       c.in<float>("cos", cos, r.table),
                       c.in<float>("sin", sin, r.table),
                       c.in<int32_t>("positions", positions, r.tokens),
                       tokens,
                       n_heads,
                       n_kv_heads,
                       head_dim,
                       table_positions,
                       q_token_stride,
                       q_head_stride,
                       k_token_stride,
                       k_head_stride};
  });
}

int32_t cunn_rope_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dq_out,
                           cunn_buffer dk_out, cunn_buffer cos, cunn_buffer sin, cunn_buffer positions,
                           int64_t tokens, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                           int64_t table_positions, int64_t q_token_stride, int64_t q_head_stride,
                           int64_t k_token_stride, int64_t k_head_stride) {
  return run_op<OpId::rope_backward>(context, [&](Call &c) {
    const Rotation r = rotation(c, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride,
                                q_head_stride, k_token_stride, k_head_stride);
    return RopeBackward{c.out<float>("dq", dq, r.q),
                        c.out<float>("dk", dk, r.k),
                        c.in<float>("dq_out", dq_out, r.q, {"dq"}),
                        c.in<float>("dk_out", dk_out, r.k, {"dk"}),
                        c.in<float>("cos", cos, r.table),
                        c.in<float>("sin", sin, r.table),
                        c.in<int32_t>("positions", positions, r.tokens),
                        tokens,
                        n_heads,
                        n_kv_heads,
                        head_dim,
                        table_positions,
                        q_token_stride,
                        q_head_stride,
                        k_token_stride,
                        k_head_stride};
  });
}
