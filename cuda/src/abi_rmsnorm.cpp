// RMSNorm: checks.
#include "call.h"

using namespace cunn;

int32_t cunn_rmsnorm_forward(cunn_context context, cunn_buffer y, cunn_buffer rstd, cunn_buffer x, cunn_buffer w,
                             int64_t rows, int64_t cols, double eps) {
  return run_op<OpId::rmsnorm_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}});
    c.nothing_when(rows == 0 || cols == 0);
    return RmsnormForward{c.out_floats("y", y, dense(rows, cols)), c.out<float>("rstd", rstd, dense(rows)),
                          c.in<float>("x", x, dense(rows, cols)), c.in_floats("w", w, dense(cols)), rows, cols,
                          c.real32("eps", eps, 0)};
  });
}

int32_t cunn_rmsnorm_backward(cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy, cunn_buffer x,
                              cunn_buffer w, cunn_buffer rstd, int64_t rows, int64_t cols) {
  return run_op<OpId::rmsnorm_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}});
    c.nothing_when(rows == 0 || cols == 0);
    return RmsnormBackward{c.out<float>("dx", dx, dense(rows, cols)), c.out<float>("dw", dw, dense(cols)),
                           c.in<float>("dy", dy, dense(rows, cols), {"dx"}), c.in<float>("x", x, dense(rows, cols)),
                           c.in_floats("w", w, dense(cols)), c.in<float>("rstd", rstd, dense(rows)), rows, cols};
  });
}

int32_t cunn_rmsnorm_residual_forward(cunn_context context, cunn_buffer y, cunn_buffer h, cunn_buffer rstd,
                                      cunn_buffer x, cunn_buffer residual, cunn_buffer w, int64_t rows, int64_t cols,
                                      double eps) {
  return run_op<OpId::rmsnorm_residual_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}});
    c.nothing_when(rows == 0 || cols == 0);
    return RmsnormResidualForward{c.out_floats("y", y, dense(rows, cols)),
                                  c.out<float>("h", h, dense(rows, cols)),
                                  c.out<float>("rstd", rstd, dense(rows)),
                                  c.in<float>("x", x, dense(rows, cols), {"h"}),
                                  c.in<float>("residual", residual, dense(rows, cols), {"h"}),
                                  c.in_floats("w", w, dense(cols)),
                                  rows,
                                  cols,
                                  c.real32("eps", eps, 0)};
  });
}

int32_t cunn_rmsnorm_residual_backward(cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy,
                                       cunn_buffer dh, cunn_buffer h, cunn_buffer w, cunn_buffer rstd, int64_t rows,
                                       int64_t cols) {
  return run_op<OpId::rmsnorm_residual_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}});
    c.nothing_when(rows == 0 || cols == 0);
    return RmsnormResidualBackward{c.out<float>("dx", dx, dense(rows, cols)),
                                   c.out<float>("dw", dw, dense(cols)),
                                   c.in<float>("dy", dy, dense(rows, cols), {"dx"}),
                                   c.in<float>("dh", dh, dense(rows, cols), {"dx"}),
                                   c.in<float>("h", h, dense(rows, cols)),
                                   c.in_floats("w", w, dense(cols)),
                                   c.in<float>("rstd", rstd, dense(rows)),
                                   rows,
                                   cols};
  });
}
