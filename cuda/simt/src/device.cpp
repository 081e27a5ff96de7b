// The one device: its properties, in the terms of the card whose limits it keeps.
#include <unistd.h>

#include <cstring>

#include "card.h"
#include "../include/simt/host_api.h"

using namespace simt;

namespace {

constexpr int kMultiprocessors = 4;

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  if (!count) return cudaErrorInvalidValue;
  *count = card() != nullptr;
  return card() ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaGetDevice(int* device) {
  if (!device) return cudaErrorInvalidValue;
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  if (!free_bytes || !total_bytes) return cudaErrorInvalidValue;
  const size_t page = size_t(sysconf(_SC_PAGESIZE));
  *free_bytes = size_t(sysconf(_SC_AVPHYS_PAGES)) * page;
  *total_bytes = size_t(sysconf(_SC_PHYS_PAGES)) * page;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!value || device != 0 || !card()) return cudaErrorInvalidValue;
  switch (attribute) {
    case cudaDevAttrWarpSize: *value = warpSize; return cudaSuccess;
    // So few that small products take the large tiles too, and the same ones on every host.
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = card()->major; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = card()->minor; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = int(card()->max_shared); return cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!properties || device != 0 || !card()) return cudaErrorInvalidValue;
  *properties = {};
  std::strcpy(properties->name, "simt (CUDA kernels executed on the host, not a GPU)");
  size_t free_bytes = 0;
  cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
  properties->sharedMemPerBlock = kMaxStaticShared;
  properties->sharedMemPerBlockOptin = card()->max_shared;
  properties->major = card()->major;
  properties->minor = card()->minor;
  cudaDeviceGetAttribute(&properties->multiProcessorCount, cudaDevAttrMultiProcessorCount, 0);
  properties->warpSize = warpSize;
  properties->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}

// The versions of the API this subset follows.
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
cudaError_t cudaRuntimeGetVersion(int* version) {
  if (!version) return cudaErrorInvalidValue;
  *version = 13000;
  return cudaSuccess;
}
