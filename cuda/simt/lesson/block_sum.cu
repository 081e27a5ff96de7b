// A first kernel: sums of blocks of 256 numbers, by a tree in shared memory. docs-en/3-cuda-without-a-gpu.md takes it apart.
#include "kernels/common.cuh"

#include <cstdio>
#include <vector>

constexpr int kThreads = 256;

// sums[b] = x[256 b] + ... + x[256 b + 255], as far as there are numbers.
__global__ void block_sum(float* sums, const float* x, int n) {
  CUNN_SHARED(float, part, [kThreads]);
  const int t = int(threadIdx.x), i = int(blockIdx.x) * kThreads + t;
  part[t] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];
    __syncthreads();
  }
  if (t == 0) sums[blockIdx.x] = part[0];
}

int main() {
  constexpr int n = 1000, blocks = (n + kThreads - 1) / kThreads;
  std::vector<float> x(n), sums(blocks);
  for (int i = 0; i < n; ++i) x[i] = float(i);

  void *x_device = nullptr, *sums_device = nullptr;
  cudaMalloc(&x_device, n * sizeof(float));
  cudaMalloc(&sums_device, blocks * sizeof(float));
  cudaMemcpy(x_device, x.data(), n * sizeof(float), cudaMemcpyHostToDevice);
  CUNN_LAUNCH(block_sum, blocks, kThreads, 0, nullptr, static_cast<float*>(sums_device), static_cast<const float*>(x_device), n);
  const cudaError_t launched = cudaGetLastError();
  if (launched != cudaSuccess) {
#if defined(SIMT_HOST)
    std::printf("%s\n", simt::last_fault());
#else
    std::printf("%s\n", cudaGetErrorString(launched));
#endif
    return 1;
  }
  cudaMemcpy(sums.data(), sums_device, blocks * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(x_device);
  cudaFree(sums_device);

  float total = 0.0f;
  for (float sum : sums) total += sum;
  std::printf("0 + 1 + ... + %d in %d blocks is %.0f, expected %d\n", n - 1, blocks, double(total), n * (n - 1) / 2);
  return total == float(n * (n - 1) / 2) ? 0 : 1;
}
