// The functions of libcuda.so.1 that are used, as pointers. Their order here is the order in which they are looked up.
#pragma once
#include <cstddef>
#include <cstdint>

#include "include/driver_api.h"

namespace cunn::driver {

// CUdevice_attribute, CUfunction_attribute
constexpr int kMultiprocessorCount = 16, kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76, kMaxSharedMemoryPerBlockOptin = 97;
constexpr int kMaxDynamicSharedSizeBytes = 8;

// name, symbol, parameters; every one returns a CUresult.
#define CUNN_FOR_EACH_DRIVER_FUNCTION(X)                                                                        \
  X(cuInit, "cuInit", (unsigned flags))                                                                         \
  X(cuGetErrorString, "cuGetErrorString", (int error, const char** text))                                       \
  X(cuDeviceGetCount, "cuDeviceGetCount", (int* count))                                                         \
  X(cuDeviceGet, "cuDeviceGet", (int* device, int ordinal))                                                     \
  X(cuDeviceGetName, "cuDeviceGetName", (char* name, int bytes, int device))                                    \
  X(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int* value, int attribute, int device))                      \
  X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (void** context, int device))                         \
  X(cuCtxSetCurrent, "cuCtxSetCurrent", (void* context))                                                        \
  X(cuMemGetInfo, "cuMemGetInfo_v2", (size_t* available, size_t* total))                                        \
  X(cuMemAlloc, "cuMemAlloc_v2", (uint64_t* memory, size_t bytes))                                              \
  X(cuMemFree, "cuMemFree_v2", (uint64_t memory))                                                               \
  X(cuMemcpyAsync, "cuMemcpyAsync", (uint64_t to, uint64_t from, size_t bytes, cudaStream_t stream))            \
  X(cuMemsetD8, "cuMemsetD8_v2", (uint64_t memory, unsigned char value, size_t bytes))                          \
  X(cuMemsetD8Async, "cuMemsetD8Async", (uint64_t memory, unsigned char value, size_t bytes, cudaStream_t stream)) \
  X(cuStreamCreate, "cuStreamCreate", (cudaStream_t* stream, unsigned flags))                                   \
  X(cuStreamDestroy, "cuStreamDestroy_v2", (cudaStream_t stream))                                               \
  X(cuStreamSynchronize, "cuStreamSynchronize", (cudaStream_t stream))                                          \
  X(cuStreamWaitEvent, "cuStreamWaitEvent", (cudaStream_t stream, cudaEvent_t event, unsigned flags))           \
  X(cuStreamBeginCapture, "cuStreamBeginCapture_v2", (cudaStream_t stream, int mode))                           \
  X(cuStreamEndCapture, "cuStreamEndCapture", (cudaStream_t stream, cudaGraph_t* graph))                        \
  X(cuEventCreate, "cuEventCreate", (cudaEvent_t* event, unsigned flags))                                       \
  X(cuEventDestroy, "cuEventDestroy_v2", (cudaEvent_t event))                                                   \
  X(cuEventRecord, "cuEventRecord", (cudaEvent_t event, cudaStream_t stream))                                   \
  X(cuEventSynchronize, "cuEventSynchronize", (cudaEvent_t event))                                              \
  X(cuEventElapsedTime, "cuEventElapsedTime", (float* milliseconds, cudaEvent_t start, cudaEvent_t stop))       \
  X(cuGraphInstantiate, "cuGraphInstantiateWithFlags", (cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags)) \
  X(cuGraphLaunch, "cuGraphLaunch", (cudaGraphExec_t exec, cudaStream_t stream))                                \
  X(cuGraphExecDestroy, "cuGraphExecDestroy", (cudaGraphExec_t exec))                                           \
  X(cuGraphDestroy, "cuGraphDestroy", (cudaGraph_t graph))                                                      \
  X(cuModuleLoadData, "cuModuleLoadData", (void** module, const void* image))                                   \
  X(cuModuleGetFunction, "cuModuleGetFunction", (void** function, void* module, const char* name))              \
  X(cuFuncSetAttribute, "cuFuncSetAttribute", (void* function, int attribute, int value))                       \
  X(cuLaunchKernel, "cuLaunchKernel",                                                                           \
    (void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,              \
     unsigned shared_bytes, cudaStream_t stream, void** parameters, void** extra))

struct Driver {
  bool loaded = false;  // the driver is there and has every function
#define CUNN_DRIVER_POINTER(name, symbol, parameters) int(*name) parameters = nullptr;
  CUNN_FOR_EACH_DRIVER_FUNCTION(CUNN_DRIVER_POINTER)
#undef CUNN_DRIVER_POINTER
};
const Driver& driver();

int card_of_thread();  // the card of this thread's last cudaSetDevice
size_t card_count();
void note_error(int result);  // what cudaGetLastError will say

}  // namespace cunn::driver
