#include "handles.h"

#include <new>

namespace cunn {

HandleTable &HandleTable::instance() {
  static HandleTable &table = *new HandleTable;  // never destroyed: other threads may still call while the process ends
  return table;
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
      chunks_[static_cast<size_t>(used_ >> kChunkBits)].store(new Slot[kChunk], std::memory_order_release);
    }
    index = used_++;
  }
  Slot &slot = chunks_[static_cast<size_t>(index >> kChunkBits)].load(std::memory_order_relaxed)[index & (kChunk - 1)];
  const int64_t handle =
      ++slot.generation << kGenerationShift | static_cast<int64_t>(kind) << kSlotBits | index;
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
  if (slot->generation < kLastGeneration) free_.push_back(handle & ((int64_t{1} << kSlotBits) - 1));
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
