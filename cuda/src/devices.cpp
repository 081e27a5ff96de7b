// The devices of this build, and why one is missing.
#include "device.h"

#include "../cpu/cpu_device.h"
#include "abi.h"
#if CUNN_WITH_CUDA
#include "../kernels/cuda_device.h"
#endif

namespace cunn {

#if !CUNN_WITH_CUDA
namespace cuda {

static int device_count() { return 0; }
static Device *device(int32_t) { return nullptr; }
static const char *device_note() {
  return "this libcunn was built without the cuda device; rebuild it where a CUDA compiler is found";
}

}  // namespace cuda
#endif

int32_t device_count(int32_t kind) { return kind == CUNN_CPU ? 1 : kind == CUNN_CUDA ? cuda::device_count() : 0; }

Device *find_device(int32_t kind, int32_t ordinal) {
  if (kind == CUNN_CPU && ordinal == 0) return &cpu::device();
  return kind == CUNN_CUDA ? cuda::device(ordinal) : nullptr;
}

const char *device_note(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: return "";
    case CUNN_CUDA: return cuda::device_note();
    case CUNN_SIMT: return "the simt device lives in libcunn-simt.so; open that library instead";
  }
  return "there is no such kind of device";
}

const char *device_kind_name(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: return "cpu";
    case CUNN_CUDA: return "cuda";
    case CUNN_SIMT: return "simt";
  }
  return nullptr;
}

}  // namespace cunn
