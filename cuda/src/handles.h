// Handles: chunk << 51 | generation << 25 | library << 15 | kind << 12 | place. The slot is the place in its chunk. Its
// generation grows with every handle it gives out, so a handle that was destroyed is never valid again, whoever holds it.
// Several libraries may be open in one process, libcunn beside libcunn-simt or a copy of itself, each with a table of its
// own: their numbers differ (library_number), so a handle of one is never a handle of another. What is large is on top:
// the handles of the first 4096 slots stay below 2^30 for 31 generations, which an interpreter's integers are quick with.
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

  // Whether the process had a number left for this library; without one there are no handles.
  bool has_number() const { return library_ >= 0; }

  // Throws std::bad_alloc when the table is full. Only with a number.
  int64_t insert(Kind kind, void *object);
  void *find(Kind kind, int64_t handle) const;
  // The object of a live handle of that kind, which is dead from now on; null when there is none. One of two racing
  // callers gets it.
  void *remove(Kind kind, int64_t handle);

  // For sentences: "an event" when the handle is live and of another kind, null when it is not live.
  const char *describe(int64_t handle) const;
  // Whether this library gave the handle out, live or not.
  bool is_own(int64_t handle) const { return handle > 0 && (handle >> kLibraryShift & kLibraryMask) == library_; }
  static Kind kind_of(int64_t handle) { return static_cast<Kind>(handle >> kPlaceBits & kKindMask); }

 private:
  static constexpr int64_t kPlaceBits = 12, kKindMask = 7, kLibraryShift = 15, kLibraryMask = 1023;
  static constexpr int64_t kGenerationShift = 25, kChunkShift = 51;
  static constexpr int64_t kLastGeneration = (int64_t{1} << (kChunkShift - kGenerationShift)) - 1;
  static constexpr int64_t kChunk = int64_t{1} << kPlaceBits, kChunks = int64_t{1} << (63 - kChunkShift);

  struct Slot {
    std::atomic<int64_t> handle{0};  // 0 while free
    std::atomic<void *> object{nullptr};
    int64_t generation = 0;
  };

  // Null for no slot that was ever used.
  Slot *slot_of(int64_t handle) const {
    if (handle <= 0) return nullptr;
    Slot *chunk = chunks_[static_cast<size_t>(handle >> kChunkShift)].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + (handle & (kChunk - 1));
  }

  // The number of this library in this process, -1 for none.
  static int64_t library_number();

  const int64_t library_ = library_number();
  std::array<std::atomic<Slot *>, kChunks> chunks_{};
  std::mutex mutex_;
  std::vector<int64_t> free_;  // slots, counted through all chunks
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
