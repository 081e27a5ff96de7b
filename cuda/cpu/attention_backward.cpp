// Gradients of causal attention without the T x T matrix: p is recomputed from the saved logsumexp.
//
//   D_i = dout_i . out_i in 16 lanes;  s_ij as in the forward;  p_ij = exp(s_ij - lse_i);
//   dS_ij = p_ij (dout_i . v_j - D_i), the product over head_dim ascending;
//   dv_j = sum over rows of p_ij dout_i,  dk_j = sum over rows of dS_ij q'_i  with q' = scale q,
//   dq_i = scale (sum over keys ascending of dS_ij k_j).
// Rows are (token, head of the group) in ascending order. Every sum has one accumulator and takes one fused
// multiply-add a term, so two ways through the blocks give the same bits:
//   - one task per key/value head goes through key blocks in order and makes all three (five products a block), or
//   - where such tasks are too few for the threads, one task per key block makes dk and dv, then one per tile of rows
//     makes dq (seven products, since p and dS are computed twice).
#include "attention_tile.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kSmall = int64_t{1} << 16;  // multiply-adds that are not worth waking a thread for

// One key/value head of one sequence.
struct Head {
  const float *q, *dout, *lse, *d;  // first token, first head of the group; d is D, laid out like lse
  float *dq, *dk, *dv;
  KeyValues kv;
  int64_t length;
};

struct Call {
  int64_t q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, n_heads, group, head_dim, ld;
  float scale;
};

// A worker's memory: a block of keys and values in both layouts, a group of rows, what they make together.
struct Work {
  float *keys_t, *values_t, *keys, *q, *dout, *p, *ds, *dk, *dv;
};
int64_t work_floats(const Call &c) { return kBlock * c.ld * 5 + kGroupRows * (2 * c.ld + 2 * kBlock); }
Work carve(float *memory, const Call &c) {
  Work w;
  for (float **piece : {&w.keys_t, &w.values_t, &w.keys, &w.dk, &w.dv}) {
    *piece = memory;
    memory += kBlock * c.ld;
  }
  for (float **piece : {&w.q, &w.dout}) {
    *piece = memory;
    memory += kGroupRows * c.ld;
  }
  w.p = memory;
  w.ds = memory + kGroupRows * kBlock;
  return w;
}

// What a task holds of the block it is at.
struct Block {
  int64_t index, count;
  RowBlock keys;
};
Block take_block(const Call &c, const Head &h, const Work &w, int64_t index, int64_t keys_end, bool with_rows) {
  int64_t count = least(kBlock, keys_end - index * kBlock), at = h.kv.at(index * kBlock);
  transpose_block(w.keys_t, h.kv.k, h.kv.dtype, at, h.kv.row_stride, count, c.head_dim);
  transpose_block(w.values_t, h.kv.v, h.kv.dtype, at, h.kv.row_stride, count, c.head_dim);
  RowBlock keys{nullptr, 0};
  if (with_rows) keys = row_block(w.keys, h.kv.k, h.kv.dtype, at, h.kv.row_stride, count, c.head_dim);
  return {index, count, keys};
}

// q', dout, p and dS of rows row .. row + n - 1 against the block, into w; seen[r] keys of it count, and only they
// are to be used.
void recompute(const Call &c, const Head &h, const Work &w, const Block &block, int64_t row, int64_t n,
               int32_t *seen) {
  keys_seen(seen, row, n, c.group, 0, block.index);
  int64_t vectors = ceil_div(seen[n - 1], 16);
  pack_rows(w.q, c.ld, h.q, row, n, c.group, c.q_token_stride, c.q_head_stride, c.head_dim, c.scale);
  pack_rows(w.dout, c.ld, h.dout, row, n, c.group, c.n_heads * c.head_dim, c.head_dim, c.head_dim, 1.0f);
  product<Start::zero>({w.p, kBlock, w.q, c.ld, 1, w.keys_t, kBlock}, n, vectors, c.head_dim);
  product<Start::zero>({w.ds, kBlock, w.dout, c.ld, 1, w.values_t, kBlock}, n, vectors, c.head_dim);
  int64_t token = row / c.group, head = row % c.group;
  for (int64_t r = 0; r < n; ++r) {
    Vec16 lse = set1(h.lse[token * c.n_heads + head]), d = set1(h.d[token * c.n_heads + head]);
    for (int64_t j = 0; j < vectors * 16; j += 16) {
      float *p = w.p + r * kBlock + j, *ds = w.ds + r * kBlock + j;
      Vec16 x = exp(load(p) - lse);
      store(p, x);
      store(ds, x * (load(ds) - d));
    }
    if (++head == c.group) {
      head = 0;
      ++token;
    }
  }
}

// dk and dv of the block's keys += the rows' terms.
void add_key_terms(const Call &c, const Work &w, const Block &block, int64_t n, const int32_t *seen) {
  Product dv{w.dv, c.ld, w.p, 1, kBlock, w.dout, c.ld};
  Product dk{w.dk, c.ld, w.ds, 1, kBlock, w.q, c.ld};
  if (seen[0] >= block.count) {
    product<Start::keep>(dv, block.count, c.ld / 16, n);
    product<Start::keep>(dk, block.count, c.ld / 16, n);
    return;
  }
  int32_t begins[kBlock];
  int64_t r = 0;
  for (int64_t j = 0; j < block.count; ++j) {
    while (r < n && seen[r] <= j)
      ++r;
    begins[j] = (int32_t)r;
  }
  product_from(dv, block.count, c.ld / 16, begins, n);
  product_from(dk, block.count, c.ld / 16, begins, n);
}

// dq of the rows, [n, ld] without the scale, += the block's terms.
void add_query_terms(const Call &c, float *dq, const Work &w, const Block &block, int64_t n, const int32_t *seen) {
  Product product_of{dq, c.ld, w.ds, kBlock, 1, block.keys.data, block.keys.ld};
  if (seen[0] == kBlock)
    product<Start::keep>(product_of, n, c.ld / 16, kBlock);
  else
    product_until<Start::keep>(product_of, n, c.ld / 16, seen);
}

void write_row(float *y, const float *x, int64_t head_dim, float factor) {
  for (int64_t d = 0; d < head_dim; d += 16)
    store(y + d, load(x + d) * set1(factor), head_dim - d);
}

void write_queries(const Call &c, const Head &h, const float *dq, int64_t row, int64_t n) {
  for (int64_t r = 0; r < n; ++r)
    write_row(h.dq + (row + r) / c.group * c.q_token_stride + (row + r) % c.group * c.q_head_stride, dq + r * c.ld,
              c.head_dim, c.scale);
}

// dk and dv of blocks [begin, end), and with a dq [rows, ld] (zeros at first) their terms of it.
void key_task(const Call &c, const Head &h, const Work &w, int64_t begin, int64_t end, float *dq) {
  int64_t rows = h.length * c.group;
  for (int64_t index = begin; index < end; ++index) {
    Block block = take_block(c, h, w, index, h.length, dq != nullptr);
    memset(w.dk, 0, sizeof(float) * (size_t)(kBlock * c.ld));
    memset(w.dv, 0, sizeof(float) * (size_t)(kBlock * c.ld));
    for (int64_t row = index * kBlock * c.group; row < rows; row += kGroupRows) {
      int64_t n = least(kGroupRows, rows - row);
      int32_t seen[kGroupRows];
      recompute(c, h, w, block, row, n, seen);
      add_key_terms(c, w, block, n, seen);
      if (dq != nullptr) add_query_terms(c, dq + row * c.ld, w, block, n, seen);
    }
    for (int64_t j = 0; j < block.count; ++j) {
      int64_t at = (index * kBlock + j) * c.kv_token_stride;
      write_row(h.dk + at, w.dk + j * c.ld, c.head_dim, 1.0f);
      write_row(h.dv + at, w.dv + j * c.ld, c.head_dim, 1.0f);
    }
  }
}

// dq of rows row .. row + n - 1; dq [n, ld] is the task's own memory.
void query_task(const Call &c, const Head &h, const Work &w, int64_t row, int64_t n, float *dq) {
  memset(dq, 0, sizeof(float) * (size_t)(n * c.ld));
  int64_t keys_end = (row + n - 1) / c.group + 1;
  for (int64_t index = 0; index * kBlock < keys_end; ++index) {
    Block block = take_block(c, h, w, index, keys_end, true);
    for (int64_t r = most(row, index * kBlock * c.group); r < row + n; r += kGroupRows) {
      int64_t m = least(kGroupRows, row + n - r);
      int32_t seen[kGroupRows];
      recompute(c, h, w, block, r, m, seen);
      add_query_terms(c, dq + (r - row) * c.ld, w, block, m, seen);
    }
  }
  write_queries(c, h, dq, row, n);
}

// D of one token's heads, [n_heads].
void row_products(float *d, const float *dout, const float *out, int64_t n_heads, int64_t head_dim) {
  for (int64_t h = 0; h < n_heads; ++h) {
    Vec16 sum = zero();
    for (int64_t i = 0; i < head_dim; i += 16)
      sum = fma(load(dout + h * head_dim + i, head_dim - i), load(out + h * head_dim + i, head_dim - i), sum);
    d[h] = reduce_sum(sum);
  }
}

// n heads of a token that does not exist.
void clear_heads(float *x, int64_t n, int64_t head_stride, int64_t head_dim) {
  for (int64_t h = 0; h < n; ++h)
    memset(x + h * head_stride, 0, sizeof(float) * (size_t)head_dim);
}

// body over [0, n), on the caller alone when the whole op is small.
template <class F> void spread(Exec &exec, bool alone, int64_t n, F &&body) {
  if (!alone) return exec.pool->parallel_for(n, body);
  for (int64_t i = 0; i < n; ++i)
    body(i, 0);
}

}  // namespace

void attention_backward(Exec &exec, const AttentionBackward &a) {
  const AttentionShape &s = a.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0) return;
  const Call c{s.q_token_stride,         s.q_head_stride, s.kv_token_stride,  s.kv_head_stride, s.n_heads,
               s.n_heads / s.n_kv_heads, s.head_dim,      padded(s.head_dim), a.scale};
  const int64_t n_heads = s.batch * s.n_kv_heads, out_row = s.n_heads * s.head_dim;
  float *d = scratch_floats(exec, s.batch * s.seq_len * s.n_heads);
  Head *heads = exec.scratch->array<Head>(n_heads);
  int64_t *lengths = scratch_int64(exec, s.batch);
  int64_t longest = 0, multiply_adds = 0;
  for (int64_t b = 0; b < s.batch; ++b) {
    int64_t length = lengths[b] = checked_length(exec, OpId::attention_backward, a.lengths, b, s.seq_len);
    longest = most(longest, length);
    multiply_adds += length * length * out_row;
    for (int64_t h = 0; h < s.n_kv_heads; ++h) {
      int64_t q = b * s.seq_len * c.q_token_stride + h * c.group * c.q_head_stride;
      int64_t kv = b * s.seq_len * c.kv_token_stride + h * c.kv_head_stride;
      int64_t row = b * s.seq_len * s.n_heads + h * c.group, bytes = element_bytes(a.k.dtype);
      heads[b * s.n_kv_heads + h] = {
          a.q + q,
          a.dout + row * s.head_dim,
          a.lse + row,
          d + row,
          a.dq + q,
          a.dk + kv,
          a.dv + kv,
          {static_cast<const char *>(a.k.data) + kv * bytes, static_cast<const char *>(a.v.data) + kv * bytes,
           a.k.dtype, c.kv_token_stride, nullptr, 0},
          length};
    }
  }
  const bool alone = multiply_adds < kSmall;

  constexpr int64_t kTokensPerTask = 64;
  const int64_t tokens = s.batch * s.seq_len;
  spread(exec, alone, ceil_div(tokens, kTokensPerTask), [&](int64_t task, int) {
    for (int64_t token = task * kTokensPerTask; token < least(tokens, (task + 1) * kTokensPerTask); ++token) {
      if (token % s.seq_len < lengths[token / s.seq_len]) {
        row_products(d + token * s.n_heads, a.dout + token * out_row, a.out + token * out_row, s.n_heads, s.head_dim);
        continue;
      }
      clear_heads(a.dq + token * c.q_token_stride, s.n_heads, c.q_head_stride, s.head_dim);
      clear_heads(a.dk + token * c.kv_token_stride, s.n_kv_heads, c.kv_head_stride, s.head_dim);
      clear_heads(a.dv + token * c.kv_token_stride, s.n_kv_heads, c.kv_head_stride, s.head_dim);
    }
  });
  if (longest == 0) return;

  const int64_t workers = alone ? 1 : exec.pool->size(), each = work_floats(c);
  float *memory = scratch_floats(exec, workers * each);
  auto work = [&](int worker) { return carve(memory + worker * each, c); };
  const int64_t blocks = ceil_div(longest, kBlock);
  // Both ways give the same bits, so the thread count may choose.
  if (workers == 1 || n_heads >= 2 * workers) {
    const int64_t dq_floats = longest * c.group * c.ld;
    float *dq = scratch_floats(exec, workers * dq_floats);
    spread(exec, alone, n_heads, [&](int64_t i, int worker) {
      const Head &h = heads[i];
      float *own = dq + worker * dq_floats;
      memset(own, 0, sizeof(float) * (size_t)(h.length * c.group * c.ld));
      key_task(c, h, work(worker), 0, ceil_div(h.length, kBlock), own);
      write_queries(c, h, own, 0, h.length * c.group);
    });
    return;
  }
  spread(exec, alone, n_heads * blocks, [&](int64_t task, int worker) {
    const Head &h = heads[task % n_heads];
    int64_t index = task / n_heads;  // the blocks that most rows see first
    if (index * kBlock < h.length) key_task(c, h, work(worker), index, index + 1, nullptr);
  });
  const int64_t tiles = ceil_div(longest * c.group, kTileRows), tile_floats = kTileRows * c.ld;
  float *dq = scratch_floats(exec, workers * tile_floats);
  spread(exec, alone, n_heads * tiles, [&](int64_t task, int worker) {
    const Head &h = heads[task % n_heads];
    int64_t row = (tiles - 1 - task / n_heads) * kTileRows, rows = h.length * c.group;
    if (row < rows) query_task(c, h, work(worker), row, least(kTileRows, rows - row), dq + worker * tile_floats);
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
