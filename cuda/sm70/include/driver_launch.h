// Launches of kernels by name. The name of an instantiation is what the compiler makes of it in kernel_name(); cubins.py
// finds the names in the object files, has NVRTC compile each, and writes the table from names to symbols (modules.h).
#pragma once
#include "../../simt/include/simt/language.h"
#include "driver_api.h"

namespace cunn::driver {

template <auto kKernel>
const char* kernel_name() {
  return __PRETTY_FUNCTION__;
}

// Launches the kernel `name` of `unit`, the stem of a file of kernels/. Errors are those of cudaGetLastError.
void submit(const char* unit, const char* name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, void** parameters);

template <auto kKernel>
struct Launcher;
template <class... Parameters, void (*kKernel)(Parameters...)>
struct Launcher<kKernel> {
  // Arguments are converted to the kernel's parameter types; the driver copies them before it returns.
  static void launch(const char* unit, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Parameters... arguments) {
    void* parameters[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
    submit(unit, kernel_name<kKernel>(), grid, block, shared_bytes, stream, parameters);
  }
};

}  // namespace cunn::driver
