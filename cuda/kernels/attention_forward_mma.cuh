// Attention forward on tensor cores, for 16-bit keys and values: the recurrence of attention.cu with q' and p rounded to
// their dtype, products by mma.sync.
//
// A block of four warps takes 64 rows, a warp 16 of them; keys and values come by cp.async, the next block of 64 keys while
// this one is used. A row's 64 scores lie in the four lanes of a quad, 16 each; sums go over a lane's own first, then the
// quad. What a row gets depends on the row alone. A value that is not finite may reach the earlier rows of its block of 64
// keys, since tensor cores multiply it with their zeros.
#pragma once
#include "attention_mma.cuh"
#include "attention_spans.cuh"

namespace cunn::cuda {

template <class T, int kDim>
struct MmaAttentionTile {
  static constexpr int kPitch = kDim + 8;
  T queries[kMmaAttentionRows * kPitch];
  T keys[2][kKeys * kPitch], values[2][kKeys * kPitch];
};

static __device__ __forceinline__ float quad_max(float v) {
  CUNN_UNROLL
  for (int bit = 1; bit < 4; bit *= 2) {
    const float other = __shfl_xor_sync(kFullWarp, v, bit);
    v = larger(other, v);
  }
  return v;
}
static __device__ __forceinline__ float quad_sum(float v) {
  CUNN_UNROLL
  for (int bit = 1; bit < 4; bit *= 2) v += __shfl_xor_sync(kFullWarp, v, bit);
  return v;
}

template <class T, int kDim, bool kBySpan>
static __device__ __forceinline__ void attention_mma_rows(AttentionCall c, Outputs y, float* partial, int64_t spans, bool aligned) {
  using Tile = MmaAttentionTile<T, kDim>;
  constexpr int kPitch = Tile::kPitch, kColumnFrags = kDim / 8, kSpanBlocks = kSpan / kKeys;
  CUNN_DYNAMIC_SHARED(Tile, shared);
  const int t = int(threadIdx.x), warp = t / 32, lane = t % 32, head_dim = int(c.s.head_dim);
  const int64_t b = blockIdx.z, h = blockIdx.y;
  const int64_t tile = kBySpan ? blockIdx.x / spans : gridDim.x - 1 - blockIdx.x;  // the rows that see most keys first
  const int64_t row0 = tile * kMmaAttentionRows, rows = c.s.seq_len * c.group;
  const SequenceExtent extent = c.extents[b];
  const int64_t rows_here = extent.length * c.group;
  const int64_t last_row = row0 + kMmaAttentionRows < rows_here ? row0 + kMmaAttentionRows - 1 : rows_here - 1;
  const int64_t keys_end = last_row < row0 ? 0 : extent.start + last_row / c.group + 1;  // nothing from there on is seen
  int64_t block = 0, block_end = (keys_end + kKeys - 1) / kKeys;
  if (kBySpan) {
    block = blockIdx.x % spans * kSpanBlocks;
    if (block >= block_end) return;
    if (block + kSpanBlocks < block_end) block_end = block + kSpanBlocks;
  }

  // This lane's two rows of the tile: lane / 4 of the warp's sixteen, and eight further.
  int64_t row[2], position[2];
  CUNN_UNROLL
  for (int i = 0; i < 2; ++i) {
    row[i] = row0 + warp * 16 + lane / 4 + 8 * i;
    position[i] = row[i] < rows_here ? extent.start + row[i] / c.group : -1;
  }
  const int64_t warp_last_row = row0 + warp * 16 + 15 < rows_here ? row0 + warp * 16 + 15 : rows_here - 1;
  const int64_t warp_last_position = warp_last_row < row0 + warp * 16 ? -1 : extent.start + warp_last_row / c.group;

  for (int e = t; e < kMmaAttentionRows * kDim; e += kMmaAttentionThreads) {
    const int i = e / kDim, d = e % kDim;
    const int64_t r = row0 + i;
    shared->queries[i * kPitch + d] = from_float<T>(r < rows_here && d < head_dim ? c.q[c.query_at(b, h, r) + d] * c.scale : 0.0f);
  }
  const T *const all_keys = static_cast<const T*>(c.k), *const all_values = static_cast<const T*>(c.v);
  const auto fetch = [&](int64_t which) {
    if (which < block_end) {
      const int64_t key = which * kKeys, at = c.key_at(b, h, key);
      const int count = keys_end - key < kKeys ? int(keys_end - key) : kKeys, slot = int(which & 1);
      fetch_rows<T, kDim>(shared->keys[slot], all_keys, at, c.kv_row_stride, count, head_dim, aligned);
      fetch_rows<T, kDim>(shared->values[slot], all_values, at, c.kv_row_stride, count, head_dim, aligned);
    }
    cp_async_commit();
  };
  fetch(block);
  float max[2], sum[2], o[kColumnFrags][4];
  float total_max[2] = {-kInfinity, -kInfinity}, total_sum[2] = {0.0f, 0.0f}, total[kColumnFrags][4];
  clear(total);

  for (; block < block_end; ++block) {
    if (block % kSpanBlocks == 0) {
      CUNN_UNROLL
      for (int i = 0; i < 2; ++i) {
        max[i] = -kInfinity;
        sum[i] = 0.0f;
      }
      clear(o);
    }
    fetch(block + 1);
    cp_async_wait<1>();
    __syncthreads();  // this block has landed for everybody
    const int64_t key = block * kKeys;
    if (key <= warp_last_position) {
      const T *const keys = shared->keys[block & 1], *const values = shared->values[block & 1];
      float s[kKeys / 8][4];
      multiply_rows<T, kDim>(s, shared->queries, warp * 16, keys, 0);

      // Element e of fragment f: row e / 2 of this lane's, key 8 f + 2 (lane % 4) + e % 2.
      CUNN_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int seen = keys_seen(position[i], key);
        float m = -kInfinity;
        CUNN_UNROLL
        for (int f = 0; f < kKeys / 8; ++f)
          CUNN_UNROLL
          for (int e = 2 * i; e < 2 * i + 2; ++e) {
            if (f * 8 + 2 * (lane % 4) + e % 2 >= seen) s[f][e] = -kInfinity;
            m = larger(s[f][e], m);
          }
        const float before = max[i];
        max[i] = larger(quad_max(m), before);
        const float factor = exp_difference(before, max[i]), base = max[i] > -kInfinity ? max[i] : 0.0f;
        float part = 0.0f;
        CUNN_UNROLL
        for (int f = 0; f < kKeys / 8; ++f)
          CUNN_UNROLL
          for (int e = 2 * i; e < 2 * i + 2; ++e) {
            s[f][e] = exp_f32(s[f][e] - base);
            part += s[f][e];
          }
        sum[i] = fmaf(sum[i], factor, part);
        CUNN_UNROLL
        for (int f = 0; f < kColumnFrags; ++f) {
          o[f][2 * i] *= factor;
          o[f][2 * i + 1] *= factor;
        }
      }

      accumulate_rows<T, kDim>(o, s, values, 0);
    }
    __syncthreads();  // before the next but one block is fetched over this one

    if (block % kSpanBlocks != kSpanBlocks - 1 && block + 1 != block_end) continue;
    CUNN_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float span_sum = quad_sum(sum[i]);
      if (kBySpan) {
        if (row[i] >= rows_here) continue;
        float* const to = partial_of(partial, c, spans, b, h, row[i], block / kSpanBlocks);
        if (lane % 4 == 0) {
          to[0] = max[i];
          to[1] = span_sum;
        }
        CUNN_UNROLL
        for (int f = 0; f < kColumnFrags; ++f)
          CUNN_UNROLL
          for (int e = 0; e < 2; ++e)
            if (f * 8 + 2 * (lane % 4) + e < head_dim) to[2 + f * 8 + 2 * (lane % 4) + e] = o[f][2 * i + e];
        continue;
      }
      const bool is_first = block < kSpanBlocks;
      const float joint = larger(total_max[i], max[i]);
      const float a = exp_difference(total_max[i], joint), w = exp_difference(max[i], joint);
      total_max[i] = is_first ? max[i] : joint;
      total_sum[i] = is_first ? span_sum : fmaf(span_sum, w, total_sum[i] * a);
      CUNN_UNROLL
      for (int f = 0; f < kColumnFrags; ++f)
        CUNN_UNROLL
        for (int e = 2 * i; e < 2 * i + 2; ++e) total[f][e] = is_first ? o[f][e] : fmaf(o[f][e], w, total[f][e] * a);
    }
  }

  if constexpr (!kBySpan) {
    CUNN_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] >= rows) continue;
      const bool exists = row[i] < rows_here;
      if (lane % 4 == 0 && y.lse) y.lse[c.head_at(b, h, row[i])] = exists ? total_max[i] + log_f32(total_sum[i]) : 0.0f;
      CUNN_UNROLL
      for (int f = 0; f < kColumnFrags; ++f)
        CUNN_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int d = f * 8 + 2 * (lane % 4) + e;
          if (d < head_dim) write_row(c, y, b, h, row[i], d, exists ? total[f][2 * i + e] / total_sum[i] : 0.0f);
        }
    }
  }
}

// grid: (tile or (tile, span), kv head, sequence).
template <class T, int kDim, bool kBySpan>
__global__ void __launch_bounds__(kMmaAttentionThreads, 1) attention_mma_kernel(AttentionCall c, Outputs y, float* partial, int64_t spans, bool aligned) {
  if constexpr (mma_attention_exists<T, kDim>()) attention_mma_rows<T, kDim, kBySpan>(c, y, partial, spans, aligned);
}

template <class T, int kDim>
void attend_mma_tiles(Exec& exec, const AttentionCall& c, const Outputs& y, int64_t spans, bool by_span) {
  constexpr size_t kShared = sizeof(MmaAttentionTile<T, kDim>);
  const bool aligned = keys_are_aligned(c);
  const int64_t tiles = ceil_div(c.s.seq_len * c.group, kMmaAttentionRows);
  const unsigned heads = unsigned(c.s.n_kv_heads), batch = unsigned(c.s.batch);
  if (!by_span) {
    allow_shared(attention_mma_kernel<T, kDim, false>, kShared);
    CUNN_RUN(exec, (attention_mma_kernel<T, kDim, false>), dim3(unsigned(tiles), heads, batch), kMmaAttentionThreads, kShared, c, y, nullptr, spans, aligned);
    return;
  }
  float* const partial = partial_memory(exec, c, spans);
  allow_shared(attention_mma_kernel<T, kDim, true>, kShared);
  CUNN_RUN(exec, (attention_mma_kernel<T, kDim, true>), dim3(unsigned(tiles * spans), heads, batch), kMmaAttentionThreads, kShared, c, y, partial, spans, aligned);
  combine_spans(exec, c, y, partial, spans);
}

inline void attend_mma(Exec& exec, const AttentionCall& c, const Outputs& y, int64_t spans, bool by_span) {
  const bool bf16 = c.kv_dtype == DType::bf16;
  if (c.s.head_dim <= 64)
    bf16 ? attend_mma_tiles<__nv_bfloat16, 64>(exec, c, y, spans, by_span) : attend_mma_tiles<__half, 64>(exec, c, y, spans, by_span);
  else
    bf16 ? attend_mma_tiles<__nv_bfloat16, 128>(exec, c, y, spans, by_span) : attend_mma_tiles<__half, 128>(exec, c, y, spans, by_span);
}

}  // namespace cunn::cuda
