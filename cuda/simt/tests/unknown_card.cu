// CUNN_SIMT_CARD names a card that simt does not know: a sentence that says so and failed calls, whatever is asked first.
#include <cstdlib>
#include <string>

#include "../../kernels/common.cuh"
#include "check.h"

using namespace cunn;

namespace {

__global__ void shared_write(int* x) {
  CUNN_SHARED(int, held, [32]);
  held[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = held[threadIdx.x];
}

bool says_which() {
  const std::string text = simt::last_fault();
  return text.find("CUNN_SIMT_CARD=sm_87, where simt knows sm_70, ") != std::string::npos && text.find(", sm_90") != std::string::npos;
}

}  // namespace

int main() {
  setenv("CUNN_SIMT_CARD", "sm_87", 1);  // read at the first call that needs it

  static int written[32];
  CUNN_LAUNCH(shared_write, dim3(1), dim3(32), 0, nullptr, written);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(says_which());
  CHECK(std::string(simt::last_fault()).find("shared_write cannot be launched with") != std::string::npos);
  CHECK_EQUAL(written[0], 0);

  CHECK(cudaFuncSetAttribute(shared_write, cudaFuncAttributeMaxDynamicSharedMemorySize, 1024) == cudaErrorInvalidConfiguration);
  CHECK(says_which());

  int count = 1, value = 0;
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceCount(&count) != cudaSuccess);
  CHECK_EQUAL(count, 0);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaErrorInvalidValue);
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaErrorInvalidValue);
  return summary();
}
