// The shared memory of one block: dynamic memory first, then each static declaration at its first use.
//
// Every object is filled with a NaN pattern at the start of its life in a block and followed by a gap. ASan forbids the
// gaps, and everything that no object of the running block owns; without ASan a pattern in the gap tells, when the block
// ends, that somebody wrote there.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "../include/simt/runtime.h"

namespace simt {

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();

  // Returns the dynamic memory, null when there is none.
  void* begin_block(size_t dynamic_bytes);
  // The object behind `slot` in this block. Null and a reason when the limits are exceeded.
  void* object(SharedSlot& slot, std::string* reason);
  // True when all gaps are intact; otherwise describes the first object that was overrun.
  bool end_block(std::string* reason);

 private:
  struct Object {
    const SharedSlot* slot;  // null: the dynamic memory
    size_t offset, bytes;
  };
  struct Entry {
    unsigned block = 0;
    void* memory = nullptr;
  };
  void* place(const SharedSlot* slot, size_t bytes);

  char* arena_;
  size_t used_ = 0, static_bytes_ = 0, dynamic_bytes_ = 0;
  unsigned block_ = 0;
  // Fixed sizes: see BlockExecutor::ReadyQueue.
  std::vector<Object> objects_;
  std::vector<Entry> entries_;  // by slot id
};

}  // namespace simt
