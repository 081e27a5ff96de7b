// Declarations of every op of the cuda device. Include it in a family's file and the compiler checks the definition
// against the op table.
#pragma once
#include "../src/ops.h"

namespace cunn::cuda {

#define CUNN_OP(name, Args) void name(Exec&, const Args&);
CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP

}  // namespace cunn::cuda
