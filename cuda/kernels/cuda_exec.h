// Where a cuda op runs: a stream, scratch memory on the device, and the properties a launch depends on.
#pragma once
#include <cuda_runtime.h>

#include <vector>

#include "../src/ops.h"

namespace cunn::cuda {

// Memory on the device for the length of one op. Ops of a context run in stream order, so the next op may use the same
// memory. Blocks never move and are freed with the context only: recorded graphs point into them.
class DeviceScratch {
 public:
  DeviceScratch() = default;
  ~DeviceScratch();
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;

  void* bytes(size_t count);  // 256-byte aligned, uninitialised; throws std::bad_alloc
  template <class T>
  T* array(int64_t count) {
    return static_cast<T*>(bytes(sizeof(T) * size_t(count > 0 ? count : 0)));
  }
  void reset();
  int64_t total() const { return total_; }

 private:
  struct Block {
    char* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t current_ = 0, used_ = 0;  // block in use and bytes handed out of it
  int64_t total_ = 0;
};

struct CudaExec : Exec {
  DeviceScratch memory;
  int compute_capability = 0;  // 10 major + minor
  int multiprocessors = 1;
  size_t max_shared = 0;  // bytes a block may have
};
inline CudaExec& cuda_exec(Exec& exec) { return static_cast<CudaExec&>(exec); }

// f16 tensor cores came with sm_70, bf16 ones with sm_80.
inline bool has_tensor_cores(Exec& exec, DType type) {
  return (type == DType::bf16 && cuda_exec(exec).compute_capability >= 80) || (type == DType::f16 && cuda_exec(exec).compute_capability >= 70);
}

// Throws a Failure that says what the device reported about the launch just made.
void check_launch(const char* kernel);
void check(cudaError_t error, const char* call);

const OpTable& cuda_ops();

}  // namespace cunn::cuda
