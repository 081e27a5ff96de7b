// How ops start kernels: over elements, over rows, for a dtype at hand; and how kernels report bad values.
#pragma once
#include "common.cuh"
#include "cuda_exec.h"

namespace cunn::cuda {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Launches and checks: a failed launch is this op's failure, not the next one's.
#define CUNN_RUN(exec, kernel, grid, block, shared_bytes, ...)                          \
  do {                                                                                  \
    CUNN_LAUNCH(kernel, grid, block, shared_bytes, (exec).stream, __VA_ARGS__);         \
    ::cunn::cuda::check_launch(#kernel);                                                \
  } while (0)

// Lets a kernel have more dynamic shared memory than the 48 KiB that need no permission. Asked for at each launch: the
// permission belongs to the device that is current.
template <class Kernel>
void allow_shared(Kernel* kernel, size_t bytes) {
  if (bytes > (48u << 10))
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "cudaFuncSetAttribute");
}

inline dim3 grid_of(int64_t blocks) { return dim3(unsigned(blocks)); }

// A float dtype as a type: with_float(dtype, [&](auto type) { using T = typename decltype(type)::type; ... }).
template <class T>
struct Type {
  using type = T;
};
template <class F>
void with_float(DType dtype, F&& body) {
  if (dtype == DType::bf16)
    body(Type<__nv_bfloat16>{});
  else if (dtype == DType::f16)
    body(Type<__half>{});
  else
    body(Type<float>{});
}

// Elementwise: element.put(i, element.at(i)) for i < n. Four elements a thread, all read before the first is written,
// so that several loads are in flight; outputs may alias inputs at the same index.
constexpr int kMapThreads = 256, kMapPerThread = 4;
template <class Element>
__global__ void __launch_bounds__(kMapThreads) map_kernel(Element element, int64_t n) {
  const int64_t first = int64_t(blockIdx.x) * (kMapThreads * kMapPerThread) + threadIdx.x;
  decltype(element.at(0)) value[kMapPerThread];
  CUNN_UNROLL
  for (int j = 0; j < kMapPerThread; ++j)
    if (first + j * kMapThreads < n) value[j] = element.at(first + j * kMapThreads);
  CUNN_UNROLL
  for (int j = 0; j < kMapPerThread; ++j)
    if (first + j * kMapThreads < n) element.put(first + j * kMapThreads, value[j]);
}
template <class Element>
void map(Exec& exec, const Element& element, int64_t n) {
  if (n <= 0) return;
  CUNN_RUN(exec, map_kernel<Element>, grid_of(ceil_div(n, kMapThreads * kMapPerThread)), kMapThreads, 0, element, n);
}

// ---- values that stand in buffers

static __device__ __forceinline__ bool in_range(int64_t value, int64_t limit) { return value >= 0 && value < limit; }

// The first report of a context wins; later ones are dropped.
static __device__ __forceinline__ void report_fault(ErrorWord* word, OpId op, DeviceFault fault, int64_t index, int64_t value,
                                             int64_t limit) {
  if (atomicCAS(&word->claimed, 0, 1) != 0) return;
  word->op = int32_t(op);
  word->index = index;
  word->value = value;
  word->limit = limit;
  word->fault = int32_t(fault);
}

// The least index of a value outside [least, limit), ~0 when there is none; by one block of kCheckThreads, valid in every
// thread. Once a kernel: a second call would write what slow threads still read. Eight loads of a thread are in flight at
// once: a single block is all latency.
constexpr int kCheckThreads = 1024;
static __device__ inline unsigned long long first_bad_index(const int32_t* values, int64_t n, int64_t least, int64_t limit) {
  constexpr int kAtOnce = 8;
  CUNN_SHARED(unsigned long long, first_bad, [1]);
  if (threadIdx.x == 0) first_bad[0] = ~0ull;
  __syncthreads();
  unsigned long long mine = ~0ull;
  for (int64_t begin = threadIdx.x; begin < n && mine == ~0ull; begin += kAtOnce * kCheckThreads) {
    int32_t value[kAtOnce];
    CUNN_UNROLL
    for (int j = 0; j < kAtOnce; ++j) value[j] = begin + j * kCheckThreads < n ? values[begin + j * kCheckThreads] : int32_t(least);
    CUNN_UNROLL
    for (int j = kAtOnce - 1; j >= 0; --j)
      if (begin + j * kCheckThreads < n && (value[j] < least || value[j] >= limit)) mine = (unsigned long long)(begin + j * kCheckThreads);
  }
  if (mine != ~0ull) atomicMin(&first_bad[0], mine);
  __syncthreads();
  return first_bad[0];
}

// Reports the first of n values outside [least, limit). One block, so that the element named never depends on the schedule.
// Kernels that use the values test each again and skip the bad ones.
static __global__ void __launch_bounds__(kCheckThreads)
    check_values_kernel(ErrorWord* word, OpId op, DeviceFault fault, const int32_t* values, int64_t n, int64_t least, int64_t limit) {
  const unsigned long long index = first_bad_index(values, n, least, limit);
  if (threadIdx.x == 0 && index != ~0ull) report_fault(word, op, fault, int64_t(index), values[index], limit);
}
inline void check_values(Exec& exec, OpId op, DeviceFault fault, const int32_t* values, int64_t n, int64_t limit,
                         int64_t least = 0) {
  if (n <= 0) return;
  CUNN_RUN(exec, check_values_kernel, 1, kCheckThreads, 0, exec.error, op, fault, values, n, least, limit);
}

}  // namespace cunn::cuda
