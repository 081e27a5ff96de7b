// A library opened at run time, as every language opens it: its functions by name, a context, buffers.
#pragma once
#include <dlfcn.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../src/types.h"
#include "cunn.h"

// What a failed call left in its context.
struct Reported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Library {
 public:
  Library(const char* path, int32_t device) : handle_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) throw std::runtime_error(dlerror());
    check(function<decltype(&cunn_context_create)>("cunn_context_create")(&context, device, 0, 0, nullptr));
  }
  ~Library() {
    function<decltype(&cunn_context_destroy)>("cunn_context_destroy")(context);
    dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class F>
  F function(const std::string& name) {
    void* const symbol = dlsym(handle_, name.c_str());
    if (!symbol) throw std::runtime_error(name + " is not in the library");
    return reinterpret_cast<F>(symbol);
  }
  void check(int32_t status) {
    if (status != CUNN_OK) throw Reported(function<decltype(&cunn_context_error)>("cunn_context_error")(context));
  }
  void synchronize() {
    check(function<decltype(&cunn_context_synchronize)>("cunn_context_synchronize")(context));
  }
  cunn_context context = 0;

 private:
  void* handle_;
};
// Calls an ABI function of the library in its context; throws its sentence when it fails.
#define CALL(library, name, ...) (library).check((library).function<decltype(&name)>(#name)((library).context, __VA_ARGS__))

inline int32_t device_kind(const std::string& name) {
  if (name == "cpu") return CUNN_CPU;
  if (name == "cuda") return CUNN_CUDA;
  if (name == "simt") return CUNN_SIMT;
  throw std::runtime_error("device " + name);
}

// count elements on the library's device.
class AbiBuffer {
 public:
  AbiBuffer(Library& library, cunn::DType dtype, int64_t count) : library_(library), dtype_(dtype), count_(count) {
    CALL(library_, cunn_buffer_create, &handle_, int32_t(dtype), count);
  }
  ~AbiBuffer() {
    library_.function<decltype(&cunn_buffer_destroy)>("cunn_buffer_destroy")(library_.context, handle_);
  }
  AbiBuffer(const AbiBuffer&) = delete;
  AbiBuffer& operator=(const AbiBuffer&) = delete;

  operator cunn_buffer() const { return handle_; }
  void upload(const void* host) { CALL(library_, cunn_buffer_upload, handle_, 0, count_, host); }
  std::vector<unsigned char> download() const {
    std::vector<unsigned char> bytes(size_t(cunn::bytes_of(dtype_, count_)));
    CALL(library_, cunn_buffer_download, bytes.data(), handle_, 0, count_);
    return bytes;
  }

 private:
  Library& library_;
  cunn::DType dtype_;
  int64_t count_;
  cunn_buffer handle_ = 0;
};
