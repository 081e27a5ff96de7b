#include "isa.h"

#include <cstring>

#include "../src/ops.h"

namespace cunn::cpu {

#if CUNN_HAS_ISA_scalar
namespace scalar { const OpTable &ops(); }
#endif
#if CUNN_HAS_ISA_avx2
namespace avx2 { const OpTable &ops(); }
#endif
#if CUNN_HAS_ISA_avx512
namespace avx512 { const OpTable &ops(); }
#endif

const OpTable *op_table(Isa isa) {
  switch (isa) {
#if CUNN_HAS_ISA_scalar
    case Isa::scalar: return &scalar::ops();
#endif
#if CUNN_HAS_ISA_avx2
    case Isa::avx2: return &avx2::ops();
#endif
#if CUNN_HAS_ISA_avx512
    case Isa::avx512: return &avx512::ops();
#endif
    default: return nullptr;
  }
}

const char *isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
  }
  return "unknown";
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  // These also ask the operating system (XGETBV) whether it saves the wide registers.
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (isa == Isa::avx512) return avx512;
  if (isa == Isa::avx2) return avx2;
#endif
  return isa == Isa::scalar;
}

Isa best_isa() {
  if (isa_supported(Isa::avx512)) return Isa::avx512;
  if (isa_supported(Isa::avx2)) return Isa::avx2;
  return Isa::scalar;
}

bool parse_isa(const char *name, Isa *isa) {
  for (int i = 0; i < isa_count; ++i) {
    if (name && std::strcmp(name, isa_name((Isa)i)) == 0) {
      *isa = (Isa)i;
      return true;
    }
  }
  return false;
}

}  // namespace cunn::cpu
