// Random numbers that depend on (seed, stream, tensor, index) and nothing else.
#include "launch.cuh"
#include "ops_decl.h"
#include "philox.cuh"

namespace cunn::cuda {

namespace {

// (sum of the eight 16-bit halves of the block - 262140) 0.02/53509.92 in f64, rounded once to f32, then to T.
template <class T>
struct Init {
  T* y;
  uint64_t start, seed;
  uint32_t tensor;
  static __device__ int halves(uint32_t word) { return int(word & 0xffffu) + int(word >> 16); }
  __device__ T at(int64_t i) const {
    const uint4 b = philox(start + uint64_t(i), kStreamInit, tensor, seed);
    const int sum = halves(b.x) + halves(b.y) + halves(b.z) + halves(b.w) - 262140;
    return from_float<T>(float(double(sum) * (0.02 / 53509.92)));
  }
  __device__ void put(int64_t i, T v) const { y[i] = v; }
};

struct Uniform {
  float* y;
  uint64_t start, seed;
  uint32_t stream, sub;
  __device__ float at(int64_t i) const { return uniform(philox(start + uint64_t(i), stream, sub, seed).x); }
  __device__ void put(int64_t i, float v) const { y[i] = v; }
};

}  // namespace

void random_init(Exec& exec, const RandomInit& op) {
  with_float(op.y.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    map(exec, Init<T>{static_cast<T*>(op.y.data), uint64_t(op.start), op.seed, op.tensor}, op.n);
  });
}

void random_uniform(Exec& exec, const RandomUniform& op) {
  map(exec, Uniform{op.y, uint64_t(op.start), op.seed, op.stream, op.sub}, op.n);
}

}  // namespace cunn::cuda
