// The devices of this build, and why one is missing.
#include "device.h"

#include "../cpu/cpu_device.h"
#include "abi.h"

namespace cunn {

int32_t device_count(int32_t kind) { return kind == CUNN_CPU ? 1 : 0; }

Device *find_device(int32_t kind, int32_t ordinal) {
  return kind == CUNN_CPU && ordinal == 0 ? &cpu::device() : nullptr;
}

const char *device_note(int32_t kind) {
  switch (kind) {
    case CUNN_CPU: return "";
    case CUNN_CUDA: return "this libcunn was built without the cuda device; rebuild it where a CUDA compiler is found";
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
