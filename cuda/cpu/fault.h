// Indices that stand in buffers: tested where they are used, reported once.
#pragma once

#include "../src/error_word.h"
#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

CUNN_INLINE bool in_range(int32_t value, int64_t limit) { return value >= 0 && value < limit; }

// Reports the first of n values outside [0, limit). A kernel calls this before it splits its work, so that the element
// named is the same at any thread count; its tasks then test each value again as they use it and skip the bad ones.
[[maybe_unused]] static inline void check_below(Exec &exec, DeviceFault fault, OpId op, const int32_t *values,
                                                int64_t n, int64_t limit) {
  IVec16 least = izero(), most = izero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    IVec16 v = iload(values + i);
    least = imin(least, v);
    most = imax(most, v);
  }
  if (i < n) {
    IVec16 v = iload(values + i, n - i);
    least = imin(least, v);
    most = imax(most, v);
  }
  if (limit > 0) {
    int32_t last = limit > INT32_MAX ? INT32_MAX : (int32_t)(limit - 1);
    if (!any(lt(least, izero()) | gt(most, iset1(last)))) return;
  }
  for (i = 0; i < n; ++i) {
    if (!in_range(values[i], limit)) return report_fault(exec, op, fault, i, values[i], limit);
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
