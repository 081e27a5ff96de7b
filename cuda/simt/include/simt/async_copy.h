// cp.async: copies from global to shared memory that land only when the thread waits for their group.
//
// The destination is filled with a NaN pattern when the copy is issued, and gets its data at the wait: a kernel that
// forgets the wait, waits for too few groups, or issues a copy into a tile that others still read, computes NaN. Both
// accesses happen in kernel code, where ASan and TSan see them as accesses of the CUDA thread that made them.
#pragma once
#include <cstring>
#include "runtime.h"

namespace simt {

struct AsyncCopy {
  void* destination;
  const void* source;
  int bytes;
  int source_bytes;  // the rest of the destination is filled with zeros
};
void async_copy_record(const AsyncCopy& copy, const Site* site);
void async_copy_commit();
// Takes the oldest copy of the groups beyond the newest `pending_groups`; false when there is none left.
bool async_copy_take(int pending_groups, AsyncCopy* copy);

inline void async_copy(void* shared, const void* global, int bytes, int source_bytes, const Site* site) {
  async_copy_record({shared, global, bytes, source_bytes}, site);
  std::memset(shared, 0xff, size_t(bytes));
}
inline void async_copy_wait(int pending_groups) {
  AsyncCopy copy;
  while (async_copy_take(pending_groups, &copy)) {
    if (copy.source_bytes > 0) std::memcpy(copy.destination, copy.source, size_t(copy.source_bytes));
    std::memset(static_cast<char*>(copy.destination) + copy.source_bytes, 0, size_t(copy.bytes - copy.source_bytes));
  }
}

}  // namespace simt
