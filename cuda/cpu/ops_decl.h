// Declarations of every op of the cpu device in the namespace of one instruction set. Include it in a family's file
// and the compiler checks the definition against the op table.
#pragma once

#include "../src/ops.h"

#ifndef CUNN_ISA_NS
#error "CUNN_ISA_NS names the instruction set this file is compiled for"
#endif

namespace cunn::cpu::CUNN_ISA_NS {

#define CUNN_OP(name, Args) void name(Exec &, const Args &);
CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP

const OpTable &ops();

}  // namespace cunn::cpu::CUNN_ISA_NS
