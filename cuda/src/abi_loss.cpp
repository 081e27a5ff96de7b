// Cross entropy: checks.
#include "call.h"

using namespace cunn;

namespace {

void check_classes(Call &c, int64_t rows, int64_t vocab) {
  c.nothing_when(rows == 0);
  c.at_least("vocab", vocab, 1);
}

}  // namespace

int32_t cunn_cross_entropy_count(cunn_context context, cunn_buffer count, cunn_buffer targets, int64_t rows,
                                 int64_t vocab) {
  return run_op<OpId::cross_entropy_count>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"vocab", vocab}});
    check_classes(c, rows, vocab);
    return CrossEntropyCount{c.out<int64_t>("count", count, dense(1)),
                             c.in<int32_t>("targets", targets, dense(rows)), rows, vocab};
  });
}

int32_t cunn_cross_entropy_forward(cunn_context context, cunn_buffer loss, cunn_buffer losses, cunn_buffer lse,
                                   cunn_buffer logits, cunn_buffer targets, int64_t rows, int64_t vocab, int64_t ld) {
  return run_op<OpId::cross_entropy_forward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"vocab", vocab}, {"ld", ld}});
    check_classes(c, rows, vocab);
    return CrossEntropyForward{c.out<float>("loss", loss, dense(1)),
                               c.out<float>("losses", losses, dense(rows)),
                               c.out<float>("lse", lse, dense(rows)),
                               c.in<float>("logits", logits, c.matrix(rows, vocab, "ld", ld)),
                               c.in<int32_t>("targets", targets, dense(rows)),
                               rows,
                               vocab,
                               ld};
  });
}

int32_t cunn_cross_entropy_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer logits, cunn_buffer lse,
                                    cunn_buffer targets, cunn_buffer count, int64_t rows, int64_t vocab, int64_t ld) {
  return run_op<OpId::cross_entropy_backward>(context, [&](Call &c) {
    c.dims({{"rows", rows}, {"vocab", vocab}, {"ld", ld}});
    check_classes(c, rows, vocab);
    const Extent full = c.matrix(rows, vocab, "ld", ld);
    return CrossEntropyBackward{c.out<float>("dlogits", dlogits, full),
                                c.in<float>("logits", logits, full, {"dlogits"}),
                                c.in<float>("lse", lse, dense(rows)),
                                c.in<int32_t>("targets", targets, dense(rows)),
                                c.in<int64_t>("count", count, dense(1)),
                                rows,
                                vocab,
                                ld};
  });
}
