#include "fault.h"

#include <cstdio>
#include <cstring>

namespace simt {
namespace {

struct LastError {
  cudaError_t code = cudaSuccess;
  std::string text;
};
LastError& last_error() {
  static thread_local LastError error;
  return error;
}

}  // namespace

std::string format(const char* pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  const int length = vsnprintf(nullptr, 0, pattern, arguments);
  va_end(arguments);
  std::string text(size_t(length) + 1, '\0');
  vsnprintf(&text[0], text.size(), pattern, again);
  va_end(again);
  text.pop_back();
  return text;
}

void set_last_error(cudaError_t error, std::string text) {
  last_error().code = error;
  last_error().text = std::move(text);
}

std::string place(const Site* site) {
  const char* const slash = std::strrchr(site->file, '/');
  return format("%s:%d", slash ? slash + 1 : site->file, site->line);
}

const char* last_fault() { return last_error().text.c_str(); }

}  // namespace simt

cudaError_t cudaPeekAtLastError() { return simt::last_error().code; }

cudaError_t cudaGetLastError() {
  const cudaError_t code = simt::last_error().code;
  simt::last_error().code = cudaSuccess;  // the text stays until the next error, for last_fault
  return code;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorLaunchFailure: return "a kernel was stopped by a detector of the host execution";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
  }
  return "unrecognized error code";
}
