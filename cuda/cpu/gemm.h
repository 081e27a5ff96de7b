// What the forms of the matrix product (plain, batched, grouped) hand to the one routine that computes them.
#pragma once

#include "../src/ops.h"
#include "gemm_pack.h"

namespace cunn::cpu::CUNN_ISA_NS {

// C[m, n] = sum over k of A B + beta C with the operands as they are stored.
struct Problem {
  Operand a, b;
  char *c;
  int64_t ldc;
  int64_t m, n, k;
};

// What the problems of one call share.
struct ProductCall {
  DType c_dtype, type;  // type: of the product, see narrower()
  float alpha, beta;
};

void run_problems(Exec &exec, const ProductCall &call, const Problem *problems, int64_t count);

}  // namespace cunn::cpu::CUNN_ISA_NS
