// The driver's functions, and launches: a module is loaded into a card's context when its first kernel is launched there.
#include "include/driver_launch.h"

#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "driver.h"
#include "modules.h"

namespace cunn::driver {
namespace {

Driver load() {
  Driver d;
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return d;
  d.loaded = true;
#define CUNN_DRIVER_LOOKUP(name, symbol, parameters) \
  if (!(d.name = reinterpret_cast<int(*) parameters>(dlsym(library, symbol)))) d.loaded = false;
  CUNN_FOR_EACH_DRIVER_FUNCTION(CUNN_DRIVER_LOOKUP)
#undef CUNN_DRIVER_LOOKUP
  return d;
}

constexpr int kNotFound = 500;  // CUDA_ERROR_NOT_FOUND

// What is loaded in each card's context.
class Loaded {
 public:
  Loaded() : modules_(card_count(), std::vector<void*>(kModuleCount)), functions_(card_count(), std::vector<void*>(kEntryCount)) {
    for (size_t i = 0; i < kEntryCount; ++i) entries_[{kModules[kEntries[i].module].unit, kEntries[i].name}] = i;
  }

  int function(void** found, const char* unit, const char* name) {
    const auto it = entries_.find({unit, name});
    if (it == entries_.end()) return kNotFound;
    const size_t card = size_t(card_of_thread()), entry = it->second, module = size_t(kEntries[entry].module);
    std::lock_guard<std::mutex> lock(mutex_);
    int error = 0;
    if (!modules_[card][module]) error = driver().cuModuleLoadData(&modules_[card][module], kModules[module].cubin);
    if (!error && !functions_[card][entry])
      error = driver().cuModuleGetFunction(&functions_[card][entry], modules_[card][module], kEntries[entry].symbol);
    *found = functions_[card][entry];
    return error;
  }

 private:
  struct Key {
    std::string_view unit, name;
    bool operator==(const Key& other) const { return unit == other.unit && name == other.name; }
  };
  struct Hash {
    size_t operator()(const Key& key) const { return std::hash<std::string_view>()(key.unit) * 31 + std::hash<std::string_view>()(key.name); }
  };
  std::unordered_map<Key, size_t, Hash> entries_;
  std::mutex mutex_;
  std::vector<std::vector<void*>> modules_, functions_;  // [card][...]
};

}  // namespace

const Driver& driver() {
  static const Driver* const loaded = new Driver(load());
  return *loaded;
}

void submit(const char* unit, const char* name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, void** parameters) {
  static Loaded* const loaded = new Loaded;
  void* function = nullptr;
  int error = loaded->function(&function, unit, name);
  if (!error && shared_bytes > (48u << 10)) error = driver().cuFuncSetAttribute(function, kMaxDynamicSharedSizeBytes, int(shared_bytes));
  if (!error)
    error = driver().cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, unsigned(shared_bytes), stream, parameters, nullptr);
  note_error(error);
}

}  // namespace cunn::driver
