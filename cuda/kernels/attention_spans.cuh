// Attention when a row's spans are separate: where each span's result waits, and how they are combined in order. The same
// arithmetic as for spans that one block goes through.
#pragma once
#include "attention.cuh"

namespace cunn::cuda {

// What a forward kernel writes.
struct Outputs {
  void* out;
  DType out_dtype;
  float* lse;  // or null
};

// What a span leaves of a row when spans are separate: max, sum, then head_dim values.
static __device__ __forceinline__ float* partial_of(float* partial, const AttentionCall& c, int64_t spans, int64_t b, int64_t h, int64_t r, int64_t span) {
  const int64_t rows = c.s.seq_len * c.group;
  return partial + (((b * c.s.n_kv_heads + h) * rows + r) * spans + span) * (c.s.head_dim + 2);
}

// exp(a - b); b is never NaN, and -inf only where a is too: then 0.
static __device__ __forceinline__ float exp_difference(float a, float b) { return exp_f32(a - (b == -kInfinity ? 0.0f : b)); }

static __device__ __forceinline__ void write_row(const AttentionCall& c, const Outputs& y, int64_t b, int64_t h, int64_t r, int64_t d, float value) {
  store_float(y.out, y.out_dtype, c.head_at(b, h, r) * c.s.head_dim + d, value);
}

// Combines the spans of each row: half a warp a row of (b, h).
static __global__ void __launch_bounds__(kRowThreads) combine_spans_kernel(AttentionCall c, Outputs y, float* partial, int64_t spans) {
  const int64_t rows = c.s.seq_len * c.group, index = row_of_thread();
  if (index >= rows * c.s.n_kv_heads * c.s.batch) return;
  const int64_t r = index % rows, h = index / rows % c.s.n_kv_heads, b = index / rows / c.s.n_kv_heads, head_dim = c.s.head_dim;
  const SequenceExtent extent = c.extents[b];
  const bool exists = r < extent.length * c.group;
  const int64_t n = exists ? (extent.start + r / c.group + kSpan) / kSpan : 0;  // spans that the row sees
  float max = -kInfinity, sum = 0.0f;
  for (int64_t span = 0; span < n; ++span) {
    const float* const from = partial_of(partial, c, spans, b, h, r, span);
    const float joint = larger(max, from[0]);
    sum = span == 0 ? from[1] : fmaf(from[1], exp_difference(from[0], joint), sum * exp_difference(max, joint));
    max = joint;
  }
  if (row_lane() == 0 && y.lse) y.lse[c.head_at(b, h, r)] = exists ? max + log_f32(sum) : 0.0f;
  for (int64_t d = row_lane(); d < head_dim; d += kRowLanes) {
    float o = 0.0f, m = -kInfinity;
    for (int64_t span = 0; span < n; ++span) {
      const float* const from = partial_of(partial, c, spans, b, h, r, span);
      const float joint = larger(m, from[0]);
      o = span == 0 ? from[2 + d] : fmaf(from[2 + d], exp_difference(from[0], joint), o * exp_difference(m, joint));
      m = joint;
    }
    write_row(c, y, b, h, r, d, exists ? o / sum : 0.0f);
  }
}

inline float* partial_memory(Exec& exec, const AttentionCall& c, int64_t spans) {
  return cuda_exec(exec).memory.array<float>(c.s.batch * c.s.n_heads * c.s.seq_len * spans * (c.s.head_dim + 2));
}
inline void combine_spans(Exec& exec, const AttentionCall& c, const Outputs& y, float* partial, int64_t spans) {
  const int64_t rows = c.s.batch * c.s.n_heads * c.s.seq_len;
  CUNN_RUN(exec, combine_spans_kernel, grid_of(ceil_div(rows, kRowsPerBlock)), kRowThreads, 0, c, y, partial, spans);
}

}  // namespace cunn::cuda
