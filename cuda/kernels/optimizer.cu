// The training step's last ops: gradient norm, clipping, AdamW.
#include "launch.cuh"
#include "ops_decl.h"
#include "ordered_sum.cuh"
#include "philox.cuh"
#include "rows.cuh"

namespace cunn::cuda {

namespace {

constexpr int64_t kChunk = 4096;  // elements of a gradient that one f32 sum covers

// sums[c] = the sum of squares of chunk c: half a warp, one fused multiply-add an element.
template <class T>
__global__ void __launch_bounds__(kRowThreads) chunk_squares_kernel(float* sums, const T* x, int64_t n, int64_t chunks) {
  const int64_t c = row_of_thread();
  if (c >= chunks) return;
  const int64_t end = (c + 1) * kChunk < n ? (c + 1) * kChunk : n;
  float sum = 0.0f;
  CUNN_UNROLL_BY(16)
  for (int64_t i = c * kChunk + row_lane(); i < end; i += kRowLanes) {
    const float v = to_float(x[i]);
    sum = fmaf(v, v, sum);
  }
  sum = row_sum(sum);
  if (row_lane() == 0) sums[c] = sum;
}

__global__ void __launch_bounds__(kOrderedSumThreads) add_chunks_kernel(float* sum, const float* sums, int64_t chunks) {
  const double total = ordered_sum(sums, chunks);
  if (threadIdx.x == 0) sum[0] = float(total);
}

__global__ void clip_scale_kernel(float* scale, float* norm, int32_t* nonfinite, int64_t* applied, const float* sum, double max_norm) {
  const float length = sqrtf(sum[0]);
  const bool finite = length < kInfinity;  // false for NaN
  norm[0] = length;
  const double wanted = max_norm / (double(length) + 1e-6);
  scale[0] = max_norm != 0 && wanted < 1.0 ? float(wanted) : 1.0f;
  nonfinite[0] = finite ? 0 : 1;
  if (finite) applied[0] += 1;
}

// b^t in f64: squares of b from the lowest bit of t on, multiplied into 1 in that order.
__device__ double power(double b, int64_t t) {
  double y = 1.0;
  for (; t > 0; t >>= 1) {
    if (t & 1) y *= b;
    b *= b;
  }
  return y;
}

// What is the same for every element, f64 rounded once to f32.
struct Constants {
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta
  float decay;                       // 1 - lr wd
  float step;                        // lr / bc1
  float root;                        // sqrt(bc2)
  float eps, scale;
  uint32_t sub;  // t
  uint64_t seed;
  int32_t active;
};

__global__ void adamw_constants_kernel(Constants* out, ErrorWord* error, const float* lr, const float* scale, const int32_t* nonfinite,
                                       const int64_t* applied, const int64_t* seed, double beta1, double beta2, double eps, double decay) {
  const int64_t t = applied[0];
  out->active = nonfinite[0] == 0 && t >= 1;
  if (nonfinite[0] != 0) return;
  if (t < 1) {  // bc would be 0: the step was not counted by clip_scale
    report_fault(error, OpId::adamw_step, DeviceFault::value_out_of_range, 0, t, INT64_MAX);
    return;
  }
  const double rate = double(lr[0]), bc1 = 1.0 - power(beta1, t), bc2 = 1.0 - power(beta2, t);
  out->beta1 = float(beta1);
  out->rest1 = float(1.0 - beta1);
  out->beta2 = float(beta2);
  out->rest2 = float(1.0 - beta2);
  out->decay = float(1.0 - rate * decay);
  out->step = float(rate / bc1);
  out->root = float(sqrt(bc2));
  out->eps = float(eps);
  out->scale = scale[0];
  out->sub = uint32_t(t);
  out->seed = seed ? uint64_t(seed[0]) : 0;
}

__device__ __forceinline__ float read(const void* data, DType type, int64_t i) {
  if (type == DType::bf16) return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
  if (type == DType::f16) return to_float(static_cast<const __half*>(data)[i]);
  return static_cast<const float*>(data)[i];
}
__device__ __forceinline__ void write(void* data, DType type, int64_t i, float v) {
  if (type == DType::bf16)
    static_cast<__nv_bfloat16*>(data)[i] = from_float<__nv_bfloat16>(v);
  else if (type == DType::f16)
    static_cast<__half*>(data)[i] = from_float<__half>(v);
  else
    static_cast<float*>(data)[i] = v;
}

// One element:
//   g = grad scale;  m = fma(beta1, m, rest1 g);  v = fma(beta2, v, (rest2 g) g);
//   p = p decay - (step m) / (sqrt(v) / root + eps), with m and v before they are rounded to 16 bits.
template <bool kAllF32>
struct Adamw {
  AdamwStep op;
  const Constants* constants;

  __device__ float rounded(DType type, float x, uint32_t word) const {
    if (kAllF32 || type == DType::f32) return x;
    return type == DType::bf16 ? round_stochastic_bf16(x, word) : round_stochastic_f16(x, word);
  }
  __device__ DType of(DType type) const { return kAllF32 ? DType::f32 : type; }

  __device__ float4 at(int64_t i) const {
    const Constants& c = *constants;
    if (!c.active) return make_float4(0, 0, 0, 0);
    const float g = read(op.grad.data, of(op.grad.dtype), i) * c.scale;
    const float m = fmaf(c.beta1, read(op.m.data, of(op.m.dtype), i), c.rest1 * g);
    const float v = fmaf(c.beta2, read(op.v.data, of(op.v.dtype), i), c.rest2 * g * g);
    float p = !kAllF32 && op.master ? op.master[i] : read(op.param.data, of(op.param.dtype), i);
    p = p * c.decay - (c.step * m) / (sqrtf(v) / c.root + c.eps);
    return make_float4(p, m, v, 0);
  }
  __device__ void put(int64_t i, float4 value) const {
    if (!constants->active) return;
    const float p = value.x, m = value.y, v = value.z;
    const bool has_master = !kAllF32 && op.master;
    // One block an element: word 0 for the parameter, 1 and 2 for m and v.
    uint4 random = make_uint4(0, 0, 0, 0);
    if (!kAllF32 && (op.m.dtype != DType::f32 || op.v.dtype != DType::f32 || (op.param.dtype != DType::f32 && !has_master)))
      random = philox(uint64_t(op.start) + uint64_t(i), kStreamRounding, constants->sub, constants->seed);
    write(op.m.data, of(op.m.dtype), i, rounded(op.m.dtype, m, random.y));
    write(op.v.data, of(op.v.dtype), i, rounded(op.v.dtype, v, random.z));
    if (has_master) op.master[i] = p;
    write(op.param.data, of(op.param.dtype), i, has_master ? p : rounded(op.param.dtype, p, random.x));
  }
};

}  // namespace

void sum_of_squares(Exec& exec, const SumOfSquares& op) {
  const int64_t chunks = ceil_div(op.n, kChunk);
  float* const sums = cuda_exec(exec).memory.array<float>(chunks);
  if (chunks > 0)
    with_float(op.x.dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      CUNN_RUN(exec, chunk_squares_kernel<T>, grid_of(ceil_div(chunks, kRowsPerBlock)), kRowThreads, 0, sums,
               static_cast<const T*>(op.x.data), op.n, chunks);
    });
  CUNN_RUN(exec, add_chunks_kernel, 1, kOrderedSumThreads, 0, op.sum, sums, chunks);
}

void clip_scale(Exec& exec, const ClipScale& op) {
  CUNN_RUN(exec, clip_scale_kernel, 1, 1, 0, op.scale, op.norm, op.nonfinite, op.applied, op.sum, op.max_norm);
}

void adamw_step(Exec& exec, const AdamwStep& op) {
  if (op.n <= 0) return;
  Constants* const constants = cuda_exec(exec).memory.array<Constants>(1);
  CUNN_RUN(exec, adamw_constants_kernel, 1, 1, 0, constants, exec.error, op.lr, op.scale, op.nonfinite, op.applied, op.seed, op.beta1,
           op.beta2, op.eps, op.weight_decay);
  const bool all_f32 = op.param.dtype == DType::f32 && !op.master && op.m.dtype == DType::f32 && op.v.dtype == DType::f32 &&
                       op.grad.dtype == DType::f32;
  if (all_f32)
    map(exec, Adamw<true>{op, constants}, op.n);
  else
    map(exec, Adamw<false>{op, constants}, op.n);
}

}  // namespace cunn::cuda
