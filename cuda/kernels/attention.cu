// Causal attention forward without the T x T matrix (Dao et al. 2022), over whole sequences and over a paged cache: one
// kernel computes a query row wherever it comes from.
//
// For a row, within a span of 512 keys, block by block (64 keys, lanes over keys):
//   m' = max(m, max_j s_j),  c = exp(m - m'),  p_j = exp(s_j - m'),
//   l = fma(l, c, (p_0..15 + p_16..31) + (p_32..47 + p_48..63)) in 16 lanes,  o = o c + sum over j ascending of p_j v_j;
// spans combine in order:
//   M' = max(M, m),  a = exp(M - M'),  b = exp(m - M'),  L = fma(l, b, L a),  O = fma(o, b, O a);
// out = O / L, lse = M + log L. A block takes a tile of rows through all spans, or, when rows are few (decode), one span,
// and a second kernel combines.
#include "../src/failure.h"
#include "attention_forward_mma.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

// Shared memory of a block.
template <int kTr>
struct ForwardTile {
  static constexpr int kRows = 16 * kTr, kQueryPitch = kRows + 4, kWeightPitch = kKeys + 4;
  float queries[64 * kQueryPitch];      // [d][row] of a chunk of head_dim
  float keys[64 * kKeyPitch];           // [d][key] of a chunk, keys or values
  float weights[kRows * kWeightPitch];  // p: [row][key]
};

// kTr rows a thread (16 kTr a block), head_dim up to 64 kChunks. grid: (tile or (tile, span), kv head, sequence).
template <int kTr, int kChunks, bool kBySpan>
__global__ void __launch_bounds__(kAttentionThreads, 1) attention_kernel(AttentionCall c, Outputs y, float* partial, int64_t spans) {
  using Tile = ForwardTile<kTr>;
  constexpr int kRows = Tile::kRows, kQueryPitch = Tile::kQueryPitch, kWeightPitch = Tile::kWeightPitch, kColumns = 4 * kChunks;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  float *const queries = shared->queries, *const keys = shared->keys, *const weights = shared->weights;

  const int t = int(threadIdx.x), ty = t / 16, tx = t % 16;
  const int64_t b = blockIdx.z, h = blockIdx.y;
  const int64_t tile = kBySpan ? blockIdx.x / spans : gridDim.x - 1 - blockIdx.x;  // the rows that see most keys first
  const int64_t row0 = tile * kRows, rows = c.s.seq_len * c.group, head_dim = c.s.head_dim;
  const SequenceExtent extent = c.extents[b];
  const int64_t rows_here = extent.length * c.group;
  const int64_t last_row = row0 + kRows < rows_here ? row0 + kRows - 1 : rows_here - 1;
  const int64_t keys_end = last_row < row0 ? 0 : extent.start + last_row / c.group + 1;  // nothing from there on is seen
  int64_t span_begin = 0, span_end = (keys_end + kSpan - 1) / kSpan;
  if (kBySpan) {
    span_begin = blockIdx.x % spans;
    if (span_begin >= span_end) return;
    span_end = span_begin + 1;
  }

  int64_t position[kTr];
  float total_max[kTr], total_sum[kTr], total[kTr][kColumns];
  CUNN_UNROLL
  for (int i = 0; i < kTr; ++i) {
    const int64_t r = row0 + ty * kTr + i;
    position[i] = r < rows_here ? extent.start + r / c.group : -1;
    total_max[i] = -kInfinity;
    total_sum[i] = 0.0f;
    CUNN_UNROLL
    for (int k = 0; k < kColumns; ++k) total[i][k] = 0.0f;
  }
  const auto load_queries = [&](int64_t d0, int width) {
    for (int e = t; e < kRows * width; e += kAttentionThreads) {
      const int i = e / width, d = e % width;
      const int64_t r = row0 + i;
      queries[d * kQueryPitch + i] = r < rows_here ? c.q[c.query_at(b, h, r) + d0 + d] * c.scale : 0.0f;
    }
  };
  const auto width_of = [&](int chunk) { return head_dim - chunk * 64 < 64 ? int(head_dim - chunk * 64) : 64; };
  if (kChunks == 1) load_queries(0, int(head_dim));

  for (int64_t span = span_begin; span < span_end; ++span) {
    float max[kTr], lanes[kTr], o[kTr][kColumns];
    CUNN_UNROLL
    for (int i = 0; i < kTr; ++i) {
      max[i] = -kInfinity;
      lanes[i] = 0.0f;
      CUNN_UNROLL
      for (int k = 0; k < kColumns; ++k) o[i][k] = 0.0f;
    }
    const int64_t span_keys_end = (span + 1) * kSpan < keys_end ? (span + 1) * kSpan : keys_end;
    for (int64_t key = span * kSpan; key < span_keys_end; key += kKeys) {
      const int64_t at = c.key_at(b, h, key);
      const int count = keys_end - key < kKeys ? int(keys_end - key) : kKeys;

      // scores
      float s[kTr][4];
      CUNN_UNROLL
      for (int i = 0; i < kTr; ++i)
        CUNN_UNROLL
        for (int j = 0; j < 4; ++j) s[i][j] = 0.0f;
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int width = width_of(chunk);
        if (width <= 0) break;
        __syncthreads();  // the last readers of keys (and queries) are done
        if (kChunks > 1) load_queries(chunk * 64, width);
        load_keys(keys, c.k, c.kv_dtype, at, c.kv_row_stride, count, chunk * 64, width);
        __syncthreads();
        CUNN_UNROLL_BY(4)
        for (int d = 0; d < width; ++d) {
          float k[4];
          CUNN_UNROLL
          for (int j = 0; j < 4; ++j) k[j] = keys[d * kKeyPitch + tx + 16 * j];
          CUNN_UNROLL
          for (int i = 0; i < kTr; ++i) {
            const float q = queries[d * kQueryPitch + ty * kTr + i];
            CUNN_UNROLL
            for (int j = 0; j < 4; ++j) s[i][j] = fmaf(q, k[j], s[i][j]);
          }
        }
      }

      // p, and what o and l are multiplied with
      float factor[kTr];
      int seen[kTr];
      CUNN_UNROLL
      for (int i = 0; i < kTr; ++i) {
        seen[i] = keys_seen(position[i], key);
        float m = -kInfinity;
        CUNN_UNROLL
        for (int j = 0; j < 4; ++j) {
          if (tx + 16 * j >= seen[i]) s[i][j] = -kInfinity;
          m = larger(s[i][j], m);
        }
        m = row_max(m);
        const float before = max[i];
        max[i] = larger(m, before);
        factor[i] = exp_difference(before, max[i]);
        const float base = max[i] > -kInfinity ? max[i] : 0.0f;
        CUNN_UNROLL
        for (int j = 0; j < 4; ++j) {
          s[i][j] = exp_f32(s[i][j] - base);
          weights[(ty * kTr + i) * kWeightPitch + tx + 16 * j] = s[i][j];
        }
        lanes[i] = fmaf(lanes[i], factor[i], (s[i][0] + s[i][1]) + (s[i][2] + s[i][3]));
      }

      // o = o c + p v
      CUNN_UNROLL
      for (int i = 0; i < kTr; ++i)
        CUNN_UNROLL
        for (int k = 0; k < kColumns; ++k) o[i][k] = o[i][k] * factor[i];
      CUNN_UNROLL
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int width = width_of(chunk);
        if (width <= 0) break;
        __syncthreads();  // keys have been read, and for chunk 0 weights are written
        load_keys(keys, c.v, c.kv_dtype, at, c.kv_row_stride, count, chunk * 64, width);
        __syncthreads();
        CUNN_UNROLL_BY(4)
        for (int j = 0; j < kKeys; ++j) {
          float v[4];
          CUNN_UNROLL
          for (int k = 0; k < 4; ++k) v[k] = tx + 16 * k < width ? keys[(tx + 16 * k) * kKeyPitch + j] : 0.0f;
          CUNN_UNROLL
          for (int i = 0; i < kTr; ++i) {
            if (j >= seen[i]) continue;  // what stands in a later key must not reach an earlier row
            const float p = weights[(ty * kTr + i) * kWeightPitch + j];
            CUNN_UNROLL
            for (int k = 0; k < 4; ++k) o[i][chunk * 4 + k] = fmaf(p, v[k], o[i][chunk * 4 + k]);
          }
        }
      }
    }

    CUNN_UNROLL
    for (int i = 0; i < kTr; ++i) {
      const float sum = row_sum(lanes[i]);
      if (kBySpan) {
        const int64_t r = row0 + ty * kTr + i;
        if (r >= rows_here) continue;
        float* const to = partial_of(partial, c, spans, b, h, r, span);
        if (tx == 0) {
          to[0] = max[i];
          to[1] = sum;
        }
        CUNN_UNROLL
        for (int k = 0; k < kColumns; ++k)
          if (tx + 16 * k < head_dim) to[2 + tx + 16 * k] = o[i][k];
      } else if (span == 0) {
        total_max[i] = max[i];
        total_sum[i] = sum;
        CUNN_UNROLL
        for (int k = 0; k < kColumns; ++k) total[i][k] = o[i][k];
      } else {
        const float joint = larger(total_max[i], max[i]);
        const float a = exp_difference(total_max[i], joint), w = exp_difference(max[i], joint);
        total_max[i] = joint;
        total_sum[i] = fmaf(sum, w, total_sum[i] * a);
        CUNN_UNROLL
        for (int k = 0; k < kColumns; ++k) total[i][k] = fmaf(o[i][k], w, total[i][k] * a);
      }
    }
  }

  if constexpr (!kBySpan) {
    CUNN_UNROLL
    for (int i = 0; i < kTr; ++i) {
      const int64_t r = row0 + ty * kTr + i;
      if (r >= rows) continue;
      const bool exists = r < rows_here;
      if (tx == 0 && y.lse) y.lse[c.head_at(b, h, r)] = exists ? total_max[i] + log_f32(total_sum[i]) : 0.0f;
      CUNN_UNROLL
      for (int k = 0; k < kColumns; ++k)
        if (tx + 16 * k < head_dim) write_row(c, y, b, h, r, tx + 16 * k, exists ? total[i][k] / total_sum[i] : 0.0f);
    }
  }
}

template <int kTr, int kChunks>
void attend_tiles(Exec& exec, const AttentionCall& c, const Outputs& y, int64_t spans, bool by_span) {
  const int64_t tiles = ceil_div(c.s.seq_len * c.group, 16 * kTr);
  const dim3 heads(1, unsigned(c.s.n_kv_heads), unsigned(c.s.batch));
  constexpr size_t kShared = sizeof(ForwardTile<kTr>);
  if (!by_span) {
    allow_shared(attention_kernel<kTr, kChunks, false>, kShared);
    CUNN_RUN(exec, (attention_kernel<kTr, kChunks, false>), dim3(unsigned(tiles), heads.y, heads.z), kAttentionThreads, kShared, c, y, nullptr, spans);
    return;
  }
  float* const partial = partial_memory(exec, c, spans);
  allow_shared(attention_kernel<kTr, kChunks, true>, kShared);
  CUNN_RUN(exec, (attention_kernel<kTr, kChunks, true>), dim3(unsigned(tiles * spans), heads.y, heads.z), kAttentionThreads, kShared, c, y, partial, spans);
  combine_spans(exec, c, y, partial, spans);
}

// capacity: the most keys a row can see. How the work is cut depends on the shape alone and changes no bits.
void attend(Exec& exec, const AttentionCall& c, const Outputs& y, int64_t capacity) {
  const int64_t rows = c.s.seq_len * c.group, spans = ceil_div(capacity, kSpan);
  const int64_t large_tiles = ceil_div(rows, 64) * c.s.n_kv_heads * c.s.batch;
  const bool by_span = spans > 1 && rows <= 64 && large_tiles < 4 * int64_t(cuda_exec(exec).multiprocessors);
  if (c.s.head_dim > 256)
    throw Failure(CUNN_UNSUPPORTED, "head_dim is %lld; attention on this device takes at most 256", static_cast<long long>(c.s.head_dim));
  if (mma_can_attend(exec, c)) return attend_mma(exec, c, y, spans, by_span);
  if (c.s.head_dim <= 64 && rows > 16)
    attend_tiles<4, 1>(exec, c, y, spans, by_span);
  else if (c.s.head_dim <= 64)
    attend_tiles<1, 1>(exec, c, y, spans, by_span);
  else if (c.s.head_dim <= 128)
    attend_tiles<2, 2>(exec, c, y, spans, by_span);
  else
    attend_tiles<1, 4>(exec, c, y, spans, by_span);
}

bool is_empty(const AttentionShape& s) { return s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0; }

}  // namespace

void attention_forward(Exec& exec, const AttentionForward& op) {
  if (is_empty(op.s)) return;
  const AttentionShape& s = op.s;
  const AttentionCall call{s, s.n_heads / s.n_kv_heads, op.scale, op.q, op.k.data, op.v.data, op.k.dtype,
                           sequence_extents(exec, OpId::attention_forward, op.lengths, nullptr, nullptr, s.batch, s.seq_len, {0, 0, 0}, false),
                           s.kv_token_stride, s.seq_len * s.kv_token_stride, s.kv_head_stride, nullptr, 0, 0};
  attend(exec, call, {op.out.data, op.out.dtype, op.lse}, s.seq_len);
}

void attention_cached_forward(Exec& exec, const AttentionCachedForward& op) {
  if (is_empty(op.s)) return;
  const AttentionShape& s = op.s;
  const AttentionCall call{s, s.n_heads / s.n_kv_heads, op.scale, op.q, op.k_cache.data, op.v_cache.data, op.k_cache.dtype,
                           sequence_extents(exec, OpId::attention_cached_forward, op.lengths, op.positions, op.block_table, s.batch, s.seq_len, op.c, false),
                           s.n_kv_heads * s.head_dim, 0, s.head_dim, op.block_table, op.c.page_size, op.c.pages_per_sequence};
  attend(exec, call, {op.out.data, op.out.dtype, nullptr}, op.c.page_size * op.c.pages_per_sequence);
}

}  // namespace cunn::cuda
