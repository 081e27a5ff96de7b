// Embedding: gather of rows, and its gradient, a scatter-add in a fixed order.
#include "fault.h"
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Rows whose id is out of range are left as they are.
void embedding_forward(Exec &exec, const EmbeddingForward &op) {
  const int64_t hidden = op.hidden;
  check_below(exec, DeviceFault::id_out_of_range, OpId::embedding_forward, op.ids, op.tokens, op.vocab);
  with_float(op.w.dtype, [&](auto t) {
    split_rows(exec, op.tokens, hidden, kMoveGrain, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        int32_t id = op.ids[token];
        if (!in_range(id, op.vocab)) continue;
        Row<decltype(t)::value> w(op.w.data, id * hidden);
        float *y = op.y + token * hidden;
        each_vector(0, hidden, [&](int64_t i, auto part) { store(y + i, w.at(i, part), part); });
      }
    });
  });
}

// Tasks own columns, not ids: each goes through all tokens in ascending order and adds its part of dy to dw, so every
// element has the order the header states however frequent an id is, and nothing needs sorting.
void embedding_backward(Exec &exec, const EmbeddingBackward &op) {
  const int64_t hidden = op.hidden;
  if (op.tokens <= 0) return;
  check_below(exec, DeviceFault::id_out_of_range, OpId::embedding_backward, op.ids, op.tokens, op.vocab);
  split(exec, hidden, most(64, kMoveGrain / op.tokens), 16, [&](int64_t begin, int64_t end) {
    for (int64_t token = 0; token < op.tokens; ++token) {
      int32_t id = op.ids[token];
      if (!in_range(id, op.vocab)) continue;
      const float *dy = op.dy + token * hidden;
      float *dw = op.dw + id * hidden;
      each_vector(begin, end, [&](int64_t i, auto part) { store(dw + i, load(dw + i, part) + load(dy + i, part), part); });
    }
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
