// Embedding: gather of rows, and its gradient, a scatter-add in a fixed order.
#include "launch.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

constexpr int kThreads = 128;

// Rows whose id is out of range are left as they are.
template <class T>
__global__ void __launch_bounds__(kThreads) gather_kernel(float* y, const int32_t* ids, const T* w, int64_t vocab, int64_t hidden) {
  const int64_t token = blockIdx.x, id = ids[token];
  if (!in_range(id, vocab)) return;
  for (int64_t i = threadIdx.x; i < hidden; i += kThreads) y[token * hidden + i] = to_float(w[id * hidden + i]);
}

// dw[id] += dy[t] for the tokens t of one id, ascending. The block of the id's first token adds them all; the others have
// nothing to do. Every element is a thread's own, so no atomics and no sorting.
__global__ void __launch_bounds__(kThreads)
    scatter_add_kernel(float* dw, const float* dy, const int32_t* ids, int64_t tokens, int64_t vocab, int64_t hidden) {
  CUNN_SHARED(int, same, [kThreads]);
  const int64_t first = blockIdx.x, id = ids[first];
  const int t = int(threadIdx.x);
  if (!in_range(id, vocab)) return;
  for (int64_t begin = 0; begin < first; begin += kThreads) {
    const int64_t token = begin + t;
    if (__syncthreads_or(token < first && ids[token] == id)) return;
  }
  dw += id * hidden;
  for (int64_t begin = first; begin < tokens; begin += kThreads) {
    const int64_t token = begin + t;
    same[t] = token < tokens && ids[token] == id;
    if (__syncthreads_or(same[t]))
      for (int64_t i = t; i < hidden; i += kThreads) {
        float sum = dw[i];
        for (int j = 0; j < kThreads; ++j)
          if (same[j]) sum = sum + dy[(begin + j) * hidden + i];
        dw[i] = sum;
      }
    __syncthreads();
  }
}

}  // namespace

void embedding_forward(Exec& exec, const EmbeddingForward& op) {
  if (op.tokens <= 0) return;
  check_values(exec, OpId::embedding_forward, DeviceFault::id_out_of_range, op.ids, op.tokens, op.vocab);
  with_float(op.w.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    CUNN_RUN(exec, gather_kernel<T>, grid_of(op.tokens), kThreads, 0, op.y, op.ids, static_cast<const T*>(op.w.data), op.vocab, op.hidden);
  });
}

void embedding_backward(Exec& exec, const EmbeddingBackward& op) {
  if (op.tokens <= 0) return;
  check_values(exec, OpId::embedding_backward, DeviceFault::id_out_of_range, op.ids, op.tokens, op.vocab);
  CUNN_RUN(exec, scatter_add_kernel, grid_of(op.tokens), kThreads, 0, op.dw, op.dy, op.ids, op.tokens, op.vocab, op.hidden);
}

}  // namespace cunn::cuda
