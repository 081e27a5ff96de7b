// How a kernel on the host reports a bad value that it met in a buffer.
#pragma once

#include "ops.h"

namespace cunn {

// The first report of a context wins; later ones are dropped. Callable from any thread of the pool.
inline void report_fault(Exec &exec, OpId op, DeviceFault fault, int64_t index, int64_t value, int64_t limit) {
  ErrorWord &word = *exec.error;
  int32_t unclaimed = 0;
  if (!__atomic_compare_exchange_n(&word.claimed, &unclaimed, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
  word.op = static_cast<int32_t>(op);
  word.index = index;
  word.value = value;
  word.limit = limit;
  word.fault = static_cast<int32_t>(fault);
}

}  // namespace cunn
