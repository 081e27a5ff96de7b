// Sums over few values in ascending order in f64: what must not depend on the schedule and is not worth a tree.
#pragma once
#include "common.cuh"

namespace cunn::cuda {

constexpr int kOrderedSumThreads = 256;

// sum_i double(x[i]), i ascending, by one block; valid in thread 0. The block loads, one thread adds.
static __device__ inline double ordered_sum(const float* x, int64_t n) {
  CUNN_SHARED(float, stage, [kOrderedSumThreads]);
  double sum = 0.0;
  for (int64_t begin = 0; begin < n; begin += kOrderedSumThreads) {
    const int64_t i = begin + threadIdx.x;
    __syncthreads();
    if (i < n) stage[threadIdx.x] = x[i];
    __syncthreads();
    if (threadIdx.x != 0) continue;
    const int count = n - begin < kOrderedSumThreads ? int(n - begin) : kOrderedSumThreads;
    for (int j = 0; j < count; ++j) sum += double(stage[j]);
  }
  return sum;
}

}  // namespace cunn::cuda
