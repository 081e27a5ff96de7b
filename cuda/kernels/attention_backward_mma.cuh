// The gradients of attention on tensor cores, for 16-bit keys and values: attention_backward.cu with q', dout, p and dS
// rounded to their dtype.
//
// A block of four warps. For dk and dv a warp owns 16 keys and goes through the rows that see them, 64 at a time: it makes
// S^T and dP^T, whose accumulators are the operands of dv += P^T dout and dk += dS^T q' as they lie. For dq a warp owns 16
// rows and goes through the keys. Nothing but K, V, q' and dout passes through shared memory.
#pragma once
#include "attention_mma.cuh"

namespace cunn::cuda {

// What a backward kernel reads and writes besides the call.
struct Gradients {
  float *dq, *dk, *dv;
  const float *dout, *lse, *d;  // d is D_i = dout_i . out_i, laid out like lse
};

template <class T, int kDim>
struct MmaBackwardTile {
  static constexpr int kPitch = kDim + 8;
  T keys[kKeys * kPitch], values[kKeys * kPitch];
  T queries[kMmaAttentionRows * kPitch], douts[kMmaAttentionRows * kPitch];
  float lse[kMmaAttentionRows], d[kMmaAttentionRows];
  int position[kMmaAttentionRows];  // -1 where there is no row
};

template <class T, int kDim>
static __device__ __forceinline__ void load_backward_rows(MmaBackwardTile<T, kDim>& tile, const AttentionCall& c, const Gradients& g, int64_t b,
                                                          int64_t h, int64_t row0, int64_t rows_here) {
  const int head_dim = int(c.s.head_dim);
  for (int e = int(threadIdx.x); e < kMmaAttentionRows * kDim; e += kMmaAttentionThreads) {
    const int i = e / kDim, d = e % kDim;
    const int64_t r = row0 + i;
    const bool there = r < rows_here && d < head_dim;
    tile.queries[i * tile.kPitch + d] = from_float<T>(there ? c.q[c.query_at(b, h, r) + d] * c.scale : 0.0f);
    tile.douts[i * tile.kPitch + d] = from_float<T>(there ? g.dout[c.head_at(b, h, r) * head_dim + d] : 0.0f);
  }
  for (int i = int(threadIdx.x); i < kMmaAttentionRows; i += kMmaAttentionThreads) {
    const int64_t r = row0 + i;
    tile.position[i] = r < rows_here ? int(r / c.group) : -1;
    tile.lse[i] = r < rows_here ? g.lse[c.head_at(b, h, r)] : 0.0f;
    tile.d[i] = r < rows_here ? g.d[c.head_at(b, h, r)] : 0.0f;
  }
}

template <class T, int kDim>
static __device__ __forceinline__ void load_backward_keys(MmaBackwardTile<T, kDim>& tile, const AttentionCall& c, int64_t b, int64_t h,
                                                          int64_t key, int count, bool aligned) {
  const int64_t at = c.key_at(b, h, key);
  fetch_rows<T, kDim>(tile.keys, static_cast<const T*>(c.k), at, c.kv_row_stride, count, int(c.s.head_dim), aligned);
  fetch_rows<T, kDim>(tile.values, static_cast<const T*>(c.v), at, c.kv_row_stride, count, int(c.s.head_dim), aligned);
  cp_async_commit();
  cp_async_wait<0>();
}

// Row i of this lane's two, to the head_dim elements at y.
template <int kColumnFrags>
static __device__ __forceinline__ void store_gradient(float* y, const float (&acc)[kColumnFrags][4], int i, int head_dim, float factor) {
  const int lane = int(threadIdx.x) % 32;
  CUNN_UNROLL
  for (int f = 0; f < kColumnFrags; ++f)
    CUNN_UNROLL
    for (int e = 0; e < 2; ++e) {
      const int d = f * 8 + 2 * (lane % 4) + e;
      if (d < head_dim) y[d] = acc[f][2 * i + e] * factor;
    }
}

// dk, dv of 64 keys: all rows that see them, ascending. grid: (key block, kv head, sequence).
template <class T, int kDim>
static __device__ __forceinline__ void key_gradients_mma(AttentionCall c, Gradients g, bool aligned) {
  constexpr int kRowsAtOnce = kDim <= 64 ? 64 : 16, kFrags = kRowsAtOnce / 8;  // bounds the registers
  using Tile = MmaBackwardTile<T, kDim>;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  Tile& tile = *shared;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, head_dim = int(c.s.head_dim);
  const int64_t key = int64_t(blockIdx.x) * kKeys, h = blockIdx.y, b = blockIdx.z;
  const int64_t length = c.extents[b].length, rows_here = length * c.group;
  const int count = length - key < 0 ? 0 : length - key < kKeys ? int(length - key) : kKeys;
  float dk[kDim / 8][4], dv[kDim / 8][4];
  clear(dk);
  clear(dv);
  if (count > 0) {
    load_backward_keys(tile, c, b, h, key, count, aligned);
    for (int64_t row0 = key * c.group; row0 < rows_here; row0 += kMmaAttentionRows) {
      __syncthreads();  // the tile's last readers are done
      load_backward_rows(tile, c, g, b, h, row0, rows_here);
      __syncthreads();
      for (int first = 0; first < kMmaAttentionRows; first += kRowsAtOnce) {
        float p[kFrags][4], ds[kFrags][4];
        multiply_rows<T, kDim>(p, tile.keys, warp * 16, tile.queries, first);
        multiply_rows<T, kDim>(ds, tile.values, warp * 16, tile.douts, first);
        CUNN_UNROLL
        for (int f = 0; f < kFrags; ++f)
          CUNN_UNROLL
          for (int e = 0; e < 4; ++e) {
            const int r = first + f * 8 + 2 * (lane % 4) + e % 2;
            const bool sees = key + warp * 16 + lane / 4 + e / 2 * 8 <= tile.position[r];
            p[f][e] = sees ? exp_f32(p[f][e] - tile.lse[r]) : 0.0f;
            ds[f][e] = sees ? p[f][e] * (ds[f][e] - tile.d[r]) : 0.0f;
          }
        accumulate_rows<T, kDim>(dv, p, tile.douts, first);
        accumulate_rows<T, kDim>(dk, ds, tile.queries, first);
      }
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int64_t j = key + warp * 16 + lane / 4 + 8 * i;
    if (j >= c.s.seq_len) continue;
    const int64_t to = c.key_at(b, h, 0) + j * c.kv_row_stride;
    store_gradient(g.dk + to, dk, i, head_dim, 1.0f);
    store_gradient(g.dv + to, dv, i, head_dim, 1.0f);
  }
}
template <class T, int kDim>
__global__ void __launch_bounds__(kMmaAttentionThreads, 1) key_gradients_mma_kernel(AttentionCall c, Gradients g, bool aligned) {
  if constexpr (mma_attention_exists<T, kDim>()) key_gradients_mma<T, kDim>(c, g, aligned);
}

// dq of 64 rows: all keys that they see, ascending. grid: (tile, kv head, sequence).
template <class T, int kDim>
static __device__ __forceinline__ void query_gradients_mma(AttentionCall c, Gradients g, bool aligned) {
  constexpr int kKeysAtOnce = kDim <= 64 ? 64 : 32, kFrags = kKeysAtOnce / 8;
  using Tile = MmaBackwardTile<T, kDim>;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  Tile& tile = *shared;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, head_dim = int(c.s.head_dim);
  const int64_t row0 = int64_t(gridDim.x - 1 - blockIdx.x) * kMmaAttentionRows, h = blockIdx.y, b = blockIdx.z;
  const int64_t rows = c.s.seq_len * c.group, rows_here = c.extents[b].length * c.group;
  float dq[kDim / 8][4];
  clear(dq);
  if (row0 < rows_here) {
    const int64_t last_row = row0 + kMmaAttentionRows < rows_here ? row0 + kMmaAttentionRows - 1 : rows_here - 1;
    const int64_t keys_end = last_row / c.group + 1;
    load_backward_rows(tile, c, g, b, h, row0, rows_here);
    for (int64_t key = 0; key < keys_end; key += kKeys) {
      __syncthreads();  // the block's last readers are done
      load_backward_keys(tile, c, b, h, key, keys_end - key < kKeys ? int(keys_end - key) : kKeys, aligned);
      __syncthreads();
      for (int first = 0; first < kKeys; first += kKeysAtOnce) {
        float s[kFrags][4], ds[kFrags][4];
        multiply_rows<T, kDim>(s, tile.queries, warp * 16, tile.keys, first);
        multiply_rows<T, kDim>(ds, tile.douts, warp * 16, tile.values, first);
        CUNN_UNROLL
        for (int f = 0; f < kFrags; ++f)
          CUNN_UNROLL
          for (int e = 0; e < 4; ++e) {
            const int r = warp * 16 + lane / 4 + e / 2 * 8;
            const bool sees = key + first + f * 8 + 2 * (lane % 4) + e % 2 <= tile.position[r];
            ds[f][e] = sees ? exp_f32(s[f][e] - tile.lse[r]) * (ds[f][e] - tile.d[r]) : 0.0f;
          }
        accumulate_rows<T, kDim>(dq, ds, tile.keys, first);
      }
    }
  }
  CUNN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int64_t r = row0 + warp * 16 + lane / 4 + 8 * i;
    if (r < rows) store_gradient(g.dq + c.query_at(b, h, r), dq, i, head_dim, c.scale);
  }
}
template <class T, int kDim>
__global__ void __launch_bounds__(kMmaAttentionThreads, 1) query_gradients_mma_kernel(AttentionCall c, Gradients g, bool aligned) {
  if constexpr (mma_attention_exists<T, kDim>()) query_gradients_mma<T, kDim>(c, g, aligned);
}

template <class T, int kDim>
void run_backward_mma(Exec& exec, const AttentionCall& c, const Gradients& g) {
  constexpr size_t kShared = sizeof(MmaBackwardTile<T, kDim>);
  const bool aligned = keys_are_aligned(c);
  const unsigned heads = unsigned(c.s.n_kv_heads), batch = unsigned(c.s.batch);
  allow_shared(key_gradients_mma_kernel<T, kDim>, kShared);
  CUNN_RUN(exec, (key_gradients_mma_kernel<T, kDim>), dim3(unsigned(ceil_div(c.s.seq_len, kKeys)), heads, batch), kMmaAttentionThreads, kShared, c, g, aligned);
  allow_shared(query_gradients_mma_kernel<T, kDim>, kShared);
  CUNN_RUN(exec, (query_gradients_mma_kernel<T, kDim>), dim3(unsigned(ceil_div(c.s.seq_len * c.group, kMmaAttentionRows)), heads, batch),
           kMmaAttentionThreads, kShared, c, g, aligned);
}

inline void attention_backward_mma(Exec& exec, const AttentionCall& c, const Gradients& g) {
  const bool bf16 = c.kv_dtype == DType::bf16;
  if (c.s.head_dim <= 64)
    bf16 ? run_backward_mma<__nv_bfloat16, 64>(exec, c, g) : run_backward_mma<__half, 64>(exec, c, g);
  else
    bf16 ? run_backward_mma<__nv_bfloat16, 128>(exec, c, g) : run_backward_mma<__half, 128>(exec, c, g);
}

}  // namespace cunn::cuda
