// Rotary position embedding: the tables, and the rotation of q and k in the half-split form.
#include "launch.cuh"
#include "../src/angles.h"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

constexpr int kThreads = 128;

// frequency_i = theta'^(-2i/d), ln theta' = ln theta + d/(d-2) ln alpha.
__global__ void __launch_bounds__(kThreads) frequencies_kernel(double* frequency, int64_t half, double head_dim, double theta, double ntk_alpha) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= half) return;
  double log_theta = log_f64(theta);
  if (ntk_alpha != 1.0) log_theta += head_dim / (head_dim - 2.0) * log_f64(ntk_alpha);
  frequency[i] = exp_f64(-(double(2 * i) / head_dim) * log_theta);
}

struct Angles {
  float *cos, *sin;
  const double* frequency;
  int64_t half;
  __device__ float2 at(int64_t e) const {
    double s, c;
    sin_cos_f64(double(e / half) * frequency[e % half], &s, &c);
    return make_float2(float(c), float(s));
  }
  __device__ void put(int64_t e, float2 v) const {
    cos[e] = v.x;
    sin[e] = v.y;
  }
};

// out = (x0 c - x1 s, x1 c + x0 s), or with the angle negated; a block a token. Tokens whose position is out of range are
// left as they are. out may be x: a thread reads its pair before it writes it.
template <class T, bool kInverse>
__global__ void __launch_bounds__(kThreads)
    rotate_kernel(T* out, const float* x, const float* cos, const float* sin, const int32_t* positions, int n_heads, int half,
                  int64_t table_positions, int64_t token_stride, int64_t head_stride) {
  const int64_t token = blockIdx.x, position = positions[token];
  if (!in_range(position, table_positions)) return;
  for (int e = int(threadIdx.x); e < n_heads * half; e += kThreads) {
    const int i = e % half;
    const int64_t at = token * token_stride + e / half * head_stride + i;
    const float c = cos[position * half + i], s = kInverse ? -sin[position * half + i] : sin[position * half + i];
    const float x0 = x[at], x1 = x[at + half];
    out[at] = from_float<T>(fmaf(x0, c, -(x1 * s)));
    out[at + half] = from_float<T>(fmaf(x1, c, x0 * s));
  }
}

template <class T, bool kInverse>
void rotate(Exec& exec, void* out, const float* x, const float* cos, const float* sin, const int32_t* positions, int64_t tokens,
            int64_t n_heads, int64_t head_dim, int64_t table_positions, int64_t token_stride, int64_t head_stride) {
  if (tokens <= 0 || n_heads <= 0) return;
  CUNN_RUN(exec, (rotate_kernel<T, kInverse>), grid_of(tokens), kThreads, 0, static_cast<T*>(out), x, cos, sin, positions, int(n_heads),
           int(head_dim / 2), table_positions, token_stride, head_stride);
}

}  // namespace

void rope_frequencies(Exec& exec, const RopeFrequencies& op) {
  const int64_t half = op.head_dim / 2;
  if (half <= 0 || op.positions <= 0) return;
  double* const frequency = cuda_exec(exec).memory.array<double>(half);
  CUNN_RUN(exec, frequencies_kernel, grid_of(ceil_div(half, kThreads)), kThreads, 0, frequency, half, double(op.head_dim), op.theta, op.ntk_alpha);
  map(exec, Angles{op.cos, op.sin, frequency, half}, op.positions * half);
}

void rope_forward(Exec& exec, const RopeForward& op) {
  check_values(exec, OpId::rope_forward, DeviceFault::position_out_of_range, op.positions, op.tokens, op.table_positions);
  with_float(op.q_out.dtype, [&](auto type) {
    rotate<typename decltype(type)::type, false>(exec, op.q_out.data, op.q, op.cos, op.sin, op.positions, op.tokens, op.n_heads,
                                                 op.head_dim, op.table_positions, op.q_token_stride, op.q_head_stride);
  });
  with_float(op.k_out.dtype, [&](auto type) {
    rotate<typename decltype(type)::type, false>(exec, op.k_out.data, op.k, op.cos, op.sin, op.positions, op.tokens, op.n_kv_heads,
                                                 op.head_dim, op.table_positions, op.k_token_stride, op.k_head_stride);
  });
}

void rope_backward(Exec& exec, const RopeBackward& op) {
  check_values(exec, OpId::rope_backward, DeviceFault::position_out_of_range, op.positions, op.tokens, op.table_positions);
  rotate<float, true>(exec, op.dq, op.dq_out, op.cos, op.sin, op.positions, op.tokens, op.n_heads, op.head_dim, op.table_positions,
                      op.q_token_stride, op.q_head_stride);
  rotate<float, true>(exec, op.dk, op.dk_out, op.cos, op.sin, op.positions, op.tokens, op.n_kv_heads, op.head_dim, op.table_positions,
                      op.k_token_stride, op.k_head_stride);
}

}  // namespace cunn::cuda
