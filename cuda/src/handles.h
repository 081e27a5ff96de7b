// Handles: generation << 28 | kind << 24 | slot. A slot's generation grows with every handle it gives out, so a handle
// that was destroyed is never valid again, whoever holds it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace cunn {

enum class Kind : int64_t { context = 1, buffer = 2, event = 3, graph = 4 };

// Finding takes no lock: two loads and a comparison. What was found stays in memory for the length of the finder's call
// (lifetime.h); that it still is the handle's is checked by reading the handle again.
class HandleTable {
 public:
  static HandleTable &instance();

  // Throws std::bad_alloc when the table is full.
  int64_t insert(Kind kind, void *object);
  void *find(Kind kind, int64_t handle) const;
  // The object of a live handle of that kind, which is dead from now on; null when there is none. One of two racing
  // callers gets it.
  void *remove(Kind kind, int64_t handle);

  // For sentences: "an event" when the handle is live and of another kind, null when it is not live.
  const char *describe(int64_t handle) const;
  static Kind kind_of(int64_t handle) { return static_cast<Kind>(handle >> kSlotBits & kKindMask); }

 private:
  static constexpr int64_t kSlotBits = 24, kKindMask = 15, kGenerationShift = 28;
  static constexpr int64_t kChunkBits = 12, kChunk = int64_t{1} << kChunkBits;
  static constexpr int64_t kChunks = int64_t{1} << (kSlotBits - kChunkBits);
  static constexpr int64_t kLastGeneration = (int64_t{1} << (63 - kGenerationShift)) - 1;

  struct Slot {
    std::atomic<int64_t> handle{0};  // 0 while free
    std::atomic<void *> object{nullptr};
    int64_t generation = 0;
  };

  Slot *slot_of(int64_t handle) const {
    if (handle <= 0) return nullptr;
    const int64_t index = handle & ((int64_t{1} << kSlotBits) - 1);
    Slot *chunk = chunks_[static_cast<size_t>(index >> kChunkBits)].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + (index & (kChunk - 1));
  }

  std::array<std::atomic<Slot *>, kChunks> chunks_{};
  std::mutex mutex_;
  std::vector<int64_t> free_;
  int64_t used_ = 0;
};

inline void *HandleTable::find(Kind kind, int64_t handle) const {
  const Slot *slot = slot_of(handle);
  if (slot == nullptr || kind_of(handle) != kind) return nullptr;
  // Sequentially consistent: pairs with remove and the gates of lifetime.h, of which at least one sees the other.
  if (slot->handle.load(std::memory_order_seq_cst) != handle) return nullptr;
  void *object = slot->object.load(std::memory_order_acquire);
  return slot->handle.load(std::memory_order_relaxed) == handle ? object : nullptr;
}

}  // namespace cunn
