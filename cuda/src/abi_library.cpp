// The library itself and its devices.
#include "context.h"

using namespace cunn;

int32_t cunn_abi_version(void) { return CUNN_ABI_VERSION; }

const char *cunn_version(void) { return CUNN_VERSION; }

const char *cunn_build_info(void) { return CUNN_BUILD_INFO; }

const char *cunn_status_name(int32_t status) {
  switch (status) {
    case CUNN_OK: return "ok";
    case CUNN_INVALID_ARGUMENT: return "invalid argument";
    case CUNN_OUT_OF_MEMORY: return "out of memory";
    case CUNN_UNSUPPORTED: return "unsupported";
    case CUNN_BUSY: return "busy";
    case CUNN_DEVICE: return "device";
    case CUNN_INTERNAL: return "internal";
  }
  return "unknown status";
}

int32_t cunn_device_count(int32_t *count, int32_t device) {
  if (forked_child.load(std::memory_order_relaxed)) return CUNN_DEVICE;
  if (count == nullptr || device_kind_name(device) == nullptr) return CUNN_INVALID_ARGUMENT;
  *count = device_count(device);
  return CUNN_OK;
}

const char *cunn_device_name(int32_t device, int32_t ordinal) {
  if (forked_child.load(std::memory_order_relaxed)) return "";
  const Device *found = find_device(device, ordinal);
  return found == nullptr ? "" : found->name();
}

const char *cunn_device_note(int32_t device) { return device_note(device); }

int32_t cunn_device_memory(int64_t *total, int64_t *available, int32_t device, int32_t ordinal) {
  if (forked_child.load(std::memory_order_relaxed)) return CUNN_DEVICE;
  const Device *found = find_device(device, ordinal);
  if (total == nullptr || available == nullptr || found == nullptr) return CUNN_INVALID_ARGUMENT;
  try {
    int64_t all = 0, free = 0;
    found->memory(&all, &free);
    *total = all;
    *available = free;
    return CUNN_OK;
  } catch (const Failure &failure) {
    return failure.status();
  } catch (const std::bad_alloc &) {
    return CUNN_OUT_OF_MEMORY;
  } catch (...) {
    return CUNN_INTERNAL;
  }
}
