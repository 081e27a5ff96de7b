// Choosing the next token: checks.
#include "call.h"

using namespace cunn;

namespace {

Extent logits_of(Call &c, int64_t rows, int64_t cols, int64_t ld) {
  c.dims({{"rows", rows}, {"cols", cols}, {"ld", ld}});
  c.nothing_when(rows == 0);
  c.at_least("cols", cols, 1);
  c.fits_i32("cols", cols);
  return c.matrix(rows, cols, "ld", ld);
}

}  // namespace

int32_t cunn_argmax(cunn_context context, cunn_buffer ids, cunn_buffer logits, int64_t rows, int64_t cols, int64_t ld) {
  return run_op<OpId::argmax>(context, [&](Call &c) {
    const Extent full = logits_of(c, rows, cols, ld);
    return Argmax{c.out<int32_t>("ids", ids, dense(rows)), c.in<float>("logits", logits, full), rows, cols, ld};
  });
}

int32_t cunn_sample(cunn_context context, cunn_buffer ids, cunn_buffer logits, cunn_buffer temperature,
                    cunn_buffer top_k, cunn_buffer top_p, cunn_buffer samples, cunn_buffer positions,
                    cunn_buffer seed, int64_t rows, int64_t cols, int64_t ld) {
  return run_op<OpId::sample>(context, [&](Call &c) {
    const Extent full = logits_of(c, rows, cols, ld);
    return Sample{c.out<int32_t>("ids", ids, dense(rows)),
                  c.in<float>("logits", logits, full),
                  c.in<float>("temperature", temperature, dense(rows)),
                  c.in<int32_t>("top_k", top_k, dense(rows)),
                  c.in<float>("top_p", top_p, dense(rows)),
                  c.in<int64_t>("samples", samples, dense(rows)),
                  c.in<int32_t>("positions", positions, dense(rows)),
                  c.in<int64_t>("seed", seed, dense(1)),
                  rows,
                  cols,
                  ld};
  });
}

int32_t cunn_decode_advance(cunn_context context, cunn_buffer positions, cunn_buffer finished, cunn_buffer ids,
                            int64_t batch, int64_t eos_id) {
  return run_op<OpId::decode_advance>(context, [&](Call &c) {
    c.dims({{"batch", batch}});
    c.nothing_when(batch == 0);
    c.at_least("eos_id", eos_id, -1);
    return DecodeAdvance{c.out<int32_t>("positions", positions, dense(batch)),
                         c.out<int32_t>("finished", finished, dense(batch)),
                         c.in<int32_t>("ids", ids, dense(batch)), batch, eos_id};
  });
}
