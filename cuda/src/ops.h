// The contract between the ABI layer and a device: one argument struct per op, its fields in the order of cunn.h,
// every pointer resolved and every host-visible argument already checked. A device fills one OpTable.
// Equations and shapes stand in cunn.h and are not repeated here.
#pragma once

#include "types.h"

namespace cunn {

class ThreadPool;
class Scratch;

// A pointer to elements of f32, bf16 or f16.
struct Floats {
  void *data;
  DType dtype;
};
struct ConstFloats {
  const void *data;
  DType dtype;
};

// What a device found in the values of a buffer. The first report wins (claimed goes from 0 to 1 atomically); the ABI
// layer turns it into a sentence at the next synchronize or download.
enum class DeviceFault : int32_t {
  none = 0,
  id_out_of_range,        // embedding ids
  target_out_of_range,    // cross entropy targets
  position_out_of_range,  // rope, cache and attention positions
  length_out_of_range,
  page_out_of_range,      // block table entries
  offset_out_of_range,    // grouped gemm offsets
  row_out_of_range,       // gather rows, expert ids, top-k indices
  value_out_of_range,     // cast, sampling parameters
  kernel_failed           // the device itself
};
struct ErrorWord {
  int32_t claimed;
  int32_t fault;      // DeviceFault
  int32_t op;         // OpId
  int32_t reserved;
  int64_t index;      // element of the checked buffer
  int64_t value;      // what stood there
  int64_t limit;      // valid values are below it
};

// Where an op runs. cpu: pool and scratch; cuda and simt: stream and scratch.
struct Exec {
  ThreadPool *pool;
  Scratch *scratch;
  ErrorWord *error;
  void *stream;
};

// ---- elementwise
struct AddForward { float *y; const float *a, *b; int64_t n; };
struct MulForward { float *y; const float *a, *b; int64_t n; };
struct MulBackward { float *da, *db; const float *dy, *a, *b; int64_t n; };
struct ScaleForward { float *y; const float *x; int64_t n; float alpha; };
struct SiluForward { float *y; const float *x; int64_t n; };
struct SiluBackward { float *dx; const float *dy, *x; int64_t n; };
struct SwigluForward { Floats y; const float *gate, *up; int64_t n; };
struct SwigluBackward { float *dgate, *dup; const float *dy, *gate, *up; int64_t n; };
struct Fill { void *y; DType dtype; int64_t n; double value; };

// ---- softmax
struct SoftmaxForward { float *y; const float *x; int64_t rows, cols, ldy, ldx; };
struct SoftmaxBackward { float *dx; const float *dy, *y; int64_t rows, cols, ld; };
struct TopKForward { float *values; int32_t *indices; const float *x; int64_t rows, cols, ldx, k; };
struct TopKBackward { float *dx; const float *dvalues; const int32_t *indices; int64_t rows, cols, ldx, k; };
struct SoftmaxTopKForward { float *probs, *values; int32_t *indices; const float *x; int64_t rows, cols, ldx, k; };
struct SoftmaxTopKBackward {
  float *dx; const float *dvalues; const int32_t *indices; const float *probs; int64_t rows, cols, ldx, k;
};

// ---- rmsnorm
struct RmsnormForward { Floats y; float *rstd; const float *x; ConstFloats w; int64_t rows, cols; float eps; };
struct RmsnormBackward {
  float *dx, *dw; const float *dy, *x; ConstFloats w; const float *rstd; int64_t rows, cols;
};
struct RmsnormResidualForward {
  Floats y; float *h, *rstd; const float *x, *residual; ConstFloats w; int64_t rows, cols; float eps;
};
struct RmsnormResidualBackward {
  float *dx, *dw; const float *dy, *dh, *h; ConstFloats w; const float *rstd; int64_t rows, cols;
};

// ---- gemm
struct GemmArgs {
  void *c; DType c_dtype; int64_t ldc;
  const void *a; DType a_dtype; int64_t lda; bool trans_a;
  const void *b; DType b_dtype; int64_t ldb; bool trans_b;
  int64_t m, n, k;
  float alpha, beta;
};
struct GemmBatchedArgs { GemmArgs g; int64_t batch, stride_c, stride_a, stride_b; };
struct GemmGroupedRowsArgs {
  void *c; DType c_dtype; int64_t ldc;
  const void *a; DType a_dtype; int64_t lda;
  const void *b; DType b_dtype; int64_t ldb; bool trans_b; int64_t stride_b;
  const int32_t *offsets, *a_rows;  // a_rows null: identity
  int64_t groups, m, n, k, a_row_count;
  float beta;
};
struct GemmGroupedInnerArgs {
  void *c; DType c_dtype; int64_t ldc, stride_c;
  const void *a; DType a_dtype; int64_t lda;
  const void *b; DType b_dtype; int64_t ldb;
  const int32_t *offsets, *b_rows;  // b_rows null: identity
  int64_t groups, m, n, k, b_row_count;
  float beta;
};
struct GemmGroupedSwigluForwardArgs {
  void *y; DType y_dtype; float *gate, *up;  // gate and up null: not kept
  int64_t ldc;
  const void *a; DType a_dtype; int64_t lda;
  const void *w_gate, *w_up; DType w_dtype; int64_t ldb, stride_b;
  const int32_t *offsets, *a_rows;  // a_rows null: identity
  int64_t groups, m, n, k, a_row_count;
};
struct GemmGroupedSwigluBackwardArgs {
  float *dgate, *dup; int64_t ldc;
  const void *a; DType a_dtype; int64_t lda;
  const void *w_down; DType w_dtype; int64_t ldb, stride_b;
  const int32_t *offsets; const float *gate, *up;
  int64_t groups, m, n, k;
};

// ---- rope
struct RopeFrequencies { float *cos, *sin; int64_t positions, head_dim; double theta, ntk_alpha; };
struct RopeForward {
  Floats q_out, k_out; const float *q, *k, *cos, *sin; const int32_t *positions;
  int64_t tokens, n_heads, n_kv_heads, head_dim, table_positions;
  int64_t q_token_stride, q_head_stride, k_token_stride, k_head_stride;
};
struct RopeBackward {
  float *dq, *dk; const float *dq_out, *dk_out, *cos, *sin; const int32_t *positions;
  int64_t tokens, n_heads, n_kv_heads, head_dim, table_positions;
  int64_t q_token_stride, q_head_stride, k_token_stride, k_head_stride;
};

// ---- attention
struct AttentionShape {
  int64_t batch, seq_len, n_heads, n_kv_heads, head_dim;
  int64_t q_token_stride, q_head_stride, kv_token_stride, kv_head_stride;
};
struct AttentionScoresForward { float *scores; const float *q, *k; AttentionShape s; float scale; };
struct AttentionScoresBackward { float *dq, *dk; const float *dscores, *q, *k; AttentionShape s; float scale; };
struct AttentionOutputForward { float *out; const float *probs, *v; AttentionShape s; };
struct AttentionOutputBackward { float *dprobs, *dv; const float *dout, *probs, *v; AttentionShape s; };
struct AttentionForward {
  Floats out; float *lse; const float *q; ConstFloats k, v; const int32_t *lengths; AttentionShape s; float scale;
};
struct AttentionBackward {
  float *dq, *dk, *dv; const float *dout, *q; ConstFloats k, v; const float *out, *lse; const int32_t *lengths;
  AttentionShape s; float scale;
};
struct CacheShape { int64_t page_size, pages_per_sequence, n_pages; };
// seq_len of s is new_len; cache pages are [page_size, n_kv_heads, head_dim].
struct CacheAppend {
  Floats k_cache, v_cache; const float *k, *v; const int32_t *block_table, *positions, *lengths;
  AttentionShape s; CacheShape c;
};
struct AttentionCachedForward {
  Floats out; const float *q; ConstFloats k_cache, v_cache; const int32_t *block_table, *positions, *lengths;
  AttentionShape s; CacheShape c; float scale;
};

// ---- embedding
struct EmbeddingForward { float *y; const int32_t *ids; ConstFloats w; int64_t tokens, vocab, hidden; };
struct EmbeddingBackward { float *dw; const float *dy; const int32_t *ids; int64_t tokens, vocab, hidden; };

// ---- mixture of experts
struct MoeRouteForward {
  float *probs; int32_t *experts; float *weights; const float *logits; int64_t tokens, n_experts, top_k;
};
struct MoeRouteBackward {
  float *dlogits; const float *dweights, *dprobs, *dlogits_z, *probs; const int32_t *experts; const float *weights;
  int64_t tokens, n_experts, top_k;
};
struct MoeDispatchForward {
  int32_t *offsets, *row_token, *token_row; const int32_t *experts; int64_t tokens, n_experts, top_k;
};
struct MoeDispatchBackward { float *dx; const float *drows; const int32_t *token_row; int64_t tokens, top_k, hidden; };
struct MoeCombineForward {
  float *y; const float *residual, *rows, *weights; const int32_t *token_row; int64_t tokens, top_k, hidden;
};
struct MoeCombineBackward {
  float *drows, *dweights; const float *dy, *rows, *weights; const int32_t *token_row; int64_t tokens, top_k, hidden;
};
struct MoeBalanceLossForward {
  float *loss, *fractions; const float *probs; const int32_t *experts; int64_t tokens, n_experts, top_k;
};
struct MoeBalanceLossBackward { float *dprobs; const float *fractions; int64_t tokens, n_experts, top_k; double coef; };
struct MoeZLossForward { float *loss; const float *logits; int64_t tokens, n_experts; };
struct MoeZLossBackward { float *dlogits; const float *logits; int64_t tokens, n_experts; double coef; };

// ---- cross entropy
struct CrossEntropyCount { int64_t *count; const int32_t *targets; int64_t rows, vocab; };
struct CrossEntropyForward {
  float *loss, *losses, *lse; const float *logits; const int32_t *targets; int64_t rows, vocab, ld;
};
struct CrossEntropyBackward {
  float *dlogits; const float *logits, *lse; const int32_t *targets; const int64_t *count; int64_t rows, vocab, ld;
};

// ---- optimizer
struct SumOfSquares { float *sum; ConstFloats x; int64_t n; };
struct ClipScale { float *scale, *norm; int32_t *nonfinite; int64_t *applied; const float *sum; double max_norm; };
struct AdamwStep {
  Floats param; float *master; Floats m, v; ConstFloats grad; const float *lr, *scale; const int32_t *nonfinite;
  const int64_t *applied, *seed; int64_t n, start; double beta1, beta2, eps, weight_decay;
};

// ---- decode
struct Argmax { int32_t *ids; const float *logits; int64_t rows, cols, ld; };
struct Sample {
  int32_t *ids; const float *logits, *temperature; const int32_t *top_k; const float *top_p; const int64_t *samples;
  const int32_t *positions; const int64_t *seed; int64_t rows, cols, ld;
};
struct DecodeAdvance { int32_t *positions, *finished; const int32_t *ids; int64_t batch, eos_id; };

// ---- random
struct RandomInit { Floats y; int64_t n, start; uint64_t seed; uint32_t tensor; };
struct RandomUniform { float *y; int64_t n, start; uint64_t seed; uint32_t stream, sub; };

// ---- conversion and layout
struct Copy { void *y; const void *x; DType dtype; int64_t n; };
struct Cast { void *y; DType y_dtype; const void *x; DType x_dtype; int64_t n; };
struct Pack { void *y; const void *x; DType dtype; bool transpose; int64_t rows, cols, ldy, ldx; };
struct Quantize { void *y; DType y_dtype; ConstFloats x; int64_t n; };
struct Dequantize { Floats y; const void *x; DType x_dtype; int64_t n; };

// Every op: its name at the ABI (without the prefix) and its argument struct.
#define CUNN_FOR_EACH_OP(X)                                       \
  X(add_forward, AddForward)                                      \
  X(mul_forward, MulForward)                                      \
  X(mul_backward, MulBackward)                                    \
  X(scale_forward, ScaleForward)                                  \
  X(silu_forward, SiluForward)                                    \
  X(silu_backward, SiluBackward)                                  \
  X(swiglu_forward, SwigluForward)                                \
  X(swiglu_backward, SwigluBackward)                              \
  X(fill, Fill)                                                   \
  X(softmax_forward, SoftmaxForward)                              \
  X(softmax_backward, SoftmaxBackward)                            \
  X(top_k_forward, TopKForward)                                   \
  X(top_k_backward, TopKBackward)                                 \
  X(softmax_top_k_forward, SoftmaxTopKForward)                    \
  X(softmax_top_k_backward, SoftmaxTopKBackward)                  \
  X(rmsnorm_forward, RmsnormForward)                              \
  X(rmsnorm_backward, RmsnormBackward)                            \
  X(rmsnorm_residual_forward, RmsnormResidualForward)             \
  X(rmsnorm_residual_backward, RmsnormResidualBackward)           \
  X(gemm, GemmArgs)                                               \
  X(gemm_batched, GemmBatchedArgs)                                \
  X(gemm_grouped_rows, GemmGroupedRowsArgs)                       \
  X(gemm_grouped_inner, GemmGroupedInnerArgs)                     \
  X(gemm_grouped_swiglu_forward, GemmGroupedSwigluForwardArgs)    \
  X(gemm_grouped_swiglu_backward, GemmGroupedSwigluBackwardArgs)  \
  X(rope_frequencies, RopeFrequencies)                            \
  X(rope_forward, RopeForward)                                    \
  X(rope_backward, RopeBackward)                                  \
  X(attention_scores_forward, AttentionScoresForward)             \
  X(attention_scores_backward, AttentionScoresBackward)           \
  X(attention_output_forward, AttentionOutputForward)             \
  X(attention_output_backward, AttentionOutputBackward)           \
  X(attention_forward, AttentionForward)                          \
  X(attention_backward, AttentionBackward)                        \
  X(cache_append, CacheAppend)                                    \
  X(attention_cached_forward, AttentionCachedForward)             \
  X(embedding_forward, EmbeddingForward)                          \
  X(embedding_backward, EmbeddingBackward)                        \
  X(moe_route_forward, MoeRouteForward)                           \
  X(moe_route_backward, MoeRouteBackward)                         \
  X(moe_dispatch_forward, MoeDispatchForward)                     \
  X(moe_dispatch_backward, MoeDispatchBackward)                   \
  X(moe_combine_forward, MoeCombineForward)                       \
  X(moe_combine_backward, MoeCombineBackward)                     \
  X(moe_balance_loss_forward, MoeBalanceLossForward)              \
  X(moe_balance_loss_backward, MoeBalanceLossBackward)            \
  X(moe_z_loss_forward, MoeZLossForward)                          \
  X(moe_z_loss_backward, MoeZLossBackward)                        \
  X(cross_entropy_count, CrossEntropyCount)                       \
  X(cross_entropy_forward, CrossEntropyForward)                   \
  X(cross_entropy_backward, CrossEntropyBackward)                 \
  X(sum_of_squares, SumOfSquares)                                 \
  X(clip_scale, ClipScale)                                        \
  X(adamw_step, AdamwStep)                                        \
  X(argmax, Argmax)                                               \
  X(sample, Sample)                                               \
  X(decode_advance, DecodeAdvance)                                \
  X(random_init, RandomInit)                                      \
  X(random_uniform, RandomUniform)                                \
  X(copy, Copy)                                                   \
  X(cast, Cast)                                                   \
  X(pack, Pack)                                                   \
  X(quantize, Quantize)                                           \
  X(dequantize, Dequantize)

enum class OpId : int32_t {
#define CUNN_OP(name, Args) name,
  CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  count
};

// A device: one function per op.
struct OpTable {
#define CUNN_OP(name, Args) void (*name)(Exec &, const Args &);
  CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
};

}  // namespace cunn
