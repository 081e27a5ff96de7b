// A vector in device memory, for tests.
#pragma once
#include <cuda_runtime.h>

#include <cstdlib>
#include <vector>

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : n_(n) { allocate(); }
  DeviceArray(const std::vector<T>& values) : n_(values.size()) {
    allocate();
    if (cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice) != cudaSuccess) std::abort();
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  operator T*() { return static_cast<T*>(data_); }
  std::vector<T> download() const {
    std::vector<T> values(n_);
    if (cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost) != cudaSuccess) std::abort();
    return values;
  }

 private:
  void allocate() {
    if (cudaMalloc(&data_, n_ * sizeof(T)) != cudaSuccess) std::abort();
  }
  size_t n_;
  void* data_ = nullptr;
};
