// The subset of the CUDA runtime API that the device layer uses, with CUDA's names, meanings and error codes.
//
// Streams are immediate: work is done when the call returns, except between cudaStreamBeginCapture and
// cudaStreamEndCapture, when it is recorded. Pointers come from an allocator that remembers its live blocks, so that a
// copy which leaves its block, or uses a freed one, is an error as on a card.
#pragma once
#include <cstddef>
#include <cstdint>
#include "runtime.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0, cudaStreamCaptureModeThreadLocal = 1, cudaStreamCaptureModeRelaxed = 2 };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone = 0, cudaStreamCaptureStatusActive = 1 };
enum cudaDeviceAttr {
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, warpSize, maxThreadsPerBlock;
};

namespace simt {
struct Stream;
struct Event;
struct Graph;
struct GraphExec;
// The sentences behind the last cudaErrorLaunchFailure of this host thread: kernel, block, thread, file:line, what
// happened, and where every thread of the block stood. Valid until the next launch.
SIMT_EXPORT const char* last_fault();

// Order in which blocks and the threads of a block run. `parallel`, the default, spreads blocks over host threads; the
// others run one block at a time, so that a dependence on the order shows. CUNN_SIMT_ORDER (parallel, forward, reverse,
// random or random:SEED) and CUNN_SIMT_THREADS set the initial values.
enum class Order { parallel, forward, reverse, random };
SIMT_EXPORT void set_order(Order order, uint64_t seed = 1);
SIMT_EXPORT void set_threads(int threads);
}  // namespace simt
using cudaStream_t = simt::Stream*;
using cudaEvent_t = simt::Event*;
using cudaGraph_t = simt::Graph*;
using cudaGraphExec_t = simt::GraphExec*;

SIMT_EXPORT cudaError_t cudaGetLastError();
SIMT_EXPORT cudaError_t cudaPeekAtLastError();
SIMT_EXPORT const char* cudaGetErrorName(cudaError_t error);
SIMT_EXPORT const char* cudaGetErrorString(cudaError_t error);

SIMT_EXPORT cudaError_t cudaGetDeviceCount(int* count);
SIMT_EXPORT cudaError_t cudaSetDevice(int device);
SIMT_EXPORT cudaError_t cudaGetDevice(int* device);
SIMT_EXPORT cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
SIMT_EXPORT cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
SIMT_EXPORT cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
SIMT_EXPORT cudaError_t cudaDriverGetVersion(int* version);
SIMT_EXPORT cudaError_t cudaRuntimeGetVersion(int* version);
SIMT_EXPORT cudaError_t cudaDeviceSynchronize();

SIMT_EXPORT cudaError_t cudaMalloc(void** pointer, size_t bytes);
SIMT_EXPORT cudaError_t cudaFree(void* pointer);
SIMT_EXPORT cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaMallocHost(void** pointer, size_t bytes);
SIMT_EXPORT cudaError_t cudaFreeHost(void* pointer);
SIMT_EXPORT cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
SIMT_EXPORT cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaMemset(void* to, int value, size_t bytes);
SIMT_EXPORT cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);

SIMT_EXPORT cudaError_t cudaStreamCreate(cudaStream_t* stream);
SIMT_EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
SIMT_EXPORT cudaError_t cudaStreamDestroy(cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaStreamQuery(cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
SIMT_EXPORT cudaError_t cudaEventCreate(cudaEvent_t* event);
SIMT_EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
SIMT_EXPORT cudaError_t cudaEventDestroy(cudaEvent_t event);
SIMT_EXPORT cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t event);
SIMT_EXPORT cudaError_t cudaEventQuery(cudaEvent_t event);
SIMT_EXPORT cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop);

SIMT_EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
SIMT_EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
SIMT_EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
SIMT_EXPORT cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
SIMT_EXPORT cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void* nodes, size_t* count);
SIMT_EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
SIMT_EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
SIMT_EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t graph);

SIMT_EXPORT cudaError_t simt_func_set_attribute(const void* function, cudaFuncAttribute attribute, int value);
template <class Function>
inline cudaError_t cudaFuncSetAttribute(Function* function, cudaFuncAttribute attribute, int value) {
  return simt_func_set_attribute(reinterpret_cast<const void*>(function), attribute, value);
}
template <class T>
inline cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
