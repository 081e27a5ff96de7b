/* What every op refuses, and what it does with nothing to do. */
#include <math.h>

#include "abi_test.h"

void test_arguments(void) {
  const cunn_context c = open_cpu(1);
  const cunn_buffer x = make(c, CUNN_F32, 100), y = make(c, CUNN_F32, 4096), w = make(c, CUNN_F32, 64);
  const cunn_buffer rstd = make(c, CUNN_F32, 16), ids = make(c, CUNN_I32, 64), half = make(c, CUNN_BF16, 64);
  const cunn_buffer cache = make(c, CUNN_BF16, 64), cache16 = make(c, CUNN_F16, 64), q4 = make(c, CUNN_Q4, 64);

  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, w, 16, 64, 1e-6),
          "rmsnorm_forward: x holds 100 elements, expected at least 16x64 = 1024");
  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, w, -1, 64, 1e-6),
          "rmsnorm_forward: rows is -1, expected at least 0");
  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, w, 1, 64, -1.0), "rmsnorm_forward: eps is -1, expected at least 0");
  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, w, 1, 64, INFINITY),
          "rmsnorm_forward: eps is inf, expected a finite number");
  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, w, 1, 64, 1e300),
          "rmsnorm_forward: eps is 1e+300, expected a finite f32");
  INVALID(c, cunn.rmsnorm_forward(c, y, rstd, x, ids, 1, 64, 1e-6),
          "rmsnorm_forward: w is i32, expected f32, bf16 or f16");
  INVALID(c, cunn.add_forward(c, y, x, half, 64), "add_forward: b is bf16, expected f32");
  INVALID(c, cunn.add_forward(c, y, x, x, 101), "add_forward: a holds 100 elements, expected at least 101");
  INVALID(c, cunn.embedding_forward(c, y, ids, x, (int64_t)1 << 40, 10, (int64_t)1 << 40),
          "embedding_forward: y holds 4096 elements, expected at least 1099511627776x1099511627776, which 63 bits "
          "cannot count");
  INVALID(c, cunn.scale_forward(c, y, x, 4, NAN), "scale_forward: alpha is nan, expected a finite number");
  INVALID(c, cunn.fill(c, ids, 4, 2.5), "fill: value is 2.5, expected an integer that i32 holds");
  INVALID(c, cunn.fill(c, ids, 4, 3e9), "fill: value is 3e+09, expected an integer that i32 holds");

  INVALID(c, cunn.softmax_forward(c, y, x, 4, 8, 7, 8), "softmax_forward: ldy is 7, expected at least 8");
  INVALID(c, cunn.softmax_forward(c, y, x, 8, 8, 8, 20),
          "softmax_forward: x holds 100 elements, expected at least 8x8 with leading dimension 20 = 148");
  INVALID(c, cunn.top_k_forward(c, y, ids, x, 2, 8, 8, 9), "top_k_forward: k is 9, expected at most 8 (cols)");
  INVALID(c, cunn.top_k_forward(c, y, ids, x, 2, 8, 8, 0), "top_k_forward: k is 0, expected at least 1");
  INVALID(c, cunn.top_k_forward(c, y, ids, x, 2, 2000, 2000, 1025), "top_k_forward: k is 1025, expected at most 1024");

  INVALID(c, cunn.gemm(c, y, x, w, 0, 0, 64, 64, 2, 64, 2, 64, 1, 0),
          "gemm: a holds 100 elements, expected at least 64x2 = 128");
  INVALID(c, cunn.gemm(c, y, x, w, 2, 0, 4, 4, 4, 4, 4, 4, 1, 0), "gemm: trans_a is 2, expected 0 or 1");
  INVALID(c, cunn.gemm(c, y, x, w, 0, 1, 4, 8, 6, 8, 6, 5, 1, 0), "gemm: ldb is 5, expected at least 6");
  INVALID(c, cunn.gemm(c, y, x, w, 0, 0, 4, 4, 4, 4, 4, 4, 1, NAN), "gemm: beta is nan, expected a finite number");
  INVALID(c, cunn.gemm_batched(c, y, x, w, 0, 0, 4, 4, 4, 4, 4, 4, 4, 8, 16, 0, 1, 0),
          "gemm_batched: c is 4x4x4 with strides 8 and 4, expected strides that keep its rows apart");
  INVALID(c, cunn.gemm_batched(c, y, x, w, 0, 0, 4, 4, 4, 4, 4, 4, 4, -1, 16, 0, 1, 0),
          "gemm_batched: stride_c is -1, expected at least 0");
  INVALID(c, cunn.gemm_grouped_rows(c, y, x, w, ids, 0, 0, 64, 4, 4, 4, 4, 4, 4, 4, 0, 0),
          "gemm_grouped_rows: offsets holds 64 elements, expected at least 65");
  INVALID(c, cunn.gemm_grouped_rows(c, y, x, w, ids, 0, 0, 1, (int64_t)1 << 31, 1, 1, 1, 1, 1, 1, 0, 0),
          "gemm_grouped_rows: m is 2147483648, expected at most 2147483647 (they are numbered in i32)");
  INVALID(c, cunn.gemm_grouped_rows(c, y, x, w, ids, 0, 0, INT64_MAX, 1, 1, 1, 1, 1, 1, 1, 0, 0),
          "gemm_grouped_rows: groups is 9223372036854775807, expected at most 2147483647 (they are numbered in i32)");
  INVALID(c, cunn.gemm_grouped_inner(c, y, x, w, ids, x, 2, 4, 4, 4, 4, 4, 4, 4, 16, 0),
          "gemm_grouped_inner: b_rows is f32, expected i32");
  /* gate and up: both or none. */
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, 0, rstd, x, w, w, ids, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_forward: gate is 0, expected a buffer");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, rstd, 0, x, w, w, ids, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_forward: up is 0, expected a buffer");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, half, rstd, x, w, w, ids, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_forward: gate is bf16, expected f32");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, w, half, ids, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_forward: w_up is bf16, expected f32 like w_gate");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, w, w, ids, 0, 1, 4, 4, 4, 4, 4, 4, 3, 16),
          "gemm_grouped_swiglu_forward: ldb is 3, expected at least 4");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, w, w, ids, x, 1, 4, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_forward: a_rows is f32, expected i32");
  INVALID(c, cunn.gemm_grouped_swiglu_backward(c, y, rstd, x, q4, ids, w, w, 1, 4, 4, 4, 4, 4, 4, 16),
          "gemm_grouped_swiglu_backward: w_down is q4, expected f32, bf16 or f16");
  INVALID(c, cunn.gemm_grouped_swiglu_backward(c, y, rstd, x, w, ids, w, w, 1, 4, 4, 4, 3, 4, 4, 16),
          "gemm_grouped_swiglu_backward: ldc is 3, expected at least 4");
  INVALID(c, cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, q4, q4, ids, 0, 1, 1, 1, 16, 1, 1, 16, 16, 32),
          "gemm_grouped_swiglu_forward: k is 16, expected a multiple of 32 (a block of q8 or q4)");

  INVALID(c, cunn.rope_frequencies(c, y, w, 4, 7, 1e4, 1), "rope_frequencies: head_dim is 7, expected an even number");
  INVALID(c, cunn.rope_frequencies(c, y, w, 4, 8, 0, 1), "rope_frequencies: theta is 0, expected a positive number");
  INVALID(c, cunn.rope_frequencies(c, y, w, 4, 2, 1e4, 8),
          "rope_frequencies: head_dim is 2, expected more for ntk_alpha other than 1");
  INVALID(c, cunn.rope_forward(c, y, rstd, x, w, w, w, x, 2, 4, 1, 8, 4, 32, 8, 8, 8),
          "rope_forward: positions is f32, expected i32");
  INVALID(c, cunn.rope_forward(c, y, rstd, x, w, w, w, ids, 2, 4, 1, 8, 4, 32, 4, 8, 8),
          "rope_forward: q_out is 2x4x8 with strides 32 and 4, expected strides that keep its rows apart");

  INVALID(c, cunn.attention_forward(c, y, rstd, x, w, w, 0, 1, 2, 4, 3, 8, 32, 8, 8, 8, 1),
          "attention_forward: n_heads is 4, expected a multiple of n_kv_heads = 3");
  INVALID(c, cunn.attention_forward(c, y, rstd, x, w, half, 0, 1, 2, 4, 1, 8, 32, 8, 8, 8, 1),
          "attention_forward: v is bf16, expected f32 like k");
  INVALID(c, cunn.attention_forward(c, y, rstd, x, w, w, x, 1, 2, 4, 1, 8, 32, 8, 8, 8, 1),
          "attention_forward: lengths is f32, expected i32");
  INVALID(c, cunn.cache_append(c, cache, cache, x, x, 0, ids, 0, 1, 1, 1, 1, 63, 1, 1, 1, 1),
          "cache_append: page_size is 63, expected a multiple of 64");
  INVALID(c, cunn.cache_append(c, cache, cache16, x, w, 0, ids, 0, 1, 1, 1, 1, 64, 1, 1, 1, 1),
          "cache_append: v_cache is f16, expected bf16 like k_cache");
  INVALID(c, cunn.cache_append(c, cache, cache16, x, w, 0, ids, 0, 1, 65, 1, 1, 64, 1, 1, 1, 1),
          "cache_append: new_len is 65, expected at most 64 (page_size x pages_per_sequence)");
  INVALID(c, cunn.attention_cached_forward(c, y, x, cache, cache, 0, ids, 0, 2, 1, 1, 1, 1, 64, 2, 3, 1, 1, 1),
          "attention_cached_forward: n_pages is 3, expected at least 4");

  INVALID(c, cunn.moe_route_forward(c, y, ids, w, x, 4, 4, 5),
          "moe_route_forward: top_k is 5, expected at most 4 (n_experts)");
  INVALID(c, cunn.moe_dispatch_forward(c, ids, ids, ids, ids, (int64_t)1 << 30, 4, 4),
          "moe_dispatch_forward: tokens x top_k is 4294967296, expected at most 2147483647 (they are numbered in i32)");
  INVALID(c, cunn.cross_entropy_count(c, ids, ids, 4, 8), "cross_entropy_count: count is i32, expected i64");
  INVALID(c, cunn.cross_entropy_forward(c, y, x, w, y, ids, 4, 0, 0),
          "cross_entropy_forward: vocab is 0, expected at least 1");
  INVALID(c, cunn.adamw_step(c, half, 0, x, w, y, rstd, rstd, ids, ids, 0, 4, 0, 0.9, 0.95, 1e-8, 0.1),
          "adamw_step: applied is i32, expected i64");
  INVALID(c, cunn.random_uniform(c, y, 4, INT64_MAX - 2, 1, 0, 0),
          "random_uniform: start is 9223372036854775805, which leaves no room for 4 elements in 63 bits");
  INVALID(c, cunn.random_init(c, y, 4, 0, 1, -3), "random_init: tensor is -3, expected at least 0");
  INVALID(c, cunn.cast(c, y, ids, 4), "cast: x is i32, expected f32, bf16 or f16");
  INVALID(c, cunn.copy(c, y, half, 4), "copy: x is bf16, expected f32 like y");
  INVALID(c, cunn.quantize(c, y, x, 33), "quantize: n is 33, expected a multiple of 32 (a block of q8 or q4)");
  INVALID(c, cunn.quantize(c, y, x, 32), "quantize: y is f32, expected q8 or q4");
  INVALID(c, cunn.pack(c, y, x, 1, 4, 8, 8, 3), "pack: ldx is 3, expected at least 4");
  INVALID(c, cunn.decode_advance(c, ids, ids, ids, 4, -2), "decode_advance: eos_id is -2, expected at least -1");

  /* 16-bit moments are rounded stochastically and need a seed. */
  {
    const cunn_buffer applied = make(c, CUNN_I64, 1), m = make(c, CUNN_BF16, 4), v = make(c, CUNN_BF16, 4);
    INVALID(c, cunn.adamw_step(c, y, 0, m, v, x, rstd, w, ids, applied, 0, 4, 0, 0.9, 0.95, 1e-8, 0.1),
            "adamw_step: seed is 0, expected a buffer (16-bit values are rounded stochastically)");
    INVALID(c, cunn.adamw_step(c, y, 0, m, x, w, rstd, w, ids, applied, 0, 4, 0, 0.9, 0.95, 1e-8, 0.1),
            "adamw_step: v is f32, expected bf16 like m");
    INVALID(c, cunn.adamw_step(c, y, 0, x, w, rstd, rstd, rstd, ids, applied, 0, 4, 0, 1.0, 0.95, 1e-8, 0.1),
            "adamw_step: beta1 is 1, expected less than 1");
  }
  OK(cunn.context_destroy(c));
}

/* Each op names its first buffer when there is none: no op forgets to look handles up, or looks up another's. */
void test_every_op_checks_its_buffers(void) {
  const cunn_context c = open_cpu(1);
#define NONE(op, argument, call) INVALID(c, call, op ": " argument " is 0, expected a buffer")
  NONE("add_forward", "y", cunn.add_forward(c, 0, 0, 0, 4));
  NONE("mul_forward", "y", cunn.mul_forward(c, 0, 0, 0, 4));
  NONE("mul_backward", "da", cunn.mul_backward(c, 0, 0, 0, 0, 0, 4));
  NONE("scale_forward", "y", cunn.scale_forward(c, 0, 0, 4, 1));
  NONE("silu_forward", "y", cunn.silu_forward(c, 0, 0, 4));
  NONE("silu_backward", "dx", cunn.silu_backward(c, 0, 0, 0, 4));
  NONE("swiglu_forward", "y", cunn.swiglu_forward(c, 0, 0, 0, 4));
  NONE("swiglu_backward", "dgate", cunn.swiglu_backward(c, 0, 0, 0, 0, 0, 4));
  NONE("fill", "y", cunn.fill(c, 0, 4, 0));
  NONE("softmax_forward", "y", cunn.softmax_forward(c, 0, 0, 1, 4, 4, 4));
  NONE("softmax_backward", "dx", cunn.softmax_backward(c, 0, 0, 0, 1, 4, 4));
  NONE("top_k_forward", "values", cunn.top_k_forward(c, 0, 0, 0, 1, 4, 4, 2));
  NONE("top_k_backward", "dx", cunn.top_k_backward(c, 0, 0, 0, 1, 4, 4, 2));
  NONE("softmax_top_k_forward", "probs", cunn.softmax_top_k_forward(c, 0, 0, 0, 0, 1, 4, 4, 2));
  NONE("softmax_top_k_backward", "dx", cunn.softmax_top_k_backward(c, 0, 0, 0, 0, 1, 4, 4, 2));
  NONE("rmsnorm_forward", "y", cunn.rmsnorm_forward(c, 0, 0, 0, 0, 1, 4, 0));
  NONE("rmsnorm_backward", "dx", cunn.rmsnorm_backward(c, 0, 0, 0, 0, 0, 0, 1, 4));
  NONE("rmsnorm_residual_forward", "y", cunn.rmsnorm_residual_forward(c, 0, 0, 0, 0, 0, 0, 1, 4, 0));
  NONE("rmsnorm_residual_backward", "dx", cunn.rmsnorm_residual_backward(c, 0, 0, 0, 0, 0, 0, 0, 1, 4));
  NONE("gemm", "c", cunn.gemm(c, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 1, 0));
  NONE("gemm_batched", "c", cunn.gemm_batched(c, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 1, 0));
  NONE("gemm_grouped_rows", "c", cunn.gemm_grouped_rows(c, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 4, 0));
  NONE("gemm_grouped_inner", "c", cunn.gemm_grouped_inner(c, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 4, 0));
  NONE("gemm_grouped_swiglu_forward", "y",
       cunn.gemm_grouped_swiglu_forward(c, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 4));
  NONE("gemm_grouped_swiglu_backward", "dgate",
       cunn.gemm_grouped_swiglu_backward(c, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 4));
  NONE("rope_frequencies", "cos", cunn.rope_frequencies(c, 0, 0, 2, 4, 1e4, 1));
  NONE("rope_forward", "q_out", cunn.rope_forward(c, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 2, 4, 4, 4, 4));
  NONE("rope_backward", "dq", cunn.rope_backward(c, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 2, 4, 4, 4, 4));
  NONE("attention_scores_forward", "scores",
       cunn.attention_scores_forward(c, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4, 4, 4, 1));
  NONE("attention_scores_backward", "dq",
       cunn.attention_scores_backward(c, 0, 0, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4, 4, 4, 1));
  NONE("attention_output_forward", "out", cunn.attention_output_forward(c, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4));
  NONE("attention_output_backward", "dprobs", cunn.attention_output_backward(c, 0, 0, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4));
  NONE("attention_forward", "out", cunn.attention_forward(c, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4, 4, 4, 1));
  NONE("attention_backward", "dq",
       cunn.attention_backward(c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 4, 4, 4, 4, 4, 1));
  NONE("cache_append", "k_cache", cunn.cache_append(c, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 64, 1, 1, 4, 4));
  NONE("attention_cached_forward", "out",
       cunn.attention_cached_forward(c, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 4, 64, 1, 1, 4, 4, 1));
  NONE("embedding_forward", "y", cunn.embedding_forward(c, 0, 0, 0, 2, 4, 4));
  NONE("embedding_backward", "dw", cunn.embedding_backward(c, 0, 0, 0, 2, 4, 4));
  NONE("moe_route_forward", "probs", cunn.moe_route_forward(c, 0, 0, 0, 0, 2, 4, 2));
  NONE("moe_route_backward", "dlogits", cunn.moe_route_backward(c, 0, 0, 0, 0, 0, 0, 0, 2, 4, 2));
  NONE("moe_dispatch_forward", "offsets", cunn.moe_dispatch_forward(c, 0, 0, 0, 0, 2, 4, 2));
  NONE("moe_dispatch_backward", "dx", cunn.moe_dispatch_backward(c, 0, 0, 0, 2, 2, 4));
  NONE("moe_combine_forward", "y", cunn.moe_combine_forward(c, 0, 0, 0, 0, 0, 2, 2, 4));
  NONE("moe_combine_backward", "drows", cunn.moe_combine_backward(c, 0, 0, 0, 0, 0, 0, 2, 2, 4));
  NONE("moe_balance_loss_forward", "loss", cunn.moe_balance_loss_forward(c, 0, 0, 0, 0, 2, 4, 2));
  NONE("moe_balance_loss_backward", "dprobs", cunn.moe_balance_loss_backward(c, 0, 0, 2, 4, 2, 1));
  NONE("moe_z_loss_forward", "loss", cunn.moe_z_loss_forward(c, 0, 0, 2, 4));
  NONE("moe_z_loss_backward", "dlogits", cunn.moe_z_loss_backward(c, 0, 0, 2, 4, 1));
  NONE("cross_entropy_count", "count", cunn.cross_entropy_count(c, 0, 0, 2, 4));
  NONE("cross_entropy_forward", "loss", cunn.cross_entropy_forward(c, 0, 0, 0, 0, 0, 2, 4, 4));
  NONE("cross_entropy_backward", "dlogits", cunn.cross_entropy_backward(c, 0, 0, 0, 0, 0, 2, 4, 4));
  NONE("sum_of_squares", "sum", cunn.sum_of_squares(c, 0, 0, 4));
  NONE("clip_scale", "scale", cunn.clip_scale(c, 0, 0, 0, 0, 0, 1));
  NONE("adamw_step", "param", cunn.adamw_step(c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0.9, 0.95, 1e-8, 0.1));
  NONE("argmax", "ids", cunn.argmax(c, 0, 0, 2, 4, 4));
  NONE("sample", "ids", cunn.sample(c, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 4));
  NONE("decode_advance", "positions", cunn.decode_advance(c, 0, 0, 0, 2, -1));
  NONE("random_init", "y", cunn.random_init(c, 0, 4, 0, 0, 0));
  NONE("random_uniform", "y", cunn.random_uniform(c, 0, 4, 0, 0, 0, 0));
  NONE("copy", "y", cunn.copy(c, 0, 0, 4));
  NONE("cast", "y", cunn.cast(c, 0, 0, 4));
  NONE("pack", "y", cunn.pack(c, 0, 0, 0, 2, 2, 2, 2));
  NONE("quantize", "y", cunn.quantize(c, 0, 0, 32));
  NONE("dequantize", "y", cunn.dequantize(c, 0, 0, 32));
#undef NONE
  OK(cunn.context_destroy(c));
}

void test_aliasing(void) {
  const cunn_context c = open_cpu(1);
  const cunn_buffer a = make(c, CUNN_F32, 64), b = make(c, CUNN_F32, 64);
  /* q, k and v of four tokens in one matrix: rows of (2 + 1 + 1) heads of 8. */
  const cunn_buffer qkv = make(c, CUNN_F32, 4 * 32), tables = make(c, CUNN_F32, 16), positions = make(c, CUNN_I32, 4);
  cunn_buffer low = 0, high = 0, k = 0, v = 0;
  OK(cunn.buffer_view(c, &low, a, 0, 40));
  OK(cunn.buffer_view(c, &high, a, 24, 40));
  OK(cunn.buffer_view(c, &k, qkv, 16, 4 * 32 - 16));
  OK(cunn.buffer_view(c, &v, qkv, 20, 4 * 32 - 20));

  OK(cunn.add_forward(c, a, a, b, 64));
  OK(cunn.add_forward(c, a, a, a, 64));
  OK(cunn.add_forward(c, low, high, b, 24)); /* apart: elements 0 to 23 and 24 to 47 */
  INVALID(c, cunn.add_forward(c, low, high, b, 25),
          "add_forward: y overlaps a, expected exactly the same elements or none");
  INVALID(c, cunn.softmax_forward(c, a, a, 4, 8, 8, 16),
          "softmax_forward: y overlaps x, expected exactly the same elements or none");
  OK(cunn.softmax_forward(c, a, a, 4, 8, 16, 16));
  INVALID(c, cunn.gemm(c, a, a, b, 0, 0, 4, 4, 4, 4, 4, 4, 1, 0), "gemm: c overlaps a, expected memory of its own");
  INVALID(c, cunn.silu_backward(c, a, b, a, 64), "silu_backward: dx overlaps x, expected memory of its own");
  INVALID(c, cunn.mul_backward(c, a, low, b, b, b, 40), "mul_backward: da overlaps db, expected memory of its own");
  {
    const cunn_buffer w = make(c, CUNN_F32, 64), one = make(c, CUNN_I32, 2), gate = make(c, CUNN_F32, 64);
    INVALID(c, cunn.gemm_grouped_swiglu_forward(c, a, 0, 0, a, w, w, one, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
            "gemm_grouped_swiglu_forward: y overlaps a, expected memory of its own");
    INVALID(c, cunn.gemm_grouped_swiglu_forward(c, a, a, b, w, w, w, one, 0, 1, 4, 4, 4, 4, 4, 4, 4, 16),
            "gemm_grouped_swiglu_forward: y overlaps gate, expected memory of its own");
    OK(cunn.gemm_grouped_swiglu_backward(c, a, b, w, w, one, a, b, 1, 4, 4, 4, 4, 4, 4, 16));
    INVALID(c, cunn.gemm_grouped_swiglu_backward(c, high, gate, w, w, one, low, b, 1, 8, 4, 4, 5, 4, 4, 16),
            "gemm_grouped_swiglu_backward: dgate overlaps gate, expected exactly the same elements or none");
    INVALID(c, cunn.gemm_grouped_swiglu_backward(c, a, b, w, w, one, b, a, 1, 4, 4, 4, 4, 4, 4, 16),
            "gemm_grouped_swiglu_backward: dgate overlaps up, expected memory of its own");
  }
  INVALID(c, cunn.copy(c, high, a, 40), "copy: y overlaps x, expected memory of its own");

  OK(cunn.rope_forward(c, qkv, k, qkv, k, tables, tables, positions, 4, 2, 1, 8, 4, 32, 8, 32, 8));
  INVALID(c, cunn.rope_forward(c, qkv, v, qkv, k, tables, tables, positions, 4, 2, 1, 8, 4, 32, 8, 32, 8),
          "rope_forward: k_out overlaps k, expected exactly the same elements or none");
  INVALID(c, cunn.rope_forward(c, qkv, k, qkv, k, tables, tables, positions, 4, 3, 1, 8, 4, 32, 8, 32, 8),
          "rope_forward: q_out overlaps k_out, expected memory of its own");
  OK(cunn.context_destroy(c));
}

void test_empty_problems(void) {
  const cunn_context c = open_cpu(2);
  const float ones[4] = {1, 1, 1, 1};
  const cunn_buffer y = make_f32(c, ones, 4), x = make_f32(c, ones, 4), none = make(c, CUNN_F32, 0);
  const cunn_buffer offsets = make(c, CUNN_I32, 3), no_ids = make(c, CUNN_I32, 0), ids = make(c, CUNN_I32, 4);
  const int32_t sevens[3] = {7, 7, 7};
  int32_t starts[3];
  float got[4];
  OK(cunn.add_forward(c, none, none, none, 0));
  OK(cunn.softmax_forward(c, none, none, 0, 8, 8, 8));
  OK(cunn.rmsnorm_forward(c, none, none, none, x, 0, 4, 1e-6));
  OK(cunn.embedding_forward(c, none, no_ids, x, 0, 1, 4));
  OK(cunn.attention_forward(c, none, none, none, none, none, 0, 0, 16, 2, 1, 8, 16, 8, 8, 8, 1));
  OK(cunn.moe_combine_forward(c, none, 0, none, none, no_ids, 0, 2, 4));
  OK(cunn.gemm(c, none, none, x, 0, 0, 0, 2, 2, 2, 2, 2, 1, 0));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 1 && got[3] == 1);

  /* The empty sum over k is 0: C becomes beta C, whatever A and B hold. */
  OK(cunn.gemm(c, y, none, none, 0, 0, 2, 2, 0, 2, 0, 2, 1, 0.5));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 0.5f && got[3] == 0.5f);
  OK(cunn.gemm(c, y, none, none, 0, 0, 2, 2, 0, 2, 0, 2, 1, 0));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 0 && got[3] == 0);

  OK(cunn.buffer_upload(c, y, 0, 4, ones));
  OK(cunn.sum_of_squares(c, y, none, 0));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 0 && got[1] == 1);
  OK(cunn.buffer_upload(c, offsets, 0, 3, sevens));
  OK(cunn.moe_dispatch_forward(c, offsets, no_ids, no_ids, no_ids, 0, 2, 1));
  OK(cunn.buffer_download(c, starts, offsets, 0, 3));
  CHECK(starts[0] == 0 && starts[1] == 0 && starts[2] == 0);

  /* Nothing to do does not excuse a bad argument. */
  INVALID(c, cunn.add_forward(c, y, ids, x, 0), "add_forward: a is i32, expected f32");
  OK(cunn.context_destroy(c));
}

void test_values_on_the_device(void) {
  const cunn_context c = open_cpu(2);
  const int32_t bad_ids[6] = {1, 2, 3, 4, 5, 1200}, bad_targets[2] = {-2, 0}, bad_positions[2] = {0, 4};
  const int32_t bad_offsets[3] = {0, 3, 2}, bad_rows[2] = {0, 9}, two_rows[2] = {0, 2};
  const cunn_buffer w = make(c, CUNN_F32, 1000 * 4), y = make(c, CUNN_F32, 6 * 4), x = make(c, CUNN_F32, 64);
  const cunn_buffer ids = make_i32(c, bad_ids, 6), targets = make_i32(c, bad_targets, 2);
  const cunn_buffer positions = make_i32(c, bad_positions, 2), offsets = make_i32(c, bad_offsets, 3);
  const cunn_buffer rows = make_i32(c, bad_rows, 2), count = make(c, CUNN_I64, 1), z = make(c, CUNN_F32, 64);
  const cunn_buffer starts = make_i32(c, two_rows, 2);
  const int64_t large = (int64_t)1 << 31;
  const cunn_buffer wide = make(c, CUNN_I64, 2), narrow = make(c, CUNN_I32, 2);
  float got[4] = {9, 9, 9, 9};

  OK(cunn.embedding_forward(c, y, ids, w, 6, 1000, 4));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "embedding_forward: ids[5] is 1200, expected 0 to 999");
  OK(cunn.context_synchronize(c)); /* reported once */
  TEXT(cunn.context_error(c), "");

  OK(cunn.embedding_forward(c, y, ids, w, 6, 1000, 4));
  FAILS(c, cunn.buffer_download(c, got, y, 0, 4), CUNN_DEVICE,
        "embedding_forward: ids[5] is 1200, expected 0 to 999");
  CHECK(got[0] == 9); /* a failed call has no effect */
  OK(cunn.buffer_download(c, got, y, 0, 4));

  OK(cunn.cross_entropy_count(c, count, targets, 2, 8));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "cross_entropy_count: targets[0] is -2, expected -1 to 7");
  OK(cunn.rope_forward(c, y, z, x, x, w, w, positions, 2, 1, 1, 4, 4, 4, 4, 4, 4));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "rope_forward: positions[1] is 4, expected 0 to 3");
  OK(cunn.gemm_grouped_rows(c, y, x, w, offsets, 0, 0, 2, 4, 4, 4, 4, 4, 4, 4, 16, 0));
  EQUAL(cunn.context_synchronize(c), CUNN_DEVICE);
  CHECK(strstr(cunn.context_error(c), "gemm_grouped_rows: offsets[2] is 2, expected offsets that ascend") != NULL);
  OK(cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, w, w, offsets, 0, 2, 4, 4, 4, 4, 4, 4, 4, 16));
  EQUAL(cunn.context_synchronize(c), CUNN_DEVICE);
  CHECK(strstr(cunn.context_error(c), "gemm_grouped_swiglu_forward: offsets[2] is 2, expected offsets that") != NULL);
  OK(cunn.gemm_grouped_swiglu_forward(c, y, 0, 0, x, w, w, starts, rows, 1, 2, 4, 4, 4, 4, 4, 4, 16));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "gemm_grouped_swiglu_forward: a_rows[1] is 9, expected 0 to 3");
  OK(cunn.moe_dispatch_backward(c, y, x, rows, 1, 2, 4));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "moe_dispatch_backward: token_row[1] is 9, expected 0 to 1");
  OK(cunn.buffer_upload(c, wide, 1, 1, &large));
  OK(cunn.cast(c, narrow, wide, 2));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "cast: x[1] is 2147483648, which i32 does not hold");
  OK(cunn.context_destroy(c));
}
