// Device memory: host memory with a register of live blocks.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "fault.h"
#include "sanitizers.h"
#include "stream.h"

namespace simt {
namespace {

constexpr size_t kAlignment = 256;  // what cudaMalloc promises
// Behind each block, where ASan's redzone would be: tells at cudaFree that a kernel wrote there.
constexpr size_t kGapBytes = SIMT_ASAN ? 0 : 64;
constexpr unsigned char kGapPattern = 0xc5;

class Blocks {
 public:
  void* allocate(size_t bytes) {
    void* p = nullptr;
    if (bytes > SIZE_MAX - kGapBytes || posix_memalign(&p, kAlignment, bytes + kGapBytes) != 0) return nullptr;
    fill(p, 0xff, bytes);  // NaN: reading what nobody wrote shows
    fill(static_cast<char*>(p) + bytes, kGapPattern, kGapBytes);
    std::lock_guard<std::mutex> lock(mutex_);
    bytes_of_[p] = bytes;
    return p;
  }

  cudaError_t release(void* p) {
    size_t bytes;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto it = bytes_of_.find(p);
      if (it == bytes_of_.end()) return cudaErrorInvalidValue;
      bytes = it->second;
      bytes_of_.erase(it);
    }
    bool intact = true;
    for (size_t i = 0; i < kGapBytes; ++i) intact = intact && static_cast<unsigned char*>(p)[bytes + i] == kGapPattern;
    free(p);
    if (intact) return cudaSuccess;
    set_last_error(cudaErrorLaunchFailure, format("a block of %zu bytes of device memory was overrun by a kernel", bytes));
    return cudaErrorLaunchFailure;
  }

  // True when [p, p + bytes) lies in one live block.
  bool contains(const void* p, size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = bytes_of_.upper_bound(const_cast<void*>(p));
    if (it == bytes_of_.begin()) return false;
    --it;
    const size_t offset = size_t(static_cast<const char*>(p) - static_cast<const char*>(it->first));
    return offset <= it->second && bytes <= it->second - offset;
  }

 private:
  static void fill(void* p, unsigned char value, size_t bytes) {
    if (bytes > 0) std::memset(p, value, bytes);
  }
  std::mutex mutex_;
  std::map<void*, size_t> bytes_of_;
};

Blocks& blocks() {
  static Blocks* const all = new Blocks;  // never destroyed: see stream.cpp
  return *all;
}

bool valid_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return true;
  if (!to || !from) return false;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return (!to_device || blocks().contains(to, bytes)) && (!from_device || blocks().contains(from, bytes));
}

}  // namespace
}  // namespace simt

using namespace simt;

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (!pointer) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = blocks().allocate(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* pointer) { return pointer ? blocks().release(pointer) : cudaSuccess; }

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  if (refuse_in_capture(stream)) return cudaErrorStreamCaptureUnsupported;
  return cudaMalloc(pointer, bytes);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (refuse_in_capture(stream)) return cudaErrorStreamCaptureUnsupported;
  return cudaFree(pointer);
}

// Page-locked host memory is ordinary memory here.
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  if (!pointer) return cudaErrorInvalidValue;
  *pointer = std::malloc(bytes);
  return *pointer || bytes == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (!valid_copy(to, from, bytes, kind)) return cudaErrorInvalidValue;
  return run_or_record(stream, [=] {
    if (!valid_copy(to, from, bytes, kind)) return cudaErrorInvalidValue;  // a replayed graph may have outlived the block
    if (bytes > 0) std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes > 0 && !blocks().contains(to, bytes)) return cudaErrorInvalidValue;
  return run_or_record(stream, [=] {
    if (bytes > 0 && !blocks().contains(to, bytes)) return cudaErrorInvalidValue;
    if (bytes > 0) std::memset(to, value, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }
