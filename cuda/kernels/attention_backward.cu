// Gradients of causal attention without the T x T matrix: p is recomputed from the saved logsumexp.
//
//   D_i = dout_i . out_i in 16 lanes;  s_ij as in the forward;  p_ij = exp(s_ij - lse_i);
//   dS_ij = p_ij (dout_i . v_j - D_i), the product over head_dim ascending;
//   dv_j = sum over rows of p_ij dout_i,  dk_j = sum over rows of dS_ij q'_i  with q' = scale q,
//   dq_i = scale (sum over keys ascending of dS_ij k_j).
// Rows are (token, head of the group) in ascending order; every sum has one accumulator and takes one fused multiply-add a
// term. One kernel makes dk and dv, a block a key block; one makes dq, a block a tile of rows.
#include "../src/failure.h"
#include "attention_backward_mma.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

// D of row (token, head): half a warp.
__global__ void __launch_bounds__(kRowThreads)
    row_dots_kernel(float* d, const float* dout, const float* out, const SequenceExtent* extents, int64_t rows, int64_t n_heads, int64_t seq_len, int64_t head_dim) {
  const int64_t r = row_of_thread();
  if (r >= rows) return;
  const int64_t token = r / n_heads;
  float sum = 0.0f;
  if (token % seq_len < extents[token / seq_len].length)
    for (int64_t i = row_lane(); i < head_dim; i += kRowLanes) sum = fmaf(dout[r * head_dim + i], out[r * head_dim + i], sum);
  sum = row_sum(sum);
  if (row_lane() == 0) d[r] = sum;
}

// Shared memory of both kernels, head_dim up to kMaxDim: a block of keys and values [d][key], a tile of rows [d][row].
template <int kTr, int kMaxDim>
struct BackwardTile {
  static constexpr int kRows = 16 * kTr, kRowPitch = kRows + 1;
  float keys[kMaxDim * kKeyPitch], values[kMaxDim * kKeyPitch];
  float queries[kMaxDim * kRowPitch], douts[kMaxDim * kRowPitch];
  float p[kRows * kKeyPitch], ds[kRows * kKeyPitch];
};

// q' and dout of rows row0 .. of (b, h); rows that do not exist are 0.
template <class Tile>
__device__ __forceinline__ void load_rows(Tile& tile, const AttentionCall& c, const Gradients& g, int64_t b, int64_t h, int64_t row0, int64_t rows_here) {
  const int head_dim = int(c.s.head_dim);
  for (int e = int(threadIdx.x); e < Tile::kRows * head_dim; e += kAttentionThreads) {
    const int i = e / head_dim, d = e % head_dim;
    const int64_t r = row0 + i;
    tile.queries[d * Tile::kRowPitch + i] = r < rows_here ? c.q[c.query_at(b, h, r) + d] * c.scale : 0.0f;
    tile.douts[d * Tile::kRowPitch + i] = r < rows_here ? g.dout[c.head_at(b, h, r) * head_dim + d] : 0.0f;
  }
}

// p and dS of the tile's rows against the block of keys, into shared memory; 0 where the row does not see the key.
template <int kTr, class Tile>
__device__ __forceinline__ void recompute(Tile& tile, const AttentionCall& c, const Gradients& g, int64_t b, int64_t h, int64_t row0,
                                          int64_t rows_here, int64_t key) {
  const int ty = int(threadIdx.x) / 16, tx = int(threadIdx.x) % 16, head_dim = int(c.s.head_dim);
  float s[kTr][4], dp[kTr][4];
  CUNN_UNROLL
  for (int i = 0; i < kTr; ++i)
    CUNN_UNROLL
    for (int j = 0; j < 4; ++j) s[i][j] = dp[i][j] = 0.0f;
  CUNN_UNROLL_BY(4)
  for (int d = 0; d < head_dim; ++d) {
    float k[4], v[4];
    CUNN_UNROLL
    for (int j = 0; j < 4; ++j) {
      k[j] = tile.keys[d * kKeyPitch + tx + 16 * j];
      v[j] = tile.values[d * kKeyPitch + tx + 16 * j];
    }
    CUNN_UNROLL
    for (int i = 0; i < kTr; ++i) {
      const float q = tile.queries[d * Tile::kRowPitch + ty * kTr + i], dout = tile.douts[d * Tile::kRowPitch + ty * kTr + i];
      CUNN_UNROLL
      for (int j = 0; j < 4; ++j) {
        s[i][j] = fmaf(q, k[j], s[i][j]);
        dp[i][j] = fmaf(dout, v[j], dp[i][j]);
      }
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < kTr; ++i) {
    const int64_t r = row0 + ty * kTr + i;
    const bool exists = r < rows_here;
    const int seen = exists ? keys_seen(r / c.group, key) : 0;
    const float lse = exists ? g.lse[c.head_at(b, h, r)] : 0.0f, d = exists ? g.d[c.head_at(b, h, r)] : 0.0f;
    CUNN_UNROLL
    for (int j = 0; j < 4; ++j) {
      const bool sees = tx + 16 * j < seen;
      const float p = sees ? exp_f32(s[i][j] - lse) : 0.0f;
      tile.p[(ty * kTr + i) * kKeyPitch + tx + 16 * j] = p;
      tile.ds[(ty * kTr + i) * kKeyPitch + tx + 16 * j] = sees ? p * (dp[i][j] - d) : 0.0f;
    }
  }
}

// dk, dv of 64 keys: all rows that see them, ascending. grid: (key block, kv head, sequence).
template <int kTr, int kMaxDim>
__global__ void __launch_bounds__(kAttentionThreads, 1) key_gradients_kernel(AttentionCall c, Gradients g) {
  using Tile = BackwardTile<kTr, kMaxDim>;
  constexpr int kColumns = kMaxDim / 16;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  Tile& tile = *shared;
  const int ty = int(threadIdx.x) / 16, tx = int(threadIdx.x) % 16, head_dim = int(c.s.head_dim);
  const int64_t key = int64_t(blockIdx.x) * kKeys, h = blockIdx.y, b = blockIdx.z;
  const int64_t length = c.extents[b].length, rows_here = length * c.group;
  const int count = length - key < 0 ? 0 : length - key < kKeys ? int(length - key) : kKeys;
  // Thread (ty, tx) accumulates keys 4 ty + i and elements tx + 16 k.
  float dk[4][kColumns], dv[4][kColumns];
  CUNN_UNROLL
  for (int i = 0; i < 4; ++i)
    CUNN_UNROLL
    for (int k = 0; k < kColumns; ++k) dk[i][k] = dv[i][k] = 0.0f;
  if (count > 0) {
    load_keys(tile.keys, c.k, c.kv_dtype, c.key_at(b, h, key), c.kv_row_stride, count, 0, head_dim);
    load_keys(tile.values, c.v, c.kv_dtype, c.key_at(b, h, key), c.kv_row_stride, count, 0, head_dim);
    for (int64_t row0 = key * c.group; row0 < rows_here; row0 += Tile::kRows) {
      __syncthreads();  // the tile's last readers are done
      load_rows(tile, c, g, b, h, row0, rows_here);
      __syncthreads();
      recompute<kTr>(tile, c, g, b, h, row0, rows_here, key);
      __syncthreads();
      const int rows = rows_here - row0 < Tile::kRows ? int(rows_here - row0) : Tile::kRows;
      for (int r = 0; r < rows; ++r) {
        float q[kColumns], dout[kColumns];
        CUNN_UNROLL
        for (int k = 0; k < kColumns; ++k) {
          q[k] = tx + 16 * k < head_dim ? tile.queries[(tx + 16 * k) * Tile::kRowPitch + r] : 0.0f;
          dout[k] = tx + 16 * k < head_dim ? tile.douts[(tx + 16 * k) * Tile::kRowPitch + r] : 0.0f;
        }
        CUNN_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float p = tile.p[r * kKeyPitch + 4 * ty + i], ds = tile.ds[r * kKeyPitch + 4 * ty + i];
          CUNN_UNROLL
          for (int k = 0; k < kColumns; ++k) {
            dv[i][k] = fmaf(p, dout[k], dv[i][k]);
            dk[i][k] = fmaf(ds, q[k], dk[i][k]);
          }
        }
      }
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int64_t j = key + 4 * ty + i;
    if (j >= c.s.seq_len) continue;
    const int64_t to = c.key_at(b, h, 0) + j * c.kv_row_stride;
    CUNN_UNROLL
    for (int k = 0; k < kColumns; ++k)
      if (tx + 16 * k < head_dim) {
        g.dk[to + tx + 16 * k] = dk[i][k];
        g.dv[to + tx + 16 * k] = dv[i][k];
      }
  }
}

// dq of a tile of rows: all keys that they see, ascending. grid: (tile, kv head, sequence).
template <int kTr, int kMaxDim>
__global__ void __launch_bounds__(kAttentionThreads, 1) query_gradients_kernel(AttentionCall c, Gradients g) {
  using Tile = BackwardTile<kTr, kMaxDim>;
  constexpr int kColumns = kMaxDim / 16;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  Tile& tile = *shared;
  const int ty = int(threadIdx.x) / 16, tx = int(threadIdx.x) % 16, head_dim = int(c.s.head_dim);
  const int64_t row0 = int64_t(gridDim.x - 1 - blockIdx.x) * Tile::kRows, h = blockIdx.y, b = blockIdx.z;
  const int64_t rows = c.s.seq_len * c.group, rows_here = c.extents[b].length * c.group;
  float dq[kTr][kColumns];
  CUNN_UNROLL
  for (int i = 0; i < kTr; ++i)
    CUNN_UNROLL
    for (int k = 0; k < kColumns; ++k) dq[i][k] = 0.0f;
  if (row0 < rows_here) {
    const int64_t last_row = row0 + Tile::kRows < rows_here ? row0 + Tile::kRows - 1 : rows_here - 1;
    const int64_t keys_end = last_row / c.group + 1;
    load_rows(tile, c, g, b, h, row0, rows_here);
    for (int64_t key = 0; key < keys_end; key += kKeys) {
      const int count = keys_end - key < kKeys ? int(keys_end - key) : kKeys;
      __syncthreads();  // the block's last readers are done
      load_keys(tile.keys, c.k, c.kv_dtype, c.key_at(b, h, key), c.kv_row_stride, count, 0, head_dim);
      load_keys(tile.values, c.v, c.kv_dtype, c.key_at(b, h, key), c.kv_row_stride, count, 0, head_dim);
      __syncthreads();
      recompute<kTr>(tile, c, g, b, h, row0, rows_here, key);
      __syncthreads();
      CUNN_UNROLL_BY(4)
      for (int j = 0; j < count; ++j) {
        float k[kColumns];
        CUNN_UNROLL
        for (int e = 0; e < kColumns; ++e) k[e] = tx + 16 * e < head_dim ? tile.keys[(tx + 16 * e) * kKeyPitch + j] : 0.0f;
        CUNN_UNROLL
        for (int i = 0; i < kTr; ++i) {
          const float ds = tile.ds[(ty * kTr + i) * kKeyPitch + j];
          CUNN_UNROLL
          for (int e = 0; e < kColumns; ++e) dq[i][e] = fmaf(ds, k[e], dq[i][e]);
        }
      }
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < kTr; ++i) {
    const int64_t r = row0 + ty * kTr + i;
    if (r >= rows) continue;
    CUNN_UNROLL
    for (int k = 0; k < kColumns; ++k)
      if (tx + 16 * k < head_dim) g.dq[c.query_at(b, h, r) + tx + 16 * k] = dq[i][k] * c.scale;
  }
}

template <int kTr, int kMaxDim>
void run(Exec& exec, const AttentionCall& c, const Gradients& g) {
  using Tile = BackwardTile<kTr, kMaxDim>;
  allow_shared(key_gradients_kernel<kTr, kMaxDim>, sizeof(Tile));
  allow_shared(query_gradients_kernel<kTr, kMaxDim>, sizeof(Tile));
  const unsigned heads = unsigned(c.s.n_kv_heads), batch = unsigned(c.s.batch);
  CUNN_RUN(exec, (key_gradients_kernel<kTr, kMaxDim>), dim3(unsigned(ceil_div(c.s.seq_len, kKeys)), heads, batch), kAttentionThreads, sizeof(Tile), c, g);
  CUNN_RUN(exec, (query_gradients_kernel<kTr, kMaxDim>), dim3(unsigned(ceil_div(c.s.seq_len * c.group, Tile::kRows)), heads, batch),
           kAttentionThreads, sizeof(Tile), c, g);
}

}  // namespace

void attention_backward(Exec& exec, const AttentionBackward& op) {
  const AttentionShape& s = op.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0) return;
  const int most = sizeof(BackwardTile<1, 128>) <= cuda_exec(exec).max_shared ? 128 : 64;  // 64 KiB of sm_75 are too few
  if (s.head_dim > most)
    throw Failure(CUNN_UNSUPPORTED, "head_dim is %lld; the gradient of attention on this device takes at most %d", static_cast<long long>(s.head_dim), most);
  const AttentionCall call{s, s.n_heads / s.n_kv_heads, op.scale, op.q, op.k.data, op.v.data, op.k.dtype,
                           sequence_extents(exec, OpId::attention_backward, op.lengths, nullptr, nullptr, s.batch, s.seq_len, {0, 0, 0}, false),
                           s.kv_token_stride, s.seq_len * s.kv_token_stride, s.kv_head_stride, nullptr, 0, 0};
  const int64_t rows = s.batch * s.seq_len * s.n_heads;
  float* const d = cuda_exec(exec).memory.array<float>(rows);
  CUNN_RUN(exec, row_dots_kernel, grid_of(ceil_div(rows, kRowsPerBlock)), kRowThreads, 0, d, op.dout, op.out, call.extents, rows, s.n_heads, s.seq_len, s.head_dim);
  const Gradients gradients{op.dq, op.dk, op.dv, op.dout, op.lse, d};
  if (mma_can_attend(exec, call))
    attention_backward_mma(exec, call, gradients);
  else if (s.head_dim > 64)
    run<1, 128>(exec, call, gradients);
  else if (sizeof(BackwardTile<2, 64>) > cuda_exec(exec).max_shared)
    run<1, 64>(exec, call, gradients);
  else
    run<2, 64>(exec, call, gradients);
}

}  // namespace cunn::cuda
