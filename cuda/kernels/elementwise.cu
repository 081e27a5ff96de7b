// add, mul, scale, silu, swiglu, fill: y[i] = f(inputs at i).
#include "launch.cuh"
#include "math.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

struct Add {
  float* y;
  const float *a, *b;
  __device__ float at(int64_t i) const { return a[i] + b[i]; }
  __device__ void put(int64_t i, float v) const { y[i] = v; }
};
struct Mul {
  float* y;
  const float *a, *b;
  __device__ float at(int64_t i) const { return a[i] * b[i]; }
  __device__ void put(int64_t i, float v) const { y[i] = v; }
};
struct MulGradient {
  float *da, *db;
  const float *dy, *a, *b;
  __device__ float2 at(int64_t i) const { return make_float2(dy[i] * b[i], dy[i] * a[i]); }
  __device__ void put(int64_t i, float2 v) const {
    da[i] = v.x;
    db[i] = v.y;
  }
};
struct Scale {
  float* y;
  const float* x;
  float alpha;
  __device__ float at(int64_t i) const { return alpha * x[i]; }
  __device__ void put(int64_t i, float v) const { y[i] = v; }
};
struct Silu {
  float* y;
  const float* x;
  __device__ float at(int64_t i) const { return silu(x[i]); }
  __device__ void put(int64_t i, float v) const { y[i] = v; }
};
struct SiluGradient {
  float* dx;
  const float *dy, *x;
  __device__ float at(int64_t i) const { return dy[i] * silu_slope(x[i], sigmoid(x[i])); }
  __device__ void put(int64_t i, float v) const { dx[i] = v; }
};
template <class T>
struct Swiglu {
  T* y;
  const float *gate, *up;
  __device__ T at(int64_t i) const { return from_float<T>(silu(gate[i]) * up[i]); }
  __device__ void put(int64_t i, T v) const { y[i] = v; }
};
struct SwigluGradient {
  float *dgate, *dup;
  const float *dy, *gate, *up;
  __device__ float2 at(int64_t i) const { return swiglu_gradient(dy[i], gate[i], up[i]); }
  __device__ void put(int64_t i, float2 v) const {
    dgate[i] = v.x;
    dup[i] = v.y;
  }
};
template <class T>
struct Constant {
  T* y;
  T value;
  __device__ T at(int64_t) const { return value; }
  __device__ void put(int64_t i, T v) const { y[i] = v; }
};

template <class T>
void fill_with(Exec& exec, const Fill& op, T value) {
  map(exec, Constant<T>{static_cast<T*>(op.y), value}, op.n);
}

}  // namespace

void add_forward(Exec& exec, const AddForward& op) { map(exec, Add{op.y, op.a, op.b}, op.n); }
void mul_forward(Exec& exec, const MulForward& op) { map(exec, Mul{op.y, op.a, op.b}, op.n); }
void mul_backward(Exec& exec, const MulBackward& op) { map(exec, MulGradient{op.da, op.db, op.dy, op.a, op.b}, op.n); }
void scale_forward(Exec& exec, const ScaleForward& op) { map(exec, Scale{op.y, op.x, op.alpha}, op.n); }
void silu_forward(Exec& exec, const SiluForward& op) { map(exec, Silu{op.y, op.x}, op.n); }
void silu_backward(Exec& exec, const SiluBackward& op) { map(exec, SiluGradient{op.dx, op.dy, op.x}, op.n); }
void swiglu_forward(Exec& exec, const SwigluForward& op) {
  with_float(op.y.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    map(exec, Swiglu<T>{static_cast<T*>(op.y.data), op.gate, op.up}, op.n);
  });
}
void swiglu_backward(Exec& exec, const SwigluBackward& op) {
  map(exec, SwigluGradient{op.dgate, op.dup, op.dy, op.gate, op.up}, op.n);
}

// The ABI layer has checked that an integer dtype holds the value.
void fill(Exec& exec, const Fill& op) {
  switch (op.dtype) {
    case DType::f32: return fill_with(exec, op, float(op.value));
    case DType::bf16: return fill_with(exec, op, __float2bfloat16_rn(float(op.value)));
    case DType::f16: return fill_with(exec, op, __float2half_rn(float(op.value)));
    case DType::i32: return fill_with(exec, op, int32_t(op.value));
    case DType::i64: return fill_with(exec, op, int64_t(op.value));
    case DType::u8: return fill_with(exec, op, uint8_t(op.value));
    case DType::q8: case DType::q4: return;
  }
}

}  // namespace cunn::cuda
