// The readable path of attention: scores, (softmax,) output, with the T x T matrix in memory. A thread makes an element.
//
// Sums have one accumulator in ascending order (head_dim; keys; rows token by token, head by head) and one fused
// multiply-add a term, q' = scale q as in the flash kernels. Entries above the diagonal are written, never read.
#include "launch.cuh"
#include "math.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

constexpr int kTile = 16;  // a block makes 16 x 16 elements
constexpr int kThreads = 128;

// Rows of one head of one sequence, token_stride apart.
struct Rows {
  int64_t sequence_stride, token_stride, head_stride;
  __device__ int64_t at(int64_t b, int64_t h, int64_t token) const { return b * sequence_stride + token * token_stride + h * head_stride; }
};

// y[b,h,i,j] = sum over head_dim of (factor x_i) . z_j for j <= i, `above` for j > i. blockIdx.z = b n_heads + h.
__global__ void __launch_bounds__(kTile * kTile)
    row_products_kernel(float* y, const float* x, Rows xs, const float* z, Rows zs, AttentionShape s, float factor, float above) {
  const int64_t j = int64_t(blockIdx.x) * kTile + threadIdx.x, i = int64_t(blockIdx.y) * kTile + threadIdx.y;
  if (i >= s.seq_len || j >= s.seq_len) return;
  const int64_t b = blockIdx.z / s.n_heads, h = blockIdx.z % s.n_heads;
  float sum = above;
  if (j <= i) {
    const float *row = x + xs.at(b, h, i), *key = z + zs.at(b, h / (s.n_heads / s.n_kv_heads), j);
    sum = 0.0f;
    for (int64_t d = 0; d < s.head_dim; ++d) sum = fmaf(row[d] * factor, key[d], sum);
  }
  y[(int64_t(blockIdx.z) * s.seq_len + i) * s.seq_len + j] = sum;
}

// y_i = factor sum over j <= i of a[i, j] z_j. blockIdx: (token, head, sequence).
__global__ void __launch_bounds__(kThreads)
    sum_over_keys_kernel(float* y, Rows ys, const float* a, const float* z, Rows zs, AttentionShape s, float factor) {
  const int64_t i = blockIdx.x, h = blockIdx.y, b = blockIdx.z, kv_head = h / (s.n_heads / s.n_kv_heads);
  a += ((b * s.n_heads + h) * s.seq_len + i) * s.seq_len;
  for (int64_t d = threadIdx.x; d < s.head_dim; d += kThreads) {
    float sum = 0.0f;
    for (int64_t j = 0; j <= i; ++j) sum = fmaf(a[j], z[zs.at(b, kv_head, j) + d], sum);
    y[ys.at(b, h, i) + d] = sum * factor;
  }
}

// y_j = sum over tokens i >= j, then heads of the group, of a[head, i, j] (factor x_i). blockIdx: (key, kv head, sequence).
__global__ void __launch_bounds__(kThreads)
    sum_over_rows_kernel(float* y, Rows ys, const float* a, const float* x, Rows xs, AttentionShape s, float factor) {
  const int64_t j = blockIdx.x, kv_head = blockIdx.y, b = blockIdx.z, group = s.n_heads / s.n_kv_heads;
  for (int64_t d = threadIdx.x; d < s.head_dim; d += kThreads) {
    float sum = 0.0f;
    for (int64_t i = j; i < s.seq_len; ++i)
      for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
        sum = fmaf(a[((b * s.n_heads + h) * s.seq_len + i) * s.seq_len + j], x[xs.at(b, h, i) + d] * factor, sum);
    y[ys.at(b, kv_head, j) + d] = sum;
  }
}

bool is_empty(const AttentionShape& s) { return s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0; }
Rows query_rows(const AttentionShape& s) { return {s.seq_len * s.q_token_stride, s.q_token_stride, s.q_head_stride}; }
Rows key_rows(const AttentionShape& s) { return {s.seq_len * s.kv_token_stride, s.kv_token_stride, s.kv_head_stride}; }
Rows out_rows(const AttentionShape& s) { return {s.seq_len * s.n_heads * s.head_dim, s.n_heads * s.head_dim, s.head_dim}; }

void row_products(Exec& exec, float* y, const float* x, Rows xs, const float* z, const AttentionShape& s, float factor, float above) {
  const unsigned tiles = unsigned(ceil_div(s.seq_len, kTile));
  CUNN_RUN(exec, row_products_kernel, dim3(tiles, tiles, unsigned(s.batch * s.n_heads)), dim3(kTile, kTile), 0, y, x, xs, z, key_rows(s), s, factor, above);
}
void sum_over_keys(Exec& exec, float* y, Rows ys, const float* a, const float* z, const AttentionShape& s, float factor) {
  CUNN_RUN(exec, sum_over_keys_kernel, dim3(unsigned(s.seq_len), unsigned(s.n_heads), unsigned(s.batch)), kThreads, 0, y, ys, a, z, key_rows(s), s, factor);
}
void sum_over_rows(Exec& exec, float* y, const float* a, const float* x, Rows xs, const AttentionShape& s, float factor) {
  CUNN_RUN(exec, sum_over_rows_kernel, dim3(unsigned(s.seq_len), unsigned(s.n_kv_heads), unsigned(s.batch)), kThreads, 0, y, key_rows(s), a, x, xs, s, factor);
}

}  // namespace

void attention_scores_forward(Exec& exec, const AttentionScoresForward& op) {
  if (!is_empty(op.s)) row_products(exec, op.scores, op.q, query_rows(op.s), op.k, op.s, op.scale, -kInfinity);
}

void attention_scores_backward(Exec& exec, const AttentionScoresBackward& op) {
  if (is_empty(op.s)) return;
  sum_over_keys(exec, op.dq, query_rows(op.s), op.dscores, op.k, op.s, op.scale);
  sum_over_rows(exec, op.dk, op.dscores, op.q, query_rows(op.s), op.s, op.scale);
}

void attention_output_forward(Exec& exec, const AttentionOutputForward& op) {
  if (!is_empty(op.s)) sum_over_keys(exec, op.out, out_rows(op.s), op.probs, op.v, op.s, 1.0f);
}

void attention_output_backward(Exec& exec, const AttentionOutputBackward& op) {
  if (is_empty(op.s)) return;
  row_products(exec, op.dprobs, op.dout, out_rows(op.s), op.v, op.s, 1.0f, 0.0f);
  sum_over_rows(exec, op.dv, op.probs, op.dout, out_rows(op.s), op.s, 1.0f);
}

}  // namespace cunn::cuda
