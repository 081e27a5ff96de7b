// Elementwise ops: checks.
#include "call.h"

using namespace cunn;

int32_t cunn_add_forward(cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n) {
  return run_op<OpId::add_forward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return AddForward{c.out<float>("y", y, dense(n)), c.in<float>("a", a, dense(n), {"y"}),
                      c.in<float>("b", b, dense(n), {"y"}), n};
  });
}

int32_t cunn_mul_forward(cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n) {
  return run_op<OpId::mul_forward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return MulForward{c.out<float>("y", y, dense(n)), c.in<float>("a", a, dense(n), {"y"}),
                      c.in<float>("b", b, dense(n), {"y"}), n};
  });
}

int32_t cunn_mul_backward(cunn_context context, cunn_buffer da, cunn_buffer db, cunn_buffer dy, cunn_buffer a,
                          cunn_buffer b, int64_t n) {
  return run_op<OpId::mul_backward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return MulBackward{c.out<float>("da", da, dense(n)), c.out<float>("db", db, dense(n)),
                       c.in<float>("dy", dy, dense(n)), c.in<float>("a", a, dense(n)),
                       c.in<float>("b", b, dense(n)), n};
  });
}

int32_t cunn_scale_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n, double alpha) {
  return run_op<OpId::scale_forward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return ScaleForward{c.out<float>("y", y, dense(n)), c.in<float>("x", x, dense(n), {"y"}), n,
                        c.real32("alpha", alpha)};
  });
}

int32_t cunn_silu_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return run_op<OpId::silu_forward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return SiluForward{c.out<float>("y", y, dense(n)), c.in<float>("x", x, dense(n), {"y"}), n};
  });
}

int32_t cunn_silu_backward(cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer x, int64_t n) {
  return run_op<OpId::silu_backward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return SiluBackward{c.out<float>("dx", dx, dense(n)), c.in<float>("dy", dy, dense(n), {"dx"}),
                        c.in<float>("x", x, dense(n)), n};
  });
}

int32_t cunn_swiglu_forward(cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up, int64_t n) {
  return run_op<OpId::swiglu_forward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return SwigluForward{c.out_floats("y", y, dense(n)), c.in<float>("gate", gate, dense(n), {"y"}),
                         c.in<float>("up", up, dense(n), {"y"}), n};
  });
}

int32_t cunn_swiglu_backward(cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer dy,
                             cunn_buffer gate, cunn_buffer up, int64_t n) {
  return run_op<OpId::swiglu_backward>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    return SwigluBackward{c.out<float>("dgate", dgate, dense(n)), c.out<float>("dup", dup, dense(n)),
                          c.in<float>("dy", dy, dense(n)), c.in<float>("gate", gate, dense(n), {"dgate"}),
                          c.in<float>("up", up, dense(n), {"dup"}), n};
  });
}

int32_t cunn_fill(cunn_context context, cunn_buffer y, int64_t n, double value) {
  return run_op<OpId::fill>(context, [&](Call &c) {
    c.dims({{"n", n}});
    c.nothing_when(n == 0);
    const Elements out = c.out("y", y, dense(n), kUnquantized);
    c.fill_value("value", value, out.dtype);
    return Fill{out.data, out.dtype, n, value};
  });
}
