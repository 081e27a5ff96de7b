// Kernel launch: what <<<grid, block, shared, stream>>> does, as a function template.
#pragma once
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include "host_api.h"

namespace simt {

struct LaunchShape {
  const char* kernel;  // as written at the launch
  const void* function;
  dim3 grid, block;
  size_t dynamic_shared_bytes;
};

// Checks the shape as a card would, then runs the grid, or records it when the stream is being captured. Errors are
// those of cudaGetLastError.
SIMT_EXPORT void submit(const LaunchShape& shape, cudaStream_t stream, std::function<void()> thread_body);

// Arguments are converted to the kernel's parameter types and copied once per launch, like CUDA's parameter buffer.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            cudaStream_t stream, Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "number of kernel arguments");
  std::tuple<std::remove_cv_t<Parameters>...> bound(static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  submit({name, reinterpret_cast<const void*>(kernel), grid, block, dynamic_shared_bytes}, stream,
         [kernel, bound] { std::apply(kernel, bound); });
}

}  // namespace simt
