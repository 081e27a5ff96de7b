// The op table of one instruction set.
#include <stdexcept>

#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

// While op families are being written: an op without a definition reports itself.
#define CUNN_OP(name, Args) \
  __attribute__((weak)) void name(Exec &, const Args &) { throw std::logic_error(#name " is not built"); }
CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP

const OpTable &ops() {
  static constexpr OpTable table = {
#define CUNN_OP(name, Args) name,
      CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  };
  return table;
}

}  // namespace cunn::cpu::CUNN_ISA_NS
