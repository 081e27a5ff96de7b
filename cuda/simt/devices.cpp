// The devices of libcunn-simt: simt alone. (libcunn has src/devices.cpp in this place.)
#include "../src/device.h"

#include "../kernels/cuda_device.h"
#include "../src/abi.h"

namespace cunn {

int32_t device_count(int32_t kind) { return kind == CUNN_SIMT ? cuda::device_count() : 0; }

Device* find_device(int32_t kind, int32_t ordinal) { return kind == CUNN_SIMT ? cuda::device(ordinal) : nullptr; }

const char* device_note(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: case CUNN_CUDA: return "this is libcunn-simt, which has the simt device only; open libcunn.so instead";
    case CUNN_SIMT: return cuda::device_note();
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
