#include "handles.h"

#include <pthread.h>

#include <new>

namespace cunn {

HandleTable &HandleTable::instance() {
  static HandleTable &table = *new HandleTable;  // never destroyed: other threads may still call while the process ends
  return table;
}

// The C library hands out keys of thread-specific data, no two alike while they exist, to whoever asks in the process,
// and counts them below PTHREAD_KEYS_MAX, which is 1024 at most where this builds. The key is never used: its value is the
// number. An address would be as unique but needs more bits than a handle has to spare. Nor is the key deleted when the
// library is unloaded: the next library would get the number and count its slots and generations from the start, so that
// it would take handles left over from this one for its own.
int64_t HandleTable::library_number() {
  pthread_key_t key{};
  if (pthread_key_create(&key, nullptr) != 0) return -1;
  const auto number = static_cast<int64_t>(key);
  return number <= kLibraryMask ? number : -1;
}

int64_t HandleTable::insert(Kind kind, void *object) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    if (used_ == kChunks * kChunk) throw std::bad_alloc();
    if (used_ % kChunk == 0) {
      free_.reserve(static_cast<size_t>(used_ + kChunk));  // so that remove never allocates
      chunks_[static_cast<size_t>(used_ / kChunk)].store(new Slot[kChunk], std::memory_order_release);
    }
    index = used_++;
  }
  const int64_t chunk = index / kChunk, place = index % kChunk;
  Slot &slot = chunks_[static_cast<size_t>(chunk)].load(std::memory_order_relaxed)[place];
  const int64_t handle = chunk << kChunkShift | ++slot.generation << kGenerationShift | library_ << kLibraryShift |
                         static_cast<int64_t>(kind) << kPlaceBits | place;
  slot.object.store(object, std::memory_order_release);
  slot.handle.store(handle, std::memory_order_release);
  return handle;
}

void *HandleTable::remove(Kind kind, int64_t handle) {
  if (handle <= 0 || kind_of(handle) != kind) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  Slot *slot = slot_of(handle);
  if (slot == nullptr || slot->handle.load(std::memory_order_relaxed) != handle) return nullptr;
  slot->handle.store(0, std::memory_order_seq_cst);
  if (slot->generation < kLastGeneration) free_.push_back((handle >> kChunkShift) * kChunk + (handle & (kChunk - 1)));
  return slot->object.load(std::memory_order_relaxed);
}

const char *HandleTable::describe(int64_t handle) const {
  const Slot *slot = slot_of(handle);
  if (slot == nullptr || slot->handle.load(std::memory_order_relaxed) != handle) return nullptr;
  switch (kind_of(handle)) {
    case Kind::context: return "a context";
    case Kind::buffer: return "a buffer";
    case Kind::event: return "an event";
    case Kind::graph: return "a graph";
  }
  return nullptr;
}

}  // namespace cunn
