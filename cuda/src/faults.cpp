#include "faults.h"

#include "context.h"

namespace cunn {

namespace {

const char *op_name(int32_t op) {
  static const char *const names[] = {
#define CUNN_OP(name, Args) #name,
      CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  };
  return op >= 0 && op < static_cast<int32_t>(OpId::count) ? names[op] : "unknown op";
}

// The argument of the op that holds the bad value.
const char *argument_name(DeviceFault fault, OpId op) {
  switch (fault) {
    case DeviceFault::id_out_of_range: return "ids";
    case DeviceFault::target_out_of_range: return "targets";
    case DeviceFault::position_out_of_range: return "positions";
    case DeviceFault::length_out_of_range: return "lengths";
    case DeviceFault::page_out_of_range: return "block_table";
    case DeviceFault::offset_out_of_range: return "offsets";
    case DeviceFault::row_out_of_range:
      switch (op) {
        case OpId::gemm_grouped_rows: case OpId::gemm_grouped_swiglu_forward: return "a_rows";
        case OpId::gemm_grouped_inner: return "b_rows";
        case OpId::top_k_backward: case OpId::softmax_top_k_backward: return "indices";
        case OpId::moe_dispatch_backward: case OpId::moe_combine_forward: case OpId::moe_combine_backward:
          return "token_row";
        default: return "experts";
      }
    case DeviceFault::value_out_of_range:
      return op == OpId::cast ? "x" : op == OpId::adamw_step ? "applied" : "value";
    case DeviceFault::none: case DeviceFault::kernel_failed: break;
  }
  return "value";
}

}  // namespace

void throw_fault(const ErrorWord &word) {
  if (word.claimed == 0) return;
  const auto fault = static_cast<DeviceFault>(word.fault);
  const auto op = static_cast<OpId>(word.op);
  const auto index = static_cast<long long>(word.index), value = static_cast<long long>(word.value),
             last = static_cast<long long>(word.limit) - 1;
  char found[128], text[256];
  std::snprintf(found, sizeof found, "%s: %s[%lld] is %lld", op_name(word.op), argument_name(fault, op), index, value);
  if (fault == DeviceFault::kernel_failed)
    std::snprintf(text, sizeof text, "%s: the device failed", op_name(word.op));
  else if (fault == DeviceFault::target_out_of_range)
    std::snprintf(text, sizeof text, "%s, expected -1 to %lld", found, last);
  else if (fault == DeviceFault::offset_out_of_range)
    std::snprintf(text, sizeof text, "%s, expected offsets that ascend from 0 to at most %lld", found, last);
  else if (fault == DeviceFault::value_out_of_range && op == OpId::cast)
    std::snprintf(text, sizeof text, "%s, which i32 does not hold", found);
  else if (fault == DeviceFault::value_out_of_range && op == OpId::adamw_step)
    std::snprintf(text, sizeof text, "%s, expected at least 1 (clip_scale counts the step)", found);
  else if (fault == DeviceFault::value_out_of_range && op == OpId::quantize)
    std::snprintf(text, sizeof text,
                  "quantize: x[%lld] begins a block without a finite f16 scale, expected magnitudes of at most %lld",
                  index, static_cast<long long>(word.limit));
  else
    std::snprintf(text, sizeof text, "%s, expected 0 to %lld", found, last);
  throw Reported(text);
}

}  // namespace cunn
