// The devices of libcunn-simt: simt alone. (libcunn has src/devices.cpp in this place.)
#include "../src/device.h"

#include "../kernels/cuda_device.h"
#include "../src/abi.h"
#include "src/card.h"

namespace cunn {

// The kernels are compiled for x86-64-v3 (CMakeLists.txt).
static bool processor_can_run_it() {
#if defined(__x86_64__) && defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

int32_t device_count(int32_t kind) { return kind == CUNN_SIMT && processor_can_run_it() ? cuda::device_count() : 0; }

Device* find_device(int32_t kind, int32_t ordinal) {
  return ordinal < device_count(kind) ? cuda::device(ordinal) : nullptr;
}

const char* device_note(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: case CUNN_CUDA: return "this is libcunn-simt, which has the simt device only; open libcunn.so instead";
    case CUNN_SIMT:
      if (!processor_can_run_it()) return "this libcunn-simt is for processors with AVX2 and FMA; build it on this machine without -march=x86-64-v3";
      return simt::card() ? cuda::device_note() : simt::card_note();
  }
  return "there is no such kind of device";
}

const char* device_kind_name(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: return "cpu";
    case CUNN_CUDA: return "cuda";
    case CUNN_SIMT: return "simt";
  }
  return nullptr;
}

}  // namespace cunn
