// Softmax and top-k: checks.
#include "call.h"

using namespace cunn;

namespace {

constexpr int64_t kMaxTopK = 1024;

void check_k(Call &c, int64_t k, int64_t cols) {
  c.at_least("k", k, 1);
  c.at_most("k", k, cols, "cols");
  c.at_most("k", k, kMaxTopK);
  c.fits_i32("cols", cols);
}

}  // namespace

int32_t cunn_softmax_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t rows, int64_t cols,
                             int64_t ldy, int64_t ldx) {
  return run_op<OpId::softmax_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldy", ldy}, {"ldx", ldx}});
    c.nothing_when(rows == 0 || cols == 0);
    return SoftmaxForward{c.out<float>("y", y, c.matrix(rows, cols, "ldy", ldy)),
                          c.in<float>("x", x, c.matrix(rows, cols, "ldx", ldx), {"y"}), rows, cols, ldy, ldx};
  });
}

int32_t cunn_softmax_backward(cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer y, int64_t rows,
                              int64_t cols, int64_t ld) {
  return run_op<OpId::softmax_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ld", ld}});
    c.nothing_when(rows == 0 || cols == 0);
    const Extent full = c.matrix(rows, cols, "ld", ld);
    return SoftmaxBackward{c.out<float>("dx", dx, full), c.in<float>("dy", dy, full, {"dx"}), c.in<float>("y", y, full),
                           rows, cols, ld};
  });
}

int32_t cunn_top_k_forward(cunn_context context, cunn_buffer values, cunn_buffer indices, cunn_buffer x, int64_t rows,
                           int64_t cols, int64_t ldx, int64_t k) {
  return run_op<OpId::top_k_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldx", ldx}, {"k", k}});
    c.nothing_when(rows == 0);
    check_k(c, k, cols);
    return TopKForward{c.out<float>("values", values, dense(rows, k)),
                       c.out<int32_t>("indices", indices, dense(rows, k)),
                       c.in<float>("x", x, c.matrix(rows, cols, "ldx", ldx)), rows, cols, ldx, k};
  });
}

int32_t cunn_top_k_backward(cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices,
                            int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return run_op<OpId::top_k_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldx", ldx}, {"k", k}});
    c.nothing_when(rows == 0);
    check_k(c, k, cols);
    return TopKBackward{c.out<float>("dx", dx, c.matrix(rows, cols, "ldx", ldx)),
                        c.in<float>("dvalues", dvalues, dense(rows, k)),
                        c.in<int32_t>("indices", indices, dense(rows, k)), rows, cols, ldx, k};
  });
}

int32_t cunn_softmax_top_k_forward(cunn_context context, cunn_buffer probs, cunn_buffer values, cunn_buffer indices,
                                   cunn_buffer x, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return run_op<OpId::softmax_top_k_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldx", ldx}, {"k", k}});
    c.nothing_when(rows == 0);
    check_k(c, k, cols);
    return SoftmaxTopKForward{c.out<float>("probs", probs, dense(rows, cols)),
                              c.out<float>("values", values, dense(rows, k)),
                              c.out<int32_t>("indices", indices, dense(rows, k)),
                              c.in<float>("x", x, c.matrix(rows, cols, "ldx", ldx)), rows, cols, ldx, k};
  });
}

int32_t cunn_softmax_top_k_backward(cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices,
                                    cunn_buffer probs, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return run_op<OpId::softmax_top_k_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"cols", cols}, {"ldx", ldx}, {"k", k}});
    c.nothing_when(rows == 0);
    check_k(c, k, cols);
    return SoftmaxTopKBackward{c.out<float>("dx", dx, c.matrix(rows, cols, "ldx", ldx)),
                               c.in<float>("dvalues", dvalues, dense(rows, k)),
                               c.in<int32_t>("indices", indices, dense(rows, k)),
                               c.in<float>("probs", probs, dense(rows, cols)), rows, cols, ldx, k};
  });
}
