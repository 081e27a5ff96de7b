// Embedding: checks.
#include "call.h"

using namespace cunn;

int32_t cunn_embedding_forward(cunn_context context, cunn_buffer y, cunn_buffer ids, cunn_buffer w, int64_t tokens,
                               int64_t vocab, int64_t hidden) {
  return run_op<OpId::embedding_forward>(context, [&](Call &c) {
    c.dims({{"tokens", tokens}, {"vocab", vocab}, {"hidden", hidden}});
    c.nothing_when(tokens == 0 || hidden == 0);
    return EmbeddingForward{c.out<float>("y", y, dense(tokens, hidden)), c.in<int32_t>("ids", ids, dense(tokens)),
                            c.in_floats("w", w, dense(vocab, hidden)), tokens, vocab, hidden};
  });
}

int32_t cunn_embedding_backward(cunn_context context, cunn_buffer dw, cunn_buffer dy, cunn_buffer ids, int64_t tokens,
                                int64_t vocab, int64_t hidden) {
  return run_op<OpId::embedding_backward>(context, [&](Call &c) {
    c.dims({{"tokens", tokens}, {"vocab", vocab}, {"hidden", hidden}});
    c.nothing_when(tokens == 0 || hidden == 0);
    return EmbeddingBackward{c.out<float>("dw", dw, dense(vocab, hidden)), c.in<float>("dy", dy, dense(tokens, hidden)),
                             c.in<int32_t>("ids", ids, dense(tokens)), tokens, vocab, hidden};
  });
}
