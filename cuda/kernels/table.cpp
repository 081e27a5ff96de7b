// The op table of the cuda device.
#include "cuda_exec.h"
#include "ops_decl.h"

namespace cunn::cuda {

const OpTable& cuda_ops() {
  static constexpr OpTable table = {
#define CUNN_OP(name, Args) name,
      CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  };
  return table;
}

}  // namespace cunn::cuda
