// The runtime API of include/driver_api.h over libcuda.so.1, which is opened at run time: without a driver there are no
// devices, and the library loads all the same.
#include "include/driver_api.h"

#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

#include "driver.h"

namespace cunn::driver {
namespace {

// A card of this library: its context is the primary one, shared with whatever else uses the card in this process.
struct Card {
  int device;
  void* context;
};
struct Cards {
  int error = 100;
  std::vector<Card> all;

  Cards() {
    const Driver& d = driver();
    if (!d.loaded) return;
    int count = 0;
    if ((error = d.cuInit(0)) || (error = d.cuDeviceGetCount(&count))) return;
    for (int i = 0; i < count; ++i) {
      Card card{0, nullptr};
      int major = 0, minor = 0;
      if (d.cuDeviceGet(&card.device, i) || d.cuDeviceGetAttribute(&major, kComputeCapabilityMajor, card.device) ||
          d.cuDeviceGetAttribute(&minor, kComputeCapabilityMinor, card.device))
        continue;
      if (major == 7 && minor < 5 && !d.cuDevicePrimaryCtxRetain(&card.context, card.device)) all.push_back(card);
    }
  }
};
const Cards& cards() {
  static const Cards* const found = new Cards;
  return *found;
}

thread_local int current_card = 0;
thread_local int last_error = 0;

cudaError_t as_error(int result) { return static_cast<cudaError_t>(result); }
uint64_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

int card_of_thread() { return current_card; }
size_t card_count() { return cards().all.size(); }
void note_error(int result) {
  if (result) last_error = result;
}

}  // namespace cunn::driver

using namespace cunn::driver;

cudaError_t cudaGetLastError() {
  const int error = last_error;
  last_error = 0;
  return as_error(error);
}
const char* cudaGetErrorString(cudaError_t error) {
  const char* text = nullptr;
  if (driver().loaded) driver().cuGetErrorString(error, &text);
  return text ? text : error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "unknown error";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = int(cards().all.size());
  return as_error(cards().error);
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || size_t(device) >= cards().all.size()) return cudaErrorInvalidValue;
  current_card = device;
  return as_error(driver().cuCtxSetCurrent(cards().all[size_t(device)].context));
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || size_t(device) >= cards().all.size()) return cudaErrorInvalidValue;
  const Driver& d = driver();
  const int id = cards().all[size_t(device)].device;
  *properties = {};
  int shared = 0, error = d.cuDeviceGetName(properties->name, int(sizeof properties->name), id);
  const auto attribute = [&](int* value, int which) {
    if (!error) error = d.cuDeviceGetAttribute(value, which, id);
  };
  attribute(&properties->major, kComputeCapabilityMajor);
  attribute(&properties->minor, kComputeCapabilityMinor);
  attribute(&properties->multiProcessorCount, kMultiprocessorCount);
  attribute(&shared, kMaxSharedMemoryPerBlockOptin);
  properties->sharedMemPerBlockOptin = size_t(shared);
  return as_error(error);
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) { return as_error(driver().cuMemGetInfo(free_bytes, total_bytes)); }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  uint64_t memory = 0;
  const int error = driver().cuMemAlloc(&memory, bytes);
  *pointer = reinterpret_cast<void*>(uintptr_t(memory));
  return as_error(error);
}
cudaError_t cudaFree(void* pointer) { return pointer ? as_error(driver().cuMemFree(address(pointer))) : cudaSuccess; }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return as_error(driver().cuMemcpyAsync(address(to), address(from), bytes, stream));  // addresses are unified
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return bytes ? as_error(driver().cuMemsetD8(address(to), static_cast<unsigned char>(value), bytes)) : cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return bytes ? as_error(driver().cuMemsetD8Async(address(to), static_cast<unsigned char>(value), bytes, stream)) : cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) { return as_error(driver().cuStreamCreate(stream, flags)); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return as_error(driver().cuStreamDestroy(stream)); }
// A null stream stands for all work of the card, as the runtime's default stream does.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return as_error(driver().cuStreamSynchronize(stream)); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return as_error(driver().cuStreamWaitEvent(stream, event, flags));
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return as_error(driver().cuEventCreate(event, 0)); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return as_error(driver().cuEventDestroy(event)); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return as_error(driver().cuEventRecord(event, stream)); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return as_error(driver().cuEventSynchronize(event)); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  return as_error(driver().cuEventElapsedTime(milliseconds, start, stop));
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return as_error(driver().cuStreamBeginCapture(stream, mode));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) { return as_error(driver().cuStreamEndCapture(stream, graph)); }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return as_error(driver().cuGraphInstantiate(exec, graph, flags));
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) { return as_error(driver().cuGraphLaunch(exec, stream)); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return as_error(driver().cuGraphExecDestroy(exec)); }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return as_error(driver().cuGraphDestroy(graph)); }
