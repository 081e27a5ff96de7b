// Attention over a whole sequence: checks. The paged cache has abi_cache.cpp.
#include "attention_checks.h"

using namespace cunn;

int32_t cunn_attention_scores_forward(cunn_context context, cunn_buffer scores, cunn_buffer q, cunn_buffer k,
                                      int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads,
                                      int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride,
                                      int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return run_op<OpId::attention_scores_forward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride,
                                 kv_token_stride, kv_head_stride});
    return AttentionScoresForward{c.out<float>("scores", scores, e.scores), c.in<float>("q", q, e.q),
                                  c.in<float>("k", k, e.kv), e.shape, c.real32("scale", scale)};
  });
}

int32_t cunn_attention_scores_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dscores,
                                       cunn_buffer q, cunn_buffer k, int64_t batch, int64_t seq_len, int64_t n_heads,
                                       int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride,
                                       int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride,
                                       double scale) {
  return run_op<OpId::attention_scores_backward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride,
                                 kv_token_stride, kv_head_stride});
    return AttentionScoresBackward{c.out<float>("dq", dq, e.q),
                                   c.out<float>("dk", dk, e.kv),
                                   c.in<float>("dscores", dscores, e.scores),
                                   c.in<float>("q", q, e.q),
                                   c.in<float>("k", k, e.kv),
                                   e.shape,
                                   c.real32("scale", scale)};
  });
}

int32_t cunn_attention_output_forward(cunn_context context, cunn_buffer out, cunn_buffer probs, cunn_buffer v,
                                      int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads,
                                      int64_t head_dim, int64_t kv_token_stride, int64_t kv_head_stride) {
  return run_op<OpId::attention_output_forward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, 0, 0, kv_token_stride,
                                 kv_head_stride});
    return AttentionOutputForward{c.out<float>("out", out, e.out), c.in<float>("probs", probs, e.scores),
                                  c.in<float>("v", v, e.kv), e.shape};
  });
}

int32_t cunn_attention_output_backward(cunn_context context, cunn_buffer dprobs, cunn_buffer dv, cunn_buffer dout,
                                       cunn_buffer probs, cunn_buffer v, int64_t batch, int64_t seq_len,
                                       int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                       int64_t kv_token_stride, int64_t kv_head_stride) {
  return run_op<OpId::attention_output_backward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, 0, 0, kv_token_stride,
                                 kv_head_stride});
    return AttentionOutputBackward{c.out<float>("dprobs", dprobs, e.scores),
                                   c.out<float>("dv", dv, e.kv),
                                   c.in<float>("dout", dout, e.out),
                                   c.in<float>("probs", probs, e.scores),
                                   c.in<float>("v", v, e.kv),
                                   e.shape};
  });
}

int32_t cunn_attention_forward(cunn_context context, cunn_buffer out, cunn_buffer lse, cunn_buffer q, cunn_buffer k,
                               cunn_buffer v, cunn_buffer lengths, int64_t batch, int64_t seq_len, int64_t n_heads,
                               int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride,
                               int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return run_op<OpId::attention_forward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride,
                                 kv_token_stride, kv_head_stride});
    const AttentionForward args{c.out_floats("out", out, e.out),
                                c.out<float>("lse", lse, e.lse),
                                c.in<float>("q", q, e.q),
                                c.in_floats("k", k, e.kv),
                                c.in_floats("v", v, e.kv),
                                c.in_or_none<int32_t>("lengths", lengths, dense(batch)),
                                e.shape,
                                c.real32("scale", scale)};
    c.same_dtype("v", args.v.dtype, "k", args.k.dtype);
    return args;
  });
}

int32_t cunn_attention_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dv,
                                cunn_buffer dout, cunn_buffer q, cunn_buffer k, cunn_buffer v, cunn_buffer out,
                                cunn_buffer lse, cunn_buffer lengths, int64_t batch, int64_t seq_len,
                                int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride,
                                int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride,
                                double scale) {
  return run_op<OpId::attention_backward>(context, [&](Call &c) {
    const AttentionExtents e(c, {batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride,
                                 kv_token_stride, kv_head_stride});
    const AttentionBackward args{c.out<float>("dq", dq, e.q),
                                 c.out<float>("dk", dk, e.kv),
                                 c.out<float>("dv", dv, e.kv),
                                 c.in<float>("dout", dout, e.out),
                                 c.in<float>("q", q, e.q),
                                 c.in_floats("k", k, e.kv),
                                 c.in_floats("v", v, e.kv),
                                 c.in<float>("out", out, e.out),
                                 c.in<float>("lse", lse, e.lse),
                                 c.in_or_none<int32_t>("lengths", lengths, dense(batch)),
                                 e.shape,
                                 c.real32("scale", scale)};
    c.same_dtype("v", args.v.dtype, "k", args.k.dtype);
    return args;
  });
}
