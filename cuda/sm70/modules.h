// The cubins and the names of their kernels, written by cubins.py.
#pragma once
#include <cstddef>

namespace cunn::driver {

struct Module {
  const char* unit;  // stem of the kernel file
  const void* cubin;
};
struct Entry {
  int module;          // index of its Module
  const char* name;    // of kernel_name()
  const char* symbol;  // in the cubin
};
extern const Module kModules[];
extern const Entry kEntries[];
extern const size_t kModuleCount, kEntryCount;

}  // namespace cunn::driver
