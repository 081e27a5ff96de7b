// The readable path of attention: scores, (softmax,) output, with the T x T matrix in memory. The flash kernels
// compute the same sums; here each stands alone and can be looked at.
//
// Sums have one accumulator in ascending order (head_dim; keys; rows token by token, head by head) and one fused
// multiply-add a term, q' = scale q as in the flash kernels. Entries above the diagonal are written, never read.
#include "attention_tile.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kSmall = int64_t{1} << 16;  // multiply-adds that are not worth waking a thread for

// Where things of query head h of sequence b start.
struct Place {
  int64_t matrix, q, kv, out;
};
Place place(const AttentionShape &s, int64_t b, int64_t h) {
  return {(b * s.n_heads + h) * s.seq_len * s.seq_len, b * s.seq_len * s.q_token_stride + h * s.q_head_stride,
          b * s.seq_len * s.kv_token_stride + h / (s.n_heads / s.n_kv_heads) * s.kv_head_stride,
          (b * s.seq_len * s.n_heads + h) * s.head_dim};
}

bool is_empty(const AttentionShape &s) { return s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0; }

// body(b, head, block, work) for every block of 64 tokens of every head, work of `floats` the task's own. The caller
// alone when there is little to do.
template <class F> void for_blocks(Exec &exec, const AttentionShape &s, int64_t heads, int64_t floats, F &&body) {
  const bool alone = s.batch * s.n_heads * s.seq_len * s.seq_len * s.head_dim < kSmall;
  const int64_t blocks = ceil_div(s.seq_len, kBlock), n = s.batch * heads * blocks;
  float *memory = scratch_floats(exec, floats * (alone ? 1 : exec.pool->size()));
  auto task = [&](int64_t i, int worker) {
    body(i / blocks / heads, i / blocks % heads, i % blocks, memory + worker * floats);
  };
  if (!alone) return exec.pool->parallel_for(n, task);
  for (int64_t i = 0; i < n; ++i)
    task(i, 0);
}

// y[i, j] = sum over head_dim of factor x_i . z_j for j <= i, `above` for j > i, for tokens i of the block: x and z
// hold tokens x_stride and z_stride apart. work: [64, ld] + [head_dim, 64] + [64, 64].
void row_products(float *y, const float *x, int64_t x_stride, const float *z, int64_t z_stride, int64_t block,
                  int64_t seq_len, int64_t head_dim, float factor, float above, float *work) {
  const int64_t ld = padded(head_dim), first_token = block * kBlock, n = least(kBlock, seq_len - first_token);
  float *rows = work, *keys = rows + kBlock * ld, *tile = keys + kBlock * ld;
  pack_rows(rows, ld, x, first_token, n, 1, x_stride, 0, head_dim, factor);
  for (int64_t at = 0; at < seq_len; at += kBlock) {
    const int64_t count = least(kBlock, seq_len - at);
    if (at <= first_token) {
      transpose_block(keys, z, DType::f32, at * z_stride, z_stride, least(count, first_token + n - at), head_dim);
      product<Start::zero>({tile, kBlock, rows, ld, 1, keys, kBlock}, n, kBlock / 16, head_dim);
    }
    for (int64_t i = 0; i < n; ++i) {
      float *row = y + (first_token + i) * seq_len + at;
      const int64_t seen = first_token + i + 1 - at;
      for (int64_t j = 0; j < count; j += 16)
        store(row + j, seen > j ? select(first(seen - j), load(tile + i * kBlock + j), set1(above)) : set1(above),
              count - j);
    }
  }
}
int64_t row_products_floats(int64_t head_dim) { return kBlock * (2 * padded(head_dim) + kBlock); }

// y_i = factor sum over j <= i of a[i, j] z_j for tokens i of the block; y and z hold tokens y_stride and z_stride
// apart. work: [64, ld] twice, one for z where it cannot be read in whole vectors.
void sum_over_keys(float *y, int64_t y_stride, const float *a, const float *z, int64_t z_stride, int64_t block,
                   int64_t seq_len, int64_t head_dim, float factor, float *work) {
  const int64_t ld = padded(head_dim), first_token = block * kBlock, n = least(kBlock, seq_len - first_token);
  float *sum = work, *copy = work + kBlock * ld;
  memset(sum, 0, sizeof(float) * (size_t)(n * ld));
  for (int64_t at = 0; at <= first_token; at += kBlock) {
    RowBlock rows = row_block(copy, z, DType::f32, at * z_stride, z_stride, at < first_token ? kBlock : n, head_dim);
    int32_t seen[kBlock];
    keys_seen(seen, first_token, n, 1, 0, at / kBlock);
    product_until<Start::keep>({sum, ld, a + first_token * seq_len + at, seq_len, 1, rows.data, rows.ld}, n, ld / 16,
                               seen);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < head_dim; d += 16)
      store(y + (first_token + i) * y_stride + d, load(sum + i * ld + d) * set1(factor), head_dim - d);
}

// y_j = factor sum over tokens i >= j, then over heads of the group, of a[head, i, j] x_i,head for keys j of the
// block. a holds heads seq_len^2 apart, x heads x_head_stride apart. work: [64, ld] + [group, ld] + [group, 64].
void sum_over_rows(float *y, int64_t y_stride, const float *a, const float *x, int64_t x_stride,
                   int64_t x_head_stride, int64_t group, int64_t block, int64_t seq_len, int64_t head_dim,
                   float factor, float *work) {
  const int64_t ld = padded(head_dim), first_key = block * kBlock, n = least(kBlock, seq_len - first_key);
  float *sum = work, *rows = sum + kBlock * ld, *weights = rows + group * ld;
  memset(sum, 0, sizeof(float) * (size_t)(n * ld));
  for (int64_t i = first_key; i < seq_len; ++i) {
    pack_rows(rows, ld, x, i * group, group, group, x_stride, x_head_stride, head_dim, factor);
    const int64_t seen = least(n, i + 1 - first_key);
    for (int64_t h = 0; h < group; ++h)
      memcpy(weights + h * kBlock, a + (h * seq_len + i) * seq_len + first_key, sizeof(float) * (size_t)seen);
    product<Start::keep>({sum, ld, weights, 1, kBlock, rows, ld}, seen, ld / 16, group);
  }
  for (int64_t j = 0; j < n; ++j)
    for (int64_t d = 0; d < head_dim; d += 16)
      store(y + (first_key + j) * y_stride + d, load(sum + j * ld + d), head_dim - d);
}
int64_t sum_over_rows_floats(int64_t head_dim, int64_t group) {
  return kBlock * padded(head_dim) + group * (padded(head_dim) + kBlock);
}

}  // namespace

void attention_scores_forward(Exec &exec, const AttentionScoresForward &a) {
  const AttentionShape &s = a.s;
  if (is_empty(s)) return;
  for_blocks(exec, s, s.n_heads, row_products_floats(s.head_dim),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h);
               row_products(a.scores + p.matrix, a.q + p.q, s.q_token_stride, a.k + p.kv, s.kv_token_stride, block,
                            s.seq_len, s.head_dim, a.scale, -__builtin_inff(), work);
             });
}

void attention_scores_backward(Exec &exec, const AttentionScoresBackward &a) {
  const AttentionShape &s = a.s;
  if (is_empty(s)) return;
  const int64_t group = s.n_heads / s.n_kv_heads;
  for_blocks(exec, s, s.n_heads, 2 * kBlock * padded(s.head_dim),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h);
               sum_over_keys(a.dq + p.q, s.q_token_stride, a.dscores + p.matrix, a.k + p.kv, s.kv_token_stride, block,
                             s.seq_len, s.head_dim, a.scale, work);
             });
  for_blocks(exec, s, s.n_kv_heads, sum_over_rows_floats(s.head_dim, group),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h * group);
               sum_over_rows(a.dk + p.kv, s.kv_token_stride, a.dscores + p.matrix, a.q + p.q, s.q_token_stride,
                             s.q_head_stride, group, block, s.seq_len, s.head_dim, a.scale, work);
             });
}

void attention_output_forward(Exec &exec, const AttentionOutputForward &a) {
  const AttentionShape &s = a.s;
  if (is_empty(s)) return;
  for_blocks(exec, s, s.n_heads, 2 * kBlock * padded(s.head_dim),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h);
               sum_over_keys(a.out + p.out, s.n_heads * s.head_dim, a.probs + p.matrix, a.v + p.kv, s.kv_token_stride,
                             block, s.seq_len, s.head_dim, 1.0f, work);
             });
}

void attention_output_backward(Exec &exec, const AttentionOutputBackward &a) {
  const AttentionShape &s = a.s;
  if (is_empty(s)) return;
  const int64_t group = s.n_heads / s.n_kv_heads, out_row = s.n_heads * s.head_dim;
  for_blocks(exec, s, s.n_heads, row_products_floats(s.head_dim),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h);
               row_products(a.dprobs + p.matrix, a.dout + p.out, out_row, a.v + p.kv, s.kv_token_stride, block,
                            s.seq_len, s.head_dim, 1.0f, 0.0f, work);
             });
  for_blocks(exec, s, s.n_kv_heads, sum_over_rows_floats(s.head_dim, group),
             [&](int64_t b, int64_t h, int64_t block, float *work) {
               Place p = place(s, b, h * group);
               sum_over_rows(a.dv + p.kv, s.kv_token_stride, a.probs + p.matrix, a.dout + p.out, out_row, s.head_dim,
                             group, block, s.seq_len, s.head_dim, 1.0f, work);
             });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
