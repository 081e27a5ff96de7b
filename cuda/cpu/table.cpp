// The op table of one instruction set.
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

const OpTable &ops() {
  static constexpr OpTable table = {
#define CUNN_OP(name, Args) name,
      CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  };
  return table;
}

}  // namespace cunn::cpu::CUNN_ISA_NS
