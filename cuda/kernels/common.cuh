// What every kernel file includes: shared memory and launches in the one spelling that nvcc and simt both take, and
// conversions between element types and f32.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "../src/ops.h"

// CUNN_SHARED(float, tile, [32][33]) declares `tile` in static shared memory, 16-byte aligned.
// CUNN_DYNAMIC_SHARED(float, data) names the dynamic shared memory of the launch.
// CUNN_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...) is kernel<<<...>>>(arguments...); a kernel with
// template arguments stands in parentheses.
// CUNN_UNROLL, CUNN_UNROLL_BY(n) before a loop: nvcc's pragma; a host compiler decides for itself.
#if defined(SIMT_HOST)
#define CUNN_SHARED(T, name, ...)                                                          \
  typedef T name##_shared_type __VA_ARGS__;                                                \
  static simt::SharedSlot name##_shared_slot{__FILE__, __LINE__, #name, sizeof(name##_shared_type)}; \
  name##_shared_type& name = *static_cast<name##_shared_type*>(simt::shared_memory(name##_shared_slot))
#define CUNN_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(simt::here.dynamic_shared)
#define CUNN_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  simt::launch(#kernel, kernel, (grid), (block), (shared_bytes), static_cast<cudaStream_t>(stream), __VA_ARGS__)
#define CUNN_UNROLL
#define CUNN_UNROLL_BY(n)
#elif defined(CUNN_DRIVER_HOST)  // the host side of libcunn-sm70: bodies are parsed only, launches go by name
#define CUNN_SHARED(T, name, ...) static T name __VA_ARGS__
#define CUNN_DYNAMIC_SHARED(T, name) T* const name = nullptr
#define CUNN_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::cunn::driver::Launcher<kernel>::launch(CUNN_UNIT, (grid), (block), (shared_bytes), static_cast<cudaStream_t>(stream), __VA_ARGS__)
#define CUNN_UNROLL
#define CUNN_UNROLL_BY(n)
#else
#define CUNN_PRAGMA(text) _Pragma(#text)
#define CUNN_UNROLL CUNN_PRAGMA(unroll)
#define CUNN_UNROLL_BY(n) CUNN_PRAGMA(unroll n)
#define CUNN_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define CUNN_DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(16) unsigned char cunn_dynamic_shared[];  \
  T* const name = reinterpret_cast<T*>(cunn_dynamic_shared)
#define CUNN_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  (kernel)<<<(grid), (block), (shared_bytes), static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#endif

namespace cunn {

constexpr unsigned kFullWarp = 0xffffffffu;

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ float to_float(__half x) { return __half2float(x); }

template <class T>
struct IsBf16 {
  static constexpr bool value = false;
};
template <>
struct IsBf16<__nv_bfloat16> {
  static constexpr bool value = true;
};

// from_float<T>(x): x rounded to T, to nearest, ties to even.
template <class T>
static __device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) { return x; }
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
template <>
__device__ __forceinline__ __half from_float<__half>(float x) { return __float2half_rn(x); }

}  // namespace cunn
