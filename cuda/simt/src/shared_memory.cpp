#include "shared_memory.h"

#include <sys/mman.h>

#include <atomic>
#include <mutex>
#include <new>

#include "card.h"
#include "fault.h"
#include "sanitizers.h"

namespace simt {
namespace {

constexpr size_t kArenaBytes = size_t(1) << 20;
constexpr size_t kGapBytes = 128;
constexpr size_t kMaxObjects = 64, kMaxDeclarations = 4096;
constexpr unsigned char kPoison = 0xff;  // NaN as f32, bf16 and f16; -1 as an integer
constexpr unsigned char kGapPattern = 0xc5;

// Ids are handed out once per declaration, whichever worker meets it first.
int slot_id(SharedSlot& slot) {
  static std::atomic<int> next{1};
  int id = __atomic_load_n(&slot.id, __ATOMIC_ACQUIRE);
  if (id != 0) return id;
  const int fresh = next.fetch_add(1);
  if (__atomic_compare_exchange_n(&slot.id, &id, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return fresh;
  return id;
}

}  // namespace

SharedMemory::SharedMemory() {
  void* const arena = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) throw std::bad_alloc();
  arena_ = static_cast<char*>(arena);
  forbid_access(arena_, kArenaBytes);
  objects_.reserve(kMaxObjects);
  entries_.resize(kMaxDeclarations);
}

SharedMemory::~SharedMemory() {
  allow_access(arena_, kArenaBytes);
  munmap(arena_, kArenaBytes);
}

void* SharedMemory::begin_block(size_t dynamic_bytes) {
  ++block_;
  used_ = kGapBytes;
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  objects_.clear();
  return dynamic_bytes > 0 ? place(nullptr, dynamic_bytes) : nullptr;
}

void* SharedMemory::place(const SharedSlot* slot, size_t bytes) {
  // CUDA promises 16 bytes of alignment for what CUNN_SHARED declares, so that is all it gets: never a multiple of 32.
  used_ = (used_ + 31) / 32 * 32 + 16;
  char* const memory = arena_ + used_;
  objects_.push_back({slot, used_, bytes});
  used_ += bytes;
  allow_access(memory, bytes);
  fill_bytes(memory, kPoison, bytes);
#if !SIMT_ASAN
  fill_bytes(memory + bytes, kGapPattern, kGapBytes);
#endif
  used_ += kGapBytes;
  return memory;
}

void* SharedMemory::object(SharedSlot& slot, std::string* reason) {
  const size_t id = size_t(slot_id(slot));
  if (id >= kMaxDeclarations) {
    *reason = format("more than %zu shared declarations in the program", kMaxDeclarations);
    return nullptr;
  }
  Entry& entry = entries_[id];
  if (entry.block == block_) return entry.memory;
  static_bytes_ += slot.bytes;
  if (static_bytes_ > kMaxStaticShared) {
    *reason = format("static shared memory of the block reaches %zu bytes, the limit is %zu", static_bytes_, kMaxStaticShared);
    return nullptr;
  }
  if (static_bytes_ + dynamic_bytes_ > card()->max_shared) {
    *reason = format("shared memory of the block reaches %zu bytes, the limit is %zu", static_bytes_ + dynamic_bytes_, card()->max_shared);
    return nullptr;
  }
  if (objects_.size() == kMaxObjects) {
    *reason = format("more than %zu shared declarations in one kernel", kMaxObjects);
    return nullptr;
  }
  entry = {block_, place(&slot, slot.bytes)};
  return entry.memory;
}

bool SharedMemory::end_block(std::string* reason) {
  bool intact = true;
#if SIMT_ASAN
  (void)reason;
  for (const Object& object : objects_) forbid_access(arena_ + object.offset, object.bytes);
#else
  for (const Object& object : objects_) {
    const unsigned char* const gap = reinterpret_cast<unsigned char*>(arena_) + object.offset + object.bytes;
    for (size_t i = 0; i < kGapBytes && intact; ++i) {
      if (gap[i] == kGapPattern) continue;
      intact = false;
      if (object.slot) {
        const Site declared{object.slot->file, object.slot->line, object.slot->name};
        *reason = format("shared memory `%s` (%s, %zu bytes) was overrun: byte %zu behind its end was written",
                         object.slot->name, simt::place(&declared).c_str(), object.bytes, i);
      } else {
        *reason = format("dynamic shared memory (%zu bytes) was overrun: byte %zu behind its end was written", object.bytes, i);
      }
    }
  }
#endif
  objects_.clear();
  return intact;
}

}  // namespace simt
