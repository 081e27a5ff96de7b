// What the forms of the matrix product (plain, batched, grouped) hand to the one routine that computes them.
#pragma once

#include "../src/ops.h"
#include "gemm_pack.h"

namespace cunn::cpu::CUNN_ISA_NS {

// What becomes of a tile's sums while they are in the cache.
//   store            C = sums
//   swiglu           the sums are of two products, gate = A B and up = A B_up: C = silu(gate) up
//   swiglu_backward  the sums are dy: dgate = dy up silu'(gate), dup = dy silu(gate)
enum class Epilogue { store, swiglu, swiglu_backward };

// C[m, n] = sum over k of A B + beta C with the operands as they are stored.
struct Problem {
  Operand a, b;
  char *c;
  int64_t ldc;
  int64_t m, n, k;
  // Of SwiGLU; what is stored is f32 and has the leading dimension of C.
  Operand b_up = {};
  float *gate_out = nullptr, *up_out = nullptr;  // swiglu: gate and up, or null; swiglu_backward: dgate and dup
  const float *gate = nullptr, *up = nullptr;    // of swiglu_backward
};

// What the problems of one call share.
struct ProductCall {
  DType c_dtype, type;  // type: of the product, see narrower()
  float alpha, beta;
  Epilogue epilogue = Epilogue::store;
};

// Products that share A.
constexpr int products_of(Epilogue e) { return e == Epilogue::swiglu ? 2 : 1; }

void run_problems(Exec &exec, const ProductCall &call, const Problem *problems, int64_t count);

}  // namespace cunn::cpu::CUNN_ISA_NS
