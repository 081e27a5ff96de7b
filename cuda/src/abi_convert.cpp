// Copies, conversions and layouts: checks.
#include "call.h"

using namespace cunn;

namespace {

void check_blocks(Call &c, int64_t n) {
  c.require(n % kQuantBlock == 0, "n is %lld, expected a multiple of 32 (a block of q8 or q4)",
            static_cast<long long>(n));
}

}  // namespace

int32_t cunn_copy(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return run_op<OpId::copy>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    const Elements to = c.out("y", y, dense(n), kAnyDType);
    const Elements from = c.in("x", x, dense(n), kAnyDType);
    c.same_dtype("x", from.dtype, "y", to.dtype);
    if (is_quantized(to.dtype)) check_blocks(c, n);
    return Copy{to.data, from.data, to.dtype, n};
  });
}

int32_t cunn_cast(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return run_op<OpId::cast>(context, [&](Call &c) {
    constexpr uint32_t integers = bit(DType::i32) | bit(DType::i64);
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    const Elements to = c.out("y", y, dense(n), kAnyFloat | integers);
    const Elements from = c.in("x", x, dense(n), is_float(to.dtype) ? kAnyFloat : integers);
    return Cast{to.data, to.dtype, from.data, from.dtype, n};
  });
}

int32_t cunn_pack(cunn_context context, cunn_buffer y, cunn_buffer x, int32_t transpose, int64_t rows, int64_t cols,
                  int64_t ldy, int64_t ldx) {
  return run_op<OpId::pack>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldy", ldy}, {"ldx", ldx}});
    c.nothing_when(rows == 0 || cols == 0);
    const bool transposed = c.flag("transpose", transpose);
    const Elements to = c.out("y", y, c.matrix(rows, cols, "ldy", ldy), kUnquantized);
    const Elements from =
        c.in("x", x, c.matrix(transposed ? cols : rows, transposed ? rows : cols, "ldx", ldx), kUnquantized);
    c.same_dtype("x", from.dtype, "y", to.dtype);
    return Pack{to.data, from.data, to.dtype, transposed, rows, cols, ldy, ldx};
  });
}

int32_t cunn_quantize(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return run_op<OpId::quantize>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    check_blocks(c, n);
    const Elements to = c.out("y", y, dense(n), kQuantized);
    return Quantize{to.data, to.dtype, c.in_floats("x", x, dense(n)), n};
  });
}

int32_t cunn_dequantize(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return run_op<OpId::dequantize>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    check_blocks(c, n);
    const Floats to = c.out_floats("y", y, dense(n));
    const Elements from = c.in("x", x, dense(n), kQuantized);
    return Dequantize{to, from.data, from.dtype, n};
  });
}
